"""Variables: values that look like arrays and write every operation on their tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.core.array_protocol import (
    ArrayProtocol,
    concrete_index,
    leaves_tape,
    primal_array,
    reaches_rule,
    stack_objects,
    user_line,
)
from hessian.core.passthrough import asked_by_sparse, passing_through
from hessian.core.tape import Instruction, Tape
from hessian.errors import DtypeError, ShapeMismatchError, StaleVariableError, message
from hessian.rules import indexing
from hessian.rules.spec import Operation, Traced

# Operands that nobody can change.
_SCALARS = (int, float, np.generic, bool, str, type(None))


class Variable(ArrayProtocol):
    """A value on a tape.

    Attributes
    ----------
    value : ndarray, numpy scalar or traced value of an outer tape
        The primal.
    tape, slot
        Where it is recorded. In-place assignment moves the variable to a new slot.
    """

    __slots__ = ("_key", "_number", "_root", "_seen", "_version", "slot", "tape", "trace_level", "value")
    value: Any

    def __init__(self, tape: Tape, slot: int, value: Any) -> None:
        self.tape = tape
        self.trace_level = tape.serial
        self.slot = slot
        self.value = value
        self._number: bool | None = None
        self._version = 0
        self._root: Variable | None = None
        self._seen = 0
        self._key: Any = None

    @property
    def active(self) -> bool:
        """Whether the value depends differentiably on an input of its tape."""
        return self.tape.active[self.slot]

    @property
    def carries_derivative(self) -> bool:
        """Whether turning the value into plain numbers would lose a derivative, on this tape or one around it."""
        return self.active or (isinstance(self.value, Variable) and self.value.carries_derivative)

    @property
    def will_change(self) -> bool:
        """Whether the numbers held now are an example: the tape, or one around it, will be replayed on others."""
        return self.tape.replayed or (isinstance(self.value, Variable) and self.value.will_change)

    def __repr__(self) -> str:
        return f"Variable({primal_array(self)!r}, tape={self.tape.serial}, slot={self.slot})"

    def trace_apply(self, operation: Operation, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Evaluate ``operation`` on the primals and record it on this variable's tape."""
        tape = self.tape
        activity = tape.active
        values: list[Any] = []
        sources: list[int] = []
        active, nested, base = False, tape.nested, self
        for x in operands:
            if type(x) is Variable and x.tape is tape:
                x.check_fresh()
                values.append(x.value)
                sources.append(x.slot)
                active = active or activity[x.slot]
                base = x
                continue
            if not isinstance(x, _SCALARS):
                x = x if isinstance(x, Traced) else self._constant(x, operation)
                if isinstance(x, Traced):
                    x, nested = x.frozen(), True
            values.append(x)
            sources.append(-1)
        if active and (operation.states is not None or not operation.differentiable):
            active = reaches_rule(operation, [s >= 0 and activity[s] for s in sources])
        if nested:
            tape.nested = True
            value = operation(*values, **params)
        else:
            value = operation.function(*values, **params)
        if value.dtype.kind == "c":
            _complex_result(operation)
        slot = tape.append(Instruction(operation, tuple(values), tuple(sources), params), value, active)
        out = Variable(tape, slot, value)
        # Where NumPy gives a number, not a 0-d array, there is no memory to share.
        if operation.view and not out.is_number:
            out._view_of(base, params.get("index"))
        return out

    def _constant(self, x: Any, operation: Operation) -> Any:
        """Return a plain operand as the tape may keep it."""
        if type(x) is not np.ndarray:
            x = _base_array(x, operation)
        if x.dtype.hasobject:
            return stack_objects(x)
        return self.tape.snapshot(x) if operation.retains or self.tape.replayed else x

    @property
    def is_number(self) -> bool:
        """Whether NumPy would have a scalar here, immutable, rather than a 0-d array."""
        if self._number is None:
            outer = self.value
            self._number = outer.is_number if isinstance(outer, Variable) else isinstance(outer, np.generic)
        return self._number

    def frozen(self) -> Variable:
        """Return the value under a handle of its own, which later assignments through this one do not reach."""
        self.check_fresh()
        return Variable(self.tape, self.slot, self.value)

    def check_fresh(self) -> None:
        """Raise if this is a view of an array that has been assigned to since."""
        if self._root is not None and self._root._version != self._seen:
            raise StaleVariableError(
                message(
                    "view",
                    f"a view of a traced array is used after the array was changed in place, at {user_line()}",
                    "NumPy's view would show the new values, this one holds the old",
                    "Take the view again after the assignment, or take a copy before it",
                )
            )

    def _view_of(self, base: Variable, index: Any) -> None:
        """Remember the array that owns the memory, and the state it was seen in."""
        self._root = base if base._root is None else base._root
        self._seen = self._root._version
        # Writing through is possible for a slice taken straight from the array that owns the memory.
        self._key = index if base._root is None else None

    # In-place assignment re-binds the handle to a new slot.

    def __setitem__(self, index: Any, value: Any) -> None:
        index = concrete_index(index)
        if isinstance(value, list | tuple):
            value = np.array(value)
        value = stack_objects(value) if type(value) is np.ndarray and value.dtype.hasobject else value
        if isinstance(value, Traced) and value.dtype != self.dtype:
            value = value.astype(self.dtype)
        self._rebind(indexing.setitem(self, index, value))

    def sort(self, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
        """Sort in place, as ``ndarray.sort``; ``np.sort`` returns a sorted copy."""
        self._rebind(np.sort(self, axis=axis, kind=kind, order=order, stable=stable))

    def fill(self, value: Any) -> None:
        """Assign one value to every element, as ``ndarray.fill``."""
        self[...] = value

    def _rebind(self, new: Any) -> Variable:
        """Become ``new``; a view writes through to the array it was taken from."""
        new = new if new.dtype == self.dtype else new.astype(self.dtype)
        if self._root is not None:
            if self._key is None:
                raise StaleVariableError(
                    message(
                        "in-place assignment",
                        f"the target is a view of another traced array, at {user_line()}",
                        "NumPy would change the other array as well",
                        "Assign to the array itself, or take a copy first",
                    )
                )
            root = self._root
            root[self._key] = new
            self._seen = root._version
        self._number = self.is_number
        self.tape, self.trace_level, self.slot, self.value = new.tape, new.trace_level, new.slot, new.value
        self._version += 1
        return self

    def __iadd__(self, other: Any) -> Variable:
        return self._in_place(self + other)

    def __isub__(self, other: Any) -> Variable:
        return self._in_place(self - other)

    def __imul__(self, other: Any) -> Variable:
        return self._in_place(self * other)

    def __itruediv__(self, other: Any) -> Variable:
        return self._in_place(self / other)

    def __ipow__(self, other: Any) -> Variable:
        return self._in_place(self**other)

    def __imatmul__(self, other: Any) -> Variable:
        return self._in_place(self @ other)

    def __imod__(self, other: Any) -> Variable:
        return self._in_place(self % other)

    def __ifloordiv__(self, other: Any) -> Variable:
        return self._in_place(self // other)

    def __iand__(self, other: Any) -> Variable:
        return self._in_place(self & other)

    def __ior__(self, other: Any) -> Variable:
        return self._in_place(self | other)

    def __ixor__(self, other: Any) -> Variable:
        return self._in_place(self ^ other)

    def _in_place(self, new: Any) -> Variable:
        if self.is_number:
            return new  # NumPy scalars are immutable: the name is bound to the new value
        if new.shape != self.shape:
            what = f"the result has shape {new.shape}, the target {self.shape}"
            raise ShapeMismatchError(message("in-place operation", what, fix="Write y = y + x"))
        if not np.can_cast(new.dtype, self.dtype, "same_kind"):
            what = f"the result has dtype {new.dtype}, the target {self.dtype}"
            raise DtypeError(message("in-place operation", what, "NumPy refuses this cast as well", "Write y = y + x"))
        return self._rebind(new)

    # Where a value would leave the tape.

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if not self.carries_derivative:
            return self._guarded(dtype)
        carrier = passing_through(self)
        if carrier is not None:
            return carrier
        if (self.ndim == 0 and dtype is None) or asked_by_sparse():
            # A 0-d object array is NumPy's way of saying "not an array": lists of scalars keep their derivatives in it,
            # and a sparse matrix then leaves the product to __rmatmul__.
            holder = np.empty((), dtype=object)
            holder[()] = self
            return holder
        return leaves_tape("conversion to a plain array")

    def _guarded(self, dtype: Any = None) -> np.ndarray:
        """Let a value without derivative leave, and note what was seen."""
        self.check_fresh()
        plain = primal_array(self)
        seen = np.array(plain)
        self.tape.guards.append((self.slot, seen))
        if isinstance(self.value, Variable):
            self.value._guarded()  # the layers outside see the value leave as well
        # The guard keeps the value as it was computed, whatever dtype it is wanted in.
        return np.array(plain, dtype=dtype or plain.dtype)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        nonzero: Any = np.not_equal(self, 0)
        return bool(nonzero._guarded())

    def __int__(self) -> int:
        if self.carries_derivative:
            return leaves_tape("int(x)")
        return int(self._guarded())

    def __index__(self) -> int:
        if self.carries_derivative or self.dtype.kind not in "iub":
            raise TypeError("only integer traced values can be used as an index")
        return int(self._guarded())

    def __float__(self) -> float:
        return super().__float__() if self.carries_derivative else float(self._guarded())

    def item(self, *args: Any) -> Any:
        """Return a Python number if the value carries no derivative; refuse otherwise."""
        return super().item(*args) if self.carries_derivative else self._guarded().item(*args)

    def tolist(self) -> Any:
        """Return Python numbers if the value carries no derivative; refuse otherwise."""
        return super().tolist() if self.carries_derivative else self._guarded().tolist()

    # Text shows the numbers, and they may steer Python.

    def __format__(self, spec: str) -> str:
        return format(self._guarded()[()], spec) if spec else str(self)

    def __str__(self) -> str:
        return repr(self) if self.ndim else str(self._guarded()[()])


def _base_array(x: Any, operation: Operation) -> np.ndarray:
    """Return lists and subclasses of ndarray that only store numbers as plain arrays."""
    if isinstance(x, np.ma.MaskedArray | np.matrix):
        what = f"a {type(x).__name__} meets a traced value at {user_line()}"
        why = "its own rules for arithmetic would be ignored"
        raise DtypeError(
            message(operation.name, what, why, "Pass a plain array; np.where(mask, 0, x) for masked entries")
        )
    return np.asarray(x)


def _complex_result(operation: Operation) -> None:
    raise DtypeError(
        message(
            operation.name,
            f"the result is complex, at {user_line()}",
            "only real functions of real numbers are differentiated",
            "Work with real and imaginary parts",
        )
    )
