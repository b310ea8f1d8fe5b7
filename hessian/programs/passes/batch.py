"""Many directions at once: the section of a program that takes a direction, rewritten for k of them.

Every value that depends on the direction gets a batch axis, and the place of that axis is chosen so that products with what
does not depend on it stay single large products: with the rows of a matrix first, the batch in the middle and the columns
last, ``A @ X`` is one product with k times the columns and ``X @ B`` one with k times the rows. Values remember which of
their axes is which; an axis is only moved in memory where a product needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.programs.ir import DIRECTION, Builder, Node, Section, reachable
from hessian.programs.operations import arrange_op, spread_op
from hessian.programs.passes.job import Job
from hessian.programs.simplify import rewrite
from hessian.rules.elementwise import multiply
from hessian.rules.indexing import embed_op, slice_op
from hessian.rules.pieces import assemble_op
from hessian.rules.products import matmul_op, matvec_op
from hessian.rules.reductions import sum_op
from hessian.rules.shaping import broadcast_op, permute_op, reshape_op
from hessian.rules.spec import Bilinear, Elementwise, General, Linear, Operation

BATCH = 99
"""The name of the batch axis; the axes of one direction are numbered from 0, and NumPy allows 64."""


@dataclass(frozen=True)
class Batched:
    """A node with a batch axis: ``order`` names its axes, ``BATCH`` for the batch and otherwise those of one direction."""

    node: Node
    order: tuple[int, ...]

    @property
    def core(self) -> tuple[int, ...]:
        """Shape for one direction."""
        return tuple(self.node.shape[self.order.index(i)] for i in range(len(self.order) - 1))


class Batcher:
    """Rewrites nodes for ``k`` directions.

    Parameters
    ----------
    k : int
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.builder = Builder(rewrite)
        self._known: dict[int, Batched] = {}

    def give(self, node: Node, batched: Batched) -> None:
        """Set what stands for a node."""
        self._known[node.serial] = batched

    def convert(self, node: Node) -> None:
        """Rewrite one node whose arguments have been rewritten."""
        assert node.operation is not None
        args = [self._known.get(arg.serial, arg) for arg in node.args]
        self._known[node.serial] = self._apply(node, node.operation, args)

    def rows(self, node: Node) -> Node:
        """Return a result with the batch axis in front."""
        found = self._known.get(node.serial)
        if found is None:  # it does not depend on the direction
            return self._view(
                broadcast_op, node, (self.k, *node.shape), shape=(self.k, *node.shape), ndim=len(node.shape)
            )
        return self._front(found).node

    # Building.

    def _make(
        self, operation: Operation, args: Sequence[Node], result: tuple[int, ...], dtype: Any, /, **params: Any
    ) -> Node:
        return self.builder.apply(operation, args, params, result, dtype)

    def _view(self, operation: Operation, x: Node, new: tuple[int, ...], /, **params: Any) -> Node:
        return self._make(operation, [x], new, x.dtype, **params)

    def _reshape(self, x: Node, shape: tuple[int, ...]) -> Node:
        return x if x.shape == shape else self._view(reshape_op, x, shape, shape=shape, ndim=len(x.shape))

    def _reorder(self, x: Batched, order: tuple[int, ...]) -> Batched:
        """Move axes in memory."""
        if x.order == order:
            return x
        axes = tuple(x.order.index(name) for name in order)
        shape = tuple(x.node.shape[i] for i in axes)
        if [n for n in axes if x.node.shape[n] != 1] == sorted(n for n in axes if x.node.shape[n] != 1):
            return Batched(self._reshape(x.node, shape), order)
        return Batched(self._make(arrange_op, [x.node], shape, x.node.dtype, axes=axes), order)

    def _front(self, x: Batched) -> Batched:
        return self._reorder(x, (BATCH, *range(len(x.order) - 1)))

    # Operations.

    def _apply(self, node: Node, operation: Operation, args: list[Any]) -> Batched:
        if isinstance(operation, Elementwise) and isinstance(operation.function, np.ufunc) and not node.params:
            return self._elementwise(node, operation, args)
        rule = _product_rule(operation) if isinstance(operation, Bilinear) else _RULES.get(operation.name)
        if rule is not None:
            found = rule(self, node, args)
            if found is not None:
                return found
        return self._leading(node, operation, args)

    def _elementwise(self, node: Node, operation: Operation, args: list[Any]) -> Batched:
        """Bring operands to one order of axes, that of the largest operand."""
        ndim = len(node.shape)
        full = [arg for arg in args if isinstance(arg, Batched) and len(arg.order) == ndim + 1]
        order = max(full, key=lambda arg: arg.node.size).order if full else (BATCH, *range(ndim))
        aligned = [self._aligned(arg, order, ndim) for arg in args]
        shape = np.broadcast_shapes(*(arg.shape for arg in aligned))
        aligned = [
            x if isinstance(arg, Batched) else self._spread_out(x, order) for arg, x in zip(args, aligned, strict=True)
        ]
        return Batched(self._make(operation, aligned, shape, node.dtype), order)

    def _aligned(self, arg: Any, order: tuple[int, ...], ndim: int) -> Node:
        """Return an operand with its axes in ``order``, of length one where it has none."""
        if isinstance(arg, Batched):
            inner = len(arg.order) - 1
            wanted = tuple(name if name == BATCH else name - (ndim - inner) for name in order)
            present = tuple(name for name in wanted if name >= 0)
            x = self._reorder(arg, present).node
            lengths = iter(x.shape)
            return self._reshape(x, tuple(next(lengths) if name >= 0 else 1 for name in wanted))
        if not arg.shape or (order[0] == BATCH and order[1:] == tuple(range(ndim))):
            return arg
        inner = len(arg.shape)
        wanted = tuple(name if name == BATCH else name - (ndim - inner) for name in order)
        inner_axes = tuple(name for name in wanted if 0 <= name < BATCH)
        x = arg
        if list(inner_axes) != sorted(inner_axes):
            x = self._view(permute_op, arg, tuple(arg.shape[i] for i in inner_axes), axes=inner_axes)
        shape = tuple(arg.shape[name] if 0 <= name < BATCH else 1 for name in wanted)
        while shape and shape[0] == 1 and len(shape) > 1:
            shape = shape[1:]
        return self._reshape(x, shape)

    def _spread_out(self, x: Node, order: tuple[int, ...]) -> Node:
        """Repeat an operand that all directions share along the batch, if the batch cuts it into short stretches.

        It is done once per point, and every product then runs through memory in one stretch: two to five times as fast.
        """
        at = order.index(BATCH) - (len(order) - len(x.shape))
        if at < 1 or math.prod(x.shape[:at]) == 1 or math.prod(x.shape[at + 1 :]) == 1:
            return x
        shape = (*x.shape[:at], self.k, *x.shape[at + 1 :])
        return self._make(spread_op, [x], shape, x.dtype, shape=shape, ndim=len(x.shape))

    def product(self, node: Node, args: list[Any], labels: tuple[str, str]) -> Batched | None:
        """Contract a batched with a plain operand in one product of matrices; axes are single letters, as in einsum."""
        a, b = args
        left = isinstance(a, Batched)
        x, other = (a, b) if left else (b, a)
        inner, others = labels if left else labels[::-1]
        if not isinstance(x, Batched) or isinstance(other, Batched):
            return None
        (summed,) = set(inner) & set(others)
        at = inner.index(summed)
        if x.order[0] != at and x.order[-1] != at:
            others_of_x = [i for i in ((0, BATCH, 1) if left else (BATCH, 0, 1)) if i in x.order and i != at]
            x = self._reorder(x, (*others_of_x, at) if left else (at, *others_of_x))
        length = x.node.shape[x.order.index(at)]
        rest_order = tuple(i for i in x.order if i != at)
        rest = tuple(n for i, n in zip(x.order, x.node.shape, strict=True) if i != at)
        free = others.replace(summed, "")
        result = labels[0].replace(summed, "") + labels[1].replace(summed, "")
        names = tuple(BATCH if i == BATCH else result.index(inner[i]) for i in rest_order)
        if x.order[0] == at and x.order[-1] != at:
            matrix = self._reshape(x.node, (length, math.prod(rest)))
            if not left and free and others.index(summed) == 1:
                # other @ x: the free axis of the plain operand comes first.
                wide = (other.shape[others.index(free)], math.prod(rest))
                y = self._make(matmul_op, [other, matrix], wide, node.dtype)
                return Batched(self._reshape(y, (wide[0], *rest)), (result.index(free), *names))
            matrix = self._view(permute_op, matrix, (math.prod(rest), length), axes=(1, 0))
        else:
            matrix = self._reshape(x.node, (math.prod(rest), length))
        if not free:
            y = self._make(matvec_op, [matrix, other], (math.prod(rest),), node.dtype)
            return Batched(self._reshape(y, rest), names)
        factor = other
        if others.index(summed) == 1:
            factor = self._view(permute_op, other, other.shape[::-1], axes=(1, 0))
        width = factor.shape[1]
        y = self._make(matmul_op, [matrix, factor], (math.prod(rest), width), node.dtype)
        return Batched(self._reshape(y, (*rest, width)), (*names, result.index(free)))

    def _leading(self, node: Node, operation: Operation, args: list[Any]) -> Batched:
        """Apply an operation as the sweeps do, to operands with the batch axis in front."""
        params = dict(node.params)
        if operation is assemble_op or (operation.name == "concatenate"):
            args = [self._spread(arg) for arg in args]
        if operation is assemble_op:
            params = {
                "indices": tuple((slice(None), *index) for index in params["indices"]),
                "shape": (self.k, *params["shape"]),
            }
        elif operation is embed_op:
            index, shape = (slice(None), *params["index"]), (self.k, *params["shape"])
            params = {"index": index, "shape": shape}
        elif isinstance(operation, Linear) and operation.variadic and operation.name != "concatenate":
            # A number is assigned to every direction as it is.
            args = [self._spread(arg) if isinstance(arg, Batched) or arg.shape else arg for arg in args]
        nodes = [self._front(arg).node if isinstance(arg, Batched) else arg for arg in args]
        core = operation.core if isinstance(operation, Bilinear | General) else None
        if core is not None:
            nodes = self._loops_aligned(node, args, nodes, core)
        elif isinstance(operation, Elementwise):
            nodes = [self._aligned(arg, (BATCH, *range(len(node.shape))), len(node.shape)) for arg in args]
        return Batched(
            self._make(operation, nodes, (self.k, *node.shape), node.dtype, **params), (BATCH, *range(len(node.shape)))
        )

    def _spread(self, arg: Any) -> Batched:
        """Give an operand that does not depend on the direction a batch axis."""
        if isinstance(arg, Batched):
            return arg
        shape = (self.k, *arg.shape)
        spread = self._view(broadcast_op, arg, shape, shape=shape, ndim=len(arg.shape))
        return Batched(spread, (BATCH, *range(len(arg.shape))))

    def _loops_aligned(self, node: Node, args: list[Any], nodes: list[Node], core: tuple[int, ...]) -> list[Node]:
        """Insert axes of length one between the batch and the core, so that loop axes of operands meet."""
        loops = [len(arg.shape) - c for arg, c in zip(node.args, core, strict=False)]
        longest = max(loops)
        return [
            self._reshape(x, (x.shape[0], *(1,) * (longest - inner), *x.shape[1:]))
            if isinstance(arg, Batched) and inner < longest
            else x
            for arg, x, inner in zip(args, nodes, loops, strict=False)
        ]


