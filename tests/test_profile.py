"""Profile likelihoods and confidence intervals, against inversion by brute force, closed forms and simulation."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest
import scipy.optimize
from scipy import special, stats

import hessian as hs
from hessian.errors import ConvergenceError, IntervalWarning, OptionError, ScaleWarning
from hessian.optimize import least_squares, minimize
from hessian.plotting import plot_profile
from hessian.statistics import Profile, profile

matplotlib.use("Agg")
CUT = stats.chi2.ppf(0.95, 1)


def counts(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(rows), rng.normal(size=(rows, 2))])
    mean = np.exp(X @ np.array([0.5, 0.3, -0.2]))
    return X, rng.poisson(rng.gamma(1.0 / 0.7, 0.7 * mean)).astype(float)


def negative_binomial(p: Any, X: np.ndarray, y: np.ndarray) -> Any:
    eta, r = X @ p["beta"], np.exp(-p["log_alpha"])
    terms = special.gammaln(y + r) - special.gammaln(r) - special.gammaln(y + 1.0) + r * np.log(r) + y * eta
    return -np.sum(terms - (y + r) * np.log(r + np.exp(eta)))


START = {"beta": np.zeros(3), "log_alpha": 0.0}


def solved(f: Callable[[Any], Any], x0: Any, **settings: Any) -> Any:
    return minimize(f, x0, tol=1e-9, **settings)


def inverted(f: Callable[[Any], Any], x: np.ndarray, k: int, *, cut: float = CUT, low: Any = None) -> list[float]:
    """Both ends of the interval by SciPy: a root of the ratio over fits of the others, each to tight tolerance."""
    others = [i for i in range(x.size) if i != k]
    start = [x[others]]

    def put(y: np.ndarray, psi: float) -> np.ndarray:
        full = np.array(x)
        full[others], full[k] = y, psi
        return full

    def ratio(psi: float) -> float:
        if not others:
            return 2.0 * (f(put(np.empty(0), psi)) - f(x)) - cut
        settings: dict[str, Any] = {"method": "trust-exact", "options": {"gtol": 1e-10, "maxiter": 500}}
        settings["hess"] = lambda y: hs.hessian(f)(put(y, psi))[np.ix_(others, others)]
        if low is not None:
            bounds = [(low, None) for _ in others]
            settings = {"method": "L-BFGS-B", "bounds": bounds, "options": {"gtol": 1e-12, "ftol": 1e-16}}
        res = scipy.optimize.minimize(
            lambda y: f(put(y, psi)), start[0], jac=lambda y: hs.grad(f)(put(y, psi))[others], **settings
        )
        start[0] = res.x
        return float(2.0 * (res.fun - f(x)) - cut)

    found = []
    for sign in (-1.0, 1.0):
        start[0], reach = x[others], 0.5 * sign
        while ratio(x[k] + reach) < 0.0:
            reach *= 1.5
        start[0] = x[others]
        found.append(scipy.optimize.brentq(ratio, x[k], x[k] + reach, xtol=1e-12, rtol=1e-14))
    return found


def test_negative_binomial_regression_equals_inversion() -> None:
    X, y = counts(200)
    f = hs.record(lambda p: negative_binomial(p, X, y))
    res = solved(f, START)
    flat = lambda v: negative_binomial({"beta": v[:3], "log_alpha": v[3]}, X, y)
    v = np.append(res.x["beta"], res.x["log_alpha"])
    for k, which in ((1, "beta[1]"), (3, "log_alpha")):
        found = profile(f, res, which)
        np.testing.assert_allclose(np.asarray(found), inverted(flat, v, k), rtol=0.0, atol=1e-6 * found.standard_error)
        assert found.name == which
        wald = res.covariance().interval()
        end = np.asarray([np.append(side["beta"], side["log_alpha"])[k] for side in wald])
        share = np.abs((np.asarray(found) - end) / (found.cut * found.standard_error))
        np.testing.assert_allclose(found.nonlinearity, share.max(), rtol=1e-4)


def test_what_a_profile_costs() -> None:
    """At most 20 evaluations' worth of gradients and products for each side, whatever the number of rows."""
    X, y = counts(10_000)
    f = hs.record(negative_binomial)
    res = minimize(f, START, (X, y))
    recordings = f.stats.recordings
    for which in ("beta[1]", "log_alpha"):
        found = profile(f, res, which, X, y)
        assert found.n_grad + found.n_hvp <= 2 * 20
        assert found.n_fits == 0
    assert f.stats.recordings == recordings, "the programs of the fit serve its profiles"


