"""The status of a run once its curvature has been measured: what the solver could not decide, the numbers beside it may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hessian.curvature.inertia import beside_gradient
from hessian.curvature.products import rounding_of
from hessian.optimize.status import Status

_OPTIMA = {Status.CONVERGED, Status.CONVERGED_SEMIDEFINITE, Status.CONVERGED_UNDECIDED, Status.CONVERGED_UNCHECKED}
_NEGATIVE = (
    "The gradient is at most gtol, but the smallest eigenvalue of the Hessian, measured at the end, is negative: this is no minimum. "
    "Go on with a smaller --gtol, or pass --method newton."
)


def decided(results: Mapping[str, Any], smallest: float, largest: float, length: float, dtype: Any) -> dict[str, Any]:
    """Return status, message and success of a run whose smallest eigenvalue and largest magnitude are known, at parameters of a length.

    A solver that spares the products leaves a small gradient undecided. The sign of an eigenvalue that is no larger than rounding, or
    than what so small a gradient leaves of zero, says nothing: both are semidefinite.
    """
    before = Status[results["status"]]
    own = {name: results[name] for name in ("status", "message", "success")}
    if before not in _OPTIMA:
        return own
    cut = zero_within(results, largest, length, dtype)
    if smallest < -cut:
        after, text = Status.NEGATIVE_CURVATURE, _NEGATIVE
    elif smallest <= cut or before is Status.CONVERGED_SEMIDEFINITE:
        after, text = Status.CONVERGED_SEMIDEFINITE, Status.CONVERGED_SEMIDEFINITE.advice
    else:
        after, text = Status.CONVERGED, Status.CONVERGED.advice
    if after is before:
        return own
    numbers = (
        f"(Gradient 2-norm {results['gradient_norm']:.3g}; smallest eigenvalue {smallest:.3g}, measured at the end.)"
    )
    return {"status": after.name, "message": f"{text} {numbers}", "success": after.success}


def zero_within(results: Mapping[str, Any], largest: float, length: float, dtype: Any) -> float:
    """Magnitude up to which an eigenvalue is zero to rounding, or beside the gradient."""
    rounding = rounding_of(int(results["n_parameters"]), dtype, largest)
    return max(rounding, beside_gradient(float(results["gradient_norm"]), length) if length > 0.0 else 0.0)


def sign_of(results: Mapping[str, Any]) -> str:
    """Say what a smallest eigenvalue makes of a Hessian, in the words of the status."""
    smallest, cut = results["smallest_eigenvalue"], results["zero_within"]
    if results["status"] == Status.CONVERGED_SEMIDEFINITE.name or abs(smallest) <= cut:
        return "positive semidefinite: zero, to rounding or beside the gradient"
    return "positive definite" if smallest > 0.0 else "NOT positive definite"
