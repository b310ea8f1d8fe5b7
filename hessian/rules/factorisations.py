r"""QR and singular value decompositions, and what rests on them: least squares, pseudo-inverses, ranks, condition numbers.

Singular values and vectors of a square matrix are eigenvalues and eigenvectors of
:math:`\begin{pmatrix} 0 & A \\ A^T & 0 \end{pmatrix}`, which are :math:`\pm\sigma_i`, with vectors :math:`(u_i, \pm v_i) / \sqrt 2`
(Golub & Van Loan, *Matrix Computations*, section 8.6); other matrices are made square by QR. NumPy's own decomposition is put in
their place, so that values are its own; derivatives, and errors where singular values are equal, are those of eigenvalues. With
:math:`C = Q^T \dot A R^{-1}`, :math:`L` its part below the diagonal and :math:`\Omega = L - L^T`, the tangents of QR are
:math:`\dot R = (C - \Omega) R` and :math:`\dot Q = \dot A R^{-1} - Q (C - \Omega)`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, UndefinedDerivativeError, message
from hessian.rules import hermitian
from hessian.rules.broadcast import as_array
from hessian.rules.broadcast import conjugate_transposed as _h
from hessian.rules.broadcast import transposed as _t
from hessian.rules.determinant import inverse_of
from hessian.rules.dispatch import composite
from hessian.rules.eigen import eigenvalues_op, eigenvectors_op
from hessian.rules.lines import user_line
from hessian.rules.memory import lying_like, shrunk
from hessian.rules.packed import packed, parts_apart, parts_last, unpacked
from hessian.rules.smooth import smooth_op
from hessian.rules.spec import A, Sample, case, general, nondifferentiable

# NumPy's named result tuples have no public import path.
QRResult: Any = type(np.linalg.qr(np.eye(1)))
SVDResult: Any = type(np.linalg.svd(np.eye(1)))


def _tall(*shape: int) -> Sample:
    """Sample a matrix with singular values far from each other and from zero."""

    def make(rng: np.random.Generator) -> np.ndarray:
        m, n = shape[-2:]
        spread = np.zeros((m, n))
        spread[range(min(m, n)), range(min(m, n))] = 1.0 + np.arange(min(m, n))
        orthogonal = lambda k: np.linalg.qr(rng.uniform(-1, 1, (*shape[:-2], k, k)))[0]
        return np.asarray(orthogonal(m) @ spread @ orthogonal(n))

    return A(*shape, make=make)


def _square(*shape: int) -> Sample:
    """Sample an array that is a matrix near 2 I once its axes are put together."""

    def make(rng: np.random.Generator) -> np.ndarray:
        n = math.isqrt(math.prod(shape))
        return np.reshape(2 * np.eye(n) + rng.uniform(-0.4, 0.4, (n, n)), shape)

    return A(*shape, make=make)


def _matrix(a: Any, where: str) -> Any:
    a = as_array(a)
    if a.ndim < 2:
        raise np.linalg.LinAlgError(f"{a.ndim}-dimensional array given. Array must be at least two-dimensional")
    return a if a.dtype.kind in "fc" else a.astype(float)


# QR of a matrix with at least as many rows as columns: Q above R.


def _qr_factors(a: np.ndarray, *, line: str) -> np.ndarray:
    return np.concatenate(np.linalg.qr(a), axis=-2)


def _inverse_of_r(y: Any, xs: Any, *, line: str) -> dict[str, Any]:
    return {"inverse": inverse_of(y[..., xs[0].shape[-2] :, :], name="derivative of qr", line=line)}


def _qr_pushforward(y: Any, xs: Any, dots: Any, *, line: str, inverse: Any) -> Any:
    m = xs[0].shape[-2]
    q, r = y[..., :m, :], y[..., m:, :]
    change = dots[0] @ inverse
    inner = _t(q) @ change
    below = np.tril(inner, -1)
    upper = inner - below + _t(below)
    q_dot, r_dot = change - q @ upper, upper @ r
    # Batches of tangents come before the axes of the factors.
    return np.concatenate([q_dot, r_dot], axis=-2)


def _qr_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, line: str, inverse: Any) -> list[Any]:
    m = xs[0].shape[-2]
    q, r, q_bar, r_bar = y[..., :m, :], y[..., m:, :], g[..., :m, :], g[..., m:, :]
    inner = r @ _t(r_bar) - _t(q_bar) @ q
    mirrored = np.tril(inner) + _t(np.tril(inner, -1))
    return [(q_bar + q @ mirrored) @ _t(inverse)]


qr_op = general(
    "qr_factors", _qr_factors, prepare=_inverse_of_r, pushforward=_qr_pushforward, pullback=_qr_pullback, core=(2, 2)
)


def _qr(a: Any) -> tuple[Any, Any]:
    """Return Q and R, reduced."""
    m, n = a.shape[-2:]
    square = a[..., :m] if n > m else a
    packed = qr_op(square, line=user_line())
    q, r = packed[..., :m, :], packed[..., m:, :]
    return (q, r) if n <= m else (q, np.concatenate([r, _h(q) @ a[..., m:]], axis=-1))


@composite(
    np.linalg.qr, real_only=True, cases=[case(_tall(3, 3)), case(_tall(4, 2)), case(_tall(2, 4)), case(_tall(2, 3, 2))]
)
def qr(a: Any, mode: str = "reduced") -> Any:
    a = _matrix(a, "qr")
    m, n = a.shape[-2:]
    if mode not in ("reduced", "r", "complete"):
        raise OptionError(message("qr", f"mode is {mode!r}", fix="Pass 'reduced' or 'r'"))
    if mode == "complete" and m > n:
        what = f"mode='complete' of a matrix of shape {(m, n)}"
        raise OptionError(message("qr", what, "columns beyond those of A have no derivative", "Pass 'reduced'"))
    q, r = _qr(a)
    if a.ndim > 2:
        q, r = map(lying_like, (q, r), np.linalg.qr(shrunk(a)))
    return r if mode == "r" else QRResult(q, r)


# Singular values.


def _svd_factors(a: np.ndarray) -> np.ndarray:
    """Return eigenvalues of the symmetric matrix made of ``a``, from the lowest, as the first row above its eigenvectors."""
    u, s, vt = np.linalg.svd(a)
    low, high = (np.concatenate([u, sign * _t(vt)], axis=-2) * math.sqrt(0.5) for sign in (-1.0, 1.0))
    values = np.concatenate([-s, s[..., ::-1]], axis=-1)
    vectors = np.concatenate([low, high[..., ::-1]], axis=-1)
    return np.concatenate([values[..., None, :], vectors], axis=-2).astype(a.dtype)


svd_factors_op = nondifferentiable("svd_factors", _svd_factors)
svd_part_op = nondifferentiable("svd_part", lambda a, *, part: np.linalg.svd(a, full_matrices=False)[part])


def _phases(a: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return what singular vectors on the left are multiplied by to be those of NumPy."""
    wanted = np.linalg.svd(parts_apart(a), full_matrices=False)[0]
    along = np.sum(np.conjugate(parts_apart(u)) * wanted, axis=-2, keepdims=True)
    return parts_last(along / np.abs(along))


