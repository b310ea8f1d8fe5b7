"""Activation functions, by name, in plain NumPy.

All act entry by entry except ``softmax``, which acts on the last axis. Conventions at kinks are those of the NumPy
functions used (``relu`` is ``maximum(x, 0)``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf, expit

from hessian.arguments import choose
from hessian.scipy import special

Activation = Callable[[Any], Any]


def _identity(x: Any) -> Any:
    return x


def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


def _softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(x, 0)


def _elu(x: Any) -> Any:
    """x where x > 0, exp(x) - 1 elsewhere; the exponential never sees a positive argument."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _silu(x: Any) -> Any:
    """x times the logistic sigmoid of x."""
    return x * expit(x)


def _gelu(x: Any) -> Any:
    """x times the normal distribution function of x (the exact one, not the tanh fit)."""
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


def _softmax(x: Any) -> Any:
    return special.softmax(x, axis=-1)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": np.tanh,
    "sigmoid": expit,
    "relu": _relu,
    "softplus": _softplus,
    "elu": _elu,
    "silu": _silu,
    "gelu": _gelu,
    "sin": np.sin,
    "softmax": _softmax,
    "identity": _identity,
}
"""Activations by name, each from an array to one of the same shape."""


def get_activation(activation: str | Activation) -> Activation:
    """Return the activation of a name, or the function given.

    Parameters
    ----------
    activation : str or callable
        A name of ``hessian.nn.ACTIVATIONS``, or a function ``z -> array``, of arrays and traced values.

    Returns
    -------
    callable

    Raises
    ------
    OptionError
        There is no activation of that name; the message suggests the nearest.

    Examples
    --------
    >>> import numpy as np
    >>> get_activation("tanh") is np.tanh
    True
    """
    return choose("hessian.nn", "activation", activation, ACTIVATIONS)
