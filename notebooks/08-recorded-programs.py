# %% [markdown]
# # Recorded programs
#
# What happens between a plain NumPy function and a fast Hessian-vector product: the tape that is written while the
# function runs, the program that is made of it, the guards that keep it honest, and why the result costs about what the
# mathematics costs. Nothing here is needed to use the library. All of it can be printed.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

import hessian as hs
from hessian.plotting import COLORS

rng = np.random.default_rng(0)
X = rng.standard_normal((50, 6))
y = np.sign(X @ np.ones(6) + rng.standard_normal(50))


@hs.record
def logistic(w):
    return np.sum(np.logaddexp(0.0, -y * (X @ w))) + 0.5 * w @ w


# %% [markdown]
# ## 1. The first call records, the others replay
#
# The first call runs the function on values that write down what is done to them. The calls after that run the
# recorded program on the numbers of the day; the Python function is not called.

# %%
w = 0.1 * rng.standard_normal(6)
values = [logistic(w), logistic(2.0 * w), logistic(3.0 * w)]
print(logistic.programs[0])
print(logistic.stats)

# %% [markdown]
# The labels are folded into a constant: `-y` never changes. And the third number, `verifications`, is not zero: on the
# 1st, 2nd, 4th, 8th … replay the plain function is called as well, and its value is compared.
#
# ## 2. From values to products
#
# A Hessian operator asks for more: the value, the gradient by a reverse sweep, and the tangents of both. The sweeps are
# run *once*, on recorded values, and become a program of four sections. What depends on the point is computed once per
# point (`value`, `gradient`, `curve`). What depends on the direction is `product`, and that is all that a second
# product at the same point runs.

# %%
H = hs.HessianOperator(logistic, w)
v = rng.standard_normal(6)
product = H @ v
program = logistic.programs[1]
print(program)

# %% [markdown]
# Read `product` from top to bottom: $X^T D X v + v$ with a diagonal D that was computed in `curve`. That is the
# formula one would write by hand. It was not written by hand: it is what is left of forward-over-reverse when zeros,
# repeated subexpressions and dead code are gone.
#
# The program is straight-line Python. Every array has its place in one block of memory, planned in advance; every
# function is bound to a local name.

# %%
source = program.source
print(source[source.index("    def curve") : source.index("    return (value")])

# %% [markdown]
# ## 3. Guards
#
# A function may branch on its data. The comparison is recorded as a guard, and a replay on the other side of it records
# the other branch: a second program, not a wrong number.


# %%
@hs.record
def branching(x):
    return np.sum(x**2) if x[0] > 0.0 else np.sum(np.exp(x))


ones = np.ones(2)
slopes = [hs.grad(branching)(x) for x in (ones, -ones, 2.0 * ones, -2.0 * ones)]
print(*slopes, sep="\n")
print(branching.stats)

# %% [markdown]
# What a recording cannot see is data that change behind its back. The verification does, and says what to do.

# %%
batch = np.array([1.0, 2.0])


@hs.record
def forgetful(x):
    return np.sum((x - batch) ** 2)


forgetful(np.zeros(2))
batch = np.array([30.0, 40.0])
try:
    forgetful(np.ones(2))
    complaint = ""
except hs.HessianError as error:
    complaint = str(error)
print(complaint)

# %% [markdown]
# ## 4. Why it is fast
#
# Python charges for every operation, mathematics for every number. The first bill is for the number of lines: a plain
# sweep meets each operation of the function several times, in objects that look up rules, and the program has one line
# for each operation that is left. The second is for what the lines do.


# %%
def operations(program, section):
    """Lines of a section of a program that compute something."""
    lines = str(program).split(f"{section}(")[1].split("return")[0].splitlines()[1:]
    return sum("=" in line for line in lines)


def problem(sizes, rows):
    """A network with squared error, recorded and not, its parameters, data, and an operator at them."""
    network, rng = hs.nn.mlp(sizes, "tanh"), np.random.default_rng(0)

    def loss(p, inputs, targets):
        return hs.nn.squared_error(network(p, inputs), targets)

    point = (network.init(0, np.float64), rng.standard_normal((rows, sizes[0])), rng.standard_normal((rows, sizes[-1])))
    recorded = hs.record(loss)
    return loss, recorded, point, hs.HessianOperator(recorded, *point)


loss, recorded, point, operator = problem((8, 16, 16, 4), 64)
direction = rng.standard_normal(operator.shape[0])
fast, plain = operator @ direction, hs.HessianOperator(loss, *point) @ direction
counts = {name: operations(recorded.programs[-1], name) for name in ("value", "gradient", "curve", "product")}
print("lines of the program:", counts)

