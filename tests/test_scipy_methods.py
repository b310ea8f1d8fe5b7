"""SciPy's minimisers behind our front: known minima, exact derivatives, counts, containers, conventions, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose, assert_array_equal
from optimize_problems import beale, rosenbrock
from scipy.optimize import SR1, Bounds, LinearConstraint, NonlinearConstraint

import hessian as hs
from hessian.errors import NonFiniteError, NotScalarError, OptionError, ShapeMismatchError
from hessian.optimize import OptimizeResult, Status
from hessian.optimize.scipy_constraints import ConstraintFunction, constraint_list, flat_bounds, flat_constraint
from hessian.optimize.scipy_methods import SCIPY_METHODS, choose_scipy_method, minimize_by_scipy

PLAIN = ("COBYLA", "COBYQA", "Nelder-Mead", "Powell")
GRADIENT = tuple(name for name in SCIPY_METHODS if name not in PLAIN)
BOUNDED = ("L-BFGS-B", "trust-constr", "SLSQP", "TNC", "COBYLA", "COBYQA", "Nelder-Mead", "Powell")
CONSTRAINED = ("trust-constr", "SLSQP", "COBYLA", "COBYQA")
TIGHT: dict[str, dict[str, Any]] = {
    "L-BFGS-B": {"ftol": 1e-15, "gtol": 1e-8},
    # gtol may be met while the barrier parameter is still large: it starts small.
    "trust-constr": {
        "gtol": 1e-8,
        "xtol": 1e-12,
        "initial_barrier_parameter": 1e-9,
        "initial_barrier_tolerance": 1e-9,
    },
    "SLSQP": {"ftol": 1e-10},
    "BFGS": {"gtol": 1e-8},
    "CG": {"gtol": 1e-8},
    "TNC": {"ftol": 1e-15, "gtol": 1e-10, "xtol": 1e-12, "maxfun": 1000},
    "COBYLA": {"tol": 1e-8, "maxiter": 20000},
    "COBYQA": {"final_tr_radius": 1e-9},
    "Nelder-Mead": {"xatol": 1e-9, "fatol": 1e-12},
    "Powell": {"xtol": 1e-9, "ftol": 1e-12},
    "dogleg": {"gtol": 1e-8},
}
START = np.array([-1.2, 1.0])


def quartic_bowl(x):
    """Convex, minimum 0 at (1, 2): dogleg wants positive definite Hessians."""
    return (x[0] - 1.0) ** 4 + (x[0] - 1.0) ** 2 + (x[1] - 2.0) ** 2 + 0.5 * (x[0] - 1.0) * (x[1] - 2.0)


def tree_objective(p):
    return np.sum((p["a"] - 1.0) ** 2) + (p["b"] @ p["b"] - 2.0) ** 2 + np.sum((p["b"] - 0.5) ** 2)


def tree_start():
    return {"a": np.zeros((2, 2)), "b": np.array([0.3, 0.7])}


class Counting:
    """A function in plain NumPy that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args):
        self.calls += 1
        return self.function(*args)


# Every method.


@pytest.mark.parametrize("method", [name for name in SCIPY_METHODS if name != "dogleg"])
@pytest.mark.parametrize(
    ("fun", "start", "minimum"), [(rosenbrock, START, (1.0, 1.0)), (beale, [1.0, 1.0], (3.0, 0.5))]
)
def test_each_method_finds_the_minimum(method, fun, start, minimum):
    # Linear models crawl in valleys: seconds from further away.
    start = np.array([0.99, 0.99]) if method == "COBYLA" and fun is rosenbrock else start
    res = minimize_by_scipy(fun, start, (), method, options=TIGHT[method])
    assert_allclose(res.x, minimum, atol=2e-4)
    assert res.fun < 1e-7
    assert res.method == method
    assert isinstance(res, OptimizeResult)


def test_dogleg_finds_the_minimum_with_exact_hessians():
    options = {**TIGHT["dogleg"], "check_curvature": False}
    res = minimize_by_scipy(quartic_bowl, [4.0, -3.0], (), "dogleg", options=options)
    assert res.status is Status.EXTERNAL_SUCCESS
    assert_allclose(res.x, [1.0, 2.0], atol=1e-8)
    assert res.n_hess > 1
    assert res.n_hvp == 0


