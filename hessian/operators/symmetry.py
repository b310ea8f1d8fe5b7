"""Whether products are those of a symmetric operator, seen from the products that are made anyway."""

from __future__ import annotations

import math

import numpy as np


class Witness:
    """A random combination x of all directions so far, and of their products: ``x.Hy`` is compared with ``y.Hx`` for every new y.

    A matrix can be looked at entry by entry, an operator cannot. O(n) flops per product.
    """

    def __init__(self, eps: float) -> None:
        #: How far rounding in products with a symmetric operator may pull x.Hy and y.Hx apart, relative to their size.
        self.slack = 4.0 * math.sqrt(eps)
        #: The largest ``|Hv| / |v|`` seen.
        self.magnitude = 0.0
        self._rng = np.random.default_rng(0)
        self._x: np.ndarray | float = 0.0
        self._image: np.ndarray | float = 0.0

    def refuted(self, V: np.ndarray, images: np.ndarray) -> tuple[float, float] | None:
        """Compare columns and their products; return the first difference above rounding, and the size of the products."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            lengths = _lengths(V)
            lengths = np.where(lengths > 0.0, lengths, 1.0)
            self.magnitude = max(self.magnitude, float(np.max(_lengths(images) / lengths, initial=0.0)))
            weights = self._rng.standard_normal(V.shape[1]) / lengths
            self._x = self._x + V @ weights
            self._image = self._image + images @ weights
            gap = np.abs(self._x @ images - self._image @ V) / lengths
            size = self.magnitude * float(np.linalg.norm(self._x))
        worst = np.flatnonzero(gap > self.slack * size)
        return (float(gap[worst[0]]), size) if len(worst) else None


def _lengths(V: np.ndarray) -> np.ndarray:
    """Lengths of columns, also where their squares do not fit."""
    lengths = np.linalg.norm(V, axis=0).astype(np.float64)
    if np.all((lengths > 1e-15) & (lengths < 1e15)):
        return lengths
    largest = np.max(np.abs(V), axis=0, initial=0.0).astype(np.float64)
    return largest * np.linalg.norm(V / np.where(largest > 0.0, largest, 1.0), axis=0)
