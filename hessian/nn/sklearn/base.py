"""What the scikit-learn estimators share: checked data, a run of the solver with its verdict, predictions.

This module needs scikit-learn (``pip install "hessian[train]"``) and is loaded when an estimator is first asked for.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from hessian.arguments import NOT_NEGATIVE, real_number, whole_number
from hessian.errors import NonFiniteError, OptionError, message, missing_dependency
from hessian.nn.model import Parameters
from hessian.nn.sequential import mlp
from hessian.nn.sklearn.checks import (
    as_array,
    check_activation,
    check_classes,
    check_hidden_sizes,
    check_method,
    check_options,
    check_weights,
    weigh_classes,
)
from hessian.nn.sklearn.penalized import PenalizedObjective, Reparametrised, WeightedLoss, glorot_start
from hessian.optimize import OptimizeResult, minimize
from hessian.scipy import special

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise missing_dependency("hessian.nn", "scikit-learn", "train") from error


@dataclass(eq=False, repr=False, kw_only=True)
class NewtonEstimator(BaseEstimator):
    """What all estimators here share: checked data, a run of the solver, and its verdict."""

    method: str | None = None
    random_state: Any = None
    options: dict[str, Any] | None = None
    verbose: bool = False
    warm_start: bool = False

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """Fit the parameters.

        Parameters
        ----------
        X : array or sparse matrix, (n, d)
        y : array, (n,), or (n, m) for several targets of a regression
            Values, or labels of any kind, at least two different ones.
        sample_weight : array, (n,), optional
            Weights of the rows, at least 0.

        Returns
        -------
        self

        Raises
        ------
        OptionError
            A parameter or weight out of range, or fewer than two classes.
        NonFiniteError
            The objective overflows at the start.
        ValueError
            Data that scikit-learn's own validation refuses.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            The solver stopped early; the text is its advice.
        """
        with self._whole():
            self._fit(X, y, sample_weight)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Check the data, minimise, and store what was found."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        """Sparse X is taken as it is."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a solver has come to its end."""
        return hasattr(self, "result_")

    @property
    def _where(self) -> str:
        """Name that errors and warnings begin with."""
        return f"{type(self).__name__}.fit"

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Leave the estimator as it was where a fit fails: old weights and new classes would predict nonsense."""
        before = dict(vars(self))
        try:
            yield
        except ConvergenceWarning:
            # Where warnings are errors, what the solver reached is kept all the same.
            raise
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _is_first(self) -> bool:
        """Whether to start anew, and to forget the features of the previous fit."""
        return not (self.warm_start and hasattr(self, "result_"))

    def _read(self, X: Any, y: Any, **how: Any) -> tuple[Any, np.ndarray]:
        rows, targets = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64, reset=self._is_first(), **how)
        return as_array(rows), targets

    def _read_rows(self, X: Any) -> Any:
        check_is_fitted(self)
        return as_array(validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False))

    def _random_state(self) -> np.random.RandomState:
        return check_random_state(self.random_state)

    def _solve(
        self, objective: PenalizedObjective, start: Parameters, state: np.random.RandomState, *, check_curvature: bool
    ) -> OptimizeResult:
        check_method(self._where, self.method)
        own = {
            "gtol": real_number(self._where, "tol", self.tol, NOT_NEGATIVE),
            "maxiter": whole_number(self._where, "max_iter", self.max_iter),
            "check_curvature": check_curvature,
            "rng": int(state.randint(2**31 - 1)),
            "progress": bool(self.verbose),
        }
        chosen: Any = self.method  # looked at above
        options = own | check_options(self._where, self.options, own)
        try:
            # What overflows at the start is an error below, which says more than NumPy's warning.
            with np.errstate(over="ignore", invalid="ignore"):
                return minimize(objective, start, method=chosen, options=options)
        except NonFiniteError as error:
            what = "the objective or its gradient is not finite at the starting weights"
            fix = "Scale X and y, e.g. with sklearn.preprocessing.StandardScaler"
            raise NonFiniteError(message(self._where, what, "Numbers this large overflow", fix)) from error

    def _conclude(self, result: OptimizeResult, loss: float) -> None:
        """Keep what the solver says, last of all, and warn the caller of ``fit`` where it stopped early."""
        self.loss_ = loss
        self.n_iter_ = int(result.nit)
        self.result_ = result
        if not result.success:
            what = f"stopped early after {result.nit} iterations with status {result.status.name}"
            fix = "Here maxiter is max_iter, gtol is tol, and warm_start=True starts again from the end"
            warnings.warn(message(self._where, what, result.message, fix), ConvergenceWarning, stacklevel=5)


@dataclass(eq=False, repr=False, kw_only=True)
class LogitClassifier(ClassifierMixin):
    """Predictions from logits: one column for two classes, otherwise one per class."""

    class_weight: Any = None
    classes_: np.ndarray = field(init=False)

    def decision_function(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the logits of the rows of ``X``.

        Parameters
        ----------
        X : array or sparse matrix, (n, n_features)

        Returns
        -------
        array, (n, K), or (n,) for two classes: the log-odds of ``classes_[1]``

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        logits = self._logits(X)
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the most probable class of each row of ``X``, (n,)."""
        logits = self._logits(X)
        return self.classes_[(logits[:, 0] > 0).astype(int) if logits.shape[1] == 1 else np.argmax(logits, axis=1)]

    def predict_proba(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the probabilities of the classes, (n, K), columns in the order of ``classes_``."""
        logits = self._logits(X)
        if logits.shape[1] == 1:
            return expit(np.hstack([-logits, logits]))
        return special.softmax(logits, axis=1)

    def predict_log_proba(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the logarithms of the probabilities, (n, K), exact where these underflow."""
        logits = self._logits(X)
        if logits.shape[1] == 1:
            return -np.logaddexp(0.0, np.hstack([logits, -logits]))
        return special.log_softmax(logits, axis=1)

    def _n_logits(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _read_classes(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """Check the rows, number the classes, and weigh the rows by their class."""
        rows, targets = self._read(X, y)
        classes, labels = check_classes(self._where, targets)
        if not self._is_first() and not np.array_equal(self.classes_, classes):
            what = f"y has the classes {classes.tolist()}, the previous fit had {self.classes_.tolist()}"
            fix = "Pass the same classes, or set warm_start=False"
            raise OptionError(message(self._where, what, "warm_start begins with its weights", fix))
        self.classes_ = classes
        weights = check_weights(self._where, sample_weight, rows.shape[0])
        return rows, labels, weigh_classes(self._where, self.class_weight, classes, labels, weights)


@dataclass(eq=False, repr=False)
class NetworkEstimator(NewtonEstimator):
    """A network of scikit-learn's shape: ``coefs_`` and ``intercepts_``, one per layer."""

    hidden_layer_sizes: Sequence[int] | int = (100,)
    activation: Any = "tanh"
    _: KW_ONLY
    alpha: float = 1e-4
    max_iter: int = 200
    tol: float = 1e-4
    check_curvature: bool = False

    def _forward(self, X: Any) -> np.ndarray:
        rows = self._read_rows(X)
        return np.asarray(mlp(self._fitted_sizes(), check_activation(self.activation))(self._fitted_layers(), rows))

    def _minimize(
        self, X: Any, y: np.ndarray, loss: WeightedLoss, weights: np.ndarray | None, n_outputs: int, is_redundant: bool
    ) -> None:
        hidden = check_hidden_sizes(self._where, self.hidden_layer_sizes)
        sizes = (X.shape[1], *hidden, n_outputs)
        model = Reparametrised(mlp(sizes, check_activation(self.activation)), is_redundant)
        objective = PenalizedObjective(
            model, X, y, loss, real_number(self._where, "alpha", self.alpha, NOT_NEGATIVE), weights
        )
        state = self._random_state()
        start = model.reduce(self._start(sizes, state))
        result = self._solve(objective, start, state, check_curvature=bool(self.check_curvature))
        layers = model.expand(result.x)
        self.coefs_ = [layer["W"] for layer in layers]
        self.intercepts_ = [layer["b"] for layer in layers]
        self.n_layers_ = len(sizes)
        self.n_outputs_ = n_outputs
        self._conclude(result, float(result.fun))

    def _start(self, sizes: tuple[int, ...], state: np.random.RandomState) -> Parameters:
        """Draw weights, or take those of the previous fit, which have to suit the network."""
        if self._is_first():
            return glorot_start(sizes, self.activation, state)
        if self._fitted_sizes() != sizes:
            what = f"layers have the widths {sizes}, in the previous fit {self._fitted_sizes()}"
            fix = "Keep hidden_layer_sizes and the number of targets, or set warm_start=False"
            raise OptionError(message(self._where, what, "warm_start begins with its weights", fix))
        return self._fitted_layers()

    def _fitted_layers(self) -> Parameters:
        return [{"W": W, "b": b} for W, b in zip(self.coefs_, self.intercepts_, strict=True)]

    def _fitted_sizes(self) -> tuple[int, ...]:
        return (*(W.shape[0] for W in self.coefs_), self.coefs_[-1].shape[1])


class ValueRegressor(RegressorMixin):
    """Targets of a regression and predictions of them, one or several per row."""

    def __sklearn_tags__(self) -> Any:
        """Several targets are fitted together."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the outputs on the rows of ``X``, (n,), or (n, m) for m > 1 targets."""
        outputs = self._forward(X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def _read_values(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """Check the rows, their targets, (n, m), and their weights."""
        rows, targets = self._read(X, y, multi_output=True, y_numeric=True)
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = column_or_1d(targets, warn=True)
        values = np.asarray(targets, np.float64).reshape(len(targets), -1)
        return rows, values, check_weights(self._where, sample_weight, rows.shape[0])
