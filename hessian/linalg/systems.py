"""Damped symmetric systems by products: conjugate gradients on all right-hand sides in step, MINRES where they do not do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, minres

from hessian.linalg.cg import ConjugateGradients
from hessian.linalg.vectors import norm

Product = Callable[[np.ndarray], np.ndarray]
METHODS = ("auto", "cg", "minres")
_ROUNDS = 4


@dataclass
class Solution:
    """What solves ``(A + damping I) X = B``, column by column.

    Attributes
    ----------
    X, residuals : ndarray, shape (n, k)
        ``B - (A + damping I) X`` by a product with the solution itself.
    negative : ndarray of bool, shape (k,)
        Where conjugate gradients met a direction without positive curvature, or were not asked.
    """

    X: np.ndarray
    residuals: np.ndarray
    negative: np.ndarray


def solve_columns(
    product: Product,
    B: np.ndarray,
    damping: float,
    rtol: float,
    *,
    method: str = "auto",
    maxiter: int,
    left: Callable[[], float] = lambda: math.inf,
    precondition: Product | None = None,
) -> Solution:
    r"""Solve :math:`(A + s I) X = B` to residuals of :math:`r_{tol} \|b\|`, or as far as iterations and products go.

    Parameters
    ----------
    method : {"auto", "cg", "minres"}
        ``"auto"`` takes MINRES for the columns that conjugate gradients have not solved.
    maxiter : int
        Iterations of each of four rounds of MINRES; conjugate gradients have those of all four.
    left : callable
        How many products there may still be; no limit by default.
    precondition : callable, optional
        ``r -> P^-1 r`` of conjugate gradients, P symmetric positive definite.

    References
    ----------
    M. R. Hestenes and E. Stiefel, J. Res. Nat. Bur. Standards 49 (1952). C. C. Paige and M. A. Saunders, SIAM J. Numer. Anal.
    12 (1975).
    """
    k = B.shape[1]
    X, negative = np.zeros_like(B), np.full(k, method == "minres")
    if method != "minres":
        X, negative = _conjugate_gradients(
            product, B, damping, rtol, _ROUNDS * maxiter, lambda: left() - k, precondition
        )
    residuals = B - product(X) - damping * X if k and X.any() else B.copy()
    for j in np.arange(k) if method != "cg" else ():
        if norm(residuals[:, j]) > rtol * norm(B[:, j]):
            X[:, j], residuals[:, j] = _refined(
                product, B[:, j], X[:, j], residuals[:, j], damping, rtol, maxiter, left
            )
    return Solution(X, residuals, negative)


def _conjugate_gradients(
    product: Product,
    B: np.ndarray,
    damping: float,
    rtol: float,
    maxiter: int,
    left: Callable[[], float],
    precondition: Product | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Run CG on every column in step; columns that meet negative curvature stop where they are and are marked."""
    X, negative = np.zeros_like(B), np.zeros(B.shape[1], bool)
    eps, magnitude = float(np.finfo(B.dtype).eps), 0.0
    # In units of the right-hand sides, so that squares fit.
    sizes = [norm(column) for column in B.T]
    every = {k: ConjugateGradients(-B[:, k] / size, precondition=precondition) for k, size in enumerate(sizes) if size}
    # Recurrences drift from the true residual: the last factor of two is theirs.
    goal = 0.25 * rtol**2
    active = [k for k, cg in every.items() if _square(cg, precondition) > goal]
    for _ in range(maxiter):
        if not active or len(active) > left():
            break
        rows = np.stack([every[k].direction for k in active])
        images = np.ascontiguousarray(product(rows.T).T)
        magnitude = max(magnitude, *(norm(image) / norm(row) for image, row in zip(images, rows, strict=True)))
        for k, image in zip(active, images + damping * rows, strict=True):
            cg = every[k]
            cg.absorb(image)
            # Within rounding of zero, the direction has no curvature to divide by.
            negative[k] = cg.curvature <= eps * magnitude * float(cg.direction @ cg.direction)
            if not negative[k]:
                cg.advance()
                cg.turn()
        active = [k for k in active if not negative[k] and _square(every[k], precondition) > goal]
    for k, cg in every.items():
        X[:, k] = sizes[k] * cg.iterate
    return X, negative


def _square(cg: ConjugateGradients, precondition: Product | None) -> float:
    """Squared length of the residual, which the recurrence has where nothing is preconditioned."""
    return cg.slope if precondition is None else float(cg.residual @ cg.residual)


def _refined(
    product: Product,
    b: np.ndarray,
    x: np.ndarray,
    residual: np.ndarray,
    damping: float,
    rtol: float,
    maxiter: int,
    left: Callable[[], float],
) -> tuple[np.ndarray, np.ndarray]:
    r"""Solve one column from where x is, with a given residual; return x and its residual.

    MINRES stops relative to :math:`\|A\| \|x\|`; up to four rounds on the true residual take it the rest of the way.
    """
    n = len(b)
    operator = LinearOperator((n, n), matvec=lambda v: product(np.asarray(v, b.dtype).reshape(-1)), dtype=b.dtype)
    goal = rtol * norm(b)
    for _ in range(_ROUNDS):
        # A true residual takes a product.
        steps = int(min(left() - 1, maxiter))
        if steps < 1 or norm(residual) <= goal:
            break
        x = x + minres(operator, residual, shift=-damping, rtol=0.1 * rtol, maxiter=steps)[0].astype(b.dtype)
        residual = b - product(x) - damping * x
    return x, residual
