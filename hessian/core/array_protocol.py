"""What makes a value look like an array to NumPy: the two dispatch protocols, operators and methods.

:class:`Variable` and :class:`Dual` inherit all of it; a subclass only says how one operation is applied.
"""

from __future__ import annotations

import linecache
import os
import re
import sys
from typing import Any, NoReturn

import numpy as np
import scipy.sparse

from hessian.errors import LeavesTapeError, MissingRuleError, OptionError, message
from hessian.rules import elementwise as ew
from hessian.rules import indexing, products, shaping
from hessian.rules.shaping import astype_op, cast_op
from hessian.rules.spec import DISPATCH, MISSING, Operation, Traced, nearest_supported, public_name
from hessian.rules.special import TWINS

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_REDUCTIONS = {
    ("add", "reduce"): np.sum,
    ("multiply", "reduce"): np.prod,
    ("maximum", "reduce"): np.max,
    ("minimum", "reduce"): np.min,
    ("logical_and", "reduce"): np.all,
    ("logical_or", "reduce"): np.any,
    ("add", "accumulate"): np.cumsum,
    ("multiply", "accumulate"): np.cumprod,
}


def _user_frame() -> tuple[Any, set[str]]:
    """Return the innermost frame outside this package, NumPy and SciPy, and the functions of theirs it called."""
    frame: Any = sys._getframe(1)
    library_functions: set[str] = set()
    while frame is not None:
        name = frame.f_code.co_filename
        module = frame.f_globals.get("__name__", "").partition(".")[0]
        if module not in ("numpy", "scipy", "contextlib", "functools") and not name.startswith(_PACKAGE):
            break
        library_functions.add(frame.f_code.co_name)
        frame = frame.f_back
    return frame, library_functions


def _source_line(frame: Any) -> str:
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() if frame is not None else ""


def user_line() -> str:
    """Return ``file:line: source`` of the line of user code that is running."""
    frame, _ = _user_frame()
    if frame is None:
        return "an unknown line"
    source = _source_line(frame)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" + (f": {source}" if source else "")


# What a line that loses a derivative looks like, and what to write instead.
_ADVICE = (
    (re.compile(r"\bmath\.(\w+)\("), r"Use np.\1 rather than math.\1"),
    (re.compile(r"\.dot\("), "Use A @ x rather than A.dot(x)"),
    (
        re.compile(r"\]\s*[-+*/]?=(?!=)"),
        "Assign into np.zeros_like(x) (x traced) rather than into a plain array, or use np.stack",
    ),
    (re.compile(r"\.item\("), "Use x[i] without .item()"),
    (re.compile(r"\.tolist\("), "Use list(x)"),
    (re.compile(r"\b(?:as\w*)?array\("), "Use x itself: it already is an array"),
    (re.compile(r"\b(?:float|complex|int)\("), "Use x itself, without the conversion to a Python number"),
)


def leaves_tape(how: str, fix: str = "") -> NoReturn:
    """Raise the error for a traced value that was about to become plain numbers, with advice read off the user's line."""
    frame, library_functions = _user_frame()
    source = _source_line(frame)
    twins = sorted(library_functions & TWINS.keys())
    advice = [f"Use hessian.special.{name}, which takes traced values" for name in twins]
    advice += [pattern.sub(text, found.group()) for pattern, text in _ADVICE if (found := pattern.search(source))]
    # Not every function of math has a namesake in NumPy.
    advice = [
        line for line in advice if not line.startswith("Use np.") or hasattr(np, line.split()[1].removeprefix("np."))
    ]
    raise LeavesTapeError(
        message(
            how,
            f"a traced value would become plain numbers at {user_line()}",
            "its derivative would be lost",
            ". ".join(advice) or fix or "Apply np functions to x directly",
        )
    )


