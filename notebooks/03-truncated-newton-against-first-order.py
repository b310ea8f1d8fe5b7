# %% [markdown]
# # Training a network: truncated Newton against first-order methods
#
# The same network, the same data, the same start, one `method=` after the other. Twice: on a classification problem of
# ordinary difficulty, where the methods differ in how *far* they get, and on a deep autoencoder, whose curvature
# differs so much between directions that first-order methods have to choose which to be slow in.

# %%
import matplotlib.pyplot as plt
import numpy as np

import hessian as hs
from hessian.commands.datasets import load_dataset, split_dataset
from hessian.plotting import COLORS, plot_comparison, plot_convergence

# %% [markdown]
# ## 1. Handwritten digits
#
# 64-16-10 with tanh on 1 347 digits of 8 × 8 pixels: 1 210 parameters, mean cross-entropy, and a penalty of
# $\tfrac12 \cdot 10^{-3}$ times the squared norm of all parameters. Newton's methods see all rows at once and
# stop by themselves; first-order methods see batches of 32 rows and stop after 150 epochs. Hessian-free (J. Martens, ICML
# 2010) stands between: products with the Gauss-Newton matrix of a batch, for steps on all rows. Learning rates are the
# best of a few that were tried.

# %%
data = split_dataset(load_dataset("digits"), test_size=0.25, seed=0)
network = hs.nn.mlp((64, 16, 10), "tanh")
methods = {
    "trust-ncg": {},
    "hessian-free": {"maxiter": 60},
    "adam": {"maxiter": 150, "learning_rate": 3e-3},
    "momentum": {"maxiter": 150, "learning_rate": 0.03},
    "gradient-descent": {"maxiter": 150, "learning_rate": 0.3},
}
fits = {
    method: hs.nn.train(network, data.X_train, data.y_train, l2=1e-3, rng=0, method=method, options=options)
    for method, options in methods.items()
}
print("method            objective  |gradient|  gradients  products  seconds  test accuracy")
scores = {}
for method, fit in fits.items():
    last = fit.result.history[-1]
    scores[method] = hs.nn.accuracy(fit.predict(data.X_test), data.y_test)
    print(f"{method:<17}{fit.result.fun:10.6f}{fit.result.gradient_norm:12.1e}{last.n_grad:11d}", end="")
    print(f"{last.n_hvp:10d}{last.seconds:9.1f}{scores[method]:15.4f}")

# %%
plot_comparison({method: fit.result.history for method, fit in fits.items()})[0].figure

# %% [markdown]
# Both axes are logarithmic, and the vertical one counts from the lowest value that any method reached. (A gradient of a
# batch is cheaper than one of all rows, so compare seconds, not gradients.) First-order methods are quick to a loss that
# is good enough to classify with, and then circle around the minimum at a distance set by learning rate and batches. The
# Newton method takes about as long to get there, and then falls off a cliff: the last few steps bring most of the digits.
#
# The test accuracy is the same. Then why go to the bottom? Because a minimum is a *definition*: the result does not
# depend on when somebody stopped, and everything that is said of minima (standard errors, Laplace approximation, leave-one-out,
# curvature) holds there and not nearby. The gradient says how near it is:

# %%
plot_convergence(fits["trust-ncg"].result.history, gtol=1e-6)[0].figure

# %% [markdown]
# ## 2. A deep autoencoder
#
# 64-24-8-24-64: reconstruct an image from eight numbers. This is the kind of problem on which Martens made the case for
# curvature. Adam is given two learning rates with a cosine schedule to zero, and about as many seconds.

# %%
X = data.X_train[:600]
autoencoder = hs.nn.mlp((64, 24, 8, 24, 64), "tanh")
settings = {
    "hessian-free": ("hessian-free", {"maxiter": 100}),
    "adam, rate 0.003": ("adam", {"maxiter": 800, "learning_rate": 3e-3, "schedule": "cosine"}),
    "adam, rate 0.01": ("adam", {"maxiter": 800, "learning_rate": 1e-2, "schedule": "cosine"}),
}
coded = {
    name: hs.nn.train(autoencoder, X, X, loss="squared_error", l2=1e-5, rng=0, method=method, options=options)
    for name, (method, options) in settings.items()
}
for name, fit in coded.items():
    last = fit.result.history[-1]
    print(f"{name:<18}squared error {fit.metrics['loss']:.4f}, {last.n_grad} gradients, ", end="")
    print(f"{last.n_hvp} products, {last.seconds:.1f} s")

