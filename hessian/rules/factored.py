"""Rows of matrix factors and what is solved with them, by SciPy's LAPACK.

A factor is a value: it is computed once per point, and derivatives of whatever is made of it are triangular solves with it. Matrix
calculus follows Giles (2008), as in :mod:`hessian.rules.linalg`; functions of matrices are differentiated by Mathias'
theorem (1996): the derivative of f at A along E is the upper right block of f([[A, E], [0, A]]).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

from hessian.rules.linalg import _positive_definite, _t, _well_conditioned
from hessian.rules.samples import A, case
from hessian.rules.spec import General, Nondifferentiable, general, nondifferentiable
from hessian.rules.triangular import columns, each, triangular_op

# LU factors: P A = L U, packed.


def _lu(a: Any) -> Any:
    return each(lambda a: scipy.linalg.lu_factor(a, check_finite=False)[0], "(n,n)->(n,n)")(a)


def order_of(pivots: Any) -> Any:
    """Return the permutation of rows that LAPACK's exchanges make."""
    order = np.arange(pivots.shape[-1])
    for i, j in enumerate(pivots):
        order[[i, j]] = order[[j, i]]
    return order


pivots_op: Nondifferentiable = nondifferentiable(
    "lu_pivots", lambda a: scipy.linalg.get_lapack_funcs("getrf", (a,))(a)[1]
)
order_op: Nondifferentiable = nondifferentiable("lu_order", order_of)


def _unpacked(lu: Any) -> tuple[Any, Any]:
    return np.tril(lu, -1), np.triu(lu)


def _lu_middle(y: Any, m: Any) -> Any:
    """Return L⁻¹ M U⁻¹."""
    inner = triangular_op(y, m, lower=True, trans=False, unit=True)
    return _t(triangular_op(y, _t(inner), lower=False, trans=True, unit=False))


def _lu_pushforward(y: Any, xs: Any, dots: Any, *, order: Any) -> Any:
    middle = _lu_middle(y, np.take(dots[0], order, axis=-2))
    lower, upper = _unpacked(y)
    below = np.tril(middle, -1)
    return lower @ below + below + np.triu(middle) @ upper


def _lu_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, order: Any) -> list[Any]:
    lower, upper = _unpacked(y)
    g_low, g_up = np.tril(g, -1), np.triu(g)
    middle = np.tril(_t(lower) @ g_low + g_low, -1) + np.triu(g_up @ _t(upper))
    inner = triangular_op(y, middle, lower=True, trans=True, unit=True)
    permuted = _t(triangular_op(y, _t(inner), lower=False, trans=False, unit=False))
    return [np.take(permuted, np.argsort(order), axis=-2)]


lu_op: General = general(
    "lu_packed",
    _lu,
    prepare=lambda y, xs: {"order": order_op(pivots_op(xs[0]))},
    pushforward=_lu_pushforward,
    pullback=_lu_pullback,
    core=(2, 2),
    cases=[case(_well_conditioned(3, 3))],
    real_only=True,
)


# Functions of matrices.


def _along(operation: General, a: Any, e: Any) -> Any:
    """Return the derivative of a function of a square matrix along a direction, which may be stacked."""
    n = a.shape[-1]
    zero = np.zeros(e.shape, a.dtype)
    a = zero + a
    block = np.concatenate([np.concatenate([a, e], axis=-1), np.concatenate([zero, a], axis=-1)], axis=-2)
    return operation(block)[..., :n, n:]


def _function(name: str, f: Callable[[Any], Any], sample: Any) -> General:
    """Declare a function of square matrices that is analytic on their spectra."""
    operation: General = general(
        name,
        each(f, "(n,n)->(n,n)"),
        pushforward=lambda y, xs, dots: _along(operation, xs[0], dots[0]),
        pullback=lambda y, xs, g, wanted: [_along(operation, _t(xs[0]), g)],
        core=(2, 2),
        cases=[case(sample)],
        real_only=True,
    )
    return operation


def _sqrtm(a: np.ndarray) -> Any:
    """Return the square root, real where it is but for rounding: before SciPy 1.18 it may come as complex numbers."""
    y = scipy.linalg.sqrtm(a)
    if np.iscomplexobj(y) and np.max(np.abs(y.imag), initial=0) <= 1e3 * np.finfo(a.dtype).eps * np.max(
        np.abs(y), initial=0
    ):
        return np.ascontiguousarray(y.real).astype(a.dtype)
    return y


def _logm(a: np.ndarray) -> Any:
    """Return the logarithm; in single precision LAPACK leaves it few digits."""
    y = scipy.linalg.logm(a.astype(float))
    return y if np.iscomplexobj(y) else y.astype(a.dtype)


