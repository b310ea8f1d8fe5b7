"""What SciPy's users are used to: objectives of one element and three kinds of callbacks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from hessian.arguments import takes
from hessian.errors import DtypeError, NotScalarError, OptionError, message
from hessian.programs import RecordedFunction
from hessian.rules.traced import Traced, entered


def one_number(fun: Callable[..., Any], where: str) -> Callable[..., Any]:
    """Wrap an objective so that a result of one element, whatever its axes, is the number in it; what is recorded stays strict.

    Raises
    ------
    NotScalarError, DtypeError
        When called: the result is more or less than one real number. The error is signed by the function the user called.
    """

    return _unless_recorded(fun, lambda value: _number(value, where))


def _unless_recorded(fun: Callable[..., Any], adapt: Callable[[Any], Any]) -> Callable[..., Any]:
    """Wrap a function so that its results are adapted."""
    if isinstance(fun, RecordedFunction):
        return fun

    @functools.wraps(fun, updated=())
    def adapted(*args: Any) -> Any:
        return adapt(fun(*args))

    return adapted


def _number(value: Any, where: str) -> Any:
    if isinstance(value, np.ndarray):
        value = entered(value)
    if isinstance(value, list | tuple) and len(value) == 1:
        return _number(value[0], where)
    if isinstance(value, list | tuple):
        fix = (
            "Return the value only: derivatives come from the engine"
            if len(value) == 2
            else "Return a scalar (np.sum, x[0])"
        )
        what = f"the function returned a {type(value).__name__} of {len(value)}"
        raise NotScalarError(message(where, what, "A minimum needs one real number", fix))
    if not isinstance(value, Traced | np.ndarray):
        if isinstance(value, np.floating | float):
            return value
        what = f"the function returned {'None' if value is None else type(value).__name__}"
        fix = "Return a float" if isinstance(value, Integral) else "Return the result from the function"
        raise DtypeError(message(where, what, "A minimum needs one real number", fix))
    if value.dtype.kind not in "f":
        what = f"the function returned a number of dtype {value.dtype}"
        raise DtypeError(message(where, what, "Its derivative is not defined", "Return a real floating-point number"))
    if np.size(value) != 1:
        what = f"the function returned an array of shape {np.shape(value)}"
        raise NotScalarError(message(where, what, "A minimum needs one real number", "Return a scalar (np.sum, x[0])"))
    return value.reshape(()) if np.ndim(value) else value


def some_numbers(fun: Callable[..., Any], where: str) -> Callable[..., Any]:
    """Wrap a function of residuals so that a result that holds no numbers is refused in the name of what the user called."""

    def checked(value: Any) -> Any:
        if value is None or isinstance(value, str):
            what = f"the function returned {'None' if value is None else 'a text'}"
            raise DtypeError(
                message(where, what, "Residuals are real numbers", "Return the residuals from the function")
            )
        return value

    return _unless_recorded(fun, checked)


class Callback:
    """A callback by any of SciPy's conventions: ``f(xk)``, ``f(intermediate_result=)`` by name, ``f(xk, state)``.

    Parameters
    ----------
    function : callable or None
    where : str
        Who is called, for errors.
    prefers_state : bool
        Whether a second parameter with a default gets the state, too, as trust-constr's callbacks do.

    Raises
    ------
    OptionError
        Not callable, or with parameters that fit none of the three.
    """

    identity: Mapping[str, Any] = {}
    """What a resumed run must share, besides what the solver asks for."""
    shown: Mapping[str, str] = {}
    """What a progress bar shows of it."""

    def __init__(
        self, function: Callable[..., Any] | None, where: str = "minimize", prefers_state: bool = False
    ) -> None:
        if function is not None and not callable(function):
            what = f"callback is {function!r}, which cannot be called"
            raise OptionError(message(where, what, fix="Pass a function or leave it out"))
        self.function = function
        parameters = _parameters(function)
        self.by_name = set(parameters) == {"intermediate_result"}
        places = [p for p in parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
        required = [p for p in places if p.default is p.empty]
        self.takes_both = not self.by_name and (len(required) == 2 or (prefers_state and len(places) >= 2))
        by_keyword = [p for p in parameters.values() if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
        takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        fits = len(required) <= 2 and not by_keyword and (places or takes_any)
        if parameters and not self.by_name and not fits:
            what = f"callback takes ({', '.join(parameters)})"
            fix = "Write callback(xk), callback(intermediate_result) or callback(xk, state)"
            raise OptionError(message(where, what, fix=fix))

    @classmethod
    def of(cls, callback: Callable[..., Any] | Callback | None, where: str, prefers_state: bool = False) -> Callback:
        """Return a callback as what it is here, which it may be already."""
        return callback if isinstance(callback, Callback) else cls(callback, where, prefers_state)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""

    def asks_to_stop(self, point: Callable[[], Any], state: Callable[[], Any]) -> bool:
        """Call it with what it takes, computed only if it is taken: True or StopIteration ends the run."""
        if self.function is None:
            return False
        try:
            if self.by_name:
                answer = self.function(intermediate_result=state())
            elif self.takes_both:
                now = state()
                answer = self.function(now.x, now)
            else:
                answer = self.function(point())
        except StopIteration:
            return True
        return isinstance(answer, (bool, np.bool_)) and bool(answer)


def _parameters(function: Callable[..., Any] | None) -> dict[str, inspect.Parameter]:
    """Parameters of a callable; none for those that do not tell."""
    if function is None:
        return {}
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}


def arguments_of_run(fun: Any, known: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """Return the arguments of a run, as far as they are known, for a function that takes so many; none for one that takes x alone."""
    if known and callable(fun) and takes(fun, 1 + count):
        return known
    if count and callable(fun) and not takes(fun, 1):
        what = f"{getattr(fun, '__name__', 'the function')} takes more than x, and args= is not given"
        why = f"The run had {count} further argument{'s' * (count > 1)}, which are neither pickled nor copied with results"
        raise OptionError(message("covariance", what, why, "Pass args=, or a function of x alone"))
    return ()
