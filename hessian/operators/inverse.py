"""The inverse of a symmetric operator, as an operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.arguments import NOT_NEGATIVE, POSITIVE, check
from hessian.operators.symmetric import SymmetricOperator, as_symmetric


class InverseOperator(SymmetricOperator):
    r"""The operator :math:`(A + \lambda I)^{-1}`, whose products are solutions of systems.

    Parameters
    ----------
    operator : LinearOperator or matrix
        A, symmetric. Systems are solved by its method ``solve``: by eigenvectors of a :class:`hessian.KFACOperator` and of a Nystrom
        approximation, by a factorisation up to n = 600, by conjugate gradients, and MINRES where the curvature is not positive, beyond.
    damping : float
        :math:`\lambda \ge 0`.
    rtol : float
        Residual of a product, relative to the vector, where the solution is iterated.
    maxiter : int, optional
        Of the iteration, as for ``solve``.

    Raises
    ------
    OptionError
        An argument is out of range.
    ConvergenceError
        Of a product: the matrix is singular to working precision, or the residual was not reached.

    Notes
    -----
    Cost of a product: a system. Iterated ones differ from the inverse by up to ``rtol``, and so are not quite linear or symmetric:
    Lanczos and eigensolvers see no more digits than that.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> from hessian.operators import InverseOperator
    >>> H = hs.HessianOperator(lambda x: np.sum(x**4), np.array([1.0, 2.0]))
    >>> (InverseOperator(H) @ np.array([12.0, 48.0])).tolist()
    [1.0, 1.0]
    >>> InverseOperator(H, damping=2.0)
    <InverseOperator of order 2, damping 2: of <HessianOperator of order 2, dtype float64, f(x) = 17>>
    """

    def __init__(self, operator: Any, damping: float = 0.0, *, rtol: float = 1e-8, maxiter: int | None = None) -> None:
        check("InverseOperator", "damping", damping, NOT_NEGATIVE)
        check("InverseOperator", "rtol", rtol, POSITIVE)
        self.operator = as_symmetric(operator)
        self.damping = float(damping)
        self._options = {"rtol": rtol, "maxiter": maxiter}
        super().__init__(self.operator.shape[0], self.operator.dtype)

    def __repr__(self) -> str:
        shift = f", damping {self.damping:g}" if self.damping else ""
        return f"<InverseOperator of order {self.shape[0]}{shift}: of {self.operator!r}>"

    def _apply(self, V: np.ndarray) -> np.ndarray:
        return np.asarray(self.operator.solve(V, damping=self.damping, **self._options), self.dtype)