expm_op = _function("expm", scipy.linalg.expm, A(3, 3))
logm_op = _function("logm", _logm, _positive_definite(3, 3))
sqrtm_op = _function("sqrtm", _sqrtm, _positive_definite(3, 3))
sinm_op = _function("sinm", scipy.linalg.sinm, A(3, 3))
cosm_op = _function("cosm", scipy.linalg.cosm, A(3, 3))


# Sylvester's equation A X + X B = Q.
def _sylvester_pushforward(y: Any, xs: Any, dots: Any) -> Any:
    a_dot, b_dot, q_dot = dots
    change = q_dot
    for moved in (None if a_dot is None else a_dot @ y, None if b_dot is None else y @ b_dot):
        if moved is not None:
            change = -moved if change is None else change - moved
    return sylvester_op(xs[0], xs[1], change)


def _sylvester_pullback(y: Any, xs: Any, g: Any, wanted: Any) -> list[Any]:
    q_bar = sylvester_op(_t(xs[0]), _t(xs[1]), g)
    return [-(q_bar @ _t(y)) if wanted[0] else None, -(_t(y) @ q_bar) if wanted[1] else None, q_bar]


sylvester_op: General = general(
    "solve_sylvester",
    each(scipy.linalg.solve_sylvester, "(n,n),(m,m),(n,m)->(n,m)"),
    pushforward=_sylvester_pushforward,
    pullback=_sylvester_pullback,
    core=(2, 2, 2, 2),
    cases=[case(_well_conditioned(3, 3), _well_conditioned(2, 2), A(3, 2))],
    real_only=True,
)


# Banded systems: ab[u + i - j, j] = a[i, j].


def _shifted(x: Any, by: int) -> Any:
    """Return x[..., j + by], zeros where there is none."""
    if by == 0:
        return x
    n = x.shape[-1]
    hole = np.zeros((*x.shape[:-1], min(abs(by), n)), x.dtype)
    return np.concatenate([x[..., by:], hole] if by > 0 else [hole, x[..., : max(n + by, 0)]], axis=-1)


def turned_band(ab: Any, low: int, up: int) -> Any:
    """Return the bands of the transposed matrix."""
    return np.stack([_shifted(ab[..., up - k, :], k) for k in range(-low, up + 1)], axis=-2)


def _band_product(ab: Any, x: Any, low: int, up: int) -> Any:
    """Return A x for columns x, by diagonals."""
    rows = [_shifted(ab[..., up - k, None, :] * _t(x), k) for k in range(-low, up + 1)]
    return _t(sum(rows[1:], rows[0]))


def _banded(ab: Any, b: Any, *, low: int, up: int) -> Any:
    solve = each(lambda ab, b: scipy.linalg.solve_banded((low, up), ab, b, check_finite=False), "(d,n),(n,k)->(n,k)")
    if ab.ndim == 2 and b.ndim > 2:
        return np.moveaxis(solve(ab, columns(b)).reshape(b.shape[-2], *b.shape[:-2], b.shape[-1]), 0, -2)
    return solve(ab, b)


def _banded_pushforward(y: Any, xs: Any, dots: Any, *, low: int, up: int) -> Any:
    ab_dot, b_dot = dots
    moved = None if ab_dot is None else _band_product(ab_dot, y, low, up)
    change = b_dot if moved is None else -moved if b_dot is None else b_dot - moved
    return banded_op(xs[0], change, low=low, up=up)


def _banded_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, low: int, up: int) -> list[Any]:
    b_bar = banded_op(turned_band(xs[0], low, up), g, low=up, up=low)
    if not wanted[0]:
        return [None, b_bar]
    # Entry a[j - k, j], on diagonal k, has met x[j] on its way to the residual of row j - k.
    bands = [-np.sum(_shifted(_t(b_bar), -k) * _t(y), axis=-2) for k in range(up, -low - 1, -1)]
    return [np.stack(bands, axis=-2), b_bar]


def _bands(low: int, up: int, n: int) -> Any:
    def make(rng: np.random.Generator) -> np.ndarray:
        bands = rng.uniform(-0.4, 0.4, (low + up + 1, n))
        bands[up] += 2
        return bands

    return A(low + up + 1, n, make=make)


banded_op: General = general(
    "solve_banded",
    _banded,
    pushforward=_banded_pushforward,
    pullback=_banded_pullback,
    core=(2, 2, 2),
    cases=[case(_bands(1, 2, 5), A(5, 2), low=1, up=2), case(_bands(0, 1, 4), A(4, 1), low=0, up=1)],
    real_only=True,
)
