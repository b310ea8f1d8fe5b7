"""Values, gradients and products of every call that the registry declares equal JAX's, where JAX has a function of that name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from differential.check import double_precision
from numpy.testing import assert_allclose

import hessian as hs
from hessian.rules.samples import Sample
from hessian.transforms.rule_trials import Trial, every_trial

jax = pytest.importorskip("jax")
jnp, special = pytest.importorskip("jax.numpy"), pytest.importorskip("jax.scipy.special")

TOLERANCE = 1e-9
ROOMS = {"numpy": jnp, "numpy.linalg": jnp.linalg, "scipy.special": special}
#: Where conventions differ: functions, and why their numbers are not compared.
OTHERWISE = {
    "numpy.partition": "the order within the parts is free",
    "scipy.special.spence": "slopes of JAX's are NaN",
    "scipy.special.hyp2f1": "JAX's value is wrong below -1",
    **dict.fromkeys(
        ["numpy.unique", "numpy.unique_values", "numpy.union1d", "numpy.setdiff1d", "numpy.setxor1d"],
        "JAX gives elements of sets no derivative",
    ),
}

#: NumPy reads one triangle of a matrix, JAX both: derivatives are compared of functions of the symmetric part.
OF_SYMMETRIC = ("numpy.linalg.cholesky", "numpy.linalg.eigh", "numpy.linalg.eigvalsh")


def symmetric(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda xs: f([(x + x.swapaxes(-1, -2)) / 2 for x in xs])


def namesake(trial: Trial) -> Any:
    module, _, name = trial.name.rpartition(".")
    return getattr(ROOMS[module], name, None) if module in ROOMS else None


@pytest.fixture(name="in_double_precision", autouse=True)
def double() -> Iterator[None]:
    with double_precision(DeprecationWarning):
        yield


TRIALS = [trial for trial in every_trial() if trial.differentiable and namesake(trial) is not None]


def with_jax(trial: Trial, weight: np.ndarray) -> Callable[[Any], Any]:
    """The function of the walk, written with JAX."""

    def place(x: Any, supply: Iterator[Any]) -> Any:
        if isinstance(x, list) and any(isinstance(item, Sample) for item in x):
            return [place(item, supply) for item in x]
        if isinstance(x, Sample):
            return next(supply)
        return jnp.asarray(x) if isinstance(x, np.ndarray | list) and np.asarray(x).dtype.kind in "fib" else x

    def joined(y: Any) -> Any:
        return jnp.concatenate([joined(part) for part in y]) if isinstance(y, list | tuple) else jnp.ravel(y)

    def f(xs: Any) -> Any:
        supply = iter(xs)
        keywords = {name: place(x, supply) if isinstance(x, np.ndarray) else x for name, x in trial.case.kwargs.items()}
        y = joined(namesake(trial)(*[place(x, supply) for x in trial.case.args], **keywords))
        return jnp.sum(weight * y) + 0.5 * jnp.sum(y * y)

    return f


def close(found: Any, wanted: Any) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert_allclose(a, b, rtol=0, atol=TOLERANCE * max(1.0, np.max(np.abs(b), initial=0.0)))


def test_there_are_many() -> None:
    assert len(TRIALS) > 400


@pytest.mark.long
@pytest.mark.parametrize("trial", TRIALS, ids=str)
def test_parity(trial: Trial) -> None:
    if trial.name in OTHERWISE:
        pytest.skip(OTHERWISE[trial.name])
    f, arrays = trial.weighted()
    along = trial.tangents(arrays)
    weight = trial.rng(3).uniform(0.5, 1.5, trial.function(trial.target)(arrays).shape)
    g = with_jax(trial, weight)
    if trial.name in OF_SYMMETRIC:
        f, g = symmetric(f), symmetric(g)
    xs = [jnp.asarray(x) for x in arrays]
    try:
        value, gradient = jax.value_and_grad(g)(xs)
        product = jax.jvp(jax.grad(g), (xs,), ([jnp.asarray(v) for v in along],))[1]
    except (TypeError, NotImplementedError, ValueError, AssertionError, IndexError, AttributeError) as error:
        pytest.skip(f"JAX does not take this call: {type(error).__name__}")
    found, slopes = hs.value_and_grad(f)(arrays)
    close([found], [value])
    close(slopes, gradient)
    close(hs.hvp(f, arrays, along), product)
