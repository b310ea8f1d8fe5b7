"""Unconstrained problems of CUTEst that couple all variables: matrices, surfaces, fits, in plain NumPy."""

from __future__ import annotations

import numpy as np


def power(x):
    """POWER: the square of a quadratic, so that the Hessian vanishes at the minimum."""
    return np.sum(np.arange(1.0, x.shape[0] + 1.0) * x**2) ** 2


def testquad(x):
    """TESTQUAD: a diagonal quadratic."""
    return np.sum(np.arange(1.0, x.shape[0] + 1.0) * x**2)


def hilbert(x, shift):
    """HILBERTA (shift 0: nearly singular) and HILBERTB (shift 5)."""
    i = np.arange(x.shape[0])
    return 0.5 * (x @ ((1.0 / (i[:, None] + i + 1.0)) @ x)) + 0.5 * shift * (x @ x)


def penalty3(x):
    """PENALTY3."""
    n = x.shape[0]
    triples = np.sum((x[:-2] + 2.0 * x[1:-1] + 10.0 * x[2:] - 1.0) ** 2)
    pairs = np.sum((2.0 * x[:-2] + x[1:-1] - 3.0) ** 2)
    ball = np.sum(x**2 - n)
    half = np.sum((x[: n // 2] - 1.0) ** 2)
    return 1.0 + half + np.exp(x[-1]) * triples + triples * pairs + np.exp(x[-2]) * pairs + ball**2


def zangwil2(x):
    """ZANGWIL2: a quadratic."""
    a, b = x[0], x[1]
    return (16.0 * a**2 + 16.0 * b**2 - 8.0 * a * b - 56.0 * a - 256.0 * b + 991.0) / 15.0


def sine_matrix(p):
    """Square matrix of sin(k^2), k = 1, 2, .. by rows."""
    return np.sin(np.arange(1.0, p * p + 1.0) ** 2).reshape(p, p)


def msqrt(x, root):
    """MSQRTALS, MSQRTBLS: a square root of a matrix by least squares."""
    p = root.shape[0]
    square = x.reshape(p, p)
    return np.sum((square @ square - root @ root) ** 2)


def spmsrtls(x):
    """SPMSRTLS: a tridiagonal square root, found from the entries of its pentadiagonal square."""
    root = np.sin(np.arange(1.0, x.shape[0] + 1.0))
    found, wanted = tridiagonal_square(x), tridiagonal_square(root)
    return sum(np.sum((a - b) ** 2) for a, b in zip(found, wanted, strict=True))


def tridiagonal_square(x):
    """Diagonals of the square of a tridiagonal matrix, given by rows."""
    d, u, low = x[0::3], x[1::3], x[2::3]
    turned = u * low
    zero = np.zeros(1)
    diagonal = d**2 + np.concatenate([turned, zero]) + np.concatenate([zero, turned])
    return diagonal, u * (d[:-1] + d[1:]), low * (d[:-1] + d[1:]), u[:-1] * u[1:], low[:-1] * low[1:]


def eigena(x, matrix):
    """EIGENALS, EIGENBLS: eigenvalues and eigenvectors by least squares."""
    p = matrix.shape[0]
    values, vectors = x[:p], x[p:].reshape(p, p)
    spectral = vectors.T @ (values[:, None] * vectors) - matrix
    orthogonal = vectors.T @ vectors - np.eye(p)
    return np.sum(spectral**2) + np.sum(orthogonal**2)


def mancino(x):
    """MANCINO."""
    n = x.shape[0]
    i = np.arange(1.0, n + 1.0)
    v = np.sqrt(x**2 + i[:, None] / i)
    waves = v * (np.sin(np.log(v)) ** 5 + np.cos(np.log(v)) ** 5)
    off = waves * (1.0 - np.eye(n))
    return np.sum((14.0 * n * x + (i - 0.5 * n) ** 3 + np.sum(off, axis=1)) ** 2)


def mancino_start(n):
    """Mancino's start, from the function at zero."""
    i = np.arange(1.0, n + 1.0)
    v = np.sqrt(i[:, None] / i)
    waves = (v * (np.sin(np.log(v)) ** 5 + np.cos(np.log(v)) ** 5)) * (1.0 - np.eye(n))
    return -14.0 * n / ((14.0 * n) ** 2 - (6.0 * (n - 1.0)) ** 2) * (np.sum(waves, axis=1) + (i - 0.5 * n) ** 3)


def vareigvl(x, band=6):
    """VAREIGVL: a variational eigenvalue problem of Auchmuty's."""
    vector, value = x[:-1], x[-1]
    n = vector.shape[0]
    i = np.arange(1.0, n + 1.0)
    apart = i - i[:, None]
    matrix = np.where(np.abs(apart) <= band, np.sin(np.outer(i, i)) * np.exp(-((apart / n) ** 2)), 0.0)
    return 0.5 * np.sum((matrix @ vector - value * vector) ** 2) + np.sum(vector**2) ** 1.5 / 1.5


def minimal_surface(x, is_mean):
    """FMINSURF (penalty on the mean height) and FMINSRF2 (on the height in the middle)."""
    p = round(x.shape[0] ** 0.5)
    height = x.reshape(p, p)
    one, other = height[:-1, :-1] - height[1:, 1:], height[1:, :-1] - height[:-1, 1:]
    area = np.sum(np.sqrt(1.0 + 0.5 * (p - 1.0) ** 2 * (one**2 + other**2))) / (p - 1.0) ** 2
    middle = p // 2 - 1
    held = np.mean(x) if is_mean else height[middle, middle] / p
    return area + held**2


def surface_start(p):
    """A plane on the border, zero inside."""
    t = np.arange(p) / (p - 1.0)
    height = np.zeros((p, p))
    height[:, 0], height[:, -1] = 1.0 + 8.0 * t, 5.0 + 8.0 * t
    height[0, :], height[-1, :] = 1.0 + 4.0 * t, 9.0 + 4.0 * t
    return height.ravel()


# fmt: off
TRACE = np.array([
    0.0, 0.0, 1.6e-3, 5.4e-3, 7.02e-2, 0.1876, 0.332, 0.764, 0.932, 0.812, 0.3464, 0.2064, 8.3e-2, 3.4e-2, 6.179999e-2,
    1.2, 1.8, 2.4, 9.0, 2.4, 1.801, 1.325, 7.62e-2, 0.2104, 0.268, 0.552, 0.996, 0.36, 0.24, 0.151, 2.48e-2, 0.2432,
    0.3602, 0.48, 1.8, 0.48, 0.36, 0.264, 6e-3, 6e-3,
])
SIGNAL = np.array([0.01, 0.02, 0.4, 0.6, 0.8, 3.0, 0.8, 0.6, 0.44, 0.01, 0.01])
PALMER_X = np.array([
    1.788963, 1.745329, 1.658063, 1.570796, 1.483530, 1.396263, 1.308997, 1.218612, 1.134464, 1.047198, 0.872665,
    0.698132, 0.523599, 0.349066, 0.174533, 1.8762289, 1.8325957,
])
PALMER_Y = np.array([
    78.596218, 65.77963, 43.96947, 27.038816, 14.6126, 6.2614, 1.538330, 0.0, 1.188045, 4.6841, 16.9321, 33.6988,
    52.3664, 70.1630, 83.4221, 108.18086, 92.733676,
])
YFIT_Y = np.array([
    21.158931, 17.591719, 14.046854, 10.519732, 7.0058392, 3.5007293, 0.0, -3.5007293, -7.0058392, -10.519732,
    -14.046854, -17.591719, -21.158931, -24.753206, -28.379405, -32.042552, -35.747869,
])
# fmt: on


def deconvu(x):
    """DECONVU: blind deconvolution, with the scale of its two factors free."""
    shape, signal = x[:40], x[40:]
    padded = np.concatenate([np.zeros(10), shape])
    convolved = sum(signal[i] * padded[10 - i : 50 - i] for i in range(11))
    return np.sum((convolved - TRACE) ** 2)


def palmer(x):
    """PALMER1C, PALMER1D: an even polynomial through a curve of energies; each point counts twice but that at zero."""
    powers = PALMER_X[:, None] ** (2.0 * np.arange(x.shape[0]))
    return 2.0 * np.sum((powers @ x - PALMER_Y) ** 2) + (x[0] - 88.3995) ** 2


def yfitu(x):
    """YFITU: angles and a distance from a measured beam."""
    share = np.arange(17.0) / 16.0
    return np.sum((x[2] * np.tan(x[0] * (1.0 - share) + x[1] * share) - YFIT_Y) ** 2)
