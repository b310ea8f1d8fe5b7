"""What may be an operand of a traced operation, and what may come out of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import DtypeError, message
from hessian.rules.spec import Operation
from hessian.tape.advice import user_line
from hessian.tape.numbers import has_own_rules, refused


def base_array(x: Any, operation: Operation) -> np.ndarray:
    """Return lists and subclasses of ndarray that only store numbers as plain arrays."""
    if isinstance(x, np.ndarray) and has_own_rules(x):
        what = f"a {type(x).__name__} meets a traced value at {user_line()}"
        raise DtypeError(message(operation.name, what, *refused(x)))
    return np.asarray(x)


def no_real_result(operation: Operation, dtype: np.dtype) -> None:
    raise DtypeError(
        message(
            operation.name,
            f"the result is {'complex' if dtype.kind == 'c' else f'of dtype {dtype}'}, at {user_line()}",
            "only real functions of real numbers are differentiated",
            "Work with real and imaginary parts" if dtype.kind == "c" else "Pass real numbers",
        )
    )


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
