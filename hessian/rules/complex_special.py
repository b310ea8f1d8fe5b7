"""Special functions of complex numbers: those of SciPy whose derivatives are made of functions that it evaluates for them, too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

from hessian.rules import bessel, integrals, series, special, special_functions  # noqa: F401  # whose rows are to be there
from hessian.rules.broadcast import as_floats
from hessian.rules.complex_elementwise import exp, expm1, holomorphic, inverse, log, log1p, scaled, times
from hessian.rules.dispatch import COMPLEX_RESULTS, composite
from hessian.rules.pairs import Parts, joined, minus, of_complex, parts_of, plus
from hessian.rules.softmax import logsumexp_op, softmax_op
from hessian.rules.spec import MISSING, OPERATIONS, A, Elementwise, case

_AWAY: Any = [(0.3, 1.5), (0.2, 1.0)]


def _slope(row: Any) -> Any:
    """Return the derivative that a row declares, of complex numbers."""
    formula = getattr(row.d1[-1], "formula", row.d1[-1])

    def slope(*xs: Any, **params: Any) -> Parts:
        z = joined(*xs[-1])
        return parts_of(formula(row(*xs[:-1], z, **params), *xs[:-1], z, **params))

    return slope


for _name in (
    "erf",
    "erfc",
    "erfi",
    "dawsn",
    "exp1",
    "expi",
    "spence",
    "sici_si",
    "sici_ci",
    "shichi_shi",
    "shichi_chi",
    "fresnel_s",
    "fresnel_c",
    "airy_ai",
    "airy_aip",
    "airy_bi",
    "airy_bip",
):
    _row: Any = OPERATIONS[_name]
    assert isinstance(_row, Elementwise)
    holomorphic(_row, _slope(_row), domain=_AWAY)
of_complex(OPERATIONS["scipy_log1p"])(log1p)
of_complex(OPERATIONS["scipy_expm1"])(expm1)
holomorphic(
    series.spherical_op,
    _slope(series.spherical_op),
    domain=_AWAY,
    variants=[{"n": 1}, {"n": 2}],
    cases=[case(A(3), A(3), n=1), case(A(2, 1), A(3), n=2)],
)


# Normal probabilities and their kin.
def _bell(a: Parts) -> Parts:
    """Return the normal density."""
    return scaled(exp(scaled(times(a, a), -0.5)), 1 / math.sqrt(2 * math.pi))


def _named(name: str) -> Elementwise:
    row = OPERATIONS[name]
    assert isinstance(row, Elementwise)
    return row


def _near(a: Parts, function: Callable[[Parts], Parts], factor: float, shift: Parts) -> Parts:
    """Return factor a f(a) + shift: what a scaled error function has for a derivative."""
    product = scaled(times(a, function(a)), factor)
    return Parts(plus(product.re, shift.re), plus(product.im, shift.im))


_TWO = 2 / math.sqrt(math.pi)
holomorphic(_named("ndtr"), _bell, domain=_AWAY)
erfcx: Callable[..., Parts] = holomorphic(
    _named("erfcx"), lambda a: _near(a, erfcx, 2.0, Parts(-_TWO, None)), domain=_AWAY
)
wofz: Callable[..., Parts] = holomorphic(
    Elementwise("faddeeva", sc.wofz, d1=[MISSING], d2=None),
    lambda a: _near(a, wofz, -2.0, Parts(None, _TWO)),
    domain=_AWAY,
)


@composite(sc.wofz, untested=COMPLEX_RESULTS)
def _wofz(z: Any) -> Any:
    z = as_floats(z)
    if z.dtype.kind == "f" and sc.wofz.types[0] == "D->D":
        z = z.astype(np.float64)  # some releases of SciPy look for double precision first
    return joined(*wofz(parts_of(z)))


# Bessel functions: C_v' = (C_{v-1} - C_{v+1}) / 2, and with other signs I and K.
_ORDERS = {"cases": [case(v, A(3, domain=(0.3, 2.0)), A(3, domain=(0.2, 1.5))) for v in (1.5, 0.0)]}


def _cylinder(operation: Elementwise, before: float, after: float) -> Callable[..., Parts]:
    def slope(v: Any, a: Parts) -> Parts:
        below, above = scaled(rule(v - 1, a), before), scaled(rule(v + 1, a), after)
        return Parts(plus(below.re, above.re), plus(below.im, above.im))

    rule = holomorphic(operation, slope, **_ORDERS)
    return rule


for _name, _before, _after in (("jv", 0.5, -0.5), ("yv", 0.5, -0.5), ("iv", 0.5, 0.5), ("kv", -0.5, -0.5)):
    _cylinder(_named(_name), _before, _after)


def _hankel(ufunc: Any) -> None:
    rule = _cylinder(Elementwise(ufunc.__name__, ufunc, d1=[MISSING, MISSING], d2=None), 0.5, -0.5)
    composite(ufunc, untested=COMPLEX_RESULTS)(lambda v, z: joined(*rule(v, parts_of(as_floats(z)))))


_hankel(sc.hankel1)
_hankel(sc.hankel2)


# Sums of exponentials, over the largest.
@of_complex(logsumexp_op)
def _logsumexp(a: Parts, *, axes: Any) -> Parts:
    size = logsumexp_op(a.both()[0], axes=axes)
    powers = exp(Parts(minus(a.re, size), a.im))
    total = log(Parts(*(np.sum(part, axis=axes, keepdims=True) for part in powers.both())))
    return Parts(total.re + size, total.im)


@of_complex(softmax_op)
def _softmax(a: Parts, *, axes: Any) -> Parts:
    powers = exp(Parts(None if a.re is None else a.re - logsumexp_op(a.re, axes=axes), a.im))
    return times(powers, inverse(Parts(*(np.sum(part, axis=axes, keepdims=True) for part in powers.both()))))
