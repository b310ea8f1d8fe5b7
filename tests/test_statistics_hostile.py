"""Statistics at kinks, flat points, without parameters, with bounds that do not hold."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special
from scipy.sparse.linalg import aslinearoperator

import hessian as hs
from hessian.curvature import inverse_product
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ScaleWarning, ShapeMismatchError
from hessian.optimize import least_squares, minimize
from hessian.statistics import covariance, delta_method, influence, laplace, likelihood_ratio_test, profile, wald_test


def normal(n: int = 2) -> Any:
    """Independent estimates of zero with standard errors of one."""
    return covariance(lambda p: 0.5 * np.sum(p**2), np.zeros(n))


@pytest.mark.parametrize(
    "g",
    [
        lambda p: np.abs(p[0]),
        lambda p: p[0] ** 3,
        lambda p: p[0] ** 4,
        lambda p: np.round(2.0 * p[0]),
        lambda p: np.abs(p[0]) * p[1] ** 2 + p[0] ** 3,
        lambda p: 1e6 + np.maximum(p[0], -p[0]),
    ],
)
def test_what_derivatives_do_not_see_is_not_nothing(g: Callable[[Any], Any]) -> None:
    """First and second derivatives vanish; over a standard error of the parameters g changes by one."""
    found = delta_method(g, normal())
    assert np.isinf(found.standard_error)
    assert "± inf, not bounded where it is flat to second order only" in repr(found)


@pytest.mark.parametrize(
    ("g", "error"),
    [
        (lambda p: 3.0 + 0.0 * p[0], 0.0),
        (lambda p: p[0] ** 2, np.sqrt(2.0)),
        (lambda p: p[0] * p[1], 1.0),
        (lambda p: np.sin(p[0]) + 5.0, 1.0),
        (lambda p: 1e6 * np.cos(1e-9 * p[0]), 0.0),
        (lambda p: np.exp(p[0]), 1.0),
        (lambda p: np.log(0.5 + p[0]), 2.0),
    ],
)
def test_what_derivatives_do_see_is_as_before(g: Callable[[Any], Any], error: float) -> None:
    assert delta_method(g, normal()).standard_error == pytest.approx(error, abs=1e-9)


def test_only_the_entries_that_derivatives_do_not_see_are_not_bounded() -> None:
    found = delta_method(lambda p: {"a": np.stack([p[0], np.abs(p[1])]), "b": p[0] ** 2}, normal())
    assert found.standard_error["a"].tolist() == [pytest.approx(1.0), np.inf]
    assert found.standard_error["b"] == pytest.approx(np.sqrt(2.0))


def test_functions_that_raise_a_standard_error_away() -> None:
    def picky(p: Any) -> Any:
        if p[0] > 0.5:
            raise ValueError("too far")
        return 2.0 * p[0]

    found = covariance(lambda p: 0.5 * np.sum(p**2), np.zeros(1))
    assert delta_method(picky, found).standard_error == pytest.approx(2.0)


@pytest.mark.filterwarnings("error:invalid value encountered in matmul")
def test_derivatives_that_are_not_finite() -> None:
    for g in (lambda p: np.sqrt(p[0]), np.linalg.norm):
        with pytest.raises(NonFiniteError, match="f or a derivative of it is not finite"), np.errstate(all="ignore"):
            delta_method(g, normal())


@pytest.mark.parametrize(
    "use",
    [
        lambda f: covariance(f, np.zeros(0)),
        lambda f: laplace(f, np.zeros(0), prior_precision=1.0),
    ],
)
def test_no_parameters(use: Callable[[Any], Any]) -> None:
    with pytest.raises(ShapeMismatchError, match="x holds no numbers"):
        use(lambda x: np.sum(x**2))


@pytest.mark.parametrize("precision", ["a", np.ones(2) * 1j, np.ones(2, bool), True])
def test_priors_that_are_no_real_numbers(precision: Any) -> None:
    with pytest.raises(OptionError, match="prior_precision has dtype"):
        laplace(lambda x: np.sum(x**2), np.zeros(2), prior_precision=precision)


def test_priors_far_from_one() -> None:
    for precision in (1e-300, 1e300):
        found = laplace(lambda x: 0.5 * np.sum(x**2), np.zeros(2), prior_precision=precision)
        assert found.effective_parameters == pytest.approx(2.0 / (1.0 + precision), abs=1e-12)


def test_lower_bounds_that_the_solution_refutes() -> None:
    H = np.diag([1.0, 2.0, 4.0])
    for use in (
        lambda bound: inverse_product(H, np.ones(3), lower_bound=bound),
        lambda bound: inverse_product(aslinearoperator(H), np.ones(3), damping=0.5, lower_bound=bound),
        lambda bound: influence(H, np.ones((2, 3)), np.ones(3), lower_bound=bound),
    ):
        with pytest.raises(OptionError, match="lower_bound is 5, and H has an eigenvalue of at most"):
            use(5.0)
        assert np.all(np.isfinite(use(1.0).standard_error))


RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(60), RNG.standard_normal((60, 2))])
Y = (RNG.random(60) < special.expit(X @ [0.2, 1.0, -1.0])).astype(float)


def logistic(x: Any = X, y: Any = Y) -> tuple[Any, Any]:
    """Return the terms of a regression, and its fit."""
    terms = lambda b: np.logaddexp(0.0, x @ b) - y * (x @ b)
    return terms, minimize(lambda b: np.sum(terms(b)), np.zeros(x.shape[1]))


GROUPS = np.arange(60) % 7
LETTERS = [*"abcdef"] * 10


class _Unsaid:
    """Like pandas.NA: it does not say whether it is another."""

    def __ne__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("ambiguous")


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ([None, *LETTERS[1:]], "1 examples have the group NaN, None"),
        ([np.nan, *LETTERS[1:]], "1 examples"),
        ([np.nan, 1, *LETTERS[2:]], "1 examples"),
        ([_Unsaid(), *LETTERS[1:]], "1 examples"),
        (np.where(GROUPS == 0, np.datetime64("NaT", "D"), GROUPS.astype("M8[D]")), "9 examples"),
        (np.ma.masked_equal(GROUPS, 0), "9 examples"),
        (np.array([[1], *LETTERS[1:]], dtype=object), "a group is no label: unhashable type"),
    ],
)
def test_groups_that_are_missing_are_no_group(groups: Any, text: str) -> None:
    terms, res = logistic()
    with pytest.raises(OptionError, match=text):
        res.covariance("cluster", per_example=terms, groups=groups)


def test_groups_of_any_labels_are_those_of_numbers() -> None:
    terms, res = logistic()
    known = res.covariance("cluster", per_example=terms, groups=GROUPS).standard_error
    labels = np.array([1, "1", 2.5, ("a", 1), b"b", frozenset(), True + 1.0], dtype=object)
    for groups in (labels[GROUPS], [f"g{k}" for k in GROUPS], np.ma.array(GROUPS), GROUPS.astype("M8[D]")):
        found = res.covariance("cluster", per_example=terms, groups=groups).standard_error
        np.testing.assert_allclose(found, known, rtol=1e-13)


@pytest.mark.parametrize("column", [None, (np.arange(60) < 5).astype(float)], ids=["all", "one"])
@pytest.mark.parametrize("structure", ["dense", "sparse"])
def test_classes_that_are_separated_so_far_that_the_gradient_is_rounding(column: Any, structure: str) -> None:
    if column is None:
        b, x, y = np.array([-82.66123241, 1040.45175772, 86.36727181]), X, (X[:, 1] > 0.0).astype(float)
    else:
        x, y = np.column_stack([X, column]), np.where(column, 1.0, Y)
        _, rest = logistic(x[5:, :3], y[5:])
        b = np.append(rest.x, 33.0)
    # The others are at their minimum, and the last is as good as at infinity.
    nll = lambda b: np.sum(np.logaddexp(0.0, x @ b) - y * (x @ b))
    with pytest.raises(ConvergenceError, match=r"to either side the curvature is gone.*separated"):
        covariance(nll, b, structure=structure)


def test_estimates_of_zero_have_errors() -> None:
    def picky(p: Any) -> Any:
        if abs(p[0]) > 0.05:
            raise ValueError("too far")
        return np.sum(np.cosh(p))

    for f in (lambda p: np.sum(np.cosh(p)), lambda p: np.sum(np.cosh(p)) + 0.0 * np.sqrt(1e-4 - p[0] ** 2), picky):
        np.testing.assert_allclose(covariance(f, np.zeros(3)).standard_error, 1.0)


@pytest.mark.parametrize(
    ("R", "r", "error", "text"),
    [
        ([np.nan, 0.0, 1.0], 0.0, NonFiniteError, "holds NaN or infinity"),
        ([0.0, 0.0, 1.0], np.inf, NonFiniteError, "holds NaN or infinity"),
        ({}, 0.0, OptionError, "there are no conditions"),
        ([], 0.0, OptionError, "there are no conditions"),
        ({0: [1.0, 2.0]}, 0.0, ShapeMismatchError, r"x\[0\] of shape \(\)"),
        ({"x": 0.0}, 1.0, OptionError, "r is given with a dict"),
        ([1j, 0.0, 0.0], 0.0, OptionError, "dtype complex128"),
        (np.array([True, False, True]), 0.0, OptionError, "dtype bool"),
        ("x[0]", "one", ShapeMismatchError, "r has shape"),
    ],
)
def test_conditions_that_are_none(R: Any, r: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        wald_test(normal(3), R, r)


def test_residuals_of_other_data_are_not_compared() -> None:
    big = least_squares(lambda b: X @ b - Y, np.zeros(3))
    small = least_squares(lambda b: X[:50, :2] @ b - Y[:50], np.zeros(2))
    with pytest.raises(OptionError, match="big has 60 residuals, small 50"):
        likelihood_ratio_test(big, small)


def test_levels_near_zero_and_one() -> None:
    terms, res = logistic()
    f = lambda b: np.sum(terms(b))
    tiny = profile(f, res, 0, level=1e-9)
    assert tiny.lower <= tiny.value <= tiny.upper
    level = 1.0 - 1e-16
    reach = np.diff(covariance(f, res.x).interval(level), axis=0)[0] / 2.0 / res.covariance().standard_error
    np.testing.assert_allclose(special.ndtr(-reach), 0.5 - 0.5 * level, rtol=1e-12)
    low, high = res.confidence_intervals("profile", level)[0]
    at = [minimize(f, res.x, fixed={0: end}).fun - res.fun for end in (low, high)]
    np.testing.assert_allclose(np.sqrt(2.0 * np.array(at)), reach[0], rtol=1e-6)


def test_complex_parameters_by_their_parts() -> None:
    z = np.array([1.0 + 2.0j, 0.5 - 1.0j])
    f = lambda p: np.sum(np.abs(p["z"] - z) ** 2) + np.sum(p["z"].imag ** 2)
    res = minimize(f, {"z": np.zeros(2, complex)})
    assert res.summary().names == ("z.real[0]", "z.real[1]", "z.imag[0]", "z.imag[1]")
    intervals = res.confidence_intervals()
    np.testing.assert_array_equal(intervals["z.imag[1]"], intervals.array[3])
    np.testing.assert_array_equal(intervals["z[1]"], intervals.array[[1, 3]])
    np.testing.assert_array_equal(intervals["z", "real", 0], intervals.array[0])
    for key in ("z[1]", ("z", 1)):
        held = minimize(f, {"z": np.zeros(2, complex)}, fixed={key: 3.0 + 1.0j})
        np.testing.assert_allclose(held.x["z"], [1.0 + 1.0j, 3.0 + 1.0j], atol=1e-6)
        assert held.covariance().fixed == ("z.real[1]", "z.imag[1]")
    held = minimize(f, {"z": np.zeros(2, complex)}, fixed={"z.real[0]": 3.0})
    np.testing.assert_allclose(held.x["z"], [3.0 + 1.0j, 0.5 - 0.5j], atol=1e-6)


def test_two_parameters_of_one_name_are_refused() -> None:
    f = lambda p: (p["a.b"] - 1.0) ** 2 + 9.0 * (p["a"]["b"] - 2.0) ** 2
    res = minimize(f, {"a.b": 0.0, "a": {"b": 0.0}})
    with pytest.raises(OptionError, match=r"two parameters are called 'a\.b'"):
        res.summary()


def test_what_is_held_at_no_number() -> None:
    for value in (None, "1"):
        with pytest.raises(ShapeMismatchError, match="Pass a number"):
            minimize(lambda p: np.sum(p**2), np.zeros(2), fixed={0: value})


def test_names_stay_on_their_lines() -> None:
    _, res = logistic()
    table = res.summary(names=["a\n\nb", "<b>\t&", "c"])
    assert "a b &" in table.to_latex()
    assert "  a b " in repr(table)


def test_no_examples_have_no_factors() -> None:
    network = hs.nn.mlp((3, 4, 1))
    for use in (hs.KFACOperator, hs.curvature.gauss_newton_diagonal):
        with pytest.raises(ShapeMismatchError, match="there are no examples"):
            use(network, lambda z: np.sum(z**2), network.init(0), np.zeros((0, 3)))
        with pytest.raises(OptionError, match="does not tell its layers"):
            use(lambda p, x: network(p, x), lambda z: np.sum(z**2), network.init(0), np.zeros((2, 3)))


def test_bounds_and_constraints_of_copies() -> None:
    f = lambda p: 2.0 * (p[0] - 0.3) ** 2 + 2.0 * (p[1] - p[0]) ** 2
    res = minimize(f, np.ones(2), bounds=[(0.0, None), (None, 0.5)])
    known = res.confidence_intervals("profile").array
    tied = minimize(f, np.ones(2), constraints={"type": "eq", "fun": lambda p: p[0] - p[1]})
    for copied in (copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))):
        np.testing.assert_array_equal(copied(res).confidence_intervals("profile", fun=f).array, known)
        with pytest.raises(OptionError, match="does not know its constraints"):
            copied(copied(tied)).covariance(fun=f)


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "SLSQP"])
def test_kinks_at_which_methods_of_others_stop(method: str) -> None:
    f = lambda b: np.sum((b - np.array([0.0, 2.0])) ** 2) + 3.0 * np.abs(b[0])
    res = minimize(f, np.array([0.0, 1.0]), method=method)
    with pytest.raises(ConvergenceError, match=r"f has a kink at x \(absolute\)"):
        res.summary()
    np.testing.assert_allclose(covariance(f, res.x, fixed=[0]).standard_error, [0.0, np.sqrt(0.5)])
    # Kinks that cancel are none.
    at = covariance(lambda b: np.maximum(b[0], 0.0) + np.log1p(np.exp(-np.abs(b[0]))) - 0.5 * b[0], np.zeros(1))
    np.testing.assert_allclose(at.standard_error, 2.0)


def test_an_estimate_on_a_bound_where_the_objective_bends_down() -> None:
    f = lambda p: p[0] - 0.3 * p[0] ** 2 + 0.1 * p[0] ** 3 + (p[1] - p[0]) ** 2
    res = minimize(f, np.ones(2), bounds=[(0.0, None), (None, None)])
    found = profile(f, res, 0)
    np.testing.assert_allclose(np.polyval([0.1, -0.3, 1.0, 0.0], found.upper), 0.5 * found.cut**2, rtol=1e-8)
    assert found.lower == 0.0
    # Where the others have no minimum there, it says which.
    flat = lambda p: (
        p[0] ** 2 + np.exp(-p[1]) * (1.0 + p[0] ** 2) + 0.01 * np.exp(p[1]) * np.maximum(1.0 - p[0] ** 2, 0.0)
    )
    res = minimize(flat, np.array([0.0, 2.0]), bounds=[(-9.0, 9.0), (None, None)])
    with pytest.raises(ConvergenceError, match=r"the fit of the others fails \("):
        profile(flat, res, 0)


@pytest.mark.parametrize("many", [2.0, 0.5, 60.0])
@pytest.mark.parametrize("structure", ["dense", "sparse"])
def test_terms_that_are_a_multiple_but_for_a_constant(many: float, structure: str) -> None:
    terms, res = logistic()
    given = {"kind": "sandwich", "structure": structure}
    f = lambda b: np.sum(terms(b))
    known = covariance(f, res.x, per_example=terms, **given).standard_error
    np.testing.assert_allclose(
        covariance(f, res.x, per_example=lambda b: terms(b) + 3.0, **given).standard_error, known
    )
    with pytest.raises(OptionError, match=f"add up to {many:g} times scale"):
        covariance(f, res.x, per_example=lambda b: many * terms(b) + 3.0, **given)


def test_penalties_are_no_multiples() -> None:
    y = RNG.standard_normal(20) + 1.0
    terms = lambda m: 0.5 * (y - m[0]) ** 2
    f = lambda m: np.sum(terms(m)) + 5.0 * m[0] ** 2
    res = minimize(f, np.zeros(1))
    found = covariance(f, res.x, kind="HC0", per_example=terms)
    np.testing.assert_allclose(found.standard_error, np.linalg.norm(y - res.x) / 30.0)


def test_a_mean_is_not_compared_with_a_sum() -> None:
    terms, res = logistic()
    mean = minimize(lambda b: np.mean(terms(b)), np.zeros(3))
    held = [minimize(lambda b, take=take: take(terms(b)), np.zeros(3), fixed=[1, 2]) for take in (np.sum, np.mean)]
    with pytest.warns(ScaleWarning, match="of the larger model, unlike the other, f is the mean"):
        likelihood_ratio_test(mean, held[0])
    with pytest.warns(ScaleWarning, match=r"of the smaller model, unlike the other, scale \* f is 60 times the sum"):
        likelihood_ratio_test(mean, held[0], scale=60.0)
    with pytest.warns(ScaleWarning) as caught:
        likelihood_ratio_test(mean, held[1])
    assert len(caught) == 1
    assert "unlike" not in str(caught[0].message)
    np.testing.assert_array_equal(list(res.confidence_intervals()), res.confidence_intervals().array)
