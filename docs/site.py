"""Renders README, ARCHITECTURE, the tutorials, design pages and the generated reference as static HTML in docs/_build.

    python docs/site.py

Plain files with relative links: open docs/_build/index.html, or serve the folder with anything.
"""

from __future__ import annotations

import html
import os
import re
import shutil
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs" / "_build"

#: Sections of the navigation: title → pages in order (globs are sorted).
SECTIONS = {
    "Start": ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"],
    "Tutorials": [
        f"docs/tutorials/{name}.md"
        for name in (
            "graph",
            "jit",
            "variants",
            "stages",
            "gpu",
            "gpu-stages",
            "gguf",
            "export",
            "add-an-op",
            "add-a-pass",
            "add-a-target",
            "add-a-gpu-architecture",
        )
    ],
    "Reference": ["docs/reference/*.md", "docs/reference/generated/*.md"],
    "Internals": ["docs/internals/*.md"],
    "Design": ["docs/design/*.md"],
    "Performance": ["docs/performance/*.md"],
}

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #52606d; --line: #e4e7eb; --paper: #fdfdfc; --code: #f4f5f2; --link: #2b5c92 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa5b1; --line: #323a43; --paper: #16191d; --code: #20252b; --link: #8ab4e8 } }
* { box-sizing: border-box }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.6 ui-sans-serif, system-ui, "Segoe UI", sans-serif }
.frame { display: grid; grid-template-columns: 15rem minmax(0, 48rem); gap: 3rem; max-width: 70rem; margin: 0 auto; padding: 2rem 1.5rem }
nav { font-size: .9rem; position: sticky; top: 2rem; align-self: start; max-height: 95vh; overflow: auto }
nav h2 { font-size: .75rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); margin: 1.2rem 0 .3rem }
nav ul { list-style: none; margin: 0; padding: 0 } nav a { color: var(--ink); text-decoration: none; display: block; padding: .1rem 0 }
nav a[aria-current] { color: var(--link); font-weight: 600 }
a { color: var(--link) } h1 { line-height: 1.2; margin-top: 0 } h2 { margin-top: 2.2rem } img { max-width: 100% }
code { font: .88em ui-monospace, Menlo, Consolas, monospace; background: var(--code); padding: .1em .3em; border-radius: 4px }
pre { background: var(--code); padding: .9rem 1rem; border-radius: 8px; overflow-x: auto; line-height: 1.45 } pre code { background: none; padding: 0 }
table { border-collapse: collapse; display: block; overflow-x: auto } td, th { border-bottom: 1px solid var(--line); padding: .35rem .9rem .35rem 0; text-align: left; vertical-align: top }
@media (max-width: 50rem) { .frame { grid-template-columns: 1fr; gap: 1rem } nav { position: static; max-height: none } }
"""  # noqa: E501


def pages() -> dict[str, list[Path]]:
    """Return the pages that exist, by section."""
    found = {}
    for section, patterns in SECTIONS.items():
        files = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
        if files:
            found[section] = files
    return found


def target(page: Path) -> Path:
    """Return where a page is written: its own relative path with .html; README.md of a folder becomes index.html."""
    relative = page.relative_to(ROOT)
    name = "index.html" if relative.name == "README.md" else relative.stem + ".html"
    return OUTPUT / relative.parent / name


def title(page: Path) -> str:
    """Return the first heading of a page as plain text."""
    match = re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.M)
    return match[1].replace("`", "") if match else page.stem


def _slug(text: str) -> str:
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def _links(page: Path, body: str, known: dict[Path, Path]) -> str:
    """Let links to pages lead to their HTML, and links to files in the tree to copies beside it."""

    def replace(match: re.Match[str]) -> str:
        attribute, address, anchor = match[1], match[2], match[3] or ""
        if "://" in address or not address:
            return match[0]
        source = (page.parent / address).resolve()
        here = target(page).parent
        if source in known:
            return f'{attribute}="{os.path.relpath(known[source], here)}{anchor}"'
        if source.is_file():
            copy = OUTPUT / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
            return f'{attribute}="{os.path.relpath(copy, here)}{anchor}"'
        if source.is_dir() and (source / "README.md") in known:
            return f'{attribute}="{os.path.relpath(known[source / "README.md"], here)}"'
        return match[0]

    return re.sub(r'(href|src)="([^"#]*)(#[^"]*)?"', replace, body)


def render(page: Path, sections: dict[str, list[Path]], known: dict[Path, Path]) -> str:
    """Return a page as an HTML document."""
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    body = _links(page, markdown.render(page.read_text(encoding="utf-8")), known)
    body = re.sub(
        r"<h([2-4])>(.*?)</h\1>",
        lambda m: f'<h{m[1]} id="{_slug(re.sub("<.*?>", "", m[2]))}">{m[2]}</h{m[1]}>',
        body,
    )
    here = target(page).parent
    navigation = ""
    for section, files in sections.items():
        items = "".join(
            f'<li><a href="{os.path.relpath(target(one), here)}"{" aria-current=page" if one == page else ""}>'
            f"{html.escape(title(one))}</a></li>"
            for one in files
        )
        navigation += f"<h2>{section}</h2><ul>{items}</ul>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title(page))} · Tilewright</title>"
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><div class="frame">'
        f"<nav>{navigation}</nav><main>{body}</main></div></body></html>\n"
    )


def main() -> None:
    """Write the site."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    sections = pages()
    known = {page: target(page) for files in sections.values() for page in files}
    for page, path in known.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(page, sections, known), encoding="utf-8")
    print(f"{len(known)} pages: {OUTPUT / 'index.html'}")


if __name__ == "__main__":
    main()
