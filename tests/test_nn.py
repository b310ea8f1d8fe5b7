"""Networks, losses and training: closed forms, conventions, and every error message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import DtypeError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.nn import (
    ACTIVATIONS,
    INITIALIZERS,
    accuracy,
    get_activation,
    get_initializer,
    get_loss,
    l2_penalty,
    mlp,
    softmax_cross_entropy,
    squared_error,
    train,
)
from hessian.tape.trees import ravel

# Layers.


def _forward(params: list[dict[str, np.ndarray]], X: np.ndarray) -> np.ndarray:
    """Two tanh layers and a linear one, written out."""
    first, second, third = params
    hidden = np.tanh(np.tanh(X @ first["W"] + first["b"]) @ second["W"] + second["b"])
    return hidden @ third["W"] + third["b"]


@pytest.mark.parametrize("seed", [0, 1])
def test_apply_is_the_composition_of_its_layers(seed: int) -> None:
    network = mlp((3, 5, 4, 2))
    params = network.init(seed)
    X = np.random.default_rng(seed).standard_normal((7, 3))
    assert_array_equal(network.apply(params, X), _forward(params, X))
    assert_array_equal(network(params, X), network.apply(params, X))
    assert network.n_parameters == ravel(params)[0].size == 3 * 5 + 5 + 5 * 4 + 4 + 4 * 2 + 2


def test_two_sizes_are_a_linear_model() -> None:
    X = np.random.default_rng(0).standard_normal((4, 3))
    linear = mlp((3, 1), "relu")
    params = linear.init(2)
    assert_array_equal(linear(params, X), X @ params[0]["W"] + params[0]["b"])


def test_initial_parameters_follow_the_seed_and_the_dtype() -> None:
    network = mlp((4, 6, 2))
    first, again, other = network.init(3), network.init(3), network.init(4)
    assert_array_equal(ravel(first)[0], ravel(again)[0])
    assert not np.array_equal(ravel(first)[0], ravel(other)[0])
    assert_array_equal(ravel(network.init(np.random.default_rng(3)))[0], ravel(first)[0])
    single = network.init(3, np.float32)
    assert {array.dtype for layer in single for array in layer.values()} == {np.dtype(np.float32)}
    assert_array_equal(single[0]["W"], first[0]["W"].astype(np.float32))
    assert all(not layer["b"].any() for layer in first)
    assert network(single, np.zeros((3, 4), np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot", 2 / (300 + 500)), ("he", 2 / 300), ("lecun", 1 / 300),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1])
def test_initializers_have_the_variance_of_their_papers(name: str, variance: float, seed: int) -> None:
    uniform = get_initializer(f"{name}_uniform")(np.random.default_rng(seed), 300, 500)
    normal = get_initializer(f"{name}_normal")(np.random.default_rng(seed), 300, 500)
    assert uniform.shape == normal.shape == (300, 500)
    assert np.abs(uniform).max() <= np.sqrt(3 * variance)
    # The standard error of the sample variance of 150 000 normal draws is 0.4 % of it.
    assert_allclose([uniform.var(), normal.var()], variance, rtol=0.015)
    assert np.abs([uniform.mean(), normal.mean()]).max() < 5 * np.sqrt(variance / 150_000)


def test_zeros_and_functions_are_initializers() -> None:
    assert not ravel(mlp((3, 2), initializer="zeros").init(0))[0].any()
    ones = mlp((3, 2), initializer=lambda rng, n_in, n_out: np.ones((n_in, n_out))).init(0)
    assert_array_equal(ones[0]["W"], np.ones((3, 2)))
    assert "zeros" in INITIALIZERS


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_match_their_definitions_and_stay_finite_far_out(name: str) -> None:
    from scipy.stats import norm

    x = np.array([[-2.0, -0.5, 0.0, 0.3, 1.7]])
    exact = {
        "tanh": np.tanh(x), "sigmoid": 1 / (1 + np.exp(-x)), "relu": x * (x > 0), "softplus": np.log1p(np.exp(x)),
        "elu": np.where(x > 0, x, np.exp(x) - 1), "silu": x / (1 + np.exp(-x)), "gelu": x * norm.cdf(x),
        "sin": np.sin(x), "softmax": np.exp(x) / np.exp(x).sum(), "identity": x,
    }  # fmt: skip
    function = get_activation(name)
    assert_allclose(function(x), exact[name], rtol=1e-14, atol=1e-16)
    assert np.isfinite(function(np.array([[-1e4, 0.0, 1e4]]))).all()
    assert function(x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_networks_of_each_activation_have_exact_derivatives(name: str) -> None:
    network = mlp((3, 4, 2), name)
    params = network.init(1)
    X = np.random.default_rng(5).standard_normal((6, 3))
    hs.check_derivatives(lambda p: softmax_cross_entropy(network(p, X), [0, 1, 0, 1, 1, 0]), params)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: mlp((3,)), "sizes is (3,)"),
        (lambda: mlp((3, 0, 1)), "sizes is (3, 0, 1)"),
        (lambda: mlp((3, 2.5)), "Layer widths are integers"),
        (lambda: mlp((3, 2), "tahn"), "Did you mean 'tanh'?"),
        (lambda: mlp((3, 2), "sofmax"), "Did you mean 'softmax'?"),
        (lambda: mlp((3, 2), initializer="glorot"), "Did you mean 'glorot_"),
        (lambda: mlp((3, 2), "zzz"), "there is no activation 'zzz'. There are tanh"),
        (lambda: get_loss("square_error"), "Did you mean 'squared_error'?"),
    ],
)
def test_bad_networks_are_refused(call: Any, text: str) -> None:
    with pytest.raises(OptionError) as caught:
        call()
    assert text in str(caught.value)


def test_bad_inputs_of_a_network_are_refused() -> None:
    network = mlp((3, 2))
    with pytest.raises(ShapeMismatchError, match=r"X has shape \(5, 4\), expected \(n, \.\.\., 3\)"):
        network(network.init(), np.zeros((5, 4)))
    with pytest.raises(ShapeMismatchError, match=r"X has shape \(3,\), expected"):
        network(network.init(), np.zeros(3))
    with pytest.raises(ShapeMismatchError, match="params has 2 entries, the model has 1 layers"):
        network(network.init() * 2, np.zeros((5, 3)))
    with pytest.raises(DtypeError, match="dtype is int64"):
        network.init(0, np.int64)
    with pytest.raises(ShapeMismatchError, match=r"the initialiser returned shape \(2, 3\), the layer needs \(3, 2\)"):
        mlp((3, 2), initializer=lambda rng, n_in, n_out: np.ones((n_out, n_in))).init()


# Losses.


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_losses_against_their_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, targets, labels = rng.standard_normal((6, 4)), rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    probabilities = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    surprise = -np.log(probabilities[np.arange(6), labels])
    assert_allclose(softmax_cross_entropy(z, labels), surprise.mean(), rtol=1e-13)
    assert_allclose(softmax_cross_entropy(z, labels, reduction="sum"), surprise.sum(), rtol=1e-13)
    assert_allclose(softmax_cross_entropy(z, np.eye(4)[labels]), surprise.mean(), rtol=1e-13)
    assert_allclose(softmax_cross_entropy(z + 1e6, labels), surprise.mean(), rtol=1e-8)
    assert_allclose(squared_error(z, targets), ((z - targets) ** 2).sum(axis=1).mean(), rtol=1e-13)
    assert_allclose(squared_error(z, targets, reduction="sum"), ((z - targets) ** 2).sum(), rtol=1e-13)


def test_the_softmax_hessian_at_zero_is_a_kronecker_product() -> None:
    X = np.random.default_rng(0).standard_normal((9, 3))
    labels = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0])
    H = hs.hessian(lambda W: softmax_cross_entropy(X @ W, labels))(np.zeros((3, 4))).reshape(12, 12)
    classes = (np.eye(4) - 1 / 4) / 4
    assert_allclose(H, np.kron(X.T @ X / 9, classes), atol=1e-14)


def test_squared_error_of_a_linear_model_has_the_textbook_derivatives() -> None:
    rng = np.random.default_rng(3)
    X, y, w = rng.standard_normal((8, 3)), rng.standard_normal(8), rng.standard_normal(3)
    loss = lambda w: squared_error(X @ w, y, reduction="sum")
    assert_allclose(hs.grad(loss)(w), 2 * X.T @ (X @ w - y), rtol=1e-13)
    assert_allclose(hs.hessian(loss)(w), 2 * X.T @ X, rtol=1e-13)


def test_the_penalty_adds_its_multiple_of_the_identity() -> None:
    network = mlp((3, 4, 2))
    params = network.init(0)
    X, labels = np.random.default_rng(1).standard_normal((5, 3)), np.array([0, 1, 1, 0, 1])
    flat = ravel(params)[0]
    assert_allclose(l2_penalty(params, 0.3), 0.15 * flat @ flat, rtol=1e-15)
    data = lambda p: softmax_cross_entropy(network(p, X), labels)
    both = lambda p: data(p) + l2_penalty(p, 0.3)
    difference = hs.HessianOperator(both, params).to_dense() - hs.HessianOperator(data, params).to_dense()
    assert_allclose(difference, 0.3 * np.eye(network.n_parameters), atol=1e-15)


def test_accuracy_counts_rows() -> None:
    logits = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert accuracy(logits, [1, 0, 0, 1]) == 0.5
    assert accuracy(logits, np.eye(2)[[1, 0, 1, 0]]) == 1.0
    with pytest.raises(ShapeMismatchError, match=r"logits have shape \(4, 2\), labels \(3,\)"):
        accuracy(logits, [1, 0, 0])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: squared_error(np.zeros((3, 1)), np.zeros(3)), "predictions have shape (3, 1), targets (3,)"),
        (lambda: squared_error(np.float64(0.0), 0.0), "predictions have shape ()"),
        (lambda: softmax_cross_entropy(np.zeros(3), [0, 1, 2]), "logits have shape (3,), expected (n, K)"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), [0, 1, 2]), "labels have shape (3,), logits (2, 3)"),
    ],
)
def test_bad_shapes_of_a_loss_are_refused(call: Any, text: str) -> None:
    with pytest.raises(ShapeMismatchError) as caught:
        call()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: squared_error(np.zeros(3), np.zeros(3), reduction="max"), "reduction is 'max'"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), [0, 3]), "labels run from 0 to 3, the 3 classes are 0 to 2"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), [-1, 2]), "labels run from -1 to 2"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), [0.0, 1.0]), "have dtype float64"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.ones((2, 3))), "row 0 of labels sums to 3"),
        (lambda: l2_penalty(np.ones(2), -1.0), "l2 is -1.0"),
        (lambda: l2_penalty(np.ones(2), np.nan), "l2 is nan"),
    ],
)
def test_bad_values_of_a_loss_are_refused(call: Any, text: str) -> None:
    with pytest.raises(OptionError) as caught:
        call()
    assert text in str(caught.value)


# Training.


def _blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping clouds in the plane."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), 20)
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 2.0]])
    return centres[labels] + 0.6 * rng.standard_normal((60, 2)), labels


@pytest.mark.parametrize("method", ["trust-ncg", "newton"])
@pytest.mark.parametrize("seed", [0, 1])
def test_training_ends_at_a_minimum_of_the_objective(method: str, seed: int) -> None:
    X, labels = _blobs(seed)
    fit = train(mlp((2, 5, 3)), X, labels, l2=1e-2, method=method, rng=seed, options={"gtol": 1e-9})
    assert fit.result.success, fit.result.message
    gradient = ravel(hs.grad(fit.objective)(fit.params))[0]
    assert np.linalg.norm(gradient) <= 1e-9
    assert_allclose(fit.metrics["gradient_norm"], np.linalg.norm(gradient), rtol=1e-6, atol=1e-12)
    operator = hs.HessianOperator(fit.objective, fit.params)
    assert np.linalg.eigvalsh(operator.to_dense())[0] > 0
    assert_allclose(fit.metrics["objective"], operator.value, rtol=1e-14)
    assert_allclose(fit.metrics["loss"] + l2_penalty(fit.params, 1e-2), fit.metrics["objective"], rtol=1e-13)
    assert fit.metrics["accuracy"] == accuracy(fit.predict(X), labels) > 0.85


@pytest.mark.parametrize("seed", [0, 1])
def test_a_linear_network_lands_on_the_least_squares_solution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    fit = train(mlp((4, 2)), X, Y, loss="squared_error", rng=seed, options={"gtol": 1e-11})
    exact = np.linalg.lstsq(np.column_stack([X, np.ones(30)]), Y, rcond=None)[0]
    assert_allclose(fit.params[0]["W"], exact[:4], atol=1e-11)
    assert_allclose(fit.params[0]["b"], exact[4], atol=1e-11)
    assert "accuracy" not in fit.metrics


def test_class_numbers_and_one_hot_rows_train_the_same() -> None:
    X, labels = _blobs(0)
    options = {"gtol": 1e-9}
    numbers = train(mlp((2, 3)), X, labels, l2=1e-2, options=options)
    rows = train(mlp((2, 3)), X, np.eye(3)[labels], l2=1e-2, options=options)
    assert_allclose(ravel(numbers.params)[0], ravel(rows.params)[0], atol=1e-8)
    assert numbers.metrics["accuracy"] == rows.metrics["accuracy"]


def test_training_from_given_parameters_leaves_them_alone() -> None:
    X, labels = _blobs(0)
    network = mlp((2, 3))
    start = network.init(7)
    before = ravel(start)[0].copy()
    fit = train(network, X, labels, l2=1e-2, params=start)
    assert_array_equal(ravel(start)[0], before)
    assert_array_equal(ravel(fit.params)[0], ravel(train(network, X, labels, l2=1e-2, rng=7).params)[0])


def test_training_in_float32_stays_in_float32() -> None:
    X, labels = _blobs(0)
    fit = train(mlp((2, 3)), X, labels, l2=1e-2, dtype=np.float32, options={"gtol": 1e-3})
    assert fit.result.success
    assert {array.dtype for layer in fit.params for array in layer.values()} == {np.dtype(np.float32)}
    assert fit.predict(X).dtype == np.float32


def test_a_loss_may_be_any_function_and_the_callback_sees_the_steps() -> None:
    X, labels = _blobs(0)
    seen = []
    huber = lambda outputs, targets: np.mean(np.sqrt(1 + (outputs - targets) ** 2))
    fit = train(
        mlp((2, 1)),
        X,
        labels[:, None],
        loss=huber,
        callback=lambda intermediate_result: seen.append(intermediate_result.fun),
    )
    assert fit.result.success
    assert len(seen) == fit.result.nit
    assert_allclose(seen[-1], fit.metrics["objective"])


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"X": np.zeros((60, 3))}, ShapeMismatchError, "X has shape (60, 3), the network takes (n, ..., 2)"),
        ({"X": np.zeros(60)}, ShapeMismatchError, "X has shape (60,)"),
        ({"y": np.zeros(59, int)}, ShapeMismatchError, "y has shape (59,), X has 60 rows"),
        ({"X": np.zeros((0, 2)), "y": np.zeros(0, int)}, OptionError, "X has no rows"),
        ({"X": np.full((60, 2), np.nan)}, NonFiniteError, "X[0, 0] is nan"),
        ({"y": np.full((60, 3), np.inf)}, NonFiniteError, "y[0, 0] is inf"),
        ({"y": np.full(60, 3)}, OptionError, "labels run from 3 to 3, the 3 classes are 0 to 2"),
        ({"y": np.zeros(60)}, OptionError, "have dtype float64"),
        ({"dtype": np.int64}, DtypeError, "dtype is int64"),
        ({"loss": "cross_entropy"}, OptionError, "Did you mean 'softmax_cross_entropy'?"),
        ({"l2": -1.0}, OptionError, "l2 is -1.0"),
    ],
)
def test_bad_inputs_of_training_are_refused(changes: dict[str, Any], error: type[Exception], text: str) -> None:
    X, labels = _blobs(0)
    arguments = {"X": X, "y": labels} | changes
    with pytest.raises(error) as caught:
        train(mlp((2, 3)), arguments.pop("X"), arguments.pop("y"), **arguments)
    assert text in str(caught.value)
