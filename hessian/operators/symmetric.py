"""Symmetric operators: dense forms, linear algebra from SciPy, and sums, multiples and damping that stay symmetric."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, overload

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from hessian.arguments import FINITE, check, first_nonfinite
from hessian.errors import DtypeError, NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.linalg import blocks
from hessian.operators.solving import SolvingOperator
from hessian.operators.symmetry import Witness
from hessian.operators.vectors import as_direction, as_operand, as_reals, refuse_mask


class SymmetricOperator(SolvingOperator):
    """A symmetric linear operator, given by its products.

    A subclass fills in ``_apply``: an array of shape (n,) or (n, k) to its product. Everything else follows, and may be overridden
    by something cheaper.
    """

    def __init__(self, n: int, dtype: Any) -> None:
        super().__init__(np.dtype(dtype), (n, n))

    def _apply(self, V: Any) -> Any:
        raise NotImplementedError

    def dot(self, x: Any) -> Any:
        """Multiply with a vector, the columns of a matrix, a scalar or another operator; what ``@`` calls."""
        return self * x if isinstance(x, Real) else super().dot(as_operand(x, self))

    def _matvec(self, v: Any) -> Any:
        return self._apply(as_direction(v, self).reshape(-1))

    def _matmat(self, V: Any) -> Any:
        return self._apply(as_direction(V, self))

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n), by n products in blocks."""
        return blocks.matrix(self._apply, self.shape[0], self.dtype)

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,), by n products in blocks; :func:`hessian.curvature.diagonal` is it, or an estimate."""
        return blocks.diagonal(self._apply, self.shape[0], self.dtype)

    def diagonal_products(self, most: int) -> int:
        """Return how many products :meth:`diagonal` takes; where that has to be found out, it may not look for fewer beyond ``most``."""
        return self.shape[0]

    # SciPy's sums and multiples are plain operators; these stay symmetric ones.

    @overload
    def __add__(self, other: SymmetricOperator) -> SymmetricOperator: ...
    @overload
    def __add__(self, other: Any) -> Any: ...
    def __add__(self, other: Any) -> Any:
        return added(self, other)

    def __radd__(self, other: Any) -> Any:
        # What sum() starts from.
        return self if isinstance(other, int) and other == 0 else added(other, self)

    @overload
    def __sub__(self, other: SymmetricOperator) -> SymmetricOperator: ...
    @overload
    def __sub__(self, other: Any) -> Any: ...
    def __sub__(self, other: Any) -> Any:
        return added(self, scaled(other, -1.0))

    def __rsub__(self, other: Any) -> Any:
        return added(other, scaled(self, -1.0))

    def __neg__(self) -> SymmetricOperator:
        return scaled(self, -1.0)

    @overload
    def __mul__(self, other: float) -> SymmetricOperator: ...
    @overload
    def __mul__(self, other: Any) -> Any: ...
    def __mul__(self, other: Any) -> Any:
        return scaled(self, other) if is_number(other) else super().__mul__(other)

    @overload
    def __rmul__(self, other: float) -> SymmetricOperator: ...
    @overload
    def __rmul__(self, other: Any) -> Any: ...
    def __rmul__(self, other: Any) -> Any:
        return scaled(self, other) if is_number(other) else super().__rmul__(other)

    def __truediv__(self, other: float) -> SymmetricOperator:
        if not is_number(other):
            return NotImplemented
        if other == 0:
            raise OptionError(
                message("operator algebra", "an operator is divided by 0", fix="Pass a number other than 0")
            )
        return scaled(self, 1.0 / float(other))

    def _adjoint(self) -> SymmetricOperator:
        return self

    def _transpose(self) -> SymmetricOperator:
        return self


class SumOperator(SymmetricOperator):
    r"""The sum :math:`A_1 + \dots + A_k` of symmetric operators.

    Parameters
    ----------
    terms : sequence of LinearOperator or matrix
        Symmetric, of one shape.

    Raises
    ------
    ShapeMismatchError
        The shapes differ, or there is no term.

    Notes
    -----
    Cost of a product: one with each term, in the order given. The dense form and the diagonal are sums of the terms' own.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> from hessian.operators import SumOperator
    >>> H = hs.HessianOperator(lambda x: np.sum(x**3), np.array([1.0, 2.0]))
    >>> SumOperator([H, np.eye(2)]).to_dense().tolist()
    [[7.0, 0.0], [0.0, 13.0]]
    """

    def __init__(self, terms: Sequence[Any]) -> None:
        flat: list[Any] = []
        for term in map(as_symmetric, terms):
            flat += term.terms if isinstance(term, SumOperator) else [term]
        if not flat:
            raise ShapeMismatchError(message("SumOperator", "there is no term", fix="Pass at least one operator"))
        shapes = {term.shape for term in flat}
        if len(shapes) > 1:
            what = f"the terms have shapes {sorted(shapes)}"
            raise ShapeMismatchError(message("SumOperator", what, "Only operators on one space add up"))
        self.terms: list[Any] = flat
        super().__init__(flat[0].shape[0], np.result_type(*(term.dtype for term in flat)))

    def __repr__(self) -> str:
        return f"<SumOperator of order {self.shape[0]}, {len(self.terms)} terms>"

    def _apply(self, V: np.ndarray) -> np.ndarray:
        total = self.terms[0] @ V
        for term in self.terms[1:]:
            total = total + term @ V
        return np.asarray(total, self.dtype)

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n): the sum of the terms'."""
        return np.asarray(sum(term.to_dense() for term in self.terms), self.dtype)

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,): the sum of the terms'."""
        return np.asarray(sum(term.diagonal() for term in self.terms), self.dtype)

    def diagonal_products(self, most: int) -> int:
        """Return how many products the terms take: as many of the sum, at most."""
        return max(term.diagonal_products(most) for term in self.terms)


