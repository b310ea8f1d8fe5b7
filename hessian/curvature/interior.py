"""Eigenpairs closest to a number, by Lanczos on solves with a factor, counted by inertias."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse

from hessian.curvature.eigenpairs import Eigenpairs
from hessian.curvature.metric import ByProducts, Identity, Metric
from hessian.curvature.misses import unseen
from hessian.curvature.pencil import pairs_of, reduced
from hessian.curvature.products import Products
from hessian.errors import ConvergenceError, OptionError, message
from hessian.linalg import counting, limits
from hessian.linalg.dense import eigh
from hessian.linalg.factoring import factor
from hessian.linalg.lanczos import BlockLanczos, Lanczos

BLOCK = 3
"""Directions per step: so many copies of an eigenvalue are seen by one start."""
GUARDS = 4
"""Pairs beyond those asked for, whose space makes these better."""
STEPS = 300
"""Steps from one shift at most."""
SHARES = (0.0, 1e-7, -1e-7, 1e-5, -1e-5, 1e-4, 1e-3)
"""Shifts that are tried beside the first, in units of the largest magnitude."""
LOOKS = 5
"""Searches at most."""
AGAIN = 60
"""Solves of another look at most."""
FAR = 1e3
"""Widths of the spectrum that sigma is beyond it at most."""
MARGIN = 0.01
"""Share of the spectrum by which a shift is beyond it at most."""


def closest_pairs(
    products: Products,
    k: int,
    sigma: float,
    metric: Metric | None,
    *,
    rtol: float,
    max_hvp: int | None,
    rng: np.random.Generator,
) -> Eigenpairs:
    """Return the k eigenpairs closest to sigma, ascending."""
    metric = Identity(products.n) if metric is None else metric
    if isinstance(metric, ByProducts):
        what, fix = "M is an operator beyond order 2000", "Pass it as a sparse matrix"
        raise OptionError(message(products.where, what, "Eigenvalues inside are found by factors of H - sigma M", fix))
    matrix = _matrix(products, max_hvp)
    is_sparse = scipy.sparse.issparse(matrix)
    if products.n <= (limits.SPECTRUM_ORDER if is_sparse else limits.MATRIX_ORDER):
        inner = products if products.matrix is not None else Products(matrix, products.where)
        values, Y = eigh(reduced(inner, metric))
        picked = np.argsort(np.abs(values - sigma), kind="stable")[:k]
        return pairs_of(Y[:, picked], inner, metric, True, 0.0, "dense", n_hvp=products.count)
    if not np.any(matrix.data if is_sparse else matrix):
        return pairs_of(metric.unadjoint(np.eye(products.n, k)), products, metric, True, 0.0, "zero")
    return _Search(products, matrix, k, sigma, metric, rtol, rng).run()


def _matrix(products: Products, max_hvp: int | None) -> Any:
    """Return the matrix: as given, sparse by the operator's own way, or dense by n products where that is little."""
    if products.matrix is not None:
        return products.matrix
    n, source = products.n, products.source
    if n > limits.SPECTRUM_ORDER and hasattr(source, "to_sparse"):
        found = source.to_sparse().astype(np.float64)
        return found.toarray() if limits.FACTOR_SHARE * found.nnz > n * n else found
    if n <= limits.MATRIX_ORDER and (max_hvp is None or max_hvp >= n):
        return products.dense()
    what = f"H is {products.name}, which is not a matrix"
    why = "Eigenvalues inside the spectrum are found by factors of H - sigma I"
    raise OptionError(message(products.where, what, why, "Pass a sparse matrix, or a max_hvp of n up to n = 2000"))


