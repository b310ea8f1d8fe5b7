"""Statistics of a least-squares fit: what the Jacobian at the solution says about the uncertainty of the parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from hessian.linalg.vectors import norm, row_norms


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of n parameters fitted to m observations with independent errors of one variance.

    Attributes
    ----------
    residual_std : float
        ``s = |r| / sqrt(m - n)``, the estimate of the errors' standard deviation; NaN without degrees of freedom.
    standard_error : ndarray, shape (n,)
        Square roots of the diagonal of ``s^2 (J^T J)^-1``; NaN where the data do not determine all parameters.
    rank : int
        Rank of J, its columns scaled to length 1.
    note : str
        Why there are none, where there are none.
    """

    residual_std: float
    standard_error: np.ndarray
    rank: int
    note: str


def fit_statistics(jacobian: np.ndarray, residuals: np.ndarray, eps: float) -> Statistics:
    r"""Compute the statistics of a fit, to first order in the curvature of the model.

    ``eps`` is the relative rounding of the Jacobian; singular values below ``max(m, n) eps`` times the largest count as zero.

    Notes
    -----
    With ``J D^-1 = U S V^T``, columns of length 1, ``(J^T J)^-1 = B B^T`` for ``B = D^-1 V S^-1``: nothing is squared
    that has to be inverted, and units of parameters do not matter: the errors are norms of rows of B, and no square leaves
    the range of floating point. Cost: one singular value decomposition, n^2 m.

    References
    ----------
    D. M. Bates and D. G. Watts, Nonlinear Regression Analysis and Its Applications (1988), section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize.regression import fit_statistics
    >>> mean = fit_statistics(np.ones((4, 1)), np.array([1.0, -1.0, 1.0, -1.0]), 1e-16)
    >>> round(mean.residual_std**2, 9), (mean.standard_error**2).round(9).tolist()
    (1.333333333, [0.333333333])
    """
    m, n = jacobian.shape
    scale, singular, right, rank = scaled_svd(jacobian, eps)
    if m <= n or rank < n:
        return Statistics(
            norm(residuals) / math.sqrt(m - n) if m > n else math.nan,
            np.full(n, math.nan),
            rank,
            _reason(m, n, rank, right[-1] / scale if rank < min(m, n) else None),
        )
    std = norm(residuals) / math.sqrt(m - n)
    errors = std * row_norms(right.T / singular) / scale
    return Statistics(std, errors, rank, "")


def scaled_svd(matrix: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Decompose a matrix, shape (m, n), with its columns scaled to length 1.

    Returns
    -------
    scale, singular : ndarray, shape (n,)
        Lengths of the columns, 1 for zero columns, and singular values, the largest first.
    right : ndarray, shape (n, n)
        Rows are right singular vectors.
    rank : int
        Singular values above ``max(m, n) eps`` times the largest.
    """
    m, n = matrix.shape
    norms = row_norms(matrix.T)
    scale = np.where(norms > 0.0, norms, 1.0)
    _, singular, right = scipy.linalg.svd(matrix / scale, full_matrices=m < n, check_finite=False)
    singular = np.concatenate([singular, np.zeros(n - len(singular))])
    return scale, singular, right, int(np.sum(singular > max(m, n) * eps * singular[0]))


def _reason(m: int, n: int, rank: int, direction: np.ndarray | None) -> str:
    """Say why the parameters have no covariance, and which of them can make up for each other."""
    if rank == n:
        return (
            f"There are no degrees of freedom, {m} residuals for {n} variables: covariance and standard errors are NaN."
        )
    text = (
        f"The Jacobian has rank {rank} for {n} variables: the residuals do not determine all of them, and covariance and "
        "standard errors are NaN. Fix some variables or add residuals that penalise them."
    )
    if direction is None:
        return text
    order = np.argsort(-np.abs(direction))
    taking_part = [int(j) for j in order[:3] if abs(direction[j]) > 1e-3 * abs(direction[order[0]])]
    return f"{text} A combination that does not change them involves the entries {sorted(taking_part)} of x, raveled."
