"""``hessian train``: a multilayer perceptron on a data set, by any method, kept in a folder."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.linalg

from hessian.commands.datasets import Dataset, Split, load_dataset, split_dataset
from hessian.commands.decision import decided, sign_of, zero_within
from hessian.commands.extras import require_extras
from hessian.commands.folder import (
    CHECKPOINT,
    forget_settings,
    keep_settings,
    prepare_folder,
    save_run,
    save_summary,
    whole_summary,
)
from hessian.commands.output import as_json, say
from hessian.errors import HessianError, OptionError, message
from hessian.linalg import limits
from hessian.nn import Sequential, TrainingResult, mlp, softmax_cross_entropy, squared_error, train
from hessian.nn.training import BATCH_METHODS
from hessian.operators import HessianOperator
from hessian.optimize import OptimizeResult, format_history
from hessian.optimize.choice import METHODS
from hessian.tape.trees import ravel

EXIT_CONVERGED, EXIT_STOPPED_EARLY, EXIT_NOT_SAVED = 0, 1, 3
ALL_METHODS = METHODS + tuple(BATCH_METHODS)
DEFAULT_GTOL = {"float64": 1e-6, "float32": 1e-3}
DEFAULT_MAX_HVP = 20_000
# Without a terminal a bar would fill the log with its own redrawings; a line now and then says the same.
SECONDS_BETWEEN_LINES = 1.0
MOST_ROWS_SHOWN = 200


def run_training(args: argparse.Namespace) -> int:
    """Train, report and save; return the exit code."""
    check_options(args, (args.method,))
    require_extras("train", plot=not args.no_plot)
    data = load_dataset(args.data, args.target, args.task)
    split = split_dataset(data, args.test_size, args.split_seed)
    # One thread by default: small matrices gain little
    # from more, lose tenfold to waiting on a busy machine, and sum in an order that depends on their number.
    from threadpoolctl import threadpool_limits

    with threadpool_limits(args.threads, user_api="blas"):
        return _train(args, data, split)


def check_options(args: argparse.Namespace, methods: Sequence[str]) -> None:
    """Refuse, before any work, options that would do nothing.

    Raises
    ------
    OptionError
        No method named takes the option, or it waits for another one.
    """
    on_batches = [method for method in methods if method in BATCH_METHODS]
    on_all_rows = [method for method in methods if method not in BATCH_METHODS]
    takers = {
        "batch_size": (on_batches, "full-batch methods see all rows at once"),
        "max_hvp": (
            on_all_rows,
            "methods on batches have no budget of products; --maxiter and --max-seconds limit them",
        ),
        "gtol": (
            on_all_rows + [name for name in on_batches if name == "hessian-free"],
            "first-order methods have none",
        ),
    }
    for name, (those, why) in takers.items():
        if getattr(args, name) is not None and not those:
            what = f"--{name.replace('_', '-')} has no meaning for {' and '.join(methods)}"
            raise OptionError(message("train", what, why, "Leave it out, or choose another method"))
    if args.patience is not None and args.validation is None:
        what, why = "--patience without --validation", "there is no validation loss to wait for"
        raise OptionError(message("train", what, why, "Pass e.g. --validation 0.2"))


def _train(args: argparse.Namespace, data: Dataset, split: Split) -> int:
    folder = prepare_folder(args.out, data.name, overwrite=args.overwrite, resume=args.resume)
    keep_settings(folder, vars(args), resume=args.resume)
    tell: Callable[[str], None] = (lambda line: None) if args.json else say
    show = (lambda line: None) if args.quiet else tell
    model = network(args, split)
    show(describe(args, data, split, model))
    has_bar = not args.quiet and sys.stderr.isatty()
    callback = None if args.quiet or has_bar else PlainProgress()
    options = solver_options(args) | {"progress": has_bar}
    started = time.perf_counter()
    try:
        fit = fit_network(
            args, split, model, args.method, options, callback, checkpoint=folder / CHECKPOINT, resume=args.resume
        )
    except HessianError:
        if not args.resume:
            forget_settings(folder)
        raise
    summary = summarise(fit, split, time.perf_counter() - started)
    settings = vars(args) | {"gtol": gtol(args)}
    # Saved before anything else can fail: printing, or the curvature, which can take as long as the training.
    problem = _attempt(lambda: save_run(folder, fit, summary, settings))
    show("\n" + shortened(format_history(fit.result.history)) + "\n")
    if not args.no_spectrum:
        summary |= measure_curvature(fit)
        # What the solver left undecided, these numbers decide, for all that is printed and kept.
        summary |= judged(summary, fit.params, np.dtype(args.dtype))
        problem = problem or _attempt(lambda: save_summary(folder, summary, settings))
    tell(format_summary(summary))
    if not args.no_spectrum:
        tell(format_curvature(summary))
    if args.json:
        say(as_json(whole_summary(summary, settings) | {"folder": folder}))
    if problem is not None:
        say(f"hessian train: error: the run could not be saved in {folder}: {problem}", sys.stderr)
        return EXIT_NOT_SAVED
    tell(f"run folder          {folder}")
    if summary["success"]:
        return EXIT_CONVERGED
    say(f"hessian train: the solver stopped early: {summary['message']}", sys.stderr)
    return EXIT_STOPPED_EARLY


def _attempt(save: Callable[[], None]) -> OSError | None:
    """Save something; the answer is why that failed."""
    try:
        save()
    except OSError as error:
        return error
    return None


def network(args: argparse.Namespace, split: Split) -> Sequential:
    """Describe the network for the data."""
    sizes = (split.X_train.shape[1], *args.hidden, split.n_out)
    return mlp(sizes, args.activation, initializer=args.initializer)


def gtol(args: argparse.Namespace) -> float:
    """Gradient tolerance: asked for, or the dtype's."""
    return DEFAULT_GTOL[args.dtype] if args.gtol is None else float(args.gtol)


