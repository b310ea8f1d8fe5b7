"""The Lanczos process, in one direction and in blocks: a basis that is kept orthonormal, and the matrix projected to it."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from hessian.linalg.dense import eigh
from hessian.linalg.limits import RITZ_ORDER
from hessian.linalg.vectors import norm, row_norms

INVARIANT = 10.0
"""What is left of an image counts as nothing below so many units of rounding of the operator's magnitude."""
_ENOUGH = 0.7
"""Share of a vector that is left when a run of Gram and Schmidt that follows another changed nothing but rounding."""


class Basis:
    """Orthonormal rows of length n, in memory that doubles up to a capacity, all orthogonal to locked rows that do not count."""

    def __init__(self, n: int, capacity: int, dtype: np.dtype, locked: np.ndarray | None = None) -> None:
        self.n, self.capacity, self.size = n, capacity, 0
        self.locked = np.empty((0, n), dtype) if locked is None else locked
        self._memory = np.empty((min(capacity, 16), n), dtype)

    @property
    def rows(self) -> np.ndarray:
        """The rows, shape (size, n)."""
        return self._memory[: self.size]

    def append(self, rows: np.ndarray) -> None:
        """Add one row, or several."""
        size = self.size + (len(rows) if rows.ndim == 2 else 1)
        if size > len(self._memory):
            grown = np.empty((min(self.capacity, max(size, 2 * len(self._memory))), self.n), self._memory.dtype)
            grown[: self.size] = self.rows
            self._memory = grown
        self._memory[self.size : size] = rows
        self.size = size

    def replace(self, rows: np.ndarray) -> None:
        """Keep nothing but these."""
        self.size = 0
        self.append(rows)

    def project(self, w: np.ndarray, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients of vectors on the rows from ``first`` on, and what the rows leave of them.

        By classical Gram-Schmidt run twice, enough for orthogonality to rounding (Parlett 1998, section 6.9), and with it for what
        is said about residuals.
        """
        rows, locked, coefficients = self._memory[first : self.size], self.locked, np.zeros(())
        for _ in range(2):
            if len(locked):
                w = w - (w @ locked.T) @ locked
            inner = w @ rows.T
            w = w - inner @ rows
            coefficients = coefficients + inner
        return coefficients, w

    def lift(self, S: np.ndarray) -> np.ndarray:
        """Return combinations of the rows, one for each column of S, as rows; for a vector one vector."""
        return np.asarray(S.T.astype(self._memory.dtype) @ self.rows)


class Lanczos:
    r"""The process from one vector: :math:`A Q^T = Q^T T + \beta q e_k^T` with orthonormal rows Q and T tridiagonal.

    The caller multiplies: :attr:`next` is the vector whose product is wanted, and :meth:`absorb` takes it in. So whoever has several
    processes makes their products at once.

    Parameters
    ----------
    start : ndarray, shape (n,)
        Not zero. Only its direction matters.
    capacity : int
        Vectors at most.
    locked : ndarray, shape (l, n), optional
        Orthonormal rows: the process is that of A on their complement.
    orthogonal : int, optional
        Vectors up to which the basis is kept orthogonal; by default all. Beyond, one is orthogonal to the last two only: extreme
        eigenvalues are found all the same, some of them more than once (Paige 1980).

    Attributes
    ----------
    alphas, betas : list of float
        The diagonal of T, and the entries beside it, the last of which is :math:`\beta`.
    magnitude : float
        A bound from below on the norm of A: the largest entry seen, or what the caller knows.
    asymmetry : float
        By how much the last image differed, along the vector before, from what a symmetric A gives.
    is_invariant : bool
        Whether A maps the space to itself, to rounding.
    is_finite : bool
        False once a product was not; it is left out, and nothing more is taken in.

    References
    ----------
    B. N. Parlett, The Symmetric Eigenvalue Problem (1998), chapter 13. C. C. Paige, Linear Algebra Appl. 34 (1980) 235-258.
    """

    def __init__(
        self, start: np.ndarray, capacity: int, *, locked: np.ndarray | None = None, orthogonal: int | None = None
    ) -> None:
        self.basis = Basis(start.size, capacity, start.dtype, locked)
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self.magnitude = self.asymmetry = 0.0
        self.is_invariant, self.is_finite = False, True
        self._whole = capacity if orthogonal is None else orthogonal
        self._eps = float(np.finfo(start.dtype).eps)
        if len(self.basis.locked):
            start = self.basis.project(start)[1]
        length = norm(start)
        if not length > 0.0:
            raise ValueError(f"a Lanczos process needs a start off the locked vectors, and got one of length {length}")
        self.next = start / length

    @property
    def size(self) -> int:
        """Dimension of the space."""
        return self.basis.size

    def absorb(self, image: np.ndarray) -> None:
        """Take in the product with the next vector, which becomes one of the basis."""
        if not math.isfinite(norm(image)):
            self.is_finite = False
            return
        k = self.size
        self.basis.append(self.next)
        inner, rest = self.basis.project(image, 0 if k < self._whole else k - 1)
        alpha, beta = float(inner[-1]), norm(rest)
        self.asymmetry = abs(float(inner[-2]) - self.betas[-1]) if self.betas else 0.0
        # The last beta is known to belong to T only now.
        self.magnitude = max(self.magnitude, abs(alpha), self.betas[-1] if self.betas else 0.0)
        self.alphas.append(alpha)
        self.betas.append(beta)
        is_whole = k + 1 + len(self.basis.locked) >= self.basis.n
        self.is_invariant = is_whole or beta <= INVARIANT * self._eps * self.magnitude
        if not self.is_invariant:
            self.next = rest / beta

    def ritz(self, steps: int | None = None) -> tuple[np.ndarray, np.ndarray, float]:
        r"""Return the eigenvalues of T after so many steps, by default all, ascending, their vectors, and the :math:`\beta` there.

        The residual of a Ritz vector is :math:`\beta` times the last component of its vector; it is 0 in an invariant space.
        """
        k = self.size if steps is None else min(steps, self.size)
        values, vectors = scipy.linalg.eigh_tridiagonal(self.alphas[:k], self.betas[: k - 1])
        return values, vectors, 0.0 if k == self.size and self.is_invariant else self.betas[k - 1]

    def extreme(self, position: int) -> tuple[float, np.ndarray]:
        """Return one eigenvalue of T, 0 being the first and -1 the last, and its vector."""
        k = self.size
        only = {} if k <= RITZ_ORDER else {"select": "i", "select_range": (position % k, position % k)}
        values, vectors = scipy.linalg.eigh_tridiagonal(self.alphas, self.betas[: k - 1], **only)
        return float(values[position if not only else 0]), vectors[:, position if not only else 0]


class BlockLanczos:
    r"""The process from a block of directions, with thick restarts: :math:`A Q^T = Q^T C + P^T R`, P the next block.

    The caller multiplies the :attr:`pending` block and hands the images to :meth:`absorb`. C is kept as Gram and Schmidt compute it, not
    as the symmetric band that it is in exact arithmetic, so that the relation, and the residuals read off it, hold in floating
    point for the products that were made.

    The generator draws starting directions, and those that take the place of spent ones; ``capacity`` is the most vectors.

    Attributes
    ----------
    steps : int
        Blocks taken in since the last random start.
    asymmetry : float
        By how much the last images differ from those of a symmetric A, along the basis.

    References
    ----------
    K. Wu and H. Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", SIAM J. Matrix Anal. Appl. 22
    (2000) 602-616.
    """

    def __init__(self, n: int, capacity: int, dtype: np.dtype, rng: np.random.Generator) -> None:
        self._basis, self._rng = Basis(n, capacity, dtype), rng
        self._eps = float(np.finfo(dtype).eps)
        self._C = np.zeros((capacity, capacity))
        self._R = np.zeros((0, 0))
        # Of the residual parts that were dropped when vectors were locked, the Gram matrix: it turns with the basis.
        self._dropped = np.zeros((0, 0))
        self._rounding = 0.0
        self._restarted = 0
        self.steps = 0
        self.asymmetry = 0.0
        self.pending = np.zeros((0, n), dtype)

    @property
    def size(self) -> int:
        """Dimension of the space."""
        return self._basis.size

    @property
    def capacity(self) -> int:
        """Vectors at most."""
        return self._basis.capacity

    @property
    def is_full(self) -> bool:
        """Whether the next block does not fit."""
        return self.size + len(self.pending) > self.capacity

    @property
    def is_whole(self) -> bool:
        """Whether the basis spans everything."""
        return self.size == self._basis.n

    def begin(self, block: int) -> None:
        """Start from random directions, orthogonal to what there is."""
        block = min(block, self._basis.n - self.size)
        self.pending = self._orthonormal(self._random(block), 1.0)[0]
        self._R = np.zeros((block, 0))
        self.steps = 0

    def absorb(self, images: np.ndarray, magnitude: float) -> None:
        """Take in the products with the pending block, shape (b, n), of an operator of that magnitude."""
        first = self.size
        self._basis.append(self.pending)
        coefficients, rest, is_settled = self._taken_apart(images, first)
        self._C[: self.size, first : self.size] = coefficients.T
        self._mirror(first, self.size)
        self.steps += 1
        self.pending, self._R = self._orthonormal(rest, magnitude, is_settled)

    def _taken_apart(self, images: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return the coefficients of images on the basis, what it leaves of them, and whether that is orthogonal to it to rounding.

        Nearly all of an image is in rows whose coefficients are known by symmetry, and in its own. Without these, a single run of
        classical Gram and Schmidt takes so little away that it is enough (Parlett 1998, section 6.9): half of what two runs read.
        """
        rows, width = self._basis.rows, self._R.shape[1]
        w = images - self._R.astype(images.dtype) @ rows[first - width : first]
        own = w @ rows[first:].T
        w = w - own @ rows[first:]
        coefficients = np.zeros((len(images), len(rows)))
        coefficients[:, first - width : first] = self._R
        coefficients[:, first:] += own
        for _ in range(3):
            before = row_norms(w)
            inner = w @ rows.T
            w = w - inner @ rows
            coefficients += inner
            if np.all(row_norms(w) >= _ENOUGH * before):
                return coefficients, w, True
        return coefficients, w, False

    def ritz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return eigenvalues of the projected operator, ascending, their vectors in the basis, and residual norms."""
        m = self.size
        C = self._C[:m, :m]
        values, S = eigh(C)
        inside = np.linalg.norm(C @ S - S * values, axis=0)
        outside = np.linalg.norm(self._R @ S[m - self._R.shape[1] :], axis=0) if self._R.size else 0.0
        old = S[: len(self._dropped)]
        dropped = np.sqrt(np.maximum(np.sum(old * (self._dropped @ old), axis=0), 0.0))
        return values, S, np.hypot(inside, outside) + dropped + self._rounding

    def lift(self, S: np.ndarray) -> np.ndarray:
        """Return combinations of the basis as rows."""
        return self._basis.lift(S)

    def keep(self, values: np.ndarray, S: np.ndarray, *, lock: bool = False) -> None:
        """Shrink to Ritz vectors; the next block stays, or is dropped where they are locked."""
        p, m = len(values), self.size
        C = self._C[:m, :m]
        # What symmetrising discards stays in the books, so that residuals remain true.
        self._rounding += float(np.linalg.norm(C @ S - S @ (S.T @ C @ S)))
        coupling = self._R @ S[m - self._R.shape[1] :]
        old = S[: len(self._dropped)]
        self._dropped = old.T @ self._dropped @ old
        self._basis.replace(self.lift(S))
        self._C[:] = 0.0
        self._C[:p, :p] = np.diag(values)
        self._restarted = p
        if lock:
            # |a + b|^2 <= 2 |a|^2 + 2 |b|^2 for parts whose angle is not known.
            dropped = coupling.T @ coupling
            self._dropped = 2.0 * (self._dropped + dropped) if np.any(self._dropped) else dropped
        self._R = coupling

    def _mirror(self, first: int, last: int) -> None:
        """Fill in the coefficients of earlier images on the new rows: known from R, or by symmetry, which is measured."""
        C, width = self._C, self._R.shape[1]
        known = np.zeros((last - first, first))
        known[:, first - width :] = self._R
        gap = float(np.max(np.abs(C[:first, first:last].T - known), initial=0.0))
        # Parts below the residuals of locked vectors were dropped from R.
        gap -= min(gap, float(np.sqrt(np.trace(self._dropped))))
        square = C[first:last, first:last]
        self.asymmetry = max(gap, float(np.max(np.abs(square - square.T), initial=0.0)))
        known[:, : self._restarted] = C[: self._restarted, first:last].T
        C[first:last, :first] = known

    def _random(self, count: int) -> np.ndarray:
        """Draw unit vectors."""
        fresh = self._rng.standard_normal((count, self._basis.n)).astype(self.pending.dtype)
        return np.asarray(fresh / np.linalg.norm(fresh, axis=1, keepdims=True))

    def _orthonormal(
        self, rows: np.ndarray, magnitude: float, is_settled: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return orthonormal rows P, also to the basis, and R with ``rows = R^T P``; spent directions become random.

        Settled rows are orthogonal to the basis to rounding; a single one stays so.
        """
        count = min(len(rows), self._basis.n - self.size)
        P = np.empty((count, rows.shape[1]), rows.dtype)
        R = np.zeros((count, len(rows)))
        used = 0
        for k, w in enumerate(rows):
            for _ in range(2):
                inner = P[:used] @ w
                R[:used, k] += inner
                w = w - inner @ P[:used]
            length = norm(w)
            if length > INVARIANT * self._eps * magnitude and used < count:
                R[used, k] = length
                P[used] = w / length if is_settled and len(rows) == 1 else self._reorthogonal(w / length, P[:used])
                used += 1
        for k in range(used, count):
            P[k] = self._reorthogonal(self._random(1)[0], P[:k])
        return P, R

    def _reorthogonal(self, w: np.ndarray, block: np.ndarray) -> np.ndarray:
        """Project a unit vector off the basis and the block, until that changes nothing any more."""
        basis = self._basis.rows
        for _ in range(4):
            w = w - (basis @ w) @ basis
            w = w - (block @ w) @ block
            length = norm(w)
            w = w / length
            if length > _ENOUGH:
                return w
        return w
