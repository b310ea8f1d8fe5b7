"""How many eigenvalues are negative, zero and positive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hessian.arguments import NOT_NEGATIVE, Rng, as_generator, real_number, whole_number
from hessian.curvature.misses import MISS, chance
from hessian.curvature.products import Products
from hessian.curvature.quadrature import Quadrature, Runs
from hessian.errors import OptionError, message
from hessian.operators import HessianOperator
from hessian.text import Shown

STATIONARY = 1e-3
"""Share of the largest magnitude up to which a point is nearly stationary: what its gradient leaves of zeros is far from all else."""


@dataclass(frozen=True, repr=False)
class Inertia(Shown):
    """Counts of eigenvalues by sign.

    Attributes
    ----------
    negative, zero, positive : float
        Whole numbers where they are exact.
    standard_error : float
        Of the estimated counts, the quadrature's uncertainty about its cut included; 0 where they are exact.
    at_least_negative, at_least_positive : int
        Certain, up to rounding: that many Ritz values of one Krylov space have the sign (Cauchy interlacing).
    threshold : float
        Magnitude up to which an eigenvalue counts as zero.
    n_hvp : int
    method : str
    in_doubt : int
        Eigenvalues at hand that count by their sign, and that a symmetry of the function may have left where the gradient is not zero.
    reach : float
        Their largest magnitude, ``4 |g| / |x|``; 0 where none is in doubt.
    """

    negative: float
    zero: float
    positive: float
    standard_error: float
    at_least_negative: int
    at_least_positive: int
    threshold: float
    n_hvp: int
    method: str
    in_doubt: int = 0
    reach: float = 0.0

    @property
    def ranges(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Lowest and highest count of negative, zero and positive eigenvalues, by two standard errors and what is certain."""
        n = round(self.negative + self.zero + self.positive)
        sure = (self.at_least_negative, 0, self.at_least_positive)
        found = []
        for count, least in zip((self.negative, self.zero, self.positive), sure, strict=True):
            most = n - sum(sure) + least
            low = math.ceil(count - 2.0 * self.standard_error - 1e-6)
            high = math.floor(count + 2.0 * self.standard_error + 1e-6)
            found.append((min(max(low, least), most), max(min(high, most), least)))
        return found[0], found[1], found[2]

    def counts(self) -> str:
        """Write the counts, each with its range where it is not exact."""
        named = zip(
            (self.negative, self.zero, self.positive), ("negative", "zero", "positive"), self.ranges, strict=True
        )
        if not self.standard_error:
            return ", ".join(f"{count:.4g} {name}" for count, name, _ in named)
        return ", ".join(
            f"{low} {name}" if low == high else f"{min(max(round(count), low), high)} {name} ({low} to {high})"
            for count, name, (low, high) in named
        )

    def doubt(self) -> str:
        """Say which signs may be those of zeros at a point that is not quite stationary; nothing where none is."""
        if not self.in_doubt:
            return ""
        them = "1 sign is of an eigenvalue" if self.in_doubt == 1 else f"{self.in_doubt} signs are of eigenvalues"
        why = f"within ±{self.reach:.1g}, as the gradient leaves zeros"
        return f'{them} {why}: threshold="gradient" calls them zero'

    def __repr__(self) -> str:
        lines = [f"inertia: {self.counts()} ({self.method}, {self.n_hvp} products)", self.doubt()]
        return "\n  ".join(filter(None, lines))


