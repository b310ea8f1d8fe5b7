"""Every call that the registry declares, with complex arguments: right in value, gradient and product, or refused, never wrong.

No operation is named here but those whose results NumPy leaves free.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs
from hessian.rules.dispatch import DISPATCH
from hessian.transforms.rule_trials import Trial, joined, trials_of_entry

#: Phases of vectors are free: functions of them alone have no derivative that differences could show.
FREE_PHASES = ("numpy.linalg.eig", "numpy.linalg.eigh", "numpy.linalg.svd")

TRIALS = [
    trial
    for entry in DISPATCH.values()
    if not entry.untested
    for trial in trials_of_entry(entry)
    if trial.differentiable and trial.name not in FREE_PHASES
]


def scalar_of(trial: Trial) -> tuple[Callable[..., Any], list[np.ndarray]]:
    """The call as a real function of complex arrays, of which each part of the result counts, and the arrays."""
    _, arrays = trial.arguments()
    rng = trial.rng(7)
    complex_arrays = [
        x + 1j * rng.uniform(-0.3, 0.3, np.shape(x)) if np.asarray(x).dtype.kind == "f" else x for x in arrays
    ]
    call = trial.function(trial.target)

    def f(xs: list[Any]) -> Any:
        y = joined(call(xs))
        weights = np.cos(1.3 * np.arange(y.size) + 0.4)
        return np.sum(weights * np.real(y)) + np.sum(weights[::-1] * np.imag(y)) + 0.5 * np.sum(np.abs(y) ** 2)

    return f, complex_arrays


def slope(f: Callable[[float], Any]) -> Any:
    """Extrapolated central differences."""
    d = [(f(h) - f(-h)) / (2 * h) for h in (2e-3, 1e-3, 5e-4)]
    first = [(4 * b - a) / 3 for a, b in itertools.pairwise(d)]
    return (16 * first[1] - first[0]) / 15


@pytest.mark.parametrize("trial", TRIALS, ids=str)
def test_complex_arguments_are_right_or_refused(trial: Trial) -> None:
    f, xs = scalar_of(trial)
    rng = trial.rng(8)
    vs = [rng.uniform(-1, 1, x.shape) + 1j * rng.uniform(-1, 1, x.shape) for x in xs]
    at = lambda t: [x + t * v if x.dtype.kind == "c" else x for x, v in zip(xs, vs, strict=True)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            plain = f(xs)
        except Exception:
            plain = None
        try:
            value, gradient = hs.value_and_grad(f)(xs)
            product = hs.hvp(f, xs, vs)
        except (hs.errors.HessianError, TypeError, ValueError, ArithmeticError):
            return
        assert plain is not None, "NumPy refuses what has been given a derivative"
        assert_allclose(value, plain, rtol=1e-10)
        inner = lambda a, b: sum(np.sum(np.real(np.conj(x) * y)) for x, y in zip(a, b, strict=True))
        along = slope(lambda t: f(at(t)))
        scale = sum(np.sum(np.abs(x)) for x in gradient) + abs(value) + 1e-3
        assert_allclose(inner(gradient, vs), along, rtol=0, atol=1e-7 * scale)
        twice = slope(lambda t: inner(hs.grad(f)(at(t)), vs))
        scale = sum(np.sum(np.abs(x)) for x in product) + scale
        assert_allclose(inner(product, vs), twice, rtol=0, atol=1e-6 * scale)
