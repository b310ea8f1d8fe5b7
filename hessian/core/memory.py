"""How the numbers of traced arrays lie in memory: it decides what NumPy takes as a view and what it copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.core.array_methods import primal_array


def shares_memory(value: Any, base: Any) -> bool:
    """Tell whether NumPy's result is a view of its operand, not a copy."""
    owner = primal_array(base)
    return owner.flags.c_contiguous or np.may_share_memory(primal_array(value), owner)


def lying_as(old: Any, new: Any) -> Any:
    """Return new numbers as they lie in the memory of the old ones."""
    memory, numbers = primal_array(old), primal_array(new)
    if numbers.strides == memory.strides:
        return new
    if isinstance(new, np.ndarray):
        out = np.empty_like(memory, dtype=numbers.dtype)
        out[...] = numbers
        return out
    kept = new.frozen()
    kept._value = lying_as(old, new._value)
    return kept
