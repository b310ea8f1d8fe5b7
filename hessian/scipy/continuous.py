"""Twins of the continuous distributions of scipy.stats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc
import scipy.stats

from hessian.rules.parts import divided_log1p
from hessian.scipy.distributions import INF, Continuous

_LOG_2, _LOG_PI = math.log(2), math.log(math.pi)
_NORM = 0.5 * (_LOG_2 + _LOG_PI)
_POSITIVE: dict[str, Any] = {"support": (0.0, INF), "inside": 1.0}


def _normal(z: Any) -> Any:
    return -0.5 * z * z - _NORM


def _student(z: Any, v: Any) -> Any:
    return -0.5 * (v + 1) * np.log1p(z * z / v) - 0.5 * np.log(v) - sc.betaln(0.5 * v, 0.5)


def _difference(p: Any, q: Any) -> Any:
    """Return log(e^p - e^q) for p > q."""
    return p + np.log1p(-np.exp(q - p))


def _mass(a: Any, b: Any) -> Any:
    """Return the logarithm of the normal distribution's mass between a and b, from the tail they lie in."""
    right = a > 0
    upper = _difference(sc.log_ndtr(np.where(right, -a, -1.0)), sc.log_ndtr(np.where(right, -b, -2.0)))
    lower = _difference(sc.log_ndtr(np.where(right, 2.0, b)), sc.log_ndtr(np.where(right, 1.0, a)))
    return np.where(right, upper, lower)


def _extreme(z: Any, c: Any) -> Any:
    """Return log(1 - c z) / c, which is -z for c = 0."""
    return -z * divided_log1p(-c * z)


# The normal distribution and what is made of it.
norm = Continuous(
    scipy.stats.norm,
    _normal,
    cdf=sc.ndtr,
    sf=lambda z: sc.ndtr(-z),
    logcdf=sc.log_ndtr,
    logsf=lambda z: sc.log_ndtr(-z),
)
lognorm = Continuous(
    scipy.stats.lognorm,
    lambda z, s: _normal(np.log(z) / s) - np.log(s * z),
    open_low=True,
    cdf=lambda z, s: sc.ndtr(np.log(z) / s),
    sf=lambda z, s: sc.ndtr(-np.log(z) / s),
    logcdf=lambda z, s: sc.log_ndtr(np.log(z) / s),
    logsf=lambda z, s: sc.log_ndtr(-np.log(z) / s),
    **_POSITIVE,
)
halfnorm = Continuous(
    scipy.stats.halfnorm,
    lambda z: _normal(z) + _LOG_2,
    cdf=lambda z: sc.erf(z / math.sqrt(2)),
    sf=lambda z: 2 * sc.ndtr(-z),
    logsf=lambda z: _LOG_2 + sc.log_ndtr(-z),
    **_POSITIVE,
)
truncnorm = Continuous(
    scipy.stats.truncnorm,
    lambda z, a, b: _normal(z) - _mass(a, b),
    support=lambda a, b: (a, b),
    inside=lambda a, b: 0.5 * (np.clip(a, -1e3, 1e3) + np.clip(b, -1e3, 1e3)),
    allowed=lambda a, b: [a < b],
    logcdf=lambda z, a, b: _mass(a, z) - _mass(a, b),
    logsf=lambda z, a, b: _mass(z, b) - _mass(a, b),
)
skewnorm = Continuous(
    scipy.stats.skewnorm,
    lambda z, a: _LOG_2 + _normal(z) + sc.log_ndtr(a * z),
    allowed=lambda a: [],
    cdf=lambda z, a: sc.ndtr(z) - 2 * sc.owens_t(z, a),
    sf=lambda z, a: sc.ndtr(-z) + 2 * sc.owens_t(z, a),
)
exponnorm = Continuous(
    scipy.stats.exponnorm,
    lambda z, k: (0.5 / k - z) / k - np.log(k) + sc.log_ndtr(z - 1 / k),
    cdf=lambda z, k: sc.ndtr(z) - np.exp((0.5 / k - z) / k + sc.log_ndtr(z - 1 / k)),
    sf=lambda z, k: sc.ndtr(-z) + np.exp((0.5 / k - z) / k + sc.log_ndtr(z - 1 / k)),
)
invgauss = Continuous(
    scipy.stats.invgauss,
    lambda z, m: -_NORM - 1.5 * np.log(z) - np.square((z - m) / m) / (2 * z),
    open_low=True,
    logcdf=lambda z, m: np.logaddexp(
        sc.log_ndtr((z / m - 1) / np.sqrt(z)), 2 / m + sc.log_ndtr(-(z / m + 1) / np.sqrt(z))
    ),
    logsf=lambda z, m: _difference(
        sc.log_ndtr((1 - z / m) / np.sqrt(z)), 2 / m + sc.log_ndtr(-(z / m + 1) / np.sqrt(z))
    ),
    **_POSITIVE,
)
johnsonsu = Continuous(
    scipy.stats.johnsonsu,
    lambda z, a, b: _normal(a + b * np.arcsinh(z)) + np.log(b) - 0.5 * np.log1p(z * z),
    allowed=lambda a, b: [b > 0],
    cdf=lambda z, a, b: sc.ndtr(a + b * np.arcsinh(z)),
    sf=lambda z, a, b: sc.ndtr(-a - b * np.arcsinh(z)),
    logcdf=lambda z, a, b: sc.log_ndtr(a + b * np.arcsinh(z)),
    logsf=lambda z, a, b: sc.log_ndtr(-a - b * np.arcsinh(z)),
)
levy = Continuous(
    scipy.stats.levy,
    lambda z: -_NORM - 1.5 * np.log(z) - 0.5 / z,
    open_low=True,
    cdf=lambda z: sc.erfc(np.sqrt(0.5 / z)),
    sf=lambda z: sc.erf(np.sqrt(0.5 / z)),
    **_POSITIVE,
)

