"""The spectral density of an operator, with a confidence band."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hessian.arguments import INSIDE, NOT_NEGATIVE, POSITIVE, Rng, as_generator, check, real_number, whole_number
from hessian.curvature.density_band import gamma_band
from hessian.curvature.density_view import DensityView, Measured, view_of
from hessian.curvature.misses import MISS, beyond
from hessian.curvature.products import Products
from hessian.curvature.quadrature import Quadrature, Runs, joined
from hessian.errors import OptionError, message
from hessian.text import Shown

# A Gaussian of width w times the range is resolved to 1e-3 by 1/w steps: its Chebyshev coefficients fall as exp(-(2 w j)^2 / 2),
# and the quadrature is exact up to j = 2/w - 1.
_STEPS_PER_RANGE = 1.0
# The L1 distance expected of the default width: 0.8 (0.57 / (n B))^(1/2) / w for B products in p = w B vectors.
_DISTANCE = 0.02
_WIDTHS = (0.02, 0.12)
_EXACT_WIDTH = 0.05
_MARGIN = 4.0
AXES = ("auto", "linear", "symlog")


@dataclass(frozen=True, eq=False, repr=False)
class SpectralDensity(Shown):
    """A smoothed density of eigenvalues.

    Attributes
    ----------
    grid : ndarray, shape (m,)
    density : ndarray, shape (m,)
        Integrates to 1.
    band : ndarray, shape (2, m)
        Lower and upper limits that hold on the whole grid at once, with the probability ``level``.
    width : float
        Standard deviation of the Gaussian that every eigenvalue is smoothed to.
    nodes, weights : ndarray, shape (p, k)
        The quadrature behind it, one row per test vector; the eigenvalues where it is exact.
    n_hvp : int
    method : str
    level : float
    bounds : tuple of float
        No eigenvalue is outside: up to rounding if exact, else but for a probability of a thousandth. Infinite where nothing bounds.
    """

    grid: np.ndarray
    density: np.ndarray
    band: np.ndarray
    width: float
    nodes: np.ndarray
    weights: np.ndarray
    n_hvp: int
    method: str
    level: float
    _measured: Measured

    @property
    def bounds(self) -> tuple[float, float]:
        """Where all eigenvalues are."""
        return self._measured.bounds

    def view(
        self, axis: Literal["auto", "linear", "symlog"] = "auto", *, linear_below: float | None = None
    ) -> DensityView:
        """Return the density along a linear axis or a symmetric logarithmic one, as pictures show it.

        There kernels are reflected at the ends of :attr:`bounds`, beyond which nothing is, and eigenvalues that are zero to rounding are
        counted apart. On a symlog axis their width follows the eigenvalue.

        Parameters
        ----------
        axis : {"auto", "linear", "symlog"}
            ``"auto"`` takes symlog where magnitudes are a factor 30 apart.
        linear_below : float, optional
            Magnitude up to which the symlog axis is linear; by default the smallest that is not zero to rounding, or where that is
            larger what the steps tell apart.

        Raises
        ------
        OptionError
            The axis is unknown, or ``linear_below`` is not positive.
        """
        if axis not in AXES:
            raise OptionError(message("view", f"axis is {axis!r}", fix=f"Pass one of: {', '.join(AXES)}"))
        if linear_below is not None:
            check("view", "linear_below", linear_below, POSITIVE)
        return view_of(self._measured, axis, linear_below)

    @property
    def is_exact(self) -> bool:
        """Whether it is made of all eigenvalues."""
        return self.method == "exact"

    def __repr__(self) -> str:
        low, high = self.nodes.min(), self.nodes.max()
        return f"spectral density on [{low:.4g}, {high:.4g}], width {self.width:.2g} ({self.method}, {self.n_hvp} products)"


def spectral_density(
    H: Any,
    max_hvp: int | None = None,
    *,
    width: float | None = None,
    grid: Any = None,
    steps: int | None = None,
    level: float = 0.95,
    rng: Rng = 0,
) -> SpectralDensity:
    r"""Estimate :math:`\phi(t) = \frac1n \sum_i K(t - \lambda_i)`, K a Gaussian.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    max_hvp : int, optional
        Products at most; 100 by default. If n is not larger, the density is exact; up to n = 5000 so it is for a matrix, and for a
        Hessian whose pattern gives it by so few products.
    width : float, optional
        Standard deviation of K, at least the range by the number of steps; by default that, as many of them as leave
        enough test vectors for an expected L1 distance of 0.02 from the exact density; a twentieth of the range if that is exact.
    grid : array_like, optional
        Where to evaluate; by default 512 points over the range and four widths on either side.
    steps : int, optional
        Lanczos steps per test vector; by default as many as the width takes.
    level : float
        Of the band.
    rng : int, numpy.random.Generator or None
        Seed of the test vectors.

    Returns
    -------
    SpectralDensity
        ``.grid``, ``.density``, ``.band``.

    Raises
    ------
    OptionError
        An option is out of range, H is not symmetric, or the width is less than the steps resolve.

    Notes
    -----
    Stochastic Lanczos quadrature: k steps from a random unit vector x give nodes and weights with
    :math:`x \cdot f(H) x \approx \sum_j \tau_j f(\theta_j)`, exact for polynomials up to degree 2k - 1. Averaged over p vectors.

    The band: :math:`x \cdot f(H)x` is a mean of :math:`f(\lambda_i) z_i^2`, hence close to a gamma variable. Its mean is
    :math:`\phi`, and by :math:`f = K(t - \cdot) \le K(0)` its variance is at most :math:`\frac{2}{n+2} K(0) \phi`: a gamma
    variable of scale :math:`s = 2 K(0) / ((n+2) p)` and shape :math:`\phi / s`. Inverting its tail probabilities in the shape
    gives limits of the kind that a Poisson count has, which neither go below zero nor vanish where few eigenvalues were seen.
    Far from all nodes that scale is too large, where lower limits are concerned: the band is the wider one of that with K(0)
    and that with K at the nearest node. Tails are those of one point divided by the number of widths in the range
    (Bonferroni). To that is added what the last two Lanczos steps still changed at each point, averaged over vectors.

    Cost: p k products, p at a time, and k p vectors of memory.

    References
    ----------
    L. Lin, Y. Saad and C. Yang, "Approximating spectral densities of large matrices", SIAM Review 58 (2016), section 3.2.
    B. Ghorbani, S. Krishnan and Y. Xiao, "An investigation into neural net optimization via Hessian eigenvalue density" (2019).
    F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936).

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import spectral_density
    >>> spectral_density(np.diag([1.0, 2.0, 5.0]))
    spectral density on [1, 5], width 0.2 (exact, 0 products)
    """
    where = "spectral_density"
    products = Products(H, where)
    max_hvp = (
        100 if max_hvp is None else whole_number(where, "max_hvp", max_hvp, 4, "A density takes a few Lanczos steps")
    )
    generator = as_generator(rng, where)
    if width is not None and not real_number(where, "width", width, NOT_NEGATIVE):
        raise OptionError(message(where, "width is 0", "A density of points is not a function", "Pass a number > 0"))
    check(where, "level", level, INSIDE)
    if products.is_formed(max_hvp):
        rule = Quadrature.of(products.eigenvalues())
        return density_of(rule, None, products, exact=True, width=width, grid=grid, level=level)
    rule, before = _run(products, max_hvp, width, steps, generator)
    return density_of(rule, None, products, exact=False, before=before, width=width, grid=grid, level=level)


def density_of(
    rule: Quadrature,
    known: np.ndarray | None,
    products: Products,
    *,
    exact: bool,
    before: Quadrature | None = None,
    width: float | None = None,
    grid: Any = None,
    level: float = 0.95,
    ritz: np.ndarray | None = None,
    lower_bound: float = -math.inf,
) -> SpectralDensity:
    """Smooth a quadrature of what known eigenvalues leave; all eigenvalues are their own quadrature.

    ``ritz`` are values of another Krylov space, beyond which the ends of the spectrum are; below ``lower_bound`` is nothing.
    """
    n, share = products.n, rule.n / products.n
    known = np.zeros(0) if known is None else known
    seen = np.concatenate([rule.nodes[rule.weights > 0.0], known])
    largest = float(np.abs(seen).max())
    products.require_size(largest)
    resolution = _EXACT_WIDTH if exact else _STEPS_PER_RANGE / rule.nodes.shape[1]
    width, points = _frame(seen, width, resolution, grid, products)
    fixed = _smoothed(Quadrature.of(known, n), points, width)
    density = _smoothed(rule, points, width)
    # What the last steps changed bounds what the next ones would: convergence is geometric.
    truncation = np.zeros(len(points)) if before is None else np.abs(density - _smoothed(before, points, width))
    if exact:
        # What rounding moves an eigenvalue by, times the steepest slope of K.
        rounding = products.rounding(float(np.abs(seen).max()))
        moved = rounding * math.exp(-0.5) / (math.sqrt(2.0 * math.pi) * width**2)
        band = np.stack([np.maximum(density - moved, 0.0), density + moved])
    else:
        band = gamma_band(density, truncation, points, width, rule.n, rule.nodes.shape[0], seen, level)
    p = rule.nodes.shape[0]
    nodes = np.concatenate([rule.nodes, np.broadcast_to(known, (p, len(known)))], axis=1)
    weights = np.concatenate([share * rule.weights, np.full((p, len(known)), 1.0 / n)], axis=1)
    return SpectralDensity(
        points,
        fixed + share * density,
        fixed + share * band,
        width,
        nodes,
        weights,
        products.count,
        "exact" if exact else "Lanczos quadrature",
        level,
        _measured(rule, before, known, products, exact, ritz, lower_bound, level),
    )


def _measured(
    rule: Quadrature,
    before: Quadrature | None,
    known: np.ndarray,
    products: Products,
    exact: bool,
    ritz: np.ndarray | None,
    lower_bound: float,
    level: float,
) -> Measured:
    """Say what a density is made of: where eigenvalues can be, and what distance between them is seen."""
    seen = np.concatenate([rule.nodes[rule.weights > 0.0], known])
    low, high = float(seen.min()), float(seen.max())
    zero = products.zero_cut(max(abs(low), abs(high)))
    resolution = 0.0
    if ritz is not None:
        low, high = min(low, float(ritz.min())), max(high, float(ritz.max()))
    is_moving = np.zeros((1, 1), bool) if exact or before is rule else _moving(rule, before, zero)
    if is_moving.any():
        # Steps that found the others are lost for these, which reach over the gaps between as many.
        steps, gaps = rule.nodes.shape[1], int(is_moving.sum(axis=1).max()) - 1
        inside = rule.nodes[is_moving] if gaps else rule.nodes[rule.weights > 0.0]
        resolution = _STEPS_PER_RANGE * float(np.ptp(inside)) / (gaps or steps)
        nodes = rule.nodes[rule.weights > 0.0]
        far = beyond(rule.n, steps, float(np.ptp(nodes)), MISS)
        low, high = min(low, float(nodes.min()) - far), max(high, float(nodes.max()) + far)
    # A bound may be above the lowest node by rounding.
    low = max(low, min(lower_bound, float(seen.min())))
    by = zero == products.floor > 0.0
    return Measured(products.n, rule, before, known, zero, (low, high), resolution, exact, level, products.count, by)


def _moving(rule: Quadrature, before: Quadrature | None, zero: float) -> np.ndarray:
    """Return which nodes the last steps still moved: those that stand still are eigenvalues, and the others share the steps."""
    moving = rule.weights > 0.0
    if before is None:
        return moving
    near = 1e-6 * float(np.ptp(rule.nodes)) + zero
    for row, old, mask in zip(rule.nodes, before.nodes, moving, strict=True):
        mask &= np.min(np.abs(row[:, None] - old[None]), axis=1) > near
    return moving


def _run(
    products: Products, max_hvp: int, width: float | None, steps: int | None, rng: np.random.Generator
) -> tuple[Quadrature, Quadrature]:
    """Return the quadrature and the one of two steps before: two vectors first, then as many more as the budget allows."""
    limit = min(products.n, max_hvp // 2)
    asked = None if steps is None else whole_number(products.where, "steps", steps, 2)
    runs = Runs(products, 2, rng)
    if asked is not None:
        k = min(limit, asked)
    elif width is None:
        k = min(limit, math.ceil(_STEPS_PER_RANGE / _default_width(products.n, max_hvp)))
    else:
        k = min(limit, 8)
    while runs.steps < k and not runs.is_complete:
        runs.grow()
        if runs.steps == k and asked is None and width is not None:
            # The range comes out with the steps.
            k = min(limit, max(k, math.ceil(_STEPS_PER_RANGE * _range(runs) / width)))
    if width is not None and not runs.is_complete:
        _check_width(width, runs, limit, products.where)
    every = [runs]
    more = (max_hvp - products.count) // runs.steps
    if more:
        every.append(Runs(products, more, rng))
        while every[-1].steps < runs.steps:
            every[-1].grow()
    shorter = runs.steps if runs.is_complete else max(1, runs.steps - 2)
    return joined([part.quadrature() for part in every]), joined([part.quadrature(shorter) for part in every])


def _range(runs: Runs) -> float:
    """Distance between the outermost nodes."""
    return float(np.ptp(runs.quadrature().nodes))


def _check_width(width: float, runs: Runs, limit: int, where: str) -> None:
    """Refuse a width that the steps cannot resolve: the density would show the quadrature's nodes, not eigenvalues."""
    least = _STEPS_PER_RANGE * _range(runs) / runs.steps
    if width < (1.0 - 1e-6) * least:
        what = f"width is {width:.4g}, {runs.steps} steps resolve {least:.4g}"
        needed = math.ceil(_STEPS_PER_RANGE * _range(runs) / width)
        # The range still grows a little with the steps.
        more = "raise the steps" if runs.steps < limit else f"raise max_hvp to {2 * needed + 2}"
        fix = f"Pass width={1.05 * least:.3g}, or {more}"
        raise OptionError(message(where, what, "Its peaks would be those of the quadrature's nodes", fix))


