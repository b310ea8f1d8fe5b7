"""Which values of a section are by rows, which are sums over rows, and which mix rows in a way that blocks cannot follow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessian.programs.ir import Node
from hessian.rules import elementwise as ew
from hessian.rules.indexing import Positions, gather_op, slice_op
from hessian.rules.reductions import max_op, min_op, sum_op
from hessian.rules.shaping import broadcast_op, cast_op, permute_op, reshape_op
from hessian.rules.spec import Bilinear, Elementwise, Operation

NONE, SUM, POST = "none", "sum", "post"
Kind = Any
"""``("row", axis)``, or one of the three words: without rows, a sum over rows, computed from such sums."""


class Mixed(Exception):
    """A value mixes rows in a way that blocks cannot follow."""


def kind_of(node: Node, kinds: dict[int, Kind], length: int) -> Kind:
    """Classify a node from its arguments."""
    found = kinds.get(node.serial)
    if found is not None:
        return found
    if node.operation is None:
        return cut_along(node, length)
    args = [kind_of(arg, kinds, length) for arg in node.args]
    if any(kind in (SUM, POST) for kind in args):
        if any(isinstance(kind, tuple) for kind in args):
            raise Mixed
        linear = node.operation in (ew.add, ew.subtract) and all(kind == SUM for kind in args)
        return SUM if linear else POST
    if not any(isinstance(kind, tuple) for kind in args):
        return cut_along(node, length)
    return _row_kind(node, args, length)


def cut_along(node: Node, length: int) -> Kind:
    """Return how a value that is computed whole can be cut into rows."""
    axes = [i for i, n in enumerate(node.shape) if n == length]
    return ("row", axes[0]) if len(axes) == 1 else NONE


def _row_kind(node: Node, args: list[Kind], length: int) -> Kind:
    operation, params = node.operation, node.params
    if operation is not None and operation.runs_user_code:
        raise Mixed
    if isinstance(operation, Elementwise) or operation is cast_op or _is_comparison(operation):
        ends = {kind[1] - len(arg.shape) for kind, arg in zip(args, node.args, strict=True) if isinstance(kind, tuple)}
        if len(ends) != 1:
            raise Mixed
        (end,) = ends
        whole = [arg for kind, arg in zip(args, node.args, strict=True) if not isinstance(kind, tuple)]
        if any(-end <= len(arg.shape) and arg.shape[end] != 1 for arg in whole):
            raise Mixed  # it would have to be cut, and could be cut along another axis as well
        return "row", end + len(node.shape)
    if isinstance(operation, Bilinear):
        return _product_kind(operation.labels, node, args)
    (x,), (kind,) = node.args[:1], args[:1]
    if not isinstance(kind, tuple):
        raise Mixed
    axis = kind[1]
    if operation is sum_op or operation in (max_op, min_op):
        gone = {i % len(x.shape) for i in params["axes"]}
        if axis in gone:
            if operation is not sum_op:
                raise Mixed
            return SUM
        stays = operation is not sum_op or params["keepdims"]
        return "row", axis if stays else axis - sum(1 for i in gone if i < axis)
    if operation is permute_op:
        return "row", params["axes"].index(axis)
    if operation is broadcast_op:
        return "row", axis - len(x.shape) + len(node.shape)
    if operation is reshape_op:
        before = math.prod(x.shape[:axis])
        for i, n in enumerate(node.shape):
            if n == length and math.prod(node.shape[:i]) == before:
                return "row", i
        raise Mixed
    if operation is slice_op and axis == 0 and params["index"][0] == slice(None):
        return "row", 0
    if operation is gather_op and axis == 0 and _picks_within_rows(params["positions"], length):
        return "row", 0
    raise Mixed


def _is_comparison(operation: Operation | None) -> bool:
    return operation is not None and not operation.differentiable and isinstance(operation.function, np.ufunc)


def _product_kind(labels: tuple[str, str, str], node: Node, args: list[Kind]) -> Kind:
    if any(len(arg.shape) != len(user_results) for arg, user_results in zip(node.args, labels, strict=False)):
        raise Mixed
    letters = {
        user_results[kind[1]] for user_results, kind in zip(labels, args, strict=False) if isinstance(kind, tuple)
    }
    (letter,) = letters if len(letters) == 1 else (None,)
    if letter is None:
        raise Mixed
    holders = sum(letter in user_results for user_results in labels[:2])
    if holders != sum(isinstance(kind, tuple) for kind in args):
        raise Mixed  # the other factor has the same length by chance
    return ("row", labels[2].index(letter)) if letter in labels[2] else SUM


def _picks_within_rows(positions: Positions, length: int) -> bool:
    if (
        not positions.flat.ndim
        or len(positions.flat) != length
        or positions.shape[0] != length
        or positions.holes is not None
    ):
        return False
    width = positions.size // length
    user_results = np.arange(length).reshape((-1,) + (1,) * (positions.flat.ndim - 1))
    return bool(np.array_equal(positions.flat // width, np.broadcast_to(user_results, positions.flat.shape)))
