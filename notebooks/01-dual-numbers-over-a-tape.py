# %% [markdown]
# # Dual numbers over a tape
#
# How exact Hessian-vector products come out of ordinary NumPy, from a one-line function to a network trained on
# handwritten digits. The first half builds the mechanism from nothing, in about forty lines. The second half uses the
# library, which is the same mechanism with more operations. The last cell asserts everything the text claims.

# %%
import matplotlib.pyplot as plt
import numpy as np

import hessian as hs

# %% [markdown]
# ## 1. A dual number
#
# Adjoin to the real numbers a symbol $\varepsilon$ with $\varepsilon^2 = 0$. A *dual number* is $a + b\,\varepsilon$: a
# **primal** $a$ and a **tangent** $b$. Multiply two of them and the product rule appears by itself,
#
# $$(a + b\,\varepsilon)(c + d\,\varepsilon) = ac + (ad + bc)\,\varepsilon ,$$
#
# and for a smooth function Taylor's theorem stops after one term: $f(a + b\,\varepsilon) = f(a) +
# f'(a)\,b\,\varepsilon$. Evaluate any program on $x + v\,\varepsilon$ and the tangent that comes out is the directional
# derivative, exact to rounding. Nothing is differenced and no step size is chosen.


# %%
class D:
    """A dual number a + b ε."""

    def __init__(self, a, b=0.0):
        self.a, self.b = a, b

    def __add__(self, other):
        other = other if isinstance(other, D) else D(other)
        return D(self.a + other.a, self.b + other.b)

    def __mul__(self, other):
        other = other if isinstance(other, D) else D(other)
        return D(self.a * other.a, self.a * other.b + self.b * other.a)

    __radd__, __rmul__ = __add__, __mul__

    def __repr__(self):
        return f"{self.a:.6f} + {self.b:.6f} ε"


def sin(x):
    return D(np.sin(x.a), np.cos(x.a) * x.b) if isinstance(x, D) else np.sin(x)


def cos(x):
    return D(np.cos(x.a), -np.sin(x.a) * x.b) if isinstance(x, D) else np.cos(x)


forward = sin(D(0.5, 1.0) * 3.0)
print(forward, "   by hand:", np.sin(1.5), 3 * np.cos(1.5))

# %% [markdown]
# The library's `Dual` does this for every NumPy function it knows, on arrays:

# %%
from hessian.tape.dual import Dual

library = np.sin(3.0 * Dual(np.array([0.5, 1.0]), np.array([1.0, 0.0])))
print(library.primal, library.tangent)

# %% [markdown]
# ## 2. A tape
#
# One forward evaluation gives the derivative in *one* direction. A gradient of a million entries must not cost a
# million evaluations, so we also write down what the program does: a **tape** is the list of its operations in the
# order in which they ran. For
#
# $$f(x_0, x_1) = x_0 \, x_1 + \sin x_0$$
#
# it has five slots. Each instruction names its operation and the slots it reads.

# %%
tape = [
    ("input",),  # slot 0: x0
    ("input",),  # slot 1: x1
    ("mul", 0, 1),  # slot 2: x0 * x1
    ("sin", 0),  # slot 3: sin(x0)
    ("add", 2, 3),  # slot 4: f
]

# name: (the value, the partial derivative in each argument). They use *, + and functions that accept duals, nothing
# else.
RULES = {
    "mul": (lambda u, w: u * w, (lambda u, w: w, lambda u, w: u)),
    "add": (lambda u, w: u + w, (lambda u, w: 1.0, lambda u, w: 1.0)),
    "sin": (sin, (cos,)),
}


def run(tape, inputs):
    """Fill the slots, first to last."""
    values, inputs = [], iter(inputs)
    for name, *args in tape:
        values.append(next(inputs) if name == "input" else RULES[name][0](*(values[k] for k in args)))
    return values


def reverse(tape, values):
    """Sweep the tape last to first: cotangents[k] is the derivative of the result in slot k."""
    cotangents = [0.0] * len(tape)
    cotangents[-1] = 1.0
    for k in reversed(range(len(tape))):
        name, *args = tape[k]
        if name != "input":
            for argument, partial in zip(args, RULES[name][1], strict=True):
                cotangents[argument] = cotangents[argument] + partial(*(values[i] for i in args)) * cotangents[k]
    return cotangents[:2]


x = np.array([0.7, -1.3])
print("reverse sweep:", reverse(tape, run(tape, x)))
print("by hand:      ", [x[1] + np.cos(x[0]), x[0]])

