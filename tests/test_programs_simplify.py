"""Every rule that simplifies: what it makes of an example, that it is equal to it, and that each of its conditions is needed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hessian.programs import simplify
from hessian.programs.ir import DIRECTION, POINT, VIEWS, Builder, Node, reachable
from hessian.programs.simplify import RULES, Rule, rewrite
from hessian.rules import elementwise as ew
from hessian.rules.indexing import embed_op, slice_op
from hessian.rules.products import matvec_op, vecmat_op
from hessian.rules.reductions import sum_op
from hessian.rules.shaping import broadcast_op, permute_op, reshape_op
from hessian.rules.spec import OPERATIONS, Operation

F8, F4, I1 = np.dtype(float), np.dtype(np.float32), np.dtype(np.int8)
UNCACHED = simplify.forms_of.__wrapped__


class Graph:
    """Makes nodes with their shapes and types found by running them, and knows a value of each."""

    def __init__(self) -> None:
        self.builder = Builder(rewrite)
        self.values: dict[int, Any] = {}
        self._rng = np.random.default_rng(0)

    def input(self, *shape: int, level: int = DIRECTION, dtype: Any = F8, value: Any = None) -> Node:
        node = self.builder.input(shape, dtype, level)
        self.values[node.serial] = np.asarray(self._rng.standard_normal(shape) if value is None else value, dtype)
        return node

    def number(self, value: Any) -> Node:
        return self.builder.constant(value)

    def value(self, node: Node) -> Any:
        for each in reachable([node]):
            if each.serial not in self.values:
                plain = [self.values[arg.serial] for arg in each.args]
                each_value = each.value if each.operation is None else each.operation.function(*plain, **each.params)
                self.values[each.serial] = each_value
        return self.values[node.serial]

    def node(self, operation: Operation, *args: Node, simplified: bool = False, **params: Any) -> Node:
        with np.errstate(all="ignore"):
            value = operation.function(*map(self.value, args), **params)
        make = self.builder.apply if simplified else self.builder.make
        return make(operation, args, params, np.shape(value), np.asarray(value).dtype)

    def work(self, node: Node) -> int:
        """Elements that are computed again for each direction."""
        return sum(n.size for n in self._directed(node) if n.operation not in VIEWS)

    def kept(self, node: Node) -> int:
        """Elements that each direction reads of what depends on the point alone."""
        read = {arg.serial: arg for n in self._directed(node) for arg in n.args if arg.level == POINT}
        return sum(arg.size for arg in read.values())

    @staticmethod
    def _directed(node: Node) -> list[Node]:
        return [n for n in reachable([node]) if n.operation is not None and n.level == DIRECTION]


Made = tuple[Operation, tuple[Node, ...], dict[str, Any]]
"""A node that is about to be made."""


def _neg(g: Graph, x: Node) -> Node:
    return g.node(ew.negative, x)


def _negative_of(make: Callable[[Graph], Node]) -> Callable[[Graph], Made]:
    return lambda g: (ew.negative, (make(g),), {})


def _times(left: Callable[[Graph], Node], right: Callable[[Graph], Node]) -> Callable[[Graph], Made]:
    return lambda g: (ew.multiply, (left(g), right(g)), {})


def _regrouped(g: Graph) -> Made:
    x, p, q = g.input(3), g.input(3, level=POINT), g.input(3, level=POINT)
    return ew.multiply, (g.node(ew.multiply, p, x), q), {}


def _known_product(g: Graph) -> Made:
    a, b, q = g.input(3), g.input(3), g.input(3)
    g.node(ew.multiply, b, q)
    return ew.multiply, (g.node(ew.multiply, a, b), q), {}


def _quotient(c: float, k: float, at: float = 0.7) -> Callable[[Graph], Made]:
    def make(g: Graph) -> Made:
        x = g.input(1, value=[at])
        return ew.multiply, (g.node(ew.divide, g.number(c), x), g.number(k)), {}

    return make


def _reshaped(x: Node, *shape: int) -> dict[str, Any]:
    return {"shape": shape, "ndim": len(x.shape)}


def _of(operation: Operation, make: Callable[[Graph], Node], **params: Any) -> Callable[[Graph], Made]:
    return lambda g: (operation, (make(g),), params)


def _embedded(index: slice, other: slice) -> Callable[[Graph], Made]:
    def make(g: Graph) -> Made:
        x = g.input(2)
        return slice_op, (g.node(embed_op, x, index=(index,), shape=(5,)),), {"index": (other,), "ndim": 1}

    return make


_matrix = lambda g: g.input(2, 3)
_vector = lambda g: g.input(3)

EXAMPLES: dict[str, tuple[Callable[[Graph], Made], str]] = {
    "(-x) y": (lambda g: (vecmat_op, (_neg(g, g.input(3)), g.input(3, 2, level=POINT)), {}), "negative(vecmat(x, x))"),
    "y (-x)": (
        lambda g: (
            matvec_op,
            (g.node(ew.multiply, g.number(2.0), g.input(2, 3, level=POINT)), _neg(g, g.input(3))),
            {},
        ),
        "matvec(multiply(-2.0, x), x)",
    ),
    "(a b) q where b q is there": (_known_product, "multiply(x, multiply(x, x))"),
    "(c / x) k = (c k) / x": (_quotient(3.0, 2.0), "divide(6.0, x)"),
    "x 1 = x": (_times(_vector, lambda g: g.number(1)), "x"),
    "x (-1) = -x": (_times(lambda g: g.number(-1.0), _vector), "negative(x)"),
    "(x p) q = x (p q)": (_regrouped, "multiply(x, multiply(x, x))"),
    "-(-x) = x": (_negative_of(lambda g: _neg(g, g.input(3))), "x"),
    "-(x - y) = y - x": (_negative_of(lambda g: g.node(ew.subtract, g.input(3), g.input(3))), "subtract(x, x)"),
    "-(c x) = (-c) x": (
        _negative_of(lambda g: g.node(ew.multiply, g.input(3), g.number(2.0))),
        "multiply(-2.0, x)",
    ),
    "-view(-x) = view(x)": (
        _negative_of(lambda g: g.node(reshape_op, _neg(g, g.input(2, 3)), shape=(6,), ndim=2)),
        "reshape(x)",
    ),
    "x + 0 = x": (lambda g: (ew.add, (g.number(0.0), g.input(3)), {}), "x"),
    "x + (-y) = x - y": (lambda g: (ew.add, (_neg(g, g.input(3)), g.input(3)), {}), "subtract(x, x)"),
    "x - 0 = x": (lambda g: (ew.subtract, (g.input(3), g.number(0)), {}), "x"),
    "x - (-y) = x + y": (lambda g: (ew.subtract, (g.input(3), _neg(g, g.input(3))), {}), "add(x, x)"),
    "nothing done": (_of(broadcast_op, _vector, shape=(3,), ndim=1), "x"),
    "reshape to the same": (_of(reshape_op, _matrix, shape=(2, 3), ndim=2), "x"),
    "reshape twice": (
        _of(reshape_op, lambda g: g.node(reshape_op, g.input(2, 3), shape=(6,), ndim=2), shape=(3, 2), ndim=1),
        "reshape(x)",
    ),
    "permute to the same": (_of(permute_op, _matrix, axes=(0, 1)), "x"),
    "permute twice": (
        _of(permute_op, lambda g: g.node(permute_op, g.input(2, 3, 4), axes=(1, 2, 0)), axes=(0, 2, 1)),
        "permute(x)",
    ),
    "permute a vector": (_of(permute_op, lambda g: g.input(1, 3), axes=(1, 0)), "reshape(x)"),
    "slice of all": (_of(slice_op, _vector, index=(slice(0, 3),), ndim=1), "x"),
    "slice what is embedded there": (_embedded(slice(1, 3), slice(1, 3)), "x"),
    "sum over axes of length one": (_of(sum_op, lambda g: g.input(1, 3), axes=(-2,), keepdims=False), "reshape(x)"),
    "sum(-x) = -sum(x)": (
        _of(sum_op, lambda g: _neg(g, g.input(2, 3)), axes=(-1,), keepdims=False),
        "negative(sum(x))",
    ),
    "sum of all, reshaped": (
        _of(sum_op, lambda g: g.node(reshape_op, g.input(2, 3), shape=(6,), ndim=2), axes=(-1,), keepdims=False),
        "sum(x)",
    ),
}


def _three(x: Any, p: Any, q: Any) -> Callable[[Graph], Made]:
    """A product (x p) q of inputs with the given keywords, or of numbers."""

    def make(g: Graph) -> Made:
        one, two, three = (g.input(*n.get("shape", (3,)), **{k: n[k] for k in n if k != "shape"}) if isinstance(n, dict)
                           else g.number(n) for n in (x, p, q))  # fmt: skip
        return ew.multiply, (g.node(ew.multiply, one, two), three), {}

    return make


def _known_whole_numbers(g: Graph) -> Made:
    a, b, three = g.input(1, value=[0.5]), g.input(1, level=POINT, dtype=I1, value=[100]), g.number(3)
    g.node(ew.multiply, b, three)
    return ew.multiply, (g.node(ew.multiply, a, b), three), {}


def _square_of_what_is_known(g: Graph) -> Made:
    x, p = g.input(3), g.input(3, level=POINT)
    return ew.multiply, (g.node(ew.multiply, x, p), p), {}


def _halved(c: Any, k: Any, dtype: Any = F8) -> Callable[[Graph], Made]:
    return lambda g: (ew.multiply, (g.node(ew.divide, g.number(c), g.input(3, dtype=dtype)), g.number(k)), {})


_single = lambda g: g.input(3, dtype=F4)
_at = {"level": POINT}
NEEDED: dict[str, list[Callable[[Graph], Made]]] = {
    "(a b) q where b q is there": [_known_whole_numbers, _square_of_what_is_known],
    "(c / x) k = (c k) / x": [
        _quotient(1e200, 1e200, 1e300),
        _quotient(1e-200, 1e-200, 1e-300),
        _halved(3.0, np.full((2, 3), 2.0)),
        _halved(3.0, np.full(3, 2.0), F4),
        _halved(np.int8(100), 2),
    ],
    "x 1 = x": [_times(_vector, lambda g: g.number(np.ones((2, 3)))), _times(_single, lambda g: g.number(np.ones(3)))],
    "x (-1) = -x": [
        _times(_vector, lambda g: g.number(-np.ones((2, 3)))),
        _times(_single, lambda g: g.number(-np.ones(3))),
    ],
    "(x p) q = x (p q)": [
        _three({"shape": (1,), "value": [0.5]}, {"shape": (1,), "value": [100], "dtype": I1, **_at}, 3),
        _three({"shape": (3, 4)}, {"shape": (3, 1), **_at}, {"shape": (4,), **_at}),
        _three(_at, {}, _at),
    ],
    "-(c x) = (-c) x": [_negative_of(lambda g: g.node(ew.multiply, g.input(3), g.number(np.uint8(2))))],
    "x + 0 = x": [lambda g: (ew.add, (g.input(3), g.number(np.zeros((2, 3)))), {})],
    "x - 0 = x": [lambda g: (ew.subtract, (g.input(3), g.number(np.zeros((2, 3)))), {})],
    "nothing done": [_of(broadcast_op, _vector, shape=(2, 3), ndim=1)],
    "reshape to the same": [_of(reshape_op, _matrix, shape=(3, 2), ndim=2)],
    "permute to the same": [_of(permute_op, _matrix, axes=(1, 0))],
    "permute a vector": [_of(permute_op, _matrix, axes=(1, 0))],
    "slice of all": [
        _of(slice_op, _vector, index=(slice(0, 2),), ndim=1),
        _of(slice_op, _vector, index=(slice(None, None, -1),), ndim=1),
    ],
    "slice what is embedded there": [_embedded(slice(1, 3), slice(2, 4))],
    "sum over axes of length one": [_of(sum_op, _matrix, axes=(-2,), keepdims=False)],
    "sum of all, reshaped": [
        _of(sum_op, lambda g: g.node(reshape_op, g.input(2, 3), shape=(3, 2), ndim=2), axes=(-1,), keepdims=False),
        _of(sum_op, lambda g: g.node(reshape_op, g.input(6), shape=(3, 2), ndim=1), axes=(-2, -1), keepdims=True),
    ],
}
"""Nodes that a rule without its conditions would spoil."""


def text(node: Node) -> str:
    """A node as it would be written, numbers as they are."""
    if node.operation is None:
        return repr(node.value) if node.is_constant else "x"
    return f"{node.operation.name}({', '.join(map(text, node.args))})"


def only(monkeypatch: pytest.MonkeyPatch, *rules: Rule) -> None:
    monkeypatch.setattr(simplify, "RULES", rules)
    monkeypatch.setattr(simplify, "forms_of", UNCACHED)


def test_every_rule_has_an_example_and_every_condition_a_need() -> None:
    assert EXAMPLES.keys() == {rule.name for rule in RULES}
    assert NEEDED.keys() == {rule.name for rule in RULES if rule.where is not Rule.where}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_gives_what_is_equal_and_cheaper(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    make, expected = EXAMPLES[rule.name]
    for rules in ((rule,), RULES):
        only(monkeypatch, *rules)
        g = Graph()
        operation, args, params = make(g)
        plain, better = g.node(operation, *args, **params), g.node(operation, *args, simplified=True, **params)
        assert better is not plain
        assert rules != RULES or text(better) == expected
        assert (better.shape, better.dtype) == (plain.shape, plain.dtype)
        assert_allclose(g.value(better), g.value(plain), rtol=1e-15)
        assert g.work(better) <= g.work(plain)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_that_changes_bits_leaves_values_of_the_function_alone(rule: Rule) -> None:
    g = Graph()
    operation, args, params = EXAMPLES[rule.name][0](g)
    plain = g.node(operation, *args, **params)
    g.builder.no_algebra = True
    written = g.node(operation, *args, simplified=True, **params)
    assert (written is not plain) == rule.bitwise
    assert np.array_equal(g.value(written), g.value(plain))


@pytest.mark.parametrize(
    ("rule", "make"),
    [pytest.param(r, make, id=f"{r.name} {i}") for r in RULES for i, make in enumerate(NEEDED.get(r.name, ()))],
)
def test_the_conditions_of_a_rule_are_needed(
    rule: Rule, make: Callable[[Graph], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    def result(*rules: Rule) -> tuple[Graph, Node, Node]:
        only(monkeypatch, *rules)
        g = Graph()
        operation, args, params = make(g)
        return g, g.node(operation, *args, **params), g.node(operation, *args, simplified=True, **params)

    def is_spoiled(g: Graph, plain: Node, better: Node) -> bool:
        if (better.shape, better.dtype) != (plain.shape, plain.dtype):
            return True
        with np.errstate(all="ignore"):
            same = np.shape(g.value(better)) == plain.shape and g.value(better).dtype == plain.dtype
            same = same and np.allclose(g.value(better), g.value(plain), rtol=1e-14, atol=0)
        return not same or g.work(better) > g.work(plain) or g.kept(better) > g.kept(plain)

    for rules in ((rule,), RULES):
        assert not is_spoiled(*result(*rules))
    free = dataclasses.replace(rule, where=Rule.where)
    # Applied for ever, or to what has no such result, it is spoiled as well.
    with contextlib.suppress(RecursionError, RuntimeWarning, ValueError):
        assert is_spoiled(*result(free)) or is_spoiled(*result(*[free if r is rule else r for r in RULES]))


def test_a_square_is_formed_at_the_point_though_its_first_product_is_there() -> None:
    g = Graph()
    operation, args, params = _square_of_what_is_known(g)
    assert g.work(g.node(operation, *args, simplified=True, **params)) == 3


def test_operands_are_taken_before_they_were_broadcast_where_the_others_bring_the_shape_along() -> None:
    g = Graph()
    row, matrix = g.input(3), g.input(2, 3)
    spread = g.node(broadcast_op, row, shape=(2, 3), ndim=1)
    for no_algebra in (False, True):
        g.builder.no_algebra = no_algebra
        assert g.node(ew.add, spread, matrix, simplified=True).args[0] is row
        assert (
            g.node(ew.add, spread, g.node(broadcast_op, row, shape=(2, 3), ndim=1), simplified=True).args[0] is spread
        )
        assert g.node(ew.add, matrix, g.number(np.full((2, 3), 2.0)), simplified=True).args[1].shape == ()
        both = g.node(ew.add, spread, g.number(np.full(3, 2.0)), simplified=True)
        assert (both.args[0], both.args[1].shape) == (spread, ())
    # Beyond arithmetic, loops for numbers may round in another way than those for arrays.
    assert g.node(OPERATIONS["arctan2"], spread, matrix, simplified=True).args[0] is spread
    g.builder.no_algebra = False
    assert g.node(OPERATIONS["arctan2"], spread, matrix, simplified=True).args[0] is row


def test_whole_numbers_stay_as_they_are() -> None:
    g = Graph()
    n = g.input(3, level=POINT, dtype=I1, value=[-128, 1, 2])
    x = g.input(3)
    made = [(ew.negative, (_neg(g, n),)), (ew.add, (n, _neg(g, n))), (ew.multiply, (n, g.number(-1)))]
    for operation, args in (*made, (ew.subtract, (x, _neg(g, n)))):
        node = g.node(operation, *args, simplified=True)
        assert (node.operation, node.args) == (operation, args)
