"""The other parameters fitted where one is held: simplified Newton steps on a Hessian that is kept while it serves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg
from scipy.optimize import Bounds

from hessian.errors import ConvergenceError, message
from hessian.linalg import limits
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.restricted import RestrictedOperator
from hessian.operators.symmetric import SymmetricOperator
from hessian.optimize.minimize import minimize
from hessian.optimize.objective import FAILURES, quiet
from hessian.programs import RecordedFunction
from hessian.tape.trees import ravel

SETTLED = 1e-8
"""Squared Newton step, in standard errors, at which a fit has settled: what is left of the value is estimated from it."""
_POOR = 0.1
"""Share of such a square that a step on an old Hessian may leave, before a new one is formed."""
_FAR = 1.0
"""Square from which on an old Hessian is not relied on."""
_MOST_STEPS = 30
_HALVINGS = 10
_ROUNDING = 1e-8
"""Negative eigenvalues of this share of the largest, the diagonal scaled to 1, are zero."""
_ACTIVE = 1e-12
"""Distance from a bound, relative to its size, at which a parameter is on it."""


@dataclass
class Problem:
    """An objective with the parameters that are varied, and what has been evaluated of it.

    Attributes
    ----------
    f : RecordedFunction
    args : tuple
    unravel : callable
    dtype : dtype
        Of the raveled parameters.
    scale : float
        Makes the objective a negative log-likelihood.
    free : ndarray of int
        Parameters that are not held.
    low, high : ndarray, shape (n,)
        Bounds of all.
    names : tuple of str
    constraints : tuple
        On the structured parameters, as :func:`hessian.optimize.minimize` takes them.
    n_value, n_grad, n_hvp, n_fits : int
        Evaluations: values and gradients, products with the Hessian (a dense one counts n), fits by a solver.
    """

    f: RecordedFunction
    args: tuple[Any, ...]
    unravel: Callable[[Any], Any]
    dtype: Any
    scale: float
    free: np.ndarray
    low: np.ndarray
    high: np.ndarray
    names: tuple[str, ...]
    constraints: tuple[Any, ...] = ()
    n_value: int = 0
    n_grad: int = 0
    n_hvp: int = 0
    n_fits: int = 0

    def at(self, x: np.ndarray) -> Place:
        """Evaluate value and gradient; NaN where there are none."""
        x = x.astype(self.dtype)
        self.n_value += 1
        try:
            with quiet():
                operator = HessianOperator(self.f, self.unravel(x), *self.args)
                value = float(operator.value)
                if math.isfinite(value):
                    self.n_grad += 1
                    gradient = operator.gradient.astype(np.float64)
                    if np.all(np.isfinite(gradient[self.free])):
                        return Place(x.astype(np.float64), value, gradient, operator)
        except FAILURES:
            pass
        return Place(x.astype(np.float64), math.nan, np.full(x.shape, math.nan), None)

    @property
    def bounds(self) -> Bounds | None:
        """Bounds, if there are any."""
        is_open = np.all(np.isinf(self.low) & np.isinf(self.high))
        return None if is_open else Bounds(self.low, self.high)

    def clipped(self, x: np.ndarray) -> np.ndarray:
        """Move x into the bounds."""
        return np.clip(x, self.low, self.high)

    def held_by_bounds(self, place: Place) -> np.ndarray:
        """Tell which parameters are on a bound towards which the objective falls."""
        with np.errstate(invalid="ignore"):
            low = place.x <= self.low + _ACTIVE * np.maximum(1.0, np.abs(self.low))
            high = place.x >= self.high - _ACTIVE * np.maximum(1.0, np.abs(self.high))
        return (low & (place.gradient > 0.0)) | (high & (place.gradient < 0.0)) | (self.low == self.high)


@dataclass(frozen=True)
class Place:
    """Value and gradient at a point."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    operator: Any

    @property
    def is_finite(self) -> bool:
        """Whether the objective has a value here."""
        return math.isfinite(self.value)


class _Counted(SymmetricOperator):
    """Products that are counted."""

    def __init__(self, operator: HessianOperator, problem: Problem) -> None:
        self._inner, self._problem = operator, problem
        super().__init__(operator.shape[0], operator.dtype)

    def _apply(self, V: np.ndarray) -> np.ndarray:
        self._problem.n_hvp += 1 if V.ndim == 1 else V.shape[1]
        return np.asarray(self._inner @ V)


