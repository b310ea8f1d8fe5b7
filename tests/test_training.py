"""Training on batches: Hessian-free and first-order methods, schedules, validation, checkpoints, bad data."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import (
    CheckpointError,
    CheckpointWarning,
    DtypeError,
    MissingDependencyError,
    NonFiniteError,
    OptionError,
    ShapeMismatchError,
)
from hessian.nn import accuracy, mlp, r2, softmax_cross_entropy, squared_error, train
from hessian.nn.batch_methods.batches import Batches, split_rows
from hessian.nn.batch_methods.first_order import RULES
from hessian.nn.batch_methods.hessian_free import conjugate_gradients
from hessian.nn.objective import BatchObjective, TrainingObjective
from hessian.nn.training import BATCH_METHODS
from hessian.optimize import Status
from hessian.tape.trees import ravel

FIRST_ORDER = tuple(RULES)


def _blobs(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping clouds in the plane."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 2.0]])
    return centres[labels] + 0.6 * rng.standard_normal((n, 2)), labels


def _flat(fit: Any) -> np.ndarray:
    """Parameters of a fit as a vector."""
    return ravel(fit.params)[0]


def _matrix(seed: int, n: int = 12) -> np.ndarray:
    """A positive definite matrix."""
    A = np.random.default_rng(seed).standard_normal((n, n))
    return A @ A.T + 0.1 * np.eye(n)


# Conjugate gradients.


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_conjugate_gradients_solve_and_know_the_model(seed: int) -> None:
    A, rng = _matrix(seed), np.random.default_rng(seed)
    b, start = rng.standard_normal(12), rng.standard_normal(12)
    path = conjugate_gradients(lambda v: A @ v, b, start, tol=1e-14, maxiter=200)
    assert_allclose(path.iterates[-1].step, np.linalg.solve(A, b), rtol=1e-6)
    models = [iterate.model for iterate in path.iterates]
    assert_allclose(models, [0.5 * i.step @ A @ i.step - b @ i.step for i in path.iterates], rtol=1e-8)
    # At the end only rounding is left.
    assert np.all(np.diff(models) <= 1e-12 * np.abs(models[-1]))


def test_conjugate_gradients_stop_when_progress_is_slow() -> None:
    A = np.diag(np.geomspace(1e-8, 1.0, 400))
    b = np.random.default_rng(0).standard_normal(400)
    loose = conjugate_gradients(lambda v: A @ v, b, np.zeros(400), tol=1e-2, maxiter=1000)
    tight = conjugate_gradients(lambda v: A @ v, b, np.zeros(400), tol=1e-3, maxiter=1000)
    assert loose.status == tight.status == "progress"
    assert 10 < loose.n_hvp < tight.n_hvp < 1000


def test_conjugate_gradients_say_why_they_stop_otherwise() -> None:
    b = np.array([1.0, 1.0])
    indefinite = conjugate_gradients(lambda v: np.array([1.0, -2.0]) * v, b, np.zeros(2))
    assert indefinite.status == "curvature"
    broken = conjugate_gradients(lambda v: np.nan * v, b, np.zeros(2))
    assert broken.status == "curvature"
    assert_array_equal(broken.iterates[-1].step, np.zeros(2))
    assert conjugate_gradients(lambda v: v, b, np.zeros(2), deadline=0.0).status == "deadline"
    assert conjugate_gradients(lambda v: v, b, b).status == "solved"
    A = _matrix(0)
    assert conjugate_gradients(lambda v: A @ v, A[0], np.zeros(12), maxiter=2).status == "maxiter"


def test_iterates_are_kept_at_growing_distances() -> None:
    A = np.diag(np.geomspace(1e-6, 1.0, 300))
    path = conjugate_gradients(lambda v: A @ v, np.ones(300), np.zeros(300), tol=1e-9, maxiter=250)
    assert path.n_hvp == 250
    assert len(path.iterates) < 25


# The objective of a batch.


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("loss", [softmax_cross_entropy, squared_error])
def test_the_objective_of_a_batch_is_the_objective_of_its_rows(loss: Any, l2: float) -> None:
    X, labels = _blobs(0)
    y = labels if loss is softmax_cross_entropy else np.eye(3)[labels]
    network = mlp((2, 4, 3))
    params = network.init(0)
    batches = BatchObjective(network, loss, l2, params)
    rng = np.random.default_rng(0)
    for size in (60, 7, 7, 13, 7):
        rows = rng.permutation(60)[:size]
        plain = TrainingObjective(network, X[rows], y[rows], loss, l2)
        value, gradient = batches.value_and_gradient(batches.start, X[rows], y[rows])
        expected, slopes = hs.value_and_grad(plain)(params)
        assert_allclose(value, expected, rtol=1e-13)
        assert_allclose(batches.value(batches.start, X[rows], y[rows]), expected, rtol=1e-13)
        assert_allclose(gradient, ravel(slopes)[0], rtol=1e-10, atol=1e-14)
        product = batches.gauss_newton(batches.start, X[rows], y[rows])
        exact = hs.GaussNewtonOperator(lambda p: network(p, X[rows]), lambda z: loss(z, y[rows]), params)  # noqa: B023
        columns = np.stack([product(e) for e in np.eye(batches.start.size)])
        assert_allclose(columns, exact.to_dense() + l2 * np.eye(len(columns)), atol=1e-12)
    assert (batches.counters.n_value, batches.counters.n_grad, batches.counters.n_hvp) == (
        10,
        5,
        5 * batches.start.size,
    )


def test_batches_are_recorded_once_for_each_size() -> None:
    calls = []

    def loss(outputs: Any, targets: Any) -> Any:
        calls.append(np.shape(targets))
        return softmax_cross_entropy(outputs, targets)

    X, labels = _blobs(0)
    train(mlp((2, 3)), X, labels, loss=loss, method="adam", batch_size=8, options={"maxiter": 64})
    # 512 steps of 8 and 4 rows: recordings, verifications at powers of two, and the start and end on all 60.
    assert {(8,), (4,), (60,)} == set(calls)
    assert len(calls) < 60


def test_a_loss_that_cannot_be_recorded_with_its_targets_is_run_plainly() -> None:
    X, labels = _blobs(0)
    stubborn = lambda outputs, targets: softmax_cross_entropy(outputs, np.asarray(targets))
    for method in ("hessian-free", "adam"):
        options = {"maxiter": 3}
        easy = train(mlp((2, 3)), X, np.eye(3)[labels], method=method, options=options)
        hard = train(mlp((2, 3)), X, np.eye(3)[labels], loss=stubborn, method=method, options=options)
        assert_allclose(_flat(hard), _flat(easy), rtol=1e-9)


def test_the_matrix_of_a_batch_has_its_own_targets_even_where_the_loss_copies_them() -> None:
    # Whole numbers are not traced, so that a copy of them looks like a constant to a recording.
    X, labels = _blobs(0)
    weighted = lambda outputs, targets: np.mean((1 + np.asarray(targets)) * (outputs[:, 0] - targets) ** 2)
    network = mlp((2, 3, 1))
    params = network.init(0)
    batches, rng = BatchObjective(network, weighted, 0.0, params), np.random.default_rng(0)
    for _ in range(6):
        rows = rng.permutation(60)[:16]
        product = batches.gauss_newton(batches.start, X[rows], labels[rows])
        loss = lambda z: weighted(z, labels[rows])  # noqa: B023
        exact = hs.GaussNewtonOperator(lambda p: network(p, X[rows]), loss, params)  # noqa: B023
        assert_allclose(np.stack([product(e) for e in np.eye(batches.start.size)]), exact.to_dense(), atol=1e-12)


# Hessian-free optimisation.


@pytest.mark.parametrize("seed", [0, 1])
def test_hessian_free_lands_on_the_least_squares_solution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((50, 4)), rng.standard_normal((50, 2))
    options = {"gtol": 1e-9, "cg_tol": 1e-9}
    fit = train(mlp((4, 2)), X, Y, loss="squared_error", method="hessian-free", rng=seed, options=options)
    assert fit.result.status is Status.CONVERGED_UNCHECKED
    exact = np.linalg.lstsq(np.column_stack([X, np.ones(50)]), Y, rcond=None)[0]
    assert_allclose(np.vstack([fit.params[0]["W"], fit.params[0]["b"]]), exact, atol=1e-8)


@pytest.mark.parametrize("batch_size", [None, 20])
@pytest.mark.parametrize("seed", [0, 1])
def test_hessian_free_descends_and_counts(seed: int, batch_size: int | None) -> None:
    X, labels = _blobs(seed)
    options = {"maxiter": 40}
    fit = train(
        mlp((2, 8, 3)), X, labels, l2=1e-3, method="hessian-free", rng=seed, batch_size=batch_size, options=options
    )
    history = fit.result.history
    values = [record.value for record in history]
    assert all(later <= earlier for earlier, later in pairwise(values))
    assert fit.metrics["accuracy"] == accuracy(fit.predict(X), labels) > 0.85
    assert len(history) == fit.result.nit + 1
    assert fit.result.n_hvp == sum(record.cg_iterations for record in history[1:])
    assert_allclose(fit.result.fun, fit.objective(fit.params), rtol=1e-12)
    assert_allclose(fit.metrics["gradient_norm"], history[-1].gradient_norm, rtol=1e-6)


def test_the_damping_follows_the_ratio() -> None:
    X, labels = _blobs(0)
    fit = train(mlp((2, 8, 3)), X, labels, method="hessian-free", batch_size=10, options={"maxiter": 60, "max_cg": 20})
    history = fit.result.history
    for record, after in pairwise(history[1:]):
        factor = after.regularization / record.regularization
        if not record.accepted:
            assert_allclose(factor, 6.0)
        elif record.ratio < 0.25:
            assert_allclose(factor, 1.5)
        elif record.ratio > 0.75:
            assert_allclose(factor, 1 / 1.5)
        else:
            assert factor == 1.0
    assert {record.ratio > 0.75 for record in history[1:]} == {True, False}


def test_hessian_free_rejects_steps_into_nan_and_raises_the_damping() -> None:
    # The objective ends at |z| = 1; undamped steps aim far beyond.
    barrier = lambda z, y: np.mean(-np.log(1.0 - z[:, 0] ** 2) - 20.0 * y * z[:, 0])
    X, y = np.linspace(0.5, 1.0, 9)[:, None], np.ones(9)
    fit = train(mlp((1, 1), initializer="zeros"), X, y, loss=barrier, method="hessian-free", options={"damping": 1e-6})
    assert np.isfinite(fit.result.fun)
    assert np.abs(fit.predict(X)).max() < 1.0
    assert fit.result.success, fit.result.message
    assert any(not np.isfinite(record.ratio) for record in fit.result.history[1:])
    weights = [record.regularization for record in fit.result.history]
    assert max(weights) > weights[0]


def test_a_step_that_leads_nowhere_is_rejected_and_the_point_kept() -> None:
    X = np.ones((4, 1))
    cliff = lambda z, y: np.mean(np.where(z[:, 0] > 0.0, np.nan, 0.0) - z[:, 0])
    fit = train(
        mlp((1, 1), initializer="zeros"), X, np.zeros(4), loss=cliff, method="hessian-free", options={"maxiter": 5}
    )
    assert [record.accepted for record in fit.result.history] == [True] + [False] * 5
    weights = [record.regularization for record in fit.result.history[1:]]
    assert_allclose(np.diff(np.log(weights)), math.log(6.0))
    assert_array_equal(_flat(fit), np.zeros(2))
    assert fit.result.status is Status.MAX_ITERATIONS


def test_hessian_free_gives_up_where_no_damping_helps() -> None:
    cliff = lambda z, y: np.mean(np.where(z[:, 0] > 0.0, np.nan, 0.0) - z[:, 0])
    fit = train(mlp((1, 1), initializer="zeros"), np.ones((4, 1)), np.zeros(4), loss=cliff, method="hessian-free")
    assert fit.result.status is Status.STALLED
    assert "The damping has grown to" in fit.result.message


def test_hessian_free_stops_where_a_batch_is_not_finite() -> None:
    # Rows of the first kind pull z to 2; those of the second have no objective from 1 on.
    kinds = lambda z, y: np.mean(np.where(y > 0, -np.log(1.0 - z[:, 0]), (z[:, 0] - 2.0) ** 2))
    X, y = np.ones((8, 1)), np.array([0.0] * 7 + [1.0])
    options = {"gradient_batch_size": 1, "maxiter": 200}
    fit = train(mlp((1, 1), initializer="zeros"), X, y, loss=kinds, method="hessian-free", options=options)
    assert fit.result.status is Status.DIVERGED
    assert "A batch of rows" in fit.result.message


def test_hessian_free_ends_at_the_precision_of_float32() -> None:
    X, labels = _blobs(0)
    options = {"gtol": 0.0, "maxiter": 500}
    fit = train(mlp((2, 3)), X, labels, l2=1e-2, method="hessian-free", dtype=np.float32, options=options)
    assert fit.result.status in (Status.PRECISION, Status.STALLED)
    assert {array.dtype for layer in fit.params for array in layer.values()} == {np.dtype(np.float32)}
    exact = train(mlp((2, 3)), X, labels, l2=1e-2, options={"gtol": 1e-9})
    assert_allclose(_flat(fit), _flat(exact), atol=2e-3)


def test_hessian_free_learns_from_batches_of_the_gradient() -> None:
    X, labels = _blobs(0, 600)
    options = {"gradient_batch_size": 200, "maxiter": 30}
    fit = train(mlp((2, 8, 3)), X, labels, l2=1e-3, method="hessian-free", batch_size=100, options=options)
    assert fit.result.status is Status.MAX_ITERATIONS
    assert fit.metrics["accuracy"] > 0.85


@pytest.mark.parametrize("method", ["hessian-free", "adam"])
def test_a_start_that_is_not_finite_is_refused(method: str) -> None:
    X, labels = _blobs(0)
    broken = lambda z, y: np.sum(z) * np.nan
    with pytest.raises(
        NonFiniteError,
        match=r"the objective is nan at the start.*Scale X and y, or start elsewhere\. argument 1 of multiply",
    ):
        train(mlp((2, 3)), X, labels, loss=broken, method=method)
    with pytest.raises(NonFiniteError, match=r"or start elsewhere, or pass dtype=float64\. argument 1 of multiply"):
        train(mlp((2, 3)), X, labels, loss=broken, method=method, dtype=np.float32)


def test_hessian_free_refuses_a_start_without_a_gradient() -> None:
    root = lambda z, y: np.sum(np.sqrt(z * z))
    with pytest.raises(NonFiniteError, match="its gradient's norm nan at the start"):
        train(mlp((2, 1), initializer="zeros"), *_blobs(0), loss=root, method="hessian-free")


# First-order methods.


def _torch_optimizer(torch: Any, method: str, options: dict[str, Any], weights: Any) -> Any:
    """The same method in torch."""
    rate = options["learning_rate"]
    if method == "adam":
        return torch.optim.Adam(weights, lr=rate, betas=(0.8, 0.99), eps=1e-6)
    if method == "rmsprop":
        return torch.optim.RMSprop(weights, lr=rate, alpha=0.8, eps=1e-6)
    if method == "adagrad":
        return torch.optim.Adagrad(weights, lr=rate, eps=1e-6)
    momentum = 0.7 if method == "momentum" else 0.0
    return torch.optim.SGD(weights, lr=rate, momentum=momentum)


@pytest.mark.parametrize("method", FIRST_ORDER)
def test_first_order_methods_take_the_steps_of_torch(method: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
    network = mlp((3, 2))
    start = network.init(0)
    options = {"learning_rate": 0.05, "maxiter": 25}
    own = {
        "gradient-descent": {}, "momentum": {"momentum": 0.7}, "adagrad": {"epsilon": 1e-6},
        "rmsprop": {"decay": 0.8, "epsilon": 1e-6}, "adam": {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6},
    }[method]  # fmt: skip
    fit = train(
        network, X, Y, loss="squared_error", method=method, params=start, batch_size=20, options={**own, **options}
    )
    weights = [torch.tensor(start[0][name], requires_grad=True) for name in ("W", "b")]
    optimizer = _torch_optimizer(torch, method, options, weights)
    for _ in range(25):
        optimizer.zero_grad()
        residual = torch.tensor(X) @ weights[0] + weights[1] - torch.tensor(Y)
        (residual * residual).sum(dim=1).mean().backward()
        optimizer.step()
    assert_allclose(fit.params[0]["W"], weights[0].detach().numpy(), rtol=1e-10)
    assert_allclose(fit.params[0]["b"], weights[1].detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"momentum": 0.9}, [0.9, 0.72, 0.486]),
        ({"momentum": 0.0}, [0.9, 0.81, 0.729]),
    ],
)
def test_momentum_on_a_parabola(options: dict[str, Any], expected: list[float]) -> None:
    # x²/2 from x = 1 with rate 0.1, by hand. The input is zero, so that only the bias moves.
    seen: list[float] = []
    train(
        mlp((1, 1)), np.zeros((1, 1)), np.zeros(1), loss=lambda z, y: 0.5 * np.sum(z * z), method="momentum",
        params=[{"W": np.zeros((1, 1)), "b": np.ones(1)}], options={"learning_rate": 0.1, "maxiter": 3, **options},
        callback=lambda params: seen.append(float(params[0]["b"][0])),
    )  # fmt: skip
    assert_allclose(seen, expected, rtol=1e-14)


@pytest.mark.parametrize("method", FIRST_ORDER)
def test_first_order_methods_learn_and_describe_epochs(method: str) -> None:
    X, labels = _blobs(0)
    rate = {"gradient-descent": 0.3, "momentum": 0.05, "adagrad": 0.3, "rmsprop": 0.03, "adam": 0.05}[method]
    fit = train(mlp((2, 8, 3)), X, labels, method=method, batch_size=16, options={"learning_rate": rate, "maxiter": 40})
    history = fit.result.history
    assert fit.metrics["accuracy"] > 0.85
    assert fit.result.status is Status.MAX_ITERATIONS
    assert (fit.result.nit, len(history), fit.result.n_hvp) == (40, 41, 0)
    assert [record.n_grad for record in history] == [4 * epoch for epoch in range(41)]
    assert math.isnan(history[0].gradient_norm)
    assert all(record.gradient_norm > 0 and record.step_norm > 0 for record in history[1:])
    assert math.isnan(history[1].ratio)
    assert math.isnan(history[1].regularization)
    assert_allclose(history[-1].value, fit.metrics["objective"], rtol=1e-12)
    assert fit.result.method == method


@pytest.mark.parametrize("method", ["gradient-descent", "momentum"])
def test_first_order_methods_stop_at_nan_with_the_last_finite_parameters(method: str) -> None:
    X, labels = _blobs(0)
    fit = train(
        mlp((2, 1)), X, labels[:, None].astype(float), loss="squared_error", method=method,
        options={"learning_rate": 1e3, "maxiter": 500},
    )  # fmt: skip
    assert fit.result.status is Status.DIVERGED
    assert not fit.result.success
    assert "learning rate" in fit.result.message
    assert fit.result.nit < 500
    assert np.isfinite(_flat(fit)).all()
    assert np.isfinite(fit.result.fun)


# Schedules.


def test_a_cosine_falls_to_zero() -> None:
    seen: list[float] = []
    train(
        mlp((1, 1)), np.zeros((1, 1)), np.zeros(1), loss=lambda z, y: np.sum(z), method="gradient-descent",
        params=[{"W": np.zeros((1, 1)), "b": np.zeros(1)}],
        options={"learning_rate": 0.5, "maxiter": 40, "schedule": "cosine"},
        callback=lambda params: seen.append(float(params[0]["b"][0])),
    )  # fmt: skip
    assert_allclose(-np.diff(seen, prepend=0.0), 0.25 + 0.25 * np.cos(np.pi * np.arange(40) / 40), rtol=1e-12)


def test_the_learning_rate_may_be_a_function_of_the_step() -> None:
    asked: list[int] = []

    def rate(step: int) -> float:
        asked.append(step)
        return 0.1 / (1 + step)

    X, labels = _blobs(0)
    train(mlp((2, 3)), X, labels, method="momentum", batch_size=20, options={"learning_rate": rate, "maxiter": 3})
    assert asked == list(range(9))


# Batches.


@pytest.mark.parametrize(("n", "size"), [(10, 3), (10, 5), (10, 10), (10, 99), (1, 1)])
def test_an_epoch_has_every_row_once(n: int, size: int) -> None:
    batches = Batches(n, size, np.random.default_rng(0))
    orders = []
    for _ in range(3):
        assert batches.at_start
        epoch = [batches.take() for _ in range(batches.per_epoch)]
        assert max(map(len, epoch)) <= size
        assert_array_equal(np.sort(np.concatenate(epoch)), np.arange(n))
        orders.append(np.concatenate(epoch))
    if not batches.is_whole:
        assert not np.array_equal(orders[0], orders[1])


def test_a_last_small_batch_can_be_dropped() -> None:
    batches = Batches(10, 4, np.random.default_rng(0), drop_last=True)
    assert batches.per_epoch == 2
    assert [len(batches.take()) for _ in range(6)] == [4] * 6


def test_batches_continue_from_a_state() -> None:
    one, other = Batches(10, 3, np.random.default_rng(0)), Batches(10, 3, np.random.default_rng(5))
    for _ in range(6):
        one.take()
    other.restore(one.state())
    for _ in range(9):
        assert_array_equal(one.take(), other.take())


@pytest.mark.parametrize("method", ["hessian-free", "adam"])
def test_the_seed_decides_everything(method: str) -> None:
    X, labels = _blobs(0)
    run = lambda seed: train(
        mlp((2, 4, 3)), X, labels, method=method, rng=seed, batch_size=16, validation=0.2, options={"maxiter": 4}
    )
    first, again, other = run(3), run(3), run(4)
    assert_array_equal(_flat(first), _flat(again))
    assert first.validation == again.validation
    assert not np.array_equal(_flat(first), _flat(other))
    generators = [run(np.random.default_rng(9)) for _ in range(2)]
    assert_array_equal(_flat(generators[0]), _flat(generators[1]))


@pytest.mark.parametrize("method", BATCH_METHODS)
def test_training_modifies_nothing_it_is_given(method: str) -> None:
    X, labels = _blobs(0)
    network = mlp((2, 4, 3))
    params, options = network.init(0), {"maxiter": 2}
    copies = X.copy(), labels.copy(), ravel(params)[0].copy()
    fit = train(network, X, labels, method=method, params=params, options=options, batch_size=16)
    for now, then in zip((X, labels, ravel(params)[0]), copies, strict=True):
        assert_array_equal(now, then)
    assert options == {"maxiter": 2}
    assert not any(np.shares_memory(a["W"], b["W"]) for a, b in zip(fit.params, params, strict=True))


# Validation and early stopping.


@pytest.mark.parametrize("method", ["hessian-free", "adam", None])
def test_early_stopping_returns_the_parameters_with_the_smallest_validation_loss(method: str | None) -> None:
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((80, 4)), rng.integers(0, 2, 80)  # noise: whatever is learned is wrong
    held = rng.standard_normal((40, 4)), rng.integers(0, 2, 40)
    seen: list[Any] = []
    options = {"maxiter": 300, **({"learning_rate": 0.05} if method == "adam" else {})}
    fit = train(
        mlp((4, 16, 2)), X, labels, method=method, validation=held, patience=4, options=options,
        callback=lambda params: seen.append(params),
    )  # fmt: skip
    assert fit.result.status is Status.EARLY_STOPPED
    assert "smallest loss" in fit.result.message
    losses = [loss for _, loss in fit.validation]
    assert [number for number, _ in fit.validation] == list(range(len(losses)))
    best = int(np.argmin(losses))
    assert len(losses) - 1 == best + 4 == fit.result.nit == len(seen)
    assert_allclose(fit.metrics["validation_loss"], min(losses), rtol=1e-12)
    if best:
        assert_array_equal(_flat(fit), ravel(seen[best - 1])[0])
    assert_allclose(fit.metrics["objective"], fit.objective(fit.params), rtol=1e-12)
    gradient = ravel(hs.grad(fit.objective)(fit.params))[0]
    assert_allclose(fit.metrics["gradient_norm"], np.linalg.norm(gradient), rtol=1e-9)
    assert_allclose(ravel(fit.result.jac)[0], gradient, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("method", ["trust-ncg", "newton", "hessian-free"])
def test_a_method_that_converges_past_the_best_parameters_claims_nothing_of_them(method: str) -> None:
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((80, 4)), rng.integers(0, 2, 80)
    held = rng.standard_normal((40, 4)), rng.integers(0, 2, 40)
    run = lambda **limits: train(
        mlp((4, 2)), X, labels, l2=1e-2, method=method, validation=held, patience=1000, options={"gtol": 1e-8, **limits}
    )
    fit = run()
    best = int(np.argmin([loss for _, loss in fit.validation]))
    assert best < fit.result.nit
    assert fit.result.gradient_norm > 1e-3
    assert (fit.result.status, fit.result.success) == (Status.EARLY_STOPPED, True)
    assert f"was at iteration {best}, whose parameters these are" in fit.result.message
    assert f"The method went on to iteration {fit.result.nit} and ended with CONVERGED" in fit.result.message
    assert math.isnan(fit.result.smallest_eigenvalue)
    assert math.isnan(fit.result.get("smallest_eigenvalue_residual", math.nan))
    # Not having come to an end stays a failure, whichever parameters are returned.
    short = run(maxiter=best + 1)
    assert (short.result.status, short.result.success) == (Status.MAX_ITERATIONS, False)
    assert f"(That is about iteration {best + 1}, the last.)" in short.result.message
    assert_array_equal(_flat(short), _flat(fit))


@pytest.mark.parametrize("method", ["trust-ncg", "hessian-free"])
def test_patience_changes_nothing_where_the_last_parameters_are_the_best(method: str) -> None:
    X, labels = _blobs(0)
    run = lambda **how: train(mlp((2, 3)), X, labels, l2=1e-2, method=method, validation=(X, labels), **how)
    patient, plain = run(patience=1000), run()
    assert patient.result.status is plain.result.status
    assert patient.result.message == plain.result.message
    assert_array_equal(patient.result.smallest_eigenvalue, plain.result.smallest_eigenvalue)


@pytest.mark.parametrize("method", ["hessian-free", "adam", "trust-ncg"])
def test_validation_without_patience_only_watches(method: str) -> None:
    X, labels = _blobs(0)
    held = _blobs(1)
    options = {"maxiter": 6}
    watched = train(mlp((2, 3)), X, labels, l2=1e-2, method=method, validation=held, options=options)
    alone = train(mlp((2, 3)), X, labels, l2=1e-2, method=method, options=options)
    assert_array_equal(_flat(watched), _flat(alone))
    assert len(watched.validation) == watched.result.nit + 1
    assert alone.validation == []
    assert "validation_loss" not in alone.metrics
    assert watched.metrics["validation_accuracy"] == accuracy(watched.predict(held[0]), held[1])
    assert_allclose(watched.validation[-1][1], softmax_cross_entropy(watched.predict(held[0]), held[1]), rtol=1e-12)


def test_the_metric_of_a_loss_is_measured_on_all_rows_there_are() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    Y = X @ rng.standard_normal((3, 2)) + 0.1 * rng.standard_normal((40, 2))
    fit = train(mlp((3, 2)), X, Y, loss="squared_error", validation=(X[:9], Y[:9]))
    assert fit.metrics["r2"] == r2(fit.predict(X), Y) > 0.9
    assert fit.metrics["validation_r2"] == r2(fit.predict(X[:9]), Y[:9])
    assert "accuracy" not in fit.metrics
    own = train(
        mlp((3, 2)), X, Y, loss=lambda outputs, targets: np.mean((outputs - targets) ** 2), options={"maxiter": 3}
    )
    assert set(own.metrics) == {"objective", "loss", "gradient_norm"}


@pytest.mark.parametrize("method", ["trust-ncg", "adam"])
def test_a_callback_that_writes_to_what_it_is_given_spoils_nothing(method: str) -> None:
    X, labels = _blobs(0)

    class Bias:
        def init(self, rng: Any, dtype: Any) -> np.ndarray:
            return np.zeros(3, dtype)

        def __call__(self, params: Any, X: Any) -> Any:
            return X[:, :1] * params + np.zeros((len(X), 3))

    def spoil(intermediate_result: Any) -> None:
        intermediate_result.x[:] = np.nan

    run = lambda callback: train(
        Bias(), X, labels, method=method, validation=0.3, patience=2, callback=callback, options={"maxiter": 20}
    )
    assert_array_equal(_flat(run(spoil)), _flat(run(None)))


def test_a_share_of_the_rows_is_held_out() -> None:
    X, labels = _blobs(0)
    fit = train(mlp((2, 3)), X, labels, method="adam", validation=0.25, options={"maxiter": 2})
    assert fit.objective.X.shape == (45, 2)
    rows = {tuple(row) for row in fit.objective.X}
    assert len(rows) == 45
    assert rows < {tuple(row) for row in X}
    (kept, _), (held, _) = split_rows(X, labels, 0.999, np.random.default_rng(0))
    assert (len(kept), len(held)) == (1, 59)


def test_the_callback_hears_of_validation_and_may_stop() -> None:
    X, labels = _blobs(0)
    for method in ("hessian-free", "adam"):
        seen: list[Any] = []

        def stop(intermediate_result: Any) -> bool:
            seen.append(intermediate_result)  # noqa: B023
            return intermediate_result.nit == 3

        fit = train(mlp((2, 3)), X, labels, method=method, validation=0.2, callback=stop)
        assert fit.result.status is Status.CALLBACK
        assert [state.nit for state in seen] == [1, 2, 3]
        assert [(state.nit, state.validation) for state in seen] == fit.validation[1:]
        assert_array_equal(ravel(seen[-1].x)[0], _flat(fit))

        def end(params: Any) -> None:
            raise StopIteration

        assert train(mlp((2, 3)), X, labels, method=method, callback=end).result.nit == 1


# Ends.


@pytest.mark.parametrize("method", ["hessian-free", "adam"])
def test_an_interrupt_returns_the_best_so_far(method: str) -> None:
    X, labels = _blobs(0)

    def interrupt(intermediate_result: Any) -> None:
        if intermediate_result.nit == 3:
            raise KeyboardInterrupt

    fit = train(mlp((2, 4, 3)), X, labels, method=method, callback=interrupt)
    assert fit.result.status is Status.INTERRUPTED
    assert fit.result.fun == min(record.value for record in fit.result.history)


@pytest.mark.parametrize("method", ["hessian-free", "adam"])
@pytest.mark.parametrize("call", [1, 20])
def test_an_interrupt_within_a_step_leaves_a_checkpoint_that_resumes_to_the_same_end(
    method: str, call: int, tmp_path: Path
) -> None:
    X, labels = _blobs(0)
    targets = np.eye(3)[labels]
    calls = []

    def loss(outputs: Any, targets: Any) -> Any:
        calls.append(0)
        if len(calls) == call:
            raise KeyboardInterrupt
        return softmax_cross_entropy(outputs, targets)

    run = lambda **keep: train(
        mlp((2, 4, 3)), X, targets, loss=loss, method=method, batch_size=16,
        options={"maxiter": 6, "record": False}, **keep,
    )  # fmt: skip
    keep = {"checkpoint": tmp_path / "run", "resume": True}
    fit = run(**keep)
    assert fit.result.status is Status.INTERRUPTED
    assert (tmp_path / "run").exists() == ("no time to write a checkpoint" not in fit.result.message)
    assert (tmp_path / "run").exists() == (call == 20)
    resumed, whole = run(**keep), run()
    assert_array_equal(_flat(resumed), _flat(whole))
    assert [record.value for record in resumed.result.history] == [record.value for record in whole.result.history]
    assert resumed.result.n_grad == whole.result.n_grad


@pytest.mark.parametrize("method", [None, *BATCH_METHODS])
def test_no_time_is_a_limit_like_any_other(method: str | None) -> None:
    fit = train(mlp((2, 4, 3)), *_blobs(0), method=method, options={"max_seconds": 0})
    assert (fit.result.status, fit.result.nit) == (Status.MAX_SECONDS, 0)


def test_hessian_free_says_what_it_does_not_look_at() -> None:
    fit = train(mlp((2, 3)), *_blobs(0), l2=1e-2, method="hessian-free")
    assert fit.result.status is Status.CONVERGED_UNCHECKED
    assert "the curvature was not looked at, which this method never does" in fit.result.message
    assert "check_curvature" not in fit.result.message


@pytest.mark.parametrize("method", BATCH_METHODS)
def test_time_runs_out(method: str) -> None:
    X, labels = _blobs(0)
    options = {"max_seconds": 0.2, "maxiter": 10**6, **({"gtol": 0.0} if method == "hessian-free" else {})}
    fit = train(mlp((2, 4, 3)), X, labels, l2=1e-3, method=method, options=options)
    assert fit.result.status in (Status.MAX_SECONDS, Status.PRECISION, Status.STALLED)
    assert fit.result.history[-1].seconds < 5.0


@pytest.mark.parametrize("method", BATCH_METHODS)
def test_no_iterations_return_the_start(method: str) -> None:
    X, labels = _blobs(0)
    network = mlp((2, 3))
    fit = train(network, X, labels, method=method, rng=2, options={"maxiter": 0})
    assert_array_equal(_flat(fit), ravel(network.init(2))[0])
    assert fit.result.nit == 0


def test_a_progress_bar_goes_to_the_error_stream(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    X, labels = _blobs(0)
    options = {"maxiter": 3, "progress": True}
    for method in ("hessian-free", "adam"):
        train(mlp((2, 3)), X, labels, method=method, validation=0.2, options=options)
        shown = capfd.readouterr()
        assert shown.out == ""
        assert method in shown.err
        assert "validation" in shown.err


def test_a_progress_bar_needs_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingDependencyError, match="tqdm"):
        train(mlp((2, 3)), *_blobs(0), method="adam", options={"progress": True})


# Checkpoints.

_CHILD = """
    import os, signal, sys
    import numpy as np
    from hessian.tape.trees import ravel
    from hessian.nn import mlp, train

    method, path, victim, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((64, 3)), rng.integers(0, 2, 64)

    def rate(step):
        if step == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.05

    def callback(intermediate_result):
        if method == "hessian-free" and intermediate_result.nit == victim:
            os.kill(os.getpid(), signal.SIGKILL)

    options = {"maxiter": 12, "checkpoint_every": 0.0}
    if method != "hessian-free":
        options["learning_rate"] = rate
    fit = train(
        mlp((3, 6, 2)), X, labels, l2=1e-3, method=method, batch_size=10, validation=0.2, options=options,
        callback=callback, checkpoint=path or None, resume=bool(path),
    )
    history = [[r.iteration, r.value, r.step_norm, r.cg_iterations, r.n_value, r.n_grad, r.n_hvp] for r in fit.result.history]
    np.savez(out, x=ravel(fit.params)[0], history=np.array(history), validation=np.array(fit.validation))
