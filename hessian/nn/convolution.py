"""Convolutions and pooling of images, with channels on the last axis: ``(n, height, width, channels)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import index
from typing import Any, Literal

import numpy as np

from hessian.arguments import choose
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.initializers import INITIALIZERS
from hessian.nn.layers import Parameterless
from hessian.nn.model import ArrayLayer, ArrayParameters, Shapes, check_features, check_positive

Pair = int | tuple[int, int]


@dataclass(frozen=True, repr=False)
class Convolution(ArrayLayer):
    """Filters sliding over images: ``Y[n, i, j, o] = b[o] + Σ_{p q c} X[n, i + p, j + q, c] W[p, q, c, o]``.

    The filters are not flipped: the formula is a cross-correlation, which is what networks call a convolution. The input is
    (n, h, w, n_in), the output (n, h - rows + 1, w - columns + 1, n_out).

    Attributes
    ----------
    n_in, n_out : int
        Channels before and after, on the last axis.
    size : int or (int, int)
        Rows and columns of a filter.

    Notes
    -----
    Filters start as by ``"glorot_uniform"`` for a fan in of ``rows columns n_in`` and a fan out of ``rows columns n_out``, the
    bias at zero. Cost: windows are copied side by side (``rows columns`` times the memory of the input), so that all filters are one matrix
    product. Windows of a constant input are copied once for a recorded function, not once per call.

    Examples
    --------
    >>> layer = Convolution(1, 1, 2)
    >>> layer({"W": np.ones((2, 2, 1, 1)), "b": np.zeros(1)}, np.arange(9.0).reshape(1, 3, 3, 1))[0, :, :, 0].tolist()
    [[8.0, 12.0], [20.0, 24.0]]
    """

    n_in: int
    n_out: int
    size: Pair

    def __post_init__(self) -> None:
        check_positive("Convolution", n_in=self.n_in, n_out=self.n_out)
        _pair("Convolution", self.size)

    @property
    def shapes(self) -> Shapes:
        """Name and shape of each array."""
        return {"W": (*_pair("Convolution", self.size), self.n_in, self.n_out), "b": (self.n_out,)}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Draw the filters; the bias starts at zero."""
        shape = self.shapes["W"]
        area = shape[0] * shape[1]
        # An initialiser reads both fans off the shape it is asked for. Each input reaches area * n_out outputs, of which
        # the matrix of the product holds n_out columns.
        drawn = INITIALIZERS["glorot_uniform"](rng, area * self.n_in, area * self.n_out)
        return {"W": drawn[:, : self.n_out].reshape(shape), "b": np.zeros(self.n_out)}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        patches = self._patches(X)
        entries = np.shape(patches)[-1]
        rows = np.reshape(patches, (-1, entries)) @ np.reshape(params["W"], (entries, self.n_out))
        return np.reshape(rows + params["b"], (*np.shape(patches)[:3], self.n_out))

    def _patches(self, X: Any) -> Any:
        """Return all windows side by side, shape (n, h', w', rows columns n_in)."""
        check_features("Convolution", X, self.n_in, "n, h, w")
        windows = _windows("Convolution", X, _pair("Convolution", self.size), (1, 1))
        return windows[0] if len(windows) == 1 else np.concatenate(windows, axis=-1)

    def affine_rows(self, X: Any) -> np.ndarray:
        """Return what W multiplies, shape (n, places, rows columns n_in); for Kronecker factors."""
        patches = self._patches(X)
        return np.reshape(patches, (np.shape(patches)[0], -1, np.shape(patches)[-1]))

    def shifted(self, params: Mapping[str, Any], X: Any, shift: Any) -> Any:
        """Evaluate the layer with ``shift``, shape (n, places, n_out), added to the output."""
        output = self._evaluate(params, X)
        return output + np.reshape(shift, np.shape(output))


@dataclass(frozen=True, repr=False)
class Pooling(Parameterless):
    """The average or the maximum over windows of an image, channel by channel; no parameters.

    The input is (n, h, w, channels), the output (n, h // rows, w // columns, channels); what fills no window is left out.

    Attributes
    ----------
    size : int or (int, int)
        Rows and columns of a window.
    kind : {"average", "max"}

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
    kind: Literal["average", "max"] = "average"

    def __post_init__(self) -> None:
        choose("hessian.nn", "pooling", self.kind, _POOLINGS)
        _pair("Pooling", self.size)

    @property
    def keeps_width(self) -> bool:
        """The channels stay."""
        return True

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        if np.ndim(X) != 4:
            what = f"X has shape {np.shape(X)}, expected (n, h, w, channels)"
            raise ShapeMismatchError(message("Pooling", what, fix="Reshape X to images"))
        extent = _pair("Pooling", self.size)
        return _POOLINGS[self.kind](_windows("Pooling", X, extent, extent))


def _average(windows: list[Any]) -> Any:
    return reduce(np.add, windows) / len(windows)


def _largest(windows: list[Any]) -> Any:
    return reduce(np.maximum, windows)


_POOLINGS: dict[str, Callable[[list[Any]], Any]] = {"average": _average, "max": _largest}


def _pair(where: str, size: Any) -> tuple[int, int]:
    """Return rows and columns of a window; one integer stands for both."""
    try:
        both = (index(size),) * 2 if not isinstance(size, tuple | list) else tuple(index(part) for part in size)
    except TypeError:
        both = ()
    if len(both) != 2 or min(both) < 1:
        raise OptionError(message(where, f"size is {size!r}", fix="Pass an integer >= 1, or two of them"))
    return both


def _windows(where: str, X: Any, size: tuple[int, int], stride: tuple[int, int]) -> list[Any]:
    """Return, for each place in a window, the entries at that place in all windows: slices, which are views."""
    _, h, w, _ = np.shape(X)
    (height, width), (down, across) = size, stride
    if h < height or w < width:
        what = f"images of {h} by {w} are smaller than windows of {height} by {width}"
        raise ShapeMismatchError(message(where, what, "no window fits", "Use smaller windows"))
    rows, columns = (h - height) // down * down + 1, (w - width) // across * across + 1
    return [X[:, p : p + rows : down, q : q + columns : across, :] for p in range(height) for q in range(width)]