def missing_rule(target: Any, args: tuple[Any, ...]) -> NoReturn:
    """Raise the error for an operation without a derivative rule."""
    name = public_name(target)
    at = next((i for i, x in enumerate(args) if isinstance(x, Traced)), 0)
    shape = getattr(args[at], "shape", ()) if args else ()
    twin = TWINS.get(name.rsplit(".", 1)[-1])
    nearest = f"hessian.special.{twin.__name__}" if twin else nearest_supported(name.rsplit(".", 1)[-1])
    raise MissingRuleError(
        message(
            name,
            f"no derivative rule, called with a traced value of shape {shape} as argument {at} at {user_line()}",
            "its derivative would be lost",
            (f"The nearest supported operation is {nearest}; " if nearest else "")
            + "write it in supported operations or declare it with a row in hessian.rules",
        )
    )


def reaches_rule(operation: Operation, carrying: list[bool]) -> bool:
    """Tell whether an operand that carries a derivative stands where the operation has one; raise if it is missing."""
    if not operation.differentiable:
        return False
    states = operation.states or (None,) * len(carrying)
    reached = [state for carries, state in zip(carrying, states, strict=True) if carries]
    if any(state is MISSING for state in reached):
        position = next(i for i, state in enumerate(states) if carrying[i] and state is MISSING)
        what = f"the derivative in argument {position} has no rule, at {user_line()}"
        raise MissingRuleError(message(operation.name, what, "it would be lost", "Keep that argument constant"))
    return any(state is None for state in reached)


def stack_objects(a: np.ndarray) -> Any:
    """Turn an object array that holds traced scalars (``np.array([x[0], 1.0])``) into one traced array."""
    scalars = [x if isinstance(x, Traced) else np.float64(x) for x in a.ravel().tolist()]
    if not any(isinstance(x, Traced) for x in scalars):
        return a
    return np.reshape(np.stack(scalars), a.shape)