def inertia(
    H: Any, max_hvp: int | None = None, *, threshold: float | Literal["gradient"] | None = None, rng: Rng = 0
) -> Inertia:
    r"""Count the eigenvalues below :math:`-\epsilon`, within, and above :math:`\epsilon`.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    max_hvp : int, optional
        Products at most; 100 by default. If n is not larger, the counts are exact; up to n = 5000 so they are for a matrix, and
        for a Hessian whose pattern gives it by so few products.
    threshold : float or "gradient", optional
        :math:`\epsilon`; by default :math:`4 \sqrt n` times the precision, relative to the largest magnitude: what rounding
        does to an eigenvalue. ``"gradient"``, for a :class:`hessian.HessianOperator` near a stationary point, takes what is left of
        the zeros of symmetries for zero, too: :math:`\epsilon \ge 4 \|g\| / \|x\|`.
    rng : int, numpy.random.Generator or None
        Seed of the test vectors.

    Returns
    -------
    Inertia

    Raises
    ------
    OptionError
        ``max_hvp`` is below 8, or an option is out of range; the gradient is asked for of what has none, at x = 0, or where it is so
        large that curvature of a thousandth of the largest would count as zero.

    Notes
    -----
    Estimated by Lanczos quadrature with four vectors (two below 40 products). By the Chebyshev-Markov-Stieltjes inequalities
    the weight below a cut lies between the sums up to the nodes on either side of it, without and with their own weights; half that
    distance is added to the standard error. Eigenvalues close to zero are where it is large: a count is as sharp as the gap there.
    Where :math:`f(e^{tA} x) = f(x)`, as for rotations of all atoms and rescaled layers, :math:`H A x = -A^T g`: an eigenvalue is zero at
    a stationary point, and of the size :math:`\|g\| / \|x\|` and either sign beside it. Such ones are counted by their sign, and named.

    For a cut beyond all nodes, the whole is added, unless they are so far from it that with an eigenvalue on its other side, steps
    from random starts would have left that gap with a probability below 1e-3 (Kuczynski and Wozniakowski).

    References
    ----------
    G. H. Golub and G. Meurant, Matrices, Moments and Quadrature with Applications (2010). G. Szego, Orthogonal Polynomials
    (1939), section 3.41. J. Kuczynski and H. Wozniakowski, "Estimating the largest eigenvalue by the power and Lanczos
    algorithms with a random start", SIAM J. Matrix Anal. Appl. 13 (1992), theorem 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import inertia
    >>> inertia(np.diag([-1.0, 0.0, 2.0, 3.0]))
    inertia: 1 negative, 1 zero, 2 positive (exact, 0 products)
    """
    where = "inertia"
    products = Products(H, where)
    max_hvp = 100 if max_hvp is None else whole_number(where, "max_hvp", max_hvp)
    generator = as_generator(rng, where)
    cut = None
    if threshold == "gradient":
        products.floor = floor_of(products)
    elif threshold is not None:
        cut = real_number(where, "threshold", threshold, NOT_NEGATIVE, fix='Pass such a number, or "gradient"')
    if products.is_formed(max_hvp):
        return count_signs(Quadrature.of(products.eigenvalues()), None, products, exact=True, threshold=cut)
    if max_hvp < 8:
        raise OptionError(message(where, f"max_hvp is {max_hvp}", fix="Pass at least 8 products"))
    p = 4 if max_hvp >= 40 else 2
    runs = Runs(products, p, generator)
    while runs.steps < max_hvp // p and not runs.is_complete:
        runs.grow()
    return count_signs(runs.quadrature(), None, products, exact=False, complete=runs.is_complete, threshold=cut)


def floor_of(products: Products) -> float:
    """Return the magnitude up to which eigenvalues are zero by the gradient.

    Raises
    ------
    OptionError
        The gradient tells nothing.
    """
    reach = gradient_reach(products)
    if reach is None or not math.isfinite(reach):
        what = f'threshold is "gradient" and H is {products.name}'
        why = "Only a HessianOperator at x other than 0 tells what its gradient leaves of zeros"
        raise OptionError(message(products.where, what, why, "Pass a number"))
    return reach


def gradient_reach(products: Products) -> float | None:
    """Magnitude up to which a zero of a symmetry may be at this gradient; ``None`` where that is not known."""
    source = products.source
    if not isinstance(source, HessianOperator):
        return None
    length = math.hypot(*(float(np.linalg.norm(leaf)) for leaf in source.primal.leaves))
    return beside_gradient(float(np.linalg.norm(source.gradient)), length) if length > 0.0 else None


def beside_gradient(size: float, length: float) -> float:
    """Magnitude up to which a zero of a symmetry may be where gradient and x have these 2-norms."""
    return 4.0 * size / length


def check_reach(products: Products, scale: float) -> None:
    """Refuse to take real curvature for zero where the point is far from stationary."""
    if products.floor > STATIONARY * scale > 0.0:
        what = f"the threshold is {products.floor:.3g}, for a largest magnitude of {scale:.3g}"
        why, fix = "The point is not nearly stationary, and curvature would count as zero", "Pass a number"
        raise OptionError(message(products.where, what, why, fix))


