"""What is recorded: the value of a function, its gradient, its products, its linear maps.

A task runs a sweep on recorded values; what the sweep does is then the program. The sections of a program say what runs when:
once per point, or once per direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.programs.capture import Argument, Entangled, Results, open_late, trace
from hessian.programs.compilation import TooLong, compiling
from hessian.programs.ir import DIRECTION, POINT
from hessian.programs.passes.job import SectionSpec
from hessian.programs.runtime.arguments import Arguments
from hessian.programs.runtime.program import Program
from hessian.rules.spec import Traced
from hessian.tape.array_methods import primal_array
from hessian.tape.maps import GaussNewtonMap, HessianMap, JacobianMap, LinearMap, LocalMaps
from hessian.tape.tape import Tape
from hessian.tape.trace import Primal, Trace, check_argnums
from hessian.tape.trace import trace as plain_trace
from hessian.tape.trees import LEAF, Structure, join_vector

Outputs = tuple[list[Any], list[Any]]
"""What a body returns: the function's own results, and what is derived of them."""


class WeakNumbers(Exception):
    """A function combines Python floats with arrays of another precision, which an input would not take."""


class Unfit(Exception):
    """A task cannot be done in the way that it names for this function."""


class Composition:
    """``loss(model(x, *args), *loss_args)``, whose parts the Gauss-Newton matrix treats differently.

    The last ``n_loss_args`` arguments are the loss's.
    """

    def __init__(self, model: Callable[..., Any], loss: Callable[..., Any], n_loss_args: int = 0) -> None:
        self.model = model
        self.loss = loss
        self.n_loss_args = n_loss_args

    def __call__(self, *args: Any) -> Any:
        args, loss_args = self.split(args)
        return self.loss(self.model(*args), *loss_args)

    def split(self, args: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the arguments of the model and those of the loss."""
        n = len(args) - self.n_loss_args
        return tuple(args[:n]), tuple(args[n:])


@dataclass(frozen=True)
class Task:
    """What to make of a function.

    Attributes
    ----------
    kind : str
        ``value``, ``gradient``, ``hvp`` (a product), ``product`` (gradient and product), ``curvature`` (value, gradient, products, each
        when asked for), ``gauss_newton`` (the same for a :class:`Composition`), ``map`` (value, pushforward, pullback) or
        ``entries`` (what ``rewrite`` makes of a product).
    argnums : int or tuple of int
    rewrite : callable or None
        ``(whole, values, source, seen) -> (whole, structures)``: what becomes of all that is recorded (values, gradient, product),
        and what is kept with the program. It is given how many values there are, the function with its arguments, and a direction
        with the product that was seen. It may raise :class:`Unfit`.
    """

    kind: str
    argnums: int | tuple[int, ...] = 0
    rewrite: Callable[..., Any] | None = None


def numbered(kind: str, argnums: Any, count: int, where: str) -> Task:
    """Return a task that differentiates in some of ``count`` positional arguments, or raise."""
    if type(argnums) is not int or not 0 <= argnums < count:
        check_argnums(argnums, count, where)
    return Task(kind, argnums if isinstance(argnums, int) else tuple(argnums))


@dataclass
class CompiledTask:
    """A program of a function for arguments of one kind, with what is needed to put its results together.

    Attributes
    ----------
    program : Program
    output : Structure
        Of the function's result.
    primal : Structure
        Of the differentiated argument.
    count : int
        Number of leaves of the function's result.
    seen : list
        The function's own result where it was recorded, computed without the program.
    writes : bool
        Whether the function changes an argument in place, which no replay would do.
    by_order : bool
        Whether guards depend on the order of the inputs in memory, as sums do, or what is a view of what.
    coarse : bool
        Whether the function uses another precision than float64, whatever that of its result is.
    task : Task
    structures : dict
        What :mod:`hessian.sparse` keeps of the pattern of what the program computes; pickled with it.
    """

    program: Program
    output: Structure
    primal: Structure
    count: int
    seen: list[Any]
    writes: bool
    by_order: bool
    coarse: bool
    task: Task
    structures: dict[Any, Any] = field(default_factory=dict)

    def checked(self, run: Any) -> Sequence[Any]:
        """Return the results of a run that are the function's own."""
        return run.values[: self.count] if run.checked is None else run.checked


def derive(
    f: Callable[..., Any],
    task: Task,
    arguments: Arguments,
    directions: Sequence[Any],
    where: str,
    *,
    user_results: bool = True,
    longest: int | None = None,
) -> CompiledTask:
    """Record ``task`` for a function at the given arguments and compile it; ``user_results=False`` if f returns derivatives.

    A function of more than ``longest`` instructions is not compiled: :class:`TooLong`.
    """
    sweep = _Sweep(f, task, arguments, where, user_results, longest)
    # Labels, masks and the like may steer Python; floats may not: their derivatives would be lost.
    points = [Argument(_example(x), POINT, x.dtype.kind == "f") for x in arguments.inputs]
    whole, by_order = trace(sweep, [*points, *(Argument(_example(v), POINT) for v in directions)])
    primal = sweep.traced.primal
    sections = _sections(task, len(points), len(directions), len(sweep.seen), len(primal.leaves))
    structures: dict[Any, Any] = {}
    if task.rewrite is not None:
        args, kwargs = arguments.rebuild(arguments.inputs)
        source = (f, args, kwargs, task.argnums, where)
        whole, structures = task.rewrite(whole, len(sweep.seen), source, sweep.product)
    with compiling():
        program = Program(whole, sections)
    output = LEAF if task.kind == "gauss_newton" else sweep.traced.output_structure
    found = (sweep.seen, sweep.writes, by_order, sweep.coarse)
    return CompiledTask(program, output, primal.structure, len(sweep.seen), *found, task, structures)


class _Sweep:
    """A task run on recorded values, which keeps what is known of the function by then."""

    def __init__(
        self,
        f: Callable[..., Any],
        task: Task,
        arguments: Arguments,
        where: str,
        user_results: bool,
        longest: int | None,
    ) -> None:
        self._f, self._task, self._arguments, self._where = f, task, arguments, where
        self._user_results, self._longest = user_results, longest
        self.traced: Trace
        self.seen: list[Any]
        self.product: tuple[np.ndarray, np.ndarray] | None = None
        self.writes = self.coarse = False

    def __call__(self, *values: Any) -> Results:
        task, slots, count = self._task, [v._slot for v in values], len(self._arguments.inputs)
        args, kwargs = self._arguments.rebuild(values[:count])
        local = local_maps(self._f, task, args, kwargs, self._where) if task.kind in AT_POINT else None
        self.traced = self._plain(args, kwargs) if local is None else local.traced
        if (
            self._longest is not None
            and max(len(self.traced.tape), *[len(v._tape) for v in values[:1]]) > self._longest
        ):
            raise TooLong
        early = len(values[0]._tape.guards) if values else 0
        late: list[tuple[Any, Argument]] = []
        if local is None:
            results, rest = _BODIES[task.kind](self.traced, list(values[count:]))
        else:
            # The size of a result is known when the function has run.
            example = _direction if task.rewrite is not None else np.zeros
            sizes = [Argument(example(m.size, m.dtype), DIRECTION) for m in local.maps.values()]
            late = [(open_late(_tape_of(values), a), a) for a in sizes]
            results, rest = _body_at_point(local, [v for v, _ in late])
        self.writes = any(v._slot != slot for v, slot in zip(values, slots, strict=True))
        self.seen = [primal_array(x) for x in results]
        if task.rewrite is not None:
            self.product = primal_array(late[-1][1].value), np.array(primal_array(rest[-1]))
        self.coarse = bool(values) and _meets_other_precision(values[0]._tape)
        if self._arguments.numbers and self.coarse:
            raise WeakNumbers
        return Results([*results, *rest], early, len(results) if task.kind in CHECKED else 0, late)

    def _plain(self, args: list[Any], kwargs: dict[str, Any]) -> Trace:
        f, where = self._f, self._where
        if self._task.kind != "value":
            return plain_trace(f, args, kwargs, argnums=self._task.argnums, where=where)
        return Trace(Primal((), where), lambda _: f(*args, **kwargs), where=where, user_results=self._user_results)


def _direction(size: int, dtype: Any) -> np.ndarray:
    """Return an example of a direction: nothing depends on its numbers, but a product with it shows whether others are right."""
    return np.random.default_rng(0).uniform(0.5, 1.0, size).astype(dtype)


def _meets_other_precision(tape: Tape) -> bool:
    """Tell whether values of another precision than that of Python floats are on a tape."""
    operands = [x for instruction in tape.instructions if instruction is not None for x in instruction.operands]
    dtypes = {getattr(x, "dtype", None) for x in (*tape.values, *operands)}
    return any(dtype is not None and dtype.kind == "f" and dtype != np.float64 for dtype in dtypes)


def _example(x: Any) -> Any:
    """Return an input as the tape may hold it: in one piece of memory, as copies are that sweeps without a program make."""
    if not isinstance(x, np.ndarray) or not x.ndim:
        return np.asarray(x)[()]
    return x if x.flags.forc else np.array(x)


def local_maps(
    f: Callable[..., Any],
    task: Task,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    where: str,
    *,
    has_aux: bool = False,
) -> LocalMaps:
    """Run a function on a tape and return its linear maps at the point, of which nothing is linearised yet."""
    if isinstance(f, Composition):
        args, loss_args = f.split(args)
        return GaussNewtonMap(plain_trace(f.model, args, where=where), lambda z: f.loss(z, *loss_args), where)
    traced = plain_trace(f, args, kwargs, argnums=task.argnums, has_aux=has_aux, where=where)
    return JacobianMap(traced) if task.kind == "map" else HessianMap(traced)


def _tape_of(values: Sequence[Any]) -> Tape:
    """Return the tape of the inputs; without inputs there is nothing to make a program of."""
    if not values:
        raise Entangled
    return values[0]._tape


def _value(traced: Trace, dots: list[Any]) -> Outputs:
    return traced.values, []


def _gradient(traced: Trace, dots: list[Any]) -> Outputs:
    value = traced.scalar()
    bars = traced.linearization().pullback([np.ones((), value.dtype)])
    return [value], traced.gradient_leaves(bars)


def _product(traced: Trace, dots: list[Any]) -> Outputs:
    local = HessianMap(traced)
    return local.values, [*local.gradient, *local.products(dots)]


def _hvp(traced: Trace, dots: list[Any]) -> Outputs:
    local = HessianMap(traced)
    return local.values, local.products(dots)


_BODIES: dict[str, Callable[[Trace, list[Any]], Outputs]] = {
    "value": _value,
    "gradient": _gradient,
    "hvp": _hvp,
    "product": _product,
}
AT_POINT = ("curvature", "gauss_newton", "map", "entries")
"""Tasks whose directions are opened when the function has run. Those of several sections run the first at a point, the others when they
are asked for."""
CHECKED = ("hvp", "entries")
"""Tasks that want the value for verification only."""


def _body_at_point(local: LocalMaps, vectors: list[Any]) -> Outputs:
    gradient = [] if isinstance(local, JacobianMap) else [join_vector(local.gradient)]
    return local.values, [*gradient, *(m(v) for m, v in zip(local.maps.values(), vectors, strict=True))]


def _sections(task: Task, points: int, extra: int, values: int, leaves: int) -> list[SectionSpec]:
    """Say which inputs and outputs belong to which section."""
    given, results = list(range(points)), list(range(values))
    if task.kind in ("curvature", "gauss_newton"):
        return [
            ("value", given, results),
            ("gradient", [], [values]),
            ("curve", [], None),
            ("product", [points], [values + 1]),
        ]
    if task.kind == "map":
        return [
            ("value", given, results),
            ("linearize", [], None),
            ("pushforward", [points], [values]),
            ("pullback", [points + 1], [values + 1]),
        ]
    if task.kind in CHECKED:
        count = 1 if task.kind == "entries" else leaves
        return [("run", list(range(points + extra)), list(range(values, values + count))), ("check", [], results)]
    more = {"value": 0, "gradient": leaves, "product": 2 * leaves}[task.kind]
    return [("run", list(range(points + extra)), list(range(values + more)))]


def compile_maps(maps: dict[str, LinearMap]) -> Program:
    """Compile linear maps of raveled vectors, with everything else in them constant; a section each."""

    def run(*vectors: Any) -> Results:
        return Results([function(v) for function, v in zip(maps.values(), vectors, strict=True)], 0)

    whole, _ = trace(run, [Argument(np.zeros(m.size, m.dtype), DIRECTION) for m in maps.values()], borrows=True)
    sections: list[SectionSpec] = [("point", [], [])]
    with compiling():
        return Program(whole, [*sections, *((name, [i], [i]) for i, name in enumerate(maps))])


def check_recordable(f: Any) -> None:
    """Raise if ``f`` is not a function."""
    if not callable(f) or isinstance(f, Traced):
        raise OptionError(message("record", f"the first argument is {type(f).__name__}, not a function"))
