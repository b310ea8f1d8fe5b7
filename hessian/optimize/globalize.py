"""Globalisation: whether a trial point is accepted, and how far the model is trusted next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hessian.optimize.krylov import Step
from hessian.optimize.objective import Point
from hessian.optimize.vectors import norm

ROUNDING = 100.0
"""Differences of the objective below this many units of its rounding are not believed."""
LARGEST = 1e300
"""Weights of the cubic term end here: steps are below rounding long before."""
PATIENCE = 3
"""Rejections in a row after which the values are suspected of more noise than their size tells."""


class Model(Protocol):
    """A local model of the objective, to be minimised within a radius, with a cubic term, or along a line.

    What the number given to :meth:`step` means is the method's and its control's affair: a radius (any up to the one the
    model was built for), the weight of the cubic term, or the share of the full step.
    """

    @property
    def products(self) -> int:
        """Hessian-vector products spent on it."""

    @property
    def end_norm(self) -> float:
        """Length of the step without a radius; infinite where the model is unbounded below."""

    def step(self, bound: float) -> Step:
        """Minimise (approximately) under the bound."""


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
        self._eta = eta
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


class Control(Protocol):
    """How far a model is trusted: the number given to :meth:`Model.step`, and how trials change it."""

    bound: float

    @property
    def radius(self) -> float:
        """The bound where it is a radius, NaN otherwise."""

    @property
    def regularization(self) -> float:
        """The bound where it is the weight of a penalty on long steps, NaN otherwise."""

    def prepare(self, model: Model, point: Point) -> None:
        """Choose a bound for the first step of a model."""

    def learn(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Change the bound after a trial that followed so many rejections at its point."""

    def state(self) -> dict[str, float]:
        """What a resumed run has to know."""

    def restore(self, state: dict[str, float]) -> None:
        """Take over a state."""


