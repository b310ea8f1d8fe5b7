"""A symmetric operator restricted to a block of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.operators.symmetric import DampedOperator, ScaledOperator, SymmetricOperator, as_symmetric
from hessian.tape.trees import Structure


class RestrictedOperator(SymmetricOperator):
    r"""The block :math:`E^T A E` of a symmetric operator: rows and columns of some parameters.

    Parameters
    ----------
    operator : LinearOperator or matrix, shape (n, n)
    block : slice, array of indices or of booleans, or path
        Which parameters. A path names a part of a container-structured x: a key (``"W"``), or a tuple of keys and positions
        (``(0, "W")``), as in ``x[0]["W"]``; a part that is a container takes all of its arrays.

    Attributes
    ----------
    indices : ndarray
        Positions of the block in the raveled x.

    Raises
    ------
    OptionError
        The block is empty, repeats an index, or names no part of x.
    ShapeMismatchError
        Indices lie outside of 0..n-1, or a boolean array has not n entries.

    Notes
    -----
    Cost of a product: one with the operator, on a vector that is zero outside the block. By Cauchy's interlacing theorem the
    block's eigenvalues lie within the range of the operator's.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> from hessian.operators.restricted import RestrictedOperator
    >>> x = {"a": np.ones(2), "b": np.array([2.0])}
    >>> H = hs.HessianOperator(lambda p: np.sum(p["a"] ** 3) * p["b"][0], x)
    >>> RestrictedOperator(H, "a").to_dense().tolist()
    [[12.0, 0.0], [0.0, 12.0]]
    """

    def __init__(self, operator: Any, block: Any) -> None:
        self.operator = as_symmetric(operator)
        n = self.operator.shape[0]
        self.indices = _indices(self.operator, block, n)
        # A run of neighbours is a slice: no index arrays in the loop.
        start, size = int(self.indices[0]), len(self.indices)
        is_run = bool(np.array_equal(self.indices, np.arange(start, start + size)))
        self._place: Any = slice(start, start + size) if is_run else self.indices
        super().__init__(size, self.operator.dtype)

    def __repr__(self) -> str:
        return f"<RestrictedOperator of order {self.shape[0]}, a block of {self.operator!r}>"

    def _apply(self, V: np.ndarray) -> np.ndarray:
        full = np.zeros((self.operator.shape[0], *V.shape[1:]), self.dtype)
        full[self._place] = V
        return np.asarray((self.operator @ full)[self._place], self.dtype)


def named_blocks(operator: Any, depth: int | None = None) -> dict[str, slice]:
    """Return the parts of a container-structured x with their places in the raveled vector.

    Parameters
    ----------
    operator : SymmetricOperator
        Made at a point x.
    depth : int, optional
        How far down containers are opened; 1 gives the entries of the outermost one, by default every array.

    Returns
    -------
    dict of str to slice
        Keyed as the parts are written: ``[0]['W']``; an x that is one array has the single part ``x``.

    Raises
    ------
    OptionError
        The operator does not know its point.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> from hessian.operators.restricted import named_blocks
    >>> x = [{"W": np.ones((2, 2)), "b": np.ones(2)}, np.ones(3)]
    >>> H = hs.HessianOperator(lambda p: np.sum(p[0]["W"] ** 2) + np.sum(p[1]), x)
    >>> named_blocks(H)
    {"[0]['W']": slice(0, 4, None), "[0]['b']": slice(4, 6, None), '[1]': slice(6, 9, None)}
    >>> named_blocks(H, depth=1)
    {'[0]': slice(0, 6, None), '[1]': slice(6, 9, None)}
    """
    structure, sizes = _parts(operator)
    found: dict[str, slice] = {}
    start = 0
    for path, count in _walk(structure, (), depth):
        stop = start + sum(sizes[:count])
        sizes = sizes[count:]
        found["".join(f"[{key!r}]" for key in path) or "x"] = slice(start, stop)
        start = stop
    return found


def _parts(operator: Any) -> tuple[Structure, list[int]]:
    """Structure of the point of an operator, and the sizes of its leaves."""
    inner = operator
    while not hasattr(inner, "primal") and _keeps_places(inner):
        inner = inner.operator
    if not hasattr(inner, "primal"):
        what = f"{type(operator).__name__} does not know the structure of x"
        raise OptionError(message("blocks", what, fix="Pass the blocks as slices or index arrays"))
    return inner.primal.structure, [math.prod(shape) for shape in inner.primal.shapes]


def _keeps_places(operator: Any) -> bool:
    """Whether an operator acts on the same raveled x as the one inside: a multiple, damping, or the whole in its order."""
    if isinstance(operator, RestrictedOperator):
        return bool(np.array_equal(operator.indices, np.arange(operator.operator.shape[0])))
    return isinstance(operator, ScaledOperator | DampedOperator)


def _walk(structure: Structure, path: tuple[Any, ...], depth: int | None) -> list[tuple[tuple[Any, ...], int]]:
    """Paths of the parts, with how many leaves each has."""
    if structure.kind is None or depth == 0:
        return [(path, structure.count)]
    keys: Sequence[Any] = structure.keys or range(len(structure.children))
    deeper = None if depth is None else depth - 1
    return [
        part for key, child in zip(keys, structure.children, strict=True) for part in _walk(child, (*path, key), deeper)
    ]


def _indices(operator: Any, block: Any, n: int) -> np.ndarray:
    where = "RestrictedOperator"
    if isinstance(block, slice):
        indices = np.arange(n)[block]
    elif isinstance(block, str | tuple) or (isinstance(block, int | np.integer) and hasattr(operator, "primal")):
        indices = _at_path(operator, block if isinstance(block, tuple) else (block,))
    else:
        given = np.asarray(block)
        if given.ndim != 1 or given.dtype.kind not in "iub" or (given.dtype.kind == "b" and len(given) != n):
            what = f"the block is an array of shape {given.shape} and dtype {given.dtype}"
            raise ShapeMismatchError(message(where, what, fix=f"Pass a vector of indices, or {n} booleans"))
        # Small types cannot hold n.
        given = np.flatnonzero(given) if given.dtype.kind == "b" else given.astype(np.intp)
        indices = np.where(given < 0, given + n, given)
    if not len(indices):
        raise OptionError(message(where, "the block is empty", fix="Pass at least one index"))
    if indices.min() < 0 or indices.max() >= n:
        raise ShapeMismatchError(
            message(where, f"an index lies outside of 0..{n - 1}", fix="Pass indices into raveled x")
        )
    if len(np.unique(indices)) != len(indices):
        raise OptionError(
            message(where, "the block repeats an index", "The block would be singular", "Pass each index once")
        )
    return indices


def _at_path(operator: Any, path: tuple[Any, ...]) -> np.ndarray:
    """Positions of the part of x that a path names."""
    structure, sizes = _parts(operator)
    first = 0
    for key in path:
        keys = list(structure.keys) if structure.keys else list(range(len(structure.children)))
        if key not in keys:
            raise OptionError(message("RestrictedOperator", f"x has no part {key!r}", fix=f"Choose one of {keys}"))
        position = keys.index(key)
        first += sum(child.count for child in structure.children[:position])
        structure = structure.children[position]
    start = sum(sizes[:first])
    return np.arange(start, start + sum(sizes[first : first + structure.count]))
