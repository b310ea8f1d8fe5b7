"""The path of fits with one parameter held, followed to where the likelihood ratio reaches its cut."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hessian.errors import ConvergenceError, message
from hessian.statistics.constrained_refits import ConstrainedRefits
from hessian.statistics.information import Information
from hessian.statistics.refits import Curvature, Fit, Place, Problem, Refits

_CLOSE = 1e-5
"""Distance of the root from its target, relative to it, at which a last step of Newton's ends the search."""
_GROWTH = 3.0
"""A step beyond is at most so many times the distance gone."""
_MOST = 60
_RISING = 1e-2
"""Rise over as much again, relative to what is missing, at which a root that rises ever less is called flat."""
_FALLING = 0.9
"""Share of one such rise that the next may be."""
_LOOK = 0.5
"""Step, relative to the distance gone, that is to confirm it."""
_PATIENCE = 3
"""Proposals within a bracket that may leave it wider than a half."""
_EXACT = 1e-8
"""Squared distance of an estimate from the minimum, in standard errors, from which on the Hessian there is formed anew."""
_EDGE = 1e-9
"""Share of the distance to which the edge of a domain is located."""
_CONSTRAINED_EDGE = 1e-6
"""The same of an edge that constraints make, which solvers know no better."""


class LowerMinimum(ConvergenceError):
    """On the way the objective has fallen below the estimate, which no interval is about then."""


@dataclass(frozen=True)
class Knot:
    """A fit on the path.

    Attributes
    ----------
    psi : float
        Where the parameter is held.
    root : float
        Square root of twice the loss of log-likelihood.
    slope : float
        Its derivative in the distance from the estimate; ``inf`` at an estimate that a bound holds.
    fit : Fit
    """

    psi: float
    root: float
    slope: float
    fit: Fit


@dataclass(frozen=True)
class End:
    """An end of an interval: where, how it was found, and what is to be said of it."""

    psi: float
    kind: str
    note: str = ""


