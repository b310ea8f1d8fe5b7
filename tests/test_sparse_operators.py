"""Operators by their structure: Gauss-Newton matrices as sparse ones, diagonals and traces by few products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

import hessian as hs
from hessian.errors import DtypeError, OptionError, TooDenseError
from hessian.linalg import limits
from hessian.sparse import detect
from hessian.sparse.glance import is_wide

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


def chain(x: Any) -> Any:
    return np.sum((x[1:] - x[:-1] ** 2) ** 2) + np.sum(np.cos(x))


def diagonal_of_chain(x: Any) -> Any:
    found = -np.cos(x)
    found[1:] += 2.0
    found[:-1] += 12.0 * x[:-1] ** 2 - 4.0 * x[1:]
    return found


@pytest.mark.parametrize("record", [False, True])
def test_diagonals_of_many_variables(record: bool) -> None:
    n = 10**5
    x = np.sin(np.arange(n))
    f = hs.record(chain) if record else chain
    wanted = diagonal_of_chain(x)
    for _ in range(2):
        np.testing.assert_allclose(hs.hessian_diagonal(f)(x), wanted, rtol=1e-10, atol=1e-12)
        assert hs.laplacian(f)(x) == pytest.approx(np.sum(wanted), rel=1e-12)
        H = hs.HessianOperator(f, x)
        assert H.diagonal_products(10) == 3
        np.testing.assert_allclose(H.diagonal(), wanted, rtol=1e-10, atol=1e-12)
        found = hs.curvature.trace(H)
        assert (found.method, found.n_hvp, found.is_exact) == ("exact", 3, True)
        assert abs(found.value - np.sum(wanted)) <= found.standard_error
        found = hs.curvature.diagonal(H, 40)
        assert (found.method, found.n_hvp, found.is_exact) == ("exact", 3, True)
        np.testing.assert_allclose(found.value, wanted, rtol=1e-10, atol=1e-12)


def test_diagonals_of_arguments_by_name_and_number() -> None:
    n = 300
    a, b = np.linspace(0.5, 1.0, n), np.linspace(1.0, 2.0, n)

    def f(a: Any, b: Any, *, power: int) -> Any:
        return np.sum(a[1:] * b[:-1] ** power) + np.sum(a**power)

    for record in (False, True):
        g = hs.record(f) if record else f
        first, second = hs.hessian_diagonal(g, argnums=(0, 1))(a, b, power=3)
        np.testing.assert_allclose(first, 6.0 * a, rtol=1e-12)
        np.testing.assert_allclose(second[:-1], 6.0 * b[:-1] * a[1:], rtol=1e-12)
        np.testing.assert_allclose(hs.hessian_diagonal(g, argnums=1)(a, b, power=2)[:-1], 2.0 * a[1:], rtol=1e-12)
    tree = hs.hessian_diagonal(lambda p: f(p["a"], p["b"], power=3))({"a": a, "b": b})
    np.testing.assert_allclose(tree["a"], 6.0 * a, rtol=1e-12)
    diagonal, aux = hs.hessian_diagonal(lambda x: (chain(x), "kept"), has_aux=True)(a)
    np.testing.assert_allclose(diagonal, diagonal_of_chain(a), rtol=1e-10, atol=1e-12)
    assert aux == "kept"
    # Traced values are swept.
    np.testing.assert_allclose(
        hs.grad(lambda x: hs.laplacian(chain)(x))(a)[1:-1], (np.sin(a) + 24.0 * a - 4.0)[1:-1], rtol=1e-10
    )


def test_sums_and_multiples_say_what_they_take() -> None:
    x = np.linspace(0.0, 1.0, 400)
    H = hs.HessianOperator(chain, x)
    G = hs.GaussNewtonOperator(lambda x: np.sin(x), lambda z: np.sum(z**2), x)
    damped = hs.operators.DampedOperator(2.0 * H + G, 0.5) - hs.operators.MatrixOperator(np.eye(400))
    assert [operator.diagonal_products(60) for operator in (H, G, damped)] == [3, 1, 3]
    found = hs.curvature.trace(damped)
    assert (found.method, found.n_hvp) == ("exact", 3)
    wanted = 2.0 * np.sum(diagonal_of_chain(x)) + 2.0 * np.sum(np.cos(x) ** 2) - 200.0
    assert abs(found.value - wanted) <= found.standard_error
    dense = hs.HessianOperator(lambda x: np.sum(x) ** 2, x)
    assert (dense + H).diagonal_products(60) == 400
    assert hs.HessianOperator(chain, x[:20]).diagonal_products(60) == 20


def test_more_colors_than_products_are_an_estimate() -> None:
    x = np.linspace(0.0, 1.0, 400)
    width = 20

    def band(x: Any) -> Any:
        return sum(np.sum(np.cos(x[d:] - x[: len(x) - d])) for d in range(1, width))

    H = hs.HessianOperator(band, x)
    assert H.diagonal_products(19) == 400
    assert not hs.curvature.trace(H, 19).is_exact
    assert hs.curvature.trace(H, 60).is_exact
    with pytest.raises(OptionError, match=r"max_hvp is 19 products, exact results take 39"):
        hs.curvature.trace(H, 19, method="exact")


def test_what_is_dense_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    find = detect.hessian_pattern
    monkeypatch.setattr("hessian.sparse.functions.hessian_pattern", lambda *args: (calls.append(1), find(*args))[1])
    f = hs.record(lambda x: np.log(np.sum(np.exp(x))))
    for k in range(3):
        hs.curvature.trace(hs.HessianOperator(f, np.linspace(0.0, 1.0 + k, 600)))
    assert len(calls) == 1
    # Where more products are of use it is looked at again.
    hs.HessianOperator(f, np.linspace(0.0, 1.0, 600)).diagonal()
    assert len(calls) == 2


RNG = np.random.default_rng(0)
A = RNG.standard_normal((300, 300))
BAND = np.tril(np.triu(np.ones((300, 300)), -1), 1)
WIDE = {
    "network": lambda x: np.sum(np.tanh(A @ x)),
    "sum": lambda x: np.exp(np.sum(x)),
    "logsumexp": lambda x: np.log(np.sum(np.exp(x))),
    "quadratic": lambda x: x @ A @ x,
    "norm": lambda x: np.sum(x**2) ** 0.5,
    "softmax": lambda x: np.sum(np.exp(x) / np.sum(np.exp(x)) * A[0]),
    "layers": lambda x: np.sum(np.tanh(A[:, :40] @ np.tanh(A[:40] @ x))),
    "containers": lambda x: np.sum(np.exp(A[:, :200] @ x[:200])) + np.sum(x[200:] ** 2),
}
NARROW = {
    "chain": chain,
    "banded-matrix": lambda x: np.sum(np.tanh(BAND @ x)),
    "one-variable": lambda x: np.exp(np.sum(x[0] * A[0])) + np.sum(x**3),
    "repeated": lambda x: np.sum(np.exp((x[:, None] * A).sum(axis=1))),
    "linear": lambda x: np.sum(A @ x) + np.sum(x**2),
    "arrow": lambda x: x[0] * np.sum(x) + np.sum(x**2),
    "unused": lambda x: (np.exp(np.sum(x)), np.sum(x**3))[1],
    "rows": lambda x: np.sum(np.exp(np.sum(x.reshape(60, 5), axis=1))),
}


@pytest.mark.parametrize("name", [*WIDE, *NARROW])
def test_a_glance_tells_what_is_dense(name: str) -> None:
    f = (WIDE | NARROW)[name]
    H = hs.HessianOperator(f, np.linspace(0.1, 1.0, 300))
    traced = H._at.sweeps.local.traced
    seen = is_wide(traced.tape, traced.inputs, [slot for slot in traced.slots if slot is not None], 37)
    assert seen == (name in WIDE)
    assert (H.few_products(37) is None) == (name in WIDE)
    np.testing.assert_allclose(H.diagonal(), np.diag(H @ np.eye(300)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", WIDE)
def test_a_glance_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessian.sparse.detect.is_wide", lambda *_: False)
    assert hs.HessianOperator(WIDE[name], np.linspace(0.1, 1.0, 300)).few_products(37) is None


def test_few_variables_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessian.sparse.functions.few_products", None)
    x = np.linspace(0.0, 1.0, limits.SPARSE_ORDER - 1)
    assert hs.hessian_diagonal(chain)(x).shape == x.shape
    assert hs.HessianOperator(chain, x).diagonal_products(60) == x.size
    hs.curvature.trace(hs.HessianOperator(chain, x))
