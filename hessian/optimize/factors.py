"""The Hessian of a run as a sparse matrix, or one plus low rank, and its factors: the structure found once, symbolic work kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csc_array

from hessian.errors import DerivativeCheckError, TooDenseError, message
from hessian.linalg import limits
from hessian.linalg.factor import Factor, Plan
from hessian.linalg.factoring import analyse, with_diagonal
from hessian.linalg.sum_factor import factor_sum
from hessian.linalg.sums import SymmetricSum
from hessian.operators.hessian_operator import HessianOperator
from hessian.sparse.split import PartsOverflowError

if TYPE_CHECKING:
    from hessian.sparse.decompress import Structure


class Factors:
    """What is kept of sparse Hessians between the points of a run.

    Attributes
    ----------
    is_on : bool
        Whether models and checks of the curvature are made of sparse factors.
    is_asked : bool
        Whether the user, or a method, has asked for them.
    is_split : bool
        Whether the Hessian is a sparse matrix plus one of low rank.
    structure : Structure or None
        Pattern and colors at the last point.
    """

    def __init__(self) -> None:
        self.is_on = self.is_asked = self.is_split = False
        self.structure: Structure | None = None
        self._most = self._products = self._rank = 0
        self._plan: Plan | None = None
        self._filled: tuple[csc_array, np.ndarray] | None = None
        #: The last matrix that was factored and turned out definite, and its factor.
        self.last: tuple[SymmetricSum, Factor] | None = None

    def is_sparse(self, operator: HessianOperator) -> bool:
        """Tell whether the Hessian at a point is worth factoring: few products give it, and few of its numbers are entries."""
        n = operator.shape[0]
        most = min(limits.FACTOR_COLORS, n // limits.SPARSE_SHARE)
        structure = operator.few_products(most)
        if structure is not None and limits.SPARSE_SHARE * structure.pattern.nnz <= n * n:
            self._learn(structure)
            return True
        try:
            return self._splits(operator, most)
        except DerivativeCheckError:
            # Cut is what the function does not depend on smoothly here: products know better.
            self.is_split = False
            return False

    def _splits(self, operator: HessianOperator, most: int) -> bool:
        """Tell whether it is with few numbers cut out that everything passes through."""
        n, parts = operator.shape[0], operator.parts(most)
        if parts is None or limits.SPARSE_SHARE * parts.structure.pattern.nnz > n * n:
            return False
        operator.split_by(parts)
        self.is_split, self._most, self._products = True, most, parts.products
        self._learn(parts.structure)
        return True

    def refuse_dense(self, operator: HessianOperator, where: str) -> None:
        """Refuse a Hessian whose entries are most of its numbers, and are so without what is of low rank, too."""
        n = operator.shape[0]
        most = n // limits.SPARSE_SHARE
        few = operator.few_products(most)
        if n > limits.STEP_ORDER and few is None and self._splits(operator, most):
            return
        structure = operator.structure(self.structure) if few is None else few
        pattern = structure.pattern
        if n > limits.STEP_ORDER and limits.DENSE_SHARE * pattern.nnz > n * n:
            because = "; ".join(pattern.dense_because) or operator.makes_dense()
            what = f"the Hessian of {n} variables has {pattern.nnz} entries: {because} makes it dense"
            fix = "Leave structure out, or pass structure='operator', which multiplies with it"
            raise TooDenseError(message(where, what, "Factors of it take n^3 operations", fix))
        self._learn(structure)

    def matrix(self, operator: HessianOperator) -> SymmetricSum:
        """Return the Hessian at a point, in double precision, with the whole diagonal of what is sparse in the pattern."""
        parts = operator.parts(self._most) if self.is_split else None
        if parts is None:
            # Where the function takes another branch, nothing may have to be cut.
            matrix, structure = operator.sparse_by(self.structure)
            self._keep(structure)
            return SymmetricSum(self._with_diagonal(matrix))
        try:
            found = operator.split_by(parts)
        except PartsOverflowError:
            if not self.is_asked:
                raise
            # At this point a sparse Hessian has no numbers, and steps are along the gradient.
            n = operator.shape[0]
            return SymmetricSum(csc_array((np.full(n, np.nan), np.arange(n), np.arange(n + 1)), shape=(n, n)))
        self._keep(parts.structure)
        columns, signs = found.orthogonal()
        self._rank = len(signs)
        return SymmetricSum(self._with_diagonal(found.sparse), columns, signs)

    def _with_diagonal(self, matrix: csc_array) -> csc_array:
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

    def factor(self, matrix: SymmetricSum, shift: float = 0.0) -> Factor:
        """Factor ``matrix + shift I``, to see whether it is definite."""
        if self._plan is None:
            self._plan = analyse(matrix.sparse)
        found = factor_sum(self._plan, matrix, shift, definite=True)
        if not shift and found.is_definite:
            self.last = matrix, found
        return found

    def factor_alone(self, matrix: SymmetricSum, shift: float) -> Factor:
        """Factor a matrix whose pattern may be another one."""
        return factor_sum(analyse(matrix.sparse), matrix, shift, definite=True)

    def is_cheap(self) -> bool:
        """Tell whether factors have a narrow band, so that a factorisation costs what tens of products do."""
        assert self.structure is not None
        if self._plan is None:
            pattern = self.structure.pattern.matrix
            self._plan = analyse(with_diagonal(pattern))
        return self._plan.kind in ("banded", "bordered", "dense", "diagonal")

    @property
    def kind(self) -> str:
        """How factors are made."""
        return "" if self._plan is None else self._plan.kind

    @property
    def name(self) -> str:
        """What the Hessian is, as the result says it."""
        return "sparse plus low rank" if self.is_split else "sparse"

    def _keep(self, structure: Structure) -> None:
        if structure is not self.structure:
            self._learn(structure)

    def _learn(self, structure: Structure) -> None:
        self.structure, self._plan, self._filled, self.last = structure, None, None, None

    def state(self) -> dict[str, int]:
        """What a resumed run has to know that does not look again."""
        return {"is_on": self.is_on, "is_split": self.is_split, "most": self._most, "products": self._products}

    def restore(self, state: dict[str, int]) -> None:
        """Take over a state."""
        self.is_on, self.is_split = bool(state["is_on"]), bool(state["is_split"])
        self._most, self._products = state["most"], state["products"]

    def text(self) -> str:
        """Say what the Hessian is like."""
        assert self.structure is not None
        pattern = self.structure.pattern
        factors = f", factors {self.kind}" if self.kind else ""
        if self.is_split:
            rank = f" plus one of rank {self._rank}" if self._rank else " plus one of low rank"
            return f"a sparse matrix of {pattern.nnz} entries{rank}, by {self._products} products{factors}"
        return f"a sparse Hessian of {pattern.nnz} entries by {pattern.n_colors} products{factors}"
