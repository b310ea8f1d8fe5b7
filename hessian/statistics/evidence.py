"""Which multiples of prior precisions the evidence prefers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.optimize import minimize as minimize_by_scipy

from hessian.errors import ConvergenceError, OptionError, message
from hessian.tape.names import find_part
from hessian.tape.trees import ravel

WHERE = "tune_prior"
_FAR = 40.0
"""Logarithm of a factor beyond which no maximum is looked for: 1e17."""
_SLOPE = 1e-8
"""Derivative of the log evidence at which its maximum is reached."""
_SHARE = 1e-3
"""Share of it in the effective parameters of a group, with which it balances at the maximum, from which on there is none."""


def best_precision(mode: Any, prior: Any, groups: Any, at: Callable[[Any], Any]) -> np.ndarray:
    """Return the factors of the prior precisions with the largest evidence, shape (n,); ``at`` makes the approximation for a prior."""
    chosen = mode.selection
    precision = prior.precision[chosen.places]
    apart = (ravel(mode.value)[0].astype(np.float64) - prior.mean)[chosen.places]
    labels = np.zeros(len(precision), int) if groups is None else _labels(mode, groups)
    distances = np.bincount(labels, precision * apart**2)
    if np.any(distances == 0.0):
        name = chosen.names(mode.value)[int(np.flatnonzero(labels == np.flatnonzero(distances == 0.0)[0])[0])]
        what = f"the group of {name} is at the prior mean"
        raise ConvergenceError(message(WHERE, what, "Its evidence grows with the precision without end", _FIX))
    relative = mode.curvature.relative(precision) if len(distances) == 1 else None
    logs = (
        np.array([_balance(relative, float(distances[0]), mode.curvature.rounding)])
        if relative is not None
        else _convex(len(distances), labels, mode, prior, at)
    )
    return np.asarray(chosen.placed(np.exp(logs)[labels], 1.0))


_FIX = "Take a prior mean, data or groups that say more, or leave the precision as it is"


def _labels(mode: Any, groups: Any) -> np.ndarray:
    """Return the group of each selected parameter, numbered without gaps."""
    chosen = mode.selection
    labels = np.zeros(chosen.order, int)
    for number, key in enumerate(groups if isinstance(groups, list | tuple) else [groups], 1):
        for place in find_part(mode.value, key, WHERE).places:
            if labels[place].any():
                what = f"groups names {key!r} twice"
                raise OptionError(message(WHERE, what, fix="Name each part once"))
            labels[place] = number
    return np.unique(labels[chosen.places], return_inverse=True)[1]


def _balance(relative: np.ndarray, distance: float, rounding: float) -> float:
    r"""Solve :math:`\alpha q = \sum_i \mu_i / (\mu_i + \alpha)` for :math:`\log\alpha`, with that spacing of the numbers at one."""
    largest = float(np.max(np.abs(relative), initial=0.0))
    if np.any(relative < -len(relative) * rounding * largest):
        what = f"there is negative curvature, {relative.min():.2g} of the prior's"
        why = "The evidence grows without end as the precision falls to where that is not positive definite"
        raise ConvergenceError(message(WHERE, what, why, "Pass model=, for the Gauss-Newton matrix"))
    # Rounding leaves as much above zero of what is none as it leaves below.
    known = relative[relative > max(8.0 * rounding * largest, -float(relative.min(initial=0.0)))]
    if not known.size:
        what = "the data do not depend on the parameters"
        raise ConvergenceError(message(WHERE, what, "The evidence grows as the precision falls to 0", _FIX))
    # The right side is at most the number of terms, and at least a half where alpha is the largest of mu.
    gap = lambda t: math.exp(t) * distance - float(np.sum(known / (known + math.exp(t))))
    high = math.log(known.size / distance)
    low = min(math.log(largest), math.log(0.5 / distance))
    return float(brentq(gap, low - 1e-9, high + 1e-9, xtol=1e-14, rtol=1e-14))


def _convex(count: int, labels: np.ndarray, mode: Any, prior: Any, at: Callable[[Any], Any]) -> np.ndarray:
    """Minimise the negative log evidence in the logarithms of factors."""
    chosen = mode.selection
    known = np.zeros(count)

    def evaluate(logs: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = chosen.placed(np.exp(logs)[labels], 1.0) * prior.precision
        found = at(type(prior)(scaled, prior.mean))
        slopes = ravel(found.evidence_gradient)[0].astype(np.float64)[chosen.places]
        known[:] = np.bincount(labels, 1.0 - (scaled * found.spread.deviations**2)[chosen.places])
        return -found.log_evidence, -np.bincount(labels, slopes)

    options = {"ftol": 0.0, "gtol": _SLOPE, "maxiter": 500}
    bounds = [(-_FAR, _FAR)] * count
    found = minimize_by_scipy(evaluate, np.zeros(count), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    # Where a group is not known by the data, its precision falls until the slope is small, and does not balance.
    excess = np.abs(evaluate(found.x)[1]) - _SHARE * np.maximum(known, 0.0)
    if np.any(excess > 0.0):
        name = chosen.names(mode.value)[int(np.flatnonzero(labels == int(np.argmax(excess)))[0])]
        what = f"no maximum of the evidence was found along the precision of {name}"
        raise ConvergenceError(message(WHERE, what, "The data may not depend on these parameters", _FIX))
    return np.asarray(found.x)