def solver_options(args: argparse.Namespace) -> dict[str, Any]:
    """Options of the method chosen, from the command line's."""
    return method_options(args, args.method) | dict(args.set)


def method_options(args: argparse.Namespace, method: str) -> dict[str, Any]:
    """Options that a method shares with the others it may be compared with."""
    options: dict[str, Any] = {"maxiter": args.maxiter}
    if args.max_seconds is not None:
        options["max_seconds"] = args.max_seconds
    if method not in BATCH_METHODS:
        options |= {"gtol": gtol(args), "max_hvp": DEFAULT_MAX_HVP if args.max_hvp is None else args.max_hvp}
    elif method == "hessian-free":
        options["gtol"] = gtol(args)
    return options


def fit_network(
    args: argparse.Namespace,
    split: Split,
    model: Sequential,
    method: Any,
    options: dict[str, Any],
    callback: Callable[..., Any] | None,
    **keeping: Any,
) -> TrainingResult:
    """Train the network by a method."""
    batch = {"batch_size": args.batch_size} if args.batch_size is not None and method in BATCH_METHODS else {}
    loss = softmax_cross_entropy if split.is_classification else squared_error
    return train(
        model, split.X_train, split.y_train, loss=loss, l2=args.l2, method=method, rng=args.seed, dtype=args.dtype,
        callback=callback, options=options, validation=args.validation, patience=args.patience, **batch, **keeping,
    )  # fmt: skip


def describe(args: argparse.Namespace, data: Dataset, split: Split, model: Sequential) -> str:
    """Say what is about to be trained on what."""
    kind = f"{len(split.classes)} classes" if split.is_classification else "regression"
    constant = f", {split.n_constant} constant columns" if split.n_constant else ""
    return (
        f"{data.name}: {kind}, {len(split.X_train)} training and {len(split.X_test)} test rows{constant}; network "
        f"{'-'.join(map(str, model.widths))}, {args.activation}, {model.n_parameters} parameters ({args.dtype}); "
        f"l2 = {args.l2:g}"
    )


def shortened(table: str) -> str:
    """Leave out the middle of a long table, which is in history.csv whole."""
    lines = table.splitlines()
    if len(lines) <= MOST_ROWS_SHOWN + 1:
        return table
    half = MOST_ROWS_SHOWN // 2
    return "\n".join([*lines[: half + 1], f"  ... {len(lines) - 1 - 2 * half} rows ...", *lines[-half:]])


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
            line = f"iteration {state.nit}: objective {state.fun:.8f}, gradient norm {state.gradient_norm:.2e}, "
            say(f"{line}{state.n_hvp} Hessian-vector products", sys.stderr)


