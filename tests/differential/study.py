"""Run random programs by seed and say what became of them."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import time
from collections import Counter
from pathlib import Path

import numpy as np
import scipy

import hessian as hs
from differential.check import Outcome, check
from differential.programs import Program


def _check(task: tuple[int, bool]) -> tuple[int, Outcome]:
    seed, with_jax = task
    return seed, check(Program.of(seed), with_jax)


def jax_version() -> str | None:
    """Return the version of JAX; None where it is not installed."""
    try:
        import jax
    except ImportError:
        return None
    return jax.__version__


def run(seeds: range, workers: int, with_jax: bool, found: dict[int, Outcome]) -> None:
    """Check the programs of some seeds, each worker in processes that are renewed: JAX keeps what it traced."""
    tasks = [(seed, with_jax) for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=500) as pool:
        for seed, outcome in pool.imap_unordered(_check, tasks, chunksize=5):
            found[seed] = outcome
            if outcome.kind in ("WRONG", "CRASH"):
                print(f"{seed}: {outcome.kind}: {outcome.said}\n    {Program.of(seed)}", flush=True)
            if len(found) % 100 == 0:
                print(f"{len(found)} programs: {dict(Counter(o.kind for o in found.values()))}", flush=True)


def summary(seeds: range, found: dict[int, Outcome], seconds: float) -> dict[str, object]:
    """Return counts, faults, and the refusals by what they say."""
    refusals = Counter(":".join(o.said.split(":")[:3])[:120] for o in found.values() if o.kind == "refused")
    return {
        "seeds": [seeds.start, seeds.stop],
        "programs": len(found),
        "outcomes": dict(Counter(o.kind for o in found.values()).most_common()),
        "faults": {seed: f"{o.kind}: {o.said}" for seed, o in sorted(found.items()) if o.is_fault},
        "kinks": sorted(seed for seed, o in found.items() if o.kind == "kink"),
        "refusals": dict(refusals.most_common()),
        "seconds": round(seconds),
        "versions": {
            "hessian": hs.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "jax": jax_version(),
        },
    }


def main() -> int:
    """Run from the command line; 1 where a program was wrong."""
    parser = argparse.ArgumentParser(prog="differential", description=__doc__)
    parser.add_argument("--programs", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--json", type=Path, help="where to write what was found")
    options = parser.parse_args()
    seeds, started = range(options.start, options.start + options.programs), time.perf_counter()
    print(f"seeds {seeds.start} to {seeds.stop - 1}, JAX {jax_version()}", flush=True)
    found: dict[int, Outcome] = {}
    try:
        run(seeds, options.workers, jax_version() is not None, found)
    except KeyboardInterrupt:
        print("stopped; what was found until now:")
    report = summary(seeds, found, time.perf_counter() - started)
    print(json.dumps(report, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if report["faults"] else 0
