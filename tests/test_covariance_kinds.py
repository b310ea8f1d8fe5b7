"""Kinds of covariances: families of expected information, sandwiches for small samples and clusters, bounds, endings of runs."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hessian as hs
from hessian.errors import ConvergenceError, OptionError, ShapeMismatchError
from hessian.optimize import OptimizeResult, Status, least_squares, minimize
from hessian.statistics import covariance, least_squares_covariance
from hessian.statistics.families import FAMILIES
from hessian.statistics.fisher_information import fisher_root
from hessian.tape.names import parameter_names

POINTS = np.array([-1.7, 0.3, 2.2])
X = np.column_stack([np.ones(30), np.linspace(-1.0, 1.0, 30) ** 3])
Y = (np.arange(30) % 3 == 0).astype(float)


def information(likelihood: Any, z: np.ndarray) -> np.ndarray:
    """That of one row about its outputs."""
    root = fisher_root(lambda u: u[None], likelihood, z, (), "a test")
    return np.einsum("rai,raj->ij", root, root)


def expected(log_mass: Any, z: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of minus the Hessian over the values that data may have, by exact derivatives of a mass function."""
    total = np.zeros((z.size, z.size))
    for value in values:
        mass = np.exp(log_mass(z, value))
        total -= mass * hs.hessian(lambda u, value=value: log_mass(u, value))(z)
    return total


ORDERED = np.array([-1.2, 0.4, 1.1])


def ordered(cdf: Any) -> Any:
    def log_mass(z: Any, j: int) -> Any:
        high = cdf(z[j]) if j < 3 else 1.0
        return np.log(high - (cdf(z[j - 1]) if j > 0 else 0.0))

    return log_mass


def negative_binomial(z: Any, y: int) -> Any:
    size = np.exp(-z[1])
    mean = np.exp(z[0])
    terms = special.gammaln(y + size) - special.gammaln(size) - special.gammaln(y + 1.0)
    return terms + size * np.log(size / (size + mean)) + y * np.log(mean / (size + mean))


@pytest.mark.parametrize(
    ("likelihood", "z", "log_mass", "values"),
    [
        ("bernoulli", np.array([0.7]), lambda z, y: -np.logaddexp(0.0, np.where(y, -z[0], z[0])), range(2)),
        ("probit", np.array([0.7]), lambda z, y: special.log_ndtr(np.where(y, z[0], -z[0])), range(2)),
        ("probit", np.array([-9.0]), lambda z, y: special.log_ndtr(np.where(y, z[0], -z[0])), range(2)),
        ("poisson", np.array([0.7]), lambda z, y: y * z[0] - np.exp(z[0]) - special.gammaln(y + 1.0), range(40)),
        ("ordered_logit", ORDERED, ordered(special.expit), range(4)),
        ("ordered_probit", ORDERED, ordered(special.ndtr), range(4)),
        ("ordered_probit", ORDERED + 3.0, ordered(special.ndtr), range(4)),
        ("negative_binomial", np.array([0.7, -0.3]), negative_binomial, range(160)),
    ],
)
def test_expected_information_is_the_mean_over_data(likelihood: str, z: Any, log_mass: Any, values: Any) -> None:
    assert_allclose(information(likelihood, z), expected(log_mass, z, values), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("mean", "dispersion"), [(2.0, 1e-9), (40.0, 1e-4), (0.3, 3.0), (5.0, 0.05)])
def test_information_about_a_dispersion(mean: float, dispersion: float) -> None:
    """Against the sum in 60 digits; beside a dispersion of zero nearly all of them cancel."""
    with mpmath.workdps(60):
        m, s = mpmath.mpf(mean), 1 / mpmath.mpf(dispersion)
        u, mass, slope, total = m / (s + m), (s / (s + m)) ** s, mpmath.mpf(0), mpmath.mpf(0)
        for y in range(1500):
            score = slope + mpmath.log(s / (s + m)) + 1 - (s + y) / (s + m)
            total += mass * score**2
            mass *= (s + y) / (y + 1) * u
            slope += 1 / (s + y)
        exact = float(s * s * total)
    found = information("negative_binomial", np.log([mean, dispersion]))
    assert_allclose(found, [[mean / (1.0 + dispersion * mean), 0.0], [0.0, exact]], rtol=1e-11)