CURVED = {
    "cubic": lambda x: 0.5 * (x[0] - x[1]) ** 2 + 0.5 * np.sum(x**2) + 0.05 * x[0] ** 3 + 0.1 * np.sum(x**4),
    "valley": lambda x: 0.5 * (1.0 - x[0]) ** 2 + 2.0 * (x[1] - x[0] ** 2) ** 2,
    "Cauchy": lambda x: np.sum(np.log1p((x[0] - np.array([-1.0, 0.0, 2.0])) ** 2)) + 0.5 * (x[1] - np.sin(x[0])) ** 2,
    "rate": lambda x: 6.0 * np.exp(x[0]) - 5.0 * x[0] + np.exp(x[1] - x[0]) - x[1] + 0.1 * x[1] ** 2,
}


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("name", CURVED)
def test_curved_likelihoods_equal_inversion(name: str, k: int) -> None:
    f = CURVED[name]
    res = solved(f, np.array([0.5, 0.5]))
    found = profile(f, res, k)
    np.testing.assert_allclose(np.asarray(found), inverted(f, res.x, k), rtol=0.0, atol=1e-6 * found.standard_error)
    np.testing.assert_allclose(np.max(np.abs(found.root - found.cut * np.sign(found.root)).min()), 0.0, atol=1e-4)
    assert np.all(np.diff(found.psi) > 0.0)
    gradients = [hs.grad(f)(x) for x in found.x]
    np.testing.assert_allclose([g[1 - k] for g in gradients], 0.0, atol=1e-3)
    np.testing.assert_allclose([2.0 * g[k] for g in gradients], found.slope, atol=2e-3)
    np.testing.assert_allclose(found.root**2, [2.0 * (f(x) - f(res.x)) for x in found.x], atol=1e-6)


def test_levels_scales_and_rows_of_arguments() -> None:
    X, y = counts(100)
    mean = lambda p, X, y: negative_binomial(p, X, y) / len(y)
    res = minimize(mean, START, (X, y), tol=1e-11)
    summed = minimize(negative_binomial, START, (X, y), tol=1e-9)
    ends = np.asarray(profile(mean, res, ("beta", 1), X, y, scale=len(y), level=0.8))
    np.testing.assert_allclose(
        ends, np.asarray(profile(negative_binomial, summed, "beta[1]", X, y, level=0.8)), rtol=1e-7
    )
    with pytest.warns(
        ScaleWarning, match="f is the mean of 100 terms, and a log-likelihood is their sum: pass scale=100"
    ):
        profile(mean, res, "beta[1]", X, y)
    wide = profile(negative_binomial, summed, "beta[1]", X, y, level=0.99)
    assert wide.interval(0.99) == (wide.lower, wide.upper)
    assert wide.lower < ends[0] < ends[1] < wide.upper


def test_held_parameters_stay_held() -> None:
    f = CURVED["cubic"]
    g = lambda x: f(x[:2]) + 0.5 * (x[2] - x[0]) ** 2
    res = solved(g, np.full(3, 0.5), fixed={2: 0.3})
    inner = lambda x: f(x) + 0.5 * (0.3 - x[0]) ** 2
    np.testing.assert_allclose(np.asarray(profile(g, res, 0)), inverted(inner, res.x[:2], 0), atol=1e-6)
    with pytest.raises(OptionError, match=r"x\[2\] was held in the fit"):
        profile(g, res, 2)
    intervals = res.confidence_intervals("profile")
    np.testing.assert_array_equal(intervals[2], [0.3, 0.3])
    assert "x[2] was held" in repr(intervals)
    assert "x[2] was held" in res.confidence_intervals().notes


def test_bounds_of_others_are_kept() -> None:
    f = lambda x: 0.5 * (x[0] ** 2 + x[1] ** 2 + 1.6 * x[0] * x[1]) + 0.1 * x[1]
    res = minimize(f, np.ones(2), bounds=[(None, None), (-0.5, 3.0)], tol=1e-9)
    found = profile(f, res, 0)
    np.testing.assert_allclose(np.asarray(found), inverted(f, res.x, 0, low=-0.5), atol=1e-6)
    assert found.x[-1][1] == -0.5


