"""A function with its derivatives in the signatures of SciPy's and other solvers: value, gradient, Hessian, products."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hessian.errors import ShapeMismatchError, message
from hessian.operators import HessianOperator
from hessian.optimize.scipy_conventions import one_number
from hessian.optimize.scipy_objective import Space
from hessian.programs.runtime.functions import as_recorded
from hessian.sparse.functions import SparseHessian
from hessian.sparse.pattern import SparsityPattern
from hessian.tape.trees import ravel
from hessian.transforms.first_order import value_and_grad


class HessianStructure(NamedTuple):
    """Where a Hessian may have entries.

    Attributes
    ----------
    rows, columns : ndarray
        Of the lower triangle, for solvers that take triplets; ``hess(x)[rows, columns]`` are their values.
    pattern : SparsityPattern
    """

    rows: np.ndarray
    columns: np.ndarray
    pattern: SparsityPattern


class Derivatives:
    """A function of a vector with its derivatives; made by :func:`derivatives`.

    Attributes
    ----------
    x0 : ndarray, shape (n,)
        The start, raveled, in double precision.
    """

    def __init__(self, fun: Callable[..., Any], x0: Any, args: tuple[Any, ...], sparse: bool) -> None:
        self._source, self._space, self._args, self._sparse = (fun, x0), Space(x0), args, sparse
        self._function = as_recorded(one_number(fun, "derivatives"))
        self.x0 = self._space.start
        self._both = value_and_grad(self._function)
        self._hessian = SparseHessian(self._function, 0)
        self._last: tuple[np.ndarray, float, np.ndarray] | None = None

    def __repr__(self) -> str:
        return f"<Derivatives of a function of {len(self.x0)} variables, {'sparse' if self._sparse else 'dense'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Programs and patterns are found anew, where fun can be sent.
        return type(self), (*self._source, self._args, self._sparse)

    def fun(self, x: Any) -> float:
        """Return f(x)."""
        return self._first_order(x)[0]

    def jac(self, x: Any) -> np.ndarray:
        """Return the gradient, shape (n,)."""
        return self._first_order(x)[1].copy()

    def hess(self, x: Any) -> Any:
        """Return the Hessian, shape (n, n): a ``csc_array``, or an array where ``sparse=False``."""
        return self._hessian(self._tree(x), *self._args) if self._sparse else self._operator(x).to_dense()

    def hessp(self, x: Any, p: Any) -> np.ndarray:
        """Return the product of the Hessian at x with p, shape (n,)."""
        return np.asarray(self._operator(x) @ np.asarray(p, np.float64))

    @cached_property
    def hess_structure(self) -> HessianStructure:
        """Where the Hessian may have entries at x0, and wherever the function takes the same branches."""
        pattern = self._hessian.pattern(self._tree(self.x0), *self._args)
        rows, columns = pattern.matrix.nonzero()
        lower = rows >= columns
        return HessianStructure(rows[lower], columns[lower], pattern)

    def _tree(self, x: Any) -> Any:
        vector = np.asarray(x, np.float64)
        if vector.shape != self.x0.shape:
            what = f"x has shape {vector.shape}, x0 raveled has {self.x0.shape}"
            raise ShapeMismatchError(message("derivatives", what, "solvers pass vectors", "Start at .x0"))
        return self._space.structured(vector)

    def _first_order(self, x: Any) -> tuple[float, np.ndarray]:
        """Return value and gradient, which solvers ask for one after the other."""
        tree = self._tree(x)
        vector = np.array(x, np.float64)
        if self._last is None or not np.array_equal(self._last[0], vector):
            value, gradient = self._both(tree, *self._args)
            self._last = (vector, float(value), ravel(gradient)[0].astype(np.float64))
        return self._last[1:]

    def _operator(self, x: Any) -> HessianOperator:
        return HessianOperator(self._function, self._tree(x), *self._args)


def derivatives(fun: Callable[..., Any], x0: Any, args: Any = (), *, sparse: bool = True) -> Derivatives:
    r"""Return a function with gradient, Hessian and Hessian-vector products, as functions of a vector, for solvers of anybody's.

    Parameters
    ----------
    fun : callable
        Real function ``fun(x, *args)`` written in NumPy, plain or recorded.
    x0 : array, number or container
        A point of the shape and structure that fun takes; its numbers matter only to ``hess_structure``.
    args : tuple
        Further arguments of fun; anything else than a tuple counts as one argument.
    sparse : bool
        Whether ``hess`` returns :class:`scipy.sparse.csc_array` (:func:`hessian.sparse.hessian`) or dense arrays. Of SciPy's methods,
        ``"trust-constr"`` and ``"Newton-CG"`` take sparse Hessians; the other trust-region methods take dense ones, or ``hessp``.

    Returns
    -------
    Derivatives
        With ``fun(x)``, ``jac(x)``, ``hess(x)``, ``hessp(x, p)``, ``hess_structure`` (rows and columns of the lower triangle and the
        pattern) and ``x0``, the start as a vector.

    Raises
    ------
    DtypeError
        x0 cannot be differentiated in, or by a call: fun returns no real number.
    NotScalarError
        By a call: fun returns more than one number.
    ShapeMismatchError
        By a call: x is not a vector of the length of x0.

    Notes
    -----
    fun is recorded once for each derivative; value and gradient at one point are computed together. The result pickles where fun does.

    Examples
    --------
    >>> import numpy as np, hessian as hs, scipy.optimize
    >>> d = hs.optimize.derivatives(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), np.zeros(5))
    >>> res = scipy.optimize.minimize(d.fun, d.x0, jac=d.jac, hess=d.hess, method="trust-constr")
    >>> res.x.round(6).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    >>> d.hess_structure.rows.tolist(), d.hess_structure.columns.tolist()
    ([0, 1, 1, 2, 2, 3, 3, 4, 4], [0, 0, 1, 1, 2, 2, 3, 3, 4])
    """
    return Derivatives(fun, x0, args if isinstance(args, tuple) else (args,), sparse)
