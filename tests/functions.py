"""A catalogue of differentiable functions, as data shared by several tests.

Each entry is a scalar function ``f(xp, x)``: ordinary NumPy with the array namespace as its first argument, so the same
text runs under NumPy (and therefore under the library) and under JAX. Where the idiom has no counterpart in JAX
(in-place assignment, SciPy's sparse matrices, a ``while`` loop steered by values), ``twin`` is the same function
written for JAX.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import scipy.sparse
import scipy.special

Function = Callable[["Namespace", Any], Any]


class Namespace:
    """An array module plus the special functions that NumPy keeps elsewhere, under ``special``."""

    def __init__(self, module: ModuleType, special: SimpleNamespace) -> None:
        self._module = module
        self.special = special

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def numpy_namespace() -> Namespace:
    """Give NumPy, ``scipy.special`` ufuncs and the library's twins of functions that cannot dispatch."""
    import hessian.special as twins

    ufuncs = ("expit", "log_expit", "erf", "erfc", "gammaln", "digamma", "xlogy", "entr")
    special = SimpleNamespace(**{name: getattr(scipy.special, name) for name in ufuncs})
    special.logsumexp, special.softmax, special.log_softmax = twins.logsumexp, twins.softmax, twins.log_softmax
    return Namespace(np, special)


def jax_namespace() -> Namespace:
    """Give ``jax.numpy`` with the same special functions under the same names."""
    import jax
    import jax.numpy as jnp
    import jax.scipy.special as jsp

    names = ("expit", "erf", "erfc", "gammaln", "digamma", "xlogy", "entr", "logsumexp")
    special = SimpleNamespace(**{name: getattr(jsp, name) for name in names})
    special.log_expit = jax.nn.log_sigmoid
    special.softmax, special.log_softmax = jax.nn.softmax, jax.nn.log_softmax
    return Namespace(jnp, special)


@dataclass(frozen=True)
class Case:
    """One function of the catalogue with the point where it is differentiated."""

    name: str
    f: Function
    x: Any
    twin: Function | None = None

    def with_numpy(self, x: Any) -> Any:
        """Evaluate in NumPy; this is the plain function handed to the library."""
        return self.f(numpy_namespace(), x)

    def with_jax(self, x: Any) -> Any:
        """Evaluate in JAX, through the twin where there is one."""
        return (self.twin or self.f)(jax_namespace(), x)


CASES: list[Case] = []


def case(x: Any, *, twin: Function | None = None) -> Callable[[Function], Function]:
    """Add the decorated function to the catalogue, at the point ``x``."""

    def register(f: Function) -> Function:
        CASES.append(Case(f.__name__, f, x, twin))
        return f

    return register


def normal(seed: int, *shape: int) -> np.ndarray:
    """Draw standard normal numbers, the same ones every time."""
    return np.random.default_rng(seed).standard_normal(shape)


def uniform(seed: int, *shape: int, low: float = 0.5, high: float = 1.5) -> np.ndarray:
    """Draw uniform numbers, away from zero by default."""
    return np.random.default_rng(seed).uniform(low, high, shape)


