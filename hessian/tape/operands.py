"""What may be an operand of a traced operation, and what may come out of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import DtypeError, message
from hessian.rules.pairs import applied
from hessian.rules.spec import Operation
from hessian.tape.advice import user_line
from hessian.tape.numbers import has_own_rules, refused


def base_array(x: Any, operation: Operation) -> np.ndarray:
    """Return lists and subclasses of ndarray that only store numbers as plain arrays."""
    if isinstance(x, np.ndarray) and has_own_rules(x):
        what = f"a {type(x).__name__} meets a traced value at {user_line()}"
        raise DtypeError(message(operation.name, what, *refused(x)))
    return np.asarray(x)


def not_real(operation: Operation, operands: tuple[Any, ...], params: dict[str, Any], dtype: np.dtype) -> Any:
    """Return the result of an operation that is no real number where the tape holds real ones only: a complex pair."""
    if dtype.kind == "c":
        return applied(operation, operands, params)
    what = f"the result is of dtype {dtype}, at {user_line()}"
    raise DtypeError(message(operation.name, what, "only functions of numbers are differentiated", "Pass numbers"))


def no_numbers(x: np.ndarray, operation: Operation) -> None:
    item = x.ravel().tolist()[0] if x.size else x
    raise DtypeError(
        message(
            operation.name,
            f"an operand of type {type(item).__name__} meets a traced value at {user_line()}",
            "it holds no numbers that NumPy could read",
            "Pass numbers, arrays, or lists of them",
        )
    )