class ScaledOperator(SymmetricOperator):
    r"""The multiple :math:`c A` of a symmetric operator.

    Parameters
    ----------
    operator : LinearOperator or matrix
    factor : float
        c, finite.

    Raises
    ------
    OptionError
        c is no finite number.

    Notes
    -----
    Cost of a product: one.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.operators import ScaledOperator
    >>> ScaledOperator(np.eye(2), 3.0).to_dense().tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """

    def __init__(self, operator: Any, factor: float) -> None:
        check("ScaledOperator", "factor", factor, FINITE)
        self.operator = as_symmetric(operator)
        self.factor = float(factor)
        super().__init__(self.operator.shape[0], self.operator.dtype)

    def __repr__(self) -> str:
        return f"<ScaledOperator of order {self.shape[0]}: {self.factor:g} times {self.operator!r}>"

    def _apply(self, V: np.ndarray) -> np.ndarray:
        return np.asarray(self.factor * (self.operator @ V), self.dtype)

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n): the multiple of the operator's."""
        return np.asarray(self.factor * self.operator.to_dense(), self.dtype)

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,)."""
        return np.asarray(self.factor * self.operator.diagonal(), self.dtype)

    def diagonal_products(self, most: int) -> int:
        """Return how many products the operator takes."""
        return self.operator.diagonal_products(most)


class DampedOperator(SymmetricOperator):
    r"""The damped operator :math:`A + \lambda D`, D the identity or a diagonal.

    Parameters
    ----------
    operator : LinearOperator or matrix
    damping : float
        :math:`\lambda`, finite; negative to shift the spectrum down.
    scaling : array_like, shape (n,), optional
        The diagonal of D; ones by default.

    Raises
    ------
    OptionError, ShapeMismatchError
        An argument is not finite, or does not fit.

    Notes
    -----
    Cost of a product: one, and n multiplications. The eigenvalues of :math:`A + \lambda I` are those of A, shifted.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.operators import DampedOperator
    >>> DampedOperator(np.diag([1.0, -1.0]), 2.0).solve(np.array([3.0, 1.0])).tolist()
    [1.0, 1.0]
    """

    def __init__(self, operator: Any, damping: float, scaling: Any = None) -> None:
        check("DampedOperator", "damping", damping, FINITE)
        self.operator = as_symmetric(operator)
        self.damping = float(damping)
        n = self.operator.shape[0]
        self._added = np.full(n, self.damping, self.operator.dtype)
        if scaling is not None:
            scaling = as_reals(scaling, self.operator.dtype, "DampedOperator", "scaling")
            if scaling.shape != (n,) or not np.isfinite(scaling).all():
                what = f"scaling has shape {scaling.shape}, the operator has order {n}"
                raise ShapeMismatchError(message("DampedOperator", what, fix=f"Pass {n} finite numbers"))
            self._added = self.damping * scaling
        super().__init__(n, self.operator.dtype)

    def __repr__(self) -> str:
        return f"<DampedOperator of order {self.shape[0]}: damping {self.damping:g} added to {self.operator!r}>"

    def _apply(self, V: np.ndarray) -> np.ndarray:
        shift = self._added if V.ndim == 1 else self._added[:, None]
        return np.asarray(self.operator @ V + shift * V, self.dtype)

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n)."""
        matrix = np.array(self.operator.to_dense(), self.dtype)
        matrix[np.diag_indices_from(matrix)] += self._added
        return matrix

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,)."""
        return np.asarray(self.operator.diagonal() + self._added, self.dtype)

    def diagonal_products(self, most: int) -> int:
        """Return how many products the operator takes."""
        return self.operator.diagonal_products(most)


class MatrixOperator(SymmetricOperator):
    """A symmetric matrix, dense or sparse, as an operator.

    Parameters
    ----------
    matrix : array_like or sparse array, shape (n, n)
        Kept, not copied.

    Raises
    ------
    ShapeMismatchError, DtypeError, NonFiniteError, OptionError
        It is not square, not real, not finite, or not symmetric to the square root of the precision.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.operators import MatrixOperator
    >>> (2.0 * MatrixOperator(np.eye(2)) @ np.ones(2)).tolist()
    [2.0, 2.0]
    """

    def __init__(self, matrix: Any) -> None:
        matrix = refuse_mask(matrix, "MatrixOperator", "the matrix")
        matrix = matrix.tocsr() if scipy.sparse.issparse(matrix) else np.asarray(matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ShapeMismatchError(
                message("MatrixOperator", f"the matrix has shape {matrix.shape}", fix="Pass a square one")
            )
        if matrix.dtype.kind not in "fiub":
            raise DtypeError(message("MatrixOperator", f"the matrix has dtype {matrix.dtype}", fix="Pass real numbers"))
        dtype = matrix.dtype if matrix.dtype == np.float32 else np.dtype(np.float64)
        self.matrix = matrix.astype(dtype, copy=False)
        if not np.isfinite(self.matrix.data if scipy.sparse.issparse(matrix) else self.matrix).all():
            what = "the matrix holds NaN or inf"
            if not scipy.sparse.issparse(matrix):
                what += f": {first_nonfinite('matrix', self.matrix)}"
            raise NonFiniteError(message("MatrixOperator", what))
        if matrix.shape[0]:
            gap, largest = float(abs(self.matrix - self.matrix.T).max()), float(abs(self.matrix).max())
            if gap > 4.0 * float(np.finfo(dtype).eps) ** 0.5 * largest:
                what = f"entries and their mirror images differ by up to {gap:.3g}"
                raise OptionError(message("MatrixOperator", what, "The operator is symmetric", "Pass (A + A.T) / 2"))
        super().__init__(matrix.shape[0], dtype)

    def __repr__(self) -> str:
        return f"<MatrixOperator of order {self.shape[0]}, dtype {self.dtype}>"

    def _apply(self, V: np.ndarray) -> np.ndarray:
        return np.asarray(self.matrix @ V)

    def to_dense(self) -> np.ndarray:
        """Return a copy of the matrix, dense."""
        return self.matrix.toarray() if scipy.sparse.issparse(self.matrix) else np.array(self.matrix)

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n,)."""
        return np.array(self.matrix.diagonal())

    def diagonal_products(self, most: int) -> int:
        """There is nothing to multiply."""
        return 0


