"""Every elementwise row to the last digits: value, first and second partials against mpmath, over the whole range."""

from __future__ import annotations

import numpy as np
import pytest
from accuracy import ROWS, measure, points
from reference import exact, truth
from scipy.special import betaln, entr, gammaln, log_ndtr, rel_entr, xlogy

import hessian as hs
from hessian.rules import DISPATCH, Elementwise
from hessian.rules.measured import MEASURED
from hessian.rules.spec import MISSING, NONDIFF, primal

# Of mpmath itself, whose polynomials turn round.
pytestmark = pytest.mark.filterwarnings("ignore:Descending:DeprecationWarning")
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
every_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def _takes_long(row: Elementwise, dtype: type) -> bool:
    return row.accuracy is not None and bool(row.accuracy.grid) and dtype is np.float32


def hold(row: Elementwise, dtype: type, count: int) -> None:
    report = measure(row, dtype, count)
    unexcused = report.failures
    if row.accuracy is not None:
        # Values are those of SciPy and NumPy, wherever these fall short; partials are the row's own.
        unexcused = [line for line in unexcused if f"{row.name} ()" not in line]
    assert not unexcused, "\n".join(unexcused)


@pytest.mark.parametrize(
    ("row", "dtype"),
    [
        # Truths of what has a grid of its own take long, and what it reaches in float32 follows from its digits in float64.
        pytest.param(
            row, dtype, id=f"{row.name}-{dtype.__name__}", marks=[pytest.mark.long] if _takes_long(row, dtype) else []
        )
        for row in ROWS
        for dtype in (np.float64, np.float32)
    ],
)
def test_partials_are_true_to_the_last_digits(row, dtype):
    hold(row, dtype, 24)


@pytest.mark.study
@every_dtype
@every_row
def test_partials_are_true_to_the_last_digits_on_the_whole_grid(row, dtype):
    hold(row, dtype, 200)


@every_dtype
@every_row
def test_values_are_those_of_the_function_bit_for_bit(row, dtype):
    entries = [entry for entry in DISPATCH.values() if entry.call is row]
    arrays, _ = points(row, dtype)
    # Arguments without a rule stay as they are.
    free = [i for i, entry in enumerate(row.d1) if entry not in (NONDIFF, MISSING)]

    def call(xs, f):
        given = dict(zip(free, xs, strict=True))
        return f(*(given.get(i, x) for i, x in enumerate(arrays)))

    for entry in entries:
        with np.errstate(all="ignore"):
            plain = entry.target(*arrays)
            traced, _ = hs.vjp(lambda xs, f=entry.target: call(xs, f), [arrays[i] for i in free])
        assert np.array_equal(plain, traced, equal_nan=True)
        assert np.array_equal(np.signbit(plain), np.signbit(traced))


@every_row
def test_what_was_measured_is_kept(row):
    """``hessian/rules/measured.py`` comes from ``python tests/accuracy.py``: run it after a row is added or changed."""
    assert row.name in MEASURED, f"run python tests/accuracy.py {row.name}"
    count, *errors = MEASURED[row.name]
    assert count >= (16 if row.accuracy is not None and row.accuracy.grid else 200)
    assert row.accuracy is not None or max(errors) <= 1e-13
    assert row.accuracy is None or errors[0] <= row.accuracy.error
    assert max(errors[1:]) <= (row.accuracy.partials if row.accuracy else 1e-13)


def test_few_rows_fall_short():
    short = [row for row in ROWS if row.accuracy is not None]
    everywhere = [row for row in short if not row.accuracy.grid]
    assert len(everywhere) <= 10
    assert all(row.accuracy.partials == 1e-13 for row in everywhere)
    assert all("numpy." in row.accuracy.reason or "scipy." in row.accuracy.reason for row in short)


def test_a_row_without_a_reference_says_what_to_add():
    row = Elementwise("unheard_of", np.sin, d1=[lambda y, x: np.cos(x)], d2={(0, 0): lambda y, x: -y})
    with pytest.raises(LookupError, match='unheard_of has no reference: add reference="x: '):
        measure(row, np.float64)


def test_a_reference_in_an_unknown_function_is_named():
    row = Elementwise("sine", np.sin, d1=[lambda y, x: np.cos(x)], d2=None, reference="x: sine(x)")
    with pytest.raises(NameError, match="neither FUNCTIONS nor mpmath has a function 'sine'"):
        measure(row, np.float64)


