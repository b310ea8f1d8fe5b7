"""Shapes: axes counted from the end, gaps before core axes, and sums that undo broadcasting."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from hessian.errors import DtypeError, OptionError, ShapeMismatchError, message
from hessian.rules.traced import Traced


def as_array(x: Any) -> Any:
    """Return numbers and lists as arrays, arrays and traced values as they are."""
    return x if isinstance(x, Traced | np.ndarray) else np.asarray(x)


def as_floats(x: Any) -> Any:
    """Return numbers as an array in double precision, traced values as they are; complex numbers keep their imaginary part."""
    if isinstance(x, Traced):
        return x
    x = np.asarray(x)
    return x.astype(complex if x.dtype.kind == "c" else float, copy=False)


def leading(x: Any, ndim: int) -> tuple[int, ...]:
    """Return the lengths of the axes before the last ``ndim``."""
    return x.shape[: x.ndim - ndim]


def transposed(x: Any) -> Any:
    """Swap the last two axes."""
    return x.swapaxes(-1, -2)


def conjugate_transposed(x: Any) -> Any:
    """Swap the last two axes and conjugate."""
    turned = transposed(x)
    return np.conjugate(turned) if x.dtype.kind == "c" else turned


def symmetric(m: Any) -> Any:
    """Return the symmetric part of matrices."""
    return 0.5 * (m + transposed(m))


def normalize_axis(axis: Any, ndim: int, where: str) -> int:
    """Return ``axis`` counted from the end, so that leading batch axes do not disturb it."""
    if isinstance(axis, bool | np.bool_):
        raise DtypeError(message(where, f"axis is {axis}", fix="Pass an integer"))
    index = operator.index(axis)
    if not -ndim <= index < ndim:
        raise np.exceptions.AxisError(f"{where}: axis {index} is out of bounds for an array of dimension {ndim}")
    return index - ndim if index >= 0 else index


def whole(x: Any) -> int:
    """Read a count as NumPy does: truth values are none."""
    if isinstance(x, bool | np.bool_):
        raise TypeError("an integer is required")
    return operator.index(x)


def normalize_axes(axis: Any, ndim: int, where: str) -> tuple[int, ...]:
    """Return the axes of a reduction counted from the end; ``None`` means all of them."""
    if axis is None:
        return tuple(range(-ndim, 0))
    axes = tuple(normalize_axis(a, ndim, where) for a in (axis if isinstance(axis, tuple | list | range) else (axis,)))
    if len(set(axes)) != len(axes):
        raise OptionError(message(where, f"axis {axis!r} names an axis twice"))
    return axes


def reduced_axes(axis: Any, ndim: int, where: str) -> tuple[int, ...]:
    """Return the axes of a reduction, where a number may be reduced along an axis that it does not have."""
    if axis is None or isinstance(axis, tuple):
        return normalize_axes(axis, ndim, where)
    if not ndim and operator.index(axis) in (0, -1):
        return ()
    return (normalize_axis(axis, ndim, where),)


def averaged_axes(axis: Any, ndim: int, where: str) -> tuple[int, ...]:
    """Return the axes of a mean; unlike a sum, a number has no mean along an axis."""
    return normalize_axes(axis if axis is None or isinstance(axis, tuple) else (axis,), ndim, where)


def keeps(keepdims: Any) -> bool:
    """Read a ``keepdims`` argument as NumPy does: a truth value or an integer, and its sentinel for "not given"."""
    if keepdims is True or keepdims is False:
        return keepdims
    if keepdims is np._NoValue:
        return False
    return bool(keepdims) if isinstance(keepdims, np.bool_) else bool(operator.index(keepdims))


def mask_given(where: Any, a: Any, name: str) -> bool:
    """Tell whether the ``where`` of a reduction leaves something of ``a`` out; it must be a mask that fits."""
    if where is True or where is np._NoValue:
        return False
    dtype = where.dtype if isinstance(where, Traced) else np.asarray(where).dtype
    if dtype.kind != "b":
        raise DtypeError(message(name, f"where has dtype {dtype}", fix="Pass a boolean array"))
    if np.broadcast_shapes(np.shape(where), a.shape) != a.shape:
        what = f"where has shape {np.shape(where)}, the array {a.shape}"
        raise ShapeMismatchError(message(name, what, fix="Pass a mask of the array's elements"))
    return True


def without_axes(y: Any, axes: tuple[int, ...]) -> Any:
    """Drop reduced axes of length one; where none is left the result is a number, not an array of no axes."""
    if not axes:
        return y[()]
    if len(axes) == y.ndim:
        return y[(0,) * y.ndim]
    return np.squeeze(y, axis=axes)


def open_gap(t: Any, x_ndim: int, gap: int) -> Any:
    """Insert ``gap`` axes of length one between the batch axes of ``t`` and its own ``x_ndim`` axes."""
    batch = t.ndim - x_ndim
    return t.reshape(t.shape[:batch] + (1,) * gap + t.shape[batch:])


def sum_to(g: Any, shape: tuple[int, ...], ndim: int) -> Any:
    """Sum ``g``, whose trailing ``ndim`` axes a broadcast has produced from ``shape``, back to ``shape``.

    Leading batch axes are kept. Written in NumPy calls that dispatch, so it works on traced values.
    """
    batch = g.ndim - ndim
    if g.shape[batch:] == shape:
        return g
    # On plain arrays the ufunc itself, without NumPy's Python layer around it.
    total: Any = np.add.reduce if type(g) is np.ndarray else np.sum
    lead = ndim - len(shape)
    stretched = tuple(i - len(shape) for i, n in enumerate(shape) if n == 1 and g.shape[batch + lead + i] != 1)
    if stretched:
        g = total(g, axis=stretched, keepdims=True)
    if lead:
        g = total(g, axis=tuple(range(-ndim, -len(shape)) if shape else range(-ndim, 0)))
    return g
