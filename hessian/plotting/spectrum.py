"""Pictures of eigenvalues with the bounds on their errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hessian.errors import ShapeMismatchError, message
from hessian.plotting.canvas import (
    COLORS,
    as_row,
    axes_for,
    check_log,
    label_axes,
    line_style,
    note_below,
    wants_log,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 100


def plot_spectrum(
    pairs: Any,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    scale: Literal["auto", "linear", "log"] = "auto",
    marker: str = "o",
) -> Axes:
    """Draw eigenvalues against their rank, the largest first, each with a bar as long as its residual.

    Parameters
    ----------
    pairs : Eigenpairs or array_like, shape (k,)
        What :func:`hessian.curvature.eigenvalues` returns, or numbers alone, which get no bars.
    ax : Axes, optional
        Where to draw; draw several spectra into one to compare them.
    label : str, optional
        Name in the legend.
    scale : {"auto", "linear", "log"}
        Of the vertical axis. A log axis shows magnitudes, with triangles that point down for negative eigenvalues.
        ``"auto"`` takes it where all are positive and a factor 30 apart; axes that hold a spectrum already keep theirs.
    marker : str
        As matplotlib names it.

    Raises
    ------
    OptionError
        There are no eigenvalues, the scale is unknown, or it is a log one and all eigenvalues are zero.
    ShapeMismatchError
        There are not as many residuals as eigenvalues.

    Notes
    -----
    On a log axis those that are zero within their errors (bare numbers: to rounding of the largest) are left out, and a line below
    tells how many. Ranks are those among the eigenvalues given, of how many the axis says.
    More than a hundred eigenvalues are drawn as points against the logarithm of their rank.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import eigenvalues
    >>> ax = plot_spectrum(eigenvalues(np.diag([1.0, 2.0, 300.0]), 3), label="example")
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale(), ax.lines[0].get_ydata().tolist()
    ('rank', 'eigenvalue', 'log', [300.0, 2.0, 1.0])
    """
    where = "plot_spectrum"
    values = as_row(where, "the spectrum", getattr(pairs, "values", pairs))
    errors = _errors(where, pairs, values.shape)
    if scale == "auto" and ax is not None and ax.containers:
        scale = ax.get_yscale()  # a log axis would drop what another spectrum has below zero
    is_log = wants_log(where, scale, values)
    if is_log:
        check_log(where, np.abs(values))
    ax = axes_for(where, ax)
    color = line_style(len(ax.containers))["color"]
    order = np.argsort(-values, kind="stable")
    rank, values, errors = np.arange(1, len(values) + 1), values[order], None if errors is None else errors[order]
    named = {"marker": marker, "color": color, "label": label}
    _entitle(ax, pairs, len(values), errors is not None)
    if is_log:
        ax.set_yscale("log")
        # What is no larger than its error has no sign and no magnitude.
        is_zero = np.abs(values) <= (_rounding(pairs, values) if errors is None else errors)
        if is_zero.any():
            what = f"{is_zero.sum()} of {len(values)} are zero within their errors: not drawn"
            note_below(ax, what if label is None else f"{label}: {what}")
        _draw(ax, ~((values <= 0.0) | is_zero), rank, values, errors, named)
        _draw(
            ax,
            (values < 0.0) & ~is_zero,
            rank,
            -values,
            errors,
            {"marker": "v", "color": COLORS[1], "label": "negative"},
        )
    else:
        _draw(ax, np.ones(len(values), dtype=bool), rank, values, errors, named)
        ax.axhline(0.0, color="black", linewidth=0.6)
    if len(values) > _MANY:
        ax.set_xscale("log")
    else:
        whole_numbers(ax)
    n = len(getattr(pairs, "vectors", values))
    ranked = "rank" if n == len(values) else f"rank among {len(values)} of {n}"
    return label_axes(ax, ranked, "magnitude of the eigenvalue" if is_log and np.any(values < 0.0) else "eigenvalue")


def _entitle(ax: Axes, pairs: Any, count: int, has_errors: bool) -> None:
    """Say how many eigenvalues there are, by what method, and what the bars are; of several spectra only the last."""
    method = getattr(pairs, "method", None)
    named = f"{count} eigenvalue{'s' * (count != 1)}" + (f" ({method})" if method else "")
    bars = ", bars: bounds on their errors" if has_errors else ""
    ax.set_title(("Eigenvalues" if ax.containers else named) + bars, fontsize=10)


def _rounding(pairs: Any, values: np.ndarray) -> float:
    """Magnitude below which an eigenvalue is rounding of the largest."""
    kind = np.asarray(pairs).dtype
    eps = float(np.finfo(kind if kind.kind == "f" else np.float64).eps)
    return 4.0 * math.sqrt(len(values)) * eps * float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0))


def _errors(where: str, pairs: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Residuals of eigenpairs; numbers alone have none."""
    residuals = getattr(pairs, "residuals", None)
    if residuals is None:
        return None
    errors = np.asarray(residuals, dtype=float)
    if errors.shape != shape:
        what = f"there are residuals of shape {errors.shape} for eigenvalues of shape {shape}"
        raise ShapeMismatchError(message(where, what, fix="Pass one residual per eigenvalue"))
    return errors


def _draw(
    ax: Axes,
    chosen: np.ndarray,
    rank: np.ndarray,
    heights: np.ndarray,
    errors: np.ndarray | None,
    named: dict[str, Any],
) -> None:
    """Draw markers for some of the eigenvalues, with bars where they have a length."""
    if not chosen.any():
        return
    style: dict[str, Any] = {"linestyle": "none", "markersize": 2.5 if len(rank) > _MANY else 4.5, **named}
    if errors is not None:
        style |= {"capsize": 2.5, "elinewidth": 1.0, "yerr": errors[chosen]}
    ax.errorbar(rank[chosen], heights[chosen], **style)
