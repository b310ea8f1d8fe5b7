"""Rows of numpy.linalg: solve, inv, det, slogdet, cholesky, eigh, norm.

Matrix calculus follows Giles, "Collected matrix derivative results for forward and reverse mode AD" (2008). ``cholesky`` and
``eigh`` read one triangle only, as NumPy does, and their derivatives are those of that function: the primitives give
symmetric gradients, which the unfolding of the triangle (``symmetric_from``) adds up in the triangle that was read.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.errors import MissingRuleError, OptionError, message
from hessian.rules import hermitian
from hessian.rules.broadcast import averaged_axes, conjugate_transposed, keeps, normalize_axes, without_axes
from hessian.rules.broadcast import transposed as _t
from hessian.rules.cholesky import cholesky_op
from hessian.rules.determinant import det_op, inverse_of, probe_of, probe_op, sound_op
from hessian.rules.dispatch import composite, expose
from hessian.rules.eigen import eigenvalues_op, eigenvectors_op, factors_op
from hessian.rules.factorisations import svdvals
from hessian.rules.factors import factor_op, solution_pullback, solution_pushforward
from hessian.rules.lines import user_line
from hessian.rules.smooth import Root, Sides
from hessian.rules.spec import ZERO, A, Sample, case, general, nondifferentiable

# NumPy's named result tuples have no public import path.
EighResult: Any = type(np.linalg.eigh(np.eye(1)))
SlogdetResult: Any = type(np.linalg.slogdet(np.eye(1)))


def _well_conditioned(*shape: int) -> Sample:
    """Sample a matrix near 2 I."""
    return A(*shape, make=lambda rng: 2 * np.eye(shape[-1]) + rng.uniform(-0.4, 0.4, shape))


def _positive_definite(*shape: int) -> Sample:
    def make(rng: np.random.Generator) -> np.ndarray:
        root = rng.uniform(-1, 1, shape)
        return root @ _t(root) + np.diag(1.0 + np.arange(shape[-1]))

    return A(*shape, make=make)


def _inv_sound(y: Any, xs: Any, *, line: str) -> dict[str, Any]:
    identity = np.eye(y.shape[-1], dtype=y.dtype)
    probe = y @ probe_of(np.shape(y), y.dtype)
    return {"sound": sound_op(xs[0], y, identity, probe, name="derivative of inv", line=line)}


inv_op = general(
    "inv",
    lambda a, *, line: np.linalg.inv(a),
    prepare=_inv_sound,
    pushforward=lambda y, xs, dots, *, line, sound: -sound * (y @ dots[0] @ y),
    pullback=lambda y, xs, g, wanted, *, line, sound: [-sound * (_t(y) @ g @ _t(y))],
    core=(2, 2),
)
expose(
    np.linalg.inv,
    lambda a: inv_op(a, line=user_line()),
    cases=[case(_well_conditioned(3, 3)), case(_well_conditioned(2, 3, 3))],
)


def _solve_at_point(y: Any, xs: Any, *, line: str) -> dict[str, Any]:
    (a, b), factor = xs, factor_op(xs[0])
    sound = sound_op(a, y, b, probe_op(a, factor), name="derivative of solve", line=line)
    return {"sound": sound, "factor": factor}


solve_op = general(
    "solve",
    lambda a, b, *, line: np.linalg.solve(a, b),
    prepare=_solve_at_point,
    pushforward=lambda y, xs, dots, *, line, sound, factor: sound * solution_pushforward(y, (*xs, factor), dots),
    pullback=lambda y, xs, g, wanted, *, line, sound, factor: solution_pullback(y, (*xs, factor), sound * g, wanted),
    core=(2, 2, 2),
)


@composite(
    np.linalg.solve,
    cases=[
        case(_well_conditioned(3, 3), A(3)),
        case(_well_conditioned(3, 3), A(3, 2)),
        case(_well_conditioned(2, 3, 3), A(3, 1)),
        case(_well_conditioned(3, 3), A(4, 3, 2)),
    ],
)
def solve(a: Any, b: Any) -> Any:
    if np.ndim(b) == 1:
        return np.squeeze(solve_op(a, np.reshape(b, (-1, 1)), line=user_line()), axis=-1)
    return solve_op(a, b, line=user_line())


def _matrix_scale(s: Any) -> Any:
    return s[..., None, None]


def _inverse(y: Any, xs: Any, *, line: str) -> dict[str, Any]:
    return {"inverse_t": _t(inverse_of(xs[0], name="derivative of slogdet", line=line))}


logabsdet_op = general(
    "logabsdet",
    lambda a, *, line: np.linalg.slogdet(a)[1],
    prepare=_inverse,
    pushforward=lambda y, xs, dots, *, line, inverse_t: np.sum(inverse_t * dots[0], axis=(-2, -1)),
    pullback=lambda y, xs, g, wanted, *, line, inverse_t: [_matrix_scale(g) * inverse_t],
    core=(2, 0),
    kinks="a singular matrix raises",
)
det_sign_op = nondifferentiable("det_sign", lambda a: np.linalg.slogdet(a)[0])
expose(
    np.linalg.det,
    lambda a: det_op(a, line=user_line()),
    cases=[case(_well_conditioned(3, 3)), case(_well_conditioned(2, 2, 2))],
    kinks=det_op.kinks,
)


@composite(
    np.linalg.slogdet,
    cases=[case(_well_conditioned(3, 3)), case(_well_conditioned(2, 2, 2))],
    analytic=lambda a: (np.ones(a.shape[:-2]), np.log(np.linalg.det(a))),
)
def slogdet(a: Any) -> Any:
    return SlogdetResult(det_sign_op(a), logabsdet_op(a, line=user_line()))


def _square(a: Any) -> None:
    """Refuse what is no square matrix, or stack of them, as NumPy does."""
    if a.ndim < 2:
        raise np.linalg.LinAlgError(f"{a.ndim}-dimensional array given. Array must be at least two-dimensional")
    if a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")


def symmetric_from(a: Any) -> Any:
    """Return the symmetric matrix whose lower triangle is that of ``a``: what NumPy reads."""
    _square(a)
    return np.where(np.tril(np.ones(a.shape[-2:], bool)), a, _t(a))


@composite(
    np.linalg.cholesky, cases=[case(_positive_definite(3, 3)), case(_positive_definite(2, 3, 3))], real_only=True
)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    if a.dtype.kind == "c":
        factor = hermitian.cholesky(conjugate_transposed(a) if upper else a)
        return conjugate_transposed(factor) if upper else factor
    _square(a)
    return _t(cholesky_op(_t(a))) if upper else cholesky_op(a)


def _eigen(a: Any, uplo: str, values_only: bool) -> tuple[Any, Any]:
    """Return the symmetric matrix that NumPy reads, and its eigenvalues above its eigenvectors."""
    whole = symmetric_from(a if uplo.upper() == "L" else _t(a))
    return whole, factors_op(whole, uplo=uplo.upper(), values_only=values_only)


@composite(np.linalg.eigh, cases=[case(_positive_definite(3, 3))], kinks=eigenvectors_op.kinks, real_only=True)
def eigh(a: Any, UPLO: str = "L") -> Any:
    if a.dtype.kind == "c":
        return EighResult(*hermitian.eigh(a, UPLO))
    whole, factors = _eigen(a, UPLO, False)
    line = user_line()
    return EighResult(
        eigenvalues_op(whole, factors, line=line), eigenvectors_op(whole, factors, gauge=False, line=line)
    )


@composite(np.linalg.eigvalsh, cases=[case(_positive_definite(3, 3))], kinks=eigenvalues_op.kinks, real_only=True)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    if a.dtype.kind == "c":
        return hermitian.eigvalsh(a, UPLO)
    whole, factors = _eigen(a, UPLO, True)
    return eigenvalues_op(whole, factors, line=user_line())


@composite(np.linalg.matrix_power, cases=[case(_well_conditioned(3, 3), 3), case(_well_conditioned(2, 2), -2)])
def matrix_power(a: Any, n: int) -> Any:
    _square(a)
    n = operator.index(n)
    if n == 0:
        return np.zeros_like(a) + np.eye(a.shape[-1], dtype=a.dtype)
    base = inv_op(a, line=user_line()) if n < 0 else a
    result, n = None, abs(n)
    while n:
        if n & 1:
            result = base if result is None else result @ base
        n >>= 1
        if n:
            base = base @ base
    return result


def _length(y: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    """Return the norm where the squares of the entries overflow or underflow, and ``y``, which it is, elsewhere."""
    limits = np.finfo(y.dtype)
    if np.all((y > math.sqrt(limits.tiny) / limits.eps) & (y <= limits.max)):
        return y
    largest = np.max(np.abs(x), axis=axes, keepdims=True, initial=0)
    usable = (largest > 0) & (largest <= limits.max)
    scale = np.where(usable, largest, 1).astype(y.dtype)
    with np.errstate(all="ignore"):
        return np.where(usable, scale * np.sqrt(np.sum((x / scale) ** 2, axis=axes, keepdims=True)), y)


length_op = general(
    "length",
    _length,
    pushforward=lambda y, xs, dots, *, axes: dots[0],
    pullback=lambda y, xs, g, wanted, *, axes: [g, None],
    states=(None, ZERO),
    pattern="axes",
    curved=False,
)


def _unit(x: Any, *, axes: tuple[int, ...]) -> Any:
    length = _length(np.sqrt(np.sum(x * x, axis=axes, keepdims=True)), x, axes=axes)
    return x / np.where(length == 0, 1, length).astype(length.dtype)


def _unit_length(y: Any, xs: Any, *, axes: tuple[int, ...]) -> dict[str, Any]:
    return {"length": length_op(norm_op(xs[0], axes=axes, whole=False), xs[0], axes=axes)}


def _across(unit: Any, t: Any, length: Any, axes: tuple[int, ...]) -> Any:
    """Return (I - u uᵀ) t / |x|: where the quotient by |x| overflows, what has no part across x keeps its zeros."""
    return (t - unit * np.sum(unit * t, axis=axes, keepdims=True)) / length


unit_op = general(
    "unit",
    _unit,
    prepare=_unit_length,
    pattern="axes",
    singular=lambda y, *, axes: not np.any(y, axis=axes).all(),
    pushforward=lambda y, xs, dots, *, axes, length: _across(y, dots[0], length, axes),
    pullback=lambda y, xs, g, wanted, *, axes, length: [_across(y, g, length, axes)],
    kinks="0 at the origin, with a slope that is not finite",
)


def _norm(x: Any, *, axes: tuple[int, ...], whole: bool) -> Any:
    """Return the norm along axes; of a whole array by the product that NumPy takes then, which adds up in another order."""
    if not whole or x.ndim > len(axes):
        return np.sqrt(np.sum(x * x, axis=axes, keepdims=True))
    flat = x.ravel(order="K")
    return np.sqrt(np.reshape(flat.dot(flat), (1,) * x.ndim))


norm_op = general(
    "norm",
    _norm,
    prepare=lambda y, xs, *, axes, whole: {"unit": unit_op(xs[0], axes=axes)},
    pattern="axes",
    pushforward=lambda y, xs, dots, *, axes, whole, unit: np.sum(unit * dots[0], axis=axes, keepdims=True),
    pullback=lambda y, xs, g, wanted, *, axes, whole, unit: [unit * g],
    kinks="gradient 0 at the origin (the subgradient of least norm); the Hessian there does not exist: not finite",
    sides=Sides(
        lambda y, x, *, axes, whole: np.equal(y, 0),
        lambda y, xs, dots, *, axes, whole: np.sqrt(np.sum(dots[0] ** 2, axis=axes, keepdims=True)),
    ),
    root=Root(
        (2,), lambda product, degree, x, *, axes, whole: product(np.sum(np.square(x), axis=axes, keepdims=True), 1)
    ),
)


def _euclidean(x: Any, axes: tuple[int, ...], whole: bool) -> Any:
    """Return the root of the sum of squared moduli along ``axes``; a complex number has two parts that are squared."""
    if x.dtype.kind != "c":
        return norm_op(x, axes=axes, whole=whole)
    both = np.stack([x.real, x.imag], axis=-1)
    return norm_op(both, axes=(*(i - 1 for i in axes), -1), whole=whole)[..., 0]


def _vector_norm(x: Any, order: Any, axes: tuple[int, ...]) -> Any:
    """Return the norm of vectors along ``axes``, which stay with length one."""
    if order == 2:
        return _euclidean(x, axes, whole=False)
    size = np.abs(x)
    if order == math.inf:
        return np.max(size, axis=axes, keepdims=True)
    if order == -math.inf:
        return np.min(size, axis=axes, keepdims=True)
    if order == 1:
        return np.sum(size, axis=axes, keepdims=True)
    if order == 0:
        return np.sum(np.not_equal(x, 0), axis=axes, keepdims=True, dtype=size.dtype)
    return np.sum(size**order, axis=axes, keepdims=True) ** (1.0 / order)


_COLUMN_AND_ROW: dict[Any, tuple[int, Callable[..., Any]]] = {
    1: (0, np.max), -1: (0, np.min), math.inf: (1, np.max), -math.inf: (1, np.min)
}  # fmt: skip


def _matrix_norm(x: Any, order: Any, axes: tuple[int, ...]) -> Any:
    """Return the norm of matrices along a pair of ``axes``, which stay with length one."""
    if order in ("fro", None):
        return _euclidean(x, axes, whole=False)
    if order in (2, -2, "nuc"):
        values = svdvals(np.moveaxis(x, axes, (-2, -1)))
        total = np.sum(values, axis=-1) if order == "nuc" else values[..., 0 if order == 2 else -1]
        return np.expand_dims(total, axes)
    if order not in _COLUMN_AND_ROW:
        raise MissingRuleError(
            message("norm", f"the matrix norm ord={order!r} is unknown", fix="Use 2, 'fro', 1, 'nuc'")
        )
    summed, extreme = _COLUMN_AND_ROW[order]
    totals = np.sum(np.abs(x), axis=axes[summed], keepdims=True)
    return extreme(totals, axis=axes[1 - summed], keepdims=True)


@composite(
    np.linalg.norm,
    cases=[
        case(A(4)),
        case(A(2, 3)),
        case(A(2, 3), axis=1),
        case(A(3), ord=1),
        case(A(2, 3), ord="fro", keepdims=True),
        case(A(4, domain=(0.5, 2.0)), ord=3),
        case(A(4), ord=np.inf),
        case(A(3, 2), ord=1),
        case(A(5, 3, 2), axis=(1, 2)),
    ],
    kinks=norm_op.kinks,
    analytic=lambda x, ord=None, axis=None, keepdims=False: _analytic_norm(x, ord, axis, keepdims),
)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None and (ord is None or (ord == 2 and x.ndim == 1) or (ord == "fro" and x.ndim == 2)):
        axes = normalize_axes(None, x.ndim, "norm")
        y = _euclidean(x, axes, whole=True)
    elif axis is None and x.ndim == 1:
        axes = normalize_axes(None, x.ndim, "norm")
        y = _vector_norm(x, ord, axes)
    else:
        axes = averaged_axes(axis, x.ndim, "norm")
        if len(axes) not in (1, 2):
            raise OptionError(message("norm", f"axis {axis!r} names {len(axes)} axes", fix="Pass one axis or two"))
        y = _vector_norm(x, 2 if ord is None else ord, axes) if len(axes) == 1 else _matrix_norm(x, ord, axes)
    return y if keeps(keepdims) else without_axes(y, axes)


def _analytic_norm(x: Any, order: Any, axis: Any, keepdims: bool) -> Any:
    """Evaluate the norm without moduli, for a complex step."""
    size = x * np.sign(np.real(x))
    if order in (None, "fro"):
        return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))
    if order == np.inf:
        return size.ravel()[np.argmax(np.real(size))]
    if order == 1 and x.ndim == 2:
        totals = np.sum(size, axis=0)
        return totals[np.argmax(np.real(totals))]
    return np.sum(size**order) ** (1.0 / order)


@composite(
    np.linalg.vector_norm,
    cases=[case(A(4)), case(A(2, 3), axis=1)],
    analytic=lambda x, axis=None: _analytic_norm(x, None, axis, False),
)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    axes = normalize_axes(axis, x.ndim, "vector_norm")
    y = _vector_norm(x, ord, axes)
    return y if keeps(keepdims) else without_axes(y, axes)
