"""Rosenbrock's valley, in two variables and in a hundred: what each kind of derivative buys.

The function

    f(x) = Σ_i 100 (x_{i+1} - x_i²)² + (1 - x_i)²

has a curved valley, along which a descent has to turn while it falls only slowly towards the minimum 0 at (1, ..., 1). The same
function goes to a method without derivatives, to two on gradients, and to two on second derivatives: products with the
Hessian, and the whole Hessian. SciPy's methods, by their names, get exact gradients.

Expected output: a table. In a hundred variables, from zero, Nelder and Mead's method is nowhere after 3000 steps; conjugate
gradients take 1184 steps, BFGS 482, Newton's method on products 348, with the whole Hessian 219, and the last two end at
smaller values, because at the end they converge quadratically.
"""

import numpy as np

import hessian as hs

METHODS = ("Nelder-Mead", "CG", "BFGS", "trust-ncg", "newton")


def rosenbrock(x):
    """Return Rosenbrock's function of any number of variables."""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def problem(n=100):
    """Return the function and a start at the other end of the valley's last bend."""
    return rosenbrock, np.zeros(n)


def run(method, start, maxiter=3000):
    """Return a run and the points it went through."""
    points = [start]

    def keep(x):
        points.append(np.copy(x))

    result = hs.optimize.minimize(rosenbrock, start, method=method, callback=keep, options={"maxiter": maxiter})
    return result, np.array(points)


def main(sizes=(2, 100), maxiter=3000):
    """Print what every method needs; return the run of the last one in the last size."""
    for n in sizes:
        objective, start = problem(n)
        print(f"{n} variables, f at the start {objective(start):.1f}")
        for method in METHODS:
            result, _ = run(method, start, maxiter)
            away = np.max(np.abs(result.x - 1))
            print(f"  {method:12s} {result.nit:5d} steps   f {result.fun:8.1e}   farthest variable off by {away:.1e}")
    return result


def picture(result=None, ax=None):
    """Draw the valley in two variables and the ways of two methods through it; return the axes."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(layout="constrained")[1]
    x, y = np.meshgrid(np.linspace(-1.5, 1.3, 200), np.linspace(-0.4, 1.6, 200))
    f = 100 * (y - x**2) ** 2 + (1 - x) ** 2
    ax.contour(x, y, np.log10(f), levels=np.arange(-2, 3, 0.5), cmap="Greys_r")
    for method in ("CG", "trust-ncg"):
        way = run(method, np.array([-1.2, 1.0]))[1]
        ax.plot(*way.T, ".-", label=f"{method}, {len(way) - 1} steps")
    ax.plot(1, 1, "k*", markersize=10)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", title="Rosenbrock's valley")
    ax.legend()
    return ax


if __name__ == "__main__":
    main()
