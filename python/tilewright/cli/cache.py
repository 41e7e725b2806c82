"""Look at the disk cache and keep it in order."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: `tilewright.cache` parses its own arguments."""


def run(options: argparse.Namespace) -> int:
    """Show what there is; a command with arguments never comes here."""
    from ..cache import main

    return main(["--help"])
