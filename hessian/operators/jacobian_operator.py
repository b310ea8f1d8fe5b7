"""The Jacobian of a function at a point as a linear operator."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from hessian.core.sweeps import Linearization
from hessian.core.trace import Recording, owned, record
from hessian.core.trees import join_vector, split_vector
from hessian.operators.base import as_direction, as_rows, is_traced
from hessian.transforms.first_order import jacobian_matrix


class JacobianOperator(LinearOperator):
    r"""The Jacobian :math:`J = \partial f / \partial x` as a :class:`scipy.sparse.linalg.LinearOperator`.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array or a container of arrays; m entries in all.
    x : array of any shape, or container of float arrays
        n entries in all. The operator maps raveled vectors: ``J @ v`` pushes forward, ``J.T @ u`` pulls back.
    *args
        Further arguments of f, not differentiated.

    Attributes
    ----------
    value
        f(x), in the structure f returns.
    shape : (m, n)

    Raises
    ------
    DtypeError
        x holds integers or complex numbers.
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

    def __init__(self, f: Callable[..., Any], x: Any, *args: Any) -> None:
        self._recording: Recording = record(f, (x, *args), where="JacobianOperator")
        values = self._recording.values
        self.value = self._recording.output_structure.build([owned(value) for value in values])
        self._output_shapes = [value.shape for value in values]
        dtype = np.result_type(*(value.dtype for value in values), *(x.dtype for x in self._recording.primal.leaves))
        super().__init__(dtype, (sum(int(value.size) for value in values), self._recording.primal.size))

    def __repr__(self) -> str:
        return f"<JacobianOperator of shape {self.shape}, dtype {self.dtype}>"

    @cached_property
    def _linearization(self) -> Linearization:
        return self._recording.linearize()

    def dot(self, x: Any) -> Any:
        """Multiply with a vector, the columns of a matrix, a scalar or another operator; what ``@`` calls."""
        if is_traced(x, self._recording.primal.leaves):
            # SciPy would convert operands and results to plain arrays.
            return self._matvec(x) if np.ndim(x) == 1 else self._matmat(x)
        return super().dot(x)

    def _push(self, dots: list[Any], batch: tuple[int, ...]) -> Any:
        pushed = self._linearization.push(dots, len(batch))
        values = self._recording.values
        leaves = [
            np.zeros(batch + value.shape, self.dtype) if dot is None else dot
            for dot, value in zip(pushed, values, strict=True)
        ]
        return np.copy(join_vector(leaves, batch=len(batch)))

    def _pull(self, bars: list[Any], batch: tuple[int, ...]) -> Any:
        pulled = self._linearization.pull(bars, len(batch))
        return join_vector(self._recording.gradient_leaves(pulled, batch), batch=len(batch))

    def _matvec(self, v: Any) -> Any:
        return self._push(split_vector(as_direction(v, self).reshape(-1), self._recording.primal.shapes), ())

    def _rmatvec(self, u: Any) -> Any:
        return self._pull(split_vector(as_direction(u, self).reshape(-1), self._output_shapes), ())

    def _matmat(self, V: Any) -> Any:
        rows = as_rows(as_direction(V, self))
        return self._push(split_vector(rows, self._recording.primal.shapes, batch=1), (len(rows),)).T

    def _rmatmat(self, U: Any) -> Any:
        rows = as_rows(as_direction(U, self))
        return self._pull(split_vector(rows, self._output_shapes, batch=1), (len(rows),)).T

    def to_dense(self) -> np.ndarray:
        """Return the Jacobian, shape (m, n), by min(m, n) sweeps in blocks."""
        return np.copy(jacobian_matrix(self._recording))
