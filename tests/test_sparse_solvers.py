"""Solvers on sparse factors: the same minima as by products and dense matrices, what is chosen, and what is refused."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from optimize_problems import arwhead, engval1, tridia
from problems.cutest_chains import dixon3dq, genrose

import hessian as hs
from hessian.errors import OptionError, TooDenseError
from hessian.linalg import factoring
from hessian.optimize import Status, least_squares, minimize
from hessian.optimize.factors import Factors
from hessian.optimize.objective import VectorObjective
from hessian.optimize.shifted import ShiftedModel, StraightModel
from hessian.optimize.sparse_methods import spreads
from hessian.optimize.spectral import EigenModel

METHODS = ("trust-exact", "newton", "arc")


def chain(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


PROBLEMS = {
    "arwhead": (arwhead, np.ones(300)),
    "engval1": (engval1, np.full(300, 2.0)),
    "tridia": (tridia, np.ones(300)),
    "rosenbrock": (chain, np.tile([-1.2, 1.0], 150)),
    "dixon3dq": (dixon3dq, -np.ones(300)),
    "genrose": (genrose, np.arange(1.0, 301.0) / 301.0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_sparse_methods_reach_minima(name, method):
    fun, start = PROBLEMS[name]
    res = minimize(fun, start, method=method, structure="sparse", options={"gtol": 1e-7})
    assert res.status is Status.CONVERGED, res.message
    assert (res.method, res.structure, res.n_hvp < 100) == (method, "sparse", True)
    assert res.n_hess <= res.nit + 1
    assert "Steps are by a sparse Hessian of" in res.message
    dense = hs.hessian(fun)(res.x)
    assert np.linalg.eigvalsh(dense)[0] > 0.0
    assert np.linalg.norm(hs.grad(fun)(res.x)) <= 1e-7


def test_smallest_eigenvalue_by_factors():
    res = minimize(engval1, np.full(300, 2.0), structure="sparse")
    values = np.linalg.eigvalsh(hs.hessian(engval1)(res.x))
    np.testing.assert_allclose(res.smallest_eigenvalue, values[0], rtol=1e-2)
    assert abs(res.smallest_eigenvalue - values[0]) <= res.smallest_eigenvalue_residual + 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_saddles_are_left(method):
    # A saddle in the middle, minima at +-1 in every variable; neighbors pull together.
    fun = lambda x: np.sum((x**2 - 1.0) ** 2) + 0.1 * np.sum((x[1:] - x[:-1]) ** 2)
    res = minimize(fun, np.zeros(300), method=method, structure="sparse")
    assert res.status is Status.CONVERGED, res.message
    assert len(res.saddles) >= 1
    assert res.fun < 100.0


def test_flat_directions_are_said():
    # Only differences matter: one eigenvalue is zero.
    res = minimize(lambda x: np.sum((x[1:] - x[:-1] - 1.0) ** 2), np.zeros(300), structure="sparse")
    assert res.status is Status.CONVERGED_SEMIDEFINITE, res.message
    assert res.success


def models(seed, n=40, shift=0.0, hard=False):
    rng = np.random.default_rng(seed)
    middle, beside = rng.standard_normal(n) + shift, rng.standard_normal(n - 1)
    g = rng.standard_normal(n)
    fun = lambda x: g @ x + 0.5 * np.sum(middle * x**2) + np.sum(beside * x[1:] * x[:-1])
    dense = np.diag(middle) + np.diag(beside, 1) + np.diag(beside, -1)
    if hard:
        vectors = np.linalg.eigh(dense)[1]
        g = g - vectors[:, 0] * (vectors[:, 0] @ g)
    objective = VectorObjective(fun, np.zeros(n), ())
    objective.factors.is_on = True
    point = objective.start()
    return ShiftedModel(point.sparse(), g, point.factored), EigenModel(dense, g), dense, g


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("shift", [0.0, 5.0])
@pytest.mark.parametrize("seed", range(6))
def test_shifted_steps_are_nearly_exact(seed, shift, hard):
    sparse, exact, dense, g = models(seed, shift=shift, hard=hard)
    if shift:
        np.testing.assert_allclose(sparse.end_norm, exact.end_norm, rtol=1e-10)
    else:
        assert sparse.end_norm == exact.end_norm == np.inf
    for radius in (10.0, 1.0, 0.3, 1e-3):
        step, best = sparse.step(radius), exact.step(radius)
        assert step.norm <= 1.1 * radius
        # Moré and Sorensen's bound on what may be lost, with both tolerances.
        assert step.predicted >= 0.8 * best.predicted
        s = step.vector
        np.testing.assert_allclose(step.predicted, -(g @ s + 0.5 * s @ dense @ s), rtol=1e-9)
        np.testing.assert_allclose(step.norm, np.linalg.norm(s), rtol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 5.0])
@pytest.mark.parametrize("seed", range(6))
def test_cubic_steps_are_nearly_exact(seed, shift):
    sparse, exact, dense, g = models(seed, shift=shift)
    for weight in (1e-3, 1.0, 100.0):
        step, best = sparse.cubic_step(weight), exact.cubic_step(weight)
        assert best.predicted * (1.0 + 1e-8) >= step.predicted >= 0.95 * best.predicted
        s = step.vector
        np.testing.assert_allclose(
            step.predicted, -(g @ s + 0.5 * s @ dense @ s + weight / 3.0 * np.linalg.norm(s) ** 3), rtol=1e-9
        )


def test_long_runs_go_on_with_factors():
    res = minimize(tridia, np.ones(2000))
    assert (res.method, res.structure, res.status) == ("trust-exact", "sparse", Status.CONVERGED)
    assert res.n_hvp < 100
    assert "products it went on with a sparse Hessian of 5998 entries by 3 products" in res.message
    short = minimize(engval1, np.full(2000, 2.0))
    assert (short.method, short.structure) == ("trust-ncg", "operator")


def test_dense_patterns_stay_with_products():
    rng = np.random.default_rng(0)
    weights = np.exp(rng.uniform(0.0, 9.0, 300))
    basis = np.linalg.qr(rng.standard_normal((300, 300)))[0]
    fun = lambda x: 0.5 * np.sum(weights * (basis @ x - 1.0) ** 2)
    res = minimize(fun, np.zeros(300))
    assert (res.method, res.structure) == ("trust-ncg", "operator")
    assert res.n_hvp > 100
    assert res.success


def test_small_problems_do_not_look():
    res = minimize(tridia, np.ones(200))
    assert (res.method, res.structure) == ("trust-ncg", "operator")
    assert minimize(tridia, np.ones(20)).structure == "dense"


def test_dense_methods_find_sparse_hessians():
    for method in ("trust-exact", "newton"):
        res = minimize(tridia, np.ones(400), method=method)
        assert (res.method, res.structure, res.status) == (method, "sparse", Status.CONVERGED)
        dense = minimize(tridia, np.ones(300), method=method, structure="dense")
        assert (dense.structure, dense.status) == ("dense", Status.CONVERGED)


def test_structures_by_name():
    assert minimize(tridia, np.ones(20), structure="operator").method == "trust-ncg"
    assert minimize(tridia, np.ones(100), structure="dense").method == "trust-exact"
    res = minimize(tridia, np.ones(20), structure="sparse")
    assert (res.method, res.structure) == ("trust-exact", "sparse")


def test_dense_patterns_are_refused():
    mixed = np.random.default_rng(0).standard_normal((300, 300))
    with pytest.raises(
        TooDenseError,
        match=r"300 variables has 90000 entries: square, at .*test_sparse_solvers.py:.* makes it dense.*structure='operator'",
    ):
        minimize(lambda x: np.sum((mixed @ x) ** 2), np.ones(300), structure="sparse")
    with pytest.raises(TooDenseError, match=r"slogdet.*makes it dense"):
        minimize(
            lambda x: np.linalg.slogdet(np.diag(x**2 + 1.0) + 0.1 * np.outer(x, x))[1], np.ones(50), structure="sparse"
        )


def test_refusals():
    with pytest.raises(OptionError, match="sparse"):
        minimize(tridia, np.ones(5), structure="spares")
    with pytest.raises(OptionError, match="method 'trust-ncg' does not take structure 'sparse'"):
        minimize(tridia, np.ones(5), method="trust-ncg", structure="sparse")
    with pytest.raises(OptionError, match="method 'newton' does not take structure 'operator'"):
        minimize(tridia, np.ones(5), method="newton", structure="operator")
    with pytest.raises(OptionError, match="of SciPy's or constraints"):
        minimize(tridia, np.ones(5), method="BFGS", structure="sparse")
    with pytest.raises(OptionError, match="takes no max_cg"):
        minimize(tridia, np.ones(5), method="arc", structure="sparse", options={"max_cg": 3})


def test_branches_change_the_pattern():
    def fun(x):
        rest = np.sum((x[1:] - x[:-1] - 1.0) ** 2) + (x[0] - 3.0) ** 4
        return rest if x[0] < 1.0 else rest + 0.1 * np.sum((x[2:] - x[:-2] - 2.0) ** 2)

    res = minimize(fun, np.zeros(300), structure="sparse")
    assert res.success, res.message
    np.testing.assert_allclose(np.diff(res.x), 1.0, atol=1e-6)


def test_containers_and_single_precision():
    fun = lambda p: np.sum((p["a"][1:] - p["a"][:-1] ** 2) ** 2) + np.sum((p["a"] - p["b"]) ** 2) + np.sum(p["b"] ** 2)
    res = minimize(fun, {"a": np.full(200, 0.5), "b": np.ones(200)}, structure="sparse")
    assert res.success, res.message
    np.testing.assert_allclose(res.x["a"], 0.0, atol=1e-5)
    single = minimize(engval1, np.full(300, 2.0, np.float32), structure="sparse")
    assert single.success, single.message
    assert single.x.dtype == np.float32


def test_hessians_that_are_not_finite():
    # The second derivative of |x|^(3/2) is infinite at 0, where half of the variables start.
    fun = lambda x: np.sum(np.abs(x) ** 1.5) + np.sum((x[1:] - x[:-1] - 1.0) ** 2)
    for method in METHODS:
        start = np.tile([0.0, 1.0], 150)
        res = minimize(fun, start, method=method, structure="sparse", options={"maxiter": 200})
        assert res.fun < fun(start)


def test_resumed_runs_repeat_those_that_were_not_interrupted(tmp_path):
    whole = minimize(tridia, np.ones(2000))
    path = tmp_path / "run"
    for maxiter in (2, 4, 1000):
        options = {"checkpoint": path, "resume": True, "maxiter": maxiter, "checkpoint_every": 0.0}
        res = minimize(tridia, np.ones(2000), options=options)
    assert (res.structure, res.nit) == (whole.structure, whole.nit)
    np.testing.assert_array_equal(res.x, whole.x)


def test_kalman_smoother_by_a_newton_step():
    """The mode of a local-level model's joint density is the smoother's mean, its inverse Hessian the smoother's covariance."""
    rng = np.random.default_rng(5)
    n, level, noise, first = 2000, 0.1, 1.0, 10.0
    states = np.cumsum(np.sqrt(level) * rng.standard_normal(n))
    y = states + np.sqrt(noise) * rng.standard_normal(n)

    def minus_log_density(a):
        steps = np.sum((a[1:] - a[:-1]) ** 2) / level
        return 0.5 * (a[0] ** 2 / first + steps + np.sum((y - a) ** 2) / noise)

    mean, variance = kalman_smoother(y, level, noise, first)
    res = minimize(minus_log_density, np.zeros(n), structure="sparse")
    assert (res.nit, res.status) == (1, Status.CONVERGED)
    np.testing.assert_allclose(res.x, mean, atol=1e-9)
    matrix = hs.sparse.hessian(minus_log_density)(res.x)
    factor = factoring.factor(matrix)
    np.testing.assert_allclose(factor.inverse_diagonal(), variance, rtol=1e-9)


