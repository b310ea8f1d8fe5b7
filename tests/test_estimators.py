"""Estimators for scikit-learn: its own checks, its own objectives, hostile data, every error message."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import hessian as hs
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError
from hessian.nn.sequential import mlp
from hessian.nn.sklearn.estimators import NewtonLogisticRegression, NewtonMLPClassifier, NewtonMLPRegressor
from hessian.nn.sklearn.penalized import (
    PenalizedObjective,
    Reparametrised,
    glorot_start,
    half_squared_error,
    weighted_cross_entropy,
)

ROOT = Path(__file__).resolve().parents[1]
ALL = (NewtonLogisticRegression, NewtonMLPClassifier, NewtonMLPRegressor)
CLASSIFIERS = ALL[:2]


def blobs(n_classes: int = 3, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds in four dimensions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    return rng.standard_normal((n_classes, 4))[labels] + rng.standard_normal((n, 4)), labels


def small(estimator: type, **parameters: Any) -> Any:
    """An estimator that is quick to fit and has a clear minimum."""
    if estimator is NewtonLogisticRegression:
        return NewtonLogisticRegression(**parameters)
    return estimator(**{"hidden_layer_sizes": (3,), "alpha": 1.0, "random_state": 0} | parameters)


# scikit-learn's own checks.

SKIPPED = {
    "check_array_api_input",
    "check_classifier_data_not_an_array",
    "check_regressor_data_not_an_array",
    "check_sample_weights_pandas_series",
}


@pytest.mark.parametrize(
    "estimator",
    [
        NewtonLogisticRegression(),
        pytest.param(NewtonLogisticRegression(method="trust-ncg", C=10.0, tol=1e-9), marks=pytest.mark.long),
        pytest.param(
            NewtonLogisticRegression(
                C=0.1, class_weight="balanced", method="newton", warm_start=True, random_state=3, tol=1e-6
            ),
            marks=pytest.mark.long,
        ),
        NewtonMLPClassifier((5, 4), "logistic", alpha=0.1, tol=1e-2),
        NewtonMLPRegressor((), alpha=1.0, tol=1e-11),
        pytest.param(NewtonMLPClassifier(), marks=pytest.mark.long),
        pytest.param(NewtonMLPRegressor(), marks=pytest.mark.long),
        pytest.param(
            NewtonMLPClassifier(
                (3,),
                alpha=0.2,
                class_weight="balanced",
                method="trust-exact",
                max_iter=300,
                tol=1e-11,
                check_curvature=True,
                warm_start=True,
                random_state=1,
            ),
            marks=pytest.mark.long,
        ),
        pytest.param(
            NewtonMLPRegressor(7, "softplus", alpha=1.0, method="trust-ncg", max_iter=300, tol=1e-11, random_state=1),
            marks=pytest.mark.long,
        ),
    ],
    ids=repr,
)
def test_scikit_learns_checks(estimator: Any) -> None:
    with warnings.catch_warnings():
        # The checks choose data, and some of it is out of reach within max_iter.
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = check_estimator(estimator, on_skip=None, on_fail="raise")
    assert len(results) > 50
    assert {result["check_name"] for result in results if result["status"] != "passed"} <= SKIPPED


# Objectives.


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu", "identity"])
def test_classifier_loss_is_that_of_scikit_learn(n_classes: int, weighted: bool, activation: str) -> None:
    X, y = blobs(n_classes)
    weights = np.random.default_rng(1).uniform(0, 3, len(y)) if weighted else None
    # The kinks of relu keep its gradient from being small.
    tol = 0.5 if activation == "relu" else 1e-2
    own = NewtonMLPClassifier((5,), activation, alpha=2.0, random_state=0, tol=tol).fit(X, y, weights)
    peer = MLPClassifier((5,), activation, solver="lbfgs", alpha=2.0, tol=1e9, random_state=0, warm_start=True)
    # With such a tolerance the peer only evaluates its loss where it begins.
    peer.fit(X, y, weights)
    peer.coefs_, peer.intercepts_ = [W.copy() for W in own.coefs_], [b.copy() for b in own.intercepts_]
    peer.fit(X, y, weights)
    assert_allclose(own.loss_, peer.loss_, rtol=1e-13)
    assert_allclose(own.predict_proba(X), peer.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_regressor_loss_is_that_of_scikit_learn(n_targets: int, weighted: bool) -> None:
    X, _ = blobs()
    rng = np.random.default_rng(2)
    y = (X @ rng.standard_normal((4, n_targets))).squeeze()
    weights = rng.uniform(0, 3, len(y)) if weighted else None
    own = NewtonMLPRegressor((5,), alpha=2.0, random_state=0, tol=1e-2).fit(X, y, weights)
    peer = MLPRegressor(
        hidden_layer_sizes=(5,), activation="tanh", solver="lbfgs", alpha=2.0, tol=1e9, random_state=0, warm_start=True
    )
    peer.fit(X, y, weights)
    peer.coefs_, peer.intercepts_ = [W.copy() for W in own.coefs_], [b.copy() for b in own.intercepts_]
    peer.fit(X, y, weights)
    assert_allclose(own.loss_, peer.loss_, rtol=1e-13)
    assert_allclose(own.predict(X), peer.predict(X), rtol=1e-11)
    assert own.predict(X).shape == y.shape


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_starting_weights_are_those_of_scikit_learn(activation: str, n_classes: int) -> None:
    X, y = blobs(n_classes)
    peer = MLPClassifier((6, 5), activation, solver="lbfgs", tol=1e9, random_state=7).fit(X, y)
    n_outputs = 1 if n_classes == 2 else n_classes
    start = glorot_start((4, 6, 5, n_outputs), activation, np.random.RandomState(7))
    assert_array_equal([layer["W"].sum() for layer in start], [W.sum() for W in peer.coefs_])
    assert_array_equal(np.concatenate([layer["b"] for layer in start]), np.concatenate(peer.intercepts_))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 0.5}])
def test_logistic_regression_is_that_of_scikit_learn(n_classes: int, fit_intercept: bool, class_weight: Any) -> None:
    X, y = blobs(n_classes, n=90)
    X, y = X[:70], y[:70]
    weights = np.random.default_rng(1).integers(0, 4, len(y)).astype(float)
    own = NewtonLogisticRegression(C=0.7, fit_intercept=fit_intercept, class_weight=class_weight, tol=1e-12)
    own.fit(X, y, weights)
    assert own.result_.status.name == "CONVERGED"
    peer = LogisticRegression(
        C=0.7, fit_intercept=fit_intercept, class_weight=class_weight, solver="newton-cholesky", tol=1e-12
    )
    peer.fit(X, y, weights)
    assert own.coef_.shape == peer.coef_.shape
    assert own.intercept_.shape == peer.intercept_.shape
    assert_allclose(own.coef_, peer.coef_, atol=1e-9)
    assert_allclose(own.intercept_, peer.intercept_, atol=1e-9)
    assert_allclose(own.predict_proba(X), peer.predict_proba(X), atol=1e-10)
    factors = _factors(class_weight, y, weights)
    surprise = log_loss(y, own.predict_proba(X), sample_weight=factors * weights, normalize=False)
    assert_allclose(own.loss_, 0.7 * surprise + 0.5 * np.sum(own.coef_**2), rtol=1e-12)


def _factors(class_weight: Any, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights of the rows' classes, by the definition."""
    totals = np.bincount(y, weights)
    if class_weight == "balanced":
        return (weights.sum() / (len(totals) * totals))[y]
    return np.array([(class_weight or {}).get(label, 1.0) for label in y])


