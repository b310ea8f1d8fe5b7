"""Vector arithmetic shared by the solvers."""

from __future__ import annotations

import numpy as np
import scipy.linalg


def symmetrized(matrix: np.ndarray) -> np.ndarray:
    """Symmetric part in float64; halved before it is added, so that large entries do not overflow."""
    half = 0.5 * matrix.astype(np.float64)
    return np.asarray(half + half.T)


def norm(vector: np.ndarray) -> float:
    """2-norm; BLAS scales it, so that large entries do not overflow as the root of a dot product would."""
    return float(scipy.linalg.norm(vector, check_finite=False))