def test_bounds_let_go_on_the_way() -> None:
    """At the estimate a bound holds the other; beyond 0.3 it is free, and its profile a parabola about 0."""
    f = lambda x: 0.5 * x[0] ** 2 + 0.5 * (x[1] - x[0] + 0.3) ** 2
    for sign in (1.0, -1.0):
        box = [(None, None), (0.0, None) if sign > 0.0 else (None, 0.0)]
        g = lambda x, sign=sign: f(sign * x)
        res = minimize(g, np.array([0.0, sign]), bounds=box, tol=1e-10)
        np.testing.assert_allclose(sign * res.x, [0.15, 0.0], atol=1e-7)
        lower = 0.15 - np.sqrt(CUT / 2.0)
        np.testing.assert_allclose(
            np.sort(sign * np.asarray(profile(g, res, 0))), [lower, np.sqrt(CUT + 0.045)], rtol=1e-7
        )


def test_its_own_bound_ends_an_interval() -> None:
    f = lambda x: 0.5 * np.sum((x - 1.0) ** 2)
    found = profile(f, minimize(f, np.zeros(2), bounds=[(0.0, None), (None, None)], tol=1e-9), 0)
    assert found.lower == 0.0
    np.testing.assert_allclose(found.upper, 1.0 + np.sqrt(CUT))
    assert found.notes == ("the interval of x[0] ends at its bound 0",)
    np.testing.assert_allclose(found.nonlinearity, 0.0, atol=1e-6)


def test_an_estimate_on_its_bound_says_so() -> None:
    f = lambda x: 0.5 * np.sum((x + 0.5) ** 2) + 0.3 * x[0] * x[1]
    for sign in (1.0, -1.0):
        box = [(0.0, None), (None, None)] if sign > 0.0 else [(None, 0.0), (None, None)]
        g = lambda x, sign=sign: f(x * np.array([sign, 1.0]))
        found = profile(g, minimize(g, np.array([sign, 1.0]), bounds=box, tol=1e-9), 0)
        # min over x1 is -0.3 x0 - 0.5, so that f_p = x0^2 (1 - 0.09) / 2 + (0.5 - 0.15) x0 + 0.125 + ...
        end = (-0.35 + np.sqrt(0.35**2 + 0.91 * CUT)) / 0.91
        np.testing.assert_allclose(sorted(sign * np.asarray(found)), [0.0, end], atol=1e-7)
        assert found.standard_error == 0.0
        assert np.isnan(found.nonlinearity)
        assert any("estimated on its bound" in note for note in found.notes)
        assert "nan" not in plot_profile(found).get_title()


def test_profiles_that_never_reach_the_cut_are_open() -> None:
    bump = lambda x: 1.0 - np.exp(-0.5 * np.sum(x**2))
    found = profile(bump, solved(bump, np.full(2, 0.1)), 0)
    assert (found.lower, found.upper, found.nonlinearity) == (-np.inf, np.inf, np.inf)
    assert any("rises to 1.414" in note and "the interval is open" in note for note in found.notes)
    assert "note" in repr(found)
    half = lambda x: 1.5 * (1.0 - np.exp(-x[0])) ** 2 + (x[1] - x[0]) ** 2
    found = profile(half, solved(half, np.full(2, 0.1)), 0)
    np.testing.assert_allclose(found.lower, -np.log(1.0 + np.sqrt(CUT / 3.0)), rtol=1e-7)
    assert found.upper == np.inf
    assert "∞" in plot_profile(found).get_title()
    # Slowly, and to just above the cut.
    for height, end in ((1.9, np.inf), (1.95, np.sqrt(CUT / (3.9 - CUT)))):
        power = lambda x, height=height: height * x[0] ** 2 / (1.0 + x[0] ** 2)
        np.testing.assert_allclose(profile(power, solved(power, np.full(1, 0.1)), 0).upper, end, rtol=1e-6)


def test_a_negative_binomial_that_may_be_a_poisson() -> None:
    """Whose dispersion has no lower end: the likelihood tends to that of its limit."""
    rng = np.random.default_rng(2)
    y = rng.poisson(4.0, 40).astype(float)
    X = np.ones((40, 1))
    res = minimize(negative_binomial, {"beta": np.zeros(1), "log_alpha": -2.0}, (X, y), tol=1e-9)
    found = profile(negative_binomial, res, "log_alpha", X, y)
    limit = -np.sum(stats.poisson.logpmf(y, np.mean(y)))
    assert 2.0 * (limit - res.fun) < CUT
    assert found.lower == -np.inf
    np.testing.assert_allclose(found.root[0], -np.sqrt(2.0 * (limit - res.fun)), rtol=1e-2)
    fit = minimize(negative_binomial, res.x, (X, y), fixed={"log_alpha": found.upper}, tol=1e-9)
    np.testing.assert_allclose(2.0 * (fit.fun - res.fun), CUT, rtol=1e-7)


