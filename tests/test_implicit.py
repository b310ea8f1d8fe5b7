"""Roots, fixed points and minima as functions of parameters: against closed forms, JAX and differences."""

from __future__ import annotations

import pickle
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from differential.check import double_precision
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import (
    ConvergenceError,
    DtypeError,
    HessianError,
    LeavesTapeError,
    NonFiniteError,
    NotScalarError,
    ShapeMismatchError,
    StaleRecordingError,
    UndefinedDerivativeError,
)
from hessian.optimize import roots

RNG = np.random.default_rng(0)
X, TRUE = RNG.standard_normal((6, 4)), RNG.standard_normal(4)
Y, X_NEW = X @ TRUE + RNG.standard_normal(6), RNG.standard_normal((9, 4))
Y_NEW = X_NEW @ TRUE + RNG.standard_normal(9)


def kepler(E: Any, M: Any, e: Any) -> Any:
    return E - e * np.sin(E) - M


def anomaly(M: Any, e: Any = 0.5) -> Any:
    return hs.root(kepler, 1.0, (M, e))[0]


def pair(x: Any, t: Any) -> Any:
    return np.stack([x[0] ** 2 + x[1] - t[0], 3 * x[0] - x[1] ** 3 - t[1]])


def intersection(t: Any) -> Any:
    x = hs.root(pair, [1.0, 1.0], (t,))
    return np.sum(x**2) + x[0] * x[1]


T = np.array([2.0, 0.3])


def differences(f: Any, x: np.ndarray, h: float = 1e-5) -> np.ndarray:
    return np.stack([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(x.size)], axis=-1)


def ridge(log_penalty: Any) -> Any:
    """Validation loss of the ridge regression with that penalty."""

    def fit(w: Any, log_penalty: Any) -> Any:
        return np.sum((X @ w - Y) ** 2) + np.sum(np.exp(log_penalty) * w**2)

    w = hs.argmin(fit, np.zeros(4), (log_penalty,))
    return np.sum((X_NEW @ w - Y_NEW) ** 2)


def ridge_closed(log_penalty: Any) -> Any:
    w = np.linalg.solve(X.T @ X + np.exp(log_penalty) * np.eye(4), X.T @ Y)
    return np.sum((X_NEW @ w - Y_NEW) ** 2)


def test_kepler_to_order_five() -> None:
    with mp.workdps(40):
        expected = mp.taylor(lambda M: mp.findroot(lambda E: E - mp.sin(E) / 2 - M, 1), 1, 5)
    assert_allclose(hs.taylor(anomaly, 1.0, 1.0, order=5), np.array(expected, float), rtol=1e-12)
    third = hs.grad(hs.grad(hs.grad(anomaly)))(1.0)
    assert_allclose(third, 6 * float(expected[3]), rtol=1e-12)


def test_second_derivatives_in_both_arguments() -> None:
    E = anomaly(1.0)
    slope, sin, cos = 1 / (1 - 0.5 * np.cos(E)), np.sin(E), np.cos(E)
    assert_allclose(hs.grad(anomaly, argnums=(0, 1))(1.0, 0.5), [slope, sin * slope], rtol=1e-13)
    H = hs.hessian(anomaly, argnums=(0, 1))(1.0, 0.5)
    mixed = slope**2 * cos - 0.5 * sin * slope**2 * sin * slope
    assert_allclose(H[0][1], mixed, rtol=1e-12)
    assert_allclose(H[0][0], -0.5 * sin * slope**3, rtol=1e-12)
    assert_allclose(H[1][0], H[0][1], rtol=1e-12)


