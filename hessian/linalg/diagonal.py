"""Diagonal matrices and their factors; norms of rows for preconditioners, estimated from products with random signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.linalg.factor import Factor, FactorStatus, Failed, Plan, of_least


def row_norms(images: np.ndarray) -> np.ndarray:
    """Estimate the norms of a matrix's rows from its products with vectors of random signs, in columns.

    The root of the mean of ``(H v)^2`` is off by a quarter, typically, for eight of them (Dauphin, de Vries and Bengio, NeurIPS 28
    (2015)); the mean of ``v * (H v)``, which estimates the entry of the diagonal, has errors as large as the rest of the row.
    """
    largest = np.max(np.abs(images), axis=1)
    # Relative to the largest, so that squares neither vanish nor overflow.
    unit = np.where(largest > 0.0, largest, 1.0)
    return np.asarray(largest * np.sqrt(np.mean((images / unit[:, None]) ** 2, axis=1)))


class DiagonalPlan(Plan):
    """Diagonal matrices: nothing to plan."""

    kind = "diagonal"

    def __init__(self, order: int) -> None:
        self.order = self.fill = order

    def factor(self, matrix: Any, shift: float = 0.0, *, definite: bool = False) -> Factor:
        """Factor ``matrix + shift I``."""
        values = matrix.data + shift
        if not np.isfinite(values).all():
            return Failed(self.order, self.kind, FactorStatus.NOT_FINITE)
        return DiagonalFactor(values)


class DiagonalFactor(Factor):
    """A diagonal matrix, whose eigenvalues are its entries."""

    kind = "diagonal"

    def __init__(self, values: np.ndarray) -> None:
        n, least = len(values), float(values.min())
        negative, zero = int((values < 0.0).sum()), int((values == 0.0).sum())
        status = FactorStatus.SINGULAR if zero else FactorStatus.INDEFINITE if negative else FactorStatus.DEFINITE
        super().__init__(n, status, (n - negative - zero, negative, zero))
        self._values = values
        if status is FactorStatus.DEFINITE:
            self.least_pivot = least
        else:
            self.direction = np.zeros(n)
            self.direction[int(np.argmin(values))] = 1.0

    def _solve(self, b: np.ndarray) -> np.ndarray:
        return np.asarray((b.T / self._values).T)

    def _logdet(self) -> float:
        return float(np.log(np.abs(self._values)).sum())

    def _inverse_diagonal(self) -> np.ndarray:
        return np.asarray(1.0 / self._values)

    def weakest(self, most: int) -> np.ndarray:
        """Return the rows whose entries are next to nothing beside the others."""
        return of_least(np.abs(self._values), np.full(self.order, float(np.median(np.abs(self._values)))), most)
