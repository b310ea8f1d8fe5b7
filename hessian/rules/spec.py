"""What a derivative rule is: four kinds of declaration, the registry and the dispatch table.

A *row* declares one operation and nothing else is ever written for it: the sweeps of :mod:`hessian.tape` interpret the
rows, the test suite walks them. The smallest kind that fits wins.

=================  ==================================================================================================
kind               the row gives
=================  ==================================================================================================
:class:`Elementwise`  first partials ``d1`` and, if known, the complete table ``d2`` of second partials
:class:`Linear`       the function and its transpose
:class:`Bilinear`     the function and the labels of its axes, such as ``"ij,jk->ik"``
:class:`General`      ``pushforward`` and ``pullback``, written in differentiable operations
=================  ==================================================================================================

Two declarations carry no derivative of their own: :class:`Nondifferentiable` (comparisons, ``floor``, ``argmax``: the
derivative is exactly zero where it exists) and :func:`~hessian.rules.dispatch.composite` (a function in terms of others).

*Batches.* Tangents and cotangents may carry leading batch axes. Every function in a row therefore acts on *trailing*
axes and lets any further leading axes broadcast; parameters are stored as negative axes or with the number of core axes.
What rows of every kind may say besides is said by :class:`~hessian.rules.operation.Operation`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from hessian.errors import MissingRuleError, OptionError, message
from hessian.rules import patterns
from hessian.rules.operation import MISSING, NONDIFF, OPERATIONS, ZERO, Operation, State, operation_named, register  # noqa: F401
from hessian.rules.samples import HALF_LINE, LINE, PLANE, A, Accuracy, Case, Sample, case  # noqa: F401
from hessian.rules.traced import Traced as Traced


class Elementwise(Operation):
    """A ufunc with its partial derivatives as data.

    Parameters
    ----------
    d1 : sequence
        One entry per argument: a function ``(y, *xs) -> partial`` that receives the primal output first, a constant, or
        a state (:data:`ZERO`, :data:`NONDIFF`, :data:`MISSING`).
    d2 : mapping or None
        ``{(i, j): function or constant}`` with ``i <= j``. Complete: an unlisted entry is an exact zero. ``None`` means
        unknown: the sweeps obtain it by running ``d1`` on duals.
    selects : bool
        A zero first partial means that the argument was *not taken*, so that nothing upstream of it matters there
        (``where``, ``maximum``): 0 * inf = 0 in the branch not taken.
    domain : sequence of (low, high)
        Where the function is smooth and the walks draw each argument; an end may be infinite.
    reference : str
        The function as ``"arguments: expression"`` in names of mpmath, from which the accuracy walk takes what value and
        partials truly are, such as ``"a, b: sqrt(a**2 + b**2)"``.
    points : sequence
        Where the walks look besides their grid: zeros, ends of the domain, infinities, ties, removable singularities.
        Numbers, or tuples of them where there are several arguments.
    variants : sequence of mapping
        Keywords the walks call the operation with, if it takes any.
    accuracy : Accuracy or None
        Only where 1e-13 is not reached: what is, and why.
    **fields
        Of :class:`~hessian.rules.operation.Operation`.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        d1: Sequence[Any],
        d2: Mapping[tuple[int, int], Any] | None,
        reference: str = "",
        points: Sequence[Any] = (),
        variants: Sequence[Mapping[str, Any]] = ({},),
        accuracy: Accuracy | None = None,
        selects: bool = False,
        domain: Sequence[tuple[float, float]] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(name, function, states=[e if isinstance(e, State) else None for e in d1], **fields)
        self.d2 = None if d2 is None else {**d2, **{(j, i): entry for (i, j), entry in d2.items()}}
        self.d1 = tuple(self._differentiable(i, len(d1), entry) for i, entry in enumerate(d1))
        self.formulas: tuple[Any, ...] = tuple(getattr(entry, "formula", entry) for entry in self.d1)
        self.reference = reference
        self.points = tuple(points)
        self.variants = tuple(variants)
        self.accuracy = accuracy
        self.selects = selects
        self.declares_domain = domain is not None
        self.domain = tuple(domain) if domain is not None else ((-2.0, 2.0),) * len(self.d1)
        # A sum needs none of its operands again; a product needs the others.
        self.retains = any(callable(entry) for entry in self.d1) or self.d2 is None or bool(self.d2)

    def _sparsity(self, y: Any, xs: Sequence[Any], params: dict[str, Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        jacobians, count = patterns.broadcast(y, xs), len(xs)
        curved = [(i, j) for i in range(count) for j in range(i, count) if self.d2 is None or self.d2.get((i, j), 0)]
        return jacobians, [(i, j, jacobians[i], jacobians[j]) for i, j in curved]

    def _differentiable(self, i: int, count: int, entry: Any) -> Any:
        """Return a first partial that knows its own derivatives, if the row has formulas for them."""
        slopes = [(self.d2 or {}).get((i, j)) for j in range(count)]
        knows = callable(entry) and entry is not primal and any(map(callable, slopes))
        return Partial(self, i, count, entry) if knows else entry


def primal(y: Any, *xs: Any) -> Any:
    """Return the primal output: the partial of a function that is its own derivative."""
    return y


class Partial(Elementwise):
    """The first partial of a row in one argument, as an operation of ``y, *xs`` whose own partials are the row's ``d2``.

    A gradient that is differentiated again then meets the same formulas as a Hessian-vector product. Where nothing will
    be differentiated, it is the formula it was declared by.
    """

    def __init__(self, row: Elementwise, position: int, count: int, formula: Callable[..., Any]) -> None:
        self.row, self.position, self.formula = row, position, formula
        entries = [(row.d2 or {}).get((position, j), ZERO) for j in range(count)]
        slopes = [self._slope(entry) if callable(entry) else entry for entry in entries]
        super().__init__(f"{row.name}_{position}", self._value, d1=[ZERO, *slopes], d2=None)

    def __call__(self, *operands: Any, **params: Any) -> Any:
        innermost, level, varies = None, -1.0, False
        for x, state in zip(operands, self.states or (), strict=True):
            if isinstance(x, Traced):
                varies = varies or state is None
                if x.trace_level > level:
                    innermost, level = x, x.trace_level
        if innermost is None or innermost.is_last or not varies:
            return self.formula(*operands, **params)
        return innermost.trace_apply(self, operands, params)

    def __reduce__(self) -> Any:
        return _partial_of, (self.row, self.position)

    def _value(self, y: Any, *xs: Any, **params: Any) -> Any:
        """Evaluate the formula, which may need only some of the arguments, to the shape of the result."""
        value = self.formula(y, *xs, **params)
        return value if value.shape == y.shape else np.broadcast_to(value, y.shape)

    def _slope(self, entry: Callable[..., Any]) -> Callable[..., Any]:
        """Return a second partial of the row as a first partial of this operation."""

        def slope(partial: Any, y: Any, *xs: Any, **params: Any) -> Any:
            # A y of an outer level than the arguments has lost how it depends on them.
            lost = _level(y) < max(map(_level, xs))
            return entry(self.row(*xs, **params) if lost else y, *xs, **params)

        return slope


def _partial_of(row: Elementwise, position: int) -> Any:
    return row.d1[position]


def _level(x: Any) -> float:
    return x.trace_level if isinstance(x, Traced) else -1.0


class Linear(Operation):
    """A linear map of one or more arrays.

    Parameters
    ----------
    transpose : callable
        ``(g, shape, **params)`` for one operand of the given shape; ``(g, positions, shapes, **params) -> list`` if ``variadic``.
    moves : bool
        Every output is a plain sum of inputs (reshaping, slicing, summing): zeros of its transpose are structural.
    pattern : "positions", "transpose", callable or None
        How the map says its sparsity: by its action on an array of positions, where it moves elements; by that of its transpose, where
        it adds them; by ``(y, xs, **params) -> matrices``; by its action on unit vectors (``None``, unless it ``moves``).
    moduli : callable or None
        ``(**params) -> params`` of the map whose coefficients are the moduli: what it takes to nothing does not matter.
    add_transpose : callable or None
        ``(into, g, **params)``: adds the transpose in place to a plain array, for maps that touch few of its entries.
    """

    retains = False

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        transpose: Callable[..., Any],
        variadic: bool = False,
        moves: bool = False,
        pattern: Any = None,
        moduli: Callable[..., Any] | None = None,
        add_transpose: Callable[..., None] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(name, function, **fields)
        self.transpose = transpose
        self.variadic = variadic
        self.moves = moves
        self.says: Any = pattern or ("positions" if moves else None)
        self.moduli = moduli
        self.add_transpose = add_transpose

    def _sparsity(self, y: Any, xs: Sequence[Any], params: dict[str, Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        def transposed(g: Any) -> Sequence[Any]:
            shapes = [np.shape(x) for x in xs]
            if self.variadic:
                return self.transpose(g, range(len(xs)), shapes, **params)
            return [self.transpose(g, shapes[0], **params)]

        function = partial(self.function, **params)
        if callable(self.says):
            return self.says(y, xs, **params), ()
        if self.says == "transpose":
            return patterns.moved_back(transposed, y, xs), ()
        return patterns.moved(function, xs) if self.says == "positions" else patterns.acting(function, y, xs), ()


class Bilinear(Operation):
    """A sum of products of two arguments along axes that they share; linear in each of them.

    Parameters
    ----------
    labels : str
        Core axes of the arguments and the result, such as ``"ij,jk->ik"``; leading axes broadcast against each other. Everything
        follows from them: the transposes, blocks of rows, products with many directions.
    """

    def __init__(self, name: str, function: Callable[..., Any], *, labels: str, **fields: Any) -> None:
        super().__init__(name, function, **fields)
        if not re.fullmatch("[a-zA-Z]*,[a-zA-Z]*->[a-zA-Z]*", labels):
            what = f"labels are {labels!r}, not those of two arguments and a result"
            raise OptionError(message(name, what, fix="Write one letter for each axis, as in 'ij,jk->ik'"))
        arguments, _, result = labels.partition("->")
        left, _, right = arguments.partition(",")
        self.labels: tuple[str, str, str] = (left, right, result)
        self.core: tuple[int, int, int] = (len(left), len(right), len(result))

    def _sparsity(self, y: Any, xs: Sequence[Any], params: dict[str, Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        of_product = patterns.products(self.labels, y, *xs)
        return of_product.jacobians, of_product.pairs

    @cached_property
    def transposes(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """``(g, b) -> a_bar`` and ``(g, a) -> b_bar``; broadcast loop axes are summed by the sweeps."""
        left, right, result = self.labels
        first, second = contraction(result, right, left), contraction(left, result, right)
        return first, lambda g, a: second(a, g)


def contraction(left: str, right: str, result: str) -> Callable[[Any, Any], Any]:
    """Return the sum of products over the given axes: a declared one, swapped and transposed where need be; else by ``einsum``."""
    if "" in (left, right) and left + right == result:
        opened = (..., *(None,) * len(result))
        return (lambda a, b: a[opened] * b) if not left else (lambda a, b: b[opened] * a)
    # A product that is there as it stands, then swapped, is better than one of transposes.
    for flips in sorted(itertools.product((False, True), repeat=3), key=lambda flips: sum(flips[1:])):
        swapped, left_turned, right_turned = flips
        ends = [left[::-1] if left_turned else left, right[::-1] if right_turned else right]
        for operation in OPERATIONS.values():
            if isinstance(operation, Bilinear) and _alike(
                [*(ends[::-1] if swapped else ends), result], operation.labels
            ):
                return partial(_contracted, operation, flips) if any(flips) else operation
    if not set(result) <= {*left, *right}:
        what = f"{left},{right}->{result} is no sum of products, and a transpose needs it"
        why = "An axis of one argument is neither shared nor in the result"
        raise MissingRuleError(message("rules", what, why, "Sum over that axis before the product"))
    return partial(np.einsum, f"...{left},...{right}->...{result}")


def _alike(labels: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether labels are the same but for the names of the axes."""
    names: dict[str, str] = {}
    if [len(a) for a in labels] != [len(b) for b in others]:
        return False
    pairs = list(zip("".join(labels), "".join(others), strict=True))
    return all(names.setdefault(a, b) == b for a, b in pairs) and len(set(names.values())) == len(names)


def _contracted(operation: Bilinear, flips: Sequence[bool], a: Any, b: Any) -> Any:
    swapped, left_turned, right_turned = flips
    a = a.swapaxes(-1, -2) if left_turned else a
    b = b.swapaxes(-1, -2) if right_turned else b
    return operation(b, a) if swapped else operation(a, b)


class General(Operation):
    """Anything else: a pushforward and a pullback written in differentiable operations.

    Parameters
    ----------
    pushforward : callable
        ``(y, xs, x_dots, **params) -> y_dot``; an entry of ``x_dots`` is ``None`` for an exact zero.
    pullback : callable
        ``(y, xs, y_bar, wanted, **params) -> list``; entries for arguments not ``wanted`` may be ``None``.
    pullback_of_tangent : callable or None
        ``(y, xs, y_bar_dot, x_dots, **params) -> list``: the pullback of the tangent of a cotangent, where it is not ``pullback``.
    prepare : callable or None
        ``(y, xs, **params) -> dict``: what both share and depends on the point alone; passed to them as keywords.
    curved : bool
        ``False`` for a piecewise linear operation: its pullback does not change with the point.
    pattern : "core", "axes", callable or None
        Which elements depend on each other: those of a core block (where ``core`` is given); those along the parameter ``axes``, which
        stay in the result, of length one or their own; by ``(y, xs, **params) -> matrices``; or all (``None``).
        Among what ``prepare`` returns, zeros of ``shares`` mark elements along ``axes`` that were not taken.
    singular : callable or None
        ``(y, **params) -> bool``: whether slopes may be infinite where the result, a plain array, is finite.
    runs : callable or None
        Of a function of somebody's that is run on traced values: ``(operands) -> tape, inputs, result``, the slots on its tape of the
        operands that have derivatives and of the result.
    core : tuple of int or None
        Core axes of each argument (then of the result), when leading axes of the arguments broadcast against each
        other; ``None`` when every axis is a core axis and the parameters count axes from the end.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        pushforward: Callable[..., Any],
        pullback: Callable[..., Any],
        pullback_of_tangent: Callable[..., Any] | None = None,
        prepare: Callable[..., dict[str, Any]] | None = None,
        curved: bool = True,
        pattern: Any = None,
        singular: Callable[..., bool] | None = None,
        runs: Callable[..., Any] | None = None,
        core: tuple[int, ...] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(name, function, **fields)
        self.runs = runs
        self.pushforward = pushforward
        self.pullback = pullback
        self.pullback_of_tangent = pullback_of_tangent
        self.prepare = prepare
        self.curved = curved
        self.says: Any = pattern or ("core" if core is not None else None)
        self.along_axes = pattern == "axes"
        self.singular = singular
        self.core = core

    def _sparsity(self, y: Any, xs: Sequence[Any], params: dict[str, Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        if self.says in ("core", "axes"):
            of_y, members = patterns.blocks(self.core, y, xs) if self.core else patterns.lines(params["axes"], y, xs)
            jacobians = [of_y @ matrix for matrix in members]
        else:
            said = patterns.dense(y, xs) if self.says is None else self.says(y, xs, **params)
            jacobians = members = [patterns.as_matrix(matrix) for matrix in said]
        pairs = combinations_with_replacement(range(len(xs)), 2) if self.curved else ()
        return jacobians, [(i, j, members[i], members[j]) for i, j in pairs]


class Nondifferentiable(Operation):
    """An operation whose result carries no derivative: comparisons, rounding, index searches."""

    differentiable = False
    retains = False


def linear(name: str, function: Callable[..., Any], **row: Any) -> Linear:
    """Enter a row into the registry."""
    return register(Linear(name, function, **row))


def bilinear(name: str, function: Callable[..., Any], **row: Any) -> Bilinear:
    """Enter a row into the registry."""
    return register(Bilinear(name, function, **row))


def general(name: str, function: Callable[..., Any], **row: Any) -> General:
    """Enter a row into the registry."""
    return register(General(name, function, **row))


def nondifferentiable(name: str, function: Callable[..., Any], **row: Any) -> Nondifferentiable:
    """Enter a row into the registry."""
    return register(Nondifferentiable(name, function, **row))


def finite(x: Any) -> Any:
    """Return x, zero where it is infinite: for products with a factor that vanishes there faster than x grows."""
    return np.where(np.isinf(x), 0.0, x)