@pytest.mark.parametrize("shape", [0.02, 1.0, 14.9, 15.1, 1e3, 1e12])
def test_information_of_gamma(shape: float) -> None:
    found = information("gamma", np.log([2.0, shape]))
    with mpmath.workdps(60):
        a = mpmath.mpf(shape)
        exact = float(a * a * (mpmath.psi(1, a) - 1 / a))
    assert_allclose(found, np.diag([shape, exact]), rtol=1e-12)
    assert information("gamma", np.zeros(1)).item() == information("exponential", np.zeros(1)).item() == 1.0


def test_information_by_a_log_partition_function() -> None:
    trials = np.array([3.0, 1.0, 8.0])
    binomial = fisher_root(lambda z: z, lambda z: trials * np.logaddexp(0.0, z), POINTS, (), "a test")
    p = special.expit(POINTS)
    assert_allclose(np.einsum("rai,raj->ij", binomial, binomial), np.diag(trials * p * (1.0 - p)), rtol=1e-13)
    # Gamma in natural parameters, shape a and minus the rate: variances of log y and y.
    z = np.array([[2.5, -0.7]])
    found = information(lambda z: special.gammaln(z[:, 0]) - z[:, 0] * np.log(-z[:, 1]), z[0])
    a, b = 2.5, 0.7
    assert_allclose(found, [[special.polygamma(1, a), 1 / b], [1 / b, a / b**2]], rtol=1e-12)
    with pytest.raises(OptionError, match="has the second derivative -1"):
        information(lambda z: -0.5 * z**2, np.zeros(1))
    with pytest.raises(OptionError, match="mixes rows"):
        fisher_root(lambda z: z, lambda z: np.sum(z) ** 2, POINTS, (), "a test")


def test_outputs_that_do_not_fit_are_refused() -> None:
    for likelihood, z in (
        ("negative_binomial", np.ones(3)),
        ("gamma", np.ones((2, 3))),
        ("exponential", np.ones((2, 2))),
    ):
        with pytest.raises(ShapeMismatchError, match="Return one column for each"):
            fisher_root(lambda z: z, likelihood, z, (), "a test")
    with pytest.raises(OptionError, match="do not increase"):
        information("ordered_logit", np.array([1.0, 0.5]))
    with pytest.raises(OptionError, match="reach beyond"):
        information("negative_binomial", np.array([15.0, 1.0]))
    with pytest.raises(OptionError, match="Did you mean 'ordered_probit'"):
        information("orderedprobit", np.zeros(1))
    assert all(family.outputs for family in FAMILIES.values())


# Sandwiches.


def logistic() -> tuple[Any, Any, OptimizeResult]:
    terms = lambda w: np.logaddexp(0.0, X @ w) - Y * (X @ w)
    return (
        terms,
        {"model": lambda w: X @ w, "likelihood": "bernoulli"},
        minimize(lambda w: np.sum(terms(w)), np.zeros(2), options={"gtol": 1e-10}),
    )


def test_corrections_for_small_samples() -> None:
    terms, model, res = logistic()
    p = special.expit(X @ res.x)
    bread = np.linalg.inv(X.T @ ((p * (1.0 - p))[:, None] * X))
    h = p * (1.0 - p) * np.einsum("ij,jk,ik->i", X, bread, X)
    score = (p - Y)[:, None] * X
    weights = {"HC0": np.ones(30), "HC1": np.full(30, np.sqrt(30 / 28)), "HC2": 1 / np.sqrt(1 - h), "HC3": 1 / (1 - h)}
    for kind, weight in weights.items():
        S = weight[:, None] * score
        given = {"HC1": {"n_obs": 30}, "HC2": model, "HC3": model}.get(kind, {})
        found = res.covariance(kind, per_example=terms, **given)
        assert found.kind == kind
        assert_allclose(found.matrix, bread @ S.T @ S @ bread, rtol=1e-9)
    labels = np.array(["a", "b", "c", "d", "e"])[np.arange(30) % 5]
    S = np.array([score[labels == label].sum(axis=0) for label in "abcde"])
    found = res.covariance("cluster", per_example=terms, groups=labels)
    assert_allclose(found.matrix, 5 / 4 * 29 / 28 * bread @ S.T @ S @ bread, rtol=1e-9)
    assert found.n_groups == 5


