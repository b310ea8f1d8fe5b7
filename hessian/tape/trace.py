"""Recording a user's function: from arguments to a tape, with checks at the door."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hessian.errors import (
    DtypeError,
    HessianError,
    NotScalarError,
    OptionError,
    ShapeMismatchError,
    StaleVariableError,
    message,
)
from hessian.rules.lines import scipy_functions
from hessian.rules.traced import Traced, entered
from hessian.rules.twins import twin_of
from hessian.tape.blank import unwrapped
from hessian.tape.creation import creating
from hessian.tape.handle import settled
from hessian.tape.numbers import check_numbers
from hessian.tape.sweeps import Linearization, output_slot
from hessian.tape.tape import Tape
from hessian.tape.trees import COMPLEX, Structure, flatten, holds_traced
from hessian.tape.variable import Variable, variable


def as_primal(leaf: Any, where: str, name: str = "argument x") -> Any:
    """Return a leaf as a float array of its own (or a traced value), or raise."""
    leaf = settled(leaf)
    if isinstance(leaf, Traced):
        value: Any = leaf.frozen()
    elif isinstance(leaf, np.ndarray) and leaf.dtype.hasobject:
        value = entered(leaf)
    else:
        check_numbers(leaf, where, name)
        value = np.array(leaf)
        value = value if isinstance(leaf, np.ndarray) or value.dtype.hasobject else value[()]
    kind = value.dtype.kind
    if kind in "iub":
        short = name.removeprefix("argument ")
        raise DtypeError(
            message(
                where,
                f"{name} has dtype {value.dtype}",
                "integers are not differentiable",
                f"Pass floats: {short}.astype(float), or 3.0 instead of 3",
            )
        )
    if kind != "f" or value.dtype.itemsize not in (4, 8):
        why = "only numbers of single and double precision are differentiated"
        raise DtypeError(message(where, f"{name} has dtype {value.dtype}", why, "Pass float64 arrays"))
    return value


class Primal:
    """The point of differentiation: leaves as arrays, and the structure they came in.

    Parameters
    ----------
    x : array or container of arrays
    where : str
        For error messages.
    name : str or list of str
        Likewise; a list names the parts of a tuple.
    structure : Structure, optional
        Given where x is the list of leaves already.
    """

    def __init__(self, x: Any, where: str, name: str | list[str] = "x", structure: Structure | None = None) -> None:
        leaves, self.structure = flatten(x) if structure is None else (list(x), structure)
        parts = [(self.structure, name)] if isinstance(name, str) else zip(self.structure.children, name, strict=True)
        paths = [path for part, user_results in parts for path in part.paths(user_results)]
        self.leaves: list[Any] = [
            as_primal(leaf, where, f"argument {path}") for leaf, path in zip(leaves, paths, strict=True)
        ]
        self.shapes: list[tuple[int, ...]] = [leaf.shape for leaf in self.leaves]
        self.where = where

    @property
    def size(self) -> int:
        """Total number of entries."""
        return sum(map(math.prod, self.shapes))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of raveled vectors."""
        dtypes = {leaf.dtype for leaf in self.leaves} or {np.dtype(float)}
        return np.result_type(*dtypes) if len(dtypes) > 1 else dtypes.pop()

    def build(self, leaves: Sequence[Any]) -> Any:
        """Put leaves into the structure of x."""
        return self.structure.build(leaves)

    def tangent_leaves(self, v: Any, name: str = "v") -> tuple[list[Any], tuple[int, ...]]:
        """Return the leaves of a tangent and its common batch shape, or raise."""
        given = self._columns_of(v)
        given = self.structure.leaves_of(v if given is None else given, self.where, name)
        for leaf, path in zip(given, self.structure.paths(name), strict=True):
            check_numbers(leaf, self.where, path, lists=True)
        leaves = [x if isinstance(x, Traced) else np.asarray(x) for x in given]
        batches = set()
        for leaf, x in zip(leaves, self.leaves, strict=True):
            batch = leaf.shape[: max(leaf.ndim - x.ndim, 0)]
            if leaf.shape[len(batch) :] != x.shape or leaf.ndim < x.ndim:
                raise ShapeMismatchError(
                    message(
                        self.where,
                        f"tangent {name} has shape {leaf.shape}, primal has shape {x.shape}",
                        "A tangent lives in the space of its primal",
                        f"Pass {name} with shape {x.shape}, or with leading batch axes before it",
                    )
                )
            if leaf.dtype.kind not in "fiub":
                raise DtypeError(message(self.where, f"tangent {name} has dtype {leaf.dtype}", fix="Pass real numbers"))
            batches.add(batch)
        if len(batches) > 1:
            what = f"leaves of {name} have different batch shapes {sorted(batches)}"
            raise ShapeMismatchError(message(self.where, what, fix="Give every leaf the same leading axes"))
        leaves = [
            leaf if leaf.dtype == x.dtype else leaf.astype(x.dtype) for leaf, x in zip(leaves, self.leaves, strict=True)
        ]
        return leaves, next(iter(batches), ())

    def _columns_of(self, v: Any) -> list[Any] | None:
        """Return the columns of an array as a list, if x is a list of numbers; else ``None``."""
        flat = self.structure.kind in (list, tuple) and all(child.kind is None for child in self.structure.children)
        if not flat or any(self.shapes) or not (isinstance(v, Traced) or isinstance(v, np.ndarray)):  # noqa: SIM101
            return None
        if not v.ndim or v.shape[-1] != len(self.shapes):
            return None
        columns: Any = v
        return [columns[..., i] for i in range(len(self.shapes))]


