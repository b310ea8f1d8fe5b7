"""Writes to single rows or elements of a traced array, which wait until the array is read as a whole.

On a tape nothing shares memory, so that every assignment makes a new array: a loop that fills an array of n elements one by one
would take time and memory in proportion to n squared. Here the values written are kept by their place, a read of such a place
gives what was written there, and any other use of the array puts all of them in place by one operation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessian.rules import indexing, shaping
from hessian.rules.pieces import assemble_op
from hessian.rules.spec import Traced
from hessian.tape.views import View

FEW = 4
"""Writes up to which assigning one by one costs less than putting together."""
WINDOW = 64
"""Longest slice across places written that is stacked from them instead of putting everything in place."""
_ALL = slice(None)


class Writes:
    """Values written to an array, by the indices along some axes of it.

    Parameters
    ----------
    axes : tuple of int
        Either one axis, or the first few.
    """

    __slots__ = ("axes", "pieces")

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes
        self.pieces: dict[tuple[int, ...], Any] = {}

    def settled(self, array: Any) -> Any:
        """Return the array with everything in its place."""
        if len(self.pieces) <= FEW:
            for key, value in self.pieces.items():
                index = self._index(key, array.ndim)
                array = indexing.assign_op(array, value, index=index, shape=array.shape, target=np.shape(value))
            return array
        count, shape = len(self.axes), array.shape
        if count == 1:
            return _assembled(array, self.axes[0], {key[0]: value for key, value in self.pieces.items()})
        leading = shape[:count]
        flat = shaping.reshape_op(array, shape=(math.prod(leading), *shape[count:]), ndim=array.ndim)
        pieces = {int(np.ravel_multi_index(key, leading)): value for key, value in self.pieces.items()}
        return shaping.reshape_op(_assembled(flat, 0, pieces), shape=shape, ndim=flat.ndim)

    def _index(self, key: tuple[int, ...], ndim: int) -> tuple[Any, ...]:
        """Return the basic index of a place."""
        parts: list[Any] = [_ALL] * ndim
        for axis, i in zip(self.axes, key, strict=True):
            parts[axis] = i
        return tuple(parts)

    def read(self, array: Any, parts: tuple[Any, ...]) -> Any:
        """Return what an index of the array gives, or ``None`` where everything has to be in its place first."""
        key = []
        for axis in self.axes:
            part, n = parts[axis], array.shape[axis]
            if isinstance(part, slice):
                return self._window(array, parts) if len(self.axes) == 1 else None
            if part is None or not -n <= part < n:
                return None
            key.append(int(part) % n)
        rest = tuple([part for axis, part in enumerate(parts) if axis not in self.axes])
        piece = self.pieces.get(tuple(key), self)
        if piece is self:
            return _viewed(indexing.getitem(_bare(array), parts), array, parts)
        if not rest:
            return piece
        if not isinstance(piece, Traced):
            return None
        whole = all(part == _ALL for part in rest)
        return _viewed(_bare(piece) if whole else indexing.getitem(_bare(piece), rest), array, parts)

    def _window(self, array: Any, parts: tuple[Any, ...]) -> Any:
        """Return a slice along the axis of the writes, if it is short or meets none of them."""
        (axis,) = self.axes
        start, stop, step = parts[axis].indices(array.shape[axis])
        places = range(start, stop, step)
        if not any((i,) in self.pieces for i in places):
            return _viewed(indexing.getitem(_bare(array), parts), array, parts)
        if len(places) > min(WINDOW, len(self.pieces)):
            return None
        items = [self.read(array, (*parts[:axis], i, *parts[axis + 1 :])) for i in places]
        if any(item is None for item in items):
            return None
        before = sum(1 for part in parts[:axis] if isinstance(part, slice))
        return _viewed(np.stack(items, axis=before), array, parts)


def placed(index: Any, array: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the axes and indices of a whole row or element, ``None`` for any other index."""
    parts = indexing.expand_index(index, array.ndim)
    if parts is None or len(parts) != array.ndim:
        return None
    axes, key = [], []
    for axis, (part, n) in enumerate(zip(parts, array.shape, strict=True)):
        if isinstance(part, slice):
            if part != _ALL:
                return None
        elif part is None or not -n <= part < n:
            return None
        else:
            axes.append(axis)
            key.append(int(part) % n)
    if not axes or (len(axes) > 1 and axes != list(range(len(axes)))):
        return None
    return tuple(axes), tuple(key)


def _bare(array: Any) -> Any:
    """Return a value under a handle that knows nothing of writes and views."""
    return type(array)(array._tape, array._slot, array._value)


def _viewed(value: Any, array: Any, parts: tuple[Any, ...]) -> Any:
    """Make a value a view of the array: later writes reach it, and through it the array."""
    if isinstance(value, Traced) and value.ndim:
        item: Any = value
        item._view = View(array, indexing.slice_op, {"index": parts, "ndim": array.ndim}, array._version)
    return value


def _assembled(array: Any, axis: int, pieces: dict[int, Any]) -> Any:
    """Return an array with pieces in place of what was at their positions along an axis."""
    before, after = (_ALL,) * axis, (_ALL,) * (array.ndim - axis - 1)
    values, indices, start = [], [], 0
    for i in (*sorted(pieces), array.shape[axis]):
        if start < i:
            index = (*before, slice(start, i), *after)
            values.append(indexing.slice_op(array, index=index, ndim=array.ndim))
            indices.append(index)
        if i < array.shape[axis]:
            values.append(pieces[i])
            indices.append((*before, i, *after))
        start = i + 1
    return assemble_op(*values, indices=tuple(indices), shape=array.shape)
