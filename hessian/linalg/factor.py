"""Factorisations of symmetric matrices behind one interface: dense, banded with a border, SuperLU's, CHOLMOD's.

A factorisation that fails is a status, not an exception: solvers shift, or go to products. What is said of signs of eigenvalues is
proved by the factor, or not said.

References
----------
T. A. Davis, Direct Methods for Sparse Linear Systems (2006), chapters 4 and 7. X. S. Li,
"An overview of SuperLU", ACM TOMS 31 (2005), for its symmetric mode. J. J. Moré and D. C. Sorensen, SIAM J. Sci. Stat. Comput. 4 (1983),
for directions of negative curvature from a factorisation that breaks off.
"""

from __future__ import annotations

import enum
import math
from typing import Any

import numpy as np

from hessian.errors import ConvergenceError, OptionError, ShapeMismatchError, message

WEAK = 1e-5
"""Share of an entry that is left of it as a pivot up to which the pivot is called weak."""
Inertia = tuple[int, int, int]
"""How many eigenvalues are positive, negative and zero."""


class FactorStatus(enum.Enum):
    """What a factorisation has shown; ``advice`` says what it means."""

    DEFINITE = "is positive definite: all pivots are positive"
    INDEFINITE = "has eigenvalues of both signs, or negative ones alone; the inertia is that of the pivots"
    NOT_DEFINITE = "is not positive definite; how many eigenvalues are negative is not known. Shift it, or factor it without definite=True"
    SINGULAR = "is singular to working precision. Shift it: pass shift > 0"
    UNKNOWN = "was factored with exchanges of rows, or with errors above rounding: signs of eigenvalues are not known. Shift it"
    NOT_FINITE = "has entries that are not finite"

    @property
    def advice(self) -> str:
        """What it means."""
        return f"The matrix {self.value}."


