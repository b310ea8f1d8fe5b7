"""Products with a symmetric operator: accepted in any of SciPy's forms, counted, and looked at before they are used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

from hessian.errors import DtypeError, NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.linalg import limits
from hessian.linalg.dense import symmetrized
from hessian.linalg.vectors import column_norms
from hessian.operators.symmetry import Witness
from hessian.operators.vectors import refuse_mask
from hessian.transforms.locate import not_finite


def rounding_of(n: int, dtype: Any, size: float) -> float:
    """What rounding may make of an eigenvalue of a matrix of order n whose largest is of this size: about an eigensolver's residual."""
    return 4.0 * math.sqrt(n) * float(np.finfo(dtype).eps) * size


class Products:
    """A symmetric operator of order n behind one method that counts: ``products(V)`` for a vector or for columns.

    Matrices are checked for symmetry entry by entry. An operator cannot be: its products are compared as they are made, whatever
    asked for them (:class:`hessian.operators.symmetry.Witness`). Estimators that have more of them at hand compare more
    (:func:`check_symmetric`). Errors call it by its letter, ``called``. Magnitudes up to ``floor`` are to count as zero.
    """

    def __init__(self, H: Any, where: str, called: str = "H") -> None:
        self.where = where
        self.called = called
        self.source = H
        self.count = 0
        self.magnitude = 0.0
        self.floor = 0.0
        self.matrix = _as_matrix(refuse_mask(H, where, called))
        if self.matrix is None and not hasattr(H, "matvec"):
            what = f"{called} is {type(H).__name__}"
            raise ShapeMismatchError(message(where, what, fix="Pass a symmetric LinearOperator or matrix"))
        shape = np.shape(H) if self.matrix is None else self.matrix.shape
        if len(shape) != 2 or shape[0] != shape[1]:
            what = f"{called} has shape {tuple(shape)}"
            raise ShapeMismatchError(message(where, what, "Curvature is square", "Pass an operator of shape (n, n)"))
        if shape[0] == 0:
            raise ShapeMismatchError(
                message(where, f"{called} has order 0", "It has no curvature", "Pass at least one parameter")
            )
        self.n = int(shape[0])
        self.dtype = _working_dtype(getattr(H if self.matrix is None else self.matrix, "dtype", None), where, called)
        self._witness = Witness(self.eps)
        if self.matrix is not None:
            # First, since differences of booleans are undefined and those of unsigned numbers wrap around.
            self.matrix = self.matrix.astype(self.dtype, copy=False)
            self._check_matrix(self.matrix)
        self._operator = aslinearoperator(H if self.matrix is None else self.matrix)

    @property
    def eps(self) -> float:
        """Spacing of the numbers at one."""
        return float(np.finfo(self.dtype).eps)

    def rounding(self, size: float) -> float:
        """What rounding may make of an eigenvalue where the largest is of this size."""
        return rounding_of(self.n, self.dtype, size)

    def zero_cut(self, size: float) -> float:
        """Magnitude up to which an eigenvalue counts as zero: rounding, or what was asked for."""
        return max(self.rounding(size), self.floor)

    def columns_at_once(self) -> int:
        """How many directions fit into one block."""
        return limits.block_columns(self.n)

    def __call__(self, V: np.ndarray) -> np.ndarray:
        """Return ``H @ V`` and count its columns; a product that is not finite is an error."""
        columns = 1 if V.ndim == 1 else V.shape[1]
        if V.ndim == 2 and columns > self.columns_at_once():
            step = self.columns_at_once()
            return np.concatenate([self(V[:, k : k + step]) for k in range(0, columns, step)], axis=1)
        # A single column takes the operator's path for vectors, which is the short one.
        result = self._operator @ (V[:, 0] if V.ndim == 2 and columns == 1 else V)
        self.count += columns
        result = np.asarray(result, dtype=self.dtype).reshape(V.shape)
        self.require_finite(result, f"product {self.count}")
        self._measure(V, result)
        self._compare(V.reshape(self.n, -1), result.reshape(self.n, -1))
        return result

    @property
    def name(self) -> str:
        """What the operator is called in an error."""
        return f"{type(self.source).__name__} of order {np.shape(self.source)[0]}"

    def require_finite(self, numbers: np.ndarray, what: str) -> None:
        """Refuse numbers that are not finite, wherever they come from."""
        if not np.isfinite(numbers).all():
            why, fix = "Every number from it would be wrong", "Look at the point of differentiation, and at H.gradient"
            find = getattr(self.source, "origin_of_nonfinite", None)
            raise not_finite(
                self.where,
                f"{what} holds NaN or inf, {self.called} is {self.name}",
                why,
                fix,
                None if find is None else find(),
            )

    def _compare(self, V: np.ndarray, images: np.ndarray) -> None:
        """Compare ``x.Hy`` with ``y.Hx`` for a random combination x of all directions that were ever asked for."""
        self._witness.magnitude = max(self._witness.magnitude, self.magnitude)
        found = self._witness.refuted(V, images, self._operator.__matmul__)
        if found is not None:
            self._refuse(*found)

    def _measure(self, V: np.ndarray, result: np.ndarray) -> None:
        """Keep the largest ``|Hv| / |v|``, in whose square numbers have to fit."""
        with np.errstate(over="ignore", under="ignore"):
            V, result = V.reshape(self.n, -1), result.reshape(self.n, -1)
            sizes = column_norms(V)
            growth = float(np.max(column_norms(result) / np.where(sizes > 0.0, sizes, 1.0), initial=0.0))
        # Products with what is orthogonal to the largest eigenvectors may be small.
        if not self._fits(max(growth, self.magnitude)) and np.any(result):
            self._refuse_size(f"products are of size {np.abs(result).max():.3g}")
        self.magnitude = max(self.magnitude, growth)

    def require_size(self, size: float) -> None:
        """Refuse eigenvalues whose squares do not fit."""
        if size != 0.0 and not self._fits(size):
            self._refuse_size(f"eigenvalues are of size {size:.3g}")

    def _fits(self, size: float) -> bool:
        numbers = np.finfo(self.dtype)
        return 1e3 * float(numbers.tiny) ** 0.5 <= size <= 1e-3 * float(numbers.max) ** 0.5

    def _refuse_size(self, what: str) -> None:
        why, fix = f"Their squares leave {self.dtype}", f"Pass a multiple of {self.called}"
        raise NonFiniteError(message(self.where, what, why, fix))

    def is_dense(self, max_hvp: int, order: int = limits.MATRIX_ORDER) -> bool:
        """Whether the whole matrix is to be had: by products that are allowed, or as given up to an order, 2000 by default."""
        return max_hvp >= self.n or (self.matrix is not None and self.n <= order)

    def is_formed(self, max_hvp: int) -> bool:
        """Whether all eigenvalues are to be had: of what :meth:`is_dense`, or of an operator whose pattern gives the matrix by so few
        products, up to the order that takes seconds."""
        if self.is_dense(max_hvp, limits.VALUES_ORDER):
            return True
        count = getattr(self.source, "diagonal_products", None)
        return count is not None and self.n <= limits.VALUES_ORDER and count(max_hvp) <= max_hvp

    def dense(self) -> np.ndarray:
        """Return the symmetric matrix in the working dtype: as given, by the operator's own way, or by n products."""
        if self.matrix is not None:
            full = self.matrix.toarray() if scipy.sparse.issparse(self.matrix) else self.matrix
        elif hasattr(self.source, "to_dense"):
            full = self.source.to_dense()
            count = getattr(self.source, "diagonal_products", None)
            # By as many as its pattern needs, which is looked for no more.
            self.count += self.n if count is None else count(0)
        else:
            full = self(np.eye(self.n, dtype=self.dtype))
        full = np.asarray(full, self.dtype)
        self.require_finite(full, self.called)
        self.magnitude = max(self.magnitude, float(np.abs(full).max()))
        self.check_symmetric(full)
        return symmetrized(full, self.dtype)

    def eigenvalues(self) -> np.ndarray:
        """Return all eigenvalues of the dense matrix, ascending, in float64."""
        return scipy.linalg.eigvalsh(self.dense()).astype(np.float64)

    def check_symmetric(self, gram: np.ndarray, square: float = 1.0) -> None:
        """Compare ``x_i.H x_j`` with ``x_j.H x_i`` for vectors of a squared length.

        What they may differ by is measured by the largest ``|Hv| / |v|`` seen, so that no cancellation looks like asymmetry.
        """
        self.check_gap(float(np.max(np.abs(gram - gram.T), initial=0.0)), square)

    def check_gap(self, gap: float, square: float = 1.0) -> None:
        """Compare them by the largest difference."""
        scale = self.magnitude * square
        if gap > self._witness.slack * scale:
            self._refuse(gap, scale)

    def _refuse(self, gap: float, scale: float) -> None:
        H = self.called
        what = f"{H} is not symmetric: x.{H}y and y.{H}x differ by {gap:.3g}, products are of size {scale:.3g}"
        fix = "Pass a symmetric operator, for example (A + A.T) / 2"
        raise OptionError(message(self.where, what, "Estimates of its curvature would be wrong", fix))

    def _check_matrix(self, matrix: Any) -> None:
        self.require_finite(matrix.data if scipy.sparse.issparse(matrix) else matrix, self.called)
        gap = float(abs(matrix - matrix.T).max())
        if gap > self._witness.slack * float(abs(matrix).max()):
            what = f"{self.called} is not symmetric: entries and their mirror images differ by up to {gap:.3g}"
            fix = "Pass (A + A.T) / 2"
            raise OptionError(message(self.where, what, "Estimates of its curvature would be wrong", fix))


def _as_matrix(H: Any) -> Any:
    """Return H where it is a matrix, dense or sparse; ``None`` for an operator."""
    if scipy.sparse.issparse(H):
        return H.tocsr()
    if isinstance(H, np.ndarray | list | tuple):
        return np.asarray(H)
    return None


def _working_dtype(dtype: Any, where: str, called: str) -> np.dtype:
    """Return float32 for float32, float64 for other real numbers."""
    if dtype is None:
        return np.dtype(np.float64)
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub":
        raise DtypeError(message(where, f"{called} has dtype {dtype}", "The operator is real", "Pass real numbers"))
    return dtype if dtype == np.float32 else np.dtype(np.float64)
