"""From a function that has been run on recorded values to the graph of a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.core.tape import Tape
from hessian.core.variable import Variable
from hessian.programs.graph import CONSTANT, Builder, Node


@dataclass
class Graph:
    """What a program computes.

    Attributes
    ----------
    inputs : list of Node
    outputs : list of Node
    guards : list of Guard
    """

    inputs: list[Node]
    outputs: list[Node]
    guards: list[Guard]


@dataclass
class Guard:
    """What must be seen again for a program to be the right one; ``early`` if the first output depends on it."""

    node: Node
    seen: np.ndarray
    early: bool


@dataclass
class Argument:
    """An argument of a traced function: an example value, what it stands for, and whether derivatives are taken in it."""

    value: Any
    level: int
    active: bool = True


@dataclass
class Results:
    """What a traced function returns: its outputs, and how many guards had been met when the first one was known."""

    outputs: list[Any]
    early_guards: int


def trace(function: Callable[..., Results], arguments: Sequence[Argument], *, borrows: bool = False) -> Graph:
    """Run ``function`` on recorded values and return the graph of its results; ``borrows`` keeps constants uncopied."""
    tape = Tape(replayed=True, borrows=borrows)
    variables = [Variable(tape, tape.add_input(a.value, a.active), a.value) for a in arguments]
    slots = [v.slot for v in variables]
    try:
        results = function(*variables)
    finally:
        tape.close()
    return _graph(tape, slots, results, arguments)


def _graph(tape: Tape, slots: list[int], results: Results, arguments: Sequence[Argument]) -> Graph:
    """Build nodes for what the results and the guards of a tape need, in the order of the tape."""
    builder = Builder()
    nodes: list[Any] = [None] * len(tape)
    for slot, argument in zip(slots, arguments, strict=True):
        nodes[slot] = builder.input(np.shape(argument.value), argument.value.dtype, argument.level)
    inputs = [nodes[slot] for slot in slots]
    needed = bytearray(len(tape))
    for result in results.outputs:
        if isinstance(result, Variable):
            needed[result.slot] = 1
    for slot, _ in tape.guards:
        needed[slot] = 1
    instructions = tape.instructions
    for slot in range(len(tape) - 1, -1, -1):
        instruction = instructions[slot]
        if needed[slot] and instruction is not None:
            for source in instruction.sources:
                if source >= 0:
                    needed[source] = 1
    for slot, instruction in enumerate(instructions):
        if instruction is None or not needed[slot]:
            continue
        args = [
            nodes[source] if source >= 0 else builder.constant(operand)
            for source, operand in zip(instruction.sources, instruction.operands, strict=True)
        ]
        value = tape.values[slot]
        nodes[slot] = builder.apply(instruction.operation, args, instruction.params, value.shape, value.dtype)
    outputs = [nodes[r.slot] if isinstance(r, Variable) else builder.constant(np.asarray(r)) for r in results.outputs]
    guards: dict[int, Guard] = {}
    for i, (slot, seen) in enumerate(tape.guards):
        if nodes[slot].level != CONSTANT:
            guards.setdefault(nodes[slot].serial, Guard(nodes[slot], seen, i < results.early_guards))
    return Graph(inputs, outputs, list(guards.values()))
