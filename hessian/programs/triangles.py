"""Cheaper ways to say what is made of triangular factors: which halves are read, what a solution undoes, what is reduced together.

A reduction between inverses of a triangle (``congruence``) reads one triangle of the matrix in the middle, so that nothing need be
cleared there; two of them with one triangle are one of the sum. A tangent of a Cholesky factor is a product with it, which the
derivative of a pullback solves for again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hessian.programs.ir import Builder, Node
from hessian.rules import elementwise as ew
from hessian.rules.cholesky import LEFT, LEFT_TURNED, cholesky_back_op, cholesky_op, congruence_op
from hessian.rules.spec import Operation
from hessian.rules.triangular import PLAIN, lower_op, product_op, triangular_op

_DEEP = 16
"""How far sums are looked into: a factor that is read in a loop has as many cotangents as there are steps."""


def of_triangles(
    builder: Builder, operation: Operation, args: tuple[Node, ...], params: dict[str, Any], shape: Any, dtype: Any
) -> Node | None:
    """Return a node equal to an operation of, or on, one of :data:`OF_TRIANGLES` and cheaper; ``None`` if there is none."""
    rule = OF_TRIANGLES.get(operation)
    if rule is not None:
        return rule(builder, args, params, shape, dtype)
    if operation in (ew.add, ew.subtract) and _are_alike(*args):
        (a, b), (t, _) = args, args[0].args
        both = builder.apply(operation, (a.args[1], b.args[1]), {}, shape, dtype)
        return builder.apply(congruence_op, (t, both), a.params, shape, dtype)
    return None


def _are_alike(a: Node, b: Node) -> bool:
    """Tell whether two nodes are reductions that are one of the sum of their matrices."""
    if not a.operation is b.operation is congruence_op:
        return False
    alike = a.args[0] is b.args[0] and a.params == b.params
    return alike and len({(x.shape, x.dtype) for x in (a, b, a.args[1], b.args[1])}) == 1


def _back(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    """Say the pullback of a factor in two steps, of which its derivative has the first one, too."""
    inner = builder.apply(product_op, args, LEFT_TURNED, shape, dtype)
    return builder.apply(congruence_op, (args[0], inner), {"trans": True}, shape, dtype)


def _solution(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    """Return P of L⁻¹ (L P)."""
    t, b = args
    undone = params == PLAIN and b.operation is product_op and b.params == LEFT and b.args[0] is t
    return b.args[1] if undone and b.args[1].shape == shape and b.args[1].dtype == dtype else None


def _lower(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    return args[0] if _is_lower(args[0]) else None


def _is_lower(x: Node) -> bool:
    if x.operation is product_op:
        return x.params == LEFT and _is_factor(x.args[1])
    return _is_factor(x)


def _is_factor(x: Node) -> bool:
    return x.operation in (lower_op, congruence_op, cholesky_op, cholesky_back_op)


def _reading(position: int) -> Callable[..., Node | None]:
    """Return the rule of an operation that reads the lower triangle of an argument."""

    def rule(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
        if not params.get("lower", True):
            return None
        bare = _bare(builder, args[position], _DEEP)
        if bare is args[position]:
            return None
        new = (*args[:position], bare, *args[position + 1 :])
        return builder.apply(_READERS[position], new, params, shape, dtype)

    return rule


def _bare(builder: Builder, x: Node, depth: int) -> Node:
    """Return a node that has the same lower triangle, whatever is above it."""
    operation = x.operation
    if operation is lower_op:
        return x.args[0]
    if depth == 0 or operation not in _THROUGH:
        return x
    if operation is product_op and not (x.params == LEFT_TURNED and x.args[1].shape == x.shape):
        return x
    read = [i for i, arg in enumerate(x.args) if arg.shape == x.shape and not (operation is product_op and i == 0)]
    new = tuple(_bare(builder, arg, depth - 1) if i in read else arg for i, arg in enumerate(x.args))
    if all(a is b for a, b in zip(new, x.args, strict=True)):
        return x
    return builder.apply(operation, new, x.params, x.shape, x.dtype)


_THROUGH = (ew.add, ew.subtract, ew.negative, product_op)
_READERS = {0: product_op, 1: congruence_op}
OF_TRIANGLES: dict[Operation, Callable[..., Node | None]] = {
    cholesky_back_op: _back,
    triangular_op: _solution,
    lower_op: _lower,
    product_op: _reading(0),
    congruence_op: _reading(1),
}
