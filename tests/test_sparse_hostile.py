"""Sparse solvers where public reports say that others fail: gauges, crowds of zeros, units far from 1, matrices lost in rounding."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

import hessian as hs
from hessian.errors import ConvergenceError
from hessian.linalg.factor import FactorStatus
from hessian.linalg.factoring import factor
from hessian.optimize import Status, derivatives, least_squares, minimize


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def scaled_rosenbrock(x, a):
    return a * rosenbrock(x)


@pytest.mark.parametrize("method", ["trust-exact", "newton", "arc"])
@pytest.mark.parametrize("seed", [3, 6])
def test_chains_that_may_turn_are_flat_not_undecided(seed, method):
    """A chain of springs may move, turn and twist: a crowd of eigenvalues that are zero but for the gradient's size."""
    m = 40

    def energy(X):
        near, far = X[1:] - X[:-1], X[2:] - X[:-2]
        stretched = np.sqrt(np.sum(near**2, axis=1)) - 1.0
        return 50.0 * np.sum(stretched**2) + 5.0 * np.sum((np.sqrt(np.sum(far**2, axis=1)) - 1.6) ** 2)

    start = np.cumsum(0.6 * np.random.default_rng(seed).standard_normal((m, 3)), axis=0)
    res = minimize(energy, start, method=method, structure="sparse")
    assert res.status is Status.CONVERGED_SEMIDEFINITE, res.message
    assert res.fun < 1e-12


# The weight of a cubic term has the unit to the power -3.
UNITS = {"trust-exact": (1e-100, 1e-20, 1e100), "newton": (1e-100, 1e100), "arc": (1e-70, 1e-20, 1e100)}


@pytest.mark.parametrize(("method", "unit"), [(method, unit) for method, units in UNITS.items() for unit in units])
def test_units_of_variables(method, unit):
    start = np.tile([-1.2, 1.0], 40)
    options = {"gtol": 1e-7 / unit}
    res = minimize(lambda x: rosenbrock(x / unit), start * unit, method=method, structure="sparse", options=options)
    assert res.status is Status.CONVERGED, res.message
    one = minimize(rosenbrock, start, method=method, structure="sparse", options={"gtol": 1e-7})
    np.testing.assert_allclose(res.x / unit, one.x, atol=1e-5)


def test_units_that_differ_from_variable_to_variable():
    """Eigenvalues from 1e-10 to 1e14, where a model over a few powers of the matrix is lost in rounding."""
    units = 10.0 ** np.random.default_rng(1).integers(-6, 7, 60)
    start = np.tile([-1.2, 1.0], 30)
    for method in ("trust-exact", "arc"):
        res = minimize(lambda x: rosenbrock(x * units), start / units, method=method, structure="sparse")
        assert res.status in (Status.CONVERGED, Status.MAX_ITERATIONS), res.message
        assert res.fun < 0.1 * rosenbrock(start)


def test_linear_directions_take_few_factorisations():
    """A component of a network without sink: the Hessian is singular, the gradient is not in its range."""
    fun = lambda v: np.sum(np.cosh(v[1:150] - v[:149]) - 1.0) - 0.1 * v[200] + np.sum(v[151:200] ** 2)
    for method in ("trust-exact", "arc"):
        res = minimize(fun, np.zeros(300), method=method, structure="sparse", options={"maxiter": 60})
        assert res.status in (Status.MAX_ITERATIONS, Status.UNBOUNDED)
        assert res.n_factor <= 16 * res.nit


LOSSES = ("linear", "soft_l1", "huber", "cauchy", "arctan")


