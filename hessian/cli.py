"""Command line: ``python -m hessian train digits`` trains a small network by Newton's method and keeps the run in a
folder."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg

from hessian import __version__
from hessian.errors import MissingDependencyError, OptionError, message, missing_dependency
from hessian.nn import ACTIVATIONS, INITIALIZERS, TrainingResult, accuracy, mlp, softmax_cross_entropy, train
from hessian.operators import HessianOperator
from hessian.optimize import OptimizeResult, format_history, write_history
from hessian.optimize.minimize import METHODS
from hessian.plotting import plot_convergence, require_matplotlib
from hessian.rules.catalogue import catalogue

EXIT_CONVERGED, EXIT_STOPPED_EARLY, EXIT_USAGE = 0, 1, 2
# Smallest eigenvalue and exact trace cost one product per parameter; beyond this many they would outlast the training,
# and the matrix passes 200 MB.
DENSE_LIMIT = 5000
DEFAULT_GTOL = {"float64": 1e-6, "float32": 1e-3}
# Without a terminal a bar would fill the log with its own redrawings; a line now and then says the same.
SECONDS_BETWEEN_LINES = 1.0


@dataclass(frozen=True)
class Split:
    """Training and test rows of a data set."""

    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process where left out.

    Returns
    -------
    int
        0 where the solver converged, 1 where it stopped early, 2 for a bad option (argparse exits with 2 itself).

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
        return int(args.run(args))
    except (OptionError, MissingDependencyError) as error:
        print(f"hessian: error: {error}", file=sys.stderr)
        return EXIT_USAGE


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="hessian", description="Newton methods on plain NumPy functions.")
    parser.add_argument("--version", action="version", version=f"hessian {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    training = commands.add_parser("train", help="train a small network by a Newton method")
    training.set_defaults(run=None)
    problems = training.add_subparsers(title="data sets", metavar="DATASET", required=True)
    digits = problems.add_parser(
        "digits",
        help="scikit-learn's 1797 handwritten digits of 8 x 8 pixels",
        description="Train a multilayer perceptron on scikit-learn's bundled digits to a tight gradient tolerance, "
        "and measure the curvature where it ends.",
        epilog="Exit codes: 0 converged, 1 stopped early (everything is still written), 2 bad option.",
    )
    _add_digits_options(digits)
    digits.set_defaults(run=train_digits)
    operations = commands.add_parser(
        "operations", help="list the operations that have derivative rules, with their conventions"
    )
    operations.set_defaults(run=list_operations)
    return parser


def list_operations(options: argparse.Namespace) -> int:
    """Print the catalogue of derivative rules."""
    print(catalogue())
    return 0


def _add_digits_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``train digits``."""
    network = parser.add_argument_group("network")
    _add(network, "--hidden", "hidden widths", type=_at_least(int, 1), nargs="*", default=[32], metavar="N")
    _add(network, "--activation", f"one of: {', '.join(ACTIVATIONS)}", choices=ACTIVATIONS, default="tanh")
    _add(network, "--initializer", f"one of: {', '.join(INITIALIZERS)}", choices=INITIALIZERS, default="glorot_uniform")
    _add(network, "--seed", "seed of the starting weights", type=_at_least(int, 0), default=0)
    _add(network, "--dtype", "of the parameters: float64 or float32", choices=tuple(DEFAULT_GTOL), default="float64")
    problem = parser.add_argument_group("objective and data")
    _add(problem, "--l2", "weight of the penalty (l2/2) ||parameters||^2", type=_at_least(float, 0.0), default=1e-3)
    _add(problem, "--test-size", "share of rows kept for the test", type=_fraction, default=0.25)
    _add(problem, "--split-seed", "seed of the stratified split", type=_at_least(int, 0), default=0)
    solver = parser.add_argument_group("solver")
    _add(solver, "--method", f"one of: {', '.join(METHODS)}", choices=METHODS, default=METHODS[0])
    _add(
        solver, "--gtol", "stop at this gradient 2-norm (default: 1e-06, in float32 0.001)", type=_at_least(float, 0.0)
    )
    _add(solver, "--maxiter", "most iterations", type=_at_least(int, 0), default=500)
    _add(solver, "--max-hvp", "most Hessian-vector products", type=_at_least(int, 0), default=20_000)
    _add(solver, "--threads", "threads of the BLAS", type=_at_least(int, 1), default=1)
    output = parser.add_argument_group("output")
    _add(output, "--out", "run folder (default: runs/digits-TIME)", type=Path, metavar="DIR")
    _add(output, "--overwrite", "write into a folder that already holds a run", action="store_true")
    _add(output, "--no-plot", "leave the picture out (matplotlib is not needed then)", action="store_true")
    _add(output, "--no-spectrum", "leave eigenvalues and trace out", action="store_true")
    _add(output, "--quiet", "no progress and no table, only the summary", action="store_true")


