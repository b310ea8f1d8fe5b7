"""The arguments of a recorded function: what is an input, what is static, and the key by which recordings are found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hessian.rules.spec import Traced
from hessian.tape.numbers import has_own_rules
from hessian.tape.trees import Structure, flatten, is_foreign, only_numbers

_PLAIN = frozenset(np.dtype(name) for name in ("f8", "f4", "i8", "i4", "u1", "?"))
_STATIC = (str, int, bool, type(None), np.integer, np.bool_)


class Arguments:
    """Positional and keyword arguments of one call, taken apart.

    Parameters
    ----------
    varied : sequence of int
        Numbers of the arguments in which every float is an input, in lists as well: those that are differentiated.
    static_floats : bool
        Whether Python floats are static.

    Attributes
    ----------
    key : hashable
        Shapes, dtypes and structure of the inputs and the values of what is static.
    inputs : list of ndarray
        Array leaves, in order; Python floats among them, unless some array has another precision: a number takes that of
        each array it meets, which an input cannot, so it is static then.
    numbers : bool
        Whether a Python float is an input.
    traced : bool
        Whether a leaf is a traced value: somebody else is recording.

    Notes
    -----
    A list or tuple of numbers is static and handed on as it is: it may be an index, a shape, or an operand of ``+``.
    """

    __slots__ = ("_is_input", "_varied", "inputs", "key", "leaves", "numbers", "structure", "traced")

    def __init__(
        self,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        varied: Iterable[int] = (),
        static_floats: bool = False,
    ) -> None:
        self.traced = self.numbers = False
        self.structure: Structure | None = None
        if not kwargs and all(type(arg) is np.ndarray and arg.dtype in _PLAIN for arg in args):
            # By far the most frequent, and the only case where microseconds count.
            self.inputs: list[Any] = list(args)
            self.key: Any = tuple([(arg.shape, arg.dtype) for arg in args])
            return
        positions = {i % len(args) for i in varied if -len(args) <= i < len(args)}
        parts = [flatten(arg, None if i in positions else _is_static) for i, arg in enumerate(args)]
        named, names = flatten(dict(kwargs), _is_static)
        # A list that its owner changes later stays as it was.
        self.leaves = [_copied(leaf) for leaves in (*(leaves for leaves, _ in parts), named) for leaf in leaves]
        self.structure = Structure(tuple, (), (Structure(tuple, (), tuple(shape for _, shape in parts)), names))
        self._varied = [i in positions for i, (leaves, _) in enumerate(parts) for _ in leaves] + [False] * len(named)
        self._take_apart(self.leaves, static_floats)

    def _take_apart(self, leaves: list[Any], static_floats: bool) -> None:
        self.inputs = []
        self._is_input: list[bool] = []
        keys: list[Any] = []
        floats = [leaf.dtype for leaf in leaves if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind == "f"]
        static_floats = static_floats or any(dtype != np.float64 for dtype in floats)
        for leaf, varied in zip(leaves, self._varied, strict=True):
            before = len(self.inputs)
            if isinstance(leaf, Traced):
                self.traced = True
                keys.append(None)
            elif isinstance(leaf, _STATIC):
                keys.append((type(leaf), leaf))
            elif type(leaf) is float and varied:
                self.inputs.append(np.float64(leaf))
                keys.append(("number",))
            elif type(leaf) is float and not static_floats:
                self.numbers = True
                self.inputs.append(np.float64(leaf))
                keys.append(("float",))
            elif type(leaf) is float or isinstance(leaf, list | tuple):
                keys.append(_contents(leaf))
            else:
                self._take_leaf(leaf, keys)
            self._is_input.append(len(self.inputs) > before)
        self.key = (self.structure, tuple(keys))

    def _take_leaf(self, leaf: Any, keys: list[Any]) -> None:
        plain = isinstance(leaf, np.generic) or (isinstance(leaf, np.ndarray) and not has_own_rules(leaf))
        array = np.asarray(leaf) if plain else None
        if array is not None and array.dtype.hasobject and any(isinstance(x, Traced) for x in array.ravel().tolist()):
            self.traced = True
        elif array is not None and array.dtype.kind in "fiub":
            native = array.dtype.newbyteorder("=")
            array = array if native == array.dtype else array.astype(native)
            self.inputs.append(array)
            keys.append((array.shape, native))
        else:
            # Anything else is static, known by its identity; what it holds is state that the verification watches.
            keys.append(("object", Identity(leaf)))

    def order(self) -> tuple[Any, ...]:
        """Return in which order the inputs lie in memory, empty if all are as NumPy makes them."""
        strides = [None if x.ndim < 2 or x.flags.c_contiguous else x.strides for x in self.inputs]
        return tuple(strides) if any(strides) else ()

    def rebuild(self, values: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments with other values in place of the inputs."""
        supply = iter(values)
        if self.structure is None:
            return list(supply), {}
        leaves = [next(supply) if at else _copied(leaf) for leaf, at in zip(self.leaves, self._is_input, strict=True)]
        args, kwargs = self.structure.build(leaves)
        return list(args), kwargs


def _is_static(tree: Any) -> bool:
    """Tell a list of numbers, and a container of somebody's own class, which only its owner can take apart."""
    return only_numbers(tree) or is_foreign(tree)


def _contents(leaf: Any) -> Any:
    """Return the key of a number or a list of numbers: the sign of a zero and the type tell apart what compares equal."""
    if isinstance(leaf, list | tuple):
        return type(leaf), tuple([_contents(part) for part in leaf])
    return type(leaf), repr(leaf) if isinstance(leaf, float) else leaf


def _copied(leaf: Any) -> Any:
    """Return a leaf that may be changed without changing the caller's."""
    if type(leaf) is list:
        return [_copied(part) for part in leaf]
    return tuple([_copied(part) for part in leaf]) if type(leaf) is tuple else leaf


class Identity:
    """An object as a key: equal to itself alone, and kept alive."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __reduce__(self) -> Any:
        raise TypeError("a recording for an object that is known by its identity cannot be pickled")
