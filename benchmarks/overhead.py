"""Time what a product costs above its compiled section: `H @ v` of a recorded function, and what conjugate gradients call.

Run as `python -m benchmarks.overhead`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.cases import Case, network_case
from benchmarks.machine import describe_machine
from benchmarks.options import positive_int, writable_path

#: Microseconds above the compiled section that were aimed at.
AIMS = {"H @ v": 4.0, "CG product": 6.0}
#: Calls of a turn: shorter than what a scheduler gives a process at a time.
CALLS = 40

Ways = dict[str, Callable[[], Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--rounds", type=positive_int, default=501, metavar="N", help="turns of each (default: 501)")
    parser.add_argument("--json", type=writable_path, metavar="FILE", help="write every raw number to FILE")
    options = parser.parse_args(argv)
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['blas']}, load {machine['load']}\n")
    print("| function | section | H @ v | above it | CG product | above it |\n|---|---|---|---|---|---|")
    samples = {}
    for name, ways in {
        "logistic, n = 40": logistic(),
        "tiny network, n = 354": of_case(network_case("tiny", "float64")),
    }.items():
        samples[name] = timed(ways, options.rounds)
        print(row(name, {way: median(times) for way, times in samples[name].items()}))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "seconds": samples}) + "\n")
    return 0


def logistic() -> Ways:
    """A logistic loss of 200 rows: eight operations."""
    rng = np.random.default_rng(0)
    A, y = rng.standard_normal((200, 40)), rng.choice([-1.0, 1.0], 200)
    return ways(lambda w: np.sum(np.log1p(np.exp(-y * (A @ w)))) + 0.5 * w @ w, *rng.standard_normal((2, 40)) / 10)


def of_case(case: Case) -> Ways:
    """A network of the other benchmarks."""
    return ways(case.bind(np)(), case.w, case.v)


def ways(f: Callable[[Any], Any], w: np.ndarray, v: np.ndarray) -> Ways:
    """Return the section itself, the operator's product, and that of a point in a solver."""
    import hessian as hs
    from hessian.optimize.objective import VectorObjective

    recorded = hs.record(f)
    H, point = hs.HessianOperator(recorded, w), VectorObjective(recorded, w, ()).trial(w)
    expected = H @ v
    at = H._at._program
    section = at._frame.sections[at.program.numbers["product"]]
    found: Ways = {"section": lambda: section(v), "H @ v": lambda: H @ v, "CG product": lambda: point.product(v)}
    assert np.array_equal(section(v)[0], expected)
    assert np.array_equal(point.product(v), expected)
    return found


def timed(ways: Ways, rounds: int) -> dict[str, list[float]]:
    """Return seconds per call, in turns, so that a slow minute hits all of them."""
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name, call in sorted(ways.items(), reverse=bool(turn % 2)):
            begin = perf_counter()
            for _ in range(CALLS):
                call()
            samples[name].append((perf_counter() - begin) / CALLS)
    return samples


def row(name: str, medians: dict[str, float]) -> str:
    """Return a row of the table in microseconds, with missed aims in bold."""
    section = medians["section"] * 1e6
    cells = [name, f"{section:.1f}"]
    for way, aim in AIMS.items():
        above = medians[way] * 1e6 - section
        cells += [f"{medians[way] * 1e6:.1f}", f"{above:.1f}" if above <= aim else f"**{above:.1f}**"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
