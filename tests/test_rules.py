"""The walk over the rule registry: every operation, every declared case, every property a derivative has."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.special as sc

import hessian as hs
from hessian.errors import MissingRuleError
from hessian.rules import DISPATCH, OPERATIONS, Bilinear, Elementwise, General, Linear, Nondifferentiable
from hessian.rules.dispatch import Entry
from hessian.rules.spec import Case, Sample

STEP = 1e-30
"""Complex steps are free of cancellation: the step can be as small as the exponent range allows."""

_ELEMENTWISE_SHAPES = {
    1: [((3, 4),), ((),), ((0, 3),)],
    2: [((3, 4), (3, 4)), ((4,), (3, 4)), ((3, 1), (1, 4)), ((3,), ()), ((0, 3), (3,))],
}


@dataclass(frozen=True)
class Trial:
    """One call of one public callable."""

    entry: Entry
    case: Case

    def __str__(self) -> str:
        shapes = [x.shape if isinstance(x, Sample) else _brief(x) for x in self.case.args]
        keywords = "".join(f",{k}={_brief(v)}" for k, v in self.case.kwargs.items())
        return f"{self.entry.name}({','.join(map(str, shapes))}{keywords})".replace(" ", "")

    def rng(self, salt: int = 0) -> np.random.Generator:
        """Seed by the name of the trial, so that adding a row changes no other trial."""
        return np.random.default_rng([zlib.crc32(str(self).encode()), salt])

    def arguments(self) -> tuple[list[Any], list[np.ndarray]]:
        """Draw the call's positional arguments; second, the arrays among them, in order."""
        rng, arrays = self.rng(), []
        operation = self.entry.call
        domains = iter(operation.domain if isinstance(operation, Elementwise) else ())

        def draw(x: Any) -> Any:
            if isinstance(x, list) and any(isinstance(item, Sample) for item in x):
                return [draw(item) for item in x]
            if isinstance(x, Sample):
                arrays.append(x.draw(rng, next(domains, self.entry.domain)))
                return arrays[-1]
            return x

        return [draw(x) for x in self.case.args], arrays

    def function(self, target: Any) -> Any:
        """Return the call as a function of a list of its arrays, result raveled into one vector."""
        template = self.case.args

        def place(x: Any, arrays: Iterator[Any]) -> Any:
            if isinstance(x, list) and any(isinstance(item, Sample) for item in x):
                return [place(item, arrays) for item in x]
            return next(arrays) if isinstance(x, Sample) else x

        def call(arrays: list[Any]) -> Any:
            supply = iter(arrays)
            return joined(target(*[place(x, supply) for x in template], **self.case.kwargs))

        return call


def _brief(x: Any) -> str:
    if isinstance(x, list) and any(isinstance(item, Sample) for item in x):
        return "+".join(str(item.shape) for item in x)
    return getattr(x, "__name__", None) or repr(x).replace("\n", "")


def joined(result: Any) -> Any:
    """Ravel a result (an array or a sequence of arrays) into one vector."""
    if isinstance(result, list | tuple):
        return np.concatenate([np.ravel(r) for r in result])
    return np.ravel(result)


def trials() -> list[Trial]:
    """List every declared case; ufuncs get cases by their number of arguments."""
    found = []
    for entry in DISPATCH.values():
        cases = list(entry.cases)
        if isinstance(entry.call, Elementwise) and not cases:
            cases = [
                Case(tuple(Sample(shape) for shape in shapes)) for shapes in _ELEMENTWISE_SHAPES[len(entry.call.d1)]
            ]
        found += [Trial(entry, case) for case in cases]
    return found


TRIALS = trials()
every_trial = pytest.mark.parametrize("trial", TRIALS, ids=str)

_REAL_ONLY = {
    "hessian.special.polygamma",
    "numpy.sort",
    "numpy.linalg.cholesky",
    "numpy.linalg.eigh",
    "numpy.linalg.eigvalsh",
    "numpy.ptp",
}
"""Functions whose complex extension is not analytic; checked against differences with step control instead."""


def tangents(trial: Trial, arrays: list[np.ndarray], salt: int = 1) -> list[np.ndarray]:
    rng = trial.rng(salt)
    return [rng.uniform(-1, 1, a.shape) for a in arrays]


def close(got: Any, wanted: Any, scale: float = 1.0, rtol: float = 1e-11) -> None:
    got, wanted = np.asarray(got), np.asarray(wanted)
    size = max(scale, float(np.abs(wanted).max(initial=0.0)))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=rtol * size)