def test_the_edge_of_a_domain_ends_an_interval() -> None:
    f = lambda x: 0.5 * (x[0] - 1.0) ** 2 + 0.0 * np.sqrt(x[0])
    found = profile(f, solved(f, np.full(1, 2.0)), 0)
    np.testing.assert_allclose(found.lower, 0.0, atol=1e-8)
    np.testing.assert_allclose(found.upper, 1.0 + np.sqrt(CUT))
    assert any("no value beyond" in note for note in found.notes)


def raising(x: Any) -> Any:
    """Has no value below 0.2."""
    if x[0] < 0.2:
        raise ZeroDivisionError
    return 0.5 * (x[0] - 1.0) ** 2


def test_a_function_that_raises_has_no_value() -> None:
    np.testing.assert_allclose(profile(raising, solved(raising, np.full(1, 2.0)), 0).lower, 0.2, atol=1e-8)


def wells(x: Any) -> Any:
    return 0.3 * (x[0] ** 2 - 1.0) ** 2 + 0.1 * x[0] + 0.5 * (x[1] - x[0]) ** 2


def test_several_minima() -> None:
    found = profile(wells, solved(wells, -np.ones(2)), 0)
    assert any("not monotone" in note for note in found.notes)
    line = lambda t: 2.0 * (wells(np.array([t, t])) - wells(np.full(2, found.value))) - CUT
    ends = scipy.optimize.brentq(line, -3.0, -1.1), scipy.optimize.brentq(line, 1.1, 3.0)
    np.testing.assert_allclose(np.asarray(found), ends, rtol=1e-7)
    with pytest.raises(ConvergenceError, match="The estimate is not the minimum"):
        profile(wells, solved(wells, np.ones(2)), 0)


def test_a_narrow_valley_with_a_sharp_bend() -> None:
    f = lambda x: 0.5 * (1.0 - x[0]) ** 2 + 50.0 * (x[1] - x[0] ** 2) ** 2
    found = profile(f, solved(f, np.zeros(2)), 1)

    def ratio(y: float) -> float:
        fit = scipy.optimize.minimize_scalar(
            lambda x: f((x, y)), bounds=(0.0, 4.0), method="bounded", options={"xatol": 1e-12}
        )
        return float(2.0 * fit.fun - CUT)

    ends = scipy.optimize.brentq(ratio, -1.0, 0.0, xtol=1e-13), scipy.optimize.brentq(ratio, 5.0, 10.0, xtol=1e-13)
    np.testing.assert_allclose(np.asarray(found), ends, atol=1e-6)
    assert found.n_grad < 200


def fork(x: Any, quartic: float) -> Any:
    """The second parameter leaves 0 where the first is beyond 1."""
    return 0.1 * x[0] ** 2 + 0.5 * x[1] ** 2 * (1.0 - x[0] ** 2) + quartic * x[1] ** 4


def test_paths_that_turn_into_saddles_are_left() -> None:
    f = lambda x: fork(x, 100.0)
    found = profile(f, solved(f, np.full(2, 0.1)), 0)
    exact = lambda t: 2.0 * (0.1 * t**2 - max(t**2 - 1.0, 0.0) ** 2 / 1600.0) - CUT
    np.testing.assert_allclose(found.upper, scipy.optimize.brentq(exact, 4.0, 6.0), rtol=1e-7)
    assert found.n_fits > 0
    g = lambda x: fork(x, 0.0)
    with pytest.raises(
        ConvergenceError, match=r"where x\[0\] is held at -4.38\d*, the fit of the others fails \(UNBOUNDED"
    ):
        profile(g, solved(g, np.full(2, 0.1)), 0)


COUNTS = np.array([30.0, 50.0, 20.0])
SUM = {"type": "eq", "fun": lambda p: np.sum(p) - 1.0}


def multinomial(p: Any) -> Any:
    return -np.sum(COUNTS * np.log(p))


