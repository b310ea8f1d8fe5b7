"""Taylor arithmetic, third derivatives, diagonals and Laplacians: against closed forms, mpmath, JAX and nested sweeps."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.special as sc
from differential.check import double_precision
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import NotScalarError, OptionError
from hessian.tape.tape import Tape
from hessian.tape.trace import Primal
from hessian.transforms import higher_order
from hessian.transforms.rule_trials import every_trial

RNG = np.random.default_rng(1)
A, B = RNG.standard_normal((5, 4)), RNG.standard_normal((3, 5))
V = RNG.standard_normal(4)
X = RNG.uniform(0.2, 1.0, 4)


def network(x: Any) -> Any:
    return np.sum(np.tanh(B @ np.tanh(A @ x)) ** 2) + np.prod(x)


def factors(x: Any) -> Any:
    M = A.T @ A + np.diag(np.exp(x)) + np.outer(x, x)
    L = np.linalg.cholesky(M)
    return np.sum(np.log(np.diag(L))) + x @ np.linalg.solve(M, x) + np.max(np.linalg.eigvalsh(M))


SERIES = {
    "sin": (np.sin, mp.sin),
    "tan": (np.tan, mp.tan),
    "exp2": (np.exp2, lambda z: mp.mpf(2) ** z),
    "log1p": (np.log1p, mp.log1p),
    "sqrt": (np.sqrt, mp.sqrt),
    "arcsin": (np.arcsin, mp.asin),
    "arctan": (np.arctan, mp.atan),
    "tanh": (np.tanh, mp.tanh),
    "power": (lambda x: x**2.5, lambda z: z ** mp.mpf("2.5")),
    "x**x": (lambda x: x**x, lambda z: z**z),
    "quotient": (lambda x: np.sin(x) / (1 + x**2), lambda z: mp.sin(z) / (1 + z**2)),
    "erf": (sc.erf, mp.erf),
    "gammaln": (sc.gammaln, mp.loggamma),
    "expit": (sc.expit, lambda z: 1 / (1 + mp.exp(-z))),
}


@pytest.mark.parametrize("name", SERIES)
def test_against_mpmath_to_order_six(name: str) -> None:
    ours, theirs = SERIES[name]
    with mp.workdps(60):
        expected = [float(c) for c in mp.taylor(theirs, mp.mpf("0.4"), 6)]
    assert_allclose(hs.taylor(ours, 0.4, 1.0, order=6), expected, rtol=2e-13)
    assert_allclose(
        hs.taylor(ours, np.array([0.4]), np.array([2.0]), order=6)[:, 0],
        np.array(expected) * 2.0 ** np.arange(7),
        rtol=2e-13,
    )


@pytest.mark.parametrize("f", [network, factors], ids=["network", "factors"])
def test_against_sweeps_to_order_five(f: Any) -> None:
    """Directions that are equal but for their last digits are not taken for one."""
    for k in range(2, 6):
        apart = [V * (1 + 1e-15 * i) for i in range(k)]
        expected = hs.directional(f, X, *apart)
        assert_allclose(hs.directional(f, X, *[V] * k), expected, rtol=1e-10)
        assert_allclose(hs.directional(f, X, *[V.copy() for _ in range(k)]), expected, rtol=1e-10)
        assert_allclose(hs.taylor(f, X, V, order=k)[k] * math.factorial(k), expected, rtol=1e-10)


def test_groups_of_directions() -> None:
    w = RNG.standard_normal(4)
    T = hs.third_derivative(network)(X)
    assert_allclose(hs.directional(network, X, V, w, V), np.einsum("ijk,i,j,k", T, V, V, w), rtol=1e-11)
    recorded = hs.record(network)
    for directions in ((V, w, V), (w, w, V), (V, V, V), (V, w, w)):
        expected = hs.directional(network, X, *directions)
        for _ in range(3):
            assert_allclose(hs.directional(recorded, X, *directions), expected, rtol=1e-11)
    assert recorded.stats.failures == 0


def test_directions_that_nearly_agree_are_two() -> None:
    w = V * (1 + 1e-9)
    assert_allclose(hs.directional(network, X, V, w), hs.directional(network, X, V, V) * (1 + 1e-9), rtol=1e-13)


def test_against_jet_of_jax() -> None:
    jet = pytest.importorskip("jax.experimental.jet").jet
    jnp = pytest.importorskip("jax.numpy")
    theirs = lambda x: jnp.sum(jnp.tanh(B @ jnp.tanh(A @ x)) ** 2) + jnp.sum(jnp.exp(x) * jnp.sin(x))
    ours = lambda x: np.sum(np.tanh(B @ np.tanh(A @ x)) ** 2) + np.sum(np.exp(x) * np.sin(x))
    with double_precision(DeprecationWarning):
        value, terms = jet(theirs, (jnp.asarray(X),), ([jnp.asarray(V), *[jnp.zeros(4)] * 3],))
    expected = np.array([value, *terms]) / [math.factorial(k) for k in range(5)]
    assert_allclose(hs.taylor(ours, X, V, order=4), expected, rtol=1e-11)


def test_nests_in_every_order() -> None:
    """Taylor arithmetic on values of a tape around it, and around other transforms."""
    total = lambda x: np.sum(hs.taylor(network, x, V, order=3))
    by_hand = lambda x: sum(hs.directional(network, x, *[V] * k) / math.factorial(k) for k in range(4))
    assert_allclose(hs.grad(total)(X), hs.grad(by_hand)(X), rtol=1e-10)
    assert_allclose(hs.hvp(total, X, V), hs.hvp(by_hand, X, V), rtol=1e-10)
    slopes = hs.taylor(lambda x: hs.grad(network)(x), X, V, order=3)
    assert_allclose(slopes @ V, hs.taylor(network, X, V, order=4)[1:] * np.arange(1, 5), rtol=1e-11)
    inner = lambda x: hs.taylor(lambda y: network(y) * np.sum(x), x, V, order=2)[2]
    expected = hs.directional(network, X, V, V) / 2
    assert_allclose(
        hs.grad(inner)(X) @ V, np.sum(X) * hs.directional(network, X, V, V, V) / 2 + expected * np.sum(V), rtol=1e-10
    )
    along = lambda v: hs.taylor(network, X, v, order=3)[3]
    assert_allclose(hs.grad(along)(V) @ V, 3 * along(V), rtol=1e-11)
    repeated = lambda v: hs.directional(network, X, v, v, v)
    assert_allclose(hs.grad(repeated)(V) @ V, 3 * repeated(V), rtol=1e-11)


def test_branches_not_taken_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do they need nested sweeps."""
    monkeypatch.setattr(higher_order, "_by_nested_sweeps", None)
    f = lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), x**3))
    x = np.array([0.0, -1.0, 4.0])
    v = np.ones(3)
    expected = [1.0, 3.25, -3 - 1 / 64, 1 + 1 + 1 / 512]
    assert_allclose(hs.taylor(f, x, v, order=3), expected, rtol=1e-13)
    assert hs.directional(lambda x: np.sqrt(x) * 0.0 + x**2, 1.0, 1.0, 1.0) == 2.0


