"""Discrete Fourier transforms: rows that act on real and imaginary parts side by side, and NumPy's functions made of them.

Parts lie along a last axis of length two, which is how a complex array lies in memory. The transposes follow from
F^H = n F^{-1}: each transform is that of another one with the scale at the other end; of transforms of real numbers, frequencies
between the first and the middle one count twice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import as_array, normalize_axis, whole
from hessian.rules.dispatch import COMPLEX_RESULTS, composite, refuse
from hessian.rules.packed import packed, parts_apart, parts_last, unpacked
from hessian.rules.spec import A, Linear, case, linear
from hessian.rules.traced import Traced

_OPPOSITE = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}
"""Of each scale that of the transpose."""


def _whole(name: str, transform: Callable[..., Any]) -> Linear:
    """Declare a transform of complex numbers along some axes, counted without that of the parts."""
    return linear(
        name,
        lambda x, *, axes, norm: parts_last(transform(parts_apart(x), axes=axes, norm=norm)),
        transpose=lambda g, x_shape, *, axes, norm: _WHOLE[name](g, axes=axes, norm=_OPPOSITE[norm]),
        cases=[case(A(5, 2), axes=(-1,), norm=None), case(A(3, 4, 2), axes=(-1, -2), norm="ortho")],
        real_only=True,
    )


fourier_op, fourier_back_op = _whole("fourier", np.fft.fftn), _whole("fourier_back", np.fft.ifftn)
_WHOLE = {"fourier": fourier_back_op, "fourier_back": fourier_op}
"""Of each the one that its transpose is."""


def _weights(n: int, axis: int, dtype: Any, once: float, twice: float) -> np.ndarray:
    """Return weights of the frequencies of n real numbers: of those that stand for their conjugates, too, and of others."""
    weights = np.full(n // 2 + 1, twice, dtype)
    weights[0] = once
    if n % 2 == 0:
        weights[-1] = once
    return weights.reshape((-1,) + (1,) * -axis)


half_op: Linear = linear(
    "fourier_half",
    lambda x, *, axis, norm: parts_last(np.fft.rfft(x, axis=axis, norm=norm)),
    transpose=lambda g, x_shape, *, axis, norm: half_back_op(
        g * _weights(x_shape[axis], axis, g.dtype, 1.0, 0.5), axis=axis, norm=_OPPOSITE[norm], n=x_shape[axis]
    ),
    cases=[case(A(n), axis=-1, norm=None) for n in (4, 5)] + [case(A(3, 2), axis=-2, norm="ortho")],
    real_only=True,
)
half_back_op: Linear = linear(
    "fourier_half_back",
    lambda x, *, axis, norm, n: np.fft.irfft(parts_apart(x), n, axis=axis, norm=norm),
    transpose=lambda g, x_shape, *, axis, norm, n: (
        half_op(g, axis=axis, norm=_OPPOSITE[norm]) * _weights(n, axis, g.dtype, 1.0, 2.0)
    ),
    cases=[case(A(3, 2), axis=-1, norm=None, n=n) for n in (4, 5)],
    real_only=True,
)


def _resized(a: Any, length: Any, axis: int, name: str) -> Any:
    """Cut an array along an axis, or append zeros."""
    if length is None:
        return a
    length = whole(length)
    if length < 1:
        raise ValueError(f"Invalid number of FFT data points ({length}) specified.")
    have = a.shape[axis]
    if length == have:
        return a
    after = (slice(None),) * (-1 - axis)
    if length < have:
        return a[(..., slice(length), *after)]
    widths = [(0, 0)] * a.ndim
    widths[axis] = (0, length - have)
    return np.pad(a, widths)


def _scale(norm: Any, name: str) -> Any:
    if norm not in _OPPOSITE:
        raise OptionError(message(name, f"norm is {norm!r}", fix="Pass 'backward', 'ortho' or 'forward'"))
    return norm


def _array(a: Any, name: str) -> Any:
    a = as_array(a)
    if not a.ndim:
        raise ShapeMismatchError(message(name, "it needs an array of at least one axis"))
    return a if a.dtype.kind in "fc" else a.astype(float)


def _axes(a: Any, s: Any, axes: Any, name: str) -> tuple[list[int], list[int]]:
    """Return lengths and axes of a transform of several, axes counted from the end."""
    if axes is None:
        axes = range(-a.ndim, 0) if s is None else range(-len(s), 0)
    places = [normalize_axis(axis, a.ndim, name) for axis in axes]
    lengths = [-1] * len(places) if s is None else list(s)
    if len(lengths) != len(places):
        raise ValueError("Shape and axes have different lengths.")
    # An axis that is named twice has the length that it had before.
    return [a.shape[axis] if n == -1 else n for n, axis in zip(lengths, places, strict=True)], places


def _transformed(operation: Linear, a: Any, lengths: Sequence[Any], axes: Sequence[int], norm: Any, name: str) -> Any:
    if len(set(axes)) < len(axes):  # as NumPy does: one after the other, from the last
        for length, axis in zip(reversed(lengths), reversed(axes), strict=True):
            a = _transformed(operation, a, [length], [axis], norm, name)
        return a
    for length, axis in zip(lengths, axes, strict=True):
        a = _resized(a, length, axis, name)
    if not axes:
        return a
    return unpacked(operation(packed(a), axes=tuple(axes), norm=norm))


def _lying_as_given(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let results lie in memory as the array that is transformed does."""

    @functools.wraps(call)
    def laid(a: Any, *args: Any, **keywords: Any) -> Any:
        result = call(a, *args, **keywords)
        if not isinstance(a, Traced) or a.ndim < 2 or a.lies_in("C"):
            return result
        return result.lying_in(a.memory_axes())

    return laid


