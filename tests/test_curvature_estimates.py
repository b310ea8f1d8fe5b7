"""Trace, diagonal, norm, log-determinant, inertia and inverse: exact where they say so, calibrated where they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from spectra import with_spectrum

import hessian as hs
from hessian.curvature import (
    Estimate,
    block_spectra,
    condition_number,
    diagonal,
    frobenius_norm,
    inertia,
    inverse_product,
    logdet,
    trace,
)
from hessian.curvature.estimate import widened
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.statistics import influence, leverage

SEEDS = range(100)


def marchenko_pastur(n: int) -> np.ndarray:
    X = np.random.default_rng(3).standard_normal((2 * n, n))
    return np.linalg.eigvalsh(X.T @ X / (2 * n))


SPECTRA = {
    "laplacian": 2.0 - 2.0 * np.cos(np.arange(1, 201) * np.pi / 201),
    "marchenko-pastur": marchenko_pastur(200),
    "indefinite": np.linspace(-1.0, 1.5, 200),
    "polynomial": np.arange(1.0, 201.0) ** -1.5,
    "exponential": 0.85 ** np.arange(200),
}


def errors_of(estimates: list[Estimate], truth: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([e.value - truth for e in estimates]), np.array([e.standard_error for e in estimates])


def assert_calibrated(estimates: list[Estimate], truth: float) -> None:
    """Few beyond 3 standard errors, and errors of the size claimed: chi-square over the seeds, Student's t taken out."""
    errors, claimed = errors_of(estimates, truth)
    assert np.mean(np.abs(errors) < 3.0 * claimed) >= 0.97
    dof = np.array([e.degrees_of_freedom for e in estimates])
    claimed = claimed / widened(1.0, dof)
    normal = stats.norm.isf(stats.t.sf(np.abs(errors) / claimed, dof))
    low, high = stats.chi2.ppf([1e-4, 1.0 - 1e-4], len(estimates))
    assert np.sum(normal**2) < high
    # From below, against the mean of the variances claimed: an estimate that overstates its error is wrong as well.
    assert np.sum(errors**2) / np.mean(claimed**2) > low


@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "xtrace"])
@pytest.mark.parametrize("name", SPECTRA)
def test_trace_is_within_its_standard_errors_and_they_are_calibrated(name, method):
    H = aslinearoperator(with_spectrum(SPECTRA[name]))
    estimates = [trace(H, 60, rng=seed, method=method) for seed in SEEDS]
    assert all(e.n_hvp <= 60 and e.method == method for e in estimates)
    assert_calibrated(estimates, SPECTRA[name].sum())


@pytest.mark.parametrize("max_hvp", [12, 30])
def test_few_products_have_honest_intervals(max_hvp):
    H = aslinearoperator(with_spectrum(SPECTRA["marchenko-pastur"]))
    truth = SPECTRA["marchenko-pastur"].sum()
    for method in ("hutchinson", "hutch++", "xtrace"):
        inside = 0
        for seed in SEEDS:
            low, high = trace(H, max_hvp, rng=seed, method=method).interval(0.9)
            inside += low <= truth <= high
        assert inside >= stats.binom.ppf(1e-4, 100, 0.9)


def test_the_plain_variance_of_leaving_one_out_would_be_too_small():
    """What leaving out two adds is what makes XTrace's standard errors right where vectors are many."""
    spectrum = SPECTRA["laplacian"]
    H = aslinearoperator(with_spectrum(spectrum))
    estimates = [trace(H, 100, rng=seed, method="xtrace") for seed in SEEDS]
    errors, claimed = errors_of(estimates, spectrum.sum())
    assert 0.6 < np.mean(errors**2) / np.mean(claimed**2) < 1.6


def test_xtrace_leaves_hutchinson_behind_on_a_decaying_spectrum():
    spectrum = 0.9 ** np.arange(400)
    H = aslinearoperator(with_spectrum(spectrum))

    def rms(method: str, max_hvp: int) -> float:
        errors, _ = errors_of([trace(H, max_hvp, rng=s, method=method) for s in range(20)], spectrum.sum())
        return float(np.sqrt(np.mean(errors**2)))

    curve = [rms("xtrace", max_hvp) for max_hvp in (20, 60, 120, 200)]
    plain = [rms("hutchinson", max_hvp) for max_hvp in (20, 200)]
    assert curve[1] < 0.2 * curve[0]
    assert curve[3] < 1e-3 * curve[0]
    assert plain[1] > 0.15 * plain[0]  # the square root of ten products to one
    assert curve[2] < 0.02 * plain[1]