@pytest.mark.parametrize("method", [None, "trust-ncg", "trust-exact"])
def test_breast_cancer_hits_the_known_minimum(method: str | None) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    model = NewtonLogisticRegression(method=method, tol=1e-10).fit(StandardScaler().fit_transform(X), y)
    assert_allclose(model.loss_, 37.758945961876, rtol=0, atol=5e-13 * 37.8)
    assert model.result_.success
    assert model.result_.status.name == "CONVERGED"


def test_multinomial_intercepts_sum_to_zero_and_the_minimum_is_strict() -> None:
    X, y = load_iris(return_X_y=True)
    model = NewtonLogisticRegression().fit(X, y)
    assert_allclose([model.intercept_.sum(), *model.coef_.sum(axis=0)], 0.0, atol=1e-12)
    assert model.result_.status.name == "CONVERGED"
    assert model.result_.smallest_eigenvalue > 0


def test_a_network_without_hidden_layers_is_a_linear_model() -> None:
    X, y = blobs(3)
    linear = NewtonLogisticRegression(C=0.5, tol=1e-12).fit(X, y)
    network = NewtonMLPClassifier((), alpha=2.0, tol=1e-12, random_state=0).fit(X, y)
    assert_allclose(network.coefs_[0].T, linear.coef_, atol=1e-9)
    assert_allclose(network.intercepts_[0], linear.intercept_, atol=1e-9)
    assert_allclose(network.loss_, linear.loss_ / (0.5 * len(y)), rtol=1e-13)
    X, y = load_diabetes(return_X_y=True)
    ridge = Ridge(alpha=0.3, tol=1e-12).fit(X, y)
    fitted = NewtonMLPRegressor((), alpha=0.3, tol=1e-10, random_state=0).fit(X, y)
    assert_allclose(fitted.coefs_[0][:, 0], ridge.coef_, rtol=1e-7)
    assert_allclose(fitted.score(X, y), ridge.score(X, y), rtol=1e-9)


