"""What a traced value says of its type: an array has a length and can be iterated over, a number has and can neither.

``isinstance(x, np.ndarray)`` and its like ask ``x.__class__``, which answers with NumPy's type (see :class:`Variable`). What is
looked up on the real class is settled here: ``len``, ``iter``, ``in``, ``hasattr`` and the abstract classes of
``collections.abc``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


class Elements:
    """Mixin: what makes an array a collection."""

    __slots__ = ()

    def __len__(self: Any) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-dimensional traced array")
        return self.shape[0]

    def __iter__(self: Any) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-dimensional traced array")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self: Any, item: Any) -> bool:
        return bool(np.any(np.equal(self, item)))


class _NoIteration:
    """Stand for the ``__iter__`` that a number does not have.

    A class with ``__getitem__`` and without ``__iter__`` is iterated over by indices. Python asks for ``__iter__`` in the same way
    for ``iter(x)``, where ``None`` refuses, as for ``hasattr(x, "__iter__")``, where the attribute must be missing; code that
    asks for the attribute knows its name.
    """

    def __get__(self, number: Any, kind: Any = None) -> None:
        code = sys._getframe(1).f_code
        if number is None or "__iter__" in code.co_names or "__iter__" in code.co_consts:
            raise AttributeError("__iter__")


class Uniterable:
    """Mixin: what keeps a number from being iterated over."""

    __slots__ = ()
    __iter__ = _NoIteration()


class RoundedToIntegers:
    """Mixin: roundings that make Python integers of a number; the integer carries no derivative and becomes a guard."""

    __slots__ = ()

    def __round__(self: Any, ndigits: int | None = None) -> Any:
        return int(np.rint(self)) if ndigits is None else np.round(self, ndigits)

    def __floor__(self: Any) -> int:
        return int(np.floor(self))

    def __ceil__(self: Any) -> int:
        return int(np.ceil(self))

    def __trunc__(self: Any) -> int:
        return int(np.trunc(self))


class NumberType(type):
    """The type of numbers: to those who look for ``__iter__`` in the classes it derives from, it is not there."""

    @property
    def __mro__(cls) -> tuple[type, ...]:  # type: ignore[override]
        return tuple(part for part in type.__dict__["__mro__"].__get__(cls) if part is not Uniterable)
