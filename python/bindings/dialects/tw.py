"""Builders of the dialect ``tw``, generated from its operation definitions."""

from ._tw_ops_gen import *  # noqa: F403
