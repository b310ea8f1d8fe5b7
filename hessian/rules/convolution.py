"""Rows of convolutions, recursive filters and cosine and sine transforms, along trailing axes, by SciPy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from hessian.rules.pairs import multiplies
from hessian.rules.samples import A, case
from hessian.rules.spec import General, Linear, general, linear


def _convolved(a: Any, b: Any, *, axes: int, method: str) -> Any:
    # Takes long to import, and few need it.
    import scipy.signal

    if a.ndim == axes and b.ndim == axes:
        return scipy.signal.convolve(a, b, method=method)
    lead = np.broadcast_shapes(a.shape[:-axes], b.shape[:-axes])
    a, b = np.broadcast_to(a, lead + a.shape[-axes:]), np.broadcast_to(b, lead + b.shape[-axes:])
    if method == "fft":
        return scipy.signal.fftconvolve(a, b, axes=tuple(range(-axes, 0)))
    whole = [scipy.signal.convolve(a[i], b[i], method="direct") for i in np.ndindex(lead)]
    return np.reshape(np.stack(whole), lead + whole[0].shape)


def _cropped(g: Any, start: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    return g[(..., *(slice(i, i + n) for i, n in zip(start, shape, strict=True)))]


def _flipped(x: Any, axes: int) -> Any:
    return x[(..., *[slice(None, None, -1)] * axes)]


def _convolution(axes: int, cases: Sequence[Any]) -> General:
    """Declare the convolution of all of two arrays along that many last axes."""

    def met(g: Any, other: Any, like: Any, method: str) -> Any:
        # The transpose of the convolution with the other array.
        whole = operation(g, _flipped(other, axes), method=method)
        return _cropped(whole, tuple(n - 1 for n in other.shape[-axes:]), like.shape[-axes:])

    def pushforward(y: Any, xs: Any, dots: Any, *, method: str) -> Any:
        pairs = zip(xs[::-1], dots, strict=True)
        parts = [operation(x, dot, method=method) for x, dot in pairs if dot is not None]
        return sum(parts[1:], parts[0])

    operation: General = general(
        f"convolve_along_{axes}",
        lambda a, b, *, method: _convolved(a, b, axes=axes, method=method),
        pushforward=pushforward,
        pullback=lambda y, xs, g, wanted, *, method: [
            met(g, xs[1], xs[0], method) if wanted[0] else None,
            met(g, xs[0], xs[1], method) if wanted[1] else None,
        ],
        core=(axes, axes, axes),
        cases=cases,
        real_only=True,
    )
    return operation


CONVOLUTIONS = {
    1: _convolution(1, [case(A(5), A(3), method="direct"), case(A(2, 5), A(3), method="fft")]),
    2: _convolution(2, [case(A(4, 3), A(2, 2), method=method) for method in ("direct", "fft")]),
    3: _convolution(3, [case(A(2, 3, 2), A(2, 1, 2), method="direct")]),
}
"""By the number of axes."""
multiplies(*CONVOLUTIONS.values())


def _recursion(a: Any, w: Any) -> Any:
    import scipy.signal

    one = lambda a, w: scipy.signal.lfilter([1.0], np.append(np.ones(1, a.dtype), a[1:]), w)
    return one(a, w) if a.ndim == 1 else np.vectorize(one, signature="(k),(n)->(n)")(a, w)


def _before(c: Any, y: Any) -> Any:
    """Return sum over k >= 1 of c_k y_{n-k}."""
    n = y.shape[-1]
    total = 0.0 * (c[..., :1] * y)
    for k in range(1, min(c.shape[-1], n)):
        hole = np.zeros((*y.shape[:-1], k), y.dtype)
        total = total + c[..., k : k + 1] * np.concatenate([hole, y[..., :-k]], axis=-1)
    return total


def _recursion_pushforward(y: Any, xs: Any, dots: Any) -> Any:
    a_dot, w_dot = dots
    moved = None if a_dot is None else _before(a_dot, y)
    return recursion_op(xs[0], w_dot if moved is None else -moved if w_dot is None else w_dot - moved)


def _recursion_pullback(y: Any, xs: Any, g: Any, wanted: Any) -> list[Any]:
    w_bar = recursion_op(xs[0], g[..., ::-1])[..., ::-1]
    if not wanted[0]:
        return [None, w_bar]
    n, order = y.shape[-1], xs[0].shape[-1]
    zero = np.sum(0.0 * w_bar * y, axis=-1)
    lags = [-np.sum(w_bar[..., k:] * y[..., : n - k], axis=-1) if k < n else zero for k in range(1, order)]
    return [np.stack([zero, *lags], axis=-1), w_bar]


recursion_op: General = general(
    "recursive_filter",
    _recursion,
    pushforward=_recursion_pushforward,
    pullback=_recursion_pullback,
    core=(1, 1, 1),
    cases=[case(A(3, make=lambda rng: np.array([1.0, *rng.uniform(-0.4, 0.4, 2)])), A(6))],
    real_only=True,
)
"""y_n = w_n - a_1 y_{n-1} - a_2 y_{n-2} - ...; a_0, which is 1, is not read."""


@functools.lru_cache(64)
def _matrix(kind: str, type: int, n: int, norm: str | None) -> np.ndarray:
    import scipy.fft

    return np.asarray(getattr(scipy.fft, kind)(np.eye(n), type=type, norm=norm))


def _transformed(x: Any, *, kind: str, type: int, norm: str | None) -> Any:
    import scipy.fft

    return getattr(scipy.fft, kind)(x, type=type, norm=norm)


_INVERSES = {"dct": "idct", "idct": "dct", "dst": "idst", "idst": "dst"}


def _transform_transpose(g: Any, shape: Any, *, kind: str, type: int, norm: str | None) -> Any:
    if norm == "ortho":
        return transform_op(g, kind=_INVERSES[kind], type=type, norm=norm)
    return g @ _matrix(kind, type, g.shape[-1], norm).T.astype(g.dtype)


transform_op: Linear = linear(
    "trigonometric_transform",
    _transformed,
    transpose=_transform_transpose,
    cases=[
        case(A(2, 5), kind="dct", type=2, norm=None),
        case(A(5), kind="idst", type=3, norm="forward"),
        case(A(5), kind="dst", type=1, norm="ortho"),
    ],
    real_only=True,
)
