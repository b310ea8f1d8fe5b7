"""Attributes and methods of ndarray on traced values."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import DtypeError, message
from hessian.rules import indexing, shaping
from hessian.rules.memory import in_order
from hessian.rules.pairs import Parts, joined
from hessian.rules.shaping import astype_op, cast_op
from hessian.rules.traced import Traced, entered, holds_traced
from hessian.tape.advice import leaves_tape, user_line


class ArrayMethods(Traced):
    """Mixin: shape, indexing and the methods of arrays; a subclass holds the primal."""

    __slots__ = ()

    _value: Any

    # Shape and type.

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the primal value."""
        return self._value.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the primal value."""
        return self._value.ndim

    @property
    def size(self) -> int:
        """Number of elements of the primal value."""
        return self._value.size

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the primal value."""
        return self._value.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    def __getitem__(self, index: Any) -> Any:
        if indexing.has_computed(index):
            parts = index if isinstance(index, tuple) else (index,)
            return indexing.getitem_computed(
                self, tuple([part if indexing.has_computed(part) else concrete_index(part) for part in parts])
            )
        return indexing.getitem(self, concrete_index(index))

    # Methods of ndarray.

    @property
    def T(self) -> Any:
        """The array with its axes reversed."""
        return np.transpose(self)

    @property
    def mT(self) -> Any:
        """The array with its last two axes exchanged."""
        return np.swapaxes(self, -1, -2)

    @property
    def real(self) -> Any:
        """The real part: of real numbers the array itself."""
        return self._part(0)

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> Any:
        """The imaginary part: of real numbers zeros."""
        return self._part(1)

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            raise TypeError("array does not have imaginary part to set")
        self.imag[...] = value

    def _part(self, i: int) -> Any:
        if not i:
            return self
        return np.zeros_like(self)[()] if self.is_number else np.zeros_like(self)

    def conj(self) -> Any:
        """Return the array itself, as ``ndarray.conj`` does for real numbers."""
        return self

    conjugate = conj

    @property
    def flat(self) -> Any:
        """The array raveled; writing to it always reaches the array."""
        if self.ndim < 2 or self.lies_in("C"):
            return shaping.reshape(self, (self.size,))
        # Where a reshaped array would be a copy.
        return indexing.gather_view_op(self, positions=indexing.Positions(np.arange(self.size), self.shape))

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """Reshape, as ``ndarray.reshape``."""
        return shaping.reshape(self, shape[0] if len(shape) == 1 else shape, order)

    def transpose(self, *axes: Any) -> Any:
        """Permute axes, as ``ndarray.transpose``."""
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) if axes and axes[0] is not None else None)

    def flatten(self, order: str = "C") -> Any:
        """Ravel into a copy, as ``ndarray.flatten``."""
        return shaping.ravel(self, order).apart()

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """Cast to another dtype, as ``ndarray.astype``; a cast to integers carries no derivative."""
        dtype = np.dtype(dtype)
        if not np.can_cast(self.dtype, dtype, casting):
            what = f"{self.dtype} is not cast to {dtype} by casting={casting!r}"
            raise DtypeError(message("astype", what, fix="Leave out casting= where digits may be lost"))
        order = ("F" if self.lies_in("F") and not self.lies_in("C") else "C") if order == "A" else order
        return in_order(self._cast(dtype, copy), order)

    def _cast(self, dtype: np.dtype[Any], copy: bool) -> Any:
        if dtype.kind == "c":
            return joined(self.astype(dtype.type().real.dtype), None)
        if dtype.kind not in "fiub":
            what = f"a traced value as {dtype} at {user_line()}"
            raise DtypeError(message("astype", what, "only numbers are differentiated", "Keep them as floats"))
        if dtype == self.dtype:
            return np.copy(self) if copy and not self.is_number else self
        if dtype.kind != "f" or self.dtype.kind != "f":
            return cast_op(self, dtype=dtype)
        return astype_op(self, dtype=dtype, source=self.dtype)

    def copy(self, order: str = "C") -> Any:
        """Copy, as ``ndarray.copy``."""
        return shaping.copied(self, order)

    def squeeze(self, axis: Any = None) -> Any:
        """Drop axes of length one, as ``ndarray.squeeze``."""
        return self if self.is_number and axis in (None, ()) else np.squeeze(self, axis)

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Any:
        """Select slices, as ``ndarray.compress``: the condition comes first in the function, the array in the method."""
        return np.compress(condition, self, axis=axis, out=out)

    def put(self, indices: Any, values: Any, mode: Any = "raise") -> None:
        """Write to flat places, as ``ndarray.put``."""
        target: Any = self
        np.put(target, indices, values, mode=mode)

    def nonzero(self) -> tuple[np.ndarray, ...]:
        """Return indices of nonzero elements as plain arrays."""
        return np.nonzero(np.asarray(np.not_equal(self, 0)))

    def item(self, *args: Any) -> Any:
        """Refuse: a Python number carries no derivative."""
        return leaves_tape("item()")

    def tolist(self) -> Any:
        """Refuse: Python numbers carry no derivative."""
        return leaves_tape("tolist()")

    def __float__(self) -> float:
        return leaves_tape("float(x)")

    def __complex__(self) -> complex:
        return leaves_tape("complex(x)", "Use x + 0j, and a + 1j * b for complex(a, b)")

    def __format__(self, spec: str) -> str:
        return format(primal_array(self)[()], spec) if spec else repr(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        fix = f" Use np.{name}(x)." if callable(getattr(np, name, None)) else ""
        raise AttributeError(f"a traced value has no attribute {name!r} (at {user_line()}).{fix}", name=name, obj=self)


def concrete_index(index: Any) -> Any:
    """Replace traced masks and integer indices by plain arrays; each becomes a guard of its recording."""
    kind = type(index)
    if kind is int or (kind is np.ndarray and not index.dtype.hasobject):
        return index
    if kind is not tuple and holds_traced(index):
        index = entered(index)
    if kind is tuple:
        return tuple([concrete_index(part) for part in index])
    if kind is slice:
        if not any(isinstance(part, Traced) for part in (index.start, index.stop, index.step)):
            return index
        return slice(*(concrete_index(part) for part in (index.start, index.stop, index.step)))
    if isinstance(index, Traced):
        if index.dtype.kind not in "iub":
            return leaves_tape("index of floats", "An index must be an integer or boolean array")
        return np.asarray(index)[()]
    return index


def primal_array(x: Any) -> np.ndarray:
    """Return the plain array underneath any number of traced layers."""
    while isinstance(x, ArrayMethods):
        x = x._value
    if type(x) is np.ndarray:
        return x
    if isinstance(x, Parts):
        return np.asarray(joined(*(None if part is None else primal_array(part) for part in x)))
    return np.asarray(x)


def _delegate(name: str, function: Any) -> None:
    """Give the mixin an array method that is a NumPy function of the same name."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"Call ``np.{function.__name__}`` on this array."
    setattr(ArrayMethods, name, method)


for _name in (
    *("sum", "mean", "prod", "max", "min", "var", "std", "ptp", "any", "all", "cumsum", "cumprod"),
    *("ravel", "swapaxes", "repeat", "take", "diagonal", "trace", "dot", "clip", "round"),
    *("argmax", "argmin", "argsort", "searchsorted"),
):
    _delegate(_name, getattr(np, _name))
