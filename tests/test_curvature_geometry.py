"""Geometry of a loss: slices with Taylor models, directions, alignment of the gradient, sharpness along training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.curvature.alignment import gradient_alignment
from hessian.curvature.directions import Direction, eigen_directions, negative_curvature, random_directions
from hessian.curvature.sharpness import SharpnessMeter, edge_of_stability, sharpness_along
from hessian.curvature.slices import line_slice, plane_slice
from hessian.errors import NonFiniteError, NotScalarError, OptionError, ShapeMismatchError

INPUTS = np.linspace(-1.0, 1.0, 20)[:, None]
TARGETS = np.sin(3.0 * INPUTS)


def network_loss(p: Any) -> Any:
    """Half the mean squared error of a small tanh network."""
    outputs = np.tanh(INPUTS @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
    return 0.5 * np.mean((outputs - TARGETS) ** 2)


def network(seed: int, width: int = 16) -> dict[str, np.ndarray]:
    """Parameters of that network."""
    rng = np.random.default_rng(seed)
    return {
        "W1": rng.standard_normal((1, width)),
        "b1": 0.5 * rng.standard_normal(width),
        "W2": rng.standard_normal((width, 1)) / math.sqrt(width),
        "b2": np.zeros(1),
    }


def raveled(tree: Any) -> np.ndarray:
    """One vector of a network's parameters."""
    return np.concatenate([np.ravel(tree[key]) for key in ("W1", "b1", "W2", "b2")])


def saddle(x: Any) -> Any:
    return x[0] ** 4 / 4.0 - x[0] ** 2 / 2.0 + x[1] ** 2 / 2.0


# Slices.


@pytest.mark.parametrize("seed", range(3))
def test_models_along_a_line_have_their_order(seed: int) -> None:
    p = network(seed)
    (direction,) = random_directions(p, 1, rng=seed)
    for model, order, step in (("quadratic", 3, 2e-4), ("cubic", 4, 2e-3)):
        line = line_slice(network_loss, p, direction, span=step * np.array([0.0, 1.0, 2.0, 4.0]))
        errors = np.abs(line.values - getattr(line, model))[1:]
        assert_allclose(errors[1:] / errors[:-1], 2.0**order, rtol=0.05)
        assert_allclose(line.values[0], line.value, rtol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_models_over_a_plane_have_their_order(seed: int) -> None:
    p = network(seed)
    u, v = random_directions(p, 2, rng=seed)
    for model, order, step in (("quadratic", 3, 2e-4), ("cubic", 4, 2e-3)):
        steps = step * np.array([0.0, 1.0, 2.0, 4.0])
        plane = plane_slice(network_loss, p, u, v, span=[steps, 0.5 * steps])
        errors = np.abs(np.diag(plane.values - getattr(plane, model)))[1:]
        assert_allclose(errors[1:] / errors[:-1], 2.0**order, rtol=0.05)


def test_a_plane_contains_its_lines() -> None:
    p = network(0)
    u, v = random_directions(p, 2)
    plane = plane_slice(network_loss, p, u, v, points=5)
    along_u, along_v = (line_slice(network_loss, p, d, points=5) for d in (u, v))
    assert_allclose(plane.values[:, 2], along_u.values, rtol=1e-14)
    assert_allclose(plane.values[2], along_v.values, rtol=1e-14)
    assert_allclose(plane.cubic[:, 2], along_u.cubic, rtol=1e-10)
    assert_allclose(plane.cubic[2], along_v.cubic, rtol=1e-10)
    assert_allclose(plane.lengths, [along_u.length, along_v.length])
    assert plane.labels == ("random direction 1", "random direction 2")


def test_slices_along_eigenvectors_show_eigenvalues() -> None:
    p = network(1)
    first, second = eigen_directions(network_loss, p, k=2)
    H = hs.HessianOperator(network_loss, p).to_dense()
    values = np.linalg.eigvalsh(H)
    assert_allclose([first.curvature, second.curvature], values[[-1, -2]], rtol=1e-9)
    line = line_slice(network_loss, p, first, points=3)
    assert_allclose(2.0 * line.coefficients[2], first.curvature, rtol=1e-9)
    plane = plane_slice(network_loss, p, first, second, points=3)
    assert_allclose(plane.hessian, np.diag(values[[-1, -2]]), atol=1e-9 * values[-1])
    assert first.label == line.label == "eigenvector 1"
    for direction in (first, second):
        v = raveled(direction.vector)
        assert np.linalg.norm(H @ v - direction.curvature * v) <= direction.residual
        assert v[np.argmax(np.abs(v))] > 0.0
    lowest, next_lowest = eigen_directions(network_loss, p, k=2, which="SA")
    assert_allclose([lowest.curvature, next_lowest.curvature], values[:2], atol=1e-9 * values[-1])


def test_a_recorded_function_is_replayed() -> None:
    calls = 0

    def loss(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return np.sum(x**4)

    plain = line_slice(loss, np.ones(2), np.ones(2), points=40)
    assert calls == 40 + 1
    calls = 0
    replayed = line_slice(hs.record(loss), np.ones(2), np.ones(2), points=40)
    assert calls < 15
    assert_allclose(replayed.values, plain.values, rtol=1e-14)
    assert_allclose(replayed.coefficients, plain.coefficients, rtol=1e-14)


def test_slices_keep_arguments_precision_and_inputs() -> None:
    x = np.ones(3, np.float32)
    v = np.array([1.0, 0.0, 2.0])
    kept = x.copy(), v.copy()
    line = line_slice(lambda x, a: a * np.sum(x * x), x, v, 2.0, span=(0.0, 1.0), points=3)
    assert_allclose(line.values, [6.0, 14.5, 28.0], rtol=1e-6)
    plane = plane_slice(lambda x, a: a * np.sum(x * x), x, v, np.ones(3), 2.0, points=3)
    assert_allclose(plane.quadratic, plane.values, rtol=1e-5)
    assert_array_equal(x, kept[0])
    assert_array_equal(v, kept[1])


def test_values_outside_the_domain_are_part_of_the_picture() -> None:
    line = line_slice(lambda x: x[0] - np.log(x[0]), np.ones(1), np.ones(1), span=(-2.0, 1.0), points=4)
    assert np.isnan(line.values[0])
    assert np.isinf(line.values[1])
    assert np.all(np.isfinite(line.cubic))


def test_slices_say_what_they_are() -> None:
    quadratic = lambda x: x[0] ** 2 + 4.0 * x[1] ** 2
    line = line_slice(quadratic, np.zeros(2), np.array([0.0, 1.0]))
    assert repr(line).startswith("<LineSlice along direction: 51 points from -1 to 1, loss 0, slope 0, curvature 8")
    plane = plane_slice(
        quadratic, np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, 1.0]), span=[(0, 1), 2.0], points=3
    )
    assert repr(plane) == (
        "<PlaneSlice along direction 1 and direction 2: 3 x 3 points, loss 0, curvatures 2 and 8 in (a, b)>"
    )
    assert (plane.a.tolist(), plane.b.tolist()) == ([0.0, 0.5, 1.0], [-2.0, 0.0, 2.0])


