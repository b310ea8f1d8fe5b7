"""scipy.sparse.linalg: solving with a sparse matrix of plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from hessian.errors import OptionError, message
from hessian.rules.pairs import joined
from hessian.rules.sparse_solve import SparseFactor, spsolve_op
from hessian.rules.traced import entered
from hessian.scipy.mirror import mirrored, twin

__all__ = ["factorized", "spsolve"]
__getattr__, __dir__ = mirrored(__name__)


def _solved(factor: Any, b: Any) -> Any:
    b = entered(b)
    if factor.matrix.dtype.kind == "c":
        x = _solved(factor.in_parts, np.concatenate([b.real, b.imag], axis=-1 if b.ndim == 1 else -2))
        n = factor.matrix.shape[0]
        return joined(x[:n], x[n:])
    if b.ndim == 1:
        return spsolve_op(b, factor=factor, turned=False)
    return np.swapaxes(spsolve_op(np.swapaxes(b, -1, -2), factor=factor, turned=False), -1, -2)


@twin(scipy.sparse.linalg.spsolve)
def spsolve(A: Any, b: Any, permc_spec: Any = None, use_umfpack: bool = True) -> Any:
    """Solve A x = b for a sparse matrix of plain numbers: one factor for the solution and all its derivatives.

    Twin of :func:`scipy.sparse.linalg.spsolve` that also takes a traced right-hand side.
    """
    if not scipy.sparse.issparse(A):
        what = "the matrix is traced or dense"
        raise OptionError(
            message("spsolve", what, "sparse matrices hold plain numbers", "Use hessian.scipy.linalg.solve")
        )
    return _solved(SparseFactor(A, permc_spec), b)


def factorized(A: Any) -> Any:
    """Return a function that solves with a sparse matrix, of plain or traced right-hand sides.

    Twin of :func:`scipy.sparse.linalg.factorized`.
    """
    plain = scipy.sparse.linalg.factorized(A)
    factor = SparseFactor(A)

    @twin(plain)
    def solve(b: Any) -> Any:
        return _solved(factor, b)

    return solve