# %% [markdown]
# Now the clock. The plain function in NumPy is the yardstick: 1 means that something costs as much as calling it once.
# On the left a small network, where Python is most of the bill, on the right one of the size of the digits examples.
# (Timings are those of the machine that built this page, on one thread. The last cell only asserts that the program is the faster.)


# %%
def fastest(call, repeats=7, calls=8):
    """Shortest mean time of a few calls: what is left when nothing else disturbs."""
    call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - started) / calls)
    return min(times)


def measure(sizes, rows):
    """Times of everything, in calls of the plain function."""
    loss, recorded, point, operator = problem(sizes, rows)
    rng = np.random.default_rng(1)
    along, block = rng.standard_normal(operator.shape[0]), rng.standard_normal((operator.shape[0], 16))
    tangent = [{name: rng.standard_normal(part.shape) for name, part in layer.items()} for layer in point[0]]
    gradient_plain, gradient_recorded = hs.grad(loss), hs.grad(recorded)
    once = fastest(lambda: loss(*point))
    times = {
        "gradient, plain sweeps": fastest(lambda: gradient_plain(*point)),
        "gradient, recorded": fastest(lambda: gradient_recorded(*point)),
        "product at a new point, plain": fastest(lambda: hs.hvp(loss, point[0], tangent, *point[1:])),
        "product at a new point, recorded": fastest(lambda: hs.hvp(recorded, point[0], tangent, *point[1:])),
        "another product there": fastest(lambda: operator @ along),
        "each of 16 products at once": fastest(lambda: operator @ block) / 16,
    }
    return once, {name: seconds / once for name, seconds in times.items()}


measured = {"8-16-16-4, 64 rows": measure((8, 16, 16, 4), 64), "64-32-10, 512 rows": measure((64, 32, 10), 512)}
for title, (once, relative) in measured.items():
    print(f"{title}: one call of the plain function takes {1e6 * once:.0f} us")
    for name, ratio in relative.items():
        print(f"    {name:<34}{ratio:7.2f} calls")

# %%
figure, panels = plt.subplots(1, 2, figsize=(10.5, 3.4), layout="constrained", sharey=True)
for ax, (title, (_, relative)) in zip(panels, measured.items(), strict=True):
    colors = [COLORS[0] if "plain" in name else COLORS[1] for name in relative]
    bars = ax.barh(list(relative), list(relative.values()), color=colors, height=0.65)
    ax.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
    ax.axvline(1.0, color="0.4", linestyle="--", linewidth=1)
    ax.margins(x=0.12)
    ax.set(xlabel="time, in calls of the plain function", title=title)
panels[0].invert_yaxis()
plt.show()

# %% [markdown]
# Blue bars are plain sweeps, vermilion ones programs; the dashed line is the function itself. Where Python was the bill,
# a program costs a fraction. Where matrix products are, a product at a known point comes near what it must cost: for
# each matrix product of the function two in the first layer, whose inputs have no tangents, and six in the others (two
# forward, two back, two for the weights).
#
# That is why `hs.optimize` and `hs.nn` record what they minimise, and why a single `hs.hvp(f, x, v)` does not: compiling
# takes as long as some dozen plain sweeps.
#
# ## 5. Everything above, asserted

# %%
margins = -y * (X @ w)
p = 1.0 / (1.0 + np.exp(-margins))
by_hand = X.T @ (p * (1.0 - p) * (X @ v)) + v
assert values == [logistic.function(k * w) for k in (1.0, 2.0, 3.0)]
np.testing.assert_allclose(product, by_hand, rtol=1e-12)
np.testing.assert_allclose(H.gradient, X.T @ (-y * p) + w, rtol=1e-12)
assert logistic.stats.recordings == 2  # the value, and the curvature
assert [operations(program, name) for name in ("value", "gradient", "curve", "product")] == [7, 5, 3, 7]

np.testing.assert_allclose(slopes, [2.0 * ones, np.exp(-ones), 4.0 * ones, np.exp(-2.0 * ones)], rtol=1e-15)
assert branching.stats.recordings == 2
assert branching.stats.guard_misses >= 2
assert "Pass what changes as an argument" in complaint

np.testing.assert_allclose(fast, plain, rtol=1e-12, atol=1e-14)
for _, relative in measured.values():
    assert relative["another product there"] < relative["product at a new point, plain"]
    assert relative["product at a new point, recorded"] < relative["product at a new point, plain"]
print("all assertions hold")
