"""Products with the damped inverse, by conjugate gradients or MINRES on all right-hand sides at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hessian.arguments import FINITE, NOT_NEGATIVE, check, real_number, whole_number
from hessian.curvature.estimate import Uncertain
from hessian.curvature.nystrom import NystromApproximation, approximation
from hessian.curvature.products import Products
from hessian.errors import ConvergenceError, OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.linalg.systems import METHODS, Solution, solve_columns
from hessian.operators.symmetric import as_symmetric
from hessian.operators.vectors import as_right_hand_side

PRECONDITIONER_RANK = 40
"""Products of a sketch that is asked for by its name."""


@dataclass(frozen=True, eq=False, repr=False)
class InverseProduct(Uncertain):
    """The solution of ``(H + damping I) x = b``.

    Attributes
    ----------
    value : ndarray, shape of b
    residuals : ndarray, shape () or (k,)
        ``|b - (H + damping I) x| / |b|``, from a product with the solution itself.
    n_hvp : int
    method : str
        What found it; MINRES where conjugate gradients met negative curvature.
    success : bool
        Whether the residuals met the tolerance.
    smallest : float
        Known lower bound of the magnitudes of the eigenvalues of H + damping I; 0 where nobody knows.
    lengths : ndarray, shape () or (k,)
        ``|b|``.
    """

    value: np.ndarray
    residuals: np.ndarray
    n_hvp: int
    method: str
    success: bool
    smallest: float = 0.0
    lengths: Any = 1.0

    @property
    def standard_error(self) -> np.ndarray:
        """Bound on the error of every entry, shape of ``value``: the residual over the smallest eigenvalue; ``inf`` where unknown."""
        # The residual is known up to rounding of its own.
        absolute = (np.asarray(self.residuals, np.float64) + float(np.finfo(self.value.dtype).eps)) * self.lengths
        bound = absolute / self.smallest if self.smallest > 0.0 else np.where(absolute > 0.0, np.inf, 0.0)
        return np.broadcast_to(bound, self.value.shape).copy()

    def __repr__(self) -> str:
        worst = float(np.max(self.residuals, initial=0.0))
        state = "" if self.success else ", not converged"
        shape = tuple(self.value.shape)
        largest = float(np.max(self.standard_error, initial=0.0))
        error = "error not bounded" if np.isinf(largest) else f"error at most {largest:.1e}"
        spent = f"{self.method}, {self.n_hvp} products{state}"
        return f"inverse product of shape {shape}: relative residual {worst:.1e}, {error} ({spent})"


def inverse_product(
    H: Any,
    b: Any,
    *,
    damping: float = 0.0,
    method: Literal["auto", "cg", "minres"] = "auto",
    rtol: float | None = None,
    max_hvp: int | None = None,
    lower_bound: float | None = None,
    preconditioner: Any = None,
) -> InverseProduct:
    r"""Solve :math:`(H + \lambda I) x = b` by products, with the error of the solution.

    ``H.solve(b)`` is the solution alone: by the same iteration beyond n = 600, by a factorisation up to there.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    b : array_like, shape (n,) or (n, k)
    damping : float
        :math:`\lambda \ge 0`.
    method : {"auto", "cg", "minres"}
        Conjugate gradients take H + damping I positive definite; ``"auto"`` turns to MINRES where it is not.
    rtol : float, optional
        Residual asked for, relative to b; by default 1e-8, in float32 1e-4.
    max_hvp : int, optional
        Products at most. Then the best solution comes back, converged or not.
    lower_bound : float, optional
        What no eigenvalue of H is known to be below, for the error of the solution: 0 for Fisher matrices and for Gauss-Newton
        matrices of convex losses, the l2 penalty of a convex objective. A matrix up to n = 500 is looked at.
    preconditioner : "nystrom", NystromApproximation, LinearOperator or matrix, optional
        Of conjugate gradients: an approximation of a semidefinite H (:func:`hessian.curvature.nystrom`), made here with 40 products by
        its name, or :math:`P^{-1}`, symmetric positive definite.

    Returns
    -------
    InverseProduct
        ``.value``, ``.residuals``, ``.standard_error``, ``.n_hvp``.

    Raises
    ------
    ShapeMismatchError, NonFiniteError, DtypeError, OptionError
        An argument does not fit, the solution refutes the bound; for ``"cg"``, a direction of negative curvature; for ``"minres"``, a
        preconditioner; one that is not positive definite; ``"nystrom"`` for an H that is seen to be indefinite.
    ConvergenceError
        Without ``max_hvp``: the residual was not reached in 20 n products per column.

    Notes
    -----
    Cost: one product per iteration and column, those of all columns at once in conjugate gradients, and one per column for the
    residuals. With condition number :math:`\kappa`, the error of CG falls by :math:`(\sqrt\kappa - 1) / (\sqrt\kappa + 1)` per
    iteration. :math:`\|x - x_*\| \le \|r\| / \min_i |\lambda_i + \lambda|`.

    References
    ----------
    M. R. Hestenes and E. Stiefel, J. Res. Nat. Bur. Standards 49 (1952). C. C. Paige and M. A. Saunders, SIAM J. Numer. Anal.
    12 (1975). Z. Frangella, J. A. Tropp and M. Udell, SIAM J. Matrix Anal. Appl. 44 (2023).

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import inverse_product
    >>> inverse_product(np.diag([2.0, -4.0]), np.array([2.0, 4.0])).value.round(12).tolist()
    [1.0, -1.0]
    """
    where = "inverse_product"
    products = Products(H, where)
    if lower_bound is not None:
        check(where, "lower_bound", lower_bound, FINITE)
    damping = real_number(where, "damping", damping, NOT_NEGATIVE)
    if method not in METHODS:
        raise OptionError(message(where, f"method is {method!r}", fix=f"Pass one of {', '.join(METHODS)}"))
    rtol = (
        (1e-4 if products.dtype == np.float32 else 1e-8)
        if rtol is None
        else real_number(where, "rtol", rtol, NOT_NEGATIVE)
    )
    rhs = as_right_hand_side(b, products.n, products.dtype, where)
    columns = rhs.reshape(products.n, -1)
    least = 2 * columns.shape[1]
    if max_hvp is not None:
        whole_number(where, "max_hvp", max_hvp, least, "An iteration and a residual take two products per column")
    limit = 20 * products.n * max(1, columns.shape[1]) + least if max_hvp is None else max_hvp
    precondition = _preconditioned(preconditioner, products, damping, method, limit - least)
    found = solve_columns(
        *(products, columns, damping, rtol),
        method=method,
        maxiter=5 * products.n,
        left=lambda: limit - products.count,
        precondition=precondition,
    )
    if method == "cg" and found.negative.any():
        what = "H + damping I has a direction of negative curvature"
        raise OptionError(message(where, what, "Conjugate gradients need it positive", 'Raise damping, or "minres"'))
    _check_bound(lower_bound, damping, found.X, columns - found.residuals, products)
    return _judged(found, rhs, rtol, max_hvp is None, _smallest(products, damping, lower_bound), products)


def _preconditioned(
    choice: Any, products: Products, damping: float, method: str, left: int
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return what applies ``P^-1`` to a residual, and refuses to where it is seen not to be definite."""
    if choice is None:
        return None
    where = products.where
    if method == "minres":
        what = "MINRES is asked for with a preconditioner"
        raise OptionError(message(where, what, "Only conjugate gradients take one here", 'Leave method out, or "cg"'))
    if isinstance(choice, str):
        if choice != "nystrom":
            what, fix = f"preconditioner is {choice!r}", 'Pass "nystrom", an approximation or an operator'
            raise OptionError(message(where, what, fix=fix))
        rank = min(products.n, PRECONDITIONER_RANK, left)
        if rank < 1:
            return None
        choice = approximation(products, rank, rank, np.random.default_rng(0))
    operator = choice.preconditioner(damping) if isinstance(choice, NystromApproximation) else as_symmetric(choice)
    if operator.shape[0] != products.n:
        what, fix = f"the preconditioner has shape {operator.shape}", f"H has order {products.n}"
        raise ShapeMismatchError(message(where, what, fix=fix))

    def apply(residual: np.ndarray) -> np.ndarray:
        image = np.asarray(operator @ residual, residual.dtype)
        if residual.any() and not float(residual @ image) > 0.0:
            what = f"the preconditioner gives r.P^-1 r = {float(residual @ image):.3g}"
            why, fix = "Conjugate gradients need it positive definite", "Pass P^-1 of a symmetric positive definite P"
            raise OptionError(message(where, what, why, fix))
        return image

    return apply


