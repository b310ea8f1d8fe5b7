"""Networks and logistic regression as scikit-learn estimators that are fitted by Newton methods.

This module needs scikit-learn (``pip install "hessian[train]"``) and is loaded when one of its classes is first asked
for as an attribute of ``hessian.nn``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np

from hessian.arguments import POSITIVE, real_number
from hessian.nn.model import Parameters
from hessian.nn.sklearn.base import LogitClassifier, NetworkEstimator, NewtonEstimator, ValueRegressor
from hessian.nn.sklearn.checks import check_penalty
from hessian.nn.sklearn.penalized import (
    PenalizedObjective,
    Reparametrised,
    affine,
    half_squared_error,
    weighted_cross_entropy,
)


@dataclass(eq=False, repr=False)
class NewtonMLPClassifier(LogitClassifier, NetworkEstimator):
    """Classify by a multilayer perceptron that a Newton method trains on all rows at once.

    Minimises ``(1/Σ w_i) [Σ_i w_i loss_i + (alpha/2) Σ_layers ||W||²]``, biases not penalised, where ``loss_i`` is the
    surprise at the label: the objective of scikit-learn's ``MLPClassifier``.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, or int
        Widths of the hidden layers; ``()`` for none.
    activation : str or callable
        Of the hidden layers: ``"tanh"``, ``"logistic"``, ``"relu"``, ``"identity"`` as in scikit-learn, any other name
        in ``hessian.nn.ACTIVATIONS``, or a function written in NumPy. Newton methods want a smooth one.
    alpha : float
        Weight of the penalty, at least 0.
    class_weight : dict, "balanced" or None
        Factor on the weights of a class's rows; a class not in the dict has 1. "balanced" gives all classes the same
        total weight.
    method : str, optional
        Of ``hessian.optimize.minimize`` that works on derivatives of second order, such as ``"trust-ncg"``; by default
        chosen by the number of parameters.
    max_iter : int
        Most iterations of the solver, rejected ones included.
    tol : float
        Stop when the 2-norm of the gradient of the objective above is at most this.
    check_curvature : bool
        Look for negative curvature where the gradient is that small, and go on where there is some. Left out by default:
        on the plateaus of a network with little penalty it takes many more iterations to little gain.
    random_state : int, numpy.random.RandomState or None
        Of the starting weights, which are those of ``MLPClassifier``.
    options : dict, optional
        Further options of the solver, such as ``{"preconditioner": "lbfgs"}``.
    verbose : bool
        Show a progress bar on the standard error stream (needs tqdm).
    warm_start : bool
        Begin with the weights of the previous fit.

    Attributes
    ----------
    classes_ : array, (K,)
    coefs_, intercepts_ : list of array
        Weights (n_in, n_out) and biases (n_out,) of each layer. The last one has one output for two classes, otherwise K.
    loss_ : float
        The objective at the end.
    n_iter_ : int
    result_ : scipy.optimize.OptimizeResult
        The solver's own: status, message, gradient norm, counters and history.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.
    n_layers_, n_outputs_ : int
        Layers, inputs and outputs counted; columns of the last.

    Notes
    -----
    Computes in float64 whatever the dtype of X. Differs from ``MLPClassifier`` in defaults (tanh rather than relu, whose
    kinks stall second-order methods), in refusing y with one class, and in taking no multilabel y.

    For K > 2, a number added to the logits of all classes changes no probability. The solver works without that
    redundancy (``result_.x`` is in the coordinates of ``hessian.nn.sklearn.penalized.Reparametrised``): the last layer's weights
    and biases sum to zero over classes, those at the start too.

    Cost: one evaluation, one gradient and some Hessian-vector products per iteration, each a small multiple of a forward pass
    over all rows.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.nn.sklearn.estimators import NewtonMLPClassifier
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> model = NewtonMLPClassifier((4,), alpha=1e-2, random_state=0).fit(X, ["even", "odd", "odd", "even"])
    >>> model.predict(X).tolist(), model.result_.success
    (['even', 'odd', 'odd', 'even'], True)
    """

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        rows, labels, weights = self._read_classes(X, y, sample_weight)
        n_logits = self._n_logits()
        self._minimize(rows, labels, weighted_cross_entropy, weights, n_logits, is_redundant=n_logits > 1)

    def _logits(self, X: Any) -> np.ndarray:
        return self._forward(X)


class NewtonMLPRegressor(ValueRegressor, NetworkEstimator):
    """Regress by a multilayer perceptron that a Newton method trains on all rows at once.

    Minimises ``(1/Σ w_i) [1/(2 m) Σ_i w_i ||outputs_i - y_i||² + (alpha/2) Σ_layers ||W||²]`` for m targets, biases not
    penalised: the objective of scikit-learn's ``MLPRegressor``.

    Parameters
    ----------
    hidden_layer_sizes, activation, alpha, method, max_iter, tol, check_curvature, random_state, options, verbose, warm_start
        As for ``NewtonMLPClassifier``.

    Attributes
    ----------
    coefs_, intercepts_, loss_, n_iter_, result_, n_features_in_, feature_names_in_, n_layers_, n_outputs_
        As for ``NewtonMLPClassifier``.

    Notes
    -----
    Computes in float64 whatever the dtype of X and y. With several targets ``MLPRegressor`` averages the loss over them
    but not its gradient, so that its end point minimises neither; here both belong to the objective above.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.nn.sklearn.estimators import NewtonMLPRegressor
    >>> X = np.linspace(0.0, 1.0, 8)[:, None]
    >>> line = NewtonMLPRegressor((), alpha=0.0, tol=1e-10, random_state=0).fit(X, 2.0 * X[:, 0] + 1.0)
    >>> line.coefs_[0].round(8).item(), line.intercepts_[0].round(8).item()
    (2.0, 1.0)
    """

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        rows, values, weights = self._read_values(X, y, sample_weight)
        self._minimize(rows, values, half_squared_error, weights, values.shape[1], is_redundant=False)


@dataclass(eq=False, repr=False)
class NewtonLogisticRegression(LogitClassifier, NewtonEstimator):
    """Classify by logistic regression, binary or multinomial, fitted by a Newton method.

    Minimises ``C Σ_i w_i loss_i + ½ ||coef||²``, the intercept not penalised, where ``loss_i`` is the surprise at the
    label: the objective of scikit-learn's ``LogisticRegression``.

    Parameters
    ----------
    penalty : {"l2"}
    C : float
        Weight of the data against the penalty, finite and above 0.
    fit_intercept : bool
    tol : float
        Stop when the 2-norm of the gradient is at most this; that of the objective divided by ``C Σ w_i``, as for
        ``LogisticRegression``, so that it need not grow with the number of rows.
    random_state : int, numpy.random.RandomState or None
        Of the vector from which the curvature is looked at; the start is zero.
    class_weight, method, max_iter, options, verbose, warm_start
        As for ``NewtonMLPClassifier``.

    Attributes
    ----------
    coef_ : array, (1, d) for two classes, otherwise (K, d)
    intercept_ : array, (1,) or (K,)
        For K > 2, where only differences between classes matter, these sum to zero.
    loss_ : float
        The objective at the end.
    result_ : scipy.optimize.OptimizeResult
        The solver's own: status, message, counters and history, of the objective divided by ``C Σ w_i``, for K > 2 in
        the coordinates of ``hessian.nn.sklearn.penalized.Reparametrised``, where the minimum is unique.
    classes_, n_iter_, n_features_in_, feature_names_in_
        As for ``NewtonMLPClassifier``.

    Notes
    -----
    Computes in float64 whatever the dtype of X.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.nn.sklearn.estimators import NewtonLogisticRegression
    >>> model = NewtonLogisticRegression().fit([[-1.0], [1.0], [-1.0], [1.0]], [0, 1, 0, 1])
    >>> w = model.coef_.item()  # 0 = w - 4/(1 + exp(w))
    >>> bool(abs(w - 4.0 / (1.0 + np.exp(w))) < 1e-7), model.result_.status.name
    (True, 'CONVERGED')
    """

    penalty: Literal["l2"] = "l2"
    _: KW_ONLY
    C: float = 1.0
    fit_intercept: bool = True
    max_iter: int = 100
    tol: float = 1e-8

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        check_penalty(self._where, self.penalty)
        rows, labels, weights = self._read_classes(X, y, sample_weight)
        self._minimize(rows, labels, weights)

    def _minimize(self, X: Any, labels: np.ndarray, weights: np.ndarray | None) -> None:
        C = real_number(self._where, "C", self.C, POSITIVE)
        model = Reparametrised(affine, self._n_logits() > 1)
        objective = PenalizedObjective(model, X, labels, weighted_cross_entropy, 1.0 / C, weights)
        start = model.reduce(self._start(X.shape[1]))
        result = self._solve(objective, start, self._random_state(), check_curvature=True)
        (layer,) = model.expand(result.x)
        self.coef_ = layer["W"].T
        self.intercept_ = layer["b"] if self.fit_intercept else np.zeros(self._n_logits())
        self._conclude(result, C * objective.total_weight * float(result.fun))

    def _start(self, n_features: int) -> Parameters:
        """Begin at zero, where a convex objective starts best, or at the previous fit."""
        n_logits = self._n_logits()
        W, b = np.zeros((n_features, n_logits)), np.zeros(n_logits)
        if not self._is_first():
            W, b = self.coef_.T, self.intercept_
        return [{"W": W, "b": b} if self.fit_intercept else {"W": W}]

    def _logits(self, X: Any) -> np.ndarray:
        return np.asarray(self._read_rows(X) @ self.coef_.T + self.intercept_)
