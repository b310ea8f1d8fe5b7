"""A Gaussian mixture fitted by Newton's method, on parameters without constraints, beside the EM algorithm.

The density of a point x in the plane is Σ_k π_k N(x; μ_k, (L_k L_kᵀ)⁻¹), with

    π = softmax(0, z_2, ..., z_K),    L_k = [[exp a_k, 0], [b_k, exp c_k]],
    log N = -log 2π + a_k + c_k - ½ |L_kᵀ (x - μ_k)|²,

so that any real z, μ, a, b, c is a mixture: no weights to renormalise, no covariance to keep positive definite. The objective
is the mean negative log-likelihood of the points. EM creeps where components overlap, because it converges linearly at
a rate set by the share of information that the missing labels hold; Newton's method with exact Hessians does not mind.

Expected output: both start from the same means; EM is at 3.2158 after 50 iterations, 3.1886 after 200 and 5e-6 above the
minimum 3.188445 after 800; Newton's method is there, to a gradient below 1e-6, after 20 steps.
"""

import numpy as np

import hessian as hs
import hessian.scipy as scipy


def make_data(n, components, seed=0):
    """Draw points on the blades of a pinwheel."""
    rng = np.random.default_rng(seed)
    blade = rng.integers(components, size=n)
    radial, across = 1.6 + 0.7 * rng.normal(size=n), 0.55 * rng.normal(size=n)
    angle = 2 * np.pi * blade / components + 0.35 * radial
    x = radial * np.cos(angle) - across * np.sin(angle)
    y = radial * np.sin(angle) + across * np.cos(angle)
    return np.stack([x, y], axis=1)


def log_densities(params, points):
    """Return the logarithms of weight times density, one row per point and one column per component."""
    a, b, c = params["shape"]
    logits = np.concatenate([np.zeros(1), params["logits"]])
    log_weights = logits - scipy.special.logsumexp(logits)
    d = points[:, None, :] - params["means"]
    first = np.exp(a) * d[..., 0] + b * d[..., 1]
    second = np.exp(c) * d[..., 1]
    return log_weights - np.log(2 * np.pi) + a + c - 0.5 * (first**2 + second**2)


def negative_log_likelihood(params, points):
    """Return the mean of -log density over the points."""
    return -np.mean(scipy.special.logsumexp(log_densities(params, points), axis=1))


def covariances(params):
    """Return the covariance matrices of the components."""
    a, b, c = params["shape"]
    L = np.array([[np.exp(a), np.zeros_like(b)], [b, np.exp(c)]])
    return np.linalg.inv(np.einsum("ijk,ljk->kil", L, L))


def em_step(params, points):
    """Return the mixture after one step of expectation and maximisation."""
    log_p = log_densities(params, points)
    shares = np.exp(log_p - scipy.special.logsumexp(log_p, axis=1, keepdims=True))
    totals = shares.sum(axis=0)
    means = shares.T @ points / totals[:, None]
    d = points[:, None, :] - means
    precisions = np.linalg.inv(np.einsum("nk,nki,nkj->kij", shares, d, d) / totals[:, None, None])
    L = np.linalg.cholesky(precisions)
    shape = np.array([np.log(L[:, 0, 0]), L[:, 1, 0], np.log(L[:, 1, 1])])
    return {"logits": np.log(totals[1:] / totals[0]), "means": means, "shape": shape}


def problem(n=1000, components=5, seed=1):
    """Return the objective, a function of a dict of arrays, and a start with all means near the middle."""
    points = make_data(n, components, seed)
    means = 0.5 * np.random.default_rng(seed + 1).normal(size=(components, 2))
    start = {"logits": np.zeros(components - 1), "means": means, "shape": np.zeros((3, components))}
    return lambda params: negative_log_likelihood(params, points), start


def main(n=1000, components=5, em_steps=(50, 200, 800), seed=1):
    """Fit the mixture twice and print how far each has come."""
    objective, start = problem(n, components, seed)
    points = make_data(n, components, seed)
    print(f"{n} points, {components} components, start: {objective(start):.6f}")

    params = start
    for step in range(1, max(em_steps) + 1):
        params = em_step(params, points)
        if step in em_steps:
            print(f"  EM, {step:4d} steps       {objective(params):.9f}")

    result = hs.optimize.minimize(objective, start, method="trust-exact")
    print(f"  Newton, {result.nit:4d} steps   {result.fun:.9f}, gradient {result.gradient_norm:.1e}")
    print(f"smallest eigenvalue of the Hessian: {result.smallest_eigenvalue:.1e} (a strict minimum)")
    return result


def picture(result, n=1000, components=5, seed=1, ax=None):
    """Draw the points and two standard deviations of each component; return the axes."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(layout="constrained")[1]
    points = make_data(n, components, seed)
    label = np.argmax(log_densities(result.x, points), axis=1)
    ax.scatter(*points.T, s=6, c=label, cmap="tab10", vmax=9)
    turn = np.linspace(0, 2 * np.pi, 100)
    circle = 2 * np.stack([np.cos(turn), np.sin(turn)])
    for mean, covariance in zip(result.x["means"], covariances(result.x), strict=True):
        ax.plot(*(mean[:, None] + np.linalg.cholesky(covariance) @ circle), "k", linewidth=1)
    ax.set(
        aspect="equal", xlabel="x", ylabel="y", title="Gaussian mixture: points by component, ellipses of 2 deviations"
    )
    return ax


if __name__ == "__main__":
    main()
