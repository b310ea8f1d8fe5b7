"""The incomplete gamma and beta functions with all their derivatives, and everything in scipy.special that is made of them.

In x the derivative is the density. In a shape it is the integral of the density times its logarithmic derivative, over the tail that x is
in, so that small probabilities keep their digits: on u = log(t / x) the integrand falls from its end without ever changing much on a
logarithmic scale, and the rule of trapezoids after w = L exp(pi/2 sinh s) takes it to the last digits (Takahasi & Mori, 1974).
Written in differentiable operations it has derivatives of every order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc
from scipy.special import _ufuncs

from hessian.rules.constants import held
from hessian.rules.dispatch import elementwise
from hessian.rules.polygamma import polygamma_drop_op
from hessian.rules.samples import A, Accuracy, case
from hessian.rules.spec import Elementwise, register

_S = np.arange(-4.2, 3.3, 1 / 28)
_NODES = np.exp(math.pi / 2 * np.sinh(_S))
_WEIGHTS = _NODES * (math.pi / 2 * np.cosh(_S)) / 28


def _integral(integrand: Any, length: Any) -> Any:
    """Return the integral over w > 0 of an integrand that falls off within some ``length``; both broadcast to a last axis."""
    length = length[..., None]
    return np.sum(integrand(length * _NODES) * (length * _WEIGHTS), axis=-1)


DOUBLE = np.float64(0.0)
"""Added to a number, makes it double: integrals lose digits that float32 has not to spare."""


def _off_zero(x: Any) -> Any:
    """Return x, at 0 next to it: a derivative of what depends on it there is not finite rather than wrong."""
    zero = np.equal(x, 0)
    return np.where(zero, 1e-300 + np.sqrt(np.where(zero, x, 1.0)) * zero, x)


def like(x: Any, result: Any) -> Any:
    return result if result.dtype == x.dtype else result.astype(x.dtype)


def _ratio(a: Any, x: Any) -> Any:
    """Return (a - 1) / x, which is 0 for a = 1 and x = 0; in a it has no derivative there."""
    both = np.logical_and(np.equal(a, 1), np.equal(x, 0))
    return np.where(both, np.sqrt(np.abs(a - 1)), (a - 1) / np.where(both, 1.0, x))


# Densities.


def _of_ufunc(function: Any) -> Any:
    return lambda *xs: np.asarray(function(*xs), np.result_type(*xs))[()]


gamma_density_op: Elementwise = register(
    Elementwise(
        "gamma_density",
        _of_ufunc(lambda a, x: _gamma_density(a, x)),
        d1=[lambda y, a, x: y * (np.log(x) - sc.digamma(a)), lambda y, a, x: y * (_ratio(a, x) - 1)],
        d2=None,
        cases=[case(A(3, domain=(0.5, 4.0)), A(3, domain=(0.5, 4.0)))],
        real_only=True,
    )
)
"""x^(a-1) e^-x / Gamma(a)."""
beta_density_op: Elementwise = register(
    Elementwise(
        "beta_density",
        _of_ufunc(lambda a, b, x: _ufuncs._beta_pdf(x, a, b)),
        d1=[
            lambda y, a, b, x: y * (np.log(x) + polygamma_drop_op(a, b, n=0)),
            lambda y, a, b, x: y * (np.log1p(-x) + polygamma_drop_op(b, a, n=0)),
            lambda y, a, b, x: y * (_ratio(a, x) - _ratio(b, 1 - x)),
        ],
        d2=None,
        cases=[case(A(3, domain=(0.5, 4.0)), A(3, domain=(0.5, 4.0)), A(3, domain=(0.1, 0.9)))],
        real_only=True,
    )
)
"""x^(a-1) (1-x)^(b-1) / B(a, b)."""


def _gamma_density(a: Any, x: Any) -> Any:
    with np.errstate(all="ignore"):
        near = np.less(x, 1)
        return np.where(near, np.power(x, a - 1) * np.exp(-x) * sc.rgamma(a), _ufuncs._igam_fac(a, x) / x)


# Slopes in shapes.


def gamma_shape(a: Any, x: Any) -> Any:
    """Return the derivative in a of the regularized lower incomplete gamma function."""
    a, x = a + DOUBLE, _off_zero(x + DOUBLE)
    is_low = np.less_equal(x, a)
    psi = sc.digamma(a)[..., None]
    log = np.log(x)[..., None]
    b, t = a[..., None], x[..., None]
    gap = np.where(is_low, a - x, x - a)
    length = held(1 / (gap + np.sqrt(np.maximum(a, x))))
    side = np.where(is_low, -1.0, 1.0)[..., None]

    def integrand(w: Any) -> Any:
        w = side * np.minimum(w, 600.0 + 1e30 * (side < 0))
        return np.exp(b * w - t * np.expm1(w)) * (log + w - psi)

    density = gamma_density_op(a, x) * x
    return -side[..., 0] * density * _integral(integrand, length)


def _gamma_slopes(sign: float) -> list[Any]:
    return [
        lambda y, a, x: like(y, sign * gamma_shape(a, x)),
        lambda y, a, x: like(y, sign * gamma_density_op(a, x)),
    ]


def _beta_tail(a: Any, b: Any, x: Any) -> tuple[Any, Any]:
    """Return the derivatives in both shapes of the regularized lower incomplete beta function for x below the mean."""
    x = _off_zero(x)
    fall = np.maximum(a - (b - 1) * x / (1 - x), 0.0)
    length = held(1 / (fall + np.sqrt(a * (a + b) / (b + 1))))
    first, second = polygamma_drop_op(a, b, n=0)[..., None], polygamma_drop_op(b, a, n=0)[..., None]
    log, rest = np.log(x)[..., None], np.log1p(-x)[..., None]
    p, q, t = a[..., None], b[..., None], x[..., None]

    def weight(w: Any) -> Any:
        return np.exp(-p * w + (q - 1) * (np.log1p(-t * np.exp(-w)) - rest))

    density = beta_density_op(a, b, x) * x
    return (
        density * _integral(lambda w: weight(w) * (log - w + first), length),
        density * _integral(lambda w: weight(w) * (np.log1p(-t * np.exp(-w)) + second), length),
    )


def beta_shapes(a: Any, b: Any, x: Any, rest: Any = None) -> tuple[Any, Any]:
    """Return the derivatives in a and b of the regularized lower incomplete beta function; ``rest`` is 1 - x where it is known better."""
    a, b, x = a + DOUBLE, b + DOUBLE, x + DOUBLE
    is_low = np.less_equal(x * (a + b), a)
    rest = 1 - x if rest is None else rest + DOUBLE
    lower = _beta_tail(np.where(is_low, a, b), np.where(is_low, b, a), np.where(is_low, x, rest))
    return np.where(is_low, lower[0], -lower[1]), np.where(is_low, lower[1], -lower[0])


def _beta_slopes(sign: float) -> list[Any]:
    return [
        lambda y, a, b, x: like(y, sign * beta_shapes(a, b, x)[0]),
        lambda y, a, b, x: like(y, sign * beta_shapes(a, b, x)[1]),
        lambda y, a, b, x: like(y, sign * beta_density_op(a, b, x)),
    ]


AT_ENDS = "NaN for shapes that are 0, and at second order at the ends of the support"
_SHAPE = (0.5, 4.0)
_OF_GAMMA = Accuracy(1e-11, "scipy.special.gammainc", grid=((1e-2, 80.0), (1e-1, 80.0)), partials=1e-9)
_OF_BETA = Accuracy(1e-10, "scipy.special.betainc", grid=((1e-1, 50.0), (1e-1, 50.0), (1e-3, 0.999)), partials=1e-9)
for _ufunc, _slopes, _reference, _domain, _accuracy in (
    (sc.gammainc, _gamma_slopes(1.0), "a, x: gammainc(a, x)", [_SHAPE, _SHAPE], _OF_GAMMA),
    (sc.gammaincc, _gamma_slopes(-1.0), "a, x: gammaincc(a, x)", [_SHAPE, _SHAPE], _OF_GAMMA),
    (sc.betainc, _beta_slopes(1.0), "a, b, x: betainc(a, b, x)", [_SHAPE, _SHAPE, (0.1, 0.9)], _OF_BETA),
    (sc.betaincc, _beta_slopes(-1.0), "a, b, x: betaincc(a, b, x)", [_SHAPE, _SHAPE, (0.1, 0.9)], _OF_BETA),
):
    elementwise(
        _ufunc,
        d1=_slopes,
        d2=None,
        reference=_reference,
        cases=[case(*[A(4)] * len(_domain)), case(A(2, 1), *[A(3)] * (len(_domain) - 1))],
        domain=_domain,
        accuracy=_accuracy,
        kinks=AT_ENDS,
        real_only=True,
    )
