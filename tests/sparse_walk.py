"""What a sparse Hessian must hold at any point of any function, for several tests: soundness, values, tightness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from differential.check import _matrix
from differential.programs import Program

import hessian as hs
from hessian.errors import StaleRecordingError
from hessian.tape.trees import flatten

#: Of the largest entry: what is below is rounding, not an entry.
ROUNDING = 1e-12
LARGEST = 1e8


def compare(hess: Any, x: Any, dense: np.ndarray, args: tuple[Any, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Compare with the dense matrix; return where the pattern has entries, and where the matrix has."""
    pattern = hess.pattern(x, *args)
    inside = pattern.matrix.toarray()
    scale = np.abs(dense).max(initial=0.0)
    true = np.abs(dense) > ROUNDING * scale
    assert not (true & ~inside).any(), f"entries outside of the pattern at {np.argwhere(true & ~inside)[:3].tolist()}"
    for _ in range(2):
        found = hess(x, *args)
        assert found.format == "csc"
        assert found.has_sorted_indices
        assert np.array_equal((found != 0).toarray() & ~inside, np.zeros_like(inside))
        np.testing.assert_allclose(found.toarray(), dense, rtol=0, atol=ROUNDING * scale)
        assert np.array_equal(found.toarray(), found.toarray().T)
    assert pattern.n_colors <= dense.shape[1]
    return inside, true


def holds(f: Callable[..., Any], points: list[Any], args: tuple[Any, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Compare a function's sparse Hessian with the dense one at points; return the pattern and the union of what is not zero."""
    hess, whole = hs.sparse.hessian(f), None
    for x in points:
        n = np.size(x)
        dense = np.reshape(hs.hessian(f)(x, *args), (n, n))
        if not np.isfinite(dense).all() or np.abs(dense).max(initial=0.0) > LARGEST:
            continue
        inside, true = compare(hess, x, dense, args)
        whole = (inside, true) if whole is None else (whole[0] | inside, whole[1] | true)
    return whole if whole is not None else (np.zeros((0, 0), bool), np.zeros((0, 0), bool))


def leaf_order(program: Program) -> np.ndarray:
    """Return which number of a program's vector stands where in the library's order of containers."""
    numbers = flatten(program.pack(np.arange(len(program.draw(0)), dtype=float)))[0]
    return np.concatenate([np.ravel(part) for part in numbers]).astype(int)


def program_holds(seed: int, points: int = 3) -> tuple[np.ndarray, np.ndarray] | None:
    """Compare a random program's; ``None`` for one that NumPy or the library refuses or whose numbers are no comparison."""
    program = Program.of(seed)
    f, whole = program.function(True), None
    hess = hs.sparse.hessian(f)
    order = leaf_order(program)
    for which in range(points):
        x = program.draw(which)
        try:
            dense = _matrix(program, hs.hessian(f)(program.pack(x)))[np.ix_(order, order)]
        except Exception:
            continue
        if not np.isfinite(dense).all() or np.abs(dense).max(initial=0.0) > LARGEST:
            continue
        try:
            inside, true = compare(hess, program.pack(x), dense)
        except StaleRecordingError:
            return None  # it asks for the type of its arguments, which a recording cannot see
        whole = (inside, true) if whole is None else (whole[0] | inside, whole[1] | true)
    return whole
