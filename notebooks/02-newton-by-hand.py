# %% [markdown]
# # From a first Hessian to Newton's method by hand
#
# `hs.grad` and `hs.hessian` turn ordinary NumPy functions into their exact first and second derivatives. That is all it
# takes to write Newton's method, which is one line. The rest of this notebook is about what goes wrong with that line,
# and what each repair costs: three lines more, each visible on a problem where the answer is known in closed form.

# %%
import matplotlib.pyplot as plt
import numpy as np

import hessian as hs
from hessian.plotting import COLORS, plot_paths

# %% [markdown]
# ## 1. A first Hessian
#
# Take the sum of three exponentials of Boyd and Vandenberghe (*Convex Optimization*, 2004, eq. 9.20),
#
# $$f(x) = e^{x_0 + 3 x_1 - 0.1} + e^{x_0 - 3 x_1 - 0.1} + e^{-x_0 - 0.1} .$$
#
# It is convex, with its minimum $2\sqrt2\,e^{-0.1}$ at $(-\tfrac12 \ln 2,\, 0)$.

# %%
ROWS = np.array([[1.0, 3.0], [1.0, -3.0], [-1.0, 0.0]])


def f(x):
    return np.sum(np.exp(ROWS @ x - 0.1))


gradient_of, hessian_of = hs.grad(f), hs.hessian(f)
best, lowest = np.array([-0.5 * np.log(2.0), 0.0]), 2.0 * np.sqrt(2.0) * np.exp(-0.1)
start = np.array([-1.0, 1.0])
by_hand = ROWS.T @ (np.exp(ROWS @ start - 0.1)[:, None] * ROWS)
print("gradient:", gradient_of(start))
print("Hessian: ", hessian_of(start), sep="\n")
print("largest difference from the Hessian by hand:", np.max(np.abs(hessian_of(start) - by_hand)))

# %% [markdown]
# ## 2. Newton's method is one line
#
# Near $x$ the function is close to its quadratic model $f(x) + g^T s + \tfrac12 s^T H s$. Go to where the model is
# lowest, $s = -H^{-1} g$, and repeat.

# %%
newton_path = [start]
for _ in range(9):
    x = newton_path[-1]
    newton_path.append(x - np.linalg.solve(hessian_of(x), gradient_of(x)))

descent_path = [start]
for _ in range(300):
    x = descent_path[-1]
    descent_path.append(x - 0.02 * gradient_of(x))