# %%
figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for color, (name, fit) in zip(COLORS, coded.items(), strict=False):
    seconds, values = zip(*((row.seconds, row.value) for row in fit.result.history[1:]), strict=True)
    ax.plot(seconds, values, label=name, linewidth=1.4, color=color)
ax.set(xlabel="seconds", ylabel="objective", yscale="log", ylim=(0.78, 2.0), yticks=[0.8, 0.9, 1, 1.2, 1.5, 2])
ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
ax.minorticks_off()
ax.grid(alpha=0.3)
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Second for second, Adam with the better rate comes close (how close depends on the machine), and with the other it
# does not. Hessian-free has no rate to choose, and is not at its end. Below, some test images and what is left of them after
# the bottleneck of eight numbers:

# %%
shown = data.X_test[:10]
restored = coded["hessian-free"].predict(shown)
figure, rows = plt.subplots(2, 10, figsize=(8.0, 1.8), layout="constrained")
for images, row in zip((shown, restored), rows, strict=True):
    for image, ax in zip(images, row, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="Greys", vmin=0.0, vmax=1.0)
        ax.set_axis_off()
plt.show()

# %% [markdown]
# ## 3. A convolution, and a recurrence
#
# Nothing above knows what a network is made of: a layer is plain NumPy, and its curvature comes from differentiating it. The
# digits once more, as images under a convolution with six filters of 3 × 3 pixels, and as sequences: a recurrent layer reads
# the eight rows of an image as eight steps in time, and its last state of 24 numbers has to know the digit.

# %%
nn = hs.nn
networks = {
    "convolution": nn.sequential(
        nn.Reshape((8, 8, 1)), nn.Convolution(1, 6, 3), "tanh", nn.Pooling(2), nn.Flatten(), nn.Dense(54, 10)
    ),
    "recurrence": nn.sequential(nn.Reshape((8, 8)), nn.Recurrent(8, 24), nn.Dense(24, 10)),
}
settings = {"hessian-free": {"maxiter": 60}, "adam": {"maxiter": 100, "learning_rate": 3e-3, "schedule": "cosine"}}
trained = {
    (kind, method): nn.train(network, data.X_train, data.y_train, l2=1e-3, rng=0, method=method, options=options)
    for kind, network in networks.items()
    for method, options in settings.items()
}
print("network      method          objective  |gradient|  gradients  products  seconds  test accuracy")
accuracies = {}
for (kind, method), fit in trained.items():
    last = fit.result.history[-1]
    accuracies[kind, method] = nn.accuracy(fit.predict(data.X_test), data.y_test)
    print(f"{kind:<13}{method:<15}{fit.result.fun:10.6f}{fit.result.gradient_norm:12.1e}{last.n_grad:11d}", end="")
    print(f"{last.n_hvp:10d}{last.seconds:9.1f}{accuracies[kind, method]:15.4f}")

# %%
figure, panels = plt.subplots(1, 2, figsize=(8.0, 3.2), sharey=True, layout="constrained")
for kind, ax in zip(networks, panels, strict=True):
    for color, method in zip(COLORS, settings, strict=False):
        history = trained[kind, method].result.history[1:]
        ax.plot([row.seconds for row in history], [row.value for row in history], label=method, color=color)
    ax.set(title=kind, xlabel="seconds", yscale="log")
    ax.grid(alpha=0.3)
panels[0].set_ylabel("objective")
panels[1].legend(frameon=False)
plt.show()

# %% [markdown]
# Hessian-free has the same settings for both, and for the two problems above. Adam has a rate and a schedule that were chosen.

# %% [markdown]
# ## 4. Everything above, asserted

# %%
best = fits["trust-ncg"].result
assert best.success
assert best.gradient_norm <= 1e-6
for method in ("hessian-free", "adam", "momentum", "gradient-descent"):
    assert fits[method].result.fun > best.fun
    assert fits[method].result.gradient_norm > 1e3 * best.gradient_norm
assert min(scores.values()) >= 0.96
# Newton's ending: seven of some sixty steps bring two digits.
norms = np.array([row.gradient_norm for row in best.history if row.accepted])
assert norms[-1] < 1e-2 * norms[-8]

losses = {name: fit.metrics["loss"] for name, fit in coded.items()}
assert losses["hessian-free"] < losses["adam, rate 0.01"]
assert losses["hessian-free"] < losses["adam, rate 0.003"]
assert np.mean((restored - shown) ** 2) < 0.35 * np.mean((shown - X.mean(axis=0)) ** 2)

for kind in networks:
    assert trained[kind, "hessian-free"].result.fun < trained[kind, "adam"].result.fun
assert min(accuracies.values()) >= 0.95
print("all assertions hold")
