"""Rows that only rearrange: reshape, permute, broadcast, join, cast.

Picking and placing elements is in :mod:`hessian.rules.indexing`; everything NumPy offers beyond the primitives is composed.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from hessian.errors import DtypeError, OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import as_array, averaged_axes, leading, normalize_axes, normalize_axis, sum_to
from hessian.rules.dispatch import composite
from hessian.rules.patterns import broadcast
from hessian.rules.spec import A, Linear, Traced, case, linear, nondifferentiable
from hessian.rules.traced import each_entered


def _reshape(x: Any, *, shape: tuple[int, ...], ndim: int) -> Any:
    # A number gives a number again unless it is an array first.
    x = x if type(x) is np.ndarray else np.asarray(x)
    return x.reshape(leading(x, ndim) + shape)


reshape_op: Linear = linear(
    "reshape",
    _reshape,
    transpose=lambda g, x_shape, *, shape, ndim: reshape_op(g, shape=x_shape[len(x_shape) - ndim :], ndim=len(shape)),
    view=True,
    copies=True,
    moves=True,
)

permute_op: Linear = linear(
    "permute",
    lambda x, *, axes: np.transpose(x, _trailing(axes, x.ndim)),
    transpose=lambda g, x_shape, *, axes: permute_op(g, axes=tuple(int(i) for i in np.argsort(axes))),
    view=True,
    moves=True,
)


def _trailing(axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """Extend a permutation of the trailing axes by fixed leading batch axes."""
    batch = ndim - len(axes)
    return (*range(batch), *(batch + i for i in axes))


def _broadcast(x: Any, *, shape: tuple[int, ...], ndim: int) -> Any:
    batch = leading(x, ndim)
    opened = x.reshape(batch + (1,) * (len(shape) - ndim) + x.shape[len(batch) :])
    return np.broadcast_to(opened, batch + shape)


broadcast_op = linear(
    "broadcast_to",
    _broadcast,
    transpose=lambda g, x_shape, *, shape, ndim: sum_to(g, x_shape[len(x_shape) - ndim :], len(shape)),
    view=True,
    moves=True,
)

astype_op: Linear = linear(
    "astype",
    lambda x, *, dtype, source: x.astype(dtype),
    transpose=lambda g, x_shape, *, dtype, source: astype_op(g, dtype=source, source=dtype),
    moves=True,
    pattern=lambda y, xs, **params: broadcast(y, xs),
    cases=[case(A(3), dtype=np.dtype(float), source=np.dtype(float))],
    real_only=True,
)

cast_op = nondifferentiable("cast", lambda x, *, dtype: x.astype(dtype))


def _split_back(g: Any, positions: Sequence[int], shapes: Sequence[tuple[int, ...]], *, axis: int) -> list[Any]:
    """Return the slices of ``g`` that the operands at ``positions`` of a concatenation occupy."""
    starts = [0, *accumulate(shape[axis] for shape in shapes)]
    after = [slice(None)] * (-1 - axis)
    return [g[(..., slice(starts[p], starts[p + 1]), *after)] for p in positions]


concatenate_op = linear(
    "concatenate", lambda *xs, axis: np.concatenate(xs, axis=axis), transpose=_split_back, variadic=True, moves=True
)


def as_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape given as an integer or a sequence of them, traced ones among them."""
    if isinstance(shape, Traced):
        shape = np.asarray(shape)
    items = shape if np.iterable(shape) else (shape,)
    if any(isinstance(n, bool) for n in items):
        raise DtypeError(message("shape", f"{shape!r} is no shape", fix="Pass integers"))
    return tuple(operator.index(n) for n in items)