def map_leaves(transform: Callable[[np.ndarray], Any], tree: Any) -> Any:
    """Apply ``transform`` to every array of nested dicts, lists and tuples."""
    if isinstance(tree, dict):
        return {key: map_leaves(transform, value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_leaves(transform, value) for value in tree)
    return transform(tree)


def leaves(tree: Any) -> list[np.ndarray]:
    """List the arrays of nested dicts, lists and tuples in insertion order."""
    found: list[np.ndarray] = []
    map_leaves(lambda leaf: found.append(np.asarray(leaf)), tree)
    return found


def flatten(tree: Any) -> np.ndarray:
    """Concatenate the raveled arrays of a tree, in insertion order (every dict here lists its keys sorted)."""
    return np.concatenate([leaf.ravel() for leaf in leaves(tree)])


def direction(tree: Any, seed: int = 0) -> Any:
    """Draw a direction with the structure of ``tree``."""
    rng = np.random.default_rng(seed)
    return map_leaves(lambda leaf: rng.standard_normal(np.shape(leaf)), tree)


# Networks: 3-4-3-2, parameters in one flat vector.

_INPUTS, _TARGETS, _LABELS = normal(1, 7, 3), normal(2, 7, 2), np.array([0, 1, 1, 0, 1, 0, 0])
_SIZES = (3, 4, 3, 2)
_WEIGHTS = 0.7 * normal(3, sum(m * n + n for m, n in itertools.pairwise(_SIZES)))

ACTIVATIONS: dict[str, Callable[[Namespace, Any], Any]] = {
    "tanh": lambda xp, z: xp.tanh(z),
    "sigmoid": lambda xp, z: xp.special.expit(z),
    "relu": lambda xp, z: xp.maximum(z, 0.0),
    "leaky_relu": lambda xp, z: xp.where(z > 0, z, 0.01 * z),
    "softplus": lambda xp, z: xp.logaddexp(0.0, z),
    "gelu": lambda xp, z: 0.5 * z * (1.0 + xp.special.erf(z / np.sqrt(2.0))),
    "gelu_tanh": lambda xp, z: 0.5 * z * (1.0 + xp.tanh(np.sqrt(2.0 / np.pi) * (z + 0.044715 * z**3))),
    "sine": lambda xp, z: xp.sin(2.0 * z),
    "swish": lambda xp, z: z * xp.special.expit(z),
    "mish": lambda xp, z: z * xp.tanh(xp.log1p(xp.exp(z))),
    "elu": lambda xp, z: xp.where(z > 0, z, xp.expm1(xp.minimum(z, 0.0))),
    "gaussian": lambda xp, z: xp.exp(-(z**2)),
    "softsign": lambda xp, z: z / (1.0 + abs(z)),
    "arctan": lambda xp, z: xp.arctan(z),
}


def mlp(xp: Namespace, w: Any, inputs: Any, activation: str) -> Any:
    """Evaluate the 3-4-3-2 network with flat parameters ``w``."""
    h, start = inputs, 0
    for layer, (m, n) in enumerate(itertools.pairwise(_SIZES)):
        weight = w[start : start + m * n].reshape(m, n)
        h = h @ weight + w[start + m * n : start + m * n + n]
        start += m * n + n
        if layer < len(_SIZES) - 2:
            h = ACTIVATIONS[activation](xp, h)
    return h


def _network_case(activation: str) -> Case:
    """Build the squared-error case of one activation."""

    def loss(xp: Namespace, w: Any) -> Any:
        return xp.mean((mlp(xp, w, _INPUTS, activation) - _TARGETS) ** 2)

    return Case(f"network_{activation}", loss, _WEIGHTS)


CASES.extend(_network_case(name) for name in ACTIVATIONS)


@case(_WEIGHTS)
def network_cross_entropy(xp: Namespace, w: Any) -> Any:
    logp = xp.special.log_softmax(mlp(xp, w, _INPUTS, "tanh"), axis=1)
    return -xp.mean(xp.take_along_axis(logp, _LABELS[:, None], axis=1)) + 1e-3 * xp.sum(w**2)


@case({"bias": [normal(4, 4), normal(5, 2)], "weight": (normal(6, 3, 4), normal(7, 4, 2))})
def network_tree_parameters(xp: Namespace, p: Any) -> Any:
    h = xp.tanh(_INPUTS @ p["weight"][0] + p["bias"][0])
    logits = h @ p["weight"][1] + p["bias"][1]
    return xp.mean(xp.special.logsumexp(logits, axis=1) - logits[np.arange(7), _LABELS])


@case({"gain": uniform(8, 4), "shift": normal(9, 4), "w1": normal(10, 3, 4), "w2": normal(11, 4)})
def network_layer_norm(xp: Namespace, p: Any) -> Any:
    z = _INPUTS @ p["w1"]
    z = (z - z.mean(axis=1, keepdims=True)) / xp.sqrt(z.var(axis=1, keepdims=True) + 1e-3)
    return xp.sum((xp.tanh(p["gain"] * z + p["shift"]) @ p["w2"] - _TARGETS[:, 0]) ** 2)


# Regression.

_DESIGN, _RESPONSE = normal(20, 12, 4), normal(21, 12)
_SIGNS = np.where(normal(22, 12) > 0, 1.0, -1.0)
_COUNTS = np.random.default_rng(23).poisson(3.0, 12).astype(float)
_CLASSES = np.random.default_rng(24).integers(0, 3, 12)


@case(normal(25, 4))
def logistic_regression(xp: Namespace, w: Any) -> Any:
    return xp.sum(xp.log1p(xp.exp(-_SIGNS * (_DESIGN @ w)))) + 0.5 * w @ w


@case(normal(25, 4))
def logistic_regression_logaddexp(xp: Namespace, w: Any) -> Any:
    return xp.sum(xp.logaddexp(0.0, -_SIGNS * (_DESIGN @ w)))


@case(normal(25, 4))
def logistic_regression_log_expit(xp: Namespace, w: Any) -> Any:
    return -xp.special.log_expit(_SIGNS * xp.dot(_DESIGN, w)).sum()


@case(normal(26, 4))
def probit_regression_erfc(xp: Namespace, w: Any) -> Any:
    return -xp.sum(xp.log(0.5 * xp.special.erfc(-_SIGNS * (_DESIGN @ w) / np.sqrt(2.0))))


@case(0.3 * normal(27, 4))
def poisson_regression(xp: Namespace, w: Any) -> Any:
    eta = _DESIGN @ w
    return xp.sum(xp.exp(eta) - _COUNTS * eta + scipy.special.gammaln(_COUNTS + 1.0))


@case(0.3 * normal(28, 5))
def negative_binomial_regression(xp: Namespace, p: Any) -> Any:
    gammaln, r, mu = xp.special.gammaln, xp.exp(p[4]), xp.exp(_DESIGN @ p[:4])
    terms = gammaln(_COUNTS + r) - gammaln(r) + r * xp.log(r / (r + mu)) + _COUNTS * xp.log(mu / (r + mu))
    return -xp.sum(terms)


@case(0.3 * normal(29, 4, 3))
def multinomial_regression(xp: Namespace, w: Any) -> Any:
    logits = xp.matmul(_DESIGN, w)
    return xp.sum(xp.special.logsumexp(logits, axis=-1)) - xp.sum(logits[np.arange(12), _CLASSES])


@case({"log_scale": np.array(-0.3), "log_shape": np.array(0.8), "w": normal(30, 4)})
def student_t_regression(xp: Namespace, p: Any) -> Any:
    gammaln, nu = xp.special.gammaln, xp.exp(p["log_shape"])
    t = (_RESPONSE - _DESIGN @ p["w"]) / xp.exp(p["log_scale"])
    constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * xp.log(nu) - p["log_scale"]
    return xp.sum((nu + 1) / 2 * xp.log1p(t**2 / nu)) - 12 * constant


@case(normal(31, 4))
def huber_regression(xp: Namespace, w: Any) -> Any:
    r = _RESPONSE - _DESIGN @ w
    return xp.sum(xp.where(abs(r) <= 1.0, 0.5 * r**2, abs(r) - 0.5))


@case(uniform(32, 3))
def dirichlet_likelihood(xp: Namespace, alpha: Any) -> Any:
    gammaln, logp = xp.special.gammaln, np.log(np.array([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]]))
    return -2 * gammaln(alpha.sum()) + 2 * gammaln(alpha).sum() - xp.sum((alpha - 1) * logp)