def test_profiles_under_an_equality_have_the_closed_form() -> None:
    res = minimize(multinomial, np.full(3, 1.0 / 3.0), constraints=[SUM])
    found = res.confidence_intervals("profile")
    for share, (low, high), one in zip(COUNTS / 100.0, found, found.profiles.values(), strict=True):
        ratio = lambda t, share=share: (
            -200.0 * (share * np.log(t / share) + (1.0 - share) * np.log((1.0 - t) / (1.0 - share))) - CUT
        )
        ends = scipy.optimize.brentq(ratio, 1e-3, share), scipy.optimize.brentq(ratio, share, 0.999)
        np.testing.assert_allclose([low, high], ends, rtol=1e-8)
        np.testing.assert_allclose(one.standard_error, np.sqrt(share * (1.0 - share) / 100.0), rtol=1e-6)
        # Everything on the way is feasible, and derivatives are those of the profile.
        np.testing.assert_allclose([np.sum(x) for x in one.x], 1.0, atol=1e-9)
        slopes = 200.0 * ((1.0 - share) / (1.0 - one.psi) - share / one.psi)
        np.testing.assert_allclose(one.slope, slopes, atol=1e-4)


def test_profiles_under_constraints_equal_those_of_a_substitution() -> None:
    """A negative-binomial fit whose coefficients obey a linear equation, in dicts, with a parameter that is held."""
    rng = np.random.default_rng(8)
    X = np.column_stack([np.ones(60), rng.standard_normal((60, 3))])
    y = rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(X @ [0.6, 0.3, -0.2, 0.1]))).astype(float)
    f = lambda p: negative_binomial({"beta": p["b"], "log_alpha": p["log_alpha"]}, X, y)
    constraint = {"type": "eq", "fun": lambda p: p["b"][1] + p["b"][2] - 0.1}
    start = {"b": np.zeros(4), "log_alpha": -0.5}
    res = minimize(f, start, constraints=constraint, fixed={"b[3]": 0.0})
    found = res.confidence_intervals("profile")

    def substituted(p: Any) -> Any:
        b = np.stack([p["b"][0], p["b"][1], 0.1 - p["b"][1], 0.0 * p["b"][1]])
        return f({"b": b, "log_alpha": p["log_alpha"]})

    other = solved(substituted, {"b": np.zeros(2), "log_alpha": -0.5}).confidence_intervals("profile")
    for name in ("b[0]", "b[1]", "log_alpha"):
        np.testing.assert_allclose(found[name], other[name], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found["b[2]"], 0.1 - other["b[1]"][::-1], rtol=1e-6)
    assert found.notes[0] == "b[3] was held"


def test_inequalities_on_the_way() -> None:
    """They come to hold, hold the estimate, or leave nothing beyond; what equalities determine has no profile."""
    f = lambda x: 0.5 * (x[0] - 1.0) ** 2 + 0.5 * (x[1] - x[0]) ** 2
    cap = {"type": "ineq", "fun": lambda x: 2.0 - x[1]}
    found = profile(f, minimize(f, np.zeros(2), constraints=cap), 0)
    ratio = lambda t: (t - 1.0) ** 2 + max(t - 2.0, 0.0) ** 2 - CUT
    np.testing.assert_allclose(found.lower, 1.0 - np.sqrt(CUT), rtol=1e-7)
    np.testing.assert_allclose(found.upper, scipy.optimize.brentq(ratio, 1.0, 5.0), rtol=1e-7)
    disc = {"type": "ineq", "fun": lambda x: 2.0 - x @ x}
    inside = profile(f, minimize(f, np.zeros(2), constraints=disc), 0)
    np.testing.assert_allclose(inside.upper, np.sqrt(2.0), atol=1e-5)
    assert any("constraints leave nothing beyond x[0] = 1.414" in note for note in inside.notes)
    low = minimize(f, np.full(2, 1.5), constraints=cap, bounds=[(1.2, None), (None, None)])
    held = profile(f, low, 0)
    assert held.lower == 1.2
    np.testing.assert_allclose(held.upper, scipy.optimize.brentq(lambda t: ratio(t) - 0.04, 1.2, 5.0), rtol=1e-7)
    assert held.standard_error == 0.0
    both = {"type": "eq", "fun": lambda x: x[0] - 0.5}
    pinned = minimize(f, np.zeros(2), constraints=both)
    intervals = pinned.confidence_intervals("profile")
    assert intervals.notes[0] == "x[0] is determined by constraints"
    np.testing.assert_allclose(intervals.array, [[0.5, 0.5], 0.5 + np.sqrt(CUT) * np.array([-1.0, 1.0])], rtol=1e-6)
    with pytest.raises(ConvergenceError, match=r"constraints leave x\[0\] no freedom"):
        profile(f, pinned, 0)
    # What an inequality holds may move off it: it is no point.
    pressed = minimize(f, np.zeros(2), constraints={"type": "ineq", "fun": lambda x: 0.5 - x[0]})
    for compute in (lambda: profile(f, pressed, 0), lambda: pressed.confidence_intervals("profile")):
        with pytest.raises(ConvergenceError, match=r"inequalities hold x\[0\] at the estimate"):
            compute()
    one = minimize(
        lambda x: 0.5 * x[0] ** 2, np.array([0.5]), constraints={"type": "ineq", "fun": lambda x: 1.0 - x[0] ** 2}
    )
    np.testing.assert_allclose(profile(lambda x: 0.5 * x[0] ** 2, one, 0), [-1.0, 1.0], atol=1e-5)
    with pytest.raises(OptionError, match="does not know its constraints"):
        profile(f, pickle.loads(pickle.dumps(pinned)), 1)


