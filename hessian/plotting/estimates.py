"""Pictures of estimated parameters with their standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.plotting.canvas import (
    axes_for,
    check_range,
    counted,
    line_style,
    name_rows,
    note_below,
    note_left_out,
    show_labels,
    title_of,
)
from hessian.tape.trees import ravel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "osD^v<>"
_SPREAD = 0.5


def plot_estimates(
    estimates: Mapping[str, Any],
    *,
    ax: Axes | None = None,
    errors: float = 1.96,
    names: Mapping[int, str] | None = None,
) -> Axes:
    """Draw parameters with their standard errors, those of several sources side by side.

    Parameters
    ----------
    estimates : mapping of str to Covariance or Laplace
        What ``result.covariance(kind)`` and :func:`hessian.statistics.laplace` return, by the name to show.
    ax : Axes, optional
        Where to draw.
    errors : float
        Half the length of the bars, in standard errors; 1.96 makes intervals of 95 %.
    names : mapping of int to str, optional
        Raveled parameters to draw and what to call them; by default all of them, under their own names.

    Returns
    -------
    matplotlib.axes.Axes
        The first parameter on top.

    Raises
    ------
    OptionError
        There is nothing to draw, the length of the bars is not positive, or numbers are of a size that matplotlib draws at a wrong place.
    ShapeMismatchError
        The sources have different numbers of parameters, or a parameter to draw is not among them.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import minimize
    >>> res = minimize(lambda u: np.sum(np.exp(u) - np.array([3.0, 5.0]) * u), np.zeros(2))
    >>> ax = plot_estimates({"observed": res.covariance()})
    >>> ax.get_xlabel(), [text.get_text() for text in ax.get_yticklabels()]
    ('estimate ± 1.96 standard errors', ['x[0]', 'x[1]'])
    """
    where = "plot_estimates"
    if not estimates:
        raise OptionError(message(where, "there are no estimates", "There is nothing to draw"))
    if not errors > 0.0:
        raise OptionError(message(where, f"errors is {errors!r}", fix="Pass a number > 0"))
    found = {name: _numbers(one) for name, one in estimates.items()}
    known = next(iter(estimates.values())).names
    sizes = {name: len(centers) for name, (centers, _) in found.items()}
    if len(set(sizes.values())) > 1:
        raise ShapeMismatchError(
            message(where, f"the numbers of parameters are {sizes}", fix="Pass estimates of one model")
        )
    shown = dict(enumerate(known)) if names is None else dict(names)
    if not shown or not all(0 <= position < len(known) for position in shown):
        what = f"names has the positions {sorted(shown)}, there are {len(known)} parameters"
        raise ShapeMismatchError(message(where, what, fix="Pass positions from 0 on"))
    check_range(where, "the estimates", *(row for pair in found.values() for row in pair))
    ax = axes_for(where, ax, 6.0, 1.2 + 0.4 * len(shown))
    places, picked = np.arange(len(shown)), list(shown)
    apart = np.linspace(-0.5, 0.5, len(found)) * _SPREAD if len(found) > 1 else np.zeros(1)
    for number, (name, (centers, deviations)) in enumerate(found.items()):
        style: dict[str, Any] = {"color": line_style(number)["color"], "fmt": _MARKERS[number % len(_MARKERS)]}
        bars, at = errors * deviations[picked], centers[picked]
        bounded = np.isfinite(bars)
        note_left_out(ax, int(np.sum(~np.isfinite(at))), len(at), "not finite", name)
        if not bounded.all():
            note_below(ax, f"{name}: {np.sum(~bounded)} of {len(bars)} without a standard error")
        at, bars = np.where(np.isfinite(at), at, np.nan), np.where(bounded, bars, 0.0)
        ax.errorbar(at, places + apart[number], xerr=bars, label=name, markersize=4, capsize=2.5, **style)
    title_of(ax, f"{counted(len(shown), 'parameter')}: {', '.join(found)}", "Estimates")
    name_rows(ax, list(shown.values()), f"estimate ± {errors:g} standard errors")
    show_labels(ax)
    return ax


def _numbers(source: Any) -> tuple[np.ndarray, np.ndarray]:
    return ravel(source.value)[0].astype(float), ravel(source.standard_error)[0].astype(float)
