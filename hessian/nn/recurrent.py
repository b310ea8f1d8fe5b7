"""A recurrent layer: a state carried along the second axis of ``(n, time, features)`` by a Python loop.

The loop is unrolled where the function is recorded: a program of T steps has T times the instructions of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.nn.activations import Activation, get_activation
from hessian.nn.initializers import INITIALIZERS
from hessian.nn.layers import affine
from hessian.nn.model import ArrayLayer, ArrayParameters, Shapes, check_features, check_positive


@dataclass(frozen=True, repr=False)
class Recurrent(ArrayLayer):
    """A simple recurrent layer over the second axis: ``h_t = activation(x_t @ W + h_{t-1} @ U + b)``, with ``h_0 = 0``.

    The input is (n, time, n_in), of at least one step; the output (n, n_out), or (n, time, n_out) with ``states="all"``.

    Attributes
    ----------
    n_in, n_out : int
        Features of a step, and of the state.
    activation : str or callable
    states : {"last", "all"}
        What to return: the state after the last step, or after each.

    Notes
    -----
    ``W`` starts as by ``"glorot_uniform"``, ``b`` at zero, and ``U`` as an orthogonal matrix, which neither shrinks nor grows a
    state. Cost: ``2 n time n_out (n_in + n_out)`` flops, in one product with ``W`` for all steps and one with ``U`` for each but the
    first.

    References
    ----------
    Elman (1990).

    Examples
    --------
    >>> layer = Recurrent(1, 1, "identity", states="all")
    >>> params = {"W": np.ones((1, 1)), "U": np.ones((1, 1)), "b": np.zeros(1)}
    >>> layer(params, np.array([[[1.0], [2.0], [3.0]]])).ravel().tolist()
    [1.0, 3.0, 6.0]
    """

    n_in: int
    n_out: int
    activation: str | Activation = "tanh"
    states: Literal["last", "all"] = "last"

    def __post_init__(self) -> None:
        check_positive("Recurrent", n_in=self.n_in, n_out=self.n_out)
        if self.states not in ("last", "all"):
            raise OptionError(message("Recurrent", f"states is {self.states!r}", fix="Pass 'last' or 'all'"))
        get_activation(self.activation)

    @property
    def shapes(self) -> Shapes:
        """Name and shape of each array."""
        return {"W": (self.n_in, self.n_out), "U": (self.n_out, self.n_out), "b": (self.n_out,)}

    def _draw(self, rng: np.random.Generator) -> ArrayParameters:
        W = INITIALIZERS["glorot_uniform"](rng, self.n_in, self.n_out)
        U = INITIALIZERS["orthogonal"](rng, self.n_out, self.n_out)
        return {"W": W, "U": U, "b": np.zeros(self.n_out)}

    def _evaluate(self, params: Mapping[str, Any], X: Any) -> Any:
        check_features("Recurrent", X, self.n_in, "n, time")
        n_steps = np.shape(X)[1]
        if not n_steps:
            what = f"X has shape {np.shape(X)}"
            raise ShapeMismatchError(
                message("Recurrent", what, "a sequence of no steps has no last state", "Pass some steps")
            )
        activation, driven = get_activation(self.activation), affine({"W": params["W"], "b": params["b"]}, X)
        history = [activation(driven[:, 0])]
        for step in range(1, n_steps):
            history.append(activation(driven[:, step] + history[-1] @ params["U"]))
        return history[-1] if self.states == "last" else np.stack(history, axis=1)
