"""A spectral density as a line of bars, and as a picture for notebooks, with logarithmic heights."""

from __future__ import annotations

from html import escape
from itertools import pairwise

import numpy as np

from hessian.curvature.density_view import DensityView
from hessian.text import sparkline

_COLUMNS = 48


def bars(view: DensityView) -> str:
    """Draw the density between the ends of its axis; nothing where it has no curve."""
    if not len(view.grid):
        return ""
    shown = view.position[view.shown()]
    edges = np.linspace(shown[0], shown[-1], _COLUMNS + 1)
    columns = np.array(
        [view.density[(view.position >= a) & (view.position <= b)].max(initial=0.0) for a, b in pairwise(edges)]
    )
    line = sparkline(np.log1p(columns / view.floor))
    ends = view.grid[view.shown()]
    return f"{ends[0]:.3g} |{line}| {ends[-1]:.3g}"


def caption(view: DensityView) -> list[str]:
    """Say what the picture shows, and what it does not."""
    scale = "axis logarithmic on both sides of 0" if view.axis == "symlog" else "linear axis"
    drawn = [f"{scale}, logarithmic heights, {view.kernel()}"] if len(view.grid) else []
    return [*drawn, *view.notes()]


def picture(view: DensityView) -> str:
    """Draw the density as SVG, with its caption below."""
    below = "".join(f"<div>{escape(note)}</div>" for note in caption(view))
    if not len(view.grid):
        return below
    width, height, margin = 480, 160, 24
    shown = view.shown()
    grid, position = view.grid[shown], view.position[shown]
    curves = [np.log1p(np.maximum(curve[shown], 0.0) / view.floor) for curve in (view.density, *view.band)]
    top = max(float(curve.max()) for curve in curves) or 1.0
    x = margin + (width - 2 * margin) * (position - position[0]) / np.ptp(position)
    line, low, high = (height - margin - (height - 2 * margin) * curve / top for curve in curves)

    def path(xs: np.ndarray, ys: np.ndarray) -> str:
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))

    band = path(np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]]))
    ends = [(margin, grid[0], "start"), (width - margin, grid[-1], "end")]
    if grid[0] < 0.0 < grid[-1]:
        zero = margin - (width - 2 * margin) * position[0] / np.ptp(position)
        # Beside the others only where there is room.
        ends += [(zero, 0.0, "middle")] if 2.5 * margin < zero - margin < width - 4.5 * margin else []
    labels = "".join(
        f'<text x="{a:.0f}" y="{height - 6}" font-size="11" text-anchor="{anchor}" fill="currentColor">{value:.3g}</text>'
        for a, value, anchor in ends
    )
    title = view.title() + ("" if view.measured.is_exact else f", with the band of {view.measured.level:.0%}")
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">'
        f'<text x="{margin}" y="14" font-size="11" fill="currentColor">{title}</text>'
        f'<polygon points="{band}" fill="#0072B2" fill-opacity="0.25"/>'
        f'<polyline points="{path(x, line)}" fill="none" stroke="#0072B2" stroke-width="1.5"/>'
        f'<line x1="{margin}" y1="{height - margin}" x2="{width - margin}" y2="{height - margin}" stroke="currentColor"/>'
        f"{labels}</svg>{below}"
    )