def _add(group: Any, flag: str, text: str, **keywords: Any) -> None:
    """Add one option whose help ends in its default, where it has one that says something."""
    if "choices" in keywords:
        keywords |= {"metavar": "NAME", "choices": list(keywords["choices"])}
    if keywords.get("default") is not None:
        text += " (default: %(default)s)"
    group.add_argument(flag, help=text, **keywords)


def _at_least(kind: Callable[[str], float], lowest: float) -> Callable[[str], float]:
    """Parser of a finite number that is at least `lowest`."""

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


def load_digits(test_size: float, seed: int) -> Split:
    """Load scikit-learn's digits with pixels in [0, 1], split so that both parts hold each digit in the same share."""
    try:
        from sklearn import datasets, model_selection
    except ModuleNotFoundError as error:
        raise missing_dependency("train digits", "scikit-learn", "train") from error
    X, y = datasets.load_digits(return_X_y=True)
    try:
        parts = model_selection.train_test_split(X / 16.0, y, test_size=test_size, stratify=y, random_state=seed)
    except ValueError as error:
        raise OptionError(
            message(
                "train digits",
                f"--test-size {test_size} leaves a part without some digit: {error}",
                fix="Pass a share nearer to 0.25",
            )
        ) from error
    return Split(*parts)


def train_digits(args: argparse.Namespace) -> int:
    """Train, report and save; return the exit code."""
    if not args.no_plot:
        require_matplotlib("train digits")
    data = load_digits(args.test_size, args.split_seed)
    # scikit-learn, which is there by now, brings threadpoolctl. One thread by default: matrices of 1347 x 64 gain little
    # from more, lose tenfold to waiting on a busy machine, and sum in an order that depends on their number.
    from threadpoolctl import threadpool_limits

    with threadpool_limits(args.threads, user_api="blas"):
        return _train_digits(args, data)


def _train_digits(args: argparse.Namespace, data: Split) -> int:
    """Train on the data, report and save."""
    model = mlp((64, *args.hidden, 10), args.activation, initializer=args.initializer)
    folder = prepare_folder(args.out, args.overwrite)
    show: Callable[[str], None] = (lambda line: None) if args.quiet else print
    show(f"digits: {len(data.X_train)} training and {len(data.X_test)} test rows; network {_widths(model.sizes)}, "
         f"{args.activation}, {model.n_parameters} parameters ({args.dtype}); l2 = {args.l2:g}")  # fmt: skip
    has_bar = not args.quiet and sys.stderr.isatty()
    gtol = DEFAULT_GTOL[args.dtype] if args.gtol is None else args.gtol
    started = time.perf_counter()
    fit = train(
        model, data.X_train, data.y_train, l2=args.l2, method=args.method, seed=args.seed, dtype=args.dtype,
        callback=None if args.quiet or has_bar else PlainProgress(),
        options={"gtol": gtol, "maxiter": args.maxiter, "max_hvp": args.max_hvp, "progress": has_bar},
    )  # fmt: skip
    seconds = time.perf_counter() - started
    show("\n" + format_history(fit.result.history) + "\n")
    summary = summarise(fit, data, seconds)
    print(format_summary(summary))
    if not args.no_spectrum:
        summary |= measure_curvature(fit)
        print(format_curvature(summary))
    save_run(folder, fit, summary, vars(args) | {"gtol": gtol})
    print(f"run folder          {folder}")
    if fit.result.success:
        return EXIT_CONVERGED
    print(f"hessian: the solver stopped early: {fit.result.message}", file=sys.stderr)
    return EXIT_STOPPED_EARLY


class PlainProgress:
    """Progress as a line on the standard error stream every few seconds, for where there is no terminal to draw a bar
    on."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, intermediate_result: OptimizeResult) -> None:
        """Print a line if the last one is old enough."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            state = intermediate_result
            print(f"iteration {state.nit}: objective {state.fun:.8f}, gradient norm {state.gradient_norm:.2e}, "
                  f"{state.n_hvp} Hessian-vector products", file=sys.stderr, flush=True)  # fmt: skip


def _widths(sizes: Sequence[int]) -> str:
    """Write a network's widths as 64-32-10."""
    return "-".join(map(str, sizes))


