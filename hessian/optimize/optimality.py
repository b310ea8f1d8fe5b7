"""Second-order optimality: what the smallest eigenvalue of the Hessian says about a point with a small gradient."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.linalg import limits
from hessian.linalg.dense import eigh, symmetrized
from hessian.linalg.factor import Factor
from hessian.linalg.lanczos import Lanczos
from hessian.linalg.vectors import norm
from hessian.optimize.krylov import lanczos_lowest
from hessian.optimize.objective import Point

ROUNDING = 100.0
"""Eigenvalues below this many units of rounding of the largest count as zero."""
FIRST_STEPS = 40
"""Products for the check beyond that where nothing has been spent yet."""
LEAST_STEPS = 16
"""And where something has: a tenth of it, but at least so many."""
LEAST_ORTHOGONAL = 8
"""Vectors of it that are orthogonal to each other in any case."""
NEAR = 0.1
"""Share of the smallest eigenvalue that a Hessian may have changed by since it was factored."""
INVERSE_STEPS = 8
"""Lanczos steps on the inverse by a factor, at most, each a solve."""
CLOSE = 0.01
"""Residual, relative to the value and to the part that one eigenvector has in a random start, at which they end."""
STRIDE = 30.0
"""Factor between shifts that are tried one after the other."""
HALVINGS = 3
"""Shifts tried between the last two of them: the closer, the farther apart are the eigenvalues of the inverse."""
_EQUILIBRATIONS = 20


class Definiteness(enum.Enum):
    """Sign of the smallest eigenvalue, as far as it is known."""

    POSITIVE = "positive"
    ZERO = "zero"
    NEGATIVE = "negative"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Curvature:
    """Smallest eigenvalue found and what it proves.

    ``residual`` bounds the distance to an eigenvalue of the Hessian, ``|H v - value v|`` for the unit vector v of
    ``direction``, which leads down where the eigenvalue is negative and the gradient does not rise along it. ``scale`` is the
    largest magnitude of an eigenvalue, ``newton`` the Newton step where H is known to be positive definite: the whole one,
    or its part in the space that was looked at. All are in the units of the point.
    """

    smallest: float
    definiteness: Definiteness
    residual: float = math.nan
    direction: np.ndarray | None = None
    scale: float = math.nan
    newton: np.ndarray | None = None


UNKNOWN = Curvature(math.nan, Definiteness.UNDECIDED)


def measure_curvature(
    point: Point, is_dense: bool, seed: int, max_hvp: int, is_late: Callable[[], bool] = lambda: False
) -> Curvature:
    """Judge the Hessian at a point by its smallest eigenvalue.

    The whole Hessian is taken at any size if ``is_dense``, otherwise where it is cheap beside the run, and some Lanczos steps beyond;
    ``is_late`` is asked between two products.

    Definiteness does not change with the units of variables, and neither does what is said about it: an eigenvalue that
    is lost beside a large one is looked for in the matrix scaled to rows of largest entry 1 (van der Sluis 1969).
    """
    n, spent = point.x.size, point.counters.n_hvp
    if is_late():
        return UNKNOWN
    if point.is_factored:
        found = _from_factor(point, seed)
        if found is not None:
            return found
    if is_dense or n <= limits.CHECK_ORDER or n <= min(limits.LATE_CHECK_ORDER, spent // 10):
        hessian = point.dense() if is_dense else point.dense_once(max_hvp, is_late)
        return UNKNOWN if hessian is None else _from_dense(point, hessian)
    wanted = max(LEAST_STEPS, spent // 10) if spent else FIRST_STEPS
    steps = min(wanted, limits.basis_rows(n, 5), max_hvp)
    if steps < 1:
        return UNKNOWN
    start = np.random.default_rng(seed).standard_normal(point.x.size).astype(point.x.dtype)
    # Of the flops of so many steps of conjugate gradients, a tenth makes so many vectors orthogonal to each other.
    orthogonal = max(LEAST_ORTHOGONAL, math.isqrt(spent // 2)) if spent else None
    pair = lanczos_lowest(point.product, start, steps, is_late, orthogonal)
    definiteness = judge(pair.value, pair.scale, point.x.dtype, pair.is_certain)
    return Curvature(pair.value, definiteness, pair.residual, _downhill(pair.vector, point), pair.scale)


def _from_dense(point: Point, hessian: np.ndarray) -> Curvature:
    """Smallest eigenpair of the dense Hessian; what is known of it is known to the rounding of the decomposition."""
    if not np.all(np.isfinite(hessian)):
        return UNKNOWN
    point.counters.n_factor += 1
    matrix = symmetrized(hessian)
    values, vectors = eigh(matrix)
    scale = float(np.max(np.abs(values)))
    gradient = scaled_gradient(point)
    definiteness = judge(float(values[0]), scale, point.x.dtype, True)
    smallest, vector, newton = float(values[0]), vectors[:, 0], None
    if definiteness is Definiteness.ZERO and scale > 0.0:
        definiteness, smallest, vector, newton = _from_scaled(matrix, smallest, vector, gradient, point.x.dtype)
    elif definiteness is Definiteness.POSITIVE:
        newton = -vectors @ ((vectors.T @ gradient) / values)
    residual = norm(matrix @ vector - smallest * vector)
    direction = _downhill(vector.astype(point.x.dtype), point)
    return Curvature(smallest, definiteness, residual, direction, scale, newton)


def _from_scaled(
    matrix: np.ndarray, smallest: float, vector: np.ndarray, gradient: np.ndarray, dtype: np.dtype
) -> tuple[Definiteness, float, np.ndarray, np.ndarray | None]:
    """Judge a matrix whose smallest eigenvalue is lost beside its largest, in units in which its rows are alike."""
    units = _equilibrating(matrix)
    values, vectors = eigh(matrix * units * units[:, None])
    definiteness = judge(float(values[0]), float(np.max(np.abs(values))), dtype, True)
    if definiteness is Definiteness.ZERO:
        return definiteness, smallest, vector, None
    if definiteness is Definiteness.NEGATIVE:
        vector = units * vectors[:, 0]
        length = norm(vector)
        return definiteness, float(values[0]) / length**2, vector / length, None
    # The largest eigenvalue of the inverse is the one that is not lost.
    half = units[:, None] * vectors / np.sqrt(values)
    inverse, vectors = eigh(half @ half.T)
    return definiteness, 1.0 / float(inverse[-1]), vectors[:, -1], -half @ (half.T @ gradient)


def _equilibrating(matrix: np.ndarray) -> np.ndarray:
    """Diagonal of D with rows of ``D A D`` whose largest entries are about 1 (Ruiz's iteration); 1 for rows of zeros."""
    units = np.ones(len(matrix))
    sizes = np.abs(matrix)
    for _ in range(_EQUILIBRATIONS):
        largest = np.max(sizes * units * units[:, None], axis=1)
        units /= np.sqrt(np.where(largest > 0.0, largest, 1.0))
    return units


def scaled_gradient(point: Point) -> np.ndarray:
    """Gradient in the units in which a point gives its Hessian."""
    return np.asarray(point.gradient.astype(np.float64) / point.units)


def _downhill(vector: np.ndarray, point: Point) -> np.ndarray:
    """Give a direction the sign in which the gradient does not rise."""
    return -vector if float(scaled_gradient(point) @ vector) > 0.0 else vector


def judge(smallest: float, scale: float, dtype: np.dtype, is_certain: bool) -> Definiteness:
    """Grade a smallest eigenvalue against the rounding error of a Hessian whose largest magnitude is ``scale``.

    A negative value is proof by itself, being a Rayleigh quotient; a value that is not ``is_certain`` proves nothing
    else.
    """
    threshold = ROUNDING * float(np.finfo(dtype).eps) * scale
    if smallest < -threshold:
        return Definiteness.NEGATIVE
    if not is_certain:
        return Definiteness.UNDECIDED
    return Definiteness.POSITIVE if smallest > threshold else Definiteness.ZERO


def _from_factor(point: Point, seed: int) -> Curvature | None:
    """Smallest eigenpair by sparse factors; ``None`` where they do not tell.

    A Cholesky factor proves that there is no negative curvature; what is smallest comes from a few Lanczos steps on the inverse. Of a
    matrix that is not definite, one that is by as little as rounding has an eigenvalue of zero; else the direction in which the
    factorisation broke off, improved by Lanczos steps, shows one that is negative.
    """
    matrix = point.sparse()
    if not matrix.is_finite:
        return UNKNOWN
    dtype, eps = point.x.dtype, float(np.finfo(point.x.dtype).eps)
    scale = matrix.size
    start = np.random.default_rng(seed).standard_normal(point.x.size)
    near = _from_near(point, matrix, scale, start)
    if near is not None:
        return near
    factor = point.factored()
    if factor.is_definite:
        smallest, vector = _of_inverse(matrix, factor.solve, start)
        definiteness, newton = judge(smallest, scale, dtype, True), None
        if definiteness is Definiteness.ZERO:
            # In units in which the diagonal is one, an eigenvalue is not lost beside a large one.
            units = 1.0 / np.sqrt(matrix.diagonal())
            scaled = matrix.scaled(units)
            least, _ = _of_inverse(scaled, lambda v: factor.solve(v / units) / units, start)
            definiteness = judge(least, scaled.size, dtype, True)
        if definiteness is Definiteness.POSITIVE:
            newton = -factor.solve(scaled_gradient(point))
    else:
        shift = ROUNDING * eps * scale
        shifted, newton = point.factored(shift), None
        if shifted.is_definite:
            smallest, vector = _of_inverse(matrix, shifted.solve, start)
            definiteness = Definiteness.ZERO
        else:
            known = factor.direction if factor.direction is not None else shifted.direction
            pair = lanczos_lowest(lambda v: matrix @ v, start if known is None else known, FIRST_STEPS)
            smallest, vector = pair.value, pair.vector
            if not smallest < -math.sqrt(eps) * scale:
                # Not far below zero: a shift that makes it definite is close, and shows the lowest eigenvalue even of a crowd.
                shifted = _shifted_up(point, max(shift, -smallest), scale)
                if shifted.is_definite:
                    smallest, vector = _of_inverse(matrix, shifted.solve, start, FIRST_STEPS)
            definiteness = judge(smallest, scale, dtype, shifted.is_definite)
            if definiteness not in (Definiteness.NEGATIVE, Definiteness.ZERO):
                return None
    residual = norm(matrix @ vector - smallest * vector)
    return Curvature(smallest, definiteness, residual, _downhill(vector.astype(dtype), point), scale, newton)


def _shifted_up(point: Point, shift: float, scale: float) -> Factor:
    """Factor with larger and larger shifts, until the matrix is definite, and with smaller ones that leave it so."""
    low, shift = shift, STRIDE * shift
    factor = point.factored(shift)
    while not factor.is_definite and shift < scale:
        low, shift = shift, STRIDE * shift
        factor = point.factored(shift)
    for _ in range(HALVINGS):
        middle = math.sqrt(low) * math.sqrt(shift)
        closer = point.factored(middle)
        if closer.is_definite:
            factor, shift = closer, middle
        else:
            low = middle
    return factor


def _from_near(point: Point, matrix: Any, scale: float, start: np.ndarray) -> Curvature | None:
    """Judge a Hessian by the factor of an earlier one that differs from it by little of the smallest eigenvalue of that (Weyl)."""
    last = point.factored_near()
    if last is None:
        return None
    before, factor = last
    change = matrix.change(before)
    if not change <= NEAR * factor.least_pivot:
        return None
    smallest, vector = _of_inverse(before, factor.solve, start)
    if change > NEAR * smallest or judge(smallest, scale, point.x.dtype, True) is not Definiteness.POSITIVE:
        return None
    image = matrix @ vector
    smallest = float(vector @ image)
    residual = norm(image - smallest * vector)
    newton = -factor.solve(scaled_gradient(point))
    direction = _downhill(vector.astype(point.x.dtype), point)
    return Curvature(smallest, Definiteness.POSITIVE, residual, direction, scale, newton)


def _of_inverse(
    matrix: Any, solve: Callable[[np.ndarray], np.ndarray], start: np.ndarray, steps: int = INVERSE_STEPS
) -> tuple[float, np.ndarray]:
    """Return the smallest Rayleigh quotient that a few Lanczos steps on the inverse find, and its vector."""
    process = Lanczos(start, min(steps, start.size))
    while not process.is_invariant and process.is_finite and process.size < min(steps, start.size):
        process.absorb(solve(process.next))
        value, weights = process.extreme(-1)
        if process.betas[-1] * abs(float(weights[-1])) <= CLOSE / math.sqrt(start.size) * abs(value):
            break
    vector = process.basis.lift(weights) if process.size else start
    for _ in range(2):
        # What is left of other eigenvectors is small, but large eigenvalues make much of it.
        vector = solve(vector / norm(vector))
    vector = vector / norm(vector)
    return float(vector @ (matrix @ vector)), vector