@pytest.mark.parametrize(
    ("keywords", "direction", "error", "text"),
    [
        ({"span": 0.0}, np.ones(2), OptionError, "span is 0.0"),
        ({"span": (1.0, -1.0)}, np.ones(2), OptionError, "a pair (low, high)"),
        ({"span": math.inf}, np.ones(2), OptionError, "span is inf"),
        ({"points": 1}, np.ones(2), OptionError, "points is 1"),
        ({}, np.zeros(2), OptionError, "a direction is zero"),
        ({}, np.ones((3, 2)), OptionError, "batch axes (3,)"),
        ({}, np.ones(3), ShapeMismatchError, "tangent direction has shape (3,), primal has shape (2,)"),
    ],
)
def test_bad_slices(keywords: dict[str, Any], direction: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        line_slice(lambda x: x @ x, np.ones(2), direction, **keywords)
    assert text in str(caught.value)


def test_slices_of_what_is_no_loss() -> None:
    with pytest.raises(NotScalarError, match=r"returns an array of shape \(2,\)"):
        line_slice(lambda x: x * x, np.ones(2), np.ones(2))
    with pytest.raises(OptionError, match="span lists 3 axes"):
        plane_slice(lambda x: x @ x, np.ones(2), np.ones(2), np.ones(2), span=[1.0, 1.0, 1.0])


# Directions.


@pytest.mark.parametrize("seed", range(3))
def test_filters_have_the_norms_of_the_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = {"conv": rng.standard_normal((3, 3, 2, 4)), "W": rng.standard_normal((5, 6)), "b": rng.standard_normal(6)}
    columns, others = random_directions(x, 2, rng=seed)
    for drawn in (columns.vector, others.vector):
        axes = (0, 1, 2)
        assert_allclose(np.sum(drawn["conv"] ** 2, axis=axes), np.sum(x["conv"] ** 2, axis=axes))
        assert_allclose(np.linalg.norm(drawn["W"], axis=0), np.linalg.norm(x["W"], axis=0))
        assert_allclose(np.linalg.norm(drawn["b"]), np.linalg.norm(x["b"]))
    assert np.linalg.norm(columns.vector["W"] - others.vector["W"]) > 0.1
    (rows,) = random_directions(x["W"], 1, filter_axis=0, rng=seed)
    assert_allclose(np.linalg.norm(rows.vector, axis=1), np.linalg.norm(x["W"], axis=1))
    (whole,) = random_directions(x, 1, normalize="array", rng=seed)
    assert_allclose(np.linalg.norm(whole.vector["W"]), np.linalg.norm(x["W"]))
    (unit,) = random_directions(x, 1, normalize="unit", rng=seed)
    assert_allclose(sum(np.sum(leaf**2) for leaf in unit.vector.values()), 1.0)


def test_slices_of_rescaled_networks_agree() -> None:
    # A layer of homogeneous units scaled up and the next scaled down compute the same function (Li et al., section 4):
    # along filter-normalised directions the loss is the same, along raw ones it is not.
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), rng.standard_normal((30, 1))
    loss = lambda p: np.mean((np.maximum(X @ p[0], 0.0) @ p[1] - y) ** 2)
    weights = [rng.standard_normal((3, 5)), rng.standard_normal((5, 1))]
    scaled = [4.0 * weights[0], weights[1] / 4.0]
    pair = [random_directions(p, 1, rng=3)[0] for p in (weights, scaled)]
    values = [line_slice(loss, p, d, points=5).values for p, d in zip((weights, scaled), pair, strict=True)]
    assert_allclose(values[0], values[1], rtol=1e-12)
    pair = [random_directions(p, 1, normalize="unit", rng=3)[0] for p in (weights, scaled)]
    raw = [line_slice(loss, p, d, points=5).values for p, d in zip((weights, scaled), pair, strict=True)]
    assert np.max(np.abs(raw[0] - raw[1])) > 0.1


