"""Statistics at kinks, flat points, without parameters, with bounds that do not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from hessian.curvature import inverse_product
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError
from hessian.statistics import covariance, delta_method, influence, laplace


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
