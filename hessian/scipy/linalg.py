"""scipy.linalg: twins of solvers, factors and functions of matrices.

A factor is a traced value like any other: what is solved with it costs triangular solves, in every derivative.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from hessian.errors import OptionError, message
from hessian.rules.broadcast import conjugate_transposed
from hessian.rules.cholesky import cholesky_op
from hessian.rules.factored import (
    banded_op,
    cosm_op,
    expm_op,
    logm_op,
    lu_op,
    order_op,
    pivots_op,
    sinm_op,
    sqrtm_op,
    sylvester_op,
    turned_band,
)
from hessian.rules.hermitian import from_lower
from hessian.rules.linalg import symmetric_from
from hessian.rules.traced import entered
from hessian.rules.triangular import PLAIN, TURNED, triangular_op
from hessian.scipy.mirror import holds, mirrored, twin

__all__ = [
    "block_diag",
    "cho_factor",
    "cho_solve",
    "cho_solve_banded",
    "cholesky",
    "cosm",
    "det",
    "expm",
    "inv",
    "logm",
    "lu_factor",
    "lu_solve",
    "norm",
    "sinm",
    "solve",
    "solve_banded",
    "solve_sylvester",
    "solve_triangular",
    "sqrtm",
    "toeplitz",
]
__getattr__, __dir__ = mirrored(__name__)


def _matrix(a: Any) -> Any:
    a = entered(a)
    if not holds(a):
        a = np.asarray(a)
        a = a if a.dtype.kind in "fc" else a.astype(float)
    return a


def _as_columns(solve: Any, b: Any) -> Any:
    """Solve for a vector as for a matrix of one column."""
    b = _matrix(b)
    return solve(b[:, None])[:, 0] if b.ndim == 1 else solve(b)


def _t(a: Any) -> Any:
    return np.swapaxes(a, -1, -2)


@twin(scipy.linalg.norm)
def norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, check_finite: bool = True) -> Any:
    """Return a norm of a vector or a matrix. Twin of :func:`scipy.linalg.norm` that also takes traced values."""
    return np.linalg.norm(_matrix(a), ord, axis, keepdims)


# Cholesky.


@twin(scipy.linalg.cholesky)
def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Return the Cholesky factor of a positive definite matrix, of which one triangle is read.

    Twin of :func:`scipy.linalg.cholesky` that also takes traced values. Derivatives are those of the function of that triangle.

    Raises
    ------
    LinAlgError
        The matrix is not positive definite.
    """
    a = _matrix(a)
    if a.dtype.kind == "c":
        return np.linalg.cholesky(a, upper=not lower)
    return cholesky_op(a, by="scipy") if lower else _t(cholesky_op(_t(a), by="scipy, upper"))


@twin(scipy.linalg.cho_factor)
def cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, bool]:
    """Return the Cholesky factor for :func:`cho_solve`, and whether it is a lower one.

    Twin of :func:`scipy.linalg.cho_factor` that also takes traced values; the other triangle, in which SciPy leaves what was there, is
    zero.
    """
    return cholesky(a, lower=lower), lower


@twin(scipy.linalg.cho_solve)
def cho_solve(c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    """Solve A x = b by the Cholesky factor of A.

    Twin of :func:`scipy.linalg.cho_solve` that also takes traced values: two triangular solves, in every derivative.
    """
    c, lower = c_and_lower
    c = _matrix(c) if lower else conjugate_transposed(_matrix(c))
    turned = np.conjugate(c) if c.dtype.kind == "c" else c

    def both(b: Any) -> Any:
        return triangular_op(turned, triangular_op(c, b, **PLAIN), **TURNED)

    return _as_columns(both, b)


@twin(scipy.linalg.solve_triangular)
def solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """Solve a x = b or aᵀ x = b for a triangular matrix, of which one triangle is read.

    Twin of :func:`scipy.linalg.solve_triangular` that also takes traced values.
    """
    turned = {0: False, "N": False, 1: True, "T": True, 2: True, "C": True}.get(trans)
    if turned is None:
        raise OptionError(message("solve_triangular", f"trans is {trans!r}", fix="Pass 0, 1, 2, 'N', 'T' or 'C'"))
    a = _matrix(a)
    a = np.conjugate(a) if trans in (2, "C") and a.dtype.kind == "c" else a
    return _as_columns(lambda b: triangular_op(a, b, lower=bool(lower), trans=turned, unit=bool(unit_diagonal)), b)


# General systems.


@twin(scipy.linalg.lu_factor)
def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """Return the packed LU factors of a square matrix and the pivots, for :func:`lu_solve`.

    Twin of :func:`scipy.linalg.lu_factor` that also takes traced values.
    """
    a = _matrix(a)
    return lu_op(a), pivots_op(a)


@twin(scipy.linalg.lu_solve)
def lu_solve(
    lu_and_piv: tuple[Any, Any], b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """Solve a x = b, or aᵀ x = b, by the factors of :func:`lu_factor`.

    Twin of :func:`scipy.linalg.lu_solve` that also takes traced values.
    """
    lu, piv = lu_and_piv
    lu, order = _matrix(lu), order_op(piv)
    lu = np.conjugate(lu) if trans == 2 and lu.dtype.kind == "c" else lu

    def both(b: Any) -> Any:
        if trans:
            first = triangular_op(lu, b, lower=False, trans=True, unit=False)
            return np.take(triangular_op(lu, first, lower=True, trans=True, unit=True), np.argsort(order), axis=-2)
        first = triangular_op(lu, np.take(b, order, axis=-2), lower=True, trans=False, unit=True)
        return triangular_op(lu, first, lower=False, trans=False, unit=False)

    return _as_columns(both, b)


@twin(scipy.linalg.solve)
def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    assume_a: str | None = None,
    transposed: bool = False,
) -> Any:
    """Solve a x = b, of which ``assume_a`` says what is read of the matrix.

    Twin of :func:`scipy.linalg.solve` that also takes traced values: positive definite matrices are solved by their Cholesky factor, any
    others by LU factors.
    """
    a = _matrix(a)
    kind = (assume_a or "general").lower()
    if kind in ("pos", "positive definite"):
        return cho_solve((cholesky(a, lower=lower), lower), b)
    if kind in ("her", "hermitian") and a.dtype.kind == "c":
        a = from_lower(a if lower else conjugate_transposed(a))
    elif kind in ("sym", "symmetric", "her", "hermitian"):
        a = symmetric_from(a if lower else _t(a))
    elif kind == "diagonal":
        a = a * np.eye(a.shape[-1], dtype=a.dtype)
    elif kind == "tridiagonal":
        a = np.triu(np.tril(a, 1), -1)
    elif kind in ("upper triangular", "lower triangular"):
        return solve_triangular(a, b, trans=int(transposed), lower=kind.startswith("lower"))
    elif kind not in ("gen", "general", "banded"):
        raise OptionError(message("solve", f"assume_a is {assume_a!r}", fix="Pass 'gen', 'sym', 'pos' or None"))
    return np.linalg.solve(_t(a) if transposed else a, _matrix(b))


@twin(scipy.linalg.inv)
def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True, **keywords: Any) -> Any:
    """Invert a matrix. Twin of :func:`scipy.linalg.inv` that also takes traced values."""
    return np.linalg.inv(_matrix(a))