def test_the_walk_sees_a_removable_singularity():
    naive = Elementwise(
        "naive_sinc",
        np.sinc,
        d1=[lambda y, x: (np.cos(np.pi * x) - y) / x],
        d2=None,
        reference="x: sin(pi * x) / (pi * x)",
        points=[0.0],
    )
    failures = measure(naive, np.float64, 24).failures
    assert any("(0,) at (0.0,): nan" in line for line in failures)


def test_the_walk_sees_lost_digits():
    cancelling = Elementwise(
        "cancelling_tanh",
        np.tanh,
        d1=[lambda y, x: 1 - y * y],
        d2={(0, 0): lambda y, x: -2 * y * (1 - y * y)},
        reference="x: tanh(x)",
    )
    assert len(measure(cancelling, np.float64, 200).failures) > 5


def test_truths_are_limits_where_there_are_limits():
    rows = {row.name: row for row in ROWS}
    assert truth(rows["log"], (0.0,), {})[0,] == np.inf
    assert truth(rows["arctan"], (np.inf,), {})[0, 0] == 0
    assert truth(rows["sin"], (np.inf,), {})[()] is None
    assert truth(rows["hypot"], (0.0, 0.0), {})[0,] is None
    assert abs(exact(rows["tanh"], (18.0,), {})[0,] - 9.278e-16) < 1e-18


def test_primal_is_the_output():
    assert primal(2.0, 3.0) == 2.0


@pytest.mark.parametrize(
    ("f", "x", "wanted"),
    [
        (np.tanh, 0.0, -2.0),
        (np.arctan, 0.0, -2.0),
        (np.arcsinh, 0.0, -1.0),
        (lambda x: np.logaddexp(0.0, x), 0.0, 0.0),
        (lambda x: np.logaddexp(0.0, 2 * x) / 2, 0.3, -0.0962487),
        (lambda x: x**3, 0.0, 6.0),
        (lambda x: np.power(x, np.array(3.0)), 0.0, 6.0),
        (lambda x: np.hypot(x, 1.0), 0.0, 0.0),
    ],
)
def test_third_derivatives_where_formulas_have_kinks(f, x, wanted):
    """A formula with |x| in it has no derivative of its own at 0: orders above two must not meet it."""
    third = hs.grad(hs.grad(hs.grad(f)))(x)
    if wanted == -0.0962487:
        h = 1e-4
        second = hs.grad(hs.grad(f))
        wanted = (second(x + h) - second(x - h)) / (2 * h)
    np.testing.assert_allclose(third, wanted, atol=1e-6)


def test_betaln_keeps_digits_far_out():
    value, slope = hs.value_and_grad(lambda x: betaln(x, 1.0))(1e15)
    assert value == betaln(1e15, 1.0)
    np.testing.assert_allclose(slope, -1e-15, rtol=1e-13)


def test_weights_of_logaddexp_come_from_the_difference():
    a = np.array([1e8], np.float32)
    got = hs.grad(lambda x: np.sum(np.logaddexp(x, a - 8)))(a)
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-8.0)), rtol=1e-6)
    assert hs.grad(lambda x: np.logaddexp(x, -np.inf))(-np.inf) == 0.5


def test_entropy_of_a_probability_that_underflowed():
    for f in (entr, lambda p: xlogy(p, p), lambda p: rel_entr(p, 0.5)):
        along = lambda z, f=f: np.sum(f(np.exp(z)))
        z = np.array([-1000.0, -1.0])
        assert hs.grad(along)(z)[0] == 0
        assert hs.hessian(along)(z)[0, 0] == 0


def test_an_integer_power_at_zero_and_below():
    x = np.array([0.0, -2.0])
    for k in (0, 1, 2, 3):
        second = np.diag(hs.hessian(lambda x, k=k: np.sum(x**k))(x))
        np.testing.assert_array_equal(second, k * (k - 1) * x ** max(k - 2, 0))


@pytest.mark.parametrize(
    ("x", "wanted"), [(-29.0, 8.08511977486e-5), (-31.0, 6.63068128705e-5), (-40.0, 3.10174403965e-5)]
)
def test_third_derivative_of_the_logarithm_of_small_probabilities(x, wanted):
    np.testing.assert_allclose(hs.grad(hs.grad(hs.grad(log_ndtr)))(x), wanted, rtol=1e-9)


def test_polygamma_far_below_zero_takes_no_steps():
    got = hs.hessian(lambda x: np.sum(gammaln(x)))(np.array([-1e15 + 0.25]))
    np.testing.assert_allclose(got, [[np.pi**2 / np.sin(np.pi * 0.25) ** 2]], rtol=1e-12)
