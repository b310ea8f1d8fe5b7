"""Cheaper ways to say the same: algebra on single nodes, applied as they are made.

Every rule is exact up to rounding and the signs of zeros, which is enough for derivatives. Rules move work from the direction
to the point (what depends on the point alone is done once), negations and factors to where they cost nothing, and views to
where they meet. What the function's own values and guards depend on stays as it is written, to the last bit: there only views
and copies are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.programs.ir import CONSTANT, DIRECTION, Builder, Node
from hessian.rules import elementwise as ew
from hessian.rules.indexing import embed_op, slice_op
from hessian.rules.reductions import sum_op
from hessian.rules.shaping import broadcast_op, permute_op, reshape_op
from hessian.rules.spec import Bilinear, Elementwise, Operation

Rule = Callable[[Builder, tuple[Node, ...], dict[str, Any], tuple[int, ...], Any], "Node | None"]


def rewrite(
    builder: Builder,
    operation: Operation,
    args: tuple[Node, ...],
    params: dict[str, Any],
    shape: tuple[int, ...],
    dtype: Any,
) -> Node | None:
    """Return a node equal to the operation on ``args`` and cheaper, or ``None`` if no rule applies."""
    if builder.no_algebra:
        return _as_written(builder, operation, args, params, shape, dtype)
    # Integers wrap and widen: their signs and sums stay where they are.
    if dtype is not None and dtype.kind != "f":
        return None
    for arg in args:
        if arg.dtype is not None and arg.dtype.kind != "f":
            return None
    if isinstance(operation, Elementwise):
        bare = _all_unbroadcast(builder, args, shape)
        if bare is not None:
            return builder.apply(operation, bare, params, shape, dtype)
    if (operation is ew.multiply or isinstance(operation, Bilinear)) and (_is_negated(args[0]) or _is_negated(args[1])):
        found = _negated_factor(builder, operation, args, params, shape, dtype)
        if found is not None:
            return found
    rule = _RULES.get(operation.name)
    return None if rule is None else rule(builder, args, params, shape, dtype)


def _as_written(
    builder: Builder,
    operation: Operation,
    args: tuple[Node, ...],
    params: dict[str, Any],
    shape: tuple[int, ...],
    dtype: Any,
) -> Node | None:
    """Apply the rules that change no bit."""
    # Other functions have loops of their own for numbers, which may round in another way than those for arrays.
    if operation in _ARITHMETIC and dtype is not None and dtype.kind == "f":
        bare = _all_unbroadcast(builder, args, shape)
        if bare is not None:
            return builder.apply(operation, bare, params, shape, dtype)
    rule = _RULES.get(operation.name) if operation.name in _EXACT else None
    return None if rule is None else rule(builder, args, params, shape, dtype)


def _joint_shape(args: tuple[Node, ...]) -> tuple[int, ...]:
    return np.broadcast_shapes(*(arg.shape for arg in args))


def _all_unbroadcast(builder: Builder, args: tuple[Node, ...], shape: tuple[int, ...]) -> tuple[Node, ...] | None:
    """Return the operands before they were broadcast; ``None`` if nothing is gained."""
    for arg in args:
        # By far the most operands are neither.
        if arg.operation is broadcast_op or (arg.shape and arg.is_constant):
            break
    else:
        return None
    bare = tuple(_unbroadcast(builder, args, i, shape) for i in range(len(args)))
    changed = any(a is not b for a, b in zip(args, bare, strict=True))
    return bare if changed and _joint_shape(bare) == shape else None


def _unbroadcast(builder: Builder, args: tuple[Node, ...], i: int, shape: tuple[int, ...]) -> Node:
    """Return an operand before it was broadcast, if the others bring the shape along."""
    arg = args[i]
    others = [other.shape for j, other in enumerate(args) if j != i]
    if arg.operation is broadcast_op:
        source = arg.args[0]
        return source if np.broadcast_shapes(source.shape, *others) == shape else arg
    number = arg.scalar() if arg.shape else None
    if number is not None and np.broadcast_shapes((), *others) == shape:
        return builder.constant(number)
    return arg


def _is_weak(x: Node) -> bool:
    """Tell a number of Python's, which takes the precision of what it meets; NumPy's own results would not."""
    return x.is_constant and type(x.value) in (int, float)


def _negate(builder: Builder, x: Node) -> Node:
    if _is_weak(x):
        return builder.constant(-x.value)
    return builder.apply(ew.negative, (x,), {}, x.shape, x.dtype)


def _is_negated(x: Node) -> bool:
    return x.operation is ew.negative


def _is_real(x: Node) -> bool:
    """Tell whether arithmetic with a value is that of floating-point numbers."""
    return x.dtype.kind == "f" if x.dtype is not None else isinstance(x.value, float)


def _same(x: Node, shape: tuple[int, ...], dtype: Any) -> bool:
    return x.shape == shape and x.dtype == dtype


def _negated_factor(
    builder: Builder, operation: Operation, args: tuple[Node, ...], params: dict[str, Any], shape: Any, dtype: Any
) -> Node | None:
    """Move a minus sign from a factor to the other one, if that depends on less, or out of the product."""
    for i in (0, 1):
        if not _is_negated(args[i]):
            continue
        other = args[1 - i]
        if other.level < args[i].level and other.operation is not None:
            other = _negate(builder, other)
            pair = (args[0].args[0], other) if i == 0 else (other, args[1].args[0])
            return builder.apply(operation, pair, params, shape, dtype)
        pair = (args[0].args[0], other) if i == 0 else (other, args[1].args[0])
        return _negate(builder, builder.apply(operation, pair, params, shape, dtype))
    return None


def _multiply(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    for x, factor in (args, args[::-1]):
        found = _known_product(builder, x, factor, shape, dtype) or _over(builder, x, factor, shape, dtype)
        if found is not None:
            return found
        number = factor.scalar()
        if number is not None and _same(x, shape, dtype):
            if number == 1:
                return x
            if number == -1:
                return _negate(builder, x)
        # (x p) q with a direction x is x (p q): the product of p and q is formed once per point.
        if x.operation is ew.multiply and x.level == DIRECTION and factor.level < DIRECTION:
            for inner, p in (x.args, x.args[::-1]):
                if not (_is_real(p) or _is_real(factor)):
                    continue  # a product of integers may wrap
                if inner.level == DIRECTION and p.level < DIRECTION and _joint_shape((inner, p, factor)) == shape:
                    joint = _joint_shape((p, factor))
                    if math.prod(joint) <= max(p.size, factor.size):
                        pq = _product(builder, p, factor, joint)
                        return builder.apply(ew.multiply, (inner, pq), {}, shape, dtype)
    return None


def _known_product(builder: Builder, x: Node, factor: Node, shape: Any, dtype: Any) -> Node | None:
    """Return (a b) c as a (b c) where b c is there already and a b is not needed for anything else yet."""
    if x.operation is not ew.multiply or x.level == CONSTANT:
        return None
    for a, b in (x.args, x.args[::-1]):
        known = builder.known(ew.multiply, (b, factor)) or builder.known(ew.multiply, (factor, b))
        if known is not None and _is_real(known) and _joint_shape((a, known)) == shape and known is not x:
            # As it stands: applied in turn, the rule would find a b again.
            return builder.make(ew.multiply, (a, known), {}, shape, dtype)
    return None


def _over(builder: Builder, x: Node, factor: Node, shape: Any, dtype: Any) -> Node | None:
    """Return (c / a) k as (c k) / a for numbers c and k."""
    if x.operation is not ew.divide or x.shape != shape or x.dtype != dtype:
        return None
    numerator, number = x.args[0].scalar(), factor.scalar()
    if numerator is None or number is None or not (_is_real(x.args[0]) and _is_real(factor)):
        return None
    product = numerator * number
    if not np.finfo(dtype).tiny <= abs(product) <= np.finfo(dtype).max:
        return None
    return builder.apply(ew.divide, (builder.constant(product), x.args[1]), {}, shape, dtype)


def _product(builder: Builder, a: Node, b: Node, shape: Any) -> Node:
    if _is_weak(a) and _is_weak(b):
        return builder.constant(a.value * b.value)
    dtype = np.result_type(*(x.value if x.dtype is None else x.dtype for x in (a, b)))
    return builder.apply(ew.multiply, (a, b), {}, shape, dtype)


def _negative(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    (x,) = args
    if _is_negated(x):
        return x.args[0]
    if x.operation is ew.subtract:
        return builder.apply(ew.subtract, x.args[::-1], {}, shape, dtype)
    if x.operation is ew.multiply:
        for i in (0, 1):
            if x.args[i].level == CONSTANT and x.args[i].scalar() is not None and _is_real(x.args[i]):
                factor = _negate(builder, x.args[i])
                return builder.apply(ew.multiply, (factor, x.args[1 - i]), {}, shape, dtype)
    if x.operation in (reshape_op, permute_op, slice_op, broadcast_op, embed_op, sum_op) and _is_negated(x.args[0]):
        return builder.apply(x.operation, x.args[0].args, x.params, shape, dtype)
    return None


def _add(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    for x, y in (args, args[::-1]):
        if y.level == CONSTANT and _same(x, shape, dtype) and y.scalar() == 0:
            return x
        if _is_negated(y):
            return builder.apply(ew.subtract, (x, y.args[0]), {}, shape, dtype)
    return None


def _subtract(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    x, y = args
    if y.level == CONSTANT and _same(x, shape, dtype) and y.scalar() == 0:
        return x
    if _is_negated(y):
        return builder.apply(ew.add, (x, y.args[0]), {}, shape, dtype)
    return None


def _identity(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    return args[0] if _same(args[0], shape, dtype) else None


def _reshape(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    (x,) = args
    if x.shape == shape:
        return x
    if x.operation is reshape_op:
        source = x.args[0]
        return builder.apply(reshape_op, (source,), {"shape": shape, "ndim": len(source.shape)}, shape, dtype)
    return None


def _permute(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    (x,), axes = args, params["axes"]
    if axes == tuple(range(len(axes))):
        return x
    if x.operation is permute_op:
        inner = x.params["axes"]
        joined = tuple(inner[i] for i in axes)
        return builder.apply(permute_op, x.args, {"axes": joined}, shape, dtype)
    if sum(1 for n in x.shape if n != 1) <= 1:
        return builder.apply(reshape_op, (x,), {"shape": shape, "ndim": len(x.shape)}, shape, dtype)
    return None


def _slice(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    (x,), index = args, params["index"]
    if x.shape == shape and all(isinstance(part, slice) and part.step in (None, 1) for part in index):
        return x
    if x.operation is embed_op and x.params["index"] == index:
        return x.args[0]
    return None


def _sum(builder: Builder, args: tuple[Node, ...], params: Any, shape: Any, dtype: Any) -> Node | None:
    (x,), axes = args, params["axes"]
    if all(x.shape[axis] == 1 for axis in axes):
        return builder.apply(reshape_op, (x,), {"shape": shape, "ndim": len(x.shape)}, shape, dtype)
    if _is_negated(x):
        return _negate(builder, builder.apply(sum_op, x.args, params, shape, dtype))
    if x.operation is reshape_op and len(axes) == len(x.shape) and not shape:
        # A sum over everything does not mind the shape.
        source = x.args[0]
        every = {"axes": tuple(range(-len(source.shape), 0)), "keepdims": False}
        return builder.apply(sum_op, (source,), every, shape, dtype)
    return None


_RULES: dict[str, Rule] = {
    "multiply": _multiply,
    "negative": _negative,
    "add": _add,
    "subtract": _subtract,
    "positive": _identity,
    "conjugate": _identity,
    "broadcast_to": _identity,
    "reshape": _reshape,
    "permute": _permute,
    "slice": _slice,
    "sum": _sum,
}

_ARITHMETIC = (ew.add, ew.subtract, ew.multiply, ew.divide)
_EXACT = frozenset(("positive", "conjugate", "broadcast_to", "reshape", "permute", "slice"))
"""Rules that only leave out views and copies."""
