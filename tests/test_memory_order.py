"""Where an array lies in memory decides what is a view of it, also after it was written to, inside checkpoints and in replays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_in_place import X, is_numpys

import hessian as hs
from hessian.errors import ReadOnlyError

C = np.arange(9.0).reshape(3, 3) / 7.0
ORDERS = {"C": X, "F": np.asfortranarray(X)}

MADE: dict[str, Callable[[Any], Any]] = {
    "copy": lambda x: x * 1.0,
    "transpose": lambda x: x.T * 1.0,
    "copy of transpose": lambda x: np.copy(x.T),
}
WINDOWS: dict[str, Callable[[Any], Any]] = {
    "all": lambda y: y,
    "transpose": lambda y: y.T,
    "rows": lambda y: y[1:],
    "column": lambda y: y[:, 1],
    "columns": lambda y: y[:, :2],
    "backwards": lambda y: y[::-1],
}


def _checkpointed(w: Any) -> Any:
    def body(w: Any) -> None:
        w *= 2.0

    hs.checkpoint(body)(w)
    return w


def _added(w: Any) -> Any:
    w += C[: len(w), : w.shape[1]] if w.ndim == 2 else C[0]
    return w


def _rows(w: Any) -> Any:
    for i in range(len(w)):
        w[i] = w[i - 1] * 1.5
    return w


def _all(w: Any) -> Any:
    w[...] = w[::-1] * 2.0
    return w


def _out(w: Any) -> Any:
    return np.multiply(C[: len(w), : w.shape[1]] if w.ndim == 2 else C[0], w, out=w)


CHANGES = [_checkpointed, _added, _rows, _all, _out]
AFTER: dict[str, Callable[[Any], Any]] = {
    "ravel": lambda w: w.ravel(),
    "reshape": lambda w: w.reshape(-1),
    "reshape in F": lambda w: np.reshape(w, -1, order="F"),
    "ravel of transpose": lambda w: w.T.ravel(),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("window", WINDOWS)
def test_a_view_of_what_was_written_to(window: str, change: Callable[[Any], Any], after: str, order: str) -> None:
    for made in MADE.values():

        def f(x: Any, made: Any = made) -> Any:
            y = made(x)
            r = AFTER[after](change(WINDOWS[window](y)))
            r *= 2.0
            return np.sum(np.sin(y)) + np.sum(r * r)

        is_numpys(f, ORDERS[order], nested=False)


@pytest.mark.parametrize("inside", [lambda z: z.T * 1.0, lambda z: z * 1.0, lambda z: z, lambda z: np.tanh(z).T])
@pytest.mark.parametrize("given", [lambda x: x, lambda x: x.T])
@pytest.mark.parametrize("order", ORDERS)
def test_checkpoints_keep_where_values_lie(
    order: str, given: Callable[[Any], Any], inside: Callable[[Any], Any]
) -> None:
    def f(x: Any) -> Any:
        y = hs.checkpoint(lambda z: _doubled_flat(inside(z)))(given(x) * 1.0)
        return np.sum(np.sin(_doubled_flat(y)) * C)

    is_numpys(f, ORDERS[order])


def _doubled_flat(y: Any) -> Any:
    r = y.ravel()
    r *= 2.0
    return y


@pytest.mark.parametrize("wrap", [lambda f: f, hs.checkpoint], ids=["plain", "checkpointed"])
def test_programs_are_kept_by_order_where_views_depend_on_it(wrap: Any) -> None:
    f = lambda x: np.sum(np.sin(_doubled_flat(x * 1.0)))
    recorded = hs.record(wrap(f))
    for _ in range(6):
        for x in ORDERS.values():
            assert_allclose(hs.value_and_grad(recorded)(x)[0], f(x), rtol=1e-14)
            assert_allclose(hs.hvp(recorded, x, x), hs.hvp(f, x, x), rtol=1e-13)
    assert recorded.stats.replays >= 12


def test_what_shows_a_number_many_times_is_read_only() -> None:
    def assigned(x: Any) -> Any:
        y = np.broadcast_to(x[0, 0], (2,))
        y[0] = 3.0
        return np.sum(y)

    def added(x: Any) -> Any:
        y = np.broadcast_to(np.sum(x), (2, 1))
        y += 3.0
        return np.sum(y)

    for f in (assigned, added, hs.record(assigned)):
        with pytest.raises(ReadOnlyError, match="read-only"):
            hs.grad(f)(X)
