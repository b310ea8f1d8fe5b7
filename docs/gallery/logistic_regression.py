"""Logistic regression as R reports it: coefficients with standard errors, in a few Newton steps.

With outcomes y = ±1 and inputs X, a column of ones included, the objective is the negative log-likelihood

    f(w) = Σ_i log(1 + exp(-y_i x_iᵀw)).

It is convex, and Newton's method (iteratively reweighted least squares by another name) is at the minimum in some five to
ten steps, where gradient descent still has far to go after thousands, because the inputs differ in scale. The inverse of
the Hessian at the minimum is the covariance of the estimate: each coefficient comes with its standard error and its z.

Expected output: Newton's method stops after 6 steps at 154.5296; gradient descent, its step set by the largest eigenvalue of
the Hessian, is at 162.57 after 5000 steps. Dose and age have z of 6.6 and -4.4, and the interval of the input that has no
effect holds zero.
"""

import numpy as np

import hessian as hs

NAMES = ("constant", "dose", "age", "no effect")
TRUTH = np.array([1.0, 1.5, -0.04, 0.0])


def make_data(n=300, seed=0):
    """Return inputs of different scales, and outcomes drawn from the model."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.exponential(size=n), rng.uniform(20, 80, size=n), rng.normal(size=n)])
    p = 1 / (1 + np.exp(-X @ TRUTH))
    return X, np.where(rng.uniform(size=n) < p, 1.0, -1.0)


def negative_log_likelihood(w, X, y):
    """Return the objective."""
    return np.sum(np.log1p(np.exp(-y * (X @ w))))


def problem(n=300, seed=0):
    """Return the objective and the start at zero."""
    X, y = make_data(n, seed)
    return lambda w: negative_log_likelihood(w, X, y), np.zeros(len(TRUTH))


def gradient_descent(objective, w, steps):
    """Return where steps of the safe length, one by the largest eigenvalue of the Hessian, lead."""
    slope = hs.grad(hs.record(objective))
    length = 1 / np.linalg.eigvalsh(hs.hessian(objective)(w))[-1]
    for _ in range(steps):
        w = w - length * slope(w)
    return w


def main(n=300, steps=5000, seed=0):
    """Fit, and print the table of coefficients."""
    objective, start = problem(n, seed)
    result = hs.optimize.minimize(objective, start)
    other = gradient_descent(objective, start, steps)
    print(f"start {objective(start):.4f}; Newton, {result.nit} steps: {result.fun:.4f}", end="; ")
    print(f"gradient descent, {steps} steps: {objective(other):.4f}")
    errors = result.covariance().standard_error
    print("            estimate   error       z   95 % interval")
    for name, value, error in zip(NAMES, result.x, errors, strict=True):
        low, high = value - 1.96 * error, value + 1.96 * error
        print(f"{name:10s} {value:9.3f} {error:7.3f} {value / error:7.2f}   {low:.3f} to {high:.3f}")
    return result


def picture(result, n=300, seed=0, ax=None):
    """Draw the outcomes over the linear predictor, and the curve that is fitted; return the axes."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(layout="constrained")[1]
    X, y = make_data(n, seed)
    score = X @ result.x
    grid = np.linspace(score.min() - 0.5, score.max() + 0.5, 200)
    ax.plot(grid, 1 / (1 + np.exp(-grid)), label="fitted probability")
    ax.plot(score, (y + 1) / 2, "k|", label="outcomes")
    edges = np.quantile(score, np.linspace(0, 1, 11))
    groups = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, 9)
    means = [(np.mean(score[groups == k]), np.mean(y[groups == k] == 1)) for k in range(10)]
    ax.plot(*np.transpose(means), "o", label="share in each tenth of the data")
    ax.set(xlabel="linear predictor", ylabel="probability", title="Logistic regression")
    ax.legend()
    return ax


if __name__ == "__main__":
    main()
