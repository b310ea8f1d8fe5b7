"""Rules for functions that have none: the declaration of the registry, for users."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from hessian.errors import DtypeError, OptionError, ShapeMismatchError, message
from hessian.rules.operation import Operation
from hessian.rules.spec import Bilinear, Elementwise, General, Linear
from hessian.rules.traced import holds_traced
from hessian.tape.blank import unwrapped
from hessian.tape.creation import creating

_KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "d1": (Elementwise, ("d1",)),
    "transpose": (Linear, ("transpose",)),
    "labels": (Bilinear, ("labels",)),
    "pushforward": (General, ("pushforward", "pullback")),
    "pullback": (General, ("pushforward", "pullback")),
}


def custom_rule(
    function: Callable[..., Any],
    *,
    name: str = "",
    d1: Sequence[Any] | None = None,
    d2: Mapping[tuple[int, int], Any] | None = None,
    transpose: Callable[..., Any] | None = None,
    labels: str | None = None,
    pushforward: Callable[..., Any] | None = None,
    pullback: Callable[..., Any] | None = None,
    batched: bool = True,
    **fields: Any,
) -> Operation:
    r"""Declare how a function is differentiated, and return it as a function of arrays and traced values.

    Parameters
    ----------
    function : callable
        ``(*arrays, **settings) -> array``, on plain arrays: a function of SciPy, a simulation, compiled code.
    name : str
        For messages; by default that of the function.
    d1 : sequence of callables, numbers or states
        Of a function that acts on each element: per argument the partial derivative ``(y, *xs) -> array``, which gets the value y first.
        ``hessian.rules.ZERO`` and ``NONDIFF`` stand for arguments without derivative, ``MISSING`` for one that nobody has written down:
        differentiating in it raises.
    d2 : mapping or None
        With it, the complete table of second partials, ``{(0, 1): (y, *xs) -> array}``: what is not listed is zero. ``None`` leaves
        them to be derived from ``d1``.
    transpose : callable
        Of a linear function: ``(y_bar, shape) -> x_bar``, the transposed map, for an argument of the given shape.
    labels : str
        Of a sum of products of two arguments: their axes and those of the result, ``"ij,jk->ik"``.
    pushforward, pullback : callable
        Of any other: ``(y, xs, x_dots) -> y_dot``, where an entry of ``x_dots`` may be ``None`` for zero, and
        ``(y, xs, y_bar, wanted) -> [x_bar, ...]``, where entries that are not ``wanted`` may be ``None``.
    batched : bool
        Whether ``pushforward`` and ``pullback`` take tangents and cotangents with leading batch axes. With ``False`` they are called once
        per direction: for a compiled library or a solver that takes one vector.
    **fields
        Whatever else a row may say (``hessian.rules``): ``domain``, ``points``, ``kinks``, ``states``, ``pattern``, ``core``, ...

    Returns
    -------
    Operation
        Call it in place of the function. Settings are passed by keyword, to the formulas too.

    Raises
    ------
    OptionError
        Not one kind of rule is given, or a word that rows do not have.
    ShapeMismatchError
        By a call: a function of elements changes the shape.
    DtypeError
        By a call: an array or a traced value is passed by keyword.
    MissingRuleError
        A product sums over an axis that only one argument has.

    Notes
    -----
    Formulas are written in NumPy and in other rules, and may fill arrays that they make (``out = np.zeros(n); out[0] = ...``): then
    second, third and all higher orders follow, plainly, recorded and in programs. Tangents and cotangents may have leading batch axes,
    so that linear functions, products, pushforwards and pullbacks act on *trailing* axes (unless ``batched=False``); arguments of
    products and with ``core=`` broadcast over leading ones.
    :func:`hessian.check_rule` tries a rule out. A recorded function is pickled with the rules that are names of a module.
    Cost: that of the function and the formulas, and a copy of the result.

    Examples
    --------
    Dawson's integral has :math:`D' = 1 - 2xD`:

    >>> import numpy as np, hessian as hs, scipy.fft, scipy.special
    >>> dawsn = hs.custom_rule(scipy.special.dawsn, d1=[lambda y, x: 1 - 2 * x * y])
    >>> round(float(hs.grad(hs.grad(dawsn))(0.5)), 6) == round(float(-2 * dawsn(0.5) - (1 - dawsn(0.5))), 6)
    True
    >>> hs.check_rule(dawsn)

    A linear map whose transpose is its inverse:

    >>> dct = hs.custom_rule(lambda x: scipy.fft.dct(x, norm="ortho"), name="dct", transpose=lambda g, shape: idct(g))
    >>> idct = hs.custom_rule(lambda x: scipy.fft.idct(x, norm="ortho"), name="idct", transpose=lambda g, shape: dct(g))
    >>> H = hs.hessian(lambda x: 0.5 * np.sum(dct(x) ** 2))(np.ones(3))
    >>> np.allclose(H, np.eye(3))
    True

    A table with slopes: a setting tells the formula, which is the rule itself, which derivative to look up.

    >>> import scipy.interpolate, scipy.optimize
    >>> t = np.linspace(0.0, 3.0, 31)
    >>> table = scipy.interpolate.CubicHermiteSpline(t, np.sin(t), np.cos(t))
    >>> read = lambda x, order=0: table(x, order).astype(np.result_type(np.float32, x))
    >>> look_up = hs.custom_rule(read, name="look_up", d1=[lambda y, x, order=0: look_up(x, order=order + 1)])
    >>> x = np.array([0.5, 1.2])
    >>> np.allclose(hs.grad(lambda x: np.sum(look_up(x)))(x), np.cos(x))
    True
    >>> np.allclose(hs.hvp(lambda x: np.sum(look_up(x)), x, np.ones(2)), table(x, 2))
    True

    A solver of Kepler's equation :math:`E - e \sin E = M`, as a compiled one would be: its derivatives follow from the equation.

    >>> @np.vectorize(otypes=[float])
    ... def solved(M, e):
    ...     return scipy.optimize.brentq(lambda E: E - e * np.sin(E) - M, M - 1.0, M + 1.0, xtol=1e-14)
    >>> kepler = hs.custom_rule(
    ...     lambda M, e: solved(M, e).astype(np.result_type(np.float32, M, e)),
    ...     name="kepler",
    ...     d1=[lambda E, M, e: 1 / (1 - e * np.cos(E)), lambda E, M, e: np.sin(E) / (1 - e * np.cos(E))],
    ...     domain=[(-9.0, 9.0), (0.0, 0.8)],
    ... )
    >>> hs.check_rule(kepler)
    """
    if not callable(function):
        raise OptionError(message("custom_rule", f"the first argument is {type(function).__name__}, not a function"))
    words = {"d1": d1, "transpose": transpose, "labels": labels, "pushforward": pushforward, "pullback": pullback}
    given: dict[str, Any] = {word: said for word, said in words.items() if said is not None}
    kinds = {_KINDS[word] for word in given}
    kind, needed = next(iter(kinds), (Operation, ()))
    if len(kinds) != 1 or set(needed) != set(given):
        what = f"a rule is given by {', '.join(given)}" if given else "no rule is given"
        fix = "Pass d1=, transpose=, labels=, or pushforward= and pullback="
        raise OptionError(message("custom_rule", what, "it is of one kind", fix))
    if kind is Elementwise:
        _refuse_partials(d1)
        given["d2"] = d2
    elif d2 is not None:
        raise OptionError(
            message("custom_rule", "d2 is given without d1", "second partials are of functions of elements")
        )
    if not batched and (pullback is None or fields.get("core") is not None):
        why = "it is about pushforward= and pullback= of a function of whole arrays"
        raise OptionError(message("custom_rule", f"batched=False is given with {', '.join([*given, *fields])}", why))
    label = _name_of(function, name)
    said = {
        "raises": Exception,
        "real_only": "analytic" not in fields,
        "home": sys._getframe(1).f_globals.get("__name__", ""),
    }
    given = _formulas(label, given | said | fields, batched)
    try:
        row = kind(label, _on_arrays(function, kind is Elementwise), **given)
    except TypeError as error:
        raise OptionError(message("custom_rule", str(error).partition(") ")[2] or str(error))) from error
    if isinstance(row, Bilinear):
        _ = row.transposes
    return row


def _refuse_partials(d1: Any) -> None:
    """Refuse first partials that are not one for each argument."""
    if callable(d1) or not isinstance(d1, Sequence):
        what = f"d1 is {type(d1).__name__}, not a list"
        raise OptionError(message("custom_rule", what, "there is one partial for each argument", "Pass d1=[...]"))
    if None in d1:
        what, why = f"d1[{list(d1).index(None)}] is None", "that is no partial derivative"
        fix = "Write hessian.rules.MISSING where it is not known and hessian.rules.NONDIFF where there is none"
        raise OptionError(message("custom_rule", what, why, fix))


def _formulas(label: str, given: dict[str, Any], batched: bool) -> dict[str, Any]:
    """Return the words of a row with formulas that may write into what they make and whose results are looked at."""
    made = dict(given)
    if "d1" in given:
        made["d1"] = [_writing(entry) for entry in given["d1"]]
        made["d2"] = given["d2"] and {place: _writing(entry) for place, entry in given["d2"].items()}
    for word in ("pushforward", "pullback", "transpose", "prepare", "pullback_of_tangent"):
        if word in given:
            made[word] = _writing(given[word])
    for word in {"pushforward", "pullback"} & given.keys():
        made[word] = _looked_at(label, word, made[word], given.get("core"), batched)
    if "transpose" in given and not given.get("variadic"):
        made["transpose"] = _transpose_looked_at(label, made["transpose"])
    return made


def _name_of(function: Callable[..., Any], name: str) -> str:
    if name and not name.isidentifier():
        raise OptionError(message("custom_rule", f"name is {name!r}", fix="Pass a name as of a function"))
    known = getattr(function, "__name__", "")
    # No name of a row in the registry, by which programs know rows that they may rewrite.
    return f"custom.{name or (known if known.isidentifier() else 'function')}"


def _writing(formula: Any) -> Any:
    """Return a formula that may write into arrays that it makes, ``np.zeros``, wherever sweeps differentiate it.

    They run it on traced values outside of the function that is traced, where NumPy's own creation functions are in place.
    """
    if not callable(formula):
        return formula

    @functools.wraps(formula)
    def call(*args: Any, **settings: Any) -> Any:
        if not any(map(holds_traced, args)):
            return unwrapped(formula(*args, **settings))
        with creating():
            return unwrapped(formula(*args, **settings))

    return call


def _looked_at(name: str, word: str, formula: Any, core: Any, batched: bool) -> Any:
    """Return a formula of whose results the shapes are looked at: what does not fit would be broadcast to wrong numbers.

    Where arguments broadcast over leading axes (``core``) only the trailing ones are compared.
    """

    def refuse(what: str, model: Any, batch: Any) -> NoReturn:
        what = f"the {word} returned {what} of shape {np.shape(model)}, batch {batch}"
        why = "batch axes of tangents and cotangents come first, then those of the argument or of the value"
        raise ShapeMismatchError(message(name, what, why, "Run hs.check_rule on the rule"))

    def look(result: Any, args: Any, batch: tuple[int, ...]) -> None:
        parts, models, axes = [result], [args[0]], core and core[-1:]
        if word == "pullback":
            if type(result) not in (list, tuple) or len(result) != len(args[1]):
                refuse(f"{type(result).__name__} instead of a list of {len(args[1])}, for a cotangent", args[2], batch)
            parts, models, axes = result, args[1], core
        for i, (part, model) in enumerate(zip(parts, models, strict=True)):
            shape, whole = np.shape(part), (*batch, *np.shape(model))
            count = axes[i] if axes else max(len(shape), len(whole))
            if part is not None and shape[len(shape) - count :] != whole[len(whole) - count :]:
                refuse(f"shape {shape} for {f'argument {i}' if word == 'pullback' else 'a value'}", model, batch)

    @functools.wraps(formula)
    def call(*args: Any, **settings: Any) -> Any:
        pairs = zip(args[2], args[1], strict=True) if word == "pushforward" else [(args[2], args[0])]
        batch = next(np.shape(dot)[: np.ndim(dot) - np.ndim(x)] for dot, x in pairs if dot is not None)
        try:
            if batch and not batched:
                result = _each(batch, lambda i: formula(*args[:2], _at(args[2], i), *args[3:], **settings))
            else:
                result = formula(*args, **settings)
        except (IndexError, TypeError, ValueError) as error:
            if batch and batched:
                error.add_note(
                    f"{name}: the {word} was called with batch axes {batch} in front. It must act on trailing axes: "
                    "x_dot[..., 0], axis=-1, np.zeros_like(x_dot). Or pass "
                    "batched=False to hs.custom_rule: then it is called once per direction."
                )
            raise
        look(result, args, batch)
        return result

    return call


def _at(dots: Any, i: tuple[int, ...]) -> Any:
    """Return one direction of a cotangent, or of tangents."""
    if isinstance(dots, list | tuple):
        return [dot if dot is None else dot[i] for dot in dots]
    return dots[i]


def _each(batch: tuple[int, ...], call: Callable[[tuple[int, ...]], Any]) -> Any:
    """Call a formula for one direction after the other and join what it returns, with the batch axes in front."""
    parts = [call(i) for i in np.ndindex(batch)]
    joined = lambda parts: None if parts[0] is None else np.reshape(np.stack(parts), (*batch, *np.shape(parts[0])))
    if type(parts[0]) in (list, tuple):
        return [joined(ones) for ones in zip(*parts, strict=True)]
    return joined(parts)


def _transpose_looked_at(name: str, transpose: Any) -> Any:
    """Return a transposed map of whose results the shapes are looked at."""

    @functools.wraps(transpose)
    def call(g: Any, shape: tuple[int, ...], **settings: Any) -> Any:
        result = transpose(g, shape, **settings)
        if np.shape(result)[max(np.ndim(result) - len(shape), 0) :] != tuple(shape):
            what = f"the transpose returned shape {np.shape(result)} for an argument of shape {tuple(shape)}"
            raise ShapeMismatchError(message(name, what, "batch axes come first", "Run hs.check_rule on the rule"))
        return result

    return call


def _on_arrays(function: Callable[..., Any], by_element: bool) -> Callable[..., np.ndarray]:
    """Return a function as rows have it: of arrays, with an array of its own as its result."""

    def on_arrays(*operands: Any, **settings: Any) -> np.ndarray:
        for word, setting in settings.items():
            if isinstance(setting, np.ndarray) or holds_traced(setting):
                what = f"{word} is an array passed by keyword"
                raise DtypeError(
                    message("custom_rule", what, "its derivative would be lost", "Pass arrays by position")
                )
        xs = [np.asarray(x) if isinstance(x, list | tuple | int | float) else x for x in operands]
        # A copy: the function may return a view of an argument, or memory that its next call uses again.
        y = np.array(function(*xs, **settings))[()]
        if by_element and y.shape != np.broadcast_shapes(*map(np.shape, xs)):
            what = f"the function maps shapes {', '.join(str(np.shape(x)) for x in xs)} to {y.shape}"
            raise ShapeMismatchError(
                message("custom_rule", what, "d1 is for functions of elements", "Pass pushforward= and pullback=")
            )
        return y

    return on_arrays
