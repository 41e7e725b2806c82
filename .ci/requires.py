"""Print the requirements of pyproject.toml, one a line: `requires.py build runtime test docs` names the groups.

pyproject.toml is the only list of dependencies; the Makefile reads it through this script so that the build can run
without isolation, where CMake's build folder stays valid from one build to the next.
"""

import sys
import tomllib
from pathlib import Path


def requirements(groups: list[str]) -> list[str]:
    """Return the requirements of `groups` ("build", "runtime" or the name of an extra), nested extras resolved."""
    with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
        data = tomllib.load(file)
    extras = data["project"]["optional-dependencies"]
    found: list[str] = []
    for group in groups:
        if group == "build":
            found += data["build-system"]["requires"]
        elif group == "runtime":
            found += data["project"]["dependencies"]
        else:
            for requirement in extras[group]:
                if requirement.startswith("tilewright["):
                    found += requirements(requirement[len("tilewright[") : -1].split(","))
                else:
                    found.append(requirement)
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
