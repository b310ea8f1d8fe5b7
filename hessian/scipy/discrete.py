"""Twins of the distributions of counts of scipy.stats, differentiable in the shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sc
import scipy.stats

from hessian.rules.powers import zeta_op
from hessian.scipy.distributions import INF, Discrete

_WHOLE: dict[str, Any] = {"support": (0.0, INF), "inside": 0.0}
bernoulli = Discrete(
    scipy.stats.bernoulli,
    lambda k, p: sc.xlogy(k, p) + sc.xlog1py(1 - k, -p),
    support=(0.0, 1.0),
    inside=0.0,
    allowed=lambda p: [p >= 0, p <= 1],
    cdf=lambda k, p: 1 - p + 0.0 * k,
    sf=lambda k, p: p + 0.0 * k,
)
binom = Discrete(
    scipy.stats.binom,
    lambda k, n, p: -np.log(n + 1) - sc.betaln(n - k + 1, k + 1) + sc.xlogy(k, p) + sc.xlog1py(n - k, -p),
    support=lambda n, p: (0.0, n),
    inside=0.0,
    allowed=lambda n, p: [n >= 0, p >= 0, p <= 1],
    cdf=lambda k, n, p: sc.betaincc(k + 1, n - k, p),
    sf=lambda k, n, p: sc.betainc(k + 1, n - k, p),
)
poisson = Discrete(
    scipy.stats.poisson,
    lambda k, m: sc.xlogy(k, m) - sc.gammaln(k + 1) - m,
    allowed=lambda m: [m >= 0],
    cdf=sc.pdtr,
    sf=sc.pdtrc,
    **_WHOLE,
)
geom = Discrete(
    scipy.stats.geom,
    lambda k, p: sc.xlog1py(k - 1, -p) + np.log(p),
    support=(1.0, INF),
    inside=1.0,
    allowed=lambda p: [p > 0, p <= 1],
    cdf=lambda k, p: -np.expm1(k * np.log1p(-p)),
    logsf=lambda k, p: k * np.log1p(-p),
)
nbinom = Discrete(
    scipy.stats.nbinom,
    lambda k, n, p: sc.gammaln(n + k) - sc.gammaln(k + 1) - sc.gammaln(n) + n * np.log(p) + sc.xlog1py(k, -p),
    allowed=lambda n, p: [n > 0, p > 0, p <= 1],
    cdf=lambda k, n, p: sc.betainc(n, k + 1, p),
    sf=lambda k, n, p: sc.betaincc(n, k + 1, p),
    **_WHOLE,
)
betabinom = Discrete(
    scipy.stats.betabinom,
    lambda k, n, a, b: -np.log(n + 1) - sc.betaln(n - k + 1, k + 1) + sc.betaln(k + a, n - k + b) - sc.betaln(a, b),
    support=lambda n, a, b: (0.0, n),
    inside=0.0,
    allowed=lambda n, a, b: [n >= 0, a > 0, b > 0],
)
logser = Discrete(
    scipy.stats.logser,
    lambda k, p: k * np.log(p) - np.log(k) - np.log(-np.log1p(-p)),
    support=(1.0, INF),
    inside=1.0,
    allowed=lambda p: [p > 0, p < 1],
)
zipf = Discrete(
    scipy.stats.zipf,
    lambda k, a: -a * np.log(k) - np.log(zeta_op(a, 1.0)),
    support=(1.0, INF),
    inside=1.0,
    allowed=lambda a: [a > 1],
    sf=lambda k, a: zeta_op(a, k + 1) / zeta_op(a, 1.0),
)
dlaplace = Discrete(
    scipy.stats.dlaplace,
    lambda k, a: np.log(np.tanh(0.5 * a)) - a * np.abs(k),
    inside=0.0,
    cdf=lambda k, a: np.where(
        k >= 0, 1 - np.exp(-a * (np.abs(k) + 1)) / (1 + np.exp(-a)), np.exp(-a * np.abs(k)) / (1 + np.exp(-a))
    ),
)
planck = Discrete(
    scipy.stats.planck,
    lambda k, m: np.log(-np.expm1(-m)) - m * k,
    logsf=lambda k, m: -m * (k + 1),
    **_WHOLE,
)
