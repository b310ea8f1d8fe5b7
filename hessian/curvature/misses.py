"""How far an end of the spectrum may lie beyond the Ritz values of a random start, and with what probability."""

from __future__ import annotations

import math

MISS = 1e-3
"""Probability of a miss that is accepted without being asked."""


def chance(n: int, steps: int, gap: float, span: float) -> float:
    r"""Bound the probability that Lanczos has its Ritz value at that end farther than ``gap`` from the eigenvalue there.

    :math:`1.648 \sqrt n \exp(-\sqrt\epsilon (2 j - 1))` after j steps from a start uniform on the sphere, with :math:`\epsilon` the
    gap by the span of the spectrum (Kuczynski and Wozniakowski 1992, theorem 4.1).
    """
    if gap <= 0.0:
        return 1.0
    return min(1.0, 1.648 * math.sqrt(n) * math.exp(-math.sqrt(gap / max(span, gap)) * (2 * steps - 1)))


def unseen(n: int, steps: int, gap: float, span: float, residual: float) -> float:
    r"""Bound the probability that Lanczos has its last Ritz value, with that residual, farther than ``gap`` from the eigenvalue there.

    By the steps (:func:`chance`), or by :math:`(2/\pi) \arctan(r / gap)`: beyond its roots the Ritz vector's polynomial only grows, so
    that the start must have had so small a part of the missing vector, compared with the one found.
    """
    return min(chance(n, steps, gap, span), 2.0 / math.pi * math.atan(residual / gap)) if gap > 0.0 else 1.0


def share(n: int, steps: int, miss: float, *, stir: float = 1.0) -> float:
    """Return the share of the span that the end is beyond the Ritz value with probability ``miss`` at most.

    ``stir`` is the part of the start that is random, where it is a known vector stirred with a random one: any one component of
    such a sum is small no more often than that of the random vector is (Anderson's inequality), only as much smaller than the whole.
    """
    if steps < 1:
        return math.inf
    return (math.log(1.648 * math.sqrt(n) / (stir * miss)) / (2 * steps - 1)) ** 2


def beyond(n: int, steps: int, span: float, miss: float, *, stir: float = 1.0) -> float:
    """Return the distance that either end is beyond its Ritz value with probability ``miss`` at most for both of them together.

    ``span`` is between the outermost Ritz values. With a share e at either end, the true one is up to ``span / (1 - 2 e)``.
    """
    part = share(n, steps, 0.5 * miss, stir=stir)
    return math.inf if part >= 0.5 else part * span / (1.0 - 2.0 * part)
