"""Functions of sorted arrays: partitions, medians, quantiles, sets of distinct values, insertions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.errors import MissingRuleError, OptionError, message
from hessian.rules.broadcast import as_array, keeps, normalize_axes
from hessian.rules.dispatch import composite, refuse
from hessian.rules.indexing import sort, take
from hessian.rules.memory import lying_like, numbered, shrunk
from hessian.rules.spec import A, Traced, case, nondifferentiable


def plain(x: Any, where: str, name: str) -> Any:
    """Return an argument as plain numbers; one that carries a derivative raises, because its would be lost."""
    if not isinstance(x, Traced):
        return x
    if getattr(x, "carries_derivative", True):
        raise OptionError(message(where, f"{name} is traced", "there is no derivative in it", "Pass plain numbers"))
    return np.asarray(x)[()]


@composite(
    np.partition, real_only=True, cases=[case(A(5), 2), case(A(4, 2), (0, 2), axis=0), case(A(2, 3), 4, axis=None)]
)
def partition(a: Any, kth: Any, axis: int | None = -1, kind: Any = "introselect", order: Any = None) -> Any:
    refuse("partition", order=order)
    if axis is None:
        a, axis = np.ravel(a), -1
    places = np.argpartition(a, plain(kth, "partition", "kth"), axis, kind)
    return lying_like(np.take_along_axis(a, places, axis), numbered(a))


def _lined_up(a: Any, axis: Any, where: str) -> tuple[Any, tuple[int, ...]]:
    """Return an array with the axes of a reduction made one, the last; and these axes."""
    axes = normalize_axes(axis, a.ndim, where)
    stay = [i for i in range(-a.ndim, 0) if i not in axes]
    moved = np.transpose(a, [i % a.ndim for i in (*stay, *axes)]) if a.ndim else a
    return np.reshape(moved, (*(a.shape[i] for i in stay), -1)) if moved.size else _emptied(moved, stay, a, axes), axes


def _emptied(moved: Any, stay: list[int], a: Any, axes: tuple[int, ...]) -> Any:
    length = int(np.prod([a.shape[i] for i in axes], dtype=int))
    return np.reshape(moved, (*(a.shape[i] for i in stay), length))


def _opened(y: Any, axes: tuple[int, ...], ndim: int, keepdims: Any, leading: int = 0) -> Any:
    """Give back reduced axes with length one where they are to be stays."""
    if not keeps(keepdims):
        return y
    return np.expand_dims(y, tuple(sorted(leading + i % ndim for i in axes))) if ndim else y


def _sorted(rows: Any) -> Any:
    return np.take_along_axis(rows, np.argsort(rows, axis=-1, kind="stable"), -1)


def _counts(rows: Any, skip_nan: bool) -> np.ndarray:
    """Return how many elements of each row count."""
    if not skip_nan:
        return np.full(rows.shape[:-1], rows.shape[-1])
    return np.asarray(rows.shape[-1] - np.sum(np.asarray(np.isnan(rows)), axis=-1))


def _or_nan(y: Any, order: Any, counts: np.ndarray, skip_nan: bool) -> Any:
    """Return NaN where a row has one, or nothing else."""
    if skip_nan or not order.shape[-1]:
        return np.where(counts == 0, np.asarray(np.nan, y.dtype), y) if np.any(counts == 0) else y
    return y if order.dtype.kind != "f" else np.where(np.isnan(order[..., -1]), order[..., -1], y)


def _of_places(order: Any, counts: np.ndarray, find: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Interpolate in sorted rows at the places that ``find`` gives for so many elements, shape (places, rows).

    In a sorted array of 0, 1, 2, ... a quantile is the place it is found at.
    """
    places = np.zeros((np.size(find(np.arange(1.0))), *counts.shape))
    for count in np.unique(counts):
        if count:
            places[:, counts == count] = np.ravel(find(np.arange(float(count))))[:, None]
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, np.maximum(counts - 1, 0))
    share = (places - below).astype(find(np.ones(2, order.dtype)).dtype)
    low, high = (_picked(order, index) for index in (below, above))
    gap = high - low
    return np.where(share == 0, low, np.where(share >= 0.5, high - gap * (1 - share), low + gap * share))


