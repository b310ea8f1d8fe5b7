"""Limits of a run that adapt to it, and what work near them costs."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optimize_problems import rosenbrock

from hessian.optimize import Status, minimize
from hessian.optimize.certificate import Certificate
from hessian.optimize.choice import choose
from hessian.optimize.krylov import Step, is_due, lanczos_lowest, steihaug_toint
from hessian.optimize.objective import VectorObjective
from hessian.optimize.optimality import Definiteness, measure_curvature
from hessian.optimize.options import parse_options
from hessian.optimize.ratio_test import Assessment


def scattered_waves(x: Any) -> Any:
    """Squares of growing weight, and cosines, of sums of three scattered variables: conditions of 1e9 on its range."""
    i = np.arange(1, x.shape[0] + 1)
    s = x + x[(2 * i - 1) % x.shape[0]] + x[(3 * i - 1) % x.shape[0]]
    return np.sum(i * s**2 + 4.0 * np.cos(s))


def test_conjugate_gradients_may_take_longer_where_that_pays() -> None:
    start = np.arange(1.0, 1001.0)
    res = minimize(scattered_waves, start)
    assert res.success, res
    assert res.fun == pytest.approx(3999.546502203, rel=1e-10)
    assert res.n_hvp <= 40_000
    # What the caller allows is not exceeded.
    res = minimize(scattered_waves, start, options={"max_cg": 500, "maxiter": 40})
    assert max(record.cg_iterations for record in res.history) == 500


def test_the_limit_of_products_doubles_after_a_good_step_that_it_cut() -> None:
    options = parse_options({}, None, np.dtype(float))
    objective = VectorObjective(lambda x: np.sum(x**2), np.ones(3), ())
    solver, point = choose("trust-ncg", "auto", objective, options), objective.start()
    budgets = []
    for status, ratio, is_accepted in (
        ("boundary", 1.0, True), ("cg-limit", 0.5, True), ("cg-limit", -1.0, False), ("cg-limit", 1.0, True), ("cg-limit", 0.9, True),
    ):  # fmt: skip
        solver.update(Step(np.ones(3), 1.7, 1.0, True, status), Assessment(ratio, is_accepted, True), 0)
        budgets.append(solver.cg_limit(point))
    assert budgets == [16, 16, 16, 32, 64]
    resumed = choose("trust-ncg", "auto", objective, options)
    resumed.restore(solver.state())
    assert resumed.cg_limit(point) == 64
    spent = SimpleNamespace(x=point.x, counters=SimpleNamespace(n_hvp=0))
    assert (
        choose("trust-ncg", "auto", objective, parse_options({"max_hvp": 5}, None, np.dtype(float))).cg_limit(spent)
        == 5
    )


# The check of the curvature at the end: what it costs, and that it ends in time.


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("smallest", [-1e-3, 1e-3, 0.5])
def test_lanczos_with_few_orthogonal_vectors_finds_the_smallest_eigenvalue(seed: int, smallest: float) -> None:
    """Large eigenvalues far apart converge at once, and their vectors come back: there are three copies and more of them."""
    values = np.concatenate([[smallest], np.linspace(1.0, 30.0, 400), [1e3, 1e4, 1e5, 1e6]])
    calls = 0

    def product(v: Any) -> Any:
        nonlocal calls
        calls += 1
        return values * v

    pair = lanczos_lowest(product, np.random.default_rng(seed).standard_normal(values.size), 180, orthogonal=8)
    assert calls <= 180
    assert np.linalg.norm(pair.vector) == pytest.approx(1.0, rel=1e-12)
    assert pair.vector @ (values * pair.vector) == pytest.approx(pair.value, rel=1e-9, abs=1e-9)
    assert pair.residual == pytest.approx(
        np.linalg.norm(values * pair.vector - pair.value * pair.vector), rel=1e-6, abs=1e-9
    )
    assert smallest - 1e-9 <= pair.value <= smallest + pair.residual
    assert pair.residual < 0.05
    assert pair.scale == pytest.approx(1e6, rel=1e-9)


def test_eigenvalues_of_growing_spaces_are_asked_for_ever_less_often() -> None:
    due = [step for step in range(1, 2000) if is_due(step, 4)]
    assert due[:6] == [1, 2, 3, 4, 5, 6]
    assert len(due) < 35
    assert all(later <= 1.3 * step + 1.0 for step, later in pairwise(due))


def test_the_check_takes_single_products_where_they_are_compiled() -> None:
    """A program for batches of directions takes ten times as long to make as the check does without it."""
    objective = VectorObjective(rosenbrock, np.ones(40), ())
    point = objective.trial(np.linspace(0.9, 1.1, 40))
    expected = point.dense()
    assert_allclose(point.dense_once(100, lambda: False), expected, rtol=1e-12, atol=1e-12)
    assert (point.counters.n_hess, point.counters.n_hvp) == (1, 40)
    assert_array_equal(point.dense_once(39, lambda: False), expected)
    assert (point.counters.n_hess, point.counters.n_hvp) == (2, 40)
    res = minimize(rosenbrock, np.tile([-1.2, 1.0], 20), method="trust-ncg")
    assert (res.status, res.n_hess, res.n_factor) == (Status.CONVERGED, 0, 1)


@pytest.mark.parametrize("n", [40, 200])
def test_the_check_ends_in_time(n: int) -> None:
    objective = VectorObjective(lambda x: np.sum(np.geomspace(1e-3, 1e3, n) * x**2), np.ones(n), ())
    point = objective.start()
    asked = 0

    def is_late() -> bool:
        nonlocal asked
        asked += 1
        return asked > 6

    before = point.counters.n_hvp
    found = measure_curvature(point, False, 0, 1000, is_late)
    assert found.definiteness is Definiteness.UNDECIDED
    assert point.counters.n_hvp - before <= 8
    assert Certificate(objective, False, 0).judge(point, 1.0, 1000, lambda: True).status is Status.CONVERGED_UNDECIDED


def test_negative_curvature_that_is_known_is_said_however_late() -> None:
    objective = VectorObjective(lambda x: np.sum(x[1:] ** 2) - x[0] ** 2, np.zeros(5), ())
    asked = 0

    def is_late() -> bool:  # just after the Hessian is known
        nonlocal asked
        asked += 1
        return asked > 6

    verdict = Certificate(objective, False, 0).judge(objective.start(), 1.0, 1000, is_late)
    assert verdict.curvature.definiteness is Definiteness.NEGATIVE
    assert verdict.status is None


# Limits of floating point.


def test_a_curvature_below_its_rounding_is_none() -> None:
    """Conjugate gradients that took 1e-32 for a curvature went 1e300 far, and their pairs spoilt the next preconditioner."""
    gradient, steps = np.array([-3.0, 2.0]), []
    path = steihaug_toint(
        np.diag([0.0, 2.0]).__matmul__,
        gradient,
        math.inf,
        1e-12,
        20,
        collect=lambda d, bd: steps.append(np.linalg.norm(d)),
    )
    assert (path.status, path.products, path.end_norm) == ("no-curvature", 2, math.inf)
    assert max(steps) < 10.0
    step = path.step(100.0)
    assert_allclose(step.vector, [math.sqrt(100.0**2 - 3.25**2), -3.25], rtol=1e-12)
    assert step.predicted == pytest.approx(-gradient @ step.vector - 3.25**2, rel=1e-12)
    # Curvature that is small beside the largest is curvature all the same.
    path = steihaug_toint(np.diag([1e12, 1e-8]).__matmul__, np.array([1e12, 1e-8]), math.inf, 1e-12, 20)
    assert path.status == "converged"
    assert_allclose(path.step(math.inf).vector, [-1.0, -1.0], rtol=1e-6)
    res = minimize(
        lambda x: -3.0 * x[0] - 2.0 * x[1] + x[0] ** 3 + x[1] ** 2,
        [0.0, 2.0],
        method="trust-ncg",
        options={"preconditioner": "lbfgs"},
    )
    assert res.status is Status.CONVERGED
    assert_allclose(res.x, [1.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("method", ["trust-krylov", "saddle-free"])
def test_a_run_that_falls_beyond_floating_point_is_unbounded(method: str) -> None:
    """A slope with waves whose phase is lost at 1e14: that is no kink."""

    def slope(x: Any) -> Any:
        return np.sum(x) + 0.5 * np.sum(np.cos(2.0 * x[1:-1] - x[-1] - x[0]))

    res = minimize(slope, np.arange(1, 97) / 97.0, method=method)
    assert res.status in (Status.UNBOUNDED, Status.MAX_ITERATIONS), res
    assert res.fun < -1e4


def test_linear_systems_are_solved_as_well_as_the_last_step_paid() -> None:
    """Forcing terms of Eisenstat and Walker's choice 2, whatever constant the objective is multiplied by; resumed alike."""
    options, tolerances = parse_options({"gtol": 1e-12}, None, np.dtype(float)), {}
    for scale in (1.0, 2.0**80):
        solver = choose("trust-ncg", "auto", VectorObjective(lambda x: np.sum(x**2), np.ones(3), ()), options)
        points = [SimpleNamespace(gradient_norm=scale * size) for size in (1.0, 0.8, 0.1, 1e-2, 1e-4)]
        tolerances[scale] = [solver.tolerance(point) / point.gradient_norm for point in points]
        resumed = choose("trust-ncg", "auto", VectorObjective(lambda x: np.sum(x**2), np.ones(3), ()), options)
        resumed.restore(solver.state())
        last = SimpleNamespace(gradient_norm=scale * 5e-5)
        assert resumed.tolerance(last) == solver.tolerance(last)
    golden = 0.5 * (1.0 + 5.0**0.5)
    kept = 0.9 * 0.5**golden
    assert_allclose(tolerances[1.0], [0.5, 0.5, kept, 0.9 * kept**golden, 0.9 * 0.01**golden], rtol=1e-12)
    assert_allclose(tolerances[2.0**80], tolerances[1.0], rtol=1e-12)


def test_the_default_method_beyond_dense_sizes_is_preconditioned() -> None:
    start = np.tile([-1.2, 1.0], 50)
    plain = minimize(rosenbrock, start, method="trust-ncg")
    res, given = minimize(rosenbrock, start), minimize(rosenbrock, start, options={"preconditioner": np.ones(100)})
    assert res.success
    assert res.n_hvp < plain.n_hvp
    assert "preconditioned by earlier ones" in res.message
    assert (
        given.n_hvp == minimize(rosenbrock, start, method="trust-ncg", options={"preconditioner": np.ones(100)}).n_hvp
    )