@pytest.mark.parametrize("method", ["xtrace", "hutch++"])
def test_low_rank_is_exact_once_the_sketch_spans_it(method):
    spectrum = np.concatenate([[5.0, -2.0, 1.0], np.zeros(197)])
    estimate = trace(aslinearoperator(with_spectrum(spectrum)), 30, method=method)
    assert abs(estimate.value - 4.0) <= 3.0 * estimate.standard_error + 1e-12
    assert estimate.standard_error < 1e-11


@pytest.mark.parametrize("estimator", [trace, frobenius_norm])
def test_zero_is_zero(estimator):
    estimate = estimator(aslinearoperator(np.zeros((100, 100))), 20)
    assert estimate.value == 0.0
    assert estimate.standard_error == 0.0


def test_hutchinson_is_exact_on_diagonals():
    entries = np.linspace(-1.0, 3.0, 300)
    H = aslinearoperator(scipy.sparse.diags_array(entries))
    estimate = trace(H, 20, method="hutchinson")
    assert estimate.value == pytest.approx(entries.sum(), abs=1e-10)
    assert estimate.standard_error < 1e-10


def test_digits_softmax_at_zero():
    datasets = pytest.importorskip("sklearn.datasets")
    X = datasets.load_digits().data / 16.0
    labels = datasets.load_digits().target

    def loss(W: Any) -> Any:
        z = X @ W
        return np.mean(hs.special.logsumexp(z, axis=1) - z[np.arange(len(labels)), labels])

    H = hs.HessianOperator(loss, np.zeros((64, 10)))
    exact = trace(H, 640)
    assert exact.method == "exact"
    assert exact.value == pytest.approx(13.512779111, abs=5e-10)
    estimate = trace(H, 60)
    assert estimate.n_hvp == 60
    assert abs(estimate.value - 13.512779111) < 3.0 * estimate.standard_error < 3.0
    closed = np.kron(X.T @ X / len(X), (np.eye(10) - 0.1) / 10.0)
    assert_allclose(diagonal(H).value, np.diag(closed), atol=1e-12)
    norm = frobenius_norm(H, 60)
    assert abs(norm.value - np.linalg.norm(closed)) < 4.0 * norm.standard_error < 0.2


@pytest.mark.parametrize(("n", "value"), [(2, 1002.0), (10, 9018.0), (100, 99198.0)])
def test_rosenbrock_traces(n, value):
    H = hs.HessianOperator(lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2), np.ones(n))
    estimate = trace(H, 100)
    assert estimate.is_exact
    assert estimate.value == pytest.approx(value, rel=1e-14)


def test_breast_cancer_logistic_regression_at_its_optimum():
    datasets = pytest.importorskip("sklearn.datasets")
    data, target = datasets.load_breast_cancer(return_X_y=True)
    X = np.column_stack([(data - data.mean(axis=0)) / data.std(axis=0), np.ones(len(data))])
    signs = 2.0 * target - 1.0

    def loss(w: Any) -> Any:
        return np.sum(np.logaddexp(0.0, -signs * (X @ w))) + 0.5 * np.sum(w[:-1] ** 2)

    found = hs.optimize.minimize(loss, np.zeros(31), options={"gtol": 1e-8})
    assert found.fun == pytest.approx(37.758945961876, abs=1e-10)
    H = hs.HessianOperator(loss, found.x)
    condition = condition_number(H)
    assert condition.smallest == pytest.approx(0.99663, abs=5e-6)
    assert condition.largest == pytest.approx(85.57012, abs=5e-6)
    assert condition.low <= condition.value <= condition.high
    assert trace(H).value == pytest.approx(272.2058998, abs=5e-7)
    assert inertia(H).positive == 31
    assert logdet(H).value == pytest.approx(np.linalg.slogdet(H.to_dense())[1], abs=1e-9)


@pytest.mark.parametrize("name", SPECTRA)
def test_xdiag_is_calibrated_entry_by_entry(name):
    matrix = with_spectrum(SPECTRA[name])
    H, truth = aslinearoperator(matrix), np.diag(matrix)
    estimates = [diagonal(H, 60, rng=seed) for seed in range(30)]
    errors = np.array([e.value - truth for e in estimates])
    claimed = np.array([e.standard_error for e in estimates])
    assert all(e.n_hvp == 60 and e.method == "xdiag" for e in estimates)
    assert np.mean(np.abs(errors) < 3.0 * claimed) > 0.98
    claimed = claimed / widened(1.0, estimates[0].degrees_of_freedom)
    assert 0.5 < np.mean(errors**2) / np.mean(claimed**2) < 1.4


