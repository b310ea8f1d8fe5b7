"""Pictures of data that are hard to draw: what has no place on an axis is refused or counted, and what is drawn can be seen."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator
from test_plotting import HISTORY, SMALLEST, U, V, alignment, bowl, density, estimate, pairs, trace

import hessian as hs
from hessian import plotting
from hessian.curvature import eigenvalues, line_slice, plane_slice, spectral_density
from hessian.errors import NonFiniteError, OptionError
from hessian.plotting.canvas import check_range
from hessian.sparse import SparsityPattern

pytest.importorskip("matplotlib")


def operator(spectrum: Any) -> Any:
    return aslinearoperator(scipy.sparse.diags_array(np.asarray(spectrum, dtype=float)))


def notes(ax: Any) -> str:
    return "\n".join(text.get_text() for text in ax.texts)


def history(values: Any, norms: Any = None, n_hvp: int = 3) -> list[Any]:
    """Records of a run with given values; gradient norms halve by default."""
    norms = [2.0**-k for k in range(len(values))] if norms is None else norms
    return [
        SimpleNamespace(iteration=k, n_hvp=n_hvp * k, seconds=0.1 * k, value=v, gradient_norm=g, accepted=True)
        for k, (v, g) in enumerate(zip(values, norms, strict=True))
    ]


@pytest.mark.parametrize("name", SMALLEST)
def test_every_picture_has_a_title(name: str) -> None:
    assert all(ax.get_title() for ax in np.ravel(SMALLEST[name]()))


TINY: dict[str, Callable[[float], Any]] = {
    "plot_density": lambda size: plotting.plot_density(density([0.0, size], [1.0, 1.0])),
    "plot_density, marks": lambda size: plotting.plot_density(density([0.0, 0.0], [1.0, 1.0]), eigenvalues=[size]),
    "plot_estimates": lambda size: plotting.plot_estimates({"a": estimate([size], [0.0])}),
    "plot_layers": lambda size: plotting.plot_layers({"a": size}, label="x"),
    "plot_line": lambda size: plotting.plot_line(line_slice(lambda x: size * (1.0 - x[0]), np.zeros(2), U, points=2)),
    "plot_paths": lambda size: plotting.plot_paths(bowl, {"a": [[0.0, 0.0]]}, span=((0.0, size), (0.0, size))),
    "plot_plane": lambda size: plotting.plot_plane(
        SimpleNamespace(values=np.full((2, 2), size), a=np.ones(2), b=np.ones(2))
    ),
    "plot_sharpness": lambda size: plotting.plot_sharpness(trace([size])),
    "plot_spectrum": lambda size: plotting.plot_spectrum([size], scale="linear"),
}


@pytest.mark.parametrize("size", [1e-300, 1e301])
@pytest.mark.parametrize("name", TINY)
def test_numbers_that_would_be_drawn_at_a_wrong_place_are_refused(name: str, size: float) -> None:
    with pytest.raises(OptionError, match=r"are of size .* draws such numbers at a wrong place\. Pass a multiple"):
        TINY[name](size)


def test_log_axes_take_small_numbers_and_histories_no_overflow() -> None:
    assert plotting.plot_spectrum(np.geomspace(1e-300, 1e-290, 9)[:3], scale="log").containers
    for draw in (plotting.plot_convergence, lambda rows: plotting.plot_comparison({"a": rows})):
        with pytest.raises(OptionError, match="the objective are of size"):
            draw(history([1.7e308, -1.5e308]))
    with pytest.raises(OptionError, match="the gradient norm are of size"):
        plotting.plot_convergence(history([1.0, 2.0], [1e301, 1.0]))
    check_range("here", "nothing", np.zeros(3), np.array([np.nan, np.inf]))


@pytest.mark.parametrize(
    ("draw", "text"),
    [
        (lambda: plotting.plot_spectrum([1.0, np.nan]), "number 1 of the spectrum is nan"),
        (lambda: plotting.plot_spectrum([np.inf, 1.0]), "number 0 of the spectrum is inf"),
        (lambda: plotting.plot_alignment(alignment([np.nan])), "number 0 of the shares is nan"),
        (lambda: plotting.plot_density(density([0.0, np.nan], [1.0, 1.0])), "number 1 of the grid is nan"),
        (
            lambda: plotting.plot_density(spectral_density(np.eye(2)), eigenvalues=[np.nan]),
            "number 0 of the eigenvalues is nan",
        ),
    ],
)
def test_what_has_no_place_on_an_axis_is_refused(draw: Callable[[], Any], text: str) -> None:
    with pytest.raises(NonFiniteError, match=text):
        draw()


@pytest.mark.parametrize("data", [np.array([1.0 + 1.0j]), ["a", "b"]])
def test_what_is_not_real_is_refused(data: Any) -> None:
    with pytest.raises(OptionError, match="the spectrum has dtype"):
        plotting.plot_spectrum(data)


# Spectra.


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_zeros_are_no_data_on_any_axis(scale: str) -> None:
    values = np.array([5.0, 1.0, 1e-15, -1e-15, 0.0])
    ax = plotting.plot_spectrum(values, scale=scale)
    np.testing.assert_array_equal(np.concatenate([c[0].get_ydata() for c in ax.containers]), [5.0, 1.0])
    assert "3 of 5 are zero to rounding (within ±1e-14): not drawn" in notes(ax)
    empty = plotting.plot_spectrum(np.zeros(5))
    assert not empty.containers
    assert empty.get_xlim()[0] < 1 < 5 < empty.get_xlim()[1]


def test_what_is_within_its_error_has_a_bar_on_linear_axes_and_no_place_on_log_ones() -> None:
    wide = pairs([1.0, 100.0, 1e4], [0.5, 150.0, 10.0])
    linear, log = (plotting.plot_spectrum(wide, scale=scale) for scale in ("linear", "log"))
    assert len(linear.containers[0][0].get_ydata()) == 3
    assert not notes(linear)
    assert "1 of 3 is zero within their errors: not drawn" in notes(log)
    assert len(log.containers[0][0].get_ydata()) == 2


@pytest.mark.parametrize("unknown", [np.inf, np.nan])
def test_eigenvalues_without_a_bound_are_hollow(unknown: float) -> None:
    ax = plotting.plot_spectrum(pairs([1.0, 2.0, 3.0], [0.1, unknown, 0.1]), label="a")
    sure, unsure = ax.containers
    assert len(sure[2]) == 1
    assert (unsure[0].get_markerfacecolor(), len(unsure[2])) == ("none", 0)
    assert "hollow: no bound on the error" in notes(ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a"]


def test_ranks_are_those_among_all_eigenvalues() -> None:
    H = operator(np.linspace(-10.0, 100.0, 3000))
    both, low = (eigenvalues(H, 4, which, max_hvp=200) for which in ("BE", "SA"))
    ax = plotting.plot_spectrum(both)
    np.testing.assert_array_equal(ax.containers[0][0].get_xdata(), [1, 2, 2999, 3000])
    assert (ax.get_xscale(), ax.get_xlabel()) == ("function", "rank, of 3000")
    assert {tick.get_text() for tick in ax.get_xticklabels()} >= {"1", "3000"}
    place = ax.transData.transform([[1, 0], [2, 0], [1500, 0], [2999, 0], [3000, 0]])[:, 0]
    # Both ends can be told apart, and the axis is even.
    np.testing.assert_allclose(place[1] - place[0], place[4] - place[3])
    assert place[1] - place[0] > 0.02 * (place[4] - place[0])
    ax = plotting.plot_spectrum(low)
    np.testing.assert_array_equal(ax.containers[0][0].get_xdata(), [2997, 2998, 2999, 3000])
    inside = plotting.plot_spectrum(eigenvalues(np.diag(np.arange(1.0, 51.0)), 4, sigma=20.0))
    assert inside.get_xlabel() == "rank among these 4 of 50"
    assert eigenvalues(np.diag([-5.0, -1.0, 1.0, 2.0, 6.0]), 3, "LM").ranks.tolist() == [5, 2, 1]
    assert eigenvalues(np.diag([1.0, 2.0]), 1, M=np.ones(2)).ranks.tolist() == [1]


def test_spectra_of_several_orders_keep_their_ranks_on_one_axis() -> None:
    few, many = (eigenvalues(operator(np.linspace(-10.0, 100.0, n)), 4, "BE", max_hvp=200) for n in (600, 900))
    ax = plotting.plot_spectrum(many, label="many")
    plotting.plot_spectrum(few, ax=ax, label="few")
    assert ax.get_xscale() == "function"
    ax = plotting.plot_spectrum(few, label="few")
    plotting.plot_spectrum(many, ax=ax, label="many")
    assert ax.get_xscale() == "linear"
    assert ax.get_xlim()[0] < 1 < 900 < ax.get_xlim()[1]
    assert "many: 4 eigenvalues (Lanczos)" in notes(ax)
    assert ax.get_title().startswith("Eigenvalues")


# Densities.


@pytest.mark.parametrize("spectra", [((1.0, 2.0), (3.0, 500.0)), ((3.0, 500.0), (1.0, 2.0)), ((1.0, 2.0), (1.5, 9.0))])
def test_a_second_density_is_not_cut_off(spectra: Any) -> None:
    ax = None
    for k, (low, high) in enumerate(spectra):
        found = spectral_density(np.diag(np.linspace(low, high, 50)))
        ax = plotting.plot_density(found, ax=ax, label=f"{k}")
    left, right = ax.get_xlim()
    assert left <= min(low for low, _ in spectra) < max(high for _, high in spectra) <= right
    assert "1: order 50, all eigenvalues" in notes(ax)
    assert f"1: none outside [{spectra[1][0]:g}, {spectra[1][1]:g}]" in notes(ax)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(names) == 2
    assert all("smoothed by" in name for name in names)


@pytest.mark.parametrize("far", [50.0, -50.0])
@pytest.mark.parametrize("spectrum", [(1.0, 2.0, 3.0), (1.0, 10.0, 40.0)])
def test_marks_are_within_the_axis(far: float, spectrum: Any) -> None:
    ax = plotting.plot_density(spectral_density(np.diag(spectrum)), eigenvalues=[far, 0.0])
    assert ax.get_xlim()[0] < far < ax.get_xlim()[1]
    assert "marks: 1 of 2 is zero to rounding: not drawn" in notes(ax)


def test_steps_that_bound_nothing_say_so() -> None:
    few = plotting.plot_density(spectral_density(operator(np.linspace(-1.0, 10.0, 2000)), 4))
    assert "so few products bound nothing" in notes(few)
    many = plotting.plot_density(spectral_density(operator(np.linspace(-1.0, 10.0, 2000)), 100))
    assert "so few products" not in notes(many)


def test_numbers_have_names_too() -> None:
    bare = SimpleNamespace(grid=np.arange(3.0), density=np.ones(3), band=np.ones((2, 3)))
    ax = plotting.plot_density(bare)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["density", "band"]
    assert ax.get_title() == "Spectral density, from numbers"


# Runs.


def test_a_run_without_products_is_drawn_against_iterations() -> None:
    left, right = plotting.plot_convergence(history([3.0, 2.0, 1.0], n_hvp=0))
    assert left.get_xlabel() == right.get_xlabel() == "iteration"
    assert plotting.plot_convergence(history([3.0, 2.0, 1.0]))[0].get_xlabel() == "Hessian-vector products"
    assert left.get_title() == "Objective: 2 iterations"


def test_what_log_axes_cannot_show_is_counted() -> None:
    rows = history([3.0, np.nan, 2.0, 1e-30, 0.0], [1.0, np.inf, 0.0, 0.0, 1e-3])
    left, right = plotting.plot_convergence(rows, gtol=0.0)
    assert "1 of 5 is the lowest, at 0 here: not drawn" in notes(left)
    assert "1 of 5 is not finite: not drawn" in notes(left)
    assert "2 of 5 are zero: not drawn" in notes(right)
    assert "1 of 5 is not finite: not drawn" in notes(right)
    assert "gtol" not in "".join(text.get_text() for text in right.get_legend().get_texts())
    assert plotting.plot_convergence(HISTORY)[0].get_title() == "Objective: 2 iterations, 1 rejected"


def test_heights_of_rounding_are_not_drawn() -> None:
    values = [1e6 + 1.0, 1e6 + 2e-10, 1e6 + 1e-10, 1e6]
    left, _ = plotting.plot_convergence(history(values))
    np.testing.assert_array_equal(np.isfinite(left.lines[0].get_ydata()), [True, False, False, False])
    assert "3 of 4 are the lowest, to rounding, at 0 here: not drawn" in notes(left)


def test_short_runs_are_seen_in_comparisons() -> None:
    left, right = plotting.plot_comparison(
        {"short": history([3.0, 2.0, 1.0]), "free": history([3.0, 2.5, 2.0], None, 0)}
    )
    assert all(line.get_marker() == "o" for line in right.lines)
    assert "nothing to draw: free" in notes(left)
    assert "starts, at 0 of both axes: not drawn" in notes(left)
    assert (left.get_title(), right.get_title()) == ("Objective of 2 runs by work", "by time")
    long = plotting.plot_comparison({"long": history(list(np.geomspace(1.0, 1e-9, 99)))})[1]
    assert long.lines[0].get_marker() in ("", "None")


# Others.


def test_the_error_of_an_alignment_is_drawn() -> None:
    found = alignment([0.5, 0.25])
    found.share_error = 0.1
    ax = plotting.plot_alignment(found)
    (bar,) = ax.containers[-1][2][0].get_segments()
    np.testing.assert_allclose(bar[:, 1], [0.65, 0.85])
    assert "bar: bound on the error of the sum" in notes(ax)
    found.share_error = 1.0
    assert "no gap behind eigenvalue 2" in notes(plotting.plot_alignment(found))
    assert ax.get_title() == "Gradient along 2 eigenvectors of the largest eigenvalues, order 100"


def test_sharpness_may_be_above_what_was_found() -> None:
    run = trace([1.0, 2.0, np.inf], 5.0)
    run.standard_error = np.array([0.5, np.inf, 0.1])
    run.residuals = np.array([0.1, np.nan, 0.1])
    ax = plotting.plot_sharpness(run, label="a")
    top = ax.collections[-1].get_paths()[0].get_extents().y1
    assert top == pytest.approx(2.0)
    for text in (
        "bands: hold the largest eigenvalue with probability 0.95 each",
        "a: 1 of 3 not bounded from above by so few products",
        "a: 1 of 3 without a bound on the error",
        "a: 1 of 3 is not finite: not drawn",
    ):
        assert text in notes(ax)
    run.standard_error = np.array([9e9, np.inf, np.inf])
    lone = plotting.plot_sharpness(run)
    assert "bands" not in notes(lone)
    assert lone.get_ylim()[1] < 10.0
    plotting.plot_sharpness(trace([-9.0, -8.0]), ax=ax)
    plotting.plot_sharpness(trace([3.0, 4.0]), ax=ax)
    assert ax.get_ylim()[0] <= -9.0


def test_layers_and_estimates_say_what_they_leave_out() -> None:
    ax = plotting.plot_layers(
        {"a": 1.0, "b": -2.0, "c": np.nan}, label="x", scale="log", errors=dict.fromkeys("abc", np.inf)
    )
    for text in ("2 of 3 are not positive", "1 of 3 is not finite", "3 of 3 without a bound on the error"):
        assert (text in notes(ax)) == (not text.startswith("2"))
    assert "1 of 3 is not positive: not drawn" in notes(ax)
    assert ax.get_title() == "3 layers"
    named = plotting.plot_layers({"a": hs.curvature.Estimate("trace", 1.0, 0.1, 10, "XTrace")}, label="x")
    assert named.get_title() == "1 layer, by XTrace"
    ax = plotting.plot_estimates({"fit": estimate([1.0, np.nan, 2.0], [np.inf, 0.1, 0.1])})
    assert "fit: 1 of 3 is not finite: not drawn" in notes(ax)
    assert "fit: 1 of 3 without a standard error" in notes(ax)
    assert ax.get_title() == "3 parameters: fit"


def test_patterns_say_what_they_leave_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessian.plotting.sparsity._POINTS", 30)
    ax = plotting.plot_pattern(SparsityPattern(np.ones((10, 10)), symmetric=True))
    assert "25 of 100 entries are drawn, one of 4" in notes(ax)
    assert "colors begin again after 7" in notes(ax)
    assert ax.get_title() == "10 × 10, 100 entries, 10 colors"


def test_a_second_line_is_not_cut_off() -> None:
    low = line_slice(bowl, np.zeros(2), U)
    high = line_slice(lambda x: bowl(x) + 100.0, np.zeros(2), V)
    ax = plotting.plot_line(high, ax=plotting.plot_line(low))
    assert ax.get_ylim()[0] < low.values.min() < high.values.max() < ax.get_ylim()[1]
    assert ax.get_title() == "Losses along several lines\nand exact Taylor models at x"
    with np.errstate(all="ignore"):
        lost = plotting.plot_line(line_slice(lambda x: np.log(x[0]), np.ones(2), U, span=2.0, points=5))
        plane = plotting.plot_plane(plane_slice(lambda x: np.sum(np.log(x)), np.ones(2), U, V, span=2.0, points=5))
    assert "2 of 5 are not finite: not drawn" in notes(lost)
    assert "16 of 25 are not finite (white): not drawn" in notes(plane)


@pytest.mark.parametrize("base", [1e6, -1e6, 1.0])
def test_levels_of_a_plane_have_names_that_differ(base: float) -> None:
    ax = plotting.plot_plane(plane_slice(lambda x: base + 1e-3 * np.sum(x), np.zeros(2), U, V, points=5))
    names = [tick.get_text() for tick in ax.figure.axes[1].get_yticklabels()]
    assert len(set(names)) == len(names) > 4


def test_paths_count_what_is_not_seen_and_say_what_shades_are() -> None:
    track = [[0.0, 0.0], [np.nan, 1.0], [9.0, 9.0]]
    ax = plotting.plot_paths(bowl, {"a": track}, span=((-1.0, 1.0), (-1.0, 1.0)), points=8)
    assert "a: 1 of 3 is not finite: not drawn" in notes(ax)
    assert "a: 1 of 3 is outside: not drawn" in notes(ax)
    assert "darker is higher" in notes(ax)
    assert ax.get_title() == "1 path over the function"
