"""What is said of the solutions of SciPy's methods: the curvature where bounds and constraints leave it free, the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from optimize_problems import arwhead, double_well, rosenbrock
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint

from hessian.errors import MissingRuleError
from hessian.optimize import Status, minimize
from hessian.optimize.free_curvature import active_set, lagrangian_product, measure_free_curvature
from hessian.optimize.scipy_constraints import flat_constraint

WIDE = [(-3.0, 3.0)] * 2
START = [0.0, 1.0]
"""From here the double well's gradient leads to its saddle at the origin."""


def held_away(x: Any) -> Any:
    """y, to be kept at 1/2 or above."""
    return x[1]


SADDLES = {
    "BFGS": {"method": "BFGS"},
    "CG": {"method": "CG"},
    "bounds": {"bounds": WIDE},
    "TNC": {"method": "TNC", "bounds": WIDE},
    "SLSQP": {"method": "SLSQP", "bounds": WIDE},
    "trust-constr": {"method": "trust-constr", "bounds": WIDE},
    "active bound": {"bounds": [(-3.0, 3.0), (0.5, 2.0)]},
    "at a bound without a multiplier": {"bounds": [(0.0, 3.0), (-1.0, 1.0)]},
    "at an upper bound without a multiplier": {"bounds": [(-3.0, 0.0), (-1.0, 1.0)]},
    "inactive constraint": {"constraints": NonlinearConstraint(lambda x: x @ x, -np.inf, 4.0)},
    "active constraint": {"constraints": NonlinearConstraint(held_away, 0.5, 2.0)},
    "active linear constraint": {"constraints": LinearConstraint([[0.0, 1.0]], 0.5, 2.0)},
    "dict": {"constraints": {"type": "ineq", "fun": lambda x: x[1] - 0.5}},
    "constraint without a multiplier": {"constraints": LinearConstraint([[1.0, 0.0]], 0.0, 2.0)},
    "interior": {"method": "trust-constr", "constraints": LinearConstraint([[0.0, 1.0]], 0.5, 2.0)},
}


@pytest.mark.parametrize("name", SADDLES)
def test_a_saddle_is_no_success(name: str) -> None:
    res = minimize(double_well, START, **SADDLES[name])
    assert (res.status, res.success) == (Status.EXTERNAL_SADDLE, False)
    assert_allclose(res.smallest_eigenvalue, -1.0, rtol=1e-5)
    assert_allclose(np.abs(res.escape), [1.0, 0.0], atol=1e-6)
    assert "Start again" in res.message
    # The direction is feasible and leads down, and a start there ends at a minimum.
    lower = res.x + 0.1 * res.escape
    assert double_well(lower) < res.fun
    again = minimize(double_well, lower, **SADDLES[name])
    assert again.status is Status.EXTERNAL_SUCCESS
    assert_allclose(np.abs(again.x[0]), 1.0, atol=1e-2)
    assert again.smallest_eigenvalue > 0.0


def test_a_corner_without_multipliers_that_curves_down_on_one_side() -> None:
    # x y at the origin: negative along (1, -1) only, which the quadrant excludes.
    res = minimize(lambda x: x[0] * x[1], [0.0, 0.0], method="L-BFGS-B", bounds=[(0.0, None)] * 2)
    assert res.status is Status.EXTERNAL_SUCCESS
    assert "not settled" in res.message
    # Without the bound on y the direction (1, -1) is feasible.
    res = minimize(lambda x: x[0] * x[1], [0.0, 0.0], method="L-BFGS-B", bounds=[(0.0, None), (None, None)])
    assert res.status is Status.EXTERNAL_SADDLE
    assert res.escape[0] >= 0.0
    assert res.escape[0] * res.escape[1] < 0.0


def test_negative_curvature_that_bounds_or_constraints_hold_is_none() -> None:
    # -x^2 on [0, 1] has its minimum at a bound with a multiplier.
    res = minimize(lambda x: -(x[0] ** 2) + x[1] ** 2, [0.5, 0.5], bounds=[(0.0, 1.0), (-1.0, 1.0)])
    assert res.status is Status.EXTERNAL_SUCCESS
    assert_allclose(res.smallest_eigenvalue, 2.0)
    assert "on the 1 directions" in res.message
    # On the circle the Lagrangian's Hessian is that of x plus twice the multiplier: x is minimal at (-1, 0).
    circle = NonlinearConstraint(lambda x: x @ x, 1.0, 1.0)
    for method in ("SLSQP", "trust-constr"):
        res = minimize(lambda x: x[0], [-0.9, 0.3], method=method, constraints=circle)
        assert res.status is Status.EXTERNAL_SUCCESS
        assert_allclose(res.x, [-1.0, 0.0], atol=1e-3)
        assert_allclose(res.smallest_eigenvalue, 1.0, rtol=1e-2)
        # and maximal at (1, 0), where methods stay that start there.
        res = minimize(lambda x: x[0], [1.0, 0.0], method=method, constraints=circle)
        assert res.status is not Status.EXTERNAL_SUCCESS or res.x[0] < -0.9
    corner = minimize(lambda x: np.sum(x), [0.5, 0.5], bounds=[(0.0, 1.0)] * 2)
    assert "hold every direction" in corner.message
    assert corner.success


