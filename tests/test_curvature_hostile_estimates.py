"""Estimates on spectra made to mislead them: bulks below outliers, ranks below the sketch, ends far below the rest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from hessian.curvature import Estimate, condition_number, diagonal, frobenius_norm, logdet, spectral_density, trace

N = 200
SEEDS = range(100)
SPECTRA = {
    "rank 3": np.r_[3.0, 2.0, 1.0, np.zeros(N - 3)],
    "algebraic": np.arange(1.0, N + 1.0) ** -2.0,
    "two values": np.r_[100.0, 100.0, np.ones(N - 2)],
    "outliers": np.r_[100.0, 50.0, 20.0, np.linspace(0.0, 1.0, N - 3)],
    "indefinite": np.linspace(-1.0, 1.0, N),
}
DEFINITE = {
    "exponential": 0.9 ** np.arange(N),
    "six decades": np.logspace(-6.0, 0.0, N),
    "three decades": np.logspace(-3.0, 0.0, N),
    "algebraic": SPECTRA["algebraic"],
}


def operator(spectrum: np.ndarray, dtype: type = np.float64) -> LinearOperator:
    """An operator with a given spectrum, turned by three reflections."""
    n = len(spectrum)
    normals = np.random.default_rng(0).standard_normal((3, n))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)

    def image(V: np.ndarray) -> np.ndarray:
        V = V.astype(np.float64).reshape(n, -1)
        for u in normals:
            V = V - 2.0 * np.outer(u, u @ V)
        V = spectrum[:, None] * V
        for u in normals[::-1]:
            V = V - 2.0 * np.outer(u, u @ V)
        return V.astype(dtype)

    return LinearOperator((n, n), matvec=lambda v: image(v)[:, 0], matmat=image, dtype=dtype)


def covered(estimates: list, truth: float) -> tuple[float, float]:
    """Shares of the estimates within three standard errors of the truth, and with it in their intervals."""
    slack = 1e-13 * abs(truth)
    near = [abs(e.value - truth) < 3.0 * e.standard_error + slack for e in estimates]
    inside = [e.interval()[0] - slack <= truth <= e.interval()[1] + slack for e in estimates]
    return float(np.mean(near)), float(np.mean(inside))


@pytest.mark.parametrize(("top", "bulk", "n", "max_hvp"), [(1.0, 1e-5, 1000, 60), (50.0, 1e-3, 2000, 40)])
@pytest.mark.parametrize("estimator", [trace, frobenius_norm])
def test_a_bulk_below_an_outlier_is_not_rounding_in_single_precision(estimator, top, bulk, n, max_hvp):
    spectrum = np.full(n, bulk)
    spectrum[0] = top
    truth = spectrum.sum() if estimator is trace else np.linalg.norm(spectrum)
    for seed in range(10):
        estimate = estimator(operator(spectrum, np.float32), max_hvp, rng=seed)
        assert estimate.n_hvp <= max_hvp
        assert not estimate.is_exact
        assert abs(estimate.value - truth) <= 3.0 * estimate.standard_error
        assert estimate.standard_error < 1e-3 * truth


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("estimator", [trace, frobenius_norm, diagonal])
def test_directions_that_are_dropped_are_looked_at_again(estimator, dtype):
    """Test vectors that the generator makes dependent stand for an unlucky draw: the sketch misses what H has."""

    class Repeated(np.random.Generator):
        def standard_normal(self, size=None, *args, **kwargs):
            drawn = super().standard_normal(size, *args, **kwargs)
            return np.repeat(drawn[:1], len(drawn), axis=0)

        def integers(self, low, high=None, size=None, *args, **kwargs):
            drawn = super().integers(low, high, size, *args, **kwargs)
            return np.repeat(drawn[:1], len(drawn), axis=0)

    H = operator(np.linspace(1.0, 2.0, N), dtype)
    options = {"method": "xtrace"} if estimator is trace else {}
    max_hvp = 24 if estimator is diagonal else 20
    estimate = estimator(H, max_hvp, rng=Repeated(np.random.PCG64(0)), **options)
    dense = (H @ np.eye(N, dtype=dtype)).astype(np.float64)
    truth = {trace: np.trace(dense), frobenius_norm: np.linalg.norm(dense), diagonal: np.diag(dense)}[estimator]
    assert not estimate.is_exact
    assert estimate.degrees_of_freedom == 1.0
    assert estimate.n_hvp <= max_hvp
    assert np.mean(np.abs(estimate.value - truth) <= 12.7 * np.asarray(estimate.standard_error)) > 0.95


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_low_rank_is_still_exact(dtype):
    spectrum = SPECTRA["rank 3"]
    H = operator(spectrum, dtype)
    for seed in range(10):
        for estimate, truth in (
            (trace(H, 30, rng=seed), 6.0),
            (frobenius_norm(H, 30, rng=seed), np.sqrt(14.0)),
        ):
            assert estimate.is_exact
            assert abs(estimate.value - truth) <= estimate.standard_error < 2e3 * np.finfo(dtype).eps
        entries = diagonal(H, 30, rng=seed)
        dense = (H @ np.eye(N, dtype=dtype)).astype(np.float64)
        assert entries.is_exact
        assert np.all(np.abs(entries.value - np.diag(dense)) <= entries.standard_error)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("max_hvp", [6, 20])
def test_few_products_claim_no_more_than_they_know(name, max_hvp):
    H, total, norm = operator(SPECTRA[name]), SPECTRA[name].sum(), float(np.linalg.norm(SPECTRA[name]))
    by_default = [trace(H, max_hvp, rng=seed) for seed in SEEDS]
    assert all(e.method == ("xtrace" if max_hvp >= 20 else "hutchinson") for e in by_default)
    for estimates, truth in (
        (by_default, total),
        ([trace(H, max_hvp, rng=seed, method="xtrace") for seed in SEEDS], total),
        ([trace(H, max_hvp, rng=seed, method="hutch++") for seed in SEEDS], total),
        ([frobenius_norm(H, max_hvp, rng=seed) for seed in SEEDS], norm),
    ):
        near, inside = covered(estimates, truth)
        assert near >= 0.93  # 0.95 less one standard deviation of the share
        assert inside >= 0.89  # the 1 percent quantile of 100 draws at 0.95


@pytest.mark.parametrize("name", DEFINITE)
@pytest.mark.parametrize("max_hvp", [8, 20, 60])
def test_log_determinants_of_ill_conditioned_spectra_are_covered(name, max_hvp):
    spectrum = DEFINITE[name]
    H, truth = operator(spectrum), float(np.log(spectrum).sum())
    estimates = [logdet(H, max_hvp, rng=seed) for seed in range(16)]
    near, inside = covered(estimates, truth)
    assert near == 1.0
    assert inside >= 0.85
    assert all(e.n_hvp <= max_hvp for e in estimates)


def test_damping_bounds_the_log_determinant_from_below():
    spectrum = DEFINITE["six decades"]
    H = operator(spectrum)
    for damping in (1e-6, 1e-3):
        estimates = [logdet(H, 40, damping=damping, rng=seed) for seed in range(20)]
        near, inside = covered(estimates, float(np.log(spectrum + damping).sum()))
        assert near == 1.0
        assert inside >= 0.85
        assert estimates[0].standard_error < 0.5 * logdet(H, 40).standard_error


@pytest.mark.parametrize("decades", [6, 9, 12, 13])
def test_exact_log_determinants_bound_their_rounding(decades):
    spectrum = np.logspace(0.0, -decades, 50)
    for seed in range(5):
        q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((50, 50)))
        matrix = (q * spectrum) @ q.T
        for H in (0.5 * (matrix + matrix.T), aslinearoperator(0.5 * (matrix + matrix.T))):
            estimate = logdet(H)
            assert estimate.is_exact
            assert abs(estimate.value - np.log(spectrum).sum()) <= estimate.standard_error
            assert estimate.standard_error <= 50.0 * 4.0 * 2.3e-16 * np.sqrt(50.0) * 10.0**decades * 2.0


@pytest.mark.parametrize("zeros", [1, 200])
def test_condition_numbers_of_singular_operators_are_infinite(zeros):
    H = operator(np.r_[np.zeros(zeros), np.linspace(1.0, 2.0, 600 - zeros)])
    for seed in range(3):
        found = condition_number(H, rng=seed)
        assert found.value == found.high == np.inf
        assert found.largest == pytest.approx(2.0)


def test_an_error_without_bound_is_written():
    assert "-3.5 ± inf" in repr(Estimate("logdet", -3.5, np.inf, 8, "Lanczos quadrature", 2.0))


def test_outliers_that_cancel_leave_the_rounding_of_their_products() -> None:
    """In single precision a product with 1e8 is off by some units; the trace of both signs is zero, what it is off by is not."""
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((80, 80)))
    spectrum = np.r_[1e8, -1e8, np.linspace(0.1, 1.0, 78)]
    matrix = ((q * spectrum) @ q.T).astype(np.float32)
    matrix = 0.5 * (matrix + matrix.T)
    truth = float(np.trace(matrix.astype(np.float64)))
    for seed in range(20):
        found = trace(aslinearoperator(matrix), 40, rng=seed, method="hutch++")
        assert abs(found.value - truth) <= 3.0 * found.standard_error


def test_xtrace_with_more_products_than_the_order_leaves_room_for_what_it_leaves_out() -> None:
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((80, 80)))
    H = aslinearoperator((q * np.linspace(1.0, 2.0, 80)) @ q.T)
    found = [trace(H, 200, rng=seed, method="xtrace") for seed in range(60)]
    assert all(estimate.n_hvp == 80 for estimate in found)
    assert np.mean([abs(e.value - 120.0) <= 3.0 * e.standard_error for e in found]) >= 0.98


def test_the_default_budget_is_enough_for_the_method() -> None:
    for method in ("hutchinson", "hutch++"):
        found = trace(aslinearoperator(np.array([[2.0]])), method=method)
        assert abs(found.value - 2.0) <= found.standard_error + 1e-15


def test_bands_of_exact_densities_allow_for_rounding() -> None:
    matrix = np.diag(np.linspace(1.0, 2.0, 40).astype(np.float32) * np.float32(1.0 / 3.0))
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))
    single = (q @ matrix @ q.T).astype(np.float32)
    single = 0.5 * (single + single.T)
    found = spectral_density(single)
    exact = spectral_density(single.astype(np.float64), grid=found.grid, width=found.width).density
    assert np.all((found.band[0] <= exact) & (exact <= found.band[1]))
    assert np.all(found.band[1] - found.band[0] <= 3e-3 * exact.max())
