"""What the operators of differentiated functions share: a point, sweeps, and programs of products."""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.linalg.blocks import unit_rows
from hessian.operators.symmetric import SymmetricOperator
from hessian.operators.vectors import as_direction, as_rows, is_traced
from hessian.programs.runtime.maps import CompiledMaps
from hessian.programs.runtime.point import ProgramAtPoint
from hessian.tape.trace import Primal
from hessian.tape.trees import join_vector, split_vector
from hessian.transforms.seeds import sweep_rows


class DifferentiatedOperator(SymmetricOperator):
    """The curvature of a function at a point: an operator on the raveled space of ``x``, given by batched products.

    A subclass fills in ``_products(dots, batch)``: leaves of directions to leaves of products. After a few of them they are
    compiled to a program; an operator of a recorded function brings one along.
    """

    def __init__(
        self, primal: Primal, program: ProgramAtPoint | None = None, f: Any = None, *, record: bool = True
    ) -> None:
        self.primal = primal
        self._program = program
        self._maps = CompiledMaps(type(self).__name__, f, record)
        # Whether the function uses values that somebody else is recording: then so are products.
        self._captures = False
        super().__init__(primal.size, primal.dtype)

    def _products(self, dots: list[Any], batch: tuple[int, ...]) -> list[Any]:
        raise NotImplementedError

    def dot(self, x: Any) -> Any:
        """Multiply with a vector, the columns of a matrix, a scalar or another operator; what ``@`` calls."""
        if type(x) is np.ndarray and x.shape == self.shape[1:] and x.dtype == self.dtype:
            return self._matvec(x)  # by far the most frequent, and SciPy's checks take longer than small products
        if self._captures or is_traced(x, self.primal.leaves):
            # SciPy would convert operands and results to plain arrays.
            return self._matvec(x) if np.ndim(x) == 1 else self._matmat(x)
        return super().dot(x)

    def __matmul__(self, other: Any) -> Any:
        if type(other) is np.ndarray and other.shape == self.shape[1:] and other.dtype == self.dtype:
            return self._matvec(other)
        return super().__matmul__(other)

    def _matvec(self, v: Any) -> Any:
        v = as_direction(v, self).reshape(-1)
        program = self._ready(v, 1)
        if program is not None:
            product = program.attempt(lambda: program.run("product", v)[0])
            if product is not None:
                return product
        return join_vector(self._products(split_vector(v, self.primal.shapes), ()))

    def _matmat(self, V: Any) -> Any:
        rows = as_rows(as_direction(V, self))
        program = self._ready(rows, self._blocks(len(rows)))
        if program is not None:
            products = program.attempt(lambda: program.rows("product", rows, symmetric=True))
            if products is not None:
                return products.T
        dots = split_vector(rows, self.primal.shapes, batch=1)
        return np.transpose(join_vector(self._products(dots, (len(rows),)), batch=1))

    def _blocks(self, directions: int) -> int:
        """Return how many sweeps so many directions take."""
        return 1 if self._program is not None else -(-directions // self._block_length())

    def _ready(self, direction: Any, count: int) -> ProgramAtPoint | None:
        """Return the program of the products, if there is one or it pays to make one; traced values are swept."""
        if self._captures or is_traced(direction, self.primal.leaves) or not self.shape[0]:
            return None
        if self._program is None:
            self._program = self._maps.after(count, self._length(), self._compiled_products)
        return self._program

    @property
    def is_compiled(self) -> bool:
        """Whether products are run by a program."""
        return self._program is not None

    def _compiled_products(self) -> Any:
        """Return what a program of the products is made from."""
        shapes = self.primal.shapes

        def product(v: Any) -> Any:
            return join_vector(self._products(split_vector(v, shapes), ()))

        return {"product": (product, self.shape[0], self.dtype)}

    def _length(self) -> int:
        """Return how many instructions a sweep runs through, as far as it is known."""
        return 0

    def _block_length(self) -> int:
        """Return how many directions to send through one sweep."""
        raise NotImplementedError

    def to_dense(self) -> np.ndarray:
        """Return the matrix, shape (n, n), by n products in blocks, half of them where the structure shows which."""
        program = self._ready(None, self._blocks(self.shape[0]))
        if program is not None:
            matrix = program.attempt(lambda: program.matrix("product", symmetric=True))
            if matrix is not None:
                return matrix
        shapes = self.primal.shapes
        if not self.shape[0]:
            return np.zeros(self.shape, self.dtype)
        return sweep_rows(lambda dots: self._products(dots, (len(dots[0]),)), shapes, self._block_length(), self.dtype)

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,).

        Notes
        -----
        Cost: n products in blocks, as for the dense matrix, without storing it.
        """
        program = self._ready(None, self._blocks(self.shape[0]))
        if program is not None:
            found = program.attempt(lambda: program.diagonal("product"))
            if found is not None:
                return found
        diagonal = np.empty(self.shape[0], self.dtype)
        for start, block in unit_rows(self.shape[0], self._block_length(), self.dtype):
            k = len(block)
            rows = join_vector(self._products(split_vector(block, self.primal.shapes, batch=1), (k,)), batch=1)
            diagonal[start : start + k] = rows[np.arange(k), np.arange(start, start + k)]
        return diagonal
