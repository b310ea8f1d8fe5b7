"""Gauss quadrature of the spectrum: Lanczos from random vectors, several in step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from hessian.curvature.products import Products
from hessian.linalg.vectors import on_sphere


@dataclass(frozen=True, eq=False)
class Quadrature:
    """Nodes and weights, one row per test vector, padded with weights of zero; each row's weights sum to 1."""

    nodes: np.ndarray
    weights: np.ndarray
    n: int

    @classmethod
    def of(cls, eigenvalues: np.ndarray, n: int | None = None) -> Quadrature:
        """Return the rule of eigenvalues that are known, all or some of n."""
        n = len(eigenvalues) if n is None else n
        return cls(eigenvalues[None], np.full((1, len(eigenvalues)), 1.0 / n), n)

    def moments(self, f: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
        r"""Return the mean of f over the spectrum and the variance of that mean over test vectors.

        For x uniform on the unit sphere, ``x.Ax`` has mean :math:`\mathrm{tr}(A)/n` and variance exactly
        :math:`\frac{2}{n+2} (\mathrm{tr}(A^2)/n - \mathrm{tr}(A)^2/n^2)`: for A = f(H), twice the variance of f over the
        spectrum by n + 2. The nodes give that too.
        """
        values = f(self.nodes)
        mean = float(np.mean(np.sum(self.weights * values, axis=1)))
        spread = float(np.mean(np.sum(self.weights * (values - mean) ** 2, axis=1)))
        # The nodes' own mean varies about the truth: what it takes from the spread goes back.
        variance = 2.0 * spread / ((self.n + 2) * len(self.nodes))
        return mean, variance / max(1.0 - 2.0 / ((self.n + 2) * len(self.nodes)), 0.5)

    def degrees_of_freedom(self, f: Callable[[np.ndarray], np.ndarray]) -> float:
        """How well the test vectors say the spread of f: that of a chi-square with as large a relative variance.

        One vector's spread is a mean of squares ``g = (f - mean)^2`` over the spectrum, whose relative variance is
        ``2 sum g^2 / (sum g)^2``. It is taken from the nodes: few spreads agree by chance.
        """
        p = len(self.nodes)
        values = f(self.nodes)
        mean = float(np.mean(np.sum(self.weights * values, axis=1)))
        squares = (values - mean) ** 2
        # Relative to the largest first: the squares of small numbers vanish.
        squares = squares / (float(squares.max()) or 1.0)
        first, second = (float(np.mean(np.sum(self.weights * power, axis=1))) for power in (squares, squares**2))
        return float(np.clip(self.n * first**2 / second if second else 1.0, 1.0, self.n)) * p


class Runs:
    """Lanczos processes from p random vectors, grown one step at a time by one block of p products.

    Each basis is kept, and every new vector made orthogonal to all of its own, twice: the weights are those of exact arithmetic.

    References
    ----------
    G. H. Golub and G. Meurant, Matrices, Moments and Quadrature with Applications (2010). S. Ubaru, J. Chen and Y. Saad, "Fast
    estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM J. Matrix Anal. Appl. 38 (2017).
    """

    def __init__(self, products: Products, p: int, rng: np.random.Generator, known: np.ndarray | None = None) -> None:
        self._products = products
        # Known eigenvectors are taken out of the problem, which has the order of what is left.
        self._known = np.zeros((products.n, 0), products.dtype) if known is None else known
        self.order = products.n - self._known.shape[1]
        start = self._without_known(self._without_known(on_sphere(rng, products.n, p, products.dtype).T))
        self._bases = [start / np.linalg.norm(start, axis=1, keepdims=True)]
        self._alphas: list[np.ndarray] = []
        self._betas: list[np.ndarray] = []
        self._ended = np.full(p, np.iinfo(np.int64).max)
        self.p = p

    @property
    def steps(self) -> int:
        """Steps taken."""
        return len(self._alphas)

    @property
    def is_complete(self) -> bool:
        """Whether every process has found an invariant space."""
        return bool(np.all(self._ended <= self.steps))

    def _without_known(self, rows: np.ndarray) -> np.ndarray:
        return rows - (rows @ self._known) @ self._known.T

    def grow(self) -> None:
        """Spend p products on one more step."""
        q = self._bases[-1]
        w = self._without_known(np.ascontiguousarray(self._products(q.T).T))
        self._alphas.append(np.einsum("pn,pn->p", q, w, dtype=np.float64))
        if self.steps == 1 and self.p > 1:
            self._products.check_symmetric((q @ w.T).astype(np.float64))
        second = None
        for turn in range(2):
            w = self._without_known(w)
            for k, basis in enumerate(self._bases):
                inner = np.einsum("pn,pn->p", basis, w)
                if turn == 0 and k == self.steps - 2:
                    second = inner
                w = w - inner[:, None] * basis
        if second is not None:
            # What the last vector's image has along the one before is beta again, if H is symmetric.
            running = self._ended > self.steps
            gap = np.where(running, np.abs(second - self._betas[-1]), 0.0).max()
            self._products.check_symmetric(np.array([[0.0, gap], [0.0, 0.0]]))
        beta = np.linalg.norm(w, axis=1).astype(np.float64)
        self._ended[(beta <= 10.0 * self._products.eps * self._products.magnitude) & (self._ended > self.steps)] = (
            self.steps
        )
        self._betas.append(beta)
        self._bases.append(w / np.where(self._ended <= self.steps, 1.0, beta).astype(w.dtype)[:, None])

    def lowest(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each process's smallest Ritz value and the residual of its Ritz vector."""
        values, residuals = np.zeros(self.p), np.zeros(self.p)
        for i in range(self.p):
            theta, S, beta = self._ritz(i, self.steps)
            values[i], residuals[i] = theta[0], beta * abs(S[-1, 0])
        return values, residuals

    def _ritz(self, i: int, steps: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Ritz values, the vectors' coefficients, and the next coefficient: 0 where the process has ended."""
        m = min(steps, int(self._ended[i]))
        alphas = np.array([alpha[i] for alpha in self._alphas[:m]])
        betas = np.array([beta[i] for beta in self._betas[:m]])
        theta, S = scipy.linalg.eigh_tridiagonal(alphas, betas[:-1])
        return theta, S, 0.0 if self._ended[i] <= steps else float(betas[-1])

    def quadrature(self, steps: int | None = None, *, node: float | None = None) -> Quadrature:
        """Return nodes and weights after so many steps, by default all; with one more node at a given place below them, if any.

        The latter is Gauss-Radau's rule: a last diagonal entry that makes the given node an eigenvalue (Golub and Meurant 2010,
        section 6.2).
        """
        steps = self.steps if steps is None else steps
        width = steps + (node is not None)
        nodes, weights = np.zeros((self.p, width)), np.zeros((self.p, width))
        for i in range(self.p):
            theta, S, beta = self._ritz(i, steps)
            if node is not None and beta > 0.0 and theta[0] > node:
                theta, S = self._with_node(i, steps, node, theta, S, beta)
            m = len(theta)
            nodes[i, :m], weights[i, :m] = theta, S[0] ** 2
            # Padding repeats a node, so that functions are evaluated where they are defined.
            nodes[i, m:] = theta[-1]
        return Quadrature(nodes, weights, self.order)

    def _with_node(
        self, i: int, steps: int, node: float, theta: np.ndarray, S: np.ndarray, beta: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Extend a tridiagonal matrix by the row that makes the given node an eigenvalue."""
        last = node + beta**2 * float(np.sum(S[-1] ** 2 / (theta - node)))
        alphas = np.array([alpha[i] for alpha in self._alphas[:steps]] + [last])
        return scipy.linalg.eigh_tridiagonal(alphas, np.array([beta[i] for beta in self._betas[:steps]]))


def joined(parts: list[Quadrature]) -> Quadrature:
    """Put the rows of several quadratures with equally many steps under one another."""
    return Quadrature(np.concatenate([q.nodes for q in parts]), np.concatenate([q.weights for q in parts]), parts[0].n)
