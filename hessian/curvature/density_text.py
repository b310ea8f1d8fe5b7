"""A spectral density as a line of bars, and as a picture for notebooks, both on a logarithmic scale."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from hessian.curvature.density import SpectralDensity
from hessian.text import sparkline

_COLUMNS = 48


def _floor(density: SpectralDensity, n: int) -> float:
    """Height of what one eigenvalue in ten n would show."""
    return 0.1 / (n * density.width * math.sqrt(2.0 * math.pi))


def bars(density: SpectralDensity, n: int) -> str:
    """Draw the density between the ends of its grid; nothing where it is nowhere above the floor."""
    edges = np.linspace(0, len(density.grid), _COLUMNS + 1).astype(int)
    columns = np.array([density.density[a:b].max(initial=0.0) for a, b in pairwise(edges)])
    heights = np.log1p(columns / _floor(density, n))
    return f"{density.grid[0]:.3g} |{sparkline(heights)}| {density.grid[-1]:.3g}" if heights.any() else ""


def picture(density: SpectralDensity, n: int) -> str:
    """Draw the density as SVG, on a logarithmic scale."""
    width, height, margin = 480, 160, 24
    curves = [np.log1p(np.maximum(curve, 0.0) / _floor(density, n)) for curve in (density.density, *density.band)]
    top = max(float(curve.max()) for curve in curves) or 1.0
    x = margin + (width - 2 * margin) * (density.grid - density.grid[0]) / np.ptp(density.grid)
    line, low, high = (height - margin - (height - 2 * margin) * curve / top for curve in curves)

    def path(xs: np.ndarray, ys: np.ndarray) -> str:
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))

    band = path(np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]]))
    labels = "".join(
        f'<text x="{a:.0f}" y="{height - 6}" font-size="11" text-anchor="{anchor}" fill="currentColor">{value:.3g}</text>'
        for a, value, anchor in ((margin, density.grid[0], "start"), (width - margin, density.grid[-1], "end"))
    )
    title = f"spectral density, log scale, smoothed by {density.width:.2g}"
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">'
        f'<text x="{margin}" y="14" font-size="11" fill="currentColor">{title}</text>'
        f'<polygon points="{band}" fill="#0072B2" fill-opacity="0.25"/>'
        f'<polyline points="{path(x, line)}" fill="none" stroke="#0072B2" stroke-width="1.5"/>'
        f'<line x1="{margin}" y1="{height - margin}" x2="{width - margin}" y2="{height - margin}" stroke="currentColor"/>'
        f"{labels}</svg>"
    )
