"""Build the notebooks from the scripts beside them, in which ``# %%`` starts a cell and ``# %% [markdown]`` a cell of
text.

``python notebooks/build.py`` executes every script as a notebook and writes it with its outputs. ``--check`` writes
nothing: it executes afresh and fails where a cell raises, or where a committed notebook is not the one its script
describes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).resolve().parent
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def parse(text: str) -> NotebookNode:
    """Turn a script into a notebook without outputs."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("# %%"):
            blocks.append([line])
        elif blocks:
            blocks[-1].append(line)
    cells = [_cell(number, head, body) for number, (head, *body) in enumerate(blocks, start=1)]
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})


def _cell(number: int, head: str, body: list[str]) -> NotebookNode:
    """One cell, with an id that depends on its place alone, so that a rebuild changes what changed."""
    if "[markdown]" in head:
        text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body).strip()
        return new_markdown_cell(text, id=f"cell-{number:02d}")
    return new_code_cell("\n".join(body).strip(), id=f"cell-{number:02d}")


def execute(notebook: NotebookNode) -> None:
    """Run all cells in a fresh kernel; an exception in one ends it with that exception."""
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(HERE)}}
    )
    client.execute()
    notebook.metadata.language_info = {"name": "python"}


def differs(script: Path, target: Path) -> bool:
    """Whether a committed notebook holds other cells than its script."""
    if not target.exists():
        return True
    committed, wanted = nbformat.read(target, as_version=4), parse(script.read_text(encoding="utf-8"))
    return [(c.cell_type, c.source) for c in committed.cells] != [(c.cell_type, c.source) for c in wanted.cells]


def main() -> int:
    """Build or check every notebook; return 1 where one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="execute and compare, write nothing")
    check = parser.parse_args().check
    # The kernel starts in this folder: let it find the package of this tree, installed or not.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    stale = []
    for script in sorted(HERE.glob("[0-9]*.py")):
        target = script.with_suffix(".ipynb")
        notebook = parse(script.read_text(encoding="utf-8"))
        started = time.perf_counter()
        execute(notebook)
        print(f"{target.name}: {len(notebook.cells)} cells executed in {time.perf_counter() - started:.1f} s")
        if not check:
            nbformat.write(notebook, target)
        elif differs(script, target):
            stale.append(target.name)
    if stale:
        print(f"out of date: {', '.join(stale)}. Run: python notebooks/build.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
