"""Colorings: what theory says of known patterns, that every entry can be read, and products counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.csgraph
from hypothesis import given, settings
from hypothesis import strategies as st

import hessian as hs
from hessian.sparse.acyclic import Substitution, acyclic_coloring
from hessian.sparse.coloring import ORDERS, is_star, readable, rows_of, star_coloring
from hessian.sparse.columns import are_apart, jacobian_coloring
from hessian.sparse.decompress import Structure


def as_pattern(matrix: Any) -> scipy.sparse.csr_array:
    """Return a matrix as a pattern."""
    found = scipy.sparse.csr_array(matrix != 0)
    found.sum_duplicates()
    return found


def band(n: int, half_width: int) -> scipy.sparse.csr_array:
    offsets = range(-half_width, half_width + 1)
    return as_pattern(scipy.sparse.diags_array([np.ones(n - abs(k)) for k in offsets], offsets=list(offsets)))


def arrow(n: int) -> scipy.sparse.csr_array:
    matrix = scipy.sparse.eye_array(n, format="lil")
    matrix[0, :] = 1
    matrix[:, 0] = 1
    return as_pattern(matrix)


def grid(m: int, points: int) -> scipy.sparse.csr_array:
    line, one = band(m, 1).astype(float), scipy.sparse.eye_array(m)
    whole = (
        scipy.sparse.kron(line, line) if points == 9 else scipy.sparse.kron(line, one) + scipy.sparse.kron(one, line)
    )
    return as_pattern(scipy.sparse.csr_array(whole))


def by_definition(matrix: np.ndarray, colors: np.ndarray) -> bool:
    """Whether every entry or its mirror image is alone in its row with its color, said with loops."""
    n = len(matrix)

    def alone(i: int, j: int) -> bool:
        return colors[j] >= 0 and [k for k in range(n) if matrix[i, k] and colors[k] == colors[j]] == [j]

    return all(alone(i, j) or alone(j, i) for i in range(n) for j in range(n) if matrix[i, j])


ORDERED = [*ORDERS, "auto", "rounds"]


@pytest.mark.parametrize("order", ORDERED)
def test_what_theory_says(order: str) -> None:
    more = 4 if order == "rounds" else 0  # rounds draw colors for distance two, many at a time
    for n in (4, 7, 100, 1001):
        assert star_coloring(band(n, 0), order).n_colors <= 1 + more
        assert star_coloring(band(n, 1), order).n_colors <= 3 + more
        assert star_coloring(arrow(n), order).n_colors <= 2 + more
    for half_width in (2, 3, 5):
        found = star_coloring(band(200, half_width), order).n_colors
        assert half_width + 1 <= found <= (2 if order == "rounds" else 1) * (2 * half_width + 1)
    blocks = as_pattern(scipy.sparse.kron(scipy.sparse.eye_array(30), np.ones((4, 4)), format="csr"))
    assert 4 <= star_coloring(blocks, order).n_colors <= 4 + more


@pytest.mark.parametrize("order", ORDERED)
def test_every_entry_can_be_read(order: str) -> None:
    for pattern in (band(60, 2), arrow(40), grid(9, 5), grid(9, 9), as_pattern(np.zeros((3, 3)))):
        coloring = star_coloring(pattern, order)
        assert is_star(pattern, coloring.colors)
        assert by_definition(pattern.toarray(), coloring.colors)
        assert coloring.n_colors == coloring.colors.max(initial=-1) + 1


def test_grids_take_the_fewest_colors_there_are() -> None:
    # Five is the star chromatic number of large grids (Fertin, Raspaud, Reed, 2004).
    for m in (12, 40, 224):
        assert star_coloring(grid(m, 5)).n_colors == 5
        assert star_coloring(grid(m, 9)).n_colors == 9


def test_grids_take_no_more_colors_than_asdex() -> None:
    asdex = pytest.importorskip("asdex")
    for m in (12, 40):
        for points in (5, 9):
            pattern = grid(m, points)
            theirs = asdex.color_symmetric(_for_asdex(asdex, pattern))
            count = getattr(theirs, "num_colors", None)
            count = (
                int(np.max(theirs[0] if isinstance(theirs, tuple) else theirs.colors)) + 1 if count is None else count
            )
            assert star_coloring(pattern).n_colors <= count


def _for_asdex(asdex: Any, pattern: scipy.sparse.csr_array) -> Any:
    """Return a pattern as asdex has it."""
    rows = rows_of(pattern)
    return asdex.SparsityPattern.from_coo(rows.tolist(), pattern.indices.tolist(), pattern.shape)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 14), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1), st.sampled_from(ORDERED), st.booleans())
def test_random_symmetric_patterns(n: int, density: float, seed: int, order: str, diagonal: bool) -> None:
    rng = np.random.default_rng(seed)
    half = np.triu(rng.random((n, n)) < density, 1)
    matrix = half | half.T | np.diag(rng.random(n) < (1.0 if diagonal else density))
    pattern = as_pattern(matrix)
    coloring = star_coloring(pattern, order)
    assert by_definition(matrix, coloring.colors)
    numbers = rng.standard_normal((n, n)) * matrix
    numbers = numbers + numbers.T
    structure = Structure(hs.sparse.SparsityPattern(pattern, symmetric=True))
    pushed, pulled = structure.seeds(float)
    np.testing.assert_allclose(structure.matrix(pushed @ numbers, pulled).toarray(), numbers, rtol=1e-14)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.floats(0.0, 1.0),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["auto", "columns", "rows", "both"]),
)
def test_random_jacobians(m: int, n: int, density: float, seed: int, side: str) -> None:
    rng = np.random.default_rng(seed)
    matrix = (rng.random((m, n)) < density) * rng.standard_normal((m, n))
    pattern = hs.sparse.SparsityPattern(matrix, symmetric=False)
    pattern.__dict__["sides"] = jacobian_coloring(pattern.matrix, side)
    structure = Structure(pattern)
    pushed, pulled = structure.seeds(float)
    np.testing.assert_allclose(structure.matrix(pushed @ matrix.T, pulled @ matrix).toarray(), matrix, rtol=1e-14)
    assert len(pushed) + len(pulled) == pattern.n_colors
    if side == "auto":
        assert pattern.n_colors <= min(m, n)


def test_two_sides_beat_one_where_a_row_and_a_column_are_full() -> None:
    pattern = hs.sparse.SparsityPattern(arrow(30), symmetric=False)
    # One column and the rest by rows, but for the corner.
    assert pattern.n_colors <= 3
    assert len(pattern.colors) == 60
    assert jacobian_coloring(pattern.matrix, "columns").n_colors == 30


def test_banded_jacobians_take_as_many_columns_as_a_row_has_entries() -> None:
    coloring = jacobian_coloring(band(1000, 2))
    assert coloring.n_colors == 5
    assert are_apart(band(1000, 2), coloring.columns.colors)
    tall = as_pattern(scipy.sparse.vstack([band(300, 1)] * 3, format="csr"))
    assert jacobian_coloring(tall).n_colors == 3
    wide = as_pattern(scipy.sparse.hstack([band(300, 1)] * 3, format="csr"))
    assert jacobian_coloring(wide).n_colors == 3
    assert jacobian_coloring(wide).columns.n_colors == 0
    assert np.array_equal(hs.sparse.SparsityPattern(wide, symmetric=False).colors, jacobian_coloring(wide).rows.colors)


def test_neutral_colors_are_dropped() -> None:
    # The spokes of a star without a diagonal are read off the product with the center alone.
    star = arrow(20).toarray()
    star[np.diag_indices(20)] = False
    assert star_coloring(as_pattern(star)).n_colors == 1


def test_dense_patterns_take_one_each_and_nothing_else() -> None:
    coloring = star_coloring(as_pattern(np.ones((100, 100))))
    assert coloring.n_colors == 100
    assert coloring.method == "one each"


def test_reading_sees_what_cannot_be_read() -> None:
    path = band(4, 1)
    assert not is_star(path, np.array([0, 1, 0, 1]))
    assert not is_star(path, np.array([0, 0, 1, 2]))
    assert is_star(path, np.array([0, 1, 2, 0]))
    assert readable(path, np.array([0, 1, 2, 0])).all()
    # As many colors as make tables of them too large are counted by sorting.
    many = band(3000, 1)
    assert readable(many, np.arange(3000)).all()


def test_a_hessian_takes_as_many_products_as_it_has_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    from hessian.transforms.point import FunctionAtPoint

    # Where a program of the entries is not to be had.
    monkeypatch.setattr("hessian.sparse.functions.entries_at", lambda *_: None)
    counts: list[int] = []
    rows = FunctionAtPoint.rows
    monkeypatch.setattr(
        FunctionAtPoint, "rows", lambda self, V, *a, **k: counts.append(len(V)) or rows(self, V, *a, **k)
    )
    calls: list[int] = []

    def f(x: Any) -> Any:
        calls.append(1)
        return np.sum((x[1:] - x[:-1] ** 2) ** 2)

    hess = hs.sparse.hessian(hs.record(f, verify="never"))
    for scale in (1.0, 2.0, 3.0):
        hess(scale * np.linspace(0.5, 1.5, 500))
    assert counts == [3, 3, 3]
    assert len(calls) == 2  # recorded, and its pattern looked for


def has_forests(matrix: np.ndarray, colors: np.ndarray) -> bool:
    """Whether neighbors differ and no two colors hold a cycle: as many edges as variables less trees."""
    n = len(matrix)
    off = matrix & ~np.eye(n, dtype=bool)
    for a in range(colors.max() + 1):
        for b in range(a):
            chosen = (colors == a) | (colors == b)
            part = off[np.ix_(chosen, chosen)]
            trees = scipy.sparse.csgraph.connected_components(scipy.sparse.csr_array(part), directed=False)[0]
            if np.count_nonzero(np.triu(part)) != chosen.sum() - trees:
                return False
    return not any(off[np.ix_(colors == a, colors == a)].any() for a in range(colors.max() + 1))


@pytest.mark.parametrize("order", ["auto", *ORDERS])
def test_acyclic_colorings_take_fewer(order: str) -> None:
    assert acyclic_coloring(band(200, 0), order).n_colors == 1
    assert acyclic_coloring(band(200, 1), order).n_colors == 2
    assert acyclic_coloring(arrow(100), order).n_colors == 2
    for half_width in (2, 3):
        assert acyclic_coloring(band(100, half_width), order).n_colors <= star_coloring(band(100, half_width)).n_colors
    assert acyclic_coloring(grid(20, 9), order).n_colors < 9
    assert acyclic_coloring(as_pattern(np.zeros((3, 3))), order).n_colors == 0


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 12), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1), st.sampled_from(["auto", *ORDERS]))
def test_entries_are_solved_for(n: int, density: float, seed: int, order: str) -> None:
    rng = np.random.default_rng(seed)
    half = np.triu(rng.random((n, n)) < density, 1)
    matrix = half | half.T | np.eye(n, dtype=bool)
    coloring = acyclic_coloring(as_pattern(matrix), order)
    assert has_forests(matrix, coloring.colors)
    numbers = rng.standard_normal((n, n)) * matrix
    numbers = numbers + numbers.T
    pattern = hs.sparse.SparsityPattern(matrix, symmetric=True, substitution=True)
    structure = Structure(pattern)
    pushed, pulled = structure.seeds(float)
    products = pushed @ numbers
    found = structure.matrix(products, pulled).toarray()
    bound = (pattern.error_growth + n) * 2.0**-52 * np.abs(products).max(initial=0.0)
    assert np.abs(found - numbers).max(initial=0.0) <= 2 * bound
    assert np.array_equal(found, found.T)


def test_the_bound_of_substitution_counts_what_is_added_up() -> None:
    # A path is solved for from both ends, half of it from each.
    pattern = hs.sparse.SparsityPattern(band(101, 1), symmetric=True, substitution=True)
    assert pattern.error_growth == 50
    assert hs.sparse.SparsityPattern(band(101, 1), symmetric=True).error_growth == 1
    errors = np.ones((2, 101))
    solution = Substitution(pattern.matrix, pattern.colors)
    alternating = np.where(np.arange(101) % 2, -1.0, 1.0) * np.array([[1.0], [-1.0]])
    assert np.abs(solution.entries(errors)).max() <= 50
    assert np.abs(solution.entries(alternating)).max() <= 50


def test_substitution_on_request() -> None:
    f = lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2)
    x = np.linspace(0.5, 1.5, 300)
    hess = hs.sparse.hessian(f, substitution=True)
    assert hess.pattern(x).n_colors == 2
    dense = hs.hessian(f)(x)
    for _ in range(2):
        np.testing.assert_allclose(hess(x).toarray(), dense, rtol=0, atol=1e-12 * abs(dense).max())
    recorded = hs.record(f)
    assert hs.sparse.hessian(recorded).pattern(x).n_colors == 3
    assert hs.sparse.hessian(recorded, substitution=True).pattern(x).n_colors == 2
    with pytest.raises(hs.errors.OptionError, match="Jacobian"):
        hs.sparse.SparsityPattern(np.ones((2, 2)), symmetric=False, substitution=True)
