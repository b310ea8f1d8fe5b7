"""What a traced value is to the rules, and the door through which operands enter an operation.

Lists, tuples, deques, series and object arrays that hold traced values are stacked into one traced value before anything
looks for the tape that takes the operation: none of them can be kept as a constant of that tape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.errors import DtypeError, ShapeMismatchError, message

_Scalar = (float, int, bool, complex, str, bytes, type(None), type(Ellipsis), slice, type, np.dtype)
PLAIN = frozenset([*_Scalar, *np.sctypeDict.values()])
"""Types of operands that hold nothing."""


class Traced:
    """Base of values that record or transform the operations applied to them.

    ``trace_level`` orders nested recordings: the operand with the highest level decides how an operation is applied.
    """

    __slots__ = ()
    trace_level: float
    is_last = False
    """Whether nothing is differentiated that is recorded here: the instructions of a program."""
    is_number = False
    """Whether NumPy would have a scalar here, immutable, rather than an array."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Traced values have the attributes of arrays."""

    def trace_apply(self, operation: Any, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Apply ``operation`` to ``operands``, of which this one is innermost."""
        raise NotImplementedError

    def frozen(self) -> Traced:
        """Return the value under a handle of its own, which later assignments through this one do not reach."""
        return self

    def lies_in(self, order: str) -> bool:
        """Tell whether the numbers lie in memory in C order, or in Fortran order."""
        return order == "C"

    def memory_axes(self) -> tuple[int, ...]:
        """Return the axes from the slowest to the fastest in memory."""
        return tuple(range(self.ndim))

    def apart(self) -> Traced:
        """Return the value as a copy of its own: writing to it reaches no other array."""
        return self

    def lying_in(self, axes: tuple[int, ...]) -> Traced:
        """Return the value in memory of its own, whose axes go from the slowest to the fastest as given."""
        return self


def entered(x: Any) -> Any:
    """Return an operand as operations take it: what holds traced values as one traced value, all else as it is.

    Raises
    ------
    ShapeMismatchError
        The traced values of a list do not make a rectangular array.
    DtypeError
        Traced values stand beside something that is no number.
    """
    kind = type(x)
    if kind in PLAIN or isinstance(x, Traced):
        return x
    if isinstance(x, np.ndarray) and not x.dtype.hasobject:
        return x
    return _stacked(x) if holds_traced(x) else x


def each_entered(x: Any) -> Any:
    """Return a sequence of operands with each of them as operations take it."""
    return [entered(item) for item in x] if _is_sequence(x) else entered(x)


def as_given(x: Any) -> Any:
    """Return an argument that the function itself takes apart."""
    return x


def _is_sequence(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return True
    kinds = (Traced, np.ndarray, Mapping, str, bytes)
    return not isinstance(x, kinds) and hasattr(x, "__len__") and hasattr(x, "__getitem__")


def holds_traced(x: Any) -> bool:
    """Tell whether a value is traced, or is a sequence or an object array with a traced value somewhere inside."""
    if type(x) in PLAIN:
        return False
    if isinstance(x, Traced):
        return True
    items = _items(x)
    return items is not None and any(map(holds_traced, items))


def _items(x: Any) -> Iterator[Any] | None:
    """Return what NumPy would read as the elements of a sequence; ``None`` for what is not one."""
    if isinstance(x, list | tuple):
        return iter(x)
    if isinstance(x, np.ndarray):
        return iter(x.ravel().tolist()) if x.dtype.hasobject else None
    if isinstance(x, Mapping) or hasattr(x, "__array_priority__") or not hasattr(x, "__getitem__"):
        return None
    if hasattr(x, "__array__"):
        # Tables and series: as NumPy sees them.
        array = np.asarray(x)
        return iter(array.ravel().tolist()) if array.dtype.hasobject else None
    return iter(x) if hasattr(x, "__iter__") else None


def _stacked(x: Any) -> Any:
    """Return nested sequences as one array, joined along new first axes."""
    if isinstance(x, Traced):
        return x
    if not isinstance(x, np.ndarray) and hasattr(x, "__array__") and hasattr(x, "__len__"):
        x = np.asarray(x)
    if isinstance(x, np.ndarray):
        return _stacked_objects(x) if x.dtype.hasobject else x
    items = None if type(x) in PLAIN else _items(x)
    if items is None:
        return _number(x)
    parts = [_stacked(item) for item in items]
    if not parts:
        return np.zeros(0)
    shapes = {np.shape(part) for part in parts}
    if len(shapes) > 1:
        what = f"a sequence of {len(parts)} holds a traced value beside others of another shape: {sorted(shapes)}"
        raise ShapeMismatchError(message("sequence", what, "it makes no array", "Give all of them one shape"))
    return np.stack(parts)


def _stacked_objects(a: np.ndarray) -> Any:
    parts = [x if isinstance(x, Traced) else _number(x) for x in a.ravel().tolist()]
    if any(np.ndim(part) for part in parts):
        what = f"an object array of shape {a.shape} holds traced arrays of shape {np.shape(parts[0])}"
        raise ShapeMismatchError(message("object array", what, "it is an array of arrays", "Use np.stack on a list"))
    return np.reshape(np.stack(parts), a.shape)


def _number(x: Any) -> np.ndarray:
    array = np.asarray(x)
    if array.dtype.kind not in "fiubc":
        what = f"a traced value stands in a sequence beside {x!r}"
        raise DtypeError(message("sequence", what, "which is no number", "Keep numbers alone in arrays"))
    return array
