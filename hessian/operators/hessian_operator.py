"""The Hessian of a function at a point as a linear operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hessian.errors import TooDenseError
from hessian.linalg import limits
from hessian.operators.differentiated import DifferentiatedOperator
from hessian.programs.tasks import Task
from hessian.tape.kinks import Slopes, kinked_slopes
from hessian.tape.trees import split_vector
from hessian.transforms.point import FunctionAtPoint

if TYPE_CHECKING:
    from hessian.sparse.low_rank import SparsePlusLowRank
    from hessian.sparse.split import Parts


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

    def makes_dense(self) -> str:
        """Name the operation that makes the pattern of the matrix dense, and the user's line."""
        from hessian.sparse.detect import makes_dense
        from hessian.sparse.functions import source_of

        return makes_dense(source_of(self._at, "HessianOperator"), self.shape[0] // limits.SPARSE_SHARE)

    def parts(self, most: int) -> Parts | None:
        """Return the function in parts between which few numbers pass; ``None`` without such, or with more products in the end."""
        from hessian.sparse.functions import source_of
        from hessian.sparse.split import parts_at

        if self._at.passes_traced(None) or self._at.is_swept:
            return None
        try:
            parts = parts_at(self._at, source_of(self._at, "HessianOperator"), most=most)
        except TooDenseError:
            return None
        return parts if parts is not None and parts.products <= most else None

    def split_by(self, parts: Parts) -> SparsePlusLowRank:
        """Return the matrix as a sparse one plus one of low rank."""
        from hessian.sparse.functions import source_of
        from hessian.sparse.split import split_at

        return split_at(self._at, parts, source_of(self._at, "HessianOperator"), "HessianOperator")

    def kinked_slopes(self, directions: np.ndarray) -> Slopes | None:
        """Return what is known of a kink of f at x from its slopes along directions, shape (k, n); ``None`` if there is none."""
        if not any(row.sides for row in self._at.operations()):
            return None
        traced = self._at.sweeps.local.traced
        return kinked_slopes(traced, [split_vector(d, self.primal.shapes) for d in directions])
