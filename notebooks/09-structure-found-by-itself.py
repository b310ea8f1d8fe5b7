# %% [markdown]
# # Structure found by itself: ten thousand variables, nine products
#
# The Hessian of a large problem is mostly zeros: a point of a grid meets its neighbours, a state its predecessor. Which
# entries are zero is written in the operations of the function, so that nobody has to write it down a second time. Two
# problems, each from plain NumPy to its optimum, and what every other way to the same point costs.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
from scipy.sparse.linalg import splu

import hessian as hs
from hessian.plotting import COLORS, plot_pattern

# %% [markdown]
# ## 1. A soap film
#
# A film spans a wire bent to $\sin(\pi s) + t^2$ over the edge of the unit square, and takes the shape of least area. On a
# grid of $n \times n$ inner points, each cell adds $\sqrt{1 + (a^2 + b^2)(n+1)^2 / 2}$, with $a$ and $b$ the differences
# along its diagonals.


# %%
def wire(n):
    t = np.linspace(0.0, 1.0, n + 2)
    frame = np.sin(np.pi * t)[:, None] + t[None, :] ** 2
    frame[1:-1, 1:-1] = 0.0
    return frame


def area_on(n):
    frame = wire(n)

    def area(x):
        u = np.pad(x.reshape(n, n), 1) + frame
        a, b = u[1:, 1:] - u[:-1, :-1], u[1:, :-1] - u[:-1, 1:]
        return np.sum(np.sqrt(1 + (a**2 + b**2) * (n + 1) ** 2 / 2)) / (n + 1) ** 2

    return area


n = 100
area, flat = area_on(n), np.zeros(n * n)
hess = hs.sparse.hessian(area)
H = hess(flat)
print(hess.pattern(flat))
print(f"{H.nnz:,} numbers in place of {n**4:,}")

# %% [markdown]
# The pattern came from one run of `area` in which every value carries the set of inputs that it depends on. Variables
# that never meet in a row share a *color*, and one Hessian-vector product with the sum of their unit vectors gives the
# columns of all of them: nine products are the whole matrix, however fine the grid. On the left the pattern for a grid
# of $8 \times 8$, every entry in the color of its product; on the right the colors where they live.

# %%
small = hs.sparse.hessian(area_on(8)).pattern(np.zeros(64))
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.4), layout="constrained")
plot_pattern(small, ax=left)
tints = plt.get_cmap("tab10", 10)
tiles = right.imshow(small.colors.reshape(8, 8), cmap=tints, vmin=-0.5, vmax=9.5)
right.set(xlabel="column of the grid", ylabel="row of the grid", title=f"{small.n_colors} colors on a grid of 8 x 8")
for (i, j), color in np.ndenumerate(small.colors.reshape(8, 8)):
    right.text(j, i, str(color), ha="center", va="center", color="white", fontsize=9)
plt.show()

# %% [markdown]
# The matrix is an ordinary `scipy.sparse.csc_array`. Newton's method by hand, with SciPy's sparse LU:

# %%
gradient = hs.grad(hs.record(area))
definite = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}


def by_hand(x):
    steps = 0
    while np.linalg.norm(g := gradient(x)) > 1e-8:
        step = splu(hess(x), **definite).solve(-g)
        length = 1.0
        while area(x + length * step) > area(x) + 1e-4 * length * (g @ step):
            length /= 2
        x, steps = x + length * step, steps + 1
    return x, steps


film, steps = by_hand(flat)
print(f"area {area(film):.12f} after {steps} steps")

# %% [markdown]
# And with what `minimize` adds: shifts where the Hessian is not definite, a trust region, and the proof at the end that
# this is a minimum, from the inertia of the last factor. `structure="sparse"` asks for factors; left out, a run begins
# with products and goes over to factors where that pays. Every way goes on to the same gradient norm, 1e-8.

# %%
ways = {
    "as it comes": {},
    "sparse, trust-exact": {"structure": "sparse"},
    "sparse, newton": {"structure": "sparse", "method": "newton"},
    "sparse, arc": {"structure": "sparse", "method": "arc"},
    "trust-ncg on a factor": {"method": "trust-ncg", "options": {"preconditioner": "factor"}},
    "trust-ncg": {"method": "trust-ncg"},
    "trust-krylov": {"method": "trust-krylov"},
    "newton-cg": {"method": "newton-cg"},
}


def race(fun, start, ways):
    """Minimise in every way; print and return what each found, and how long it took."""
    found, seconds = {}, {}
    for name, way in ways.items():
        began = time.perf_counter()
        res = found[name] = hs.optimize.minimize(fun, start, tol=1e-8, **way)
        seconds[name] = time.perf_counter() - began
        print(f"{name:<22} {seconds[name]:6.2f} s {res.nit:5d} iterations {res.n_hvp:6d} products  {res.status.name}")
    return found, seconds


films, film_seconds = race(area, flat, ways)

# %% [markdown]
# `CONVERGED` has been proved by a factorisation; `CONVERGED_UNDECIDED` is what products alone can say of an eigenvalue so
# close to zero. SciPy's own solvers take the sparse Hessian as well: `hs.optimize.derivatives` has what they ask for.

