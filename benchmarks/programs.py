"""Time recorded functions against compiled JAX: products, gradients, first products and dense Hessians of networks.

Run as `python -m benchmarks.programs`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial

from benchmarks import floor
from benchmarks.cases import NETWORKS, Case, network_case
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.networks import make_problem
from benchmarks.options import add_measuring, add_names
from benchmarks.peers.base import Contender
from benchmarks.ratios import Ratio, compare, format_dtypes, format_markdown
from benchmarks.replay import TASKS, CasePeer, Result, measure_alone, measure_case, write_json
from benchmarks.report import format_header
from benchmarks.timing import TOLERANCES

DESCRIPTION = """\
Time functions recorded by hs.record against jax.jit on tanh networks with softmax cross-entropy, closed over their
data: Hessian-vector products at one point and at new ones, value and gradient, the way from the function to the first
product, dense Hessians. Results are compared before anything is timed."""

EPILOG = """\
configurations:
{configurations}

examples:
  python -m benchmarks.programs --configs tiny,small --rounds 5               a first look
  python -m benchmarks.programs --json benchmarks/results/programs.json       everything, with the raw numbers kept"""

ALL = ("tiny", "small", "medium", "wide", "long")

#: The configurations a task is performed at.
PERFORMED = {
    "repeated": ALL,
    "newpoint": ALL,
    "gradient": ALL,
    "first": ("tiny", "small", "medium"),
    "dense": ("tiny", "dense16", "dense32"),
}

#: (task, dtype) -> largest ratio to JAX that was aimed at, in the order of PERFORMED.
AIMS = {
    ("repeated", "float64"): (0.85, 0.65, 0.8, 0.85, 0.75),
    ("repeated", "float32"): (0.85, 0.7, 0.9, 1.05, 0.75),
    **{("newpoint", dtype): (0.9, 0.75, 0.95, 0.95, 0.75) for dtype in TOLERANCES},
    **{("gradient", dtype): (0.9, 0.8, 1.0, 1.0, 0.8) for dtype in TOLERANCES},
    **{("first", dtype): (0.02, 0.02, 0.1) for dtype in TOLERANCES},
    **{("dense", dtype): (0.6, 0.6, 0.6) for dtype in TOLERANCES},
}
TARGETS = {
    (task, name, dtype): aim
    for (task, dtype), aims in AIMS.items()
    for name, aim in zip(PERFORMED[task], aims, strict=True)
}

#: Repeated products over value and gradient, and over the bare matrix products: where, and at most.
OVER_GRADIENT, OVER_GRADIENT_AT = 2.0, ("medium", "wide")
OVER_FLOOR, OVER_FLOOR_AT = 1.25, ("wide", "float64")


class FloorPeer:
    """The bare matrix products of repeated products, where they have a target."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def contenders(self, case: Case) -> list[Contender]:
        """Return one contender, or none."""
        if (case.name, case.dtype) != OVER_FLOOR_AT:
            return []
        problem = make_problem(NETWORKS[case.name], case.dtype, self._seed)
        return [Contender("floor", "repeated", partial(floor.make_floor, problem, "repeated"), None)]


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
        peers: dict[str, CasePeer] = {"jax": jax, "hessian": own, "floor": FloorPeer(options.seed)}
        if options.alone:
            results = run_alone(peers, options)
        else:
            results = run([peer for name, peer in peers.items() if options.only in ("", name)], options)
    except BenchmarkError as error:
        print(f"benchmarks.programs: error: {error}", file=sys.stderr)
        return 1
    ratios = [*compare(results, TARGETS), *_own_ratios(results)]
    print("\n\n".join(part for part in (format_markdown(ratios), format_dtypes(results)) if part))
    write_json(options, machine, versions, results)
    return 0


def run(peers: Sequence[CasePeer], options: argparse.Namespace) -> list[Result]:
    """Measure every configuration and dtype, telling on stderr what is being measured."""
    results = []
    for name in options.configs:
        tasks = [task for task in options.tasks if name in PERFORMED[task]]
        for dtype in options.dtypes if tasks else ():
            case = network_case(name, dtype, options.seed)
            print(f"{case.description}: {', '.join(tasks)} ...", file=sys.stderr)
            results.append(
                measure_case(case, peers, tasks, rounds=options.rounds, budget=options.budget, seed=options.seed)
            )
    return results


def run_alone(peers: Iterable[str], options: argparse.Namespace) -> list[Result]:
    """Measure every participant in a process of its own, where no other one fills caches and keeps threads."""
    lists = {"--configs": options.configs, "--dtypes": options.dtypes, "--tasks": options.tasks}
    numbers = {"--rounds": options.rounds, "--budget": options.budget, "--seed": options.seed}
    arguments = [part for name, values in lists.items() for part in (name, ",".join(values))]
    arguments += [part for name, value in numbers.items() for part in (name, str(value))]
    measured = [name for name in options.configs if any(name in PERFORMED[task] for task in options.tasks)]
    cases = [network_case(name, dtype, options.seed) for name in measured for dtype in options.dtypes]
    return measure_alone("benchmarks.programs", arguments, list(peers), cases)


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    configurations = "\n".join(f"  {configuration.describe()}" for configuration in NETWORKS.values())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.programs",
        description=DESCRIPTION,
        epilog=EPILOG.format(configurations=configurations),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_names(parser, "--configs", "configuration", NETWORKS, "comma-separated from the configurations below")
    add_names(parser, "--dtypes", "dtype", TOLERANCES, "float64, float32 or both")
    add_names(parser, "--tasks", "task", TASKS, f"comma-separated from {', '.join(TASKS)}")
    parser.add_argument(
        "--alone", action="store_true", help="measure each library alone in a process of its own, not in turns in one"
    )
    parser.add_argument("--only", default="", choices=["", "jax", "hessian", "floor"], help=argparse.SUPPRESS)
    add_measuring(parser)
    return parser


def _own_ratios(results: Sequence[Result]) -> list[Ratio]:
    """Return what a repeated product costs in gradients and in bare matrix products."""
    ratios = []
    for result in results:
        name, dtype = result.case.name, result.case.dtype
        product, gradient = result.find("repeated", "hessian"), result.find("gradient", "hessian")
        bare = result.find("repeated", "floor")
        if product and gradient and name in OVER_GRADIENT_AT:
            ratios.append(Ratio("repeated HVP / value and gradient", name, dtype, product, gradient, OVER_GRADIENT))
        if product and bare:
            ratios.append(Ratio("repeated HVP / bare matrix products", name, dtype, product, bare, OVER_FLOOR))
    return ratios


if __name__ == "__main__":
    sys.exit(main())