# Symmetric ones with other tails.
t = Continuous(scipy.stats.t, _student, cdf=lambda z, v: sc.stdtr(v, z), sf=lambda z, v: sc.stdtr(v, -z))
cauchy = Continuous(
    scipy.stats.cauchy,
    lambda z: -_LOG_PI - np.log1p(z * z),
    cdf=lambda z: np.arctan2(1.0, -z) / math.pi,
    sf=lambda z: np.arctan2(1.0, z) / math.pi,
)
halfcauchy = Continuous(
    scipy.stats.halfcauchy,
    lambda z: _LOG_2 - _LOG_PI - np.log1p(z * z),
    cdf=lambda z: 2 / math.pi * np.arctan(z),
    sf=lambda z: 2 / math.pi * np.arctan2(1.0, z),
    **_POSITIVE,
)
laplace = Continuous(
    scipy.stats.laplace,
    lambda z: -_LOG_2 - np.abs(z),
    logcdf=lambda z: np.where(z > 0, np.log1p(-0.5 * np.exp(-np.abs(z))), z - _LOG_2),
    logsf=lambda z: np.where(z < 0, np.log1p(-0.5 * np.exp(-np.abs(z))), -z - _LOG_2),
)
logistic = Continuous(
    scipy.stats.logistic,
    lambda z: sc.log_expit(z) + sc.log_expit(-z),
    cdf=sc.expit,
    sf=lambda z: sc.expit(-z),
    logcdf=sc.log_expit,
    logsf=lambda z: sc.log_expit(-z),
)
halflogistic = Continuous(
    scipy.stats.halflogistic,
    lambda z: _LOG_2 + sc.log_expit(z) + sc.log_expit(-z),
    cdf=lambda z: np.tanh(0.5 * z),
    sf=lambda z: 2 * sc.expit(-z),
    logsf=lambda z: _LOG_2 + sc.log_expit(-z),
    **_POSITIVE,
)
hypsecant = Continuous(
    scipy.stats.hypsecant,
    lambda z: _LOG_2 - _LOG_PI - np.logaddexp(z, -z),
    cdf=lambda z: 2 / math.pi * np.arctan(np.exp(z)),
    sf=lambda z: 2 / math.pi * np.arctan(np.exp(-z)),
)
gennorm = Continuous(
    scipy.stats.gennorm,
    lambda z, b: np.log(0.5 * b) - sc.gammaln(1 / b) - np.abs(z) ** b,
    cdf=lambda z, b: _two_sided(z, sc.gammaincc(1 / b, np.abs(z) ** b)),
    sf=lambda z, b: _two_sided(-z, sc.gammaincc(1 / b, np.abs(z) ** b)),
)
dweibull = Continuous(
    scipy.stats.dweibull,
    lambda z, c: np.log(0.5 * c) + sc.xlogy(c - 1, np.abs(z)) - np.abs(z) ** c,
    inside=1.0,
    cdf=lambda z, c: _two_sided(z, np.exp(-(np.abs(z) ** c))),
    sf=lambda z, c: _two_sided(-z, np.exp(-(np.abs(z) ** c))),
)
vonmises = Continuous(
    scipy.stats.vonmises,
    lambda z, k: k * sc.cosm1(z) - _LOG_2 - _LOG_PI - np.log(sc.i0e(k)),
    allowed=lambda k: [k >= 0],
)