def test_fits_under_constraints_that_fail_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    res = minimize(multinomial, np.full(3, 1.0 / 3.0), constraints=[SUM])
    count = []

    def failing(*args: Any, **given: Any) -> Any:
        count.append(1)
        found = minimize(*args, **given)
        found.success = len(count) < most
        return found

    monkeypatch.setattr("hessian.statistics.constrained_refits.minimize", failing)
    # Where the gradient of the Lagrangian vanishes there is nothing to complain of.
    most = 0  # fits that succeed
    profile(multinomial, res, 0)
    monkeypatch.setattr("hessian.statistics.constrained_refits._LEVEL", -1.0)
    texts = {1: "the fit does not converge again from x", 2: r"x\[0\] is held at .*, the fit of the others fails"}
    for most in texts:
        count.clear()
        with pytest.raises(ConvergenceError, match=texts[most]):
            profile(multinomial, res, 0)


def test_an_end_that_is_not_found_leaves_the_others() -> None:
    """Of three parameters, one of whose paths falls without end."""
    f = lambda x: fork(x, 0.0) + 0.5 * x[2] ** 2
    res = solved(f, np.full(3, 0.1))
    with pytest.warns(IntervalWarning, match=r"intervals of x\[0\], x\[1\] are NaN.* The others hold"):
        found = res.confidence_intervals("profile")
    assert np.isnan(found.array[0]).all()
    np.testing.assert_allclose(found["x[2]"], np.sqrt(CUT) * np.array([-1.0, 1.0]), rtol=1e-7)
    assert any(
        note.startswith("the end above of x[0] is not known: profile: where x[0] is held at") for note in found.notes
    )
    assert "nan to nan" in repr(found)
    # One side fails, the other is there.
    g = lambda x: 0.1 * x[0] ** 2 + np.where(x[0] > 1.5, 1.0 - x[0] * x[1] ** 2, 1.0) * 0.5 * (1.0 + x[1] ** 2)
    other = solved(g, np.array([0.1, 0.1]))
    with pytest.warns(IntervalWarning):
        ends = other.confidence_intervals("profile").array[0]
    np.testing.assert_allclose(ends[0], -np.sqrt(CUT / 0.2), rtol=1e-7)
    assert np.isnan(ends[1])
    bad = solved(wells, np.ones(2))
    with pytest.raises(ConvergenceError, match="The estimate is not the minimum"):
        bad.confidence_intervals("profile")


def test_fits_settle_by_their_own_curvature() -> None:
    """Which falls to a thousandth on the way; the profile is a parabola."""
    f = lambda x: 0.5 * x[0] ** 2 + 0.5 * np.exp(-1.8 * x[0] ** 2) * (x[1] - 0.026 * x[0] ** 2) ** 2
    found = profile(f, solved(f, np.full(2, 0.1)), 0)
    np.testing.assert_allclose(np.asarray(found), np.sqrt(CUT) * np.array([-1.0, 1.0]), rtol=1e-7)


def test_an_end_out_of_reach_is_an_error() -> None:
    f = lambda x: 0.6 * np.log1p(np.log1p(np.log1p(x[0] ** 2)))
    with pytest.raises(ConvergenceError, match="was not found after 60 fits"):
        profile(f, solved(f, np.full(1, 0.1)), 0)


def test_a_jump_across_the_cut_is_told() -> None:
    f = lambda x: 0.5 * x[0] ** 2 + (5.0 if x[0] > 1.0 else 0.0)
    found = profile(f, solved(f, np.full(1, 0.1)), 0)
    np.testing.assert_allclose(found.upper, 1.0)
    assert any("jumps at 1" in note for note in found.notes)


