"""Who may know whom: the import rules of the Python package and the include rules of the C++ tree."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "tilewright"
SOURCES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if not {"_mlir", "__pycache__"} & set(path.relative_to(PACKAGE).parts)
)


def module_name(path: Path) -> str:
    """Return the dotted name of a source file inside the package, "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _nodes(tree: ast.AST):
    for child in ast.iter_child_nodes(tree):
        if _only_for_types(child):
            continue
        yield child
        yield from _nodes(child)


def imports(path: Path) -> set[str]:
    """Return the modules of the package that a file imports anywhere, those behind `if TYPE_CHECKING` excepted."""
    here = module_name(path).split(".") if path.name != "__init__.py" else [*module_name(path).split("."), ""]
    found = set()
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {
                a.name.removeprefix("tilewright").lstrip(".")
                for a in node.names
                if a.name.split(".")[0] == "tilewright"
            }
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = [part for part in here[: len(here) - node.level] if part]
                base += (node.module or "").split(".") if node.module else []
            elif (node.module or "").split(".")[0] == "tilewright":
                base = (node.module or "").split(".")[1:]
            else:
                continue
            for alias in node.names:
                longer = [*base, alias.name]
                is_module = (PACKAGE.joinpath(*longer).with_suffix(".py")).exists() or PACKAGE.joinpath(
                    *longer
                ).is_dir()
                is_module |= longer[0] in ("_mlir", "_runtime")
                found.add(".".join(longer if is_module else base))
    return {name for name in found if name != module_name(path)}


def group(name: str) -> str:
    """Return the room that a module belongs to: `targets.cpu`, or the first part of its name."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "targets" and len(parts) > 1 else parts[0]


def users_of(room: str) -> dict[str, set[str]]:
    """Return which modules import `room`: {module: rooms' modules}."""
    found = {}
    for path in SOURCES:
        hits = {name for name in imports(path) if group(name) == room or name.split(".")[0] == room}
        if hits and group(module_name(path)) != room and module_name(path).split(".")[0] != room:
            found[module_name(path)] = hits
    return found


LEAVES = {"errors", "dtypes", "formats", "reference", "config", "pytree", "stages"}


@pytest.mark.parametrize("path", [p for p in SOURCES if group(module_name(p)) in LEAVES], ids=module_name)
def test_leaves_know_leaves_only(path):
    foreign = {name for name in imports(path) if group(name) not in LEAVES and name}
    assert not foreign, f"{module_name(path)} imports {sorted(foreign)}"


def test_stage_table_is_data():
    assert imports(PACKAGE / "stages.py") == set()


def test_runtime_knows_no_compiler():
    allowed = LEAVES | {"runtime", "_runtime"}
    for path in SOURCES:
        if group(module_name(path)) == "runtime":
            foreign = {name for name in imports(path) if group(name) not in allowed and name}
            assert not foreign, f"{module_name(path)} imports {sorted(foreign)}"


#: Rooms that build, rewrite or describe IR; everything else reaches the compiler through them.
COMPILER_ROOMS = {
    "values", "ops", "trace", "recorder", "mlir", "symbols", "specs", "api", "programs", "places", "pipeline", "manifest",
    "targets", "cli", "roofline",
}  # fmt: skip


def test_bindings_stay_behind_the_compiler():
    strangers = {name for name in users_of("_mlir") if name.split(".")[0] not in COMPILER_ROOMS}
    assert not strangers, (
        f"modules that import the bindings but are no part of the compiler: {sorted(strangers)}"
    )


def test_targets_are_found_not_imported():
    targets = {p.name for p in (PACKAGE / "targets").iterdir() if p.is_dir() and p.name != "__pycache__"}
    for target in targets:
        importers = users_of(f"targets.{target}")
        assert not importers, f"targets.{target} is imported by {sorted(importers)}"


PUBLIC_ROOMS = {
    "",
    "frontends",
    "models",
    "nn",
    "numpy",
    "errors",
    "dtypes",
    "formats",
    "runtime",
    "config",
    "cache",
}


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if group(module_name(p)) in ("frontends", "models")], ids=module_name
)
def test_front_ends_and_models_are_users(path):
    foreign = {name for name in imports(path) if group(name) not in PUBLIC_ROOMS}
    assert not foreign, f"{module_name(path)} imports {sorted(foreign)}, which users do not see"


# ---- C++ -----------------------------------------------------------------------------------------------------------

INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def cpp_sources(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in (".cpp", ".h", ".inc"))


#: folder → what its files must not include, and why.
CPP_RULES = {
    "dialects": (
        r"^(Conversion|Transforms|Fusions|Stages|Targets|Capi|Runtime|tools)/",
        "the dialect knows no pass",
    ),
    "cpp/Runtime": (
        r"^(mlir|Tw|mlir-c|Conversion|Transforms|Stages|Targets|Capi)/",
        "the runtime links no compiler",
    ),
    "cpp/Conversion": (r"^(Targets|Capi|Runtime|tools)/", "conversions know no target"),
    "cpp/Analysis": (
        r"^(Conversion|Transforms|Stages|Targets|Capi|Runtime|tools)/",
        "an analysis knows neither passes nor targets",
    ),
    "cpp/Transforms": (r"^(Targets|Capi|Runtime|tools)/", "transforms know no target"),
    "cpp/Fusions": (r"^(Targets|Capi|Runtime|tools)/", "fusions know no target"),
    "cpp/Stages": (r"^(Targets|Capi|Runtime|tools)/", "promises know no target"),
    "cpp/Targets": (r"^(Capi|Runtime(?!/Abi\.h)|tools)/", "a target knows of the runtime its ABI only"),
}


@pytest.mark.parametrize("folder", CPP_RULES)
def test_cpp_layers(folder):
    forbidden, why = CPP_RULES[folder]
    for path in cpp_sources(folder):
        bad = [i for i in INCLUDE.findall(path.read_text(encoding="utf-8")) if re.match(forbidden, i)]
        assert not bad, f"{path.relative_to(ROOT)} includes {bad}: {why}"


# ---- size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_python_files_stay_readable(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 500, f"{path.relative_to(ROOT)} has {lines} lines; the house aims at 400"


def test_cpp_files_stay_readable():
    long = {
        str(p.relative_to(ROOT)): n
        for folder in ("dialects", "cpp")
        for p in cpp_sources(folder)
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > 700
    }
    assert not long, f"C++ files beyond 700 lines (the house aims at 600): {long}"
