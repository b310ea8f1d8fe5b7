"""The walk over the rule registry: every operation, every declared case, every property a derivative has."""

from __future__ import annotations

import numpy as np
import pytest

import hessian as hs
from hessian.errors import MissingRuleError
from hessian.rules import DISPATCH, OPERATIONS, Bilinear, Elementwise, General, Linear, Nondifferentiable
from hessian.rules.spec import NONDIFF
from hessian.transforms.rule_trials import every_trial
from hessian.transforms.rule_walk import PROPERTIES, nothing_is_differentiated

TRIALS = every_trial()
_SMOOTH = [trial for trial in TRIALS if trial.differentiable]
ELEMENTWISE = [row for row in OPERATIONS.values() if isinstance(row, Elementwise)]


@pytest.mark.parametrize("trial", _SMOOTH, ids=str)
@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda check: check.__name__)
def test_every_property_holds(trial, holds):
    holds(trial)


# The plain call that the result is compared with may be of a name that newer releases of NumPy deprecate.
@pytest.mark.filterwarnings("ignore:numpy.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("trial", [trial for trial in TRIALS if not trial.differentiable], ids=str)
def test_operations_without_derivative_give_numpys_value_and_zero(trial):
    nothing_is_differentiated(trial)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda op: op.name)
def test_every_operation_is_of_a_kind(operation):
    assert isinstance(operation, Elementwise | Linear | Bilinear | General | Nondifferentiable)


@pytest.mark.parametrize(
    "operation", [op for op in OPERATIONS.values() if isinstance(op, Bilinear)], ids=lambda op: op.name
)
def test_labels_say_what_a_product_and_its_transposes_are(operation):
    left, right, result = operation.labels
    sizes = {"i": 3, "j": 4, "k": 5}
    rng = np.random.default_rng(0)
    a, b, g = (rng.standard_normal((2, *(sizes[i] for i in labels))) for labels in operation.labels)
    for f, x, y, labels in (
        (operation.function, a, b, (left, right, result)),
        (operation.transposes[0], g, b, (result, right, left)),
        (operation.transposes[1], g, a, (result, left, right)),
    ):
        expected = np.einsum(f"n{labels[0]},n{labels[1]}->n{labels[2]}", x, y)
        np.testing.assert_allclose(f(x, y), expected, rtol=1e-12)


def test_a_product_whose_transposes_cannot_be_made_says_so():
    row = Bilinear("entrywise", np.multiply, labels="ij,ij->ij")
    with pytest.raises(MissingRuleError, match="no product is declared from which ij,ij->ij can be made"):
        _ = row.transposes


@pytest.fixture(scope="module")
def reached() -> set[str]:
    """Names of operations that some trial records, at any order."""
    from hessian.tape.tape import Tape

    names: set[str] = set()
    original = Tape.append

    def append(self, instruction, value, active):
        names.add(instruction.operation.name)
        return original(self, instruction, value, active)

    Tape.append = append
    try:
        for trial in _SMOOTH:
            f, arrays = trial.weighted()
            dots = trial.tangents(arrays)
            hs.grad(lambda xs, f=f, dots=dots: sum(np.sum(h) for h in hs.hvp(f, xs, dots)))(arrays)
    finally:
        Tape.append = original
    return names


def test_no_differentiable_operation_escapes_the_walk(reached):
    assert not {op.name for op in OPERATIONS.values() if op.differentiable} - reached


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda op: op.name)
def test_second_partials_are_the_slopes_of_the_first(row):
    """``d2`` is complete: running ``d1`` on duals must find what it lists, and nothing where it lists nothing."""
    from hessian.tape.dual import Dual

    if row.d2 is None:
        pytest.skip("unknown second partials are obtained from d1")
    rng = np.random.default_rng(0)
    params = dict(row.variants[0])
    states = row.states or (None,) * len(row.d1)
    xs = [rng.uniform(low, high, 5) for low, high in row.domain]
    xs = [x > 0 if state is NONDIFF else x for x, state in zip(xs, states, strict=True)]
    for j in (j for j, state in enumerate(states) if state is None):
        duals = [Dual(x, np.ones(5)) if i == j else x for i, x in enumerate(xs)]
        y = row(*duals, **params)
        for i, entry in enumerate(row.d1):
            # The formula itself: a partial that is recorded would answer with the entry it is compared with.
            formula = getattr(entry, "formula", entry)
            slope = formula(y, *duals, **params) if callable(formula) else formula
            found = slope.tangent if isinstance(slope, Dual) and slope.tangent is not None else np.zeros(5)
            listed = row.d2.get((i, j), 0)
            listed = listed(y.primal, *xs, **params) if callable(listed) else listed
            np.testing.assert_allclose(found, np.broadcast_to(listed, 5), rtol=1e-11, atol=1e-13)


def test_every_supported_callable_is_tested_or_says_why_not():
    tried = {trial.target for trial in TRIALS}
    assert {entry.target for entry in DISPATCH.values() if not entry.untested} <= tried


def test_queries_of_shape_and_truth():
    def f(x):
        assert (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1)) == ((2, 3), 2, 6, 3)
        assert np.isrealobj(x)
        assert not np.iscomplexobj(x)
        assert np.allclose(x, x + 0.0)
        assert np.array_equal(x, x)
        assert np.result_type(x, np.float32) == np.min_scalar_type(x) == np.float64
        rows, columns = np.nonzero(x > 3)
        assert (rows.tolist(), columns.tolist()) == ([1, 1], [1, 2])
        assert np.flatnonzero(x > 3).tolist() == [4, 5]
        return np.sum(x)

    np.testing.assert_array_equal(hs.grad(f)(np.arange(6.0).reshape(2, 3)), np.ones((2, 3)))
