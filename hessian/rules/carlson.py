"""Rows of Carlson's symmetric elliptic integrals R_C, R_F, R_G, R_D, R_J.

First partials of R_C and R_F are R_D (DLMF 19.18). Those of the others, and whatever follows by differentiation, are multivariate
hypergeometric functions (DLMF 19.16.9, 19.18.1),

    R_{-a}(b; z) = int_0^inf t^{k-1} prod_i (t + z_i)^{-b_i} dt / B(a, k),  a = sum(b) - k,
    dR/dz_i = -a b_i / sum(b) R_{-a-1}(b + e_i; z),

positive integrals, in which nothing cancels. R_G is one with k = 2, the others have k = 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sc

from hessian.rules.dispatch import elementwise
from hessian.rules.samples import A, Accuracy, case
from hessian.rules.spec import Elementwise, register

_POSITIVE, _GRID = (0.3, 3.0), (1e-4, 1e4)
_ENDS = "slopes are infinite in arguments that are 0, and NaN where one is negative"
_STEP, _DEPTH, _BLOCK = 0.4, 40.0, 2048


def _r(x: Any, y: Any, z: Any, p: Any, *, b: tuple[float, ...], k: int) -> Any:
    """Evaluate R_{-a}(b; x, y, z, p)."""
    dtype = np.result_type(x, y, z, p)
    points = np.stack(np.broadcast_arrays(x, y, z, p), axis=-1).astype(float)
    flat = points.reshape(-1, 4)
    blocks = [_integral(flat[i : i + _BLOCK], np.array(b), k) for i in range(0, len(flat), _BLOCK)]
    return np.concatenate(blocks or [np.zeros(0)]).reshape(points.shape[:-1]).astype(dtype)[()]


def _integral(z: Any, b: Any, k: int) -> Any:
    """Integrate by the trapezoidal rule over u = log t, which is exact but for exp(-2 pi^2 / step): poles are pi away from the line."""
    z, b = z[:, b > 0], b[b > 0]
    a = np.sum(b) - k
    bad = np.any(~np.isfinite(z) | (z < 0), axis=-1)
    # Towards t = 0 the integrand falls like t to the power of what zeros leave of k, towards infinity like t^-a.
    left = k - np.sum(np.where(z == 0, b, 0.0), axis=-1)
    z = np.where((bad | (left <= 0))[:, None], 1.0, z)
    scale = np.max(z, axis=-1)
    z = z / scale[:, None]
    low = np.log(np.min(np.where(z > 0, z, 1.0), axis=-1)) - _DEPTH / np.where(left > 0, left, 1.0)
    count = int(np.max(_DEPTH / a - low, initial=0.0) / _STEP) + 1
    t = np.exp(low[:, None] + _STEP * np.arange(count))
    with np.errstate(over="ignore", under="ignore"):
        total = t**k
        for i, exponent in enumerate(b):
            total *= (t + z[:, i : i + 1]) ** -exponent
        value = _STEP * np.sum(total, axis=-1) * scale**-a / sc.beta(a, k)
    return np.where(bad, np.nan, np.where(left > 0, value, np.inf))


def _raised(b: tuple[float, ...], k: int, *places: int) -> tuple[float, tuple[float, ...]]:
    """Return the factor and the exponents of a partial derivative."""
    factor = 1.0
    for i in places:
        factor *= -(sum(b) - k) * b[i] / sum(b)
        b = (*b[:i], b[i] + 1, *b[i + 1 :])
    return factor, b


def _partial(*places: int) -> Any:
    def partial(value: Any, *xs: Any, b: tuple[float, ...], k: int) -> Any:
        factor, raised = _raised(b, k, *places)
        return factor * r_op(*xs, b=raised, k=k)

    return partial


r_op: Elementwise = register(
    Elementwise(
        "carlson_r",
        _r,
        d1=[_partial(i) for i in range(4)],
        d2={(i, j): _partial(i, j) for i in range(4) for j in range(i, 4)},
        variants=[{"b": (0.5, 0.5, 1.5, 1.0), "k": 1}],
        domain=[_POSITIVE] * 4,
        cases=[case(*[A(3, domain=_POSITIVE)] * 4, b=(0.5, 0.5, 0.5, 1.0), k=k) for k in (1, 2)],
        real_only=True,
    )
)


def _slopes(b: tuple[float, ...], k: int = 1) -> list[Any]:
    """Return the partials of R(b) in the arguments whose exponents are not 0."""

    def slope(i: int) -> Any:
        factor, raised = _raised(b, k, i)
        return lambda value, *xs: factor * r_op(*xs, *[1.0] * (4 - len(xs)), b=raised, k=k)

    return [slope(i) for i in range(4) if b[i]]


def _row(ufunc: Any, d1: list[Any], reference: str, partials: float = 1e-12) -> None:
    name = ufunc.__name__
    elementwise(
        ufunc,
        d1=d1,
        d2=None,
        reference=reference,
        cases=[case(*[A(3, domain=_POSITIVE) for _ in d1])],
        domain=[_POSITIVE] * len(d1),
        points=[(1.0,) * len(d1), (0.5,) * len(d1)],
        kinks=_ENDS,
        accuracy=Accuracy(1e-13, f"scipy.special.{name}", grid=(_GRID,) * len(d1), partials=partials),
        real_only=True,
    )


_row(
    sc.elliprc,
    [lambda r, x, y: -sc.elliprd(y, y, x) / 6, lambda r, x, y: -sc.elliprd(x, y, y) / 3],
    "x, y: elliprc(x, y)",
)
_row(
    sc.elliprf,
    [
        lambda r, x, y, z: -sc.elliprd(y, z, x) / 6,
        lambda r, x, y, z: -sc.elliprd(z, x, y) / 6,
        lambda r, x, y, z: -sc.elliprd(x, y, z) / 6,
    ],
    "x, y, z: elliprf(x, y, z)",
)
_row(sc.elliprg, _slopes((0.5, 0.5, 0.5, 0.0), 2), "x, y, z: elliprg(x, y, z)")
_row(sc.elliprd, _slopes((0.5, 0.5, 1.5, 0.0)), "x, y, z: elliprd(x, y, z)")
_row(sc.elliprj, _slopes((0.5, 0.5, 0.5, 1.0)), "x, y, z, p: elliprj(x, y, z, p)")
