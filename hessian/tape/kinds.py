"""What a traced value says of its type: an array has a length and can be iterated over, a number has and can neither.

``isinstance(x, np.ndarray)`` and its like ask ``x.__class__``, which answers with NumPy's type (see :class:`Variable`). What is
looked up on the real class is settled here: ``len``, ``iter``, ``in``, ``hasattr`` and the abstract classes of
``collections.abc``. So is what NumPy asks the numbers of a list for.
"""

from __future__ import annotations

import dis
import sys
from functools import partial
from typing import Any

import numpy as np

# What NumPy's loops over objects call by its name on each of them.
_BY_NAME = frozenset(
    (
        *(
            "arccos",
            "arccosh",
            "arcsin",
            "arcsinh",
            "arctan",
            "arctan2",
            "arctanh",
            "cbrt",
            "cos",
            "cosh",
            "deg2rad",
            "degrees",
        ),
        *(
            "exp",
            "exp2",
            "expm1",
            "fabs",
            "fmod",
            "hypot",
            "log",
            "log10",
            "log1p",
            "log2",
            "rad2deg",
            "radians",
            "rint",
        ),
        *("sin", "sinh", "sqrt", "tan", "tanh"),
    )
)


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


class Elementary:
    """Mixin: elementary functions of numbers in a list, of which NumPy makes an array of objects before it looks at them.

    It then asks each for the function by name. Whoever writes ``x.sin`` or asks ``hasattr(x, "sin")`` finds no more than NumPy's
    numbers have.
    """

    __slots__ = ()

    def __getattr__(self: Any, name: str) -> Any:
        if name in _BY_NAME:
            frame = sys._getframe(1)
            code = frame.f_code
            running = dis.opname[code.co_code[frame.f_lasti]]
            if not running.startswith(("LOAD_ATTR", "LOAD_METHOD")) and name not in code.co_consts:
                return partial(getattr(np, name), self)
        return super().__getattr__(name)  # type: ignore[misc]  # of arrays


class NumberType(type):
    """The type of numbers: to those who look for ``__iter__`` in the classes it derives from, it is not there."""

    @property
    def __mro__(cls) -> tuple[type, ...]:  # type: ignore[override]
        return tuple(part for part in type.__dict__["__mro__"].__get__(cls) if part is not Uniterable)
