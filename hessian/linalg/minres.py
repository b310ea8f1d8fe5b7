"""MINRES with refinement on true residuals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import LinearOperator, minres

_REFINEMENTS = 4


def refined_minres(
    product: Callable[[np.ndarray], np.ndarray],
    b: np.ndarray,
    x: np.ndarray,
    shift: float,
    rtol: float,
    allowed: Callable[[], int],
) -> tuple[np.ndarray, float]:
    r"""Solve :math:`(A + s I) x = b` from where x is; return x and the norm of its residual.

    MINRES stops relative to :math:`\|A\| \|x\|`; up to four rounds on the true residual take it the rest of the way to
    :math:`r_{tol} \|b\|`. ``allowed`` is asked before each how many iterations it may take.

    C. C. Paige & M. A. Saunders, "Solution of sparse indefinite systems of linear equations", SIAM J. Numer. Anal. 12 (1975).
    """
    n = len(b)
    operator = LinearOperator((n, n), matvec=lambda v: product(np.asarray(v, b.dtype).reshape(-1)), dtype=b.dtype)
    goal = rtol * float(np.linalg.norm(b))
    residual = b if not x.any() else b - product(x) - shift * x
    for _ in range(_REFINEMENTS):
        steps = allowed()
        if steps < 1 or float(np.linalg.norm(residual)) <= goal:
            break
        x = x + minres(operator, residual, shift=-shift, rtol=0.1 * rtol, maxiter=steps)[0].astype(b.dtype)
        residual = b - product(x) - shift * x
    return x, float(np.linalg.norm(residual))
