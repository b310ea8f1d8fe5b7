"""Losses and metrics: values against SciPy and scikit-learn, extremes, weights, exact derivatives, messages."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import expit

import hessian as hs
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError
from hessian.nn.losses import (
    LOSSES,
    gaussian_nll,
    get_loss,
    huber,
    poisson,
    sigmoid_cross_entropy,
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
        "sigmoid_cross_entropy": rng.uniform(0, 1, (n, 4)),
        "squared_error": rng.standard_normal((n, 4)),
        "huber": rng.standard_normal((n, 4)),
        "poisson": rng.poisson(3.0, (n, 4)),
        "gaussian_nll": rng.standard_normal((n, 2)),
    }
    return z, targets[name]


def _by_definition(name: str, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loss of each example, from distributions and formulas written elsewhere."""
    if name == "softmax_cross_entropy":
        return -np.log([np.exp(row[k]) / np.exp(row).sum() for row, k in zip(z, y, strict=True)])
    if name == "sigmoid_cross_entropy":
        return -(y * np.log(expit(z)) + (1 - y) * np.log(1 - expit(z))).sum(axis=1)
    if name == "squared_error":
        return ((z - y) ** 2).sum(axis=1)
    if name == "huber":
        r = np.abs(z - y)
        return np.where(r <= 1, r**2 / 2, r - 0.5).sum(axis=1)
    if name == "poisson":
        constant = [[math.lgamma(count + 1) for count in row] for row in y]
        return -(stats.poisson(np.exp(z)).logpmf(y) + np.array(constant)).sum(axis=1)
    k = y.shape[1]
    density = stats.norm(z[:, :k], np.exp(z[:, k:] / 2)).logpdf(y)
    return -(density + 0.5 * np.log(2 * np.pi)).sum(axis=1)


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
    if name != "gaussian_nll":
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


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"softmax_cross_entropy", "gaussian_nll"}))
def test_losses_of_one_output_take_vectors(name: str) -> None:
    z, y = _data(name)
    loss = get_loss(name)
    assert_allclose(loss(z[:, 0], y[:, 0]), loss(z[:, :1], y[:, :1]), rtol=1e-15)
    hs.check_derivatives(lambda z: loss(z, y[:, 0], weights=np.arange(6)), z[:, 0])


# Extremes and closed forms.


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sigmoid_cross_entropy_is_right_at_extreme_logits(dtype: Any) -> None:
    z = np.array([-1e4, -40.0, 0.0, 40.0, 1e4], dtype)
    tiny = math.exp(-40.0)
    right, wrong = [0.0, tiny, math.log(2), 40.0, 1e4], [1e4, 40.0, math.log(2), tiny, 0.0]
    each = lambda z, t: sigmoid_cross_entropy(z, np.full(np.shape(z), t), reduction="sum")
    rtol = 4 * np.finfo(dtype).eps
    for i in range(5):
        assert_allclose(each(z[i : i + 1], 0.0), right[i], rtol=rtol)
        assert_allclose(each(z[i : i + 1], 1.0), wrong[i], rtol=rtol)
    assert_allclose(hs.grad(lambda z: each(z, 1.0))(z), [-1.0, -1.0, -0.5, -tiny, 0.0], rtol=rtol)
    assert_allclose(hs.grad(lambda z: each(z, 0.0))(z), [0.0, tiny, 0.5, 1.0, 1.0], rtol=rtol)
    for target in (0.0, 0.25, 0.5, 1.0):
        H = hs.hessian(lambda z, target=target: each(z, target))(z)
        assert_allclose(np.diag(H), [0.0, tiny, 0.25, tiny, 0.0], rtol=1e2 * rtol)


def test_sigmoid_cross_entropy_has_the_textbook_derivatives() -> None:
    z, t = _data("sigmoid_cross_entropy", 3)
    loss = lambda z: sigmoid_cross_entropy(z, t, reduction="sum")
    assert_allclose(hs.grad(loss)(z), expit(z) - t, rtol=1e-12, atol=1e-15)
    curvature = hs.hvp(loss, z, np.ones(z.shape))
    assert_allclose(curvature, expit(z) * expit(-z), rtol=1e-12)
    # In the targets, which the formula reads on either side of one half, it is linear.
    assert_allclose(hs.grad(lambda t: sigmoid_cross_entropy(z, t, reduction="sum"))(t), -z, rtol=1e-12)
    half = np.full(z.shape, 0.5)
    assert_allclose(hs.grad(lambda t: sigmoid_cross_entropy(z, t, reduction="sum"))(half), -z, rtol=1e-12)


