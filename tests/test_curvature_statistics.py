"""Statistics of an optimum: covariances, weak directions, the delta method, Laplace's approximation."""

from __future__ import annotations

import copy
import pickle
from collections import namedtuple
from typing import Any

import nist
import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.arguments import takes
from hessian.errors import (
    ConvergenceError,
    NonFiniteError,
    NotScalarError,
    OptionError,
    ShapeMismatchError,
)
from hessian.operators.likelihoods import LIKELIHOODS
from hessian.optimize import OptimizeResult, minimize
from hessian.optimize.least_squares import least_squares
from hessian.statistics.covariance import covariance, least_squares_covariance
from hessian.statistics.delta import delta_method
from hessian.statistics.information import WEAK, describe_combination
from hessian.statistics.laplace import laplace
from hessian.tape.names import parameter_names

TIGHT = {"gtol": 1e-10}


def logistic(seed: int, rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Inputs with a column of ones, and labels 0 and 1."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(rows), rng.standard_normal((rows, 3))])
    p = 1.0 / (1.0 + np.exp(-X @ np.array([0.3, 1.0, -0.7, 0.2])))
    return X, (rng.random(rows) < p).astype(float)


def log_loss(w: Any, X: np.ndarray, y: np.ndarray) -> Any:
    """Terms of the negative log-likelihood of a logistic regression."""
    return np.logaddexp(0.0, X @ w) - y * (X @ w)


# Against closed forms.


@pytest.mark.parametrize("seed", range(3))
def test_logistic_regression(seed: int) -> None:
    X, y = logistic(seed)
    res = minimize(lambda w: np.sum(log_loss(w, X, y)), np.zeros(4), options=TIGHT)
    p = 1.0 / (1.0 + np.exp(-X @ res.x))
    bread = np.linalg.inv(X.T @ ((p * (1.0 - p))[:, None] * X))
    observed = res.covariance()
    assert_allclose(observed.matrix, bread, rtol=1e-10)
    assert_allclose(observed.standard_error, np.sqrt(np.diag(bread)), rtol=1e-10)
    # The link is canonical, so that observed and expected information are one.
    expected = res.covariance("expected", model=lambda w: X @ w, likelihood="bernoulli")
    assert_allclose(expected.matrix, bread, rtol=1e-10)
    # The formula of statsmodels' cov_type="HC0".
    scores = X * (p - y)[:, None]
    sandwich = res.covariance("sandwich", per_example=lambda w: log_loss(w, X, y))
    assert_allclose(sandwich.matrix, bread @ scores.T @ scores @ bread, rtol=1e-9)
    assert sandwich.root.shape == (4, 4)
    assert (observed.kind, expected.kind, sandwich.kind) == ("observed", "expected", "sandwich")


def test_a_mean_needs_its_scale() -> None:
    X, y = logistic(0)
    total = minimize(lambda w: np.sum(log_loss(w, X, y)), np.zeros(4), options=TIGHT)
    mean = lambda w: np.mean(log_loss(w, X, y))
    terms = lambda w: log_loss(w, X, y)
    for kind in ("observed", "sandwich"):
        given = {} if kind == "observed" else {"per_example": terms}
        by_mean = covariance(mean, total.x, kind=kind, scale=200.0, **given)
        assert_allclose(by_mean.matrix, total.covariance(kind, **given).matrix, rtol=1e-12)
    with pytest.raises(OptionError, match="mean of the 200 terms") as caught:
        covariance(mean, total.x, kind="sandwich", per_example=terms)
    assert "Pass scale=200" in str(caught.value)


@pytest.mark.parametrize("seed", range(2))
def test_the_sandwich_of_ordinary_least_squares_is_white(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((50, 3))
    y = X @ np.ones(3) + rng.standard_normal(50) * (1.0 + X[:, 0] ** 2)
    res = minimize(lambda b: 0.5 * np.sum((X @ b - y) ** 2), np.zeros(3), options=TIGHT)
    bread, r = np.linalg.inv(X.T @ X), X @ res.x - y
    white = bread @ X.T @ np.diag(r**2) @ X @ bread
    terms = lambda b: 0.5 * (X @ b - y) ** 2
    assert_allclose(res.covariance("sandwich", per_example=terms).matrix, white, rtol=1e-9)
    # Invariant to the scale, as long as the terms are those of the scaled function.
    scaled = res.covariance("sandwich", scale=4.0, per_example=lambda b: 4.0 * terms(b))
    assert_allclose(scaled.matrix, white, rtol=1e-9)
    by_residuals = least_squares_covariance(lambda b: X @ b - y, res.x, kind="sandwich")
    assert_allclose(by_residuals.matrix, white, rtol=1e-9)
    s2 = r @ r / 47
    for kind in ("expected", "observed"):
        assert_allclose(least_squares_covariance(lambda b: X @ b - y, res.x, kind=kind).matrix, s2 * bread, rtol=1e-9)
    known = least_squares_covariance(lambda b: X @ b - y, res.x, scale=1.0 / 4.0)
    assert_allclose(known.matrix, 4.0 * bread, rtol=1e-9)
    gaussian = covariance(
        lambda b: 0.5 * np.sum((X @ b - y) ** 2), res.x, kind="expected", scale=1.0 / s2, model=lambda b: X @ b,
        likelihood="gaussian",
    )  # fmt: skip
    assert_allclose(gaussian.matrix, s2 * bread, rtol=1e-9)


def test_the_sandwich_is_right_where_the_likelihood_is_not() -> None:
    # A Poisson likelihood for counts of four times the variance: its errors are half of what they should be.
    rng = np.random.default_rng(0)
    x = rng.standard_normal(4000)
    mean = np.exp(0.5 + 0.3 * x)
    y = 4.0 * rng.poisson(mean / 4.0)
    terms = lambda b: np.exp(b[0] + b[1] * x) - y * (b[0] + b[1] * x)
    res = minimize(lambda b: np.sum(terms(b)), np.zeros(2))
    ratio = res.covariance("sandwich", per_example=terms).standard_error / res.covariance().standard_error
    assert_allclose(ratio, 2.0, rtol=0.1)
    expected = res.covariance("expected", model=lambda b: b[0] + b[1] * x, likelihood="poisson")
    assert_allclose(expected.matrix, res.covariance().matrix, rtol=1e-9)


@pytest.mark.long
def test_intervals_cover_what_they_say() -> None:
    X, _ = logistic(0)
    truth = np.array([0.3, 1.0, -0.7, 0.2])
    rng = np.random.default_rng(0)
    probabilities = 1.0 / (1.0 + np.exp(-X @ truth))
    hits = np.zeros((2, 4))
    for _ in range(600):
        y = (rng.random(len(X)) < probabilities).astype(float)
        res = minimize(lambda w, y=y: np.sum(log_loss(w, X, y)), np.zeros(4))
        robust = res.covariance("sandwich", per_example=lambda w, y=y: log_loss(w, X, y))
        for row, found in enumerate((res.covariance(), robust)):
            low, high = found.interval(0.9)
            hits[row] += (low <= truth) & (truth <= high)
    # Three standard deviations of a share of 600.
    assert_allclose(hits / 600, 0.9, atol=3.0 * np.sqrt(0.09 / 600))


def _informations() -> dict[str, Any]:
    """Hessians in z of -log p(y | z), by likelihood, with the outcomes and probabilities to average them over."""
    return {
        "gaussian": (lambda z, y: 0.5 * np.sum((z - y) ** 2), [(np.zeros(3), 1.0)]),
        "bernoulli": (lambda z, y: np.sum(np.logaddexp(0.0, z) - y * z), [(np.zeros(3), 1.0)]),
        "poisson": (lambda z, y: np.sum(np.exp(z) - y * z), [(np.zeros(3), 1.0)]),
        "categorical": (lambda z, y: np.log(np.sum(np.exp(z))) - z @ y, [(np.eye(3)[0], 1.0)]),
    }


@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
def test_fisher_information(likelihood: str) -> None:
    rng = np.random.default_rng(1)
    A = rng.standard_normal((5, 3, 2))
    model = lambda w: np.tanh(A @ w)
    w = np.array([0.4, -0.2])
    nll, outcomes = _informations()[likelihood]
    J = hs.jacobian(model)(w)
    information = np.zeros((2, 2))
    for row in range(5):
        for y, probability in outcomes:
            bend = hs.hessian(lambda z, y=y: nll(z, y))(model(w)[row])
            information += probability * J[row].T @ bend @ J[row]
    flat = lambda w: np.sum(0.0 * w)
    found = covariance(flat, w, kind="expected", model=model, likelihood=likelihood)
    assert_allclose(found.matrix, np.linalg.inv(information), rtol=1e-10)


def test_extreme_log_odds_do_not_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        found = covariance(
            lambda w: np.sum(0.0 * w), np.array([3.0]), kind="expected",
            model=lambda w: w * np.array([1.0, 100.0, -1e4]), likelihood="bernoulli",
        )  # fmt: skip
    p = 1.0 / (1.0 + np.exp(-3.0))
    assert_allclose(found.matrix, 1.0 / (p * (1.0 - p)))


# Certified regressions.


@pytest.mark.parametrize("name", nist.NAMES)
def test_nist_standard_deviations(name: str) -> None:
    data = nist.read(name)
    res = least_squares(data.residuals, data.starts[1], method="lm")
    found = least_squares_covariance(data.residuals, res.x)
    assert_allclose(found.standard_error, data.standard_deviations, rtol=5e-7)
    assert_allclose(found.standard_error, res.standard_error, rtol=1e-11)
    assert_allclose(np.asarray(found), found.matrix, rtol=0.0)


def test_results_of_least_squares_have_covariances() -> None:
    data = nist.read("MGH09")
    res = least_squares(data.residuals, data.starts[1])
    for kind in (None, "observed", "sandwich"):
        found = OptimizeResult.covariance(res, kind)
        assert_array_equal(
            found.matrix, least_squares_covariance(data.residuals, res.x, kind=kind or "expected").matrix
        )
    with pytest.raises(OptionError, match="takes neither per_example nor model"):
        OptimizeResult.covariance(res, "sandwich", per_example=data.residuals)
    robust = least_squares(data.residuals, data.starts[1], loss="soft_l1")
    with pytest.raises(OptionError, match="a robust loss is no likelihood"):
        OptimizeResult.covariance(robust)


def test_observed_information_of_mgh09() -> None:
    data = nist.read("MGH09")
    res = least_squares(data.residuals, data.starts[1])
    observed = least_squares_covariance(data.residuals, res.x, kind="observed")
    assert_allclose(observed.standard_error / data.standard_deviations, [0.89, 0.79, 0.98, 0.78], atol=0.006)
    # The same from the likelihood, the variance known.
    cost = lambda b: 0.5 * np.sum(data.residuals(b) ** 2)
    same = covariance(cost, res.x, scale=1.0 / res.residual_std**2)
    assert_allclose(same.matrix, observed.matrix, rtol=1e-9)


@pytest.mark.parametrize("exponent", [-60, 60])
def test_units_do_not_matter(exponent: int) -> None:
    data = nist.read("Rat43")
    res = least_squares(data.residuals, data.starts[1])
    units = 2.0 ** np.array([exponent, 0, -exponent, 3])
    for kind in ("expected", "observed", "sandwich"):
        plain = least_squares_covariance(data.residuals, res.x, kind=kind)
        scaled = least_squares_covariance(lambda b: data.residuals(b * units), res.x / units, kind=kind)
        assert_allclose(scaled.standard_error * units, plain.standard_error, rtol=1e-9)
        assert len(scaled.weak_directions) == len(plain.weak_directions) == 1
        assert_allclose(scaled.weak_directions[0].eigenvalue, plain.weak_directions[0].eigenvalue, rtol=1e-6)


# Results.


def model_terms(p: Any, y: np.ndarray) -> Any:
    """Normal observations with unknown mean and logarithm of the standard deviation."""
    return 0.5 * ((y - p["mean"]) / np.exp(p["log_std"])) ** 2 + p["log_std"]


Y = np.array([0.3, -1.1, 0.8, 0.4, 1.7])
START = {"mean": 0.0, "log_std": np.zeros(())}


def model_nll(p: Any, y: np.ndarray) -> Any:
    return np.sum(model_terms(p, y))


@pytest.mark.parametrize("recorded", [False, True])
def test_results_remember_their_function_and_its_arguments(recorded: bool) -> None:
    fun = hs.record(model_nll) if recorded else model_nll
    res = minimize(fun, START, args=(Y,), options=TIGHT)
    found = res.covariance()
    exact = np.diag([np.var(Y) / 5, 1.0 / 10])
    assert_allclose(found.matrix, exact, atol=1e-9)
    assert sorted(found.standard_error) == ["log_std", "mean"]
    assert_allclose(found.standard_error["mean"], np.std(Y) / np.sqrt(5), rtol=1e-9)
    assert found.names == ("mean", "log_std")
    assert_allclose(found.correlation, np.eye(2), atol=1e-8)
    robust = res.covariance("sandwich", per_example=model_terms, args=(Y,))
    scores = hs.jacobian(lambda v: model_terms({"mean": v[0], "log_std": v[1]}, Y))(found.root @ np.zeros(2) + [
        float(res.x["mean"]), float(res.x["log_std"])])  # fmt: skip
    assert_allclose(robust.matrix, exact @ scores.T @ scores @ exact, atol=1e-9)
    low, high = found.interval(0.9)
    reach = scipy.stats.norm.ppf(0.95) * found.standard_error["mean"]
    assert_allclose([low["mean"], high["mean"]], [res.x["mean"] - reach, res.x["mean"] + reach])


def test_results_that_were_pickled_or_copied_ask_for_the_function() -> None:
    res = minimize(lambda p: model_nll(p, Y), START, options=TIGHT)
    for back in (pickle.loads(pickle.dumps(res)), copy.copy(res), copy.deepcopy(res)):
        assert back.status is res.status
        with pytest.raises(OptionError, match="does not know the function") as caught:
            back.covariance()
        assert "Pass fun=, and args= if it takes any" in str(caught.value)
        for given in (back.covariance(fun=model_nll, args=Y), back.covariance(fun=lambda p: model_nll(p, Y))):
            assert_array_equal(given.matrix, res.covariance().matrix)
    assert "_fun" not in res
    assert "covariance" not in res


def test_functions_get_the_arguments_of_the_run_if_they_take_them() -> None:
    res = minimize(model_nll, START, args=(Y,), options=TIGHT)
    terms = lambda p, y: 0.5 * ((y - p["mean"]) / np.exp(p["log_std"])) ** 2 + p["log_std"]
    ways = [
        {"per_example": terms},
        {"per_example": lambda p: terms(p, Y)},
        {"per_example": terms, "fun": model_nll},
        {"per_example": lambda p: terms(p, Y), "fun": hs.record(model_nll)},
        {"per_example": lambda p: terms(p, Y), "fun": lambda p: model_nll(p, Y)},
    ]
    first, *rest = (res.covariance("sandwich", **way).matrix for way in ways)
    for other in rest:
        assert_allclose(other, first, rtol=1e-12)
    assert_allclose(res.summary(fun=model_nll).aic, res.summary().aic)
    intervals = res.confidence_intervals("profile", fun=model_nll)
    assert_array_equal(intervals, res.confidence_intervals("profile"))
    back = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(res))))
    for call in (back.covariance, back.summary, lambda fun: back.confidence_intervals("profile", fun=fun)):
        with pytest.raises(
            OptionError, match=r"model_nll takes more than x, and args= is not given\. The run had 1 further argument,"
        ):
            call(fun=model_nll)
    with pytest.raises(OptionError, match="takes more than x"):
        back.covariance("sandwich", fun=lambda p: model_nll(p, Y), per_example=terms)
    assert_array_equal(back.covariance(fun=model_nll, args=(Y,)).matrix, res.covariance().matrix)
    # A function that does not say what it takes is called.
    assert takes(np.ndarray.item, 1)


