"""A convolution network on small images of handwritten digits, trained by a truncated Newton method.

Two layers of 3 x 3 filters with tanh between them, means over 2 x 2 pixels, and a softmax over the ten digits:

    h1[n, i, j, k] = tanh(Σ_ab x[n, i+a, j+b] F1[a, b, k] + b1[k]),
    h2[n, i, j, l] = tanh(Σ_abk h1[n, i+a, j+b, k] F2[a, b, k, l] + b2[l]),
    logits = mean_2x2(h2) W + b.

The objective is the mean cross-entropy plus an l2 penalty. A convolution is a view of all patches of the image,
``sliding_window_view``, contracted with the filters.

Expected output: the objective falls from 2.331 to 0.139 in 150 products; all of the 600 images and 98 % of the other 1197 are
classified correctly.
"""

import numpy as np

import hessian as hs
import hessian.scipy as scipy

L2 = 1e-3


def make_data(n):
    """Return n images for training and the others for the test, with their labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order].reshape(-1, 8, 8) / 16, labels[order]
    return (images[:n], labels[:n]), (images[n:], labels[n:])


def initialize(filters, seed):
    """Return parameters, scaled by the number of their inputs."""
    rng = np.random.default_rng(seed)
    return {
        "F1": rng.normal(size=(3, 3, 1, filters)) / 3,
        "b1": np.zeros(filters),
        "F2": rng.normal(size=(3, 3, filters, filters)) / (3 * np.sqrt(filters)),
        "b2": np.zeros(filters),
        "W": rng.normal(size=(4 * filters, 10)) / (2 * np.sqrt(filters)),
        "b": np.zeros(10),
    }


def convolve(images, filters):
    """Return the filters at every place: (n, i, j, channels) and (a, b, channels, k) make (n, i-a+1, j-b+1, k)."""
    patches = np.lib.stride_tricks.sliding_window_view(images, filters.shape[:2], axis=(1, 2))
    return np.tensordot(patches, filters, axes=([3, 4, 5], [2, 0, 1]))


def mean_pool(h):
    """Return means over squares of 2 x 2."""
    n, i, j, k = h.shape
    return h.reshape(n, i // 2, 2, j // 2, 2, k).mean(axis=(2, 4))


def logits(params, images):
    """Return the logarithms of unnormalised probabilities of the ten digits."""
    h = np.tanh(convolve(images[..., None], params["F1"]) + params["b1"])
    h = np.tanh(convolve(h, params["F2"]) + params["b2"])
    return mean_pool(h).reshape(len(images), -1) @ params["W"] + params["b"]


def loss(params, images, labels):
    """Return the mean cross-entropy plus the penalty."""
    z = logits(params, images)
    cross_entropy = np.mean(scipy.special.logsumexp(z, axis=1) - z[np.arange(len(z)), labels])
    return cross_entropy + 0.5 * L2 * sum(np.sum(value**2) for value in params.values())


def accuracy(params, images, labels):
    """Return the share of images whose likeliest digit is right."""
    return np.mean(np.argmax(logits(params, images), axis=1) == labels)


def problem(n=600, filters=8, seed=0):
    """Return the objective, a function of a dict of arrays, and a start."""
    (images, labels), _ = make_data(n)
    return lambda params: loss(params, images, labels), initialize(filters, seed)


def main(max_hvp=150, n=600, filters=8, seed=0):
    """Train and print what the network makes of the test images."""
    objective, start = problem(n, filters, seed)
    train, test = make_data(n)
    print(f"{sum(value.size for value in start.values())} parameters, objective at the start {objective(start):.3f}")

    def show(intermediate_result):
        r = intermediate_result
        if r.nit % 5 == 0:
            print(f"  step {r.nit:3d}, {r.n_hvp:4d} products   objective {r.fun:.5f}   test {accuracy(r.x, *test):.3f}")

    options = {"max_hvp": max_hvp, "preconditioner": "jacobi", "check_curvature": False}
    result = hs.optimize.minimize(objective, start, method="trust-ncg", callback=show, options=options)
    print(f"objective {result.fun:.5f}, gradient {result.gradient_norm:.1e}", end="; ")
    print(
        f"classified correctly: {accuracy(result.x, *train):.3f} of {n}, {accuracy(result.x, *test):.3f} of the others"
    )
    return result


def picture(result, ax=None):
    """Draw the filters of the first layer in a row; return the axes."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(8, 1.6), layout="constrained")[1]
    filters = np.pad(result.x["F1"][:, :, 0], [(0, 0), (0, 1), (0, 0)], constant_values=np.nan)
    ax.imshow(np.concatenate(np.moveaxis(filters, -1, 0), axis=1), cmap="RdBu")
    ax.set(title="Filters of the first layer", xticks=[], yticks=[])
    return ax


if __name__ == "__main__":
    main()
