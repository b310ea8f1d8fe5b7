"""What is known of a point that a method of SciPy's calls a solution: its gradient against tol, its curvature where it is free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import Bounds

from hessian.optimize.free_curvature import (
    FreeCurvature,
    active_set,
    lagrangian_product,
    measure_free_curvature,
)
from hessian.optimize.objective import VectorObjective, quiet
from hessian.optimize.status import Status

STEPS = 40
"""Products at most for the curvature beyond the dense limit; a tenth of the gradients of the run, and ten at least."""
GRADIENT_TOLERANCES: dict[str, dict[str, float]] = {
    "L-BFGS-B": {"gtol": 1.0, "ftol": 0.0},
    "BFGS": {"gtol": 1.0},
    "CG": {"gtol": 1.0},
    "TNC": {"gtol": 1.0},
    "dogleg": {"gtol": 1.0},
    "trust-constr": {"gtol": 1.0, "barrier_tol": 1.0},
}
"""Options that ``tol`` stands for, as multiples of it, where a method has a test on the gradient.

SciPy hands tol to every test a method has: L-BFGS-B then stops where f changes by less than tol relative to itself, at
whatever gradient. Here tol is about the gradient; that of f is left to rounding."""


def with_tolerances(name: str, tol: float | None, options: Mapping[str, Any]) -> tuple[float | None, dict[str, Any]]:
    """Return the tol to hand to SciPy and the options, in which ours stands for the test on the gradient."""
    if tol is None or name not in GRADIENT_TOLERANCES:
        return tol, dict(options)
    return None, {**{key: tol * factor for key, factor in GRADIENT_TOLERANCES[name].items()}, **options}


def projected_gradient(gradient: np.ndarray, x: np.ndarray, bounds: Bounds | None) -> float:
    """Largest entry of the gradient, of what of it does not push through a bound."""
    if bounds is None:
        return float(np.max(np.abs(gradient), initial=0.0))
    step = x - np.clip(x - gradient, bounds.lb, bounds.ub)
    return float(np.max(np.abs(step), initial=0.0))


def missed_tolerance(name: str, tol: float | None, raw: Mapping[str, Any], size: float) -> str:
    """Say so where tol asks for a smaller gradient than a method ended with."""
    if tol is None or name not in GRADIENT_TOLERANCES:
        return ""
    size = float(raw.get("optimality", size)) if name == "trust-constr" else size
    if size <= tol * (1.0 + 1e-6):
        return ""
    return (
        f"But the largest entry of the gradient is {size:.3g}, tol {tol:g}: another test than that on the gradient ended the "
        "run, mostly because rounding hides a further decrease of the objective."
    )


def look_at_curvature(
    objective: VectorObjective,
    x: np.ndarray,
    gradient: np.ndarray,
    constraints: Sequence[Any],
    bounds: Bounds | None,
) -> tuple[FreeCurvature | None, float]:
    """Measure the Lagrangian's Hessian on the free directions; ``None`` where a constraint has no second derivatives.

    Returns
    -------
    FreeCurvature or None
    float
        Norm of the Lagrangian's gradient.
    """
    with quiet():
        active = active_set(constraints, bounds, x, gradient)
        product = lagrangian_product(objective.hessian_at(x), constraints, active.weights, x)
        if product is None:
            return None, active.residual

        def counted(v: np.ndarray) -> np.ndarray:
            objective.counters.n_hvp += 1 if v.ndim == 1 else v.shape[1]
            return product(v)

        steps = min(STEPS, max(10, objective.counters.n_grad // 10))
        return measure_free_curvature(counted, active, x, 0, steps), active.residual


def verdict(curvature: FreeCurvature | None, residual: float, size: int) -> tuple[Status, str]:
    """Put what was found into a status and a sentence."""
    if curvature is None:
        return (
            Status.EXTERNAL_SUCCESS,
            "(A constraint brings its own Jacobian and no Hessian: the curvature is not known.)",
        )
    if math.isnan(curvature.smallest) and curvature.sign == 1:
        return Status.EXTERNAL_SUCCESS, "(Bounds and constraints hold every direction.)"
    where = (
        ""
        if curvature.n_free == size
        else f" on the {curvature.n_free} directions that bounds and constraints leave free"
    )
    number = f"(Smallest eigenvalue of the Hessian{where} {curvature.smallest:.3g}; gradient there {residual:.3g}.)"
    if curvature.sign == -1:
        return Status.EXTERNAL_SADDLE, f"{Status.EXTERNAL_SADDLE.advice} {number}"
    doubts = {
        0: "It is zero to rounding: second derivatives alone cannot tell a minimum from a flat direction.",
        None: "Whether it is negative for a feasible direction is not settled.",
    }
    doubt = "" if curvature.sign == 1 else doubts[curvature.sign]
    return Status.EXTERNAL_SUCCESS, " ".join(part for part in (number, doubt) if part)
