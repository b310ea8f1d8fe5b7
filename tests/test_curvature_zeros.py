"""Zeros of symmetries, spectra that are formed cheaply, and sizes that leave the precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse.linalg import aslinearoperator

import hessian as hs
from hessian.curvature import inertia, spectral_density, summary
from hessian.errors import NonFiniteError, OptionError
from hessian.linalg.dense import values_and_ends


def cluster(x: Any) -> Any:
    """Energy of atoms that attract and repel each other, in three dimensions."""
    x = np.reshape(x, (-1, 3))
    i, j = np.triu_indices(5, 1)
    squares = np.sum((x[i] - x[j]) ** 2, axis=1)
    return np.sum(squares**-6.0 - 2.0 * squares**-3.0)


@pytest.fixture(scope="module")
def near() -> hs.HessianOperator:
    """The Hessian of a cluster a little off its lowest energy."""
    start = np.random.default_rng(1).standard_normal(15)
    fit = hs.optimize.minimize(cluster, start, options={"gtol": 1e-9})
    return hs.HessianOperator(cluster, fit.x + 1e-6 * np.sin(np.arange(15.0)))


def test_zeros_of_rotations_are_named_and_taken_for_zero_where_asked(near: hs.HessianOperator) -> None:
    plain, told = inertia(near), inertia(near, threshold="gradient")
    assert (plain.zero, plain.positive, plain.in_doubt) == (3, plain.positive, 3)
    assert plain.reach == pytest.approx(4.0 * np.linalg.norm(near.gradient) / np.linalg.norm(_x(near)))
    assert 'threshold="gradient" calls them zero' in repr(plain)
    assert (told.negative, told.zero, told.positive, told.in_doubt) == (0, 6, 9, 0)
    assert told.threshold == plain.reach
    assert "\n" not in repr(told)


def _x(H: hs.HessianOperator) -> np.ndarray:
    return np.ravel(H.primal.leaves[0])


def test_a_summary_takes_the_same_zeros_everywhere(near: hs.HessianOperator) -> None:
    plain, told = summary(near), summary(near, threshold="gradient")
    assert plain.notes() == [plain.inertia.doubt()]
    assert max(map(len, repr(plain).splitlines())) <= 140
    assert told.notes() == []
    assert (told.inertia.zero, told.logdet, told.condition_number) == (6, None, np.inf)
    assert told.density.view().zero_share == pytest.approx(6 / 15)
    assert "6 of 15 are zero as asked" in repr(told)
    assert repr(told).count("0 ± ") == 4
    assert summary(near, threshold=told.inertia.threshold).inertia.zero == 6
    assert summary(np.diag([1e-3, 1.0]), threshold=0.1).inertia.zero == 1
    assert summary(np.diag([1e-3, 1.0]), threshold=0.0).inertia.zero == 0


def test_points_far_from_stationary_are_refused() -> None:
    far = hs.HessianOperator(lambda x: 0.5 * np.sum((x - 5.0) ** 2), np.full(3, 0.1))
    assert inertia(far).in_doubt == 0
    for measure in (inertia, summary):
        with pytest.raises(OptionError, match="The point is not nearly stationary"):
            measure(far, threshold="gradient")
        with pytest.raises(OptionError, match="Only a HessianOperator at x other than 0"):
            measure(np.eye(2), threshold="gradient")
        with pytest.raises(OptionError, match="Only a HessianOperator at x other than 0"):
            measure(hs.HessianOperator(lambda x: np.sum(x**2), np.zeros(2)), threshold="gradient")
        with np.errstate(all="ignore"), pytest.raises(OptionError, match="Only a HessianOperator at x other than 0"):
            measure(hs.HessianOperator(lambda x: np.sum(x**1.5), np.array([-1.0, 1.0])), threshold="gradient")
        with pytest.raises(OptionError, match=r"threshold is 'grad', .* or \"gradient\""):
            measure(np.eye(2), threshold="grad")


def test_estimates_know_the_gradient_too() -> None:
    n = 900
    weights = np.concatenate([[1e-9, -1e-9], np.linspace(1.0, 2.0, n - 2)])
    H = hs.HessianOperator(lambda x: 0.5 * np.sum(weights * x**2) + 0.5 * np.sum(x[2:]) ** 2, np.eye(n)[:2].sum(axis=0))
    plain, told = summary(H, 100), summary(H, 100, threshold="gradient")
    assert not plain.is_exact
    assert plain.inertia.in_doubt == 2
    assert plain.notes()[0] == plain.inertia.doubt()
    assert (told.inertia.in_doubt, told.logdet) == (0, None)
    assert told.inertia.ranges[0][1] <= 1
    assert told.inertia.ranges[1][0] <= 2 <= told.inertia.ranges[1][1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("n", [3 * 7, 560])
def test_one_reduction_gives_all_eigenvalues_and_vectors_of_the_ends(n: int, k: int, dtype: Any) -> None:
    A = np.random.default_rng(n).standard_normal((n, n))
    A = (A + A.T).astype(dtype)
    before = A.copy()
    values, picked, vectors = values_and_ends(A, k)
    eps = n * float(np.finfo(dtype).eps)
    np.testing.assert_array_equal(A, before)
    assert_allclose(values, np.linalg.eigvalsh(A.astype(float)), atol=eps * np.sqrt(n))
    assert picked.tolist() == [*range(k // 2), *range(n - (k - k // 2), n)]
    assert_allclose(A @ vectors, vectors * values[picked], atol=4.0 * eps * np.sqrt(n))
    assert_allclose(vectors.T @ vectors, np.eye(k), atol=4.0 * eps)
    assert vectors.dtype == values.dtype == dtype


def test_clusters_have_orthonormal_vectors() -> None:
    n = 600
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    values, picked, vectors = values_and_ends((Q * np.repeat([1.0, 2.0], n // 2)) @ Q.T, 8)
    assert_allclose(vectors.T @ vectors, np.eye(8), atol=1e-12)
    assert_allclose(values[picked], np.repeat([1.0, 2.0], 4), atol=1e-12)


def test_hessians_that_few_products_give_are_exact() -> None:
    f = hs.record(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))
    x = np.linspace(-1.0, 1.0, 700)
    H = hs.HessianOperator(f, x)
    exact = np.linalg.eigvalsh(hs.hessian(f)(x))
    found = summary(H, 12)
    assert (found.is_exact, found.n_hvp) == (True, 3)
    assert_allclose(found.trace.value, exact.sum(), rtol=1e-12)
    assert np.all(found.eigenvalues.residuals >= np.abs(found.eigenvalues.values - exact[[0, 1, 2, 3, -4, -3, -2, -1]]))
    assert inertia(H, 12).negative == np.sum(exact < 0.0)
    assert spectral_density(H, 12).is_exact
    # A dense pattern takes as many products as the budget does not allow.
    dense = hs.HessianOperator(lambda x: np.sum(x) ** 2 + np.sum(x**4), x)
    assert not summary(dense, 30).is_exact


def test_exact_eigenvalues_are_known_to_rounding_only() -> None:
    found = summary(np.diag([1.0, 2.0, 30.0])).eigenvalues
    assert np.all(found.residuals >= 4.0 * np.sqrt(3.0) * np.finfo(float).eps * 30.0)


@pytest.mark.parametrize("size", [1e-300, 1e300])
@pytest.mark.parametrize("measure", [summary, spectral_density])
def test_sizes_whose_squares_leave_the_precision_are_refused(measure: Any, size: float) -> None:
    with pytest.raises(
        NonFiniteError, match=r"eigenvalues are of size .* Their squares leave float64\. Pass a multiple"
    ):
        measure(np.diag(size * np.arange(1.0, 4.0)))
    assert inertia(np.diag(size * np.arange(1.0, 4.0))).positive == 3
    operator = aslinearoperator(np.diag(np.full(300, size)))
    with pytest.raises(NonFiniteError, match="Their squares leave float64"):
        measure(operator)
