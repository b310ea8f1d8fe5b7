"""Leverage and influence of single examples at an optimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from hessian.curvature.estimate import Uncertain
from hessian.curvature.inverse import inverse_product
from hessian.curvature.products import Products
from hessian.errors import ShapeMismatchError, message
from hessian.operators.vectors import as_reals, refuse_mask
from hessian.tape.origins import Origin
from hessian.transforms.locate import not_finite


@dataclass(frozen=True, eq=False, repr=False)
class ExampleScores(Uncertain):
    """One number per example.

    Attributes
    ----------
    name : str
    value : ndarray, shape (m,) or (m, t)
    residuals : ndarray
        Relative residuals of the linear systems behind them.
    n_hvp : int
    standard_error : ndarray, shape of ``value``
        Bounds on the errors, ``|g_i| |r| / smallest`` for the absolute residual r; ``inf`` where no eigenvalue bounds them, or the
        gradients were never formed.
    """

    name: str
    value: np.ndarray
    residuals: np.ndarray
    n_hvp: int
    standard_error: np.ndarray

    def largest(self, k: int = 5) -> np.ndarray:
        """Return the positions of the k largest magnitudes, largest first."""
        scores = np.abs(self.value) if self.value.ndim == 1 else np.linalg.norm(self.value, axis=1)
        return np.argsort(-scores, kind="stable")[:k]

    def __repr__(self) -> str:
        top = ", ".join(map(str, self.largest().tolist()))
        worst = float(np.max(self.residuals, initial=0.0))
        return (
            f"{self.name} of {len(self.value)} examples, largest at {top} "
            f"(residuals up to {worst:.1e}, {self._doubt()}, {self.n_hvp} products)"
        )

    def _doubt(self) -> str:
        """Say how far off they are at most."""
        largest = float(np.max(self.standard_error, initial=0.0))
        return "errors not bounded" if np.isinf(largest) else f"errors up to {largest:.1e}"


def leverage(
    H: Any,
    gradients: Any,
    *,
    damping: float = 0.0,
    rtol: float | None = None,
    max_hvp: int | None = None,
    lower_bound: float | None = None,
) -> ExampleScores:
    r"""Compute the leverages :math:`h_i = g_i^T (H + \lambda I)^{-1} g_i`.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric: the Hessian or Gauss-Newton matrix of the summed objective.
    gradients : array_like, shape (m, n), or LinearOperator
        A row per example: of the Jacobian of predictions (least squares) or of losses. A ``JacobianOperator`` is multiplied with
        unit vectors.
    damping, rtol, max_hvp, lower_bound
        As for :func:`hessian.curvature.inverse_product`.

    Returns
    -------
    ExampleScores

    Raises
    ------
    ShapeMismatchError, NonFiniteError
        The rows do not fit, or are not finite.
    ConvergenceError
        A system was not solved.

    Notes
    -----
    For least squares :math:`\frac12 \|X w - y\|^2` with :math:`H = X^T X` they are the diagonal of the hat matrix, between 0
    and 1, with sum n. Cost: m linear systems at once.

    References
    ----------
    R. D. Cook and S. Weisberg, Residuals and Influence in Regression (1982), section 2.1. B.-C. Wei, Y.-Q. Hu and W.-K. Fung,
    "Generalized leverage and its applications", Scand. J. Statist. 25 (1998).

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.statistics import leverage
    >>> X = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 5.0]])
    >>> leverage(X.T @ X, X).value.round(6).tolist()
    [0.619048, 0.404762, 0.97619]
    """
    rows = _rows(gradients, Products(H, "leverage").n, "leverage")
    solved = inverse_product(H, rows.T, damping=damping, rtol=rtol, max_hvp=max_hvp, lower_bound=lower_bound)
    value = np.einsum("mn,nm->m", rows, solved.value)
    errors = solved.standard_error.max(axis=0, initial=0.0) * np.linalg.norm(rows, axis=1)
    return ExampleScores("leverage", value, solved.residuals, solved.n_hvp, errors)


def influence(
    H: Any,
    gradients: Any,
    target: Any,
    *,
    damping: float = 0.0,
    rtol: float | None = None,
    max_hvp: int | None = None,
    lower_bound: float | None = None,
) -> ExampleScores:
    r"""Compute influences :math:`-g_i^T (H + \lambda I)^{-1} t` on a quantity with gradient t.

    The derivative, at the optimum, of the quantity in the weight of example i's loss in the objective. Leaving the example out
    of a sum of losses changes the quantity by about minus that; out of a mean over N, by minus that over N.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric: the Hessian of the objective.
    gradients : array_like, shape (m, n), or LinearOperator
        A row per example: the gradient of its loss. With a ``JacobianOperator`` of losses the rows are never formed.
    target : array_like, shape (n,) or (n, t)
        Gradient of one quantity, or of several: a test loss, a prediction, a parameter (a unit vector).
    damping, rtol, max_hvp, lower_bound
        As for :func:`hessian.curvature.inverse_product`.

    Returns
    -------
    ExampleScores
        ``.value`` of shape (m,) or (m, t).

    Raises
    ------
    ShapeMismatchError, NonFiniteError
        Something does not fit, or is not finite.
    ConvergenceError
        A system was not solved.

    Notes
    -----
    Cost: t linear systems and t products with the gradients, for any number of examples.

    References
    ----------
    P. W. Koh and P. Liang, "Understanding black-box predictions via influence functions", ICML (2017), equation 2. F. R. Hampel,
    "The influence curve and its role in robust estimation", JASA 69 (1974).

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.statistics import influence
    >>> y = np.array([1.0, 2.0, 6.0])                  # the mean of y minimises sum 0.5 (w - y_i)^2
    >>> influence(np.array([[3.0]]), (3.0 - y)[:, None], np.ones(1)).value.round(6).tolist()
    [-0.666667, -0.333333, 1.0]
    """
    where = "influence"
    n = Products(H, where).n
    rows = None if isinstance(gradients, LinearOperator) else _rows(gradients, n, where)
    operator = gradients if rows is None else aslinearoperator(rows)
    if operator.shape[1] != n:
        what = f"gradients have shape {operator.shape}, the operator has order {n}"
        raise ShapeMismatchError(message(where, what, fix=f"Pass rows of length {n}"))
    solved = inverse_product(H, target, damping=damping, rtol=rtol, max_hvp=max_hvp, lower_bound=lower_bound)
    value = -np.asarray(operator @ solved.value)
    if not np.isfinite(value).all():
        raise not_finite(where, "the gradients hold NaN or inf", "", "", _origin(gradients))
    each = solved.standard_error.max(axis=0, initial=0.0)
    lengths = np.full(operator.shape[0], np.inf) if rows is None else np.linalg.norm(rows, axis=1)
    with np.errstate(invalid="ignore"):
        errors = np.nan_to_num(np.multiply.outer(lengths, each), nan=0.0, posinf=np.inf)
    return ExampleScores("influence", value, solved.residuals, solved.n_hvp, errors)


def _rows(gradients: Any, n: int, where: str) -> np.ndarray:
    if isinstance(gradients, LinearOperator):
        dense = getattr(gradients, "to_dense", None)
        rows = dense() if dense else (gradients.T @ np.eye(gradients.shape[0], dtype=gradients.dtype)).T
    else:
        rows = np.asarray(refuse_mask(gradients, where, "gradients"))
        rows = as_reals(rows, rows.dtype if rows.dtype.kind == "f" else np.dtype(np.float64), where, "gradients")
    if rows.ndim != 2 or rows.shape[1] != n:
        what = f"gradients have shape {rows.shape}, the operator has order {n}"
        raise ShapeMismatchError(message(where, what, fix=f"Pass one row of length {n} per example"))
    if not np.isfinite(rows).all():
        raise not_finite(where, "the gradients hold NaN or inf", "", "", _origin(gradients))
    return rows


def _origin(gradients: Any) -> Origin | None:
    """Return where the gradients stop being finite, where they are an operator that can tell."""
    return gradients.origin_of_nonfinite() if hasattr(gradients, "origin_of_nonfinite") else None
