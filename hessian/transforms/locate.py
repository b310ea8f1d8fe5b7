"""Finding the line where a function, or a derivative of it, stops being finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.arguments import whole_number
from hessian.errors import NonFiniteError, message
from hessian.tape.origins import (
    LinedTape,
    Origin,
    origin_of_gradient,
    origin_of_product,
    origin_of_series,
    origin_of_value,
)
from hessian.tape.trace import Trace, chosen_arguments, replaced
from hessian.tape.trees import flatten
from hessian.transforms.higher_order import taylor
from hessian.transforms.selection import ArgNums


def locate_nonfinite(
    f: Callable[..., Any], x: Any, v: Any = None, *args: Any, argnums: ArgNums = 0, order: int = 3
) -> Origin | None:
    r"""Find the operation in which f at x, or the lowest derivative of it that is not finite, stops being so.

    Parameters
    ----------
    f, x, args, argnums
        As for :func:`hessian.jvp`.
    v : same structure as x, optional
        The direction of second and higher derivatives; by default random numbers, the same every time.
    order : int
        The highest derivative that is looked at: 0 is the value, 1 the gradient, 2 a Hessian-vector product, and so on.

    Returns
    -------
    Origin or None
        With ``order``, ``operation``, ``line`` (file, number and source), ``indices`` of the elements, ``operands`` and ``fix``, what to
        write instead; ``print`` shows them as a sentence. ``None`` if everything is finite.

    Raises
    ------
    DtypeError, ShapeMismatchError, OptionError
        As for :func:`hessian.jvp`, or the order is negative.

    Notes
    -----
    f runs once, as it is written, also where it is recorded. Of several results their sum is differentiated. Numbers that are not
    finite and do not matter, such as those of a branch that ``np.where`` does not take, are not told. Errors of solvers, operators and
    estimators about NaN and inf say the same. Cost: one recording that notes lines, and a sweep per order.

    References
    ----------
    The guard by two ``np.where`` is that of JAX's FAQ, "Gradients contain NaN where using where".

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> found = hs.locate_nonfinite(lambda x: np.sum(np.sqrt(x)), np.array([1.0, 0.0, 4.0]))
    >>> found.order, found.operation, found.indices.tolist()
    (1, 'sqrt', [[1]])
    """
    whole_number("locate_nonfinite", "order", order, 0)
    f = getattr(f, "plain_function", f)
    given = (x, *args)
    primal, numbers = chosen_arguments(given, argnums, "locate_nonfinite")
    call = lambda x: f(*replaced(given, argnums, numbers, x))
    if v is None:
        rng = np.random.default_rng(0)
        v = primal.build([rng.standard_normal(leaf.shape).astype(leaf.dtype) for leaf in primal.leaves])
    dots = primal.tangent_leaves(v)[0]
    with np.errstate(all="ignore"):
        traced = Trace(primal, call, where="locate_nonfinite", tape=LinedTape())
        found = origin_of_value(traced, primal.structure.paths("x"))
        linear = traced.linearization() if found is None and order > 0 else None
        if linear is None:
            return found
        found = origin_of_gradient(traced, linear)
        if found is None and order > 1:
            found = origin_of_product(traced, linear, dots)
        if found is None and order > 2:
            # Sweeps know what was not taken; Taylor arithmetic need not.
            series = flatten(taylor(call, primal.build(primal.leaves), v, order=order))[0]
            if not all(np.isfinite(c).all() for c in series):
                found = origin_of_series(traced, dots, order)
    return found


def origin_in(f: Any, args: Sequence[Any], *, argnums: ArgNums = 0, order: int = 2) -> Origin | None:
    """Return where f stops being finite, for an error that has to be raised anyway; ``None`` where it cannot be told."""
    try:
        return locate_nonfinite(f, args[0], None, *args[1:], argnums=argnums, order=order)
    except Exception:  # must not put another error in its place
        return None


def not_finite(where: str, what: str, why: str, fix: str, origin: Origin | None) -> NonFiniteError:
    """Build the error for numbers that are not finite, with the line they come from where it is known."""
    text = message(where, what, why, fix)
    return NonFiniteError(text if origin is None else f"{text} {origin}")
