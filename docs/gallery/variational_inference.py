"""Variational inference: several densities approximated by several families of distributions, all by one objective.

A density p is approximated by the member q of a family that has the smallest Kullback-Leibler divergence

    KL(q | p) = E_q[ log q(x) - log p(x) ],    q = Σ_k π_k N(m_k, L_k L_kᵀ),    π = softmax(z),

with one Gaussian of independent coordinates (L diagonal), one Gaussian of any covariance, or a mixture of six. The
expectation over each component is a mean over x = m_k + L_k ε for normal draws ε, which stay the same for the whole fit. So
the objective is an ordinary smooth function, and Newton's method finds its minimum to many digits in five to a hundred
steps, where stochastic gradients would take thousands and stop at their noise. The densities are normalised, so that zero
is a perfect fit, and the table can be read as it stands.

Expected output: a table of the divergences, by fresh draws. One Gaussian leaves 0.57 of the banana and 0.51 of the funnel
and of the two ridges, 0.05 of the sheared tails; six leave 0.013, 0.054, 0.024 and 0.029.
"""

import numpy as np

import hessian as hs
import hessian.scipy as scipy

FAMILIES = {"independent": (1, False), "Gaussian": (1, True), "mixture": (6, True)}


def banana(x):
    """Return the log density of a normal coordinate and another one around its square."""
    return scipy.stats.norm.logpdf(x[..., 0]) + scipy.stats.norm.logpdf(x[..., 1], x[..., 0] ** 2 - 1, 0.5)


def funnel(x):
    """Return the log density of a coordinate whose deviation is the exponential of the other."""
    return scipy.stats.norm.logpdf(x[..., 1], 0, 0.9) + scipy.stats.norm.logpdf(x[..., 0], 0, np.exp(x[..., 1]))


def tails(x):
    """Return the log density of a sheared pair of Student's t with five degrees of freedom."""
    return scipy.stats.t.logpdf(x[..., 0], 5) + scipy.stats.t.logpdf(x[..., 1] - x[..., 0], 5)


def two_ridges(x):
    """Return the log density of two crossing ridges."""
    one = scipy.stats.norm.logpdf(x[..., 0] + x[..., 1], 0, 0.3) + scipy.stats.norm.logpdf(x[..., 0] - x[..., 1], 0, 2)
    other = scipy.stats.norm.logpdf(x[..., 0] - x[..., 1], 0, 0.3) + scipy.stats.norm.logpdf(
        x[..., 0] + x[..., 1], 0, 2
    )
    return np.logaddexp(one, other)


TARGETS = {"banana": banana, "funnel": funnel, "tails": tails, "two ridges": two_ridges}


def log_mixture(params, x):
    """Return log q at points x of any leading shape."""
    scaled = (x[..., None, :] - params["means"]) / np.exp(params["scales"])
    first, second = scaled[..., 0], scaled[..., 1] - params.get("shears", 0.0) * scaled[..., 0]
    logits = np.append(params["logits"], 0.0)
    log_weights = logits - scipy.special.logsumexp(logits) - np.sum(params["scales"], axis=1)
    log_normals = scipy.stats.norm.logpdf(first) + scipy.stats.norm.logpdf(second)
    return scipy.special.logsumexp(log_weights + log_normals, axis=-1)


def samples(params, draws):
    """Return points from each component, one row per component, made from normal draws."""
    shears = params.get("shears", np.zeros(len(params["means"])))
    sheared = draws + shears[:, None, None] * draws[:, :1] * np.array([0.0, 1.0])
    return params["means"][:, None] + np.exp(params["scales"])[:, None] * sheared


def divergence(params, log_target, draws):
    """Estimate KL(q | p), with the same draws for every component."""
    logits = np.append(params["logits"], 0.0)
    weights = np.exp(logits - scipy.special.logsumexp(logits))
    x = samples(params, draws)
    return weights @ np.mean(log_mixture(params, x) - log_target(x), axis=1)


def make_draws(n, seed):
    """Return normal draws in pairs of opposite sign."""
    half = np.random.default_rng(seed).normal(size=(n // 2, 2))
    return np.concatenate([half, -half])


def problem(target="banana", family="mixture", n=300, seed=0):
    """Return the objective, a function of a dict of arrays, and a start."""
    components, sheared = FAMILIES[family]
    draws = make_draws(n, seed)
    start = {
        "logits": np.zeros(components - 1),
        "means": np.random.default_rng(seed + 1).normal(size=(components, 2)),
        "scales": np.full((components, 2), -0.5),
    }
    if sheared:
        start["shears"] = np.zeros(components)
    return lambda params: divergence(params, TARGETS[target], draws), start


def main(n=300, seed=0):
    """Fit every family to every density and print a table of divergences, by fresh draws."""
    fresh = make_draws(40000, seed + 2)
    print(f"{'KL(q | p)':12s}" + "".join(f"{family:>26s}" for family in FAMILIES))
    fits = {}
    for target, log_target in TARGETS.items():
        row = f"{target:12s}"
        for family in FAMILIES:
            objective, start = problem(target, family, n, seed)
            result = hs.optimize.minimize(objective, start)
            fits[target, family] = result
            row += f"{divergence(result.x, log_target, fresh):10.3f} ({result.nit:3d} steps)  "
        print(row)
    return fits


def picture(fits):
    """Draw the densities as contours, and the points of 50 % and 95 % of the height of what approximates them; return the axes."""
    import matplotlib.pyplot as plt

    grid = np.linspace(-4, 4, 161)
    points = np.stack(np.meshgrid(grid, grid), axis=-1)
    figure, axes = plt.subplots(
        len(TARGETS), len(FAMILIES), figsize=(9, 11), sharex=True, sharey=True, layout="constrained"
    )
    for (target, family), ax in zip(fits, axes.ravel(), strict=True):
        ax.contourf(grid, grid, np.exp(TARGETS[target](points)), levels=12, cmap="Blues")
        q = np.exp(log_mixture(fits[target, family].x, points))
        ax.contour(grid, grid, q, levels=q.max() * np.array([0.05, 0.3, 0.7]), colors="C1")
        ax.set(title=f"{target}, {family}", aspect="equal")
    figure.suptitle("Densities (blue) and what approximates them (lines)")
    return axes


if __name__ == "__main__":
    main()
