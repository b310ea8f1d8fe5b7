"""Pictures of one number per block of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.plotting.canvas import (
    COLORS,
    axes_for,
    check_log,
    check_range,
    counted,
    few_ticks,
    name_rows,
    note_below,
    note_left_out,
    title_of,
    wants_log,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_layers(
    values: Mapping[str, Any],
    *,
    label: str,
    ax: Axes | None = None,
    errors: Mapping[str, float] | None = None,
    scale: Literal["auto", "linear", "log"] = "linear",
) -> Axes:
    """Draw a bar for each layer, the first on top, with its error where there is one.

    Parameters
    ----------
    values : mapping of str to float or Estimate
        By the name of the layer. An estimate brings its standard error along.
    label : str
        What the numbers are, with their unit.
    ax : Axes, optional
        Where to draw.
    errors : mapping of str to float, optional
        Half the length of the error bar, for each layer.
    scale : {"linear", "log", "auto"}
        Of the numbers. On a log axis, which has no zero for bars to start from, they are dots; those of numbers that are
        not positive are left out. Lines below say how many are left out, and how many errors are not bounded.

    Returns
    -------
    Axes
        ``ax.figure`` is the figure.

    Raises
    ------
    OptionError
        There are no layers, the scale is unknown, it is a log one and no number is positive, or numbers are of a size that matplotlib
        draws at a wrong place.
    ShapeMismatchError
        The errors are those of other layers.

    Examples
    --------
    >>> ax = plot_layers({"input": 2.0, "output": 5.0}, label="trace of the Hessian", errors={"input": 0.1, "output": 0.3})
    >>> [text.get_text() for text in ax.get_yticklabels()], [float(bar.get_width()) for bar in ax.patches]
    (['input', 'output'], [2.0, 5.0])
    """
    where = "plot_layers"
    if not values:
        raise OptionError(message(where, "there are no layers", "There is nothing to draw", "Pass a number for each"))
    if errors is not None and set(errors) != set(values):
        what = f"there are errors of {', '.join(map(repr, errors))} for values of {', '.join(map(repr, values))}"
        raise ShapeMismatchError(message(where, what, fix="Pass one error per layer"))
    numbers = np.array([float(getattr(one, "value", one)) for one in values.values()])
    spreads = [errors[name] if errors else getattr(one, "standard_error", 0.0) for name, one in values.items()]
    lengths = np.array(spreads, dtype=float)
    is_log = wants_log(where, scale, numbers)
    bounded = np.isfinite(lengths)
    check_range(where, "the values", numbers, lengths, log=is_log)
    if is_log:
        check_log(where, numbers)
    ax = axes_for(where, ax, 6.0, 1.2 + 0.35 * len(values))
    note_left_out(ax, int(np.sum(~np.isfinite(numbers))), len(numbers), "not finite")
    if is_log:
        note_left_out(ax, int(np.sum(numbers <= 0.0)), len(numbers), "not positive")
        numbers = np.where(numbers > 0.0, numbers, np.nan)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    lengths = np.where(bounded, lengths, 0.0)
    places = np.arange(len(values))
    bars: dict[str, Any] = {"xerr": lengths} if np.any(lengths > 0.0) else {}
    if is_log:
        ax.errorbar(numbers, places, fmt="o", color=COLORS[0], ecolor="black", capsize=3, **bars)
        ax.set_xscale("log")
    else:
        ax.barh(places, numbers, height=0.65, color=COLORS[0], ecolor="black", capsize=3, **bars)
        ax.axvline(0.0, color="black", linewidth=0.6)
        few_ticks(ax)
    name_rows(ax, list(values), label)
    methods = list(dict.fromkeys(one.method for one in values.values() if hasattr(one, "method")))
    by = f", by {', '.join(methods)}" if methods else ""
    title_of(ax, f"{counted(len(values), 'layer')}{by}", f"{counted(len(values), 'layer')}, several series")
    if bars:
        note_below(ax, "thin lines: the errors given" if errors else "thin lines: standard errors")
    if not bounded.all():
        note_below(ax, f"{np.sum(~bounded)} of {len(bounded)} without a bound on the error")
    return ax
