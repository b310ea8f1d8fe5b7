"""``hessian curvature``: the curvature of a trained run, as numbers and pictures in its folder."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hessian.commands.datasets import load_dataset, split_dataset
from hessian.commands.extras import require_extras
from hessian.commands.folder import SETTINGS, SUMMARY
from hessian.commands.output import as_json, say
from hessian.commands.training import EXIT_CONVERGED, EXIT_NOT_SAVED, judged, network
from hessian.curvature import (
    BlockSpectrum,
    CurvatureSummary,
    Eigenpairs,
    LineSlice,
    block_spectra,
    eigen_directions,
    eigenvalues,
    line_slice,
    summary,
)
from hessian.curvature.summary import LEAST
from hessian.errors import OptionError, message
from hessian.linalg import limits
from hessian.nn import TrainingObjective, softmax_cross_entropy, squared_error
from hessian.operators import HessianOperator
from hessian.optimize.checkpoint import write_whole
from hessian.plotting import plot_density, plot_layers, plot_line, plot_spectrum
from hessian.text import Column, heading, line

BUDGET = 100
"""Products for the summary of a network too large for all."""
BLOCK_BUDGET = 30
"""Products for each layer's spectrum."""
MOST_OUTLIERS = 12
"""Largest eigenvalues shown: as many as classes and a few more."""
_MOST_PRODUCTS = 1000
_LAYERS: tuple[Column, ...] = (
    ("layer", "layer", "<12"), ("parameters", "size", "10d"), ("smallest", "smallest", "12.4e"), ("largest", "largest", "12.4e"),
    ("trace", "trace", "12.4e"),
)  # fmt: skip


def run_curvature(args: argparse.Namespace) -> int:
    """Measure, report and draw; return the exit code."""
    require_extras("curvature", plot=not args.no_plot)
    tell: Callable[[str], None] = (lambda line: None) if args.json else say
    from threadpoolctl import threadpool_limits

    objective, params = load_run(args.folder)
    with threadpool_limits(args.threads, user_api="blas"):
        operator = HessianOperator(objective, params)
        found = summary(
            operator,
            _budget(args.max_hvp, operator.shape[0]),
            lower_bound=known_bound(args.folder, operator),
            rng=args.seed,
        )
        tell(str(found))
        places = {f"layer {k}": (k - 1,) for k in range(1, len(params) + 1)}
        # Blocks of at most a third of their budget are formed: beside exact numbers all of them are.
        budget = 3 * found.n if found.is_exact else BLOCK_BUDGET
        layers = block_spectra(operator, places, k=1, max_hvp=budget, rng=args.seed)
        tell("\n" + format_layers(layers))
        notes = contradictions(found, layers)
        status = status_of(args.folder, found, params)
        if status["zero_within"] is not None and found.inertia.at_least_negative and status["success"]:
            within = f"±{status['zero_within']:.1g}"
            notes.append(f"no eigenvalue is below what the gradient leaves of zeros ({within}): {status['status']}")
        for note in notes:
            tell(f"note: {note}")
        top = largest(found, operator, args.seed)
        lines = None if args.no_plot else _slices(objective, params, args.seed)
    numbers = numbers_of(found, layers, top) | status
    numbers["notes"] = [*found.notes(), *notes]
    if numbers["status"] is not None:
        tell(f"\nstatus of the run   {numbers['status']}")
    try:
        save_curvature(args.folder, numbers, f"{found}\n\n{format_layers(layers)}\n")
        if lines is not None:
            _draw(args.folder, found, layers, top, lines)
    except OSError as error:
        say(f"hessian curvature: error: the curvature could not be saved in {args.folder}: {error}", sys.stderr)
        return EXIT_NOT_SAVED
    finally:
        if args.json:
            say(as_json(numbers | {"folder": args.folder}))
    tell(f"written to {args.folder}")
    return EXIT_CONVERGED


