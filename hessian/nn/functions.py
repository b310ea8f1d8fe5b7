"""Layers without parameters: functions of one array, and changes of shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.activations import Activation, get_activation
from hessian.nn.model import ArrayLayer, ArrayParameters, Shapes, check_positive


class _Parameterless(ArrayLayer):
    """A layer whose parameters are an empty dict."""

    @property
    def shapes(self) -> Shapes:
        """No arrays."""
        return {}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Draw nothing."""
        return {}


@dataclass(frozen=True, repr=False)
class Function(_Parameterless):
    """A function of one array as a layer; `sequential` makes one of each name and function it is given.

    Attributes
    ----------
    function : str or callable
        A name listed in `hessian.nn.ACTIVATIONS`, or any function of one array written in NumPy.

    Examples
    --------
    >>> Function("relu")({}, np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    function: str | Activation

    def __post_init__(self) -> None:
        get_activation(self.function)

    @property
    def n_in(self) -> None:
        """Any width."""
        return None

    @property
    def n_out(self) -> None:
        """For an activation, the width that came in; for a function of one's own, unknown."""
        return None

    @property
    def keeps_width(self) -> bool:
        """Whether the last axis is known to stay as wide as it was."""
        return isinstance(self.function, str)

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Apply the function."""
        return get_activation(self.function)(X)

    def __repr__(self) -> str:
        return repr(self.function) if isinstance(self.function, str) else super().__repr__()


@dataclass(frozen=True, repr=False)
class Flatten(_Parameterless):
    """Put all features of an example in one row: ``(n, ...)`` to ``(n, features)``.

    Examples
    --------
    >>> Flatten()({}, np.zeros((5, 2, 3))).shape
    (5, 6)
    """

    @property
    def n_in(self) -> None:
        """Any width."""
        return None

    @property
    def n_out(self) -> None:
        """The product of axes that the layer does not know."""
        return None

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Join all axes but the first."""
        shape = np.shape(X)
        if not shape:
            raise ShapeMismatchError(
                message("Flatten", "X is a single number", "the first axis counts examples", "Pass (n, ...)")
            )
        return np.reshape(X, (shape[0], math.prod(shape[1:])))


@dataclass(frozen=True, repr=False)
class Reshape(_Parameterless):
    """Give each row a shape, such as that of an image: ``(n, features)`` to ``(n, *shape)``.

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
        """Give each row the shape."""
        if np.ndim(X) != 2 or np.shape(X)[1] != self.n_in:
            raise ShapeMismatchError(
                message(
                    "Reshape",
                    f"X has shape {np.shape(X)}, expected (n, {self.n_in})",
                    f"each row becomes an array of shape {self.shape}",
                    "Pass one example per row",
                )
            )
        return np.reshape(X, (np.shape(X)[0], *self.shape))
