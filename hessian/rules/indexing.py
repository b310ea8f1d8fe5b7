"""Rows that pick and place elements: slices, gathers and their transposes, and assignment.

Two pairs of adjoint primitives carry the reading: ``slice`` / ``embed`` for basic indices (views, no copies) and ``gather`` /
``scatter_add`` for everything else, driven by an array of positions; ``assign`` carries the writing. A NumPy function that only
moves elements needs one line: it is run once on the array of positions (:func:`moves_elements`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import leading, normalize_axis, sum_to
from hessian.rules.dispatch import composite, expose, refuse
from hessian.rules.memory import lying_like, numbered
from hessian.rules.patterns import moved, moved_back
from hessian.rules.scatter import add_in_rows
from hessian.rules.spec import NONDIFF, A, General, Linear, Traced, case, general, linear, nondifferentiable

_HOLE = -1
_BASIC = (slice, int, np.integer)


class Positions:
    """Where each output element of a gather comes from: flat positions in the input, or a hole that stays zero."""

    def __init__(self, flat: np.ndarray, shape: tuple[int, ...], read_only: bool = False) -> None:
        self.flat = np.asarray(flat, dtype=np.intp)
        self.shape = shape
        self.read_only = read_only
        self.size = math.prod(shape)

    def __repr__(self) -> str:
        return f"<Positions {self.flat.tolist()} of {self.shape}>"

    @cached_property
    def holes(self) -> np.ndarray | None:
        """Mask of outputs that come from nowhere, or ``None`` if there is none."""
        mask = self.flat == _HOLE
        return mask if mask.any() else None

    @cached_property
    def distinct(self) -> bool:
        """Whether no input element is picked twice."""
        return self.size > 0 and int(np.bincount(self.flat.ravel() + 1, minlength=2)[1:].max(initial=0)) <= 1


def _slice(x: Any, *, index: tuple[Any, ...], ndim: int) -> Any:
    return x[(slice(None),) * (x.ndim - ndim) + index]


def _embed(g: Any, *, index: tuple[Any, ...], shape: tuple[int, ...]) -> np.ndarray:
    batch = g.shape[: g.ndim - indexed_ndim(index)]
    out = np.zeros(batch + shape, g.dtype)
    out[(slice(None),) * len(batch) + index] = g
    return out


def indexed_ndim(index: tuple[Any, ...]) -> int:
    """Return the number of axes that a full basic index leaves."""
    return sum(1 for part in index if part is None or isinstance(part, slice))


def _add_at_slice(into: np.ndarray, g: np.ndarray, *, index: tuple[Any, ...], ndim: int) -> None:
    into[(slice(None),) * (into.ndim - ndim) + index] += g


slice_op: Linear = linear(
    "slice",
    _slice,
    transpose=lambda g, x_shape, *, index, ndim: embed_op(g, index=index, shape=x_shape[len(x_shape) - ndim :]),
    add_transpose=_add_at_slice,
    view=True,
    moves=True,
)
embed_op: Linear = linear(
    "embed", _embed, transpose=lambda g, x_shape, *, index, shape: slice_op(g, index=index, ndim=len(shape)), moves=True
)


def _gather(x: Any, *, positions: Positions) -> np.ndarray:
    flat = x.reshape((*leading(x, len(positions.shape)), positions.size))
    if positions.holes is None:
        return np.take(flat, positions.flat, axis=-1)
    if positions.size == 0:
        return np.zeros(flat.shape[:-1] + positions.flat.shape, x.dtype)
    return np.where(positions.holes, np.zeros((), x.dtype), np.take(flat, np.maximum(positions.flat, 0), axis=-1))


def _scatter_add(g: Any, *, positions: Positions) -> np.ndarray:
    batch = leading(g, positions.flat.ndim)
    # One spare element at the end collects the holes: position -1.
    out = np.zeros((*batch, positions.size + 1), g.dtype)
    if positions.distinct:
        out[..., positions.flat] = g
    else:
        add_in_rows(out, positions.flat, g)
    return out[..., : positions.size].reshape(batch + positions.shape)


gather_op: Linear = linear(
    "gather", _gather, transpose=lambda g, x_shape, *, positions: scatter_add_op(g, positions=positions), moves=True
)
scatter_add_op: Linear = linear(
    "scatter_add",
    _scatter_add,
    pattern="transpose",
    transpose=lambda g, x_shape, *, positions: gather_op(g, positions=positions),
    moves=True,
)


# The same map where NumPy's result shares memory with its operand (flip, diagonal).
gather_view_op = linear("gather_view", _gather, transpose=gather_op.transpose, moves=True, view=True)


def moves_elements(function: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply a function that only moves elements of ``x`` (new elements are zeros) by running it on positions."""
    # One-based, so that a zero that the function brings in reads as a hole.
    numbers = numbered(x, 1)
    args = tuple(np.asarray(a) if isinstance(a, Traced) else a for a in args)
    kwargs = {name: np.asarray(a) if isinstance(a, Traced) else a for name, a in kwargs.items()}
    moved = function(numbers, *args, **kwargs)
    if np.may_share_memory(moved, numbers):
        return gather_view_op(x, positions=Positions(moved - 1, x.shape, read_only=not moved.flags.writeable))
    picked = gather_op(x, positions=Positions(moved - 1, x.shape))
    if not moved.ndim:
        return np.reshape(picked, ()) if isinstance(moved, np.ndarray) else picked[()]
    return lying_like(picked, moved)


