"""The other parameters fitted under constraints where one is held, by a solver that knows them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import Bounds

from hessian.linalg import limits
from hessian.optimize.free_curvature import ActiveSet, active_set
from hessian.optimize.minimize import minimize
from hessian.optimize.scipy_constraints import flat_constraint, violation
from hessian.statistics.refits import Fit, Place, Problem, failed
from hessian.tape.trees import ravel

_FEASIBLE = 1e-6
"""Violation up to which a fit that has failed was about something else."""
_LEVEL = 1e-6
"""Gradient of the Lagrangian, relative to the objective's, that changes a value by its square."""
_TIGHT = 1e-14
"""Change of the objective at which the solver ends: its steps near a minimum are those of Newton's method, and cost little."""


def solve(problem: Problem, x: np.ndarray, held: Any) -> tuple[Any, Place | None]:
    """Fit all but some parameters from x; the place is ``None`` where nothing is feasible or has a value."""
    start = problem.unravel(problem.clipped(x).astype(problem.dtype))
    is_small = x.size <= limits.SLSQP_ORDER
    res = minimize(
        problem.f,
        start,
        problem.args,
        bounds=problem.bounds,
        constraints=list(problem.constraints),
        fixed=[problem.names[i] for i in held],
        options={"ftol": _TIGHT, "maxiter": 100} if is_small else {"gtol": 1e-9, "xtol": 1e-12},
    )
    problem.n_fits += 1
    problem.n_value, problem.n_grad = problem.n_value + res.n_value, problem.n_grad + res.get("n_grad", 0)
    problem.n_hvp += res.get("n_hvp", 0)
    place = problem.at(ravel(res.x)[0]) if res.get("constr_violation", 0.0) <= _FEASIBLE else None
    return res, place if place is not None and place.is_finite else None


def flat_constraints(problem: Problem, x: np.ndarray) -> list[Any]:
    """Return the constraints on raveled parameters."""
    return [flat_constraint(item, 2, x, problem.unravel) for item in problem.constraints]


def active_at(problem: Problem, place: Place, free: np.ndarray) -> ActiveSet:
    """Return what holds a place, with the gradient of the Lagrangian there; what is not free is explained by no multiplier."""
    mask = np.zeros(place.x.size, bool)
    mask[free] = True
    bounds = Bounds(np.where(mask, problem.low, place.x), np.where(mask, problem.high, place.x))
    return active_set(flat_constraints(problem, place.x), bounds, place.x, place.gradient)


def is_solved(res: Any, place: Place, active: ActiveSet) -> bool:
    """Whether a fit has ended at a minimum: by its own word, or where no smaller step is to be had and the Lagrangian is level."""
    return bool(res.success or active.residual <= _LEVEL * max(1.0, float(np.max(np.abs(place.gradient)))))


class ConstrainedRefits:
    """Fits of the others where a parameter is held, as :class:`~hessian.statistics.refits.Refits` are, by a solver for each.

    The derivative of their values in the parameter is that of the Lagrangian (the envelope theorem).
    """

    def __init__(self, problem: Problem, k: int, tangent: np.ndarray) -> None:
        self.problem, self.k = problem, k
        self._others, self._tangent = problem.free[problem.free != k], tangent
        self.is_careful = False

    def at(self, psi: float, guess: np.ndarray, curvature: Any) -> Fit | None:
        """Fit the others; ``None`` where constraints leave nothing.

        Raises
        ------
        ConvergenceError
            The solver does not find the minimum.
        """
        start = guess.copy()
        start[self.k] = psi
        held = np.setdiff1d(np.arange(start.size), self._others)
        if self._others.size:
            res, place = solve(self.problem, start, held)
        else:
            flat = flat_constraints(self.problem, start)
            res, place = None, self.problem.at(start) if violation(flat, None, start) <= _FEASIBLE else None
        if place is None or not place.is_finite:
            return None
        active = active_at(self.problem, place, self._others)
        if res is not None and not is_solved(res, place, active):
            raise failed(self.problem.names[self.k], psi, res.status.name)
        return Fit(place.x, place.value, float(active.slopes[self.k]), self._tangent, curvature)

    def is_minimum(self, exactly: bool = True) -> bool:
        """What the solver calls one."""
        return True
