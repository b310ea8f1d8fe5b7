"""From a function that has been run on recorded values to a section of nodes with guards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.programs.compilation import compiling
from hessian.programs.ir import CONSTANT, Builder, Guard, Node, Section, reachable
from hessian.programs.operations import lay_out_op
from hessian.programs.passes.rows import MIN_ROWS
from hessian.programs.simplify import rewrite
from hessian.rules.indexing import embed_op, slice_op
from hessian.rules.pieces import assemble_op
from hessian.rules.products import matmul_op, matvec_op, vecdot_op, vecmat_op
from hessian.rules.reductions import sum_op
from hessian.rules.shaping import broadcast_op, permute_op, reshape_op
from hessian.rules.smooth import smooth_op
from hessian.rules.spec import Operation, Traced
from hessian.tape.array_methods import primal_array
from hessian.tape.sweeps import in_place
from hessian.tape.tape import Instruction, Tape, reaching
from hessian.tape.variable import Variable, variable


@dataclass
class Argument:
    """An argument of a traced function: an example value, what it stands for, and whether derivatives are taken in it."""

    value: Any
    level: int
    active: bool = True


@dataclass
class Results:
    """What a traced function returns.

    Attributes
    ----------
    outputs : list
    early_guards : int
        How many guards had been met when the first output was known.
    checked : int
        How many of the first outputs are there to be compared with the plain function only, which rounding may tell apart.
    late : list of Argument
        Arguments that the traced function has opened itself, once it knew their shapes (:func:`open_late`).
    """

    outputs: list[Any]
    early_guards: int
    checked: int = 0
    late: Sequence[tuple[Any, Argument]] = ()


class Entangled(Exception):
    """A traced function uses a value of a recording that is under way outside: it is no constant."""


def trace(
    function: Callable[..., Results], arguments: Sequence[Argument], *, borrows: bool = False
) -> tuple[Section, bool]:
    """Run ``function`` on recorded values; return all that it computes as one section; ``borrows`` keeps constants uncopied.

    Second, whether guards depend on sums whose order is that of an array in memory, or the function on what is a view there.
    """
    tape = Tape(replayed=True, borrows=borrows)
    variables = [variable(tape, tape.add_input(a.value, a.active), a.value) for a in arguments]
    slots = [v._slot for v in variables]
    try:
        results = function(*variables)
        results.outputs[:] = [in_place(r) for r in results.outputs]
    finally:
        tape.close()
    slots += [v._slot for v, _ in results.late]
    arguments = [*arguments, *(argument for _, argument in results.late)]
    if tape.nested or any(isinstance(r, Traced) and getattr(r, "_tape", None) is not tape for r in results.outputs):
        raise Entangled
    with compiling():
        return _section(tape, slots, results, arguments)


def open_late(tape: Tape, argument: Argument) -> Variable:
    """Open an input of a tape that is being traced."""
    return variable(tape, tape.add_input(argument.value, argument.active), argument.value)


def _section(tape: Tape, slots: list[int], results: Results, arguments: Sequence[Argument]) -> tuple[Section, bool]:
    """Build nodes for what the results and the guards of a tape need, in the order of the tape."""
    builder = Builder(rewrite)
    nodes: list[Any] = [None] * len(tape)
    for slot, argument in zip(slots, arguments, strict=True):
        nodes[slot] = builder.input(np.shape(argument.value), argument.value.dtype, argument.level)
    inputs = [nodes[slot] for slot in slots]
    ordered = {node.serial for node, a in zip(inputs, arguments, strict=True) if a.value.flags.c_contiguous}
    returned = [r._slot for r in results.outputs if isinstance(r, Variable)]
    guarded = [slot for slot, _ in tape.guards]
    user_results = [
        r._slot for r in results.outputs[results.checked :] if isinstance(r, Variable) and r._slot in tape.user_results
    ]
    needed = _sources(tape, [*returned, *guarded])
    no_algebra, bitwise = _sources(tape, [*tape.user_results, *guarded]), _sources(tape, [*user_results, *guarded])
    steers, by_order = _sources(tape, guarded), False
    # Programs are kept by the order of arguments for the sake of guards only, and long batches are summed by blocks anyway.
    in_order = len(ordered) == len(inputs)
    for slot, instruction in enumerate(tape.instructions):
        if instruction is None or not needed[slot]:
            continue
        if instruction.operation is smooth_op:
            nodes[slot] = nodes[_sources_of_value(instruction)[0]]
            continue
        builder.no_algebra, builder.bitwise = bool(no_algebra[slot]), bool(bitwise[slot])
        args = [
            nodes[source] if source >= 0 else builder.constant(operand)
            for source, operand in zip(instruction.sources, instruction.operands, strict=True)
        ]
        value = tape.values[slot]
        if steers[slot] and instruction.operation in _ORDERED:
            by_order = by_order or any(len(arg.shape) > 1 for arg in args)
            args = _in_order_of(builder, args, tape, instruction, ordered)
        elif (
            bitwise[slot] and instruction.operation is sum_op and in_order and max(args[0].shape, default=0) < MIN_ROWS
        ):
            args = _in_order_of(builder, args, tape, instruction, ordered)
        nodes[slot] = _node(builder, instruction.operation, args, instruction.params, value.shape, value.dtype)
    outputs = [nodes[r._slot] if isinstance(r, Variable) else builder.constant(np.asarray(r)) for r in results.outputs]
    guards: dict[int, Guard] = {}
    for i, (slot, seen) in enumerate(tape.guards):
        if nodes[slot].level != CONSTANT:
            guards.setdefault(nodes[slot].serial, Guard(nodes[slot], seen, i < results.early_guards))
    ends = [*outputs, *(guard.node for guard in guards.values())]
    computed = [node for node in reachable(ends) if node.operation is not None]
    return Section("whole", inputs, computed, outputs, list(guards.values())), by_order or tape.by_order


_ORDERED = (sum_op, matmul_op, matvec_op, vecmat_op, vecdot_op)
"""Operations that add up in an order that depends on where their operands lie in memory."""


def _in_order_of(
    builder: Builder, nodes: list[Node], tape: Tape, instruction: Instruction, ordered: set[int]
) -> list[Node]:
    """Return operands that lie in memory as they did on the tape; programs hold what they compute in C order."""
    result = []
    for node, source, operand in zip(nodes, instruction.sources, instruction.operands, strict=True):
        seen = primal_array(operand if source < 0 else tape.values[source])
        if seen.ndim > 1 and seen.size and _strides(node, ordered) != _essential(seen):
            node = builder.make(lay_out_op, (node,), {"strides": seen.strides}, node.shape, node.dtype)
        result.append(node)
    return result


def _strides(node: Node, ordered: set[int]) -> tuple[int, ...] | None:
    """Return the strides that a value has in a program, but for axes of length one; ``None`` if they are not known."""
    views = []
    while node.operation in (permute_op, slice_op, broadcast_op):
        views.append(node)
        (node,) = node.args
    if node.operation is None and not node.is_constant and node.serial not in ordered:
        return None
    assert node.dtype is not None
    array = node.value if isinstance(node.value, np.ndarray) else np.empty(node.shape, node.dtype)
    for view in reversed(views):
        assert view.operation is not None
        array = view.operation.function(array, **view.params)
    return _essential(array)


def _essential(array: np.ndarray) -> tuple[int, ...]:
    return tuple(step for step, n in zip(array.strides, array.shape, strict=True) if n > 1)


def _sources(tape: Tape, slots: Iterable[int]) -> bytearray:
    """Mark what some slots of a tape depend on, themselves included."""
    return reaching(tape, slots, _sources_of_value)


def _sources_of_value(instruction: Instruction) -> tuple[int, ...]:
    """Return what the value of an instruction depends on; of a smooth product the first operand is there to be differentiated."""
    return instruction.sources[1:] if instruction.operation is smooth_op else instruction.sources


def _node(
    builder: Builder, operation: Operation, args: list[Node], params: dict[str, Any], shape: tuple[int, ...], dtype: Any
) -> Node:
    """Return the node of an instruction, with parameters that count every axis.

    On a tape they count the axes of one direction; a sweep that carries several has leading axes besides.
    """
    if operation is assemble_op:
        every = (slice(None),) * (len(shape) - len(params["shape"]))
        params = {"indices": tuple((*every, *index) for index in params["indices"]), "shape": shape}
    elif operation in (slice_op, permute_op, embed_op, reshape_op, broadcast_op):
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
