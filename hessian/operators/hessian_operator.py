"""The Hessian of a function at a point as a linear operator."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csc_array

from hessian.linalg import limits
from hessian.operators.differentiated import DifferentiatedOperator
from hessian.programs.tasks import Task
from hessian.tape.kinks import Slopes, kinked_slopes
from hessian.tape.trees import split_vector
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.seeds import check_room

if TYPE_CHECKING:
    from hessian.sparse.decompress import Structure


class HessianOperator(DifferentiatedOperator):
    r"""The Hessian :math:`H = \nabla^2 f(x)` as a :class:`scipy.sparse.linalg.LinearOperator`.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy: ``f(x, *args)``.
    x : array of any shape, or container of float arrays
        The point. The operator acts on the raveled vector of length n.
    *args
        Further arguments of f, not differentiated.
    record : bool
        ``False`` makes no program: every product is a plain sweep.

    Attributes
    ----------
    value : float
        f(x).
    gradient : ndarray, shape (n,)
        Computed on first use by one reverse sweep.
    shape, dtype
        ``(n, n)`` and the dtype of x.

    Raises
    ------
    NotScalarError, DtypeError
        As for :func:`hessian.grad`.

    Notes
    -----
    Cost: the constructor records f once. The first product linearises (one reverse sweep). Each product after that is one
    sweep of tangents over cached primals, about 2 gradients' worth of matrix products and less of everything else;
    ``H @ V`` with k columns is one batched sweep. The third sweep is compiled to a program; if f is recorded
    (:func:`hessian.record`), value, gradient and products are programs from the start. Memory: every intermediate value of f,
    and about as much again for the linearisation. x and the arrays that f uses are copied: later changes to them do not reach
    the operator. ``H @ v`` takes traced values, and H may be made at one.

    References
    ----------
    B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994).

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> A = np.array([[2.0, 1.0], [1.0, 3.0]])
    >>> H = hs.HessianOperator(lambda x: 0.5 * x @ A @ x, np.array([1.0, -1.0]))
    >>> (H @ np.array([1.0, 0.0])).tolist(), H.gradient.tolist(), float(H.value)
    ([2.0, 1.0], [1.0, -2.0], 1.5)
    >>> H.solve(np.array([1.0, 3.0])).round(12).tolist()
    [0.0, 1.0]
    """

    def __init__(self, f: Callable[..., Any], x: Any, *args: Any, record: bool = True) -> None:
        super().__init__(
            FunctionAtPoint(f, Task("curvature"), (x, *args), where="HessianOperator", record=record, lasts=True)
        )

    def __repr__(self) -> str:
        return f"<HessianOperator of order {self.shape[0]}, dtype {self.dtype}, f(x) = {float(self.value):.6g}>"

    def to_sparse(self) -> csc_array:
        """Return the matrix as a sparse one, shape (n, n), by as few products as its pattern needs.

        :func:`hessian.sparse.hessian` says how and at which cost, and keeps the pattern for other points.

        Examples
        --------
        >>> import numpy as np, hessian as hs
        >>> H = hs.HessianOperator(lambda x: np.sum(x[1:] * x[:-1] ** 2), np.array([1.0, 2.0, 3.0]))
        >>> H.to_sparse().toarray().tolist()
        [[4.0, 2.0, 0.0], [2.0, 6.0, 4.0], [0.0, 4.0, 0.0]]
        """
        from hessian.sparse.functions import sparse_matrix

        return sparse_matrix(self._at, "HessianOperator.to_sparse")

    def to_dense(self, *, max_bytes: int | None = None) -> np.ndarray:
        """Return the matrix, shape (n, n): by as few products as its pattern needs where that is few, else by n in blocks.

        A matrix of more than ``max_bytes``, 8 GiB by default, is refused by a :class:`TooDenseError`.
        """
        n = self.shape[0]
        check_room("HessianOperator", n, n, self.dtype, max_bytes, "H.to_sparse()")
        return self._at.matrix() if self._few is None else self._from_few(self._few).toarray()

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,): by as few products as the pattern needs where that is few, else by n in blocks."""
        return self._at.diagonal() if self._few is None else self._from_few(self._few).diagonal()

    def _from_few(self, structure: Structure) -> csc_array:
        from hessian.sparse.functions import matrix_at

        return matrix_at(self._at, structure, "HessianOperator")

    @cached_property
    def _few(self) -> Structure | None:
        """The structure of the matrix, if it spares most of the products."""
        n = self.shape[0]
        if n < limits.SPARSE_ORDER:
            return None
        from hessian.sparse.functions import few_products

        return few_products(self._at, n // limits.SPARSE_SHARE, "HessianOperator")

    def few_products(self, most: int) -> Structure | None:
        """Return the structure of the matrix if it takes at most so many products; else ``None``."""
        from hessian.sparse.functions import few_products

        return few_products(self._at, most, "HessianOperator")

    def structure(self, known: Structure | None = None) -> Structure:
        """Return the structure of the matrix; the one that is known, where that is the same."""
        from hessian.sparse.functions import source_of, structure_at

        return structure_at(self._at, source_of(self._at, "HessianOperator"), known)

    def makes_dense(self) -> str:
        """Name the operation that makes the pattern of the matrix dense, and the user's line."""
        from hessian.sparse.detect import makes_dense
        from hessian.sparse.functions import source_of

        return makes_dense(source_of(self._at, "HessianOperator"), self.shape[0] // limits.SPARSE_SHARE)

    def sparse_by(self, known: Structure | None) -> tuple[csc_array, Structure]:
        """Return the matrix as a sparse one, and its structure; the one that is known, where that is the same."""
        structure = self.structure(known)
        return self._from_few(structure), structure

    def kinked_slopes(self, directions: np.ndarray) -> Slopes | None:
        """Return what is known of a kink of f at x from its slopes along directions, shape (k, n); ``None`` if there is none."""
        if not any(row.sides for row in self._at.operations()):
            return None
        traced = self._at.sweeps.local.traced
        return kinked_slopes(traced, [split_vector(d, self.primal.shapes) for d in directions])
