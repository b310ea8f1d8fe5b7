# %% [markdown]
# # A kernel of one's own
#
# A Gaussian process is fitted by its marginal likelihood, and that is a few lines of NumPy for *any* kernel that one can write down:
# exact gradients and Hessians come with it. So do Newton's method, standard errors of the hyperparameters, a test whether the kernel's
# new part is needed, and bands that know that the hyperparameters are estimates themselves.

# %%
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
from IPython.display import display
from scipy import stats

import hessian as hs
from hessian.plotting import COLORS
from hessian.statistics import delta_method, likelihood_ratio_test

# %% [markdown]
# ## 1. A star that spins ever faster
#
# The brightness of a spotted star rises and falls with its rotation, and the spots come and go. The usual kernel for that is
# quasi-periodic: a covariance that repeats with the period P and forgets over a lifetime. Here the period itself shrinks. With the
# number of turns since the start,
#
# $$k(t, t') = a^2 \exp\Bigl(-\frac{(t - t')^2}{2 \ell^2} - \frac{2 \sin^2 \pi(\varphi(t) - \varphi(t'))}{w^2}\Bigr), \qquad
# \varphi(t) = \frac{t + \tfrac12 c\,t^2}{P},$$
#
# which no library has on its shelf: it is not stationary, since the phase is not linear in time. c = 0 is the usual one. All parameters
# but c are logarithms; 400 observations are spread over two months, with a week of clouds among them.

# %%
truth = {
    "log size": 0.0,
    "log life": np.log(12.0),
    "log width": np.log(0.7),
    "log period": np.log(5.0),
    "drift": 0.004,
    "log noise": np.log(0.2),
}


def kernel(p, s, t):
    lag = s[:, None] - t
    turns = lambda t: (t + 0.5 * p["drift"] * t**2) * np.exp(-p["log period"])
    wave = np.sin(np.pi * (turns(s)[:, None] - turns(t)))
    fade = 0.5 * lag**2 * np.exp(-2.0 * p["log life"])
    return np.exp(2.0 * p["log size"] - fade - 2.0 * wave**2 * np.exp(-2.0 * p["log width"]))


rng = np.random.default_rng(3)
n = 400
t = np.sort(np.concatenate([rng.uniform(0.0, 24.0, 180), rng.uniform(31.0, 60.0, n - 180)]))
ahead = np.linspace(0.0, 68.0, 273)
everywhere = np.concatenate([t, ahead])
joint = kernel(truth, everywhere, everywhere) + 1e-9 * np.eye(len(everywhere))
star = np.linalg.cholesky(joint) @ rng.standard_normal(len(everywhere))
y = star[:n] + 0.2 * rng.standard_normal(n)

# %% [markdown]
# ## 2. The likelihood and its optimum
#
# $-\log p(y) = \tfrac12 y^T K^{-1} y + \tfrac12 \log\det K + \tfrac n2 \log 2\pi$, by a Cholesky factor. `hs.scipy` has SciPy's own
# functions under their own names; derivatives pass through them. The usual kernel comes first, with the drift held at zero, and its
# optimum is where the fit of the whole begins.


# %%
def factor(p):
    return hs.scipy.linalg.cho_factor(kernel(p, t, t) + np.exp(2.0 * p["log noise"]) * np.eye(n), lower=True)


def nll(p):
    L = factor(p)
    return 0.5 * y @ hs.scipy.linalg.cho_solve(L, y) + np.sum(np.log(np.diag(L[0]))) + 0.5 * n * np.log(2.0 * np.pi)


start = {**truth, "log life": np.log(8.0), "log period": np.log(5.2), "drift": 0.0, "log noise": np.log(0.4)}
f = hs.record(nll)
steady = hs.optimize.minimize(f, start, fixed={"drift": 0.0})
fit = hs.optimize.minimize(f, steady.x)
for name, found in {"c = 0": steady, "c free": fit}.items():
    print(f"{name:>6}: {found.fun:.6f}, {found.status.name}, {found.nit} iterations, {found.n_hess} exact Hessians")
table = fit.summary(n_obs=n)
display(table)

# %% [markdown]
# Periods and lifetimes in days, rather than their logarithms, by the delta method:

# %%
natural = lambda p: {name.removeprefix("log "): np.exp(p[name]) if "log" in name else p[name] for name in p}
in_days = table.transformed(natural)
display(in_days)

# %% [markdown]
# ## 3. Does the period change?
#
# Two fits of the same function, one with a parameter held, are nested models.

# %%
test = likelihood_ratio_test(fit, steady)
print(test)

# %% [markdown]
# Why not everything at once? Likelihoods of periods have many optima. From the same start, with c free, Newton's method ends in one of
# them, a star that slows down: a strict minimum with a small gradient, a table that looks like any other. The test refuses it, since the
# larger model must not fit worse.

