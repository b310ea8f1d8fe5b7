"""Matrices whose spectra are known."""

from __future__ import annotations

import numpy as np


def with_spectrum(spectrum: np.ndarray, seed: int = 0) -> np.ndarray:
    """A dense symmetric matrix with random eigenvectors."""
    n = len(spectrum)
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    matrix = (q * spectrum) @ q.T
    return 0.5 * (matrix + matrix.T)
