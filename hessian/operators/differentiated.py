"""What the operators of differentiated functions share: a function at a point, whose maps they are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import LinearOperator

from hessian.linalg import limits
from hessian.operators.symmetric import SymmetricOperator
from hessian.operators.vectors import as_direction, as_operand, as_rows, read_only
from hessian.pickles import name_in_module
from hessian.programs.runtime.point import Product
from hessian.programs.tasks import Composition
from hessian.signatures import Multiplies
from hessian.tape.origins import Origin
from hessian.transforms.locate import origin_in
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.seeds import check_room

if TYPE_CHECKING:
    from hessian.sparse.decompress import Structure


class MapOperator(LinearOperator):
    """A linear map of a function at a point as an operator: what ``@`` finds first, before SciPy looks at its operand.

    After a few products they are compiled to a program; an operator of a recorded function brings one along.
    """

    if TYPE_CHECKING:
        # SciPy's stubs have the arguments of its own operators here.
        def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...

    _map = "product"
    _at: FunctionAtPoint
    _products: dict[str, Product]

    def _take(self, at: FunctionAtPoint) -> None:
        self._at, self._products, self.primal = at, at.products, at.primal

    def __reduce_ex__(self, protocol: Any) -> Any:
        f = self._at.source[0]
        parts = (f.model, f.loss) if isinstance(f, Composition) else (f,)
        name_in_module(self, *parts, instead="Pickle to_dense(), or the point, and make the operator anew")
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        # SciPy's operators hold modules from 1.18 on, which it leaves out of a state.
        return {name: part for name, part in super().__getstate__().items() if name != "_products"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore: Any = getattr(super(), "__setstate__", self.__dict__.update)
        restore(state)
        self._products = self._at.products

    def origin_of_nonfinite(self) -> Origin | None:
        """Return where the function, or a derivative that the map is made of, stops being finite."""
        f, args, argnums = self._at.source
        return origin_in(f, args, argnums=argnums, order=2 if self._map == "product" else 1)

    def compiled_product(self, v: Any) -> np.ndarray | None:
        """Multiply with a vector by a program, in an error state of its own; ``None`` where there is none for it."""
        product = self._products.get(self._map)
        return None if product is None else product(v)

    @overload
    def __matmul__(self, other: Multiplies) -> LinearOperator: ...
    @overload
    def __matmul__(self, other: ArrayLike) -> NDArray[Any]: ...
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

    def to_sparse(self) -> csc_array:
        """Return the matrix as a sparse one, shape (n, n), by as few products as its pattern needs.

        :func:`hessian.sparse.hessian` says how and at which cost, and keeps the pattern for other points. A pattern that does not fit in
        memory is refused by a :class:`TooDenseError`.

        Examples
        --------
        >>> import numpy as np, hessian as hs
        >>> H = hs.HessianOperator(lambda x: np.sum(x[1:] * x[:-1] ** 2), np.array([1.0, 2.0, 3.0]))
        >>> H.to_sparse().toarray().tolist()
        [[4.0, 2.0, 0.0], [2.0, 6.0, 4.0], [0.0, 4.0, 0.0]]
        """
        from hessian.sparse.functions import sparse_matrix

        return sparse_matrix(self._at, f"{type(self).__name__}.to_sparse")

    def to_dense(self, *, max_bytes: int | None = None) -> np.ndarray:
        """Return the matrix, shape (n, n): by as few products as its pattern needs where that is few, else by n in blocks.

        A matrix of more than ``max_bytes``, 8 GiB by default, is refused by a :class:`TooDenseError`.
        """
        n = self.shape[0]
        check_room(type(self).__name__, n, n, self.dtype, max_bytes, "H.to_sparse()")
        return self._at.matrix() if self._few is None else self._from_few(self._few).toarray()

    def diagonal(self) -> np.ndarray:
        """Return the exact diagonal, shape (n,): by as few products as the pattern needs where that is few, else by n in blocks."""
        return self._at.diagonal() if self._few is None else self._from_few(self._few).diagonal()

    def _from_few(self, structure: Structure | None) -> csc_array:
        assert structure is not None
        from hessian.sparse.functions import matrix_at

        return matrix_at(self._at, structure, type(self).__name__)

    @cached_property
    def _few(self) -> Structure | None:
        """The structure of the matrix, if it spares most of the products."""
        n = self.shape[0]
        if n < limits.SPARSE_ORDER:
            return None
        from hessian.sparse.functions import few_products

        return few_products(self._at, n // limits.SPARSE_SHARE, type(self).__name__)

    def diagonal_products(self, most: int) -> int:
        """Return how many products :meth:`diagonal` takes, looking no further than ``most``."""
        n = self.shape[0]
        if "_few" not in self.__dict__ and n >= limits.SPARSE_ORDER:
            found = self.few_products(min(most, n // limits.SPARSE_SHARE))
            if found is not None:
                self.__dict__["_few"] = found
        few = self.__dict__.get("_few")
        return n if few is None else few.pattern.n_colors

    def sparse_by_few(self, most: int) -> csc_array | None:
        """Return the matrix as a sparse one where at most so many products give it, and fewer than n; else ``None``."""
        return None if self.diagonal_products(most) > min(most, self.shape[0] - 1) else self._from_few(self._few)

    def few_products(self, most: int) -> Structure | None:
        """Return the structure of the matrix if it takes at most so many products; else ``None``."""
        from hessian.sparse.functions import few_products

        return few_products(self._at, most, type(self).__name__)

    def structure(self, known: Structure | None = None) -> Structure:
        """Return the structure of the matrix; the one that is known, where that is the same."""
        from hessian.sparse.functions import source_of, structure_at

        return structure_at(self._at, source_of(self._at, type(self).__name__), known)

    def sparse_by(self, known: Structure | None) -> tuple[csc_array, Structure]:
        """Return the matrix as a sparse one, and its structure; the one that is known, where that is the same."""
        structure = self.structure(known)
        return self._from_few(structure), structure