def kalman_smoother(y, level, noise, first):
    """Filter forward, smooth back (Rauch, Tung and Striebel)."""
    n = len(y)
    ahead_mean, ahead, mean, variance = (np.empty(n) for _ in range(4))
    ahead_mean[0], ahead[0] = 0.0, first
    for t in range(n):
        if t:
            ahead_mean[t], ahead[t] = mean[t - 1], variance[t - 1] + level
        gain = ahead[t] / (ahead[t] + noise)
        mean[t], variance[t] = ahead_mean[t] + gain * (y[t] - ahead_mean[t]), (1.0 - gain) * ahead[t]
    for t in range(n - 2, -1, -1):
        share = variance[t] / ahead[t + 1]
        mean[t] += share * (mean[t + 1] - ahead_mean[t + 1])
        variance[t] += share**2 * (variance[t + 1] - ahead[t + 1])
    return mean, variance


def test_factor_of_an_earlier_point_as_preconditioner(tmp_path):
    fun, start = lambda x: tridia(x) + np.sum((x - 1.0) ** 4), np.full(300, 3.0)
    plain = minimize(fun, start, method="trust-ncg")
    options = {"preconditioner": "factor"}
    res = minimize(fun, start, method="trust-ncg", options=options)
    assert (res.status, res.method, res.structure) == (Status.CONVERGED, "trust-ncg", "sparse")
    assert res.n_hvp < 0.5 * plain.n_hvp
    assert 0 < res.n_factor <= res.nit
    for maxiter in (2, 4, 1000):
        more = {"checkpoint": tmp_path / "run", "resume": True, "maxiter": maxiter, "checkpoint_every": 0.0}
        again = minimize(fun, start, method="trust-ncg", options=options | more)
    np.testing.assert_array_equal(again.x, res.x)
    mixed = np.random.default_rng(0).standard_normal((300, 300))
    with pytest.raises(TooDenseError, match="makes it dense"):
        minimize(lambda x: np.sum((mixed @ x) ** 4), np.ones(300), options=options)


