r"""Eigenvalues and eigenvectors of matrices that are not symmetric, where they are real.

With :math:`A V = V \operatorname{diag}(w)`, columns of V of length one, and :math:`X' = V^{-1} \dot A V`, the tangents are
:math:`\dot w_i = X'_{ii}` and :math:`\dot v_j = u_j - v_j v_j^T u_j` where :math:`u_j = \sum_{i \ne j} v_i X'_{ij} / (w_j - w_i)`
(Magnus & Neudecker, *Matrix Differential Calculus*, section 8.8).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import UndefinedDerivativeError, message
from hessian.rules.broadcast import as_array
from hessian.rules.broadcast import transposed as _t
from hessian.rules.determinant import inverse_of
from hessian.rules.dispatch import composite
from hessian.rules.lines import user_line
from hessian.rules.spec import A, Sample, case, general, nondifferentiable

# NumPy's named result tuple has no public import path.
EigResult: Any = type(np.linalg.eig(np.eye(1)))


def _real_eigvals(a: np.ndarray) -> Any:
    """Return eigenvalues, real if all are: from NumPy 2.5 on they always come as complex numbers."""
    w = np.linalg.eigvals(a)
    return w if np.any(np.imag(w)) else np.real(w)


def _real_eig(a: np.ndarray) -> Any:
    """Return eigenvalues and eigenvectors, real if all are."""
    w, v = np.linalg.eig(a)
    return EigResult(w, v) if np.any(np.imag(w)) else EigResult(np.real(w), np.real(v))


is_complex_op = nondifferentiable("complex_spectrum", lambda a: np.any(np.imag(np.linalg.eigvals(a)) != 0))


def _factors(a: np.ndarray, *, values_only: bool, line: str) -> np.ndarray:
    """Return eigenvalues as the first row above the eigenvectors."""
    w, v = _real_eig(a)
    if np.iscomplexobj(w):
        # A guard tells before anybody looks at them.
        return np.full((*a.shape[:-2], a.shape[-1] + 1, a.shape[-1]), np.nan, a.dtype)
    if values_only:
        # Without vectors LAPACK may find them in another order.
        alone = _real_eigvals(a)
        places = np.argsort(np.argsort(alone, axis=-1, kind="stable"), axis=-1, kind="stable")
        order = np.take_along_axis(np.argsort(w, axis=-1, kind="stable"), places, -1)
        w, v = alone, np.take_along_axis(v, order[..., None, :], -1)
    return np.concatenate([w[..., None, :], v], axis=-2)


def checked_gaps(w: np.ndarray, *, line: str) -> np.ndarray:
    """Return the distances of eigenvalues; raise where two are equal."""
    gaps = w[..., None, :] - w[..., :, None]
    scale = np.max(np.abs(w), axis=-1, initial=0)[..., None, None]
    close = np.abs(gaps) <= 64 * np.finfo(w.dtype).eps * scale
    diagonal = np.eye(w.shape[-1], dtype=bool)
    if np.any(close & ~diagonal):
        where = np.argwhere(close & ~diagonal)[0]
        what = f"eigenvalues {where[-2]} and {where[-1]} are equal to working precision, at {line}"
        fix = "Use np.linalg.eigvalsh where A is symmetric, else add a perturbation that tells them apart"
        raise UndefinedDerivativeError(message("derivative of eig", what, "it is divided by their distance", fix))
    return np.abs(gaps)


def diagonal_of(m: Any) -> Any:
    """Return the diagonal of each matrix."""
    return np.diagonal(m, axis1=-2, axis2=-1)


gaps_op = nondifferentiable("eig_gaps", checked_gaps)


def _parts(y: Any, line: str) -> tuple[Any, Any, Any]:
    """Return the eigenvectors, their inverse, and one over the distances of eigenvalues with zeros on the diagonal."""
    w, v = y[..., 0, :], y[..., 1:, :]
    gaps_op(w, line=line)
    diagonal = np.eye(w.shape[-1], dtype=w.dtype)
    gaps = w[..., None, :] - w[..., :, None] + diagonal
    return v, inverse_of(v, name="derivative of eig", line=line), (1.0 - diagonal) / gaps


def _pushforward(y: Any, xs: Any, dots: Any, *, values_only: bool, line: str) -> Any:
    v, inverse, shares = _parts(y, line)
    inner = inverse @ dots[0] @ v
    moved = v @ (shares * inner)
    moved = moved - v * np.sum(v * moved, axis=-2, keepdims=True)
    return np.concatenate([np.diagonal(inner, axis1=-2, axis2=-1)[..., None, :], moved], axis=-2)


def _pullback(y: Any, xs: Any, g: Any, wanted: Any, *, values_only: bool, line: str) -> list[Any]:
    v, inverse, shares = _parts(y, line)
    w_bar, v_bar = g[..., 0, :], g[..., 1:, :]
    along = v_bar - v * np.sum(v * v_bar, axis=-2, keepdims=True)
    inner = shares * (_t(v) @ along) + w_bar[..., None, :] * np.eye(v.shape[-1], dtype=v.dtype)
    return [_t(inverse) @ inner @ _t(v)]


eig_op = general("eig_factors", _factors, pushforward=_pushforward, pullback=_pullback, core=(2, 2))


def _real_spectrum(*shape: int) -> Sample:
    """Sample matrices that are not symmetric, whose eigenvalues are real and far from each other; turned around too."""
    n = shape[-1]
    return A(*shape, make=lambda rng: np.diag((1.0 + np.arange(n)) ** 2) + rng.uniform(-0.2, 0.2, shape))


def _eigen(a: Any, where: str, values_only: bool) -> Any:
    a = as_array(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"{where} takes square matrices, the array has shape {a.shape}")
    a = a if a.dtype.kind in "fc" else a.astype(float)
    if a.dtype.kind == "f" and bool(is_complex_op(a)):
        a = a.astype(np.result_type(a.dtype, np.complex64))
    return eig_op(a, values_only=values_only, line=user_line())


_CASES = [case(_real_spectrum(3, 3)), case(_real_spectrum(2, 2, 2))]


@composite(np.linalg.eigvals, real_only=True, plain=_real_eigvals, cases=_CASES)
def eigvals(a: Any) -> Any:
    return _real_part(_eigen(a, "eigvals", True)[..., 0, :])


@composite(np.linalg.eig, real_only=True, plain=_real_eig, cases=_CASES)
def eig(a: Any) -> Any:
    factors = _eigen(a, "eig", False)
    return EigResult(_real_part(factors[..., 0, :]), _real_part(factors[..., 1:, :]))


def _real_part(x: Any) -> Any:
    """Return an array in the memory of the complex one whose real part it is in NumPy; a complex one as it is."""
    if x.dtype.kind == "c":
        return x
    return np.stack([x, np.zeros_like(x)], axis=-1)[..., 0]
