"""Command line: ``hessian train digits`` trains a small network by Newton's method and keeps the run in a folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hessian import __version__
from hessian.commands.comparison import run_comparison
from hessian.commands.coverage import STATES
from hessian.commands.curvature import run_curvature
from hessian.commands.datasets import NAMES
from hessian.commands.operations import run_operations
from hessian.commands.output import discard
from hessian.commands.parser import EXIT_USAGE, Parser, add, at_least, fraction, names_from, setting
from hessian.commands.training import ALL_METHODS, DEFAULT_GTOL, DEFAULT_MAX_HVP, EXIT_CONVERGED, run_training
from hessian.errors import HessianError
from hessian.nn import ACTIVATIONS, INITIALIZERS

EXIT_INTERRUPTED = 130
_EXIT_CODES = "Exit codes: 0 converged, 1 stopped early (everything is still written), 2 bad option or data, 3 could not be saved."
_DATA = f"{', '.join(NAMES)}, or a file of comma-separated values"
COMPARED = "trust-ncg,arc,hessian-free,adam"
_TOUR = """Try:
  hessian train digits --out run       train a network to a gradient of 1e-6, and look at the curvature there
  hessian curvature run                its whole spectrum, as numbers and pictures in the folder
  hessian compare wine                 several methods from one start
  hessian operations logsumexp         what has a derivative, and what holds at its kinks
  hessian train --help                 all options with their defaults