def test_a_factor_that_no_shift_makes_definite_is_left_out():
    fun = lambda x: np.sum(np.abs(x) ** 1.5) + np.sum((x[1:] - x[:-1] - 1.0) ** 2)
    start = np.tile([0.0, 1.0], 150)
    res = minimize(fun, start, method="trust-ncg", options={"preconditioner": "factor", "maxiter": 30})
    assert res.fun < fun(start)


def spline(y):
    """Residuals of a curve through noisy values, of small second differences."""
    return lambda p: {"data": np.exp(p) - y, "rough": 3.0 * (p[2:] - 2.0 * p[1:-1] + p[:-2])}


@pytest.mark.parametrize("loss", ["linear", "soft_l1"])
def test_least_squares_on_sparse_factors(loss):
    rng = np.random.default_rng(6)
    t = np.linspace(0.0, 1.0, 200)
    fun = spline(np.exp(np.sin(6.0 * t)) + 0.1 * rng.standard_normal(200))
    sparse = least_squares(fun, np.zeros(200), structure="sparse", loss=loss)
    dense = least_squares(fun, np.zeros(200), structure="dense", loss=loss)
    assert sparse.success, sparse.message
    assert (sparse.structure, sparse.method, dense.structure) == ("sparse", "lm", "dense")
    np.testing.assert_allclose(sparse.x, dense.x, atol=1e-7)
    np.testing.assert_allclose(sparse.jac.toarray(), dense.jac, atol=1e-6)
    if loss == "linear":
        np.testing.assert_allclose(sparse.standard_error, dense.standard_error, rtol=1e-6)


