"""Time recorded functions against compiled JAX on problems that are no networks.

Run as `python -m benchmarks.problems`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.options import add_measuring, add_names
from benchmarks.problem_cases import PROBLEMS
from benchmarks.ratios import compare, format_dtypes, format_markdown
from benchmarks.replay import TASKS, CasePeer, Result, measure_case, write_json
from benchmarks.report import format_header

DESCRIPTION = """\
Time functions recorded by hs.record against jax.jit on sums of slices, a regression, a factorisation and Python loops,
in float64: nothing is aimed at, this is what it is. JAX compiles loops as they stand, unrolled (jax), where it can
in reasonable time, and rewritten by lax.scan (jax.scan)."""

#: Dense Hessians are left out: at most of these problems there is no room for one.
PROBLEM_TASKS = [task for task in TASKS if task != "dense"]


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
        results = run([jax, own], options)
    except BenchmarkError as error:
        print(f"benchmarks.problems: error: {error}", file=sys.stderr)
        return 1
    print("\n\n".join(part for part in (format_markdown(compare(results, {})), format_dtypes(results)) if part))
    write_json(options, machine, versions, results)
    return 0


def run(peers: Sequence[CasePeer], options: argparse.Namespace) -> list[Result]:
    """Measure every problem, telling on stderr what is being measured."""
    results = []
    for name in options.problems:
        case = PROBLEMS[name](options.seed)
        print(f"{case.description} ...", file=sys.stderr)
        results.append(
            measure_case(case, peers, options.tasks, rounds=options.rounds, budget=options.budget, seed=options.seed)
        )
    return results


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.problems", description=DESCRIPTION)
    add_names(parser, "--problems", "problem", PROBLEMS, f"comma-separated from {', '.join(PROBLEMS)}")
    add_names(parser, "--tasks", "task", PROBLEM_TASKS, f"comma-separated from {', '.join(PROBLEM_TASKS)}")
    add_measuring(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