def test_directions_keep_structure_and_precision() -> None:
    x = (np.ones((2, 2), np.float32), [np.full(1, 2.0, np.float32)])
    (drawn,) = random_directions(x, 1)
    assert isinstance(drawn.vector, tuple)
    assert isinstance(drawn.vector[1], list)
    assert drawn.vector[0].dtype == drawn.vector[1][0].dtype == np.float32
    again = random_directions(x, 1)[0]
    assert_array_equal(again.vector[0], drawn.vector[0])
    assert repr(drawn) == "<Direction random direction 1>"
    (found,) = eigen_directions(lambda p: np.sum(p[0] ** 2) + np.sum(p[1][0] ** 4), x, k=1)
    assert isinstance(found.vector[1], list)
    assert found.vector[0].dtype == np.float32
    assert_allclose(np.abs(found.vector[1][0]), [1.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "keywords", "text"),
    [
        (np.ones(2), {"normalize": "layer"}, "normalize is 'layer'"),
        (np.ones(2), {"k": 0}, "k is 0"),
        (np.zeros(2), {}, 'all weights are zero. Directions are scaled to the weights. Pass normalize="unit"'),
        (np.ones((2, 2)), {"filter_axis": 2}, "filter_axis is 2 for an array of shape (2, 2)"),
    ],
)
def test_bad_directions(x: Any, keywords: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError) as caught:
        random_directions(x, **{"k": 1, **keywords})
    assert text in str(caught.value)


@pytest.mark.parametrize("seed", range(3))
def test_negative_curvature_is_proved(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    levels = np.linspace(-1.0, 5.0, 60)
    matrix = q * levels @ q.T
    linear = rng.standard_normal(60)
    f = lambda x: 0.5 * x @ matrix @ x + linear @ x + 0.1 * np.sum(x**3)
    found = negative_curvature(f, np.zeros(60), k=3)
    assert_allclose([d.curvature for d in found.directions], levels[:3], atol=1e-9)
    assert_allclose(found.smallest, -1.0, atol=found.residual + 1e-12)
    for direction, slope in zip(found.directions, found.slopes, strict=True):
        v = direction.vector
        assert_allclose(v @ matrix @ v, direction.curvature, rtol=1e-9)
        assert direction.curvature < 0.0
        assert_allclose(linear @ v, slope, rtol=1e-9)
        assert slope <= 0.0
    assert found.miss_probability < 0.01
    assert "3 directions of negative curvature" in repr(found)


def test_a_minimum_has_no_negative_curvature() -> None:
    found = negative_curvature(saddle, np.array([1.0, 0.0]), k=2)
    assert not found
    assert (found.directions, found.smallest) == ((), 1.0)
    assert "no negative curvature found" in repr(found)
    # A zero eigenvalue that rounding makes negative is none either.
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, 80))
    singular = negative_curvature(lambda x: 0.5 * np.sum((a @ x) ** 2), np.zeros(80), k=5)
    assert not singular
    assert abs(singular.smallest) < 1e-9


