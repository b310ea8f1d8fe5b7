"""Vectors on their way in and out of operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from hessian.errors import DtypeError, message
from hessian.rules.spec import Traced


def is_traced(x: Any, leaves: list[Any]) -> bool:
    """Tell whether a product involves traced values, in the direction or in the point."""
    return isinstance(x, Traced) or (not isinstance(x, LinearOperator) and any(isinstance(a, Traced) for a in leaves))


def read_only(vector: Any) -> Any:
    """Protect a vector that an operator keeps and hands out."""
    if isinstance(vector, np.ndarray) and not isinstance(vector, Traced):
        vector.flags.writeable = False
    return vector


def as_rows(V: Any) -> Any:
    """Return the columns of a matrix as rows: directions lead."""
    return np.transpose(V) if isinstance(V, Traced) else np.ascontiguousarray(V.T)


def as_direction(v: Any, operator: LinearOperator) -> Any:
    """Return a direction as an array of the operator's dtype."""
    v = v if isinstance(v, Traced) else np.asarray(v)
    if v.dtype.kind not in "fiub":
        what = f"the direction has dtype {v.dtype}, the operator {operator.dtype}"
        raise DtypeError(
            message(type(operator).__name__, what, "the operator is real", "Apply it to real and imaginary parts")
        )
    return v if v.dtype == operator.dtype else v.astype(operator.dtype)
