"""Pictures of eigenvalues with the bounds on their errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.errors import ShapeMismatchError, message
from hessian.plotting.canvas import (
    COLORS,
    as_row,
    axes_for,
    check_log,
    label_axes,
    line_style,
    wants_log,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 100


def plot_spectrum(
    pairs: Any, *, ax: Axes | None = None, label: str | None = None, scale: str = "auto", marker: str = "o"
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
        ``"auto"`` takes it where all are positive and a factor 30 apart.
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
    is_log = wants_log(where, scale, values)
    if is_log:
        check_log(where, np.abs(values))
    ax = axes_for(where, ax)
    color = line_style(len(ax.containers))["color"]
    order = np.argsort(-values, kind="stable")
    rank, values, errors = np.arange(1, len(values) + 1), values[order], None if errors is None else errors[order]
    named = {"marker": marker, "color": color, "label": label}
    if is_log:
        ax.set_yscale("log")
        _draw(ax, ~(values <= 0.0), rank, values, errors, named)
        _draw(ax, values < 0.0, rank, -values, errors, {"marker": "v", "color": COLORS[1], "label": "negative"})
    else:
        _draw(ax, np.ones(len(values), dtype=bool), rank, values, errors, named)
        ax.axhline(0.0, color="black", linewidth=0.6)
    if len(values) > _MANY:
        ax.set_xscale("log")
    else:
        whole_numbers(ax)
    return label_axes(ax, "rank", "magnitude of the eigenvalue" if is_log and np.any(values < 0.0) else "eigenvalue")


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
