"""Twins of distributions: SciPy's values, derivatives in argument, location, scale and shapes, tails and ends of supports."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.stats

import hessian as hs
from hessian.errors import LeavesTapeError, MissingRuleError, OptionError, ShapeMismatchError
from hessian.scipy.distributions import Continuous, Discrete
from hessian.transforms.rule_walk import extrapolated

STATS = hs.scipy.stats
SHAPES = {
    "bernoulli": (0.3,),
    "betabinom": (7.0, 1.5, 2.5),
    "binom": (7.0, 0.4),
    "genextreme": (0.2,),
    "genpareto": (-0.1,),
    "geom": (0.3,),
    "loguniform": (0.5, 3.0),
    "logser": (0.4,),
    "nbinom": (2.5, 0.4),
    "triang": (0.4,),
    "truncnorm": (-1.2, 1.7),
    "zipf": (2.5,),
}
NAMES = [name for name in STATS.__all__ if isinstance(getattr(STATS, name), Continuous | Discrete)]
FUNCTIONS = ("density", "logarithm", "cdf", "sf", "logcdf", "logsf")
CONSTANT = {"binom": 1, "betabinom": 1}
"""Shapes at the front that are whole numbers."""


def case(name):
    """Return a twin, its shapes, and location and scale."""
    twin = getattr(STATS, name)
    count = len((twin.original.shapes or "").split(",")) if twin.original.shapes else 0
    return twin, SHAPES.get(name, (1.7, 2.3)[:count]), (1.0,) if twin.is_discrete else (0.25, 2.0)


def function(twin, kind):
    return getattr(twin, getattr(twin, kind) if kind in ("density", "logarithm") else kind)


def points(twin, shapes, place, low=0.05):
    frozen = twin.original(*shapes, *place)
    return np.asarray(frozen.ppf(np.array([low, 0.31, 0.6, 0.88])), float), frozen.support()


@pytest.mark.parametrize("name", NAMES)
def test_values_are_scipys_in_and_out_of_the_support(name):
    twin, shapes, place = case(name)
    inside, ends = points(twin, shapes, place, 1e-6)
    x = np.concatenate([inside, [v for end in ends if np.isfinite(end) for v in (end, end - 1, end + 1)], [np.nan]])
    for kind in FUNCTIONS:
        f = function(twin, kind)
        wanted = getattr(twin.original, f.__name__)(x, *shapes, *place)
        np.testing.assert_array_equal(f(x, *shapes, *place), wanted)
        try:
            # A traced scale or location of the same value.
            got, _ = hs.vjp(lambda p, f=f: f(x, *shapes, *place[:-1], p), place[-1])
        except MissingRuleError:
            continue
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11 if "log" in kind else 1e-15, err_msg=kind)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_slopes(name):
    twin, shapes, place = case(name)
    x, _ = points(twin, shapes, place)
    first = CONSTANT.get(name, 0)
    for kind in FUNCTIONS:
        f = function(twin, kind)

        def total(p, f=f):
            z, p = (x, p[1:]) if twin.is_discrete else (x + p[0], p[1:])
            y = f(z, *shapes[:first], *p[: len(shapes) - first], *(place if twin.is_discrete else p[len(shapes) :]))
            return np.sum(np.where(np.isfinite(y), y, 0.0))

        p = np.array([0.0, *shapes[first:], *(() if twin.is_discrete else place)])
        try:
            gradient = hs.grad(total)(p)
        except MissingRuleError:
            continue
        direction = np.linspace(0.6, -0.7, len(p))
        slope = extrapolated(lambda h, p=p, d=direction: np.asarray(total(p + h * d)), h=1e-3)
        np.testing.assert_allclose(gradient @ direction, slope, rtol=1e-7, atol=1e-9, err_msg=kind)
        bend = extrapolated(lambda h, p=p, d=direction: hs.grad(total)(p + h * d), h=1e-3)
        np.testing.assert_allclose(hs.hvp(total, p, direction), bend, rtol=1e-7, atol=1e-8, err_msg=kind)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["ppf", "isf"])
def test_quantiles_have_scipys_values_and_the_slopes_of_the_inverse(name, kind):
    twin, shapes, place = case(name)
    f, q = getattr(twin, kind), np.array([0.05, 0.31, 0.57, 0.88])
    first = CONSTANT.get(name, 0)
    total = lambda p: np.sum(np.cos(f(q + 0.1 * p[0], *shapes[:first], *p[1:])))
    p = np.array([0.0, *shapes[first:], *place])
    if name == "geom":
        q = q + 0.01  # not where one step ends
    try:
        gradient, direction = hs.grad(total)(p), np.linspace(0.6, -0.7, len(p))
    except MissingRuleError:
        return
    wanted = getattr(twin.original, kind)(q, *shapes, *place)
    np.testing.assert_allclose(hs.vjp(lambda p: f(q, *shapes, *place[:-1], p), place[-1])[0], wanted, rtol=1e-12)
    ends = np.array([0.0, 1.0, -0.1, np.nan])
    np.testing.assert_allclose(
        hs.vjp(lambda p: f(ends, *shapes, *place[:-1], p), place[-1])[0],
        getattr(twin.original, kind)(ends, *shapes, *place),
    )
    step = {"h": 1e-3}
    slope = extrapolated(lambda h: np.asarray(total(p + h * direction)), **step)
    np.testing.assert_allclose(gradient @ direction, slope, rtol=1e-6, atol=1e-8)
    bend = extrapolated(lambda h: hs.grad(total)(p + h * direction), **step)
    np.testing.assert_allclose(hs.hvp(total, p, direction), bend, rtol=1e-6, atol=1e-7)


def test_quantiles_are_right_to_high_order_recorded_and_frozen():
    place = np.array([0.3, 1.7])
    q = 0.2
    # Location and scale enter linearly, and the normal quantile z has z' = 1 / phi, z'' = z z'^2.
    z, slope = STATS.norm.ppf(q), 1 / STATS.norm.pdf(STATS.norm.ppf(q))
    along = hs.taylor(lambda q: STATS.norm.ppf(q), q, 1.0, order=4)
    third, fourth = slope**3 * (1 + 2 * z * z), slope**4 * (7 * z + 6 * z**3)
    np.testing.assert_allclose(along, [z, slope, z * slope**2 / 2, third / 6, fourth / 24], rtol=1e-9)
    f = lambda p: STATS.norm(p[0], p[1]).ppf(q) ** 2
    np.testing.assert_allclose(hs.hessian(f)(place), 2 * np.outer([1, z], [1, z]), rtol=1e-12)
    recorded = hs.record(f)
    for _ in range(2):
        np.testing.assert_allclose(hs.HessianOperator(recorded, place).to_dense(), hs.hessian(f)(place), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_is_nan_through_the_outside(name):
    twin, shapes, place = case(name)
    _, (low, high) = points(twin, shapes, place)
    x = np.array([v for v in (low - 1, high + 1) if np.isfinite(v)])
    if not len(x):
        pytest.skip("the support is the whole line")
    for kind in FUNCTIONS:
        f = function(twin, kind)
        try:
            got = hs.grad(lambda p, f=f: np.sum(np.where(np.isfinite(y := f(x, *shapes, *place[:-1], p)), y, 0.0)))(
                place[-1]
            )
        except MissingRuleError:
            continue
        assert got == 0


def test_what_has_no_closed_form_says_so():
    with pytest.raises(MissingRuleError, match="vonmises has no cdf that can be differentiated"):
        hs.grad(lambda k: STATS.vonmises.cdf(0.3, k))(1.0)


def test_errors_of_the_originals_name_the_twins():
    with pytest.raises(LeavesTapeError, match=r"Use hessian\.scipy\.stats\.multivariate_normal"):
        hs.grad(lambda m: scipy.stats.multivariate_normal.logpdf(X, m))(MEAN)
    with pytest.raises(TypeError) as caught:
        hs.grad(lambda z: scipy.stats.norm.logpdf(z))(1.0)
    assert "Use the distribution of that name in hessian.scipy.stats" in "".join(caught.value.__notes__)


def test_ends_of_the_support():
    beta = STATS.beta
    assert hs.grad(lambda a: beta.pdf(0.0, a, 2.5))(1.5) == 0
    assert hs.grad(lambda a: np.exp(beta.logpdf(1.0, 2.0, a)))(1.5) == 0
    value, slope = hs.value_and_grad(lambda s: STATS.expon.logpdf(0.0, scale=s))(2.0)
    assert (value, slope) == (-np.log(2.0), -0.5)
    assert np.isnan(hs.value_and_grad(lambda s: STATS.norm.logpdf(0.0, scale=s))(-1.0)[0])


@pytest.mark.parametrize(
    ("f", "x", "truth"),
    [
        (STATS.norm.logsf, 30.0, lambda x: mpmath.log(mpmath.erfc(x / mpmath.sqrt(2)) / 2)),
        (STATS.logistic.logcdf, -800.0, lambda x: -mpmath.log(1 + mpmath.exp(-x))),
        (STATS.logistic.logsf, 50.0, lambda x: -mpmath.log(1 + mpmath.exp(x))),
        (STATS.gumbel_r.sf, 60.0, lambda x: -mpmath.expm1(-mpmath.exp(-x))),
        (STATS.laplace.logsf, 300.0, lambda x: -x - mpmath.log(2)),
        (STATS.cauchy.sf, 1e12, lambda x: mpmath.atan2(1, x) / mpmath.pi),
        (STATS.halfnorm.logsf, 25.0, lambda x: mpmath.log(mpmath.erfc(x / mpmath.sqrt(2)))),
        (lambda x: STATS.gamma.sf(x, 2.5), 400.0, lambda x: mpmath.gammainc(2.5, x, regularized=True)),
        (lambda x: STATS.invgauss.logsf(x, 2.0), 1.0, None),
        (lambda x: STATS.truncnorm.logpdf(x, 8.0, 12.0), 9.0, None),
    ],
)
def test_tails_keep_their_digits(f, x, truth):
    value, slope = hs.value_and_grad(f)(x)
    assert np.isfinite(value)
    if truth is not None:
        with mpmath.workdps(40):
            wanted = truth(mpmath.mpf(x)), mpmath.diff(truth, mpmath.mpf(x))
        np.testing.assert_allclose([value, slope], [float(w) for w in wanted], rtol=1e-12)


def test_frozen_distributions_and_keywords():
    x = np.array([0.2, 1.3])
    f = lambda p: np.sum(STATS.gamma(p[0], scale=p[1]).logpdf(x)) + np.sum(STATS.gamma.logpdf(x, a=p[0], scale=p[1]))
    hs.check_derivatives(f, np.array([1.4, 0.8]))
    assert STATS.norm(1.0, 2.0).mean() == 1.0
    assert STATS.norm.ppf(0.5) == 0.0
    assert repr(STATS.norm) == "<twin of scipy.stats.norm>"
    frozen = STATS.norm(0.0, 2.0)
    np.testing.assert_allclose(hs.grad(lambda z: np.sum(frozen.logpdf(z)))(x), -x / 4)
    with pytest.raises(AttributeError):
        _ = frozen.__nothing__


def test_recorded_likelihoods_replay():
    rng = np.random.default_rng(0)
    data = rng.gamma(2.0, 1.5, 40)
    f = lambda p: (
        -np.sum(STATS.gamma.logpdf(data, np.exp(p[0]), scale=np.exp(p[1])))
        - np.sum(STATS.t.logcdf(data - 3, np.exp(p[2])))
    )
    recorded, p = hs.record(f), np.array([0.4, 0.2, 1.0])
    for q in (p, p + 0.1, p - 0.2):
        np.testing.assert_allclose(hs.grad(recorded)(q), hs.grad(f)(q), rtol=1e-12)
        np.testing.assert_allclose(hs.hvp(recorded, q, p), hs.hvp(f, q, p), rtol=1e-11)


X, MEAN, ROOT = (
    np.array([[0.2, -0.3], [1.0, 0.5], [2.0, 2.0]]),
    np.array([0.1, 0.4]),
    np.array([[1.2, 0.3], [0.4, 0.9]]),
)
ALPHA = np.array([1.5, 2.0, 0.7])
SHARES = np.array([0.2, 0.3, 0.5])


@pytest.mark.parametrize(
    ("f", "original", "p"),
    [
        (
            lambda d, p: d.logpdf(X, p[:2], p[2:].reshape(2, 2) @ p[2:].reshape(2, 2).T),
            "multivariate_normal",
            np.r_[MEAN, ROOT.ravel()],
        ),
        (lambda d, p: d.pdf(X[0] + p[0], cov=np.eye(2) * p[1]), "multivariate_normal", np.array([0.1, 0.7])),
        (lambda d, p: d(mean=p[:2], cov=p[2:]).logpdf(X), "multivariate_normal", np.array([0.1, 0.4, 0.7, 1.2])),
        (lambda d, p: d.logpdf(p, cov=2.0), "multivariate_normal", np.array([0.3, 0.1])[:1]),
        (lambda d, p: d.logpdf(X, p[:2], np.eye(2) * p[2], p[3]), "multivariate_t", np.array([0.1, 0.4, 0.7, 3.5])),
        (lambda d, p: d.logpdf(p[3:] / np.sum(p[3:]), p[:3]), "dirichlet", np.r_[ALPHA, SHARES]),
        (lambda d, p: d.logpdf(SHARES[:2], p), "dirichlet", ALPHA),
    ],
)
def test_vectors(f, original, p):
    twin = getattr(STATS, original)
    plain = f(getattr(scipy.stats, original), p)
    value, _ = hs.vjp(lambda p: f(twin, p), p)
    np.testing.assert_allclose(value, plain, rtol=1e-12)
    np.testing.assert_array_equal(f(twin, p), plain)
    hs.check_derivatives(lambda p: np.sum(f(twin, p)), p)


def test_what_vectors_refuse():
    for f, error, saying in (
        (lambda m: STATS.multivariate_normal.logpdf(X, m, np.eye(3)), ShapeMismatchError, "a matrix of shape"),
        (lambda m: STATS.multivariate_normal.logpdf(np.ones((2, 3)), m), ShapeMismatchError, "points of shape"),
        (lambda m: STATS.multivariate_normal.logpdf(X, m, np.exp(m), True), OptionError, "cov is traced"),
        (lambda m: STATS.dirichlet.logpdf(SHARES, m), ShapeMismatchError, "3 shares with 2"),
    ):
        with pytest.raises(error, match=saying):
            hs.grad(lambda m, f=f: np.sum(f(m)))(MEAN)


def test_a_normal_on_a_subspace_has_derivatives_in_point_and_mean():
    cov = np.zeros((3, 3))
    cov[:2, :2] = [[1.0, 0.3], [0.3, 2.0]]
    x, mean = np.array([0.4, -0.2, 0.0]), np.array([0.1, 0.3, 0.0])
    f = lambda p: STATS.multivariate_normal.logpdf(p[0], p[1], cov, allow_singular=True)
    value, gradient = hs.value_and_grad(f)([x, mean])
    assert np.isclose(value, scipy.stats.multivariate_normal.logpdf(x, mean, cov, allow_singular=True))
    wanted = -np.linalg.pinv(cov) @ (x - mean)
    np.testing.assert_allclose(gradient, [wanted, -wanted], atol=1e-14)
    np.testing.assert_allclose(hs.hessian(lambda x: f([x, mean]))(x), -np.linalg.pinv(cov), atol=1e-14)
    out = x + np.array([0.0, 0.0, 1.0])
    assert hs.value_and_grad(lambda m: STATS.multivariate_normal.pdf(out, m, cov, True))(mean)[0] == 0.0
    many = np.stack([x, 2 * x, out])
    got, _ = hs.vjp(lambda m: STATS.multivariate_normal.logpdf(many, m, cov, True), mean)
    np.testing.assert_allclose(got, scipy.stats.multivariate_normal.logpdf(many, mean, cov, True))
    full = cov + np.eye(3)
    got, _ = hs.vjp(lambda m: STATS.multivariate_normal.logpdf(many, m, full, True), mean)
    np.testing.assert_allclose(got, scipy.stats.multivariate_normal.logpdf(many, mean, full))


def test_the_entropy_of_a_normal_has_half_the_inverse_as_gradient():
    cov = np.array([[1.0, 0.3], [0.3, 2.0]])
    normal = STATS.multivariate_normal
    value, gradient = hs.value_and_grad(lambda c: normal.entropy(np.zeros(2), (c + c.T) / 2))(cov)
    assert np.isclose(value, scipy.stats.multivariate_normal.entropy(np.zeros(2), cov))
    np.testing.assert_allclose(gradient, 0.5 * np.linalg.inv(cov), rtol=1e-13)
    assert normal.entropy(np.zeros(2), cov) == scipy.stats.multivariate_normal(np.zeros(2), cov).entropy()
    np.testing.assert_allclose(hs.grad(lambda c: normal(np.zeros(2), (c + c.T) / 2).entropy())(cov), gradient)
    np.testing.assert_allclose(hs.grad(lambda s: normal.entropy(None, s))(2.0), 0.25)


def test_the_multivariate_gamma_function_is_a_sum():
    a = np.array([2.5, 4.0])
    f = hs.scipy.special.multigammaln
    value, pullback = hs.vjp(lambda a: f(a, 3), a)
    np.testing.assert_allclose(value, scipy.special.multigammaln(a, 3), rtol=1e-14)
    psi = scipy.special.psi
    np.testing.assert_allclose(pullback(np.ones(2)), psi(a) + psi(a - 0.5) + psi(a - 1), rtol=1e-13)
    assert f(3.0, 2) == scipy.special.multigammaln(3.0, 2)
    with pytest.raises(OptionError, match=r"d is 2\.5"):
        hs.grad(lambda a: f(a, 2.5))(3.0)
    with pytest.raises(OptionError, match="a is not above"):
        hs.grad(lambda a: f(a, 3))(1.0)


def test_the_voigt_profile_in_its_tails_is_lorentzs_to_second_order_in_sigma():
    """Where z = (x + i gamma) / (sigma sqrt(2)) is large, -2 z w(z) cancels."""
    V = lambda p: scipy.special.voigt_profile(p[0], p[1], p[2])
    lorentz = lambda p: p[1] / (np.pi * (p[0] ** 2 + p[1] ** 2))
    for x, sigma, gamma in ((5.0, 1e-3, 1.0), (-3.0, 1e-4, 0.2), (0.1, 1e-3, 0.7)):
        p, q = np.array([x, sigma, gamma]), np.array([x, gamma])
        bend = lambda x, gamma=gamma: hs.hessian(lorentz)(np.array([x, gamma]))[0, 0]
        second = bend(x)
        third = hs.third_derivative(lorentz)(q)
        gradient, H = hs.grad(V)(p), hs.hessian(V)(p)
        np.testing.assert_allclose(gradient[[0, 2]], hs.grad(lorentz)(q), rtol=1e-4)
        np.testing.assert_allclose(gradient[1], sigma * second, rtol=1e-4)
        np.testing.assert_allclose(H[np.ix_([0, 2], [0, 2])], hs.hessian(lorentz)(q), rtol=1e-4)
        np.testing.assert_allclose(H[1, [0, 1, 2]], [sigma * third[0, 0, 0], second, sigma * third[0, 0, 1]], rtol=1e-4)


def test_tukeys_distribution_has_no_slope_outside_of_its_support():
    x = np.array([0.2, 0.6, 3.0, -2.0])
    gradient = hs.grad(lambda x: np.sum(scipy.special.tklmbda(x, 2.0)))(x)
    np.testing.assert_allclose(gradient, [1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(np.diag(hs.hessian(lambda x: np.sum(scipy.special.tklmbda(x, 2.0)))(x)), 0.0, atol=1e-15)
