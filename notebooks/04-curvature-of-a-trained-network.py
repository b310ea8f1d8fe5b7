# %% [markdown]
# # The curvature of a trained network
#
# A network has been trained to a minimum. What does the loss look like there? The Hessian has 2 410 × 2 410 entries, and
# nobody needs them: a hundred products tell the large eigenvalues to twelve digits, the trace with its standard error, and
# the density of all the others with a band. Then: why there are as many large eigenvalues as there are, which layer they
# are in, and how far the quadratic picture carries.

# %%
import matplotlib.pyplot as plt
import numpy as np

import hessian as hs
from hessian.commands.datasets import load_dataset, split_dataset
from hessian.curvature import (
    block_spectra,
    eigen_directions,
    eigenvalues,
    line_slice,
    plane_slice,
    random_directions,
    spectral_density,
    summary,
)
from hessian.plotting import COLORS, plot_density, plot_layers, plot_line, plot_plane, plot_spectrum

data = split_dataset(load_dataset("digits"), test_size=0.25, seed=0)
network, l2 = hs.nn.mlp((64, 32, 10), "tanh"), 1e-3
fit = hs.nn.train(network, data.X_train, data.y_train, l2=l2, rng=0)
objective = hs.record(fit.objective)
H = hs.HessianOperator(objective, fit.params)
print(fit.result.status.name, f"gradient norm {fit.result.gradient_norm:.1e}")

# %% [markdown]
# ## 1. Sixty products, everything they tell
#
# `summary` shares a budget among its estimates, and gives each with its error.

# %%
told = summary(H, max_hvp=60)
told

# %% [markdown]
# ## 2. The spectrum
#
# The large eigenvalues one by one, by Lanczos; each comes with a residual, and an exact eigenvalue lies no farther away
# than that. All of them as a density, by stochastic Lanczos quadrature, with the band that holds it at 95 % confidence.
# The Gauss-Newton matrix leaves out the curvature of the network itself, and is nearly the same at the top: there,
# curvature is that of the loss.

# %%
gauss_newton = hs.GaussNewtonOperator(
    lambda p: network(p, data.X_train), lambda z: hs.nn.softmax_cross_entropy(z, data.y_train), fit.params
)
top, top_gauss_newton = eigenvalues(H, 20), eigenvalues(gauss_newton, 20)
density = spectral_density(H, 200)
print(top)
figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 3.8), layout="constrained")
plot_spectrum(top, ax=left, label="Hessian", scale="log")
plot_spectrum(top_gauss_newton, ax=left, label="Gauss-Newton", marker="s", scale="log")
plot_density(density, ax=right, eigenvalues=top.values)
plt.show()

# %% [markdown]
# The bulk is at zero: nearly all of the 2 410 directions are held by the penalty alone. Beside it stands a handful of
# outliers.
#
# ## 3. The outliers are the classes
#
# V. Papyan (*JMLR* 21, 2020) explains the outliers by the classes: the mean gradients of the K classes span a space of K - 1
# dimensions that matter (they add up to nothing at a minimum, but for the penalty), and the outliers live in it. This is
# a statement about subspaces, so it can be measured: the share of each eigenvector's square that lies in the span of the
# class means. Here for networks trained on the digits below 3, 5 and 8, and on all ten.

# %%
from hessian.tape.trees import ravel


def class_shares(classes, count=14):
    """Train on the digits below a number; return each leading eigenvector's share in the span of the class gradients."""
    chosen = data.y_train < classes
    X, y = data.X_train[chosen], data.y_train[chosen]
    model = hs.nn.mlp((64, 32, classes), "tanh")
    trained = hs.nn.train(model, X, y, l2=l2, rng=0)
    gradient = hs.grad(lambda p, X, y: hs.nn.softmax_cross_entropy(model(p, X), y))
    means = [ravel(gradient(trained.params, X[y == c], y[y == c]))[0] for c in range(classes)]
    basis = np.linalg.qr(np.transpose(means))[0]
    vectors = eigenvalues(hs.HessianOperator(trained.objective, trained.params), count).vectors[:, ::-1]
    return np.sum((basis.T @ vectors) ** 2, axis=0)


shares = {classes: class_shares(classes) for classes in (3, 5, 8, 10)}
figure, ax = plt.subplots(figsize=(6.8, 3.6), layout="constrained")
for color, marker, (classes, share) in zip(COLORS, "osD^", shares.items(), strict=False):
    rank = np.arange(1, len(share) + 1)
    ax.plot(rank, share, marker=marker, color=color, markersize=5, linewidth=1.2, label=f"{classes} classes")
