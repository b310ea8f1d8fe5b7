# %% [markdown]
# # The curvature of a transformer block
#
# A hundred thousand parameters in plain NumPy: an embedding, four heads of attention, a hidden layer, layer norms. It
# learns to add modulo 12. What does its Hessian look like on the way: the largest eigenvalues, the density, the layers,
# and how much of it does a batch see? Nothing here is a network class; the library sees a function of a dict of arrays.

# %%
import matplotlib.pyplot as plt
import numpy as np

import hessian as hs
from hessian.curvature import block_spectra, eigenvalues, sharpness_along, spectral_density
from hessian.plotting import COLORS, plot_density, plot_layers, plot_spectrum

MODULUS, WIDTH, HEADS, HIDDEN = 12, 92, 4, 368


def normalized(x):
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5)


def softmax(z):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def logits(p, tokens):
    """Read three tokens, ``a b =``; return what comes next, (examples, MODULUS)."""
    x = p["embedding"][tokens] + p["position"]
    n, length, _ = x.shape
    q, k, v = np.moveaxis((normalized(x) @ p["attention"]).reshape(n, length, 3, HEADS, -1), 2, 0)
    weights = softmax(np.einsum("nihd,njhd->nhij", q, k) / np.sqrt(WIDTH / HEADS))
    heads = np.einsum("nhij,njhd->nihd", weights, v).reshape(n, length, WIDTH)
    x = x + heads @ p["mixing"]
    h = normalized(x) @ p["hidden"]
    x = x + (0.5 * h * (1 + np.tanh(0.7978845608 * (h + 0.044715 * h**3)))) @ p["back"]
    return normalized(x[:, -1]) @ p["output"]


def cross_entropy(z, y):
    shifted = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(shifted), axis=1)) - shifted[np.arange(len(y)), y])


def loss(p, tokens, y):
    return cross_entropy(logits(p, tokens), y)