def _judged(
    found: Solution, rhs: np.ndarray, rtol: float, must_converge: bool, smallest: float, products: Products
) -> InverseProduct:
    """Return the solution with what is known of its error."""
    sizes = np.linalg.norm(rhs.reshape(products.n, -1), axis=0)
    residuals = np.linalg.norm(found.residuals, axis=0) / np.where(sizes > 0.0, sizes, 1.0)
    # A residual computed afresh is off by rounding from the one the iteration stopped at.
    converged = bool(np.all(residuals <= 1.1 * rtol))
    if not converged and must_converge:
        what = f"the relative residual is {residuals.max():.2e} after {products.count} products, asked for {rtol:.2e}"
        raise ConvergenceError(message(products.where, what, fix="Pass damping > 0, loosen rtol, or pass max_hvp"))
    negative, shape = found.negative, rhs.shape[1:]
    return InverseProduct(
        found.X.reshape(rhs.shape),
        residuals.reshape(shape),
        products.count,
        "minres" if negative.all() else "cg and minres" if negative.any() else "cg",
        converged,
        smallest,
        sizes.reshape(shape).astype(np.float64),
    )


def _check_bound(bound: float | None, damping: float, X: np.ndarray, image: np.ndarray, products: Products) -> None:
    """Refuse a bound that the quotient of a solution refutes: no eigenvalue is below a bound, and none of the quotients."""
    squares = np.sum(np.square(X, dtype=np.float64), axis=0)
    quotients = np.einsum("nk,nk->k", X, image, dtype=np.float64)[squares > 0.0] / squares[squares > 0.0]
    if bound is None or not len(quotients):
        return
    lowest = float(quotients.min()) - damping
    if lowest < bound - 100.0 * products.eps * (products.magnitude + abs(bound)):
        what = f"lower_bound is {bound:.6g}, and H has an eigenvalue of at most {lowest:.6g}"
        raise OptionError(message(products.where, what, "Errors would rest on it", "Pass a bound that holds, or none"))


def _smallest(products: Products, damping: float, lower_bound: float | None) -> float:
    """What the magnitude of no eigenvalue of ``H + damping I`` is known to be below."""
    if lower_bound is not None:
        return max(0.0, lower_bound + damping)
    if products.matrix is None or products.n > limits.SPECTRUM_ORDER:
        return 0.0
    values = np.abs(products.eigenvalues() + damping)
    return max(0.0, float(values.min()) - products.rounding(float(values.max())))
