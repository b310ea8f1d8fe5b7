"""Standard errors where constraints tie parameters, against coordinates in which nothing is constrained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import LinearConstraint, NonlinearConstraint

import hessian as hs
from hessian.errors import ConvergenceError, OptionError
from hessian.optimize import minimize

COUNTS = np.array([30.0, 50.0, 20.0])
TIGHT = {"ftol": 1e-15, "maxiter": 200}


def terms(p: Any) -> Any:
    return -np.log(p)[np.repeat(np.arange(3), COUNTS.astype(int))]


def shares(p: Any) -> Any:
    return -np.sum(COUNTS * np.log(p))


ONE = {"type": "eq", "fun": lambda p: np.sum(p) - 1.0}
LINEAR = LinearConstraint(np.ones((1, 3)), 1.0, 1.0)


@pytest.mark.parametrize("constraint", [ONE, LINEAR], ids=["function", "matrix"])
def test_shares_that_add_up_to_one(constraint: Any) -> None:
    """The covariance of a multinomial's shares, (diag(p) - p p') / n."""
    res = minimize(shares, np.full(3, 0.3), method="SLSQP", constraints=constraint, options=TIGHT)
    p = COUNTS / 100.0
    exact = (np.diag(p) - np.outer(p, p)) / 100.0
    found = res.covariance()
    assert_allclose(found.matrix, exact, atol=1e-8)
    assert (found.tied, found.fixed) == (1, ())
    assert repr(found).startswith("Covariance of 3 parameters, tied by 1 constraint, observed")
    # Where the model is right, the sandwich is the same; leverages are those of it.
    assert_allclose(res.covariance("HC0", per_example=terms).matrix, exact, atol=1e-8)
    table = res.summary(n_obs=100)
    assert_allclose(table.standard_error, np.sqrt(p * (1.0 - p) / 100.0), rtol=1e-6)
    assert_allclose(table.aic, 2.0 * 2 + 2.0 * res.fun)
    assert table.notes[0] == (
        "1 constraint ties the parameters: standard errors are those along the directions that it leaves free."
    )


def test_a_curved_constraint_counts_with_its_curvature() -> None:
    """On a circle, by its angle: the Hessian of f alone is another."""
    f = lambda p: 40.0 * (p["x"] - 2.0) ** 2 + 10.0 * (p["y"] - 1.0) ** 2
    circle = {"type": "eq", "fun": lambda p, r: [p["x"] ** 2 + p["y"] ** 2 - r**2], "args": (1.5,)}
    res = minimize(f, {"x": 1.0, "y": 1.0}, method="SLSQP", constraints=[circle], options=TIGHT)
    at = np.arctan2(res.x["y"], res.x["x"])
    angle = hs.hessian(lambda t: f({"x": 1.5 * np.cos(t), "y": 1.5 * np.sin(t)}))(at)
    tangent = 1.5 * np.array([-np.sin(at), np.cos(at)])
    found = res.covariance()
    assert_allclose(found.matrix, np.outer(tangent, tangent) / angle, rtol=1e-5)
    assert list(found.standard_error) == ["x", "y"]
    # A mean with its scale, the same.
    mean = minimize(lambda p: f(p) / 50.0, res.x, method="SLSQP", constraints=[circle], options=TIGHT)
    assert_allclose(mean.covariance(scale=50.0).matrix, found.matrix, rtol=1e-4)


def test_inequalities_hold_where_they_have_multipliers() -> None:
    f = lambda x: 0.5 * np.sum((x - np.array([2.0, 1.0, -1.0])) ** 2)
    near = NonlinearConstraint(lambda x: x[0] + x[1], -np.inf, 2.0)
    far = {"type": "ineq", "fun": lambda x: 10.0 - x @ x}
    bounds = [(-5.0, 5.0), (-5.0, 5.0), (0.0, 5.0)]
    res = minimize(f, np.zeros(3), method="SLSQP", constraints=[near, far], bounds=bounds, options=TIGHT)
    found = res.covariance()
    assert_allclose(res.x, [1.5, 0.5, 0.0], atol=1e-7)
    assert_allclose(found.matrix, np.array([[0.5, -0.5, 0.0], [-0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]), atol=1e-9)
    assert (found.fixed, found.tied) == (("x[2]",), 1)
    notes = res.summary().notes
    assert [note.split()[0] for note in notes] == ["a", "1"]
    # Held by the caller, whose derivative is not zero.
    res = minimize(f, np.zeros(3), method="SLSQP", constraints=[near], fixed={"x[2]": 1.0}, options=TIGHT)
    assert_allclose(res.covariance().matrix, found.matrix, atol=1e-9)
    assert res.covariance().fixed == ("x[2]",)
    # None of them holds: as without.
    res = minimize(f, np.zeros(3), method="SLSQP", constraints=[far], options=TIGHT)
    assert_allclose(res.covariance().matrix, np.eye(3), atol=1e-12)


def test_weak_directions_have_the_names_of_parameters() -> None:
    X = np.column_stack([np.arange(5.0), np.arange(5.0) + 0.01 * np.array([1.0, -1.0, 0.0, 1.0, -1.0]), np.ones(5)])
    f = lambda b: 0.5 * np.sum((X @ b - X @ [1.0, 1.0, 1.0]) ** 2)
    one = {"type": "eq", "fun": lambda b: b[2] - 1.0}
    found = minimize(f, np.ones(3), method="SLSQP", constraints=one, options=TIGHT).covariance()
    assert found.weak_directions[0].text in ("0.71 x[0] - 0.71 x[1]", "0.71 x[1] - 0.71 x[0]")
    assert found.weak_directions[0].vector.shape == (3,)


def test_what_cannot_be_known_is_refused() -> None:
    own = {"type": "eq", "fun": lambda p: p[0] * p[1] - 1.0, "jac": lambda p: np.array([p[1], p[0]])}
    f = lambda p: np.sum((p - 2.0) ** 2)
    res = minimize(f, np.ones(2), method="SLSQP", constraints=own)
    with pytest.raises(OptionError, match="brings its own Jacobian"):
        res.covariance()
    both = {"type": "eq", "fun": lambda p: p - 1.0}
    res = minimize(f, np.ones(2), method="SLSQP", constraints=both)
    with pytest.raises(ConvergenceError, match="hold every direction"):
        res.summary()


def test_what_the_caller_holds_has_no_part_in_multipliers() -> None:
    """Its derivative is not zero, and a curved constraint would take it up."""
    f = lambda x: 0.5 * np.sum((x - np.array([2.0, 1.0, -9.0])) ** 2)
    curve = {"type": "eq", "fun": lambda x: x[0] * x[1] + x[2] - 2.5}
    res = minimize(f, np.ones(3), method="SLSQP", constraints=curve, fixed={"x[2]": 1.0}, options=TIGHT)
    along = hs.hessian(lambda t: f(np.stack([t, 1.5 / t, 1.0 + 0.0 * t])))(res.x[0])
    tangent = np.array([1.0, -1.5 / res.x[0] ** 2, 0.0])
    assert_allclose(res.covariance().matrix, np.outer(tangent, tangent) / along, atol=1e-6)