def summarise(fit: TrainingResult, split: Split, seconds: float) -> dict[str, Any]:
    """Collect the numbers of a run."""
    result = fit.result
    summary = {
        "success": bool(result.success),
        "status": result.status.name,
        "message": str(result.message),
        "method": result.method,
        "seconds": seconds,
        "objective": fit.metrics["objective"],
        "gradient_norm": fit.metrics["gradient_norm"],
        "train_loss": fit.metrics["loss"],
        "nit": int(result.nit),
    }
    for name in ("n_value", "n_grad", "n_hvp", "n_hess", "n_factor"):
        summary[name] = int(result[name])
    return summary | _quality(fit, split)


def _quality(fit: TrainingResult, split: Split) -> dict[str, float]:
    """Losses on the test rows, and accuracies or shares of variance on both."""
    loss: Any = softmax_cross_entropy if split.is_classification else squared_error
    score, name = loss.metric, loss.metric.__name__
    train_out, test_out = fit.predict(split.X_train), fit.predict(split.X_test)
    return {
        f"train_{name}": float(score(train_out, split.y_train)),
        "test_loss": float(loss(test_out, split.y_test)),
        f"test_{name}": float(score(test_out, split.y_test)),
    }


def format_summary(summary: dict[str, Any]) -> str:
    """Return the summary of the training as aligned lines; the solver's advice is cut to its first sentence."""
    reason = summary["message"].split(". ")[0].rstrip(".")
    name, label, loss = (
        ("accuracy", "accuracy", "mean cross-entropy") if "test_accuracy" in summary
        else ("r2", "R squared", "mean squared error, scaled")
    )  # fmt: skip
    lines = [
        f"status              {'converged' if summary['success'] else 'STOPPED EARLY'}: {reason}.",
        f"objective           {summary['objective']:.10f}",
        f"gradient norm       {summary['gradient_norm']:.3e}",
        f"iterations          {summary['nit']} in {summary['seconds']:.1f} s by {summary['method']}",
        f"work                {summary['n_value']} values, {summary['n_grad']} gradients, "
        f"{summary['n_hvp']} Hessian-vector products, {summary['n_hess']} Hessians, {summary['n_factor']} factors",
    ]
    for part in ("training", "test"):
        key = "train" if part == "training" else "test"
        title = f"{part} {label}".ljust(20)
        lines.append(f"{title}{summary[f'{key}_{name}']:.4f}   ({loss} {summary[f'{key}_loss']:.5f})")
    return "\n".join(lines)


def measure_curvature(fit: TrainingResult) -> dict[str, Any]:
    """Measure the Hessian at the end: its five largest eigenvalues and, where affordable, the smallest and the
    trace."""
    operator = HessianOperator(fit.objective, fit.params)
    n = operator.shape[0]
    found = {"n_parameters": n, "largest_eigenvalues": operator.eigsh(min(5, n))[0][::-1].tolist()}
    if n > limits.REPORT_ORDER:
        return found | {"smallest_eigenvalue": None, "trace": None}
    matrix = operator.to_dense()
    smallest = scipy.linalg.eigvalsh(matrix, subset_by_index=[0, 0])[0]
    return found | {"smallest_eigenvalue": float(smallest), "trace": float(np.trace(matrix))}


def judged(results: Mapping[str, Any], params: Any, dtype: np.dtype) -> dict[str, Any]:
    """Return status, message, success, and the magnitude up to which eigenvalues are zero, by the spectrum's ends where both are known."""
    smallest = results["smallest_eigenvalue"]
    if smallest is None:
        return {}
    largest = max(abs(smallest), abs(results["largest_eigenvalues"][0]))
    length = float(np.linalg.norm(ravel(params)[0]))
    return decided(results, smallest, largest, length, dtype) | {
        "zero_within": zero_within(results, largest, length, dtype)
    }


def format_curvature(summary: dict[str, Any]) -> str:
    """Return the curvature at the end as aligned lines."""
    lines = ["largest eigenvalues " + "  ".join(f"{value:.6f}" for value in summary["largest_eigenvalues"])]
    if summary["trace"] is None:
        why = f"they take one product per parameter, and there are {summary['n_parameters']} (limit {limits.REPORT_ORDER})"
        return "\n".join([*lines, f"smallest, trace     not computed: {why}"])
    smallest = summary["smallest_eigenvalue"]
    return "\n".join(
        [
            *lines,
            f"smallest eigenvalue {smallest:.6e}   ({sign_of(summary)})",
            f"trace               {summary['trace']:.6f}",
        ]
    )