@case(uniform(33, 4))
def digamma_of_powers(xp: Namespace, a: Any) -> Any:
    return xp.sum(a * xp.special.digamma(a**1.5 + 0.5))


@case(0.3 * normal(34, 4))
def cox_partial_likelihood(xp: Namespace, w: Any) -> Any:
    eta = _DESIGN @ w
    return xp.sum(xp.log(xp.cumsum(xp.exp(eta))) - eta)


@case(0.1 * normal(35, 4))
def log_barrier(xp: Namespace, x: Any) -> Any:
    return x @ np.arange(4.0) - xp.sum(xp.log(4.0 - _DESIGN @ x)) - xp.log(2.0 - xp.linalg.norm(x))


# Gaussian processes and Gaussians.

_SITES, _VALUES = np.sort(uniform(40, 8, low=0.0, high=4.0)), normal(41, 8)
_LAGS = abs(_SITES[:, None] - _SITES[None, :])


@case(np.array([0.2, -0.1, -1.0]))
def gaussian_process_rbf_cholesky(xp: Namespace, log_theta: Any) -> Any:
    scale, length, noise = xp.exp(log_theta)
    chol = xp.linalg.cholesky(scale * xp.exp(-0.5 * (_LAGS / length) ** 2) + noise * np.eye(8))
    alpha = xp.linalg.solve(chol, _VALUES)
    return 0.5 * alpha @ alpha + xp.sum(xp.log(xp.diag(chol))) + 4 * np.log(2 * np.pi)