# %%
d = hs.optimize.derivatives(area, flat)
theirs = {}
for name, more in {
    "SciPy's trust-constr": {"method": "trust-constr", "hess": d.hess, "options": {"gtol": 1e-8}},
    "SciPy's trust-ncg": {"method": "trust-ncg", "hessp": d.hessp, "options": {"gtol": 1e-8}},
    "SciPy's L-BFGS-B": {"method": "L-BFGS-B", "options": {"gtol": 1e-9, "ftol": 0, "maxiter": 5000, "maxfun": 10**5}},
}.items():
    began = time.perf_counter()
    theirs[name] = scipy.optimize.minimize(d.fun, flat, jac=d.jac, **more)
    film_seconds[name] = time.perf_counter() - began
    norm = np.linalg.norm(gradient(theirs[name].x))
    print(f"{name:<22} {film_seconds[name]:6.2f} s {theirs[name].nit:5d} iterations, gradient norm {norm:.0e}")


# %%
def bars(ax, seconds, title):
    """Draw seconds, the shortest on top."""
    order = sorted(seconds, key=seconds.get, reverse=True)
    on_factors = [name for name in order if "sparse" in name or "factor" in name]
    kinds = ["SciPy" if "SciPy" in k else "ours, on factors" if k in on_factors else "ours" for k in order]
    for kind, tint in {"ours, on factors": COLORS[0], "ours": "0.65", "SciPy": COLORS[1]}.items():
        of_kind = [name for name, other in zip(order, kinds, strict=True) if other == kind]
        if of_kind:
            ax.barh(
                [order.index(name) for name in of_kind], [seconds[name] for name in of_kind], color=tint, label=kind
            )
    ax.set(yticks=range(len(order)), yticklabels=order, xlabel="seconds", title=title)
    ax.legend(frameon=False, fontsize=9, loc="upper right")


figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained", width_ratios=(1, 1.15))
t = np.linspace(0.0, 1.0, n + 2)
levels = left.contourf(t, t, np.pad(film.reshape(n, n), 1) + wire(n), levels=20, cmap="viridis")
left.set(xlabel="t", ylabel="s", title="the film", aspect="equal")
figure.colorbar(levels, ax=left, label="height")
bars(right, film_seconds, f"{n * n} variables, to a gradient of 1e-8")
plt.show()

# %% [markdown]
# On a film as smooth as this one products are a match for factors: a handful of conjugate gradients a step, and no fill.
# What they cannot do is decide; and where the Hessian is worse conditioned the race ends differently, as below.
#
# ## 2. Two thousand states without a filter
#
# A level wanders, $a_{t+1} = a_t + \sigma \varepsilon_t$, and is seen with noise, $y_t = a_t + \eta_t$. The textbook runs
# Kalman's filter forward and a smoother back. But minus the log of the joint density is a sum in which each state meets
# its two neighbours: its Hessian has three diagonals, and one Newton step is the smoother.

# %%
rng = np.random.default_rng(11)
steps_of_time, sigma, noise, first = 2000, 0.1, 1.0, 3.0
level = np.cumsum(sigma * rng.standard_normal(steps_of_time))
seen = level + noise * rng.standard_normal(steps_of_time)


def joint(a, y):
    return 0.5 * ((a[0] / first) ** 2 + np.sum(((a[1:] - a[:-1]) / sigma) ** 2) + np.sum(((y - a) / noise) ** 2))


def kalman(y):
    """Filter forward, smooth back (Rauch, Tung and Striebel)."""
    mean, variance, ahead, before = (np.empty(len(y)) for _ in range(4))
    before[0], ahead[0] = 0.0, first**2
    for i in range(len(y)):
        if i:
            before[i], ahead[i] = mean[i - 1], variance[i - 1] + sigma**2
        gain = ahead[i] / (ahead[i] + noise**2)
        mean[i], variance[i] = before[i] + gain * (y[i] - before[i]), (1 - gain) * ahead[i]
    for i in reversed(range(len(y) - 1)):
        share = variance[i] / ahead[i + 1]
        mean[i] += share * (mean[i + 1] - before[i + 1])
        variance[i] += share**2 * (variance[i + 1] - ahead[i + 1])
    return mean, variance


smooth = hs.optimize.minimize(joint, np.zeros(steps_of_time), args=(seen,), structure="sparse")
mean, variance = kalman(seen)
print(f"{smooth.nit} step, {smooth.status.name}; largest difference to Kalman {np.max(np.abs(smooth.x - mean)):.1e}")

# %% [markdown]
# Unlike a filter, this does not end with Gaussian noise, nor with levels that wander. Let counts be seen,
# $y_t \sim \mathrm{Poisson}(e^{a_t})$, of an intensity that is smooth: $a_{t+1} - 2 a_t + a_{t-1} = \sigma \varepsilon_t$,
# a smoothing spline. Two lines change. The mode is a Newton iteration on five diagonals, the standard errors of all two
# thousand states are square roots of the diagonal of the inverse, of which only entries inside the band are computed,
# and the integral over the states is Laplace's: $\log p(y \mid \sigma) \approx -f(\hat a) - \tfrac12 \log\det H +
# \text{const}$, by which the smoothness $\sigma$ itself is estimated.

