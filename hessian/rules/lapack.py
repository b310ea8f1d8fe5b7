"""Triangular matrices on plain matrices, by LAPACK and BLAS of SciPy: one triangle is read, the other one may hold anything.

LAPACK counts along columns, NumPy along rows: a matrix in C order is its transpose there, with the other triangle. So nothing is
copied but what is overwritten, and results lie in C order. Precisions that LAPACK has not are left to NumPy's formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from scipy.linalg import blas, lapack

PRECISIONS = (np.dtype(float), np.dtype(np.float32))
"""What LAPACK computes in."""
_BLOCK = 64
"""Rows whose triangle is filled or cleared at once."""


def _by_precision(room: Any, name: str) -> dict[np.dtype, Callable[..., Any]]:
    return {dtype: getattr(room, kind + name) for dtype, kind in zip(PRECISIONS, "ds", strict=True)}


_TRSM, _TRMM, _TRMV, _TRSV = (_by_precision(blas, name) for name in ("trsm", "trmm", "trmv", "trsv"))
_SYGST, _POTRF = (_by_precision(lapack, name) for name in ("sygst", "potrf"))


def lower_into(out: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Copy the lower triangle of a matrix, with zeros above it; both may be the same array."""
    n = len(x)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        if out is not x:
            out[start:stop, :start] = x[start:stop, :start]
        out[start:stop, start:stop] = np.tril(x[start:stop, start:stop])
        out[start:stop, stop:] = 0
    return out


def mirrored(x: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix of which ``x`` is the lower triangle."""
    return np.where(np.tril(np.ones(x.shape[-2:], bool)), x, x.swapaxes(-1, -2))


def _as_lapack(t: np.ndarray, dtype: np.dtype, lower: bool, trans: bool) -> tuple[np.ndarray, bool, bool]:
    """Return a triangle as the transposed system reads it, with its side and whether it is transposed there."""
    if t.dtype == dtype and t.flags.f_contiguous and not t.flags.c_contiguous:
        return t, lower, not trans
    return np.ascontiguousarray(t, dtype).T, not lower, trans


def solved(t: np.ndarray, b: np.ndarray, *, lower: bool, trans: bool, unit: bool) -> np.ndarray:
    """Solve T x = b, or Tᵀ x = b, for the columns of a matrix."""
    dtype = np.result_type(t, b)
    if dtype not in _TRSM:
        return scipy.linalg.solve_triangular(
            t, b, trans=int(trans), lower=lower, unit_diagonal=unit, check_finite=False
        )
    if not unit and not t.diagonal().all():
        place = int(np.argmin(t.diagonal() != 0))
        raise np.linalg.LinAlgError(f"singular matrix: resolution failed at diagonal {place}")
    a, low, turned = _as_lapack(t, dtype, lower, trans)
    x = np.array(b, dtype, order="C")
    if x.shape[1] == 1:
        return _TRSV[dtype](a, x[:, 0], lower=low, trans=not turned, diag=unit, overwrite_x=1)[:, None]
    # Xᵀ = Bᵀ T⁻ᵀ, in place.
    return _TRSM[dtype](1.0, a, x.T, side=1, lower=low, trans_a=turned, diag=unit, overwrite_b=1).T


def multiplied(t: np.ndarray, b: np.ndarray, *, lower: bool, trans: bool, right: bool) -> np.ndarray:
    """Return T b or Tᵀ b, or b T or b Tᵀ."""
    dtype = np.result_type(t, b)
    if dtype not in _TRMM:
        part = np.tril(t) if lower else np.triu(t)
        part = part.T if trans else part
        return b @ part if right else part @ b
    a, low, turned = _as_lapack(t, dtype, lower, trans)
    y = np.array(b, dtype, order="C")
    if y.shape[1] == 1 and not right:
        return _TRMV[dtype](a, y[:, 0], lower=low, trans=not turned, overwrite_x=1)[:, None]
    return _TRMM[dtype](1.0, a, y.T, side=not right, lower=low, trans_a=turned, overwrite_b=1).T


def congruent(t: np.ndarray, s: np.ndarray, *, trans: bool) -> np.ndarray:
    """Return Φ(T⁻¹ S T⁻ᵀ), or Φ(T⁻ᵀ S T⁻¹), of a lower triangle and a symmetric matrix: its lower triangle, the diagonal halved."""
    dtype = np.result_type(t, s)
    if dtype in _SYGST:
        y = _congruent(np.ascontiguousarray(t, dtype), np.ascontiguousarray(s, dtype), trans)
    else:
        half = solved(t, mirrored(s), lower=True, trans=trans, unit=False)
        y = lower_into(half, solved(t, half.T, lower=True, trans=trans, unit=False))
    y.reshape(-1)[:: len(y) + 1] *= 0.5
    return y


def _congruent(t: np.ndarray, s: np.ndarray, trans: bool) -> np.ndarray:
    """Return the lower triangle by the reduction of generalised eigenproblems, which takes half of the work of two solutions."""
    sygst, n = _SYGST[t.dtype], len(t)
    if not trans:
        reduced = sygst(s.copy().T, t.T, lower=0, overwrite_a=1)[0].T
        return lower_into(reduced, reduced)
    # LAPACK has inverses of transposes on the right only: with rows and columns from last to first, this is one.
    # Copies, which a view of a single element would not be: LAPACK overwrites one of them.
    last, other = (x.reshape(-1)[::-1].copy().reshape(n, n).T for x in (t, s))
    reduced, _ = sygst(other, last, lower=1, overwrite_a=1)
    return lower_into(np.empty_like(s), reduced.T[::-1, ::-1])


def cholesky(a: np.ndarray, *, upper: bool) -> np.ndarray:
    """Return the factor that SciPy finds from the lower triangle, or from the upper one of the transpose, as a lower one."""
    potrf = _POTRF.get(a.dtype)
    if potrf is None:
        return np.linalg.cholesky(a)
    factor, info = potrf(a.T if upper else a, lower=not upper, clean=1)
    if info:
        raise np.linalg.LinAlgError(f"{info}-th leading minor of the array is not positive definite")
    return np.ascontiguousarray(factor.T if upper else factor)
