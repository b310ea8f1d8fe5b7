"""Solvers on hostile problems: statuses that must not lie, scales that must not overflow, options that must not be ignored."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from optimize_problems import rosenbrock

import hessian as hs
from hessian.errors import CheckpointError, OptionError
from hessian.optimize import OptimizeResult, Status, minimize
from hessian.optimize.choice import METHODS

START = np.array([-1.2, 1.0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exponent", [-200, -150, 150, 200])
def test_values_of_any_scale(exponent: int, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scale = 10.0**exponent
        res = minimize(lambda x: scale * rosenbrock(x), START, method=method, options={"gtol": 1e-6 * scale})
    assert res.success, res
    assert_allclose(res.x, 1.0, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exponent", [-100, -60, 60, 100])
def test_variables_of_any_scale(exponent: int, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unit = 2.0 ** (3 * exponent)
        res = minimize(lambda x: rosenbrock(x / unit), START * unit, method=method, options={"gtol": 1e-6 / unit})
    assert_allclose(rosenbrock(res.x / unit), res.fun, atol=1e-12)
    # Where variables are tiny, the tenth of unity that a step without a length begins with leads far away at first.
    assert res.fun < rosenbrock(START)
    if exponent > 0 or method in ("trust-exact", "trust-ncg", "trust-krylov", "saddle-free"):
        assert res.success, res


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("constant", [0.0, 1e8])
def test_ill_conditioned_quadratics_are_no_kinks(constant: float, method: str) -> None:
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    matrix = (q * np.logspace(0, 8, 30)) @ q.T
    res = minimize(lambda x: 0.5 * x @ (matrix @ x) + constant, np.ones(30), method=method)
    assert res.success or res.status is Status.PRECISION, res
    assert_allclose(res.x, 0.0, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_an_eigenvalue_of_another_point_is_not_reported(method: str) -> None:
    res = minimize(lambda x: x[0] ** 4 - x[0] ** 2 + x[1] ** 2, [0.0, 0.0], method=method, options={"maxiter": 2})
    assert res.status is Status.MAX_ITERATIONS
    assert np.isnan(res.smallest_eigenvalue)
    assert "Smallest eigenvalue" not in res.message
    assert_allclose(res.saddles[0].eigenvalue, -2.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("fun", "start"),
    [(lambda x: -np.log(x[0]), [1.0]), (lambda x: np.exp(-x[0]), [1.0]), (lambda x: np.log1p(np.exp(-x[0])), [0.0])],
    ids=["log", "exp", "logistic"],
)
def test_a_minimum_at_infinity_is_not_called_one(fun: Any, start: list[float], method: str) -> None:
    res = minimize(fun, start, method=method)
    assert res.status is not Status.CONVERGED, res


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "fun",
    [lambda x: np.sum(np.abs(x)), lambda x: np.max(np.abs(x)), lambda x: np.sqrt(np.sum(x**2))],
    ids=["sum", "max", "norm"],
)
def test_kinks_end_without_a_crash(fun: Any, method: str) -> None:
    options: dict[str, Any] = {"preconditioner": "lbfgs"} if method == "trust-ncg" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        res = minimize(fun, [1.3, -0.7], method=method, options={**options, "maxiter": 300})
    assert res.status is not Status.CONVERGED or res.gradient_norm <= 1e-6
    assert res.fun <= fun(np.array([1.3, -0.7]))


@pytest.mark.parametrize("method", METHODS)
def test_exponentials_from_far_away(method: str) -> None:
    def fun(x: Any) -> Any:
        return np.exp(x[0] + 3 * x[1] - 0.1) + np.exp(x[0] - 3 * x[1] - 0.1) + np.exp(-x[0] - 0.1)

    res = minimize(fun, [50.0, 50.0], method=method)
    assert res.success, res
    assert_allclose(res.fun, 2.5592666966582, rtol=1e-9)


def test_another_objective_is_noticed_on_resuming(tmp_path: Path) -> None:
    chain = np.tile(START, 20)
    options = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 0.0, "maxiter": 9}
    minimize(rosenbrock, chain, options=options)
    resume = {**options, "resume": True, "maxiter": 50}
    with pytest.raises(CheckpointError, match="The function, its arguments or its data have changed since"):
        minimize(lambda x, a: a * rosenbrock(x), chain, args=(1e-3,), options=resume)
    with pytest.raises(CheckpointError, match="have changed since"):
        minimize(lambda x: rosenbrock(x) + 1e-3 * np.sum(x**2), chain, options=resume)
    assert minimize(rosenbrock, chain, options={**resume, "maxiter": 500}).success


def test_another_preconditioner_is_noticed_on_resuming(tmp_path: Path) -> None:
    chain = np.tile(START, 20)
    options = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 0.0, "maxiter": 9, "preconditioner": "jacobi"}
    minimize(rosenbrock, chain, options=options)
    with pytest.raises(CheckpointError, match="preconditioner 'jacobi' there, 'lbfgs' here"):
        minimize(rosenbrock, chain, options={**options, "resume": True, "preconditioner": "lbfgs"})


@pytest.mark.parametrize("preconditioner", ["jacobi", "lbfgs"])
@pytest.mark.parametrize("size", [40, 300])
@pytest.mark.parametrize("max_hvp", [1, 7, 20])
def test_the_budget_of_products_holds(max_hvp: int, size: int, preconditioner: str) -> None:
    start = np.tile(START, size // 2)
    options = {"max_hvp": max_hvp, "preconditioner": preconditioner}
    res = minimize(rosenbrock, start, method="trust-ncg", options=options)
    assert res.n_hvp <= max_hvp
    assert res.status is Status.MAX_HVP


@pytest.mark.parametrize(
    ("method", "option", "setting"),
    [
        ("newton", "initial_radius", 1.0),
        ("newton-cg", "max_radius", 1.0),
        ("arc", "initial_radius", 1.0),
        ("trust-ncg", "initial_regularization", 1.0),
        ("trust-exact", "max_cg", 5),
        ("newton", "max_cg", 5),
        ("trust-krylov", "preconditioner", "lbfgs"),
    ],
)
def test_options_that_would_be_ignored_are_refused(method: str, option: str, setting: Any) -> None:
    with pytest.raises(OptionError, match=f"method '{method}' takes no {option}"):
        minimize(rosenbrock, START, method=method, options={option: setting})


def test_results_of_scipys_methods_have_an_empty_history() -> None:
    assert minimize(rosenbrock, START, method="BFGS").history == []


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_a_maximum(method: str) -> None:
    res = minimize(lambda x: np.sum(x**4) - np.sum(x**2), np.zeros(3), method=method, options={"gtol": 1e-8})
    assert res.success, res
    assert_allclose(res.fun, -0.75, atol=1e-9)


def test_certificates_agree_with_the_dense_hessian() -> None:
    rng = np.random.default_rng(3)
    data = rng.standard_normal((50, 90))

    def fun(x: Any) -> Any:
        return np.sum(np.log1p(np.exp(data @ x))) + 0.5 * 0.3 * x @ x

    res: OptimizeResult = minimize(fun, np.zeros(90), method="trust-ncg")
    values = np.linalg.eigvalsh(hs.hessian(fun)(res.x))
    assert np.min(np.abs(values - res.smallest_eigenvalue)) <= res.smallest_eigenvalue_residual + 1e-12