def test_negative_curvature_within_a_budget() -> None:
    f = lambda x: np.sum(np.cos(x) * np.linspace(0.5, 1.0, 400))
    found = negative_curvature(f, np.zeros(400), max_hvp=8)
    assert found
    assert found.n_hvp <= 8 + 11
    assert found.directions[0].curvature <= -0.5


# Alignment.


@pytest.mark.parametrize("k", [1, 3, 10])
def test_alignment_is_the_projection(k: int) -> None:
    p = network(2)
    found = gradient_alignment(network_loss, p, k=k)
    H = hs.HessianOperator(network_loss, p)
    g, (values, vectors) = H.gradient, np.linalg.eigh(H.to_dense())
    top = vectors[:, ::-1][:, :k]
    exact = np.sum((top.T @ g) ** 2) / (g @ g)
    assert_allclose(found.share, exact, atol=found.share_error + 1e-12)
    assert_allclose(found.eigenvalues, values[::-1][:k], atol=1e-9 * values[-1])
    assert_allclose(found.shares, (top.T @ g) ** 2 / (g @ g), atol=1e-6)
    assert_allclose(found.cumulative[-1], found.share)
    assert_allclose(found.rayleigh, g @ H.to_dense() @ g / (g @ g), rtol=1e-12)
    assert_allclose([found.gradient_norm, found.chance], [np.linalg.norm(g), k / len(g)])
    assert 0.0 < found.share_error < 1e-3
    assert f"in the top {k}" in repr(found)


def test_an_eigenspace_without_a_gap_has_no_share() -> None:
    f = lambda x: 0.5 * np.sum(x**2)
    found = gradient_alignment(f, np.arange(1.0, 41.0), k=2)
    assert found.share_error == 1.0
    whole = gradient_alignment(f, np.arange(1.0, 5.0), k=4)
    assert_allclose(whole.share, 1.0)
    assert whole.share_error < 1e-14


def test_a_zero_gradient_has_no_direction() -> None:
    with pytest.raises(OptionError, match=r"the gradient is zero\. It has no direction"):
        gradient_alignment(saddle, np.zeros(2), k=1)
    with pytest.raises(OptionError, match="k is 5"):
        gradient_alignment(saddle, np.ones(2), k=5)


# Sharpness.


@pytest.mark.parametrize("seed", range(2))
def test_sharpness_rises_to_the_edge_of_stability_and_hovers(seed: int) -> None:
    step = 0.5
    start = network(seed)
    kept = {key: leaf.copy() for key, leaf in start.items()}
    trace, end = edge_of_stability(network_loss, start, step_size=step, steps=2000, every=25)
    assert trace.threshold == 2.0 / step
    late = trace.ratio[trace.iterations >= 1000]
    assert abs(late.mean() - 1.0) < 0.05
    assert 0.8 < late.min() < 1.0 < late.max() < 1.2
    assert trace.losses[-1] < 0.05 * trace.losses[0]
    # Warm starts: a handful of products each, and the last value is that of the dense Hessian.
    assert trace.n_hvp.sum() <= 6 * len(trace.n_hvp)
    exact = np.linalg.eigvalsh(hs.HessianOperator(network_loss, end).to_dense())[-1]
    assert_allclose(trace.sharpness[-1], exact, rtol=1e-4)
    assert list(end) == list(start)
    for key, leaf in start.items():
        assert_array_equal(leaf, kept[key])


def test_smaller_steps_stay_below_the_edge_and_rise_higher() -> None:
    small, _ = edge_of_stability(network_loss, network(0), step_size=0.1, steps=1500, every=100)
    large, _ = edge_of_stability(network_loss, network(0), step_size=0.5, steps=1500, every=100)
    assert small.ratio.max() < 0.5
    assert small.sharpness[-1] > small.sharpness[0]
    assert large.ratio.max() > 1.0


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("excess", "grows"), [(0.99, False), (1.01, True)])
def test_the_threshold_is_where_descent_becomes_unstable(momentum: float, excess: float, grows: bool) -> None:
    step = 0.1
    meter = SharpnessMeter(lambda x, level: 0.5 * level * x @ x, 1.0, step_size=step, momentum=momentum)
    level = excess * meter.trace.threshold
    x, velocity = 1.0, 0.0
    for _ in range(3000):
        velocity = momentum * velocity - step * level * x
        x += velocity
    assert (abs(x) > 1.0) == grows