def test_system_against_differences_of_every_order() -> None:
    gradient, hessian = hs.grad(intersection), hs.hessian(intersection)
    assert_allclose(gradient(T), differences(intersection, T), rtol=1e-9)
    assert_allclose(hessian(T), differences(gradient, T), rtol=1e-8)
    total = lambda t: np.sum(hs.hessian(intersection)(t) * np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert_allclose(hs.grad(total)(T), differences(total, T), rtol=1e-7)


def test_batches_of_directions() -> None:
    V = RNG.standard_normal((3, 2))
    H = hs.hessian(intersection)(T)
    assert_allclose(hs.hvp(intersection, T, V), V @ H, rtol=1e-12)
    whole = lambda t: hs.root(pair, [1.0, 1.0], (t,))
    J = hs.jacobian(whole)(T)
    assert_allclose(hs.jvp(whole, T, V)[1], V @ J.T, rtol=1e-12)
    assert_allclose(hs.vjp(whole, T)[1](np.ones(2)), J.sum(axis=0), rtol=1e-12)
    assert_allclose(hs.jacobian(hs.jacobian(whole))(T), differences(hs.jacobian(whole), T), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("f", "x"), [(intersection, T), (ridge, np.array([0.3]))], ids=["root", "argmin"])
def test_recorded(f: Any, x: np.ndarray) -> None:
    recorded = hs.record(f if f is intersection else lambda x: f(x[0]))
    plain = f if f is intersection else lambda x: f(x[0])
    for shift in (0.0, 0.1, 0.2, 0.25):
        at = x + shift
        assert_allclose(recorded(at), plain(at), rtol=1e-12)
        assert_allclose(hs.grad(recorded)(at), hs.grad(plain)(at), rtol=1e-10)
        assert_allclose(hs.hessian(recorded)(at), hs.hessian(plain)(at), rtol=1e-9)
        assert_allclose(hs.hvp(recorded, at, at), hs.hvp(plain, at, at), rtol=1e-9)
    assert recorded.stats.replays > 8
    assert recorded.stats.failures == 0
    H = hs.HessianOperator(plain, x)
    products = [H @ np.ones(x.size) for _ in range(5)]
    assert H.is_compiled
    assert_allclose(products, [hs.hessian(plain)(x).sum(axis=0)] * 5, rtol=1e-10)


@pytest.mark.parametrize("record", [False, True], ids=["plain", "recorded"])
def test_factors_are_made_once_per_point(record: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    made = roots.factorized
    monkeypatch.setattr(roots, "factorized", lambda *args: (counts.append(1), made(*args))[1])
    intersection(T)
    by_solver = len(counts)
    H = hs.HessianOperator(hs.record(intersection) if record else intersection, T)
    counts.clear()
    assert_allclose(H.gradient, hs.grad(intersection)(T), rtol=1e-12)
    counts.clear()
    for _ in range(5):
        assert_allclose(H @ T, hs.hessian(intersection)(T) @ T, rtol=1e-11)
    assert len(counts) == 5 * by_solver  # of the Hessians that the products are compared with


def test_two_points_have_factors_of_their_own() -> None:
    recorded = hs.record(intersection)
    first, second = hs.HessianOperator(recorded, T), hs.HessianOperator(recorded, T + 0.2)
    for H, t in ((first, T), (second, T + 0.2), (first, T)):
        assert_allclose(H @ T, hs.hvp(intersection, t, T), rtol=1e-11)
        assert_allclose(H.gradient, hs.grad(intersection)(t), rtol=1e-11)


def test_a_recorded_function_is_pickled() -> None:
    recorded = hs.record(anomaly)
    expected = hs.grad(recorded)(1.0)
    assert hs.grad(pickle.loads(pickle.dumps(recorded)))(1.0) == expected


def test_penalty_of_a_ridge_regression() -> None:
    for t in (-1.0, 0.5):
        assert_allclose(ridge(t), ridge_closed(t), rtol=1e-12)
        assert_allclose(hs.taylor(ridge, t, 1.0, order=3), hs.taylor(ridge_closed, t, 1.0, order=3), rtol=1e-9)
        assert_allclose(hs.grad(hs.grad(ridge))(t), hs.grad(hs.grad(ridge_closed))(t), rtol=1e-9)
    result = hs.optimize.minimize(lambda t: ridge(t[0]), [0.0])
    assert result.success
    assert abs(hs.grad(ridge_closed)(result.x[0])) < 1e-5
    assert -1.0 < result.x[0] < 0.0


def test_deep_equilibrium() -> None:
    W, U = 0.2 * RNG.standard_normal((5, 5)), RNG.standard_normal((5, 3))
    inputs = RNG.standard_normal(3)

    def layer(z: Any, params: Any, inputs: Any) -> Any:
        return np.tanh(params["W"] @ z + params["U"] @ inputs)

    def loss(params: Any) -> Any:
        return np.sum(hs.fixed_point(layer, np.zeros(5), (params, inputs)) ** 2)

    def unrolled(params: Any) -> Any:
        z = np.zeros(5)
        for _ in range(120):
            z = layer(z, params, inputs)
        return np.sum(z**2)

    params = {"W": W, "U": U}
    direction = {"W": RNG.standard_normal((5, 5)), "U": RNG.standard_normal((5, 3))}
    for name in params:
        assert_allclose(hs.grad(loss)(params)[name], hs.grad(unrolled)(params)[name], rtol=1e-9, atol=1e-13)
        found, expected = (hs.hvp(f, params, direction)[name] for f in (loss, unrolled))
        assert_allclose(found, expected, rtol=1e-8, atol=1e-11)


def test_the_fixed_point_is_that_of_the_iteration() -> None:
    """m = tanh(2 m) has three; the iteration leads to an outer one, from however near the middle."""
    m = hs.fixed_point(lambda m, beta: np.tanh(beta * m), 1e-3, (2.0,))
    assert_allclose(m, [0.9575040240772687], rtol=1e-12)
    slope = hs.grad(lambda beta: hs.fixed_point(lambda m, beta: np.tanh(beta * m), 1e-3, (beta,))[0])(2.0)
    assert_allclose(slope, m[0] * (1 - m[0] ** 2) / (1 - 2 * (1 - m[0] ** 2)), rtol=1e-11)
    # Where it leads nowhere, the equation is solved.
    assert_allclose(hs.fixed_point(lambda x: 3 - 2 * x, 0.2), [1.0], rtol=1e-14)


def test_chemical_equilibrium() -> None:
    """A + B <-> C with constant K: the extent solves a quadratic equation."""
    extent = lambda K: hs.root(lambda z, K: z - K * (1 - z) * (2 - z), 0.5, (K,))[0]
    closed = lambda K: ((3 * K + 1) - np.sqrt((3 * K + 1) ** 2 - 8 * K**2)) / (2 * K)
    assert_allclose(hs.taylor(extent, 0.7, 1.0, order=4), hs.taylor(closed, 0.7, 1.0, order=4), rtol=1e-11)


def test_against_jax() -> None:
    jax = pytest.importorskip("jax")
    jnp = pytest.importorskip("jax.numpy")

    A = np.diag([3.0, 4.0, 5.0]) + 0.1 * RNG.standard_normal((3, 3))

    def equation(lib: Any) -> Any:
        return lambda x, t: A @ x + lib.sin(x) * t - t**2

    t = np.array([0.3, -0.4, 0.9])
    known = hs.root(equation(np), np.zeros(3), (t,))

    def solve(t: Any) -> Any:
        tangent = lambda g, y: jnp.linalg.solve(jax.jacfwd(g)(y), y)
        return jax.lax.custom_root(lambda x: equation(jnp)(x, t), known, lambda f, x0: x0, tangent)

    ours = lambda t: np.sum(hs.root(equation(np), np.zeros(3), (t,)) ** 3)
    theirs = lambda t: jnp.sum(solve(t) ** 3)
    with double_precision(DeprecationWarning):
        gradient, hessian = jax.grad(theirs)(t), jax.hessian(theirs)(t)
    assert_allclose(equation(np)(known, t), 0, atol=1e-15)
    assert_allclose(hs.grad(ours)(t), gradient, rtol=1e-10)
    assert_allclose(hs.hessian(ours)(t), hessian, rtol=1e-9, atol=1e-11)


def test_nested() -> None:
    """The inner minimiser is a + y, the outer root solves x + (a + x) = b."""
    inner = lambda y, a: hs.argmin(lambda z, y, a: np.sum((z - y - a) ** 2), np.zeros(1), (y, a))
    outer = lambda a, b: hs.root(lambda x, a, b: x + inner(x, a) - b, np.zeros(1), (a, b))[0]
    assert_allclose(outer(1.0, 4.0), 1.5)
    assert_allclose(hs.grad(outer, argnums=(0, 1))(1.0, 4.0), [-0.5, 0.5], rtol=1e-12)
    assert_allclose(hs.hessian(outer)(1.0, 4.0), 0.0, atol=1e-12)
    squared = lambda a: hs.root(lambda x, a: x**2 - hs.root(lambda y, a: y**3 - a, 1.0, (a,)), 1.0, (a,))[0]
    assert_allclose(
        hs.taylor(squared, 2.0, 1.0, order=3), hs.taylor(lambda a: a ** (1 / 6), 2.0, 1.0, order=3), rtol=1e-11
    )


def test_inside_a_checkpoint() -> None:
    f = lambda t: hs.checkpoint(intersection)(t) ** 2
    assert_allclose(hs.hessian(f)(T), hs.hessian(lambda t: intersection(t) ** 2)(T), rtol=1e-11)


def test_the_start_has_no_derivative() -> None:
    f = lambda x0, a: np.sum(hs.root(lambda x, a: x**2 - a, x0, (a,)))
    g = hs.grad(f, argnums=(0, 1))(np.array([1.0, 2.0]), np.array([4.0, 9.0]))
    assert g[0].tolist() == [0.0, 0.0]
    assert_allclose(g[1], [1 / 4, 1 / 6])
    assert hs.grad(lambda s: hs.root(lambda x: x**2 - 4.0, s)[0])(1.0) == 0.0
    assert hs.grad(lambda s: hs.root(lambda x: x**2 - 4.0, [s])[0])(1.0) == 0.0


def test_containers() -> None:
    def equations(x: Any, scale: Any) -> Any:
        return [x["a"] ** 2 - scale, x["a"] * x["b"] - np.array([1.0, 2.0])]

    x = hs.root(equations, {"a": 1.0, "b": np.ones(2)}, 4.0)
    assert x["a"] == 2.0
    assert x["b"].tolist() == [0.5, 1.0]
    f = lambda t: np.sum(hs.root(equations, {"a": 1.0, "b": np.ones(2)}, (t["s"],))["b"])
    assert_allclose(hs.grad(f)({"s": 4.0})["s"], -3 / 2 * 4.0**-1.5, rtol=1e-13)
    least = hs.argmin(lambda x: (x[0] - 1) ** 2 + np.sum((x[1] - 2) ** 2), (0.0, np.zeros(2)))
    assert_allclose(np.hstack(least), [1, 2, 2])


def test_starts_as_scipy_takes_them() -> None:
    assert hs.root(lambda x: x - 2, 1).tolist() == [2.0]
    assert hs.root(lambda x: [x[0] - 2, x[1] - x[0]], [1, 1]).tolist() == [2.0, 2.0]
    assert hs.argmin(lambda x: x**2 + x, 1).tolist() == [-0.5]
    assert hs.fixed_point(lambda x: x / 2, np.array(1.0)).tolist() == [0.0]
    start = np.ones(2)
    hs.root(pair, start, (T,))
    assert start.tolist() == [1.0, 1.0]


def test_single_precision() -> None:
    a = np.array([4.0, 9.0], np.float32)
    f = lambda a: hs.root(lambda x, a: x**2 - a, np.ones(2, np.float32), (a,))
    x = f(a)
    assert x.dtype == np.float32
    assert x.tolist() == [2.0, 3.0]
    g = hs.grad(lambda a: np.sum(f(a)))(a)
    assert g.dtype == np.float32
    assert_allclose(g, [1 / 4, 1 / 6], rtol=1e-6)
    assert_allclose(hs.hvp(lambda a: np.sum(f(a)), a, a), [-1 / 8, -1 / 12], rtol=1e-5)
    mixed = hs.grad(lambda a: np.sum(hs.root(lambda x, a: x**2 - a, np.ones(2), (a,))))(a)
    assert mixed.dtype == np.float32


def test_ill_conditioned_is_no_singular() -> None:
    n = 6
    hilbert = 1 / (np.arange(n)[:, None] + np.arange(n) + 1.0)
    scales = 10.0 ** np.array([-12, 3, 9, -5, 0, 7])
    inverse = np.linalg.inv(hilbert)
    for A, solution, expected in (
        (hilbert, np.ones(n), inverse),
        (scales[:, None] * hilbert, np.ones(n), inverse / scales),
        (hilbert / scales, scales, inverse * scales[:, None]),
    ):
        J = hs.jacobian(lambda b, A=A: hs.root(lambda x, b: A @ x - b, np.zeros(n), (b,)))(A @ solution)
        assert_allclose(J, expected, rtol=1e-8)


DOUBLE = (
    (lambda x: (x - 1) ** 2, 2.0),
    (lambda x: x**2 - 2 * x + 1, 2.0),
    (lambda x: x**3, 1.0),
    (lambda x: np.stack([x[0] + x[1] - 1, 2 * x[0] + 2 * x[1] - 2]), np.zeros(2)),
    (lambda x: np.stack([x[0] * x[1], x[0] ** 2 + 1e-9 * x[1] ** 3]), np.ones(2)),
)


@pytest.mark.parametrize(("fun", "x0"), DOUBLE, ids=range(len(DOUBLE)))
def test_no_derivative_at_a_double_root(fun: Any, x0: Any) -> None:
    with pytest.raises((UndefinedDerivativeError, ConvergenceError), match=r"^root: "):
        hs.root(fun, x0)


def test_a_singular_solution_is_not_called_none() -> None:
    """Powell's singular function: solved to any number of digits, but slowly."""

    def equation(x: Any) -> Any:
        return np.stack(
            [x[0] + 10 * x[1], 5**0.5 * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, 10**0.5 * (x[0] - x[3]) ** 2]
        )

    with pytest.raises(UndefinedDerivativeError, match="has no derivative"):
        hs.root(equation, [3.0, -1.0, 0.0, 1.0])


def test_no_derivative_at_a_singular_minimum() -> None:
    for fun in (lambda x: np.sum(x**4), lambda x: (x[0] + x[1] - 1) ** 2, lambda x: np.sum((x - 0.5) ** 6)):
        with pytest.raises((UndefinedDerivativeError, ConvergenceError), match=r"^argmin: "):
            hs.argmin(fun, np.array([1.0, 0.5]))


def test_a_continuum_of_solutions_is_called_singular() -> None:
    for solve in (
        lambda: hs.root(lambda x: np.stack([x[0] + x[1] - 1, 2 * x[0] + 2 * x[1] - 2]), np.zeros(2)),
        lambda: hs.root(lambda x: np.stack([0.1 * x[0] + 0.3 * x[1], 0.2 * x[0] + 0.6 * x[1]]), np.ones(2)),
        lambda: hs.argmin(lambda x: (0.1 * x[0] + 0.3 * x[1] - 1) ** 2, np.zeros(2)),
    ):
        with pytest.raises(UndefinedDerivativeError, match="is singular at the solution"):
            solve()


@pytest.mark.parametrize("method", ["trust-exact", "newton", "trust-ncg", "arc"])
@pytest.mark.parametrize(
    ("equation", "error"),
    [(lambda x, p: x**2 - p, ConvergenceError), (lambda x, p: x - np.sqrt(p), NonFiniteError)],
)
def test_no_solution_at_a_trial_point_is_a_rejected_step(equation: Any, error: type, method: str) -> None:
    caught = []

    def fun(p: Any) -> Any:
        try:
            x = hs.root(equation, 1.5, (p[0],))  # the square root, which a negative number has not
        except HessianError as found:
            caught.append(type(found))
            raise
        return 0.1 * (x - 4) ** 2 + 0.01 * p[0]

    with np.errstate(invalid="ignore"):
        res = hs.optimize.minimize(fun, [90.0], method=method, tol=1e-9)
    assert res.success
    assert set(caught) == {error}
    assert res.x == pytest.approx([(40 / 11) ** 2], rel=1e-6)


def test_no_solution() -> None:
    with pytest.raises(ConvergenceError, match="no solution was found"):
        hs.root(lambda x: x**2 + 1, 1.0)
    with pytest.raises(ConvergenceError, match=r"^argmin"):
        hs.argmin(lambda x: np.sum(np.exp(-x)), np.zeros(2))
    with pytest.raises(ConvergenceError, match="no minimum"):
        hs.argmin(lambda x: x[0] ** 2 - x[1] ** 2, np.zeros(2))
    with pytest.raises(NonFiniteError, match="not finite at x0"):
        hs.root(lambda x: np.log(x - 1), 0.5)


def test_captured_values_are_refused() -> None:
    for solve in (
        lambda t: hs.root(lambda x: x - t, 1.0),
        lambda t: hs.fixed_point(lambda x: np.cos(x) * t, 1.0),
        lambda t: hs.argmin(lambda x: np.sum((x - t) ** 2), 1.0),
        lambda t: hs.root(lambda x, s: x - s * t, 1.0, (t,)),
    ):
        for where in (hs.grad, lambda f: hs.record(f)):
            with pytest.raises(LeavesTapeError, match="Pass it in args"):
                where(lambda t, solve=solve: solve(t)[0])(1.0)


def test_refusals() -> None:
    with pytest.raises(ShapeMismatchError, match="2 numbers for 1 unknowns"):
        hs.root(lambda x: np.stack([x[0], x[0]]), 1.0)
    with pytest.raises(ShapeMismatchError, match="mapped to itself"):
        hs.fixed_point(lambda x: np.sum(x), np.ones(2))
    with pytest.raises(ShapeMismatchError, match="no elements"):
        hs.root(lambda x: x, np.zeros(0))
    with pytest.raises(ShapeMismatchError, match="2 numbers for 1 unknowns"):
        hs.root(lambda x: x + 1j, 1.0)
    with pytest.raises(DtypeError, match="returned <U1"):
        hs.root(lambda x: np.array(["a"]), 1.0)
    with pytest.raises(NotScalarError):
        hs.argmin(lambda x: x, np.ones(2))
    with pytest.raises(NonFiniteError, match="NaN or inf"):
        hs.root(lambda x: np.sqrt(x), np.zeros(1))


def test_data_are_copied_and_protected() -> None:
    data = np.array([2.0, 3.0])

    def f(t: Any) -> Any:
        x = hs.root(lambda x, t, data: x - t * data, np.zeros(2), (t, data))
        data[:] = 7.0
        return np.sum(x)

    assert hs.grad(f)(1.0) == 5.0

    def writes(x: Any, a: Any) -> Any:
        a *= 2
        return x - a

    with pytest.raises(ValueError, match="read-only"):
        hs.root(writes, np.zeros(2), (np.ones(2),))


def test_data_that_change_under_the_function_are_noticed() -> None:
    for order in (hs.grad, hs.hessian):
        data = np.array([2.0, 3.0])

        def f(t: Any, data: np.ndarray = data) -> Any:
            x = hs.root(lambda x, t: x - t * data, np.zeros(2), (t,))
            data[:] = 7.0
            return np.sum(x**2)

        with pytest.raises(StaleRecordingError, match="Pass what changes in args"):
            order(f)(1.0)


def test_integers_are_arguments_like_others() -> None:
    f = hs.record(lambda t, n: hs.root(lambda x, t, n: x**n - t, np.ones(1), (t, n))[0])
    for n in (2, 3, 2):
        assert_allclose(hs.grad(f)(4.0, np.array(n)), 4.0 ** (1 / n - 1) / n, rtol=1e-12)
        assert_allclose(hs.grad(f)(5.0, n), 5.0 ** (1 / n - 1) / n, rtol=1e-12)


def test_arrays_made_inside() -> None:
    """Of zeros, filled by elements: in the equation, as a start and as an argument that changes later."""

    def filled(x: Any, t: Any, shift: Any) -> Any:
        y = np.zeros(2)
        y[0], y[1] = x[0] ** 2 - t, x[1] - x[0] - shift[0]
        return y

    def f(t: Any) -> Any:
        shift = np.zeros(1)
        x = hs.root(filled, np.ones(2), (t, shift))
        shift[0] = t
        return np.sum(x) * shift[0]

    for g in (f, hs.record(f)):
        assert_allclose(g(4.0), 16.0)
        assert_allclose(hs.grad(g)(4.0), 3 * 4.0**0.5, rtol=1e-13)
        assert_allclose(hs.grad(hs.grad(g))(4.0), 1.5 * 4.0**-0.5, rtol=1e-12)


def test_unknowns_may_be_written_to() -> None:
    def equation(x: Any, t: Any) -> Any:
        x[0] = x[0] ** 2
        x *= 2.0
        return x - 2 * t

    start = np.ones(2)
    f = lambda t: np.sum(hs.root(equation, start, (t,)))
    t = np.array([4.0, 5.0])
    assert_allclose(f(t), 7.0)
    assert_allclose(hs.grad(f)(t), [1 / 4, 1.0])
    assert_allclose(hs.hessian(f)(t), [[-1 / 32, 0], [0, 0]], atol=1e-15)
    assert start.tolist() == [1.0, 1.0]


def test_branches_are_followed() -> None:
    """The equation steers by its own values; a replay does so anew."""

    def equation(x: Any, t: Any) -> Any:
        return x - t if t > 1 else x - t**2

    f = hs.record(lambda t: hs.root(equation, 1.0, (t,))[0])
    assert [hs.grad(f)(t) for t in (2.0, 3.0, 0.5, 0.25, 2.5)] == [1.0, 1.0, 1.0, 0.5, 1.0]
