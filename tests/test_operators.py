"""Operators against dense references and closed forms, with counts of what a product costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg as sla
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.errors import ConvergenceError, NonFiniteError, NotScalarError, OptionError, ShapeMismatchError
from hessian.tape.sweeps import Linearization


def quartic(x: Any, scale: float = 1.0) -> Any:
    """Coupled enough for a dense Hessian: sum (x^2 - roll)^2 + (sum x)^3."""
    return scale * (np.sum((x**2 - np.roll(x, 1)) ** 2) + np.sum(x) ** 3)


@pytest.fixture
def point() -> np.ndarray:
    return np.random.default_rng(7).uniform(-1, 1, 9)


def symmetric(n: int, seed: int) -> np.ndarray:
    a = np.random.default_rng(seed).standard_normal((n, n))
    return a + a.T


class Counts:
    """Sweeps run while it watches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.forward = self.reverse = self.tangent = self.linearized = 0
        counters = {
            "pushforward": "forward",
            "linearize_pullback": "reverse",
            "pullback": "reverse",
            "pullback_tangent": "tangent",
        }
        for name, counter in counters.items():
            monkeypatch.setattr(Linearization, name, self._counting(getattr(Linearization, name), counter))
        monkeypatch.setattr(Linearization, "__init__", self._counting(Linearization.__init__, "linearized"))

    def _counting(self, method: Any, counter: str) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            setattr(self, counter, getattr(self, counter) + 1)
            return method(*args, **kwargs)

        return counted


def test_products_dense_and_diagonal_agree_with_the_dense_hessian(point):
    reference = hs.hessian(quartic)(point, 2.0)
    H = hs.HessianOperator(quartic, point, 2.0)
    directions = np.random.default_rng(1).standard_normal((9, 4))
    scale = np.abs(reference).max()
    assert isinstance(H, sla.LinearOperator)
    assert H.shape == (9, 9)
    for _ in range(2):  # twice: no hidden state
        assert_allclose(H @ directions[:, 0], reference @ directions[:, 0], atol=1e-13 * scale)
        assert_allclose(H @ directions, reference @ directions, atol=1e-13 * scale)
        assert_allclose(H.T @ directions, reference @ directions, atol=1e-13 * scale)
        assert_allclose(H.rmatvec(directions[:, 1]), reference @ directions[:, 1], atol=1e-13 * scale)
        assert_allclose(H.to_dense(), reference, atol=1e-14 * scale)
        assert_allclose(H.diagonal(), np.diag(reference), atol=1e-14 * scale)
    assert_allclose(H.gradient, hs.grad(quartic)(point, 2.0), rtol=1e-15)
    assert H.value == quartic(point, 2.0)


def test_algebra_of_linear_operators(point):
    H = hs.HessianOperator(quartic, point)
    v = np.arange(9.0)
    assert_allclose((2 * H + H @ H) @ v, 2 * (H @ v) + H @ (H @ v), rtol=1e-12)
    solution, flag = sla.minres(H, v, rtol=1e-12)
    assert flag == 0
    assert_allclose(H @ solution, v, atol=1e-8)


def test_f_is_recorded_once_and_a_product_is_one_tangent_sweep(point, monkeypatch):
    calls = []

    def f(x):
        calls.append(1)
        return quartic(x)

    H = hs.HessianOperator(f, point)
    counts = Counts(monkeypatch)
    assert len(calls) == 1
    H @ point
    assert (counts.linearized, counts.reverse, counts.tangent) == (1, 1, 1)
    for _ in range(5):
        H @ point
    H @ np.eye(9)
    assert H.gradient.shape == (9,)
    # Two products are swept, the third one once more to be compiled; none of the later ones is.
    assert (counts.linearized, counts.reverse, counts.forward, counts.tangent) == (1, 1, 0, 3)
    assert len(calls) == 1


def test_value_alone_linearises_nothing(point, monkeypatch):
    counts = Counts(monkeypatch)
    assert hs.HessianOperator(quartic, point).value == quartic(point)
    assert counts.linearized == 0


