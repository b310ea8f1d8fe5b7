"""Evaluate what JAX derived with NumPy: compiling every program anew would take seconds each.

The derivative is JAX's: its rules, its transposition, its batching. Only the arithmetic of the finished list of operations is
NumPy's; an operation that is not in the table is JAX's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc


def _broadcast(x: Any, *, shape: Any, broadcast_dimensions: Any, **_: Any) -> np.ndarray:
    lifted = [1] * len(shape)
    for n, d in zip(np.shape(x), broadcast_dimensions, strict=True):
        lifted[d] = n
    return np.broadcast_to(np.reshape(x, lifted), shape)


def _pad(x: Any, filling: Any, *, padding_config: Any) -> np.ndarray:
    for axis, (low, high, interior) in enumerate(padding_config):
        n = x.shape[axis]
        inner = max(0, n + (n - 1) * interior) if n else 0
        shape = list(x.shape)
        shape[axis] = inner + max(low, 0) + max(high, 0)
        out = np.full(shape, filling, x.dtype)
        at = [slice(None)] * x.ndim
        at[axis] = slice(max(low, 0), max(low, 0) + inner, interior + 1)
        out[tuple(at)] = x
        cut = [slice(None)] * x.ndim
        cut[axis] = slice(max(-low, 0), shape[axis] - max(-high, 0))
        x = out[tuple(cut)]
    return x


def _dot(a: Any, b: Any, *, dimension_numbers: Any, **_: Any) -> np.ndarray:
    (ca, cb), (ba, bb) = dimension_numbers
    names_a, names_b = list(range(a.ndim)), [a.ndim + i for i in range(b.ndim)]
    for i, j in (*zip(ca, cb, strict=True), *zip(ba, bb, strict=True)):
        names_b[j] = names_a[i]
    free = [names_a[i] for i in range(a.ndim) if i not in (*ca, *ba)]
    free += [names_b[i] for i in range(b.ndim) if i not in (*cb, *bb)]
    return np.einsum(a, names_a, b, names_b, [names_a[i] for i in ba] + free)


def _places(
    indices: Any, ndim: int, windows: Any, skipped: Any, index_map: Any, pairs: Any, sizes: Any
) -> tuple[Any, ...]:
    """Return for every axis of an operand where each element of the windows lies, in the shape of the result."""
    batch = [d for d in range(ndim) if d not in windows]
    kept = iter(windows)

    def spread(x: Any) -> Any:
        shape = [1] * ndim
        for d, n in zip(batch, np.shape(x), strict=True):
            shape[d] = n
        return np.reshape(x, shape)

    places = []
    for axis, size in enumerate(sizes):
        place: Any = np.zeros([1] * ndim, int)
        if axis in index_map:
            place = spread(indices[..., index_map.index(axis)])
        if axis in pairs:
            along = [1] * len(batch)
            along[pairs[axis]] = -1
            place = spread(np.broadcast_to(np.arange(size).reshape(along), indices.shape[:-1]))
        if axis not in skipped:
            line = [1] * ndim
            line[next(kept)] = size
            place = place + np.arange(size).reshape(line)
        places.append(place)
    return tuple(places)


def _gather(x: Any, indices: Any, *, dimension_numbers: Any, slice_sizes: Any, **_: Any) -> np.ndarray:
    d = dimension_numbers
    pairs = dict(zip(d.operand_batching_dims, d.start_indices_batching_dims, strict=True))
    skipped = (*d.collapsed_slice_dims, *d.operand_batching_dims)
    sizes = [x.shape[axis] if axis in pairs else n for axis, n in enumerate(slice_sizes)]
    ndim = indices.ndim - 1 + len(d.offset_dims)
    return x[np.broadcast_arrays(*_places(indices, ndim, d.offset_dims, skipped, d.start_index_map, pairs, sizes))]


def _scatter(add: bool) -> Callable[..., np.ndarray]:
    def scatter(x: Any, indices: Any, updates: Any, *, dimension_numbers: Any, **_: Any) -> np.ndarray:
        d, out = dimension_numbers, np.array(x)
        pairs = dict(zip(d.operand_batching_dims, d.scatter_indices_batching_dims, strict=True))
        skipped, windows = (*d.inserted_window_dims, *d.operand_batching_dims), iter(d.update_window_dims)
        sizes = [
            x.shape[a] if a in pairs else 1 if a in skipped else updates.shape[next(windows)] for a in range(x.ndim)
        ]
        index_map = d.scatter_dims_to_operand_dims
        at = _places(indices, updates.ndim, d.update_window_dims, skipped, index_map, pairs, sizes)
        if add:
            np.add.at(out, tuple(np.broadcast_arrays(*at)), updates)
        else:
            out[tuple(np.broadcast_arrays(*at))] = updates
        return out

    return scatter


def _accumulated(f: Any) -> Callable[..., np.ndarray]:
    return lambda x, *, axis, reverse: np.flip(f(np.flip(x, axis), axis=axis), axis) if reverse else f(x, axis=axis)


def _slice(x: Any, *, start_indices: Any, limit_indices: Any, strides: Any) -> np.ndarray:
    return x[tuple(map(slice, start_indices, limit_indices, strides or [None] * x.ndim))]


def _reshape(x: Any, *, new_sizes: Any, dimensions: Any, **_: Any) -> np.ndarray:
    return np.reshape(x if dimensions is None else np.transpose(x, dimensions), new_sizes)


def _iota(*, dtype: Any, shape: Any, dimension: int, **_: Any) -> np.ndarray:
    lifted = [1] * len(shape)
    lifted[dimension] = -1
    return np.broadcast_to(np.arange(shape[dimension], dtype=dtype).reshape(lifted), shape)


def _plain(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **_: f(*args)


def _reduced(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *, axes, **_: f(x, axis=tuple(axes))


TABLE: dict[str, Callable[..., Any]] = {
    name: _plain(f)
    for name, f in {
        **{
            name: getattr(np, name)
            for name in ("sin", "cos", "tan", "tanh", "sinh", "cosh", "exp", "log", "log1p", "expm1")
        },
        **{name: getattr(np, name) for name in ("sqrt", "square", "abs", "sign", "floor", "copy")},
        **{
            "add": np.add,
            "add_any": np.add,
            "sub": np.subtract,
            "mul": np.multiply,
            "div": np.divide,
            "neg": np.negative,
        },
        **{
            "max": np.maximum,
            "min": np.minimum,
            "pow": np.power,
            "asinh": np.arcsinh,
            "atan": np.arctan,
            "acosh": np.arccosh,
        },
        **{
            "eq": np.equal,
            "ne": np.not_equal,
            "lt": np.less,
            "le": np.less_equal,
            "gt": np.greater,
            "ge": np.greater_equal,
        },
        **{"and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "rsqrt": lambda x: 1.0 / np.sqrt(x)},
        **{"logistic": sc.expit, "stop_gradient": lambda x: x, "is_finite": np.isfinite},
    }.items()
}
TABLE |= {
    "broadcast_in_dim": _broadcast,
    "select_n": lambda which, *cases: np.where(which, cases[1], cases[0]),
    "convert_element_type": lambda x, *, new_dtype, **_: np.asarray(x).astype(new_dtype),
    "reduce_sum": _reduced(np.sum),
    "reduce_max": _reduced(np.max),
    "reduce_min": _reduced(np.min),
    "reduce_prod": _reduced(np.prod),
    "reduce_and": _reduced(np.all),
    "reduce_or": _reduced(np.any),
    "reshape": _reshape,
    "squeeze": lambda x, *, dimensions: np.squeeze(x, tuple(dimensions)),
    "expand_dims": lambda x, *, dimensions: np.expand_dims(x, tuple(dimensions)),
    "transpose": lambda x, *, permutation: np.transpose(x, permutation),
    "rev": lambda x, *, dimensions: np.flip(x, dimensions),
    "concatenate": lambda *args, dimension: np.concatenate(args, dimension),
    "integer_pow": lambda x, *, y: x ** (y if y >= 0 else float(y)),
    "slice": _slice,
    "pad": _pad,
    "iota": _iota,
    "dot_general": _dot,
    "gather": _gather,
    "scatter": _scatter(add=False),
    "scatter-add": _scatter(add=True),
    "cumsum": _accumulated(np.cumsum),
    "cumprod": _accumulated(np.cumprod),
}


def evaluate(closed: Any, *args: Any) -> list[Any]:
    """Return what a closed jaxpr gives for arguments."""
    from jax.extend.core import Literal

    jaxpr, known = closed.jaxpr, {}
    read = lambda v: v.val if isinstance(v, Literal) else known[v]
    known.update(zip(jaxpr.constvars, map(np.asarray, closed.consts), strict=True))
    known.update(zip(jaxpr.invars, map(np.asarray, args), strict=True))
    for eqn in jaxpr.eqns:
        given = [np.asarray(read(v)) for v in eqn.invars]
        name = eqn.primitive.name
        inner = eqn.params.get("jaxpr" if name in ("jit", "pjit") else "call_jaxpr")
        if inner is not None:
            made: Any = evaluate(inner, *given)
        elif name in TABLE:
            made = [TABLE[name](*given, **eqn.params)]
        else:
            made = eqn.primitive.bind(*given, **eqn.params)
            made = made if eqn.primitive.multiple_results else [made]
        known.update(zip(eqn.outvars, map(np.asarray, made), strict=True))
    return [np.asarray(read(v)) for v in jaxpr.outvars]
