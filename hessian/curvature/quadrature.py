"""Gauss quadrature of the spectrum: Lanczos from random vectors, several in step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from hessian.curvature.products import Products
from hessian.linalg.lanczos import Lanczos
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
    """Lanczos processes from p random vectors, grown one step at a time by one block of products.

    References
    ----------
    G. H. Golub and G. Meurant, Matrices, Moments and Quadrature with Applications (2010). S. Ubaru, J. Chen and Y. Saad, "Fast
    estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM J. Matrix Anal. Appl. 38 (2017).
    """

    def __init__(self, products: Products, p: int, rng: np.random.Generator, known: np.ndarray | None = None) -> None:
        n = products.n
        # Known eigenvectors are taken out of the problem, which has the order of what is left.
        locked = None if known is None else np.ascontiguousarray(known.T)
        self.order = n - (0 if known is None else known.shape[1])
        starts = on_sphere(rng, n, p, products.dtype).T
        self._products = products
        self._processes = [Lanczos(start, n, locked=locked) for start in starts]
        self.p, self.steps = p, 0

    @property
    def is_complete(self) -> bool:
        """Whether every process has found an invariant space."""
        return all(process.is_invariant for process in self._processes)

    def grow(self) -> None:
        """Spend a product on one more step of each process that has not ended."""
        growing = [process for process in self._processes if not process.is_invariant]
        self.steps += 1
        if not growing:
            return
        rows = np.stack([process.next for process in growing])
        images = np.ascontiguousarray(self._products(rows.T).T)
        if self.steps == 1:
            self._products.check_symmetric((rows @ images.T).astype(np.float64))
        for process, image in zip(growing, images, strict=True):
            process.magnitude = self._products.magnitude
            process.absorb(image)
            self._products.check_gap(process.asymmetry)

    def lowest(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each process's smallest Ritz value and the residual of its Ritz vector."""
        parts = [process.ritz() for process in self._processes]
        return np.array([theta[0] for theta, _, _ in parts]), np.array([beta * abs(S[-1, 0]) for _, S, beta in parts])

    def quadrature(self, steps: int | None = None, *, node: float | None = None) -> Quadrature:
        """Return nodes and weights after so many steps, by default all; with one more node at a given place below them, if any.

        The latter is Gauss-Radau's rule: a last diagonal entry that makes the given node an eigenvalue (Golub and Meurant 2010,
        section 6.2).
        """
        steps = self.steps if steps is None else steps
        width = steps + (node is not None)
        nodes, weights = np.zeros((self.p, width)), np.zeros((self.p, width))
        for i, process in enumerate(self._processes):
            theta, S, beta = process.ritz(steps)
            if node is not None and beta > 0.0 and theta[0] > node:
                theta, S = with_node(process, steps, node)
            m = len(theta)
            nodes[i, :m], weights[i, :m] = theta, S[0] ** 2
            # Padding repeats a node, so that functions are evaluated where they are defined.
            nodes[i, m:] = theta[-1]
        return Quadrature(nodes, weights, self.order)


def with_node(process: Lanczos, steps: int, node: float) -> tuple[np.ndarray, np.ndarray]:
    """Extend a tridiagonal matrix by the row that makes the given node an eigenvalue."""
    theta, S, beta = process.ritz(steps)
    last = node + beta**2 * float(np.sum(S[-1] ** 2 / (theta - node)))
    return scipy.linalg.eigh_tridiagonal([*process.alphas[:steps], last], process.betas[:steps])


def joined(parts: list[Quadrature]) -> Quadrature:
    """Put the rows of several quadratures with equally many steps under one another."""
    return Quadrature(np.concatenate([q.nodes for q in parts]), np.concatenate([q.weights for q in parts]), parts[0].n)
