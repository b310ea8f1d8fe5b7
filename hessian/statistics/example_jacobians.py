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
from hessian.statistics.spread import OfLayer, Spread

_SAME = 1e3
"""Rounding, in units of the largest number, by which results of blocks of examples differ."""


class LayerJacobians:
    """Jacobians of the outputs of examples in affine layers: outer products of what goes in and what comes back.

    Parameters
    ----------
    network : TappedNetwork
        Of b examples.
    chosen : Selection
        Which parameters count, k of them.
    width : int
        K, outputs of an example.

    Attributes
    ----------
    is_single : bool
        Whether no layer is used at several places of an example, as convolutions are.
    """

    def __init__(self, network: TappedNetwork, chosen: Selection, width: int) -> None:
        self._network, self._chosen, self._width = network, chosen, width
        self.is_single = all(tap.rows.shape[1] == 1 for tap in network.taps)

    def _pulled_back(self) -> Iterator[list[np.ndarray]]:
        # Examples do not meet: one sweep has the derivatives of an output of each of them.
        units = np.tile(np.eye(self._width, dtype=self._network.vector.dtype), (self._network.n_examples, 1))
        return self._network.pulled_back(units)

    def dense(self) -> np.ndarray:
        """Return the Jacobians, (b, K, k)."""
        chosen, taps, count = self._chosen, self._network.taps, self._network.n_examples
        found = np.zeros((count, self._width, len(chosen.places)))
        places = [tap.places.ravel() for tap in taps]
        taken = [np.flatnonzero(np.isin(place, chosen.places)) for place in places]
        to = [np.searchsorted(chosen.places, place[at]) for place, at in zip(places, taken, strict=True)]
        for k, back in enumerate(self._pulled_back()):
            for tap, one, at, where in zip(taps, back, taken, to, strict=True):
                if len(at):
                    outer = np.asarray(tap.rows.swapaxes(1, 2) @ one, np.float64).reshape(count, -1)
                    found[:, k, where] = outer[:, at]
        return found

    def carried(self, of_layer: OfLayer, full: bool) -> np.ndarray:
        r"""Return the covariance of the outputs of each example, (b, K, K), or their variances, (b, K).

        Where the covariance of a layer is :math:`(L \otimes R) \operatorname{diag}(D) (L \otimes R)^T`, that of outputs with the
        Jacobian :math:`a \otimes B` is :math:`(B R) \operatorname{diag}((L^T a)^2 D) (B R)^T`.
        """
        chosen, count = self._chosen, self._network.n_examples
        found = np.zeros((count, self._width, self._width) if full else (count, self._width))
        columns = [np.stack(column, axis=1) for column in zip(*self._pulled_back(), strict=True)]
        for tap, back in zip(self._network.taps, columns, strict=True):
            inside = np.isin(tap.places, chosen.places)
            if not inside.any():
                continue
            at = np.where(inside, np.searchsorted(chosen.places, tap.places), -1)
            left, right, variances = of_layer(at)
            rows, turned = tap.rows[:, 0].astype(np.float64), back[:, :, 0].astype(np.float64)
            if left is not None and right is not None:
                rows, turned = rows @ left, turned @ right
            turned *= np.sqrt(rows**2 @ variances)[:, None, :]
            found += turned @ turned.swapaxes(1, 2) if full else np.sum(turned**2, axis=2)
        return found


def blocks_of(spread: Spread, part: np.ndarray | LayerJacobians) -> np.ndarray:
    """Return the covariance of the outputs of each example, (b, K, K)."""
    return _spread_of(spread, part, full=True)


def variances_of(spread: Spread, part: np.ndarray | LayerJacobians) -> np.ndarray:
    """Return the variances of the outputs of each example, (b, K)."""
    return _spread_of(spread, part, full=False)


def _spread_of(spread: Spread, part: np.ndarray | LayerJacobians, *, full: bool) -> np.ndarray:
    if not isinstance(part, np.ndarray):
        if spread.of_layer is not None and part.is_single:
            return part.carried(spread.of_layer, full)
        part = part.dense()
    return spread.blocks(part) if full else spread.variances(part)


