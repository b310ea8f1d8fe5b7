"""Command line: ``python -m hessian train digits`` trains a small network by Newton's method and keeps the run in a
folder."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hessian import __version__
from hessian.commands.comparison import run_comparison
from hessian.commands.coverage import coverage
from hessian.commands.curvature import run_curvature
from hessian.commands.datasets import NAMES
from hessian.commands.output import discard
from hessian.commands.training import (
    ALL_METHODS,
    DEFAULT_GTOL,
    DEFAULT_MAX_HVP,
    EXIT_CONVERGED,
    EXIT_USAGE,
    names_of,
    run_training,
)
from hessian.errors import HessianError
from hessian.nn import ACTIVATIONS, INITIALIZERS
from hessian.rules.catalogue import catalogue

_EXIT_CODES = "Exit codes: 0 converged, 1 stopped early (everything is still written), 2 bad option or data, 3 could not be saved."
_DATA = f"{', '.join(NAMES)}, or a file of comma-separated values"
COMPARED = "trust-ncg,arc,hessian-free,adam"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process where left out.

    Returns
    -------
    int
        0 where the solver converged, 1 where it stopped early, 2 for a bad option or bad data (argparse exits with 2
        itself), 3 where the run could not be saved.

    Examples
    --------
    >>> main([])
    2
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.run is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    try:
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read the output has left; what was asked for is done, or was only to be read.
        discard(sys.stdout)
        return EXIT_CONVERGED
    except HessianError as error:
        print(f"hessian: error: {error}", file=sys.stderr)
        return EXIT_USAGE


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="hessian", description="Newton methods on plain NumPy functions.")
    parser.add_argument("--version", action="version", version=f"hessian {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    training = commands.add_parser(
        "train",
        help="train a small network on a data set",
        description="Train a multilayer perceptron to a tight gradient tolerance, and measure the curvature where it ends.",
        epilog=_EXIT_CODES,
    )
    _add_problem(training)
    _add_training(training)
    training.set_defaults(run=run_training)
    comparing = commands.add_parser(
        "compare",
        help="train the same network by several methods and draw their losses",
        description="Train the same network from the same weights by several methods, and draw the objective against "
        "Hessian-vector products and against seconds.",
        epilog="Exit codes: 0 some method converged, 1 every one stopped early, 2 bad option or data, 3 could not be saved.",
    )
    _add_problem(comparing)
    _add_comparison(comparing)
    comparing.set_defaults(run=run_comparison)
    measuring = commands.add_parser(
        "curvature",
        help="measure and draw the curvature of a trained run",
        description="Spend a budget of Hessian-vector products on the spectrum at the end of a run, and write the numbers "
        "and pictures into its folder.",
    )
    _add_curvature(measuring)
    measuring.set_defaults(run=run_curvature)
    operations = commands.add_parser(
        "operations", help="list the operations that have derivative rules, with their conventions"
    )
    operations.add_argument("--markdown", action="store_true", help="as docs/coverage.md, with what is missing and why")
    operations.set_defaults(run=list_operations)
    return parser


def list_operations(options: argparse.Namespace) -> int:
    """Print the catalogue of derivative rules."""
    print(coverage() if options.markdown else catalogue(), end="" if options.markdown else "\n")
    return 0


def _add_problem(parser: argparse.ArgumentParser) -> None:
    """Add what training and comparing share: data, network, objective, limits."""
    parser.add_argument("data", metavar="DATA", help=_DATA)
    data = parser.add_argument_group("data")
    _add(
        data, "--target", "column of a file to predict, by name or number from 1 (default: the last)", metavar="COLUMN"
    )
    tasks = ("auto", "classification", "regression")
    _add(data, "--task", f"what the target is, one of: {', '.join(tasks)}", choices=tasks, default="auto")
    _add(data, "--test-size", "share of rows kept for the test", type=_fraction, default=0.25)
    _add(data, "--split-seed", "seed of the split", type=_at_least(int, 0), default=0)
    network = parser.add_argument_group("network and objective")
    _add(network, "--hidden", "hidden widths", type=_at_least(int, 1), nargs="*", default=[32], metavar="N")
    _add(network, "--activation", f"one of: {', '.join(ACTIVATIONS)}", choices=ACTIVATIONS, default="tanh")
    _add(network, "--initializer", f"one of: {', '.join(INITIALIZERS)}", choices=INITIALIZERS, default="glorot_uniform")
    _add(network, "--seed", "seed of starting weights and batches", type=_at_least(int, 0), default=0)
    _add(network, "--dtype", "of the parameters: float64 or float32", choices=tuple(DEFAULT_GTOL), default="float64")
    _add(network, "--l2", "weight of the penalty (l2/2) ||parameters||^2", type=_at_least(float, 0.0), default=1e-3)
    limits = parser.add_argument_group("limits")
    _add(
        limits, "--gtol", "stop at this gradient 2-norm (default: 1e-06, in float32 0.001)", type=_at_least(float, 0.0)
    )
    _add(limits, "--maxiter", "most iterations, or epochs of methods on batches", type=_at_least(int, 0), default=500)
    _add(
        limits,
        "--max-hvp",
        f"most Hessian-vector products of full-batch methods (default: {DEFAULT_MAX_HVP})",
        type=_at_least(int, 0),
    )
    _add(limits, "--max-seconds", "most seconds of each method", type=_at_least(float, 0.0))
    _add(limits, "--batch-size", "rows per batch, of methods on batches", type=_at_least(int, 1), metavar="N")
    _add(limits, "--validation", "share of the training rows to validate on", type=_fraction)
    _add(
        limits, "--patience", "stop after so many iterations without a smaller validation loss", type=_at_least(int, 1)
    )
    _add(limits, "--threads", "threads of the BLAS", type=_at_least(int, 1), default=1)
    output = parser.add_argument_group("output")
    _add(output, "--out", "folder (default: runs/DATA-TIME)", type=Path, metavar="DIR")
    _add(output, "--overwrite", "write into a folder that already holds a run", action="store_true")
    _add(output, "--no-plot", "leave the picture out (matplotlib is not needed then)", action="store_true")


def _add_training(parser: argparse.ArgumentParser) -> None:
    own = parser.add_argument_group("training")
    _add(own, "--method", f"one of: {', '.join(ALL_METHODS)}", choices=ALL_METHODS, default=ALL_METHODS[0])
    _add(
        own, "--set", "an option of the method, such as learning_rate=0.01", type=_setting, action="append", default=[],
        metavar="NAME=VALUE",
    )  # fmt: skip
    _add(own, "--resume", "go on with the run in --out from its checkpoint", action="store_true")
    _add(own, "--no-spectrum", "leave eigenvalues and trace out", action="store_true")
    _add(own, "--quiet", "no progress and no table, only the summary", action="store_true")


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``compare`` alone."""
    text = f"comma-separated from {', '.join(ALL_METHODS)}"
    _add(parser, "--methods", text, type=names_of, default=COMPARED, metavar="LIST")


