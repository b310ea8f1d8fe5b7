"""Measure the peak memory of a linearised Hessian operator and a few products, against JAX, each in a fresh process.

Run as `python -m benchmarks.memory`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from statistics import median

import numpy as np

from benchmarks.cases import NETWORKS
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.options import positive_int, writable_path
from benchmarks.report import format_header
from benchmarks.timing import TOLERANCES

#: Neither library is imported here: a child may count its parent's peak as its own, so this process stays small.
LIBRARIES = ("hessian", "jax")

MEBIBYTE = 2**20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options = make_parser().parse_args(argv)
    probes: dict[str, list[dict]] = {who: [] for who in LIBRARIES}
    try:
        for _ in range(options.rounds):
            for who in LIBRARIES:
                probes[who].append(_probe(who, options.config, options.dtype, options.seed))
        _check(probes, TOLERANCES[options.dtype])
    except BenchmarkError as error:
        print(f"benchmarks.memory: error: {error}", file=sys.stderr)
        return 1
    machine, versions = describe_machine(), {who: found[0]["version"] for who, found in probes.items()}
    print(format_header(machine, {"numpy": np.__version__} | versions))
    print(f"{NETWORKS[options.config].describe()}, {options.dtype}\n\n{format_memory(probes)}")
    if options.json:
        settings = {name: value for name, value in vars(options).items() if name != "json"}
        options.json.write_text(
            json.dumps({"machine": machine, "settings": settings, "probes": probes}, indent=1) + "\n"
        )
        print(f"\nRaw numbers in {options.json}.")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Measure the peak resident memory of a linearised Hessian operator and three products: "
        "HessianOperator(hs.record(f), w) against jax.jit of jax.linearize(jax.grad(f), w).",
    )
    add = parser.add_argument
    add("--config", choices=NETWORKS, default="wide", help="network (default: wide)")
    add("--dtype", choices=TOLERANCES, default="float64", help="default: float64")
    add("--rounds", type=positive_int, default=3, metavar="N", help="processes per library (default: 3)")
    add("--seed", type=int, default=0, metavar="N", help="seed of data and parameters (default: 0)")
    add("--json", type=writable_path, metavar="FILE", help="write every raw number to FILE")
    return parser


def format_memory(probes: dict[str, list[dict]]) -> str:
    """Return the table in markdown: medians in MiB, and ours over JAX's."""
    rows = {}
    for who, found in probes.items():
        before, after = (median(probe[key] for probe in found) / MEBIBYTE for key in ("before", "after"))
        rows[who] = (before, after, after - before)
    lines = ["| | imports and data, MiB | peak, MiB | above imports and data, MiB |", "| --- | --- | --- | --- |"]
    lines += [f"| {who} | {' | '.join(f'{value:.1f}' for value in row)} |" for who, row in rows.items()]
    ratios = [own / other for own, other in zip(*(rows[who] for who in LIBRARIES), strict=True)]
    lines.append(f"| hessian / jax | {' | '.join(f'{ratio:.3g}' for ratio in ratios)} |")
    return "\n".join(lines)


def _probe(who: str, config: str, dtype: str, seed: int) -> dict:
    """Measure one library in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory_probe", who, config, dtype, str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"{who} fails: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def _check(probes: dict[str, list[dict]], tolerance: float) -> None:
    """Raise if the libraries' last products differ in norm or in the curvature along the direction."""
    own, other = (np.array(probes[who][-1]["answer"]) for who in LIBRARIES)
    difference = float(np.max(np.abs(own / other - 1)))
    if not difference <= tolerance:
        raise BenchmarkError(f"products differ by {difference:.1e}, more than {tolerance:.0e}: nothing to compare")


if __name__ == "__main__":
    sys.exit(main())
