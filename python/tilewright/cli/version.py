"""Print the versions of Tilewright, of what it runs on, and of the toolchain inside it."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata

import ml_dtypes
import numpy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""


def run(options: argparse.Namespace) -> int:
    """Print one line per component."""
    try:
        own = metadata.version("tilewright")
    except metadata.PackageNotFoundError:
        own = "not installed (running from a source tree)"
    print(f"tilewright  {own}")
    print(f"toolchain   {_toolchain()}")
    print(f"python      {platform.python_version()}")
    print(f"numpy       {numpy.__version__}")
    print(f"ml_dtypes   {ml_dtypes.__version__}")
    return 0


def _toolchain() -> str:
    try:
        from .._mlir._mlir_libs import _tilewright
    except ImportError:
        return "not there: the package was built without its compiled part"
    return _tilewright.toolchain_build()