def independent_slope(
    trial: Trial, call: Any, arrays: list[np.ndarray], dots: list[np.ndarray]
) -> tuple[np.ndarray, float]:
    """Differentiate along a direction without the engine: a complex step, or extrapolated differences."""
    if trial.entry.name not in _REAL_ONLY:
        return call([a + 1j * STEP * t for a, t in zip(arrays, dots, strict=True)]).imag / STEP, 1e-11
    return extrapolated(lambda h: call([a + h * t for a, t in zip(arrays, dots, strict=True)])), 1e-9


def extrapolated(f: Any, h: float = 4e-3, rows: int = 4) -> np.ndarray:
    """Ridders' extrapolation of central differences; the steps are short so as not to straddle a kink."""
    table = [(f(h / 2**i) - f(-h / 2**i)) / (2 * h / 2**i) for i in range(rows)]
    for order in range(1, rows):
        table = [(4**order * b - a) / (4**order - 1) for a, b in itertools.pairwise(table)]
    return table[0]


@every_trial
def test_value_is_that_of_the_plain_function(trial):
    args, arrays = trial.arguments()
    reference = trial.entry.target
    if getattr(reference, "__module__", "") == "hessian.rules.special":
        reference = getattr(sc, reference.__name__)
    plain = joined(reference(*args, **trial.case.kwargs))
    value, _ = hs.jvp(trial.function(trial.entry.target), arrays, tangents(trial, arrays))
    close(value, plain, rtol=1e-14)
    assert value.dtype == plain.dtype


@every_trial
def test_tangent_by_complex_step(trial):
    _, arrays = trial.arguments()
    dots = tangents(trial, arrays)
    _, got = hs.jvp(trial.function(trial.entry.target), arrays, dots)
    wanted, rtol = independent_slope(trial, trial.function(trial.entry.analytic or trial.entry.target), arrays, dots)
    close(got, wanted, rtol=rtol)


@every_trial
def test_dot_product_of_both_modes(trial):
    _, arrays = trial.arguments()
    call, dots = trial.function(trial.entry.target), tangents(trial, arrays)
    y, y_dot = hs.jvp(call, arrays, dots)
    y_bar = trial.rng(2).uniform(-1, 1, y.shape)
    _, pullback = hs.vjp(call, arrays)
    bars = pullback(y_bar)
    left = float(np.vdot(y_bar, y_dot))
    right = sum(float(np.vdot(bar, dot)) for bar, dot in zip(bars, dots, strict=True))
    scale = sum(float(np.abs(bar * dot).sum()) for bar, dot in zip(bars, dots, strict=True))
    assert abs(left - right) <= 1e-13 * max(1.0, scale)


def weighted(trial: Trial) -> tuple[Any, list[np.ndarray]]:
    """Return a scalar function that sees the trial's result nonlinearly, so that every second derivative counts."""
    _, arrays = trial.arguments()
    call = trial.function(trial.entry.target)
    weight = trial.rng(3).uniform(0.5, 1.5, call(arrays).shape)

    def f(xs: Any) -> Any:
        y = call(xs)
        return np.sum(weight * y) + 0.5 * np.sum(y * y)

    return f, arrays


@every_trial
def test_second_order_is_the_slope_of_the_gradient(trial):
    f, arrays = weighted(trial)
    dots = tangents(trial, arrays)
    got = joined(hs.hvp(f, arrays, dots))
    shifted = lambda h: joined(hs.grad(f)([a + h * t for a, t in zip(arrays, dots, strict=True)]))
    close(got, extrapolated(shifted), rtol=2e-9)


@every_trial
def test_modes_agree_at_second_order(trial):
    """Forward-over-reverse, forward over a recorded gradient, reverse-over-reverse: three paths through the rules."""
    f, arrays = weighted(trial)
    dots = tangents(trial, arrays)
    product = joined(hs.hvp(f, arrays, dots))
    _, pushed = hs.jvp(hs.grad(f), arrays, dots)
    twice = hs.grad(lambda xs: sum(np.sum(g * t) for g, t in zip(hs.grad(f)(xs), dots, strict=True)))(arrays)
    scale = float(np.abs(product).max(initial=1.0))
    close(joined(pushed), product, scale, rtol=1e-12)
    close(joined(twice), product, scale, rtol=1e-12)