def test_least_squares_is_by_students_law() -> None:
    X, y = counts(30)
    residuals = lambda b: X @ b - y
    res = least_squares(residuals, np.zeros(3))
    reach = stats.t.ppf(0.975, 27)
    exact = np.column_stack([res.x - reach * res.standard_error, res.x + reach * res.standard_error])
    for kind in ("wald", "profile"):
        np.testing.assert_allclose(np.asarray(res.confidence_intervals(kind)), exact, rtol=1e-7)
    known = profile(residuals, res, 1, scale=4.0)
    half = np.sqrt(CUT * np.linalg.inv(X.T @ X)[1, 1] / 4.0)
    np.testing.assert_allclose([known.lower, known.upper], [res.x[1] - half, res.x[1] + half], rtol=1e-7)
    t = np.linspace(0.0, 3.0, 20)
    curve = lambda b: b[0] * np.exp(-b[1] * t) - 2.0 * np.exp(-0.7 * t) - 0.1 * np.sin(7.0 * t)
    fit = least_squares(curve, np.ones(2))
    found = profile(curve, fit, 1)
    scaled = lambda b: 0.5 * np.sum(curve(b) ** 2) / fit.residual_std**2
    np.testing.assert_allclose(
        np.asarray(found), inverted(scaled, fit.x, 1, cut=stats.t.ppf(0.975, 18) ** 2), rtol=1e-6
    )


def test_many_parameters_by_products() -> None:
    rng = np.random.default_rng(0)
    A, d = 0.02 * rng.normal(size=(40, 650)), np.linspace(1.0, 3.0, 650)
    f = hs.record(lambda x: 0.5 * np.sum((A @ x) ** 2) + 0.5 * np.sum(d * (x - 1.0) ** 2))
    res = minimize(f, np.zeros(650), tol=1e-9)
    H = A.T @ A + np.diag(d)
    found = profile(f, res, 3)
    error = np.sqrt(np.linalg.inv(H)[3, 3])
    np.testing.assert_allclose(found.standard_error, error, rtol=1e-7)
    np.testing.assert_allclose(np.asarray(found), res.x[3] + np.sqrt(CUT) * error * np.array([-1.0, 1.0]), rtol=1e-6)
    assert 0 < found.n_hvp < 650


def test_rounding_is_told() -> None:
    f = lambda x: 0.5 * np.sum((x - 1.0) ** 2) + 1e4
    found = profile(f, minimize(f, np.zeros(2, np.float32)), 0)
    assert any("rounded to" in note for note in found.notes)
    assert abs(found.upper - 2.96) < 0.1
    exact = lambda x: 0.5 * np.sum((x - 1.0) ** 2)
    assert profile(exact, minimize(exact, np.zeros(2, np.float32)), 0).notes == ()


def test_what_has_no_profile_is_refused() -> None:
    f = CURVED["cubic"]
    res = solved(f, np.full(2, 0.5))
    with pytest.raises(OptionError, match="stands for 2 parameters"):
        profile(f, res, "x")
    with pytest.raises(OptionError, match="there is no parameter 'y'"):
        profile(f, res, "y")
    with pytest.raises(OptionError, match="level is 95"):
        profile(f, res, 0, level=95)
    with pytest.raises(OptionError, match="scale is -1"):
        profile(f, res, 0, scale=-1)
    with pytest.raises(OptionError, match=r"followed to the level 0\.95, not 0\.9"):
        profile(f, res, 0).interval(0.9)
    with pytest.raises(ConvergenceError, match="stopped with status MAX_ITERATIONS"):
        profile(f, minimize(f, np.full(2, 9.0), options={"maxiter": 1}), 0)
    with pytest.raises(ConvergenceError, match="standard errors from the minimum"):
        profile(lambda x: f(x) + x[0], res, 0)
    with pytest.raises(ConvergenceError, match="not finite at x"):
        profile(lambda x: f(x) * np.nan, res, 0)
    flat = lambda x: (x[0] + x[1] - 1.0) ** 2
    with pytest.raises(ConvergenceError, match="singular to working precision along"):
        profile(flat, solved(flat, np.zeros(2)), 0)
    t = np.arange(4.0)
    robust = least_squares(lambda b: b[0] + b[1] * t - t**2, np.zeros(2), loss="huber")
    with pytest.raises(OptionError, match="a robust loss is no likelihood"):
        profile(lambda b: b[0] + b[1] * t - t**2, robust, 0)
    through = lambda b: b[0] + b[1] * t[:2] - t[:2] ** 2
    with pytest.raises(OptionError, match="0 degrees of freedom"):
        profile(through, least_squares(through, np.zeros(2)), 0)
    with pytest.raises(OptionError, match="there is no kind 'wold'"):
        res.confidence_intervals("wold")


