"""Which functions of SciPy do not let traced values in and have a twin in :mod:`hessian.scipy`, by name.

Errors point to them without loading the twins, which stand above this layer; the walk over the mirror compares.
"""

from __future__ import annotations

_NAMES = {
    "scipy.fft": """
        dct dctn dst dstn fft fft2 fftn hfft idct idctn idst idstn ifft ifft2 ifftn ihfft irfft irfft2 irfftn rfft rfft2 rfftn
    """,
    "scipy.integrate": "cumulative_trapezoid fixed_quad simpson solve_ivp trapezoid",
    "scipy.interpolate": "BSpline CubicSpline PchipInterpolator make_interp_spline",
    "scipy.linalg": """
        block_diag cho_factor cho_solve cho_solve_banded cholesky cosm det expm inv logm lu_factor lu_solve norm sinm solve
        solve_banded solve_sylvester solve_triangular sqrtm toeplitz
    """,
    "scipy.ndimage": "convolve correlate gaussian_filter gaussian_filter1d",
    "scipy.signal": "convolve convolve2d correlate correlate2d fftconvolve lfilter",
    "scipy.sparse.linalg": "factorized spsolve",
    "scipy.spatial.distance": "cdist pdist squareform",
    "scipy.special": "log_softmax logsumexp multigammaln polygamma softmax zeta",
    "scipy.stats": """
        arcsine bernoulli beta betabinom betaprime binom burr12 cauchy chi chi2 dirichlet dlaplace dweibull expon
        exponnorm f fisk gamma genextreme gennorm genpareto geom gompertz gumbel_l gumbel_r halfcauchy halflogistic
        halfnorm hypsecant invgamma invgauss johnsonsu laplace levy loggamma logistic lognorm logser loguniform lomax
        maxwell multivariate_normal multivariate_t nakagami nbinom norm pareto planck poisson powerlaw rayleigh
        skewnorm t triang truncexpon truncnorm uniform vonmises weibull_max weibull_min zipf
    """,
}
TWINS = {module: tuple(names.split()) for module, names in _NAMES.items()}
"""Names of twins by the module of SciPy that has the function."""

MODULES = frozenset(TWINS) | {".".join(name.split(".")[:2]) for name in TWINS}
"""Modules of SciPy that :mod:`hessian.scipy` mirrors."""


_CLASSES = {"rv_continuous": "the distribution of that name", "rv_discrete": "the distribution of that name"}
_CLASSES |= {"rv_frozen": "the distribution of that name"}

_SOLVERS = {
    f"scipy.optimize.{name}": "hessian.root"
    for name in ("root", "fsolve", "root_scalar", "brentq", "brenth", "bisect", "ridder", "newton")
}
_SOLVERS |= {f"scipy.optimize.{name}": "hessian.argmin" for name in ("minimize", "minimize_scalar", "brent", "golden")}
_SOLVERS |= {"scipy.optimize.fixed_point": "hessian.fixed_point", "scipy.optimize.least_squares": "hessian.argmin"}
"""What solves with derivatives in its ``args`` what these solve."""

_OTHERS = {
    f"scipy.linalg.{name}": f"numpy.linalg.{name}"
    for name in ("eig", "eigh", "eigvals", "eigvalsh", "lstsq", "pinv", "qr", "svd", "svdvals")
}
_OTHERS |= {
    "scipy.integrate.odeint": "hessian.scipy.integrate.solve_ivp",
    "scipy.integrate.quad": "hessian.scipy.integrate.fixed_quad",
    "scipy.integrate.quad_vec": "hessian.scipy.integrate.fixed_quad",
}
"""Functions that do the same under another name."""


def twin_of(dotted: str) -> str:
    """Return the dotted name of the twin of a function of SciPy's, or where it is to be found; empty if it has none."""
    module, _, name = dotted.rpartition(".")
    if module == "scipy.stats":
        if name in _CLASSES:
            return f"{_CLASSES[name]} in hessian.scipy.stats"
        # SciPy's distributions of vectors are objects of classes that carry their names.
        name = name.removesuffix("_gen").removesuffix("_frozen")
    if dotted in _SOLVERS or dotted in _OTHERS:
        return _SOLVERS.get(dotted) or _OTHERS[dotted]
    return f"hessian.{module}.{name}" if name in TWINS.get(module, ()) else ""
