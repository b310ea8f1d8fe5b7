"""One door to factorisations of symmetric matrices: which kind, and what is kept for the next matrix of the pattern."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csc_array, eye_array, issparse

from hessian.errors import DtypeError, ShapeMismatchError, message
from hessian.linalg import cholmod, limits
from hessian.linalg.banded import banded_plan
from hessian.linalg.diagonal import DiagonalPlan
from hessian.linalg.factor import Factor, FactorStatus, Plan, check_symmetric
from hessian.linalg.ldl import DensePlan
from hessian.linalg.low_rank import LowRankFactor
from hessian.linalg.superlu import SuperLUPlan


class TwofoldPlan(Plan):
    """A plan for definite matrices, and another for the inertia of those that are not."""

    def __init__(self, first: Plan, matrix: Any) -> None:
        self._first, self._matrix = first, matrix
        self._second: Plan | None = None
        self.kind, self.order, self.fill = first.kind, first.order, first.fill

    def factor(self, matrix: Any, shift: float = 0.0, *, definite: bool = False) -> Factor:
        """Factor ``matrix + shift I``; where it is not definite and the inertia is wanted, by SuperLU."""
        found = self._first.factor(matrix, shift, definite=definite)
        if definite or found.status is not FactorStatus.NOT_DEFINITE:
            return found
        if self._second is None:
            self._second = SuperLUPlan(self._matrix)
        return self._second.factor(matrix, shift)


def analyse(matrix: csc_array) -> Plan:
    """Return how to factor matrices of a symmetric pattern.

    Parameters
    ----------
    matrix : csc_array
        Any matrix of the pattern, sorted, with its whole diagonal in the pattern (:func:`with_diagonal`).

    Returns
    -------
    Plan
        ``plan.factor(matrix, shift)`` for any matrix with the same index arrays.

    Notes
    -----
    Diagonal matrices by division, LAPACK's banded Cholesky factorisation where the band is narrow (up to 48 beside the diagonal, after
    reverse Cuthill-McKee, up to 32 dense rows aside), CHOLMOD where scikit-sparse is installed, else SuperLU in its symmetric mode
    after minimum degree, dense rows last. Small and dense ones by Bunch and Kaufman.
    """
    n = matrix.shape[0]
    if n <= limits.FACTOR_ORDER:
        return DensePlan(n)
    if matrix.nnz == n:
        return DiagonalPlan(n)
    banded = banded_plan(matrix)
    if banded is not None:
        return TwofoldPlan(banded, matrix)
    if limits.FACTOR_SHARE * matrix.nnz > n * n:
        return DensePlan(n)
    return TwofoldPlan(cholmod.CholmodPlan(matrix), matrix) if cholmod.is_installed() else SuperLUPlan(matrix)


def with_diagonal(matrix: Any) -> csc_array:
    """Return a sorted ``csc_array`` of doubles with its whole diagonal in the pattern."""
    result = csc_array(matrix, dtype=np.float64)
    result.sum_duplicates()
    n = result.shape[0]
    columns = np.repeat(np.arange(n), np.diff(result.indptr))
    if int((result.indices == columns).sum()) < n:
        # Zeros that are added vanish; numbers beside zeros, taken away again, do not.
        marked = csc_array((np.ones(result.nnz), result.indices, result.indptr), shape=result.shape)
        pattern = csc_array(marked + eye_array(n, format="csc"))
        pattern.sort_indices()
        at = np.repeat(np.arange(n), np.diff(pattern.indptr)) * n + pattern.indices
        data = np.zeros(pattern.nnz)
        data[np.searchsorted(at, columns * n + result.indices)] = result.data
        result = csc_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)
    return result


def factor(
    matrix: Any,
    shift: float = 0.0,
    *,
    definite: bool = False,
    plan: Plan | None = None,
    low_rank: tuple[Any, Any] | None = None,
) -> Factor:
    r"""Factor a symmetric matrix :math:`A + s I`, or :math:`A + s I + U D U^T`.

    Parameters
    ----------
    matrix : array or sparse array, shape (n, n)
        Symmetric.
    shift : float
        s.
    definite : bool
        Whether only definite matrices are of use: then nothing is done for the inertia of others.
    plan : Plan, optional
        Of an earlier matrix of the pattern, by :func:`analyse`; ``matrix`` then has its index arrays, and is not looked at.
    low_rank : tuple of arrays, optional
        U, shape (n, r), and D, symmetric, shape (r, r).

    Returns
    -------
    Factor
        With ``status`` (a failure is one), ``inertia``, ``solve(b)``, ``logdet`` and ``inverse_diagonal()``.

    Raises
    ------
    OptionError
        The matrix is not symmetric.
    ShapeMismatchError, DtypeError
        It is not square, has no elements or no real numbers, or U and D do not fit.

    Notes
    -----
    What is said of eigenvalues is known: a definite matrix by its Cholesky factor, or by positive pivots on the diagonal that do not
    grow; an inertia by pivots on the diagonal where a solution has a backward error at rounding level. Else the status says that it is
    not known.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.linalg.factoring import factor
    >>> found = factor(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> found.status.name, found.inertia, found.solve([3.0, 3.0]).round(12).tolist(), round(float(np.exp(found.logdet)), 12)
    ('DEFINITE', (2, 0, 0), [1.0, 1.0], 3.0)
    >>> factor(np.array([[1.0, 2.0], [2.0, 1.0]])).inertia
    (1, 1, 0)
    >>> factor(np.ones((2, 2))).status.name
    'SINGULAR'
    """
    if plan is None:
        # Diagonals, as SciPy makes them, do not know their largest entry.
        matrix = matrix.tocsc() if hasattr(matrix, "tocsc") else np.asarray(matrix)
        if matrix.dtype.kind not in "fiub":
            raise DtypeError(message("factor", f"the matrix has dtype {matrix.dtype}", fix="Pass real numbers"))
        finite = np.isfinite(matrix.data if issparse(matrix) else matrix).all()
        if finite or matrix.ndim != 2:
            check_symmetric(matrix, "factor")
        if issparse(matrix):
            matrix = with_diagonal(matrix)
            plan = analyse(matrix)
        else:
            plan = DensePlan(matrix.shape[0])
    found = plan.factor(matrix, float(shift), definite=definite and low_rank is None)
    if low_rank is None:
        return found
    columns, core = (np.asarray(part, np.float64) for part in low_rank)
    if columns.ndim != 2 or columns.shape[0] != plan.order or core.shape != (columns.shape[1],) * 2:
        what = f"U and D have shapes {columns.shape} and {core.shape}, the matrix has order {plan.order}"
        raise ShapeMismatchError(message("factor", what, fix="Pass U of shape (n, r) and D of shape (r, r)"))
    return LowRankFactor(found, columns, core)
