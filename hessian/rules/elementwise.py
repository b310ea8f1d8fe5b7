"""Rows of arithmetic, powers, exponentials and logarithms.

``d1`` lists the partial in each argument, ``d2`` the complete table of second partials; both receive the primal output
``y`` first. Constants are Python numbers so that float32 stays float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import expit

from hessian.rules.dispatch import elementwise
from hessian.rules.smooth import Root
from hessian.rules.spec import HALF_LINE, LINE, ZERO, Traced, primal

_LN2, _LN10 = math.log(2.0), math.log(10.0)
_POSITIVE = (0.3, 3.0)
_INF = math.inf
_SMALL = 1e-3
"""Exponents for which a power and its curvature are of unlike magnitude."""


def _is_scalar(b: Any) -> bool:
    return not isinstance(b, Traced) and np.ndim(b) == 0


def _lowered(y: Any, a: Any, b: Any) -> Any:
    """Return ``a**(b - 1)``; where b is so large that b - 1 is b, the sign of a negative base needs ``y / a``."""
    if _is_scalar(b):
        return y / a if b - 1 == b else a ** (b - 1)
    return np.where(np.equal(b - 1, b), y / a, a ** (b - 1))


def _slope(y: Any, a: Any, b: Any) -> Any:
    """Return ``b a**(b-1)``, with 0 * 0**-1 = 0 and inf * 0.5**inf = 0."""
    if _is_scalar(b):
        return np.zeros_like(a) if b == 0 else b * _lowered(y, a, b)
    # Guarded at a = 0 only, so that elsewhere the derivative in the exponent passes through at every order.
    gone = np.logical_or(np.logical_and(np.equal(b, 0), np.equal(a, 0)), np.logical_and(np.isinf(b), np.equal(y, 0)))
    return np.where(gone, 0.0, b * _lowered(y, a, np.where(gone, 1, b)))


def _curvature(y: Any, a: Any, b: Any) -> Any:
    """Return ``b (b - 1) a**(b-2)``, zero at a = 0 where a factor is, without b^2 and for small b without a^-2."""
    if _is_scalar(b):
        if b in (0, 1):
            return np.zeros_like(a)
        return _slope(y, a, b) * ((b - 1) / a) if abs(b) < _SMALL else b * a ** (b - 2) * (b - 1)
    gone = np.logical_and(np.equal(b * (b - 1), 0), np.equal(a, 0))
    gone = np.logical_or(gone, np.logical_and(np.isinf(b), np.equal(y, 0)))
    steep = b * a ** np.where(gone, 1, b - 2) * (b - 1)
    return np.where(gone, 0.0, np.where(np.absolute(b) < _SMALL, _slope(y, a, b) * ((b - 1) / a), steep))


def _times_log(y: Any, a: Any, order: int = 1) -> Any:
    """Return ``y * log(a)**order``, exactly zero where ``y`` is: 0**b has derivative 0 in b for b > 0."""
    return np.where(y == 0, 0.0, y * np.log(np.where(y == 0, 1.0, a)) ** order)


def _power_mixed(y: Any, a: Any, b: Any) -> Any:
    """Return the mixed second partial of ``a**b``: a**(b-1) (1 + b log a), zero where a**(b-1) is."""
    p = _lowered(y, a, b)
    flat = np.logical_or(p == 0, np.logical_and(np.equal(a, 0), np.equal(b, 0)))
    return np.where(p == 0, 0.0, p * (1 + b * np.log(np.where(flat, 1.0, a))))


def _nearly_whole(exponent: Any) -> Any:
    """Return exponents with those that rounding has moved away from a whole number, as of a third times three, put back."""
    whole = np.round(exponent)
    return np.where(np.abs(exponent - whole) <= 4 * np.finfo(float).eps * np.abs(whole), whole, exponent)[()]


_POWER: dict[str, Any] = {
    "d1": [_slope, lambda y, a, b: _times_log(y, a)],
    "d2": {(0, 0): _curvature, (0, 1): _power_mixed, (1, 1): lambda y, a, b: _times_log(y, a, 2)},
    "domain": [_POSITIVE, (-2.0, 3.0)],
    "kinks": "a**b at a = 0: 0 in a for b = 0, 0 in b for b > 0, -inf in b for b = 0 (0**b jumps there)",
    "root": Root((), lambda product, degree, a, b: product(a ** _nearly_whole(degree * b), 1)),
    "reference": "a, b: a**b",
    "points": [
        *((a, b) for a in (0.0, 1.0, 0.5, 2.0, _INF) for b in (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 2.5)),
        *((a, b) for a in (-2.0, -1e150, -1e-150) for b in (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0)),
        *((a, b) for a in (0.5, 1.5) for b in (1e200, -1e200, _INF, -_INF)),
    ],
}

# Arithmetic.
add = elementwise(np.add, d1=[1, 1], d2={}, reference="a, b: a + b")
subtract = elementwise(np.subtract, d1=[1, -1], d2={}, reference="a, b: a - b")
multiply = elementwise(
    np.multiply, d1=[lambda y, a, b: b, lambda y, a, b: a], d2={(0, 1): 1}, annihilates=(0, 1), reference="a, b: a * b"
)
divide = elementwise(
    np.divide,
    d1=[lambda y, a, b: 1 / b, lambda y, a, b: -y / b],
    d2={(0, 1): lambda y, a, b: -1 / (b * b), (1, 1): lambda y, a, b: 2 * (y / b) / b},
    annihilates=(0,),
    domain=[(-2.0, 2.0), _POSITIVE],
    reference="a, b: a / b",
)
negative = elementwise(np.negative, d1=[-1], d2={}, reference="x: -x")
positive = elementwise(np.positive, d1=[1], d2={}, reference="x: x")
conjugate = elementwise(np.conjugate, d1=[1], d2={}, analytic=lambda z: z, reference="x: x")
power = elementwise(np.power, **_POWER)
float_power = elementwise(np.float_power, **_POWER)
square = elementwise(np.square, d1=[lambda y, x: 2 * x], d2={(0, 0): 2}, reference="x: x**2")
reciprocal = elementwise(
    np.reciprocal,
    d1=[lambda y, x: -y * y],
    d2={(0, 0): lambda y, x: 2 * y * y * y},
    domain=[_POSITIVE],
    reference="x: 1 / x",
)
sqrt = elementwise(
    np.sqrt,
    d1=[lambda y, x: 0.5 / y],
    d2={(0, 0): lambda y, x: -0.25 / (y * x)},
    domain=[_POSITIVE],
    root=Root((2,), lambda product, degree, x: product(x, 1)),
    reference="x: sqrt(x)",
    points=HALF_LINE,
)
cbrt = elementwise(
    np.cbrt,
    d1=[lambda y, x: 1 / (3 * y * y)],
    d2={(0, 0): lambda y, x: -2 / (9 * y * y * x)},
    domain=[_POSITIVE],
    analytic=lambda z: z ** (1 / 3),
    root=Root((3,), lambda product, degree, x: product(x, 1)),
    reference="x: cbrt(x)",
)
remainder = elementwise(
    np.remainder,
    d1=[1, lambda y, a, b: -np.floor_divide(a, b)],
    d2={},
    domain=[(-2.0, 2.0), (0.7, 3.0)],
    kinks="the one-sided derivative at the jumps",
    analytic=lambda a, b: a - b * np.floor_divide(np.real(a), np.real(b)),
    reference="a, b: a - b * floor(a / b) if b else undefined",
    points=[(1.0, _INF), (0.0, 2.0), (0.3, 0.1), (-0.3, 0.1)],
)
fmod = elementwise(
    np.fmod,
    d1=[1, lambda y, a, b: np.rint((y - a) / b)],
    d2={},
    domain=[(-2.0, 2.0), (0.7, 3.0)],
    kinks="the one-sided derivative at the jumps",
    analytic=lambda a, b: a - b * np.trunc(np.real(a) / np.real(b)),
    reference="a, b: a - b * sign(a / b) * floor(abs(a / b)) if b else undefined",
    points=[(1.0, _INF), (-1.0, _INF), (0.0, 2.0), (0.3, 0.1), (-0.3, 0.1)],
)


def cosine(side: Any, hypotenuse: Any) -> Any:
    """Return side / hypotenuse, also where both are infinite."""
    return np.where(np.isinf(side), np.sign(side), side / hypotenuse)


hypot = elementwise(
    np.hypot,
    d1=[lambda y, a, b: cosine(a, y), lambda y, a, b: cosine(b, y)],
    # Divided twice before it is multiplied: squares of small cosines underflow.
    d2={
        (0, 0): lambda y, a, b: cosine(b, y) * (cosine(b, y) / y),
        (0, 1): lambda y, a, b: -cosine(a, y) * (cosine(b, y) / y),
        (1, 1): lambda y, a, b: cosine(a, y) * (cosine(a, y) / y),
    },
    kinks="NaN at (0, 0)",
    analytic=lambda a, b: np.sqrt(a * a + b * b),
    root=Root((2,), lambda product, degree, a, b: product(a, a) + product(b, b)),
    reference="a, b: sqrt(a**2 + b**2)",
)
for _ufunc, _unit, _reference in (
    (np.deg2rad, math.pi / 180, "x: x * pi / 180"),
    (np.radians, math.pi / 180, "x: x * pi / 180"),
    (np.rad2deg, 180 / math.pi, "x: x * 180 / pi"),
    (np.degrees, 180 / math.pi, "x: x * 180 / pi"),
):
    elementwise(_ufunc, d1=[_unit], d2={}, analytic=lambda z, unit=_unit: z * unit, reference=_reference)

# Exponentials and logarithms.
exp = elementwise(np.exp, d1=[primal], d2={(0, 0): primal}, reference="x: exp(x)")
exp2 = elementwise(
    np.exp2,
    d1=[lambda y, x: _LN2 * y],
    d2={(0, 0): lambda y, x: _LN2**2 * y},
    analytic=lambda z: 2.0**z,
    reference="x: exp(x * log(2))",
)
# exp(x) rather than y + 1, which has no digits left for large negative x.
expm1 = elementwise(np.expm1, d1=[lambda y, x: np.exp(x)], d2={(0, 0): lambda y, x: np.exp(x)}, reference="x: expm1(x)")
log = elementwise(
    np.log,
    d1=[lambda y, x: 1 / x],
    d2={(0, 0): lambda y, x: -1 / (x * x)},
    domain=[_POSITIVE],
    reference="x: log(x)",
    points=HALF_LINE,
)
log2, log10 = (
    elementwise(
        ufunc,
        d1=[lambda y, x, unit=unit: (1 / unit) / x],
        d2={(0, 0): lambda y, x, unit=unit: (-1 / unit) / (x * x)},
        domain=[_POSITIVE],
        reference=f"x: log(x) / log({base})",
        points=HALF_LINE,
    )
    for ufunc, unit, base in ((np.log2, _LN2, 2), (np.log10, _LN10, 10))
)
log1p = elementwise(
    np.log1p,
    d1=[lambda y, x: 1 / (1 + x)],
    d2={(0, 0): lambda y, x: -1 / ((1 + x) * (1 + x))},
    domain=[(-0.7, 3.0)],
    reference="x: log1p(x)",
    points=[*LINE, -1.0],
)


def _gap(a: Any, b: Any) -> Any:
    """Return a - b, zero where both are the same infinity; a finite constant is the same as none."""
    for x in (a, b):
        if not isinstance(x, Traced) and np.isfinite(x).all():
            return a - b
    return np.where(np.logical_and(np.isinf(a), np.equal(a, b)), 0.0, a - b)


def _log_of_sum(ufunc: np.ufunc, unit: float, **row: Any) -> Any:
    """Declare log(exp(a) + exp(b)) in the base whose logarithm is ``unit``.

    The weights come from a - b, not from the result, which has no digits of its own for them where it is large.
    """

    def spread(y: Any, a: Any, b: Any) -> Any:
        of_a, of_b = operation.d1
        product = of_a(y, a, b) * of_b(y, a, b)
        return product if unit == 1.0 else unit * product

    def weight(a: Any, b: Any) -> Any:
        return expit(_gap(a, b) if unit == 1.0 else unit * _gap(a, b))

    operation = elementwise(
        ufunc,
        d1=[lambda y, a, b: weight(a, b), lambda y, a, b: weight(b, a)],
        d2={(0, 0): spread, (0, 1): lambda y, a, b: -spread(y, a, b), (1, 1): spread},
        kinks="1/2 in each argument where both are the same infinity",
        **row,
    )
    return operation


logaddexp = _log_of_sum(
    np.logaddexp, 1.0, reference="a, b: a + log1p(exp(b - a))", analytic=lambda a, b: np.log(np.exp(a) + np.exp(b))
)
logaddexp2 = _log_of_sum(
    np.logaddexp2,
    _LN2,
    reference="a, b: a + log1p(exp((b - a) * log(2))) / log(2)",
    analytic=lambda a, b: np.log2(2.0**a + 2.0**b),
)

elementwise(np.nextafter, d1=[1, ZERO], d2={}, points=[], analytic=lambda x1, x2: x1 + 0 * x2)
