"""Nonlinear least squares: certified regressions, known minima, robust losses against SciPy, edges, counts."""

from __future__ import annotations

import math
from typing import Any

import nist
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from optimize_problems import SMALL, Problem
from residual_problems import RESIDUALS

import hessian as hs
from hessian.errors import CheckpointError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.linalg.limits import LEAST_SQUARES_ORDER
from hessian.optimize import OptimizeResult, Status
from hessian.optimize.least_squares import least_squares
from hessian.optimize.levenberg_marquardt import decompose
from hessian.optimize.regression import fit_statistics
from hessian.optimize.residuals import Residuals
from hessian.optimize.robust_losses import LOSSES, find_loss

METHODS = ["lm", "gauss-newton-cg"]
ROBUST = ["soft_l1", "huber", "cauchy", "arctan"]


# Certified values.


@pytest.mark.parametrize("start", [0, 1], ids=["start1", "start2"])
@pytest.mark.parametrize("name", nist.NAMES)
def test_nist(name: str, start: int) -> None:
    data = nist.read(name)
    res = least_squares(data.residuals, data.starts[start], method="lm")
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, data.parameters, rtol=5e-9)
    assert_allclose(res.standard_error, data.standard_deviations, rtol=5e-7)
    assert_allclose(2.0 * res.cost, data.sum_of_squares, rtol=5e-7)
    assert_allclose(res.residual_std, data.residual_std, rtol=5e-7)
    assert_allclose(res.standard_error, np.sqrt(np.diag(res.covariance().matrix)), rtol=1e-10)
    assert res.nit <= 200


