"""The Hessian of a run as a sparse matrix and its factors: the structure found once, symbolic work kept from point to point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csc_array

from hessian.errors import TooDenseError, message
from hessian.linalg import limits
from hessian.linalg.factor import Factor, Plan
from hessian.linalg.factoring import analyse, with_diagonal
from hessian.operators.hessian_operator import HessianOperator

if TYPE_CHECKING:
    from hessian.sparse.decompress import Structure


class Factors:
    """What is kept of sparse Hessians between the points of a run.

    Attributes
    ----------
    is_on : bool
        Whether models and checks of the curvature are made of sparse factors.
    structure : Structure or None
        Pattern and colors at the last point.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.structure: Structure | None = None
        self._plan: Plan | None = None
        self._filled: tuple[csc_array, np.ndarray] | None = None
        #: The last matrix that was factored and turned out definite, and its factor.
        self.last: tuple[csc_array, Factor] | None = None

    def is_sparse(self, operator: HessianOperator) -> bool:
        """Tell whether the Hessian at a point is worth factoring: few products give it, and few of its numbers are entries."""
        n = operator.shape[0]
        structure = operator.few_products(min(limits.FACTOR_COLORS, n // limits.SPARSE_SHARE))
        if structure is None or limits.SPARSE_SHARE * structure.pattern.nnz > n * n:
            return False
        self._learn(structure)
        return True

    def refuse_dense(self, operator: HessianOperator, where: str) -> None:
        """Refuse a Hessian whose entries are most of its numbers."""
        structure = operator.structure(self.structure)
        n, pattern = operator.shape[0], structure.pattern
        if n > limits.STEP_ORDER and limits.DENSE_SHARE * pattern.nnz > n * n:
            because = "; ".join(pattern.dense_because) or operator.makes_dense()
            what = f"the Hessian of {n} variables has {pattern.nnz} entries: {because} makes it dense"
            fix = "Leave structure out, or pass structure='operator', which multiplies with it"
            raise TooDenseError(message(where, what, "Factors of it take n^3 operations", fix))
        self._learn(structure)

    def matrix(self, operator: HessianOperator) -> csc_array:
        """Return the Hessian at a point, in double precision, with its whole diagonal in the pattern."""
        matrix, structure = operator.sparse_by(self.structure)
        if structure is not self.structure:
            self._learn(structure)
        if self._filled is None:
            marked = csc_array((np.arange(1.0, matrix.nnz + 1), matrix.indices, matrix.indptr), shape=matrix.shape)
            full = with_diagonal(marked)
            self._filled = full, np.flatnonzero(full.data)
        full, at = self._filled
        data = matrix.data.astype(np.float64, copy=False)
        if len(at) < full.nnz:
            placed = np.zeros(full.nnz)
            placed[at] = data
            data = placed
        return csc_array((data, full.indices, full.indptr), shape=full.shape)

    def factor(self, matrix: csc_array, shift: float = 0.0) -> Factor:
        """Factor ``matrix + shift I``, to see whether it is definite."""
        if self._plan is None:
            self._plan = analyse(matrix)
        found = self._plan.factor(matrix, shift, definite=True)
        if not shift and found.is_definite:
            self.last = matrix, found
        return found

    def factor_alone(self, matrix: csc_array, shift: float) -> Factor:
        """Factor a matrix whose pattern may be another one."""
        return analyse(matrix).factor(matrix, shift, definite=True)

    def is_cheap(self) -> bool:
        """Tell whether factors have a narrow band, so that a factorisation costs what tens of products do."""
        assert self.structure is not None
        if self._plan is None:
            pattern = self.structure.pattern.matrix
            self._plan = analyse(with_diagonal(pattern))
        return self._plan.kind in ("banded", "bordered", "dense")

    @property
    def kind(self) -> str:
        """How factors are made."""
        return "" if self._plan is None else self._plan.kind

    def _learn(self, structure: Structure) -> None:
        self.structure, self._plan, self._filled, self.last = structure, None, None, None

    def text(self) -> str:
        """Say what the Hessian is like."""
        assert self.structure is not None
        pattern = self.structure.pattern
        factors = f", factors {self.kind}" if self.kind else ""
        return f"a sparse Hessian of {pattern.nnz} entries by {pattern.n_colors} products{factors}"
