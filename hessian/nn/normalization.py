"""Layer normalisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.model import ArrayLayer, ArrayParameters, Shapes, check_positive


def layer_norm(params: Mapping[str, Any], X: Any, *, epsilon: float = 1e-5) -> Any:
    """Standardise the last axis, then scale and shift: ``gain (x - mean) / sqrt(variance + epsilon) + shift``.

    Parameters
    ----------
    params : mapping
        ``{"gain": (n,), "shift": (n,)}``; may be traced.
    X : array, (..., n)
    epsilon : float
        Keeps the derivative finite where all features of a row are equal.

    Returns
    -------
    array, (..., n)

    Notes
    -----
    The variance divides by n, not by n - 1, as in the reference and in every library.

    References
    ----------
    Ba, Kiros and Hinton (2016), eq. 4.

    Examples
    --------
    >>> layer_norm({"gain": np.ones(2), "shift": np.zeros(2)}, np.array([[1.0, 3.0]]), epsilon=0.0).tolist()
    [[-1.0, 1.0]]
    """
    centred = X - np.mean(X, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return params["gain"] * (centred / np.sqrt(variance + epsilon)) + params["shift"]


@dataclass(frozen=True, repr=False)
class LayerNorm(ArrayLayer):
    """Layer normalisation of the last axis; see `layer_norm`.

    Attributes
    ----------
    n_features : int
        Width of the last axis, before and after.
    epsilon : float
        Added to the variance; at least 0.

    Examples
    --------
    >>> layer = LayerNorm(4)
    >>> out = layer(layer.init(), np.arange(8.0).reshape(2, 4))
    >>> bool(np.allclose(out.mean(axis=1), 0.0)), bool(np.allclose(out.std(axis=1), 1.0, atol=1e-5))
    (True, True)
    """

    n_features: int
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_positive("LayerNorm", n_features=self.n_features)
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise OptionError(
                message("LayerNorm", f"epsilon is {self.epsilon!r}", "it is added to a variance", "Pass a number >= 0")
            )

    @property
    def n_in(self) -> int:
        """Features before."""
        return self.n_features

    @property
    def n_out(self) -> int:
        """Features after: as many."""
        return self.n_features

    @property
    def shapes(self) -> Shapes:
        """Name and shape of each array."""
        return {"gain": (self.n_features,), "shift": (self.n_features,)}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Start from the plain standardisation."""
        return {"gain": np.ones(self.n_features), "shift": np.zeros(self.n_features)}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Normalise inputs of the layer's width."""
        shape = np.shape(X)
        if not shape or shape[-1] != self.n_features:
            raise ShapeMismatchError(
                message(
                    "LayerNorm",
                    f"X has shape {shape}, expected (..., {self.n_features})",
                    "one gain and one shift belong to each feature",
                    "Reshape X, or change the layer's n_features",
                )
            )
        return layer_norm(params, X, epsilon=self.epsilon)
