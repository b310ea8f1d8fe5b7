"""Dense symmetric matrices: their symmetric part, eigenpairs, those that are wanted of them, systems."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.linalg


def symmetrized(matrix: np.ndarray, dtype: Any = np.float64) -> np.ndarray:
    """Symmetric part, in float64 or another precision; halved before it is added, so that large entries do not overflow."""
    half = 0.5 * matrix.astype(dtype)
    return np.asarray(half + half.T)


def eigh(matrix: np.ndarray, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Return all eigenvalues of the symmetric part, ascending, and their eigenvectors in columns.

    Of the symmetric part, because LAPACK would read one triangle with its rounding errors.
    """
    return scipy.linalg.eigh(symmetrized(matrix, dtype), driver="evd")


def pick(values: np.ndarray, k: int, which: str) -> np.ndarray:
    """Positions of k wanted among ascending values, ascending: ``"LA"``, ``"SA"``, ``"LM"``, ``"SM"`` or ``"BE"``, as SciPy's."""
    n = len(values)
    if which == "LA":
        return np.arange(n - k, n)
    if which == "SA":
        return np.arange(k)
    if which == "BE":
        return np.concatenate([np.arange(k // 2), np.arange(n - (k - k // 2), n)])
    order = np.argsort(np.abs(values), kind="stable")
    return np.sort(order[n - k :] if which == "LM" else order[:k])


def eigenpairs(matrix: np.ndarray, k: int, which: str) -> tuple[np.ndarray, np.ndarray]:
    """Return k wanted eigenvalues, ascending, and their eigenvectors in columns, in the precision of the matrix."""
    values, vectors = eigh(matrix, matrix.dtype)
    picked = pick(values, k, which)
    return values[picked], vectors[:, picked]


def solve(matrix: np.ndarray, rhs: np.ndarray) -> Any:
    """Solve a symmetric system by an indefinite factorisation (LAPACK sysv).

    Raises
    ------
    LinAlgError, LinAlgWarning
        It is singular, or so ill-conditioned that the answer would have no digits.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", scipy.linalg.LinAlgWarning)
        return scipy.linalg.solve(symmetrized(matrix, matrix.dtype), rhs, assume_a="sym")
