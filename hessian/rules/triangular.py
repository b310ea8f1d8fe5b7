"""Triangular systems by SciPy's LAPACK: what derivatives of factors, and of whatever is solved with them, are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.rules import lapack
from hessian.rules.samples import A, Sample, case
from hessian.rules.spec import General, Linear, general, linear


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


def _each_or_folded(function: Callable[..., Any], t: Any, b: Any) -> Any:
    """Apply a function of a triangle and columns along leading axes; to columns of one triangle at once."""
    if not (t.size and b.size):
        return np.zeros(np.broadcast_shapes(t.shape[:-2], b.shape[:-2]) + b.shape[-2:], np.result_type(t, b))
    if t.ndim > 2:
        return np.vectorize(function, signature="(n,n),(n,k)->(n,k)")(t, b)
    if b.ndim == 2:
        return function(t, b)
    folded = function(t, columns(b))
    return np.moveaxis(folded.reshape(b.shape[-2], *b.shape[:-2], b.shape[-1]), 0, -2)


def _lower(m: Any) -> Any:
    return lapack.lower_into(np.empty(m.shape, m.dtype), m) if m.ndim == 2 else np.tril(m)


lower_op: Linear = linear(
    "lower_part",
    _lower,
    transpose=lambda g, shape: lower_op(g),
    moves=True,
    cases=[case(A(3, 3)), case(A(2, 3, 3))],
)
"""A square matrix without what is above its diagonal."""


def _part(m: Any, lower: bool, unit: bool) -> Any:
    """Return the triangle that is read."""
    if lower and not unit:
        return lower_op(m)
    # By a mask, which is faster than moving elements.
    ones = np.ones(m.shape[-2:], bool)
    return np.where(np.tril(ones, -int(unit)) if lower else np.triu(ones, int(unit)), m, 0.0).astype(m.dtype)


# Products with a triangle.


def _product(t: Any, b: Any, *, lower: bool, trans: bool, right: bool) -> Any:
    if right:
        one = lambda t, b: lapack.multiplied(t, b, lower=lower, trans=trans, right=True)
        return each(one, "(n,n),(k,n)->(k,n)")(t, b) if t.size and b.size else np.zeros_like(b)
    return _each_or_folded(lambda t, b: lapack.multiplied(t, b, lower=lower, trans=trans, right=False), t, b)


def _product_pushforward(y: Any, xs: Any, dots: Any, **how: bool) -> Any:
    (t, b), (t_dot, b_dot) = xs, dots
    terms = [product_op(t_dot, b, **how)] if t_dot is not None else []
    terms += [product_op(t, b_dot, **how)] if b_dot is not None else []
    return sum(terms[1:], terms[0])


def _product_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, lower: bool, trans: bool, right: bool) -> list[Any]:
    t, b = xs
    b_bar = product_op(t, g, lower=lower, trans=not trans, right=right) if wanted[1] else None
    if not wanted[0]:
        return [None, b_bar]
    pair = (_t(b), g) if right else (g, _t(b))
    t_bar = _t(pair[1]) @ _t(pair[0]) if trans else pair[0] @ pair[1]
    return [_part(t_bar, lower, False), b_bar]


def _triangle(*shape: int) -> Sample:
    """Sample a matrix near 2 I."""
    return A(*shape, make=lambda rng: 2 * np.eye(shape[-1]) + rng.uniform(-0.4, 0.4, shape))


product_op: General = general(
    "triangular_product",
    _product,
    pushforward=_product_pushforward,
    pullback=_product_pullback,
    core=(2, 2, 2),
    cases=[
        case(_triangle(3, 3), A(3, 2), lower=True, trans=False, right=False),
        case(_triangle(3, 3), A(2, 3), lower=True, trans=True, right=True),
        case(_triangle(3, 3), A(3, 1), lower=False, trans=True, right=False),
        case(_triangle(2, 3, 3), A(2, 3), lower=False, trans=False, right=True),
    ],
    real_only=True,
)
"""The product of a matrix with a triangle of another one, or its transpose, from the left or the right."""


# Systems.


def _triangular(t: Any, b: Any, *, lower: bool, trans: bool, unit: bool) -> Any:
    return _each_or_folded(lambda t, b: lapack.solved(t, b, lower=lower, trans=trans, unit=unit), t, b)


def _triangular_pushforward(y: Any, xs: Any, dots: Any, *, lower: bool, trans: bool, unit: bool) -> Any:
    t_dot, b_dot = dots
    change = b_dot
    if t_dot is not None:
        if unit:
            part = _part(t_dot, lower, unit)
            moved = (_t(part) if trans else part) @ y
        else:
            moved = product_op(t_dot, y, lower=lower, trans=trans, right=False)
        change = -moved if b_dot is None else b_dot - moved
    return triangular_op(xs[0], change, lower=lower, trans=trans, unit=unit)


def _triangular_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, lower: bool, trans: bool, unit: bool) -> list[Any]:
    b_bar = triangular_op(xs[0], g, lower=lower, trans=not trans, unit=unit)
    if not wanted[0]:
        return [None, b_bar]
    return [-_part(y @ _t(b_bar) if trans else b_bar @ _t(y), lower, unit), b_bar]


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
