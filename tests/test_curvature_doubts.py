"""Every estimate says how far off it may be: bounds that hold, inf where nothing bounds, memory that does not grow."""

from __future__ import annotations

import math
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import aslinearoperator

import hessian as hs
from hessian.curvature import (
    SharpnessMeter,
    block_spectra,
    condition_number,
    inertia,
    inverse_product,
    summary,
)
from hessian.errors import OptionError
from hessian.operators.fisher import FisherOperator
from hessian.operators.likelihoods import LIKELIHOODS
from hessian.optimize import minimize
from hessian.statistics import ExampleScores, delta_method, influence, laplace, leverage


def rotated(spectrum: np.ndarray, seed: int = 0) -> Any:
    """An operator with a spectrum, hidden behind its products."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(spectrum), len(spectrum))))
    matrix = (q * spectrum) @ q.T
    return aslinearoperator(0.5 * (matrix + matrix.T))


# Condition numbers


@pytest.mark.parametrize("max_hvp", [10, 20, 60])
def test_a_crowd_at_zero_is_not_bounded_by_what_is_near(max_hvp: int) -> None:
    spectrum = np.abs(np.linspace(-1.0, 1.0, 300) + 0.05) + 1e-3
    H, truth = rotated(spectrum), spectrum.max() / spectrum.min()
    for seed in range(40):
        found = condition_number(H, max_hvp, rng=seed)
        assert found.low <= truth * (1.0 + 1e-9)
        assert truth <= found.high * (1.0 + 1e-9)
        assert found.n_hvp <= max_hvp
    assert "not bounded from above" in repr(condition_number(H, 20))
    assert condition_number(H, 20).standard_error == math.inf


def test_a_condition_number_within_reach_of_the_budget_is_bounded() -> None:
    H = rotated(np.linspace(1.0, 3.0, 300))
    for seed in range(20):
        found = condition_number(H, 30, rng=seed)
        assert found.low <= 3.0 + 1e-9
        assert 3.0 <= found.high < 4.0
        assert found.miss_probability == 1e-3
        assert abs(found.value - 3.0) <= 2.0 * found.standard_error
    assert "with probability 0.999" in repr(found)


# Signs


def test_ranges_of_counts_stay_between_what_is_certain_and_what_is_there() -> None:
    spectrum = np.r_[np.full(250, 1e-4), np.linspace(0.1, 1.0, 50)]
    found = inertia(rotated(spectrum), 12)
    (fewest, most), zero, (least, all_of_them) = found.ranges
    assert 0 <= fewest <= most <= 300 - found.at_least_positive
    assert found.at_least_positive <= least <= 300 == all_of_them
    assert zero[0] == 0
    assert f"({least} to 300)" in repr(found)
    assert "±" not in repr(found)
    mixed = inertia(rotated(spectrum - 0.05), 12)
    assert mixed.ranges[0][0] >= mixed.at_least_negative > 0


def test_a_known_bound_settles_signs_and_sharpens_the_log_determinant() -> None:
    spectrum = np.r_[np.full(250, 1e-4), np.linspace(0.1, 1.0, 50)]
    H, truth = rotated(spectrum), float(np.log(spectrum).sum())
    plain, known = summary(H, 24), summary(H, 24, lower_bound=9e-5)
    assert known.inertia.ranges == ((0, 0), (0, 0), (300, 300))
    assert "0 negative, 0 zero, 300 positive" in repr(known)
    assert plain.inertia.standard_error > 0.0
    assert known.logdet is not None
    assert plain.logdet is not None
    assert known.logdet.standard_error < plain.logdet.standard_error
    assert abs(known.logdet.value - truth) <= 3.0 * known.logdet.standard_error
    with pytest.raises(OptionError, match=r"lower_bound is 0\.5, and H has an eigenvalue of at most"):
        summary(H, 24, lower_bound=0.5)
    with pytest.raises(OptionError, match="lower_bound is nan"):
        summary(H, 24, lower_bound=math.nan)


# The delta method


def test_a_sum_of_squares_at_its_minimum_has_the_law_of_a_chi_square() -> None:
    y = np.array([1.0, 2.0, 4.0])
    found = minimize(lambda b: 0.5 * np.sum((b - y) ** 2), np.zeros(3)).covariance()
    derived = delta_method(lambda b: np.sum((b - y) ** 2), found)
    assert derived.mean == pytest.approx(3.0, rel=1e-6)
    assert derived.standard_error == derived.second_order_error == pytest.approx(math.sqrt(6.0), rel=1e-6)
    assert derived.second_order
    assert "(second order: mean 3 ± 2.4)" in repr(derived)


def test_both_orders_of_a_maximum_beside_what_is_not_curved() -> None:
    found = minimize(lambda b: 1.5 * b**2, 0.0).covariance()
    derived = delta_method(lambda b: {"cos": np.cos(b), "sin": np.sin(b)}, found)
    assert_allclose(derived.standard_error["cos"], math.sqrt(0.5) / 3.0)
    assert_allclose(derived.standard_error["sin"], math.sqrt(1.0 / 3.0))
    assert derived.second_order["cos"]
    assert not derived.second_order["sin"]
    draws = np.random.default_rng(0).standard_normal(100_000) / math.sqrt(3.0)
    assert derived.mean["cos"] == pytest.approx(np.mean(np.cos(draws)), abs=0.02)


def test_many_outputs_take_pairs_and_few_take_hessians() -> None:
    found = minimize(lambda b: 0.5 * np.sum(np.array([1.0, 4.0]) * b**2), np.zeros(2)).covariance()
    X = np.random.default_rng(0).standard_normal((5, 2))
    many = delta_method(lambda b: np.cos(X @ b), found)
    for i in range(5):
        one = delta_method(lambda b, i=i: np.cos(X[i] @ b), found)
        assert_allclose(many.standard_error[i], one.standard_error, rtol=1e-6)
        assert_allclose(many.bias[i], one.bias, rtol=1e-6)


# Sampled Fisher matrices


@pytest.mark.parametrize("n_samples", [1, 4, 30])
@pytest.mark.parametrize("likelihood", ["categorical", "poisson"])
def test_the_diagonal_of_a_sampled_fisher_matrix_has_errors_that_cover(likelihood: str, n_samples: int) -> None:
    rng = np.random.default_rng(0)
    X, p = rng.standard_normal((40, 3)), 0.3 * rng.standard_normal((3, 3))

    def model(w: Any) -> Any:
        return X @ w

    truth = FisherOperator(model, p, likelihood=likelihood, n_samples=8000).diagonal()
    z = []
    for seed in range(60):
        F = FisherOperator(model, p, likelihood=likelihood, n_samples=n_samples, rng=seed)
        z.append(np.abs(F.diagonal() - truth) / F.standard_error)
        assert F.standard_error.shape == (9,)
    assert np.mean(np.array(z) <= 1.0) >= 0.6
    assert np.mean(np.array(z) <= 2.0) >= 0.92
    # Of many draws the error is what it says, not several times as much.
    assert n_samples < 30 or np.mean(np.array(z) <= 1.0) <= 0.85


def by_enumeration(p: np.ndarray, J: np.ndarray) -> np.ndarray:
    """Variance of the squared gradients of one example over the classes, with the Jacobian (K, n) of its outputs."""
    squares = ((p - np.eye(len(p))) @ J) ** 2
    return p @ squares**2 - (p @ squares) ** 2


def test_errors_of_a_sampled_fisher_matrix_are_those_of_the_likelihood() -> None:
    """Two draws of a class that is nearly sure agree; what the others would have shown is an error all the same."""
    rng = np.random.default_rng(3)
    X, W = rng.standard_normal((8, 3)), 1.5 * rng.standard_normal((3, 3))
    P = scipy.special.softmax(X @ W, axis=-1)
    F = FisherOperator(lambda w: X @ w, W, n_samples=2)
    J = F._jacobian.to_dense().reshape(8, 3, 9)
    expected = np.sqrt(sum(by_enumeration(p, j) for p, j in zip(P, J, strict=True)) / 2.0) / 8.0
    largest = max(float(np.max(r**2)) for r in F._rows()) / 16.0
    assert np.all(F.standard_error >= expected * (1.0 - 1e-12))
    assert np.all(F.standard_error <= np.maximum(expected, 0.5 * largest) * (1.0 + 1e-12))
    truth = sum((p @ ((p - np.eye(3)) @ j) ** 2) for p, j in zip(P, J, strict=True)) / 8.0
    for n_samples in (1, 2, 4):
        found = [FisherOperator(lambda w: X @ w, W, n_samples=n_samples, rng=seed) for seed in range(100)]
        z = np.array([np.abs(F.diagonal() - truth) / F.standard_error for F in found])
        assert np.mean(z <= 2.0) >= 0.93
        assert np.mean(z <= 3.0) >= 0.98


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "poisson", "categorical"])
def test_cumulants_of_likelihoods_are_those_of_many_draws(likelihood: str) -> None:
    rng = np.random.default_rng(0)
    z, J = rng.standard_normal((2, 3)), rng.standard_normal((2, 3, 2))
    known = LIKELIHOODS[likelihood]
    second, fourth = known.cumulants(z, J)
    g = np.stack([np.einsum("io,ion->in", known.draw(z, rng), J) for _ in range(40000)])
    assert_allclose(np.mean(g, axis=0), 0.0, atol=0.05)
    assert_allclose(np.mean(g**2, axis=0), second, rtol=0.05)
    assert_allclose(np.mean(g**4, axis=0), fourth + 3.0 * second**2, rtol=0.2)


def test_draws_by_a_callable_say_that_what_was_never_drawn_is_not_bounded() -> None:
    X = np.random.default_rng(0).standard_normal((8, 3))
    draw = LIKELIHOODS["gaussian"].draw
    found = [FisherOperator(lambda w: X @ w, np.ones((3, 2)), likelihood=draw, n_samples=2, rng=s) for s in range(100)]
    truth = np.repeat(np.mean(X**2, axis=0), 2)
    z = np.array([np.abs(F.diagonal() - truth) / F.standard_error for F in found])
    assert np.mean(z <= 3.0) >= 0.97
    assert "what was never drawn not bounded" in repr(found[0])
    assert "standard errors of its diagonal only" in repr(FisherOperator(lambda w: X @ w, np.ones((3, 2))))


def test_draws_beyond_the_outputs_are_kept_as_their_moments() -> None:
    X = np.random.default_rng(0).standard_normal((6, 2))
    draws = []

    def draw(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        draws.append(rng.standard_normal(z.shape))
        return draws[-1]

    F = FisherOperator(lambda w: X @ w, np.ones((2, 3)), likelihood=draw, n_samples=10)
    J = F._jacobian.to_dense().reshape(6, 3, 6)
    rows = np.einsum("sio,ion->sin", np.stack(draws), J).reshape(-1, 6)
    expected = rows.T @ rows / 60.0
    assert_allclose(F.to_dense(), expected, atol=1e-12)
    assert_allclose(F.diagonal(), np.diag(expected), atol=1e-12)
    V = np.random.default_rng(1).standard_normal((6, 2))
    assert_allclose(F @ V, expected @ V, atol=1e-12)
    before = len(draws)
    first = F.standard_error
    assert_array_equal(np.stack(draws[before:]), np.stack(draws[:before]))
    assert F.standard_error is first


@pytest.mark.parametrize("use", ["diagonal", "to_dense", "standard_error"])
def test_memory_does_not_grow_with_the_draws(use: str) -> None:
    X = np.random.default_rng(0).standard_normal((200, 10))

    def peak(n_samples: int) -> int:
        tracemalloc.start()
        F = FisherOperator(lambda w: X @ w, np.zeros((10, 4)), n_samples=n_samples)
        getattr(F, use) if use == "standard_error" else getattr(F, use)()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(8)
    assert peak(200) < 1.3 * peak(8)


# Inverse products, leverages, influences


def test_inverse_products_bound_their_error_where_an_eigenvalue_does() -> None:
    spectrum = np.geomspace(1e-2, 1.0, 60)
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((60, 60)))
    matrix = (q * spectrum) @ q.T
    matrix = 0.5 * (matrix + matrix.T)
    b = np.random.default_rng(1).standard_normal((60, 2))
    exact = np.linalg.solve(matrix, b)
    for H, options in ((matrix, {}), (aslinearoperator(matrix), {"lower_bound": 1e-2})):
        found = inverse_product(H, b, rtol=1e-3, **options)
        assert found.standard_error.shape == b.shape
        assert np.all(np.abs(found.value - exact) <= found.standard_error)
        assert found.standard_error.max() < 1.0
        assert "error at most" in repr(found)
    blind = inverse_product(aslinearoperator(matrix), b, rtol=1e-3)
    assert np.all(np.isinf(blind.standard_error))
    assert "error not bounded" in repr(blind)
    with pytest.raises(OptionError, match="lower_bound is inf"):
        inverse_product(matrix, b, lower_bound=math.inf)


def test_leverages_and_influences_bound_their_errors() -> None:
    X = np.random.default_rng(1).standard_normal((40, 5))
    H = X.T @ X
    for scores, exact in (
        (leverage(H, X, rtol=1e-2), np.diag(X @ np.linalg.solve(H, X.T))),
        (influence(H, X, np.eye(5), rtol=1e-2), -X @ np.linalg.inv(H)),
    ):
        assert isinstance(scores, ExampleScores)
        assert scores.standard_error.shape == scores.value.shape
        assert np.all(np.abs(scores.value - exact) <= scores.standard_error)
        assert "errors up to" in repr(scores)
    J = hs.JacobianOperator(lambda w: X @ w, np.zeros(5))
    unknown = influence(H, J, np.eye(5))
    assert np.all(np.isinf(unknown.standard_error))
    assert "errors not bounded" in repr(unknown)
    assert np.all(np.isinf(leverage(aslinearoperator(H), X).standard_error))
    assert np.all(np.isfinite(leverage(aslinearoperator(H), X, damping=0.1, lower_bound=0.0).standard_error))


# Predictions and sharpness


@pytest.mark.parametrize("n_samples", [2, 3, 5, 20])
def test_moments_of_few_samples_have_errors_that_hold(n_samples: int) -> None:
    """Two samples close to each other by chance are neither a mean that is known nor a variance that is."""
    X, y = np.linspace(-1.0, 1.0, 5), np.array([1.0, 2.0, 3.0, 2.0, 1.0])
    A = np.stack([X, np.ones(5)], axis=1)
    mode = np.linalg.solve(A.T @ A + np.eye(2), A.T @ y)
    found = laplace(lambda p: 0.5 * np.sum((A @ p - y) ** 2), mode, prior_precision=1.0)
    variance = np.einsum("ia,ab,ib->i", A, found.covariance, A)
    means, variances = [], []
    for seed in range(150):
        sampled = found.predict(lambda p: A @ p, method="samples", n_samples=n_samples, rng=seed)
        means.append(np.abs(sampled.mean - A @ mode) / sampled.standard_error)
        variances.append(np.abs(sampled.variance - variance) / sampled.variance_error)
    for z in (np.array(means), np.array(variances)):
        assert np.mean(z <= 1.0) >= 0.6
        assert np.mean(z <= 2.0) >= 0.92
        assert np.mean(z <= 3.0) >= 0.98


def test_blocks_say_how_far_off_their_eigenvalues_are() -> None:
    H = aslinearoperator(np.diag(np.linspace(0.0, 1.0, 300)))
    (found,) = block_spectra(H, {"all": slice(0, 300)}, max_hvp=12).values()
    assert re.search(r"eigenvalues [-\d.]+ ± [\d.]+ to [\d.]+ ± [\d.]+, trace", repr(found))


def test_sampled_predictions_know_their_errors() -> None:
    y = np.array([1.2, 0.7, 1.4])
    found = laplace(lambda m: np.sum(0.5 * (y - m) ** 2 + 0.5 * np.log(2 * np.pi)), y.sum() / 4, prior_precision=1.0)
    X = np.array([1.0, 2.0])
    z = []
    for seed in range(100):
        sampled = found.predict(lambda m: m * X, method="samples", n_samples=50, rng=seed)
        z.append((sampled.mean - X * y.sum() / 4) / sampled.standard_error)
        assert sampled.variance_error.shape == (2,)
    assert np.mean(np.abs(z) <= 2.0) == pytest.approx(0.95, abs=0.06)
    assert "means ± up to" in repr(sampled)
    linear = found.predict(lambda m: m * X)
    assert np.all(np.isinf(linear.standard_error))
    assert "error of the linearisation not bounded" in repr(linear)


def test_sharpness_is_bounded_from_above_as_often_as_it_says() -> None:
    weights = np.linspace(0.1, 3.0, 200)
    inside, finite = [], []
    for seed in range(20):
        meter = SharpnessMeter(lambda x: 0.5 * np.sum(weights * x**2), rtol=1e-4, rng=seed)
        for _ in range(3):
            meter.measure(np.ones(200))
        inside += list(meter.trace.sharpness + 2.0 * meter.trace.standard_error >= 3.0)
        finite += list(np.isfinite(meter.trace.standard_error))
    assert np.mean(inside) >= 0.95
    assert np.mean(finite) > 0.3
    loose = SharpnessMeter(lambda x: 0.5 * np.sum(weights * x**2), max_hvp=4)
    loose.measure(np.ones(200))
    assert loose.trace.standard_error[0] == math.inf
    assert "not bounded from above" in repr(loose.trace)
    assert "at most" in repr(meter.trace) or "not bounded" in repr(meter.trace)


@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
def test_draws_and_information_are_those_of_the_loss(likelihood: str) -> None:
    row, rng = LIKELIHOODS[likelihood], np.random.default_rng(0)
    z = rng.standard_normal((5, 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    slopes = row.draw(z, rng)
    mean = {"gaussian": z, "bernoulli": 1 / (1 + np.exp(-z)), "poisson": np.exp(z), "categorical": p}[likelihood]
    y = mean - slopes
    if likelihood != "gaussian":
        assert_allclose(y, np.round(y), atol=1e-12)
        y = np.round(y)
    for targets in [y, y.argmax(axis=1)] if likelihood == "categorical" else [y]:
        loss = lambda z: np.sum(row.loss(z, targets))  # noqa: B023
        assert_allclose(hs.grad(loss)(z), slopes, atol=1e-12)
        root = row.root(z, np.eye(15).reshape(5, 3, 15)).reshape(15, 15)
        assert_allclose(hs.HessianOperator(loss, z).to_dense(), root.T @ root, atol=1e-12)