def test_corrections_of_least_squares() -> None:
    y = np.cos(7.0 * X[:, 1]) + X[:, 1]
    res = least_squares(lambda b: X @ b - y, np.zeros(2))
    bread, r = np.linalg.inv(X.T @ X), X @ res.x - y
    h = np.einsum("ij,jk,ik->i", X, bread, X)
    groups = np.arange(30) // 3
    S = np.array([(r[:, None] * X)[groups == g].sum(axis=0) for g in range(10)])
    for kind, rows in (
        ("HC0", r[:, None] * X),
        ("HC1", np.sqrt(30 / 28) * r[:, None] * X),
        ("HC2", (r / np.sqrt(1 - h))[:, None] * X),
        ("HC3", (r / (1 - h))[:, None] * X),
        ("cluster", np.sqrt(10 / 9 * 29 / 28) * S),
    ):
        found = res.covariance(kind, groups=groups if kind == "cluster" else None)
        assert_allclose(found.matrix, bread @ rows.T @ rows @ bread, rtol=1e-9, atol=1e-14)
        assert np.isinf(found.degrees_of_freedom)
    # With an estimated variance intervals are Student's.
    low, high = res.covariance().interval(0.9)
    assert_allclose(high - low, 2.0 * stats.t.ppf(0.95, 28) * res.standard_error, rtol=1e-12)
    low, high = res.covariance(scale=4.0).interval(0.9)
    assert_allclose(high - low, 2.0 * stats.norm.ppf(0.95) * 0.5 * np.sqrt(np.diag(bread)), rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "given", "error", "text"),
    [
        ("HC1", {}, OptionError, "needs the number of observations"),
        ("HC2", {}, OptionError, "needs leverages, which come from the model"),
        (
            "HC3",
            {"model": lambda w: np.stack([X @ w, X @ w], 1), "likelihood": "bernoulli"},
            ShapeMismatchError,
            "one output",
        ),
        ("HC1", {"n_obs": 2}, OptionError, "2 observations for 2 parameters"),
        ("cluster", {}, OptionError, "needs groups"),
        ("HC0", {"groups": Y}, OptionError, "groups are given with kind='HC0'"),
        ("cluster", {"groups": np.ones(30)}, OptionError, "all examples are in one group"),
        ("cluster", {"groups": np.ones(7)}, ShapeMismatchError, "there are 30 examples"),
        ("cluster", {"groups": np.where(Y, np.nan, 1.0)}, OptionError, "10 examples have the group NaN"),
    ],
)
def test_what_a_sandwich_needs(kind: str, given: dict[str, Any], error: type[Exception], text: str) -> None:
    terms, _, res = logistic()
    with pytest.raises(error, match=text):
        res.covariance(kind, per_example=terms, **given)


def test_a_leverage_of_one_is_refused() -> None:
    design = np.eye(4)[:, :2] + np.array([[0.0], [0.0], [1.0], [1.0]]) * np.array([0.0, 1.0])
    with pytest.raises(OptionError, match="example 0 has leverage 1"):
        least_squares(lambda b: design @ b - np.arange(4.0), np.zeros(2)).covariance("HC3")


# Bounds, and runs that found no optimum.