def largest(found: CurvatureSummary, operator: HessianOperator, seed: int) -> Eigenpairs:
    """Return the largest eigenvalues: those of the summary where it has all, so that the two agree to the last digit."""
    n = found.n
    k = min(MOST_OUTLIERS, n)
    if not found.is_exact:
        return eigenvalues(operator, k, which="LA", max_hvp=max(_MOST_PRODUCTS, 2 * k), rng=seed)
    values = np.sort(found.density.nodes.ravel())[-k:]
    bound = float(found.eigenvalues.residuals.max())
    unknown = np.broadcast_to(np.nan, (n, k))
    return Eigenpairs(values, unknown, np.full(k, bound), found.n_hvp, True, 0.0, "dense", which="LA")


def _budget(asked: int | None, n: int) -> int:
    """Products for the summary: what was asked for, or all, where that takes seconds, so that its numbers are exact."""
    if asked is not None:
        return asked
    return max(LEAST, n) if n <= limits.REPORT_ORDER else BUDGET


def contradictions(found: CurvatureSummary, layers: dict[str, BlockSpectrum]) -> list[str]:
    """Say where a layer knows more of the whole than the summary does: no block has an eigenvalue beyond those of the whole."""
    values, slack = found.eigenvalues.values, found.inertia.threshold
    notes = []
    for name, block in layers.items():
        low, high = float(block.lowest.values[0]), float(block.highest.values[-1])
        if low < float(values[0]) - slack:
            notes.append(f"by {name} the smallest eigenvalue is at most {low:.4g}: raise --max-hvp to find it")
        if high > float(values[-1]) + slack:
            notes.append(f"by {name} the largest eigenvalue is at least {high:.4g}: raise --max-hvp to find it")
    return notes


