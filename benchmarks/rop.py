"""Hand-written gradient and Hessian-vector product of the benchmark network: Pearlmutter's R-operator in plain NumPy.

This is what a careful person writes for this one network: every formula worked out on paper, temporaries updated in
place, no recording, no dispatch. It is the yardstick for the cost of being general.

With H_0 the inputs, Z_l = H_{l-1} W_l + b_l, H_l = tanh(Z_l), P the softmax of the last Z and Y the one-hot labels::

    D_L = (P - Y) / N          E_l = D_{l+1} W_{l+1}^T          D_l = E_l * (1 - H_l^2)
    dW_l = H_{l-1}^T D_l       db_l = sum of the rows of D_l

and along the direction (V_l, c_l), with R = d/dt at t = 0::

    RZ_l = RH_{l-1} W_l + H_{l-1} V_l + c_l         RH_l = (1 - H_l^2) * RZ_l
    RD_L = P * (RZ_L - sum(P * RZ_L)) / N           RE_l = RD_{l+1} W_{l+1}^T + D_{l+1} V_{l+1}^T
    RD_l = RE_l * (1 - H_l^2) - 2 H_l * E_l * RH_l
    RdW_l = RH_{l-1}^T D_l + H_{l-1}^T RD_l         Rdb_l = sum of the rows of RD_l

References
----------
B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994) 147-160.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.networks import Problem, layers

#: Elements of one batched activation in `dense`, so that a block of directions stays within a last-level cache.
BLOCK_ELEMENTS = 1 << 19


@dataclass(frozen=True, eq=False)
class Primal:
    """Everything at one point that does not depend on the direction."""

    sizes: tuple[int, ...]
    weights: list[np.ndarray]
    hidden: list[np.ndarray]
    slopes: list[np.ndarray]
    curvatures: list[np.ndarray]
    deltas: list[np.ndarray]
    probabilities: np.ndarray


def linearize(problem: Problem) -> Primal:
    """Run the network forwards and backwards and keep what products need."""
    weights, hidden, slopes, output = _forward(problem)
    probabilities = _softmax(output)
    deltas = [_output_delta(probabilities, problem.labels)]
    curvatures: list[np.ndarray] = []
    for layer in range(len(weights) - 1, 0, -1):
        error = deltas[0] @ weights[layer].T
        deltas.insert(0, error * slopes[layer - 1])
        error *= hidden[layer]
        error *= -2
        curvatures.insert(0, error)
    return Primal(problem.sizes, weights, hidden, slopes, curvatures, deltas, probabilities)


def gradient(problem: Problem) -> np.ndarray:
    """Return the gradient (n,) alone, keeping nothing for second order."""
    weights, hidden, slopes, output = _forward(problem)
    delta = _output_delta(_softmax(output), problem.labels)
    result = np.empty_like(problem.w)
    for layer, weight, bias in reversed(list(layers(problem.sizes, result))):
        np.matmul(hidden[layer].T, delta, out=weight)
        np.sum(delta, axis=0, out=bias)
        if layer:
            delta = delta @ weights[layer].T
            delta *= slopes[layer - 1]
    return result


def gradient_and_product(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient and the Hessian-vector product, both (n,), from nothing."""
    primal = linearize(problem)
    result = np.empty_like(problem.w)
    for layer, weight, bias in layers(problem.sizes, result):
        np.matmul(primal.hidden[layer].T, primal.deltas[layer], out=weight)
        np.sum(primal.deltas[layer], axis=0, out=bias)
    return result, product(primal, problem.v)


def product(primal: Primal, v: np.ndarray) -> np.ndarray:
    """Return H v for a direction (n,), or for every row of (k, n)."""
    directions = list(layers(primal.sizes, v))
    output, hidden_dots = _tangent_forward(primal, directions)
    delta_dot = primal.probabilities * output
    delta_dot -= primal.probabilities * delta_dot.sum(axis=-1, keepdims=True)
    delta_dot /= len(primal.probabilities)
    result = np.empty_like(v)
    for layer, weight, bias in reversed(list(layers(primal.sizes, result))):
        np.matmul(primal.hidden[layer].T, delta_dot, out=weight)
        np.sum(delta_dot, axis=-2, out=bias)
        if layer:
            hidden_dot = hidden_dots[layer - 1]
            weight += hidden_dot.swapaxes(-1, -2) @ primal.deltas[layer]
            error_dot = delta_dot @ primal.weights[layer].T
            error_dot += primal.deltas[layer] @ directions[layer][1].swapaxes(-1, -2)
            error_dot *= primal.slopes[layer - 1]
            hidden_dot *= primal.curvatures[layer - 1]
            error_dot += hidden_dot
            delta_dot = error_dot
    return result


def dense(problem: Problem) -> np.ndarray:
    """Return the Hessian (n, n): products with blocks of unit vectors, the primal part computed once."""
    primal = linearize(problem)
    n = problem.w.size
    block = max(1, BLOCK_ELEMENTS // (problem.configuration.samples * max(problem.sizes)))
    result = np.empty((n, n), problem.dtype)
    for start in range(0, n, block):
        stop = min(start + block, n)
        units = np.zeros((stop - start, n), problem.dtype)
        units[np.arange(stop - start), np.arange(start, stop)] = 1
        result[start:stop] = product(primal, units)
    return result


def _forward(problem: Problem) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return weights, inputs of every layer, slopes 1 - tanh^2 of the hidden ones and the output before the softmax."""
    weights, hidden, slopes = [], [problem.inputs], []
    last = len(problem.sizes) - 2
    for layer, weight, bias in layers(problem.sizes, problem.w):
        z = hidden[-1] @ weight
        z += bias
        weights.append(weight)
        if layer == last:
            break
        np.tanh(z, out=z)
        hidden.append(z)
        slope = z * z
        np.subtract(1, slope, out=slope)
        slopes.append(slope)
    return weights, hidden, slopes, z


def _softmax(z: np.ndarray) -> np.ndarray:
    """Return the softmax of the rows of z."""
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p


def _output_delta(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the cotangent of the output, (P - Y) / N."""
    delta = probabilities.copy()
    delta[np.arange(len(labels)), labels] -= 1
    delta /= len(labels)
    return delta


def _tangent_forward(primal: Primal, directions: list) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the tangents of the output and of the hidden layers."""
    hidden_dots: list[np.ndarray] = []
    for layer, weight_dot, bias_dot in directions:
        z_dot = primal.hidden[layer] @ weight_dot
        if layer:
            z_dot += hidden_dots[-1] @ primal.weights[layer]
        z_dot += bias_dot[..., None, :]
        if layer < len(primal.slopes):
            z_dot *= primal.slopes[layer]
            hidden_dots.append(z_dot)
    return z_dot, hidden_dots
