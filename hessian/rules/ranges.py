"""Arrays spread between traced ends, and grids of traced axes."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.rules.broadcast import whole
from hessian.rules.dispatch import composite, expose, refuse
from hessian.rules.memory import lying_like
from hessian.rules.smooth import smooth_op
from hessian.rules.spec import A, Traced, case, nondifferentiable

linspace_op = nondifferentiable(
    "linspace", lambda a, b, *, num, endpoint, axis: np.linspace(a, b, num, endpoint, axis=axis)
)
logspace_op = nondifferentiable(
    "logspace", lambda a, b, base, *, num, endpoint, axis: np.logspace(a, b, num, endpoint, base, axis=axis)
)
geomspace_op = nondifferentiable(
    "geomspace", lambda a, b, *, num, endpoint, axis: np.geomspace(a, b, num, endpoint, axis=axis)
)


def _shares(num: int, endpoint: bool, ndim: int) -> np.ndarray:
    """Return how far along each point lies, with axes of length one behind."""
    parts = num - 1 if endpoint else num
    return (np.arange(num) / max(parts, 1)).reshape((-1,) + (1,) * ndim)


def _spread(start: Any, stop: Any, num: Any, endpoint: bool, dtype: Any, where: str) -> tuple[int, np.ndarray]:
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise OptionError(message(where, f"dtype is {dtype!r}", "points that are cut off have no derivative"))
    return num, _shares(num, endpoint, np.broadcast(np.empty(np.shape(start)), np.empty(np.shape(stop))).ndim)


def _cast(y: Any, dtype: Any) -> Any:
    return y if dtype is None or np.dtype(dtype) == y.dtype else y.astype(dtype)


def _valued(smooth: Any, operation: Any, *ends: Any, dtype: Any, **params: Any) -> Any:
    """Give real points the values that NumPy has, to the last digit."""
    return _cast(smooth if smooth.dtype.kind == "c" else smooth_op(smooth, operation(*ends, **params)), dtype)


@composite(np.linspace, cases=[case(A(), A(), 5), case(A(2), A(), 4, endpoint=False), case(A(3), A(3), 3, axis=-1)])
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    refuse("linspace", device=device)
    num, share = _spread(start, stop, num, endpoint, dtype, "linspace")
    smooth = np.moveaxis((1.0 - share) * start + share * stop, 0, axis)
    y = _valued(smooth, linspace_op, start, stop, num=num, endpoint=endpoint, axis=axis, dtype=dtype)
    if not retstep:
        return y
    parts = num - 1 if endpoint else num
    return y, (stop - start) / parts if parts > 0 else np.nan


@composite(np.logspace, cases=[case(A(), A(), 4), case(A(2), A(2), 3, base=2.0)])
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    num, share = _spread(start, stop, num, endpoint, dtype, "logspace")
    if np.ndim(base):
        raise OptionError(message("logspace", f"base has shape {np.shape(base)}", fix="Pass a number"))
    smooth = np.moveaxis(base ** ((1.0 - share) * start + share * stop), 0, axis)
    return _valued(smooth, logspace_op, start, stop, base, num=num, endpoint=endpoint, axis=axis, dtype=dtype)


@composite(
    np.geomspace,
    cases=[case(A(domain=(0.5, 1.0)), A(domain=(2.0, 3.0)), 4), case(A(2, domain=(-2.0, -1.0)), -3.0, 3)],
    domain=(0.5, 2.0),
)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    num, share = _spread(start, stop, num, endpoint, dtype, "geomspace")
    smooth = np.moveaxis(start * (stop / start) ** share, 0, axis)
    return _valued(smooth, geomspace_op, start, stop, num=num, endpoint=endpoint, axis=axis, dtype=dtype)


def _index_arrays(*arrays: Any) -> Any:
    return np.ix_(*[np.asarray(a) if isinstance(a, Traced) else a for a in arrays])


@composite(np.meshgrid, cases=[case(A(2), A(3)), case(A(2), A(3), A(2), indexing="ij"), case(A(2), A(3), sparse=True)])
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    ndim, flat = len(xi), [np.ravel(x) for x in xi]
    places = list(range(ndim))
    if indexing == "xy" and ndim > 1:
        places[:2] = [1, 0]
    opened = [
        np.reshape(x, tuple(-1 if i == place else 1 for i in range(ndim)))
        for x, place in zip(flat, places, strict=True)
    ]
    if sparse:
        return tuple(np.copy(x) for x in opened) if copy else tuple(opened)
    shape = [0] * ndim
    for x, place in zip(flat, places, strict=True):
        shape[place] = x.size
    full = [np.broadcast_to(x, tuple(shape)) for x in opened]
    return tuple(np.copy(x) for x in full) if copy else tuple(full)


@composite(np.vander, cases=[case(A(3)), case(A(3), 4, increasing=True)])
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = x.size if N is None else whole(N)
    x = x.astype(np.promote_types(x.dtype, int))
    if count < 1:
        return np.zeros((x.size, count), x.dtype)
    steps = np.concatenate([np.ones((x.size, 1), x.dtype), np.repeat(x[:, None], count - 1, axis=1)], axis=1)
    powers = np.cumprod(steps, axis=1)
    return powers if increasing else lying_like(powers[:, ::-1], np.empty((2, 2)))


expose(np.ix_, _index_arrays, untested="it takes indices")