ax.set(xlabel="rank of the eigenvector", ylabel="share in the span of class gradients", xticks=range(1, 15))
ax.grid(alpha=0.3)
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Up to rank K - 1 nearly all, from rank K on nearly nothing; with ten classes the edge is soft, as the last outliers come
# near the bulk. A random direction would have a share of $K / 2410$.
#
# ## 4. Layer by layer
#
# The diagonal blocks of the Hessian that belong to the parameters of each layer. Their traces add up to the whole.

# %%
parts = block_spectra(H, k=5, max_hvp=150)
names = dict(zip(parts, ("hidden weights", "hidden biases", "output weights", "output biases"), strict=True))
traces = {names[key]: part.trace for key, part in parts.items()}
means = {names[key]: float(part.trace) / part.size for key, part in parts.items()}
mean_errors = {names[key]: float(part.trace.standard_error) / part.size for key, part in parts.items()}
for key, part in parts.items():
    print(f"{names[key]:<15}{part.size:5d} parameters, largest eigenvalue {part.highest.values[-1]:.4f}, {part.trace}")
figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 2.8), layout="constrained")
plot_layers(traces, label="trace of the block ± standard error", ax=left)
plot_layers(means, label="mean eigenvalue of the block ± standard error", errors=mean_errors, ax=right)
plt.show()

# %% [markdown]
# Most of the curvature is in the hidden weights because most of the parameters are; by the parameter, the biases
# curve most.
#
# ## 5. How far the quadratic picture carries
#
# Eigenvalues describe an infinitesimal neighbourhood. Slices show the rest of it: the loss itself along eigenvectors,
# with its exact second- and third-order Taylor models; and over a plane of random directions, scaled filter by filter
# (H. Li et al., NeurIPS 2018), so that a step of one changes each filter by its own size.

# %%
first, second = eigen_directions(objective, fit.params, k=2)
along = line_slice(objective, fit.params, first, span=3.0)
sharp = plane_slice(objective, fit.params, first, second, span=2.0, points=25)
random = plane_slice(objective, fit.params, *random_directions(fit.params, 2, rng=0), span=1.0, points=25)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13.0, 3.7), layout="constrained")
plot_line(along, ax=left)
plot_plane(sharp, ax=middle)
plot_plane(random, ax=right)
plt.show()

# %% [markdown]
# Along the sharpest direction the loss climbs faster than its quadratic model at first and more slowly later; the model
# is good for a fraction of a unit. Its contours, dashed, are right at the bottom of the bowl and too round further up.
#
# ## 6. Everything above, asserted

# %%
dense = H.to_dense()
exact = np.linalg.eigvalsh(dense)
assert fit.result.success
np.testing.assert_allclose(top.values, exact[-20:], rtol=1e-10)
assert np.all(np.abs(top.values - exact[-20:]) <= top.residuals)
assert abs(told.trace.value - np.trace(dense)) < 4.0 * told.trace.standard_error
assert abs(told.frobenius_norm.value - np.linalg.norm(dense)) < 4.0 * told.frobenius_norm.standard_error
assert told.n_hvp <= 60
smoothed = np.exp(-0.5 * ((density.grid[:, None] - exact) / density.width) ** 2).mean(axis=1)
smoothed /= density.width * np.sqrt(2.0 * np.pi)
assert np.all((density.band[0] <= smoothed) & (smoothed <= density.band[1]))
assert abs(top.values[-1] / (top_gauss_newton.values[-1] + l2) - 1.0) < 0.1

for classes, share in shares.items():
    assert np.all(share[: classes - 2] > 0.85)
    assert np.all(share[classes:] < 0.25)
    assert np.mean(share[classes + 1 :]) < 0.05

total = sum(float(part.trace) for part in parts.values())
spread = np.sqrt(sum(float(part.trace.standard_error) ** 2 for part in parts.values()))
assert abs(total - np.trace(dense)) < 4.0 * spread
assert all(part.highest.values[-1] <= exact[-1] for part in parts.values())

near = np.abs(along.t) < 0.25
assert np.max(np.abs(along.cubic - along.values)[near]) < 0.02
np.testing.assert_allclose(2.0 * along.coefficients[2], exact[-1], rtol=1e-8)
np.testing.assert_allclose(sharp.hessian, np.diag(exact[:-3:-1]), atol=1e-8)
print("all assertions hold")
