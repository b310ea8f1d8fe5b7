"""The room of linear algebra against SciPy and dense matrices: breakdowns, exact invariance, nothing at all, order one, float32."""

from __future__ import annotations

import ast
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg

from hessian.linalg import blocks, dense, limits
from hessian.linalg.diagonal import RunningDiagonal, row_norms
from hessian.linalg.minres import refined_minres
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
        is_number = name and isinstance(node.value, ast.Constant | ast.BinOp)
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


# Diagonals by random signs.


def test_a_running_diagonal_is_exact_where_the_matrix_is_diagonal() -> None:
    d = np.array([1.0, 5.0, 0.25])
    running = RunningDiagonal(3, d.dtype, np.random.default_rng(0))
    assert running.value.tolist() == [0.0, 0.0, 0.0]
    running.probe(lambda v: d * v)
    np.testing.assert_allclose(running.value, d, rtol=1e-15)
    running.probe(lambda v: np.nan * v)
    np.testing.assert_allclose(running.value, d, rtol=1e-15)


def test_a_running_diagonal_is_right_on_average_and_goes_on_where_it_was() -> None:
    matrix = symmetric(8, 4)
    running, other = (RunningDiagonal(8, np.dtype(float), np.random.default_rng(seed)) for seed in (0, 9))
    seen = []
    for _ in range(400):
        running.probe(matrix.__matmul__)
        seen.append(running.value)
    np.testing.assert_allclose(np.mean(seen, axis=0), np.diag(matrix), atol=0.5)
    other.restore(running.state())
    for one in (running, other):
        one.probe(matrix.__matmul__)
    np.testing.assert_array_equal(running.value, other.value)
    assert RunningDiagonal(2, np.dtype(np.float32), np.random.default_rng(0)).value.dtype == np.float32


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_norms_of_rows(scale: float) -> None:
    matrix = symmetric(9, 1)
    images = scale * (matrix @ signs(np.random.default_rng(0), 9, 4000, np.dtype(float)))
    np.testing.assert_allclose(row_norms(images) / scale, np.linalg.norm(matrix, axis=1), rtol=0.05)
    one = np.diag([2.0, 0.0, -3.0]) @ signs(np.random.default_rng(0), 3, 1, np.dtype(float))
    assert row_norms(one).tolist() == [2.0, 0.0, 3.0]


# MINRES.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_minres_reaches_the_residual_asked_for(dtype: type, shift: float) -> None:
    matrix, rtol = symmetric(30, 2, dtype), 1e-4 if dtype == np.float32 else 1e-10
    b = np.random.default_rng(1).standard_normal(30).astype(dtype)
    x, left = refined_minres(matrix.__matmul__, b, np.zeros_like(b), shift, rtol, lambda: 200)
    assert x.dtype == dtype
    assert left <= rtol * norm(b)
    assert norm(matrix @ x + shift * x - b) == pytest.approx(left, rel=0.1, abs=1e-12)


def test_minres_of_nothing_takes_no_product_and_none_is_allowed() -> None:
    def product(v: np.ndarray) -> np.ndarray:
        raise AssertionError("a product was made")

    x, left = refined_minres(product, np.zeros(3), np.zeros(3), 0.0, 1e-8, lambda: 9)
    assert not x.any()
    assert left == 0.0
    x, left = refined_minres(product, np.ones(3), np.zeros(3), 0.0, 1e-8, lambda: 0)
    assert not x.any()
    assert left == pytest.approx(math.sqrt(3.0))


def test_minres_goes_on_from_where_it_is() -> None:
    matrix, b = np.diag([1.0, -2.0, 4.0]), np.ones(3)
    count = itertools.count()

    def product(v: np.ndarray) -> np.ndarray:
        next(count)
        return np.asarray(matrix @ v)

    x, left = refined_minres(product, b, np.array([1.0, -0.5, 0.25]), 0.0, 1e-8, lambda: 9)
    assert x.tolist() == [1.0, -0.5, 0.25]
    assert left == 0.0
    assert next(count) == 1