def test_exact_diagonals_cost_what_they_say():
    matrix = with_spectrum(SPECTRA["indefinite"])
    read = diagonal(matrix)
    assert_array_equal(read.value, np.diag(matrix))
    assert read.n_hvp == 0
    by_products = diagonal(aslinearoperator(matrix))
    assert_allclose(by_products.value, np.diag(matrix), rtol=1e-13)
    assert by_products.n_hvp == 200
    H = hs.HessianOperator(lambda x: np.sum(x**3), np.arange(1.0, 6.0))
    assert diagonal(H).value.tolist() == [6.0, 12.0, 18.0, 24.0, 30.0]


@pytest.mark.parametrize("name", SPECTRA)
def test_frobenius_norm_is_calibrated(name):
    H = aslinearoperator(with_spectrum(SPECTRA[name]))
    estimates = [frobenius_norm(H, 60, rng=seed) for seed in SEEDS]
    errors, claimed = errors_of(estimates, float(np.linalg.norm(SPECTRA[name])))
    assert np.mean(np.abs(errors) < 3.0 * claimed) >= 0.95
    assert np.mean(errors**2) / np.mean(claimed**2) < 1.5


@pytest.mark.parametrize("name", ["laplacian", "marchenko-pastur"])
def test_log_determinant_is_within_its_standard_errors(name):
    spectrum = SPECTRA[name]
    H = aslinearoperator(with_spectrum(spectrum))
    estimates = [logdet(H, 80, rng=seed) for seed in range(40)]
    errors, claimed = errors_of(estimates, float(np.log(spectrum).sum()))
    assert all(e.n_hvp <= 80 for e in estimates)
    assert np.mean(np.abs(errors) < 3.0 * claimed) >= 0.95
    assert np.mean(errors**2) / np.mean(claimed**2) < 1.6
    exact = logdet(H, 200)
    assert exact.value == pytest.approx(float(np.log(spectrum).sum()), abs=1e-9)
    damped = logdet(with_spectrum(spectrum), damping=0.5)
    assert damped.value == pytest.approx(float(np.log(spectrum + 0.5).sum()), abs=1e-9)


def test_log_determinant_refuses_what_has_none():
    for H in (with_spectrum(SPECTRA["indefinite"]), aslinearoperator(with_spectrum(SPECTRA["indefinite"]))):
        with pytest.raises(OptionError, match="not positive definite"):
            logdet(H, 40)
    assert logdet(with_spectrum(SPECTRA["indefinite"]), damping=2.0).is_exact


def test_condition_number_lies_between_its_bounds():
    spectrum = np.linspace(0.5, 20.0, 700)
    found = condition_number(aslinearoperator(with_spectrum(spectrum)))
    assert found.low <= 40.0 <= found.high
    assert found.value == pytest.approx(40.0, rel=1e-9)
    rough = condition_number(aslinearoperator(with_spectrum(spectrum)), 30)
    assert rough.n_hvp <= 30
    assert rough.value <= 40.0 + 1e-9
    assert condition_number(np.diag([1.0, 0.0])).value == np.inf
    with pytest.raises(OptionError, match="indefinite"):
        condition_number(aslinearoperator(with_spectrum(np.linspace(-1.0, 1.0, 600))))


def test_inertia_exact_and_estimated():
    spectrum = np.concatenate([-np.linspace(1.0, 2.0, 60), np.linspace(1.0, 5.0, 240)])
    matrix = with_spectrum(spectrum)
    exact = inertia(matrix)
    assert (exact.negative, exact.zero, exact.positive) == (60, 0, 240)
    inside = 0
    for seed in range(20):
        found = inertia(aslinearoperator(matrix), 80, rng=seed)
        assert found.n_hvp == 80
        assert found.at_least_negative <= 60
        assert found.at_least_positive <= 240
        inside += abs(found.negative - 60) <= 3.0 * found.standard_error
    assert inside == 20


@pytest.mark.parametrize("method", ["auto", "cg", "minres"])
@pytest.mark.parametrize("columns", [None, 3])
def test_inverse_products_solve(method, columns):
    matrix = with_spectrum(np.linspace(0.1, 3.0, 120))
    b = np.random.default_rng(0).standard_normal(120 if columns is None else (120, columns))
    solved = inverse_product(aslinearoperator(matrix), b, damping=0.2, method=method)
    assert_allclose(solved.value, np.linalg.solve(matrix + 0.2 * np.eye(120), b), atol=1e-6)
    assert np.all(solved.residuals <= 1.1e-8)
    assert solved.success


