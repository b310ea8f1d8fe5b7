"""Nystrom's approximation of a semidefinite matrix from one block of products, by its eigenvalues and vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from hessian.errors import ConvergenceError, message


@dataclass(frozen=True, eq=False)
class EigenForm:
    r"""The matrix :math:`\hat A = U \Lambda U^T` of order n and rank r at most.

    Attributes
    ----------
    vectors : ndarray, shape (n, r)
        Orthonormal columns U, in float64.
    values : ndarray, shape (r,)
        :math:`\Lambda \ge 0`, descending.
    lowest : float
        The smallest eigenvalue of A within the space of the sketch: where it is negative, beyond rounding, A is not semidefinite.
    rounding : float
        What was added to the diagonal, and taken off the eigenvalues again, so that the sketch is definite: the level of rounding, or
        twice the lowest eigenvalue where that is negative.
    """

    vectors: np.ndarray
    values: np.ndarray
    lowest: float
    rounding: float

    @property
    def order(self) -> int:
        """n."""
        return self.vectors.shape[0]

    def apply(self, v: np.ndarray) -> np.ndarray:
        """Multiply with a vector or with columns."""
        return np.asarray(self.vectors @ _rows(self.values, self.vectors.T @ v))

    def function(self, v: np.ndarray, on_range: np.ndarray, beside: float) -> np.ndarray:
        """Multiply with ``U diag(on_range) U^T + beside (I - U U^T)``; what is beside the range is found twice, for its digits."""
        inner = self.vectors.T @ v
        result = self.vectors @ _rows(on_range, inner)
        if beside and self.vectors.shape[1] < self.order:
            rest = v - self.vectors @ inner
            rest = rest - self.vectors @ (self.vectors.T @ rest)
            result = result + beside * rest
        return np.asarray(result)

    def damped(self, damping: float, where: str) -> np.ndarray:
        r"""Return :math:`\Lambda + \mu`; refuse a matrix that is singular."""
        values = self.values + damping
        is_whole = len(values) == self.order
        if (damping > 0.0 or is_whole) and values.min() > 0.0:
            return values
        what = f"an approximation of rank {int(np.sum(self.values > 0.0))} and order {self.order} is singular"
        raise ConvergenceError(message(where, what, "It has no inverse and no logarithm", "Pass damping > 0"))

    def precondition(self, v: np.ndarray, damping: float = 0.0) -> np.ndarray:
        r"""Multiply with :math:`P^{-1} = (\ell + \mu) U (\Lambda + \mu)^{-1} U^T + (I - U U^T)`, :math:`\ell` the smallest eigenvalue.

        Eigenvalues at the level of rounding count as rounding: P is definite always.
        """
        least = max(float(self.values[-1]), self.rounding)
        weights = np.maximum(self.values, least) + damping
        ones = np.ones_like(weights)
        return self.function(v, ones if not least + damping > 0.0 else (least + damping) / weights, 1.0)


def eigen_form(start: np.ndarray, images: np.ndarray, eps: float) -> EigenForm:
    r"""Return :math:`\hat A = Y (\Omega^T Y)^{-1} Y^T` from orthonormal columns :math:`\Omega` and ``Y = A Omega``, shapes (n, r).

    The stable way: of :math:`A + \nu I` with :math:`\nu = \sqrt n\, \epsilon\, \|Y\|_F`, by a root of :math:`\Omega^T Y_\nu`, and
    :math:`\nu` taken off the eigenvalues.

    References
    ----------
    J. A. Tropp, A. Yurtsever, M. Udell and V. Cevher, "Fixed-rank approximation of a positive-semidefinite matrix from streaming
    data", NeurIPS (2017), algorithm 3.
    """
    start, images = start.astype(np.float64), images.astype(np.float64)
    core = start.T @ images
    weights, turn = scipy.linalg.eigh(0.5 * (core + core.T), check_finite=False)
    lowest = float(weights[0])
    rounding = math.sqrt(len(start)) * eps * float(np.linalg.norm(images))
    # Rounding alone may leave the core a little less than semidefinite.
    shift = max(rounding, -2.0 * lowest)
    if not shift > 0.0:
        return EigenForm(start, np.zeros(len(weights)), 0.0, 0.0)
    root = ((images + shift * start) @ turn) / np.sqrt(weights + shift)
    vectors, sizes, _ = scipy.linalg.svd(root, full_matrices=False, check_finite=False)
    return EigenForm(vectors, np.maximum(sizes**2 - shift, 0.0), lowest, shift)


def random_columns(rng: np.random.Generator, n: int, rank: int, dtype: np.dtype) -> np.ndarray:
    """Draw orthonormal columns whose span is uniform."""
    return np.linalg.qr(rng.standard_normal((n, rank)))[0].astype(dtype)


def _rows(weights: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Multiply rows with weights."""
    return weights * block if block.ndim == 1 else weights[:, None] * block
