"""Functions of NumPy whose results are views, by slices and permutations: so are these."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.broadcast import normalize_axes, normalize_axis
from hessian.rules.dispatch import composite
from hessian.rules.spec import A, case


@composite(np.flip, cases=[case(A(2, 3)), case(A(2, 3), axis=1)])
def flip(m: Any, axis: Any = None) -> Any:
    turned = normalize_axes(axis, m.ndim, "flip")
    return m[tuple(slice(None, None, -1 if i - m.ndim in turned else None) for i in range(m.ndim))]


@composite(np.fliplr, cases=[case(A(2, 3))])
def fliplr(m: Any) -> Any:
    return m[:, ::-1]


@composite(np.flipud, cases=[case(A(2, 3))])
def flipud(m: Any) -> Any:
    return m[::-1, ...]


@composite(np.rot90, cases=[case(A(2, 3)), case(A(2, 3), k=2)])
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    first, second = axes
    if (first - second) % m.ndim == 0 or not (-m.ndim <= first < m.ndim and -m.ndim <= second < m.ndim):
        raise ValueError("NumPy says which of these it is.")
    if not isinstance(k, int | np.integer):
        # What NumPy takes half a turn for depends on its version.
        k = (0, 1, 3, 2)[np.rot90(np.arange(4).reshape(2, 2), k)[0, 0]]
    k = k % 4
    if k == 0:
        return m[:]
    if k == 2:
        return flip(flip(m, first), second)
    return np.swapaxes(flip(m, second), first, second) if k == 1 else flip(np.swapaxes(m, first, second), second)


@composite(np.rollaxis, cases=[case(A(2, 3, 4), 2)])
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    axis = normalize_axis(axis, a.ndim, "rollaxis") + a.ndim
    start = normalize_axis(start, a.ndim + 1, "rollaxis") + a.ndim + 1 if start >= 0 else start + a.ndim
    if start < 0:
        raise np.exceptions.AxisError("NumPy says what is wrong.")
    return np.moveaxis(a, axis, start - 1 if axis < start else start)
