# %% [markdown]
# # Vibrations of a cluster
#
# Where a molecule or a cluster of atoms is at rest, its Hessian says how it vibrates: the eigenvalues of $H v = \omega^2 M v$
# are squares of frequencies. Six of them are zero (five of two atoms), since turning and moving the whole costs nothing. An
# optimum with zero modes is a semidefinite one; where an eigenvalue is negative, it is no optimum but a pass between two.

# %%
import matplotlib.pyplot as plt
import numpy as np
import scipy.constants
import scipy.linalg
from scipy.integrate import solve_ivp

import hessian as hs
from hessian.curvature import eigenvalues, inertia
from hessian.plotting import COLORS

# %% [markdown]
# ## 1. Argon
#
# Atoms of noble gases attract and repel each other by $4 (r^{-12} - r^{-6})$, to a good approximation (J. E. Lennard-Jones, 1931),
# in units of the depth of a pair, its size and the mass of an atom. For argon these are 119.8 K, 3.405 Å and 39.948 u. Random
# starts find the lowest energies of small clusters, and the best fit of each reports the same status: the gradient is zero, no
# curvature is negative, and some of it is zero.


# %%
def energy(x):
    i, j = np.triu_indices(len(x), 1)
    sixth = 1.0 / np.sum((x[i] - x[j]) ** 2, axis=1) ** 3
    return 4.0 * np.sum(sixth**2 - sixth)


depth, size = 119.8 * scipy.constants.k, 3.405e-10
mass = 39.948 * scipy.constants.atomic_mass
per_cm = np.sqrt(depth / mass) / size / (2.0 * np.pi * scipy.constants.c) / 100.0
rng = np.random.default_rng(5)


def somewhere(n):
    """Points on a sphere a little smaller than a small cluster: they fly apart first, and come back."""
    directions = rng.normal(size=(n, 3))
    return 0.6 * directions / np.linalg.norm(directions, axis=1, keepdims=True)


lowest = {}
for n in range(2, 8):
    runs = [hs.optimize.minimize(energy, somewhere(n)) for _ in range(30)]
    lowest[n] = min(runs, key=lambda run: run.fun)
    print(n, f"atoms: {lowest[n].fun:.6f}", lowest[n].status.name)
pair = eigenvalues(hs.HessianOperator(energy, lowest[2].x), 1)
print(f"two atoms vibrate at {np.sqrt(pair.values[0]) * per_cm:.2f} per cm, at small amplitudes")

# %% [markdown]
# ## 2. Thirteen atoms and their six zeros
#
# The best cluster of thirteen is an icosahedron around an atom (M. R. Hoare and P. Pal, 1971). Its 39 eigenvalues, by their
# values:

# %%
golden = (1.0 + np.sqrt(5.0)) / 2.0
corner = np.array([[0.0, a, b * golden] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])
icosahedron = np.concatenate([np.zeros((1, 3)), corner, corner[:, [1, 2, 0]], corner[:, [2, 0, 1]]])
rough = hs.optimize.minimize(energy, 0.55 * icosahedron + rng.normal(size=(13, 3)) * 0.03, method="newton")
fit = hs.optimize.minimize(energy, rough.x, method="newton", tol=1e-10)
x = fit.x - fit.x.mean(axis=0)
H = hs.HessianOperator(energy, x)
modes = eigenvalues(H, 39)


def levels(values):
    """Groups of equal eigenvalues, with their sizes."""
    ends = np.flatnonzero(np.diff(values) > 1e-4) + 1
    return [(float(group.mean()), len(group)) for group in np.split(values, ends)]


print(fit.status.name, f"at {fit.fun:.6f}, gradient {fit.gradient_norm:.0e}")
for value, copies in levels(modes.values):
    print(f"  {copies} x {value:10.6f}" + ("" if value < 1e-4 else f"   {np.sqrt(value) * per_cm:6.2f} per cm"))

# %% [markdown]
# Three of the zeros are zero wherever the atoms are: nothing depends on where the whole is. The other three need more care.
# Turning a cluster turns its gradient, so that $H (a \times x) = a \times g$ for every axis a, and the curvature along a
# rotation is as small as the gradient, but no smaller. Away from the optimum a rotation may have *negative* curvature, and that
# means nothing. Three rules follow: go down to a small gradient; take for zero what the gradient explains; and hold the
# directions against rigid motions.