def test_containers_precision_and_constants() -> None:
    f = lambda d: {"y": d["a"] * np.exp(d["b"]), "z": (np.sum(d["b"]), 3.0)}
    x, v = {"a": 2.0, "b": np.array([0.0, 1.0])}, {"a": 1.0, "b": np.ones(2)}
    series = hs.taylor(f, x, v, order=2)
    assert_allclose(series["y"], [2 * np.exp(x["b"]), 3 * np.exp(x["b"]), 2 * np.exp(x["b"])])
    assert series["z"][0].tolist() == [1.0, 2.0, 0.0]
    assert series["z"][1].tolist() == [3.0, 0.0, 0.0]
    single = hs.taylor(np.sin, np.float32(0.5), np.float32(1.0), order=4)
    assert single.dtype == np.float32
    assert_allclose(single, hs.taylor(np.sin, 0.5, 1.0, order=4), rtol=1e-6)
    assert hs.taylor(lambda x: np.zeros(2), 1.0, 1.0, order=3).tolist() == [[0.0, 0.0]] * 4
    with pytest.raises(OptionError, match="batch axes"):
        hs.taylor(np.sin, 0.5, np.ones(2), order=3)


def test_a_batch_of_directions() -> None:
    batch = np.stack([V, 2 * V])
    assert_allclose(
        hs.directional(network, X, batch, batch[1]),
        [2 * V @ hs.hvp(network, X, V), 4 * V @ hs.hvp(network, X, V)],
        rtol=1e-12,
    )


def test_long_programs_do_not_recurse() -> None:
    def f(x: Any) -> Any:
        for _ in range(2000):
            x = x + 1e-3 * np.sin(x)
        return x

    g, h = lambda t: hs.directional(f, t, 1.0, 1.0), 1e-4
    assert_allclose(hs.directional(f, 0.3, 1.0, 1.0, 1.0), (g(0.3 + h) - g(0.3 - h)) / (2 * h), rtol=1e-6)