@every_trial
def test_third_order_is_the_slope_of_the_second(trial):
    f, arrays = weighted(trial)
    dots = tangents(trial, arrays)
    curve = lambda xs: sum(np.sum(h * t) for h, t in zip(hs.hvp(f, xs, dots), dots, strict=True))
    got = joined(hs.grad(curve)(arrays))
    _, along = hs.jvp(curve, arrays, dots)
    shifted = lambda h: np.asarray(curve([a + h * t for a, t in zip(arrays, dots, strict=True)]))
    wanted = extrapolated(shifted)
    close(along, wanted, rtol=2e-8)
    direct = sum(float(np.vdot(g, t)) for g, t in zip(hs.grad(curve)(arrays), dots, strict=True))
    close(direct, along, scale=float(np.abs(got).max(initial=1.0)) * max(1, got.size), rtol=1e-11)


@every_trial
def test_batches_equal_loops(trial):
    f, arrays = weighted(trial)
    call = trial.function(trial.entry.target)
    loops = [tangents(trial, arrays, salt) for salt in (4, 5, 6)]
    batch = [np.stack(ts) for ts in zip(*loops, strict=True)]
    _, got = hs.jvp(call, arrays, batch)
    close(got, np.stack([hs.jvp(call, arrays, ts)[1] for ts in loops]), rtol=1e-13)
    products = hs.hvp(f, arrays, batch)
    scale = max((float(np.abs(p).max(initial=1.0)) for p in products), default=1.0)
    for i, ts in enumerate(loops):
        for one, many in zip(hs.hvp(f, arrays, ts), products, strict=True):
            close(many[i], one, scale, rtol=1e-13)
    # The same through a recorded gradient, where batched tangents meet recorded operations.
    _, nested = hs.jvp(hs.grad(f), arrays, batch)
    for many, again in zip(products, nested, strict=True):
        close(again, many, scale, rtol=1e-12)


@every_trial
def test_batched_products_can_themselves_be_differentiated(trial):
    f, arrays = weighted(trial)
    loops = [tangents(trial, arrays, salt) for salt in (4, 5)]
    batch = [np.stack(ts) for ts in zip(*loops, strict=True)]
    together = hs.grad(lambda xs: sum(np.sum(h) for h in hs.hvp(f, xs, batch)))(arrays)
    apart = [hs.grad(lambda xs, ts=ts: sum(np.sum(h) for h in hs.hvp(f, xs, ts)))(arrays) for ts in loops]
    scale = max((float(np.abs(p).max(initial=1.0)) for ps in apart for p in ps), default=1.0)
    for i, one in enumerate(together):
        close(one, apart[0][i] + apart[1][i], scale, rtol=1e-11)


@every_trial
def test_float32_is_kept(trial):
    _, arrays = trial.arguments()
    call = trial.function(trial.entry.target)
    small = [a.astype(np.float32) for a in arrays]
    if call(small).dtype != np.float32:
        pytest.skip("the function itself gives float64 for float32 arguments")
    dots = [t.astype(np.float32) for t in tangents(trial, arrays)]
    y, y_dot = hs.jvp(call, small, dots)
    assert y.dtype == y_dot.dtype == np.float32
    for leaf in [*hs.grad(lambda xs: np.sum(call(xs)))(small), *hs.hvp(lambda xs: np.sum(call(xs) ** 2), small, dots)]:
        assert leaf.dtype == np.float32
    _, exact = hs.jvp(call, arrays, tangents(trial, arrays))
    close(y_dot, exact, scale=float(np.abs(y).max(initial=1.0)), rtol=3e-4)


