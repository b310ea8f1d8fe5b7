"""Sparse matrices where they are used: operators, SciPy's solvers, pickles, pictures, caps on dense ones."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

import hessian as hs
from hessian.errors import NotScalarError, OptionError, ShapeMismatchError, TooDenseError
from hessian.plotting.canvas import GREY


def chain(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def differences(x: Any) -> Any:
    return {"slopes": np.diff(x) ** 2, "ends": [x[0] * x[-1]]}


X = np.random.default_rng(0).uniform(0.5, 1.5, 400)


@pytest.mark.parametrize("f", [chain, hs.record(chain)], ids=["plain", "recorded"])
def test_operators_give_sparse_matrices(f: Any) -> None:
    H = hs.HessianOperator(f, X)
    dense = hs.hessian(chain)(X)
    for _ in range(2):
        found = H.to_sparse()
        assert found.format == "csc"
        np.testing.assert_allclose(found.toarray(), dense, rtol=0, atol=1e-12 * abs(dense).max())
    np.testing.assert_allclose(H.diagonal(), dense.diagonal(), rtol=1e-13)
    np.testing.assert_allclose(H.to_dense(), dense, rtol=0, atol=1e-12 * abs(dense).max())


def test_operators_multiply_as_often_as_there_are_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    from hessian.transforms.point import FunctionAtPoint

    counts: list[int] = []
    rows = FunctionAtPoint.rows
    monkeypatch.setattr(
        FunctionAtPoint, "rows", lambda self, V, *a, **k: counts.append(len(V)) or rows(self, V, *a, **k)
    )
    monkeypatch.setattr(FunctionAtPoint, "matrix", None)
    monkeypatch.setattr(FunctionAtPoint, "diagonal", None)
    H = hs.HessianOperator(chain, X)
    H.diagonal(), H.to_dense(), H.to_sparse()
    assert counts == [3, 3, 3]


def test_operators_of_dense_hessians_multiply_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    A = np.random.default_rng(1).standard_normal((300, 300))
    H = hs.HessianOperator(lambda x: np.sum(np.tanh(A @ x)), X[:300])
    monkeypatch.setattr("hessian.sparse.functions.matrix_at", None)
    assert H.to_dense().shape == (300, 300)
    np.testing.assert_allclose(H.diagonal(), H.to_dense().diagonal(), rtol=1e-9)
    recorded = hs.HessianOperator(hs.record(lambda x: np.sum(np.tanh(A @ x))), X[:300])
    np.testing.assert_allclose(recorded.diagonal(), H.diagonal(), rtol=1e-9)


def test_operators_at_traced_points_multiply_as_before() -> None:
    slope = hs.grad(lambda t: np.sum(hs.HessianOperator(lambda x: np.sum(x**3), t * X).diagonal()))(1.0)
    assert slope == pytest.approx(6 * X.sum())
    with pytest.raises(hs.errors.DtypeError, match="traced by somebody else"):
        hs.grad(lambda t: hs.HessianOperator(lambda x: np.sum(x**3), t * X).to_sparse().sum())(1.0)


def test_jacobians() -> None:
    dense = hs.jacobian(differences)(X)
    stacked = np.vstack([dense["slopes"], dense["ends"][0][None]])
    jac = hs.sparse.jacobian(differences)
    for found in (jac(X), jac(X), hs.JacobianOperator(differences, X).to_sparse()):
        np.testing.assert_allclose(found.toarray(), stacked, rtol=1e-13)
    assert jac.pattern(X).n_colors == 2
    assert "Jacobian" in repr(jac.pattern(X))
    wide = hs.sparse.jacobian(lambda x: np.array([x[:3].sum() ** 2, x[3:].sum() ** 2]))
    assert wide.pattern(X).n_colors == 1
    assert np.array_equal(wide.pattern(X).colors, [0, 0])
    np.testing.assert_allclose(wide(X).toarray(), hs.jacobian(wide.function.function)(X))


def test_jacobians_with_a_full_row_and_a_full_column_take_both_sides() -> None:
    def f(x: Any) -> Any:
        return np.concatenate([np.sum(x**2)[None], x[0] * x[1:] ** 2])

    jac = hs.sparse.jacobian(f)
    assert jac.pattern(X).n_colors == 3
    np.testing.assert_allclose(jac(X).toarray(), hs.jacobian(f)(X), rtol=1e-13)


def test_matrices_are_their_owners_to_change() -> None:
    hess = hs.sparse.hessian(chain)
    first = hess(X)
    first.data[::2] = 0.0
    first.eliminate_zeros()
    first.data[:] = 7.0
    np.testing.assert_allclose(hess(X).toarray(), hs.hessian(chain)(X), rtol=1e-12, atol=1e-9)


def test_structure_and_programs_are_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    hess = hs.sparse.hessian(chain)
    expected = hess(X).toarray()
    again = pickle.loads(pickle.dumps(hess))
    # Neither is the function recorded nor its pattern looked for another time.
    monkeypatch.setattr("hessian.sparse.functions.detected", None)
    assert np.array_equal(again(X).toarray(), expected)
    assert again.function.stats.recordings == 1
    assert again.pattern(X) == hess.pattern(X)
    assert pickle.loads(pickle.dumps(hess.pattern(X))) == hess.pattern(X)


def test_a_function_that_keeps_no_program_keeps_its_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        x[0] *= 2.0  # changes its argument: no program may do that
        return chain(x)

    hess = hs.sparse.hessian(f)
    expected = hs.hessian(f)(X.copy())
    first = hess(X.copy())
    monkeypatch.setattr("hessian.sparse.functions.Structure", None)
    for found in (first, hess(X.copy())):
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-12, atol=1e-9)


def test_patterns_compare() -> None:
    pattern = hs.sparse.hessian(chain).pattern(X)
    assert pattern == hs.sparse.SparsityPattern(pattern.matrix, symmetric=True)
    assert pattern != hs.sparse.SparsityPattern(pattern.matrix, symmetric=False)
    assert pattern != 3


def test_dense_matrices_that_do_not_fit_are_refused() -> None:
    x = np.zeros(50_000)
    for ask in (
        lambda: hs.hessian(chain)(x),
        lambda: hs.HessianOperator(chain, x).to_dense(),
        lambda: hs.HessianOperator(chain, X).to_dense(max_bytes=1000),
        lambda: hs.hessian(chain, max_bytes=1000)(X),
        lambda: hs.JacobianOperator(np.sin, x).to_dense(),
        lambda: hs.jacobian(np.sin)(x),
        lambda: hs.GaussNewtonOperator(np.sin, chain, X).to_dense(max_bytes=1000),
    ):
        with pytest.raises(TooDenseError, match=r"(?s)GiB.*(sparse).*max_bytes"):
            ask()
    assert hs.hessian(chain, max_bytes=2**21)(X).shape == (400, 400)
    assert hs.HessianOperator(chain, X).to_dense(max_bytes=2**21).shape == (400, 400)


@pytest.mark.parametrize("sparse", [True, False])
def test_derivatives_for_solvers_of_anybody(sparse: bool) -> None:
    d = hs.optimize.derivatives(lambda x, a: chain(x) + a * np.sum(x**2), np.zeros(6), (0.0,), sparse=sparse)
    assert str(len(d.x0)) in repr(d)
    x = X[:6]
    assert d.fun(x) == pytest.approx(chain(x))
    np.testing.assert_allclose(d.jac(x), hs.grad(chain)(x))
    dense, found = hs.hessian(chain)(x), d.hess(x)
    assert scipy.sparse.issparse(found) == sparse
    np.testing.assert_allclose(found.toarray() if sparse else found, dense, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(d.hessp(x, np.ones(6)), dense.sum(axis=1), rtol=1e-9)
    rows, columns, pattern = d.hess_structure
    assert (rows >= columns).all()
    assert pattern.nnz == 16
    if sparse:
        np.testing.assert_allclose(found[rows, columns], dense[rows, columns], rtol=1e-12, atol=1e-9)
        res = scipy.optimize.minimize(d.fun, d.x0, jac=d.jac, hess=d.hess, method="trust-constr")
    else:
        res = scipy.optimize.minimize(d.fun, d.x0, jac=d.jac, hess=d.hess, method="trust-exact")
    np.testing.assert_allclose(res.x, 1.0, atol=1e-4)


def test_derivatives_take_containers_and_refuse_what_is_no_vector_of_theirs() -> None:
    d = hs.optimize.derivatives(lambda p: p["a"] ** 2 * np.sum(p["b"]), {"a": 1.0, "b": np.array([2.0, 3.0])})
    np.testing.assert_allclose(d.hess(d.x0).toarray(), [[10, 2, 2], [2, 0, 0], [2, 0, 0]])
    with pytest.raises(ShapeMismatchError, match=r"x0 raveled has \(3,\)"):
        d.fun(np.ones(2))
    with pytest.raises(NotScalarError, match="derivatives"):
        hs.optimize.derivatives(lambda x: x**2, np.ones(2)).fun(np.ones(2))


def test_a_picture_of_a_pattern() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    pattern = hs.sparse.hessian(chain).pattern(X[:12])
    ax = hs.plotting.plot_pattern(pattern)
    assert len(ax.collections[0].get_offsets()) == 34
    assert len({tuple(c) for c in ax.collections[0].get_facecolors()}) == 3
    plain = hs.plotting.plot_pattern(hs.sparse.jacobian(np.diff).pattern(X[:12]), color=False, ax=ax)
    assert plain is ax
    hs.plotting.plot_pattern(hs.sparse.jacobian(lambda x: np.array([np.sum(x)])).pattern(X))
    with pytest.raises(OptionError, match="nothing to draw"):
        hs.plotting.plot_pattern(hs.sparse.SparsityPattern(np.zeros((0, 3)), symmetric=False))
    with pytest.raises(OptionError, match=r"csr_array.*SparsityPattern\(matrix"):
        hs.plotting.plot_pattern(pattern.matrix)
    # Of a full row and a full column each takes a product, and no entry is without one.
    cross = hs.sparse.SparsityPattern(np.eye(12)[:, :1] + np.eye(12)[:1], symmetric=False)
    assert (cross.sides.columns.n_colors, cross.sides.rows.n_colors) == (1, 1)
    shades = hs.plotting.plot_pattern(cross).collections[0].get_facecolors()
    assert not (shades == matplotlib.colors.to_rgba(GREY)).all(axis=1).any()
    assert len({tuple(c) for c in shades}) == 2


def test_patterns_are_not_written_to_and_need_a_matrix() -> None:
    hess = hs.sparse.hessian(chain)
    pattern = hess.pattern(X)
    for part in (pattern.matrix.data, pattern.matrix.indices, pattern.matrix.indptr):
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 0
    again = pickle.loads(pickle.dumps(pattern))
    assert again == pattern
    assert not again.matrix.data.flags.writeable
    given = scipy.sparse.csr_array(np.eye(3))
    hs.sparse.SparsityPattern(given, symmetric=True)
    given.data[:] = 2.0
    given.indices[0] = 1
    for wrong in ("x", None, [[1], [1, 2]], np.array([[None]])):
        with pytest.raises(OptionError, match="without numbers"):
            hs.sparse.SparsityPattern(wrong, symmetric=True)
    for shape in ((3,), (2, 2, 2), ()):
        with pytest.raises(ShapeMismatchError, match="two axes"):
            hs.sparse.SparsityPattern(np.ones(shape), symmetric=True)


@pytest.mark.skipif(sys.platform == "win32", reason="timing of threads")
def test_long_products_on_threads_are_those_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).uniform(0.5, 1.5, 40_000)
    matrices = []
    for workers in (1, 3):
        monkeypatch.setattr("hessian.programs.runtime.point.worker_count", lambda workers=workers: workers)
        matrices.append(hs.sparse.hessian(chain)(x))
    assert (matrices[0] != matrices[1]).nnz == 0
