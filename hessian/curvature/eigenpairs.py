"""Eigenpairs with bounds on their errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessian.text import Shown


@dataclass(frozen=True, eq=False, repr=False)
class Eigenpairs(Shown):
    """Eigenpairs with their residuals.

    Attributes
    ----------
    values : ndarray, shape (k,), ascending
    vectors : ndarray, shape (n, k)
        Orthonormal columns; with M, ``V.T @ M @ V`` is the identity.
    residuals : ndarray, shape (k,)
        ``|H v - theta v|`` plus an allowance for rounding: an eigenvalue of H lies within that distance of each value. With M, of
        ``H v - theta M v`` in the norm of ``M^-1``.
    n_hvp : int
        Products spent.
    success : bool
        Whether the residuals met the tolerance.
    miss_probability : float
        Bound on the probability, over the random start, that an eigenvalue farther out (of the closest: nearer) was missed; 0 where
        the whole spectrum was computed, or inertias counted it; NaN where nobody looked.
    method : str
    steps : int
        Lanczos steps from the first random start before anything was dropped; 0 where the whole spectrum was computed.
    which : {"", "LA", "SA", "LM", "BE"}
        The ends that they are from; empty for those inside.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    n_hvp: int
    success: bool
    miss_probability: float
    method: str
    steps: int = 0
    which: str = ""

    @property
    def ranks(self) -> np.ndarray | None:
        """Ranks among all n eigenvalues, the largest of which has rank 1, shape (k,); ``None`` for those inside.

        As far as none was missed (``miss_probability``).

        Examples
        --------
        >>> import numpy as np
        >>> from hessian.curvature import eigenvalues
        >>> found = eigenvalues(np.diag([1.0, 2.0, 3.0, 4.0, 5.0]), 3, "BE")
        >>> found.values.tolist(), found.ranks.tolist()
        ([1.0, 4.0, 5.0], [5, 2, 1])
        """
        if not self.which:
            return None
        k, n = len(self.values), len(self.vectors)
        # Of the largest magnitudes, positive ones are the largest of all and negative ones the smallest.
        below = {"LA": 0, "SA": k, "BE": k // 2, "LM": int(np.sum(self.values < 0.0))}[self.which]
        return np.concatenate([n - np.arange(below), np.arange(k - below, 0, -1)])

    def __repr__(self) -> str:
        head = f"{len(self.values)} eigenvalue{'s' * (len(self.values) != 1)} ({self.method}, {self.n_hvp} products"
        lines = [head + (")" if self.success else ", not converged)")]
        pairs = zip(self.values, self.residuals, strict=True)
        return "\n".join([*lines, *(f"  {value: .12g}  within {bound:.1e}" for value, bound in pairs)])