def count_signs(
    rule: Quadrature,
    known: np.ndarray | None,
    products: Products,
    *,
    exact: bool,
    complete: bool = False,
    threshold: float | None = None,
) -> Inertia:
    """Count by a quadrature of what known eigenvalues leave; all eigenvalues are their own quadrature.

    The nodes of complete processes are eigenvalues themselves: no cut between them is in doubt.
    """
    n, nodes = products.n, rule.nodes
    known = np.zeros(0) if known is None else known
    scale = max(float(np.abs(nodes).max()), float(np.abs(known).max(initial=0.0)))
    reach = gradient_reach(products) or 0.0
    if products.floor == reach:
        check_reach(products, scale)
    cut = products.zero_cut(scale) if threshold is None else threshold
    in_doubt = 0
    if cut < reach <= STATIONARY * scale:
        sizes = np.abs(nodes.ravel() if exact else known)
        in_doubt = int(np.sum((sizes > cut) & (sizes <= reach)))
    doubt = (in_doubt, reach if in_doubt else 0.0)
    if exact:
        minus, plus = int(np.sum(nodes < -cut)), int(np.sum(nodes > cut))
        return Inertia(minus, n - minus - plus, plus, 0.0, minus, plus, cut, products.count, "exact", *doubt)
    below, below_error = _weight(nodes, rule.weights, -cut, rule.n, complete)
    above, above_error = _weight(-nodes, rule.weights, -cut, rule.n, complete)
    known_below, known_above = int(np.sum(known < -cut)), int(np.sum(known > cut))
    sure = [
        max(int(np.sum((sign * row > cut) & (tau > 0.0))) for row, tau in zip(nodes, rule.weights, strict=True))
        for sign in (-1.0, 1.0)
    ]
    minus_found, plus_found = rule.n * below + known_below, rule.n * above + known_above
    # Below rounding of the weights, nothing is left over.
    rest = n - minus_found - plus_found
    rest = rest if rest > 1e-9 * n else 0.0
    return Inertia(
        minus_found,
        rest,
        plus_found,
        rule.n * max(below_error, above_error),
        sure[0] + known_below,
        sure[1] + known_above,
        cut,
        products.count,
        "Lanczos quadrature",
        *doubt,
    )


def _weight(nodes: np.ndarray, weights: np.ndarray, cut: float, n: int, complete: bool) -> tuple[float, float]:
    """Return the share of the spectrum below a cut, and its standard error."""
    share, doubt, misses = np.zeros(len(nodes)), np.zeros(len(nodes)), np.ones(len(nodes))
    for i, (row, tau_row) in enumerate(zip(nodes, weights, strict=True)):
        order = np.argsort(row[tau_row > 0.0], kind="stable")
        theta, tau = row[tau_row > 0.0][order], tau_row[tau_row > 0.0][order]
        j = int(np.searchsorted(theta, cut))
        share[i] = tau[:j].sum()
        if complete or (tau_row[-1] == 0.0 and row[-1] == row[-2]):
            # Ended, where padded before the others, in an invariant space.
            misses[i] = 0.0
            continue
        # A node on the far side may stand for eigenvalues on this one, and the other way round.
        inner = tau[j - 1] if j else 0.0
        outer = tau[j] if j < len(tau) else 0.0
        # Beyond all nodes the sum is itself one end of the interval, so that all of it lies on the other side.
        doubt[i] = 0.5 * (inner + outer) if inner and outer else inner + outer
        gap, span = (theta[0] - cut, theta[-1] - cut) if theta[0] > cut else (cut - theta[-1], cut - theta[0])
        misses[i] = chance(n, len(theta), gap, span)
    # No process has a node on one of the sides: starts are independent, so that the chances of all of them multiply.
    if (not share.any() or np.all(share > 1.0 - 1e-12)) and np.prod(misses) <= MISS:
        doubt[:] = 0.0
    mean = float(np.mean(share))
    # Half a vector's worth of weight is the least that is believed of a share that was seen as zero.
    spread = 2.0 * max(mean * (1.0 - mean), 1.0 / n) / ((n + 2) * len(nodes))
    return mean, math.hypot(math.sqrt(spread), float(np.mean(doubt)))