def test_intervals_know_their_names() -> None:
    X, y = counts(100)
    res = minimize(negative_binomial, START, (X, y), tol=1e-9)
    intervals = res.confidence_intervals("profile", 0.9)
    assert intervals.names == ("beta[0]", "beta[1]", "beta[2]", "log_alpha")
    assert np.asarray(intervals).shape == (4, 2) == (len(intervals), 2)
    np.testing.assert_array_equal(intervals["beta"], np.asarray(intervals)[:3])
    np.testing.assert_array_equal(intervals["beta[1]"], np.asarray(intervals)[1])
    np.testing.assert_array_equal(intervals["x"], np.asarray(intervals))
    assert list(intervals.profiles) == list(intervals.names)
    assert all(isinstance(found, Profile) for found in intervals.profiles.values())
    assert repr(intervals).splitlines()[0] == "90 % intervals of 4 parameters, profile"
    assert "<table>" in intervals._repr_html_()
    low, high = res.covariance().interval(0.9)
    wald = res.confidence_intervals("wald", 0.9)
    np.testing.assert_allclose(wald["log_alpha"], [low["log_alpha"], high["log_alpha"]])
    again = res.confidence_intervals("profile", 0.9, fun=negative_binomial, args=(X, y))
    np.testing.assert_allclose(np.asarray(again), np.asarray(intervals), rtol=1e-8)
    many = solved(lambda x: np.sum((x - 1.0) ** 2), np.zeros(14)).confidence_intervals()
    assert "... 2 more" in repr(many)


@pytest.mark.parametrize("name", CURVED)
def test_the_picture_of_a_profile(name: str) -> None:
    found = profile(CURVED[name], solved(CURVED[name], np.array([0.5, 0.5])), 0)
    ax = plot_profile(found)
    curves = {line.get_label(): line for line in ax.get_lines()}
    t, height = curves["profile"].get_data()
    np.testing.assert_allclose([t[0], t[-1]], [found.psi[0], found.psi[-1]])
    f, middle = CURVED[name], len(t) // 3
    fit = minimize(f, np.array([0.5, 0.5]), fixed={0: t[middle]}, tol=1e-9)
    np.testing.assert_allclose(
        height[middle], 2.0 * (fit.fun - f(found.x[int(np.argmin(np.abs(found.root)))])), rtol=0.1
    )
    assert ax.get_xlabel() == "x[0]"
    assert ax.get_ylabel() == "likelihood ratio statistic"
    assert {"profile", "fits of the others", "parabola of the curvature (Wald)"} < set(curves)


@pytest.mark.long
def test_coverage_of_intervals() -> None:
    """Exponential waiting times, ten of them: the logarithm of the rate has no normal law, and its profile holds better."""
    rng, inside, runs = np.random.default_rng(0), np.zeros(2), 2000
    f = hs.record(lambda p, y: np.sum(np.exp(p["log_rate"]) * y - p["log_rate"]) + 0.5 * np.sum((p["m"] - y[:2]) ** 2))
    rate = hs.record(lambda p, y: np.sum(p["rate"] * y - np.log(p["rate"])))
    covered = 0
    for _ in range(runs):
        y = rng.exponential(size=10)
        res = minimize(f, {"log_rate": 0.0, "m": 0.0}, (y,))
        low, high = profile(f, res, "log_rate", y).interval()
        inside[0] += low <= 0.0 <= high
        direct = minimize(rate, {"rate": 1.0 / np.mean(y)}, (y,))
        low, high = res.confidence_intervals()["log_rate"]
        inside[1] += low <= 0.0 <= high
        low, high = direct.confidence_intervals()["rate"]
        covered += low <= 1.0 <= high
    spread = np.sqrt(0.95 * 0.05 / runs)
    exact = stats.gamma(10)
    ratio = lambda s: 2.0 * (s - 10.0 - 10.0 * np.log(s / 10.0)) - CUT
    ends = [scipy.optimize.brentq(ratio, *pair) for pair in ((1.0, 10.0), (10.0, 40.0))]
    truth = exact.cdf(ends[1]) - exact.cdf(ends[0])
    assert abs(truth - 0.95) < 0.005, "what the profile's level is, exactly"
    assert abs(inside[0] / runs - truth) < 4.0 * spread
    assert abs(covered / runs - 0.95) < 4.0 * spread + 0.02
    assert abs(inside[1] / runs - 0.95) < 4.0 * spread + 0.02
