"""Whether an operation raises: what a function that catches exceptions steers by."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.spec import Operation, nondifferentiable


def _raises(*operands: Any, operation: Operation, given: Any, kind: type, errors: tuple[tuple[str, str], ...]) -> Any:
    try:
        with np.errstate(**dict(errors)):  # type: ignore[arg-type]
            operation.function(*operands, **given)
    except kind:  # type: ignore[misc]
        return np.True_
    except Exception:
        # Another branch of the function: neither what was seen nor its opposite.
        return np.int8(2)
    return np.False_


raises_op = nondifferentiable("raises", _raises)
"""Apply ``operation`` under NumPy's error settings ``errors`` and tell whether it raises an exception of a kind."""
