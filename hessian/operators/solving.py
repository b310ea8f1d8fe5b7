"""Systems and eigenpairs of symmetric operators: what needs nothing but products and a dense form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from hessian.arguments import NOT_NEGATIVE, POSITIVE, Wanted, check, is_whole
from hessian.errors import ConvergenceError, OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.linalg.dense import eigenpairs, solve
from hessian.linalg.systems import solve_columns
from hessian.linalg.vectors import norm
from hessian.operators.vectors import as_reals, as_right_hand_side
from hessian.signatures import Multiplies, Which
from hessian.tape.origins import Origin
from hessian.transforms.locate import not_finite

_WHICH = ("LA", "SA", "LM", "SM", "BE")


class SolvingOperator(LinearOperator):
    """A symmetric operator that solves systems and finds eigenpairs."""

    if TYPE_CHECKING:
        # SciPy's stubs have the arguments of its own operators here.
        def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...

        shape: tuple[int, int]
        dtype: np.dtype[Any]

        def matvec(self, x: ArrayLike) -> NDArray[Any]: ...
        def matmat(self, X: ArrayLike) -> NDArray[Any]: ...
        @overload
        def __matmul__(self, other: Multiplies) -> LinearOperator: ...
        @overload
        def __matmul__(self, other: ArrayLike) -> NDArray[Any]: ...
        def __matmul__(self, other: Any) -> Any: ...

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n)."""
        raise NotImplementedError

    def solve(self, b: Any, *, damping: float = 0.0, rtol: float = 1e-8, maxiter: int | None = None) -> np.ndarray:
        r"""Solve :math:`(A + \lambda I) z = b`.

        Parameters
        ----------
        b : array_like, shape (n,) or (n, k)
        damping : float
            :math:`\lambda \ge 0`.
        rtol : float
            Residual asked of the iterative solver, relative to b (n > 600).
        maxiter : int or None
            Iterations of each of up to four rounds of MINRES, and a quarter of those of conjugate gradients; ``None`` means 5 n.

        Returns
        -------
        ndarray, shape of b

        Raises
        ------
        ShapeMismatchError, OptionError, NonFiniteError
            b does not fit, b or the matrix is not finite, or the damping is negative.
        DtypeError
            b is complex, or masked.
        ConvergenceError
            The matrix is singular to working precision, or the iteration did not reach ``rtol``.

        Notes
        -----
        Cost: n products and a symmetric indefinite factorisation (LAPACK sysv) up to n = 600; beyond, the iteration of
        :func:`hessian.curvature.inverse_product`, which gives the residual and a bound on the error with the solution: conjugate
        gradients on all columns at once, and MINRES for those where the curvature is not positive.

        References
        ----------
        C. C. Paige & M. A. Saunders, "Solution of sparse indefinite systems of linear equations", SIAM J. Numer. Anal. 12
        (1975).
        """
        rhs = as_right_hand_side(b, self.shape[0], self.dtype, "solve")
        check("solve", "damping", damping, NOT_NEGATIVE)
        check("solve", "rtol", rtol, POSITIVE)
        if self.shape[0] <= limits.SOLVE_ORDER:
            return self._solve_dense(rhs, damping)
        return self._solve_by_products(rhs.reshape(len(rhs), -1), damping, rtol, maxiter).reshape(rhs.shape)

    def _solve_dense(self, rhs: np.ndarray, damping: float) -> np.ndarray:
        matrix = self._finite(self.to_dense(), "solve")
        matrix[np.diag_indices_from(matrix)] += damping
        try:
            return np.asarray(solve(matrix, rhs))
        except (np.linalg.LinAlgError, scipy.linalg.LinAlgWarning) as error:
            fix = "Pass damping > 0"
            raise ConvergenceError(message("solve", "the matrix is singular to working precision", fix=fix)) from error

    def origin_of_nonfinite(self) -> Origin | None:
        """Return where the numbers of the operator, or of those it is made of, stop being finite, if that can be told."""
        parts = [getattr(self, "operator", None), getattr(self, "_jacobian", None), *getattr(self, "terms", ())]
        origins = (part.origin_of_nonfinite() for part in parts if hasattr(part, "origin_of_nonfinite"))
        return next((origin for origin in origins if origin is not None), None)

    def _finite(self, numbers: np.ndarray, where: str) -> np.ndarray:
        """Refuse numbers of the operator that are not finite."""
        if not np.isfinite(numbers).all():
            what, why = f"{type(self).__name__} holds NaN or inf", "Every number from it would be wrong"
            raise not_finite(where, what, why, "Look at the point of differentiation", self.origin_of_nonfinite())
        return numbers

    def _solve_by_products(self, B: np.ndarray, damping: float, rtol: float, maxiter: int | None) -> np.ndarray:
        n = len(B)

        def product(V: np.ndarray) -> np.ndarray:
            return np.asarray(self @ (V[:, 0] if V.shape == (n, 1) else V)).reshape(V.shape)

        found = solve_columns(product, B, damping, rtol, maxiter=5 * n if maxiter is None else maxiter)
        for residual, b in zip(found.residuals.T, B.T, strict=True):
            self._finite(residual, "solve")
            if norm(residual) > rtol * norm(b):
                what = f"MINRES stopped at a residual of {norm(residual):.2e}, asked for {rtol * norm(b):.2e}"
                raise ConvergenceError(message("solve", what, fix="Raise maxiter, loosen rtol, or pass damping > 0"))
        return found.X

    def eigsh(
        self,
        k: int | None = None,
        *,
        which: Which = "LA",
        tol: float = 0.0,
        maxiter: int | None = None,
        ncv: int | None = None,
        v0: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute ``k`` eigenvalues and eigenvectors: :func:`scipy.sparse.linalg.eigsh` on this operator.

        Parameters
        ----------
        k : int, optional
            How many; by default 6, or all of fewer.
        which : str
            ``"LA"`` largest, ``"SA"`` smallest, ``"LM"`` and ``"SM"`` largest and smallest in magnitude, ``"BE"`` both ends.
        tol, maxiter, ncv, v0
            As SciPy's; read by the iteration only (tiny operators are diagonalised dense). The starting vector is seeded
            unless given.

        Returns
        -------
        values : ndarray, shape (k,), ascending
        vectors : ndarray, shape (n, k)

        Raises
        ------
        OptionError, ShapeMismatchError
            k is not in 1..n, ``which`` is unknown, or v0 has another length.
        NonFiniteError
            The operator holds NaN or inf.

        Notes
        -----
        Cost: n products in blocks up to n = 2 k + 20, else one product per Lanczos step (ARPACK). For bounds on the errors, or within a
        number of products, call :func:`hessian.curvature.eigenvalues`.
        """
        n = self.shape[0]
        if which not in _WHICH:
            raise OptionError(message("eigsh", f"which is {which!r}", fix=f"Pass one of {', '.join(_WHICH)}"))
        k = min(6, n) if k is None else k
        check("eigsh", "k", k, Wanted(f"1 to the order of the operator, {n}", lambda v: is_whole(v) and 0 < v <= n))
        # ARPACK needs k < n; tiny operators are cheaper dense anyway.
        if n <= 2 * k + 20:
            return eigenpairs(self._finite(self.to_dense(), "eigsh"), k, which)
        start = np.random.default_rng(0).standard_normal(n) if v0 is None else v0
        start = as_reals(start, self.dtype, "eigsh", "v0")
        if start.shape != (n,):
            raise ShapeMismatchError(
                message("eigsh", f"v0 has shape {start.shape}", fix=f"Pass a vector of {n} numbers")
            )
        try:
            values, vectors = eigsh(self, k=k, which=which, tol=tol, maxiter=maxiter, ncv=ncv, v0=start)
        except ArpackError:
            # The likeliest reasons have names of their own.
            if v0 is not None or self._finite(np.asarray(self @ start), "eigsh").any():
                raise
            return np.zeros(k, self.dtype), np.eye(n, k, dtype=self.dtype)
        order = np.argsort(values)
        return values[order], vectors[:, order]
