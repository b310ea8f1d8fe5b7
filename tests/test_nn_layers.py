"""Layers and their composition: values against loops and SciPy, exact derivatives plain and recorded, messages."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import correlate2d

import hessian as hs
from hessian.errors import DtypeError, OptionError, ShapeMismatchError
from hessian.nn.convolution import Convolution, Pooling
from hessian.nn.initializers import get_initializer
from hessian.nn.layers import Dense, Flatten, Function, Reshape
from hessian.nn.model import ArrayLayer, Network
from hessian.nn.recurrent import Recurrent
from hessian.nn.sequential import Sequential, mlp, sequential
from hessian.tape.trees import flatten, ravel

# (model, shape of its input, shape of its output)
MODELS: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "dense": (Dense(3, 2), (4, 3), (4, 2)),
    "dense on sequences": (Dense(3, 2), (4, 5, 3), (4, 5, 2)),
    "convolution": (Convolution(2, 3, (2, 3)), (2, 4, 5, 2), (2, 3, 3, 3)),
    "convolution of single pixels": (Convolution(2, 3, 1), (2, 3, 3, 2), (2, 3, 3, 3)),
    "recurrent": (Recurrent(2, 3), (4, 5, 2), (4, 3)),
    "recurrent, all states": (Recurrent(2, 3, "softplus", states="all"), (4, 5, 2), (4, 5, 3)),
    "mixed": (
        sequential(Dense(6, 4), "tanh", Dense(4, 4, "gelu"), mlp((4, 3, 2), "sigmoid")),
        (5, 6),
        (5, 2),
    ),
    "image": (
        sequential(
            Reshape((8, 8, 1)), Convolution(1, 3, 3), "softplus", Pooling(2), Convolution(3, 2, 2), np.tanh,
            Pooling(2, "max"), Flatten(), Dense(2, 3),
        ),
        (4, 64),
        (4, 3),
    ),
    "sequence": (
        sequential(Reshape((3, 2)), Recurrent(2, 4, states="all"), Recurrent(4, 3), Dense(3, 2)),
        (4, 6),
        (4, 2),
    ),
}  # fmt: skip


def _example(name: str, seed: int = 0) -> tuple[Any, Any, np.ndarray]:
    """A model, parameters away from their special start, and an input."""
    model, given, _ = MODELS[name]
    rng = np.random.default_rng(seed)
    params = model.init(rng)
    leaves, structure = flatten(params)
    params = structure.build([leaf + 0.1 * rng.standard_normal(leaf.shape) for leaf in leaves])
    return model, params, rng.standard_normal(given)


def _loss(model: Any) -> Any:
    """A curved function of all outputs."""

    def loss(params: Any, X: Any) -> Any:
        out = model(params, X)
        weights = np.linspace(0.5, 1.5, out.size).reshape(out.shape).astype(out.dtype)
        return np.sum(weights * np.sin(out)) + np.sum(out * out) / 3

    return loss


# What every model promises.


@pytest.mark.parametrize("name", MODELS)
def test_models_have_the_shapes_and_counts_they_promise(name: str) -> None:
    model, params, X = _example(name)
    wanted = MODELS[name][2]
    before = copy.deepcopy((params, X))
    out = model(params, X)
    assert out.shape == wanted
    assert_array_equal(model.apply(params, X), out)
    assert isinstance(model, Network)
    assert model.n_parameters == ravel(model.init())[0].size
    assert model.n_out in (None, wanted[-1])
    assert model.n_in == X.shape[-1]
    for old, new in zip(flatten(before)[0], flatten((params, X))[0], strict=True):
        assert_array_equal(old, new)


@pytest.mark.parametrize("name", MODELS)
def test_models_have_exact_derivatives(name: str) -> None:
    model, params, X = _example(name)
    hs.check_derivatives(_loss(model), params, X)
    hs.check_derivatives(lambda X: _loss(model)(params, X), X)


@pytest.mark.parametrize("name", MODELS)
def test_recorded_models_have_the_derivatives_of_plain_ones(name: str) -> None:
    model, params, X = _example(name)
    loss, recorded = _loss(model), hs.record(_loss(model))
    v = hs.grad(loss)(params, X)
    rng = np.random.default_rng(7)
    for _ in range(3):
        g, hv = hs.grad_and_hvp(loss, params, v, X)
        g_replayed, hv_replayed = hs.grad_and_hvp(recorded, params, v, X)
        for plain, replayed in zip(flatten((g, hv))[0], flatten((g_replayed, hv_replayed))[0], strict=True):
            assert_allclose(replayed, plain, rtol=1e-11, atol=1e-13)
        X = rng.standard_normal(X.shape)
    # Max pooling may change its choice and record again; nothing else depends on values.
    assert recorded.stats.plain == 0


@pytest.mark.parametrize("name", MODELS)
def test_models_keep_float32_and_follow_the_seed(name: str) -> None:
    model, _, X = _example(name)
    first, again, other, single = model.init(3), model.init(3), model.init(4), model.init(3, np.float32)
    assert_array_equal(ravel(first)[0], ravel(again)[0])
    assert not np.array_equal(ravel(first)[0], ravel(other)[0])
    assert {leaf.dtype for leaf in flatten(single)[0]} == {np.dtype(np.float32)}
    assert_array_equal(ravel(single)[0], ravel(first)[0].astype(np.float32))
    X = X.astype(np.float32)
    assert model(single, X).dtype == np.float32
    assert {leaf.dtype for leaf in flatten(hs.grad(_loss(model))(single, X))[0]} == {np.dtype(np.float32)}
    assert {leaf.dtype for leaf in flatten(hs.grad(hs.record(_loss(model)))(single, X))[0]} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", MODELS)
def test_descriptions_are_values_and_write_themselves(name: str) -> None:
    model, params, X = _example(name)
    names = {
        cls.__name__: cls for cls in (Convolution, Dense, Flatten, Function, Pooling, Recurrent, Reshape, Sequential)
    }
    names |= {"tanh": np.tanh}
    assert eval(repr(model), names) == model
    assert pickle.loads(pickle.dumps(model)) == model
    assert hash(model) == hash(copy.deepcopy(model))
    with pytest.raises(AttributeError):
        model.n_in = 7
    assert_array_equal(pickle.loads(pickle.dumps(model))(params, X), model(params, X))


# Dense layers.


def test_dense_is_a_matrix_product_on_the_last_axis() -> None:
    rng = np.random.default_rng(0)
    W, b, X = rng.standard_normal((3, 2)), rng.standard_normal(2), rng.standard_normal((4, 5, 3))
    assert_allclose(Dense(3, 2)({"W": W, "b": b}, X), np.einsum("ntf,fo->nto", X, W) + b, rtol=1e-13)
    assert_array_equal(Dense(3, 2, np.sin)({"W": W, "b": b}, X[0]), np.sin(X[0] @ W + b))


# Convolution and pooling.


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 3), (4, 1)])
def test_convolution_against_scipy(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    W, X, b = rng.standard_normal((*size, 2, 4)), rng.standard_normal((2, 6, 5, 2)), rng.standard_normal(4)
    out = Convolution(2, 4, size)({"W": W, "b": b}, X)
    for image in range(2):
        for o in range(4):
            expected = b[o] + sum(correlate2d(X[image, :, :, c], W[:, :, c, o], "valid") for c in range(2))
            assert_allclose(out[image, :, :, o], expected, rtol=1e-12, atol=1e-13)


def test_pooling_against_loops() -> None:
    X = np.random.default_rng(2).standard_normal((2, 7, 6, 3))
    for size in [(2, 2), (3, 2), (7, 6)]:
        rows, columns = 7 // size[0], 6 // size[1]
        means, largest = Pooling(size)({}, X), Pooling(size, "max")({}, X)
        assert means.shape == largest.shape == (2, rows, columns, 3)
        for i in range(rows):
            for j in range(columns):
                window = X[:, i * size[0] : (i + 1) * size[0], j * size[1] : (j + 1) * size[1]]
                assert_allclose(means[:, i, j], window.mean(axis=(1, 2)), rtol=1e-12, atol=1e-15)
                assert_array_equal(largest[:, i, j], window.max(axis=(1, 2)))
    assert_array_equal(Pooling(2)({}, X), Pooling((2, 2))({}, X))


def test_filters_start_with_the_variance_of_their_fans() -> None:
    assert_allclose(Convolution(16, 32, 5).init(0)["W"].var(), 2 / (25 * 16 + 25 * 32), rtol=0.05)


# Recurrent layers.


@pytest.mark.parametrize("seed", [0, 1])
def test_recurrent_against_a_loop(seed: int) -> None:
    layer = Recurrent(2, 3, states="all")
    params = layer.init(seed)
    X = np.random.default_rng(seed).standard_normal((4, 6, 2))
    states = np.zeros((4, 6, 3))
    for row in range(4):
        h = np.zeros(3)
        for step in range(6):
            h = np.tanh(X[row, step] @ params["W"] + params["U"].T @ h + params["b"])
            states[row, step] = h
    assert_allclose(layer(params, X), states, rtol=1e-12, atol=1e-14)
    assert_array_equal(Recurrent(2, 3)(params, X), layer(params, X)[:, -1])


@pytest.mark.parametrize(("n_in", "n_out"), [(4, 4), (6, 3), (3, 6)])
def test_orthogonal_initializers_are(n_in: int, n_out: int) -> None:
    W = get_initializer("orthogonal")(np.random.default_rng(0), n_in, n_out)
    short = W.T @ W if n_in >= n_out else W @ W.T
    assert_allclose(short, np.eye(min(n_in, n_out)), atol=1e-14)


def test_an_orthogonal_matrix_of_one_entry_has_either_sign() -> None:
    draw, rng = get_initializer("orthogonal"), np.random.default_rng(0)
    assert {float(draw(rng, 1, 1)[0, 0]) for _ in range(20)} == {-1.0, 1.0}


# Composition.


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sequence_of_dense_layers_is_an_mlp(seed: int) -> None:
    network, model = mlp((3, 5, 2)), sequential(Dense(3, 5), "tanh", Dense(5, 2))
    assert network == sequential(Dense(3, 5, "tanh"), Dense(5, 2))
    X = np.random.default_rng(9).standard_normal((4, 3))
    assert_array_equal(ravel(model.init(seed))[0], ravel(network.init(seed))[0])
    assert_array_equal(model(model.init(seed), X), network(network.init(seed), X))
    assert (network.n_in, network.n_out) == (model.n_in, model.n_out) == (3, 2)
    assert (network.widths, model.widths) == ((3, 5, 2), (3, 5, 5, 2))


def test_widths_are_known_as_far_as_the_layers_tell() -> None:
    def widths(*layers: Any) -> tuple[int | None, int | None]:
        return sequential(*layers).n_in, sequential(*layers).n_out

    assert widths("tanh", Dense(4, 4), "relu") == (4, 4)
    assert widths(np.tanh, Dense(3, 2)) == (None, 2)
    assert widths(Dense(3, 2), np.tanh) == (3, None)
    assert widths(Reshape((6, 6, 2)), Pooling(2), "relu") == (72, 2)
    assert widths(Convolution(1, 2, 3), Flatten()) == (1, None)
    assert widths(sequential("tanh"), sequential(Dense(4, 2), "tanh")) == (4, 2)
    assert widths("tanh") == (None, None)


def test_a_layer_of_ones_own_needs_only_the_interface() -> None:
    class Scale:
        n_in = n_out = 3
        n_parameters = 1

        def init(self, seed: Any = 0, dtype: Any = np.float64) -> Any:
            return np.ones((), dtype)

        def apply(self, params: Any, X: Any) -> Any:
            return params * X

        __call__ = apply

    model = sequential(Scale(), Dense(3, 2))
    assert model.n_parameters == 9
    hs.check_derivatives(lambda params: np.sum(np.sin(model(params, np.ones((2, 3))))), model.init(0))


def test_short_models_take_one_line_and_long_ones_several() -> None:
    assert repr(sequential(Dense(3, 2), "tanh", np.sin)) == "Sequential(Dense(3, 2), 'tanh', Function(sin))"
    inner = sequential(*(Dense(100, 100, initializer="he_normal") for _ in range(3)))
    assert repr(sequential(Dense(10, 100), inner)) == (
        "Sequential(\n    Dense(10, 100),\n    Sequential(\n"
        + 3 * "        Dense(100, 100, initializer='he_normal'),\n"
        + "    ),\n)"
    )


def test_models_train_with_exact_curvature() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4))
    y = np.tanh(X @ rng.standard_normal((4, 2)))
    model = sequential(Dense(4, 3, "tanh"), "softplus", Dense(3, 2))
    objective = lambda params: (
        np.sum((model(params, X) - y) ** 2) / 30 + 5e-3 * sum(np.sum(leaf * leaf) for leaf in flatten(params)[0])
    )
    result = hs.optimize.minimize(objective, model.init(0))
    assert result.success
    assert np.linalg.norm(ravel(hs.grad(objective)(result.x))[0]) < 1e-5


# Messages.


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Dense(0, 2), "Dense: n_in is 0, expected an integer >= 1. It counts something."),
        (lambda: Dense(2, 2.5), "n_out is 2.5"),
        (lambda: Dense(2, True), "n_out is True"),
        (lambda: Dense(2, 2, "tahn"), "Did you mean 'tanh'?"),
        (lambda: Dense(2, 2, initializer="glorot"), "there is no initializer 'glorot'"),
        (lambda: Convolution(1, 1, 0), "size is 0. Pass an integer >= 1, or two of them."),
        (lambda: Convolution(1, 1, (1, 2, 3)), "size is (1, 2, 3)"),
        (lambda: Convolution(1, 1, 2.5), "size is 2.5"),
        (lambda: Pooling(2, "mean"), "there is no pooling 'mean'"),
        (lambda: Pooling((2, 0)), "size is (2, 0)"),
        (lambda: Recurrent(2, 3, states="first"), "states is 'first'. Pass 'last' or 'all'."),
        (lambda: Recurrent(2, 3, "tahn"), "Did you mean 'tanh'?"),
        (lambda: Reshape(8), "shape is 8. Pass a tuple"),
        (lambda: Reshape((8, 0)), "shape[1] is 0"),
        (lambda: Function("rellu"), "Did you mean 'relu'?"),
        (lambda: sequential(), "there are no layers"),
        (lambda: sequential(Dense(2, 3), "tanhh"), "Did you mean 'tanh'?"),
        (lambda: sequential(Dense(2, 3), 7), "7 is no layer"),
        (lambda: sequential(Dense), "is no layer"),
        (lambda: sequential(Dense(2, 3), "tanh", Dense(4, 2)),
         "layer 2, Dense(4, 2), takes width 4, the layers before it return 3"),
    ],
)  # fmt: skip
def test_bad_options_of_layers_are_refused(call: Any, text: str) -> None:
    with pytest.raises(OptionError) as caught:
        call()
    assert text in str(caught.value)


def _run(layer: Any, shape: tuple[int, ...], params: Any = None) -> Any:
    """A call that evaluates a layer on zeros."""
    return lambda: layer(layer.init() if params is None else params, np.zeros(shape))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (_run(Dense(3, 2), (4, 2)), "Dense: X has shape (4, 2), expected (n, ..., 3)"),
        (_run(Dense(3, 2), (3,)), "X has shape (3,)"),
        (_run(Dense(3, 2), (4, 3), {"W": np.zeros((3, 2))}), "params is ['W'], expected a dict with the arrays ['W', 'b']"),
        (_run(Dense(3, 2), (4, 3), [1]), "params is list"),
        (_run(Dense(3, 2), (4, 3), Dense(3, 4).init()), "params['W'] has shape (3, 4), the layer needs (3, 2)"),
        (_run(Convolution(2, 1, 3), (1, 5, 5, 1)), "Convolution: X has shape (1, 5, 5, 1), expected (n, h, w, 2)"),
        (_run(Convolution(2, 1, 3), (5, 5, 2)), "X has shape (5, 5, 2)"),
        (_run(Convolution(1, 1, 3), (1, 2, 5, 1)), "images of 2 by 5 are smaller than windows of 3 by 3"),
        (_run(Pooling(3), (1, 2, 5, 1)), "Pooling: images of 2 by 5 are smaller than windows of 3 by 3"),
        (_run(Pooling(3, "max"), (2, 5, 1)), "Pooling: X has shape (2, 5, 1)"),
        (_run(Recurrent(2, 3), (4, 2)), "Recurrent: X has shape (4, 2), expected (n, time, 2)"),
        (_run(Recurrent(2, 3), (4, 0, 2)), "A sequence of no steps has no last state"),
        (_run(Reshape((2, 3)), (4, 5)), "Reshape: X has shape (4, 5), expected (n, 6)"),
        (_run(Flatten(), ()), "X is a single number"),
        (_run(sequential("tanh"), (4, 2), {}), "params has type dict, the model has 1 layers"),
        (_run(sequential("tanh"), (4, 2), [{}, {}]), "params has 2 entries, the model has 1 layers"),
        (lambda: Dense(3, 2, initializer=lambda rng, n_in, n_out: np.ones((n_out, n_in))).init(),
         "the initialiser returned shape (2, 3), the layer needs (3, 2)"),
    ],
)  # fmt: skip
def test_bad_inputs_of_layers_are_refused(call: Any, text: str) -> None:
    with pytest.raises(ShapeMismatchError) as caught:
        call()
    assert text in str(caught.value)


def test_bad_dtypes_of_layers_are_refused() -> None:
    with pytest.raises(DtypeError, match=r"Dense\.init: dtype is int64"):
        Dense(2, 3).init(0, np.int64)
    with pytest.raises(DtypeError, match=r"Sequential\.init: dtype is complex128"):
        sequential(Dense(2, 3)).init(0, np.complex128)


def test_an_abstract_layer_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        ArrayLayer()  # type: ignore[abstract]
