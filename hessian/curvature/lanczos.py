"""The search for extreme eigenpairs of a symmetric operator: thick-restart Lanczos, and a second look."""

from __future__ import annotations

import math

import numpy as np

from hessian.curvature.eigenpairs import Eigenpairs
from hessian.curvature.misses import MISS, unseen
from hessian.curvature.products import Products
from hessian.errors import ConvergenceError, OptionError, message
from hessian.linalg import limits
from hessian.linalg.dense import eigenpairs, pick
from hessian.linalg.lanczos import BlockLanczos
from hessian.linalg.vectors import column_norms


def extreme_pairs(
    products: Products,
    k: int,
    which: str,
    *,
    rtol: float,
    max_hvp: int | None,
    block: int,
    confirm: bool,
    rng: np.random.Generator,
) -> Eigenpairs:
    """Return k eigenpairs from the ends: of the whole matrix where that takes no more products, else by the search."""
    n = products.n
    if (products.matrix is not None and n <= limits.SPECTRUM_ORDER) or (
        n <= 2 * k + 20 and (max_hvp is None or max_hvp >= n)
    ):
        return _dense(products, k, which)
    return _Search(products, k, which, max(rtol, 10.0 * products.eps), max_hvp, min(block, n), rng).run(confirm)


def _dense(products: Products, k: int, which: str) -> Eigenpairs:
    matrix = products.dense()
    values, vectors = eigenpairs(matrix, k, which)
    residuals = column_norms(matrix @ vectors - vectors * values) + _rounding(products, matrix)
    return Eigenpairs(values, vectors, residuals, products.count, True, 0.0, "dense")


def _rounding(products: Products, matrix: np.ndarray) -> float:
    """What rounding in products and in the matrix itself can do to an eigenvalue."""
    return products.rounding(float(np.abs(matrix).sum(axis=0).max()))