def test_dogleg_without_a_positive_definite_hessian_is_a_failure_in_scipys_words():
    res = minimize_by_scipy(rosenbrock, [0.5, 0.5], (), "dogleg")
    assert res.status is Status.EXTERNAL_FAILURE
    assert not res.success
    assert res.message == "A linalg error occurred, such as a non-psd Hessian."
    assert res.scipy_status == 3


@pytest.mark.parametrize("method", SCIPY_METHODS)
def test_results_are_those_of_scipy_with_our_derivatives(method):
    fun, start = (quartic_bowl, np.array([4.0, -3.0])) if method == "dogleg" else (rosenbrock, START)
    options = {"maxfun" if method == "TNC" else "maxiter": 20}
    ours = minimize_by_scipy(fun, start, (), method, options=options)
    derivatives: dict[str, Any] = {"jac": hs.grad(fun)} if method not in PLAIN else {}
    if method in ("dogleg", "trust-constr"):
        derivatives["hess"] = hs.hessian(fun)
    theirs = scipy.optimize.minimize(fun, start, method=method, options=options, **derivatives)
    assert_allclose(ours.x, theirs.x, rtol=1e-8, atol=1e-10)
    assert ours.message.startswith(theirs.message)
    assert ours.scipy_status == theirs.status
    assert ours.success == theirs.success
    for name in ("nit", "nfev", "njev", "nhev"):
        assert ours.get(name) == theirs.get(name) or name not in theirs


@pytest.mark.parametrize("spelling", ["l-bfgs-b", "L_BFGS_B", "L-bfgs-B"])
def test_names_are_found_in_any_spelling(spelling):
    assert minimize_by_scipy(rosenbrock, START, (), spelling).method == "L-BFGS-B"


def test_default_methods():
    assert choose_scipy_method(100, True, True) == "SLSQP"
    assert choose_scipy_method(101, False, True) == "trust-constr"
    assert choose_scipy_method(101, True, False) == "L-BFGS-B"
    assert choose_scipy_method(3, False, False) == "BFGS"
    constraint = LinearConstraint([[1.0, 1.0]], 1.0, 1.0)
    assert minimize_by_scipy(rosenbrock, START, constraints=constraint).method == "SLSQP"
    assert minimize_by_scipy(rosenbrock, START, bounds=[(-2, 2)] * 2).method == "L-BFGS-B"


def test_tol_and_options_reach_the_method():
    loose = minimize_by_scipy(rosenbrock, START, (), "BFGS", tol=1.0)
    tight = minimize_by_scipy(rosenbrock, START, (), "BFGS", tol=1e-9)
    assert loose.nit < tight.nit
    assert tight.gradient_norm < 1e-8
    short = minimize_by_scipy(rosenbrock, START, (), "BFGS", options={"maxiter": 2})
    assert (short.nit, short.status) == (2, Status.EXTERNAL_FAILURE)


# Counts.


@pytest.mark.parametrize("method", ["L-BFGS-B", "SLSQP", "BFGS", "CG", "TNC"])
def test_one_point_costs_one_forward_and_one_reverse_sweep(method):
    recorded = hs.record(rosenbrock, verify="never")
    res = minimize_by_scipy(recorded, START, (), method, options={"check_curvature": False})
    assert res.n_value == res.n_grad == res.nfev
    assert recorded.stats.recordings == 1
    assert recorded.stats.replays == res.n_value - 1
    assert res.n_hvp == res.n_hess == res.n_factor == 0


def test_second_order_methods_take_gradients_only_where_asked():
    res = minimize_by_scipy(rosenbrock, START, (), "trust-constr")
    assert res.n_value == res.nfev
    assert res.n_grad == res.njev <= res.n_value
    assert res.n_hvp > 0
    assert res.n_hess == 0
    res = minimize_by_scipy(quartic_bowl, [4.0, -3.0], (), "dogleg")
    # SciPy counts before it asks for the Hessian it returns.
    assert (res.n_value, res.n_grad, res.n_hess) == (res.nfev, res.njev, res.nhev + 1)


