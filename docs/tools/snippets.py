"""The snippets of a page: which there are, and how they are executed. Needs no Sphinx."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})(?P<language>\{?[\w+-]*\}?)[^\n]*\n(?P<body>.*?)^(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def snippets(text: str) -> list[tuple[int, str]]:
    """(line, code) of every ``python`` block of a page."""
    found = (m for m in FENCE.finditer(text) if m["language"] == "python")
    return [(text[: m.start("body")].count("\n"), m["body"]) for m in found]


def plots(text: str) -> list[tuple[int, str]]:
    """(line, code) of every ``{plot}`` block, without its options."""
    found = (m for m in FENCE.finditer(text) if m["language"] == "{plot}")
    return [(text[: m.start("body")].count("\n"), re.sub(r"\A(?:\s*:[\w-]+:[^\n]*\n)+", "", m["body"])) for m in found]


def run_page(path: Path) -> tuple[int, str]:
    """Execute the snippets of a page in one namespace; return how many there are, and what differs from what is printed."""
    names: dict[str, object] = {"__name__": "__main__"}
    report: list[str] = []
    blocks = snippets(path.read_text(encoding="utf-8"))
    for line, code in blocks:
        if code.lstrip().startswith(">>>"):
            example = doctest.DocTestParser().get_doctest(code, names, path.name, str(path), line)
            doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=report.append, clear_globs=False)
            names.update(example.globs)
        else:
            exec(compile("\n" * line + code, str(path), "exec"), names)
    return len(blocks), "".join(report)
