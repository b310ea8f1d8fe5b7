"""A long short-term memory that learns to add two numbers it has to remember: the adding problem.

A sequence holds T random numbers between 0 and 1, two of which are marked, and the target is the sum of the marked ones. So
the network must find out what the marks mean, and keep a number over as many steps as lie between them. With z_t the number,
the mark and the last state h_{t-1} side by side, its cell is

    i, f, o = sigmoid(z_t W + b) in three parts,    g = tanh(z_t V + c),
    s_t = f s_{t-1} + i g,    h_t = o tanh(s_t),    prediction = h_T w + d,

and the objective is the mean squared error. A network that does not know which numbers are marked has the error 1/6. The
method is a truncated Newton method, preconditioned by the diagonal of the Hessian.

Expected output: an error of about 3e-5 after 600 products and 110 steps, and 5e-5 on new sequences.
"""

import numpy as np

import hessian as hs
import hessian.scipy as scipy


def make_data(n, length, seed):
    """Return sequences of numbers and marks (sequences, time, 2), and the sums of what is marked."""
    rng = np.random.default_rng(seed)
    numbers, marks = rng.uniform(size=(n, length)), np.zeros((n, length))
    for row in marks:
        row[rng.integers(length // 2)] = row[rng.integers(length // 2, length)] = 1
    return np.stack([numbers, marks], axis=-1), np.sum(numbers * marks, axis=1)


def initialize(hidden, seed):
    """Return parameters; the gates that forget start open."""
    rng = np.random.default_rng(seed)
    scale = 1 / np.sqrt(hidden + 2)
    return {
        "W": scale * rng.normal(size=(2 + hidden, 3 * hidden)),
        "b": np.concatenate([np.zeros(hidden), np.full(hidden, 2.0), np.zeros(hidden)]),
        "V": scale * rng.normal(size=(2 + hidden, hidden)),
        "c": np.zeros(hidden),
        "w": np.zeros(hidden),
        "d": np.ones(1),
    }


def cell(params, z, h, s):
    """Return hidden state and memory after one more input."""
    z = np.concatenate([z, h], axis=1)
    i, f, o = np.split(scipy.special.expit(z @ params["W"] + params["b"]), 3, axis=1)
    s = f * s + i * np.tanh(z @ params["V"] + params["c"])
    return o * np.tanh(s), s


def predict(params, inputs):
    """Return the predicted sums."""
    h = s = np.zeros((len(inputs), len(params["c"])))
    for t in range(inputs.shape[1]):
        h, s = cell(params, inputs[:, t], h, s)
    return h @ params["w"] + params["d"]


def error(params, inputs, targets):
    """Return the mean squared error."""
    return np.mean((predict(params, inputs) - targets) ** 2)


def problem(n=400, length=20, hidden=12, seed=0):
    """Return the objective, a function of a dict of arrays, and a start."""
    inputs, targets = make_data(n, length, seed)
    return lambda params: error(params, inputs, targets), initialize(hidden, seed)


def main(max_hvp=600, n=400, length=20, hidden=12, seed=0):
    """Train, and try the network on new sequences."""
    objective, start = problem(n, length, hidden, seed)
    print(f"{n} sequences of {length}, error at the start {objective(start):.4f}")

    def show(intermediate_result):
        r = intermediate_result
        if r.nit % 10 == 0:
            print(f"  step {r.nit:3d}, {r.n_hvp:4d} products   error {r.fun:.5f}")

    options = {"max_hvp": max_hvp, "preconditioner": "jacobi", "check_curvature": False}
    result = hs.optimize.minimize(objective, start, method="trust-ncg", callback=show, options=options)
    print(
        f"after {result.n_hvp} products: error {result.fun:.6f}, on new sequences {error(result.x, *make_data(1000, length, 99)):.6f}"
    )
    return result


def picture(result, length=20, ax=None):
    """Draw predictions against sums for new sequences; return the axes."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(layout="constrained")[1]
    inputs, targets = make_data(500, length, 99)
    ax.plot([0, 2], [0, 2], "k", linewidth=1)
    ax.plot(targets, predict(result.x, inputs), ".")
    ax.set(xlabel="sum of the marked numbers", ylabel="prediction", title="LSTM on the adding problem", aspect="equal")
    return ax


if __name__ == "__main__":
    main()
