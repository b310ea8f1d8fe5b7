"""Functions of sampled curves: convolution, interpolation, differences, phases, covariances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.rules.broadcast import as_array, as_floats, conjugate_transposed, normalize_axes
from hessian.rules.dispatch import composite, expose
from hessian.rules.pairs import joined, multiplies, parts_of
from hessian.rules.reductions import float_dtype
from hessian.rules.smooth import smooth_op
from hessian.rules.spec import LINE, A, Elementwise, General, Traced, case, general, nondifferentiable, register


def _by_rows(function: Any, a: Any, b: Any) -> np.ndarray:
    """Apply a function of two vectors to all pairs of rows that broadcasting of the axes before makes."""
    lead = np.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    if not lead:
        return np.asarray(function(a, b))
    pairs = [np.broadcast_to(x, lead + x.shape[-1:]).reshape(-1, x.shape[-1]) for x in (a, b)]
    rows = [function(x, y) for x, y in zip(*pairs, strict=True)]
    length = len(function(np.ones(a.shape[-1]), np.ones(b.shape[-1])))
    return np.reshape(np.asarray(rows, np.result_type(a, b)), (*lead, length))


# c = a * v in full, and its two transposes, which are one operation: (g, v) -> sum_j g[k + j] v[j].
convolve_op: General = general(
    "convolve",
    lambda a, v: _by_rows(np.convolve, a, v),
    pushforward=lambda y, xs, dots: _product(convolve_op, xs, dots),
    pullback=lambda y, xs, g, wanted: [
        overlap_op(g, xs[1]) if wanted[0] else None,
        overlap_op(g, xs[0]) if wanted[1] else None,
    ],
    core=(1, 1, 1),
)
overlap_op: General = general(
    "overlap",
    lambda g, v: _by_rows(lambda a, b: np.correlate(a, b, "valid"), g, v),
    pushforward=lambda y, xs, dots: _product(overlap_op, xs, dots),
    pullback=lambda y, xs, g, wanted: [
        convolve_op(g, xs[1]) if wanted[0] else None,
        overlap_op(xs[0], g) if wanted[1] else None,
    ],
    core=(1, 1, 1),
)


multiplies(convolve_op)


def _product(operation: Any, xs: Any, dots: Any) -> Any:
    """Differentiate a product."""
    parts = []
    if dots[0] is not None:
        parts.append(operation(dots[0], xs[1]))
    if dots[1] is not None:
        parts.append(operation(xs[0], dots[1]))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _window(full: Any, n: int, m: int, mode: Any, swapped: bool = False) -> Any:
    """Cut a convolution in full of lengths n and m as a mode says."""
    longer, shorter = max(n, m), min(n, m)
    if isinstance(mode, bool):
        raise TypeError("convolve/correlate mode not understood")
    if mode in ("full", 2):
        return full
    if mode in ("valid", 0):
        return full[shorter - 1 : longer]
    if mode not in ("same", 1):
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    start = shorter - 1 - shorter // 2
    start = full.size - start - longer if swapped else start
    return full[start : start + longer]


def _vectors(where: str, *arrays: Any) -> list[Any]:
    arrays_ = [as_array(x) for x in arrays]
    if where == "convolve":
        arrays_ = [np.reshape(x, (1,)) if x.ndim == 0 else x for x in arrays_]
    if any(x.ndim != 1 for x in arrays_):
        shapes = [x.shape for x in arrays_]
        raise ShapeMismatchError(message(where, f"arrays of shapes {shapes}", fix="Pass vectors"))
    if any(x.size == 0 for x in arrays_):
        raise ValueError("array cannot be empty")
    kind = np.result_type(*[x.dtype for x in arrays_])
    return [x if x.dtype == kind else x.astype(kind) for x in arrays_]


@composite(np.convolve, cases=[case(A(4), A(3)), case(A(2), A(5), "same"), case(A(5), A(2), mode="valid")])
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    a, v = _vectors("convolve", a, v)
    return _window(convolve_op(a, v), a.size, v.size, mode)


@composite(
    np.correlate, real_only=True, cases=[case(A(4), A(3)), case(A(2), A(5), "same"), case(A(5), A(2), mode="full")]
)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    a, v = _vectors("correlate", a, v)
    v = np.conjugate(v[::-1]) if v.dtype.kind == "c" else v[::-1]
    return _window(convolve_op(a, v), a.size, v.size, mode, swapped=a.size < v.size)


interp_op = nondifferentiable("interp", lambda x, xp, fp, left, right: np.interp(x, xp, fp, left, right))


@composite(
    np.interp,
    cases=[
        case(A(5), np.array([-1.0, 0.3, 1.1]), A(3)),
        case(A(2, 2), np.array([-1.0, 0.0, 1.0]), A(3), left=0.5),
        case(A(4), np.array([0.0, 0.3, 0.8]), A(3), period=1.0),
    ],
    analytic=lambda x, xp, fp, left=None, right=None, period=None: _analytic_interp(x, xp, fp, left, right, period),
    kinks="the slope on the right at a knot, on the left at the last",
)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    x, xp, fp = map(as_floats, (x, xp, fp))
    if x.dtype.kind == "c" or xp.dtype.kind == "c":
        raise TypeError(
            "Cannot cast array data from dtype('complex128') to dtype('float64') according to the rule 'safe'"
        )
    if fp.dtype.kind == "c":
        beyond = [None if end is None else parts_of(end).both() for end in (left, right)]
        return joined(
            *(
                interp(x, xp, part, *(end and end[i] for end in beyond), period)
                for i, part in enumerate(parts_of(fp).both())
            )
        )
    if xp.ndim != 1 or fp.shape != xp.shape or not xp.size:
        raise ValueError("fp and xp are not of the same length.")
    if period is not None:
        period = abs(period)
        order = np.argsort(xp % period, kind="stable")
        x, xp, fp = x % period, (xp % period)[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    ends = fp[0] if left is None else left, fp[-1] if right is None else right
    written = interp_op(x, xp, fp, *ends)
    if xp.size == 1:
        inside = fp[0] + 0 * x
    else:
        j = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, xp.size - 2)
        low, high = xp[j], xp[j + 1]
        inside = fp[j] + (fp[j + 1] - fp[j]) * ((x - low) / (high - low))
    smooth = np.where(x < xp[0], ends[0], np.where(x > xp[-1], ends[1], inside))
    return smooth_op(smooth, written)


def _analytic_interp(x: Any, xp: Any, fp: Any, left: Any, right: Any, period: Any) -> Any:
    """Interpolate by real parts, for a complex step."""
    if period is not None:
        turns = np.floor(np.real(x) / period) * period
        return _analytic_interp(
            x - turns, np.r_[xp[-1:] - period, xp, xp[:1] + period], np.r_[fp[-1:], fp, fp[:1]], None, None, None
        )
    j = np.clip(np.searchsorted(np.real(xp), np.real(x), side="right") - 1, 0, len(xp) - 2)
    inside = fp[j] + (fp[j + 1] - fp[j]) * (x - xp[j]) / (xp[j + 1] - xp[j])
    ends = fp[0] if left is None else left, fp[-1] if right is None else right
    return np.where(np.real(x) < xp[0], ends[0], np.where(np.real(x) > xp[-1], ends[1], inside))


@composite(np.gradient, cases=[case(A(5)), case(A(4, 3), 0.5, axis=0), case(A(5), A(5), edge_order=2)])
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = as_array(f)
    f = f if f.dtype.kind in "fc" else f.astype(float)
    axes = normalize_axes(axis, f.ndim, "gradient")
    if not varargs:
        varargs = (1.0,)
    if len(varargs) == 1 and np.ndim(varargs[0]) == 0:
        varargs *= len(axes)
    if len(varargs) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    parts = [_slope(f, spacing, i, edge_order) for spacing, i in zip(varargs, axes, strict=True)]
    return parts[0] if len(axes) == 1 else tuple(parts)


def _slope(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    """Differentiate along an axis: three points inside, ``edge_order + 1`` at both ends."""
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ValueError("Shape of array too small to calculate a numerical gradient")
    before = (slice(None),) * (f.ndim + axis)
    at = lambda *index: f[(*before, slice(*index))]
    if np.ndim(spacing):
        if np.ndim(spacing) != 1 or len(spacing) != n:
            raise ValueError("when 1d, distances must match the length of the corresponding dimension")
        gaps = np.diff(spacing)
        gaps = np.reshape(gaps, (-1,) + (1,) * (-1 - axis))
        rest = (slice(None),) * (-1 - axis)
        gap = lambda *index: gaps[(slice(*index), *rest)]
    else:
        gap = lambda *index: spacing
    h, k = gap(None, -1), gap(1, None)
    if np.ndim(spacing):
        a, b, c = -k / (h * (h + k)), (k - h) / (h * k), h / (k * (h + k))
        inside = a * at(None, -2) + b * at(1, -1) + c * at(2, None)
    else:
        inside = (at(2, None) - at(None, -2)) / (2.0 * spacing)
    if edge_order == 1:
        first = (at(1, 2) - at(0, 1)) / gap(0, 1)
        last = (at(-1, None) - at(-2, -1)) / gap(-1, None)
    else:
        h, k = gap(0, 1), gap(1, 2)
        first = -(2 * h + k) / (h * (h + k)) * at(0, 1) + (h + k) / (h * k) * at(1, 2) - h / (k * (h + k)) * at(2, 3)
        h, k = gap(-2, -1), gap(-1, None)
        last = (
            k / (h * (h + k)) * at(-3, -2)
            - (k + h) / (h * k) * at(-2, -1)
            + (2.0 * k + h) / (k * (h + k)) * at(-1, None)
        )
    slopes = np.concatenate([first, inside, last], axis=axis)
    return slopes if slopes.dtype == f.dtype else slopes.astype(f.dtype)  # whatever the precision of the distances


@composite(np.ediff1d, cases=[case(A(4)), case(A(2, 3), A(2), to_begin=1.0)])
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    steps = np.diff(np.ravel(ary))
    parts = [np.ravel(to_begin)] * (to_begin is not None) + [steps] + [np.ravel(to_end)] * (to_end is not None)
    for part in parts:
        if not np.can_cast(part.dtype, steps.dtype, "same_kind"):
            raise TypeError("dtype of `to_end` and `to_begin` must be compatible with input `ary` under 'same_kind'.")
    parts = [part if part.dtype == steps.dtype else part.astype(steps.dtype) for part in parts]
    return np.concatenate(parts) if len(parts) > 1 else steps


unwrap_op = nondifferentiable("unwrap", lambda p, *, discont, axis, period: np.unwrap(p, discont, axis, period=period))


@composite(np.unwrap, cases=[case(A(6)), case(A(2, 4), axis=0, period=1.0)], analytic=lambda p, *a, **k: p)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    # What is added is constant between jumps.
    return smooth_op(p + 0.0, unwrap_op(p, discont=discont, axis=axis, period=period))


@composite(np.angle, cases=[case(A(3))], analytic=lambda z, deg=False: 0 * z)
def angle(z: Any, deg: bool = False) -> Any:
    if z.dtype.kind == "c":
        phase = np.arctan2(z.imag, z.real)
        return phase * (180.0 / np.pi) if deg else phase
    turned = np.where(np.signbit(z), np.asarray(180.0 if deg else np.pi, z.dtype), np.zeros((), z.dtype))
    return np.where(np.isnan(z), np.asarray(np.nan, z.dtype), turned)[()]


@composite(np.real_if_close, cases=[case(A(3))], analytic=lambda a, tol=100: a)
def real_if_close(a: Any, tol: Any = 100) -> Any:
    if a.dtype.kind != "c":
        return a
    limit = tol * np.finfo(a.dtype).eps if tol > 1 else tol
    return a.real if bool(np.all(np.abs(a.imag) < limit)) else a


@composite(
    np.cov,
    real_only=True,
    cases=[
        case(A(2, 4)),
        case(A(5), A(5), bias=True),
        case(A(4, 2), rowvar=False, aweights=np.array([1.0, 2.0, 0.5, 1.0])),
        case(A(2, 3), fweights=np.array([1, 2, 1])),
    ],
)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    x = _variables(m, rowvar, dtype)
    if y is not None:
        x = np.concatenate([x, _variables(y, rowvar, dtype)], axis=0)
    ddof = (1 if bias == 0 else 0) if ddof is None else ddof
    weights = _observation_weights(x.shape[1], fweights, aweights)
    total = x.shape[1] if weights is None else np.sum(weights)
    center = np.mean(x, axis=1) if weights is None else np.sum(x * weights, axis=1) / total
    if weights is None:
        free = total - ddof
    elif ddof == 0:
        free = total
    elif aweights is None:
        free = total - ddof
    else:
        free = total - ddof * np.sum(weights * aweights) / total
    x = x - center[:, None]
    factor = np.maximum(free, 0.0) if not isinstance(free, Traced) else free
    product = x @ conjugate_transposed(x if weights is None else x * weights)
    return np.squeeze(product * (np.asarray(1.0, product.dtype) / np.asarray(factor, product.dtype)[()]))


def _variables(m: Any, rowvar: bool, dtype: Any) -> Any:
    """Return data with a row for each variable."""
    m = as_array(m)
    if m.ndim > 2:
        raise ValueError("m has more than 2 dimensions")
    dtype = float_dtype(dtype, "cov") or np.result_type(m.dtype, np.float64)
    m = m if m.dtype == dtype else m.astype(dtype)
    x = np.reshape(m, (1, -1)) if m.ndim < 2 else m
    return x.T if not rowvar and x.shape[0] != 1 else x


def _observation_weights(n: int, fweights: Any, aweights: Any) -> Any:
    parts = []
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        if isinstance(given, Traced):
            raise OptionError(message("cov", f"{name} is traced", fix="Write the weighted covariance out"))
        weights = np.asarray(given, float)
        if weights.shape != (n,):
            raise RuntimeError(f"incompatible numbers of samples and {name}")
        if np.any(weights < 0) or (name == "fweights" and np.any(weights != np.around(weights))):
            raise ValueError(f"{name} cannot be negative, and fweights must be integer")
        parts.append(weights)
    return None if not parts else parts[0] if len(parts) == 1 else parts[0] * parts[1]


@composite(np.corrcoef, real_only=True, cases=[case(A(2, 4)), case(A(4), A(4)), case(A(5, 2), rowvar=False)])
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    spread = np.sqrt(np.diagonal(c).real)
    c = c / spread[:, None] / spread[None, :]
    return joined(np.clip(c.real, -1, 1), np.clip(c.imag, -1, 1)) if c.dtype.kind == "c" else np.clip(c, -1, 1)


def _bessel(u: Any, *, n: int) -> Any:
    """Return spherical Bessel functions of low order: by their series near 0, else by recurrence from sine and cosine."""
    near = np.abs(u) <= 2.0
    small, large = np.where(near, u, 0.0), np.where(near, 4.0, u)
    term = small**n / math.prod(range(1, 2 * n + 2, 2))
    total = term
    for k in range(1, 16):
        term = term * (-0.5 * small**2) / (k * (2 * n + 2 * k + 1))
        total = total + term
    below, here = np.cos(large) / large, np.sin(large) / large
    for k in range(n):
        below, here = here, (2 * k + 1) / large * here - below
    y = np.where(near, total, np.where(np.isinf(u), 0.0, here))
    return y.astype(np.asarray(u).dtype)[()]


def _slope_of(function: Any, n: int) -> Any:
    """Return the derivative of a spherical Bessel function by its neighbours: nothing is divided by, so nothing is lost at 0."""
    return -function(1) if n == 0 else (n * function(n - 1) - (n + 1) * function(n + 1)) / (2 * n + 1)


def _first(u: Any, n: int) -> Any:
    return _slope_of(lambda k: spherical_op(u, n=k), n)


def _second(u: Any, n: int) -> Any:
    return _slope_of(lambda k: _first(u, k), n)


spherical_op: Elementwise = register(
    Elementwise(
        "spherical_jn",
        _bessel,
        d1=[lambda y, u, *, n: _first(u, n)],
        d2={(0, 0): lambda y, u, *, n: _second(u, n)},
        reference="u, n: (sin(u) / u - cos(u)) / u if n == 1 else ((3 / u**2 - 1) * sin(u) - 3 * cos(u) / u) / u",
        variants=[{"n": 1}, {"n": 2}],
        points=LINE,
    )
)

sinc_op = nondifferentiable("sinc", np.sinc)


@composite(np.sinc, cases=[case(A(4)), case(A(2, 2, domain=(-0.01, 0.01)))])
def sinc(x: Any) -> Any:
    y = spherical_op(np.pi * x, n=0)
    return y if x.dtype.kind == "c" else smooth_op(y, sinc_op(x))


i0_op = nondifferentiable("i0_of_numpy", np.i0)


@composite(np.i0, cases=[case(A(4)), case(A(2, 2))], analytic=lambda x: scipy.special.iv(0, x))
def i0(x: Any) -> Any:
    return smooth_op(scipy.special.i0(x), i0_op(x))


expose(np.isreal, lambda x: np.equal(x.imag, 0), untested="it asks for a truth value")
expose(np.iscomplex, lambda x: np.not_equal(x.imag, 0), untested="it asks for a truth value")
