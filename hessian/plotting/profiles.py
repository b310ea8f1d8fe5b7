"""Pictures of profile likelihoods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

from hessian.plotting.canvas import COLORS, GREY, axes_for, label_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hessian.statistics.profile import Profile

_POINTS = 400
_ABOVE = 2.2
"""Height of the picture in cuts."""
_RISEN = 0.98
"""Share of the largest root on an open side up to which it is shown."""
_STEEP = 3.0
"""Slope, relative to that between neighbours, up to which a cubic between them does not overshoot."""


def plot_profile(profile: Profile, *, ax: Axes | None = None) -> Axes:
    """Draw the likelihood ratio of a profile, its cut and its interval, beside the parabola that a Wald interval takes it for.

    Parameters
    ----------
    profile : Profile
        What :func:`hessian.statistics.profile` returns.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        Dots are fits of the other parameters; the curve between them is a cubic with the slopes there, and is drawn no
        farther than fits were made. An open interval is shaded to the edge of the picture.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import minimize
    >>> from hessian.statistics import profile
    >>> nll = lambda u: np.sum(np.exp(u) - np.array([3.0, 5.0, 4.0, 4.0]) * u)
    >>> ax = plot_profile(profile(nll, minimize(nll, np.zeros(1)), 0))
    >>> ax.get_xlabel(), ax.get_title()
    ('x[0]', 'Profile likelihood of x[0]: nonlinearity 0.089')
    """
    ax = axes_for("plot_profile", ax, 6.4, 4.0)
    left, right = _window(profile)
    top = _ABOVE * profile.cut**2
    low, high = max(profile.lower, left), min(profile.upper, right)
    ends = f"{_end(profile.lower)} to {_end(profile.upper)}"
    ax.axvspan(low, high, color=COLORS[5], alpha=0.18, lw=0.0, label=f"{100 * profile.level:g} % interval: {ends}")
    for end in (profile.lower, profile.upper):
        if math.isfinite(end):
            ax.axvline(end, color=COLORS[5], lw=1.0)
    ax.axhline(profile.cut**2, color=GREY, lw=1.0, linestyle=":", label=f"cut: {profile.cut**2:.4g}")
    if profile.standard_error > 0.0:
        t = np.linspace(left, right, _POINTS)
        wald = ((t - profile.value) / profile.standard_error) ** 2
        ax.plot(t, wald, color=COLORS[1], linestyle="--", lw=1.3, label="parabola of the curvature (Wald)")
    if len(profile.psi) > 1:
        t = np.linspace(max(left, profile.psi[0]), min(right, profile.psi[-1]), _POINTS)
        ax.plot(t, _statistic(profile)(t), color=COLORS[0], lw=1.8, label="profile")
    ax.plot(profile.psi, profile.root**2, "o", color=COLORS[0], markersize=4, label="fits of the others")
    ax.set_xlim(left, right)
    ax.set_ylim(-0.03 * top, top)
    bent = "" if math.isnan(profile.nonlinearity) else f": nonlinearity {_end(profile.nonlinearity, 2)}"
    ax.set_title(f"Profile likelihood of {profile.name}{bent}", fontsize=10)
    label_axes(ax, profile.name, "likelihood ratio statistic")
    ax.legend(loc="upper center", fontsize=8, framealpha=0.9, edgecolor="none")
    return ax


def _end(end: float, digits: int = 4) -> str:
    return f"{end:.{digits}g}".replace("inf", "∞")


def _window(profile: Profile) -> tuple[float, float]:
    """What is shown of the parameter: the interval and a margin; of an open side where the ratio still rises."""
    ends = []
    for end, side in ((profile.lower, -1.0), (profile.upper, 1.0)):
        if math.isfinite(end):
            ends.append(end)
            continue
        heights = np.where(side * profile.root > 0.0, np.abs(profile.root), 0.0)
        far = profile.psi[heights >= _RISEN * np.max(heights)]
        ends.append(side * float(np.min(side * far)))
    width = ends[1] - ends[0] or max(abs(ends[0]), 1.0)
    margins = [0.15 * width if math.isfinite(end) else 0.4 * width for end in (profile.lower, profile.upper)]
    return ends[0] - margins[0], ends[1] + margins[1]


def _statistic(profile: Profile) -> Any:
    """The square of the root between fits: of a cubic in it with its slopes where that does not overshoot, or of one in the square."""
    psi, root, slopes = profile.psi, profile.root, profile.slope
    if profile.standard_error > 0.0:
        away = np.where(root == 0.0, 1.0, root)
        inner = np.where(root == 0.0, 1.0 / profile.standard_error, slopes / (2.0 * away))
        if _is_tame(psi, root, inner):
            cubic = CubicHermiteSpline(psi, root, inner)
            return lambda t: cubic(t) ** 2
    squares = root**2
    return (
        CubicHermiteSpline(psi, squares, slopes) if _is_tame(psi, squares, slopes) else PchipInterpolator(psi, squares)
    )


def _is_tame(psi: np.ndarray, heights: np.ndarray, slopes: np.ndarray) -> bool:
    """Whether cubics with these slopes rise and fall as their ends do."""
    secants = np.diff(heights) / np.diff(psi)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.array([slopes[:-1] / secants, slopes[1:] / secants])
    rises = np.all(shares >= 0.0, axis=0)
    return bool(np.all(np.isfinite(shares)) and np.all(shares[:, rises] <= _STEEP))
