"""Pictures: axes, labels, what is drawn, and that nothing but a picture needs matplotlib."""

from __future__ import annotations

import builtins
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hessian as hs
from hessian import plotting
from hessian.curvature import (
    Eigenpairs,
    Estimate,
    edge_of_stability,
    eigenvalues,
    gradient_alignment,
    line_slice,
    plane_slice,
    spectral_density,
)
from hessian.errors import MissingDependencyError, OptionError, ShapeMismatchError
from hessian.optimize import minimize
from hessian.plotting import plot_comparison, plot_convergence
from hessian.sparse import SparsityPattern
from hessian.statistics import Profile, profile

HISTORY = [
    SimpleNamespace(iteration=0, n_hvp=0, seconds=0.0, value=3.0, gradient_norm=1.0, accepted=True),
    SimpleNamespace(iteration=1, n_hvp=2, seconds=0.1, value=3.0, gradient_norm=1.0, accepted=False),
    SimpleNamespace(iteration=2, n_hvp=5, seconds=0.2, value=1.0, gradient_norm=1e-3, accepted=True),
]
U, V = np.array([1.0, 0.0]), np.array([0.0, 1.0])


def bowl(x: Any) -> Any:
    """A function of two variables with a third derivative."""
    return np.sum(np.exp(x)) + x[0] * x[1] - np.sum(x)


def pairs(values: Any, residuals: Any) -> Eigenpairs:
    """Eigenpairs with given numbers; the vectors are not drawn."""
    values = np.array(values, dtype=float)
    return Eigenpairs(values, np.eye(len(values)), np.array(residuals, dtype=float), 7, True, 0.0, "test")


def density(grid: Any, heights: Any, level: float = 0.9) -> SimpleNamespace:
    """A density with a band of a tenth on either side."""
    grid, heights = np.asarray(grid, dtype=float), np.asarray(heights, dtype=float)
    band = np.array([0.9 * heights, 1.1 * heights])
    return SimpleNamespace(grid=grid, density=heights, band=band, level=level)


def trace(sharpness: Any, threshold: float = np.nan) -> SimpleNamespace:
    """A trace of sharpness, measured at every tenth iteration."""
    sharpness = np.asarray(sharpness, dtype=float)
    iterations = 10 * np.arange(len(sharpness))
    return SimpleNamespace(
        iterations=iterations, sharpness=sharpness, residuals=0.01 * np.abs(sharpness), threshold=threshold
    )


def alignment(shares: Any) -> SimpleNamespace:
    """An alignment with given shares out of a hundred directions."""
    shares = np.asarray(shares, dtype=float)
    return SimpleNamespace(shares=shares, cumulative=np.cumsum(shares), chance=len(shares) / 100)


def estimate(x: Any, errors: Any) -> SimpleNamespace:
    """Estimates with their standard errors."""
    x = np.asarray(x, dtype=float)
    return SimpleNamespace(value=x, standard_error=np.asarray(errors), names=tuple(f"x[{i}]" for i in range(len(x))))


def profile_of_nothing() -> Profile:
    """The profile of a parameter that its bounds leave no room."""
    f = lambda x: np.sum((x - 1.0) ** 2)
    return profile(f, minimize(f, np.zeros(2), bounds=[(0.5, 0.5), (None, None)]), 0)


# One call of every picture with the simplest data there are: n = 1, and constant.
SMALLEST: dict[str, Callable[[], Any]] = {
    "plot_alignment": lambda: plotting.plot_alignment(alignment([1.0])),
    "plot_comparison": lambda: plot_comparison({"one": HISTORY[:1]}),
    "plot_convergence": lambda: plot_convergence(HISTORY[:1]),
    "plot_density": lambda: plotting.plot_density(density([1.0], [0.0])),
    "plot_estimates": lambda: plotting.plot_estimates({"one": estimate([2.0], [0.0])}),
    "plot_layers": lambda: plotting.plot_layers({"all": 0.0}, label="trace"),
    "plot_line": lambda: plotting.plot_line(line_slice(lambda x: 0.0 * x[0] + 1.0, np.zeros(2), U, points=2)),
    "plot_paths": lambda: plotting.plot_paths(lambda x: 1.0, {"none": [[0.0, 0.0]]}, points=3),
    "plot_pattern": lambda: plotting.plot_pattern(SparsityPattern(np.ones((1, 1)), symmetric=True)),
    "plot_plane": lambda: plotting.plot_plane(plane_slice(lambda x: 0.0 * x[0] + 1.0, np.zeros(2), U, V, points=2)),
    "plot_profile": lambda: plotting.plot_profile(profile_of_nothing()),
    "plot_sharpness": lambda: plotting.plot_sharpness(trace([0.0])),
    "plot_spectrum": lambda: plotting.plot_spectrum([1.0]),
}


