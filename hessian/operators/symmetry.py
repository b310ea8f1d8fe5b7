"""Whether products are those of a symmetric operator, seen from the products that are made anyway."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hessian.linalg.vectors import column_norms, norm


class Witness:
    """A random combination x of all directions so far, and of their products: ``x.Hy`` is compared with ``y.Hx`` for every new y.

    A matrix can be looked at entry by entry, an operator cannot. O(n) flops per product. What products may differ by is measured by the
    largest seen. Directions that are nearly null see nothing but rounding of a matrix that is much larger: so before an operator is
    refused, two products with random directions tell its size.
    """

    def __init__(self, eps: float) -> None:
        #: How far rounding in products with a symmetric operator may pull x.Hy and y.Hx apart, relative to their size.
        self.slack = 4.0 * math.sqrt(eps)
        #: The largest ``|Hv| / |v|`` seen.
        self.magnitude = 0.0
        self._rng = np.random.default_rng(0)
        self._x: np.ndarray | float = 0.0
        self._image: np.ndarray | float = 0.0

    def refuted(
        self, V: np.ndarray, images: np.ndarray, product: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[float, float] | None:
        """Compare columns and their products; return the first difference above rounding, and the size of the products."""
        found = self._compared(V, images)
        if found is None:
            return None
        random = self._rng.standard_normal((len(V), 2)).astype(V.dtype)
        again = self._compared(random, np.asarray(product(random)).reshape(random.shape))
        found = again if found[0] <= self.slack * self.magnitude * found[1] else found
        return None if found is None else (found[0], self.magnitude * found[1])

    def _compared(self, V: np.ndarray, images: np.ndarray) -> tuple[float, float] | None:
        """Return the first difference above rounding, and the length of the combination that sees it."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            lengths = _lengths(V)
            lengths = np.where(lengths > 0.0, lengths, 1.0)
            self.magnitude = max(self.magnitude, float(np.max(_lengths(images) / lengths, initial=0.0)))
            weights = self._rng.standard_normal(V.shape[1]) / lengths
            self._x += V @ weights
            self._image += images @ weights
            gap = np.abs(self._x @ images - self._image @ V) / lengths
            length = norm(self._x)
        worst = np.flatnonzero(gap > self.slack * self.magnitude * length)
        return (float(gap[worst[0]]), length) if len(worst) else None


def _lengths(V: np.ndarray) -> np.ndarray:
    """Lengths of columns, also where their squares do not fit."""
    lengths = column_norms(V)
    if np.all((lengths > 1e-15) & (lengths < 1e15)):
        return lengths
    largest = np.max(np.abs(V), axis=0, initial=0.0).astype(np.float64)
    return largest * np.linalg.norm(V / np.where(largest > 0.0, largest, 1.0), axis=0)
