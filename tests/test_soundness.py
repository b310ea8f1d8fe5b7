"""What must never give a wrong number: layouts, aliases, work arrays, keywords, dtypes of constants, dead branches."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.special as sc
from numpy import empty
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import (
    DtypeError,
    HessianError,
    LeavesTapeError,
    OptionError,
    ShapeMismatchError,
)

X3 = np.array([1.0, 2.0, 3.0])
X23 = np.arange(6.0).reshape(2, 3) + 1.0


def differences(f: Callable[[Any], Any], x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """Central differences of plain NumPy, exact enough to tell a right derivative from a wrong one."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(order="K"), x.copy(order="K")
        up[i] += h
        down[i] -= h
        gradient[i] = (f(up) - f(down)) / (2 * h)
    return gradient


def agrees_with_plain_numpy(f: Callable[[Any], Any], x: np.ndarray) -> None:
    """Compare value and gradient with the plain function, which gets a copy: it may write into its argument."""
    value, gradient = hs.value_and_grad(f)(x)
    assert_allclose(value, f(x.copy(order="K")), rtol=1e-14)
    wanted = differences(lambda z: f(z.copy(order="K")), x)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6)


# Memory layout.


def transposed_then_assigned(x):
    y = x.T * 2.0
    y[0] = 0.0
    return np.sum(y**2)


def row_overwritten(x):
    y = x.copy()
    y[0] = y[1] ** 2
    return np.sum(y)


@pytest.mark.parametrize("f", [transposed_then_assigned, row_overwritten])
@pytest.mark.parametrize("x", [X23, X23.T, X23[::-1], np.asfortranarray(X23), X23[:, ::-1].T], ids=str)
def test_assignment_reaches_any_memory_layout(f, x):
    agrees_with_plain_numpy(f, x)


def test_assignment_under_directions_of_any_layout():
    identity = np.eye(6).reshape(6, 2, 3)
    wanted = [1, 1, 1] * 0 + [0, 0, 0, 9, 11, 13]
    assert_array_equal(hs.jvp(row_overwritten, X23, identity)[1], wanted)
    assert_array_equal(hs.jvp(row_overwritten, X23, np.asfortranarray(identity))[1], wanted)
    sparse = scipy.sparse.csr_array(np.eye(2))
    assert_array_equal(hs.jvp(lambda x: row_overwritten(sparse @ x), X23, identity)[1], wanted)


# Constants.


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.float32, bool])
@pytest.mark.parametrize(
    "f",
    [
        np.arctan2,
        np.hypot,
        np.power,
        np.multiply,
        np.divide,
        np.logaddexp,
        sc.xlogy,
        np.maximum,
        np.float_power,
        sc.xlog1py,
    ],
    ids=lambda f: f.__name__,
)
def test_partials_do_not_inherit_the_dtype_of_constants(f, dtype):
    constant = np.array([3, 12, 100] if dtype is not bool else [1, 1, 1])
    typed, precise = constant.astype(dtype), constant.astype(float)
    x = np.array([1.3, 2.1, 0.7])
    for call in (lambda c, x: f(x, c), lambda c, x: f(c, x)):
        # SciPy itself evaluates at the precision of what it is given, so the reference takes the derivative's dtype.
        of = lambda x, c=typed, call=call: np.sum(call(c, x))
        exact = lambda x, c=precise, call=call: np.sum(call(c, x))
        assert_allclose(hs.grad(of)(x), hs.grad(exact)(x), rtol=1e-12)
        assert_allclose(hs.hessian(of)(x), hs.hessian(exact)(x), rtol=1e-11, atol=1e-300)


def test_views_of_foreign_memory_and_subclasses_are_copied():
    class Tagged(np.ndarray):
        pass

    signal = np.arange(5.0)
    windows = sliding_window_view(signal, 3)
    tagged = X3.copy().view(Tagged)
    first = hs.HessianOperator(lambda w: np.sum((windows @ w) ** 2), X3)
    second = hs.HessianOperator(lambda w: np.sum(tagged * w**2), X3)
    kept = first @ X3, second @ X3
    signal[:] = 100.0
    tagged[:] = 100.0
    assert_array_equal(first @ X3, kept[0])
    assert_array_equal(second @ X3, kept[1])


def test_a_list_is_read_when_it_is_used():
    def f(x):
        mask = [True, False, True]
        a = np.where(mask, x, 0.0)
        mask[0] = False
        return np.sum(a)

    assert_array_equal(hs.grad(f)(X3), [1.0, 0.0, 1.0])


