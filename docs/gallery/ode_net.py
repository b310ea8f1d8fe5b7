"""A differential equation whose right-hand side is a network, fitted to observations of a spiral.

The truth is dy/dt = y³ B, a spiral that slows down as it comes in. The model is dy/dt = tanh(y³ W + b) V + c; its solution from
the first observation, by the classical Runge-Kutta method in steps of fixed length, is compared with all observations:

    r(p) = y_model(t_i; p) - y_i.

The residuals are minimised by Levenberg-Marquardt steps on the exact Jacobian, which goes through all steps of the
integration: they need some 30 where first-order methods need thousands. A fit of the right-hand side to differences of
neighbouring observations gives the start. At the end the network is given to SciPy's ``solve_ivp`` with a start that it
has not seen.

Expected output: the residuals have the deviation 0.0098 where the noise has 0.01, and the path from the new start is within
0.05 of the true one.
"""

from itertools import pairwise

import numpy as np

import hessian as hs
import hessian.scipy as scipy

SPIRAL = np.array([[-0.1, 2.0], [-2.0, -0.1]])
NOISE = 0.01


def true_path(start, times):
    """Return the spiral from a start at some times."""
    path = scipy.integrate.solve_ivp(
        lambda t, y: y**3 @ SPIRAL, (0, times[-1]), start, t_eval=times, rtol=1e-8, atol=1e-8
    )
    return path.y.T


def make_data(n=60, until=6.0, seed=0):
    """Return times and noisy places along the spiral."""
    times = np.linspace(0, until, n)
    return times, true_path([1.5, 0.0], times) + NOISE * np.random.default_rng(seed).normal(size=(n, 2))


def initialize(hidden, seed):
    """Return parameters of the network."""
    rng = np.random.default_rng(seed)
    return {
        "W": 0.3 * rng.normal(size=(2, hidden)),
        "b": rng.normal(size=hidden) / 2,
        "V": rng.normal(size=(hidden, 2)) / np.sqrt(hidden),
        "c": np.zeros(2),
    }


def velocity(params, y):
    """Return the right-hand side of the equation."""
    return np.tanh(y**3 @ params["W"] + params["b"]) @ params["V"] + params["c"]


def path(params, start, times, substeps=2):
    """Return the solution at some times, by Runge-Kutta steps of equal length between them."""
    y, found = start, [start]
    for t0, t1 in pairwise(times):
        h = (t1 - t0) / substeps
        for _ in range(substeps):
            k1 = velocity(params, y)
            k2 = velocity(params, y + h / 2 * k1)
            k3 = velocity(params, y + h / 2 * k2)
            k4 = velocity(params, y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        found.append(y)
    return np.stack(found)


def residuals(params, times, observed):
    """Return what the path from the first observation misses."""
    return path(params, observed[0], times) - observed


def slope_residuals(params, times, observed):
    """Return what the right-hand side misses of differences between neighbours: rough, but no integration is needed."""
    slopes = np.diff(observed, axis=0) / np.diff(times)[:, None]
    return velocity(params, (observed[1:] + observed[:-1]) / 2) - slopes


def problem(n=60, hidden=6, seed=0):
    """Return half the sum of squares as a function of a dict of arrays, and a start."""
    times, observed = make_data(n)
    return lambda params: 0.5 * np.sum(residuals(params, times, observed) ** 2), initialize(hidden, seed)


def main(maxiter=30, n=60, hidden=6, seed=0):
    """Fit the network, first to slopes and then to the path, and follow the equation from a new start."""
    times, observed = make_data(n)
    params = initialize(hidden, seed)
    for fun in (slope_residuals, residuals):
        result = hs.optimize.least_squares(fun, params, (times, observed), options={"maxiter": maxiter})
        params = result.x
        deviation = np.sqrt(2 * result.cost / result.fun.size)
        print(f"{fun.__name__:16s} deviation {deviation:.4f} after {result.nit:3d} steps   {result.status.name}")
    print(f"deviation of the residuals {result.residual_std:.4f}; the noise has {NOISE}")
    new = np.array([1.2, 0.3])
    print(
        f"largest distance from the true path of a new start: {np.max(np.abs(follow(result.x, new, times) - true_path(new, times))):.3f}"
    )
    return result


def follow(params, start, times):
    """Return the solution of the network's equation by SciPy's adaptive method."""
    solution = scipy.integrate.solve_ivp(
        lambda t, y: velocity(params, y), (0, times[-1]), start, t_eval=times, rtol=1e-6
    )
    return solution.y.T


def picture(result, ax=None):
    """Draw observations, fitted path and the field of velocities; return the axes."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(layout="constrained")[1]
    times, observed = make_data()
    grid = np.stack(np.meshgrid(np.linspace(-1.8, 1.8, 25), np.linspace(-1.8, 1.8, 25)), axis=-1)
    ax.streamplot(grid[..., 0], grid[..., 1], *np.moveaxis(velocity(result.x, grid), -1, 0), color="0.8", linewidth=0.7)
    ax.plot(*observed.T, "k.", markersize=4, label="observed")
    ax.plot(*follow(result.x, observed[0], np.linspace(0, times[-1], 500)).T, label="fitted")
    ax.set(xlabel="$y_1$", ylabel="$y_2$", title="A network as the right-hand side of an equation", aspect="equal")
    ax.legend(loc="center")
    return ax


if __name__ == "__main__":
    main()
