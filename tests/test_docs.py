"""The site without Sphinx: its snippets run, its pages can be found, every public name has one page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.tools.snippets import run_page

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDERS = ("guides", "howto", "coming-from", "how-it-works")
WRITTEN = sorted(
    [DOCS / "index.md", DOCS / "start.md", *(page for folder in FOLDERS for page in DOCS.glob(f"{folder}/*.md"))]
)


def _id(path: Path) -> str:
    return path.relative_to(DOCS).with_suffix("").as_posix()


@pytest.mark.parametrize("page", WRITTEN, ids=_id)
def test_snippets_run_and_print_what_the_page_says(page: Path) -> None:
    _, report = run_page(page)
    assert not report, report


@pytest.mark.parametrize("page", [page for page in WRITTEN if page.stem != "index"], ids=_id)
def test_pages_can_be_found(page: Path) -> None:
    index = (page.parent / "index.md").read_text(encoding="utf-8")
    listed = "\n".join(re.findall(r"```\{toctree\}\n(.*?)```", index, flags=re.DOTALL))
    assert page.stem in listed.split()