def prepare_folder(out: Path | None, overwrite: bool) -> Path:
    """Create the run folder before the work starts, so that a bad path costs nothing."""
    folder = out if out is not None else Path("runs") / time.strftime("digits-%Y%m%d-%H%M%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not overwrite:
            raise OptionError(
                message(
                    "train digits",
                    f"--out {folder} is not empty",
                    "A run never replaces another unasked",
                    "Pass another folder, or --overwrite",
                )
            )
    except OSError as error:
        raise OptionError(
            message("train digits", f"--out {folder} cannot be created: {error}", fix="Pass a folder you may write to")
        ) from error
    return folder


def summarise(fit: TrainingResult, data: Split, seconds: float) -> dict[str, Any]:
    """Collect the numbers of a run."""
    logits = fit.predict(data.X_test)
    result = fit.result
    return {
        "success": bool(result.success),
        "message": str(result.message),
        "seconds": seconds,
        "objective": fit.metrics["objective"],
        "gradient_norm": fit.metrics["gradient_norm"],
        "train_loss": fit.metrics["loss"],
        "train_accuracy": fit.metrics["accuracy"],
        "test_loss": float(softmax_cross_entropy(logits, data.y_test)),
        "test_accuracy": accuracy(logits, data.y_test),
        "nit": int(result.nit),
        "n_value": int(result.n_value),
        "n_grad": int(result.n_grad),
        "n_hvp": int(result.n_hvp),
        "n_hess": int(result.n_hess),
        "n_factor": int(result.n_factor),
    }


def format_summary(summary: dict[str, Any]) -> str:
    """Return the summary of the training as aligned lines; the solver's advice is cut to its first sentence."""
    reason = summary["message"].split(". ")[0]
    return "\n".join([
        f"status              {'converged' if summary['success'] else 'STOPPED EARLY'}: {reason}.",
        f"objective           {summary['objective']:.10f}",
        f"gradient norm       {summary['gradient_norm']:.3e}",
        f"iterations          {summary['nit']} in {summary['seconds']:.1f} s",
        f"work                {summary['n_value']} values, {summary['n_grad']} gradients, "
        f"{summary['n_hvp']} Hessian-vector products, {summary['n_hess']} Hessians, {summary['n_factor']} factors",
        f"training accuracy   {summary['train_accuracy']:.4f}   (mean cross-entropy {summary['train_loss']:.5f})",
        f"test accuracy       {summary['test_accuracy']:.4f}   (mean cross-entropy {summary['test_loss']:.5f})",
    ])  # fmt: skip


def measure_curvature(fit: TrainingResult) -> dict[str, Any]:
    """Measure the Hessian at the end: its five largest eigenvalues and, where affordable, the smallest and the
    trace."""
    operator = HessianOperator(fit.objective, fit.params)
    n = operator.shape[0]
    found = {"n_parameters": n, "largest_eigenvalues": operator.eigsh(5)[0][::-1].tolist()}
    if n > DENSE_LIMIT:
        return found | {"smallest_eigenvalue": None, "trace": None}
    matrix = operator.to_dense()
    smallest = scipy.linalg.eigvalsh(matrix, subset_by_index=[0, 0])[0]
    return found | {"smallest_eigenvalue": float(smallest), "trace": float(np.trace(matrix))}


def format_curvature(summary: dict[str, Any]) -> str:
    """Return the curvature at the end as aligned lines."""
    lines = ["largest eigenvalues " + "  ".join(f"{value:.6f}" for value in summary["largest_eigenvalues"])]
    if summary["trace"] is None:
        why = f"they take one product per parameter, and there are {summary['n_parameters']} (limit {DENSE_LIMIT})"
        return "\n".join([*lines, f"smallest, trace     not computed: {why}"])
    smallest = summary["smallest_eigenvalue"]
    kind = "positive definite" if smallest > 0 else "NOT positive definite"
    return "\n".join(
        [*lines, f"smallest eigenvalue {smallest:.6e}   ({kind})", f"trace               {summary['trace']:.6f}"]
    )


def save_run(folder: Path, fit: TrainingResult, summary: dict[str, Any], settings: dict[str, Any]) -> None:
    """Write parameters, history, summary and, unless left out, the picture."""
    arrays = {f"{name}{k}": array for k, layer in enumerate(fit.params) for name, array in layer.items()}
    np.savez(folder / "parameters.npz", **arrays)
    write_history(fit.result.history, folder / "history.csv")
    kept = {name: setting for name, setting in settings.items() if name not in {"run", "out"}}
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    text = json.dumps({"settings": kept, "versions": versions, "results": summary}, indent=2)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    if not settings["no_plot"]:
        plot_convergence(fit.result.history, gtol=settings["gtol"], path=folder / "convergence.png")
