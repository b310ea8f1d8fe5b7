r"""Linear algebra of complex matrices.

What is a polynomial, an inverse or an analytic function of matrices is that of the real matrix :math:`\begin{pmatrix} \Re A & -\Im A
\\ \Im A & \Re A \end{pmatrix}`, a homomorphism: rows of real matrices serve, with the errors they raise. Decompositions have rows of
their own, on real and imaginary part along a last axis, with the formulas of real matrices in which transposes are conjugate
transposes (Giles 2008; Boeddeker et al., "On the computation of complex-valued gradients", arXiv:1701.00392). Eigenvectors and singular
vectors are those of NumPy; their phases are free, and results must not depend on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from hessian.errors import MissingRuleError, message
from hessian.rules import factored, factorisations, linalg, spectra
from hessian.rules.broadcast import conjugate_transposed, transposed
from hessian.rules.convolution import CONVOLUTIONS, recursion_op
from hessian.rules.determinant import det_op
from hessian.rules.hermitian import gaps_of, identity_like, largest_entries, phase_change, phase_change_transposed
from hessian.rules.lines import user_line
from hessian.rules.operation import Operation
from hessian.rules.packed import complex_row, on_packed, parts_apart, unpacked
from hessian.rules.pairs import Parts, from_real_form, joined, minus, of_complex, parts_of, plus, real_form
from hessian.rules.products import sparse_matmul_op
from hessian.rules.spec import OPERATIONS, A, case, nondifferentiable
from hessian.rules.spectra import diagonal_of, gaps_op
from hessian.rules.triangular import each, triangular_op


# By the real matrix of twice the size.
def _homomorphic(*operations: Operation) -> None:
    """Let functions of matrices act on complex ones by the real matrices that stand for them."""
    for operation in operations:

        def act(*matrices: Parts, operation: Operation = operation, **params: Any) -> Parts:
            if all(matrix.im is None for matrix in matrices):
                what = f"the result for a real matrix is complex, at {user_line()}"
                raise MissingRuleError(
                    message(operation.name, what, "It has no rule there", "Pass a complex matrix that is not real")
                )
            return from_real_form(operation(*map(real_form, matrices), **params))

        of_complex(operation)(act)


_homomorphic(linalg.inv_op, factored.sylvester_op)
_homomorphic(factored.expm_op, factored.logm_op, factored.sqrtm_op, factored.sinm_op, factored.cosm_op)


@of_complex(linalg.solve_op)
def _solve(a: Parts, b: Parts, **params: Any) -> Parts:
    if a.im is None:
        return Parts(*(None if part is None else linalg.solve_op(a.re, part, **params) for part in b))
    x = linalg.solve_op(real_form(a), np.concatenate(b.both(), axis=-2), **params)
    n = x.shape[-2] // 2
    return Parts(x[..., :n, :], x[..., n:, :])


@of_complex(triangular_op)
def _triangular(a: Parts, b: Parts, *, lower: bool, trans: bool, unit: bool) -> Any:
    whole = joined(*a)
    if unit:
        whole = (np.tril(whole, -1) if lower else np.triu(whole, 1)) + identity_like(whole)
    else:
        whole = np.tril(whole) if lower else np.triu(whole)
    return np.linalg.solve(transposed(whole) if trans else whole, joined(*b))


@of_complex(sparse_matmul_op)
def _sparse_matmul(x: Parts, *, matrix: Any, ndim: int) -> Parts:
    matrices = (matrix.real, matrix.imag) if matrix.dtype.kind == "c" else (matrix, None)
    of_part = lambda x, a: None if x is None or a is None else sparse_matmul_op(x, matrix=a, ndim=ndim)
    (re, im), (a, b) = x, matrices
    return Parts(minus(of_part(re, a), of_part(im, b)), plus(of_part(re, b), of_part(im, a)))


# Determinants: log det A = log |det A| + i arg det A, whose derivative is tr(A^-1 dA).
@of_complex(linalg.logabsdet_op)
def _logabsdet(a: Parts, **params: Any) -> Any:
    return 0.5 * linalg.logabsdet_op(real_form(a), **params)


def _phase(a: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.slogdet(a)[0])


def _log_change(a: Any, a_dot: Any) -> Any:
    return np.sum(transposed(np.linalg.inv(a)) * a_dot, axis=(-2, -1))


_PHASE_CASE = case(
    A(3, 3, 2, make=lambda rng: np.stack([2 * np.eye(3), np.zeros((3, 3))], -1) + rng.uniform(-0.4, 0.4, (3, 3, 2)))
)
phase_op = complex_row(
    "det_phase",
    _phase,
    lambda y, a, a_dot: y * 1j * np.imag(_log_change(a, a_dot)),
    lambda y, a, g: np.imag(np.conjugate(y) * g)[..., None, None] * (1j * conjugate_transposed(np.linalg.inv(a))),
    core=(3, 1),
    cases=[_PHASE_CASE],
)


@of_complex(linalg.det_sign_op)
def _det_sign(a: Parts) -> Parts:
    return parts_of(unpacked(on_packed(phase_op, a)))


@of_complex(det_op)
def _det(a: Parts, *, line: str) -> Any:
    size = np.exp(linalg.logabsdet_op(real_form(a), line=line) * 0.5)
    return size * unpacked(on_packed(phase_op, a))


# Decompositions that rows of real matrices are called for.
def _values_only(*operations: Operation) -> None:
    """Let questions about matrices, whose answers are real and carry no derivative, be asked of complex ones."""
    for operation in operations:
        row = nondifferentiable(
            f"{operation.name}_complex",
            lambda *xs, function=operation.function, **params: function(*map(parts_apart, xs), **params),
        )
        of_complex(operation)(lambda *xs, row=row, **params: on_packed(row, *xs, **params))


_values_only(factorisations.rank_op, gaps_op, factored.pivots_op, OPERATIONS["argsort"])


def _qr_pushforward(y: Any, a: Any, a_dot: Any, *, line: str) -> Any:
    m = a.shape[-2]
    q, r = y[..., :m, :], y[..., m:, :]
    change = a_dot @ np.linalg.inv(r)
    inner = conjugate_transposed(q) @ change
    below = np.tril(inner, -1)
    # Q^H Q' is skew-Hermitian; what is left over is upper triangular with a real diagonal.
    upper = inner - below + conjugate_transposed(below) - 1j * np.imag(inner) * identity_like(r)
    return np.concatenate([change - q @ upper, upper @ r], axis=-2)


def _qr_pullback(y: Any, a: Any, g: Any, *, line: str) -> Any:
    m = a.shape[-2]
    q, r, q_bar, r_bar = y[..., :m, :], y[..., m:, :], g[..., :m, :], g[..., m:, :]
    # Transposed step by step: upper = C - below + below^H - i Im diag C with C = Q^H A' R^-1.
    upper_bar = r_bar @ conjugate_transposed(r) - conjugate_transposed(q) @ q_bar
    eye = identity_like(r)
    inner_bar = np.triu(upper_bar, 1) + np.real(upper_bar) * eye + np.tril(conjugate_transposed(upper_bar), -1)
    return (q_bar + q @ inner_bar) @ conjugate_transposed(np.linalg.inv(r))


qr_op = complex_row(
    "qr_complex",
    lambda a, *, line: np.concatenate(np.linalg.qr(a), axis=-2),
    _qr_pushforward,
    _qr_pullback,
    core=(3, 3),
    cases=[case(A(3, 3, 2), line=""), case(A(4, 2, 2), line="")],
)


@of_complex(factorisations.qr_op)
def _qr(a: Parts, *, line: str) -> Parts:
    return parts_of(unpacked(on_packed(qr_op, a, line=line)))


# LU factors: (P A)' = L (L^-1 (P A)' U^-1) U, of which the part below the diagonal belongs to L.
def _in_order(x: Any, a: Any) -> Any:
    return np.take(x, factored.order_op(factored.pivots_op(a)), axis=-2)


def _lu_pushforward(y: Any, a: Any, a_dot: Any) -> Any:
    lower, upper = np.tril(y, -1), np.triu(y)
    inner = triangular_op(y, _in_order(a_dot, a), lower=True, trans=False, unit=True)
    middle = transposed(triangular_op(y, transposed(inner), lower=False, trans=True, unit=False))
    below = np.tril(middle, -1)
    return lower @ below + below + np.triu(middle) @ upper


def _lu_pullback(y: Any, a: Any, g: Any) -> Any:
    lower, upper = conjugate_transposed(np.tril(y, -1)), conjugate_transposed(np.triu(y))
    below = np.tril(g, -1)
    middle = np.tril(lower @ below + below, -1) + np.triu(np.triu(g) @ upper)
    inner = triangular_op(np.conjugate(y), middle, lower=True, trans=True, unit=True)
    permuted = conjugate_transposed(triangular_op(y, conjugate_transposed(inner), lower=False, trans=False, unit=False))
    return np.take(permuted, np.argsort(factored.order_op(factored.pivots_op(a))), axis=-2)


def _lu_packed(a: np.ndarray) -> np.ndarray:
    # Of a singular matrix SciPy warns; here whoever solves with the factors raises.
    return each(lambda a: scipy.linalg.get_lapack_funcs("getrf", (a,))(a)[0], "(n,n)->(n,n)")(a)


lu_op = complex_row("lu_complex", _lu_packed, _lu_pushforward, _lu_pullback, core=(3, 3), cases=[_PHASE_CASE])


@of_complex(factored.lu_op)
def _lu(a: Parts) -> Parts:
    return parts_of(unpacked(on_packed(lu_op, a)))


# Bands: unknowns with real and imaginary part beside each other make a real band of twice the width.
def _interleaved(a: Any, b: Any) -> Any:
    pairs = np.stack([a, b], axis=-2)
    return np.reshape(pairs, (*a.shape[:-2], 2 * a.shape[-2], a.shape[-1]))


@of_complex(factored.banded_op)
def _banded(ab: Parts, b: Parts, *, low: int, up: int) -> Parts:
    if ab.im is None:
        return Parts(*(None if part is None else factored.banded_op(ab.re, part, low=low, up=up) for part in b))
    re, im = ab.both()
    none = np.zeros((*re.shape[:-2], 1, re.shape[-1]), re.dtype)
    even = np.concatenate([none, _interleaved(re, im)], axis=-2)
    odd = np.concatenate([_interleaved(-im, re), none], axis=-2)
    bands = np.reshape(np.stack([even, odd], axis=-1), (*even.shape[:-1], 2 * even.shape[-1]))
    x = factored.banded_op(bands, _interleaved(*b.both()), low=2 * low + 1, up=2 * up + 1)
    return Parts(x[..., ::2, :], x[..., 1::2, :])


# Filters: a denominator times its conjugate is real.
@of_complex(recursion_op)
def _recursion(a: Parts, w: Parts) -> Parts:
    if a.im is not None:
        conjugate, n = np.conjugate(joined(*a)), w.some.shape[-1]
        w = parts_of(CONVOLUTIONS[1](conjugate, joined(*w), method="direct")[..., :n])
        a = parts_of(np.real(CONVOLUTIONS[1](conjugate, joined(*a), method="direct")))
    return Parts(*(None if part is None else recursion_op(a.re, part) for part in w))


# Eigenvalues and eigenvectors of any matrix.
_NEAR_DIAGONAL = A(
    *(3, 3, 2),
    make=lambda rng: (
        np.stack([np.diag([1.0, 3.0, 6.0]), np.diag([1.0, -1.0, 0.5])], -1) + rng.uniform(-0.2, 0.2, (3, 3, 2))
    ),
)


def _in_order_of(wanted: np.ndarray, w: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and vectors in the order that other computed eigenvalues have."""
    w, v = w.copy(), v.copy()
    for i in np.ndindex(w.shape[:-1]):
        left, order = list(range(w.shape[-1])), []
        for x in wanted[i]:
            order.append(left[int(np.argmin(np.abs(w[i][left] - x)))])
            left.remove(order[-1])
        v[i] = v[i][:, order]
    return wanted, v


