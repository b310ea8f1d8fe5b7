"""Convolutions and pooling of images, with channels on the last axis: ``(n, height, width, channels)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.choices import choose
from hessian.nn.initializers import Initializer, draw_weights, get_initializer
from hessian.nn.model import ArrayLayer, ArrayParameters, Shapes, check_features, check_positive

Pair = int | tuple[int, int]


def convolution(params: Mapping[str, Any], X: Any, *, stride: Pair = 1, padding: Pair = 0) -> Any:
    """Slide filters over images: ``Y[n, i, j, o] = b[o] + Σ_{p q c} X[n, s i + p, s j + q, c] W[p, q, c, o]``.

    The filters are not flipped: the formula is a cross-correlation, which is what networks call a convolution.

    Parameters
    ----------
    params : mapping
        ``{"W": (height, width, n_in, n_out), "b": (n_out,)}``, ``b`` optional; may be traced.
    X : array, (n, h, w, n_in)
    stride : int or (int, int)
        Steps between the places of a filter, down and across.
    padding : int or (int, int)
        Rows and columns of zeros put on each side of the images.

    Returns
    -------
    array, (n, 1 + (h + 2 padding - height) // stride, 1 + (w + 2 padding - width) // stride, n_out)

    Raises
    ------
    ShapeMismatchError
        If the padded images are smaller than the filters, or the channels differ.
    OptionError
        If `stride` is not positive or `padding` is negative.

    Cost
    ----
    Windows are copied side by side (``height width`` times the memory of `X`), so that all filters are one matrix
    product. Windows of a constant `X` are copied once for a recorded function, not once per call.

    Examples
    --------
    >>> X = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> convolution({"W": np.ones((2, 2, 1, 1))}, X)[0, :, :, 0].tolist()
    [[8.0, 12.0], [20.0, 24.0]]
    """
    W = params["W"]
    height, width, n_in, n_out = np.shape(W)
    check_features("convolution", X, n_in, "n, h, w")
    padded = _pad(X, _pair("convolution", "padding", padding, 0))
    windows = _windows("convolution", padded, (height, width), _pair("convolution", "stride", stride, 1))
    places = np.shape(windows[0])[:3]
    patches = windows[0] if len(windows) == 1 else np.concatenate(windows, axis=-1)
    rows = np.reshape(patches, (-1, height * width * n_in)) @ np.reshape(W, (height * width * n_in, n_out))
    return np.reshape(rows + params["b"] if "b" in params else rows, (*places, n_out))


def average_pool(X: Any, size: Pair, *, stride: Pair | None = None) -> Any:
    """Average the entries of each window, channel by channel.

    Parameters
    ----------
    X : array, (n, h, w, channels)
        May be traced.
    size : int or (int, int)
        Rows and columns of a window.
    stride : int or (int, int), optional
        Steps between windows; `size` where left out. Rows and columns that fill no window are left out.

    Returns
    -------
    array, (n, 1 + (h - size) // stride, 1 + (w - size) // stride, channels)

    Raises
    ------
    ShapeMismatchError
        If `X` has no four axes, or its images are smaller than a window.
    OptionError
        If `size` or `stride` is not positive.

    Examples
    --------
    >>> average_pool(np.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    windows = _pooled("average_pool", X, size, stride)
    total = windows[0]
    for window in windows[1:]:
        total = total + window
    return total / len(windows)


def max_pool(X: Any, size: Pair, *, stride: Pair | None = None) -> Any:
    """Take the largest entry of each window, channel by channel.

    Parameters, result and errors are those of `average_pool`.

    Notes
    -----
    Windows are compared entry by entry with ``maximum``, each comparison sharing the derivative equally at a tie: the
    shares add up to one, and second derivatives are zero.

    Examples
    --------
    >>> max_pool(np.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    windows = _pooled("max_pool", X, size, stride)
    largest = windows[0]
    for window in windows[1:]:
        largest = np.maximum(largest, window)
    return largest


@dataclass(frozen=True, repr=False)
class Convolution(ArrayLayer):
    """A two-dimensional convolution of `n_in` channels into `n_out`; see `convolution`.

    Attributes
    ----------
    n_in, n_out : int
        Channels before and after, on the last axis.
    size : int or (int, int)
        Rows and columns of a filter.
    stride, padding : int or (int, int)
        Steps between places, and zeros on each side.
    bias : bool
        Whether there is a ``b``, which starts at zero.
    initializer : str or callable
        Of the filters, for a fan in of ``rows columns n_in`` and a fan out of ``rows columns n_out``.

    Examples
    --------
    >>> layer = Convolution(1, 4, 3, padding=1)
    >>> layer(layer.init(seed=0), np.zeros((2, 8, 8, 1))).shape
    (2, 8, 8, 4)
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
        return convolution(params, X, stride=self.stride, padding=self.padding)


@dataclass(frozen=True, repr=False)
class Pooling(ArrayLayer):
    """Average or maximum over windows of an image; no parameters.

    Attributes
    ----------
    size : int or (int, int)
        Rows and columns of a window.
    kind : {"average", "max"}
    stride : int or (int, int), optional
        Steps between windows; `size` where left out.

    Examples
    --------
    >>> Pooling(2)({}, np.zeros((1, 8, 8, 3))).shape
    (1, 4, 4, 3)
    """

    size: Pair
    kind: str = "average"
    stride: Pair | None = None

    def __post_init__(self) -> None:
        choose("pooling", self.kind, _POOLINGS)
        _pair("Pooling", "size", self.size, 1)
        _pair("Pooling", "stride", self.size if self.stride is None else self.stride, 1)

    @property
    def n_in(self) -> None:
        """Any number of channels."""
        return None

    @property
    def n_out(self) -> None:
        """As many channels as there were."""
        return None

    @property
    def keeps_width(self) -> bool:
        """The channels stay."""
        return True

    @property
    def shapes(self) -> Shapes:
        """No arrays."""
        return {}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Draw nothing."""
        return {}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Pool the images."""
        return _POOLINGS[self.kind](X, self.size, stride=self.stride)


_POOLINGS = {"average": average_pool, "max": max_pool}


def _pair(where: str, name: str, value: Any, least: int) -> tuple[int, int]:
    """Return two integers, of which neither is below `least`; one integer stands for both."""
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
        raise ShapeMismatchError(
            message(
                where,
                f"images of {h} by {w} are smaller than windows of {height} by {width}",
                "no window fits",
                "Pad the images, or use smaller windows",
            )
        )
    rows, columns = (h - height) // down * down + 1, (w - width) // across * across + 1
    return [X[:, p : p + rows : down, q : q + columns : across, :] for p in range(height) for q in range(width)]


def _pooled(where: str, X: Any, size: Pair, stride: Pair | None) -> list[Any]:
    """Return the windows of a pooling."""
    if np.ndim(X) != 4:
        raise ShapeMismatchError(
            message(where, f"X has shape {np.shape(X)}, expected (n, h, w, channels)", fix="Reshape X to images")
        )
    extent = _pair(where, "size", size, 1)
    return _windows(where, X, extent, extent if stride is None else _pair(where, "stride", stride, 1))
