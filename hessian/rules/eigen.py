r"""Eigenvalues and eigenvectors of symmetric matrices.

With :math:`A = V \operatorname{diag}(w) V^T` and :math:`X' = V^T \dot A V` the tangents are
:math:`\dot w_i = X'_{ii}` and :math:`\dot V = V (X'_{ij} / (w_j - w_i))`. A repeated eigenvalue has a derivative only in what treats its
copies alike: sums of functions of all eigenvalues, their gradient :math:`V \operatorname{diag}(\bar w) V^T` and their Hessian.
There any basis V of the eigenspace will do in first order, and in second order the one in which the block of
:math:`X'` is diagonal (Rellich; Magnus & Neudecker, *Matrix Differential Calculus*, section 8.9), in which nothing is divided by the
gap. What does not treat the copies alike raises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.errors import UndefinedDerivativeError, message
from hessian.rules.broadcast import symmetric
from hessian.rules.broadcast import transposed as _t
from hessian.rules.spec import A, General, case, general, nondifferentiable


def _cluster(factors: np.ndarray, *, exact: bool, order: int = 1) -> np.ndarray:
    """Tell which pairs of eigenvalues are one to working precision; if not ``exact``, to where gaps would cost half the digits.

    Divided twice by gaps, numbers lose their digits to rounding from the root of the precision on (``order`` 2).
    """
    w = factors[..., 0, :]
    eps = float(np.finfo(w.dtype).eps)
    tolerance = 8 * w.shape[-1] * eps if exact else max(eps**0.57, 8 * w.shape[-1] * eps)
    if order > 1:
        tolerance = max(3.0 * eps**0.5, tolerance)
    scale = np.max(np.abs(w), axis=-1, keepdims=True, initial=0)
    apart = np.diff(w, axis=-1) > tolerance * scale
    first = np.zeros((*w.shape[:-1], min(1, w.shape[-1])), int)
    labels = np.concatenate([first, np.cumsum(apart, axis=-1)], axis=-1)
    return labels[..., :, None] == labels[..., None, :]


def _off_diagonal(mask: np.ndarray) -> np.ndarray:
    return mask & ~np.eye(mask.shape[-1], dtype=bool)


def _refuse(what: str, bad: np.ndarray, factors: np.ndarray, line: str) -> None:
    """Raise for the first pair of equal eigenvalues that is marked."""
    at = np.argwhere(bad)[0]
    w = np.broadcast_to(factors[..., None, 0, :], bad.shape)[tuple(at[:-2])][0]
    i, j = sorted(int(k) for k in at[-2:])
    raise UndefinedDerivativeError(
        message(
            what,
            f"eigenvalues {i} and {j} are {_nearness(w[j] - w[i], np.max(np.abs(w)))} ({w[i] + 0:.6g}), at {line}",
            "they have derivatives only in functions that treat them alike, such as sums over all of them; their eigenvectors have none",
            "Write the function in terms of the matrix, or add a perturbation that tells them apart",
        )
    )


def _nearness(gap: float, scale: float) -> str:
    if gap <= 64 * np.finfo(np.asarray(scale).dtype).eps * scale:
        return "equal to working precision"
    return f"equal but for {gap:.1e}, which leaves this derivative no correct digit"


def _factors(a: np.ndarray, *, uplo: str, values_only: bool) -> np.ndarray:
    """Return eigenvalues as the first row above the eigenvectors."""
    w, v = np.linalg.eigh(a, uplo)  # type: ignore[call-overload]  # the triangles agree, but LAPACK's signs depend on which it reads
    if values_only:
        w = np.linalg.eigvalsh(a, uplo)  # type: ignore[call-overload]  # another driver, with other last bits
    return np.concatenate([w[..., None, :], v], axis=-2)


factors_op = nondifferentiable("eigh_factors", _factors)
cluster_op = nondifferentiable("eigh_cluster", _cluster)


def _alike(w_bar: Any, factors: Any, *, line: str) -> Any:
    """Return numbers of eigenvalues, or raise where equal eigenvalues have unequal ones."""
    differ = np.abs(w_bar[..., :, None] - w_bar[..., None, :])
    allowed = 1e-6 * np.max(np.abs(w_bar), axis=-1, initial=0)[..., None, None]
    bad = _off_diagonal(_cluster(factors, exact=True)) & (differ > allowed)
    if bad.any():
        _refuse("derivative of eigenvalues", bad, factors, line)
    return w_bar


alike_op = general(
    "eigenvalues_alike",
    _alike,
    pushforward=lambda y, xs, dots, *, line: dots[0],
    pullback=lambda y, xs, g, wanted, *, line: [g, None],
    core=(1, 2, 1),
    curved=False,
)


def _spectral(a: Any, factors: Any, w_bar: Any, *, line: str) -> Any:
    """Return V diag(w_bar) Vᵀ, which must not depend on the basis of an eigenspace."""
    return _from_diagonal(factors[..., 1:, :], _alike(w_bar, factors, line=line))


def _from_diagonal(vectors: Any, w_bar: Any) -> Any:
    return (vectors * w_bar[..., None, :]) @ _t(vectors)


def _settled(inner: Any, factors: Any, *, line: str) -> Any:
    """Return what is divided by gaps, or raise where a column of it belongs to an eigenvector among others of its eigenvalue."""
    bad = _off_diagonal(_cluster(factors, exact=True)) & np.any(inner != 0, axis=-2)[..., None, :]
    if bad.any():
        _refuse("derivative of eigenvectors", bad, factors, line)
    return inner


def _settled_again(inner: Any, factors: Any, *, line: str) -> Any:
    """Return the change of what is divided by gaps, or raise where the quotient has no correct digit left."""
    near = _off_diagonal(_cluster(factors, exact=True, order=2))
    bad = near & np.any(inner, axis=-2)[..., None, :]
    if bad.any():
        _refuse("second derivative of eigenvectors", bad, factors, line)
    return inner


def _apart(inner: Any, factors: Any, *, line: str) -> Any:
    """Return a symmetric matrix, or raise where it couples equal eigenvalues."""
    size = np.max(np.abs(inner), axis=(-2, -1), keepdims=True, initial=0)
    bad = _off_diagonal(_cluster(factors, exact=False)) & (np.abs(inner) > 1e-13 * size)
    if bad.any():
        _refuse(
            "derivative, in reverse, of the gradient of eigenvalues (that of hs.hvp and hs.hessian exists)",
            bad,
            factors,
            line,
        )
    return inner


def _checked(name: str, function: Any, then: General | None = None) -> General:
    """Declare an identity that raises, and whose derivative does by the check of another one, if that is given."""
    operation: General = general(
        name,
        function,
        pushforward=lambda y, xs, dots, *, line: (then or operation)(dots[0], xs[1], line=line),
        pullback=lambda y, xs, g, wanted, *, line: [(then or operation)(g, xs[1], line=line), None],
        core=(2, 2, 2),
        curved=False,
        cases=[case(A(2, 2), _factors(np.diag([1.0, 2.0]), uplo="L", values_only=False), line="a line")],
    )
    return operation


settled_again_op = _checked("eigenvectors_settled_again", _settled_again)
settled_op = _checked("eigenvectors_settled", _settled, settled_again_op)
apart_op = _checked("eigenvalues_apart", _apart)


def _rotation(factors: Any, inner: Any, *, line: str) -> Any:
    """Return the rotation within eigenspaces that makes the blocks of a symmetric matrix diagonal."""
    same = _cluster(factors, exact=False)
    eye = np.eye(inner.shape[-1], dtype=inner.dtype)
    if not _off_diagonal(same).any():
        return np.broadcast_to(eye, inner.shape)
    # Shifted apart on the diagonal, blocks keep to themselves and to their order.
    start = np.cumsum(
        np.concatenate([np.zeros((*same.shape[:-2], 1)), ~np.diagonal(same, 1, -2, -1)], axis=-1), axis=-1
    )
    blocks = np.where(same, inner, 0)
    size = 2 * np.max(np.sum(np.abs(blocks), axis=-1), axis=-1, initial=0)[..., None] + 1
    rotation = np.linalg.eigh(blocks + (size * start)[..., None] * eye)[1]
    return np.where(same, rotation, 0).astype(inner.dtype)


def _still(factors: Any, inner: Any, *, line: str) -> Any:
    """Return the derivative of the rotation: zeros where eigenvalues are apart, an error where they are not."""
    bad = np.broadcast_to(_off_diagonal(_cluster(factors, exact=False)), inner.shape)
    if bad.any():
        _refuse("third derivative of eigenvalues", bad, factors, line)
    return np.zeros_like(inner)


still_op = nondifferentiable("eigh_still", _still)
rotation_op = general(
    "eigh_rotation",
    _rotation,
    pushforward=lambda y, xs, dots, *, line: still_op(xs[0], dots[1], line=line),
    pullback=lambda y, xs, g, wanted, *, line: [None, still_op(xs[0], g, line=line)],
    core=(2, 2, 2),
    curved=False,
)


def _over_gaps(a: Any, factors: Any, inner: Any, gauge: bool, line: str) -> Any:
    """Divide by w_j - w_i, within eigenspaces by nothing: zero."""
    w = eigenvalues_op(a, factors, line=line)
    same = cluster_op(factors, exact=not gauge)
    inner = inner if gauge else settled_op(inner, factors, line=line)
    return np.where(same, 0.0, inner) / np.where(same, 1.0, w[..., None, :] - w[..., :, None])


def _vectors(y: Any, xs: Any, *, line: str) -> dict[str, Any]:
    return {"vectors": eigenvectors_op(xs[0], xs[1], gauge=True, line=line)}


def _rotated(vectors: Any, factors: Any, inner: Any, line: str) -> Any:
    """Return eigenvectors of which those of equal eigenvalues are those that a tangent tells apart."""
    return vectors @ rotation_op(factors, inner, line=line)


def _turned(a: Any, factors: Any, w_bar: Any, inner: Any, line: str) -> Any:
    """Return what the turning of the eigenvectors adds to Vᵀ (V diag(w_bar) Vᵀ) V: divided differences times ``inner``."""
    return (w_bar[..., None, :] - w_bar[..., :, None]) * _over_gaps(a, factors, inner, True, line)


def _spectral_pushforward(y: Any, xs: Any, dots: Any, *, line: str, vectors: Any) -> Any:
    (a, factors, w_bar), (a_dot, _, b_dot) = xs, dots
    if a_dot is None:
        return spectral_op(a, factors, b_dot, line=line)
    inner = _t(vectors) @ a_dot @ vectors
    # A program of the tangent alone has no use for the result, which makes this check as well.
    w_bar = alike_op(w_bar, factors, line=line)
    total = vectors @ _turned(a, factors, w_bar, inner, line) @ _t(vectors)
    return total if b_dot is None else total + _from_diagonal(_rotated(vectors, factors, inner, line), b_dot)


def _spectral_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, line: str, vectors: Any) -> list[Any]:
    a, factors, w_bar = xs
    inner = apart_op(symmetric(_t(vectors) @ g @ vectors), factors, line=line)
    return [
        vectors @ _turned(a, factors, w_bar, inner, line) @ _t(vectors) if wanted[0] else None,
        None,
        np.diagonal(inner, axis1=-2, axis2=-1),
    ]


spectral_op = general(
    "eigen_spectral",
    _spectral,
    prepare=_vectors,
    pushforward=_spectral_pushforward,
    pullback=_spectral_pullback,
    core=(2, 2, 1, 2),
)


def _values_pushforward(y: Any, xs: Any, dots: Any, *, line: str, vectors: Any) -> Any:
    inner = _t(vectors) @ dots[0] @ vectors
    rotation = rotation_op(xs[1], inner, line=line)
    return np.sum(rotation * (inner @ rotation), axis=-2)


def _values_pullback_of_tangent(y: Any, xs: Any, g_dot: Any, dots: Any, *, line: str, vectors: Any) -> list[Any]:
    inner = _t(vectors) @ dots[0] @ vectors
    return [_from_diagonal(_rotated(vectors, xs[1], inner, line), g_dot), None]


eigenvalues_op = general(
    "eigenvalues",
    lambda a, factors, *, line: factors[..., 0, :],
    prepare=_vectors,
    pushforward=_values_pushforward,
    pullback=lambda y, xs, g, wanted, *, line, vectors: [spectral_op(xs[0], xs[1], g, line=line), None],
    pullback_of_tangent=_values_pullback_of_tangent,
    core=(2, 2, 1),
    kinks="where repeated: gradient and Hessian of what treats the copies alike, others raise; forward, one-sided",
)


def _vectors_pushforward(y: Any, xs: Any, dots: Any, *, gauge: bool, line: str) -> Any:
    return y @ _over_gaps(xs[0], xs[1], _t(y) @ dots[0] @ y, gauge, line)


def _vectors_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, gauge: bool, line: str) -> list[Any]:
    return [symmetric(y @ _over_gaps(xs[0], xs[1], _t(y) @ g, gauge, line) @ _t(y)), None]


eigenvectors_op = general(
    "eigenvectors",
    lambda a, factors, *, gauge, line: factors[..., 1:, :],
    pushforward=_vectors_pushforward,
    pullback=_vectors_pullback,
    core=(2, 2, 2),
    kinks="eigenvectors of a repeated eigenvalue raise",
)
"""``gauge`` says that the basis of an eigenspace does not matter: it stays as it is."""
