"""Rows in batches: every row once per epoch, in an order that the seed decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hessian.errors import OptionError, message


class Batches:
    """Shuffled batches of rows, epoch after epoch.

    A size of n or more means all rows, in their own order. Rows that do not fill the last batch of an epoch make a smaller one, or
    are left out (``drop_last``).

    Examples
    --------
    >>> batches = Batches(5, 2, np.random.default_rng(0))
    >>> epoch = [batches.take() for _ in range(batches.per_epoch)]
    >>> [len(rows) for rows in epoch], sorted(int(row) for rows in epoch for row in rows)
    ([2, 2, 1], [0, 1, 2, 3, 4])
    """

    def __init__(self, n: int, size: int, rng: np.random.Generator, *, drop_last: bool = False) -> None:
        self._n, self._size, self._rng = n, min(size, n), rng
        self._order, self._next = np.arange(n), 0
        self.per_epoch = n // self._size if drop_last else -(-n // self._size)

    @property
    def is_whole(self) -> bool:
        """Whether a batch is all rows."""
        return self._size == self._n

    @property
    def at_start(self) -> bool:
        """Whether the next batch is the first of its epoch."""
        return self._next % self.per_epoch == 0

    def take(self) -> np.ndarray:
        """Return the row numbers of the next batch."""
        if self.at_start:
            self._next = 0
            if not self.is_whole:
                self._order = self._rng.permutation(self._n)
        first = self._next * self._size
        self._next += 1
        return self._order[first : first + self._size]

    def rows(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the next batch; the arrays themselves where a batch is all rows."""
        chosen = self.take()
        return (X, y) if self.is_whole else (X[chosen], y[chosen])

    def state(self) -> dict[str, Any]:
        """Return the position and the random state."""
        return {"order": self._order, "next": self._next, "rng": self._rng.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a position."""
        self._order, self._next = state["order"], state["next"]
        self._rng.bit_generator.state = state["rng"]


def split_rows(
    X: np.ndarray, y: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Split rows at random into some to train on and a fraction to validate on, at least one of each.

    Raises
    ------
    OptionError
        The fraction is not in (0, 1), or there is one row only.

    Examples
    --------
    >>> X, y = np.arange(10.0)[:, None], np.arange(10)
    >>> train, held = split_rows(X, y, 0.3, np.random.default_rng(0))
    >>> len(train[0]), len(held[0]), sorted(np.concatenate([train[1], held[1]]).tolist()) == list(range(10))
    (7, 3, True)
    """
    if not 0 < fraction < 1:
        fix = "Pass a number between 0 and 1, or a pair (X, y)"
        raise OptionError(message("train", f"validation is {fraction!r}", "it is the share of rows held out", fix))
    if len(X) < 2:
        raise OptionError(
            message("train", "validation takes rows of X, which has 1 row", fix="Pass more rows, or a pair (X, y)")
        )
    order = rng.permutation(len(X))
    count = min(max(1, round(fraction * len(X))), len(X) - 1)
    # In their own order: what was contiguous in time stays so.
    kept, held = np.sort(order[count:]), np.sort(order[:count])
    return (X[kept], y[kept]), (X[held], y[held])
