"""Launchers of the native tools that the wheel carries in `tilewright/bin`."""

import os
import sys
from pathlib import Path


def tool_path(name: str) -> Path:
    """Return the path of the native tool `name` ("tw-opt") inside the installed package.

    Raises:
        FileNotFoundError: the package was installed without its compiled part.
    """
    path = Path(__file__).parent / "bin" / name
    if not path.exists():
        raise FileNotFoundError(
            f"{name}: {path} does not exist; was tilewright installed without its compiled part?"
        )
    return path


def _replace_process(name: str) -> None:
    path = tool_path(name)
    os.execv(path, [str(path), *sys.argv[1:]])


def tw_opt() -> None:
    """Run `tw-opt` in place of this process."""
    _replace_process("tw-opt")
