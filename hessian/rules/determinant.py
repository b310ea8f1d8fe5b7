"""The determinant and its derivatives, of singular matrices as of others.

The gradient of the determinant is the matrix of cofactors, and both are polynomials in the entries: nothing happens at a singular
matrix. From the singular value decomposition A = U diag(s) Vᵀ, with σ = det(U) det(V) = ±1 and X' = Uᵀ X V,

    cofactors        = σ U diag(p_i) Vᵀ,                               p_i  = product of s_k over k ≠ i
    their derivative = σ U (diag(Σ_i p_ij X'_ii) - P ∘ X'ᵀ) Vᵀ,        p_ij = product of s_k over k ≠ i, j,  p_ii = 0

in which nothing is divided by anything. Rows and columns are scaled by powers of two before, so that matrices of mixed units
lose no digits. The third derivative is written by the inverse, which a singular matrix has not.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np

from hessian.errors import UndefinedDerivativeError, message
from hessian.rules.broadcast import transposed as _t
from hessian.rules.factors import factor_op, inverted, with_factor_op
from hessian.rules.pairs import from_real_form, joined, parts_of, real_form
from hessian.rules.spec import NONDIFF, general, nondifferentiable


def _scales(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whole exponents of two for rows and columns that bring their largest entries near one (Ruiz, 2001)."""
    rows, columns = np.zeros(a.shape[:-1]), np.zeros(a.shape[:-2] + a.shape[-1:])
    with np.errstate(all="ignore"):
        sizes = np.log2(np.abs(a))
        for _ in range(6):
            scaled = sizes + rows[..., :, None] + columns[..., None, :]
            down, right = np.max(scaled, axis=-1, initial=-np.inf), np.max(scaled, axis=-2, initial=-np.inf)
            rows -= np.where(np.isfinite(down), np.round(down / 2), 0)
            columns -= np.where(np.isfinite(right), np.round(right / 2), 0)
    return rows.astype(int), columns.astype(int)


