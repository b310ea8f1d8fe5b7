"""How far a local model is trusted: the radius of a trust region, the weight of a cubic term, the length of a step along a line."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from hessian.linalg.vectors import norm
from hessian.optimize.krylov import Step
from hessian.optimize.local_model import LocalModel
from hessian.optimize.objective import Point
from hessian.optimize.ratio_test import Assessment

LARGEST = 1e300
"""Weights of the cubic term end here: steps are below rounding long before."""


class StepBound(Protocol):
    """How far a model is trusted: the number given to :meth:`Model.step`, and how trials change it."""

    value: float

    @property
    def radius(self) -> float:
        """The bound where it is a radius, NaN otherwise."""

    @property
    def regularization(self) -> float:
        """The bound where it is the weight of a penalty on long steps, NaN otherwise."""

    def prepare(self, model: LocalModel, point: Point) -> None:
        """Choose a bound for the first step of a model."""

    def update(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Change the bound after a trial that followed so many rejections at its point."""

    def state(self) -> dict[str, float]:
        """What a resumed run has to know."""

    def restore(self, state: dict[str, float]) -> None:
        """Take over a state."""


class TrustRadius:
    """Radius of a trust region: by default the first step is as long as its model makes it."""

    regularization = math.nan

    def __init__(self, initial: float | None, maximum: float) -> None:
        self.value = math.inf if initial is None else initial
        self._maximum = maximum

    @property
    def radius(self) -> float:
        """The bound."""
        return self.value if math.isfinite(self.value) else math.nan

    def prepare(self, model: LocalModel, point: Point) -> None:
        """Take the length of the model's own step where there is no radius yet."""
        if self.value == math.inf:
            self.value = min(natural_length(model, point), self._maximum)

    def update(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Shrink, keep or grow by :func:`next_radius`."""
        self.value = next_radius(self.value, step, assessment, rejections, self._maximum)

    def state(self) -> dict[str, float]:
        """The bound."""
        return {"bound": self.value}

    def restore(self, state: dict[str, float]) -> None:
        """Take over a state."""
        self.value = state["bound"]


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
        self.value = math.nan if initial is None else initial

    @property
    def regularization(self) -> float:
        """The bound."""
        return self.value

    def prepare(self, model: LocalModel, point: Point) -> None:
        """Weigh by the gradient over the squared length of the model's own step where there is no weight yet."""
        if math.isnan(self.value):
            length = natural_length(model, point)
            self.value = min(0.1 * point.gradient_norm / length / length, LARGEST) if length > 0.0 else 1.0

    def update(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Fall after good ratios, grow after rejections."""
        if not assessment.accepted:
            grown = self.value * (10.0 if math.isnan(assessment.ratio) else 5.0)
            # A weight far too small to matter would take many rejections to be felt.
            felt = step.predicted / step.norm / step.norm / step.norm if step.norm > 0.0 else 0.0
            self.value = min(max(grown, felt), LARGEST)
        elif assessment.ratio > 0.9 and not rejections:
            self.value = max(0.1 * self.value, float(np.finfo(float).tiny))

    def state(self) -> dict[str, float]:
        """The bound."""
        return {"bound": self.value}

    def restore(self, state: dict[str, float]) -> None:
        """Take over a state."""
        self.value = state["bound"]


class StepLength:
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
        self.value = 1.0
        self.stretch = 1.0
        self.reach = math.inf
        self._is_new = True

    def prepare(self, model: LocalModel, point: Point) -> None:
        """Start a new direction at the full step, or at what was learnt."""
        if self._is_new:
            self.value = self.stretch if math.isinf(model.end_norm) else 1.0
            self._is_new = False

    def update(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Shorten after a rejection; after an acceptance, remember how far a direction without a length carried."""
        if assessment.accepted:
            self._is_new = True
            if step.on_boundary:
                is_good = assessment.ratio > 0.5 and not rejections
                self.stretch = 2.0 * self.value if is_good else self.value
            if rejections or assessment.ratio < 0.25:
                self.reach = step.norm if assessment.ratio >= 0.25 else 0.5 * step.norm
            elif assessment.ratio > 0.75:
                self.reach = max(self.reach, 2.0 * step.norm)
            return
        # With p the predicted and r p the actual reduction, p = -(slope + curvature / 2) and the parabola's minimum
        # lies at slope / (2 (slope + r p)); slope = -2 p where the step minimises its model.
        ratio = assessment.ratio
        self.value *= 0.1 if math.isnan(ratio) else min(0.5, max(0.1, 1.0 / (2.0 - min(ratio, 1.0))))

    def state(self) -> dict[str, float]:
        """What has been learnt."""
        return {"stretch": self.stretch, "reach": self.reach}

    def restore(self, state: dict[str, float]) -> None:
        """Take over a state."""
        self.stretch, self.reach = state["stretch"], state["reach"]


def natural_length(model: LocalModel, point: Point) -> float:
    """Length of the model's own step, where it has one."""
    length = model.end_norm
    return length if math.isfinite(length) else unit_length(point)


def unit_length(point: Point) -> float:
    """Length at which a direction without one of its own is tried first: a tenth of the length of x, at least 1/10."""
    return 0.1 * max(1.0, norm(point.x))


def next_radius(radius: float, step: Step, assessment: Assessment, rejections: int, max_radius: float) -> float:
    """Shrink after a poor ratio, grow after a good one that the radius held back, unless a longer step just failed.

    A rejection shrinks to the largest power of two within ``t |s|``, a place at which
    :class:`~hessian.optimize.krylov.CGPath` is cut exactly. ``t = 5 / (2 - ratio)``, kept within [0.1, 0.75], and 1/4
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
