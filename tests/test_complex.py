"""Complex numbers inside functions and as parameters: conventions, memory, linear algebra, transforms, refusals, and whole models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from numpy.testing import assert_allclose

import hessian as hs
from hessian.errors import DtypeError, HessianError, LeavesTapeError, MissingRuleError, NotScalarError

RNG = np.random.default_rng(0)


def complex_normal(*shape: int) -> Any:
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


A, B, C, Z, W = complex_normal(3, 3), complex_normal(3, 3), complex_normal(3, 3), complex_normal(3), complex_normal(4)
X = np.array([1.0, 2.0, 3.0])
HERMITIAN = A + A.conj().T


def energy(z: Any) -> Any:
    return np.vdot(z, HERMITIAN @ z).real / np.vdot(z, z).real


def slope(f: Callable[[float], Any], h: float = 1e-3) -> Any:
    central = lambda h: (f(h) - f(-h)) / (2 * h)
    return (4 * central(h / 2) - central(h)) / 3


def check(f: Callable[[Any], Any], z: Any, plain: Callable[[Any], Any] | None = None) -> None:
    """Value by NumPy itself, gradient and product by differences, and the same from a recorded function at another point."""
    value, gradient = hs.value_and_grad(f)(z)
    assert_allclose(value, (plain or f)(z), rtol=1e-12)
    v = np.roll(z, 1) * (0.7 - 0.2j if np.iscomplexobj(z) else 0.7)
    assert_allclose(np.vdot(v, gradient).real, slope(lambda t: (plain or f)(z + t * v)), rtol=1e-7, atol=1e-7)
    product = hs.hvp(f, z, v)
    assert_allclose(product, slope(lambda t: hs.grad(f)(z + t * v)), rtol=1e-6, atol=1e-6)
    recorded = hs.record(f)
    recorded(z)
    assert_allclose(hs.hvp(recorded, 1.1 * z, v), hs.hvp(f, 1.1 * z, v), rtol=1e-10, atol=1e-10)


# Conventions.


def test_the_gradient_is_that_of_real_and_imaginary_part() -> None:
    assert hs.grad(lambda z: abs(z) ** 2)(1 + 2j) == 2 + 4j
    assert hs.grad(lambda z: (z * (3 - 4j)).real)(1 + 2j) == 3 + 4j
    f = lambda z: np.sum(np.abs(z**2 - 1) ** 2)
    parts = lambda p: f(p[0] + 1j * p[1])
    g = hs.grad(parts)((Z.real.copy(), Z.imag.copy()))
    assert_allclose(hs.grad(f)(Z), g[0] + 1j * g[1], rtol=1e-14)


def test_the_hessian_is_a_real_matrix_of_the_parts() -> None:
    H = hs.hessian(energy)(Z)
    assert H.shape == (2, 3, 2, 3)
    operator = hs.HessianOperator(energy, Z)
    assert_allclose(operator.to_dense(), H.reshape(6, 6), rtol=1e-12, atol=1e-13)
    product = hs.hvp(energy, Z, W[:3])
    assert_allclose(np.r_[product.real, product.imag], operator @ np.r_[W[:3].real, W[:3].imag], rtol=1e-12)
    assert hs.third_derivative(energy)(Z).shape == (2, 3, 2, 3, 2, 3)
    assert_allclose(hs.laplacian(energy)(Z), np.trace(H.reshape(6, 6)), rtol=1e-12)
    diagonal = hs.hessian_diagonal(energy)(Z)
    assert_allclose(np.r_[diagonal.real, diagonal.imag], np.diagonal(H.reshape(6, 6)), rtol=1e-12, atol=1e-13)


def test_jacobians() -> None:
    assert_allclose(hs.jacobian(lambda x: np.exp(1j * x))(X), np.diag(1j * np.exp(1j * X)), rtol=1e-14)
    assert_allclose(hs.jacobian(lambda z: np.abs(z) ** 2)(Z), np.diag(2 * Z), rtol=1e-14)
    J = hs.jacobian(lambda z: z**2)(Z)
    assert_allclose(J[0, :, 0] + 1j * J[1, :, 0], np.diag(2 * Z), rtol=1e-14)
    assert_allclose(J[0, :, 1] + 1j * J[1, :, 1], 1j * np.diag(2 * Z), rtol=1e-14)
    y, y_dot = hs.jvp(lambda z: z**2, Z, W[:3])
    assert_allclose(y_dot, 2 * Z * W[:3], rtol=1e-14)
    assert_allclose(hs.vjp(lambda z: z**2, Z)[1](W[:3]), np.conj(2 * Z) * W[:3], rtol=1e-14)
    assert_allclose(y, Z**2)


def test_blocks_of_containers() -> None:
    f = lambda p: np.sum(np.abs(p["z"] * p["s"]) ** 2)
    H = hs.hessian(f)({"z": Z, "s": np.float64(2.0)})
    assert {k: {m: np.shape(b) for m, b in row.items()} for k, row in H.items()} == {
        "z": {"z": (2, 3, 2, 3), "s": (2, 3)},
        "s": {"z": (2, 3), "s": ()},
    }
    g = hs.grad(f)({"z": Z, "s": np.float64(2.0)})
    assert_allclose(g["z"], 8 * Z)
    assert_allclose(g["s"], 4 * np.sum(np.abs(Z) ** 2))
    assert hs.grad(lambda z: abs(z[0]) ** 2 + z[1] ** 2)([1 + 1j, 2.0]) == [2 + 2j, 4.0]


def test_precision_stays() -> None:
    assert hs.grad(lambda z: np.sum(np.abs(z) ** 2))(Z.astype(np.complex64)).dtype == np.complex64
    assert hs.grad(lambda x: np.sum(np.abs(np.exp(1j * x) - 1) ** 2))(X.astype(np.float32)).dtype == np.float32


def test_at_zero_the_modulus_has_gradient_zero_and_its_square_is_smooth() -> None:
    z = np.zeros(2, complex)
    assert_allclose(hs.grad(lambda z: np.sum(np.abs(z)))(z), 0)
    assert not np.isfinite(hs.hvp(lambda z: np.sum(np.abs(z)), z, z + 1)).any()
    assert_allclose(hs.hvp(lambda z: np.sum(np.abs(z) ** 2), z, z + 1), 2)


# Memory.


def written(x: Any) -> Any:
    y = np.zeros(3, dtype=complex)
    view = y[1:]
    view[0] = x[0]
    y[2] = 1j * x[1]
    y += x
    y.real[0] = x[2]
    imaginary = y.imag
    imaginary[0] = 7 * x[0]
    y.imag *= 2
    y.real = y.real + 1
    y[1:] *= 1j
    z = np.zeros_like(x, dtype=complex)
    z[:] = y
    z.fill(x[0] + 1j)
    return np.sum(np.abs(y + z) ** 2)


def test_what_is_written_reaches_views_and_parts() -> None:
    check(written, X)


def test_views_of_traced_values_write_through() -> None:
    def f(z: Any) -> Any:
        y = z * np.array([1.0, 2.0, 3.0])
        row = y.reshape(3, 1)
        row[1, 0] = z[0] ** 2
        y.T[2] = 1j
        u = np.exp(1j * np.real(z))
        u[0] = 5.0
        u -= 1j
        u /= z
        u **= 2
        u @= A
        return np.sum(np.abs(y * u) ** 2)

    check(f, Z)


def flattened_parts(x: Any) -> Any:
    z = x.reshape(1, 3) * np.array([[1 + 1j], [2 - 1j]])
    part, whole = z.real.ravel(), z.ravel()
    part[0], whole[1] = 9.0, 3j
    turned = z.T.imag
    turned[1, 1] = x[0]
    row, copied = z.imag[0], np.ascontiguousarray(z.imag)
    row[:], copied[0, 0] = x, 7.0
    z.real.T[0, 0] = 3.0
    z.real *= 2
    z *= 2
    return np.sum(np.abs(z) ** 2) + np.sum(part**2) + np.sum(turned**3) + np.sum(copied**2)


def test_parts_lie_in_memory_as_those_of_numpy() -> None:
    """Every other number: what is raveled, or asked for in one piece, is a copy."""
    check(flattened_parts, X)


def test_arrays_made_of_numbers() -> None:
    check(lambda x: np.sum(np.abs(np.array([[x[0] + 1j * x[1], 2j], [x[2], 1.0]]) @ A[:2, :2]) ** 2), X)
    check(lambda x: np.sum(np.abs(np.asarray(x, dtype=complex) * 1j + x.astype(complex)) ** 2), X)
    check(lambda z: np.abs(z[0]) if z[0] != 0 and np.any(z) and bool(z[1]) else np.abs(z[1]), Z)
    check(lambda x: np.abs(np.full(2, x[0] + 1j).sum() + np.stack([x[0], 1j]).sum()), X)


def test_numbers_that_carry_no_derivative_leave() -> None:
    seen = []

    def f(z: Any) -> Any:
        still = np.round(z)
        seen.extend([np.asarray(still), complex(still[0]), still.tolist(), still[0].item(), f"{z[0]:.1f}", str(z[0])])
        assert isinstance(z, np.ndarray)
        assert isinstance(z[0], complex)
        assert z.dtype == complex
        assert np.iscomplexobj(z)
        assert not np.isrealobj(z)
        assert repr(z).startswith("ComplexValue")
        assert np.allclose(z, z)
        assert not np.isreal(z).any()
        return np.sum(np.abs(z) ** 2)

    hs.grad(f)(Z)
    assert_allclose(seen[0], np.round(Z))
    assert seen[1] == seen[3] == complex(np.round(Z)[0])


# Operations, against JAX.

CALLS: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "quotient": (lambda z, np: B[0] / z + z / B[1] + 2.0 / z + z / 3, Z),
    **{f"power {n}": (lambda z, np, n=n: z**n, Z) for n in (0, 1, 2, 3, -3, 0.5, 2.5, 1 + 2j)},
    "base": (lambda z, np: (1 + 2j) ** z + z**z, Z),
    "products": (lambda z, np: z @ A @ z + np.dot(A, z), B),
    "vdot": (lambda z, np: np.vdot(z, A @ z) + np.vdot(A @ z, z), Z),
    "inner outer": (lambda z, np: np.inner(z, A) + np.outer(z, np.conj(z)), Z),
    "einsum": (lambda z, np: np.einsum("ij,j,jk->ik", z, Z, z.conj()), B),
    "tensordot kron": (lambda z, np: np.tensordot(z, A, 1).sum() * np.kron(z, A), B),
    "shapes": (lambda z, np: np.concatenate([z.T.conj().reshape(9)[::2], np.roll(z[0], 1), np.diag(z)]), B),
    "triangles": (lambda z, np: np.tril(z) + np.triu(z, 1) * 1j + np.diag(np.diag(z)), B),
    "reductions": (lambda z, np: np.sum(z, axis=0) * np.mean(z, axis=1) + np.var(z) + np.std(z), B),
    "scans": (lambda z, np: np.cumsum(z) * np.cumprod(z) + np.prod(z), Z),
    "choice": (lambda z, np: np.where(np.array([True, False, True]), z, 2j), Z),
    "norms": (lambda z, np: sum(np.linalg.norm(z, k) for k in (None, 1, 3, np.inf)), Z),
    "matrix norms": (lambda z, np: sum(np.linalg.norm(z, k) for k in (None, 1, 2, "nuc", np.inf)), B),
    "convolution": (lambda z, np: np.convolve(z, W) * np.correlate(W, z, "full"), Z),
    "covariance": (lambda z, np: np.cov(z), B),
    "angles": (lambda z, np: np.angle(z) + np.real(z) * np.imag(z), Z),
    "phasors": (lambda x, np: np.exp(1j * x) * x, X),
    **{
        f"{kind} {name}": (lambda z, np, n=name, k=kw: getattr(np.fft, n)(z, **k), at)
        for name in ("fft", "ifft")
        for kind, kw, at in (("plain", {}, W), ("cut", {"n": 3}, W), ("padded", {"n": 7, "norm": "ortho"}, W), ("rows", {"axis": 0}, B))
    },
    **{
        name: (lambda z, np, n=name: getattr(np.fft, n)(z), B)
        for name in ("fft2", "ifft2", "fftn", "ifftn", "irfft", "irfft2", "irfftn", "hfft")
    },
    **{name: (lambda x, np, n=name: getattr(np.fft, n)(x), B.real) for name in ("rfft", "rfft2", "rfftn", "ihfft")},
    "irfft odd": (lambda z, np: np.fft.irfft(z, 5, norm="forward"), W),
    "solve": (lambda z, np: np.linalg.solve(z, A) + np.linalg.solve(z, Z)[:, None], B),
    "inverse": (lambda z, np: np.linalg.inv(z) + np.linalg.matrix_power(z, 3), B),
    "determinants": (lambda z, np: np.linalg.det(z) + np.linalg.slogdet(z)[0] * np.linalg.slogdet(z)[1], B),
    "cholesky": (lambda z, np: np.linalg.cholesky(z @ z.conj().T + 3 * np.eye(3)), B),
    "eigvalsh": (lambda z, np: np.linalg.eigvalsh(z + z.conj().T), B),
    "pinv": (lambda z, np: np.linalg.pinv(z[:, :2]), B),
    "qr": (lambda z, np: np.real(np.linalg.qr(z)[1]) ** 2, B),
    "svd": (lambda z, np: np.linalg.svd(z, compute_uv=False), B),
}  # fmt: skip


def scalar(y: Any, np: Any) -> Any:
    weights = np.cos(1.3 * np.arange(np.size(y)).reshape(np.shape(y)) + 0.7)
    return np.sum(weights * np.real(y) ** 2) + np.sum((1 - weights) * np.imag(y)) + np.sum(weights * np.real(y))


@pytest.mark.parametrize("name", CALLS)
def test_calls_by_differences(name: str) -> None:
    f, z = CALLS[name]
    check(lambda z: scalar(f(z, np), np), z)


@pytest.mark.parametrize("name", CALLS)
def test_calls_by_jax(name: str) -> None:
    jax = pytest.importorskip("jax")
    from differential.check import double_precision

    f, z = CALLS[name]
    v = np.roll(z, 1) * (0.7 - 0.2j if np.iscomplexobj(z) else 0.7)
    with double_precision(DeprecationWarning):
        theirs = lambda z: scalar(f(z, jax.numpy), jax.numpy)
        # The gradient of JAX is the conjugate.
        gradient, product = (np.conj(x) for x in jax.jvp(jax.grad(theirs), (z,), (v,)))
    ours = lambda z: scalar(f(z, np), np)
    assert_allclose(hs.grad(ours)(z), gradient, rtol=0, atol=1e-9 * np.max(np.abs(gradient)))
    assert_allclose(hs.hvp(ours, z, v), product, rtol=0, atol=1e-9 * np.max(np.abs(product)))


def test_eigenvectors_of_hermitian_matrices() -> None:
    for uplo in ("L", "U"):

        def f(z: Any, uplo: str = uplo) -> Any:
            w, v = np.linalg.eigh(z + z.conj().T, uplo)
            return scalar((v * np.exp(w / 3)) @ v.conj().T, np)

        check(f, B)


def test_values_of_vectors_are_those_of_numpy() -> None:
    found: dict[str, Any] = {}

    def f(z: Any) -> Any:
        found["eigh"] = np.linalg.eigh(z + z.conj().T)[1]
        found["eig"] = np.linalg.eig(z)[1]
        found["u"], _, found["v"] = np.linalg.svd(z)
        return np.abs(found["eigh"][0, 0]) ** 2, found

    found = hs.grad(f, has_aux=True)(B)[1]
    u, _, v = np.linalg.svd(B)
    for name, wanted in (("eigh", np.linalg.eigh(B + B.conj().T)[1]), ("eig", np.linalg.eig(B)[1]), ("u", u), ("v", v)):
        assert_allclose(found[name], wanted, atol=1e-12)


def test_spectra_of_real_matrices_may_be_complex() -> None:
    turning = np.array([[0.3, 1.0, 0.2], [-1.2, 0.1, 0.4], [0.1, -0.3, 2.0]])
    check(lambda a: np.sum(np.abs(np.linalg.eigvals(a)) ** 3), turning)
    check(lambda a: np.sum(np.abs(np.linalg.eig(a)[1]) ** 4), turning)
    check(lambda p: np.sum(np.abs(np.roots(p) - 1j) ** 2), np.array([1.0, 0.2, 1.0, 0.7]))
    check(lambda p: np.sum(np.abs(np.roots(p)) ** 3), W)
    # A recorded function knows where a spectrum turns real.
    f = hs.record(lambda a: np.sum(np.abs(np.linalg.eigvals(a) - 1) ** 3))
    for matrix in (turning, turning + turning.T, turning):
        assert_allclose(hs.grad(f)(matrix), hs.grad(f.function)(matrix), rtol=1e-12)


SCIPY: dict[str, Callable[[Any], Any]] = {
    **{name: (lambda z, n=name: getattr(hs.scipy.linalg, n)(z)) for name in ("expm", "sinm", "cosm", "inv", "det")},
    **{name: (lambda z, n=name: getattr(hs.scipy.linalg, n)(z @ z.conj().T + 3 * np.eye(3))) for name in ("sqrtm", "logm")},
    "cho_solve": lambda z: hs.scipy.linalg.cho_solve(hs.scipy.linalg.cho_factor(z @ z.conj().T + np.eye(3)), A),
    "cho_solve lower": lambda z: hs.scipy.linalg.cho_solve(
        hs.scipy.linalg.cho_factor(z @ z.conj().T + np.eye(3), lower=True), Z
    ),
    **{f"triangular {t}": (lambda z, t=t: hs.scipy.linalg.solve_triangular(z, A, trans=t)) for t in (0, 1, "C")},
    "unit": lambda z: hs.scipy.linalg.solve_triangular(z, A, lower=True, unit_diagonal=True),
    "hermitian": lambda z: hs.scipy.linalg.solve(z + z.conj().T, A, assume_a="her"),
    "positive": lambda z: hs.scipy.linalg.solve(z @ z.conj().T + np.eye(3), A, assume_a="pos"),
    "sylvester": lambda z: hs.scipy.linalg.solve_sylvester(z, A, B),
    "toeplitz": lambda z: hs.scipy.linalg.toeplitz(z[0]) + hs.scipy.linalg.block_diag(z[:2, :2], z[:1, :1]),
    "fft": lambda z: hs.scipy.fft.fft(z, 4) @ hs.scipy.fft.ifft2(z, s=(4, 3)),
    "fftn": lambda z: hs.scipy.fft.fftn(z, s=(2, 2)) + hs.scipy.fft.ifftn(z)[:2, :2],
    "sparse": lambda z: scipy.sparse.csr_array(A) @ z + (scipy.sparse.csr_array(A.real) @ z) * (z @ scipy.sparse.csr_array(A)),
    "spsolve": lambda z: hs.scipy.sparse.linalg.spsolve(scipy.sparse.csc_array(A), z[0])
    + hs.scipy.sparse.linalg.spsolve(scipy.sparse.csc_array(A), z)[0],
    "special": lambda z: sum(getattr(hs.scipy.special, n)(z) for n in ("erf", "dawsn", "exp1", "spence", "log1p", "expm1")),
}  # fmt: skip


@pytest.mark.parametrize("name", SCIPY)
def test_twins(name: str) -> None:
    check(lambda z: scalar(SCIPY[name](z), np), C)


# Models.


def test_phase_retrieval() -> None:
    """Amplitudes of Fourier transforms under masks determine a signal up to a phase."""
    rng = np.random.default_rng(1)
    signal = rng.normal(size=8) + 1j * rng.normal(size=8)
    masks = np.exp(2j * np.pi * rng.uniform(size=(6, 8)))
    intensities = np.abs(np.fft.fft(masks * signal)) ** 2
    start = signal + 0.3 * (rng.normal(size=8) + 1j * rng.normal(size=8))
    res = hs.optimize.least_squares(lambda z: np.abs(np.fft.fft(masks * z)) ** 2 - intensities, start)
    assert res.success
    phase = np.vdot(res.x, signal) / abs(np.vdot(res.x, signal))
    assert_allclose(res.x * phase, signal, atol=1e-6)


def test_power_flow() -> None:
    """Voltages of a grid of three buses by Newton's method on complex powers."""
    admittance = np.array(
        [[12 - 30j, -6 + 15j, -6 + 15j], [-6 + 15j, 10 - 25j, -4 + 10j], [-6 + 15j, -4 + 10j, 10 - 25j]]
    )
    load = np.array([-0.8 - 0.3j, -0.5 - 0.2j])

    def mismatch(v: Any) -> Any:
        voltages = np.concatenate([[1.0 + 0j], v])
        return (voltages * np.conj(admittance @ voltages))[1:] - load

    v = hs.root(mismatch, np.ones(2, complex))
    assert_allclose(mismatch(v), 0, atol=1e-10)
    loss = lambda scale: np.sum(
        np.abs(hs.root(lambda v, s: mismatch(v) + load * (1 - s), np.ones(2, complex), args=(scale,))) ** 2
    )
    assert_allclose(hs.grad(loss)(1.0), slope(lambda t: loss(1.0 + t)), rtol=1e-8)


