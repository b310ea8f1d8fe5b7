"""Every problem of the collection by the default method: no false ending, and success where it can be had.

That the stated minima are minima is tested apart, by Newton's method in plain NumPy from where a run ends.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from optimize_problems import CUTEST, MGH, Problem
from problems.endings import AT_A_MINIMUM, false_claims, negative_curvature

import hessian as hs
from hessian.optimize import OptimizeResult, Status, minimize

METHODS = ["trust-exact", "trust-ncg", "trust-krylov", "newton", "newton-cg", "arc", "saddle-free"]
PROBLEMS = MGH + CUTEST


BY_NAME = {problem.name: problem for problem in PROBLEMS}


def name_of(problem: Problem) -> str:
    return problem.name


@functools.cache
def ending(name: str) -> OptimizeResult:
    """The run by the default method."""
    return minimize(BY_NAME[name].fun, BY_NAME[name].start)


def test_the_collection_is_whole() -> None:
    names = [problem.name for problem in PROBLEMS]
    assert len(set(names)) == len(names)
    assert len({problem.fun for problem in MGH}) >= 33  # 1 and 21, 13 and 22 are one function each
    assert len(CUTEST) >= 75
    for problem in PROBLEMS:
        assert problem.minima or problem.has_many_minima or problem.is_unbounded, problem.name
        assert np.isfinite(problem.fun(problem.start))


@pytest.mark.parametrize("problem", PROBLEMS, ids=name_of)
def test_the_default_method_ends_truly(problem: Problem) -> None:
    start = problem.start.copy()
    res = ending(problem.name)
    assert np.array_equal(problem.start, start)
    assert not false_claims(problem, res), res
    if not problem.is_hard and not problem.is_unbounded:
        assert res.success or res.status in AT_A_MINIMUM, res


@pytest.mark.study
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", PROBLEMS, ids=name_of)
def test_no_method_ends_falsely(problem: Problem, method: str) -> None:
    res = minimize(problem.fun, problem.start, method=method, options={"max_seconds": 5.0})
    assert not false_claims(problem, res), res


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.minima and not p.is_hard and p.size <= 50], ids=name_of)
def test_the_stated_minimum_is_one(problem: Problem) -> None:
    """Plain Newton steps on the end of a run, where they help, do not leave the stated value."""
    x = np.array(ending(problem.name).x)
    gradient, hessian = hs.grad(problem.fun), hs.hessian(problem.fun)
    for _ in range(3):
        trial = x - np.linalg.lstsq(hessian(x), gradient(x), rcond=1e-12)[0]
        if not problem.fun(trial) < problem.fun(x) or not np.any(trial):
            break  # nothing left to gain, or a minimum at the origin of a norm
        x = trial
    value = problem.fun(x)
    if not problem.has_many_minima:
        assert not problem.misses(value), value


def test_a_function_without_a_lower_bound_is_no_success() -> None:
    for problem in PROBLEMS:
        if problem.is_unbounded:
            res = ending(problem.name)
            assert res.status in (Status.UNBOUNDED, Status.MAX_ITERATIONS)
            assert res.fun < -1e4


@pytest.mark.parametrize("method", METHODS)
def test_a_valley_of_many_directions_has_curvature_of_the_size_of_the_gradient(method: str) -> None:
    """DECONVU: 40 equations of 51 unknowns. Next to the solutions a negative eigenvalue is true and leads nowhere."""
    problem = BY_NAME["DECONVU"]
    res = minimize(problem.fun, problem.start, method=method)
    assert res.status in (Status.CONVERGED_SEMIDEFINITE, Status.CONVERGED_UNDECIDED)
    assert "zero, to rounding or beside so small a gradient" in res.message or res.status is Status.CONVERGED_UNDECIDED
    assert not false_claims(problem, res), res


@pytest.mark.parametrize("eigenvalue", [1e-3, 1e-6, 2e-7])
def test_a_saddle_that_leads_down_is_no_valley(eigenvalue: float) -> None:
    saddle = Problem(
        "saddle", lambda x: x[0] ** 2 - 0.5 * eigenvalue * x[1] ** 2, np.array([0.0, 3.0]), has_many_minima=True
    )
    assert negative_curvature(saddle, saddle.start, np.zeros(2), 1e-6)