def test_least_squares_with_large_residuals_takes_the_exact_hessian():
    fun = lambda x: {"a": 10.0 * (x[1:] - x[:-1] ** 2), "b": 1.0 - x[:-1], "c": np.exp(x) - 5.0 + 3.0 * x**2}
    sparse = least_squares(fun, np.full(60, 0.5), structure="sparse")
    dense = least_squares(fun, np.full(60, 0.5), structure="dense")
    assert sparse.success, sparse.message
    np.testing.assert_allclose(sparse.cost, dense.cost, rtol=1e-9)


def test_least_squares_refuses_dense_jacobians():
    with pytest.raises(
        TooDenseError, match=r"the Jacobian, shape \(50, 50\), has 2500 entries: sum, at .*solvers.py:.* makes"
    ):
        least_squares(lambda x: x * np.sum(x**2) - 1.0, np.ones(50), structure="sparse")
    with pytest.raises(TooDenseError, match=r"product of the Jacobian with itself.*: sum, at .*solvers.py:.* makes"):
        least_squares(lambda x: {"a": x - 1.0, "b": np.sum(x) - 3.0}, np.ones(50), structure="sparse")
    blocks = np.kron(np.eye(7), np.ones((1, 10)))[:, :66]
    orders = [np.random.default_rng(seed).permutation(66) for seed in range(8)]
    several = lambda x: [x - 1.0, *(blocks @ x[order] for order in orders)]
    with pytest.raises(TooDenseError, match=r"product of the Jacobian with itself.*: matvec, at .*solvers.py"):
        least_squares(several, np.ones(66), structure="sparse")
    mixed = np.random.default_rng(0).standard_normal((60, 60))
    with pytest.raises(TooDenseError, match=r"the Jacobian, .*: matvec, at .*solvers.py:.* makes it dense"):
        least_squares(lambda x: mixed @ x**2 - 1.0, np.ones(60), structure="sparse")
    # A product of 1e10 entries is not formed.
    with pytest.raises(TooDenseError, match=r"product of the Jacobian with itself.*: sum, at"):
        least_squares(lambda x: {"a": x - 1.0, "b": np.sum(x) - 3.0}, np.ones(10**5), structure="sparse")
    with pytest.raises(OptionError, match="structure"):
        least_squares(lambda x: x - 1.0, np.ones(5), structure="spares")
    with pytest.raises(OptionError, match="does not take structure"):
        least_squares(lambda x: x - 1.0, np.ones(5), method="lm", structure="operator")
    few = least_squares(lambda x: x**2 - 1.0, np.full(5, 2.0), structure="sparse")
    assert np.isnan(few.standard_error).all()
    flat = least_squares(
        lambda x: {"a": x[1:] - x[:-1] - 1.0, "b": 0.1 * (x[2:] - x[:-2])}, np.zeros(40), structure="sparse"
    )
    assert np.isnan(flat.standard_error).all()
    operator = least_squares(lambda x: x**2 - 1.0, np.full(5, 2.0), structure="operator")
    assert (operator.structure, operator.method) == ("operator", "gauss-newton-cg")


