"""Measure what the check of the curvature at the end of a run costs: `minimize` with and without it on the test problems.

Run as `python -m benchmarks.certificate`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.solvers import load_problems

LEAST_ROUNDS = 2
"""Rounds of problems that take long."""
LONG = 5.0
"""Seconds of a problem beyond which it gets no more of them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print seconds of processor time for each problem, and the geometric mean of the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.certificate", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, help="runs of each kind, of which the fastest counts (default 5)"
    )
    rounds = parser.parse_args(argv).rounds
    problems = load_problems()
    print("| problem | n | without, ms | with, ms | ratio | iterations | status |\n|---|---|---|---|---|---|---|")
    ratios = []
    for problem in problems.MGH + problems.CUTEST + problems.large():
        (without, before), (checked, after) = fastest(problem, rounds)
        ratios.append(checked / without)
        print(
            f"| {problem.name} | {problem.start.size} | {1e3 * without:.1f} | {1e3 * checked:.1f} | {ratios[-1]:.2f} "
            f"| {before.nit}, {after.nit} | {after.status.name} |"
        )
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"\nGeometric mean of {len(ratios)} ratios: {mean:.3f}")
    return 0


def fastest(problem: Any, rounds: int) -> list[tuple[float, Any]]:
    """Seconds of the fastest run, and its result, without the check and with it, in turn."""
    from hessian.optimize import minimize

    best: list[tuple[float, Any]] = [(math.inf, None)] * 2
    began = time.process_time()
    for k in range(rounds):
        for check in (False, True):
            start = time.process_time()
            res = minimize(problem.fun, problem.start, options={"check_curvature": check})
            best[check] = min(best[check], (time.process_time() - start, res), key=lambda pair: pair[0])
        if k + 1 >= LEAST_ROUNDS and time.process_time() - began > LONG:
            break
    return best


if __name__ == "__main__":
    sys.exit(main())
