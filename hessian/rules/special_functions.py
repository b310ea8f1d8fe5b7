"""Rows of the elementwise functions of scipy.special."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from hessian.rules import elementwise as ew
from hessian.rules.dispatch import elementwise, expose
from hessian.rules.polygamma import polygamma_drop_op, polygamma_op
from hessian.rules.spec import HALF_LINE, A, Accuracy, Elementwise, case, finite, register

_POSITIVE, _OPEN_UNIT = (0.4, 4.0), (0.1, 0.9)
_INV_SQRT_2PI, _2_SQRT_PI, _SQRT_HALF = 1 / math.sqrt(2 * math.pi), 2 / math.sqrt(math.pi), math.sqrt(0.5)
_INF = math.inf

# Sigmoids.
expit: Elementwise = elementwise(
    sc.expit,
    # expit(-x) rather than 1 - y, which has no digits left for large x.
    d1=[lambda y, x: y * sc.expit(-x)],
    # tanh(x / 2) rather than y - expit(-x), which has none for small x.
    d2={(0, 0): lambda y, x: -expit.d1[0](y, x) * np.tanh(0.5 * x)},
    reference="x: 1 / (1 + exp(-x))",
    analytic=lambda z: 1 / (1 + np.exp(-z)),
)
log_expit = elementwise(
    sc.log_expit,
    d1=[lambda y, x: sc.expit(-x)],
    d2={(0, 0): lambda y, x: -sc.expit(x) * sc.expit(-x)},
    reference="x: -log1p(exp(-x))",
    analytic=lambda z: -np.log(1 + np.exp(-z)),
)
logit: Elementwise = elementwise(
    sc.logit,
    d1=[lambda y, x: 1 / (x * (1 - x))],
    d2={(0, 0): lambda y, x: (2 * x - 1) * logit.d1[0](y, x) * logit.d1[0](y, x)},
    reference="x: log(x) - log1p(-x)",
    points=[0.0, 0.5, 1.0],
    domain=[_OPEN_UNIT],
    analytic=lambda z: np.log(z / (1 - z)),
)

# The normal distribution and the error function.
erf: Elementwise = elementwise(
    sc.erf,
    d1=[lambda y, x: _2_SQRT_PI * np.exp(-x * x)],
    d2={(0, 0): lambda y, x: -2 * finite(x) * erf.d1[0](y, x)},
    reference="x: erf(x)",
)
erfc: Elementwise = elementwise(
    sc.erfc,
    d1=[lambda y, x: -_2_SQRT_PI * np.exp(-x * x)],
    d2={(0, 0): lambda y, x: -2 * finite(x) * erfc.d1[0](y, x)},
    reference="x: erfc(x)",
)
ndtr: Elementwise = elementwise(
    sc.ndtr,
    d1=[lambda y, x: _INV_SQRT_2PI * np.exp(-0.5 * x * x)],
    d2={(0, 0): lambda y, x: -finite(x) * ndtr.d1[0](y, x)},
    reference="x: erfc(-x / sqrt(2)) / 2",
)


def _mills(x: np.ndarray) -> np.ndarray:
    """Return the inverse Mills ratio phi(x) / Phi(x); as a quotient of the scaled function it keeps its digits."""
    return (2 * _INV_SQRT_2PI) / sc.erfcx(-_SQRT_HALF * x)


def _bending(x: np.ndarray) -> np.ndarray:
    """Return r (x + r) with r = phi(x) / Phi(x): what log Phi curves down by, between 0 and 1."""
    far = x < -12
    most = np.finfo(x.dtype).max
    near = np.where(far, 0.0, np.minimum(x, most))
    ratio = _mills(near)
    # x + r cancels far out, where r = t + 1/(t + 2/(t + 3/(t + ...))) for t = -x (Abramowitz & Stegun 26.2.14).
    t = np.where(far, np.minimum(-x, most / 4), 1.0)
    rest = t
    for k in range(40, 1, -1):
        rest = t + k / rest
    return np.where(far, t / rest + (1 / rest) * (1 / rest), ratio * (near + ratio))


def _slope_of_bending(k: Any, x: Any) -> Any:
    """Return r - r k - (x + r) k, and its expansion where that cancels."""
    far = x < -30
    near = np.where(far, 0.0, x)
    ratio = mills_op(near)
    inverse = 1 / np.where(far, x, -30.0)
    u = inverse * inverse
    tail = 2 * inverse * u * (1 - u * (12 - u * (150 - u * (2072 - u * (31770 - u * 538692)))))
    return np.where(far, tail, ratio - ratio * k - (near + ratio) * k)


mills_op: Elementwise = register(
    Elementwise(
        "mills",
        _mills,
        d1=[lambda r, x: -bending_op(x)],
        d2={(0, 0): lambda r, x: -_slope_of_bending(bending_op(x), x)},
        cases=[case(A(6, domain=(-60.0, 5.0)))],
        real_only=True,
    )
)
bending_op: Elementwise = register(
    Elementwise(
        "bending", _bending, d1=[_slope_of_bending], d2=None, cases=[case(A(6, domain=(-60.0, 5.0)))], real_only=True
    )
)

log_ndtr = elementwise(
    sc.log_ndtr,
    d1=[lambda y, x: mills_op(x)],
    d2={(0, 0): lambda y, x: -bending_op(x)},
    reference="x: log(erfc(-x / sqrt(2)) / 2)",
    analytic=lambda z: np.log(sc.ndtr(z)),
)

# The gamma function and its kin.
gammaln = elementwise(
    sc.gammaln,
    d1=[lambda y, x: sc.digamma(x)],
    d2={(0, 0): lambda y, x: polygamma_op(x, n=1)},
    reference="x: gammaln(x)",
    points=HALF_LINE,
    domain=[_POSITIVE],
    analytic=sc.loggamma,
)
digamma = elementwise(
    sc.digamma,
    d1=[lambda y, x: polygamma_op(x, n=1)],
    d2={(0, 0): lambda y, x: polygamma_op(x, n=2)},
    reference="x: psi(0, x)",
    points=HALF_LINE,
    domain=[_POSITIVE],
)
gamma = elementwise(
    sc.gamma,
    d1=[lambda y, x: y * sc.digamma(x)],
    d2={(0, 0): lambda y, x: y * (sc.digamma(x) * sc.digamma(x) + polygamma_op(x, n=1))},
    reference="x: gamma(x)",
    points=HALF_LINE,
    domain=[_POSITIVE],
)
betaln = elementwise(
    sc.betaln,
    d1=[lambda y, a, b: -polygamma_drop_op(a, b, n=0), lambda y, a, b: -polygamma_drop_op(b, a, n=0)],
    d2={
        (0, 0): lambda y, a, b: -polygamma_drop_op(a, b, n=1),
        (0, 1): lambda y, a, b: -polygamma_op(a + b, n=1),
        (1, 1): lambda y, a, b: -polygamma_drop_op(b, a, n=1),
    },
    reference="a, b: gammaln(a) + gammaln(b) - gammaln(a + b)",
    points=[(1e15, 1.0), (1.0, 1e15), (1e300, 1e-300), (1.0, 1.0), (0.5, _INF), (_INF, 0.5), (0.0, 1.0), (1.0, 0.0)],
    domain=[_POSITIVE, _POSITIVE],
    accuracy=Accuracy(2e-6, "scipy.special.betaln cancels where an argument is far below zero"),
    analytic=lambda a, b: sc.loggamma(a) + sc.loggamma(b) - sc.loggamma(a + b),
)

# Entropies. A probability of zero is as a rule one that underflowed, p = exp(-1000): its slope is then taken at the
# smallest normal number, so that it is finite and vanishes beside dp.


def _off_zero(x: Any, *others: Any) -> Any:
    """Return x, and the smallest normal number where x and all ``others`` are zero."""
    zero = np.equal(x, 0)
    for other in others:
        zero = np.logical_and(zero, np.equal(other, 0))
    return np.where(zero, float(np.finfo(getattr(x, "dtype", float)).tiny), x)


def _log_ratio(x: Any, y: Any) -> Any:
    """Return log(x / y) without overflow of the quotient, zero where both are zero."""
    x, y = _off_zero(x), _off_zero(y, x)
    return 2 * np.log(np.sqrt(x) / np.sqrt(y))


_SLOPE_AT_ZERO = "at x = 0 slope and curvature are those at the smallest normal number"
_ZEROS = [(0.0, 0.0), (0.0, 1.0), (0.0, 1e-3), (1.0, 1.0), (2.0, _INF)]

xlogy = elementwise(
    sc.xlogy,
    d1=[lambda z, x, y: np.log(_off_zero(y, x)), lambda z, x, y: x / _off_zero(y, x)],
    d2={(0, 1): lambda z, x, y: 1 / _off_zero(y, x), (1, 1): lambda z, x, y: -(x / _off_zero(y, x)) / _off_zero(y, x)},
    reference="x, y: x * log(y)",
    points=_ZEROS,
    domain=[(-2.0, 2.0), _POSITIVE],
    kinks="at x = y = 0 in y 0, in x that at the smallest normal number y",
)
xlog1py = elementwise(
    sc.xlog1py,
    d1=[lambda z, x, y: np.log1p(y), lambda z, x, y: x / _off_zero(1 + y, x)],
    d2={
        (0, 1): lambda z, x, y: 1 / _off_zero(1 + y, x),
        (1, 1): lambda z, x, y: -(x / _off_zero(1 + y, x)) / _off_zero(1 + y, x),
    },
    reference="x, y: x * log1p(y)",
    points=[(0.0, 0.0), (0.0, -1.0), (1.0, -1.0), (2.0, _INF)],
    domain=[(-2.0, 2.0), (-0.6, 3.0)],
    kinks="at x = 0, y = -1 in y 0",
)
entr = elementwise(
    sc.entr,
    d1=[lambda y, x: -np.log(_off_zero(x)) - 1],
    d2={(0, 0): lambda y, x: -1 / _off_zero(x)},
    reference="x: -x * log(x)",
    points=HALF_LINE,
    domain=[_POSITIVE],
    kinks=_SLOPE_AT_ZERO,
    analytic=lambda z: -z * np.log(z),
)
rel_entr = elementwise(
    sc.rel_entr,
    d1=[lambda z, x, y: _log_ratio(x, y) + 1, lambda z, x, y: -x / _off_zero(y, x)],
    d2={
        (0, 0): lambda z, x, y: 1 / _off_zero(x),
        (0, 1): lambda z, x, y: -1 / _off_zero(y, x),
        (1, 1): lambda z, x, y: (x / _off_zero(y, x)) / _off_zero(y, x),
    },
    reference="x, y: x * (log(x) - log(y))",
    points=_ZEROS,
    domain=[_POSITIVE, _POSITIVE],
    kinks=_SLOPE_AT_ZERO,
    analytic=lambda x, y: x * np.log(x / y),
)
kl_div = elementwise(
    sc.kl_div,
    d1=[lambda z, x, y: _log_ratio(x, y), lambda z, x, y: 1 - x / _off_zero(y, x)],
    d2={
        (0, 0): lambda z, x, y: 1 / _off_zero(x),
        (0, 1): lambda z, x, y: -1 / _off_zero(y, x),
        (1, 1): lambda z, x, y: (x / _off_zero(y, x)) / _off_zero(y, x),
    },
    reference="x, y: x * (log(x) - log(y)) - x + y",
    points=_ZEROS,
    accuracy=Accuracy(math.inf, "scipy.special.kl_div cancels where x is near y and overflows where x / y does"),
    domain=[_POSITIVE, _POSITIVE],
    kinks=_SLOPE_AT_ZERO,
    analytic=lambda x, y: x * np.log(x / y) - x + y,
)

for _ufunc, _operation in ((sc.log1p, ew.log1p), (sc.expm1, ew.expm1), (sc.exp2, ew.exp2), (sc.cbrt, ew.cbrt)):
    # A row of its own: SciPy's values differ from NumPy's in the last bit.
    _row = Elementwise(
        f"scipy_{_ufunc.__name__}",
        _ufunc,
        d1=[getattr(entry, "formula", entry) for entry in _operation.d1],
        d2=_operation.d2,
        domain=_operation.domain,
        analytic=_operation.analytic,
        reference=_operation.reference,
        points=_operation.points,
    )
    expose(_ufunc, register(_row), analytic=_row.analytic)
