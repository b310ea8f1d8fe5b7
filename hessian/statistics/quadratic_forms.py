r"""The law of a quadratic form of normal variables, :math:`\sum_j w_j \chi^2_1`: its distribution function and quantiles."""

from __future__ import annotations

import math

import numpy as np
from scipy import integrate, optimize, special

_TALBOT = 24
"""Nodes of the contour: 12 digits are right up to 20 weights, above that the numbers that cancel are too large."""
_FEW = 20
_NEGLIGIBLE = 1e-14
"""Weights of this share of the largest are zero."""
_LEGENDRE = 160


def distribution(x: float, weights: np.ndarray) -> float:
    r"""Return :math:`P(\sum_j w_j z_j^2 \le x)` for independent standard normal z.

    Parameters
    ----------
    x : float
    weights : ndarray, shape (r,)
        Of either sign, some of them not zero.

    Notes
    -----
    Up to 20 weights of one sign: the Laplace transform :math:`\prod_j (1 + 2 w_j s)^{-1/2} / s` inverted along Talbot's contour, to
    some 12 digits. Of both signs: the law of the difference of two such forms. More weights: the characteristic function inverted.

    References
    ----------
    J. Abate and P. P. Valkó, "Multi-precision Laplace transform inversion", Int. J. Numer. Meth. Engng 60 (2004) 979-993. J. P. Imhof,
    "Computing the distribution of quadratic forms in normal variables", Biometrika 48 (1961) 419-426, equation 3.2.

    Examples
    --------
    >>> round(distribution(3.841458820694124, np.ones(1)), 10)
    0.95
    """
    weights = np.asarray(weights, float)
    weights = weights[np.abs(weights) > _NEGLIGIBLE * np.max(np.abs(weights))]
    above, below = weights[weights > 0.0], -weights[weights < 0.0]
    if not len(below):
        return _positive(x, above)
    if not len(above):
        return 1.0 - _positive(-x, below)
    if max(len(above), len(below)) > _FEW:
        return _imhof(x, weights)
    # P(A - B <= x) = E F_A(x + B); b = start + t^2 takes the singularities of both at 0.
    start = max(0.0, -x)
    most = float(np.max(below)) * float(special.chdtri(len(below), 1e-18))
    if start >= most:
        return 0.0
    nodes, shares = np.polynomial.legendre.leggauss(_LEGENDRE)
    width = math.sqrt(most - start)
    t = 0.5 * width * (nodes + 1.0)
    b = start + t * t
    values = [_positive(x + one, above) * _inverted(one, below, density=True) for one in b]
    return float(np.clip(0.5 * width * np.sum(shares * 2.0 * t * values), 0.0, 1.0))


def quantile(p: float, weights: np.ndarray) -> float:
    """Return the x at which the distribution function is p, between 0 and 1.

    Examples
    --------
    >>> round(quantile(0.95, np.array([2.0])) / 2.0, 9)
    3.841458821
    """
    weights = np.asarray(weights, float)
    size = float(np.sum(np.abs(weights)))
    low = high = 0.0
    if np.any(weights > 0.0):
        high = size
        while distribution(high, weights) < p:
            high *= 2.0
    if np.any(weights < 0.0):
        low = -size
        while distribution(low, weights) > p:
            low *= 2.0
    root = optimize.brentq(lambda x: distribution(x, weights) - p, low, high, xtol=1e-14 * size, rtol=1e-12)
    return float(root)


def _positive(x: float, weights: np.ndarray) -> float:
    """The distribution function for positive weights."""
    if x <= 0.0:
        return 0.0
    if np.ptp(weights) == 0.0:
        return float(special.chdtr(len(weights), x / weights[0]))
    value = _inverted(x, weights) if len(weights) <= _FEW else _imhof(x, weights)
    return min(max(value, 0.0), 1.0)


def _inverted(x: float, weights: np.ndarray, density: bool = False) -> float:
    """Invert the Laplace transform of the law of positive weights at x > 0."""
    if x <= 0.0:
        return 0.0
    scale = 2.0 * _TALBOT / (5.0 * x)
    angles = np.arange(1, _TALBOT) * np.pi / _TALBOT
    cotangents = 1.0 / np.tan(angles)
    s = np.concatenate([[scale], scale * angles * (cotangents + 1j)])
    factors = np.concatenate([[0.5], 1.0 + 1j * (angles + (angles * cotangents - 1.0) * cotangents)])
    logarithms = x * s - 0.5 * np.sum(np.log1p(2.0 * np.multiply.outer(s, weights)), axis=1)
    terms = factors * np.exp(logarithms) / (1.0 if density else s)
    return float(scale / _TALBOT * np.sum(terms.real))


def _imhof(x: float, weights: np.ndarray) -> float:
    """Invert the characteristic function: of many weights it falls off fast."""

    def integrand(u: float) -> float:
        turned = u * weights
        angle = 0.5 * float(np.sum(np.arctan(turned))) - 0.5 * x * u
        return math.sin(angle) / u * math.exp(-0.25 * float(np.sum(np.log1p(turned * turned))))

    value, _ = integrate.quad(integrand, 1e-300, math.inf, limit=1000, epsabs=1e-11, epsrel=1e-10)
    return float(0.5 - value / math.pi)