def _product_rule(operation: Bilinear) -> Callable[[Batcher, Node, list[Any]], Batched | None] | None:
    """Return the rule of a product of matrices or vectors; with other axes than their core it is left to the operation itself."""
    labels, result = operation.labels[:2], operation.labels[2]
    shared = set(labels[0]) & set(labels[1])
    free = "".join(letter for letter in "".join(labels) if letter not in shared)
    if len(shared) > 1 or result != free or max(map(len, labels)) > 2 - (not shared):
        return None
    if not shared:
        return _outer

    def rule(batcher: Batcher, node: Node, args: list[Any]) -> Batched | None:
        if any(len(arg.shape) != len(inner) for arg, inner in zip(node.args, labels, strict=True)):
            return None
        return batcher.product(node, args, labels)

    return rule


def _outer(batcher: Batcher, node: Node, args: list[Any]) -> Batched | None:
    if any(len(arg.shape) != 1 for arg in node.args):
        return None
    a, b = args
    if isinstance(b, Batched):  # rows first, the batch in the middle
        left = batcher._reshape(a, (a.shape[0], 1, 1))
        right = batcher._reorder(b, (BATCH, 0)).node
        shape, order = (a.shape[0], *right.shape), (0, BATCH, 1)
    else:
        left = batcher._reshape(batcher._reorder(a, (BATCH, 0)).node, (batcher.k, node.shape[0], 1))
        right, shape, order = b, (batcher.k, *node.shape), (BATCH, 0, 1)
    return Batched(batcher._make(multiply, [left, right], shape, node.dtype), order)


