"""A spectral density as a picture shows it: on an axis that suits the spectrum, and nowhere that no eigenvalue can be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hessian.curvature.density_band import gamma_band
from hessian.curvature.misses import MISS
from hessian.curvature.quadrature import Quadrature

_LN10 = math.log(10.0)
_WIDE = 30.0
_POINTS = 512
# Widths: a hundredth of the axis, and no less than 5 % of the eigenvalue; of an estimate, which steps resolve, a tenth of a decade.
_SHARE = 0.01
_LEAST = 0.02
_RESOLVED = 0.1
_MARGIN = 4.0
# A reflected kernel reaches three lengths of its segment: six widths at least, beyond which nothing is left.
_NARROW = 4.0


@dataclass(frozen=True)
class Measured:
    """What a density was made of: a quadrature of what known eigenvalues leave, and where all eigenvalues are.

    ``bounds`` hold for every eigenvalue: up to rounding if exact, else but for a probability of a thousandth. ``resolution`` is
    the distance at which the quadrature tells eigenvalues apart.
    """

    n: int
    rule: Quadrature
    before: Quadrature | None
    known: np.ndarray
    zero_below: float
    bounds: tuple[float, float]
    resolution: float
    is_exact: bool
    level: float
    n_hvp: int
    is_zero_by_threshold: bool = False


@dataclass(frozen=True)
class DensityView:
    r"""A density along an axis.

    On a symlog axis the position of an eigenvalue is :math:`u = \lambda / (c \ln 10)` up to a magnitude of c, and
    :math:`(1 + \ln(|\lambda| / c)) / \ln 10` with its sign beyond: a decade has the length 1, and the position is smooth. Kernels have
    one width along u, so that the width of an eigenvalue follows its magnitude.

    Attributes
    ----------
    axis : {"linear", "symlog"}
    linear_below : float
        c; infinite for a linear axis.
    grid, position : ndarray, shape (m,)
        Eigenvalues and where they are on the axis.
    density : ndarray, shape (m,)
        Share of all eigenvalues per unit of the position.
    band : ndarray, shape (2, m)
    width : float
        Of a kernel, along the position.
    spots : tuple of (float, float, float, float)
        What has no extent on the axis: lowest, mean and highest eigenvalue of each spot, and its share of all.
    zero_share, zero_below : float
        Share of the eigenvalues whose magnitude is no larger than what rounding makes of zero: they are no part of the density.
    """

    axis: str
    linear_below: float
    grid: np.ndarray
    position: np.ndarray
    density: np.ndarray
    band: np.ndarray
    width: float
    spots: tuple[tuple[float, float, float, float], ...]
    zero_share: float
    measured: Measured

    @property
    def zero_below(self) -> float:
        """Magnitude up to which an eigenvalue is zero to rounding."""
        return self.measured.zero_below

    @property
    def single(self) -> float:
        """Height of the kernel of one eigenvalue."""
        return 1.0 / (self.measured.n * self.width * math.sqrt(2.0 * math.pi))

    @property
    def unit(self) -> str:
        """What the density is per."""
        return "decade" if self.axis == "symlog" else "unit"

    def data(self) -> str:
        """Say what was measured and how."""
        of = self.measured
        how = "all eigenvalues" if of.is_exact else f"Lanczos quadrature, {of.n_hvp} products"
        return f"order {of.n}, {how}"

    def title(self) -> str:
        """Say what is drawn, what was measured and how."""
        return f"Spectral density of {self.data().replace(', ', ': ', 1)}"

    def kernel(self) -> str:
        """Say what was smoothed, and by how much."""
        if self.axis == "symlog":
            return f"smoothed by {_LN10 * self.width:.0%} of the eigenvalue"
        return f"smoothed by {self.width:.2g}"

    def notes(self) -> list[str]:
        """Say what the curve does not."""
        of, found = self.measured, []
        if self.zero_share > 0.0:
            count = round(self.zero_share * of.n)
            if of.is_exact or self.zero_share > 1.0 - 1e-9:
                what = f"all {of.n} are zero" if count == of.n else f"{count} of {of.n} are zero"
            else:
                what = f"about {self.zero_share:.2g} of all are zero"
            within = f"(within ±{self.zero_below:.1g})"
            found.append(f"{what} {'as asked' if of.is_zero_by_threshold else 'to rounding'} {within}: not drawn")
        found += self.spot_names()
        low, high = (0.0 if abs(end) <= self.zero_below else end for end in of.bounds)
        if math.isfinite(low) and math.isfinite(high) and self.zero_share < 1.0 - 1e-9:
            sure = "none outside" if of.is_exact else f"with probability {1.0 - MISS:g} none outside"
            found.append(f"{sure} [{low:.3g}, {high:.3g}]")
        elif not of.is_exact and len(self.grid):
            found.append("so few products bound nothing: eigenvalues may be beyond the curve")
        if self.axis == "symlog" and not of.is_exact and np.abs(self.grid).min(initial=math.inf) < self.linear_below:
            width = _LN10 * self.width * self.linear_below
            found.append(
                f"linear within ±{self.linear_below:.1g}, smoothed by {width:.1g}, where the steps tell no more apart"
            )
        return found

    def spot_names(self) -> list[str]:
        """Say how many eigenvalues are in each spot, and where it is."""
        of, found = self.measured, []
        for low, mean, high, share in self.spots:
            where = f"at {mean:.4g}" if high - low <= self.zero_below else f"between {low:.4g} and {high:.4g}"
            count = f"{share * of.n:.0f} of {of.n}" if of.is_exact else f"about {share:.2g} of all"
            count = f"all {of.n}" if share > 1.0 - 1e-9 else count
            found.append(f"{count} {where}")
        return found

    @property
    def floor(self) -> float:
        """Height below which nothing is shown: a tenth of one eigenvalue."""
        return 0.1 * self.single

    def shown(self) -> np.ndarray:
        """Return where the band is high enough to be shown."""
        return self.band[1] >= self.floor

    def below_zero(self) -> float:
        """Return the share of the eigenvalues drawn below zero."""
        low, inside = 0.0, self.grid <= 0.0
        if inside.sum() > 1:
            low = float(np.trapezoid(self.density[inside], self.position[inside]))
        return low + sum(share for _, mean, _, share in self.spots if mean < 0.0)


def view_of(of: Measured, axis: str, linear_below: float | None = None) -> DensityView:
    """Smooth along an axis: ``"linear"``, ``"symlog"``, or by the spectrum ``"auto"``."""
    nodes, weights = _weighted(of.rule, of)
    alive = np.abs(nodes) > of.zero_below
    zero_share = float(weights[~alive].sum())
    zero_share = zero_share if zero_share > 1e-9 else 0.0
    sizes = np.abs(nodes[alive])
    wide = bool(sizes.size) and float(sizes.max()) >= _WIDE * float(sizes.min())
    if axis == "auto":
        axis = "symlog" if wide else "linear"
    smallest = float(sizes.min()) if sizes.size else 1.0
    if axis == "symlog":
        least = of.resolution / (_RESOLVED * _LN10)
        c = (
            max(smallest if of.is_exact else max(least, smallest), of.zero_below)
            if linear_below is None
            else linear_below
        )
    else:
        c = math.inf
    position = _Position(c)
    segments = _segments(of, nodes[alive], position)
    span = sum(b - a for a, b in segments)
    width = max(_SHARE * span, _LEAST) if axis == "symlog" else 2.0 * _SHARE * span
    if not of.is_exact:
        width = max(width, position.resolved(of.resolution))
    width = width or abs(smallest)
    spots, drawn = [], []
    for a, b in segments:
        u = position(nodes)
        chosen = alive & (u >= a) & (u <= b)
        if b - a > _NARROW * width and float(position.back(b) - position.back(a)) > _NARROW * of.zero_below:
            drawn.append((a, b))
        elif weights[chosen].sum() > 0.0:
            inside = nodes[chosen & (weights > 0.0)]
            share = float(weights[chosen].sum())
            mean = float(np.clip(weights[chosen] @ nodes[chosen] / share, inside.min(), inside.max()))
            spots.append((float(inside.min()), mean, float(inside.max()), share))
    points, density, band = _curves(of, drawn, position, width)
    return DensityView(axis, c, position.back(points), points, density, band, width, tuple(spots), zero_share, of)


class _Position:
    """Where an eigenvalue is on the axis."""

    def __init__(self, c: float) -> None:
        self.c = c

    def __call__(self, t: np.ndarray | float) -> np.ndarray:
        t = np.asarray(t, float)
        if math.isinf(self.c):
            return t
        size = np.abs(t) / self.c
        return np.sign(t) * np.where(size <= 1.0, size, 1.0 + np.log(np.maximum(size, 1.0))) / _LN10

    def back(self, u: np.ndarray | float) -> np.ndarray:
        """Return the eigenvalues at positions."""
        if math.isinf(self.c):
            return np.asarray(u, float)
        size = np.abs(u) * _LN10
        return np.sign(u) * self.c * np.where(size <= 1.0, size, np.exp(np.maximum(size, 1.0) - 1.0))

    def resolved(self, distance: float) -> float:
        """Length on the axis of a distance between eigenvalues, where it is longest."""
        return distance if math.isinf(self.c) else distance / (self.c * _LN10)


def _weighted(rule: Quadrature, of: Measured) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and their shares of the whole spectrum, with the known eigenvalues."""
    share = rule.n / of.n / len(rule.nodes)
    nodes = np.concatenate([rule.nodes.ravel(), of.known])
    return nodes, np.concatenate([share * rule.weights.ravel(), np.full(len(of.known), 1.0 / of.n)])


