"""Rows of scipy.special: powers that are shifted or stretched, angles in degrees, robust losses, gamma and beta functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from hessian.rules.dispatch import elementwise, expose
from hessian.rules.polygamma import polygamma_drop_op, polygamma_op
from hessian.rules.samples import A, Accuracy, case
from hessian.rules.spec import MISSING, Elementwise, nondifferentiable, register

_POSITIVE = (0.4, 4.0)
_DEGREE = math.pi / 180


def _exprel_slope(t: Any) -> Any:
    """Return the slope of (e^t - 1) / t: a series near 0, where the quotient cancels."""
    near = np.abs(t) < 1
    u = np.where(near, t, 0.0)
    series: Any = 1.0
    for n in range(19, 0, -1):
        series = 1 + (n + 1) / n * (u / (n + 2)) * series
    far = np.where(near, 1.0, t)
    return np.where(near, 0.5 * series, (np.exp(far) * (far - 1) + 1) / (far * far))


exprel = elementwise(
    sc.exprel,
    d1=[lambda y, x: _exprel_slope(x)],
    d2=None,
    reference="x: expm1(x) / x",
    points=[0.0],
    accuracy=Accuracy(1e-13, "scipy.special.exprel", grid=((-80.0, 80.0),), partials=1e-12),
    real_only=True,
)
exp10 = elementwise(
    sc.exp10,
    d1=[lambda y, x: math.log(10) * y],
    d2=None,
    reference="x: exp(x * log(10))",
    accuracy=Accuracy(1e-12, "scipy.special.exp10", grid=((-300.0, 300.0),), partials=1e-12),
    real_only=True,
)
cosm1 = elementwise(
    sc.cosm1, d1=[lambda y, x: -np.sin(x)], d2=None, reference="x: -2 * sin(x / 2) ** 2",
    accuracy=Accuracy(1e-13, "scipy.special.cosm1", grid=((-50.0, 50.0),)), analytic=lambda z: np.cos(z) - 1,
)  # fmt: skip
powm1 = elementwise(
    sc.powm1,
    d1=[lambda z, x, y: y * np.power(x, y - 1), lambda z, x, y: np.power(x, y) * np.log(x)],
    d2=None,
    reference="x, y: expm1(y * log(x))",
    kinks="NaN in y at x = 0",
    domain=[_POSITIVE, (-2.0, 2.0)],
    accuracy=Accuracy(1e-12, "scipy.special.powm1", grid=((1e-3, 1e3), (-20.0, 20.0)), partials=1e-12),
    real_only=True,
)

# Angles in degrees.
for _name, _slope, _reference in (
    ("sindg", lambda y, x: _DEGREE * sc.cosdg(x), "x: sin(pi * x / 180)"),
    ("cosdg", lambda y, x: -_DEGREE * sc.sindg(x), "x: cos(pi * x / 180)"),
    ("tandg", lambda y, x: _DEGREE * (1 + y * y), "x: tan(pi * x / 180)"),
    ("cotdg", lambda y, x: -_DEGREE * (1 + y * y), "x: 1 / tan(pi * x / 180)"),
):
    elementwise(
        getattr(sc, _name),
        d1=[_slope],
        d2=None,
        reference=_reference,
        domain=[(5.0, 80.0)],
        accuracy=Accuracy(1e-11, f"scipy.special.{_name}", grid=((1e-3, 89.0),), partials=1e-10),
        real_only=True,
    )
radian = elementwise(
    sc.radian,
    d1=[_DEGREE, _DEGREE / 60, _DEGREE / 3600],
    d2={},
    reference="d, m, s: (d + m / 60 + s / 3600) * pi / 180",
    accuracy=Accuracy(1e-12, "scipy.special.radian", grid=((0.0, 90.0),) * 3),
    real_only=True,
)

# Box and Cox: (x^p - 1) / p, which is log(x) exprel(p log(x)), and its inverse.


def _log_power(log: Any, p: Any) -> Any:
    return log * log * _exprel_slope(p * log)


def _inverse_slope(y: Any, p: Any) -> Any:
    """Return the derivative of log(1 + p y) / p in p."""
    return y * y * divided_log1p_slope(p * y)


def divided_log1p_slope(t: Any) -> Any:
    """Return the derivative of log(1 + t) / t."""
    near = np.abs(t) < 0.3
    u = np.where(near, t, 0.0)
    series: Any = 0.0
    for k in range(36, 0, -1):
        series = k / (k + 1) - u * series
    far = np.where(near, 1.0, t)
    return np.where(near, -series, (far / (1 + far) - np.log1p(far)) / (far * far))


_GRID = ((1e-2, 1e2), (-3.0, 3.0))
boxcox = elementwise(
    sc.boxcox,
    d1=[lambda y, x, p: np.power(x, p - 1), lambda y, x, p: _log_power(np.log(x), p)],
    d2=None,
    reference="x, p: expm1(p * log(x)) / p",
    kinks="NaN in the power at x = 0",
    points=[(2.0, 0.0), (1.0, 0.5)],
    domain=[_POSITIVE, (-1.5, 1.5)],
    accuracy=Accuracy(1e-12, "scipy.special.boxcox", grid=_GRID, partials=1e-11),
    real_only=True,
)
boxcox1p = elementwise(
    sc.boxcox1p,
    d1=[lambda y, x, p: np.exp((p - 1) * np.log1p(x)), lambda y, x, p: _log_power(np.log1p(x), p)],
    d2=None,
    reference="x, p: expm1(p * log1p(x)) / p",
    kinks="NaN in the power at x = -1",
    points=[(2.0, 0.0), (0.0, 0.5)],
    domain=[(-0.5, 3.0), (-1.5, 1.5)],
    accuracy=Accuracy(1e-12, "scipy.special.boxcox1p", grid=((-0.9, 1e2), (-3.0, 3.0)), partials=1e-11),
    real_only=True,
)
inv_boxcox = elementwise(
    sc.inv_boxcox,
    d1=[lambda x, y, p: x / (1 + p * y), lambda x, y, p: x * _inverse_slope(y, p)],
    d2=None,
    reference="y, p: exp(log1p(p * y) / p)",
    points=[(2.0, 0.0), (0.0, 0.5)],
    domain=[(-0.5, 1.5), (-0.5, 0.6)],
    accuracy=Accuracy(1e-11, "scipy.special.inv_boxcox", grid=((-0.5, 3.0), (-0.3, 1.5)), partials=1e-11),
    real_only=True,
)
inv_boxcox1p = elementwise(
    sc.inv_boxcox1p,
    d1=[lambda x, y, p: (x + 1) / (1 + p * y), lambda x, y, p: (x + 1) * _inverse_slope(y, p)],
    d2=None,
    reference="y, p: expm1(log1p(p * y) / p)",
    points=[(2.0, 0.0), (0.0, 0.5)],
    domain=[(-0.5, 1.5), (-0.5, 0.6)],
    accuracy=Accuracy(1e-11, "scipy.special.inv_boxcox1p", grid=((-0.5, 3.0), (-0.3, 1.5)), partials=1e-11),
    real_only=True,
)


# Losses of a residual r.
huber = elementwise(
    sc.huber,
    d1=[
        lambda y, d, r: np.where(np.abs(r) <= d, 0.0, np.abs(r) - d),
        lambda y, d, r: np.where(np.abs(r) <= d, r, d * np.sign(r)),
    ],
    d2=None,
    reference="d, r: huber(d, r)",
    domain=[(0.5, 1.5), (-3.0, 3.0)],
    accuracy=Accuracy(1e-13, "scipy.special.huber", grid=((1e-3, 1e3), (-1e3, 1e3))),
    kinks="at |r| = delta that of the parabola; infinite for delta < 0",
    real_only=True,
)


def _root(d: Any, r: Any) -> tuple[Any, Any]:
    q = r / d
    return q, np.sqrt(1 + q * q)


def _pseudo_huber_scale(y: Any, d: Any, r: Any) -> Any:
    q, s = _root(d, r)
    return d * np.square(q * q / (s + 1)) / s


def _pseudo_huber_second(y: Any, d: Any, r: Any) -> Any:
    """Return 3 / s - 1 / s^3 - 2, factored."""
    q, s = _root(d, r)
    return -np.square(q * q / (s + 1)) * (2 * s + 1) / s**3


def _pseudo_huber_cross(y: Any, d: Any, r: Any) -> Any:
    q, s = _root(d, r)
    return (q / s) ** 3


pseudo_huber = elementwise(
    sc.pseudo_huber,
    d1=[_pseudo_huber_scale, lambda y, d, r: r / _root(d, r)[1]],
    d2={
        (0, 0): _pseudo_huber_second,
        (0, 1): _pseudo_huber_cross,
        (1, 1): lambda y, d, r: _root(d, r)[1] ** -3,
    },
    kinks="NaN at delta = 0",
    reference="d, r: r**2 / (sqrt(1 + (r / d)**2) + 1)",
    points=[(1.0, 0.0)],
    domain=[(0.5, 1.5), (-3.0, 3.0)],
    accuracy=Accuracy(1e-12, "scipy.special.pseudo_huber", grid=((1e-3, 1e3), (-1e3, 1e3)), partials=1e-12),
    analytic=lambda d, r: d**2 * (np.sqrt(1 + (r / d) ** 2) - 1),
)


# The gamma function's relatives.


def _rgamma_slope(y: Any, x: Any) -> Any:
    """Return the slope of 1 / Gamma: by reflection to the left, where psi has poles and it has none."""
    left = x < 0.5
    t, u = np.where(left, x, 0.0), np.where(left, 0.5, x)
    angle = math.pi * (t - np.rint(t))
    parity = 1 - 2 * np.remainder(np.rint(t), 2)
    gamma = sc.gamma(1 - t)
    reflected = parity * gamma * (np.cos(angle) - np.sin(angle) / math.pi * sc.digamma(1 - t))
    return np.where(left, reflected, -sc.rgamma(u) * sc.digamma(u))


rgamma = elementwise(
    sc.rgamma,
    d1=[_rgamma_slope],
    d2=None,
    reference="x: rgamma(x)",
    points=[0.0, -1.0, -2.0],
    domain=[_POSITIVE],
    accuracy=Accuracy(math.inf, "scipy.special.rgamma", grid=((-5.5, 100.0),), partials=1e-11),
    real_only=True,
)
loggamma = elementwise(
    sc.loggamma,
    d1=[lambda y, x: sc.digamma(x)],
    d2={(0, 0): lambda y, x: polygamma_op(x, n=1)},
    reference="x: gammaln(x)",
    domain=[_POSITIVE],
    accuracy=Accuracy(1e-12, "scipy.special.loggamma", grid=((1e-100, 1e100),)),
)
beta = elementwise(
    sc.beta,
    d1=[lambda y, a, b: -y * polygamma_drop_op(a, b, n=0), lambda y, a, b: -y * polygamma_drop_op(b, a, n=0)],
    d2=None,
    reference="a, b: beta(a, b)",
    domain=[_POSITIVE, _POSITIVE],
    accuracy=Accuracy(1e-12, "scipy.special.beta", grid=((5e-2, 50.0), (5e-2, 50.0)), partials=1e-11),
    analytic=lambda a, b: np.exp(sc.loggamma(a) + sc.loggamma(b) - sc.loggamma(a + b)),
)
poch = elementwise(
    sc.poch,
    d1=[lambda y, z, m: y * polygamma_drop_op(z, m, n=0), lambda y, z, m: y * sc.digamma(z + m)],
    d2=None,
    reference="z, m: rf(z, m)",
    kinks="NaN where z is 0 or a negative whole number",
    domain=[_POSITIVE, _POSITIVE],
    accuracy=Accuracy(1e-11, "scipy.special.poch", grid=((1e-2, 15.0), (1e-2, 15.0)), partials=1e-11),
    analytic=lambda z, m: np.exp(sc.loggamma(z + m) - sc.loggamma(z)),
)
binom = elementwise(
    sc.binom,
    d1=[
        lambda y, n, k: y * polygamma_drop_op(n - k + 1, k, n=0),
        lambda y, n, k: y * polygamma_drop_op(k + 1, n - 2 * k, n=0),
    ],
    d2=None,
    reference="n, k: binomial(n, k)",
    kinks="NaN where n - k + 1 or k + 1 is 0 or a negative whole number",
    domain=[(4.0, 7.0), (0.5, 3.5)],
    accuracy=Accuracy(1e-11, "scipy.special.binom", grid=((10.0, 30.0), (0.1, 9.0)), partials=1e-10),
    real_only=True,
)
expose(sc.gammasgn, nondifferentiable("gammasgn", sc.gammasgn, cases=[case(A(6))]))


def zeta_slope(s: Any, q: Any) -> Any:
    """Return the derivative of the Hurwitz zeta function in s, above -4, for q > 0, by Euler and Maclaurin's formula."""
    total: Any = 0.0
    for k in range(12):
        total = total - np.log(q + k) * np.power(q + k, -s)
    end = q + 12
    log, power = np.log(end), np.power(end, -s)
    total = total - power * end / (s - 1) * (log + 1 / (s - 1)) - 0.5 * log * power
    rising, logarithmic = s / end, 1 / s
    for j, number in enumerate(_BERNOULLI, start=1):
        total = total + number / math.factorial(2 * j) * power * rising * (logarithmic - log)
        for i in (2 * j - 1, 2 * j):
            rising, logarithmic = rising * (s + i) / end, logarithmic + 1 / (s + i)
    return np.where(np.less(s, -4), np.nan, total)