def _two_sided(z: Any, beyond: Any) -> Any:
    """Return the distribution function of what is symmetric, from the probability to be farther out."""
    return np.where(z < 0, 0.5 * beyond, 1 - 0.5 * beyond)


# The gamma distribution's kin.
expon = Continuous(scipy.stats.expon, lambda z: -z, cdf=lambda z: -np.expm1(-z), logsf=lambda z: -z, **_POSITIVE)
gamma = Continuous(
    scipy.stats.gamma,
    lambda z, a: sc.xlogy(a - 1, z) - z - sc.gammaln(a),
    cdf=lambda z, a: sc.gammainc(a, z),
    sf=lambda z, a: sc.gammaincc(a, z),
    **_POSITIVE,
)
invgamma = Continuous(
    scipy.stats.invgamma,
    lambda z, a: -(a + 1) * np.log(z) - sc.gammaln(a) - 1 / z,
    open_low=True,
    cdf=lambda z, a: sc.gammaincc(a, 1 / z),
    sf=lambda z, a: sc.gammainc(a, 1 / z),
    **_POSITIVE,
)
chi2 = Continuous(
    scipy.stats.chi2,
    lambda z, v: sc.xlogy(0.5 * v - 1, z) - 0.5 * z - sc.gammaln(0.5 * v) - 0.5 * v * _LOG_2,
    cdf=lambda z, v: sc.chdtr(v, z),
    sf=lambda z, v: sc.chdtrc(v, z),
    **_POSITIVE,
)
chi = Continuous(
    scipy.stats.chi,
    lambda z, v: sc.xlogy(v - 1, z) - 0.5 * z * z - sc.gammaln(0.5 * v) - (0.5 * v - 1) * _LOG_2,
    cdf=lambda z, v: sc.gammainc(0.5 * v, 0.5 * z * z),
    sf=lambda z, v: sc.gammaincc(0.5 * v, 0.5 * z * z),
    **_POSITIVE,
)
maxwell = Continuous(
    scipy.stats.maxwell,
    lambda z: 2 * np.log(z) - 0.5 * z * z + 0.5 * (_LOG_2 - _LOG_PI),
    open_low=True,
    cdf=lambda z: sc.gammainc(1.5, 0.5 * z * z),
    sf=lambda z: sc.gammaincc(1.5, 0.5 * z * z),
    **_POSITIVE,
)
rayleigh = Continuous(
    scipy.stats.rayleigh,
    lambda z: np.log(z) - 0.5 * z * z,
    open_low=True,
    cdf=lambda z: -np.expm1(-0.5 * z * z),
    logsf=lambda z: -0.5 * z * z,
    **_POSITIVE,
)
nakagami = Continuous(
    scipy.stats.nakagami,
    lambda z, n: _LOG_2 + n * np.log(n) - sc.gammaln(n) + sc.xlogy(2 * n - 1, z) - n * z * z,
    cdf=lambda z, n: sc.gammainc(n, n * z * z),
    sf=lambda z, n: sc.gammaincc(n, n * z * z),
    **_POSITIVE,
)
loggamma = Continuous(
    scipy.stats.loggamma,
    lambda z, c: c * z - np.exp(z) - sc.gammaln(c),
    cdf=lambda z, c: sc.gammainc(c, np.exp(z)),
    sf=lambda z, c: sc.gammaincc(c, np.exp(z)),
)
truncexpon = Continuous(
    scipy.stats.truncexpon,
    lambda z, b: -z - np.log(-np.expm1(-b)),
    support=lambda b: (0.0, b),
    inside=lambda b: 0.5 * b,
    cdf=lambda z, b: np.expm1(-z) / np.expm1(-b),
    sf=lambda z, b: np.exp(-z) * np.expm1(z - b) / np.expm1(-b),
)