def test_huber_is_right_at_its_kinks_and_far_out() -> None:
    r = np.array([-1e200, -3.0, -0.5, -0.25, 0.0, 0.5, 3.0, 1e200])
    loss = lambda r: huber(r, np.zeros(8), delta=0.5, reduction="sum")
    values = [float(huber(x[None], [0.0], delta=0.5)) for x in r]
    assert_allclose(values, [5e199, 1.375, 0.125, 0.03125, 0.0, 0.125, 1.375, 5e199], rtol=1e-15)
    assert_allclose(hs.grad(loss)(r), np.clip(r, -0.5, 0.5), rtol=1e-15)
    assert_array_equal(hs.hvp(loss, r, np.ones(8)), [0, 0, 1, 1, 1, 1, 0, 0])
    big = np.random.default_rng(0).standard_normal((5, 2))
    assert_allclose(2 * huber(big, np.zeros((5, 2)), delta=1e6), squared_error(big, np.zeros((5, 2))), rtol=1e-14)


def test_poisson_is_half_a_deviance_and_right_far_out() -> None:
    from sklearn.metrics import mean_poisson_deviance

    z, y = _data("poisson", 1)
    z, y = z[:, 0], y[:, 0] + 1
    assert_allclose(2 * (poisson(z, y) - poisson(np.log(y), y)), mean_poisson_deviance(y, np.exp(z)), rtol=1e-12)
    loss = lambda z: poisson(z, y, reduction="sum")
    assert_allclose(hs.grad(loss)(z), np.exp(z) - y, rtol=1e-13)
    assert_allclose(hs.hvp(loss, z, np.ones(6)), np.exp(z), rtol=1e-13)
    assert_array_equal([poisson(np.array([-1e4]), [3]), poisson(np.array([-1e4]), [0])], [3e4, 0.0])
    assert poisson(np.array([1.0]), [0.5]) == np.exp(1.0) - 0.5
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert poisson(np.array([1e4]), [3]) == np.inf


def test_gaussian_nll_is_least_at_the_residual_and_right_far_out() -> None:
    y = np.array([3.0, -1.0, 0.5])
    best = np.column_stack([np.zeros(3), np.log(y**2)])
    loss = lambda outputs: gaussian_nll(outputs, y, reduction="sum")
    assert_allclose(hs.grad(loss)(best)[:, 1], 0.0, atol=1e-15)
    far = np.array([[1e8, 0.0], [0.0, 1e4], [0.5, -1e3]])
    assert_allclose([gaussian_nll(row[None], [0.5]) for row in far[:1]], [(1e8 - 0.5) ** 2 / 2], rtol=1e-14)
    assert_array_equal([gaussian_nll(row[None], [0.5]) for row in far[1:]], [5e3, -500.0])
    H = hs.hessian(loss)(np.array([[1e8, 0.0], [0.0, 1e4], [0.5, -600.0]]))
    assert np.isfinite(H).all()
    assert_allclose([H[0, 0, 0, 0], H[1, 0, 1, 0], H[2, 0, 2, 0]], [1.0, 0.0, math.exp(600)], rtol=1e-12)
    assert_allclose(gaussian_nll(best, y), gaussian_nll(best, y[:, None]), rtol=1e-15)


