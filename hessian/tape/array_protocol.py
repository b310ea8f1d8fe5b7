"""What makes a value look like an array to NumPy: the two dispatch protocols, operators and methods.

:class:`Variable` and :class:`Dual` inherit all of it; a subclass only says how one operation is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from hessian.errors import HessianError, MissingRuleError, OptionError, message
from hessian.rules.dispatch import DISPATCH, Entry
from hessian.rules.traced import Traced, entered, holds_traced
from hessian.tape.advice import leaves_tape, missing_rule, user_line
from hessian.tape.array_methods import ArrayMethods, primal_array
from hessian.tape.array_operators import ArrayOperators
from hessian.tape.handle import Handle
from hessian.tape.ufunc_methods import apply_at, apply_method, has_method


class ArrayProtocol(ArrayMethods, ArrayOperators):
    """Mixin: NumPy's protocols, Python's operators and the array methods, all reaching the rules."""

    __slots__ = ()
    __array_priority__ = 1000.0
    __pandas_priority__ = 6000  # tables and series leave arithmetic to the array
    __hash__ = None  # type: ignore[assignment]

    @property
    def will_change(self) -> bool:
        """Whether the numbers held now are an example that will be replaced by others."""
        return False

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        if method == "__call__" and not keywords:  # by far the most frequent
            entry = DISPATCH.get(ufunc)
            if entry is not None and entry.call is entry.row:  # which looks at its operands itself
                return _checked(entry, inputs, {})
        if method == "at":
            return apply_at(ufunc, *inputs)
        inputs = tuple(map(entered, inputs))
        out, where = keywords.pop("out", None), keywords.pop("where", True)
        if out is not None:
            return into(ufunc.__name__, out, where, lambda: self.__array_ufunc__(ufunc, method, *inputs, **keywords))
        if method == "__call__":
            if where is not True:
                keywords["where"] = where
            return _call_ufunc(ufunc, inputs, keywords)
        if method == "outer" and ufunc in DISPATCH:
            a, b = inputs
            return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b, **keywords)
        if where is not True:
            keywords["where"] = where
        return _reduce(ufunc, method, inputs, keywords)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        entry = DISPATCH.get(function)
        if entry is None:
            return call_plain(function, args, kwargs)
        enters = entry.enters
        args, kwargs = tuple(map(enters, args)), {name: enters(x) for name, x in kwargs.items()}
        out = kwargs.pop("out", None)
        if out is not None:
            return into(entry.name, out, True, lambda: entry.call(*args, **kwargs))
        return _checked(entry, args, kwargs)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __reduce__(self) -> Any:
        return leaves_tape("pickling a traced value")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return leaves_tape("pickling a traced value")


def _call_ufunc(ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    entry = DISPATCH.get(ufunc)
    if entry is None:
        return call_plain(ufunc, inputs, keywords)
    if not keywords:  # by far the most frequent
        return _checked(entry, inputs, {})
    dtype = keywords.pop("dtype", None)
    casting = keywords.pop("casting", "same_kind")
    if keywords.get("order") == "K":
        del keywords["order"]
    if keywords:
        name = next(iter(keywords))
        what, fix = f"the keyword {name!r} is not supported on traced values", ""
        if name == "where":
            fix = "Add out=np.zeros_like(x): without it the elements left out are undefined. Or use np.where"
        raise OptionError(message(ufunc.__name__, what, fix=fix))
    return _checked(entry, inputs if dtype is None else _cast(ufunc, inputs, np.dtype(dtype), casting), {})


def _cast(ufunc: np.ufunc, inputs: tuple[Any, ...], dtype: np.dtype[Any], casting: Any) -> tuple[Any, ...]:
    """Return operands in the precision that a ufunc is to compute in."""
    kinds = [x.dtype if isinstance(x, Traced | np.ndarray | np.generic) else np.asarray(x).dtype for x in inputs]
    if dtype.kind != "f" or ufunc.types[-1][-1] == "?":
        what = f"dtype is {dtype!r}"
        raise OptionError(message(ufunc.__name__, what, fix="Use .astype on the result"))
    if not all(np.can_cast(kind, dtype, casting) for kind in kinds):
        raise np.exceptions.DTypePromotionError(f"Cannot cast {kinds} to {dtype} with casting rule {casting!r}")
    return tuple(x.astype(dtype) if isinstance(x, Traced) else np.asarray(x, dtype)[()] for x in inputs)


def _checked(entry: Entry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function; where it stumbles over its arguments, NumPy says what is wrong with them."""
    try:
        return entry.call(*args, **kwargs)
    except (HessianError, np.linalg.LinAlgError):
        raise
    except (TypeError, ValueError, IndexError, AttributeError, KeyError, ZeroDivisionError) as error:
        given = [primals(args), primals(kwargs)]
        with np.errstate(all="ignore"):
            entry.target(*given[0], **given[1])
        what = f"called in a way that has no rule, at {user_line()}: {type(error).__name__}: {error}"
        raise MissingRuleError(
            message(entry.name, what, fix="Pass arrays and plain integers in its usual form")
        ) from error


