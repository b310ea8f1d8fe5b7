"""Lengths of vectors, and vectors drawn at random."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

_NRM2 = {np.dtype(kind): scipy.linalg.get_blas_funcs("nrm2", dtype=kind) for kind in (np.float32, np.float64)}
_DDOT = scipy.linalg.get_blas_funcs("dot", dtype=np.float64)
_LONG, _SAFE = 1000, (1e-280, 1e280)
_NEAR = 1e-15, 1e15
"""Numbers whose squares are far from the ends of single precision."""


def norm(vector: np.ndarray) -> float:
    """2-norm; large entries do not overflow, nor small ones vanish, as in the root of a dot product they would."""
    if vector.ndim == 1 and vector.size > _LONG and vector.dtype == np.float64:
        # A fifth of the time, where no square is near the ends of the range; and no warning where one is.
        square = float(_DDOT(vector, vector))
        if _SAFE[0] < square < _SAFE[1]:
            return math.sqrt(square)
    # BLAS scales. SciPy's own function takes five times as long on short vectors to find this one.
    nrm2 = _NRM2.get(vector.dtype) if vector.ndim == 1 and vector.size else None
    return float(scipy.linalg.norm(vector, check_finite=False) if nrm2 is None else nrm2(vector))


def row_norms(matrix: np.ndarray) -> np.ndarray:
    """2-norms of rows, none of which overflows before it has to."""
    return np.array([norm(row) for row in matrix])


def column_norms(matrix: np.ndarray) -> np.ndarray:
    """2-norms of columns, in double precision, none of which overflows before it has to; one column takes no array as large as itself."""
    if matrix.shape[1] == 1:
        return np.array([norm(matrix[:, 0])])
    largest = float(np.max(np.abs(matrix), initial=0.0))
    if largest and not _NEAR[0] < largest < _NEAR[1]:
        return largest * np.linalg.norm(matrix / largest, axis=0).astype(np.float64)
    return np.asarray(np.linalg.norm(matrix, axis=0), np.float64)


def signs(rng: np.random.Generator, n: int, k: int, dtype: np.dtype) -> np.ndarray:
    """Draw k columns of independent signs."""
    return (2.0 * rng.integers(0, 2, (k, n)) - 1.0).astype(dtype).T


def on_sphere(rng: np.random.Generator, n: int, k: int, dtype: np.dtype) -> np.ndarray:
    """Draw k columns that are uniform on the sphere of radius sqrt(n)."""
    gaussian = rng.standard_normal((k, n))
    return (gaussian * (np.sqrt(n) / np.linalg.norm(gaussian, axis=1, keepdims=True))).astype(dtype).T
