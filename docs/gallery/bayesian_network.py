"""A Bayesian neural network by black-box variational inference, and what the Hessian says that it does not.

The outputs of a network f(x; w) with tanh units are observed with noise σ, and its weights have the prior N(0, I). Their
posterior is approximated by independent Gaussians, w = m + exp(s) ε with ε ~ N(0, I), whose parameters minimise the
negative evidence lower bound

    -ELBO(m, s) = -E_ε [ log p(y | f(x; w)) + log p(w) ] - Σ s - (D/2) (1 + log 2π),

with the expectation replaced by a mean over draws of ε that are new in every step, so that nothing needs to be known of
the model but its log density: black box. The steps are Adam's. The program of the objective is recorded once and replayed
with new draws, which are an argument like any other.

Independent Gaussians know no correlations of the weights. The Hessian A of -log p(y, w) at its minimum knows them: Laplace's
deviation of f(x) is sqrt(gᵀ A⁻¹ g) with the gradient g of f(x; w).

Expected output: the bound rises to -58.0. Laplace's deviation is 0.05 among the data and 0.35 in the gap between them; the
variational one, 0.11 and 0.24, is too large where something was observed and too small where nothing was.
"""

from itertools import pairwise

import numpy as np

import hessian as hs

NOISE = 0.2
SIZES = (1, 10, 1)


def make_data(n=60, seed=0):
    """Return observations of a smooth function to both sides of a gap."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([np.linspace(-2, -1, n // 2), np.linspace(1, 2, n - n // 2)])
    return x[:, None], np.sin(2 * x) + NOISE * rng.normal(size=n)


def unpack(w):
    """Cut vectors of weights, one per row, into batches of matrices and biases."""
    at, layers = 0, []
    for m, n in pairwise(SIZES):
        weights = w[:, at : at + m * n].reshape(-1, m, n) / np.sqrt(m)
        biases = w[:, None, at + m * n : at + (m + 1) * n]
        layers.append((weights, biases))
        at += (m + 1) * n
    return layers


def outputs(w, x):
    """Return the outputs of the networks with weights w: one row per network, one column per input."""
    *hidden, (last, bias) = unpack(w)
    h = x
    for weights, biases in hidden:
        h = np.tanh(h @ weights + biases)
    return (h @ last + bias)[..., 0]


def log_joint(w, x, y):
    """Return log p(y, w) of each network."""
    D = w.shape[1]
    likelihood = -0.5 * np.sum(((y - outputs(w, x)) / NOISE) ** 2, axis=1) - len(y) * np.log(NOISE * np.sqrt(2 * np.pi))
    prior = -0.5 * np.sum(w**2, axis=1) - 0.5 * D * np.log(2 * np.pi)
    return likelihood + prior


def negative_elbo(params, draws, x, y):
    """Estimate -ELBO from standard normal draws, one row each."""
    w = params["mean"] + np.exp(params["log_deviation"]) * draws
    entropy = np.sum(params["log_deviation"]) + 0.5 * draws.shape[1] * (1 + np.log(2 * np.pi))
    return -np.mean(log_joint(w, x, y)) - entropy


def adam(gradient, params, steps, rate):
    """Yield the parameters after each step of Adam with a rate that falls to zero along a cosine."""
    average = {name: np.zeros_like(value) for name, value in params.items()}
    square = {name: np.zeros_like(value) for name, value in params.items()}
    for step in range(1, steps + 1):
        g = gradient(params, step)
        now = 0.5 * rate * (1 + np.cos(np.pi * step / steps))
        for name in params:
            average[name] = 0.9 * average[name] + 0.1 * g[name]
            square[name] = 0.999 * square[name] + 0.001 * g[name] ** 2
        scale = {name: np.sqrt(square[name] / (1 - 0.999**step)) + 1e-8 for name in params}
        params = {name: params[name] - now * average[name] / (1 - 0.9**step) / scale[name] for name in params}
        yield params


def problem(draws=20, seed=0):
    """Return the objective, a function of a dict of arrays, for one set of draws, and a start."""
    x, y = make_data()
    rng = np.random.default_rng(seed)
    D = sum((m + 1) * n for m, n in pairwise(SIZES))
    noise = rng.normal(size=(draws, D))
    start = {"mean": rng.normal(size=D), "log_deviation": np.full(D, -3.0)}
    return lambda params: negative_elbo(params, noise, x, y), start


def predict(params, x, count=500, seed=0):
    """Return the outputs of networks drawn from the approximation."""
    draws = np.random.default_rng(seed).normal(size=(count, len(params["mean"])))
    return outputs(params["mean"] + np.exp(params["log_deviation"]) * draws, x[:, None])


def laplace(start, places):
    """Return the outputs at the mode of the posterior, and their deviations from the Hessian there."""
    x, y = make_data()
    result = hs.optimize.minimize(lambda w: -log_joint(w[None], x, y)[0], start)
    A = hs.hessian(lambda w: -log_joint(w[None], x, y)[0])(result.x)
    g = hs.jacobian(lambda w: outputs(w[None], places[:, None])[0])(result.x)
    return outputs(result.x[None], places[:, None])[0], np.sqrt(np.sum(g.T * np.linalg.solve(A, g.T), axis=0))


def main(steps=4000, draws=10, seed=0):
    """Fit the approximation, print the bound, and compare its deviations with Laplace's."""
    x, y = make_data()
    held_out, params = problem(draws=500, seed=seed)
    rng = np.random.default_rng(seed + 1)
    shape = (draws, len(params["mean"]))
    slope = hs.grad(hs.record(negative_elbo))

    print(f"{shape[1]} weights, ELBO at the start {-held_out(params):.1f}")
    for step, now in enumerate(adam(lambda p, _: slope(p, rng.normal(size=shape), x, y), params, steps, 0.02), 1):
        params = now
        if step % (steps // 8) == 0:
            print(f"  step {step:5d}   ELBO {-held_out(params):9.2f}")

    places = np.array([-1.3, 0.0, 1.3, 2.8])
    variational, hessian = np.std(predict(params, places), axis=0), laplace(params["mean"], places)[1]
    print("deviation at", *(f"{place:7.1f}" for place in places))
    print("variational ", *(f"{deviation:7.3f}" for deviation in variational))
    print("Laplace     ", *(f"{deviation:7.3f}" for deviation in hessian))
    return params


def picture(params, ax=None):
    """Draw the data, some networks and the band that holds 95 % of them; return the axes."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(layout="constrained")[1]
    grid = np.linspace(-3, 3, 300)
    mode, deviation = laplace(params["mean"], grid)
    ax.fill_between(
        grid, mode - 1.96 * deviation, mode + 1.96 * deviation, color="C1", alpha=0.2, label="Laplace, 95 %"
    )
    ax.fill_between(
        grid, *np.quantile(predict(params, grid), [0.025, 0.975], axis=0), alpha=0.4, label="variational, 95 %"
    )
    x, y = make_data()
    ax.plot(x[:, 0], y, "k.", label="data")
    ax.set(xlabel="x", ylabel="y", ylim=(-2.5, 2.5), title="Bayesian network by variational inference")
    ax.legend()
    return ax


if __name__ == "__main__":
    main()