def test_a_parameter_on_its_bound_is_known() -> None:
    y = X @ [1.0, -0.5] + np.sin(np.arange(30.0))
    f = lambda p: 0.5 * np.sum((y - p["a"] - X[:, 1] * p["b"]) ** 2)
    start = {"a": 0.0, "b": 1.0}
    res = minimize(f, start, bounds=({"a": -9.0, "b": 0.0}, {"a": 9.0, "b": 9.0}), options={"gtol": 1e-9, "ftol": 0.0})
    found = res.covariance()
    assert found.fixed == ("b",)
    assert_allclose(found.matrix, [[1 / 30, 0.0], [0.0, 0.0]], rtol=1e-12)
    assert found.standard_error["b"] == 0.0
    assert "1 of them held" in repr(found)
    assert repr(found).endswith("held")
    assert_allclose(found.correlation, np.eye(2))
    inside = minimize(
        f, start, bounds=({"a": -9.0, "b": -9.0}, {"a": 9.0, "b": 9.0}), options={"gtol": 1e-9, "ftol": 0.0}
    )
    assert inside.covariance().fixed == ()
    assert_allclose(inside.covariance().matrix, minimize(f, start).covariance().matrix, rtol=1e-12)


def test_what_is_held_must_be_there_and_leave_something() -> None:
    f = lambda x: np.sum(x**2)
    with pytest.raises(OptionError, match="y"):
        covariance(f, np.zeros(2), fixed=["y[0]"])
    with pytest.raises(ConvergenceError, match="all parameters are held"):
        covariance(f, np.zeros(2), fixed=parameter_names(np.zeros(2)))


@pytest.mark.parametrize("method", [None, "newton", "BFGS", "L-BFGS-B"])
def test_classes_that_can_be_separated_have_no_optimum(method: str | None) -> None:
    x = np.linspace(-1.0, 1.0, 20)
    res = minimize(lambda w: np.sum(np.logaddexp(0.0, -np.sign(x) * (w[0] + x * w[1]))), np.zeros(2), method=method)
    text = "is 3.% off what the Hessian at x predicts" if res.success else "the run ended with CONVERGED_FAR"
    with pytest.raises(ConvergenceError, match=text):
        res.covariance()


def test_expected_information_far_from_the_observed_is_no_reason_to_refuse() -> None:
    """Gauss-Newton leaves most of a gradient where residuals are large and curved; the minimum is there all the same."""
    y = np.array([-6.0, 12.0, -3.0])
    f = lambda b: np.array([1.0, 1.0, 1.0]) * b[0] + np.array([0.3, -0.3, 0.2]) * b[0] ** 2 - y
    res = least_squares(f, np.zeros(1))
    near = res.x + 1e-3
    cost = lambda b: 0.5 * np.sum(f(b) ** 2)
    J = hs.jacobian(f)(near)
    assert not 0.75 < hs.hessian(cost)(near).item() / (J.T @ J).item() < 1.25
    assert_allclose(least_squares_covariance(f, near, scale=1.0).matrix, 1.0 / (J.T @ J), rtol=1e-12)


def test_flatter_than_quadratic() -> None:
    with pytest.raises(ConvergenceError, match="flatter than quadratic"):
        covariance(lambda x: np.sum(x**4), np.array([0.05]))


def test_the_status_of_a_run_that_stopped_early_is_repeated() -> None:
    f = lambda w: np.sum((w - 5.0) ** 4 + w**2)
    res = minimize(f, np.zeros(2), options={"maxiter": 2})
    with pytest.raises(ConvergenceError, match=r"standard errors from the minimum.* ended with MAX_ITERATIONS"):
        res.covariance()
    # One that stopped where the model sees the minimum has standard errors.
    start = minimize(f, np.zeros(2)).x + 1e-3
    res = minimize(f, start, options={"maxiter": 0})
    assert res.status is Status.MAX_ITERATIONS
    assert_allclose(res.covariance().matrix, np.linalg.inv(hs.hessian(f)(start)), rtol=1e-10)
    saddle = minimize(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4, np.zeros(2), options={"check_curvature": False})
    with pytest.raises(ConvergenceError, match=r"negative curvature along 1\.00 x"):
        saddle.covariance()
    with pytest.raises(ConvergenceError, match="singular to working precision along"):
        minimize(lambda x: (x[0] + x[1] - 1.0) ** 2, np.zeros(2)).covariance()


