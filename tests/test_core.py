"""Tape, dual numbers, sweeps and containers, piece by piece."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import DerivativeCheckError, LeavesTapeError, OptionError, ShapeMismatchError
from hessian.tape import Dual, Tape, trace
from hessian.tape.trees import flatten, map_leaves, ravel

Pair = namedtuple("Pair", ["left", "right"])


# The tape.


def test_a_tape_lists_operations_in_order():
    recording = trace(lambda x: np.sum(np.tanh(x) * 2.0), (np.ones(3),), where="test")
    names = [i.operation.name for i in recording.tape.instructions if i is not None]
    assert names == ["tanh", "multiply", "sum"]
    assert recording.tape.closed
    assert "1 inputs, 3 instructions" in repr(recording.tape)


def test_what_steers_python_is_guarded():
    def f(x):
        if x[0] > 0:
            return np.sum(x[x > 1.0])
        return x[int(np.argmin(x))]

    guards = trace(f, (np.array([1.0, 2.0, 3.0]),), where="test").tape.guards
    assert [np.asarray(seen).tolist() for _, seen in guards] == [True, [False, True, True]]


def test_an_exception_leaves_nothing_behind():
    def fails(x):
        np.sin(x)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        hs.hvp(fails, np.ones(2), np.ones(2))
    assert_allclose(hs.grad(lambda x: np.sum(x**2))(np.ones(2)), [2.0, 2.0])


def test_a_work_array_refilled_between_uses_is_seen_as_it_was():
    """A sweep reads constants after the user may have changed them."""
    x, first, second = np.array([0.3, 0.7]), np.array([2.0, 3.0]), np.array([5.0, 7.0])

    def f(x):
        work = first.copy()
        y = np.sum(work * x**2)
        work[:] = second
        z = np.sum(np.sin(x) * work)
        work[:] = first
        return y * z + np.sum(work @ x)

    def g(x):
        return np.sum(first * x**2) * np.sum(np.sin(x) * second) + np.sum(first @ x)

    assert_allclose(hs.grad(f)(x), hs.grad(g)(x), rtol=1e-15)
    assert_allclose(hs.hessian(f)(x), hs.hessian(g)(x), rtol=1e-14)


def test_snapshots_are_shared_while_contents_agree():
    tape, big = Tape(), np.arange(6000.0)
    one = tape.snapshot(big)
    assert tape.snapshot(big) is one
    big[0] = 9.0
    assert tape.snapshot(big) is not one
    assert tape.snapshot(big[:4000]) is tape.snapshot(big[:4000])
    small = np.arange(3.0)
    assert tape.snapshot(small) is not small
    frozen = np.arange(3.0)
    frozen.flags.writeable = False
    assert tape.snapshot(frozen) is frozen


def test_a_read_only_view_of_a_writable_array_is_copied():
    base = np.arange(4.0)
    window = base[:2]
    window.flags.writeable = False
    assert Tape().snapshot(window) is not window


# Dual numbers.


def test_duals_carry_the_derivative():
    x = Dual(np.array([0.5, 1.5]), np.array([1.0, -2.0]))
    y = np.sin(x) * x + 3.0 / x - x**2
    slope = np.cos(x.primal) * x.primal + np.sin(x.primal) - 3.0 / x.primal**2 - 2 * x.primal
    assert_allclose(y.primal, np.sin(x.primal) * x.primal + 3 / x.primal - x.primal**2, rtol=1e-15)
    assert_allclose(y.tangent, slope * x.tangent, rtol=1e-14)


def test_duals_carry_many_directions():
    x, directions = np.array([0.5, 1.5]), np.eye(2)
    y = np.exp(Dual(x, directions)) @ np.array([[1.0, 2.0], [3.0, 4.0]])
    assert_allclose(y.tangent, np.diag(np.exp(x)) @ np.array([[1.0, 2.0], [3.0, 4.0]]), rtol=1e-14)


def test_epsilon_squared_is_zero():
    epsilon = Dual(0.0, 1.0)
    assert (epsilon * epsilon).primal == 0.0
    assert (epsilon * epsilon).tangent == 0.0
    assert (epsilon > 0) is np.False_ or not (epsilon > 0)


def test_duals_refuse_what_would_lose_the_tangent():
    with pytest.raises(LeavesTapeError, match="float"):
        float(Dual(1.0, 1.0))
    with pytest.raises(LeavesTapeError, match="plain array"):
        np.asarray(Dual(np.ones(2), np.ones(2)))
    with pytest.raises(ShapeMismatchError, match="tangent"):
        Dual(np.ones(2), np.ones(3))
    assert "Dual" in repr(Dual(1.0, 1.0))


def test_zero_tangents_are_symbolic():
    assert np.sin(Dual(1.0)).tangent is None
    assert (Dual(1.0) + Dual(2.0, 1.0)).tangent == 1.0


# Sweeps.


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0.0)), [0.0, 0.25]),
        (lambda x: np.sum(np.sqrt(x)[x > 0]), [0.0, 0.25]),
        (lambda x: np.sqrt(x)[1], [0.0, 0.25]),
        (lambda x: np.sqrt(np.maximum(x, 0.04))[1] + 0 * x[0], [-1.0, 0.25]),
        (lambda x: np.sum((x**1.5)[1:]), [0.0, 0.25]),
        (lambda x: np.sum(np.sqrt(np.triu(np.stack([x, x], axis=1)))[0, :1]), [0.25, 0.0]),
    ],
)
def test_a_branch_not_taken_has_no_derivative_however_singular(f, x):
    x = np.array(x)
    gradient, H = hs.grad(f)(x), hs.hessian(f)(x)
    assert np.isfinite(gradient).all()
    assert np.isfinite(H).all()
    kept = int(np.argmax(x))
    assert gradient[1 - kept] == 0
    assert H[kept, kept] != 0
    product = hs.jvp(hs.grad(f), x, np.ones(2))[1]
    assert_allclose(product, H @ np.ones(2), rtol=1e-13)


def test_a_zero_that_is_not_structural_stays_loud():
    """sqrt x sin sqrt x has slope 1 at 0, which 0 * inf cannot know: NaN, never 0."""
    assert np.isnan(hs.grad(lambda x: np.sqrt(x) * np.sin(np.sqrt(x)))(0.0))


def test_a_constant_function_has_zero_derivatives():
    x = np.ones((2, 2))
    assert_array_equal(hs.grad(lambda x: 3.0)(x), np.zeros((2, 2)))
    assert_array_equal(hs.hvp(lambda x: np.sum(np.floor(x)), x, x), np.zeros((2, 2)))
    assert_array_equal(hs.hessian(lambda x: x[0, 0])(x), np.zeros((2, 2, 2, 2)))
    assert_array_equal(hs.jvp(lambda x: np.ones(3), x, x)[1], np.zeros(3))


def test_results_share_no_memory():
    a = np.ones(3)
    left, right = hs.grad(lambda a, b: np.sum(a + b), argnums=(0, 1))(a, a)
    assert not np.shares_memory(left, right)
    left[0] = 5.0
    assert right[0] == 1.0


def test_pullback_may_be_called_again_after_its_value_was_changed():
    y, pullback = hs.vjp(np.exp, np.ones(2))
    first = pullback(np.ones(2))
    y[:] = 0.0
    assert_array_equal(pullback(np.ones(2)), first)


def test_dense_matrices_do_not_depend_on_the_block_length(monkeypatch):
    x = np.random.default_rng(0).standard_normal(11)
    f = lambda x: np.sum(np.cumsum(x) ** 3) * x[0]
    whole = hs.hessian(f)(x)
    monkeypatch.setattr("hessian.linalg.limits.SWEEP_NUMBERS", 33)
    assert_array_equal(hs.hessian(f)(x), whole)
    assert_array_equal(hs.HessianOperator(f, x).diagonal(), np.diag(whole))
    monkeypatch.setattr("hessian.linalg.limits.SWEEP_NUMBERS", 1)
    assert_allclose(hs.hessian(f)(x), whole, rtol=1e-14)
    assert_allclose(hs.jacobian(np.cumsum)(x), np.tri(11), rtol=0)


def test_an_empty_argument_has_empty_derivatives():
    x = np.zeros((0, 3))
    assert hs.grad(lambda x: np.sum(x**2))(x).shape == (0, 3)
    assert hs.hessian(lambda x: np.sum(x**2))(x).shape == (0, 3, 0, 3)
    assert hs.jacobian(lambda x: x * 2)(x).shape == (0, 3, 0, 3)


# Containers.


@pytest.mark.parametrize(
    "tree",
    [
        np.ones(3),
        {"b": np.ones(2), "a": np.zeros((1, 2))},
        [np.ones(1), (np.zeros(2), {"c": np.ones(())})],
        Pair(np.ones(2), [np.ones(3)]),
        {},
        (),
    ],
)
def test_containers_come_back_as_they_went(tree):
    leaves, structure = flatten(tree)
    rebuilt = structure.build(leaves)
    assert type(rebuilt) is type(tree)
    assert flatten(rebuilt)[1] == structure
    doubled = map_leaves(lambda a: 2 * a, tree)
    for a, b in zip(flatten(doubled)[0], leaves, strict=True):
        assert_array_equal(a, 2 * b)


def test_ravel_and_back():
    tree = {"b": np.arange(2.0), "a": [np.arange(4.0).reshape(2, 2)]}
    vector, unravel = ravel(tree)
    assert_array_equal(vector, [0, 1, 0, 1, 2, 3])
    assert_array_equal(unravel(vector)["a"][0], tree["a"][0])
    vector[:] = -1
    assert tree["b"][1] == 1.0
    with pytest.raises(ShapeMismatchError, match="unravel"):
        unravel(np.zeros(5))


def test_a_tangent_dict_may_list_its_keys_in_any_order():
    x = {"a": np.array(2.0), "b": np.array(3.0)}
    v = {"b": np.array(0.0), "a": np.array(1.0)}
    y, y_dot = hs.jvp(lambda p: p["a"] * p["b"], x, v)
    assert (float(y), float(y_dot)) == (6.0, 3.0)


def test_a_list_of_numbers_is_a_list():
    gradient = hs.grad(lambda x: x[0] ** 2 + sum([*x[1:], 3.0]) ** 2)([1.0, 2.0])
    assert gradient == [2.0, 10.0]
    assert isinstance(gradient, list)
    with pytest.raises(TypeError) as caught:
        hs.grad(lambda x: np.sum(x**2))([1.0, 2.0])
    assert caught.value.__notes__ == ["grad: x is a list, and so it is in the function. Pass np.array(x) for an array."]


def test_wrong_number_of_leaves():
    with pytest.raises(ShapeMismatchError, match="leaves"):
        flatten({"a": 1.0})[1].build([])


# Checks.


def test_check_derivatives_reports(capsys):
    report = hs.check_derivatives(lambda x: np.sum(np.exp(x) * np.sin(x[::-1])), np.linspace(0.1, 1, 4))
    assert report.success
    assert 1.9 < report.value_slope < 2.2
    assert report.gradient_slope > 2.8
    assert report.symmetry < 1e-14
    assert "passed" in str(report)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("seed", range(3))
def test_check_derivatives_passes_at_an_optimum(seed):
    """Where value and gradient vanish, what differences leave is of the size of the curvature."""
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(5, 2)), 0.01 * rng.normal(size=5)
    f = lambda p: np.sum((np.exp(A @ p) - 1.0 - b) ** 2)
    best = hs.optimize.minimize(f, np.zeros(2), tol=1e-9).x
    assert hs.check_derivatives(f, best).gradient_error < 1e-9
    # Wrong by a thousandth of the curvature is still wrong.
    wrong = hs.custom_rule(
        f,
        name="wrong",
        pushforward=lambda y, xs, dots: (hs.grad(f)(xs[0]) + 1e-3) @ dots[0],
        pullback=lambda y, xs, y_bar, wanted: [(hs.grad(f)(xs[0]) + 1e-3) * y_bar],
        batched=False,
    )
    with pytest.raises(DerivativeCheckError, match="disagree"):
        hs.check_derivatives(lambda p: wrong(p), best)


def test_argnums_are_checked():
    f = lambda x, y: np.sum(x * y)
    with pytest.raises(OptionError, match="argnums"):
        hs.grad(f, argnums=2)(np.ones(2), np.ones(2))
    with pytest.raises(OptionError, match="twice"):
        hs.grad(f, argnums=(0, -2))(np.ones(2), np.ones(2))
    gradients: Any = hs.grad(f, argnums=-1)(np.ones(2), np.ones(2))
    assert_array_equal(gradients, np.ones(2))


def test_second_partials_that_a_rule_does_not_know_are_derived_from_the_first():
    from hessian.rules.spec import Elementwise

    ratio = Elementwise("ratio", np.divide, d1=[lambda y, a, b: 1 / b, lambda y, a, b: -y / b], d2=None)
    x = np.array([0.3, -0.7, 1.1, 1.9])
    f, g = (lambda x, op=op: np.sum(np.sin(op(x[:2], x[2:])) * x[0]) for op in (ratio, np.divide))
    np.testing.assert_allclose(hs.hessian(f)(x), hs.hessian(g)(x), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(hs.hessian(hs.record(f))(x), hs.hessian(g)(x), rtol=1e-12, atol=1e-14)


def test_a_number_is_sliced_and_used_otherwise() -> None:
    f = lambda x: np.sum(x[None]) ** 2 + x * x + np.sum(np.sin(x[..., None]))
    for x in (2.0, np.array(2.0)):
        assert_allclose(hs.grad(f)(x), 4 * 2.0 + np.cos(2.0))
        assert_allclose(hs.hessian(f)(x), 4 - np.sin(2.0))
        assert_allclose(hs.hessian(hs.record(f))(x), 4 - np.sin(2.0))


def test_the_power_zero_is_flat_everywhere() -> None:
    for x in (0.0, -2.0, 3.0):
        assert hs.value_and_grad(lambda x: x**0)(x) == (1.0, 0.0)
        assert hs.hessian(lambda x: x**0)(x) == 0.0


@pytest.mark.parametrize("wrap", [lambda f: f, hs.record], ids=["plain", "recorded"])
def test_products_in_arguments_by_number(wrap):
    f = wrap(lambda a, b, c: np.sum(np.sin(a) * b**2) * c)
    a, b, c = np.array([0.3, -0.7]), np.array([1.1, 0.4]), np.float64(1.5)
    v, w = np.array([1.0, 2.0]), np.array([-1.0, 0.5])
    for _ in range(3):
        assert_allclose(hs.hvp(f, a, w, b, c, argnums=1), 2 * np.sin(a) * c * w)
        assert_allclose(hs.hvp(f, a, w, b, c, argnums=-2), 2 * np.sin(a) * c * w)
        gradient, product = hs.grad_and_hvp(f, a, (w, v), b, c, argnums=(1, 0))
        assert_allclose(gradient, [2 * np.sin(a) * b * c, np.cos(a) * b**2 * c])
        assert_allclose(product[0], 2 * np.sin(a) * c * w + 2 * np.cos(a) * b * c * v)
        assert_allclose(product[1], -np.sin(a) * b**2 * c * v + 2 * np.cos(a) * b * c * w)
        y, slope = hs.jvp(f, a, w, b, c, argnums=1)
        assert_allclose([y, slope], [f(a, b, c), np.sum(2 * np.sin(a) * b * w) * c])
        bars = hs.vjp(f, a, b, c, argnums=(2, 1))[1](2.0)
        assert_allclose(bars[0], 2 * np.sum(np.sin(a) * b**2))
        assert_allclose(bars[1], 4 * np.sin(a) * b * c)
        assert_allclose(hs.directional(f, a, w, w, args=(b, c), argnums=1), 2 * np.sum(np.sin(a) * w**2) * c)
        assert_allclose(hs.directional(f, a, (v, w), args=(b, c), argnums=(0, 1)), gradient[1] @ v + gradient[0] @ w)
        line = [f(a, b, c), gradient[0] @ w, np.sum(np.sin(a) * w**2) * c]
        assert_allclose(hs.taylor(f, a, w, b, c, argnums=1, order=2), line)
        assert hs.check_derivatives(f, a, b, c, argnums=(0, 1)).success
    assert_allclose(hs.hvp(f, a, (v,), b, c, argnums=(0,))[0], hs.hvp(f, a, v, b, c))
    with pytest.raises(hs.errors.OptionError, match="argnums=3, but the function was called with 3"):
        hs.hvp(f, a, v, b, c, argnums=3)
