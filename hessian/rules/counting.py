"""Histograms and counts by bins: counts have no derivative, weights and densities do."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.rules.broadcast import as_array, whole
from hessian.rules.dispatch import composite
from hessian.rules.indexing import Positions, scatter_add_op
from hessian.rules.order import plain
from hessian.rules.spec import A, Traced, case, nondifferentiable
from hessian.rules.traced import as_given, entered

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


def _edges(values: Any, bins: Any, range: Any) -> Any:
    """Return the edges along one axis of a histogram of several."""
    if np.ndim(bins) == 0 and operator.index(bins) < 1:
        raise ValueError("`bins` must be positive, when an integer")
    if np.ndim(bins) > 1:
        raise ValueError("`bins` must be an integer or 1d array")
    return histogram_bin_edges(values, bins, range)


@composite(
    np.histogramdd,
    real_only=True,
    cases=[
        case(A(5, 2), (2, 3), density=True),
        case(np.array([[0.1, 0.5], [0.4, 0.2], [0.9, 0.8]]), 2, None, None, A(3)),
    ],
    enters=as_given,
)
def histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    columns = _columns(sample)
    ndim, weights = len(columns), entered(weights)
    if weights is not None:
        weights = as_array(weights)
        if weights.shape != np.shape(columns[0]):
            raise ValueError("The weights and list don't have the same length.")
        weights = weights if weights.dtype == np.float64 else weights.astype(np.float64)
    bins = [bins] * ndim if np.ndim(bins) == 0 else list(bins)
    ranges = [None] * ndim if range is None else list(range)
    if len(bins) != ndim:
        raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    if len(ranges) != ndim:
        raise ValueError("range argument must have one entry per dimension")
    edges = [_edges(x, entered(b), r) for x, b, r in zip(columns, bins, ranges, strict=True)]
    places = [np.asarray(_bins_op(x, e)) - 1 for x, e in zip(columns, edges, strict=True)]
    shape = tuple(e.shape[0] - 1 for e in edges)
    # With outliers at both ends, as NumPy has them: the result is a view of these.
    wide = tuple(n + 2 for n in shape)
    flat = np.ravel_multi_index(tuple(at + 1 for at in places), wide)
    totals = np.reshape(_totals(flat, weights, math.prod(wide)).astype(float), wide)[(slice(1, -1),) * ndim]
    if density:
        total = np.sum(totals)
        for i, e in enumerate(edges):
            totals = totals / np.reshape(np.diff(e), tuple(-1 if j == i else 1 for j, _ in enumerate(shape)))
        totals = totals / total
    return totals, edges


def _columns(sample: Any) -> list[Any]:
    """Return the coordinates of a sample, given as an array with a row for each point or as a sequence of coordinates."""
    by_rows = hasattr(sample, "shape")
    sample = entered(sample)
    sample = sample if by_rows and sample.ndim == 2 else np.atleast_2d(sample).T
    if sample.ndim > 2:
        raise ValueError("too many values to unpack (expected 2)")
    return [sample[:, i] for i in np.arange(sample.shape[1])]


@composite(
    np.histogram2d,
    real_only=True,
    cases=[
        case(A(5), A(5), 2, [[-3.0, 3.0], [-3.0, 3.0]]),
        case(np.array([0.1, 0.5, 0.7]), np.array([0.3, 0.2, 0.9]), (2, 3), None, None, A(3)),
    ],
)
def histogram2d(x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    if len(x) != len(y):
        raise ValueError("x and y must have the same length.")
    count = 1 if np.ndim(bins) == 0 and not isinstance(bins, list | tuple) else len(bins)
    totals, edges = histogramdd([x, y], bins if count in (1, 2) else [bins, bins], range, density, weights)
    return totals, edges[0], edges[1]
