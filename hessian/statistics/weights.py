"""Whether a function weighs the terms whose gradients are given for its own: read off what it adds up, example by example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.tape.sweeps import Linearization
from hessian.tape.trace import trace
from hessian.tape.trees import split_vector

_LOOKED_AT = 8
"""Values of one number per example, the last before the result, that are compared."""


def weights_of(
    f: Callable[..., Any],
    x: Any,
    args: tuple[Any, ...],
    directions: Sequence[np.ndarray],
    slopes: Sequence[np.ndarray],
    allowed: float,
) -> np.ndarray | None:
    r"""Return what f multiplies each of its terms with; ``None`` where it takes them alike, or nothing says so.

    With :math:`v_i` a vector on the way to f that has an element for each term, :math:`(\partial f / \partial v_i) (D v_i) u` is the part
    of the slope of f along u that passes through element i. Where these parts are all of the slope, and each is
    :math:`w_i (D l_i) u` with the same :math:`w_i` for every u, then f is the sum of :math:`w_i l_i`.

    Parameters
    ----------
    directions : sequence of two vectors
        In the raveled x.
    slopes : sequence of two vectors
        Slopes of the terms along these.
    allowed : float
        Relative difference that rounding makes.
    """
    traced = trace(f, (x, *args), where="covariance")
    count = len(slopes[0])
    seen = np.all([np.abs(rows) > allowed * np.abs(rows).max(initial=0.0) for rows in slopes], axis=0)
    if traced.tape.nested or traced.slots[0] is None or 2 * seen.sum() <= count:
        return None
    bars = traced.linearization().cotangents()
    alike = (slot for slot, bar in enumerate(bars) if bar is not None and np.shape(bar) == (count,))
    for slot in [slot for slot in alike if slot not in traced.inputs][: -_LOOKED_AT - 1 : -1]:
        part, whole = Linearization(traced.tape, traced.inputs, [slot]), traced.linearization()
        leaves = [_leaves(u, traced.primal) for u in directions]
        through = [bars[slot] * part.pushforward(leaf)[0] for leaf in leaves]
        every = [float(whole.pushforward(leaf)[0]) for leaf in leaves]
        pairs = zip(through, every, strict=True)
        if any(abs(float(np.sum(mine)) - all_) > allowed * float(np.sum(np.abs(mine))) for mine, all_ in pairs):
            continue
        first, second = (mine[seen] / rows[seen] for mine, rows in zip(through, slopes, strict=True))
        if np.all(np.abs(first - second) <= allowed * np.abs(first).max()):
            weights = np.full(count, np.nan)
            weights[seen] = first
            return weights if np.ptp(first) > allowed * np.abs(first).max() else None
    return None


def _leaves(u: np.ndarray, primal: Any) -> list[Any]:
    leaves = split_vector(u, primal.shapes, 0)
    return [leaf.astype(x.dtype) for leaf, x in zip(leaves, primal.leaves, strict=True)]