# Positions that are computed: an index that is an argument of a recorded function changes from call to call.


def _positions(*indices: Any, pattern: tuple[Any, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Return the flat positions that an index picks; ``pattern`` has a mark where an array goes."""
    supply = iter(indices)
    index = tuple([next(supply) if part is _ARRAY else part for part in pattern])
    return np.arange(math.prod(shape)).reshape(shape)[index]


class _Array:
    """Where an index array goes."""

    def __reduce__(self) -> str:
        return "_ARRAY"


_ARRAY = _Array()
positions_op = nondifferentiable("positions", _positions)


def _gather_at(x: Any, positions: Any, *, shape: tuple[int, ...]) -> np.ndarray:
    return np.take(x.reshape((*leading(x, len(shape)), math.prod(shape))), positions, axis=-1)


def _scatter_at(g: Any, positions: Any, *, shape: tuple[int, ...]) -> np.ndarray:
    batch, size = leading(g, positions.ndim), math.prod(shape)
    if not batch:
        total = np.bincount(positions.ravel(), g.ravel(), size)
        return total.astype(g.dtype, copy=False).reshape(shape)
    out = np.zeros((*batch, size), g.dtype)
    add_in_rows(out, positions, g)
    return out.reshape(batch + shape)


gather_at_op: General = general(
    "gather_at",
    _gather_at,
    pushforward=lambda y, xs, dots, *, shape: gather_at_op(dots[0], xs[1], shape=shape),
    pullback=lambda y, xs, g, wanted, *, shape: [scatter_at_op(g, xs[1], shape=shape), None],
    states=(None, NONDIFF),
    curved=False,
    pattern=lambda y, xs, *, shape: [*moved(lambda x: _gather_at(x, xs[1], shape=shape), xs[:1]), None],
    cases=[case(A(2, 3), np.array([[5, 0], [0, 1]]), shape=(2, 3))],
)
scatter_at_op: General = general(
    "scatter_at",
    _scatter_at,
    pushforward=lambda y, xs, dots, *, shape: scatter_at_op(dots[0], xs[1], shape=shape),
    pullback=lambda y, xs, g, wanted, *, shape: [gather_at_op(g, xs[1], shape=shape), None],
    states=(None, NONDIFF),
    curved=False,
    pattern=lambda y, xs, *, shape: [*moved_back(lambda g: [_gather_at(g, xs[1], shape=shape)], y, xs[:1]), None],
    cases=[case(A(2, 2), np.array([[5, 0], [0, 1]]), shape=(2, 3))],
    real_only=True,
)


def _is_computed(part: Any) -> bool:
    """Tell whether an index is an integer array that a replay may find changed."""
    return isinstance(part, Traced) and part.dtype.kind in "iu" and part.ndim > 0 and part.will_change


def has_computed(index: Any) -> bool:
    """Tell whether a part of an index is computed."""
    if type(index) in (slice, int):  # by far the most frequent
        return False
    return any(_is_computed(part) for part in (index if isinstance(index, tuple) else (index,)))


def getitem_computed(x: Any, index: Any) -> Any:
    """Index ``x`` with arrays that are recorded themselves."""
    parts = index if isinstance(index, tuple) else (index,)
    pattern = tuple(_ARRAY if _is_computed(part) else part for part in parts)
    positions = positions_op(*(part for part in parts if _is_computed(part)), pattern=pattern, shape=x.shape)
    return gather_at_op(x, positions, shape=x.shape)


def _is_basic(part: Any) -> bool:
    return part is None or part is Ellipsis or isinstance(part, _BASIC)


def expand_index(index: Any, ndim: int) -> tuple[Any, ...] | None:
    """Return a basic index with one entry per axis (Ellipsis filled in), or ``None`` if it is a fancy one."""
    if ndim and type(index) in (slice, int):  # by far the most frequent, and the rest is not cheap
        return (index, *(slice(None),) * (ndim - 1))
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, bool | np.bool_) or not _is_basic(part) for part in parts):
        return None
    used = sum(1 for part in parts if part is not None and part is not Ellipsis)
    if used > ndim or sum(1 for part in parts if part is Ellipsis) > 1:
        raise IndexError(message("indexing", f"index {index!r} has too many parts for an array with {ndim} axes"))
    fill = (slice(None),) * (ndim - used)
    if not any(part is Ellipsis for part in parts):
        return (*parts, *fill)
    at = next(i for i, part in enumerate(parts) if part is Ellipsis)
    return parts[:at] + fill + parts[at + 1 :]


def has_ellipsis(index: Any) -> bool:
    """Tell whether an index has an Ellipsis."""
    return any(part is Ellipsis for part in (index if isinstance(index, tuple) else (index,)))


def _unit_slice(i: int) -> slice:
    return slice(i, i + 1 or None)


def getitem(x: Any, index: Any) -> Any:
    """Index ``x`` as NumPy does: a slice for a basic index, a gather for any other."""
    basic = expand_index(index, x.ndim)
    if basic is not None:
        if indexed_ndim(basic) or not has_ellipsis(index):
            return slice_op(x, index=basic, ndim=x.ndim)
        # With an Ellipsis NumPy gives a 0-d array, a view, where integers alone give a number.
        if x.ndim:
            x = slice_op(x, index=(*basic[:-1], _unit_slice(basic[-1])), ndim=x.ndim)
        return np.reshape(x, ())
    positions = numbered(x)[index]
    return lying_like(gather_op(x, positions=Positions(positions, x.shape)), positions)


def _assign(base: Any, value: Any, *, index: Any, shape: tuple[int, ...], target: tuple[int, ...]) -> np.ndarray:
    batch = base.shape[: base.ndim - len(shape)]
    # Memory stays in the order it has, because that decides what is a view of it later.
    out = np.array(base, order="K") if base.shape == batch + shape else np.array(np.broadcast_to(base, batch + shape))
    if batch and np.ndim(value):
        # A zero that stands for a number without derivative has no more batch axes than the sweep that made it.
        lead, rest = value.shape[: len(batch)], value.shape[len(batch) :]
        lead += (1,) * (len(batch) - len(lead))
        value = np.reshape(value, lead + (1,) * (len(target) - len(rest)) + rest)
    if isinstance(index, Positions):
        if out.flags.c_contiguous:
            out.reshape((*batch, index.size))[..., index.flat] = value
        else:
            place: Any = (..., *np.unravel_index(index.flat, shape))
            out[place] = value
    else:
        out[(slice(None),) * len(batch) + index] = value
    return out


def _assign_transpose(
    g: Any, positions: Any, shapes: Any, *, index: Any, shape: tuple[int, ...], target: tuple[int, ...]
) -> list[Any]:
    pieces = []
    for position in positions:
        if position == 0:
            pieces.append(assign_op(g, 0.0, index=index, shape=shape, target=target))
        elif isinstance(index, Positions):
            pieces.append(sum_to(gather_op(g, positions=index), shapes[1], len(target)))
        else:
            pieces.append(sum_to(slice_op(g, index=index, ndim=len(shape)), shapes[1], len(target)))
    return pieces


assign_op = linear(
    "assign",
    _assign,
    transpose=_assign_transpose,
    variadic=True,
    moves=True,
    cases=[
        case(A(2, 3), A(2), index=(slice(None), 1), shape=(2, 3), target=(2,)),
        case(A(3), A(), index=(slice(0, 2),), shape=(3,), target=(2,)),
        case(A(2, 2), A(2), index=Positions(np.array([3, 0]), (2, 2)), shape=(2, 2), target=(2,)),
    ],
)


def setitem(base: Any, index: Any, value: Any) -> Any:
    """Return ``base`` with ``value`` assigned at ``index``, which must name no element twice."""
    place: Any = expand_index(index, base.ndim)
    if place is not None:
        target = np.broadcast_to(0.0, base.shape)[place].shape
    else:
        place = Positions(np.arange(base.size).reshape(base.shape)[index], base.shape)
        target = place.flat.shape
        if not place.distinct and place.flat.size:
            raise OptionError(
                message(
                    "assignment",
                    "the index names an element twice, so which value stays depends on their order",
                    "its derivative would be ambiguous",
                    "Assign each element once, or add with a loop",
                )
            )
    if np.ndim(value) > len(target):
        value = np.reshape(value, np.shape(value)[np.ndim(value) - len(target) :])
    return assign_op(base, value, index=place, shape=base.shape, target=target)


def names_twice(base: Any, index: Any) -> bool:
    """Tell whether an index names an element of ``base`` twice."""
    if expand_index(index, base.ndim) is not None:
        return False
    picked = np.arange(base.size).reshape(base.shape)[index]
    return picked.size > 0 and not Positions(picked, base.shape).distinct


def added_at(base: Any, index: Any, value: Any) -> Any:
    """Return ``base`` with ``value`` added at an index, as often as it names an element."""
    positions = Positions(np.arange(base.size).reshape(base.shape)[index], base.shape)
    return base + scatter_add_op(np.broadcast_to(value, positions.flat.shape), positions=positions)


def _moving(function: Any, *cases: Any) -> None:
    """Declare a NumPy function that only moves the elements of its first argument."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        return moves_elements(function, x, *args, **kwargs)

    expose(function, call, cases=cases)


_moving(np.roll, case(A(2, 3), 1), case(A(2, 3), (1, 2), axis=(0, 1)))
_moving(np.fft.fftshift, case(A(5)), case(A(2, 3), axes=1))
_moving(np.fft.ifftshift, case(A(5)), case(A(2, 3), axes=(0,)))
_moving(np.tile, case(A(2, 3), (2, 1, 2)), case(A(), 3))
_moving(np.repeat, case(A(2, 3), 2, axis=0), case(A(3), [1, 0, 2]))
_moving(np.resize, case(A(3), (2, 4)))
_moving(np.delete, case(A(4), 1), case(A(2, 3), [0, 2], axis=1))
_moving(np.diag, case(A(3)), case(A(2, 3)), case(A(3), k=1))
_moving(np.diagflat, case(A(2, 2)))
_moving(np.diagonal, case(A(3, 4)), case(A(2, 3, 4), 1, 1, 2))
_moving(np.linalg.diagonal, case(A(2, 3, 3), offset=1))
_moving(np.tril, case(A(3, 4)), case(A(2, 3, 3), -1))
_moving(np.triu, case(A(3, 4)), case(A(3, 3), 1))


@composite(np.take, cases=[case(A(5), [0, 3, 3]), case(A(3, 4), [[1, 0]], axis=1), case(A(4), -1, mode="wrap")])
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    refuse("take", out=out)
    if _is_computed(indices) and mode == "raise":
        return np.ravel(a)[indices] if axis is None else a[(slice(None),) * (axis % a.ndim) + (indices,)]
    return moves_elements(np.take, a, indices, axis=axis, mode=mode)


@composite(
    np.take_along_axis, cases=[case(A(2, 3), np.array([[2], [0]]), axis=1), case(A(3), np.array([0, 0]), axis=0)]
)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    if axis is not None and _is_computed(indices):
        x_shape = [np.arange(n).reshape((-1,) + (1,) * (arr.ndim - 1 - i)) for i, n in enumerate(arr.shape)]
        return arr[tuple(indices if i == axis % arr.ndim else x_shape[i] for i in range(arr.ndim))]
    return moves_elements(np.take_along_axis, arr, indices, axis)


@composite(
    np.pad,
    cases=[
        case(A(3), 2),
        case(A(2, 3), ((1, 0), (0, 2)), constant_values=1.5),
        case(A(4), 2, mode="reflect"),
        case(A(2, 2), 1, mode="edge"),
        case(A(3), (1, 2), mode="wrap"),
        case(A(3), 1, mode="symmetric"),
    ],
)
def pad(array: Any, pad_width: Any, mode: str = "constant", **keywords: Any) -> Any:
    if (
        mode not in ("constant", "edge", "reflect", "symmetric", "wrap")
        or keywords.get("reflect_type", "even") != "even"
    ):
        raise OptionError(
            message("pad", f"mode={mode!r} has no derivative rule", fix="Use constant, edge, reflect, symmetric, wrap")
        )
    moving: Any = np.pad
    if mode != "constant":
        return moves_elements(moving, array, pad_width, mode=mode, **keywords)
    positions = moving(numbered(array, 1), pad_width, mode=mode)
    # Zeros around a block: its transpose is a view, where that of a gather adds element by element.
    corner = np.unravel_index(int(np.argmax(positions == 1)), positions.shape) if positions.size else (0,) * array.ndim
    index = tuple(slice(int(start), int(start) + n) for start, n in zip(corner, array.shape, strict=True))
    padded = lying_like(embed_op(array, index=index, shape=positions.shape), positions)
    if keywords:
        blank = np.zeros_like(numbered(array), dtype=array.dtype)
        padded = padded + moving(blank, pad_width, mode=mode, **keywords)
    return padded


@composite(np.sort, cases=[case(A(5)), case(A(2, 3), axis=0), case(A(2, 3), axis=None)], real_only=True)
def sort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    refuse("sort", order=order)
    if axis is None:
        a, axis = np.ravel(a), -1
    axis = normalize_axis(axis, a.ndim, "sort")
    return lying_like(take_along_axis(a, np.asarray(np.argsort(a, axis=axis, kind="stable")), axis), numbered(a))


@composite(np.compress, cases=[case([True, False, True], A(3))])
def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    refuse("compress", out=out)
    if np.ndim(condition) != 1:
        raise ShapeMismatchError(message("compress", f"the condition has shape {np.shape(condition)}, not one axis"))
    if isinstance(condition, Traced):
        condition = np.asarray(condition)
    return take(a, np.flatnonzero(np.asarray(condition)), axis)


@composite(np.extract, cases=[case(np.array([True, False, True]), A(3))])
def extract(condition: Any, arr: Any) -> Any:
    return compress(np.ravel(condition), np.ravel(arr))
