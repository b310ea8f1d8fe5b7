"""The start of profiles of a fit under constraints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from hessian.errors import ConvergenceError, message
from hessian.optimize.free_curvature import sides_at
from hessian.statistics.constrained_refits import active_at, flat_constraints, is_solved, solve
from hessian.statistics.profile_path import Knot
from hessian.statistics.refits import Fit, Place, Problem
from hessian.statistics.tangent import constrained_covariance
from hessian.tape.trees import ravel


@dataclass(frozen=True)
class ConstrainedMinimum:
    """An estimate under constraints, polished by a solver, and the covariance that they leave.

    Attributes
    ----------
    place : Place
    slopes : ndarray, shape (n,)
        Derivatives of the Lagrangian: zero but where a bound holds.
    matrix : ndarray, shape (n, n)
        The covariance, of c f.
    held : ndarray of bool
        Parameters that a bound holds.
    determined : ndarray of bool
        Parameters that equalities leave no freedom.
    pressed : ndarray of bool
        Others that have none because of inequalities that hold: these let go.
    """

    place: Place
    slopes: np.ndarray
    matrix: np.ndarray
    held: np.ndarray
    determined: np.ndarray
    pressed: np.ndarray

    @classmethod
    def near(cls, problem: Problem, x: np.ndarray) -> ConstrainedMinimum:
        """Polish an estimate.

        Raises
        ------
        ConvergenceError
            x is no minimum, or as for the covariance.
        """
        held = np.setdiff1d(np.arange(x.size), problem.free)
        res, place = solve(problem, x, held)
        active = active_at(problem, place, problem.free) if place is not None else None
        if place is None or active is None or not is_solved(res, place, active):
            what = f"the fit does not converge again from x ({res.status.name})"
            raise ConvergenceError(message("profile", what, "A profile starts at the minimum", str(res.message)))
        found = constrained_covariance(
            problem.f,
            problem.unravel(place.x.astype(problem.dtype)),
            *problem.args,
            constraints=problem.constraints,
            bounds=problem.bounds,
            fixed=[problem.names[i] for i in held],
            scale=problem.scale,
        )
        errors = ravel(found.standard_error)[0]
        by_bounds = active.fixed.copy()
        by_bounds[held] = False
        largest = np.max(np.abs(found.root), initial=0.0)
        still = (errors <= 1e-12 * largest) & ~active.fixed
        determined = still & _by_equalities(problem, place.x) if still.any() else still
        return cls(place, active.slopes, found.matrix, by_bounds, determined, still & ~determined)

    def center(self, problem: Problem, k: int) -> tuple[Knot, float]:
        """Return the start of the paths of a parameter, and the second derivative of its profile there.

        Raises
        ------
        ConvergenceError
            Constraints determine the parameter, or inequalities hold it.
        """
        if self.determined[k]:
            what = f"constraints leave {problem.names[k]} no freedom"
            raise ConvergenceError(message("profile", what, "Its interval is a point", "Profile another one"))
        if self.pressed[k]:
            what = f"inequalities hold {problem.names[k]} at the estimate"
            why = "It may move to one side, where they let go: that path is not followed"
            raise ConvergenceError(message("profile", what, why, "Pass an inequality in one parameter as a bound"))
        x, tangent = self.place.x, np.zeros(self.place.x.size)
        tangent[k], bend, slope = 1.0, 0.0, 0.0
        if self.held[k]:
            slope = float(self.slopes[k])
        else:
            tangent = self.matrix[:, k] / self.matrix[k, k]
            bend = 1.0 / float(problem.scale * self.matrix[k, k])
        fit = Fit(x, self.place.value, slope, tangent, None)
        return Knot(float(x[k]), 0.0, math.inf if slope else math.sqrt(problem.scale * bend), fit), bend


def _by_equalities(problem: Problem, x: np.ndarray) -> np.ndarray:
    """Return which parameters cannot move as long as equalities hold."""
    rows = [np.zeros((0, x.size))]
    for _, jacobian, low, high in sides_at(flat_constraints(problem, x), x):
        rows.append(jacobian[low == high])
    free = np.zeros(x.size, bool)
    free[problem.free] = True
    found = ~free
    found[free] = np.linalg.norm(scipy.linalg.null_space(np.concatenate(rows)[:, free]), axis=1) <= 1e-9
    return found