@case(np.array([0.2, -0.1, -1.0]))
def gaussian_process_matern32_slogdet(xp: Namespace, log_theta: Any) -> Any:
    scale, length, noise = xp.exp(log_theta[0]), xp.exp(log_theta[1]), xp.exp(log_theta[2])
    z = np.sqrt(3.0) * _LAGS / length
    kernel = scale * (1 + z) * xp.exp(-z) + noise * xp.eye(8)
    return 0.5 * _VALUES @ xp.linalg.solve(kernel, _VALUES) + 0.5 * xp.linalg.slogdet(kernel)[1]


@case({"inputs": normal(42, 5, 2), "log_length": np.array([0.1, -0.4])})
def gaussian_process_matern52_inputs(xp: Namespace, p: Any) -> Any:
    z = p["inputs"] / xp.exp(p["log_length"])
    square = xp.sum((z[:, None, :] - z[None, :, :]) ** 2, axis=-1)
    r = xp.sqrt(5.0 * (square + 1e-2))
    kernel = (1 + r + r**2 / 3) * xp.exp(-r) + 0.1 * np.eye(5)
    return 0.5 * _VALUES[:5] @ xp.linalg.inv(kernel) @ _VALUES[:5] + 0.5 * xp.log(xp.linalg.det(kernel))


@case({"factor": normal(43, 3, 3), "mean": normal(44, 3)})
def gaussian_covariance_factor(xp: Namespace, p: Any) -> Any:
    lower = xp.tril(p["factor"], -1) + xp.diag(xp.exp(xp.diag(p["factor"])))
    z = xp.linalg.solve(lower, (_INPUTS - p["mean"]).T)
    return 0.5 * xp.sum(z * z) + 7 * xp.trace(xp.tril(p["factor"]))


@case({"log_scale": 0.3 * normal(45, 3), "logits": normal(46, 3), "mean": normal(47, 3, 2)})
def gaussian_mixture(xp: Namespace, p: Any) -> Any:
    z = (_TARGETS[:, None, :] - p["mean"]) / xp.exp(p["log_scale"])[:, None]
    logp = xp.special.log_softmax(p["logits"]) - 0.5 * xp.sum(z**2, axis=2) - 2 * p["log_scale"]
    return -xp.mean(xp.special.logsumexp(logp, axis=1))


# Recurrences written as Python loops.

_SEQUENCE = normal(50, 5, 2)


@case({"recurrent": 0.6 * normal(51, 3, 3), "shift": 0.1 * normal(52, 3), "write": normal(53, 2, 3)})
def recurrent_network(xp: Namespace, p: Any) -> Any:
    h, loss = np.zeros(3), 0.0
    for row in _SEQUENCE:
        h = xp.tanh(row @ p["write"] + h @ p["recurrent"] + p["shift"])
        loss = loss + (h.sum() - row[0]) ** 2
    return loss


@case({"shift": 0.1 * normal(54, 8), "weight": 0.5 * normal(55, 4, 8)})
def lstm(xp: Namespace, p: Any) -> Any:
    h, c = np.zeros(2), np.zeros(2)
    for row in _SEQUENCE:
        gates = xp.concatenate([h, row]) @ p["weight"] + p["shift"]
        i, f, o, g = (gates[2 * k : 2 * k + 2] for k in range(4))
        c = xp.special.expit(f) * c + xp.special.expit(i) * xp.tanh(g)
        h = xp.special.expit(o) * xp.tanh(c)
    return xp.sum((h - 0.3) ** 2) + xp.sum(c**2)


@case(np.array([0.4, 2.3]))
def logistic_map(xp: Namespace, p: Any) -> Any:
    z = p[0]
    for _ in range(12):
        z = p[1] * z * (1 - z)
    return (z - 0.2) ** 2


@case(np.array([0.5, -0.2, -0.4]))
def autoregression(xp: Namespace, p: Any) -> Any:
    loss = 0.0
    for t in range(2, 12):
        loss = loss + (_RESPONSE[t] - p[0] * _RESPONSE[t - 1] - p[1] * _RESPONSE[t - 2]) ** 2 / xp.exp(2 * p[2])
    return 0.5 * loss + 10 * p[2]


