"""Information matrices: inverted whatever the units of the parameters, or refused with the combination they leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import ConvergenceError, ShapeMismatchError, message
from hessian.linalg.dense import eigh, symmetrized
from hessian.linalg.vectors import norm
from hessian.optimize.optimality import Definiteness, judge
from hessian.optimize.regression import scaled_svd
from hessian.statistics.spread import DenseSpread, Spread
from hessian.text import Shown
from hessian.transforms.locate import not_finite

WEAK = 1e-2
"""Eigenvalues below this, of an information matrix whose diagonal is scaled to 1, make a weak direction: the standard error
along it is at least ten times what it would be if the other parameters were known."""
AWAY = 0.1
"""Standard errors that x may be away from the optimum of the quadratic model there."""
_MOST_TERMS = 4
_SHARE = 0.98


@dataclass(frozen=True, repr=False)
class WeakDirection(Shown):
    """A combination of parameters that is poorly determined.

    Attributes
    ----------
    eigenvalue : float
        Of the information matrix with its diagonal scaled to 1: the information along the combination relative to what the
        parameters would have one by one. 1 where they do not trade off, 0 where nothing is known.
    vector : ndarray, shape (n,)
        The unit eigenvector: weights of the parameters, each in units of its own standard error with the others known.
    text : str
        The largest weights by the names of their parameters.
    """

    eigenvalue: float
    vector: np.ndarray
    text: str

    def __repr__(self) -> str:
        return f"<WeakDirection {self.text}: eigenvalue {self.eigenvalue:.2g}>"


class Information:
    r"""A positive definite information matrix :math:`I = D C D`, its diagonal scaled to 1 in C, by the eigenpairs of C.

    Parameters
    ----------
    scale : ndarray, shape (n,)
        D.
    values, vectors : ndarray, shape (n,), (n, n)
        Eigenvalues of C, ascending, and eigenvectors.
    names : sequence of str
        Of the parameters.
    """

    def __init__(self, scale: np.ndarray, values: np.ndarray, vectors: np.ndarray, names: Sequence[str]) -> None:
        self._scale, self._values, self._vectors, self._names = scale, values, vectors, names

    @classmethod
    def of_matrix(
        cls, matrix: np.ndarray, names: Sequence[str], *, where: str, what: str = "Hessian", source: Any = None
    ) -> Information:
        """Decompose a symmetric matrix, that of the operator ``source``.

        Raises
        ------
        NonFiniteError
            The matrix holds NaN or infinity.
        ShapeMismatchError
            It has order 0.
        ConvergenceError
            It is singular to its precision or has a negative eigenvalue; the message names the eigenvector.
        """
        precision = matrix.dtype
        if not np.all(np.isfinite(matrix)):
            why = "Uncertainty is the inverse of finite curvature"
            what, origin = f"the {what} at x holds NaN or infinity", source and source.origin_of_nonfinite()
            raise not_finite(where, what, why, "Move x into the domain", origin)
        symmetric = symmetrized(matrix)
        if not len(symmetric):
            raise ShapeMismatchError(
                message(where, "x holds no numbers", "It has no curvature", "Pass at least one parameter")
            )
        diagonal = np.diag(symmetric)
        rows = np.abs(symmetric).max(axis=1)
        scale = np.sqrt(np.where(diagonal > 0.0, diagonal, np.where(rows > 0.0, rows, 1.0)))
        values, vectors = eigh(symmetric / scale / scale[:, None])
        largest = float(np.max(np.abs(values)))
        definiteness = judge(float(values[0]), largest, precision, True)
        if definiteness is not Definiteness.POSITIVE:
            raise indefinite(definiteness, float(values[0]), vectors[:, 0], names, where, what)
        return cls(scale, values, vectors, names)

    @classmethod
    def of_root(
        cls, root: np.ndarray, names: Sequence[str], *, where: str, what: str, source: Any = None
    ) -> Information:
        """Decompose ``root^T root`` without forming it, which keeps twice the digits.

        Raises
        ------
        NonFiniteError, ConvergenceError
            As for a matrix.
        """
        if not np.all(np.isfinite(root)):
            what, origin = f"the {what} at x holds NaN or infinity", source and source.origin_of_nonfinite()
            raise not_finite(where, what, "", "Move x into the domain", origin)
        scale, singular, right, rank = scaled_svd(root.astype(np.float64), float(np.finfo(root.dtype).eps))
        if rank < len(scale):
            raise indefinite(Definiteness.ZERO, float(singular[-1]) ** 2, right[-1], names, where, what)
        return cls(scale, singular[::-1] ** 2, right[::-1].T, names)

    @property
    def inverse_root(self) -> np.ndarray:
        """A matrix R with ``R R^T`` the inverse, shape (n, n)."""
        return self._vectors / np.sqrt(self._values) / self._scale[:, None]

    @property
    def log_determinant(self) -> float:
        """Logarithm of the determinant."""
        return float(np.sum(np.log(self._values)) + 2.0 * np.sum(np.log(self._scale)))

    @property
    def weak_directions(self) -> tuple[WeakDirection, ...]:
        """Eigenvectors with eigenvalues below 0.01, the weakest first."""
        count = int(np.searchsorted(self._values, WEAK))
        return tuple(
            WeakDirection(float(value), vector, describe_combination(vector, self._names))
            for value, vector in zip(self._values[:count], self._vectors.T[:count], strict=True)
        )

    def spread(self, free: np.ndarray, order: int) -> Spread:
        """Return the inverse, as the covariance of those that are free among all: rows of zeros are those of what is known."""
        root = np.zeros((order, len(self._scale)))
        root[free] = self.inverse_root
        return DenseSpread(root)

    def length(self, gradient: np.ndarray) -> float:
        """Length of a gradient in the inverse, ``sqrt(g^T I^-1 g)``."""
        return norm(gradient.astype(np.float64) @ self.inverse_root)

    def check_optimum(self, gradient: np.ndarray, where: str, unit: str, optimum: str, why: str, fix: str) -> None:
        """Refuse a point whose Newton step is longer than a tenth of a standard error, ``sqrt(g^T I^-1 g)`` of them.

        Raises
        ------
        ConvergenceError
        """
        away = self.length(gradient)
        if not away <= AWAY:
            what = f"x is {away:.2g} standard {unit} from the {optimum} of the quadratic model there"
            raise ConvergenceError(message(where, what, why, fix))


def describe_combination(vector: np.ndarray, names: Sequence[str]) -> str:
    """Write a unit vector by its largest weights, the first of them positive; ``...`` stands for the rest.

    Examples
    --------
    >>> describe_combination(np.array([-0.7, 0.0, 0.714]), ["a", "b", "c"])
    '0.71 c - 0.70 a'
    """
    sizes = np.abs(vector)
    # Equal weights differ by rounding only: then the order is that of the parameters.
    order = np.argsort(-np.round(sizes / sizes.max(), 2), kind="stable")
    shares = np.cumsum(vector[order] ** 2) / float(vector @ vector)
    count = min(int(np.searchsorted(shares, _SHARE)) + 1, _MOST_TERMS)
    sign = np.sign(vector[order[0]])
    text = ""
    for j in order[:count]:
        weight = sign * vector[j]
        joint = (" + " if weight > 0 else " - ") if text else ""
        text += f"{joint}{abs(weight):.2f} {names[j]}"
    return text if shares[count - 1] >= _SHARE else f"{text} + ..."


def indefinite(
    definiteness: Definiteness, value: float, vector: np.ndarray, names: Sequence[str], where: str, what: str
) -> ConvergenceError:
    """Build the error for a matrix that has no inverse or is no information, naming the eigenvector."""
    combination = describe_combination(vector, names)
    scaled = f"eigenvalue {value:.2g}, the diagonal scaled to 1"
    if definiteness is Definiteness.NEGATIVE:
        text = f"the {what} at x is not positive definite: negative curvature along {combination} ({scaled})"
        why = "x is no minimum, or f is no negative log-likelihood (a log-likelihood has the other sign)"
        return ConvergenceError(message(where, text, why, "Minimise again from x, or check the sign of f"))
    text = f"the {what} at x is singular to working precision along {combination} ({scaled})"
    why = "Nothing determines that combination, so its variance is infinite"
    return ConvergenceError(message(where, text, why, "Fix one of these parameters, add data, or add a penalty"))
