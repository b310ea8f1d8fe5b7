"""Containers of arrays and vectors: dicts, lists, tuples and dataclasses, nested, to leaves and back.

A list of numbers is a list, whatever happens to it: a function gets the structure it was given, and results have it too.
Only functions with SciPy's signature turn numbers and rectangular lists of numbers into arrays first (:func:`scipy_point`).
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Complex
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules import traced
from hessian.rules.pairs import joined
from hessian.rules.traced import Traced

_ARRAYS = (np.ndarray, np.generic)
_PLAIN_KINDS = (dict, list, tuple, OrderedDict, defaultdict)


@dataclass(frozen=True)
class Structure:
    """The shape of a container: what to rebuild around the leaves.

    ``kind`` is the class of the container, or ``None`` for a leaf. ``keys`` are the keys of a dict and the names of the
    fields of a dataclass. ``factory`` is that of a ``defaultdict``.
    """

    kind: type | None
    keys: tuple[Any, ...] = ()
    children: tuple[Structure, ...] = ()
    factory: Any = field(default=None, compare=False)

    @property
    def count(self) -> int:
        """Number of leaves."""
        return 1 if self.kind is None else sum(child.count for child in self.children)

    def pairs(self) -> list[bool]:
        """Return for each array, in order, whether it is complex: two leaves."""
        if self.kind is None or self.kind is complex:
            return [self.kind is complex]
        return [is_pair for child in self.children for is_pair in child.pairs()]

    def of_numbers(self) -> Structure:
        """Return the structure in which complex arrays are leaves as real ones are."""
        if self.kind is None or self.kind is complex:
            return LEAF
        return replace(self, children=tuple(child.of_numbers() for child in self.children))

    def build(self, leaves: Sequence[Any]) -> Any:
        """Put ``leaves`` into containers of this structure."""
        if len(leaves) != self.count:
            raise ShapeMismatchError(message("containers", f"{len(leaves)} leaves for a structure of {self.count}"))
        return self._build(iter(leaves))

    def _build(self, leaves: Any) -> Any:
        if self.kind is None:
            return next(leaves)
        return self._assemble([child._build(leaves) for child in self.children])

    def _assemble(self, parts: list[Any]) -> Any:
        """Put parts into a container; attributes that a subclass keeps besides are not carried over, as they may be stale."""
        kind: Any = self.kind  # of the container, so not None
        if kind is complex:
            return joined(*parts)
        if kind in (list, tuple):
            return kind(parts)
        if dataclasses.is_dataclass(kind):
            # The class's own __init__ may check or convert what only makes sense for the point itself.
            made: Any = object.__new__(self.kind)  # type: ignore[arg-type]
            for name, part in zip(self.keys, parts, strict=True):
                object.__setattr__(made, name, part)
            return made
        if issubclass(kind, dict):
            made = kind.__new__(kind)
            if issubclass(kind, defaultdict):
                made.default_factory = self.factory
            for key, part in zip(self.keys, parts, strict=True):
                made[key] = part
            return made
        if issubclass(kind, tuple):
            return tuple.__new__(kind, parts)
        made = kind.__new__(kind)
        list.extend(made, parts)
        return made

    def leaves_of(self, tree: Any, where: str, name: str) -> list[Any]:
        """Return the leaves of ``tree``, which must have this structure."""
        if self.kind is None:
            return [tree]
        parts = self._parts_of(tree)
        if parts is None:
            raise ShapeMismatchError(
                message(
                    where,
                    f"{name} is {describe(tree)}, the primal is {self.describe()}",
                    "Both live in the same space",
                    f"Pass {name} with the structure of the primal",
                )
            )
        return [
            leaf
            for child, part in zip(self.children, parts, strict=True)
            for leaf in child.leaves_of(part, where, name)
        ]

    def _parts_of(self, tree: Any) -> list[Any] | None:
        """Return the parts of a container of this kind, in order; ``None`` if it is another one."""
        assert self.kind is not None
        if self.kind is complex:
            return None if is_container(tree) and not only_numbers(tree) else list(_parts(tree))
        if dataclasses.is_dataclass(self.kind):
            return [getattr(tree, name) for name in self.keys] if isinstance(tree, self.kind) else None
        if issubclass(self.kind, dict):
            ok = isinstance(tree, Mapping) and set(tree) == set(self.keys)
            return [tree[key] for key in self.keys] if ok else None
        ok = isinstance(tree, list | tuple) and len(tree) == len(self.children)
        return list(tree) if ok else None

    def describe(self) -> str:
        """Say in words what container this is."""
        if self.kind is None:
            return "an array"
        if self.kind is complex:
            return "a complex array"
        if dataclasses.is_dataclass(self.kind):
            return f"a {self.kind.__name__} with fields {list(self.keys)}"
        if issubclass(self.kind, dict):
            return f"a {self.kind.__name__} with keys {list(self.keys)}"
        return f"a {self.kind.__name__} of {len(self.children)}"

    def paths(self, name: str) -> list[str]:
        """Return how each leaf is reached in Python from a container of that name: ``x['layers'][0]``."""
        if self.kind is None:
            return [name]
        if self.kind is complex:
            return [f"{name}.real", f"{name}.imag"]
        names = self.keys if dataclasses.is_dataclass(self.kind) else getattr(self.kind, "_fields", None)
        if names is not None:
            steps = [f"{name}.{key}" for key in names]
        else:
            steps = [f"{name}[{key!r}]" for key in self.keys or range(len(self.children))]
        return [path for step, child in zip(steps, self.children, strict=True) for path in child.paths(step)]


LEAF = Structure(None)
COMPLEX = Structure(complex, (), (LEAF, LEAF))
"""A complex array: its real and its imaginary part are leaves."""


def is_complex(x: Any) -> bool:
    """Tell a complex number or array, plain or traced."""
    return isinstance(x, complex) or (isinstance(x, _ARRAYS) and x.dtype.kind == "c")


def _parts(x: Any) -> tuple[Any, Any]:
    """Return real and imaginary part of numbers."""
    if not isinstance(x, Traced | np.ndarray | np.generic):
        x = np.asarray(x)[()]
    if x.dtype.kind == "c":
        return x.real, x.imag
    return x, np.zeros_like(x)


def describe(tree: Any) -> str:
    """Say in words what ``tree`` is."""
    if is_container(tree):
        return flatten(tree)[1].describe()
    return f"an array of shape {tree.shape}" if isinstance(tree, np.ndarray) else repr(tree)


def is_container(tree: Any) -> bool:
    """Tell a container from a leaf."""
    if type(tree) is np.ndarray or isinstance(
        tree, Traced
    ):  # by far the most frequent, and abstract classes take microseconds
        return False
    return isinstance(tree, list | tuple | Mapping) or _is_dataclass(tree)


def is_plain_container(tree: Any) -> bool:
    """Tell whether a container holds its parts and nothing else: no class of somebody's, with attributes and methods."""
    return type(tree) in _PLAIN_KINDS or (isinstance(tree, tuple) and hasattr(type(tree), "_fields"))


