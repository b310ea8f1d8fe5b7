"""Sparse plus low rank: systems with ``S + U D U'`` by a factor of S and a bordered matrix of few rows."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from hessian.linalg.factor import Factor, FactorStatus

LOST = 1e3
"""Size of what is taken apart, in units of the difference, from which on three digits of it are lost."""
_EQUILIBRATIONS = 10


class LowRankFactor(Factor):
    r"""A factor of :math:`S + U D U^T`, S factored, U with r columns, D symmetric of order r and regular.

    The bordered matrix ``[[S, U], [U', -D^-1]]`` has the inertia of S and of ``-(D^-1 + U' S^-1 U)`` together, and that of
    ``S + U D U'`` and of ``-D^-1`` together (Haynsworth).

    References
    ----------
    E. V. Haynsworth, "Determination of the inertia of a partitioned Hermitian matrix", Linear Algebra Appl. 1 (1968). W. W. Hager,
    "Updating the inverse of a matrix", SIAM Review 31 (1989).
    """

    kind = "low-rank"

    def __init__(self, base: Factor, columns: np.ndarray, core: np.ndarray) -> None:
        super().__init__(base.order, base.status)
        self._base, self._columns = base, columns
        if not base.can_solve:
            return
        inverse, given = _signs(core)
        self.through = base.solve(columns)
        if inverse is None or not np.isfinite(self.through).all():
            self.status = FactorStatus.SINGULAR if inverse is None else FactorStatus.NOT_FINITE
            return
        gram = columns.T @ self.through
        self.gram = 0.5 * (gram + gram.T)
        capacitance = inverse + self.gram
        # Rows of very different sizes are weighed alike: that changes no sign.
        sizes = np.abs(inverse) + np.abs(self.gram)
        self._units = _equilibrating(sizes)
        scaled = capacitance * self._units[:, None] * self._units
        self._values, self._vectors = scipy.linalg.eigh(scaled, check_finite=False)
        self._core_logdet = float(np.linalg.slogdet(core)[1])
        size = float(np.max(sizes * self._units[:, None] * self._units, initial=0.0))
        if np.abs(self._values).min(initial=np.inf) <= 1e2 * base.order * float(np.finfo(np.float64).eps) * size:
            self.status = FactorStatus.SINGULAR
        elif base.inertia is None:
            self.status = FactorStatus.UNKNOWN
        else:
            # Negative ones of S, of minus the capacitance, and not of minus the inverse of D.
            negative = base.inertia[1] + int((self._values > 0.0).sum()) - (len(core) - given)
            self.inertia = (self.order - negative, negative, 0)
            self.status = FactorStatus.INDEFINITE if negative else FactorStatus.DEFINITE
            if not negative:
                self.least_pivot = base.least_pivot

    def _solve(self, b: np.ndarray) -> np.ndarray:
        return self.bordered(b, 0.0)[0]

    def bordered(self, b: np.ndarray, c: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Solve ``S z + U w = b``, ``U' z - D^-1 w = c``."""
        z = self._base.solve(b)
        turned = self._vectors.T @ (self._units * (self._columns.T @ z - c).T).T
        weights = (self._units * (self._vectors @ (turned.T / self._values).T).T).T
        return np.asarray(z - self.through @ weights), np.asarray(weights)

    def _logdet(self) -> float:
        return (
            self._base.logdet
            + self._core_logdet
            + float(np.log(np.abs(self._values)).sum() - 2.0 * np.log(self._units).sum())
        )

    def _inverse_diagonal(self) -> np.ndarray:
        return self.lost()[0]

    def _spread(self, z: np.ndarray) -> np.ndarray:
        if not self._base.is_definite:
            return super()._spread(z)
        # With R R' = S^-1, G = L L' and K the inverse of D^-1 + G: (I - S^-1 U M U') R, L' M L = I - (I - L' K L)^(1/2).
        spread = self._base.spread(z)
        values, vectors = scipy.linalg.eigh(self.gram, check_finite=False)
        keep = values > len(values) * float(np.finfo(np.float64).eps) * np.max(values, initial=0.0)
        lower = vectors[:, keep] * np.sqrt(values[keep])
        turned = self._vectors.T @ (self._units[:, None] * lower)
        inner, turns = scipy.linalg.eigh(np.eye(lower.shape[1]) - turned.T @ (turned / self._values[:, None]))
        middle = (turns * (1.0 - np.sqrt(np.maximum(inner, 0.0)))) @ turns.T
        inverse = vectors[:, keep] / np.sqrt(values[keep])
        weights = inverse @ (middle @ (inverse.T @ (self._columns.T @ spread)))
        return np.asarray(spread - self.through @ weights)

    def lost(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the diagonal of the inverse, and where the difference that it is has lost digits."""
        turned = self.through @ (self._units[:, None] * self._vectors)
        whole, taken = self._base.inverse_diagonal(), np.sum(turned**2 / self._values, axis=1)
        size = np.abs(whole) + np.sum(turned**2 / np.abs(self._values), axis=1)
        return whole - taken, np.flatnonzero(size > LOST * np.abs(whole - taken))


def _signs(core: np.ndarray) -> tuple[np.ndarray | None, int]:
    """Return the inverse of the core, ``None`` where it is singular, and how many of its eigenvalues are negative."""
    values, vectors = scipy.linalg.eigh(core, check_finite=False)
    if not len(values) or np.abs(values).min() <= len(values) * np.finfo(np.float64).eps * np.abs(values).max():
        return (np.zeros((0, 0)), 0) if not len(values) else (None, 0)
    return (vectors / values) @ vectors.T, int((values < 0.0).sum())


def _equilibrating(sizes: np.ndarray) -> np.ndarray:
    """Return units in which the rows of a small matrix of magnitudes have about 1 for their largest entry (Ruiz's iteration)."""
    units = np.ones(len(sizes))
    for _ in range(_EQUILIBRATIONS if len(sizes) > 1 else 1):
        largest = np.max(sizes * units * units[:, None], axis=1, initial=0.0)
        units /= np.sqrt(np.where((largest > 0.0) & np.isfinite(largest), largest, 1.0))
    return units
