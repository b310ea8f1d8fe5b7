"""What is false in what a run says of itself, judged by the plain mathematics of the problem."""

from __future__ import annotations

from typing import Any

import numpy as np

import hessian as hs
from hessian.optimize import Status
from problems.problem import Problem

DENSE_LIMIT = 500
"""Up to this many variables the eigenvalues of the Hessian are looked at."""
AT_A_MINIMUM = (Status.CONVERGED_FAR, Status.PRECISION)
"""Endings without success that a run at a minimum may have."""


def false_claims(problem: Problem, res: Any, gtol: float = 1e-6) -> list[str]:
    """List what is wrong with an ending: empty where every claim is true."""
    claims = _claims_of_success(problem, res, gtol) if res.success else _claims_of_failure(problem, res)
    value = problem.fun(res.x)
    if abs(value - res.fun) > 1e-10 * max(1.0, abs(value)):
        claims.append(f"fun is {res.fun}, the function there {value}")
    return claims


def _claims_of_success(problem: Problem, res: Any, gtol: float) -> list[str]:
    """Small gradient, value of a known minimum, no negative curvature."""
    claims = []
    gradient = hs.grad(problem.fun)(res.x)
    if not np.linalg.norm(gradient) <= 1.001 * gtol:
        claims.append(f"success at a gradient of {np.linalg.norm(gradient):.2e}")
    if problem.misses(res.fun) and not problem.has_many_minima:
        claims.append(f"success at {res.fun!r}, which is no minimum")
    if any(abs(res.fun - infimum) <= 1e-3 * abs(infimum) for infimum in problem.infima):
        claims.append("success on the way to infinity")
    negative = negative_curvature(problem, res.x, gradient, gtol)
    if negative:
        claims.append(negative)
    return claims


def negative_curvature(problem: Problem, x: np.ndarray, gradient: np.ndarray, gtol: float = 0.0) -> str:
    """Describe negative eigenvalues beyond rounding and beyond the curvature of a flat valley, of the size |g| / |x|.

    A valley of more directions may bend on shorter lengths than |x|: an eigenvalue that is larger counts unless its descent,
    followed to wherever it ends, falls no more than a slope of gtol would.
    """
    if problem.size > DENSE_LIMIT:
        return ""
    hessian = hs.hessian(problem.fun)(x)
    eigenvalues, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    slack = 1e-10 * np.max(np.abs(eigenvalues)) + np.linalg.norm(gradient) / max(np.linalg.norm(x), 1e-3)
    for eigenvalue, direction in zip(eigenvalues, vectors.T, strict=True):
        if eigenvalue >= -slack:
            break
        if not gtol or _leads_down(problem, x, direction, gtol):
            return f"success at an eigenvalue of {eigenvalue:.2e}"
    return ""


def _leads_down(problem: Problem, x: np.ndarray, direction: np.ndarray, gtol: float) -> bool:
    """Whether f falls along a direction, one way or the other, more than a slope of gtol would."""
    lengths = np.geomspace(1e-8, 10.0, 91) * max(float(np.linalg.norm(x)), 1.0)
    value = problem.fun(x)
    return any(value - problem.fun(x + sign * t * direction) > gtol * t for t in lengths for sign in (1.0, -1.0))


def _claims_of_failure(problem: Problem, res: Any) -> list[str]:
    """Statuses that say something about the function have to say what is so."""
    claims = []
    is_at_minimum = not problem.misses(res.fun) or problem.has_many_minima
    if res.status in AT_A_MINIMUM and not is_at_minimum and not problem.infima:
        claims.append(f"{res.status.name} at {res.fun!r}, which is no minimum")
    if res.status is Status.UNBOUNDED and not problem.is_unbounded:
        claims.append("a function with a lower bound is called unbounded")
    if res.status in (Status.STALLED, Status.LEFT_DOMAIN):
        claims.append(f"a smooth function that is defined everywhere is called {res.status.name}")
    if res.status is Status.NEGATIVE_CURVATURE and not negative_curvature(problem, res.x, 0.0 * res.x):
        claims.append("there is no negative curvature")
    return claims