def by_examples(
    model: Callable[..., Any],
    value: Any,
    chosen: Selection,
    args: tuple[Any, ...],
    whole: JacobianOperator,
    table: np.ndarray,
    spread: Spread,
) -> Iterator[np.ndarray | LayerJacobians]:
    """Yield the Jacobians of examples in the chosen parameters, (b, K, k), in order, for the covariance of these.

    ``whole`` is the Jacobian of all, and ``table`` holds the outputs, shape (N, K). Of affine layers by a sweep per output of all examples
    together; else, where examples do not meet, by blocks of rows; else by rows of the whole.
    """
    size, width = table.shape
    step = max(1, limits.BLOCK_NUMBERS // (width * max(whole.shape[1], 1)))
    are_rows = has_rows(args, size)
    if are_rows and (hasattr(model, "layers") or isinstance(model, AffineLayer)):
        found = _tapped(model, value, args, table, step, spread.of_layer is not None)
        if found is not None:
            for network in found:
                yield LayerJacobians(network, chosen, width)
            return
    free = chosen.function(model)
    if size > ROWS and are_rows and _is_apart(free, chosen.free, args, whole, table):
        for start in range(0, size, ROWS):
            part = JacobianOperator(free, chosen.free, *(a[start : start + ROWS] for a in args))
            yield part.to_dense().reshape(-1, width, whole.shape[1]).astype(np.float64)
        return
    step = max(1, min(step, limits.BLOCK_NUMBERS // (width * max(whole.shape[0], 1))))
    for start in range(0, size, step):
        count = min(step, size - start)
        units = np.zeros((whole.shape[0], count * width), whole.dtype)
        units[start * width + np.arange(count * width), np.arange(count * width)] = 1.0
        yield np.asarray(whole.T @ units, np.float64).T.reshape(count, width, -1)


def _tapped(
    model: Any, value: Any, args: tuple[Any, ...], table: np.ndarray, step: int, is_factored: bool
) -> list[TappedNetwork] | None:
    """Return the network at blocks of examples, or ``None`` where it is more than affine layers, or examples meet.

    Where Jacobians need not be formed (``is_factored``), and no layer is used at several places, blocks have more than ``step``.
    """
    found: list[TappedNetwork] = []
    open_up = lambda part: TappedNetwork(model, value, tuple(a[part] for a in args), "predict")
    try:
        if is_factored:
            taps = open_up(slice(0, 1)).taps
            width = table.shape[1]
            numbers = width * (width + sum(tap.places.shape[1] for tap in taps))
            step = limits.block_columns(numbers) if all(tap.rows.shape[1] == 1 for tap in taps) else step
        networks = [open_up(slice(start, start + step)) for start in range(0, len(table), step)]
    except (OptionError, ShapeMismatchError, NonFiniteError):
        return None
    size = np.abs(table).max(initial=0.0)
    for start, network in zip(range(0, len(table), step), networks, strict=True):
        mine, wanted = network.outputs.reshape(network.n_examples, -1), table[start : start + step]
        if mine.shape != wanted.shape or not _is_same(mine, wanted, size, network.vector.dtype):
            return None
        found.append(network)
    return found


def _is_same(found: np.ndarray, wanted: np.ndarray, sizes: Any, dtype: Any) -> bool:
    return bool(np.all(np.abs(found - wanted) <= _SAME * float(np.finfo(dtype).eps) * sizes))


def _is_apart(
    model: Callable[..., Any], x: Any, args: tuple[Any, ...], whole: JacobianOperator, table: np.ndarray
) -> bool:
    """Whether a weighted sum of derivatives of blocks of rows is that of all rows, each of its own size: parameters have units."""
    weights = np.random.default_rng(0).standard_normal(table.shape).astype(whole.dtype)
    total, scale = np.zeros((2, whole.shape[1]))
    for part, block in blocks_of_rows(model, x, args, np.shape(whole.value)):
        if block is None:
            return False
        pulled = block.T @ weights[part].ravel()
        total += pulled
        scale += np.abs(pulled)
    return _is_same(total, whole.T @ weights.ravel(), scale, whole.dtype)
