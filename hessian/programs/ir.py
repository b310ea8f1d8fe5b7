"""What a program is made of: nodes in the order they are computed, sections of nodes, and guards. None of it ever changes.

A node is made once: the builder folds constants, recognises what it has already, and asks its rules
(:mod:`hessian.programs.simplify`) whether there is a cheaper way to say the same. One pass in the order of the tape does all
of it, in time linear in its length.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hessian.rules.indexing import slice_op
from hessian.rules.shaping import broadcast_op, permute_op, reshape_op
from hessian.rules.spec import Operation

CONSTANT, POINT, DIRECTION = 0, 1, 2
"""Binding times: what a node depends on is nothing, the point, or the direction (in which it is linear)."""

VIEWS = (reshape_op, permute_op, slice_op, broadcast_op)
"""Operations whose results are views, but for reshaping what does not lie in order."""

_SERIAL = itertools.count()
_PLAIN = (int, float, str, np.dtype, type(None))
"""Parameters that are what they say."""


def is_ufunc(operation: Operation | None) -> bool:
    """Tell whether an operation is one call of a NumPy ufunc."""
    return operation is not None and isinstance(operation.function, np.ufunc)


class _Draft:
    """A node while it is being made: from then on it is a :class:`Node`, of which nothing changes."""

    __slots__ = ("args", "bitwise", "dtype", "level", "operation", "params", "serial", "shape", "size", "value")

    operation: Operation | None
    args: tuple[Node, ...]
    params: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype | None
    level: int
    value: Any
    bitwise: bool
    size: int
    serial: int


class Node(_Draft):
    """One value of a program.

    Attributes
    ----------
    operation : Operation or None
        ``None`` for inputs and constants.
    args : tuple of Node
    params : dict
    shape, dtype
        Of the value; ``dtype`` is ``None`` for a Python number, which adapts to what it meets.
    level : int
        The binding time: ``CONSTANT``, ``POINT`` or ``DIRECTION``.
    value : Any
        Of a constant.
    bitwise : bool
        Whether a guard or a returned value of the function itself depends on it: it is computed as the plain function does.
    size : int
        Number of elements.
    serial : int
        Order of creation: a node is younger than what it reads.
    """

    __slots__ = ()

    def __new__(
        cls,
        operation: Operation | None,
        args: tuple[Node, ...],
        params: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype | None,
        level: int,
        value: Any = None,
        bitwise: bool = False,
    ) -> Node:
        """Make a node. A frozen dataclass takes four times as long, and a program has thousands of them."""
        draft: Any = object.__new__(_Draft)
        draft.operation = operation
        draft.args = args
        draft.params = params
        draft.shape = shape
        draft.size = math.prod(shape)
        draft.dtype = dtype
        draft.level = level
        draft.value = value
        draft.bitwise = bitwise
        draft.serial = next(_SERIAL)
        draft.__class__ = cls
        return draft

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self!r} is part of programs: make another node")

    @property
    def is_constant(self) -> bool:
        """Whether the value is known."""
        return self.operation is None and self.value is not None

    def on(self, args: Iterable[Node]) -> Node:
        """Return the same operation on other nodes of the same shapes: itself, if they are the same ones."""
        args = tuple(args)
        if args == self.args:  # nodes are equal to themselves alone
            return self
        return Node(self.operation, args, self.params, self.shape, self.dtype, self.level, bitwise=self.bitwise)

    def scalar(self) -> Any:
        """Return the number a constant is, if all its elements are the same one, else ``None``."""
        if not self.is_constant:
            return None
        value = self.value
        if not isinstance(value, np.ndarray):
            return value
        if value.size == 1:
            return value.reshape(())[()]
        if not value.size:
            return None
        first = value[(0,) * value.ndim]
        if not any(stride for stride, n in zip(value.strides, value.shape, strict=True) if n > 1):
            return first
        # Weights 1/n of a mean, written out; a look at the last element spares most arrays the comparison.
        same = first == value[(-1,) * value.ndim] and value.size <= 2**16 and bool((value == first).all())
        if same and not first and value.dtype.kind == "f":
            # Zeros compare equal whatever their signs, which quotients and angles tell apart.
            same = bool((np.signbit(value) == np.signbit(first)).all())
        return first if same else None

    def __repr__(self) -> str:
        what = self.operation.name if self.operation else "constant" if self.is_constant else "input"
        return f"<{what} {self.dtype}{list(self.shape)}>"


@dataclass(frozen=True)
class Guard:
    """What must be seen again for a program to be the right one; ``early`` if the first output depends on it."""

    node: Node
    seen: np.ndarray
    early: bool


@dataclass(frozen=True)
class Section:
    """A stretch of a program that runs as one: its inputs, what it computes in order, its results and its guards.

    ``stands_for`` says which of its nodes have taken the place of nodes of the sections that a pass was given, by their serials.
    """

    name: str
    inputs: Sequence[Node]
    nodes: Sequence[Node]
    outputs: Sequence[Node]
    guards: Sequence[Guard] = ()
    stands_for: Mapping[int, Node] = field(default_factory=dict)

    @property
    def ends(self) -> list[Node]:
        """What must be there when it has run: results, and what guards look at."""
        return [*self.outputs, *(guard.node for guard in self.guards)]


class Builder:
    """Makes nodes, each of them once.

    Parameters
    ----------
    simplify : callable
        Given the builder and what :meth:`apply` is given, a node equal to it and cheaper, or ``None``.

    Attributes
    ----------
    no_algebra : bool
        Whether what is made now is part of the function's own value or of a guard: then no algebra, which rounds otherwise.
    bitwise : bool
        What the nodes made now are marked with.
    """

    def __init__(self, simplify: Callable[..., Node | None]) -> None:
        self._simplify = simplify
        self.no_algebra = False
        self.bitwise = False
        self._known: dict[Any, Node] = {}
        # What a key names by its identity must outlive the key.
        self._named: list[Any] = []

    def constant(self, value: Any) -> Node:
        """Return the node of a known value; equal small arrays and numbers share one."""
        if isinstance(value, np.ndarray):
            shape, dtype = value.shape, value.dtype
            if value.nbytes <= 4096:
                # The order in memory is that in which sums add up.
                key: Any = ("array", shape, value.strides, dtype, value.tobytes())
            else:
                self._named.append(value)
                key = ("array", id(value))
        else:
            shape, dtype = np.shape(value), value.dtype if isinstance(value, np.generic) else None
            # The sign of a zero and the type tell numbers apart that compare equal.
            key = ("number", type(value), repr(value))
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = Node(None, (), {}, shape, dtype, CONSTANT, value)
        return node

    def input(self, shape: tuple[int, ...], dtype: np.dtype, level: int) -> Node:
        """Return a new input."""
        return Node(None, (), {}, shape, dtype, level)

    def apply(
        self, operation: Operation, args: Sequence[Node], params: dict[str, Any], shape: tuple[int, ...], dtype: Any
    ) -> Node:
        """Return the node of an operation on nodes, or of something equal to it and cheaper."""
        args = tuple(args)
        for arg in args:
            if arg.level != CONSTANT:
                break
        else:
            return self.constant(_folded(operation, args, params, shape))
        better = self._simplify(self, operation, args, params, shape, dtype)
        return self.make(operation, args, params, shape, dtype) if better is None else better

    def make(
        self, operation: Operation, args: tuple[Node, ...], params: dict[str, Any], shape: tuple[int, ...], dtype: Any
    ) -> Node:
        """Return the node of an operation as it stands."""
        key = (operation, *[arg.serial for arg in args], self._parameter_key(params) if params else ())
        node = self._known.get(key)
        if node is None or (self.bitwise and not node.bitwise):
            # From now on whoever needs it finds the one that is computed as it is written.
            level = max([arg.level for arg in args])
            node = self._known[key] = Node(operation, args, params, shape, dtype, level, bitwise=self.bitwise)
        return node

    def known(self, operation: Operation, a: Node, b: Node) -> Node | None:
        """Return the node of an operation on two nodes without parameters, if it has been made."""
        return self._known.get((operation, a.serial, b.serial, ()))

    def _parameter_key(self, params: dict[str, Any]) -> Any:
        return tuple((name, self._hashable(value)) for name, value in params.items())

    def _hashable(self, value: Any) -> Any:
        if isinstance(value, slice):
            return ("slice", value.start, value.stop, value.step)
        if isinstance(value, tuple):
            return tuple(self._hashable(part) for part in value)
        if isinstance(value, _PLAIN):
            return type(value), value
        self._named.append(value)
        return ("object", id(value))


_ARITHMETIC = (np.add, np.subtract, np.multiply, np.divide, np.negative)


def _folded(operation: Operation, args: Sequence[Node], params: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """Evaluate an operation on constants; arithmetic with arrays of one number gives another such array, in the memory of one."""
    if shape and operation.function in _ARITHMETIC and not params:
        numbers = [arg.scalar() for arg in args]
        if all(number is not None for number in numbers):
            typed = [n if arg.dtype is None else arg.dtype.type(n) for n, arg in zip(numbers, args, strict=True)]
            return np.broadcast_to(evaluate(operation, typed, params), shape)
    return evaluate(operation, [arg.value for arg in args], params)


def evaluate(operation: Operation, values: Sequence[Any], params: dict[str, Any]) -> Any:
    """Evaluate an operation on plain values."""
    with np.errstate(all="ignore"):
        return operation.function(*values, **params)


def reachable(roots: Iterable[Node], done: Container[int] = ()) -> list[Node]:
    """Return the nodes that the roots need, themselves included, in the order they were made.

    Those whose serials are in ``done`` are left out, and what they need with them.
    """
    found: dict[int, Node] = {}
    pending = list(roots)
    while pending:
        node = pending.pop()
        serial = node.serial
        if serial not in found and serial not in done:
            found[serial] = node
            pending.extend(node.args)
    return [found[serial] for serial in sorted(found)]