@pytest.mark.parametrize("method", PLAIN)
def test_methods_without_derivatives_call_any_function(method):
    fun = Counting(lambda x: round(float(x[0] - 1.0) ** 2, 12) + math.cosh(x[1]))  # nothing here can be traced
    res = minimize_by_scipy(fun, [0.3, 0.4], (), method)
    assert_allclose(res.x, [1.0, 0.0], atol=1e-2)
    assert fun.calls == res.n_value
    assert res.n_grad == 0
    assert "jac" not in res
    assert math.isnan(res.gradient_norm)


@pytest.mark.parametrize("method", GRADIENT)
def test_jac_is_the_gradient_at_x(method):
    fun, start = _method_problem(method)
    res = minimize_by_scipy(fun, start, (), method, options={"maxfun" if method == "TNC" else "maxiter": 3})
    assert_allclose(res.jac, hs.grad(fun)(res.x), rtol=1e-13, atol=1e-13)
    assert res.gradient_norm == pytest.approx(np.linalg.norm(res.jac))
    assert res.fun == pytest.approx(fun(res.x), rel=1e-14)


def test_constraints_are_evaluated_once_per_point():
    plain = Counting(lambda x: x[0] ** 2 + x[1] ** 2)
    constraint = hs.record(plain, verify="always")
    function = ConstraintFunction(constraint, (), lambda x: x, derivatives=True)
    x = np.array([1.0, 2.0])
    assert_array_equal(function.value(x), [5.0])
    first = plain.calls
    assert_array_equal(function.jacobian(x), [[2.0, 4.0]])
    assert_array_equal(function.value(x), [5.0])
    assert plain.calls == first
    x[:] = 3.0  # SciPy reuses its arrays
    assert_array_equal(function.value(x), [18.0])
    assert_array_equal(function.jacobian(x), [[6.0, 6.0]])


# Bounds.


@pytest.mark.parametrize("method", BOUNDED)
@pytest.mark.parametrize(
    "bounds", [Bounds([1.5, -np.inf], [3.0, np.inf]), [(1.5, 3.0), (None, None)]], ids=["Bounds", "pairs"]
)
def test_bounds_active_at_the_solution(method, bounds):
    # On the edge x0 = 1.5 the minimum over x1 is at x1 = x0^2, with the value (1 - x0)^2.
    start = [1.6, 2.6] if method == "COBYLA" else [2.0, 2.0]
    res = minimize_by_scipy(rosenbrock, start, (), method, bounds=bounds, options=TIGHT[method])
    assert_allclose(res.x, [1.5, 2.25], atol=1e-3)
    assert res.fun == pytest.approx(0.25, abs=1e-5)


@pytest.mark.parametrize("method", BOUNDED)
def test_the_start_moves_into_the_bounds(method):
    seen = []

    def shift(x):
        return np.sum((x - 5.0) ** 2 + 0.0 * np.sqrt(x - 2.0))

    res = minimize_by_scipy(shift, [0.0, 7.0], (), method, bounds=[(3.0, 6.0)] * 2, callback=seen.append)
    assert_allclose(res.x, 5.0, atol=1e-3)


def test_a_variable_fixed_by_bounds(capsys):
    states = []

    def keep(intermediate_result):
        states.append(intermediate_result.x)

    for method in ("TNC", "L-BFGS-B", "SLSQP"):
        bounds = [(0.5, 0.5), (None, None)]
        res = minimize_by_scipy(rosenbrock, START, (), method, bounds=bounds, callback=keep)
        assert_allclose(res.x, [0.5, 0.25], atol=1e-5)
        assert np.all(np.isfinite(res.jac))
    res = minimize_by_scipy(rosenbrock, START, (), "L-BFGS-B", bounds=[(0.5, 0.5)] * 2)
    assert (
        res.message == "All independent variables were fixed by bounds. (Bounds and constraints hold every direction.)"
    )
    assert all(x.shape == (2,) and x[0] == 0.5 for x in states)
    assert capsys.readouterr().out == ""
    assert res.fun == rosenbrock(np.array([0.5, 0.5]))


