"""What elementwise operations do with complex numbers.

Arithmetic, exponentials and the entire functions are written in their parts. Functions with branch cuts, and those whose parts cancel,
are two rows each, of real and imaginary part, whose values are NumPy's own: both follow from the complex derivative by the
Cauchy-Riemann equations, f' = ∂Re f/∂x + i ∂Im f/∂x, ∂f/∂y = i f'.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from hessian.rules import choices, trigonometry
from hessian.rules import elementwise as ew
from hessian.rules.indexing import gather_at_op, scatter_at_op
from hessian.rules.nondifferentiable import OPERATIONS
from hessian.rules.pairs import Parts, joined, minus, of_complex, parts_of, plus, product
from hessian.rules.smooth import Sides, smooth_op
from hessian.rules.spec import PLANE, A, Elementwise, case, nondifferentiable, register
from hessian.rules.traced import Traced


def times(a: Parts, b: Parts) -> Parts:
    """Multiply."""
    return product(ew.multiply, a, b)


def scaled(a: Parts, factor: Any) -> Parts:
    """Multiply by real numbers."""
    return Parts(*(None if part is None else part * factor for part in a))


def turned(a: Parts) -> Parts:
    """Multiply by i."""
    return Parts(None if a.im is None else -a.im, a.re)


def shifted(a: Parts, number: float) -> Parts:
    """Add a real number."""
    return Parts(number if a.re is None else a.re + number, a.im)


def conjugated(a: Parts) -> Parts:
    """Return the complex conjugate."""
    return Parts(a.re, None if a.im is None else -a.im)


def inverse(b: Parts) -> Parts:
    """Return 1 / b; squares neither overflow nor underflow."""
    if b.im is None:
        return Parts(1 / b.re, None)
    if b.re is None:
        return Parts(None, -1 / b.im)
    scale = scale_op(b.re, b.im)
    re, im = b.re * scale, b.im * scale
    squares = re * re + im * im
    return Parts(re / squares * scale, -im / squares * scale)


def over(a: Parts, b: Parts) -> Parts:
    """Divide."""
    if b.im is None:
        return Parts(*(None if part is None else part / b.re for part in a))
    return times(a, inverse(b))


def _power_of_two(re: Any, im: Any) -> Any:
    """Return the power of two that brings the larger part between 1/2 and 1."""
    exponent = np.frexp(np.maximum(np.abs(re), np.abs(im)))[1]
    return np.ldexp(np.ones((), np.result_type(re, im)), -np.clip(exponent, -1000, 1000))


scale_op = nondifferentiable("power_of_two", _power_of_two, raises=())


# Arithmetic.
@of_complex(ew.add)
def _add(a: Parts, b: Parts) -> Parts:
    return Parts(plus(a.re, b.re), plus(a.im, b.im))


@of_complex(ew.subtract)
def _subtract(a: Parts, b: Parts) -> Parts:
    return Parts(minus(a.re, b.re), minus(a.im, b.im))


of_complex(ew.multiply)(times)
of_complex(ew.divide)(over)
of_complex(ew.reciprocal)(inverse)
of_complex(ew.conjugate)(conjugated)


@of_complex(ew.negative)
def _negative(a: Parts) -> Parts:
    return Parts(*(None if part is None else -part for part in a))


@of_complex(ew.positive)
def _positive(a: Parts) -> Parts:
    return Parts(*(None if part is None else +part for part in a))


@of_complex(ew.square)
def square(a: Parts) -> Parts:
    """Return a².

    The real part is a product of sum and difference: squares of nearly equal parts would cancel.
    """
    if a.re is None or a.im is None:
        return Parts(np.square(a.re), None) if a.im is None else Parts(-np.square(a.im), None)
    return Parts((a.re - a.im) * (a.re + a.im), 2 * (a.re * a.im))


def _side(y: Any, side: Any) -> Any:
    """Return side / y, 0 at the origin."""
    return np.where(np.equal(y, 0), 0.0, ew.cosine(side, y))


modulus_op = register(
    Elementwise(
        "modulus",
        np.hypot,
        d1=[lambda y, a, b: _side(y, a), lambda y, a, b: _side(y, b)],
        d2=ew.hypot.d2,
        kinks="gradient 0 at the origin; the Hessian there does not exist: not finite",
        sides=Sides(lambda y, a, b: np.equal(y, 0), lambda y, xs, dots: np.hypot(*dots)),
        analytic=ew.hypot.analytic,
        root=ew.hypot.root,
        reference=ew.hypot.reference,
        points=PLANE,
        cases=[case(A(3), A(3))],
    )
)


@of_complex(choices.absolute)
def modulus(a: Parts) -> Any:
    """Return |a|."""
    if a.re is None or a.im is None:
        return np.absolute(a.some)
    return modulus_op(a.re, a.im)


@of_complex(OPERATIONS["where"])
def _where(condition: Any, a: Parts, b: Parts) -> Parts:
    if isinstance(condition, Traced) and condition.dtype.kind == "c":
        condition = np.not_equal(condition, 0)
    return Parts(
        *(
            None if x is None and y is None else np.where(condition, 0.0 if x is None else x, 0.0 if y is None else y)
            for x, y in zip(a, b, strict=True)
        )
    )


@of_complex(smooth_op)
def _smooth(smooth: Parts, written: Any) -> Parts:
    return smooth


# Powers.
@of_complex(ew.power, ew.float_power)
def power(a: Parts, b: Parts) -> Parts:
    """Return a**b, by products where b is a small integer; else exp(b log a), 0 at a = 0 where Re b > 1."""
    exponent = _number(b)
    if exponent is not None and exponent == int(exponent.real) and abs(exponent) <= 64:
        return _repeated(a, int(exponent.real))
    if exponent == 0.5:
        return sqrt(a)
    if exponent is None or exponent.real <= 1:
        return exp(times(b, log(a)))
    zero = [np.equal(part, 0) for part in a if part is not None]
    vanishes = zero[0] if len(zero) == 1 else np.logical_and(*zero)
    safe = _where(vanishes, Parts(1.0, None), a)
    return _where(vanishes, Parts(0.0, None), exp(times(b, log(safe))))


def _number(b: Parts) -> complex | None:
    """Return an exponent that is one plain number."""
    if any(isinstance(part, Traced) or np.ndim(part) for part in b if part is not None):
        return None
    return complex(b.re or 0.0, b.im or 0.0)


def _repeated(a: Parts, n: int) -> Parts:
    if n < 0:
        return _repeated(inverse(a), -n)
    result = None
    while n:
        if n % 2:
            result = a if result is None else times(result, a)
        n //= 2
        a = square(a) if n else a
    if result is None:
        return Parts(np.ones_like(a.some), None)
    return result


# Functions written in their parts.
@of_complex(ew.exp)
def exp(a: Parts) -> Parts:
    """Return exp(a)."""
    size = None if a.re is None else np.exp(a.re)
    if a.im is None:
        return Parts(size, None)
    cos, sin = np.cos(a.im), np.sin(a.im)
    return Parts(cos, sin) if size is None else Parts(size * cos, size * sin)


@of_complex(ew.exp2)
def _exp2(a: Parts) -> Parts:
    return exp(scaled(a, math.log(2.0)))


@of_complex(trigonometry.sinh)
def sinh(a: Parts) -> Parts:
    """Return sinh(a)."""
    if a.im is None:
        return Parts(np.sinh(a.re), None)
    if a.re is None:
        return Parts(None, np.sin(a.im))
    return Parts(np.sinh(a.re) * np.cos(a.im), np.cosh(a.re) * np.sin(a.im))


@of_complex(trigonometry.cosh)
def cosh(a: Parts) -> Parts:
    """Return cosh(a)."""
    if a.im is None:
        return Parts(np.cosh(a.re), None)
    if a.re is None:
        return Parts(np.cos(a.im), None)
    return Parts(np.cosh(a.re) * np.cos(a.im), np.sinh(a.re) * np.sin(a.im))


@of_complex(trigonometry.sin)
def sin(a: Parts) -> Parts:
    """Return sin(a) = -i sinh(ia)."""
    return _turned_back(sinh(turned(a)))


@of_complex(trigonometry.cos)
def cos(a: Parts) -> Parts:
    """Return cos(a) = cosh(ia)."""
    return cosh(turned(a))


def _turned_back(a: Parts) -> Parts:
    """Multiply by -i."""
    return Parts(a.im, None if a.re is None else -a.re)


# Functions with rows of their own for both parts.
def holomorphic(operation: Elementwise, slope: Callable[..., Parts], **row: Any) -> Callable[..., Parts]:
    """Declare the rows of a function's parts by its derivative, and what the operation does with complex numbers.

    Before its last argument it may have others that are real and have no derivative: orders.
    """
    ufunc, states = operation.function, list(operation.d1[:-1])
    cases = row.pop("cases", [case(A(3), A(3)), case(A(2, 1), A(3))])

    def part(name: str, of_slope: tuple[Any, Any]) -> Elementwise:
        return register(
            Elementwise(
                f"{operation.name}_{name}",
                lambda *xs, **params: np.array(getattr(ufunc(*xs[:-2], joined(*xs[-2:]), **params), name))[()],
                d1=[
                    *states,
                    *(
                        lambda y, *xs, of=of, **params: of(slope(*xs[:-2], Parts(*xs[-2:]), **params))
                        for of in of_slope
                    ),
                ],
                d2=None,
                real_only=True,
                kinks="branch cuts, zeros and poles",
                cases=cases,
                **row,
            )
        )

    def re(z: Parts) -> Any:
        return z.both()[0]

    def im(z: Parts) -> Any:
        return z.both()[1]

    rows = part("real", (re, lambda z: -im(z))), part("imag", (im, re))

    def rule(*xs: Any, **params: Any) -> Parts:
        return Parts(*(row(*xs[:-1], *xs[-1].both(), **params) for row in rows))

    of_complex(operation)(rule)
    return rule


def _one_minus_square(a: Parts) -> tuple[Parts, Parts]:
    """Return 1 - a and 1 + a, whose product is 1 - a² without cancellation."""
    return shifted(_negative(a), 1.0), shifted(a, 1.0)


def _root_slope(a: Parts) -> Parts:
    return scaled(inverse(sqrt(a)), 0.5)


def _inverse_root(a: Parts, b: Parts) -> Parts:
    return inverse(times(sqrt(a), sqrt(b)))


_AWAY = {"domain": [(0.3, 2.0), (0.2, 2.0)]}
"""Away from zeros and branch cuts."""
sqrt: Callable[[Parts], Parts] = holomorphic(ew.sqrt, _root_slope, **_AWAY)
log = holomorphic(ew.log, inverse, **_AWAY)
log2 = holomorphic(ew.log2, lambda a: scaled(inverse(a), 1 / math.log(2.0)), **_AWAY)
log10 = holomorphic(ew.log10, lambda a: scaled(inverse(a), 1 / math.log(10.0)), **_AWAY)
log1p = holomorphic(ew.log1p, lambda a: inverse(shifted(a, 1.0)), **_AWAY)
expm1 = holomorphic(ew.expm1, exp)


def _tanh_slope(a: Parts) -> Parts:
    """Return 1 - tanh(a)² = 4 w / (1 + w)² with w = exp(-2 |a|), whose real part never overflows."""
    re, im = a.both()
    side = np.where(np.signbit(re), -1.0, 1.0)
    w = exp(scaled(Parts(side * re, side * im), -2.0))
    below = shifted(w, 1.0)
    return scaled(over(over(w, below), below), 4.0)


tanh = holomorphic(trigonometry.tanh, _tanh_slope)
tan = holomorphic(trigonometry.tan, lambda a: _tanh_slope(turned(a)), domain=[(-1.2, 1.2), (-2.0, 2.0)])
arcsin = holomorphic(trigonometry.arcsin, lambda a: _inverse_root(*_one_minus_square(a)), **_AWAY)
arccos = holomorphic(trigonometry.arccos, lambda a: _negative(_inverse_root(*_one_minus_square(a))), **_AWAY)
arctan = holomorphic(trigonometry.arctan, lambda a: inverse(times(*_one_minus_square(turned(a)))), **_AWAY)
arcsinh = holomorphic(trigonometry.arcsinh, lambda a: _inverse_root(*_one_minus_square(turned(a))), **_AWAY)
arccosh = holomorphic(trigonometry.arccosh, lambda a: _inverse_root(shifted(a, -1.0), shifted(a, 1.0)), **_AWAY)
arctanh = holomorphic(trigonometry.arctanh, lambda a: inverse(times(*_one_minus_square(a))), **_AWAY)


# Questions, whose answers carry no derivative.
def _asked(name: str, combine: Callable[..., Any]) -> None:
    operation = OPERATIONS[name]

    @of_complex(operation)
    def ask(*zs: Parts, **params: Any) -> Any:
        both = [z.both() for z in zs]
        return combine(*(operation(*(pair[i] for pair in both), **params) for i in (0, 1)))


for _name in ("isnan", "isinf", "not_equal"):
    _asked(_name, np.logical_or)
for _name in ("isfinite", "equal"):
    _asked(_name, np.logical_and)


def _of_truth(name: str) -> None:
    operation = OPERATIONS[name]

    @of_complex(operation)
    def ask(a: Parts, *args: Any, **params: Any) -> Any:
        nonzero = np.logical_or(*(np.not_equal(part, 0) for part in a.both()))
        return operation(nonzero, *args, **params)


for _name in ("any", "all", "count_nonzero", "logical_not"):
    _of_truth(_name)


def _of_each(operation: Any, a: Parts, *args: Any, **params: Any) -> Parts:
    return Parts(*(None if part is None else operation(part, *args, **params) for part in a))


# Elements at places that are computed.
for _operation in (gather_at_op, scatter_at_op):
    of_complex(_operation)(partial(_of_each, _operation))


@of_complex(OPERATIONS["isclose"])
def _isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    # What comes after the last traced value is given by name, as it is.
    a, b = (x if isinstance(x, Parts) else parts_of(x) for x in (a, b))
    rtol, atol = (x.re if isinstance(x, Parts) else x for x in (rtol, atol))
    gap, size = modulus(_subtract(a, b)), modulus(b)
    return np.logical_and(np.less_equal(gap, atol + rtol * size), np.isfinite(size))


for _name in ("round", "rint"):
    of_complex(OPERATIONS[_name])(partial(_of_each, OPERATIONS[_name]))


@of_complex(OPERATIONS["imag"])
def _imag(a: Parts) -> Any:
    return a.both()[1]


def _filled(name: str, number: float | None) -> None:
    operation = OPERATIONS[name]

    @of_complex(operation)
    def fill(a: Parts, dtype: Any = None, **params: Any) -> Any:
        dtype = None if dtype is None else np.dtype(dtype)
        if dtype is not None and dtype.kind != "c":
            return operation(a.some, dtype=dtype, **params)
        real = None if dtype is None else dtype.type().real.dtype
        zeros = OPERATIONS["zeros_like"](a.some, dtype=real, **params)
        return Parts(zeros if number is None else zeros + number, zeros)


_filled("zeros_like", None)
_filled("empty_like", None)
_filled("ones_like", 1.0)
