"""Whether the minimum that the quadratic model at a point sees is one of the function, and its curvature there all around."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.errors import ConvergenceError, message
from hessian.statistics.information import Information
from hessian.statistics.spread import Spread

# Share of the gradient, in standard errors, by which curvature may mispredict it a step away. Where f falls as exp(-t) does, it is 1/e.
_LEFT = 0.25
# Directions along which kinks are looked for.
_LOOKS = 4
# Estimates that are so small a part of their standard errors may be of what has no end, and how many of them are looked at.
_DOUBTFUL, _MOST = 1e-3, 8
# Part of a standard error at which curvature is looked at, and share of it that has to be there on one side.
_AWAY, _THERE = 0.1, 0.03


def check_smooth(
    operator: Any,
    free: np.ndarray,
    where: str = "covariance",
    fix: str = "Hold what is at its kink (fixed=), or bootstrap",
) -> None:
    """Refuse a point at which the function has a kink in the free parameters, as |x| has at 0: products there leave it out.

    Cost: none where no operation has kinks; else a few forward sweeps.

    Raises
    ------
    ConvergenceError
    """
    directions = np.zeros((_LOOKS, operator.shape[0]), operator.dtype)
    directions[:, free] = np.random.default_rng(0).standard_normal((_LOOKS, len(free)))
    with np.errstate(all="ignore"):
        slopes = operator.kinked_slopes(directions)
    if slopes is not None:
        what = f"f has a kink at x ({', '.join(slopes.names)}), and no derivative"
        why = "Standard errors are made of second derivatives"
        raise ConvergenceError(message(where, what, why, fix))


def check_step(
    operator_at: Callable[[np.ndarray], Any],
    x: np.ndarray,
    information: Information,
    spread: Spread,
    scale: float,
    gradient: np.ndarray,
    free: np.ndarray,
) -> None:
    r"""Refuse a point whose Hessian mispredicts the gradient at the minimum, though that is but a small part of a standard error away.

    Near a minimum the gradient after a step s is g + H s to second order in it. Where the function falls for ever, as its value does
    like :math:`e^{-t}` for classes that can be separated, the step to the supposed minimum is always as long and the misprediction the
    same. With the inverse information :math:`R R^T`, the step is :math:`-R R^T g`, and gradients are compared in standard errors,
    :math:`|R^T g|`. Cost: a product and a gradient, where g is not lost in rounding.

    Parameters
    ----------
    operator_at : callable
        The Hessian as an operator, which has the gradient, at a raveled point.
    x : ndarray, shape (n,)
        The point.
    information : Information
        That at x, of the free parameters.
    spread : Spread
        Its inverse, of all.
    scale : float
        What gradients are multiplied with.
    gradient : ndarray
        That at x in the free parameters, multiplied.
    free : ndarray of int
        Where these are.

    Raises
    ------
    ConvergenceError
    """
    away = information.length(gradient)
    # Below, rounding may be all that is left of the gradient where the problem is ill-conditioned.
    if away <= float(np.finfo(x.dtype).eps) ** 0.375:
        return
    slope = np.zeros(len(x))
    slope[free] = gradient
    moved = (x - spread.product(slope)).astype(x.dtype)
    if not np.any(moved != x):
        return
    with np.errstate(all="ignore"):
        predicted = gradient + scale * np.asarray(operator_at(x) @ (moved - x), np.float64)[free]
        missed = information.length(scale * np.asarray(operator_at(moved).gradient, np.float64)[free] - predicted)
    if not missed <= _LEFT * away:
        what = f"the gradient a step of {away:.2g} standard errors from x is {missed / away:.0%} off what the Hessian at x predicts"
        why = "The minimum recedes, as where classes can be separated, or is flatter than quadratic"
        fix = "Minimise with a smaller gtol; if that goes on for ever, add a penalty or take out what is separated"
        raise ConvergenceError(message("covariance", what, why, fix))


def check_reach(
    operator_at: Callable[[np.ndarray], Any],
    x: np.ndarray,
    spread: Spread,
    scale: float,
    free: np.ndarray,
    names: Sequence[str],
) -> None:
    r"""Refuse standard errors that are made of curvature which is gone long before one is reached.

    Where classes can be separated and a run has gone so far that the gradient is rounding, estimates are of the order of
    :math:`\log 1/\varepsilon` and standard errors of that of :math:`1/\varepsilon`. A tenth of one to either side, the others following,
    nothing is left of the curvature: its inverse root tells no error. Of a parabola it is the same everywhere. Cost: for at most eight
    parameters, those estimates that are less than a thousandth of their standard errors, two products at new points.

    Parameters
    ----------
    operator_at, x, scale, free
        As for :func:`check_step`.
    spread : Spread
        The inverse information, of all.
    names : sequence of str
        Of all.

    Raises
    ------
    ConvergenceError
    """
    errors = np.asarray(spread.deviations, np.float64)
    ratios = np.abs(x[free].astype(np.float64)) / np.where(errors[free] > 0.0, errors[free], 1.0)
    order = np.argsort(ratios, kind="stable")[:_MOST]
    for k in free[order[ratios[order] < _DOUBTFUL]]:
        unit = np.zeros(len(x))
        unit[k] = 1.0
        step = _AWAY * spread.product(unit) / errors[k]
        sides = []
        for sign in (-1.0, 1.0):
            moved = (x + sign * step).astype(x.dtype)
            try:
                with np.errstate(all="ignore"):
                    image = np.asarray(operator_at(moved) @ step.astype(x.dtype), np.float64)
            except Exception:  # What a function does outside of its domain is no matter of its minimum.
                sides.append(np.inf)
                continue
            sides.append(scale * float(step @ image) / _AWAY**2)
        if max(sides) < _THERE:
            what = f"a tenth of the standard error of {names[k]}, {errors[k]:.2g}, to either side the curvature is gone"
            why = "The minimum is at infinity, as where classes can be separated, or flat"
            raise ConvergenceError(message("covariance", what, why, "Add a penalty, or take out what is separated"))
