"""scipy.signal: twins of convolutions and filters."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.signal

from hessian.arguments import unknown
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import as_floats
from hessian.rules.convolution import CONVOLUTIONS, recursion_op
from hessian.rules.traced import entered
from hessian.scipy.mirror import holds, mirrored, twin

__all__ = ["convolve", "convolve2d", "correlate", "correlate2d", "fftconvolve", "lfilter"]
__getattr__, __dir__ = mirrored(__name__)


_MODES = ("full", "same", "valid")


def _array(x: Any) -> Any:
    x = entered(x)
    return x if holds(x) else as_floats(x)


def _cut(full: Any, a: Any, b: Any, mode: str) -> Any:
    """Return the part of a convolution that ``mode`` says."""
    if mode == "full":
        return full
    shape = a.shape if mode == "same" else tuple(abs(n - m) + 1 for n, m in zip(a.shape, b.shape, strict=True))
    start = [(n - m) // 2 for n, m in zip(full.shape, shape, strict=True)]
    return full[tuple(slice(i, i + n) for i, n in zip(start, shape, strict=True))]


def convolution(axes: int) -> Any:
    """Return the row of a convolution along so many axes."""
    if axes not in CONVOLUTIONS:
        raise OptionError(
            message("convolve", f"arrays of {axes} axes", "traced ones have at most 3", "Loop over an axis")
        )
    return CONVOLUTIONS[axes]


def _convolved(where: str, a: Any, b: Any, mode: str, method: str) -> Any:
    a, b = _array(a), _array(b)
    if mode not in _MODES:
        raise unknown(where, "mode", mode, _MODES)
    if a.ndim != b.ndim:
        raise ShapeMismatchError(message(where, f"arrays of {a.ndim} and {b.ndim} axes"))
    if a.ndim == 0:
        return a * b
    return _cut(convolution(a.ndim)(a, b, method=method), a, b, mode)


@twin(scipy.signal.convolve)
def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """Convolve two arrays along all axes. Twin of :func:`scipy.signal.convolve` that also takes traced values."""
    return _convolved("convolve", in1, in2, mode, "fft" if method == "fft" else "direct")


@twin(scipy.signal.fftconvolve)
def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """Convolve two arrays by fast Fourier transforms. Twin of :func:`scipy.signal.fftconvolve` that also takes traced values."""
    if axes is not None:
        raise OptionError(message("fftconvolve", "axes= is not supported on traced values", fix="Leave it out"))
    return _convolved("fftconvolve", in1, in2, mode, "fft")


@twin(scipy.signal.correlate)
def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """Correlate two arrays along all axes. Twin of :func:`scipy.signal.correlate` that also takes traced values."""
    b = _array(in2)
    return convolve(in1, np.conjugate(b[(slice(None, None, -1),) * b.ndim]), mode, method)


def _image(where: str, in1: Any, in2: Any, boundary: str, fillvalue: Any) -> tuple[Any, Any]:
    a, b = _array(in1), _array(in2)
    if not a.ndim == b.ndim == 2:
        raise ShapeMismatchError(message(where, f"arrays of {a.ndim} and {b.ndim} axes", "images have two"))
    if boundary != "fill" or holds(fillvalue) or fillvalue != 0:
        fix = "Surround the image by np.pad, with mode='symmetric', 'wrap' or a constant, and take mode='valid'"
        raise OptionError(message(where, "traced images have zeros beyond their edges alone", fix=fix))
    return a, b


@twin(scipy.signal.convolve2d)
def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    """Convolve two images, with zeros beyond the edges. Twin of :func:`scipy.signal.convolve2d` that also takes traced values."""
    return _convolved("convolve2d", *_image("convolve2d", in1, in2, boundary, fillvalue), mode, "direct")


@twin(scipy.signal.correlate2d)
def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    """Correlate two images, with zeros beyond the edges. Twin of :func:`scipy.signal.correlate2d` that also takes traced values."""
    a, b = _image("correlate2d", in1, in2, boundary, fillvalue)
    b = np.conj(b)
    if mode != "same":
        return _convolved("correlate2d", a, b[::-1, ::-1], mode, "direct")
    # The middle of even sizes is on the other side than that of convolutions.
    full = _convolved("correlate2d", a, b[::-1, ::-1], "full", "direct")
    rows, columns = (slice(m // 2, m // 2 + n) for n, m in zip(a.shape, b.shape, strict=True))
    return full[rows, columns]


@twin(scipy.signal.lfilter)
def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """Filter along an axis by a rational transfer function, differentiable in its coefficients and initial conditions, too.

    Twin of :func:`scipy.signal.lfilter` that also takes traced values. With ``zi``, the state of the delays, it returns the state
    at the end besides.
    """
    b, a, x = (np.atleast_1d(_array(c)) for c in (b, a, x))
    b, a, x = b / a[0], a / a[0], np.moveaxis(x, axis, -1)
    n, order = x.shape[-1], max(b.size, a.size) - 1
    moved = CONVOLUTIONS[1](b, x, method="direct")[..., :n]
    if zi is None:
        return np.moveaxis(recursion_op(a, moved), -1, axis)
    state = np.moveaxis(_array(zi), axis, -1)
    if state.ndim != x.ndim or state.shape[-1] != order:
        want = f"for filters of order {order} it has x's axes, {order} numbers along axis {axis}"
        raise ShapeMismatchError(message("lfilter", f"zi has shape {np.shape(zi)}, x {np.shape(x)}; {want}"))
    state = np.broadcast_to(state, (*x.shape[:-1], order))
    # What the delays hold is added to the first outputs, one after the other.
    held = np.zeros((*x.shape[:-1], n), state.dtype)
    held = np.concatenate([state, held], axis=-1)[..., :n]
    y = recursion_op(a, moved + held)
    return np.moveaxis(y, -1, axis), np.moveaxis(_final(b, a, x, y, state), -1, axis)


def _final(b: Any, a: Any, x: Any, y: Any, state: Any) -> Any:
    """Return what the delays hold at the end: what the last inputs and outputs leave, and what was held for longer."""
    n, order = x.shape[-1], state.shape[-1]
    count = min(n, order)
    place = np.arange(1, order + 1)[:, None] + np.arange(count)
    last = n - 1 - np.arange(count)
    left = 0.0
    for c, past, sign in ((b, x, 1.0), (a, y, -1.0)):
        padded = np.concatenate([c, np.zeros(max(2 * order + 1 - c.size, 0), c.dtype)])
        left = left + sign * (past[..., last] @ padded[place].T)
    held = np.zeros((*state.shape[:-1], count), state.dtype)
    return left + np.concatenate([state[..., count:], held], axis=-1)
