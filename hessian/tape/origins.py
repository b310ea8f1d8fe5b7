"""Where numbers stop being finite: the operation whose value or derivative is not, though everything that goes into it is.

One search for all orders: sweep as the derivative does, note which operation gave each slot a number that is not finite, and go from
the result against the sweep for as long as what came in was not finite already. Values that do not matter (of a branch not taken) are
on no such path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.rules.lines import user_line
from hessian.rules.spec import Partial
from hessian.rules.traced import Traced
from hessian.tape.array_methods import primal_array
from hessian.tape.remedies import COMPLEX, ZERO_DIVISOR, remedy
from hessian.tape.steps import ElementwiseStep, Step
from hessian.tape.sweeps import Accumulator, Linearization
from hessian.tape.tape import Instruction, Tape
from hessian.tape.taylor import taylor_table
from hessian.tape.trace import Trace


class LinedTape(Tape):
    """A tape that knows the line of user code of every instruction."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[int, str] = {}

    def append(self, instruction: Instruction, value: Any, active: bool) -> int:
        """Record an instruction, and where it stands."""
        slot = super().append(instruction, value, active)
        self.lines[slot] = user_line()
        return slot


@dataclass(frozen=True)
class Origin:
    """Where a value or a derivative stops being finite.

    Attributes
    ----------
    order : int
        0 for the value, k for the k-th derivative.
    operation : str
        Name of the operation; that of the argument where x or data are not finite themselves.
    line : str
        ``file:line: source`` of the user's line.
    indices : ndarray, shape (k, ndim)
        The elements that are not finite.
    shape : tuple of int
        Of the array they are elements of.
    operands : tuple of ndarray
        What the operation was given.
    fix : str
        What to write instead.
    """

    order: int
    operation: str
    line: str
    indices: np.ndarray
    shape: tuple[int, ...]
    operands: tuple[np.ndarray, ...]
    fix: str

    def __repr__(self) -> str:
        return f"{self._what}. {self.fix}."

    @property
    def _what(self) -> str:
        ordinal = {1: "first", 2: "second", 3: "third"}.get(self.order, f"{self.order}th")
        name = f"The {ordinal} derivative of {self.operation}" if self.order else self.operation
        name = name.replace("the derivative", "The derivative") if name.startswith("the ") else name
        total = int(np.prod(self.shape, dtype=int))
        text = f"{name} is not finite"
        if self.shape and len(self.indices):
            first = ", ".join(map(str, self.indices[0]))
            text += f" in {len(self.indices)} of {total} elements, first at [{first}]"
        given = [self._operand(x) for x in self.operands]
        text += f", where it is given {', '.join(given)}" if given else ""
        return text + (f", at {self.line}" if self.line else "")

    def _operand(self, x: np.ndarray) -> str:
        """Say what an operand is at the first of the elements, or what it is in all where it has no such element."""
        index = tuple(self.indices[0]) if len(self.indices) else ()
        if x.ndim <= len(self.shape) and all(
            n in (1, m) for n, m in zip(x.shape[::-1], self.shape[::-1], strict=False)
        ):
            return f"{x[tuple(0 if n == 1 else i for n, i in zip(x.shape, index[len(index) - x.ndim :], strict=True))]:.6g}"
        return f"an array of shape {x.shape}"


def origin_of_value(traced: Trace, paths: Sequence[str]) -> Origin | None:
    """Return where the value of a function stops being finite."""
    tape = traced.tape
    for value, slot in zip(traced.values, traced.slots, strict=True):
        if _is_finite(value):
            continue
        if slot is None:
            return _origin(0, "a result that does not depend on x", "", value, (), "Look at the data")
        return _value_at(traced, tape, slot, paths)
    return None


def _value_at(traced: Trace, tape: Tape, slot: int, paths: Sequence[str]) -> Origin:
    """Go from a value to the operation it came from: from a result that is not finite to an operand that makes it so."""
    while True:
        instruction, y = tape.instructions[slot], tape.values[slot]
        if instruction is None:
            at = traced.inputs.index(slot) if slot in traced.inputs else 0
            return _origin(0, paths[at], "", y, (), f"Pass a finite {paths[at]}")
        guilty = _guilty_operand(instruction, y)
        if guilty is None:
            return _of_instruction(0, tape, slot, y)
        if instruction.sources[guilty] < 0:
            name = f"argument {guilty} of {instruction.operation.name}, which is data,"
            return _origin(
                0,
                name,
                _line(tape, slot),
                instruction.operands[guilty],
                (),
                "Clean the data: np.isfinite finds the places",
            )
        slot = instruction.sources[guilty]


