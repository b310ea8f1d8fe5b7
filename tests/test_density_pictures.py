"""Pictures of densities on data where they could mislead: what is drawn, where, and what is said about the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose
from scipy.sparse.linalg import aslinearoperator

from hessian.curvature import spectral_density, summary
from hessian.errors import OptionError


def operator(spectrum: np.ndarray) -> Any:
    return aslinearoperator(scipy.sparse.diags_array(spectrum))


DECADES = np.concatenate([-np.geomspace(1e-6, 1e6, 40), np.geomspace(1e-6, 1e6, 60)])
DEFICIENT = np.concatenate([np.geomspace(1e-3, 1e2, 20), np.linspace(-1e-15, 1e-15, 80)])
EXACT = {
    "decades": DECADES,
    "deficient": DEFICIENT,
    "clusters": np.concatenate([np.full(50, 1.0), np.full(30, 2.0), [100.0, 1000.0]]),
    "tiny negative": np.concatenate([np.linspace(1.0, 10.0, 50), [-1e-9]]),
    "zero": np.zeros(5),
    "one": np.array([3.0]),
    "multiple": np.full(7, -2.0),
    "narrow": np.linspace(1.0, 2.0, 30),
}


def drawn_share(view: Any) -> float:
    return float(np.trapezoid(view.density, view.position)) + sum(spot[3] for spot in view.spots)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("axis", ["auto", "linear", "symlog"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_drawn_is_the_share_of_eigenvalues_of_each_sign(name, axis, dtype):
    spectrum = EXACT[name].astype(dtype).astype(float)
    view = spectral_density(np.diag(EXACT[name]).astype(dtype)).view(axis)
    cut = 4.0 * np.sqrt(len(spectrum)) * np.finfo(dtype).eps * np.abs(spectrum).max()
    assert view.zero_below == pytest.approx(cut)
    alive = spectrum[np.abs(spectrum) > cut]
    assert drawn_share(view) == pytest.approx(len(alive) / len(spectrum), abs=2e-3)
    assert view.zero_share == pytest.approx(1.0 - len(alive) / len(spectrum), abs=1e-12)
    assert view.below_zero() == pytest.approx(np.mean(spectrum < -cut), abs=2e-3)


@pytest.mark.parametrize("name", EXACT)
def test_nothing_is_drawn_where_no_eigenvalue_can_be(name):
    view = spectral_density(np.diag(EXACT[name])).view()
    alive = EXACT[name][np.abs(EXACT[name]) > view.zero_below]
    shown = view.grid[view.density > 0.0]
    allowed = np.zeros(len(shown), dtype=bool)
    for side in (alive[alive < 0.0], alive[alive > 0.0]):
        if side.size:
            slack = 1e-9 * np.abs(side).max()
            allowed |= (shown >= side.min() - slack) & (shown <= side.max() + slack)
    assert allowed.all()


def test_widths_follow_the_eigenvalue():
    view = spectral_density(np.diag([1e-4, 1e-2, 1.0, 1e2, 1e4])).view()
    assert (view.axis, view.linear_below) == ("symlog", pytest.approx(1e-4))
    for center in (1e-2, 1.0, 1e2):
        # A Gaussian falls to exp(-1/2) one width from its center.
        near = view.grid * np.exp(-np.log(10.0) * view.width)
        heights = np.interp([center], view.grid, view.density), np.interp([center], near, view.density)
        assert heights[1] / heights[0] == pytest.approx(np.exp(-0.5), abs=0.02)
    inner = view.position[1:-1]
    assert_allclose(view.grid[1:-1], 1e-4 * np.exp(inner * np.log(10.0) - 1.0), rtol=1e-10)


def test_an_even_spectrum_is_drawn_even():
    spectrum = np.geomspace(1e-6, 1e6, 2000)
    view = spectral_density(np.diag(spectrum)).view()
    assert_allclose(view.density[1:-1], 1.0 / 12.0, rtol=0.02)


def test_positions_are_those_of_the_axes():
    pytest.importorskip("matplotlib")
    from hessian.plotting import plot_density

    found = spectral_density(np.diag(DECADES))
    ax, view = plot_density(found), found.view()
    assert ax.get_xscale() == "symlog"
    place = ax.xaxis.get_transform().transform(view.grid)
    steps = np.diff(place) / np.ptp(place)
    assert_allclose(steps, np.diff(view.position) / np.ptp(view.position), atol=1e-12)
    assert_allclose(ax.lines[0].get_xdata(), view.grid)
    assert_allclose(ax.lines[0].get_ydata(), view.density)


ESTIMATED = {
    "outliers": np.concatenate([np.linspace(-0.1, 0.1, 1500), [1.0, 5.0, 50.0, 500.0, 5000.0]]),
    "positive": np.geomspace(1e-3, 10.0, 1500),
    "deficient": np.concatenate([np.zeros(1500), np.geomspace(0.1, 1e2, 8)]),
}


@pytest.mark.parametrize("name", ESTIMATED)
@pytest.mark.parametrize("measure", [spectral_density, lambda H, n, rng: summary(H, n, rng=rng).density])
def test_bounds_hold_and_bands_hold_what_is_drawn(name, measure):
    spectrum, inside = ESTIMATED[name], []
    for seed in range(20):
        found = measure(operator(spectrum), 100, rng=seed)
        low, high = found.bounds
        slack = 1e-12 * np.abs(spectrum).max()
        assert low - slack <= spectrum.min()
        assert spectrum.max() <= high + slack
        view = found.view()
        assert view.grid.min() >= low - slack
        assert view.grid.max() <= high + slack
        assert drawn_share(view) + view.zero_share == pytest.approx(1.0, abs=5e-3)
        if not view.zero_share:
            exact = _smoothed(view, spectrum)
            inside.append(bool(np.all((view.band[0] <= exact + 1e-9) & (exact <= view.band[1] + 1e-9))))
    assert not inside or np.mean(inside) >= 0.9


def _smoothed(view: Any, spectrum: np.ndarray) -> np.ndarray:
    """The density that is estimated, from all eigenvalues: reflected Gaussians along the axis."""
    size = np.abs(spectrum) / view.linear_below
    at = np.sign(spectrum) * np.where(size <= 1.0, size, 1.0 + np.log(np.maximum(size, 1.0))) / np.log(10.0)
    a, b = view.position[0], view.position[-1]
    total = sum(
        np.exp(-0.5 * ((view.position[:, None] - s) / view.width) ** 2).sum(1) for s in (at, 2 * a - at, 2 * b - at)
    )
    total[[0, -1]] = 0.0
    return total / (len(spectrum) * view.width * np.sqrt(2.0 * np.pi))


def test_a_known_bound_ends_the_picture():
    spectrum = np.concatenate([np.geomspace(1e-2, 1.0, 400), [10.0]])
    free, held = (summary(operator(spectrum), 60, lower_bound=bound).density for bound in (None, 1e-3))
    assert free.bounds[0] < 0.0
    assert held.bounds[0] == 1e-3
    assert held.view().below_zero() == 0.0


def test_notes_tell_what_is_not_drawn():
    pytest.importorskip("matplotlib")
    from hessian.plotting import plot_density

    ax = plot_density(spectral_density(np.diag(DEFICIENT)), eigenvalues=DEFICIENT)
    text = "\n".join(text.get_text() for text in ax.texts)
    assert "80 of 100 are zero to rounding" in text
    assert "none outside [0, 100]" in text
    assert len(ax.lines[1].get_xdata()) == 20
    assert ax.get_title() == "Spectral density of order 100: all eigenvalues"
    legend = [entry.get_text() for entry in ax.get_legend().get_texts()]
    assert legend == ["density, smoothed by 12% of the eigenvalue", "eigenvalues"]
    # A tenth of one eigenvalue is the least that is seen.
    single = 1.0 / (100 * spectral_density(np.diag(DEFICIENT)).view().width * np.sqrt(2.0 * np.pi))
    assert ax.get_ylim()[0] == pytest.approx(0.1 * single)
    empty = plot_density(spectral_density(np.zeros((5, 5))), eigenvalues=np.zeros(5))
    assert "all 5 are zero to rounding" in empty.texts[0].get_text()
    assert all(not len(line.get_xdata()) for line in empty.lines)
    one = plot_density(spectral_density(np.diag([3.0, 3.0])))
    assert [entry.get_text() for entry in one.get_legend().get_texts()] == ["all 2 at 3"]


def test_estimates_say_their_method_and_band():
    pytest.importorskip("matplotlib")
    from hessian.plotting import plot_density

    found = spectral_density(operator(ESTIMATED["outliers"]), 100)
    ax = plot_density(found)
    assert ax.get_title() == f"Spectral density of order 1505: Lanczos quadrature, {found.n_hvp} products"
    assert "95% band" in [entry.get_text() for entry in ax.get_legend().get_texts()]
    view = found.view()
    width = np.log(10.0) * view.width * view.linear_below
    linear = f"linear within ±{view.linear_below:.1g}, smoothed by {width:.1g}, where the steps tell no more apart"
    assert linear in ax.texts[0].get_text()
    plot_density(spectral_density(np.diag(ESTIMATED["outliers"])), ax=ax, label="exact")
    assert ax.get_title() == "Spectral densities"
    assert "exact:" in ax.texts[0].get_text()
    assert len(ax.texts) == 1


def test_heights_of_both_axes_are_refused_or_taken():
    pytest.importorskip("matplotlib")
    from hessian.plotting import plot_density

    found = spectral_density(np.diag(DECADES))
    assert plot_density(found, axis="linear").get_xscale() == "linear"
    flat = plot_density(found, scale="linear")
    assert flat.get_ylim()[0] == 0.0
    with pytest.raises(OptionError, match="axis is 'log'"):
        plot_density(found, axis="log")
    with pytest.raises(OptionError, match="axis is 'log'"):
        found.view("log")
    with pytest.raises(OptionError, match="linear_below is 0"):
        found.view("symlog", linear_below=0.0)


def test_text_and_html_show_the_same_and_say_it():
    found = summary(np.diag(DEFICIENT))
    for shown in (repr(found), found._repr_html_()):
        assert "80 of 100 are zero to rounding" in shown
        assert "smoothed by 12% of the eigenvalue" in shown
    assert "smallest eigenvalues  0 ± 9e-13" in repr(found)
    assert "0.001 |" in repr(found)
    assert "|" not in repr(summary(np.zeros((5, 5))))
    assert "smallest eigenvalues  3\n" in repr(summary(np.diag([3.0])))
    assert "<svg" not in summary(np.zeros((5, 5)))._repr_html_()


STORIES = {
    "indefinite": np.concatenate([np.linspace(-0.1, 0.1, 1500), [1.0, 5.0, 50.0, 500.0, 5000.0]]),
    "deficient": np.concatenate([np.zeros(1500), np.geomspace(1e-3, 1e2, 20)]),
    "wide": np.geomspace(1e-6, 10.0, 1500),
    "definite": np.concatenate([np.linspace(1.0, 2.0, 1000), [50.0, 100.0]]),
    "negative": -np.concatenate([np.linspace(1.0, 2.0, 1000), [50.0, 100.0]]),
    "one negative": np.concatenate([[-0.01], np.linspace(0.1, 10.0, 1500)]),
    "identity": np.ones(300),
    "zero": np.zeros(300),
}


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("max_hvp", [24, 60, 120])
def test_summaries_do_not_contradict_themselves(name, max_hvp):
    spectrum = STORIES[name]
    for seed in range(3):
        found = summary(operator(spectrum), max_hvp, rng=seed)
        values, signs, text = found.eigenvalues.values, found.inertia, repr(found)
        notes = "\n".join(found.notes())
        ranges, cut, low = signs.ranges, signs.threshold, found.density.bounds[0]
        # Eigenvalues, signs and bounds.
        assert ranges[0][0] >= np.sum(values < -cut)
        assert ranges[2][0] >= np.sum(values > cut)
        if low > cut:
            assert ranges[0] == (0, 0)
        if ranges[0][1] == 0:
            assert found.density.view().below_zero() == 0.0
            assert values.min() >= -cut
        # The counts that are printed are within their ranges and those add up.
        assert sum(low for low, _ in ranges) <= len(spectrum) <= sum(high for _, high in ranges)
        # Norm, trace and condition number against eigenvalues.
        assert found.frobenius_norm.value >= np.linalg.norm(values) * (1.0 - 1e-12)
        size = np.abs(spectrum)
        truth = size.max() / size.min() if size.min() > cut else np.inf
        if "if positive definite" not in text:
            assert found.condition_number <= truth * (1.0 + 1e-9)
        # What is not decided is said.
        undecided = ranges[0][0] == ranges[1][0] == 0 and ranges[0][1] + ranges[1][1] > 0
        assert ("do not decide whether H is positive definite" in notes) == undecided
        assert ("if positive definite" in text) == (undecided and found.logdet is not None)
        assert all(note in text and note in found._repr_html_() for note in found.notes())
        view = found.density.view()
        smoothing = view.below_zero() * len(spectrum) > ranges[0][1] + 0.5
        assert ("density below zero is smoothing" in notes) == smoothing
        assert max(map(len, text.splitlines())) <= 140


def test_what_other_spaces_found_is_said():
    found = summary(operator(STORIES["one negative"]), 60)
    assert not any("more products find it" in note for note in found.notes())
    nodes = found.density.nodes[found.density.weights > 0.0]
    inner = replace(found.eigenvalues, values=np.array([nodes.min() + 1.0, nodes.max() - 1.0]))
    notes = replace(found, eigenvalues=inner).notes()
    assert f"the smallest eigenvalue is at most {nodes.min():.4g}: more products find it" in notes
    assert f"the largest eigenvalue is at least {nodes.max():.4g}: more products find it" in notes


def test_multiplicities_are_not_told_by_lists():
    found = summary(operator(STORIES["deficient"]), 100)
    assert "1500 zero (1497 to 1500), 20 positive (20 to 23)" in repr(found)
    assert "those listed may be multiple" in repr(found)
    assert "not known" in repr(summary(operator(STORIES["one negative"]), 100))
    assert "800 positive," not in repr(summary(operator(np.ones(800)), 30))
    assert "0 negative, 0 zero, 800 positive\n" in repr(summary(operator(np.ones(800)), 30))
    assert "all 800 at 1" in repr(summary(operator(np.ones(800)), 30))


def test_spectra_leave_out_what_is_zero_within_its_error():
    pytest.importorskip("matplotlib")
    from hessian.curvature import eigenvalues
    from hessian.plotting import plot_spectrum

    values = np.concatenate([np.geomspace(1e-3, 1e2, 20), np.linspace(-1e-15, 1e-15, 40)])
    for pairs in (eigenvalues(np.diag(values), 30, "LM"), values, values.astype(np.float32)):
        ax = plot_spectrum(pairs, scale="log")
        drawn = np.concatenate([container[0].get_ydata() for container in ax.containers])
        assert_allclose(np.sort(drawn), values[:20], rtol=1e-6)
        assert "zero to rounding" in ax.texts[0].get_text()
    pairs = eigenvalues(np.diag(values), 30, "LM")
    ax = plot_spectrum(pairs)
    assert ax.get_xlabel() == "rank, of 60"
    assert ax.get_title() == f"30 eigenvalues ({pairs.method}), bars: bounds on their errors"
    plot_spectrum(values, ax=ax, label="numbers", scale="log")
    assert ax.get_title().startswith("Eigenvalues")
    assert "numbers: 40 of 60 are zero to rounding (within ±7e-13): not drawn" in ax.texts[0].get_text()


def test_a_second_spectrum_keeps_the_axis_of_the_first():
    pytest.importorskip("matplotlib")
    from hessian.plotting import plot_spectrum

    ax = plot_spectrum([-1.0, 2.0], label="saddle")
    plot_spectrum([1.0, 100.0], ax=ax, label="minimum")
    assert ax.get_yscale() == "linear"  # a log axis would have dropped -1
    ax = plot_spectrum([1.0, 100.0], label="minimum")
    plot_spectrum([-1.0, 2.0], ax=ax, label="saddle")
    assert ax.get_yscale() == "log"
    assert "saddle, negative" in ax.get_legend_handles_labels()[1]


def test_matrices_are_exact_up_to_5000():
    assert spectral_density(scipy.sparse.eye_array(2100, format="csr")).is_exact
    assert not spectral_density(scipy.sparse.eye_array(5001, format="csr"), 8).is_exact
    assert summary(scipy.sparse.eye_array(2001, format="csr")).is_exact
    assert not summary(scipy.sparse.eye_array(5001, format="csr"), 12).is_exact


def test_layers_that_know_more_than_the_summary_are_told():
    from hessian.commands.curvature import contradictions
    from hessian.curvature import block_spectra

    H = np.diag(np.concatenate([np.linspace(0.1, 10.0, 300), [-1.0, 20.0]]))
    layers = block_spectra(H, {"first": slice(0, 300), "last": slice(300, 302)}, k=1)
    found = summary(H)
    assert contradictions(found, layers) == []
    blind = replace(found, eigenvalues=replace(found.eigenvalues, values=np.array([0.1, 10.0])))
    assert contradictions(blind, layers) == [
        "by last the smallest eigenvalue is at most -1: raise --max-hvp to find it",
        "by last the largest eigenvalue is at least 20: raise --max-hvp to find it",
    ]


def test_thin_lines_and_bars_are_explained_once():
    pytest.importorskip("matplotlib")
    from types import SimpleNamespace

    from hessian.plotting import plot_layers, plot_sharpness, plot_spectrum

    values = {"a": 1.0, "b": 2.0}
    assert not plot_layers(values, label="x").texts
    ax = plot_layers(values, label="x", errors={"a": 0.1, "b": 0.2})
    assert [text.get_text() for text in ax.texts] == ["thin lines: the errors given"]
    run = SimpleNamespace(iterations=[0, 1], sharpness=[1.0, 2.0], residuals=[0.1, 0.1], threshold=3.0)
    ax = plot_sharpness(run)
    plot_sharpness(run, ax=ax)
    assert [text.get_text() for text in ax.texts] == ["bars: bounds on the errors of the eigenvalues"]
    assert all(float(tick).is_integer() for tick in plot_spectrum([3.0]).get_xticks())
