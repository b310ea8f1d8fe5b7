"""Complex numbers in the places where programs mix them with real ones: memory, precisions, kinds of numbers, repeated axes, twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.interpolate
import scipy.linalg
import scipy.signal
import scipy.special
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import HessianError, LeavesTapeError

Z = np.array([0.7 + 0.4j, -0.5 + 0.9j, 0.4 - 0.6j, 0.15 + 1.1j])
X = np.array([0.3, 1.2, 2.1, 2.9])
A = np.array([[2 + 1j, 0.3 - 0.2j, 0.1], [0.4j, 1.5 - 0.5j, 0.2], [0.3, 0.1j, 1 + 1j]])
T = np.arange(4.0)


def number(y: Any) -> Any:
    weights = np.cos(1.3 * np.arange(np.size(y)).reshape(np.shape(y)) + 0.4)
    return np.sum(weights * np.real(y)) + np.sum((1 - weights) * np.imag(y)) + 0.1 * np.sum(np.abs(y) ** 2)


def slope(f: Callable[[float], Any], h: float = 1e-3) -> Any:
    central = lambda h: (f(h) - f(-h)) / (2 * h)
    return (4 * central(h / 2) - central(h)) / 3


def check(f: Callable[[Any], Any], z: Any, plain: Callable[[Any], Any] | None = None) -> None:
    """Value by NumPy itself, gradient and product by differences, and the same from a recorded function at another point."""
    mine, theirs = (lambda z, g=g: number(g(z)) for g in (f, plain or f))
    value, gradient = hs.value_and_grad(mine)(z)
    assert_allclose(value, theirs(z.copy()), rtol=1e-12)
    v = np.roll(z, 1) * (0.7 - 0.2j if np.iscomplexobj(z) else 0.7)
    assert_allclose(np.vdot(v, gradient).real, slope(lambda t: theirs(z + t * v)), rtol=1e-7, atol=1e-7)
    product = hs.hvp(mine, z, v)
    assert_allclose(product, slope(lambda t: hs.grad(mine)(z + t * v)), rtol=1e-6, atol=1e-6)
    recorded = hs.record(mine)
    recorded(z)
    assert_allclose(hs.hvp(recorded, 1.1 * z, v), hs.hvp(mine, 1.1 * z, v), rtol=1e-9, atol=1e-9)


# Arrays that a function makes.


def parts_of_a_plain_array(z: Any) -> Any:
    y = np.zeros(4, dtype=complex)
    y.imag = 2.0
    y.imag *= 3
    y.real += y.imag
    y.real = np.abs(z) ** 2
    imaginary = y.imag
    y[0] = z[0]
    imaginary[1] = z.real[1]
    w = np.zeros(4)
    w.real = 2.0
    w.real[1] = z.imag[1]
    return y * w


def constants_into_results(z: Any) -> Any:
    y, x = z * 2, z.real * 3
    np.exp(T, out=y)
    np.multiply(T, 2, out=x)
    return y * z + x * np.conj(z)


def flags_and_integers(z: Any) -> Any:
    positive = np.real(z) > 0
    whole = np.floor(np.real(z) * 3).astype(int)
    return np.sin(positive + 1j * z) + np.exp(1j * whole * z) + np.cos((whole + 1j) * z) + np.sqrt(positive[0] + 1j) * z


@pytest.mark.parametrize("f", [parts_of_a_plain_array, constants_into_results, flags_and_integers])
def test_programs(f: Callable[[Any], Any]) -> None:
    check(f, Z)


def test_what_a_plain_array_refuses() -> None:
    def reshaped(z: Any) -> Any:
        y = np.zeros((2, 2))
        y.shape = (4,)
        return np.sum(np.abs(y * z))

    def imaginary(z: Any) -> Any:
        y = np.zeros(4)
        y.imag = 1.0
        return np.sum(np.abs(y * z))

    with pytest.raises(LeavesTapeError, match=r"y.reshape\(shape\)"):
        hs.grad(reshaped)(Z)
    with pytest.raises(TypeError, match="imaginary part to set"):
        hs.grad(imaginary)(Z)


# Kinds of numbers, and precisions.


def kinds(z: Any) -> list[Any]:
    zero = np.asarray(z[0])
    return [
        *(zero, zero * 2, zero + 1j, 1j * zero.imag, np.conj(zero), -zero, zero**2, np.exp(zero), np.abs(zero)),
        *(zero.real, zero.imag, zero.copy(), zero[...], zero[()], z[0], z[0][...], z[0].real, z[0].conj()),
        *(z.sum(), np.vdot(z, z), z @ z, np.where(True, z[0], 0), np.fft.fft(z), np.zeros_like(z[0], dtype=complex) + z[0]),
        *(z[0].astype(z.dtype), z.real.astype(np.complex64), z.real[0] + 0j, np.ascontiguousarray(z[0])),
        *(np.linalg.eigvalsh(np.outer(z, np.conj(z))), np.linalg.cholesky(np.outer(z, np.conj(z)) + 9 * np.eye(4, dtype=z.dtype))),
        *(np.power(z, z[0]), z / np.complex64(1 + 2j), np.complex64(1 + 2j) / z, np.float32(2) ** z, z.real * np.complex64(1j)),
        *(1j**z, 2 ** z[0], True ** z[0], np.where([True, False, True, False], 1 + 2j, z.real), np.nanmean(z), np.nanstd(z)),
        *(np.insert(z, 0, 1j), z**2.5, 2j / z, z**1j),
        *(z + 1j, z.real + 1j, z * 2.0, z.real * 2j, z.real + np.complex128(1j), np.stack([z.real, z]), np.round(z)),
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_kinds_of_results(dtype: Any) -> None:
    found: list[Any] = []

    def f(z: Any) -> Any:
        found[:] = [(type(y) is not complex and isinstance(y, np.ndarray), np.shape(y), y.dtype) for y in kinds(z)]
        return np.abs(z[0])

    z = Z.astype(dtype)
    f(z)
    wanted = list(found)
    hs.grad(f)(z)
    assert found == wanted


def test_digits_are_those_of_the_wider_operand() -> None:
    narrow = np.array([0.1 + 0.3j, 1 / 3 + 0.7j], np.complex64)
    exact = narrow.astype(complex)
    for f in (
        lambda z, c: np.sum(np.abs(c**z)),
        lambda z, c: np.sum(np.abs(z / c)),
        lambda z, c: np.sum(np.abs(np.sin(c.real + 1j * z.real))),
        lambda z, c: np.sum(np.abs(np.exp(np.where(np.array([True, False]), c, z)))),
    ):
        z = Z[:2]
        value, gradient = hs.value_and_grad(lambda z, f=f: f(z, narrow))(z)
        assert_allclose(value, f(z, exact), rtol=1e-14)
        assert_allclose(gradient, hs.grad(lambda z, f=f: f(z, exact))(z), rtol=1e-13)


# Transforms along an axis that is named twice.


@pytest.mark.parametrize("name", ["fft2", "ifft2", "fftn", "ifftn", "rfft2", "rfftn", "irfft2", "irfftn"])
@pytest.mark.parametrize(
    "keywords", [{}, {"s": (3, 5)}, {"s": (-1, 3)}, {"s": (3, -1)}, {"s": (1, 3), "norm": "ortho"}]
)
def test_repeated_axes(name: str, keywords: dict[str, Any]) -> None:
    real = name.startswith("r")
    check(lambda z: getattr(np.fft, name)(z, axes=(0, -1), **keywords), Z.real.copy() if real else Z)
    check(
        lambda z: getattr(np.fft, name)(z[:, None] * Z[:3].real, axes=(0, 1), **keywords), Z.real.copy() if real else Z
    )


# Twins keep imaginary parts, of what is traced and of what stands beside it.

SIGNALS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "correlate": lambda p, c, m: m.signal.correlate(p, c),
    "correlate same": lambda p, c, m: m.signal.correlate(c, p[:2], "same"),
    "convolve": lambda p, c, m: m.signal.convolve(c, p),
    "fftconvolve": lambda p, c, m: m.signal.fftconvolve(p, c),
    "CubicSpline": lambda p, c, m: m.interpolate.CubicSpline(T, c)(p.real),
    "make_interp_spline": lambda p, c, m: m.interpolate.make_interp_spline(T, c)(p.real),
    "BSpline": lambda p, c, m: m.interpolate.BSpline(np.arange(8.0), c, 3)(3 + p.real / 4),
    "interp": lambda p, c, m: np.interp(p.real * 2, T, c),
    "interp ends": lambda p, c, m: np.interp(p.real * 9, T, c, left=1j, right=2.0),
    "interp period": lambda p, c, m: np.interp(p.real * 2, T, c, period=3.5),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_signals(name: str) -> None:
    f = SIGNALS[name]
    check(lambda z: f(z, z, hs.scipy), Z, lambda z: f(z, z, scipy))
    check(lambda x: f(x, Z, hs.scipy), X, lambda x: f(x, Z, scipy))
    assert_allclose(f(Z, Z, hs.scipy), f(Z, Z, scipy))


BESSEL = ("jv", "yv", "iv", "kv", "hankel1", "hankel2")
SPECIAL: dict[str, Callable[[Any, Any], Any]] = {
    **{f"{name} {v}": (lambda z, m, n=name, v=v: getattr(m.special, n)(v, z)) for name in BESSEL for v in (0, 2.5)},
    **{name: (lambda z, m, n=name: getattr(m.special, n)(z)) for name in ("wofz", "erfcx", "ndtr", "logsumexp", "softmax")},
    **{name: (lambda z, m, n=name: sum(getattr(m.special, n)(z))) for name in ("sici", "shichi", "fresnel", "airy")},
    "rows": lambda z, m: m.special.logsumexp(z[:, None] * z, axis=1, keepdims=True) + m.special.softmax(1j * z[:, None] * z, axis=0),
    "logsumexp of angles": lambda z, m: m.special.logsumexp(1j * z.imag) + m.special.softmax(1j * z.imag),
    "of real numbers": lambda z, m: m.special.wofz(z.real) + m.special.hankel1(1, np.abs(z)),
    "sinc": lambda z, m: np.sinc(z) + np.sinc(1e-3 * z),
    "sort": lambda z, m: np.sort(z) * np.arange(4) + z[np.argsort(z)] ** 2,
    "lu_factor": lambda z, m: m.linalg.lu_factor(A * z[0] + z[:3])[0],
    **{f"lu_solve {t}": (lambda z, m, t=t: m.linalg.lu_solve(m.linalg.lu_factor(A * z[0]), z[:3], trans=t)) for t in (0, 1, 2)},
    "solve_banded": lambda z, m: m.linalg.solve_banded((2, 1), np.stack([z, z + 3, z * 0.2, z * 0.1]), np.stack([z, 1j * z], 1)),
    "solve_banded real": lambda z, m: m.linalg.solve_banded((1, 1), np.stack([z.real, z.real + 3, z.imag]), z),
    "lfilter": lambda z, m: m.signal.lfilter([1.0, 0.5], [1.0, -0.3, 0.1], z),
    "lfilter of complex coefficients": lambda z, m: m.signal.lfilter(z[:2], np.stack([1 + 0 * z[0], z[0] / 2, z[1] / 3]), np.tile(z, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions_and_solvers(name: str) -> None:
    f = SPECIAL[name]
    check(lambda z: f(z, hs.scipy), Z, lambda z: f(z, scipy))


def test_plain_complex_numbers_in_twins() -> None:
    for name in ("logsumexp", "softmax", "log_softmax"):
        assert_allclose(getattr(hs.scipy.special, name)(Z), getattr(scipy.special, name)(Z), rtol=1e-14)
    for f in (
        lambda x: np.interp(Z, T, x),
        lambda x: np.interp(x, Z, x),
        lambda x: hs.scipy.interpolate.PchipInterpolator(T, Z)(x),
        lambda x: hs.scipy.special.log_softmax(x + Z),
        lambda x: np.unique(x + Z),
    ):
        with pytest.raises((TypeError, ValueError, HessianError, DeprecationWarning)):
            hs.grad(lambda x, f=f: np.sum(np.abs(f(x))))(X)


# Results have memory of their own where NumPy's have.

FRESH: dict[str, Callable[[Any], Any]] = {
    "cumprod": lambda x: np.cumprod(x, axis=0),
    "prod": lambda x: np.prod(x, axis=0),
    "nanprod": lambda x: np.nanprod(x, axis=0),
    "multiply.accumulate": lambda x: np.multiply.accumulate(x, axis=0),
    "multiply.reduce": lambda x: np.multiply.reduce(x, axis=0),
    "subtract.reduce": lambda x: np.subtract.reduce(x, axis=0),
    "conj": lambda x: np.conj(x),
    "real + 0j": lambda x: x.real + 0j,
    "1j": lambda x: x * 1j,
    "fftn": lambda x: np.fft.fftn(x, axes=(0,)),
    "stack": lambda x: np.stack([x.real, x.imag]),
    "where": lambda x: np.where(True, x, 0),
    "nan_to_num": lambda x: np.nan_to_num(x),
    "power": lambda x: x**1,
}


@pytest.mark.parametrize("name", FRESH)
@pytest.mark.parametrize("point", [Z[None], Z[None].real.copy(), Z[None].real * 1j])
def test_memory_of_results(name: str, point: np.ndarray) -> None:
    def f(z: Any) -> Any:
        x = z * 1
        y = FRESH[name](x)
        x[..., 0] = 5.0
        w = FRESH[name](x)
        w[..., 1] = 7.0
        return np.sum(np.abs(y + 2 * w + np.sum(x)) ** 2)

    assert_allclose(hs.value_and_grad(f)(point)[0], f(point.copy()), rtol=1e-13)


def test_what_is_not_finite_is_replaced_in_both_parts() -> None:
    holes = np.array([complex(1, np.nan), complex(np.nan, 2), complex(np.inf, 0), complex(0, -np.inf)])

    def f(z: Any, copy: bool) -> Any:
        x = z + holes
        y = np.nan_to_num(x, copy=copy, nan=0.5, posinf=3.0, neginf=-2.0)
        return np.sum(np.abs(y if copy else x) ** 2)

    for copy in (True, False):
        value, gradient = hs.value_and_grad(lambda z, copy=copy: f(z, copy))(Z)
        assert_allclose(value, f(Z, copy))
        kept = 2 * (Z + np.array([1, 2j, 0, 0]))
        assert_allclose(gradient, [kept[0].real, 1j * kept[1].imag, 1j * kept[2].imag, kept[3].real])


def test_what_is_written_to_constants_later_reaches_no_result() -> None:
    def f(z: Any) -> Any:
        imaginary, real, mask = np.array([1j, 2.0, 1j, 0.5]), np.arange(4.0), np.arange(4) > 1
        filled = np.zeros(4, complex)
        filled.imag = real
        results = [
            *(z.real + imaginary, real + 1j * z.real, imaginary + 1j * z.real, imaginary.real + 1j * z.imag),
            *(z.real - imaginary, np.where(mask, imaginary, z.real), z.real + 1j * real, z.real + filled),
        ]
        imaginary[0], real[1], filled[2] = 5.0, 7.0, 3.0
        return np.sum(np.abs(np.stack(results) + 0.3) ** 2)

    assert_allclose(hs.value_and_grad(f)(Z)[0], f(Z), rtol=1e-13)
    assert_allclose(hs.value_and_grad(hs.record(f))(2 * Z)[0], f(2 * Z), rtol=1e-13)


SKIPPING = ("nansum", "nanprod", "nancumsum", "nancumprod", "nanmean", "nanvar", "nanstd")


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("name", SKIPPING)
def test_what_is_not_a_number_is_skipped(name: str, axis: int | None) -> None:
    holes = np.array([[0, np.nan, 0], [0, 0, complex(0, np.nan)]])
    z = A[:2]

    def f(z: Any) -> Any:
        return np.sum(np.abs(getattr(np, name)(z + holes, axis=axis) - 0.3) ** 2)

    value, gradient = hs.value_and_grad(f)(z)
    assert_allclose(value, f(z), rtol=1e-13)
    v = np.where(np.isnan(holes), 0, np.roll(z, 1))
    assert_allclose(np.vdot(v, gradient).real, slope(lambda t: f(z + t * v)), rtol=1e-7)
