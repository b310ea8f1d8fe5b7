"""Functions that leave NaN out: they see 0, 1 or nothing in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.rules.broadcast import averaged_axes, keeps, mask_given, reduced_axes, without_axes
from hessian.rules.dispatch import composite, refuse
from hessian.rules.pairs import joined, parts_of, real_dtype
from hessian.rules.reductions import cast, float_dtype, max_, max_op, min_, min_op, squared_moduli
from hessian.rules.spec import A, Traced, case


def _filled(a: Any, fill: float) -> Any:
    """Return an array with a number in place of NaN."""
    return a if a.dtype.kind not in "fc" else np.where(np.isnan(a), np.asarray(fill, a.dtype), a)


def _skipping(target: Any, plain: Any, fill: float, cases: list[Any]) -> Callable[..., Any]:
    """Declare a reduction that takes NaN for its neutral element."""

    def call(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, *args: Any, **keywords: Any) -> Any:
        refuse(target.__name__, out=out)
        return plain(_filled(a, fill), axis, dtype, None, *args, **keywords)

    return composite(target, cases=cases)(call)


_CASES = [case(A(5)), case(A(2, 3), axis=0)]
nansum = _skipping(np.nansum, np.sum, 0.0, [*_CASES, case(A(2, 3), axis=1, keepdims=True)])
nanprod = _skipping(np.nanprod, np.prod, 1.0, _CASES)
nancumsum = _skipping(np.nancumsum, np.cumsum, 0.0, _CASES)
nancumprod = _skipping(np.nancumprod, np.cumprod, 1.0, _CASES)


def _seen(a: Any, where: Any, name: str) -> Any:
    """Return which elements count."""
    there = np.logical_not(np.isnan(a)) if a.dtype.kind in "fc" else np.ones(a.shape, bool)
    return np.logical_and(there, where) if mask_given(where, a, name) else there


def _mean(a: Any, there: Any, axis: Any, keepdims: bool) -> tuple[Any, Any]:
    count = np.sum(there, axis=axis, keepdims=keepdims)
    blank = np.zeros((), a.dtype)
    total = np.sum(np.where(there, a, blank), axis=axis, keepdims=keepdims)
    return total / (count.astype(real_dtype(total.dtype)) if total.dtype.kind in "fc" else count), count


@composite(np.nanmean, cases=[*_CASES, case(A(2, 3), axis=(0, 1), keepdims=True)])
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    refuse("nanmean", out=out)
    averaged_axes(axis, a.ndim, "nanmean")
    return _mean(cast(a, float_dtype(dtype, "nanmean")), _seen(a, where, "nanmean"), axis, keeps(keepdims))[0]


def _variance(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = np._NoValue,
    correction: Any = np._NoValue,
) -> tuple[Any, Any, np.ndarray]:
    """Return the variance, which are of one value whatever it is, and what these are: 0, or NaN where none is left free."""
    refuse("nanvar", out=out)
    averaged_axes(axis, a.ndim, "nanvar")
    dtype = float_dtype(dtype, "nanvar")
    a = a if dtype is None else a.astype(np.promote_types(a.dtype, dtype))
    ddof = ddof if correction is np._NoValue else correction
    there = _seen(a, where, "nanvar")
    center = _mean(a, there, axis, True)[0] if mean is np._NoValue else mean
    apart = np.where(there, a - center, np.zeros((), center.dtype))
    count = np.asarray(np.sum(there, axis=axis, keepdims=keeps(keepdims)))
    squares = np.sum(squared_moduli(apart), axis=axis, keepdims=keeps(keepdims))
    free = np.where(count > ddof, count - ddof, np.nan)
    of_one = (0.0 * free).astype(squares.dtype if dtype is None else dtype)
    alone = np.equal(count, 1) if mean is np._NoValue else np.zeros(count.shape, bool)
    return cast(squares / free.astype(squares.dtype)[()], dtype), alone, of_one


@composite(np.nanvar, real_only=True, cases=[*_CASES, case(A(4, 3), axis=0, ddof=1)])
def nanvar(a: Any, *args: Any, **keywords: Any) -> Any:
    return _variance(a, *args, **keywords)[0]


@composite(
    np.nanstd,
    real_only=True,
    cases=[*_CASES, case(A(4, 3), axis=0, ddof=1)],
    kinks="NaN where several values are equal, 0 of one value",
)
def nanstd(a: Any, *args: Any, **keywords: Any) -> Any:
    variance, alone, of_one = _variance(a, *args, **keywords)
    if not np.any(alone):
        return np.sqrt(variance)
    root = np.sqrt(np.where(alone, np.ones_like(of_one), variance))
    return np.where(alone, of_one, root)[()]


def _extreme(target: Any, operation: Any, plain: Any, fill: float) -> Callable[..., Any]:
    def call(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = np._NoValue, where: Any = True
    ) -> Any:
        refuse(target.__name__, out=out)
        if initial is not np._NoValue or mask_given(where, a, target.__name__):
            # Where nothing is left there is what it starts from.
            return plain(_filled(a, fill), axis, None, keepdims, initial=initial, where=where)
        axes = reduced_axes(axis, a.ndim, target.__name__)
        y = operation(_filled(a, fill), axes=axes)
        if a.dtype.kind == "f":
            empty = np.all(np.isnan(a), axis=axes, keepdims=True)
            y = np.where(empty, np.asarray(np.nan, y.dtype), y)
        return y if keeps(keepdims) else without_axes(y, axes)

    cases = [*_CASES, case(A(2, 3), axis=1, initial=0.5)]
    return composite(target, cases=cases, kinks="shared equally among ties")(call)


nanmax = _extreme(np.nanmax, max_op, max_, -np.inf)
nanmin = _extreme(np.nanmin, min_op, min_, np.inf)


@composite(np.nan_to_num, cases=[case(A(4)), case(A(2, 3), nan=1.0)])
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    if any(isinstance(value, Traced) for value in (nan, posinf, neginf)):
        raise OptionError(message("nan_to_num", "a replacement is traced", fix="Use np.where(np.isnan(x), value, x)"))
    if isinstance(copy, str):
        raise ValueError("strings are not allowed for 'copy' keyword. Use True/False/None instead.")
    if x.dtype.kind == "c":
        y = joined(*(nan_to_num(part, True, nan, posinf, neginf) for part in parts_of(x).both()))
        return y if copy else x._in_place(y)
    if x.dtype.kind != "f":
        return np.copy(x)
    if not isinstance(x, Traced):
        return np.nan_to_num(x, True, nan, posinf, neginf)
    largest = np.finfo(x.dtype)
    high, low = (b if a is None else a for a, b in ((posinf, largest.max), (neginf, largest.min)))
    y = np.where(np.isnan(x), np.asarray(nan, x.dtype), x)
    y = np.where(np.equal(x, np.inf), np.asarray(high, x.dtype), y)
    y = np.where(np.equal(x, -np.inf), np.asarray(low, x.dtype), y)
    if copy:
        return y if y.ndim or not x.ndim else y[()]
    return x._in_place(y)