# %% [markdown]
# One pass forward, one pass backward, and every partial derivative is there, however many inputs there are.
#
# ## 3. Dual numbers over the tape
#
# The gradient $g(x)$ came out of an ordinary program, `reverse`, made of sums and products. So run *that* program on
# dual numbers: put $x + v\,\varepsilon$ into the inputs, and what comes out is
#
# $$g(x + v\,\varepsilon) = g(x) + H(x)\,v\,\varepsilon .$$
#
# Not a line of `run` or `reverse` changes. One sweep forward and one backward, each on duals, give the gradient and the
# product of the Hessian with $v$ together. No Hessian is formed, and the price is a small multiple of the price of $f$,
# whatever the dimension.

# %%
v = np.array([2.0, 1.0])
duals = reverse(tape, run(tape, [D(x[0], v[0]), D(x[1], v[1])]))
toy_gradient, toy_product = np.array([d.a for d in duals]), np.array([d.b for d in duals])

H_by_hand = np.array([[-np.sin(x[0]), 1.0], [1.0, 0.0]])
print("gradient + (H v) ε:", *duals, sep="\n   ")
print("H v by hand:       ", H_by_hand @ v)

# %% [markdown]
# This is *forward-over-reverse*. The library does exactly this, with a recorder that writes the tape while your
# function runs on NumPy arrays:


# %%
def f(x):
    return x[0] * x[1] + np.sin(x[0])


gradient, product = hs.grad_and_hvp(f, x, v)
print("library:", gradient, product)

# %% [markdown]
# ## 4. The Hessian as an operator
#
# At a fixed point the primal half of every dual is the same for every $v$. `HessianOperator` records $f$ once, keeps
# the primals, and each product sweeps tangents only. It is a SciPy `LinearOperator`, so SciPy's eigensolvers and linear
# solvers take it as it is.

# %%
rng = np.random.default_rng(0)
A = rng.standard_normal((200, 30))
labels = np.sign(A @ rng.standard_normal(30) + 2.0 * rng.standard_normal(200))


def logistic(w):
    return np.sum(np.logaddexp(0.0, -labels * (A @ w))) + 0.5 * w @ w


w = 0.1 * rng.standard_normal(30)
H = hs.HessianOperator(logistic, w)
p = 1.0 / (1.0 + np.exp(-(A @ w)))
closed_form = A.T @ (A * (p * (1 - p))[:, None]) + np.eye(30)

print("error of H v:     ", np.max(np.abs(H @ w - closed_form @ w)))
print("error of dense H: ", np.max(np.abs(H.to_dense() - closed_form)))
print("largest three:    ", H.eigsh(3)[0][::-1])
print("Newton step:      ", np.linalg.norm(H.solve(-H.gradient)))

# %% [markdown]
# ## 5. What curvature buys: Newton against gradient descent
#
# Rosenbrock's valley is $f(x, y) = (1-x)^2 + 100\,(y - x^2)^2$. Its floor is almost flat along the curve and its walls
# are steep. Gradient descent has to choose a step that suits the walls and then creeps along the floor. Newton's method
# rescales both by the Hessian. The function below is SciPy's own, called unmodified.

# %%
from scipy.optimize import rosen

start = np.array([-1.2, 1.0])
gradient_of = hs.grad(rosen)

descent = [start]
for _ in range(2000):
    descent.append(descent[-1] - 1.5e-3 * gradient_of(descent[-1]))
descent = np.array(descent)

newton_path = [start]
newton = hs.optimize.minimize(
    rosen,
    start,
    method="trust-ncg",
    options={"gtol": 1e-10},
    callback=lambda intermediate_result: newton_path.append(intermediate_result.x),
)
newton_path = np.array(newton_path)
print(f"gradient descent: 2000 steps, gradient norm {np.linalg.norm(gradient_of(descent[-1])):.1e}")
print(f"truncated Newton: {newton.nit} steps, {newton.n_hvp} products, gradient norm {newton.gradient_norm:.1e}")

# %%
xs, ys = np.meshgrid(np.linspace(-1.6, 1.4, 300), np.linspace(-0.6, 1.6, 300))
from hessian.plotting import COLORS

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
left.contourf(xs, ys, np.log10(rosen(np.array([xs, ys])) + 1e-3), levels=20, cmap="Greys", alpha=0.6)
left.plot(*descent.T, color=COLORS[0], label="gradient descent")
left.plot(*newton_path.T, "o-", color=COLORS[1], markersize=4, linewidth=1, label="truncated Newton")
left.plot(1, 1, "*", color="black", markersize=12, label="minimum")
left.set(xlabel="x", ylabel="y")
left.legend(loc="lower right", fontsize=8)
right.loglog(1 + np.arange(len(descent)), [np.linalg.norm(gradient_of(q)) for q in descent], color=COLORS[0])
right.loglog(
    1 + np.arange(len(newton.history)), [r.gradient_norm for r in newton.history], "o-", color=COLORS[1], markersize=4
)
right.set(xlabel="iteration + 1", ylabel="gradient norm")
right.grid(alpha=0.3)
plt.show()

