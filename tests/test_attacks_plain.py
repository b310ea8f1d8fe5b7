"""Programs as scientists write them, against NumPy and SciPy on plain numbers and against differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import DtypeError, LeavesTapeError, OptionError
from hessian.scipy import integrate, linalg, signal

X = np.random.default_rng(5).standard_normal(6)
V = np.random.default_rng(6).standard_normal(6)
W = np.arange(1.0, 50.0)
IMAGE = np.random.default_rng(7).standard_normal((4, 5))


def check(f: Callable[[Any], Any], x: np.ndarray, *, recorded: bool = True) -> None:
    """Compare value, gradient and product with plain numbers and differences, plain and recorded."""
    h = 1e-5
    expected = np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(x.size)])
    v = V[: x.size]
    curved = (hs.grad(f)(x + h * v) - hs.grad(f)(x - h * v)) / (2 * h)
    for g in (f, hs.record(f)) if recorded else (f,):
        value, gradient = hs.value_and_grad(g)(x)
        assert_allclose(value, f(x.copy()), rtol=1e-12)
        assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)
        assert_allclose(hs.hvp(g, x, v), curved, rtol=1e-6, atol=1e-6)


ORDERED: dict[str, Callable[[Any], Any]] = {
    "asfortranarray": lambda a: np.asfortranarray(a),
    "ascontiguousarray": lambda a: np.ascontiguousarray(a),
    "asarray F": lambda a: np.asarray(a, order="F"),
    "asarray C": lambda a: np.asarray(a, None, "C"),
    "array F": lambda a: np.array(a, copy=None, order="F"),
    **{f"astype {order}": lambda a, order=order: a.astype(float, order, copy=False) for order in "FCAK"},
}
LAID: dict[str, Callable[[Any], Any]] = {
    "rows": lambda x: x.reshape(2, 3),
    "columns": lambda x: x.reshape(2, 3).T,
    "steps": lambda x: x.reshape(2, 3)[:, ::2],
    "line": lambda x: x[1:],
    "strided": lambda x: x[::2],
    "complex": lambda x: (x[:4] + 1j * x[2:]).reshape(2, 2),
}


@pytest.mark.parametrize("laid", LAID)
@pytest.mark.parametrize("ordered", ORDERED)
def test_what_is_asked_for_in_an_order_is_a_copy_where_it_lies_otherwise(ordered: str, laid: str) -> None:
    def f(x: Any) -> Any:
        a = LAID[laid](1.0 * x)
        kind = complex if laid == "complex" else float
        c = a.astype(kind, ordered[-1], copy=False) if ordered.startswith("astype") else ORDERED[ordered](a)
        c[0] = c[1] ** 2
        np.reshape(c, -1)[0] = x[1] ** 3
        return np.sum(np.real(c * a)) + np.sum(np.abs(c.reshape(-1)[:2]) ** 2)

    check(f, X)


@pytest.mark.parametrize("ordered", ORDERED)
def test_what_was_written_before_is_copied(ordered: str) -> None:
    def f(x: Any) -> Any:
        a = np.ones((2, 3))
        a[0] = x[:3]
        c = ORDERED[ordered](a)
        c *= 3.0
        return np.sum(a * W[:6].reshape(2, 3)) + np.sum(c**2)

    check(f, X)


FLAT: dict[str, Callable[[Any], Any]] = {
    "columns": lambda x: x.reshape(2, 3).T,
    "backwards": lambda x: x.reshape(2, 3)[::-1],
    "steps": lambda x: x.reshape(2, 3)[:, ::2],
    "rows": lambda x: x.reshape(2, 3),
    "picked": lambda x: x.reshape(2, 3)[:, [0, 2, 1]],
    "vectorized": lambda x: np.vectorize(lambda t: t * t)(x.reshape(2, 3).T),
}


@pytest.mark.parametrize("laid", FLAT)
def test_writing_to_flat_always_reaches_the_array(laid: str) -> None:
    def f(x: Any) -> Any:
        a = FLAT[laid](1.0 * x)
        a.flat[1] = x[4] ** 2
        a.flat[2:4] = a.flat[:2] * 2.0
        once = a.ravel()
        once[0] = 5.0 * x[0]
        turned = a.ravel("F")
        turned[-1] = x[1] ** 3
        return np.sum(a * W[: a.size].reshape(a.shape)) + np.sum(once) + np.sum(turned**2)

    check(f, X)


def test_ordered_numbers_have_an_axis() -> None:
    shapes = lambda x: np.sum(np.asfortranarray(x[0]) * np.ascontiguousarray(x[1])) * np.asfortranarray(x[0]).ndim
    check(shapes, X)


def test_astype_casts_as_it_is_told() -> None:
    check(lambda x: np.sum(x.astype(float, casting="safe") ** 2), X)
    with pytest.raises(DtypeError, match="casting='safe'"):
        hs.grad(lambda x: np.sum(x.astype(np.float32, casting="safe")))(X)


def test_a_right_hand_side_whose_parameters_enter_late() -> None:
    def infected(p: Any) -> Any:
        slopes = lambda t, y: -y * (np.exp(p[0]) if t > 2.0 else 1.0)
        res = integrate.solve_ivp(slopes, (0, 4), [1.0, 2.0], t_eval=[1, 3, 4.0], rtol=1e-8, atol=1e-10)
        return np.sum(res.y**2) * p[1]

    p = np.array([0.3, 0.5])
    value, gradient = hs.value_and_grad(infected)(p)
    rates = np.array([0.0, 1.0, 2.0])
    states = 5.0 * np.exp(-2 * (np.array([1.0, 2.0, 2.0]) + rates * np.exp(p[0])))
    # The slopes jump: which trial steps are refused there hangs on last digits.
    assert_allclose(value, infected(p), rtol=1e-9)
    assert_allclose(gradient, [0.5 * np.sum(states * -2 * rates * np.exp(p[0])), np.sum(states)], rtol=1e-3)


@pytest.mark.parametrize("where", ["span", "points"])
def test_traced_times_are_refused(where: str) -> None:
    def end(T: Any) -> Any:
        span, points = ((0.0, T), None) if where == "span" else ((0.0, 2.0), [1.0, T])
        return integrate.solve_ivp(lambda t, y: -y, span, [1.0], t_eval=points).y[0, -1]

    with pytest.raises(OptionError, match="t_span or t_eval is traced"):
        hs.grad(end)(1.5)
    scaled = lambda T: integrate.solve_ivp(lambda s, y: T * -y, (0, 1), [1.0], rtol=1e-10, atol=1e-12).y[0, -1]
    assert_allclose(hs.grad(scaled)(1.5), -np.exp(-1.5), rtol=1e-8)


@pytest.mark.parametrize("initial", [None, 0])
@pytest.mark.parametrize("axis", [0, 1])
def test_cumulative_trapezoid(initial: Any, axis: int) -> None:
    def f(x: Any) -> Any:
        y = x.reshape(2, 3)
        by_steps = integrate.cumulative_trapezoid(y, dx=0.3, axis=axis, initial=initial)
        by_places = integrate.cumulative_trapezoid(y**2, np.exp(y), axis=axis, initial=initial)
        line = integrate.cumulative_trapezoid(x, np.cumsum(np.exp(x)), initial=initial)
        return sum(np.sum(z * W[: z.size].reshape(z.shape)) for z in (by_steps, by_places, line))

    check(f, X)
    with pytest.raises(OptionError, match="initial=1"):
        hs.grad(lambda x: integrate.cumulative_trapezoid(x, initial=1)[-1])(X)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
def test_filters_of_images(name: str, mode: str) -> None:
    def f(x: Any) -> Any:
        y = getattr(signal, name)(IMAGE * x[0], x.reshape(2, 3), mode)
        z = getattr(signal, name)(x.reshape(2, 3), x[:4].reshape(2, 2), mode)
        larger = getattr(signal, name)(x.reshape(2, 3), IMAGE, mode)
        return sum(np.sum(part * W[: part.size].reshape(part.shape)) for part in (y, z, larger))

    check(f, X)
    with pytest.raises(OptionError, match="zeros beyond their edges"):
        hs.grad(lambda x: np.sum(getattr(signal, name)(IMAGE, x.reshape(2, 3), mode, boundary="wrap")))(X)
    with pytest.raises(hs.HessianError, match="Images have two"):
        hs.grad(lambda x: np.sum(getattr(signal, name)(IMAGE, x, mode)))(X)


NORMS: tuple[dict[str, Any], ...] = (
    {},
    {"ord": 1},
    {"ord": "fro"},
    {"ord": 2},
    {"axis": 1},
    {"axis": 0, "keepdims": True},
)


@pytest.mark.parametrize("keywords", NORMS, ids=str)
def test_norms(keywords: dict[str, Any]) -> None:
    check(lambda x: np.sum(linalg.norm(x.reshape(2, 3), **keywords) ** 3) + linalg.norm(x, 3), X)
    check(lambda x: linalg.norm([x[0], 2.0, x[1]]), X)


def test_factors_that_numpy_has_are_named() -> None:
    with pytest.raises(LeavesTapeError, match=r"Use numpy\.linalg\.eigh, which takes traced values"):
        hs.grad(lambda x: linalg.eigh(np.outer(x, x))[0][-1])(X)


@np.vectorize
def softened(a: float, b: float, *, power: int = 2) -> Any:
    """A function of numbers, with branches, as lookups and physical laws are written."""
    return a**power * b if a > 0 else np.exp(a) - b


VECTORIZED: dict[str, Callable[[Any], Any]] = {
    "declared outside": lambda x: np.sum(softened(x, x[::-1])),
    "broadcast": lambda x: np.sum(softened(x[:, None], np.arange(3)) * W[:18].reshape(6, 3)),
    "keywords": lambda x: np.sum(softened(x, b=x[0], power=3)),
    "excluded": lambda x: np.sum(np.vectorize(lambda t, c: c[0] + c[1] * t, excluded={1})(W[:3], x) ** 2),
    "excluded by name": lambda x: np.sum(np.vectorize(lambda t, c: c @ c * t, excluded={"c"})(x[:3], c=x)),
    "one number": lambda x: np.vectorize(lambda t: t * t)(x[0]) * x[1],
    "pairs": lambda x: np.dot(*np.vectorize(lambda t: (np.sin(t), t**2))(x)),
    "declared types": lambda x: np.sum(np.vectorize(lambda t: t**2 if t > 0 else 0, otypes=[float])(x)),
    "of the first one's type": lambda x: np.sum(np.vectorize(lambda t: t**2 if t < 7 else 0)(x)),
    "nothing": lambda x: np.sum(np.vectorize(lambda t: t**2, otypes=[float])(x[:0])) + x @ x,
}


@pytest.mark.parametrize("name", VECTORIZED)
def test_vectorized_functions_of_numbers(name: str) -> None:
    for x in (X, -X):
        check(VECTORIZED[name], x)


def test_vectorized_results_have_the_type_of_the_first() -> None:
    f = lambda x: 1.0 * np.sum(np.vectorize(lambda t: 0 if t < 0 else t + 0.75)(x))
    x = np.array([-1.0, 0.5, 1.5])
    value, gradient = hs.value_and_grad(f)(x)
    assert value == f(x) == 3
    assert_array_equal(gradient, 0.0)
    plain = np.vectorize(lambda t: t + 1.0)
    assert_array_equal(plain(x), x + 1.0)
    assert hs.grad(lambda x: np.sum(plain([1.0, 2.0])) * x)(2.0) == 5.0


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_complex_images(mode: str) -> None:
    def f(x: Any) -> Any:
        filters = (x[:4] + 1j * x[2:]).reshape(2, 2)
        parts = [g(IMAGE * (1 + 2j), filters, mode) for g in (signal.correlate2d, signal.convolve2d)]
        return sum(np.sum(np.abs(part + W[: part.size].reshape(part.shape)) ** 2) for part in parts)

    check(f, X)
