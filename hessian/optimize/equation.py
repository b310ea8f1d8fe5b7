"""Implicit functions as operations: x(θ) with F(x(θ), θ) = 0, differentiated to any order.

With A = ∂F/∂x at the solution,

    x_dot = -A⁻¹ (∂F/∂θ) θ_dot,        θ_bar = -(∂F/∂θ)ᵀ A⁻ᵀ x_bar,

and A⁻¹ is an operation as well: z = A(x, θ)⁻¹ b changes by A⁻¹ (b_dot - (A z)_dot with z held). Products with A and ∂F/∂θ are sweeps
over F, which is recorded at values that may themselves be traced; the factors of A are made once per point and carry no
derivative of their own. Every higher order follows from these three operations.

References: Griewank & Walther, *Evaluating Derivatives* (2008), section 15.5; Krantz & Parks, *The Implicit Function Theorem* (2013).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import DtypeError, LeavesTapeError, ShapeMismatchError, StaleRecordingError, message
from hessian.linalg.blocks import unit_rows
from hessian.optimize.roots import factors_at, solve_factored
from hessian.rules.spec import General, Nondifferentiable
from hessian.rules.traced import Traced, entered
from hessian.tape.advice import user_line
from hessian.tape.array_methods import primal_array
from hessian.tape.blank import unwrapped
from hessian.tape.creation import creating
from hessian.tape.handle import settled
from hessian.tape.origins import Origin
from hessian.tape.sweeps import Linearization, record_function
from hessian.tape.tape import Tape
from hessian.tape.trees import Structure, flatten, is_foreign, join_vector
from hessian.transforms.locate import origin_in
from hessian.transforms.seeds import block_length


class Equation:
    """F(x, θ) = 0 for x, a vector; θ are those of the further arguments that are traced, and the others are held.

    A subclass says what F is, and how it is solved.

    Parameters
    ----------
    fun : callable
        The user's.
    structure, shapes
        Of x.
    args : tuple
        Further arguments; plain arrays among them are copied.
    """

    where = ""

    def __init__(
        self, fun: Callable[..., Any], structure: Structure, shapes: Sequence[tuple[int, ...]], args: tuple[Any, ...]
    ) -> None:
        self.fun = getattr(fun, "plain_function", fun)
        self._structure, self._shapes = structure, list(shapes)
        leaves, self._arguments = flatten(args, whole=is_foreign)
        leaves = [entered(settled(leaf)) for leaf in leaves]
        self._places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Traced)]
        self._leaves = [None if i in self._places else _frozen(leaf) for i, leaf in enumerate(leaves)]
        # The last point, which sweeps ask for again: so the solver's factors are theirs.
        self._last: _Solved | None = None

    def values(self, x: Any, *args: Any) -> Any:
        """Return F in the user's structures."""
        raise NotImplementedError

    def find(self, system: Plain, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a solution for plain θ, and the factors of A there."""
        raise NotImplementedError

    def solution(self, start: Any, args: tuple[Any, ...]) -> Any:
        """Return the solution in the structure of x, as one operation on what is traced among the arguments."""
        leaves = [entered(settled(leaf)) for leaf in flatten(args, whole=is_foreign)[0]]
        thetas = [leaf for leaf in leaves if isinstance(leaf, Traced)]
        return self.tree(solution_op(start, *thetas, equation=self))

    def tree(self, x: Any) -> Any:
        """Return a vector in the structure of x."""
        pieces, start = [], 0
        for shape in self._shapes:
            stop = start + int(np.prod(shape, dtype=int))
            pieces.append(x[start:stop].reshape(shape) if shape else x[start])
            start = stop
        return self._structure.build(pieces)

    def arguments(self, thetas: Sequence[Any]) -> tuple[Any, ...]:
        """Return the further arguments with θ put in."""
        filled = list(self._leaves)
        for i, x in zip(self._places, thetas, strict=True):
            filled[i] = x.frozen() if isinstance(x, Traced) else x
        return self._arguments.build(filled)

    def residual(self, x: Any, thetas: Sequence[Any]) -> Any:
        """Return F as a vector as long as x."""
        tree, args = self.tree(x), self.arguments(thetas)
        with creating():
            values = self.values(tree, *args)
        leaves = [self._checked(leaf) for leaf in flatten(unwrapped(values))[0]]
        vector = join_vector(leaves)
        if vector.shape != x.shape:
            what = f"the function returned {vector.shape[0]} numbers for {x.shape[0]} unknowns"
            raise ShapeMismatchError(message(self.where, what, "there must be as many equations as unknowns"))
        return vector if vector.dtype == x.dtype else vector.astype(x.dtype)

    def _checked(self, leaf: Any) -> Any:
        leaf = entered(leaf)
        leaf = leaf if isinstance(leaf, Traced) else np.asarray(leaf)
        if leaf.dtype.kind not in "fiub":
            raise DtypeError(message(self.where, f"the function returned {leaf.dtype}", fix="Return real numbers"))
        return leaf

    def linearized(
        self, x: Any, thetas: Sequence[Any] = (), held: Sequence[Any] = (), tape: Tape | None = None
    ) -> Linearization:
        """Linearise F in x and θ, or in x alone with θ ``held``."""

        def residual(x: Any, *thetas: Any) -> list[Any]:
            value = self.residual(x, held or thetas)
            self.check_again(value, x, held or thetas)
            return [value]

        return record_function(residual, [x, *thetas], tape)

    # At plain numbers.

    def solve(self, start: np.ndarray, thetas: Sequence[Any]) -> np.ndarray:
        """Return the solution for plain θ."""
        system = Plain(self, thetas)
        x, factors = self.find(system, start)
        self._last = _Solved(_copies(x, thetas), factors, system.residual(x))
        return x.copy()

    def factors(self, x: np.ndarray, thetas: Sequence[Any]) -> np.ndarray:
        """Return the factors of A at plain numbers, those of the last point if it is the same."""
        last = self._last
        if last is None or not all(map(np.array_equal, last.point, [x, *thetas])):
            system = Plain(self, thetas)
            last = self._last = _Solved(_copies(x, thetas), factors_at(system, x), system.residual(x))
        return last.factors.copy()

    def check_again(self, value: Any, x: Any, thetas: Sequence[Any]) -> None:
        """Raise if F is something else at the solution than it was when that was found."""
        last, point = self._last, [primal_array(v) for v in (x, *thetas)]
        if last is None or not all(map(np.array_equal, last.point, point)):
            return
        units, unit = last.factors[-1], float(np.finfo(point[0].dtype).eps)
        changed, before = (
            float(np.linalg.norm(solve_factored(last.factors, v) / units))
            for v in (primal_array(value) - last.residual, last.residual)
        )
        if not changed <= unit ** (1 / 3) * float(np.linalg.norm(point[0] / units)) + 1e3 * before:
            what = "the function gave another result when it ran again"
            why = "its derivative is taken by running it at the solution; it draws random numbers, or uses data that has changed"
            raise StaleRecordingError(message(self.where, what, why, "Pass what changes in args"))


@dataclass(frozen=True)
class _Solved:
    """A point with the factors of A and the residual there."""

    point: list[np.ndarray]
    factors: np.ndarray
    residual: np.ndarray


def _copies(x: Any, thetas: Sequence[Any]) -> list[np.ndarray]:
    """Return copies: a program gives its memory to other numbers."""
    return [np.array(v) for v in (x, *thetas)]


class Plain:
    """An equation at plain θ, for solvers.

    Attributes
    ----------
    equation : Equation
    thetas : sequence
    """

    def __init__(self, equation: Equation, thetas: Sequence[Any]) -> None:
        self.equation, self.thetas = equation, [_frozen(x) for x in thetas]
        self.where = equation.where

    def residual(self, x: np.ndarray) -> np.ndarray:
        """Return F(x)."""
        with np.errstate(all="ignore"):
            vector = self.equation.residual(x.copy(), self.thetas)
        if isinstance(vector, Traced):
            what = f"the function uses a traced value that is not among its arguments, at {user_line()}"
            raise LeavesTapeError(message(self.where, what, "its derivative would be lost", "Pass it in args"))
        return np.asarray(vector)

    def origin(self, x: np.ndarray, order: int) -> Origin | None:
        """Return where F, or its derivative, stops being finite."""
        return origin_in(lambda x: self.equation.residual(x, self.thetas), (x,), order=order)

    def product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return A v."""
        (vector,) = self.equation.linearized(x, held=self.thetas).pushforward([v])
        return np.asarray(_full(vector, x, ()))

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Return A, shape (n, n), by n pushforwards in blocks."""
        tape = Tape()
        linear = self.equation.linearized(x, held=self.thetas, tape=tape)

        images = []
        for _, units in unit_rows(x.size, block_length(tape, x.size), x.dtype):
            (pushed,) = linear.pushforward([units], 1)
            images.append(np.zeros_like(units) if pushed is None else pushed)
        return np.concatenate(images).T if images else np.zeros((0, 0), x.dtype)


def _frozen(x: Any) -> Any:
    """Return an array as a copy that the function cannot write to: it is called again and again."""
    if type(x) is not np.ndarray:
        return x
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def _batch(xs: Sequence[Any], dots: Sequence[Any]) -> int:
    """Return how many leading axes tangents have."""
    return next(t.ndim - np.ndim(x) for x, t in zip(xs, dots, strict=True) if t is not None)


def _full(vector: Any, like: Any, lead: tuple[int, ...]) -> Any:
    """Return a vector, or zeros, in the precision of another."""
    if vector is None:
        return np.zeros((*lead, *like.shape), like.dtype)
    return vector if vector.dtype == like.dtype else vector.astype(like.dtype)


def _linear(y: Any, xs: Any, *, equation: Equation) -> dict[str, Any]:
    _, *thetas = xs
    return {"linear": equation.linearized(y, thetas), "factors": factors_op(y, *thetas, equation=equation)}


def _pushforward(y: Any, xs: Any, dots: Any, *, equation: Equation, linear: Linearization, factors: Any) -> Any:
    _, *thetas = xs
    batch = _batch(xs, dots)
    lead = next(t.shape[:batch] for t in dots if t is not None)
    (change,) = linear.pushforward([None, *dots[1:]], batch)
    return -inverse_op(_full(change, y, lead), factors, y, *thetas, equation=equation, transposed=False)


def _pullback(
    y: Any, xs: Any, g: Any, wanted: Any, *, equation: Equation, linear: Linearization, factors: Any
) -> list[Any]:
    _, *thetas = xs
    weights = -inverse_op(g, factors, y, *thetas, equation=equation, transposed=True)
    return [None, *_in_precision(linear.pullback([weights], g.ndim - y.ndim)[1:], thetas)]


def _in_precision(bars: Sequence[Any], xs: Sequence[Any]) -> list[Any]:
    return [
        bar if bar is None or bar.dtype == x.dtype else bar.astype(x.dtype) for x, bar in zip(xs, bars, strict=True)
    ]


def _product(z: Any, equation: Equation, transposed: bool) -> Callable[..., Any]:
    """Return A z, or Aᵀ z, as a function of x and θ; z may be several vectors."""
    batch = z.ndim - 1

    def product(x: Any, *thetas: Any) -> list[Any]:
        linear = equation.linearized(x, held=thetas)
        (vector,) = linear.pullback([z], batch) if transposed else linear.pushforward([z], batch)
        return [_full(vector, x, z.shape[:batch])]

    return product


def _inverse_pushforward(z: Any, xs: Any, dots: Any, *, equation: Equation, transposed: bool) -> Any:
    _, factors, *point = xs
    change, _, *point_dots = dots
    if any(t is not None for t in point_dots):
        batch = _batch(point, point_dots)
        (turned,) = record_function(_product(z, equation, transposed), point).pushforward(point_dots, batch)
        if turned is not None:
            change = -turned if change is None else change - turned
    if change is None:
        return np.zeros((*next(t.shape[: _batch(xs, dots)] for t in point_dots if t is not None), *z.shape), z.dtype)
    return inverse_op(change, factors, *point, equation=equation, transposed=transposed)


def _inverse_pullback(z: Any, xs: Any, g: Any, wanted: Any, *, equation: Equation, transposed: bool) -> list[Any]:
    _, factors, *point = xs
    b_bar = inverse_op(g, factors, *point, equation=equation, transposed=not transposed)
    if not any(wanted[2:]):
        return [b_bar, *(None for _ in xs[1:])]
    bars = record_function(_product(z, equation, transposed), point).pullback([-b_bar], g.ndim - z.ndim)
    return [b_bar, None, *_in_precision(bars, point)]


solution_op = General(
    "solution",
    lambda start, *thetas, equation: equation.solve(start, thetas),
    prepare=_linear,
    pushforward=_pushforward,
    pullback=_pullback,
    raises=Exception,
    home=__name__,
)
factors_op = Nondifferentiable(
    "factors", lambda x, *thetas, equation: equation.factors(x, thetas), raises=Exception, home=__name__
)
inverse_op = General(
    "inverse",
    lambda b, factors, *point, equation, transposed: solve_factored(factors, b, transposed),
    pushforward=_inverse_pushforward,
    pullback=_inverse_pullback,
    home=__name__,
)