@pytest.mark.parametrize("operation", [np.multiply, np.divide, np.power, np.arctan2, np.maximum])
def test_lists_are_arrays(operation):
    agrees_with_plain_numpy(lambda x: np.sum(operation(x, [2.0, 1.0, 3.0])), X3)
    agrees_with_plain_numpy(lambda x: np.sum(operation([2.0, 1.5, 3.5], x)), X3)


@pytest.mark.parametrize(
    "constant", [np.ma.masked_array(X3, mask=[0, 1, 0]), np.asmatrix(np.eye(3))], ids=["masked", "matrix"]
)
def test_arrays_with_their_own_arithmetic_are_refused(constant):
    with pytest.raises(DtypeError, match="rules for arithmetic"):
        hs.grad(lambda x: np.sum(np.multiply(constant, x)))(X3)


def test_snapshots_of_views_made_in_a_loop_are_shared():
    W = np.random.default_rng(0).standard_normal((100, 100)) / 10

    def f(h):
        for _ in range(20):
            h = np.tanh(h @ W.T)
        return np.sum(h)

    from hessian.tape import trace

    tape = trace(f, (np.ones(100),), where="test").tape
    factors = {id(i.operands[1]) for i in tape.instructions if i is not None and i.operation.name == "vecmat"}
    assert len(factors) == 1


# Handles.


def test_results_do_not_share_a_handle():
    def f(w):
        a, b = hs.grad(lambda a, b: np.sum((a + b) ** 2), (0, 1))(w, w + 1)
        a *= 2
        return np.sum(b)

    agrees_with_plain_numpy(f, X3)


def test_later_assignments_do_not_reach_a_transform():
    def through_jvp(w):
        y, _ = hs.jvp(lambda z: z, w, np.ones(3))
        y *= 2
        return np.sum(w)

    def through_vjp(w):
        _, pull = hs.vjp(lambda x: w * x, X3)
        w *= 2
        return np.sum(pull(np.ones(3)))

    def through_operator(w):
        H = hs.HessianOperator(lambda x: np.sum(x**3), w)
        w *= 2
        return np.sum(H @ np.ones(3))

    def through_closure(w):
        def inner(x):
            y = np.sum(w * x**2)
            w[0] = 10.0
            return y

        return np.sum(hs.grad(inner)(X3))

    for f, value in ((through_jvp, 6.0), (through_vjp, 6.0), (through_operator, 36.0), (through_closure, 28.0)):
        assert f(X3.copy()) == value
        traced, _ = hs.value_and_grad(f)(X3)
        assert traced == value


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_keep_the_derivative(duplicate):
    agrees_with_plain_numpy(lambda x: np.sum(duplicate(x) ** 2 * x), X3)


def test_pickling_would_lose_the_derivative():
    with pytest.raises(LeavesTapeError, match="pickling"):
        hs.grad(lambda x: np.sum(pickle.loads(pickle.dumps(x))))(X3)


# Views and in-place operators.


def test_augmented_operators_change_every_alias():
    def modulo(x):
        y = x * 1.0
        z = y
        y %= 0.7
        return np.sum(z * x)

    def floor(x):
        y = x * 1.0
        z = y
        y //= 0.7
        return np.sum(z * x)

    def masks(x):
        m = x > 1.5
        n = m
        m &= x < 2.5
        p = m | (x > 100)
        p |= x < 0
        p ^= x > 200
        return np.sum(n * x) + np.sum(p * x)

    for f in (modulo, floor, masks):
        agrees_with_plain_numpy(f, X3 + 0.05)


def test_zero_dimensional_views():
    def followed(x):
        y = x * 1.0
        z = y[..., 1]
        y[1] = 50.0
        return z * x[0]

    def written(x):
        y = x * 1.0
        z = np.squeeze(y[1:2])
        z *= 10
        return np.sum(y)

    def accumulated(x):
        total = np.zeros_like(x[0])
        kept = {"total": total}
        for i in range(3):
            kept["total"] += x[i] ** 2
        return total

    agrees_with_plain_numpy(followed, X3)
    agrees_with_plain_numpy(written, X3)
    value, gradient = hs.value_and_grad(accumulated)(X3)
    assert value == 14.0
    assert_array_equal(gradient, 2 * X3)


