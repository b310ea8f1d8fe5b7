"""Sparse Hessians and Jacobians of functions whose data change from call to call, against dense ones."""

from __future__ import annotations

import numpy as np
import pytest
from sparse_programs import data, function, points
from sparse_walk import LARGEST

import hessian as hs


def holds(seed: int) -> int:
    """Compare all that gives a sparse Hessian at points with data; return at how many."""
    f, compared = function(seed), 0
    hess, solved = hs.sparse.hessian(f), hs.sparse.hessian(f, substitution=True)
    split, jacobian = hs.sparse.split_hessian(f, widest=1 + seed % 5), hs.sparse.jacobian(hs.grad(f))
    for which, x in enumerate(points(seed)):
        d = data(seed, which)
        with np.errstate(all="ignore"):
            dense = hs.hessian(f)(x, d)
        size = float(np.abs(dense).max(initial=0.0))
        if not size < LARGEST:
            continue
        inside, found = hess.pattern(x, d).matrix.toarray(), hess(x, d)
        assert not ((np.abs(dense) > 1e-11 * size) & ~inside).any()
        assert np.array_equal(found.toarray(), found.toarray().T)
        operator = hs.HessianOperator(f, x, d)
        for matrix, tolerance in (
            (found, 1e-11),
            (operator.to_sparse(), 1e-11),
            (solved(x, d), 1e-9),
            (jacobian(x, d), 1e-11),
        ):
            np.testing.assert_allclose(matrix.toarray(), dense, rtol=0, atol=tolerance * size)
        np.testing.assert_allclose(split(x, d).to_dense(), dense, rtol=0, atol=1e-8 * size)
        compared += 1
    return compared


@pytest.mark.parametrize("seed", range(6))
def test_a_few_functions_with_data(seed: int) -> None:
    assert holds(seed)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_many_functions_with_data(part: int) -> None:
    assert sum(holds(seed) for seed in range(12 + 50 * part, 62 + 50 * part)) >= 150