@case(np.array([-0.7, -0.2, 0.9]))
def kalman_filter(xp: Namespace, p: Any) -> Any:
    move = xp.stack([xp.stack([p[2], p[2] * 0 + 0.1]), np.array([0.0, 0.8])])
    mean, cov, loss = np.zeros(2), np.eye(2), 0.0
    for y in _RESPONSE[:3]:
        mean, cov = move @ mean, move @ cov @ move.T + xp.exp(p[0]) * np.eye(2)
        s = cov[0, 0] + xp.exp(p[1])
        gain, residual = cov[:, 0] / s, y - mean[0]
        mean, cov = mean + gain * residual, cov - xp.outer(gain, cov[0])
        loss = loss + 0.5 * (xp.log(s) + residual**2 / s)
    return loss


@case(np.array([0.8, 0.1, 9.8, 0.3]))
def euler_pendulum(xp: Namespace, p: Any) -> Any:
    angle, speed = p[0], p[1]
    for _ in range(10):
        angle, speed = angle + 0.05 * speed, speed - 0.05 * (p[2] * xp.sin(angle) + p[3] * speed)
    return angle**2 + 0.1 * speed**2


@case(np.array([1.1, 0.4, 0.1, 0.4]))
def runge_kutta_lotka_volterra(xp: Namespace, p: Any) -> Any:
    growth, mixing = xp.array([p[0], -p[3]]), xp.array([[0.0, -p[1]], [p[2], 0.0]])

    def rate(u: Any) -> Any:
        return u * (growth + mixing @ u)

    u, step = np.array([2.0, 1.0]), 0.4
    for _ in range(2):
        k1 = rate(u)
        k2 = rate(u + step / 2 * k1)
        k3 = rate(u + step / 2 * k2)
        u = u + step / 6 * (k1 + 2 * k2 + 2 * k3 + rate(u + step * k3))
    return xp.sum((u - 1.0) ** 2)


def _fixed_newton_sqrt(xp: Namespace, x: Any) -> Any:
    """Take as many iterations as the values at the point make the ``while`` loop take."""
    total = 0.0
    for k, a in enumerate(_ROOTS):
        y, z = 0.5 * (1.0 + a), 0.5 * (1.0 + x[k])
        while abs(y * y - a) > 1e-5:
            y, z = 0.5 * (y + a / y), 0.5 * (z + x[k] / z)
        total = total + z**3
    return total


_ROOTS = np.array([0.7, 2.0, 5.5])


@case(_ROOTS, twin=_fixed_newton_sqrt)
def newton_square_roots(xp: Namespace, x: Any) -> Any:
    total = 0.0
    for a in x:
        y = 0.5 * (1.0 + a)
        while abs(y * y - a) > 1e-5:
            y = 0.5 * (y + a / y)
        total += y**3
    return total


# Attention, convolution, indexing.


@case({"key": normal(60, 2, 3, 2), "query": normal(61, 2, 3, 2), "value": normal(62, 2, 3, 2)})
def einsum_attention(xp: Namespace, p: Any) -> Any:
    tokens = _INPUTS[:4]
    q, k, v = (xp.einsum("td,hdk->htk", tokens, p[name]) for name in ("query", "key", "value"))
    weights = xp.special.softmax(xp.einsum("hik,hjk->hij", q, k) / np.sqrt(2.0), axis=-1)
    return xp.sum(xp.einsum("hij,hjk->hik", weights, v) ** 2)


_WINDOWS = np.arange(8)[:, None] + np.arange(3)


@case({"kernel": normal(63, 3), "signal": normal(64, 10)})
def convolution_by_indexing(xp: Namespace, p: Any) -> Any:
    return xp.sum(xp.tanh(p["signal"][_WINDOWS] @ p["kernel"]) ** 2)


@case(normal(65, 2, 2))
def convolution_by_slices(xp: Namespace, kernel: Any) -> Any:
    image = np.outer(_RESPONSE[:6], _RESPONSE[6:])
    maps = sum(kernel[i, j] * image[i : i + 5, j : j + 5] for i in range(2) for j in range(2))
    pooled = xp.maximum(maps, 0.1 * maps)[:4, :4].reshape(2, 2, 2, 2).max(axis=(1, 3))
    return xp.sum(pooled**2)