class Factor:
    """A factorisation of a symmetric matrix of order n, or the attempt at one.

    Attributes
    ----------
    kind : str
        ``"dense"``, ``"diagonal"``, ``"banded"``, ``"bordered"``, ``"superlu"``, ``"cholmod"``, ``"low-rank"`` or ``"sum"``.
    status : FactorStatus
    inertia : tuple of int or None
        Numbers of positive, negative and zero eigenvalues; ``None`` where they are not known.
    least_pivot : float
        The smallest pivot where the matrix is definite, NaN else.
    direction : ndarray or None
        Where a pivot is not positive, a vector d of unit length with ``d.A d <= 0`` to rounding.
    """

    kind = ""
    least_pivot = math.nan

    def __init__(self, order: int, status: FactorStatus, inertia: Inertia | None = None) -> None:
        self.order = order
        self.status = status
        self.inertia = inertia
        self.direction: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"<Factor of order {self.order}, {self.kind}: {self.status.name}>"

    @property
    def is_definite(self) -> bool:
        """Whether the matrix is positive definite."""
        return self.status is FactorStatus.DEFINITE

    @property
    def can_solve(self) -> bool:
        """Whether systems can be solved."""
        return self.status in (FactorStatus.DEFINITE, FactorStatus.INDEFINITE, FactorStatus.UNKNOWN)

    def solve(self, b: Any) -> np.ndarray:
        """Solve ``A z = b`` for a vector, or for the columns of a matrix.

        Raises
        ------
        ConvergenceError
            There is no factor to solve with: the status says why.
        ShapeMismatchError
            b does not fit.
        """
        if not self.can_solve:
            what, fix = "there is no factor to solve with", "Look at .status before"
            raise ConvergenceError(message("Factor.solve", what, self.status.advice, fix))
        b = np.asarray(b, np.float64)
        if b.ndim not in (1, 2) or b.shape[0] != self.order:
            what, fix = f"b has shape {b.shape}", f"Pass shape ({self.order},) or ({self.order}, k)"
            raise ShapeMismatchError(message("Factor.solve", what, fix=fix))
        return self._solve(b)

    def _solve(self, b: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    @property
    def logdet(self) -> float:
        """Logarithm of the determinant's magnitude; NaN where there is no factor."""
        return self._logdet() if self.can_solve else math.nan

    def _logdet(self) -> float:
        raise NotImplementedError

    def inverse_diagonal(self) -> np.ndarray:
        """Return the diagonal of the inverse, shape (n,): variances, where A is an information matrix.

        Notes
        -----
        Cost: of definite banded and SuperLU factors a few times that of the factorisation (:mod:`hessian.linalg.selected`); else n
        solves in blocks.
        """
        if not self.can_solve:
            what, fix = "there is no factor to invert by", "Look at .status before"
            raise ConvergenceError(message("Factor.inverse_diagonal", what, self.status.advice, fix))
        return self._inverse_diagonal()

    def inverse_columns(self, at: Any) -> np.ndarray:
        """Return columns of the inverse, shape (n, k), by a solve each; ``at`` holds the k positions, shape (k,)."""
        at = np.asarray(at, np.intp)
        units = np.zeros((self.order, len(at)))
        units[at, np.arange(len(at))] = 1.0
        return self.solve(units)

    def spread(self, z: np.ndarray) -> np.ndarray:
        """Return R z, for a vector or the columns of a matrix, with ``R R'`` the inverse of a definite matrix; R depends on the factor.

        Of standard normal numbers it makes a draw with the inverse as its covariance.
        """
        if not self.is_definite:
            what, fix = "only definite matrices have a root", "Look at .is_definite before"
            raise ConvergenceError(message("Factor.spread", what, self.status.advice, fix))
        return self._spread(np.asarray(z, np.float64))

    def _spread(self, z: np.ndarray) -> np.ndarray:
        inverse = self.inverse_columns(np.arange(self.order))
        return np.asarray(np.linalg.cholesky(0.5 * (inverse + inverse.T)) @ z)

    def weakest(self, most: int) -> np.ndarray:
        """Return up to so many rows at which elimination met next to nothing, the weakest first; none where that is not known."""
        return np.zeros(0, np.intp)

    def _inverse_diagonal(self) -> np.ndarray:
        n, result = self.order, np.empty(self.order)
        width = max(1, min(n, 2**21 // max(n, 1)))
        for start in range(0, n, width):
            stop = min(n, start + width)
            at = np.arange(start, stop)
            result[at] = self.inverse_columns(at)[at, at - start]
        return result


def is_lost(pivots: np.ndarray, diagonal: np.ndarray, terms: int) -> bool:
    """Tell whether a pivot is within rounding of zero beside the diagonal entry that so many terms were taken from."""
    unit_roundoff = float(np.finfo(np.float64).eps)
    return bool(np.any(pivots <= 8.0 * terms * unit_roundoff * np.abs(diagonal)))


def of_least(pivots: np.ndarray, beside: np.ndarray, most: int) -> np.ndarray:
    """Return the places of pivots that are next to nothing beside what they were taken from, the least first; or that of the least."""
    with np.errstate(all="ignore"):
        share = np.abs(pivots) / np.abs(beside)
    share = np.where(np.isfinite(share), share, 0.0)
    few = np.flatnonzero(share <= WEAK)
    if len(few) > most:
        return np.zeros(0, np.intp)
    return few[np.argsort(share[few])] if len(few) else np.array([int(np.argmin(share))])


class Failed(Factor):
    """An attempt that has left nothing to solve with."""

    def __init__(self, order: int, kind: str, status: FactorStatus, direction: np.ndarray | None = None) -> None:
        super().__init__(order, status)
        self.kind = kind
        self.direction = direction

    def _solve(self, b: np.ndarray) -> np.ndarray:
        raise AssertionError(self.status)  # unseen: solve looks at the status before

    def _logdet(self) -> float:
        return math.nan


class Plan:
    """How matrices of one pattern are factored: what depends on the pattern alone, made once.

    Attributes
    ----------
    kind : str
    order : int
    fill : int
        Numbers in a factor, about.
    """

    kind = ""
    order = 0
    fill = 0

    def factor(self, matrix: Any, shift: float = 0.0, *, definite: bool = False) -> Factor:
        """Factor ``matrix + shift I``; with ``definite`` nothing is done for the inertia of a matrix that is not."""
        raise NotImplementedError


def unit(vector: np.ndarray) -> np.ndarray | None:
    """Return a vector divided by its length; ``None`` where that is not finite or zero."""
    with np.errstate(all="ignore"):
        largest = float(np.max(np.abs(vector), initial=0.0))
        if not (0.0 < largest < math.inf):
            return None
        scaled = vector / largest
        return np.asarray(scaled / math.sqrt(float(scaled @ scaled)))


def check_symmetric(matrix: Any, where: str) -> None:
    """Refuse a matrix that is not square and symmetric."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeMismatchError(message(where, f"the matrix has shape {matrix.shape}", fix="Pass a square one"))
    if not matrix.shape[0]:
        raise ShapeMismatchError(message(where, "the matrix has no elements", fix="Pass at least order 1"))
    gap = abs(matrix - matrix.T).max()
    largest = abs(matrix).max()
    if gap > 4.0 * float(np.finfo(np.float64).eps) ** 0.5 * largest:
        what = f"the matrix is not symmetric: entries and their mirror images differ by up to {float(gap):.3g}"
        why, fix = "One triangle would be read for both", "Pass (A + A.T) / 2, or use scipy.sparse.linalg.splu"
        raise OptionError(message(where, what, why, fix))