class _Search:
    """Block Lanczos on ``R^-1 (H - s M)^-1 R^-T``, until inertias count what it has found."""

    def __init__(
        self,
        products: Products,
        matrix: Any,
        k: int,
        sigma: float,
        metric: Metric,
        rtol: float,
        rng: np.random.Generator,
    ) -> None:
        self._products, self._k, self._sigma, self._metric = products, k, sigma, metric
        self._matrix = scipy.sparse.csc_array(matrix) if scipy.sparse.issparse(matrix) else matrix
        identity = scipy.sparse.eye_array(products.n, format="csc")
        self._M = identity if metric.matrix is None else metric.matrix
        self._rng, self._solves = rng, 0
        low, high = self._ends(rng)
        self._scale = max(abs(low), abs(high))
        self._goal = max(rtol, 10.0 * products.eps) * self._scale
        self._seen = low, high
        # So far beyond the spectrum that distances lose their digits, the order is that of a number not as far.
        far = FAR * (high - low) + self._scale
        self._sigma = min(max(sigma, low - far), high + far)
        self._center = self._placed()

    def _ends(self, rng: np.random.Generator) -> tuple[float, float]:
        """The ends of the spectrum that ten steps of Lanczos see."""
        process = Lanczos(rng.standard_normal(self._products.n), 10)
        while process.size < 10 and not process.is_invariant:
            image = self._products(self._metric.root(process.next).astype(self._products.dtype))
            process.absorb(self._metric.adjoint(image.astype(np.float64)))
        theta = process.ritz()[0]
        return float(theta[0]), float(theta[-1])

    def _placed(self) -> float:
        """Return sigma, or beside the end of the spectrum: beyond it that is what is closest, and solves there tell eigenvalues apart."""
        low, high = self._seen
        beyond = MARGIN * (high - low)
        return min(max(self._sigma, low - beyond), high + beyond)

    def _is_placed(self, found: Eigenpairs) -> bool:
        """Whether eigenvalues that were found leave the center where it is: the ends seen before may have been far inside."""
        low, high = self._seen
        self._seen = min(low, float(found.values.min())), max(high, float(found.values.max()))
        before, self._center = self._center, self._placed()
        return abs(self._center - self._sigma) >= 0.5 * abs(before - self._sigma)

    def _at(self, x: float) -> Any:
        moved = self._matrix - x * self._M
        return moved if scipy.sparse.issparse(moved) else np.asarray(moved)

    def _apply(self, Y: np.ndarray) -> np.ndarray:
        """The inverse, of which numbers are as large as the scale, times that."""
        self._solves += Y.shape[1]
        return self._metric.unroot(self._scale * self._factor.solve(self._metric.unadjoint(Y)))

    def run(self) -> Eigenpairs:
        """Search, and search again with more directions while inertias, or another look, say that some are missing."""
        wanted, block, missing = min(self._k + GUARDS, self._products.n), BLOCK, 0
        for _ in range(LOOKS):
            found = self._beside(wanted, block)
            if not self._is_placed(found):
                continue
            missing, miss = self._missing(found) or (-1, math.nan)
            if missing < 0:
                # Not known, or fewer than were found: then signs of pivots are not those of eigenvalues.
                missing, miss = self._overlooked(found)
            if not missing:
                return self._chosen(found, miss)
            wanted, block = min(wanted + missing, self._products.n), block + missing
        what = f"{missing} eigenvalues that are closer were not found"
        raise ConvergenceError(message(self._products.where, what, fix="Raise k, or move sigma"))

    def _beside(self, wanted: int, block: int) -> Eigenpairs:
        """Search from sigma, or where an eigenvalue is so near that a factor does not solve, or hides all others, from beside it."""
        for share in SHARES:
            self._shift = self._center + share * self._scale
            self._factor = factor(self._at(self._shift))
            found = self._found(wanted, block) if self._factor.can_solve else None
            if found is not None:
                return found
        what = f"{self._solves} solves have not found {self._k} eigenvalues to residuals of {self._goal:.2e}"
        raise ConvergenceError(message(self._products.where, what, fix="Raise rtol, lower k, or move sigma"))

    def _found(self, wanted: int, block: int) -> Eigenpairs | None:
        """Return eigenpairs of which the k closest are within the tolerance; ``None`` where they do not get there."""
        n = self._products.n
        room = min(n, limits.basis_rows(n, wanted + 2 * block + 8), max(4 * wanted + 10 * block, 120))
        space = BlockLanczos(n, room, np.dtype(np.float64), self._rng)
        space.begin(min(block, n))
        magnitude, look = 0.0, wanted + 2 * block
        for _ in range(STEPS):
            images = np.ascontiguousarray(self._apply(space.pending.T).T)
            magnitude = max(magnitude, float(np.linalg.norm(images, axis=1).max()))
            space.absorb(images, magnitude)
            ends = space.is_full or space.is_whole
            if space.size < look and not ends:
                continue
            look = math.ceil(1.2 * space.size)
            mu, S, left = space.ritz()
            picked = self._closest(mu, wanted)
            # An error of mu is one of 1 / mu by its square.
            with np.errstate(all="ignore"):
                errors = self._scale * left[picked[: self._k]] / mu[picked[: self._k]] ** 2
            if errors.max() <= 0.1 * self._goal or space.is_whole:
                found = self._refined(space.lift(S[:, picked]).T)
                if self._nearest(found)[1].max() <= 2.0 * self._goal or space.is_whole:
                    return found
            if ends:
                kept = np.sort(self._closest(mu, min(len(mu), wanted + (room - wanted - block) // 2)))
                space.keep(mu[kept], S[:, kept])
                look = 0
        return None

    def _closest(self, mu: np.ndarray, count: int) -> np.ndarray:
        """Positions of those whose eigenvalues are closest, the closest first."""
        with np.errstate(divide="ignore"):
            away = np.abs(self._shift + self._scale / mu - self._sigma)
        return np.argsort(away, kind="stable")[:count]

    def _refined(self, Y: np.ndarray) -> Eigenpairs:
        """Rayleigh and Ritz on the pencil itself, whose residuals are not those of the inverse."""
        Y = np.linalg.qr(Y)[0]
        image = self._metric.adjoint(self._matrix @ self._metric.root(Y))
        turn = eigh(Y.T @ image)[1]
        return pairs_of(Y @ turn, self._products, self._metric, True, math.nan, "shift-invert Lanczos")

    def _nearest(self, found: Eigenpairs) -> tuple[np.ndarray, np.ndarray]:
        """Return positions of the k closest, the closest first, and their residuals."""
        order = np.argsort(np.abs(found.values - self._sigma), kind="stable")[: self._k]
        return order, found.residuals[order]

    def _missing(self, found: Eigenpairs) -> tuple[int, float] | None:
        """Return how many eigenvalues that are closer than the farthest of the k were not found, and the chance that this is wrong.

        ``None`` where no factor tells. Closer by more than what it is itself uncertain by: copies of the farthest one are as good as it is.
        """
        if len(found.values) == self._products.n:
            return 0, 0.0
        off = 0.0
        for reach, inside, room in self._cuts(found):
            if reach <= 0.0:
                return 0, 0.0
            # What one factor is off by, others are off by, too.
            if room < 0.1 * off:
                continue
            ends = []
            for x in (self._sigma - reach, self._sigma + reach):
                below, doubt = self._below(x, room)
                if below is None:
                    off = doubt
                    break
                ends.append((below, counting.MISS if doubt else 0.0))
            if len(ends) == 2:
                return ends[1][0] - ends[0][0] - inside, ends[0][1] + ends[1][1]
        return None

    def _cuts(self, found: Eigenpairs) -> list[tuple[float, int, float]]:
        """Return distances from sigma at which to count, how many were found within, and how far off all others are.

        In the widest gap behind the farthest, and right below it.
        """
        away = np.abs(found.values - self._sigma)
        order = np.argsort(away, kind="stable")
        away, residuals = away[order], found.residuals[order]
        nearest, sure = away[: self._k], residuals[: self._k]
        doubt = float(sure.max())
        if nearest[-1] <= 4.0 * doubt:
            return [(0.0, 0, math.inf)]
        # Of pairs beyond the k, those that are as good as the k are; and the first that is not.
        good = min(
            self._k + 1 + int(np.sum(np.cumsum(residuals[self._k :] > doubt + 2.0 * self._goal) == 0)), len(away)
        )
        behind = [
            (0.5 * (low + high), j, 0.5 * (high - low))
            for j in range(self._k, good)
            if (low := float(np.max(away[:j] + residuals[:j]))) < (high := float(np.min((away - residuals)[j:])))
        ]
        cuts = sorted(behind, key=lambda cut: -cut[2])[:2]
        for share in (4.0, 30.0, 300.0, 1e4):
            reach = float(nearest[-1]) - share * doubt
            room = float(np.min(np.abs(nearest - reach) - sure))
            if reach <= 0.0 or room > doubt:
                cuts.append((reach, int(np.sum(nearest < reach)), room))
        return [cut for cut in cuts if cut[0] <= 0.0 or cut[2] > doubt]

    def _below(self, x: float, room: float) -> tuple[int | None, float]:
        """Count the eigenvalues below a number: the negative ones of H - x M; with what they are off by at most, no more than the room.

        That is 0 where a factor knows its inertia. ``None`` where it is not known, with the least that they were off by.
        """
        metric, least = self._metric, math.inf
        for count in counting.counts(self._at(x), self._rng):
            doubt = count.doubt(self._products.n, metric.root, metric.adjoint, self._rng)
            if doubt <= room:
                return count.negative, doubt
            least = min(least, doubt)
        return None, least

    def _overlooked(self, found: Eigenpairs) -> tuple[int, float]:
        """Look again, from a random start off what was found: return whether an eigenvalue was overlooked, and else the chance of one.

        One that is closer than the farthest of the k would be beyond the ends of what is left of the spectrum of the inverse.
        """
        order = self._nearest(found)[0]
        reach = float(np.abs(found.values[order[-1]] - self._sigma)) - 4.0 * float(found.residuals[order].max())
        above, below = self._sigma + reach - self._shift, self._sigma - reach - self._shift
        if reach <= 0.0:
            return 0, 0.0
        if not below < 0.0 < above:
            return 0, math.nan
        n, locked = self._products.n, np.linalg.qr(self._metric.unroot(found.vectors.astype(np.float64)))[0].T
        process = Lanczos(self._rng.standard_normal(n), AGAIN, locked=np.ascontiguousarray(locked))
        miss = 1.0
        while process.size < AGAIN and not process.is_invariant and miss > counting.MISS:
            process.absorb(self._apply(process.next[:, None])[:, 0])
            theta, S, beta = process.ritz()
            low, high = float(theta[0]), float(theta[-1])
            most, least = self._scale / above, self._scale / below
            if high > most or low < least:
                return 1, 1.0
            ends = ((most - high, most - low, S[-1, -1]), (low - least, high - least, S[-1, 0]))
            miss = sum(unseen(n, process.size, gap, span, beta * abs(float(last))) for gap, span, last in ends)
        return 0, miss

    def _chosen(self, found: Eigenpairs, miss: float) -> Eigenpairs:
        """Return the k closest, ascending."""
        picked = np.sort(self._nearest(found)[0])
        return replace(
            found,
            values=found.values[picked],
            vectors=found.vectors[:, picked],
            residuals=found.residuals[picked],
            miss_probability=miss,
            method=f"shift-invert Lanczos, {self._solves} solves",
        )
