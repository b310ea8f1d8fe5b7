"""Cheaper ways to say the same: algebra on single nodes, applied as they are made, as a table of patterns and what they become.

Every rule is exact up to rounding and the signs of zeros, which is enough for derivatives. Rules move work from the direction
to the point (what depends on the point alone is done once), negations and factors to where they cost nothing, and views to
where they meet. What the function's own values and guards depend on stays as it is written, to the last bit: there only views
and copies are left out.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hessian.programs.ir import DIRECTION, Builder, Node
from hessian.programs.triangles import OF_TRIANGLES, of_triangles
from hessian.rules import elementwise as ew
from hessian.rules.indexing import embed_op, slice_op
from hessian.rules.reductions import sum_op
from hessian.rules.shaping import broadcast_op, permute_op, reshape_op
from hessian.rules.spec import OPERATIONS, Bilinear, Elementwise, Operation

# Patterns.


class Pattern:
    """What to look for, or to make: one of some operations on patterns; a number; or any node, by a name.

    Attributes
    ----------
    name : str
        By which a match knows the node.
    operations : tuple of Operation or of classes of them
    args : tuple of Pattern
    value : Any
        ``None`` for any node; a number for a constant that is this number everywhere, NaN for one that is any number.
    """

    def __init__(self, name: str = "", operations: Any = (), args: tuple[Pattern, ...] = (), value: Any = None) -> None:
        self.name, self.operations, self.args, self.value = name, operations, args, value

    def __add__(self, other: Pattern) -> Pattern:
        return Pattern("", (ew.add,), (self, other))

    def __sub__(self, other: Pattern) -> Pattern:
        return Pattern("", (ew.subtract,), (self, other))

    def __mul__(self, other: Pattern) -> Pattern:
        return Pattern("", (ew.multiply,), (self, other))

    def __truediv__(self, other: Pattern) -> Pattern:
        return Pattern("", (ew.divide,), (self, other))

    def __neg__(self) -> Pattern:
        return Pattern("", (ew.negative,), (self,))

    def orders(self) -> Iterator[Pattern]:
        """Yield the pattern with the operands of sums and products in every order."""
        swaps = self.operations in ((ew.add,), (ew.multiply,))
        for args in itertools.product(*(arg.orders() for arg in self.args)):
            yield Pattern(self.name, self.operations, args, self.value)
            if swaps:
                yield Pattern(self.name, self.operations, args[::-1], self.value)

    def may_be(self, operation: Operation | None) -> bool:
        """Tell whether a node of an operation may be like this."""
        if not self.operations:
            return self.value is None or operation is None
        return any(
            each is operation or (isinstance(each, type) and isinstance(operation, each)) for each in self.operations
        )

    def finds(self, node: Node) -> bool:
        """Tell whether a node is like this, its operands aside."""
        if self.value is None:
            return self.may_be(node.operation)
        number = node.scalar()
        return number is not None and (number == self.value or self.value != self.value)

    def parts(self, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Pattern]]:
        """Yield the patterns that this one is made of, with the way to each by numbers of operands."""
        for i, arg in enumerate(self.args):
            yield (*path, i), arg
            yield from arg.parts((*path, i))


@dataclass(slots=True)
class Match:
    """A node that is about to be made, and what the names of a pattern stand for in it."""

    builder: Builder
    operation: Operation
    args: tuple[Node, ...]
    params: dict[str, Any]
    shape: tuple[int, ...]
    dtype: Any
    nodes: dict[str, Node]

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def apply(self, operation: Operation, args: tuple[Node, ...], params: dict[str, Any] | None = None) -> Node:
        """Return an operation on nodes, of the shape and precision of the match."""
        return self.builder.apply(operation, args, params or {}, self.shape, self.dtype)

    def reshape(self, x: Node) -> Node:
        """Return a node in the shape of the match."""
        return self.apply(reshape_op, (x,), {"shape": self.shape, "ndim": len(x.shape)})

    def made(self, pattern: Pattern) -> Node:
        """Return what a pattern says, of the shape and precision of the match."""
        if not pattern.operations:
            return self[pattern.name]
        return self.apply(pattern.operations[0], tuple(map(self._part, pattern.args)))

    def _part(self, pattern: Pattern) -> Node:
        if not pattern.operations:
            return self[pattern.name]
        return _joined(self.builder, pattern.operations[0], tuple(map(self._part, pattern.args)))


@dataclass(frozen=True)
class Rule:
    """What a pattern becomes.

    Attributes
    ----------
    name : str
    pattern : Pattern
    result : Pattern or callable
        ``(match) -> Node`` where it takes more to say than a pattern.
    where : callable
        What else must hold of a match.
    bitwise : bool
        Whether no bit changes, so that it may be applied to the function's own values, and to whole numbers.
    """

    name: str
    pattern: Pattern
    result: Pattern | Callable[[Match], Node]
    where: Callable[[Match], bool] = lambda m: True
    bitwise: bool = False


def _joined(builder: Builder, operation: Operation, args: tuple[Node, ...]) -> Node:
    """Return an operation on nodes, in the shape and precision that these give."""
    if all(map(_is_weak, args)):
        return builder.constant(_ON_NUMBERS[operation](*[arg.value for arg in args]))
    kinds = [arg.value if arg.dtype is None else arg.dtype for arg in args]
    dtype = kinds[0] if kinds[0] is kinds[-1] and args[0].dtype is not None else np.result_type(*kinds)
    return builder.apply(operation, args, {}, _joint_shape(args), dtype)


_ON_NUMBERS: dict[Operation, Callable[..., Any]] = {ew.multiply: operator.mul, ew.negative: operator.neg}

# What must hold of nodes.


def _joint_shape(args: tuple[Node, ...]) -> tuple[int, ...]:
    shapes = {arg.shape for arg in args if arg.shape}
    # By far the most are alike, and NumPy's answer takes microseconds.
    return np.broadcast_shapes(*shapes) if len(shapes) > 1 else shapes.pop() if shapes else ()


def _is_weak(x: Node) -> bool:
    """Tell a number of Python's, which takes the precision of what it meets; NumPy's own results would not."""
    return x.is_constant and type(x.value) in (int, float)


def _is_real(x: Node) -> bool:
    """Tell whether arithmetic with a value is that of floating-point numbers."""
    return x.dtype.kind == "f" if x.dtype is not None else isinstance(x.value, float)


def _keeps(name: str) -> Callable[[Match], bool]:
    """Return whether a node has the shape and precision of the match already."""
    return lambda m: m[name].shape == m.shape and m[name].dtype == m.dtype


def _known(m: Match) -> Node | None:
    """Return the product of b and q, if it is there."""
    b, q, known = m.nodes["b"], m.nodes["q"], m.builder.known
    return known(ew.multiply, b, q) or known(ew.multiply, q, b)


def _is_known(m: Match) -> bool:
    known = _known(m)
    if known is None or not _is_real(known):
        return False  # of integers it may have wrapped
    # What is there must not depend on more than a b, and a b itself is no other product.
    return known.level <= m.nodes["ab"].level and known is not m.nodes["ab"]


def _in_range(m: Match) -> bool:
    """Tell whether the product of two numbers is a normal number."""
    if not (_keeps("quotient")(m) and _is_real(m["c"])):
        return False
    return bool(np.finfo(m.dtype).tiny <= abs(m["c"].scalar() * m["k"].scalar()) <= np.finfo(m.dtype).max)


def _saves_a_product(m: Match) -> bool:
    """Tell whether only x is a direction, and p q is no larger than p or q: it is then formed once per point."""
    if m.nodes["x"].level != DIRECTION:
        return False
    p, q = m.nodes["p"], m.nodes["q"]
    # A product of integers may wrap.
    if not (_is_real(p) or _is_real(q)):
        return False
    return math.prod(_joint_shape((p, q))) <= max(p.size, q.size)


def _is_whole(m: Match) -> bool:
    steps = [part.step for part in m.params["index"] if isinstance(part, slice)]
    return m["x"].shape == m.shape and set(steps) <= {None, 1}


# What patterns become.


def _without_sign(m: Match) -> Node:
    """Move a minus sign from a factor to the other one, if that depends on less, or out of the product."""
    pair, other = [m["x"], m["y"]], m["y"]
    moves = other.level < m["x"].level and other.operation is not None
    if moves:
        pair[1] = _joined(m.builder, ew.negative, (other,))
    product = m.apply(m.operation, tuple(pair if m.args[1] is other else pair[::-1]), m.params)
    return product if moves else m.apply(ew.negative, (product,))


def _permuted_once(m: Match) -> Node:
    inner = m["permuted"].params["axes"]
    return m.apply(permute_op, (m["x"],), {"axes": tuple(inner[i] for i in m.params["axes"])})


def _sum_of_all(m: Match) -> Node:
    x = m["x"]
    return m.apply(sum_op, (x,), {"axes": tuple(range(-len(x.shape), 0)), "keepdims": False})


# The table.

x, y, a, b, p, q = map(Pattern, "xyabpq")
c, k = (Pattern(name, value=math.nan) for name in "ck")
_ZERO, _ONE, _MINUS_ONE = (Pattern("number", value=number) for number in (0, 1, -1))
_AS_IT_IS = (ew.positive, OPERATIONS["conjugate"], broadcast_op)
_MOVED = (reshape_op, permute_op, slice_op, broadcast_op, embed_op, sum_op)
_PRODUCTS = (ew.multiply, Bilinear)


def _on(operations: Any, *args: Pattern, name: str = "") -> Pattern:
    return Pattern(name, operations if isinstance(operations, tuple) else (operations,), args)


RULES = (
    Rule("(-x) y", _on(_PRODUCTS, -x, y), _without_sign),
    Rule("y (-x)", _on(_PRODUCTS, y, -x), _without_sign),
    Rule(
        "(a b) q where b q is there",
        Pattern("ab", (ew.multiply,), (a, b)) * q,
        # As it stands: applied in turn, the rule would find a b again.
        lambda m: m.builder.make(ew.multiply, (m["a"], _known(m) or m["b"]), {}, m.shape, m.dtype),
        _is_known,
    ),
    Rule(
        "(c / x) k = (c k) / x",
        Pattern("quotient", (ew.divide,), (c, x)) * k,
        lambda m: m.apply(ew.divide, (m.builder.constant(m["c"].scalar() * m["k"].scalar()), m["x"])),
        _in_range,
    ),
    Rule("x 1 = x", x * _ONE, x, _keeps("x")),
    Rule("x (-1) = -x", x * _MINUS_ONE, -x, _keeps("x")),
    Rule("(x p) q = x (p q)", (x * p) * q, x * (p * q), _saves_a_product),
    Rule("-(-x) = x", _on(ew.negative, -x), x),
    Rule("-(x - y) = y - x", -(x - y), y - x),
    Rule("-(c x) = (-c) x", -(c * x), (-c) * x, lambda m: _is_real(m["c"])),
    Rule(
        "-view(-x) = view(x)",
        -_on(_MOVED, -x, name="moved"),
        lambda m: m.apply(m["moved"].operation, (m["x"],), m["moved"].params),  # type: ignore[arg-type]
    ),
    Rule("x + 0 = x", x + _ZERO, x, _keeps("x")),
    Rule("x + (-y) = x - y", x + -y, x - y),
    Rule("x - 0 = x", x - _ZERO, x, _keeps("x")),
    Rule("x - (-y) = x + y", x - -y, x + y),
    Rule("nothing done", _on(_AS_IT_IS, x), x, _keeps("x"), bitwise=True),
    Rule("reshape to the same", _on(reshape_op, x), x, lambda m: m["x"].shape == m.shape, bitwise=True),
    Rule("reshape twice", _on(reshape_op, _on(reshape_op, x)), lambda m: m.reshape(m["x"]), bitwise=True),
    Rule(
        "permute to the same",
        _on(permute_op, x),
        x,
        lambda m: m.params["axes"] == tuple(range(len(m.shape))),
        bitwise=True,
    ),
    Rule("permute twice", _on(permute_op, _on(permute_op, x, name="permuted")), _permuted_once, bitwise=True),
    Rule(
        "permute a vector",
        _on(permute_op, x),
        lambda m: m.reshape(m["x"]),
        lambda m: sum(1 for n in m.shape if n != 1) <= 1,
        bitwise=True,
    ),
    Rule("slice of all", _on(slice_op, x), x, _is_whole, bitwise=True),
    Rule(
        "slice what is embedded there",
        _on(slice_op, _on(embed_op, x, name="embedded")),
        x,
        lambda m: m["embedded"].params["index"] == m.params["index"],
        bitwise=True,
    ),
    Rule(
        "sum over axes of length one",
        _on(sum_op, x),
        lambda m: m.reshape(m["x"]),
        lambda m: all(m["x"].shape[axis] == 1 for axis in m.params["axes"]),
    ),
    Rule(
        "sum(-x) = -sum(x)",
        _on(sum_op, -x),
        lambda m: m.apply(ew.negative, (m.apply(sum_op, (m["x"],), m.params),)),
    ),
    Rule(
        "sum of all, reshaped",
        _on(sum_op, _on(reshape_op, x, name="reshaped")),
        _sum_of_all,
        lambda m: len(m.params["axes"]) == len(m["reshaped"].shape) and not m.shape,
    ),
)


class Form:
    """A rule for operands in one order, as what is looked at.

    Attributes
    ----------
    rule : Rule
    nodes : callable
        ``(args)``: what the names of the pattern stand for in operands that are like it.
    """

    def __init__(self, rule: Rule, pattern: Pattern) -> None:
        ways = [(path[0], "".join(f".args[{i}]" for i in path[1:]), part) for path, part in pattern.parts()]
        named = ", ".join(f"{part.name!r}: args[{first}]{rest}" for first, rest, part in ways if part.name)
        self.rule = rule
        # A program has thousands of nodes, each tried against some forms: what leads to the parts is compiled.
        self.nodes: Callable[[tuple[Node, ...]], dict[str, Node]] = eval(f"lambda args: {{{named}}}")
        # Operations of operands are known by the time that a form is tried.
        looked = [
            (first, rest, part) for first, rest, part in ways if (part.operations and rest) or part.value is not None
        ]
        self.checks = [(eval(f"lambda args: args[{first}]{rest}"), part) for first, rest, part in looked]

    def fails(self, args: tuple[Node, ...]) -> bool:
        """Tell whether operands are not like the pattern after all."""
        return not all(part.finds(part_of(args)) for part_of, part in self.checks)


@lru_cache(2**14)
def forms_of(operation: Operation, *inner: Operation | None) -> list[Form]:
    """Return the rules to try for an operation on operands of some operations, in every order that fits."""
    return [
        Form(rule, pattern)
        for rule in RULES
        if rule.pattern.may_be(operation)
        for pattern in rule.pattern.orders()
        if len(pattern.args) == len(inner)
        and all(arg.may_be(each) for arg, each in zip(pattern.args, inner, strict=True))
    ]


def rewrite(
    builder: Builder,
    operation: Operation,
    args: tuple[Node, ...],
    params: dict[str, Any],
    shape: tuple[int, ...],
    dtype: Any,
) -> Node | None:
    """Return a node equal to the operation on ``args`` and cheaper, or ``None`` if no rule applies."""
    algebra = not builder.no_algebra and (dtype is None or dtype.kind == "f")
    for arg in args:
        if arg.dtype is not None and arg.dtype.kind != "f":
            algebra = False  # integers wrap and widen: their signs and sums stay where they are
    if algebra and (operation in OF_TRIANGLES or args[0].operation in OF_TRIANGLES):
        found = of_triangles(builder, operation, args, params, shape, dtype)
        if found is not None:
            return found
    # Other functions than those of arithmetic have loops of their own for numbers, which may round in another way than those for arrays.
    if isinstance(operation, Elementwise) and (algebra or (operation in _ARITHMETIC and dtype.kind == "f")):
        bare = _all_unbroadcast(builder, args, shape)
        if bare is not None:
            return builder.apply(operation, bare, params, shape, dtype)
    forms = forms_of(operation, *[arg.operation for arg in args])
    if not forms:
        return None
    match = Match(builder, operation, args, params, shape, dtype, {})
    for form in forms:
        rule = form.rule
        if (algebra or rule.bitwise) and not (form.checks and form.fails(args)):
            match.nodes = form.nodes(args)
            if rule.where(match):
                return match.made(rule.result) if isinstance(rule.result, Pattern) else rule.result(match)
    return None


# Operands before they were broadcast: of any elementwise operation, however many.

_ARITHMETIC = (ew.add, ew.subtract, ew.multiply, ew.divide)


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
