"""Curvature where bounds and constraints leave the variables free: what tells a minimum from a saddle on a face.

At a solution the gradient of the Lagrangian vanishes, and its Hessian decides on the directions along which active
constraints stay active. J. Nocedal and S. J. Wright, Numerical Optimization (2006), theorems 12.5 and 12.6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize
from scipy.optimize import Bounds, LinearConstraint

from hessian.linalg import limits
from hessian.linalg.dense import eigh
from hessian.linalg.vectors import norm
from hessian.optimize.krylov import lanczos_lowest

TOUCHING = 1e-6
"""Distance, relative to max(1, |bound|), within which a constraint is active whatever its multiplier."""
NEAR = 1e-3
"""Distance within which it is where it has a multiplier: interior methods stop short of what holds them."""
WEAK = 1e-6
"""Size of a multiplier, relative to the gradient's largest entry and 1, that counts as zero."""
ROUNDING = 1e-10
"""Curvature of this size, relative to the largest, is rounding: that of Jacobians and multipliers is part of it."""

Product = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class FreeCurvature:
    """Smallest curvature on the free directions, and what it proves.

    Attributes
    ----------
    sign : int or None
        -1: there is a free direction of negative curvature, ``direction``; 1: there is none, and all curvature is
        positive; 0: none beyond rounding; ``None``: not known.
    smallest : float
        The smallest eigenvalue found, NaN where nothing is free.
    n_free : int
        Dimension of the space of free directions.
    direction : ndarray or None
        Unit vector of negative curvature along which no active constraint falls, to first order.
    """

    sign: int | None
    smallest: float = math.nan
    n_free: int = 0
    direction: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class ActiveSet:
    """What is active at a point, directions into the feasible set counted as positive.

    Attributes
    ----------
    fixed : ndarray of bool, shape (n,)
        Variables that a bound holds: its multiplier is not zero.
    held : ndarray, shape (k, n)
        Gradients of the constraints that hold, equalities among them.
    leaning : ndarray, shape (n,)
        1 or -1 for a variable at a lower or an upper bound whose multiplier is zero: it may move off, not through.
    touching : ndarray, shape (t, n)
        Gradients of inequalities that are active with a multiplier of zero.
    weights : list of ndarray
        Multipliers of each constraint's functions.
    slopes : ndarray, shape (n,)
        Gradient of the Lagrangian, bounds left out.
    residual : float
        Its norm in what no bound holds: zero at a solution.
    """

    fixed: np.ndarray
    held: np.ndarray
    leaning: np.ndarray
    touching: np.ndarray
    weights: list[np.ndarray]
    slopes: np.ndarray
    residual: float

    def admits(self, direction: np.ndarray) -> bool:
        """Whether no constraint without a multiplier falls along a direction."""
        slack = -1e-9 * norm(direction)
        return bool(np.all(self.leaning * direction >= slack) and np.all(self.touching @ direction >= slack))


def active_set(constraints: Sequence[Any], bounds: Bounds | None, x: np.ndarray, gradient: np.ndarray) -> ActiveSet:
    """Find what is active at x; multipliers are those of the least squares of the Lagrangian's gradient."""
    sides = sides_at(constraints, x)
    rows, is_equal, is_touching, places = _active_rows(sides, x)
    is_low, is_high, touches = _active_bounds(bounds, x)
    away = ~(is_low | is_high)
    multipliers = np.zeros(len(rows))
    if len(rows):
        lower = np.where(is_equal, -np.inf, 0.0)
        columns = away if np.any(away) else np.ones_like(away)
        multipliers = scipy.optimize.lsq_linear(rows[:, columns].T, gradient[columns], (lower, np.inf)).x
    left = gradient - rows.T @ multipliers
    threshold = WEAK * max(1.0, float(np.max(np.abs(gradient), initial=0.0)))
    pull = np.where(is_low, left, 0.0) + np.where(is_high, -left, 0.0)
    fixed = (is_low & is_high) | (pull > threshold)
    leaning = np.where(touches & ~fixed, is_low.astype(float) - is_high, 0.0)
    holds = is_equal | (multipliers * np.linalg.norm(rows, axis=1) > threshold)
    weights = [np.zeros(value.size) for value, _, _, _ in sides]
    for (number, component, sign), multiplier in zip(places, multipliers, strict=True):
        weights[number][component] += sign * multiplier
    touching = rows[~holds & is_touching]
    return ActiveSet(fixed, rows[holds], leaning, touching, weights, left, norm(np.where(fixed, 0.0, left)))


Sides = list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


def sides_at(constraints: Sequence[Any], x: np.ndarray) -> Sides:
    """Value, Jacobian and both sides of each constraint."""
    sides = []
    for item in constraints:
        is_linear = isinstance(item, LinearConstraint)
        jacobian = item.A if is_linear else item.jac(x)
        jacobian = np.atleast_2d(jacobian.toarray() if hasattr(jacobian, "toarray") else np.asarray(jacobian, float))
        value = np.atleast_1d(item.A @ x if is_linear else item.fun(x))
        sides.append((value, jacobian, np.broadcast_to(item.lb, value.shape), np.broadcast_to(item.ub, value.shape)))
    return sides