@pytest.mark.parametrize("loss", LOSSES)
def test_least_squares_by_sparse_and_dense_say_the_same(loss):
    rng = np.random.default_rng(3)
    t = rng.uniform(0.0, 6.0, (30, 20))
    X, Y = (trig(t) * 1.5 + 0.5 + 0.01 * rng.standard_normal(t.shape) for trig in (np.cos, np.sin))

    def circles(p):
        return np.sqrt((X - p[:, :1]) ** 2 + (Y - p[:, 1:2]) ** 2) - p[:, 2:]

    start = np.tile([0.4, 0.4, 1.4], (30, 1))
    sparse, dense = (least_squares(circles, start, loss=loss, structure=name) for name in ("sparse", "dense"))
    assert sparse.status is dense.status is Status.CONVERGED, sparse.message
    np.testing.assert_allclose(sparse.x, dense.x, atol=1e-7)
    np.testing.assert_allclose(sparse.smallest_eigenvalue, dense.smallest_eigenvalue, rtol=0.1)
    assert sparse.n_hvp == 0


@pytest.mark.parametrize("loss", ["linear", "cauchy"])
def test_least_squares_with_fewer_residuals_than_variables(loss):
    fun = lambda x: np.sin(x[1:]) * x[:-1] - 0.3
    for structure in ("sparse", "dense"):
        res = least_squares(fun, np.full(80, 0.7), loss=loss, structure=structure)
        assert res.status is Status.CONVERGED_SEMIDEFINITE, res.message
        assert res.cost < 1e-30


@pytest.mark.parametrize("unit", [1e-150, 1e-100, 1e100, 1e150])
def test_units_of_residuals_and_their_variables(unit):
    residuals = lambda x: np.concatenate([x**2 - 2.0, x[1:] - x[:-1] - 0.1])
    one = least_squares(residuals, np.ones(80), structure="sparse")
    by_residuals = least_squares(lambda x: unit * residuals(x), np.ones(80), structure="sparse")
    by_variables = least_squares(lambda x: residuals(x / unit), np.full(80, unit), structure="sparse")
    for res, scale in ((by_residuals, 1.0), (by_variables, unit)):
        assert res.status is Status.CONVERGED, res.message
        np.testing.assert_allclose(res.x / scale, one.x, rtol=1e-9)
        np.testing.assert_allclose(res.standard_error / scale, one.standard_error, rtol=1e-9)


def test_saddles_of_sparse_least_squares_are_left():
    """Every product u v = 1 has a saddle at 0, where residuals are stationary."""
    fun = lambda x: {"products": x[::2] * x[1::2] - 1.0, "sizes": 0.3 * x}
    sparse, dense = (least_squares(fun, np.zeros(80), structure=name) for name in ("sparse", "dense"))
    assert sparse.success, sparse.message
    assert len(sparse.saddles) >= 1
    np.testing.assert_allclose(sparse.cost, dense.cost, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [60, 150, 400])
def test_factors_without_a_diagonal_solve_or_say_that_they_do_not(n, seed):
    """A bilinear form has no diagonal: pivots near it grow without bound, and solutions had errors of a tenth."""
    rng = np.random.default_rng(seed)
    half = sp.random_array((n, n), density=3.0 / n, rng=rng, data_sampler=lambda size: rng.standard_normal(size))
    matrix = half + half.T
    matrix = sp.csc_array(matrix - sp.diags_array(matrix.diagonal()))
    columns, core = rng.standard_normal((n, 2)), np.diag([1.0, -2.0])
    for low_rank in (None, (columns, core)):
        dense = matrix.toarray() + (0.0 if low_rank is None else columns @ core @ columns.T)
        found, b = factor(matrix, low_rank=low_rank), np.ones(n)
        if found.status is FactorStatus.SINGULAR:
            assert np.linalg.cond(matrix.toarray()) > 1e12
            continue
        z = found.solve(b)
        assert np.abs(dense @ z - b).max() <= 1e-11 * np.abs(dense).sum(axis=1).max() * np.abs(z).max()
        np.testing.assert_allclose(found.logdet, np.linalg.slogdet(dense)[1], rtol=1e-9)


