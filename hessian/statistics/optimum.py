"""Whether the minimum that the quadratic model at a point sees is one of the function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.errors import ConvergenceError, message
from hessian.statistics.information import Information
from hessian.statistics.spread import Spread

# Share of the gradient, in standard errors, by which curvature may mispredict it a step away. Where f falls as exp(-t) does, it is 1/e.
_LEFT = 0.25


def check_step(
    gradient_at: Callable[[np.ndarray], Any],
    product: Callable[[np.ndarray], Any],
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
    gradient_at : callable
        The gradient at another raveled point.
    product : callable
        The Hessian at x times a vector.
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
        predicted = gradient + scale * np.asarray(product(moved - x), np.float64)[free]
        missed = information.length(scale * np.asarray(gradient_at(moved), np.float64)[free] - predicted)
    if not missed <= _LEFT * away:
        what = f"the gradient a step of {away:.2g} standard errors from x is {missed / away:.0%} off what the Hessian at x predicts"
        why = "The minimum recedes, as where classes can be separated, or is flatter than quadratic"
        fix = "Minimise with a smaller gtol; if that goes on for ever, add a penalty or take out what is separated"
        raise ConvergenceError(message("covariance", what, why, fix))
