"""What is recorded: the value of a function, its gradient, its products, its linear maps.

A task runs a sweep on recorded values; what the sweep does is then the program. The sections of a program say what runs when:
once per point, or once per direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.programs.capture import Argument, Entangled, Results, open_late, trace
from hessian.programs.compilation import TooLong, compiling
from hessian.programs.ir import DIRECTION, POINT
from hessian.programs.runtime.arguments import Arguments
from hessian.programs.runtime.program import Program, SectionSpec
from hessian.rules.spec import Traced
from hessian.tape.array_methods import primal_array
from hessian.tape.second_order import HessianMap
from hessian.tape.tape import Tape
from hessian.tape.trace import Primal, Trace, check_argnums, chosen_arguments, replaced
from hessian.tape.trees import LEAF, Structure, join_vector, split_vector

Outputs = tuple[list[Any], list[Any]]
"""What a body returns: the function's own results, and what is derived of them."""


class WeakNumbers(Exception):
    """A function combines Python floats with arrays of another precision, which an input would not take."""


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
        when asked for), ``gauss_newton`` (the same for a :class:`Composition`) or ``map`` (value, pushforward, pullback).
    argnums : int or tuple of int
    """

    kind: str
    argnums: int | tuple[int, ...] = 0


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
    shapes, output_shapes : list
        Of the leaves of the differentiated argument and of the result.
    dtype : dtype
        Of raveled directions.
    seen : list
        The function's own result where it was recorded, computed without the program.
    writes : bool
        Whether the function changes an argument in place, which no replay would do.
    by_order : bool
        Whether guards depend on the order of the inputs in memory, as sums do, or what is a view of what.
    coarse : bool
        Whether the function uses another precision than float64, whatever that of its result is.
    task : Task
    """

    program: Program
    output: Structure
    primal: Structure
    count: int
    shapes: list[tuple[int, ...]]
    output_shapes: list[tuple[int, ...]]
    dtype: np.dtype
    seen: list[Any]
    writes: bool
    by_order: bool
    coarse: bool
    task: Task


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
    found: dict[str, Any] = {}

    def run(*values: Any) -> Results:
        slots = [v._slot for v in values]
        args, kwargs = arguments.rebuild(values[: len(arguments.inputs)])
        dots = list(values[len(arguments.inputs) :])
        traced = _record(f, task, args, kwargs, where, user_results)
        if longest is not None and max(len(traced.tape), *[len(v._tape) for v in values[:1]]) > longest:
            raise TooLong
        late = [] if task.kind != "map" else [(open_late(_tape_of(values), a), a) for a in _map_directions(traced)]
        dots += [v for v, _ in late]
        early = len(values[0]._tape.guards) if values else 0
        results, rest = _BODIES[task.kind](traced, dots, f)
        writes = any(v._slot != slot for v, slot in zip(values, slots, strict=True))
        found.update(traced=traced, seen=[primal_array(x) for x in results], writes=writes)
        coarse = bool(values) and _meets_other_precision(values[0]._tape)
        found.update(coarse=coarse)
        if arguments.numbers and coarse:
            raise WeakNumbers
        return Results([*results, *rest], early, len(results) if task.kind == "hvp" else 0, late)

    # Labels, masks and the like may steer Python; floats may not: their derivatives would be lost.
    points = [Argument(_example(x), POINT, x.dtype.kind == "f") for x in arguments.inputs]
    extra = _directions(task, arguments, directions, where)
    graph = trace(run, [*points, *extra])
    traced: Trace = found["traced"]
    leaves = traced.primal.leaves
    sections = _sections(task, len(points), len(extra), len(found["seen"]), len(leaves))
    with compiling():
        program = Program(graph, sections)
    return CompiledTask(
        program,
        LEAF if task.kind == "gauss_newton" else traced.output_structure,
        traced.primal.structure,
        len(found["seen"]),
        traced.primal.shapes,
        [value.shape for value in traced.values],
        traced.primal.dtype,
        found["seen"],
        found["writes"],
        graph.by_order,
        found["coarse"],
        task,
    )


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


def _record(
    f: Callable[..., Any], task: Task, args: list[Any], kwargs: dict[str, Any], where: str, user_results: bool = True
) -> Trace:
    if task.kind == "value":
        return Trace(Primal((), where), lambda _: f(*args, **kwargs), where=where, user_results=user_results)
    primal, numbers = chosen_arguments(args, task.argnums, where)

    def call(x: Any) -> Any:
        filled = replaced(args, task.argnums, numbers, x)
        return f.model(*f.split(filled)[0]) if isinstance(f, Composition) else f(*filled, **kwargs)

    traced = Trace(primal, call, where=where)
    if isinstance(f, Composition):
        traced.loss_args = f.split(args)[1]
    return traced


def plain_trace(f: Callable[..., Any], task: Task, arguments: Arguments, where: str, inputs: list[Any]) -> Trace:
    """Record a function without a program, at inputs that a program has kept."""
    args, kwargs = arguments.rebuild(inputs)
    return _record(f, task, args, kwargs, where)


def _directions(task: Task, arguments: Arguments, directions: Sequence[Any], where: str) -> list[Argument]:
    """Return examples of the directions that the program of a task takes besides the point; those of maps are opened late."""
    if task.kind in ("hvp", "product"):
        return [Argument(_example(v), POINT) for v in directions]
    if task.kind not in ("curvature", "gauss_newton"):
        return []
    args, _ = arguments.rebuild(arguments.inputs)
    primal, _ = chosen_arguments(args, task.argnums, where)
    return [Argument(np.zeros(primal.size, primal.dtype), DIRECTION)]