def test_results_of_scipys_methods_take_the_function() -> None:
    res = minimize(model_nll, START, args=(Y,), method="BFGS", options={"gtol": 1e-8})
    assert_allclose(res.covariance(fun=model_nll, args=(Y,)).matrix[0, 0], np.var(Y) / 5, rtol=1e-6)


def test_results_keep_no_recording_alive() -> None:
    res = minimize(hs.record(model_nll), START, args=(Y,))
    plain = minimize(lambda p: model_nll(p, Y), START)
    assert not isinstance(plain.__dict__["_source"][0], hs.RecordedFunction)
    assert list(res.__dict__) == ["_source", "_objective"]
    assert not isinstance(plain.__dict__["_objective"][0], hs.RecordedFunction)


def test_single_precision() -> None:
    X, y = logistic(0)
    double = minimize(lambda w: np.sum(log_loss(w, X, y)), np.zeros(4))
    X32, y32 = X.astype(np.float32), y.astype(np.float32)
    single = minimize(lambda w: np.sum(log_loss(w, X32, y32)), np.zeros(4, np.float32)).covariance()
    assert_allclose(single.matrix, double.covariance().matrix, rtol=1e-3)
    assert single.standard_error.dtype == np.float64


def test_the_report() -> None:
    res = minimize(lambda p: model_nll(p, Y), START, options=TIGHT)
    assert repr(res.covariance()).splitlines() == [
        "Covariance of 2 parameters, observed",
        "  mean           0.42 ± 0.41",
        "  log_std  -0.0982508 ± 0.32",
    ]
    many = covariance(lambda x: 0.5 * np.sum(x**2), np.zeros(20))
    assert repr(many).splitlines()[-1] == "  ... 8 more"


