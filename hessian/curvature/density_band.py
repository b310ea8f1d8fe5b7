"""Limits of an estimated spectral density that hold on its whole grid at once."""

from __future__ import annotations

import math

import numpy as np
import scipy.special


def gamma_band(
    density: np.ndarray,
    truncation: np.ndarray,
    points: np.ndarray,
    width: float,
    n: int,
    p: int,
    nodes: np.ndarray,
    level: float,
    *,
    raised: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Invert the gamma distribution in its shape; kernels are at most ``raised`` times as high as a Gaussian, at each point."""
    places = max(1.0, float(nodes.max() - nodes.min()) / width)
    tail = 0.5 * (1.0 - level) / places
    peak = raised * 2.0 / (width * math.sqrt(2.0 * math.pi)) / ((n + 2) * p)
    # Away from all nodes no eigenvalue contributes by the peak of K: the scale is as much smaller as K is at the nearest.
    ordered = np.sort(nodes)
    after = np.minimum(np.searchsorted(ordered, points), len(ordered) - 1)
    nearest = np.minimum(np.abs(points - ordered[np.maximum(after - 1, 0)]), np.abs(points - ordered[after]))
    away = np.maximum(peak * np.exp(-0.5 * np.minimum(nearest / width, 30.0) ** 2), 1e-200 * peak)
    low, high = ([scale * _shape(density / scale, p) for scale in (peak, away)] for p in (1.0 - tail, tail))
    lower = np.where(density > 0.0, np.minimum(*low), 0.0)
    return np.stack([np.maximum(0.0, lower - truncation), np.maximum(*high) + truncation])


def _shape(seen: np.ndarray, probability: float) -> np.ndarray:
    """Solve ``gammainc(shape, seen) = probability`` for the shape, by bisection in its logarithm."""
    seen = np.maximum(seen, 1e-300)
    low, high = np.full(seen.shape, -30.0), np.log(4.0 * seen + 200.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        # A larger shape moves the variable up, and the probability of being below what was seen down.
        below = scipy.special.gammainc(np.exp(middle), seen) > probability
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.exp(0.5 * (low + high))