def _eig_factors(a: np.ndarray, *, values_only: bool, real: bool, line: str) -> np.ndarray:
    a = a.real if real else a
    w, v = np.linalg.eig(a)
    if values_only:
        w, v = _in_order_of(np.linalg.eigvals(a), w, v)
    return np.concatenate([w[..., None, :], v], axis=-2).astype(np.result_type(a, np.complex64))


def _eig_parts(y: Any, line: str) -> tuple[Any, Any, Any, Any]:
    """Return eigenvectors, their inverse, one over the distances of eigenvalues, and where the largest entries are."""
    w, v = y[..., 0, :], y[..., 1:, :]
    return v, np.linalg.inv(v), gaps_of(w, line), largest_entries(v)


def _eig_pushforward(y: Any, a: Any, a_dot: Any, *, values_only: bool, real: bool, line: str) -> Any:
    v, inverse, shares, largest = _eig_parts(y, line)
    inner = inverse @ a_dot @ v
    moved = v @ (shares * inner)
    # Columns stay of length one, and their largest entries real.
    along = np.real(np.sum(np.conjugate(v) * moved, axis=-2, keepdims=True))
    moved = moved - v * (along + 1j * phase_change(v, moved, largest))
    return np.concatenate([diagonal_of(inner)[..., None, :], moved], axis=-2)


def _eig_pullback(y: Any, a: Any, g: Any, *, values_only: bool, real: bool, line: str) -> Any:
    v, inverse, shares, largest = _eig_parts(y, line)
    w_bar, v_bar = g[..., 0, :], g[..., 1:, :]
    across = np.sum(np.conjugate(v) * v_bar, axis=-2, keepdims=True)
    moved_bar = v_bar - v * np.real(across) + phase_change_transposed(v, across, largest)
    inner = np.conjugate(shares) * (conjugate_transposed(v) @ moved_bar) + w_bar[..., None, :] * identity_like(v)
    return conjugate_transposed(inverse) @ inner @ conjugate_transposed(v)


eig_op = complex_row(
    "eig_complex",
    _eig_factors,
    _eig_pushforward,
    _eig_pullback,
    core=(3, 3),
    cases=[case(_NEAR_DIAGONAL, values_only=False, real=False, line="")],
)


@of_complex(spectra.eig_op)
def _eig(a: Parts, *, values_only: bool, line: str) -> Parts:
    return parts_of(unpacked(on_packed(eig_op, a, values_only=values_only, real=a.im is None, line=line)))