# Weak and undetermined directions.


def test_weak_directions_are_named() -> None:
    def nll(p: Any) -> Any:
        along, across = p["layers"][0]["W"][1, 0] + p["bias"], p["layers"][0]["W"][1, 0] - p["bias"]
        return (
            0.5 * (np.sum(p["layers"][0]["W"][0] ** 2) + along**2 + 1e-4 * across**2)
            + 0.5 * p["layers"][0]["W"][1, 1] ** 2
        )

    found = covariance(nll, {"layers": [{"W": np.zeros((2, 2))}], "bias": 0.0})
    (weak,) = found.weak_directions
    assert weak.text == "0.71 layers[0].W[1, 0] - 0.71 bias"
    assert_allclose(weak.eigenvalue, 2e-4 / (1.0 + 1e-4), rtol=1e-9)
    assert weak.eigenvalue < WEAK
    assert_allclose(np.abs(weak.vector), [0.0, 0.0, np.sqrt(0.5), 0.0, np.sqrt(0.5)], atol=1e-12)
    assert repr(weak) == "<WeakDirection 0.71 layers[0].W[1, 0] - 0.71 bias: eigenvalue 0.0002>"
    assert "  weak: 0.71 layers[0].W[1, 0] - 0.71 bias (relative information 0.0002)" in repr(found)


