"""The room of linear algebra against SciPy and dense matrices: breakdowns, exact invariance, nothing at all, order one, float32."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from scipy.sparse.linalg import aslinearoperator

from hessian.curvature.products import Products
from hessian.curvature.quadrature import Runs
from hessian.linalg import blocks, dense, limits
from hessian.linalg.cg import ConjugateGradients, run
from hessian.linalg.diagonal import row_norms
from hessian.linalg.lanczos import BlockLanczos, Lanczos
from hessian.linalg.systems import solve_columns
from hessian.linalg.vectors import norm, on_sphere, signs

ROOT = Path(__file__).parents[1] / "hessian"
# Constants of compiled programs are measured on caches, not on problems.
MODULES = [
    path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in ("programs", "tape", "rules")
]


def symmetric(n: int, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    """A random symmetric matrix."""
    matrix = np.random.default_rng(seed).standard_normal((n, n))
    return (0.5 * (matrix + matrix.T)).astype(dtype)


# Limits.


def limits_of(path: Path) -> list[str]:
    """Names of a module that sound like a limit of size, and comparisons of a size with a number."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        name = target.id if isinstance(target, ast.Name) else ""
        is_number = name and isinstance(getattr(node, "value", None), ast.Constant | ast.BinOp)
        if is_number and re.search(r"DENSE|ORDER|NUMBERS|ELEMENTS|[^D]_LIMIT", name):
            found.append(f"{path.name} defines {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            is_size = any(re.search(r"\b(n|size|order)$|shape\[|\blen\(", ast.unparse(side)) for side in sides)
            if is_size and any(
                isinstance(side, ast.Constant) and type(side.value) is int and side.value >= 16 for side in sides
            ):
                found.append(f"{path.name}:{node.lineno} compares {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_limits_of_size_stand_in_one_table(path: Path) -> None:
    if path != ROOT / "linalg" / "limits.py":
        assert limits_of(path) == []


def test_the_test_sees_a_limit(tmp_path: Path) -> None:
    module = tmp_path / "bad.py"
    module.write_text("_DENSE_ORDER = 500\ndef f(H):\n    return H.shape[0] <= 600 or len(H) > 64\n")
    assert len(limits_of(module)) == 3


def test_every_limit_is_used_and_says_why() -> None:
    text = (ROOT / "linalg" / "limits.py").read_text(encoding="utf-8")
    names = re.findall(r'^([A-Z_]+) = [^\n]+\n"""', text, re.M)
    assert names == re.findall(r"^([A-Z_]+) =", text, re.M)
    everything = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    for name in names:
        assert len(re.findall(rf"\b{name}\b", everything)) > 1, name


def test_blocks_hold_one_vector_at_least() -> None:
    assert limits.block_columns(0) == limits.BLOCK_NUMBERS
    assert limits.block_columns(10 * limits.BLOCK_NUMBERS) == 1
    assert limits.basis_rows(limits.BASIS_NUMBERS, 5) == 5
    assert limits.basis_rows(1, 5) == limits.BASIS_NUMBERS


# Vectors.


@pytest.mark.filterwarnings(
    "ignore:Calling norm with arguments:DeprecationWarning"
)  # of long doubles, from SciPy 1.18 on
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_the_norm_is_scipys(dtype: type) -> None:
    vector = np.random.default_rng(0).standard_normal(101).astype(dtype)
    assert norm(vector) == pytest.approx(float(scipy.linalg.norm(vector)), rel=4 * float(np.finfo(dtype).eps))
    assert norm(vector[::3]) == pytest.approx(float(np.linalg.norm(vector[::3])), rel=1e-6)
    assert norm(vector[::-1]) == pytest.approx(norm(vector), rel=1e-6)


def test_the_norm_neither_overflows_nor_underflows() -> None:
    assert norm(np.array([3e200, 4e200])) == pytest.approx(5e200)
    assert norm(np.array([3e-200, 4e-200])) == pytest.approx(5e-200)
    assert norm(np.array([3e30, 4e30], np.float32)) == pytest.approx(5e30)
    assert norm(np.zeros(3)) == norm(np.zeros(0)) == 0.0
    assert math.isnan(norm(np.array([1.0, np.nan])))
    assert norm(np.array([1.0, np.inf])) == math.inf
    long = np.random.default_rng(0).standard_normal(5000)
    for scale in (1e-300, 1e-150, 1.0, 1e150, 1e300):
        assert norm(scale * long) / scale == pytest.approx(math.sqrt(math.fsum(long**2)), rel=1e-14)
        assert norm(scale * long[::2]) / scale == pytest.approx(math.sqrt(math.fsum(long[::2] ** 2)), rel=1e-14)
    assert norm(np.zeros(5000)) == 0.0
    assert norm(np.full(5000, np.inf)) == math.inf
    assert math.isnan(norm(np.full(5000, np.nan)))


def test_random_vectors() -> None:
    drawn = signs(np.random.default_rng(1), 7, 3, np.dtype(np.float32))
    assert drawn.shape == (7, 3)
    assert drawn.dtype == np.float32
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    drawn = on_sphere(np.random.default_rng(1), 7, 3, np.dtype(np.float64))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=0), math.sqrt(7.0), rtol=1e-14)


# Blocks of unit directions.


@pytest.mark.parametrize(("n", "length"), [(1, 1), (5, 1), (5, 2), (5, 5), (5, 9)])
def test_unit_rows_are_those_of_the_identity(n: int, length: int) -> None:
    parts = list(blocks.unit_rows(n, length, np.dtype(np.float32)))
    assert [start for start, _ in parts] == list(range(0, n, length))
    joined = np.concatenate([block for _, block in parts])
    np.testing.assert_array_equal(joined, np.eye(n, dtype=np.float32))
    assert joined.dtype == np.float32


def test_nothing_has_no_unit_rows() -> None:
    assert list(blocks.unit_rows(0, 3, np.dtype(float))) == []
    assert blocks.matrix(lambda V: V, 0, np.dtype(float)).shape == (0, 0)
    assert blocks.diagonal(lambda V: V, 0, np.dtype(float)).shape == (0,)


@pytest.mark.parametrize("numbers", [1, 14, 10**6])
def test_matrix_and_diagonal_by_products(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BLOCK_NUMBERS", numbers)
    monkeypatch.setattr(limits.block_columns, "__defaults__", (numbers,))
    matrix, widths = np.random.default_rng(0).standard_normal((7, 7)), []

    def product(V: np.ndarray) -> np.ndarray:
        widths.append(V.shape[1])
        return matrix @ V

    np.testing.assert_array_equal(blocks.matrix(product, 7, np.dtype(float)), matrix)
    np.testing.assert_array_equal(blocks.diagonal(product, 7, np.dtype(float)), np.diag(matrix))
    assert sum(widths) == 14
    assert max(widths) == max(1, min(7, numbers // 7))


# Dense symmetric matrices.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_symmetric_part_is_exact_of_what_is_symmetric(dtype: type) -> None:
    matrix = symmetric(6, dtype=dtype)
    kept = dense.symmetrized(matrix)
    assert kept.dtype == np.float64
    assert dense.symmetrized(matrix, dtype).dtype == dtype
    np.testing.assert_array_equal(kept, matrix)
    skew = np.array([[1.0, 3e38], [3e38, 2.0]], np.float32)
    np.testing.assert_array_equal(dense.symmetrized(skew, np.float32), skew)


@pytest.mark.parametrize("which", ["LA", "SA", "LM", "SM", "BE"])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_picked_eigenpairs_are_those_asked_for(which: str, k: int) -> None:
    matrix = symmetric(6, 3)
    values, vectors = dense.eigenpairs(matrix, k, which)
    every = scipy.linalg.eigvalsh(matrix)
    if which in ("LM", "SM"):
        chosen = sorted(every, key=abs, reverse=which == "LM")[:k]
    elif which == "BE":
        chosen = [*every[: k // 2], *every[6 - (k - k // 2) :]]
    else:
        chosen = every[6 - k :] if which == "LA" else every[:k]
    np.testing.assert_allclose(values, np.sort(chosen), atol=1e-14)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-14)


def test_eigenpairs_keep_the_precision_and_a_decomposition_is_double() -> None:
    matrix = symmetric(5, dtype=np.float32)
    assert {part.dtype for part in dense.eigenpairs(matrix, 2, "LA")} == {np.dtype(np.float32)}
    values, vectors = dense.eigh(matrix)
    assert values.dtype == vectors.dtype == np.float64
    np.testing.assert_allclose(vectors * values @ vectors.T, matrix, atol=1e-14)


def test_a_system_of_an_indefinite_matrix_and_one_that_is_singular() -> None:
    matrix, b = symmetric(6, 5), np.arange(6.0)
    np.testing.assert_allclose(matrix @ dense.solve(matrix, b), b, atol=1e-12)
    assert dense.solve(np.array([[4.0]]), np.array([2.0])).tolist() == [0.5]
    with pytest.raises((np.linalg.LinAlgError, scipy.linalg.LinAlgWarning)):
        dense.solve(np.diag([1.0, 0.0]), np.ones(2))
    with pytest.raises((np.linalg.LinAlgError, scipy.linalg.LinAlgWarning)):
        dense.solve(np.diag([1.0, 1e-30]), np.ones(2))


# Norms of rows by random signs.


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_norms_of_rows(scale: float) -> None:
    matrix = symmetric(9, 1)
    images = scale * (matrix @ signs(np.random.default_rng(0), 9, 4000, np.dtype(float)))
    np.testing.assert_allclose(row_norms(images) / scale, np.linalg.norm(matrix, axis=1), rtol=0.05)
    one = np.diag([2.0, 0.0, -3.0]) @ signs(np.random.default_rng(0), 3, 1, np.dtype(float))
    assert row_norms(one).tolist() == [2.0, 0.0, 3.0]


# Systems by products.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("method", ["auto", "minres"])
def test_systems_are_solved_to_the_residual_asked_for(dtype: type, shift: float, method: str) -> None:
    matrix, rtol = symmetric(30, 2, dtype), 1e-4 if dtype == np.float32 else 1e-10
    B = np.random.default_rng(1).standard_normal((30, 2)).astype(dtype)
    found = solve_columns(matrix.__matmul__, B, shift, rtol, method=method, maxiter=200)
    assert found.X.dtype == dtype
    assert found.negative.all()
    for residual, b in zip(found.residuals.T, B.T, strict=True):
        assert norm(residual) <= rtol * norm(b)
    np.testing.assert_allclose(
        B - matrix @ found.X - shift * found.X, found.residuals, atol=100 * np.finfo(dtype).eps * norm(B)
    )


def test_a_system_of_nothing_takes_no_product_and_none_may_be_allowed() -> None:
    def product(v: np.ndarray) -> np.ndarray:
        raise AssertionError("a product was made")

    for method in ("auto", "minres"):
        assert not solve_columns(product, np.zeros((3, 2)), 0.0, 1e-8, method=method, maxiter=9).X.any()
        found = solve_columns(product, np.ones((3, 1)), 0.0, 1e-8, method=method, maxiter=9, left=lambda: 0)
        assert not found.X.any()
        assert found.residuals[:, 0].tolist() == [1.0, 1.0, 1.0]


def test_minres_takes_only_columns_that_conjugate_gradients_do_not_solve() -> None:
    matrix, B = np.diag([1.0, 2.0, -4.0]), np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    columns = []

    def product(V: np.ndarray) -> np.ndarray:
        columns.append(1 if V.ndim == 1 else V.shape[1])
        return np.asarray(matrix @ V)

    found = solve_columns(product, B, 0.0, 1e-10, maxiter=15)
    assert found.negative.tolist() == [False, True]
    np.testing.assert_allclose(matrix @ found.X, B, atol=1e-9)
    # Two in step, then the one that goes on; a residual of both; the rest is MINRES on the other.
    assert columns[:3] == [2, 1, 2]
    assert set(columns[3:]) == {1}
    assert not solve_columns(product, B, 0.0, 1e-10, method="cg", maxiter=15).residuals[:, 0].round(9).any()
    alone = solve_columns(product, B[:, :1], 0.0, 1e-10, maxiter=1)
    np.testing.assert_allclose(alone.X[:, 0], [1.0, 0.5, 0.0], rtol=1e-9)


# Lanczos.


def grown(matrix: np.ndarray, start: np.ndarray, steps: int, **options: Any) -> Lanczos:
    """A process after so many steps, or where it ended."""
    process = Lanczos(start, len(start), **options)
    while process.size < steps and process.is_finite and not process.is_invariant:
        process.absorb(matrix @ process.next)
    return process


def projected(process: Lanczos) -> np.ndarray:
    """T, dense."""
    beside = process.betas[: process.size - 1]
    return np.diag(process.alphas) + np.diag(beside, 1) + np.diag(beside, -1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [1, 2, 7, 25])
def test_lanczos_relation_and_orthogonality(dtype: type, steps: int) -> None:
    # An outlier and a cluster: where orthogonality is lost without care.
    values = np.concatenate([[1e3, -5e2], np.linspace(0.0, 1.0, 38)])
    vectors = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))[0]
    matrix = (vectors * values @ vectors.T).astype(dtype)
    process = grown(matrix, np.random.default_rng(1).standard_normal(40).astype(dtype), steps)
    Q, unit = process.basis.rows, 50 * float(np.finfo(dtype).eps)
    assert Q.dtype == process.next.dtype == dtype
    np.testing.assert_allclose(Q @ Q.T, np.eye(steps), atol=unit)
    np.testing.assert_allclose(Q @ process.next, 0.0, atol=unit)
    left = matrix @ Q.T - Q.T @ projected(process)
    left[:, -1] -= process.betas[-1] * process.next
    np.testing.assert_allclose(left, 0.0, atol=1e3 * unit)
    assert process.asymmetry <= 1e3 * unit


def test_ritz_values_are_those_of_the_projection_and_end_as_the_spectrum() -> None:
    matrix = symmetric(9, 2)
    process = grown(matrix, np.arange(1.0, 10.0), 9)
    assert process.is_invariant
    np.testing.assert_allclose(process.ritz()[0], scipy.linalg.eigvalsh(matrix), atol=1e-12)
    assert process.ritz()[2] == 0.0
    values, vectors, beta = process.ritz(4)
    np.testing.assert_allclose(values, scipy.linalg.eigvalsh(projected(process)[:4, :4]), atol=1e-13)
    assert beta == process.betas[3]
    rows = process.basis.rows[:4]
    for value, s in zip(values, vectors.T, strict=True):
        assert norm(matrix @ (s @ rows) - value * (s @ rows)) == pytest.approx(beta * abs(s[-1]), abs=1e-12)


@pytest.mark.parametrize("steps", [1, 5, limits.RITZ_ORDER, limits.RITZ_ORDER + 1, 60])
def test_one_eigenvalue_of_the_projection(steps: int) -> None:
    process = grown(symmetric(80, 1), np.random.default_rng(0).standard_normal(80), steps)
    values, vectors, _ = process.ritz()
    for position in (0, -1):
        value, vector = process.extreme(position)
        assert value == pytest.approx(values[position], abs=1e-12)
        assert abs(vector @ vectors[:, position]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("matrix", [np.zeros((6, 6)), np.eye(6), np.diag([2.0, 2.0, 2.0, -1.0, -1.0, -1.0])])
def test_an_invariant_space_ends_the_process(matrix: np.ndarray) -> None:
    process = grown(matrix, np.arange(1.0, 7.0), 6)
    distinct = np.unique(np.diag(matrix))
    assert process.is_invariant
    np.testing.assert_allclose(process.ritz()[0], distinct, atol=1e-14)
    assert process.ritz()[2] == 0.0


def test_an_exact_eigenvector_and_a_diagonal_of_zeros_are_seen_to_be_invariant() -> None:
    assert grown(np.diag([1.0, 2.0, 3.0]), np.array([0.0, 5.0, 0.0]), 3).alphas == [2.0]
    # Nothing on the diagonal of T says how large the operator is: what is beside it does.
    swap = np.kron(np.eye(3), np.array([[0.0, 1.0], [1.0, 0.0]])) * 0.7
    process = grown(swap, np.eye(6)[0], 6)
    assert process.size == 2
    np.testing.assert_allclose(process.ritz()[0], [-0.7, 0.7])


def test_order_one() -> None:
    process = grown(np.array([[-3.0]]), np.array([0.5]), 1)
    assert process.is_invariant
    assert (process.alphas, process.size) == ([-3.0], 1)
    assert process.extreme(0)[0] == process.extreme(-1)[0] == -3.0


def test_locked_vectors_are_taken_out_of_the_problem() -> None:
    matrix = symmetric(12, 7) + np.diag([1e6, 0, 0, 0, 0, -1e5, 0, 0, 0, 0, 0, 0])
    values, vectors = scipy.linalg.eigh(matrix)
    ends = [0, 11]
    process = grown(matrix, np.ones(12), 12, locked=np.ascontiguousarray(vectors[:, ends].T))
    assert process.size == 10
    assert process.is_invariant
    np.testing.assert_allclose(process.basis.rows @ vectors[:, ends], 0.0, atol=1e-13)
    np.testing.assert_allclose(process.ritz()[0], values[1:11], atol=1e-8)


def test_beyond_the_orthogonal_vectors_extremes_are_found_all_the_same() -> None:
    matrix = np.diag(np.concatenate([[100.0, -50.0], np.linspace(0.0, 1.0, 298)]))
    start = np.random.default_rng(0).standard_normal(300)
    process = grown(matrix, start, 80, orthogonal=8)
    lost = np.max(np.abs(process.basis.rows @ process.basis.rows.T - np.eye(80)))
    assert lost > 1e-8
    np.testing.assert_allclose([process.extreme(0)[0], process.extreme(-1)[0]], [-50.0, 100.0], rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_product_that_is_not_finite_is_left_out(bad: float) -> None:
    matrix = symmetric(6, 1)
    process = grown(matrix, np.ones(6), 3)
    before = process.ritz()[0]
    process.absorb(bad * (matrix @ process.next))
    assert not process.is_finite
    assert (process.size, len(process.alphas), len(process.betas)) == (3, 3, 3)
    np.testing.assert_array_equal(process.ritz()[0], before)


def test_numbers_near_the_end_of_the_range_are_finite() -> None:
    process = Lanczos(np.ones(4), 4)
    process.absorb(np.full(4, 8e307))
    assert process.is_finite
    assert process.alphas == [1.6e308]


@pytest.mark.parametrize("start", [np.zeros(3), np.full(3, np.nan)])
def test_a_start_without_a_direction_is_refused(start: np.ndarray) -> None:
    with pytest.raises(ValueError, match="needs a start off the locked vectors"):
        Lanczos(start, 3)


def test_what_is_not_symmetric_is_measured() -> None:
    matrix = np.triu(np.ones((6, 6)))
    process = Lanczos(np.arange(1.0, 7.0), 6)
    process.absorb(matrix @ process.next)
    assert process.asymmetry == 0.0
    process.absorb(matrix @ process.next)
    assert process.asymmetry > 0.1


def blocks_grown(matrix: np.ndarray, block: int, capacity: int, seed: int = 0) -> BlockLanczos:
    """A block process that has filled its basis, or all of the space."""
    space = BlockLanczos(len(matrix), capacity, matrix.dtype, np.random.default_rng(seed))
    space.begin(block)
    while not (space.is_whole or space.is_full):
        space.absorb(space.pending @ matrix, norm(matrix.ravel()))
    return space


@pytest.mark.parametrize("block", [1, 2, 5])
@pytest.mark.parametrize("name", ["random", "zero", "identity", "cluster"])
def test_blocks_end_with_the_whole_spectrum(block: int, name: str) -> None:
    cluster = np.diag([1.0, 1.0, 1.0, 1.0 + 1e-13, -2.0, -2.0, 5.0, 0.0, 0.0])
    matrix = {"random": symmetric(9), "zero": np.zeros((9, 9)), "identity": np.eye(9), "cluster": cluster}[name]
    space = blocks_grown(matrix, block, 9)
    values, S, residuals = space.ritz()
    vectors = space.lift(S)
    assert space.is_whole
    np.testing.assert_allclose(values, scipy.linalg.eigvalsh(matrix), atol=1e-13)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(9), atol=1e-13)
    assert residuals.max() < 1e-12
    assert space.asymmetry < 1e-13


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("lock", [False, True])
def test_residuals_hold_after_a_restart(block: int, lock: bool) -> None:
    matrix = symmetric(60, 3)
    space = blocks_grown(matrix, block, 20)
    for _ in range(4):
        values, S, _ = space.ritz()
        space.keep(values[-5:], S[:, -5:], lock=lock)
        if lock:
            space.begin(block)
        for _ in range(3):
            space.absorb(space.pending @ matrix, norm(matrix.ravel()))
    values, S, residuals = space.ritz()
    vectors = space.lift(S)
    true = np.linalg.norm(vectors @ matrix - values[:, None] * vectors, axis=1)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=1e-12)
    assert np.all(true <= residuals * (1.0 + 1e-9) + 1e-12)
    if not lock:
        np.testing.assert_allclose(true, residuals, rtol=1e-6, atol=1e-12)


def test_a_block_of_one_is_the_process_from_a_vector() -> None:
    matrix = symmetric(15, 5)
    space = BlockLanczos(15, 6, matrix.dtype, np.random.default_rng(0))
    space.begin(1)
    process = grown(matrix, space.pending[0].copy(), 6)
    while not space.is_full:
        space.absorb(space.pending @ matrix, norm(matrix.ravel()))
    np.testing.assert_allclose(space.ritz()[0], process.ritz()[0], atol=1e-13)


def test_blocks_measure_what_is_not_symmetric() -> None:
    space = BlockLanczos(8, 8, np.dtype(float), np.random.default_rng(0))
    space.begin(2)
    space.absorb(space.pending @ np.triu(np.ones((8, 8))), 8.0)
    assert space.asymmetry > 0.1


def test_images_that_lie_in_the_basis_leave_what_is_orthogonal_to_it() -> None:
    # Of images that symmetry does not foretell, nearly all in the basis: what a single run takes away leaves its rounding.
    space = BlockLanczos(40, 12, np.dtype(float), np.random.default_rng(0))
    fresh = np.random.default_rng(1).standard_normal((8, 40))
    space.begin(1)
    for row in fresh:
        basis = space.lift(np.eye(space.size)) if space.size else np.zeros((0, 40))
        space.absorb(1e9 * basis.sum(axis=0, keepdims=True) + row, 1.0)
    basis = np.concatenate([space.lift(np.eye(space.size)), space.pending])
    np.testing.assert_allclose(basis @ basis.T, np.eye(9), atol=1e-14)


def test_processes_in_step_that_have_all_ended_spend_nothing() -> None:
    products = Products(aslinearoperator(np.diag([1.0, 2.0, 2.0, 2.0, 2.0])), "test")
    runs = Runs(products, 2, np.random.default_rng(0))
    for _ in range(4):
        runs.grow()
    assert (runs.steps, runs.is_complete, products.count) == (4, True, 4)
    assert runs.quadrature().nodes.shape == (2, 4)
    np.testing.assert_allclose(runs.quadrature().weights.sum(axis=1), 1.0)
    np.testing.assert_allclose(runs.lowest(), [[1.0, 1.0], [0.0, 0.0]], atol=1e-12)


# Conjugate gradients.


def never(cg: ConjugateGradients) -> None:
    """A hook that stops nothing."""


def until(norm_of_residual: float) -> Any:
    """A hook that stops at a residual."""
    return lambda cg: "small" if norm(cg.residual) <= norm_of_residual else None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_preconditioned", [False, True])
def test_cg_solves_a_system_in_no_more_steps_than_eigenvalues(dtype: type, is_preconditioned: bool) -> None:
    values = np.repeat([1.0, 2.0, 5.0, 9.0], 5)
    vectors = np.linalg.qr(np.random.default_rng(0).standard_normal((20, 20)))[0]
    matrix, g = (vectors * values @ vectors.T).astype(dtype), np.arange(1.0, 21.0).astype(dtype)
    precondition = (lambda v: v / np.diag(matrix)) if is_preconditioned else None
    cg = ConjugateGradients(g, precondition=precondition)
    eps = float(np.finfo(dtype).eps)
    assert run(cg, matrix.__matmul__, 60, never, until(1e3 * eps * norm(g))) == "small"
    assert cg.iterate.dtype == cg.residual.dtype == cg.direction.dtype == dtype
    np.testing.assert_allclose(cg.iterate, -np.linalg.solve(matrix.astype(float), g), atol=1e5 * eps)
    assert cg.products == 4 or is_preconditioned


def test_the_books_of_cg_are_true() -> None:
    matrix, g = symmetric(8, 1) + 8.0 * np.eye(8), np.arange(1.0, 9.0)
    weights = np.linspace(1.0, 3.0, 8)
    cg = ConjugateGradients(g + matrix @ np.ones(8), np.ones(8), lambda v: v / weights)
    directions, model = [], lambda s: g @ s + 0.5 * s @ matrix @ s
    for k in range(6):
        assert cg.slope == pytest.approx(-cg.residual @ cg.direction, rel=1e-9)
        assert cg.slope == pytest.approx(cg.residual @ (cg.residual / weights), rel=1e-9)
        cg.absorb(matrix @ cg.direction)
        directions.append(cg.direction)
        before, length = cg.iterate, cg.slope / cg.curvature
        cg.advance()
        assert cg.origin is before
        assert cg.products == k + 1
        np.testing.assert_allclose(cg.iterate, before + length * directions[-1])
        np.testing.assert_allclose(cg.residual, g + matrix @ cg.iterate, atol=1e-12)
        for shift in (-1e-3, 1e-3):
            assert model(cg.iterate) <= model(cg.iterate + shift * cg.direction)
        cg.turn()
        gram = np.array(directions) @ matrix @ cg.direction
        np.testing.assert_allclose(gram, 0.0, atol=1e-9 * norm(cg.direction))


def test_cg_stops_where_a_hook_says_so_and_where_products_are_spent() -> None:
    matrix, g = symmetric(12, 3) + 20.0 * np.eye(12), np.ones(12)
    cg = ConjugateGradients(g)
    assert run(cg, matrix.__matmul__, 3, never, never) == "limit"
    assert cg.products == 3
    # The next direction is there: more products go on from it.
    assert run(cg, matrix.__matmul__, 20, never, until(1e-10)) == "small"
    np.testing.assert_allclose(matrix @ cg.iterate, -g, atol=1e-9)
    seen = []
    cg = ConjugateGradients(g)
    assert run(cg, matrix.__matmul__, 9, lambda cg: seen.append(cg.products) or "turned back", never) == "turned back"
    assert seen == [1]
    assert not cg.iterate.any()


def test_cg_of_nothing_takes_no_product() -> None:
    cg = ConjugateGradients(np.zeros(4))
    assert run(cg, lambda v: 1 / 0, 9, never, never) == "solved"
    assert cg.products == 0
    assert not cg.iterate.any()
    assert run(ConjugateGradients(1e-9 * np.ones(4)), lambda v: 1 / 0, 9, never, never, floor=1e-16) == "solved"


def test_cg_of_order_one_and_of_the_zero_operator() -> None:
    cg = ConjugateGradients(np.array([6.0]))
    assert run(cg, lambda v: 3.0 * v, 9, never, never) == "solved"
    assert (cg.iterate.tolist(), cg.products) == ([-2.0], 1)
    down = lambda cg: None if cg.curvature > 0.0 else "no curvature"
    for factor in (0.0, -1.0, math.nan):
        cg = ConjugateGradients(np.ones(3))
        assert run(cg, lambda v, factor=factor: factor * v, 9, down, never) == "no curvature"
        assert not cg.iterate.any()


def test_a_preconditioner_that_is_not_definite_shows_in_the_slope() -> None:
    cg = ConjugateGradients(np.ones(3), precondition=lambda v: -v)
    assert cg.slope < 0.0
    assert run(cg, lambda v: v, 9, never, never) == "solved"
    # A residual that is not a number is nothing of the kind.
    cg = ConjugateGradients(np.array([1.0, math.nan]))
    assert run(cg, lambda v: v, 9, lambda cg: None if cg.curvature > 0.0 else "broken", never) == "broken"


def test_cg_writes_to_nothing_it_was_given() -> None:
    g, start = np.ones(4), np.arange(4.0)
    for array in (g, start):
        array.flags.writeable = False
    cg = ConjugateGradients(g, start)
    run(cg, lambda v: 2.0 * v, 1, never, never)
    assert not np.shares_memory(cg.iterate, start)