def test_newton_steps_are_shortened_where_that_costs_little():
    n, rng = 60, np.random.default_rng(0)
    g = rng.standard_normal(n)
    objective = VectorObjective(lambda x: g @ x + 0.5 * np.sum(np.arange(1.0, n + 1) * x**2), np.zeros(n), ())
    objective.factors.is_on = True
    point = objective.start()
    straight, exact = (kind(point.sparse(), g, point.factored) for kind in (StraightModel, ShiftedModel))
    whole = straight.step(np.inf)
    for share in (0.5, 0.1, 1e-3):
        radius = share * whole.norm
        step, best = straight.step(radius), exact.step(radius)
        np.testing.assert_allclose(step.vector, share * whole.vector, rtol=1e-12)
        assert best.predicted >= step.predicted >= 0.1 * best.predicted
        assert step.on_boundary
    # Where the way to the Newton step is nearly across the gradient, a short step is the model's.
    steep = VectorObjective(lambda x: g @ x + 0.5 * np.sum(np.r_[1e-6, np.full(n - 1, 1.0)] * x**2), np.zeros(n), ())
    steep.factors.is_on = True
    point = steep.start()
    straight, exact = (kind(point.sparse(), g, point.factored) for kind in (StraightModel, ShiftedModel))
    np.testing.assert_array_equal(straight.step(1e-3).vector, exact.step(1e-3).vector)
    assert straight.step(1e-3).predicted > 0.8e-3 * np.linalg.norm(g)


def test_neighbourhoods_tell_grids_from_chains():
    n = 30
    chain_of = lambda k: lambda x: sum(np.sum((x[d:] - x[:-d]) ** 2) for d in range(1, k + 1))
    square = lambda x: np.sum(np.diff(x.reshape(n, n), axis=0) ** 2) + np.sum(np.diff(x.reshape(n, n)) ** 2)
    cube = lambda x: sum(np.sum(np.diff(x.reshape(16, 16, 16), axis=k) ** 2) for k in range(3))
    hub = lambda x: np.sum(x[1:] ** 2 * x[0]) + np.sum(np.diff(x) ** 2)
    for fun, size, expected in (
        (chain_of(1), 900, False),
        (chain_of(5), 900, False),
        (square, n * n, True),
        (cube, 4096, True),
        (hub, 900, False),
        (lambda x: np.sum(x**2) ** 2, 900, False),
        (lambda x: np.sum(x), 900, False),
    ):
        assert spreads(VectorObjective(fun, np.ones(size), ()).start()) is expected
    # Nothing is looked for on a grid whose steps take few products.
    energy = lambda x: square(x) + np.sum(np.cosh(x - 1.0))
    with mock.patch.object(Factors, "is_sparse", side_effect=AssertionError):
        res = minimize(energy, np.zeros(n * n))
        assert (res.structure, res.success) == ("operator", True)
        with pytest.raises(AssertionError):
            minimize(tridia, np.ones(2000))
