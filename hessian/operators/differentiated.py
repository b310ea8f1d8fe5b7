"""What the operators of differentiated functions share: a function at a point, whose maps they are."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from hessian.operators.symmetric import SymmetricOperator
from hessian.operators.vectors import as_direction, as_operand, as_rows, read_only
from hessian.programs.runtime.point import Product
from hessian.tape.origins import Origin
from hessian.transforms.locate import origin_in
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.seeds import check_room


class MapOperator(LinearOperator):
    """A linear map of a function at a point as an operator: what ``@`` finds first, before SciPy looks at its operand.

    After a few products they are compiled to a program; an operator of a recorded function brings one along.
    """

    _map = "product"
    _at: FunctionAtPoint
    _products: dict[str, Product]

    def _take(self, at: FunctionAtPoint) -> None:
        self._at, self._products, self.primal = at, at.products, at.primal

    def origin_of_nonfinite(self) -> Origin | None:
        """Return where the function, or a derivative that the map is made of, stops being finite."""
        f, args, argnums = self._at.source
        return origin_in(f, args, argnums=argnums, order=2 if self._map == "product" else 1)

    def compiled_product(self, v: Any) -> np.ndarray | None:
        """Multiply with a vector by a program, in an error state of its own; ``None`` where there is none for it."""
        product = self._products.get(self._map)
        return None if product is None else product(v)

    def __matmul__(self, other: Any) -> Any:
        # By far the most frequent, and SciPy's checks take longer than small products.
        product = self._products.get(self._map)
        result = None if product is None else product(other)
        return super().__matmul__(other) if result is None else result

    def dot(self, x: Any) -> Any:
        """Multiply with a vector, the columns of a matrix, a scalar or another operator; what ``@`` calls."""
        if self._at.passes_traced(x):
            # SciPy would convert operands and results to plain arrays.
            return self._matvec(x) if np.ndim(x) == 1 else self._matmat(x)
        return super().dot(as_operand(x, self))

    def _matvec(self, v: Any) -> Any:
        return self._at.product(as_direction(v, self).reshape(-1), self._map)

    def _matmat(self, V: Any) -> Any:
        return np.transpose(self._at.rows(as_rows(as_direction(V, self)), self._map))


class DifferentiatedOperator(MapOperator, SymmetricOperator):
    """The curvature of a function at a point: an operator on the raveled space of ``x``.

    Parameters
    ----------
    at : FunctionAtPoint
    """

    def __init__(self, at: FunctionAtPoint) -> None:
        self._take(at)
        self.value = at.values[0]
        super().__init__(at.sizes["product"], at.primal.dtype)

    @cached_property
    def gradient(self) -> np.ndarray:
        """The gradient at x, raveled, shape (n,)."""
        return read_only(self._at.gradient)

    @property
    def is_compiled(self) -> bool:
        """Whether products are run by a program."""
        return bool(self._products)

    def to_dense(self, *, max_bytes: int | None = None) -> np.ndarray:
        """Return the matrix, shape (n, n), by n products in blocks, half of them where the structure shows which.

        A matrix of more than ``max_bytes``, 8 GiB by default, is refused by a :class:`TooDenseError`.
        """
        n = self.shape[0]
        check_room(type(self).__name__, n, n, self.dtype, max_bytes, "H.to_sparse()")
        return self._at.matrix()

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,).

        Notes
        -----
        Cost: n products in blocks, as for the dense matrix, without storing it.
        """
        return self._at.diagonal()
