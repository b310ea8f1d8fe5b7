"""Entries of a Hessian without products: what a product does to its direction, followed to where every coefficient ends up.

The section of a program that takes a direction is linear in it, and says by its operations how every element of the result depends on
elements of the direction. Where that stays sparse, its coefficients are few vectors that a program computes at once, and each entry of
the matrix is a sum of elements of these, at places that never change. What it takes is then independent of the number of colors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array, eye_array, kron

from hessian.programs.ir import CONSTANT, DIRECTION, Builder, Node, Section, reachable
from hessian.programs.operations import place_op
from hessian.programs.simplify import rewrite
from hessian.programs.tasks import Unfit
from hessian.rules import elementwise as ew
from hessian.rules.products import sparse_matmul_op
from hessian.rules.shaping import astype_op, cast_op
from hessian.rules.spec import OPERATIONS, Bilinear, Linear
from hessian.sparse import products as labelled
from hessian.sparse.decompress import Structure
from hessian.sparse.placement import Planner, regular
from hessian.sparse.terms import (
    Combine,
    Entries,
    Products,
    Term,
    by_elements,
    divided,
    flat_broadcast,
    multiplied,
    times,
)

_SPREAD, _FREE = 24, 2**14
"""Coefficients that are followed for every element that a product computes, and for nothing; products are better at what takes more."""
_TERMS, _FREE_TERMS = 8, 64
"""Terms that are followed for every operation of a product, and for nothing."""
_READS = 4
"""How many times as many terms are read."""
_UNITS = 2**18
"""Numbers in the unit vectors that a linear map without positions is asked about."""
_PRODUCTS = 2**22
"""Products of single elements that are written down for a sum of products."""


class Coefficients:
    """The terms of every value of a section that takes a direction.

    Parameters
    ----------
    section : Section
    direction : Node

    Attributes
    ----------
    work : int
        Elements that a product computes.

    Raises
    ------
    Unfit
        An operation is not followed, or there are too many.
    """

    def __init__(self, section: Section, direction: Node) -> None:
        assert direction.dtype is not None
        self.products = Products(Builder(rewrite), direction.dtype)
        everything = np.arange(direction.size)
        self._terms = {direction.serial: [Term(everything, everything, 1.0, None, everything)]}
        nodes = [node for node in section.nodes if node.level == DIRECTION and node.operation is not None]
        self.work = sum(node.size for node in nodes)
        self._left = [_SPREAD * self.work + _FREE, _TERMS * len(nodes) + _FREE_TERMS]
        reads = _READS * self._left[1]
        for node in nodes:
            # Pieces of what was put together from pieces read all of them, though few are left of each.
            reads -= sum(len(self.of(arg)) for arg in node.args)
            if reads < 0:
                raise Unfit
            self._terms[node.serial] = self._counted([term for term in self._follow(node) if term.size])

    def _counted(self, terms: list[Term]) -> list[Term]:
        self._left[0] -= sum(term.size for term in terms)
        self._left[1] -= len(terms)
        if min(self._left) < 0:
            raise Unfit
        return terms

    def of(self, node: Node) -> list[Term]:
        """Return the terms of a value."""
        return self._terms.get(node.serial, [])

    def _follow(self, node: Node) -> list[Term]:
        operation = node.operation
        if operation in _COMBINED:
            return self._combined(node, _COMBINED[operation])
        if operation in (ew.add, ew.subtract, ew.negative):
            signs = (-1.0,) if operation is ew.negative else (1.0, 1.0 if operation is ew.add else -1.0)
            parts = zip(node.args, signs, strict=True)
            return [term if sign > 0 else term.scaled(sign) for arg, sign in parts for term in self._beside(arg, node)]
        if operation in (cast_op, astype_op):
            return self.of(node.args[0])
        if operation is OPERATIONS["where"]:
            return self._chosen(node)
        if isinstance(operation, Bilinear):
            return self._bilinear(node, operation)
        if operation is sparse_matmul_op:
            return self._by_matrix(node.args[0], _matrix_of(node))
        if isinstance(operation, Linear):
            return self._linear(node, operation)
        raise Unfit

    def _beside(self, arg: Node, node: Node) -> list[Term]:
        """Return the terms of an operand, broadcast to the shape of the result."""
        if arg.level != DIRECTION:
            # In a linear section what is added without a direction is zero.
            return []
        if arg.shape == node.shape:
            return self.of(arg)
        return self._moved(self.of(arg), flat_broadcast(arg.shape, node.shape), arg.size)

    def _combined(self, node: Node, combine: Combine) -> list[Term]:
        (p,) = (p for p, arg in enumerate(node.args) if arg.level == DIRECTION)
        if p == 1 and combine is divided:
            raise Unfit  # unseen: nothing linear divides by a direction
        other = node.args[1 - p]
        at = flat_broadcast(other.shape, node.shape)
        return multiplied(self.products, self._beside(node.args[p], node), other, at, combine)

    def _chosen(self, node: Node) -> list[Term]:
        mask, *sides = node.args
        if mask.level == DIRECTION or mask.dtype is None or mask.dtype.kind != "b":
            raise Unfit  # unseen: masks of what is linear are decided without a direction, and made booleans
        where, result = OPERATIONS["where"], []
        zero = lambda products: products.constant(0.0)
        one = lambda products, x: products.constant(1.0) if x is None else x
        taken: Combine = lambda products, x, m: products.apply(where, m, one(products, x), zero(products))
        left: Combine = lambda products, x, m: products.apply(where, m, zero(products), one(products, x))
        at = flat_broadcast(mask.shape, node.shape)
        for side, combine in zip(sides, (taken, left), strict=True):
            terms = self._beside(side, node)
            if mask.level == CONSTANT:
                kept = np.broadcast_to(mask.value if combine is taken else ~np.asarray(mask.value), mask.shape)
                result += [term.weighted(kept.ravel()[at[term.rows]].astype(float)) for term in terms]
            else:
                result += multiplied(self.products, terms, mask, at, combine)
        return result

    # Linear maps.

    def _linear(self, node: Node, operation: Linear) -> list[Term]:
        result: list[Term] = []
        xs = [np.broadcast_to(np.zeros((), np.intp), arg.shape) for arg in node.args]
        for p, arg in enumerate(node.args):
            if arg.level != DIRECTION:
                continue
            if operation.says == "positions":
                numbers = [*xs[:p], np.arange(1, arg.size + 1).reshape(arg.shape), *xs[p + 1 :]]
                origins = np.asarray(operation.function(*numbers, **node.params)).ravel() - 1
                result += self._moved(self.of(arg), origins, arg.size)
            elif operation.says == "transpose":
                result += self._added(self.of(arg), self._goals(node, operation, p))
            else:
                result += self._by_matrix(arg, self._by_units(node, operation, p))
        return result

    def _moved(self, terms: Sequence[Term], origins: np.ndarray, size: int) -> list[Term]:
        """Return terms of a result whose elements are elements of the operand, or zero."""
        if len(origins) == size and np.array_equal(origins, np.arange(size)):
            return list(terms)
        return [term.picked(which, rows) for term, which, rows in self._met(terms, Entries(origins, size))]

    def _met(self, terms: Sequence[Term], entries: Entries) -> Iterator[tuple[Term, np.ndarray | None, np.ndarray]]:
        """Yield terms with which of their coefficients meet which entries of a matrix, unless that is too many."""
        if sum(entries.count(term.rows) for term in terms) > self._left[0]:
            raise Unfit
        for term in terms:
            yield term, *entries.met(term.rows)

    def _goals(self, node: Node, operation: Linear, p: int) -> np.ndarray:
        """Return to which element of the result each element of an operand is added; negative for none."""
        numbers, shapes = np.arange(1, node.size + 1).reshape(node.shape), [arg.shape for arg in node.args]
        if operation.variadic:
            (piece,) = operation.transpose(numbers, [p], [shapes[p]], **node.params)
        else:
            piece = operation.transpose(numbers, shapes[0], **node.params)
        return np.asarray(piece).ravel() - 1

    def _added(self, terms: Sequence[Term], goals: np.ndarray) -> list[Term]:
        result = []
        for term in terms:
            rows = goals[term.rows]
            inside = rows >= 0
            result.append(
                term.picked(None, rows) if inside.all() else term.picked(np.flatnonzero(inside), rows[inside])
            )
        return result

    def _by_units(self, node: Node, operation: Linear, p: int) -> csr_array:
        """Return the matrix of a small linear map, by unit vectors."""
        size = node.args[p].size
        if operation.says is None and size * max(node.size, size) <= _UNITS and not operation.runs_user_code:
            units = [np.zeros((size, *arg.shape)) for arg in node.args]
            units[p] = np.eye(size).reshape((size, *node.args[p].shape))
            images = np.asarray(operation.function(*units, **node.params))
            if images.shape == (size, *node.shape):
                return csr_array(images.reshape(size, node.size).T)
        raise Unfit

    def _by_matrix(self, arg: Node, matrix: csr_array) -> list[Term]:
        coo = matrix.tocoo()
        entries, result = Entries(coo.col.astype(np.intp), matrix.shape[1]), []
        for term, which, found in self._met(self.of(arg), entries):
            result.append(term.picked(which, coo.row[found].astype(np.intp)).weighted(coo.data[found]))
        return result

    def _bilinear(self, node: Node, operation: Bilinear) -> list[Term]:
        (p,) = (p for p, arg in enumerate(node.args) if arg.level == DIRECTION)
        arg, other = node.args[p], node.args[1 - p]
        xs = [np.broadcast_to(0.0, x.shape) for x in node.args]
        y = np.broadcast_to(0.0, node.shape)
        if labelled.count(operation, y, xs) > min(_PRODUCTS, self._left[0]):
            raise Unfit
        of_xs, of_y = labelled.terms(operation, y, xs)
        entries, result = Entries(of_xs[p], arg.size), []
        for term, which, found in self._met(self.of(arg), entries):
            each = term.picked(which, of_y[found])
            result.append(by_elements(self.products, each, other, of_xs[1 - p][found]))
        return result


_COMBINED: dict[Any, Combine] = {ew.multiply: times, ew.divide: divided}


def _matrix_of(node: Node) -> csr_array:
    """Return the matrix of a product with a sparse matrix, on raveled operands."""
    matrix, ndim = node.params["matrix"], node.params["ndim"]
    if ndim == 1:
        return csr_array(matrix)
    width = math.prod(node.args[0].shape[1:])
    if len(node.shape) != 2 or matrix.nnz * width > _PRODUCTS:
        raise Unfit
    return csr_array(kron(matrix, eye_array(width), "csr"))


class Finish:
    """From the terms of a product with a Hessian to what puts the entries together.

    Parameters
    ----------
    products : Products
    terms : sequence of Term
        Of the product.
    starts, rows : ndarray of int
        Columns of the matrix, as of a ``csc_array``.

    Attributes
    ----------
    node : Node
        The entries.
    work : int
        Numbers that it takes to put them together.
    """

    def __init__(self, products: Products, terms: Sequence[Term], starts: np.ndarray, rows: np.ndarray) -> None:
        self._products, self._n = products, len(starts) - 1
        columns = np.repeat(np.arange(self._n), np.diff(starts))
        self._keys = columns * self._n + rows
        self._mirrors = np.searchsorted(self._keys, rows.astype(np.intp) * self._n + columns)
        self._shared: list[np.ndarray] = []
        self._arrays: list[Node] = []
        planner = Planner(self._mirrors, products.dtype)
        upper = [term for term in map(self._upper, terms) if term.size]
        self._fix(planner, [term for term in upper if term.node is None])
        for node, parts in self._joined([term for term in upper if term.node is not None]):
            number = self._number(node)
            for term in parts:
                planner.add(number, term.rows, term.at, term.weights)
        placement = planner.placement([node.size for node in self._arrays])
        self.work = placement.work
        if self._arrays:
            arrays, level = tuple(self._arrays), max(node.level for node in self._arrays)
            self.node = Node(place_op, arrays, {"placement": placement}, (len(rows),), products.dtype, level)
        else:
            # A quadratic function.
            self.node = Node(None, (), {}, (len(rows),), products.dtype, CONSTANT, placement())

    def _upper(self, term: Term) -> Term:
        """Return the coefficients above the diagonal and on it, with the number of the entry in place of its row."""
        inside = term.rows <= term.cols
        term = term if inside.all() else term.picked(np.flatnonzero(inside), term.rows[inside])
        keys = term.cols * self._n + term.rows
        places = np.searchsorted(self._keys, keys)
        if term.size and not (len(self._keys) and np.array_equal(self._keys.take(places, mode="clip"), keys)):
            # The pattern knows better, or worse: products decide.
            raise Unfit
        return Term(self._share(places), term.cols, term.weights, term.node, self._share(term.at))

    def _share(self, numbers: np.ndarray) -> np.ndarray:
        """Return an equal array that is known already."""
        for known in self._shared:
            if np.array_equal(known, numbers):
                return known
        self._shared.append(numbers)
        return numbers

    def _fix(self, planner: Planner, terms: Sequence[Term]) -> None:
        for term in terms:
            weights = np.broadcast_to(term.weights, term.rows.shape)
            planner.fixed += np.bincount(term.rows, weights, len(planner.fixed))
        upper = self._mirrors <= np.arange(len(self._mirrors))
        planner.fixed[:] = np.where(upper, planner.fixed, planner.fixed[self._mirrors])

    def _joined(self, terms: Sequence[Term]) -> list[tuple[Node, list[Term]]]:
        """Add up coefficients that go to the same places before they do."""
        alike: dict[Any, list[Term]] = {}
        for k, term in enumerate(terms):
            uniform = not isinstance(term.weights, np.ndarray)
            assert term.node is not None
            alike.setdefault((id(term.rows), id(term.at), term.node.size) if uniform else k, []).append(term)
        sums: dict[Any, tuple[Node, list[Term]]] = {}
        for same in alike.values():
            weights: dict[Node, Any] = {}
            for term in same:
                assert term.node is not None
                weights[term.node] = weights.get(term.node, 0.0) + term.weights
            parts = [(node, w) for node, w in weights.items() if isinstance(w, np.ndarray) or w]
            if parts:
                node, weight = self._sum(same[0], sorted(parts, key=lambda part: part[0].serial), sums)
                sums[node.serial][1].append(Term(same[0].rows, same[0].cols, weight, node, same[0].at))
        return [sums[key] for key in sums if isinstance(key, int)]

    def _sum(self, term: Term, parts: list[tuple[Node, Any]], sums: dict[Any, Any]) -> tuple[Node, Any]:
        """Return the node that is the sum of some times their weights, and a weight for it."""
        node, weight = parts[0]
        is_regular = regular(term.rows) is not None and regular(term.at) is not None
        if len(parts) == 1 and (isinstance(weight, np.ndarray) or abs(weight) == 1.0 or not is_regular):
            sums.setdefault(node.serial, (node, []))
            return node, weight
        sign = 1.0 if weight > 0 else -1.0
        key = tuple([(node.serial, sign * weight) for node, weight in parts])
        if key not in sums:
            total = self._products.sum([(node, sign * weight) for node, weight in parts])
            sums[key] = sums.setdefault(total.serial, (total, []))
        return sums[key][0], sign

    def _number(self, node: Node) -> int:
        self._arrays.append(node)
        return len(self._arrays) - 1


def spread(whole: Section, values: int, structure_of: Callable[[], Structure]) -> tuple[Section, Structure]:
    """Return a section with the entries of the Hessian in place of the product with it, and whose entries they are.

    Parameters
    ----------
    whole : Section
        Its last input is the direction, its last output the product, and its first outputs are values.
    values : int
        How many.
    structure_of : callable
        Returns the structure; asked for once the product has been followed.

    Raises
    ------
    Unfit
        The product cannot be followed, or products with all colors are less work.
    """
    *points, direction = whole.inputs
    followed = Coefficients(whole, direction)
    structure = structure_of()
    finish = Finish(followed.products, followed.of(whole.outputs[-1]), *structure.columns)
    known = {node.serial for node in whole.nodes}
    work = finish.work + sum(node.size for node in reachable([finish.node], known) if node.operation is not None)
    # Products take two colors where anything is beside the diagonal; how many they take is to be known only where it matters.
    if work > 2 * followed.work and work > structure.pattern.n_colors * followed.work:
        raise Unfit
    outputs = [*whole.outputs[:values], finish.node]
    ends = [*outputs, *(guard.node for guard in whole.guards)]
    nodes = [node for node in reachable(ends) if node.operation is not None]
    return Section(whole.name, points, nodes, outputs, whole.guards), structure
