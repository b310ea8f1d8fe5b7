# %% [markdown]
# # Tables of fits
#
# Two regressions of counts, each a negative log-likelihood of a few lines of NumPy with its parameters in a dict, and what a paper
# wants of them: estimates, standard errors of three kinds, tests, intervals, a table to paste. The data are simulated, so that the
# truth is known; every number that matters is held against another way to it.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from scipy import special, stats

import hessian as hs
from hessian.plotting import plot_estimates

# %% [markdown]
# ## 1. Visits to a doctor
#
# 400 patients of 40 practices, observed for different times. A treatment halves the rate of visits, age raises it; practices differ,
# and patients differ by more than a Poisson law allows. The likelihood is that of a negative binomial: mean m and variance
# $m + \alpha m^2$.

# %%
rng = np.random.default_rng(4)
patients, practices = 400, 40
practice = rng.integers(0, practices, patients)
age = rng.normal(0.0, 1.0, patients)
treated = (rng.random(patients) < 0.5).astype(float)
years = rng.uniform(0.5, 3.0, patients)
truth = {"const": 1.0, "age": 0.3, "treated": -np.log(2.0)}
rate = np.exp(
    truth["const"] + truth["age"] * age + truth["treated"] * treated + 0.3 * rng.normal(size=practices)[practice]
)
visits = rng.poisson(rate * years * rng.gamma(2.0, 0.5, patients)).astype(float)
constants = special.gammaln(visits + 1.0)


def visits_terms(p):
    mean = years * np.exp(p["const"] + p["age"] * age + p["treated"] * treated)
    size = np.exp(-p["log_alpha"])
    ways = special.gammaln(visits + size) - special.gammaln(size) - constants
    return -(ways + size * np.log(size / (size + mean)) + visits * np.log(mean / (size + mean)))


def visits_nll(p):
    return np.sum(visits_terms(p))


start = {"const": 0.0, "age": 0.0, "treated": 0.0, "log_alpha": 0.0}
fit = hs.optimize.minimize(visits_nll, start, options={"gtol": 1e-9})
table = fit.summary(n_obs=patients)
display(table)

# %% [markdown]
# A notebook shows the table as HTML, a terminal as text, and a paper takes it as LaTeX (with the rules of the package booktabs):

# %%
print(table.to_latex())

# %% [markdown]
# The errors above rest on the whole likelihood. If only the means are believed, the *sandwich* holds; if patients of a practice
# resemble each other, as they do here, that of *clusters*. Both need the terms of the likelihood one by one. The *expected* information
# needs the model, and integrates over counts instead of taking those that were seen.


# %%
def visits_outputs(p):
    """Logarithms of means and of dispersions, a row for each patient."""
    log_mean = np.log(years) + p["const"] + p["age"] * age + p["treated"] * treated
    return np.stack([log_mean, p["log_alpha"] + np.zeros(patients)], axis=1)


kinds = {
    "observed": fit.covariance(),
    "expected": fit.covariance("expected", model=visits_outputs, likelihood="negative_binomial"),
    "sandwich": fit.covariance("HC0", per_example=visits_terms),
    "practices": fit.covariance("cluster", per_example=visits_terms, groups=practice),
}
figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
plot_estimates(kinds, ax=ax)
ax.set_title("400 patients of 40 practices, 95 % intervals by four covariances")
for name, found in kinds.items():
    print(f"{name:>10}", {key: round(float(error), 4) for key, error in found.standard_error.items()})
plt.show()

# %% [markdown]
# The table of what is reported, by the errors of the practices: ratios of rates and the dispersion itself, by the delta method. (The
# tests in it are of zero; that a ratio is one is tested by its logarithm, above.)

# %%
by_practice = fit.summary("cluster", per_example=visits_terms, groups=practice, n_obs=patients)
ratios = by_practice.transformed(
    lambda p: {"ratio by age": np.exp(p["age"]), "ratio treated": np.exp(p["treated"]), "alpha": np.exp(p["log_alpha"])}
)
print(ratios)

# %% [markdown]
# ## 2. Counts with too many zeros
#
# Cigarettes a day: some do not smoke, and those who do may have a day without. The zero-inflated Poisson law has a part for each.
# (Where another program takes its errors from a Hessian without the block between the parts, they are wrong: the two parts are
# correlated.)

# %%
smokes = rng.random(patients) > special.expit(0.5 - 0.8 * age)
cigarettes = np.where(smokes, rng.poisson(np.exp(0.8 + 0.3 * treated)), 0).astype(float)
more_constants = special.gammaln(cigarettes + 1.0)