def test_the_cost_grows_with_the_square_of_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions written to a tape around the sweep count its operations."""

    def count(order: int) -> int:
        lengths: list[int] = []
        close = Tape.close
        with monkeypatch.context() as patch:
            patch.setattr(Tape, "close", lambda self: (lengths.append(len(self)), close(self))[1])
            hs.grad(lambda x: np.sum(hs.taylor(network, x, V, order=order)))(X)
        return max(lengths)

    assert count(6) < 7 * count(2)


def test_third_derivatives() -> None:
    T = hs.third_derivative(network)(X)
    assert_allclose(T, hs.jacobian(hs.hessian(network))(X), rtol=1e-11, atol=1e-13)
    for axes in ((1, 0, 2), (2, 1, 0), (0, 2, 1)):
        assert_allclose(T, T.transpose(axes), rtol=1e-11, atol=1e-13)
    assert_allclose(hs.third_derivative(hs.record(network))(X), T, rtol=1e-12)
    assert hs.third_derivative(lambda x: x**4)(2.0) == 48.0
    assert hs.third_derivative(lambda x: 1.0)(np.zeros(2)).tolist() == np.zeros((2, 2, 2)).tolist()
    assert hs.third_derivative(lambda x: np.sum(x))(np.zeros(0)).shape == (0, 0, 0)
    blocks = hs.third_derivative(lambda d: d["a"] ** 2 * np.sum(d["b"] ** 3))({"a": 2.0, "b": np.array([1.0, 2.0])})
    assert blocks["a"]["a"]["b"].tolist() == [6.0, 24.0]
    assert blocks["b"]["b"]["b"][1].tolist() == [[0.0, 0.0], [0.0, 24.0]]
    mixed = hs.third_derivative(lambda x, y: x**2 * y, argnums=(0, 1))(2.0, 3.0)
    assert mixed[0][0][1] == mixed[1][0][0] == 2.0
    assert_allclose(hs.grad(lambda x: hs.third_derivative(np.sin)(x))(0.3), np.sin(0.3), rtol=1e-14)
    with pytest.raises(NotScalarError):
        hs.third_derivative(lambda x: x)(np.ones(2))


def test_third_derivatives_in_blocks() -> None:
    """A function whose values are long makes blocks short."""
    M = RNG.standard_normal((3000, 12)) / 50
    f = lambda x: np.sum(np.exp(M @ x))
    x = 0.1 * RNG.standard_normal(12)
    expected = np.einsum("n,ni,nj,nk->ijk", np.exp(M @ x), M, M, M, optimize=True)
    assert_allclose(hs.third_derivative(f)(x), expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("record", [False, True], ids=["plain", "recorded"])
def test_diagonal_and_laplacian(record: bool) -> None:
    f = hs.record(factors) if record else factors
    for x in (X, X + 0.1):
        H = hs.hessian(factors)(x)
        assert_allclose(hs.hessian_diagonal(f)(x), np.diag(H), rtol=1e-11)
        assert_allclose(hs.laplacian(f)(x), np.trace(H), rtol=1e-11)
    tree = hs.hessian_diagonal(lambda d: d["a"] ** 2 * np.sum(d["b"] ** 3))({"a": 2.0, "b": np.array([1.0, 2.0])})
    assert tree["a"] == 18.0
    assert tree["b"].tolist() == [24.0, 48.0]
    assert_allclose(hs.grad(hs.laplacian(network))(X), np.einsum("iij", hs.third_derivative(network)(X)), rtol=1e-11)
    assert hs.laplacian(lambda x, y: x**2 * y**3, argnums=(0, 1))(2.0, 3.0) == 54.0 + 72.0
    assert hs.hessian_diagonal(np.sum)(np.zeros(0)).shape == (0,)
    assert hs.hessian_diagonal(np.sum)(np.zeros((2, 3), np.float32)).dtype == np.float32


@pytest.mark.long
@pytest.mark.parametrize("share", range(16))  # that processes have as much to do
def test_every_operation_to_order_six(share: int) -> None:
    for trial in list(every_trial())[share::16]:
        f, arrays = trial.weighted() if trial.differentiable else (None, [])
        if f is None or not arrays:
            continue
        dots, primal = trial.tangents(arrays), Primal(arrays, "x")
        with np.errstate(all="ignore"):
            found = hs.taylor(f, arrays, dots, order=6)
            expected = higher_order._by_nested_sweeps(f, primal, primal.tangent_leaves(dots)[0], 6)
        assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max(), err_msg=str(trial))
