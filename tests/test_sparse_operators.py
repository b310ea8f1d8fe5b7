"""Operators by their structure: Gauss-Newton matrices as sparse ones, diagonals and traces by few products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

import hessian as hs
from hessian.errors import DtypeError, TooDenseError

X = np.linspace(-1.0, 1.0, 320)
NOISE = np.linspace(0.5, 2.0, 319)


def steps(x: Any) -> Any:
    return np.sin(x[1:]) * x[:-1]


def squares(z: Any) -> Any:
    return 0.5 * np.sum(z**2 / NOISE)


def classes(x: Any) -> Any:
    return np.stack([x[:-2] * x[1:-1], np.cos(x[1:-1]), x[2:]], axis=1)


def cross_entropy(z: Any) -> Any:
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[:, 0])


def parts(x: Any) -> Any:
    return {"a": x[::2] ** 2, "b": (np.tanh(x[1:]), x[0] * x[-1])}


def of_parts(z: Any) -> Any:
    return np.sum(z["a"] ** 3) + np.sum(np.exp(z["b"][0][::2] * z["b"][0][1:][::2][0])) + z["b"][1] ** 2


CASES = {
    "squares": (steps, squares, 3),
    "softmax": (classes, cross_entropy, 5),
    "linear-loss": (steps, np.sum, 0),
}


@pytest.mark.parametrize("record", ["plain", "recorded", "model-recorded"])
@pytest.mark.parametrize("name", CASES)
def test_gauss_newton(name: str, record: str) -> None:
    model, loss, n_colors = CASES[name]
    wanted = hs.GaussNewtonOperator(model, loss, X) @ np.eye(320)
    if record != "plain":
        model = hs.record(model)
    if record == "recorded":
        loss = hs.record(loss)
    for _ in range(2):
        G = hs.GaussNewtonOperator(model, loss, X)
        found = G.to_sparse()
        assert isinstance(found, scipy.sparse.csc_array)
        assert (found != found.T).nnz == 0
        assert G.structure().pattern.n_colors == n_colors
        np.testing.assert_allclose(found.toarray(), wanted, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(G.to_dense(), wanted, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(G.diagonal(), np.diag(wanted), rtol=1e-12, atol=1e-13)


def test_gauss_newton_of_containers_with_arguments() -> None:
    G = hs.GaussNewtonOperator(lambda x, c: parts(c * x), lambda z, d: d * of_parts(z), X, 2.0, loss_args=(3.0,))
    np.testing.assert_allclose(G.to_sparse().toarray(), G @ np.eye(320), rtol=1e-12, atol=1e-12)


def test_gauss_newton_of_other_targets_is_a_replay() -> None:
    model, loss = hs.record(steps), hs.record(lambda z, y: np.sum((z - y) ** 4))
    for shift in (0.0, 1.0, 2.0):
        G = hs.GaussNewtonOperator(model, loss, X + shift, loss_args=(shift * NOISE,))
        np.testing.assert_allclose(G.to_sparse().toarray(), G @ np.eye(320), rtol=1e-12, atol=1e-12)


def test_gauss_newton_that_is_dense() -> None:
    # The model's one result depends on everything: so does every entry.
    G = hs.GaussNewtonOperator(lambda x: np.sum(x**2), lambda z: z**2, X)
    assert G.to_sparse().nnz == 320**2
    np.testing.assert_allclose(G.diagonal(), 2.0 * (2.0 * X) ** 2, rtol=1e-12)
    big = hs.GaussNewtonOperator(lambda x: np.sum(x**2), lambda z: z**2, np.ones(20_000))
    with pytest.raises(TooDenseError, match=r"(?s)a result of the model depends on 20000 of them.*operator"):
        big.to_sparse()


def test_gauss_newton_at_a_traced_point() -> None:
    def f(x: Any) -> Any:
        return np.sum(hs.GaussNewtonOperator(steps, squares, x).to_sparse().data)

    with pytest.raises(DtypeError, match=r"GaussNewtonOperator.to_sparse: a value is traced"):
        hs.grad(f)(X)


def test_gauss_newton_takes_few_products() -> None:
    n = 30_000
    noise = np.linspace(0.5, 2.0, n - 1)
    G = hs.GaussNewtonOperator(steps, lambda z: 0.5 * np.sum(z**2 / noise), np.linspace(-1.0, 1.0, n))
    found = G.to_sparse()
    assert found.nnz == 3 * n - 2
    v = np.cos(np.arange(n))
    np.testing.assert_allclose(found @ v, G @ v, rtol=1e-12, atol=1e-12)