# %%
def rigid(x):
    """An orthonormal basis of what moves and turns the cluster as a whole, a column each."""
    moves = [np.tile(axis, (len(x), 1)) for axis in np.eye(3)]
    turns = [np.cross(axis, x - x.mean(axis=0)) for axis in np.eye(3)]
    return np.linalg.qr(np.stack([field.ravel() for field in moves + turns], axis=1))[0]


explained = np.linalg.svd(rigid(x).T @ modes.vectors[:, :6], compute_uv=False)
print("the lowest six within the rigid motions, as cosines:", explained.round(9))
for run in (rough, fit):
    H_run = hs.HessianOperator(energy, run.x)
    print(f"gradient {run.gradient_norm:.0e}, by rounding alone:", inertia(H_run))
    print("           by what it leaves:         ", inertia(H_run, threshold=1e-5))

# %% [markdown]
# The levels are those of the group of the icosahedron, with one to five copies. One of them comes alone, the *breathing* of all
# twelve corners, and has a closed form: where the cluster is at rest, $\omega^2 = -72\,E / \sum |x_i|^2$.
#
# Now let the centre be ten times as heavy, an isotope that no one will find. Only where the centre moves can that make a
# difference; M takes the masses, three times each.

# %%
masses = np.repeat(np.where(np.arange(13) == 0, 10.0, 1.0), 3)
heavy = eigenvalues(H, 39, M=masses)
breathing = modes.vectors[:, np.argmin(np.abs(modes.values + 72.0 * fit.fun / np.sum(x**2)))].reshape(13, 3)
lone, moved = levels(modes.values)[1:], levels(heavy.values)[1:]
same = [level for level in lone if any(abs(level[0] - other[0]) < 1e-6 for other in moved)]
columns = {
    "centre at rest": same,
    "centre moves": [level for level in lone if level not in same],
    "the same,\nten times as heavy": [
        other for other in moved if all(abs(level[0] - other[0]) > 1e-6 for level in lone)
    ],
}


def draw(ax, x, reach, arrows=None):
    """Draw atoms, their bonds, and a mode."""
    i, j = np.triu_indices(len(x), 1)
    for a, b in zip(i, j, strict=True):
        if np.linalg.norm(x[a] - x[b]) < 1.35:
            ax.plot(*x[[a, b]].T, color="#BBBBBB", linewidth=1.0)
    ax.scatter(*x.T, s=60, color=COLORS[0], depthshade=False)
    if arrows is not None:
        ax.quiver(*x.T, *arrows.T, color=COLORS[1], length=1.4, linewidth=1.6)
    ax.set_box_aspect((1.0, 1.0, 1.0), zoom=1.5)
    ends = (-reach, reach)
    ax.set(xlim=ends, ylim=ends, zlim=ends)
    ax.set_axis_off()


figure = plt.figure(figsize=(10.5, 4.6), layout="constrained")
left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection="3d")
for place, found in enumerate(columns.values()):
    heights = [np.sqrt(value) * per_cm for value, _ in found]
    left.hlines(heights, place - 0.3, place + 0.1, color=COLORS[place], linewidth=1.5)
    last = -np.inf
    for height, (_, copies) in zip(heights, found, strict=True):
        # Of two levels close together, the label of the second stands on the other side.
        beside = height - last < 2.0
        left.text(
            place + (-0.34 if beside else 0.14),
            height,
            f"× {copies}",
            va="center",
            ha="right" if beside else "left",
            fontsize=8,
        )
        last = height
left.set_xticks(range(3), list(columns))
left.set(
    xlim=(-0.6, 2.6), ylim=(10.0, 65.0), ylabel="wave number per cm", title="33 vibrations of thirteen argon atoms"
)
draw(right, x, 1.4, breathing)
right.set_title("the breathing mode")
plt.show()

# %% [markdown]
# ## 3. The pass between two minima
#
# Seven atoms have more than one minimum. What leads from one to another crosses a saddle with exactly one negative mode, and the exact
# Hessian leads there, too: uphill along the lowest mode, Newton's step in all others, rigid motions left out.

# %%
f = hs.record(energy)
gradient, hessian = hs.grad(f), hs.hessian(f)
first = lowest[7].x - lowest[7].x.mean(axis=0)


def follow(x, longest=0.1):
    """Walk up along the softest vibration, to a saddle."""
    for _ in range(100):
        g, H = gradient(x).ravel(), hessian(x).reshape(x.size, x.size)
        if np.linalg.norm(g) < 1e-11:
            break
        inner = scipy.linalg.null_space(rigid(x).T)
        curvatures, V = np.linalg.eigh(inner.T @ H @ inner)
        V = inner @ V
        p = -(V.T @ g) / np.abs(curvatures)
        p[0] = -p[0]
        x = x + (V @ p * min(1.0, longest / np.linalg.norm(p))).reshape(x.shape)
    return x


