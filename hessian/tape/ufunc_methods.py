"""The methods of ufuncs on traced values: reduce, accumulate, reduceat, outer and at."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.rules import indexing
from hessian.rules.broadcast import as_array, normalize_axes, normalize_axis, without_axes
from hessian.rules.dispatch import DISPATCH, refuse
from hessian.rules.smooth import smooth_op
from hessian.rules.spec import Traced, nondifferentiable
from hessian.rules.traced import entered
from hessian.tape.advice import leaves_tape
from hessian.tape.array_methods import concrete_index

_NAMED = {
    ("add", "reduce"): np.sum,
    ("multiply", "reduce"): np.prod,
    ("maximum", "reduce"): np.max,
    ("minimum", "reduce"): np.min,
    ("logical_and", "reduce"): np.all,
    ("logical_or", "reduce"): np.any,
    ("add", "accumulate"): np.cumsum,
    ("multiply", "accumulate"): np.cumprod,
}
"""Methods that are functions of their own."""
_ARGUMENTS = ("axis", "dtype", "out", "keepdims", "initial", "where")
_ASSOCIATIVE = ("maximum", "minimum", "fmax", "fmin", "logaddexp", "logaddexp2", "hypot")
"""What may be combined by halves: log n operations instead of n."""

reduced_op = nondifferentiable("ufunc_reduce", lambda x, *, ufunc, method, axis: getattr(ufunc, method)(x, axis=axis))


def has_method(ufunc: np.ufunc, method: str) -> bool:
    """Tell whether a method of a ufunc has derivatives."""
    named = (ufunc.__name__, method) in _NAMED
    return named or (ufunc.nin == 2 and ufunc in DISPATCH and method in ("reduce", "accumulate", "reduceat"))


def apply_method(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Apply ``reduce``, ``accumulate`` or ``reduceat`` of a ufunc."""
    named = _NAMED.get((ufunc.__name__, method))
    names = ("indices", "axis", "dtype", "out") if method == "reduceat" else _ARGUMENTS
    given = dict(zip(names, inputs[1:], strict=False)) | keywords
    given = {name: x for name, x in given.items() if x is not None or name == "axis"}
    # A ufunc's reductions run over axis 0 unless told otherwise; the functions of the same name over all.
    if named is not None:
        if named in (np.max, np.min) and "dtype" in given:
            return DISPATCH[named].call(inputs[0].astype(given.pop("dtype")), **{"axis": 0, **given})
        return DISPATCH[named].call(inputs[0], **{"axis": 0, **given})
    where, keepdims = f"{ufunc.__name__}.{method}", given.pop("keepdims", False)
    axis, indices = given.pop("axis", 0), given.pop("indices", None)
    x, initial = inputs[0], given.pop("initial", np._NoValue)
    if "dtype" in given:
        x = x.astype(given.pop("dtype"))
    refuse(where, **{name: value for name, value in given.items() if name != "where"})
    if given.get("where", True) is not True:
        fix = "Put the neutral element where nothing is to be seen, by np.where"
        raise OptionError(message(where, "where is given", fix=fix))
    if method == "reduce" and (axis is None or isinstance(axis, tuple) or initial is not np._NoValue):
        return _folded_axes(ufunc, x, axis, keepdims, initial)
    if not isinstance(axis, int | np.integer):
        raise OptionError(message(where, f"axis is {axis!r}", fix="Pass one axis"))
    axis = normalize_axis(axis, x.ndim, where)
    rows = np.moveaxis(x, axis, 0)
    if method == "reduceat":
        return np.moveaxis(_reduced_at(ufunc, rows, np.asarray(concrete_index(indices))), 0, axis)
    if method == "accumulate":
        return _valued(np.moveaxis(_scanned(ufunc, rows), 0, axis), x, ufunc, "accumulate", axis)
    y = _valued(_folded(ufunc, rows), x, ufunc, "reduce", axis)
    return np.expand_dims(y, axis) if keepdims else y


def _folded_axes(ufunc: np.ufunc, x: Any, axis: Any, keepdims: Any, initial: Any) -> Any:
    """Reduce several axes, one after the other, from the first; and from what it starts with."""
    axes = sorted(normalize_axes(axis, x.ndim, ufunc.__name__))
    if ufunc.__name__ not in _ASSOCIATIVE:
        raise OptionError(
            message(f"{ufunc.__name__}.reduce", "initial is given, or more axes than one", fix="Write the loop out")
        )
    for i in axes:
        x = np.expand_dims(ufunc.reduce(x, axis=i), i)
    x = x if initial is np._NoValue or initial is None else ufunc(x, np.asarray(initial, x.dtype))
    return x if keepdims else without_axes(x, tuple(axes))