Errors are one line on the standard error stream; with --json, standard output is one JSON document and nothing else.
In Python: import hessian as hs; hs.grad(f)(x), hs.hvp(f, x, v), hs.optimize.minimize(f, x).summary()"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process where left out.

    Returns
    -------
    int
        0 where the solver converged, or what was asked for is printed; 1 where the solver stopped early, 2 for a bad option or bad
        data (argparse exits with 2 itself), 3 where the run could not be saved, 130 where it was interrupted.

    Examples
    --------
    >>> main(["operations", "numpy.rint"])
    numpy.rint  no derivative
    0
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    command = args.command
    try:
        if command is None:
            parser.print_help()
            return EXIT_CONVERGED
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read the output has left; what was asked for is done, or was only to be read.
        discard(sys.stdout)
        return EXIT_CONVERGED
    except HessianError as error:
        print(f"hessian {command}: error: {one_line(error, command)}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print(f"hessian {command}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def one_line(error: HessianError, command: str) -> str:
    """Return the text of an error on one line, without the name of a command in front, which is there already."""
    text = " ".join(str(error).split())
    for own in {"train", "compare", "curvature", "operations", command}:
        text = text.removeprefix(f"{own}: ")
    return text


def build_parser() -> Parser:
    """Return the parser of the command line."""
    about = "Exact second derivatives of plain NumPy functions, and Newton methods that use them."
    parser = Parser(prog="hessian", description=about, epilog=_TOUR)
    parser.add_argument("--version", action="version", version=f"hessian {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=Parser)

    def command(name: str, text: str, about: str, run: Any, example: str, epilog: str = "") -> Parser:
        made: Parser = commands.add_parser(name, help=text, description=about, epilog=epilog)
        made.example = example
        made.set_defaults(run=run)
        parser.commands[name] = made
        return made

    training = command(
        "train", "train a small network on a data set",
        "Train a multilayer perceptron to a tight gradient tolerance, and measure the curvature where it ends.",
        run_training, "hessian train digits", _EXIT_CODES,
    )  # fmt: skip
    _add_problem(training)
    _add_training(training)
    comparing = command(
        "compare", "train the same network by several methods and draw their losses",
        "Train the same network from the same weights by several methods, and draw the objective against\n"
        "Hessian-vector products and against seconds.",
        run_comparison, "hessian compare wine",
        "Exit codes: 0 some method converged, 1 every one stopped early, 2 bad option or data, 3 could not be saved.",
    )  # fmt: skip
    _add_problem(comparing)
    _add_comparison(comparing)
    measuring = command(
        "curvature", "measure and draw the curvature of a trained run",
        "Spend a budget of Hessian-vector products on the spectrum at the end of a run, and write the numbers\n"
        "and pictures into its folder.",
        run_curvature, "hessian curvature runs/digits-20260101-120000",
        "Exit codes: 0 measured, 2 bad option or folder, 3 could not be saved.",
    )  # fmt: skip
    _add_curvature(measuring)
    listing = command(
        "operations", "list what works on traced values, with conventions and accuracies",
        "List the NumPy and SciPy callables that have derivative rules; with a filter also those that have none, and why.",
        run_operations, "hessian operations exp", "Exit codes: 0 listed, 2 nothing matches.",
    )  # fmt: skip
    _add_operations(listing)
    return parser


def _add_problem(parser: Parser) -> None:
    """Add what training and comparing share: data, network, objective, limits."""
    parser.add_argument("data", metavar="DATA", help=_DATA)
    data = parser.add_argument_group("data")
    add(data, "--target", "column of a file to predict, by name or number from 1 (default: the last)", metavar="COLUMN")
    tasks = ("auto", "classification", "regression")
    add(data, "--task", f"what the target is, one of: {', '.join(tasks)}", choices=tasks, default="auto")
    add(data, "--test-size", "share of rows kept for the test", type=fraction, default=0.25)
    add(data, "--split-seed", "seed of the split", type=at_least(int, 0), default=0)
    network = parser.add_argument_group("network and objective")
    add(network, "--hidden", "hidden widths", type=at_least(int, 1), nargs="*", default=[32], metavar="N")
    add(network, "--activation", f"one of: {', '.join(ACTIVATIONS)}", choices=ACTIVATIONS, default="tanh")
    add(network, "--initializer", f"one of: {', '.join(INITIALIZERS)}", choices=INITIALIZERS, default="glorot_uniform")
    add(network, "--seed", "seed of starting weights and batches", type=at_least(int, 0), default=0)
    add(network, "--dtype", "of the parameters: float64 or float32", choices=tuple(DEFAULT_GTOL), default="float64")
    add(network, "--l2", "weight of the penalty (l2/2) ||parameters||^2", type=at_least(float, 0.0), default=1e-3)
    limits = parser.add_argument_group("limits")
    add(limits, "--gtol", "stop at this gradient 2-norm (default: 1e-06, in float32 0.001)", type=at_least(float, 0.0))
    add(limits, "--maxiter", "most iterations, or epochs of methods on batches", type=at_least(int, 0), default=500)
    products = f"most Hessian-vector products of full-batch methods (default: {DEFAULT_MAX_HVP})"
    add(limits, "--max-hvp", products, type=at_least(int, 0))
    add(limits, "--max-seconds", "most seconds of each method (default: no limit)", type=at_least(float, 0.0))
    rows = "rows per batch, of methods on batches (default: the method's own)"
    add(limits, "--batch-size", rows, type=at_least(int, 1), metavar="N")
    add(limits, "--validation", "share of the training rows to validate on", type=fraction)
    waits = "stop after so many iterations without a smaller validation loss (default: never)"
    add(limits, "--patience", waits, type=at_least(int, 1))
    add(limits, "--threads", "threads of the BLAS", type=at_least(int, 1), default=1)
    output = parser.add_argument_group("output")
    add(output, "--out", "folder (default: runs/DATA-TIME)", type=Path, metavar="DIR")
    add(output, "--overwrite", "write into a folder that already holds a run", action="store_true")
    add(output, "--no-plot", "leave the picture out (matplotlib is not needed then)", action="store_true")
    add(output, "--json", "print one JSON document and nothing else", action="store_true")


def _add_training(parser: Parser) -> None:
    own = parser.add_argument_group("training")
    add(own, "--method", f"one of: {', '.join(ALL_METHODS)}", choices=ALL_METHODS, default=ALL_METHODS[0])
    add(
        own, "--set", "an option of the method, such as learning_rate=0.01, as often as wanted (default: the method's own)",
        type=setting, action="append", default=[], metavar="NAME=VALUE",
    )  # fmt: skip
    add(own, "--resume", "go on with the run in --out from its checkpoint", action="store_true")
    add(own, "--no-spectrum", "leave eigenvalues and trace out", action="store_true")
    add(own, "--quiet", "no progress and no table, only the summary", action="store_true")


def _add_comparison(parser: Parser) -> None:
    """Add the options of ``compare`` alone."""
    own = parser.add_argument_group("comparison")
    text = f"comma-separated from {', '.join(ALL_METHODS)}"
    add(own, "--methods", text, type=names_from(ALL_METHODS), default=COMPARED, metavar="LIST")


def _add_curvature(parser: Parser) -> None:
    parser.add_argument("folder", metavar="RUN_FOLDER", type=Path, help="folder that `hessian train` wrote")
    work = parser.add_argument_group("work")
    text = "Hessian-vector products to spend (default: all, for exact numbers, up to 5000 parameters; 100 beyond)"
    add(work, "--max-hvp", text, type=at_least(int, 12))
    add(work, "--seed", "seed of random vectors", type=at_least(int, 0), default=0)
    add(work, "--threads", "threads of the BLAS", type=at_least(int, 1), default=1)
    output = parser.add_argument_group("output")
    add(output, "--no-plot", "leave the pictures out (matplotlib is not needed then)", action="store_true")
    add(output, "--json", "print one JSON document and nothing else", action="store_true")


def _add_operations(parser: Parser) -> None:
    text = "part of a name, or a pattern with * and ? (default: all)"
    parser.add_argument("name", metavar="NAME", nargs="?", help=text)
    choice = parser.add_argument_group("filter")
    add(choice, "--module", "such as numpy.linalg, or scipy.special (default: all)", metavar="MODULE")
    states = tuple(state.replace(" ", "-") for state in STATES)
    add(choice, "--state", f"one of: {', '.join(states)} (default: all)", choices=states)
    output = parser.add_argument_group("output")
    add(output, "--json", "print one JSON document and nothing else", action="store_true")
    add(output, "--markdown", "as docs/coverage.md, with what is missing and why", action="store_true")
