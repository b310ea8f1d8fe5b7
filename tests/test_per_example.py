"""Gradients of single examples by one sweep, against the Jacobian, for losses of every shape; and that one sweep it is."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import hessian as hs
from hessian.curvature import per_example
from hessian.errors import ShapeMismatchError
from hessian.linalg import limits
from hessian.operators.example_sweep import ExampleSweep
from hessian.tape.trace import trace

N = 6
RNG = np.random.default_rng(0)
X, Z, y = RNG.standard_normal((N, 3)), RNG.standard_normal((N, 5, 3)), RNG.standard_normal(N)
SQUARE, LABELS, TOKENS = RNG.standard_normal((N, N)), RNG.integers(0, 3, N), RNG.integers(0, 4, (N, 5))
SPARSE = scipy.sparse.csr_array(np.where(RNG.random((N, 4)) < 0.5, 1.0, 0.0))
IMAGES = RNG.standard_normal((N, 5, 5, 2))
NETWORK = hs.nn.sequential(
    hs.nn.Convolution(2, 3, (2, 2)), "tanh", hs.nn.Pooling(2), hs.nn.Flatten(), hs.nn.Dense(12, 2)
)
ELMAN = {
    "W": RNG.standard_normal((4, 3)),
    "U": RNG.standard_normal((4, 4)),
    "v": RNG.standard_normal(4),
    "b": np.zeros(4),
}


def cross_entropy(z: Any) -> Any:
    return -hs.special.log_softmax(z, axis=1)[np.arange(N), LABELS % z.shape[1]]


def flat_network(w: Any) -> Any:
    W, b, V = w[:12].reshape(3, 4), w[12:16], w[16:28].reshape(3, 4).T
    return cross_entropy(np.tanh(X @ W + b) @ V)


def elman(p: Any) -> Any:
    h = np.zeros((N, 4))
    for t in range(5):
        h = np.tanh(Z[:, t] @ p["W"].T + h @ p["U"].T + p["b"])
    return (h @ p["v"] - y) ** 2


def filled(w: Any) -> Any:
    out = np.zeros((N, 2))
    out[:, 0] = X @ w
    out[:, 1] = np.sin(w[0] * y)
    out[2:, 1] *= w[1]
    return np.sum(out**2, axis=1)


def attention(p: Any) -> Any:
    q, k = Z @ p["q"], Z @ p["k"]
    shares = hs.special.softmax(np.einsum("nid,njd->nij", q, k), axis=2)
    return np.sum((shares @ Z) ** 2, axis=(1, 2))


W3, W28 = np.array([0.3, -0.2, 0.5]), RNG.standard_normal(28)
APART: dict[str, tuple[Any, Any]] = {
    "a line": (lambda w: (X @ w - y) ** 2, W3),
    "from the left": (lambda w: (w @ X.T - y) ** 2, W3),
    "number by number": (lambda w: (w[0] * X[:, 0] + w[2] * X[:, 1] - w[0] * w[1]) ** 2, W3),
    "a network of slices": (flat_network, W28),
    "a network of blocks": (
        lambda p: cross_entropy(np.tanh(X @ p[0] + p[1]) @ p[2]),
        [RNG.standard_normal((3, 4)), np.ones(4), RNG.standard_normal((4, 3))],
    ),
    "weights used twice": (lambda W: np.sum(np.tanh(np.tanh(X @ W) @ W) @ W.T, axis=1), RNG.standard_normal((3, 3))),
    "recurrent": (elman, ELMAN),
    "attention": (attention, {"q": RNG.standard_normal((3, 2)), "k": RNG.standard_normal((3, 2))}),
    "convolution": (lambda p: cross_entropy(NETWORK(p, IMAGES)), NETWORK.init(0)),
    "weights of a positive kind": (lambda w: np.logaddexp(0.0, X @ np.exp(w)) + np.sum(w**2), W3),
    "a weight for all": (lambda s: np.exp(-s) * y**2 + s, np.array(0.3)),
    "a level for each": (lambda a: (a - y) ** 2, RNG.standard_normal(N)),
    "a row for each": (
        lambda p: np.sum((p["a"] * X) ** 2, axis=1) + p["c"][0],
        {"a": RNG.standard_normal((N, 3)), "c": np.ones(2)},
    ),
    "levels of groups": (lambda a: (a[LABELS] - y) ** 2 * np.exp(a[0]), W3),
    "an embedding": (lambda E: np.sum(np.tanh(E[TOKENS]), axis=(1, 2)) ** 2, RNG.standard_normal((4, 2))),
    "filled in": (filled, W3),
    "sides of where": (lambda w: np.where(y > 0, X @ w, np.exp(X @ w)) + np.maximum(X @ w, 0.1), W3),
    "loops before labels": (lambda W: np.sum(np.tanh(Z @ W) ** 2, axis=(1, 2)), RNG.standard_normal((3, 2))),
    "examples last": (lambda W: np.sum(np.tanh(W @ X.T), axis=0), RNG.standard_normal((2, 3))),
    "as many as features": (lambda W: np.sum(np.tanh(SQUARE @ W) @ W, axis=1), RNG.standard_normal((N, N))),
    "two batches": (
        lambda W: np.sum(np.einsum("ntj,tjk->ntk", Z, W) ** 2, axis=(1, 2)),
        RNG.standard_normal((5, 3, 2)),
    ),
    "a triangle": (
        lambda w: np.sum(np.linalg.solve(np.eye(3) * (1 + w[0] ** 2) + 0.1, Z[..., None][:, 0]) ** 2, axis=(1, 2)),
        W3,
    ),
    "matrices of each": (lambda w: np.linalg.slogdet(np.eye(3) + np.exp(w) * X[:, :, None] * X[:, None, :])[1], W3),
    "stacked": (lambda w: np.sum(np.stack([X @ w, w[0] * y], axis=1) ** 3, axis=1), W3),
    "joined": (lambda w: np.concatenate([(X[:2] @ w) ** 2, np.exp(X[2:] @ w)]), W3),
    "a largest": (lambda w: np.max(X * w, axis=1) + np.linalg.norm(X + w, axis=1), W3),
    "moments of each": (lambda w: np.var(X * w, axis=1) + np.prod(1.0 + X * w, axis=1), W3),
    "running sums": (lambda w: np.sum(np.cumsum(X * w, axis=1) ** 2, axis=1), W3),
    "some untouched": (lambda w: X[:, 0] * w[0], W3),
    "single precision": (lambda w: (X.astype(np.float32) @ w) ** 2, W3.astype(np.float32)),
    "sparse data": (lambda w: (SPARSE @ w - y) ** 2, np.ones(4)),
    "sparse data with many columns": (lambda W: np.sum(np.sin(SPARSE @ W) ** 2, axis=1), RNG.standard_normal((4, 2))),
    "given the shape that they have": (lambda w: (X @ np.broadcast_to(w, (3,)) - y) ** 2, W3),
    "of mixed precision": (lambda p: (X @ p[0]) ** 2 * p[1], [W3.astype(np.float32), np.array(2.0)]),
}
MEETING: dict[str, tuple[Any, Any]] = {
    "centered": (lambda w: (X @ w - np.mean(X @ w)) ** 2, W3),
    "normalized": (lambda W: np.sum((X @ W - np.mean(X @ W, axis=0)) / np.std(X @ W, axis=0), axis=1) ** 2, RNG.standard_normal((3, 2))),
    "reversed": (lambda w: np.exp(X @ w)[::-1] * (X @ w), W3),
    "transposed": (lambda W: np.sum((SQUARE @ W) * (SQUARE @ W).T, axis=1), RNG.standard_normal((N, N))),
    "running over examples": (lambda w: np.cumsum(X @ w) ** 2, W3),
    "sorted": (lambda w: np.sort(X @ w) * (X @ w), W3),
    "a softmax of examples": (lambda w: -np.log(hs.special.softmax(X @ w)), W3),
    "mixed by a matrix": (lambda w: SQUARE @ np.tanh(X @ w), W3),
    "a penalty of outputs": (lambda w: (X @ w) ** 2 + np.sum((X @ w) ** 2), W3),
    "levels that meet": (lambda a: (a - np.roll(a, 1)) ** 2 + a[0] + a, RNG.standard_normal(N)),
    "picked by what is computed": (lambda w: (X @ w)[np.argsort(X @ w)] ** 2, W3),
    "an inverse of all": (lambda w: np.linalg.solve(SQUARE + np.eye(N) * 5, X @ w) ** 2, W3),
    "a step that is not looked into": (hs.checkpoint(lambda w: (X @ w) ** 2), W3),
}  # fmt: skip


FUNCTIONS_OF_PARAMETERS = {
    *(
        "number by number",
        "weights of a positive kind",
        "a weight for all",
        "levels of groups",
        "an embedding",
        "filled in",
    ),
    *("a triangle", "matrices of each", "joined", "running sums", "sparse data", "sparse data with many columns"),
}


def check(f: Any, x: Any) -> None:
    found = per_example(f, x)
    rows = np.asarray(hs.JacobianOperator(f, x).to_dense())
    size = np.abs(rows).max()
    eps = 1e2 * np.finfo(found.gradients.dtype).eps
    np.testing.assert_allclose(found.gradients, rows, rtol=eps, atol=eps * size)
    np.testing.assert_allclose(found.second_moment, np.mean(rows**2, axis=0), rtol=10 * eps, atol=10 * eps * size**2)
    np.testing.assert_allclose(found.mean, np.mean(rows, axis=0), rtol=eps, atol=eps * size)
    assert found.gradients.dtype == rows.dtype


@pytest.mark.parametrize("name", [*APART, *MEETING])
def test_gradients_are_rows_of_the_jacobian(name: str) -> None:
    f, x = (APART | MEETING)[name]
    check(f, x)
    check(hs.record(f), x)
    check(lambda x: f(x)[:1], x)


@pytest.mark.parametrize("name", [*APART, *MEETING])
def test_one_sweep_gives_them(name: str) -> None:
    f, x = (APART | MEETING)[name]
    sweep = ExampleSweep(trace(f, (x,), where="test"), np.float64)
    np.testing.assert_allclose(sweep.gradients, hs.JacobianOperator(f, x).to_dense(), rtol=2e-5, atol=2e-5)
    if name in APART and name not in FUNCTIONS_OF_PARAMETERS:
        # No value had cotangents with an axis of examples in front beside its own.
        assert sweep.room == limits.BLOCK_NUMBERS


@pytest.mark.parametrize("name", [*APART, *MEETING])
def test_each_example_has_a_sweep_where_they_share_too_much(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f, x = (APART | MEETING)[name]
    monkeypatch.setattr(limits, "BLOCK_NUMBERS", 0)
    monkeypatch.setattr("hessian.operators.example_sweep._SPARE", 0)
    check(f, x)


def test_a_sweep_that_disagrees_with_a_plain_one_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    f, x = APART["a line"]
    monkeypatch.setattr(ExampleSweep, "pulled_back", lambda self, weights: [np.ones(3)])
    check(f, x)


def test_losses_in_a_container_are_refused() -> None:
    with pytest.raises(ShapeMismatchError, match="the losses are a container"):
        per_example(lambda w: [X @ w], W3)


def test_many_rows_take_one_sweep() -> None:
    calls = []

    def losses(w: Any, X: Any) -> Any:
        calls.append(len(X))
        return np.tanh(X @ w[:3]) ** 2 + w[3]

    data = np.random.default_rng(1).standard_normal((3000, 3))
    found = per_example(losses, np.ones(4), data)
    assert calls == [3000]
    np.testing.assert_allclose(found.gradients[:, 3], 1.0)
    slopes = 2.0 * np.tanh(data @ np.ones(3)) / np.cosh(data @ np.ones(3)) ** 2
    np.testing.assert_allclose(found.gradients[:, :3], slopes[:, None] * data, atol=1e-14)


def test_parameters_in_single_precision_take_one_sweep_over_data_in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["hessian.curvature.per_example"], "_by_blocks", None)
    found = per_example(lambda w: np.tanh(X @ w - y) ** 2, W3.astype(np.float32))
    rest = X @ W3 - y
    slopes = 2.0 * np.tanh(rest) / np.cosh(rest) ** 2
    np.testing.assert_allclose(found.gradients, slopes[:, None] * X, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("others", [0, 60])
def test_short_columns_beside_long_ones_are_not_those_of_rows_alone(
    others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BLOCK_NUMBERS", 0)
    monkeypatch.setattr("hessian.operators.example_sweep._SPARE", 0)
    data = np.random.default_rng(2).standard_normal(40)

    def losses(p: Any, data: Any) -> Any:
        q = np.exp(p)
        return 1e9 * q[0] * data + 1e-9 * np.sum(q[1:]) * np.mean(data) * data

    x = np.ones(2 + others)
    rows = np.stack([1e9 * np.e * data, *[1e-9 * np.e * np.mean(data) * data] * (1 + others)], axis=1)
    np.testing.assert_allclose(per_example(losses, x, data).gradients, rows, rtol=1e-12)