rng = np.random.default_rng(0)
shapes = {
    "embedding": (MODULUS + 1, WIDTH),
    "position": (3, WIDTH),
    "attention": (WIDTH, 3 * WIDTH),
    "mixing": (WIDTH, WIDTH),
    "hidden": (WIDTH, HIDDEN),
    "back": (HIDDEN, WIDTH),
    "output": (WIDTH, MODULUS),
}
start = {name: rng.standard_normal(shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
start["embedding"] *= np.sqrt(MODULUS + 1)
a, b = map(np.ravel, np.meshgrid(np.arange(MODULUS), np.arange(MODULUS)))
tokens, y = np.stack([a, b, np.full(a.size, MODULUS)], axis=1), (a + b) % MODULUS
print(f"{sum(array.size for array in start.values()):,} parameters, {len(y)} examples")

# %% [markdown]
# ## 1. Training, and the sharpness along it
#
# Gradient descent with momentum on all sums, from the random start. The function is recorded once; the parameters of
# every tenth step are kept, and `sharpness_along` measures the largest eigenvalue at each, starting Lanczos from the
# eigenvector before.

# %%
recorded = hs.record(loss)
value_and_gradient = hs.value_and_grad(recorded)
p, velocity = start, {name: np.zeros_like(array) for name, array in start.items()}
losses, points = [], []
for step in range(61):
    value, gradient = value_and_gradient(p, tokens, y)
    losses.append(value)
    if step % 10 == 0:
        points.append(p)
    velocity = {name: 0.9 * velocity[name] - 0.1 * gradient[name] for name in p}
    p = {name: p[name] + velocity[name] for name in p}
right = np.mean(np.argmax(logits(points[-1], tokens), axis=1) == y)
print(f"loss {losses[0]:.3f} -> {losses[-1]:.4f}, {right:.0%} of the sums are right")

along = sharpness_along(recorded, points, tokens, y)
figure, ax = plt.subplots(figsize=(6.6, 3.4), layout="constrained")
ax.plot(losses, color=COLORS[0], label="loss")
ax.plot(np.arange(0, 61, 10), along.sharpness, "o-", color=COLORS[1], label="sharpness (largest eigenvalue)")
ax.set(xlabel="step", yscale="log", title="gradient descent with momentum, all 144 sums")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 2. Ten eigenvalues, and what all the others do
#
# At the start and at the end of training, Hessian and Gauss-Newton matrix. At the start the two agree at the top within a
# few percent, and yet the Hessian has eigenvalues below zero, which the Gauss-Newton matrix cannot have. After training
# the loss is less than a thousandth of what it was, the largest eigenvalue a sixtieth, and what is left differs by a fifth:
# where a network is sure of all examples, the curvature of the loss fades faster than that of the network.


# %%
def operators(p, tokens=tokens, y=y):
    H = hs.HessianOperator(recorded, p, tokens, y)
    return H, hs.GaussNewtonOperator(logits, cross_entropy, p, tokens, loss_args=(y,))


found = {}
for when, point in (("at the start", points[0]), ("after training", points[-1])):
    for kind, operator in zip(("Hessian", "Gauss-Newton"), operators(point), strict=True):
        found[when, kind] = eigenvalues(operator, 10, rtol=1e-3)
    ten = {kind: found[when, kind].values[::-1] for kind in ("Hessian", "Gauss-Newton")}
    print(when, *(f"\n  {kind:<13}{np.array2string(values, precision=3)}" for kind, values in ten.items()))

# %%
H, _ = operators(points[0])
lowest = eigenvalues(H, 3, which="SA", rtol=1e-2)
density = spectral_density(H, 60)
figure, (left, right_ax) = plt.subplots(1, 2, figsize=(10.0, 3.8), layout="constrained")
for kind, marker in (("Hessian", "o"), ("Gauss-Newton", "s")):
    plot_spectrum(found["at the start", kind], ax=left, label=kind, marker=marker, scale="log")
left.set_title("at the start, ten largest")
plot_density(density, ax=right_ax)
plt.show()
print(f"lowest at the start {lowest.values[0]:.3f}, highest {found['at the start', 'Hessian'].values[-1]:.3f}")

# %% [markdown]
# ## 3. Which layer
#
# The diagonal blocks of the Hessian, named as the parameters are.

# %%
parts = block_spectra(operators(points[-1])[0], k=1, max_hvp=24)
for name, part in parts.items():
    print(f"{name:<10}{part.size:6d} parameters, largest eigenvalue {part.highest.values[-1]:8.4f}, {part.trace}")
figure, ax = plt.subplots(figsize=(6.6, 3.0), layout="constrained")
plot_layers({name: part.trace for name, part in parts.items()}, label="trace of the block ± standard error", ax=ax)
plt.show()

# %% [markdown]
# ## 4. What a batch sees
#
# A batch of m of the 144 sums has a Hessian of its own, and products with it cost in proportion. The largest eigenvalue is
# convex in the matrix: its mean over the batches that make up all sums cannot be below that of all (Jensen's inequality),
# and for small batches it is far above.

# %%
order = rng.permutation(len(y))
tops = {}
for size in (12, 48, 144):
    chosen = order.reshape(-1, size)
    tops[size] = [
        eigenvalues(hs.HessianOperator(recorded, points[3], tokens[i], y[i]), 1, rtol=1e-3).values[-1] for i in chosen
    ]
    print(f"batches of {size:3d}: largest eigenvalue {np.mean(tops[size]):.3f}, spread {np.std(tops[size]):.3f}")

# %% [markdown]
# ## 5. Everything above, asserted

# %%
assert sum(array.size for array in start.values()) > 100_000
assert losses[-1] < 0.2 * losses[0]
top = found["at the start", "Hessian"]
vector = top.vectors[:, -1]
H, G = operators(points[0])
image = H @ vector
assert np.linalg.norm(image - top.values[-1] * vector) <= 2e-3 * top.values[-1]
# A product is a difference of gradients, to what differences can tell.
gradient = hs.grad(recorded)
leaves = dict(zip(shapes, np.split(vector, np.cumsum([np.prod(s) for s in shapes.values()])[:-1]), strict=True))
moved = [{k: points[0][k] + h * leaves[k].reshape(shapes[k]) for k in shapes} for h in (1e-4, -1e-4)]
ahead, behind = (np.concatenate([g[k].ravel() for k in shapes]) for g in (gradient(q, tokens, y) for q in moved))
np.testing.assert_allclose(image, (ahead - behind) / 2e-4, atol=1e-5 * np.linalg.norm(image))
assert lowest.values[0] < 0
apart = {
    when: found[when, "Hessian"].values[-1] / found[when, "Gauss-Newton"].values[-1]
    for when in ("at the start", "after training")
}
assert abs(apart["at the start"] - 1) < 0.03
assert 0.1 < abs(apart["after training"] - 1) < 0.3
assert found["after training", "Hessian"].values[-1] < top.values[-1] / 50
for kind in ("Hessian", "Gauss-Newton"):
    assert np.all(np.diff(found["after training", kind].values) >= 0)
assert np.mean(tops[12]) > np.mean(tops[48]) > np.mean(tops[144])
np.testing.assert_allclose(along.sharpness[0], top.values[-1], rtol=1e-2)
print("all assertions hold")