def _is_object(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype.hasobject


def _tidy(x: Any) -> Any:
    """Stack object arrays among the arguments of a NumPy call, one level deep."""
    if _is_object(x):
        return stack_objects(x)
    if isinstance(x, list | tuple) and any(_is_object(item) for item in x):
        return [_tidy(item) for item in x]
    return x


def _call_plain(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call what has no rule on plain arrays where no derivative is lost (labels, counts); each becomes a guard."""
    if _carries_derivative(args) or _carries_derivative(list(kwargs.values())):
        missing_rule(function, (*args, *kwargs.values()))
    return function(*map(_as_plain, args), **{name: _as_plain(x) for name, x in kwargs.items()})


def _carries_derivative(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return any(map(_carries_derivative, x))
    return isinstance(x, Traced) and getattr(x, "carries_derivative", True)


def _as_plain(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)(map(_as_plain, x)) if type(x) in (list, tuple) else x
    return np.asarray(x)[()] if isinstance(x, Traced) else x


class ArrayProtocol(Traced):
    """Mixin: NumPy's protocols, Python's operators and the array methods, all reaching the rules."""

    __slots__ = ()
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    value: Any

    @property
    def will_change(self) -> bool:
        """Whether the numbers held now are an example that will be replaced by others."""
        return False

    # NumPy's protocols.

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        inputs = tuple(map(_tidy, inputs))
        out = keywords.pop("out", None)
        if out is not None:
            leaves_tape(f"{ufunc.__name__}(..., out=)", "Write y = y + x instead of y += x for a plain array y")
        if method == "__call__":
            if keywords:
                what = f"the keyword {next(iter(keywords))!r} is not supported on traced values"
                raise OptionError(message(ufunc.__name__, what))
            entry = DISPATCH.get(ufunc)
            if entry is None:
                return _call_plain(ufunc, inputs, {})
            return entry.call(*inputs)
        if method == "outer" and ufunc in DISPATCH:
            a, b = inputs
            return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b)
        reduction = _REDUCTIONS.get((ufunc.__name__, method))
        if reduction is None:
            missing_rule(ufunc, inputs)
        # A ufunc's reductions run over axis 0 unless told otherwise; the functions of the same name over all.
        axis = keywords.pop("axis", inputs[1] if len(inputs) > 1 else 0)
        return DISPATCH[reduction].call(inputs[0], axis=axis, **keywords)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        entry = DISPATCH.get(function)
        if entry is None:
            return _call_plain(function, args, kwargs)
        if kwargs.pop("out", None) is not None:
            leaves_tape(f"{entry.name}(..., out=)", "Use the result: y = np.dot(a, b) instead of out=y")
        return entry.call(*map(_tidy, args), **{name: _tidy(x) for name, x in kwargs.items()})

    def __copy__(self) -> Any:
        return np.copy(self)

    def __deepcopy__(self, memo: Any) -> Any:
        return np.copy(self)

    def __reduce__(self) -> Any:
        return leaves_tape("pickling a traced value")

    # Shape and type.

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the primal value."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the primal value."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """Number of elements of the primal value."""
        return self.value.size

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the primal value."""
        return self.value.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-dimensional traced value")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-dimensional traced value")
        return (self[i] for i in range(self.shape[0]))

    # Operators.

    def __add__(self, other: Any) -> Any:
        return _binary(ew.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return _binary(ew.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return _binary(ew.subtract, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _binary(ew.subtract, other, self)

    def __mul__(self, other: Any) -> Any:
        return _binary(ew.multiply, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _binary(ew.multiply, other, self)

    def __truediv__(self, other: Any) -> Any:
        return _binary(ew.divide, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _binary(ew.divide, other, self)

    def __pow__(self, other: Any) -> Any:
        # The shortcuts that NumPy itself takes for scalar exponents.
        if isinstance(other, int | float) and other in _POWERS:
            return _POWERS[other](self)
        return _binary(ew.power, self, other)

    def __rpow__(self, other: Any) -> Any:
        return _binary(ew.power, other, self)

    def __mod__(self, other: Any) -> Any:
        return _binary(ew.remainder, self, other)

    def __rmod__(self, other: Any) -> Any:
        return _binary(ew.remainder, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return np.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return np.floor_divide(other, self)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __matmul__(self, other: Any) -> Any:
        return products.matmul(self, _tidy(other))

    def __rmatmul__(self, other: Any) -> Any:
        return products.matmul(_tidy(other), self)

    def __neg__(self) -> Any:
        return ew.negative(self)

    def __pos__(self) -> Any:
        return ew.positive(self)

    def __abs__(self) -> Any:
        return ew.absolute(self)

    def __invert__(self) -> Any:
        return np.invert(self)

    def __and__(self, other: Any) -> Any:
        return np.bitwise_and(self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Any:
        return np.bitwise_or(self, other)

    __ror__ = __or__

    def __xor__(self, other: Any) -> Any:
        return np.bitwise_xor(self, other)

    __rxor__ = __xor__

    def __lt__(self, other: Any) -> Any:
        return np.less(self, other)

    def __le__(self, other: Any) -> Any:
        return np.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return np.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return np.greater_equal(self, other)

    def __eq__(self, other: Any) -> Any:
        return np.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return np.not_equal(self, other)

    def __round__(self, ndigits: int = 0) -> Any:
        return np.round(self, ndigits)

    def __getitem__(self, index: Any) -> Any:
        if indexing.has_computed(index):
            parts = index if isinstance(index, tuple) else (index,)
            return indexing.getitem_computed(
                self, tuple([part if indexing.has_computed(part) else concrete_index(part) for part in parts])
            )
        return indexing.getitem(self, concrete_index(index))

    # Methods of ndarray.

    @property
    def T(self) -> Any:
        """The array with its axes reversed."""
        return np.transpose(self)

    @property
    def mT(self) -> Any:
        """The array with its last two axes exchanged."""
        return np.swapaxes(self, -1, -2)

    @property
    def real(self) -> Any:
        """The array itself: traced values are real."""
        return self

    @property
    def imag(self) -> Any:
        """Zeros: traced values are real."""
        return np.zeros_like(self)

    @property
    def flat(self) -> Any:
        """The array raveled."""
        return np.ravel(self)

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """Reshape, as ``ndarray.reshape``."""
        return shaping.reshape(self, shape[0] if len(shape) == 1 else shape, order)

    def transpose(self, *axes: Any) -> Any:
        """Permute axes, as ``ndarray.transpose``."""
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) if axes and axes[0] is not None else None)

    def flatten(self, order: str = "C") -> Any:
        """Ravel into a copy, as ``ndarray.flatten``."""
        return np.copy(shaping.ravel(self, order))

    def astype(self, dtype: Any, **keywords: Any) -> Any:
        """Cast to another dtype; a cast to integers carries no derivative."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self if keywords.get("copy") is False else np.copy(self)
        if dtype.kind != "f" or self.dtype.kind != "f":
            return cast_op(self, dtype=dtype)
        return astype_op(self, dtype=dtype, source=self.dtype)

    def copy(self, order: str = "C") -> Any:
        """Copy, as ``ndarray.copy``."""
        return np.copy(self)

    def nonzero(self) -> tuple[np.ndarray, ...]:
        """Return indices of nonzero elements as plain arrays."""
        return np.nonzero(np.asarray(np.not_equal(self, 0)))

    def item(self, *args: Any) -> Any:
        """Refuse: a Python number carries no derivative."""
        return leaves_tape("item()")

    def tolist(self) -> Any:
        """Refuse: Python numbers carry no derivative."""
        return leaves_tape("tolist()")

    def __float__(self) -> float:
        return leaves_tape("float(x)")

    def __complex__(self) -> complex:
        return leaves_tape("complex(x)", "Complex numbers are not differentiable here; keep real and imaginary parts")

    def __format__(self, spec: str) -> str:
        return format(primal_array(self)[()], spec) if spec else repr(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"a traced value has no attribute {name!r} (at {user_line()}). "
            f"Use the NumPy function, np.{name}, if there is one."
        )


def _binary(operation: Any, a: Any, b: Any) -> Any:
    """Apply an operator; lists become arrays and object arrays of traced scalars are stacked."""
    other = b if isinstance(a, ArrayProtocol) else a
    kind = type(other)
    if (
        kind is float
        or kind is int
        or isinstance(other, ArrayProtocol)
        or (kind is np.ndarray and not other.dtype.hasobject)
    ):
        return operation(a, b)  # by far the most frequent
    for x in (a, b):
        if type(x) is np.ndarray and x.dtype.hasobject:
            return operation(_tidy(a), _tidy(b))
        if isinstance(x, list | tuple):
            return operation(*(_tidy(np.array(z)) if isinstance(z, list | tuple) else z for z in (a, b)))
        if isinstance(x, str | dict | set) or x is None:
            return NotImplemented
        if scipy.sparse.issparse(x):
            what = f"a sparse matrix meets a traced value elementwise at {user_line()}"
            raise MissingRuleError(message(operation.name, what, fix="Use A @ x for the matrix product"))
    return operation(a, b)


_POWERS = {1: ew.positive, 2: ew.square, 0.5: ew.sqrt, -1: ew.reciprocal}


def concrete_index(index: Any) -> Any:
    """Replace traced masks and integer indices by plain arrays; each becomes a guard of its recording."""
    kind = type(index)
    if kind is int or kind is np.ndarray:
        return index
    if kind is tuple:
        return tuple([concrete_index(part) for part in index])
    if kind is slice:
        if not any(isinstance(part, Traced) for part in (index.start, index.stop, index.step)):
            return index
        return slice(*(concrete_index(part) for part in (index.start, index.stop, index.step)))
    if isinstance(index, Traced):
        if index.dtype.kind not in "iub":
            return leaves_tape("index of floats", "An index must be an integer or boolean array")
        return np.asarray(index)[()]
    return index


def primal_array(x: Any) -> np.ndarray:
    """Return the plain array underneath any number of traced layers."""
    while isinstance(x, ArrayProtocol):
        x = x.value
    return np.asarray(x)


def _delegate(name: str, function: Any) -> None:
    """Give the mixin an array method that is a NumPy function of the same name."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"Call ``np.{function.__name__}`` on this array."
    setattr(ArrayProtocol, name, method)


for _name in (
    *("sum", "mean", "prod", "max", "min", "var", "std", "ptp", "any", "all", "cumsum", "cumprod"),
    *("ravel", "squeeze", "swapaxes", "repeat", "take", "diagonal", "trace", "dot", "clip", "round"),
    *("argmax", "argmin", "argsort", "searchsorted", "compress"),
):
    _delegate(_name, getattr(np, _name))
for _name in ("conj", "conjugate"):
    _delegate(_name, np.conjugate)
