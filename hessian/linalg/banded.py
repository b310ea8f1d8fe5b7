"""Definite matrices with a narrow band, but for a few rows that are put last: Cholesky in LAPACK's banded form, and a border.

With the dense rows last, ``A = [[B, C], [C', D]]`` is definite where B is and where ``S = D - C' B^-1 C`` is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg
from scipy.linalg import lapack
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from hessian.linalg import limits
from hessian.linalg.factor import Factor, FactorStatus, Failed, Plan, is_lost, of_least, unit
from hessian.linalg.selected import banded_diagonal

NARROW = 48
"""Half-width of a band up to which LAPACK's banded Cholesky takes less time than SuperLU finds its columns in."""


def dense_rows(degrees: np.ndarray) -> np.ndarray:
    """Return the rows with many more entries than the others, which spoil any order but one that puts them last."""
    threshold = max(16.0, 4.0 * float(np.mean(degrees)), 10.0 * math.sqrt(len(degrees)))
    return np.flatnonzero(degrees > threshold)


def half_width(rows: np.ndarray, columns: np.ndarray) -> int:
    """Return how far entries are from the diagonal."""
    return int(np.max(np.abs(rows - columns), initial=0))


class BandedPlan(Plan):
    """Positions of the entries of matrices of one pattern in a band and its border.

    Made by :func:`banded_plan`.
    """

    kind = "banded"

    def __init__(self, matrix: Any, place: np.ndarray, width: int, border: np.ndarray) -> None:
        n, k = matrix.shape[0], len(border)
        self.order, self._width, self._border, self._inner = n, width, border, n - k
        self.fill = n * (width + 1) + n * k
        self.kind = "bordered" if k else "banded"
        columns = np.repeat(np.arange(n), np.diff(matrix.indptr))
        row, column = place[matrix.indices], place[columns]
        inner = n - k
        self._band = np.flatnonzero((row >= column) & (row < inner))
        self._band_at = (row - column)[self._band] * inner + column[self._band]
        self._cross = np.flatnonzero((row >= inner) & (column < inner))
        self._cross_at = column[self._cross] * k + row[self._cross] - inner
        self._corner = np.flatnonzero((row >= inner) & (column >= inner))
        self._corner_at = (row[self._corner] - inner) * k + column[self._corner] - inner
        #: Where variables go, and where they come from.
        self._place, self._order = place, np.argsort(place)
        self._is_natural = bool(np.array_equal(place, np.arange(n)))

    def factor(self, matrix: Any, shift: float = 0.0, *, definite: bool = False) -> Factor:
        """Factor ``matrix + shift I``, a ``csc_array`` of the pattern; the inertia of one that is not definite is not known."""
        data = matrix.data
        if not np.isfinite(data).all():
            return Failed(self.order, self.kind, FactorStatus.NOT_FINITE)
        m, k, width = self._inner, len(self._border), self._width
        band = np.zeros((width + 1) * m)
        band[self._band_at] = data[self._band]
        band = band.reshape(width + 1, m)
        if shift:
            band[0] += shift
        factor, broken = lapack.dpbtrf(band, lower=1, overwrite_ab=0)
        if broken:
            return Failed(self.order, self.kind, FactorStatus.NOT_DEFINITE, self._broken_off(band, factor, broken - 1))
        if is_lost(factor[0] ** 2, band[0], width + 1):
            return Failed(self.order, self.kind, FactorStatus.SINGULAR)
        if not k:
            return BandedFactor(self, band[0], factor, None, None, None)
        cross, corner = np.zeros(m * k), np.zeros(k * k)
        cross[self._cross_at] = data[self._cross]
        corner[self._corner_at] = data[self._corner]
        cross, corner = cross.reshape(m, k), corner.reshape(k, k) + shift * np.eye(k)
        through = lapack.dpbtrs(factor, cross, lower=1)[0]
        schur = corner - cross.T @ through
        values, vectors = scipy.linalg.eigh(0.5 * (schur + schur.T), check_finite=False)
        size = float(np.max(np.abs(corner), initial=0.0))
        if values[0] <= self.order * float(np.finfo(np.float64).eps) * size:
            direction = np.concatenate([-through @ vectors[:, 0], vectors[:, 0]])
            return Failed(self.order, self.kind, FactorStatus.NOT_DEFINITE, unit(self.back(direction)))
        return BandedFactor(self, band[0], factor, through, values, vectors)

    def _broken_off(self, band: np.ndarray, factor: np.ndarray, at: int) -> np.ndarray | None:
        """Return a direction without positive curvature from a factorisation that has broken off at a row."""
        direction = np.zeros(self.order)
        direction[at] = 1.0
        width = min(self._width, at)
        if width:
            before = np.zeros(at)
            for d in range(1, width + 1):
                before[at - d] = band[d, at - d]
            # A sub-band keeps rows that reach below its end, which LAPACK does not read.
            lead = np.ascontiguousarray(factor[:, :at])
            direction[:at] = -lapack.dpbtrs(lead, before, lower=1)[0]
        return unit(self.back(direction))

    def forth(self, b: np.ndarray) -> np.ndarray:
        """Put a vector, or rows of a matrix, in the order of the band."""
        return b if self._is_natural else b[self._order]

    def back(self, z: np.ndarray) -> np.ndarray:
        """Undo that."""
        return z if self._is_natural else z[self._place]

    def rows(self, at: np.ndarray) -> np.ndarray:
        """Return the variables at places in the order of the band."""
        return self._order[at]