@pytest.mark.parametrize("start", [0, 1], ids=["start1", "start2"])
@pytest.mark.parametrize("name", nist.NAMES)
def test_nist_by_products(name: str, start: int) -> None:
    data = nist.read(name)
    res = least_squares(data.residuals, data.starts[start], method="gauss-newton-cg")
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, data.parameters, rtol=5e-9)
    assert_allclose(2.0 * res.cost, data.sum_of_squares, rtol=5e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", SMALL, ids=lambda p: p.name)
def test_problems_of_more_garbow_and_hillstrom(problem: Problem, method: str) -> None:
    residuals = RESIDUALS[problem.name]
    assert_allclose(np.sum(residuals(problem.start) ** 2), problem.fun(problem.start), rtol=1e-13)
    start = problem.start.copy()
    res = least_squares(residuals, problem.start, method=method)
    assert_array_equal(problem.start, start)
    is_singular = problem.name.startswith("powell")
    assert res.status is (Status.CONVERGED_SEMIDEFINITE if is_singular else Status.CONVERGED)
    assert min(abs(2.0 * res.cost - m) - 1e-9 * m for m in problem.minima) <= 1e-14
    assert res.optimality <= 1e-10 or "lost in the rounding" in res.message
    assert_allclose(res.cost, 0.5 * np.sum(res.fun**2), rtol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", SMALL, ids=lambda p: p.name)
def test_float32(problem: Problem, method: str) -> None:
    residuals = RESIDUALS[problem.name]
    res = least_squares(residuals, problem.start.astype(np.float32), method=method)
    assert res.x.dtype == res.grad.dtype == np.float32
    # In single precision the penalty of 1e-5 leaves the minimum of some uncertain along a circle.
    assert res.success or (res.status is Status.CONVERGED_FAR and problem.name.startswith("penalty1"))
    assert min(abs(2.0 * res.cost - m) / max(1.0, m) for m in problem.minima) < 1e-5


def test_large_residuals_converge_quadratically() -> None:
    # Brown and Dennis: Gauss-Newton alone takes some 250 iterations here.
    problem = next(p for p in SMALL if p.name == "brown-dennis")
    res = least_squares(RESIDUALS[problem.name], problem.start)
    assert res.nit < 60
    norms = [record.gradient_norm for record in res.history if record.accepted]
    assert norms[-1] < 1e-4 * norms[-2]
    assert res.history[-1].cg_status == "newton"


def test_small_residuals_stay_with_gauss_newton() -> None:
    data = nist.read("Kirby2")
    res = least_squares(data.residuals, data.starts[1])
    # The one Hessian is that of the verdict.
    assert res.n_hess == 1
    assert res.history[-1].cg_status == "gauss-newton"


# Theory.


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("units", [1.0, 1e8])
def test_a_linear_problem_takes_one_step(seed: int, units: float) -> None:
    rng = np.random.default_rng(seed)
    columns = units ** np.linspace(-1.0, 1.0, 5)
    a, b = rng.standard_normal((20, 5)) * columns, rng.standard_normal(20)
    res = least_squares(lambda x: a @ x - b, np.zeros(5), method="lm")
    assert (res.status, res.nit, res.n_value, res.n_grad) == (Status.CONVERGED, 1, 2, 2)
    expected = np.linalg.lstsq(a / columns, b)[0] / columns
    assert_allclose(res.x, expected, rtol=1e-10)
    assert_allclose(res.jac, a, rtol=1e-14)
    unit = a / columns
    sigma2 = np.sum((a @ expected - b) ** 2) / 15
    assert_allclose(
        res.covariance().matrix, sigma2 * np.linalg.inv(unit.T @ unit) / np.outer(columns, columns), rtol=1e-9
    )
    assert_allclose(res.residual_std**2, sigma2, rtol=1e-12)
    assert res.degrees_of_freedom == 15


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exponent", [-60, 60])
def test_units_do_not_matter(method: str, exponent: int) -> None:
    data = nist.read("Misra1a")
    scale = 2.0 ** np.array([exponent, -exponent])
    plain = least_squares(data.residuals, data.starts[0], method=method)
    scaled = least_squares(lambda b: 2.0**-exponent * data.residuals(b * scale), data.starts[0] / scale, method=method)
    assert scaled.nit == plain.nit
    assert_allclose(scaled.x * scale, plain.x, rtol=1e-12)
    assert_allclose(scaled.optimality, plain.optimality, atol=1e-12)


def test_optimality_is_the_largest_cosine() -> None:
    data = nist.read("Chwirut2")
    res = least_squares(data.residuals, data.starts[0], options={"maxiter": 3, "gtol": 0.0})
    cosines = np.abs(res.jac.T @ res.fun) / np.linalg.norm(res.jac, axis=0) / np.linalg.norm(res.fun)
    assert_allclose(res.optimality, cosines.max(), rtol=1e-12)
    assert "Largest cosine between residual and columns" in res.message
    assert_allclose(res.grad, res.jac.T @ res.fun, rtol=1e-12)
    assert_allclose(res.gradient_norm, np.linalg.norm(res.grad), rtol=1e-12)


@pytest.mark.parametrize("gtol", [1e-3, 1e-6])
def test_gtol_is_a_cosine(gtol: float) -> None:
    data = nist.read("MGH09")
    res = least_squares(data.residuals, data.starts[1], tol=gtol)
    assert res.optimality <= gtol
    before = least_squares(data.residuals, data.starts[1], tol=gtol, options={"maxiter": res.nit - 1})
    assert before.optimality > gtol


def test_the_verdict_is_that_of_the_exact_hessian() -> None:
    data = nist.read("MGH09")
    res = least_squares(data.residuals, data.starts[1])
    exact = hs.hessian(lambda b: 0.5 * np.sum(data.residuals(b) ** 2))(res.x)
    norms = np.linalg.norm(res.jac, axis=0)
    assert_allclose(res.smallest_eigenvalue, np.linalg.eigvalsh(exact / np.outer(norms, norms))[0], rtol=1e-8)


@pytest.mark.parametrize("is_dense", [True, False])
@pytest.mark.parametrize("loss", list(LOSSES))
def test_cosines_are_those_of_what_residuals_pull_with(loss: str, is_dense: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((30, 4)), rng.standard_normal(30) * 10.0 ** rng.uniform(-2.0, 6.0, 30)
    objective = Residuals(lambda x: a @ x - b, np.zeros(4), (), find_loss(loss, 0.5))
    objective.is_dense = is_dense
    point = objective.start()
    slopes = LOSSES[loss].slope((b / 0.5) ** 2)
    lengths = np.sqrt(slopes) * np.abs(b)
    if loss != "linear":
        lengths = np.minimum(lengths, 0.5)
    cosines = np.abs(a.T @ (slopes * b)) / np.linalg.norm((slopes * np.abs(b) / lengths)[:, None] * a, axis=0)
    assert_allclose(point.cosines, cosines / np.linalg.norm(lengths), rtol=1e-12)
    assert point.optimality == point.cosines.max() <= 1.0


@pytest.mark.parametrize("is_dense", [True, False])
@pytest.mark.parametrize("loss", list(LOSSES))
def test_derivatives_at_a_point_are_those_of_the_cost(loss: str, is_dense: bool) -> None:
    t, y = outliers(0)

    def residuals(b: Any, t: Any) -> Any:
        return b[0] * np.exp(-b[1] * t) + b[2] - y

    b = np.array([3.0, 0.3, 0.5])
    objective = Residuals(residuals, b, (t,), find_loss(loss, 0.5))
    objective.is_dense = is_dense
    point = objective.start()

    def cost(b: Any) -> Any:
        return 0.125 * np.sum(LOSSES[loss].rho((residuals(b, t) / 0.5) ** 2))

    assert_allclose(point.value, cost(b), rtol=1e-14)
    assert_allclose(point.gradient, hs.grad(cost)(b), rtol=1e-12)
    exact = hs.hessian(cost)(b) / np.outer(point.scale, point.scale)
    size = np.abs(exact).max()
    assert_allclose(point.dense(), exact, atol=1e-13 * size)
    assert_allclose(np.stack([point.product(e) for e in np.eye(3)]), exact, atol=1e-13 * size)
    assert_allclose(point.diagonal(), np.diag(exact), atol=1e-13 * size)
    norms = np.linalg.norm(np.sqrt(point.weights.slopes)[:, None] * point.jacobian, axis=0)
    assert_allclose(point.column_norms, norms, rtol=1e-13)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1, 80])
def test_a_saddle_of_the_cost_is_left(method: str, size: int) -> None:
    # r = x^2 - 1: J = 2 x vanishes at 0, where the cost has a maximum.
    res = least_squares(lambda x: x**2 - 1.0, np.zeros(size), method=method)
    assert res.status in (Status.CONVERGED, Status.CONVERGED_UNDECIDED)
    assert res.cost < 1e-20
    assert_allclose(np.abs(res.x), 1.0, rtol=1e-9)
    assert res.saddles


def test_without_the_check_a_saddle_is_reported_as_unchecked() -> None:
    res = least_squares(lambda x: x**2 - 1.0, [0.0], options={"check_curvature": False})
    assert (res.status, res.nit, res.n_hess) == (Status.CONVERGED_UNCHECKED, 0, 0)


# Robust losses.


def outliers(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A decay with noise of 0.1, a seventh of it far off."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0.0, 10.0, 63)
    y = 5.0 * np.exp(-0.4 * t) + 1.0 + 0.1 * rng.standard_normal(63)
    y[rng.choice(63, 9, replace=False)] += rng.uniform(2.0, 6.0, 9)
    return t, y


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("f_scale", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("loss", ["linear", *ROBUST])
@pytest.mark.parametrize("seed", [0, 1])
def test_robust_losses_as_scipy(seed: int, loss: str, f_scale: float, method: str) -> None:
    t, y = outliers(seed)

    def residuals(b: Any) -> Any:
        return b[0] * np.exp(-b[1] * t) + b[2] - y

    # Losses that give outliers up have many minima: start where there is one way down.
    start = [4.5, 0.5, 1.2]
    res = least_squares(residuals, start, loss=loss, f_scale=f_scale, method=method)
    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-12}
    theirs = scipy.optimize.least_squares(residuals, start, loss=loss, f_scale=f_scale, x_scale="jac", **tight)
    assert res.status is Status.CONVERGED
    assert_allclose(res.cost, theirs.cost, rtol=1e-8)
    assert_allclose(res.x, theirs.x, rtol=1e-5)
    assert_array_equal(res.fun, residuals(res.x))
    assert ("residual_std" in res) == (loss == "linear")


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("f_scale", [0.5, 3.0])
def test_losses_are_derivatives_of_one_another(loss: str, f_scale: float) -> None:
    r = np.array([-30.0, -2.0, -0.3, 1e-9, 0.0, 0.2, 1.0, 5.0])
    scaled = find_loss(loss, f_scale)

    def cost(r: Any) -> Any:
        t = (r / f_scale) ** 2
        return 0.5 * f_scale**2 * np.sum(LOSSES[loss].rho(t))

    weights = scaled.at(r)
    assert_allclose(weights.cost, cost(r), rtol=1e-14)
    assert_allclose(weights.slopes * r, hs.grad(cost)(r), rtol=1e-12)
    assert_allclose(np.diag(weights.bends), hs.hessian(cost)(r), rtol=1e-11, atol=1e-16)
    assert np.all(weights.model >= 0.1 * weights.slopes)
    huge = scaled.at(np.array([1e200]))
    assert np.isfinite(huge.slopes[0])
    assert np.isfinite(huge.bends[0])


@pytest.mark.parametrize("loss", ROBUST)
def test_losses_are_scipys(loss: str) -> None:
    r = np.array([-7.0, -0.3, 0.0, 1e-3, 2.0])
    theirs = scipy.optimize.least_squares(lambda x: r + 0.0 * x, 0.0, loss=loss, f_scale=0.7)
    assert_allclose(find_loss(loss, 0.7).at(r).cost, theirs.cost, rtol=1e-14)


@pytest.mark.parametrize("loss", ROBUST)
def test_a_start_at_which_everything_is_an_outlier(loss: str) -> None:
    rng = np.random.default_rng(0)
    t = np.linspace(0.0, 1.0, 40)
    y = 2.0 + 3.0 * t + 1e-3 * rng.standard_normal(40)
    res = least_squares(lambda b: b[0] + b[1] * t - y, [30.0, -20.0], loss=loss, f_scale=0.1)
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, [2.0, 3.0], atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("far", [1e15, 1e20, 1e50, 1e100])
@pytest.mark.parametrize("loss", ROBUST)
def test_a_gross_outlier_does_not_end_the_run(loss: str, far: float, method: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((20, 2))
    b = a @ [1.0, 2.0] + 0.1 * rng.standard_normal(20)
    b[0] = far
    res = least_squares(lambda x: a @ x - b, np.zeros(2), loss=loss, method=method)
    # Once it is far out, how far does not matter any more.
    b[0] = 1e10
    near = least_squares(lambda x: a @ x - b, np.zeros(2), loss=loss, method=method, tol=1e-13)
    assert res.status is near.status is Status.CONVERGED
    assert_allclose(res.x, near.x, rtol=1e-9)


# Size.


def large_problem(m: int, n: int) -> tuple[Any, np.ndarray]:
    """A sparse nonlinear model in units from 1e-3 to 1e3, noise of 0.01, and the parameters it was made with."""
    rng = np.random.default_rng(0)
    units = np.geomspace(1e-3, 1e3, n)
    rows = np.arange(m)
    a = scipy.sparse.random_array((m, n), density=2e-3, rng=1, format="csr")
    a = (a + scipy.sparse.csr_array((np.ones(m), (rows, rows % n)), shape=(m, n))) @ scipy.sparse.diags_array(
        1.0 / units
    )
    truth = 0.5 * rng.standard_normal(n) * units
    y = np.tanh(a @ truth) + 0.01 * rng.standard_normal(m)
    return (lambda x: np.tanh(a @ x) - y), truth / units


def test_two_thousand_variables_by_products() -> None:
    residuals, truth = large_problem(5000, 2000)
    res = least_squares(residuals, np.zeros(2000))
    assert res.method == "gauss-newton-cg"
    assert "gauss-newton-cg was chosen for 2000 variables" in res.message
    assert res.success
    assert (res.n_hess, res.n_factor) == (0, 0)
    assert isinstance(res.jac, hs.JacobianOperator)
    assert_allclose(res.x / np.geomspace(1e-3, 1e3, 2000), truth, atol=0.3)
    assert 0.5 < res.residual_std / 0.01 < 2.0
    assert np.max(np.abs(res.jac.T @ res.fun) / np.linalg.norm(res.jac.to_dense(), axis=0)) < 1e-8


def test_both_methods_agree() -> None:
    residuals, _ = large_problem(400, 100)
    runs = [least_squares(residuals, np.zeros(100), method=method) for method in METHODS]
    assert_allclose(runs[0].x, runs[1].x, rtol=1e-6)
    assert_allclose(runs[0].cost, runs[1].cost, rtol=1e-12)


def test_norms_of_columns_are_estimated() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((300, 200)) * np.geomspace(1e-3, 1e3, 200)
    seen: list[OptimizeResult] = []
    res = least_squares(
        lambda x: a @ x - 1.0, np.zeros(200), callback=lambda intermediate_result: seen.append(intermediate_result)
    )
    exact = np.max(np.abs(a.T @ seen[0].fun) / np.linalg.norm(a, axis=0)) / np.linalg.norm(seen[0].fun)
    assert res.success
    assert 1.0 / 3.0 < seen[0].optimality / exact < 3.0


# Edges.


@pytest.mark.parametrize("method", METHODS)
def test_zero_residuals(method: str) -> None:
    t = np.linspace(0.0, 1.0, 9)
    y = 2.0 * np.exp(-3.0 * t)
    res = least_squares(lambda b: b[0] * np.exp(-b[1] * t) - y, [1.0, 1.0], method=method)
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, [2.0, 3.0], rtol=1e-13)
    at_once = least_squares(lambda b: b[0] * np.exp(-b[1] * t) - y, [2.0, 3.0], method=method)
    assert (at_once.status, at_once.nit, at_once.cost, at_once.optimality) == (Status.CONVERGED, 0, 0.0, 0.0)
    assert_array_equal(at_once.standard_error if method == "lm" else 0.0, 0.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("residuals", "start", "solution"),
    [
        (lambda x: np.array([x[0] - 1e-3, 2.0 * x[0] - 2e-3]), [1e20], [1e-3]),
        (lambda x: (x[0] - 1e-3) * np.arange(1.0, 8.0) + (x[0] - 1e-3) ** 3 * np.arange(1.0, 8.0) ** 2, [1e25], [1e-3]),
        (lambda x: np.array([x[0] - 1e-3, x[1] - 1e20]), [5.0, 1e20], [1e-3, 1e20]),
    ],
    ids=["linear", "cubic", "two-sizes"],
)
def test_what_is_small_next_to_the_start_is_not_lost(
    residuals: Any, start: list[float], solution: list[float], method: str
) -> None:
    res = least_squares(residuals, start, method=method)
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, solution, rtol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "lowest"), [(np.float64, 1e-307), (np.float32, 1e-37)], ids=["float64", "float32"])
@pytest.mark.parametrize("start", [1.0, 1e5])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_zero_residuals_at_zero(power: int, start: float, dtype: Any, lowest: float, method: str) -> None:
    # No angle gets right all the way: what ends is the range of squares.
    a = np.random.default_rng(0).standard_normal((9, 3)).astype(dtype)
    res = least_squares(lambda x: a @ x**power, start * np.array([1.0, 2.0, -1.0], dtype), method=method)
    assert res.status in (Status.CONVERGED, Status.CONVERGED_SEMIDEFINITE)
    assert res.cost < lowest
    assert res.optimality == 0.0 or "lost in the rounding" in res.message


