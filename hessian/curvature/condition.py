"""The condition number, between a bound that is certain and one that is not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import INSIDE, NOT_NEGATIVE, Rng, check, real_number, whole_number
from hessian.curvature.eigenvalues import eigenvalues
from hessian.curvature.estimate import Uncertain
from hessian.curvature.misses import MISS, beyond
from hessian.curvature.products import Products
from hessian.errors import OptionError, message
from hessian.linalg import limits


@dataclass(frozen=True, repr=False)
class ConditionNumber(Uncertain):
    """A condition number between two bounds.

    Attributes
    ----------
    value : float
        Largest magnitude of an eigenvalue found over the smallest; infinite if H is singular to working precision.
    low : float
        The truth is at least that: for certain, up to rounding.
    high : float
        The truth is at most that, but for a probability of ``miss_probability``; ``inf`` where nothing bounds it.
    largest, smallest : float
        The eigenvalues.
    n_hvp : int
    miss_probability : float
        Bound on the probability, over random starts, that the truth is above ``high``; 0 where all eigenvalues were computed.
    """

    value: float
    low: float
    high: float
    largest: float
    smallest: float
    n_hvp: int
    miss_probability: float = 0.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return ``low`` and ``high``; no end above where ``high`` holds with less than the level.

        Raises
        ------
        OptionError
            The level is not between 0 and 1.
        """
        check("interval", "level", level, INSIDE)
        return self.low, self.high if 1.0 - self.miss_probability >= level else math.inf

    @property
    def standard_error(self) -> float:
        """Half of the distance to the farther bound, so that two reach it; ``inf`` where the truth is not bounded."""
        if math.isinf(self.value) or math.isinf(self.high):
            return math.inf
        return 0.5 * max(self.high - self.value, self.value - self.low)

    def __repr__(self) -> str:
        if math.isinf(self.high):
            bounds = f"at least {self.low:.6g}, not bounded from above"
        else:
            bounds = f"between {self.low:.6g} and {self.high:.6g}"
            bounds += f" with probability {1.0 - MISS:g}" if self.miss_probability else ""
        return f"condition number = {self.value:.6g}, {bounds} ({self.n_hvp} products)"


def condition_number(H: Any, max_hvp: int | None = None, *, damping: float = 0.0, rng: Rng = 0) -> ConditionNumber:
    r"""Bound :math:`\kappa = \max_i |\lambda_i| / \min_i |\lambda_i|` of a definite operator, or of any small one.

    Parameters
    ----------
    H : LinearOperator or matrix, shape (n, n)
        Symmetric.
    max_hvp : int, optional
        Products at most; without one, both ends are computed to full accuracy.
    damping : float
        Added to H, at least 0.
    rng : int, numpy.random.Generator or None
        Seed of the starting direction.

    Returns
    -------
    ConditionNumber

    Raises
    ------
    OptionError
        H is indefinite and n is above 500 (above the budget, if that is smaller): its eigenvalue nearest to zero lies inside
        the spectrum, where Lanczos does not converge.

    Notes
    -----
    Both ends by :func:`hessian.curvature.eigenvalues`. A Ritz value never lies beyond an end, and an eigenvalue within its residual:
    that makes the bound from below. That the eigenvalue near a Ritz value is *the* smallest does not follow from its residual.
    So the bound from above is by the residuals only where a second random start has confirmed that nothing lies farther out, but
    for a probability of 1e-3. Without, it is by the distance that the ends may be beyond the Ritz values of j steps with that
    probability, :math:`\epsilon` times the span with :math:`\sqrt\epsilon (2j - 1) = \log(1.648 \sqrt n / 0.0005)` (Kuczynski and
    Wozniakowski): in general a budget says nothing about condition numbers above its square. Cost: as there; n products for
    small n.

    References
    ----------
    J. Kuczynski and H. Wozniakowski, "Estimating the largest eigenvalue by the power and Lanczos algorithms with a random
    start", SIAM J. Matrix Anal. Appl. 13 (1992), theorem 4.1. B. N. Parlett, The Symmetric Eigenvalue Problem (1998).

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.curvature import condition_number
    >>> condition_number(np.diag([1.0, 2.0, 100.0])).value
    100.0
    """
    where = "condition_number"
    products = Products(H, where)
    n = products.n
    damping = real_number(where, "damping", damping, NOT_NEGATIVE)
    if max_hvp is not None:
        whole_number(where, "max_hvp", max_hvp, min(n, 8), "Both ends of the spectrum take a few Lanczos steps")
    if products.is_dense(limits.SPECTRUM_ORDER if max_hvp is None else min(limits.SPECTRUM_ORDER, max_hvp)):
        values = products.eigenvalues() + damping
        rounding = products.rounding(float(np.abs(values).max()))
        sizes = np.abs(values)
        ends = values[[np.argmax(sizes), np.argmin(sizes)]]
        return _ratio(ends, np.full(2, rounding), np.full(2, rounding), rounding, products.count)
    pairs = eigenvalues(H, 2, "BE", max_hvp=max_hvp, rng=rng)
    values = pairs.values.astype(np.float64) + damping
    # What is nearer to zero than its residual has no sign: a singular operator is not indefinite.
    if values[0] < -pairs.residuals[0] and values[1] > pairs.residuals[1]:
        what = f"H is indefinite, with eigenvalues {values[0]:.3g} and {values[1]:.3g}, of order {n}"
        raise OptionError(message(where, what, "What lies nearest to zero is inside the spectrum", "Pass damping > 0"))
    order = np.argsort(-np.abs(values))
    residuals = pairs.residuals[order].astype(np.float64)
    scale = float(np.abs(pairs.values).max())
    rounding = products.rounding(max(scale, float(np.abs(values).max())))
    if pairs.miss_probability <= MISS:
        return _ratio(values[order], residuals, residuals, rounding, pairs.n_hvp, pairs.miss_probability)
    far = beyond(n, pairs.steps, float(np.ptp(values)), MISS) + rounding
    return _ratio(values[order], residuals, np.full(2, far), rounding, pairs.n_hvp, MISS)


def _ratio(
    ends: np.ndarray, near: np.ndarray, far: np.ndarray, rounding: float, count: int, miss: float = 0.0
) -> ConditionNumber:
    """Divide the largest magnitude by the smallest: an eigenvalue is ``near`` each, and none ``far`` beyond."""
    large, small = np.abs(ends)
    value = large / small if small > rounding else math.inf
    low = max(1.0, (large - rounding) / (small + near[1])) if small + near[1] else math.inf
    high = (large + far[0]) / (small - far[1]) if small > far[1] else math.inf
    return ConditionNumber(
        float(value), float(low), float(high), float(ends[0]), float(ends[1]), count, 0.0 if math.isinf(high) else miss
    )
