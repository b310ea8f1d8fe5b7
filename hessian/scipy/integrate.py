"""scipy.integrate: twins of quadrature, and of the Runge-Kutta methods of ``solve_ivp``."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import scipy.integrate

from hessian.errors import OptionError, message
from hessian.rules.broadcast import as_floats
from hessian.rules.traced import entered
from hessian.scipy.mirror import holds, mirrored, twin
from hessian.scipy.runge_kutta import solved

__all__ = ["cumulative_trapezoid", "fixed_quad", "simpson", "solve_ivp", "trapezoid"]
__getattr__, __dir__ = mirrored(__name__)


def _array(x: Any) -> Any:
    x = entered(x)
    return x if holds(x) else as_floats(x)


def _steps(x: Any, dx: Any, count: int, ndim: int) -> Any:
    """Return the distances of samples along the last axis."""
    if x is None:
        return _array(dx) * np.ones(count - 1)
    x = _array(x)
    return np.diff(x, axis=-1)


@twin(scipy.integrate.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integrate samples by the rule of trapezoids. Twin of :func:`scipy.integrate.trapezoid`, in samples and in their places."""
    y = np.moveaxis(_array(y), axis, -1)
    x = x if x is None or np.ndim(x) == 1 else np.moveaxis(_array(x), axis, -1)
    h = _steps(x, dx, y.shape[-1], y.ndim)
    return np.sum(h * (y[..., 1:] + y[..., :-1]), axis=-1) / 2


@twin(scipy.integrate.cumulative_trapezoid)
def cumulative_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Any:
    """Integrate samples up to each of them by the rule of trapezoids. Twin of :func:`scipy.integrate.cumulative_trapezoid`."""
    if initial is not None and initial != 0:
        raise OptionError(message("cumulative_trapezoid", f"initial={initial!r}", "SciPy takes None or 0", "Pass 0"))
    y = np.moveaxis(_array(y), axis, -1)
    x = x if x is None or np.ndim(x) == 1 else np.moveaxis(_array(x), axis, -1)
    h = _steps(x, dx, y.shape[-1], y.ndim)
    total = np.cumsum(h * (y[..., 1:] + y[..., :-1]), axis=-1) / 2
    if initial is not None:
        total = np.concatenate([np.zeros((*y.shape[:-1], 1), y.dtype), total], axis=-1)
    return np.moveaxis(total, -1, axis)


@twin(scipy.integrate.simpson)
def simpson(y: Any, x: Any = None, *, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integrate samples by Simpson's rule, with Cartwright's correction for an even number of them.

    Twin of :func:`scipy.integrate.simpson`, in samples and in their places.
    """
    y = np.moveaxis(_array(y), axis, -1)
    x = x if x is None or np.ndim(x) == 1 else np.moveaxis(_array(x), axis, -1)
    n = y.shape[-1]
    h = _steps(x, dx, n, y.ndim)
    if n < 3:
        return np.sum(h * (y[..., 1:] + y[..., :-1]), axis=-1) / 2
    odd = n if n % 2 else n - 1
    total = _parabolas(y[..., :odd], h[..., : odd - 1])
    if n % 2:
        return total
    first, last = h[..., -2], h[..., -1]
    weights = (
        (2 * last**2 + 3 * first * last) / (6 * (first + last)),
        (last**2 + 3 * first * last) / (6 * first),
        -(last**3) / (6 * first * (first + last)),
    )
    return total + sum(w * y[..., -1 - i] for i, w in enumerate(weights))


def _parabolas(y: Any, h: Any) -> Any:
    a, b = h[..., ::2], h[..., 1::2]
    left, middle, right = y[..., :-2:2], y[..., 1:-1:2], y[..., 2::2]
    terms = left * (2 - b / a) + middle * (a + b) ** 2 / (a * b) + right * (2 - a / b)
    return np.sum((a + b) / 6 * terms, axis=-1)


def fixed_quad(func: Any, a: Any, b: Any, args: Any = (), n: int = 5) -> tuple[Any, None]:
    """Integrate a function by Gauss and Legendre's rule of order n, differentiable in its ends and in what the function holds.

    Twin of :func:`scipy.integrate.fixed_quad`, and SciPy's own where nothing is traced.
    """
    if not any(map(holds, (a, b, *args))):
        result: tuple[Any, None] = scipy.integrate.fixed_quad(func, a, b, args, n)
        return result
    nodes, weights = np.polynomial.legendre.leggauss(n)
    y = func((b - a) * (nodes + 1) / 2.0 + a, *args)
    return (b - a) / 2.0 * np.sum(weights * y, axis=-1), None


class _TracedSlope(Exception):
    """A right-hand side gave traced slopes, perhaps only late: what it holds enters after a time, or on one side of a branch."""


def _untraced(fun: Any) -> Any:
    def slopes(t: Any, y: Any, *args: Any) -> Any:
        slope = fun(t, y, *args)
        if holds(slope):
            raise _TracedSlope
        return slope

    return slopes


def _check_times(t_span: Any, t_eval: Any) -> None:
    """Refuse traced times, whose derivatives the steps don't have."""
    if not (holds(t_span) or any(map(holds, t_span)) or holds(t_eval)):
        return
    why = "the sizes of steps are numbers, and so are the times between which they are taken"
    fix = "Solve for y as a function of s = t / T between plain numbers: slopes are T * fun(s * T, y)"
    raise OptionError(message("solve_ivp", "t_span or t_eval is traced", why, fix))


def solve_ivp(
    fun: Any,
    t_span: Any,
    y0: Any,
    method: Any = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool = False,
    args: Any = None,
    **options: Any,
) -> Any:
    """Solve an initial value problem; derivatives are those of the steps that were accepted, exactly.

    Twin of :func:`scipy.integrate.solve_ivp` for y0, ``args`` or what ``fun`` holds traced: the methods RK45 and RK23 with SciPy's
    tableaux, control of steps and interpolation. The sizes of steps are numbers: their own change with the parameters, which is of the
    order of the tolerance, is left out. SciPy's own where nothing is traced.

    Raises
    ------
    OptionError
        Another method, ``dense_output`` or ``events`` with something traced; traced times.

    References
    ----------
    J. R. Dormand & P. J. Prince, "A family of embedded Runge-Kutta formulae", J. Comput. Appl. Math. 6 (1980).
    """
    given = args if args is not None else ()
    _check_times(t_span, t_eval)
    if not any(map(holds, (y0, *given))):
        with contextlib.suppress(_TracedSlope):
            return scipy.integrate.solve_ivp(
                _untraced(fun), t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options
            )
    for name, value in {"dense_output": dense_output, "events": events, "vectorized": vectorized}.items():
        if value:
            what = f"{name}= is not supported with traced values"
            raise OptionError(message("solve_ivp", what, fix="Leave it out, and ask for points by t_eval="))
    return solved(lambda t, y: entered(fun(t, y, *given)), t_span, _array(y0), method, t_eval, options)