def test_quantum_circuit() -> None:
    """Energy of a state prepared by rotations, minimised to the ground state; gradients by the parameter-shift rule."""
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])
    hamiltonian = np.kron(x, x) + 0.5 * np.kron(z, np.eye(2)) + 0.3 * np.kron(np.eye(2), z)
    entangle = np.eye(4)[[0, 1, 3, 2]]

    def energy(angles: Any) -> Any:
        state = np.array([1.0, 0, 0, 0], dtype=complex)
        for layer in angles.reshape(3, 2, 2):
            turns = [hs.scipy.linalg.expm(-0.5j * (a * y + b * z)) for a, b in layer]
            state = entangle @ (np.kron(turns[0], turns[1]) @ state)
        return np.vdot(state, hamiltonian @ state).real

    angles = np.random.default_rng(0).uniform(-1, 1, 12)
    check(energy, angles)
    res = hs.optimize.minimize(energy, angles)
    assert res.success
    assert_allclose(res.fun, np.linalg.eigvalsh(hamiltonian)[0], rtol=1e-8)


def test_minimum_over_a_complex_vector() -> None:
    res = hs.optimize.minimize(energy, Z)
    assert res.x.dtype == complex
    assert_allclose(res.fun, np.linalg.eigvalsh(HERMITIAN)[0], rtol=1e-10)
    ground = hs.optimize.least_squares(lambda z: A @ z - Z, np.zeros(3, complex))
    assert_allclose(ground.x, np.linalg.solve(A, Z), rtol=1e-8)


