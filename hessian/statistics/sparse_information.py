"""Sparse information matrices: inverted by their factors, or refused with the combination of parameters they leave open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from hessian.arguments import unknown
from hessian.errors import TooDenseError, message
from hessian.linalg import limits
from hessian.linalg.factor import Factor
from hessian.linalg.factoring import analyse, with_diagonal
from hessian.linalg.lanczos import Lanczos
from hessian.linalg.vectors import norm
from hessian.operators.differentiated import DifferentiatedOperator
from hessian.optimize.optimality import Definiteness, judge
from hessian.statistics.information import WEAK, Information, WeakDirection, describe_combination, indefinite
from hessian.statistics.spread import FactoredSpread
from hessian.transforms.locate import not_finite

STEPS = 24
"""Solves that the weakest directions are looked for with."""
SHOWN = 3
"""Weak directions at most."""
STRUCTURES = ("auto", "dense", "sparse")
_KNOWN = 0.05
"""Error of an eigenvalue, as a share, up to which it is shown."""


class SparseInformation(Information):
    r"""A positive definite information matrix :math:`I = D C D` that is sparse, its diagonal scaled to 1 in C, by a factor of C.

    Parameters
    ----------
    matrix : csc_array, shape (n, n)
        C.
    found : Factor
        Of it.
    scale : ndarray, shape (n,)
        D.
    weak_directions : tuple of WeakDirection
    """

    def __init__(
        self, matrix: csc_array, found: Factor, scale: np.ndarray, weak_directions: tuple[WeakDirection, ...]
    ) -> None:
        self._matrix, self._factor, self._scale, self._weak = matrix, found, scale, weak_directions

    @classmethod
    def of_sparse(
        cls, matrix: Any, names: Sequence[str], *, where: str, what: str = "Hessian", source: Any = None
    ) -> SparseInformation:
        """Factor a sparse symmetric matrix, that of the operator ``source``.

        Raises
        ------
        NonFiniteError, ConvergenceError
            As for a dense one.

        Notes
        -----
        Lanczos steps on the inverse find what is singular to working precision, where pivots need not show it, and the weakest directions:
        at most three, those whose eigenvalues are known to a twentieth.
        """
        if not np.all(np.isfinite(matrix.data)):
            why = "Uncertainty is the inverse of finite curvature"
            text, origin = f"the {what} at x holds NaN or infinity", source and source.origin_of_nonfinite()
            raise not_finite(where, text, why, "Move x into the domain", origin)
        precision = matrix.dtype
        full = with_diagonal(matrix)
        diagonal, rows = full.diagonal(), np.asarray(abs(full).max(axis=1).toarray()).ravel()
        scale = np.sqrt(np.where(diagonal > 0.0, diagonal, np.where(rows > 0.0, rows, 1.0)))
        columns = np.repeat(np.arange(len(scale)), np.diff(full.indptr))
        data = full.data / scale[full.indices] / scale[columns]
        scaled = csc_array((data, full.indices, full.indptr), shape=full.shape)
        plan = analyse(scaled)
        found = plan.factor(scaled, definite=True)
        largest = float(np.asarray(abs(scaled).sum(axis=1)).max())
        shift = 0.0
        while not found.is_definite:
            shift = max(largest * float(np.finfo(np.float64).eps), 4.0 * shift)
            found = plan.factor(scaled, shift, definite=True)
        values, vectors, errors = _weakest(scaled, found.solve)
        definiteness = judge(float(values[0]), largest, precision, True)
        if shift and definiteness is Definiteness.POSITIVE:
            definiteness = Definiteness.ZERO
        if definiteness is not Definiteness.POSITIVE:
            raise indefinite(definiteness, float(values[0]), vectors[0], names, where, what)
        weak = tuple(
            WeakDirection(float(value), vector, describe_combination(vector, names))
            for value, vector, error in zip(values, vectors, errors, strict=True)
            if value < WEAK and error <= _KNOWN * value
        )
        return cls(scaled, found, scale, weak)

    @property
    def inverse_root(self) -> np.ndarray:
        """A matrix R with ``R R^T`` the inverse, shape (n, n)."""
        n = len(self._scale)
        return self.spread(np.arange(n), n).root

    def spread(self, free: np.ndarray, order: int) -> FactoredSpread:
        """Return the inverse, as the covariance of those that are free among all."""
        return FactoredSpread(self._matrix, self._factor, self._scale, free, order)

    @property
    def log_determinant(self) -> float:
        """Logarithm of the determinant."""
        return float(self._factor.logdet + 2.0 * np.sum(np.log(self._scale)))

    @property
    def weak_directions(self) -> tuple[WeakDirection, ...]:
        """Eigenvectors with eigenvalues below 0.01, the weakest first, as far as they were found."""
        return self._weak

    def length(self, gradient: np.ndarray) -> float:
        """Length of a gradient in the inverse, ``sqrt(g^T I^-1 g)``."""
        scaled = gradient.astype(np.float64) / self._scale
        size = norm(scaled)
        # Its square fits where that of a unit vector does.
        return size * float(np.sqrt((scaled / size) @ self._factor.solve(scaled / size))) if size else 0.0


def _weakest(matrix: csc_array, solve: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the smallest eigenvalues of a matrix, at most three, with unit vectors and bounds on errors, by solves near it."""
    n = matrix.shape[0]
    steps = min(n, STEPS)
    lanczos = Lanczos(np.random.default_rng(0).standard_normal(n), steps)
    while lanczos.size < steps and lanczos.is_finite and not lanczos.is_invariant:
        lanczos.absorb(solve(lanczos.next))
    _, inner, _ = lanczos.ritz()
    vectors = lanczos.basis.lift(inner[:, ::-1][:, :SHOWN])
    # What is left of other eigenvectors is small, but large eigenvalues make much of it.
    vectors = solve(vectors.T).T
    vectors = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    images = (matrix @ vectors.T).T
    values = np.sum(vectors * images, axis=1)
    errors = np.linalg.norm(images - values[:, None] * vectors, axis=1)
    order = np.argsort(values)
    return values[order], vectors[order], errors[order]


def sparse_matrix(operator: DifferentiatedOperator, structure: str, where: str) -> csc_array | None:
    """Return the matrix of an operator as a sparse one where that is asked for, or by itself where it pays; else ``None``.

    Raises
    ------
    OptionError, TooDenseError
        The structure is unknown; the matrix is asked for sparse and is dense.
    """
    check_structure(structure, where)
    n = operator.shape[0]
    if structure == "dense" or (structure == "auto" and n <= limits.SPECTRUM_ORDER):
        return None
    if structure == "auto":
        found = operator.few_products(min(limits.FACTOR_COLORS, n // limits.SPARSE_SHARE))
        if found is None or limits.SPARSE_SHARE * found.pattern.nnz > n * n:
            return None
    else:
        found = operator.structure()
        refuse_dense(found.pattern.nnz, n, where)
    return operator.sparse_by(found)[0]


def check_structure(structure: str, where: str) -> None:
    """Refuse a structure that does not exist."""
    if structure not in STRUCTURES:
        raise unknown(where, "structure", structure, STRUCTURES)


def refuse_dense(entries: int, n: int, where: str) -> None:
    """Refuse an information matrix most of whose numbers are entries."""
    if n > limits.STEP_ORDER and limits.DENSE_SHARE * entries > n * n:
        what = f"the information matrix of {n} parameters has {entries} entries: it is dense"
        why, fix = "Factors of it take n^3 operations", "Leave structure out"
        raise TooDenseError(message(where, what, why, fix))
