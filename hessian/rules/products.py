"""Rows of array products. Five bilinear primitives, closed under transposition; every other product is composed of them.

==========  =====================  ==================================
primitive   signature              transposes
==========  =====================  ==================================
matmul      (n,m),(m,p)->(n,p)     matmul with a transposed factor
matvec      (n,m),(m)->(n)         outer, vecmat
vecmat      (m),(m,p)->(p)         matvec, outer
vecdot      (m),(m)->()            scaling
outer       (n),(m)->(n,m)         matvec, vecmat
==========  =====================  ==================================

``tensordot`` is lowered to transpose, reshape and matmul, so that BLAS does the work in every sweep.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import scipy.sparse

from hessian.errors import ShapeMismatchError, message
from hessian.rules.broadcast import as_array
from hessian.rules.broadcast import transposed as _t
from hessian.rules.dispatch import composite, expose, refuse
from hessian.rules.elementwise import multiply
from hessian.rules.shaping import swapaxes
from hessian.rules.spec import A, Linear, bilinear, case, linear
from hessian.rules.traced import Traced, each_entered


def _matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # A stack of left factors against one matrix is one large product: BLAS runs it in one call.
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous:
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
        return np.matmul(rows, b).reshape(a.shape[:-1] + b.shape[-1:])
    return np.matmul(a, b)


def _matvec(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.ndim == 2 and b.ndim > 1:
        return np.matmul(b, a.T)
    return np.matmul(a, b[..., None])[..., 0]


matmul_op = bilinear("matmul", _matmul, labels="ij,jk->ik")
matvec_op = bilinear("matvec", _matvec, labels="ij,j->i")
vecmat_op = bilinear(
    "vecmat",
    lambda a, b: np.matmul(a, b) if b.ndim == 2 else np.matmul(a[..., None, :], b)[..., 0, :],
    labels="j,jk->k",
)
vecdot_op = bilinear(
    "vecdot",
    lambda a, b: np.matmul(a, b) if b.ndim == 1 else np.matmul(b, a) if a.ndim == 1 else np.einsum("...i,...i", a, b),
    labels="j,j->",
)
outer_op = bilinear("outer", lambda a, b: np.multiply(a[..., :, None], b[..., None, :]), labels="i,k->ik")


def _sparse_matmul(x: np.ndarray, *, matrix: Any, ndim: int) -> np.ndarray:
    if ndim == 1:
        return np.asarray((matrix @ x.reshape(-1, x.shape[-1]).T).T).reshape((*x.shape[:-1], matrix.shape[0]))
    if x.ndim == 2:
        return np.asarray(matrix @ x)
    columns = np.moveaxis(x, -2, 0)
    product = np.asarray(matrix @ columns.reshape(columns.shape[0], -1))
    return np.moveaxis(product.reshape((matrix.shape[0], *columns.shape[1:])), 0, -2)


_SPARSE = scipy.sparse.csr_array([[1.0, 0.0, -2.0], [0.0, 0.0, 0.5]])
sparse_matmul_op: Linear = linear(
    "sparse_matmul",
    _sparse_matmul,
    transpose=lambda g, x_shape, *, matrix, ndim: sparse_matmul_op(g, matrix=matrix.T, ndim=ndim),
    moduli=lambda *, matrix, ndim: {"matrix": abs(matrix), "ndim": ndim},
    pattern=lambda y, xs, *, matrix, ndim: [
        scipy.sparse.kron(matrix != 0, scipy.sparse.eye_array(1 if ndim == 1 else y.shape[-1], dtype=bool), "csr")
    ],
    cases=[case(A(3), matrix=_SPARSE, ndim=1), case(A(3, 2), matrix=_SPARSE, ndim=2)],
)


def matmul(a: Any, b: Any) -> Any:
    """Multiply as ``@`` does, sparse operands included."""
    if _may_be_sparse(a) or _may_be_sparse(b):
        if scipy.sparse.issparse(a) or scipy.sparse.issparse(b):
            return _sparse(a, b)
        a, b = as_array(a), as_array(b)
    if not a.ndim or not b.ndim:
        raise ShapeMismatchError(message("matmul", "an operand is 0-dimensional", fix="Use * for scalars"))
    contracted = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != contracted:
        what = f"shapes {a.shape} and {b.shape} do not match: {a.shape[-1]} columns against {contracted} rows"
        raise ShapeMismatchError(message("matmul", what))
    if a.ndim == 1:
        return vecdot_op(a, b) if b.ndim == 1 else vecmat_op(a, b)
    return matvec_op(a, b) if b.ndim == 1 else matmul_op(a, b)


def _may_be_sparse(x: Any) -> bool:
    # SciPy asks an abstract class, which takes microseconds.
    return type(x) is not np.ndarray and not isinstance(x, Traced)


def _sparse(a: Any, b: Any) -> Any:
    if scipy.sparse.issparse(a):
        if b.shape[0] != a.shape[1]:
            raise ShapeMismatchError(message("matmul", f"shapes {a.shape} and {b.shape} do not match"))
        # The matrix is captured: a copy, so that later changes of the user's matrix cannot reach the sweeps.
        return sparse_matmul_op(b, matrix=a.tocsr(copy=True), ndim=b.ndim)
    if b.shape[0] != a.shape[-1]:
        raise ShapeMismatchError(message("matmul", f"shapes {a.shape} and {b.shape} do not match"))
    product = sparse_matmul_op(a if a.ndim == 1 else _t(a), matrix=b.T.tocsr(copy=True), ndim=a.ndim)
    return product if a.ndim == 1 else _t(product)


expose(
    np.matmul,
    matmul,
    cases=[
        case(A(2, 3), A(3, 4)),
        case(A(2, 3), A(3)),
        case(A(3), A(3, 2)),
        case(A(3), A(3)),
        case(A(5, 2, 3), A(3, 4)),
        case(A(2, 3), A(5, 3, 4)),
        case(A(5, 2, 3), A(3)),
        case(A(3), A(5, 3, 2)),
        case(A(2, 1, 2, 3), A(4, 3, 2)),
        case(A(0, 3), A(3, 2)),
    ],
)


@composite(np.dot, cases=[case(A(3), A(3)), case(A(2, 3), A(3)), case(A(2, 3), A(4, 3, 2)), case(A(), A(3))])
def dot(a: Any, b: Any, out: Any = None) -> Any:
    refuse("dot", out=out)
    a, b = as_array(a), as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return multiply(a, b)
    if np.ndim(a) > 2 or np.ndim(b) > 2:
        return tensordot(a, b, ((-1,), (-2 if np.ndim(b) > 1 else -1,)))
    return matmul(a, b)


@composite(np.vdot, cases=[case(A(2, 3), A(2, 3))], analytic=lambda a, b: np.sum(a * b))
def vdot(a: Any, b: Any) -> Any:
    return vecdot_op(np.ravel(_conjugate(a)), np.ravel(b))


def _conjugate(a: Any) -> Any:
    """Return the complex conjugate, of what is real itself."""
    a = as_array(a)
    return np.conjugate(a) if a.dtype.kind == "c" else a


@composite(np.inner, cases=[case(A(3), A(3)), case(A(2, 3), A(4, 3)), case(A(2, 3), 2.0)])
def inner(a: Any, b: Any) -> Any:
    a, b = as_array(a), as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        scaled = multiply(a, b)
        return scaled.lying_in(tuple(range(scaled.ndim)))
    return tensordot(a, b, ((-1,), (-1,)))[()]


@composite(np.outer, cases=[case(A(3), A(2)), case(A(2, 2), A(3))])
def outer(a: Any, b: Any, out: Any = None) -> Any:
    refuse("outer", out=out)
    return outer_op(np.ravel(a), np.ravel(b))


def _positions(axes: Any, x: Any) -> list[int]:
    """Return axes to contract, counted from the first."""
    axes = [operator.index(k) for k in (axes if np.iterable(axes) else (axes,))]
    if any(not -x.ndim <= k < x.ndim for k in axes):
        raise ShapeMismatchError(message("tensordot", f"axes {axes} of an array of shape {x.shape}"))
    return [k % x.ndim for k in axes]


@composite(
    np.tensordot, cases=[case(A(2, 3, 4), A(3, 4, 2)), case(A(2, 3), A(4, 2), axes=([0], [1])), case(A(2), A(3), 0)]
)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = as_array(a), as_array(b)
    if np.ndim(axes) == 0 and not isinstance(axes, tuple | list):
        axes = operator.index(axes)
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    left, right = (_positions(ax, x) for ax, x in zip(axes, (a, b), strict=True))
    if [a.shape[i] for i in left] != [b.shape[j] for j in right]:
        raise ShapeMismatchError(message("tensordot", f"axes {axes} of shapes {a.shape} and {b.shape} do not match"))
    rest_a = [i for i in range(a.ndim) if i not in left]
    rest_b = [j for j in range(b.ndim) if j not in right]
    shape_a, shape_b = tuple(a.shape[i] for i in rest_a), tuple(b.shape[j] for j in rest_b)
    length = math.prod(a.shape[i] for i in left)
    rows = np.reshape(np.transpose(a, (*rest_a, *left)), (math.prod(shape_a), length))
    columns = np.reshape(np.transpose(b, (*right, *rest_b)), (length, math.prod(shape_b)))
    return np.reshape(matmul_op(rows, columns), shape_a + shape_b)


@composite(np.kron, cases=[case(A(2, 3), A(3, 2)), case(A(3), A(2)), case(A(2, 2), A(3))])
def kron(a: Any, b: Any) -> Any:
    a, b = as_array(a), as_array(b)
    ndim = np.maximum(a.ndim, b.ndim)
    sa, sb = ((1,) * (int(ndim) - x.ndim) + x.shape for x in (a, b))
    left = np.reshape(a, tuple(n for length in sa for n in (length, 1)))
    right = np.reshape(b, tuple(n for length in sb for n in (1, length)))
    return np.reshape(left * right, tuple(p * q for p, q in zip(sa, sb, strict=True)))


@composite(np.cross, cases=[case(A(3), A(3)), case(A(4, 3), A(4, 3))])
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    axisa, axisb, axisc = map(operator.index, (axisa, axisb, axisc))
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ShapeMismatchError(message("cross", f"vectors have lengths {a.shape[-1]} and {b.shape[-1]}, expected 3"))
    (a0, a1, a2), (b0, b1, b2) = ([x[..., i] for i in range(3)] for x in (a, b))
    return np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=axisc)


@composite(np.trace, cases=[case(A(3, 4)), case(A(3, 3), offset=1), case(A(2, 3, 3), axis1=1, axis2=2)])
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    refuse("trace", out=out)
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


@composite(np.linalg.multi_dot, cases=[case([A(2, 3), A(3, 4), A(4, 2)])], enters=each_entered)
def multi_dot(arrays: Any) -> Any:
    arrays = [as_array(a) for a in arrays]
    if len(arrays) < 2 or any(a.ndim != 2 for a in arrays[1:-1]) or any(a.ndim not in (1, 2) for a in arrays):
        raise ShapeMismatchError(
            message("multi_dot", f"factors have shapes {[a.shape for a in arrays]}", fix="Pass two matrices or more")
        )
    product = arrays[0]
    for a in arrays[1:]:
        product = matmul(product, a)
    return product


expose(np.linalg.matrix_transpose, lambda x, /: swapaxes(x, -1, -2), cases=[case(A(2, 3))])
expose(np.linalg.trace, lambda x, /, *, offset=0: trace(x, offset, -2, -1), cases=[case(A(2, 3, 3))])
expose(np.linalg.matmul, lambda a, b, /: matmul(a, b), cases=[case(A(2, 3), A(3, 2))])
expose(np.linalg.tensordot, lambda a, b, /, *, axes=2: tensordot(a, b, axes), cases=[case(A(2, 3), A(2, 3))])
expose(
    np.linalg.outer, lambda a, b, /: outer_op(*_core_axes("outer", a, b, (1, 1), exact=True)), cases=[case(A(2), A(3))]
)
expose(np.linalg.cross, lambda a, b, /, *, axis=-1: cross(a, b, axis=axis), cases=[case(A(3), A(3))])


@composite(
    np.vecdot,
    np.linalg.vecdot,
    cases=[case(A(2, 3), A(2, 3)), case(A(3), A(2, 3))],
    analytic=lambda a, b: np.sum(a * b, -1),
)
def vecdot(a: Any, b: Any, *, axis: int = -1) -> Any:
    a, b = _core_axes("vecdot", a, b, (1, 1))
    a, b = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)
    _same_length("vecdot", a.shape[-1], b.shape[-1])
    return vecdot_op(_conjugate(a), b)[()]


def _matvec_call(a: Any, b: Any) -> Any:
    a, b = _core_axes("matvec", a, b, (2, 1))
    _same_length("matvec", a.shape[-1], b.shape[-1])
    return matvec_op(a, b)


def _vecmat_call(a: Any, b: Any) -> Any:
    a, b = _core_axes("vecmat", a, b, (1, 2))
    _same_length("vecmat", a.shape[-1], b.shape[-2])
    return vecmat_op(_conjugate(a), b)


def _core_axes(name: str, a: Any, b: Any, least: tuple[int, int], exact: bool = False) -> tuple[Any, Any]:
    """Return operands as arrays that have as many axes as an operation works on."""
    a, b = as_array(a), as_array(b)
    for x, count in zip((a, b), least, strict=True):
        if x.ndim < count or (exact and x.ndim > count):
            what = f"an operand has shape {x.shape}, it needs {'' if exact else 'at least '}{count} axes"
            raise ShapeMismatchError(message(name, what))
    return a, b


def _same_length(name: str, m: int, n: int) -> None:
    if m != n:
        raise ShapeMismatchError(message(name, f"the axes multiplied have lengths {m} and {n}"))


# NumPy 2.2 and later.
if hasattr(np, "matvec"):
    expose(np.matvec, _matvec_call, cases=[case(A(2, 3), A(3)), case(A(5, 2, 3), A(3))])
    expose(np.vecmat, _vecmat_call, cases=[case(A(3), A(3, 2)), case(A(5, 3), A(3, 2))], analytic=np.matmul)
