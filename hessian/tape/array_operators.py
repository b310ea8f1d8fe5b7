"""Python's operators on traced values."""

from __future__ import annotations

from array import array
from collections import deque
from typing import Any

import numpy as np
import scipy.sparse

from hessian.errors import MissingRuleError, message
from hessian.rules import choices, products
from hessian.rules import elementwise as ew
from hessian.rules.traced import PLAIN, Traced, entered
from hessian.tape.advice import user_line


class ArrayOperators(Traced):
    """Mixin: what ``+``, ``@``, ``<`` and the like do."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Any) -> Any:
        return _binary(ew.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return _binary(ew.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return _binary(ew.subtract, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _binary(ew.subtract, other, self)

    def __mul__(self, other: Any) -> Any:
        if self.is_number and isinstance(other, _REPEATING):
            return NotImplemented
        return _binary(ew.multiply, self, other)

    def __rmul__(self, other: Any) -> Any:
        if self.is_number and isinstance(other, _REPEATING):
            return NotImplemented
        return _binary(ew.multiply, other, self)

    def __truediv__(self, other: Any) -> Any:
        return _binary(ew.divide, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _binary(ew.divide, other, self)

    def __pow__(self, other: Any) -> Any:
        # The shortcuts that NumPy itself takes for scalar exponents; its own make float64 of float32.
        if type(other) in _EXPONENTS.get(self.dtype.char, ()) and other in _POWERS:
            return _POWERS[other](self)
        return _binary(ew.power, self, other)

    def __rpow__(self, other: Any) -> Any:
        return _binary(ew.power, other, self)

    def __mod__(self, other: Any) -> Any:
        return _binary(ew.remainder, self, other)

    def __rmod__(self, other: Any) -> Any:
        return _binary(ew.remainder, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return np.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return np.floor_divide(other, self)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __matmul__(self, other: Any) -> Any:
        return products.matmul(self, entered(other))

    def __rmatmul__(self, other: Any) -> Any:
        return products.matmul(entered(other), self)

    def __neg__(self) -> Any:
        return ew.negative(self)

    def __pos__(self) -> Any:
        return ew.positive(self)

    def __abs__(self) -> Any:
        return choices.absolute(self)

    def __invert__(self) -> Any:
        return np.invert(self)

    def __and__(self, other: Any) -> Any:
        return np.bitwise_and(self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Any:
        return np.bitwise_or(self, other)

    __ror__ = __or__

    def __xor__(self, other: Any) -> Any:
        return np.bitwise_xor(self, other)

    __rxor__ = __xor__

    def __lt__(self, other: Any) -> Any:
        return np.less(self, other)

    def __le__(self, other: Any) -> Any:
        return np.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return np.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return np.greater_equal(self, other)

    def __eq__(self, other: Any) -> Any:
        return np.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return np.not_equal(self, other)

    def __lshift__(self, other: Any) -> Any:
        return np.left_shift(self, other)

    def __rlshift__(self, other: Any) -> Any:
        return np.left_shift(other, self)

    def __rshift__(self, other: Any) -> Any:
        return np.right_shift(self, other)

    def __rrshift__(self, other: Any) -> Any:
        return np.right_shift(other, self)


class InPlaceOperators(Traced):
    """Mixin: what ``+=`` and the like do, by ``_in_place``, which writes a new value into the memory of the old one."""

    __slots__ = ()

    def __iadd__(self, other: Any) -> Any:
        return self._in_place(self + other)

    def __isub__(self, other: Any) -> Any:
        return self._in_place(self - other)

    def __imul__(self, other: Any) -> Any:
        return self._in_place(self * other)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place(self / other)

    def __ipow__(self, other: Any) -> Any:
        return self._in_place(self**other)

    def __imatmul__(self, other: Any) -> Any:
        return self._in_place(self @ other)

    def __imod__(self, other: Any) -> Any:
        return self._in_place(self % other)

    def __ifloordiv__(self, other: Any) -> Any:
        return self._in_place(self // other)

    def __iand__(self, other: Any) -> Any:
        return self._in_place(self & other)

    def __ior__(self, other: Any) -> Any:
        return self._in_place(self | other)

    def __ixor__(self, other: Any) -> Any:
        return self._in_place(self ^ other)

    def __ilshift__(self, other: Any) -> Any:
        return self._in_place(self << other)

    def __irshift__(self, other: Any) -> Any:
        return self._in_place(self >> other)


def _binary(operation: Any, a: Any, b: Any) -> Any:
    """Apply an operator, or leave it to the other operand."""
    other = b if isinstance(a, ArrayOperators) else a
    kind = type(other)
    if kind is not float and kind is not int and not isinstance(other, Traced | np.ndarray | np.generic):
        if (kind in PLAIN and kind not in (bool, complex)) or isinstance(other, dict | set):
            return NotImplemented
        if scipy.sparse.issparse(other):
            what = f"a sparse matrix meets a traced value elementwise at {user_line()}"
            raise MissingRuleError(message(operation.name, what, fix="Use A @ x for the matrix product"))
        if other is a:
            a = entered(a)
        else:
            b = entered(b)
    return operation(a, b)


# What repeats itself when it is multiplied by a number; NumPy's numbers leave the product to it, its arrays do not.
_REPEATING = (list, tuple, deque, array)
_NUMBERS = (int, float, np.float64, np.int64)
# In older NumPy its own numbers were weak here, too.
_WEAK = _NUMBERS if (np.ones(1, np.float32) ** np.float64(2)).dtype == np.float32 else (int, float)
_EXPONENTS: dict[str, tuple[type, ...]] = {"d": _NUMBERS, "f": _WEAK}
_POWERS = {1: ew.positive, 2: ew.square, 0.5: ew.sqrt, -1: ew.reciprocal}
