# %% [markdown]
# # Saddles and negative curvature
#
# A gradient of zero is no minimum. What tells the two apart is the Hessian: one negative eigenvalue, and the function
# falls along its eigenvector. This notebook shows solvers that stop at saddles and say "success", what leaving one
# takes, and problems on which every saddle is known in closed form.

# %%
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize

import hessian as hs
from hessian.curvature import eigen_directions, inertia, line_slice, negative_curvature
from hessian.plotting import COLORS, plot_line, plot_paths, plot_spectrum

# %% [markdown]
# ## 1. Success at a saddle
#
# $f(x) = \tfrac14 x_0^4 - \tfrac12 x_0^2 + \tfrac12 x_1^2$ has two minima, $f = -\tfrac14$ at $(\pm 1, 0)$, and a saddle
# at the origin. On the line $x_0 = 0$ the gradient points along the line, straight to the saddle. SciPy's methods get
# the exact gradient and the exact Hessian here, and believe the gradient.


# %%
def double_well(x):
    return x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[1] ** 2 / 2


on_the_line = np.array([0.0, 1.0])
theirs, ours = {}, {}
for method in ("Newton-CG", "trust-ncg", "trust-krylov", "trust-exact"):
    found = scipy.optimize.minimize(
        double_well, on_the_line, method=method, jac=hs.grad(double_well), hess=hs.hessian(double_well)
    )
    theirs[method] = found
    print(f"scipy {method:<13} success {found.success!s:<6} f = {found.fun:7.4f}")
for method in ("newton-cg", "trust-ncg", "trust-krylov", "trust-exact"):
    path = [on_the_line]
    found = hs.optimize.minimize(double_well, on_the_line, method=method, callback=lambda x, path=path: path.append(x))
    ours[method] = found
    if method == "trust-ncg":
        escape = np.array(path)
    print(f"ours  {method:<13} {found.status.name:<14} f = {found.fun:7.4f}, saddles left: {len(found.saddles)}")

# %%
ax = plot_paths(double_well, {"trust-ncg": escape}, span=((-1.6, 1.6), (-0.5, 1.2)))
ax.figure

# %% [markdown]
# The square is the start, the star the end. The result says where it has been: at the saddle it looked for negative
# curvature (a few Lanczos steps), found the eigenvalue $-1$, and went on along its eigenvector. At the minimum it
# looked again and found none; only then it says `CONVERGED`.

# %%
print(ours["trust-ncg"].saddles)
print(ours["trust-ncg"].message)

# %% [markdown]
# ## 2. A network with a known staircase of saddles
#
# A linear network with one hidden layer learns a matrix A: $f(W_1, W_2) = \tfrac12 \|W_2 W_1 - A\|^2 + \tfrac\lambda2
# (\|W_1\|^2 + \|W_2\|^2)$. Its stationary points keep some of the singular values $\sigma_i$ of A and ignore the others
# (P. Baldi and K. Hornik, *Neural Networks* 2, 1989). With the first k kept,
#
# $$f_k = \sum_{i \le k} \bigl(\lambda \sigma_i - \tfrac12 \lambda^2\bigr) + \tfrac12 \sum_{i > k} \sigma_i^2, \qquad
# \lambda_{\min}(H) = \lambda - \sigma_{k+1} .$$
#
# Let A have the singular values 4, 2 and 1, and start at zero, where the gradient vanishes exactly.

# %%
rng = np.random.default_rng(0)
U, V = (np.linalg.qr(rng.standard_normal((n, n)))[0][:, :3] for n in (6, 5))
sigma, l2 = np.array([4.0, 2.0, 1.0]), 0.1
A = U @ np.diag(sigma) @ V.T


def linear_network(p):
    return (
        0.5 * np.sum((p["out"] @ p["in"] - A) ** 2) + 0.5 * l2 * np.sum(p["in"] ** 2) + 0.5 * l2 * np.sum(p["out"] ** 2)
    )


stairs = [np.sum(l2 * sigma[:k] - l2**2 / 2) + np.sum(sigma[k:] ** 2) / 2 for k in range(4)]
zero = {"in": np.zeros((3, 5)), "out": np.zeros((6, 3))}
trained = hs.optimize.minimize(linear_network, zero, method="trust-ncg")
for k, saddle in enumerate(trained.saddles):
    print(f"left at iteration {saddle.iteration:2d}: f = {saddle.value:.6f} (closed form {stairs[k]:.6f}), ", end="")
    print(f"eigenvalue {saddle.eigenvalue:.6f} (closed form {l2 - sigma[k]:.6f})")
print(f"end:                  f = {trained.fun:.6f} (closed form {stairs[3]:.6f}), {trained.n_hvp} products")

