"""Exact minimisers of a model with a sparse Hessian: shifted factorisations until the step is as long as its bound wants it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hessian.linalg.factor import Factor
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import norm
from hessian.optimize.krylov import Step, lanczos_lowest
from hessian.optimize.spectral import SpectralModel

EASY = 0.1
"""Relative difference from the length that is wanted at which a step is long enough (Moré and Sorensen's)."""
HARD = 0.02
"""Share of the model's decrease that may be lost in the hard case."""
AGREE = 0.1
"""Relative difference between what two ways predict of a step, up to which they mean the same step."""
STRAIGHT = 0.1
"""Share of the decrease within a radius at which the Newton step, shortened, is taken: what the units of variables are does not matter
to it. On minimal surfaces that saves a third of the factorisations."""
ROUNDS = 50
INVERSE_STEPS = 3
"""Steps of inverse iteration for an eigenvector of the lowest eigenvalue: two solves each."""

SOLVES = 3
"""Powers of the inverse, times the gradient, that a model with a definite Hessian is minimised over where the radius binds."""

LANCZOS_STEPS = 12
"""Products for a direction of negative curvature where a factorisation shows none."""

Factored = Callable[[float], Factor]


@dataclass(frozen=True, slots=True)
class Goal:
    """How long a step is to be at a shift: as long as the radius, or ``shift / weight`` with a cubic term."""

    radius: float = math.inf
    weight: float = 0.0

    def length(self, shift: float) -> float:
        """Return the length that is wanted."""
        return shift / self.weight if self.weight else self.radius

    def shift_at(self, size: float, curvature: float) -> float:
        """Return the shift at which a gradient of a size gives that length along a curvature."""
        if not self.weight:
            return max(0.0, size / self.radius - curvature)
        root = math.hypot(curvature, 2.0 * math.sqrt(self.weight) * math.sqrt(size))
        # Whichever form of the root does not cancel.
        return 2.0 * size / (root + curvature) * self.weight if curvature > 0.0 else 0.5 * (root - curvature)

    def next(self, shift: float, length: float, bend: float) -> float:
        """Take a step of Newton's method on the difference of reciprocal lengths; ``bend`` is ``u.(H + shift I)^-1 u``, u the unit step."""
        wanted = self.length(shift)
        if not self.weight:
            return shift + (length - wanted) / wanted / bend
        ratio = self.weight / shift * length
        return shift - (1.0 - ratio) / (bend + ratio / shift)


class ShiftedModel:
    """The model ``g.s + s.H s / 2`` with H sparse: ``(H + shift I) s = -g``, the shift found by factorisations.

    The shift is the least for which ``H + shift I`` is positive semidefinite and s not too long. Newton's method on reciprocal lengths
    is safeguarded by a bracket, which factorisations that fail raise from below by a direction of negative curvature. In the hard case
    an approximate eigenvector takes the step to its length. Where H is positive definite, a solve takes a fraction of a factorisation:
    the model is then minimised over a few powers of H and of its inverse times the gradient, among them the steps of a dogleg.

    Parameters
    ----------
    matrix : SymmetricSum
        Finite.
    gradient : ndarray
    factored : callable
        ``shift -> Factor`` of ``H + shift I``.

    References
    ----------
    J. J. Moré and D. C. Sorensen, Computing a trust region step, SIAM J. Sci. Stat. Comput. 4 (1983) 553-572. A. R. Conn, N. I. M. Gould
    and Ph. L. Toint, Trust-Region Methods (2000), section 7.3. V. Druskin and L. Knizhnerman, Extended Krylov subspaces, SIAM J. Matrix
    Anal. Appl. 19 (1998) 755-771.
    """

    products = 0

    def __init__(self, matrix: SymmetricSum, gradient: np.ndarray, factored: Factored) -> None:
        self._matrix, self._factored, self._dtype = matrix, factored, gradient.dtype
        self._g = gradient.astype(np.float64)
        self._size = norm(self._g)
        self._largest, (self._least, _) = matrix.size, matrix.bounds()
        # No smaller shift makes it semidefinite: by the diagonal, and by every direction of negative curvature met.
        self._floor = max(0.0, -float(matrix.diagonal().min()))
        self._last = math.nan
        self._lowest: np.ndarray | None = None
        self._whole: np.ndarray | None = None
        self._inverse: Factor | None = None
        self._small: SpectralModel | None = None
        if self._floor == 0.0:
            factor = factored(0.0)
            if factor.is_definite:
                self._learn(factor)
            else:
                self._raise_floor(factor, 0.0)

    def _learn(self, factor: Factor) -> None:
        """Take the Newton step of a definite factor, unless rounding has left nothing of it."""
        whole = -factor.solve(self._g)
        with np.errstate(all="ignore"):
            predicted = self._step(whole, "newton", False).predicted
        if 0.0 < predicted < math.inf or not self._size:
            self._inverse, self._whole = factor, whole

    @property
    def end_norm(self) -> float:
        """Length of the Newton step; infinite where H is not positive definite."""
        return math.inf if self._whole is None else norm(self._whole)

    def step(self, radius: float) -> Step:
        """Minimise the model within the radius."""
        if self._whole is not None and norm(self._whole) <= radius:
            return self._step(self._whole, "newton", False)
        if self._whole is not None:
            found = self._confirmed(self._extended().step(radius), "boundary")
            if found is not None:
                return found
        vector, status = self._search(Goal(radius=radius))
        return self._step(vector, status, True)

    def cubic_step(self, weight: float) -> Step:
        """Minimise the model with the cubic term ``weight / 3 |s|^3``, which is part of the predicted reduction."""
        if weight <= 0.0 and self._whole is not None:
            return self._step(self._whole, "newton", True)
        if self._whole is not None:
            found = self._confirmed(self._extended().cubic_step(weight), "cubic", weight)
            if found is not None:
                return found
        vector, status = self._search(Goal(weight=weight))
        return self._step(vector, "cubic" if status == "boundary" else status, True, weight)

    def _step(self, s: np.ndarray, status: str, on_boundary: bool, weight: float = 0.0) -> Step:
        length = norm(s)
        # Squares and cubes of the length alone might leave the range of numbers.
        u = s / length if length > 0.0 else s
        bend = 0.5 * length * float(u @ (self._matrix @ u)) + weight / 3.0 * length * length
        predicted = length * (-float(self._g @ u) - bend)
        return Step(s.astype(self._dtype), length, predicted, on_boundary, status)

    def _confirmed(self, small: Step, status: str, weight: float = 0.0) -> Step | None:
        """Return the step of the model over a few powers, if the whole model predicts of it what that does.

        Small eigenvalues of that are lost in its rounding where H is ill-conditioned.
        """
        step = self._step(small.vector, status, True, weight)
        return step if abs(step.predicted - small.predicted) <= AGREE * small.predicted else None

    def _extended(self) -> SpectralModel:
        """Return the model over a few powers of H and of its inverse times the gradient."""
        if self._small is None:
            assert self._inverse is not None
            assert self._whole is not None
            columns = [self._g / self._size, self._whole / norm(self._whole)]
            back, forth = columns[1], self._matrix @ columns[0]
            for _ in range(SOLVES - 1):
                back = self._inverse.solve(back)
                size = norm(back)
                if not 0.0 < size < math.inf:
                    break
                back = back / size
                columns.append(back)
            size = norm(forth)
            columns += [forth / size] if size > 0.0 else []
            left, sizes, _ = np.linalg.svd(np.stack(columns, axis=1), full_matrices=False)
            basis = left[:, sizes > 1e-8 * sizes[0]]
            values, vectors = np.linalg.eigh(basis.T @ (self._matrix @ basis))
            self._basis = basis @ vectors
            eps = float(np.finfo(np.float64).eps)
            self._small = SpectralModel(values, self._basis.T @ self._g, lambda y: self._basis @ y, eps)
        return self._small

    def _raise_floor(self, factor: Factor, shift: float) -> None:
        """Learn from a factorisation that failed at a shift."""
        self._floor = max(self._floor, shift)
        d = factor.direction
        if d is None and self._matrix.rank:
            start = self._g if self._lowest is None else self._lowest
            d = lanczos_lowest(self._matrix.__matmul__, start, LANCZOS_STEPS).vector
        if d is not None:
            self._lowest = d
            self._floor = max(self._floor, -float(d @ (self._matrix @ d)))

    def _search(self, goal: Goal) -> tuple[np.ndarray, str]:
        """Find the shift; return the step and what ended it."""
        low = max(self._floor, goal.shift_at(self._size, self._largest))
        high = max(goal.shift_at(self._size, self._least), low)
        shift, best, is_lost = self._last, np.zeros(0), False
        for _ in range(ROUNDS):
            if not (low < shift < high or low == high == shift):
                shift = max(math.sqrt(low) * math.sqrt(high), low + 0.01 * (high - low))
            factor = self._factored(shift)
            if not factor.is_definite:
                self._raise_floor(factor, shift)
                is_lost = factor.direction is None and factor.inertia is None
                low, shift = max(low, self._floor), math.nan
                # Gershgorin's bound is one to rounding only.
                high = max(high, low * (1.0 + 1e-8))
                continue
            best = -factor.solve(self._g)
            length, wanted = norm(best), goal.length(shift)
            self._last = shift
            status = "negative-curvature" if self._floor > 0.0 else "boundary"
            if abs(length - wanted) <= EASY * wanted:
                return best, status
            if length > wanted:
                low = shift
            else:
                high = shift
                longer = self._hard(factor, best, shift, wanted)
                if longer is not None:
                    return longer, "negative-curvature"
                low = max(low, self._floor)
            # Where a smaller shift is lost in rounding, none of them makes the step much longer.
            if high - low <= (EASY if is_lost else 1e-12) * high:
                break
            along = best / length
            shift = goal.next(shift, length, float(along @ factor.solve(along)))
        return self._shortened(best, goal)

    def _shortened(self, best: np.ndarray, goal: Goal) -> tuple[np.ndarray, str]:
        """Return a step where no shift was good: what there is, no longer than is wanted."""
        if not len(best):
            best = -self._g
        wanted = goal.length(self._last) if math.isfinite(self._last) else goal.radius
        if not math.isfinite(wanted):
            wanted = self._size / max(self._largest, math.sqrt(goal.weight * self._size))
        length = norm(best)
        return best * min(1.0, wanted / length), "boundary"

    def _hard(self, factor: Factor, s: np.ndarray, shift: float, wanted: float) -> np.ndarray | None:
        """Return the step made as long as is wanted along the lowest eigenvector, if that costs little of the decrease."""
        z = self._lowest if self._lowest is not None else np.random.default_rng(0).standard_normal(len(s))
        for _ in range(INVERSE_STEPS):
            z = factor.solve(z)
            z = z / norm(z)
        self._lowest = z
        image = self._matrix @ z
        rho = float(z @ image) + shift
        # The lowest eigenvalue is at most that of the quotient.
        self._floor = max(self._floor, shift - rho)
        # In units of the length that is wanted.
        s = s / wanted
        length, along = norm(s), float(s @ z)
        room = (1.0 - length) * (1.0 + length)
        root = math.hypot(along, math.sqrt(max(room, 0.0)))
        # The shorter of the two ways to the sphere.
        tau = room / (along + math.copysign(root, along))
        bend = float(s @ (self._matrix @ s)) + shift * length * length
        return wanted * (s + tau * z) if tau * tau * rho <= HARD * (bend + shift) else None


class StraightModel(ShiftedModel):
    """A shifted model that shortens the Newton step where that keeps a tenth of the decrease that a radius allows.

    The direction does not depend on the units of variables, as that of shorter steps does: it is good for longer ones.
    """

    def step(self, radius: float) -> Step:
        """Minimise the model within the radius, on the way to the Newton step if that is not much worse."""
        if self._whole is not None and norm(self._whole) > radius:
            line = self._step(self._whole * (radius / norm(self._whole)), "boundary", True)
            # No step within the radius falls further than that, or than the whole one.
            most = min(radius * self._size, -0.5 * float(self._g @ self._whole))
            if line.predicted >= STRAIGHT * most:
                return line
        return super().step(radius)


class CubicShiftedModel:
    """A shifted model whose steps are bounded by a cubic term instead of a radius."""

    products = 0

    def __init__(self, model: ShiftedModel) -> None:
        self._model = model

    @property
    def end_norm(self) -> float:
        """Length of the Newton step."""
        return self._model.end_norm

    def step(self, weight: float) -> Step:
        """Minimise the model with a cubic term of the weight."""
        return self._model.cubic_step(weight)