class Trace:
    """A function recorded at a point.

    Attributes
    ----------
    tape : Tape
    inputs : list of int
        Slots of the leaves of the differentiated argument.
    primal : Primal
    output_structure : Structure
    values : list
        Leaves of the result: plain arrays, or values of outer tapes.
    slots : list of int or None
        Their slots; ``None`` for a leaf that depends on no input.
    aux : Any
        The second result when ``has_aux``.

    Notes
    -----
    ``user_results=False`` says that the function is made by the library and returns derivatives: what a program of it computes need
    only be right up to rounding.
    """

    def __init__(
        self,
        primal: Primal,
        call: Callable[[Any], Any],
        *,
        where: str,
        has_aux: bool = False,
        user_results: bool = True,
        tape: Tape | None = None,
    ) -> None:
        self.where = where
        self.primal = primal
        # Where this is a model with a loss to come: the arguments of the loss.
        self.loss_args: tuple[Any, ...] = ()
        self.tape = Tape() if tape is None else tape
        variables = [variable(self.tape, self.tape.add_input(x), x) for x in primal.leaves]
        # In-place assignment may move a variable away from its input slot.
        self.inputs = [v._slot for v in variables]
        self.aux: Any = None
        try:
            argument = primal.build(variables)
            with creating():
                result = call(argument)
            if has_aux:
                result = self._take_aux(result)
            leaves, self.output_structure = flatten(result)
            # Stacking scalars into one result is still part of the recording.
            leaves = [self._as_result(leaf) for leaf in leaves]
        except Exception as error:
            _explain(error, where)
            kind = primal.structure.kind
            told = any(words in str(error) for words in ("'list'", "'tuple'", "multiply sequence"))
            if isinstance(error, TypeError) and kind in (list, tuple) and told:
                error.add_note(
                    f"{where}: x is a {kind.__name__}, and so it is in the function. Pass np.array(x) for an array."
                )
            raise
        finally:
            self.tape.close()
        self.slots = [output_slot(self.tape, leaf) for leaf in leaves]
        self.values = [self._plain(leaf) for leaf in leaves]
        if user_results:
            _mark_user_results(self.values)

    def _take_aux(self, result: Any) -> Any:
        if not (isinstance(result, tuple) and len(result) == 2):
            what = f"with has_aux=True the function must return (value, aux), it returned a {result.__class__.__name__}"
            raise OptionError(message(self.where, what))
        # What holds nothing traced is handed on as it is.
        leaves, structure = flatten(unwrapped(result[1]), whole=lambda tree: not holds_traced(tree))
        leaves = [entered(x) if isinstance(x, np.ndarray) and x.dtype.hasobject else x for x in leaves]
        for leaf in leaves:
            if isinstance(leaf, Variable):
                self._check_open(leaf)
        self.aux = structure.build([detached(self._plain(x)) if isinstance(x, Traced) else x for x in leaves])
        return result[0]

    def _as_result(self, leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray) and leaf.dtype.hasobject:
            leaf = entered(leaf)
        if isinstance(leaf, Variable):
            self._check_open(leaf)
        if isinstance(leaf, Traced):
            return leaf
        array = np.asarray(unwrapped(leaf))
        if array.dtype.kind not in "fiub":
            what = (
                f"the function returned {leaf!r}" if array.dtype.hasobject else f"the function returned {array.dtype}"
            )
            why = "a derivative needs real numbers"
            raise DtypeError(message(self.where, what, why, "Return the result from the function"))
        return array

    def _check_open(self, leaf: Variable) -> None:
        if leaf._tape.closed:
            what = "the function returned a traced value of an earlier recording"
            why = "it does not depend on the arguments of this call"
            if leaf._tape.private:
                what = (
                    "the function returned a traced value that left a checkpointed function by another way than return"
                )
                why = "its derivative is lost"
            raise StaleVariableError(message(self.where, what, why, "Compute the result from the arguments"))
        leaf.check_fresh()

    def _plain(self, leaf: Any) -> Any:
        """Strip this tape's layer from a value."""
        return leaf._value if isinstance(leaf, Variable) and leaf._tape is self.tape else leaf

    def scalar(self) -> Any:
        """Return the value of a function that must return one real number, or raise."""
        if len(self.values) != 1 or self.output_structure.kind is not None:
            what = f"the function returned {self.output_structure.describe()}"
            fix = "Return a scalar, or use hs.jacobian"
            if self.output_structure == COMPLEX:
                what = f"the function returned complex numbers of shape {self.values[0].shape}"
                fix = "Return a real number, such as z.real or np.abs(z) ** 2, or use hs.jacobian"
            if self.output_structure.kind is tuple and len(self.values) == 2:
                fix = "Pass has_aux=True if the second is an extra result; else return a scalar, or use hs.jacobian"
            raise NotScalarError(message(self.where, what, "a gradient needs one number", fix))
        value = self.values[0]
        if value.size != 1 or value.ndim:
            raise NotScalarError(
                message(
                    self.where,
                    f"the function returned an array of shape {value.shape}",
                    "a gradient needs one number",
                    "Return a scalar (np.sum, x[0]), or use hs.jacobian",
                )
            )
        if value.dtype.kind != "f":
            what = f"the function returned a value of dtype {value.dtype}"
            raise DtypeError(message(self.where, what, "its derivative is not defined", "Return a float"))
        return value

    def linearization(self) -> Linearization:
        """Linearise at the recorded point."""
        return Linearization(self.tape, self.inputs, self.slots)

    def gradient_leaves(self, leaves: Sequence[Any], batch: tuple[int, ...] = ()) -> list[Any]:
        """Turn cotangents of the inputs into results: own memory, right dtype, zeros where nothing depends."""
        return [
            detached(np.zeros(batch + x.shape) if leaf is None else leaf, x.dtype)
            for leaf, x in zip(leaves, self.primal.leaves, strict=True)
        ]