class TrustRadius:
    """Radius of a trust region: by default the first step is as long as its model makes it."""

    regularization = math.nan

    def __init__(self, initial: float | None, maximum: float) -> None:
        self.bound = math.inf if initial is None else initial
        self._maximum = maximum

    @property
    def radius(self) -> float:
        """The bound."""
        return self.bound if math.isfinite(self.bound) else math.nan

    def prepare(self, model: Model, point: Point) -> None:
        """Take the length of the model's own step where there is no radius yet."""
        if self.bound == math.inf:
            self.bound = min(natural_length(model, point), self._maximum)

    def learn(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Shrink, keep or grow by :func:`next_radius`."""
        self.bound = next_radius(self.bound, step, assessment, rejections, self._maximum)

    def state(self) -> dict[str, float]:
        """The bound."""
        return {"bound": self.bound}

    def restore(self, state: dict[str, float]) -> None:
        """Take over a state."""
        self.bound = state["bound"]


class CubicWeight:
    """Weight of the cubic term of ``arc``: small where the model predicts well.

    The first is one at which the cubic model's step is about as long as the quadratic one's. After a ratio above 0.9 the
    weight falls to a tenth; after a rejection it grows five times (tenfold where there is no ratio), and at least to where
    the cubic term would have been as large as the reduction predicted.

    References
    ----------
    C. Cartis, N. I. M. Gould and Ph. L. Toint, Math. Program. 127 (2011) 245-295, algorithm 2.1.
    """

    radius = math.nan

    def __init__(self, initial: float | None) -> None:
        self.bound = math.nan if initial is None else initial

    @property
    def regularization(self) -> float:
        """The bound."""
        return self.bound

    def prepare(self, model: Model, point: Point) -> None:
        """Weigh by the gradient over the squared length of the model's own step where there is no weight yet."""
        if math.isnan(self.bound):
            length = natural_length(model, point)
            self.bound = min(0.1 * point.gradient_norm / length / length, LARGEST) if length > 0.0 else 1.0

    def learn(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Fall after good ratios, grow after rejections."""
        if not assessment.accepted:
            grown = self.bound * (10.0 if math.isnan(assessment.ratio) else 5.0)
            # A weight far too small to matter would take many rejections to be felt.
            felt = step.predicted / step.norm / step.norm / step.norm if step.norm > 0.0 else 0.0
            self.bound = min(max(grown, felt), LARGEST)
        elif assessment.ratio > 0.9 and not rejections:
            self.bound = max(0.1 * self.bound, float(np.finfo(float).tiny))

    def state(self) -> dict[str, float]:
        """The bound."""
        return {"bound": self.bound}

    def restore(self, state: dict[str, float]) -> None:
        """Take over a state."""
        self.bound = state["bound"]


class StepShare:
    """Share of the full step of a line search, cut by rejections; the first at a point is 1 for a Newton step.

    A rejection cuts at the minimum of the parabola through the value and slope at the point and the value at the trial,
    within [0.1, 0.5] of the step; to a tenth where the trial is not finite. A direction without a natural length, from a
    Hessian that is not positive definite, starts at a share that is learnt: it doubles after a step that did as well as
    predicted, and is what was accepted after a rejection. ``reach`` is a length up to which steps may be expected to do well:
    that of the last one that was shortened (half of it after a poor prediction), at least twice that of one that did well.
    """

    radius = math.nan
    regularization = math.nan

    def __init__(self) -> None:
        self.bound = 1.0
        self.stretch = 1.0
        self.reach = math.inf
        self._is_new = True

    def prepare(self, model: Model, point: Point) -> None:
        """Start a new direction at the full step, or at what was learnt."""
        if self._is_new:
            self.bound = self.stretch if math.isinf(model.end_norm) else 1.0
            self._is_new = False

    def learn(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Shorten after a rejection; after an acceptance, remember how far a direction without a length carried."""
        if assessment.accepted:
            self._is_new = True
            if step.on_boundary:
                is_good = assessment.ratio > 0.5 and not rejections
                self.stretch = 2.0 * self.bound if is_good else self.bound
            if rejections or assessment.ratio < 0.25:
                self.reach = step.norm if assessment.ratio >= 0.25 else 0.5 * step.norm
            elif assessment.ratio > 0.75:
                self.reach = max(self.reach, 2.0 * step.norm)
            return
        # With p the predicted and r p the actual reduction, p = -(slope + curvature / 2) and the parabola's minimum
        # lies at slope / (2 (slope + r p)); slope = -2 p where the step minimises its model.
        ratio = assessment.ratio
        self.bound *= 0.1 if math.isnan(ratio) else min(0.5, max(0.1, 1.0 / (2.0 - min(ratio, 1.0))))

    def state(self) -> dict[str, float]:
        """What has been learnt."""
        return {"stretch": self.stretch, "reach": self.reach}

    def restore(self, state: dict[str, float]) -> None:
        """Take over a state."""
        self.stretch, self.reach = state["stretch"], state["reach"]


def natural_length(model: Model, point: Point) -> float:
    """Length of the model's own step, where it has one."""
    length = model.end_norm
    return length if math.isfinite(length) else unit_length(point)


def unit_length(point: Point) -> float:
    """Length at which a direction without one of its own is tried first: a tenth of the length of x, at least 1/10."""
    return 0.1 * max(1.0, norm(point.x))


@dataclass(frozen=True, slots=True)
class LineModel:
    """The model along one direction: ``t slope + t^2 curvature / 2`` at the share t of it.

    ``has_length`` says whether the direction's own length means something, as a Newton step's does.
    """

    direction: np.ndarray
    slope: float
    curvature: float
    status: str
    has_length: bool
    products: int = 0

    @property
    def end_norm(self) -> float:
        """Length of the full step; infinite where it means nothing."""
        return norm(self.direction) if self.has_length else math.inf

    def step(self, share: float) -> Step:
        """Go the share of the way, though not beyond the minimum of the model."""
        if self.curvature > 0.0:
            share = min(share, -self.slope / self.curvature)
        vector = share * self.direction
        predicted = -share * (self.slope + 0.5 * share * self.curvature)
        return Step(vector, norm(vector), predicted, not self.has_length, self.status)


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
