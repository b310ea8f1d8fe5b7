"""Outputs that are stored beside what gives them: notebooks, and programs of the gallery. What has changed since is executed again.

A notebook is current when its cells are those of its script; a program, when the hash of its source is the one stored with its outputs."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
GALLERY, OUTPUTS = ROOT / "docs" / "gallery", ROOT / "docs" / "gallery" / "outputs"
HASHES = OUTPUTS / "hashes.json"
RUN = """
import io, runpy, sys
import matplotlib.pyplot as plt
from PIL import Image
source, target = sys.argv[1:]
names = runpy.run_path(source)
result = names["main"]()
names["picture"](result)
drawn = io.BytesIO()
plt.gcf().savefig(drawn, dpi=130)
Image.open(drawn).convert("RGB").quantize(128, method=Image.Quantize.MEDIANCUT).save(target, optimize=True)
"""


def programs() -> list[Path]:
    """The programs of the gallery."""
    return sorted(GALLERY.glob("*.py"))


def fingerprint(program: Path) -> str:
    """Hash of a program's source."""
    return hashlib.sha256(program.read_bytes()).hexdigest()


def stored_hashes() -> dict[str, str]:
    """Hashes of the sources that gave the stored outputs."""
    return json.loads(HASHES.read_text(encoding="utf-8")) if HASHES.exists() else {}


def is_current(program: Path) -> bool:
    """Whether the stored outputs of a program are those of its source."""
    there = all((OUTPUTS / f"{program.stem}.{suffix}").exists() for suffix in ("txt", "png"))
    return there and stored_hashes().get(program.stem) == fingerprint(program)


def run_program(program: Path) -> None:
    """Execute a program, and store what it prints and draws."""
    OUTPUTS.mkdir(exist_ok=True)
    started = time.perf_counter()
    command = [sys.executable, "-c", RUN, str(program), str(OUTPUTS / f"{program.stem}.png")]
    run = subprocess.run(command, capture_output=True, text=True, env=_environment(), cwd=ROOT)
    if run.returncode:
        raise RuntimeError(f"{program.name} ends with an error:\n{run.stderr}")
    (OUTPUTS / f"{program.stem}.txt").write_text(run.stdout, encoding="utf-8")
    hashes = {name: text for name, text in stored_hashes().items() if (GALLERY / f"{name}.py").exists()}
    hashes[program.stem] = fingerprint(program)
    HASHES.write_text(json.dumps(dict(sorted(hashes.items())), indent=1) + "\n", encoding="utf-8")
    print(f"executed {program.name} in {time.perf_counter() - started:.0f} s", flush=True)


def run_programs(*, everything: bool) -> None:
    """Execute those programs whose source has changed, or all."""
    for program in programs():
        if everything or not is_current(program):
            run_program(program)


def bring_notebooks(folder: Path, *, everything: bool) -> list[Path]:
    """Lay the executed notebooks, and the pictures that stand for them, into a folder of the site; return the notebooks there."""
    builder = _builder()
    folder.mkdir(exist_ok=True)
    brought = []
    for script in builder.scripts([]):
        committed, target = script.with_suffix(".ipynb"), folder / f"{script.stem}.ipynb"
        if everything or builder.differs(script, committed):
            if everything or builder.differs(script, target):
                _execute(builder, script, target)
        elif not target.exists() or target.read_bytes() != committed.read_bytes():
            shutil.copyfile(committed, target)
        brought.append(target)
    shutil.copytree(builder.PICTURES, folder / "pictures", dirs_exist_ok=True)
    return brought


def _execute(builder: ModuleType, script: Path, target: Path) -> None:
    """Execute one notebook for the site alone; ``notebooks/build.py`` is what writes the committed one."""
    import nbformat

    started = time.perf_counter()
    os.environ.update(_environment())
    notebook = builder.parse(script.read_text(encoding="utf-8"))
    builder.execute(notebook)
    nbformat.write(notebook, target)
    print(f"executed {target.name} in {time.perf_counter() - started:.0f} s", flush=True)


def _builder() -> ModuleType:
    """The module ``notebooks/build.py``."""
    spec = importlib.util.spec_from_file_location("notebooks_build", ROOT / "notebooks" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _environment() -> dict[str, str]:
    """Variables of what is executed: this tree's package, one thread, no window."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
