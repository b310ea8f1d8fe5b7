"""Functions that are no networks: long sums, a regression, a factorisation, loops. Float64, written once for NumPy and JAX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import Case, Function

STEPS = 200
TIME_STEP = 0.05
HIDDEN, ROWS = 16, 32

#: (step, state, rows) -> the state after `state = step(state, row)` for every row.
Loop = Callable[[Callable[[Any, Any], Any], Any, Any], Any]


def rosenbrock(n: int, seed: int) -> Case:
    """Return the chained Rosenbrock function of n variables, in slices of the whole vector."""
    rng = np.random.default_rng(seed)

    def f(w: Any, xp: Any) -> Any:
        left, right = w[:-1], w[1:]
        return xp.sum(100 * (right - left**2) ** 2 + (1 - left) ** 2)

    w = 1 + 0.3 * rng.standard_normal(n)
    return _case(f"rosenbrock1e{round(np.log10(n))}", f"Rosenbrock, n = {n}", f, (), w, rng)


def logistic_regression(seed: int, rows: int = 10_000, n: int = 1_000) -> Case:
    """Return the mean logistic loss of a linear model with an l2 penalty."""
    rng = np.random.default_rng(seed)

    def f(w: Any, inputs: Any, signs: Any, xp: Any) -> Any:
        return xp.mean(xp.logaddexp(0.0, -signs * (inputs @ w))) + 5e-4 * (w @ w)

    inputs, signs = rng.standard_normal((rows, n)), rng.choice([-1.0, 1.0], rows)
    w = rng.standard_normal(n) / np.sqrt(n)
    return _case("logistic", f"logistic regression, {rows} x {n}", f, (inputs, signs), w, rng)


def gaussian_process(seed: int, rows: int = 300) -> Case:
    """Return minus the log marginal likelihood of a Gaussian process, by log amplitude, length and noise."""
    rng = np.random.default_rng(seed)

    def f(w: Any, distances: Any, targets: Any, xp: Any) -> Any:
        amplitude, inverse_length, noise = xp.exp(2 * w[0]), xp.exp(-2 * w[1]), xp.exp(2 * w[2])
        covariance = amplitude * xp.exp(-0.5 * distances * inverse_length) + noise * xp.eye(rows)
        factor = xp.linalg.cholesky(covariance)
        white = xp.linalg.solve(factor, targets)
        return 0.5 * (white @ white) + xp.sum(xp.log(xp.diagonal(factor))) + 0.5 * rows * np.log(2 * np.pi)

    at = rng.uniform(0, 10, rows)
    targets = np.sin(at) + 0.3 * rng.standard_normal(rows)
    w = np.log([1.0, 1.5, 0.3])
    data = ((at[:, None] - at) ** 2, targets)
    return _case("gp", f"Gaussian process, {rows} rows, 3 hyperparameters", f, data, w, rng)


def pendulum(seed: int) -> Case:
    """Return the misfit of a damped pendulum to observed angles: a loop over single numbers.

    XLA fuses the unrolled chain of numbers into one kernel: compiling the product takes it 2 s at 12 steps and 32 s at
    25, so that at 200 only the scan can be measured.
    """
    rng = np.random.default_rng(seed)

    def f(w: Any, observed: Any, xp: Any, loop: Loop) -> Any:
        damping, stiffness = w[2], w[3]

        def step(state: Any, target: Any) -> Any:
            angle, speed, misfit = state
            speed = speed - TIME_STEP * (damping * speed + stiffness * xp.sin(angle))
            angle = angle + TIME_STEP * speed
            return angle, speed, misfit + (angle - target) ** 2

        return loop(step, (w[0], w[1], 0.0), observed)[2] / STEPS

    observed = np.cos(TIME_STEP * np.arange(STEPS)) + 0.1 * rng.standard_normal(STEPS)
    w = np.array([1.2, 0.1, 0.2, 1.5])
    case = _loop_case("pendulum", f"damped pendulum, {STEPS} steps", f, (observed,), w, rng)
    return replace(case, has_unrolled=False)


def recurrent_network(seed: int) -> Case:
    """Return the squared error of a tanh recurrence driven by one input: a loop over small matrices."""
    rng = np.random.default_rng(seed)
    square = HIDDEN * HIDDEN

    def f(w: Any, inputs: Any, targets: Any, xp: Any, loop: Loop) -> Any:
        recurrent, entry = w[:square].reshape(HIDDEN, HIDDEN), w[square : square + HIDDEN]
        bias, weights = w[square + HIDDEN : square + 2 * HIDDEN], w[square + 2 * HIDDEN :]

        def step(state: Any, row: Any) -> Any:
            return xp.tanh(state @ recurrent + row[:, None] * entry + bias)

        return xp.mean((loop(step, xp.zeros((ROWS, HIDDEN)), inputs) @ weights - targets) ** 2)

    data = (rng.standard_normal((STEPS, ROWS)), rng.standard_normal(ROWS))
    w = rng.standard_normal(square + 3 * HIDDEN) / np.sqrt(HIDDEN)
    return _loop_case("rnn", f"tanh recurrence of {HIDDEN} units, {ROWS} rows, {STEPS} steps", f, data, w, rng)


#: Name -> maker of the case from a seed.
PROBLEMS: dict[str, Callable[[int], Case]] = {
    "rosenbrock1e3": partial(rosenbrock, 10**3),
    "rosenbrock1e4": partial(rosenbrock, 10**4),
    "rosenbrock1e5": partial(rosenbrock, 10**5),
    "rosenbrock1e6": partial(rosenbrock, 10**6),
    "logistic": logistic_regression,
    "gp": gaussian_process,
    "pendulum": pendulum,
    "rnn": recurrent_network,
}


def _case(
    name: str, description: str, f: Callable[..., Any], data: tuple[np.ndarray, ...], w: np.ndarray, rng: Any
) -> Case:
    """Return the case of f(w, *data, xp) with a Gaussian direction of unit norm."""
    v = rng.standard_normal(w.size)

    def bind(xp: Any) -> Callable[[], Function]:
        arrays = tuple(map(xp.asarray, data))
        return lambda: lambda w: f(w, *arrays, xp)

    return Case(name, f"{description}, {w.size} parameters", bind, w, v / np.linalg.norm(v))


def _loop_case(
    name: str, description: str, f: Callable[..., Any], data: tuple[np.ndarray, ...], w: np.ndarray, rng: Any
) -> Case:
    """Return the case of f(w, *data, xp, loop), with a loop in Python and, for JAX, one by `lax.scan` as well."""

    def bind_scan(jax: Any) -> Callable[[], Function]:
        arrays = tuple(map(jax.numpy.asarray, data))

        def loop(step: Callable[[Any, Any], Any], state: Any, rows: Any) -> Any:
            return jax.lax.scan(lambda state, row: (step(state, row), None), state, rows)[0]

        return lambda: lambda w: f(w, *arrays, jax.numpy, loop)

    def unrolled(*args: Any) -> Any:
        return f(*args, _python_loop)

    return replace(_case(name, description, unrolled, data, w, rng), bind_scan=bind_scan)


def _python_loop(step: Callable[[Any, Any], Any], state: Any, rows: Any) -> Any:
    """Return the state after one step per row."""
    for place in range(len(rows)):  # iterating over a JAX array fails while one is traced
        state = step(state, rows[place])
    return state