newton_error, descent_error = (np.linalg.norm(np.array(path) - best, axis=1) for path in (newton_path, descent_path))
for k, error in enumerate(newton_error):
    print(f"step {k}: error {error:.1e}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
plot_paths(f, {"gradient descent": descent_path, "Newton": newton_path}, ax=left)
right.semilogy(descent_error, color=COLORS[0], label="gradient descent")
right.semilogy(newton_error, "--o", color=COLORS[1], markersize=4, label="Newton")
right.set(xlabel="step", ylabel="distance to the minimum", xlim=(-0.5, 30.5), ylim=(1e-17, 10.0))
right.grid(alpha=0.3)
right.legend(frameon=False)
plt.show()

# %% [markdown]
# The number of correct digits doubles with each step, until there are no more digits to get. Gradient descent adds a
# constant number of digits per step, however near it is.
#
# ## 3. Repair one: too long a step
#
# For $f(x) = \sqrt{1 + x^2}$ Newton's step can be written down: it leads from $x$ to $-x^3$. From 0.9 it converges at
# the third order. From 1.1 it explodes. The direction is right, the length is not: halve the step until the function
# falls by at least a small part of what its slope promises (Armijo's condition).


# %%
def hyperbola(x):
    return np.sum(np.sqrt(1.0 + x**2))


def newton(fun, x, steps, halve=False):
    """Newton's method, with or without halving."""
    gradient, curvature, path = hs.grad(fun), hs.hessian(fun), [x]
    for _ in range(steps):
        g = gradient(x)
        step = -np.linalg.solve(curvature(x), g)
        t = 1.0
        while halve and fun(x + t * step) > fun(x) + 1e-4 * t * (g @ step):
            t /= 2.0
        x = x + t * step
        path.append(x)
    return np.array(path)


near = newton(hyperbola, np.array([0.9]), 5)
far = newton(hyperbola, np.array([1.1]), 5)
halved = newton(hyperbola, np.array([1.1]), 5, halve=True)
for name, path in (("from 0.9", near), ("from 1.1", far), ("from 1.1, halved", halved)):
    print(f"{name:<17}", *(f"{x:10.2e}" for x in path[:, 0]))

# %% [markdown]
# ## 4. Repair two: the wrong way up
#
# Newton's method looks for a point where the gradient is zero. A saddle will do. For $f(x) = \tfrac14 x_0^4 - \tfrac12
# x_0^2 + \tfrac12 x_1^2$ the minima are at $(\pm 1, 0)$, with the value $-\tfrac14$, and there is a saddle at the origin.
# From $(0.4, 1)$ the plain method runs straight to the saddle, because there the Hessian has a negative eigenvalue, and
# along its eigenvector the quadratic model has a *maximum*. Take the magnitudes of the eigenvalues instead.


# %%
def double_well(x):
    return x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[1] ** 2 / 2


def upright_newton(fun, x, steps):
    """Newton's method with |H| in the place of H."""
    gradient, curvature, path = hs.grad(fun), hs.hessian(fun), [x]
    for _ in range(steps):
        values, vectors = np.linalg.eigh(curvature(x))
        x = x - vectors @ ((vectors.T @ gradient(x)) / np.abs(values))
        path.append(x)
    return np.array(path)


aside = np.array([0.4, 1.0])
to_saddle, to_minimum = newton(double_well, aside, 12), upright_newton(double_well, aside, 12)
print(
    "with H:  ", to_saddle[-1], double_well(to_saddle[-1]), np.linalg.eigvalsh(hs.hessian(double_well)(to_saddle[-1]))
)
print(
    "with |H|:",
    to_minimum[-1],
    double_well(to_minimum[-1]),
    np.linalg.eigvalsh(hs.hessian(double_well)(to_minimum[-1])),
)

# %%
ax = plot_paths(double_well, {"with H": to_saddle, "with |H|": to_minimum}, span=((-0.7, 1.9), (-0.7, 1.3)))
ax.figure

# %% [markdown]
# ## 5. Repair three: too many variables
#
# A Hessian of 10 000 variables has 10⁸ entries. But the step only needs $H^{-1} g$, conjugate gradients only need
# products $H v$, and one product costs about as much as two gradients. `HessianOperator` makes products; the system is
# solved only as well as the gradient deserves. This is truncated Newton, on a chain of 10 000 variables whose Hessian
# is never formed.

# %%
from scipy.sparse.linalg import cg

n = 10_000


@hs.record
def chain(x):
    """A convex chain of springs: linear near rest, stiffening when stretched."""
    stretch = np.diff(x)
    return np.sum(stretch**2 / 2 + stretch**4 / 4) + np.sum((x - 1.0) ** 2) / 20


x = np.random.default_rng(0).standard_normal(n)
products, norms = [], []
for _ in range(30):
    H = hs.HessianOperator(chain, x)
    norms.append(np.linalg.norm(H.gradient))
    if norms[-1] < 1e-9:
        break
    count = []
    step, _ = cg(H, -H.gradient, rtol=min(0.5, np.sqrt(norms[-1])), callback=count.append)
    products.append(len(count))
    t = 1.0
    while chain(x + t * step) > chain(x) + 1e-4 * t * (H.gradient @ step):
        t /= 2.0
    x = x + t * step
print("products per step:", products)
print("gradient norms:   ", *(f"{norm:.1e}" for norm in norms))
print("largest distance from rest:", np.max(np.abs(x - 1.0)))

# %% [markdown]
# Few products while the gradient is large, more as it shrinks, and still the fast ending.
#
# ## 6. All of it in one call
#
# `hs.optimize.minimize` is these repairs, made safe: trust regions instead of halving, negative curvature used instead
# of turned over, forcing terms, an account of what was spent, and an ending that says how much is known.

# %%
library = hs.optimize.minimize(double_well, aside, method="trust-ncg")
large = hs.optimize.minimize(chain, np.random.default_rng(0).standard_normal(n), options={"gtol": 1e-9})
print(library)
print(large.status.name, large.nit, "iterations,", large.n_hvp, "products")

# %% [markdown]
# ## 7. Everything above, asserted

# %%
np.testing.assert_allclose(hessian_of(start), by_hand, rtol=1e-14)
np.testing.assert_allclose(newton_path[-1], best, atol=1e-15)
assert abs(f(newton_path[-1]) - lowest) < 1e-14
# Quadratic convergence: each error is at most twice the square of the one before.
late = newton_error[(newton_error < 0.5) & (newton_error > 1e-8)]
assert len(late) >= 3
assert np.all(late[1:] <= 2.0 * late[:-1] ** 2)
assert descent_error[30] > 1e-2

np.testing.assert_allclose(far[1:, 0], -(far[:-1, 0] ** 3), rtol=1e-8)
np.testing.assert_allclose(near[1:4, 0], -(near[:3, 0] ** 3), rtol=1e-12)
assert abs(far[-1, 0]) > 1e10
assert abs(halved[-1, 0]) < 1e-12

np.testing.assert_allclose(to_saddle[-1], 0.0, atol=1e-12)
np.testing.assert_allclose(to_minimum[-1], [1.0, 0.0], atol=1e-12)
assert library.status.name == "CONVERGED"
assert abs(library.fun + 0.25) < 1e-12

assert norms[-1] < 1e-9
np.testing.assert_allclose(x, 1.0, atol=1e-7)
assert large.success
np.testing.assert_allclose(large.x, 1.0, atol=1e-7)
print("all assertions hold")