# The beta distribution's kin.
uniform = Continuous(scipy.stats.uniform, lambda z: 0.0 * z, support=(0.0, 1.0), cdf=lambda z: z, sf=lambda z: 1 - z)
beta = Continuous(
    scipy.stats.beta,
    lambda z, a, b: sc.xlog1py(b - 1, -z) + sc.xlogy(a - 1, z) - sc.betaln(a, b),
    support=(0.0, 1.0),
    cdf=lambda z, a, b: sc.betainc(a, b, z),
    sf=lambda z, a, b: sc.betaincc(a, b, z),
)
betaprime = Continuous(
    scipy.stats.betaprime,
    lambda z, a, b: sc.xlogy(a - 1, z) - sc.xlog1py(a + b, z) - sc.betaln(a, b),
    cdf=lambda z, a, b: sc.betainc(a, b, z / (1 + z)),
    sf=lambda z, a, b: sc.betainc(b, a, 1 / (1 + z)),
    **_POSITIVE,
)
f = Continuous(
    scipy.stats.f,
    lambda z, m, n: (
        0.5 * m * np.log(m / n)
        + sc.xlogy(0.5 * m - 1, z)
        - 0.5 * (m + n) * np.log1p(m / n * z)
        - sc.betaln(0.5 * m, 0.5 * n)
    ),
    cdf=lambda z, m, n: sc.fdtr(m, n, z),
    sf=lambda z, m, n: sc.fdtrc(m, n, z),
    **_POSITIVE,
)
arcsine = Continuous(
    scipy.stats.arcsine,
    lambda z: -_LOG_PI - 0.5 * np.log(z) - 0.5 * np.log1p(-z),
    support=(0.0, 1.0),
    cdf=lambda z: 2 / math.pi * np.arcsin(np.sqrt(z)),
    sf=lambda z: 2 / math.pi * np.arcsin(np.sqrt(1 - z)),
)
powerlaw = Continuous(
    scipy.stats.powerlaw,
    lambda z, a: np.log(a) + sc.xlogy(a - 1, z),
    support=(0.0, 1.0),
    logcdf=lambda z, a: a * np.log(z),
)
triang = Continuous(
    scipy.stats.triang,
    lambda z, c: _LOG_2 + np.log(_tent(z, c)),
    support=(0.0, 1.0),
    inside=0.4321,
    allowed=lambda c: [c >= 0, c <= 1],
    cdf=lambda z, c: np.where(z < c, z * _tent(z, c), 1 - (1 - z) * _tent(z, c)),
    sf=lambda z, c: np.where(z < c, 1 - z * _tent(z, c), (1 - z) * _tent(z, c)),
)


def _tent(z: Any, c: Any) -> Any:
    rises = z < c
    return np.where(rises, z / np.where(rises, c, 1.0), (1 - z) / np.where(rises, 1.0, 1 - c))


