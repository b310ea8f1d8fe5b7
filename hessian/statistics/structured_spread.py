"""Covariance matrices by what multiplies with them, and those of some of the parameters among all."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from hessian.linalg import limits
from hessian.statistics.spread import OfLayer, Spread, check_room


class StructuredSpread(Spread):
    """By what multiplies with the covariance, and with a root of it.

    Parameters
    ----------
    half, whole : callable
        Multiply a vector or columns with a root R, shape (n, n), or with the covariance ``R R'``.
    inward : callable
        Multiplies columns with ``R'``.
    variances : ndarray, shape (n,)
    kind : str
    of_layer : callable, optional
        As of :class:`~hessian.statistics.spread.Spread`.
    """

    is_sparse = False

    def __init__(
        self,
        half: Callable[[np.ndarray], np.ndarray],
        whole: Callable[[np.ndarray], np.ndarray],
        inward: Callable[[np.ndarray], np.ndarray],
        variances: np.ndarray,
        kind: str,
        of_layer: OfLayer | None = None,
    ) -> None:
        self._half, self._whole, self._inward = half, whole, inward
        self._variances, self.kind, self.of_layer = variances, kind, of_layer
        self.order = len(variances)

    @property
    def deviations(self) -> np.ndarray:
        """Square roots of the variances."""
        return np.sqrt(self._variances)

    @cached_property
    def root(self) -> np.ndarray:
        """Multiply with the identity."""
        check_room("root of a covariance", self.order, self.order)
        return self._half(np.eye(self.order))

    def product(self, v: np.ndarray) -> np.ndarray:
        """As given."""
        return self._whole(v)

    def draws(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Multiply standard normal numbers with the root."""
        return self._half(rng.standard_normal((count, self.order)).T).T

    def _rooted(self, jacobian: np.ndarray) -> np.ndarray:
        count, width, n = jacobian.shape
        return self._inward(jacobian.reshape(-1, n).T).T.reshape(count, width, n)

    def blocks(self, jacobian: np.ndarray) -> np.ndarray:
        """Multiply the root with each."""
        root = self._rooted(jacobian)
        return np.asarray(root @ root.swapaxes(1, 2))

    def variances(self, jacobian: np.ndarray) -> np.ndarray:
        """Return the variances of the outputs of each example, (N, K), from their Jacobians, (N, K, n)."""
        root = self._rooted(jacobian)
        return np.sum(root * root, axis=2)

    def carried_by(self, operator: Any, full: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Take rows of the Jacobian in blocks."""
        m = operator.shape[0]
        variances, covariance = np.empty(m), None
        if full:
            check_room("covariance", m, m)
            covariance = np.empty((m, m))
        width = limits.block_columns(max(m, self.order))
        for start in range(0, m, width):
            part = slice(start, min(start + width, m))
            units = np.zeros((m, part.stop - start), operator.dtype)
            units[np.arange(start, part.stop), np.arange(part.stop - start)] = 1.0
            rows = np.asarray(operator.T @ units, np.float64)
            solved = self.product(rows)
            variances[part] = np.sum(rows * solved, axis=0)
            if covariance is not None:
                covariance[:, part] = operator @ solved
        return variances, covariance if covariance is None else 0.5 * (covariance + covariance.T)


class PlacedSpread(Spread):
    """The covariance of some of the parameters, the others known."""

    def __init__(self, inner: Spread, free: np.ndarray, order: int) -> None:
        self.inner, self._free, self.order = inner, free, order
        self.is_sparse, self.kind = inner.is_sparse, inner.kind

    def _placed(self, rows: np.ndarray) -> np.ndarray:
        found = np.zeros((self.order, *rows.shape[1:]))
        found[self._free] = rows
        return found

    @property
    def deviations(self) -> np.ndarray:
        """Zero for what is known."""
        return self._placed(self.inner.deviations)

    @property
    def root(self) -> np.ndarray:
        """With rows of zeros."""
        check_room("root of a covariance", self.order, self.inner.order)
        return self._placed(self.inner.root)

    def product(self, v: np.ndarray) -> np.ndarray:
        """Multiply what is free."""
        return self._placed(self.inner.product(v[self._free]))

    def draws(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw what is free."""
        return self._placed(self.inner.draws(count, rng).T).T