soft = eigenvalues(hs.HessianOperator(energy, first), 7, "SA").vectors[:, 6].reshape(7, 3)
saddle = follow(first + 0.3 * soft)
at_saddle = eigenvalues(hs.HessianOperator(energy, saddle), 21)
down = at_saddle.vectors[:, 0].reshape(7, 3)
print(f"energy {energy(saddle):.6f}, lowest {at_saddle.values[:8].round(6) + 0.0}")
print(inertia(hs.HessianOperator(energy, saddle), threshold=1e-6))

# %% [markdown]
# From there the way down is an ordinary differential equation, stiff as such equations are: its solver takes the Hessian for
# the Jacobian it needs.

# %%
flow = lambda t, z: -gradient(z.reshape(7, 3)).ravel()
bend = lambda t, z: -hessian(z.reshape(7, 3)).reshape(21, 21)
ways = []
for side in (-0.02, 0.02):
    way = solve_ivp(flow, (0.0, 3.0), (saddle + side * down).ravel(), "BDF", jac=bend, rtol=1e-8, atol=1e-10).y.T
    ways.append(np.concatenate([saddle.reshape(1, 21), way]))
ways.sort(key=lambda way: energy(way[-1].reshape(7, 3)))
ends = [hs.optimize.minimize(f, way[-1].reshape(7, 3), method="newton") for way in ways]
path = np.concatenate([ways[0][::-1], ways[1][1:]])
length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)))
heights = np.array([energy(z.reshape(7, 3)) for z in path])
print("the minima on either side:", [round(float(end.fun), 6) for end in ends])
print("barriers:", [round(float(energy(saddle) - end.fun), 6) for end in ends])

figure = plt.figure(figsize=(12.0, 3.6), layout="constrained")
grid = figure.add_gridspec(1, 4, width_ratios=(1.5, 1.0, 1.0, 1.0))
ax = figure.add_subplot(grid[0])
ax.plot(length, heights, color=COLORS[0])
top = length[len(ways[0]) - 1]
ax.plot([0.0, top, length[-1]], [heights[0], energy(saddle), heights[-1]], "o", color=COLORS[1])
ax.set(
    xlabel="length of the way, in sizes of an atom",
    ylabel="energy, in depths of a pair",
    title="Over the pass, seven atoms",
)
ax.grid(alpha=0.3)
shown = {"lower minimum": ends[0].x, "saddle, its negative mode": saddle, "higher minimum": ends[1].x}
axes = np.linalg.svd(saddle - saddle.mean(axis=0))[2].T
for place, (name, atoms) in enumerate(shown.items()):
    ax = figure.add_subplot(grid[place + 1], projection="3d")
    draw(ax, (atoms - atoms.mean(axis=0)) @ axes, 1.12, 0.7 * down @ axes if place == 1 else None)
    ax.set_title(name, fontsize=10)
plt.show()

# %% [markdown]
# ## 4. Everything above, asserted
#
# Pairs, triangles and tetrahedra at the bottom of their pair potential have frequencies in closed form; the energies are those
# of the literature; every spectrum is held against SciPy on a Hessian by differences of a gradient by hand, and the heavy
# centre against the product rule of Teller and Redlich.

# %%
known = {2: -1.0, 3: -3.0, 4: -6.0, 5: -9.103852, 6: -12.712062, 7: -16.505384}
for n, value in known.items():
    np.testing.assert_allclose(lowest[n].fun, value, atol=5e-7)
    assert lowest[n].status == hs.optimize.Status.CONVERGED_SEMIDEFINITE
np.testing.assert_allclose(fit.fun, -44.326801, atol=5e-7)
assert fit.status == hs.optimize.Status.CONVERGED_SEMIDEFINITE

# All pairs at a distance of 2^(1/6), springs of strength k: stretching, then the groups of the triangle and of the tetrahedron.
k = 72.0 / 2.0 ** (1.0 / 3.0)
spectra = {2: [2.0 * k], 3: [1.5 * k] * 2 + [3.0 * k], 4: [k] * 2 + [2.0 * k] * 3 + [4.0 * k]}
for n, vibrations in spectra.items():
    best = hs.optimize.minimize(energy, lowest[n].x, method="newton", tol=1e-11).x
    found = eigenvalues(hs.HessianOperator(energy, best), 3 * n).values
    np.testing.assert_allclose(found, np.append(np.zeros(3 * n - len(vibrations)), vibrations), atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(best[0] - best[1]), 2.0 ** (1.0 / 6.0), rtol=1e-11)
