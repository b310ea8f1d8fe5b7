"""Newton methods on exact second derivatives of plain NumPy functions."""

from hessian.optimize.minimize import minimize
from hessian.optimize.result import IterationRecord, OptimizeResult, Status, format_history, write_history

__all__ = ["IterationRecord", "OptimizeResult", "Status", "format_history", "minimize", "write_history"]