class BandedFactor(Factor):
    """The Cholesky factor of a band, and what a border needs beside it."""

    def __init__(
        self,
        plan: BandedPlan,
        diagonal: np.ndarray,
        factor: np.ndarray,
        through: np.ndarray | None,
        values: np.ndarray | None,
        vectors: np.ndarray | None,
    ) -> None:
        super().__init__(plan.order, FactorStatus.DEFINITE, (plan.order, 0, 0))
        self.kind = plan.kind
        self._plan, self._diagonal, self._factor = plan, diagonal, factor
        self._through, self._values, self._vectors = through, values, vectors
        self.least_pivot = float(np.min(factor[0]) ** 2) if factor.size else math.inf
        if values is not None:
            self.least_pivot = min(self.least_pivot, float(values[0]))

    def _solve(self, b: np.ndarray) -> np.ndarray:
        moved = self._plan.forth(b)
        if self._through is None or self._values is None or self._vectors is None:
            return self._plan.back(lapack.dpbtrs(self._factor, moved, lower=1)[0])
        m = len(self._through)
        inner, outer = moved[:m], moved[m:] - self._through.T @ moved[:m]
        scaled = (self._vectors.T @ outer).T / self._values
        end = self._vectors @ scaled.T
        start = lapack.dpbtrs(self._factor, inner, lower=1)[0] - self._through @ end
        return self._plan.back(np.concatenate([start, end]))

    def weakest(self, most: int) -> np.ndarray:
        """Return the rows of the band whose pivots are next to nothing."""
        return self._plan.rows(of_least(self._factor[0] ** 2, self._diagonal, most))

    def _logdet(self) -> float:
        inner = 2.0 * float(np.log(self._factor[0]).sum())
        return inner if self._values is None else inner + float(np.log(self._values).sum())

    def _inverse_diagonal(self) -> np.ndarray:
        inside = banded_diagonal(self._factor)
        if self._through is None or self._values is None or self._vectors is None:
            return self._plan.back(inside)
        half = self._vectors / np.sqrt(self._values)
        outside = np.sum(half**2, axis=1)
        return self._plan.back(np.concatenate([inside + np.sum((self._through @ half) ** 2, axis=1), outside]))

    def _spread(self, z: np.ndarray) -> np.ndarray:
        m = self._factor.shape[1]
        start = lapack.dtbtrs(self._factor, z[:m], uplo="L", trans="T")[0]
        if self._through is None or self._values is None or self._vectors is None:
            return self._plan.back(start)
        end = self._vectors @ (z[m:].T / np.sqrt(self._values)).T
        return self._plan.back(np.concatenate([start - self._through @ end, end]))


def banded_plan(matrix: Any) -> BandedPlan | None:
    """Return a plan for a symmetric ``csc_array`` if it has a narrow band but for a few rows, in some order; else ``None``."""
    n = matrix.shape[0]
    degrees = np.diff(matrix.indptr)
    border = dense_rows(degrees)
    if len(border) > limits.BORDER_ROWS:
        return None
    columns = np.repeat(np.arange(n), degrees)
    is_inner = np.ones(n, bool)
    is_inner[border] = False
    inner = np.flatnonzero(is_inner)
    number = np.full(n, -1)
    number[inner] = np.arange(len(inner))
    keep = is_inner[matrix.indices] & is_inner[columns]
    row, column = number[matrix.indices[keep]], number[columns[keep]]
    width = half_width(row, column)
    order = np.arange(len(inner))
    if width > 2 and len(inner):
        sub = csr_array((np.ones(len(row)), (column, row)), shape=(len(inner), len(inner)))
        found = np.asarray(reverse_cuthill_mckee(sub, symmetric_mode=True))
        place = np.empty(len(inner), np.intp)
        place[found] = np.arange(len(inner))
        narrower = half_width(place[row], place[column])
        if narrower < width:
            width, order = narrower, place
    if width > NARROW or (width > 8 and 3 * width > len(inner)):
        return None
    place = np.empty(n, np.intp)
    place[inner], place[border] = order, len(inner) + np.arange(len(border))
    return BandedPlan(matrix, place, width, border)