class Side:
    """The path to one side of the estimate.

    Parameters
    ----------
    problem : Problem
    k : int
        The parameter.
    center : Knot
        The estimate.
    bend : float
        Second derivative of the profile there.
    sign : float
        1 upwards, -1 downwards.
    target : float
        The root at which the path ends.
    noise : float
        Rounding of twice the log-likelihood.
    """

    def __init__(
        self, problem: Problem, k: int, center: Knot, bend: float, sign: float, target: float, noise: float
    ) -> None:
        self._problem, self._k, self._sign, self._target = problem, k, sign, target
        self._refits = ConstrainedRefits(problem, k, center.fit.tangent) if problem.constraints else Refits(problem, k)
        self._center, self._bend, self._noise = center, bend, noise
        self._edge = _CONSTRAINED_EDGE if problem.constraints else _EDGE
        self._limit = problem.high[k] if sign > 0.0 else problem.low[k]
        self._begin()

    def _begin(self) -> None:
        """Start at the estimate."""
        self.knots: list[Knot] = []
        self._low: Knot = self._center
        self._high: Knot | None = None
        # The nearest place at which the objective has no value.
        self._wall: float | None = None
        # Width of the bracket when it was last halved, and proposals since.
        self._width, self._slow = math.inf, 0

    def run_or_say(self) -> End:
        """Follow the path to its end; NaN, and why, where that fails.

        Raises
        ------
        LowerMinimum
            The estimate is not the minimum: then no end is one.
        """
        try:
            return self.run()
        except LowerMinimum:
            raise
        except ConvergenceError as error:
            way = "above" if self._sign > 0.0 else "below"
            return End(math.nan, "unknown", f"the end {way} of {self._problem.names[self._k]} is not known: {error}")

    def run(self) -> End:
        """Follow the path to its end; once more, with a Hessian for every fit, where the last one is no minimum by its own."""
        end = self._run()
        if not self._refits.is_minimum(exactly=end.kind == "cut"):
            self._refits.is_careful = True
            self._begin()
            end = self._run()
        return end

    def _run(self) -> End:
        name = self._problem.names[self._k]
        if self._center.psi == self._limit:
            return End(self._limit, "bound", f"{name} is on its bound {self._limit:g}, where the interval ends")
        for _ in range(_MOST):
            psi = self._proposed()
            if not math.isfinite(psi):
                return self._open(name)
            near = min((self._center, *self.knots), key=lambda knot: abs(knot.psi - psi))
            fit = self._refits.at(psi, near.fit.x + (psi - near.psi) * near.fit.tangent, near.fit.curvature)
            if fit is None:
                self._wall = psi
                if abs(psi - self._low.psi) <= self._edge * abs(psi - self._center.psi):
                    what = "constraints leave nothing" if self._problem.constraints else "the objective has no value"
                    note = f"{what} beyond {name} = {self._low.psi:.6g}, where the interval ends"
                    return End(self._low.psi, "edge", note)
                continue
            knot = self._knot(psi, fit)
            self.knots.append(knot)
            end = self._settled(knot, name)
            if end is not None:
                return end
        what = f"the end of the interval of {name} was not found after {_MOST} fits; the last is at {psi:.6g}"
        why = f"The root of the likelihood ratio is {self._low.root:.4g} there, {self._target:.4g} is sought"
        raise ConvergenceError(message("profile", what, why, "Look at the profile: minimize(..., fixed=...)"))

    def _knot(self, psi: float, fit: Fit) -> Knot:
        """Compare a fit with the estimate."""
        loss = 2.0 * self._problem.scale * (fit.value - self._center.fit.value)
        if loss < -(1e-7 + 10.0 * self._noise):
            name = self._problem.names[self._k]
            values = f"{fit.value:.10g}, below the fit's {self._center.fit.value:.10g}"
            what = f"where {name} is held at {psi:.8g}, the objective falls to {values}"
            why = "The estimate is not the minimum, and intervals about it mean nothing"
            raise LowerMinimum(message("profile", what, why, "Minimise again from there"))
        root = math.sqrt(max(loss, 0.0))
        slope = self._problem.scale * self._sign * fit.slope / root if root > 0.0 else 0.0
        return Knot(psi, root, slope, fit)

    def _settled(self, knot: Knot, name: str) -> End | None:
        """Take a knot into the bracket; the end where it is close enough."""
        gap = self._target - knot.root
        close = max(_CLOSE * self._target, 3.0 * self._noise / self._target)
        note = f"the profile of {name} is not monotone: there may be other minima, and more than one interval"
        if abs(gap) <= close and knot.slope > 0.0:
            has_fallen = any(not inner.slope > 0.0 for inner in self.knots if self._sign * (inner.psi - knot.psi) < 0.0)
            return End(knot.psi + self._sign * gap / knot.slope, "cut", note if has_fallen else "")
        if gap < 0.0:
            self._high = knot
        else:
            self._low = knot
            if knot.psi == self._limit:
                return End(self._limit, "bound", f"the interval of {name} ends at its bound {self._limit:g}")
        high = self._high
        if high is not None and abs(high.psi - self._low.psi) <= 1e-12 * max(abs(high.psi), abs(self._low.psi)):
            return End(high.psi, "cut", f"the profile of {name} jumps at {high.psi:.6g}")
        return None

    def _open(self, name: str) -> End:
        last = self.knots[-1]
        note = (
            f"the root of the likelihood ratio of {name} rises to {last.root:.4g} at {last.psi:.4g} and no further, "
            f"{self._target:.4g} is sought: the interval is open"
        )
        return End(self._sign * math.inf, "open", note)

    def _proposed(self) -> float:
        """Where to look next; infinity where the root will not reach its target."""
        if self._high is not None:
            width = abs(self._high.psi - self._low.psi)
            self._slow = self._slow + 1 if width > 0.5 * self._width else 0
            if not self._slow:
                self._width = width
            # Interpolation may keep to one side of a bend.
            is_stuck = self._slow >= _PATIENCE
            return 0.5 * (self._low.psi + self._high.psi) if is_stuck else self._inside(self._low, self._high)
        low, gone = self._low, abs(self._low.psi - self._center.psi)
        if self._wall is not None:
            return 0.5 * (low.psi + self._wall)
        if self._is_flat():
            return math.inf
        if low is self._center:
            slope = self._problem.scale * self._sign * low.fit.slope
            # c (2 slope t + bend t^2) = target^2, of which slope is 0 unless a bound holds the estimate; there it may bend down, and
            # the parabola end below the target.
            square = slope**2 + self._problem.scale * self._bend * self._target**2
            step = self._target**2 / (slope + math.sqrt(max(square, 0.0)))
        else:
            step = (self._target - low.root) / low.slope if low.slope > 0.0 else math.inf
            # A little beyond where the step is long, so that both sides are known sooner.
            # Where it seems flat, a look near by: far out rounding may be all there is.
            step = min(step, (_LOOK if self._rise(low) <= _RISING else _GROWTH) * gone)
        psi = low.psi + self._sign * step
        return min(psi, self._limit) if self._sign > 0.0 else max(psi, self._limit)

    def _rise(self, knot: Knot) -> float:
        """What the root would rise or fall by over as much again as has been gone, relative to what is missing."""
        return abs(knot.slope) * abs(knot.psi - self._center.psi) / (self._target - self._low.root)

    def _is_flat(self) -> bool:
        """Whether the root rises by ever less as the distance is multiplied, so that all that is to come stays below the target.

        Where twice in a row the rise over as much again is a hundredth of what is missing, and falls as the distance grows, the rest of
        it is no more than a few hundredths; for roots that rise like logarithms it hardly falls.
        """
        if len(self.knots) < 2:
            return False
        before, last = (self._rise(knot) for knot in self.knots[-2:])
        return max(before, last) <= _RISING and last <= max(_FALLING * before, 1e-6)

    def _inside(self, low: Knot, high: Knot) -> float:
        """Interpolate the distance as a cubic function of the root."""
        width = high.root - low.root
        t = (self._target - low.root) / width
        first, last = low.psi, high.psi
        if low.slope > 0.0 and high.slope > 0.0 and math.isfinite(low.slope):
            m0, m1 = self._sign * width / low.slope, self._sign * width / high.slope
            psi = (
                (1 + 2 * t) * (1 - t) ** 2 * first
                + t * (1 - t) ** 2 * m0
                + t * t * (3 - 2 * t) * last
                + t * t * (t - 1) * m1
            )
        else:
            psi = first + t * (last - first)
        least, most = sorted((first, last))
        margin = 1e-3 * (most - least)
        if least + 1e-9 * margin < psi < most - 1e-9 * margin:
            return float(psi)
        return 0.5 * (first + last)