def _complex_transforms(letter: str, operation: Linear) -> None:
    one, two, several = (getattr(np.fft, f"{letter}fft{ending}") for ending in ("", "2", "n"))

    @composite(one, untested=COMPLEX_RESULTS)
    @_lying_as_given
    def along(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
        refuse(one.__name__, out=out)
        a = _array(a, one.__name__)
        axis = normalize_axis(axis, a.ndim, one.__name__)
        return _transformed(operation, a, [n], [axis], _scale(norm, one.__name__), one.__name__)

    @composite(several, untested=COMPLEX_RESULTS)
    @_lying_as_given
    def over(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
        refuse(several.__name__, out=out)
        a = _array(a, several.__name__)
        return _transformed(
            operation, a, *_axes(a, s, axes, several.__name__), _scale(norm, several.__name__), several.__name__
        )

    composite(two, untested=COMPLEX_RESULTS)(
        lambda a, s=None, axes=(-2, -1), norm=None, out=None: over(a, s, axes, norm, out)
    )


_complex_transforms("", fourier_op)
_complex_transforms("i", fourier_back_op)


@composite(np.fft.rfft, untested=COMPLEX_RESULTS)
@_lying_as_given
def rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    refuse("rfft", out=out)
    a = _array(a, "rfft")
    if a.dtype.kind == "c":
        raise TypeError("ufunc 'rfft_n_even' did not contain a loop with signature matching types of complex numbers")
    axis = normalize_axis(axis, a.ndim, "rfft")
    return unpacked(half_op(_resized(a, n, axis, "rfft"), axis=axis, norm=_scale(norm, "rfft")))


@composite(np.fft.irfft, real_only=True, cases=[case(A(4)), case(A(2, 3), n=5, norm="forward"), case(A(3, 2), axis=0)])
@_lying_as_given
def irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    refuse("irfft", out=out)
    a = _array(a, "irfft")
    axis = normalize_axis(axis, a.ndim, "irfft")
    n = 2 * (a.shape[axis] - 1) if n is None else whole(n)
    a = _resized(a, n // 2 + 1 if n > 0 else n, axis, "irfft")
    return half_back_op(packed(a), axis=axis, norm=_scale(norm, "irfft"), n=n)


@composite(np.fft.hfft, real_only=True, cases=[case(A(4)), case(A(2, 3), n=5, norm="ortho")])
@_lying_as_given
def hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    return irfft(np.conjugate(a), n, axis, _OPPOSITE[_scale(norm, "hfft")], out)


@composite(np.fft.ihfft, untested=COMPLEX_RESULTS)
@_lying_as_given
def ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    return np.conjugate(rfft(a, n, axis, _OPPOSITE[_scale(norm, "ihfft")], out))


@composite(np.fft.rfftn, untested=COMPLEX_RESULTS)
@_lying_as_given
def rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    refuse("rfftn", out=out)
    a = _array(a, "rfftn")
    lengths, places = _axes(a, s, axes, "rfftn")
    a = rfft(a, lengths[-1], places[-1], norm)
    return _transformed(fourier_op, a, lengths[:-1], places[:-1], norm, "rfftn")


@composite(np.fft.irfftn, real_only=True, cases=[case(A(2, 3)), case(A(3, 2, 2), axes=(0, 1), norm="forward")])
@_lying_as_given
def irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    refuse("irfftn", out=out)
    a = _array(a, "irfftn")
    lengths, places = _axes(a, s, axes, "irfftn")
    if s is None:
        lengths[-1] = 2 * (lengths[-1] - 1)
    a = _transformed(fourier_back_op, a, lengths[:-1], places[:-1], norm, "irfftn")
    return irfft(a, lengths[-1], places[-1], norm)


composite(np.fft.rfft2, untested=COMPLEX_RESULTS)(
    lambda a, s=None, axes=(-2, -1), norm=None, out=None: rfftn(a, s, axes, norm, out)
)
composite(np.fft.irfft2, real_only=True, cases=[case(A(2, 3)), case(A(2, 2), s=(3, 3))])(
    lambda a, s=None, axes=(-2, -1), norm=None, out=None: irfftn(a, s, axes, norm, out)
)
