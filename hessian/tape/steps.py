"""One operation linearised at a point: its tangent map, its transpose, and how the transpose turns with the point.

For an operation y = f(x_1, ..., x_n) and a fixed cotangent y_bar, a step gives three linear maps:

======================  =========================================================================================
``pushforward``         x_dot -> y_dot = sum_i D_i f x_dot_i
``pullback``            y_bar -> x_bar_i = (D_i f)^T y_bar
``linearize_pullback``  then
``pullback_tangent``    (x_dot, y_bar_dot) -> x_bar_dot_i = (D_i f)^T y_bar_dot + D_x[(D_i f)^T y_bar] x_dot
======================  =========================================================================================

Everything that depends on the point alone is computed once, in the constructor and in ``linearize_pullback``; ``pushforward``,
``pullback`` and ``pullback_tangent`` are what a sweep repeats.
All of it is written in operations that dispatch, so a step may itself be recorded.
Tangents and cotangents carry ``batch`` leading axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from hessian.rules.broadcast import open_gap, sum_to
from hessian.rules.spec import Operation
from hessian.tape.array_methods import primal_array
from hessian.tape.array_protocol import ArrayProtocol

Pieces = list[Any]


class Reach(Protocol):
    """Says which elements of a result matter, and which of its operands vary; ``None`` is all."""

    def __call__(self) -> np.ndarray | None: ...

    def varied(self) -> list[np.ndarray | None] | None: ...


Differentiate = Callable[[Callable[..., Sequence[Any]], Sequence[Any]], Any]
"""From a function of several values with several results, and the values, to its linearization there."""


def scaled(d: Any, t: Any) -> Any:
    """Return ``d * t``, sparing the product for the constants 1 and -1."""
    if type(d) is int:
        if d == 1:
            return t
        if d == -1:
            return -t
    return d * t


def added(total: Any, term: Any) -> Any:
    """Return ``total + term`` where ``None`` is an exact zero."""
    if total is None:
        return term
    return total if term is None else total + term


def added_in_place(total: Any, term: Any) -> Any:
    """Add ``term`` to ``total``, which the caller has just computed and nobody else holds."""
    if (
        type(total) is np.ndarray
        and type(term) is np.ndarray
        and total.shape == term.shape
        and total.dtype == term.dtype
    ):
        return np.add(total, term, out=total)
    return total + term


_SUM, _SMALL = np.add.reduce, 4096
"""Vectors shorter than this are multiplied with themselves in less time than a sum takes."""


def suspicious(d: Any) -> bool:
    """Tell whether an array, or a derivative of it, may hold an inf or a NaN. Cheap: it looks at the sum; never misses.

    What will be replayed on other numbers is taken to be finite: an infinite partial that matters shows in the results of
    the replay, which then are computed without a program.
    """
    if type(d) is np.ndarray:
        if d.dtype.kind == "b":
            return False
        # Where a square overflows, it is looked at more closely than need be.
        small = d.ndim == 1 and d.size < _SMALL and d.dtype.kind == "f"
        return not math.isfinite(d.dot(d) if small else _SUM(d, None))
    if isinstance(d, ArrayProtocol):
        # Finite here, but a derivative that is taken of it later may not be.
        return not d.will_change
    if isinstance(d, int | float):
        return not math.isfinite(d)
    return d.dtype.kind != "b" and not math.isfinite(d)


# Shared by the many steps whose operands need no alignment.
_NO_GAPS: tuple[tuple[int, ...], ...] = ((), (0,), (0, 0), (0, 0, 0))


class Step:
    """A linearised operation; ``positions`` are its operands that carry derivatives."""

    __slots__ = ("gaps", "operands", "operation", "params", "positions", "shape", "shapes", "y")

    def __init__(
        self,
        operation: Operation,
        operands: tuple[Any, ...],
        positions: tuple[int, ...],
        y: Any,
        params: dict[str, Any],
    ) -> None:
        self.operation: Any = operation
        self.operands = operands
        self.positions = positions
        self.params = params
        self.y = y
        self.shape = y.shape
        self.shapes = [operands[p].shape for p in positions]
        self.gaps = _NO_GAPS[len(positions)] if len(positions) < len(_NO_GAPS) else (0,) * len(positions)
        self.prepare()

    def prepare(self) -> None:
        """Compute what depends on the point alone."""

    def pushforward(self, dots: Pieces, batch: int) -> Any:
        """Map tangents of the operands (``None`` is zero) to the tangent of the result."""
        raise NotImplementedError

    def pullback(self, g: Any, batch: int) -> Pieces:
        """Map a cotangent of the result to cotangents of the operands."""
        raise NotImplementedError

    def linearize_pullback(self, g: Any, reach: Reach, differentiate: Differentiate) -> Any:
        """Return what ``pullback_tangent`` needs for the fixed cotangent ``g``, or ``None`` if the pullback does not turn.

        ``differentiate`` is how a step gets the derivative of one of its own formulas: sweeps are made of steps, and pass it down.
        """
        return None

    def pullback_tangent(self, pullback_residuals: Any, dots: Pieces, y_dot: Any, g_dot: Any, batch: int) -> Pieces:
        """Map tangents and the tangent ``g_dot`` of the cotangent given to ``linearize_pullback`` to tangents of the pullback."""
        raise NotImplementedError

    def useful_operands(self, useful: np.ndarray | None) -> list[np.ndarray | None]:
        """Map the mask of result elements that matter to masks for the operands; ``None`` means all of them."""
        return [None] * len(self.positions)

    def varied_result(self, varied: list[np.ndarray | None]) -> np.ndarray | None:
        """Map masks of operand elements that vary with some input to one for the result; ``None`` means all of it."""
        return None

    def needs_mask(self) -> bool:
        """Tell whether a zero cotangent or tangent may not stay zero here, because something is not finite."""
        return False

    def reached(self, mask: np.ndarray | None) -> np.ndarray | None:
        """Take out of a mask of the result what a constant makes zero, whatever the other operands are."""
        return mask

    def restrict(self, useful: np.ndarray | None, varied: list[np.ndarray | None] | None) -> None:
        """Make the derivative exactly zero at result elements that do not matter and in operand elements that stay."""

    def _opened(self, dots: Pieces) -> Pieces:
        """Align tangents with the loop axes that the primals broadcast over."""
        return [
            t if t is None or not gap else open_gap(t, len(shape), gap)
            for t, gap, shape in zip(dots, self.gaps, self.shapes, strict=True)
        ]

    def _loop_gaps(self, core: tuple[int, ...]) -> None:
        loops = [np.ndim(x) - c for x, c in zip(self.operands, core, strict=False)]
        longest = max(loops)
        self.gaps = tuple([longest - loops[p] for p in self.positions])

    def _summed(self, piece: Any, i: int) -> Any:
        """Undo the broadcast of operand ``i`` over loop axes."""
        shape = self.shapes[i]
        if not self.gaps[i] and piece is not None and piece.shape == shape:
            return piece
        return None if piece is None else sum_to(piece, shape, len(shape) + self.gaps[i])


class ElementwiseStep(Step):
    """First partials are arrays; second partials are folded into the fixed cotangent by ``linearize_pullback``."""

    __slots__ = ("partials",)

    def prepare(self) -> None:
        xs = self.operands = self._in_result_dtype()
        y, params = self.y, self.params
        # Plain numbers have nobody to be recorded by: partials are the formulas that they were declared by.
        d1 = self.operation.formulas if type(y) is np.ndarray else self.operation.d1
        self.partials = [d1[p](y, *xs, **params) if callable(d1[p]) else d1[p] for p in self.positions]
        ndim = len(self.shape)
        for shape in self.shapes:
            if len(shape) != ndim:
                self.gaps = tuple([ndim - len(shape) for shape in self.shapes])
                break

    def _in_result_dtype(self) -> tuple[Any, ...]:
        """Return the operands in the dtype of the result: partials of integers would overflow where the value does not."""
        states, dtype = self.operation.states, self.y.dtype
        for x in self.operands:
            if getattr(x, "dtype", dtype) != dtype:
                break
        else:
            return self.operands
        return tuple(
            x
            if getattr(x, "dtype", dtype) == dtype or (states is not None and states[p] is not None)
            else x.astype(dtype)
            for p, x in enumerate(self.operands)
        )

    def needs_mask(self) -> bool:
        return any(type(d) is not int and suspicious(d) for d in self.partials)

    def pushforward(self, dots: Pieces, batch: int) -> Any:
        if len(dots) == 1 and self.shapes[0] == self.shape:  # a unary function, and nothing to align
            return None if dots[0] is None else scaled(self.partials[0], dots[0])
        total = None
        for t, d in zip(self._opened(dots) if batch else dots, self.partials, strict=True):
            if t is not None:
                total = added(total, scaled(d, t))
        if total is not None and total.shape[batch:] != self.shape:
            total = np.broadcast_to(total, total.shape[:batch] + self.shape)
        return total

    def pullback(self, g: Any, batch: int) -> Pieces:
        ndim = len(self.shape)
        pieces = [scaled(d, g) for d in self.partials]
        if len(pieces) == 1 and pieces[0].shape == self.shapes[0]:
            return pieces
        return [sum_to(piece, shape, ndim) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def linearize_pullback(self, g: Any, reach: Reach, differentiate: Differentiate) -> Any:
        pullback_residuals = []
        for i, j, entry in self._second_partials(differentiate):
            coefficient = scaled(entry, g)
            if suspicious(coefficient):
                varied = reach.varied() or [None] * len(self.positions)
                coefficient = self._masked(coefficient, reach(), varied[i], varied[j])
            pullback_residuals.append((i, j, coefficient))
        return pullback_residuals or None

    def _masked(self, d: Any, *masks: np.ndarray | None) -> Any:
        """Return a partial with exact zeros where some mask is false."""
        for mask in masks:
            if mask is not None:
                d = np.where(mask, d, np.zeros((), self.y.dtype))
        return d

    def pullback_tangent(self, pullback_residuals: Any, dots: Pieces, y_dot: Any, g_dot: Any, batch: int) -> Pieces:
        opened = self._opened(dots) if batch else dots
        ndim = len(self.shape)
        pieces: Pieces = [None] * len(dots)
        fresh = [False] * len(dots)
        if g_dot is not None:
            pieces = [scaled(d, g_dot) for d in self.partials]
            fresh = [type(d) is not int for d in self.partials]
        for i, j, coefficient in pullback_residuals:
            if opened[j] is not None:
                term = coefficient * opened[j]
                if pieces[i] is None:
                    pieces[i] = term
                else:
                    pieces[i] = added_in_place(pieces[i], term) if fresh[i] else pieces[i] + term
                fresh[i] = True
        return [
            None if piece is None else sum_to(piece, shape, ndim)
            for piece, shape in zip(pieces, self.shapes, strict=True)
        ]

    def _second_partials(self, differentiate: Differentiate) -> list[tuple[int, int, Any]]:
        if self.operation.d2 is None:
            return self._derived_partials(differentiate)
        d2, y, xs, params = self.operation.d2, self.y, self.operands, self.params
        entries = []
        for i, p in enumerate(self.positions):
            for j, q in enumerate(self.positions):
                entry = d2.get((p, q))
                if entry is not None:
                    entries.append((i, j, entry(y, *xs, **params) if callable(entry) else entry))
        return entries

    def _derived_partials(self, differentiate: Differentiate) -> list[tuple[int, int, Any]]:
        """Obtain unknown second partials by differentiating ``d1`` along each argument."""
        one = np.ones(self.shape, self.y.dtype)

        def partials(y: Any, *xs: Any) -> list[Any]:
            operands = list(self.operands)
            for q, x in zip(self.positions, xs, strict=True):
                operands[q] = x
            entries = [self.operation.d1[p] for p in self.positions]
            return [entry(y, *operands, **self.params) if callable(entry) else entry for entry in entries]

        here = [np.broadcast_to(self.operands[q], self.shape) for q in self.positions]
        derivative = differentiate(partials, [self.y, *here])
        second = []
        for j in range(len(here)):
            along: Pieces = [scaled(self.partials[j], one), *(one if k == j else None for k in range(len(here)))]
            second += [(i, j, slope) for i, slope in enumerate(derivative.pushforward(along, 0)) if slope is not None]
        return second

    def useful_operands(self, useful: np.ndarray | None) -> list[np.ndarray | None]:
        masks: list[np.ndarray | None] = []
        for d, shape in zip(self.partials, self.shapes, strict=True):
            mask = useful
            if self.operation.selects:
                taken = np.broadcast_to(primal_array(d) != 0, self.shape)
                mask = taken if useful is None else useful & taken
            masks.append(None if mask is None else sum_to(mask.astype(float), shape, len(self.shape)) != 0)
        return masks

    def varied_result(self, varied: list[np.ndarray | None]) -> np.ndarray | None:
        total: np.ndarray | None = None
        for d, mask in zip(self.partials, varied, strict=True):
            part = np.broadcast_to(True if mask is None else mask, self.shape)
            if self.operation.selects:
                part = part & (primal_array(d) != 0)
            total = part if total is None else total | part
        return None if total is None or total.all() else total

    def reached(self, mask: np.ndarray | None) -> np.ndarray | None:
        for p in self.operation.annihilates:
            x = self.operands[p]
            if p not in self.positions and not isinstance(x, ArrayProtocol) and not np.all(x):
                taken = np.broadcast_to(x != 0, self.shape)
                mask = taken if mask is None else mask & taken
        return mask

    def restrict(self, useful: np.ndarray | None, varied: list[np.ndarray | None] | None) -> None:
        masks = varied or [None] * len(self.positions)
        self.partials = [
            self._masked(d, useful, mask) if type(d) is not int and suspicious(d) else d
            for d, mask in zip(self.partials, masks, strict=True)
        ]
