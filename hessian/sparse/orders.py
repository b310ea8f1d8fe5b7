"""Orders in which variables are colored one after the other."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array


def natural(adjacency: csr_array) -> np.ndarray:
    """As they come."""
    return np.arange(adjacency.shape[0])


def largest_first(adjacency: csr_array) -> np.ndarray:
    """Those with most neighbors first."""
    return np.argsort(-np.diff(adjacency.indptr), kind="stable")


def smallest_last(adjacency: csr_array) -> np.ndarray:
    """Last the one with fewest neighbors, before it the one with fewest among the rest, and so on."""
    return _peeled(adjacency, np.diff(adjacency.indptr).tolist(), 1, -1)[::-1]


def incidence(adjacency: csr_array) -> np.ndarray:
    """Next the one with most neighbors among those before it."""
    return _peeled(adjacency, [0] * adjacency.shape[0], -1, 1)


def _peeled(adjacency: csr_array, degree: list[int], sign: int, change: int) -> np.ndarray:
    """Take the variable with the smallest signed degree away, again and again; that of its neighbors changes."""
    n = adjacency.shape[0]
    starts, neighbors = adjacency.indptr.tolist(), adjacency.indices.tolist()
    heap = [(sign * d, v) for v, d in enumerate(degree)]
    heapq.heapify(heap)
    taken, order = [False] * n, []
    while heap:
        key, v = heapq.heappop(heap)
        if taken[v] or key != sign * degree[v]:
            continue
        taken[v] = True
        order.append(v)
        for w in neighbors[starts[v] : starts[v + 1]]:
            if not taken[w]:
                degree[w] += change
                heapq.heappush(heap, (sign * degree[w], w))
    return np.array(order, np.intp)


ORDERS: dict[str, Callable[[csr_array], np.ndarray]] = {
    "natural": natural,
    "largest first": largest_first,
    "smallest last": smallest_last,
    "incidence": incidence,
}
