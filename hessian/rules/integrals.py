"""Rows of scipy.special: the error function's relatives and inverses, exponential, sine and Fresnel integrals, elliptic integrals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from hessian.rules.dispatch import elementwise
from hessian.rules.parts import divided_log1p, parts
from hessian.rules.samples import A, Accuracy, case
from hessian.rules.spec import MISSING, NONDIFF, Elementwise, finite, register
from hessian.rules.special_functions import bending_op, mills_op

_PI, _INF = math.pi, math.inf
_SQRT_PI, _SQRT_2 = math.sqrt(_PI), math.sqrt(2.0)
_UNIT = ((0.1, 0.9),)
_DOUBLE = np.float64(0.0)

# The error function.
erfcx = elementwise(
    sc.erfcx,
    # 2 x y - 2 / sqrt(pi) without its cancellation.
    d1=[lambda y, x: -_SQRT_PI * (y * (y * bending_op(-_SQRT_2 * x)))],
    d2=None,
    reference="x: erfcx(x)",
    points=[0.0, 2.0],
    accuracy=Accuracy(1e-13, "scipy.special.erfcx overflows below -26", grid=((-9.0, 1e30),), partials=2e-12),
    real_only=True,
)
erfi = elementwise(
    sc.erfi,
    d1=[lambda y, x: 2 / _SQRT_PI * np.exp(x * x)],
    d2=None,
    reference="x: erfi(x)",
    accuracy=Accuracy(1e-13, "scipy.special.erfi overflows from 27 on", grid=((-9.0, 9.0),)),
)


def _dawson_slope(y: Any, x: Any) -> Any:
    """Return 1 - 2 x D(x), whose cancellation far out an asymptotic series takes (Abramowitz & Stegun 7.1.23)."""
    far = np.abs(x) > 7
    u = 1 / np.square(np.where(far, x, 7.0))
    return np.where(far, -0.5 * u * _scaled_tail(u), 1 - 2 * np.where(far, 0.0, x) * y)


def _scaled_tail(u: Any) -> Any:
    """Return the sum of (2 k + 1) c_k u^k with c_k = (2 k - 1)!! / 2^k."""
    total: Any = 0.0
    for k in range(24, 0, -1):
        total = (total + 2 * k + 1) * (u * (k - 0.5))
    return total + 1


dawsn = elementwise(
    sc.dawsn,
    d1=[_dawson_slope],
    d2=None,
    reference="x: dawsn(x)",
    points=[0.0],
    accuracy=Accuracy(1e-13, "scipy.special.dawsn", grid=((-1e4, 1e4),), partials=5e-13),
)
erfinv = elementwise(
    sc.erfinv,
    d1=[lambda y, x: _SQRT_PI / 2 * np.exp(y * y)],
    d2=None,
    reference="x: erfinv(x)",
    domain=[(-0.9, 0.9)],
    accuracy=Accuracy(1e-13, "scipy.special.erfinv", grid=((-0.999, 0.999),)),
    real_only=True,
)


def _erfcinv_slope(y: Any, x: Any) -> Any:
    # exp(y^2) is erfcx(y) / x, of more digits where y is large.
    low = x < 0.5
    return (
        -_SQRT_PI
        / 2
        * np.where(low, sc.erfcx(np.minimum(y, 27.0)) / np.where(low, x, 0.5), np.exp(y * np.where(low, 0.0, y)))
    )


erfcinv = elementwise(
    sc.erfcinv,
    d1=[_erfcinv_slope],
    d2=None,
    reference="x: erfcinv(x)",
    domain=[(0.1, 1.9)],
    accuracy=Accuracy(1e-13, "scipy.special.erfcinv", grid=((1e-17, 1.99),), partials=5e-13),
    real_only=True,
)


def _ndtri_slope(y: Any, p: Any) -> Any:
    low = p < 0.5
    below = 1 / (np.where(low, p, 0.5) * finite(mills_op(np.where(low, np.maximum(y, -38.0), 0.0))))
    return np.where(low, below, math.sqrt(2 * _PI) * np.exp(0.5 * y * np.where(low, 0.0, y)))


ndtri = elementwise(
    sc.ndtri,
    d1=[_ndtri_slope],
    d2=None,
    reference="p: -sqrt(2) * erfcinv(2 * p)",
    domain=_UNIT,
    accuracy=Accuracy(1e-13, "scipy.special.ndtri", grid=((1e-17, 0.999),), partials=5e-13),
    real_only=True,
)
ndtri_exp = elementwise(
    sc.ndtri_exp,
    d1=[lambda y, x: 1 / mills_op(y)],
    d2=None,
    reference="x: -sqrt(2) * erfcinv(2 * exp(x))",
    domain=[(-4.0, -0.2)],
    accuracy=Accuracy(1e-12, "scipy.special.ndtri_exp", grid=((-600.0, -1e-3),), partials=1e-12),
    real_only=True,
)
owens_t = elementwise(
    sc.owens_t,
    d1=[
        lambda y, h, a: -np.exp(-0.5 * h * h) * sc.erf(a * h / _SQRT_2) / (2 * math.sqrt(2 * _PI)),
        lambda y, h, a: np.exp(-0.5 * h * h * (1 + a * a)) / (2 * _PI * (1 + a * a)),
    ],
    d2=None,
    reference="h, a: owens_t(h, a)",
    accuracy=Accuracy(1e-12, "scipy.special.owens_t", grid=((-4.0, 4.0), (-0.7, 0.7))),
    real_only=True,
)


def _faddeeva(part: str, slopes: Any) -> Elementwise:
    # One number of the Faddeeva function w(x + i y), of which a program keeps no complex ones.
    return register(
        Elementwise(
            f"wofz_{part}",
            lambda x, y: np.asarray(getattr(sc.wofz(x + 1j * y), part), np.result_type(x, y))[()],
            d1=slopes,
            d2=None,
            cases=[case(A(3), A(3, domain=(0.2, 2.0)))],
            real_only=True,
        )
    )


def _w_real(x: Any, y: Any) -> Any:
    """Return the real part of w' = -2 z w + 2 i / sqrt(pi)."""
    return _near_or_far(x, y, lambda x, y: -2 * (x * wofz_real_op(x, y) - y * wofz_imag_op(x, y)), 0)


