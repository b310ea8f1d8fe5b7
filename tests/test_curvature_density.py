"""Spectral densities against smoothed closed forms, and the summary of a budget."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import hessian as hs
from hessian.curvature import spectral_density, summary
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError


def smoothed(spectrum: np.ndarray, points: np.ndarray, width: float) -> np.ndarray:
    """The density that is estimated, from all eigenvalues."""
    z = (points[:, None] - spectrum) / width
    return np.exp(-0.5 * z * z).sum(axis=1) / (len(spectrum) * width * np.sqrt(2.0 * np.pi))


def marchenko_pastur(n: int) -> np.ndarray:
    X = np.random.default_rng(3).standard_normal((2 * n, n))
    return np.linalg.eigvalsh(X.T @ X / (2 * n))


N = 1200
SPECTRA = {
    "laplacian": 2.0 - 2.0 * np.cos(np.arange(1, N + 1) * np.pi / (N + 1)),
    "marchenko-pastur": marchenko_pastur(N),
    "outliers": np.concatenate([np.linspace(-0.1, 0.1, N - 5), [1.0, 2.0, 3.0, 4.0, 5.0]]),
}


def operator(spectrum: np.ndarray) -> LinearOperator:
    # Test vectors know no directions: a diagonal matrix stands for all with its spectrum.
    return aslinearoperator(scipy.sparse.diags_array(spectrum))


@pytest.mark.parametrize("name", SPECTRA)
def test_density_at_a_hundred_products_is_close_to_the_exact_one_and_inside_its_band(name):
    distances, inside = [], []
    for seed in range(30):
        found = spectral_density(operator(SPECTRA[name]), 100, rng=seed)
        exact = smoothed(SPECTRA[name], found.grid, found.width)
        assert found.n_hvp <= 100
        distances.append(np.trapezoid(np.abs(found.density - exact), found.grid))
        inside.append(bool(np.all((found.band[0] <= exact + 1e-12) & (exact <= found.band[1] + 1e-12))))
        assert np.all(found.band[0] <= found.density + 1e-12)
        assert np.all(found.density <= found.band[1] + 1e-12)
    assert max(distances) < 0.05
    assert np.mean(inside) >= 0.9
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1.0, abs=1e-3)


def test_second_differences_as_a_sparse_operator():
    n = 1500
    laplacian = scipy.sparse.diags_array([-np.ones(n - 1), 2.0 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1])
    found = spectral_density(aslinearoperator(laplacian), 100)
    exact = smoothed(2.0 - 2.0 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1)), found.grid, found.width)
    assert np.trapezoid(np.abs(found.density - exact), found.grid) < 0.05
    assert np.all((found.band[0] <= exact) & (exact <= found.band[1]))


def test_the_band_holds_as_often_as_it_says_and_not_always_at_lower_confidence():
    spectrum = SPECTRA["marchenko-pastur"]
    inside = 0
    for seed in range(40):
        found = spectral_density(operator(spectrum), 40, rng=seed, level=0.5)
        exact = smoothed(spectrum, found.grid, found.width)
        inside += bool(np.all((found.band[0] <= exact + 1e-12) & (exact <= found.band[1] + 1e-12)))
    assert inside >= 20
    narrow, wide = (spectral_density(operator(spectrum), 40, level=c) for c in (0.5, 0.99))
    assert np.all(np.ptp(narrow.band, axis=0) <= np.ptp(wide.band, axis=0))


def test_exact_for_small_orders_and_for_matrices():
    spectrum = np.linspace(-1.0, 2.0, 60)
    matrix = np.diag(spectrum)
    for H, products in ((aslinearoperator(matrix), 60), (matrix, 0)):
        found = spectral_density(H)
        assert found.is_exact
        assert found.n_hvp == products
        assert_allclose(found.density, smoothed(spectrum, found.grid, found.width), rtol=1e-12)
        assert np.all((found.band[0] <= found.density) & (found.density <= found.band[1]))
        assert_allclose(found.band[0], found.band[1], atol=1e-11 * found.density.max())
    assert "exact" in repr(found)


def test_width_grid_and_steps_are_taken():
    H, grid = operator(SPECTRA["laplacian"]), np.linspace(0.0, 4.0, 50)
    found = spectral_density(H, 100, width=0.1, grid=grid)
    assert found.width == 0.1
    assert_array_equal(found.grid, grid)
    assert found.nodes.shape == (2, 40)  # a finer width takes more steps
    assert spectral_density(H, 100, steps=10).nodes.shape == (10, 10)


@pytest.mark.parametrize("spectrum", [np.zeros(300), np.ones(300), -np.ones(300), np.r_[5.0, np.zeros(299)]])
def test_degenerate_spectra(spectrum):
    found = spectral_density(operator(spectrum), 40)
    exact = smoothed(spectrum, found.grid, found.width)
    assert np.all((found.band[0] <= exact + 1e-9 * exact.max()) & (exact <= found.band[1] + 1e-9 * exact.max()))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"width": 0.0}, "width is 0"),
        ({"width": -1.0}, "width is -1.0"),
        ({"level": 1.0}, "level is 1.0"),
        ({"max_hvp": 3}, "max_hvp is 3"),
        ({"grid": np.zeros((2, 2))}, "grid has shape"),
        ({"steps": 1}, "steps is 1"),
    ],
)
def test_wrong_options_are_refused(options, text):
    with pytest.raises(OptionError, match=text):
        spectral_density(operator(SPECTRA["laplacian"]), **options)


def test_what_is_not_symmetric_or_not_finite_is_noticed():
    matrix = np.random.default_rng(0).standard_normal((300, 300))
    for estimator in (spectral_density, summary):
        with pytest.raises(OptionError, match="not symmetric"):
            estimator(aslinearoperator(matrix), 40)
        with pytest.raises(NonFiniteError, match="NaN or inf"):
            estimator(LinearOperator((300, 300), matvec=lambda v: np.full(300, np.nan), dtype=float), 40)
        with pytest.raises(ShapeMismatchError, match="order 0"):
            estimator(np.zeros((0, 0)))


def network() -> hs.HessianOperator:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 8)), rng.standard_normal(100)

    def loss(p: Any) -> Any:
        return np.mean((np.tanh(X @ p["W"] + p["b"]) @ p["v"] - y) ** 2)

    x = {"W": 0.3 * rng.standard_normal((8, 20)), "b": np.zeros(20), "v": 0.3 * rng.standard_normal(20)}
    return hs.HessianOperator(loss, x)


@pytest.mark.parametrize("max_hvp", [12, 60, 150])
def test_summaries_of_a_network_are_within_their_errors(max_hvp):
    H = network()
    values = np.linalg.eigvalsh(H.to_dense())
    hits = np.zeros(3)
    for seed in range(30):
        found = summary(H, max_hvp, rng=seed)
        assert found.n_hvp <= max_hvp
        nearest = np.min(np.abs(found.eigenvalues.values[:, None] - values), axis=1)
        assert np.all(nearest <= found.eigenvalues.residuals)
        hits += [
            abs(found.trace.value - values.sum()) <= 3.0 * found.trace.standard_error,
            abs(found.frobenius_norm.value - np.linalg.norm(values)) <= 3.0 * found.frobenius_norm.standard_error,
            abs(found.inertia.negative - np.sum(values < 0)) <= 3.0 * found.inertia.standard_error,
        ]
        assert found.inertia.at_least_negative <= np.sum(values < 0)
        assert found.condition_number <= np.abs(values).max() / np.abs(values).min() * (1 + 1e-9)
    assert hits.min() >= 27


def test_a_summary_that_the_budget_allows_is_exact():
    spectrum = np.linspace(1.0, 3.0, 50)
    for H, products in ((aslinearoperator(np.diag(spectrum)), 50), (np.diag(spectrum), 0)):
        found = summary(H)
        assert found.is_exact
        assert found.n_hvp == products
        assert found.trace.value == pytest.approx(100.0)
        assert found.frobenius_norm.value == pytest.approx(np.linalg.norm(spectrum))
        assert found.logdet is not None
        assert found.logdet.value == pytest.approx(np.log(spectrum).sum())
        assert found.condition_number == pytest.approx(3.0)


def test_a_positive_definite_summary_has_a_log_determinant():
    spectrum = np.concatenate([np.linspace(1.0, 2.0, 396), [20.0, 30.0, 40.0, 50.0]])
    found = summary(operator(spectrum), 60)
    assert found.logdet is not None
    assert abs(found.logdet.value - np.log(spectrum).sum()) < 3.0 * found.logdet.standard_error < 20.0
    assert found.condition_number <= 50.0 * (1 + 1e-12)
    assert found.inertia.negative == 0.0
    # Outliers are taken out: what is uncertain is the bulk alone.
    assert found.trace.standard_error < 8.0


@pytest.mark.parametrize("spectrum", [np.zeros(200), -np.linspace(1.0, 2.0, 200), np.r_[3.0, np.zeros(199)]])
def test_summaries_of_degenerate_spectra(spectrum):
    found = summary(operator(spectrum), 40)
    assert found.logdet is None
    assert abs(found.trace.value - spectrum.sum()) <= 3.0 * found.trace.standard_error + 1e-9
    assert repr(found)
    assert found._repr_html_()


def test_a_summary_prints_as_a_table_and_shows_as_a_picture():
    found = summary(network(), 60)
    text = repr(found)
    assert text.startswith("Curvature of order 200, from 60 products: estimates with standard errors")
    for row in ("largest eigenvalues", "trace", "Frobenius norm", "signs", "condition number", "density"):
        assert row in text
    assert max(map(len, text.splitlines())) <= 120
    page = found._repr_html_()
    assert page.startswith("<div>")
    assert page.count("<tr>") == 8
    assert "<svg" in page
    assert not re.search(r"\bnan\b", page)
    assert "±" in text


def test_a_budget_that_says_nothing_is_refused():
    with pytest.raises(OptionError, match="Pass at least 12, or 200"):
        summary(network(), 11)