def _mark_user_results(values: Sequence[Any]) -> None:
    """Tell the tapes around a recording which of their values a function has returned."""
    for value in values:
        while isinstance(value, Variable):
            value._tape.user_results.add(value._slot)
            value = value._value


# What NumPy and SciPy say of arrays of objects.
_OF_OBJECTS = (
    "dtype('O')",
    "loop of ufunc does not support argument",
    "not supported for the input types",
    "dtype object",
)


# What compiled code says of the classes that stand for arrays and numbers.
_OF_MEMORY = re.compile(r"\b(Array|Number|Blank)\b")


def _explain(error: Exception, where: str) -> None:
    """Add to an exception that NumPy raised what it means for a traced value."""
    # SciPy's compiled solvers raise a class of their own, or go on with an exception set.
    is_of_arrays = isinstance(error, TypeError | ValueError | SystemError) or type(error).__name__ == "error"
    if isinstance(error, HessianError) or not is_of_arrays:
        return
    if isinstance(error.__cause__, HessianError):
        error.add_note(str(error.__cause__))
    elif twin := next(filter(None, map(twin_of, scipy_functions(error))), ""):
        error.add_note(f"{where}: SciPy's function takes plain arrays. Use {twin}, which takes traced values.")
    elif any(words in str(error) for words in _OF_OBJECTS):
        error.add_note(
            f"{where}: NumPy takes a list, or an object array, of traced numbers for objects that are no numbers. Make it one traced "
            "array first: f(np.stack(list)) instead of f(list)."
        )
    elif isinstance(error, TypeError) and _OF_MEMORY.search(str(error)):
        error.add_note(
            f"{where}: compiled code asks for the memory of a traced value, or of an array that the function has made. Use functions "
            "of NumPy instead (A @ x for A.dot(x)); make plain arrays outside of the function."
        )


