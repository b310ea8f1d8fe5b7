"""Gradients of a vector of losses, each of its own example, by one sweep back over what was recorded.

Cotangents of values that have places for examples stay apart in one array as long as nothing is added up over examples: one sweep carries
those of all losses. Where a value that every example reads meets one with places, as weights meet rows, its cotangents get an axis of
examples in front, and what has gone in and comes back is multiplied example by example.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.linalg import limits
from hessian.operators.apart import Along, Name, axis_of, goals, names, origins
from hessian.rules.broadcast import sum_to
from hessian.rules.products import sparse_matmul_op
from hessian.rules.spec import Linear
from hessian.tape.array_steps import BilinearStep
from hessian.tape.steps import ElementwiseStep, Step, scaled
from hessian.tape.trace import Trace

_SPARE = 4
"""Numbers that cotangents with an axis of examples in front may have, in units of the gradients."""


class Unfit(Exception):
    """Cotangents of each example of what every example reads are too many."""


@dataclass(frozen=True)
class Outer:
    """Products of matrices, one for each example: ``left @ right`` of shapes (N, a, s) and (N, s, b), to be (N, *shape)."""

    left: np.ndarray
    right: np.ndarray
    shape: tuple[int, ...]

    def into(self, goal: np.ndarray) -> None:
        """Write the products to (N, a, b)."""
        if self.left.shape[2] == 1:
            np.multiply(self.left, self.right, out=goal)
        else:
            np.matmul(self.left, self.right, out=goal)

    def dense(self) -> np.ndarray:
        goal = np.empty((len(self.left), self.left.shape[1], self.right.shape[2]), self.left.dtype)
        self.into(goal)
        return goal.reshape((len(goal), *self.shape))

    def squares(self) -> np.ndarray | None:
        """Return the sum over examples of squares, flat, without the products; ``None`` where these are sums."""
        if self.left.shape[2] != 1:
            return None
        return ((self.left[:, :, 0] ** 2).T @ self.right[:, 0] ** 2).ravel()


Piece = Any
"""Cotangents of each example, (N, *shape), or an :class:`Outer`."""


class ExampleSweep:
    """The gradients of losses, shape (N, n), in the columns of the raveled x.

    Parameters
    ----------
    traced : Trace
        Of a function that returns one vector, on numbers.
    dtype : dtype
        Of the gradients.

    Attributes
    ----------
    gradients : ndarray, shape (N, n)
    squares : ndarray, shape (n,)
        Sums over examples of squared derivatives.

    Raises
    ------
    Unfit
        Examples meet in too many numbers.
    """

    def __init__(self, traced: Trace, dtype: Any) -> None:
        self._linearization = traced.linearization()
        (self._count,) = traced.values[0].shape
        self._dtype, self._steps = dtype, self._linearization.steps
        self.gradients = np.zeros((self._count, traced.primal.size), dtype)
        self.room = max(limits.BLOCK_NUMBERS, _SPARE * self.gradients.size)
        self._places: dict[int, np.ndarray] = {}
        self._views: dict[int, np.ndarray] = {}
        self._pending: dict[int, list[Outer]] = defaultdict(list)
        self._table: dict[int, Any] = {}
        self._axes: dict[int, Along | None] = {}
        self._operand_axes: dict[int, list[Along | None]] = {}
        self._times = np.zeros(traced.primal.size, np.intp)
        self._squares: list[tuple[np.ndarray, np.ndarray]] = []
        slot = traced.slots[0]
        with np.errstate(all="ignore"):
            if slot is not None:
                self._take_places(traced)
                self._find_axes(slot)
                self._sweep(slot, traced.values[0].dtype)
            self.squares = self._all_squares()

    # What is known before.

    def _take_places(self, traced: Trace) -> None:
        """Find values that are some of the numbers of x at other places, and where in the gradients these are."""
        start = 0
        for slot, shape in zip(traced.inputs, traced.primal.shapes, strict=True):
            size = int(np.prod(shape, dtype=int))
            self._places[slot] = np.arange(start, start + size).reshape(shape)
            self._views[slot] = self.gradients[:, start : start + size].reshape((self._count, *shape))
            start += size
        for slot, sources, step in self._steps:
            operation: Any = step.operation
            if len(sources) != 1 or sources[0] not in self._places or not isinstance(operation, Linear):
                continue
            if operation.variadic or operation.says != "positions":
                continue
            places = np.asarray(operation.function(self._places[sources[0]] + 1, **step.params)) - 1
            taken = places.ravel()
            if (taken < 0).any() or np.bincount(taken, minlength=1).max(initial=0) > 1:
                continue
            self._places[slot] = places
            if operation.view and sources[0] in self._views:
                view = operation.function(self._views[sources[0]], **step.params)
                # A copy would not be written through, and what NumPy broadcasts must not be written to.
                if np.may_share_memory(view, self.gradients) and view.flags.writeable:
                    self._views[slot] = view

    def _find_axes(self, last: int) -> None:
        """Find the axis of examples of every value that has one for all that reads it."""
        self._axes[last] = Along(0)
        for slot, sources, step in reversed(self._steps):
            if slot not in self._axes:
                continue
            along = self._axes[slot]
            axes = [None if along is None else axis_of(step, i, along) for i in range(len(sources))]
            self._operand_axes[slot] = axes
            for source, place in zip(sources, axes, strict=True):
                if source not in self._places:
                    self._axes[source] = place if self._axes.get(source, place) == place else None

    # The sweep.

    def _sweep(self, last: int, dtype: Any) -> None:
        self._add(last, np.ones(self._count, dtype), Along(0))
        for slot, sources, step in reversed(self._steps):
            g = self._table.pop(slot, None)
            if g is None:
                continue
            along = self._axes[slot]
            if along is None:
                for source, piece in zip(sources, step.pullback(g, 1), strict=True):
                    self._add(source, piece, None)
                continue
            axes = self._operand_axes[slot]
            for source, piece, place in zip(sources, self._pieces(step, g, along, axes), axes, strict=True):
                self._add(source, piece, place)
        for slot, products in self._pending.items():
            self._flush(slot, products)

    def _pieces(self, step: Step, g: Any, along: Along, axes: list[Along | None]) -> list[Piece]:
        """Return the cotangents of operands: apart along their axes of examples, or with one in front."""
        if isinstance(step, ElementwiseStep):
            # Broadcast axes are summed over; with examples in front, over the places of each.
            return [
                sum_to(term if place else along.in_front(term), shape, len(step.shape))
                for term, place, shape in zip([scaled(d, g) for d in step.partials], axes, step.shapes, strict=True)
            ]
        if isinstance(step, BilinearStep) and not step.params:
            return [_together(step, i, g) if place else _of_product(step, i, g, along) for i, place in enumerate(axes)]
        pieces = step.pullback(g, 0) if any(axes) else [None] * len(axes)
        return [pieces[i] if place else self._apart(step, i, g, along) for i, place in enumerate(axes)]

    def _apart(self, step: Step, i: int, g: Any, along: Along) -> Piece:
        """Return the cotangents of each example of an operand that all of them read."""
        operation, shape = step.operation, step.shapes[i]
        size = int(np.prod(shape, dtype=int))
        says = operation.says if isinstance(operation, Linear) else None
        if operation is sparse_matmul_op and along == (0, 1) and len(step.shape) == step.params["ndim"]:
            # Numbers of a sparse matrix are multiplied as those of a dense one are: so many has a gradient anyway.
            self._take(self._count * shape[0])
            return Outer(step.params["matrix"].toarray()[:, :, None], g.reshape((self._count, 1, -1)), shape)
        if says not in ("positions", "transpose"):
            self._take(self._count * g.size)
            return step.pullback(_spread(g, along, self._count), 1)[i]
        self._take(self._count * size)
        found = np.zeros((self._count, size), g.dtype)
        numbers, of_g = np.arange(size), np.arange(g.size)
        if says == "positions":
            numbers = origins(step, i).ravel()
        else:
            of_g = goals(step, i).ravel()
        there = (numbers >= 0) & (of_g >= 0)
        numbers, of_g = numbers[there], of_g[there]
        np.add.at(found, (along.examples(of_g, step.shape), numbers), np.ravel(g)[of_g])
        return found.reshape((self._count, *shape))

    def _take(self, numbers: int) -> None:
        self.room -= numbers
        if self.room < 0:
            raise Unfit

    # Where pieces go.

    def _add(self, slot: int, piece: Piece, place: Along | None) -> None:
        if piece is None:
            return
        if slot in self._places:
            if isinstance(piece, Outer):
                self._pending[slot].append(piece)
            elif place is None:
                self._write(slot, piece)
            else:
                self._write_places(slot, piece, place)
            return
        if self._axes[slot] is None:
            is_outer = isinstance(piece, Outer)
            self._take(int(np.prod(piece.shape, dtype=int)) * (self._count if is_outer or place else 1))
            piece = piece.dense() if is_outer else _spread(piece, place, self._count) if place else piece
        known = self._table.get(slot)
        self._table[slot] = piece if known is None else known + piece

    def _flush(self, slot: int, products: Sequence[Outer]) -> None:
        """Write products, those of equal shapes by one product."""
        alike: dict[Any, list[Outer]] = defaultdict(list)
        for one in products:
            alike[one.left.shape[1], one.right.shape[2], one.left.dtype, one.right.dtype].append(one)
        for same in alike.values():
            whole = same[0]
            if len(same) > 1:
                left, right = (
                    np.concatenate([getattr(one, side) for one in same], axis=k)
                    for side, k in (("left", 2), ("right", 1))
                )
                whole = Outer(left, right, whole.shape)
            self._write(slot, whole)

    def _write(self, slot: int, piece: Piece) -> None:
        """Add cotangents of every example to the gradients."""
        places = self._places[slot].ravel()
        is_new = not self._times[places].any()
        self._times[places] += 1
        view = self._views.get(slot)
        if isinstance(piece, Outer):
            squares = piece.squares()
            if squares is not None:
                self._squares.append((places, squares))
            if is_new and view is not None:
                goal = view.reshape((self._count, piece.left.shape[1], piece.right.shape[2]))
                if np.may_share_memory(goal, view):
                    piece.into(goal)
                    return
            piece = piece.dense()
        if view is not None:
            if is_new:
                view[...] = piece
            else:
                view += piece
        else:
            self.gradients[:, places] += piece.reshape(self._count, -1)

    def _write_places(self, slot: int, piece: np.ndarray, along: Along) -> None:
        """Add to the gradient of each example the cotangents at its place."""
        places = along.in_front(self._places[slot]).reshape(self._count, -1)
        self._times[places.ravel()] += 1
        self.gradients[np.arange(self._count)[:, None], places] += along.in_front(piece).reshape(self._count, -1)

    def _all_squares(self) -> np.ndarray:
        """Return the sums of squares: of products by those of their factors, of the rest of the columns by what they hold."""
        total = np.zeros(self.gradients.shape[1], self._dtype)
        is_left = self._times > 0
        for places, squares in self._squares:
            if (self._times[places] == 1).all():
                total[places], is_left[places] = squares, False
        columns = np.flatnonzero(is_left)
        step = limits.block_columns(max(len(columns), 1), limits.SWEEP_NUMBERS)
        for start in range(0, self._count if len(columns) else 0, step):
            part = self.gradients[start : start + step]
            total[columns] += np.sum((part if len(columns) == len(total) else part[:, columns]) ** 2, axis=0)
        return total

    def pulled_back(self, weights: np.ndarray) -> list[Any]:
        """Return leaves of a weighted sum of gradients, by a plain sweep; ``None`` is zero."""
        return self._linearization.pullback([weights])


def _spread(g: np.ndarray, along: Along, count: int) -> np.ndarray:
    """Give cotangents that lie apart along an axis one of examples in front."""
    found = np.zeros((count, *g.shape), g.dtype)
    at = np.arange(count)
    parts = found.reshape((count, *along.split(g.shape)))
    np.moveaxis(parts, along.axis + 1, 1)[at, at] = along.in_front(g)
    return found


def _together(step: Step, i: int, g: Any) -> Any:
    """Return the cotangent of one operand of a product."""
    p = step.positions[i]
    piece = step.operation.transposes[p](g, step.operands[1 - p])
    return sum_to(piece, step.shapes[i], len(step.shapes[i]) + step.gaps[i])


def _of_product(step: Step, i: int, g: Any, along: Along) -> Piece:
    """Return the cotangents of each example of an operand of a product that all of them read."""
    p, shape, axes = step.positions[i], step.shapes[i], names(step)
    labels, result, row = axes[p], axes[2], axes[2][along.axis]
    other, b = _without_short(axes[1 - p], step.operands[1 - p], result, step.shape)
    goal = [
        name
        for name, length in zip(labels, shape, strict=True)
        if name != row and (name not in result or length == step.shape[result.index(name)])
    ]
    g, of_result = _in_two(g, result, row, along.block)
    b, other = _in_two(b, other, row, along.block)
    g, of_result = _over(g, of_result, {row, *other, *goal})
    b, other = _over(b, other, {*of_result, *goal})
    first, last = (
        [name for name in goal if name in one and name not in two]
        for one, two in ((other, of_result), (of_result, other))
    )
    is_plain = all(len(set(one)) == len(one) for one in (of_result, other, goal))
    if not is_plain or goal not in ([*first, *last], [*last, *first]):
        numbers = {name: k for k, name in enumerate({*of_result, *other, row, *goal})}
        terms = (x for pair in ((g, of_result), (b, other)) for x in (pair[0], [numbers[name] for name in pair[1]]))
        piece = np.einsum(*terms, [numbers[row], *(numbers[name] for name in goal)])
        return piece.reshape((len(piece), *shape))
    inner = [name for name in of_result if name in other and name != row]
    count = step.shape[along.axis] // along.block
    of_b = _arranged(b, other, row, count, first, inner)
    of_g = _arranged(g, of_result, row, count, last, inner)
    left, right = (of_b, of_g) if goal == [*first, *last] else (of_g, of_b)
    return Outer(left, right.swapaxes(1, 2), shape)


def _without_short(
    labels: Sequence[Name], x: Any, result: Sequence[Name], shape: tuple[int, ...]
) -> tuple[list[Name], Any]:
    short = [k for k, name in enumerate(labels) if isinstance(name, int) and x.shape[k] != shape[result.index(name)]]
    return [name for k, name in enumerate(labels) if k not in short], x.reshape(
        [n for k, n in enumerate(x.shape) if k not in short]
    )


def _in_two(x: Any, labels: Sequence[Name], row: Name, block: int) -> tuple[Any, list[Name]]:
    """Give the places of an example an axis of their own."""
    if block == 1 or row not in labels:
        return x, list(labels)
    at = labels.index(row)
    return x.reshape(Along(at, block).split(x.shape)), [*labels[: at + 1], "places", *labels[at + 1 :]]


def _over(x: Any, labels: Sequence[Name], wanted: set[Name]) -> tuple[Any, list[Name]]:
    """Sum over axes that nobody else has."""
    alone = tuple(k for k, name in enumerate(labels) if name not in wanted)
    return (np.sum(x, axis=alone) if alone else x), [name for name in labels if name in wanted]


def _arranged(
    x: Any, labels: Sequence[Name], row: Name, count: int, outer: Sequence[Name], inner: Sequence[Name]
) -> np.ndarray:
    """Return an operand as matrices of one for each example, or of one for all: (N, outer, inner)."""
    lead = [row] if row in labels else []
    turned = x.transpose([labels.index(name) for name in [*lead, *outer, *inner]])
    size, depth = (int(np.prod([x.shape[labels.index(name)] for name in part], dtype=int)) for part in (outer, inner))
    return np.broadcast_to(turned.reshape((count if lead else 1, size, depth)), (count, size, depth))