def _guilty_operand(instruction: Instruction, y: Any) -> int | None:
    """Return the operand without whose NaN or inf there would be less of it in the result."""
    operands, count = [primal_array(x) if isinstance(x, Traced) else x for x in instruction.operands], _count(y)
    suspects = [p for p, x in enumerate(operands) if not _is_finite(x)]
    for tried in [*([p] for p in suspects), suspects]:
        repaired = [np.where(np.isfinite(x), x, 1) if p in tried else x for p, x in enumerate(operands)]
        try:
            with np.errstate(all="ignore"):
                again = instruction.operation.function(*repaired, **instruction.params)
        except (ArithmeticError, ValueError, TypeError):
            continue
        if tried and _count(again) < count:
            return tried[0]
    return None


class _Blame:
    """Which operation gave a slot a number that is not finite."""

    def __init__(self, tape: Tape, steps: Sequence[tuple[int, tuple[int, ...], Step]], order: int) -> None:
        self.tape, self.order = tape, order
        self.steps = {slot: step for slot, _, step in steps}
        self.given: dict[int, tuple[int, Any]] = {}
        # Slots of operations to which everything that came in was finite.
        self.first: set[int] = set()

    def note(self, target: int, slot: int, piece: Any, inputs: Sequence[Any]) -> None:
        """Note what the operation at a slot gives a target from inputs."""
        if not _is_finite(piece):
            if all(map(_is_finite, inputs)):
                self.first.add(slot)
            self.given.setdefault(target, (slot, piece))

    def origin(self, target: int) -> Origin:
        """Go from a slot against the sweep."""
        seen = {target}
        while target in self.given:
            slot, piece = self.given[target]
            if slot in self.first or slot in seen:
                bad = _elements(self.steps[slot], piece, self.tape.values[slot])
                return _of_instruction(self.order, self.tape, slot, bad)
            seen.add(slot)
            target = slot
        # What is added up leaves the range of floating point, though none of it does.
        instruction = self.tape.instructions[target]
        name = "x" if instruction is None else instruction.operation.name
        return _origin(
            self.order, name, _line(self.tape, target), self.tape.values[target], (), remedy("", self.order, math.inf)
        )


def _elements(step: Step, piece: Any, y: Any) -> Any:
    """Return an array that is not finite in the elements of the result to blame, or in those of an operand."""
    if isinstance(step, ElementwiseStep):
        for d in step.partials:
            if not _is_finite(d):
                return np.broadcast_to(primal_array(d), y.shape)
    return piece


def origin_of_gradient(traced: Trace, linear: Linearization) -> Origin | None:
    """Return where the reverse sweep stops being finite; of several results, of their sum."""
    blame = _Blame(traced.tape, linear.steps, 1)
    sums = Accumulator(linear.length, linear.outputs, [np.ones(value.shape) for value in traced.values])
    with np.errstate(all="ignore"):
        for slot, sources, step in reversed(linear.steps):
            g = sums.total(slot)
            if g is not None:
                pieces = step.pullback(g, 0)
                for source, piece in zip(sources, pieces, strict=True):
                    blame.note(source, slot, piece, [g])
                sums.add(sources, pieces)
    return _blamed(blame, linear, sums)


