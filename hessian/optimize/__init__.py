"""Newton methods on exact second derivatives of plain NumPy functions."""

from hessian.optimize.derivatives import derivatives
from hessian.optimize.history import IterationRecord, SaddleRecord, format_history, write_history
from hessian.optimize.implicit import argmin, fixed_point, root
from hessian.optimize.least_squares import least_squares
from hessian.optimize.minimize import minimize
from hessian.optimize.result import OptimizeResult
from hessian.optimize.status import Status

__all__ = [
    "IterationRecord",
    "OptimizeResult",
    "SaddleRecord",
    "Status",
    "argmin",
    "derivatives",
    "fixed_point",
    "format_history",
    "least_squares",
    "minimize",
    "root",
    "write_history",
]


def __dir__() -> list[str]:
    return sorted(__all__)