def _add_curvature(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN_FOLDER", type=Path, help="folder that `hessian train` wrote")
    text = "Hessian-vector products to spend (default: all, for exact numbers, up to 5000 parameters; 100 beyond)"
    _add(parser, "--max-hvp", text, type=_at_least(int, 12))
    _add(parser, "--seed", "seed of random vectors", type=_at_least(int, 0), default=0)
    _add(parser, "--threads", "threads of the BLAS", type=_at_least(int, 1), default=1)
    _add(parser, "--no-plot", "leave the pictures out (matplotlib is not needed then)", action="store_true")


def _add(group: Any, flag: str, text: str, **keywords: Any) -> None:
    """Add one option whose help ends in its default, where it has one that says something."""
    if "choices" in keywords:
        keywords |= {"metavar": "NAME", "choices": list(keywords["choices"])}
    if keywords.get("default"):
        text += " (default: %(default)s)"
    group.add_argument(flag, help=text, **keywords)


def _setting(text: str) -> tuple[str, Any]:
    """Parse NAME=VALUE, the value as JSON where it is, else as text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _at_least(kind: Callable[[str], float], lowest: float) -> Callable[[str], float]:
    """Parser of a finite number that is at least ``lowest``."""

    def parse(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of type {kind.__name__}") from None
        if not (lowest <= number < float("inf")):
            raise argparse.ArgumentTypeError(f"{text} is out of range: pass a finite number >= {lowest}")
        return number

    return parse


def _fraction(text: str) -> float:
    """Parse a number strictly between 0 and 1."""
    number = _at_least(float, 0.0)(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range: pass a share between 0 and 1, such as 0.25")
    return number
