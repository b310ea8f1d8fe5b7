"""NumPy's polynomials by their coefficients, the highest power first."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import as_array, conjugate_transposed
from hessian.rules.dispatch import composite
from hessian.rules.packed import complex_row, on_packed, unpacked
from hessian.rules.pairs import Parts, of_complex, parts_of
from hessian.rules.series import convolve
from hessian.rules.spec import A, case, general, nondifferentiable


def _coefficients(p: Any, where: str) -> Any:
    p = as_array(p)
    p = np.reshape(p, (1,)) if p.ndim == 0 else p
    if p.ndim != 1:
        raise ShapeMismatchError(message(where, f"coefficients of shape {p.shape}", fix="Pass a vector"))
    return p


@composite(np.polyval, cases=[case(A(4), A(3)), case(A(3), A(2, 2)), case(np.array([1.0, -2.0, 0.5]), A())])
def polyval(p: Any, x: Any) -> Any:
    p, x = (as_array(a) for a in (p, x))
    y = np.zeros_like(x)
    for i in range(p.shape[0]):
        y = y * x + p[i]
    return y


def _padded(a: Any, b: Any, where: str) -> tuple[Any, Any]:
    a, b = _coefficients(a, where), _coefficients(b, where)
    short = b.size - a.size
    fill = lambda x, n: np.concatenate([np.zeros(n, x.dtype), x]) if n > 0 else x
    return fill(a, short), fill(b, -short)


@composite(np.polyadd, cases=[case(A(4), A(2)), case(A(2), A(3))])
def polyadd(a1: Any, a2: Any) -> Any:
    a, b = _padded(a1, a2, "polyadd")
    return a + b


@composite(np.polysub, cases=[case(A(4), A(2)), case(A(2), A(3))])
def polysub(a1: Any, a2: Any) -> Any:
    a, b = _padded(a1, a2, "polysub")
    return a - b


def _without_leading_zeros(p: Any) -> Any:
    """Drop leading zeros as ``np.poly1d`` does."""
    at = np.flatnonzero(np.asarray(np.not_equal(p, 0)))
    return p[at[0] :] if at.size else p[-1:]


@composite(np.polymul, cases=[case(A(3), A(2))])
def polymul(a1: Any, a2: Any) -> Any:
    factors = [_without_leading_zeros(_coefficients(a, "polymul")) for a in (a1, a2)]
    return convolve(*factors)


@composite(np.polydiv, cases=[case(A(4), np.array([2.0, -1.0])), case(A(5), np.array([1.0, 0.5, 2.0]))])
def polydiv(u: Any, v: Any) -> Any:
    u, v = (_coefficients(a, "polydiv") + 0.0 for a in (u, v))
    if not u.size or not v.size:
        raise IndexError("index 0 is out of bounds for axis 0 with size 0")
    dtype = np.result_type(u.dtype, v.dtype)
    rest = u if u.dtype == dtype else u.astype(dtype)
    count = u.size - v.size + 1
    if count < 1:
        return np.zeros(1, rest.dtype), _without_small(rest)
    scale, quotient = 1.0 / v[0], []
    for k in range(count):
        d = scale * rest[k]
        quotient.append(d)
        rest = np.concatenate([rest[:k], rest[k : k + v.size] - d * v, rest[k + v.size :]])
    # What has been divided away is zero but for rounding.
    return np.stack(quotient), _without_small(rest)


def _without_small(r: Any) -> Any:
    small = np.asarray(np.isclose(r, 0, rtol=1e-14))
    start = 0
    while start < r.size - 1 and small[start]:
        start += 1
    return r[start:]


def _refuse_number(p: Any) -> None:
    if not np.ndim(p):
        raise TypeError("len() of unsized object")


@composite(np.polyder, cases=[case(A(4)), case(A(5), 2)])
def polyder(p: Any, m: int = 1) -> Any:
    m = operator.index(m)
    if m < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    _refuse_number(p)
    p = _coefficients(p, "polyder")
    for _ in range(m):
        p = p[:-1] * np.arange(p.size - 1, 0, -1)
    return p


@composite(np.polyint, cases=[case(A(3)), case(A(2), 2, [1.0, -0.5])])
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    m = operator.index(m)
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    _refuse_number(p)
    p = _coefficients(p, "polyint")
    constants = np.zeros(m) if k is None else _coefficients(k, "polyint")
    constants = constants * np.ones(m) if constants.size == 1 and m > 1 else constants
    if constants.size < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    for i in range(m):
        p = np.concatenate([p / np.arange(p.size, 0, -1), constants[i : i + 1]])
    return p


@composite(np.poly, cases=[case(A(3))])
def poly(seq_of_zeros: Any) -> Any:
    zeros = _coefficients(seq_of_zeros, "poly") if np.ndim(seq_of_zeros) < 2 else seq_of_zeros
    if zeros.ndim > 1:
        raise OptionError(message("poly", "a matrix is given", fix="Pass its eigenvalues, np.linalg.eigvalsh(A)"))
    a = np.ones(1, zeros.dtype)
    for i in range(zeros.size):
        a = convolve(a, np.stack([np.ones((), zeros.dtype), -zeros[i]]))
    return a


def _powers_and_slope(y: Any, p: Any) -> tuple[Any, Any]:
    """Return the derivatives of a polynomial at its roots, in each coefficient and in the variable."""
    powers = np.stack([y**k for k in range(p.shape[-1] - 1, -1, -1)], axis=-2)
    steps = np.arange(p.shape[-1] - 1, 0, -1).astype(p.dtype)
    return powers, np.sum(steps[:, None] * p[:-1][:, None] * powers[1:], axis=-2)


def _pushforward(y: Any, xs: Any, dots: Any) -> Any:
    powers, slope = _powers_and_slope(y, xs[0])
    return -(dots[0] @ powers) / slope


def _pullback(y: Any, xs: Any, g: Any, wanted: Any) -> list[Any]:
    powers, slope = _powers_and_slope(y, xs[0])
    return [-(g / slope) @ powers.T]


def _real_roots(p: np.ndarray) -> np.ndarray:
    """Return the roots; NaN where they are complex, which a guard tells before anybody looks at them."""
    roots = np.roots(p)
    return np.full(roots.shape, np.nan, p.dtype) if np.iscomplexobj(roots) else roots


is_complex_op = nondifferentiable("complex_roots", lambda p: np.any(np.imag(np.roots(p)) != 0))
roots_op = general("roots", _real_roots, pushforward=_pushforward, pullback=_pullback)


def _complex_pushforward(y: Any, p: Any, p_dot: Any, *, real: bool) -> Any:
    powers, slope = _powers_and_slope(y, p)
    return -(p_dot @ powers) / slope


def _complex_pullback(y: Any, p: Any, g: Any, *, real: bool) -> Any:
    powers, slope = _powers_and_slope(y, p)
    return -(g / np.conjugate(slope)) @ conjugate_transposed(powers)


# Of real coefficients the roots come in another order.
complex_roots_op = complex_row(
    "roots_complex",
    lambda p, *, real: np.roots(p.real if real else p).astype(p.dtype),
    _complex_pushforward,
    _complex_pullback,
    cases=[case(A(4, 2), real=False)],
)


@of_complex(roots_op)
def _of_complex(p: Parts) -> Parts:
    return parts_of(unpacked(on_packed(complex_roots_op, p, real=p.im is None)))


@composite(
    np.roots,
    real_only=True,
    cases=[case(A(4, make=lambda rng: np.poly([-1.0, 0.5, 2.0]) + rng.uniform(-0.1, 0.1, 4))), case(A(2))],
    kinks="infinite at a root that occurs twice",
)
def roots(p: Any) -> Any:
    p = np.atleast_1d(p)
    if p.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    # How many roots there are depends on which coefficients are zero.
    if np.count_nonzero(np.asarray(np.not_equal(p, 0))) == 0:
        return np.array([])
    p = p if p.dtype.kind in "fc" else p.astype(float)
    if p.dtype.kind == "f" and bool(is_complex_op(p)):
        p = p.astype(np.result_type(p.dtype, np.complex64))
    return roots_op(p)


@composite(
    np.polyfit,
    real_only=True,
    cases=[
        case(np.array([0.0, 0.4, 1.0, 1.5, 2.1]), A(5), 2),
        case(A(6), A(6), 1),
        case(np.array([0.0, 0.4, 1.0, 1.5]), A(4, 2), 1, w=np.array([1.0, 2.0, 1.0, 0.5])),
        case(np.array([0.0, 0.4, 1.0, 1.5]), A(4), 1, rcond=1e-12, cov=True),
        case(np.array([0.0, 0.4, 1.0, 1.5]), A(4, 2), 1, cov=True),
    ],
)
def polyfit(x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False) -> Any:
    if np.ndim(deg):
        raise OptionError(message("polyfit", f"deg is {deg!r}", fix="Pass a number, or solve with np.linalg.lstsq"))
    deg = operator.index(deg)
    x, y = (as_array(a) + 0.0 for a in (x, y))
    if deg < 0:
        raise ValueError("expected deg >= 0")
    if x.ndim != 1 or not x.size or y.ndim < 1 or y.ndim > 2 or x.shape[0] != y.shape[0]:
        raise TypeError("expected x and y to have same length")
    left, right = np.vander(x, deg + 1), y
    if w is not None:
        if np.shape(w) != x.shape:
            raise TypeError("expected w and y to have the same length")
        left = left * np.reshape(w, (-1, 1))
        right = right * (np.reshape(w, (-1, 1)) if y.ndim == 2 else w)
    scale = np.sqrt(np.sum(left * left, axis=0))
    rcond = x.size * np.finfo(x.dtype).eps if rcond is None else rcond
    solution, squares, rank, singular = np.linalg.lstsq(left / scale, right, rcond)
    c = (solution.T / scale).T
    if full:
        return c, squares, rank, singular, rcond
    return (c, _covariance(left / scale, scale, squares, y, cov)) if cov else c


def _covariance(left: Any, scale: Any, squares: Any, y: Any, cov: Any) -> Any:
    """Return the covariance of fitted coefficients, by the scatter of the residuals unless ``cov`` is "unscaled"."""
    base = np.linalg.inv(left.T @ left) / np.outer(scale, scale)
    free = left.shape[0] - left.shape[1]
    if cov != "unscaled":
        if free <= 0:
            raise ValueError("the number of data points must exceed order to scale the covariance matrix")
        base = base[:, :, None] * (squares / free) if y.ndim == 2 else base * (squares / free)
    return base if y.ndim < 2 or cov != "unscaled" else base[:, :, None]
