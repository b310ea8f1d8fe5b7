"""Bounds on a gradient before it becomes a step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hessian.linalg.vectors import norm


def clip_by_value(gradient: npt.ArrayLike, limit: float) -> np.ndarray:
    """Cut every entry off at ``±limit``, above 0; this turns the direction. NaN stays.

    Examples
    --------
    >>> clip_by_value([3.0, -0.5, -2.0], 1.0).tolist()
    [1.0, -0.5, -1.0]
    """
    return np.clip(gradient, -limit, limit)


def clip_by_norm(gradient: npt.ArrayLike, limit: float) -> np.ndarray:
    """Shorten a gradient that is longer than ``limit``, above 0: ``g · min(1, limit / ||g||)``; the direction stays.

    All entries count in one 2-norm. Where it is not finite the result is NaN throughout, so that a broken gradient is not
    mistaken for a short one.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML (2013),
    algorithm 1.

    Examples
    --------
    >>> clip_by_norm([3.0, 4.0], 2.5).tolist(), clip_by_norm([0.3, 0.4], 1.0).tolist()
    ([1.5, 2.0], [0.3, 0.4])
    """
    g = np.asarray(gradient)
    length = norm(g.ravel())
    if not np.isfinite(length):
        return np.full_like(g, np.nan)
    return g.copy() if length <= limit else g * (limit / length)
