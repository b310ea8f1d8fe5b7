"""The symmetric indefinite factorisation of dense matrices."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from hessian.linalg.factor import Factor, FactorStatus, Failed, Plan, unit


class Factorization:
    """``H = P L D L^T P^T`` with D of blocks of order 1 and 2 (Bunch and Kaufman), which show the inertia of H.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Symmetric, finite.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        lower, blocks, self._order = scipy.linalg.ldl(matrix, lower=True, check_finite=False)
        self._lower = lower[self._order]
        diagonal, below = np.diag(blocks), np.append(np.diag(blocks, -1), 0.0)
        # Eigen decompositions of all blocks at once: a block of order 2 starts where the entry below is not zero.
        self._pairs = np.flatnonzero(below)
        self._singles = np.setdiff1d(np.arange(len(diagonal)), np.concatenate([self._pairs, self._pairs + 1]))
        self._values = diagonal.copy()
        two = np.empty((len(self._pairs), 2, 2))
        two[:, 0, 0], two[:, 1, 1] = diagonal[self._pairs], diagonal[self._pairs + 1]
        two[:, 0, 1] = two[:, 1, 0] = below[self._pairs]
        values, self._vectors = np.linalg.eigh(two)
        self._values[self._pairs], self._values[self._pairs + 1] = values[:, 0], values[:, 1]

    @property
    def values(self) -> np.ndarray:
        """Eigenvalues of D: as many of each sign as H has (Sylvester)."""
        return self._values

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Solve ``H z = b``."""
        y = scipy.linalg.solve_triangular(
            self._lower, b[self._order], lower=True, unit_diagonal=True, check_finite=False
        )
        y[self._singles] /= self._values[self._singles]
        if len(self._pairs):
            both = np.stack([y[self._pairs], y[self._pairs + 1]], axis=1)
            turned = np.einsum("pij,pi->pj", self._vectors, both)
            turned /= np.stack([self._values[self._pairs], self._values[self._pairs + 1]], axis=1)
            back = np.einsum("pij,pj->pi", self._vectors, turned)
            y[self._pairs], y[self._pairs + 1] = back[:, 0], back[:, 1]
        y = scipy.linalg.solve_triangular(self._lower, y, lower=True, trans="T", unit_diagonal=True, check_finite=False)
        z = np.empty_like(y)
        z[self._order] = y
        return z


class DenseFactor(Factor):
    """A dense matrix factored by Bunch and Kaufman, with its inertia."""

    kind = "dense"

    def __init__(self, matrix: np.ndarray) -> None:
        self._factors = Factorization(matrix)
        values = self._factors.values
        n, largest = len(matrix), float(np.max(np.abs(values)))
        # Pivots within rounding of the largest entry are zero as far as anybody can tell.
        floor = n * float(np.finfo(np.float64).eps) * max(largest, float(np.max(np.abs(matrix))))
        negative, zero = int((values < -floor).sum()), int((np.abs(values) <= floor).sum())
        status = FactorStatus.SINGULAR if zero else FactorStatus.INDEFINITE if negative else FactorStatus.DEFINITE
        super().__init__(n, status, (n - negative - zero, negative, zero))
        if status is FactorStatus.DEFINITE:
            self.least_pivot = float(values.min())
        elif negative:
            lowest, vectors = scipy.linalg.eigh(matrix, subset_by_index=[0, 0], check_finite=False)
            self.direction = unit(vectors[:, 0]) if lowest[0] < 0.0 else None

    def _solve(self, b: np.ndarray) -> np.ndarray:
        if b.ndim == 1:
            return self._factors.solve(b)
        result = np.empty(b.shape)
        for k, column in enumerate(b.T):
            result[:, k] = self._factors.solve(column)
        return result

    def _logdet(self) -> float:
        return float(np.log(np.abs(self._factors.values)).sum())


class DensePlan(Plan):
    """Nothing depends on the pattern of a dense matrix."""

    kind = "dense"

    def __init__(self, order: int) -> None:
        self.order, self.fill = order, order * order

    def factor(self, matrix: np.ndarray, shift: float = 0.0, *, definite: bool = False) -> Factor:
        """Factor ``matrix + shift I``."""
        dense = np.array(matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float64)
        if shift:
            dense[np.diag_indices_from(dense)] += shift
        if not np.isfinite(dense).all():
            return Failed(self.order, self.kind, FactorStatus.NOT_FINITE)
        return DenseFactor(dense)