@dataclass
class Curvature:
    """The Hessian at a place, and systems in some of the parameters: by Cholesky factors, from 600 parameters on by products."""

    operator: Any
    dense: np.ndarray | None
    _factors: dict[bytes, tuple[np.ndarray, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, problem: Problem, place: Place) -> Curvature:
        """Form it, n products, or leave it to products."""
        n = place.x.size
        with quiet():
            if n > limits.SOLVE_ORDER:
                return cls(_Counted(place.operator, problem), None)
            problem.n_hvp += n
            return cls(place.operator, place.operator.to_dense().astype(np.float64))

    def solve(self, places: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Solve in some of the parameters.

        Raises
        ------
        LinAlgError, ConvergenceError
            The block is not positive definite, or has no solution by products.
        """
        if not places.size:
            return b
        if self.dense is None:
            return np.asarray(
                RestrictedOperator(self.operator, places).solve(b.astype(self.operator.dtype), rtol=1e-7), float
            )
        key = places.tobytes()
        if key not in self._factors:
            block = self.dense[np.ix_(places, places)]
            with np.errstate(invalid="ignore"):
                units = np.sqrt(np.diag(block))
            if not (np.all(np.isfinite(block)) and np.all(units > 0.0)):
                raise np.linalg.LinAlgError("the curvature is not positive")
            self._factors[key] = units, scipy.linalg.cho_factor(block / units / units[:, None])
        units, factor = self._factors[key]
        return np.asarray(scipy.linalg.cho_solve(factor, b / units)) / units

    def column(self, k: int) -> np.ndarray:
        """A column of the matrix."""
        if self.dense is not None:
            return self.dense[:, k]
        unit = np.zeros(self.operator.shape[0], self.operator.dtype)
        unit[k] = 1.0
        return np.asarray(self.operator @ unit, np.float64)


@dataclass(frozen=True)
class Fit:
    """The minimum over the others where one parameter is held.

    Attributes
    ----------
    x : ndarray, shape (n,)
    value : float
        Of the objective there, to third order in what is left of the gradient.
    slope : float
        Derivative of that value in the parameter that is held.
    tangent : ndarray, shape (n,)
        Derivative of x in it.
    curvature : Curvature or None
    """

    x: np.ndarray
    value: float
    slope: float
    tangent: np.ndarray
    curvature: Any


class Refits:
    """Fits of the others where a parameter is held, each from a guess and the Hessian at hand.

    Parameters
    ----------
    problem : Problem
    k : int
        The parameter.
    """

    def __init__(self, problem: Problem, k: int) -> None:
        self.problem, self.k = problem, k
        self._others = problem.free[problem.free != k]
        self._last: Place | None = None
        #: Whether every fit has a Hessian of its own, which has to be definite.
        self.is_careful = False

    def at(self, psi: float, guess: np.ndarray, curvature: Curvature) -> Fit | None:
        """Fit the others; ``None`` where the objective has no value.

        Raises
        ------
        ConvergenceError
            Neither these steps nor a solver find the minimum.
        """
        start = self.problem.clipped(guess)
        start[self.k] = psi
        place = self.problem.at(start)
        if not place.is_finite:
            return None
        fit = self._steps(place, Curvature.of(self.problem, place) if self.is_careful else curvature, self.is_careful)
        if fit is not None and self.is_careful and not self.is_minimum():
            fit = None
        return self._by_solver(psi, place.x) if fit is None else fit

    def is_minimum(self, exactly: bool = True) -> bool:
        """Whether the last fit stands before a Hessian of its own: none of its curvature is negative, in the others that no bound holds.

        ``exactly`` asks whether what is left of the gradient is small by that Hessian, too. By products nothing is asked.
        """
        place = self._last
        if place is None or place.x.size > limits.SOLVE_ORDER:
            return True
        inner, curvature = self._inner(place), Curvature.of(self.problem, place)
        assert curvature.dense is not None
        block = curvature.dense[np.ix_(inner, inner)]
        if not inner.size or not np.all(np.isfinite(block)):
            return not inner.size
        units = np.sqrt(np.maximum(np.abs(np.diag(block)), np.finfo(float).tiny))
        values, vectors = np.linalg.eigh(block / units / units[:, None])
        if values[0] < -_ROUNDING * np.max(np.abs(values)):
            return False
        slopes = vectors.T @ (place.gradient[inner] / units)
        away = self.problem.scale * float(np.sum(slopes**2 / np.maximum(values, _ROUNDING * values[-1])))
        return not exactly or away <= 10.0 * SETTLED

    def _inner(self, place: Place) -> np.ndarray:
        """The others that no bound holds."""
        return self._others[~self.problem.held_by_bounds(place)[self._others]]

    def _steps(self, place: Place, curvature: Curvature, is_new: bool = False) -> Fit | None:
        """Descend until the step is small; ``None`` where that fails."""
        problem, last = self.problem, math.inf
        for _ in range(_MOST_STEPS):
            inner = self._inner(place)
            try:
                step = -curvature.solve(inner, place.gradient[inner])
                away = -problem.scale * float(place.gradient[inner] @ step)
                is_served = away >= 0.0 and (is_new or away <= min(_FAR, max(_POOR * last, SETTLED)))
                moved = self._moved(place, inner, step, away) if is_served else None
            except (np.linalg.LinAlgError, ConvergenceError):
                moved = None
            if isinstance(moved, Place):
                place, last, is_new = moved, away, False
            elif moved is not None:
                return self._fit(place, inner, step, away, curvature)
            elif is_new:
                return None
            else:
                curvature, is_new, last = Curvature.of(problem, place), True, math.inf
        return None

    def _moved(self, place: Place, inner: np.ndarray, step: np.ndarray, away: float) -> Place | bool | None:
        """Return a lower place along a step; True where the step is too short to matter, ``None`` where nothing is lower."""
        if away <= SETTLED and self._stays_inside(place, inner, step):
            return True
        length = 1.0
        noise = 4.0 * float(np.finfo(self.problem.dtype).eps) * abs(place.value)
        for _ in range(_HALVINGS):
            x = place.x.copy()
            x[inner] += length * step
            trial = self.problem.at(self.problem.clipped(x))
            if trial.is_finite and trial.value <= place.value + noise:
                return trial
            length *= 0.5
        return None

    def _stays_inside(self, place: Place, inner: np.ndarray, step: np.ndarray) -> bool:
        """Whether a step stays within the bounds."""
        x = place.x[inner] + step
        slack = 1e-9 * np.maximum(1.0, np.abs(x))
        return bool(np.all((x >= self.problem.low[inner] - slack) & (x <= self.problem.high[inner] + slack)))

    def _fit(self, place: Place, inner: np.ndarray, step: np.ndarray, away: float, curvature: Curvature) -> Fit:
        """Take the last step, and derivatives along the way."""
        self._last = place
        x, tangent = place.x.copy(), np.zeros(place.x.size)
        x[inner] += step
        coupled = curvature.column(self.k)[inner]
        tangent[inner], tangent[self.k] = -curvature.solve(inner, coupled), 1.0
        value = place.value - 0.5 * away / self.problem.scale
        slope = float(place.gradient[self.k] + coupled @ step)
        return Fit(self.problem.clipped(x), value, slope, tangent, curvature)

    def _by_solver(self, psi: float, x: np.ndarray) -> Fit:
        """Fit the others by a solver, which follows curvature of either sign."""
        problem = self.problem
        problem.n_fits += 1
        held = set(range(x.size)) - set(self._others)
        start = x.copy()
        start[self.k] = psi
        res = minimize(
            problem.f,
            problem.unravel(start.astype(problem.dtype)),
            problem.args,
            bounds=problem.bounds,
            fixed=[problem.names[i] for i in sorted(held)],
        )
        problem.n_value, problem.n_grad = problem.n_value + res.n_value, problem.n_grad + res.get("n_grad", 0)
        problem.n_hvp += res.get("n_hvp", 0) + res.get("n_hess", 0) * self._others.size
        if res.success:
            place = problem.at(ravel(res.x)[0])
            fit = self._steps(place, Curvature.of(problem, place), is_new=True) if place.is_finite else None
            if fit is not None:
                return fit
        how = f"{res.status.name}, but no minimum with a definite Hessian" if res.success else res.status.name
        raise failed(problem.names[self.k], psi, how)


def failed(name: str, psi: float, how: str) -> ConvergenceError:
    """Build the error for a fit that fails."""
    what = f"where {name} is held at {psi:.6g}, the fit of the others fails ({how})"
    fix = f"Look at minimize(..., fixed={{{name!r}: {psi:.6g}}}); change the model so that it is determined there, or take Wald's interval"
    return ConvergenceError(message("profile", what, "An end beyond is not known", fix))