def test_another_eigenvalue_may_overtake() -> None:
    # The Hessian is diagonal all along, so that the old eigenvector stays one while another becomes the largest.
    f = lambda x: 0.5 * (2.0 * x[0] ** 2 + (1.0 + x[2]) * x[1] ** 2) + 0.1 * np.sum(x[3:] ** 2)
    points = [np.concatenate([[0.0, 0.0, t], np.zeros(30)]) for t in np.linspace(0.0, 2.0, 9)]
    trace = sharpness_along(f, points)
    assert_allclose(trace.sharpness, np.maximum(2.0, 1.0 + np.linspace(0.0, 2.0, 9)), rtol=1e-6)


def test_sharpness_counts_products_and_reports_residuals() -> None:
    calls = 0
    p = network(3)
    meter = SharpnessMeter(network_loss, step_size=0.1, momentum=0.5, rtol=1e-6)
    for scale in (1.0, 1.01, 1.02):
        meter.measure({key: scale * leaf for key, leaf in p.items()}, iteration=calls)
        calls += 5
    trace = meter.trace
    assert trace.iterations.tolist() == [0, 5, 10]
    assert_allclose(trace.threshold, 30.0)
    assert trace.n_hvp.shape == (3,)
    exact = np.linalg.eigvalsh(hs.HessianOperator(network_loss, p).to_dense())
    assert np.min(np.abs(exact - trace.sharpness[0])) <= trace.residuals[0]
    assert_allclose(trace.sharpness[0], exact[-1], rtol=1e-10)
    assert_allclose(trace.losses[0], network_loss(p))
    assert "3 points, iterations 0 to 10" in repr(trace)
    assert repr(SharpnessMeter(network_loss).trace) == "<SharpnessTrace: no points>"
    few = sharpness_along(network_loss, [p], max_hvp=2)
    assert few.n_hvp == 2
    assert few.sharpness[0] <= exact[-1] + 1e-12
    assert np.min(np.abs(exact - few.sharpness[0])) <= few.residuals[0]


def test_sharpness_in_single_precision() -> None:
    p = {key: leaf.astype(np.float32) for key, leaf in network(0).items()}
    single, double = sharpness_along(network_loss, [p]), sharpness_along(network_loss, [network(0)])
    assert_allclose(single.sharpness, double.sharpness, rtol=1e-4)


def test_a_zero_hessian_is_flat() -> None:
    assert sharpness_along(lambda x: np.sum(x), [np.ones(5)]).sharpness.tolist() == [0.0]


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"step_size": 0.0}, "step_size is 0.0"),
        ({"steps": 0}, "steps is 0"),
        ({"every": 2.5}, "every is 2.5"),
        ({"rtol": 1.0}, "rtol is 1.0, expected a number in (0, 1)"),
        ({"max_hvp": 0}, "max_hvp is 0"),
    ],
)
def test_bad_options_of_sharpness(keywords: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError) as caught:
        edge_of_stability(saddle, np.ones(2), **{"step_size": 0.1, "steps": 3, **keywords})
    assert text in str(caught.value)


def test_bad_momentum() -> None:
    with pytest.raises(OptionError, match=r"momentum is 1.0, expected a number in \[0, 1\)"):
        SharpnessMeter(saddle, momentum=1.0)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_descent_that_diverges_says_so() -> None:
    with pytest.raises(NonFiniteError, match="the descent left all bounds at step") as caught:
        edge_of_stability(saddle, np.array([3.0, 1.0]), step_size=5.0, steps=50, every=100)
    assert "A step size of 5 is unstable there. Lower step_size" in str(caught.value)


def test_sharpness_where_the_loss_is_not_finite() -> None:
    with pytest.raises(NonFiniteError, match="product holds NaN"), np.errstate(all="ignore"):
        sharpness_along(lambda x: np.sum(np.sqrt(x)), [np.zeros(3)])


def test_a_direction_of_ones_own() -> None:
    line = line_slice(saddle, np.zeros(2), Direction(np.array([1.0, 0.0]), "west to east"), points=3)
    assert line.label == "west to east"
    assert_allclose(line.values, [-0.25, 0.0, -0.25])