def _valued(y: Any, x: Any, ufunc: np.ufunc, method: str, axis: int) -> Any:
    """Give a result the value that NumPy's order of operations has, to the last digit."""
    if ufunc.__name__ not in _ASSOCIATIVE:
        return y
    return smooth_op(y, reduced_op(x, ufunc=ufunc, method=method, axis=axis))


def _folded(ufunc: np.ufunc, rows: Any) -> Any:
    n = rows.shape[0]
    if not n and ufunc.identity is not None:
        return np.full(rows.shape[1:], ufunc.identity, rows.dtype)[()]
    if n == 1 and ufunc is np.hypot:
        return np.abs(rows[0])  # beside 0, which it starts from
    if not n:
        raise ValueError(f"zero-size array to reduction operation {ufunc.__name__} which has no identity")
    if ufunc.__name__ not in _ASSOCIATIVE:
        y = rows[0].apart()
        for i in range(1, n):
            y = ufunc(y, rows[i])
        return y
    while n > 1:
        half = n // 2
        paired = ufunc(rows[:half], rows[half : 2 * half])
        rows = np.concatenate([paired, rows[2 * half :]]) if n % 2 else paired
        n = rows.shape[0]
    return rows[0]


def _scanned(ufunc: np.ufunc, rows: Any) -> Any:
    n, shift = rows.shape[0], 1
    if ufunc.__name__ not in _ASSOCIATIVE:
        parts = [rows[0]] if n else []
        for i in range(1, n):
            parts.append(ufunc(parts[-1], rows[i]))
        return np.stack(parts) if n else rows
    while shift < n:
        rows = np.concatenate([rows[:shift], ufunc(rows[:-shift], rows[shift:])])
        shift *= 2
    return rows


def _reduced_at(ufunc: np.ufunc, rows: Any, indices: np.ndarray) -> Any:
    n = rows.shape[0]
    if np.any((indices < 0) | (indices >= n)):
        raise IndexError(f"an index is out-of-bounds in {ufunc.__name__}.reduceat [0, {n})")
    ends = [*indices[1:], n]
    parts = [
        ufunc.reduce(rows[i:j], axis=0) if i + 1 < j else rows[int(i)]
        for i, j in zip(indices.tolist(), map(int, ends), strict=True)
    ]
    return np.stack(parts) if parts else rows[:0]


def apply_at(ufunc: np.ufunc, target: Any, index: Any, *values: Any) -> None:
    """Apply ``ufunc.at``: operate in place at an index, as often as it names an element."""
    if not isinstance(target, Traced):
        leaves_tape(f"{ufunc.__name__}.at", "Make the target np.zeros_like(x) with x traced")
    whole: Any = target
    index, values = concrete_index(index), tuple(map(entered, values))
    if not indexing.names_twice(whole, index):
        whole[index] = ufunc(whole[index], *values)
    elif ufunc in (np.add, np.subtract):
        # As they are, masks would be joined, and small integers and float32 added up in their own precision.
        value = as_array(values[0])
        value = value.astype(np.result_type(value.dtype, whole.dtype))
        whole._in_place(indexing.added_at(whole, index, value if ufunc is np.add else -value))
    else:
        places = np.arange(whole.size).reshape(whole.shape)[index]
        operands = tuple(np.ravel(np.broadcast_to(value, places.shape)) for value in values)
        flat = np.ravel(places)
        for chosen in _rounds(flat):
            at = np.unravel_index(flat[chosen], whole.shape)
            whole[at] = ufunc(whole[at], *[v[chosen] for v in operands])


def _rounds(flat: np.ndarray) -> list[np.ndarray]:
    """Return groups of entries, in order, of which each names an element once."""
    order = np.argsort(flat, kind="stable")
    inline = flat[order]
    starts = np.concatenate([[True], inline[1:] != inline[:-1]])[: flat.size]
    first = np.maximum.accumulate(np.where(starts, np.arange(flat.size), 0)) if flat.size else np.zeros(0, int)
    rank = np.zeros(flat.size, int)
    rank[order] = np.arange(flat.size) - first
    return [np.flatnonzero(rank == k) for k in range(int(rank.max(initial=-1)) + 1)]