def _permute(batcher: Batcher, node: Node, args: list[Any]) -> Batched | None:
    (x,), axes = args, node.params["axes"]
    place = {old: new for new, old in enumerate(axes)}
    return Batched(x.node, tuple(BATCH if name == BATCH else place[name] for name in x.order))


def _sum(batcher: Batcher, node: Node, args: list[Any]) -> Batched | None:
    (x,), keepdims = args, node.params["keepdims"]
    ndim = len(x.order) - 1
    gone = {axis % ndim for axis in node.params["axes"]}
    at = [i for i, name in enumerate(x.order) if name in gone]
    shape = x.node.shape
    rest = tuple(n for i, n in enumerate(shape) if i not in at)
    total = math.prod(shape[i] for i in at)
    # Along the first or the last axes in memory it is a sum along an axis of a matrix.
    if at == list(range(len(at))):
        matrix = batcher._reshape(x.node, (total, math.prod(rest)))
        y = batcher._make(sum_op, [matrix], (math.prod(rest),), node.dtype, axes=(-2,), keepdims=False)
    elif at == list(range(len(shape) - len(at), len(shape))):
        matrix = batcher._reshape(x.node, (math.prod(rest), total))
        y = batcher._make(sum_op, [matrix], (math.prod(rest),), node.dtype, axes=(-1,), keepdims=False)
    else:
        axes = tuple(i - len(shape) for i in at)
        y = batcher._make(sum_op, [x.node], rest, node.dtype, axes=axes, keepdims=False)
    if keepdims:
        y = batcher._reshape(y, tuple(1 if i in at else n for i, n in enumerate(shape)))
        return Batched(y, x.order)
    names = [name for name in x.order if name not in gone]
    rank = {name: i for i, name in enumerate(sorted(name for name in names if name != BATCH))}
    return Batched(batcher._reshape(y, rest), tuple(BATCH if name == BATCH else rank[name] for name in names))


