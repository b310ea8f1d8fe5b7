"""Convolutions and pooling of images, with channels on the last axis: ``(n, height, width, channels)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import index
from typing import Any

import numpy as np

from hessian.arguments import choose
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.initializers import Initializer, draw_weights, get_initializer
from hessian.nn.layers import Parameterless
from hessian.nn.model import ArrayLayer, ArrayParameters, Shapes, check_features, check_positive

Pair = int | tuple[int, int]


@dataclass(frozen=True, repr=False)
class Convolution(ArrayLayer):
    """Filters sliding over images: ``Y[n, i, j, o] = b[o] + Σ_{p q c} X[n, s i + p, s j + q, c] W[p, q, c, o]``.

    The filters are not flipped: the formula is a cross-correlation, which is what networks call a convolution. The input is
    (n, h, w, n_in), the output (n, 1 + (h + 2 padding - rows) // stride, 1 + (w + 2 padding - columns) // stride, n_out).

    Attributes
    ----------
    n_in, n_out : int
        Channels before and after, on the last axis.
    size : int or (int, int)
        Rows and columns of a filter.
    stride, padding : int or (int, int)
        Steps between the places of a filter, down and across, and rows and columns of zeros on each side of the images.
    bias : bool
        Whether there is a ``b``, which starts at zero.
    initializer : str or callable
        Of the filters, for a fan in of ``rows columns n_in`` and a fan out of ``rows columns n_out``.

    Notes
    -----
    Cost: windows are copied side by side (``rows columns`` times the memory of the input), so that all filters are one matrix
    product. Windows of a constant input are copied once for a recorded function, not once per call.

    Examples
    --------
    >>> layer = Convolution(1, 1, 2, bias=False)
    >>> layer({"W": np.ones((2, 2, 1, 1))}, np.arange(9.0).reshape(1, 3, 3, 1))[0, :, :, 0].tolist()
    [[8.0, 12.0], [20.0, 24.0]]
    """

    n_in: int
    n_out: int
    size: Pair
    stride: Pair = 1
    padding: Pair = 0
    bias: bool = True
    initializer: str | Initializer = "glorot_uniform"

    def __post_init__(self) -> None:
        check_positive("Convolution", n_in=self.n_in, n_out=self.n_out)
        _pair("Convolution", "size", self.size, 1)
        _pair("Convolution", "stride", self.stride, 1)
        _pair("Convolution", "padding", self.padding, 0)
        get_initializer(self.initializer)

    @property
    def shapes(self) -> Shapes:
        """Name and shape of each array."""
        filters: Shapes = {"W": (*_pair("Convolution", "size", self.size, 1), self.n_in, self.n_out)}
        return filters | {"b": (self.n_out,)} if self.bias else filters

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Draw the filters; the bias starts at zero."""
        shape = self.shapes["W"]
        area = shape[0] * shape[1]
        # An initialiser reads both fans off the shape it is asked for. Each input reaches area * n_out outputs, of which
        # the matrix of the product holds n_out columns.
        drawn = draw_weights("Convolution.init", self.initializer, rng, area * self.n_in, area * self.n_out)
        W = drawn[:, : self.n_out].reshape(shape)
        return {"W": W, "b": np.zeros(self.n_out)} if self.bias else {"W": W}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Convolve images of the layer's channels."""
        W = params["W"]
        height, width, n_in, n_out = np.shape(W)
        check_features("Convolution", X, n_in, "n, h, w")
        padded = _pad(X, _pair("Convolution", "padding", self.padding, 0))
        windows = _windows("Convolution", padded, (height, width), _pair("Convolution", "stride", self.stride, 1))
        places = np.shape(windows[0])[:3]
        patches = windows[0] if len(windows) == 1 else np.concatenate(windows, axis=-1)
        rows = np.reshape(patches, (-1, height * width * n_in)) @ np.reshape(W, (height * width * n_in, n_out))
        return np.reshape(rows + params["b"] if "b" in params else rows, (*places, n_out))


@dataclass(frozen=True, repr=False)
class Pooling(Parameterless):
    """The average or the maximum over windows of an image, channel by channel; no parameters.

    The input is (n, h, w, channels), the output (n, 1 + (h - rows) // stride, 1 + (w - columns) // stride, channels); rows
    and columns that fill no window are left out.

    Attributes
    ----------
    size : int or (int, int)
        Rows and columns of a window.
    kind : {"average", "max"}
    stride : int or (int, int), optional
        Steps between windows; ``size`` where left out.

    Notes
    -----
    For the maximum, windows are compared entry by entry with ``maximum``, each comparison sharing the derivative equally at
    a tie: the shares add up to one, and second derivatives are zero.

    Examples
    --------
    >>> X = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> Pooling(2)({}, X)[0, :, :, 0].tolist(), Pooling(2, "max")({}, X)[0, :, :, 0].tolist()
    ([[2.5, 4.5], [10.5, 12.5]], [[5.0, 7.0], [13.0, 15.0]])
    """

    size: Pair
    kind: str = "average"
    stride: Pair | None = None

    def __post_init__(self) -> None:
        choose("hessian.nn", "pooling", self.kind, _POOLINGS)
        _pair("Pooling", "size", self.size, 1)
        _pair("Pooling", "stride", self.size if self.stride is None else self.stride, 1)

    @property
    def keeps_width(self) -> bool:
        """The channels stay."""
        return True

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Pool the images."""
        if np.ndim(X) != 4:
            what = f"X has shape {np.shape(X)}, expected (n, h, w, channels)"
            raise ShapeMismatchError(message("Pooling", what, fix="Reshape X to images"))
        extent = _pair("Pooling", "size", self.size, 1)
        stride = extent if self.stride is None else _pair("Pooling", "stride", self.stride, 1)
        return _POOLINGS[self.kind](_windows("Pooling", X, extent, stride))


def _average(windows: list[Any]) -> Any:
    return reduce(np.add, windows) / len(windows)


def _largest(windows: list[Any]) -> Any:
    return reduce(np.maximum, windows)


_POOLINGS: dict[str, Callable[[list[Any]], Any]] = {"average": _average, "max": _largest}


def _pair(where: str, name: str, value: Any, least: int) -> tuple[int, int]:
    """Return two integers, of which neither is below ``least``; one integer stands for both."""
    try:
        both = (index(value),) * 2 if not isinstance(value, tuple | list) else tuple(index(part) for part in value)
    except TypeError:
        both = ()
    if len(both) != 2 or min(both) < least:
        raise OptionError(message(where, f"{name} is {value!r}", fix=f"Pass an integer >= {least}, or two of them"))
    return both


def _pad(X: Any, padding: tuple[int, int]) -> Any:
    """Put rows and columns of zeros around images."""
    for axis, width in zip((1, 2), padding, strict=True):
        if width:
            shape = np.shape(X)
            border = np.zeros((*shape[:axis], width, *shape[axis + 1 :]), X.dtype)
            X = np.concatenate([border, X, border], axis=axis)
    return X


def _windows(where: str, X: Any, size: tuple[int, int], stride: tuple[int, int]) -> list[Any]:
    """Return, for each place in a window, the entries at that place in all windows: slices, which are views."""
    _, h, w, _ = np.shape(X)
    (height, width), (down, across) = size, stride
    if h < height or w < width:
        what = f"images of {h} by {w} are smaller than windows of {height} by {width}"
        raise ShapeMismatchError(message(where, what, "no window fits", "Pad the images, or use smaller windows"))
    rows, columns = (h - height) // down * down + 1, (w - width) // across * across + 1
    return [X[:, p : p + rows : down, q : q + columns : across, :] for p in range(height) for q in range(width)]