phases_op = nondifferentiable("svd_phases", _phases)
svdvals_op = nondifferentiable("svdvals_part", lambda a: np.linalg.svd(a, compute_uv=False))


def _line() -> str:
    """Return the user's line for errors, with what the eigenvalues of which they speak are."""
    return f"{user_line()}, where the singular values and, before them, their negatives are eigenvalues"


def _leading(u: Any, left: Any) -> Any:
    return u if left is None else _t(left) @ u


def _symmetric_of(a: Any) -> Any:
    """Return the symmetric matrix with ``a`` above and its transpose below the diagonal."""
    m, n = a.shape[-2:]
    lead = a.shape[:-2]
    top = np.concatenate([np.zeros((*lead, m, m), a.dtype), a], axis=-1)
    bottom = np.concatenate([_h(a), np.zeros((*lead, n, n), a.dtype)], axis=-1)
    return np.concatenate([top, bottom], axis=-2)


def _inner(a: Any) -> tuple[Any, Any, Any]:
    """Return a square matrix with the singular values of ``a``, and what its singular vectors are multiplied by."""
    m, n = a.shape[-2:]
    if m == n:
        return a, None, None
    q, r = _qr(a if m > n else _h(a))
    return (r, q, None) if m > n else (_h(r), None, q)


def _decomposed(a: Any, line: str) -> tuple[Any, Any, Any]:
    """Return U, the singular values and V of a square matrix."""
    k = a.shape[-1]
    if a.dtype.kind == "c":
        values, vectors = (x[..., : k - 1 : -1] for x in hermitian.eigh(_symmetric_of(a), "L"))
        vectors = vectors * math.sqrt(2.0)
        return vectors[..., :k, :], values, vectors[..., k:, :]
    whole, factors = _symmetric_of(a), svd_factors_op(a)
    values = eigenvalues_op(whole, factors, line=line)[..., : k - 1 : -1]
    leading = eigenvectors_op(whole, factors, gauge=False, line=line)[..., : k - 1 : -1] * math.sqrt(2.0)
    return leading[..., :k, :], values, leading[..., k:, :]


