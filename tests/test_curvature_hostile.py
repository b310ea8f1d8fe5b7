"""Curvature on operators that are easy to get wrong: honest doubts, loud errors, names that are the right ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import LinearOperator

import hessian as hs
from hessian.curvature import eigenvalues, inertia, plane_slice, spectral_density, summary, trace
from hessian.errors import ConvergenceError, HessianError, OptionError
from hessian.operators.restricted import RestrictedOperator, named_blocks
from hessian.operators.symmetric import DampedOperator
from hessian.statistics.covariance import covariance


def with_spectrum(spectrum: Any, dtype: Any = np.float64) -> LinearOperator:
    """An operator with known eigenvalues in a basis of reflections."""
    spectrum = np.asarray(spectrum, np.float64)
    n = len(spectrum)
    normals = np.random.default_rng(0).standard_normal((3, n))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)

    def product(V: np.ndarray) -> np.ndarray:
        V = np.array(V, np.float64).reshape(n, -1)
        for u in normals:
            V = V - 2.0 * np.outer(u, u @ V)
        V = spectrum[:, None] * V
        for u in normals[::-1]:
            V = V - 2.0 * np.outer(u, u @ V)
        return V.astype(dtype)

    return LinearOperator((n, n), matvec=lambda v: product(v)[:, 0], matmat=product, dtype=dtype)


# Counts of signs


@pytest.mark.parametrize("max_hvp", [16, 40, 100])
@pytest.mark.parametrize("negative", [20, 100])
def test_a_cut_beyond_all_nodes_is_in_doubt(negative: int, max_hvp: int) -> None:
    spectrum = np.r_[-1e-3 * np.linspace(0.1, 1, negative), np.linspace(0.001, 1, 1000 - negative)]
    found = inertia(with_spectrum(spectrum), max_hvp)
    assert abs(found.negative - negative) <= 2.0 * found.standard_error
    signs = summary(with_spectrum(spectrum), max(max_hvp, 24)).inertia
    assert abs(signs.negative - negative) <= 2.0 * signs.standard_error


def test_a_cut_far_beyond_all_nodes_is_not() -> None:
    found = inertia(with_spectrum(np.linspace(1.0, 10.0, 1000)), 40)
    assert (found.negative, found.positive) == (0.0, pytest.approx(1000.0))
    assert found.standard_error < 1.0


@pytest.mark.parametrize("spectrum", [np.r_[1.0:6.0, np.zeros(495)], np.ones(500), np.zeros(500)])
def test_an_invariant_space_leaves_no_doubt(spectrum: np.ndarray) -> None:
    found = inertia(with_spectrum(spectrum), 40)
    assert_allclose(found.positive, np.sum(spectrum > 0.0), atol=3.0 * found.standard_error)
    assert found.negative == 0.0
    assert summary(with_spectrum(spectrum)).inertia.standard_error < 1.0


def test_positive_definite_in_single_precision_is_seen() -> None:
    found = summary(with_spectrum(np.linspace(0.01, 1.0, 100_000), np.float32), 24)
    assert found.inertia.threshold < 1e-3
    assert found.logdet is not None


# Densities


@pytest.mark.parametrize("options", [{"width": 0.01}, {"width": 0.02, "steps": 3}])
def test_a_width_below_what_the_steps_resolve_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"width is 0\.0\d, \d+ steps resolve 0\.\d+.*Pass width="):
        spectral_density(with_spectrum(np.linspace(0.0, 1.0, 400)), 60, **options)


def test_the_width_and_the_budget_that_the_message_names_are_enough() -> None:
    H = with_spectrum(np.linspace(0.0, 1.0, 400))
    assert spectral_density(H, 60, width=0.035).width == 0.035
    found = spectral_density(H, 202, width=0.01)
    exact = np.exp(-0.5 * ((found.grid[:, None] - np.linspace(0.0, 1.0, 400)) / 0.01) ** 2).mean(1)
    exact /= 0.01 * math.sqrt(2.0 * math.pi)
    assert np.all((found.band[0] <= exact + 1e-9) & (exact <= found.band[1] + 1e-9))


# Extreme eigenvalues


def test_largest_magnitudes_of_a_symmetric_spectrum() -> None:
    H = with_spectrum(np.r_[np.ones(4), -np.ones(4), np.linspace(-0.5, 0.5, 142)])
    found = eigenvalues(H, 5, "LM")
    assert found.success
    assert_allclose(np.abs(found.values), 1.0, rtol=1e-9)
    assert_allclose(H @ found.vectors, found.vectors * found.values, atol=1e-9)


# Summaries


def test_summary_of_low_rank_is_singular() -> None:
    found = summary(with_spectrum(np.r_[1.0:6.0, np.zeros(495)]))
    assert found.condition_number == math.inf
    assert "at least inf" not in repr(found)
    assert "not seen to be positive definite" in repr(found)


def test_summary_of_zero_has_no_error() -> None:
    found = summary(with_spectrum(np.zeros(500)))
    assert (found.trace.value, found.trace.standard_error, found.frobenius_norm.value) == (0.0, 0.0, 0.0)


def test_summary_takes_out_outliers_in_single_precision() -> None:
    spectrum = np.r_[100.0, 50.0, 20.0, np.linspace(0.0, 1.0, 2000)]
    single, double = (summary(with_spectrum(spectrum, dtype), 80) for dtype in (np.float32, np.float64))
    assert abs(single.trace.value - spectrum.sum()) <= 4.0 * single.trace.standard_error
    assert single.trace.standard_error < 2.0 * double.trace.standard_error


def test_summary_of_the_identity_in_single_precision() -> None:
    found = summary(with_spectrum(np.ones(2000), np.float32))
    assert_allclose(found.condition_number, 1.0, rtol=1e-5)
    # One point, not the rounding around it magnified.
    assert found.density.width > 0.5


# Operators


@pytest.fixture
def H() -> Any:
    x = {"a": np.ones(2), "b": np.array([2.0])}
    return hs.HessianOperator(lambda p: np.sum(p["a"] ** 3) * p["b"][0], x)


def test_names_do_not_reach_through_a_permutation(H: Any) -> None:
    permuted = DampedOperator(RestrictedOperator(H, np.array([2, 1, 0])), 0.0)
    for use in (lambda: RestrictedOperator(permuted, "a"), lambda: named_blocks(permuted)):
        with pytest.raises(OptionError, match="does not know the structure of x"):
            use()
    whole = 2.0 * DampedOperator(RestrictedOperator(H, slice(None)), 1.0)
    assert_array_equal(RestrictedOperator(whole, "b").indices, [2])


def test_indices_of_a_small_type(H: Any) -> None:
    for dtype in (np.uint8, np.int8, np.uint64):
        assert_array_equal(RestrictedOperator(H, np.array([1, 2], dtype)).to_dense(), H.to_dense()[1:, 1:])


def test_numbers_beside_operators(H: Any) -> None:
    matrix = H.to_dense()
    for made, expected in (
        (H * np.array(2.0), 2.0 * matrix),
        (np.array(2.0) * H, 2.0 * matrix),
        (H / np.array(2.0), matrix / 2.0),
        (sum([H, H]), 2.0 * matrix),
    ):
        assert_allclose(made.to_dense(), expected)
    for use in (lambda: H - 1.0, lambda: 1.0 - H, lambda: H + np.array(1.0)):
        with pytest.raises(OptionError, match="an operator plus a number"):
            use()
    with pytest.raises(OptionError, match="divided by 0"):
        H / 0


def test_matrices_of_booleans_and_unsigned_numbers() -> None:
    assert trace(np.eye(3, dtype=bool)).value == 3.0
    assert_allclose(eigenvalues(np.array([[0, 1], [1, 0]], np.uint8), 2).values, [-1.0, 1.0])
    with pytest.raises(OptionError, match="not symmetric"):
        trace(np.array([[0, 255], [0, 0]], np.uint8))


# Covariance

COUNTS = np.array([3.0, 5.0, 4.0, 4.0])


def terms(u: Any) -> Any:
    return np.exp(u) - COUNTS * u


@pytest.mark.parametrize(
    ("fun", "scale", "per_example"),
    [
        (lambda u: np.mean(terms(u)), 1.0, terms),
        (lambda u: np.mean(terms(u)), 4.0, lambda u: terms(u) / 4.0),
        (lambda u: np.sum(terms(u)), 4.0, terms),
        (lambda u: np.sum(terms(u)), 1.0, lambda u: terms(u) / 4.0),
        (lambda u: np.sum(terms(u)), 1.0, lambda u: 4.0 * terms(u)),
        (lambda u: np.sum(terms(u)), 2.5, terms),
    ],
)
def test_sandwich_of_terms_in_another_unit(fun: Callable[..., Any], scale: float, per_example: Any) -> None:
    with pytest.raises(OptionError, match="one unit"):
        covariance(fun, np.log(4.0), kind="sandwich", scale=scale, per_example=per_example)


def test_sandwich_of_terms_in_the_right_unit() -> None:
    total = covariance(lambda u: np.sum(terms(u)), np.log(4.0), kind="sandwich", per_example=terms)
    mean = covariance(lambda u: np.mean(terms(u)), np.log(4.0), kind="sandwich", scale=4.0, per_example=terms)
    assert_allclose(mean.matrix, total.matrix)
    assert_allclose(total.matrix, np.sum((4.0 - COUNTS) ** 2) / 16.0**2)


def test_expected_information_has_no_scale_of_its_own() -> None:
    options: dict[str, Any] = {"kind": "expected", "model": lambda u: u + np.zeros(4), "likelihood": "poisson"}
    assert_allclose(covariance(lambda u: np.mean(terms(u)), np.log(4.0), **options).matrix, 1.0 / 16.0)
    # That of all rows, whatever f is a multiple of; the scale says how far x is from the optimum.
    assert_allclose(covariance(lambda u: np.mean(terms(u)), np.log(4.0), scale=4.0, **options).matrix, 1.0 / 16.0)
    near = np.log(4.0) + 0.012
    assert covariance(lambda u: np.mean(terms(u)), near, **options).kind == "expected"
    with pytest.raises(ConvergenceError, match="standard errors from the minimum"):
        covariance(lambda u: 4.0 * np.mean(terms(u)), near + 0.02, **options)
    with pytest.raises(ConvergenceError, match="standard errors from the minimum"):
        covariance(lambda u: np.mean(terms(u)), near + 0.02, scale=4.0, **options)


# Pictures


def history(values: list[float]) -> list[Any]:
    return [
        SimpleNamespace(iteration=k, n_hvp=3 * k, seconds=0.1 * k, value=v, gradient_norm=v, accepted=True)
        for k, v in enumerate(values)
    ]


@pytest.mark.parametrize("values", [[math.nan] * 3, [1.0, math.inf, -math.inf], [2.0, 1.0, -math.inf]])
def test_runs_that_diverged_are_drawn(values: list[float]) -> None:
    pytest.importorskip("matplotlib")
    from hessian.plotting import plot_comparison, plot_convergence, plot_sharpness

    plot_convergence(history(values), gtol=0.1)[0].figure._repr_png_()
    plot_convergence(history(values[:1]), gtol=1.0)[0].figure._repr_png_()
    plot_comparison({"one": history(values), "other": history(values)})[0].figure._repr_png_()
    run = SimpleNamespace(iterations=range(3), sharpness=values, residuals=values, threshold=20.0)
    plot_sharpness(run).figure._repr_png_()


def test_log_axes_of_what_has_no_logarithm() -> None:
    pytest.importorskip("matplotlib")
    from hessian.plotting import plot_layers, plot_plane, plot_spectrum

    directions = np.eye(2)
    for fun in (lambda x: 0.0 * np.sum(x), lambda x: np.sum(x)):
        with pytest.raises(OptionError, match='Pass scale="linear"'):
            plot_plane(plane_slice(fun, np.zeros(2), *directions), scale="log")
    plot_plane(plane_slice(lambda x: 3.0 + 0.0 * np.sum(x), np.zeros(2), *directions), scale="log").figure._repr_png_()
    with pytest.raises(HessianError, match="no positive number"):
        plot_spectrum([0.0, 0.0], scale="log")
    with pytest.raises(HessianError, match="no positive number"):
        plot_layers({"a": 0.0}, label="trace", scale="log")
    plot_spectrum([0.0, 2.0, -1.0], scale="log").figure._repr_png_()
    plot_spectrum([0.0, -1.0], scale="log").figure._repr_png_()
    plot_layers({"a": 0.0, "b": 2.0}, label="trace", scale="log").figure._repr_png_()
