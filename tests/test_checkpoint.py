"""Checkpointed functions: the same derivatives with less kept, in every sweep and in programs."""

from __future__ import annotations

import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs

A = 0.4 * np.random.default_rng(0).standard_normal((5, 5))
X = np.linspace(0.1, 1.0, 5)


def step(state: dict[str, Any], x: Any) -> dict[str, Any]:
    """Advance a state of two arrays."""
    h = np.tanh(A @ state["h"] + x)
    return {"h": h, "sum": state["sum"] + h @ h}


def run(step: Any, x: Any) -> Any:
    state = {"h": x, "sum": x[0]}
    for _ in range(6):
        state = step(state, x)
    return state["sum"] * np.sum(state["h"] ** 2)


def plain(x: Any) -> Any:
    return run(step, x)


def kept(x: Any) -> Any:
    return run(hs.checkpoint(step), x)


def close(actual: Any, expected: Any) -> None:
    assert_allclose(actual, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


@pytest.mark.parametrize("f", [kept, hs.record(kept)], ids=["plain sweeps", "recorded"])
def test_derivatives_are_those_of_the_plain_function(f: Any) -> None:
    directions = np.random.default_rng(1).standard_normal((3, 5))
    for x in (X, 2 * X, -X):
        assert f(x) == plain(x)
        close(hs.grad(f)(x), hs.grad(plain)(x))
        close(hs.jvp(f, x, directions)[1], hs.jvp(plain, x, directions)[1])
        close(hs.hvp(f, x, directions), hs.hvp(plain, x, directions))
        close(hs.hessian(f)(x), hs.hessian(plain)(x))
        H = hs.HessianOperator(f, x)
        for _ in range(4):  # plain sweeps, then a program
            close(H @ X, hs.hvp(plain, x, X))
        close(H.to_dense(), hs.hessian(plain)(x))
        close(hs.directional(f, x, X, X, X), hs.directional(plain, x, X, X, X))


def test_intermediate_values_are_not_kept() -> None:
    x = np.random.default_rng(2).standard_normal(20_000)

    def stretch(h: Any) -> Any:
        for _ in range(20):
            h = np.sin(h)
        return h

    def peak(stretch: Any) -> int:
        def f(x: Any) -> Any:
            for _ in range(10):
                x = stretch(x)
            return np.sum(x)

        hs.grad(f)(x[:3])
        tracemalloc.start()
        hs.grad(f)(x)
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    assert peak(hs.checkpoint(stretch)) < 0.3 * peak(stretch)


def test_later_changes_of_captured_arguments_do_not_matter() -> None:
    data = np.arange(1.0, 6.0)
    scaled = hs.checkpoint(lambda x, data: np.sum((x * data) ** 3))
    _, pullback = hs.vjp(lambda x: scaled(x, data), X)
    expected = 3 * X**2 * np.arange(1.0, 6.0) ** 3
    data[:] = 0.0
    assert_allclose(pullback(1.0), expected, rtol=1e-14)


def test_plain_numbers_pass_through() -> None:
    assert hs.checkpoint(lambda x, *, power: x**power)(3.0, power=2) == 9.0


def test_integers_are_refused_as_results() -> None:
    with pytest.raises(TypeError, match="checkpoint: the function returned int64"):
        hs.grad(lambda x: hs.checkpoint(lambda x: np.argmax(x))(x) * np.sum(x))(X)
    with pytest.raises(ValueError, match="checkpoint: the argument is int, not a function"):
        hs.checkpoint(3)


def test_a_tape_prints_what_was_recorded() -> None:
    from hessian.tape.trace import trace

    text = str(trace(lambda x: np.sum(2.0 * x * A[0]), (X,), where="test").tape)
    assert text.splitlines()[1:] == [
        "    s0 = input    # float64 5",
        "    s1 = multiply(2.0, s0)    # float64 5",
        "    s2 = multiply(s1, constant[5])    # float64 5",
        "    s3 = sum(s2)    # float64 scalar",
    ]


# A checkpointed function does what the plain one does, or says that it cannot.

Z = np.array([0.3, 0.7, 1.1])


def added_in_place(h: Any) -> Any:
    h += 0.1 * np.tanh(h)
    return h


def assigned(h: Any) -> Any:
    h[1:] = h[1:] * h[0]
    h[0] = np.sin(h[2])


def sorted_in_place(h: Any) -> Any:
    h *= np.array([1.0, -2.0, 1.5])
    h.sort()
    return {"all": h, "first": h[0], "copy": h * 1.0}["copy"]


def returns_view(h: Any) -> Any:
    h[0] = h[1] ** 2
    return h[1:]


def thrice(step: Any) -> Any:
    """Return a function that takes three steps and uses the state that they change and what they return."""

    def f(x: Any) -> Any:
        h, total = x * 1.0, 0.0
        for _ in range(3):
            given = step(h)
            total = total + (np.sum(np.sin(given)) if given is not None else 0.0)
        return total + np.sum(h**2)

    return f


def nested(step: Any) -> Any:
    def outer(h: Any) -> Any:
        hs.checkpoint(step)(h)
        return step(h)

    return outer


@pytest.mark.parametrize("recorded", [False, True], ids=["plain", "recorded"])
@pytest.mark.parametrize(
    "step", [added_in_place, assigned, sorted_in_place, returns_view, nested(added_in_place), nested(assigned)]
)
def test_arguments_changed_in_place_are_changed_for_the_caller(step: Any, recorded: bool) -> None:
    f, g = thrice(step), thrice(hs.checkpoint(step))
    g = hs.record(g) if recorded else g
    directions = np.random.default_rng(2).standard_normal((2, 3))
    for x in (Z, 2.0 * Z):
        given = x.copy()
        close(hs.grad(g)(given), hs.grad(f)(x))
        close(hs.hvp(g, given, directions), hs.hvp(f, x, directions))
        close(hs.hessian(g)(given), hs.hessian(f)(x))
        close(hs.jacobian(hs.grad(g))(given), hs.hessian(f)(x))
        close(hs.HessianOperator(g, given) @ Z, hs.hvp(f, x, Z))
        close(hs.jvp(g, given, Z)[1], hs.jvp(f, x, Z)[1])
        assert np.array_equal(given, x)


def test_the_callers_array_is_not_written_to() -> None:
    def f(x: Any) -> Any:
        x *= 2.0
        return np.sum(np.sin(x))

    for function in (hs.checkpoint(f), hs.record(hs.checkpoint(f)), hs.checkpoint(hs.record(f))):
        z = Z.copy()
        for _ in range(3):
            assert_allclose(hs.grad(function)(z), 2 * np.cos(2 * Z), rtol=1e-14)
        assert np.array_equal(z, Z)


def test_what_aliases_an_argument_still_does() -> None:
    def f(x: Any) -> Any:
        h = x * 1.0
        same = hs.checkpoint(lambda h: h)(h)
        same += h
        return np.sum(h**2)

    assert_allclose(hs.grad(f)(Z), 8 * Z)
    twice = lambda x: hs.checkpoint(lambda a, b: added_in_place(a) @ b)(*(2 * [x * 1.0]))
    assert_allclose(hs.grad(twice)(Z), hs.grad(lambda x: (lambda a: added_in_place(a) @ a)(x * 1.0))(Z))

    def results(x: Any) -> Any:
        a, b, n = hs.checkpoint(lambda x: (lambda y: (y, y, y[0] * 2.0))(x**2))(x)
        m = n
        a *= 2.0
        n += 1.0
        return np.sum(b) + n * 10.0 + m * 100.0

    assert_allclose(hs.grad(results)(Z), 4 * Z + np.array([440.0, 0.0, 0.0]) * Z[0])


@pytest.mark.parametrize("transform", [hs.grad, lambda f: hs.grad(hs.record(f)), hs.hessian])
def test_values_that_leave_by_another_way_than_return_cannot_be_used(transform: Any) -> None:
    side: list[Any] = []

    def leaky(q: Any) -> Any:
        side.append(q[0] ** 2)
        side.append(np.argmax(q))
        return np.sum(q)

    used = [
        lambda x, r: r + side[-2],
        lambda x, r: side[-2],
        lambda x, r: r * np.exp(side[-2] * x[1]),
        lambda x, r: r * x[side[-1]],
        lambda x, r: r * int(side[-1]),
        lambda x, r: r if side[-2] > 0 else x[0],
        lambda x, r: r + hs.grad(lambda t: t * side[-2])(2.0),
    ]
    for use in used:
        with pytest.raises(hs.errors.StaleVariableError, match="checkpointed function"):
            transform(lambda x, use=use: use(x, hs.checkpoint(leaky)(x)))(Z)
    with pytest.raises(hs.errors.StaleVariableError, match="checkpointed function"):
        hs.grad(lambda x: (hs.checkpoint(leaky)(x), side[-2]), has_aux=True)(Z)


def test_captured_traced_values_are_refused() -> None:
    with pytest.raises(hs.errors.LeavesTapeError, match=r"not among its arguments.*Pass it as an argument"):
        hs.grad(lambda x: hs.checkpoint(lambda q: np.sum(q * x))(x))(Z)
    with pytest.raises(hs.errors.LeavesTapeError, match="not among its arguments"):
        hs.grad(lambda x: np.sum(hs.checkpoint(lambda q: x)(2.0 * x)))(Z)
    with pytest.raises(hs.errors.LeavesTapeError, match="not among its arguments"):
        hs.grad(lambda x: hs.checkpoint(lambda q: np.sum(np.where(x > 0.5, q**2, 0.0)))(x))(Z)


def test_changed_containers_and_plain_arrays_are_refused() -> None:
    def put(state: Any) -> Any:
        state["h"] = state["h"] ** 2
        return state["h"]

    with pytest.raises(ValueError, match="changes a container or a plain array among its arguments"):
        hs.grad(lambda x: np.sum(hs.checkpoint(put)({"h": x})))(Z)
    with pytest.raises(ValueError, match="changes a container or a plain array"):
        hs.grad(lambda x: hs.checkpoint(lambda x, log: log.append(1.0) or np.sum(x))(x, []))(Z)
    data = np.ones(3)

    def scales(x: Any, data: Any) -> Any:
        data *= 2.0
        return x @ data

    with pytest.raises(ValueError, match="changes a container or a plain array"):
        hs.grad(lambda x: hs.checkpoint(scales)(x, data))(Z)
    assert np.array_equal(data, np.ones(3))


def test_arguments_that_share_memory_are_refused_if_one_is_changed() -> None:
    def f(x: Any) -> Any:
        h = x * 1.0
        return hs.checkpoint(lambda a, b: np.sum(added_in_place(a)) * np.sum(b))(h, h[1:])

    with pytest.raises(ValueError, match="shares memory with another one"):
        hs.grad(f)(Z)


def test_a_function_that_changes_from_run_to_run_is_refused() -> None:
    rng, count = np.random.default_rng(0), [0.0]

    def counted(x: Any) -> Any:
        count[0] += 1.0
        return np.sum(x**2) * count[0]

    for unsteady in (lambda x: np.sum(x * rng.random(3)) ** 2, counted):
        for sweep in (hs.grad, lambda f: lambda x: hs.jvp(f, x, x), lambda f: lambda x: hs.hvp(f, x, x)):
            with pytest.raises(hs.errors.StaleRecordingError, match="another result when it ran again"):
                sweep(hs.checkpoint(unsteady))(Z)
    parity = [False]

    def grows(x: Any) -> Any:
        parity[0] = not parity[0]
        return x * 1.0 if parity[0] else x[:2]

    with pytest.raises(hs.errors.StaleRecordingError, match="did something else than before"):
        hs.grad(lambda x: np.sum(hs.checkpoint(grows)(x * 2.0)))(Z)


def test_branches_inside_are_guards_of_a_program() -> None:
    def f(x: Any) -> Any:
        seen = []

        def inner(q: Any) -> Any:
            seen.append(int(np.argmax(q)))
            return np.sum(q**2)

        return hs.checkpoint(inner)(x) * x[seen[0]]

    rec = hs.record(f)
    for x in (Z, Z, Z[::-1].copy(), Z[::-1].copy()):
        assert rec(x) == f(x)
        assert_allclose(hs.grad(rec)(x), hs.grad(f)(x), rtol=1e-13)


def test_errors_inside_pass_and_leave_nothing_behind() -> None:
    def fails(x: Any) -> Any:
        raise ArithmeticError("no")

    def f(x: Any) -> Any:
        try:
            return hs.checkpoint(fails)(x)
        except ArithmeticError:
            return np.sum(x**2)

    for function in (f, hs.record(f)):
        assert_allclose(hs.grad(function)(Z), 2 * Z)
    from hessian.tape.tape import is_tracing

    assert not is_tracing()


def test_precisions_are_kept_apart() -> None:
    def pair(a: Any, b: Any) -> Any:
        return a * 2.0, b * 3.0

    def f(a: Any, b: Any, pair: Any = pair) -> Any:
        c, d = pair(a, b)
        assert (c.dtype, d.dtype) == (np.float32, np.float64)
        return np.sum(c) + np.sum(d)

    grads = hs.grad(lambda a, b: f(a, b, hs.checkpoint(pair)), argnums=(0, 1))(Z.astype(np.float32), Z)
    assert [g.dtype for g in grads] == [np.float32, np.float64]


# Exceptions that a function catches are its own business, whenever it runs.


def factors(x: Any) -> Any:
    try:
        return np.sum(np.log(np.diagonal(np.linalg.cholesky(np.diag(x)))))
    except np.linalg.LinAlgError:
        return 10.0 * np.sum(x**2)


def logarithm(x: Any) -> Any:
    try:
        with np.errstate(all="raise"):
            return np.sum(np.log(x) ** 2)
    except FloatingPointError:
        return np.sum(x**3)


def root(x: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return np.sum(np.sqrt(x) ** 3)
        except RuntimeWarning:
            return np.sum(x**4)


def quotient(x: Any) -> Any:
    try:
        y = 1.0 / x
    except FloatingPointError:
        return x @ x
    return np.sum(np.sin(y))


@pytest.mark.parametrize("f", [factors, logarithm, root, quotient])
@pytest.mark.parametrize("wrap", [hs.checkpoint, lambda f: hs.record(hs.checkpoint(f)), hs.record])
def test_exceptions_that_a_function_catches(f: Any, wrap: Any) -> None:
    g = wrap(f)
    for x in (np.array([1.0, 2.0]), np.array([-1.0, 0.5]), np.array([0.0, 1.0]), np.array([3.0, 1.0])):
        if wrap is hs.record and f is factors and x.min() <= 0.0:
            continue  # in the tests of programs
        with np.errstate(divide="raise" if f is quotient else "warn"):
            if wrap is hs.record and f is quotient and x.min() == 0.0:
                continue  # in the tests of programs
            assert_allclose(g(x), f(x))
            assert_allclose(hs.grad(g)(x), hs.grad(f)(x))
            assert_allclose(hs.hvp(g, x, x), hs.hvp(f, x, x))
            assert_allclose(hs.jacobian(hs.grad(g))(x), hs.hessian(f)(x))


def test_exceptions_that_a_function_does_not_catch_pass() -> None:
    f = hs.checkpoint(lambda x: np.sum(np.linalg.cholesky(np.diag(x))))
    with pytest.raises(np.linalg.LinAlgError):
        hs.grad(f)(np.array([1.0, -1.0]))
    assert_allclose(hs.grad(f)(np.array([4.0, 1.0])), [0.25, 0.5])


@pytest.mark.parametrize(
    "parts",
    [
        lambda t: (t, t[1:]),
        lambda t: (t[::-1], t),
        lambda t: (t[1:], t[:-1]),
        lambda t: {"a": t.reshape(3, 1), "b": [t, t[:2]]},
        lambda t: (t, t),
    ],
)
def test_results_that_share_memory_still_do(parts):
    def f(x, step):
        result = step(x)
        leaves = [*result["b"], result["a"]] if isinstance(result, dict) else list(result)
        leaves[0][...] *= 3.0
        leaves[-1][0] = 0.5
        return sum(np.sum(leaf**2) for leaf in leaves)

    step = lambda x: parts(np.sin(x) * 2.0)
    x = np.array([0.3, 0.7, 1.1])
    for way in (hs.checkpoint, lambda g: hs.checkpoint(hs.checkpoint(g))):
        assert_allclose(hs.grad(f)(x, way(step)), hs.grad(f)(x, step), rtol=1e-14)
        assert_allclose(hs.hvp(f, x, x, way(step)), hs.hvp(f, x, x, step), rtol=1e-14)


def test_an_argument_changed_before_the_function_raises_cannot_be_used():
    def bad(y):
        y *= 2.0
        raise ArithmeticError("its own")

    def caught(x, again):
        y = x * 1.0
        try:
            hs.checkpoint(bad)(y[1:])
        except ArithmeticError:
            y = y if again else 3.0 * x
        return np.sum(y**2)

    x = np.array([0.3, 0.7])
    with pytest.raises(ArithmeticError, match="its own"):
        hs.grad(lambda x: np.sum(hs.checkpoint(bad)(x)))(x)
    with pytest.raises(hs.errors.StaleVariableError, match="changed in place when it raised"):
        hs.grad(caught)(x, True)
    assert_allclose(hs.grad(caught)(x, False), 18.0 * x)


def test_arrays_made_inside_and_given() -> None:
    """Of zeros, filled by elements: sweeps run the function when the trace it was met in has ended."""

    @hs.checkpoint
    def step(x: Any, shift: Any) -> Any:
        y = np.zeros(2)
        y[0], y[1] = np.sin(x[0]) + shift[0], x[1] * x[0]
        return y

    def f(x: Any) -> Any:
        shift = np.zeros(1)
        return np.sum(step(step(x, shift), shift))

    def plain(x: Any) -> Any:
        y = np.stack([np.sin(x[0]), x[1] * x[0]])
        return np.sin(y[0]) + y[1] * y[0]

    x = np.array([0.4, 1.3])
    assert_allclose(hs.grad(f)(x), hs.grad(plain)(x), rtol=1e-13)
    assert_allclose(hs.hessian(f)(x), hs.hessian(plain)(x), rtol=1e-13)
    assert_allclose(hs.grad(hs.record(f))(x), hs.grad(plain)(x), rtol=1e-13)
