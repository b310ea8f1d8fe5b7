"""What the replay benchmarks differentiate: scalar functions of one vector, closed over their data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.networks import CONFIGURATIONS, Configuration, make_loss, make_problem

#: Points a contender goes through, one after the other.
POINTS = 8

#: Relative distance from one point to the next: far above what a result is allowed to be wrong by.
STEP = 1e-2

#: The configurations of `python -m benchmarks.hvp`, and two networks whose dense Hessian takes some work.
NETWORKS = CONFIGURATIONS | {
    configuration.name: configuration
    for configuration in (
        Configuration("dense16", (64, 16, 10), 256),
        Configuration("dense32", (64, 32, 10), 512),
    )
}

Function = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A function with the point and the direction it is measured at.

    Parameters
    ----------
    name, description
        One word for the tables, one line for the terminal.
    bind
        Takes a namespace (NumPy or `jax.numpy`), turns the data into its arrays, and returns a maker of functions of w
        alone: each call returns a new function object, which no cache has seen.
    w, v
        Point and direction, (n,), of the dtype of the data.
    bind_scan
        The same for the `jax` package, with the function's loop as a `jax.lax.scan`; None where there is no loop.
    has_unrolled
        Whether JAX can compile the function as it stands in reasonable time.
    """

    name: str
    description: str
    bind: Callable[[Any], Callable[[], Function]]
    w: np.ndarray
    v: np.ndarray
    bind_scan: Callable[[Any], Callable[[], Function]] | None = None
    has_unrolled: bool = True

    @property
    def dtype(self) -> str:
        """Name of the dtype of point, direction and data."""
        return str(self.w.dtype)

    def points(self) -> list[np.ndarray]:
        """Return w and its neighbours, each with other derivatives than the one before."""
        return [self.w * (1 + STEP * place) for place in range(POINTS)]


def network_case(name: str, dtype: str, seed: int = 0) -> Case:
    """Return the loss of a network of `NETWORKS`, data drawn as for `python -m benchmarks.hvp`."""
    configuration = NETWORKS[name]
    problem = make_problem(configuration, dtype, seed)

    def bind(xp: Any) -> Callable[[], Function]:
        inputs, labels = xp.asarray(problem.inputs), xp.asarray(problem.labels)

        def fresh() -> Function:
            loss = make_loss(problem.sizes, xp)
            return lambda w: loss(w, inputs, labels)

        return fresh

    return Case(name, f"{configuration.describe()}, {dtype}", bind, problem.w, problem.v)
