"""Extreme eigenpairs of a symmetric operator, with bounds on their errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import INSIDE, Rng, as_generator, real_number, whole_number
from hessian.curvature.misses import MISS, chance
from hessian.curvature.products import Products
from hessian.errors import ConvergenceError, OptionError, message
from hessian.linalg import limits
from hessian.linalg.dense import eigenpairs, pick
from hessian.linalg.lanczos import BlockLanczos
from hessian.text import Shown

_WHICH = ("LA", "SA", "LM", "BE")


@dataclass(frozen=True, eq=False, repr=False)
class Eigenpairs(Shown):
    """Eigenpairs with their residuals.

    Attributes
    ----------
    values : ndarray, shape (k,), ascending
    vectors : ndarray, shape (n, k)
        Orthonormal columns.
    residuals : ndarray, shape (k,)
        ``|H v - theta v|`` plus an allowance for rounding: an eigenvalue of H lies within that distance of each value.
    n_hvp : int
        Products spent.
    success : bool
        Whether the residuals met the tolerance.
    miss_probability : float
        Bound on the probability, over the random start, that an eigenvalue farther out was missed; 0 where the whole
        spectrum was computed, NaN where nobody looked.
    method : str
    steps : int
        Lanczos steps from the first random start before anything was dropped; 0 where the whole spectrum was computed.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    n_hvp: int
    success: bool
    miss_probability: float
    method: str
    steps: int = 0

    def __repr__(self) -> str:
        head = f"{len(self.values)} eigenvalue{'s' * (len(self.values) != 1)} ({self.method}, {self.n_hvp} products"
        lines = [head + (")" if self.success else ", not converged)")]
        pairs = zip(self.values, self.residuals, strict=True)
        return "\n".join([*lines, *(f"  {value: .12g}  within {bound:.1e}" for value, bound in pairs)])


def eigenvalues(
    H: Any,
    k: int | None = None,
    which: str = "LA",
    *,
    rtol: float | None = None,
    max_hvp: int | None = None,
    block: int = 1,
    confirm: bool = True,
    rng: Rng = 0,
) -> Eigenpairs:
    r"""Compute extreme eigenpairs :math:`H v = \lambda v` by thick-restart block Lanczos; ``H.eigsh(k)`` is SciPy's way.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    k : int, optional
        How many, copies counted; by default 6, or all of fewer.
    which : {"LA", "SA", "LM", "BE"}
        Largest, smallest, largest in magnitude, or half of them from either end.
    rtol : float, optional
        Residual asked for, relative to the largest magnitude; by default the precision to the power 2/3.
    max_hvp : int, optional
        Products at most. Then the best pairs found come back, converged or not; their residuals say how good they are.
    block : int
        Directions per step. A step costs that many products at once, and needs them at a better price to pay.
    confirm : bool
        Look a second time, from a random start orthogonal to what was found. One start sees one copy of a multiple
        eigenvalue only.
    rng : int, numpy.random.Generator or None
        Seed of the starting directions.

    Returns
    -------
    Eigenpairs
        ``.values``, ``.vectors``, ``.residuals``, ``.n_hvp``.

    Raises
    ------
    OptionError
        k is not in 1..n, ``max_hvp`` is below k, H is not symmetric, or ``which`` is unknown.
    NonFiniteError
        A product holds NaN or inf.
    ConvergenceError
        Without ``max_hvp``: the tolerance was not met.

    Notes
    -----
    For orthonormal v, :math:`|\lambda - \theta| \le \|H v - \theta v\|` for some eigenvalue :math:`\lambda` (Parlett 1998,
    theorem 4.5.1); the residuals come from coefficients of products already made, for no further product.

    Let u be the kth value, and suppose an eigenvalue beyond it were missing. In its second look, j steps from a random start
    in the complement of dimension at most n, Lanczos has a largest Ritz value :math:`\theta'` with residual r. Either
    probability is a bound on seeing that little:
    :math:`1.648 \sqrt n \exp(-\sqrt\epsilon (2j - 1))` with :math:`\epsilon = (u - \theta') / (u - \theta_{\min})` (Kuczynski and
    Wozniakowski), or :math:`(2/\pi) \arctan(r / (u - \theta'))`, since the Ritz vector's polynomial only grows beyond its roots,
    so that the start must have had so small a part of the missing vector, compared with the one found. The search ends when
    either is below 1e-3 at each end in question.

    Cost: one product per step and direction; n products where n is at most 2k + 20, none for a
    matrix up to n = 500. Memory: a basis of up to
    max(2k + 30, 120) vectors, of up to n where n is at most 500: then a look takes n products at most.

    References
    ----------
    K. Wu and H. Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", SIAM J. Matrix Anal. Appl. 22
    (2000). B. N. Parlett, The Symmetric Eigenvalue Problem (1998). J. Kuczynski and H. Wozniakowski, "Estimating the largest
    eigenvalue by the power and Lanczos algorithms with a random start", SIAM J. Matrix Anal. Appl. 13 (1992), theorem 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import eigenvalues
    >>> n = 100
    >>> laplacian = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    >>> found = eigenvalues(laplacian, 2)
    >>> exact = 2 - 2 * np.cos(np.array([n - 1, n]) * np.pi / (n + 1))
    >>> bool(np.all(np.abs(found.values - exact) <= found.residuals)), bool(found.residuals.max() < 1e-9)
    (True, True)
    """
    where = "eigenvalues"
    products = Products(H, where)
    n = products.n
    if which not in _WHICH:
        raise OptionError(message(where, f"which is {which!r}", fix=f"Pass one of {', '.join(_WHICH)}"))
    k = min(6, n) if k is None else k
    if whole_number(where, "k", k) > n:
        raise OptionError(message(where, f"k is {k} for an operator of order {n}", fix=f"Pass 1 <= k <= {n}"))
    whole_number(where, "block", block)
    generator = as_generator(rng, where)
    if max_hvp is not None:
        whole_number(where, "max_hvp", max_hvp, k, f"{k} eigenpairs need at least {k} products")
    rtol = products.eps ** (2 / 3) if rtol is None else real_number(where, "rtol", rtol, INSIDE)
    if (products.matrix is not None and n <= limits.SPECTRUM_ORDER) or (
        n <= 2 * k + 20 and (max_hvp is None or max_hvp >= n)
    ):
        return _dense(products, k, which)
    return _Search(products, k, which, max(rtol, 10.0 * products.eps), max_hvp, min(block, n), generator).run(confirm)


def _dense(products: Products, k: int, which: str) -> Eigenpairs:
    matrix = products.dense()
    values, vectors = eigenpairs(matrix, k, which)
    residuals = np.linalg.norm(matrix @ vectors - vectors * values, axis=0) + _rounding(products, matrix)
    return Eigenpairs(values, vectors, residuals, products.count, True, 0.0, "dense")


def _rounding(products: Products, matrix: np.ndarray) -> float:
    """What rounding in products and in the matrix itself can do to an eigenvalue."""
    return 4.0 * products.eps * math.sqrt(products.n) * float(np.abs(matrix).sum(axis=0).max())


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
        by_steps = chance(self._products.n, self._space.steps, gap, reach)
        return min(by_steps, 2.0 / math.pi * math.atan(residual / gap))

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
        bounds = residuals[picked] + 4.0 * products.eps * math.sqrt(products.n) * scale
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