@pytest.fixture
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


def _legend(ax: Any) -> list[str]:
    """Texts of a legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


def _bars(container: Any) -> np.ndarray:
    """Ends of the error bars of a container, shape (m, 2): low and high."""
    segments = np.array(container[2][0].get_segments())
    return segments[:, :, 1 if np.all(segments[:, 0, 0] == segments[:, 1, 0]) else 0]


# Every picture.


def test_every_picture_is_in_the_table() -> None:
    assert set(SMALLEST) == {name for name in plotting.__all__ if name.startswith("plot_")}


@pytest.mark.usefixtures("_matplotlib")
@pytest.mark.parametrize("name", SMALLEST)
def test_the_smallest_data_are_drawn_the_same_way_twice(name: str) -> None:
    first, second = (SMALLEST[name]() for _ in range(2))
    images = [np.ravel(drawn)[0].figure for drawn in (first, second)]
    assert images[0]._repr_png_() == images[1]._repr_png_()
    assert all(ax.get_xlabel() or ax.get_ylabel() for ax in images[0].axes)


@pytest.mark.parametrize("name", SMALLEST)
def test_without_matplotlib_the_error_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=rf'{name}: .*pip install "hessian\[plot\]"'):
        SMALLEST[name]()


@pytest.mark.usefixtures("_matplotlib")
def test_axes_given_are_drawn_into_and_returned() -> None:
    from matplotlib.figure import Figure

    plane = plane_slice(bowl, np.zeros(2), U, V, points=3)
    for draw in (
        lambda ax: plotting.plot_alignment(alignment([0.5, 0.2]), ax=ax),
        lambda ax: plotting.plot_density(density([0.0, 1.0], [1.0, 2.0]), ax=ax),
        lambda ax: plotting.plot_estimates({"a": estimate([1.0], [0.1])}, ax=ax),
        lambda ax: plotting.plot_layers({"a": 1.0}, label="trace", ax=ax),
        lambda ax: plotting.plot_line(line_slice(bowl, np.zeros(2), U), ax=ax),
        lambda ax: plotting.plot_paths(bowl, {"a": [[0.0, 0.0], [1.0, 1.0]]}, points=3, ax=ax),
        lambda ax: plotting.plot_plane(plane, ax=ax),
        lambda ax: plotting.plot_sharpness(trace([1.0, 2.0]), ax=ax),
        lambda ax: plotting.plot_spectrum([1.0, 2.0], ax=ax),
    ):
        ax = Figure().subplots()
        assert draw(ax) is ax
        assert ax.has_data()


def test_neither_the_package_nor_its_pictures_import_matplotlib_or_pyplot() -> None:
    code = "import sys, hessian.plotting as p; before = 'matplotlib' in sys.modules; "
    code += "import importlib.util; found = importlib.util.find_spec('matplotlib') is not None; "
    code += "found and p.plot_spectrum([1.0]); print(before, 'matplotlib.pyplot' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


@pytest.mark.usefixtures("_matplotlib")
def test_figures_show_themselves_in_notebooks_and_survive_pickling() -> None:
    figure = plotting.plot_spectrum([3.0, 1.0]).figure
    copy = pickle.loads(pickle.dumps(figure))
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert copy._repr_png_() == figure._repr_png_()


def test_colors_differ_in_lightness_or_are_far_apart_without_red_and_green() -> None:
    # Deuteranopia by F. Viénot, H. Brettel and J. D. Mollon, Color Res. Appl. 24 (1999), in linear RGB.
    matrix = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    rgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in plotting.COLORS]) / 255.0
    seen = (rgb**2.2) @ matrix.T
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1)[np.triu_indices(len(seen), 1)]
    assert apart.min() > 0.1
    assert np.all((1.05) / (seen @ [0.2126, 0.7152, 0.0722] + 0.05) > 1.8)


# Convergence and comparison.


@pytest.mark.usefixtures("_matplotlib")
@pytest.mark.parametrize(
    ("against", "label", "x"),
    [
        ("n_hvp", "Hessian-vector products", [0, 5]),
        ("iteration", "iteration", [0, 2]),
        ("seconds", "seconds", [0, 0.2]),
    ],
)
def test_both_panels_are_labelled_and_logarithmic(against: str, label: str, x: list[float]) -> None:
    left, right = plot_convergence(HISTORY, against=against, gtol=1e-2)
    assert left.get_xlabel() == right.get_xlabel() == label
    assert left.get_ylabel() == "objective - 1"
    assert right.get_ylabel() == "gradient norm"
    assert left.get_yscale() == right.get_yscale() == "log"
    np.testing.assert_array_equal(right.lines[0].get_xdata(), x)
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [1.0, 1e-3])
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [2.0, np.nan])
    assert _legend(right) == ["accepted", "rejected", "gtol = 0.01"]


@pytest.mark.usefixtures("_matplotlib")
def test_a_comparison_leaves_out_what_takes_no_products_and_tells_many_methods_apart() -> None:
    free = [SimpleNamespace(n_hvp=0, seconds=row.seconds, value=row.value + 1.0) for row in HISTORY]
    left, right = plot_comparison({"newton": HISTORY, "adam": free})
    assert [line.get_label() for line in left.lines] == ["newton"]
    assert [line.get_label() for line in right.lines] == _legend(right) == ["newton", "adam"]
    np.testing.assert_array_equal(right.lines[1].get_ydata(), [3.0, 3.0, 1.0])
    right = plot_comparison({f"method {k}": HISTORY for k in range(16)})[1]
    assert len({(line.get_color(), line.get_linestyle()) for line in right.lines}) == 16


@pytest.mark.usefixtures("_matplotlib")
def test_pictures_of_two_panels_go_where_they_are_told(tmp_path: Path) -> None:
    figure = plot_convergence(HISTORY)[0].figure
    figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    for draw in (plot_convergence, lambda history, ax: plot_comparison({"one": history}, ax=ax)):
        pair = draw(HISTORY[:1], ax=figure.subplots(1, 2))
        assert [one.figure for one in pair] == [figure, figure]
        with pytest.raises(OptionError, match="ax holds 1 axes, the picture has two panels"):
            draw(HISTORY, ax=figure.axes[0])


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(OptionError, match=r"against is 'time'\. Pass one of: auto, n_hvp, iteration, seconds"):
        plot_convergence(HISTORY, against="time")
    with pytest.raises(OptionError, match="the history is empty"):
        plot_convergence([])
    with pytest.raises(OptionError, match="plot_comparison: a history is empty"):
        plot_comparison({"one": []})


# Spectra and densities.


@pytest.mark.usefixtures("_matplotlib")
def test_eigenvalues_are_drawn_from_the_largest_with_their_residuals() -> None:
    ax = plotting.plot_spectrum(pairs([-1.0, 2.0, 5.0], [0.1, 0.2, 0.3]), label="H")
    (container,) = ax.containers
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("rank", "eigenvalue", "linear")
    np.testing.assert_array_equal(container[0].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(container[0].get_ydata(), [5.0, 2.0, -1.0])
    np.testing.assert_allclose(_bars(container), [[4.7, 5.3], [1.8, 2.2], [-1.1, -0.9]])
    assert _legend(ax) == ["H"]
    plotting.plot_spectrum([4.0, 1.0], ax=ax, label="G")
    assert _legend(ax) == ["H", "G"]
    colors = [container[0].get_color() for container in ax.containers]
    assert colors == list(plotting.COLORS[:2])


@pytest.mark.usefixtures("_matplotlib")
@pytest.mark.parametrize(
    ("values", "scale", "expected"),
    [
        ([1.0, 2.0], "auto", "linear"),
        ([1.0, 30.0], "auto", "log"),
        ([-1.0, 300.0], "auto", "linear"),
        ([0.0, 1.0, 300.0], "auto", "log"),
        ([0.0, 300.0], "auto", "linear"),
        ([1.0, 300.0], "linear", "linear"),
    ],
)
def test_a_log_axis_is_taken_for_positive_eigenvalues_far_apart(values: Any, scale: str, expected: str) -> None:
    assert plotting.plot_spectrum(values, scale=scale).get_yscale() == expected


@pytest.mark.usefixtures("_matplotlib")
def test_a_log_axis_shows_negative_eigenvalues_by_magnitude_and_says_so() -> None:
    ax = plotting.plot_spectrum([-2.0, 1e-3, 5.0], scale="log", label="H")
    positive, negative = (container[0] for container in ax.containers)
    np.testing.assert_array_equal(positive.get_ydata(), [5.0, 1e-3])
    np.testing.assert_array_equal(negative.get_xdata(), [3])
    np.testing.assert_array_equal(negative.get_ydata(), [2.0])
    assert ax.get_ylabel() == "magnitude of the eigenvalue"
    assert _legend(ax) == ["H", "H, negative"]
    assert len(plotting.plot_spectrum([-2.0, -1.0], scale="log").containers) == 1


@pytest.mark.usefixtures("_matplotlib")
def test_many_eigenvalues_are_drawn_against_the_logarithm_of_their_rank() -> None:
    ax = plotting.plot_spectrum(np.arange(1.0, 200.0))
    assert ax.get_xscale() == "log"
    assert all(float(tick).is_integer() for tick in plotting.plot_spectrum([1.0, 2.0, 3.0]).get_xticks())


@pytest.mark.usefixtures("_matplotlib")
def test_a_density_is_drawn_with_its_band_and_eigenvalues() -> None:
    grid = np.linspace(0.0, 1.0, 11)
    heights = 1.0 + grid
    ax = plotting.plot_density(density(grid, heights), eigenvalues=[0.2, 0.4])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), grid)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), heights)
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [0.2, 0.4])
    (band,) = ax.collections
    extents = band.get_paths()[0].get_extents()
    np.testing.assert_allclose([extents.y0, extents.y1], [0.9, 2.2])
    assert _legend(ax) == ["density", "90% band", "eigenvalues"]
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] == pytest.approx(2e-6)
    assert plotting.plot_density(density(grid, heights), scale="linear").get_yscale() == "linear"


@pytest.mark.usefixtures("_matplotlib")
def test_what_the_estimators_return_is_drawn() -> None:
    matrix = np.diag(np.geomspace(1e-3, 10.0, 60))
    top, estimated = eigenvalues(matrix, 5), spectral_density(matrix)
    drawn = plotting.plot_spectrum(top).containers[0][0]
    np.testing.assert_array_equal(drawn.get_ydata(), top.values[::-1])
    line = plotting.plot_density(estimated).lines[0]
    np.testing.assert_array_equal(line.get_ydata(), estimated.view().density)
    found = gradient_alignment(bowl, np.ones(2), k=2)
    np.testing.assert_array_equal(plotting.plot_alignment(found).lines[0].get_ydata(), found.cumulative)
    measured, _ = edge_of_stability(bowl, np.ones(2), step_size=0.1, steps=20)
    drawn = plotting.plot_sharpness(measured).containers[0][0]
    np.testing.assert_array_equal(drawn.get_ydata(), measured.sharpness)


# Slices and paths.


@pytest.mark.usefixtures("_matplotlib")
def test_a_line_is_drawn_with_its_models_and_as_high_as_the_loss() -> None:
    line = line_slice(bowl, np.zeros(2), 2.0 * U, span=3.0)
    ax = plotting.plot_line(line)
    loss, quadratic, cubic, point = ax.lines
    np.testing.assert_array_equal(loss.get_ydata(), line.values)
    np.testing.assert_array_equal(quadratic.get_ydata(), line.quadratic)
    np.testing.assert_array_equal(cubic.get_ydata(), line.cubic)
    np.testing.assert_array_equal(point.get_xydata(), [[0.0, 2.0]])
    low, high = ax.get_ylim()
    assert low < line.values.min() < line.values.max() < high < line.values.max() + np.ptp(line.values)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("multiple of direction (length 2)", "loss")
    assert len(plotting.plot_line(line, models=("cubic",)).lines) == 3


@pytest.mark.usefixtures("_matplotlib")
def test_losses_that_are_not_finite_are_left_out() -> None:
    ax = plotting.plot_line(line_slice(lambda x: np.log(x[0]), np.ones(2), U, span=2.0))
    assert np.all(np.isfinite(ax.get_ylim()))
    plane = plane_slice(lambda x: np.sum(np.log(x)), np.ones(2), U, V, span=1.5, points=7)
    assert np.isnan(plane.values).any()
    assert plotting.plot_plane(plane).figure._repr_png_()
    with pytest.raises(OptionError, match="no loss is finite"):
        plotting.plot_plane(SimpleNamespace(values=np.full((2, 2), np.nan)))


@pytest.mark.usefixtures("_matplotlib")
def test_a_plane_is_drawn_with_its_first_direction_across() -> None:
    plane = plane_slice(lambda x: 3.0 + x[0] ** 2 + 0.0 * x[1], np.zeros(2), U, 2.0 * V, span=[1.0, 5.0], points=5)
    ax = plotting.plot_plane(plane)
    assert ax.get_xlim() == (-1.0, 1.0)
    assert ax.get_ylim() == (-5.0, 5.0)
    assert ax.get_xlabel() == "multiple of direction 1 (length 1)"
    assert ax.get_ylabel() == "multiple of direction 2 (length 2)"
    assert [axes.get_ylabel() for axes in ax.figure.axes[1:]] == ["loss"]
    assert _legend(ax) == ["quadratic model", "x"]
    filled, model = ax.collections
    # The model is the loss here: lines of constant x[0], at the levels of the filling.
    np.testing.assert_allclose(model.levels, filled.levels[1:-1])
    vertices = [path.vertices for path in model.get_paths() if len(path.vertices)]
    assert all(np.ptp(piece[:, 1]) > 9.9 for piece in vertices[:1])
    assert len(plotting.plot_plane(plane, model=None).collections) == 1


@pytest.mark.usefixtures("_matplotlib")
def test_levels_of_a_plane_are_logarithmic_where_the_losses_are() -> None:
    plane = plane_slice(lambda x: np.exp(3.0 * x[0] + x[1]), np.zeros(2), U, V, points=9)
    levels = plotting.plot_plane(plane).collections[0].levels
    np.testing.assert_allclose(np.diff(np.log(levels)), np.log(levels[1] / levels[0]), rtol=1e-9)
    levels = plotting.plot_plane(plane, scale="linear").collections[0].levels
    np.testing.assert_allclose(np.diff(levels), levels[1] - levels[0], rtol=1e-9)


@pytest.mark.usefixtures("_matplotlib")
def test_paths_are_drawn_from_start_to_end_over_the_levels() -> None:
    paths = {"newton": [[0.0, 0.0], [1.0, 2.0]], "descent": np.zeros((80, 2))}
    ax = plotting.plot_paths(bowl, paths, points=8)
    newton, start, end, descent = ax.lines[:4]
    np.testing.assert_array_equal(newton.get_xydata(), paths["newton"])
    np.testing.assert_array_equal(start.get_xydata(), [[0.0, 0.0]])
    np.testing.assert_array_equal(end.get_xydata(), [[1.0, 2.0]])
    assert newton.get_marker() == "."
    assert descent.get_marker() == ""
    assert _legend(ax) == ["newton", "descent", "start", "end"]
    assert len(ax.collections) == 2
    ax = plotting.plot_paths(bowl, paths, span=((-1.0, 3.0), (-2.0, 4.0)), points=8)
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1.0, 3.0), (-2.0, 4.0))


@pytest.mark.usefixtures("_matplotlib")
def test_paths_that_leave_all_bounds_and_functions_without_values_are_drawn() -> None:
    ax = plotting.plot_paths(lambda x: np.nan, {"lost": [[0.0, 0.0], [np.inf, np.nan]]}, points=3)
    assert np.all(np.isfinite([*ax.get_xlim(), *ax.get_ylim()]))


# Layers, alignment, sharpness, estimates.


@pytest.mark.usefixtures("_matplotlib")
def test_layers_are_drawn_from_top_to_bottom_with_their_errors() -> None:
    found = {"first": Estimate("trace", 5.0, 0.5, 10, "test"), "second": Estimate("trace", -2.0, 0.0, 10, "test")}
    ax = plotting.plot_layers(found, label="trace of the Hessian")
    assert [bar.get_width() for bar in ax.patches] == [5.0, -2.0]
    np.testing.assert_allclose(_bars(ax.containers[0]), [[4.5, 5.5], [-2.0, -2.0]])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["first", "second"]
    assert ax.yaxis_inverted()
    assert ax.get_xlabel() == "trace of the Hessian"
    assert len(plotting.plot_layers({"only": 1.0}, label="x").containers) == 1
    ax = plotting.plot_layers({"a": 1.0, "b": 1e4}, label="x", scale="log", errors={"a": 0.5, "b": 10.0})
    assert ax.get_xscale() == "log"
    assert not ax.patches


@pytest.mark.usefixtures("_matplotlib")
def test_an_alignment_is_drawn_with_what_chance_would_give() -> None:
    ax = plotting.plot_alignment(alignment([0.5, 0.3, 0.1]))
    assert [bar.get_height() for bar in ax.patches] == [0.5, 0.3, 0.1]
    total, chance = ax.lines
    np.testing.assert_allclose(total.get_ydata(), [0.5, 0.8, 0.9])
    np.testing.assert_allclose(chance.get_ydata(), [0.01, 0.02, 0.03])
    assert ax.get_ylabel() == "share of the squared gradient"


@pytest.mark.usefixtures("_matplotlib")
def test_sharpness_is_drawn_with_residuals_and_threshold() -> None:
    ax = plotting.plot_sharpness(trace([1.0, 3.0], threshold=2.5), label="run")
    (container,) = ax.containers
    np.testing.assert_array_equal(container[0].get_xydata(), [[0.0, 1.0], [10.0, 3.0]])
    np.testing.assert_allclose(_bars(container), [[0.99, 1.01], [2.97, 3.03]])
    assert set(_legend(ax)) == {"run", "edge of stability of run, 2.5"}
    np.testing.assert_array_equal(ax.lines[-1].get_ydata(), [2.5, 2.5])
    assert plotting.plot_sharpness(trace([1.0, 3.0])).get_legend() is None
    assert ax.get_ylim()[0] == 0.0


@pytest.mark.usefixtures("_matplotlib")
def test_estimates_are_drawn_side_by_side_with_their_intervals() -> None:
    counts = np.array([3.0, 5.0])
    fit = hs.optimize.minimize(lambda u: np.sum(np.exp(u) - counts * u), np.zeros(2))
    found = fit.covariance()
    ax = plotting.plot_estimates({"observed": found, "other": estimate([1.0, 2.0], [0.1, 0.2])}, errors=2.0)
    first, second = ax.containers
    np.testing.assert_allclose(first[0].get_xdata(), np.log(counts), rtol=1e-6)
    half = np.diff(_bars(first), axis=1)[:, 0] / 2
    np.testing.assert_allclose(half, 2.0 / np.sqrt(counts), rtol=1e-6)
    assert np.all(first[0].get_ydata() < second[0].get_ydata())
    assert ax.get_xlabel() == "estimate ± 2 standard errors"
    ax = plotting.plot_estimates({"observed": found}, names={1: "second rate"})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["second rate"]


# What cannot be drawn.


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: plotting.plot_spectrum([]), OptionError, r"plot_spectrum: the spectrum has shape \(0,\)"),
        (lambda: plotting.plot_spectrum(np.eye(2)), OptionError, r"has shape \(2, 2\)"),
        (lambda: plotting.plot_spectrum([1.0], scale="cubic"), OptionError, "scale is 'cubic'"),
        (lambda: plotting.plot_spectrum(pairs([1.0], [0.1, 0.2])), ShapeMismatchError, "one residual per eigenvalue"),
        (lambda: plotting.plot_density(density([], [])), OptionError, "the grid has shape"),
        (lambda: plotting.plot_density(density([0.0, 1.0], [1.0])), ShapeMismatchError, "a density per grid point"),
        (lambda: plotting.plot_alignment(alignment([])), OptionError, "the shares has shape"),
        (lambda: plotting.plot_sharpness(trace([])), OptionError, "the trace has shape"),
        (lambda: plotting.plot_layers({}, label="x"), OptionError, "there are no layers"),
        (lambda: plotting.plot_layers({"a": 1.0}, label="x", errors={"b": 1.0}), ShapeMismatchError, "errors of 'b'"),
        (lambda: plotting.plot_paths(bowl, {}), OptionError, "there is no path"),
        (lambda: plotting.plot_paths(bowl, {"a": [1.0, 2.0]}), ShapeMismatchError, r"'a' has shape \(2,\)"),
        (lambda: plotting.plot_paths(bowl, {"a": [[0.0, 0.0]]}, points=1), OptionError, "points is 1"),
        (lambda: plotting.plot_paths(bowl, {"a": [[0, 0]]}, span=((1, 0), (0, 1))), OptionError, "span is"),
        (lambda: plotting.plot_estimates({}), OptionError, "there are no estimates"),
        (lambda: plotting.plot_estimates({"a": estimate([1.0], [1.0])}, errors=0.0), OptionError, "errors is 0.0"),
        (
            lambda: plotting.plot_estimates({"a": estimate([1.0], [1.0]), "b": estimate([1.0, 2.0], [1.0, 1.0])}),
            ShapeMismatchError,
            "numbers of parameters",
        ),
        (
            lambda: plotting.plot_estimates({"a": estimate([1.0], [1.0])}, names={3: "c"}),
            ShapeMismatchError,
            r"positions \[3\]",
        ),
        (
            lambda: plotting.plot_line(line_slice(bowl, np.zeros(2), U, points=3), models=("quartic",)),
            OptionError,
            "model is 'quartic'",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
