"""Globalisation: whether a trial point is accepted, and how far the model is trusted next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hessian.optimize.krylov import Step
from hessian.optimize.objective import Objective, Point

ROUNDING = 100.0
"""Differences of the objective below this many units of its rounding are not believed."""
PATIENCE = 3
"""Rejections in a row after which the value is suspected to be small by cancellation."""


class Model(Protocol):
    """A local model of the objective that can be minimised within any radius up to the one it was built for."""

    @property
    def products(self) -> int:
        """Hessian-vector products spent on it."""

    @property
    def end_norm(self) -> float:
        """Length of the step without a radius; infinite where the model is unbounded below."""

    def step(self, radius: float) -> Step:
        """Minimise (approximately) within the radius."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Verdict on a trial: ``ratio`` of actual to predicted reduction, ``resolved`` when the values themselves could tell it."""

    ratio: float
    accepted: bool
    resolved: bool


class Judge:
    """Ratio test that stays meaningful when the objective no longer resolves the decrease.

    Two estimates of the actual reduction are at hand. The difference of the two values is exact up to rounding. The trapezoidal rule
    on the gradients, ``-(g + g_trial).s / 2``, errs in third order of the step, but its rounding error is that of the gradient: it still sees a
    decrease of 1e-20 next to a value of 1e4, and costs no more than the gradient an accepted trial needs anyway. The second is used

    - where the values differ by less than 100 eps |f|;
    - where they would reject the trial although both reductions are below eps^(2/3) |f|, which a noisy objective may not resolve;
    - likewise below 100 eps times the largest |f| met, once three rejections in a row suggest that f is small by cancellation.

    A trial with a value or gradient that is not finite is rejected.

    References
    ----------
    A. R. Conn, N. I. M. Gould and Ph. L. Toint, Trust-Region Methods (2000), section 17.4. W. W. Hager and H. Zhang, SIAM J. Optim. 16
    (2005) 170-192, "approximate Wolfe conditions", for the use of gradients where values have run out of digits.
    """

    def __init__(self, objective: Objective, eta: float, start: Point) -> None:
        self._objective = objective
        self._eta = eta
        self._eps = float(np.finfo(objective.dtype).eps)
        self._largest = abs(start.value)
        self._cancels = False

    def assess(self, point: Point, trial: Point, step: Step, rejections: int) -> Assessment:
        """Compare a trial with the point it came from, after so many rejections at that point."""
        if not math.isfinite(trial.value):
            return Assessment(math.nan, False, True)
        self._largest = max(self._largest, abs(trial.value))
        actual = point.value - trial.value
        resolved = self._is_resolved(actual, point, trial, step, rejections)
        if resolved and not self._is_enough(actual, step):
            return Assessment(actual / step.predicted, False, True)
        gradient = self._objective.trial_gradient(trial)
        if not np.all(np.isfinite(gradient)):
            return Assessment(math.nan, False, resolved)
        if not resolved:
            actual = -0.5 * float((point.gradient + gradient) @ step.vector)
            self._cancels |= rejections >= PATIENCE and self._is_enough(actual, step)
        return Assessment(actual / step.predicted, self._is_enough(actual, step), resolved)

    def _is_resolved(self, actual: float, point: Point, trial: Point, step: Step, rejections: int) -> bool:
        """Whether the difference of the values is to be believed."""
        size = max(abs(point.value), abs(trial.value))
        if abs(actual) <= ROUNDING * self._eps * size:
            return False
        doubtful = self._eps ** (2.0 / 3.0) * size
        if self._cancels or rejections >= PATIENCE:
            doubtful = max(doubtful, ROUNDING * self._eps * self._largest)
        return self._is_enough(actual, step) or max(abs(actual), step.predicted) > doubtful

    def _is_enough(self, actual: float, step: Step) -> bool:
        """Sufficient decrease."""
        return actual > self._eta * step.predicted


def next_radius(radius: float, step: Step, assessment: Assessment, max_radius: float) -> float:
    """Shrink after a poor ratio, grow after a good one that the radius held back.

    A rejection shrinks to the largest power of two within ``t |s|``, a place at which :class:`~hessian.optimize.krylov.Path` is cut
    exactly. ``t = 5 / (2 - ratio)``, kept within [0.1, 0.75], and 1/4 where there is no ratio. (The parabola through the value and slope
    at the point and the value at the trial has its minimum at a fifth of that, for an s that minimises the model.) So a trial that missed
    wildly is shortened at once, and any other by little, because a shorter step costs no product: shrinking by the parabola itself spent
    8 % more products on Rosenbrock chains and 30 % more on the digits network.
    """
    if not assessment.accepted:
        fraction = 0.25 if math.isnan(assessment.ratio) else 5.0 / (2.0 - min(assessment.ratio, 0.0))
        return power_of_two_below(min(0.75, max(0.1, fraction)) * step.norm)
    if assessment.ratio < 0.25:
        return min(radius, 0.5 * step.norm)
    if assessment.ratio > 0.75 and step.on_boundary:
        return min(2.0 * radius, max_radius)
    return radius


def power_of_two_below(length: float) -> float:
    """Largest power of two that is at most a positive length."""
    return math.ldexp(1.0, math.frexp(length)[1] - 1)