def _active_rows(
    sides: Sides, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int, float]]]:
    """Gradients of what is near its bound, pointing inside, whether equal, whether touching, and where it comes from."""
    rows, is_equal, is_touching, places = [np.empty((0, x.size))], [], [], []
    for number, (value, jacobian, low, high) in enumerate(sides):
        for component in range(value.size):
            equal = low[component] == high[component]
            for bound, sign in ((low[component], 1.0), (high[component], -1.0)):
                gap, size = sign * (value[component] - bound), max(1.0, abs(bound))
                if not math.isfinite(bound) or (gap > NEAR * size and not equal) or (equal and sign < 0.0):
                    continue
                rows.append(sign * jacobian[component][None, :])
                is_equal.append(equal)
                is_touching.append(gap <= TOUCHING * size)
                places.append((number, component, sign))
    return np.concatenate(rows), np.array(is_equal, bool), np.array(is_touching, bool), places


def _active_bounds(bounds: Bounds | None, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which variables are near their lower and their upper bound, and which touch one."""
    if bounds is None:
        nowhere = np.zeros(x.size, bool)
        return nowhere, nowhere, nowhere
    with np.errstate(invalid="ignore"):
        gaps = (
            (x - bounds.lb) / np.maximum(1.0, np.abs(bounds.lb)),
            (bounds.ub - x) / np.maximum(1.0, np.abs(bounds.ub)),
        )
    low, high = (np.isfinite(side) for side in (bounds.lb, bounds.ub))
    touches = (low & (gaps[0] <= TOUCHING)) | (high & (gaps[1] <= TOUCHING))
    return low & (gaps[0] <= NEAR), high & (gaps[1] <= NEAR), touches


def lagrangian_product(
    objective: Any, constraints: Sequence[Any], weights: Sequence[np.ndarray], x: np.ndarray
) -> Product | None:
    """Product with the Hessian of the Lagrangian; ``None`` where a constraint brings a Jacobian and no Hessian."""
    curved = [
        (item, weight)
        for item, weight in zip(constraints, weights, strict=True)
        if not isinstance(item, LinearConstraint) and np.any(weight)
    ]
    if not all(callable(item.hess) for item, _ in curved):
        return None
    terms = [item.hess(x, weight) for item, weight in curved]

    def product(v: np.ndarray) -> np.ndarray:
        return np.asarray(objective @ v) - sum(np.asarray(term @ v) for term in terms)

    return product


def measure_free_curvature(product: Product, active: ActiveSet, x: np.ndarray, seed: int, steps: int) -> FreeCurvature:
    """Judge the Hessian of the Lagrangian on the free directions.

    The product takes vectors, and matrices up to 64 variables; beyond, ``seed`` draws the start of the Lanczos process and ``steps`` is
    the most products. Directions off constraints without multipliers are tried in the feasible sense only; where neither sense is
    feasible and negative, nothing is known.
    """
    lowest = _lowest(product, active.fixed, active.held, x, seed, steps)
    if lowest is None:
        return FreeCurvature(1)
    value, vector, scale, is_certain, n_free = lowest
    # A flat valley, followed to a gradient g, has curvature of the size |g| / |x|: it proves nothing.
    threshold = ROUNDING * scale + active.residual / max(norm(x), 1.0)
    if value >= -threshold:
        sign = None if not is_certain else 1 if value > threshold else 0
        return FreeCurvature(sign, value, n_free)
    for direction in (vector, -vector, *_clipped(vector, active)):
        length = norm(direction)
        if length > 0.0 and active.admits(direction):
            unit = direction / length
            curvature = float(unit @ product(unit))
            if curvature < -threshold:
                return FreeCurvature(-1, curvature, n_free, unit)
    if np.any(active.leaning) or len(active.touching):
        # With all of them held, every direction is free in both senses.
        strict = ActiveSet(
            active.fixed | (active.leaning != 0.0),
            np.concatenate([active.held, active.touching]),
            np.zeros_like(active.leaning),
            active.touching[:0],
            active.weights,
            active.slopes,
            active.residual,
        )
        inner = measure_free_curvature(product, strict, x, seed, steps)
        if inner.sign == -1:
            return inner
    return FreeCurvature(None, value, n_free)


def _clipped(vector: np.ndarray, active: ActiveSet) -> list[np.ndarray]:
    """Both senses of a direction without what leads through a bound."""
    return [np.where(active.leaning * side < 0.0, 0.0, side) for side in (vector, -vector)]


def _lowest(
    product: Product, fixed: np.ndarray, held: np.ndarray, x: np.ndarray, seed: int, steps: int
) -> tuple[float, np.ndarray, float, bool, int] | None:
    """Smallest eigenvalue on the free directions, its vector, the largest magnitude seen, certainty, their number."""
    n = x.size
    free = np.flatnonzero(~fixed)
    if n <= limits.CHECK_ORDER:
        basis = np.zeros((n, free.size))
        basis[free, np.arange(free.size)] = 1.0
        if len(held) and free.size:
            basis = basis @ scipy.linalg.null_space(held[:, free], rcond=1e-9)
        if not basis.shape[1]:
            return None
        reduced = basis.T @ product(basis)
        if not np.all(np.isfinite(reduced)):
            return math.nan, basis[:, 0], math.nan, False, basis.shape[1]
        values, vectors = eigh(reduced)
        return float(values[0]), basis @ vectors[:, 0], float(np.max(np.abs(values))), True, basis.shape[1]
    across = scipy.linalg.orth(held[:, free].T) if len(held) else np.zeros((free.size, 0))
    if free.size <= across.shape[1]:
        return None

    def inside(v: np.ndarray) -> np.ndarray:
        v = np.where(fixed, 0.0, v)
        v[free] -= across @ (across.T @ v[free])
        return v

    start = inside(np.random.default_rng(seed).standard_normal(n))
    pair = lanczos_lowest(lambda v: inside(product(inside(v))), start, min(steps, free.size - across.shape[1]))
    return pair.value, inside(pair.vector), pair.scale, pair.is_certain, free.size - across.shape[1]
