"""Second-order optimality: what the smallest eigenvalue of the Hessian says about a point with a small gradient."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from hessian.optimize.krylov import lanczos_lowest
from hessian.optimize.objective import Point
from hessian.optimize.vectors import norm, symmetrized

ROUNDING = 100.0
"""Eigenvalues below this many units of rounding of the largest count as zero."""
DENSE_CHECK = 64
"""Up to this many variables the second-order check takes the whole Hessian: one batched sweep, and certain."""
CHEAP_DENSE = 512
"""Up to this many variables it does so too where the run has spent half as many products: the Hessian costs less than that."""
LANCZOS_STEPS = 40
"""Products, and vectors kept, for the check beyond that; a tenth of those the run has spent where that is more."""
LANCZOS_NUMBERS = 2**27
"""Numbers kept at most for it (1 GiB in float64), though never fewer than five vectors."""


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
    ``direction``, which leads down where the eigenvalue is negative and the gradient does not rise along it.
    """

    smallest: float
    definiteness: Definiteness
    residual: float = math.nan
    direction: np.ndarray | None = None


def measure_curvature(point: Point, is_dense: bool, seed: int, max_products: int) -> Curvature:
    """Judge the Hessian at a point by its smallest eigenvalue.

    Parameters
    ----------
    point : Point
    is_dense : bool
        Take the whole Hessian at any size; otherwise where it is cheap beside the run, and some Lanczos steps beyond.
    seed : int
        Of the Lanczos start vector.
    max_products : int
        Products there are to spend.
    """
    n, spent = point.x.size, point.counters.n_hvp
    if is_dense or n <= DENSE_CHECK or n <= min(CHEAP_DENSE, 2 * spent):
        return _from_dense(point)
    steps = min(max(LANCZOS_STEPS, spent // 10), max(5, LANCZOS_NUMBERS // n), max_products)
    if steps < 1:
        return Curvature(math.nan, Definiteness.UNDECIDED)
    start = np.random.default_rng(seed).standard_normal(point.x.size).astype(point.x.dtype)
    pair = lanczos_lowest(point.product, start, steps)
    definiteness = judge(pair.value, pair.scale, point.x.dtype, pair.is_certain)
    return Curvature(pair.value, definiteness, pair.residual, _downhill(pair.vector, point))


def _from_dense(point: Point) -> Curvature:
    """Smallest eigenpair of the dense Hessian; what is known of it is known to the rounding of the decomposition."""
    hessian = point.dense()
    if not np.all(np.isfinite(hessian)):
        return Curvature(math.nan, Definiteness.UNDECIDED)
    point.counters.n_factor += 1
    symmetric = symmetrized(hessian)
    values, vectors = scipy.linalg.eigh(symmetric, driver="evd")
    scale = float(np.max(np.abs(values)))
    residual = norm(symmetric @ vectors[:, 0] - values[0] * vectors[:, 0])
    definiteness = judge(float(values[0]), scale, point.x.dtype, True)
    return Curvature(float(values[0]), definiteness, residual, _downhill(vectors[:, 0].astype(point.x.dtype), point))


def _downhill(vector: np.ndarray, point: Point) -> np.ndarray:
    """Give a direction the sign in which the gradient does not rise."""
    return -vector if float(point.gradient @ vector) > 0.0 else vector


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
