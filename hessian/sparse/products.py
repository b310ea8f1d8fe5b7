"""Index sets through sums of products over labelled axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from hessian.sparse.sets import Sets, grouped, multiplied

_TERMS = 2**25
"""Products of single elements that are looked at one by one."""


def _lengths(row: Any, xs: Sequence[Any]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for x, names in zip(xs, row.labels, strict=False):
        lengths |= dict(zip(names, np.shape(x)[np.ndim(x) - len(names) :], strict=True))
    return lengths


def _loop(x: Any, names: str) -> tuple[int, ...]:
    return np.shape(x)[: np.ndim(x) - len(names)]


def _opened(numbers: np.ndarray, own: str, goal: str, shape: tuple[int, ...]) -> np.ndarray:
    """Put an array with axes (loops, own labels) in its place among axes (loops, other labels) and repeat it there."""
    lead = numbers.ndim - len(own)
    kept = [name for name in goal if name in own]
    turned = numbers.transpose((*range(lead), *(lead + own.index(name) for name in kept)))
    lengths = [turned.shape[lead + kept.index(name)] if name in kept else 1 for name in goal]
    return np.broadcast_to(turned.reshape((*numbers.shape[:lead], *lengths)), shape).ravel()


def _numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape)


def terms(row: Any, y: Any, xs: Sequence[Any]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return for every product of two elements which they are, and to which element of the result it is added."""
    lengths = _lengths(row, xs)
    names = "".join(lengths)
    shape = (*_loop(y, row.labels[2]), *lengths.values())
    of_xs = [_opened(_numbered(np.shape(x)), labels, names, shape) for x, labels in zip(xs, row.labels, strict=False)]
    return of_xs, _opened(_numbered(y.shape), row.labels[2], names, shape)


def count(row: Any, y: Any, xs: Sequence[Any]) -> int:
    return math.prod(_loop(y, row.labels[2])) * math.prod(_lengths(row, xs).values())


def partners(row: Any, y: Any, xs: Sequence[Any], mask: Any) -> list[np.ndarray]:
    """Return the elements of both arguments that are in products which matter."""
    if count(row, y, xs) > _TERMS:
        return [np.arange(np.size(x)) for x in xs]
    of_xs, of_y = terms(row, y, xs)
    return [at[mask[of_y]] for at in of_xs]


def results(link: Any, p: int, sets: Sets) -> Sets:
    """Return the sets of the result as far as they come from one argument."""
    row, y, xs = link.row, link.y, link.xs
    other = xs[1 - p]
    if link.constant[1 - p] and np.size(other) >= 16 and count(row, y, xs) <= _TERMS:
        zero = np.asarray(other).ravel() == 0
        if 2 * zero.sum() > zero.size:
            of_xs, of_y = terms(row, y, xs)
            there = ~zero[of_xs[1 - p]]
            at = (of_y[there], of_xs[p][there])
            return multiplied(csr_array((np.ones(len(at[0]), bool), at), shape=(y.size, sets.size)), sets)
    own = row.labels[p]
    kept = "".join(name for name in own if name in row.labels[2])
    lengths = _lengths(row, xs)
    lead = _loop(xs[p], own)
    numbers = _numbered((*lead, *(lengths[name] for name in kept)))
    groups = _opened(numbers, kept, own, np.shape(xs[p]))
    each = sets if kept == own else grouped(sets, groups, numbers.size)
    return Sets(each.rows[_opened(numbers, kept, row.labels[2], y.shape)], each.table)


def meetings(link: Any, sets: dict[int, Sets], mask: Any) -> Iterator[tuple[Sets, Sets]]:
    """Yield sets of both arguments that meet element by element."""
    row, y, xs = link.row, link.y, link.xs
    if mask is not None and count(row, y, xs) <= _TERMS:
        of_xs, of_y = terms(row, y, xs)
        matters = mask[of_y]
        a, b = (Sets(sets[p].rows[of_xs[p][matters]], sets[p].table) for p in (0, 1))
        yield a, b
        return
    left, right, result = row.labels
    lengths = _lengths(row, xs)
    loop = _loop(y, result)
    shared = "".join(name for name in left if name in right)
    numbers = _numbered((*loop, *(lengths[name] for name in shared)))
    placed = []
    for p, own in enumerate((left, right)):
        shape = (*loop, *(lengths[name] for name in own))
        at = np.broadcast_to(_numbered(np.shape(xs[p])), shape).ravel()
        whole = Sets(sets[p].rows[at], sets[p].table)
        placed.append(whole if own == shared else grouped(whole, _opened(numbers, shared, own, shape), numbers.size))
    yield placed[0], placed[1]
