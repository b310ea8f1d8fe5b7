"""Derivatives of any order along directions, by Taylor arithmetic and, where directions differ, nested forward sweeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.arguments import whole_number
from hessian.errors import OptionError, message
from hessian.programs.runtime.functions import programs_of
from hessian.rules.traced import Traced
from hessian.tape.array_methods import primal_array
from hessian.tape.taylor import taylor_sweep
from hessian.tape.trace import Primal, Trace, detached, trace
from hessian.tape.trees import flatten
from hessian.transforms.first_order import output_tangents, pushforward_of, tangent_like
from hessian.transforms.selection import ArgNums, selected


def directional(
    f: Callable[..., Any], x: Any, *directions: Any, args: tuple[Any, ...] = (), argnums: ArgNums = 0
) -> Any:
    r"""Contract the k-th derivative with k directions: :math:`D^k f(x)[v_1, \dots, v_k]`.

    Parameters
    ----------
    f, x, args, argnums
        As for :func:`hessian.jvp`, args as one tuple.
    *directions : same structure as x
        As many as the order of the derivative; none gives ``f(x)``.

    Returns
    -------
    Same structure as f's result.

    Raises
    ------
    ShapeMismatchError
        A direction does not have the structure or shapes of x.

    Notes
    -----
    Cost: m equal directions are one sweep of Taylor arithmetic, some m²/2 gradients; each further direction multiplies that by about
    2 to 3. Directions are equal if they hold the same numbers; traced ones, if they are the same value.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> float(hs.directional(lambda x: x**4, 1.0, 1.0, 1.0, 1.0))
    24.0
    """
    f, x, args = selected(f, (x, *args), argnums, "directional")
    groups = _groups_of(directions)
    counts = tuple(len(group) for group in groups)
    make = lambda plain: lambda x, vs, args: _contracted(plain, x, vs, counts, args)
    contracted = programs_of(f).derived(("directional", counts), make, inputs=(0, 1))
    return contracted(x, tuple(tangent_like(x, group[0], "directional") for group in groups), args)


def _groups_of(directions: Sequence[Any]) -> list[list[Any]]:
    """Return equal directions together, the most first."""
    groups: list[list[Any]] = []
    for v in directions:
        known = next((group for group in groups if _alike(group[0], v)), None)
        if known is None:
            groups.append([v])
        else:
            known.append(v)
    return sorted(groups, key=len, reverse=True)


def _alike(u: Any, v: Any) -> bool:
    if u is v:
        return True
    (us, structure), (vs, other) = flatten(u), flatten(v)
    plain = structure == other and not any(isinstance(x, Traced) for x in (*us, *vs))
    return plain and all(np.shape(a) == np.shape(b) and np.array_equal(a, b) for a, b in zip(us, vs, strict=True))


def _contracted(
    f: Callable[..., Any], x: Any, directions: Sequence[Any], counts: Sequence[int], args: tuple[Any, ...]
) -> Any:
    """Contract with each direction as often as its count says: the first by Taylor arithmetic, the others by sweeps around it."""
    others = [v for v, count in zip(directions[1:], counts[1:], strict=True) for _ in range(count)]

    def innermost(point: Any, count: int) -> Any:
        if count == 0:
            return f(point, *args)
        if count > 1:
            traced, leaves = _coefficients(f, point, directions[0], args, count, "directional")
            if leaves is not None:
                scaled = [math.factorial(count) * leaf[-1] for leaf in leaves]
                return traced.output_structure.build(scaled)
        return pushforward_of(lambda z: innermost(z, count - 1), point, directions[0], (), "directional")[1]

    def around(k: int, point: Any) -> Any:
        if k == 0:
            return innermost(point, counts[0] if counts else 0)
        return pushforward_of(lambda z: around(k - 1, z), point, others[k - 1], (), "directional")[1]

    return around(len(others), x)


def _coefficients(
    f: Callable[..., Any], x: Any, v: Any, args: tuple[Any, ...], order: int, where: str
) -> tuple[Trace, list[list[Any]] | None]:
    """Return a trace and the Taylor coefficients of each leaf of its result, from the first on.

    There are none (``None``) for batches of directions, and where a coefficient is not finite: sweeps know what was not taken.
    """
    traced = trace(f, (x, *args), where=where)
    dots, batch = traced.primal.tangent_leaves(v)
    if batch:
        return traced, None
    columns = taylor_sweep(traced.tape, traced.inputs, dots, traced.slots, order)
    if not all(np.all(np.isfinite(primal_array(c))) for column in columns for c in column if c is not None):
        return traced, None
    rows = [output_tangents(traced, list(row), ()) for row in zip(*columns, strict=True)]
    return traced, [list(column) for column in zip(*rows, strict=True)]


def taylor(f: Callable[..., Any], x: Any, v: Any, *args: Any, order: int, argnums: ArgNums = 0) -> Any:
    r"""Compute Taylor coefficients along a line: :math:`f(x + t v) = \sum_k c_k t^k`.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array.
    x, v : array or container of float arrays
        Point and direction.
    args, argnums
        As for :func:`hessian.jvp`.
    order : int
        Highest power of t.

    Returns
    -------
    ndarray, shape (order + 1, \*y.shape), or a container of them
        :math:`c_k = D^k f(x)[v, \dots, v] / k!`.

    Raises
    ------
    OptionError
        The order is negative or not an integer.

    Notes
    -----
    Cost: one sweep of Taylor arithmetic, some p²/2 gradients for order p; where a coefficient is not finite, nested sweeps, by a
    factor of 2 to 3 per order.

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


def _taylor(f: Callable[..., Any], x: Any, v: Any, order: int, args: tuple[Any, ...]) -> Any:
    primal = Primal(x, "taylor")
    dots, batch = primal.tangent_leaves(v)
    if batch:
        raise OptionError(message("taylor", f"v has batch axes {batch}", fix="Pass one direction"))
    if order > 1:
        traced, columns = _coefficients(f, x, v, args, order, "taylor")
        if columns is not None:
            values = [detached(value) for value in traced.values]
            stacked = [np.stack([value, *column]) for value, column in zip(values, columns, strict=True)]
            return traced.output_structure.build(stacked)
    return _by_nested_sweeps(lambda z: f(z, *args), primal, dots, order)


def _by_nested_sweeps(f: Callable[[Any], Any], primal: Primal, dots: list[Any], order: int) -> Any:
    zero = np.zeros((), primal.dtype)

    def derivatives(k: int, t: Any) -> tuple[Any, ...]:
        if k == 0:
            return (f(primal.build([a + t * b for a, b in zip(primal.leaves, dots, strict=True)])),)
        values, slopes = pushforward_of(lambda s: derivatives(k - 1, s), t, np.ones_like(zero), (), "taylor")
        return (*values, slopes[-1])

    found = derivatives(order, zero)
    leaves, structure = zip(*(flatten(d) for d in found), strict=True)
    scaled = [[leaf / math.factorial(k) for k, leaf in enumerate(column)] for column in zip(*leaves, strict=True)]
    return structure[0].build([np.stack(column) for column in scaled])
