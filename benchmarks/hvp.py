"""Time gradients, Hessian-vector products and dense Hessians of tanh networks against peers and references.

Run as `python -m benchmarks.hvp`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.networks import CONFIGURATIONS, TASKS, make_problem
from benchmarks.options import add_measuring, add_names, names
from benchmarks.peers import PEERS, Participant, installed_peers, load_peer
from benchmarks.peers.reference import Floor, ROperator
from benchmarks.report import Result, format_header, format_report
from benchmarks.timing import TOLERANCES, measure

DESCRIPTION = """\
Time gradients, Hessian-vector products (one-shot and repeated at one point) and dense Hessians of tanh networks with
softmax cross-entropy. All participants run in one process, in interleaved rounds, after their results have been found
to agree; if they do not agree, nothing is timed."""

EPILOG = """\
configurations:
{configurations}

examples:
  python -m benchmarks.hvp --configs tiny,small --rounds 5          a first look, about a minute
  python -m benchmarks.hvp --peers none                             only this library and the references
  python -m benchmarks.hvp --json benchmarks/results/hvp.json       everything, with the raw numbers kept"""


@dataclass(frozen=True)
class Settings:
    """What to measure and how long."""

    configs: list[str]
    dtypes: list[str]
    tasks: list[str]
    rounds: int
    budget: float
    seed: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options = make_parser().parse_args(argv)
    settings = Settings(options.configs, options.dtypes, options.tasks, options.rounds, options.budget, options.seed)
    try:
        participants = _participants(options.peers)
        # Versions come after the imports: the machine's description asks the BLAS libraries that are loaded.
        machine = describe_machine()
        versions = {name: version for p in participants for name, version in p.versions().items()}
        print(format_header(machine, versions), end="\n\n")
        results = run(participants, settings)
    except BenchmarkError as error:
        print(f"benchmarks.hvp: error: {error}", file=sys.stderr)
        return 1
    print(format_report(results, "hessian"))
    if options.json:
        content = {
            "machine": machine,
            "versions": versions,
            "settings": vars(settings),
            "results": [result.to_json() for result in results],
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")
        print(f"\nRaw numbers in {options.json}.")
    return 0


def run(participants: Sequence[Participant], settings: Settings) -> list[Result]:
    """Measure every configuration and dtype, telling on stderr what is being measured."""
    results = []
    for name in settings.configs:
        configuration = CONFIGURATIONS[name]
        for dtype in settings.dtypes:
            print(f"{configuration.describe()}, {dtype} ...", file=sys.stderr)
            problem = make_problem(configuration, dtype, settings.seed)
            tasks = [task for task in settings.tasks if task != "dense" or configuration.has_dense]
            if "dense" in settings.tasks and not configuration.has_dense:
                print(configuration.why_not_dense(problem.dtype))
            contenders = [c for p in participants for c in p.contenders(problem) if c.task in tasks]
            measurements = measure(
                contenders, dtype=dtype, rounds=settings.rounds, budget=settings.budget, seed=settings.seed
            )
            results.append(Result(configuration, dtype, measurements))
    return results


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    configurations = "\n".join(f"  {configuration.describe()}" for configuration in CONFIGURATIONS.values())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hvp",
        description=DESCRIPTION,
        epilog=EPILOG.format(configurations=configurations),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--peers",
        type=names("peer", PEERS, none=True),
        default=None,
        metavar="LIST",
        help=f"comma-separated from {', '.join(PEERS)}, or none (default: those installed)",
    )
    add_names(parser, "--configs", "configuration", CONFIGURATIONS, "comma-separated from the configurations below")
    add_names(parser, "--dtypes", "dtype", TOLERANCES, "float64, float32 or both")
    add_names(parser, "--tasks", "task", TASKS, f"comma-separated from {', '.join(TASKS)}")
    add_measuring(parser)
    return parser


def _participants(peers: list[str] | None) -> list[Participant]:
    """Return the references, the library and the peers; the first one is who the others are checked against."""
    # Imported here: --help and wrong options need no library.
    from benchmarks.peers.hessian_peer import HessianPeer

    chosen = installed_peers() if peers is None else peers
    missing = [name for name in PEERS if name not in chosen] if peers is None else []
    if missing:
        print(f"Not installed, left out: {', '.join(missing)}.", file=sys.stderr)
    return [ROperator(), Floor(), HessianPeer(), *(load_peer(name) for name in chosen)]


if __name__ == "__main__":
    sys.exit(main())
