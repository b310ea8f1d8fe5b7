"""The rates of the coverage study as tables of colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from benchmarks.coverage_case import MODELS, SPARSE

if TYPE_CHECKING:
    from benchmarks.coverage import Row

PANELS = ("1 standard errors", "2 standard errors", "3 standard errors", "interval 0.95")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Save tables of what ran on matrices, and beside them (``..._models``) points of what ran on models and sparse matrices."""
    alone = [row for row in rows if row.basis in (MODELS, SPARSE)]
    others = [row for row in rows if row not in alone]
    if any(PANELS[0] in row.rates for row in others):
        _draw_tables(others, path)
    if alone:
        _draw_points(alone, path.with_stem(f"{path.stem}_models"))


def _draw_points(rows: Sequence[Row], path: Path) -> None:
    """Draw every rate with the 95 % interval of its binomial law, beside what is promised."""
    plt = _pyplot()
    lines = [(row, name) for row in rows for name in row.rates]
    figure, axis = plt.subplots(figsize=(11, 0.4 * len(lines) + 1.6), layout="constrained")
    for y, (row, name) in enumerate(lines):
        low, high = stats.beta.interval(
            0.95, row.rates[name] * row.seeds + 0.5, (1.0 - row.rates[name]) * row.seeds + 0.5
        )
        is_first = not y
        axis.plot([low, high], [y, y], color="C0", label="measured, with its 95 % interval" if is_first else None)
        axis.plot(row.rates[name], y, "o", color="C0")
        axis.plot(row.promises[name], y, "|", color="C3", markersize=18, label="promised" if is_first else None)
    axis.axvline(0.95, color="0.6", linewidth=1, linestyle=":", label="0.95, the name of all intervals")
    labels = [f"{row.quantity}, {row.spectrum}: {name}, {row.seeds} seeds" for row, name in lines]
    axis.set_yticks(
        range(len(lines)), [label.replace("1 standard errors", "1 standard error") for label in labels], fontsize=8
    )
    axis.invert_yaxis()
    axis.set_xlabel("share of seeds (of entries, where there are several) that hold")
    axis.set_title("What covers how often: eigenvalues inside, intervals of parameters, draws")
    axis.legend(fontsize=8, loc="lower left")
    axis.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def _draw_tables(rows: Sequence[Row], path: Path) -> None:
    """Save one table for each multiple of the standard error and for the interval, and one for all other statements."""
    plt = _pyplot()
    estimates = [row for row in rows if PANELS[0] in row.rates]
    others = [row for row in rows if PANELS[0] not in row.rates]
    lines = list(dict.fromkeys((row.quantity, row.max_hvp) for row in sorted(estimates, key=_order)))
    more = list(dict.fromkeys((row.quantity, row.max_hvp) for row in sorted(others, key=_order)))
    columns = list(dict.fromkeys((row.basis, row.spectrum) for row in sorted(rows, key=lambda row: row.basis)))
    figure, axes = plt.subplots(2, 3, figsize=(22, 17), layout="constrained")
    for axis, name in zip(axes.flat, PANELS, strict=False):
        cells = {(row.quantity, row.max_hvp, row.basis, row.spectrum): row for row in estimates}
        promise = estimates[0].promises[name]
        title = name.replace("1 standard errors", "1 standard error")
        image = _table(axis, cells, lines, columns, name, f"{title}: {promise:.1%} promised")
    cells = {(row.quantity, row.max_hvp, row.basis, row.spectrum): row for row in others}
    if others:
        _table(axes.flat[4], cells, more, columns, "", "bounds, bands, ranges: 90 to 100 % promised")
    _widths(axes.flat[5], estimates)
    seeds = max(row.seeds for row in rows)
    figure.suptitle(
        f"Coverage of the error bars of hessian.curvature: n = 120 (320 for 300 products), up to {seeds} seeds"
    )
    figure.colorbar(
        image,
        ax=axes[:, :2],
        label="rate less promise (white: as promised, blue: conservative, red: short)",
        shrink=0.6,
    )
    figure.savefig(path, dpi=70)
    plt.close(figure)


def _order(row: Row) -> tuple[str, int]:
    return row.quantity, row.max_hvp


def _table(axis: Any, cells: dict[Any, Row], lines: list[Any], columns: list[Any], name: str, title: str) -> Any:
    """Draw one table: a row per estimate and budget, a column per matrix."""
    numbers = np.full((len(lines), len(columns)), np.nan)
    for i, (quantity, max_hvp) in enumerate(lines):
        for j, (basis, spectrum) in enumerate(columns):
            row = cells.get((quantity, max_hvp, basis, spectrum))
            if row is not None:
                key = name or next(iter(row.rates))
                numbers[i, j] = row.rates[key] - row.promises[key]
    axis.set_facecolor("0.85")
    image = axis.imshow(numbers, cmap="RdBu", vmin=-0.15, vmax=0.15, aspect="auto", interpolation="nearest")
    axis.set_title(title)
    axis.set_yticks(
        range(len(lines)),
        [f"{quantity}, {max_hvp}" if max_hvp else quantity for quantity, max_hvp in lines],
        fontsize=8,
    )
    axis.set_xticks(
        range(len(columns)), [f"{spectrum}, {basis}" for basis, spectrum in columns], rotation=90, fontsize=7
    )
    axis.set_xlabel("spectrum and eigenvectors")
    axis.set_ylabel("estimate, products")
    return image


def _widths(axis: Any, rows: list[Row]) -> None:
    """Draw the median standard error over the true error: how much is claimed for what is there."""
    groups: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row.error > 1e-9 * row.width and 0.0 < row.width < np.inf:
            groups.setdefault(row.quantity, []).append((row.max_hvp, row.width / row.error))
    for k, (quantity, pairs) in enumerate(sorted(groups.items())):
        budgets = sorted({max_hvp for max_hvp, _ in pairs})
        middle = [float(np.median([ratio for b, ratio in pairs if b == max_hvp])) for max_hvp in budgets]
        # There are ten colours.
        axis.plot(budgets, middle, "o-" if k < 10 else "s--", label=quantity)
    axis.axhline(1.0, color="0.5", linewidth=1)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("products")
    axis.set_ylabel("median standard error / root mean square error, median over matrices")
    axis.set_title("Width of what is claimed")
    axis.legend(fontsize=8)
