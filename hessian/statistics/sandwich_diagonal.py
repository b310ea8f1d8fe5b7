r"""The diagonal of a sandwich of sparse matrices, by factors in place of a solve for each column.

With C the information and M the middle, both sparse, the diagonal of :math:`C^{-1} M C^{-1}` is the derivative of minus the diagonal of
:math:`(C + t M)^{-1}` at t = 0, which selected inversion has for a few times a factorisation. As a function of t each of these numbers
is a mixture of :math:`1 / (1 + \lambda t)` over the eigenvalues :math:`\lambda \ge 0` of the pencil, with weights that are not negative:
the relative error of the derivative of a polynomial through some values is no larger than the largest over these functions.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_array

from hessian.linalg import limits
from hessian.linalg.factor import Factor
from hessian.linalg.factoring import analyse

_NODES = 14
_LENGTH = 0.25
"""Length of the interval of t, in units of one over the largest eigenvalue that was found."""
_BEYOND = 2.0
"""Times that eigenvalue up to which the polynomial is right: steps of the power method find a half of the largest at least."""
_STEPS = 20
_FILL = 4
"""Entries of both matrices together, in units of those of the first, up to which factors are cheap."""
_ALLOWED = 1e-9
_ROUNDING = 16.0
"""Rounding of a selected inverse, in units of the last place."""


def sandwich_diagonal(matrix: csc_array, found: Factor, middle: csc_array) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the diagonal of ``C^-1 M C^-1`` and which of its entries are right to nine digits; ``None`` where solves do better.

    Parameters
    ----------
    matrix : csc_array
        C, definite.
    found : Factor
        Of it.
    middle : csc_array
        M, semidefinite.
    """
    both = csc_array(abs(matrix) + abs(middle))
    if matrix.shape[0] < limits.SANDWICH_ORDER or both.nnz > _FILL * matrix.nnz:
        return None
    largest = _largest(found, middle)
    if not 0.0 < largest < np.inf:
        return None
    points = _LENGTH * 0.5 * (1.0 - np.cos(np.pi * np.arange(_NODES) / (_NODES - 1)))
    weights = slope_weights(points)
    values, plan = [], analyse(both)
    if plan.kind == "dense":
        return None
    for point in points / largest:
        # A pattern for all of them; what is added is zero.
        factor = plan.factor(csc_array(matrix + point * middle + 0.0 * both), definite=True)
        if not factor.is_definite:
            return None
        values.append(factor.inverse_diagonal())
    diagonal = -largest * (weights @ np.array(values))
    noise = _ROUNDING * float(np.finfo(float).eps) * float(np.abs(weights).sum()) * largest * values[0]
    return diagonal, noise + truncation(points, weights) * np.abs(diagonal) <= _ALLOWED * diagonal


def truncation(points: np.ndarray, weights: np.ndarray) -> float:
    """Return the largest relative error of the derivative of ``1 / (1 + s t)`` at zero, s up to a bound."""
    s = np.linspace(0.0, _BEYOND, 101)[1:]
    return float(np.max(np.abs(weights @ (1.0 / (1.0 + points[:, None] * s)) / s + 1.0)))


def slope_weights(points: np.ndarray) -> np.ndarray:
    """Return weights that give the derivative at the first point of the polynomial through values at all of them."""
    gaps = points[:, None] - points[None, :]
    np.fill_diagonal(gaps, 1.0)
    products = np.prod(gaps, axis=1)
    weights = np.empty(len(points))
    weights[1:] = products[0] / products[1:] / (points[0] - points[1:])
    weights[0] = -weights[1:].sum()
    return weights


def _largest(found: Factor, middle: csc_array) -> float:
    """Return the largest eigenvalue of ``C^-1 M``, or a half of it at least, by the power method."""
    v, size = np.random.default_rng(0).standard_normal(middle.shape[0]), 0.0
    for _ in range(_STEPS):
        pushed = middle @ v
        image = found.solve(pushed)
        length = float(image @ pushed)
        if not length > 0.0:
            return size
        # The quotient of M C^-1 M and M at v, in which eigenvalues are not taken for too small once the largest prevails.
        size = max(size, length / float(v @ pushed))
        v = image / np.sqrt(length)
    return size
