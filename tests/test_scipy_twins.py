"""Twins of scipy.fft, signal, ndimage, interpolate, integrate, spatial.distance and sparse.linalg: SciPy's values, all derivatives."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import scipy
import scipy.sparse

import hessian as hs
from hessian.errors import OptionError, ShapeMismatchError

RNG = np.random.default_rng(0)
X, Y, V, W = RNG.normal(size=(5, 3)), RNG.normal(size=(4, 3)), RNG.normal(size=9), RNG.uniform(0.5, 1.5, 8)
KNOTS = np.array([0.0, 0.4, 1.0, 1.3, 2.0, 2.6, 3.1, 4.0])
POINTS = np.array([-0.3, 0.1, 0.9, 1.31, 2.5, 3.99, 4.2])
SPD = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 1.0]])
SPARSE = scipy.sparse.diags_array([np.full(8, -0.5), np.full(9, 2.0), np.full(8, -0.7)], offsets=[-1, 0, 1]).tocsc()
T = np.r_[[0.0] * 4, 1.0, 2.0, 3.0, [4.0] * 4]


def module(name, twin):
    return importlib.import_module(f"hessian.{name}" if twin else name)


DISTANCE = ("euclidean", "sqeuclidean", "cityblock", "canberra", "braycurtis", "cosine", "correlation")
CASES = {
    **{f"cdist {m}": ("scipy.spatial.distance", lambda d, x, m=m: d.cdist(x, Y, m), X) for m in DISTANCE},
    "cdist chebyshev": ("scipy.spatial.distance", lambda d, x: d.cdist(10 * x, Y, "chebyshev"), X),
    "cdist minkowski": ("scipy.spatial.distance", lambda d, x: d.cdist(x, Y, "minkowski", p=3), X),
    "cdist seuclidean": ("scipy.spatial.distance", lambda d, x: d.cdist(x, Y, "seuclidean", V=np.ones(3) * 2), X),
    "cdist mahalanobis": ("scipy.spatial.distance", lambda d, x: d.cdist(x, Y, "mahalanobis", VI=SPD), X),
    "cdist of a function": ("scipy.spatial.distance", lambda d, x: d.cdist(x, Y, lambda u, v: np.sum((u - v) ** 4)), X),
    "pdist": ("scipy.spatial.distance", lambda d, x: d.pdist(x), X),
    "squareform": ("scipy.spatial.distance", lambda d, x: d.squareform(d.pdist(x, "sqeuclidean")), X),
    "squareform back": (
        "scipy.spatial.distance",
        lambda d, x: d.squareform(x + x.T, checks=False),
        SPD - np.diag(np.diag(SPD)),
    ),
    **{
        f"{kind}{i} {norm}": ("scipy.fft", lambda f, x, k=kind, i=i, n=norm: getattr(f, k)(x, type=i, norm=n), X)
        for kind in ("dct", "idct", "dst", "idst")
        for i, norm in ((1, None), (2, None), (2, "ortho"), (3, "forward"), (4, "ortho"))
    },
    "dct axis": ("scipy.fft", lambda f, x: f.dct(x, n=4, axis=0), X),
    "dct longer": ("scipy.fft", lambda f, x: f.dct(x, n=7), X),
    "dctn": ("scipy.fft", lambda f, x: f.dctn(x, s=(4, 5)), X),
    "idstn": ("scipy.fft", lambda f, x: f.idstn(x, axes=(0, 1), norm="ortho"), X),
    **{
        f"convolve {mode}": ("scipy.signal", lambda s, x, m=mode: s.convolve(x, x[:2, 1:] ** 2, m), X)
        for mode in ("full", "same", "valid")
    },
    "convolve fft": ("scipy.signal", lambda s, x: s.convolve(x, W, "same", method="fft"), V),
    "fftconvolve": ("scipy.signal", lambda s, x: s.fftconvolve(x, x[:3]), V),
    "correlate": ("scipy.signal", lambda s, x: s.correlate(x, x[:3] ** 2, "valid"), V),
    "lfilter": ("scipy.signal", lambda s, x: s.lfilter(x[:2], np.r_[1.3, 0.2, -0.1] if x is V else stacked(x), x), V),
    "lfilter rows": ("scipy.signal", lambda s, x: s.lfilter([0.5, 0.2], [1.0, -0.3], x, axis=0), X),
    **{
        f"lfilter state {name}": ("scipy.signal", lambda s, x, f=f: np.concatenate(f(s, x), axis=-1), start)
        for name, f, start in (
            (
                "of itself",
                lambda s, x: s.lfilter(x[:2], np.r_[1.3, 0.2, -0.1] if x is V else stacked(x), x, zi=x[:2] ** 2),
                V,
            ),
            ("of rows", lambda s, x: s.lfilter([0.5, 0.2, -0.3], [1.0, -0.3], x, zi=x[:, 1:3]), X),
            ("longer than the signal", lambda s, x: s.lfilter([2.0], [1.0, 0.1, 0.3, -0.2], x[:2], zi=x[1:4]), V),
        )
    },
    "lfilter state axis": ("scipy.signal", lambda s, x: s.lfilter([0.5, 1.0], [1.0, -0.3], x, axis=0, zi=x[:1])[1], X),
    **{
        f"ndimage {mode}": ("scipy.ndimage", lambda n, x, m=mode: n.convolve(x, Y[:2, :2], mode=m, cval=0.3), X)
        for mode in ("reflect", "constant", "nearest", "mirror", "wrap")
    },
    "ndimage weights": ("scipy.ndimage", lambda n, x: n.convolve(x, x[:3, :3]), X),
    "ndimage correlate": ("scipy.ndimage", lambda n, x: n.correlate(x, Y[:3, :3]), X),
    "gaussian_filter": ("scipy.ndimage", lambda n, x: n.gaussian_filter(x, 0.7), X),
    "gaussian_filter widths": ("scipy.ndimage", lambda n, x: n.gaussian_filter(x, (0.5, 0.0), mode="nearest"), X),
    **{
        f"CubicSpline {bc}": ("scipy.interpolate", lambda i, y, bc=bc: i.CubicSpline(KNOTS, y, bc_type=bc)(POINTS), W)
        for bc in ("not-a-knot", "natural", "clamped")
    },
    "CubicSpline periodic": (
        "scipy.interpolate",
        lambda i, y: i.CubicSpline(KNOTS, np.concatenate([y, y[:1]]), bc_type="periodic")(POINTS),
        W[:7],
    ),
    "CubicSpline at x": ("scipy.interpolate", lambda i, x: i.CubicSpline(KNOTS, W)(x), POINTS),
    "CubicSpline nu": ("scipy.interpolate", lambda i, x: i.CubicSpline(KNOTS, W)(x, 1), POINTS),
    "CubicSpline of both": ("scipy.interpolate", lambda i, y: i.CubicSpline(KNOTS, y)(y), W),
    "CubicSpline of columns": (
        "scipy.interpolate",
        lambda i, y: i.CubicSpline(KNOTS, np.stack([y, y**2], 1))(POINTS),
        W,
    ),
    "PchipInterpolator": ("scipy.interpolate", lambda i, y: i.PchipInterpolator(KNOTS, y)(POINTS), W),
    "PchipInterpolator monotone": (
        "scipy.interpolate",
        lambda i, y: i.PchipInterpolator(KNOTS, np.cumsum(y))(POINTS),
        W,
    ),
    "PchipInterpolator at x": ("scipy.interpolate", lambda i, x: i.PchipInterpolator(KNOTS, W)(x), POINTS),
    "BSpline coefficients": ("scipy.interpolate", lambda i, c: i.BSpline(T, c, 3)(POINTS), W[:7]),
    "BSpline at x": ("scipy.interpolate", lambda i, x: i.BSpline(T, W[:7], 3)(x), POINTS),
    "make_interp_spline": ("scipy.interpolate", lambda i, y: i.make_interp_spline(KNOTS, y, 3)(y * 2), W),
    "trapezoid": ("scipy.integrate", lambda i, y: i.trapezoid(y, np.cumsum(y)), W),
    "trapezoid dx": ("scipy.integrate", lambda i, y: i.trapezoid(y, dx=0.3, axis=0), X),
    "simpson odd": ("scipy.integrate", lambda i, y: i.simpson(y[:7], x=np.cumsum(y[:7])), W),
    "simpson even": ("scipy.integrate", lambda i, y: i.simpson(y, x=np.cumsum(y)), W),
    "simpson dx": ("scipy.integrate", lambda i, y: i.simpson(y, dx=0.2, axis=0), X),
    "simpson two": ("scipy.integrate", lambda i, y: i.simpson(y[:2]), W),
    "fixed_quad": (
        "scipy.integrate",
        lambda i, p: i.fixed_quad(lambda t: np.exp(-p[0] * t) * t, p[1], p[2], n=7)[0],
        W,
    ),
    "solve_ivp": ("scipy.integrate", lambda i, p: oscillator(i, p, "RK45"), W[:4]),
    "solve_ivp RK23": ("scipy.integrate", lambda i, p: oscillator(i, p, "RK23"), W[:4]),
    "solve_ivp t_eval": ("scipy.integrate", lambda i, p: oscillator(i, p, "RK45", t_eval=np.linspace(0, 3, 7)), W[:4]),
    "spsolve": ("scipy.sparse.linalg", lambda s, b: s.spsolve(SPARSE, b), V),
    "spsolve columns": ("scipy.sparse.linalg", lambda s, b: s.spsolve(SPARSE, np.stack([b, b**2], axis=1)), V),
    "factorized": ("scipy.sparse.linalg", lambda s, b: s.factorized(SPARSE)(b), V),
}


def stacked(x):
    return np.stack([1.3 + 0.0 * x[0], 0.2 + 0.0 * x[0], -0.1 + 0.1 * (x[1] - V[1])])


def oscillator(integrate, p, method, **options):
    """A damped pendulum; the parameters are the initial angle, speed, frequency and damping."""
    f = lambda t, y, k, d: [y[1], -k * np.sin(y[0]) - d * y[1]]
    # Steps of one size: differences would see them change.
    steps = {"rtol": 0.1, "atol": 0.1, "first_step": 0.15, "max_step": 0.15}
    res = integrate.solve_ivp(f, (0.0, 3.0), np.stack([p[0], p[1]]), method, args=(p[2], p[3]), **steps, **options)
    return res.y


@pytest.mark.parametrize("name", CASES)
def test_values_are_scipys(name):
    where, f, x = CASES[name]
    plain = f(module(where, False), x)
    np.testing.assert_array_equal(f(module(where, True), x), plain)
    traced, _ = hs.vjp(lambda x: f(module(where, True), x), x)
    np.testing.assert_allclose(traced, plain, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_plain_recorded_and_nested(name):
    where, f, x = CASES[name]
    call = lambda x: f(module(where, True), x)
    weight = np.random.default_rng(1).uniform(0.5, 1.5, np.shape(call(x)))
    loss = lambda x: np.sum(weight * call(x)) + 0.5 * np.sum(call(x) ** 2)
    hs.check_derivatives(loss, x)
    v = np.random.default_rng(2).normal(size=x.shape)
    gradient, product = hs.grad_and_hvp(loss, x, v)
    recorded = hs.record(loss)
    np.testing.assert_allclose(hs.grad(recorded)(x), gradient, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(hs.hvp(recorded, x, v), product, rtol=1e-8, atol=1e-9)
    moved = x + 1e-4 * v
    np.testing.assert_allclose(hs.grad(recorded)(moved), hs.grad(loss)(moved), rtol=1e-8, atol=1e-9)
    nested = hs.grad(lambda x: np.sum(hs.grad(loss)(x) * v))(x)
    np.testing.assert_allclose(nested, product, rtol=1e-8, atol=1e-9)
    together = hs.hvp(loss, x, np.stack([v, -v]))
    np.testing.assert_allclose(together, np.stack([product, -product]), rtol=1e-8, atol=1e-9)


REFUSED = (
    ("scipy.spatial.distance", lambda d, x: d.cdist(x, Y, "haversine"), OptionError, "there is no metric 'haversine'"),
    ("scipy.signal", lambda s, x: s.convolve(x, Y, "middle"), OptionError, "there is no mode 'middle'"),
    ("scipy.signal", lambda s, x: s.convolve(x, V), ShapeMismatchError, "arrays of 2 and 1 axes"),
    ("scipy.signal", lambda s, x: s.convolve(x[None, None], x[None, None]), OptionError, "arrays of 4 axes"),
    ("scipy.signal", lambda s, x: s.fftconvolve(x, Y, axes=0), OptionError, "axes= is not supported"),
    (
        "scipy.signal",
        lambda s, x: s.lfilter([1.0], [1.0, 0.5], x, zi=[0.0])[0],
        ShapeMismatchError,
        r"zi has shape \(1,\)",
    ),
    ("scipy.ndimage", lambda n, x: n.convolve(x, Y, mode="around"), OptionError, "there is no mode 'around'"),
    ("scipy.ndimage", lambda n, x: n.convolve(x, Y, origin=1), OptionError, "origin= is not supported"),
    ("scipy.ndimage", lambda n, x: n.correlate(x, Y[:2]), OptionError, "odd lengths"),
    ("scipy.ndimage", lambda n, x: n.gaussian_filter(x, x[0, 0]), OptionError, "a traced sigma"),
    ("scipy.ndimage", lambda n, x: n.gaussian_filter(x, 1.0, radius=3), OptionError, "radius is not supported"),
    ("scipy.fft", lambda f, x: f.dct(x, orthogonalize=True), OptionError, "orthogonalize= is not supported"),
    (
        "scipy.interpolate",
        lambda i, x: i.CubicSpline(KNOTS[:3], x.T, axis=1)(0.5),
        OptionError,
        "axis=1 with traced data",
    ),
    (
        "scipy.interpolate",
        lambda i, x: i.PchipInterpolator(KNOTS[:3], x, axis=1)(0.5),
        OptionError,
        "axis=1 with traced",
    ),
    ("scipy.interpolate", lambda i, x: i.BSpline(T, x, 3, axis=1)(0.5), OptionError, "axis=1 with traced coefficients"),
    (
        "scipy.interpolate",
        lambda i, x: i.CubicSpline(KNOTS[:5], x[:, 0], bc_type=((1, 2.0), (1, 0.0)))(0.5),
        OptionError,
        "slopes that are not zero",
    ),
    ("scipy.interpolate", lambda i, x: i.CubicSpline(KNOTS[:5], x[:, 0]).c, OptionError, "'c' is not supported where"),
    ("scipy.sparse.linalg", lambda s, x: s.spsolve(SPD, x[0]), OptionError, "traced or dense"),
    (
        "scipy.integrate",
        lambda i, x: i.solve_ivp(lambda t, y: -y, (0, 1), x[0], dense_output=True),
        OptionError,
        "dense_out",
    ),
    (
        "scipy.integrate",
        lambda i, x: i.solve_ivp(lambda t, y: -y, (0, 1), x[0], min_step=1.0),
        OptionError,
        "min_step is not",
    ),
    (
        "scipy.integrate",
        lambda i, x: i.solve_ivp(lambda t, y: -y, (0, 1), x[0], "LSODA"),
        OptionError,
        "no method 'LSODA'",
    ),
    (
        "scipy.integrate",
        lambda i, x: i.solve_ivp(lambda t, y: y * y * 1e3, (0, 100), np.abs(x[0]) + 1).y,
        OptionError,
        "smaller than numbers are apart",
    ),
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("where", "f", "error", "saying"), REFUSED, ids=[saying for *_, saying in REFUSED])
def test_what_is_refused(where, f, error, saying):
    with pytest.raises(error, match=saying):
        hs.grad(lambda x: np.sum(f(module(where, True), x)))(X)


def test_splines_keep_what_scipys_have():
    spline = hs.scipy.interpolate.CubicSpline(KNOTS, W)
    assert spline.integrate(0.0, 1.0) == scipy.interpolate.CubicSpline(KNOTS, W).integrate(0.0, 1.0)
    outside = hs.scipy.interpolate.CubicSpline(KNOTS, W, extrapolate=False)
    assert np.isnan(hs.value_and_grad(lambda x: outside(x))(5.0)[0])
    with pytest.raises(AttributeError):
        _ = spline._nothing


def test_gradients_at_coincident_points():
    distances = lambda x: hs.scipy.spatial.distance.cdist(x, x)
    gradient = hs.grad(lambda x: np.sum(np.exp(-0.5 * distances(x) ** 2)))(X)
    assert np.isfinite(gradient).all()
    hessian = hs.hessian(lambda x: np.sum(np.exp(-0.5 * distances(x) ** 2)))(X)
    assert np.isfinite(hessian).all()


@pytest.mark.parametrize("metric", ["euclidean", "minkowski", "seuclidean", "mahalanobis"])
def test_from_a_point_to_itself_the_distance_is_constant(metric):
    """The kernel exp(-d) has a kink where points meet, and points meet themselves whatever their scale is."""
    keywords = {"seuclidean": {"V": np.array([1.0, 2.0, 3.0])}, "mahalanobis": {"VI": SPD}}.get(metric, {})
    cdist = hs.scipy.spatial.distance.cdist

    def loss(s, of):
        return np.sum(np.exp(-of(s)))

    def pairs(s):
        return 2 * hs.scipy.spatial.distance.pdist(X / np.exp(s), metric, **keywords)

    expected = hs.hessian(lambda s: np.sum(2 * np.exp(-pairs(s) / 2)))(0.3)
    for same in (
        lambda s: cdist(X / np.exp(s), X / np.exp(s), metric, **keywords),
        lambda s: (lambda z: cdist(z, z, metric, **keywords))(X / np.exp(s)),
    ):
        value, _ = hs.vjp(same, 0.3)
        np.testing.assert_allclose(
            value, scipy.spatial.distance.cdist(X / np.exp(0.3), X / np.exp(0.3), metric, **keywords), atol=1e-15
        )
        assert not np.diag(value).any()
        for f in (lambda s, g=same: loss(s, g), hs.record(lambda s, g=same: loss(s, g))):
            np.testing.assert_allclose(hs.hessian(f)(0.3), expected, rtol=1e-13)
    # Equal by chance only: the distance has a kink there.
    with np.errstate(invalid="ignore"):
        assert np.isnan(
            hs.hessian(lambda s: loss(s, lambda s: cdist(X / np.exp(s), X / np.exp(2 * s), metric, **keywords)))(0.0)
        )


@pytest.mark.parametrize("method", ["RK45", "RK23"])
def test_steps_are_chosen_as_scipy_chooses_them(method):
    f = lambda t, y, k: [y[1], -k * np.sin(y[0])]
    solve = lambda i, k: i.solve_ivp(f, (0.0, 20.0), [2.0, 0.0], method, args=(k,), rtol=1e-6)
    plain = solve(module("scipy.integrate", False), 1.3)
    times, _ = hs.vjp(lambda k: solve(hs.scipy.integrate, k).t + 0 * k, 1.3)
    states, _ = hs.vjp(lambda k: solve(hs.scipy.integrate, k).y, 1.3)
    np.testing.assert_allclose(times, plain.t, rtol=1e-8)
    np.testing.assert_allclose(states, plain.y, rtol=1e-7, atol=1e-8)


def test_solutions_that_a_function_holds_the_parameters_of():
    def loss(k):
        res = hs.scipy.integrate.solve_ivp(lambda t, y: -k * y, (0.0, 2.0), [1.0], rtol=1e-9, atol=1e-12)
        assert res.success
        assert res.t[-1] == 2.0
        return res.y[0, -1]

    value, slope = hs.value_and_grad(loss)(0.7)
    np.testing.assert_allclose([value, slope], [np.exp(-1.4), -2 * np.exp(-1.4)], rtol=1e-7)
    np.testing.assert_allclose(hs.grad(hs.grad(loss))(0.7), 4 * np.exp(-1.4), rtol=1e-6)
    backwards = lambda y: hs.scipy.integrate.solve_ivp(lambda t, y: y, (1.0, 0.0), y, rtol=1e-8).y[0, -1]
    np.testing.assert_allclose(hs.grad(backwards)(np.array([2.0])), [np.exp(-1.0)], rtol=1e-6)
