"""The backend that calls NumPy: what it can compute into given memory, and how, in one table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from hessian.programs.backends.base import Backend, Executable
from hessian.programs.backends.blocks import RowRunner
from hessian.programs.backends.emit import COPYTO, SAME_KIND, UNSAFE, Emitter, plain_index
from hessian.programs.backends.source import DOT, DOT_OF, FILL, ITEM, SHAPED, TRANSPOSED, Name
from hessian.programs.backends.threads import worker_count
from hessian.programs.ir import Node, is_ufunc
from hessian.programs.operations import arrange_op, holes, place_op, roles, spread_op
from hessian.programs.passes.place import Layout
from hessian.rules.elementwise import negative
from hessian.rules.indexing import gather_op
from hessian.rules.pieces import assemble_op
from hessian.rules.products import matmul_op, matvec_op, outer_op, vecdot_op, vecmat_op
from hessian.rules.reductions import max_op, min_op, sum_op
from hessian.rules.shaping import astype_op, cast_op, reshape_op
from hessian.rules.spec import OPERATIONS, Bilinear, Operation

OUT_BY_NAME = (np.maximum, np.minimum)
"""Ufuncs of which NumPy deprecates a third positional argument."""


class NumPy(Backend):
    """Straight-line Python that calls NumPy."""

    @property
    def workers(self) -> int:
        """As many threads as there are processors, if BLAS can be kept from starting its own."""
        return worker_count()

    def writes(self, node: Node) -> bool:
        """Tell whether a node can be computed into memory that is given."""
        way = None if node.operation is None or node.dtype is None else way_of(node.operation)
        return way is not None and way.accepts(node)

    def compile(self, layout: Layout, *, lend: bool = False) -> Executable:
        """Write the code of the sections and compile it."""
        emitter = Emitter(layout, _write, lambda blocks: RowRunner(blocks, self), lend=lend)
        return Executable(partial(emitter.code.bind(), emitter.constants), emitter.code)


def _write(to: Emitter, node: Node) -> None:
    way = way_of(node.operation)
    assert way is not None
    way.write(to, node)


def _ufunc(to: Emitter, node: Node) -> None:
    operation = node.operation
    assert operation is not None
    if operation is negative and not to.layout.is_contiguous(node):
        # np.negative writes wrong numbers to memory with a step of 64 bytes (NumPy 2.4.6 with AVX-512).
        to.do(to.function("multiply", np.multiply), to.ref(node.args[0]), -1, to.ref(node))
        return
    name = to.function(operation.function.__name__, operation.function)
    args = tuple(map(to.ref, node.args))
    if operation.function in OUT_BY_NAME:
        to.do(name, *args, out=to.ref(node))
    else:
        to.do(name, *args, to.ref(node))


# Products.


def _is_dot(node: Node) -> bool:
    """Tell whether a node is a product of matrices and vectors that ``ndarray.dot`` computes into a given array."""
    operation, dtype = node.operation, node.dtype
    # A sweep of many directions at once has leading axes besides.
    return (
        isinstance(operation, Bilinear)
        and dtype is not None
        and dtype.kind == "f"
        and all(len(arg.shape) == n and arg.dtype == dtype for arg, n in zip(node.args, operation.core, strict=False))
    )


def _is_matmul(node: Node) -> bool:
    return all(arg.dtype == node.dtype for arg in node.args)


def _dot(to: Emitter, node: Node) -> None:
    a, b = node.args
    _dot_of(to, a, to.ref(b), to.ref(node))


def _dot_of(to: Emitter, a: Node, b: Name, out: Name) -> None:
    if to.layout.is_bound(a):
        to.do(to.extra_view(a, DOT_OF), b, out)
    else:
        to.do(DOT, to.ref(a), b, out)


def _matmul(to: Emitter, node: Node) -> None:
    if _is_dot(node):
        _dot(to, node)
    else:
        to.do(to.function("matmul", np.matmul), *map(to.ref, node.args), to.ref(node))


def _outer(to: Emitter, node: Node) -> None:
    left = to.extra_view(node.args[0], ITEM, (..., slice(None), None))
    right = to.extra_view(node.args[1], ITEM, (..., None, slice(None)))
    to.do(to.function("multiply", np.multiply), left, right, to.ref(node))


# Reductions.


def _sum(to: Emitter, node: Node) -> None:
    (x,), axes, keepdims = node.args, node.params["axes"], node.params["keepdims"]
    dtype = x.dtype
    assert dtype is not None
    # A sum along one axis of a matrix is a product with ones, which BLAS does two to five times as fast.
    as_product = not node.bitwise and dtype == node.dtype and dtype.kind == "f"
    if as_product and len(x.shape) == 2 and axes in ((-2,), (-1,)) and x.shape[axes[0]]:
        out = to.extra_view(node, SHAPED, -1) if keepdims else to.ref(node)
        ones = to.array(("ones", x.shape[axes[0]], dtype), lambda: np.ones(x.shape[axes[0]], dtype))
        if axes == (-2,):
            to.do(to.once(("dot of", ones), DOT_OF, ones), to.ref(x), out)
        else:
            _dot_of(to, x, ones, out)
        return
    _reduce("add_reduce", np.add, to, node)


def _reduce(name: str, ufunc: np.ufunc, to: Emitter, node: Node) -> None:
    keepdims = node.params.get("keepdims", True)  # extremes keep their axes always
    to.do(to.function(name, ufunc.reduce), to.ref(node.args[0]), node.params["axes"], None, to.ref(node), keepdims)


# Moving.


def _assemble(to: Emitter, node: Node) -> None:
    for start, stop in _runs(holes(node)):
        flat = to.extra_view(node, SHAPED, -1)
        if to.layout.is_bound(node):
            hole = to.once((node.serial, "hole", start), ITEM, flat, (slice(start, stop),))
        else:
            hole = to.let("y", ITEM, (flat, (slice(start, stop),)), bound=False)
        to.do(FILL, hole, 0)
    for piece, index, role in zip(node.args, node.params["indices"], roles(node), strict=True):
        if _is_placed(to.layout, piece, node):
            continue
        target = to.extra_view(node, ITEM, plain_index(index))
        if role == "add":
            to.do(to.function("add", np.add), target, to.ref(piece), target)
        else:
            to.do(COPYTO, target, to.ref(piece))


def _is_placed(layout: Layout, piece: Node, target: Node) -> bool:
    """Tell whether a piece has been computed right in its target."""
    while piece.operation is reshape_op:
        piece = piece.args[0]
    place = layout.places[piece.serial]
    return place.kind == "part" and place.of is target


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the stretches of a raveled mask that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask.ravel(), [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _gather(to: Emitter, node: Node) -> None:
    positions, (x,) = node.params["positions"], node.args
    shape = (*x.shape[: len(x.shape) - len(positions.shape)], positions.size)
    # What is not in order is copied by reshaping: at every run, not once.
    in_order = to.layout.is_in_order(x)
    flat = to.extra_view(x, SHAPED, shape) if in_order else to.let("y", SHAPED, (to.ref(x), shape), bound=False)
    to.do(to.function("take", take), flat, to.constant(positions.flat), to.ref(node))


def take(flat: np.ndarray, positions: np.ndarray, out: np.ndarray) -> None:
    """Pick elements along the last axis into given memory."""
    flat.take(positions, -1, out, "clip")


def _copy(to: Emitter, node: Node) -> None:
    to.do(COPYTO, to.ref(node), to.ref(node.args[0]))


def _cast(to: Emitter, node: Node) -> None:
    to.do(COPYTO, to.ref(node), to.ref(node.args[0]), UNSAFE)


def _arrange(to: Emitter, node: Node) -> None:
    to.do(COPYTO, to.ref(node), to.extra_view(node.args[0], TRANSPOSED, node.params["axes"]))


def _where(to: Emitter, node: Node) -> None:
    mask, taken, other = map(to.ref, node.args)
    to.do(COPYTO, to.ref(node), other)
    to.do(COPYTO, to.ref(node), taken, SAME_KIND, mask)


def _place(to: Emitter, node: Node) -> None:
    placement = node.params["placement"]
    to.do(to.array(("fill", id(placement)), lambda: placement.fill), to.ref(node), *map(to.ref, node.args))


class Way(NamedTuple):
    """How an operation is computed into given memory, and which nodes of it can be."""

    write: Callable[[Emitter, Node], None]
    accepts: Callable[[Node], bool] = lambda node: True


WAYS: dict[Any, Way] = {
    np.ufunc: Way(_ufunc, lambda node: not node.params),
    matmul_op: Way(_matmul, _is_matmul),
    matvec_op: Way(_dot, _is_dot),
    vecmat_op: Way(_dot, _is_dot),
    vecdot_op: Way(_dot, _is_dot),
    outer_op: Way(_outer),
    sum_op: Way(_sum),
    max_op: Way(partial(_reduce, "max_reduce", np.maximum)),
    min_op: Way(partial(_reduce, "min_reduce", np.minimum)),
    assemble_op: Way(_assemble),
    gather_op: Way(_gather, lambda node: node.params["positions"].holes is None and node.params["positions"].size > 0),
    spread_op: Way(_copy),
    arrange_op: Way(_arrange),
    place_op: Way(_place),
    astype_op: Way(_cast),
    cast_op: Way(_cast),
    OPERATIONS["where"]: Way(_where, lambda node: node.args[0].dtype is not None and node.args[0].dtype.kind == "b"),
}


def way_of(operation: Operation | None) -> Way | None:
    """Return how an operation is computed into given memory; ufuncs all alike."""
    return WAYS.get(np.ufunc if is_ufunc(operation) else operation)


BACKEND = NumPy()