"""


def _child(method: str, path: Path | str, victim: int, out: Path) -> int:
    """Train in a process of its own, which kills itself at a step or iteration."""
    command = [sys.executable, "-c", textwrap.dedent(_CHILD), method, str(path), str(victim), str(out)]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize(("method", "victim"), [("hessian-free", 7), ("adam", 40)])
def test_a_killed_training_resumes_to_the_last_bit(method: str, victim: int, tmp_path: Path) -> None:
    # 51 rows in batches of 10 are 6 steps per epoch: step 40 lies inside one.
    assert _child(method, "", -1, tmp_path / "whole.npz") == 0
    assert _child(method, tmp_path / "run", victim, tmp_path / "none.npz") == -signal.SIGKILL
    assert not (tmp_path / "none.npz").exists()
    assert _child(method, tmp_path / "run", -1, tmp_path / "resumed.npz") == 0
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "resumed.npz") as resumed:
        for name in whole.files:
            assert_array_equal(resumed[name], whole[name], err_msg=name)


@pytest.mark.parametrize("method", BATCH_METHODS)
def test_resuming_a_finished_training_goes_on_where_it_ended(method: str, tmp_path: Path) -> None:
    X, labels = _blobs(0)
    run = lambda maxiter, **keep: train(
        mlp((2, 4, 3)), X, labels, l2=1e-3, method=method, batch_size=16, validation=0.2, patience=50,
        options={"maxiter": maxiter}, **keep,
    )  # fmt: skip
    keep = {"checkpoint": tmp_path / "run", "resume": True}
    first = run(4, **keep)
    again = run(4, **keep)
    assert again.result.nit == 4
    assert_array_equal(_flat(again), _flat(first))
    longer, whole = run(9, **keep), run(9)
    assert_array_equal(_flat(longer), _flat(whole))
    assert longer.validation == whole.validation
    assert [record.value for record in longer.result.history] == [record.value for record in whole.result.history]


def test_a_training_on_all_rows_resumes(tmp_path: Path) -> None:
    X, labels = _blobs(0)
    run = lambda maxiter, **keep: train(
        mlp((2, 4, 3)), X, labels, l2=1e-2, method="trust-ncg", options={"maxiter": maxiter, "gtol": 1e-9}, **keep
    )
    keep = {"checkpoint": tmp_path / "run", "resume": True}
    assert run(4, **keep).result.nit == 4
    resumed, whole = run(200, **keep), run(200)
    assert resumed.result.nit == whole.result.nit > 4
    assert_allclose(_flat(resumed), _flat(whole), atol=1e-9)


def test_without_resume_a_checkpoint_is_written_over(tmp_path: Path) -> None:
    X, labels = _blobs(0)
    options = {"maxiter": 3}
    first = train(mlp((2, 3)), X, labels, method="adam", checkpoint=tmp_path / "run", options=options)
    again = train(mlp((2, 3)), X, labels, method="adam", checkpoint=tmp_path / "run", options=options)
    assert again.result.n_grad == first.result.n_grad


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"method": "momentum"}, "method 'adam' there, 'momentum' here"),
        ({"batch_size": 8}, "batch_size 16 there, 8 here"),
        ({"rng": 1}, "start"),
        ({"l2": 0.5}, "l2 0.0 there, 0.5 here"),
        ({"options": {"maxiter": 3, "beta1": 0.5}}, "options"),
        ({"labels": np.zeros(60, int)}, "data"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(changes: dict[str, Any], text: str, tmp_path: Path) -> None:
    X, labels = _blobs(0)
    arguments: dict[str, Any] = {"method": "adam", "batch_size": 16, "options": {"maxiter": 3}, "labels": labels}
    keep = {"checkpoint": tmp_path / "run", "resume": True}
    run = lambda labels, **given: train(mlp((2, 3)), X, labels, **given, **keep)
    run(**arguments)
    with pytest.raises(CheckpointError, match="belongs to another run") as caught:
        run(**{**arguments, **changes})
    assert text in str(caught.value)


@pytest.mark.parametrize("method", ["trust-ncg", "hessian-free", "adam"])
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"activation": "sigmoid"}, "where the checkpoint was taken with"),
        ({"loss": squared_error}, "where the checkpoint was taken with"),
        ({"held": slice(30, 50)}, "validation"),
    ],
)
def test_a_checkpoint_of_another_network_loss_or_validation_is_refused(
    method: str, changes: dict[str, Any], text: str, tmp_path: Path
) -> None:
    X, labels = _blobs(0)
    y, keep = np.eye(3)[labels], {"checkpoint": tmp_path / "run", "resume": True}

    def run(activation: str = "tanh", loss: Any = softmax_cross_entropy, held: slice = slice(40, 60)) -> Any:
        return train(
            mlp((2, 4, 3), activation), X[:30], y[:30], loss=loss, method=method, validation=(X[held], y[held]),
            options={"maxiter": 5}, **keep,
        )  # fmt: skip

    first = run()
    again = run()
    assert_array_equal(_flat(again), _flat(first))
    assert again.result.n_value == first.result.n_value
    with pytest.raises(CheckpointError, match=text):
        run(**changes)


def test_a_resumed_training_on_all_rows_remembers_the_best_parameters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((80, 4)), rng.integers(0, 2, 80)
    held = rng.standard_normal((40, 4)), rng.integers(0, 2, 40)
    run = lambda maxiter, **keep: train(
        mlp((4, 16, 2)),
        X,
        labels,
        method="trust-ncg",
        validation=held,
        patience=8,
        options={"maxiter": maxiter},
        **keep,
    )
    whole = run(300)
    best = int(np.argmin([loss for _, loss in whole.validation]))
    assert whole.result.nit == best + 8
    keep = {"checkpoint": tmp_path / "run", "resume": True}
    run(best + 3, **keep)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]

    def fail(intermediate_result: Any) -> None:
        if intermediate_result.nit == best + 5:
            raise RuntimeError("the process is killed")

    with pytest.raises(RuntimeError):
        run(300, callback=fail, **keep)
    resumed = run(300, **keep)
    assert resumed.result.nit == whole.result.nit
    assert resumed.validation == whole.validation
    assert_array_equal(_flat(resumed), _flat(whole))
    # A run that starts anew forgets them.
    anew = train(mlp((4, 16, 2)), X, labels, method="trust-ncg", validation=held, checkpoint=tmp_path / "run",
                 options={"maxiter": 0})  # fmt: skip
    assert anew.validation == whole.validation[:1]
    assert run(0, **keep).validation == whole.validation[:1]


@pytest.mark.parametrize("method", ["trust-ncg", "newton", "hessian-free", "adam"])
def test_what_the_validation_has_seen_is_in_the_checkpoint(method: str, tmp_path: Path) -> None:
    X, labels = _blobs(0)

    def run(victim: int, ends: type[BaseException] = RuntimeError, **keep: Any) -> Any:
        def fail(intermediate_result: Any) -> None:
            assert math.isfinite(intermediate_result.validation)
            if intermediate_result.nit == victim:
                raise ends("the process is killed")

        return train(
            mlp((2, 8, 3)), X, labels, method=method, validation=0.3, patience=6, callback=fail,
            options={"maxiter": 15, "checkpoint_every": 0.0}, **keep,
        )  # fmt: skip

    keep = {"checkpoint": tmp_path / "run", "resume": True}
    whole = run(-1)
    for victim in (1, 2, 5):
        with pytest.raises(RuntimeError):
            run(victim, **keep)
    resumed = run(-1, **keep)
    assert resumed.validation == whole.validation
    assert_array_equal(_flat(resumed), _flat(whole))
    assert resumed.result.message == whole.result.message
    with pytest.raises(CheckpointError, match=r"validation [0-9]+ there, None here"):
        train(mlp((2, 8, 3)), resumed.objective.X, resumed.objective.y, method=method, **keep)
    broken_off = run(4, KeyboardInterrupt)
    losses = [loss for _, loss in broken_off.validation]
    assert broken_off.result.status is Status.INTERRUPTED
    assert_allclose(broken_off.metrics["validation_loss"], min(losses), rtol=1e-12)


@pytest.mark.parametrize("method", ["hessian-free", "adam"])
def test_a_checkpoint_that_cannot_be_written_is_a_warning(method: str, tmp_path: Path) -> None:
    X, labels = _blobs(0)
    options = {"maxiter": 3, "checkpoint_every": 0.0}
    with pytest.warns(CheckpointWarning, match="could not be written") as caught:
        fit = train(mlp((2, 3)), X, labels, method=method, checkpoint=tmp_path / "no" / "run", options=options)
    assert len(caught) == 1
    assert fit.result.nit == 3
    assert not os.listdir(tmp_path)


# Data.


class _Pooling:
    """A model of its own kind: takes sequences, and says nothing about widths."""

    def init(self, seed: Any = 0, dtype: Any = np.float64) -> dict[str, np.ndarray]:
        return {"w": np.random.default_rng(seed).standard_normal((2, 3)).astype(dtype)}

    def __call__(self, params: Any, X: Any) -> Any:
        return np.mean(np.tanh(X @ params["w"]), axis=1)


@pytest.mark.parametrize("method", [None, "hessian-free", "adam"])
def test_any_model_with_init_and_call_is_trained(method: str | None) -> None:
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((40, 5, 2)), np.arange(40) % 3
    X[:, :, 0] += labels[:, None]
    fit = train(_Pooling(), X, labels, method=method, validation=0.2, options={"maxiter": 20})
    assert fit.metrics["objective"] < fit.result.history[0].value
    assert fit.predict(X).shape == (40, 3)
    with pytest.raises(ShapeMismatchError, match=r"X has shape \(\), the network takes \(n, \.\.\.\)"):
        train(_Pooling(), 1.0, labels, method=method)


@pytest.mark.parametrize("method", [None, *BATCH_METHODS])
def test_constant_columns_are_harmless(method: str | None) -> None:
    X, labels = _blobs(0)
    padded = np.column_stack([X, np.zeros(60), np.full(60, 3.0)])
    options = {"maxiter": 50, **({"learning_rate": 0.1} if method in FIRST_ORDER else {})}
    fit = train(mlp((4, 3)), padded, labels, l2=1e-2, method=method, options=options)
    assert fit.metrics["accuracy"] > 0.8
    assert np.isfinite(_flat(fit)).all()


@pytest.mark.parametrize("method", [None, *BATCH_METHODS])
def test_one_class_is_learned(method: str | None) -> None:
    X, _ = _blobs(0)
    options = {"maxiter": 60, **({"learning_rate": 0.1} if method in FIRST_ORDER else {})}
    fit = train(mlp((2, 3)), X, np.full(60, 2), l2=1e-2, method=method, options=options)
    assert fit.metrics["accuracy"] == 1.0
    assert np.isfinite(fit.metrics["objective"])


@pytest.mark.parametrize("method", ["hessian-free", "adam"])
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_huge_scales_give_finite_answers_that_descend(method: str, scale: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 2))
    y = scale * (X @ [[1.0], [-2.0]])
    fit = train(mlp((2, 1)), scale * X, y, loss="squared_error", method=method, options={"maxiter": 100})
    assert np.isfinite(_flat(fit)).all()
    assert fit.metrics["objective"] <= fit.result.history[0].value
    if method == "hessian-free" and scale > 1:
        assert_allclose(fit.params[0]["W"][:, 0], [1.0, -2.0], atol=1e-6)


@pytest.mark.parametrize("method", ["hessian-free", "adam"])
def test_batches_in_float32_stay_in_float32(method: str) -> None:
    X, labels = _blobs(0)
    options = {"maxiter": 10}
    fit = train(mlp((2, 4, 3)), X, labels, l2=1e-2, method=method, dtype=np.float32, batch_size=16, options=options)
    assert {array.dtype for layer in fit.params for array in layer.values()} == {np.dtype(np.float32)}
    assert {array.dtype for layer in fit.result.jac for array in layer.values()} == {np.dtype(np.float32)}
    assert fit.predict(X).dtype == np.float32


@pytest.mark.parametrize("method", ["hessian-free", "adam", None])
@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"X": np.zeros((60, 3))}, ShapeMismatchError, "X has shape (60, 3), the network takes (n, ..., 2)"),
        ({"X": np.zeros((0, 2)), "y": np.zeros(0, int)}, OptionError, "X has no rows"),
        ({"X": np.full((60, 2), np.nan)}, NonFiniteError, "X[0, 0] is nan"),
        ({"X": np.full((60, 2), 1e300), "dtype": np.float32}, NonFiniteError, "which float32 cannot hold"),
        ({"X": np.full((60, 2), "a")}, DtypeError, "X has dtype"),
        ({"y": np.full(60, 3)}, OptionError, "labels run from 3 to 3"),
        ({"validation": (np.zeros((5, 3)), np.zeros(5, int))}, ShapeMismatchError, "validation X has shape (5, 3)"),
        ({"validation": (np.zeros((5, 2)), np.zeros(4, int))}, ShapeMismatchError, "validation y has shape (4,)"),
        ({"validation": (np.full((5, 2), np.inf), np.zeros(5, int))}, NonFiniteError, "validation X[0, 0] is inf"),
        ({"validation": (np.zeros((0, 2)), np.zeros(0, int))}, OptionError, "validation X has no rows"),
        ({"validation": 0.0}, OptionError, "validation is 0.0"),
        ({"validation": 1.0}, OptionError, "validation is 1.0"),
        ({"validation": "no"}, OptionError, "validation is str"),
        ({"X": np.zeros((1, 2)), "y": np.zeros(1, int), "validation": 0.5}, OptionError, "which has 1 row"),
        ({"patience": 3}, OptionError, "patience without validation rows"),
        ({"patience": 0, "validation": 0.2}, OptionError, "patience is 0"),
        ({"l2": -1.0}, OptionError, "l2 is -1.0. A negative penalty is unbounded below"),
        ({"params": mlp((3, 3)).init(0)}, ShapeMismatchError, "params['W'] has shape (3, 3), the layer needs (2, 3)"),
        ({"params": mlp((2, 4)).init(0)}, ShapeMismatchError, "params['W'] has shape (2, 4), the layer needs (2, 3)"),
        ({"params": [{"W": np.zeros((2, 3)), "b": np.zeros(1)}]}, ShapeMismatchError, "params['b'] has shape (1,)"),
        ({"callback": 3}, OptionError, "callback is 3"),
    ],
)
def test_bad_inputs_of_training_are_refused(
    method: str | None, changes: dict[str, Any], error: type[Exception], text: str
) -> None:
    X, labels = _blobs(0)
    arguments = {"X": X, "y": labels, "method": method} | changes
    with pytest.raises(error) as caught:
        train(mlp((2, 3)), arguments.pop("X"), arguments.pop("y"), **arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"method": "adam", "batch_size": 0}, "batch_size is 0"),
        ({"method": "adam", "batch_size": 2.5}, "batch_size is 2.5"),
        ({"method": "newton", "batch_size": 10}, "which takes all rows at once"),
        ({"method": "hessian-fre"}, "Did you mean 'hessian-free'?"),
        ({"method": "adam", "options": {"learning_rat": 0.1}}, "Did you mean 'learning_rate'?"),
        ({"method": "adam", "options": {"damping": 0.1}}, "there is no option 'damping' of method 'adam'"),
        ({"method": "adam", "options": {"learning_rate": -1}}, "option 'learning_rate' is -1"),
        ({"method": "adam", "options": {"learning_rate": lambda step: math.nan}}, "the learning rate of step 0 is nan"),
        (
            {"method": "adam", "options": {"learning_rate": lambda step: 0.1, "schedule": "cosine"}},
            "learning_rate is a function and there is a schedule besides",
        ),
        ({"method": "adam", "options": {"beta1": 1.0}}, "option 'beta1' is 1.0"),
        ({"method": "adam", "options": {"schedule": "linear"}}, "option 'schedule' is 'linear', expected 'constant' or 'cosine'"),
        ({"method": "adam", "options": [1]}, "options is [1], not a dict"),
        ({"method": "hessian-free", "options": {"damping": 0.0}}, "option 'damping' is 0.0"),
        ({"method": "hessian-free", "options": {"max_seconds": -1}}, "option 'max_seconds' is -1"),
        ({"method": "adam", "options": {"momentum": 0.5}}, "Leave it out, or use method='momentum'"),
        ({"method": "adam", "options": {"momentum": None}}, "there is no option 'momentum' of method 'adam'"),
        ({"method": "gradient-descent", "options": {"beta1": 0.5}}, "use method='adam'"),
        ({"method": "momentum", "options": {"decay": 0.5}}, "use method='rmsprop'"),
        ({"method": "rmsprop", "options": {"momentum": 0.5}}, "use method='momentum'"),
        ({"resume": True}, "resume is given without a checkpoint"),
        ({"method": "adam", "resume": True}, "resume is given without a checkpoint"),
        ({"l2": math.nan}, "l2 is nan. Pass a finite number >= 0"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(arguments: dict[str, Any], text: str) -> None:
    X, labels = _blobs(0)
    with pytest.raises(OptionError) as caught:
        train(mlp((2, 3)), X, labels, **arguments)
    assert text in str(caught.value)
