# %% [markdown]
# # Intervals and tests
#
# A fit gives numbers; a paper wants a ratio with its interval, a test of two models, and an honest word where the data
# say little. Thirty-four cells of a table on damage to cargo ships by waves (P. McCullagh and J. Nelder, *Generalized Linear
# Models*, 1989, section 6.3.2) and a likelihood written by hand are enough for all of them.

# %%
import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
from scipy import special, stats

import hessian as hs
from hessian.plotting import plot_profile
from hessian.statistics import delta_method, likelihood_ratio_test, profile, wald_test

# %% [markdown]
# ## 1. The data and a likelihood
#
# Five types of ships (A to E), four periods of construction, two of operation; months in service and incidents of damage.
# The parameters are a dict, whose keys are the names in everything that follows.

# %%
months = np.array([
    [127, 63, 1095, 1095, 1512, 3353, 0, 2244],
    [44882, 17176, 28609, 20370, 7064, 13099, 0, 7117],
    [1179, 552, 781, 676, 783, 1948, 0, 274],
    [251, 105, 288, 192, 349, 1208, 0, 2051],
    [45, 0, 789, 437, 1157, 2161, 0, 542],
]).ravel()  # fmt: skip
damage = np.array([
    [0, 0, 3, 4, 6, 18, 0, 11],
    [39, 29, 58, 53, 12, 44, 0, 18],
    [1, 1, 0, 1, 6, 2, 0, 1],
    [0, 0, 0, 0, 2, 11, 0, 4],
    [0, 0, 7, 7, 5, 12, 0, 1],
]).ravel()  # fmt: skip
cell = np.arange(40)
kind, built, late = cell // 8, cell // 2 % 4, cell % 2
sailed = months > 0
kinds = (kind[sailed, None] == np.arange(1, 5)).astype(float)
years = (built[sailed, None] == np.arange(1, 4)).astype(float)
period, exposure, y = late[sailed].astype(float), np.log(months[sailed]), damage[sailed].astype(float)


def log_mean(p):
    return p["constant"] + kinds @ p["type"] + years @ p["built"] + period * p["late"] + exposure


def poisson(p):
    eta = log_mean(p)
    return np.sum(np.exp(eta) - y * eta + special.gammaln(y + 1.0))


f = hs.record(poisson)
start = {"constant": -6.0, "type": np.zeros(4), "built": np.zeros(3), "late": 0.0}
fit = hs.optimize.minimize(f, start, tol=1e-9)
fit.summary(n_obs=len(y))

# %% [markdown]
# ## 2. A ratio and its interval
#
# Ships that operated after 1975 were damaged exp(late) times as often. The delta method carries the standard error over to
# that, symmetric about the ratio; the ends of the interval of `late` itself can be carried over as they are, and those of its
# *profile* do not depend on which of the two was the parameter.

# %%
ratio = delta_method(lambda p: np.exp(p["late"]), fit.covariance())
wald, followed = fit.confidence_intervals(), fit.confidence_intervals("profile")
print(ratio, [round(float(end), 3) for end in ratio.interval()])
print("exp of the Wald interval:   ", np.exp(wald["late"]).round(3))
print("exp of the profile interval:", np.exp(followed["late"]).round(3))
followed

# %% [markdown]
# For `late` it makes no difference. For the types with few incidents it does: the likelihood of C is skewed, and its Wald interval
# reaches too far up and not far enough down. The picture says how far from a parabola it is; the dots are fits of the other
# parameters, a handful, on Hessians that are kept from one to the next.
#
# On the right is a curve instead of a table: the rates of an enzyme reaction, which saturate with the concentration (D. Bates and D.
# Watts, *Nonlinear Regression Analysis and Its Applications*, 1988, data set A1.3, the treated cells). Cut off after the fourth
# observation the data can tell saturation neither from a straight line nor from a constant.

# %%
c = np.repeat([0.02, 0.06, 0.11, 0.22, 0.56, 1.10], 2)
v = np.array([76.0, 47.0, 97.0, 107.0, 123.0, 139.0, 159.0, 152.0, 191.0, 201.0, 207.0, 200.0])


def residuals(p, c, v):
    return p["V"] * c / (np.exp(p["log K"]) + c) - v


whole = hs.optimize.least_squares(residuals, {"V": 200.0, "log K": -3.0}, (c, v))
part = hs.optimize.least_squares(residuals, {"V": 200.0, "log K": -3.0}, (c[:4], v[:4]))
figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.0), layout="constrained")
skewed = profile(f, fit, ("type", 1), level=0.99)
plot_profile(skewed, ax=left)
open_end = profile(residuals, part, "log K", c[:4], v[:4])
plot_profile(open_end, ax=right)
plt.show()
print(open_end)
whole.confidence_intervals("profile")