def test_a_view_leaves_the_function_with_what_it_shows():
    def returned(x):
        y = x * 1.0
        window = y[1:]
        y[2] = 0.0
        return window

    def mask(x):
        m = x > 0
        window = m[1:]
        m[2] = False
        return np.sum(x[1:][window])

    assert_array_equal(hs.jacobian(returned)(X3), [[0, 1, 0], [0, 0, 0]])
    assert_array_equal(hs.grad(mask)(X3), [0, 1, 0])
    _, aux = hs.grad(lambda x: (np.sum(x), {"kept": returned(x)}), has_aux=True)(X3)
    assert_array_equal(aux["kept"], [2.0, 0.0])


def test_in_place_operations_cast_as_numpy_does():
    def into_integers(x):
        m = np.zeros_like(x, dtype=int)
        m += x
        return np.sum(m * x)

    def grows(x):
        y = x[:1] * 1.0
        y += x
        return np.sum(y)

    with pytest.raises(DtypeError, match="dtype float64"):
        hs.grad(into_integers)(X3)
    with pytest.raises(ShapeMismatchError, match="shape"):
        hs.grad(grows)(X3)


# Keywords.


@pytest.mark.parametrize(
    "call",
    [
        lambda x, out: np.dot(np.eye(3), x, out=out),
        lambda x, out: np.take(x, [0, 1, 2], out=out),
        lambda x, out: np.compress([True] * 3, x, out=out),
        lambda x, out: np.outer(x, x, out=empty((3, 3))),
        lambda x, out: np.trace(np.outer(x, x), out=empty(())),
        lambda x, out: np.linalg.multi_dot([np.eye(3), np.eye(3), x], out=out),
        lambda x, out: np.sum(x, axis=0, out=empty(())),
        lambda x, out: np.cumsum(x, 0, None, out),
        lambda x, out: np.concatenate([x, x], out=empty(6)),
    ],
)
def test_out_is_refused_rather_than_ignored(call):
    with pytest.raises((LeavesTapeError, OptionError), match="out"):
        hs.grad(lambda x: np.sum(call(x, empty(3))))(X3)


@pytest.mark.parametrize("truth", [1, np.True_, True])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "prod", "var"])
def test_keepdims_is_any_truth_value(name, truth):
    agrees_with_plain_numpy(lambda x: np.sum(getattr(x, name)(axis=1, keepdims=bool(truth)) * x), X23)
    value = hs.value_and_grad(lambda x: np.sum(getattr(x, name)(axis=1, keepdims=truth) * x))(X23)[0]
    assert value == np.sum(getattr(X23, name)(axis=1, keepdims=True) * X23)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(x * np.zeros_like(a=x)) + x[np.argmax(a=x)],
        lambda x: np.sum(x[np.argsort(a=x)]) * np.any(a=x > 0),
        lambda x: np.sum(np.round(a=x) * x),
        lambda x: np.sum(x * np.isclose(a=x, b=1.0)),
        lambda x: np.searchsorted(X3, v=x[1]) * x[0],
        lambda x: np.sum(np.delete(x, np.argmax(x))),
    ],
)
def test_traced_arguments_by_keyword(f):
    agrees_with_plain_numpy(f, X3 + 0.1)


def test_values_that_fill_carry_their_derivative():
    agrees_with_plain_numpy(lambda x: np.sum(np.full_like(x, x[0]) ** 2), X3)
    assert hs.grad(lambda h: np.heaviside(np.array([0.0, 1.0]), h)[0])(0.5) == 1.0


def test_eigh_reads_the_triangle_it_is_told_to():
    a = np.random.default_rng(1).standard_normal((4, 4))
    for uplo in "LU":
        value, _ = hs.jvp(lambda a, uplo=uplo: np.linalg.eigh(a, uplo)[1], a, a)
        assert_allclose(value, np.linalg.eigh(a, uplo)[1], atol=1e-14)


# Contractions.


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [("ii", [(2, 3)]), ("ii->i", [(2, 3)]), ("ab,ab->", [(2, 3), (3, 2)]), ("...i,...i->i", [(2, 3), (2, 3)])],
)
def test_einsum_refuses_what_numpy_refuses(subscripts, shapes):
    arrays = [np.ones(shape) for shape in shapes]
    with pytest.raises(ValueError, match=r".*"):
        np.einsum(subscripts, *arrays)
    with pytest.raises(ShapeMismatchError, match="einsum"):
        hs.grad(lambda x: np.sum(np.einsum(subscripts, x, *arrays[1:])))(arrays[0])


@pytest.mark.parametrize("subscripts", ["ab,ab->", "ab,ab->a", "ab,ab->ab", "ab,ab->b"])
def test_einsum_stretches_lengths_of_one(subscripts):
    column, row = np.array([[1.0], [2.0], [3.0]]), np.array([[4.0, 5.0, 6.0]])
    agrees_with_plain_numpy(lambda x: np.sum(np.einsum(subscripts, x, row) ** 2), column)
    agrees_with_plain_numpy(lambda x: np.sum(np.einsum(subscripts, column, x) ** 2), row)