def primals(x: Any) -> Any:
    """Return arguments with plain numbers in place of traced values."""
    if isinstance(x, Traced):
        return primal_array(x)[()]
    if isinstance(x, dict):
        return {name: primals(part) for name, part in x.items()}
    if isinstance(x, Collection) and type(x) not in (list, tuple) and holds_traced(list(x)):
        return [primals(part) for part in x]
    return type(x)([primals(part) for part in x]) if type(x) in (list, tuple) else x


def _reduce(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Apply a method of a ufunc."""
    if not has_method(ufunc, method):
        return call_plain(getattr(ufunc, method), inputs, keywords, name=ufunc)
    return apply_method(ufunc, method, inputs, keywords)


def call_plain(function: Any, args: Any, kwargs: dict[str, Any], name: Any = None) -> Any:
    """Call what has no rule on plain arrays where no derivative is lost (labels, counts); each becomes a guard."""
    if carries_derivative(args) or carries_derivative(list(kwargs.values())):
        missing_rule(name or function, tuple(args), kwargs)
    return function(*map(as_plain, args), **{name: as_plain(x) for name, x in kwargs.items()})


def carries_derivative(x: Any) -> bool:
    """Tell whether a derivative is lost if a value, or what a sequence holds, becomes plain numbers."""
    if isinstance(x, Traced):
        return getattr(x, "carries_derivative", True)
    if isinstance(x, list | tuple):
        return any(map(carries_derivative, x))
    return holds_traced(x) and carries_derivative(entered(x))


def as_plain(x: Any) -> Any:
    """Return plain numbers in place of traced values without derivative."""
    if isinstance(x, Traced):
        return np.asarray(x)[()]
    if type(x) in (list, tuple):
        return type(x)(map(as_plain, x))
    return as_plain(entered(x)) if holds_traced(x) else x


def into(name: str, out: Any, where: Any, compute: Callable[[], Any]) -> Any:
    """Compute a result into the array given as ``out=``, in the elements that ``where=`` selects."""
    target: Any = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    if not isinstance(target, Traced) and issubclass(type(target), Handle):
        # An array made inside the traced function.
        with np.errstate(all="ignore"):
            target.become_traced(compute())
    if not isinstance(target, Traced):
        leaves_tape(f"{name}(..., out=)", "Pass out=np.zeros_like(x) with x traced, or use the result")
    if where is True:
        result = compute()
        if isinstance(result, np.ndarray) and not isinstance(result, Traced) and result.shape == target.shape:
            memory: Any = target
            np.copyto(memory, result)  # of constants: nothing that the handle could stand for
            return target
        return target._in_place(result)
    with np.errstate(all="ignore"):
        result = compute()
    return target._in_place(np.where(where, result, target))
