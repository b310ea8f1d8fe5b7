"""Derivatives of any order along directions, by nested forward sweeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hessian.arguments import whole_number
from hessian.errors import OptionError, message
from hessian.programs.runtime.recorded import programs_of
from hessian.tape.trace import Primal
from hessian.transforms.first_order import pushforward_of, tangent_like
from hessian.transforms.selection import ArgNums, selected


def directional(
    f: Callable[..., Any], x: Any, *directions: Any, args: tuple[Any, ...] = (), argnums: ArgNums = 0
) -> Any:
    r"""Contract the k-th derivative with k directions: :math:`D^k f(x)[v_1, \dots, v_k]`.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array or a container of arrays.
    x : array or container of float arrays
    *directions : same structure as x
        As many as the order of the derivative; none gives ``f(x)``.
    args : tuple
        Further arguments of f, not differentiated unless ``argnums`` names them.
    argnums : int or tuple of int
        Which of f's arguments, x first, to differentiate; directions are like it, tuples for a tuple.

    Returns
    -------
    Same structure as f's result.

    Raises
    ------
    ShapeMismatchError
        A direction does not have the structure or shapes of x.

    Notes
    -----
    Cost: each order multiplies the work by about 2 to 3.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> float(hs.directional(lambda x: x**4, 1.0, 1.0, 1.0, 1.0))
    24.0
    """
    f, x, args = selected(f, (x, *args), argnums, "directional")
    make = lambda plain: lambda x, vs, args: _directional(plain, x, vs, args)
    contracted = programs_of(f).derived("directional", make, inputs=(0, 1))
    return contracted(x, tuple(tangent_like(x, v, "directional") for v in directions), args)


def _directional(f: Callable[..., Any], x: Any, directions: tuple[Any, ...], args: tuple[Any, ...]) -> Any:
    def at(k: int, point: Any) -> Any:
        if k == 0:
            return f(point, *args)
        return pushforward_of(lambda z: at(k - 1, z), point, directions[k - 1], (), "directional")[1]

    return at(len(directions), x)


def taylor(f: Callable[..., Any], x: Any, v: Any, *args: Any, order: int, argnums: ArgNums = 0) -> np.ndarray:
    r"""Compute Taylor coefficients along a line: :math:`f(x + t v) = \sum_k c_k t^k`.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array.
    x, v : array or container of float arrays
        Point and direction.
    *args
        Further arguments of f, not differentiated unless ``argnums`` names them.
    order : int
        Highest power of t.
    argnums : int or tuple of int
        Which of f's arguments, x first, to differentiate; v is like it, a tuple for a tuple.

    Returns
    -------
    ndarray, shape (order + 1, \*y.shape)
        :math:`c_k = D^k f(x)[v, \dots, v] / k!`.

    Raises
    ------
    OptionError
        The order is negative or not an integer.

    Notes
    -----
    Cost: nested forward sweeps, growing by a factor of about 2 to 3 per order; meant for small orders.

    References
    ----------
    A. Griewank & A. Walther, *Evaluating Derivatives* (2008), chapter 13.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hs.taylor(np.exp, 0.0, 1.0, order=3).tolist() == [1.0, 1.0, 1 / 2, 1 / 6]
    True
    """
    order = whole_number("taylor", "order", order, 0)
    f, x, args = selected(f, (x, *args), argnums, "taylor")
    make = lambda plain: lambda x, v, order, args: _taylor(plain, x, v, order, args)
    return programs_of(f).derived("taylor", make, inputs=(0, 1))(x, tangent_like(x, v, "taylor"), order, args)


def _taylor(f: Callable[..., Any], x: Any, v: Any, order: int, args: tuple[Any, ...]) -> np.ndarray:
    primal = Primal(x, "taylor")
    dots, batch = primal.tangent_leaves(v)
    if batch:
        raise OptionError(message("taylor", f"v has batch axes {batch}", fix="Pass one direction"))
    zero = np.zeros((), primal.dtype)

    def derivatives(k: int, t: Any) -> tuple[Any, ...]:
        if k == 0:
            return (f(primal.build([a + t * b for a, b in zip(primal.leaves, dots, strict=True)]), *args),)
        values, slopes = pushforward_of(lambda s: derivatives(k - 1, s), t, np.ones_like(zero), (), "taylor")
        return (*values, slopes[-1])

    return np.stack([d / math.factorial(k) for k, d in enumerate(derivatives(order, zero))])
