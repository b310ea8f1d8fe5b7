"""Globalisation: whether a trial point is accepted, and how far the model is trusted next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hessian.optimize.krylov import Step
from hessian.optimize.objective import Point

ROUNDING = 100.0
"""Differences of the objective below this many units of its rounding are not believed."""
PATIENCE = 3
"""Rejections in a row after which the values are suspected of more noise than their size tells."""


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
    """Verdict on a trial: ``ratio`` of actual to predicted reduction, ``resolved`` if the values could tell it."""

    ratio: float
    accepted: bool
    resolved: bool


class Judge:
    """Ratio test that stays meaningful when the objective no longer resolves the decrease.

    Two estimates of the actual reduction are at hand. The difference of the two values is exact up to rounding. The
    trapezoidal rule on the gradients, ``-(g + g_trial).s / 2``, errs in third order of the step, but its rounding error
    is that of the gradient: it still sees a decrease of 1e-20 next to a value of 1e4, and costs no more than the
    gradient that an accepted trial needs anyway.

    - Where the values differ by less than 100 eps |f|, the gradients decide.
    - Where the values reject a trial although both reductions are below eps^(2/3) |f|, or for the fourth time in a row
      and below sqrt(eps) times the largest |f| met (f may be small by cancellation), the gradients are asked too. If
      they confirm the predicted reduction p to within p/2, the trial is accepted: for a cubic along the step, an error
      c of the prediction shows up as 3c/2 in the trapezoidal rule, so the true reduction is then at least 2p/3, and the
      values must be noise.

    A trial with a value or gradient that is not finite is rejected.

    References
    ----------
    A. R. Conn, N. I. M. Gould and Ph. L. Toint, Trust-Region Methods (2000), section 17.4. W. W. Hager and H. Zhang,
    SIAM J. Optim. 16 (2005) 170-192, for gradients in place of values that have run out of digits.
    """

    def __init__(self, start: Point, eta: float) -> None:
        self._eta = eta
        self._eps = float(np.finfo(start.x.dtype).eps)
        self._largest = abs(start.value)
        self._is_noisy = False

    def assess(self, point: Point, trial: Point, step: Step, rejections: int) -> Assessment:
        """Compare a trial with the point it came from, after so many rejections at that point."""
        if not math.isfinite(trial.value):
            return Assessment(math.nan, False, True)
        by_value = (point.value - trial.value) / step.predicted
        resolved = abs(point.value - trial.value) > ROUNDING * self._eps * max(abs(point.value), abs(trial.value))
        is_doubtful = self._is_doubtful(point, trial, step, rejections)
        if resolved and by_value <= self._eta and not is_doubtful:
            return Assessment(by_value, False, True)
        if not np.all(np.isfinite(trial.gradient)):
            return Assessment(math.nan, False, resolved)
        by_gradient = -0.5 * float((point.gradient + trial.gradient) @ step.vector) / step.predicted
        if not resolved:
            return self._accept(trial, Assessment(by_gradient, by_gradient > self._eta, False))
        if by_value > self._eta:
            return self._accept(trial, Assessment(by_value, True, True))
        if abs(by_gradient - 1.0) > 0.5:
            return Assessment(by_value, False, True)
        self._is_noisy |= rejections >= PATIENCE
        return self._accept(trial, Assessment(by_gradient, True, False))

    def _accept(self, trial: Point, assessment: Assessment) -> Assessment:
        """Remember the size of accepted values."""
        if assessment.accepted:
            self._largest = max(self._largest, abs(trial.value))
        return assessment

    def _is_doubtful(self, point: Point, trial: Point, step: Step, rejections: int) -> bool:
        """Whether both reductions are so small that the values may be noise."""
        size = max(abs(point.value - trial.value), step.predicted)
        if size <= self._eps ** (2.0 / 3.0) * max(abs(point.value), abs(trial.value)):
            return True
        return (self._is_noisy or rejections >= PATIENCE) and size <= math.sqrt(self._eps) * self._largest


def next_radius(radius: float, step: Step, assessment: Assessment, rejections: int, max_radius: float) -> float:
    """Shrink after a poor ratio, grow after a good one that the radius held back, unless a longer step just failed.

    A rejection shrinks to the largest power of two within ``t |s|``, a place at which
    :class:`~hessian.optimize.krylov.Path` is cut exactly. ``t = 5 / (2 - ratio)``, kept within [0.1, 0.75], and 1/4
    where there is no ratio. (The parabola through the value and slope at the point and the value at the trial has its
    minimum at a fifth of that, for an s that minimises the model.) So a trial that missed wildly is shortened at once,
    and any other by little, because a shorter step costs no product: shrinking by the parabola itself spent 8 % more
    products on Rosenbrock chains of 50 variables. Not growing after a rejection at the same point saves 4 % there.
    """
    if not assessment.accepted:
        fraction = 0.25 if math.isnan(assessment.ratio) else 5.0 / (2.0 - min(assessment.ratio, 0.0))
        return power_of_two_below(min(0.75, max(0.1, fraction)) * step.norm)
    if assessment.ratio < 0.25:
        return min(radius, 0.5 * step.norm)
    if assessment.ratio > 0.75 and step.on_boundary and not rejections:
        return min(2.0 * radius, max_radius)
    return radius


def power_of_two_below(length: float) -> float:
    """Largest power of two that is at most a positive length."""
    return math.ldexp(1.0, math.frexp(length)[1] - 1)