@case(2.0 * normal(66, 4, 3))
def lennard_jones(xp: Namespace, atoms: Any) -> Any:
    i, j = np.triu_indices(4, 1)
    inverse = 4.0 / xp.sum((atoms[i] - atoms[j]) ** 2, axis=1)
    return xp.sum(inverse**6 - 2 * inverse**3)


@case(normal(67, 3, 4))
def order_and_ranges(xp: Namespace, x: Any) -> Any:
    spread = xp.max(x, axis=1) - xp.min(x, axis=1)
    rows = xp.take(x, np.array([2, 0, 2]), axis=0)
    return xp.sum(spread**2) + rows[:, ::2].prod() + x[np.array([True, False, True])].sum() ** 2


@case(normal(68, 3, 4))
def gather_along_axis(xp: Namespace, x: Any) -> Any:
    order = np.argsort(normal(68, 3, 4), axis=1)
    ranked = xp.take_along_axis(x, order, axis=1)
    return xp.sum(ranked * np.arange(4.0) ** 2 * x)


# Linear algebra.

_SPD = normal(70, 3, 5) @ normal(70, 3, 5).T + np.eye(3)


@case(_SPD)
def determinant_inverse_trace(xp: Namespace, a: Any) -> Any:
    return xp.log(xp.linalg.det(a)) + xp.trace(xp.linalg.inv(a) @ _SPD.T) + xp.sum(xp.triu(a) ** 2)


@case({"a": normal(71, 2, 2), "b": normal(72, 2, 3)})
def kronecker(xp: Namespace, p: Any) -> Any:
    return xp.sum(xp.sin(xp.kron(p["a"], p["b"]))) + xp.trace(xp.kron(p["a"], p["a"]))


@case(0.5 * normal(73, 3, 3))
def matrix_powers(xp: Namespace, a: Any) -> Any:
    return xp.trace(a @ a @ a) + xp.sum((a @ a) ** 2)


@case(0.4 * normal(74, 3, 3))
def matrix_exponential_series(xp: Namespace, a: Any) -> Any:
    term, total = np.eye(3), np.eye(3)
    for k in range(1, 8):
        term = term @ a / k
        total = total + term
    return xp.vdot(_SPD, total)


@case(normal(75, 3, 4))
def norms(xp: Namespace, x: Any) -> Any:
    return xp.linalg.norm(x) ** 3 + xp.linalg.norm(x, axis=1).prod() + xp.linalg.norm(x[0] - x[1]) * xp.sum(abs(x))


@case({"a": normal(76, 2, 3, 2), "b": normal(77, 3, 2, 2)})
def tensor_products(xp: Namespace, p: Any) -> Any:
    c = xp.tensordot(p["a"], p["b"], axes=([1, 2], [0, 1]))
    return xp.sum(xp.tanh(c)) + xp.inner(c[0], c[1]) + xp.vdot(c, c) + xp.sum(xp.outer(c, c[0]) ** 2)


_LAPLACIAN = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(6, 6), format="csr")


def _dense_laplacian(xp: Namespace, u: Any) -> Any:
    """Use the dense matrix: JAX does not take SciPy's sparse ones."""
    return 0.5 * u @ (_LAPLACIAN.toarray() @ u) + xp.sum(xp.exp(0.3 * u)) / 6


@case(normal(78, 6), twin=_dense_laplacian)
def sparse_laplacian(xp: Namespace, u: Any) -> Any:
    return 0.5 * u @ (_LAPLACIAN @ u) + xp.sum(xp.exp(0.3 * u)) / 6


# Shapes and reductions.


@case(normal(80, 3, 4))
def cumulative_sums(xp: Namespace, x: Any) -> Any:
    return xp.sum(xp.cumsum(x, axis=0) ** 2) + xp.sum(xp.sin(xp.cumsum(x)))


@case(normal(81, 3, 4))
def product_variance_deviation(xp: Namespace, x: Any) -> Any:
    return xp.prod(x, axis=1).sum() + xp.var(x) * xp.std(x, axis=0).sum() + xp.std(x, ddof=1) ** 3 + x.mean() ** 2