@dataclass(frozen=True)
class Minimum:
    """An estimate, polished, and the Hessian near by.

    Attributes
    ----------
    place : Place
    curvature : Curvature
    held : ndarray of bool
        Parameters that a bound holds.
    """

    place: Place
    curvature: Curvature
    held: np.ndarray

    @classmethod
    def near(cls, problem: Problem, x: np.ndarray) -> Minimum:
        """Polish an estimate by Newton steps on one Hessian.

        Raises
        ------
        ConvergenceError
            x is no minimum.
        """
        place = problem.at(x)
        if not place.is_finite:
            what = "f or its gradient is not finite at x"
            raise ConvergenceError(message("profile", what, "A profile starts at the minimum", "Minimise again"))
        curvature = Curvature.of(problem, place)
        inner = _inner(problem, place)
        if curvature.dense is not None and inner.size:
            # Refuses a singular or indefinite one by the combination of parameters that it leaves open.
            matrix = problem.scale * curvature.dense[np.ix_(inner, inner)]
            Information.of_matrix(matrix, [problem.names[i] for i in inner], where="profile")
        start = place
        for _ in range(4):
            inner = _inner(problem, place)
            step = -curvature.solve(inner, place.gradient[inner])
            away = -problem.scale * float(place.gradient[inner] @ step)
            if not 0.0 <= away <= 1e-2:
                what = f"x is {math.sqrt(abs(away)):.2g} standard errors from the minimum of the quadratic model there"
                fix = "Minimise with a smaller gtol, or start again from x"
                raise ConvergenceError(message("profile", what, "A profile starts at the minimum", fix))
            if away <= 1e-14:
                break
            moved = place.x.copy()
            moved[inner] += step
            trial = problem.at(problem.clipped(moved))
            noise = 4.0 * float(np.finfo(problem.dtype).eps) * abs(place.value)
            if not trial.is_finite or trial.value > place.value + noise:
                break
            if place is start and away > _EXACT:
                curvature = Curvature.of(problem, trial)
            place = trial
        return cls(place, curvature, problem.held_by_bounds(place))

    def center(self, problem: Problem, k: int) -> tuple[Knot, float]:
        """Return the start of the paths of a parameter, and the second derivative of its profile there."""
        x, curvature = self.place.x, self.curvature
        others = problem.free[~self.held[problem.free] & (problem.free != k)]
        coupled = curvature.column(k)
        tangent = np.zeros(x.size)
        tangent[others], tangent[k] = -curvature.solve(others, coupled[others]), 1.0
        bend = float(coupled[k] + coupled[others] @ tangent[others])
        slope = float(self.place.gradient[k]) if self.held[k] else 0.0
        fit = Fit(x, self.place.value, slope, tangent, curvature)
        rises = math.sqrt(problem.scale * bend) if bend > 0.0 else 0.0
        return Knot(float(x[k]), 0.0, math.inf if slope else rises, fit), bend


def _inner(problem: Problem, place: Place) -> np.ndarray:
    """Free parameters that no bound holds."""
    return problem.free[~problem.held_by_bounds(place)[problem.free]]
