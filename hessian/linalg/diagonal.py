"""Norms of rows for preconditioners, estimated from products with random signs."""

from __future__ import annotations

import numpy as np


def row_norms(images: np.ndarray) -> np.ndarray:
    """Estimate the norms of a matrix's rows from its products with vectors of random signs, in columns.

    The root of the mean of ``(H v)^2`` is off by a quarter, typically, for eight of them (Dauphin, de Vries and Bengio, NeurIPS 28
    (2015)); the mean of ``v * (H v)``, which estimates the entry of the diagonal, has errors as large as the rest of the row.
    """
    largest = np.max(np.abs(images), axis=1)
    # Relative to the largest, so that squares neither vanish nor overflow.
    unit = np.where(largest > 0.0, largest, 1.0)
    return np.asarray(largest * np.sqrt(np.mean((images / unit[:, None]) ** 2, axis=1)))
