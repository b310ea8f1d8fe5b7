"""Steps of operations that join elements of arrays: linear, bilinear and any other."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import MissingRuleError, message
from hessian.rules.broadcast import sum_to
from hessian.rules.spec import Bilinear, Elementwise, General, Linear, Operation, Partial
from hessian.tape.array_methods import primal_array
from hessian.tape.array_protocol import ArrayProtocol
from hessian.tape.steps import Differentiate, ElementwiseStep, Pieces, Reach, Step, added, added_in_place, suspicious


class LinearStep(Step):
    """Push is the map itself, pull its transpose; nothing turns."""

    __slots__ = ()

    def pushforward(self, dots: Pieces, batch: int) -> Any:
        if not self.operation.variadic:
            t = dots[0]
            if type(t) is np.ndarray:  # nothing to dispatch on
                return self.operation.function(t, **self.params)
            return None if t is None else self.operation(t, **self.params)
        given = dict(zip(self.positions, dots, strict=True))
        some = next((t for t in dots if t is not None), None)
        if some is None:
            return None
        lead = some.shape[:batch]
        full = [
            given[i] if given.get(i) is not None else np.zeros(lead + np.shape(x), self.y.dtype)
            for i, x in enumerate(self.operands)
        ]
        return self.operation(*full, **self.params)

    def pullback(self, g: Any, batch: int) -> Pieces:
        if not self.operation.variadic:
            return [self.operation.transpose(g, self.shapes[0], **self.params)]
        shapes = [np.shape(x) for x in self.operands]
        return self.operation.transpose(g, self.positions, shapes, **self.params)

    def useful_operands(self, useful: np.ndarray | None) -> list[np.ndarray | None]:
        operation, params = self.operation, self.params
        if operation.moduli is not None and useful is not None:
            params = operation.moduli(**params)
            return [operation.transpose(useful.astype(float), self.shapes[0], **params) != 0]
        if not operation.moves:
            return super().useful_operands(useful)
        # The transpose of a map of zeros and ones reaches exactly the operand elements that matter.
        weight = np.ones(self.shape) if useful is None else useful.astype(float)
        return [mask != 0 for mask in self.pullback(weight, 0)]

    def varied_result(self, varied: list[np.ndarray | None]) -> np.ndarray | None:
        if varied[0] is not None and self.operation.moduli is not None:
            return self.operation(varied[0].astype(float), **self.operation.moduli(**self.params)) != 0
        if not self.operation.moves or all(mask is None for mask in varied):
            return None
        weights = [
            np.ones(shape) if mask is None else mask.astype(float)
            for mask, shape in zip(varied, self.shapes, strict=True)
        ]
        return self.pushforward(weights, 0) != 0


class BilinearStep(Step):
    """Product rule; the pullback in one argument turns with the other."""

    __slots__ = ()

    def prepare(self) -> None:
        a, b = self.operands
        if a.ndim - b.ndim != self.operation.core[0] - self.operation.core[1]:
            self._loop_gaps(self.operation.core[:2])

    def pushforward(self, dots: Pieces, batch: int) -> Any:
        total = None
        for t, p in zip(self._opened(dots) if batch else dots, self.positions, strict=True):
            if t is not None:
                a, b = (t, self.operands[1]) if p == 0 else (self.operands[0], t)
                term = self.operation(a, b, **self.params)
                total = term if total is None else added_in_place(total, term)
        return total

    def pullback(self, g: Any, batch: int) -> Pieces:
        transposes, operands = self.operation.transposes, self.operands
        return [self._summed(transposes[p](g, operands[1 - p], **self.params), i) for i, p in enumerate(self.positions)]

    def useful_operands(self, useful: np.ndarray | None) -> list[np.ndarray | None]:
        if useful is None:
            return [None] * len(self.positions)
        masks = self._reaching(useful)
        return [masks[p] for p in self.positions]

    def _reaching(self, useful: np.ndarray) -> list[np.ndarray | None]:
        """Return which elements of both operands take part in some result element that matters."""
        masks: list[np.ndarray | None] = []
        weight = useful.astype(np.float32)
        for p, transpose in enumerate(self.operation.transposes):
            reached = transpose(weight, np.ones(self.operands[1 - p].shape, np.float32), **self.params)
            mask = sum_to(reached, self.operands[p].shape, reached.ndim) != 0
            masks.append(None if mask.all() else mask)
        return masks

    def varied_result(self, varied: list[np.ndarray | None]) -> np.ndarray | None:
        if any(mask is None for mask in varied):
            return None
        total: np.ndarray = np.zeros(self.shape, bool)
        for p, mask in zip(self.positions, varied, strict=True):
            factors: list[Any] = [np.ones(x.shape, np.float32) for x in self.operands]
            factors[p] = np.asarray(mask, np.float32)
            total |= self.operation.function(*factors, **self.params) != 0
        return None if total.all() else total

    def needs_mask(self) -> bool:
        # Every element of an operand takes part in some result.
        return suspicious(self.y)

    def restrict(self, useful: np.ndarray | None, varied: list[np.ndarray | None] | None) -> None:
        if useful is None:
            return
        self.operands = tuple(
            x if mask is None else np.where(mask, x, np.zeros((), x.dtype))
            for x, mask in zip(self.operands, self._reaching(useful), strict=True)
        )

    def linearize_pullback(self, g: Any, reach: Reach, differentiate: Differentiate) -> Any:
        return g if len(self.positions) == 2 else None

    def pullback_tangent(self, pullback_residuals: Any, dots: Pieces, y_dot: Any, g_dot: Any, batch: int) -> Pieces:
        opened = self._opened(dots) if batch else dots
        pieces = [None, None] if g_dot is None else self.pullback(g_dot, batch)
        for i in (0, 1):
            if opened[1 - i] is not None:
                term = self._summed(self.operation.transposes[i](pullback_residuals, opened[1 - i], **self.params), i)
                pieces[i] = term if pieces[i] is None else added_in_place(term, pieces[i])
        return pieces


class GeneralStep(Step):
    """Pushforward and pullback as given; the pullback is recorded once to see how it turns."""

    __slots__ = ("residuals", "useful", "useful_pieces")

    def prepare(self) -> None:
        self.useful: np.ndarray | None = None
        self.useful_pieces: list[np.ndarray | None] = []
        if self.operation.core is not None:
            self._loop_gaps(self.operation.core)
        self.residuals = self._residuals_at(self.y, self.operands)

    def _residuals_at(self, y: Any, operands: Any) -> dict[str, Any]:
        """Return the keywords of pushforward and pullback: parameters, and what depends on the point alone."""
        prepare = self.operation.prepare
        return self.params if prepare is None else {**self.params, **prepare(y, operands, **self.params)}

    def useful_operands(self, useful: np.ndarray | None) -> list[np.ndarray | None]:
        operation = self.operation
        shares = self.residuals.get("shares") if operation.along_axes else None
        if shares is not None:
            taken = primal_array(shares) != 0
            return [taken if useful is None else taken & useful]
        if useful is None:
            return [None] * len(self.positions)
        if operation.along_axes:
            return [np.broadcast_to(useful.any(axis=self.params["axes"], keepdims=True), self.shapes[0])]
        if operation.core is None:
            return [None] * len(self.positions)
        return [
            self._across(useful, operation.core[-1], shape, operation.core[p])
            for p, shape in zip(self.positions, self.shapes, strict=True)
        ]

    def varied_result(self, varied: list[np.ndarray | None]) -> np.ndarray | None:
        if any(mask is None for mask in varied):
            return None
        operation, axes = self.operation, self.params.get("axes")
        if operation.along_axes:
            return np.broadcast_to(np.any(varied[0], axis=axes, keepdims=True), self.shape)
        if operation.core is None:
            return None
        total = np.zeros(self.shape, bool)
        for p, mask in zip(self.positions, varied, strict=True):
            total |= self._across(mask, operation.core[p], self.shape, operation.core[-1])
        return total

    @staticmethod
    def _across(mask: Any, core: int, shape: tuple[int, ...], other: int) -> np.ndarray:
        """Carry a mask from one array of an operation to another: all elements of a matrix matter if one does."""
        loops = mask.any(axis=tuple(range(-core, 0))) if core else mask
        loop_shape = shape[: len(shape) - other]
        if len(loop_shape) < loops.ndim:
            loops = sum_to(loops.astype(float), loop_shape, loops.ndim) != 0
        elif loops.shape != loop_shape:
            stretched = tuple(i for i, n in enumerate(loop_shape[len(loop_shape) - loops.ndim :]) if n == 1)
            loops = loops.any(axis=stretched, keepdims=True) if stretched else loops
        return np.broadcast_to(loops[(..., *(None,) * other)], shape)

    def needs_mask(self) -> bool:
        singular = self.operation.singular
        if singular is not None and not isinstance(self.y, ArrayProtocol) and singular(self.y, **self.params):
            return True
        return suspicious(self.y)

    def restrict(self, useful: np.ndarray | None, varied: list[np.ndarray | None] | None) -> None:
        masks = self.useful_operands(useful)
        if useful is not None and any(mask is not None for mask in masks):
            core = self.operation.core
            # Pullbacks read all of a result whose elements are tied together, also those that do not matter themselves.
            tied = tuple(range(-core[-1], 0)) if core else self.params["axes"]
            self.useful, self.useful_pieces = np.asarray(useful.any(axis=tied, keepdims=True)), masks

    def _at_useful(self, pieces: Pieces) -> Pieces:
        """Return cotangents with exact zeros at elements that do not matter."""
        if self.useful is None:
            return pieces
        return [
            piece if piece is None or mask is None else np.where(mask, piece, np.zeros((), self.y.dtype))
            for piece, mask in zip(pieces, self.useful_pieces, strict=True)
        ]

    def pushforward(self, dots: Pieces, batch: int) -> Any:
        if all(t is None for t in dots):
            return None
        y_dot = self.operation.pushforward(self.y, self.operands, self._in_full(dots, batch), **self.residuals)
        return y_dot if self.useful is None else np.where(self.useful, y_dot, np.zeros((), self.y.dtype))

    def _in_full(self, dots: Pieces, batch: int) -> Pieces:
        """Return a tangent for every operand, ``None`` where it carries no derivative."""
        full: Pieces = [None] * len(self.operands)
        for p, t in zip(self.positions, self._opened(dots) if batch else dots, strict=True):
            full[p] = t
        return full

    def pullback(self, g: Any, batch: int) -> Pieces:
        return self._at_useful(self._pullback(self.y, self.operands, g, self.residuals))

    def _pullback(self, y: Any, operands: Any, g: Any, residuals: dict[str, Any]) -> Pieces:
        wanted = [p in self.positions for p in range(len(operands))]
        pieces = self.operation.pullback(y, operands, g, wanted, **residuals)
        return [self._summed(pieces[p], i) for i, p in enumerate(self.positions)]

    def linearize_pullback(self, g: Any, reach: Reach, differentiate: Differentiate) -> Any:
        if not self.operation.curved:
            return None
        operands = list(self.operands)

        def pullback(y: Any, *xs: Any) -> Pieces:
            for p, x in zip(self.positions, xs, strict=True):
                operands[p] = x
            return self._pullback(y, operands, g, self._residuals_at(y, operands))

        return differentiate(pullback, [self.y, *(self.operands[p] for p in self.positions)]), reach

    def pullback_tangent(self, pullback_residuals: Any, dots: Pieces, y_dot: Any, g_dot: Any, batch: int) -> Pieces:
        linearization, reach = pullback_residuals
        pieces = linearization.pushforward([y_dot, *dots], batch)
        if self.useful is None and any(piece is not None and suspicious(piece) for piece in pieces):
            self.restrict(reach(), None)
        pieces = self._at_useful(pieces)
        if g_dot is None:
            return pieces
        return [added(a, b) for a, b in zip(pieces, self._pullback_of_tangent(g_dot, dots, batch), strict=True)]

    def _pullback_of_tangent(self, g_dot: Any, dots: Pieces, batch: int) -> Pieces:
        """Map a tangent of the cotangent back."""
        rule = self.operation.pullback_of_tangent
        if rule is None or all(t is None for t in dots):
            return self.pullback(g_dot, batch)
        pieces = rule(self.y, self.operands, g_dot, self._in_full(dots, batch), **self.residuals)
        return self._at_useful([self._summed(pieces[p], i) for i, p in enumerate(self.positions)])


_KINDS: dict[type, type[Step]] = {
    Elementwise: ElementwiseStep,
    Partial: ElementwiseStep,
    Linear: LinearStep,
    Bilinear: BilinearStep,
    General: GeneralStep,
}


def local_linearization(
    operation: Operation, operands: tuple[Any, ...], positions: tuple[int, ...], y: Any, params: dict[str, Any]
) -> Step:
    """Linearise one operation at its operands."""
    kind = _KINDS.get(type(operation))
    if kind is None:
        raise MissingRuleError(
            message(operation.name, f"operations of kind {type(operation).__name__} have no derivative")
        )
    return kind(operation, operands, positions, y, params)