class ForeignOperator(SymmetricOperator):
    """An operator that is said to be symmetric: its products are looked at.

    Parameters
    ----------
    operator : LinearOperator
        Of SciPy or of anybody else.

    Raises
    ------
    ShapeMismatchError, DtypeError
        It is not square, or not real.
    OptionError
        Of a product or a dense form: it is not symmetric.
    """

    def __init__(self, operator: Any) -> None:
        if operator.shape[0] != operator.shape[1]:
            raise ShapeMismatchError(
                message("operator algebra", f"an operator has shape {operator.shape}", fix="Pass square ones")
            )
        dtype = np.dtype(np.float64 if operator.dtype is None else operator.dtype)
        if dtype.kind not in "fiub":
            raise DtypeError(message("operator algebra", f"an operator has dtype {dtype}", fix="Pass real ones"))
        self.operator = operator
        super().__init__(operator.shape[0], dtype if dtype == np.float32 else np.float64)
        self._witness = Witness(float(np.finfo(self.dtype).eps))

    def __repr__(self) -> str:
        return f"<{type(self.operator).__name__} of order {self.shape[0]}, taken to be symmetric>"

    def _apply(self, V: np.ndarray) -> np.ndarray:
        images = np.asarray(self.operator @ V, self.dtype)
        refuted = self._witness.refuted(
            V.reshape(self.shape[0], -1), images.reshape(self.shape[0], -1), self.operator.__matmul__
        )
        if refuted is not None:
            self._refuse(*refuted)
        return images

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n), by the operator's own way where it has one."""
        if not hasattr(self.operator, "to_dense"):
            return super().to_dense()
        matrix = np.array(self.operator.to_dense(), self.dtype)
        gap, largest = float(np.abs(matrix - matrix.T).max(initial=0.0)), float(np.abs(matrix).max(initial=0.0))
        if gap > self._witness.slack * largest:
            self._refuse(gap, largest)
        return matrix

    def _refuse(self, gap: float, size: float) -> None:
        what = f"{self.operator!r} is not symmetric: x.Hy and y.Hx differ by {gap:.3g}, products are of size {size:.3g}"
        why, fix = (
            "What is made of it would be a wrong symmetric operator",
            "Pass a symmetric one, for example (A + A.T) / 2",
        )
        raise OptionError(message("operator algebra", what, why, fix))


