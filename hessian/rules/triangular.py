"""Triangular systems by SciPy's LAPACK: what derivatives of factors, and of whatever is solved with them, are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

from hessian.rules.samples import A, Sample, case
from hessian.rules.spec import General, general


def _t(x: Any) -> Any:
    return x.swapaxes(-1, -2)


def each(function: Callable[..., Any], signature: str) -> Callable[..., Any]:
    """Apply a function of matrices along leading axes that broadcast."""
    stacked = np.vectorize(function, signature=signature)

    def call(*xs: Any) -> Any:
        return function(*xs) if all(x.ndim == 2 for x in xs) else stacked(*xs)

    return call


def columns(b: Any) -> Any:
    """Return stacked right-hand sides as the columns of one matrix."""
    return np.moveaxis(b, -2, 0).reshape(b.shape[-2], -1)


def _triangular(t: Any, b: Any, *, lower: bool, trans: bool, unit: bool) -> Any:
    def one(t: Any, b: Any) -> Any:
        return scipy.linalg.solve_triangular(
            t, b, trans=int(trans), lower=lower, unit_diagonal=unit, check_finite=False
        )

    if not (t.size and b.size):
        return np.zeros(np.broadcast_shapes(t.shape[:-2], b.shape[:-2]) + b.shape[-2:], np.result_type(t, b))
    if t.ndim > 2:
        return np.vectorize(one, signature="(n,n),(n,k)->(n,k)")(t, b)
    if b.ndim == 2:
        return one(t, b)
    folded = one(t, columns(b))
    return np.moveaxis(folded.reshape(b.shape[-2], *b.shape[:-2], b.shape[-1]), 0, -2)


def _part(m: Any, lower: bool, unit: bool) -> Any:
    """Return the triangle that is read; by a mask, which is faster than moving elements."""
    ones = np.ones(m.shape[-2:], bool)
    return np.where(np.tril(ones, -int(unit)) if lower else np.triu(ones, int(unit)), m, 0.0).astype(m.dtype)


def _triangular_pushforward(y: Any, xs: Any, dots: Any, *, lower: bool, trans: bool, unit: bool) -> Any:
    t_dot, b_dot = dots
    change = b_dot
    if t_dot is not None:
        part = _part(t_dot, lower, unit)
        moved = (_t(part) if trans else part) @ y
        change = -moved if b_dot is None else b_dot - moved
    return triangular_op(xs[0], change, lower=lower, trans=trans, unit=unit)


def _triangular_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, lower: bool, trans: bool, unit: bool) -> list[Any]:
    b_bar = triangular_op(xs[0], g, lower=lower, trans=not trans, unit=unit)
    if not wanted[0]:
        return [None, b_bar]
    return [-_part(y @ _t(b_bar) if trans else b_bar @ _t(y), lower, unit), b_bar]


def _triangle(*shape: int) -> Sample:
    """Sample a matrix near 2 I."""
    return A(*shape, make=lambda rng: 2 * np.eye(shape[-1]) + rng.uniform(-0.4, 0.4, shape))


PLAIN = {"lower": True, "trans": False, "unit": False}
"""A lower triangle."""
TURNED = {"lower": True, "trans": True, "unit": False}
"""The transpose of a lower triangle."""
triangular_op: General = general(
    "solve_triangular",
    _triangular,
    pushforward=_triangular_pushforward,
    pullback=_triangular_pullback,
    core=(2, 2, 2),
    cases=[
        case(_triangle(3, 3), A(3, 2), **PLAIN),
        case(_triangle(3, 3), A(3, 2), lower=False, trans=True, unit=False),
        case(_triangle(2, 3, 3), A(3, 1), lower=True, trans=True, unit=True),
        case(_triangle(3, 3), A(2, 3, 2), **PLAIN),
    ],
    real_only=True,
)
"""Solve T x = b or Tᵀ x = b, reading one triangle of T."""
