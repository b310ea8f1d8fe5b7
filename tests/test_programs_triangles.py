"""What programs make of triangular factors: equal to what is written, with less work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs
from hessian.programs.ir import DIRECTION, POINT, Builder, Node, reachable
from hessian.programs.simplify import rewrite
from hessian.rules import elementwise as ew
from hessian.rules.cholesky import LEFT, LEFT_TURNED, RIGHT, cholesky_back_op, congruence_op
from hessian.rules.triangular import PLAIN, TURNED, lower_op, product_op, triangular_op

N = 5
UP, DOWN = {"trans": False}, {"trans": True}
Wanted = Callable[..., Node]


def _chain(make: Wanted, t: Node, a: Node) -> Node:
    """Return a reduction of a long sum, each term of it cleared above the diagonal."""
    total = make(lower_op, a)
    for _ in range(40):
        total = make(ew.add, total, make(lower_op, make(ew.negative, a)))
    return make(congruence_op, t, total, **UP)


#: What is written -> the operations that are left.
EXAMPLES: dict[str, tuple[Callable[[Wanted, Node, Node, Node], Node], str]] = {
    "pullback": (lambda make, t, a, b: make(cholesky_back_op, t, a), "triangular_product congruence"),
    "solution undone": (
        lambda make, t, a, b: make(triangular_op, t, make(product_op, t, a, **LEFT), **PLAIN),
        "",
    ),
    "solution of the transpose": (
        lambda make, t, a, b: make(triangular_op, t, make(product_op, t, a, **LEFT), **TURNED),
        "triangular_product solve_triangular",
    ),
    "solution of another product": (
        lambda make, t, a, b: make(triangular_op, t, make(product_op, t, a, **RIGHT), **PLAIN),
        "triangular_product solve_triangular",
    ),
    "sum": (
        lambda make, t, a, b: make(ew.add, make(congruence_op, t, a, **UP), make(congruence_op, t, b, **UP)),
        "add congruence",
    ),
    "difference": (
        lambda make, t, a, b: make(ew.subtract, make(congruence_op, t, a, **DOWN), make(congruence_op, t, b, **DOWN)),
        "subtract congruence",
    ),
    "sum of different ones": (
        lambda make, t, a, b: make(ew.add, make(congruence_op, t, a, **DOWN), make(congruence_op, t, b, **UP)),
        "add congruence congruence",
    ),
    "what is lower": (
        lambda make, t, a, b: make(lower_op, make(congruence_op, t, a, **UP)),
        "congruence",
    ),
    "product of what is lower": (
        lambda make, t, a, b: make(lower_op, make(product_op, make(lower_op, a), make(lower_op, b), **LEFT)),
        "lower_part triangular_product",
    ),
    "product of what is not": (
        lambda make, t, a, b: make(lower_op, make(product_op, t, a, **LEFT)),
        "lower_part triangular_product",
    ),
    "half that is read": (
        lambda make, t, a, b: make(congruence_op, t, make(ew.subtract, make(lower_op, a), b), **UP),
        "congruence subtract",
    ),
    "half of a product": (
        lambda make, t, a, b: make(congruence_op, t, make(product_op, t, make(lower_op, a), **LEFT_TURNED), **UP),
        "congruence triangular_product",
    ),
    "half that a product reads": (
        lambda make, t, a, b: make(congruence_op, t, make(product_op, b, make(lower_op, a), **LEFT), **UP),
        "congruence lower_part triangular_product",
    ),
    "triangle of a product": (
        lambda make, t, a, b: make(product_op, make(lower_op, a), b, **RIGHT),
        "triangular_product",
    ),
    "upper triangle of a product": (
        lambda make, t, a, b: make(product_op, make(lower_op, a), b, **{**RIGHT, "lower": False}),
        "lower_part triangular_product",
    ),
}


def _made(written: Callable[..., Node], simplified: bool) -> tuple[Node, dict[int, Any]]:
    """Return a node made as it is written or simplified, and the values of the inputs."""
    rng, builder = np.random.default_rng(0), Builder(rewrite)
    inputs = [builder.input((N, N), np.dtype(float), level) for level in (POINT, DIRECTION, DIRECTION)]
    numbers = [np.tril(rng.uniform(-0.4, 0.4, (N, N))) + 2 * np.eye(N), *rng.standard_normal((2, N, N))]

    def make(operation: Any, *args: Node, **params: Any) -> Node:
        build = builder.apply if simplified else builder.make
        return build(operation, args, params, (N, N), np.dtype(float))

    return written(make, *inputs), {node.serial: x for node, x in zip(inputs, numbers, strict=True)}


def _value(node: Node, values: dict[int, Any]) -> Any:
    for each in reachable([node]):
        if each.operation is not None:
            values[each.serial] = each.operation.function(*(values[arg.serial] for arg in each.args), **each.params)
    return values[node.serial]


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_made_is_equal_and_cheaper(name: str) -> None:
    written, left = EXAMPLES[name]
    made, values = _made(written, simplified=True)
    names = sorted(node.operation.name for node in reachable([made]) if node.operation is not None)
    assert names == sorted(left.split())
    plain = _value(*_made(written, simplified=False))
    assert_allclose(_value(made, values), plain, rtol=1e-12, atol=1e-14)


def test_long_sums_are_looked_into_only_so_far() -> None:
    made, values = _made(lambda make, t, a, b: _chain(make, t, a), simplified=True)
    assert sum(node.operation is lower_op for node in reachable([made])) > 0
    assert_allclose(
        _value(made, values), _value(*_made(lambda make, t, a, b: _chain(make, t, a), simplified=False)), rtol=1e-12
    )


def _likelihood(upper: bool) -> Callable[[Any], Any]:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 3, 7), rng.standard_normal(7)
    linalg = hs.scipy.linalg

    def f(w: Any) -> Any:
        covariance = np.exp(w[0] - (x[:, None] - x) ** 2 * np.exp(w[1])) + np.exp(w[2]) * np.eye(7)
        factor = linalg.cho_factor(covariance, lower=not upper)
        return 0.5 * (y @ linalg.cho_solve(factor, y)) + np.sum(np.log(np.diag(factor[0])))

    return f


@pytest.mark.parametrize("upper", [False, True])
def test_programs_of_a_likelihood_agree_with_sweeps(upper: bool) -> None:
    f, w, v = _likelihood(upper), np.array([0.1, -0.2, -1.0]), np.array([1.0, -0.5, 0.3])
    recorded = hs.record(f)
    for at in (w, w + 0.1):
        value, gradient = hs.value_and_grad(recorded)(at)
        assert_allclose(value, f(at), rtol=1e-14)
        assert_allclose(gradient, hs.grad(f)(at), rtol=1e-10)
        assert_allclose(hs.hvp(recorded, at, v), hs.hvp(f, at, v), rtol=1e-9)
        assert_allclose(hs.hessian(recorded)(at), hs.hessian(f)(at), rtol=1e-9, atol=1e-12)
        step = 1e-5
        slope = (hs.grad(f)(at + step * v) - hs.grad(f)(at - step * v)) / (2 * step)
        assert_allclose(hs.hvp(recorded, at, v), slope, rtol=1e-6)


def test_a_factor_reads_one_triangle_and_leaves_the_other_alone() -> None:
    rng = np.random.default_rng(2)
    a, v = rng.standard_normal((70, 70)), rng.standard_normal((70, 70))
    a = a @ a.T + 70 * np.eye(70)
    f = lambda a: np.sum(np.sin(np.linalg.cholesky(a)))
    spoilt = np.where(np.tri(70, dtype=bool), a, np.nan)
    assert_allclose(hs.grad(f)(spoilt), hs.grad(f)(a), rtol=1e-12)
    assert not np.triu(hs.grad(f)(a), 1).any()
    assert_allclose(hs.hvp(f, spoilt, v), hs.hvp(f, a, np.tril(v)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("trans", [False, True])
def test_reductions_leave_what_they_are_given(n: int, trans: bool) -> None:
    from hessian.rules import lapack

    t, s = np.tril(np.eye(n) + 1.0), np.arange(1.0, n * n + 1).reshape(n, n)
    given = t.copy(), s.copy()
    lapack.congruent(t, s, trans=trans)
    assert np.array_equal(t, given[0])
    assert np.array_equal(s, given[1])


def test_factors_of_one_number_have_the_plain_derivatives() -> None:
    def f(x: Any) -> Any:
        a = 1.3 + 0.3 * np.tanh(x.reshape(1, 1))
        return np.sum(np.sin(np.linalg.cholesky(a @ a.T)))

    x = np.array([0.3])
    assert_allclose(hs.hessian(hs.record(f))(x), hs.hessian(f)(x), rtol=1e-13)
