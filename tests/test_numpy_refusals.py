"""Calls of NumPy's and SciPy's functions that have no derivative, or no result: each says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hessian as hs
from hessian.errors import LeavesTapeError, OptionError, ShapeMismatchError
from hessian.tape.trace import trace

X = np.array([0.7, -1.3, 2.1, 0.4])
normal = hs.scipy.stats.multivariate_normal

REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "no rows": (
        lambda x: np.apply_along_axis(np.sum, 0, x[:0].reshape(2, 0)),
        ValueError,
        "iteration dimensions are 0",
    ),
    "another shape": (
        lambda x: np.apply_over_axes(lambda a, i: a[0, 0], x.reshape(2, 2), [0]),
        ValueError,
        "correct shape",
    ),
    "bins that are no integers": (lambda x: np.bincount(np.array([0.5, 1.0]), x[:2]), TypeError, "rule 'safe'"),
    "negative bins": (lambda x: np.bincount(np.array([-1, 1]), x[:2]), ValueError, "no negative elements"),
    "complete": (lambda x: np.linalg.qr(x.reshape(4, 1), mode="complete")[0], OptionError, "[Cc]olumns beyond"),
    "quantiles in a matrix": (lambda x: np.quantile(x, np.full((1, 1), 0.5)), OptionError, "q has 2 axes"),
    "points cut off": (lambda x: np.linspace(x[0], 1.0, 3, dtype=int), OptionError, "cut off"),
    "differences of a number": (lambda x: np.diff(x[0]), ShapeMismatchError, "at least one axis"),
    "edges": (lambda x: np.gradient(x, edge_order=3), ValueError, "greater than 2"),
    "negative weights": (lambda x: np.cov(x, fweights=[1, -1, 1, 1]), ValueError, "cannot be negative"),
    "replacement": (lambda x: np.nan_to_num(x, nan=x[0]), OptionError, "a replacement is traced"),
    "singular": (
        lambda x: normal.logpdf(x[:2], np.zeros(2), x[0] * np.eye(2), allow_singular=True),
        OptionError,
        "no derivative in it",
    ),
    "shares": (lambda x: hs.scipy.stats.dirichlet.logpdf(x[:2] ** 2, np.ones(4)), ShapeMismatchError, "concentrations"),
    "matrix": (lambda x: normal.logpdf(x[:2], np.zeros(2), np.eye(3) * x[2]), ShapeMismatchError, "a matrix of shape"),
    "points": (lambda x: normal.logpdf(x[:3], np.zeros(2), np.eye(2) * x[2]), ShapeMismatchError, "points of shape"),
    "pickled": (lambda x: x.__reduce__(), LeavesTapeError, "pickling"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_why(name: str) -> None:
    f, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        hs.grad(lambda x: np.sum(f(x)))(X)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(OptionError, match="not a function"):
        trace(3, (X,), where="test")  # type: ignore[arg-type]


def test_an_attribute_that_is_not_there() -> None:
    assert not hasattr(normal, "nonsense")
    assert not hasattr(normal, "__nonsense__")
    assert not hasattr(normal(np.zeros(2), np.eye(2)), "__nonsense__")
