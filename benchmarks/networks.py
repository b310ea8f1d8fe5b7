"""The networks that are measured: configurations, data and the one loss function everybody differentiates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

#: The four things that are timed, in the order they are reported.
TASKS = ("gradient", "hvp", "repeated", "dense")

#: Largest number of parameters for which a dense Hessian is formed. At 6402 (`long`) it takes minutes per participant
#: and round, from 26122 (`medium`) on it needs gigabytes.
DENSE_LIMIT = 4000


@dataclass(frozen=True)
class Configuration:
    """Layer widths of a tanh network and the number of rows it is evaluated on."""

    name: str
    sizes: tuple[int, ...]
    samples: int

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum((rows + 1) * columns for rows, columns in pairwise(self.sizes))

    @property
    def has_dense(self) -> bool:
        """Whether the dense Hessian is small enough to be timed."""
        return self.parameters <= DENSE_LIMIT

    def describe(self) -> str:
        """Return the one-line description printed above the results."""
        widths = "-".join(map(str, self.sizes))
        return f"{self.name}: {widths}, N = {self.samples}, {self.parameters} parameters"

    def why_not_dense(self, dtype: np.dtype) -> str:
        """Return the reason why the dense Hessian is skipped."""
        size = self.parameters**2 * dtype.itemsize / 2**30
        return (
            f"{self.name}: dense Hessian skipped, {self.parameters} parameters are above the limit of {DENSE_LIMIT} "
            f"({size:.1f} GiB, {self.parameters} products per Hessian)"
        )


CONFIGURATIONS = {
    configuration.name: configuration
    for configuration in (
        Configuration("tiny", (2, 16, 16, 2), 32),
        Configuration("small", (64, 32, 10), 128),
        Configuration("medium", (64, 128, 128, 10), 1797),
        Configuration("wide", (784, 512, 512, 10), 1024),
        Configuration("long", (32, 64, 64, 2), 20000),
    )
}


@dataclass(frozen=True, eq=False)
class Problem:
    """One configuration with its data, the point `w` of differentiation and the direction `v`, all of one dtype."""

    configuration: Configuration
    dtype: np.dtype
    inputs: np.ndarray
    labels: np.ndarray
    w: np.ndarray
    v: np.ndarray

    @property
    def sizes(self) -> tuple[int, ...]:
        """Layer widths, inputs first."""
        return self.configuration.sizes


def make_problem(configuration: Configuration, dtype: str, seed: int = 0) -> Problem:
    """Draw Gaussian inputs, uniform labels, weights of variance 1/fan-in and a Gaussian direction of unit norm."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((configuration.samples, configuration.sizes[0]))
    labels = rng.integers(0, configuration.sizes[-1], configuration.samples)
    w = rng.standard_normal(configuration.parameters)
    for _, weight, bias in layers(configuration.sizes, w):
        weight /= np.sqrt(weight.shape[-2])
        bias *= 0.1
    v = rng.standard_normal(configuration.parameters)
    v /= np.linalg.norm(v)
    return Problem(configuration, np.dtype(dtype), inputs.astype(dtype), labels, w.astype(dtype), v.astype(dtype))


def layers(sizes: tuple[int, ...], w: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (layer, weight matrix, bias) as views of `w`, whose leading axes, if any, are kept."""
    start = 0
    for layer, (rows, columns) in enumerate(pairwise(sizes)):
        middle, stop = start + rows * columns, start + (rows + 1) * columns
        yield layer, w[..., start:middle].reshape(*w.shape[:-1], rows, columns), w[..., middle:stop]
        start = stop


def make_loss(sizes: tuple[int, ...], xp: Any = np) -> Callable[..., Any]:
    """Return `loss(w, inputs, labels)`: mean softmax cross-entropy of a tanh network with flat parameters `w`.

    Parameters
    ----------
    sizes
        Layer widths, inputs first.
    xp
        The namespace the functions come from: NumPy, or a peer's copy of it (`jax.numpy`, `autograd.numpy`). The source
        is the same for all of them; only torch, which has other names, repeats it.
    """
    shapes = tuple(pairwise(sizes))

    def loss(w: Any, inputs: Any, labels: Any) -> Any:
        hidden = inputs
        start = 0
        for layer, (rows, columns) in enumerate(shapes):
            middle, stop = start + rows * columns, start + (rows + 1) * columns
            hidden = hidden @ w[start:middle].reshape(rows, columns) + w[middle:stop]
            if layer < len(shapes) - 1:
                hidden = xp.tanh(hidden)
            start = stop
        shifted = hidden - hidden.max(axis=1, keepdims=True)
        log_p = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
        return -xp.mean(log_p[xp.arange(labels.shape[0]), labels])

    return loss