@composite(
    np.linalg.svd,
    real_only=True,
    cases=[case(_tall(3, 3)), case(_tall(4, 3), full_matrices=False), case(_tall(2, 2, 3), False)],
)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    a = _matrix(a, "svd")
    if not compute_uv:
        return svdvals(a)
    if hermitian:
        raise OptionError(message("svd", "hermitian is True", fix="Use np.linalg.eigh"))
    if full_matrices and a.shape[-1] != a.shape[-2]:
        what = f"full_matrices is True, the matrix has shape {a.shape[-2:]}"
        why = "singular vectors beyond the number of singular values have no derivative: any basis of their space would do"
        raise OptionError(message("svd", what, why, "Pass full_matrices=False"))
    inner, left, right = _inner(a)
    u, s, v = _decomposed(inner, _line())
    # The signs, or phases, of the vectors are free: NumPy's are taken.
    if a.dtype.kind == "c":
        u, v = (u if left is None else left @ u), (v if right is None else right @ v)
        phases = unpacked(phases_op(packed(a), packed(u)))
        return SVDResult(u * phases, s, _h(v * phases))
    signs = np.sign(np.sum(u * _leading(svd_part_op(a, part=0), left), axis=-2, keepdims=True))
    u, v = (u if left is None else left @ u) * signs, (v if right is None else right @ v) * signs
    return SVDResult(*[smooth_op(x, svd_part_op(a, part=i)) for i, x in enumerate((u, s, _t(v)))])


@composite(np.linalg.svdvals, real_only=True, cases=[case(_tall(3, 3)), case(_tall(2, 4)), case(_tall(2, 3, 2))])
def svdvals(x: Any, /) -> Any:
    x = _matrix(x, "svdvals")
    inner, _, _ = _inner(x)
    if x.dtype.kind == "c":
        return _decomposed(inner, _line())[1]
    values = eigenvalues_op(_symmetric_of(inner), svd_factors_op(inner), line=_line())
    return smooth_op(values[..., : inner.shape[-1] - 1 : -1], svdvals_op(x))


# Least squares and pseudo-inverses.

lstsq_op = nondifferentiable("lstsq_part", lambda a, b, *, rcond: np.linalg.lstsq(a, b, rcond)[0])
pinv_op = nondifferentiable(
    "pinv_part", lambda a, *, rcond: np.linalg.pinv(a, **({} if rcond is None else {"rcond": rcond}))
)
rank_op = nondifferentiable("matrix_rank", lambda a, *args, **k: np.linalg.matrix_rank(a, *args, **k))


def _full_rank(a: Any, where: str, **tolerance: Any) -> None:
    """Raise where some singular value counts as zero: the result then jumps with any change of the matrix."""
    least, k = np.min(np.asarray(rank_op(a, **tolerance)), initial=min(a.shape[-2:])), min(a.shape[-2:])
    if least < k:
        what = f"a matrix of shape {a.shape[-2:]} has rank {least}, at {user_line()}"
        fix = "Leave out columns that depend on others, or add a multiple of the identity"
        raise UndefinedDerivativeError(message(where, what, "its pseudo-inverse is not continuous there", fix))