# Extremes and powers.
gumbel_r = Continuous(
    scipy.stats.gumbel_r,
    lambda z: -z - np.exp(-z),
    logcdf=lambda z: -np.exp(-z),
    sf=lambda z: -np.expm1(-np.exp(-z)),
)
gumbel_l = Continuous(
    scipy.stats.gumbel_l, lambda z: z - np.exp(z), cdf=lambda z: -np.expm1(-np.exp(z)), logsf=lambda z: -np.exp(z)
)
genextreme = Continuous(
    scipy.stats.genextreme,
    lambda z, c: _extreme(z, c) - np.exp(_extreme(z, c)) - np.log1p(-c * z),
    support=lambda c: (
        np.where(c < 0, 1 / np.where(c < 0, c, 1.0), -INF),
        np.where(c > 0, 1 / np.where(c > 0, c, 1.0), INF),
    ),
    inside=0.0,
    allowed=lambda c: [],
    logcdf=lambda z, c: -np.exp(_extreme(z, c)),
    sf=lambda z, c: -np.expm1(-np.exp(_extreme(z, c))),
)
genpareto = Continuous(
    scipy.stats.genpareto,
    lambda z, c: -z * divided_log1p(c * z) - np.log1p(c * z),
    support=lambda c: (0.0, np.where(c < 0, -1 / np.where(c < 0, c, 1.0), INF)),
    inside=0.0,
    allowed=lambda c: [],
    logsf=lambda z, c: -z * divided_log1p(c * z),
)
weibull_min = Continuous(
    scipy.stats.weibull_min,
    lambda z, c: np.log(c) + sc.xlogy(c - 1, z) - z**c,
    cdf=lambda z, c: -np.expm1(-(z**c)),
    logsf=lambda z, c: -(z**c),
    **_POSITIVE,
)
weibull_max = Continuous(
    scipy.stats.weibull_max,
    lambda z, c: np.log(c) + sc.xlogy(c - 1, -z) - (-z) ** c,
    support=(-INF, 0.0),
    inside=-1.0,
    logcdf=lambda z, c: -((-z) ** c),
    sf=lambda z, c: -np.expm1(-((-z) ** c)),
)
gompertz = Continuous(
    scipy.stats.gompertz,
    lambda z, c: np.log(c) + z - c * np.expm1(z),
    cdf=lambda z, c: -np.expm1(-c * np.expm1(z)),
    logsf=lambda z, c: -c * np.expm1(z),
    **_POSITIVE,
)
pareto = Continuous(
    scipy.stats.pareto,
    lambda z, b: np.log(b) - (b + 1) * np.log(z),
    support=(1.0, INF),
    inside=2.0,
    logsf=lambda z, b: -b * np.log(z),
)
lomax = Continuous(
    scipy.stats.lomax,
    lambda z, c: np.log(c) - (c + 1) * np.log1p(z),
    logsf=lambda z, c: -c * np.log1p(z),
    **_POSITIVE,
)
fisk = Continuous(
    scipy.stats.fisk,
    lambda z, c: np.log(c) + sc.xlogy(c - 1, z) - 2 * np.log1p(z**c),
    cdf=lambda z, c: sc.expit(c * np.log(z)),
    sf=lambda z, c: sc.expit(-c * np.log(z)),
    logcdf=lambda z, c: sc.log_expit(c * np.log(z)),
    logsf=lambda z, c: sc.log_expit(-c * np.log(z)),
    **_POSITIVE,
)
burr12 = Continuous(
    scipy.stats.burr12,
    lambda z, c, d: np.log(c * d) + sc.xlogy(c - 1, z) - (d + 1) * np.log1p(z**c),
    logsf=lambda z, c, d: -d * np.log1p(z**c),
    **_POSITIVE,
)
loguniform = Continuous(
    scipy.stats.loguniform,
    lambda z, a, b: -np.log(z) - np.log(np.log(b / a)),
    support=lambda a, b: (a, b),
    inside=lambda a, b: np.sqrt(a * b),
    allowed=lambda a, b: [a > 0, b > a],
    cdf=lambda z, a, b: np.log(z / a) / np.log(b / a),
    sf=lambda z, a, b: np.log(b / z) / np.log(b / a),
)
