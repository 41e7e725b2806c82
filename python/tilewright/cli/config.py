"""Print all settings and the environment variables that change them."""

from __future__ import annotations

import argparse

from .. import config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    rows = [(variable, str(value), text) for variable, value, text in config.describe()]
    width = max(len(variable) for variable, _, _ in rows)
    middle = max(len(value) for _, value, _ in rows)
    for variable, value, text in rows:
        print(f"{variable:{width}}  {value:{middle}}  {text}")
    return 0
