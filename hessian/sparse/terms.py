"""Linear maps of a direction as sums of terms: fixed positions, fixed weights, and numbers that a program computes at every point.

A term says that element ``rows[k]`` of a value has the coefficient ``weights[k] * node[at[k]]`` in element ``cols[k]`` of the direction.
What moves elements, adds them up or multiplies them with constants changes positions and weights, once; only products with what depends
on the point compute anything at a point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.programs.ir import CONSTANT, Builder, Node
from hessian.rules import elementwise as ew
from hessian.rules.indexing import Positions, gather_op
from hessian.rules.shaping import reshape_op
from hessian.rules.spec import OPERATIONS

Combine = Callable[["Products", "Node | None", Node], Node]


@dataclass(frozen=True, eq=False)
class Term:
    """Coefficients of a linear map.

    Attributes
    ----------
    rows, cols : ndarray of int
    weights : float or ndarray
    node : Node or None
        ``None`` for ones.
    at : ndarray of int
        Flat positions in the node; nobody reads them without one.
    """

    rows: np.ndarray
    cols: np.ndarray
    weights: Any
    node: Node | None
    at: np.ndarray

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return len(self.rows)

    def scaled(self, number: float) -> Term:
        """Return a multiple."""
        return Term(self.rows, self.cols, self.weights * number, self.node, self.at)

    def picked(self, which: np.ndarray | None, rows: np.ndarray) -> Term:
        """Return some of the coefficients, in other rows; ``None`` picks all."""
        if which is None:
            return Term(rows, self.cols, self.weights, self.node, self.at)
        weights = self.weights[which] if isinstance(self.weights, np.ndarray) else self.weights
        at = self.at if self.node is None else self.at[which]
        return Term(rows, self.cols[which], weights, self.node, at)

    def weighted(self, factors: np.ndarray) -> Term:
        """Return it with each coefficient times a number; what is zero for good is left out."""
        weights = self.weights * factors
        there = weights != 0
        term = self if there.all() else self.picked(np.flatnonzero(there), self.rows[there])
        weights = weights[there]
        if weights.size and (weights == weights[0]).all():
            weights = float(weights[0])
        return Term(term.rows, term.cols, weights, term.node, term.at)


class Entries:
    """A matrix by its entries, looked up by columns.

    Parameters
    ----------
    columns : ndarray of int
        Of the entries; negative for what is no entry.
    size : int
        Number of columns.
    """

    def __init__(self, columns: np.ndarray, size: int) -> None:
        counts = np.bincount(columns + 1, minlength=size + 1)
        nowhere, self._counts = int(counts[0]), counts[1:]
        self._starts = np.cumsum(self._counts) - self._counts
        in_order = not nowhere and bool((columns[1:] >= columns[:-1]).all())
        self._order = None if in_order else np.argsort(columns, kind="stable")[nowhere:]

    def count(self, rows: np.ndarray) -> int:
        """Return how often coefficients of such rows meet entries."""
        return int(self._counts[rows].sum())

    def met(self, rows: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """Return which coefficients of a term with such rows meet which entries; the first is ``None`` if each meets just one."""
        counts = self._counts[rows]
        if (counts == 1).all():
            which, found = None, self._starts[rows]
        else:
            which = np.repeat(np.arange(len(rows)), counts)
            within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
            found = self._starts[rows[which]] + within
        return which, found if self._order is None else self._order[found]


def flat_broadcast(shape: tuple[int, ...], goal: tuple[int, ...]) -> np.ndarray:
    """Return which element of an array stands beside each element of a larger one."""
    numbers = np.arange(int(np.prod(shape, dtype=np.intp))).reshape(shape)
    return np.broadcast_to(numbers, goal).ravel()


class Products:
    """Multiplies terms with values of a program, in nodes of it.

    Parameters
    ----------
    builder : Builder
    dtype : dtype
        Of the coefficients.
    """

    def __init__(self, builder: Builder, dtype: np.dtype) -> None:
        self._builder = builder
        self.dtype = dtype

    def apply(self, operation: Any, *args: Node) -> Node:
        """Return the node of an elementwise operation."""
        shape = np.broadcast_shapes(*(arg.shape for arg in args))
        return self._builder.apply(operation, list(args), {}, shape, self.dtype)

    def constant(self, number: float) -> Node:
        """Return the node of a number."""
        return self._builder.constant(self.dtype.type(number))

    def sum(self, parts: Sequence[tuple[Node, float]]) -> Node:
        """Return the sum of nodes of the same size times numbers."""
        total: Node | None = None
        for node, weight in parts:
            node = node if total is None else self._shaped(node, total.shape)
            sign = ew.add if weight > 0 or total is None else ew.subtract
            number = abs(weight) if total is not None else weight
            part = node if number == 1.0 else self.apply(ew.multiply, self.constant(number), node)
            total = part if total is None else self.apply(sign, total, part)
        assert total is not None
        return total

    def term(self, term: Term, factor: Node, at: np.ndarray, combine: Combine) -> Term:
        """Return a term times elements of a value that depends on the point."""
        node = term.node
        if node is None:
            return Term(term.rows, term.cols, term.weights, combine(self, None, factor), at)
        joint = lambda a, b, at: Term(term.rows, term.cols, term.weights, combine(self, a, b), at)
        if node.size == 1:
            return joint(self._shaped(node, ()), factor, at)
        if factor.size == 1:
            return joint(node, self._shaped(factor, ()), term.at)
        beside = _of(at, term.at, factor.size)
        if beside is not None:
            return joint(self._aligned(node, beside, factor.shape), factor, at)
        beside = _of(term.at, at, node.size)
        if beside is not None:
            return joint(node, self._aligned(factor, beside, node.shape), term.at)
        pairs, number = np.unique(term.at * factor.size + at, return_inverse=True)
        first, second = np.divmod(pairs, factor.size)
        return joint(self._gathered(node, first), self._gathered(factor, second), number.ravel())

    def _shaped(self, node: Node, shape: tuple[int, ...]) -> Node:
        if node.shape == shape:
            return node
        return self._builder.apply(reshape_op, [node], {"shape": shape, "ndim": len(node.shape)}, shape, node.dtype)

    def _gathered(self, node: Node, positions: np.ndarray) -> Node:
        params = {"positions": Positions(positions, node.shape)}
        return self._builder.apply(gather_op, [node], params, positions.shape, node.dtype)

    def _aligned(self, node: Node, beside: np.ndarray, shape: tuple[int, ...]) -> Node:
        """Return the node with its elements beside those of another shape: by broadcasting if that does it."""
        wanted = beside >= 0
        for k in range(len(shape) + 1):
            for kept in (shape[:k] + (1,) * (len(shape) - k), shape[k:]):
                if int(np.prod(kept, dtype=np.intp)) == node.size:
                    there = flat_broadcast(kept, shape)
                    if np.array_equal(there[wanted], beside[wanted]):
                        return self._shaped(node, kept)
        return self._gathered(node, np.maximum(beside, 0).reshape(shape))


def _of(at: np.ndarray, other: np.ndarray, size: int) -> np.ndarray | None:
    """Return which one element goes with each of ``size`` others, negative for any; ``None`` if several do."""
    beside = np.full(size, -1)
    beside[at] = other
    return beside if np.array_equal(beside[at], other) else None


def times(products: Products, node: Node | None, factor: Node) -> Node:
    """Multiply; what is a truth value counts as a number."""
    if factor.dtype is not None and factor.dtype.kind == "b":
        one, zero = (products.constant(x) for x in (1.0, 0.0))
        return products.apply(OPERATIONS["where"], factor, one if node is None else node, zero)
    return factor if node is None else products.apply(ew.multiply, node, factor)


def divided(products: Products, node: Node | None, factor: Node) -> Node:
    """Divide by a value."""
    return products.apply(ew.divide, products.constant(1.0) if node is None else node, factor)


def multiplied(
    products: Products, terms: Sequence[Term], factor: Node, at: np.ndarray, combine: Combine = times
) -> list[Term]:
    """Return terms with coefficients times elements of a value, ``at[row]`` for every row."""
    result = []
    for term in terms:
        places = at[term.rows] if factor.size > 1 else np.zeros(term.size, np.intp)
        result.append(by_elements(products, term, factor, places, combine))
    return result


def by_elements(products: Products, term: Term, factor: Node, places: np.ndarray, combine: Combine = times) -> Term:
    """Return a term with every coefficient times an element of a value."""
    if factor.level != CONSTANT:
        return products.term(term, factor, places, combine)
    numbers = np.asarray(factor.value, float).ravel()
    if combine is divided:
        numbers = 1.0 / numbers
    if factor.size == 1:
        return term.scaled(float(numbers[0])) if numbers[0] else term.picked(np.zeros(0, np.intp), term.rows[:0])
    return term.weighted(numbers[places])