def _reshape(batcher: Batcher, node: Node, args: list[Any]) -> Batched | None:
    (x,) = args
    old, new = x.core, node.shape
    if [n for n in old if n != 1] == [n for n in new if n != 1]:
        # Axes of length one come and go wherever the batch is.
        names = iter(i for i, n in enumerate(new) if n != 1)
        meaning = {i: next(names) for i, n in enumerate(old) if n != 1}
        order = [name if name == BATCH else meaning[name] for name in x.order if name == BATCH or name in meaning]
        order += [i for i, n in enumerate(new) if n == 1]
        lengths = [batcher.k if name == BATCH else new[name] for name in order]
        return Batched(batcher._reshape(x.node, tuple(lengths)), tuple(order))
    front = batcher._front(x)
    return Batched(batcher._reshape(front.node, (batcher.k, *new)), (BATCH, *range(len(new))))


def _slice(batcher: Batcher, node: Node, args: list[Any]) -> Batched | None:
    (x,), index = args, node.params["index"]
    if not all(isinstance(part, slice) for part in index):
        x = batcher._front(x)
        shape = (batcher.k, *node.shape)
        params = {"index": (slice(None), *index), "ndim": len(index) + 1 - sum(part is None for part in index)}
        return Batched(batcher._view(slice_op, x.node, shape, **params), (BATCH, *range(len(node.shape))))
    placed = tuple(slice(None) if name == BATCH else index[name] for name in x.order)
    shape = tuple(batcher.k if name == BATCH else node.shape[name] for name in x.order)
    return Batched(batcher._view(slice_op, x.node, shape, index=placed, ndim=len(placed)), x.order)


def _broadcast(batcher: Batcher, node: Node, args: list[Any]) -> Batched | None:
    x = batcher._front(args[0])
    inner, shape = len(x.order) - 1, (batcher.k, *node.shape)
    opened = batcher._reshape(x.node, (batcher.k, *(1,) * (len(node.shape) - inner), *x.node.shape[1:]))
    spread = batcher._view(broadcast_op, opened, shape, shape=shape, ndim=len(shape))
    return Batched(spread, (BATCH, *range(len(node.shape))))


_RULES: dict[str, Callable[[Batcher, Node, list[Any]], Batched | None]] = {
    "permute": _permute,
    "sum": _sum,
    "reshape": _reshape,
    "slice": _slice,
    "broadcast_to": _broadcast,
}


def batch(sections: Sequence[Section], job: Job) -> Sequence[Section]:
    """Rewrite a section that takes a direction for many of them, which it takes and returns as rows."""
    (section,) = sections
    (direction,), (result,) = section.inputs, section.outputs
    batcher = Batcher(job.count)
    rows = Node(None, (), {}, (job.count, *direction.shape), direction.dtype, DIRECTION)
    batcher.give(direction, Batched(rows, (BATCH, *range(len(direction.shape)))))
    for node in section.nodes:
        if node.level == DIRECTION:
            batcher.convert(node)
    output = batcher.rows(result)
    nodes = [node for node in reachable([output], job.places) if node.operation is not None]
    return [Section("rows", [rows], nodes, [output])]
