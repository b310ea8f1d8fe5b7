"""Vector arithmetic shared by the solvers."""

from __future__ import annotations

import numpy as np
import scipy.linalg


def norm(vector: np.ndarray) -> float:
    """2-norm; BLAS scales it, so that large entries do not overflow as the root of a dot product would."""
    return float(scipy.linalg.norm(vector, check_finite=False))
