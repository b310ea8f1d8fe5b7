"""What is known of the zeros of a Hessian or a Jacobian: data, without the function and without solvers."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.sparse.acyclic import Substitution, acyclic_coloring
from hessian.sparse.coloring import Coloring, star_coloring
from hessian.sparse.columns import Sides, jacobian_coloring


class SparsityPattern:
    r"""Where a Hessian or a Jacobian may have entries that are not zero, and how few products give them.

    Parameters
    ----------
    matrix : sparse array, shape (m, n)
        What it holds does not matter, only where.
    symmetric : bool
        Whether it is that of a Hessian: then an entry or its mirror image has to be read off a product, not both.
    dense_because : sequence of str
        Operations without a pattern of their own, taken to be dense.
    substitution : bool
        Whether entries of a Hessian may be solved for one after another (an acyclic coloring), which takes fewer products; else each is
        read off a product (a star coloring).

    Attributes
    ----------
    matrix : csr_array of bool, shape (m, n)
        Sorted, not to be written to; rows and columns are raveled results and arguments.
    shape : tuple of int
    nnz : int
    dense_because : tuple of str
        ``operation, at file:line: source`` of each; empty where every operation says its pattern.
    colors : ndarray of int
        Of the n variables; those of one color share a product, -1 is in none. Of a Jacobian those of its columns, or of its rows if
        pullbacks are fewer, or of columns and then rows if both take part.
    n_colors : int
        Number of products that give all values.
    error_growth : int
        The largest number of entries of products that are added up for an entry of the matrix, whose rounding error is at most that
        many times the largest of theirs: 1 without substitution.

    Raises
    ------
    OptionError
        It is no matrix; it is said to be symmetric and is not; substitution is asked for and it is not that of a Hessian.
    ShapeMismatchError
        It has not two axes, or is said to be symmetric and is not square.

    Notes
    -----
    Cost of the colors, which are made when they are asked for: time in proportion to the entries, some ten milliseconds for 1e5 variables
    on a line or a grid, about a microsecond an entry else.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> pattern = hs.sparse.hessian(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2)).pattern(np.zeros(1000))
    >>> pattern
    <SparsityPattern of a 1000 x 1000 Hessian: 2998 entries (0.3 %), 3 colors>
    >>> pattern.matrix[:3, :4].astype(int).toarray().tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]]
    """

    def __init__(self, matrix: Any, *, symmetric: bool, dense_because: Any = (), substitution: bool = False) -> None:
        self.matrix = _ones(matrix)
        self.is_symmetric = symmetric
        self.dense_because = tuple(dense_because)
        self.substitution = substitution
        if substitution and not symmetric:
            what, why = "substitution is asked for of a Jacobian", "entries are solved for from their mirror images"
            raise OptionError(message("SparsityPattern", what, why, "Leave substitution out"))
        if symmetric:
            m, n = self.matrix.shape
            if m != n:
                what = f"a symmetric pattern has shape {self.matrix.shape}"
                raise ShapeMismatchError(message("SparsityPattern", what, fix="Pass a square one"))
            if (self.matrix != self.matrix.T).nnz:
                what, why = "the pattern is not symmetric", "an entry would be read off its mirror image"
                raise OptionError(message("SparsityPattern", what, why, "Pass matrix + matrix.T, or symmetric=False"))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return (int(self.matrix.shape[0]), int(self.matrix.shape[1]))

    @property
    def nnz(self) -> int:
        """Number of entries."""
        return int(self.matrix.nnz)

    @cached_property
    def sides(self) -> Sides:
        """Colors of columns and of rows; of a Hessian columns alone."""
        if not self.is_symmetric:
            return jacobian_coloring(self.matrix)
        color = acyclic_coloring if self.substitution else star_coloring
        return Sides(color(self.matrix), Coloring(np.full(self.shape[0], -1), 0, "none"))

    @cached_property
    def solution(self) -> Substitution | None:
        """The order in which entries are solved for; ``None`` where each is read off a product."""
        return Substitution(self.matrix, self.sides.columns.colors) if self.substitution else None

    @property
    def error_growth(self) -> int:
        """The largest number of entries of products that are added up for an entry."""
        return 1 if self.solution is None else self.solution.growth

    @property
    def colors(self) -> np.ndarray:
        """The color of every variable."""
        columns, rows = self.sides.columns, self.sides.rows
        if not rows.n_colors:
            return columns.colors
        return rows.colors if not columns.n_colors else np.concatenate((columns.colors, rows.colors))

    @property
    def n_colors(self) -> int:
        """Number of products."""
        return self.sides.n_colors

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        _freeze(self.matrix)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparsityPattern):
            return NotImplemented
        a, b = self.matrix, other.matrix
        mine, others = (self.shape, self.is_symmetric, self.substitution), (other.is_symmetric, other.substitution)
        same = mine == (other.shape, *others)
        return same and np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        m, n = self.shape
        kind = "Hessian" if self.is_symmetric else "Jacobian"
        share = 100.0 * self.nnz / max(m * n, 1)
        percent = f"{share:.2g}" if share < 99.5 else "100"
        text = f"<SparsityPattern of a {m} x {n} {kind}: {self.nnz} entries ({percent} %), {self.n_colors} colors"
        return text + (f", dense because of {'; '.join(self.dense_because)}>" if self.dense_because else ">")


def _ones(matrix: Any) -> csr_array:
    """Return a matrix of ones where one has entries, sorted."""
    try:
        given = matrix if issparse(matrix) else np.asarray(matrix)
    except ValueError:
        given = np.empty((), object)  # of rows of different lengths
    if given.dtype.kind not in "biufc":
        what, fix = f"the matrix is {type(matrix).__name__} without numbers", "Pass a matrix, sparse or not"
        raise OptionError(message("SparsityPattern", what, fix=fix))
    if given.ndim != 2:
        raise ShapeMismatchError(message("SparsityPattern", f"the matrix has shape {given.shape}", fix="Pass two axes"))
    found = csr_array(given)
    ones = csr_array((np.ones(found.nnz, bool), found.indices.copy(), found.indptr.copy()), shape=found.shape)
    ones.sum_duplicates()
    _freeze(ones)
    return ones


def _freeze(matrix: csr_array) -> None:
    """Let nobody write to a pattern, which is that of what is computed later, too."""
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.setflags(write=False)