def test_bounds_of_containers():
    bounds = ({"a": 2.0, "b": None}, {"a": None, "b": np.array([np.inf, 0.25])})
    res = minimize_by_scipy(tree_objective, tree_start(), (), "L-BFGS-B", bounds=bounds, options=TIGHT["L-BFGS-B"])
    assert_array_equal(res.x["a"], np.full((2, 2), 2.0))
    assert res.x["b"][1] == 0.25
    box = flat_bounds((0.0, None), tree_start())
    assert_array_equal(box.lb, np.zeros(6))
    assert_array_equal(box.ub, np.full(6, np.inf))


def test_bounds_broadcast_to_the_shape_of_x0():
    box = flat_bounds(Bounds(np.array([0.0, 1.0]), np.inf, keep_feasible=True), np.zeros((3, 2)))
    assert_array_equal(box.lb, [0.0, 1.0] * 3)
    assert_array_equal(box.keep_feasible, [True] * 6)
    assert_array_equal(flat_bounds(Bounds(np.arange(6.0), 9.0), np.zeros((3, 2))).lb, np.arange(6.0))
    assert flat_bounds(None, np.zeros(2)) is None


# Constraints.


def hs71(x):
    return x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2]


HS71_START = np.array([1.0, 5.0, 5.0, 1.0])
HS71_SOLUTION = [1.0, 4.74299963, 3.82114998, 1.37940829]
HS71_NEW = [
    NonlinearConstraint(lambda x: x[0] * x[1] * x[2] * x[3], 25.0, np.inf),
    NonlinearConstraint(lambda x: np.sum(x**2), 40.0, 40.0),
]
HS71_OLD = (
    {"type": "ineq", "fun": lambda x, product: x[0] * x[1] * x[2] * x[3] - product, "args": (25.0,)},
    {"type": "eq", "fun": lambda x: x @ x - 40.0},
)
HS71_MIXED = NonlinearConstraint(lambda x: [x[0] * x[1] * x[2] * x[3], x @ x], [25.0, 40.0], [np.inf, 40.0])


@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
@pytest.mark.parametrize("constraints", [HS71_NEW, HS71_OLD, HS71_MIXED], ids=["new", "old", "mixed"])
def test_hock_schittkowski_71(method, constraints):
    res = minimize_by_scipy(
        hs71, HS71_START, (), method, bounds=[(1.0, 5.0)] * 4, constraints=constraints, options=TIGHT[method]
    )
    assert res.status is Status.EXTERNAL_SUCCESS
    assert res.fun == pytest.approx(17.0140173, abs=5e-7)
    assert_allclose(res.x, HS71_SOLUTION, atol=1e-5)
    assert res.constr_violation < 1e-7
    assert res.n_value == res.nfev
    assert ("multipliers" in res) == (method == "SLSQP")
    assert ("v" in res) == (method == "trust-constr")


@pytest.mark.parametrize("method", ["COBYLA", "COBYQA"])
def test_hock_schittkowski_71_without_derivatives(method):
    res = minimize_by_scipy(
        hs71, HS71_START, (), method, bounds=[(1.0, 5.0)] * 4, constraints=HS71_NEW, options=TIGHT[method]
    )
    assert res.fun == pytest.approx(17.0140173, abs=1e-4)
    assert res.constr_violation < 1e-5
    assert "maxcv" in res


@pytest.mark.parametrize("method", CONSTRAINED)
def test_linear_constraints_and_constraints_of_containers(method):
    # Nearest point to (1, .., 1) with the entries of a summing to 2: a = 1/2; b off the circle by its own terms.
    def fun(p):
        return np.sum((p["a"] - 1.0) ** 2) + np.sum((p["b"] - 2.0) ** 2)

    row = np.array([[1.0, 1.0, 1.0, 1.0, 0.0, 0.0]])
    constraints = [LinearConstraint(row, 2.0, 2.0), {"type": "ineq", "fun": lambda p: 2.0 - p["b"] @ p["b"]}]
    res = minimize_by_scipy(fun, tree_start(), (), method, constraints=constraints, options=TIGHT[method])
    assert_allclose(res.x["a"], np.full((2, 2), 0.5), atol=1e-4)
    assert_allclose(res.x["b"], [1.0, 1.0], atol=1e-4)
    assert res.fun == pytest.approx(3.0, abs=1e-4)