@composite(np.reshape, cases=[case(A(2, 6), (3, 4)), case(A(4), (2, -1)), case(A(0, 3), (3, 0)), case(A(), (1, 1))])
def reshape(a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Any:
    shape = newshape if shape is None else shape
    if shape is None:
        raise OptionError(message("reshape", "no shape is given"))
    shape = as_shape(shape)
    if _order_read(a, order, "reshape") == "F":
        return np.transpose(reshape(np.transpose(a), shape[::-1]))
    if -1 in shape:
        known = math.prod(n for n in shape if n != -1)
        if shape.count(-1) > 1 or known == 0 or a.size % known:
            raise ShapeMismatchError(message("reshape", f"an array of shape {a.shape} does not fit {shape}"))
        shape = tuple(a.size // known if n == -1 else n for n in shape)
    if math.prod(shape) != a.size:
        raise ShapeMismatchError(message("reshape", f"an array of shape {a.shape} does not fit {shape}"))
    return reshape_op(a, shape=shape, ndim=a.ndim)


@composite(np.ravel, cases=[case(A(2, 3)), case(A())])
def ravel(a: Any, order: str = "C") -> Any:
    order = "C" if a.ndim < 2 and order in ("K", "A", "F") else order
    if _order_read(a, order, "ravel") == "F":
        return ravel(np.transpose(a))
    flat = reshape_op(a, shape=(a.size,), ndim=a.ndim)
    # Unlike reshape, ravel copies what does not lie in one piece.
    return flat if a.lies_in("C") else flat.apart()


def _order_read(a: Any, order: Any, name: str) -> str:
    """Return the order, "C" or "F", in which elements are read."""
    if order == "K" and (a.lies_in("C") or a.lies_in("F")):
        order = "A"
    if order == "A":
        return "F" if a.lies_in("F") and not a.lies_in("C") else "C"
    if order not in ("C", "F"):
        why = "what it means depends on where the numbers lie in memory"
        raise OptionError(message(name, f"order is {order!r}", why if order == "K" else "", "Pass 'C' or 'F'"))
    return order


@composite(np.transpose, cases=[case(A(2, 3)), case(A(2, 3, 4), (1, 2, 0)), case(A(3))])
def transpose(a: Any, axes: Any = None) -> Any:
    axes = (
        tuple(reversed(range(a.ndim)))
        if axes is None
        else tuple(normalize_axis(i, a.ndim, "transpose") + a.ndim for i in axes)
    )
    if sorted(axes) != list(range(a.ndim)):
        raise ShapeMismatchError(message("transpose", f"axes {axes} do not permute the {a.ndim} axes of the array"))
    return permute_op(a, axes=axes)


@composite(np.matrix_transpose, cases=[case(A(2, 3, 4))])
def matrix_transpose(x: Any, /) -> Any:
    return swapaxes(x, -1, -2)


@composite(np.swapaxes, cases=[case(A(2, 3, 4), 0, 2), case(A(2, 3), -1, 0)])
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    i, j = (normalize_axis(k, a.ndim, "swapaxes") + a.ndim for k in (axis1, axis2))
    axes = list(range(a.ndim))
    axes[i], axes[j] = axes[j], axes[i]
    return permute_op(a, axes=tuple(axes))


@composite(np.moveaxis, cases=[case(A(2, 3, 4), 0, -1), case(A(2, 3, 4), (0, 1), (1, 2))])
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    if source is None or destination is None:
        raise DtypeError(message("moveaxis", "an axis is None", fix="Pass integers"))
    sources = [i + a.ndim for i in normalize_axes(source, a.ndim, "moveaxis")]
    targets = [i + a.ndim for i in normalize_axes(destination, a.ndim, "moveaxis")]
    order = [i for i in range(a.ndim) if i not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return permute_op(a, axes=tuple(order))


@composite(np.expand_dims, cases=[case(A(2, 3), 1), case(A(3), (0, -1))])
def expand_dims(a: Any, axis: Any) -> Any:
    count = len(axis) if isinstance(axis, tuple | list) else 1
    places = {i + a.ndim + count for i in normalize_axes(axis, a.ndim + count, "expand_dims")}
    lengths = iter(a.shape)
    return reshape_op(a, shape=tuple(1 if i in places else next(lengths) for i in range(a.ndim + count)), ndim=a.ndim)


@composite(np.squeeze, cases=[case(A(1, 3, 1)), case(A(2, 1), 1)])
def squeeze(a: Any, axis: Any = None) -> Any:
    axes = {i for i, n in enumerate(a.shape) if n == 1}
    if axis is not None:
        axes = {i + a.ndim for i in averaged_axes(axis, a.ndim, "squeeze")}
    if any(a.shape[i] != 1 for i in axes):
        raise ShapeMismatchError(message("squeeze", f"axis {axis} of an array of shape {a.shape} is not of length 1"))
    return reshape_op(a, shape=tuple(n for i, n in enumerate(a.shape) if i not in axes), ndim=a.ndim)


@composite(np.atleast_1d, cases=[case(A()), case(A(3))])
def atleast_1d(*arrays: Any) -> Any:
    arrays = tuple(map(as_array, arrays))
    out = [reshape_op(a, shape=(1,), ndim=0) if a.ndim == 0 else a for a in arrays]
    return out[0] if len(out) == 1 else tuple(out)


@composite(np.atleast_2d, cases=[case(A()), case(A(3)), case(A(2, 3))])
def atleast_2d(*arrays: Any) -> Any:
    arrays = tuple(map(as_array, arrays))
    out = [a if a.ndim >= 2 else reshape_op(a, shape=(1, a.size), ndim=a.ndim) for a in arrays]
    return out[0] if len(out) == 1 else tuple(out)


@composite(np.broadcast_to, cases=[case(A(3), (2, 3)), case(A(2, 1), (2, 4)), case(A(), (0, 2))])
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    shape = as_shape(shape)
    array = as_array(array)
    if min(shape, default=0) < 0 or np.broadcast_shapes(array.shape, shape) != shape:
        raise ShapeMismatchError(
            message("broadcast_to", f"an array of shape {array.shape} does not broadcast to {shape}")
        )
    return broadcast_op(array, shape=shape, ndim=array.ndim)


@composite(np.broadcast_arrays, cases=[case(A(3), A(2, 1))])
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    shape = np.broadcast_shapes(*(np.shape(a) for a in args))
    return tuple(np.broadcast_to(a, shape) for a in args)


@composite(
    np.concatenate,
    cases=[case([A(2, 3), A(1, 3)]), case([A(2), A(3)], axis=-1), case([A(2, 2), A(3)], axis=None)],
    enters=each_entered,
)
def concatenate(
    arrays: Any, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    if out is not None or dtype is not None:
        raise OptionError(message("concatenate", "out and dtype are not supported on traced values"))
    if axis is None:
        arrays, axis = [np.ravel(a) for a in arrays], 0
    return concatenate_op(*arrays, axis=normalize_axis(axis, np.ndim(arrays[0]), "concatenate"))


@composite(
    np.stack, cases=[case([A(3), A(3)]), case([A(2, 3), A(2, 3)], axis=-1), case([A(), A()])], enters=each_entered
)
def stack(arrays: Any, axis: int = 0, out: Any = None, **keywords: Any) -> Any:
    return concatenate([np.expand_dims(a, axis) for a in arrays], axis=axis, out=out, **keywords)


@composite(np.vstack, cases=[case([A(3), A(2, 3)])], enters=each_entered)
def vstack(tup: Any, **keywords: Any) -> Any:
    return concatenate([np.atleast_2d(a) for a in tup], axis=0, **keywords)


@composite(np.hstack, cases=[case([A(3), A(2)]), case([A(2, 1), A(2, 3)])], enters=each_entered)
def hstack(tup: Any, **keywords: Any) -> Any:
    arrays = [np.atleast_1d(a) for a in tup]
    return concatenate(arrays, axis=0 if arrays[0].ndim == 1 else 1, **keywords)


@composite(np.dstack, cases=[case([A(3), A(3)]), case([A(2, 3), A(2, 3)])], enters=each_entered)
def dstack(tup: Any) -> Any:
    arrays = [np.atleast_2d(a) for a in tup]
    return concatenate([np.expand_dims(a, 2) if a.ndim == 2 else a for a in arrays], axis=2)


@composite(np.column_stack, cases=[case([A(3), A(3, 2)]), case([A(), A()])], enters=each_entered)
def column_stack(tup: Any) -> Any:
    return concatenate([np.reshape(a, (-1, 1)) if np.ndim(a) < 2 else a for a in tup], axis=1)


@composite(np.append, cases=[case(A(3), A(2)), case(A(1, 2), A(2, 2), axis=0)])
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    return concatenate([arr, values], axis=axis)


def as_plain_index(x: Any) -> Any:
    """Return a traced index or count as the plain numbers that it holds."""
    return np.asarray(x)[()] if isinstance(x, Traced) else x


@composite(np.split, cases=[case(A(6), 3), case(A(5, 2), [2, 3]), case(A(2, 4), 2, axis=1)])
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    axis = normalize_axis(axis, ary.ndim, "split")
    indices_or_sections = as_plain_index(indices_or_sections)
    if np.ndim(indices_or_sections) == 0 and ary.shape[axis] % indices_or_sections:
        what = f"axis {axis} of length {ary.shape[axis]} does not divide into {indices_or_sections} equal parts"
        raise ShapeMismatchError(message("split", what, fix="Use np.array_split"))
    return array_split(ary, indices_or_sections, axis)


@composite(np.array_split, cases=[case(A(5), 3)])
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    axis = normalize_axis(axis, ary.ndim, "split")
    indices_or_sections = as_plain_index(indices_or_sections)
    # NumPy's own splitting of the positions settles uneven parts and out-of-range cuts.
    parts = np.array_split(np.arange(ary.shape[axis]), indices_or_sections)
    starts = np.cumsum([0] + [len(part) for part in parts])
    before = (slice(None),) * (ary.ndim + axis)
    if np.ndim(indices_or_sections):
        cuts = [0, *indices_or_sections, ary.shape[axis]]
        return [ary[(*before, slice(a, b))] for a, b in pairwise(cuts)]
    return [ary[(*before, slice(int(s), int(s) + len(p)))] for s, p in zip(starts, parts, strict=False)]


def _at_least(ary: Any, ndim: int, name: str) -> None:
    if ary.ndim < ndim:
        raise ShapeMismatchError(message(name, f"an array of shape {ary.shape} has fewer than {ndim} axes"))


@composite(np.hsplit, cases=[case(A(2, 4), 2), case(A(4), 2)])
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    _at_least(ary, 1, "hsplit")
    return split(ary, indices_or_sections, axis=0 if ary.ndim == 1 else 1)


@composite(np.vsplit, cases=[case(A(4, 2), 2)])
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    _at_least(ary, 2, "vsplit")
    return split(ary, indices_or_sections, axis=0)


@composite(np.dsplit, cases=[case(A(2, 3, 4), 2)])
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    _at_least(ary, 3, "dsplit")
    return split(ary, indices_or_sections, axis=2)


@composite(np.copy, cases=[case(A(2, 3))])
def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return reshape_op(a, shape=(), ndim=0) if a.is_number else copied(a, order)


def copied(a: Any, order: str) -> Any:
    """Copy into a given order in memory: it decides what later is a view."""
    if order not in ("C", "F", "A", "K"):
        raise OptionError(message("copy", f"order is {order!r}", fix="Pass 'C', 'F', 'A' or 'K'"))
    if not a.ndim:
        return a.apart()
    same = +a if a.dtype.kind in "fc" else cast_op(a, dtype=a.dtype)
    if a.ndim < 2 or order == "K" or (order == "A" and a.lies_in("F")):
        return same
    return same.lying_in(tuple(reversed(range(a.ndim))) if order == "F" else tuple(range(a.ndim)))


@composite(np.full_like, cases=[case(A(2, 3), A(3)), case(A(2), A())])
def full_like(a: Any, fill_value: Any, dtype: Any = None, **keywords: Any) -> Any:
    blank = np.zeros_like(a, dtype=dtype, **keywords)
    filled = blank + fill_value
    if filled.shape != blank.shape:
        raise ShapeMismatchError(
            message("full_like", f"a value of shape {np.shape(fill_value)} for an array of shape {blank.shape}")
        )
    filled = filled if filled.dtype == blank.dtype else filled.astype(blank.dtype)
    return filled if filled.ndim else reshape_op(filled, shape=(), ndim=0)


@composite(np.real, cases=[case(A(3))], analytic=lambda z: z)
def real(val: Any) -> Any:
    return val.real