def _map_directions(traced: Trace) -> list[Argument]:
    """Return examples of a direction of the arguments and of one of the results, whose size is known when the function has run."""
    size = sum(int(np.size(value)) for value in traced.values)
    dtypes = [value.dtype for value in traced.values] or [np.dtype(float)]
    joint = np.result_type(traced.primal.dtype, *dtypes)
    return [
        Argument(np.zeros(traced.primal.size, joint), DIRECTION),
        Argument(np.zeros(size, np.result_type(*dtypes)), DIRECTION),
    ]


def _tape_of(values: Sequence[Any]) -> Tape:
    """Return the tape of the inputs; without inputs there is nothing to make a program of."""
    if not values:
        raise Entangled
    return values[0]._tape


def _value(traced: Trace, dots: list[Any], f: Any) -> Outputs:
    return traced.values, []


def _gradient(traced: Trace, dots: list[Any], f: Any) -> Outputs:
    value = traced.scalar()
    bars = traced.linearization().pullback([np.ones((), value.dtype)])
    return [value], traced.gradient_leaves(bars)


def _product(traced: Trace, dots: list[Any], f: Any) -> Outputs:
    linearized = HessianMap(traced)
    return traced.values, [*linearized.gradient, *linearized.products(dots)]


def _hvp(traced: Trace, dots: list[Any], f: Any) -> Outputs:
    return traced.values, HessianMap(traced).products(dots)


def _curvature(traced: Trace, dots: list[Any], f: Any) -> Outputs:
    linearized = HessianMap(traced)
    leaves = _leaves(dots[0], traced.primal)
    return traced.values, [join_vector(linearized.gradient), join_vector(linearized.products(leaves))]


def _map(traced: Trace, dots: list[Any], f: Any) -> Outputs:
    linearization, values = traced.linearization(), traced.values
    # Directions come in the precision of the operator, which is that of point and values together.
    pushed = _full(linearization.pushforward(split_vector(dots[0], traced.primal.shapes)), values, dots[0].dtype)
    bars = split_vector(dots[1], [v.shape for v in values])
    bars = [g.astype(v.dtype) if v.dtype.kind == "f" else g for g, v in zip(bars, values, strict=True)]
    x_bar = traced.gradient_leaves(linearization.pullback(bars))
    return values, [join_vector(pushed), join_vector(x_bar)]


def _gauss_newton(traced: Trace, dots: list[Any], f: Composition) -> Outputs:
    output = Primal(traced.values, "loss", "model(x)", traced.output_structure)
    loss = Trace(output, lambda z: f.loss(z, *traced.loss_args), where="loss")
    jacobian, curvature = traced.linearization(), HessianMap(loss)
    gradient = traced.gradient_leaves(jacobian.pullback(curvature.gradient))
    z_dots = _full(jacobian.pushforward(_leaves(dots[0], traced.primal)), traced.values)
    product = traced.gradient_leaves(jacobian.pullback(curvature.products(z_dots)))
    return [loss.scalar()], [join_vector(gradient), join_vector(product)]


def _full(tangents: list[Any], values: list[Any], dtype: np.dtype | None = None) -> list[Any]:
    """Return tangents of results, arrays of zeros where nothing depends."""
    return [np.zeros(v.shape, dtype or v.dtype) if t is None else t for t, v in zip(tangents, values, strict=True)]


def _leaves(vector: Any, primal: Primal) -> list[Any]:
    """Cut a raveled direction into the leaves of the point, each in its precision."""
    pieces = split_vector(vector, primal.shapes)
    return [
        piece if piece.dtype == x.dtype else piece.astype(x.dtype)
        for piece, x in zip(pieces, primal.leaves, strict=True)
    ]


_BODIES: dict[str, Callable[[Trace, list[Any], Any], Outputs]] = {
    "value": _value,
    "gradient": _gradient,
    "hvp": _hvp,
    "product": _product,
    "curvature": _curvature,
    "map": _map,
    "gauss_newton": _gauss_newton,
}


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
    if task.kind == "hvp":
        # The value is wanted for verification only.
        return [("run", list(range(points + extra)), list(range(values, values + leaves))), ("check", [], results)]
    more = {"value": 0, "gradient": leaves, "product": 2 * leaves}[task.kind]
    return [("run", list(range(points + extra)), list(range(values + more)))]


def compile_maps(maps: dict[str, tuple[Callable[[Any], Any], int, np.dtype]]) -> Program:
    """Compile linear maps of raveled vectors of some sizes, with everything else in them constant; a section each."""

    def run(*vectors: Any) -> Results:
        return Results([function(v) for (function, _, _), v in zip(maps.values(), vectors, strict=True)], 0)

    graph = trace(run, [Argument(np.zeros(n, dtype), DIRECTION) for _, n, dtype in maps.values()], borrows=True)
    sections: list[SectionSpec] = [("point", [], [])]
    with compiling():
        return Program(graph, [*sections, *((name, [i], [i]) for i, name in enumerate(maps))])


def check_recordable(f: Any) -> None:
    """Raise if ``f`` is not a function."""
    if not callable(f) or isinstance(f, Traced):
        raise OptionError(message("record", f"the first argument is {type(f).__name__}, not a function"))
