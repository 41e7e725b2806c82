"""One registry per concept: what must agree with the operations of ODS and the passes of `cpp/` is compared here."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "tilewright"

#: Structure of the module rather than computation: nothing for a user to call and nothing to compute.
STRUCTURAL = {"dim_symbol", "yield"}
#: What the interpreter itself gives a meaning: a run-time check, and operations with regions.
INTERPRETED = {"check", "cond", "while", "scan"}


def operations() -> list[str]:
    """Return the names of the dialect's operations without their prefix, from the generated bindings."""
    import tilewright._mlir.dialects._tw_ops_gen as generated

    return sorted(
        re.findall(r'OPERATION_NAME = "tw\.(\w+)"', Path(generated.__file__).read_text(encoding="utf-8"))
    )


def words(*folders: str) -> set[str]:
    """Return all identifiers and string constants of the Python files below `folders` of the package."""
    found = set()
    for folder in folders:
        root = PACKAGE / folder
        for path in root.rglob("*.py") if root.is_dir() else [root]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    found.add(node.attr)
                elif isinstance(node, ast.Name):
                    found.add(node.id)
                elif isinstance(node, ast.FunctionDef):
                    found.add(node.name)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value.removeprefix("tw."))
    return found


def test_every_operation_has_a_python_wrapper():
    known = words("ops", "numpy", "recorder.py", "values.py", "trace.py")
    missing = [
        op for op in operations() if op not in known and f"{op}_" not in known and op not in STRUCTURAL
    ]
    assert not missing, f"no Python code builds {missing}"


def test_every_operation_has_a_reference():
    from tilewright.reference import REFERENCE

    expected = set(operations()) - STRUCTURAL - INTERPRETED
    assert not expected - set(REFERENCE), (
        f"operations without a NumPy reference: {sorted(expected - set(REFERENCE))}"
    )
    strangers = set(REFERENCE) - set(operations())
    assert not strangers, f"references of operations that do not exist: {sorted(strangers)}"


def lit_text(folder: str) -> str:
    return "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests/lit" / folder).rglob("*.mlir"))


def test_every_operation_round_trips_in_lit():
    text = lit_text("dialect")
    missing = [op for op in operations() if not re.search(rf"tw\.{op}\b", text)]
    assert not missing, f"no case in tests/lit/dialect shows {missing}"


def test_every_operation_has_an_end_to_end_case():
    text = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests" / "e2e").rglob("*.py"))
    missing = [
        op for op in operations() if not re.search(rf"\b{op.rstrip('_')}_?\b", text) and op not in STRUCTURAL
    ]
    assert not missing, f"no case in tests/e2e mentions {missing}"


def test_every_operation_is_documented():
    import importlib.util

    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.ops_page()
    for op in operations():
        section = re.search(rf"^### `tw\.{op}`$(.*?)(?=^### |\Z)", page, re.M | re.S)
        assert section, f"tw.{op} is missing from the page on operations"
        assert re.search(r"^_\S.{0,59}_$", section[1], re.M), (
            f"tw.{op} needs a summary of at most 60 characters"
        )


# ---- passes ----------------------------------------------------------------------------------------------------------

PASS = re.compile(r'def \w+\s*:\s*Pass<"(tw-[a-z0-9-]+)"[^{]*\{(.*?)^\}', re.M | re.S)


def passes() -> dict[str, str]:
    """Return the body of each pass's ODS definition by flag."""
    found = {}
    for path in sorted((ROOT / "cpp").rglob("*.td")):
        for name, body in PASS.findall(path.read_text(encoding="utf-8")):
            found[name] = body
    return found


@pytest.mark.parametrize("name", passes())
def test_pass_is_documented(name):
    body = passes()[name]
    assert re.search(r'let summary = "[^"]{8,80}"', body), f"{name} needs a summary"
    assert re.search(r"let description = \[\{.{60,}\}\]", body, re.S), f"{name} needs a description"


@pytest.mark.parametrize("name", passes())
def test_pass_has_a_lit_test(name):
    assert name in lit_text("."), f"no file under tests/lit runs --{name}"


def test_tools_know_every_pass():
    from tilewright.tools import tool_path

    done = subprocess.run([str(tool_path("tw-opt")), "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    missing = [name for name in passes() if f"--{name}" not in done.stdout]
    assert not missing, f"tw-opt does not know {missing}"


def test_stage_table_parses_and_matches_the_verifier():
    """Every row's pipeline is one that the pass manager takes, in a fresh process without other state."""
    code = """
from tilewright import stages
from tilewright._mlir import ir
from tilewright._mlir.passmanager import PassManager
with ir.Context():
    for stage in stages.STAGES:
        if stage.passes:
            PassManager.parse(stages.pipeline_text(stage))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_stage_table_is_the_ladder_of_the_design():
    from tilewright import stages

    ladder = ("traced", "tensor", "linalg", "kernels", "tiled", "vector", "buffers", "target", "llvm")
    assert stages.NAMES[: len(ladder)] == ladder
    for stage in stages.STAGES:
        assert stage.promise
        assert all(one.reason for one in stage.passes)


def test_every_pass_of_the_table_exists():
    from tilewright import stages

    used = {
        name
        for stage in stages.STAGES
        for one in stage.passes
        for name in re.findall(r"tw-[a-z0-9-]+", one.pipeline)
    }
    assert used <= set(passes()), f"stages.py names passes that do not exist: {sorted(used - set(passes()))}"
    # tw-verify-stage runs between the rows; a target's own passes are asked for by the target.
    targets = "\n".join(p.read_text(encoding="utf-8") for p in (PACKAGE / "targets").rglob("*.py"))
    idle = [n for n in passes() if n not in used and n != "tw-verify-stage" and n not in targets]
    assert not idle, f"passes that no stage and no target asks for: {idle}"


# ---- errors, settings ------------------------------------------------------------------------------------------------


def test_errors_derive_from_what_users_catch():
    from tilewright import errors

    bases = {
        "ShapeError": ValueError, "DTypeError": TypeError, "UnsupportedOpError": NotImplementedError,
        "DeviceError": RuntimeError, "CacheWarning": UserWarning, "TracerError": TypeError, "FormatError": ValueError,
    }  # fmt: skip
    for name, base in bases.items():
        assert issubclass(getattr(errors, name), base)
        if name != "CacheWarning":
            assert issubclass(getattr(errors, name), errors.TilewrightError)


def test_environment_is_read_in_one_place():
    readers = []
    for path in PACKAGE.rglob("*.py"):
        relative = path.relative_to(PACKAGE)
        if "_mlir" in relative.parts or relative.name in ("config.py",):
            continue
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text(encoding="utf-8")):
            readers.append(str(relative))
    assert not readers, f"only config.py reads the environment, not {readers}"


def test_requirements_are_stated_once():
    """The Makefile and CI take requirements from pyproject.toml through .ci/requires.py, not from own lists."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8") + (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "xtc-" not in text
    assert "pytest>=" not in text