# Refusals.

REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "a complex result": (lambda z: z[0], NotScalarError, r"complex numbers of shape \(\).*np.abs\(z\) \*\* 2"),
    "an order": (lambda z: np.maximum(z, 0), MissingRuleError, "maximum: it meets complex numbers"),
    "a matrix function of a real matrix": (
        lambda z: hs.scipy.linalg.logm(-np.diag(np.arange(1.0, 3.0)) * z.real[0] ** 2),
        HessianError,
        "complex",
    ),
    "a cast": (lambda z: z.astype(float), DtypeError, r"imaginary part would be lost.*z\.real"),
    "into a real array": (lambda z: _put(np.zeros(3), z), DtypeError, "imaginary part would be lost"),
    "a number in place": (lambda z: _put(z[0], 1.0), DtypeError, "immutable"),
    "another shape": (lambda z: _added(z), hs.errors.ShapeMismatchError, "the target"),
    "float": (lambda z: float(z[0]), LeavesTapeError, "float"),
    "complex": (lambda z: complex(z[0]), LeavesTapeError, "np.exp"),
    "complex of a real number": (lambda z: complex(z.real[0]), LeavesTapeError, "1j"),
    "plain numbers": (lambda z: z.tolist(), LeavesTapeError, "tolist"),
    "an item": (lambda z: z[0].item(), LeavesTapeError, "item"),
    "a plain array": (lambda z: scipy.linalg.norm(z), LeavesTapeError, "plain array"),
    "imaginary parts of real numbers": (lambda z: setattr(z.real, "imag", 1.0), TypeError, "imaginary part to set"),
    "the size of a transform": (lambda z: np.fft.fft(z, 0), ValueError, "data points"),
    "the scale of a transform": (lambda z: np.fft.fft(z, norm="both"), ValueError, "norm"),
    "a transform of a number": (lambda z: np.fft.fft(z[0]), ValueError, "axis"),
    "lengths of a transform": (lambda z: np.fft.fftn(z, (2, 2), (0,)), ValueError, "different lengths"),
    "a real transform of complex numbers": (lambda z: np.fft.rfft(z), TypeError, "rfft"),
    "a real transform of no axis": (lambda z: np.fft.rfftn(z.real, axes=()), IndexError, "out of range"),
    "equal eigenvalues": (lambda z: np.linalg.eigh(z[0].real * np.eye(2) + 0j)[1], HessianError, "equal"),
}  # fmt: skip


def _put(y: Any, z: Any) -> Any:
    y[...] = z
    return y


def _added(z: Any) -> Any:
    y = z[:1] * 1
    y += z
    return y


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    f, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        hs.grad(f if name == "a complex result" else lambda z: np.sum(np.abs(f(z))))(Z)