def _pseudo_inverse(a: Any) -> Any:
    """Return the pseudo-inverse of a matrix of full rank, by QR."""
    m, n = a.shape[-2:]
    q, r = _qr(a if m >= n else _h(a))
    inverse = inverse_of(r, name="derivative of pinv", line=user_line()) @ _h(q)
    return inverse if m >= n else _h(inverse)


@composite(
    np.linalg.lstsq,
    real_only=True,
    cases=[case(_tall(4, 2), A(4)), case(_tall(2, 3), A(2, 2)), case(_tall(3, 3), A(3), rcond=None)],
)
def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Any, Any, Any, Any]:
    a, b = _matrix(a, "lstsq"), as_array(b)
    if a.ndim != 2 or b.ndim not in (1, 2) or b.shape[0] != a.shape[0]:
        what = f"matrices of shapes {a.shape} and {b.shape}"
        raise ShapeMismatchError(message("lstsq", what, fix="Pass (m, n) and (m,) or (m, k)"))
    m, n = a.shape
    tolerance = np.finfo(a.dtype).eps * max(m, n) if rcond is None else rcond
    _full_rank(a, "lstsq", rtol=tolerance)
    x = _pseudo_inverse(a) @ b
    x = x if x.dtype.kind == "c" else smooth_op(x, lstsq_op(a, b, rcond=rcond))
    residual = np.reshape(b - a @ x, (m, -1))
    squares = np.sum(np.square(residual.real) + np.square(residual.imag), axis=0)
    return x, squares if m > n else np.zeros(0, x.dtype), np.intc(min(m, n)), svdvals(a)


@composite(np.linalg.pinv, real_only=True, cases=[case(_tall(3, 3)), case(_tall(4, 2)), case(_tall(2, 2, 3))])
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    a = _matrix(a, "pinv")
    if hermitian:
        raise OptionError(message("pinv", "hermitian is True", fix="Leave it out"))
    if rtol is not np._NoValue:
        if rcond is not None:
            raise ValueError("`rtol` and `rcond` can't be both set.")
        rcond = np.finfo(a.dtype).eps * max(a.shape[-2:]) if rtol is None else rtol
    _full_rank(a, "pinv", rtol=1e-15 if rcond is None else rcond)
    inverse = _pseudo_inverse(a)
    return inverse if a.dtype.kind == "c" else smooth_op(inverse, pinv_op(a, rcond=rcond))


@composite(np.linalg.matrix_rank, untested="it asks for counts")
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    keywords = {"rtol": rtol} if rtol is not None else {}
    return rank_op(A, tol, hermitian, **keywords)


@composite(
    np.linalg.cond,
    real_only=True,
    cases=[case(_tall(3, 3)), case(_tall(4, 2)), case(_tall(3, 3), "fro"), case(_tall(3, 3), 1)],
)
def cond(x: Any, p: Any = None) -> Any:
    x = _matrix(x, "cond")
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    inverse = np.linalg.inv(x)
    return np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(inverse, p, axis=(-2, -1))


@composite(
    np.linalg.matrix_norm,
    real_only=True,
    cases=[case(A(2, 3)), case(_tall(3, 2), ord=2), case(A(2, 3, 3), ord=1, keepdims=True)],
)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return np.linalg.norm(x, ord, axis=(-2, -1), keepdims=keepdims)


@composite(np.linalg.tensorsolve, cases=[case(_square(4, 2, 2), A(4))])
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    a, b = (as_array(x) for x in (a, b))
    if axes is not None:
        order = list(range(a.ndim))
        for k in axes:
            order.remove(k)
            order.append(k)
        a = np.transpose(a, order)
    shape = a.shape[b.ndim :]
    size = math.prod(shape)
    if a.size != size**2:
        raise np.linalg.LinAlgError("Input arrays must satisfy the requirement prod(a.shape[b.ndim:]) == b.size")
    return np.reshape(np.linalg.solve(np.reshape(a, (size, size)), np.ravel(b)), shape)


@composite(np.linalg.tensorinv, cases=[case(_square(2, 2, 4), 2)])
def tensorinv(a: Any, ind: int = 2) -> Any:
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    rows, columns = a.shape[:ind], a.shape[ind:]
    inverse = np.linalg.inv(np.reshape(a, (math.prod(rows), -1)))
    return np.reshape(inverse, columns + rows)
