"""Pages of the gallery: an overview with thumbnails, and one page for each program with its formulas, picture, output and source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docs.tools.stored import GALLERY, OUTPUTS, ROOT, programs

TITLES = {
    "lstm": "LSTM",
    "ode_net": "ODE net",
    "rnn": "RNN",
    "tanh_derivatives": "Derivatives of tanh",
    "rosenbrock": "Rosenbrock's valley",
    "hidden_markov": "Hidden Markov model",
}
OPENING = """---
html_theme.sidebar_secondary.remove: true
---

# Gallery

Pictures of what the library does, each with the code that draws it. **Notebooks** explain as they go; **programs** are a hundred lines of
ordinary NumPy and SciPy each, which run by `python docs/gallery/NAME.py`. All are executed, and shown with their outputs.

"""
GRID = "::::{grid} 1 2 3 3\n:gutter: 3\n\n"


def pages() -> dict[str, str]:
    """Text of the overview and of the pages of programs, by file without suffix."""
    found = {f"gallery/{program.stem}": _page(program) for program in programs()}
    return found | {"gallery/index": _overview()}


def _overview() -> str:
    notebooks, shown = _notebooks(), _shown()
    text = OPENING + f"## Notebooks\n\n{GRID}"
    text += "".join(
        _card(title, words, f"/notebooks/{stem}", f"/notebooks/{picture}") for stem, title, words, picture in notebooks
    )
    text += f"::::\n\n## Programs\n\n{GRID}"
    for program in programs():
        name = program.stem
        text += _card(_title(name), shown.get(name, ""), f"/gallery/{name}", f"/gallery/outputs/{name}.png")
    entries = [f"/notebooks/{stem}" for stem, *_ in notebooks] + [f"/gallery/{program.stem}" for program in programs()]
    return text + "::::\n\n```{toctree}\n:hidden:\n\n" + "\n".join(entries) + "\n```\n"


def _card(title: str, words: str, page: str, picture: str) -> str:
    return (
        f":::{{grid-item-card}} {title}\n:link: {page}\n:link-type: doc\n:img-top: {picture}\n:img-alt: {title}\n"
        f":class-item: shot\n\n{words}\n:::\n\n"
    )


def _notebooks() -> list[tuple[str, str, str, str]]:
    """(stem, title, text, picture) of every notebook, as its README says."""
    text = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    sections = re.findall(
        r"^## \[([^\]]+)\]\(([^)]+)\.ipynb\)\n+(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL
    )
    found = []
    for title, stem, body in sections:
        picture = re.search(r"\((pictures/[^)]+)\)", body)
        words = " ".join(body.split("\n\n")[0].split())
        found.append((stem, title.partition(" ")[2], words, picture[1] if picture else ""))
    return found


def _shown() -> dict[str, str]:
    """What each program shows, as the README of the gallery says."""
    text = (GALLERY / "README.md").read_text(encoding="utf-8")
    return {
        name: _linked(words)
        for name, words in re.findall(r"^\| \[`(\w+)`\][^|]*\| ([^|]+) \|", text, flags=re.MULTILINE)
    }


def _linked(words: str) -> str:
    return words[0].upper() + words[1:] + "."


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " ").capitalize())


def _page(program: Path) -> str:
    name = program.stem
    tree = ast.parse(program.read_text(encoding="utf-8"))
    docstring, first = ast.get_docstring(tree) or "", (tree.body[0].end_lineno or 0) + 2
    printed = (OUTPUTS / f"{name}.txt").read_text(encoding="utf-8").rstrip()
    return (
        f"# {_title(name)}\n\n{markdown(docstring)}\n\n![What {name} draws](outputs/{name}.png)\n\n"
        f"## What it prints\n\n```text\n{printed}\n```\n\n## The program\n\n"
        f"```{{literalinclude}} {name}.py\n:language: python\n:lines: {first}-\n```\n"
    )


def markdown(docstring: str) -> str:
    """A docstring as Markdown: indented blocks are formulas, and stand as they are."""
    blocks, lines = [], []
    indented = False
    for line in [*docstring.splitlines(), ""]:
        if line.strip() and line.startswith("    ") != indented and lines:
            blocks.append((indented, lines))
            lines = []
        if line.strip():
            indented = line.startswith("    ")
        lines.append(line)
    blocks.append((indented, lines))
    return "\n\n".join(_block(*block) for block in blocks)


def _block(indented: bool, lines: list[str]) -> str:
    text = "\n".join(lines).strip("\n")
    if indented:
        return "```text\n" + "\n".join(line.removeprefix("    ") for line in text.splitlines()).rstrip() + "\n```"
    return re.sub(r"(?<!`)([*_$<\[\]])(?![^`\n]*`)", r"\\\1", text).strip()
