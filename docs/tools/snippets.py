"""The snippets of a page: which there are, and how they are executed. Needs no Sphinx."""

from __future__ import annotations

import doctest
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

OPENS = re.compile(r"^\s*(?P<fence>`{3,}|~{3,})(?P<language>\{?[\w+-]*\}?)")
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


class Block(NamedTuple):
    """A fenced block: the line that its code begins on, counted from 0, what stands behind the fence, and the code."""

    line: int
    language: str
    code: str


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a page that hold code. Those of directives may hold others, which are looked for; ``{plot}`` holds code."""
    lines = text.splitlines()
    containers: list[str] = []
    position = 0
    while position < len(lines):
        found = OPENS.match(lines[position])
        position += 1
        if found is None:
            continue
        fence, language = found["fence"], found["language"]
        if not language and containers and len(fence) >= len(containers[-1]):
            containers.pop()
        elif language.startswith("{") and language != "{plot}":
            containers.append(fence)
        else:
            end = next((n for n in range(position, len(lines)) if lines[n].strip() == fence), len(lines))
            yield Block(position, language, textwrap.dedent("\n".join(lines[position:end])) + "\n")
            position = end + 1


def snippets(text: str) -> list[Block]:
    """Every ``python`` block of a page."""
    return [block for block in blocks(text) if block.language == "python"]


def plots(text: str) -> list[Block]:
    """Every ``{plot}`` block, without its options."""
    options = re.compile(r"\A(?:\s*:[\w-]+:[^\n]*\n)+")
    return [block._replace(code=options.sub("", block.code)) for block in blocks(text) if block.language == "{plot}"]


def run_page(path: Path) -> tuple[int, str]:
    """Execute the snippets of a page in one namespace; return how many there are, and what differs from what is printed."""
    names: dict[str, object] = {"__name__": "__main__"}
    report: list[str] = []
    found = snippets(path.read_text(encoding="utf-8"))
    for line, _, code in found:
        if code.lstrip().startswith(">>>"):
            example = doctest.DocTestParser().get_doctest(code, names, path.name, str(path), line)
            doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=report.append, clear_globs=False)
            names.update(example.globs)
        else:
            exec(compile("\n" * line + code, str(path), "exec"), names)
    return len(found), "".join(report)
