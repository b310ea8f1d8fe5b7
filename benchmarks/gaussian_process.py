"""Time the marginal likelihood of a Gaussian process, written in three ways, against compiled JAX.

Run as `python -m benchmarks.gaussian_process`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack

from benchmarks.cases import Case, Function
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.options import add_measuring, add_names
from benchmarks.peers.base import Contender
from benchmarks.ratios import Ratio, compare, format_dtypes, format_markdown
from benchmarks.replay import CasePeer, Result, measure_alone, measure_case, write_json
from benchmarks.report import format_header
from benchmarks.timing import CLOCKS

DESCRIPTION = """\
Time minus the log marginal likelihood of a Gaussian process (two inputs, squared exponential kernel; two log lengths, log
amplitude and log noise) recorded by hs.record against jax.jit, float64: by cho_factor and cho_solve, by numpy's cholesky and
solve, and by slogdet and solve. Results are compared before anything is timed. The floor is what LAPACK and BLAS need for the
formulas of the textbook, without the kernel: potrf and potri for value and gradient, two symmetric products for a product."""

SIZES = (300, 1000)
TASKS = ("repeated", "newpoint", "gradient")

#: Largest ratio to JAX that was aimed at.
AIM = 0.8


def _by_factor(covariance: Any, targets: Any, xp: Any, linalg: Any) -> Any:
    factor = linalg.cho_factor(covariance, lower=True)
    weights = linalg.cho_solve(factor, targets)
    return 0.5 * (targets @ weights) + xp.sum(xp.log(xp.diagonal(factor[0])))


def _by_cholesky(covariance: Any, targets: Any, xp: Any, linalg: Any) -> Any:
    factor = xp.linalg.cholesky(covariance)
    white = xp.linalg.solve(factor, targets)
    return 0.5 * (white @ white) + xp.sum(xp.log(xp.diagonal(factor)))


def _by_determinant(covariance: Any, targets: Any, xp: Any, linalg: Any) -> Any:
    weights = xp.linalg.solve(covariance, targets)
    return 0.5 * (targets @ weights) + 0.5 * xp.linalg.slogdet(covariance)[1]


#: Name -> (description, misfit of a covariance).
WAYS: dict[str, tuple[str, Callable[..., Any]]] = {
    "factor": ("cho_factor and cho_solve", _by_factor),
    "cholesky": ("np.linalg.cholesky and solve", _by_cholesky),
    "slogdet": ("np.linalg.slogdet and solve", _by_determinant),
}


def make_case(way: str, n: int, seed: int) -> Case:
    """Return the likelihood of n rows, written one way."""
    rng = np.random.default_rng(seed)
    description, misfit = WAYS[way]
    inputs = rng.uniform(0, 10, (n, 2))
    targets = np.sin(inputs[:, 0]) * np.cos(0.5 * inputs[:, 1]) + 0.3 * rng.standard_normal(n)

    def f(w: Any, inputs: Any, targets: Any, xp: Any, linalg: Any) -> Any:
        scaled = inputs * xp.exp(-w[:2])
        squares = xp.sum(scaled * scaled, axis=1)
        distances = squares[:, None] + squares - 2 * (scaled @ scaled.T)
        covariance = xp.exp(2 * w[2] - 0.5 * distances) + xp.exp(2 * w[3]) * xp.eye(n)
        return misfit(covariance, targets, xp, linalg) + 0.5 * n * np.log(2 * np.pi)

    def bind(xp: Any) -> Callable[[], Function]:
        data = tuple(map(xp.asarray, (inputs, targets)))
        linalg = importlib.import_module("hessian.scipy.linalg" if xp is np else "jax.scipy.linalg")
        return lambda: lambda w: f(w, *data, xp, linalg)

    v = rng.standard_normal(4)
    w = np.log([1.5, 2.0, 1.0, 0.3])
    return Case(f"{way}{n}", f"Gaussian process, {n} rows, by {description}", bind, w, v / np.linalg.norm(v))


class FloorPeer:
    """LAPACK's and BLAS's part of the textbook's formulas, in place in memory that is there."""

    def contenders(self, case: Case) -> list[Contender]:
        """Return one contender per task."""
        n = int(case.name.lstrip("abcdefghijklmnopqrstuvwxyz"))
        root = np.random.default_rng(0).standard_normal((n, n))
        a = np.asfortranarray(root @ root.T + n * np.eye(n))
        work, out = np.empty_like(a), np.empty_like(a)

        def inverse() -> Any:
            np.copyto(work, a)
            factor, _ = lapack.dpotrf(work, lower=1, overwrite_a=1, clean=0)
            return lapack.dpotri(factor, lower=1, overwrite_c=1)[0]

        def product(inverse: Any) -> Any:
            half = blas.dsymm(1.0, inverse, a, c=out, lower=1, overwrite_c=1)
            return blas.dsymm(1.0, inverse, half, side=1, lower=1)

        runs: dict[str, Callable[[], Any]] = {
            "gradient": inverse, "repeated": lambda: product(a), "newpoint": lambda: product(inverse())
        }  # fmt: skip
        return [Contender("floor", task, partial(lambda run: run, run), None) for task, run in runs.items()]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options = make_parser().parse_args(argv)
    # Imported here: --help and wrong options need no library.
    from benchmarks.peers.compiled_peer import CompiledPeer
    from benchmarks.peers.recorded_peer import RecordedPeer

    try:
        jax, own = CompiledPeer(), RecordedPeer()
        machine, versions = describe_machine(), own.versions() | jax.versions()
        print(format_header(machine, versions), end="\n\n")
        cases = [make_case(way, int(n), options.seed) for n in options.sizes for way in options.ways]
        print("\n".join(f"{case.name}: loss {float(case.bind(np)()(case.w)):.12g}" for case in cases), end="\n\n")
        peers: dict[str, CasePeer] = {"jax": jax, "hessian": own, "floor": FloorPeer()}
        results = run(peers, cases, options)
    except BenchmarkError as error:
        print(f"benchmarks.gaussian_process: error: {error}", file=sys.stderr)
        return 1
    targets = {(task, case.name, "float64"): AIM for task in TASKS for case in cases}
    ratios = [*compare(results, targets), *_over_floor(results)]
    print("\n\n".join(part for part in (format_markdown(ratios), format_dtypes(results)) if part))
    write_json(options, machine, versions, results)
    return 0


