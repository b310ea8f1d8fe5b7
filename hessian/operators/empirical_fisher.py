"""The empirical Fisher matrix: second moments of the gradients of single examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.operators.symmetric import SymmetricOperator


class EmpiricalFisherOperator(SymmetricOperator):
    r"""The matrix :math:`E = c \sum_i g_i g_i^T` of gradients :math:`g_i = \nabla \ell_i(x)` at the observed targets.

    It is not the Fisher matrix, whose targets are drawn from the model (:class:`FisherOperator`), and not the
    Gauss-Newton matrix; it agrees with them only near a fit that explains its data.

    Parameters
    ----------
    losses : callable
        ``losses(x, *args)`` returns the loss of every example, shape (N,), not their mean.
    x, args, record
        As for :class:`hessian.HessianOperator`.
    reduction : {"mean", "sum"}
        c is 1/N for the mean, 1 for the sum.

    Attributes
    ----------
    losses : ndarray, shape (N,)
    gradient : ndarray, shape (n,)
        Of the reduced loss.

    Raises
    ------
    ShapeMismatchError
        The losses are not a vector.
    OptionError
        The reduction is unknown.

    Notes
    -----
    Cost: losses recorded once; a product is a forward and a reverse sweep, :math:`c J^T (J v)` with the Jacobian J of the losses.

    References
    ----------
    F. Kunstner, L. Balles and P. Hennig, "Limitations of the empirical Fisher approximation for natural gradient descent",
    NeurIPS (2019).

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> from hessian.operators.empirical_fisher import EmpiricalFisherOperator
    >>> X, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, -1.0])
    >>> E = EmpiricalFisherOperator(lambda w: 0.5 * (X @ w - y) ** 2, np.zeros(2))
    >>> np.array_equal(E.to_dense(), X.T @ np.diag(y**2) @ X / 2)
    True
    """

    def __init__(
        self,
        losses: Callable[..., Any],
        x: Any,
        *args: Any,
        reduction: Literal["mean", "sum"] = "mean",
        record: bool = True,
    ) -> None:
        where = "EmpiricalFisherOperator"
        if reduction not in ("mean", "sum"):
            raise OptionError(message(where, f"reduction is {reduction!r}", fix='Pass "mean" or "sum"'))
        self._jacobian = JacobianOperator(losses, x, *args, record=record)
        self.primal = self._jacobian.primal
        self.losses = np.asarray(self._jacobian.value)
        if self.losses.ndim != 1 or not self.losses.size:
            what = f"the losses have shape {self.losses.shape}"
            raise ShapeMismatchError(
                message(where, what, "It needs the gradient of every example", "Return shape (N,)")
            )
        self._factor = 1.0 / self.losses.size if reduction == "mean" else 1.0
        super().__init__(self._jacobian.shape[1], self._jacobian.dtype)

    def __repr__(self) -> str:
        return f"<EmpiricalFisherOperator of order {self.shape[0]}, {self.losses.size} examples>"

    @property
    def gradient(self) -> np.ndarray:
        """The gradient of the reduced loss, raveled, shape (n,)."""
        return self._factor * (self._jacobian.T @ np.ones(self.losses.size, self.dtype))

    def _apply(self, V: np.ndarray) -> np.ndarray:
        return np.asarray(self._factor * (self._jacobian.T @ (self._jacobian @ V)), self.dtype)

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n), from min(N, n) sweeps."""
        J = self._jacobian.to_dense()
        return np.asarray(self._factor * (J.T @ J), self.dtype)

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,), from min(N, n) sweeps."""
        J = self._jacobian.to_dense()
        return np.asarray(self._factor * np.einsum("ij,ij->j", J, J), self.dtype)