def _picked(order: Any, index: np.ndarray) -> Any:
    """Return elements of rows, shape (places, rows)."""
    return np.stack([np.take_along_axis(order, row[..., None], -1)[..., 0] for row in index])


def _quantiles(a: Any, shape: tuple[int, ...], find: Any, axis: Any, keepdims: Any, where: str, skip_nan: bool) -> Any:
    a = as_array(a)
    rows, axes = _lined_up(a, axis, where)
    order, counts = _sorted(rows), _counts(rows, skip_nan)
    y = _or_nan(_of_places(order, counts, find), order, counts, skip_nan)
    y = _opened(np.reshape(y, (*shape, *y.shape[1:])), axes, a.ndim, keepdims, len(shape))
    return y if y.ndim else y[()]


def _quantile(function: Any, where: str, skip_nan: bool) -> Callable[..., Any]:
    def call(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = False,
        *,
        weights: Any = None,
        **keywords: Any,
    ) -> Any:
        refuse(where, out=out, **keywords)
        if np.ndim(q) > 1:
            raise OptionError(message(where, f"q has {np.ndim(q)} axes", fix="Pass a number or a vector"))
        q = plain(q, where, "the quantile")
        if weights is not None:
            weights = plain(weights, where, "the weights")
            return _weighted(getattr(np, where), a, q, axis, method, keepdims, weights)
        find = lambda numbers: function(numbers, q, method=method)
        y = _quantiles(a, np.shape(q), find, axis, keepdims, where, skip_nan)
        if not skip_nan or np.ndim(y) < 2:
            return y
        return lying_like(y, getattr(np, where)(shrunk(a), q, axis=axis, keepdims=keeps(keepdims)))

    return call


def _weighted(target: Any, a: Any, q: Any, axis: Any, method: str, keepdims: Any, weights: Any) -> Any:
    """Return quantiles under weights, which are elements: of the places of the elements NumPy says which."""
    a = as_array(a)
    flat = np.ravel(a) if a.dtype.kind == "f" else np.ravel(a).astype(float)
    order = np.asarray(np.argsort(flat, kind="stable"))
    places = np.empty(flat.size)
    places[order] = np.arange(flat.size)
    places[np.asarray(np.isnan(flat))] = np.nan
    at = target(places.reshape(a.shape), q, axis=axis, method=method, keepdims=keeps(keepdims), weights=weights)
    missing = np.isnan(at)
    y = take(flat, order[np.where(missing, -1, at).astype(int)]) if flat.size else at
    return np.where(missing, np.asarray(np.nan, y.dtype), y)[()] if missing.any() else y


_WEIGHTED = case(A(2, 4), [0.2, 0.7], axis=1, method="inverted_cdf", weights=np.array([1.0, 3.0, 2.0, 1.5]))
_CASES = [
    case(A(5), 0.3),
    case(A(2, 4), [0.25, 0.9], axis=1),
    case(A(3, 2, 2), 0.6, axis=(0, 2), keepdims=True),
    case(A(6), 0.4, method="midpoint"),
    case(A(6), 0.35, method="hazen"),
    _WEIGHTED,
]
_PERCENT = [case(A(5), 30.0), case(A(2, 4), [25.0, 90.0], axis=1)]
quantile = composite(np.quantile, real_only=True, cases=_CASES)(_quantile(np.quantile, "quantile", False))
nanquantile = composite(np.nanquantile, real_only=True, cases=_CASES[:3])(_quantile(np.quantile, "nanquantile", True))
percentile = composite(np.percentile, real_only=True, cases=_PERCENT)(_quantile(np.percentile, "percentile", False))
nanpercentile = composite(np.nanpercentile, real_only=True, cases=_PERCENT)(
    _quantile(np.percentile, "nanpercentile", True)
)


