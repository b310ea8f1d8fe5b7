"""Solutions with a sparse matrix of plain numbers: linear in the right-hand side, by one factor."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from hessian.rules.samples import A, case
from hessian.rules.spec import Linear, linear


class SparseFactor:
    """A sparse matrix of plain numbers with its LU factor, which is computed when it is first needed."""

    def __init__(self, matrix: Any, ordering: str | None = None) -> None:
        self.matrix, self.ordering = matrix, ordering

    def __repr__(self) -> str:
        return f"SparseFactor{self.matrix.shape}"

    @cached_property
    def lu(self) -> Any:
        """The factor."""
        from scipy.sparse.linalg import splu

        return splu(self.matrix.tocsc(), permc_spec=self.ordering)

    @cached_property
    def in_parts(self) -> SparseFactor:
        """Of a complex matrix the real one that acts on real parts above imaginary ones."""
        from scipy.sparse import block_array

        re, im = self.matrix.real, self.matrix.imag
        return SparseFactor(block_array([[re, -im], [im, re]]), self.ordering)


def _solved(b: Any, *, factor: SparseFactor, turned: bool) -> Any:
    """Solve for the last axis."""
    columns = np.ascontiguousarray(np.reshape(b, (-1, b.shape[-1])).T, float)
    x = factor.lu.solve(columns, "T" if turned else "N")
    return np.reshape(x.T, b.shape).astype(b.dtype)


class _Example(SparseFactor):
    """A small matrix for the registry walk."""

    def __init__(self) -> None:
        from scipy.sparse import diags_array

        super().__init__(diags_array([[-0.5] * 4, [2.0] * 5, [-0.7] * 4], offsets=[-1, 0, 1]))


spsolve_op: Linear = linear(
    "spsolve",
    _solved,
    transpose=lambda g, shape, *, factor, turned: spsolve_op(g, factor=factor, turned=not turned),
    cases=[case(A(5), factor=_Example(), turned=False), case(A(2, 5), factor=_Example(), turned=True)],
    real_only=True,
)