def test_what_is_lost_in_one_variable_is_resolved_in_another() -> None:
    # Along the first column rounding is the limit, along the second the solution is zero.
    a = np.array([[2.0, 0.0], [0.0, 1.7], [0.0, 0.6]])
    y = np.exp(0.3 * a @ [-0.81060248, 0.0])
    start = np.array([-0.6, 0.2], np.float32)
    for method in METHODS:
        res = least_squares(lambda x: np.exp(0.3 * (a @ x)) - y, start, method=method)
        assert res.status is Status.CONVERGED
        assert_allclose(res.x, [-0.81060248, 0.0], atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_fewer_residuals_than_variables(method: str) -> None:
    res = least_squares(lambda x: np.stack([x[0] + x[1] + x[2] - 3.0]), [0.0, 0.0, 0.0], method=method)
    assert res.status is Status.CONVERGED_SEMIDEFINITE
    # The nearest solution.
    assert_allclose(res.x, 1.0, rtol=1e-12)
    assert math.isnan(res.residual_std)
    if method == "lm":
        with pytest.raises(OptionError, match=r"m > n|degrees of freedom|more residuals"):
            res.covariance()
        assert "has rank 1 for 3 variables" in res.message


@pytest.mark.parametrize("method", METHODS)
def test_rank_deficient_jacobian(method: str) -> None:
    t = np.linspace(0.0, 1.0, 12)
    y = np.exp(-t) + 0.01 * np.cos(40.0 * t)
    # b[0] and b[1] only appear as a product.
    res = least_squares(lambda b: b[0] * b[1] * np.exp(-b[2] * t) - y, [1.0, 2.0, 0.5], method=method)
    assert res.status is Status.CONVERGED_SEMIDEFINITE
    reduced = least_squares(lambda b: b[0] * np.exp(-b[1] * t) - y, [1.0, 1.0])
    assert_allclose([res.x[0] * res.x[1], res.x[2]], reduced.x, rtol=1e-7)
    assert_allclose(res.cost, reduced.cost, rtol=1e-12)
    assert_allclose(res.residual_std, np.linalg.norm(res.fun) / 3.0, rtol=1e-12)
    if method == "lm":
        assert "has rank 2 for 3 variables" in res.message
        assert "involves the entries [0, 1] of x" in res.message
        assert np.isnan(res.standard_error).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_variable_without_effect(method: str) -> None:
    res = least_squares(lambda x: np.stack([x[0] - 1.0, x[0] - 2.0, 0.0 * x[1]]), [5.0, 7.0], method=method)
    assert res.status is Status.CONVERGED_SEMIDEFINITE
    assert_allclose(res.x, [1.5, 7.0], rtol=1e-12)


@pytest.mark.parametrize("start", [45.0, 80.0])
def test_a_column_that_has_shrunk_is_no_column_of_zeros(start: float) -> None:
    # The scale remembers exp(start); at the solution the first column is 1e-19 or 1e-34 of that.
    res = least_squares(
        lambda x: np.array([np.exp(x[0]) - 2.0, x[1] - 3.0, x[0] * x[1] - 2.0]), [start, 0.0], method="lm"
    )
    plain = least_squares(lambda x: np.array([np.exp(x[0]) - 2.0, x[1] - 3.0, x[0] * x[1] - 2.0]), [1.0, 1.0])
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, plain.x, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_trials_outside_the_domain_are_rejected(method: str) -> None:
    res = least_squares(lambda x: np.log(x) + 2.0 - np.array([0.0, 0.5]), [5.0, 3.0], method=method)
    assert res.status is Status.CONVERGED
    assert_allclose(np.log(res.x), [-2.0, -1.5], rtol=1e-9)
    assert any(not record.accepted and math.isnan(record.ratio) for record in res.history[1:])


def test_as_many_residuals_as_variables_leave_no_degrees_of_freedom() -> None:
    res = least_squares(lambda x: np.array([x[0] - 1.0, x[1] * x[0] - 2.0]), [3.0, 3.0])
    assert_allclose(res.x, [1.0, 2.0], rtol=1e-12)
    assert res.degrees_of_freedom == 0
    assert "There are no degrees of freedom, 2 residuals for 2 variables" in res.message


def test_statistics_name_what_cannot_be_told() -> None:
    jacobian = np.array([[1.0, 0.0, 2.0], [1.0, 1.0, 2.0], [1.0, 2.0, 2.0], [1.0, 5.0, 2.0]])
    found = fit_statistics(jacobian, np.ones(4), 1e-16)
    assert found.rank == 2
    assert "entries [0, 2] of x" in found.note
    assert_allclose(found.residual_std, 2.0)


@pytest.mark.parametrize("size", [1e-200, 1e-100, 1e100, 1e200])
def test_standard_errors_of_variables_of_any_size(size: float) -> None:
    y = np.array([1.0, 1.1, 0.9, 1.02])
    res = least_squares(lambda x: x[0] / size + 0.1 * x[1] - y, [2.0 * size, 0.0], method="lm", x_scale=[size, 1.0])
    assert np.isnan(res.standard_error).all()
    res = least_squares(lambda x: x[0] / size - y, [2.0 * size])
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, size * y.mean(), rtol=1e-14)
    assert_allclose(res.standard_error, size * y.std(ddof=1) / 2.0, rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_decompositions_keep_columns_of_any_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    eps = float(np.finfo(np.float64).eps)
    sizes = np.array([1.0, 1e150, 1e-150, 1e8, 1e-8])
    for rows in (7, 5):
        unit = rng.standard_normal((rows, 5))
        left, singular, right = decompose(unit * sizes, eps)
        assert_allclose((left * singular) @ right, unit * sizes, rtol=1e-12, atol=1e138)
        assert_allclose(left.T @ left, np.eye(5), atol=1e-13)
        assert_allclose(right @ right.T, np.eye(5), atol=1e-13)
        b = rng.standard_normal(rows)
        assert_allclose(right.T @ (left.T @ b / singular) * sizes, np.linalg.lstsq(unit, b)[0], rtol=1e-9)
        # What belongs to a column much smaller than the others is its distance from their span.
        rest = np.delete(unit, 2, axis=1)
        away = unit[:, 2] - rest @ np.linalg.lstsq(rest, unit[:, 2])[0]
        assert_allclose(singular.min(), 1e-150 * np.linalg.norm(away), rtol=1e-9)
    dependent = np.column_stack([unit, unit[:, 0] - 3.0 * unit[:, 1]]) * [1.0, 1e4, 1e-4, 1e8, 1e-8, 1e2]
    left, singular, right = decompose(dependent, eps)
    assert (singular.shape, left.shape, right.shape) == ((5,), (5, 5), (5, 6))
    assert np.all(singular > 0.0)
    assert_allclose(dependent @ (right.T @ (left.T @ b / singular)), b, rtol=1e-9)
    left, singular, right = decompose(dependent[:, [0, 1, 5]], eps)
    assert np.sum(singular == 0.0) == 1


# Interface.


@pytest.mark.parametrize("method", METHODS)
def test_containers_keep_their_structure(method: str) -> None:
    t = np.linspace(0.0, 3.0, 30)
    y = np.exp(-1.3 * t) + 0.2 + 0.01 * np.sin(50.0 * t)

    def residuals(p: dict[str, Any]) -> Any:
        return {"data": (p["rates"][0] * np.exp(-p["rates"][1] * t) + p["offset"] - y).reshape(5, 6)}

    start = {"rates": np.array([2.0, 1.0]), "offset": 0.0}
    res = least_squares(residuals, start, method=method)
    flat = least_squares(lambda v: v[0] * np.exp(-v[1] * t) + v[2] - y, [2.0, 1.0, 0.0], method=method)
    assert list(res.x) == list(res.grad) == ["rates", "offset"]
    assert_allclose(np.r_[res.x["rates"], res.x["offset"]], flat.x, rtol=1e-9)
    assert res.fun["data"].shape == (5, 6)
    if method == "lm":
        assert list(res.standard_error) == ["rates", "offset"]
        assert_allclose(res.standard_error["offset"], flat.standard_error[2], rtol=1e-7)
        assert res.jac.shape == (30, 3)


@pytest.mark.parametrize("wrap", [lambda r: r, lambda r: list(r), lambda r: np.reshape(r, (1, 2, 1))])
def test_residuals_of_any_shape(wrap: Any) -> None:
    res = least_squares(lambda x: wrap(np.array([x[0] ** 2 - 1.0, x[1] - x[0]])), [2.0, 0.0])
    assert_allclose(res.x, 1.0, rtol=1e-12)


def test_arguments_and_recorded_functions() -> None:
    data = nist.read("DanWood")

    def residuals(b: Any, x: Any, y: Any) -> Any:
        return data.model(b, x) - y

    plain = least_squares(residuals, data.starts[0], (data.x, data.y))
    recorded = least_squares(hs.record(residuals), data.starts[0], (data.x, data.y))
    assert_array_equal(plain.x, recorded.x)
    assert_allclose(plain.x, data.parameters, rtol=5e-9)
    single = least_squares(lambda b, y: b - y, np.zeros(2), np.array([1.0, 2.0]))
    assert_allclose(single.x, [1.0, 2.0])


@pytest.mark.parametrize("method", METHODS)
def test_counts(method: str) -> None:
    calls = 0
    problem = next(p for p in SMALL if p.name == "rosenbrock")

    def residuals(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return RESIDUALS[problem.name](x)

    res = least_squares(residuals, problem.start, method=method)
    assert res.success
    accepted = sum(record.accepted for record in res.history)
    assert accepted < len(res.history), "the test needs rejections"
    # One value per trial; one Jacobian or gradient per accepted point, none at rejected trials.
    assert res.n_value == res.nfev == res.nit + 1
    assert res.n_grad == res.njev == accepted
    assert (res.n_hvp == 0) == (method == "lm")
    # Recorded twice (residuals; their curvature), and compared with replays at the 1st, 2nd, 4th, ...
    assert calls <= 2 + 2 * res.n_value.bit_length()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_run_twice(method: str) -> None:
    residuals, _ = large_problem(400, 100)
    runs = [least_squares(residuals, np.zeros(100), method=method, options={"rng": 3}) for _ in range(2)]
    assert_array_equal(runs[0].x, runs[1].x)
    rows = [[(r.value, r.gradient_norm, r.radius, r.n_hvp) for r in res.history[1:]] for res in runs]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_repeats_the_other(method: str, tmp_path: Any) -> None:
    data = nist.read("Thurber")
    options = {"checkpoint": tmp_path / "run", "checkpoint_every": 0.0}
    whole = least_squares(data.residuals, data.starts[0], method=method)
    least_squares(data.residuals, data.starts[0], method=method, options={**options, "maxiter": 6})
    rest = least_squares(data.residuals, data.starts[0], method=method, options={**options, "resume": True})
    assert_array_equal(rest.x, whole.x)
    assert [r.value for r in rest.history] == [r.value for r in whole.history]


@pytest.mark.parametrize("other", [{"loss": "huber"}, {"loss": "soft_l1", "f_scale": 0.1}, {"loss": "cauchy"}])
def test_a_run_is_not_resumed_with_another_loss(other: dict[str, Any], tmp_path: Any) -> None:
    t, y = outliers(0)

    def residuals(b: Any) -> Any:
        return b[0] * np.exp(-b[1] * t) + b[2] - y

    options = {"checkpoint": tmp_path / "run", "checkpoint_every": 0.0}
    first = {"loss": "soft_l1", "f_scale": 0.3}
    least_squares(residuals, [4.5, 0.5, 1.2], options={**options, "maxiter": 3}, **first)
    with pytest.raises(CheckpointError, match="The function, its arguments or its data have changed"):
        least_squares(residuals, [4.5, 0.5, 1.2], options={**options, "resume": True}, **other)
    assert least_squares(residuals, [4.5, 0.5, 1.2], options={**options, "resume": True}, **first).success


def test_callbacks() -> None:
    data = nist.read("Misra1a")
    seen: list[Any] = []

    def keep(intermediate_result: OptimizeResult) -> bool:
        seen.append(intermediate_result)
        return len(seen) == 3

    res = least_squares(data.residuals, data.starts[0], callback=keep)
    assert (res.status, res.nit) == (Status.CALLBACK, 3)
    state = seen[-1]
    assert_allclose(state.cost, 0.5 * np.sum(state.fun**2), rtol=1e-14)
    assert state.grad.shape == (2,)
    assert 0.0 < state.optimality <= 1.0
    points: list[np.ndarray] = []
    least_squares(data.residuals, data.starts[0], callback=lambda x: points.append(x))
    assert_array_equal(points[2], state.x)


def test_x_scale() -> None:
    data = nist.read("Misra1a")
    for x_scale in (1.0, [500.0, 1e-4], np.array([1.0, 1e-6])):
        res = least_squares(data.residuals, data.starts[1], x_scale=x_scale)
        assert_allclose(res.x, data.parameters, rtol=5e-9)
    with pytest.raises(ShapeMismatchError, match="x_scale has 3 numbers for 2 variables"):
        least_squares(data.residuals, data.starts[1], x_scale=[1.0, 1.0, 1.0])
    with pytest.raises(OptionError, match="not positive and finite"):
        least_squares(data.residuals, data.starts[1], x_scale=[1.0, 0.0])
    with pytest.raises(OptionError, match="x_scale is 'auto'"):
        least_squares(data.residuals, data.starts[1], x_scale="auto")


@pytest.mark.parametrize("size", [1e170, 1e300])
def test_sizes_given_may_be_too_large(size: float) -> None:
    with pytest.raises(
        NonFiniteError, match="1 of 2 columns of the scaled Jacobian have no finite square, first column 1"
    ):
        least_squares(lambda x: 1e10 * x - 1.0, [1.0, 1.0], method="lm", x_scale=[1.0, size])


@pytest.mark.parametrize("sizes", [[1.0, 1e8, 1e-8], [1.0, 1e-8, 1e8], [1e-20, 1.0, 1e20]])
def test_sizes_given_do_not_decide_on_the_rank(sizes: list[float]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((10, 3)), rng.standard_normal(10)
    res = least_squares(lambda x: a @ x - b, np.zeros(3), method="lm", x_scale=sizes)
    assert (res.status, res.nit) == (Status.CONVERGED, 1)
    assert_allclose(res.x, np.linalg.lstsq(a, b)[0], rtol=1e-12)


@pytest.mark.parametrize("spread", [1e-4, 1e4, 1e8])
@pytest.mark.parametrize("name", ["bard", "freudenstein-roth", "beale", "jennrich-sampson", "powell-singular"])
def test_problems_in_sizes_that_mislead(name: str, spread: float) -> None:
    problem = next(p for p in SMALL if p.name == name)
    sizes = np.geomspace(spread, 1.0 / spread, problem.start.size)
    res = least_squares(RESIDUALS[name], problem.start, method="lm", x_scale=sizes)
    assert res.success
    assert min(abs(2.0 * res.cost - m) - 1e-9 * m for m in problem.minima) <= 1e-14


@pytest.mark.parametrize("loss", ["linear", "huber"])
@pytest.mark.parametrize("size", [10, 100])
@pytest.mark.parametrize("most", [0, 1, 5, 8, 9, 20, 50])
def test_the_budget_of_products_is_kept(most: int, size: int, loss: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2 * size, size)), rng.standard_normal(2 * size)
    arguments: dict[str, Any] = {"method": "gauss-newton-cg", "loss": loss, "f_scale": 0.3}
    res = least_squares(lambda x: a @ x - b, np.zeros(size), options={"max_hvp": most}, **arguments)
    assert res.n_hvp <= most
    if not res.success:
        assert res.status is Status.MAX_HVP
        assert res.n_hvp == most
    if most == 0:
        assert math.isnan(res.optimality)
        assert "No product was left to measure the angle" in res.message


def test_the_method_is_chosen_by_size() -> None:
    assert least_squares(lambda x: x - 1.0, np.zeros(LEAST_SQUARES_ORDER)).method == "lm"
    assert least_squares(lambda x: x - 1.0, np.zeros(LEAST_SQUARES_ORDER + 1)).method == "gauss-newton-cg"


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"method": "dogbox"}, "method 'dogbox' of SciPy's is for bounds"),
        ({"method": "levenberg"}, "there is no method 'levenberg'"),
        ({"loss": "tukey"}, "there is no loss 'tukey'"),
        ({"f_scale": 0.0}, "f_scale is 0.0"),
        ({"f_scale": True}, "f_scale is True"),
        ({"jac": "2-point"}, "Derivatives come from the engine"),
        ({"bounds": (0, 1)}, "unconstrained"),
        ({"ftol": 1e-8}, "one test of convergence"),
        ({"gtol": 1e-8}, r"Pass options=\{'gtol': 1e-08\}"),
        ({"colour": 1}, "there is no argument 'colour'"),
        ({"options": {"gtoll": 1}}, "Did you mean 'gtol'"),
        ({"options": {"preconditioner": "jacobi"}}, "'preconditioner' has no effect .* or pass x_scale"),
        ({"options": {"initial_regularization": 1.0}}, "'initial_regularization' has no effect .* Pass initial_radius"),
        ({"options": {"max_cg": 5}}, "'max_cg' has no effect with method 'lm'.* pass method='gauss-newton-cg'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], pattern: str) -> None:
    with pytest.raises(OptionError, match=pattern):
        least_squares(lambda x: x, [1.0], **arguments)


def test_wrong_residuals() -> None:
    with pytest.raises(NonFiniteError, match="1 of 2 residuals at x0 are not finite, first number 1"):
        least_squares(lambda x: x * np.array([1.0, math.nan]), [1.0, 0.0])
    for factor in (1e-170, 1e170):
        with pytest.raises(NonFiniteError, match="Squares leave the range of floating point"):
            least_squares(lambda x, factor=factor: factor * (x - 1.0), [3.0])
    with pytest.raises(NonFiniteError, match="Squares leave the range of floating point"):
        least_squares(lambda x: 1e-20 * (x - 1.0), np.array([3.0], np.float32))
    with pytest.raises(ShapeMismatchError, match="fun returns no residuals"):
        least_squares(lambda x: x[:0], [1.0])
    with pytest.raises(NonFiniteError, match="x0 contains NaN"):
        least_squares(lambda x: x, [math.nan])


def test_arguments_that_mean_not_given_are_ignored() -> None:
    assert least_squares(lambda x: x - 1.0, [0.0], jac=None).success


@pytest.mark.parametrize("residual", [lambda x: np.exp(-x), lambda x: 1 / x])
def test_residuals_that_vanish_at_infinity_are_no_success(residual: Any) -> None:
    res = least_squares(residual, [1.0])
    assert res.status.name == "CONVERGED_FAR"
    assert not res.success
    assert "at infinity" in res.message