def test_attempts_at_definite_factors_do_not_solve_where_they_are_wrong():
    # A large entry beside a tiny pivot, and a diagonal that is positive: not definite, and factored with exchanges.
    rng = np.random.default_rng(7)
    half = sp.random_array((200, 200), density=0.02, rng=rng)
    matrix = sp.csc_array(half + half.T + 1e-14 * sp.eye_array(200))
    found = factor(matrix, definite=True)
    assert (found.status, found.can_solve) == (FactorStatus.UNKNOWN, False)
    with pytest.raises(ConvergenceError, match="no factor to solve with"):
        found.solve(np.ones(200))


def test_factors_of_every_format():
    offsets = [np.full(99, -1.0), np.full(100, 2.5), np.full(99, -1.0)]
    diagonals = sp.diags_array(offsets, offsets=[-1, 0, 1])
    for form in ("csc", "csr", "coo", "lil", "dok", "bsr", "dia"):
        assert factor(diagonals.asformat(form)).status is FactorStatus.DEFINITE


def test_derivatives_pickle_and_take_a_single_argument():
    """Solvers that run in processes of their own send the functions there."""
    made = derivatives(scaled_rosenbrock, np.full(9, 0.5), 2.0)
    sent = pickle.loads(pickle.dumps(made))
    x = np.linspace(0.0, 1.0, 9)
    assert made.fun(x) == sent.fun(x) == 2.0 * rosenbrock(x)
    assert (made.hess(x) != sent.hess(x)).nnz == 0
    assert sent.hess_structure.pattern.n_colors == 3
    assert not hasattr(pickle.loads(pickle.dumps(derivatives(rosenbrock, x, sparse=False))).hess(x), "tocsc")


def test_derivatives_in_trust_constr_with_sparse_constraints():
    target, n = np.linspace(0.0, 3.0, 30), 30
    circles = lambda x: x[1:] ** 2 + x[:-1] ** 2 - 2.0
    objective = lambda x: np.sum((x[1:] - x[:-1]) ** 2) + np.sum((x - target) ** 2)
    made = derivatives(objective, np.full(n, 0.2))
    hess = hs.sparse.hessian(lambda x, v: v @ circles(x))
    for keep_feasible in (False, True):
        inside = scipy.optimize.NonlinearConstraint(
            circles, -np.inf, 0.0, jac=hs.sparse.jacobian(circles), hess=hess, keep_feasible=keep_feasible
        )
        with warnings.catch_warnings():
            # SciPy's own, of conversions and of quasi-Newton updates.
            warnings.simplefilter("ignore")
            res = scipy.optimize.minimize(
                made.fun,
                made.x0,
                jac=made.jac,
                hess=made.hess,
                method="trust-constr",
                constraints=[inside],
                bounds=[(-3.0, 3.0)] * n,
                options={"gtol": 1e-8, "xtol": 1e-10, "maxiter": 500},
            )
            dense = minimize(
                objective, made.x0, method="SLSQP", constraints={"type": "ineq", "fun": lambda x: -circles(x)}
            )
        assert res.status in (1, 2)
        np.testing.assert_allclose(res.fun, dense.fun, rtol=1e-5)


def smooth_curve(n, weight=300.0):
    """Residuals of an ill-conditioned fit: noisy data and small second differences."""
    y = np.sin(np.linspace(0.0, 9.0, n)) + 0.1 * np.random.default_rng(0).standard_normal(n)
    return lambda x: {"data": np.exp(0.1 * x) - np.exp(0.1 * y), "rough": weight * (x[2:] - 2.0 * x[1:-1] + x[:-2])}


