"""Fixtures that several files share."""

import pytest
import tilewright as tw
from tilewright.targets import base


@pytest.fixture(params=["cpu", "plain"])
def jit(request, monkeypatch):
    """`tw.jit` for this machine's CPU, and for one without instructions for groups of products."""
    monkeypatch.setitem(base._BUILT_IN, "plain", "plain_cpu:plain")
    return lambda fn, **options: tw.jit(fn, target=request.param, **options)
