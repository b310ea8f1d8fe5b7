"""Variables: values that look like arrays and write every operation on their tape."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np

from hessian.errors import DtypeError, ShapeMismatchError, message
from hessian.rules import indexing
from hessian.rules.smooth import smooth_op
from hessian.rules.spec import Operation, Traced
from hessian.rules.traced import PLAIN, entered
from hessian.tape.advice import leaves_tape, reaches_rule, user_line
from hessian.tape.array_methods import concrete_index, primal_array
from hessian.tape.array_operators import InPlaceOperators
from hessian.tape.array_protocol import ArrayProtocol
from hessian.tape.complex_array import complex_value
from hessian.tape.exceptions import note_exception
from hessian.tape.handle import Handle, settled
from hessian.tape.kinds import Elementary, Elements, NumberType, RoundedToIntegers, Uniterable
from hessian.tape.memory import InMemory, lying_as, shows_memory
from hessian.tape.numbering import numbering
from hessian.tape.operands import base_array, no_numbers, not_real
from hessian.tape.passthrough import asked_by_sparse, passing_through, sparse_is_asking
from hessian.tape.roots import smooth_form
from hessian.tape.tape import Instruction, Tape
from hessian.tape.views import View, chain
from hessian.tape.writes import Writes, placed


class Variable(Handle, InMemory, InPlaceOperators, ArrayProtocol):
    """A value on a tape: an ``Array``, or a ``Number`` where NumPy has a scalar.

    Its attributes are private: a plain number that could be read off a traced value would lose its derivative.

    Attributes
    ----------
    _value : ndarray, numpy scalar or traced value of an outer tape
        The primal.
    _tape, _slot
        Where it is recorded. In-place assignment moves the variable to a new slot.
    _view : View or None
        For an array that shares the memory of another one: how it was taken.
    _writes : Writes or None
        Rows or elements written that are not in their place yet.
    _version : int
        How often the memory was written to, for an array that owns its memory.
    """

    __slots__ = ()
    _value: Any

    def __init__(self, tape: Tape, slot: int, value: Any) -> None:
        self._tape = tape
        self.trace_level = tape.serial
        self._slot = slot
        self._value = value
        self._version = 0
        self._view: View | None = None
        self._writes: Writes | None = None

    @property
    def active(self) -> bool:
        """Whether the value depends differentiably on an input of its tape."""
        return self._tape.active[self._slot]

    @property
    def carries_derivative(self) -> bool:
        """Whether turning the value into plain numbers would lose a derivative, on this tape or one around it."""
        self.check_fresh()
        return self.active or (isinstance(self._value, Variable) and self._value.carries_derivative)

    @property
    def will_change(self) -> bool:
        """Whether the numbers held now are an example: the tape, or one around it, will be replayed on others."""
        return self._tape.replayed or (isinstance(self._value, Variable) and self._value.will_change)

    @property
    def is_last(self) -> bool:  # type: ignore[override]
        """Whether the tape is that of a program, which is not differentiated any more."""
        return self._tape.replayed

    def __repr__(self) -> str:
        return f"Variable({primal_array(self)!r}, tape={self._tape.serial}, slot={self._slot})"

    def trace_apply(self, operation: Operation, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Evaluate ``operation`` on the primals and record it on this variable's tape."""
        tape, base, active, nested = self._tape, self, False, self._tape.nested
        values: list[Any] = []
        sources: list[int] = []
        for x in operands:
            kind = type(x)
            if kind is Array or kind is Number:
                if (x._view is not None or x._writes is not None) and x._refresh():
                    # The owner of the memory may have been assigned a value of a tape inside this one.
                    return operation(*operands, **params)
                if x._tape is tape:
                    values.append(x._value)
                    sources.append(x._slot)
                    active = active or tape.active[x._slot]
                    base = x
                    continue
            if kind not in PLAIN:
                if kind is not np.ndarray and issubclass(kind, Handle) and not issubclass(kind, Traced):
                    return operation(*map(settled, operands), **params)
                x = self._constant(x, operation)
                if isinstance(x, Traced):
                    nested = tape.nested = True
            values.append(x)
            sources.append(-1)
        if active and (operation.states is not None or not operation.differentiable):
            active = reaches_rule(operation, [s >= 0 and tape.active[s] for s in sources])
        instruction = Instruction(operation, tuple(values), tuple(sources), params)
        try:
            value = operation(*values, **params) if nested else operation.function(*values, **params)
        except Exception as error:
            if tape.replayed and not tape.closed:
                note_exception(tape, instruction, error)
            raise
        if tape.replayed and "raise" in np.geterr().values():
            note_exception(tape, instruction, None)
        if value.dtype.kind not in "fiub":
            return not_real(operation, operands, params, value.dtype)
        slot = tape.append(instruction, value, active)
        may_be_smooth = active and not tape.replayed and (operation.root is not None or tape.roots is not None)
        if may_be_smooth and (smooth := smooth_form(tape, slot, partial(_at, tape))) is not None:
            return smooth_op(smooth, _at(tape, slot))
        # Where NumPy gives a number, not a 0-d array, there is no memory to share.
        if isinstance(value, np.generic) if not nested else _is_number(value):
            return Number(tape, slot, value)
        out = Array(tape, slot, value)
        if operation.copies and value.ndim and base._value.ndim > 1:
            tape.regrouped = True
        if operation.view and shows_memory(operation, base, value):
            out._view = View(base, operation, params, base._owner()._version)
        return out

    def _constant(self, x: Any, operation: Operation) -> Any:
        """Return an operand of no slot as the tape may keep it: plain numbers, or a value of a tape around this one."""
        if isinstance(x, Traced):
            constant: Any = x.frozen()
            if isinstance(constant, Variable) and constant._tape.closed:
                constant._tape.refuse(operation.name)
            assert constant.trace_level < self.trace_level, (
                f"{operation.name}: a value of this tape became a constant of it"
            )
            return constant
        if type(x) is not np.ndarray:
            x = base_array(x, operation)
        if x.dtype.hasobject:
            no_numbers(x, operation)
        return self._tape.snapshot(x) if operation.retains or self._tape.replayed else x

    def same_as(self, other: Any) -> bool:
        """Tell whether another value is equal to this one whatever the variables are, because it was computed in the same way."""
        if not isinstance(other, Variable) or other._tape is not self._tape:
            return False
        self.check_fresh()
        other.check_fresh()
        numbers = numbering(self._tape)
        return self._slot == other._slot or numbers.of(self._slot) == numbers.of(other._slot)

    def with_parts(self, re: Any, im: Any) -> Any:
        """Return the complex value of two parts, of which this is one."""
        return complex_value(re, im)

    def frozen(self) -> Variable:
        """Return the value under a handle of its own, which later assignments through this one do not reach."""
        self.check_fresh()
        return type(self)(self._tape, self._slot, self._value)

    def check_fresh(self) -> None:
        """Take a view again if the memory that it shows was written to; put what was written in its place."""
        if self._view is not None or self._writes is not None:
            self._refresh()

    def _owner(self) -> Variable:
        """Return the array that owns the memory."""
        owner = self
        while owner._view is not None:
            owner = owner._view.base
        return owner

    def _refresh(self) -> bool:
        """Take a view again if the memory that it shows was written to; tell whether it was."""
        if self._writes is not None:
            writes, self._writes = self._writes, None
            self._adopt(writes.settled(self))
            return True
        view = self._view
        if view is not None and view.base._view is None and view.seen == view.base._version:
            return False  # by far the most frequent
        links = chain(self)
        version = links[-1]._version
        changed = False
        for link in reversed(links[:-1]):
            if link._view.seen != version:
                link._adopt(link._view.take())
                link._view.seen = version
                changed = True
        return changed

    # In-place assignment re-binds the handle to a new slot.

    def __setitem__(self, index: Any, value: Any) -> None:
        index = concrete_index(index)
        value = entered(value)
        if self._waits(index, value):
            return
        self.check_fresh()
        if isinstance(value, Traced) and value.dtype != self.dtype:
            value = value.astype(self.dtype)
        self._rebind(indexing.setitem(self, index, value))

    def _waits(self, index: Any, value: Any) -> bool:
        """Keep what is written to a row or an element until the array is read, where that changes nothing else."""
        tape = self._tape
        # What is written to an argument is looked at by those who gave it.
        if self._view is not None or tape.closed or tape.instructions[self._slot] is None or self.dtype.kind != "f":
            return False
        place = placed(index, self)
        if place is None:
            return False
        axes, key = place
        if isinstance(value, Variable):
            value.check_fresh()
            value = value if value.dtype == self.dtype else value.astype(self.dtype)
            if value._tape is not tape:
                return False
        elif isinstance(value, Traced) or np.asarray(value).dtype.kind not in "fiub":
            return False
        else:
            value = np.array(value, self.dtype)[()]
        if value.shape != tuple([n for axis, n in enumerate(self.shape) if axis not in axes]):
            return False
        if not value.shape and isinstance(value, Variable) and not value.is_number:
            return False
        if self._writes is None or self._writes.axes != axes:
            self.check_fresh()
            self._writes = Writes(axes)
        self._writes.pieces[key] = value.frozen() if isinstance(value, Variable) else value
        self._version += 1
        return True

    def __getitem__(self, index: Any) -> Any:
        if self._writes is not None and not indexing.has_computed(index):
            index = concrete_index(index)
            parts = indexing.expand_index(index, self.ndim)
            if parts is not None and None not in parts and not indexing.has_ellipsis(index):
                written = self._writes.read(self, parts)
                if written is not None:
                    return written
        return super().__getitem__(index)

    def sort(self, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
        """Sort in place, as ``ndarray.sort``; ``np.sort`` returns a sorted copy."""
        self._rebind(np.sort(self, axis=axis, kind=kind, order=order, stable=stable))

    def fill(self, value: Any) -> None:
        """Assign one value to every element, as ``ndarray.fill``."""
        if np.ndim(entered(value)):
            raise ValueError("setting an array element with a sequence.")
        self[...] = value

    def _rebind(self, new: Any) -> Variable:
        """Become ``new``; a view writes through to the array that owns the memory."""
        if self.is_number:
            what = f"a number is changed in place at {user_line()}"
            raise DtypeError(
                message("in-place assignment", what, "NumPy's numbers are immutable", "Bind the name to a new value")
            )
        new = new if new.dtype == self.dtype else new.astype(self.dtype)
        if self._tape.regrouped:
            self.depends_on_memory()
        links, value = chain(self), new
        for link in links[:-1]:
            value = link._view.put(value)
        owner = links[-1]
        owner._writes = None  # in their place, or written over
        owner._adopt(value)
        owner._version += 1
        # A view that does not lie in memory as the new values do is taken again.
        if self._view is not None and primal_array(new).strides == primal_array(self).strides:
            self._adopt(new)
            self._view.seen = owner._version
        return self

    def _adopt(self, new: Any) -> None:
        """Stand for another slot from now on; an array that owns its memory lies there as before."""
        value = new._value if self._view is not None else lying_as(self._value, new._value)
        self._tape, self.trace_level, self._slot, self._value = new._tape, new.trace_level, new._slot, value

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
        if (self.ndim == 0 and (dtype is None or np.dtype(dtype).hasobject)) or asked_by_sparse():
            # A 0-d object array is NumPy's way of saying "not an array": lists of scalars keep their derivatives in it,
            # and a sparse matrix then leaves the product to __rmatmul__.
            holder = np.empty((), dtype=object)
            holder[()] = self
            return holder
        return leaves_tape("conversion to a plain array")

    def _guarded(self, dtype: Any = None) -> np.ndarray:
        """Let a value without derivative leave, and note what was seen."""
        self.check_fresh()
        if self._tape.private and self._tape.closed:
            self._tape.refuse("conversion to plain numbers")
        plain = primal_array(self)
        seen = np.array(plain)
        self._tape.guards.append((self._slot, seen))
        if isinstance(self._value, Variable):
            self._value._guarded()  # the layers outside see the value leave as well
        # The guard keeps the value as it was computed, whatever dtype it is wanted in.
        return np.array(plain, dtype=dtype or plain.dtype)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        if sys._getframe(1).f_globals.get("__name__", "").startswith("scipy.optimize."):
            # What it gives is as flat in its arguments as the ends of a bracket, or has the digits of an unfinished iteration.
            leaves_tape("a branch of a solver")
        nonzero: Any = np.not_equal(self, 0)
        return bool(nonzero._guarded())

    def __int__(self) -> int:
        if self.carries_derivative:
            return leaves_tape("int(x)")
        return int(self._guarded())

    def __index__(self) -> int:
        if self.carries_derivative or self.dtype.kind not in "iu":
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


class Array(Elements, Variable):
    """A traced array: what asks for its type hears ``np.ndarray``."""

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return Array if sparse_is_asking() else np.ndarray


class Number(RoundedToIntegers, Elementary, Variable, Uniterable, metaclass=NumberType):
    """A traced number: what asks for its type hears NumPy's scalar type, such as ``np.float64``, which is a ``float``."""

    __slots__ = ()
    is_number = True

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return Number if sparse_is_asking() else self.dtype.type


def variable(tape: Tape, slot: int, value: Any) -> Variable:
    """Return the handle of a slot: a number where NumPy has a scalar."""
    return (Number if _is_number(value) else Array)(tape, slot, value)


def _is_number(value: Any) -> bool:
    return value.is_number if isinstance(value, Variable) else isinstance(value, np.generic)


def _at(tape: Tape, slot: int) -> Variable:
    return variable(tape, slot, tape.values[slot])