_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
zeta_op: Elementwise = register(
    Elementwise(
        "zeta",
        lambda s, q: np.asarray(sc.zeta(s, q), np.result_type(s, q))[()],
        d1=[lambda y, s, q: zeta_slope(s, q), lambda y, s, q: -s * zeta_op(s + 1, q)],
        d2=None,
        reference="s, q: zeta(s, q)",
        domain=[(1.5, 5.0), (0.3, 4.0)],
        cases=[case(A(3, domain=(1.5, 5.0)), A(3, domain=(0.3, 4.0)))],
        accuracy=Accuracy(1e-12, "scipy.special.zeta", grid=((1.1, 12.0), (0.1, 50.0)), partials=1e-11),
        real_only=True,
    )
)
zetac = elementwise(
    sc.zetac,
    d1=[lambda y, x: zeta_slope(x, 2.0)],
    d2=None,
    reference="x: zeta(x) - 1",
    kinks="NaN at 0 and below -4",
    domain=[(1.5, 5.0)],
    accuracy=Accuracy(1e-12, "scipy.special.zetac", grid=((1.1, 20.0),), partials=1e-11),
    real_only=True,
)
wrightomega = elementwise(
    sc.wrightomega,
    d1=[lambda y, x: y / (1 + y)],
    d2={(0, 0): lambda y, x: y / (1 + y) ** 3},
    reference="x: wright_omega(x)",
    accuracy=Accuracy(1e-12, "scipy.special.wrightomega", grid=((-300.0, 1e5),), partials=1e-12),
    real_only=True,
)


def _tukey_density(p: Any, x: Any, lam: Any) -> Any:
    inside = abs(x) * lam < 1
    p = np.where(inside, p, 0.5)
    return np.where(inside, 1 / (np.power(p, lam - 1) + np.power(1 - p, lam - 1)), 0.0)


tklmbda = elementwise(
    sc.tklmbda,
    d1=[lambda p, x, lam: _tukey_density(p, x, lam), MISSING],
    d2=None,
    cases=[case(A(3, domain=(-1.0, 1.0)), 0.4), case(A(3), -0.5), case(A(3, domain=(0.6, 2.0)), 2.0)],
    accuracy=Accuracy(
        1e-4, "scipy.special.tklmbda takes lambdas below 1e-4 for 0", grid=((-2.0, 2.0), [-0.5, 0.4, 2.0])
    ),
    real_only=True,
)