def test_a_singular_hessian_names_what_is_undetermined() -> None:
    nll = lambda p: 0.5 * (p["scale"] * 3.0 + p["gain"] - 1.0) ** 2 + 0.5 * p["offset"] ** 2
    res = minimize(nll, {"scale": 0.0, "gain": 0.0, "offset": 1.0})
    with pytest.raises(ConvergenceError, match="Hessian at x is singular to working precision") as caught:
        res.covariance()
    assert "along 0.71 scale - 0.71 gain" in str(caught.value)
    assert "Fix one of these parameters, add data, or add a penalty" in str(caught.value)
    with pytest.raises(ConvergenceError, match=r"Jacobian at x is singular .* along 0\.71"):
        least_squares_covariance(lambda p: (p[0] + p[1]) * np.arange(1.0, 4.0) - 1.0, np.array([0.2, 0.2]))
    with pytest.raises(ConvergenceError, match=r"along 1\.00 x\[1\]"):
        covariance(lambda x: x[0] ** 2, np.zeros(2))
    with pytest.raises(ConvergenceError, match="Fisher information at x is singular"):
        covariance(lambda x: np.sum(0.0 * x), np.ones(2), kind="expected", model=lambda x: x[:1], likelihood="poisson")


def test_a_saddle_or_a_likelihood_of_the_wrong_sign_is_refused() -> None:
    with pytest.raises(ConvergenceError, match=r"negative curvature along 1\.00 x\[1\]") as caught:
        covariance(lambda x: x[0] ** 2 - x[1] ** 2, np.zeros(2))
    assert "check the sign of f" in str(caught.value)