def test_a_product_evaluates_no_primal(point):
    """Nothing nonlinear is left in the repeated part: only sums, products and moves of arrays."""
    evaluated = []

    class Watched(np.lib.mixins.NDArrayOperatorsMixin):
        pass

    H = hs.HessianOperator(lambda x: np.sum(np.exp(np.sin(x)) * np.tanh(x)), point)
    H @ point
    operations = {name: op for name, op in hs.rules.OPERATIONS.items() if name in ("exp", "sin", "cos", "tanh")}
    originals = {name: op.function for name, op in operations.items()}
    try:
        for name, op in operations.items():
            op.function = lambda *a, name=name: evaluated.append(name) or originals[name](*a)
        H @ point
        assert not evaluated
        hs.hvp(lambda x: np.sum(np.sin(x)), point, point)
        assert evaluated
    finally:
        for name, op in operations.items():
            op.function = originals[name]


def test_containers_act_raveled():
    x = {"a": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": [np.array(0.5), np.array([1.0, -1.0])]}

    def f(p):
        return np.sum(p["a"] ** 3) * p["b"][0] + np.sum(p["b"][1] ** 2 * p["a"][0])

    vector, unravel = hs.tape.trees.ravel(x)
    flat = hs.hessian(lambda v: f(unravel(v)))(vector)
    H = hs.HessianOperator(f, x)
    assert H.shape == (7, 7)
    assert_allclose(H.to_dense(), flat, rtol=1e-14)
    assert_allclose(H @ np.arange(7.0), flat @ np.arange(7.0), rtol=1e-13)
    assert_allclose(H.gradient, hs.grad(lambda v: f(unravel(v)))(vector), rtol=1e-14)


def test_changes_after_construction_do_not_reach_the_operator():
    A, x = symmetric(4, 0), np.ones(4)
    kept = A.copy()
    H = hs.HessianOperator(lambda x: 0.5 * x @ A @ x, x)
    A[:] = 0.0
    x[:] = -5.0
    assert_allclose(H @ np.ones(4), kept @ np.ones(4), rtol=1e-14)
    first = H @ np.eye(4)
    assert_allclose(H.gradient, kept @ np.ones(4), rtol=1e-14)
    with pytest.raises(ValueError, match="read-only"):
        H.gradient[0] = 1.0
    again = H @ np.eye(4)
    again[:] = 0.0
    assert_allclose(first, kept, rtol=1e-14)


@pytest.mark.parametrize("n", [5, 700])
@pytest.mark.parametrize("damping", [0.0, 0.7])
@pytest.mark.parametrize("lowest", [0.5, -3.0])
def test_solve(n, damping, lowest):
    eigenvalues = np.where(np.arange(n) % 3, np.linspace(0.5, 4.0, n), lowest)
    q = scipy.linalg.qr(np.random.default_rng(n).standard_normal((n, n)))[0]
    A = (q * eigenvalues) @ q.T
    H = hs.HessianOperator(lambda x: 0.5 * x @ A @ x, np.zeros(n))
    rhs = np.random.default_rng(0).standard_normal((n, 2))
    for b in (rhs, rhs[:, 0]):
        z = H.solve(b, damping=damping, rtol=1e-10)
        assert z.shape == b.shape
        assert_allclose(A @ z + damping * z, b, atol=1e-8)


def test_solve_refuses_what_it_cannot_do():
    A = np.diag([1.0, 0.0, 2.0])
    H = hs.HessianOperator(lambda x: 0.5 * x @ A @ x, np.zeros(3))
    with pytest.raises(ConvergenceError, match="singular"):
        H.solve(np.ones(3))
    assert_allclose(H.solve(np.ones(3), damping=1.0), [0.5, 1.0, 1 / 3], rtol=1e-14)
    with pytest.raises(ShapeMismatchError, match="b has shape"):
        H.solve(np.ones(4))
    with pytest.raises(OptionError, match="damping"):
        H.solve(np.ones(3), damping=-1.0)
    with pytest.raises(NonFiniteError, match=r"b\[1\] is nan"):
        H.solve(np.array([1.0, np.nan, 0.0]))


def test_solve_judges_minres_by_its_true_residual():
    A = np.diag(np.r_[np.zeros(10), np.ones(690)])
    H = hs.HessianOperator(lambda x: 0.5 * x @ A @ x, np.zeros(700))
    with pytest.raises(ConvergenceError, match="MINRES"):
        H.solve(np.ones(700))


@pytest.mark.parametrize("n", [6, 80])
@pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])
def test_eigsh(n, which):
    A = symmetric(n, 3)
    H = hs.HessianOperator(lambda x: 0.5 * x @ A @ x, np.zeros(n))
    values, vectors = H.eigsh(3, which=which)
    reference = np.linalg.eigvalsh(A)
    picks = {"LA": reference[-3:], "SA": reference[:3], "LM": np.sort(reference[np.argsort(abs(reference))[-3:]])}
    if which in picks:
        assert_allclose(values, picks[which], rtol=1e-9)
    assert (np.diff(values) >= 0).all()
    assert_allclose(A @ vectors, vectors * values, atol=1e-7)
    again, _ = H.eigsh(3, which=which)
    assert_array_equal(values, again)


