"""What may stand for an array of numbers where a user hands one in, and what has rules of its own."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from hessian.errors import DtypeError, message
from hessian.rules.spec import Traced
from hessian.tape.handle import Handle
from hessian.tape.trees import only_numbers

# A subclass of ndarray that redefines one of these is more than its numbers.
_ARITHMETIC = (
    *("__array_ufunc__", "__array_function__", "__add__", "__radd__", "__sub__", "__mul__", "__rmul__", "__truediv__"),
    *("__pow__", "__matmul__", "__neg__", "__eq__", "__lt__", "sum", "mean"),
)


def has_own_rules(x: np.ndarray) -> bool:
    """Tell whether an array is of a class with arithmetic of its own (masked arrays, matrices, quantities with units)."""
    kind: Any = type(x)
    if kind is np.ndarray or issubclass(kind, Handle):
        return False
    return any(getattr(kind, name) is not getattr(np.ndarray, name) for name in _ARITHMETIC)


def refused(x: np.ndarray) -> tuple[str, str]:
    """Return why an array with rules of its own is refused, and what to pass instead."""
    fix = "Pass np.where(mask, 0, x.data), a plain array" if isinstance(x, np.ma.MaskedArray) else "Pass np.asarray(x)"
    return "its own rules for arithmetic would be ignored", fix


def check_numbers(x: Any, where: str, name: str, *, lists: bool = False) -> None:
    """Raise unless something is a real number, a plain array or a traced value.

    Parameters
    ----------
    where, name : str
        For the message.
    lists : bool
        Whether nested lists of numbers will do.
    """
    if type(x) is np.ndarray or isinstance(x, Traced | Real | np.generic):
        return
    kind = type(x).__name__
    if isinstance(x, np.ndarray):
        if has_own_rules(x):
            raise DtypeError(message(where, f"{name} is a {kind}", *refused(x)))
        return
    if lists and (only_numbers(x) or (isinstance(x, list | tuple) and _holds_arrays(x))):
        return
    if isinstance(x, complex):
        return  # refused by its dtype
    why = "only arrays, numbers and containers of them are differentiated"
    fix = "Pass a plain array, x.to_numpy() or np.asarray(x)"
    if hasattr(x, "tocsr"):
        fix = "Pass its entries (x.data), and make the matrix inside the function"
    elif not hasattr(x, "__array__"):
        fix = "Pass an array, or a list, tuple, dict or dataclass of arrays"
    raise DtypeError(message(where, f"{name} is {x!r}" if x is None else f"{name} is a {kind}", why, fix))


def _holds_arrays(x: Any) -> bool:
    return all(
        isinstance(part, np.ndarray | Traced | Real) or (isinstance(part, list | tuple) and _holds_arrays(part))
        for part in x
    )
