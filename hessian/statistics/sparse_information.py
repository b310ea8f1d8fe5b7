"""Sparse information matrices: inverted by their factors, or refused with the combination of parameters they leave open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.arguments import unknown
from hessian.errors import DerivativeCheckError, TooDenseError, message
from hessian.linalg import limits
from hessian.linalg.factor import Factor
from hessian.linalg.factoring import analyse, with_diagonal
from hessian.linalg.lanczos import Lanczos
from hessian.linalg.sum_factor import factor_sum
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import norm
from hessian.operators.differentiated import DifferentiatedOperator
from hessian.operators.hessian_operator import HessianOperator
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
    r"""A positive definite information matrix :math:`I = D C D` that is sparse, or sparse plus low rank, its diagonal scaled to 1 in C.

    Parameters
    ----------
    matrix : SymmetricSum of order n
        C.
    found : Factor
        Of it.
    scale : ndarray, shape (n,)
        D.
    weak_directions : tuple of WeakDirection
    """

    def __init__(
        self, matrix: SymmetricSum, found: Factor, scale: np.ndarray, weak_directions: tuple[WeakDirection, ...]
    ) -> None:
        self._matrix, self._factor, self._scale, self._weak = matrix, found, scale, weak_directions

    @classmethod
    def of_sparse(
        cls,
        matrix: SymmetricSum,
        precision: np.dtype,
        names: Sequence[str],
        *,
        where: str,
        what: str = "Hessian",
        source: Any = None,
    ) -> SparseInformation:
        """Factor a sparse symmetric matrix, that of the operator ``source``, computed in a precision.

        Raises
        ------
        NonFiniteError, ConvergenceError
            As for a dense one.

        Notes
        -----
        Lanczos steps on the inverse find what is singular to working precision, where pivots need not show it, and the weakest directions:
        at most three, those whose eigenvalues are known to a twentieth.
        """
        if not matrix.is_finite:
            why = "Uncertainty is the inverse of finite curvature"
            text, origin = f"the {what} at x holds NaN or infinity", source and source.origin_of_nonfinite()
            raise not_finite(where, text, why, "Move x into the domain", origin)
        diagonal, rows = matrix.diagonal(), np.asarray(abs(matrix.sparse).max(axis=1).toarray()).ravel()
        scale = np.sqrt(np.where(diagonal > 0.0, diagonal, np.where(rows > 0.0, rows, 1.0)))
        scaled = matrix.scaled(1.0 / scale)
        plan = analyse(scaled.sparse)
        found = factor_sum(plan, scaled, definite=True)
        largest = scaled.size
        shift = 0.0
        while not found.is_definite and shift <= largest:
            shift = max(largest * float(np.finfo(np.float64).eps), 4.0 * shift)
            found = factor_sum(plan, scaled, shift, definite=True)
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


def _weakest(
    matrix: SymmetricSum, solve: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the smallest eigenvalues of a matrix, at most three, with unit vectors and bounds on errors, by solves near it."""
    n = matrix.order
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


def sparse_matrix(operator: DifferentiatedOperator, structure: str, where: str) -> SymmetricSum | None:
    """Return the matrix of an operator as a sparse one, or one plus low rank, where that is asked for or pays; else ``None``.

    Raises
    ------
    OptionError, TooDenseError
        The structure is unknown; the matrix is asked for sparse and is dense.
    """
    check_structure(structure, where)
    n = operator.shape[0]
    if structure == "dense" or (structure == "auto" and n <= limits.SPECTRUM_ORDER):
        return None
    most = n // limits.SPARSE_SHARE if structure == "sparse" else min(limits.FACTOR_COLORS, n // limits.SPARSE_SHARE)
    found = operator.few_products(most)
    if found is not None and limits.SPARSE_SHARE * found.pattern.nnz <= n * n:
        return SymmetricSum(with_diagonal(operator.sparse_by(found)[0]))
    split = _split(operator, most) if isinstance(operator, HessianOperator) and n > limits.SPECTRUM_ORDER else None
    if split is not None or structure == "auto":
        return split
    found = operator.structure()
    refuse_dense(found.pattern.nnz, n, where)
    return SymmetricSum(with_diagonal(operator.sparse_by(found)[0]))


def _split(operator: HessianOperator, most: int) -> SymmetricSum | None:
    """Return the matrix as a sparse one plus one of low rank, where so many products give it; else ``None``."""
    n = operator.shape[0]
    try:
        parts = operator.parts(most)
        if parts is None or limits.SPARSE_SHARE * parts.structure.pattern.nnz > n * n:
            return None
        found = operator.split_by(parts)
    except DerivativeCheckError:
        # Cut is what the function does not depend on smoothly here: products know better.
        return None
    return SymmetricSum(with_diagonal(found.sparse), *found.orthogonal())


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