def _products(s: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return products of all but one and of all but two, times two to the power ``total``, without overflow on the way."""
    n = s.shape[-1]
    mantissas, exponents = np.frexp(s)
    zero = mantissas == 0
    mantissas = np.where(zero, 1.0, mantissas)
    # Mantissas between 1/sqrt(2) and sqrt(2): products of thousands of them stay in range.
    small = mantissas < math.sqrt(0.5)
    mantissas, exponents = np.where(small, 2 * mantissas, mantissas), np.where(small, exponents - 1, exponents)
    product, exponent = np.prod(mantissas, axis=-1), np.sum(exponents, axis=-1) + total
    zeros = np.sum(zero, axis=-1)
    one = np.ldexp(product[..., None] / mantissas, exponent[..., None] - exponents)
    one = np.where((zeros[..., None] - zero) == 0, one, 0.0)
    pair = mantissas[..., :, None] * mantissas[..., None, :]
    pairs = exponents[..., :, None] + exponents[..., None, :]
    two = np.ldexp(product[..., None, None] / pair, exponent[..., None, None] - pairs)
    left = zeros[..., None, None] - zero[..., :, None] - zero[..., None, :]
    return one, np.where((left == 0) & ~np.eye(n, dtype=bool), two, 0.0)


def _factors(a: np.ndarray) -> np.ndarray:
    """Return U, V and the products of all but two singular values, stacked; the scales and the sign are multiplied in."""
    finite = np.isfinite(a).all(axis=(-2, -1))[..., None, None]
    a = np.where(finite, a, 0)
    rows, columns = _scales(a)
    u, s, vt = np.linalg.svd(np.ldexp(a, rows[..., :, None] + columns[..., None, :]))
    sign = np.linalg.slogdet(u)[0] * np.linalg.slogdet(vt)[0]
    one, two = _products(s, -np.sum(rows, axis=-1) - np.sum(columns, axis=-1))
    u, v = np.ldexp(u, rows[..., :, None]), np.ldexp(_t(vt), columns[..., :, None])
    sign = np.sign(sign)[..., None, None]
    cofactors = sign * ((u * one[..., None, :]) @ _t(v))
    return np.where(finite[..., None], np.stack([u, v, sign * two, cofactors], axis=-3), np.nan).astype(a.dtype)


factors_op = nondifferentiable("det_factors", _factors)


def _inverse(a: Any, factor: Any, *, name: str, line: str) -> Any:
    """Return the inverse of a matrix by its factor, or raise where it has no correct digit."""
    try:
        inverse = inverted(factor) if factor.shape[-1] else np.linalg.inv(a)
    except np.linalg.LinAlgError:
        inverse = None
    if inverse is None:
        inverse = np.full_like(a, np.inf)
    limit = 1 / float(np.finfo(inverse.dtype).eps)
    with np.errstate(all="ignore"):
        if np.isfinite(a).all() and not np.all(_size(a) * _size(inverse) < limit):
            # Rows and columns of other units only look like it.
            rows, columns = _scales(a)
            scaled = np.ldexp(a, rows[..., :, None] + columns[..., None, :])
            condition = _size(scaled) * _size(np.ldexp(inverse, -columns[..., :, None] - rows[..., None, :]))
            if not np.all(condition < limit):
                _singular(np.max(condition), name=name, line=line)
    return inverse


def _size(x: Any) -> Any:
    """Return the largest sum of moduli in a row."""
    return np.max(np.sum(np.abs(x), axis=-1), axis=-1, initial=0)


def _singular(condition: float, *, name: str, line: str) -> NoReturn:
    raise UndefinedDerivativeError(
        message(
            name,
            f"the matrix is singular to working precision, at {line}",
            f"the derivative is made of its inverse; the condition number is {condition:.1e}",
            "Add a multiple of the identity, or leave out rows that depend on others",
        )
    )


def _sound(a: Any, x: Any, b: Any, z: Any, *, name: str, line: str) -> Any:
    """Return ones, or raise where the solution of A X = B, or of A z = p for a vector p that has nothing to do with A, shows that
    A is singular to working precision. (B may lie in the range of a singular matrix, and then X shows nothing.)"""
    ones, limit = np.ones((*x.shape[:-2], 1, 1), x.dtype), 1 / float(np.finfo(x.dtype).eps)
    probe = probe_of(a.shape, a.dtype)
    with np.errstate(all="ignore"):
        if not np.isfinite(a).all() or (
            np.all(_growth(a, x, b) < limit) and np.all(_growth_of_any(a, z, probe) < limit)
        ):
            return ones
        # Rows and columns of other units only look like it.
        rows, columns = _scales(a)
        scaled = np.ldexp(a, rows[..., :, None] + columns[..., None, :])
        try:
            z = np.linalg.solve(scaled, probe)
        except np.linalg.LinAlgError:
            z = np.full_like(probe, np.inf)
        x, b = np.ldexp(x, -columns[..., :, None]), np.ldexp(b, rows[..., :, None])
        growths = (_growth(scaled, x, b), _growth_of_any(scaled, z, probe))
    for growth in growths:
        if not np.all(growth < limit):
            _singular(np.max(growth), name=name, line=line)
    return ones


def probe_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a right-hand side that has a part in every direction, as a rule."""
    return np.cos(np.arange(shape[-1], dtype=dtype))[:, None] * np.ones((*shape[:-2], 1, 1), dtype)


def _probed(a: Any, factor: Any) -> Any:
    probe = probe_of(a.shape, a.dtype)
    try:
        return with_factor_op.function(a, probe, factor, trans=False)
    except np.linalg.LinAlgError:
        return np.full_like(probe, np.inf)


def _growth_of_any(a: Any, z: Any, probe: Any) -> Any:
    return np.where(np.isfinite(z).all(axis=(-2, -1)), _growth(a, z, probe), np.inf)


def _growth(a: Any, x: Any, b: Any) -> Any:
    """Return |A| |X| / |B|, which is at most the condition number."""
    growth = np.max(np.abs(x), axis=-2, initial=0) / np.max(np.abs(b), axis=-2, initial=0)
    # Of a column of zeros nothing is known.
    return _size(a) * np.max(np.where(np.isnan(growth), 0, growth), axis=-1, initial=0)


probe_op = nondifferentiable("probe", _probed)
sound_op = nondifferentiable("sound", _sound)
_inverse_op = general(
    "inverse",
    _inverse,
    states=(None, NONDIFF),
    pushforward=lambda y, xs, dots, *, name, line: -(y @ dots[0] @ y),
    pullback=lambda y, xs, g, wanted, *, name, line: [-(_t(y) @ g @ _t(y)), None],
    core=(2, 2, 2),
)


def inverse_of(a: Any, *, name: str, line: str) -> Any:
    """Return the inverse of a matrix by the factor that solutions share; raise where it has no correct digit."""
    if a.dtype.kind == "c":
        return joined(*from_real_form(inverse_of(real_form(parts_of(a)), name=name, line=line)))
    return _inverse_op(a, factor_op(a), name=name, line=line)


def _turned(a: Any, x: Any, factors: Any, *, line: str) -> Any:
    """Return the derivative of the cofactors in direction x."""
    u, v, two = factors[..., 0, :, :], factors[..., 1, :, :], factors[..., 2, :, :]
    inner = _t(u) @ x @ v
    diagonal = (two @ np.diagonal(inner, axis1=-2, axis2=-1)[..., None])[..., 0]
    middle = diagonal[..., None] * np.eye(a.shape[-1], dtype=a.dtype) - two * _t(inner)
    return u @ middle @ _t(v)


def _third(a: Any, x: Any, y: Any, line: str) -> Any:
    """Return the second derivative of the cofactors in directions x and y, by the inverse."""
    w = _t(inverse_of(a, name="third derivative of det", line=line))
    wx, wy = w @ _t(x) @ w, w @ _t(y) @ w
    tx, ty = (np.sum(w * z, axis=(-2, -1))[..., None, None] for z in (x, y))
    txy = np.sum(wx * y, axis=(-2, -1))[..., None, None]
    turned = (tx * ty - txy) * w - ty * wx - tx * wy + wy @ _t(x) @ w + wx @ _t(y) @ w
    return det_op(a, line=line)[..., None, None] * turned


def _turned_pushforward(y: Any, xs: Any, dots: Any, *, line: str) -> Any:
    (a, x, factors), (a_dot, x_dot, _) = xs, dots
    parts = []
    if x_dot is not None:
        parts.append(turned_op(a, x_dot, factors, line=line))
    if a_dot is not None:
        parts.append(_third(a, x, a_dot, line))
    return sum(parts[1:], parts[0])


def _turned_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, line: str) -> list[Any]:
    a, x, factors = xs
    return [
        _third(a, x, g, line) if wanted[0] else None,
        turned_op(a, g, factors, line=line) if wanted[1] else None,
        None,
    ]


turned_op = general(
    "cofactors_turned", _turned, pushforward=_turned_pushforward, pullback=_turned_pullback, core=(2, 2, 3, 2)
)
# Second derivatives of a polynomial are symmetric: forward and back they are the same map.
cofactors_op = general(
    "cofactors",
    lambda a, factors, *, line: factors[..., 3, :, :],
    pushforward=lambda y, xs, dots, *, line: turned_op(xs[0], dots[0], xs[1], line=line),
    pullback=lambda y, xs, g, wanted, *, line: [turned_op(xs[0], g, xs[1], line=line), None],
    core=(2, 3, 2),
)


def _cofactors(y: Any, xs: Any, *, line: str) -> dict[str, Any]:
    return {"cofactors": cofactors_op(xs[0], factors_op(xs[0]), line=line)}


det_op = general(
    "det",
    lambda a, *, line: np.linalg.det(a),
    prepare=_cofactors,
    pushforward=lambda y, xs, dots, *, line, cofactors: np.sum(cofactors * dots[0], axis=(-2, -1)),
    pullback=lambda y, xs, g, wanted, *, line, cofactors: [g[..., None, None] * cofactors],
    core=(2, 0),
    kinks="at a singular matrix gradient and Hessian are right, third derivatives raise",
)
