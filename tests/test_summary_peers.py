"""Tables of fits written in plain NumPy against those of statsmodels: every covariance, test and interval, and the likelihood."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

from hessian.optimize import least_squares, minimize
from hessian.statistics import Summary, covariance

sm = pytest.importorskip("statsmodels.api")

rng = np.random.default_rng(3)
N = 240
X = np.column_stack([np.ones(N), rng.normal(size=(N, 2))])
GROUP = rng.integers(0, 25, N)
NORMAL = X @ [1.0, 0.5, -0.3] + rng.normal(size=N) * (1.0 + 0.5 * np.abs(X[:, 1]))
BINARY = (rng.random(N) < special.expit(X @ [0.2, 1.0, -0.5])).astype(float)
COUNT = rng.poisson(np.exp(X @ [0.5, 0.4, -0.2])).astype(float)
SPREAD = rng.negative_binomial(2, 2.0 / (2.0 + np.exp(X @ [0.8, 0.4, -0.2]))).astype(float)
LEVEL = np.digitize(X[:, 1:] @ [1.0, -0.6] + rng.logistic(size=N), [-1.0, 0.5, 1.5])
NEWTON = {"method": "newton", "tol": 1e-14, "maxiter": 200}


def quietly(fit: Callable[..., Any], **options: Any) -> Any:
    """Fit without what the package says of its options and of its iterations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(**options)


def assert_same(table: Summary, fit: Any, tolerance: float = 1e-8) -> None:
    """All that both have, tests and intervals relative to standard errors."""
    matrix, error = np.asarray(fit.cov_params()), np.asarray(fit.bse)
    assert_allclose(table.covariance.matrix, matrix, rtol=0, atol=tolerance * np.max(np.abs(matrix)))
    assert_allclose(table.standard_error, error, rtol=tolerance)
    assert_allclose(table.statistic, fit.tvalues, rtol=tolerance, atol=tolerance)
    assert_allclose(table.pvalue, fit.pvalues, rtol=1e3 * tolerance, atol=tolerance**2)
    ends = np.column_stack(table.interval(0.9)) - np.asarray(fit.conf_int(0.1))
    assert np.max(np.abs(ends) / error[:, None]) < tolerance
    for mine, theirs in ((table.log_likelihood, fit.llf), (table.aic, fit.aic), (table.bic, fit.bic)):
        assert_allclose(mine, theirs, rtol=1e-8)


KINDS = ["HC0", "HC1", "HC2", "HC3", "cluster"]


@pytest.mark.parametrize("kind", ["expected", *KINDS])
def test_linear_regression(kind: str) -> None:
    res = least_squares(lambda b: X @ b - NORMAL, np.zeros(3))
    more = {"cov_kwds": {"groups": GROUP}} if kind == "cluster" else {}
    fit = sm.OLS(NORMAL, X).fit(cov_type="nonrobust" if kind == "expected" else kind, **more)
    table = res.summary(kind, groups=GROUP if kind == "cluster" else None)
    assert_same(table, fit)
    assert (table.n_obs, table.covariance.degrees_of_freedom) == (N, N - 3 if kind == "expected" else np.inf)


def test_linear_regression_with_weights() -> None:
    weight = np.exp(X[:, 1])
    res = least_squares(lambda b: np.sqrt(weight) * (X @ b - NORMAL), np.zeros(3))
    for kind in ("expected", "HC0", "HC3"):
        fit = sm.WLS(NORMAL, X, weights=weight).fit(cov_type="nonrobust" if kind == "expected" else kind)
        table = res.summary(kind)
        assert_allclose(table.covariance.matrix, fit.cov_params(), rtol=1e-8)
        assert_allclose(table.pvalue, fit.pvalues, rtol=1e-8)
        # The logarithms of the weights are constants that residuals do not have.
        assert_allclose(table.log_likelihood + 0.5 * np.sum(np.log(weight)), fit.llf, rtol=1e-10)


def logit(w: Any) -> Any:
    return np.logaddexp(0.0, X @ w) - BINARY * (X @ w)


def probit(w: Any) -> Any:
    return -special.log_ndtr(np.where(BINARY > 0.0, 1.0, -1.0) * (X @ w))


def poisson(w: Any) -> Any:
    return np.exp(X @ w) - COUNT * (X @ w) + special.gammaln(COUNT + 1.0)


def negative_binomial(p: Any) -> Any:
    mean, size = np.exp(X @ p[:3]), 1.0 / p[3]
    terms = special.gammaln(SPREAD + size) - special.gammaln(size) - special.gammaln(SPREAD + 1.0)
    return -(terms + size * np.log(size / (size + mean)) + SPREAD * np.log(mean / (size + mean)))


def ordered_logit(p: Any) -> Any:
    edges = np.cumsum(np.stack([p[2], np.exp(p[3]), np.exp(p[4])]))
    below = special.expit(edges - (X[:, 1:] @ p[:2])[:, None])
    up = np.concatenate([below, np.ones((N, 1))], axis=1)
    low = np.concatenate([np.zeros((N, 1)), below], axis=1)
    return -np.log((up - low)[np.arange(N), LEVEL])


def ordered_model() -> Any:
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    return OrderedModel(LEVEL, X[:, 1:], distr="logit")