# %%
hasty = hs.optimize.minimize(f, start)
print(hasty.status.name, f"at {hasty.fun:.2f}, drift {hasty.x['drift']:.4f}")
try:
    likelihood_ratio_test(hasty, steady)
except hs.errors.ConvergenceError as error:
    refused = str(error)
print(refused)

# %% [markdown]
# ## 4. Bands
#
# Given the hyperparameters, the prediction is a conditional Gaussian. They are estimates, though: the mean moves with them, and how
# much is the delta method applied to the function that predicts it. The two variances add.


# %%
def predicted_mean(p):
    return kernel(p, ahead, t) @ hs.scipy.linalg.cho_solve(factor(p), y)


def plug_in(p):
    cross = kernel(p, ahead, t)
    explained = np.sum(cross.T * hs.scipy.linalg.cho_solve(factor(p), cross.T), axis=0)
    return np.sqrt(np.exp(2.0 * p["log size"]) - explained)


mean = delta_method(predicted_mean, fit.covariance())
given = plug_in(fit.x)
both = np.hypot(given, mean.standard_error)
figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(10.5, 6.4), sharex=True, height_ratios=(2.0, 1.0), layout="constrained"
)
top.fill_between(
    ahead,
    mean.value - 1.96 * both,
    mean.value + 1.96 * both,
    color=COLORS[0],
    alpha=0.25,
    linewidth=0,
    label="95 % band",
)
top.plot(t, y, ".", color="#999999", markersize=3, label="observations")
top.plot(ahead, star[n:], color="black", linewidth=1.0, linestyle="--", label="the star")
top.plot(ahead, mean.value, color=COLORS[0], label="predicted mean")
top.set(ylabel="brightness", title="A simulated star in 400 observations, and eight days ahead")
top.set_ylim(-2.2, 4.0)
top.legend(frameon=False, ncols=4, loc="upper center")
bottom.plot(ahead, both, color=COLORS[0], label="both")
bottom.plot(ahead, given, color=COLORS[1], linestyle="--", label="hyperparameters taken as known")
bottom.plot(ahead, mean.standard_error, color=COLORS[2], linestyle=":", label="of the hyperparameters alone")
bottom.set(xlabel="time t in days", ylabel="standard deviation", xlim=(0.0, 68.0))
bottom.legend(frameon=False, loc="upper left")
for ax in (top, bottom):
    ax.grid(alpha=0.3)
plt.show()
inside = np.abs(star[n:] - mean.value) < 1.96 * both
print(f"the star is inside the band at {100 * inside.mean():.0f} % of the places")

# %% [markdown]
# ## 5. Everything above, asserted
#
# At c = 0 scikit-learn has this kernel as a product of its own: likelihood, gradient, optimum and prediction are held against
# `GaussianProcessRegressor`. With the drift, the gradient is held against the trace formula, and the Hessian against its differences.

# %%
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, ExpSineSquared, WhiteKernel

names = list(start)


def scikit(p):
    """The same at c = 0; its parameters are logarithms too, of squares where they are variances."""
    size, life, width, period, noise = (np.exp(p[name]) for name in names if name != "drift")
    waves = ExpSineSquared(width, period)
    K = ConstantKernel(size**2) * RBF(life) * waves + WhiteKernel(noise**2)
    return GaussianProcessRegressor(K, alpha=0.0, optimizer=None).fit(t[:, None], y)


model = scikit(steady.x)
order = ["log size", "log life", "log width", "log period", "log noise"]
twice = np.array([2.0, 1.0, 1.0, 1.0, 2.0])
theta = np.array([steady.x[name] for name in order]) * twice
assert [p.name.split("__")[-1] for p in model.kernel_.hyperparameters] == [
    "constant_value",
    "length_scale",
    "length_scale",
    "periodicity",
    "noise_level",
]


def by_scikit(theta):
    value, slope = model.log_marginal_likelihood(theta, eval_gradient=True)
    return -value, -slope


np.testing.assert_allclose(by_scikit(theta)[0], steady.fun, rtol=1e-11)
elsewhere = {**start, "log width": 0.1}
_, slope = hs.value_and_grad(f)(elsewhere)
away = np.array([elsewhere[name] for name in order]) * twice
np.testing.assert_allclose([slope[name] for name in order], by_scikit(away)[1] * twice, rtol=1e-8)
# The optimum: SciPy's minimiser on scikit-learn's likelihood gets no lower, and the Hessian there is that of its gradients.
least = scipy.optimize.minimize(by_scikit, theta + 0.02, jac=True, method="BFGS", options={"gtol": 1e-4})
np.testing.assert_allclose(steady.fun, least.fun, atol=1e-8)
np.testing.assert_allclose(theta, least.x, atol=1e-5)
np.testing.assert_allclose(test.statistic, 2.0 * (least.fun - fit.fun), atol=1e-7)
np.testing.assert_allclose(test.pvalue, stats.chi2.sf(test.statistic, 1), rtol=1e-10)


