"""The systems every textbook starts with, from plain NumPy, each with its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs

Array = np.ndarray


def sigmoid(z: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-z))


def newton_step(f: Callable[[Any], Any], w: Array) -> Array:
    """Take one full Newton step."""
    return w - np.linalg.solve(hs.hessian(f)(w), hs.grad(f)(w))


def gradient_descent(f: Callable[[Any], Any], w: Array, *, rate: float, steps: int) -> Array:
    """Take ``steps`` steps of gradient descent with a fixed rate."""
    gradient = hs.grad(f)
    for _ in range(steps):
        w = w - rate * gradient(w)
    return w


def minimize(f: Callable[[Any], Any], w: Array, **options: Any) -> Any:
    """Run the library's default solver."""
    return hs.optimize.minimize(f, w, options=options or None)


# A linear layer with squared error.


def test_linear_layer_gradient_and_hessian_are_exact_on_integers() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-4, 5, (6, 3)).astype(float), rng.integers(-4, 5, 6).astype(float)
    w = np.array([1.0, -2.0, 3.0])

    def loss(w: Any) -> Any:
        return np.sum((x @ w - y) ** 2)

    assert_array_equal(hs.grad(loss)(w), 2 * x.T @ (x @ w - y))
    assert_array_equal(hs.hessian(loss)(w), 2 * x.T @ x)
    assert_array_equal(hs.HessianOperator(loss, w).to_dense(), 2 * x.T @ x)
    assert_array_equal(hs.hvp(loss, w, np.array([1.0, 0.0, 2.0])), 2 * x.T @ (x @ np.array([1.0, 0.0, 2.0])))


def test_linear_layer_gradient_and_hessian_on_random_data() -> None:
    rng = np.random.default_rng(1)
    x, y, w = rng.standard_normal((20, 5)), rng.standard_normal(20), rng.standard_normal(5)

    def loss(w: Any) -> Any:
        return np.sum((x @ w - y) ** 2)

    assert_allclose(hs.grad(loss)(w), 2 * x.T @ (x @ w - y), rtol=1e-13)
    dense = hs.hessian(loss)(w)
    assert_allclose(dense, 2 * x.T @ x, rtol=0, atol=1e-13 * np.max(abs(dense)))


def test_linear_layer_with_a_weight_matrix_and_bias() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((9, 3)), rng.standard_normal((9, 2))
    parameters = {"bias": rng.standard_normal(2), "weight": rng.standard_normal((3, 2))}

    def loss(p: Any) -> Any:
        return np.sum((x @ p["weight"] + p["bias"] - y) ** 2)

    residual = x @ parameters["weight"] + parameters["bias"] - y
    gradient = hs.grad(loss)(parameters)
    assert_allclose(gradient["weight"], 2 * x.T @ residual, rtol=1e-12)
    assert_allclose(gradient["bias"], 2 * residual.sum(axis=0), rtol=1e-12)

    design = np.hstack([np.ones((9, 1)), x])
    expected = np.kron(2 * design.T @ design, np.eye(2))
    assert_allclose(hs.HessianOperator(loss, parameters).to_dense(), expected, rtol=0, atol=1e-12 * expected.max())


def test_linear_layer_one_newton_step_is_least_squares() -> None:
    rng = np.random.default_rng(3)
    x, y, w = rng.standard_normal((30, 4)), rng.standard_normal(30), rng.standard_normal(4)

    def loss(w: Any) -> Any:
        return np.sum((x @ w - y) ** 2)

    expected = np.linalg.lstsq(x, y)[0]
    assert_allclose(newton_step(loss, w), expected, rtol=1e-11)
    operator = hs.HessianOperator(loss, w)
    assert_allclose(w - operator.solve(operator.gradient), expected, rtol=1e-6)
    result = minimize(loss, w)
    assert result.success
    assert_allclose(result.x, expected, rtol=1e-6)


# Linear regression of a line.

_RNG = np.random.default_rng(4)
_ABSCISSAE = _RNG.uniform(0.0, 2.0, 100)
LINES = {
    "noisy": (_ABSCISSAE, 2.0 * _ABSCISSAE + 1.0 + 0.1 * _RNG.standard_normal(100)),
    "exact": (np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0, 6.0, 8.0])),
}


def mean_squared_error(name: str) -> Callable[[Any], Any]:
    """Build the loss of slope and intercept on one set of points."""
    x, y = LINES[name]
    return lambda p: np.mean((p[0] * x + p[1] - y) ** 2)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("start", [(0.0, 0.0), (-30.0, 50.0)])
def test_line_newton_takes_one_step(name: str, start: tuple[float, float]) -> None:
    x, y = LINES[name]
    loss, expected = mean_squared_error(name), np.polyfit(x, y, 1)
    found = newton_step(loss, np.array(start))
    assert_allclose(found, expected, rtol=0, atol=1e-11)
    assert_allclose(hs.grad(loss)(found), 0.0, atol=1e-10)
    if name == "exact":
        assert_allclose(found, [2.0, 0.0], atol=1e-11)