@case((normal(82, 3), normal(83, 3)))
def concatenate_stack_flip(xp: Namespace, p: Any) -> Any:
    a, b = p
    rows = xp.stack([a, xp.flip(b), a * b])
    wide = xp.hstack([xp.concatenate([a, b]), xp.vstack([a, b])[1]])
    return xp.sum(xp.cos(rows) @ rows.T) + xp.prod(1 + 0.1 * wide)


@case(normal(84, 4, 3))
def pad_roll_variation(xp: Namespace, u: Any) -> Any:
    padded = xp.pad(u, ((1, 1), (0, 2)))
    gradient = xp.roll(padded, 1, axis=0) - padded + 0.5 * (xp.roll(padded, -1, axis=1) - padded)
    return xp.sum(xp.sqrt(gradient**2 + 0.1))


@case(normal(85, 9))
def where_and_clip(xp: Namespace, x: Any) -> Any:
    return xp.sum(xp.where(x > 0, xp.sqrt(xp.maximum(x, 0.01)), xp.clip(x, -0.8, 0.8) ** 3)) * xp.sum(xp.sign(x) * x)


@case(normal(86, 6))
def repeat_tile_split(xp: Namespace, x: Any) -> Any:
    first, second = xp.split(x, 2)
    return xp.sum(xp.repeat(first, 2) * xp.tile(second, 2) ** 2) + xp.sum(xp.arctan2(first, 2 + second**2))


@case(normal(87, 2, 3, 4))
def moved_axes(xp: Namespace, x: Any) -> Any:
    y = xp.moveaxis(x, 0, -1) * xp.transpose(x, (1, 2, 0))
    z = xp.squeeze(xp.expand_dims(xp.swapaxes(y, 0, 1), 0), 0)
    return xp.sum(z * xp.broadcast_to(xp.sin(x[0, 0])[:, None, None], (4, 3, 2))) ** 2


# Elementary functions.


@case(uniform(90, 6, low=0.1, high=0.9))
def trigonometry(xp: Namespace, x: Any) -> Any:
    return xp.sum(xp.sin(x) * xp.arcsin(x) + xp.tan(x) * xp.arccos(x) + xp.arctan2(x, x[::-1]) * xp.hypot(x, 1 - x))


@case(uniform(91, 6, low=0.1, high=0.9))
def hyperbolic(xp: Namespace, x: Any) -> Any:
    return xp.sum(xp.sinh(x) * xp.arctanh(x) + xp.cosh(x) / xp.arcsinh(x) + xp.arccosh(1 + x) * xp.tanh(x) ** 2)


@case(uniform(92, 6))
def logarithms_and_powers(xp: Namespace, x: Any) -> Any:
    y = x[::-1]
    roots = xp.sqrt(x) + xp.cbrt(y) + xp.square(x) / xp.reciprocal(y) + xp.exp2(x)
    return xp.sum(x**y + 2.0**x + xp.log2(x + 1) * xp.log10(y + 2) * roots + xp.power(x, 2.5) - xp.negative(x))


@case(uniform(93, 5))
def entropies(xp: Namespace, x: Any) -> Any:
    p = x / x.sum()
    return xp.sum(xp.special.xlogy(p, p * p[::-1])) + xp.sum(xp.special.entr(p)) * p[0]


@case(np.array([0.9, 1.2, -0.3, 0.8]))
def rosenbrock(xp: Namespace, x: Any) -> Any:
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@case(normal(94, 8))
def extended_powell(xp: Namespace, x: Any) -> Any:
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    return xp.sum((a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4)


def _functional_assignment(xp: Namespace, x: Any) -> Any:
    """Build by ``stack`` what the plain version assigns in place."""
    y = [x[0] ** 2]
    for i in range(1, 5):
        y.append(xp.sin(x[i]) + 0.5 * y[i - 1])
    return xp.prod(2.0 * xp.stack(y))


@case(uniform(95, 5), twin=_functional_assignment)
def assignment_in_place(xp: Namespace, x: Any) -> Any:
    y = xp.zeros_like(x)
    y[0] = x[0] ** 2
    for i in range(1, 5):
        y[i] = xp.sin(x[i]) + 0.5 * y[i - 1]
    y *= 2.0
    return xp.prod(y)


def by_name(name: str) -> Case:
    """Look a case up."""
    return next(entry for entry in CASES if entry.name == name)