def differences(gradient, x, h=1e-3):
    """Derivatives of a gradient by central differences of the fourth order."""
    steps = h * np.eye(len(x))
    return np.array(
        [
            (8.0 * (gradient(x + e) - gradient(x - e)) - gradient(x + 2.0 * e) + gradient(x - 2.0 * e)) / (12.0 * h)
            for e in steps
        ]
    )


H = differences(lambda theta: by_scikit(theta)[1], theta) * np.outer(twice, twice)
errors = np.array([steady.summary().standard_error[name] for name in order])
np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(H))), rtol=1e-6)
where = ahead[::16]
value, deviation = model.predict(where[:, None], return_std=True)
np.testing.assert_allclose(predicted_mean(steady.x)[::16], value, atol=1e-9)
np.testing.assert_allclose(np.hypot(plug_in(steady.x)[::16], np.exp(steady.x["log noise"])), deviation, rtol=1e-9)


# With the drift: derivatives of K by hand, and the trace formula.
vector = lambda p: np.array([p[name] for name in names])


def by_traces(x):
    p = dict(zip(names, x, strict=True))
    K, lag = kernel(p, t, t), t[:, None] - t
    shift = (lag + 0.5 * p["drift"] * (t[:, None] ** 2 - t**2)) / np.exp(p["log period"])
    squeeze = np.exp(-2.0 * p["log width"])
    bend = -2.0 * np.pi * np.sin(2.0 * np.pi * shift) * squeeze
    parts = {
        "log size": 2.0 * K,
        "log life": K * lag**2 * np.exp(-2.0 * p["log life"]),
        "log width": 4.0 * K * np.sin(np.pi * shift) ** 2 * squeeze,
        "log period": -K * bend * shift,
        "drift": K * bend * 0.5 * (t[:, None] ** 2 - t**2) / np.exp(p["log period"]),
        "log noise": 2.0 * np.exp(2.0 * p["log noise"]) * np.eye(n),
    }
    inverse = np.linalg.inv(K + np.exp(2.0 * p["log noise"]) * np.eye(n))
    weights = inverse - np.outer(inverse @ y, inverse @ y)
    return np.array([0.5 * np.sum(weights * parts[name]) for name in names])


np.testing.assert_allclose(by_traces(vector(start)), vector(hs.grad(f)(start)), rtol=1e-8)
exact, scale = vector(table.standard_error), np.sqrt(np.diag(np.linalg.inv(fit.hess)))
np.testing.assert_allclose(scale * by_traces(vector(fit.x)), 0.0, atol=1e-7)
# Steps in units of standard errors: the drift is known to 0.0003.
scaled = differences(lambda u: scale * by_traces(vector(fit.x) + scale * u), np.zeros(6), h=0.02)
np.testing.assert_allclose(scaled, scale[:, None] * fit.hess * scale, atol=2e-6)
np.testing.assert_allclose(exact, scale * np.sqrt(np.diag(np.linalg.inv(scaled))), rtol=1e-5)
np.testing.assert_allclose(
    table.log_likelihood,
    stats.multivariate_normal.logpdf(y, cov=kernel(fit.x, t, t) + np.exp(2.0 * fit.x["log noise"]) * np.eye(n)),
    rtol=1e-11,
)
np.testing.assert_allclose(table.aic, 12.0 - 2.0 * table.log_likelihood)
np.testing.assert_allclose(
    in_days.standard_error["period"], np.exp(fit.x["log period"]) * exact[names.index("log period")]
)
z = fit.x["drift"] / table.standard_error["drift"]
np.testing.assert_allclose(table.pvalue["drift"], 2.0 * stats.norm.sf(abs(z)), rtol=1e-9)
# Bands: the mean's derivatives by differences, and the conditional Gaussian by its definition.
J = differences(lambda u: predicted_mean(dict(zip(names, vector(fit.x) + scale * u, strict=True))), np.zeros(6), h=0.02)
C = fit.covariance().matrix / np.outer(scale, scale)
np.testing.assert_allclose(mean.standard_error, np.sqrt(np.sum(J * (C @ J), axis=0)), rtol=1e-4, atol=1e-8)
K, cross = kernel(fit.x, t, t) + np.exp(2.0 * fit.x["log noise"]) * np.eye(n), kernel(fit.x, ahead, t)
conditional = kernel(fit.x, ahead, ahead) - cross @ np.linalg.solve(K, cross.T)
np.testing.assert_allclose(given, np.sqrt(np.diag(conditional)), rtol=1e-8)
# What the text says.
assert fit.success
assert fit.status == hs.optimize.Status.CONVERGED
assert np.all(np.abs(vector(fit.x) - vector(truth)) < 3.0 * exact)
assert test.pvalue < 1e-6
assert inside.mean() > 0.9
assert hasty.success
assert hasty.fun > steady.fun
assert "the smaller model fits better" in refused
print("all assertions hold")