def curved(p):
    """Three constraints on a container: a vector and a scalar, far from quadratic."""
    return [np.exp(p["b"]) * np.sum(p["a"] ** 2), np.sin(p["a"][0, 1] * p["b"][0])]


@pytest.mark.parametrize("seed", range(3))
def test_constraint_derivatives_against_finite_differences(seed):
    rng = np.random.default_rng(seed)
    leaves = rng.standard_normal(6)

    def structured(x):
        return {"a": np.array(x[:4]).reshape(2, 2), "b": np.array(x[4:])}

    def values(x):
        first, second = curved(structured(x))
        return np.append(first, second)

    constraint = flat_constraint(NonlinearConstraint(curved, -np.inf, 0.0), 2, leaves, structured)
    jacobian = constraint.jac(leaves)
    steps = 1e-5 * np.eye(6)
    central = np.stack([(values(leaves + h) - values(leaves - h)) / 2e-5 for h in steps], axis=1)
    assert jacobian.shape == (3, 6)
    assert_allclose(jacobian, central, rtol=1e-7, atol=1e-8)
    for v in (rng.standard_normal(3), np.zeros(3), np.array([0.0, 0.0, 1.0])):
        hessian = constraint.hess(leaves, v) @ np.eye(6)
        central = np.stack([(constraint.jac(leaves + h) - constraint.jac(leaves - h)).T @ v / 2e-5 for h in steps])
        assert_allclose(hessian, central, rtol=1e-7, atol=1e-7)
        assert_allclose(hessian, hessian.T, rtol=0, atol=1e-12)


def test_own_derivatives_of_a_constraint_are_used():
    jac = Counting(lambda x: np.array([2.0 * x]))
    hess = Counting(lambda x, v: 2.0 * v[0] * np.eye(2))
    fun = lambda x: float(x[0]) ** 2 + float(x[1]) ** 2  # cannot be traced
    for method, constraint in (
        ("trust-constr", NonlinearConstraint(fun, -np.inf, 2.0, jac=jac, hess=hess)),
        ("trust-constr", NonlinearConstraint(fun, -np.inf, 2.0, jac=jac)),
        ("SLSQP", NonlinearConstraint(fun, -np.inf, 2.0, jac=jac, hess=hess)),
        ("SLSQP", {"type": "ineq", "fun": lambda x, c: c - fun(x), "jac": lambda x, c: -jac(x), "args": (2.0,)}),
    ):
        jac.calls = hess.calls = 0
        res = minimize_by_scipy(
            lambda x: x[0] + x[1], [0.3, 0.4], (), method, constraints=constraint, options=TIGHT[method]
        )
        assert_allclose(res.x, [-1.0, -1.0], atol=1e-6)
        assert jac.calls > 0
        own = isinstance(constraint, NonlinearConstraint) and constraint.hess is hess
        assert (hess.calls > 0) == own  # SLSQP takes none: that is the look at the curvature of the solution
        assert ("curvature is not known" in res.message) != own


def test_a_quasi_newton_choice_other_than_the_default_is_kept():
    strategy = SR1()
    item = NonlinearConstraint(lambda x: x @ x, 0.0, 1.0, hess=strategy)
    assert flat_constraint(item, 2, np.ones(2), lambda x: x).hess is strategy
    item = NonlinearConstraint(lambda x: x @ x, 0.0, 1.0, hess="2-point", jac="3-point")
    filled = flat_constraint(item, 2, np.ones(2), lambda x: x)
    assert_array_equal(filled.hess(np.ones(2), np.array([3.0])) @ np.eye(2), 6.0 * np.eye(2))
    assert_array_equal(filled.jac(np.ones(2)), [[2.0, 2.0]])


def test_an_infeasible_problem_is_a_failure_with_its_violation():
    constraints = [{"type": "eq", "fun": lambda x: x[0] - 1.0}, {"type": "eq", "fun": lambda x: x[0] - 3.0}]
    res = minimize_by_scipy(rosenbrock, START, (), "SLSQP", constraints=constraints)
    assert res.status is Status.EXTERNAL_FAILURE
    assert res.constr_violation >= 1.0