def _w_imag(x: Any, y: Any) -> Any:
    return _near_or_far(x, y, lambda x, y: -2 * (x * wofz_imag_op(x, y) + y * wofz_real_op(x, y)) + 2 / _SQRT_PI, 1)


def _w_second(x: Any, y: Any) -> Any:
    """Return the real part of w'' = -2 w - 2 z w'."""
    return _near_or_far(x, y, lambda x, y: -2 * (wofz_real_op(x, y) + x * _w_real(x, y) - y * _w_imag(x, y)), 2)


def _near_or_far(x: Any, y: Any, near: Any, part: int) -> Any:
    """Return what cancels far out, where |z| is above 20, by its asymptotic series there."""
    far = (x * x + y * y > 400.0) & ((y >= 0) | (x * x - y * y > 100.0))
    if not np.any(far):
        return near(x, y)
    taken = [np.where(far, t, 20.0) for t in (x, y)]
    return np.where(far, _w_far(*taken)[part], near(np.where(far, 1.0, x), np.where(far, 1.0, y)))


def _w_far(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return real and imaginary part of w' and the real one of w'', but for exp(-z^2) in the lower half plane.

    w' ~ -i / sqrt(pi) * sum (2k + 1)!! / 2^k / z^(2k + 2) (Abramowitz & Stegun 7.1.23, differentiated).
    """
    square = x * x + y * y
    a, b = x / square, -y / square
    u, v = a * a - b * b, 2 * a * b
    p, q, r, s = _FAR[-1], 0.0, 2 * len(_FAR) * _FAR[-1], 0.0
    for k, c in reversed(list(enumerate(_FAR[:-1]))):
        p, q = p * u - q * v + c, p * v + q * u
        r, s = r * u - s * v + (2 * k + 2) * c, r * v + s * u
    p, q, r, s = p * u - q * v, p * v + q * u, r * u - s * v, r * v + s * u
    return q / _SQRT_PI, -p / _SQRT_PI, -(r * b + s * a) / _SQRT_PI


_FAR = [math.prod(range(1, 2 * k + 2, 2)) / 2**k for k in range(9)]


wofz_real_op = _faddeeva("real", [lambda u, x, y: _w_real(x, y), lambda u, x, y: -_w_imag(x, y)])
wofz_imag_op = _faddeeva("imag", [lambda v, x, y: _w_imag(x, y), lambda v, x, y: _w_real(x, y)])


def _voigt_slope(i: int, x: Any, sigma: Any, gamma: Any) -> Any:
    # In double, because the derivatives of w(z) cancel.
    x, sigma, gamma = x + _DOUBLE, sigma + _DOUBLE, gamma + _DOUBLE
    a, b = x / (_SQRT_2 * sigma), gamma / (_SQRT_2 * sigma)
    scale = 1 / (2 * _SQRT_PI * sigma * sigma)
    # The profile solves the heat equation in sigma^2 / 2.
    return _VOIGT[i](a, b) * scale


_VOIGT = (_w_real, lambda a, b: _w_second(a, b) / _SQRT_2, lambda a, b: -_w_imag(a, b))


voigt_profile = elementwise(
    sc.voigt_profile,
    d1=[lambda y, *xs, i=i: _voigt_slope(i, *xs).astype(y.dtype) for i in range(3)],
    d2=None,
    reference="x, s, g: voigt(x, s, g)",
    domain=[(-2.0, 2.0), (0.5, 2.0), (0.2, 2.0)],
    accuracy=Accuracy(1e-12, "scipy.special.wofz", grid=((-4.0, 4.0), (0.5, 3.0), (0.1, 3.0)), partials=1e-9),
    real_only=True,
)

# Exponential integrals and those of sine and cosine.
exp1 = elementwise(
    sc.exp1,
    d1=[lambda y, x: -np.exp(-x) / x],
    d2=None,
    reference="x: e1(x)",
    domain=[(0.3, 3.0)],
    accuracy=Accuracy(1e-13, "scipy.special.exp1", grid=((1e-30, 80.0),)),
)
expi = elementwise(
    sc.expi,
    d1=[lambda y, x: np.exp(x) / x],
    d2=None,
    reference="x: ei(x)",
    domain=[(0.5, 3.0)],
    accuracy=Accuracy(math.inf, "scipy.special.expi near its zero 0.3725", grid=((-80.0, 80.0),)),
    real_only=True,
)


def _expn(n: Any, x: Any) -> Any:
    """Evaluate E_n for any whole n: from -1 down, Gamma(1 - n, x) x^(n - 1)."""
    k = np.minimum(n, -1)
    with np.errstate(all="ignore"):
        below = sc.gamma(1.0 - k) * sc.gammaincc(1.0 - k, x) * x ** (k - 1.0)
    return np.where(np.less(n, 0), below, sc.expn(np.maximum(n, 0), x)).astype(np.result_type(x))[()]


expn_below_op: Elementwise = register(
    Elementwise(
        "expn_below",
        _expn,
        d1=[NONDIFF, lambda y, n, x: -expn_below_op(n - 1, x)],
        d2=None,
        cases=[case(k, A(3, domain=(0.5, 2.0))) for k in (2, -1)],
        real_only=True,
    )
)
expn = elementwise(
    sc.expn,
    d1=[NONDIFF, lambda y, n, x: -expn_below_op(n - 1, x)],
    d2=None,
    reference="n, x: expint(n, x)",
    cases=[case(k, A(3, domain=(0.5, 2.0))) for k in (0, 1, 4)],
    accuracy=Accuracy(1e-13, "scipy.special.expn", grid=([0, 1, 2, 5], (1e-3, 80.0)), partials=1e-12),
    real_only=True,
)


def _cosine(x: Any) -> Any:
    return np.cos(x) / x


def _sinc(x: Any) -> Any:
    """Return sin(x) / x with its derivatives at 0."""
    near = np.abs(x) < 1
    u = np.square(np.where(near, x, 0.0))
    series: Any = 1.0
    for k in range(12, 0, -1):
        series = 1 - series * u / (2 * k * (2 * k + 1))
    far = np.where(near, 1.0, x)
    return np.where(near, series, np.sin(far) / far)


def _sinhc(x: Any) -> Any:
    near = np.abs(x) < 1
    u = np.square(np.where(near, x, 0.0))
    series: Any = 1.0
    for k in range(12, 0, -1):
        series = 1 + series * u / (2 * k * (2 * k + 1))
    far = np.where(near, 1.0, x)
    return np.where(near, series, np.sinh(far) / far)


parts(
    sc.sici,
    {"sici_si": [lambda y, x: _sinc(x)], "sici_ci": [lambda y, x: _cosine(x)]},
    references=["x: si(x)", "x: ci(x)"],
    accuracy=[
        Accuracy(1e-12, "scipy.special.sici", grid=((-1e3, 1e3),), partials=1e-12),
        Accuracy(math.inf, "scipy.special.sici near the zeros of Ci", grid=((1e-30, 1e3),), partials=1e-12),
    ],
    domain=(0.3, 4.0),
)
parts(
    sc.shichi,
    {"shichi_shi": [lambda y, x: _sinhc(x)], "shichi_chi": [lambda y, x: np.cosh(x) / x]},
    references=["x: shi(x)", "x: chi(x)"],
    accuracy=[
        Accuracy(1e-12, "scipy.special.shichi", grid=((-80.0, 80.0),), partials=1e-12),
        Accuracy(math.inf, "scipy.special.shichi near the zero of Chi", grid=((1e-30, 80.0),), partials=1e-12),
    ],
    domain=(0.3, 4.0),
)
parts(
    sc.fresnel,
    {
        "fresnel_s": [lambda y, x: np.sin(_PI / 2 * x * x)],
        "fresnel_c": [lambda y, x: np.cos(_PI / 2 * x * x)],
    },
    references=["x: fresnels(x)", "x: fresnelc(x)"],
    accuracy=[
        Accuracy(1e-12, "scipy.special.fresnel", grid=((-30.0, 30.0),), partials=1e-10),
        Accuracy(1e-12, "scipy.special.fresnel", grid=((-30.0, 30.0),), partials=1e-10),
    ],
)


def _spence_slope(y: Any, z: Any) -> Any:
    """Return log(z) / (1 - z), as a series near 1."""
    near = np.abs(z - 1) < 0.3
    far = np.where(near, 0.5, z)
    return np.where(near, -divided_log1p(np.where(near, z - 1, 0.0)), np.log(far) / (1 - far))


spence = elementwise(
    sc.spence,
    d1=[_spence_slope],
    d2=None,
    reference="z: polylog(2, 1 - z)",
    points=[1.0],
    domain=[(0.2, 3.0)],
    accuracy=Accuracy(1e-12, "scipy.special.spence near its zero 1", grid=((1e-8, 40.0),), partials=1e-12),
)

# Elliptic integrals, by Carlson's R_D, in which nothing cancels.


def _complement(p: Any) -> Any:
    """Return D = (K - E) / m for m = 1 - p."""
    return sc.elliprd(0.0, p, 1.0) / 3


def _complement_slope(d: Any, p: Any) -> Any:
    """Return dD/dp; near p = 1 as a hypergeometric series, because K - 2 D vanishes there with m."""
    near = np.abs(p - 1) < 0.3
    q = np.where(near, 0.5, p)
    m = 1 - q
    far = -(sc.ellipkm1(q) - d * (1 + q)) / (2 * q * m)
    return np.where(near, -3 * _PI / 32 * sc.hyp2f1(2.5, 1.5, 3.0, np.where(near, 1 - p, 0.0)), far)


elliptic_d_op: Elementwise = register(
    Elementwise(
        "elliptic_d",
        _complement,
        d1=[_complement_slope],
        d2=None,
        cases=[case(A(4, domain=(0.3, 2.0)))],
        domain=[(0.3, 2.0)],
        real_only=True,
    )
)
ellipkm1 = elementwise(
    sc.ellipkm1,
    d1=[lambda y, p: -(y - elliptic_d_op(p)) / (2 * p)],
    d2=None,
    reference="p: ellipk(1 - p)",
    points=[1.0],
    domain=[(0.2, 2.0)],
    accuracy=Accuracy(1e-13, "scipy.special.ellipkm1", grid=((1e-12, 100.0),), partials=1e-12),
    real_only=True,
)
ellipk = elementwise(
    sc.ellipk,
    d1=[lambda y, m: (y - elliptic_d_op(1 - m)) / (2 * (1 - m))],
    d2=None,
    reference="m: ellipk(m)",
    points=[0.0],
    domain=[(-1.0, 0.8)],
    accuracy=Accuracy(1e-13, "scipy.special.ellipk", grid=((-100.0, 0.999),), partials=1e-12),
    real_only=True,
)
ellipe = elementwise(
    sc.ellipe,
    d1=[lambda y, m: -0.5 * elliptic_d_op(1 - m)],
    d2=None,
    reference="m: ellipe(m)",
    points=[0.0],
    domain=[(-1.0, 0.8)],
    accuracy=Accuracy(1e-13, "scipy.special.ellipe", grid=((-100.0, 0.999),), partials=1e-12),
    real_only=True,
)


def _modulus(phi: Any, m: Any) -> Any:
    return np.sqrt(1 - m * np.square(np.sin(phi)))


for _ufunc, _slope, _reference in (
    (sc.ellipkinc, lambda y, phi, m: 1 / _modulus(phi, m), "phi, m: ellipf(phi, m)"),
    (sc.ellipeinc, lambda y, phi, m: _modulus(phi, m), "phi, m: ellipeinc(phi, m)"),
):
    elementwise(
        _ufunc,
        d1=[_slope, MISSING],
        d2=None,
        reference=_reference,
        cases=[case(A(3), 0.4), case(A(3), -1.5)],
        accuracy=Accuracy(
            1e-12, f"scipy.special.{_ufunc.__name__}", grid=((-1.5, 1.5), [-2.0, 0.0, 0.4, 0.9]), partials=1e-12
        ),
        real_only=True,
    )

_JACOBI = {
    "ellipj_sn": [lambda y, u, m: sc.ellipj(u, m)[1] * sc.ellipj(u, m)[2], MISSING],
    "ellipj_cn": [lambda y, u, m: -sc.ellipj(u, m)[0] * sc.ellipj(u, m)[2], MISSING],
    "ellipj_dn": [lambda y, u, m: -m * sc.ellipj(u, m)[0] * sc.ellipj(u, m)[1], MISSING],
    "ellipj_ph": [lambda y, u, m: sc.ellipj(u, m)[2], MISSING],
}
parts(sc.ellipj, _JACOBI, cases=[case(A(3), 0.4), case(A(3), 0.9)])