# %% [markdown]
# `negative_curvature` does the same by hand. Every direction it returns is proved by a product of its own: $v^T H v <
# 0$ leaves no doubt. And there are three at the origin, one for each hidden unit that could start to learn.

# %%
below = negative_curvature(linear_network, zero, k=4)
print(below)
print("curvatures:", [round(direction.curvature, 9) for direction in below.directions])

# %% [markdown]
# Gradient descent needs luck, or noise: from zero it never moves. From a small random start it walks down the same
# stairs, and on each it waits.

# %%
gradient_of = hs.value_and_grad(hs.record(linear_network))
p = {name: 1e-4 * rng.standard_normal(block.shape) for name, block in zero.items()}
descent = []
for _ in range(200):
    value, gradient = gradient_of(p)
    descent.append(value)
    p = {name: p[name] - 0.1 * gradient[name] for name in p}

figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.plot(descent, color=COLORS[0], label="gradient descent, from 1e-4")
newton_values = [record.value for record in trained.history]
ax.plot(newton_values, "--o", color=COLORS[1], markersize=3.5, label="trust-ncg, from zero")
for k, value in enumerate(stairs):
    ax.axhline(value, color="0.5", linewidth=0.7, linestyle=":")
    ax.text(200, value * 1.03, f"{k} kept", ha="right", fontsize=8, color="0.3")
ax.set(xlabel="iteration", ylabel="loss", yscale="log", ylim=(0.5, 14.0), yticks=[0.5, 1, 2, 5, 10])
ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
ax.minorticks_off()
ax.legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, 0.9))
plt.show()

# %% [markdown]
# ## 3. A network that is not linear
#
# No closed forms now: 64-8-10 with tanh on handwritten digits, with an l2 penalty. Where training starts, a good part
# of the Hessian's eigenvalues is negative. Where it ends, none is. `inertia` counts them.

# %%
from hessian.commands.datasets import load_dataset

data = load_dataset("digits")
network = hs.nn.mlp((64, 8, 10), "tanh")
fit = hs.nn.train(network, data.X[:600], data.y[:600], l2=1e-3, rng=0)
objective, start = hs.record(fit.objective), network.init(0, np.float64)
H_start, H_end = (hs.HessianOperator(objective, params) for params in (start, fit.params))
print("start:", inertia(H_start, max_hvp=610))
print("end:  ", inertia(H_end, max_hvp=610))

# %%
lowest = eigen_directions(objective, start, k=1, which="SA")[0]
downhill = line_slice(objective, start, lowest, span=3.0)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
spectra = [np.linalg.eigvalsh(H.to_dense()) for H in (H_start, H_end)]
for values, name, marker in zip(spectra, ("at the start", "at the minimum"), ("o", "s"), strict=True):
    plot_spectrum(values, ax=left, label=name, scale="linear", marker=marker)
left.set_yscale("symlog", linthresh=1e-3)
left.set_yticks([-1, -0.1, -0.01, -0.001, 0, 0.001, 0.01, 0.1, 1])
left.set(xscale="linear", ylim=(-2.0, 4.0))
plot_line(downhill, ax=right)
right.set_title("at the start, along the lowest eigenvector", fontsize=10)
plt.show()

# %% [markdown]
# On the left all eigenvalues at both ends (the axis is linear within $\pm 10^{-3}$, logarithmic beyond). On the right the
# loss along the eigenvector of the most negative one: it falls to both sides, as the quadratic model says, until higher
# orders stop it. The cubic model also knows which side falls faster.
#
# ## 4. Everything above, asserted

# %%
assert theirs["trust-ncg"].success
assert abs(theirs["trust-ncg"].fun) < 1e-12
for found in ours.values():
    assert found.status.name == "CONVERGED"
    assert abs(found.fun + 0.25) < 1e-9
assert ours["trust-ncg"].saddles[0].eigenvalue == -1.0

assert len(trained.saddles) == 3
np.testing.assert_allclose([saddle.value for saddle in trained.saddles], stairs[:3], rtol=1e-9)
np.testing.assert_allclose([saddle.eigenvalue for saddle in trained.saddles], l2 - sigma, rtol=1e-9)
assert abs(trained.fun - stairs[3]) < 1e-9
np.testing.assert_allclose([direction.curvature for direction in below.directions[:3]], l2 - 4.0, rtol=1e-9)
assert abs(descent[-1] - stairs[3]) < 1e-3
# The descent waits: more than a tenth of its steps are spent within 2 % of each of the first two saddles.
assert all(np.mean(np.abs(np.array(descent) / value - 1.0) < 0.02) > 0.1 for value in stairs[:1])

assert fit.result.success
assert spectra[0][0] < -1e-2
assert spectra[1][0] > 0.0
np.testing.assert_allclose(lowest.curvature, spectra[0][0], rtol=1e-9)
assert downhill.values.min() < downhill.value
print("all assertions hold")
