"""The solvers on problems with known minima, and where well-known solvers report the wrong thing."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose, assert_array_equal
from optimize_problems import SMALL, Problem, brown_dennis, double_well, engval1, large, rosenbrock

from hessian.optimize import OptimizeResult, Status, minimize
from hessian.special import logsumexp

METHODS = ["trust-exact", "trust-ncg", "trust-krylov", "newton", "newton-cg", "arc", "saddle-free"]


def assert_at_minimum(res: OptimizeResult, minima: tuple[float, ...], rtol: float = 1e-8, atol: float = 1e-11) -> None:
    """Check the value against those at which a run may end, and that the result says so."""
    assert res.success, res
    assert min(abs(res.fun - m) - rtol * abs(m) for m in minima) <= atol, res


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", SMALL, ids=lambda p: p.name)
def test_small_problems(problem: Problem, method: str) -> None:
    start = problem.start.copy()
    res = minimize(problem.fun, problem.start, method=method, options={"gtol": 1e-9})
    assert_array_equal(problem.start, start)
    assert_at_minimum(res, problem.minima)
    assert res.status in (Status.CONVERGED, Status.CONVERGED_SEMIDEFINITE)
    assert_allclose(res.gradient_norm, np.linalg.norm(res.jac), rtol=1e-12)
    assert res.gradient_norm <= 1e-9
    assert res.smallest_eigenvalue > -1e-6
    assert_allclose(problem.fun(res.x), res.fun, rtol=1e-12)


# Products spent when this was written, and 25 % to spare for other versions of the numerical libraries.
BUDGETS = {"engval1": 60, "freuroth": 65, "tointgss": 35, "arwhead": 15, "tridia": 2100}


@pytest.mark.parametrize("problem", large(), ids=lambda p: p.name)
def test_large_problems(problem: Problem) -> None:
    res = minimize(problem.fun, problem.start, options={"gtol": 1e-8})
    # Steps of few products stay with products; from long ones the run goes on with sparse factors.
    assert (res.method, res.structure) == (
        ("trust-exact", "sparse") if problem.name == "tridia" else ("trust-ncg", "operator")
    )
    assert_at_minimum(res, problem.minima, rtol=1e-10)
    assert res.n_hvp <= BUDGETS[problem.name]
    assert res.n_hess == (2 if problem.name == "tridia" else 0)


@pytest.mark.parametrize("method", ["trust-krylov", "newton-cg", "arc", "saddle-free"])
@pytest.mark.parametrize("problem", large(), ids=lambda p: p.name)
def test_large_problems_by_every_method_on_products(problem: Problem, method: str) -> None:
    res = minimize(problem.fun, problem.start, method=method, options={"gtol": 1e-8})
    assert_at_minimum(res, problem.minima, rtol=1e-10)
    assert res.n_hvp <= BUDGETS[problem.name]


# Where well-known solvers report the wrong thing.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", [(0.0, 0.0), (0.0, 1.0)])
def test_a_saddle_is_left(start: tuple[float, float], method: str) -> None:
    res = minimize(double_well, np.array(start), method=method, options={"gtol": 1e-8})
    assert res.status is Status.CONVERGED
    assert_allclose(res.fun, -0.25, rtol=1e-12)
    assert_allclose([abs(res.x[0]), res.x[1]], [1.0, 0.0], atol=1e-7)
    # The Hessian there is diag(3 x^2 - 1, 1) = diag(2, 1).
    assert_allclose(res.smallest_eigenvalue, 1.0, rtol=1e-6)


def test_a_saddle_in_many_dimensions_is_left() -> None:
    def wells(x: Any) -> Any:
        return np.sum(x[:3] ** 4 / 4.0 - x[:3] ** 2 / 2.0) + 0.5 * np.sum(x[3:] ** 2)

    res = minimize(wells, np.zeros(500))
    assert res.status is Status.CONVERGED
    assert_allclose(res.fun, -0.75, rtol=1e-12)


def test_without_the_check_the_status_says_so() -> None:
    res = minimize(double_well, np.zeros(2), options={"check_curvature": False})
    assert (res.status, res.nit, res.n_hess, res.n_hvp) == (Status.CONVERGED_UNCHECKED, 0, 0, 0)
    assert math.isnan(res.smallest_eigenvalue)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1, 100])
def test_a_trial_outside_the_domain_is_a_rejected_step(size: int, method: str) -> None:
    # The first Newton step from 5 leads to 5 - 20: log gives NaN there.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        res = minimize(lambda x: np.sum(x - np.log(x)), np.full(size, 5.0), method=method)
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, 1.0, atol=1e-6)
    assert any(not record.accepted and math.isnan(record.ratio) for record in res.history[1:])


def test_the_limit_of_precision_is_not_called_a_failure_of_the_model() -> None:
    res = minimize(engval1, np.full(5000, 2.0), options={"gtol": 1e-8})
    assert res.status is Status.CONVERGED
    assert_allclose(res.fun, 5548.6684194, rtol=1e-11)
    beyond = minimize(engval1, np.full(5000, 2.0, np.float32), options={"gtol": 1e-7})
    assert beyond.status is Status.PRECISION
    assert not beyond.success
    assert beyond.gradient_norm < 1e-3
    assert beyond.nit < 30


@pytest.mark.parametrize("start", [np.tile([-1.2, 1.0], 25), np.zeros(50), np.linspace(-1.0, 1.0, 50)])
def test_fewer_products_than_scipy(start: np.ndarray) -> None:
    rosen, der, prod = scipy.optimize.rosen, scipy.optimize.rosen_der, scipy.optimize.rosen_hess_prod
    ours = minimize(rosen, start, method="trust-ncg", options={"gtol": 1e-8})
    assert_at_minimum(ours, (0.0, 3.986623854300934))  # the chain has a second minimum, near x[0] = -1
    for method in ("trust-ncg", "trust-krylov"):
        theirs = scipy.optimize.minimize(rosen, start, method=method, jac=der, hessp=prod, options={"gtol": 1e-8})
        assert ours.n_hvp < theirs.nhev


# Theory.


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("distance", [1.0, 1e6])
def test_newton_solves_a_quadratic_in_one_step(seed: int, distance: float) -> None:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((8, 8))
    a = a @ a.T + np.eye(8)
    solution = distance * rng.standard_normal(8)
    res = minimize(lambda x: 0.5 * (x - solution) @ (a @ (x - solution)), np.zeros(8), method="newton")
    assert (res.status, res.nit, res.n_value, res.n_hess) == (Status.CONVERGED, 1, 2, 2)
    assert_allclose(res.x, solution, rtol=1e-9)


def test_newton_converges_quadratically() -> None:
    res = minimize(rosenbrock, [-1.2, 1.0], method="newton", options={"gtol": 1e-12})
    steps = [record.gradient_norm for record in res.history if record.accepted][-4:]
    assert steps[-2] < 10 * steps[-3] ** 1.5 or steps[-1] < 1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exponent", [-400, 400])
def test_a_power_of_two_times_the_objective_takes_the_same_steps(exponent: int, method: str) -> None:
    scale = 2.0**exponent
    plain = minimize(rosenbrock, [-1.2, 1.0], method=method)
    scaled = minimize(lambda x: scale * rosenbrock(x), [-1.2, 1.0], method=method, options={"gtol": scale * 1e-6})
    assert scaled.nit == plain.nit
    assert_allclose(scaled.x, plain.x, rtol=1e-12)
    assert_allclose(scaled.fun / scale, plain.fun, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_next_to_which_the_decrease_vanishes(method: str) -> None:
    # 1e6 resolves 1e-10; the last steps predict less.
    res = minimize(lambda x: 1e6 + rosenbrock(x), [-1.2, 1.0], method=method, options={"gtol": 1e-8})
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, 1.0, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_a_value_that_is_small_by_cancellation(method: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((20, 20))
    a = a @ a.T + np.eye(20)
    solution = 100.0 * np.arange(20.0)
    b = a @ solution
    # The sum of three terms of size 1e7 is zero at the solution.
    res = minimize(lambda x: 0.5 * x @ (a @ x) - b @ x + 0.5 * solution @ b, np.zeros(20), method=method)
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, solution, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_an_unreachable_tolerance_ends_in_a_status_that_says_so(method: str) -> None:
    res = minimize(brown_dennis, [25.0, 5.0, -5.0, -1.0], method=method, options={"gtol": 0.0})
    assert res.status in (Status.PRECISION, Status.CONVERGED)
    assert_allclose(res.fun, 85822.20162636, rtol=1e-12)
    assert res.nit < 40


@pytest.mark.parametrize("method", METHODS)
def test_unbounded_below(method: str) -> None:
    for fun in (lambda x: -x[0], lambda x: x[0] ** 2 - x[1] ** 2):
        res = minimize(fun, [1.0, 2.0], method=method)
        assert (res.status, res.success) == (Status.UNBOUNDED, False)
        assert res.nit < 100


@pytest.mark.parametrize("method", METHODS)
def test_a_kink_stalls(method: str) -> None:
    res = minimize(lambda x: np.abs(x[0]) + 0.5 * np.abs(x[1] - x[0]), [1.0, 2.3], method=method)
    assert res.status in (Status.STALLED, Status.MAX_ITERATIONS)
    assert not res.success
    # A line search and the cubic term have nothing to hold on to where there is no curvature.
    assert res.fun < (1.0 if method in ("newton", "newton-cg", "arc") else 1e-3)


def test_negative_curvature_that_nothing_can_exploit() -> None:
    # The kink at 0 hides the descent of -1e-6 x^2; the gradient there is 0 by convention.
    res = minimize(lambda x: np.abs(x[0]) - 1e-6 * x[0] ** 2 + x[1] ** 2, [0.0, 1.0], method="trust-ncg")
    assert (res.status, res.success) == (Status.NEGATIVE_CURVATURE, False)
    assert_allclose(res.smallest_eigenvalue, -2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_flat_directions_are_called_semidefinite(method: str) -> None:
    res = minimize(lambda x: (x[0] + x[1] - 1.0) ** 2, [3.0, 0.0], method=method)
    assert (res.status, res.success) == (Status.CONVERGED_SEMIDEFINITE, True)
    # The shortest way to the line.
    assert_allclose(res.x, [2.0, -1.0], atol=1e-7)
    constant = minimize(lambda x: 1.0 + 0.0 * np.sum(x), [1.0, 2.0], method=method)
    assert (constant.status, constant.nit) == (Status.CONVERGED_SEMIDEFINITE, 0)


def test_a_few_lanczos_steps_may_not_decide() -> None:
    scales = np.geomspace(1e-6, 1.0, 500)
    res = minimize(lambda x: 0.5 * np.sum(scales * x**2), 1e-7 * np.ones(500))
    assert (res.status, res.success) == (Status.CONVERGED_UNDECIDED, True)
    assert (res.n_hvp, res.n_hess) == (40, 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_jump_at_zero_ends_without_warnings(method: str) -> None:
    # Steps down to the smallest numbers there are: no warning of NumPy's leaves the solver.
    res = minimize(lambda x: x[0] + 10.0 * (x[0] < 0), [0.5], method=method)
    assert not res.success
    assert 0.0 <= res.x[0] < 1e-100


@pytest.mark.parametrize("method", METHODS)
def test_second_derivatives_that_are_infinite(method: str) -> None:
    # |x|^1.5 has an infinite second derivative at 0, where the second variable starts.
    res = minimize(lambda x: np.sum(np.abs(x) ** 1.5), [1.0, 0.0], method=method)
    assert res.success or res.status is Status.STALLED
    assert res.fun < 1e-5


# Precision, structure, determinism.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", SMALL[:8], ids=lambda p: p.name)
def test_float32(problem: Problem, method: str) -> None:
    res = minimize(problem.fun, problem.start.astype(np.float32), method=method)
    assert res.x.dtype == res.jac.dtype == np.float32
    assert res.success or res.status is Status.PRECISION
    assert min(abs(res.fun - m) / max(1.0, m) for m in problem.minima) < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_same_run_twice(method: str) -> None:
    start = np.tile([-1.2, 1.0], 50)
    runs = [minimize(rosenbrock, start, method=method, options={"rng": 3}) for _ in range(2)]
    assert_array_equal(runs[0].x, runs[1].x)

    def rows(res: OptimizeResult) -> list[tuple[float, ...]]:
        return [(r.value, r.gradient_norm, r.radius, r.step_norm, r.n_hvp, r.n_hess) for r in res.history[1:]]

    assert rows(runs[0]) == rows(runs[1])


@pytest.mark.parametrize("method", METHODS)
def test_containers_keep_their_structure(method: str) -> None:
    x = np.random.default_rng(0).standard_normal((40, 3))
    labels = np.arange(40) % 2

    def loss(params: dict[str, Any]) -> Any:
        hidden = np.tanh(x @ params["layers"][0] + params["bias"])
        logits = np.stack([0.0 * hidden, hidden], axis=1)
        data = np.mean(logsumexp(logits, axis=1) - logits[np.arange(40), labels])
        return data + 0.01 * (np.sum(params["layers"][0] ** 2) + params["bias"] ** 2)

    start = {"layers": [np.zeros(3)], "bias": np.array(0.5)}
    res = minimize(loss, start, method=method)
    assert res.success
    assert list(res.x) == list(res.jac) == ["layers", "bias"]
    assert res.x["layers"][0].shape == (3,)
    assert res.jac["bias"].shape == ()
    assert_array_equal(start["layers"][0], 0.0)
    flat = minimize(lambda v: loss({"layers": [v[:3]], "bias": v[3]}), np.r_[np.zeros(3), 0.5], method=method)
    assert_allclose(np.r_[res.x["layers"][0], res.x["bias"]], flat.x, rtol=1e-10)


def test_matrices_keep_their_shape() -> None:
    target = np.arange(6.0).reshape(2, 3)
    res = minimize(lambda w: np.sum((w - target) ** 2), np.zeros((2, 3)))
    assert_allclose(res.x, target)
    assert res.jac.shape == (2, 3)


def test_more_than_one_precision_is_promoted() -> None:
    start = {"a": np.zeros(2, np.float32), "b": np.zeros(2)}
    res = minimize(lambda t: np.sum((t["a"] - 1.0) ** 2) + np.sum((t["b"] - 2.0) ** 2), start)
    assert res.x["a"].dtype == np.float64
    assert_allclose(res.x["a"], 1.0)
