"""Kronecker-factored curvature, the diagonal of Gauss-Newton matrices and gradients of single examples."""

from __future__ import annotations

import numpy as np
import pytest

import hessian as hs
from hessian.errors import ConvergenceError, NonFiniteError, OptionError, ShapeMismatchError
from hessian.nn.losses import softmax_cross_entropy
from hessian.tape.trees import ravel

RNG = np.random.default_rng(0)
NETWORKS = {
    "dense": (hs.nn.mlp((3, 5, 4), "tanh"), RNG.standard_normal((6, 3))),
    "places": (hs.nn.sequential(hs.nn.Dense(3, 2, "sigmoid"), hs.nn.Flatten(), hs.nn.Dense(8, 4)), RNG.standard_normal((6, 4, 3))),
    "convolution": (
        hs.nn.sequential(
            hs.nn.Convolution(2, 3, (2, 3)), "tanh", hs.nn.Pooling(2), hs.nn.Flatten(), hs.nn.mlp((6, 3, 4), "softplus")
        ),
        RNG.standard_normal((6, 5, 4, 2)),
    ),
}  # fmt: skip
CLASSES = RNG.integers(0, 4, 6)


def slopes(network, params, X):
    """Return the Jacobian of outputs, (examples, outputs, n), and Hessians of the loss in them."""
    outputs = network(params, X)
    jacobian = hs.JacobianOperator(network, params, X).to_dense().reshape(*outputs.shape, -1)
    inner = hs.hessian(lambda z: softmax_cross_entropy(z, CLASSES[: len(X)]))(outputs)
    return jacobian, np.array([inner[i, :, i] for i in range(len(X))])


