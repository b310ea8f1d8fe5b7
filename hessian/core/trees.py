"""Containers of arrays and vectors: dicts, lists and tuples, nested, to leaves and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from hessian.errors import ShapeMismatchError, message
from hessian.rules.spec import Traced


@dataclass(frozen=True)
class Structure:
    """The shape of a container: what to rebuild around the leaves.

    ``kind`` is ``dict``, ``list``, ``tuple`` (or a named tuple's class), or ``None`` for a leaf.
    """

    kind: type | None
    keys: tuple[Any, ...] = ()
    children: tuple[Structure, ...] = ()

    @property
    def count(self) -> int:
        """Number of leaves."""
        return 1 if self.kind is None else sum(child.count for child in self.children)

    def build(self, leaves: Sequence[Any]) -> Any:
        """Put ``leaves`` into containers of this structure."""
        if len(leaves) != self.count:
            raise ShapeMismatchError(message("containers", f"{len(leaves)} leaves for a structure of {self.count}"))
        return self._build(iter(leaves))

    def _build(self, leaves: Any) -> Any:
        if self.kind is None:
            return next(leaves)
        parts = [child._build(leaves) for child in self.children]
        if issubclass(self.kind, dict):
            return dict(zip(self.keys, parts, strict=True))
        if self.kind in (list, tuple):
            return self.kind(parts)
        return self.kind(*parts)

    def leaves_of(self, tree: Any, where: str, name: str) -> list[Any]:
        """Return the leaves of ``tree``, which must have this structure."""
        if self.kind is None:
            return [tree]
        if issubclass(self.kind, dict):
            ok = isinstance(tree, Mapping) and set(tree) == set(self.keys)
            parts = [tree[key] for key in self.keys] if ok else []
        else:
            ok = isinstance(tree, list | tuple) and len(tree) == len(self.children)
            parts = list(tree) if ok else []
        if not ok:
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

    def describe(self) -> str:
        """Say in words what container this is."""
        if self.kind is None:
            return "an array"
        if issubclass(self.kind, dict):
            return f"a dict with keys {list(self.keys)}"
        return f"a {self.kind.__name__} of {len(self.children)}"


LEAF = Structure(None)


def describe(tree: Any) -> str:
    """Say in words what ``tree`` is."""
    if is_container(tree):
        return flatten(tree)[1].describe()
    return f"an array of shape {tree.shape}" if isinstance(tree, np.ndarray) else repr(tree)


def _only_numbers(tree: Any) -> bool:
    if isinstance(tree, Traced):
        return False
    return isinstance(tree, Real) or (isinstance(tree, list | tuple) and bool(tree) and all(map(_only_numbers, tree)))


def is_container(tree: Any) -> bool:
    """Tell a container of arrays from an array; a list of plain numbers is an array, as everywhere in NumPy."""
    if isinstance(tree, Mapping):
        return True
    return isinstance(tree, list | tuple) and not _only_numbers(tree)


def flatten(tree: Any, numbers: bool = False) -> tuple[list[Any], Structure]:
    """Return the leaves of ``tree``, in order, and its structure; with ``numbers`` a list of numbers is a container as well."""
    if not (is_container(tree) or (numbers and isinstance(tree, list | tuple))):
        return [tree], LEAF
    if isinstance(tree, Mapping):
        keys, parts = tuple(tree), list(tree.values())
        kind: type = dict
    else:
        keys, parts = (), list(tree)
        kind = type(tree)
        if kind not in (list, tuple) and not hasattr(kind, "_fields"):
            kind = list if isinstance(tree, list) else tuple
    flat = [flatten(part, numbers) for part in parts]
    return [leaf for leaves, _ in flat for leaf in leaves], Structure(kind, keys, tuple(s for _, s in flat))


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply ``function`` to every leaf."""
    leaves, structure = flatten(tree)
    return structure.build([function(leaf) for leaf in leaves])


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
    >>> from hessian.core.trees import ravel
    >>> vector, unravel = ravel({"W": np.eye(2), "b": np.zeros(2)})
    >>> vector.shape, sorted(unravel(2 * vector))
    ((6,), ['W', 'b'])
    """
    leaves, structure = flatten(tree)
    arrays = [leaf if isinstance(leaf, Traced) else np.asarray(leaf) for leaf in leaves]
    shapes = [a.shape for a in arrays]
    vector = join_vector(arrays)
    length = vector.shape[0]

    def unravel(v: Any) -> Any:
        if np.shape(v) != (length,):
            raise ShapeMismatchError(message("unravel", f"the vector has shape {np.shape(v)}, expected ({length},)"))
        return structure.build(split_vector(v, shapes))

    return np.copy(vector), unravel
