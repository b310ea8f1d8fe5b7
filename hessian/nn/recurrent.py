"""Recurrent layers: a state carried along the second axis of ``(n, time, features)`` by a Python loop.

The loop is unrolled where the function is recorded: a program of T steps has T times the instructions of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.activations import Activation, get_activation
from hessian.nn.dense import dense
from hessian.nn.initializers import Initializer, draw_weights, get_initializer
from hessian.nn.model import ArrayLayer, ArrayParameters, Shapes, check_features, check_positive

_STATES = ("last", "all")


def recurrent(params: Mapping[str, Any], X: Any, *, activation: str | Activation = "tanh", states: str = "last") -> Any:
    """Carry a state along a sequence: ``h_t = activation(x_t @ W + h_{t-1} @ U + b)``, with ``h_0 = 0``.

    Parameters
    ----------
    params : mapping
        ``{"W": (n_in, n_out), "U": (n_out, n_out), "b": (n_out,)}``; may be traced.
    X : array, (n, time, n_in)
        At least one step.
    activation : str or callable
    states : {"last", "all"}
        What to return: the state after the last step, or after each.

    Returns
    -------
    array, (n, n_out) or (n, time, n_out)

    Raises
    ------
    ShapeMismatchError
        If `X` has no three axes, other features, or no steps.
    OptionError
        If `states` or the name of the activation is unknown.

    Cost
    ----
    ``2 n time n_out (n_in + n_out)`` flops, in one product with ``W`` for all steps and one with ``U`` for each but the
    first.

    References
    ----------
    Elman (1990).

    Examples
    --------
    >>> params = {"W": np.ones((1, 1)), "U": np.ones((1, 1)), "b": np.zeros(1)}
    >>> recurrent(params, np.array([[[1.0], [2.0], [3.0]]]), activation="identity", states="all").ravel().tolist()
    [1.0, 3.0, 6.0]
    """
    _check_sequence("recurrent", params, X, states)
    function, driven = get_activation(activation), dense({"W": params["W"], "b": params["b"]}, X)
    history = [function(driven[:, 0])]
    for step in range(1, np.shape(X)[1]):
        history.append(function(driven[:, step] + history[-1] @ params["U"]))
    return history[-1] if states == "last" else np.stack(history, axis=1)


def gru(params: Mapping[str, Any], X: Any, *, states: str = "last") -> Any:
    """Carry a gated state along a sequence.

    With σ the logistic function and ``h_0 = 0``::

        r = σ(x_t @ W_r + b_r + h_{t-1} @ U_r)                      reset
        z = σ(x_t @ W_z + b_z + h_{t-1} @ U_z)                      update
        c = tanh(x_t @ W_c + b_c + r (h_{t-1} @ U_c + d))           candidate
        h_t = (1 - z) c + z h_{t-1}

    Parameters
    ----------
    params : mapping
        ``{"W": (n_in, 3 n_out), "U": (n_out, 3 n_out), "b": (3 n_out,), "d": (n_out,)}``, the columns of r, z and c in
        this order; may be traced.
    X : array, (n, time, n_in)
        At least one step.
    states : {"last", "all"}
        What to return: the state after the last step, or after each.

    Returns
    -------
    array, (n, n_out) or (n, time, n_out)

    Raises
    ------
    ShapeMismatchError
        If `X` has no three axes, other features, or no steps.
    OptionError
        If `states` is unknown.

    Cost
    ----
    ``6 n time n_out (n_in + n_out)`` flops, in one product with ``W`` for all steps and one with ``U`` for each but the
    first.

    Notes
    -----
    The reset gate acts after the product with ``U_c``, as in cuDNN, torch and Keras (``reset_after``), so that one product
    serves all gates; in the paper it acts before. torch's second bias of r and z, which is redundant, is left out.

    References
    ----------
    Cho, van Merriënboer, Gulcehre, Bahdanau, Bougares, Schwenk and Bengio (2014), eq. 5-8.

    Examples
    --------
    >>> params = {"W": np.zeros((1, 3)), "U": np.zeros((1, 3)), "b": np.zeros(3), "d": np.zeros(1)}
    >>> gru(params | {"b": np.array([0.0, 0.0, np.arctanh(0.5)])}, np.zeros((1, 2, 1)), states="all").ravel().tolist()
    [0.25, 0.375]
    """
    _check_sequence("gru", params, X, states)
    driven, d = dense({"W": params["W"], "b": params["b"]}, X), params["d"]
    history = [_first_gated(driven[:, 0], d)]
    for step in range(1, np.shape(X)[1]):
        history.append(_gated(driven[:, step], history[-1] @ params["U"], d, history[-1]))
    return history[-1] if states == "last" else np.stack(history, axis=1)


def _first_gated(driven: Any, d: Any) -> Any:
    """Take the step from the state zero, which needs no product."""
    n_out = np.shape(d)[0]
    gates = expit(driven[:, : 2 * n_out])
    candidate = np.tanh(driven[:, 2 * n_out :] + gates[:, :n_out] * d)
    return (1 - gates[:, n_out:]) * candidate


def _gated(driven: Any, fed_back: Any, d: Any, state: Any) -> Any:
    """Take a step of a GRU from `state`."""
    n_out = np.shape(d)[0]
    gates = expit(driven[:, : 2 * n_out] + fed_back[:, : 2 * n_out])
    candidate = np.tanh(driven[:, 2 * n_out :] + gates[:, :n_out] * (fed_back[:, 2 * n_out :] + d))
    return candidate + gates[:, n_out:] * (state - candidate)


@dataclass(frozen=True, repr=False)
class Recurrent(ArrayLayer):
    """A simple recurrent layer over the second axis; see `recurrent`.

    Attributes
    ----------
    n_in, n_out : int
        Features of a step, and of the state.
    activation : str or callable
    states : {"last", "all"}
        What to return: the last state, or all.
    initializer, recurrent_initializer : str or callable
        Of ``W`` and of ``U``. An orthogonal ``U`` neither shrinks nor grows a state at the start.

    Examples
    --------
    >>> layer = Recurrent(3, 5)
    >>> layer(layer.init(seed=0), np.zeros((2, 7, 3))).shape
    (2, 5)
    """

    n_in: int
    n_out: int
    activation: str | Activation = "tanh"
    states: str = "last"
    initializer: str | Initializer = "glorot_uniform"
    recurrent_initializer: str | Initializer = "orthogonal"

    def __post_init__(self) -> None:
        _check_layer(self)
        get_activation(self.activation)

    @property
    def shapes(self) -> Shapes:
        """Name and shape of each array."""
        return {"W": (self.n_in, self.n_out), "U": (self.n_out, self.n_out), "b": (self.n_out,)}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Draw the weights; the bias starts at zero."""
        W = draw_weights("Recurrent.init", self.initializer, rng, self.n_in, self.n_out)
        U = draw_weights("Recurrent.init", self.recurrent_initializer, rng, self.n_out, self.n_out)
        return {"W": W, "U": U, "b": np.zeros(self.n_out)}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Run the sequence."""
        return recurrent(params, X, activation=self.activation, states=self.states)


@dataclass(frozen=True, repr=False)
class GRU(ArrayLayer):
    """A gated recurrent unit over the second axis; see `gru`.

    Attributes
    ----------
    n_in, n_out : int
        Features of a step, and of the state.
    states : {"last", "all"}
        What to return: the last state, or all.
    initializer, recurrent_initializer : str or callable
        Of each of the three blocks of ``W`` and of ``U``.

    Examples
    --------
    >>> layer = GRU(3, 5, states="all")
    >>> layer(layer.init(seed=0), np.zeros((2, 7, 3))).shape
    (2, 7, 5)
    """

    n_in: int
    n_out: int
    states: str = "last"
    initializer: str | Initializer = "glorot_uniform"
    recurrent_initializer: str | Initializer = "orthogonal"

    def __post_init__(self) -> None:
        _check_layer(self)

    @property
    def shapes(self) -> Shapes:
        """Name and shape of each array."""
        n = self.n_out
        return {"W": (self.n_in, 3 * n), "U": (n, 3 * n), "b": (3 * n,), "d": (n,)}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        """Draw the weights of each gate by itself; the biases start at zero."""
        n = self.n_out
        W = [draw_weights("GRU.init", self.initializer, rng, self.n_in, n) for _ in range(3)]
        U = [draw_weights("GRU.init", self.recurrent_initializer, rng, n, n) for _ in range(3)]
        return {"W": np.hstack(W), "U": np.hstack(U), "b": np.zeros(3 * n), "d": np.zeros(n)}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        """Run the sequence."""
        return gru(params, X, states=self.states)


def _check_layer(layer: Recurrent | GRU) -> None:
    """Refuse descriptions that could not run."""
    where = type(layer).__name__
    check_positive(where, n_in=layer.n_in, n_out=layer.n_out)
    _check_states(where, layer.states)
    get_initializer(layer.initializer)
    get_initializer(layer.recurrent_initializer)


def _check_states(where: str, states: str) -> None:
    """Refuse a result that does not exist."""
    if states not in _STATES:
        raise OptionError(message(where, f"states is {states!r}", fix="Pass 'last' or 'all'"))


def _check_sequence(where: str, params: Mapping[str, Any], X: Any, states: str) -> None:
    """Refuse what is no batch of sequences of the layer's features."""
    _check_states(where, states)
    check_features(where, X, np.shape(params["W"])[0], "n, time")
    if not np.shape(X)[1]:
        raise ShapeMismatchError(
            message(where, f"X has shape {np.shape(X)}", "a sequence of no steps has no last state", "Pass some steps")
        )