@pytest.mark.parametrize("empty", [(), [], None])
def test_no_constraints(empty):
    assert constraint_list(empty) == []
    assert minimize_by_scipy(rosenbrock, START, (), "BFGS", constraints=empty).success


# Structures and dtypes.


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-constr", "Nelder-Mead"])
def test_containers_keep_their_structure_and_are_not_changed(method):
    start, seen = tree_start(), []
    options = {**TIGHT[method], **({"maxiter": 5000, "maxfev": 5000} if method == "Nelder-Mead" else {})}
    res = minimize_by_scipy(tree_objective, start, (), method, callback=seen.append, options=options)
    assert res.fun == pytest.approx(tree_objective({"a": np.ones((2, 2)), "b": res.x["b"]}), abs=1e-8)
    assert_allclose(res.x["a"], np.ones((2, 2)), atol=1e-4)
    assert set(seen[0]) == set(res.x) == {"a", "b"}
    assert seen[0]["a"].shape == (2, 2)
    if method != "Nelder-Mead":
        assert res.jac["a"].shape == (2, 2)
    assert_array_equal(start["a"], np.zeros((2, 2)))


def test_matrices_integers_and_arguments():
    target = np.arange(6.0).reshape(2, 3)
    res = minimize_by_scipy(lambda x, t: np.sum((x - t) ** 2), [[0, 0, 0], [0, 0, 0]], (target,), "BFGS")
    assert_allclose(res.x, target, atol=1e-6)
    recorded = hs.record(lambda x, t: np.sum((x - t) ** 2))
    assert_allclose(minimize_by_scipy(recorded, np.zeros((2, 3)), (target,), "CG").x, target, atol=1e-6)


@pytest.mark.parametrize("method", ["BFGS", "trust-constr", "Powell"])
def test_float32_is_computed_in_double_and_returned_in_single_precision(method):
    dtypes = set()

    def fun(p):
        dtypes.add(str(p[0].dtype))
        return rosenbrock(p[0]) + (p[1] - 1.0) ** 2

    x0 = (START.astype(np.float32), np.float64(0.5))
    res = minimize_by_scipy(fun, x0, (), method, options=TIGHT[method])
    assert dtypes == {"float64"}
    assert (res.x[0].dtype, res.x[1].dtype) == (np.float32, np.float64)
    assert_allclose(res.x[0], [1.0, 1.0], rtol=1e-6)


def test_return_all_has_the_structure_of_x0():
    res = minimize_by_scipy(tree_objective, tree_start(), (), "BFGS", options={"return_all": True})
    assert len(res.allvecs) == res.nit + 1
    assert_array_equal(res.allvecs[0]["a"], np.zeros((2, 2)))


# Callbacks, interrupts, values that are not finite.


def _method_problem(method):
    return (quartic_bowl, np.array([4.0, -3.0])) if method == "dogleg" else (rosenbrock, START)


@pytest.mark.parametrize("method", SCIPY_METHODS)
@pytest.mark.parametrize("how", ["raise", "return"])
def test_callbacks_stop_every_method(method, how):
    states = []

    def stop_at_third(intermediate_result):
        states.append(intermediate_result)
        if len(states) == 3:
            if how == "raise":
                raise StopIteration
            return True
        return False

    fun, start = _method_problem(method)
    res = minimize_by_scipy(fun, start, (), method, callback=stop_at_third)
    assert len(states) == 3
    assert res.status is Status.CALLBACK
    assert not res.success
    assert_array_equal(res.x, states[-1].x)
    assert res.fun == states[-1].fun == pytest.approx(fun(res.x))
    assert ("jac" in states[0]) == (method in GRADIENT)
    assert states[-1].n_value == res.n_value
    assert isinstance(res.nit, int)


def test_a_callback_may_take_x_or_both():
    xs, both = [], []
    res = minimize_by_scipy(rosenbrock, START, (), "L-BFGS-B", callback=lambda xk: xs.append(xk))
    assert len(xs) == res.nit
    assert_array_equal(xs[-1], res.x)
    minimize_by_scipy(rosenbrock, START, (), "trust-constr", callback=lambda xk, state: both.append((xk, state)))
    assert_array_equal(both[0][0], both[0][1].x)
    assert both[0][1].tr_radius > 0
    assert both[0][1].nit < both[-1][1].nit