def run(peers: dict[str, CasePeer], cases: Sequence[Case], options: argparse.Namespace) -> list[Result]:
    """Measure every case, in turns in one process or each participant in one of its own."""
    if options.alone:
        lists = {"--ways": options.ways, "--sizes": options.sizes, "--tasks": options.tasks, "--clock": [options.clock]}
        numbers = {"--rounds": options.rounds, "--budget": options.budget, "--seed": options.seed}
        arguments = [part for name, values in lists.items() for part in (name, ",".join(values))]
        arguments += [part for name, value in numbers.items() for part in (name, str(value))]
        return measure_alone("benchmarks.gaussian_process", arguments, list(peers), cases)
    taking_part = [peer for name, peer in peers.items() if options.only in ("", name)]
    results = []
    for case in cases:
        print(f"{case.description} ...", file=sys.stderr)
        how = {"rounds": options.rounds, "budget": options.budget, "seed": options.seed, "clock": options.clock}
        results.append(measure_case(case, taking_part, options.tasks, **how))
    return results


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gaussian_process", description=DESCRIPTION)
    sizes = [str(n) for n in SIZES]
    add_names(parser, "--ways", "way", WAYS, f"comma-separated from {', '.join(WAYS)}")
    add_names(parser, "--sizes", "size", sizes, f"comma-separated from {', '.join(sizes)}")
    add_names(parser, "--tasks", "task", TASKS, f"comma-separated from {', '.join(TASKS)}")
    parser.add_argument(
        "--alone", action="store_true", help="measure each library alone in a process of its own, not in turns in one"
    )
    parser.add_argument("--clock", default="wall", choices=list(CLOCKS), help="what samples are taken by")
    parser.add_argument("--only", default="", choices=["", "jax", "hessian", "floor"], help=argparse.SUPPRESS)
    add_measuring(parser)
    return parser


def _over_floor(results: Sequence[Result]) -> list[Ratio]:
    """Return what ours takes over what LAPACK and BLAS alone take."""
    ratios = []
    for result in results:
        for task in TASKS:
            own, floor = result.find(task, "hessian"), result.find(task, "floor")
            if own and floor:
                ratios.append(Ratio(f"{task} / LAPACK and BLAS alone", result.case.name, "float64", own, floor))
    return ratios


if __name__ == "__main__":
    sys.exit(main())
