"""Rows of trigonometric and hyperbolic functions and their inverses.

Second partials are written with first partials where that keeps the digits: a square such as (1 + x^2)^2 overflows long
before its reciprocal vanishes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.dispatch import elementwise
from hessian.rules.spec import LINE, Elementwise, finite

_UNIT, _ENDS = (-0.8, 0.8), (*LINE, -1.0, 1.0)

sin = elementwise(np.sin, d1=[lambda y, x: np.cos(x)], d2={(0, 0): lambda y, x: -y}, reference="x: sin(x)")
cos = elementwise(np.cos, d1=[lambda y, x: -np.sin(x)], d2={(0, 0): lambda y, x: -y}, reference="x: cos(x)")
tan = elementwise(
    np.tan,
    d1=[lambda y, x: 1 + y * y],
    d2={(0, 0): lambda y, x: 2 * y * (1 + y * y)},
    reference="x: tan(x)",
    domain=[(-1.2, 1.2)],
)


def _arc(x: Any) -> Any:
    """Return 1 / sqrt(1 - x^2)."""
    return 1 / np.sqrt((1 - x) * (1 + x))


arcsin: Elementwise = elementwise(
    np.arcsin,
    d1=[lambda y, x: _arc(x)],
    d2={(0, 0): lambda y, x: x / ((1 - x) * (1 + x)) * arcsin.d1[0](y, x)},
    reference="x: asin(x)",
    points=_ENDS,
    domain=[_UNIT],
)
arccos: Elementwise = elementwise(
    np.arccos,
    d1=[lambda y, x: -_arc(x)],
    d2={(0, 0): lambda y, x: x / ((1 - x) * (1 + x)) * arccos.d1[0](y, x)},
    reference="x: acos(x)",
    points=_ENDS,
    domain=[_UNIT],
)
arctan: Elementwise = elementwise(
    np.arctan,
    d1=[lambda y, x: 1 / (1 + x * x)],
    d2={(0, 0): lambda y, x: -2 * (finite(x) * arctan.d1[0](y, x)) * arctan.d1[0](y, x)},
    reference="x: atan(x)",
)


def _inverted(a: Any, b: Any) -> tuple[Any, Any]:
    """Return (a, b) / (a^2 + b^2), the inversion in the unit circle, without squaring: no overflow, no underflow."""
    r = np.hypot(a, b)
    return finite(a) / r / r, finite(b) / r / r


def _twice_product(a: Any, b: Any) -> Any:
    p, q = _inverted(a, b)
    return 2 * p * q


def _difference_of_squares(a: Any, b: Any) -> Any:
    p, q = _inverted(a, b)
    return (p - q) * (p + q)


arctan2 = elementwise(
    np.arctan2,
    d1=[lambda y, a, b: _inverted(a, b)[1], lambda y, a, b: -_inverted(a, b)[0]],
    d2={
        (0, 0): lambda y, a, b: -_twice_product(a, b),
        (0, 1): lambda y, a, b: _difference_of_squares(a, b),
        (1, 1): lambda y, a, b: _twice_product(a, b),
    },
    reference="a, b: atan2(a, b)",
    domain=[(-2.0, 2.0), (0.3, 3.0)],
    kinks="NaN at (0, 0)",
    analytic=lambda a, b: np.arctan(a / b),
)

sinh = elementwise(np.sinh, d1=[lambda y, x: np.cosh(x)], d2={(0, 0): lambda y, x: y}, reference="x: sinh(x)")
cosh = elementwise(np.cosh, d1=[lambda y, x: np.sinh(x)], d2={(0, 0): lambda y, x: y}, reference="x: cosh(x)")


def _sech2(x: Any) -> Any:
    """Return 1 / cosh(x)^2; 1 - tanh(x)^2 has no digits left from 18 on."""
    decay = np.exp(-2 * np.absolute(x))
    return 4 * decay / ((1 + decay) * (1 + decay))


tanh: Elementwise = elementwise(
    np.tanh, d1=[lambda y, x: _sech2(x)], d2={(0, 0): lambda y, x: -2 * y * tanh.d1[0](y, x)}, reference="x: tanh(x)"
)
arcsinh: Elementwise = elementwise(
    np.arcsinh,
    d1=[lambda y, x: 1 / np.hypot(1, x)],
    d2={(0, 0): lambda y, x: -(finite(x) * arcsinh.d1[0](y, x)) * arcsinh.d1[0](y, x) * arcsinh.d1[0](y, x)},
    reference="x: asinh(x)",
)
arccosh: Elementwise = elementwise(
    np.arccosh,
    d1=[lambda y, x: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1))],
    d2={(0, 0): lambda y, x: -(finite(x) * arccosh.d1[0](y, x)) * arccosh.d1[0](y, x) * arccosh.d1[0](y, x)},
    reference="x: acosh(x)",
    points=_ENDS,
    domain=[(1.3, 3.0)],
)
arctanh: Elementwise = elementwise(
    np.arctanh,
    d1=[lambda y, x: 1 / ((1 - x) * (1 + x))],
    d2={(0, 0): lambda y, x: 2 * x * arctanh.d1[0](y, x) * arctanh.d1[0](y, x)},
    reference="x: atanh(x)",
    points=_ENDS,
    domain=[_UNIT],
)