# %% [markdown]
# Both follow the valley, one in a few dozen strides and one in thousands of crumbs. Once Newton's method is near, the
# number of correct digits about doubles with every step, and two or three more are enough.
#
# ## 6. A network on handwritten digits
#
# The same three ideas, unchanged, on 2 410 parameters: a 64-32-10 network with tanh, the mean cross-entropy of 1 347
# digits of 8 × 8 pixels, and a penalty of $\tfrac12 \cdot 10^{-3}$ times the squared norm of all parameters. `python -m
# hessian train digits` runs this from a shell.

# %%
from hessian.commands.datasets import load_dataset, split_dataset

data = split_dataset(load_dataset("digits"), test_size=0.25, seed=0)
network = hs.nn.mlp((64, 32, 10), "tanh")
fit = hs.nn.train(network, data.X_train, data.y_train, l2=1e-3, rng=0)
test_accuracy = hs.nn.accuracy(fit.predict(data.X_test), data.y_test)
print("status:", fit.result.status.name)
print(f"objective {fit.result.fun:.6f}, gradient norm {fit.result.gradient_norm:.1e}")
print(f"{fit.result.nit} iterations, {fit.result.n_hvp} Hessian-vector products")
print(f"test accuracy {test_accuracy:.4f}")

# %%
from hessian.plotting import plot_convergence

plot_convergence(fit.result.history, gtol=1e-6)[0].figure

# %% [markdown]
# The long middle is the network finding its way down a valley that is not convex; the drop at the end is Newton's
# method in its own neighbourhood.
#
# ## 7. The curvature where it ended
#
# 2 410 products give the whole Hessian. Its spectrum has three parts. About nine eigenvalues, one fewer than there are
# classes to tell apart, stand out at the top. A long shelf lies at the penalty, $10^{-3}$: directions about which the
# data say nothing. And a few hundred lie below the shelf: along those the data term alone curves *downwards*, and the
# penalty only just outweighs it. None is negative, so this is a strict local minimum.

# %%
operator = hs.HessianOperator(fit.objective, fit.params)
dense = operator.to_dense()
spectrum = np.linalg.eigvalsh(dense)
print("asymmetry:      ", np.max(np.abs(dense - dense.T)) / np.max(np.abs(dense)))
print("largest five:   ", spectrum[:-6:-1].round(4))
print("smallest:       ", spectrum[0])
print("trace:          ", np.trace(dense))
print("on the shelf:   ", np.sum(np.abs(spectrum - 1e-3) < 1e-4), "eigenvalues within 10 % of l2")
print("below it:       ", np.sum(spectrum < 0.9e-3))

# %%
from hessian.plotting import plot_spectrum

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
plot_spectrum(spectrum, ax=axes, scale="log")
axes.axhline(1e-3, color="0.4", linestyle="--", linewidth=1, label="l2 = 0.001")
axes.set(title="64-32-10 on digits, at the minimum")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 8. Everything above, asserted

# %%
assert np.isclose(forward.b, 3 * np.cos(1.5), rtol=1e-15)
np.testing.assert_allclose(library.primal, np.sin([1.5, 3.0]), rtol=1e-15)
np.testing.assert_allclose(library.tangent, [3 * np.cos(1.5), 0.0], rtol=1e-15)

np.testing.assert_allclose(reverse(tape, run(tape, x)), [x[1] + np.cos(x[0]), x[0]], rtol=1e-15)
np.testing.assert_allclose(toy_gradient, gradient, rtol=1e-15)
np.testing.assert_allclose(toy_product, H_by_hand @ v, rtol=1e-15)
np.testing.assert_allclose(product, toy_product, rtol=1e-15)

np.testing.assert_allclose(H.to_dense(), closed_form, atol=1e-12 * np.abs(closed_form).max())
np.testing.assert_allclose(H.solve(-H.gradient), np.linalg.solve(closed_form, -hs.grad(logistic)(w)), rtol=1e-9)

assert newton.success
assert np.abs(newton.x - 1.0).max() < 1e-8
assert newton.nit < 60
assert np.linalg.norm(gradient_of(descent[-1])) > 1e-2

assert fit.result.success
assert fit.result.gradient_norm <= 1e-6
assert test_accuracy >= 0.975
assert np.abs(dense - dense.T).max() <= 1e-12 * np.abs(dense).max()
assert spectrum[0] > 0
np.testing.assert_allclose(operator.eigsh(5)[0], spectrum[-5:], rtol=1e-9)
print("all assertions hold")
