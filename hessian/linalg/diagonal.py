"""Diagonals for preconditioners, estimated from products with random signs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hessian.linalg.vectors import signs

_MEMORY = 0.9
"""Of the running mean."""


def row_norms(images: np.ndarray) -> np.ndarray:
    """Estimate the norms of a matrix's rows from its products with vectors of random signs, in columns.

    The root of the mean of ``(H v)^2`` is off by a quarter, typically, for eight of them (Dauphin, de Vries and Bengio, NeurIPS 28
    (2015)); the mean of ``v * (H v)``, which estimates the entry of the diagonal, has errors as large as the rest of the row.
    """
    largest = np.max(np.abs(images), axis=1)
    # Relative to the largest, so that squares neither vanish nor overflow.
    unit = np.where(largest > 0.0, largest, 1.0)
    return np.asarray(largest * np.sqrt(np.mean((images / unit[:, None]) ** 2, axis=1)))


class RunningDiagonal:
    r"""Running mean of :math:`v \circ G v` over random signs v, whose expectation is the diagonal of G, while G changes slowly.

    References
    ----------
    C. Bekas, E. Kokiopoulou and Y. Saad, "An estimator for the diagonal of a matrix", Applied Numerical Mathematics 57
    (2007) 1214-1229.
    """

    def __init__(self, n: int, dtype: np.dtype, rng: np.random.Generator) -> None:
        self._sum, self._weight, self._rng = np.zeros(n, dtype), 0.0, rng

    def probe(self, product: Any) -> None:
        """Take in one product; one that is not finite counts for nothing."""
        v = signs(self._rng, self._sum.size, 1, self._sum.dtype)[:, 0]
        found = v * product(v)
        if np.isfinite(found).all():
            self._sum = _MEMORY * self._sum + (1 - _MEMORY) * found
            self._weight = _MEMORY * self._weight + (1 - _MEMORY)

    @property
    def value(self) -> np.ndarray:
        """The mean so far; zeros where nothing has been seen."""
        return self._sum / max(self._weight, 1e-30)

    def state(self) -> dict[str, Any]:
        """Return what is known, and the random state."""
        return {"sum": self._sum, "weight": self._weight, "rng": self._rng.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self._sum, self._weight = state["sum"], state["weight"]
        self._rng.bit_generator.state = state["rng"]