# %% [markdown]
# The likelihood ratio flattens out below the cut on both sides, and the interval is open, which no standard error would ever say.
# With all twelve observations it has two ends.
#
# ## 3. Two nested models
#
# Does the type of a ship matter? `fixed=` holds its four parameters at zero; everything else about the fit stays as it is, its
# recording too.

# %%
smaller = hs.optimize.minimize(f, fit.x, fixed={"type": np.zeros(4)}, tol=1e-9)
by_ratio, by_wald = likelihood_ratio_test(fit, smaller), wald_test(fit, "type")
print(by_ratio)
print(by_wald)
print("B and C alike:", wald_test(fit, lambda p: p["type"][0] - p["type"][1]))

# %% [markdown]
# ## 4. Everything above, asserted
#
# The estimates and the deviance of the book; the interval of C by SciPy alone, a root of the likelihood ratio over fits of the
# others; those of the enzyme by R; the open end by the line that is its limit.

# %%
book = {"type": [-0.543, -0.687, -0.076, 0.326], "built": [0.697, 0.818, 0.453], "late": 0.384}
for name, values in book.items():
    np.testing.assert_allclose(fit.x[name], values, atol=6e-4)
saturated = np.sum(stats.poisson.logpmf(y, np.maximum(y, 1e-300)))
np.testing.assert_allclose(2.0 * (fit.fun + saturated), 38.695, atol=5e-4)

design = np.column_stack([np.ones(len(y)), kinds, years, period])


def plain(b):
    eta = design @ b + exposure
    return np.sum(np.exp(eta) - y * eta + special.gammaln(y + 1.0))


def refitted(c):
    others = np.delete(np.arange(9), 2)
    full = lambda b: np.insert(b, 2, c)
    slope = lambda b: (design.T @ (np.exp(design @ full(b) + exposure) - y))[others]
    bend = lambda b: (design.T * np.exp(design @ full(b) + exposure) @ design)[np.ix_(others, others)]
    found = scipy.optimize.minimize(
        lambda b: plain(full(b)),
        np.delete(best, 2),
        jac=slope,
        hess=bend,
        method="trust-exact",
        options={"gtol": 1e-10},
    )
    return 2.0 * (found.fun - plain(best)) - stats.chi2.ppf(0.99, 1)


best = np.concatenate([[fit.x["constant"]], fit.x["type"], fit.x["built"], [fit.x["late"]]])
ends = [scipy.optimize.brentq(refitted, *sorted((best[2], far)), xtol=1e-12) for far in (best[2] - 3.0, best[2] + 2.0)]
np.testing.assert_allclose([skewed.lower, skewed.upper], ends, rtol=1e-6)
assert skewed.nonlinearity > 0.05

# R's confint of the same curve in K itself, which interpolates the profile.
np.testing.assert_allclose(whole.confidence_intervals("profile")["V"], [197.3021, 229.2901], rtol=2e-4)
np.testing.assert_allclose(np.exp(whole.confidence_intervals("profile")["log K"]), [0.0469252, 0.0861600], rtol=2e-4)
assert open_end.upper == np.inf
line = v[:4] - c[:4] * (c[:4] @ v[:4]) / (c[:4] @ c[:4])
np.testing.assert_allclose(open_end.root[-1] ** 2, (line @ line - 2.0 * part.cost) / part.residual_std**2, rtol=0.05)
np.testing.assert_allclose(np.exp(followed["late"]), [1.166, 1.854], atol=5e-4)
np.testing.assert_allclose(ratio.value, np.exp(fit.x["late"]))

reduced = design[:, [0, 5, 6, 7, 8]]
only = scipy.optimize.minimize(
    lambda b: np.sum(np.exp(reduced @ b + exposure) - y * (reduced @ b + exposure) + special.gammaln(y + 1.0)),
    np.array([-6.0, 0.0, 0.0, 0.0, 0.0]),
    jac=lambda b: reduced.T @ (np.exp(reduced @ b + exposure) - y),
    method="BFGS",
)
np.testing.assert_allclose(by_ratio.statistic, 2.0 * (only.fun - fit.fun), atol=1e-6)
np.testing.assert_allclose(by_ratio.pvalue, stats.chi2.sf(by_ratio.statistic, 4), rtol=1e-10)
V = np.linalg.inv((design.T * np.exp(design @ best + exposure)) @ design)[1:5, 1:5]
np.testing.assert_allclose(by_wald.statistic, best[1:5] @ np.linalg.solve(V, best[1:5]), rtol=1e-8)
print("all assertions hold")
