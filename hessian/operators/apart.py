"""Which axis of an operand holds what belongs to each example, given that of the result.

Where a result is read by example i at places of an axis alone, an operand is either read likewise, along an axis of its own, or by every
example, which is always a right answer. Rows of operations say which by their kind: elementwise by broadcasting, products by labels,
what moves or adds up elements by what it does to their numbers, others by their core axes.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from hessian.rules.spec import Bilinear, Elementwise, General, Linear
from hessian.tape.steps import Step

Name = int | str
"""An axis of a product: a loop axis counted from the end, or a label."""
Shape = tuple[int, ...]


class Along(NamedTuple):
    """An axis along which places are those of examples, ``block`` places each."""

    axis: int
    block: int = 1

    def split(self, shape: Shape) -> Shape:
        """Return a shape with the axis as two: examples, and the places of one."""
        return (*shape[: self.axis], shape[self.axis] // self.block, self.block, *shape[self.axis + 1 :])

    def in_front(self, x: np.ndarray) -> np.ndarray:
        """Move examples to an axis in front; the places of one stay where they are."""
        return np.moveaxis(x.reshape(self.split(x.shape)), self.axis, 0)

    def examples(self, numbers: np.ndarray, shape: Shape) -> np.ndarray:
        """Return the examples of elements of an array, given by their flat numbers."""
        stride = int(np.prod(shape[self.axis + 1 :], dtype=int)) * self.block
        return numbers // stride % (shape[self.axis] // self.block)


def axis_of(step: Step, i: int, along: Along) -> Along | None:
    """Return where examples are in operand ``i`` (of those with derivatives), given where in the result; ``None``: all read all of it."""
    operation, shape, result = step.operation, step.shapes[i], step.shape
    if isinstance(operation, Elementwise):
        return _aligned(along, shape, result)
    if isinstance(operation, Bilinear):
        return _of_product(step, i, along)
    if isinstance(operation, Linear):
        if operation.says == "positions":
            return _alike(origins(step, i), result, along, shape, of_result=True)
        return _alike(goals(step, i), result, along, shape, of_result=False) if operation.says == "transpose" else None
    assert isinstance(operation, General)
    if operation.along_axes:
        return None if along.axis - len(result) in step.params["axes"] else _aligned(along, shape, result)
    if operation.core is None or operation.says != "core":
        return None
    loops, core_start = (len(x) - operation.core[p] for x, p in ((result, -1), (shape, step.positions[i])))
    return None if along.axis >= loops else _aligned(along, shape[:core_start], result[:loops])


def _aligned(along: Along, shape: Shape, result: Shape) -> Along | None:
    """Return the axis that broadcasting aligns with one of the result, if it is as long."""
    axis = along.axis - len(result) + len(shape)
    return Along(axis, along.block) if axis >= 0 and shape[axis] == result[along.axis] else None


def names(step: Step) -> tuple[tuple[Name, ...], tuple[Name, ...], tuple[Name, ...]]:
    """Return the axes of both operands and the result of a product by name, loop axes by their number from the end."""
    shapes = (*(np.shape(x) for x in step.operands), step.shape)
    left, right, result = (
        (*range(len(label) - len(shape), 0), *label) for label, shape in zip(step.operation.labels, shapes, strict=True)
    )
    return left, right, result


def _of_product(step: Step, i: int, along: Along) -> Along | None:
    *operands, result = names(step)
    labels, name = operands[step.positions[i]], result[along.axis]
    if name not in labels:
        return None
    axis = labels.index(name)
    return Along(axis, along.block) if step.shapes[i][axis] == step.shape[along.axis] else None


def origins(step: Step, i: int) -> np.ndarray:
    """Return for each element of the result which one of an operand it is; negative for none."""
    position, size = step.positions[i], int(np.prod(step.shapes[i], dtype=int))
    numbers = [
        np.broadcast_to(np.zeros((), np.intp), np.shape(x))
        if p != position
        else np.arange(1, size + 1).reshape(step.shapes[i])
        for p, x in enumerate(step.operands)
    ]
    return np.asarray(partial(step.operation.function, **step.params)(*numbers)) - 1


def goals(step: Step, i: int) -> np.ndarray:
    """Return for each element of an operand to which one of the result it is added; negative for none."""
    numbers = np.arange(1, int(np.prod(step.shape, dtype=int)) + 1).reshape(step.shape)
    if step.operation.variadic:
        shapes = [np.shape(x) for x in step.operands]
        return np.asarray(step.operation.transpose(numbers, step.positions, shapes, **step.params)[i]) - 1
    return np.asarray(step.operation.transpose(numbers, step.shapes[i], **step.params)) - 1


def _alike(numbers: np.ndarray, result: Shape, along: Along, shape: Shape, *, of_result: bool) -> Along | None:
    """Return where examples are in an operand, of whose elements or the result's the numbers are, if elements stay with their example."""
    flat = numbers.ravel()
    there = np.flatnonzero(flat >= 0)
    count = result[along.axis] // along.block
    mine = along.examples(there if of_result else flat[there], result)
    for axis, length in enumerate(shape):
        if length and count and length % count == 0:
            there_along = Along(axis, length // count)
            if np.array_equal(there_along.examples(flat[there] if of_result else there, shape), mine):
                return there_along
    return None
