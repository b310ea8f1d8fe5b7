# %% [markdown]
# # The edge of stability
#
# How large a step may gradient descent take? Less than two over the largest eigenvalue of the Hessian, says every
# textbook: the *sharpness* must stay below $2/\eta$. In training, the sharpness does not stay anywhere. It rises until
# it reaches $2/\eta$, and hovers there, while the loss goes on falling in jolts (J. Cohen et al., ICLR 2021). Measuring
# this takes the largest eigenvalue at hundreds of points, which is what warm-started Lanczos on exact products is for.

# %%
import matplotlib.pyplot as plt
import numpy as np

import hessian as hs
from hessian.commands.datasets import load_dataset
from hessian.curvature import (
    edge_of_stability,
    eigen_directions,
    eigenvalues,
    gradient_alignment,
    sharpness_along,
)
from hessian.plotting import COLORS, plot_alignment, plot_sharpness, plot_spectrum

# %% [markdown]
# ## 1. Where the threshold comes from
#
# On the quadratic $\tfrac12 \lambda x^2$ a step of size $\eta$ multiplies x by $1 - \eta\lambda$. Beyond $\lambda = 2 /
# \eta$ the factor is below $-1$: x changes sign with every step, and grows.

# %%
step_size = 0.1
factors = {}
for curvature in (5.0, 15.0, 19.9, 20.1):
    slope = hs.grad(lambda x, c=curvature: 0.5 * c * x * x)
    x = 1.0
    for _ in range(200):
        x = x - step_size * slope(x)
    factors[curvature] = abs(x) ** (1 / 200)
    print(f"sharpness {curvature:4.1f} of 2/eta = {2 / step_size:.0f}: after 200 steps |x| = {abs(x):.2e}")

# %% [markdown]
# ## 2. A network does not keep still
#
# A tanh network with three hidden layers learns 200 digits by squared error, all rows at once, from one start with three
# step sizes. `edge_of_stability` runs gradient descent and measures every 20 steps; each measurement starts from the
# eigenvector of the last one.

# %%
data = load_dataset("digits")
X, Y = data.X[:200] - data.X[:200].mean(axis=0), np.eye(10)[data.y[:200]]
network = hs.nn.mlp((64, 32, 32, 32, 10), "tanh")
start = network.init(0, np.float64)


@hs.record
def loss(p):
    return 0.5 * hs.nn.squared_error(network(p, X), Y)


rates, steps = (0.1, 0.2, 0.4), 3000
runs = {rate: edge_of_stability(loss, start, step_size=rate, steps=steps, every=20) for rate in rates}
for rate, (trace, _) in runs.items():
    products = np.mean(trace.n_hvp)
    print(f"step size {rate}: {trace}, {products:.0f} per point")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.9), layout="constrained")
for color, (rate, (trace, _)) in zip(COLORS, runs.items(), strict=False):
    plot_sharpness(trace, ax=left, label=f"step size {rate}")
    right.semilogy(trace.iterations, trace.losses, color=color, linewidth=1.2, label=f"step size {rate}")
left.set_ylim(0.0, 30.0)
left.legend(loc="upper right", fontsize=8, ncols=2, framealpha=0.9)
right.set(xlabel="iteration", ylabel="loss")
right.grid(alpha=0.3)
right.legend(frameon=False)
plt.show()

# %% [markdown]
# On the left: with 0.4 the start is already too sharp, and the descent moves within a few dozen steps to where it is
# flat enough; with 0.2 the sharpness rises from below and stops at 10; with 0.1, whose threshold is twice as high, it goes
# on rising past that. The threshold decides where it ends, not the data. On the right the losses: once at the edge they
# no longer fall at every step, but they fall.
#
# ## 3. What holds it there
#
# At the edge, the iterate swings along the eigenvectors that have arrived there. Of 4 522 directions, a few have: their
# eigenvalues stand at the threshold side by side, and nearly all of the gradient lies along them.

# %%
edge = runs[0.2][1]
alignment = gradient_alignment(loss, edge, k=8)
print(alignment)
pairs = eigenvalues(hs.HessianOperator(loss, edge), 8)
figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 3.7), layout="constrained")
plot_spectrum(pairs, ax=left)
left.axhline(2.0 / 0.2, color="0.4", linestyle="--", linewidth=1, label="edge of stability, 10")
left.legend(frameon=False)
plot_alignment(alignment, ax=right)
plt.show()

# %% [markdown]
# And the sharpness itself changes with the swing. A swing of length $a$ along the top eigenvector v changes the gradient by
# $\tfrac12 a^2 \nabla (v^T H v)$: to second order, descent on the loss becomes descent on the sharpness too, and that
# pulls it back below the threshold (A. Damian, E. Nichani and J. D. Lee, ICLR 2023). The check is a small experiment: push the
# iterate along v, let gradient descent swing, and watch.

# %%
from hessian.tape.trees import ravel

top = eigen_directions(loss, edge, k=1)[0]
point, unravel = ravel(edge)
direction = ravel(top.vector)[0]
gradient_of = hs.grad(loss)


def descend(x, rate, count):
    """Points of gradient descent on the raveled parameters."""
    points = [unravel(x)]
    for _ in range(count):
        x = x - rate * ravel(gradient_of(unravel(x)))[0]
        points.append(unravel(x))
    return points


pushed = sharpness_along(loss, descend(point + 0.05 * direction, 0.2, 60), step_size=0.2)
calm = sharpness_along(loss, descend(point, 0.02, 60), step_size=0.2)

figure, ax = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
plot_sharpness(calm, ax=ax, label="steps of 0.02: no swing")
ax.errorbar(pushed.iterations, pushed.sharpness, yerr=pushed.residuals, fmt="s-", color=COLORS[1], markersize=2.5)
ax.lines[-1].set_label("pushed by 0.05, steps of 0.2: a swing")
ax.set_ylim(0.99 * pushed.sharpness.min(), 1.025 * pushed.sharpness.max())
ax.legend(frameon=False, fontsize=9)
plt.show()

# %% [markdown]
# ## 4. Everything above, asserted

# %%
for curvature, factor in factors.items():
    np.testing.assert_allclose(factor, abs(1.0 - step_size * curvature), rtol=1e-10)

for rate, (trace, _) in runs.items():
    late = trace.ratio[trace.iterations >= steps - 600]
    print(f"step size {rate}: mean ratio over the last 600 steps {late.mean():.3f}")
    assert trace.losses[-1] < 0.1 * trace.losses[0]
    assert np.all(trace.residuals <= 0.02 * trace.sharpness)
    if rate >= 0.2:
        assert 0.93 < late.mean() < 1.1
    assert np.all(late < 1.3)
assert runs[0.1][0].sharpness[-1] > 1.02 * runs[0.2][0].threshold
assert runs[0.4][0].ratio[0] > 1.3
# Which of them have arrived at a given step depends on rounding: the motion at the edge is chaotic.
assert np.sum(np.abs(pairs.values / 10.0 - 1.0) < 0.05) >= 2
assert alignment.share > 0.9
assert pushed.sharpness[20] < 0.99 * calm.sharpness[20]
print("all assertions hold")
