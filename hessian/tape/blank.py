"""Plain arrays made inside a traced function, which become traced when a traced value is written to them.

NumPy lets no library into ``np.zeros(n)``, and an ndarray cannot hold traced values. While a function is traced its own
``np.zeros``, ``np.array``, ... give a :class:`Blank` instead (:mod:`hessian.tape.creation`): it holds an ndarray and does what
that does, as fast as Python lets it, until ``y[i] = x[0]`` turns it into a traced array in place: the object stays, its class
changes. Views know what they were taken from, so that a write through any of them reaches all. The plain memory, at which other code
may still be looking, is filled with NaN at that moment: a stale number would be silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hessian.errors import LeavesTapeError, message
from hessian.rules.pairs import joined, parts_of
from hessian.rules.spec import OPERATIONS, Traced
from hessian.rules.traced import PLAIN, entered, holds_traced
from hessian.tape.advice import user_line
from hessian.tape.array_methods import concrete_index
from hessian.tape.handle import Handle
from hessian.tape.passthrough import sparse_is_asking
from hessian.tape.variable import Array, Number

_SET_CLASS = object.__dict__["__class__"].__set__
_NO_ATTRIBUTES = frozenset(("data", "ctypes", "base", "__array_interface__", "__array_struct__", "__dlpack__"))
"""Ways to the memory itself."""
_WRITING = frozenset(("sort", "fill", "put", "partition", "itemset", "resize", "setfield", "byteswap", "setflags"))
_WRITERS = (np.copyto, np.fill_diagonal, np.put, np.place, np.putmask, np.put_along_axis)


class Blank(Handle):
    """An array without derivative that may become traced.

    ``_value`` is the ndarray, ``_view`` the blank whose memory it shows and what takes it again, or ``None`` where the memory is
    its own.
    """

    __slots__ = ()
    __array_priority__ = 999.0
    __pandas_priority__ = 6000  # tables and series leave arithmetic to the array
    __hash__ = None  # type: ignore[assignment]

    _value: Any
    _view: Any

    def __init__(self, value: np.ndarray, view: tuple[Blank, Callable[[], Any]] | None = None) -> None:
        self._value, self._view = value, view
        self._tape = self._writes = None
        self._slot, self._version = -1, 0
        self.trace_level = -1.0

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return Blank if sparse_is_asking() else np.ndarray

    def __getattr__(self, name: str) -> Any:
        if name in _NO_ATTRIBUTES:
            raise AttributeError(f"'{name}' of an array made inside a traced function")
        value = plain(self)
        if name == "flat" and value is not self and value.flags.c_contiguous:
            return self.reshape(-1)
        found = getattr(value, name)
        if value is self or not callable(found):
            return found if value is self else wrapped(found, [self], lambda: getattr(self, name))

        def method(*args: Any, **keywords: Any) -> Any:
            if name in _WRITING and holds_traced([*args, *keywords.values()]):
                self.become_traced([*args, *keywords.values()])
            if name == "dot" and holds_traced(args):
                return np.dot(plain(self), *args)
            here = plain(self)
            result = getattr(here, name)(*map(plain, args), **{key: plain(x) for key, x in keywords.items()})
            if here is self:
                return result
            return wrapped(result, [self], lambda: getattr(self, name)(*args, **keywords))

        return method

    @property
    def real(self) -> Any:
        """The real part: of real numbers the array itself."""
        return self.__getattr__("real")

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> Any:
        """The imaginary part: of real numbers zeros."""
        return self.__getattr__("imag")

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            raise TypeError("array does not have imaginary part to set")
        self.imag[...] = value

    @property
    def shape(self) -> Any:
        """Length of each axis."""
        return plain(self).shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        what = f"the shape of an array made inside a traced function is set, at {user_line()}"
        raise LeavesTapeError(message("shape", what, fix="Write y = y.reshape(shape)"))

    def settled(self) -> Any:
        """Return the ndarray, or the traced array that this has become."""
        return plain(self)

    def become_traced(self, values: Any) -> None:
        """Turn the array that owns the memory, and this view of it, into traced arrays on the innermost tape of some values."""
        owner = _links(self)[-1]
        if type(owner) is Blank:
            example = max(_real_parts(values), key=lambda value: value.trace_level)
            numbers = owner._value
            traced = _traced_copy(example, numbers)
            # Whoever else holds the memory neither reads what is stale nor writes what is lost.
            numbers.fill(np.nan)
            numbers.flags.writeable = False
            _become(owner, traced)
        plain(self)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        value = plain(self)
        if value is self:
            return value.__array__(dtype, copy)
        return np.array(value, dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        targets = inputs[:1] if method == "at" else keywords.get("out", ())
        if targets and holds_traced([*inputs[method == "at" :], *keywords.values()]):
            for target in targets:
                if type(target) is Blank:
                    target.become_traced([*inputs, *keywords.values()])
        if targets and method != "at":
            keywords["out"] = tuple(map(plain, targets))
        if "where" in keywords:
            keywords["where"] = plain(keywords["where"])
        result = getattr(ufunc, method)(*map(plain, inputs), **keywords)
        return wrapped(result, targets)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in _WRITERS and args and type(args[0]) is Blank and holds_traced([*args[1:], *kwargs.values()]):
            args[0].become_traced([*args[1:], *kwargs.values()])
        if type(kwargs.get("out")) is Blank and holds_traced([*args]):
            kwargs["out"].become_traced(args)
        result = function(*unwrapped(args), **unwrapped(kwargs))
        return wrapped(result, list(_arrays_in([*args, *kwargs.values()])), lambda: function(*args, **kwargs))

    def __getitem__(self, index: Any) -> Any:
        value, index = plain(self), _index(index)
        if value is self:
            return value[index]
        return wrapped(value[index], [self], lambda: self[index])

    def __setitem__(self, index: Any, item: Any) -> None:
        if type(item) not in PLAIN and holds_traced(item):
            self.become_traced(item)
        plain(self)[_index(index)] = item if type(item) in PLAIN else plain(item)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        return len(plain(self))

    def __contains__(self, x: Any) -> bool:
        return x in plain(self)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return plain(self).__reduce_ex__(protocol)

    def __format__(self, spec: str) -> str:
        return format(plain(self), spec)


def _index(index: Any) -> Any:
    """Return an index of plain numbers."""
    if isinstance(index, tuple):
        return tuple(plain(part) for part in concrete_index(index))
    return plain(concrete_index(index))


def _delegated(name: str) -> Callable[..., Any]:
    """Return a special method that does what that of the array does."""

    def method(self: Any, *args: Any) -> Any:
        value = plain(self)
        if value is self:
            return getattr(value, name)(*args)
        result = getattr(value, name)(*map(plain, args))
        return wrapped(result)

    return method


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if holds_traced(other):
            self.become_traced(other)
        value = plain(self)
        if value is self:
            return getattr(value, name)(other)
        getattr(value, name)(plain(other))
        return self

    return method


for _operation in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Blank, f"__{_operation}__", _delegated(f"__{_operation}__"))
    setattr(Blank, f"__r{_operation}__", _delegated(f"__r{_operation}__"))
    setattr(Blank, f"__i{_operation}__", _in_place(f"__i{_operation}__"))
for _name in (
    "neg",
    "pos",
    "abs",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "divmod",
    "rdivmod",
    "bool",
    "int",
    "float",
    "complex",
):
    setattr(Blank, f"__{_name}__", _delegated(f"__{_name}__"))
for _name in ("index", "repr", "str"):
    setattr(Blank, f"__{_name}__", _delegated(f"__{_name}__"))


def blank(result: Any) -> Any:
    """Return a new array of floats, whose memory is its own, as one that may become traced; anything else as it is."""
    is_new = type(result) is np.ndarray and result.dtype.kind in "fc" and result.base is None
    return Blank(result) if is_new else result


def wrapped(result: Any, sources: Any = (), again: Callable[[], Any] | None = None) -> Any:
    """Return the result of a plain call: new arrays of floats may become traced, what shows the memory of a blank with it.

    ``sources`` are all arrays that took part, ``again`` makes the call once more: what shows the memory of others stays as it is.
    """
    if type(result) in (list, tuple):
        return type(result)([wrapped(x, sources, again and _part_of(again, i)) for i, x in enumerate(result)])
    if type(result) is not np.ndarray or result.dtype.kind not in "fc":
        return result
    for source in sources:
        memory = source._value if type(source) is Blank else source
        if isinstance(memory, np.ndarray) and np.may_share_memory(result, memory):
            return shown(result, source, again) if type(source) is Blank else result
    return Blank(result)


def shown(result: np.ndarray, source: Blank, again: Callable[[], Any] | None) -> Any:
    """Return an array in the memory of a blank as a view of it, or as the blank where it is all of it."""
    memory = source._value
    same = result.shape == memory.shape and result.strides == memory.strides and result.dtype == memory.dtype
    if same and (
        again is None or (_address(result) == _address(memory) and result.flags.writeable == memory.flags.writeable)
    ):
        return source
    return Blank(result, (source, again)) if again else source


def _address(x: np.ndarray) -> int:
    return x.__array_interface__["data"][0]


def _arrays_in(values: Any) -> Iterator[Any]:
    if type(values) in (list, tuple):
        for value in values:
            yield from _arrays_in(value)
    elif isinstance(values, np.ndarray) and not isinstance(values, Traced):
        yield values


def _part_of(again: Callable[[], Any], i: int) -> Callable[[], Any]:
    return lambda: again()[i]


def _links(x: Any) -> list[Any]:
    """Return a blank and what it was taken from, down to what owns the memory, or has become traced."""
    links = [x]
    while type(links[-1]) is Blank and links[-1]._view is not None:
        links.append(links[-1]._view[0])
    return links


def plain(x: Any) -> Any:
    """Return the ndarray of a blank, a blank that has become traced as it now is, anything else as it is."""
    if type(x) is not Blank:
        return x
    links = _links(x)
    if type(links[-1]) is Blank:
        return x._value
    for link in reversed(links[:-1]):
        source, again = link._view
        _become(link, _taken(source, again, link._value.shape))
    return x


def _taken(source: Any, again: Callable[[], Any], shape: tuple[int, ...]) -> Any:
    """Take a view of what is a traced array by now."""
    view = again()
    whole = [source, *parts_of(source)]
    view = view[...] if any(view is x for x in whole) else view
    shows: Any = parts_of(view).some if isinstance(view, Traced) and view.shape == shape else None
    owners = [part._owner() for part in whole[1:] if isinstance(part, Traced)]
    if shows is None or shows._view is None or all(shows._owner() is not owner for owner in owners):
        what = f"what shows the memory of an array made in the function that became traced, at {user_line()}"
        raise LeavesTapeError(
            message("view", what, "it shows nothing any more", "Take it after the first traced value is written")
        )
    return view


def unwrapped(tree: Any) -> Any:
    """Return lists, tuples and dicts with plain arrays in place of blanks."""
    if type(tree) is Blank:
        return plain(tree)
    if type(tree) in (list, tuple):
        return type(tree)([unwrapped(part) for part in tree])
    if type(tree) is dict:
        return {key: unwrapped(part) for key, part in tree.items()}
    return tree


def _traced_in(values: Any) -> Iterator[Any]:
    if isinstance(values, Traced):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _traced_in(value)
    elif holds_traced(values):
        yield entered(values)


def _real_parts(values: Any) -> Iterator[Any]:
    """Yield the traced values, of complex ones the traced parts."""
    for value in _traced_in(values):
        yield from (part for part in parts_of(value) if isinstance(part, Traced))


def _traced_copy(example: Any, numbers: np.ndarray) -> Any:
    """Return plain numbers as a traced array on the tape of an example, lying in memory as they do."""
    if numbers.dtype.kind == "c":
        return joined(_traced_copy(example, numbers.real), _traced_copy(example, numbers.imag))
    traced = example.trace_apply(OPERATIONS["positive"], (numbers.copy(order="K"),), {})
    # Of an array without axes NumPy's operations make numbers, which cannot be written to.
    return Array(traced._tape, traced._slot, traced._value) if type(traced) is Number else traced


def _become(x: Blank, traced: Any) -> None:
    """Make an object the handle of a traced array."""
    for name in Handle.__slots__:
        setattr(x, name, getattr(traced, name))
    _SET_CLASS(x, type(traced))
