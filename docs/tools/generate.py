"""Write every generated page of the site into ``docs/``. A page that has not changed is left alone: Sphinx does not read it again."""

from __future__ import annotations

from pathlib import Path

from docs.tools import reference

CHANGELOG = "# Changelog\n\n```{include} ../CHANGELOG.md\n:start-line: 1\n```\n"


def write(docs: Path) -> None:
    """Write what has changed, and remove pages of names that are gone."""
    pages = {f"{name}.rst": text for name, text in reference.pages().items()}
    pages["changelog.md"] = CHANGELOG
    for name, text in pages.items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in (docs / "reference").glob("*.rst"):
        if path.relative_to(docs).as_posix() not in pages:
            path.unlink()
