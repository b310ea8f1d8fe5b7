"""Sparse Hessians and Jacobians of functions: the structure once, then a product per color at every point."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Generic

import numpy as np
from scipy.sparse import csc_array

from hessian.errors import DtypeError, TooDenseError, message
from hessian.programs.compilation import CompilationError, report_failure
from hessian.programs.ir import Section
from hessian.programs.runtime.arguments import Arguments
from hessian.programs.runtime.functions import Watched
from hessian.programs.runtime.recorded import RecordedFunction
from hessian.programs.tasks import Composition, Task, Unfit, numbered
from hessian.signatures import P
from hessian.sparse.decompress import Structure
from hessian.sparse.detect import Source, gauss_newton_pattern, hessian_pattern, jacobian_pattern
from hessian.sparse.entries import spread
from hessian.sparse.pattern import SparsityPattern
from hessian.tape.maps import GaussNewtonMap
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.selection import ArgNums, Curried


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


_REFUSED = "refused"


def few_products(at: FunctionAtPoint, most: int, where: str, source: Source | None = None) -> Structure | None:
    """Return the structure of a matrix at a point if it takes few products; ``None`` where it takes more, or holds traced values.

    Of a program it is known for the next time that it takes more.
    """
    if at.passes_traced(None) or at.is_swept:
        return None
    known = {} if at.compiled is None else at.compiled.structures
    if known.get(_REFUSED, 0) >= most:
        return None
    structure = _few_products(at, most, source_of(at, where) if source is None else source)
    if structure is None:
        known[_REFUSED] = most
    return structure


def _few_products(at: FunctionAtPoint, most: int, source: Source) -> Structure | None:
    try:
        if at.compiled is None:
            pattern, _ = detected(at, source, most)
            structure = Structure(pattern) if pattern.n_colors <= most else None
        else:
            structure = structure_at(at, source, widest=most)
    except TooDenseError:
        return None
    return structure if structure is not None and structure.pattern.n_colors <= most else None


_SEEN = "seen"


def entries_of(
    whole: Section, values: int, source: tuple[Any, ...], seen: tuple[np.ndarray, np.ndarray]
) -> tuple[Section, dict[Any, Any]]:
    """Return what computes the entries of a Hessian, and the structure that they are of; see :class:`hessian.programs.tasks.Task`."""

    def structure_of() -> Structure:
        try:
            found = hessian_pattern(Source(*source))
        except TooDenseError:
            raise Unfit from None
        if found.is_volatile:
            raise Unfit  # unseen: what moves by computed positions is not followed, which comes first
        return Structure(SparsityPattern(found.matrix, symmetric=True, dense_because=found.dense_because))

    whole, structure = spread(whole, values, structure_of)
    inputs = [np.array(x) for x in Arguments(source[1], source[2], numbers_of(source[3])).inputs]
    return whole, {False: (structure, structure), _SEEN: (inputs, seen)}


def entries_at(
    programs: Any, argnums: ArgNums, args: Sequence[Any], kwargs: dict[str, Any], where: str
) -> tuple[Structure, csc_array] | None:
    """Return the structure and the Hessian of a recorded function, by a program of its entries; ``None`` where there is none."""
    task = Task("entries", numbered("curvature", argnums, len(args), where).argnums, entries_of)
    ran = programs.replay(task, args, kwargs, (), where)
    if ran is None:
        return None
    compiled, (data,) = ran
    structure, _ = compiled.structures[False]
    if structure is None:
        return None
    matrix = structure.filled(data)
    inputs, seen = compiled.structures.get(_SEEN) or ((), None)
    # Another thread may be first, at another point.
    if seen is not None and all(map(np.array_equal, inputs, Arguments(args, kwargs, numbers_of(argnums)).inputs)):
        compiled.structures.pop(_SEEN, None)
        if _reproduces(matrix, seen, compiled.coarse):
            return structure, matrix
        compiled.structures[False] = (None, None)
        report_failure(where, CompilationError("entries do not multiply as sweeps do"))
        return None
    return structure, matrix


def numbers_of(argnums: ArgNums) -> tuple[int, ...]:
    """Return numbers of arguments as a tuple."""
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


def _reproduces(matrix: csc_array, seen: tuple[np.ndarray, np.ndarray], coarse: bool) -> bool:
    """Tell whether a matrix gives the product that the plain sweeps gave, in the precision of the function."""
    v, expected = seen
    with np.errstate(all="ignore"):
        gap, size = np.abs(matrix @ v - expected), abs(matrix) @ v
    if not np.isfinite(expected).all():
        return True
    eps = float(np.finfo(np.float32 if coarse else matrix.dtype).eps)
    # Sweeps may cancel what entries do not: nearly all digits of the largest, and half of those of each.
    allowed = math.sqrt(eps) * (size + np.abs(expected)) + 1e4 * eps * np.max(size, initial=0.0)
    return bool((gap <= allowed).all())


class Following(Curried, Generic[P]):
    """What is made of a function that it records, and follows where that captures data."""

    def __init__(self, f: Callable[P, Any], argnums: ArgNums) -> None:
        super().__init__(f, argnums)
        self._watched = Watched(f)

    @property
    def function(self) -> RecordedFunction:
        """The function, whose programs keep what is known of its structure."""
        return self._watched.function


class SparseDerivative(Following[P]):
    """A function that computes a sparse matrix of derivatives; made by :func:`hessian` and :func:`jacobian`."""

    _kind = ""

    def __init__(self, f: Callable[P, Any], argnums: ArgNums, substitution: bool = False) -> None:
        super().__init__(f, argnums)
        self._substitution = substitution
        self._known: Structure | None = None

    def _at(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[FunctionAtPoint, Structure]:
        task = numbered(self._kind, self.argnums, len(args), self.where)
        at = FunctionAtPoint(self.function, task, args, kwargs, where=self.where)
        source = Source(self.function, args, kwargs, self.argnums, self.where)
        self._known = structure_at(at, source, self._known, substitution=self._substitution)
        return at, self._known

    def _entries(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Structure, csc_array] | None:
        """Return the structure and the matrix without products; ``None`` where these have to give them."""
        if self._kind != "curvature" or self._substitution:
            return None
        return entries_at(self.function, self.argnums, args, kwargs, self.where)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> csc_array:
        return self._watched(self._matrix, args, kwargs)

    def _matrix(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> csc_array:
        found = self._entries(args, kwargs)
        if found is not None:
            return found[1]
        at, structure = self._at(args, kwargs)
        return matrix_at(at, structure, self.where)

    def pattern(self, /, *args: P.args, **kwargs: P.kwargs) -> SparsityPattern:
        """Return the pattern at a point; it holds wherever the function does the same operations."""
        return self._watched(self._pattern, args, kwargs)

    def _pattern(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SparsityPattern:
        found = self._entries(args, kwargs)
        return (self._at(args, kwargs)[1] if found is None else found[0]).pattern


class SparseHessian(SparseDerivative[P]):
    """See :func:`hessian`."""

    _kind, where = "curvature", "sparse.hessian"


class SparseJacobian(SparseDerivative[P]):
    """See :func:`jacobian`."""

    _kind, where = "map", "sparse.jacobian"


def hessian(f: Callable[P, Any], argnums: ArgNums = 0, *, substitution: bool = False) -> SparseHessian[P]:
    r"""Return a function that computes the Hessian as a sparse matrix, without products or by as few as its pattern needs.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy, plain or recorded: ``f(x, *args, **kwargs)``. A plain one is recorded as well, and run at
        every call to see whether data that it captures have changed: then it is recorded anew. :func:`hessian.record` saves that run, and
        looks in some calls only: data that change are to be arguments there.
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

    What a product does to its direction is linear. Where all of its operations can be followed (they move elements, add them up,
    multiply them), the coefficients of every element of the direction are known as sums of elements of few vectors, at fixed places: a
    program computes these vectors and puts the entries together. Otherwise, or where that is more work, variables are
    colored so that every entry stands alone in some product (a star coloring, which may read an entry off its mirror
    image), products with all colors are run by one program, and one gather puts them in place. Either way entries equal those of the
    dense Hessian up to rounding, and the matrix is symmetric to the last bit. The first matrix of a program is compared with a product.

    Cost: f recorded and its pattern found once, time in proportion to the entries; then at every point what the second derivatives
    in f take and a pass over the entries, or ``n_colors`` products. Memory: 12 bytes an entry, and what puts them in place.

    References
    ----------
    R. M. Gower, M. P. Mello, "A new framework for the computation of Hessians", Optimization Methods and Software 27 (2012), for Hessians
    from second derivatives of single operations.

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


def jacobian(f: Callable[P, Any], argnums: ArgNums = 0) -> SparseJacobian[P]:
    r"""Return a function that computes the Jacobian as a sparse matrix, by as few products as its pattern needs.

    Parameters
    ----------
    f : callable
        ``f(x, *args, **kwargs)`` returns an array or a container of arrays. It is recorded, as for :func:`hessian`.
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
