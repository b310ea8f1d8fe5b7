"""Traced complex values: pairs of real ones that look like complex arrays.

Nothing complex is ever written on a tape. An operation that meets a pair is applied by :func:`hessian.rules.pairs.applied`, in operations
on the parts; so is one of whose real operands NumPy makes complex numbers. Both parts are arrays of their own that follow NumPy's
memory: what is written to ``z``, to a view of it or to ``z.real`` reaches all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import DtypeError, ShapeMismatchError, message
from hessian.rules.memory import in_order
from hessian.rules.operation import Operation
from hessian.rules.pairs import Parts, applied, in_precision, parts_of, real_dtype
from hessian.rules.spec import OPERATIONS
from hessian.rules.traced import Traced, entered
from hessian.tape.advice import leaves_tape, user_line
from hessian.tape.array_methods import concrete_index, primal_array
from hessian.tape.array_operators import InPlaceOperators
from hessian.tape.array_protocol import ArrayProtocol, carries_derivative
from hessian.tape.handle import Handle
from hessian.tape.kinds import Elements, NumberType, Uniterable
from hessian.tape.memory import lying_by
from hessian.tape.passthrough import asked_by_sparse, sparse_is_asking
from hessian.tape.views import StridedView


class ComplexValue(Handle, InPlaceOperators, ArrayProtocol):
    """A pair of real values: a :class:`ComplexArray`, or a :class:`ComplexNumber` where NumPy has a scalar.

    Attributes
    ----------
    _value : Parts
        The two, at least one of which is traced; ``None`` for one that is exactly zero.
    """

    __slots__ = ()
    _value: Any

    def __init__(self, parts: Parts) -> None:
        self._value = parts
        self._tape = self._view = self._writes = None
        self._slot, self._version = -1, 0
        self.trace_level = np.inf  # beside real values, of whatever tapes, it decides

    @property
    def parts(self) -> Parts:
        """Real and imaginary part."""
        return self._value

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of both parts."""
        return self._value.some.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._value.some.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._value.some.size

    @property
    def dtype(self) -> np.dtype:
        """``complex64`` of parts in single precision, else ``complex128``."""
        return np.result_type(np.complex64, *(part.dtype for part in self._value if part is not None))

    @property
    def carries_derivative(self) -> bool:
        """Whether turning the value into plain numbers would lose a derivative."""
        return carries_derivative([part for part in self._value if part is not None])

    @property
    def will_change(self) -> bool:
        """Whether the numbers held now are an example: a tape will be replayed on others."""
        return any(isinstance(part, Traced) and part.will_change for part in self._value)

    def __repr__(self) -> str:
        return f"ComplexValue({primal_array(self)!r})"

    def trace_apply(self, operation: Operation, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Apply an operation to the parts."""
        return applied(operation, [entered(x) for x in operands], params)

    def frozen(self) -> Any:
        """Return the value under a handle of its own, which later assignments through this one do not reach."""
        return complex_value(*(part.frozen() if isinstance(part, Traced) else part for part in self._value))

    def apart(self) -> Any:
        """Return the value as a copy of its own."""
        return self.frozen()

    def check_fresh(self) -> None:
        """Take parts that are views again if the memory that they show was written to."""
        for part in self._value:
            if isinstance(part, Handle):
                part.check_fresh()  # type: ignore[attr-defined]

    # Parts.

    def in_memory(self) -> Parts:
        """Return both parts as traced arrays, the same ones from now on: what is written to them is written to the value."""
        parts = self._value
        if not all(isinstance(part, Traced) for part in parts):
            example = next(part for part in parts if isinstance(part, Traced))
            traced = [part if isinstance(part, Traced) else traced_constant(example, part) for part in parts.both()]
            parts = self._value = Parts(*traced)
        return parts

    def _part(self, i: int) -> Any:
        """Return a part; writing to it writes to the value.

        It lies in memory as NumPy's does, every other number, so that what NumPy copies of it is a copy.
        """
        part = self.in_memory()[i]
        if not part.ndim:
            return part
        view = part[...]
        strides = tuple(2 * step for step in primal_array(part).strides)
        view._view = StridedView(view._view, strides)
        view._value = lying_by(view, strides)._value
        return view

    def conj(self) -> Any:
        """Return the complex conjugate."""
        return np.conjugate(self)

    conjugate = conj

    def __getitem__(self, index: Any) -> Any:
        self.in_memory()  # what is taken may be a view
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.is_number:
            what = f"a number is changed in place at {user_line()}"
            raise DtypeError(
                message("in-place assignment", what, "NumPy's numbers are immutable", "Bind the name to a new value")
            )
        index = concrete_index(index)
        for part, written in zip(self.in_memory(), parts_of(entered(value)), strict=True):
            part[index] = 0.0 if written is None else written

    def fill(self, value: Any) -> None:
        """Assign one value to every element, as ``ndarray.fill``."""
        self[...] = value

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """Cast to another complex dtype; a cast to real numbers would lose the imaginary part."""
        dtype = np.dtype(dtype)
        if dtype.kind != "c":
            what = f"complex numbers as {dtype} at {user_line()}"
            raise DtypeError(message("astype", what, "the imaginary part would be lost", "Use z.real"))
        order = ("F" if self.lies_in("F") and not self.lies_in("C") else "C") if order == "A" else order
        if dtype == self.dtype and not copy:
            return in_order(self, order)
        real = dtype.type().real.dtype
        cast = lambda part: part.astype(real) if isinstance(part, Traced) else np.asarray(part, real)[()]
        return in_order(complex_value(*(None if part is None else cast(part) for part in self._value)), order)

    def copy(self, order: str = "C") -> Any:
        """Copy, as ``ndarray.copy``."""
        return complex_value(*(part.copy(order) for part in self.in_memory()))

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """Reshape, as ``ndarray.reshape``."""
        self.in_memory()
        return super().reshape(*shape, order=order)

    def lies_in(self, order: str) -> bool:
        """Tell whether the numbers lie in memory in C order, or in Fortran order."""
        return self._value.some.lies_in(order) if isinstance(self._value.some, Traced) else order == "C"

    def memory_axes(self) -> tuple[int, ...]:
        """Return the axes from the slowest to the fastest in memory."""
        return next(part for part in self._value if isinstance(part, Traced)).memory_axes()

    def lying_in(self, axes: tuple[int, ...]) -> Any:
        """Return the value in memory of its own, whose axes go from the slowest to the fastest as given."""
        return complex_value(*(part.lying_in(axes) for part in self.in_memory()))

    # In place.

    def _in_place(self, new: Any) -> Any:
        if self.is_number:
            return new
        if new.shape != self.shape:
            what = f"the result has shape {new.shape}, the target {self.shape}"
            raise ShapeMismatchError(message("in-place operation", what, fix="Write y = y + x"))
        self[...] = new
        return self

    # Where a value would leave the tape.

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if not self.carries_derivative:
            return np.array(primal_array(complex_value(*map(_left, self._value))), dtype)
        if (self.ndim == 0 and (dtype is None or np.dtype(dtype).hasobject)) or asked_by_sparse():
            holder = np.empty((), dtype=object)
            holder[()] = self
            return holder
        return leaves_tape("conversion to a plain array")

    def __bool__(self) -> bool:
        return bool(np.not_equal(self, 0))

    def __complex__(self) -> complex:
        if self.carries_derivative:
            return leaves_tape("complex(z)", "Use functions of NumPy, such as np.exp(z) for cmath.exp(z)")
        return complex(self.__array__())

    def item(self, *args: Any) -> Any:
        """Return a Python number if the value carries no derivative; refuse otherwise."""
        return super().item(*args) if self.carries_derivative else self.__array__().item(*args)

    def tolist(self) -> Any:
        """Return Python numbers if the value carries no derivative; refuse otherwise."""
        return super().tolist() if self.carries_derivative else self.__array__().tolist()

    def __format__(self, spec: str) -> str:
        return format(primal_array(self)[()], spec) if spec else str(self)

    def __str__(self) -> str:
        return str(primal_array(self))


class ComplexArray(Elements, ComplexValue):
    """A traced complex array: what asks for its type hears ``np.ndarray``."""

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return ComplexArray if sparse_is_asking() else np.ndarray


class ComplexNumber(ComplexValue, Uniterable, metaclass=NumberType):
    """A traced complex number: what asks for its type hears ``np.complex128``, which is a ``complex``."""

    __slots__ = ()
    is_number = True

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return ComplexNumber if sparse_is_asking() else self.dtype.type


def complex_value(re: Any, im: Any) -> Any:
    """Return the pair of a real and an imaginary part, of which one at least is traced; the other may be ``None``."""
    # Both parts in one precision: what is computed of one of them is as exact as NumPy's complex numbers are.
    dtype = real_dtype(*(part.dtype for part in (re, im) if hasattr(part, "dtype")))
    re, im = (None if x is None else in_precision(_copied(x), dtype) for x in (re, im))
    shapes = {np.shape(part) for part in (re, im) if part is not None}
    if len(shapes) > 1:
        shape = np.broadcast_shapes(*shapes)
        re, im = (part if np.shape(part) == shape else np.positive(np.broadcast_to(part, shape)) for part in (re, im))
    present = [part for part in (re, im) if part is not None]
    is_number = any(x.is_number if isinstance(x, Traced) else not isinstance(x, np.ndarray) for x in present)
    if not present[0].ndim:
        re, im = (x if x is None else x[()] if is_number else np.reshape(x, ()) for x in (re, im))
    return (ComplexNumber if is_number else ComplexArray)(Parts(re, im))


def _copied(part: Any) -> Any:
    """Return a plain array as a copy: the function may write to its own later."""
    return np.array(part) if isinstance(part, np.ndarray) and not isinstance(part, Traced) else part


def traced_constant(example: Any, numbers: Any) -> Any:
    """Return plain numbers as a value of the tape of an example."""
    return example.trace_apply(
        OPERATIONS["positive"], (np.array(numbers)[()] if example.is_number else np.array(numbers),), {}
    )


def _left(part: Any) -> Any:
    """Return a part that carries no derivative as it leaves its tape."""
    return np.asarray(part) if isinstance(part, Traced) else part
