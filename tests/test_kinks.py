"""Endings at kinks: slopes to the two sides tell minima from maxima there, and from kinks that cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import ConvergenceError
from hessian.optimize import Status, minimize
from hessian.tape.kinks import kinked_slopes
from hessian.tape.trace import trace

METHODS = ["trust-ncg", "trust-krylov", "trust-exact", "newton", "newton-cg", "arc", "saddle-free"]
X = np.array([[1.0, 2.0], [3.0, -1.0], [-1.0, -2.0]])
Function = Callable[[Any], Any]


def _slopes(f: Function, x: list[float]) -> Any:
    x = np.array(x)
    return kinked_slopes(trace(f, (x,), where="test"), [[d] for d in np.eye(x.size)])


KINKS: dict[str, tuple[Function, list[float], float]] = {
    "modulus": (lambda x: np.sum(np.abs(x)), [0.0, 1.0], -1.0),
    "fabs": (lambda x: np.fabs(x[0]) + 3 * x[1], [0.0, 1.0], -3.0),
    "concave": (lambda x: -2 * np.abs(x[0]) + x[1] ** 2, [0.0, 0.0], -2.0),
    "maximum": (lambda x: np.maximum(x[0], x[1]), [1.0, 1.0], 0.0),
    "minimum": (lambda x: np.minimum(x[0], 2 * x[1]), [2.0, 1.0], -2.0),
    "max": (lambda x: np.max(x), [1.0, 1.0], 0.0),
    "min": (lambda x: 5 * np.min(x), [1.0, 1.0], -5.0),
    "norm": (lambda x: np.linalg.norm(x), [0.0, 0.0], 0.0),
    "clip": (lambda x: np.clip(x[0], 0.0, 1.0) + np.clip(x[1], 0.0, 1.0), [0.0, 1.0], -1.0),
    "clip above": (lambda x: np.clip(x[0], 0.0, 1.0) + 0 * x[1], [1.0, 0.0], -1.0),
    "nested": (lambda x: np.maximum(np.abs(x[0]), 2 * np.abs(x[1])), [0.0, 0.0], 0.0),
}


@pytest.mark.parametrize("name", KINKS)
def test_slopes_to_the_sides_of_a_kink(name: str) -> None:
    f, x, least = KINKS[name]
    found = _slopes(f, x)
    assert found is not None
    assert found.least == least
    if least:
        (direction,), h = found.direction, 1e-6
        assert_allclose((f(np.array(x) + h * direction) - f(np.array(x))) / h, least, rtol=1e-5)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.abs(x) ** 2) + np.linalg.norm(x) ** 2,
        lambda x: np.sum(np.maximum(x, 0) ** 2),
        lambda x: np.sum(np.maximum(X @ x, 0) + np.log1p(np.exp(-np.abs(X @ x)))),
        lambda x: np.log(np.sum(np.exp(x - np.max(x)))) + np.max(x),
        lambda x: np.maximum(x[0], x[1]) + np.minimum(x[0], x[1]),
        lambda x: np.sum(np.abs(x + 1)),
        lambda x: np.abs(x[0]) * 0.0 + x[1],
    ],
)
def test_kinks_that_cancel_are_none(f: Function) -> None:
    assert _slopes(f, [0.0, 0.0]) is None


@pytest.mark.parametrize("method", METHODS)
def test_a_minimum_at_a_kink_is_called_one(method: str) -> None:
    f = lambda x: np.sum(np.abs(x - 1)) + 0.5 * np.sum((x - 1) ** 2)
    result = minimize(f, np.array([3.0, -2.0]), method=method)
    assert result.status == Status.CONVERGED_AT_KINK
    assert result.success
    assert_allclose(result.x, [1, 1])
    assert "no derivative" in result.message
    assert "eigenvalue" not in result.message
    with pytest.raises(ConvergenceError, match="covariance: the objective has a kink at x"):
        result.covariance()


@pytest.mark.parametrize("method", METHODS)
def test_a_maximum_at_a_kink_is_left(method: str) -> None:
    """By convention the gradients are zero at the start, and the Hessians positive definite."""
    result = minimize(lambda x: np.sum(x**2) - np.sum(np.abs(x)), np.zeros(2), method=method)
    assert result.status == Status.CONVERGED
    assert_allclose(np.abs(result.x), [0.5, 0.5], atol=1e-6)


def test_a_smooth_objective_with_ties_converges_as_ever() -> None:
    f = lambda w: np.sum(np.maximum(X @ w, 0) - 0.5 * (X @ w) + np.log1p(np.exp(-np.abs(X @ w))))
    result = minimize(f, np.zeros(2))
    assert result.status == Status.CONVERGED
    assert_allclose(result.covariance().matrix, np.linalg.inv(X.T @ X / 4), rtol=1e-12)


def test_a_recorded_objective_and_many_variables() -> None:
    f = hs.record(lambda x: np.sum(np.abs(x)) + np.sum(x**2))
    assert minimize(f, np.zeros(40)).status == Status.CONVERGED_AT_KINK
