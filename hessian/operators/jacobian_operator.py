"""The Jacobian of a function at a point as a linear operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csc_array

from hessian.linalg import limits
from hessian.operators.differentiated import MapOperator
from hessian.operators.vectors import as_direction, as_rows
from hessian.programs.tasks import Task
from hessian.tape.trace import detached
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.seeds import check_room

if TYPE_CHECKING:
    from hessian.sparse.decompress import Structure


class JacobianOperator(MapOperator):
    r"""The Jacobian :math:`J = \partial f / \partial x` as a :class:`scipy.sparse.linalg.LinearOperator`.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array or a container of arrays; m entries in all.
    x, args, record
        As for :class:`hessian.HessianOperator`; ``J @ v`` pushes forward, ``J.T @ u`` pulls back.

    Attributes
    ----------
    value
        f(x), in the structure f returns.
    shape : (m, n)

    Raises
    ------
    DtypeError
        x holds integers.
    ShapeMismatchError
        By a product, for a vector of another length.

    Notes
    -----
    ``J @ v`` takes traced values, and J may be made at one; for the transpose of traced values use :func:`hessian.vjp`.
    Cost: the constructor records f once; the first product linearises; each product after that is one sweep.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> J = hs.JacobianOperator(lambda x: x**2, np.array([1.0, 2.0]))
    >>> (J @ np.ones(2)).tolist(), (J.T @ np.array([0.0, 1.0])).tolist()
    ([2.0, 4.0], [0.0, 4.0])
    """

    _map = "pushforward"

    def __init__(self, f: Callable[..., Any], x: Any, *args: Any, record: bool = True) -> None:
        at = FunctionAtPoint(f, Task("map"), (x, *args), where="JacobianOperator", record=record, lasts=True)
        self._take(at)
        self.value = at.structure.build([detached(value) for value in at.values])
        super().__init__(at.dtype, (at.sizes["pullback"], at.sizes["pushforward"]))

    def __repr__(self) -> str:
        return f"<JacobianOperator of shape {self.shape}, dtype {self.dtype}>"

    def _rmatvec(self, u: Any) -> Any:
        return self._at.product(as_direction(u, self).reshape(-1), "pullback")

    def _rmatmat(self, U: Any) -> Any:
        return np.transpose(self._at.rows(as_rows(as_direction(U, self)), "pullback"))

    def to_dense(self) -> np.ndarray:
        """Return the Jacobian, shape (m, n), by min(m, n) sweeps in blocks."""
        m, n = self.shape
        check_room("JacobianOperator", m, n, self.dtype, None, "J.to_sparse()")
        matrix: Any = self._at.jacobian()
        return matrix if self._at.is_swept else np.ascontiguousarray(matrix, self.dtype)

    def to_sparse(self) -> csc_array:
        """Return the Jacobian as a sparse matrix, by as few products as its pattern needs; see :func:`hessian.sparse.jacobian`."""
        from hessian.sparse.functions import sparse_matrix

        return sparse_matrix(self._at, "JacobianOperator.to_sparse")

    def makes_dense(self) -> str:
        """Name the operation whose result first depends on many variables, and the user's line."""
        from hessian.sparse.detect import makes_jacobian_dense
        from hessian.sparse.functions import source_of

        return makes_jacobian_dense(source_of(self._at, "JacobianOperator"), self.shape[1] // limits.SPARSE_SHARE)

    def few_products(self, most: int) -> Structure | None:
        """Return the structure of the matrix if it takes at most so many products; else ``None``."""
        from hessian.sparse.functions import few_products

        return few_products(self._at, most, type(self).__name__)