def test_inverse_products_of_indefinite_operators():
    matrix = with_spectrum(np.concatenate([np.linspace(-2.0, -0.5, 40), np.linspace(0.5, 3.0, 80)]))
    b = np.random.default_rng(0).standard_normal((120, 2))
    solved = inverse_product(aslinearoperator(matrix), b)
    assert "minres" in solved.method
    assert_allclose(solved.value, np.linalg.solve(matrix, b), atol=1e-6)
    with pytest.raises(OptionError, match="negative curvature"):
        inverse_product(matrix, b, method="cg")


def test_inverse_products_within_a_budget_say_how_far_they_came():
    matrix = with_spectrum(np.geomspace(1e-6, 1.0, 200))
    solved = inverse_product(aslinearoperator(matrix), np.ones(200), max_hvp=20)
    assert not solved.success
    assert solved.n_hvp <= 20
    rest = np.linalg.norm(matrix @ solved.value - 1.0) / np.sqrt(200.0)
    assert float(solved.residuals) == pytest.approx(rest, rel=1e-6)
    with pytest.raises(ConvergenceError, match="relative residual"):
        inverse_product(np.diag([1.0, 0.0]), np.ones(2))
    assert inverse_product(np.eye(3), np.zeros(3)).value.tolist() == [0.0, 0.0, 0.0]


def test_leverages_are_the_diagonal_of_the_hat_matrix():
    X = np.random.default_rng(1).standard_normal((40, 5))
    J = hs.JacobianOperator(lambda w: X @ w, np.zeros(5))
    for rows in (X, J):
        found = leverage(X.T @ X, rows)
        assert_allclose(found.value, np.diag(X @ np.linalg.solve(X.T @ X, X.T)), atol=1e-7)
        assert found.value.sum() == pytest.approx(5.0, abs=1e-6)


def test_influence_predicts_leaving_one_out():
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((400, 4)), rng.standard_normal(400)
    fit = np.linalg.lstsq(X, y, rcond=None)[0]
    target = np.array([1.0, 0.0, -1.0, 0.5])
    J = hs.JacobianOperator(lambda w: 0.5 * (X @ w - y) ** 2, fit)
    found = influence(X.T @ X, J, target)
    i = int(found.largest(1)[0])
    without = np.linalg.lstsq(np.delete(X, i, 0), np.delete(y, i), rcond=None)[0]
    h = leverage(X.T @ X, X[i : i + 1]).value[0]
    # For least squares the change is the influence by 1 - h, exactly.
    assert -found.value[i] / (1.0 - h) == pytest.approx(target @ (without - fit), rel=1e-6)
    assert influence(X.T @ X, J, np.eye(4)).value.shape == (400, 4)


def test_spectra_of_blocks():
    x = [{"W": np.linspace(0.1, 1.0, 6).reshape(2, 3), "b": np.ones(3)}, np.linspace(1.0, 2.0, 90)]

    def f(p: Any) -> Any:
        return np.sum(p[0]["W"] ** 4) * p[0]["b"][0] + np.sum(p[1] ** 3) + np.sum(p[0]["b"] ** 2)

    H = hs.HessianOperator(f, x)
    dense = H.to_dense()
    parts = block_spectra(H, k=2)
    assert list(parts) == ["[0]['W']", "[0]['b']", "[1]"]
    start = 0
    for part in parts.values():
        values = np.linalg.eigvalsh(dense[start : start + part.size, start : start + part.size])
        assert_allclose(part.lowest.values, values[: len(part.lowest.values)], atol=1e-8)
        assert_allclose(part.highest.values, values[-len(part.highest.values) :], atol=1e-8)
        assert abs(part.trace.value - values.sum()) <= 4.0 * part.trace.standard_error + 1e-9
        start += part.size
    assert start == 99
    assert list(block_spectra(H, depth=1)) == ["[0]", "[1]"]
    assert block_spectra(dense, {"first": slice(0, 6)})["first"].size == 6
    with pytest.raises(OptionError, match="structure of x"):
        block_spectra(dense)


@pytest.mark.parametrize("estimator", [trace, frobenius_norm, logdet, inertia, diagonal])
def test_operators_that_are_not_symmetric_or_not_finite_are_noticed(estimator):
    matrix = np.random.default_rng(0).standard_normal((100, 100)) + 20.0 * np.eye(100)
    with pytest.raises(OptionError, match="not symmetric"):
        estimator(aslinearoperator(matrix), 40)
    with pytest.raises(OptionError, match="not symmetric"):
        estimator(matrix, 40)
    H = LinearOperator((100, 100), matvec=lambda v: np.full(100, np.inf), dtype=float)
    with pytest.raises(NonFiniteError, match="NaN or inf"):
        estimator(H, 40)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