def test_a_point_that_is_no_optimum_is_refused() -> None:
    X, y = logistic(0)
    nll = lambda w: np.sum(log_loss(w, X, y))
    res = minimize(nll, np.zeros(4), options={"maxiter": 1})
    with pytest.raises(ConvergenceError, match="standard errors from the minimum of the quadratic model") as caught:
        res.covariance()
    assert "Minimise with a smaller gtol" in str(caught.value)
    # A thousandth of a standard error away is no matter.
    best = minimize(nll, np.zeros(4), options=TIGHT)
    near = best.x + 1e-3 * best.covariance().standard_error
    assert_allclose(covariance(nll, near).matrix, best.covariance().matrix, rtol=1e-2)


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"kind": "hessian"}, OptionError, "kind is 'hessian'. Pass one of 'observed', 'expected', 'sandwich'"),
        ({"scale": 0.0}, OptionError, "scale is 0.0, expected a finite number > 0. It makes f"),
        ({"scale": True}, OptionError, "scale is True"),
        ({"kind": "expected"}, OptionError, "needs the distribution of the data"),
        ({"kind": "sandwich"}, OptionError, "needs the gradient of every example"),
        ({"kind": "sandwich", "per_example": np.sum}, NotScalarError, "Return one term per example"),
        ({"kind": "sandwich", "per_example": lambda x: np.ones((2, 2)) * x}, ShapeMismatchError, "shape (2, 2)"),
        ({"kind": "expected", "model": np.sin, "likelihood": "gama"}, OptionError, "there is no likelihood 'gama'"),
        ({"kind": "expected", "model": np.sin, "likelihood": "categorical"}, ShapeMismatchError, "(rows, k)"),
        ({"kind": "expected", "model": np.sum, "likelihood": "poisson"}, ShapeMismatchError, "array of shape ()"),
        ({"kind": "expected", "model": lambda x: [x], "likelihood": "poisson"}, ShapeMismatchError, "a container"),
    ],
)
def test_bad_arguments(keywords: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        covariance(lambda x: 0.5 * np.sum(x**2), np.zeros(2), **keywords)
    assert text in str(caught.value)


def test_bad_least_squares() -> None:
    with pytest.raises(OptionError, match="2 residuals for 2 parameters leave no degrees of freedom"):
        least_squares_covariance(lambda x: x, np.zeros(2))
    with pytest.raises(OptionError, match="all residuals are zero"):
        least_squares_covariance(lambda x: np.outer(x, [1.0, 2.0]), np.zeros(2))
    known = least_squares_covariance(lambda x: x, np.zeros(2), scale=4.0)
    assert_allclose(known.standard_error, 0.5)
    with pytest.raises(OptionError, match=r"level is 1\.5"):
        known.interval(1.5)


def test_curvature_that_is_not_finite() -> None:
    with pytest.raises(NonFiniteError, match="Hessian at x holds NaN"), np.errstate(all="ignore"):
        covariance(lambda x: np.sum(np.sqrt(x)), np.zeros(2))


def test_names() -> None:
    Pair = namedtuple("Pair", "w b")
    tree = {"head": Pair(np.zeros(2), 0.0), "body": (np.zeros((1, 1)), [])}
    assert parameter_names(tree) == ("head.w[0]", "head.w[1]", "head.b", "body[0][0, 0]")
    assert parameter_names(0.0) == ("x",)
    assert parameter_names([np.zeros(()), {"a": np.zeros(1)}]) == ("x[0]", "x[1].a[0]")
    vector = np.full(100, 0.1)
    assert describe_combination(vector, parameter_names(vector)).endswith("0.10 x[3] + ...")


# The delta method.


@pytest.mark.parametrize("seed", range(3))
def test_delta_method(seed: int) -> None:
    X, y = logistic(seed)
    res = minimize(lambda w: np.sum(log_loss(w, X, y)), np.zeros(4), options=TIGHT)
    found = res.covariance()
    # Odds ratios: exp(w), with standard errors exp(w) se(w) and bias exp(w) var(w) / 2.
    odds = delta_method(np.exp, found)
    assert_allclose(odds.value, np.exp(res.x))
    assert_allclose(odds.standard_error, np.exp(res.x) * found.standard_error, rtol=1e-12)
    assert_allclose(odds.bias, 0.5 * np.exp(res.x) * found.standard_error**2, rtol=1e-10)
    assert_allclose(odds.covariance, np.outer(odds.value, odds.value) * found.matrix, rtol=1e-10)
    # A ratio: var = (V11 - 2 r V12 + r^2 V22) / w2^2.
    ratio = delta_method(lambda w, unit: unit * w[1] / w[2], found, 3.0)
    r, V = res.x[1] / res.x[2], found.matrix
    variance = (V[1, 1] - 2.0 * r * V[1, 2] + r * r * V[2, 2]) / res.x[2] ** 2
    assert_allclose([ratio.value, ratio.standard_error], [3.0 * r, 3.0 * np.sqrt(variance)], rtol=1e-10)


def test_delta_method_by_simulation() -> None:
    # Over repeated samples, the spread of the estimates of a function is what the method says.
    rng = np.random.default_rng(0)
    samples = rng.normal(2.0, 0.5, (2000, 100))
    estimates = np.log(samples.mean(axis=1))
    res = minimize(lambda m: 0.5 * np.sum((samples[0] - m) ** 2) / 0.25, 0.0)
    assert_allclose(delta_method(np.log, res.covariance()).standard_error, estimates.std(), rtol=0.05)


def test_delta_method_keeps_structures() -> None:
    res = minimize(lambda p: model_nll(p, Y), START, options=TIGHT)
    found = delta_method(
        lambda p: {"std": np.exp(p["log_std"]), "both": np.array([p["mean"], p["mean"]])}, res.covariance()
    )
    assert_allclose(found.standard_error["std"], np.exp(res.x["log_std"]) / np.sqrt(10.0), rtol=1e-9)
    assert found.standard_error["both"].shape == found.bias["both"].shape == (2,)
    assert_allclose(found.covariance[1:, 1:], np.var(Y) / 5, rtol=1e-9)
    assert repr(found).startswith(
        "<DerivedQuantity 0.906422 ± 0.29, 0.42 ± 0.41, 0.42 ± 0.41, bias up to 0.16 standard errors"
    )
    # Exact where the function is linear: no bias to speak of.
    linear = delta_method(lambda p: p["mean"], res.covariance())
    assert repr(linear) == "<DerivedQuantity 0.42 ± 0.41>"
    assert linear.bias == 0.0


def test_delta_method_where_the_function_is_not_smooth() -> None:
    found = covariance(lambda x: 0.5 * np.sum(x**2), np.zeros(2))
    with pytest.raises(NonFiniteError, match="f or a derivative of it is not finite"), np.errstate(all="ignore"):
        delta_method(np.sqrt, found)


# Laplace's approximation.


def gaussian_model(seed: int, noise: float) -> tuple[np.ndarray, np.ndarray, Any, Any]:
    """Linear regression: inputs, targets, a negative log-likelihood with its constants, a mode for a prior precision."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((30, 4))
    y = X @ rng.standard_normal(4) + noise * rng.standard_normal(30)
    constant = 0.5 * len(y) * np.log(2.0 * np.pi * noise**2)
    nll = lambda w: 0.5 * np.sum((X @ w - y) ** 2) / noise**2 + constant
    mode = lambda precision, mean: np.linalg.solve(
        X.T @ X / noise**2 + np.diag(precision), X.T @ y / noise**2 + precision * mean
    )
    return X, y, nll, mode


@pytest.mark.parametrize("seed", range(3))
def test_evidence_of_a_linear_model_is_exact(seed: int) -> None:
    noise = 0.7
    X, y, nll, mode = gaussian_model(seed, noise)
    precision, mean = np.array([0.5, 1.0, 2.0, 4.0]), np.array([0.1, 0.0, -0.3, 1.0])
    found = laplace(nll, mode(precision, mean), prior_precision=precision, prior_mean=mean)
    marginal = scipy.stats.multivariate_normal(X @ mean, noise**2 * np.eye(30) + X @ np.diag(1.0 / precision) @ X.T)
    assert_allclose(found.log_evidence, marginal.logpdf(y), rtol=1e-12)
    posterior = np.linalg.inv(X.T @ X / noise**2 + np.diag(precision))
    assert_allclose(found.covariance, posterior, rtol=1e-10)
    assert_allclose(found.standard_error, np.sqrt(np.diag(posterior)), rtol=1e-10)
    assert_allclose(found.effective_parameters, np.trace(posterior @ X.T @ X) / noise**2, rtol=1e-10)
    assert_allclose(found.log_evidence, found.log_likelihood + found.log_prior + found.log_occam)
    # The same by the Gauss-Newton matrix and by a mean with its scale.
    loss = lambda z: 0.5 * np.sum((z - y) ** 2) / noise**2 + 0.5 * len(y) * np.log(2.0 * np.pi * noise**2)
    by_model = laplace(loss, found.value, prior_precision=precision, prior_mean=mean, model=lambda w: X @ w)
    assert_allclose(by_model.log_evidence, found.log_evidence, rtol=1e-12)
    assert (found.curvature, by_model.curvature) == ("hessian", "gauss-newton")
    by_mean = laplace(lambda w: nll(w) / 30, found.value, prior_precision=precision, prior_mean=mean, scale=30)
    assert_allclose(by_mean.log_evidence, found.log_evidence, rtol=1e-12)


def test_predictions_of_a_linear_model_are_exact() -> None:
    X, _, nll, mode = gaussian_model(0, 0.5)
    found = laplace(nll, mode(np.full(4, 2.0), 0.0), prior_precision=2.0)
    exact = X @ found.covariance @ X.T
    linearized = found.predict(lambda w, X: X @ w, X, full=True)
    assert_allclose(linearized.mean, X @ found.value)
    assert_allclose(linearized.variance, np.diag(exact), rtol=1e-10)
    assert_allclose(linearized.covariance, exact, atol=1e-12)
    assert_allclose(linearized.standard_deviation, np.sqrt(np.diag(exact)), rtol=1e-10)
    sampled = found.predict(lambda w: X @ w, method="samples", n_samples=20000, rng=1, full=True)
    assert_allclose(sampled.variance, np.diag(exact), rtol=0.05)
    assert_allclose(np.diag(sampled.covariance), sampled.variance)
    errors = np.abs(sampled.mean - linearized.mean) / linearized.standard_deviation
    assert errors.max() < 4.0 / np.sqrt(20000)
    assert "linearized: standard deviations" in repr(linearized)
    assert "samples of 20000" in repr(sampled)


def test_evidence_picks_the_prior() -> None:
    # The evidence is largest where MacKay's fixed point says: precision |w|^2 = effective parameters.
    _, _, nll, mode = gaussian_model(0, 0.7)
    at = lambda precision: laplace(nll, mode(np.full(4, precision), 0.0), prior_precision=precision)
    precisions = np.geomspace(0.05, 50.0, 200)
    best = at(precisions[int(np.argmax([at(p).log_evidence for p in precisions]))])
    precision = best.effective_parameters / (best.value @ best.value)
    assert_allclose(
        at(precision).effective_parameters, precision * (at(precision).value @ at(precision).value), rtol=0.05
    )


def test_laplace_of_a_network() -> None:
    rng = np.random.default_rng(0)
    X = np.linspace(-2.0, 2.0, 40)[:, None]
    y = np.sin(2.0 * X) + 0.1 * rng.standard_normal(X.shape)
    inside = np.abs(X[:, 0]) > 0.7
    model = lambda p, X: np.tanh(X @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
    loss = lambda z: 0.5 * np.sum((z - y[inside]) ** 2) / 0.01
    start = {
        "W1": rng.standard_normal((1, 6)),
        "b1": rng.standard_normal(6),
        "W2": rng.standard_normal((6, 1)),
        "b2": np.zeros(1),
    }

    def penalized(p: Any) -> Any:
        return loss(model(p, X[inside])) + 0.5 * sum(np.sum(leaf**2) for leaf in p.values())

    res = minimize(penalized, start)
    assert res.success
    found = laplace(loss, res.x, X[inside], prior_precision=1.0, model=model)
    assert 0.0 < found.effective_parameters < 19.0
    spread = found.predict(model, X).standard_deviation
    # Uncertain where there were no data.
    assert spread[~inside].max() > 2.0 * spread[inside].max()
    assert spread.shape == y.shape
    exact = laplace(lambda p: loss(model(p, X[inside])), res.x, prior_precision=1.0)
    assert_allclose(exact.log_evidence, found.log_evidence, atol=5.0)
    draw = found.sample(2, rng=3)[1]
    assert list(draw) == list(start)
    assert draw["W1"].shape == (1, 6)
    per_layer = {"W1": 1.0, "b1": 1.0, "W2": np.ones((6, 1)), "b2": 1.0}
    assert_allclose(
        laplace(loss, res.x, X[inside], prior_precision=per_layer, model=model).log_evidence, found.log_evidence
    )
    # A Laplace approximation also feeds the delta method.
    derived = delta_method(lambda p: model(p, X), found)
    assert_allclose(derived.standard_error, spread, rtol=1e-12)


def test_samples_have_the_covariance() -> None:
    _, _, nll, mode = gaussian_model(0, 0.5)
    found = laplace(nll, mode(np.ones(4), 0.0), prior_precision=1.0)
    draws = np.array(found.sample(20000, rng=0))
    assert_allclose(np.cov(draws.T), found.covariance, atol=0.05 * np.max(found.covariance))
    assert_array_equal(draws[:3], found.sample(20000, rng=0)[:3])


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"prior_precision": 0.0}, OptionError, "prior_precision has entries that are not positive"),
        ({"prior_precision": -1.0}, OptionError, "Pass > 0"),
        ({"prior_precision": np.ones(3)}, ShapeMismatchError, "shape (3,) where x has (2,)"),
        ({"prior_precision": {"a": 1.0}}, ShapeMismatchError, "prior_precision is a dict"),
        ({"prior_precision": 1.0, "prior_mean": 5.0}, ConvergenceError, "standard deviations from the mode"),
        ({"prior_precision": 1.0, "scale": 0}, OptionError, "scale is 0"),
    ],
)
def test_bad_laplace(keywords: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        laplace(lambda x: 0.5 * np.sum(x**2), np.zeros(2), **keywords)
    assert text in str(caught.value)


def test_laplace_away_from_a_minimum() -> None:
    with pytest.raises(
        ConvergenceError, match=r"posterior precision at x is not positive definite: .* along 1\.00 x\[1\]"
    ):
        laplace(lambda x: x[0] ** 2 - x[1] ** 2, np.zeros(2), prior_precision=1.0)
    with pytest.raises(NonFiniteError, match="f is inf"), np.errstate(all="ignore"):
        laplace(lambda x: np.sum(1.0 / x), np.zeros(2), prior_precision=1.0)


def test_bad_predictions() -> None:
    found = laplace(lambda x: 0.5 * np.sum((x - 1.0) ** 2), np.full(2, 0.5), prior_precision=1.0)
    with pytest.raises(OptionError, match="method is 'exact'"):
        found.predict(np.sin, method="exact")
    with pytest.raises(OptionError, match="n_samples is 0"):
        found.predict(np.sin, method="samples", n_samples=0)
    with pytest.raises(OptionError, match="A variance takes two"):
        found.predict(np.sin, method="samples", n_samples=1)
    with pytest.raises(NonFiniteError, match="lead out of the model's domain"), np.errstate(all="ignore"):
        found.predict(np.log, method="samples", n_samples=100)
