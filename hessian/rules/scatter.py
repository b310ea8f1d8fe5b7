"""Sums at positions: what several places of a result send back to one."""

from __future__ import annotations

import numpy as np

_LONG = 512
"""Positions from which on a call for each row costs less than positions in all rows."""


def add_in_rows(out: np.ndarray, positions: np.ndarray, g: np.ndarray) -> None:
    """Add at positions along the last axis of an array in order, which ``ufunc.at`` does ten to thirty times as fast on a single axis."""
    flat, size = positions.ravel(), out.shape[-1]
    if out.ndim == 1:
        np.add.at(out, flat, g.ravel())
    elif flat.size > _LONG:
        for row, values in zip(out.reshape(-1, size), g.reshape(-1, flat.size), strict=True):
            np.add.at(row, flat, values)
    else:
        # A hole, position -1, falls on the spare element of the row before.
        starts = np.arange(0, out.size, size)
        np.add.at(out.reshape(-1), np.add.outer(starts, flat).ravel(), g.ravel())
