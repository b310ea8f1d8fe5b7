"""Hermitian matrices: Cholesky factors, eigenvalues and eigenvectors.

The formulas are those of real symmetric matrices with conjugate transposes in place of transposes. As NumPy does, the rows read the
lower triangle and the real part of the diagonal. Phases of eigenvectors are free, and results must not depend on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.broadcast import conjugate_transposed
from hessian.rules.lines import user_line
from hessian.rules.packed import complex_row, packed, parts_apart, parts_last, unpacked
from hessian.rules.pairs import real_dtype
from hessian.rules.spec import A, case, nondifferentiable
from hessian.rules.spectra import diagonal_of, gaps_op


def identity_like(a: Any) -> np.ndarray:
    """Return the identity matrix for the last axis, in the precision of the parts."""
    return np.eye(a.shape[-1], dtype=real_dtype(a.dtype))


# Of Hermitian matrices the lower triangle is read, and the real part of the diagonal.
def from_lower(a: Any) -> Any:
    """Return the Hermitian matrix whose lower triangle is that of ``a``."""
    below = np.tril(a, -1)
    return below + conjugate_transposed(below) + np.real(a) * identity_like(a)


def _to_lower(h: Any) -> Any:
    """Transpose :func:`from_lower`: fold the gradient in a Hermitian matrix into what was read."""
    return 2 * np.tril(h, -1) + np.real(h) * identity_like(h)


def _hermitian(h: Any) -> Any:
    return 0.5 * (h + conjugate_transposed(h))


# Cholesky: L' = L Phi(L^-1 A' L^-H), Phi the lower triangle with half the diagonal, which is real.
def _phi(m: Any) -> Any:
    return np.tril(m, -1) + np.real(m) * (0.5 * identity_like(m))


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


# Eigenvalues above eigenvectors, whose largest entries are real: the only phases that can be told from near matrices.
def largest_entries(v: Any) -> Any:
    """Return where the largest entry of each column is."""
    size = np.square(np.real(v)) + np.square(np.imag(v))
    return np.equal(np.arange(v.shape[-2])[:, None], np.argmax(size, axis=-2)[..., None, :])


def phase_change(v: Any, moved: Any, largest: Any) -> Any:
    """Return by what angles columns move about, as seen by their largest entries."""
    ratio = np.where(largest, moved / np.where(largest, v, 1.0), 0.0)
    return np.imag(np.sum(ratio, axis=-2, keepdims=True))


def phase_change_transposed(v: Any, across: Any, largest: Any) -> Any:
    """Return what :func:`phase_change`, times i v, adds to the cotangent of a movement; ``across`` is v^H v_bar."""
    return -np.where(largest, 1j * np.imag(across) / np.conjugate(np.where(largest, v, 1.0)), 0.0)


def gaps_of(w: Any, line: str) -> Any:
    """Return one over the distances of eigenvalues, zero on the diagonal; raise where two are equal."""
    gaps_op(w, line=line)
    diagonal = identity_like(w)
    return (1.0 - diagonal) / (w[..., None, :] - w[..., :, None] + diagonal)


def _phases_of_largest(v: np.ndarray) -> np.ndarray:
    entries = np.take_along_axis(v, np.argmax(np.abs(v), axis=-2)[..., None, :], -2)
    return entries / np.abs(entries)


def _factors(a: np.ndarray, *, uplo: str, line: str) -> np.ndarray:
    w, v = np.linalg.eigh(from_lower(a), "L" if uplo == "L" else "U")
    return np.concatenate([w[..., None, :].astype(v.dtype), v / _phases_of_largest(v)], axis=-2)


def _pushforward(y: Any, a: Any, a_dot: Any, *, uplo: str, line: str) -> Any:
    w, v = np.real(y[..., 0, :]), y[..., 1:, :]
    inner = conjugate_transposed(v) @ from_lower(a_dot) @ v
    moved = v @ (gaps_of(w, line) * inner)
    moved = moved - 1j * v * phase_change(v, moved, largest_entries(v))
    return np.concatenate([np.real(diagonal_of(inner))[..., None, :] + 0j, moved], axis=-2)


def _pullback(y: Any, a: Any, g: Any, *, uplo: str, line: str) -> Any:
    w, v, v_bar = np.real(y[..., 0, :]), y[..., 1:, :], g[..., 1:, :]
    across = np.sum(np.conjugate(v) * v_bar, axis=-2, keepdims=True)
    moved_bar = v_bar + phase_change_transposed(v, across, largest_entries(v))
    w_bar = np.real(g[..., 0, :])[..., None, :] * identity_like(w)
    inner = gaps_of(w, line) * (conjugate_transposed(v) @ moved_bar) + w_bar
    return _to_lower(_hermitian(v @ inner @ conjugate_transposed(v)))


eigh_op = complex_row(
    "eigh_complex",
    _factors,
    _pushforward,
    _pullback,
    core=(3, 3),
    cases=[case(_hermitian_sample(3, 3), uplo="L", line=""), case(_hermitian_sample(2, 2, 2), uplo="U", line="")],
)
phases_op = nondifferentiable(
    "eigh_phases",
    lambda a, *, uplo: parts_last(_phases_of_largest(np.linalg.eigh(from_lower(parts_apart(a)), uplo)[1])),
)


def cholesky(a: Any) -> Any:
    """Return the lower factor."""
    return unpacked(cholesky_op(packed(a)))


def eigvalsh(a: Any, uplo: str) -> Any:
    """Return eigenvalues, from the lowest."""
    return _decomposed(a, uplo)[1]


def eigh(a: Any, uplo: str) -> tuple[Any, Any]:
    """Return eigenvalues and eigenvectors with NumPy's phases."""
    x, w, v = _decomposed(a, uplo)
    return w, v * unpacked(phases_op(x, uplo=uplo.upper()))


def _decomposed(a: Any, uplo: str) -> tuple[Any, Any, Any]:
    x = packed(a if uplo.upper() == "L" else conjugate_transposed(a))
    factors = unpacked(eigh_op(x, uplo=uplo.upper(), line=user_line()))
    return x, np.real(factors[..., 0, :]), factors[..., 1:, :]
