"""Rows of sums of exponentials and their shares: logsumexp, softmax, log_softmax.

Everything is formed from differences to the largest entry: what is formed
from the rounded log-sum-exp, such as ``exp(x - logsumexp(x))``, is wrong by the relative rounding error times ``|x|``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules.spec import general


def _largest(x: Any, axes: tuple[int, ...]) -> Any:
    return np.max(x, axis=axes, keepdims=True, initial=-np.inf)


def _above(x: Any, top: Any) -> tuple[Any, Any]:
    """Return exp(x - top), and what it is without the largest entries; infinite entries count as largest ones."""
    is_top = np.equal(x, top)
    if np.isfinite(top).all():
        powers = np.exp(x - top)
        return powers, powers - is_top
    others = np.where(is_top, 0, np.exp(np.where(is_top, 0, x - np.where(is_top, 0, top))))
    return others + is_top, others


def _logsumexp(x: Any, *, axes: tuple[int, ...]) -> Any:
    top = _largest(x, axes)
    with np.errstate(all="ignore"):
        powers, others = _above(x, top)
        # The largest entries apart, so that the rest counts however small it is.
        ties = np.sum(powers - others, axis=axes, keepdims=True)
        return np.log1p(np.sum(others, axis=axes, keepdims=True) / ties) + np.log(ties) + top


def _softmax(x: Any, *, axes: tuple[int, ...]) -> Any:
    with np.errstate(invalid="ignore"):
        powers = np.exp(x - _largest(x, axes))
        return powers / np.sum(powers, axis=axes, keepdims=True)


def _shares(x: Any, *, axes: tuple[int, ...]) -> Any:
    """Return the softmax where it exists; at infinite entries their equal shares, and zeros where all are -inf."""
    top = _largest(x, axes)
    with np.errstate(invalid="ignore"):
        powers, _ = _above(x, top)
        return np.where(np.equal(top, -np.inf), 0, powers / np.sum(powers, axis=axes, keepdims=True)).astype(x.dtype)


def _log_softmax(x: Any, *, axes: tuple[int, ...]) -> Any:
    top = _largest(x, axes)
    with np.errstate(all="ignore"):
        below = x - top
        powers, others = _above(x, top)
        ties = np.sum(powers - others, axis=axes, keepdims=True)
        return below - np.log1p(np.sum(others, axis=axes, keepdims=True) / ties) - np.log(ties)


def _share_pushforward(y: Any, xs: Any, dots: Any, *, axes: tuple[int, ...]) -> Any:
    return y * (dots[0] - np.sum(y * dots[0], axis=axes, keepdims=True))


def _share_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, axes: tuple[int, ...]) -> list[Any]:
    return [y * (g - np.sum(y * g, axis=axes, keepdims=True))]


softmax_op = general("softmax", _softmax, pushforward=_share_pushforward, pullback=_share_pullback, pattern="axes")
# What the derivative of logsumexp is made of.
shares_op = general("shares", _shares, pushforward=_share_pushforward, pullback=_share_pullback, pattern="axes")
logsumexp_op = general(
    "logsumexp",
    _logsumexp,
    prepare=lambda y, xs, *, axes: {"weights": shares_op(xs[0], axes=axes)},
    pattern="axes",
    pushforward=lambda y, xs, dots, *, axes, weights: np.sum(weights * dots[0], axis=axes, keepdims=True),
    pullback=lambda y, xs, g, wanted, *, axes, weights: [weights * g],
)
log_softmax_op = general(
    "log_softmax",
    _log_softmax,
    prepare=lambda y, xs, *, axes: {"weights": np.exp(y)},
    pushforward=lambda y, xs, dots, *, axes, weights: dots[0] - np.sum(weights * dots[0], axis=axes, keepdims=True),
    pullback=lambda y, xs, g, wanted, *, axes, weights: [g - weights * np.sum(g, axis=axes, keepdims=True)],
    pattern="axes",
)
