"""The site without Sphinx: its snippets run, its pages can be found, every public name has one page."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import hessian as hs
from docs.tools import benchmark_pages, benchmarks, gallery, names, reference, stored
from docs.tools.groups import TITLES
from docs.tools.snippets import plots, run_page, snippets

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDERS = ("guides", "howto", "coming-from", "how-it-works")
GENERATED = {("docs", "reference"), ("docs", "gallery"), ("docs", "notebooks"), ("docs", "benchmarks")}
WRITTEN = sorted(
    [
        DOCS / "index.md",
        DOCS / "start.md",
        DOCS / "migration.md",
        *(page for folder in FOLDERS for page in DOCS.glob(f"{folder}/*.md")),
    ]
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
    assert page.stem in re.findall(r"^(?:.*<)?([\w-]+)>?$", listed, flags=re.MULTILINE)


def test_every_public_name_has_one_page() -> None:
    """Every name in ``__all__`` of every public module is a canonical name or an alias of one, and one page documents that."""
    found, pages = names.collect(), reference.pages()
    paths = [path for name in found for path in [name.path, *name.aliases]]
    assert len(set(paths)) == len(paths)
    for room, module in names.rooms().items():
        for name in getattr(module, "__all__", ()):
            path = names.SAME.get(f"{room}.{name}", f"{room}.{name}")
            assert path in paths, f"{path} has no page: it is in no group of docs/tools/groups.py"
    for name in found:
        last = re.escape(name.path.rpartition(".")[2])
        here = (
            rf"^\.\. module:: {name.path}$"
            if name.kind == "module"
            else rf"^\.\. (py:|auto)\w+:: ([\w.]+\.)?{last}(\(.*)?$"
        )
        described = [
            page for page, text in pages.items() for _ in re.finditer(here, text, re.MULTILINE) if page == name.page
        ]
        assert len(described) == 1, name.path


def test_groups_of_the_reference_name_what_there_is() -> None:
    for room, module in names.rooms().items():
        listed = [name for group in names.grouped(room, module).values() for name in group]
        assert sorted(listed) == sorted(getattr(module, "__all__", ())), f"docs/tools/groups.py, {room}"
        assert room.startswith("hessian.scipy.") or room in TITLES


def test_pages_of_the_reference_differ_by_more_than_the_case_of_letters() -> None:
    pages = [page.lower() for page in reference.pages()]
    assert len(set(pages)) == len(pages)


def test_every_program_of_the_gallery_has_its_outputs() -> None:
    for program in stored.programs():
        assert (stored.OUTPUTS / f"{program.stem}.txt").read_text(encoding="utf-8").strip()
        assert (stored.OUTPUTS / f"{program.stem}.png").stat().st_size < 100_000
    assert set(stored.stored_hashes()) == {program.stem for program in stored.programs()}


@pytest.mark.parametrize("page", WRITTEN, ids=_id)
def test_links_to_pages_lead_somewhere(page: Path) -> None:
    """Links to documents, by role and by path, without Sphinx; those to generated pages are its own to check."""
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^\s*(`{3,}).*?^\s*\1|`[^`]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text) + re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose)
    for target in targets:
        path = (DOCS / target[1:] if target.startswith("/") else page.parent / target).resolve()
        generated = path.relative_to(DOCS.parent).parts[:2] in GENERATED or path == DOCS / "changelog"
        assert generated or path.exists() or path.with_name(f"{path.name}.md").exists(), target


@pytest.mark.parametrize("page", [page for page in WRITTEN if plots(page.read_text(encoding="utf-8"))], ids=_id)
def test_pictures_are_drawn(page: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    for line, _, code in plots(page.read_text(encoding="utf-8")):
        exec(compile("\n" * line + code, str(page), "exec"), {"__name__": "__main__"})
        assert pyplot.get_fignums(), f"{page.name}:{line} draws nothing"
        pyplot.close("all")


def test_snippets_are_found_inside_of_directives() -> None:
    text = "::::{grid} 2\n```python\n>>> 1\n1\n```\n::::\n````{note}\n```python\nx = 2\n```\n````\n"
    text += "```py\nno\n```\n```{plot}\n:a: b\n\ny\n```\n"
    assert [block.code for block in snippets(text)] == [">>> 1\n1\n", "x = 2\n"]
    assert [block.code for block in plots(text)] == ["\ny\n"]


def test_every_error_is_public() -> None:
    from hessian import errors

    classes = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert classes == set(errors.__all__)


def test_the_guide_of_solvers_names_every_status_and_whether_it_is_a_success() -> None:
    text = (DOCS / "guides" / "solvers.md").read_text(encoding="utf-8")
    for status in hs.optimize.Status:
        assert f"`{status.name}`" in text
        row = next((line for line in text.splitlines() if line.startswith(f"| `{status.name}` | ")), "")
        said = row.split(" | ")[1] if row else ""
        assert said.strip("*") not in ("yes", "no") or (said == "yes") == status.success


def test_benchmark_pages_show_losses() -> None:
    """Every file of numbers has a page, a ratio above one is bold in its table and in the overview, and none is left out."""
    pages = {name: page() for name, page in benchmark_pages.PAGES.items()}
    overview = benchmark_pages.overview(pages)
    for name, page in pages.items():
        text = benchmarks.render(name, page)
        losses = [ratio for ratio in page.ratios if ratio.value > 1]
        assert text.count("| **") >= len(losses)
        assert f"<{name}>" in overview
    assert benchmarks.mark(1.204) == "**1.20**"
    assert benchmarks.mark(0.5) == "0.50"
    source = inspect.getsource(benchmark_pages)
    assert [path.stem for path in benchmarks.RESULTS.glob("*.json") if f'load("{path.stem}")' not in source] == []


def test_docstrings_of_programs_become_markdown() -> None:
    text = gallery.markdown("One.\n\nWith *x_i*:\n\n    y = 2*x\n    z\n\nEnd with ``a_b``.")
    assert text == "One.\n\nWith \\*x\\_i\\*:\n\n```text\ny = 2*x\nz\n```\n\nEnd with ``a_b``."
