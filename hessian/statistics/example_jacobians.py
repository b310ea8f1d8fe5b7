"""Jacobians of the outputs of a model for each example, a few examples at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hessian.errors import NonFiniteError, OptionError, ShapeMismatchError
from hessian.linalg import limits
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.operators.kronecker import AffineLayer, TappedNetwork
from hessian.operators.rows import ROWS, blocks_of_rows, has_rows
from hessian.statistics.selection import Selection

_SAME = 1e3
"""Rounding, in units of the largest number, by which results of blocks of examples differ."""


def by_examples(
    model: Callable[..., Any],
    value: Any,
    chosen: Selection,
    args: tuple[Any, ...],
    whole: JacobianOperator,
    table: np.ndarray,
) -> Iterator[np.ndarray]:
    """Yield the Jacobians of examples in the chosen parameters, (b, K, k), in order.

    ``whole`` is the Jacobian of all, and ``table`` holds the outputs, shape (N, K). Of affine layers by a sweep per output of all examples
    together; else, where examples do not meet, by blocks of rows; else by rows of the whole.
    """
    size, width = table.shape
    step = max(1, limits.BLOCK_NUMBERS // (width * max(whole.shape[1], 1)))
    are_rows = has_rows(args, size)
    if are_rows and (hasattr(model, "layers") or isinstance(model, AffineLayer)):
        found = _tapped(model, value, args, table, step)
        if found is not None:
            for network in found:
                yield _of_layers(network, chosen, width)
            return
    free = chosen.function(model)
    if size > ROWS and are_rows and _is_apart(free, chosen.free, args, whole, table):
        for start in range(0, size, ROWS):
            part = JacobianOperator(free, chosen.free, *(a[start : start + ROWS] for a in args))
            yield part.to_dense().reshape(-1, width, whole.shape[1]).astype(np.float64)
        return
    step = max(1, min(step, limits.BLOCK_NUMBERS // (width * whole.shape[0])))
    for start in range(0, size, step):
        count = min(step, size - start)
        units = np.zeros((whole.shape[0], count * width), whole.dtype)
        units[start * width + np.arange(count * width), np.arange(count * width)] = 1.0
        yield np.asarray(whole.T @ units, np.float64).T.reshape(count, width, -1)


def _tapped(model: Any, value: Any, args: tuple[Any, ...], table: np.ndarray, step: int) -> list[TappedNetwork] | None:
    """Return the network at blocks of examples, or ``None`` where it is more than affine layers, or examples meet."""
    found = []
    for start in range(0, len(table), step):
        try:
            network = TappedNetwork(model, value, tuple(a[start : start + step] for a in args), "predict")
        except (OptionError, ShapeMismatchError, NonFiniteError):
            return None
        mine, wanted = network.outputs.reshape(network.n_examples, -1), table[start : start + step]
        if mine.shape != wanted.shape or not _is_same(mine, wanted, np.abs(table), network.vector.dtype):
            return None
        found.append(network)
    return found


def _is_same(found: np.ndarray, wanted: np.ndarray, sizes: np.ndarray, dtype: Any) -> bool:
    gap = np.abs(found - wanted).max(initial=0.0)
    return bool(gap <= _SAME * float(np.finfo(dtype).eps) * sizes.max(initial=0.0))


def _of_layers(network: TappedNetwork, chosen: Selection, width: int) -> np.ndarray:
    """Return outer products of what goes into layers and what comes back, (b, K, k)."""
    count = network.n_examples
    found = np.zeros((count, width, len(chosen.places)))
    places = [tap.places.ravel() for tap in network.taps]
    taken = [np.flatnonzero(np.isin(place, chosen.places)) for place in places]
    to = [np.searchsorted(chosen.places, place[at]) for place, at in zip(places, taken, strict=True)]
    # Examples do not meet: one sweep has the derivatives of an output of each of them.
    units = np.tile(np.eye(width, dtype=network.vector.dtype), (count, 1))
    for k, back in enumerate(network.pulled_back(units)):
        for tap, one, at, where in zip(network.taps, back, taken, to, strict=True):
            if len(at):
                outer = np.asarray(tap.rows.swapaxes(1, 2) @ one, np.float64).reshape(count, -1)
                found[:, k, where] = outer[:, at]
    return found


def _is_apart(
    model: Callable[..., Any], x: Any, args: tuple[Any, ...], whole: JacobianOperator, table: np.ndarray
) -> bool:
    """Whether outputs of blocks of rows are those of all rows, and a weighted sum of derivatives is."""
    weights = np.random.default_rng(0).standard_normal(table.shape).astype(whole.dtype)
    total, scale = np.zeros((2, whole.shape[1]))
    for part, block in blocks_of_rows(model, x, args, np.shape(whole.value)):
        if block is None:
            return False
        pulled = block.T @ weights[part].ravel()
        total += pulled
        scale += np.abs(pulled)
    return _is_same(total, whole.T @ weights.ravel(), scale, whole.dtype)
