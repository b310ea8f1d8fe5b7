r"""Which entries of a result depend on which entries of the arguments, and which of these do so together nonlinearly.

A pattern holds for every value of the arguments that carry derivatives: it may name an entry that is zero, and never misses one
that is not. It is made in operations on whole arrays, of flat positions in C order, and kept as sparse matrices of ones, so that
sets of indices go through a program by products: with :math:`G_i` the entries of x that entries of argument i depend on (rows
times entries of x), those of the result are :math:`\bigcup_i J_i G_i`, and those of x that meet in a second derivative are
:math:`\bigcup (A_i G_i)^T (B_j G_j)` over the pairs :math:`(i, j, A_i, B_j)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

Matrix = Any
"""A sparse matrix of ones."""


@dataclass(frozen=True)
class Pattern:
    """The sparsity of one operation at operands of given shapes.

    Attributes
    ----------
    jacobians : tuple
        Per argument the matrix J of shape ``(y.size, x.size)``, with a one where an entry of the result may depend on an entry of
        the argument; ``None`` for an argument without derivative.
    pairs : tuple of (i, j, A, B)
        Entries of arguments i and j may have a mixed second derivative where some row of A and the same row of B have ones for
        them; A and B have the shapes ``(m, x_i.size)`` and ``(m, x_j.size)``.
    """

    jacobians: tuple[Matrix | None, ...]
    pairs: tuple[tuple[int, int, Matrix, Matrix], ...] = ()

    def hessian(self, i: int, j: int) -> Matrix | None:
        """Return where second derivatives in arguments i and j of some entry of the result may be; ``None`` for nowhere."""
        parts = [(a.T @ b).astype(bool) for p, q, a, b in self.pairs if (p, q) == (i, j)]
        parts += [(b.T @ a).astype(bool) for p, q, a, b in self.pairs if (q, p) == (i, j) and p != q]
        return sum(parts[1:], parts[0]) if parts else None


def as_matrix(pattern: Any) -> Matrix | None:
    """Return a pattern as a sparse matrix of ones; ``None`` stays."""
    return pattern if pattern is None else csr_array(pattern, dtype=bool)


def picks(positions: np.ndarray, size: int) -> Matrix:
    """Return the matrix that picks the elements at flat positions, one a row; a negative position is a row of zeros."""
    flat = positions.ravel()
    rows = np.flatnonzero(flat >= 0)
    return _ones(rows, flat[rows], (flat.size, size))


def _ones(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Matrix:
    return csr_array((np.ones(rows.size, bool), (rows.ravel(), columns.ravel())), shape=shape)


def _numbers(shape: tuple[int, ...], first: int = 0) -> np.ndarray:
    return np.arange(first, first + math.prod(shape)).reshape(shape)


def dense(y: Any, xs: Sequence[Any]) -> list[Matrix]:
    """Let everything depend on everything."""
    return [csr_array(np.ones((y.size, np.size(x)), bool)) for x in xs]


def broadcast(y: Any, xs: Sequence[Any]) -> list[Matrix]:
    """Let an element of the result depend on the elements of the arguments that broadcasting puts in its place."""
    return [picks(np.broadcast_to(_numbers(np.shape(x)), y.shape), np.size(x)) for x in xs]


def moved(function: Callable[..., Any], xs: Sequence[Any]) -> list[Matrix]:
    """Return where a function that moves elements (new ones are zeros) takes them from, by running it on their positions."""
    sizes = [int(np.size(x)) for x in xs]
    starts = np.cumsum([0, *sizes])
    # One-based, so that a zero that the function brings in reads as a hole.
    numbers = [_numbers(np.shape(x), int(start) + 1) for x, start in zip(xs, starts, strict=False)]
    origins = np.asarray(function(*numbers)) - 1
    of = np.searchsorted(starts, origins, side="right") - 1
    return [
        picks(np.where((of == i) & (origins >= 0), origins - start, -1), size)
        for i, (start, size) in enumerate(zip(starts, sizes, strict=False))
    ]


def moved_back(transpose: Callable[[np.ndarray], Sequence[Any]], y: Any, xs: Sequence[Any]) -> list[Matrix]:
    """Return where a function that adds elements up takes them to, by running its transpose on positions in the result."""
    pieces = transpose(_numbers(y.shape, 1))
    return [picks(np.asarray(piece) - 1, y.size).T.tocsr() for piece in pieces]


def acting(function: Callable[..., Any], y: Any, xs: Sequence[Any]) -> list[Matrix]:
    """Return where a linear map has coefficients, by its action on unit vectors."""
    matrices = []
    for i, x in enumerate(xs):
        size, shape = int(np.size(x)), np.shape(x)
        others = [np.zeros((size, *np.shape(other))) for other in xs]
        others[i] = np.eye(size).reshape((size, *shape))
        matrices.append(csr_array(np.reshape(function(*others), (size, y.size)).T != 0))
    return matrices


def products(labels: Sequence[str], y: Any, a: Any, b: Any) -> Pattern:
    """Return the pattern of a sum of products over labelled axes; leading axes broadcast."""
    left, right, result = labels
    loop = y.shape[: y.ndim - len(result)]
    lengths: dict[str, int] = {}
    for x, names in ((a, left), (b, right)):
        lengths |= dict(zip(names, np.shape(x)[np.ndim(x) - len(names) :], strict=True))
    names = "".join(lengths)

    def placed(shape: tuple[int, ...], letters: str) -> np.ndarray:
        """Return positions in an array, over the loops and all labels."""
        inner = shape[len(shape) - len(letters) :]
        positions = np.broadcast_to(_numbers(shape), (*loop, *inner))
        order = [letters.index(name) for name in sorted(letters, key=names.index)]
        positions = positions.transpose((*range(len(loop)), *(len(loop) + i for i in order)))
        opened = positions.reshape((*loop, *(lengths[name] if name in letters else 1 for name in names)))
        return np.broadcast_to(opened, (*loop, *lengths.values()))

    of_a, of_b, of_y = placed(np.shape(a), left), placed(np.shape(b), right), placed(y.shape, result)
    shared = "".join(name for name in left if name in right)
    meeting = placed((*loop, *(lengths[name] for name in shared)), shared)
    count = math.prod(loop) * math.prod(lengths[name] for name in shared)
    jacobians = tuple(_ones(of_y, at, (y.size, np.size(x))) for at, x in ((of_a, a), (of_b, b)))
    meet = [_ones(meeting, at, (count, np.size(x))) for at, x in ((of_a, a), (of_b, b))]
    return Pattern(jacobians, ((0, 1, meet[0], meet[1]),))


def blocks(core: Sequence[int], y: Any, xs: Sequence[Any]) -> tuple[Matrix, list[Matrix]]:
    """Return which core block an element of the result is in, and which elements of the arguments are in which block."""
    loop = y.shape[: y.ndim - core[-1]]
    count = math.prod(loop)

    def members(x: Any, axes: int) -> Matrix:
        shape = np.shape(x)
        inner = shape[len(shape) - axes :]
        positions = np.broadcast_to(_numbers(shape), (*loop, *inner))
        block = np.broadcast_to(_numbers(loop)[(..., *(None,) * axes)], positions.shape)
        return _ones(block, positions, (count, int(np.size(x))))

    return members(y, core[-1]).T.tocsr(), [members(x, axes) for x, axes in zip(xs, core, strict=False)]


def lines(axes: Sequence[int], y: Any, xs: Sequence[Any]) -> tuple[Matrix, list[Matrix]]:
    """Return likewise lines along axes, which the result has too."""
    rest = [1 if i - y.ndim in axes else n for i, n in enumerate(y.shape)]

    def members(x: Any) -> Matrix:
        line = np.broadcast_to(_numbers(tuple(rest)), np.shape(x))
        return _ones(line, _numbers(np.shape(x)), (math.prod(rest), int(np.size(x))))

    return members(y).T.tocsr(), [members(x) for x in xs]


def running(axis: int, y: Any, x: Any) -> Matrix:
    """Return the pattern of a running sum along an axis: every element depends on those before it."""
    numbers = np.moveaxis(_numbers(np.shape(x)), axis, -1)
    n = numbers.shape[-1]
    row, column = np.tril_indices(n)
    return _ones(numbers[..., row], numbers[..., column], (y.size, np.size(x)))