@pytest.mark.parametrize(("name", "rate", "steps"), [("noisy", 0.3, 1500), ("exact", 0.1, 1500)])
def test_line_gradient_descent_arrives_at_the_same_place(name: str, rate: float, steps: int) -> None:
    loss = mean_squared_error(name)
    found = gradient_descent(loss, np.zeros(2), rate=rate, steps=steps)
    assert_allclose(found, newton_step(loss, np.zeros(2)), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", LINES)
def test_line_solver_arrives_at_the_same_place(name: str) -> None:
    loss = mean_squared_error(name)
    result = minimize(loss, np.zeros(2))
    assert result.success
    assert_allclose(result.x, newton_step(loss, np.zeros(2)), rtol=0, atol=1e-6)


def test_line_hessian_in_closed_form() -> None:
    x, _ = LINES["exact"]
    expected = 2.0 / 4.0 * np.array([[np.sum(x**2), np.sum(x)], [np.sum(x), 4.0]])
    assert_allclose(hs.hessian(mean_squared_error("exact"))(np.zeros(2)), expected, rtol=1e-14)


# Sigmoid networks 2-k-1 on XOR, parameters in one flat vector: W (2, k), b (k), u (k), c.

XOR_INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_TARGETS = np.array([0.0, 1.0, 1.0, 0.0])


def unpack(p: Any, hidden: int) -> tuple[Any, Any, Any, Any]:
    """Split the flat parameters into W, b, u, c."""
    return p[: 2 * hidden].reshape(2, hidden), p[2 * hidden : 3 * hidden], p[3 * hidden : 4 * hidden], p[4 * hidden]


def xor_outputs(p: Any, hidden: int) -> Any:
    """Evaluate the network on the four inputs."""
    w, b, u, c = unpack(p, hidden)
    return sigmoid(sigmoid(XOR_INPUTS @ w + b) @ u + c)


def xor_loss(p: Any, hidden: int) -> Any:
    """Sum the squared errors on the four inputs."""
    return np.sum((xor_outputs(p, hidden) - XOR_TARGETS) ** 2)


def xor_jacobian_by_hand(p: Any, hidden: int) -> Array:
    """Backpropagate by hand; analytic in ``p``, so it also runs on complex numbers."""
    w, b, u, c = unpack(p, hidden)
    h = sigmoid(XOR_INPUTS @ w + b)
    y = sigmoid(h @ u + c)
    outer = (y * (1 - y))[:, None]
    inner = outer * u * h * (1 - h)
    columns = [XOR_INPUTS[:, :1] * inner, XOR_INPUTS[:, 1:] * inner, inner, outer * h, outer]
    return np.concatenate(columns, axis=1)


def complex_step(f: Callable[[Array], Array], p: Array) -> Array:
    """Differentiate an analytic function to rounding error: ``Im f(p + i h e_k) / h``; the new axis is last."""
    return np.stack([f(p + 1e-30j * e).imag / 1e-30 for e in np.eye(p.size)], axis=-1)


@pytest.mark.parametrize("hidden", [1, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_xor_jacobian(hidden: int, seed: int) -> None:
    p = np.random.default_rng(seed).standard_normal(4 * hidden + 1)
    jacobian = hs.jacobian(xor_outputs)(p, hidden)
    assert jacobian.shape == (4, p.size)
    assert_allclose(jacobian, xor_jacobian_by_hand(p, hidden), rtol=1e-12, atol=1e-15)
    assert_allclose(jacobian, complex_step(lambda q: xor_outputs(q, hidden), p), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("hidden", [1, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_xor_hessian(hidden: int, seed: int) -> None:
    p = np.random.default_rng(seed).standard_normal(4 * hidden + 1)

    def gradient(q: Array) -> Array:
        return 2 * (xor_outputs(q, hidden) - XOR_TARGETS) @ xor_jacobian_by_hand(q, hidden)

    expected = complex_step(gradient, p)
    assert_allclose(hs.grad(xor_loss)(p, hidden), gradient(p), rtol=1e-12, atol=1e-15)
    dense = hs.hessian(xor_loss)(p, hidden)
    assert_allclose(dense, expected, rtol=0, atol=1e-12 * np.max(abs(expected)))
    assert_allclose(dense, dense.T, rtol=0, atol=1e-12 * np.max(abs(expected)))


@pytest.mark.parametrize("hidden", [1, 4])
def test_xor_hessian_of_every_output(hidden: int) -> None:
    p = np.random.default_rng(5).standard_normal(4 * hidden + 1)
    second = hs.jacobian(hs.jacobian(xor_outputs))(p, hidden)
    expected = complex_step(lambda q: xor_jacobian_by_hand(q, hidden), p)
    assert second.shape == (4, p.size, p.size)
    assert_allclose(second, expected, rtol=0, atol=1e-12 * np.max(abs(expected)))


def test_xor_hessian_of_one_hidden_unit_in_closed_form() -> None:
    w1, w2, b, u, c = p = np.array([0.7, -1.1, 0.3, 1.9, -0.4])
    x1, x2 = XOR_INPUTS[3]
    h = sigmoid(w1 * x1 + w2 * x2 + b)
    y = sigmoid(u * h + c)
    h1, y1 = h * (1 - h), y * (1 - y)
    h2, y2 = h1 * (1 - 2 * h), y1 * (1 - 2 * y)
    # z = u h + c: first derivatives, then second ones, in the order (w1, w2, b, u, c).
    dz = np.array([u * h1 * x1, u * h1 * x2, u * h1, h, 1.0])
    inputs = np.array([x1, x2, 1.0])
    ddz = np.zeros((5, 5))
    ddz[:3, :3] = u * h2 * np.outer(inputs, inputs)
    ddz[:3, 3] = ddz[3, :3] = h1 * inputs
    found = hs.hessian(lambda q: xor_outputs(q, 1)[3])(p)
    assert_allclose(found, y2 * np.outer(dz, dz) + y1 * ddz, rtol=1e-12, atol=1e-15)


def test_xor_is_learned_to_zero_error() -> None:
    start = np.random.default_rng(0).standard_normal(17)
    result = minimize(lambda p: xor_loss(p, 4), start, maxiter=300, gtol=1e-8)
    outputs = xor_outputs(result.x, 4)
    assert_array_equal(np.round(outputs), XOR_TARGETS)
    assert result.fun < 1e-8
    assert_allclose(outputs, XOR_TARGETS, atol=1e-4)


def test_xor_one_hidden_unit_cannot_reach_zero_error() -> None:
    """One unit separates the plane by a line, so at least one of the four points stays wrong."""
    for seed in range(3):
        result = minimize(lambda p: xor_loss(p, 1), np.random.default_rng(seed).standard_normal(5), maxiter=100)
        assert result.fun > 0.5


# A 2-4-2 network: sigmoid hidden layer, softmax output, mean cross-entropy with a little weight decay.

_CLASS_RNG = np.random.default_rng(6)
POINTS = np.concatenate([_CLASS_RNG.normal(m, 0.6, (20, 2)) for m in ((-1, -1), (1, 1), (-1, 1), (1, -1))])
LABELS = np.repeat([0, 0, 1, 1], 20)
SHAPES = {"b1": (4,), "b2": (2,), "w1": (2, 4), "w2": (4, 2)}


def softmax_outputs(p: Any) -> Any:
    """Give log-probabilities of the two classes at all points."""
    logits = sigmoid(POINTS @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
    return hs.special.log_softmax(logits, axis=1)


def cross_entropy(p: Any) -> Any:
    """Average the negative log-likelihood and add weight decay, so that a minimum exists."""
    nll = -np.mean(softmax_outputs(p)[np.arange(80), LABELS])
    return nll + 0.5e-2 * sum(np.sum(leaf**2) for leaf in p.values())


def start_242(seed: int) -> dict[str, Array]:
    """Draw starting weights."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}


def accuracy(p: dict[str, Array]) -> float:
    """Count the share of points classified right."""
    return float(np.mean(np.argmax(softmax_outputs(p), axis=1) == LABELS))


def test_242_network_gradient_by_hand() -> None:
    p = start_242(0)
    h = sigmoid(POINTS @ p["w1"] + p["b1"])
    delta = (np.exp(softmax_outputs(p)) - np.eye(2)[LABELS]) / 80
    back = delta @ p["w2"].T * h * (1 - h)
    expected = {"b1": back.sum(axis=0), "b2": delta.sum(axis=0), "w1": POINTS.T @ back, "w2": h.T @ delta}
    found = hs.grad(cross_entropy)(p)
    for name, leaf in expected.items():
        assert_allclose(found[name], leaf + 1e-2 * p[name], rtol=1e-11, atol=1e-15)


def test_242_network_by_gradient_descent_and_by_newton() -> None:
    p = start_242(1)
    step = hs.value_and_grad(cross_entropy)
    history = []
    for _ in range(2000):
        value, gradient = step(p)
        history.append(value)
        p = {name: p[name] - 1.0 * gradient[name] for name in p}
    assert np.all(np.diff(history) <= 1e-12)
    assert accuracy(p) >= 0.9

    polished = hs.optimize.minimize(cross_entropy, p)
    assert polished.success
    assert polished.fun <= history[-1] + 1e-12
    assert accuracy(polished.x) >= 0.9
    assert np.max(abs(hs.HessianOperator(cross_entropy, polished.x).gradient)) < 1e-5


def test_242_network_by_newton_from_scratch() -> None:
    result = hs.optimize.minimize(cross_entropy, start_242(1))
    assert result.success
    assert accuracy(result.x) >= 0.9
    operator = hs.HessianOperator(cross_entropy, result.x)
    assert np.max(abs(operator.gradient)) < 1e-5
    assert np.linalg.eigvalsh(operator.to_dense())[0] > 0.0
