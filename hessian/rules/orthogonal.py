"""Rows of the orthogonal polynomials and of hypergeometric functions of scipy.special, in their last argument.

The derivative of a polynomial of a family is one of lower degree of a neighbouring family (Abramowitz & Stegun 22.8, DLMF 18.9), that of a
hypergeometric function has its parameters raised by one (15.2.1, 13.4.8). In degrees and parameters nothing is known in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

from hessian.rules.dispatch import elementwise
from hessian.rules.samples import A, Accuracy, case
from hessian.rules.spec import MISSING, NONDIFF


def _lower(slope: Callable[..., Any]) -> Callable[..., Any]:
    """Return a slope for degrees from 1 on: a constant has none."""

    def partial(y: Any, n: Any, *xs: Any) -> Any:
        return np.where(np.equal(n, 0), 0.0, slope(np.maximum(n, 1), *xs))

    return partial


def _polynomial(
    name: str, slope: Callable[..., Any], reference: str, *, parameters: tuple[float, ...] = (), x: Any = (-0.95, 0.95)
) -> None:
    letters = ", ".join(["n", *"ab"[: len(parameters)], "x"])
    elementwise(
        getattr(sc, name),
        # Hermite polynomials have whole orders in SciPy, the others any.
        d1=[NONDIFF if "hermite" in name else MISSING, *[MISSING] * len(parameters), _lower(slope)],
        d2=None,
        reference=f"{letters}: {reference}",
        cases=[case(n, *parameters, A(3, domain=x)) for n in (3, 0)],
        accuracy=Accuracy(
            math.inf,
            f"scipy.special.{name} near its zeros",
            grid=([0, 1, 2, 5], *[[p] for p in parameters], x),
            partials=math.inf,
        ),
        real_only=True,
    )


_polynomial("eval_legendre", lambda n, x: sc.eval_gegenbauer(n - 1, 1.5, x), "legendre(n, x)")
_polynomial("eval_chebyt", lambda n, x: n * sc.eval_chebyu(n - 1, x), "chebyt(n, x)")
_polynomial("eval_chebyu", lambda n, x: 2 * sc.eval_gegenbauer(n - 1, 2.0, x), "chebyu(n, x)")
_polynomial("eval_chebyc", lambda n, x: n * sc.eval_chebyu(n - 1, 0.5 * x), "2 * chebyt(n, x / 2)", x=(-1.9, 1.9))
_polynomial("eval_chebys", lambda n, x: sc.eval_gegenbauer(n - 1, 2.0, 0.5 * x), "chebyu(n, x / 2)", x=(-1.9, 1.9))
_polynomial(
    "eval_sh_legendre",
    lambda n, x: 2 * sc.eval_gegenbauer(n - 1, 1.5, 2 * x - 1),
    "legendre(n, 2 * x - 1)",
    x=(0.05, 0.95),
)
_polynomial(
    "eval_sh_chebyt", lambda n, x: 2 * n * sc.eval_chebyu(n - 1, 2 * x - 1), "chebyt(n, 2 * x - 1)", x=(0.05, 0.95)
)
_polynomial(
    "eval_sh_chebyu", lambda n, x: 4 * sc.eval_gegenbauer(n - 1, 2.0, 2 * x - 1), "chebyu(n, 2 * x - 1)", x=(0.05, 0.95)
)
_polynomial(
    "eval_gegenbauer",
    lambda n, a, x: 2 * a * sc.eval_gegenbauer(n - 1, a + 1, x),
    "gegenbauer(n, a, x)",
    parameters=(0.7,),
)
_polynomial(
    "eval_jacobi",
    lambda n, a, b, x: 0.5 * (n + a + b + 1) * sc.eval_jacobi(n - 1, a + 1, b + 1, x),
    "jacobi(n, a, b, x)",
    parameters=(0.7, 1.2),
)
_polynomial(
    "eval_sh_jacobi",
    lambda n, a, b, x: n * sc.eval_sh_jacobi(n - 1, a + 2, b + 1, x),
    "jacobi(n, a - b, b - 1, 2 * x - 1) / binomial(2 * n + a - 1, n)",
    parameters=(2.2, 1.2),
    x=(0.05, 0.95),
)
_polynomial("eval_laguerre", lambda n, x: -sc.eval_genlaguerre(n - 1, 1.0, x), "laguerre(n, 0, x)", x=(0.1, 5.0))
_polynomial(
    "eval_genlaguerre",
    lambda n, a, x: -sc.eval_genlaguerre(n - 1, a + 1, x),
    "laguerre(n, a, x)",
    parameters=(0.7,),
    x=(0.1, 5.0),
)
_polynomial("eval_hermite", lambda n, x: 2 * n * sc.eval_hermite(n - 1, x), "hermite(n, x)", x=(-3.0, 3.0))
_polynomial(
    "eval_hermitenorm",
    lambda n, x: n * sc.eval_hermitenorm(n - 1, x),
    "exp(-n / 2 * log(2)) * hermite(n, x / sqrt(2))",
    x=(-3.0, 3.0),
)


def _series(
    ufunc: Any, slope: Callable[..., Any], reference: str, parameters: tuple[Any, ...], z: Any, **more: Any
) -> None:
    letters = ", ".join([*"abc"[: len(parameters)], "z"])
    elementwise(
        ufunc,
        d1=[*[MISSING] * len(parameters), slope],
        d2=None,
        reference=f"{letters}: {reference}" if reference else "",
        cases=[case(*(choice[0] for choice in parameters), A(3, domain=z))],
        accuracy=Accuracy(math.inf, f"scipy.special.{ufunc.__name__}", grid=(*parameters, z), **more),
        real_only=True,
    )


_series(sc.hyp0f1, lambda y, v, z: sc.hyp0f1(v + 1, z) / v, "hyp0f1(a, z)", ([1.5, 3.0],), (-3.0, 20.0), partials=1e-10)
_series(
    sc.hyp1f1,
    lambda y, a, b, z: a / b * sc.hyp1f1(a + 1, b + 1, z),
    "hyp1f1(a, b, z)",
    ([0.5, 2.0], [1.5, 3.0]),
    (-3.0, 20.0),
    partials=1e-10,
)
_series(
    sc.hyp2f1,
    lambda y, a, b, c, z: a * b / c * sc.hyp2f1(a + 1, b + 1, c + 1, z),
    "hyp2f1(a, b, c, z)",
    ([0.5, 2.0], [0.7], [1.5, 3.2]),
    (-3.0, 0.9),
    partials=1e-10,
)


def _tricomi_slope(y: Any, a: Any, b: Any, z: Any) -> Any:
    return np.where(np.equal(a, 0), 0.0, -a * sc.hyperu(a + 1, b + 1, z))


_series(
    sc.hyperu,
    _tricomi_slope,
    "hyperu(a, b, z)",
    ([0.5, 2.0], [1.5, 0.7]),
    (0.2, 20.0),
    partials=1e-7,
)
_series(sc.wright_bessel, lambda y, a, b, x: sc.wright_bessel(a, a + b, x), "", ([0.5], [1.2]), (0.3, 3.0))
# SciPy 1.14 has another function for x > 1, which stays without a rule.
if abs(sc.log_wright_bessel(0.5, 1.2, 1.1) - 1.1056430055248945) < 1e-9:
    _series(
        sc.log_wright_bessel,
        lambda y, a, b, x: np.exp(sc.log_wright_bessel(a, a + b, x) - y),
        "",
        ([0.5], [1.2]),
        (0.3, 3.0),
    )
