"""Rows that reduce along axes: sum, mean, variance, product, extremes, cumulative sums."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import (
    as_array,
    averaged_axes,
    keeps,
    mask_given,
    normalize_axes,
    normalize_axis,
    reduced_axes,
    without_axes,
)
from hessian.rules.dispatch import composite, refuse
from hessian.rules.patterns import running
from hessian.rules.shaping import reshape_op
from hessian.rules.smooth import Sides, smooth_op
from hessian.rules.spec import A, General, Linear, case, general, linear, nondifferentiable


def _sum(x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return np.add.reduce(x, axis=axes, keepdims=keepdims)  # type: ignore[call-overload]


def _spread(g: Any, x_shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    """Give ``g`` the axes that a reduction of an array of shape ``x_shape`` removed, with length one."""
    if keepdims or not axes:
        return g
    stay = tuple(1 if i - len(x_shape) in axes else n for i, n in enumerate(x_shape))
    return reshape_op(g, shape=stay, ndim=len(x_shape) - len(axes))


def _sum_transpose(g: Any, x_shape: tuple[int, ...], *, axes: tuple[int, ...], keepdims: bool) -> Any:
    batch = g.shape[: g.ndim - len(x_shape) + (0 if keepdims else len(axes))]
    return np.broadcast_to(_spread(g, x_shape, axes, keepdims), batch + x_shape)


sum_op = linear("sum", _sum, transpose=_sum_transpose, moves=True, pattern="transpose")


@composite(
    np.sum,
    cases=[
        case(A(2, 3)),
        case(A(2, 3), axis=0),
        case(A(2, 3, 4), axis=(0, -1)),
        case(A(2, 3), axis=1, keepdims=True),
        case(A(0, 3), axis=0),
        case(A()),
    ],
)
def sum_(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **keywords: Any) -> Any:
    if dtype is None and out is None and not keywords:  # by far the most frequent
        return sum_op(a, axes=reduced_axes(axis, a.ndim, "sum"), keepdims=keeps(keepdims))
    initial, where = keywords.pop("initial", np._NoValue), keywords.pop("where", True)
    refuse("sum", out=out, **keywords)
    if initial is None or np.ndim(initial):
        raise OptionError(message("sum", f"initial is {initial!r}", fix="Pass a number"))
    if mask_given(where, a, "sum"):
        a = np.where(where, a, np.zeros((), a.dtype))
    total = sum_op(cast(a, dtype), axes=reduced_axes(axis, a.ndim, "sum"), keepdims=keeps(keepdims))
    return total if initial is np._NoValue else total + initial


_MASK = np.array([[True, False, True], [True, True, False]])


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod(shape[i] for i in axes)


@composite(np.mean, cases=[case(A(2, 3)), case(A(2, 3), axis=0), case(A(2, 3), axis=(0, 1), keepdims=True)])
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **keywords: Any) -> Any:
    where, dtype = keywords.get("where", True), float_dtype(dtype, "mean")
    if mask_given(where, a, "mean"):
        count = np.sum(np.broadcast_to(where, a.shape), axis=axis, keepdims=keeps(keepdims))
        total = sum_(a, axis, dtype, out, keepdims, **keywords)
        return total / (count.astype(total.dtype) if total.dtype.kind == "f" else count)
    count = _count(a.shape, averaged_axes(axis, a.ndim, "mean"))
    return sum_(a, axis, dtype, out, keepdims, **keywords) / count


@composite(np.average, cases=[case(A(4)), case(A(2, 3), 0, A(2, domain=(0.5, 1.0)))])
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    a = as_array(a)
    if weights is None:
        result = mean(a, axis, keepdims=keepdims)
        return (result, np.zeros_like(result) + a.size / max(np.size(result), 1)) if returned else result
    weights = _fitting_weights(weights, a.shape, axis)
    total = np.sum(weights, axis=axis, keepdims=keeps(keepdims))
    if np.any(np.equal(total, 0)):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    result = np.sum(a * weights, axis=axis, keepdims=keeps(keepdims)) / total
    return (result, np.zeros_like(result) + total) if returned else result


def _fitting_weights(weights: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """Return weights in the shape of an array; they may be given along the axes averaged over only."""
    weights = as_array(weights)
    if weights.shape == shape:
        return weights
    axes = None if axis is None else normalize_axes(axis, len(shape), "average")
    if axes is None or weights.shape != tuple(shape[i] for i in axes):
        what = f"weights of shape {weights.shape} for an array of shape {shape} along axis {axis}"
        raise ShapeMismatchError(message("average", what, fix="Give weights the shape of the array, or of its axes"))
    weights = np.transpose(weights, np.argsort(axes))
    opened = np.reshape(weights, tuple(n if i - len(shape) in axes else 1 for i, n in enumerate(shape)))
    return np.broadcast_to(opened, shape)


def _analytic_var(a: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False, where: Any = True) -> Any:
    """Evaluate the variance without moduli, for a complex step."""
    count = np.sum(np.broadcast_to(where, a.shape), axis, keepdims=keepdims)
    center = np.mean(a, axis, keepdims=True, where=where)
    return np.sum((a - center) ** 2, axis, keepdims=keepdims, where=where) / (count - ddof)


@composite(
    np.var,
    cases=[
        case(A(2, 3)),
        case(A(2, 3), axis=0, ddof=1),
        case(A(4, 3), axis=1, keepdims=True),
        case(A(2, 3), axis=1, where=_MASK, ddof=1),
    ],
    analytic=_analytic_var,
)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, **keywords: Any
) -> Any:
    correction, center = (keywords.pop(name, np._NoValue) for name in ("correction", "mean"))
    where = keywords.pop("where", True)
    refuse("var", out=out, **keywords)
    if correction is not np._NoValue:
        ddof = correction
    dtype = float_dtype(dtype, "var")
    a = a if dtype is None else a.astype(np.promote_types(a.dtype, dtype))
    count: Any = _count(a.shape, averaged_axes(axis, a.ndim, "var"))
    center = mean(a, axis, keepdims=True, where=where) if center is np._NoValue else center
    squares = squared_moduli(a - center)
    if mask_given(where, a, "var"):
        squares = np.where(where, squares, np.zeros((), squares.dtype))
        count = np.sum(np.broadcast_to(where, a.shape), axis=axis, keepdims=keeps(keepdims))
    # Nothing left to divide by gives NumPy's NaN or infinity.
    y = sum_(squares, axis, keepdims=keepdims) / np.asarray(np.maximum(count - ddof, 0), squares.dtype)[()]
    return cast(y, dtype)


def squared_moduli(a: Any) -> Any:
    """Return |a|², of real and of complex numbers."""
    return np.square(a.real) + np.square(a.imag) if a.dtype.kind == "c" else np.square(a)


def float_dtype(dtype: Any, where: str) -> Any:
    """Return the dtype that a mean or variance is asked for in."""
    if dtype is None:
        return None
    dtype = np.dtype(dtype)
    if dtype.kind not in "fc":
        raise OptionError(
            message(where, f"dtype is {dtype!r}", "what is cut off has no derivative", "Pass a float dtype")
        )
    return dtype


@composite(
    np.std,
    cases=[case(A(5)), case(A(3, 2), axis=0, ddof=1)],
    analytic=lambda *a, **k: np.sqrt(_analytic_var(*a, **k)),
    kinks="NaN where several values are equal, 0 of one value",
)
def std(a: Any, *args: Any, **keywords: Any) -> Any:
    variance = var(a, *args, **keywords)
    # Of one value it is 0 whatever the value is, and so is the variance.
    return variance if a.size == variance.size else np.sqrt(variance)


def _halved_product(x: Any) -> Any:
    """Multiply along the last axis by halves: a product tree, exact at every order whatever entries are zero."""
    length = x.shape[-1]
    if length == 0:
        return np.ones_like(x, shape=x.shape[:-1])[()]
    while length > 1:
        half = length // 2
        paired = x[..., :half] * x[..., half : 2 * half]
        x = np.concatenate([paired, x[..., 2 * half :]], axis=-1) if length % 2 else paired
        length = x.shape[-1]
    # Of a vector a number, as NumPy's product is.
    return x[0] if x.ndim == 1 else x[..., 0]


# A tree multiplies in another order, and may leave the range where NumPy's product does not.
prod_op = nondifferentiable("prod", lambda x, *, axes: np.multiply.reduce(x, axis=axes))
cumprod_op = nondifferentiable("cumprod", lambda x, *, axis: np.cumprod(x, axis=axis))


def cast(a: Any, dtype: Any) -> Any:
    return a if dtype is None or np.dtype(dtype) == a.dtype else a.astype(dtype)


def _widened(a: Any) -> Any:
    """Return truth values and short integers in the dtype of their products."""
    return a if a.dtype.kind in "fc" else a.astype(np.multiply.reduce(np.ones(1, a.dtype)).dtype)


@composite(
    np.prod,
    cases=[
        case(A(5)),
        case(A(2, 3), axis=0),
        case(A(2, 3, 2), axis=(0, 2), keepdims=True),
        case(A(0)),
        case(A(2, 3), axis=1, where=_MASK, initial=0.5),
    ],
)
def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **keywords: Any) -> Any:
    initial, where = keywords.pop("initial", np._NoValue), keywords.pop("where", True)
    refuse("prod", out=out, **keywords)
    if initial is None or np.ndim(initial):
        raise OptionError(message("prod", f"initial is {initial!r}", fix="Leave it out, or pass a number"))
    a = _widened(a) if dtype is None else cast(a, dtype)
    if mask_given(where, a, "prod"):
        a = np.where(where, a, np.ones((), a.dtype))
    x_shape = reduced_axes(axis, a.ndim, "prod")
    axes = [i + a.ndim for i in x_shape]
    stay = [i for i in range(a.ndim) if i not in axes]
    lined_up = np.transpose(a, (*stay, *axes)).reshape((*(a.shape[i] for i in stay), _count(a.shape, tuple(axes))))
    result = _halved_product(lined_up)
    # Of one element, too, a result with memory of its own.
    result = result.apart() if a.dtype.kind == "c" else smooth_op(result, prod_op(a, axes=x_shape))
    result = result if initial is np._NoValue else initial * result
    return np.expand_dims(result, tuple(axes)) if keeps(keepdims) and axes else result


def _shares(y: Any, xs: Any, *, axes: tuple[int, ...]) -> dict[str, Any]:
    """Weigh each element in an extreme: one over the number of ties where it is attained."""
    attained = np.equal(xs[0], y)
    return {"shares": attained / np.sum(attained, axis=axes, keepdims=True, dtype=y.dtype)}


def _extreme(name: str, reduction: Any) -> General:
    """Declare max or min along axes (axes kept)."""

    def slope(y: Any, xs: Any, dots: Any, *, axes: tuple[int, ...]) -> Any:
        away = np.inf if reduction is np.min else -np.inf
        return reduction(np.where(np.equal(xs[0], y), dots[0], away), axis=axes, keepdims=True)

    return general(
        name,
        lambda x, *, axes: reduction(x, axis=axes, keepdims=True),
        prepare=_shares,
        pattern="axes",
        pushforward=lambda y, xs, dots, *, axes, shares: np.sum(shares * dots[0], axis=axes, keepdims=True),
        pullback=lambda y, xs, g, wanted, *, axes, shares: [shares * g],
        curved=False,
        kinks="shared equally among ties",
        sides=Sides(lambda y, x, *, axes: np.sum(np.equal(x, y), axis=axes, keepdims=True) > 1, slope),
    )


max_op, min_op = _extreme("max", np.max), _extreme("min", np.min)


def _extreme_call(operation: General, where: str, pairwise: Any) -> Any:
    def call(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **keywords: Any) -> Any:
        initial, mask = keywords.pop("initial", np._NoValue), keywords.pop("where", True)
        refuse(where, out=out, **keywords)
        if mask_given(mask, a, where):
            if initial is np._NoValue or initial is None:
                what = "the reduction has no identity, so it cannot leave elements out by a mask"
                raise OptionError(message(where, what, fix="Pass initial=, the result where nothing is left"))
            a = np.where(mask, a, np.asarray(initial, a.dtype))
        axes = reduced_axes(axis, a.ndim, where)
        y = operation(a, axes=axes)
        if initial is not np._NoValue and initial is not None:
            if np.ndim(initial):
                raise ShapeMismatchError(message(where, f"initial has shape {np.shape(initial)}", fix="Pass a number"))
            y = pairwise(y, np.asarray(initial, a.dtype))
        return y if keeps(keepdims) else without_axes(y, axes)

    return call


_EXTREME_CASES = [
    case(A(5)),
    case(A(2, 3), axis=0),
    case(A(2, 3), axis=1, keepdims=True),
    case(A(2, 3, 2), axis=(0, 2)),
]
max_ = composite(np.max, cases=_EXTREME_CASES, kinks=max_op.kinks)(_extreme_call(max_op, "max", np.maximum))
min_ = composite(np.min, cases=_EXTREME_CASES, kinks=min_op.kinks)(_extreme_call(min_op, "min", np.minimum))


@composite(np.ptp, cases=[case(A(5)), case(A(2, 3), axis=0)], real_only=True)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return max_(a, axis, out, keepdims) - min_(a, axis, out, keepdims)


cumsum_op: Linear = linear(
    "cumsum",
    lambda x, *, axis: np.add.accumulate(x, axis=axis),
    transpose=lambda g, x_shape, *, axis: np.flip(cumsum_op(np.flip(g, axis), axis=axis), axis),
    pattern=lambda y, xs, *, axis: [running(axis, y, *xs)],
    moves=True,
)


@composite(np.cumsum, cases=[case(A(4)), case(A(2, 3), axis=0), case(A(2, 3))])
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    refuse("cumsum", out=out)
    a = cast(a, dtype)
    if axis is None:
        a, axis = np.ravel(a), -1
    return cumsum_op(a, axis=normalize_axis(axis, a.ndim, "cumsum"))


@composite(np.cumprod, cases=[case(A(4)), case(A(2, 3), axis=0)])
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    refuse("cumprod", out=out)
    a = _widened(a) if dtype is None else cast(a, dtype)
    if axis is None:
        a, axis = np.ravel(a), -1
    axis = normalize_axis(axis, a.ndim, "cumprod")
    x = np.moveaxis(a, axis, -1)
    length, shift = x.shape[-1], 1
    # A scan by doubling shifts: log2(n) products, exact whatever entries are zero.
    while shift < length:
        x = np.concatenate([x[..., :shift], x[..., shift:] * x[..., :-shift]], axis=-1)
        shift *= 2
    x = np.moveaxis(x, -1, axis)
    return x.apart() if a.dtype.kind == "c" else smooth_op(x, cumprod_op(a, axis=axis))


@composite(
    np.diff,
    cases=[case(A(5)), case(A(3, 4), n=2, axis=1), case(A(3, 4), 1, 0, A(1, 4), A(2, 4)), case(A(3), 2, -1, A())],
)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue) -> Any:
    n = operator.index(n)
    if n < 0:
        raise OptionError(message("diff", f"order n must be non-negative, it is {n}"))
    if n == 0:
        return a
    a = as_array(a)
    if not a.ndim:
        raise ShapeMismatchError(message("diff", "it needs an array of at least one axis"))
    before = (slice(None),) * (a.ndim + normalize_axis(axis, a.ndim, "diff"))
    edge = (*a.shape[: len(before)], 1, *a.shape[len(before) + 1 :])
    parts = [x if np.ndim(x) else np.broadcast_to(x, edge) for x in (prepend, a, append) if x is not np._NoValue]
    a = np.concatenate(parts, axis=axis) if len(parts) > 1 else a
    for _ in range(n):
        a = a[(*before, slice(1, None))] - a[(*before, slice(None, -1))]
    return a


@composite(np.trapezoid, cases=[case(A(5)), case(A(2, 4), dx=0.5), case(A(4), A(4))])
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    y = as_array(y)
    before = (slice(None),) * (y.ndim + normalize_axis(axis, y.ndim, "trapezoid"))
    steps = dx if x is None else np.diff(x, axis=axis if np.ndim(x) > 1 else -1)
    if np.ndim(steps) == 1:
        steps = np.reshape(steps, (-1,) + (1,) * (-1 - normalize_axis(axis, y.ndim, "trapezoid")))
    return np.sum(steps * (y[(*before, slice(1, None))] + y[(*before, slice(None, -1))]) / 2.0, axis=axis)
