"""Hyperparameters by Newton's method on the validation loss, differentiated through the fit.

A curve Φ (d * z) of sines and cosines is fitted to data with outliers by a robust loss, its coefficients in units of sizes d
that fall with the frequency k,

    z(θ) = argmin_z  Σ_i ρ(y_i - Φ_i (d * z)) + ½ |z|²,    d_k = exp(θ_0) (1 + k)^-θ_1,    ρ(r) = s² (sqrt(1 + r²/s²) - 1).

How large the coefficients are and how steeply they fall is decided by other data: θ minimises the mean of ρ over them at
z(θ), plus a weak pull towards (0, 1), without which it may run to infinity. ``hs.argmin`` is z as a function of θ, with
derivatives of any order by the implicit function theorem, so that the outer problem is an ordinary smooth function and
gets Newton steps too. A grid would take hundreds of fits.

Expected output: the validation loss, pull included, falls from 0.0856 to 0.0585 in 6 steps, and the error against the true
curve from 0.476 to 0.213.
"""

import numpy as np

import hessian as hs

SCALE = 0.2
FREQUENCIES = 15
PULL = 1e-3


def truth(x):
    """Return the curve that the data are made from."""
    return np.mod(2 * x + 0.3, 1) + np.mod(x + 0.7, 1)


def features(x):
    """Return a column of ones, and sines and cosines of growing frequency."""
    k = np.arange(1, FREQUENCIES + 1)
    angles = 2 * np.pi * x[:, None] * k
    return np.concatenate([np.ones((len(x), 1)), np.sin(angles), np.cos(angles)], axis=1)


def make_data(n, seed):
    """Return features and values: one in ten is off by a lot."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=n)
    noise = np.where(rng.uniform(size=n) < 0.1, 3.0, 0.3) * rng.normal(size=n)
    return features(x), truth(x) + noise


def robust(residuals):
    """Return a loss that is quadratic for small residuals and linear for large ones."""
    return SCALE**2 * (np.sqrt(1 + (residuals / SCALE) ** 2) - 1)


def sizes(theta):
    """Return the sizes of the coefficients."""
    k = np.arange(1, FREQUENCIES + 1)
    growth = np.concatenate([np.zeros(1), np.log(1 + k), np.log(1 + k)])
    return np.exp(theta[0] - theta[1] * growth)


def training_loss(z, theta, Phi, y):
    """Return the penalised loss."""
    return np.sum(robust(y - Phi @ (sizes(theta) * z))) + 0.5 * np.sum(z**2)


def fit(theta, Phi, y):
    """Return the coefficients that minimise the penalised loss, a function of theta with derivatives."""
    z = hs.argmin(training_loss, np.zeros(Phi.shape[1]), (theta, Phi, y))
    return sizes(theta) * z


def problem(n=60, seed=1):
    """Return the validation loss with the pull, a function of theta, and a start with hardly any penalty."""
    (Phi, y), (other_Phi, other_y) = make_data(n, seed), make_data(200, seed + 1)

    def objective(theta):
        pull = np.sum((theta - np.array([0.0, 1.0])) ** 2)
        return np.mean(robust(other_y - other_Phi @ fit(theta, Phi, y))) + PULL * pull

    return objective, np.array([2.0, 0.0])


def main(n=60, seed=1):
    """Minimise the validation loss and print what that does to the error."""
    objective, start = problem(n, seed)
    Phi, y = make_data(n, seed)
    grid = np.linspace(0, 1, 500)

    def show(intermediate_result):
        r = intermediate_result
        error = np.sqrt(np.mean((features(grid) @ fit(r.x, Phi, y) - truth(grid)) ** 2))
        print(f"  step {r.nit:2d}   theta {np.round(r.x, 3)}   validation loss {r.fun:.6f}   error {error:.4f}")

    error = np.sqrt(np.mean((features(grid) @ fit(start, Phi, y) - truth(grid)) ** 2))
    print(f"  start     validation loss {objective(start):.6f}   error {error:.4f}")
    result = hs.optimize.minimize(objective, start, callback=show)
    print(f"gradient {result.gradient_norm:.0e}, smallest eigenvalue of the Hessian {result.smallest_eigenvalue:.1e}")
    return result


def picture(result, n=60, seed=1, ax=None):
    """Draw the data and the fits before and after; return the axes."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(layout="constrained")[1]
    Phi, y = make_data(n, seed)
    x = np.random.default_rng(seed).uniform(size=n)
    grid = np.linspace(0, 1, 500)
    ax.plot(x, y, "k.", label="data")
    ax.plot(grid, features(grid) @ fit(problem(n, seed)[1], Phi, y), linewidth=1, label="hardly a penalty")
    ax.plot(grid, features(grid) @ fit(result.x, Phi, y), label="penalty by validation")
    ax.plot(grid, truth(grid), "k--", linewidth=1, label="truth")
    ax.set(xlabel="x", ylabel="y", ylim=(-3, 3), title="Hyperparameters by differentiating through the fit")
    ax.legend()
    return ax


if __name__ == "__main__":
    main()
