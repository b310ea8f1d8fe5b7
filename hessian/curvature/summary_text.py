"""How a summary of curvature looks, in a terminal and in a notebook."""

from __future__ import annotations

import html
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from hessian.curvature.estimate import with_error

if TYPE_CHECKING:
    from hessian.curvature.summary import CurvatureSummary

_BARS = " ▁▂▃▄▅▆▇█"
_COLUMNS = 48


def rows(found: CurvatureSummary) -> list[tuple[str, str]]:
    """Return the table: what, and its value with its uncertainty."""
    pairs = found.eigenvalues
    k = len(pairs.values)
    low, high = range(k // 2), reversed(range(k // 2, k))
    table = [
        ("largest eigenvalues", _listed(found, list(high))),
        ("smallest eigenvalues", _listed(found, list(low))),
        ("trace", with_error(found.trace.value, found.trace.standard_error, found.trace.is_exact)),
        (
            "Frobenius norm",
            with_error(found.frobenius_norm.value, found.frobenius_norm.standard_error, found.frobenius_norm.is_exact),
        ),
    ]
    if found.logdet is None:
        table.append(("log-determinant", "none: not seen to be positive definite"))
    else:
        table.append(
            ("log-determinant", with_error(found.logdet.value, found.logdet.standard_error, found.logdet.is_exact))
        )
    table.append(("signs", found.inertia.counts()))
    bound = "" if found.is_exact or math.isinf(found.condition_number) else "at least "
    table.append(("condition number", f"{bound}{found.condition_number:.4g}"))
    return table


def heading(found: CurvatureSummary) -> str:
    """Return what was looked at, and at what price."""
    how = "all eigenvalues" if found.is_exact else "estimates with standard errors"
    return f"Curvature of order {found.n}, from {found.n_hvp} products: {how}"


def as_text(found: CurvatureSummary) -> str:
    """Write a summary for a terminal."""
    table = rows(found)
    width = max(len(name) for name, _ in table)
    lines = [heading(found), *(f"  {name:<{width}}  {value}" for name, value in table)]
    density = found.density
    heights = _heights(found)
    if heights.any():
        bars = "".join(_BARS[int(level)] for level in np.ceil(heights / heights.max() * (len(_BARS) - 1)))
        low, high = density.grid[0], density.grid[-1]
        lines.append(f"  {'density (log scale)':<{width}}  {low:.3g} |{bars}| {high:.3g}")
    return "\n".join(lines)


def as_html(found: CurvatureSummary) -> str:
    """Write a summary for a notebook: a table, and the density with its band as a picture."""
    body = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th><td style="text-align:left">{html.escape(value)}</td></tr>'
        for name, value in rows(found)
    )
    return f"<div><p>{html.escape(heading(found))}</p><table>{body}</table>{_picture(found)}</div>"


def _listed(found: CurvatureSummary, positions: list[int]) -> str:
    """Write eigenvalues with the bounds on their errors."""
    pairs = found.eigenvalues
    scale = float(np.abs(pairs.values).max())
    parts = []
    for k in positions:
        value, bound = float(pairs.values[k]), float(pairs.residuals[k])
        # Below a millionth of the scale, a bound would only be noise to read.
        parts.append(f"{value:.6g}" if bound <= 1e-6 * scale else with_error(value, bound, False))
    return ", ".join(parts) if parts else "none"


def _heights(found: CurvatureSummary) -> np.ndarray:
    """Heights of the text picture: the logarithm of the density above what one eigenvalue in a hundred n would show."""
    density = found.density
    edges = np.linspace(0, len(density.grid), _COLUMNS + 1).astype(int)
    columns = np.array([density.density[a:b].max(initial=0.0) for a, b in pairwise(edges)])
    floor = 0.1 / (found.n * density.width * math.sqrt(2.0 * math.pi))
    return np.log1p(columns / floor)


def _picture(found: CurvatureSummary) -> str:
    """Draw the density as SVG, on a logarithmic scale."""
    density = found.density
    width, height, margin = 480, 160, 24
    floor = 0.1 / (found.n * density.width * math.sqrt(2.0 * math.pi))
    curves = [np.log1p(np.maximum(curve, 0.0) / floor) for curve in (density.density, *density.band)]
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