def test_objectives_have_exact_derivatives() -> None:
    X, y = blobs(3, n=12)
    weights = np.random.default_rng(0).uniform(0, 2, 12)
    model = Reparametrised(mlp((4, 3, 3)), True)
    start = model.reduce(glorot_start((4, 3, 3), "tanh", np.random.RandomState(0)))
    for rows in (X, scipy.sparse.csr_array(X)):
        hs.check_derivatives(PenalizedObjective(model, rows, y, weighted_cross_entropy, 0.5, weights), start)
    targets = np.random.default_rng(1).standard_normal((12, 3))
    full = glorot_start((4, 3, 3), "tanh", np.random.RandomState(0))
    hs.check_derivatives(PenalizedObjective(mlp((4, 3, 3)), X, targets, half_squared_error, 0.5, weights), full)


def test_reparametrisation_keeps_probabilities_and_the_norm() -> None:
    X, _ = blobs(4)
    model = Reparametrised(mlp((4, 3, 4)), True)
    start = glorot_start((4, 3, 4), "tanh", np.random.RandomState(0))
    reduced = model.reduce(start)
    assert reduced[-1]["W"].shape == (3, 3)
    shift = model(reduced, X) - model.model(start, X)
    assert_allclose(shift, shift[:, :1] * np.ones(4), atol=1e-14)
    assert_allclose(np.linalg.norm(model.expand(reduced)[-1]["W"]), np.linalg.norm(reduced[-1]["W"]), rtol=1e-14)
    assert_allclose(model.reduce(model.expand(reduced))[-1]["b"], reduced[-1]["b"], atol=1e-15)
    assert Reparametrised(mlp((4, 3, 4)), False).reduce(start) == start


# Conventions.


@pytest.mark.parametrize("estimator", ALL)
def test_whole_weights_are_repetitions(estimator: type) -> None:
    X, y = blobs(3, n=20)
    counts = np.random.default_rng(0).integers(0, 4, 20)
    weighted = small(estimator, tol=1e-11).fit(X, y, sample_weight=counts)
    repeated = small(estimator, tol=1e-11).fit(X.repeat(counts, axis=0), y.repeat(counts))
    assert_allclose(weighted.loss_, repeated.loss_, rtol=1e-12)
    for method in {"predict_proba", "predict"} & set(dir(weighted)):
        assert_allclose(getattr(weighted, method)(X), getattr(repeated, method)(X), atol=1e-7)
    assert_array_equal(small(estimator).fit(X, y, 1.0).predict(X), small(estimator).fit(X, y).predict(X))


@pytest.mark.parametrize("estimator", CLASSIFIERS)
def test_class_weights_are_weights_of_rows(estimator: type) -> None:
    X, y = blobs(3)
    names = np.array(["ash", "elm", "oak"])[y]
    by_class = small(estimator, class_weight={"elm": 2.0, "yew": 5.0, "ash": 1.0, "oak": 1.0}, tol=1e-10)
    by_row = small(estimator, tol=1e-10).fit(X, names, np.where(y == 1, 2.0, 1.0))
    assert_allclose(by_class.fit(X, names).predict_proba(X), by_row.predict_proba(X), atol=1e-9)
    assert_array_equal(by_row.classes_, ["ash", "elm", "oak"])
    assert set(by_row.predict(X)) <= {"ash", "elm", "oak"}