def is_foreign(tree: Any) -> bool:
    """Tell a container of somebody's own class that holds nothing traced: it is handed on as it is."""
    return is_container(tree) and not is_plain_container(tree) and not holds_traced(tree)


def _is_dataclass(tree: Any) -> bool:
    return dataclasses.is_dataclass(tree) and not isinstance(tree, type)


def only_numbers(tree: Any) -> bool:
    """Tell a plain number, or nested lists or tuples of plain numbers."""
    if isinstance(tree, Traced):
        return False
    return isinstance(tree, Complex) or (isinstance(tree, list | tuple) and bool(tree) and all(map(only_numbers, tree)))


def parts_of(tree: Any) -> list[Any]:
    """Return what a container holds directly; nothing for a leaf."""
    if isinstance(tree, Mapping):
        return list(tree.values())
    if isinstance(tree, list | tuple):
        return list(tree)
    return [getattr(tree, item.name) for item in dataclasses.fields(tree)] if _is_dataclass(tree) else []


def holds_traced(tree: Any) -> bool:
    """Tell whether some leaf of a container is traced, or is a sequence of traced values."""
    return traced.holds_traced(tree) or any(map(holds_traced, parts_of(tree)))


def flatten(tree: Any, whole: Callable[[Any], bool] | None = None) -> tuple[list[Any], Structure]:
    """Return the leaves of ``tree``, in order, and its structure; containers that ``whole`` is true of are leaves."""
    if type(tree) is np.ndarray and tree.dtype.kind != "c":  # by far the most frequent
        return [tree], LEAF
    if is_complex(tree):
        return [tree.real, tree.imag], COMPLEX
    if not is_container(tree) or (whole is not None and whole(tree)):
        return [tree], LEAF
    kind: type = type(tree)
    keys: tuple[Any, ...] = ()
    if isinstance(tree, Mapping):
        keys, kind = tuple(tree), kind if isinstance(tree, dict) else dict
    elif _is_dataclass(tree):
        keys = _field_names(kind)
    flat = [flatten(part, whole) for part in parts_of(tree)]
    factory = tree.default_factory if isinstance(tree, defaultdict) else None
    return [leaf for leaves, _ in flat for leaf in leaves], Structure(kind, keys, tuple(s for _, s in flat), factory)


