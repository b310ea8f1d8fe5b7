"""Sparse Hessians and Jacobians of functions: the structure once, then a product per color at every point."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from scipy.sparse import csc_array

from hessian.errors import DtypeError, TooDenseError, message
from hessian.programs.runtime.functions import as_recorded
from hessian.programs.tasks import Composition, numbered
from hessian.sparse.decompress import Structure
from hessian.sparse.detect import Source, gauss_newton_pattern, hessian_pattern, jacobian_pattern
from hessian.sparse.pattern import SparsityPattern
from hessian.tape.maps import GaussNewtonMap
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.selection import ArgNums, curried


def detected(
    at: FunctionAtPoint, source: Source, widest: int | None = None, substitution: bool = False
) -> tuple[SparsityPattern, bool]:
    """Return the pattern of a function at a point, and whether it is that of this point only."""
    # What has been traced without a program need not run again.
    local = at.sweeps.local if at.compiled is None else None
    if isinstance(source.f, Composition):
        assert local is None or isinstance(local, GaussNewtonMap)
        found = gauss_newton_pattern(source, None if local is None else (local.traced, local.loss.traced), widest)
    else:
        find = hessian_pattern if "product" in at.sizes else jacobian_pattern
        found = find(source, None if local is None else local.traced, widest)
    pattern = SparsityPattern(
        found.matrix,
        symmetric="product" in at.sizes,
        dense_because=found.dense_because,
        substitution=substitution,
    )
    return pattern, found.is_volatile


def structure_at(
    at: FunctionAtPoint,
    source: Source,
    known: Structure | None = None,
    *,
    widest: int | None = None,
    substitution: bool = False,
) -> Structure:
    """Return the structure of a function at a point: kept with its program, or looked for.

    What is looked for again and has the same pattern is the structure that is ``known``.
    """
    kept = None if at.compiled is None else at.compiled.structures.get(substitution)
    if kept is not None and kept[0] is not None:
        return kept[0]
    if kept is not None:
        known = kept[1]
    pattern, is_volatile = detected(at, source, widest, substitution)
    structure = known if known is not None and known.pattern == pattern else Structure(pattern)
    if at.compiled is not None:
        # Where positions are computed, the pattern holds at this point only.
        at.compiled.structures[substitution] = (None if is_volatile else structure, structure)
    return structure


def matrix_at(at: FunctionAtPoint, structure: Structure, where: str) -> csc_array:
    """Return the matrix of a function at a point, by a product per color."""
    if at.passes_traced(None):
        what, why = "a value is traced by somebody else", "a sparse matrix holds plain numbers"
        raise DtypeError(message(where, what, why, "Use hs.hessian, hs.hvp or an operator there"))
    pushed, pulled = structure.seeds(at.dtype)
    with structure.memory(at.dtype) as memory:
        if structure.pattern.is_symmetric:
            return structure.matrix(at.rows(pushed, out=memory), pulled)
        forward = at.rows(pushed, "pushforward", memory) if len(pushed) else pushed
        return structure.matrix(forward, at.rows(pulled, "pullback") if len(pulled) else pulled)


def sparse_matrix(at: FunctionAtPoint, where: str) -> csc_array:
    """Return the matrix of the maps of a function at a point: its Hessian, or its Jacobian."""
    return matrix_at(at, structure_at(at, source_of(at, where)), where)


def source_of(at: FunctionAtPoint, where: str) -> Source:
    """Return the function of a point with its arguments, to be run on tapes."""
    f, args, argnums = at.source
    return Source(f, args, {}, argnums, where)


def few_products(at: FunctionAtPoint, most: int, where: str) -> Structure | None:
    """Return the structure of a Hessian at a point if it takes few products; ``None`` where it takes more, or holds traced values."""
    if at.passes_traced(None) or at.is_swept:
        return None
    source = source_of(at, where)
    try:
        if at.compiled is None:
            pattern, _ = detected(at, source, most)
            structure = Structure(pattern) if pattern.n_colors <= most else None
        else:
            structure = structure_at(at, source, widest=most)
    except TooDenseError:
        return None
    return structure if structure is not None and structure.pattern.n_colors <= most else None


class SparseDerivative:
    """A function that computes a sparse matrix of derivatives; made by :func:`hessian` and :func:`jacobian`.

    Attributes
    ----------
    function : RecordedFunction
        The function, whose programs keep what is known of patterns.
    """

    _kind, _where = "", ""

    def __init__(self, f: Callable[..., Any], argnums: ArgNums, substitution: bool = False) -> None:
        curried(f, argnums, self._where)
        self._substitution = substitution
        self.function = as_recorded(f)
        self._argnums = argnums
        self._known: Structure | None = None
        functools.update_wrapper(self, self.function.function, updated=())

    def _at(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[FunctionAtPoint, Structure]:
        task = numbered(self._kind, self._argnums, len(args), self._where)
        at = FunctionAtPoint(self.function, task, args, kwargs, where=self._where)
        source = Source(self.function, args, kwargs, self._argnums, self._where)
        self._known = structure_at(at, source, self._known, substitution=self._substitution)
        return at, self._known

    def __call__(self, *args: Any, **kwargs: Any) -> csc_array:
        at, structure = self._at(args, kwargs)
        return matrix_at(at, structure, self._where)

    def pattern(self, *args: Any, **kwargs: Any) -> SparsityPattern:
        """Return the pattern at a point; it holds wherever the function does the same operations."""
        return self._at(args, kwargs)[1].pattern

    def __getstate__(self) -> dict[str, Any]:
        settings = {"argnums": self._argnums, "substitution": self._substitution}
        return {"function": self.function, "known": self._known, **settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["function"], state["argnums"], state["substitution"])  # type: ignore[misc]
        self._known = state["known"]


class SparseHessian(SparseDerivative):
    """See :func:`hessian`."""

    _kind, _where = "curvature", "sparse.hessian"


class SparseJacobian(SparseDerivative):
    """See :func:`jacobian`."""

    _kind, _where = "map", "sparse.jacobian"


def hessian(f: Callable[..., Any], argnums: ArgNums = 0, *, substitution: bool = False) -> SparseHessian:
    r"""Return a function that computes the Hessian as a sparse matrix, by as few products as its pattern needs.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy, plain or recorded: ``f(x, *args, **kwargs)``.
    argnums : int or tuple of int
        Which positional arguments to differentiate in.
    substitution : bool
        Whether entries may be solved for one after another, which takes fewer products (2 instead of 3 for three diagonals) and adds their
        rounding errors up: up to ``.pattern(x).error_growth`` of them.

    Returns
    -------
    callable
        ``(x, ...) -> H``, a symmetric :class:`scipy.sparse.csc_array` of shape (n, n) over the raveled x; containers are raveled leaf
        after leaf. ``.pattern(x, ...)`` is its :class:`SparsityPattern`.

    Raises
    ------
    NotScalarError, DtypeError
        As for :func:`hessian.grad`.
    TooDenseError
        The pattern has more entries than fit in memory; the message names the operation that makes it dense.

    Notes
    -----
    The pattern is a property of the operations that f does, and kept with the program of f for the branch that was taken: at a point
    where f does others it is looked for anew. ``where``, ``maximum`` and ``clip`` count with both their sides. An entry of the
    pattern may be zero in value; what is outside of it is zero at every point.

    Variables are colored so that every entry stands alone in some product (a star coloring, which may read an entry off its mirror
    image), products with all colors are run by one program, and one gather puts them in place. Entries equal those of the dense
    Hessian up to rounding, and the matrix is symmetric to the last bit.

    Cost: f recorded and its pattern and colors found once, time in proportion to the entries; then ``n_colors`` products at every
    point. Memory: 12 bytes an entry, and 8 n bytes a color.

    References
    ----------
    A. H. Gebremedhin, F. Manne, A. Pothen, "What color is your Jacobian? Graph coloring for computing derivatives", SIAM Review 47
    (2005).

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hess = hs.sparse.hessian(lambda x: np.sum(x[1:] * x[:-1] ** 2))
    >>> hess(np.array([1.0, 2.0, 3.0])).toarray().tolist()
    [[4.0, 2.0, 0.0], [2.0, 6.0, 4.0], [0.0, 4.0, 0.0]]
    >>> hess.pattern(np.zeros(10**5)).n_colors
    3
    """
    return SparseHessian(f, argnums, substitution)


def jacobian(f: Callable[..., Any], argnums: ArgNums = 0) -> SparseJacobian:
    r"""Return a function that computes the Jacobian as a sparse matrix, by as few products as its pattern needs.

    Parameters
    ----------
    f : callable
        ``f(x, *args, **kwargs)`` returns an array or a container of arrays.
    argnums : int or tuple of int
        Which positional arguments to differentiate in.

    Returns
    -------
    callable
        ``(x, ...) -> J``, a :class:`scipy.sparse.csc_array` of shape (m, n) from the raveled x to the raveled result.
        ``.pattern(x, ...)`` is its :class:`SparsityPattern`.

    Raises
    ------
    DtypeError, TooDenseError
        As for :func:`hessian`.

    Notes
    -----
    Pushforwards, pullbacks or both, whichever are fewest. Everything else as for :func:`hessian`.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> J = hs.sparse.jacobian(lambda x: np.diff(x) ** 2)(np.array([0.0, 1.0, 3.0]))
    >>> J.toarray().tolist()
    [[-2.0, 2.0, 0.0], [0.0, -4.0, 4.0]]
    """
    return SparseJacobian(f, argnums)
