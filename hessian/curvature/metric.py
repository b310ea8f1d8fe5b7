"""Positive definite matrices that measure vectors: a root of the inverse, by which a pencil becomes one matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse

from hessian.curvature.matrix_function import matrix_function
from hessian.curvature.products import Products
from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.linalg.factoring import with_diagonal
from hessian.linalg.superlu import SuperLUPlan
from hessian.linalg.vectors import norm
from hessian.operators.vectors import as_reals

Map = Callable[[np.ndarray], np.ndarray]
_STEPS = 20


class Metric:
    r"""M, with a root R of its inverse, :math:`R R^T = M^{-1}`; all maps take vectors and columns.

    Attributes
    ----------
    matrix : array, sparse array or None
        M, where it is one.
    """

    def __init__(self, n: int, matrix: Any = None) -> None:
        self.n, self.matrix = n, matrix

    def product(self, v: np.ndarray) -> np.ndarray:
        """Return M v."""
        return np.asarray(self.matrix @ v)

    def sizes(self, V: np.ndarray) -> np.ndarray:
        """Return lengths of sums of magnitudes in ``M V``, column by column: what rounding is relative to."""
        return np.asarray(np.linalg.norm(abs(self.matrix) @ np.abs(V), axis=0))

    def root(self, v: np.ndarray) -> np.ndarray:
        """Return R v."""
        raise NotImplementedError

    def adjoint(self, v: np.ndarray) -> np.ndarray:
        """Return R'v, whose length is that of v in the norm of the inverse of M."""
        raise NotImplementedError

    def unroot(self, v: np.ndarray) -> np.ndarray:
        """Return the inverse of R times v."""
        raise NotImplementedError

    def unadjoint(self, v: np.ndarray) -> np.ndarray:
        """Return the inverse of R' times v."""
        raise NotImplementedError

    def root_norm(self) -> float:
        """Return twice what a power iteration sees of the norm of R: for what rounding does, not for bounds of anything else."""
        y = np.random.default_rng(0).standard_normal(self.n)
        size = 0.0
        for _ in range(_STEPS):
            y = y / norm(y)
            y = self.adjoint(self.root(y))
            size = max(size, norm(y))
        return 2.0 * math.sqrt(size)


class Identity(Metric):
    """No M at all."""

    def product(self, v: np.ndarray) -> np.ndarray:
        return v

    def sizes(self, V: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(V, axis=0))

    root = adjoint = unroot = unadjoint = product


class Diagonal(Metric):
    """Masses."""

    def __init__(self, diagonal: np.ndarray) -> None:
        super().__init__(len(diagonal), scipy.sparse.diags_array(diagonal, format="csc"))
        self._sizes = np.sqrt(diagonal)

    def root(self, v: np.ndarray) -> np.ndarray:
        return np.asarray((v.T / self._sizes).T)

    def unroot(self, v: np.ndarray) -> np.ndarray:
        return np.asarray((v.T * self._sizes).T)

    adjoint, unadjoint = root, unroot


class Dense(Metric):
    """A matrix with a Cholesky factor, ``M = L L'`` and ``R = L^-T``."""

    def __init__(self, matrix: np.ndarray, where: str) -> None:
        super().__init__(len(matrix), matrix)
        try:
            self._lower = scipy.linalg.cholesky(matrix, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            raise _not_definite(where) from None

    def root(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(scipy.linalg.solve_triangular(self._lower, v, lower=True, trans="T", check_finite=False))

    def adjoint(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(scipy.linalg.solve_triangular(self._lower, v, lower=True, check_finite=False))

    def unroot(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(self._lower.T @ v)

    def unadjoint(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(self._lower @ v)


class Sparse(Metric):
    """A sparse matrix with SuperLU's factor in symmetric mode."""

    def __init__(self, matrix: Any, where: str) -> None:
        matrix = with_diagonal(matrix)
        super().__init__(matrix.shape[0], matrix)
        found = SuperLUPlan(matrix).factor(matrix, definite=True)
        if not found.is_definite:
            raise _not_definite(where)
        self._factor: Any = found

    def root(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(self._factor.spread(v))

    def adjoint(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(self._factor.spread_transposed(v))

    def unroot(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(self._factor.gather(v))

    def unadjoint(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(self._factor.gather_transposed(v))


class ByProducts(Metric):
    """An operator: ``R = M^(-1/2)`` by Lanczos, column by column."""

    def __init__(self, operator: Any, products: Products) -> None:
        super().__init__(products.n)
        self._operator, self._products = operator, products

    def product(self, v: np.ndarray) -> np.ndarray:
        return self._products(v)

    def sizes(self, V: np.ndarray) -> np.ndarray:
        return np.asarray(self._products.magnitude * np.linalg.norm(V, axis=0))

    def root(self, v: np.ndarray) -> np.ndarray:
        if v.ndim == 2:
            return np.stack([self.root(column) for column in v.T], axis=1)
        try:
            return np.asarray(matrix_function(self._operator, "inverse_sqrt", v, rtol=1e-13).value)
        except OptionError as error:
            # Its words are about a matrix H, which is M here.
            seen = str(error).split(". ")[0].partition("H has ")[2]
            if not seen:
                raise
            raise _not_definite(self._products.where, f": it has {seen}") from error

    adjoint = root


def metric_of(M: Any, n: int, where: str) -> Metric:
    """Return the metric of M: an array of n masses in any shape, a matrix, sparse or dense, or an operator.

    Raises
    ------
    ShapeMismatchError, OptionError, NonFiniteError
        It does not fit H, is not symmetric, not positive definite, or not finite.
    """
    if isinstance(M, np.ndarray | list | tuple):
        # Of n > 1 numbers no array is a matrix of order n.
        numbers = as_reals(M, np.dtype(np.float64), where, "M")
        if numbers.size == n or numbers.ndim == 1:
            return _diagonal(numbers.ravel(), n, where)
    if hasattr(M, "matvec") and n <= limits.MATRIX_ORDER:
        M = M.to_dense() if hasattr(M, "to_dense") else M @ np.eye(n)
    products = Products(M, where, "M")
    if products.n != n:
        raise _misfit(products.n, n, where)
    matrix = products.matrix
    if matrix is None:
        return ByProducts(M, products)
    if not scipy.sparse.issparse(matrix):
        return Dense(matrix.astype(np.float64), where)
    found = with_diagonal(matrix)
    return _diagonal(found.diagonal(), n, where) if found.nnz == n else Sparse(found, where)


def _diagonal(diagonal: np.ndarray, n: int, where: str) -> Diagonal:
    if len(diagonal) != n:
        raise _misfit(len(diagonal), n, where)
    if not np.isfinite(diagonal).all():
        raise NonFiniteError(message(where, "M holds NaN or inf", fix="Pass finite numbers > 0"))
    if not diagonal.min() > 0.0:
        raise _not_definite(where)
    return Diagonal(diagonal)


def _misfit(order: int, n: int, where: str) -> ShapeMismatchError:
    fix = f"Pass an M of order {n}"
    if order < n and n % order == 0:
        fix += f"; masses of which each moves along {n // order} coordinates, as np.repeat(masses, {n // order})"
    return ShapeMismatchError(message(where, f"M has order {order}, H has order {n}", fix=fix))


def _not_definite(where: str, seen: str = "") -> OptionError:
    why = "A pencil has real eigenvalues and M-orthonormal vectors where it is"
    return OptionError(message(where, f"M is not positive definite{seen}", why, "Pass M + a multiple of the identity"))
