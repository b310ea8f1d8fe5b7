"""Nothing that a user passes is ever written to, and no result is overwritten later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hessian as hs
from hessian import curvature, operators
from hessian.tape.trees import flatten

Z = np.array([0.3, 0.7, 1.1])


def written(x: Any) -> Any:
    """Write into whatever is given, in every way there is."""
    for part in x.values() if isinstance(x, dict) else x if isinstance(x, list | tuple) else [x]:
        part *= 2.0
        part[0] = part[1] + 1.0
        part[1:] += part[:1] ** 2
        part.sort()
        part.fill(3.0) if part.shape == () else None
    return x


def loss(x: Any, *rest: Any) -> Any:
    written(x)
    parts = list(x.values()) if isinstance(x, dict) else list(x) if isinstance(x, list | tuple) else [x]
    return sum(np.sum(np.sin(part) + 0.5 * part**2) for part in parts)


def outputs(x: Any, *rest: Any) -> Any:
    written(x)
    parts = list(x.values()) if isinstance(x, dict) else list(x) if isinstance(x, list | tuple) else [x]
    return np.concatenate([np.tanh(part) for part in parts])


def frozen(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a


POINTS: dict[str, Callable[[], Any]] = {
    "array": lambda: Z.copy(),
    "float32": lambda: Z.astype(np.float32),
    "read-only": lambda: frozen(Z.copy()),
    "not contiguous": lambda: np.repeat(Z, 2)[::2],
    "reversed": lambda: Z[::-1],
    "broadcast": lambda: np.broadcast_to(np.float64(0.5), (3,)),
    "big-endian": lambda: Z.astype(">f8"),
    "dict": lambda: {"a": Z.copy(), "b": frozen(Z[:2].copy())},
    "list": lambda: [Z.copy(), Z.astype(np.float32)],
    "tuple": lambda: (np.repeat(Z, 2)[::2], Z.copy()),
}

TRANSFORMS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "value_and_grad": lambda f, g, x: hs.value_and_grad(f)(x),
    "grad": lambda f, g, x: hs.grad(f, argnums=(0,))(x, 1.0),
    "aux": lambda f, g, x: hs.grad(lambda x: (f(x), 1.0), has_aux=True)(x),
    "jvp": lambda f, g, x: hs.jvp(g, x, x),
    "vjp": lambda f, g, x: (lambda y, pullback: (y, pullback(y), pullback(y)))(*hs.vjp(g, x)),
    "jacobian": lambda f, g, x: hs.jacobian(g)(x),
    "hvp": lambda f, g, x: hs.hvp(f, x, x),
    "grad_and_hvp": lambda f, g, x: hs.grad_and_hvp(f, x, x),
    "hessian": lambda f, g, x: hs.hessian(f)(x),
    "directional": lambda f, g, x: hs.directional(f, x, x, x),
    "taylor": lambda f, g, x: hs.taylor(f, x, x, order=2),
    "nested": lambda f, g, x: hs.grad(lambda x: hs.jvp(f, x, x)[1])(x),
    "HessianOperator": lambda f, g, x: used(hs.HessianOperator(f, x)),
    "JacobianOperator": lambda f, g, x: used(hs.JacobianOperator(g, x)),
    "GaussNewtonOperator": lambda f, g, x: used(operators.GaussNewtonOperator(g, lambda z: np.sum(z**2), x)),
    "FisherOperator": lambda f, g, x: used(operators.FisherOperator(g, x, likelihood="gaussian")),
    "EmpiricalFisherOperator": lambda f, g, x: used(operators.EmpiricalFisherOperator(g, x)),
    "trace": lambda f, g, x: curvature.trace(hs.HessianOperator(f, x), 4),
    "eigenvalues": lambda f, g, x: curvature.eigenvalues(hs.HessianOperator(f, x), 1),
}


def used(operator: Any) -> Any:
    v = np.ones(operator.shape[1], operator.dtype)
    return [operator @ v for _ in range(4)], operator @ np.stack([v, v], axis=1), operator.to_dense(), v


def contents(tree: Any) -> list[bytes]:
    """Return the bits of the leaves of a container of arrays."""
    leaves, _ = flatten(tree)
    return [np.asarray(leaf).tobytes() for leaf in leaves]


WRAPS = {
    "plain": lambda f: f,
    "recorded": hs.record,
    "checkpointed": hs.checkpoint,
    "recorded checkpoint": lambda f: hs.record(hs.checkpoint(f)),
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_inputs_are_bitwise_unchanged(name: str, wrap: str) -> None:
    f, g = WRAPS[wrap](loss), WRAPS[wrap](outputs)
    kinds = POINTS if wrap == "plain" else ("array", "read-only", "dict")
    for kind in kinds:
        x = POINTS[kind]()
        before = contents(x)
        results = [TRANSFORMS[name](f, g, x) for _ in range(2)]
        assert contents(x) == before, kind
        del results


@pytest.mark.parametrize("wrap", WRAPS)
def test_derivatives_of_functions_that_write_are_right(wrap: str) -> None:
    def value(z: np.ndarray) -> Any:
        return loss(z.copy())

    f, step = WRAPS[wrap](loss), 1e-5
    slopes = [(value(Z + step * e) - value(Z - step * e)) / (2 * step) for e in np.eye(3)]
    for _ in range(3):
        np.testing.assert_allclose(hs.grad(f)(Z), slopes, rtol=1e-8)
    np.testing.assert_allclose(hs.hvp(f, Z, Z), hs.jvp(hs.grad(loss), Z, Z)[1], rtol=1e-12)


SOLVERS: dict[str, Callable[[Any, Any], Any]] = {
    "minimize": lambda f, x: hs.optimize.minimize(f, x),
    "newton": lambda f, x: hs.optimize.minimize(f, x, method="newton"),
    "L-BFGS-B": lambda f, x: hs.optimize.minimize(f, x, method="L-BFGS-B"),
    "check": lambda f, x: hs.check_derivatives(f, x),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_solvers_leave_their_start_alone(name: str, wrap: str) -> None:
    def bowl(x: Any) -> Any:
        x -= np.array([1.0, 2.0, 3.0])
        return np.sum(x**2) + np.sum(x**4)

    for kind in ("array", "read-only", "not contiguous"):
        x = POINTS[kind]()
        before = contents(x)
        SOLVERS[name](WRAPS[wrap](bowl), x)
        assert contents(x) == before


def test_least_squares_and_training_leave_their_inputs_alone() -> None:
    def residuals(x: Any, t: Any) -> Any:
        x *= 2.0
        return np.exp(-x[0] * t) * x[1] - 1.0 / (1.0 + t)

    x, t = np.array([0.5, 0.4]), np.linspace(0.0, 2.0, 6)
    before = contents((x, t))
    hs.optimize.least_squares(residuals, x, args=(t,))
    assert contents((x, t)) == before
    rng = np.random.default_rng(0)
    data, targets = rng.standard_normal((20, 2)), rng.standard_normal((20, 1))
    params = hs.nn.mlp((2, 3, 1)).init(0)
    before = contents((data, targets, params))
    hs.nn.train(hs.nn.mlp((2, 3, 1)), data, targets, loss="squared_error", params=params, options={"maxiter": 2})
    assert contents((data, targets, params)) == before


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_earlier_results_and_captured_arrays_are_not_overwritten(name: str, wrap: str) -> None:
    data = np.array([1.0, 2.0, 3.0])
    f = WRAPS[wrap](lambda x, *rest: np.sum(np.sin(x) * data) ** 2)
    g = WRAPS[wrap](lambda x, *rest: np.concatenate([x, data * x, data]))
    first = TRANSFORMS[name](f, g, Z)
    before = contents(plain(first))
    for scale in (2.0, 3.0, 4.0):
        TRANSFORMS[name](f, g, scale * Z)
    assert contents(plain(first)) == before
    for leaf in flatten(plain(first))[0]:
        if isinstance(leaf, np.ndarray) and leaf.flags.writeable:
            leaf[...] = -1.0
    assert data.tolist() == [1.0, 2.0, 3.0]
    assert Z.tolist() == [0.3, 0.7, 1.1]
    again = TRANSFORMS[name](f, g, Z)
    assert contents(plain(again)) == before


def plain(result: Any) -> Any:
    """Return the arrays of a result."""
    if hasattr(result, "standard_error"):
        return result.value, result.standard_error
    return result if isinstance(result, list | tuple | np.ndarray) else getattr(result, "values", result)