START = np.array([0.5, 0.0, 0.0, 0.5])
MODELS = {
    "logit": (logit, np.zeros(3), lambda: sm.Logit(BINARY, X), NEWTON, 1e-8),
    "probit": (probit, np.zeros(3), lambda: sm.Probit(BINARY, X), NEWTON, 1e-8),
    "Poisson": (poisson, np.zeros(3), lambda: sm.Poisson(COUNT, X), NEWTON, 1e-8),
    "negative binomial": (
        negative_binomial,
        START,
        lambda: sm.NegativeBinomial(SPREAD, X),
        {**NEWTON, "start_params": START},
        1e-8,
    ),
    # Its Hessian and scores are by differences.
    "ordered logit": (
        ordered_logit,
        np.array([0.0, 0.0, -1.0, 0.0, 0.0]),
        ordered_model,
        {"method": "bfgs", "gtol": 1e-10, "maxiter": 1000},
        1e-5,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_chances_and_counts(name: str) -> None:
    terms, start, make, options, tolerance = MODELS[name]
    res = minimize(lambda w: np.sum(terms(w)), start, method="newton", options={"gtol": 1e-10})
    for kind in ("observed", "HC0", "cluster"):
        more = {"cov_kwds": {"groups": GROUP}} if kind == "cluster" else {}
        fit = quietly(make().fit, disp=0, cov_type="nonrobust" if kind == "observed" else kind, **more, **options)
        table = res.summary(kind, n_obs=N, per_example=terms, groups=GROUP if kind == "cluster" else None)
        assert_same(table, fit, tolerance)
    # By a mean with its scale, the same.
    mean = minimize(lambda w: np.mean(terms(w)), res.x, method="newton", options={"gtol": 1e-13}).summary(
        n_obs=N, scale=N
    )
    assert_allclose(mean.bic, table.bic, rtol=1e-12)
    assert_allclose(mean.standard_error, res.summary().standard_error, rtol=1e-9)


def linear(w: Any) -> Any:
    return X @ w


DISPERSION = 0.4


def known_dispersion(w: Any) -> Any:
    return negative_binomial(np.concatenate([w, np.array([DISPERSION])]))


def of_known_dispersion(w: Any) -> Any:
    return np.stack([X @ w, np.full(N, np.log(DISPERSION))], axis=1)


@pytest.mark.parametrize(
    ("terms", "y", "family", "model", "likelihood"),
    [
        (logit, BINARY, lambda: sm.families.Binomial(), linear, "bernoulli"),
        (probit, BINARY, lambda: sm.families.Binomial(sm.families.links.Probit()), linear, "probit"),
        (poisson, COUNT, lambda: sm.families.Poisson(), linear, "poisson"),
        (
            known_dispersion,
            SPREAD,
            lambda: sm.families.NegativeBinomial(sm.families.links.Log(), alpha=DISPERSION),
            of_known_dispersion,
            "negative_binomial",
        ),
    ],
    ids=["logit", "probit", "Poisson", "negative binomial"],
)
def test_expected_information_of_generalised_linear_models(terms, y, family, model, likelihood) -> None:
    res = minimize(lambda w: np.sum(terms(w)), np.zeros(3), method="newton", options={"gtol": 1e-10})
    fit = quietly(sm.GLM(y, X, family=family()).fit, tol=1e-14, tol_criterion="params")
    table = res.summary("expected", n_obs=N, model=model, likelihood=likelihood)
    # Its `bic` is that of the deviance.
    matrix = np.asarray(fit.cov_params())
    assert_allclose(table.covariance.matrix, matrix, rtol=0, atol=1e-8 * np.max(np.abs(matrix)))
    assert_allclose(table.pvalue, fit.pvalues, rtol=1e-6)
    assert_allclose((table.log_likelihood, table.aic, table.bic), (fit.llf, fit.aic, fit.bic_llf), rtol=1e-8)
    # The mean with its scale has the same.
    mean = minimize(lambda w: np.mean(terms(w)), res.x, options={"gtol": 1e-12})
    again = mean.summary("expected", n_obs=N, scale=N, model=model, likelihood=likelihood)
    assert_allclose(again.standard_error, table.standard_error, rtol=1e-9)
    assert_allclose(again.bic, table.bic, rtol=1e-10)


def test_mixed_linear_model() -> None:
    families, size, rng = 15, 8, np.random.default_rng(5)
    group = np.repeat(np.arange(families), size)
    n = len(group)
    design = X[:n, :2]
    y = design @ [1.0, 0.5] + 0.9 * rng.normal(size=families)[group] + 0.6 * rng.normal(size=n)
    fit = quietly(sm.MixedLM(y, design, groups=group).fit, reml=False, method="bfgs", gtol=1e-12, maxiter=2000)
    rows, Z = y.reshape(families, size), design.reshape(families, size, 2)

    def nll(p: Any) -> Any:
        # The variance s (I + a 1 1') of a family, its inverse and determinant in closed form.
        r, a = rows - Z @ p["beta"], p["ratio"]
        squares = np.sum(r**2) - a / (1.0 + size * a) * np.sum(np.sum(r, axis=1) ** 2)
        log_volume = n * p["log_s"] + families * np.log1p(size * a)
        return 0.5 * (n * np.log(2.0 * np.pi) + log_volume + squares * np.exp(-p["log_s"]))

    res = minimize(nll, {"beta": np.zeros(2), "ratio": 1.0, "log_s": 0.0}, options={"gtol": 1e-10})
    table = res.summary(n_obs=n)
    assert_allclose((table.log_likelihood, table.aic, table.bic), (fit.llf, fit.aic, fit.bic), rtol=1e-8)
    assert_allclose([*table.standard_error["beta"], table.standard_error["ratio"]], fit.bse, rtol=1e-6)
    # At its own optimum, which its optimiser has to some eight digits.
    point = {"beta": fit.fe_params, "ratio": fit.params[2], "log_s": np.log(fit.scale)}
    assert_allclose(covariance(nll, point).matrix[:3, :3], fit.cov_params(), rtol=0, atol=1e-8)