def test_eigsh_refuses():
    H = hs.HessianOperator(lambda x: x @ x, np.zeros(3))
    with pytest.raises(OptionError, match="k is 4"):
        H.eigsh(4)
    with pytest.raises(OptionError, match="which"):
        H.eigsh(2, which="XX")


def test_gauss_newton_of_least_squares_is_jtj_and_psd():
    rng = np.random.default_rng(0)
    t, y = np.linspace(0, 1, 12), rng.standard_normal(12)
    model = lambda p: p[0] * np.exp(-p[1] * t) + p[2]
    loss = lambda z: 0.5 * np.sum((z - y) ** 2)
    p = np.array([1.0, 2.0, 0.3])
    J = np.stack([np.exp(-p[1] * t), -p[0] * t * np.exp(-p[1] * t), np.ones(12)], axis=1)
    G = hs.GaussNewtonOperator(model, loss, p)
    assert_allclose(G.to_dense(), J.T @ J, rtol=1e-12)
    assert_allclose(G @ p, J.T @ (J @ p), rtol=1e-12)
    assert_allclose(G @ np.eye(3), J.T @ J, rtol=1e-12)
    assert_allclose(G.diagonal(), np.diag(J.T @ J), rtol=1e-12)
    assert_allclose(G.gradient, hs.grad(lambda p: loss(model(p)))(p), rtol=1e-12)
    assert_allclose(G.value, loss(model(p)), rtol=1e-15)
    assert np.linalg.eigvalsh(G.to_dense()).min() > 0


def test_gauss_newton_is_the_hessian_for_a_linear_model_with_any_loss():
    rng = np.random.default_rng(1)
    X, labels = rng.standard_normal((20, 4)), rng.integers(0, 3, 20)

    def loss(z):
        return np.mean(hs.special.logsumexp(z, axis=1) - z[np.arange(20), labels])

    W = rng.standard_normal((4, 3))
    G = hs.GaussNewtonOperator(lambda W, X: X @ W, loss, W, X)
    assert_allclose(G.to_dense(), hs.HessianOperator(lambda W: loss(X @ W), W).to_dense(), atol=1e-14)


@pytest.mark.parametrize("wrap", [lambda f: f, hs.record], ids=["plain", "recorded"])
def test_gauss_newton_hands_the_loss_its_own_arguments(wrap):
    rng = np.random.default_rng(1)
    X, W = rng.standard_normal((20, 4)), rng.standard_normal((4, 3))
    loss = lambda z, labels, weight: weight * np.mean(hs.special.logsumexp(z, axis=1) - z[np.arange(20), labels])
    model = wrap(lambda W, X: np.tanh(X @ W))
    for weight in (1.0, 2.0, 0.5):
        labels = rng.integers(0, 3, 20)
        G = hs.GaussNewtonOperator(model, loss, W, X, loss_args=(labels, weight))
        wanted = hs.GaussNewtonOperator(lambda W: np.tanh(X @ W), lambda z: loss(z, labels, weight), W)  # noqa: B023
        dense = wanted.to_dense()
        assert_allclose(G.to_dense(), dense, atol=1e-14)
        assert_allclose([G.value, *G.gradient], [wanted.value, *wanted.gradient], rtol=1e-12)
        labels[:] = 0  # what happens to them afterwards does not matter
        assert_allclose(G @ W.ravel(), dense @ W.ravel(), atol=1e-12)