def test_losses_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    tensor = lambda a: torch.tensor(np.asarray(a, np.float64))
    z, y = _data("poisson", 5)
    peer = torch.nn.PoissonNLLLoss(reduction="sum")(tensor(z), tensor(y))
    assert_allclose(poisson(z, y, reduction="sum"), float(peer), rtol=1e-12)
    z, y = _data("huber", 5)
    peer = torch.nn.HuberLoss(reduction="sum", delta=0.7)(tensor(z), tensor(y))
    assert_allclose(huber(z, y, delta=0.7, reduction="sum"), float(peer), rtol=1e-12)
    z, y = _data("sigmoid_cross_entropy", 5)
    peer = torch.nn.BCEWithLogitsLoss(reduction="sum")(tensor(z), tensor(y))
    assert_allclose(sigmoid_cross_entropy(z, y, reduction="sum"), float(peer), rtol=1e-12)
    z, y = _data("gaussian_nll", 5)
    peer = torch.nn.GaussianNLLLoss(reduction="sum")(tensor(z[:, :2]), tensor(y), tensor(np.exp(z[:, 2:])))
    assert_allclose(gaussian_nll(z, y, reduction="sum"), float(peer), rtol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_losses_against_scikit_learn(seed: int) -> None:
    from sklearn.metrics import log_loss, mean_squared_error

    rng = np.random.default_rng(seed)
    z, labels, w = rng.standard_normal(20), rng.integers(0, 2, 20), rng.uniform(0, 2, 20)
    expected = log_loss(labels, expit(z), sample_weight=w)
    assert_allclose(sigmoid_cross_entropy(z, labels, weights=w), expected, rtol=1e-12)
    assert_allclose(sigmoid_cross_entropy(z, labels == 1, weights=w), expected, rtol=1e-12)
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
    p, y, w = rng.standard_normal((15, 3)), rng.standard_normal((15, 3)), rng.uniform(0, 2, 15)
    assert_allclose(r2(p, y), r2_score(y, p), rtol=1e-12)
    assert_allclose(r2(p, y, weights=w), r2_score(y, p, sample_weight=w), rtol=1e-12)
    assert_allclose(r2(p[:, 0], y[:, 0], weights=w), r2_score(y[:, 0], p[:, 0], sample_weight=w), rtol=1e-12)
    labels, yes = rng.integers(0, 3, 15), rng.integers(0, 2, 15)
    assert_allclose(accuracy(p, labels), accuracy_score(labels, p.argmax(axis=1)))
    assert_allclose(accuracy(p, labels, weights=w), accuracy_score(labels, p.argmax(axis=1), sample_weight=w))
    assert_allclose(accuracy(p[:, 0], yes, weights=w), accuracy_score(yes, p[:, 0] > 0, sample_weight=w))
    assert accuracy(p[:, 0], yes == 1) == accuracy(p[:, 0], yes)


def test_r2_of_constant_targets_is_nan() -> None:
    assert np.isnan(r2(np.ones(3), np.full(3, 2.0)))
    assert np.isnan(r2(np.ones((3, 2)), np.column_stack([np.full(3, 2.0), np.arange(3.0)])))


# Messages.


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: huber(np.zeros((3, 1)), np.zeros(3)), "huber: predictions have shape (3, 1), targets (3,)"),
        (lambda: sigmoid_cross_entropy(np.zeros((3, 1)), np.zeros(3)), "logits have shape (3, 1), targets (3,)"),
        (lambda: poisson(np.zeros(3), np.zeros((3, 1))), "log_rates have shape (3,), targets (3, 1)"),
        (lambda: poisson(np.float64(0), 0.0), "log_rates have shape ()"),
        (lambda: gaussian_nll(np.zeros((3, 3)), np.zeros(3)), "outputs have shape (3, 3), targets (3,)"),
        (lambda: gaussian_nll(np.zeros((3, 2)), np.zeros((3, 2))), "outputs have shape (3, 2), targets (3, 2)"),
        (lambda: gaussian_nll(np.zeros((3, 2)), np.zeros(4)), "outputs have shape (3, 2), targets (4,)"),
        (lambda: gaussian_nll(np.zeros(6), np.zeros(3)), "outputs have shape (6,)"),
        (lambda: squared_error(np.zeros(3), np.zeros(3), weights=[1.0]), "weights have shape (1,), the examples are 3"),
        (lambda: accuracy(np.zeros(3), np.zeros((3, 2))), "logits have shape (3,), labels (3, 2)"),
        (lambda: accuracy(np.zeros((2, 3, 4)), np.zeros(2, int)), "logits have shape (2, 3, 4)"),
        (lambda: accuracy(np.zeros((2, 3)), [0, 1], weights=np.ones((2, 1))), "accuracy: weights have shape (2, 1)"),
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
        (lambda: sigmoid_cross_entropy(np.zeros(3), [0, 1, 2]), "targets run from 0 to 2. A target is a probability"),
        (lambda: sigmoid_cross_entropy(np.zeros(2), [-1, 1]), "targets run from -1 to 1"),
        (lambda: sigmoid_cross_entropy(np.zeros(2), [np.nan, 1]), "targets run from nan to nan"),
        (lambda: poisson(np.zeros(2), [-1, 1]), "poisson: targets run from -1 to 1"),
        (lambda: poisson(np.zeros(2), [np.inf, 1]), "targets run from 1 to inf"),
        (lambda: huber(np.zeros(2), np.zeros(2), delta=0.0), "delta is 0.0"),
        (lambda: huber(np.zeros(2), np.zeros(2), delta=np.inf), "delta is inf"),
        (lambda: huber(np.zeros(2), np.zeros(2), weights=[-1, 1]), "the smallest weight is -1"),
        (lambda: poisson(np.zeros(2), np.zeros(2), weights=[0, 0]), "all weights are 0"),
        (lambda: r2(np.zeros(2), np.zeros(2), weights=[0, -2]), "r2: the smallest weight is -2"),
        (lambda: get_loss("hubber"), "Did you mean 'huber'?"),
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
    with pytest.raises(NonFiniteError, match="a weight is NaN or infinite"):
        squared_error(np.zeros(2), np.zeros(2), weights=[bad, 1.0])
