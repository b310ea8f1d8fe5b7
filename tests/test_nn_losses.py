"""Losses and metrics: values against SciPy and scikit-learn, extremes, weights, exact derivatives, messages."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

import hessian as hs
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError
from hessian.nn.losses import (
    LOSSES,
    get_loss,
    softmax_cross_entropy,
    squared_error,
)
from hessian.nn.metrics import accuracy, r2


def _data(name: str, seed: int = 0, n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of a network and targets that suit a loss."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.standard_normal((n, 4))
    targets = {
        "softmax_cross_entropy": rng.integers(0, 4, n),
        "squared_error": rng.standard_normal((n, 4)),
    }
    return z, targets[name]


def _by_definition(name: str, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loss of each example, from distributions and formulas written elsewhere."""
    if name == "softmax_cross_entropy":
        return -np.log([np.exp(row[k]) / np.exp(row).sum() for row, k in zip(z, y, strict=True)])
    return ((z - y) ** 2).sum(axis=1)


# Every loss.


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_against_their_definitions(name: str, seed: int) -> None:
    z, y = _data(name, seed)
    before = copy.deepcopy((z, y))
    loss, rows = get_loss(name), _by_definition(name, z, y)
    w = np.random.default_rng(seed).uniform(0, 3, len(z))
    assert_allclose(loss(z, y), rows.mean(), rtol=1e-12)
    assert_allclose(loss(z, y, reduction="sum"), rows.sum(), rtol=1e-12)
    assert_allclose(loss(z, y, weights=w), np.average(rows, weights=w), rtol=1e-12)
    assert_allclose(loss(z, y, weights=w, reduction="sum"), w @ rows, rtol=1e-12)
    assert_array_equal(z, before[0])
    assert_array_equal(y, before[1])


@pytest.mark.parametrize("name", LOSSES)
def test_integer_weights_count_copies_of_rows(name: str) -> None:
    z, y = _data(name)
    copies = np.array([1, 0, 3, 2, 1, 0])
    loss = get_loss(name)
    repeated = loss(np.repeat(z, copies, axis=0), np.repeat(y, copies, axis=0))
    assert_allclose(loss(z, y, weights=copies), repeated, rtol=1e-13)
    assert_allclose(loss(z, y, weights=np.full(6, 0.3)), loss(z, y), rtol=1e-13)
    g = hs.grad(lambda z: loss(z, y, weights=copies))(z)
    assert not g[copies == 0].any()


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.0, 1.0, 1.0, 3.0]])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_exact_derivatives(name: str, weights: Any) -> None:
    z, y = _data(name)
    loss = get_loss(name)
    hs.check_derivatives(lambda z: loss(z, y, weights=weights), z)
    hs.check_derivatives(lambda z: loss(np.tanh(z), y, weights=weights, reduction="sum"), z)


@pytest.mark.parametrize("name", LOSSES)
def test_recorded_losses_replay_other_targets_and_weights(name: str) -> None:
    loss = get_loss(name)
    plain = lambda z, y, w: loss(np.sin(z), y, weights=w)
    runs = []

    def counted(z: Any, y: Any, w: Any) -> Any:
        runs.append(1)
        return plain(z, y, w)

    recorded = hs.record(counted, verify="never")
    for seed in range(4):
        z, y = _data(name, seed)
        w = np.random.default_rng(seed).uniform(0.5, 2.0, len(z))
        v = np.random.default_rng(seed + 10).standard_normal(z.shape)
        wanted, found = hs.grad_and_hvp(plain, z, v, y, w), hs.grad_and_hvp(recorded, z, v, y, w)
        assert_allclose(found[0], wanted[0], rtol=1e-12, atol=1e-14)
        assert_allclose(found[1], wanted[1], rtol=1e-12, atol=1e-14)
    assert len(runs) == 1


@pytest.mark.parametrize("name", LOSSES)
def test_gauss_newton_of_a_linear_model_is_the_hessian(name: str) -> None:
    X, W = np.random.default_rng(1).standard_normal((6, 3)), np.random.default_rng(2).standard_normal((3, 4))
    loss = lambda outputs: get_loss(name)(outputs, _data(name)[1], weights=np.arange(6))
    G = hs.GaussNewtonOperator(lambda W: X @ W, loss, W).to_dense()
    H = hs.HessianOperator(lambda W: loss(X @ W), W).to_dense()
    assert_allclose(G, H, rtol=1e-13, atol=1e-13)
    assert np.linalg.eigvalsh(H)[0] >= -1e-13


@pytest.mark.parametrize("name", LOSSES)
def test_losses_keep_float32(name: str) -> None:
    z, y = _data(name)
    loss, w = get_loss(name), np.linspace(1.0, 2.0, len(z))
    single = z.astype(np.float32)
    assert loss(single, y).dtype == np.float32
    assert loss(single, y, weights=w).dtype == np.float32
    assert hs.grad(lambda z: loss(z, y, weights=w))(single).dtype == np.float32
    assert hs.grad(hs.record(lambda z: loss(z, y, weights=w)))(single).dtype == np.float32
    assert_allclose(loss(single, y, weights=w), loss(z, y, weights=w), rtol=1e-5)