@pytest.mark.parametrize("estimator", CLASSIFIERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_predictions_belong_together(estimator: type, n_classes: int) -> None:
    X, y = blobs(n_classes)
    model = small(estimator).fit(X, y)
    logits, probabilities = model.decision_function(X), model.predict_proba(X)
    assert logits.shape == ((60,) if n_classes == 2 else (60, 3))
    assert probabilities.shape == (60, n_classes)
    assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-14)
    assert_allclose(np.log(probabilities), model.predict_log_proba(X), rtol=1e-9)
    assert_array_equal(model.predict(X), model.classes_[probabilities.argmax(axis=1)])
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.5
    assert model.n_features_in_ == 4
    far = model.predict_log_proba(1e5 * X)
    assert np.isfinite(far).all()


def test_log_probabilities_do_not_underflow() -> None:
    model = NewtonLogisticRegression().fit([[-1.0], [1.0]], [0, 1])
    far = model.predict_log_proba([[1e5]])
    assert model.predict_proba([[1e5]])[0, 0] == 0.0
    assert_allclose(far[0, 0], -model.decision_function([[1e5]])[0], rtol=1e-14)


@pytest.mark.parametrize("estimator", ALL)
def test_sparse_rows_and_float32_give_the_same_fit(estimator: type) -> None:
    X, y = blobs(3)
    X[np.abs(X) < 0.7] = 0.0
    X = X.astype(np.float32).astype(float)
    dense = small(estimator, tol=1e-9).fit(X, y)
    for other in (scipy.sparse.csr_array(X), scipy.sparse.csc_matrix(X), X.astype(np.float32)):
        fitted = small(estimator, tol=1e-9).fit(other, y)
        assert_allclose(fitted.loss_, dense.loss_, rtol=1e-12)
        assert_allclose(np.asarray(fitted.predict(other), float), dense.predict(X), atol=1e-6)
    assert dense.result_.success
    assert dense.predict(X.astype(np.float32)).dtype == dense.predict(X).dtype


@pytest.mark.parametrize("estimator", ALL)
def test_fits_are_deterministic_and_leave_their_arguments_alone(estimator: type) -> None:
    X, y = blobs(3)
    weights = np.ones(60)
    copies = X.copy(), y.copy(), weights.copy()
    first, again = (small(estimator).fit(X, y, weights) for _ in range(2))
    assert_array_equal(first.predict(X), again.predict(X))
    assert first.loss_ == again.loss_
    for array, copy in zip((X, y, weights), copies, strict=True):
        assert_array_equal(array, copy)
    if estimator is not NewtonLogisticRegression:
        assert small(estimator, random_state=1).fit(X, y).loss_ != first.loss_


@pytest.mark.parametrize("estimator", ALL)
def test_fitted_estimators_pickle_and_clone(estimator: type) -> None:
    X, y = blobs(3)
    model = small(estimator).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.result_.status is model.result_.status
    assert repr(loaded.result_.history) == repr(model.result_.history)
    fresh = clone(model)
    assert fresh.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(X)


@pytest.mark.parametrize("estimator", ALL)
def test_pipelines_and_searches(estimator: type) -> None:
    X, y = blobs(3)
    pipeline = make_pipeline(StandardScaler(), small(estimator))
    assert np.mean(cross_val_score(pipeline, X, y, cv=3)) > 0.2
    name = "C" if estimator is NewtonLogisticRegression else "alpha"
    search = GridSearchCV(small(estimator), {name: [0.1, 10.0]}, cv=3).fit(X, y)
    assert set(search.best_params_) == {name}
    assert search.score(X, y) > 0.2