def test_callback_errors_pass_through():
    def broken(xk):
        raise KeyError("mine")

    for method in SCIPY_METHODS:
        fun, start = _method_problem(method)
        with pytest.raises(KeyError, match="mine"):
            minimize_by_scipy(fun, start, (), method, callback=broken)


@pytest.mark.parametrize("method", SCIPY_METHODS)
def test_an_interrupt_returns_the_best_point(method):
    seen = []

    def interrupt(intermediate_result):
        seen.append(intermediate_result.fun)
        if len(seen) == 4:
            raise KeyboardInterrupt

    fun, start = _method_problem(method)
    res = minimize_by_scipy(fun, start, (), method, callback=interrupt)
    assert res.status is Status.INTERRUPTED
    assert not res.success
    assert res.fun <= min(seen)
    assert res.fun == pytest.approx(fun(res.x))


def test_an_interrupt_inside_fun():
    calls = []

    def fun(x):
        calls.append(x)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return rosenbrock(x)

    for method in PLAIN:
        calls.clear()
        res = minimize_by_scipy(fun, START, (), method)
        assert res.status is Status.INTERRUPTED
        assert res.fun == min(rosenbrock(x) for x in calls[:20])


def test_an_interrupt_of_a_constrained_run_returns_an_iterate_not_the_lowest_value():
    iterates = []

    def interrupt(intermediate_result):
        iterates.append(intermediate_result.x)
        if len(iterates) == 3:
            raise KeyboardInterrupt

    constraint = {"type": "ineq", "fun": lambda x: 2.0 - x @ x}
    res = minimize_by_scipy(
        lambda x: x[0] ** 3 + x[1], [0.1, 0.2], (), "SLSQP", constraints=constraint, callback=interrupt
    )
    assert_array_equal(res.x, iterates[-1])


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "Nelder-Mead", "COBYQA"])
def test_trial_points_outside_the_domain_are_left_to_scipy(method):
    res = minimize_by_scipy(lambda x: x[0] - np.log(x[0]), [5.0], (), method)
    assert_allclose(res.x, 1.0, atol=1e-3)


def test_success_needs_a_finite_value():
    with np.errstate(over="ignore"):
        res = minimize_by_scipy(lambda x: -np.exp(x[0]), [1.0], (), "Nelder-Mead")
    assert not math.isfinite(res.fun)
    assert res.status is Status.EXTERNAL_FAILURE


@pytest.mark.parametrize("method", ["BFGS", "trust-constr", "Powell"])
def test_a_start_that_is_not_finite_is_refused(method):
    with pytest.raises(NonFiniteError, match="x0 contains NaN or infinity"):
        minimize_by_scipy(rosenbrock, [np.nan, 1.0], (), method)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match=r"fun\(x0\) is nan"):
        minimize_by_scipy(lambda x: np.sum(np.log(x)), [-1.0, 1.0], (), method)
    with pytest.raises(NonFiniteError, match="x0 contains NaN or infinity"):
        minimize_by_scipy(rosenbrock, [np.inf, 1.0], (), "L-BFGS-B", bounds=[(0, 1)] * 2)


def test_a_constraint_that_is_not_finite_at_the_start_is_refused():
    constraint = {"type": "ineq", "fun": lambda x: np.log(x)}
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="a constraint is nan at x0, in entry 1"):
        minimize_by_scipy(lambda x: x @ x, [1.0, -1.0], (), "SLSQP", constraints=constraint)


# Errors.


def test_unknown_methods_name_the_nearest():
    with pytest.raises(OptionError, match="Did you mean 'L-BFGS-B'"):
        minimize_by_scipy(rosenbrock, START, (), "lbfgsb")


@pytest.mark.parametrize("method", SCIPY_METHODS)
def test_unknown_options_name_those_of_the_method(method):
    fun, start = _method_problem(method)
    with pytest.raises(
        OptionError, match=f"method '{method}' has no option '?learning_rate'?. Its documentation lists .*,"
    ):
        minimize_by_scipy(fun, start, (), method, options={"learning_rate": 1.0})


