"""How many eigenvalues of a symmetric matrix are negative, and how near to zero others may be for that to be known.

Elimination without exchanges makes ``A + E = L D L'``, which has as many negative eigenvalues as D has negative entries (Sylvester),
whatever E is; and no eigenvalue of A is farther than the norm of E from one of A + E (Weyl). So a factor that is too inexact to solve
with counts all the same, where nothing is close to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from hessian.linalg import limits
from hessian.linalg.factoring import factor, with_diagonal
from hessian.linalg.superlu import elimination

ELIMINATIONS = 2
"""Orders of elimination in which pivots are looked at: those that are nearly zero in one are others in another."""
PROBES = 8
"""Random vectors that measure E."""
FAR = 10.0
"""How many times what they see, root mean square, its norm is not above, but for :data:`MISS`."""
MISS = 1.1e-7
"""Chance that eight squares of normal variables have a mean below a hundredth: that of an E of rank one, and of no other more."""

Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Count:
    """How many eigenvalues of ``A + E`` are negative.

    Attributes
    ----------
    negative : int
    difference : callable or None
        E times columns; ``None`` where it is rounding alone.
    """

    negative: int
    difference: Map | None = None

    def doubt(self, n: int, root: Map, adjoint: Map, rng: np.random.Generator) -> float:
        """Return what the norm of ``R' E R`` is not above, but for a chance of :data:`MISS`.

        The expectation of ``|B g|^2`` is the squared Frobenius norm of B, which its norm is not above.
        """
        if self.difference is None:
            return 0.0
        with np.errstate(all="ignore"):
            seen = adjoint(self.difference(root(rng.standard_normal((n, PROBES)))))
            largest = float(np.abs(seen).max()) or 1.0
            found = FAR * largest * float(np.sqrt(np.mean(np.sum((seen / largest) ** 2, axis=0))))
        return found if np.isfinite(found) else np.inf


def counts(matrix: Any, rng: np.random.Generator) -> Iterator[Count]:
    """Yield counts of a symmetric matrix, the cheapest first; none where elimination meets zeros in every order."""
    if not scipy.sparse.issparse(matrix):
        yield from _known(matrix)
        return
    matrix, n = with_diagonal(matrix), matrix.shape[0]
    if n <= limits.FACTOR_ORDER or matrix.nnz == n or limits.FACTOR_SHARE * matrix.nnz > n * n:
        yield from _known(matrix)
        return
    for attempt in range(ELIMINATIONS):
        order = rng.permutation(n) if attempt else np.arange(n)
        moved = with_diagonal(matrix[order][:, order]) if attempt else matrix
        found = _eliminated(moved, order)
        if found is not None:
            yield found


def _known(matrix: Any) -> Iterator[Count]:
    """Count by a factor that knows its inertia, where none is zero."""
    found = factor(matrix).inertia
    if found is not None and not found[2]:
        yield Count(found[1])


def _eliminated(matrix: Any, order: np.ndarray) -> Count | None:
    """Count pivots on the diagonal; ``matrix`` is A in an order."""
    way = elimination(matrix)
    moved, _ = way.moved(matrix, 0.0)
    try:
        lu = way.factored(moved)
    except RuntimeError:
        # A pivot that is exactly zero.
        return None
    pivots = np.asarray(lu.U.diagonal())
    if not (np.array_equal(lu.perm_r, lu.perm_c) and np.isfinite(pivots).all() and pivots.all()):
        return None
    lower, place = lu.L, lu.perm_c

    def difference(V: np.ndarray) -> np.ndarray:
        V = V[order]
        inner = np.empty_like(V)
        inner[place] = way.forth(V)
        image = way.back((lower @ (pivots[:, None] * (lower.T @ inner)))[place]) - matrix @ V
        result = np.empty_like(V)
        result[order] = image
        return result

    return Count(int((pivots < 0.0).sum()), difference)
