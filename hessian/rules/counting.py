"""Histograms and counts by bins: counts have no derivative, weights and densities do."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.rules.broadcast import as_array, whole
from hessian.rules.dispatch import composite
from hessian.rules.indexing import Positions, scatter_add_op
from hessian.rules.order import plain
from hessian.rules.spec import A, Traced, case, nondifferentiable

_bins_op = nondifferentiable("bins", lambda x, edges: np.searchsorted(edges, x, side="right") - (x == edges[-1]))


def _totals(bins: np.ndarray, weights: Any, count: int) -> Any:
    """Add weights up by bins."""
    inside = (bins >= 0) & (bins < count)
    if not isinstance(weights, Traced):
        return np.bincount(bins[inside], None if weights is None else weights[inside], count)
    traced: Any = weights
    return scatter_add_op(traced[inside], positions=Positions(bins[inside], (count,)))


@composite(np.bincount, real_only=True, cases=[case(np.array([0, 2, 2, 1]), A(4)), case(np.array([1, 1]), A(2), 4)])
def bincount(x: Any, /, weights: Any = None, minlength: Any = 0) -> Any:
    bins = np.asarray(plain(x, "bincount", "x"))
    if weights is None:
        return np.bincount(bins, minlength=minlength)
    weights = as_array(weights)
    if bins.shape != weights.shape or bins.ndim != 1:
        raise ValueError("The weights and list don't have the same length.")
    if bins.dtype.kind not in "iub":
        raise TypeError("Cannot cast array data to dtype('int64') according to the rule 'safe'")
    if np.any(bins < 0):
        raise ValueError("'list' argument must have no negative elements")
    minlength = whole(minlength)
    if minlength < 0:
        raise ValueError("'minlength' must not be negative")
    count = max(int(np.max(bins, initial=-1)) + 1, minlength)
    weights = weights if weights.dtype == np.float64 else weights.astype(np.float64)
    return _totals(bins, weights, count)


@composite(np.histogram_bin_edges, cases=[case(A(6), 3), case(A(6), 4, range=(-3.0, 3.0))])
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    if weights is not None and np.shape(weights) != np.shape(a):
        raise ValueError("weights should have the same shape as a.")
    if np.ndim(bins) == 1:
        edges: Any = as_array(bins)
        if np.any(edges[:-1] > edges[1:]):
            raise ValueError("`bins` must increase monotonically, when an array")
        return edges
    if isinstance(bins, str):
        raise OptionError(message("histogram", f"bins is {bins!r}", fix="Pass a number of bins, or their edges"))
    if operator.index(bins) < 1:
        raise ValueError("`bins` must be positive, when an integer")
    if range is not None:
        return np.histogram_bin_edges(np.zeros(1, getattr(a, "dtype", float)), int(bins), range)
    low, high = np.min(a), np.max(a)
    if np.equal(low, high):
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, int(bins) + 1)


@composite(
    np.histogram,
    real_only=True,
    cases=[
        case(np.array([0.1, 0.4, 0.9, 0.3]), 3, None, None, A(4)),
        case(A(6), np.array([-3.0, 0.0, 3.0]), density=True),
    ],
    analytic=lambda a, bins, **k: np.histogram(np.real(a), bins, **k),
)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> tuple[Any, Any]:
    a = as_array(a)
    edges = histogram_bin_edges(a, bins, range, weights)
    places = np.asarray(_bins_op(np.ravel(a), edges)) - 1
    totals = _totals(places, None if weights is None else np.ravel(weights), edges.shape[0] - 1)
    if density:
        return totals / np.diff(edges) / np.sum(totals), edges
    return totals, edges
