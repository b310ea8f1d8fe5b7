"""Newton methods on exact second derivatives of plain NumPy functions."""

from hessian.optimize.covariance import Covariance
from hessian.optimize.information import WeakDirection
from hessian.optimize.least_squares import least_squares
from hessian.optimize.minimize import minimize
from hessian.optimize.result import (
    IterationRecord,
    OptimizeResult,
    SaddleRecord,
    Status,
    format_history,
    write_history,
)

__all__ = [
    "Covariance",
    "IterationRecord",
    "OptimizeResult",
    "SaddleRecord",
    "Status",
    "WeakDirection",
    "format_history",
    "least_squares",
    "minimize",
    "write_history",
]