def origin_of_product(traced: Trace, linear: Linearization, dots: Sequence[Any]) -> Origin | None:
    """Return where a product with the Hessian stops being finite: in the tangents, or in the tangents of cotangents."""
    linear.linearize_pullback([np.ones(value.shape) for value in traced.values])
    residuals = linear.pullback_residuals
    if residuals is None or all(map(_is_finite, linear.pullback_tangent(dots))):
        return None
    ahead, back = (_Blame(traced.tape, linear.steps, order) for order in (1, 2))
    table: list[Any] = [None] * linear.length
    for slot, t in zip(linear.inputs, dots, strict=True):
        table[slot] = t
    sums = Accumulator(linear.length, [], [])
    with np.errstate(all="ignore"):
        for slot, sources, step in linear.steps:
            given = [table[s] for s in sources]
            table[slot] = step.pushforward(given, 0)
            ahead.note(slot, slot, table[slot], given)
            if slot in ahead.first:
                return ahead.origin(slot)
        for (slot, sources, step), curved in zip(reversed(linear.steps), reversed(residuals), strict=True):
            g_dot, given = sums.total(slot), [table[s] for s in sources]
            if curved is not None:
                pieces = step.pullback_tangent(curved, given, table[slot], g_dot, 0)
            elif g_dot is not None:
                pieces = step.pullback(g_dot, 0)
            else:
                continue
            for source, piece in zip(sources, pieces, strict=True):
                back.note(source, slot, piece, [g_dot])
            sums.add(sources, pieces)
    return _blamed(back, linear, sums)


def _blamed(blame: _Blame, linear: Linearization, sums: Accumulator) -> Origin | None:
    """Return what is to blame for the first input whose cotangent is not finite."""
    return next((blame.origin(slot) for slot in linear.inputs if not _is_finite(sums.total(slot))), None)


def origin_of_series(traced: Trace, dots: Sequence[Any], order: int) -> Origin | None:
    """Return where Taylor coefficients stop being finite, at the lowest order at which that of the result does."""
    tape = traced.tape
    table = taylor_table(tape, traced.inputs, dots, traced.slots, order)
    for k in range(1, order + 1):
        for slot in traced.slots:
            series = None if slot is None else table[slot]
            if slot is None or series is None or series[k] is None or _is_finite(series[k]):
                continue
            return _of_instruction(k, tape, *_first_coefficient(tape, table, slot, k))
    return None


def _first_coefficient(tape: Tape, table: Sequence[Any], slot: int, k: int) -> tuple[int, Any]:
    """Go from a coefficient that is not finite to the operation it came from."""

    def spoils(source: int) -> bool:
        series = table[source] if source >= 0 and tape.instructions[source] is not None else None
        return series is not None and not all(_is_finite(series[j]) for j in range(1, k + 1))

    while True:
        instruction = tape.instructions[slot]
        assert instruction is not None
        source = next(filter(spoils, instruction.sources), None)
        if source is None:
            series = table[slot]
            return slot, None if series is None else series[k]
        slot = source


def _of_instruction(order: int, tape: Tape, slot: int, bad: Any) -> Origin:
    """Return what is known of an operation that is to blame."""
    instruction = tape.instructions[slot]
    assert instruction is not None
    operands = tuple(np.asarray(primal_array(x)) for x in instruction.operands)
    operation, array = instruction.operation, np.asarray(primal_array(bad))
    called = ""
    while isinstance(operation, Partial):
        # A derivative that the function takes itself: the first operand is the value of what is differentiated.
        called, operation, operands = f"{called}the derivative of ", operation.row, operands[1:]
    reals = [x for x in operands if x.dtype.kind == "f"]
    there = [x[~np.isfinite(array)] for x in reals if x.shape == array.shape]
    size = max((float(np.max(np.abs(x), initial=0.0)) for x in there or reals), default=0.0)
    line, name = _line(tape, slot), operation.name
    divides_by_data = name == "divide" and instruction.sources[-1] < 0
    fix = ZERO_DIVISOR if divides_by_data else remedy(name, order, size, line)
    if name.endswith(COMPLEX):
        name = f"{name.rpartition('_')[0]} of complex numbers"
    return _origin(order, called + name, line, bad, operands, fix)


def _origin(order: int, name: str, line: str, bad: Any, operands: tuple[np.ndarray, ...], fix: str) -> Origin:
    array = np.asarray(primal_array(bad))
    return Origin(order, name, line, np.argwhere(~np.isfinite(array)), array.shape, operands, fix)


def _line(tape: Tape, slot: int) -> str:
    return tape.lines.get(slot, "") if isinstance(tape, LinedTape) else ""


def _count(x: Any) -> int:
    return int(np.sum(~np.isfinite(primal_array(x))))


def _is_finite(x: Any) -> bool:
    if x is None:
        return True
    array = np.asarray(primal_array(x))
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