def detached(value: Any, dtype: np.dtype | None = None) -> Any:
    """Return a plain array that shares memory with nothing (numbers as NumPy scalars); traced values pass."""
    if isinstance(value, Traced):
        return value.frozen() if dtype is None or value.dtype == dtype else value.astype(dtype)
    return np.array(value, dtype=dtype)[()]


def trace(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any] | None = None,
    *,
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    where: str,
) -> Trace:
    """Record ``f(*args, **kwargs)`` as a function of the arguments numbered ``argnums``."""
    if not callable(f):
        raise OptionError(message(where, f"the first argument is {type(f).__name__}, not a function"))
    # A recorded function that is recorded once more has nothing to replay.
    f = getattr(f, "plain_function", f)
    primal, numbers = chosen_arguments(args, argnums, where)

    return Trace(
        primal,
        lambda x: f(*replaced(args, argnums, numbers, x), **(kwargs or {})),
        where=where,
        has_aux=has_aux,
    )


def replaced(args: Sequence[Any], argnums: int | tuple[int, ...], numbers: tuple[int, ...], x: Any) -> list[Any]:
    """Return arguments with those that are differentiated replaced: by x, or by its parts where ``argnums`` is a tuple."""
    filled = list(args)
    for i, part in zip(numbers, (x,) if isinstance(argnums, int) else x, strict=True):
        filled[i] = part
    return filled


def chosen_arguments(args: Sequence[Any], argnums: int | tuple[int, ...], where: str) -> tuple[Primal, tuple[int, ...]]:
    """Return the arguments that are differentiated, and their numbers."""
    numbers = check_argnums(argnums, len(args), where)
    names = ["x" if i == 0 else f"args[{i}]" for i in numbers]
    if isinstance(argnums, int):
        return Primal(args[numbers[0]], where, names[0]), numbers
    return Primal(tuple(args[i] for i in numbers), where, names), numbers


def check_argnums(argnums: Any, count: int, where: str) -> tuple[int, ...]:
    """Return argument numbers as a tuple of valid positions, or raise."""
    if type(argnums) is int and 0 <= argnums < count:
        return (argnums,)
    numbers = (argnums,) if isinstance(argnums, int) and not isinstance(argnums, bool) else argnums
    if not isinstance(numbers, tuple | list) or not numbers or not all(isinstance(i, int) for i in numbers):
        raise OptionError(message(where, f"argnums is {argnums!r}", fix="Pass an integer or a tuple of integers"))
    if any(not -count <= i < count for i in numbers):
        what = f"argnums={argnums!r}, but the function was called with {count} positional argument(s)"
        raise OptionError(message(where, what, fix="Pass differentiated arguments by position"))
    positions = tuple(i % count for i in numbers)
    if len(set(positions)) != len(positions):
        raise OptionError(message(where, f"argnums={argnums!r} names an argument twice"))
    return positions
