r"""Taylor arithmetic: all coefficients of a recorded function along a line in one sweep over its tape.

A value is :math:`\sum_k c_k t^k`. Linear operations act on every coefficient, products are Cauchy products, and any other
operation follows from its first derivative alone: from :math:`y' = d(x) x'`,

.. math:: k y_k = \sum_{j=1}^{k} j\, x_j\, d_{k-j}.

Here d is made of operations that have rows as well, so its coefficients come the same way, one order lower; they are computed when
they are asked for, and an operation met again on the same values is the same series. So the partials of ``sin`` and ``cos``, or of
``exp`` and ``tanh``, close upon themselves, and an operation takes some :math:`p^2/2` products in all.

Reference: Griewank & Walther, *Evaluating Derivatives* (2008), section 13.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.rules.elementwise import divide, multiply
from hessian.rules.spec import Bilinear, Elementwise, Linear, Operation
from hessian.rules.traced import PLAIN
from hessian.tape.array_steps import LinearStep
from hessian.tape.steps import added, added_in_place, scaled, suspicious
from hessian.tape.sweeps import in_place, output_slot
from hessian.tape.tape import Instruction, Tape
from hessian.tape.variable import Variable, variable


class Series:
    """Coefficients of a value, computed in order when they are asked for; ``None`` is an exact zero.

    Parameters
    ----------
    known : list
        The first ones.
    following : callable
        From k, and all before it, to coefficient k.
    """

    __slots__ = ("_following", "_slope", "known")

    def __init__(self, known: list[Any], following: Callable[[int], Any]) -> None:
        self.known = known
        self._following = following
        self._slope: Series | None = None

    def __getitem__(self, k: int) -> Any:
        while len(self.known) <= k:
            self.known.append(self._following(len(self.known)))
        return self.known[k]

    @property
    def slope(self) -> Series:
        """The derivative along the line, whose first coefficient is an array."""
        if self._slope is None:
            first = np.zeros_like(self.known[0]) if self[1] is None else self[1]
            self._slope = Series([first], lambda k: None if self[k + 1] is None else (k + 1) * self[k + 1])
        return self._slope

    def settle(self, order: int) -> None:
        """Compute the coefficients up to an order, and forget how the rest would be."""
        _ = self[order]
        self._following, self._slope = _zero, None


def _zero(k: int) -> None:
    return None


def taylor_sweep(
    tape: Tape, inputs: Sequence[int], dots: Sequence[Any], outputs: Sequence[int | None], order: int
) -> list[list[Any]]:
    """Return the coefficients from 1 to ``order`` of each output for inputs that move along ``dots``; ``None`` is an exact zero."""
    table = taylor_table(tape, inputs, dots, outputs, order, keep=False)
    columns: list[list[Any]] = []
    for slot in outputs:
        series = None if slot is None else table[slot]
        columns.append([None] * order if series is None else [series[k] for k in range(1, order + 1)])
    return columns


def taylor_table(
    tape: Tape,
    inputs: Sequence[int],
    dots: Sequence[Any],
    outputs: Sequence[int | None],
    order: int,
    *,
    keep: bool = True,
) -> list[Series | None]:
    """Return the series of all slots on the way to an output; unless they are kept, of the outputs."""
    table: list[Series | None] = [None] * len(tape)
    for slot, t in zip(inputs, dots, strict=True):
        table[slot] = Series([tape.values[slot], t], _zero)
    last = _last_uses(tape, outputs)
    with np.errstate(all="ignore"):
        for slot, instruction in enumerate(tape.instructions):
            if instruction is None or last[slot] < 0 or not tape.active[slot]:
                continue
            sources = [table[s] if s >= 0 else None for s in instruction.sources]
            series = _Formulas().series_of(instruction, sources, tape.values[slot])
            series.settle(order)
            table[slot] = series
            for source in () if keep else instruction.sources:
                if source >= 0 and last[source] == slot:
                    table[source] = None
    return table


def _last_uses(tape: Tape, outputs: Sequence[int | None]) -> list[int]:
    """Return for each slot the last instruction that reads it on the way to an output; -1 if none does."""
    last = [-1] * len(tape)
    for slot in outputs:
        if slot is not None:
            last[slot] = len(tape)
    for slot in range(len(tape) - 1, -1, -1):
        instruction = tape.instructions[slot]
        if instruction is not None and last[slot] >= 0:
            for source in instruction.sources:
                if source >= 0:
                    last[source] = max(last[source], slot)
    return last


class _Formulas:
    """The series of one operation and of the formulas its derivative is made of, each made once."""

    def __init__(self) -> None:
        self._known: dict[Any, Series] = {}
        # What a key names by its identity must outlive the key.
        self._named: list[Any] = []

    def series_of(self, instruction: Instruction, sources: Sequence[Series | None], y: Any) -> Series:
        """Return the series of an operation on operands with series, or constant ones (``None``)."""
        operation, params = instruction.operation, instruction.params
        states = operation.states or (None,) * len(sources)
        moving = {p: s for p, s in enumerate(sources) if s is not None and states[p] is None}
        key = (
            operation,
            *map(self._key, sources, instruction.operands),
            *((name, self._named_key(x)) for name, x in params.items()),
        )
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Series([y], _zero)
            known._following = self._rule(operation, instruction.operands, moving, params, known)
        return known

    def _key(self, source: Series | None, operand: Any) -> Any:
        return self._named_key(operand if source is None else source)

    def _named_key(self, x: Any) -> Any:
        if type(x) in PLAIN and not isinstance(x, slice):
            return type(x), x
        self._named.append(x)
        return id(x)

    def _rule(
        self,
        operation: Operation,
        operands: tuple[Any, ...],
        moving: dict[int, Series],
        params: dict[str, Any],
        y: Series,
    ) -> Callable[[int], Any]:
        """Return the map from k to coefficient k."""
        if not moving:
            return _zero
        if isinstance(operation, Linear):
            step = LinearStep(operation, operands, tuple(moving), y[0], params)
            return lambda k: step.pushforward([x[k] for x in moving.values()], 0)
        if isinstance(operation, Bilinear) or operation is multiply:
            return lambda k: _cauchy(operation, operands, moving, params, k)
        if operation is divide:
            return lambda k: _quotient(operands, moving, y, k)
        if isinstance(operation, Elementwise):
            return self._elementwise(operation, operands, moving, params, y)
        return self._general(operation, operands, moving, params, y)

    def _elementwise(
        self,
        operation: Elementwise,
        operands: tuple[Any, ...],
        moving: dict[int, Series],
        params: dict[str, Any],
        y: Series,
    ) -> Callable[[int], Any]:
        dtype, shape = y[0].dtype, y[0].shape
        partials: dict[int, Series] = {}

        def formula(position: int) -> Callable[..., Any]:
            def partial(y: Any, *xs: Any) -> Any:
                full = list(operands)
                for p, x in zip(moving, xs, strict=True):
                    full[p] = x
                # Partials of integers would overflow where the value does not.
                states = operation.states or (None,) * len(full)
                cast = [
                    x if s is not None or getattr(x, "dtype", dtype) == dtype else x.astype(dtype)
                    for x, s in zip(full, states, strict=True)
                ]
                return operation.d1[position](y, *cast, **params)

            return partial

        def following(k: int) -> Any:
            total = None
            for p, x in moving.items():
                entry = operation.d1[p]
                if callable(entry) and p not in partials:
                    partials[p] = self.record(formula(p), [y, *moving.values()])
                term = scaled(entry, x[k]) if not callable(entry) and x[k] is not None else None
                if callable(entry):
                    term = _slope_term(x, partials[p], k, operation.selects)
                total = added(total, term)
            if total is None or total.shape == shape:
                return total
            return np.broadcast_to(total, shape)

        return following

    def _general(
        self, operation: Any, operands: tuple[Any, ...], moving: dict[int, Series], params: dict[str, Any], y: Series
    ) -> Callable[[int], Any]:
        slope: list[Series] = []

        def pushforward(y: Any, *values: Any) -> Any:
            full, dots = list(operands), [None] * len(operands)
            for i, p in enumerate(moving):
                full[p], dots[p] = values[i], values[len(moving) + i]
            residuals = {} if operation.prepare is None else operation.prepare(y, full, **params)
            return operation.pushforward(y, full, dots, **params, **residuals)

        def following(k: int) -> Any:
            if not slope:
                slope.append(self.record(pushforward, [y, *moving.values(), *(x.slope for x in moving.values())]))
            term = slope[0][k - 1]
            return None if term is None else term / k

        return following

    def record(self, function: Callable[..., Any], arguments: Sequence[Series]) -> Series:
        """Record a formula at the first coefficients of series, and return its own series."""
        tape = Tape()
        variables = [variable(tape, tape.add_input(x[0]), x[0]) for x in arguments]
        try:
            result = in_place(function(*variables))
        finally:
            tape.close()
        out = output_slot(tape, result)
        if out is None:
            value = result._value if isinstance(result, Variable) and result._tape is tape else result
            return Series([value], _zero)
        table: list[Series | None] = [*arguments, *[None] * (len(tape) - len(arguments))]
        last = _last_uses(tape, [out])
        for slot, instruction in enumerate(tape.instructions):
            if instruction is not None and last[slot] >= 0 and tape.active[slot]:
                sources = [table[s] if s >= 0 else None for s in instruction.sources]
                table[slot] = self.series_of(instruction, sources, tape.values[slot])
        found = table[out]
        assert found is not None
        return found


def _cauchy(
    operation: Operation, operands: tuple[Any, ...], moving: dict[int, Series], params: dict[str, Any], k: int
) -> Any:
    """Return coefficient k of a product."""
    if len(moving) == 1:
        ((p, x),) = moving.items()
        pairs = [(x[k], operands[1]) if p == 0 else (operands[0], x[k])]
    else:
        pairs = [(moving[0][i], moving[1][k - i]) for i in range(k + 1)]
    total = None
    for a, b in pairs:
        if a is not None and b is not None:
            term = operation(a, b, **params)
            total = term if total is None else added_in_place(total, term)
    return total


def _quotient(operands: tuple[Any, ...], moving: dict[int, Series], y: Series, k: int) -> Any:
    """Return coefficient k of y = a / b: of b y = a."""
    change = moving[0][k] if 0 in moving else None
    for j in range(1, k + 1) if 1 in moving else ():
        b, quotient = moving[1][j], y[k - j]
        if b is not None and quotient is not None:
            change = -(b * quotient) if change is None else change - b * quotient
    if change is None:
        return None
    quotient = change / operands[1]
    return quotient if quotient.shape == y[0].shape else np.broadcast_to(quotient, y[0].shape)


def _slope_term(x: Series, partial: Series, k: int, selects: bool) -> Any:
    """Return what an argument adds to coefficient k: Σ j x_j d_{k-j} / k."""
    total = None
    for j in range(1, k):
        if x[j] is not None and partial[k - j] is not None:
            term = partial[k - j] * x.slope[j - 1]
            total = term if total is None else added_in_place(total, term)
    if type(total) is np.ndarray:
        total /= k
    elif total is not None:
        total = total / k
    if x[k] is None:
        return total
    first = scaled(partial[0], x[k])
    if selects and suspicious(first):
        first = np.where(
            np.not_equal(partial[0], 0), first, np.zeros((), first.dtype)
        )  # of what was not taken, nothing matters
    return added(total, first)
