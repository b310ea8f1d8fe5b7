"""Vectors on their way in and out of operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from hessian.arguments import first_nonfinite
from hessian.errors import DtypeError, NonFiniteError, ShapeMismatchError, message
from hessian.rules.spec import Traced


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
    refuse_mask(v, type(operator).__name__, "the direction")
    v = v if isinstance(v, Traced) else np.asarray(v)
    if v.dtype.kind not in "fiub":
        what = f"the direction has dtype {v.dtype}, the operator {operator.dtype}"
        raise DtypeError(
            message(type(operator).__name__, what, "the operator is real", "Apply it to real and imaginary parts")
        )
    return v if v.dtype == operator.dtype else v.astype(operator.dtype)


def as_operand(x: Any, operator: LinearOperator) -> Any:
    """Return what an operator is applied to, before SciPy sees it: its conversion would lose a mask, and it names no shapes."""
    n = operator.shape[1]
    if isinstance(x, np.ndarray | list) and (np.ndim(x) not in (1, 2) or np.shape(x)[0] != n):
        what = f"dimension mismatch: the operand has shape {np.shape(x)}, the operator {operator.shape}"
        fix = f"Pass a vector of {n} numbers, or a matrix of {n} rows"
        raise ShapeMismatchError(message(type(operator).__name__, what, fix=fix))
    return refuse_mask(x, type(operator).__name__, "the direction")


def refuse_mask(value: Any, where: str, what: str) -> Any:
    """Refuse a masked array, of which NumPy's conversions keep what lies under the mask; return everything else."""
    if isinstance(value, np.ma.MaskedArray):
        fix = "Fill it, or choose what is not masked"
        raise DtypeError(message(where, f"{what} is a masked array", "What its mask hides would count", fix))
    return value


def as_reals(value: Any, dtype: np.dtype, where: str, what: str) -> np.ndarray:
    """Return real numbers in a dtype; the others would lose a part of them, with no more than a warning."""
    array = np.asarray(refuse_mask(value, where, what))
    if array.dtype.kind not in "fiubO":
        raise DtypeError(message(where, f"{what} has dtype {array.dtype}", "The operator is real", "Pass real numbers"))
    return array.astype(dtype, copy=False)


def as_right_hand_side(b: Any, n: int, dtype: np.dtype, where: str) -> np.ndarray:
    """Return one or more right-hand sides of a system of order n, in columns."""
    rhs = as_reals(b, dtype, where, "b")
    if rhs.ndim not in (1, 2) or rhs.shape[0] != n:
        what = f"b has shape {rhs.shape}, the operator has order {n}"
        raise ShapeMismatchError(message(where, what, fix=f"Pass b with {n} rows"))
    if not np.isfinite(rhs).all():
        raise NonFiniteError(message(where, first_nonfinite("b", rhs), fix="Pass finite numbers"))
    return rhs
