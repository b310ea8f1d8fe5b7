"""From a function that has been run on recorded values to the graph of a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.core.tape import Tape
from hessian.core.variable import Variable
from hessian.programs.graph import CONSTANT, Builder, Node
from hessian.rules.indexing import embed_op, slice_op
from hessian.rules.shaping import broadcast_op, permute_op, reshape_op
from hessian.rules.spec import Operation


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
        nodes[slot] = _node(builder, instruction.operation, args, instruction.params, value.shape, value.dtype)
    outputs = [nodes[r.slot] if isinstance(r, Variable) else builder.constant(np.asarray(r)) for r in results.outputs]
    guards: dict[int, Guard] = {}
    for i, (slot, seen) in enumerate(tape.guards):
        if nodes[slot].level != CONSTANT:
            guards.setdefault(nodes[slot].serial, Guard(nodes[slot], seen, i < results.early_guards))
    return Graph(inputs, outputs, list(guards.values()))


def _node(
    builder: Builder, operation: Operation, args: list[Node], params: dict[str, Any], shape: tuple[int, ...], dtype: Any
) -> Node:
    """Return the node of an instruction, with parameters that count every axis.

    On a tape they count the axes of one direction; a sweep that carries several has leading axes besides.
    """
    if operation in (slice_op, permute_op, embed_op, reshape_op, broadcast_op):
        (x,), ndim = args, len(args[0].shape)
        if operation is slice_op:
            index = (slice(None),) * (ndim - params["ndim"]) + tuple(params["index"])
            params = {"index": index, "ndim": ndim}
        elif operation is embed_op:
            lead = len(shape) - len(params["shape"])
            params = {"index": (slice(None),) * lead + tuple(params["index"]), "shape": shape}
        elif operation is permute_op:
            lead = ndim - len(params["axes"])
            params = {"axes": (*range(lead), *(lead + i for i in params["axes"]))}
        elif operation is broadcast_op:
            lead = ndim - params["ndim"]
            opened = x.shape[:lead] + (1,) * (len(shape) - ndim) + x.shape[lead:]
            x = builder.apply(reshape_op, [x], {"shape": opened, "ndim": ndim}, opened, x.dtype) if lead else x
            args, params = [x], {"shape": shape, "ndim": len(x.shape)}
        else:
            params = {"shape": shape, "ndim": ndim}
    return builder.apply(operation, args, params, shape, dtype)