def as_symmetric(operator: Any) -> Any:
    """Accept a symmetric operator in any of SciPy's forms."""
    if isinstance(operator, SymmetricOperator):
        return operator
    if isinstance(operator, np.ndarray | list | tuple) or scipy.sparse.issparse(operator):
        return MatrixOperator(operator)
    return ForeignOperator(aslinearoperator(operator))


def added(first: Any, second: Any) -> Any:
    """Add two symmetric operators or matrices; what ``+`` calls."""
    if is_number(second) or is_number(first):
        what = "an operator plus a number"
        fix = "Use DampedOperator(H, number) for H + number * I"
        raise OptionError(message("operator algebra", what, "It could mean every entry or the diagonal", fix))
    # An operator of SciPy's own may not be symmetric: its sums are SciPy's.
    if any(isinstance(a, LinearOperator) and not isinstance(a, SymmetricOperator) for a in (first, second)):
        return LinearOperator.__add__(aslinearoperator(first), aslinearoperator(second))
    return SumOperator([first, second])


def scaled(operator: Any, factor: Any) -> Any:
    """Multiply a symmetric operator with a number; what ``*`` calls."""
    if is_number(operator):
        return operator * factor
    factor = factor.item() if isinstance(factor, np.ndarray) else factor
    if isinstance(operator, LinearOperator) and not isinstance(operator, SymmetricOperator):
        return LinearOperator.__mul__(operator, factor)
    if isinstance(operator, ScaledOperator):
        return ScaledOperator(operator.operator, operator.factor * factor)
    return ScaledOperator(operator, factor)


def is_number(value: Any) -> bool:
    """Tell whether something is a real number, an array without axes included."""
    return isinstance(value, Real) or (isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiub")