class _Search:
    """The iteration: grow, restart, and when all is found, look again."""

    def __init__(
        self,
        products: Products,
        k: int,
        which: str,
        rtol: float,
        max_hvp: int | None,
        block: int,
        rng: np.random.Generator,
    ) -> None:
        n = products.n
        # A space that holds everything ends exactly, after n products: a crowd of eigenvalues at an end takes restarts many times that.
        room = n if n <= limits.SPECTRUM_ORDER else max(120, 2 * k + 30, k + 6 * block)
        affordable = limits.basis_rows(n, k + 2 * block + 8)
        self._products, self._k, self._which, self._rtol, self._block = products, k, which, rtol, block
        self._limit = max(1000, 20 * n) if max_hvp is None else max_hvp
        self._raises = max_hvp is None
        self._space = BlockLanczos(n, min(n, room, affordable), products.dtype, rng)
        self._looks = 0
        self._locked = False
        self._steps = 0
        self._whole_space = True

    def run(self, confirm: bool) -> Eigenpairs:
        space = self._space
        space.begin(self._block)
        held: np.ndarray | None = None
        while True:
            images = np.ascontiguousarray(self._products(space.pending.T).T)
            space.absorb(images, self._products.magnitude)
            self._products.check_gap(space.asymmetry)
            if self._whole_space:
                self._steps = space.steps
            spent = self._products.count + len(space.pending) > self._limit
            ends = space.is_whole or spent
            # Diagonalising costs about what a product does; in a large space it is done at every tenth part of the way.
            pause = space.steps % max(1, space.size // (10 * self._block)) and not space.is_full
            if (space.size < self._k or pause) and not ends:
                continue
            values, S, residuals = space.ritz()
            if len(values) < self._k:
                what = f"{self._products.count} products span {len(values)} directions"
                raise OptionError(message("eigenvalues", what, f"{self._k} pairs were asked for", "Raise max_hvp"))
            picked = pick(values, self._k, self._which)
            scale = max(float(np.abs(values).max()), self._products.magnitude)
            # What a lock drops adds up: before one, the residuals have to be smaller.
            goal = self._rtol if self._locked or not confirm else 0.25 * self._rtol
            # A space that is everything has nothing left but rounding, unless products differ from one to the next.
            least = 100.0 * self._products.eps * math.sqrt(self._products.n) if space.is_whole else 0.0
            done = bool(residuals[picked].max() <= max(goal, least) * scale)
            miss = 0.0 if space.is_whole else self._miss(values, residuals, picked, scale) if self._looks else math.nan
            if held is not None and not self._same(values[picked], held, scale):
                # Something was missing. What else is, only another start can tell.
                self._looks, held = 0, None
                miss = math.nan
            if ends or (done and (not confirm or miss <= MISS)):
                if not done and self._raises:
                    self._fail(residuals[picked], goal * scale)
                return self._result(values, S, residuals, picked, scale, done, miss)
            if done and not self._looks:
                self._looks, held, self._locked = 1, values[picked], True
                self._whole_space = False
                space.keep(values[picked], S[:, picked], lock=True)
                space.begin(self._block)
            elif space.is_full:
                kept = self._survivors(values, picked)
                self._whole_space = False
                space.keep(values[kept], S[:, kept])

    def _survivors(self, values: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """The wanted Ritz vectors and, for speed, as many of their neighbours as leave half of the room."""
        room = self._space.capacity - len(self._space.pending)
        more = min(self._k + max(0, (room - self._k) // 2), room - len(self._space.pending), len(values))
        kept = np.union1d(pick(values, more, self._which), picked)
        return kept

    def _miss(self, values: np.ndarray, residuals: np.ndarray, picked: np.ndarray, scale: float) -> float:
        """Bound the probability that the second look would have seen so little of something that exists."""
        others = np.setdiff1d(np.arange(len(values)), picked)
        if not len(others):
            return 1.0
        low, high = others[0], others[-1]
        chosen = values[picked]
        total = 0.0
        slack = 1e3 * self._rtol * scale
        if self._which != "SA":
            edge = (
                np.abs(chosen).min()
                if self._which == "LM"
                else chosen[-(self._k - self._k // 2) if self._which == "BE" else 0]
            )
            total += self._tail(edge - values[high] + slack, edge - values[low] + slack, residuals[high])
        if self._which == "SA" or self._which == "LM" or (self._which == "BE" and self._k > 1):
            edge = (
                -np.abs(chosen).min()
                if self._which == "LM"
                else chosen[-1 if self._which == "SA" else self._k // 2 - 1]
            )
            total += self._tail(values[low] - edge + slack, values[high] - edge + slack, residuals[low])
        return total

    def _tail(self, gap: float, reach: float, residual: float) -> float:
        """Bound it at one end: gap from the edge to the nearest Ritz value, and to the farthest."""
        if gap <= 0.0:
            # Nothing but exact zeros: a start with any part outside the null space would have shown it.
            return 0.0 if self._products.magnitude == 0.0 else 1.0
        return unseen(self._products.n, self._space.steps, gap, reach, residual)

    def _same(self, values: np.ndarray, before: np.ndarray, scale: float) -> bool:
        """Whether the wanted values have not moved; of those wanted for their magnitude, either sign may come first."""
        if self._which == "LM":
            values, before = np.sort(np.abs(values)), np.sort(np.abs(before))
        return bool(np.max(np.abs(values - before)) <= 10.0 * self._rtol * scale)

    def _fail(self, residuals: np.ndarray, goal: float) -> None:
        what = f"after {self._products.count} products the residuals are up to {residuals.max():.2e}, "
        what += f"asked for {goal:.2e}"
        fix = (
            "Pass max_hvp to take what there is with its residuals, a larger rtol, or a block for clustered eigenvalues"
        )
        raise ConvergenceError(message("eigenvalues", what, fix=fix))

    def _result(
        self,
        values: np.ndarray,
        S: np.ndarray,
        residuals: np.ndarray,
        picked: np.ndarray,
        scale: float,
        done: bool,
        miss: float,
    ) -> Eigenpairs:
        products = self._products
        vectors = np.ascontiguousarray(self._space.lift(S[:, picked]).T)
        bounds = residuals[picked] + products.rounding(scale)
        return Eigenpairs(
            values[picked].astype(products.dtype),
            vectors,
            bounds,
            products.count,
            done,
            miss,
            "block Lanczos" if self._block > 1 else "Lanczos",
            self._steps,
        )