def _default_width(n: int, max_hvp: int) -> float:
    """Width, relative to the range, that balances resolution and sampling."""
    return float(np.clip(0.8 / _DISTANCE * math.sqrt(0.57 / (n * max_hvp)), *_WIDTHS))


def _frame(
    nodes: np.ndarray, width: float | None, resolution: float, grid: Any, products: Products
) -> tuple[float, np.ndarray]:
    """Choose the width, if it is not given, and the grid."""
    low, high = float(nodes.min()), float(nodes.max())
    span = high - low
    # What rounding alone can spread is one point.
    if not span > max(1e-12, products.rounding(1.0)) * max(abs(low), abs(high)):
        span = max(abs(low), abs(high)) or 1.0
    chosen = resolution * span if width is None else float(width)
    if grid is None:
        return chosen, np.linspace(low - _MARGIN * chosen, high + _MARGIN * chosen, 512)
    points = np.asarray(grid, np.float64)
    if points.ndim != 1 or not points.size or not np.isfinite(points).all():
        raise OptionError(
            message(products.where, f"the grid has shape {points.shape}", fix="Pass a vector of finite numbers")
        )
    return chosen, points


def _smoothed(rule: Quadrature, points: np.ndarray, width: float) -> np.ndarray:
    nodes, weights = rule.nodes.ravel(), rule.weights.ravel() / len(rule.nodes)
    density = np.zeros(len(points))
    for start in range(0, len(nodes), 512):
        z = (points[:, None] - nodes[None, start : start + 512]) / width
        density += np.exp(-0.5 * z * z) @ weights[start : start + 512]
    return density / (width * math.sqrt(2.0 * math.pi))