@twin(scipy.linalg.det)
def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Return the determinant. Twin of :func:`scipy.linalg.det` that also takes traced values."""
    return np.linalg.det(_matrix(a))


@twin(scipy.linalg.solve_sylvester)
def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """Solve a X + X b = q. Twin of :func:`scipy.linalg.solve_sylvester` that also takes traced values."""
    return sylvester_op(_matrix(a), _matrix(b), _matrix(q))


@twin(scipy.linalg.solve_banded)
def solve_banded(
    l_and_u: tuple[int, int],
    ab: Any,
    b: Any,
    overwrite_ab: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """Solve a x = b for a matrix of few diagonals, stored as ``ab[u + i - j, j] = a[i, j]``.

    Twin of :func:`scipy.linalg.solve_banded` that also takes traced values; entries of ``ab`` outside the matrix have no derivative.
    """
    low, up = map(int, l_and_u)
    ab = _matrix(ab)
    return _as_columns(lambda b: banded_op(ab, b, low=low, up=up), b)


@twin(scipy.linalg.cho_solve_banded)
def cho_solve_banded(
    cb_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """Solve A x = b by a banded Cholesky factor of A.

    Twin of :func:`scipy.linalg.cho_solve_banded` that also takes traced values: two banded solves, in every derivative.
    """
    cb, lower = cb_and_lower
    cb = _matrix(cb)
    reach = cb.shape[-2] - 1
    own = (reach, 0) if lower else (0, reach)
    other = turned_band(cb, *own)

    def both(b: Any) -> Any:
        factor, its_transpose = (cb, other) if lower else (other, cb)
        first = banded_op(factor, b, low=reach, up=0)
        return banded_op(its_transpose, first, low=0, up=reach)

    return _as_columns(both, b)


# Functions of matrices.


def _of_matrix(original: Any, operation: Any) -> Any:
    name = original.__name__

    def call(A: Any, *args: Any, **keywords: Any) -> Any:
        if args or keywords:
            raise OptionError(message(name, "further arguments are not supported on traced values"))
        return operation(_matrix(A))

    call.__name__ = name
    call.__doc__ = (
        f"Evaluate ``{name}`` of a square matrix.\n\n    Twin of :func:`scipy.linalg.{name}` that also takes traced values; "
        "its derivative along E is a block of the function at [[A, E], [0, A]] (Mathias, 1996)."
    )
    return twin(original)(call)


expm = _of_matrix(scipy.linalg.expm, expm_op)
logm = _of_matrix(scipy.linalg.logm, logm_op)
sqrtm = _of_matrix(scipy.linalg.sqrtm, sqrtm_op)
sinm = _of_matrix(scipy.linalg.sinm, sinm_op)
cosm = _of_matrix(scipy.linalg.cosm, cosm_op)


# Matrices of patterns.


@twin(scipy.linalg.toeplitz)
def toeplitz(c: Any, r: Any = None) -> Any:
    """Return the matrix of first column ``c`` and first row ``r`` whose diagonals are constant.

    Twin of :func:`scipy.linalg.toeplitz` that also takes traced values.
    """
    c = np.ravel(_matrix(c))
    r = (np.conjugate(c) if c.dtype.kind == "c" else c) if r is None else np.ravel(_matrix(r))
    rows, columns = np.ogrid[0 : len(c), 0 : len(r)]
    # From the bottom of the column up, then along the row.
    return np.concatenate([c[::-1], r[1:]])[len(c) - 1 - rows + columns]


@twin(scipy.linalg.block_diag)
def block_diag(*arrs: Any) -> Any:
    """Put matrices along a diagonal, zeros elsewhere. Twin of :func:`scipy.linalg.block_diag` that also takes traced values."""
    blocks = [np.atleast_2d(_matrix(a)) for a in arrs]
    width, left, rows = sum(block.shape[-1] for block in blocks), 0, []
    for block in blocks:
        right = width - left - block.shape[-1]
        holes = [np.zeros((block.shape[0], n), block.dtype) for n in (left, right)]
        rows.append(np.concatenate([holes[0], block, holes[1]], axis=-1))
        left += block.shape[-1]
    return np.concatenate(rows, axis=-2)
