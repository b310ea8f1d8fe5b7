"""First derivatives: gradient, Jacobian-vector product, vector-Jacobian product, Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Literal, overload

import numpy as np
from numpy.typing import NDArray

from hessian.errors import DtypeError, ShapeMismatchError, message
from hessian.pickles import name_in_module
from hessian.programs.runtime.functions import programs_of
from hessian.programs.tasks import Task, numbered
from hessian.rules.spec import Traced
from hessian.signatures import Aux, First, Number, P, Second, X, Y, Z
from hessian.tape.numbers import check_numbers
from hessian.tape.trace import Primal, Trace, check_argnums, detached, trace
from hessian.tape.trees import Structure
from hessian.transforms.point import FunctionAtPoint
from hessian.transforms.seeds import blocks_of, check_room
from hessian.transforms.selection import ArgNums, Derivative, HigherDerivative, name_of, selected


class ValueAndGradient(Derivative[P, Y]):
    """See :func:`value_and_grad`."""

    where = "value_and_grad"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        value, gradient, aux = _gradient(self.f, args, kwargs, self.argnums, self.has_aux, "value_and_grad")
        return ((value, aux) if self.has_aux else value), gradient


@overload
def value_and_grad(f: np.ufunc, argnums: ArgNums = 0) -> Derivative[..., tuple[Any, Any]]: ...
@overload
def value_and_grad(
    f: Callable[Concatenate[X, P], Y], argnums: First = 0, *, has_aux: Literal[False] = False
) -> Derivative[Concatenate[X, P], tuple[Y, X]]: ...
@overload
def value_and_grad(
    f: Callable[Concatenate[X, P], tuple[Y, Aux]], argnums: First = 0, *, has_aux: Literal[True]
) -> Derivative[Concatenate[X, P], tuple[tuple[Y, Aux], X]]: ...
@overload
def value_and_grad(
    f: Callable[Concatenate[Z, X, P], Y], argnums: Second
) -> Derivative[Concatenate[Z, X, P], tuple[Y, X]]: ...
@overload
def value_and_grad(
    f: Callable[Concatenate[Z, X, P], Y], argnums: tuple[First, Second]
) -> Derivative[Concatenate[Z, X, P], tuple[Y, tuple[Z, X]]]: ...
@overload
def value_and_grad(f: Callable[P, Y], argnums: ArgNums, *, has_aux: bool = False) -> Derivative[P, tuple[Y, Any]]: ...
def value_and_grad(f: Callable[..., Any], argnums: ArgNums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    r"""Return a function that computes ``f`` and its gradient together.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy: ``f(x, *args, **kwargs)``.
    argnums : int or tuple of int
        Which positional arguments to differentiate in. A tuple gives a tuple of gradients.
    has_aux : bool
        ``f`` returns ``(value, aux)``; aux comes back as plain arrays.

    Returns
    -------
    callable
        ``(x, ...) -> (value, gradient)``, or ``((value, aux), gradient)``. The gradient has the structure, shapes and
        dtypes of x; in complex numbers it is :math:`\partial f/\partial\Re x + i\,\partial f/\partial\Im x`, the direction of
        steepest ascent.

    Raises
    ------
    NotScalarError
        f returns something else than one real number.
    DtypeError
        x holds integers.

    Notes
    -----
    Cost: f recorded once, then one reverse sweep, about 3 to 4 evaluations of f in all once arithmetic outweighs some ten
    microseconds per operation; memory: every intermediate value.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> value, gradient = hs.value_and_grad(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    >>> float(value), gradient.tolist()
    (9.0, [3.0, 12.0])

    >>> hs.grad(lambda z: np.sum(np.abs(z) ** 2))(np.array([1.0 + 2.0j])).tolist()
    [(2+4j)]
    """

    return ValueAndGradient(f, argnums, has_aux)


class Gradient(Derivative[P, Y]):
    """See :func:`grad`."""

    where = "grad"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        _, gradient, aux = _gradient(self.f, args, kwargs, self.argnums, self.has_aux, "grad")
        return (gradient, aux) if self.has_aux else gradient


@overload
def grad(f: np.ufunc, argnums: ArgNums = 0) -> Derivative[..., Any]: ...
@overload
def grad(
    f: Callable[Concatenate[X, P], Any], argnums: First = 0, *, has_aux: Literal[False] = False
) -> Derivative[Concatenate[X, P], X]: ...
@overload
def grad(
    f: Callable[Concatenate[X, P], tuple[Any, Aux]], argnums: First = 0, *, has_aux: Literal[True]
) -> Derivative[Concatenate[X, P], tuple[X, Aux]]: ...
@overload
def grad(f: Callable[Concatenate[Z, X, P], Any], argnums: Second) -> Derivative[Concatenate[Z, X, P], X]: ...
@overload
def grad(
    f: Callable[Concatenate[Z, X, P], Any], argnums: tuple[First, Second]
) -> Derivative[Concatenate[Z, X, P], tuple[Z, X]]: ...
@overload
def grad(f: Callable[P, Any], argnums: tuple[int, ...]) -> Derivative[P, tuple[Any, ...]]: ...
@overload
def grad(f: Callable[P, Any], argnums: ArgNums, *, has_aux: bool = False) -> Derivative[P, Any]: ...
def grad(f: Callable[..., Any], argnums: ArgNums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    r"""Return a function that computes the gradient :math:`\nabla f`, :math:`(\nabla f)_i = \partial f / \partial x_i`.

    Parameters
    ----------
    f : callable
        Real scalar function written in NumPy, plain or recorded: ``f(x, *args, **kwargs)``. Here x is a number, an array of any shape, or
        a dict, list, tuple or dataclass of these.
    argnums : int or tuple of int
        Which positional arguments to differentiate in. A tuple gives a tuple of gradients.
    has_aux : bool
        ``f`` returns ``(value, aux)``, and the result is ``(gradient, aux)``; aux comes back as plain arrays.

    Returns
    -------
    callable
        ``(x, ...) -> gradient``, with the structure, shapes and dtypes of x; the other arguments are those of f. It may be differentiated
        again. In complex numbers the gradient is :math:`\partial f/\partial\Re x + i\,\partial f/\partial\Im x`.

    Raises
    ------
    OptionError
        f is no function, or a point is given in place of ``argnums``: it is ``hs.grad(f)(x)``.
    NotScalarError
        By a call: f returns something else than one real number.
    DtypeError
        By a call: x holds integers.
    MissingRuleError, LeavesTapeError
        By a call: f does something that has no derivative here, or turns x into plain numbers; the message names the line.

    Notes
    -----
    Cost: f recorded once, then one reverse sweep, about 3 to 4 evaluations of f in all once arithmetic outweighs some ten microseconds per
    operation; memory: every intermediate value. A function that is called often is faster recorded (:func:`hessian.record`).
    :func:`value_and_grad` gives the value as well, for the same cost.

    Where f has a kink the gradient is that of one side, or their mean: the table of operations says which.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hs.grad(lambda x: np.sum(x**3))(np.array([1.0, 2.0])).tolist()
    [3.0, 12.0]
    >>> float(hs.grad(np.sin)(0.0)), float(hs.grad(hs.grad(np.exp))(0.0))
    (1.0, 1.0)
    >>> hs.grad(lambda p, x: np.sum(p["a"] * x) + p["b"])({"a": np.ones(2), "b": 3.0}, np.array([4.0, 5.0]))
    {'a': array([4., 5.]), 'b': np.float64(1.0)}
    >>> hs.grad(lambda a, b: a**2 * b, argnums=(0, 1))(3.0, 2.0)
    (np.float64(12.0), np.float64(9.0))
    """

    return Gradient(f, argnums, has_aux)


def _gradient(
    f: Any, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Any, has_aux: bool, where: str
) -> tuple[Any, Any, Any]:
    """Return value, gradient and what else f returns; with an auxiliary result by the plain sweep."""
    task = numbered("gradient", argnums, len(args), where)
    ran = None if has_aux else programs_of(f).replay(task, args, kwargs, where=where)
    if ran is not None:
        compiled, (value, *leaves) = ran
        return value, compiled.primal.build(leaves), None
    traced = trace(f, args, kwargs, argnums=argnums, has_aux=has_aux, where=where)
    value = traced.scalar()
    bars = traced.linearization().pullback([np.ones((), value.dtype)])
    return detached(value), traced.primal.build(traced.gradient_leaves(bars)), traced.aux


@overload
def jvp(
    f: Callable[..., NDArray[Number]], x: Any, v: Any, *args: Any, argnums: ArgNums = 0
) -> tuple[NDArray[Number], NDArray[Number]]: ...
@overload
def jvp(f: Callable[..., Y], x: Any, v: Any, *args: Any, argnums: ArgNums = 0) -> tuple[Y, Any]: ...
def jvp(f: Callable[..., Any], x: Any, v: Any, *args: Any, argnums: ArgNums = 0) -> tuple[Any, Any]:
    r"""Compute ``f(x)`` and the Jacobian-vector product :math:`\dot y = J v`.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array or a container of arrays.
    x : array or container of float arrays
    v : same structure as x
        Tangent. Leading batch axes (k, \*x.shape) carry k directions through one sweep; the primal is computed once.
    *args
        Further arguments of f, not differentiated unless ``argnums`` names them.
    argnums : int or tuple of int
        Which of f's arguments, x first, to differentiate; v and the results are like it, tuples for a tuple.

    Returns
    -------
    y, y_dot
        ``y_dot`` has the shape of y after the batch axes of v, and its dtype.

    Raises
    ------
    ShapeMismatchError
        v does not have the structure or shapes of x.

    Notes
    -----
    Cost: f recorded once, then one forward sweep, about 2 to 3 evaluations of f; each further direction about 1 to 2.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> y, y_dot = hs.jvp(lambda x: x[0] * x[1:], np.array([2.0, 3.0, 4.0]), np.array([1.0, 0.0, 0.0]))
    >>> y.tolist(), y_dot.tolist()
    ([6.0, 8.0], [3.0, 4.0])
    """
    f, x, args = selected(f, (x, *args), argnums, "jvp")
    return pushforward_of(f, x, v, args, "jvp")


def pushforward_of(f: Callable[..., Any], x: Any, v: Any, args: tuple[Any, ...], where: str) -> tuple[Any, Any]:
    """Compute :func:`jvp` on behalf of the public function ``where``."""
    make = lambda plain: lambda x, v, args: _pushforward(plain, x, v, args, where)
    return programs_of(f).derived(("jvp", where), make, inputs=(0, 1))(x, tangent_like(x, v, where), args)


def _pushforward(f: Callable[..., Any], x: Any, v: Any, args: tuple[Any, ...], where: str) -> tuple[Any, Any]:
    traced = trace(f, (x, *args), where=where)
    dots, batch = traced.primal.tangent_leaves(v)
    pushed = traced.linearization().pushforward(dots, len(batch))
    y = traced.output_structure.build([detached(value) for value in traced.values])
    return y, traced.output_structure.build(output_tangents(traced, pushed, batch))


def tangent_like(x: Any, v: Any, where: str) -> Any:
    """Return a tangent as arrays in the structure of x, or raise."""
    primal = Primal(x, where)
    return primal.build(primal.tangent_leaves(v)[0])


def output_tangents(traced: Trace, pushed: list[Any], batch: tuple[int, ...]) -> list[Any]:
    """Return tangents as results, in the precision of the values that they belong to."""
    dtypes = [value.dtype if value.dtype.kind == "f" else np.dtype(float) for value in traced.values]
    return [
        detached(np.zeros(batch + value.shape) if dot is None else dot, dtype)
        for dot, value, dtype in zip(pushed, traced.values, dtypes, strict=True)
    ]


@overload
def vjp(
    f: Callable[..., Y], x: NDArray[Number], *args: Any, argnums: First = 0
) -> tuple[Y, Callable[[Any], NDArray[Number]]]: ...
@overload
def vjp(f: Callable[..., Y], x: Any, *args: Any, argnums: ArgNums = 0) -> tuple[Y, Callable[[Any], Any]]: ...
def vjp(f: Callable[..., Any], x: Any, *args: Any, argnums: ArgNums = 0) -> tuple[Any, Callable[[Any], Any]]:
    r"""Compute ``f(x)`` and its pullback :math:`\bar y \mapsto J^T \bar y`.

    Parameters
    ----------
    f, x, args, argnums
        As for :func:`jvp`.

    Returns
    -------
    y
    pullback : callable
        Takes a cotangent of the structure and shape of y (leading batch axes allowed), returns one of x. May be called
        any number of times; f is not evaluated again.

    Raises
    ------
    ShapeMismatchError
        By the pullback, for a cotangent that does not fit y.

    Notes
    -----
    Cost: f recorded once; each pullback one reverse sweep, about 2 evaluations of f.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> y, pullback = hs.vjp(np.sin, np.array([0.0, 1.0]))
    >>> pullback(np.array([1.0, 0.0])).tolist()
    [1.0, 0.0]
    """
    f, x, args = selected(f, (x, *args), argnums, "vjp")
    at = FunctionAtPoint(f, Task("map"), (x, *args), where="vjp")
    return at.structure.build([detached(value) for value in at.values]), Pullback(at)


class Pullback:
    """See :func:`vjp`."""

    def __init__(self, at: FunctionAtPoint) -> None:
        self._at = at

    def __call__(self, y_bar: Any) -> Any:
        at = self._at
        bars, batch = _cotangent_leaves(at.structure, at.values, y_bar)
        return at.primal.build(at.leaves(bars, batch, "pullback"))

    def __repr__(self) -> str:
        return f"<pullback of {name_of(self._at.source[0])}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        name_in_module(self, self._at.source[0], instead="Pickle x, and call vjp anew")
        return super().__reduce_ex__(protocol)


def _cotangent_leaves(structure: Structure, values: Sequence[Any], y_bar: Any) -> tuple[list[Any], tuple[int, ...]]:
    bars, batch = [], None
    for leaf, value in zip(structure.leaves_of(y_bar, "vjp", "y_bar"), values, strict=True):
        check_numbers(leaf, "vjp", "y_bar", lists=True)
        bar = leaf if isinstance(leaf, Traced) else np.asarray(leaf)
        lead = bar.shape[: max(bar.ndim - value.ndim, 0)]
        if bar.shape[len(lead) :] != value.shape or (batch is not None and lead != batch):
            raise ShapeMismatchError(
                message(
                    "vjp",
                    f"cotangent y_bar has shape {bar.shape}, the result has shape {value.shape}",
                    "A cotangent lives in the dual of the result's space",
                    f"Pass y_bar with shape {value.shape}, or with leading batch axes before it",
                )
            )
        if bar.dtype.kind not in "fiub":
            raise DtypeError(message("vjp", f"cotangent y_bar has dtype {bar.dtype}", fix="Pass real numbers"))
        batch = lead
        bars.append(bar.astype(value.dtype) if value.dtype.kind == "f" and bar.dtype != value.dtype else bar)
    return bars, batch or ()


class Jacobian(HigherDerivative[X, P, Y]):
    """See :func:`jacobian`."""

    where = "jacobian"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        positions = check_argnums(self.argnums, len(args), "jacobian")
        numbers = self.argnums if isinstance(self.argnums, int) else tuple(self.argnums)
        if self.has_aux:
            return _jacobian(self.f, args, kwargs, numbers, self.has_aux)
        make = lambda plain: lambda *args, **kwargs: _jacobian(plain, args, kwargs, numbers)
        return programs_of(self.f).derived(("jacobian", numbers, positions), make, inputs=positions)(*args, **kwargs)


@overload
def jacobian(f: np.ufunc, argnums: ArgNums = 0) -> HigherDerivative[Any, ..., Any]: ...
@overload
def jacobian(
    f: Callable[Concatenate[X, P], Y], argnums: First = 0, *, has_aux: Literal[False] = False
) -> HigherDerivative[X, P, Y]: ...
@overload
def jacobian(f: Callable[P, Any], argnums: First = 0, *, has_aux: Literal[True]) -> Derivative[P, Any]: ...
@overload
def jacobian(f: Callable[P, Any], argnums: ArgNums, *, has_aux: bool = False) -> Derivative[P, Any]: ...
def jacobian(f: Callable[..., Any], argnums: ArgNums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    r"""Return a function that computes the Jacobian :math:`J_{ij} = \partial y_i / \partial x_j`.

    Parameters
    ----------
    f : callable
        ``f(x, *args, **kwargs)`` returns an array or a container of arrays.
    argnums : int or tuple of int
        Which positional arguments to differentiate in.
    has_aux : bool
        ``f`` returns ``(value, aux)``, and the result is ``(J, aux)``.

    Returns
    -------
    callable
        ``(x, ...) -> J`` of shape ``y.shape + x.shape`` and the dtype of x; containers give containers (of y, then of x) of
        blocks. J is complex where y or x is: ``Re + i Im`` of a complex y, of a complex x rows of gradients. Where both are, it is real,
        of shape ``(2,) + y.shape + (2,) + x.shape``, real parts first; of an analytic function ``J[0, :, 0] + 1j * J[1, :, 0]`` is
        the complex derivative.

    Raises
    ------
    DtypeError
        x holds integers.
    TooDenseError
        By a call: J would take more than 8 GiB. :func:`hessian.sparse.jacobian` and operators do not.

    Notes
    -----
    Cost: min(m, n) sweeps for m outputs and n inputs, in blocks: reverse if m <= n, else forward.

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> hs.jacobian(lambda x: np.array([x[0] * x[1], x[1]]))(np.array([2.0, 3.0])).tolist()
    [[3.0, 2.0], [0.0, 1.0]]
    """

    return Jacobian(f, argnums, has_aux)


def _jacobian(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], argnums: ArgNums, has_aux: bool = False
) -> Any:
    at = FunctionAtPoint(f, Task("map", argnums), args, kwargs, where="jacobian", has_aux=has_aux)
    shapes, primal = [value.shape for value in at.values], at.primal
    n, m = at.sizes.values()
    check_room("jacobian", m, n, at.dtype, None, "hs.sparse.jacobian(f)(x)")
    matrix = at.jacobian()
    matrix = matrix if matrix.dtype == primal.dtype else matrix.astype(primal.dtype)
    blocks = blocks_of(matrix, shapes, primal.shapes, at.structure, primal.structure)
    return (blocks, at.aux) if has_aux else blocks