stretched = eigenvalues(hs.HessianOperator(energy, lowest[2].x), 1, M=np.repeat([1.0, 3.0], 3))
np.testing.assert_allclose(stretched.values, k * (1.0 + 1.0 / 3.0), rtol=1e-6)
np.testing.assert_allclose(pair.values, 2.0 * k, rtol=1e-6)


def by_hand(x):
    apart = x[:, None] - x
    r2 = np.sum(apart**2, axis=2) + np.eye(len(x))
    pull = (24.0 * r2**-4 - 48.0 * r2**-7) * (1.0 - np.eye(len(x)))
    return np.sum(pull[:, :, None] * apart, axis=1).ravel()


def by_differences(x, h=1e-3):
    at = lambda step: by_hand(x + step.reshape(x.shape))
    columns = [(8.0 * (at(e) - at(-e)) - at(2.0 * e) + at(-2.0 * e)) / (12.0 * h) for e in h * np.eye(x.size)]
    return np.array(columns)


plain = by_differences(x)
np.testing.assert_allclose(H.to_dense(), plain, atol=1e-5)
np.testing.assert_allclose(modes.values, scipy.linalg.eigh(plain, eigvals_only=True), atol=1e-5)
np.testing.assert_allclose(modes.values, scipy.linalg.eigh(H.to_dense(), eigvals_only=True), atol=1e-10)
assert [copies for _, copies in levels(modes.values)] == [6, 5, 4, 5, 3, 4, 3, 5, 1, 3]
np.testing.assert_allclose(levels(modes.values)[8][0], -72.0 * fit.fun / np.sum(x**2), rtol=1e-10)
np.testing.assert_allclose(np.abs(np.sum(breathing * x)), np.linalg.norm(x), rtol=1e-10)
# Zeros: the identity, at a place where nothing is at rest, and the counts.
away = x + rng.normal(size=x.shape) * 0.05
g, H_away = hs.grad(energy)(away), hs.HessianOperator(energy, away)
for axis in np.eye(3):
    np.testing.assert_allclose(H_away @ np.cross(axis, away).ravel(), np.cross(axis, g).ravel(), atol=1e-10)
    np.testing.assert_allclose(H_away @ np.tile(axis, 13), 0.0, atol=1e-10)
np.testing.assert_allclose(explained, 1.0, atol=1e-12)
np.testing.assert_allclose(modes.values[:6], 0.0, atol=1e-8)
for run in (rough, fit):
    counts = inertia(hs.HessianOperator(energy, run.x), threshold=1e-5)
    assert (counts.negative, counts.zero, counts.positive) == (0, 6, 33)

# A heavy centre: six vibrations change, and the determinants keep their ratio.
np.testing.assert_allclose(heavy.values, scipy.linalg.eigh(plain, np.diag(masses), eigvals_only=True), atol=1e-5)
np.testing.assert_allclose(heavy.vectors.T @ (masses[:, None] * heavy.vectors), np.eye(39), atol=1e-11)
assert [sum(copies for _, copies in found) for found in columns.values()] == [27, 6, 6]
product = np.exp(np.sum(np.log(heavy.values[6:])) - np.sum(np.log(modes.values[6:])))
np.testing.assert_allclose(product, (1.0 / 10.0) ** 3 * (22.0 / 13.0) ** 3, rtol=1e-9)
np.testing.assert_allclose(np.sum(heavy.values), np.sum(np.diag(plain) / masses), rtol=1e-7)

# The saddle, its one negative mode, and the minima on either side.
np.testing.assert_allclose(by_hand(saddle), 0.0, atol=1e-9)
np.testing.assert_allclose(at_saddle.values, scipy.linalg.eigh(by_differences(saddle), eigvals_only=True), atol=1e-5)
assert at_saddle.values[0] < -1.0
np.testing.assert_allclose(at_saddle.values[1:7], 0.0, atol=1e-8)
assert at_saddle.values[7] > 1.0
np.testing.assert_allclose([end.fun for end in ends], [-16.505384, -15.935043], atol=5e-7)
assert np.all(np.diff(heights[: len(ways[0])]) > -1e-9)
assert np.all(np.diff(heights[len(ways[0]) - 1 :]) < 1e-9)
print("all assertions hold")
