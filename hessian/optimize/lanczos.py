"""The Lanczos process from the gradient, grown one product at a time, and the models on the space it spans."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.linalg

from hessian.linalg import limits
from hessian.linalg.vectors import norm
from hessian.optimize.krylov import Product, is_due
from hessian.optimize.spectral import SpectralModel


class KrylovSpace:
    """Orthonormal basis Q of ``span{g, Hg, H^2 g, ...}`` with ``H Q = Q T + beta q e_k^T``, T tridiagonal.

    The basis is kept orthogonal by classical Gram-Schmidt run twice per vector: k^2 n flops for k steps, and what is said
    about the residual, ``|g + H Q h + mu Q h| = beta |h_k|``, holds in floating point.

    References
    ----------
    N. I. M. Gould, S. Lucidi, M. Roma and Ph. L. Toint, SIAM J. Optim. 9 (1999) 504-525.
    """

    def __init__(self, product: Product, gradient: np.ndarray, max_products: int) -> None:
        n = gradient.size
        limit = min(n, max_products, limits.basis_rows(n, 5))
        self._product = product
        self._rows = np.empty((min(limit, 16), n), gradient.dtype)
        self._limit = limit
        self._alphas: list[float] = []
        self._betas: list[float] = []
        self._eps = float(np.finfo(gradient.dtype).eps)
        self._size = norm(gradient)
        self._next = gradient / self._size
        self.products = 0
        self.is_finite = True

    @property
    def is_complete(self) -> bool:
        """Whether the space cannot or must not grow."""
        return not self.is_finite or len(self._alphas) >= self._limit or self._is_invariant

    @property
    def _is_invariant(self) -> bool:
        """Whether H maps the space to itself, to rounding."""
        return bool(self._betas) and self._betas[-1] <= 10.0 * self._eps * self._magnitude()

    @property
    def residual_scale(self) -> float:
        """The last beta; 0 in a space that H maps to itself."""
        return 0.0 if self._is_invariant or len(self._alphas) == self._rows.shape[1] else self._betas[-1]

    def grow(self) -> None:
        """Spend one product on one more dimension; a product that is not finite ends the space where it is."""
        k = len(self._alphas)
        if k == len(self._rows):
            more = np.empty((min(2 * k, self._limit), self._rows.shape[1]), self._rows.dtype)
            more[:k] = self._rows
            self._rows = more
        q = self._next
        w = self._product(q)
        self.products += 1
        alpha = float(q @ w)
        if not math.isfinite(alpha):
            self.is_finite = False
            return
        self._rows[k] = q
        basis = self._rows[: k + 1]
        for _ in range(2):
            w = w - (basis @ w) @ basis
        beta = norm(w)
        if not math.isfinite(beta):
            self.is_finite = False
            return
        self._alphas.append(alpha)
        self._betas.append(beta)
        if not self._is_invariant:
            self._next = w / beta

    def model(self, kind: type[SpectralModel] = SpectralModel) -> tuple[SpectralModel, np.ndarray]:
        """Return the model on the space, and the last row of T's eigenvectors, which gives residuals.

        Where not even the first product was finite, the model is linear along the gradient.
        """
        if not self._alphas:
            direction, dtype = self._next, self._rows.dtype
            linear = kind(
                np.zeros(1),
                np.array([self._size]),
                lambda y: (y[0] * direction).astype(dtype),
                self._eps,
                self.products,
            )
            return linear, np.zeros(1)
        k = len(self._alphas)
        values, vectors = scipy.linalg.eigh_tridiagonal(self._alphas, self._betas[: k - 1])
        basis, dtype = self._rows[:k], self._rows.dtype
        lift: Callable[[np.ndarray], np.ndarray] = lambda y: (vectors @ y).astype(dtype) @ basis
        return kind(values, self._size * vectors[0], lift, self._eps, self.products), vectors[-1]

    def _magnitude(self) -> float:
        """A bound from below on the norm of T."""
        return max(max(map(abs, self._alphas)), max(self._betas[:-1], default=0.0))


def grow_until(
    space: KrylovSpace,
    residual: Callable[[SpectralModel, np.ndarray], float],
    tolerance: float,
    kind: type[SpectralModel] = SpectralModel,
) -> SpectralModel:
    """Grow a space until the residual of its model's step is within the tolerance, or it is complete.

    The eigenvalues of T are wanted to know; where they cost as much as products do they are asked for at every sixteenth
    part of the way only.
    """
    while True:
        space.grow()
        k = space.products
        if not space.is_complete and not is_due(k, 16):
            continue
        model, last = space.model(kind)
        if space.is_complete or residual(model, last) * space.residual_scale <= tolerance:
            return model
