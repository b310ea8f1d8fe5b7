"""Hermitian matrices: Cholesky factors, eigenvalues and eigenvectors.

The formulas are those of real symmetric matrices with conjugate transposes in place of transposes. As NumPy does, the rows read the
lower triangle and the real part of the diagonal. Phases of eigenvectors are free, and results must not depend on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.broadcast import conjugate_transposed
from hessian.rules.lines import user_line
from hessian.rules.packed import complex_row, packed, parts_last, unpacked
from hessian.rules.spec import A, case
from hessian.rules.spectra import diagonal_of, gaps_op


# Of Hermitian matrices the lower triangle is read, and the real part of the diagonal.
def from_lower(a: Any) -> Any:
    """Return the Hermitian matrix whose lower triangle is that of ``a``."""
    below = np.tril(a, -1)
    return below + conjugate_transposed(below) + np.real(a) * np.eye(a.shape[-1])


def _to_lower(h: Any) -> Any:
    """Transpose :func:`from_lower`: fold the gradient in a Hermitian matrix into what was read."""
    return 2 * np.tril(h, -1) + np.real(h) * np.eye(h.shape[-1])


def _hermitian(h: Any) -> Any:
    return 0.5 * (h + conjugate_transposed(h))


# Cholesky: L' = L Phi(L^-1 A' L^-H), Phi the lower triangle with half the diagonal, which is real.
def _phi(m: Any) -> Any:
    n = m.shape[-1]
    return np.tril(m, -1) + np.real(m) * (0.5 * np.eye(n))


def _cholesky_pushforward(y: Any, a: Any, a_dot: Any) -> Any:
    inverse = np.linalg.inv(y)
    return y @ _phi(inverse @ from_lower(a_dot) @ conjugate_transposed(inverse))


def _cholesky_pullback(y: Any, a: Any, g: Any) -> Any:
    inverse = np.linalg.inv(y)
    return _to_lower(_hermitian(conjugate_transposed(inverse) @ _phi(conjugate_transposed(y) @ g) @ inverse))


def _hermitian_sample(*shape: int) -> Any:
    def make(rng: np.random.Generator) -> np.ndarray:
        root = rng.uniform(-1, 1, shape) + 1j * rng.uniform(-1, 1, shape)
        return parts_last(root @ conjugate_transposed(root) + np.diag(1.0 + 3 * np.arange(shape[-1])))

    return A(*shape, 2, make=make)


cholesky_op = complex_row(
    "cholesky_complex",
    lambda a: np.linalg.cholesky(from_lower(a)),
    _cholesky_pushforward,
    _cholesky_pullback,
    core=(3, 3),
    cases=[case(_hermitian_sample(3, 3)), case(_hermitian_sample(2, 2, 2))],
)


# Eigenvalues and eigenvectors of Hermitian matrices.
def _gaps(w: Any, line: str) -> Any:
    """Return one over the distances of eigenvalues, zero on the diagonal; raise where two are equal."""
    gaps_op(w, line=line)
    diagonal = np.eye(w.shape[-1], dtype=w.dtype)
    return (1.0 - diagonal) / (w[..., None, :] - w[..., :, None] + diagonal)


def _of_hermitian(a: np.ndarray, line: str) -> np.ndarray:
    """Return eigenvalues as the first row above the eigenvectors."""
    w, v = np.linalg.eigh(a)
    return np.concatenate([w[..., None, :].astype(v.dtype), v], axis=-2)


def _eigh_pushforward(y: Any, a: Any, a_dot: Any, *, line: str) -> Any:
    w, v = np.real(y[..., 0, :]), y[..., 1:, :]
    inner = conjugate_transposed(v) @ from_lower(a_dot) @ v
    return np.concatenate([np.real(diagonal_of(inner))[..., None, :] + 0j, v @ (_gaps(w, line) * inner)], axis=-2)


def _eigh_pullback(y: Any, a: Any, g: Any, *, line: str) -> Any:
    w, v = np.real(y[..., 0, :]), y[..., 1:, :]
    inner = _gaps(w, line) * (conjugate_transposed(v) @ g[..., 1:, :]) + np.real(g[..., 0, :])[..., None, :] * np.eye(w.shape[-1])
    return _to_lower(_hermitian(v @ inner @ conjugate_transposed(v)))


eigh_op = complex_row("eigh_complex", _of_hermitian, _eigh_pushforward, _eigh_pullback, core=(3, 3))


def cholesky(a: Any) -> Any:
    """Return the lower factor."""
    return unpacked(cholesky_op(packed(a)))


def eigh(a: Any, uplo: str) -> tuple[Any, Any]:
    """Return eigenvalues and eigenvectors."""
    factors = unpacked(eigh_op(packed(a if uplo.upper() == "L" else conjugate_transposed(a)), line=user_line()))
    return np.real(factors[..., 0, :]), factors[..., 1:, :]
