"""Limits of a run that adapt to it, and what work near them costs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hessian.optimize import minimize
from hessian.optimize.globalize import Assessment
from hessian.optimize.krylov import Step
from hessian.optimize.minimize import _method
from hessian.optimize.objective import Objective
from hessian.optimize.options import parse_options


def scattered_waves(x: Any) -> Any:
    """Squares of growing weight, and cosines, of sums of three scattered variables: conditions of 1e9 on its range."""
    i = np.arange(1, x.shape[0] + 1)
    s = x + x[(2 * i - 1) % x.shape[0]] + x[(3 * i - 1) % x.shape[0]]
    return np.sum(i * s**2 + 4.0 * np.cos(s))


@pytest.mark.parametrize("method", ["trust-ncg", "newton-cg"])
def test_conjugate_gradients_may_take_longer_where_that_pays(method: str) -> None:
    start = np.arange(1.0, 1001.0)
    res = minimize(scattered_waves, start, method=method)
    assert res.success, res
    assert res.fun == pytest.approx(3999.546502203, rel=1e-10)
    assert res.n_hvp <= 40_000
    # What the caller allows is not exceeded.
    res = minimize(scattered_waves, start, method=method, options={"max_cg": 500, "maxiter": 40})
    assert max(record.cg_iterations for record in res.history) == 500


def test_the_limit_of_products_doubles_after_a_good_step_that_it_cut() -> None:
    options = parse_options({}, None, np.dtype(float))
    objective = Objective(lambda x: np.sum(x**2), np.ones(3), ())
    solver, point = _method("trust-ncg", objective, options), objective.start()
    budgets = []
    for status, ratio, is_accepted in (
        ("boundary", 1.0, True), ("cg-limit", 0.5, True), ("cg-limit", -1.0, False), ("cg-limit", 1.0, True), ("cg-limit", 0.9, True),
    ):  # fmt: skip
        solver.learn(Step(np.ones(3), 1.7, 1.0, True, status), Assessment(ratio, is_accepted, True), 0)
        budgets.append(solver.budget(point))
    assert budgets == [16, 16, 16, 32, 64]
    resumed = _method("trust-ncg", objective, options)
    resumed.restore(solver.state())
    assert resumed.budget(point) == 64
    spent = SimpleNamespace(x=point.x, counters=SimpleNamespace(n_hvp=0))
    assert _method("trust-ncg", objective, parse_options({"max_hvp": 5}, None, np.dtype(float))).budget(spent) == 5
