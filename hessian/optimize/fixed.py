"""Parameters that are held while the others are varied: a problem in the free ones, and its result in terms of all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint
from scipy.sparse.linalg import LinearOperator

from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.operators.restricted import RestrictedOperator
from hessian.optimize.objective import FAILURES, VectorObjective, quiet
from hessian.optimize.scipy_constraints import constraint_list, flat_bounds
from hessian.optimize.scipy_conventions import Callback
from hessian.programs.runtime.functions import programs_of
from hessian.tape.names import Part, find_part
from hessian.tape.trees import flatten, holds_traced, ravel, scipy_point

_TANGENTS = ("jac", "grad", "lagrangian_grad", "escape", "standard_error")
"""Entries of results that are like x and vanish where x is held."""


class Held:
    """x0 with some of its numbers held, and the way between it and the vector of the free ones.

    Parameters
    ----------
    x0 : array or container
        As solvers take it.
    fixed : mapping, or iterable of keys
        Values by key (:func:`hessian.tape.names.find_part`); keys alone are held where x0 has them.
    where : str
        Who asks, for errors.

    Attributes
    ----------
    fixed : dict
        What is held, by its name.
    first : ndarray, shape (k,)
        The free numbers of x0.
    values : ndarray, shape (n - k,)
        The others, which are an argument of the functions made here: one recording serves all of them.
    """

    def __init__(self, x0: Any, fixed: Any, where: str) -> None:
        self._where = where
        self.tree = scipy_point(x0)
        # Integers become numbers, and what cannot be varied is refused.
        self._converted = VectorObjective(_nothing, self.tree, ())
        self._full = self._converted.first.copy()
        leaves, self._structure = flatten(self._converted.structured(self._full))
        self._shapes = [np.shape(leaf) for leaf in leaves]
        self._numbers = [not isinstance(leaf, np.ndarray) for leaf in leaves]
        mask = np.zeros(self._full.size, bool)
        self.fixed: dict[str, Any] = {}
        for key, value in _pairs(fixed, where):
            self._hold(find_part(self._converted.structured(self._full), key, where), value, mask)
        self.free, self.held = np.flatnonzero(~mask), np.flatnonzero(mask)
        if not self.free.size:
            what = f"every one of the {mask.size} parameters is held"
            raise OptionError(message(where, what, "There is nothing to vary", "Leave one free, or call fun"))
        self.first, self.values = self._full[self.free], self._full[self.held]
        self._pieces = _pieces(mask, self._shapes)

    def _hold(self, part: Part, value: Any, mask: np.ndarray) -> None:
        """Put a value where it is held."""
        places = np.concatenate([np.ravel(place) for place in part.places])
        if mask[places].any():
            what = f"{part.name} is held twice"
            raise OptionError(message(self._where, what, fix="Name each parameter once"))
        mask[places] = True
        if value is not _AS_IT_IS:
            self._full[places] = held_numbers(part, value, self._where)
        if not np.all(np.isfinite(self._full[places])):
            what = f"{part.name} is to be held at {self._full[places][0]:g}"
            raise OptionError(message(self._where, what, "Nothing can be computed there", "Pass finite numbers"))
        given = part.structure.build([self._full[place][()] for place in part.places])
        self.fixed[part.name] = given

    # From vectors of the free numbers to x, and back.

    def full(self, free: np.ndarray) -> Any:
        """Return x, with what is held, in memory of its own."""
        vector = self._full.astype(free.dtype)
        vector[self.free] = free
        return self._converted.structured(vector)

    def spread(self, tangent: np.ndarray) -> Any:
        """Return a change of x that does not change what is held."""
        vector = np.zeros(self._full.size, tangent.dtype)
        vector[self.free] = tangent
        return self._converted.structured(vector)

    def assembled(self, free: Any, values: Any) -> Any:
        """Return x from the free numbers and the others, any of which may be traced."""
        leaves = []
        for (parts, order), shape, is_number in zip(self._pieces, self._shapes, self._numbers, strict=True):
            picked = [(free, values)[which][start:stop] for which, start, stop in parts]
            vector = picked[0] if len(picked) == 1 else np.concatenate(picked)
            leaf = (vector if order is None else vector[order]).reshape(shape)
            leaves.append(leaf[()] if is_number else leaf)
        return self._structure.build(leaves)

    def function(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of ``(free, values, *args)``, recorded where the function is, once for all values."""
        key = ("held", self.held.tobytes(), tuple(self._shapes), repr(self._structure))
        make = lambda plain: functools.wraps(plain, updated=())(
            lambda free, values, *args: plain(self.assembled(free, values), *args)
        )
        made: Callable[..., Any] = programs_of(fun).derived(key, make, user_results=True)
        return made

    # What solvers take.

    def bounds(self, bounds: Any) -> Bounds | None:
        """Return the bounds of the free numbers; refuse values beyond those of the others."""
        flat = flat_bounds(bounds, self.tree)
        if flat is None:
            return None
        low, high = flat.lb[self.held], flat.ub[self.held]
        bad = np.flatnonzero((self.values < low) | (self.values > high))
        if bad.size:
            k = bad[0]
            what = f"entry {self.held[k]} of x is held at {self.values[k]:g}, its bounds are {low[k]:g} and {high[k]:g}"
            raise OptionError(message(self._where, what, "No x satisfies both", "Change one of them"))
        keep = np.broadcast_to(flat.keep_feasible, self._full.shape)[self.free]
        return Bounds(flat.lb[self.free], flat.ub[self.free], keep_feasible=keep)

    def constraints(self, constraints: Any) -> list[Any]:
        """Return constraints on the free numbers."""
        return [self._constraint(item) for item in constraint_list(constraints)]

    def _constraint(self, item: Any) -> Any:
        if isinstance(item, LinearConstraint):
            matrix = item.A if hasattr(item.A, "tocsc") else np.atleast_2d(item.A)
            if matrix.shape[1] != self._full.size:
                what = f"A of a linear constraint has shape {matrix.shape}, x0 has {self._full.size} entries"
                raise ShapeMismatchError(message(self._where, what, fix="Pass one column per entry of the raveled x0"))
            moved = matrix[:, self.held] @ self.values
            return LinearConstraint(matrix[:, self.free], item.lb - moved, item.ub - moved, item.keep_feasible)
        on_free = lambda function: lambda free, *rest: function(self.assembled(free, self.values), *rest)
        columns = lambda jac: lambda free, *rest: _columns(jac(self.full(free), *rest), self.free)
        if isinstance(item, Mapping):
            changed = {"fun": on_free} | ({"jac": columns} if callable(item.get("jac")) else {})
            return {key: changed[key](value) if key in changed else value for key, value in item.items()}
        if not isinstance(item, NonlinearConstraint):
            return item
        jac = columns(item.jac) if callable(item.jac) else item.jac
        block = lambda free, v: _block(item.hess(self.full(free), v), self.free)
        hess = block if callable(item.hess) else item.hess
        return NonlinearConstraint(on_free(item.fun), item.lb, item.ub, jac, hess, item.keep_feasible)

    def like_x(self, item: Any, name: str) -> Any:
        """Return the free numbers of what is like x; a number and a text as they are."""
        if isinstance(item, str) or item is None or (np.ndim(item) == 0 and not isinstance(item, Mapping)):
            return item
        vector = np.asarray(ravel(item)[0])
        if vector.size != self._full.size:
            what = f"{name} has {vector.size} numbers, x0 has {self._full.size}"
            raise ShapeMismatchError(message(self._where, what, fix="Pass one for each parameter, held ones included"))
        return vector[self.free]

    def options(self, options: Any) -> Any:
        """Return options for the free numbers: a preconditioner that is like x loses what is held."""
        if not isinstance(options, Mapping) or isinstance(options.get("preconditioner"), str | None):
            return options
        given = options["preconditioner"]
        if isinstance(given, LinearOperator) or np.ndim(given) == 2:
            what = "a preconditioner that is a matrix does not fit where parameters are held"
            fix = "Pass its diagonal, like x0, or a function of x that returns it"
            raise OptionError(message(self._where, what, "It acts on all of them", fix))
        reduce = lambda found: self.like_x(found, "the preconditioner")
        return {
            **options,
            "preconditioner": (lambda free: reduce(given(self.full(free)))) if callable(given) else reduce(given),
        }

    def callback(self, callback: Any, prefers_state: bool = False) -> Callback:
        """Return a callback that tells the caller's of all of x."""
        return _Told(Callback.of(callback, self._where, prefers_state), self)

    # What they return.

    def restored(self, result: Any, fun: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Turn a result in the free numbers into one in x."""
        self.describe(result)
        # That of the free ones, where a method of SciPy's returns it; it is formed of all when asked for.
        result.pop("hess", None)
        result.fixed = self.fixed
        names = ", ".join(list(self.fixed)[:4]) + (", ..." if len(self.fixed) > 4 else "")
        result.message += f" ({self.held.size} of {self._full.size} parameters were held: {names}.)"
        result.remember(fun, args)
        return result

    def describe(self, state: Any) -> None:
        """Write what is like x in terms of x."""
        state["x"] = self.full(np.asarray(state["x"]))
        if "allvecs" in state:
            state["allvecs"] = [self.full(np.asarray(x)) for x in state["allvecs"]]
        for name in _TANGENTS:
            # The Jacobian of residuals is a matrix, and has the columns of the free ones.
            if name in state and getattr(state[name], "shape", None) == self.first.shape:
                state[name] = self.spread(state[name])

    def with_derivatives(self, result: Any, name: str, differentiate: Callable[[Any], Any]) -> None:
        """Fill in the derivatives in what is held, NaN where there are none."""
        if name not in result:
            return
        free, _ = ravel(result[name])
        try:
            with quiet():
                found = np.array(ravel(differentiate(result.x))[0])
        except FAILURES:
            found = np.full(free.size, np.nan, free.dtype)
        found[self.free] = free[self.free]
        result[name] = self._converted.structured(found.astype(free.dtype))
        result["n_grad"] += 1
        result["njev"] = result.get("njev", 0) + 1


def asks_to_hold(fixed: Any) -> bool:
    """Whether anything is to be held."""
    return fixed is not None and not (isinstance(fixed, Mapping | list | tuple | set | frozenset) and not fixed)


class _AsItIs:
    """Stands for the value in x0."""


_AS_IT_IS = _AsItIs()


def _pairs(fixed: Any, where: str) -> Iterable[tuple[Any, Any]]:
    """Keys and values of what is to be held."""
    if isinstance(fixed, Mapping):
        return fixed.items()
    if isinstance(fixed, list | tuple | set | frozenset):
        return [(key, _AS_IT_IS) for key in fixed]
    what = f"fixed is {fixed!r}, neither a dict nor a list"
    raise OptionError(
        message(where, what, fix='Pass e.g. fixed={"sigma": 1.0}, or fixed=["sigma"] to hold what x0 has')
    )


def held_numbers(part: Part, value: Any, where: str) -> np.ndarray:
    """The numbers of a value that is to be held, in the order of the places of a part."""
    shape_of = lambda place: np.shape(place)
    if part.structure.kind is not None and np.ndim(value) == 0 and not isinstance(value, Mapping):
        is_complex = part.structure.kind is complex
        if not is_complex:
            what = f"fixed holds {part.name}, {part.structure.describe()}, at {value!r}"
            raise OptionError(message(where, what, fix=f"Pass {part.structure.describe()}, or name its arrays"))
    if holds_traced(value):
        what = f"{part.name} is to be held at a traced value"
        why = "A run of a solver has no derivative in it"
        raise OptionError(message(where, what, why, "Take hs.argmin, which has, and pass the value in its args"))
    leaves = part.structure.leaves_of(value, where, f"fixed[{part.name!r}]")
    found = []
    for leaf, place in zip(leaves, part.places, strict=True):
        try:
            if np.asarray(leaf).dtype.kind not in "biuf":
                raise TypeError
            numbers = np.broadcast_to(np.asarray(leaf, np.float64), shape_of(place))
        except (TypeError, ValueError):
            what = f"{part.name} of shape {shape_of(place)} is to be held at {leaf!r}"
            raise ShapeMismatchError(message(where, what, fix="Pass a number, or an array of its shape")) from None
        found.append(np.ravel(numbers))
    numbers = np.concatenate(found)
    return numbers


Pieces = tuple[list[tuple[int, int, int]], np.ndarray | None]
"""Pieces of the free (0) and the held (1) numbers that make a leaf, and the order in which it takes them."""


def _pieces(mask: np.ndarray, shapes: list[tuple[int, ...]]) -> list[Pieces]:
    """Say where each leaf finds its numbers."""
    found: list[Pieces] = []
    start, taken = 0, [0, 0]
    for shape in shapes:
        size = int(np.prod(shape, dtype=int))
        here = mask[start : start + size]
        counts = [int(size - here.sum()), int(here.sum())]
        parts = [(which, taken[which], taken[which] + counts[which]) for which in (0, 1) if counts[which] or not size]
        parts = parts[:1] if not size else parts
        order = np.argsort(np.argsort(here, kind="stable"), kind="stable") if len(parts) == 2 else None
        found.append((parts, order))
        start, taken = start + size, [taken[0] + counts[0], taken[1] + counts[1]]
    return found


def _columns(jacobian: Any, free: np.ndarray) -> Any:
    """The columns of the free numbers."""
    if hasattr(jacobian, "tocsc"):
        return jacobian.tocsc()[:, free]
    return np.atleast_2d(np.asarray(jacobian, dtype=float))[:, free]


def _block(hessian: Any, free: np.ndarray) -> Any:
    """Rows and columns of the free numbers."""
    if isinstance(hessian, LinearOperator):
        return RestrictedOperator(hessian, free)
    return hessian.tocsc()[free][:, free] if hasattr(hessian, "tocsc") else np.asarray(hessian)[np.ix_(free, free)]


class _Told(Callback):
    """A callback that is told of the free numbers and tells the caller's of all."""

    def __init__(self, inner: Callback, held: Held) -> None:
        super().__init__(None)
        self._inner, self._held = inner, held
        self.identity, self.shown = inner.identity, inner.shown

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return self._inner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self._inner.restore(state)

    def asks_to_stop(self, point: Callable[[], Any], state: Callable[[], Any]) -> bool:
        """Ask the caller's."""

        def described() -> Any:
            now = state()
            self._held.describe(now)
            return now

        return self._inner.asks_to_stop(lambda: self._held.full(point()), described)


def _nothing(x: Any) -> float:
    """Stand for the objective where only the structure of x0 matters."""
    return 0.0