# %%
when = np.arange(steps_of_time)
truth = 1.0 + 1.5 * np.sin(when / 120) + 0.5 * np.sin(when / 31)
counts = rng.poisson(np.exp(truth))


def counted(a, log_sigma):
    ends = (a[0] ** 2 + a[-1] ** 2) / 100.0
    rough = np.sum((a[2:] - 2 * a[1:-1] + a[:-2]) ** 2) / np.exp(2 * log_sigma) + 2 * (steps_of_time - 2) * log_sigma
    return 0.5 * (ends + rough) + np.sum(np.exp(a) - counts * a)


recorded, curvature = hs.record(counted), hs.sparse.hessian(counted)
start = np.zeros(steps_of_time)


def minus_log_evidence(log_sigma):
    fit = hs.optimize.minimize(recorded, start, args=(log_sigma,), method="newton", structure="sparse")
    pivots = splu(curvature(fit.x, log_sigma), **definite).U.diagonal()
    return fit.fun + 0.5 * np.sum(np.log(pivots))


began = time.perf_counter()
best = scipy.optimize.minimize_scalar(minus_log_evidence, bracket=(-7.0, -5.0), tol=1e-4)
took = time.perf_counter() - began
print(f"sigma = {np.exp(best.x):.4f}, found by {best.nfev} fits of 2000 states in {took:.2f} s")

# Left out for its minute: trust-krylov orthogonalises a vector for each of its 13 000 products.
fewer = {name: way for name, way in ways.items() if name != "trust-krylov"}
states, state_seconds = race(lambda a: counted(a, best.x), start, fewer)
found = states["sparse, newton"]
errors = found.covariance().standard_error

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.0), layout="constrained", width_ratios=(1.3, 1))
left.plot(when, np.where(counts > 0, counts, np.nan), ".", color="0.75", markersize=2, label="counts above 0")
low, high = np.exp(found.x - 2 * errors), np.exp(found.x + 2 * errors)
left.fill_between(when, low, high, color=COLORS[0], alpha=0.3, label="2 standard errors")
left.plot(when, np.exp(found.x), color=COLORS[0], label="mode")
left.plot(when, np.exp(truth), color=COLORS[1], linewidth=0.8, label="truth")
left.set(xlabel="time", ylabel="intensity", yscale="log", title="two thousand counts")
left.legend(frameon=False, fontsize=8)
bars(right, state_seconds, f"{steps_of_time} states, to a gradient of 1e-8")
plt.show()

# %% [markdown]
# The same race, on a Hessian whose condition number grows with the fourth power of the number of states. Conjugate gradients
# alone take thousands of products here; a factor takes milliseconds, and a run as it comes finds that out by itself.
#
# ## 3. Dense, but only just
#
# One penalty or one normalisation, and every variable meets every other: the pattern is full, and a solver that looks at
# patterns alone gives up. `split_hessian` cuts the few numbers through which everything meets, $H = S + U D U^\top$.

# %%
crowd = 100_000


def penalised(x):
    return np.sum(x**4) + (np.sum(x**2) - 1.0) ** 2 + np.log(np.sum(np.exp(x)))


split, slope = hs.sparse.split_hessian(penalised), hs.grad(hs.record(penalised))
split(np.zeros(crowd)), slope(np.zeros(crowd))

x = rng.standard_normal(crowd)
began = time.perf_counter()
parts, g = split(x), slope(x)
step = parts.solve(-g)
took = time.perf_counter() - began
print(parts)
print(f"a Newton step in {1e3 * took:.0f} ms; the dense matrix would take {8 * crowd**2 / 2**30:.0f} GiB")

# %% [markdown]
# ## 4. Everything above, asserted

# %%
assert hess.pattern(flat).n_colors == small.n_colors == 9
assert abs(H - H.T).max() == 0
np.testing.assert_allclose(H @ film, hs.hvp(area, flat, film), rtol=1e-12, atol=1e-15)
for res in films.values():
    assert res.status.success
    assert abs(res.fun - area(film)) < 1e-12
for name in ("sparse, trust-exact", "sparse, newton", "sparse, arc", "trust-ncg on a factor"):
    assert films[name].status.name == states[name].status.name == "CONVERGED"
for res in theirs.values():
    assert abs(res.fun - area(film)) < 1e-10

assert smooth.nit == 1
np.testing.assert_allclose(smooth.x, mean, rtol=0, atol=1e-9)
np.testing.assert_allclose(smooth.covariance().standard_error ** 2, variance, rtol=1e-9)

assert -7.0 < best.x < -5.0
for res in states.values():
    np.testing.assert_allclose(res.x, found.x, atol=1e-6)
inside = np.abs(found.x - truth) < 2 * errors
assert 0.9 < inside.mean() < 0.99

assert parts.rank <= 3
product = hs.hvp(penalised, x, step)
np.testing.assert_allclose(product, -g, rtol=1e-8, atol=1e-8)
print("all assertions hold")