def test_least_squares_take_no_number_of_observations() -> None:
    res = least_squares(lambda b: X @ b - Y, np.zeros(2))
    with pytest.raises(OptionError, match="takes neither"):
        res.covariance("HC1", n_obs=30)
    assert least_squares_covariance(lambda b: X @ b - Y, res.x, kind="HC1").kind == "HC1"


@pytest.mark.parametrize("likelihood", ["ordered_logit", "ordered_probit"])
def test_classes_that_are_rare_keep_their_digits(likelihood: str) -> None:
    """Far up as far down: the classes in the other order."""
    z = np.array([5.0, 5.5, 7.0]) * (1.0 if likelihood == "ordered_probit" else 6.0)
    assert_allclose(information(likelihood, z), information(likelihood, -z[::-1])[::-1, ::-1], rtol=1e-12)


def _weighted_fits() -> dict[str, tuple[Any, Any]]:
    """A function of coefficients and weights, with its terms, written in several ways."""
    rng = np.random.default_rng(5)
    X, w = rng.standard_normal((40, 3)), rng.uniform(0.5, 2.0, 40)
    w[:3] = 0.0
    y = rng.poisson(np.exp(X @ np.array([0.2, -0.3, 0.1]))).astype(float)
    terms = lambda b: np.exp(X @ b) - y * (X @ b)
    return {
        "a product": (lambda b, w: np.sum(w * terms(b)), terms, w),
        "a scalar product": (lambda b, w: terms(b) @ w, terms, w),
        "an average": (lambda b, w: np.average(terms(b), weights=w), terms, w),
        "in parts": (lambda b, w: np.sum(w * np.exp(X @ b)) - (w * y) @ (X @ b), None, w),
        "one linear predictor": (lambda b, w: (lambda z: np.sum(w * np.exp(z)) - (w * y) @ z)(X @ b), terms, w),
        "moments": (lambda b, w: np.sum(w * np.exp(X @ b)) - ((w * y) @ X) @ b, None, w),
        "a penalty": (lambda b, w: np.sum(w * terms(b)) + b @ b, None, w),
    }


@pytest.mark.parametrize("name", _weighted_fits())
def test_weights_that_the_terms_lack_are_refused(name: str) -> None:
    f, terms, w = _weighted_fits()[name]
    res = minimize(f, np.zeros(3), args=(w,), options={"gtol": 1e-9})
    scale = float(w.sum()) if name == "an average" else 1.0
    plain = _weighted_fits()["a product"][1]
    own = lambda b: w * plain(b)
    assert res.covariance("sandwich", per_example=own, scale=scale).kind == "sandwich"
    if terms is not None:
        with pytest.raises(
            OptionError, match=r"scale \* f weighs the terms of per_example by .* to .*Return the weighted terms"
        ):
            res.covariance("sandwich", per_example=terms, scale=scale)
    # Without weights nothing is refused, however it is written.
    alike = minimize(f, np.zeros(3), args=(np.ones(40),), options={"gtol": 1e-9})
    scale = 40.0 if name == "an average" else 1.0
    found = alike.covariance("sandwich", per_example=plain, scale=scale)
    assert np.all(found.standard_error > 0.0)
    # Nor where the terms come in another order, or are those of one parameter.
    reverse = lambda b: plain(b)[::-1]
    np.testing.assert_allclose(
        alike.covariance("sandwich", per_example=reverse, scale=scale).matrix, found.matrix, rtol=1e-10
    )
    one = minimize(lambda a: np.sum((a - w) ** 2), 0.0)
    assert one.covariance("sandwich", per_example=lambda a: (a - w[::-1]) ** 2).kind == "sandwich"
    with pytest.raises(OptionError, match="weighs the terms"):
        minimize(lambda a: np.sum(w[::-1] * (a - w) ** 2), 0.0).covariance(
            "sandwich", per_example=lambda a: (a - w) ** 2
        )
