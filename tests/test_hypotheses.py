"""Tests of hypotheses and second-order intervals, against closed forms and statsmodels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from scipy import special, stats

import hessian as hs
from hessian.errors import ConvergenceError, OptionError, ScaleWarning, ShapeMismatchError
from hessian.optimize import least_squares, minimize
from hessian.statistics import delta_method, likelihood_ratio_test, wald_test
from hessian.statistics.quadratic_forms import _imhof, distribution, quantile

TIGHT = {"gtol": 1e-9}


def counts(rows: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(rows), rng.normal(size=(rows, 3))])
    mean = np.exp(X @ np.array([0.8, 0.3, -0.1, 0.0]))
    return X, rng.poisson(rng.gamma(2.0, mean / 2.0)).astype(float)


def poisson(b: Any, X: np.ndarray, y: np.ndarray) -> Any:
    eta = X @ b
    return np.sum(np.exp(eta) - y * eta + special.gammaln(y + 1.0))


def negative_binomial(p: Any, X: np.ndarray, y: np.ndarray) -> Any:
    eta, r = X @ p["beta"], np.exp(-p["log_alpha"])
    terms = special.gammaln(y + r) - special.gammaln(r) - special.gammaln(y + 1.0) + r * np.log(r) + y * eta
    return -np.sum(terms - (y + r) * np.log(r + np.exp(eta)))


def test_poisson_regression_as_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    X, y = counts()
    big = minimize(poisson, np.zeros(4), (X, y), options=TIGHT)
    small = minimize(poisson, big.x, (X, y), fixed={"x[2:]": 0.0}, options=TIGHT)
    theirs, nested = (sm.Poisson(y, Z).fit(disp=0, method="newton", tol=1e-14) for Z in (X, X[:, :2]))
    ratio = likelihood_ratio_test(big, small)
    expected = 2.0 * (theirs.llf - nested.llf)
    np.testing.assert_allclose(ratio.statistic, expected, rtol=1e-8)
    np.testing.assert_allclose(ratio.pvalue, stats.chi2.sf(expected, 2), rtol=1e-8)
    assert (ratio.df, ratio.distribution, ratio.kind) == (2, "chi2", "likelihood ratio")
    R = np.array([[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, -1.0]])
    for r in (0.0, np.array([0.1, -0.2])):
        ours, reference = wald_test(big, R, r), theirs.wald_test((R, np.broadcast_to(r, 2)), scalar=True)
        np.testing.assert_allclose(ours.statistic, reference.statistic, rtol=1e-8)
        np.testing.assert_allclose(ours.pvalue, reference.pvalue, rtol=1e-8)
        assert ours.df == 2


def test_negative_binomial_as_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    X, y = counts()
    f = hs.record(negative_binomial)
    start = {"beta": np.zeros(4), "log_alpha": 0.0}
    big = minimize(f, start, (X, y), options=TIGHT)
    small = minimize(f, start, (X, y), fixed={"beta[3]": 0.0}, options=TIGHT)
    fits = [sm.NegativeBinomial(y, Z).fit(disp=0, method="newton", tol=1e-14, maxiter=200) for Z in (X, X[:, :3])]
    expected = 2.0 * (fits[0].llf - fits[1].llf)
    np.testing.assert_allclose(likelihood_ratio_test(big, small).statistic, expected, rtol=1e-8)
    R = np.eye(5)[1:3]
    np.testing.assert_allclose(wald_test(big, R).statistic, fits[0].wald_test(R, scalar=True).statistic, rtol=1e-8)
    np.testing.assert_allclose(wald_test(big, "beta[1:3]").statistic, wald_test(big, R).statistic)


def test_linear_regression_as_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    X, y = counts()
    big = least_squares(lambda b: X @ b - y, np.zeros(4))
    small = least_squares(lambda b: X @ b - y, np.zeros(4), fixed=["x[2:]"])
    theirs, nested = sm.OLS(y, X).fit(), sm.OLS(y, X[:, :2]).fit()
    statistic, pvalue, df = theirs.compare_f_test(nested)
    ours = likelihood_ratio_test(big, small)
    np.testing.assert_allclose((ours.statistic, ours.pvalue), (statistic, pvalue), rtol=1e-8)
    assert ours.df == (int(df), len(y) - 4)
    assert repr(ours).startswith("<HypothesisTest likelihood ratio: F(2, 116) = ")
    R = np.eye(4)[2:]
    reference = theirs.wald_test(R, scalar=True)
    for how in (R, "x[2:]", {"x[2:]": 0.0}, lambda b: b[2:]):
        ours = wald_test(big, how)
        np.testing.assert_allclose((ours.statistic, ours.pvalue), (reference.statistic, reference.pvalue), rtol=1e-8)
        assert ours.df == (2, 116)


def test_means_in_place_of_sums() -> None:
    X, y = counts()
    mean = lambda b: poisson(b, X, y) / len(y)
    big, small = minimize(mean, np.zeros(4), options=TIGHT), minimize(mean, np.zeros(4), fixed=["x[3]"], options=TIGHT)
    summed = [minimize(poisson, np.zeros(4), (X, y), fixed=fixed, options=TIGHT) for fixed in (None, ["x[3]"])]
    np.testing.assert_allclose(
        likelihood_ratio_test(big, small, scale=len(y)).statistic, likelihood_ratio_test(*summed).statistic, rtol=1e-9
    )
    with pytest.warns(ScaleWarning, match="pass scale=120"):
        likelihood_ratio_test(big, small)


def test_constraints_count_as_conditions() -> None:
    X, y = counts()
    big = minimize(poisson, np.zeros(4), (X, y), options=TIGHT)
    tie = scipy.optimize.LinearConstraint([[0.0, 1.0, -1.0, 0.0]], 0.0, 0.0)
    small = minimize(poisson, np.zeros(4), (X, y), constraints=tie, options={"ftol": 1e-15})
    merged = np.column_stack([X[:, 0], X[:, 1] + X[:, 2], X[:, 3]])
    reference = minimize(poisson, np.zeros(3), (merged, y), options=TIGHT)
    ours = likelihood_ratio_test(big, small)
    assert ours.df == 1
    np.testing.assert_allclose(ours.statistic, 2.0 * (reference.fun - big.fun), rtol=1e-6)


def test_ways_to_say_what_is_tested() -> None:
    X, y = counts()
    start = {"beta": np.zeros(4), "log_alpha": 0.0}
    res = minimize(negative_binomial, start, (X, y), options=TIGHT)
    C = res.covariance()
    expected = (res.x["beta"][1] - 0.2) ** 2 / C.matrix[1, 1]
    for how, r in (
        ("beta[1]", 0.2),
        (("beta", 1), 0.2),
        (["beta[1]"], [0.2]),
        ({"beta[1]": 0.2}, 0.0),
        (np.eye(5)[1], 0.2),
        (lambda p: p["beta"][1], 0.2),
    ):
        for source in (res, C):
            np.testing.assert_allclose(wald_test(source, how, r).statistic, expected)
    both = wald_test(C, ["beta[1]", "log_alpha"])
    assert both.df == 2
    ratio = wald_test(C, lambda p: p["beta"][1] / p["beta"][2], -3.0)
    gap = res.x["beta"][1] / res.x["beta"][2] + 3.0
    slopes = np.array([0.0, 1.0 / res.x["beta"][2], -res.x["beta"][1] / res.x["beta"][2] ** 2, 0.0, 0.0])
    np.testing.assert_allclose(ratio.statistic, gap**2 / (slopes @ C.matrix @ slopes))
    assert "<table>" in ratio._repr_html_()


def test_tests_that_mean_nothing_are_refused() -> None:
    X, y = counts()
    big = minimize(poisson, np.zeros(4), (X, y), options=TIGHT)
    small = minimize(poisson, np.zeros(4), (X, y), fixed=["x[3]"], options=TIGHT)
    with pytest.raises(OptionError, match="free parameters number 3 in big, 4 in small"):
        likelihood_ratio_test(small, big)
    far = minimize(poisson, np.zeros(4), (X, y), options={"maxiter": 1})
    with pytest.raises(ConvergenceError, match="the big model has stopped with status MAX_ITERATIONS"):
        likelihood_ratio_test(far, small)
    worse = minimize(lambda b: poisson(b, X, y) + 1.0, np.zeros(4), options=TIGHT)
    with pytest.raises(ConvergenceError, match="the smaller model fits better"):
        likelihood_ratio_test(worse, small)
    line = least_squares(lambda b: X @ b - y, np.zeros(4))
    robust = least_squares(lambda b: X @ b - y, np.zeros(4), loss="huber")
    for other in (big, robust):
        with pytest.raises(OptionError, match="one result is of least squares"):
            likelihood_ratio_test(other, line)
    full = least_squares(lambda b: X[:4] @ b - y[:4], np.zeros(4))
    part = least_squares(lambda b: X[:4] @ b - y[:4], np.zeros(4), fixed=["x[3]"])
    with pytest.raises(OptionError, match="leaves 0 degrees of freedom"):
        likelihood_ratio_test(full, part)
    with pytest.raises(OptionError, match="scale is 0"):
        likelihood_ratio_test(big, small, scale=0)
    with pytest.raises(ConvergenceError, match="not independent"):
        wald_test(big, [[1.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]])
    with pytest.raises(ConvergenceError, match="about parameters that are held"):
        wald_test(small, "x[3]")
    with pytest.raises(ShapeMismatchError, match="R has shape"):
        wald_test(big, np.ones((1, 3)))
    with pytest.raises(ShapeMismatchError, match="r has shape"):
        wald_test(big, np.eye(4)[:2], [1.0, 2.0, 3.0])
    with pytest.raises(OptionError, match="there is no parameter 'y'"):
        wald_test(big, "y")


def fitted() -> Any:
    X, y = counts()
    return minimize(poisson, np.zeros(4), (X, y), options=TIGHT).covariance()


def test_a_square_at_its_minimum_is_a_quadratic_form() -> None:
    """Mean tr C and spread sqrt(2 tr C^2), exactly."""
    C = fitted()
    derived = delta_method(lambda b: np.sum((b - C.value) ** 2), C)
    np.testing.assert_allclose(derived.mean, np.trace(C.matrix), rtol=1e-10)
    np.testing.assert_allclose(derived.spread, np.sqrt(2.0 * np.trace(C.matrix @ C.matrix)), rtol=1e-10)
    low, high = derived.interval(0.9)
    assert low == derived.value
    np.testing.assert_allclose(distribution(high - derived.value, np.linalg.eigvalsh(C.matrix)), 0.9, rtol=1e-9)
    # In units of standard errors it is chi-square.
    inverse = np.linalg.inv(C.matrix)
    distance = delta_method(lambda b: (b - C.value) @ inverse @ (b - C.value), C)
    np.testing.assert_allclose(distance.interval(0.95)[1], stats.chi2.ppf(0.95, 4), rtol=1e-8)
    negative = delta_method(lambda b: -((b - C.value) @ inverse @ (b - C.value)), C)
    np.testing.assert_allclose(negative.interval(0.95), (-stats.chi2.ppf(0.95, 4), 0.0), rtol=1e-8)


def test_a_saddle_has_an_interval_to_both_sides() -> None:
    C = fitted()
    root = np.linalg.inv(C.root)
    signs = np.array([1.0, 1.0, -1.0, -1.0])
    derived = delta_method(lambda b: np.sum(signs * (root @ (b - C.value)) ** 2), C)
    # The difference of two exponential variables of mean 2.
    end = stats.laplace.ppf(0.975, scale=2.0)
    np.testing.assert_allclose(derived.interval(0.95), (-end, end), rtol=1e-8)
    np.testing.assert_allclose(derived.mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(derived.spread, np.sqrt(8.0), rtol=1e-10)


def test_elsewhere_intervals_are_normal() -> None:
    C = fitted()
    derived = delta_method(lambda b: np.array([np.exp(b[0]), np.sum((b - C.value) ** 2)]), C)
    low, high = derived.interval(0.95)
    np.testing.assert_allclose(high[0] - low[0], 2.0 * 1.959963984540054 * derived.standard_error[0])
    assert low[1] == derived.value[1]
    h = np.exp(C.value[0]) * C.matrix[0, 0]
    np.testing.assert_allclose(derived.spread[0] ** 2, derived.standard_error[0] ** 2 + 0.5 * h**2)
    flat = delta_method(lambda b: np.sum((b - C.value) ** 4), C)
    assert np.isinf(flat.interval()[1])
    assert dataclasses.is_dataclass(derived)


@pytest.mark.parametrize("p", [0.001, 0.05, 0.5, 0.9, 0.999])
def test_laws_of_quadratic_forms(p: float) -> None:
    """Against closed forms: chi-square, sums and differences of exponential variables."""
    np.testing.assert_allclose(_imhof(stats.chi2.ppf(p, 30), np.ones(30)), p, rtol=1e-6)
    for r in (1, 2, 3, 7, 20, 30):
        np.testing.assert_allclose(quantile(p, np.full(r, 0.3)), 0.3 * stats.chi2.ppf(p, r), rtol=1e-9)
    a, b = 2.0, 0.5
    x = quantile(p, np.array([a, a, b, b]))
    tail = (a * np.exp(-x / (2 * a)) - b * np.exp(-x / (2 * b))) / (a - b)
    np.testing.assert_allclose(1.0 - tail, p, rtol=1e-8)
    y = quantile(p, np.array([a, a, -b, -b, 1e-16]))
    exact = 1.0 - a / (a + b) * np.exp(-y / (2 * a)) if y > 0 else b / (a + b) * np.exp(y / (2 * b))
    np.testing.assert_allclose(exact, p, rtol=1e-7)
    np.testing.assert_allclose(quantile(1.0 - p, np.array([-a, -a])), -a * stats.chi2.ppf(p, 2), rtol=1e-9)
    many = np.concatenate([np.ones(25), -np.ones(25)])
    np.testing.assert_allclose(quantile(p, many), -quantile(1.0 - p, many), atol=1e-6)
    assert distribution(-1e6, np.array([a, -b])) == 0.0
    one, other = np.array([1.0, 0.2, 0.7]), np.random.default_rng(0).normal(size=(200_000, 3)) ** 2
    share = np.mean(other @ one <= quantile(p, one))
    assert abs(share - p) < 5.0 * np.sqrt(p * (1.0 - p) / len(other))
