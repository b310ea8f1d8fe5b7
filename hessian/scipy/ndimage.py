"""scipy.ndimage: twins of filters with given weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.ndimage

from hessian.arguments import unknown
from hessian.errors import OptionError, message
from hessian.rules.broadcast import as_floats
from hessian.rules.convolution import CONVOLUTIONS
from hessian.rules.traced import entered
from hessian.scipy.mirror import holds, mirrored, twin
from hessian.scipy.signal import convolution

__all__ = ["convolve", "correlate", "gaussian_filter", "gaussian_filter1d"]
__getattr__, __dir__ = mirrored(__name__)

#: NumPy's names for what SciPy takes outside of an image.
_MODES: dict[str, Any] = {
    "reflect": "symmetric", "grid-mirror": "symmetric", "constant": "constant", "grid-constant": "constant",
    "nearest": "edge", "mirror": "reflect", "wrap": "wrap", "grid-wrap": "wrap",
}  # fmt: skip


def _array(x: Any) -> Any:
    x = entered(x)
    return x if holds(x) else as_floats(x)


def _padded(x: Any, widths: list[tuple[int, int]], mode: str, cval: float) -> Any:
    if mode not in _MODES:
        raise unknown("ndimage", "mode", mode, _MODES)
    settings: dict[str, Any] = {"constant_values": cval} if _MODES[mode] == "constant" else {}
    return np.pad(x, widths, _MODES[mode], **settings)


def _filtered(x: Any, weights: Any, mode: str, cval: float, origin: Any) -> Any:
    """Convolve: weights are centred, an even number of them to the right of the centre."""
    if np.any(origin):
        raise OptionError(message("convolve", "origin= is not supported on traced values", fix="Leave it at 0"))
    x, weights = _array(x), _array(weights)
    widths = [(m - 1 - m // 2 if m % 2 == 0 else m // 2, m // 2) for m in weights.shape]
    padded = _padded(x, widths, mode, cval)
    whole = convolution(x.ndim)(padded, weights, method="direct")
    return whole[tuple(slice(m - 1, m - 1 + n) for m, n in zip(weights.shape, x.shape, strict=True))]


@twin(scipy.ndimage.convolve)
def convolve(
    input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Any:
    """Convolve an image with weights. Twin of :func:`scipy.ndimage.convolve` that also takes traced values."""
    return _filtered(input, weights, mode, cval, origin)


@twin(scipy.ndimage.correlate)
def correlate(
    input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Any:
    """Correlate an image with weights of odd lengths. Twin of :func:`scipy.ndimage.correlate` that also takes traced values."""
    weights = _array(weights)
    if not all(m % 2 for m in weights.shape):
        raise OptionError(message("correlate", f"weights of shape {weights.shape}", fix="Give them odd lengths"))
    return _filtered(input, weights[(slice(None, None, -1),) * weights.ndim], mode, cval, origin)


@twin(scipy.ndimage.gaussian_filter1d)
def gaussian_filter1d(
    input: Any,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Any:
    """Smooth along one axis by a Gaussian of given width. Twin of :func:`scipy.ndimage.gaussian_filter1d`."""
    if holds(sigma) or order:
        what = "a traced sigma" if holds(sigma) else f"order={order}"
        raise OptionError(
            message("gaussian_filter", f"{what} is not supported on traced images", fix="Keep it a number")
        )
    x, reach = _array(input), int(truncate * float(sigma) + 0.5) if radius is None else radius
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-reach, reach + 1) ** 2)
    x = np.moveaxis(x, axis, -1)
    padded = _padded(x, [(0, 0)] * (x.ndim - 1) + [(reach, reach)], mode, cval)
    whole = CONVOLUTIONS[1](padded, weights / np.sum(weights), method="direct")
    return np.moveaxis(whole[..., 2 * reach : 2 * reach + x.shape[-1]], -1, axis)


@twin(scipy.ndimage.gaussian_filter)
def gaussian_filter(
    input: Any,
    sigma: Any,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    **keywords: Any,
) -> Any:
    """Smooth an image by Gaussians of given widths. Twin of :func:`scipy.ndimage.gaussian_filter` that also takes traced images."""
    if keywords:
        what = f"{', '.join(keywords)} is not supported on traced images"
        raise OptionError(message("gaussian_filter", what, fix="Leave it out"))
    x = _array(input)
    sigmas = [sigma] * x.ndim if holds(sigma) or math.prod(np.shape(sigma)) == 1 else list(sigma)
    for axis, width in enumerate(sigmas):
        if holds(width) or width > 1e-15:
            x = gaussian_filter1d(x, width, axis, order, None, mode, cval, truncate)
    return x
