"""A growing orthonormal basis for block Lanczos with full reorthogonalisation and thick restarts."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from hessian.curvature.products import Products


class BlockSpace:
    r"""Orthonormal rows Q and coefficients C with :math:`H Q^T = Q^T C + P^T R`, P the next block.

    C is kept as Gram and Schmidt compute it, not as the symmetric band that it is in exact arithmetic, so that the relation,
    and the residuals read off it, hold in floating point for the products that were made.

    References
    ----------
    K. Wu and H. Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", SIAM J. Matrix Anal. Appl. 22
    (2000) 602-616.
    """

    def __init__(self, products: Products, capacity: int, rng: np.random.Generator) -> None:
        self._products = products
        self._rng = rng
        self.capacity = capacity
        self._rows = np.empty((min(capacity, 32), products.n), products.dtype)
        self._C = np.zeros((capacity, capacity))
        self._R = np.zeros((0, 0))
        # Of the residual parts that were dropped when vectors were locked, the Gram matrix: it turns with the basis.
        self._dropped = np.zeros((0, 0))
        self._rounding = 0.0
        self._kept = 0
        self.size = 0
        self.steps = 0
        self.pending = np.zeros((0, products.n), products.dtype)

    @property
    def is_full(self) -> bool:
        """Whether the next block does not fit."""
        return self.size + len(self.pending) > self.capacity

    @property
    def is_whole(self) -> bool:
        """Whether the basis spans everything."""
        return self.size == self._products.n

    def begin(self, block: int) -> None:
        """Start from random directions, orthogonal to what there is."""
        block = min(block, self._products.n - self.size)
        fresh = self._rng.standard_normal((block, self._products.n)).astype(self._products.dtype)
        self.pending, _ = self._orthonormal(fresh / np.linalg.norm(fresh, axis=1, keepdims=True))
        self._R = np.zeros((block, 0))
        self.steps = 0

    def extend(self) -> None:
        """Spend one product per row of the pending block."""
        b, first = len(self.pending), self.size
        last = first + b
        self._reserve(last)
        self._rows[first:last] = self.pending
        images = np.ascontiguousarray(self._products(self.pending.T).T)
        basis = self._rows[:last]
        coefficients = images @ basis.T
        rest = images - coefficients @ basis
        again = rest @ basis.T
        rest = rest - again @ basis
        self._C[:last, first:last] = (coefficients + again).T
        self._mirror(first, last)
        self.size = last
        self.steps += 1
        self.pending, self._R = self._orthonormal(rest, self._products.magnitude)

    def ritz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return eigenvalues of the projected operator, ascending, their vectors in the basis, and residual norms."""
        m = self.size
        C = self._C[:m, :m]
        values, S = scipy.linalg.eigh(0.5 * (C + C.T))
        inside = np.linalg.norm(C @ S - S * values, axis=0)
        outside = np.linalg.norm(self._R @ S[m - self._R.shape[1] :], axis=0) if self._R.size else 0.0
        old = S[: len(self._dropped)]
        dropped = np.sqrt(np.maximum(np.sum(old * (self._dropped @ old), axis=0), 0.0))
        return values, S, np.hypot(inside, outside) + dropped + self._rounding

    def lift(self, S: np.ndarray) -> np.ndarray:
        """Return combinations of the basis as rows."""
        return S.T.astype(self._rows.dtype) @ self._rows[: self.size]

    def keep(self, values: np.ndarray, S: np.ndarray, *, lock: bool = False) -> None:
        """Shrink to Ritz vectors; the next block stays, or is dropped where they are locked."""
        p, m = len(values), self.size
        C = self._C[:m, :m]
        # What symmetrising discards stays in the books, so that residuals remain true.
        self._rounding += float(np.linalg.norm(C @ S - S @ (S.T @ C @ S)))
        coupling = self._R @ S[m - self._R.shape[1] :]
        old = S[: len(self._dropped)]
        self._dropped = old.T @ self._dropped @ old
        self._rows[:p] = self.lift(S)
        self._C[:] = 0.0
        self._C[:p, :p] = np.diag(values)
        self.size = self._kept = p
        if lock:
            # |a + b|^2 <= 2 |a|^2 + 2 |b|^2 for parts whose angle is not known.
            dropped = coupling.T @ coupling
            self._dropped = 2.0 * (self._dropped + dropped) if np.any(self._dropped) else dropped
        self._R = coupling

    def _reserve(self, rows: int) -> None:
        """Make room, doubling up to the capacity."""
        if rows > len(self._rows):
            grown = np.empty(
                (min(self.capacity, max(rows, 2 * len(self._rows))), self._rows.shape[1]), self._rows.dtype
            )
            grown[: self.size] = self._rows[: self.size]
            self._rows = grown

    def _mirror(self, first: int, last: int) -> None:
        """Fill in the coefficients of earlier images on the new rows: known from R, or by symmetry, which is checked."""
        C, width = self._C, self._R.shape[1]
        known = np.zeros((last - first, first))
        known[:, first - width :] = self._R
        gap = float(np.max(np.abs(C[:first, first:last].T - known), initial=0.0))
        # Parts below the residuals of locked vectors were dropped from R.
        gap -= min(gap, float(np.sqrt(np.trace(self._dropped))))
        self._products.check_symmetric(C[first:last, first:last])
        self._products.check_symmetric(np.array([[0.0, gap], [0.0, 0.0]]))
        known[:, : self._kept] = C[: self._kept, first:last].T
        C[first:last, :first] = known

    def _orthonormal(self, rows: np.ndarray, magnitude: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Return orthonormal rows P, also to the basis, and R with ``rows = R^T P``; spent directions become random."""
        room = self._products.n - self.size
        count = min(len(rows), room)
        P = np.empty((count, rows.shape[1]), rows.dtype)
        R = np.zeros((count, len(rows)))
        negligible = 10.0 * self._products.eps * magnitude
        used = 0
        for k in range(len(rows)):
            w = rows[k]
            for _ in range(2):
                inner = P[:used] @ w
                R[:used, k] += inner
                w = w - inner @ P[:used]
            length = float(np.linalg.norm(w))
            if length > negligible and used < count:
                R[used, k] = length
                P[used] = self._reorthogonal(w / length, P[:used])
                used += 1
        while used < count:
            fresh = np.asarray(self._rng.standard_normal((rows.shape[1],)), rows.dtype)
            P[used] = self._reorthogonal(fresh / np.linalg.norm(fresh), P[:used])
            used += 1
        return P, R

    def _reorthogonal(self, w: np.ndarray, block: np.ndarray) -> np.ndarray:
        """Project a unit vector off the basis and the block, until that changes nothing any more."""
        basis = self._rows[: self.size]
        for _ in range(4):
            w = w - (basis @ w) @ basis
            w = w - (block @ w) @ block
            length = float(np.linalg.norm(w))
            w = w / length
            if length > 0.7:
                return w
        return w
