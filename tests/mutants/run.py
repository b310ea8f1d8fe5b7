"""Put faults into copies of the package, one at a time, and see whether the tests notice: ``python tests/mutants/run.py``.

A mutant is killed where its tests fail or do not end; one that survives shows a missing test. The tree is never touched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutants.engine import ENGINE
from mutants.estimates import ESTIMATES
from mutants.mutant import ROOT, Mutant
from mutants.orders import ORDERS
from mutants.pictures import PICTURES
from mutants.programs import PROGRAMS
from mutants.rules import RULES
from mutants.sparse import SPARSE
from mutants.statistics import STATISTICS
from mutants.tables import TABLES

MUTANTS: dict[str, list[Mutant]] = {
    "engine": ENGINE,
    "rules": RULES,
    "programs": PROGRAMS,
    "orders": ORDERS,
    "estimates": ESTIMATES,
    "sparse": SPARSE,
    "statistics": STATISTICS,
    "tables": TABLES,
    "pictures": PICTURES,
}
_COPIED = ("hessian", "tests", "benchmarks", "pyproject.toml", "README.md", "CONTRIBUTING.md")


def copied(to: Path) -> None:
    """Copy what the tests need."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        else:
            shutil.copy(source, to / name)


def tried(mutant: Mutant | None, tests: str, seconds: float) -> str:
    """Run tests on a copy with a fault, or without: "killed", "survived", "timeout" or what went wrong."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = Path(folder)
        copied(root)
        if mutant is not None:
            mutant.apply(root)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
        environment = os.environ | {"PYTHONPATH": folder, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return "timeout"
        # 1: tests failed; 2: not even their collection worked, because the package does not import or a check at import raised.
        said = {0: "survived", 1: "killed", 2: "killed"}.get(done.returncode)
        return said or f"error {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}"


def main() -> int:
    """Run from the command line; 1 where a mutant survives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(MUTANTS)}; all by default")
    parser.add_argument("--workers", type=int, default=2, help="copies at a time (default 2)")
    parser.add_argument(
        "--timeout", type=float, default=600.0, help="seconds for the tests of one mutant (default 600)"
    )
    parser.add_argument("--containing", default="", help="only mutants whose description contains this")
    options = parser.parse_args()
    chosen = [m for part in options.parts or MUTANTS for m in MUTANTS[part] if options.containing in str(m)]
    counts: Counter[str] = Counter()
    started = time.perf_counter()
    with ThreadPoolExecutor(options.workers) as pool:
        outcomes = pool.map(lambda m: tried(m, m.tests, options.timeout), chosen)
        for mutant, outcome in zip(chosen, outcomes, strict=True):
            counts[outcome.split(":")[0]] += 1
            print(f"{outcome:9} {mutant}", flush=True)
    print(f"{len(chosen)} mutants in {time.perf_counter() - started:.0f} s: {dict(counts)}")
    return 0 if counts["killed"] + counts["timeout"] == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