@pytest.mark.parametrize("estimator", [trace, frobenius_norm, diagonal])
def test_estimates_scale_with_the_operator(estimator, scale):
    matrix = with_spectrum(np.linspace(0.5, 3.0, 150))
    plain, scaled = estimator(aslinearoperator(matrix), 60), estimator(aslinearoperator(scale * matrix), 60)
    assert_allclose(scaled.value / scale, plain.value, rtol=1e-10)
    assert_allclose(scaled.standard_error / scale, plain.standard_error, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("estimator", [trace, frobenius_norm, logdet, inertia])
def test_numbers_whose_squares_overflow_are_refused(estimator, scale):
    matrix = with_spectrum(np.linspace(0.5, 3.0, 150))
    with pytest.raises(NonFiniteError, match="squares leave float64"):
        estimator(aslinearoperator(scale * matrix), 60)


@pytest.mark.parametrize("estimator", [trace, frobenius_norm, logdet, inertia, diagonal])
def test_order_zero_and_one(estimator):
    with pytest.raises(ShapeMismatchError, match="order 0"):
        estimator(np.zeros((0, 0)))
    for H in (np.array([[4.0]]), aslinearoperator(np.array([[4.0]]))):
        found = estimator(H)
        expected = {"logdet": np.log(4.0)}.get(estimator.__name__, 4.0)
        value = found.positive * 4.0 if estimator is inertia else np.ravel(found.value)[0]
        assert value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("estimator", "max_hvp"), [(trace, 1), (frobenius_norm, 5), (logdet, 7), (inertia, 7), (diagonal, 5), (trace, 0)]
)
def test_budgets_too_small_are_refused(estimator, max_hvp):
    with pytest.raises(OptionError, match=r"Pass (max_hvp|at least)|expected an integer >= "):
        estimator(aslinearoperator(np.eye(100)), max_hvp)


@pytest.mark.parametrize("method", ["hutch++", "xtrace"])
def test_methods_with_too_few_products_are_refused(method):
    with pytest.raises(OptionError, match="no standard error below 6"):
        trace(aslinearoperator(np.eye(100)), 5, method=method)
    with pytest.raises(OptionError, match="exact results take 100"):
        trace(aslinearoperator(np.eye(100)), 5, method="exact")
    with pytest.raises(OptionError, match="method is 'other'"):
        trace(np.eye(3), method="other")


@pytest.mark.parametrize("estimator", [trace, frobenius_norm, logdet, diagonal])
def test_float32_and_seeds(estimator):
    matrix = (with_spectrum(np.linspace(1.0, 2.0, 150))).astype(np.float32)
    H = aslinearoperator(matrix)
    first, second = estimator(H, 40, rng=3), estimator(H, 40, rng=np.random.default_rng(3))
    assert_array_equal(first.value, second.value)
    exact = estimator(matrix.astype(np.float64))
    assert np.all(np.abs(first.value - exact.value) <= 6.0 * first.standard_error)
    if estimator is diagonal:
        assert first.value.dtype == np.float32
    assert "products)" in repr(first)


def test_intervals_of_estimates():
    estimate = Estimate("trace", 1.0, 0.1, 5, "hutchinson", 4.0)
    low, high = estimate.interval(0.9)
    assert high - low == pytest.approx(
        2.0 * 0.1 * stats.t.ppf(0.95, 4.0) / (stats.t.ppf(stats.norm.cdf(3.0), 4.0) / 3.0)
    )
    assert float(estimate) == 1.0
    with pytest.raises(OptionError, match="level"):
        estimate.interval(1.0)
    with pytest.raises(OptionError, match="damping"):
        logdet(np.eye(3), damping=-1.0)


def test_what_a_sketch_holds_is_exact_in_a_diagonal():
    B = np.random.default_rng(3).standard_normal((60, 3))
    found = diagonal(aslinearoperator(B @ B.T), 36, method="regression")
    assert_allclose(found.value, np.sum(B * B, axis=1), rtol=1e-6, atol=1e-8)


def test_the_trace_of_the_identity_is_exact():
    found = trace(aslinearoperator(np.eye(40)), 12, method="xtrace")
    assert_allclose(found.value, 40.0, rtol=1e-12)