def test_gauss_newton_wants_a_scalar_loss():
    with pytest.raises(NotScalarError, match="loss"):
        hs.GaussNewtonOperator(lambda x: x, lambda z: z, np.ones(3))


def test_jacobian_operator_against_dense_and_dot_test():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 3))
    f = lambda x: np.sin(x) @ x.T + x[0, 0]
    J = hs.JacobianOperator(f, x)
    dense = hs.jacobian(f)(x).reshape(4, 6)
    assert J.shape == (4, 6)
    assert_allclose(J.to_dense(), dense, rtol=1e-13)
    assert_allclose(J @ np.eye(6), dense, rtol=1e-13)
    assert_allclose(J.T @ np.eye(4), dense.T, rtol=1e-13)
    assert_allclose(J.H @ np.ones(4), dense.T @ np.ones(4), rtol=1e-12)
    u, v = rng.standard_normal(4), rng.standard_normal(6)
    assert_allclose(u @ (J @ v), v @ (J.T @ u), rtol=1e-12)
    assert_allclose(J.value, f(x), rtol=1e-15)
    assert "(4, 6)" in repr(J)


def test_jacobian_operator_of_a_constant_is_zero():
    J = hs.JacobianOperator(lambda x: np.ones(2), np.ones(3))
    assert_array_equal(J @ np.ones(3), np.zeros(2))
    assert_array_equal(J.to_dense(), np.zeros((2, 3)))


def test_float32_operators_stay_float32():
    x = np.linspace(0.1, 1, 5, dtype=np.float32)
    H = hs.HessianOperator(lambda x: np.sum(np.exp(x)), x)
    assert H.dtype == (H @ x).dtype == H.to_dense().dtype == H.gradient.dtype == np.float32
    assert_allclose(H.diagonal(), np.exp(x), rtol=1e-6)


def test_repr_tells_order_and_value(point):
    assert "order 9" in repr(hs.HessianOperator(quartic, point))
    G = hs.GaussNewtonOperator(np.sin, lambda z: z @ z, point)
    assert "order 9" in repr(G)


def recorded_at(point: np.ndarray) -> hs.HessianOperator:
    """A Hessian whose products are compiled."""
    H = hs.HessianOperator(hs.record(quartic), point)
    assert H.compiled_product(point) is not None
    return H


@pytest.mark.parametrize(
    "make", [lambda v: v[:1], lambda v: v[:-1], lambda v: np.append(v, 1.0), lambda v: v[None], np.float64]
)
def test_a_compiled_product_takes_no_vector_of_another_shape(point, make):
    H, J = recorded_at(point), hs.JacobianOperator(hs.record(np.sin), point)
    J @ point
    wrong = make(point) if make is not np.float64 else np.array(2.0)
    assert H.compiled_product(wrong) is None
    for operator in (H, J):
        if wrong.ndim:
            with pytest.raises(ValueError, match=r"dimension mismatch|mismatch"):
                operator @ wrong


def test_a_compiled_product_casts_what_is_no_vector_of_its_own_precision(point):
    H = recorded_at(point)
    expected = H @ point
    assert_allclose(H @ point.astype(np.float32), H @ point.astype(np.float32).astype(np.float64), rtol=1e-15)
    assert_array_equal(H @ np.arange(9), H @ np.arange(9.0))
    assert_array_equal(H @ list(point), expected)
    assert_array_equal(H @ point.astype(">f8"), expected)
    assert H.compiled_product(point.astype(np.float32)) is None
    with pytest.raises(hs.errors.DtypeError, match="complex128"):
        H @ (point + 1j)
    with pytest.raises(hs.errors.DtypeError, match="masked"):
        H @ np.ma.array(point, mask=point > 0)
    assert_allclose(hs.jacobian(lambda v: H @ v)(point), H.to_dense(), rtol=1e-12, atol=1e-12)


def test_a_compiled_product_leaves_the_error_state_alone(point):
    H = recorded_at(point)
    expected = H @ point
    with np.errstate(all="raise"):
        before = np.geterr()
        assert_array_equal(H @ point, expected)
        assert np.geterr() == before
        # 1e-300 squared underflows inside.
        assert np.all(np.isfinite(H @ np.full(9, 1e-300)))


