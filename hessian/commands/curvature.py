"""``hessian curvature``: the curvature of a trained run, as numbers and pictures in its folder."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hessian.commands.datasets import load_dataset, split_dataset
from hessian.commands.folder import SETTINGS, SUMMARY
from hessian.commands.training import EXIT_CONVERGED, EXIT_NOT_SAVED, network
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
from hessian.plotting import plot_density, plot_layers, plot_line, plot_spectrum, require_matplotlib
from hessian.text import Column, heading, line

BUDGET = 100
"""Products for the summary of a network too large for all."""
BLOCK_BUDGET = 30
"""Products for each layer's spectrum."""
MOST_OUTLIERS = 12
"""Largest eigenvalues shown: as many as classes and a few more."""
_LAYERS: tuple[Column, ...] = (
    ("layer", "layer", "<12"), ("parameters", "size", "10d"), ("smallest", "smallest", "12.4e"), ("largest", "largest", "12.4e"),
    ("trace", "trace", "12.4e"),
)  # fmt: skip


def run_curvature(args: argparse.Namespace) -> int:
    """Measure, report and draw; return the exit code."""
    if not args.no_plot:
        require_matplotlib("curvature")
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
        print(found)
        places = {f"layer {k}": (k - 1,) for k in range(1, len(params) + 1)}
        # Blocks of at most a third of their budget are formed: beside exact numbers all of them are.
        budget = 3 * found.n if found.is_exact else BLOCK_BUDGET
        layers = block_spectra(operator, places, k=1, max_hvp=budget, rng=args.seed)
        print("\n" + format_layers(layers))
        for note in contradictions(found, layers):
            print(f"note: {note}")
        top = eigenvalues(operator, min(MOST_OUTLIERS, operator.shape[0]), which="LA", rng=args.seed)
        lines = None if args.no_plot else _slices(objective, params, args.seed)
    try:
        save_curvature(args.folder, found, layers, top)
        if lines is not None:
            _draw(args.folder, found, layers, top, lines)
    except OSError as error:
        print(f"hessian: error: the curvature could not be saved in {args.folder}: {error}", file=sys.stderr)
        return EXIT_NOT_SAVED
    print(f"\nwritten to {args.folder}")
    return EXIT_CONVERGED


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
    directions = eigen_directions(objective, params, k=2, rng=seed)
    return [line_slice(objective, params, direction) for direction in directions]


def format_layers(layers: dict[str, BlockSpectrum]) -> str:
    """Return one line per layer: its size, extreme eigenvalues and trace."""
    lines = [heading(_LAYERS)]
    for name, block in layers.items():
        low, high = float(block.lowest.values[0]), float(block.highest.values[-1])
        record = {"layer": name, "size": block.size, "smallest": low, "largest": high, "trace": block.trace.value}
        lines.append(line(_LAYERS, record.__getitem__))
    return "\n".join(lines)


def save_curvature(folder: Path, found: CurvatureSummary, layers: dict[str, BlockSpectrum], top: Eigenpairs) -> None:
    """Write the numbers."""
    numbers = {
        "n": found.n,
        "n_hvp": found.n_hvp,
        "largest_eigenvalues": top.values[::-1].tolist(),
        "residuals": top.residuals[::-1].tolist(),
        "trace": [float(found.trace.value), float(found.trace.standard_error)],
        "frobenius_norm": [float(found.frobenius_norm.value), float(found.frobenius_norm.standard_error)],
        "signs": dict(zip(("negative", "zero", "positive"), map(list, found.inertia.ranges), strict=True)),
        "is_exact": found.is_exact,
        "layers": {
            name: {"largest": float(block.highest.values[-1]), "trace": float(block.trace.value)}
            for name, block in layers.items()
        },
    }
    (folder / "curvature.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    (folder / "curvature.txt").write_text(f"{found}\n\n{format_layers(layers)}\n", encoding="utf-8")


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
