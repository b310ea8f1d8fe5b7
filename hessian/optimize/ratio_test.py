"""Whether a trial point is accepted: the ratio of actual to predicted reduction, as far as numbers can tell it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.optimize.krylov import Step
from hessian.optimize.objective import Point

ROUNDING = 100.0
"""Differences of the objective below this many units of its rounding are not believed."""
PATIENCE = 3
"""Rejections in a row after which the values are suspected of more noise than their size tells."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Verdict on a trial: ``ratio`` of actual to predicted reduction, ``resolved`` if the values could tell it."""

    ratio: float
    accepted: bool
    resolved: bool


class RatioTest:
    """Ratio test that stays meaningful when the objective no longer resolves the decrease.

    Two estimates of the actual reduction are at hand. The difference of the two values is exact up to rounding. The
    trapezoidal rule on the gradients, ``-(g + g_trial).s / 2``, errs in third order of the step, but its rounding error
    is that of the gradient: it still sees a decrease of 1e-20 next to a value of 1e4, and costs no more than the
    gradient that an accepted trial needs anyway.

    - Where the values differ by less than 100 eps |f|, the gradients decide.
    - Where the values reject a trial although both reductions are below eps^(2/3) |f|, or below 100 eps times the largest
      |f| met (f may be small by cancellation), or, for the fourth time in a row, below sqrt(eps) times that, the gradients
      are asked too. If they confirm the predicted reduction p to within p/2, the trial is accepted: for a cubic along the
      step, an error c of the prediction shows up as 3c/2 in the trapezoidal rule, so the true reduction is then at least
      2p/3, and the values must be noise.

    A trial with a value or gradient that is not finite is rejected.

    References
    ----------
    A. R. Conn, N. I. M. Gould and Ph. L. Toint, Trust-Region Methods (2000), section 17.4. W. W. Hager and H. Zhang,
    SIAM J. Optim. 16 (2005) 170-192, for gradients in place of values that have run out of digits.
    """

    def __init__(self, start: Point, eta: float) -> None:
        self.eta = eta
        self._eps = float(np.finfo(start.x.dtype).eps)
        self.largest = abs(start.value)
        self._is_noisy = False

    def assess(self, point: Point, trial: Point, step: Step, rejections: int) -> Assessment:
        """Compare a trial with the point it came from, after so many rejections at that point."""
        if not math.isfinite(trial.value):
            return Assessment(math.nan, False, True)
        by_value = (point.value - trial.value) / step.predicted
        resolved = abs(point.value - trial.value) > ROUNDING * self._eps * max(abs(point.value), abs(trial.value))
        is_doubtful = self._is_doubtful(point, trial, step, rejections)
        if resolved and by_value <= self.eta and not is_doubtful:
            return Assessment(by_value, False, True)
        if not np.all(np.isfinite(trial.gradient)):
            return Assessment(math.nan, False, resolved)
        by_gradient = -0.5 * float((point.gradient + trial.gradient) @ step.vector) / step.predicted
        if not resolved:
            return self._accept(trial, Assessment(by_gradient, by_gradient > self.eta, False))
        if by_value > self.eta:
            return self._accept(trial, Assessment(by_value, True, True))
        if abs(by_gradient - 1.0) > 0.5:
            return Assessment(by_value, False, True)
        self._is_noisy |= rejections >= PATIENCE
        return self._accept(trial, Assessment(by_gradient, True, False))

    def state(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        return {"largest": self.largest, "is_noisy": self._is_noisy}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.largest, self._is_noisy = state["largest"], state["is_noisy"]

    def _accept(self, trial: Point, assessment: Assessment) -> Assessment:
        """Remember the size of accepted values."""
        if assessment.accepted:
            self.largest = max(self.largest, abs(trial.value))
        return assessment

    def _is_doubtful(self, point: Point, trial: Point, step: Step, rejections: int) -> bool:
        """Whether both reductions are so small that the values may be noise."""
        size = max(abs(point.value - trial.value), step.predicted)
        if size <= self._eps ** (2.0 / 3.0) * max(abs(point.value), abs(trial.value)):
            return True
        # A value may be small by cancellation of terms as large as values met before.
        if size <= ROUNDING * self._eps * self.largest:
            return True
        return (self._is_noisy or rejections >= PATIENCE) and size <= math.sqrt(self._eps) * self.largest