def zip_nll(p):
    log_rate = p["rate"]["const"] + p["rate"]["treated"] * treated
    log_odds = p["none"]["const"] + p["none"]["age"] * age
    counted = cigarettes * log_rate - np.exp(log_rate) - more_constants
    at_zero = np.logaddexp(log_odds, -np.exp(log_rate))
    return np.sum(np.logaddexp(0.0, log_odds) - np.where(cigarettes == 0.0, at_zero, counted))


zeros = hs.optimize.minimize(
    zip_nll,
    {"rate": {"const": 0.0, "treated": 0.0}, "none": {"const": 0.0, "age": 0.0}},
    options={"gtol": 1e-9},
)
zip_table = zeros.summary(n_obs=patients)
print(zip_table)

# %% [markdown]
# ## 3. A mean is no likelihood
#
# Losses are often means. The same fit, of the mean: the estimates are the same, the errors would be those of a single patient. The table
# sees it by the operations of the function, and says so.

# %%
mean_fit = hs.optimize.minimize(lambda p: np.mean(visits_terms(p)), fit.x, options={"gtol": 1e-12})
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    mean_fit.summary()
print(told[0].message)
scaled = mean_fit.summary(scale=patients)

# %% [markdown]
# ## What this page claims
#
# Standard errors are held against central differences of the plain NumPy functions, tests against SciPy's normal law, the parts of
# the table against each other, and the estimates against the truth.


# %%
def by_differences(nll, x, h=1e-4):
    """Standard errors by central differences of nll, a function of a dict of numbers."""
    keys = list(x)
    at = lambda steps: nll({key: x[key] + h * steps.get(key, 0.0) for key in keys})
    H = np.empty((len(keys), len(keys)))
    for i, a in enumerate(keys):
        for j, b in enumerate(keys):
            corners = [(s, t, at({a: s, b: t} if a != b else {a: s + t})) for s in (-1.0, 1.0) for t in (-1.0, 1.0)]
            H[i, j] = sum(s * t * value for s, t, value in corners) / (4.0 * h * h)
    return np.sqrt(np.diag(np.linalg.inv(H)))


assert fit.success
assert zeros.success
errors = np.array([*table.standard_error.values()])
np.testing.assert_allclose(errors, by_differences(visits_nll, fit.x), rtol=1e-4)
flat = {f"{part}.{key}": value for part, inner in zeros.x.items() for key, value in inner.items()}
nested = lambda p: {part: {key: p[f"{part}.{key}"] for key in inner} for part, inner in zeros.x.items()}
found = [zip_table.standard_error[part][key] for part, inner in zeros.x.items() for key in inner]
np.testing.assert_allclose(found, by_differences(lambda p: zip_nll(nested(p)), flat), rtol=1e-4)
assert zip_table.names == tuple(flat)
# The law that NumPy's functions write is SciPy's.
mean, size = np.exp(visits_outputs(fit.x)[:, 0]), np.exp(-fit.x["log_alpha"])
np.testing.assert_allclose(
    table.log_likelihood, np.sum(stats.nbinom.logpmf(visits, size, size / (size + mean))), rtol=1e-12
)
np.testing.assert_allclose(table.aic, 8.0 - 2.0 * table.log_likelihood)
np.testing.assert_allclose(table.bic, 4.0 * np.log(patients) - 2.0 * table.log_likelihood)
z = fit.x["treated"] / table.standard_error["treated"]
np.testing.assert_allclose(table.pvalue["treated"], 2.0 * stats.norm.sf(abs(z)), rtol=1e-10)
# Clusters by their definition: bread, sums of scores in practices, bread.
bread = np.linalg.inv(fit.hess)
scores = np.stack([*hs.jacobian(visits_terms)(fit.x).values()], axis=1)
sums = np.array([scores[practice == k].sum(axis=0) for k in np.unique(practice)])
groups = len(sums)
factor = groups / (groups - 1) * (patients - 1) / (patients - 4)
np.testing.assert_allclose(kinds["practices"].matrix, factor * bread @ sums.T @ sums @ bread, rtol=1e-9)
# The treatment halves the rate, and the interval says so.
low, high = (end["ratio treated"] for end in ratios.interval())
assert low < 0.5 < high
assert kinds["practices"].standard_error["const"] > 1.2 * kinds["observed"].standard_error["const"]
assert len(told) == 1
assert "mean of 400 terms" in str(told[0].message)
np.testing.assert_allclose([*scaled.standard_error.values()], errors, rtol=1e-8)
print("all of it holds")