def _middle(where: str, skip_nan: bool) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
        refuse(where, out=out)
        a = as_array(a)
        if axis == () and not a.size:
            raise ValueError("cannot reshape array of size 0 into shape (0,newaxis)")
        rows, axes = _lined_up(a, axis, where)
        order, counts = _sorted(rows), _counts(rows, skip_nan)
        pair = np.stack([np.maximum(counts - 1, 0) // 2, np.minimum(counts // 2, max(rows.shape[-1] - 1, 0))])
        low, high = _picked(order, pair)
        y = np.where(pair[0] == pair[1], low / 1.0, (low + high) / 2.0)
        y = _opened(_or_nan(y, order, counts, skip_nan), axes, a.ndim, keepdims)
        return y if y.ndim else y[()]

    return call


_MEDIANS = [case(A(5)), case(A(4, 3), axis=0), case(A(2, 3), axis=(0, 1), keepdims=True)]
median = composite(np.median, real_only=True, cases=_MEDIANS)(_middle("median", False))
nanmedian = composite(np.nanmedian, real_only=True, cases=_MEDIANS)(_middle("nanmedian", True))


# Sets: which elements stay is read off ranks; the elements themselves keep their derivatives.


def ranks(x: Any, equal_nan: bool = True) -> np.ndarray:
    """Return whole numbers in the order of the elements of an array, equal where they are."""
    if not isinstance(x, Traced):
        x = np.asarray(x)
    elif x.dtype.kind == "c":
        what = "sets of complex numbers are asked for"
        raise MissingRuleError(message("unique", what, "They have no order of their own", "Use np.sort(z), or parts"))
    flat = np.ravel(x)
    order = np.argsort(flat, kind="stable")
    inline = np.take_along_axis(flat, order, -1)
    same = np.equal(inline[1:], inline[:-1])
    if equal_nan and x.dtype.kind == "f":
        same = np.logical_or(same, np.logical_and(np.isnan(inline[1:]), np.isnan(inline[:-1])))
    out = np.zeros(flat.size, int)
    out[np.asarray(order)] = np.concatenate([[0], np.cumsum(~np.asarray(same, bool))])[: flat.size]
    return out.reshape(x.shape)


@composite(np.unique, real_only=True, cases=[case(A(4)), case(A(3, 2), axis=0), case(A(2, 3), axis=1)])
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    # Of rows and columns NumPy takes no two with NaN for equal.
    _, first, inverse, counts = np.unique(ranks(ar, equal_nan and axis is None), True, True, True, axis)
    if np.any(counts > 1) and ar.dtype.kind == "f" and getattr(ar, "carries_derivative", True):
        what = f"{int(np.sum(counts > 1))} values occur more than once"
        why = "which of the equal elements carries the derivative is not defined"
        raise OptionError(message("unique", what, why, "Find them on plain numbers with return_index, pick x[index]"))
    wanted = ((return_index, first), (return_inverse, inverse), (return_counts, counts))
    rest = tuple(part for flag, part in wanted if flag)
    rows, at = (np.ravel(ar), 0) if axis is None else (np.moveaxis(ar, axis, 0), axis)
    picked = np.moveaxis(take(rows, first, 0), 0, at)
    return (picked, *rest) if rest else picked


@composite(np.unique_values, real_only=True, cases=[case(A(4))])
def unique_values(x: Any) -> Any:
    return unique(x, equal_nan=False)


def _results(function: Any, x: Any, **fields: Any) -> Any:
    """Return a named result of NumPy's with the elements traced."""
    return type(function(np.asarray(x)))(**fields)


@composite(np.unique_counts, untested="it asks for counts")
def unique_counts(x: Any) -> Any:
    values, counts = unique(x, return_counts=True, equal_nan=False)
    return _results(np.unique_counts, x, values=values, counts=counts)


@composite(np.unique_inverse, untested="it asks for counts")
def unique_inverse(x: Any) -> Any:
    values, inverse = unique(x, return_inverse=True, equal_nan=False)
    return _results(np.unique_inverse, x, values=values, inverse_indices=np.reshape(inverse, x.shape))


@composite(np.unique_all, untested="it asks for counts")
def unique_all(x: Any) -> Any:
    values, index, inverse, counts = unique(x, True, True, True, equal_nan=False)
    inverse = np.reshape(inverse, x.shape)
    return _results(np.unique_all, x, values=values, indices=index, inverse_indices=inverse, counts=counts)


@composite(np.union1d, real_only=True, cases=[case(A(3), A(2))])
def union1d(ar1: Any, ar2: Any) -> Any:
    return unique(np.concatenate([np.ravel(ar1), np.ravel(ar2)]))


def _unique(x: Any, is_already: bool = False) -> Any:
    return np.ravel(x) if is_already else unique(x) if isinstance(x, Traced) else np.unique(x)


def _ranked(ar1: Any, ar2: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return ranks of two vectors among the elements of both; no NaN equals another."""
    both = ranks(np.concatenate([ar1, ar2]), equal_nan=False)
    return both[: np.size(ar1)], both[np.size(ar1) :]


@composite(np.setdiff1d, real_only=True, cases=[case(A(4), np.array([7.0])), case(A(4), A(3), assume_unique=True)])
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    x = _unique(ar1, assume_unique)
    return x[~np.isin(*_ranked(x, np.ravel(ar2)))]


@composite(np.setxor1d, real_only=True, cases=[case(A(3), A(2)), case(A(2), A(2), assume_unique=True)])
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    both = np.concatenate([_unique(ar, assume_unique) for ar in (ar1, ar2)])
    place = ranks(both, equal_nan=False)
    return sort(both[np.bincount(place, minlength=1)[place] == 1])


common_op = nondifferentiable("common", lambda x: x)


@composite(np.intersect1d, untested="what two sets share has no derivative, as a comparison has none")
def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    ar1, ar2 = (np.ravel(ar) for ar in (ar1, ar2))
    _, first, second = np.intersect1d(*_ranked(ar1, ar2), assume_unique, return_indices=True)
    dtype = np.result_type(ar1.dtype, ar2.dtype)
    values = take(ar1 if isinstance(ar1, Traced) else ar2, first if isinstance(ar1, Traced) else second)
    values = common_op(values if values.dtype == dtype else values.astype(dtype))
    return (values, first, second) if return_indices else values


@composite(
    np.insert, real_only=True, cases=[case(A(4), 1, A()), case(A(3), [0, 2], A(2)), case(A(2, 3), 1, A(2), axis=1)]
)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    arr, values = (as_array(x) for x in (arr, values))
    dtype = arr.dtype
    blank = np.zeros(np.shape(arr), dtype)
    obj = obj if isinstance(obj, slice) else plain(obj, "insert", "the place")
    # Where old elements go and which places are new NumPy itself says, of numbered elements.
    numbers = np.arange(1.0, values.size + 1).reshape(values.shape)
    new = np.insert(np.zeros(blank.shape), obj, numbers, axis).astype(int)
    in_columns = isinstance(arr, Traced) and arr.ndim > 1 and arr.lies_in("F") and not arr.lies_in("C")
    places = np.arange(1, blank.size + 1).reshape(blank.shape)
    old = np.insert(np.array(places, order="F" if in_columns else "C"), obj, 0, axis)
    before = np.ravel(arr)[np.maximum(old - 1, 0)] if blank.size else np.zeros(old.shape, dtype)
    inserted = np.ravel(values)[np.maximum(new - 1, 0)] if values.size else np.zeros(new.shape, dtype)
    inserted = inserted.astype(dtype) if inserted.dtype != dtype else inserted
    return lying_like(np.where(new > 0, inserted, before), old)


@composite(np.trim_zeros, untested="how much stays depends on the values")
def trim_zeros(filt: Any, trim: Any = "fb", axis: Any = None) -> Any:
    if filt.ndim != 1 or axis is not None:
        raise OptionError(message("trim_zeros", f"an array of shape {filt.shape}", fix="Pass one axis at a time"))
    stay = np.asarray(np.not_equal(filt, 0))
    stays = np.trim_zeros(np.where(stay, np.arange(1, filt.size + 1), 0), trim)
    if not stays.size:
        return filt[:0]
    start = int(np.flatnonzero(stay)[0]) if "f" in trim.lower() else 0
    return filt[start : start + stays.size]
