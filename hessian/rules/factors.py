"""Factors of square matrices, found once per point: what is solved, inverted or measured with one matrix shares them.

A factor is one array, rows of LAPACK's factor under a first row that says what it is: the pivots of an LU factor, counted from 0,
or a negative number. A triangle is its own factor; a symmetric matrix that is positive definite has half of the work, its Cholesky
factor; of others, and where rounding leaves no pivot, it is LU. Which one is seen by looking at the numbers, in n² comparisons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from hessian.rules import lapack
from hessian.rules.broadcast import transposed as _t
from hessian.rules.spec import NONDIFF, general, nondifferentiable
from hessian.rules.triangular import columns

_LOWER, _UPPER, _CHOLESKY = -1, -2, -3


def _factor(a: Any) -> Any:
    """Return a factor of a matrix; of stacks, which NumPy solves faster anew, nothing.

    Of a single number neither: it divides, and no pivot but 0 would be one, where LAPACK believes any.
    """
    if a.ndim > 2 or a.shape[-1] < 2:
        return np.zeros((*a.shape[:-2], 1, 0), a.dtype)
    packed = np.empty((len(a) + 1, len(a)), a.dtype)
    packed[0] = _LOWER if _is_zero_above(a) else _UPPER if _is_zero_above(a.T) else 0
    if packed[0, 0]:
        packed[1:] = a
        return packed
    if a.dtype in lapack.PRECISIONS and _is_symmetric(a):
        try:
            packed[1:] = lapack.cholesky(a, upper=False)
        except np.linalg.LinAlgError:
            pass
        else:
            packed[0] = _CHOLESKY
            return packed
    lu, pivots, _ = get_lapack_funcs(("getrf",), (a,))[0](a)
    packed[0], packed[1:] = pivots, lu.T
    return packed


def _is_zero_above(a: np.ndarray) -> bool:
    # By far the most matrices show it in their first row.
    return not a[0, 1:].any() and not np.triu(a, 1).any()


def _is_symmetric(a: np.ndarray) -> bool:
    return bool((a[0] == a[:, 0]).all() and a.diagonal().min() > 0 and (a == a.T).all())


def _with_factor(a: Any, b: Any, factor: Any, *, trans: bool) -> Any:
    if a.shape[-2:] == (1, 1):
        return b / a
    if factor.shape[-1] == 0 or b.shape[-1] == 0:
        return np.linalg.solve(_t(a) if trans else a, b)
    x = _solved(factor[0], factor[1:], b if b.ndim == 2 else columns(b), trans)
    return x if b.ndim == 2 else np.moveaxis(x.reshape(b.shape[-2], *b.shape[:-2], b.shape[-1]), 0, -2)


def _solved(head: np.ndarray, factor: np.ndarray, b: np.ndarray, trans: bool) -> Any:
    kind = head[0]
    if kind == _CHOLESKY:
        for turned in (False, True):
            b = lapack.solved(factor, b, lower=True, trans=turned, unit=False)
        return b
    if kind in (_LOWER, _UPPER):
        return lapack.solved(factor, b, lower=kind == _LOWER, trans=trans, unit=False)
    getrs = get_lapack_funcs(("getrs",), (factor, b))[0]
    return getrs(factor.T, head.real.astype(np.int32), b, trans=int(trans))[0]


def inverted(factor: np.ndarray) -> np.ndarray | None:
    """Return the inverse, or ``None`` where there is none."""
    head, factor = factor[0], factor[1:]
    kind = head[0]
    if not factor.diagonal().all():
        return None
    getri, trtri, potri = get_lapack_funcs(("getri", "trtri", "potri"), (factor,))
    if kind == _CHOLESKY:
        half = potri(factor.T, lower=0)[0]
        whole = half + half.T  # the other triangle is that of the factor: zeros
        whole.reshape(-1)[:: len(whole) + 1] *= 0.5
        return whole
    if kind in (_LOWER, _UPPER):
        return trtri(factor.T, lower=kind == _UPPER)[0].T
    return getri(factor.T, head.real.astype(np.int32), lwork=64 * len(factor))[0]


factor_op = nondifferentiable("solve_factor", _factor)


def solution_pushforward(y: Any, xs: Any, dots: Any, *, trans: bool = False) -> Any:
    """Return the tangent of a solution, of the matrix, the right-hand side and the factor in ``xs``."""
    (a, _, factor), (a_dot, b_dot) = xs, dots[:2]
    if a_dot is None:
        return with_factor_op(a, b_dot, factor, trans=trans)
    change = -((_t(a_dot) if trans else a_dot) @ y)
    return with_factor_op(a, change if b_dot is None else b_dot + change, factor, trans=trans)


def solution_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, trans: bool = False) -> list[Any]:
    """Return the cotangents of the matrix and the right-hand side."""
    b_bar = with_factor_op(xs[0], g, xs[2], trans=not trans)
    if not wanted[0]:
        return [None, b_bar]
    return [-(y @ _t(b_bar)) if trans else -(b_bar @ _t(y)), b_bar]


with_factor_op = general(
    "solve_with_factor",
    _with_factor,
    states=(None, None, NONDIFF),
    pushforward=solution_pushforward,
    pullback=lambda *args, **params: [*solution_pullback(*args, **params), None],
    core=(2, 2, 2, 2),
)
"""Solutions that derivatives are made of: the factor is computed once per point."""
