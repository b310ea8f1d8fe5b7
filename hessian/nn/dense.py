"""Layers that are one table of weights: dense layers and embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import DtypeError, OptionError, ShapeMismatchError, message
from hessian.nn.initializers import Initializer, draw_weights, get_initializer
from hessian.nn.model import ArrayLayer, ArrayParameters, Shapes, check_positive
from hessian.rules.spec import Traced


def dense(params: Mapping[str, Any], X: Any) -> Any:
    """Apply an affine map to the last axis: ``X @ W + b``, without ``b`` where there is none.

    Parameters
    ----------
    params : mapping
        ``{"W": (n_in, n_out), "b": (n_out,)}``; may be traced.
    X : array, (..., n_in)

    Returns
    -------
    array, (..., n_out)

    Cost
    ----
    One matrix product whatever the number of axes: ``2 rows n_in n_out`` flops.

    Examples
    --------
    >>> dense({"W": np.array([[1.0], [2.0]]), "b": np.array([0.5])}, np.array([[3.0, 4.0]])).tolist()
    [[11.5]]
    """
    shape, W = np.shape(X), params["W"]
    # NumPy multiplies a stack of matrices one by one; as one tall matrix they are one call of BLAS.
    rows = X if len(shape) == 2 else np.reshape(X, (-1, shape[-1]))
    product = rows @ W + params["b"] if "b" in params else rows @ W
    return product if len(shape) == 2 else np.reshape(product, (*shape[:-1], np.shape(W)[1]))


@dataclass(frozen=True, repr=False)
class Dense(ArrayLayer):
    """A fully connected layer, ``X @ W + b`` on the last axis.

    Attributes
    ----------
    n_in, n_out : int
        Widths of the last axis before and after.
    bias : bool
        Whether there is a ``b``, which starts at zero.
    initializer : str or callable
        Of ``W``: a name listed in `hessian.nn.INITIALIZERS`, or a function ``(rng, n_in, n_out) -> array``.

    Examples
    --------
    >>> layer = Dense(3, 2)
    >>> layer, layer.n_parameters, layer(layer.init(seed=0), np.zeros((5, 3))).shape
    (Dense(3, 2), 8, (5, 2))
    """

    n_in: int
    n_out: int
    bias: bool = True
    initializer: str | Initializer = "glorot_uniform"

    def __post_init__(self) -> None:
        check_positive("Dense", n_in=self.n_in, n_out=self.n_out)
        get_initializer(self.initializer)

    @property
    def shapes(self) -> Shapes:
        """Name and shape of each array."""
        weights: Shapes = {"W": (self.n_in, self.n_out)}
        return weights | {"b": (self.n_out,)} if self.bias else weights

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Draw the weights; the bias starts at zero."""
        W = draw_weights("Dense.init", self.initializer, rng, self.n_in, self.n_out)
        return {"W": W, "b": np.zeros(self.n_out)} if self.bias else {"W": W}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Apply the layer to inputs of its width."""
        shape = np.shape(X)
        if len(shape) < 2 or shape[-1] != self.n_in:
            raise ShapeMismatchError(
                message(
                    "Dense",
                    f"X has shape {shape}, expected (n, ..., {self.n_in})",
                    "the last axis holds the features",
                    "Reshape X, or change the layer's n_in",
                )
            )
        return dense(params, X)


def embedding(params: Mapping[str, Any], tokens: Any) -> Any:
    """Look up the row of each token: ``W[tokens]``.

    Tokens are integers and not differentiated. The derivative in ``W`` adds up over the places where a token occurs.

    Parameters
    ----------
    params : mapping
        ``{"W": (n_tokens, n_out)}``; may be traced.
    tokens : array of integers in [0, n_tokens), any shape

    Returns
    -------
    array, tokens.shape + (n_out,)

    Raises
    ------
    DtypeError
        If the tokens are not integers.
    OptionError
        If a token is out of range; a negative one would count from the end in silence.

    Examples
    --------
    >>> embedding({"W": np.array([[1.0, 2.0], [3.0, 4.0]])}, [1, 1, 0]).tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    # A traced value keeps its trace: tokens that are arguments of a recorded function change from call to call.
    rows = tokens if isinstance(tokens, Traced) else np.asarray(tokens)
    if rows.dtype.kind not in "iu":
        raise DtypeError(
            message(
                "embedding",
                f"tokens of shape {rows.shape} have dtype {rows.dtype}",
                "a token is the number of a row",
                "Pass tokens.astype(int)",
            )
        )
    n_tokens = np.shape(params["W"])[0]
    if rows.size and not (rows.min() >= 0 and rows.max() < n_tokens):
        raise OptionError(
            message(
                "embedding",
                f"tokens run from {int(rows.min())} to {int(rows.max())}, the rows are 0 to {n_tokens - 1}",
                fix="Number the tokens from 0, or raise n_tokens",
            )
        )
    return params["W"][rows]


@dataclass(frozen=True, repr=False)
class Embedding(ArrayLayer):
    """A table with one row of `n_out` numbers for each of `n_tokens` integers.

    Attributes
    ----------
    n_tokens, n_out : int
    initializer : str or callable
        Of the table; its entries start with variance one.

    Examples
    --------
    >>> layer = Embedding(10, 4)
    >>> layer(layer.init(seed=0), np.array([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    n_tokens: int
    n_out: int
    initializer: str | Initializer = "standard_normal"

    def __post_init__(self) -> None:
        check_positive("Embedding", n_tokens=self.n_tokens, n_out=self.n_out)
        get_initializer(self.initializer)

    @property
    def n_in(self) -> None:
        """Tokens have no axis of features."""
        return None

    @property
    def shapes(self) -> Shapes:
        """Name and shape of each array."""
        return {"W": (self.n_tokens, self.n_out)}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Draw the table."""
        return {"W": draw_weights("Embedding.init", self.initializer, rng, self.n_tokens, self.n_out)}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Look up the tokens."""
        return embedding(params, X)
