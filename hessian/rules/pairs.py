"""Complex numbers as pairs of real ones: how every operation acts on real and imaginary parts.

No tape holds a complex number. A traced complex value is a pair of real ones, and an operation that meets it is written in
operations on the parts (:func:`applied`), which have their derivatives of every order. A real-linear operation acts on each part, a
bilinear one is the product of two pairs; any other says what it does by a function entered with :func:`of_complex`.

A part that is ``None`` is exactly zero, whatever happens to the numbers: a phasor ``exp(1j * x)`` costs a cosine and a sine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from hessian.errors import MissingRuleError, message
from hessian.rules.lines import user_line
from hessian.rules.operation import Operation
from hessian.rules.spec import Bilinear, Elementwise, Linear
from hessian.rules.traced import Traced


class Parts(NamedTuple):
    """Real and imaginary part, of which ``None`` is exactly zero."""

    re: Any
    im: Any

    @property
    def some(self) -> Any:
        """A part that is there."""
        return self.im if self.re is None else self.re

    def both(self) -> tuple[Any, Any]:
        """Return both parts, with zeros for what is not there."""
        if self.re is not None and self.im is not None:
            return self.re, self.im
        zeros = np.zeros(np.shape(self.some), _dtype(self.some))[()]
        return (zeros if self.re is None else self.re), (zeros if self.im is None else self.im)


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") and x.dtype.kind == "f" else np.dtype(float)


def of_complex(*operations: Operation) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter what operations do with complex numbers: ``(*parts, **params) -> Parts``, or a real value.

    An argument that is a flag or an index comes as it is.
    """

    def enter(rule: Callable[..., Any]) -> Callable[..., Any]:
        for operation in operations:
            operation.of_complex = rule
        return rule

    return enter


def parts_of(x: Any) -> Parts:
    """Return the parts of an operand, complex or real."""
    if isinstance(x, Traced):
        return x.parts if x.dtype.kind == "c" else Parts(x, None)
    if isinstance(x, complex | np.complexfloating):
        re, im = x.real, x.imag
        return Parts(re if re != 0 or im == 0 else None, im if im != 0 else None)
    x = x if isinstance(x, np.ndarray | np.generic | float | int) else np.asarray(x)
    if getattr(x, "dtype", _REAL).kind != "c":
        return Parts(x, None)
    re, im = x.real, x.imag
    return Parts(re if np.any(re) or not np.any(im) else None, im if np.any(im) else None)


_REAL = np.dtype(float)


