# %% [markdown]
# # Standard errors and Laplace's approximation
#
# An estimate without its uncertainty is half an answer. The other half is the inverse of a Hessian: exact second
# derivatives at the optimum give standard errors of maximum-likelihood estimates, and Gaussian approximations of
# posteriors. Three examples: a regression that NIST has certified, a logistic regression, and a small network that knows
# where it has not been.

# %%
import matplotlib.pyplot as plt
import numpy as np

import hessian as hs
from hessian.plotting import COLORS, plot_estimates
from hessian.statistics import delta_method, laplace

# %% [markdown]
# ## 1. A certified regression
#
# MGH09, one of NIST's reference data sets (J. Kowalik and M. Osborne, 1968): eleven observations of an enzyme reaction and
# four parameters that are hard to tell apart. NIST certifies eleven digits of the parameters and of their standard
# deviations.

# %%
u = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
v = np.array([0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
certified = np.array([1.9280693458e-01, 1.9128232873e-01, 1.2305650693e-01, 1.3606233068e-01])
certified_errors = np.array([1.1435312227e-02, 1.9633220911e-01, 8.0842031232e-02, 9.0025542308e-02])


def rate(b, u):
    return b[0] * (u**2 + u * b[1]) / (u**2 + u * b[2] + b[3])


fit = hs.optimize.least_squares(lambda b: rate(b, u) - v, np.array([25.0, 39.0, 41.5, 39.0]))
expected, observed, sandwich = (fit.covariance(kind) for kind in ("expected", "observed", "sandwich"))
print(fit.status.name, "in", fit.nit, "iterations")
print(expected)
ratios = observed.standard_error / expected.standard_error
print("observed over expected:", ratios.round(3))

# %% [markdown]
# NIST's are the *expected* ones, $s^2 (J^T J)^{-1}$, which every regression program reports. They leave out the
# curvature of the model. The *observed* information is the exact Hessian, and here its standard errors are up to a fifth
# smaller. The *sandwich* needs neither equal variances nor the right distribution. That the three disagree is worth
# knowing: eleven observations are too few for the asymptotics on which all of them rest. The `weak` line names the
# combination of parameters that the data hardly determine.
#
# What is wanted is rarely a parameter. The delta method carries the uncertainty over to any function of them, here to
# the curve itself, and to the concentration at which the reaction runs at half its limit $b_0$.

# %%
grid = np.geomspace(0.05, 5.0, 120)
curve = delta_method(lambda b: rate(b, grid), expected)
half = delta_method(lambda b: (b[2] - 2 * b[1] + np.sqrt((2 * b[1] - b[2]) ** 2 + 4 * b[3])) / 2, expected)
print("half of the limit at", half)
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained")
kinds = {"expected (NIST's)": expected, "observed": observed, "sandwich": sandwich}
plot_estimates(kinds, ax=left, names={k: f"$b_{k}$" for k in range(4)})
right.plot(u, v, "o", color="black", markersize=4, label="observations")
right.plot(grid, curve.value, color=COLORS[0], label="fitted")
low, high = curve.value - 1.96 * curve.standard_error, curve.value + 1.96 * curve.standard_error
right.fill_between(grid, low, high, color=COLORS[0], alpha=0.25, linewidth=0, label="95 % of the curve")
right.set(xscale="log", xlabel="concentration u", ylabel="rate v")
right.legend(frameon=False)
right.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## 2. Logistic regression
#
# Breast cancer diagnoses: 569 patients, 30 standardised measurements, the sum of log-losses with a penalty of $\tfrac12
# \|w\|^2$ on the weights and none on the intercept. In the language of Bayes the penalty is a normal prior with
# variance one, and the Hessian at the optimum is the posterior precision. Laplace's approximation is that Gaussian.

# %%
from sklearn.datasets import load_breast_cancer

raw = load_breast_cancer()
X = (raw.data - raw.data.mean(axis=0)) / raw.data.std(axis=0)
signs = 2.0 * raw.target - 1.0


def log_loss(p):
    return np.sum(np.logaddexp(0.0, -signs * (X @ p["w"] + p["b"])))


def penalised(p):
    return log_loss(p) + 0.5 * np.sum(p["w"] ** 2)


logistic = hs.optimize.minimize(penalised, {"b": np.zeros(()), "w": np.zeros(30)}, options={"gtol": 1e-9})
spectrum = np.linalg.eigvalsh(hs.HessianOperator(penalised, logistic.x).to_dense())
nearly_flat = 1e-10
posterior = laplace(log_loss, logistic.x, prior_precision={"b": nearly_flat, "w": np.ones(30)})
print(logistic.status.name, f"f = {logistic.fun:.12f}")
print(f"eigenvalues {spectrum[0]:.5f} to {spectrum[-1]:.5f}, trace {spectrum.sum():.7f}")
print(posterior)

# %% [markdown]
# With thirty measurements, many of them nearly copies of each other, the prior decides about half of the directions:
# `effective_parameters` counts the others. A Gaussian is an approximation, so hold it against the real thing: a random-walk
# Metropolis sampler on the exact posterior, 40 000 steps with proposals shaped by the Laplace covariance.

# %%
recorded = hs.record(lambda x: penalised({"b": x[0], "w": x[1:]}))
center = np.append(logistic.x["b"], logistic.x["w"])
rng = np.random.default_rng(0)
steps, shape = 40_000, 2.4 / np.sqrt(31) * posterior.root
chain = np.empty((steps, 31))
x, value = center, recorded(center)
for k in range(steps):
    proposal = x + shape @ rng.standard_normal(31)
    proposed = recorded(proposal)
    if np.log(rng.random()) < value - proposed:
        x, value = proposal, proposed
    chain[k] = x
kept = chain[2000:]
deviations = np.append(posterior.standard_error["b"], posterior.standard_error["w"])
print("standard deviation, sampled over Laplace:", np.percentile(kept.std(axis=0) / deviations, [0, 50, 100]).round(3))

# %%
figure, ax = plt.subplots(figsize=(7.0, 4.4), layout="constrained")
strongest = np.argsort(-np.abs(center[1:]) / deviations[1:])[:10]
plot_estimates({"Laplace": posterior}, ax=ax, names={1 + k: raw.feature_names[k] for k in strongest})
reach = np.percentile(kept[:, 1 + strongest], [2.5, 97.5], axis=0)
ax.hlines(np.arange(10) + 0.25, *reach, color=COLORS[1], linewidth=3, label="sampled, 95 %")
ax.axvline(0.0, color="black", linewidth=0.6)
ax.legend(frameon=True, framealpha=0.9)
plt.show()

# %% [markdown]
# ## 3. A network that knows where it has not been
#
# Twenty noisy points of a curve with a gap in the middle, 1-12-1 with tanh, noise of known size. The Gauss-Newton matrix
# takes the place of the Hessian (for a network the consistent choice: the linearised model is what is being
# approximated), and the prediction comes with its variance.

# %%
noise, prior = 0.1, 0.5
inputs = np.concatenate([np.linspace(-1.0, -0.3, 10), np.linspace(0.4, 1.0, 10)])[:, None]
targets = np.sin(3.0 * inputs) + noise * np.random.default_rng(1).standard_normal(inputs.shape)


def negative_log_likelihood(outputs):
    return np.sum(0.5 * ((outputs - targets) / noise) ** 2 + 0.5 * np.log(2 * np.pi * noise**2))


def approximate(width):
    """Train a network of a width to its posterior mode and approximate the posterior there."""
    network = hs.nn.mlp((1, width, 1), "tanh")

    def objective(p):
        penalty = sum(np.sum(part**2) for layer in p for part in layer.values())
        return negative_log_likelihood(network(p, inputs)) + 0.5 * prior * penalty

    mode = hs.optimize.minimize(objective, network.init(0, np.float64), options={"gtol": 1e-7})
    return network, laplace(negative_log_likelihood, mode.x, inputs, prior_precision=prior, model=network)


found = {width: approximate(width) for width in (1, 2, 4, 8, 12)}
for width, (_, approximation) in found.items():
    print(f"{width:2d} hidden units: {approximation}")

# %%
network, approximation = found[12]
places = np.linspace(-1.8, 1.8, 181)[:, None]
prediction = approximation.predict(network, places)
mean, deviation = prediction.mean[:, 0], prediction.standard_deviation[:, 0]
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained", width_ratios=(1.6, 1))
left.plot(inputs, targets, "o", color="black", markersize=4, label="data")
left.plot(places, mean, color=COLORS[0], label="network")
for reach, alpha in ((1.96, 0.18), (1.0, 0.28)):
    left.fill_between(
        places[:, 0], mean - reach * deviation, mean + reach * deviation, color=COLORS[0], alpha=alpha, linewidth=0
    )
left.fill_between([], [], [], color=COLORS[0], alpha=0.4, label="1 and 1.96 standard deviations")
left.set(xlabel="input", ylabel="output", ylim=(-3.2, 3.2))
left.grid(alpha=0.3)
left.legend(frameon=False, loc="lower left")
right.plot(list(found), [one.log_evidence for _, one in found.values()], "o-", color=COLORS[1])
right.set(xlabel="hidden units", ylabel="log evidence", xticks=list(found))
right.grid(alpha=0.3)
plt.show()

# %% [markdown]
# Narrow where there are data, wide in the gap and outside. The evidence is the probability of the data under each
# network, with all its weights integrated out: it refuses one hidden unit, which cannot follow the curve, and charges
# little for units that are not needed, because the prior holds them at zero.
#
# ## 4. Everything above, asserted

# %%
np.testing.assert_allclose(fit.x, certified, rtol=1e-8)
np.testing.assert_allclose(expected.standard_error, certified_errors, rtol=1e-6)
np.testing.assert_allclose(ratios, [0.89, 0.79, 0.98, 0.78], atol=0.005)
np.testing.assert_allclose(rate(fit.x, half.value), fit.x[0] / 2, rtol=1e-10)

assert abs(logistic.fun - 37.758945961876) < 1e-9
np.testing.assert_allclose(spectrum[[0, -1]], [0.99663, 85.57012], atol=1e-5)
np.testing.assert_allclose(spectrum.sum(), 272.2058998, atol=1e-6)
np.testing.assert_allclose(np.linalg.inv(posterior.covariance).trace(), spectrum.sum(), rtol=1e-8)
assert np.all(np.abs(kept.std(axis=0) / deviations - 1.0) < 0.25)

evidence = {width: one.log_evidence for width, (_, one) in found.items()}
assert evidence[1] < max(evidence.values()) - 10.0
inside, gap, outside = (deviation[np.argmin(np.abs(places - place))] for place in (0.7, 0.05, 1.7))
assert gap > 1.5 * inside
assert outside > 5.0 * inside
print("all assertions hold")
