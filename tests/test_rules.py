"""The walk over the rule registry: every operation, every declared case, every property a derivative has."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

import hessian as hs
from hessian.errors import MissingRuleError, OptionError
from hessian.rules import DISPATCH, OPERATIONS, Bilinear, Elementwise, General, Linear, Nondifferentiable
from hessian.rules.operation import Operation
from hessian.tape.trace import trace
from hessian.transforms.rule_claims import (
    Instance,
    derivatives_continue_to_special_points,
    instances,
    pattern_covers,
    second_partials_are_the_slopes_of_the_first,
)
from hessian.transforms.rule_reach import partials_hold_far_away, unlisted_arguments_do_not_matter
from hessian.transforms.rule_trials import every_trial
from hessian.transforms.rule_walk import (
    PROPERTIES,
    batched_products_can_be_differentiated,
    nothing_is_differentiated,
    taylor_arithmetic_agrees_with_sweeps,
    third_order_is_the_slope_of_the_second,
)

TRIALS = every_trial()
_SMOOTH = [trial for trial in TRIALS if trial.differentiable]
ELEMENTWISE = [row for row in OPERATIONS.values() if isinstance(row, Elementwise)]


#: Properties that run a function many times: by default of its first case, of all in the long tests.
DEAR = {
    third_order_is_the_slope_of_the_second,
    taylor_arithmetic_agrees_with_sweeps,
    batched_products_can_be_differentiated,
}


def _walks():
    seen = set()
    for trial in _SMOOTH:
        again = trial.name in seen
        seen.add(trial.name)
        for holds in PROPERTIES:
            marks = [pytest.mark.long] if again and holds in DEAR else []
            yield pytest.param(trial, holds, marks=marks, id=f"{holds.__name__}-{trial}")


@pytest.mark.parametrize(("trial", "holds"), list(_walks()))
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


@pytest.mark.parametrize(
    "labels", ["ij,ij->ij", "ij,i->ij", "ijk,k->ij", "ij,ji->", "ij,ij->j", "ij,kl->jkil", "ij,ji->i"]
)
def test_any_product_has_transposes(labels):
    left, right, _ = labels.replace("->", ",").split(",")
    arguments, result = labels.split("->")
    einsum = "...{},...{}->...{}".format(*arguments.split(","), result)
    row = Bilinear("product", lambda a, b: np.einsum(einsum, a, b), labels=labels)
    sizes, rng = {"i": 3, "j": 2, "k": 4, "l": 2}, np.random.default_rng(0)
    hs.check_rule(row, *(rng.standard_normal([sizes[axis] for axis in axes]) for axes in (left, right)))


@pytest.mark.parametrize(("labels", "missing"), [("ij,k->ik", "ik,k->ij"), ("i,ij->", "i,->ij")])
def test_a_product_whose_transposes_cannot_be_made_says_so(labels, missing):
    row = Bilinear("summed", np.multiply, labels=labels)
    with pytest.raises(MissingRuleError, match=f"{missing} is no sum of products"):
        _ = row.transposes


def test_the_trace_of_a_product_has_the_transposed_factor_as_gradient():
    product = hs.custom_rule(lambda a, b: np.einsum("...ij,...ji->...", a, b), name="product", labels="ij,ji->")
    a, b = np.random.default_rng(0).standard_normal((2, 3, 3))
    np.testing.assert_array_equal(hs.grad(product)(a, b), b.T)


def test_labels_that_are_not_those_of_a_product_are_refused():
    with pytest.raises(OptionError, match="labels are 'ij,jk-ik'"):
        Bilinear("product", np.matmul, labels="ij,jk-ik")


@pytest.fixture(scope="module")
def applied() -> dict[Operation, list[Instance]]:
    """Every operation as the trials apply it, up to the third order: a few times each, differently."""
    found: dict[Operation, dict[object, Instance]] = {}
    for trial in _SMOOTH:
        for one in instances(trial):
            found.setdefault(one.row, {}).setdefault(one.key, one)
    return {row: list(ones.values())[:12] for row, ones in found.items()}


@pytest.mark.parametrize("row", [op for op in OPERATIONS.values() if op.differentiable], ids=lambda op: op.name)
def test_patterns_hold_every_derivative(row, applied):
    assert applied.get(row), "no case of the registry reaches this operation: give its row cases"
    partials = [entry for entry in getattr(row, "d1", ()) if entry in applied]
    for one in [one for operation in (row, *partials) for one in applied[operation]]:
        pattern_covers(one)


@pytest.mark.parametrize(
    "row", [op for op in OPERATIONS.values() if isinstance(op, Linear | Bilinear)], ids=lambda op: op.name
)
def test_patterns_of_sums_and_products_hold_nothing_else(row, applied):
    for one in applied[row]:
        y = np.asarray(row.function(*one.operands, **one.params))
        pattern = row.pattern(y, one.operands, **one.params)
        for p in one.active:
            ones = [np.ones(np.shape(x)) for x in one.operands]
            size = ones[p].size

            def along(x, ones=ones, p=p, one=one):
                return row.function(*ones[:p], x, *ones[p + 1 :], **one.params)

            base = along(np.zeros_like(ones[p])) if isinstance(row, Linear) else 0.0
            for k, unit in enumerate(np.eye(size).reshape((size, *ones[p].shape))):
                column = pattern.jacobians[p].toarray()[:, k].reshape(y.shape)
                np.testing.assert_array_equal(along(unit) - base != 0, column)


def test_pairs_of_a_product_meet_where_it_sums():
    a, b = np.ones((2, 3)), np.ones((3, 2))
    pattern = OPERATIONS["matmul"].pattern(a @ b, (a, b))
    (together,) = {(i, j) for i, j, _, _ in pattern.pairs}
    assert together == (0, 1)
    meets = np.einsum("jl,ik->ijlk", np.eye(3), np.ones((2, 2))).reshape(6, 6)
    np.testing.assert_array_equal(pattern.hessian(0, 1).toarray(), meets != 0)
    assert pattern.hessian(0, 0) is None


def test_index_sets_go_through_a_program_by_products():
    x = np.arange(1.0, 5.0)
    differences = scipy.sparse.csr_array(np.eye(4, 4, 1) - np.eye(4))[:3]

    def f(x):
        return np.sum(np.square(differences @ x)) + x[0] * x[3]

    tape = trace(f, (x,), where="test").tape
    sets: list[scipy.sparse.csr_array] = []
    meets = scipy.sparse.csr_array((4, 4), dtype=bool)
    for instruction, value in zip(tape.instructions, tape.values, strict=True):
        if instruction is None:
            sets.append(scipy.sparse.eye_array(4, dtype=bool, format="csr"))
            continue
        xs = [tape.values[s] if s >= 0 else x for s, x in zip(instruction.sources, instruction.operands, strict=True)]
        pattern = instruction.operation.pattern(np.asarray(value), xs, **instruction.params)
        of = [sets[s] if s >= 0 else None for s in instruction.sources]
        sets.append(sum(J @ G for J, G in zip(pattern.jacobians, of, strict=True) if G is not None))
        for i, j, A, B in pattern.pairs:
            if of[i] is not None and of[j] is not None:
                meeting = (A @ of[i]).T @ (B @ of[j])
                meets = meets + meeting + meeting.T
    np.testing.assert_array_equal(meets.toarray() != 0, hs.hessian(f)(x) != 0)


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda op: op.name)
def test_second_partials_are_the_slopes_of_the_first(row):
    second_partials_are_the_slopes_of_the_first(row)


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda op: op.name)
def test_derivatives_continue_to_special_points(row):
    derivatives_continue_to_special_points(row)


#: Its second argument is the value as it was written, whose derivatives are those of the first.
_REACHING = [row for row in ELEMENTWISE if row.name != "smooth"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("row", _REACHING, ids=lambda op: op.name)
def test_partials_hold_far_away(row):
    for params in row.variants:
        partials_hold_far_away(row, params)
        unlisted_arguments_do_not_matter(row, (), params)


@pytest.mark.parametrize("row", [row for row in ELEMENTWISE if row.sides], ids=lambda op: op.name)
def test_slopes_to_the_sides_of_kinks_are_those_of_the_function(row):
    rng, h, met = np.random.default_rng(0), 1e-6, False
    for point in (0.0, 1.0):
        xs = [np.full(8, point) for _ in row.d1]
        y = row.function(*xs)
        tie = np.broadcast_to(row.sides.tie(y, *xs), y.shape)
        states = row.states or (None,) * len(xs)
        dots = [rng.choice([-2.0, -1.0, 1.0, 3.0], 8) * (state is None) for state in states]
        slope = (row.function(*[x + h * t for x, t in zip(xs, dots, strict=True)]) - y) / h
        np.testing.assert_allclose(row.sides.slope(y, xs, dots)[tie], slope[tie], rtol=1e-6)
        met = met or tie.any()
    assert met


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