def test_a_flat_valley_is_said() -> None:
    res = minimize(lambda x: (x[0] + x[1] - 1.0) ** 2, [3.0, 1.0], method="BFGS")
    assert res.status is Status.EXTERNAL_SUCCESS
    assert "zero to rounding" in res.message


@pytest.mark.parametrize("n", [40, 300])
def test_many_variables(n: int) -> None:
    def wells(x: Any) -> Any:
        return np.sum(x[:3] ** 4 / 4.0 - x[:3] ** 2 / 2.0) + 0.5 * np.sum((x[3:] - 0.2) ** 2)

    start = np.where(np.arange(n) < 3, 0.0, 1.0)
    bounds = Bounds(np.where(np.arange(n) < 10, -np.inf, 0.3), np.inf)
    res = minimize(wells, start, bounds=bounds)
    assert res.status is Status.EXTERNAL_SADDLE
    assert_allclose(np.linalg.norm(res.escape[:3]), 1.0, rtol=1e-2)
    assert_allclose(res.smallest_eigenvalue, -1.0, rtol=5e-2)
    assert res.n_hvp <= 60
    total = LinearConstraint(np.ones((1, n)), n * 0.4, np.inf)
    held = minimize(wells, res.x + 0.1 * res.escape, method="SLSQP", constraints=total)
    assert held.status is Status.EXTERNAL_SUCCESS
    assert held.smallest_eigenvalue > 0.0


def test_multipliers_and_the_lagrangian_by_hand() -> None:
    # min x + y on the disc of radius sqrt(2): at (-1, -1) with multiplier 1/2 for 2 - |x|^2 >= 0.
    disc = flat_constraint({"type": "ineq", "fun": lambda x: 2.0 - x @ x}, 2, np.zeros(2), lambda x: x)
    x, gradient = np.array([-1.0, -1.0]), np.ones(2)
    active = active_set([disc], None, x, gradient)
    assert_allclose(active.held, [[2.0, 2.0]])
    assert_allclose(active.weights, [[0.5]])
    assert active.residual < 1e-12
    product = lagrangian_product(np.zeros((2, 2)), [disc], active.weights, x)
    assert product is not None
    assert_allclose(product(np.eye(2)), np.eye(2), atol=1e-12)
    found = measure_free_curvature(product, active, x, 0, 40)
    assert (found.sign, found.n_free) == (1, 1)
    assert_allclose(found.smallest, 1.0)


def test_the_look_can_be_left_out() -> None:
    res = minimize(double_well, START, bounds=WIDE, options={"check_curvature": False})
    assert res.status is Status.EXTERNAL_SUCCESS
    assert "curvature was not looked at" in res.message
    assert res.n_hvp == 0
    res = minimize(double_well, START, method="Nelder-Mead")
    assert "curvature was not looked at" in res.message


def test_a_look_that_fails_leaves_the_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise MissingRuleError("nothing is known of second derivatives here.")

    monkeypatch.setattr("hessian.optimize.scipy_methods.look_at_curvature", broken)
    res = minimize(rosenbrock, [-1.2, 1.0], method="BFGS")
    assert res.status is Status.EXTERNAL_SUCCESS
    assert "The curvature is not known. nothing is known of second derivatives" in res.message


# The tolerance.


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "TNC", "trust-constr"])
@pytest.mark.parametrize("tol", [1e-3, 1e-7])
def test_tol_is_about_the_gradient(method: str, tol: float) -> None:
    def chain(x: Any) -> Any:
        return 1e3 + np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    res = minimize(chain, np.full(20, -0.5), method=method, tol=tol)
    if res.success:
        assert np.max(np.abs(res.jac)) <= tol
    else:
        assert res.status is Status.EXTERNAL_FAILURE
        # Rounding of the constant hides the rest: 1e3 eps / step. TNC reaches its limit of evaluations.
        assert np.max(np.abs(res.jac)) < 1e-3 or "Max. number" in res.message


def test_a_method_that_stops_short_of_tol_says_so() -> None:
    # ftol is the user's own here, and ends the run at once.
    res = minimize(arwhead, np.ones(50), method="L-BFGS-B", tol=1e-9, options={"ftol": 1e-2})
    assert res.status is Status.EXTERNAL_FAILURE
    assert "tol 1e-09" in res.message
    assert res.jac is not None
    loose = minimize(rosenbrock, [-1.2, 1.0], method="SLSQP", tol=1e-3)
    assert loose.success  # SLSQP has no test on the gradient
