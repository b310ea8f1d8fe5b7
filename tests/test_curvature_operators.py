"""Operators made of others, and second moments of gradients, against dense references; twice, with counts and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import hessian as hs
from hessian.curvature import eigenvalues, trace
from hessian.errors import DtypeError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.operators.chunked import ChunkedOperator
from hessian.operators.empirical_fisher import EmpiricalFisherOperator
from hessian.operators.fisher import FisherOperator
from hessian.operators.restricted import RestrictedOperator, named_blocks
from hessian.operators.symmetric import (
    DampedOperator,
    MatrixOperator,
    ScaledOperator,
    SumOperator,
    SymmetricOperator,
)


def quartic(x: Any) -> Any:
    return np.sum((x**2 - np.roll(x, 1)) ** 2) + np.sum(x) ** 3


@pytest.fixture
def H() -> hs.HessianOperator:
    return hs.HessianOperator(quartic, np.random.default_rng(7).uniform(-1.0, 1.0, 9))


@pytest.fixture
def A() -> np.ndarray:
    a = np.random.default_rng(1).standard_normal((9, 9))
    return a + a.T


def assert_is(operator: Any, reference: np.ndarray) -> None:
    """Every way to ask the operator gives the reference, twice; it stays symmetric, and products keep their shapes."""
    rng = np.random.default_rng(0)
    n = len(reference)
    V = rng.standard_normal((n, 3))
    scale = max(1.0, np.abs(reference).max())
    assert isinstance(operator, SymmetricOperator)
    assert operator.shape == (n, n)
    for _ in range(2):
        assert_allclose(operator @ V[:, 0], reference @ V[:, 0], atol=1e-12 * scale)
        assert_allclose(operator @ V, reference @ V, atol=1e-12 * scale)
        assert_allclose(operator.T @ V, reference @ V, atol=1e-12 * scale)
        assert_allclose(operator.rmatvec(V[:, 1]), reference @ V[:, 1], atol=1e-12 * scale)
        assert_allclose(operator.to_dense(), reference, atol=1e-12 * scale)
        assert_allclose(operator.diagonal(), np.diag(reference), atol=1e-12 * scale)
    shift = 2.0 * np.abs(reference).sum()
    assert_allclose(operator.solve(V[:, 0], damping=shift), np.linalg.solve(reference + shift * np.eye(n), V[:, 0]))
    assert_allclose(operator.eigsh(1)[0], np.linalg.eigvalsh(reference)[-1:], atol=1e-11 * scale)
    assert repr(operator).startswith(f"<{type(operator).__name__} of order {n}")


def test_sums_multiples_and_damping(H, A):
    dense = H.to_dense()
    assert_is(SumOperator([H, A]), dense + A)
    assert_is(SumOperator([H, scipy.sparse.csr_array(A), H]), 2.0 * dense + A)
    assert_is(ScaledOperator(H, -2.5), -2.5 * dense)
    assert_is(DampedOperator(H, 3.0), dense + 3.0 * np.eye(9))
    assert_is(DampedOperator(H, 2.0, np.arange(9.0)), dense + 2.0 * np.diag(np.arange(9.0)))
    assert_is(MatrixOperator(A), A)
    assert_is(MatrixOperator(scipy.sparse.csr_array(A)), A)


def test_expressions_stay_symmetric_operators(H, A):
    dense, M = H.to_dense(), MatrixOperator(A)
    assert_is(2.0 * M + M * 3.0, 5.0 * A)
    assert_is(M - 0.5 * M, 0.5 * A)
    assert_is(-M / 4.0, -A / 4.0)
    assert_is(M + H, A + dense)
    assert_is(M + A, 2.0 * A)
    assert_is(A + M, 2.0 * A)
    assert_is(A - np.float64(2.0) * M, -A)
    assert_is(H + 2.0 * H, 3.0 * dense)
    assert_is(DampedOperator(0.5 * (M + M), 1.0), A + np.eye(9))
    assert (M + M + M).terms == [M, M, M]
    assert (3.0 * (2.0 * M)).factor == 6.0
    # Products of operators are not symmetric, and what is not ours may not be.
    assert not isinstance(M @ M, SymmetricOperator)
    assert not isinstance(M + aslinearoperator(A), SymmetricOperator)
    assert_allclose((M + aslinearoperator(A)) @ np.ones(9), 2.0 * A @ np.ones(9))
    assert_allclose((M @ M) @ np.ones(9), A @ A @ np.ones(9))


def test_composed_operators_run_the_estimators(H):
    shifted = DampedOperator(H, 5.0)
    assert_allclose(eigenvalues(shifted, 2).values, eigenvalues(H, 2).values + 5.0, rtol=1e-10)
    assert trace(shifted).value == pytest.approx(trace(H).value + 45.0)


def test_large_composed_operators_solve_and_diagonalise_by_products():
    H = hs.HessianOperator(lambda x: np.sum(np.cosh(x)) + 0.5 * np.sum(x) ** 2, np.linspace(0.0, 1.0, 700))
    shifted = DampedOperator(0.5 * DampedOperator(H, 0.0), 1.0)
    b = np.ones(700)
    solution = shifted.solve(b)
    assert np.linalg.norm(shifted @ solution - b) < 1e-6
    diagonal = 0.5 * np.cosh(np.linspace(0.0, 1.0, 700)) + 1.0
    exact = np.linalg.eigvalsh(np.diag(diagonal) + 0.5)
    assert_allclose(shifted.eigsh(1)[0], exact[-1:], rtol=1e-10)
    assert_allclose(shifted.diagonal(), diagonal + 0.5, rtol=1e-12)


def test_algebra_refuses_what_has_no_meaning(H, A):
    with pytest.raises(OptionError, match="an operator plus a number"):
        MatrixOperator(A) + 2.0
    with pytest.raises(ShapeMismatchError, match="there is no term"):
        SumOperator([])
    with pytest.raises(ShapeMismatchError, match="the terms have shapes"):
        SumOperator([H, np.eye(3)])
    with pytest.raises(OptionError, match="factor is nan"):
        ScaledOperator(H, float("nan"))
    with pytest.raises(OptionError, match="damping is 'a'"):
        DampedOperator(H, "a")
    with pytest.raises(ShapeMismatchError, match="scaling has shape"):
        DampedOperator(H, 1.0, np.ones(3))
    with pytest.raises(OptionError, match="mirror images"):
        MatrixOperator(np.triu(np.ones((3, 3))))
    with pytest.raises(ShapeMismatchError, match="has shape"):
        MatrixOperator(np.ones((2, 3)))
    with pytest.raises(DtypeError, match="complex"):
        MatrixOperator(1j * np.eye(2))
    with pytest.raises(ShapeMismatchError, match="an operator has shape"):
        ScaledOperator(aslinearoperator(np.ones((2, 3))), 1.0)
    with pytest.raises(DtypeError, match="complex"):
        MatrixOperator(A) @ (1j * np.ones(9))


def test_algebra_keeps_float32(A):
    M = MatrixOperator(A.astype(np.float32))
    for operator in (2.0 * M, M + M, DampedOperator(M, 1.0), RestrictedOperator(M, slice(0, 3))):
        assert operator.dtype == np.float32
        assert (operator @ np.ones(operator.shape[0], np.float32)).dtype == np.float32
        assert operator.to_dense().dtype == operator.diagonal().dtype == np.float32


def tree() -> list[Any]:
    return [{"W": np.linspace(0.1, 1.0, 4).reshape(2, 2), "b": np.ones(2)}, np.linspace(1.0, 2.0, 3)]


def coupled(p: Any) -> Any:
    return np.sum(p[0]["W"] ** 4) * p[0]["b"][0] * p[1][2] + np.sum(p[1] ** 3) + np.sum(p[0]["b"] ** 2)


@pytest.mark.parametrize(
    ("block", "indices"),
    [
        (slice(1, 5), [1, 2, 3, 4]),
        (slice(None, None, 3), [0, 3, 6]),
        (np.array([7, 0, -1]), [7, 0, 8]),
        (np.arange(9) > 5, [6, 7, 8]),
        (0, [0, 1, 2, 3, 4, 5]),
        ((0, "b"), [4, 5]),
        ((1,), [6, 7, 8]),
    ],
)
def test_restrictions(block, indices):
    H = hs.HessianOperator(coupled, tree())
    operator = RestrictedOperator(H, block)
    assert operator.indices.tolist() == indices
    assert_is(operator, H.to_dense()[np.ix_(indices, indices)])


def test_parts_are_found_through_damping_and_multiples():
    H = hs.HessianOperator(coupled, tree())
    assert named_blocks(DampedOperator(2.0 * H, 1.0)) == named_blocks(H)
    assert named_blocks(hs.HessianOperator(quartic, np.ones(3))) == {"x": slice(0, 3)}


@pytest.mark.parametrize(
    ("block", "error", "text"),
    [
        (slice(3, 3), OptionError, "empty"),
        ([0, 0], OptionError, "repeats"),
        ([9], ShapeMismatchError, r"outside of 0\.\.8"),
        (np.ones(3, bool), ShapeMismatchError, "dtype bool"),
        ((0, "c"), OptionError, "no part 'c'"),
    ],
)
def test_blocks_that_are_none_are_refused(block, error, text):
    with pytest.raises(error, match=text):
        RestrictedOperator(hs.HessianOperator(coupled, tree()), block)


def test_chunks_add_up_in_order_with_the_memory_of_one():
    rng = np.random.default_rng(0)
    X, y, w = rng.standard_normal((25, 4)), rng.standard_normal(25), rng.standard_normal(4)
    alive: list[int] = []
    most = []

    def loss(w: Any, X: Any, y: Any) -> Any:
        return np.mean((np.tanh(X @ w) - y) ** 2)

    class Watched(LinearOperator):
        def __init__(self, inner: Any) -> None:
            super().__init__(inner.dtype, inner.shape)
            self.inner = inner
            alive.append(1)
            most.append(len(alive))

        def _matvec(self, v: np.ndarray) -> np.ndarray:
            return self.inner @ v

        def __del__(self) -> None:
            alive.pop()

    chunks = [slice(0, 10), slice(10, 20), slice(20, 25)]
    shares = [0.4, 0.4, 0.2]
    reference = hs.HessianOperator(loss, w, X, y).to_dense()
    make = lambda rows: hs.HessianOperator(loss, w, X[rows], y[rows])
    for keep in (0, 2, 3):
        operator = ChunkedOperator(make, chunks, weights=shares, keep=keep)
        assert_is(operator, reference)
        assert_array_equal(operator @ np.ones(4), operator @ np.ones(4))
    watched = ChunkedOperator(lambda rows: Watched(make(rows)), chunks)
    most.clear()
    watched @ np.ones((4, 5))
    assert max(most) <= 2
    assert named_blocks(ChunkedOperator(make, chunks)) == {"x": slice(0, 4)}


def test_kept_chunks_are_made_once():
    made = []

    def make(k: int) -> np.ndarray:
        made.append(k)
        return float(k) * np.eye(3)

    operator = ChunkedOperator(make, [1, 2, 3], keep=2)
    for _ in range(3):
        assert (operator @ np.ones(3)).tolist() == [6.0, 6.0, 6.0]
    assert made == [1, 2, 3, 3, 3]


def test_chunks_that_do_not_fit_are_refused():
    with pytest.raises(OptionError, match="no chunk"):
        ChunkedOperator(np.eye, [])
    with pytest.raises(OptionError, match="weights have shape"):
        ChunkedOperator(np.eye, [2, 2], weights=[1.0])
    with pytest.raises(OptionError, match="keep is -1"):
        ChunkedOperator(np.eye, [2], keep=-1)
    with pytest.raises(ShapeMismatchError, match="chunk 1 has an operator"):
        ChunkedOperator(np.eye, [2, 3]) @ np.ones(2)


def logits(p: Any, X: Any) -> Any:
    return np.tanh(X @ p["W"]) @ p["V"]


def network() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    p = {"W": rng.standard_normal((3, 4)), "V": rng.standard_normal((4, 3))}
    return p, rng.standard_normal((12, 3)), rng.integers(0, 3, 12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_empirical_fisher_is_the_second_moment_of_gradients(reduction):
    p, X, labels = network()

    def one(p: Any, x: Any, label: int) -> Any:
        z = logits(p, x[None])[0]
        return hs.special.logsumexp(z) - z[label]

    def losses(p: Any) -> Any:
        z = logits(p, X)
        return hs.special.logsumexp(z, axis=1) - z[np.arange(12), labels]

    rows = np.array([hs.HessianOperator(one, p, x, label).gradient for x, label in zip(X, labels, strict=True)])
    factor = 1.0 / 12 if reduction == "mean" else 1.0
    E = EmpiricalFisherOperator(losses, p, reduction=reduction)
    assert_is(E, factor * rows.T @ rows)
    assert_allclose(E.gradient, factor * rows.sum(axis=0), atol=1e-13)
    assert list(named_blocks(E)) == ["['W']", "['V']"]
    recorded = EmpiricalFisherOperator(hs.record(losses), p, reduction=reduction)
    assert_allclose(recorded.to_dense(), E.to_dense(), atol=1e-13)


def test_empirical_fisher_refuses_what_is_no_vector_of_losses():
    with pytest.raises(ShapeMismatchError, match="losses have shape"):
        EmpiricalFisherOperator(lambda w: np.sum(w**2), np.ones(2))
    with pytest.raises(OptionError, match="reduction is 'max'"):
        EmpiricalFisherOperator(lambda w: w**2, np.ones(2), reduction="max")


@pytest.mark.parametrize("likelihood", ["categorical", "bernoulli", "gaussian", "poisson"])
def test_fisher_of_many_draws_is_the_gauss_newton_matrix(likelihood):
    p, X, _ = network()
    p = {name: 0.5 * part for name, part in p.items()}
    losses = {
        "categorical": lambda z: np.sum(hs.special.logsumexp(z, axis=1)) / 12,
        "bernoulli": lambda z: np.sum(np.logaddexp(0.0, z)) / 12,
        "gaussian": lambda z: 0.5 * np.sum(z**2) / 12,
        "poisson": lambda z: np.sum(np.exp(z)) / 12,
    }
    G = hs.GaussNewtonOperator(lambda p: logits(p, X), losses[likelihood], p).to_dense()
    F = FisherOperator(logits, p, X, likelihood=likelihood, n_samples=4000)
    dense = F.to_dense()
    assert np.linalg.norm(dense - G) < 0.05 * np.linalg.norm(G)
    few = FisherOperator(logits, p, X, likelihood=likelihood, n_samples=2, rng=1)
    assert_is(few, few.to_dense())
    # Of one age: after a few products an operator is compiled, which rounds differently.
    first, again = (
        FisherOperator(logits, p, X, likelihood=likelihood, n_samples=2, rng=rng)
        for rng in (1, np.random.default_rng(1))
    )
    assert_array_equal(first.to_dense(), again.to_dense())
    assert np.linalg.eigvalsh(few.to_dense()).min() > -1e-12
    total = FisherOperator(logits, p, X, likelihood=likelihood, n_samples=2, rng=1, reduction="sum")
    assert_allclose(total.to_dense(), 12.0 * few.to_dense(), rtol=1e-12)


def test_fisher_takes_a_likelihood_of_ones_own_and_outputs_of_any_rank():
    X = np.random.default_rng(0).standard_normal((6, 2))
    F = FisherOperator(lambda w: X @ w, np.ones(2), likelihood=lambda z, rng: np.ones(z.shape), reduction="sum")
    assert_is(F, X.T @ X)
    deep = FisherOperator(lambda w: np.reshape(X @ w, (3, 2)), np.ones(2), likelihood="gaussian", n_samples=3)
    assert_is(deep, deep.to_dense())
    assert deep.value.shape == (3, 2)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"likelihood": "cauchy"}, OptionError, "there is no likelihood 'cauchy'"),
        ({"n_samples": 0}, OptionError, "n_samples is 0"),
        ({"reduction": "max"}, OptionError, "reduction is 'max'"),
        ({"likelihood": "categorical"}, ShapeMismatchError, "Classes are the last axis"),
        ({"likelihood": lambda z, rng: np.zeros(5)}, ShapeMismatchError, "gradients have shape"),
        ({"likelihood": lambda z, rng: np.full(z.shape, np.nan)}, NonFiniteError, "NaN or inf"),
    ],
)
def test_fisher_refuses_what_it_cannot_draw_from(options, error, text):
    X = np.ones((4, 2))
    with pytest.raises(error, match=text):
        FisherOperator(lambda w: X @ w, np.ones(2), **options)
    with pytest.raises(ShapeMismatchError, match="model returns"):
        FisherOperator(lambda w: {"z": X @ w}, np.ones(2), likelihood="gaussian")
