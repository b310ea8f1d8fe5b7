"""Objectives of the scikit-learn estimators: weighted losses of all rows, and a penalty on weights but not on biases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.linalg

from hessian.nn import layers
from hessian.nn.model import ArrayParameters, Parameters
from hessian.scipy import special

WeightedLoss = Callable[[Any, np.ndarray, np.ndarray | None], Any]


def weighted_cross_entropy(logits: Any, labels: np.ndarray, weights: np.ndarray | None) -> Any:
    """Sum the surprises at the labels: ``-Σ_i w_i [z_i[y_i] - logsumexp(z_i)]``.

    A single column of logits stands for two classes, the first with the logit zero: ``Σ_i w_i [log(1 + exp(z_i)) -
    y_i z_i]``.

    Examples
    --------
    >>> two, three = np.zeros((4, 1)), np.zeros((4, 3))
    >>> labels, weights = np.array([0, 1, 1, 0]), np.array([1.0, 0.0, 2.0, 1.0])
    >>> float(weighted_cross_entropy(two, labels, weights) / np.log(2.0))
    4.0
    >>> float(np.round(weighted_cross_entropy(three, labels, None) / np.log(3.0), 12))
    4.0
    """
    if np.shape(logits)[1] == 1:
        # Of class 1 it is log(1 + exp(-z)): no difference of large numbers.
        z = logits[:, 0]
        surprises = np.logaddexp(np.where(labels == 1, -z, z), 0.0)
    else:
        surprises = -special.log_softmax(logits, axis=1)[np.arange(labels.size), labels]
    return np.sum(surprises) if weights is None else weights @ surprises


def half_squared_error(outputs: Any, targets: np.ndarray, weights: np.ndarray | None) -> Any:
    """Sum half the squared residuals, averaged over outputs: ``1/(2 m) Σ_i w_i ||outputs_i - targets_i||²``.

    Examples
    --------
    >>> float(half_squared_error(np.ones((3, 2)), np.zeros((3, 2)), np.array([1.0, 2.0, 5.0])))
    4.0
    """
    residuals = outputs - targets
    squares = residuals * residuals
    total = np.sum(squares) if weights is None else np.sum(weights @ squares)
    return total / (2.0 * targets.shape[1])


@dataclass(frozen=True, eq=False)
class PenalizedObjective:
    """``[loss(model(params, X), y, weights) + (l2/2) Σ_layers ||W||²] / Σ_i weights_i``, biases not penalised.

    With ``l2 = alpha`` this is the objective of scikit-learn's ``MLPClassifier`` and ``MLPRegressor``; with ``l2 = 1/C``
    that of its ``LogisticRegression`` divided by ``C Σ weights``, which is also what that class minimises.

    The loss ``(outputs, y, weights) -> scalar`` is a sum over rows, whose weights are 1 for None.
    """

    model: Callable[[Any, Any], Any]
    X: Any
    y: np.ndarray
    loss: WeightedLoss
    l2: float
    weights: np.ndarray | None = None

    @property
    def total_weight(self) -> float:
        """Sum of the weights of the rows."""
        return float(len(self.y) if self.weights is None else np.sum(self.weights))

    def __call__(self, params: Any) -> Any:
        """Evaluate the objective; ``params`` may be traced."""
        value = self.loss(self.model(params, self.X), self.y, self.weights)
        if self.l2:
            value = value + 0.5 * self.l2 * sum(np.sum(layer["W"] * layer["W"]) for layer in params)
        return value / self.total_weight


@dataclass(frozen=True, eq=False)
class Reparametrised:
    """A model whose last layer is described without what no probability depends on.

    Adding the same number to the logits of all K > 2 classes changes no probability. One of the K columns of the last
    layer's weights and biases is redundant, and the Hessian is singular along the biases. With the rows of Q, (K - 1,
    K), an orthonormal basis of the vectors that sum to zero (the Helmert matrix), the last layer is ``W Q, b Q``. The
    penalty loses nothing: ``||W Q|| = ||W||``, and at a minimum the weights of a row sum to zero anyway.

    Attributes
    ----------
    model : callable
        ``(params, X) -> outputs``, with parameters in the usual form.
    is_redundant : bool
        Whether to do that; otherwise the model is used as it is.
    """

    model: Callable[[Any, Any], Any]
    is_redundant: bool

    def __call__(self, params: Sequence[ArrayParameters], X: Any) -> Any:
        """Evaluate the model; ``params`` may be traced."""
        return self.model(self.expand(params), X)

    def expand(self, params: Sequence[ArrayParameters]) -> Parameters:
        """Return the usual form of the parameters: one column of the last layer per class."""
        return self._change(params, lambda columns: columns @ scipy.linalg.helmert(columns.shape[-1] + 1))

    def reduce(self, params: Sequence[ArrayParameters]) -> Parameters:
        """Undo ``expand``, dropping what all classes have in common."""
        return self._change(params, lambda columns: columns @ scipy.linalg.helmert(columns.shape[-1]).T)

    def _change(self, params: Sequence[ArrayParameters], change: Callable[[Any], Any]) -> Parameters:
        """Change the last layer, if there is anything to change."""
        if not self.is_redundant:
            return list(params)
        return [*params[:-1], {name: change(columns) for name, columns in params[-1].items()}]


def affine(params: Sequence[ArrayParameters], X: Any) -> Any:
    """Evaluate ``X W + b``, or ``X W`` where the one layer has no b; ``params`` may be traced."""
    (layer,) = params
    return layers.affine(layer, X)


def glorot_start(sizes: Sequence[int], activation: Any, random_state: np.random.RandomState) -> Parameters:
    """Draw starting weights and biases, both uniform, exactly as scikit-learn's networks do from the same state.

    The bound is ``sqrt(6 / (n_in + n_out))``, and ``sqrt(2 / (n_in + n_out))`` for the logistic activation.

    References
    ----------
    Glorot and Bengio (2010), eq. 16.

    Examples
    --------
    >>> start = glorot_start((3, 5, 1), "tanh", np.random.RandomState(0))
    >>> [layer["W"].shape for layer in start], bool(np.all(np.abs(start[0]["W"]) <= np.sqrt(6 / 8)))
    ([(3, 5), (5, 1)], True)
    """
    gain = 2.0 if activation in ("logistic", "sigmoid") else 6.0
    params = []
    for n_in, n_out in pairwise(sizes):
        bound = np.sqrt(gain / (n_in + n_out))
        weights = random_state.uniform(-bound, bound, (n_in, n_out))
        params.append({"W": weights, "b": random_state.uniform(-bound, bound, n_out)})
    return params
