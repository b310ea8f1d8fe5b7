"""Dense symmetric matrices: their symmetric part, eigenpairs, those that are wanted of them, systems."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.linalg

from hessian.linalg import limits


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


def values_and_ends(matrix: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all eigenvalues of a symmetric matrix, ascending, positions of k from both ends, and the eigenvectors of these.

    One reduction to a tridiagonal matrix serves both: a third of the time of all eigenvectors, and no second n x n array. What has
    to be orthonormal, in clusters too, is made so by the solver of the tridiagonal matrix.
    """
    picked = pick(np.arange(len(matrix)), k, "BE")
    if len(matrix) <= limits.SPECTRUM_ORDER:
        values, vectors = eigh(matrix, matrix.dtype)
        return values, picked, vectors[:, picked]
    reduce, work = scipy.linalg.get_lapack_funcs(("sytrd", "sytrd_lwork"), (matrix,))
    # Columns of LAPACK's lower triangle are rows of NumPy's upper one.
    factors, d, e, tau, _ = reduce(
        matrix.T.copy(order="F"), lower=1, lwork=int(work(len(matrix), lower=1)[0]), overwrite_a=1
    )
    values = scipy.linalg.eigvalsh_tridiagonal(d, e)
    ends = [range(k // 2), range(len(matrix) - (k - k // 2), len(matrix))]
    parts = [
        scipy.linalg.eigh_tridiagonal(d, e, select="i", select_range=(end[0], end[-1]))[1] for end in ends if len(end)
    ]
    vectors = np.concatenate(parts, axis=1)
    for j in range(len(tau) - 1, -1, -1):
        reflector = np.concatenate([[1.0], factors[j + 2 :, j]]).astype(matrix.dtype)
        rest = vectors[j + 1 :]
        rest -= np.outer(tau[j] * reflector, reflector @ rest)
    return values, picked, vectors


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
