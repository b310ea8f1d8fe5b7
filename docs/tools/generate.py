"""Write every generated page of the site into ``docs/``. A page that has not changed is left alone: Sphinx does not read it again."""

from __future__ import annotations

from pathlib import Path

from docs.tools import gallery, operations, reference, stored

CHANGELOG = "# Changelog\n\n```{include} ../CHANGELOG.md\n:start-line: 1\n```\n"


def write(docs: Path, *, execute: bool = False) -> None:
    """Execute what has changed, or all; write the pages that have changed, and remove those of names that are gone."""
    stored.run_programs(everything=execute)
    stored.bring_notebooks(docs / "notebooks", everything=execute)
    pages = {f"{name}.rst": text for name, text in reference.pages().items()}
    pages |= {f"{name}.md": text for name, text in gallery.pages().items()}
    pages |= {"reference/operations.md": operations.page(), "changelog.md": CHANGELOG}
    for name, text in pages.items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in [*(docs / "reference").iterdir(), *(docs / "gallery").glob("*.md")]:
        if path.relative_to(docs).as_posix() not in pages and path.name != "README.md":
            path.unlink()
