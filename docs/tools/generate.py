"""Write every generated page of the site into ``docs/``. A page that has not changed is left alone: Sphinx does not read it again."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from docs.tools import benchmark_pages, benchmarks, gallery, operations, reference, stored


def write(docs: Path, *, execute: bool = False) -> None:
    """Execute what has changed, or all; write the pages that have changed, and remove those of names that are gone."""
    stored.run_programs(everything=execute)
    stored.bring_notebooks(docs / "notebooks", everything=execute)
    pages = {f"{name}.rst": text for name, text in reference.pages().items()}
    pages |= {f"{name}.md": text for name, text in gallery.pages().items()}
    pages |= _benchmarks(docs / "benchmarks")
    pages |= {"reference/operations.md": operations.page(), "changelog.md": _changelog(docs.parent / "CHANGELOG.md")}
    _write(docs, pages)


def _changelog(source: Path) -> str:
    """The changelog; its versions are no links here, and the page of migration is one."""
    text = source.read_text(encoding="utf-8").replace("`docs/migration.md`", "{doc}`/migration`", 1)
    return re.sub(r"^## \[([^\]]+)\]", r"## \1", text, flags=re.MULTILINE)


def _benchmarks(folder: Path) -> dict[str, str]:
    """Draw the pictures of the benchmarks; return their pages."""
    folder.mkdir(exist_ok=True)
    pages = {name: page() for name, page in benchmark_pages.PAGES.items()}
    newest = max(path.stat().st_mtime for path in [*benchmarks.RESULTS.iterdir(), *Path(__file__).parent.glob("*.py")])
    for name, page in pages.items():
        picture = folder / f"{name}.png"
        if page.ratios and not (picture.exists() and picture.stat().st_mtime > newest):
            benchmarks.draw(page, picture)
    for picture in benchmarks.RESULTS.glob("*.png"):
        shutil.copyfile(picture, folder / picture.name)
    texts = {f"benchmarks/{name}.md": benchmarks.render(name, page) for name, page in pages.items()}
    return texts | {"benchmarks/index.md": benchmark_pages.overview(pages)}


def _write(docs: Path, pages: dict[str, str]) -> None:
    """Write what has changed, remove what is gone."""
    for name, text in pages.items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in [*(docs / "reference").iterdir(), *(docs / "gallery").glob("*.md")]:
        if path.relative_to(docs).as_posix() not in pages and path.name != "README.md":
            path.unlink()
