"""Where NumPy puts the elements of a result in memory: it decides what later is a view of them and what a copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.traced import Traced


def axes_in_memory(a: np.ndarray) -> tuple[int, ...]:
    """Return the axes from the slowest to the fastest in memory."""
    return tuple(sorted(range(a.ndim), key=lambda i: -abs(a.strides[i])))


def in_memory(a: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return an array that lies in one piece of memory, with the axes from the slowest to the fastest as given."""
    turned = a.transpose(axes)
    if turned.flags.c_contiguous:
        return a
    return np.array(turned, order="C").transpose(np.argsort(axes))


def laid_out(x: np.ndarray, *, strides: tuple[int, ...]) -> np.ndarray:
    """Return a copy of an array with other strides."""
    extents = [(n - 1) * step for n, step in zip(x.shape, strides, strict=True)]
    start = -sum(e for e in extents if e < 0)
    memory = np.empty(start + sum(e for e in extents if e > 0) + x.itemsize, np.uint8)
    out: np.ndarray = np.ndarray(x.shape, x.dtype, memory, start, strides)
    np.copyto(out, x)
    return out


def lying_like(result: Any, like: Any) -> Any:
    """Return a result of a call as it lies in memory where NumPy makes it; ``like`` has its axes as NumPy has them."""
    if not isinstance(result, Traced) or result.ndim < 2:
        return result
    return result.lying_in(axes_in_memory(like))


def in_order(x: Any, order: Any) -> Any:
    """Return a traced value as NumPy gives an array that is asked for in an order: itself only where it lies so, else a copy."""
    if order not in ("C", "F") or x.is_number or x.lies_in(order):
        return x
    return np.copy(x, order=order)


def numbered(x: Any, first: int = 0) -> np.ndarray:
    """Return consecutive numbers in the shape of ``x``, in memory as ``x`` is."""
    numbers = np.arange(first, first + x.size).reshape(x.shape)
    if x.ndim < 2 or not isinstance(x, Traced) or x.lies_in("C"):
        return numbers
    return in_memory(numbers, x.memory_axes())


def shrunk(x: Any) -> np.ndarray:
    """Return zeros with the axes of ``x``, two long at most, in memory as ``x`` is: to see where NumPy puts a result."""
    zeros = np.zeros([min(n, 2) for n in x.shape])
    axes = x.memory_axes() if isinstance(x, Traced) else axes_in_memory(x)
    return in_memory(zeros, axes)
