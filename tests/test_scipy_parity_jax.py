"""The mirror of SciPy against jax.scipy: values, gradients and Hessian-vector products."""

from __future__ import annotations

import numpy as np
import pytest

import hessian as hs

jax = pytest.importorskip("jax")

P = np.array([0.7, 1.3, 2.1])
X = np.array([0.2, 0.9, 1.7, 2.4])
A = 2 * np.eye(3) + np.random.default_rng(0).uniform(-0.4, 0.4, (3, 3))
SPD = A @ A.T


def _stats(name, kind, *shapes):
    call = lambda s, p: getattr(getattr(s.stats, name), kind)(X, *(p[i] for i in shapes), loc=0.1 * p[0], scale=p[1])
    return call, P


CASES = {
    **{
        f"{name}.{kind}": _stats(name, kind, *shapes)
        for name, kinds, shapes in (
            ("norm", ("logpdf", "pdf", "logcdf", "cdf", "sf", "logsf"), ()),
            ("logistic", ("logpdf", "cdf", "sf"), ()),
            ("laplace", ("logpdf", "cdf"), ()),
            ("cauchy", ("logpdf", "cdf"), ()),
            ("expon", ("logpdf",), ()),
            ("t", ("logpdf",), (2,)),
            ("gamma", ("logpdf",), (2,)),
            ("chi2", ("logpdf",), (2,)),
        )
        for kind in kinds
    },
    "beta.logpdf": (lambda s, p: s.stats.beta.logpdf(X / 3, p[0], p[1]), P),
    "poisson.logpmf": (lambda s, p: s.stats.poisson.logpmf(np.arange(4), p), P[:1]),
    "nbinom.logpmf": (lambda s, p: s.stats.nbinom.logpmf(np.arange(4), p[0], p[1] / 3), P),
    "geom.logpmf": (lambda s, p: s.stats.geom.logpmf(np.arange(1, 5), p / 3), P[:1]),
    "bernoulli.logpmf": (lambda s, p: s.stats.bernoulli.logpmf(np.arange(2), p / 3), P[:1]),
    "dirichlet.logpdf": (lambda s, p: s.stats.dirichlet.logpdf(np.array([0.2, 0.3, 0.5]), p), P),
    "multivariate_normal.logpdf": (
        lambda s, p: s.stats.multivariate_normal.logpdf(X[:3], p[0], p[1:] + p[1:].T),
        np.stack([P, *SPD]),
    ),
    "gammainc": (lambda s, p: s.special.gammainc(p, X[:3]), P),
    "gammaincc": (lambda s, p: s.special.gammaincc(p, X[:3]), P),
    "betainc": (lambda s, p: s.special.betainc(0.7, 1.3, p / 3), P),
    "i0e": (lambda s, p: s.special.i0e(p), P),
    "i1e": (lambda s, p: s.special.i1e(p), P),
    "i0": (lambda s, p: s.special.i0(p), P),
    "ndtri": (lambda s, p: s.special.ndtri(p / 3), P),
    "erfinv": (lambda s, p: s.special.erfinv(p / 3), P),
    "expi": (lambda s, p: s.special.expi(p), P),
    "beta": (lambda s, p: s.special.beta(p, p[::-1]), P),
    "logsumexp": (lambda s, p: s.special.logsumexp(p, b=X[:3]), P),
    "cho_solve": (lambda s, a: s.linalg.cho_solve(s.linalg.cho_factor(a + a.T), X[:3]), SPD / 2),
    "cholesky": (lambda s, a: s.linalg.cholesky(a + a.T, lower=True), SPD / 2),
    "solve_triangular": (lambda s, a: s.linalg.solve_triangular(a, X[:3], lower=True), A),
    "solve": (lambda s, a: s.linalg.solve(a, X[:3]), A),
    "lu_solve": (lambda s, a: s.linalg.lu_solve(s.linalg.lu_factor(a), X[:3]), A),
    "expm": (lambda s, a: s.linalg.expm(a / 3), A),
    "block_diag": (lambda s, a: s.linalg.block_diag(a, a[:1]), A),
    "toeplitz": (lambda s, a: s.linalg.toeplitz(a[0], a[1]), A),
    "convolve": (lambda s, x: s.signal.convolve(x, x[:2], mode="same"), X),
    "fftconvolve": (lambda s, x: s.signal.fftconvolve(x, x[:2]), X),
    "dct": (lambda s, x: s.fft.dct(x, norm="ortho"), X),
    "trapezoid": (lambda s, x: s.integrate.trapezoid(x**2, x), X),
}


@pytest.mark.parametrize("name", CASES)
def test_parity(name):
    import jax.numpy as jnp
    import jax.scipy.fft
    import jax.scipy.integrate
    import jax.scipy.linalg
    import jax.scipy.signal
    import jax.scipy.special
    import jax.scipy.stats

    f, x = CASES[name]
    v = np.random.default_rng(1).normal(size=x.shape)
    ours = lambda x: np.sum(f(hs.scipy, x) ** 2) + np.sum(f(hs.scipy, x))
    theirs = lambda x: jnp.sum(f(jax.scipy, x) ** 2) + jnp.sum(f(jax.scipy, x))
    with jax.enable_x64(True):
        wanted = [theirs(x), jax.grad(theirs)(x)]
        if not name.startswith("gammainc"):
            # JAX has no second derivative in the shapes of the incomplete gamma function.
            wanted.append(jax.jvp(jax.grad(theirs), (jnp.asarray(x),), (jnp.asarray(v),))[1])
    value, gradient = hs.value_and_grad(ours)(x)
    got = [value, gradient, hs.hvp(ours, x, v)][: len(wanted)]
    for mine, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, np.asarray(other), rtol=1e-9, atol=1e-10)