def test_several_targets_are_fitted_together() -> None:
    rng = np.random.default_rng(0)
    X, coefficients = rng.standard_normal((50, 3)), rng.standard_normal((3, 2))
    model = NewtonMLPRegressor((), alpha=0.0, tol=1e-11, random_state=0).fit(X, X @ coefficients + [1.0, -2.0])
    assert_allclose(model.coefs_[0], coefficients, atol=1e-9)
    assert_allclose(model.intercepts_[0], [1.0, -2.0], atol=1e-9)
    assert model.predict(X).shape == (50, 2)
    assert model.score(X, X @ coefficients + [1.0, -2.0]) > 1 - 1e-12
    with pytest.warns(DataConversionWarning, match="column-vector"):
        column = NewtonMLPRegressor((), random_state=0).fit(X, X[:, :1])
    assert column.predict(X).shape == (50,)


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "gelu", np.arctan])
def test_activations_of_this_library_and_functions(activation: Any) -> None:
    X, y = blobs(2)
    model = NewtonMLPClassifier((4,), activation, alpha=1.0, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.6
    if activation == "sigmoid":
        assert_array_equal(
            model.predict_proba(X), clone(model).set_params(activation="logistic").fit(X, y).predict_proba(X)
        )


@pytest.mark.parametrize("estimator", ALL)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_warm_start_begins_at_the_end_of_the_previous_fit(estimator: type, n_classes: int) -> None:
    X, y = blobs(n_classes)
    model = small(estimator, warm_start=True, tol=1e-6).fit(X, y)
    loss, iterations = model.loss_, model.n_iter_
    model.fit(X, y)
    assert model.n_iter_ <= 1 < iterations
    assert_allclose(model.loss_, loss, rtol=1e-10)
    cold = small(estimator, tol=1e-6).fit(X, y)
    assert cold.fit(X, y).n_iter_ == iterations


def test_a_warm_start_refuses_other_classes_and_other_widths() -> None:
    X, y = blobs(3)
    model = small(NewtonMLPClassifier, warm_start=True).fit(X, y)
    with pytest.raises(OptionError, match=r"y has the classes \[1, 2, 3\], the previous fit had \[0, 1, 2\]"):
        model.fit(X, y + 1)
    with pytest.raises(OptionError, match=r"layers have the widths \(4, 5, 3\), in the previous fit \(4, 3, 3\)"):
        model.set_params(hidden_layer_sizes=(5,)).fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features"):
        model.fit(X[:, :3], y)


@pytest.mark.parametrize("estimator", ALL)
def test_a_fit_that_fails_leaves_the_previous_one(estimator: type) -> None:
    X, y = blobs(3)
    model = small(estimator).fit(X, y)
    expected, attributes = model.predict(X), dict(vars(model))
    with pytest.raises(OptionError, match="method 'nweton'"):
        model.set_params(method="nweton").fit(X[:, :3], y + 7)
    model.set_params(method=None)
    assert vars(model) == attributes
    assert_array_equal(model.predict(X), expected)
    fresh = small(estimator, tol=-1.0)
    with pytest.raises(OptionError, match="tol is -1"):
        fresh.fit(X, y)
    assert vars(fresh) == vars(small(estimator, tol=-1.0))
    with pytest.raises(NotFittedError):
        fresh.predict(X)


@pytest.mark.parametrize("estimator", ALL)
def test_stopping_early_is_a_warning_at_the_line_that_fits(estimator: type) -> None:
    X, y = blobs(3)
    with pytest.warns(
        ConvergenceWarning, match="stopped early after 1 iterations with status MAX_ITERATIONS"
    ) as caught:
        model = small(estimator, max_iter=1, tol=1e-12).fit(X, y)
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]
    assert str(caught[0].message).startswith(f"{estimator.__name__}.fit: ")
    assert model.n_iter_ == 1
    assert not model.result_.success
    model = small(estimator, max_iter=1, tol=1e-12)
    # An error here, as all warnings are, but one that comes when the fit is complete.
    with pytest.raises(ConvergenceWarning):
        model.fit(X, y)
    assert np.isfinite(np.asarray(model.predict(X), float)).all()


def test_the_curvature_of_a_network_is_looked_at_on_request() -> None:
    X, y = blobs(2)
    parameters = {"hidden_layer_sizes": (2,), "alpha": 1.0, "random_state": 0, "tol": 1e-8}
    assert NewtonMLPClassifier(**parameters).fit(X, y).result_.status.name == "CONVERGED_UNCHECKED"
    assert NewtonMLPClassifier(**parameters, check_curvature=True).fit(X, y).result_.smallest_eigenvalue > 0