def test_squared_error_takes_vectors() -> None:
    z, y = _data("squared_error")
    assert_allclose(squared_error(z[:, 0], y[:, 0]), squared_error(z[:, :1], y[:, :1]), rtol=1e-15)
    hs.check_derivatives(lambda z: squared_error(z, y[:, 0], weights=np.arange(6)), z[:, 0])


@pytest.mark.parametrize("seed", [0, 1])
def test_losses_against_scikit_learn(seed: int) -> None:
    from sklearn.metrics import log_loss, mean_squared_error

    rng = np.random.default_rng(seed)
    z, labels, w = rng.standard_normal(20), rng.integers(0, 2, 20), rng.uniform(0, 2, 20)
    expected = log_loss(labels, expit(z), sample_weight=w)
    both = np.column_stack([np.zeros(20), z])
    assert_allclose(softmax_cross_entropy(both, labels, weights=w), expected, rtol=1e-12)
    assert_allclose(softmax_cross_entropy(both, np.eye(2)[labels], weights=w), expected, rtol=1e-12)
    y = rng.standard_normal(20)
    assert_allclose(squared_error(z, y, weights=w), mean_squared_error(y, z, sample_weight=w), rtol=1e-12)


def test_bad_labels_are_refused_by_a_replay_too() -> None:
    recorded = hs.record(lambda z, labels: softmax_cross_entropy(z, labels))
    z = np.random.default_rng(0).standard_normal((3, 4))
    for labels in ([0, 1, 2], [3, 3, 0], [1, 1, 1]):
        assert_allclose(recorded(z, np.array(labels)), softmax_cross_entropy(z, labels), rtol=1e-14)
    assert recorded.stats.recordings == 1
    with pytest.raises(OptionError, match="labels run from 0 to 4, the 4 classes are 0 to 3"):
        recorded(z, np.array([0, 4, 1]))


# Metrics.


@pytest.mark.parametrize("seed", [0, 1])
def test_metrics_against_scikit_learn(seed: int) -> None:
    from sklearn.metrics import accuracy_score, r2_score

    rng = np.random.default_rng(seed)
    p, y = rng.standard_normal((15, 3)), rng.standard_normal((15, 3))
    assert_allclose(r2(p, y), r2_score(y, p), rtol=1e-12)
    assert_allclose(r2(p[:, 0], y[:, 0]), r2_score(y[:, 0], p[:, 0]), rtol=1e-12)
    labels, yes = rng.integers(0, 3, 15), rng.integers(0, 2, 15)
    assert_allclose(accuracy(p, labels), accuracy_score(labels, p.argmax(axis=1)))
    assert_allclose(accuracy(p[:, 0], yes), accuracy_score(yes, p[:, 0] > 0))
    assert accuracy(p[:, 0], yes == 1) == accuracy(p[:, 0], yes)


def test_r2_of_constant_targets_is_nan() -> None:
    assert np.isnan(r2(np.ones(3), np.full(3, 2.0)))
    assert np.isnan(r2(np.ones((3, 2)), np.column_stack([np.full(3, 2.0), np.arange(3.0)])))


# Messages.


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: squared_error(np.zeros(3), np.zeros(3), weights=[1.0]), "weights have shape (1,), the examples are 3"),
        (lambda: accuracy(np.zeros(3), np.zeros((3, 2))), "logits have shape (3,), labels (3, 2)"),
        (lambda: accuracy(np.zeros((2, 3, 4)), np.zeros(2, int)), "logits have shape (2, 3, 4)"),
        (lambda: r2(np.zeros((3, 1)), np.zeros(3)), "r2: predictions have shape (3, 1), targets (3,)"),
    ],
)
def test_bad_shapes_of_losses_are_refused(call: Any, text: str) -> None:
    with pytest.raises(ShapeMismatchError) as caught:
        call()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: squared_error(np.zeros(2), np.zeros(2), weights=[-1, 1]), "the smallest weight is -1"),
        (lambda: squared_error(np.zeros(2), np.zeros(2), weights=[0, 0]), "all weights are 0"),
        (lambda: get_loss("square_error"), "Did you mean 'squared_error'?"),
        *((lambda name=name: get_loss(name)(*_data(name), reduction="max"), f"{name}: reduction is 'max'")
          for name in LOSSES),
    ],
)  # fmt: skip
def test_bad_values_of_losses_are_refused(call: Any, text: str) -> None:
    with pytest.raises(OptionError) as caught:
        call()
    assert text in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(NonFiniteError, match=r"weights\[\d+\] is (nan|inf)"):
        squared_error(np.zeros(2), np.zeros(2), weights=[bad, 1.0])
