"""Rows of Bessel functions and their kin in z: J, Y, I, K, scaled ones, Airy, Kelvin, Struve, and their integrals.

Derivatives go by the neighbours in the order, C_v' = (C_{v-1} - C_{v+1}) / 2, in which z = 0 is no exception (Abramowitz & Stegun 9.1.27
and 9.6.26). Derivatives in the order are not known in closed form: asking for one raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

from hessian.rules.dispatch import elementwise
from hessian.rules.parts import parts
from hessian.rules.samples import A, Accuracy, case
from hessian.rules.spec import MISSING, NONDIFF

_HALF = (0.3, 3.0)
_SCIPY = "scipy.special's Bessel functions"


def _of_order(
    ufunc: Any, slope: Callable[..., Any], reference: str, z: Any, *, whole: bool = False, row: Any = None, **more: Any
) -> None:
    """Declare a function of an order, whole or real, and of z."""
    orders = [2, 0] if whole else [1.5, 0.0]
    elementwise(
        ufunc,
        d1=[NONDIFF if whole else MISSING, slope],
        d2=None,
        reference=f"v, z: {reference}",
        cases=[case(v, A(3, 2, domain=_HALF)) for v in orders],
        accuracy=Accuracy(math.inf, _SCIPY, grid=([0, 1, 2, 5] if whole else [0.0, 0.5, 1.0, 2.5, 7.0], z), **more),
        real_only=True,
        **(row or {}),
    )


def _plain(
    ufunc: Any, slope: Callable[..., Any], reference: str, z: Any, *, domain: Any = _HALF, row: Any = None, **more: Any
) -> None:
    """Declare a function of z alone."""
    elementwise(
        ufunc,
        d1=[slope],
        d2=None,
        reference=f"z: {reference}",
        domain=[domain],
        accuracy=Accuracy(math.inf, _SCIPY, grid=(z,), **more),
        real_only=True,
        **(row or {}),
    )


# J and Y oscillate: where they or their slopes are zero, relative errors say nothing.
_WAVES: dict[str, Any] = {"partials": math.inf}
_LINE, _POSITIVE = (-30.0, 30.0), (1e-3, 30.0)
_of_order(sc.jv, lambda y, v, z: 0.5 * (sc.jv(v - 1, z) - sc.jv(v + 1, z)), "besselj(v, z)", _POSITIVE)
_of_order(sc.jve, lambda y, v, z: 0.5 * (sc.jve(v - 1, z) - sc.jve(v + 1, z)), "besselj(v, z)", _POSITIVE)
_of_order(sc.yv, lambda y, v, z: 0.5 * (sc.yv(v - 1, z) - sc.yv(v + 1, z)), "bessely(v, z)", _POSITIVE)
_of_order(sc.yve, lambda y, v, z: 0.5 * (sc.yve(v - 1, z) - sc.yve(v + 1, z)), "bessely(v, z)", _POSITIVE)
_of_order(sc.yn, lambda y, v, z: 0.5 * (sc.yn(v - 1, z) - sc.yn(v + 1, z)), "bessely(v, z)", _POSITIVE, whole=True)
_plain(sc.j0, lambda y, z: -sc.j1(z), "besselj(0, z)", _LINE, domain=(-3.0, 3.0))
_plain(sc.j1, lambda y, z: 0.5 * (sc.j0(z) - sc.jv(2.0, z)), "besselj(1, z)", _LINE, domain=(-3.0, 3.0))
_plain(sc.y0, lambda y, z: -sc.y1(z), "bessely(0, z)", _POSITIVE)
_plain(sc.y1, lambda y, z: 0.5 * (sc.y0(z) - sc.yv(2.0, z)), "bessely(1, z)", _POSITIVE)

# I and K have one sign.
_of_order(
    sc.iv, lambda y, v, z: 0.5 * (sc.iv(v - 1, z) + sc.iv(v + 1, z)), "besseli(v, z)", (1e-3, 300.0), partials=1e-12
)
_of_order(
    sc.kv, lambda y, v, z: -0.5 * (sc.kv(v - 1, z) + sc.kv(v + 1, z)), "besselk(v, z)", (1e-3, 300.0), partials=1e-12
)
_of_order(
    sc.kn,
    lambda y, v, z: -0.5 * (sc.kn(v - 1, z) + sc.kn(v + 1, z)),
    "besselk(v, z)",
    (1e-3, 300.0),
    whole=True,
    partials=1e-12,
)
_plain(sc.i0, lambda y, z: sc.i1(z), "besseli(0, z)", (-300.0, 300.0), domain=(-3.0, 3.0), partials=1e-12)
_plain(
    sc.i1,
    lambda y, z: 0.5 * (sc.i0(z) + sc.iv(2.0, z)),
    "besseli(1, z)",
    (-300.0, 300.0),
    domain=(-3.0, 3.0),
    partials=1e-12,
)
_plain(sc.k0, lambda y, z: -sc.k1(z), "besselk(0, z)", (1e-100, 300.0), partials=1e-12)
_plain(sc.k1, lambda y, z: -0.5 * (sc.k0(z) + sc.kv(2.0, z)), "besselk(1, z)", (1e-100, 300.0), partials=1e-12)


def _expansion(v: Any, z: Any, sign: float) -> tuple[Any, Any]:
    """Return where z is large, and there the slope of the scaled function by Hankel's expansion (9.7.1, 9.7.2), divided by its front
    factor 1/sqrt(z): the slope of the exponential would cancel all digits of that of the function."""
    far = np.abs(z) > np.maximum(40.0, 2 * v * v)
    u = 1 / np.where(far, np.abs(z), 40.0)
    total: Any = 0.0
    for k in range(22, 0, -1):
        # a_k / a_{k-1}, and the exponent of z that a_k stands with.
        ratio = sign * (4.0 * v * v - (2.0 * k - 1.0) ** 2) / (8.0 * k)
        total = ratio * u * (k + 0.5 + total)
    return far, -u * np.sqrt(u) * (0.5 + total)


def _scaled_slope(y: Any, z: Any, raw: Any, v: Any, sign: float, front: float) -> Any:
    """Return the slope of e^{-|z|} I_v (sign -1) or e^z K_v (sign 1), from the slope ``raw`` of the function, scaled."""
    far, tail = _expansion(v, z, sign)
    # At z = 0 e^{-|z|} has the slope of its right side.
    near = raw - np.where(np.less(z, 0), -1.0, 1.0) * y if sign < 0 else raw + y
    if sign < 0:
        # I_v(-z) = (-1)^v I_v(z) for whole orders, and no real number for others.
        whole = np.where(np.equal(np.rint(v), v), 2.0 * np.remainder(v, 2) - 1, np.nan)
        tail = tail * np.where(np.less(z, 0), whole, 1.0)
    return np.where(far, front * tail, near)


_FRONT_I, _FRONT_K = 1 / math.sqrt(2 * math.pi), math.sqrt(math.pi / 2)


def _ive_slope(y: Any, v: Any, z: Any) -> Any:
    return _scaled_slope(y, z, 0.5 * (sc.ive(v - 1, z) + sc.ive(v + 1, z)), v, -1.0, _FRONT_I)


def _kve_slope(y: Any, v: Any, z: Any) -> Any:
    return _scaled_slope(y, z, -0.5 * (sc.kve(v - 1, z) + sc.kve(v + 1, z)), v, 1.0, _FRONT_K)


_KINK = {"kinks": "at z = 0 that of the right side"}
_of_order(sc.ive, _ive_slope, "exp(-z) * besseli(v, z)", (1e-3, 1e5), row=_KINK, partials=3e-12)
_of_order(sc.kve, _kve_slope, "exp(z) * besselk(v, z)", (1e-3, 1e5), partials=3e-12)
_plain(
    sc.i0e,
    lambda y, z: _scaled_slope(y, z, sc.i1e(z), 0, -1.0, _FRONT_I),
    "exp(-abs(z)) * besseli(0, z)",
    (-1e5, 1e5),
    row=_KINK,
    partials=3e-12,
)
_plain(
    sc.i1e,
    lambda y, z: _scaled_slope(y, z, 0.5 * (sc.i0e(z) + sc.ive(2.0, z)), 1, -1.0, _FRONT_I),
    "exp(-abs(z)) * besseli(1, z)",
    (-1e5, 1e5),
    row=_KINK,
    partials=3e-12,
)
_plain(
    sc.k0e,
    lambda y, z: _scaled_slope(y, z, -sc.k1e(z), 0, 1.0, _FRONT_K),
    "exp(z) * besselk(0, z)",
    (1e-3, 1e5),
    row={"kinks": "second derivatives at infinity are NaN"},
    partials=3e-12,
)
_plain(
    sc.k1e,
    lambda y, z: _scaled_slope(y, z, -0.5 * (sc.k0e(z) + sc.kve(2.0, z)), 1, 1.0, _FRONT_K),
    "exp(z) * besselk(1, z)",
    (1e-3, 1e5),
    row={"kinks": "second derivatives at infinity are NaN"},
    partials=3e-12,
)


_NO_ORDER = {"kinks": "second derivatives at z = 0 are NaN"}


# Struve functions: 12.1.10 and 12.1.9, the second where the first cancels.
def _struve_slope(f: Any, sign: float) -> Callable[..., Any]:
    def slope(y: Any, v: Any, x: Any) -> Any:
        near = np.abs(x) < 8
        x_near, x_far = np.where(near, x, 1.0), np.where(near, 8.0, x)
        power = (0.5 * x_near) ** v * (sc.rgamma(v + 1.5) / math.sqrt(math.pi))
        low = 0.5 * (f(v - 1, x_near) - sign * f(v + 1, x_near) + power)
        return np.where(near, low, f(v - 1, x_far) - v / x_far * np.where(near, 0.0, y))

    return slope


_of_order(sc.struve, _struve_slope(sc.struve, 1.0), "struveh(v, z)", (1e-3, 30.0), row=_NO_ORDER, **_WAVES)
_of_order(sc.modstruve, _struve_slope(sc.modstruve, -1.0), "struvel(v, z)", (1e-3, 30.0), row=_NO_ORDER, partials=1e-11)

# Airy functions: Ai'' = x Ai.
_AIRY = Accuracy(math.inf, "scipy.special.airy", grid=((-8.0, 8.0),), partials=math.inf)
parts(
    sc.airy,
    {
        "airy_ai": [lambda y, x: sc.airy(x)[1]],
        "airy_aip": [lambda y, x: x * sc.airy(x)[0]],
        "airy_bi": [lambda y, x: sc.airy(x)[3]],
        "airy_bip": [lambda y, x: x * sc.airy(x)[2]],
    },
    references=["x: airyai(x)", "x: airyaip(x)", "x: airybi(x)", "x: airybip(x)"],
    accuracy=[_AIRY] * 4,
)


# Kelvin functions: f'' from their equation, with f'/x as a series where x is small.
def _over_x(first: int, x: Any) -> Any:
    """Return bei'(x) / x (``first`` 1) or ber'(x) / x (``first`` 0) for small x (9.9.10)."""
    u = (0.5 * x) ** 2
    total: Any = 0.0
    for k in range(8, -1, -1):
        m = 2 * k + first
        total = total + (-1) ** k * (m / math.factorial(m) ** 2) * u ** max(m - 1, 0)
    return 0.5 * total


def _kelvin_slope(other: Any, slope: Any, sign: float, first: int | None) -> Callable[..., Any]:
    def partial(y: Any, x: Any) -> Any:
        if first is None:
            return sign * other(x) - y / x
        near = np.abs(x) < 2
        return sign * other(x) - np.where(near, _over_x(first, np.where(near, x, 0.0)), y / np.where(near, 2.0, x))

    return partial


for _name, _prime, _other, _sign, _first in (
    ("ber", "berp", sc.bei, -1.0, 0),
    ("bei", "beip", sc.ber, 1.0, 1),
    ("ker", "kerp", sc.kei, -1.0, None),
    ("kei", "keip", sc.ker, 1.0, None),
):
    _span = (1e-3, 15.0) if _first is None else (-15.0, 15.0)
    _place = _HALF if _first is None else (-3.0, 3.0)
    _f, _g = getattr(sc, _name), getattr(sc, _prime)
    _plain(_f, lambda y, x, g=_g: g(x), f"{_name}(z)", _span, domain=_place, **_WAVES)
    _plain(_g, _kelvin_slope(_other, _g, _sign, _first), f"{_prime}(z)", _span, domain=_place, **_WAVES)

# Integrals from 0, whose slopes are the functions themselves.
for _ufunc, _slopes in (
    (sc.itj0y0, {"itj0y0_j": [lambda y, x: sc.j0(x)], "itj0y0_y": [lambda y, x: sc.y0(x)]}),
    (sc.iti0k0, {"iti0k0_i": [lambda y, x: sc.i0(x)], "iti0k0_k": [lambda y, x: sc.k0(x)]}),
):
    parts(_ufunc, _slopes, domain=_HALF)
for _ufunc, _slope in (
    (sc.itstruve0, lambda y, x: sc.struve(0.0, x)),
    (sc.itmodstruve0, lambda y, x: sc.modstruve(0.0, x)),
):
    elementwise(_ufunc, d1=[_slope], d2=None, domain=[_HALF], cases=[case(A(3))], real_only=True)


# Parabolic cylinder functions: D_v'' = (x^2 / 4 - v - 1/2) D_v, W'' = (a - x^2 / 4) W.
def _cylinder(ufunc: Any, sign: float, shift: Callable[[Any], Any]) -> None:
    name = ufunc.__name__
    parts(
        ufunc,
        {
            name: [MISSING, lambda y, v, x: ufunc(v, x)[1]],
            f"{name}_slope": [MISSING, lambda y, v, x: (sign * 0.25 * x * x + shift(v)) * ufunc(v, x)[0]],
        },
        cases=[case(1.5, A(3)), case(0.5, A(3))],
    )


_cylinder(sc.pbdv, 1.0, lambda v: -v - 0.5)
_cylinder(sc.pbvv, 1.0, lambda v: -v - 0.5)
_cylinder(sc.pbwa, -1.0, lambda a: a)