def test_a_product_that_is_not_finite_is_swept():
    f = lambda x: np.sum(np.where(x > 0, np.sqrt(np.where(x > 0, x, 0.0)) ** 3, 0.0))
    H = hs.HessianOperator(hs.record(f), np.array([1.0, 4.0]))
    assert_allclose(H @ np.ones(2), 0.75 / np.sqrt([1.0, 4.0]), rtol=1e-14)
    huge = np.array([1e200, 1.0])
    assert_allclose(H @ huge, 0.75 / np.sqrt([1.0, 4.0]) * huge, rtol=1e-14)
    # The square root has no derivative at 0, in a branch that is not taken: 0 times infinity in a program.
    g = hs.record(lambda x: np.sum(np.where(x > 0, np.sqrt(x), x**2)))
    for use in (
        lambda H: H @ np.eye(2),
        lambda H: H.to_dense(),
        lambda H: np.diag(H.diagonal()),
        lambda H: np.stack([H @ e for e in np.eye(2)]),
    ):
        assert_allclose(use(hs.HessianOperator(g, np.zeros(2))), 2.0 * np.eye(2), rtol=1e-14)
    assert_array_equal(hs.HessianOperator(g, np.zeros(2)).gradient, np.zeros(2))


def test_products_of_many_threads(point):
    from concurrent.futures import ThreadPoolExecutor

    H = recorded_at(point)
    V = np.random.default_rng(3).standard_normal((200, 9))
    expected = V @ H.to_dense()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(H.__matmul__, V))
    assert_allclose(results, expected, rtol=1e-11, atol=1e-11)


def test_branches_of_a_loss_are_guards_of_its_value():
    model = hs.record(lambda w: 2.0 * w)
    loss = lambda z: np.sum(z**2) if z[0] > 0 else np.sum(z**4)
    for sign in (1, 1, 1, 1, 1, -1, -1, 1):
        x = np.array([sign, 2.0])
        G, plain = hs.GaussNewtonOperator(model, loss, x), hs.GaussNewtonOperator(model.function, loss, x)
        assert G.value == plain.value
        assert_array_equal(G.gradient, plain.gradient)
        assert_array_equal(G @ x, plain @ x)


def test_a_list_that_is_changed_later_stays_as_it_was():
    f = hs.record(lambda x, numbers: np.sum(np.where(x > 0, np.sqrt(x), x**2)) * numbers[0])
    numbers = [2.0]
    H = hs.HessianOperator(f, np.zeros(2), numbers)
    numbers[0] = 5.0
    # The square root has no derivative at 0: the plain sweeps compute the product, with the argument of then.
    assert_allclose(H @ np.ones(2), [4.0, 4.0], rtol=1e-14)


@pytest.mark.parametrize("make", [lambda f: f, hs.record])
def test_operators_go_with_their_last_reference(make, point):
    """No circle of references: a solver would fill the memory with points that it has left."""
    import gc
    import weakref

    f = make(quartic)
    gc.collect()
    gc.disable()
    try:
        for operator in (hs.HessianOperator, hs.JacobianOperator):
            H = operator(f, point)
            for _ in range(4):
                H @ point
            held = [weakref.ref(H), weakref.ref(H._at), weakref.ref(H._at._program)]
            if make is not hs.record:
                held += [weakref.ref(H._at.sweeps.local), weakref.ref(H._at.sweeps.local.traced)]
            del H
            assert [x() for x in held] == [None] * len(held)
    finally:
        gc.enable()


def test_pushforwards_and_pullbacks_of_many_threads(point):
    """A pullback is first asked for while pushforwards run, which have the memory of the program."""
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(5)
    A = rng.standard_normal((300, 9))
    f = hs.record(lambda x: np.tanh(A @ x))
    V, U = rng.standard_normal((60, 9)), rng.standard_normal((60, 300))
    dense = hs.jacobian(f)(point)
    for _ in range(5):
        J = hs.JacobianOperator(f, point)
        with ThreadPoolExecutor(4) as pool:
            pushed, pulled = pool.map(J.matvec, V), pool.map(J.rmatvec, U)
        assert_allclose(list(pushed), V @ dense.T, rtol=1e-10, atol=1e-10)
        assert_allclose(list(pulled), U @ dense, rtol=1e-10, atol=1e-10)