@pytest.mark.parametrize("wrong", [np.ones(4), np.ones((4, 2)), 1j * np.ones(3)], ids=["long", "tall", "complex"])
def test_operators_refuse_directions_of_another_space(wrong):
    H = hs.HessianOperator(lambda x: np.sum(x**3), X3)
    J = hs.JacobianOperator(np.sin, X3)
    for operator in (H, J):
        with pytest.raises((ValueError, DtypeError)):
            operator @ wrong
        if wrong.dtype.kind == "f":
            with pytest.raises(ShapeMismatchError):
                hs.grad(lambda v, operator=operator: np.sum(operator @ v))(wrong)


# Structural zeros of reductions.


def test_elements_that_a_reduction_leaves_out():
    assert_array_equal(hs.grad(lambda x: np.max(np.sqrt(x)))(np.array([0.0, 4.0])), [0.0, 0.25])
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    for f in (
        lambda x: np.linalg.norm(x, axis=1)[1],
        lambda x: np.sum(np.where(np.linalg.norm(x, axis=1) > 0, np.linalg.norm(x, axis=1), 0.0)),
    ):
        product = hs.hvp(f, rows, np.ones((2, 2)))
        assert_array_equal(product[0], 0.0)
        assert_allclose(product[1], hs.hvp(np.linalg.norm, rows[1], np.ones(2)), rtol=1e-13)


# Digits.


def test_partials_keep_their_digits_in_the_tails():
    assert_allclose(hs.grad(sc.expit)(40.0), np.exp(-40.0), rtol=1e-12)
    assert_allclose(hs.hessian(sc.expit)(40.0), -np.exp(-40.0), rtol=1e-12)
    assert_allclose(hs.grad(np.expm1)(-35.0), np.exp(-35.0), rtol=1e-13)
    tiny = np.array([3e-12, 4e-12], np.float32)
    H = hs.hessian(lambda x: np.arctan2(x[0], x[1]))(tiny)
    assert_allclose(H, hs.hessian(lambda x: np.arctan2(x[0], x[1]))(tiny.astype(float)), rtol=1e-5)
    big = np.array([3e13, 4e13], np.float32)
    H = hs.hessian(lambda x: np.hypot(x[0], x[1]))(big)
    assert_allclose(H, hs.hessian(lambda x: np.hypot(x[0], x[1]))(big.astype(float)), rtol=1e-5)


# Twins and containers.


def test_twins_take_lists_integers_and_traced_scalars():
    assert_allclose(hs.special.logsumexp(np.array([0, 1])), np.log(1 + np.e), rtol=1e-15)
    agrees_with_plain_numpy(lambda x: hs.special.logsumexp(np.array([x[0], 1.0, x[2] * x[1]])), X3)
    agrees_with_plain_numpy(lambda x: np.sum(hs.special.polygamma(1, x)), X3)
    with pytest.raises(OptionError, match="order"):
        hs.special.polygamma(-1, X3)


def test_models_that_return_scalars_in_a_list():
    G = hs.GaussNewtonOperator(lambda x: [x[0] * x[1], x[1]], lambda z: 0.5 * (z[0] ** 2 + z[1] ** 2), X3[:2])
    J = np.array([[2.0, 1.0], [0.0, 1.0]])
    assert_allclose(G.to_dense(), J.T @ J, rtol=1e-15)


def test_aux_comes_back_plain():
    _, aux = hs.grad(lambda x: (np.sum(x), {"pair": np.array([x[0], 1.0])}), has_aux=True)(X3)
    assert_array_equal(aux["pair"], [1.0, 1.0])
    assert aux["pair"].dtype == float


def test_duals_do_not_nest():
    with pytest.raises(OptionError, match="epsilon"):
        hs.tape.Dual(hs.tape.Dual(1.0, 1.0), 1.0)


def test_a_missing_rule_is_an_error_for_variables_and_duals():
    from hessian.rules.spec import MISSING, Elementwise

    half = Elementwise("half_known", np.add, d1=[1, MISSING], d2={})
    assert hs.grad(lambda x: half(x, 2.0))(1.0) == 1.0
    for call in (lambda: hs.grad(lambda x: half(2.0, x))(1.0), lambda: half(2.0, hs.tape.Dual(1.0, 1.0))):
        with pytest.raises(HessianError, match="argument 1 has no rule"):
            call()