def _field_names(kind: Any) -> tuple[str, ...]:
    """Return the names of the fields of a dataclass, none of which may be computed from others."""
    fields = dataclasses.fields(kind)
    computed = [item.name for item in fields if not item.init]
    if computed:
        what = f"the dataclass {kind.__name__} has fields that it computes: {', '.join(computed)}"
        why = "they would be parameters of their own"
        raise OptionError(message("containers", what, why, "Make them properties"))
    return tuple(item.name for item in fields)


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply ``function`` to every leaf."""
    leaves, structure = flatten(tree)
    return structure.build([function(leaf) for leaf in leaves])


def scipy_point(x0: Any) -> Any:
    """Return a point as SciPy takes it: a number or a rectangular list of numbers is an array with at least one axis."""
    if not only_numbers(x0) or hasattr(x0, "_fields"):
        return np.atleast_1d(x0) if isinstance(x0, np.ndarray) else x0
    try:
        return np.atleast_1d(np.array(x0))
    except ValueError:  # ragged
        return x0


def split_vector(vector: Any, shapes: Sequence[tuple[int, ...]], batch: int = 0) -> list[Any]:
    """Cut the last axis of ``vector`` into arrays of the given shapes; ``batch`` leading axes are kept."""
    total = sum(math.prod(shape) for shape in shapes)
    if vector.shape[-1] != total:
        what = f"a vector of length {vector.shape[-1]} for a space of dimension {total}"
        raise ShapeMismatchError(message("raveled vector", what, fix=f"Pass {total} entries"))
    pieces, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        pieces.append(vector[..., start : start + size].reshape(vector.shape[:batch] + shape))
        start += size
    return pieces


def join_vector(pieces: Sequence[Any], batch: int = 0) -> Any:
    """Ravel arrays (after ``batch`` leading axes) and join them along the last axis."""
    flat = []
    for piece in pieces:
        shape = np.shape(piece)
        flat.append(np.reshape(piece, (*shape[:batch], math.prod(shape[batch:]))))
    if not flat:
        return np.zeros(0)
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=-1)


def ravel(tree: Any) -> tuple[np.ndarray, Callable[[Any], Any]]:
    """Join the leaves of ``tree`` into one vector.

    Returns
    -------
    vector : ndarray, shape (n,)
    unravel : callable
        Puts a vector of length n back into the structure of ``tree``.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.tape.trees import ravel
    >>> vector, unravel = ravel({"W": np.eye(2), "b": np.zeros(2)})
    >>> vector.shape, sorted(unravel(2 * vector))
    ((6,), ['W', 'b'])
    """
    leaves, structure = flatten(tree)
    arrays = [leaf if isinstance(leaf, Traced) else np.asarray(leaf) for leaf in leaves]
    shapes = [a.shape for a in arrays]
    numbers = [not isinstance(leaf, Traced) and not isinstance(leaf, np.ndarray) for leaf in leaves]
    vector = join_vector(arrays)
    length = vector.shape[0]

    def unravel(v: Any) -> Any:
        if np.shape(v) != (length,):
            raise ShapeMismatchError(message("unravel", f"the vector has shape {np.shape(v)}, expected ({length},)"))
        pieces = split_vector(v, shapes)
        return structure.build([x[()] if number else x for x, number in zip(pieces, numbers, strict=True)])

    return np.copy(vector), unravel
