"""Rows of functions with kinks, and of choices between their arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.rules.dispatch import elementwise, expose
from hessian.rules.smooth import Root, Sides
from hessian.rules.spec import NONDIFF, PLANE, ZERO, A, Elementwise, case, register

# Of the modulus of a number, however it is written.
_MODULUS = Root((2,), lambda product, degree, x, *_: product(x, x))

absolute, fabs = (
    elementwise(
        ufunc,
        d1=[lambda y, x: np.sign(x)],
        d2={},
        kinks="0 at 0",
        analytic=lambda z: z * np.sign(np.real(z)),
        sides=Sides(lambda y, x: np.equal(x, 0), lambda y, xs, dots: np.abs(dots[0])),
        root=_MODULUS,
        reference="x: x * sign(x)",
    )
    for ufunc in (np.absolute, np.fabs)
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
        reference=f"a, b: (a + b + {sign} * (a - b) * sign(a - b)) / 2",
        points=[*PLANE, (2.0, 2.0), (-1e300, -1e300)],
        kinks="1/2 in each argument at a tie",
        sides=Sides(lambda y, a, b: np.equal(a, b), lambda y, xs, dots: (np.maximum if larger else np.minimum)(*dots)),
        root=_MODULUS,  # where the other argument is -a
        analytic=lambda a, b: np.where(sign * (np.real(a) - np.real(b)) > 0, a, b),
    )


maximum = _choice(np.maximum, larger=True)
minimum = _choice(np.minimum, larger=False)
fmax = _choice(np.fmax, larger=True)
fmin = _choice(np.fmin, larger=False)

copysign = elementwise(
    np.copysign,
    d1=[lambda y, x, s: np.sign(x) * np.copysign(np.ones_like(y), s), ZERO],
    d2={},
    kinks="0 in x at 0",
    sides=Sides(lambda y, x, s: np.equal(x, 0), lambda y, xs, dots: np.copysign(dots[0], xs[1])),
    root=_MODULUS,
    reference="x, s: x * sign(x) * (-1 if s < 0 else 1)",
    points=[(x, s) for x, s in PLANE if x and s],
    analytic=lambda x, s: x * np.sign(np.real(x)) * np.where(np.signbit(np.real(s)), -1.0, 1.0),
)

heaviside = elementwise(
    np.heaviside,
    d1=[ZERO, lambda y, x, h: np.equal(x, 0)],
    d2={},
    selects=True,
    kinks="0 in x at the jump",
    analytic=lambda x, h: np.where(np.real(x) == 0, h, np.real(x) > 0),
    reference="x, h: (1 + sign(x)) / 2 + (h - 0.5) * (1 - sign(x)**2)",
    points=[(0.0, 0.25), (-0.0, 3.0), (math.inf, 1.0), (-math.inf, 1.0)],
)

_where = register(
    Elementwise(
        "where",
        np.where,
        d1=[NONDIFF, lambda y, c, a, b: np.not_equal(c, 0), lambda y, c, a, b: np.equal(c, 0)],
        d2={},
        reference="c, a, b: a if c else b",
        points=[(c, a, b) for c in (0.0, 1.0) for a, b in PLANE],
        selects=True,
        cases=[
            case(np.array([True, False, True]), A(3), A(3)),
            case(np.array([[True], [False]]), A(3), A(2, 3)),
            case(np.array([True, False]), A(2), 0.0),
        ],
    )
)


def _where_call(condition: Any, x: Any = np._NoValue, y: Any = np._NoValue, /) -> Any:
    if x is np._NoValue and y is np._NoValue:
        return np.nonzero(condition)
    if x is np._NoValue or y is np._NoValue:
        raise OptionError(message("where", "one of x and y is given, it takes both or neither"))
    return _where(condition, x, y)


expose(np.where, _where_call, row=_where)


def _slope_at_bounds(y: Any, xs: Any, dots: Any) -> Any:
    x, low, high = xs
    above = np.where(np.equal(x, low), np.maximum(dots[0], dots[1]), dots[0])
    return np.where(np.equal(x, high), np.minimum(above, dots[2]), above)


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
        reference="x, lo, hi: min(max(x, lo), hi)",
        points=[(x, -1.0, 2.0) for x in (-3.0, -0.0, 0.0, 5.0, math.inf, -math.inf)],
        selects=True,
        domain=[(-2.0, 2.0), (-4.0, -0.5), (0.5, 4.0)],
        kinks="1 in x on the bounds",
        sides=Sides(lambda y, x, low, high: np.equal(x, low) | np.equal(x, high), _slope_at_bounds),
        analytic=lambda a, lo=None, hi=None: _analytic_clip(a, lo, hi),
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
    row=_clip,
    cases=[case(A(5), -0.5, 0.5), case(A(2, 3), None, A(3)), case(A(4), A(4, domain=(-1, 0)), A(4, domain=(0, 1)))],
)


def _analytic_clip(a: Any, lo: Any, hi: Any) -> Any:
    """Clip by real parts, so that a complex step passes through the side that is taken."""
    lower = a if lo is None else np.where(np.real(a) < np.real(lo), lo, a)
    return lower if hi is None else np.where(np.real(lower) > np.real(hi), hi, lower)
