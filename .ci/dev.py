"""`make dev`: an editable development build in the active environment.

CMake builds into build/dev; the Python sources stay where they are and see the compiled parts through links that git
ignores.  A change in one C++ file costs one compile and one link, with no wheel in between.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "dev"
PACKAGE = ROOT / "python" / "tilewright"


def run(*command: str) -> None:
    """Run `command` with the environment's own scripts first on PATH; stop at the first failure."""
    scripts = sysconfig.get_path("scripts")
    env = {**os.environ, "PATH": scripts + os.pathsep + os.environ["PATH"]}
    subprocess.run(command, check=True, cwd=ROOT, env=env, stdin=subprocess.DEVNULL)


def link(target: Path, name: Path) -> None:
    """Let `name` point at `target`, whatever stood there before."""
    if name.is_symlink() or name.exists():
        name.unlink()
    name.symlink_to(target)


def main() -> None:
    """Configure once, build, link the products into the source tree, and register the package."""
    if not (BUILD / "build.ninja").exists():
        run("cmake", "-S", ".", "-B", str(BUILD), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            f"-DPython_EXECUTABLE={sys.executable}", f"-DPython3_EXECUTABLE={sys.executable}")  # fmt: skip
    run("cmake", "--build", str(BUILD))
    link(BUILD / "python_packages" / "tilewright" / "_mlir", PACKAGE / "_mlir")
    for library in (BUILD / "python_packages" / "tilewright").glob("_runtime*.so"):
        link(library, PACKAGE / library.name)
    (PACKAGE / "bin").mkdir(exist_ok=True)
    link(BUILD / "python_packages" / "tilewright" / "bin" / "tw-opt", PACKAGE / "bin" / "tw-opt")
    # Metadata and console scripts only: the wheel of this install holds a .pth file and no compiled part.
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
        "-Cwheel.cmake=false", "-Ceditable.mode=inplace", "-e", ".")  # fmt: skip


if __name__ == "__main__":
    main()
