"""What every model and layer offers, and the base of layers whose parameters are a dict of arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hessian.arguments import Rng, as_generator, whole_number
from hessian.errors import DtypeError, ShapeMismatchError, message

ArrayParameters = dict[str, Any]
Parameters = list[ArrayParameters]
"""Parameters of layers one after the other."""
Shapes = dict[str, tuple[int, ...]]


@runtime_checkable
class Network(Protocol):
    """A description that draws parameters and is a pure function of them: a layer, or layers put together.

    ``n_in`` and ``n_out`` are the widths of the last axis of input and output, None where the description leaves one open;
    ``n_parameters`` counts the numbers in all arrays of the parameters.
    """

    @property
    def n_in(self) -> int | None:
        """Width of the inputs, where it is fixed."""

    @property
    def n_out(self) -> int | None:
        """Width of the outputs, where it is known."""

    @property
    def n_parameters(self) -> int:
        """Numbers in all parameters."""

    def init(self, rng: Rng = 0, dtype: npt.DTypeLike = np.float64) -> Any:
        """Draw starting parameters."""

    def apply(self, params: Any, X: Any) -> Any:
        """Evaluate the model; ``params`` may be traced."""

    def __call__(self, params: Any, X: Any) -> Any:
        """Evaluate the model, as ``apply`` does."""


class ArrayLayer(ABC):
    """Base of the layers: a frozen description, with parameters ``{name: array}`` kept outside it.

    A subclass says what its arrays are (``shapes``), how they start (``_draw``) and what it computes (``_evaluate``).
    """

    @property
    @abstractmethod
    def shapes(self) -> Shapes:
        """Name and shape of each array."""

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Return starting values of each array."""

    @abstractmethod
    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Return the output; the parameters have been checked."""

    @property
    def n_parameters(self) -> int:
        """Numbers in all arrays of the parameters."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def init(self, rng: Rng = 0, dtype: npt.DTypeLike = np.float64) -> ArrayParameters:
        """Draw starting parameters.

        Parameters
        ----------
        rng : int, numpy.random.Generator or None
            The same integer gives the same parameters; float32 ones are the float64 ones, rounded.
        dtype : dtype
            A real floating type.

        Returns
        -------
        dict
            Arrays by name, with the shapes of ``shapes``.

        Raises
        ------
        DtypeError
            ``dtype`` is not a real floating type.
        ShapeMismatchError
            An initialiser of your own returns another shape.
        """
        kind = check_dtype(f"{type(self).__name__}.init", dtype)
        drawn = self._draw(as_generator(rng, f"{type(self).__name__}.init"))
        return {name: array.astype(kind) for name, array in drawn.items()}

    def apply(self, params: Mapping[str, Any], X: Any) -> Any:
        """Evaluate the layer; the arrays may be traced.

        Raises
        ------
        ShapeMismatchError
            ``params`` are those of another layer, or ``X`` does not fit the layer.
        """
        check_arrays(type(self).__name__, params, self.shapes)
        return self._evaluate(params, X)

    def __call__(self, params: Mapping[str, Any], X: Any) -> Any:
        """Evaluate the layer, as ``apply`` does."""
        return self.apply(params, X)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(_arguments(self))})"


def _arguments(description: Any) -> list[str]:
    """Write the fields that differ from their defaults, as one would in the call."""
    written = []
    for field in fields(description):
        value = getattr(description, field.name)
        if field.default is MISSING:
            written.append(_name(value))
        elif not _is_default(field, value):
            written.append(f"{field.name}={_name(value)}")
    return written


def _is_default(field: Field[Any], value: Any) -> bool:
    """Tell whether a field was left alone."""
    return type(value) is type(field.default) and bool(value == field.default)


def _name(value: Any) -> str:
    """Write a value; a function goes by its name."""
    return str(getattr(value, "__name__", repr(value)))


def check_dtype(where: str, dtype: npt.DTypeLike) -> np.dtype:
    """Return a dtype that parameters can have."""
    kind = np.dtype(dtype)
    if kind.kind != "f":
        raise DtypeError(
            message(where, f"dtype is {kind}", "parameters must be real to be differentiated", "Pass float64")
        )
    return kind


def check_arrays(where: str, params: Any, shapes: Shapes) -> None:
    """Refuse parameters of another layer, which might broadcast in silence."""
    if not isinstance(params, Mapping) or set(params) != set(shapes):
        found = sorted(params) if isinstance(params, Mapping) else type(params).__name__
        what = f"params is {found}, expected a dict with the arrays {sorted(shapes)}"
        raise ShapeMismatchError(message(where, what, fix="Pass what init() of this layer returned"))
    for name, wanted in shapes.items():
        if np.shape(params[name]) != wanted:
            what = f"params[{name!r}] has shape {np.shape(params[name])}, the layer needs {wanted}"
            raise ShapeMismatchError(message(where, what, fix="Pass what init() of this layer returned"))


def check_positive(where: str, **sizes: Any) -> None:
    """Refuse a size that is not a positive integer."""
    for name, size in sizes.items():
        whole_number(where, name, size, why="it counts something")


def check_features(where: str, X: Any, n_in: int, axes: str) -> None:
    """Refuse an input whose axes are not those named, such as ``"n, time"``, and one of ``n_in`` features."""
    shape = np.shape(X)
    n_axes = axes.count(",") + 2
    if len(shape) != n_axes or shape[-1] != n_in:
        what, why = f"X has shape {shape}, expected ({axes}, {n_in})", "the last axis holds the features"
        raise ShapeMismatchError(message(where, what, why, "Reshape X, or change the layer's n_in"))
