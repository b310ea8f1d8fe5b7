"""Starting weights of a layer, by name.

A weight matrix has shape ``(n_in, n_out)``. Every scheme draws independent entries of mean zero whose variance is
``gain / fan``:

============== ====== =====================
name           gain   fan
============== ====== =====================
``glorot_*``   1      (n_in + n_out) / 2
``he_*``       2      n_in
``lecun_*``    1      n_in
============== ====== =====================

each as ``*_uniform`` (on ``[-a, a]`` with ``a = sqrt(3 gain / fan)``) and ``*_normal``. Besides these there are ``zeros``
and ``orthogonal``, which draws orthonormal columns, or rows where there are fewer of them, uniformly.

References
----------
Glorot and Bengio (2010), eq. 12 and 16; He, Zhang, Ren and Sun (2015), eq. 10; LeCun, Bottou, Orr and Müller (1998),
eq. 16; Saxe, McClelland and Ganguli (2014), section 3 (orthogonal); Mezzadri (2007), section 5 (its signs).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hessian.arguments import choose

Initializer = Callable[[np.random.Generator, int, int], np.ndarray]

_SCHEMES: dict[str, Callable[[int, int], float]] = {
    "glorot": lambda n_in, n_out: 2.0 / (n_in + n_out),
    "he": lambda n_in, n_out: 2.0 / n_in,
    "lecun": lambda n_in, n_out: 1.0 / n_in,
}


def _uniform(variance: Callable[[int, int], float]) -> Initializer:
    def draw(rng: np.random.Generator, n_in: int, n_out: int) -> np.ndarray:
        bound = np.sqrt(3.0 * variance(n_in, n_out))
        return rng.uniform(-bound, bound, (n_in, n_out))

    return draw


def _normal(variance: Callable[[int, int], float]) -> Initializer:
    def draw(rng: np.random.Generator, n_in: int, n_out: int) -> np.ndarray:
        return np.sqrt(variance(n_in, n_out)) * rng.standard_normal((n_in, n_out))

    return draw


def _zeros(rng: np.random.Generator, n_in: int, n_out: int) -> np.ndarray:
    """All-zero weights: the natural start of a linear model, a symmetric trap for one with hidden layers."""
    return np.zeros((n_in, n_out))


def _orthogonal(rng: np.random.Generator, n_in: int, n_out: int) -> np.ndarray:
    """Orthonormal columns, or rows where there are fewer of them."""
    tall = rng.standard_normal((max(n_in, n_out), min(n_in, n_out)))
    Q, R = np.linalg.qr(tall)
    # The signs of R's diagonal are LAPACK's choice; without them Q is uniformly distributed.
    Q = Q * np.where(np.diagonal(R) < 0, -1.0, 1.0)
    return Q if n_in >= n_out else Q.T


INITIALIZERS: dict[str, Initializer] = (
    {f"{name}_uniform": _uniform(variance) for name, variance in _SCHEMES.items()}
    | {f"{name}_normal": _normal(variance) for name, variance in _SCHEMES.items()}
    | {"zeros": _zeros, "orthogonal": _orthogonal}
)
"""Initialisers by name, each ``(rng, n_in, n_out) -> array``."""


def get_initializer(initializer: str | Initializer) -> Initializer:
    """Return the initialiser of a name, or the function given.

    Parameters
    ----------
    initializer : str or callable
        A name of ``hessian.nn.INITIALIZERS``, or a function ``(rng, n_in, n_out) -> array``.

    Returns
    -------
    callable

    Raises
    ------
    OptionError
        There is no initialiser of that name; the message suggests the nearest.

    Examples
    --------
    >>> import numpy as np
    >>> get_initializer("zeros")(np.random.default_rng(0), 2, 3).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return choose("hessian.nn", "initializer", initializer, INITIALIZERS)