def test_options_reach_the_solver() -> None:
    X, y = blobs(3)
    with pytest.warns(ConvergenceWarning, match="MAX_HVP"):
        model = small(NewtonMLPClassifier, method="trust-ncg", options={"max_hvp": 3}, tol=1e-9).fit(X, y)
    assert model.result_.n_hvp <= 3
    assert model.result_.method == "trust-ncg"


def test_progress_goes_to_the_error_stream(capsys: pytest.CaptureFixture[str]) -> None:
    NewtonLogisticRegression(verbose=True).fit(*blobs(2))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "minimize" in captured.err


# Hostile data.


@pytest.mark.parametrize("estimator", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(estimator: type, bad: float) -> None:
    X, y = blobs(3)
    spoilt = X.copy()
    spoilt[3, 1] = bad
    for call in (
        lambda: small(estimator).fit(spoilt, y),
        lambda: small(estimator).fit(scipy.sparse.csr_array(spoilt), y),
        lambda: small(estimator).fit(X, np.where(np.arange(60) == 5, bad, y)),
        lambda: small(estimator).fit(X, y, np.where(np.arange(60) == 5, bad, 1.0)),
        lambda: small(estimator).fit(X, y).predict(spoilt),
    ):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            call()


@pytest.mark.parametrize("estimator", ALL)
def test_no_rows_no_columns_and_wrong_shapes_are_refused(estimator: type) -> None:
    X, y = blobs(3)
    for rows, targets, text in (
        (X[:0], y[:0], "0 sample"),
        (X[:, :0], y, "0 feature"),
        (X[0], y, "Expected 2D array"),
        (X, y[:-1], "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=text):
            small(estimator).fit(rows, targets)
    with pytest.raises(ValueError, match="X has 3 features"):
        small(estimator).fit(X, y).predict(X[:, :3])


@pytest.mark.parametrize("estimator", CLASSIFIERS)
def test_fewer_than_two_classes_are_refused(estimator: type) -> None:
    X, y = blobs(3)
    with pytest.raises(OptionError, match="y contains only one class, 0"):
        small(estimator).fit(X, 0 * y)
    with pytest.raises(OptionError, match="the rows of class 2 have no weight"):
        small(estimator).fit(X, y, np.where(y == 2, 0.0, 1.0))
    with pytest.raises(OptionError, match="the rows of class 1 have no weight"):
        small(estimator, class_weight={1: 0.0}).fit(X, y)
    with pytest.raises(ValueError, match="Unknown label type"):
        small(estimator).fit(X, y + 0.5)
    with pytest.raises(ValueError, match="y should be a 1d array"):
        small(estimator).fit(X, np.eye(3)[y])


@pytest.mark.parametrize("estimator", ALL)
def test_constant_columns_change_nothing_but_themselves(estimator: type) -> None:
    X, y = blobs(3)
    model = small(estimator, tol=1e-9).fit(np.column_stack([X, np.zeros(60), np.full(60, 3.0)]), y)
    assert model.result_.success
    weights = model.coef_.T if estimator is NewtonLogisticRegression else model.coefs_[0]
    # What multiplies zeros is only penalised.
    assert_allclose(weights[4], 0.0, atol=1e-7)
    if estimator is NewtonLogisticRegression:
        # The unpenalised intercept does the work of a constant column for free.
        assert_allclose(model.coef_[:, 5], 0.0, atol=1e-8)
        assert_allclose(model.loss_, NewtonLogisticRegression().fit(X, y).loss_, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_regression_at_far_scales_is_the_same_problem_in_other_units(scale: float, n_classes: int) -> None:
    X, y = blobs(n_classes)
    near = NewtonLogisticRegression(tol=1e-12).fit(X, y)
    far = NewtonLogisticRegression(C=1 / scale**2, tol=1e-12 * max(scale, 1)).fit(scale * X, y)
    assert_allclose(far.predict_proba(scale * X), near.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("estimator", ALL)
def test_huge_columns_end_in_success_or_in_a_warning(estimator: type) -> None:
    X, y = blobs(3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = small(estimator).fit(X * [1.0, 1e3, 1e6, 1.0], y)
    assert model.result_.success == (not caught)
    assert all(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    assert np.isfinite(model.loss_)


def test_overflow_at_the_start_is_explained() -> None:
    X, y = blobs(3)
    with pytest.raises(NonFiniteError, match=r"NewtonMLPRegressor.fit: the objective .*StandardScaler"):
        NewtonMLPRegressor((3,), random_state=0).fit(X, 1e200 * (1.0 + y))


# Errors.


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (NewtonLogisticRegression(C=0.0), "C is 0.0, expected a finite number > 0"),
        (NewtonLogisticRegression(C=np.inf), "C is inf"),
        (NewtonLogisticRegression("l1"), "penalty is 'l1', only 'l2' is supported. The absolute value has a kink"),
        (NewtonLogisticRegression("elasticnet"), "Its l1 part has a kink"),
        (NewtonLogisticRegression(None), "the loss alone has no minimum. Raise C"),
        (NewtonLogisticRegression(["l2"]), "penalty is ['l2']"),
        (NewtonLogisticRegression(tol=-1.0), "tol is -1.0, expected a finite number >= 0"),
        (NewtonLogisticRegression(max_iter=0), "max_iter is 0, expected an integer >= 1"),
        (NewtonLogisticRegression(method="lbgfs"), "there is no method 'lbgfs'"),
        (NewtonLogisticRegression(method="L-BFGS-B"), "method 'L-BFGS-B' is one of SciPy's"),
        (NewtonMLPRegressor(method="bfgs"), "Pass one of trust-ncg, trust-krylov"),
        (NewtonLogisticRegression(class_weight="balance"), "class_weight is 'balance'. Pass 'balanced', a dict"),
        (NewtonLogisticRegression(class_weight={7: 1.0}), "class_weight names [7], y has the classes [0, 1, 2]"),
        (NewtonLogisticRegression(class_weight={0: -1.0}), "class_weight[0] is -1.0"),
        (NewtonLogisticRegression(options={"gtol": 1.0}), "options sets 'gtol', which the estimator sets itself"),
        (NewtonLogisticRegression(options=3), "options is 3, not a dict"),
        (NewtonMLPClassifier(alpha=-1.0), "alpha is -1.0"),
        (NewtonMLPClassifier(alpha=True), "alpha is True"),
        (NewtonMLPClassifier((3, 0)), "hidden_layer_sizes[1] is 0, expected an integer >= 1"),
        (NewtonMLPClassifier(2.5), "hidden_layer_sizes[0] is 2.5"),
        (NewtonMLPClassifier(activation="tahn"), "Did you mean 'tanh'?"),
        (NewtonMLPRegressor(max_iter=2.5), "NewtonMLPRegressor.fit: max_iter is 2.5"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused_in_fit(model: Any, text: str) -> None:
    with pytest.raises(OptionError) as caught:
        model.fit(*blobs(3))
    assert text in str(caught.value)


@pytest.mark.parametrize("estimator", ALL)
def test_bad_weights_are_refused(estimator: type) -> None:
    X, y = blobs(3)
    with pytest.raises(OptionError, match=r"sample_weight\[2\] is -1. An objective that rewards errors"):
        small(estimator).fit(X, y, np.where(np.arange(60) == 2, -1.0, 1.0))
    with pytest.raises(OptionError, match="every sample_weight is zero"):
        small(estimator).fit(X, y, np.zeros(60))
    with pytest.raises(ShapeMismatchError, match=r"sample_weight has shape \(59,\), X has 60 rows"):
        small(estimator).fit(X, y, np.ones(59))


# Loading.


def _python(code: str) -> str:
    """Output of a fresh interpreter."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.strip()


def test_networks_load_without_scikit_learn() -> None:
    assert _python("import sys, hessian.nn; print('sklearn' in sys.modules)") == "False"


def test_without_scikit_learn_the_message_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from hessian.errors import MissingDependencyError\n"
        "try:\n    import hessian.nn.sklearn.estimators\n"
        "except MissingDependencyError as error:\n    print(error)"
    )
    assert "the package 'scikit-learn' is not installed" in _python(code)
    assert 'pip install "hessian[train]"' in _python(code)


def test_estimators_are_attributes_of_nn() -> None:
    assert hs.nn.NewtonMLPClassifier is NewtonMLPClassifier