def load_run(folder: Path) -> tuple[TrainingObjective, list[dict[str, np.ndarray]]]:
    """Rebuild the objective of a run from its settings, and read the parameters it ended at.

    Raises
    ------
    OptionError
        The folder holds no finished run, or its data are no longer what they were.
    """
    settings_file, arrays_file = folder / SETTINGS, folder / "parameters.npz"
    if not settings_file.exists() or not arrays_file.exists():
        what = f"{folder} holds no finished run"
        raise OptionError(message("curvature", what, fix="Pass the folder that `hessian train` wrote"))
    try:
        settings = json.loads(settings_file.read_text(encoding="utf-8"))
        with np.load(arrays_file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        what = f"{folder} cannot be read: {error}"
        raise OptionError(message("curvature", what, fix="Train again, or pass another folder")) from error
    args = argparse.Namespace(**settings)
    split = split_dataset(load_dataset(args.data, args.target, args.task), args.test_size, args.split_seed)
    model = network(args, split)
    params = [{"W": arrays[f"W{k}"], "b": arrays[f"b{k}"]} for k in range(len(model.widths) - 1)]
    shapes = [layer["W"].shape for layer in params]
    if shapes != list(zip(model.widths[:-1], model.widths[1:], strict=True)):
        what = f"the parameters in {folder} have shapes {shapes}, the network for its data {model.widths}"
        raise OptionError(message("curvature", what, "The data have changed since", "Train again"))
    loss = softmax_cross_entropy if split.is_classification else squared_error
    X = split.X_train.astype(params[0]["W"].dtype)
    y = split.y_train if split.is_classification else split.y_train.astype(X.dtype)
    return TrainingObjective(model, X, y, loss, args.l2), params


def known_bound(folder: Path, operator: HessianOperator) -> float | None:
    """Return what the run says no eigenvalue is below, less rounding, where training computed the smallest one.

    A few products cannot exclude negative eigenvalues, and need not where the matrix was formed at these very parameters.
    """
    try:
        results = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["results"]
        smallest, largest = results["smallest_eigenvalue"], results["largest_eigenvalues"][0]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    if not isinstance(smallest, float) or not isinstance(largest, float):
        return None
    n = operator.shape[0]
    rounding = 4.0 * math.sqrt(n) * float(np.finfo(operator.dtype).eps) * max(abs(smallest), abs(largest))
    return smallest - rounding


def _slices(objective: TrainingObjective, params: Any, seed: int) -> list[LineSlice]:
    """Losses along the eigenvectors of the two largest eigenvalues."""
    directions = eigen_directions(objective, params, k=2, max_hvp=_MOST_PRODUCTS, rng=seed)
    return [line_slice(objective, params, direction) for direction in directions]


def format_layers(layers: dict[str, BlockSpectrum]) -> str:
    """Return one line per layer: its size, extreme eigenvalues and trace."""
    lines = [heading(_LAYERS)]
    for name, block in layers.items():
        low, high = float(block.lowest.values[0]), float(block.highest.values[-1])
        record = {"layer": name, "size": block.size, "smallest": low, "largest": high, "trace": block.trace.value}
        lines.append(line(_LAYERS, record.__getitem__))
    return "\n".join(lines)


def numbers_of(found: CurvatureSummary, layers: dict[str, BlockSpectrum], top: Eigenpairs) -> dict[str, Any]:
    """Return the numbers for programs to read."""
    return {
        "n": found.n,
        "n_hvp": found.n_hvp,
        "largest_eigenvalues": top.values[::-1].tolist(),
        "residuals": top.residuals[::-1].tolist(),
        "smallest_eigenvalue": [float(found.eigenvalues.values[0]), float(found.eigenvalues.residuals[0])],
        "trace": [float(found.trace.value), float(found.trace.standard_error)],
        "frobenius_norm": [float(found.frobenius_norm.value), float(found.frobenius_norm.standard_error)],
        "signs": dict(zip(("negative", "zero", "positive"), map(list, found.inertia.ranges), strict=True)),
        "is_exact": found.is_exact,
        "layers": {
            name: {"largest": float(block.highest.values[-1]), "trace": float(block.trace.value)}
            for name, block in layers.items()
        },
    }


def status_of(folder: Path, found: CurvatureSummary, params: Any) -> dict[str, Any]:
    """Return the status of the run as exact numbers decide it, and keep it in its folder, so that nothing there says otherwise."""
    try:
        whole = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        results = whole["results"]
        if found.is_exact:
            ends = found.eigenvalues.values
            fresh = {
                "n_parameters": found.n,
                "smallest_eigenvalue": float(ends[0]),
                "largest_eigenvalues": [float(ends[-1])],
            }
            changes = judged({**results, **fresh}, params, found.eigenvalues.vectors.dtype)
            if any(results.get(name) != changes[name] for name in ("status", "message", "success")):
                whole["results"] = results | changes
                write_whole(folder / SUMMARY, (as_json(whole) + "\n").encode())
            results = results | changes
        zero = results.get("zero_within")
        return {"status": str(results["status"]), "success": bool(results["success"]), "zero_within": zero}
    except (OSError, ValueError, KeyError, TypeError):
        # Written by hand, or by another version: the numbers stand by themselves.
        return {"status": None, "success": None, "zero_within": None}


def save_curvature(folder: Path, numbers: dict[str, Any], text: str) -> None:
    """Write the numbers, and the tables."""
    (folder / "curvature.json").write_text(as_json(numbers) + "\n", encoding="utf-8")
    (folder / "curvature.txt").write_text(text, encoding="utf-8")


def _draw(
    folder: Path, found: CurvatureSummary, layers: dict[str, BlockSpectrum], top: Eigenpairs, lines: list[LineSlice]
) -> None:
    axes = {
        "spectrum": plot_spectrum(top),
        "density": plot_density(found.density, eigenvalues=top.values),
        "layers": plot_layers(
            {name: block.trace for name, block in layers.items()},
            label="trace of the Hessian's block" + (", exact" if found.is_exact else " ± standard error"),
        ),
    }
    axes |= {f"slice{k}": plot_line(line) for k, line in enumerate(lines, 1)}
    for name, ax in axes.items():
        figure: Any = ax.figure
        figure.savefig(folder / f"{name}.png", dpi=120)
