"""Rows of NumPy's elementwise functions.

``d1`` lists the partial in each argument, ``d2`` the complete table of second partials; both receive the primal output
``y`` first. Constants are Python numbers so that float32 stays float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.rules.smooth import Root
from hessian.rules.spec import NONDIFF, ZERO, A, Elementwise, Traced, case, elementwise, expose, register

_LN2, _LN10 = math.log(2.0), math.log(10.0)
_POSITIVE, _UNIT = (0.3, 3.0), (-0.8, 0.8)


def _is_scalar(b: Any) -> bool:
    return not isinstance(b, Traced) and np.ndim(b) == 0


def _scaled_power(coefficient: Any, a: Any, exponent: Any) -> Any:
    """Return ``coefficient * a**exponent`` with 0 * 0**-1 = 0."""
    if _is_scalar(coefficient):
        return np.zeros_like(a) if coefficient == 0 else coefficient * a**exponent
    # Guarded at a = 0 only, so that elsewhere the derivative in the exponent passes through at every order.
    vanishes = np.logical_and(np.equal(coefficient, 0), np.equal(a, 0))
    return np.where(vanishes, 0.0, coefficient * a ** np.where(vanishes, 1, exponent))


def _times_log(y: Any, a: Any, order: int = 1) -> Any:
    """Return ``y * log(a)**order``, exactly zero where ``y`` is: 0**b has derivative 0 in b for b > 0."""
    return np.where(y == 0, 0.0, y * np.log(np.where(y == 0, 1.0, a)) ** order)


def _power_mixed(y: Any, a: Any, b: Any) -> Any:
    """Return the mixed second partial of ``a**b``: a**(b-1) (1 + b log a), zero where a**(b-1) is."""
    p = a ** (b - 1)
    return np.where(p == 0, 0.0, p * (1 + b * np.log(np.where(p == 0, 1.0, a))))


def _nearly_whole(exponent: Any) -> Any:
    """Return exponents with those that rounding has moved away from a whole number, as of a third times three, put back."""
    whole = np.round(exponent)
    return np.where(np.abs(exponent - whole) <= 4 * np.finfo(float).eps * np.abs(whole), whole, exponent)[()]


_POWER: dict[str, Any] = {
    "d1": [lambda y, a, b: _scaled_power(b, a, b - 1), lambda y, a, b: _times_log(y, a)],
    "d2": {
        (0, 0): lambda y, a, b: _scaled_power(b * (b - 1), a, b - 2),
        (0, 1): _power_mixed,
        (1, 1): lambda y, a, b: _times_log(y, a, 2),
    },
    "domain": [_POSITIVE, (-2.0, 3.0)],
    "kinks": "a**b at a = 0: 0 in a for b = 0, 0 in b for b > 0, -inf in b for b = 0 (0**b jumps there)",
    "root": Root((), lambda product, degree, a, b: product(a ** _nearly_whole(degree * b), 1)),
    "flops": 20.0,
}
# Of the modulus of a number, however it is written.
_MODULUS = Root((2,), lambda product, degree, x, *_: product(x, x))

# Arithmetic.
add = elementwise(np.add, d1=[1, 1], d2={})
subtract = elementwise(np.subtract, d1=[1, -1], d2={})
multiply = elementwise(np.multiply, d1=[lambda y, a, b: b, lambda y, a, b: a], d2={(0, 1): 1})
divide = elementwise(
    np.divide,
    d1=[lambda y, a, b: 1 / b, lambda y, a, b: -y / b],
    d2={(0, 1): lambda y, a, b: -1 / (b * b), (1, 1): lambda y, a, b: 2 * (y / b) / b},
    domain=[(-2.0, 2.0), _POSITIVE],
)
negative = elementwise(np.negative, d1=[-1], d2={})
positive = elementwise(np.positive, d1=[1], d2={})
conjugate = elementwise(np.conjugate, d1=[1], d2={}, analytic=lambda z: z)
power = elementwise(np.power, **_POWER)
float_power = elementwise(np.float_power, **_POWER)
square = elementwise(np.square, d1=[lambda y, x: 2 * x], d2={(0, 0): 2})
reciprocal = elementwise(
    np.reciprocal, d1=[lambda y, x: -y * y], d2={(0, 0): lambda y, x: 2 * y * y * y}, domain=[_POSITIVE]
)
sqrt = elementwise(
    np.sqrt,
    d1=[lambda y, x: 0.5 / y],
    d2={(0, 0): lambda y, x: -0.25 / (y * x)},
    domain=[_POSITIVE],
    flops=4.0,
    root=Root((2,), lambda product, degree, x: product(x, 1)),
)
cbrt = elementwise(
    np.cbrt,
    d1=[lambda y, x: 1 / (3 * y * y)],
    d2={(0, 0): lambda y, x: -2 / (9 * y * y * x)},
    domain=[_POSITIVE],
    analytic=lambda z: z ** (1 / 3),
    root=Root((3,), lambda product, degree, x: product(x, 1)),
    flops=10.0,
)
remainder = elementwise(
    np.remainder,
    d1=[1, lambda y, a, b: -np.floor_divide(a, b)],
    d2={},
    domain=[(-2.0, 2.0), (0.7, 3.0)],
    kinks="the one-sided derivative at the jumps",
    analytic=lambda a, b: a - b * np.floor_divide(np.real(a), np.real(b)),
)
fmod = elementwise(
    np.fmod,
    d1=[1, lambda y, a, b: -np.trunc(a / b)],
    d2={},
    domain=[(-2.0, 2.0), (0.7, 3.0)],
    kinks="the one-sided derivative at the jumps",
    analytic=lambda a, b: a - b * np.trunc(np.real(a) / np.real(b)),
)
hypot = elementwise(
    np.hypot,
    d1=[lambda y, a, b: a / y, lambda y, a, b: b / y],
    d2={
        (0, 0): lambda y, a, b: (b / y) * (b / y) / y,
        (0, 1): lambda y, a, b: -(a / y) * (b / y) / y,
        (1, 1): lambda y, a, b: (a / y) * (a / y) / y,
    },
    kinks="NaN at (0, 0)",
    analytic=lambda a, b: np.sqrt(a * a + b * b),
    root=Root((2,), lambda product, degree, a, b: product(a, a) + product(b, b)),
    flops=6.0,
)
deg2rad = elementwise(np.deg2rad, d1=[math.pi / 180], d2={}, analytic=lambda z: z * (math.pi / 180))
radians = elementwise(np.radians, d1=[math.pi / 180], d2={}, analytic=lambda z: z * (math.pi / 180))
rad2deg = elementwise(np.rad2deg, d1=[180 / math.pi], d2={}, analytic=lambda z: z * (180 / math.pi))
degrees = elementwise(np.degrees, d1=[180 / math.pi], d2={}, analytic=lambda z: z * (180 / math.pi))

# Exponentials and logarithms.
exp = elementwise(np.exp, d1=[lambda y, x: y], d2={(0, 0): lambda y, x: y}, flops=10.0)
exp2 = elementwise(
    np.exp2, d1=[lambda y, x: _LN2 * y], d2={(0, 0): lambda y, x: _LN2**2 * y}, flops=10.0, analytic=lambda z: 2.0**z
)
# exp(x) rather than y + 1, which has no digits left for large negative x.
expm1 = elementwise(np.expm1, d1=[lambda y, x: np.exp(x)], d2={(0, 0): lambda y, x: np.exp(x)}, flops=10.0)
log = elementwise(
    np.log, d1=[lambda y, x: 1 / x], d2={(0, 0): lambda y, x: -1 / (x * x)}, domain=[_POSITIVE], flops=10.0
)
log2 = elementwise(
    np.log2,
    d1=[lambda y, x: (1 / _LN2) / x],
    d2={(0, 0): lambda y, x: (-1 / _LN2) / (x * x)},
    domain=[_POSITIVE],
    flops=10.0,
)
log10 = elementwise(
    np.log10,
    d1=[lambda y, x: (1 / _LN10) / x],
    d2={(0, 0): lambda y, x: (-1 / _LN10) / (x * x)},
    domain=[_POSITIVE],
    flops=10.0,
)
log1p = elementwise(
    np.log1p,
    d1=[lambda y, x: 1 / (1 + x)],
    d2={(0, 0): lambda y, x: -1 / ((1 + x) * (1 + x))},
    domain=[(-0.7, 3.0)],
    flops=10.0,
)


def _share(y: Any, a: Any, b: Any) -> Any:
    """Return exp(a - y) exp(b - y), the product of the two weights of ``logaddexp``."""
    return np.exp(a - y) * np.exp(b - y)


logaddexp = elementwise(
    np.logaddexp,
    d1=[lambda y, a, b: np.exp(a - y), lambda y, a, b: np.exp(b - y)],
    d2={(0, 0): _share, (0, 1): lambda y, a, b: -_share(y, a, b), (1, 1): _share},
    analytic=lambda a, b: np.log(np.exp(a) + np.exp(b)),
    flops=25.0,
)
logaddexp2 = elementwise(
    np.logaddexp2,
    d1=[lambda y, a, b: np.exp2(a - y), lambda y, a, b: np.exp2(b - y)],
    d2=None,
    analytic=lambda a, b: np.log2(2.0**a + 2.0**b),
    flops=25.0,
)

# Trigonometric.
sin = elementwise(np.sin, d1=[lambda y, x: np.cos(x)], d2={(0, 0): lambda y, x: -y}, flops=12.0)
cos = elementwise(np.cos, d1=[lambda y, x: -np.sin(x)], d2={(0, 0): lambda y, x: -y}, flops=12.0)
tan = elementwise(
    np.tan, d1=[lambda y, x: 1 + y * y], d2={(0, 0): lambda y, x: 2 * y * (1 + y * y)}, domain=[(-1.2, 1.2)], flops=12.0
)
arcsin = elementwise(
    np.arcsin,
    d1=[lambda y, x: 1 / np.sqrt(1 - x * x)],
    d2={(0, 0): lambda y, x: x / ((1 - x * x) * np.sqrt(1 - x * x))},
    domain=[_UNIT],
    flops=12.0,
)
arccos = elementwise(
    np.arccos,
    d1=[lambda y, x: -1 / np.sqrt(1 - x * x)],
    d2={(0, 0): lambda y, x: -x / ((1 - x * x) * np.sqrt(1 - x * x))},
    domain=[_UNIT],
    flops=12.0,
)
arctan = elementwise(
    np.arctan,
    d1=[lambda y, x: 1 / (1 + x * x)],
    d2={(0, 0): lambda y, x: -2 * x / ((1 + x * x) * (1 + x * x))},
    flops=12.0,
)


def _inverted(a: Any, b: Any) -> tuple[Any, Any]:
    """Return (a, b) / (a^2 + b^2), the inversion in the unit circle, without squaring: no overflow, no underflow."""
    r = np.sqrt(a * a + b * b) if np.iscomplexobj(a) or np.iscomplexobj(b) else np.hypot(a, b)
    return a / r / r, b / r / r


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
    domain=[(-2.0, 2.0), _POSITIVE],
    kinks="NaN at (0, 0)",
    analytic=lambda a, b: np.arctan(a / b),
    flops=20.0,
)

# Hyperbolic.
sinh = elementwise(np.sinh, d1=[lambda y, x: np.cosh(x)], d2={(0, 0): lambda y, x: y}, flops=12.0)
cosh = elementwise(np.cosh, d1=[lambda y, x: np.sinh(x)], d2={(0, 0): lambda y, x: y}, flops=12.0)
tanh = elementwise(np.tanh, d1=[lambda y, x: 1 - y * y], d2={(0, 0): lambda y, x: -2 * y * (1 - y * y)}, flops=12.0)
arcsinh = elementwise(
    np.arcsinh,
    d1=[lambda y, x: 1 / np.sqrt(x * x + 1)],
    d2={(0, 0): lambda y, x: -x / ((x * x + 1) * np.sqrt(x * x + 1))},
    flops=12.0,
)
arccosh = elementwise(
    np.arccosh,
    d1=[lambda y, x: 1 / np.sqrt(x * x - 1)],
    d2={(0, 0): lambda y, x: -x / ((x * x - 1) * np.sqrt(x * x - 1))},
    domain=[(1.3, 3.0)],
    flops=12.0,
)
arctanh = elementwise(
    np.arctanh,
    d1=[lambda y, x: 1 / (1 - x * x)],
    d2={(0, 0): lambda y, x: 2 * x / ((1 - x * x) * (1 - x * x))},
    domain=[_UNIT],
    flops=12.0,
)

# Kinks and choices.
absolute = elementwise(
    np.absolute,
    d1=[lambda y, x: np.sign(x)],
    d2={},
    kinks="0 at 0",
    analytic=lambda z: z * np.sign(np.real(z)),
    root=_MODULUS,
)
fabs = elementwise(
    np.fabs,
    d1=[lambda y, x: np.sign(x)],
    d2={},
    kinks="0 at 0",
    analytic=lambda z: z * np.sign(np.real(z)),
    root=_MODULUS,
)


def _chosen(y: Any, x: Any, other: Any) -> Any:
    """Return the share of ``x`` in a choice: 1 if chosen, 1/2 at a tie, 0 if not."""
    return np.where(np.equal(x, y), np.where(np.equal(other, y), 0.5, np.ones_like(y)), 0.0)


def _choice(ufunc: np.ufunc, larger: bool) -> Elementwise:
    """Declare one of maximum, minimum, fmax, fmin."""
    sign = 1.0 if larger else -1.0
    return elementwise(
        ufunc,
        d1=[lambda y, a, b: _chosen(y, a, b), lambda y, a, b: _chosen(y, b, a)],
        d2={},
        selects=True,
        kinks="1/2 in each argument at a tie",
        root=_MODULUS,  # where the other argument is -a
        analytic=lambda a, b: np.where(sign * (np.real(a) - np.real(b)) > 0, a, b),
    )


maximum = _choice(np.maximum, larger=True)
minimum = _choice(np.minimum, larger=False)
fmax = _choice(np.fmax, larger=True)
fmin = _choice(np.fmin, larger=False)

heaviside = elementwise(
    np.heaviside,
    d1=[ZERO, lambda y, x, h: np.equal(x, 0)],
    d2={},
    selects=True,
    kinks="0 in x at the jump",
    analytic=lambda x, h: np.where(np.real(x) == 0, h, np.real(x) > 0),
)

_where = register(
    Elementwise(
        "where",
        np.where,
        d1=[NONDIFF, lambda y, c, a, b: np.not_equal(c, 0), lambda y, c, a, b: np.equal(c, 0)],
        d2={},
        selects=True,
    )
)


def _where_call(condition: Any, x: Any = np._NoValue, y: Any = np._NoValue, /) -> Any:
    if x is np._NoValue and y is np._NoValue:
        return np.nonzero(condition)
    if x is np._NoValue or y is np._NoValue:
        raise OptionError(message("where", "one of x and y is given, it takes both or neither"))
    return _where(condition, x, y)


expose(
    np.where,
    _where_call,
    cases=[
        case(np.array([True, False, True]), A(3), A(3)),
        case(np.array([[True], [False]]), A(3), A(2, 3)),
        case(np.array([True, False]), A(2), 0.0),
    ],
)

_clip = register(
    Elementwise(
        "clip",
        np.clip,
        d1=[
            lambda y, x, lo, hi: np.logical_and(lo <= x, x <= hi),
            lambda y, x, lo, hi: np.logical_and(x < lo, lo <= hi),
            lambda y, x, lo, hi: np.maximum(x, lo) > hi,
        ],
        d2={},
        selects=True,
        kinks="1 in x on the bounds",
    )
)


def _clip_call(a: Any, a_min: Any = np._NoValue, a_max: Any = np._NoValue, out: Any = None, **keywords: Any) -> Any:
    if (a_min is np._NoValue) != (a_max is np._NoValue) or (
        a_min is not np._NoValue and keywords.keys() & {"min", "max"}
    ):
        raise OptionError(message("clip", "bounds are a_min and a_max, both, or min= and max="))
    lo, hi = keywords.pop("min", a_min), keywords.pop("max", a_max)
    lo, hi = (None if bound is np._NoValue else bound for bound in (lo, hi))
    if keywords or out is not None:
        raise OptionError(message("clip", "out and ufunc keywords are not supported on traced values"))
    return _clip(a, -math.inf if lo is None else lo, math.inf if hi is None else hi)


expose(
    np.clip,
    _clip_call,
    cases=[case(A(5), -0.5, 0.5), case(A(2, 3), None, A(3)), case(A(4), A(4, domain=(-1, 0)), A(4, domain=(0, 1)))],
    analytic=lambda a, lo=None, hi=None: _analytic_clip(a, lo, hi),
    kinks=_clip.kinks,
)


def _analytic_clip(a: Any, lo: Any, hi: Any) -> Any:
    """Clip by real parts, so that a complex step passes through the side that is taken."""
    lower = a if lo is None else np.where(np.real(a) < np.real(lo), lo, a)
    return lower if hi is None else np.where(np.real(lower) > np.real(hi), hi, lower)
