"""Build the notebooks from the scripts beside them, in which ``# %%`` starts a cell and ``# %% [markdown]`` a cell of
text.

``python notebooks/build.py`` executes every script as a notebook and writes it with its outputs, and the pictures that the
gallery (README.md) shows: ``pictures/04-2.png`` is the second picture of notebook 04. ``build.py 04 05`` does so for those
two. ``--check`` writes nothing: it executes afresh and fails where a cell raises, where a committed notebook is not the one
its script describes, or where the gallery misses a notebook or a picture.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).resolve().parent
GALLERY, PICTURES = HERE / "README.md", HERE / "pictures"
COLORS = 128
"""Of a picture in the gallery: drawings need no more, and take a third of the room."""
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


def shown_pictures() -> list[str]:
    """Names of the pictures that the gallery shows."""
    return re.findall(r"\(pictures/([^)]+)\)", GALLERY.read_text(encoding="utf-8"))


def write_pictures(notebook: NotebookNode, number: str) -> None:
    """Write those pictures of an executed notebook that the gallery shows."""
    from PIL import Image

    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    drawn = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    wanted = shown_pictures()
    PICTURES.mkdir(exist_ok=True)
    for position, text in enumerate(drawn, start=1):
        name = f"{number}-{position}.png"
        if name in wanted:
            image = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
            image.quantize(COLORS, method=Image.Quantize.MEDIANCUT).save(PICTURES / name, optimize=True)


def gallery_faults() -> list[str]:
    """Describe what the gallery lacks, and what is there for nothing."""
    text, wanted = GALLERY.read_text(encoding="utf-8"), set(shown_pictures())
    there = {path.name for path in PICTURES.glob("*.png")}
    faults = [f"{GALLERY.name} does not name {path.stem}" for path in scripts([]) if f"({path.stem}.ipynb)" not in text]
    faults += [f"{GALLERY.name} shows {name}, which is not in {PICTURES.name}/" for name in sorted(wanted - there)]
    return faults + [f"{PICTURES.name}/{name} is not shown in {GALLERY.name}" for name in sorted(there - wanted)]


def scripts(numbers: list[str]) -> list[Path]:
    """The scripts of some numbers, or all of them."""
    found = sorted(HERE.glob("[0-9]*.py"))
    return [path for path in found if not numbers or path.stem.split("-")[0] in numbers]


def main() -> int:
    """Build or check notebooks; return 1 where one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="*", help="which, such as 04; all of them where left out")
    parser.add_argument("--check", action="store_true", help="execute and compare, write nothing")
    args = parser.parse_args()
    # The kernel starts in this folder: let it find the package of this tree, installed or not.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    # One thread adds up in the same order however many cores there are, and these matrices gain nothing from a second.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    faults = []
    for script in scripts(args.numbers):
        target = script.with_suffix(".ipynb")
        notebook = parse(script.read_text(encoding="utf-8"))
        started = time.perf_counter()
        execute(notebook)
        print(
            f"{target.name}: {len(notebook.cells)} cells executed in {time.perf_counter() - started:.1f} s", flush=True
        )
        if not args.check:
            nbformat.write(notebook, target)
            write_pictures(notebook, script.stem.split("-")[0])
        elif differs(script, target):
            faults.append(f"{target.name} is out of date")
    faults += gallery_faults()
    if faults:
        print("\n".join([*faults, "Run: python notebooks/build.py"]), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