@pytest.mark.parametrize("loss", ["linear", "soft_l1"])
def test_long_least_squares_go_on_with_sparse_factors(loss, tmp_path):
    """Products alone take 84 000; a model is cut short to look."""
    fun, start = smooth_curve(1000), np.zeros(1000)
    res = least_squares(fun, start, loss=loss)
    assert (res.method, res.structure, res.status) == ("lm", "sparse", Status.CONVERGED)
    assert res.n_hvp < 150
    assert "products it went on with a sparse Jacobian of 3994 entries, factors banded" in res.message
    named = least_squares(fun, start, loss=loss, structure="sparse")
    np.testing.assert_allclose(res.x, named.x, atol=1e-7)
    if loss == "linear":
        np.testing.assert_allclose(res.standard_error, named.standard_error, rtol=1e-6)
    for maxiter in (1, 2, 1000):
        options = {"checkpoint": tmp_path / "run", "resume": True, "maxiter": maxiter, "checkpoint_every": 0.0}
        again = least_squares(fun, start, loss=loss, options=options)
    np.testing.assert_array_equal(again.x, res.x)
    assert (again.nit, again.message) == (res.nit, res.message)


def test_least_squares_that_stay_with_products(tmp_path):
    rng = np.random.default_rng(0)
    design = rng.standard_normal((600, 300)) * np.exp(rng.uniform(-4.0, 4.0, 300))
    dense = least_squares(lambda x: np.tanh(design @ x / 50.0) - 0.3 * np.sin(np.arange(600)), np.zeros(300))
    assert (dense.method, dense.structure) == ("gauss-newton-cg", "operator")
    # One residual of all variables makes the product of the Jacobian with itself dense.
    summed = least_squares(lambda x: {**smooth_curve(300, 10.0)(x), "sum": np.sum(x)}, np.zeros(300))
    assert (summed.method, summed.structure, summed.success) == ("gauss-newton-cg", "operator", True)
    small = least_squares(smooth_curve(200, 3.0), np.zeros(200))
    assert small.structure == "operator"
    for options in ({"max_cg": 10**6}, {"max_hvp": 10**6}):
        assert least_squares(smooth_curve(300, 3.0), np.zeros(300), options=options).structure == "operator"
    assert least_squares(smooth_curve(300, 3.0), np.zeros(300), method="gauss-newton-cg").structure == "operator"


def test_grids_of_least_squares_wait_for_long_models(tmp_path):
    """Factors with fill are taken once a model takes hundreds of products; a run that is resumed decides the same."""
    image = np.random.default_rng(0).standard_normal((64, 64))
    fun = lambda u: {"data": u - image, "down": 60.0 * (u[1:] - u[:-1]), "across": 60.0 * (u[:, 1:] - u[:, :-1])}
    res = least_squares(fun, np.zeros((64, 64)))
    assert res.success, res.message
    for maxiter in (1, 2, 1000):
        options = {"checkpoint": tmp_path / "run", "resume": True, "maxiter": maxiter, "checkpoint_every": 0.0}
        again = least_squares(fun, np.zeros((64, 64)), options=options)
    np.testing.assert_array_equal(again.x, res.x)
    assert (again.structure, again.message) == (res.structure, res.message)


@pytest.mark.parametrize(
    ("fun", "start"),
    [
        (lambda x: np.sum(np.cos(x)) + 0.01 * np.sum((x[1:] - x[:-1]) ** 2), np.zeros(300)),
        (lambda x: x[0] * np.sum(x[1:]) + np.sum(x**4), np.zeros(300)),
        (lambda x: np.sum(np.exp(x) - 2.0 * x) + np.sum((x[1:] - x[:-1]) ** 2), np.zeros(300)),
    ],
)
def test_smallest_eigenvalues_beside_a_crowd(fun, start):
    """An eigenvalue of its own below hundreds that are alike; a few looks at the inverse gave that of the crowd."""
    for method in ("trust-exact", "arc"):
        res = minimize(fun, start, method=method, structure="sparse")
        values = np.linalg.eigvalsh(hs.hessian(fun)(res.x))
        assert res.status is Status.CONVERGED, res.message
        np.testing.assert_allclose(res.smallest_eigenvalue, values[0], rtol=0.02)