def test_arguments_among_the_options():
    with pytest.raises(OptionError, match="'jac' is an argument, not an option of 'BFGS'"):
        minimize_by_scipy(rosenbrock, START, (), "BFGS", options={"jac": None})
    with pytest.raises(OptionError, match="options is 3, not a dict"):
        minimize_by_scipy(rosenbrock, START, (), "BFGS", options=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", sorted(set(SCIPY_METHODS) - set(BOUNDED)))
def test_bounds_that_would_be_ignored(method):
    with pytest.raises(OptionError, match=f"method '{method}' takes no bounds.*L-BFGS-B, trust-constr, SLSQP"):
        minimize_by_scipy(rosenbrock, START, (), method, bounds=[(0, 1)] * 2)


@pytest.mark.parametrize("method", sorted(set(SCIPY_METHODS) - set(CONSTRAINED)))
def test_constraints_that_would_be_ignored(method):
    with pytest.raises(
        OptionError, match=f"method '{method}' takes no constraints.*trust-constr, SLSQP, COBYLA, COBYQA"
    ):
        minimize_by_scipy(rosenbrock, START, (), method, constraints=HS71_NEW)


@pytest.mark.parametrize(
    ("bounds", "error", "text"),
    [
        ([(0, 1)], ShapeMismatchError, "a sequence of 1 items of shape .2,., x0 has 2 entries"),
        ([(0, 1, 2), (0, 1, 2)], ShapeMismatchError, "one pair"),
        (Bounds([0, 0, 0], 1), ShapeMismatchError, r"a bound has shape \(3,\), x0 has shape \(2,\)"),
        ([(0, 1), (2, 1)], OptionError, "the bounds of entry 1 are 2.0 and 1.0"),
        ([(0, 1), (np.nan, 1)], OptionError, "the bounds of entry 1 are nan and 1.0"),
    ],
)
def test_ill_formed_bounds(bounds, error, text):
    with pytest.raises(error, match=text):
        minimize_by_scipy(rosenbrock, START, (), "L-BFGS-B", bounds=bounds)


def test_ill_formed_bounds_of_containers():
    start = tree_start()
    with pytest.raises(ShapeMismatchError, match="bounds is a dict, x0 is a dict with keys"):
        flat_bounds({"a": 0.0, "b": 1.0}, start)
    with pytest.raises(ShapeMismatchError, match=r"bounds\[0\]"):
        flat_bounds(({"a": 0.0}, None), start)
    with pytest.raises(ShapeMismatchError, match=r"bounds\[1\] has a leaf of shape \(3,\)"):
        flat_bounds((None, {"a": 0.0, "b": np.zeros(3)}), start)


@pytest.mark.parametrize(
    ("constraint", "error", "text"),
    [
        (3.0, OptionError, "constraints contains a float"),
        ([lambda x: x], OptionError, "constraints contains a function"),
        ({"type": "eq"}, OptionError, "no function 'fun'"),
        ({"type": "eq", "fun": np.sum, "hess": None}, OptionError, "the key 'hess'"),
        ({"type": "equal", "fun": np.sum}, OptionError, "the type 'equal'"),
        (LinearConstraint(np.ones((1, 3)), 0.0, 1.0), ShapeMismatchError, r"shape \(1, 3\), x0 has 2 entries"),
    ],
)
def test_ill_formed_constraints(constraint, error, text):
    with pytest.raises(error, match=text):
        minimize_by_scipy(rosenbrock, START, (), "SLSQP", constraints=constraint)


def test_ill_formed_objectives_starts_and_callbacks():
    for method in ("BFGS", "trust-constr", "Powell"):
        with pytest.raises(NotScalarError):
            minimize_by_scipy(lambda x: x, START, (), method)
        with pytest.raises(ShapeMismatchError, match="no elements"):
            minimize_by_scipy(rosenbrock, [], (), method)
        with pytest.raises(OptionError, match="callback is 3"):
            minimize_by_scipy(rosenbrock, START, (), method, callback=3)  # type: ignore[arg-type]
