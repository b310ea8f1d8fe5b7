"""What may be said where the gradient is small: a minimum, flat, a saddle to leave, a doubt; and what a run remembers of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.linalg.vectors import norm
from hessian.optimize.history import SaddleRecord
from hessian.optimize.objective import Point
from hessian.optimize.optimality import Curvature, Definiteness, measure_curvature, scaled_gradient
from hessian.optimize.ratio_test import ROUNDING
from hessian.optimize.rounding import Evaluates, neighbours
from hessian.optimize.status import Status
from hessian.tape.trees import join_vector

FAR = 0.01
"""Length of a Newton step, relative to the reach of a point, beyond which it is not called a minimum."""
FLAT = 10.0
"""Eigenvalues below so many times |g| / |x| are zero at this accuracy, if the gradient does not lead along their vectors:
where f does not change along a curve of radius |x| (a symmetry), the curvature along its tangent is |g| / |x|."""
ALONG = 0.1
"""Share of the gradient along a direction from which on it leads there."""
FUTILE = 2
"""Escapes in a row that gained nothing, after which negative curvature is that of a flat place."""
MOVES = 20
"""Lower points found by probing that a run moves to."""
MOST_DOUBLINGS = 6
"""Places looked at beyond the Newton step: 2, 4, ... times as far."""
SAFETY = 4.0
"""Between the change of a number from one neighbour to another and a bound on its rounding."""

APART = (1.0, 2.0, 5.0, 13.0)
"""Units of rounding to neighbours: at a single distance, sums of large terms may all be rounded alike."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ends at a point, or how it goes on from there if ``status`` is None.

    It moves to the point ``lower``; or has to settle a doubt by a smaller gradient; or else escapes along the curvature.
    """

    curvature: Curvature
    status: Status | None = None
    lower: Point | None = None
    is_doubtful: bool = False


class Certificate:
    """Grades points with small gradients, and remembers what it has seen of them.

    A positive definite Hessian is not enough: x^3 has one at every x > 0, and Newton's method approaches 0 from there. So
    the slope is looked at beyond the Newton step p, at x + t p for t = 2, 4, ...: it rises to positive values where there is a
    minimum, however flat. Where it falls again and the objective is lower, there is none.

    Negative curvature is not enough either: next to a curve of minima the curvature along it is of the size of the gradient, of
    either sign. It counts as zero if the objective is not lower a good way along it: what is then overlooked, at a hundredth of
    the reach or less, gains 0.0005 |g| |x| at most. And escapes that gain no more than gradients as small as these are worth
    show a flat place.

    The smallest eigenvalue is compared with the rounding of products, measured on neighbouring floating-point numbers.
    """

    def __init__(self, objective: Evaluates, is_dense: bool, seed: int) -> None:
        self._objective = objective
        self._is_dense = is_dense
        self._seed = seed
        self._futile = 0
        self._moves = 0
        self._worth = 0.0
        self.has_doubts = False
        self.saddles: list[SaddleRecord] = []

    def judge(self, point: Point, largest: float, max_hvp: int, is_late: Callable[[], bool]) -> Verdict:
        """Look at a point with a small gradient: at its curvature, and whether it has any; ``largest`` is the size of values met."""
        verdict = self._judge_smooth(point, largest, max_hvp, is_late)
        if verdict.status is None or not verdict.status.success:
            return verdict
        slopes = point.kinked_slopes(self._seed)
        if slopes is None:
            return verdict
        direction = join_vector(slopes.direction)
        length = 0.1 * point.reach / norm(direction)
        # The smooth part may slope as far as its gradient does, which is small; a kink leads down more steeply.
        steep = slopes.least < -2.0 * point.gradient_norm * norm(direction)
        while steep and length > float(np.finfo(point.x.dtype).eps) * point.reach:
            probe = self._objective.trial((point.x + length * direction).astype(point.x.dtype))
            if probe.value < point.value + 0.1 * length * slopes.least:
                return self._lower(probe, verdict.curvature)
            length *= 0.1
        # What products gave there is no curvature.
        return Verdict(dataclasses.replace(verdict.curvature, smallest=math.nan), Status.CONVERGED_AT_KINK)

    def _judge_smooth(self, point: Point, largest: float, max_hvp: int, is_late: Callable[[], bool]) -> Verdict:
        """Look at the curvature of a point where it is taken to mean something."""
        curvature = measure_curvature(point, self._is_dense, self._seed, max_hvp, is_late)
        curvature, noise = self._beyond_rounding(point, curvature)
        is_settled = curvature.direction is not None and curvature.definiteness is not Definiteness.UNDECIDED
        # Negative curvature that is known is said, however late.
        if not is_settled or (is_late() and curvature.definiteness is not Definiteness.NEGATIVE):
            return Verdict(curvature, Status.CONVERGED_FAR if self.has_doubts else Status.CONVERGED_UNDECIDED)
        gradient = scaled_gradient(point)
        size, slope = norm(gradient), float(gradient @ curvature.direction)
        self._worth = max(self._worth, size * point.reach)
        is_flat = abs(curvature.smallest) * point.reach <= FLAT * size and -slope <= ALONG * size
        rounding = ROUNDING * float(np.finfo(point.x.dtype).eps) * max(abs(point.value), largest)
        if curvature.definiteness is Definiteness.NEGATIVE:
            return self._negative(point, curvature, is_flat, rounding)
        if noise and not is_flat and curvature.definiteness is Definiteness.ZERO:
            # There is curvature, of a sign that rounding hides.
            return self._doubt(curvature)
        if is_flat or curvature.definiteness is Definiteness.ZERO:
            return self._flat(
                point, dataclasses.replace(curvature, definiteness=Definiteness.ZERO), -slope, size, rounding
            )
        if noise:
            for probe in self._probes(point, curvature, (0.1 * point.reach, -0.1 * point.reach)):
                if point.value - probe.value > rounding:
                    return self._lower(probe, curvature)
        return self._positive(point, curvature, size, noise)

    def leave(self, iteration: int, point: Point, curvature: Curvature) -> None:
        """Note a saddle that the run leaves."""
        is_futile = bool(self.saddles) and self.saddles[-1].value - point.value <= self._worth
        self._futile = self._futile + 1 if is_futile else 0
        self.saddles.append(SaddleRecord(iteration, point.value, curvature.smallest))

    def trapped(self, curvature: Curvature, point: Point) -> Status:
        """Status of a point with negative curvature that cannot be left along it."""
        is_flat = abs(curvature.smallest) * point.reach <= FLAT * norm(scaled_gradient(point))
        return Status.CONVERGED_SEMIDEFINITE if is_flat or self._futile else Status.NEGATIVE_CURVATURE

    def _negative(self, point: Point, curvature: Curvature, is_flat: bool, rounding: float) -> Verdict:
        """Escape, unless nothing is gained by it."""
        if self._futile >= FUTILE:
            return Verdict(curvature, Status.CONVERGED_SEMIDEFINITE)
        if not is_flat:
            return Verdict(curvature)
        for length in (0.1 * point.reach, 0.01 * point.reach):
            gain = max(rounding, 0.05 * abs(curvature.smallest) * length**2)
            for probe in self._probes(point, curvature, (length, -length)):
                if point.value - probe.value > gain:
                    return Verdict(curvature)
        return Verdict(dataclasses.replace(curvature, definiteness=Definiteness.ZERO), Status.CONVERGED_SEMIDEFINITE)

    def _flat(self, point: Point, curvature: Curvature, slope: float, size: float, rounding: float) -> Verdict:
        """Follow a direction without curvature a little: it may lead down, for ever (exp(-x)) or not at first (x^3)."""
        reach = point.reach
        if slope > ALONG * size:
            for probe in self._probes(point, curvature, (0.1 * reach, reach)):
                if point.value - probe.value > max(rounding, 0.1 * slope * 0.1 * reach):
                    return self._doubt(curvature)
        else:
            for length in (1e-3 * reach, 0.1 * reach):
                for probe in self._probes(point, curvature, (length, -length)):
                    if point.value - probe.value > max(rounding, size * length):
                        return self._lower(probe, curvature)
            # A valley that falls off to infinity does so less steeply than its walls, but it does not end.
            far = [point.value - probe.value for probe in self._probes(point, curvature, (reach, 4.0 * reach))]
            if slope > 0.0 and far and min(far) > rounding:
                return self._doubt(curvature)
        return Verdict(curvature, Status.CONVERGED_FAR if self.has_doubts else Status.CONVERGED_SEMIDEFINITE)

    def _positive(self, point: Point, curvature: Curvature, size: float, noise: float) -> Verdict:
        """Doubt a minimum that is far from here, as far as can be told, and look for what would refute it near by."""
        length = size / curvature.smallest if curvature.newton is None else norm(curvature.newton)
        if length + noise / curvature.smallest > FAR * point.reach:
            return self._doubt(curvature)
        lower, is_open = self._beyond(point, curvature)
        if lower is not None:
            return self._lower(lower, curvature)
        if is_open:
            return self._doubt(curvature)
        self.has_doubts = False
        return Verdict(curvature, Status.CONVERGED)

    def _lower(self, probe: Point, curvature: Curvature) -> Verdict:
        """Move to a lower point, unless that happens time and again."""
        self._moves += 1
        return Verdict(curvature, lower=probe) if self._moves <= MOVES else self._doubt(curvature)

    def _doubt(self, curvature: Curvature) -> Verdict:
        """Go on to a smaller gradient, which may settle it."""
        self.has_doubts = True
        return Verdict(curvature, is_doubtful=True)

    def _beyond(self, point: Point, curvature: Curvature) -> tuple[Point | None, bool]:
        """Return a lower point beyond the Newton step at which the slope falls again, and whether it never rises above 0."""
        newton = curvature.newton
        if newton is None:
            assert curvature.direction is not None
            newton = -float(scaled_gradient(point) @ curvature.direction) / curvature.smallest * curvature.direction
        step = np.asarray(newton / point.units).astype(point.x.dtype)
        first = before = float(point.gradient @ step)
        eps = float(np.finfo(point.x.dtype).eps)
        if not first < 0.0 or norm(step) <= 10.0 * eps * norm(point.x):
            return None, False
        gain = 0.0
        for k in range(1, MOST_DOUBLINGS + 1):
            probe = self._objective.trial((point.x + 2.0**k * step).astype(point.x.dtype))
            if not (math.isfinite(probe.value) and np.all(np.isfinite(probe.gradient))):
                return None, False
            slope = float(probe.gradient @ step)
            # A quadratic has the slope -first at twice the Newton step.
            if slope > (-0.5 if k == 1 else -0.1) * first:
                return None, False
            gain = point.value - probe.value - ROUNDING * eps * max(abs(point.value), abs(probe.value))
            if slope < before + ALONG * first and gain > 0.0:
                return probe, False
            before = slope
        return None, gain > 0.0

    def _probes(self, point: Point, curvature: Curvature, lengths: tuple[float, ...]) -> Iterator[Point]:
        """Evaluate at lengths along a direction; points without a value are left out."""
        assert curvature.direction is not None
        for length in lengths:
            probe = self._objective.trial((point.x + length * curvature.direction / point.units).astype(point.x.dtype))
            if math.isfinite(probe.value):
                yield probe

    def _beyond_rounding(self, point: Point, curvature: Curvature) -> tuple[Curvature, float]:
        """Call zero what does not exceed the rounding of products with the Hessian; also measure that of the slope."""
        small = float(np.finfo(point.x.dtype).eps) ** (1.0 / 3.0) * curvature.scale
        if curvature.direction is None or not abs(curvature.smallest) <= small:
            return curvature, 0.0
        if curvature.definiteness not in (Definiteness.POSITIVE, Definiteness.NEGATIVE):
            return curvature, 0.0
        v, error, noise = curvature.direction, 0.0, 0.0
        product, gradient = point.product(v), scaled_gradient(point)
        for neighbour in neighbours(self._objective, point, self._seed, APART):
            change = float(v @ (neighbour.product(v) - product))
            error = max(error, SAFETY * abs(change)) if math.isfinite(change) else error
            noise = max(noise, SAFETY * abs(float(v @ (scaled_gradient(neighbour) - gradient))))
        definiteness = Definiteness.ZERO if abs(curvature.smallest) <= error else curvature.definiteness
        return dataclasses.replace(curvature, definiteness=definiteness, residual=max(curvature.residual, error)), noise

    def state(self) -> dict[str, Any]:
        """What a resumed run has to know; of saddles the caller does."""
        return {"futile": self._futile, "moves": self._moves, "worth": self._worth, "has_doubts": self.has_doubts}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self._futile, self._moves = state["futile"], state["moves"]
        self._worth, self.has_doubts = state["worth"], state["has_doubts"]
