"""NumPy functions that write into an array: what they write into a traced one stays traced."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import DtypeError, message
from hessian.rules.broadcast import as_array
from hessian.rules.dispatch import composite
from hessian.rules.spec import Traced
from hessian.tape.advice import leaves_tape
from hessian.tape.array_methods import concrete_index

_WHY = "it writes into its first argument"


def _target(name: str, x: Any) -> Any:
    """Return an array to be written to; a plain one cannot hold traced values."""
    if not isinstance(x, Traced):
        leaves_tape(f"{name} into a plain array", "Make the target np.zeros_like(x) with x traced, or use np.where")
    return x


def _write_flat(target: Any, places: np.ndarray, values: Any) -> None:
    """Write to flat places; where one is named twice, what comes last stays."""
    if not places.size:
        return
    values = np.ravel(values)
    if not np.can_cast(values.dtype, target.dtype, "same_kind"):
        what = f"values of dtype {values.dtype} into an array of dtype {target.dtype}"
        raise DtypeError(message("assignment", what, fix="Make the target one of floats"))
    _, last = np.unique(places[::-1], return_index=True)
    last = np.sort(places.size - 1 - last)
    index = np.unravel_index(places[last], target.shape)
    target[index if target.ndim else ()] = values[last % values.size]


@composite(np.copyto, untested=_WHY)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    dst, src = _target("copyto", dst), as_array(src)
    if not np.can_cast(src.dtype, dst.dtype, casting):  # type: ignore[arg-type]
        raise TypeError(f"Cannot cast array data from {src.dtype!r} to {dst.dtype!r} according to the rule '{casting}'")
    source = np.broadcast_to(src, dst.shape)
    dst[...] = source if where is True else np.where(where, source, dst)


@composite(np.fill_diagonal, untested=_WHY)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    a, val = _target("fill_diagonal", a), as_array(val)
    if a.ndim < 2:
        raise ValueError("array must be at least 2-d")
    marked = np.zeros(a.shape, bool)
    np.fill_diagonal(marked, True, wrap)
    _write_flat(a, np.flatnonzero(marked), val)


@composite(np.put, untested=_WHY)
def put(a: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
    a, v = _target("put", a), as_array(v)
    if not v.size:
        return
    # Where NumPy writes to it says itself.
    _write_flat(a, np.ravel(np.take(np.arange(a.size), np.asarray(concrete_index(ind)), mode=mode)), v)


def _marked(a: Any, mask: Any) -> np.ndarray:
    """Return the places that a mask marks, which must have as many elements as the array."""
    mask = np.asarray(concrete_index(mask))
    if mask.size != a.size:
        raise ValueError("mask and data must be the same size")
    return np.flatnonzero(mask)


@composite(np.place, untested=_WHY)
def place(arr: Any, mask: Any, vals: Any) -> None:
    arr = _target("place", arr)
    places = _marked(arr, mask)
    if places.size and not np.size(vals):
        raise ValueError("Cannot insert from an empty array!")
    _write_flat(arr, places, as_array(vals))


@composite(np.putmask, untested=_WHY)
def putmask(a: Any, mask: Any, values: Any) -> None:
    a, values = _target("putmask", a), np.ravel(as_array(values))
    places = _marked(a, mask)
    if values.size and places.size:
        _write_flat(a, places, values[places % values.size])


@composite(np.put_along_axis, untested=_WHY)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None = -1) -> None:
    arr, indices = _target("put_along_axis", arr), np.asarray(concrete_index(indices))
    numbers = np.arange(arr.size).reshape(arr.shape)
    places = np.take_along_axis(numbers, indices, axis)
    _write_flat(arr, np.ravel(places), np.broadcast_to(values, places.shape))
