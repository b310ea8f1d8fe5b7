"""Layers of rows: an affine map with an activation, functions of one array, and changes of shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.activations import Activation, get_activation
from hessian.nn.initializers import Initializer, get_initializer
from hessian.nn.model import ArrayLayer, ArrayParameters, Shapes, check_positive


def affine(params: Mapping[str, Any], X: Any) -> Any:
    """Apply an affine map to the last axis, ``X @ W + b``; without ``b`` where there is none. ``params`` may be traced."""
    shape, W = np.shape(X), params["W"]
    # NumPy multiplies a stack of matrices one by one; as one tall matrix they are one call of BLAS.
    rows = X if len(shape) == 2 else np.reshape(X, (-1, shape[-1]))
    product = rows @ W + params["b"] if "b" in params else rows @ W
    return product if len(shape) == 2 else np.reshape(product, (*shape[:-1], np.shape(W)[1]))


@dataclass(frozen=True, repr=False)
class Dense(ArrayLayer):
    """A fully connected layer, ``activation(X @ W + b)`` on the last axis.

    Attributes
    ----------
    n_in, n_out : int
        Widths of the last axis before and after.
    activation : str or callable
        A name listed in ``hessian.nn.ACTIVATIONS``, or any function of one array written in NumPy.
    initializer : str or callable
        Of ``W``; ``b`` starts at zero. A name listed in ``hessian.nn.INITIALIZERS``, or a function ``(rng, n_in, n_out) -> array``.

    Examples
    --------
    >>> layer = Dense(3, 2)
    >>> layer, layer.n_parameters, layer(layer.init(0), np.zeros((5, 3))).shape
    (Dense(3, 2), 8, (5, 2))
    >>> Dense(2, 1, "relu")({"W": np.array([[1.0], [2.0]]), "b": np.array([0.5])}, np.array([[3.0, 4.0], [-9.0, 0.0]])).tolist()
    [[11.5], [0.0]]
    """

    n_in: int
    n_out: int
    activation: str | Activation = "identity"
    initializer: str | Initializer = "glorot_uniform"

    def __post_init__(self) -> None:
        check_positive("Dense", n_in=self.n_in, n_out=self.n_out)
        get_activation(self.activation)
        get_initializer(self.initializer)

    @property
    def shapes(self) -> Shapes:
        """Name and shape of each array."""
        return {"W": (self.n_in, self.n_out), "b": (self.n_out,)}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        W = np.asarray(get_initializer(self.initializer)(rng, self.n_in, self.n_out))
        if W.shape != (self.n_in, self.n_out):
            what = f"the initialiser returned shape {W.shape}, the layer needs {(self.n_in, self.n_out)}"
            raise ShapeMismatchError(message("Dense.init", what, fix="Return an array of shape (n_in, n_out)"))
        return {"W": W, "b": np.zeros(self.n_out)}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        self._check(X)
        return get_activation(self.activation)(affine(params, X))

    def _check(self, X: Any) -> None:
        shape = np.shape(X)
        if len(shape) < 2 or shape[-1] != self.n_in:
            what = f"X has shape {shape}, expected (n, ..., {self.n_in})"
            why = "each row is one example, and the last axis holds its features"
            raise ShapeMismatchError(message("Dense", what, why, "Reshape X, or change the layer's n_in"))

    def affine_rows(self, X: Any) -> np.ndarray:
        """Return what W multiplies, shape (n, places, n_in): of more axes than two, each place is one; for Kronecker factors."""
        self._check(X)
        return np.reshape(X, (np.shape(X)[0], -1, self.n_in))

    def shifted(self, params: Mapping[str, Any], X: Any, shift: Any) -> Any:
        """Evaluate the layer with ``shift``, shape (n, places, n_out), added before the activation."""
        return get_activation(self.activation)(affine(params, X) + np.reshape(shift, (*np.shape(X)[:-1], self.n_out)))


class Parameterless(ArrayLayer):
    """A layer whose parameters are an empty dict."""

    @property
    def n_in(self) -> int | None:
        """Any width, unless the layer says otherwise."""
        return None

    @property
    def n_out(self) -> int | None:
        """Unknown, unless the layer says otherwise."""
        return None

    @property
    def shapes(self) -> Shapes:
        """No arrays."""
        return {}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        return {}


@dataclass(frozen=True, repr=False)
class Function(Parameterless):
    """A function of one array as a layer; ``sequential`` makes one of each name and function it is given.

    Attributes
    ----------
    function : str or callable
        A name listed in ``hessian.nn.ACTIVATIONS``, or any function of one array written in NumPy.

    Examples
    --------
    >>> Function("relu")({}, np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    function: str | Activation

    def __post_init__(self) -> None:
        get_activation(self.function)

    @property
    def keeps_width(self) -> bool:
        """Whether the last axis is known to stay as wide as it was: an activation keeps it, a function of one's own may not."""
        return isinstance(self.function, str)

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        return get_activation(self.function)(X)

    def __repr__(self) -> str:
        return repr(self.function) if isinstance(self.function, str) else super().__repr__()


@dataclass(frozen=True, repr=False)
class Flatten(Parameterless):
    """Put all features of an example in one row: ``(n, ...)`` to ``(n, features)``.

    Examples
    --------
    >>> Flatten()({}, np.zeros((5, 2, 3))).shape
    (5, 6)
    """

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        shape = np.shape(X)
        if not shape:
            raise ShapeMismatchError(
                message("Flatten", "X is a single number", "the first axis counts examples", "Pass (n, ...)")
            )
        return np.reshape(X, (shape[0], math.prod(shape[1:])))


@dataclass(frozen=True, repr=False)
class Reshape(Parameterless):
    """Give each row a shape, such as that of an image or a sequence: ``(n, features)`` to ``(n, *shape)``.

    Attributes
    ----------
    shape : tuple of int
        Of one example; its product is the width of a row.

    Examples
    --------
    >>> Reshape((8, 8, 1))({}, np.zeros((5, 64))).shape
    (5, 8, 8, 1)
    """

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple) or not self.shape:
            raise OptionError(
                message("Reshape", f"shape is {self.shape!r}", fix="Pass a tuple of integers such as (8, 8, 1)")
            )
        check_positive("Reshape", **{f"shape[{i}]": size for i, size in enumerate(self.shape)})

    @property
    def n_in(self) -> int:
        """Features of a row."""
        return math.prod(self.shape)

    @property
    def n_out(self) -> int:
        """The last axis of the shape."""
        return self.shape[-1]

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        if np.ndim(X) != 2 or np.shape(X)[1] != self.n_in:
            what, fix = f"X has shape {np.shape(X)}, expected (n, {self.n_in})", "Pass one example per row"
            raise ShapeMismatchError(message("Reshape", what, f"each row becomes an array of shape {self.shape}", fix))
        return np.reshape(X, (np.shape(X)[0], *self.shape))
