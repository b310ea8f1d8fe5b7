"""A sum of operators over chunks of data, made when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.arguments import whole_number
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.operators.symmetric import SymmetricOperator, as_symmetric
from hessian.tape.origins import Origin


class ChunkedOperator(SymmetricOperator):
    r"""The weighted sum :math:`\sum_c w_c A_c` over chunks of data, with the memory of one chunk.

    Parameters
    ----------
    make : callable
        ``make(chunk)`` returns the symmetric operator of a chunk, for example
        ``lambda rows: hs.HessianOperator(loss, w, X[rows], y[rows])``. With a recorded loss (:func:`hessian.record`) chunks of
        one length share a program.
    chunks : sequence
        Slices, arrays of indices, file names: whatever ``make`` takes. It is gone through in this order every time, so that
        sums round the same way.
    weights : sequence of float, optional
        One per chunk; ones by default. For the mean over all rows of losses that are means over their own, pass the chunks'
        shares of the rows.
    keep : int
        How many operators to keep between products, the first ones; the others are made again for each.

    Raises
    ------
    OptionError
        There is no chunk, or the weights do not fit.
    ShapeMismatchError
        The chunks' operators differ in shape.

    Notes
    -----
    Cost of a product: one with every chunk, and making the operators that are not kept, a recording or a replay each. All columns
    of ``H @ V`` go through a chunk before the next one is made. Memory: ``keep`` operators and one more.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> from hessian.operators.chunked import ChunkedOperator
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> loss = lambda w, X: 0.5 * np.sum((X @ w) ** 2)
    >>> chunks = [slice(0, 4), slice(4, 6)]
    >>> H = ChunkedOperator(lambda rows: hs.HessianOperator(loss, np.zeros(2), X[rows]), chunks)
    >>> np.array_equal(H.to_dense(), X.T @ X)
    True
    """

    def __init__(
        self,
        make: Callable[[Any], Any],
        chunks: Sequence[Any],
        *,
        weights: Sequence[float] | None = None,
        keep: int = 0,
    ) -> None:
        self.chunks = list(chunks)
        if not self.chunks:
            raise OptionError(message("ChunkedOperator", "there is no chunk", fix="Pass at least one"))
        self.weights = np.ones(len(self.chunks)) if weights is None else np.array(weights, np.float64)
        if self.weights.shape != (len(self.chunks),) or not np.isfinite(self.weights).all():
            what = f"weights have shape {self.weights.shape} for {len(self.chunks)} chunks"
            raise OptionError(message("ChunkedOperator", what, fix="Pass one finite number per chunk"))
        self._make = make
        self._keep = whole_number("ChunkedOperator", "keep", keep, 0)
        self._held: dict[int, Any] = {}
        first = as_symmetric(make(self.chunks[0]))
        if keep:
            self._held[0] = first
        # The parts of x are those of every chunk.
        if hasattr(first, "primal"):
            self.primal = first.primal
        super().__init__(first.shape[0], first.dtype)

    def __repr__(self) -> str:
        return f"<ChunkedOperator of order {self.shape[0]}, {len(self.chunks)} chunks>"

    def _operators(self) -> Any:
        """Yield each chunk's weight and operator, in order."""
        for k, weight in enumerate(self.weights):
            operator = self._held.get(k)
            if operator is None:
                operator = as_symmetric(self._make(self.chunks[k]))
                if operator.shape != self.shape:
                    what = f"chunk {k} has an operator of shape {operator.shape}, the first one {self.shape}"
                    raise ShapeMismatchError(message("ChunkedOperator", what, fix="Differentiate in the same x"))
                if k < self._keep:
                    self._held[k] = operator
            yield self.dtype.type(weight), operator

    def origin_of_nonfinite(self) -> Origin | None:
        """Return where the function of the first chunk that is not finite stops being so."""
        finders = (getattr(operator, "origin_of_nonfinite", None) for _, operator in self._operators())
        return next(filter(None, (find() for find in finders if find is not None)), None)

    def _summed(self, part: Callable[[Any], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """Add up the chunks' parts."""
        total = np.zeros(shape, self.dtype)
        for weight, operator in self._operators():
            total += weight * part(operator)
        return total

    def _apply(self, V: np.ndarray) -> np.ndarray:
        return self._summed(lambda operator: operator @ V, V.shape)

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n): the sum of the chunks'."""
        return self._summed(lambda operator: operator.to_dense(), self.shape)

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,): the sum of the chunks'."""
        return self._summed(lambda operator: operator.diagonal(), self.shape[:1])