def applied(operation: Operation, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """Apply an operation to operands of which some are complex, or whose result is."""
    states = operation.states or (None,) * len(operands)
    acts_on = [state is None for state in states]
    has_rule = any(acts and _is_complex(x) for x, acts in zip(operands, acts_on, strict=True))
    if operation.of_complex is not None:
        given = [parts_of(x) if acts else x for x, acts in zip(operands, acts_on, strict=True)]
        if len(given) > 1 and isinstance(operation, Elementwise):
            given = _in_one_precision(given)
        result = operation.of_complex(*given, **params)
    elif isinstance(operation, Linear) and has_rule:
        result = on_each(operation, operands, acts_on, params)
    elif isinstance(operation, Bilinear) and has_rule:
        result = product(operation, *map(parts_of, operands), **params)
    else:
        what = f"it meets complex numbers, at {user_line()}"
        fix = "Write it in real and imaginary parts, z.real and z.imag"
        raise MissingRuleError(message(operation.name, what, "It has no rule for them", fix))
    if not isinstance(result, Parts):
        return result
    if not operation.view:
        # What is written to the result later must reach neither the operands nor its other part.
        known = [part for x in operands if isinstance(x, Traced) for part in parts_of(x)]
        result = Parts(*(_apart(part, [*known, *result[:i]]) for i, part in enumerate(result)))
    return joined(*result)


def _in_one_precision(given: list[Any]) -> list[Any]:
    """Return operands in the precision of the result, as NumPy takes them: what is computed of one alone keeps its digits."""
    parts = [part for x in given if isinstance(x, Parts) for part in x if part is not None]
    dtypes = {part.dtype for part in parts if hasattr(part, "dtype")}
    dtype = real_dtype(*dtypes)
    if len(dtypes) < 2 and (dtype == _REAL or len(parts) == sum(hasattr(part, "dtype") for part in parts)):
        return given
    cast = lambda pair: Parts(*(None if part is None else in_precision(part, dtype) for part in pair))
    return [cast(x) if isinstance(x, Parts) else x for x in given]


def real_dtype(*dtypes: np.dtype) -> np.dtype:
    """Return the precision of the parts of complex numbers made of numbers of some types."""
    return np.result_type(1j, *dtypes).type().real.dtype


def in_precision(part: Any, dtype: np.dtype) -> Any:
    """Return real numbers in a precision; a number of Python takes any."""
    if not hasattr(part, "dtype"):
        return dtype.type(part)
    return part if part.dtype == dtype else part.astype(dtype)


def _apart(part: Any, known: Sequence[Any]) -> Any:
    """Return a part under a handle of its own, if it is one of those that are known."""
    return part.frozen() if isinstance(part, Traced) and any(part is x for x in known) else part


def _is_complex(x: Any) -> bool:
    return isinstance(x, complex) or getattr(x, "dtype", _REAL).kind == "c"


def on_each(operation: Any, operands: Sequence[Any], acts_on: Sequence[bool], params: dict[str, Any]) -> Parts:
    """Apply an operation that is real-linear in some arguments, jointly, to each of the parts."""
    pairs = [parts_of(x) if acts else None for x, acts in zip(operands, acts_on, strict=True)]
    results: list[Any] = []
    for i in (0, 1):
        if all(pair is None or pair[i] is None for pair in pairs):
            results.append(None)
            continue
        given = [
            x if pair is None else pair.both()[i] if pair[i] is None else pair[i]
            for x, pair in zip(operands, pairs, strict=True)
        ]
        results.append(operation(*given, **params))
    return Parts(*results)


def product(operation: Any, a: Parts, b: Parts, **params: Any) -> Parts:
    """Apply a bilinear operation: (a + ib)(c + id) = (ac - bd) + i (ad + bc)."""

    def term(x: Any, y: Any) -> Any:
        return None if x is None or y is None else operation(x, y, **params)

    return Parts(minus(term(a.re, b.re), term(a.im, b.im)), plus(term(a.re, b.im), term(a.im, b.re)))


def multiplies(*operations: Operation) -> None:
    """Declare that operations are bilinear in two arguments, as their kind does not tell."""
    for operation in operations:
        of_complex(operation)(partial(product, operation))


def plus(a: Any, b: Any) -> Any:
    """Add parts."""
    return b if a is None else a if b is None else a + b


def minus(a: Any, b: Any) -> Any:
    """Subtract parts."""
    return a if b is None else -b if a is None else a - b


def _as_complex(re: Any, im: Any) -> Any:
    """Return a complex array, or number, of two real ones: infinities and signs of zeros stay where they are."""
    is_array = isinstance(re, np.ndarray) or isinstance(im, np.ndarray)
    re, im = np.asarray(re), np.asarray(im)
    z = np.empty(np.broadcast_shapes(re.shape, im.shape), np.result_type(re.dtype, im.dtype, np.complex64))
    z.real, z.imag = re, im
    return z if is_array else z[()]


def joined(re: Any, im: Any) -> Any:
    """Return the complex value with the given parts, as an array or a traced value."""
    for part in (re, im):
        if isinstance(part, Traced):
            return part.with_parts(re, im)
    return _as_complex(*Parts(re, im).both())


def real_form(a: Parts) -> Any:
    """Return the real matrix that acts on real parts above imaginary ones as a complex matrix does on vectors."""
    re, im = a.both()
    return np.concatenate([np.concatenate([re, -im], axis=-1), np.concatenate([im, re], axis=-1)], axis=-2)


def from_real_form(x: Any) -> Parts:
    """Return the complex matrix of such a real one."""
    n, m = x.shape[-2] // 2, x.shape[-1] // 2
    return Parts(x[..., :n, :m], x[..., n:, :m])