def _segments(of: Measured, nodes: np.ndarray, position: _Position) -> list[tuple[float, float]]:
    """Return the parts of the axis where eigenvalues can be: of exact ones none is between the largest negative and the least positive."""
    if not nodes.size:
        return []
    if of.is_exact:
        sides = [side for side in (nodes[nodes < 0.0], nodes[nodes > 0.0]) if side.size]
        return [(float(position(side.min())), float(position(side.max()))) for side in sides]
    low, high = of.bounds
    reach = _MARGIN * of.resolution
    low = low if math.isfinite(low) else float(nodes.min()) - reach
    high = high if math.isfinite(high) else float(nodes.max()) + reach
    return [(float(position(low)), float(position(high)))]


def _curves(
    of: Measured, segments: list[tuple[float, float]], position: _Position, width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the kernels of each segment, reflected at its ends."""
    points, density, bands = [np.zeros(0)], [np.zeros(0)], [np.zeros((2, 0))]
    total = sum(b - a for a, b in segments)
    for a, b in segments:
        u = np.linspace(a, b, max(16, int(_POINTS * (b - a) / total)))
        # Steps down to zero at the ends, so that the curve says that there is nothing beyond.
        points.append(np.concatenate([[a], u, [b]]))
        curve = _smoothed(of.rule, of, u, (a, b), position, width)
        density.append(np.pad(curve, 1))
        bands.append(np.pad(_limits(of, curve, u, (a, b), position, width), ((0, 0), (1, 1))))
    return np.concatenate(points), np.concatenate(density), np.concatenate(bands, axis=1)


def _smoothed(
    rule: Quadrature, of: Measured, u: np.ndarray, ends: tuple[float, float], position: _Position, width: float
) -> np.ndarray:
    nodes, weights = _weighted(rule, of)
    at = position(nodes)
    chosen = (np.abs(nodes) > of.zero_below) & (weights > 0.0) & (at >= ends[0]) & (at <= ends[1])
    at, weights = at[chosen], weights[chosen]
    density = np.zeros(len(u))
    for start in range(0, len(at), _POINTS):
        density += _kernels(u, at[start : start + _POINTS], ends, width) @ weights[start : start + _POINTS]
    return density / (width * math.sqrt(2.0 * math.pi))


def _kernels(u: np.ndarray, at: np.ndarray, ends: tuple[float, float], width: float) -> np.ndarray:
    """Gaussians of height 1, reflected at both ends: nothing is beyond, nothing is lost, and even spectra stay even."""
    sources = (at, 2.0 * ends[0] - at, 2.0 * ends[1] - at)
    return sum(np.exp(-0.5 * ((u[:, None] - source[None]) / width) ** 2) for source in sources)


def _limits(
    of: Measured, curve: np.ndarray, u: np.ndarray, ends: tuple[float, float], position: _Position, width: float
) -> np.ndarray:
    """Return the band: of exact eigenvalues the curve itself."""
    if of.is_exact:
        return np.stack([curve, curve])
    empty = Quadrature(np.zeros((1, 0)), np.zeros((1, 0)), 0)
    fixed = _smoothed(empty, of, u, ends, position, width)
    unknown = replace(of, known=np.zeros(0))
    share = of.rule.n / of.n
    before = curve if of.before is None else _smoothed(of.before, of, u, ends, position, width)
    nodes = of.rule.nodes[of.rule.weights > 0.0]
    # Reflected kernels are higher near the ends.
    raised = np.max(_kernels(u, u, ends, width), axis=1)
    estimated = _smoothed(of.rule, unknown, u, ends, position, width) / share
    truncation = np.abs(curve - before) / share
    band = gamma_band(
        estimated, truncation, u, width, of.rule.n, len(of.rule.nodes), position(nodes), of.level, raised=raised
    )
    return fixed + share * band