@every_trial
def test_inputs_are_left_alone_and_results_stay(trial):
    f, arrays = weighted(trial)
    dots = tangents(trial, arrays)
    before = [a.copy() for a in [*arrays, *dots]]
    first = hs.hvp(f, arrays, dots)
    kept = [h.copy() for h in first]
    second = hs.hvp(f, arrays, [2 * t for t in dots])
    for a, b in zip([*arrays, *dots], before, strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(first, kept, strict=True):
        assert np.array_equal(a, b)
    assert not any(np.shares_memory(a, b) for a in first if np.size(a) for b in [*arrays, *dots, *second])


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
        for trial in TRIALS:
            f, arrays = weighted(trial)
            dots = tangents(trial, arrays)
            hs.grad(lambda xs, f=f, dots=dots: sum(np.sum(h) for h in hs.hvp(f, xs, dots)))(arrays)
    finally:
        Tape.append = original
    return names


def test_no_differentiable_operation_escapes_the_walk(reached):
    assigned = {"assign", "sparse_matmul", "astype", "gather_at", "scatter_at", "eigenvalues_apart"}
    """Reached by syntax, by a sparse operand or in programs rather than by a NumPy call; tested by name elsewhere."""
    missing = {op.name for op in OPERATIONS.values() if op.differentiable} - reached - assigned
    assert not missing


@pytest.mark.parametrize(
    "row", [op for op in OPERATIONS.values() if isinstance(op, Elementwise)], ids=lambda op: op.name
)
def test_second_partials_are_the_slopes_of_the_first(row):
    """``d2`` is complete: running ``d1`` on duals must find what it lists, and nothing where it lists nothing."""
    from hessian.tape.dual import Dual

    if row.d2 is None:
        pytest.skip("unknown second partials are obtained from d1")
    rng = np.random.default_rng(0)
    params = dict(row.variants[0])
    xs = [rng.uniform(low, high, 5) for low, high in row.domain]
    if row.name == "where":
        xs[0] = xs[0] > 0
    if row.name == "clip":
        xs[1], xs[2] = xs[1] - 2, xs[2] + 2
    arity = len(row.d1)
    for j in range(arity):
        if row.states is not None and row.states[j] is not None:
            continue
        duals = [Dual(x, np.ones(5)) if i == j else x for i, x in enumerate(xs)]
        y = row(*duals, **params)
        for i in range(arity):
            entry = row.d1[i]
            # The formula itself: a partial that is recorded would answer with the entry it is compared with.
            formula = getattr(entry, "formula", entry)
            slope = formula(y, *duals, **params) if callable(formula) else formula
            found = slope.tangent if isinstance(slope, Dual) and slope.tangent is not None else np.zeros(5)
            listed = row.d2.get((i, j), 0)
            listed = listed(y.primal, *xs, **params) if callable(listed) else listed
            np.testing.assert_allclose(found, np.broadcast_to(listed, 5), rtol=1e-11, atol=1e-13)


def _nondifferentiable() -> list[Entry]:
    return [
        entry
        for entry in DISPATCH.values()
        if isinstance(getattr(entry.call, "operation", entry.call), Nondifferentiable)
    ]


_FURTHER_ARGUMENTS = {"isclose": (1.0,), "searchsorted": (0.3,), "digitize": (np.array([0.0, 1.0]),)}


# The plain call that the result is compared with may be of a name that newer releases of NumPy deprecate.
@pytest.mark.filterwarnings("ignore:numpy.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("entry", _nondifferentiable(), ids=lambda entry: entry.name)
def test_operations_without_derivative_give_numpys_value_and_zero(entry):
    x = np.linspace(-1.3, 1.7, 6)
    of_bits = entry.target.__name__.startswith(("bitwise", "invert"))
    further = _FURTHER_ARGUMENTS.get(entry.target.__name__, ())
    if isinstance(entry.target, np.ufunc) and entry.target.nin == 2:
        further = (np.array([True, False] * 3),) if of_bits else (x[::-1].copy(),)

    def call(x):
        return entry.target(x > 0 if of_bits else x, *further)

    if entry.target.__name__ != "empty_like":
        y, _ = hs.jvp(call, x, np.ones(6))
        np.testing.assert_array_equal(y, call(x))
    # Whatever it gives is a constant factor.
    weight = np.sum(np.asarray(call(x)) * 1.0) if entry.target.__name__ != "empty_like" else 0.0
    gradient = hs.grad(lambda x: np.sum(call(x) * 1.0 * 0 + 1.0) + 0 * x[0] + weight * x[1])(x)
    assert gradient[1] == weight
    assert not gradient[[0, 2, 3, 4, 5]].any()


def test_every_supported_callable_is_tested_by_the_registry():
    queries = {
        "shape",
        "ndim",
        "size",
        "iscomplexobj",
        "isrealobj",
        "allclose",
        "array_equal",
        "nonzero",
        "flatnonzero",
    }
    queries |= {"result_type", "min_scalar_type", "piecewise"}  # of functions as arguments: tests/test_sequences.py
    tried = {trial.entry.name for trial in TRIALS} | {entry.name for entry in _nondifferentiable()}
    assert {entry.name.rsplit(".", 1)[-1] for entry in DISPATCH.values() if entry.name not in tried} <= queries


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
