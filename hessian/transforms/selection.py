"""Functions of several arguments as functions of those that are differentiated."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, overload

import numpy as np
from numpy.typing import NDArray

from hessian.errors import OptionError, message
from hessian.pickles import name_in_module
from hessian.programs.runtime.functions import programs_of
from hessian.signatures import Out, P, Real, X
from hessian.tape.trace import check_argnums, replaced

ArgNums = int | tuple[int, ...]


class Curried:
    """A function made of another one: a subclass computes what it returns, and this is how it looks.

    Name, signature and documentation are those of the function it is made of, which is ``__wrapped__``. It can be pickled where that
    can be, and is a method where that is one.

    Parameters
    ----------
    f : callable
    argnums : int or tuple of int
        A point in the place of f, or of this, is told here, before it is lost.
    """

    __wrapped__: Any
    where = ""
    """What made it, as users write it after ``hs.``."""

    def __init__(self, f: Any, argnums: Any) -> None:
        if not callable(f):
            what = f"the first argument is {type(f).__name__}, not a function"
            fix = f"Pass the function, and call the result: hs.{self.where}(f)(x)"
            raise OptionError(message(self.where, what, fix=fix))
        if not isinstance(argnums, int | tuple | list):
            why, fix = (
                f"What hs.{self.where} returns is a function, and x is its argument",
                f"Write hs.{self.where}(f)(x)",
            )
            raise OptionError(message(self.where, f"argnums is {argnums!r}", why, fix))
        self.argnums: Any = argnums
        self._look_like(f)

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def _look_like(self, f: Any) -> None:
        functools.update_wrapper(self, f, updated=())
        doc = getattr(f, "__doc__", None)
        self.__doc__ = "\n\n".join(
            [f"{self._made()}.", doc] if doc and doc is not type(f).__doc__ else [f"{self._made()}."]
        )

    def _made(self) -> str:
        numbers = [self.argnums] if isinstance(self.argnums, int) else self.argnums
        of = f"{self.where} of {name_of(self.__wrapped__)}"
        return f"{of} with respect to argument{'s' * (len(numbers) > 1)} {' and '.join(map(str, numbers))}"

    def __repr__(self) -> str:
        return f"<{self._made()}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Return a method, where a class has this as an attribute."""
        return self if instance is None or not hasattr(self.__wrapped__, "__get__") else MethodType(self, instance)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return name_in_module(self, self.__wrapped__) or super().__reduce_ex__(protocol)


class Transformed(Curried):
    """What :func:`hessian.grad` and those like it return: plain or recorded f, beside which it may return something else.

    Parameters
    ----------
    f, argnums, has_aux
        As for :func:`hessian.grad`.
    """

    def __init__(self, f: Any, argnums: Any, has_aux: bool = False) -> None:
        super().__init__(f, argnums)
        self.f, self.has_aux = f, has_aux


class Derivative(Transformed, Generic[P, Out]):
    """A function of arguments P that returns Out, as type checkers see it."""

    if TYPE_CHECKING:

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Out: ...


class HigherDerivative(Derivative[Concatenate[X, P], Any], Generic[X, P, Out]):
    """Derivatives of Out in X, with arguments P behind it: arrays are told as such, containers of containers are not."""

    if TYPE_CHECKING:

        @overload
        def __call__(
            self: HigherDerivative[NDArray[Real], P, float | np.floating[Any]],
            x: NDArray[Real],
            /,
            *args: P.args,
            **kwargs: P.kwargs,
        ) -> NDArray[Real]: ...
        @overload
        def __call__(
            self: HigherDerivative[NDArray[Real], P, NDArray[Any]],
            x: NDArray[Real],
            /,
            *args: P.args,
            **kwargs: P.kwargs,
        ) -> NDArray[Real]: ...
        @overload
        def __call__(
            self: HigherDerivative[float, P, float | np.floating[Any]], x: float, /, *args: P.args, **kwargs: P.kwargs
        ) -> float: ...
        @overload
        def __call__(self, x: X, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
        def __call__(self, x: Any, /, *args: Any, **kwargs: Any) -> Any: ...


def name_of(f: Any) -> str:
    """Return what a function is called: methods with their class, what is made of others with these, objects by their class."""
    if isinstance(f, Curried):
        return f"{f.where} of {name_of(f.__wrapped__)}"
    if isinstance(f, functools.partial):
        return name_of(f.func)
    name = getattr(f, "__qualname__", None) or getattr(f, "__name__", None) or type(f).__qualname__
    return str(name).rsplit("<locals>.", 1)[-1]


def selected(
    f: Callable[..., Any], args: Sequence[Any], argnums: ArgNums, where: str
) -> tuple[Callable[..., Any], Any, tuple[Any, ...]]:
    """Return f as a function of the arguments numbered ``argnums`` and the rest, those arguments, and the rest.

    With a tuple of numbers the first argument is a tuple, and so are derivatives and directions.
    """
    if type(argnums) is int and argnums == 0:
        return f, args[0], tuple(args[1:])
    numbers = check_argnums(argnums, len(args), where)
    single = isinstance(argnums, int)

    def make(plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(chosen: Any, *rest: Any) -> Any:
            others = iter(rest)
            places = [None if i in numbers else next(others) for i in range(len(numbers) + len(rest))]
            return plain(*replaced(places, argnums, numbers, chosen))

        return call

    name = ("selected", numbers, single)
    f = programs_of(f).derived(name, make, user_results=True)
    chosen = args[numbers[0]] if single else tuple([args[i] for i in numbers])
    return f, chosen, tuple([x for i, x in enumerate(args) if i not in numbers])