def by_definition(network, params, X, sharing):
    """Return the matrix from per-place gradients: the network with weights of their own at each place."""
    tapped = hs.operators.kronecker.TappedNetwork(network, params, (X,), "test")
    roots = hs.operators.kronecker.output_roots(
        softmax_cross_entropy, tapped.outputs, (CLASSES[: len(X)],), "t", None, 0
    )
    columns = list(tapped.pulled_back(roots))
    n = tapped.vector.size
    result = np.zeros((n, n))
    for k, tap in enumerate(tapped.taps):
        A, B = 0.0, 0.0
        for i in range(len(X)):
            mean = tap.rows[i].mean(axis=0)
            T = len(tap.rows[i])
            outer = np.outer(mean, mean) if sharing == "reduce" else sum(np.outer(a, a) for a in tap.rows[i]) / T
            A = A + outer / len(X)
            for column in columns:
                parts = column[k][i]
                total = parts.sum(axis=0)
                B = B + (np.outer(total, total) if sharing == "reduce" else sum(np.outer(g, g) for g in parts))
        result[np.ix_(tap.places.ravel(), tap.places.ravel())] = np.kron(A, B)
    return result


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_blocks_are_kronecker_products_of_moments(name, sharing):
    network, X = NETWORKS[name]
    params = network.init(1)
    K = hs.KFACOperator(network, softmax_cross_entropy, params, X, loss_args=(CLASSES,), sharing=sharing)
    wanted = by_definition(network, params, X, sharing)
    np.testing.assert_allclose(K.to_dense(), wanted, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(K.diagonal(), np.diag(wanted), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(K.eigenvalues(), np.linalg.eigvalsh(wanted), atol=1e-13)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_comes_back_is_what_derivatives_say(name):
    """Rows and cotangents of each layer are right if the gradients that they make are."""
    network, X = NETWORKS[name]
    params = network.init(1)
    jacobian, inner = slopes(network, params, X)
    dense = np.einsum("iok,iop,ipl->kl", jacobian, inner, jacobian)
    loss_args = (CLASSES,)
    diagonal = hs.curvature.gauss_newton_diagonal(network, softmax_cross_entropy, params, X, loss_args=loss_args)
    np.testing.assert_allclose(diagonal, np.diag(dense), rtol=1e-10, atol=1e-15)
    E = hs.KFACOperator(network, softmax_cross_entropy, params, X, loss_args=loss_args, eigenvalue_corrected=True)
    for block in E.blocks:
        basis, at = np.kron(*block.bases), block.places.ravel()
        corrected = np.diag(basis.T @ dense[np.ix_(at, at)] @ basis)
        np.testing.assert_allclose(block.eigenvalues.ravel(), corrected, rtol=1e-9, atol=1e-14)


def test_with_one_example_blocks_are_exact():
    network, X = NETWORKS["dense"]
    params = network.init(1)
    K = hs.KFACOperator(network, softmax_cross_entropy, params, X[:1], loss_args=CLASSES[:1])
    G = hs.GaussNewtonOperator(network, softmax_cross_entropy, params, X[:1], loss_args=(CLASSES[:1],)).to_dense()
    for block in K.blocks:
        at = np.ix_(block.places.ravel(), block.places.ravel())
        np.testing.assert_allclose(K.to_dense()[at], G[at], rtol=1e-12, atol=1e-15)


def test_a_linear_layer_is_exact_where_the_loss_is_quadratic():
    layer, X = hs.nn.Dense(3, 2), RNG.standard_normal((9, 3))
    params = layer.init(0)
    loss = lambda z: np.sum(z**2)
    K = hs.KFACOperator(layer, loss, params, X)
    G = hs.GaussNewtonOperator(layer, loss, params, X).to_dense()
    np.testing.assert_allclose(K.to_dense(), G, rtol=1e-12, atol=1e-12)
    assert repr(K) == "<KFACOperator of order 8: 1 block, the model 4 x 2>"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("corrected", [False, True])
def test_systems_determinants_and_products(dtype, corrected):
    network, X = NETWORKS["convolution"]
    params, X = network.init(2, dtype), X.astype(dtype)
    K = hs.KFACOperator(network, softmax_cross_entropy, params, X, loss_args=(CLASSES,), eigenvalue_corrected=corrected)
    assert K.dtype == dtype
    matrix, tol = K.to_dense().astype(float), 1e-10 if dtype == np.float64 else 1e-3
    b = RNG.standard_normal((len(matrix), 3)).astype(dtype)
    damped = matrix + 0.1 * np.eye(len(matrix))
    np.testing.assert_allclose(K.solve(b, damping=0.1), np.linalg.solve(damped, b), rtol=tol, atol=tol)
    np.testing.assert_allclose(K.solve(b[:, 0], damping=0.1), np.linalg.solve(damped, b[:, 0]), rtol=tol, atol=tol)
    np.testing.assert_allclose(K @ b, matrix @ b, rtol=tol, atol=tol)
    np.testing.assert_allclose(K.diagonal(), np.diag(matrix), rtol=tol, atol=tol)
    np.testing.assert_allclose(K.logdet(damping=0.1), np.linalg.slogdet(damped)[1], rtol=tol)
    assert K.diagonal_products(100) == 0
    for singular in (lambda: K.solve(b), K.logdet):
        with pytest.raises(ConvergenceError, match="singular to working precision"):
            singular()
    with pytest.raises(OptionError, match="damping"):
        K.solve(b, damping=-1.0)
    with pytest.raises(ShapeMismatchError, match="b has shape"):
        K.solve(b[:-1], damping=1.0)


def test_drawn_cotangents_are_right_in_the_mean():
    network, X = NETWORKS["dense"]
    params = network.init(1)
    exact = hs.KFACOperator(network, softmax_cross_entropy, params, X, loss_args=(CLASSES,))
    draws = [
        hs.KFACOperator(network, softmax_cross_entropy, params, X, loss_args=(CLASSES,), n_samples=100, rng=seed)
        for seed in range(30)
    ]
    for k, block in enumerate(exact.blocks):
        found = np.array([draw.blocks[k].outputs for draw in draws])
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert np.all(np.abs(found.mean(axis=0) - block.outputs) < 5.0 * error + 1e-12)
        np.testing.assert_array_equal(draws[0].blocks[k].inputs, block.inputs)
    again = hs.KFACOperator(network, softmax_cross_entropy, params, X, loss_args=(CLASSES,), n_samples=100, rng=0)
    np.testing.assert_array_equal(again.to_dense(), draws[0].to_dense())


def test_inverses_are_operators():
    network, X = NETWORKS["dense"]
    params = network.init(1)
    K = hs.KFACOperator(network, softmax_cross_entropy, params, X, loss_args=(CLASSES,))
    G = hs.GaussNewtonOperator(network, softmax_cross_entropy, params, X, loss_args=(CLASSES,))
    large = np.diag(np.linspace(1.0, 3.0, 700))
    for operator, damping in ((K, 0.1), (G, 0.1), (large, 0.0), (np.diag([2.0, -4.0]), 0.0)):
        inverse = hs.operators.InverseOperator(operator, damping)
        matrix = operator if isinstance(operator, np.ndarray) else operator.to_dense()
        wanted = np.linalg.inv(matrix + damping * np.eye(len(matrix)))
        b = RNG.standard_normal((len(matrix), 2))
        np.testing.assert_allclose(inverse @ b, wanted @ b, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(inverse @ b[:, 0], wanted @ b[:, 0], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(
            (2.0 * inverse + np.eye(len(matrix))) @ b, 2.0 * wanted @ b + b, rtol=1e-6, atol=1e-7
        )
    with pytest.raises(ConvergenceError, match="singular"):
        hs.operators.InverseOperator(K) @ np.ones(len(K.primal))
    with pytest.raises(OptionError, match="damping"):
        hs.operators.InverseOperator(K, -1.0)


def test_many_blocks_have_a_short_repr():
    network = hs.nn.mlp((2, 2, 2, 2, 2, 2, 2))
    K = hs.KFACOperator(network, lambda z: np.sum(z**2), network.init(0), np.ones((3, 2)), eigenvalue_corrected=True)
    assert repr(K) == (
        "<KFACOperator of order 36: 6 blocks, [0] 3 x 2, [1] 3 x 2, [2] 3 x 2 and 3 more, eigenvalues corrected>"
    )
    assert repr(K.blocks[1]) == "<KroneckerBlock [1]: 3 x 2>"


class Residual(hs.nn.sequential(hs.nn.Dense(3, 3)).__class__):
    """A model that does more than its layers."""

    def apply(self, params, X):
        return X + super().apply(params, X)


def test_what_has_no_kronecker_factors_is_refused():
    network, X = NETWORKS["dense"]
    params = network.init(1)

    def make(model=network, loss=lambda z: np.sum(z**2), x=params, X=X, **options):
        return hs.KFACOperator(model, loss, x, X, **options)

    recurrent = hs.nn.sequential(hs.nn.Recurrent(3, 2), hs.nn.Dense(2, 1))
    with pytest.raises(OptionError, match=r"layer \[0\], Recurrent.* does not tell the rows"):
        make(recurrent, x=recurrent.init(0), X=np.ones((2, 4, 3)))
    residual = Residual(hs.nn.Dense(3, 3))
    with pytest.raises(OptionError, match="not its layers one after the other"):
        make(residual, x=residual.init(0))
    centered = hs.nn.sequential(hs.nn.Dense(3, 4), lambda z: z - np.mean(z, axis=0), hs.nn.Dense(4, 1))
    with pytest.raises(OptionError, match="examples meet in the model"):
        make(centered, x=centered.init(0))
    with pytest.raises(OptionError, match="examples meet in the loss"):
        make(loss=lambda z: np.sum(z) ** 2)
    with pytest.raises(OptionError, match="not convex in the outputs: it has an eigenvalue of -2"):
        make(loss=lambda z: np.sum(z[:, 0] ** 2 - z[:, 1] ** 2))
    with pytest.raises(OptionError, match="the model has 0 arguments after its parameters"):
        hs.KFACOperator(network, np.sum, params)
    with pytest.raises(OptionError, match="sharing is 'mean'"):
        make(sharing="mean")
    with pytest.raises(OptionError, match="n_samples"):
        make(n_samples=0)
    with pytest.raises(ShapeMismatchError, match="params has 1 entries"):
        make(x=params[:1])
    with pytest.raises(ShapeMismatchError, match="W"):
        make(x=[{**params[0], "W": params[0]["W"].T}, params[1]])
    with pytest.raises(NonFiniteError, match="an output of the model is NaN"):
        make(X=np.full((2, 3), np.nan))
    with pytest.raises(NonFiniteError, match="second derivative of the loss"):
        make(loss=lambda z: np.sum(np.abs(z) ** 1.5), x=[{k: 0.0 * v for k, v in block.items()} for block in params])


def test_parameters_outside_of_layers_are_refused():
    class Scaled:
        """A layer that says nothing of its one parameter."""

        n_parameters = 0

        def apply(self, params, X):
            return params["c"] * X

    class Model:
        layers = (Scaled(), hs.nn.Dense(3, 2))

        def __call__(self, params, X):
            return self.layers[1](params[1], self.layers[0].apply(params[0], X))

    params = [{"c": np.array(2.0)}, hs.nn.Dense(3, 2).init(0)]
    with pytest.raises(ShapeMismatchError, match="the layers have 8 parameters, params 9"):
        hs.KFACOperator(Model(), lambda z: np.sum(z**2), params, np.ones((2, 3)))


def losses(params, X, y, network=NETWORKS["dense"][0]):
    return -hs.special.log_softmax(network(params, X), axis=1)[np.arange(len(y)), y]


@pytest.mark.parametrize("size", [1, 5, 16, 50])
def test_gradients_of_single_examples(size):
    network, rng = NETWORKS["dense"][0], np.random.default_rng(2)
    params, X, y = network.init(1), rng.standard_normal((size, 3)), rng.integers(0, 4, size)
    found = hs.curvature.per_example(losses, params, X, y)
    closed = hs.curvature.per_example(lambda p: losses(p, X, y), params)
    rows = [ravel(hs.grad(lambda p, i=i: losses(p, X, y)[i])(params))[0] for i in range(size)]
    for one in (found, closed):
        np.testing.assert_allclose(one.gradients, rows, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(one.losses, losses(params, X, y))
    np.testing.assert_allclose(found.mean, np.mean(rows, axis=0), atol=1e-14)
    np.testing.assert_allclose(found.second_moment, np.mean(np.square(rows), axis=0), atol=1e-14)
    np.testing.assert_allclose(found.variance, np.var(rows, axis=0), atol=1e-14)
    np.testing.assert_allclose(found.norms, np.linalg.norm(rows, axis=1))
    assert repr(found).startswith(f"<PerExample: {size} gradients of {params[0]['W'].size + 5 + 24} parameters")


def test_rows_that_are_not_those_of_examples_are_taken_together():
    """Whatever arguments look like rows: as many as examples, shuffled, meeting in a mean, or failing on some of them."""
    rng = np.random.default_rng(3)
    size, w = 40, np.array([0.3, -0.2])
    X, other = rng.standard_normal((size, 2)), rng.standard_normal((size, size))
    meeting = {
        "mean": lambda w, X: (X @ w - np.mean(X @ w)) ** 2,
        "reversed": lambda w, X: np.exp(X[::-1] @ w),
        "matrix": lambda w, X: (other @ X @ w) ** 2 if len(X) == size else (X @ w) ** 2,
        "fails": lambda w, X: np.reshape(X @ w, (size,)) ** 2,
        "number": lambda w, X: (X @ w) ** 2 if len(X) == size else np.zeros((len(X), 1)) + w[0],
    }
    for name, f in meeting.items():
        rows = hs.jacobian(f)(w, X)
        np.testing.assert_allclose(hs.curvature.per_example(f, w, X).gradients, rows, rtol=1e-12, err_msg=name)


def test_losses_that_are_no_vector_or_not_finite_are_refused():
    with pytest.raises(ShapeMismatchError, match=r"losses have shape \(\)"):
        hs.curvature.per_example(lambda x: np.sum(x**2), np.ones(3))
    with pytest.raises(NonFiniteError, match="the gradient of example 0"):
        hs.curvature.per_example(lambda x: np.sqrt(x), np.zeros(3))
