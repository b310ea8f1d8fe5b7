"""Colorings of very large patterns, many variables at a time."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

_BITS = 64


def distance_two_colors(adjacency: csr_array) -> np.ndarray:
    """Color variables so that no two with a common neighbor, or beside each other, have one color; hubs have colors of their own.

    In every round all variables without a color draw the smallest one that is free around them, and of those that clash one keeps it:
    A. H. Gebremedhin, F. Manne, "Scalable parallel graph coloring algorithms", Concurrency 12 (2000).
    """
    n = adjacency.shape[0]
    degrees = np.diff(adjacency.indptr)
    ranked = np.sort(degrees)[::-1]
    # So many variables get colors of their own that they and the largest neighborhood of the rest are fewest.
    count = int(np.argmin(np.arange(n) + ranked))
    hubs = np.argsort(-degrees, kind="stable")[:count]
    plain = np.ones(n, bool)
    plain[hubs] = False
    rest = csr_array(adjacency[plain][:, plain])
    colors = np.full(n, -1)
    colors[plain] = _in_rounds(rest)
    colors[hubs] = int(colors.max(initial=-1)) + 1 + np.arange(count)
    return colors


def _in_rounds(adjacency: csr_array) -> np.ndarray:
    n = adjacency.shape[0]
    # Everybody is a neighbor of itself.
    rows = np.concatenate((np.repeat(np.arange(n), np.diff(adjacency.indptr)), np.arange(n)))
    columns = np.concatenate((adjacency.indices, np.arange(n)))
    order = np.argsort(rows, kind="stable")
    columns = columns[order]
    starts = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=n))))[:-1]
    priority = np.random.default_rng(0).permutation(n)
    colors = np.full(n, -1)
    base = 0
    while (colors < 0).any():
        _fill(colors, base, starts, columns, priority)
        base += _BITS
    return colors


def _around(values: np.ndarray, starts: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the bits that some neighbor of a neighbor has."""
    once = np.bitwise_or.reduceat(values[columns], starts)
    return np.bitwise_or.reduceat(once[columns], starts)


def _fill(colors: np.ndarray, base: int, starts: np.ndarray, columns: np.ndarray, priority: np.ndarray) -> None:
    """Give out the colors from ``base`` on, as many as a word has bits, until nobody without a color can have one of them."""
    n = len(colors)
    one = np.uint64(1)
    rng = np.random.default_rng(1)
    own = np.zeros(n, np.uint64)
    while True:
        taken = _around(own, starts, columns)
        open_ = np.flatnonzero((colors < 0) & (taken != ~np.uint64(0)))
        if not len(open_):
            return
        free = ~taken[open_]
        # The lowest free color or one of the next, at random, so that fewer clash.
        for _ in range(2):
            rest = free & (free - one)
            free = np.where((rng.random(len(free)) < 0.4) & (rest != 0), rest, free)
        lowest = free & (~free + one)
        drawn = np.zeros(n, np.uint64)
        drawn[open_] = lowest
        color = np.full(n, -1)
        color[open_] = base + np.log2(lowest.astype(np.float64)).astype(np.intp)
        # In every neighborhood and color the one of highest priority keeps it.
        row = np.repeat(np.arange(n), np.diff(np.append(starts, len(columns))))
        there = drawn[columns] != 0
        keys = row[there] * _BITS + (color[columns[there]] - base)
        best = np.full(n * _BITS, -1)
        np.maximum.at(best, keys, priority[columns[there]])
        loses = np.zeros(n, bool)
        loses[columns[there][best[keys] != priority[columns[there]]]] = True
        wins = open_[~loses[open_]]
        colors[wins] = color[wins]
        own[wins] = drawn[wins]
