"""What value and partials of a row truly are: its ``reference``, evaluated with first and second derivatives in mpmath.

A reference is written in the functions of :data:`FUNCTIONS` and arithmetic. Numbers are computed with more and more digits
until two precisions agree; where the expression has no number (an end of the domain, an infinity, a removable
singularity) the limit is taken, if there is one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
from mpmath import mp

from hessian.rules.spec import NONDIFF, Elementwise

_DIGITS = (40, 60, 400, 1500)
"""Precisions to go through; a cancellation of 1e300 against 1e-300 twice over takes the last."""
_STEPS = {1: (12, 28, 64, 150), 2: (30, 70, 160), 3: (30, 70, 160)}
"""Decimal exponents of small numbers on the way to a limit, by the number of arguments."""
_AGREE = mpmath.mpf(10) ** -20


def _signed_power(x: Any, p: Any) -> Any:
    return mp.sign(x) * abs(x) ** p


def psi(n: int, x: Any) -> Any:
    """Return the polygamma function by its recurrence and asymptotic series; mpmath's own takes seconds far out."""
    if x <= 0 and x == mp.floor(x):
        raise ZeroDivisionError
    digits = mp.dps + 30
    with mp.workdps(digits + (int(mp.log10(1 + abs(x))) if x < 0 else 0)):
        if x < 0:
            slopes = [0, 1]  # of cot, as a polynomial in cot
            for _ in range(n):
                down = [k * c for k, c in enumerate(slopes)][1:]
                slopes = [-(a + b) for a, b in itertools.zip_longest([0, 0, *down], down, fillvalue=0)]
            return (-1) ** n * psi(n, 1 - x) - mp.pi ** (n + 1) * mp.polyval(slopes[::-1], mp.cot(mp.pi * x))
        total = mp.mpf(0)
        while x < 0.6 * digits:
            total += 1 / x ** (n + 1)
            x = x + 1
        tail = mp.factorial(n - 1) / x**n + mp.factorial(n) / (2 * x ** (n + 1)) if n else 1 / (2 * x) - mp.log(x)
        for k in itertools.count(1):
            term = mp.bernoulli(2 * k) * mp.factorial(2 * k + n - 1) / mp.factorial(2 * k) / x ** (2 * k + n)
            tail += term
            if abs(term) <= abs(tail) * mp.mpf(10) ** -digits:
                return (-1) ** (n + 1) * (mp.factorial(n) * total + tail)


def _gammaln(x: Any) -> Any:
    """Return log |gamma(x)| by Stirling's series."""
    if x <= 0 and x == mp.floor(x):
        raise ZeroDivisionError
    digits = mp.dps + 30
    with mp.workdps(digits + (int(mp.log10(1 + abs(x))) if x < 0 else 0)):
        if x < 0:
            return mp.log(mp.pi / abs(mp.sin(mp.pi * x))) - _gammaln(1 - x)
        product = mp.mpf(1)
        while x < 0.6 * digits:
            product *= x
            x = x + 1
        total = (x - 0.5) * mp.log(x) - x + mp.log(2 * mp.pi) / 2
        for k in itertools.count(1):
            term = mp.bernoulli(2 * k) / (2 * k * (2 * k - 1) * x ** (2 * k - 1))
            total += term
            if abs(term) <= mp.mpf(10) ** -digits * abs(total):
                return total - mp.log(product)


def _gamma(x: Any) -> Any:
    sign = -1 if x < 0 and mp.floor(x) % 2 else 1
    with mp.workdps(mp.dps + max(0, int(mp.log10(1 + abs(x)))) + 10):
        return sign * mp.exp(_gammaln(x))


# The function and its first two derivatives.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "exp": (mp.exp, mp.exp, mp.exp),
    "expm1": (mp.expm1, mp.exp, mp.exp),
    "log": (mp.log, lambda x: 1 / x, lambda x: -1 / x**2),
    "log1p": (mp.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2),
    "sqrt": (mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), lambda x: -1 / (4 * x * mp.sqrt(x))),
    "cbrt": (
        lambda x: _signed_power(x, mp.mpf(1) / 3),
        lambda x: 1 / (3 * _signed_power(x, mp.mpf(1) / 3) ** 2),
        lambda x: -2 / (9 * x * _signed_power(x, mp.mpf(1) / 3) ** 2),
    ),
    "sin": (mp.sin, mp.cos, lambda x: -mp.sin(x)),
    "cos": (mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x)),
    "tan": (mp.tan, lambda x: mp.sec(x) ** 2, lambda x: 2 * mp.tan(x) * mp.sec(x) ** 2),
    "asin": (mp.asin, lambda x: 1 / mp.sqrt(1 - x**2), lambda x: x / mp.sqrt(1 - x**2) ** 3),
    "acos": (mp.acos, lambda x: -1 / mp.sqrt(1 - x**2), lambda x: -x / mp.sqrt(1 - x**2) ** 3),
    "atan": (mp.atan, lambda x: 1 / (1 + x**2), lambda x: -2 * x / (1 + x**2) ** 2),
    "sinh": (mp.sinh, mp.cosh, mp.sinh),
    "cosh": (mp.cosh, mp.sinh, mp.cosh),
    "tanh": (mp.tanh, lambda x: 1 / mp.cosh(x) ** 2, lambda x: -2 * mp.sinh(x) / mp.cosh(x) ** 3),
    "asinh": (mp.asinh, lambda x: 1 / mp.sqrt(1 + x**2), lambda x: -x / mp.sqrt(1 + x**2) ** 3),
    "acosh": (mp.acosh, lambda x: 1 / mp.sqrt(x**2 - 1), lambda x: -x / mp.sqrt(x**2 - 1) ** 3),
    "atanh": (mp.atanh, lambda x: 1 / (1 - x**2), lambda x: 2 * x / (1 - x**2) ** 2),
    "erf": (
        mp.erf,
        lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-(x**2)),
        lambda x: -4 * x / mp.sqrt(mp.pi) * mp.exp(-(x**2)),
    ),
    "erfc": (
        mp.erfc,
        lambda x: -2 / mp.sqrt(mp.pi) * mp.exp(-(x**2)),
        lambda x: 4 * x / mp.sqrt(mp.pi) * mp.exp(-(x**2)),
    ),
    "gamma": (
        lambda x: _gamma(x),
        lambda x: _gamma(x) * psi(0, x),
        lambda x: _gamma(x) * (psi(0, x) ** 2 + psi(1, x)),
    ),
    "gammaln": (lambda x: _gammaln(x), lambda x: psi(0, x), lambda x: psi(1, x)),
    "sign": (mp.sign, lambda x: 0, lambda x: 0),
    "floor": (mp.floor, lambda x: 0, lambda x: 0),
    "abs": (abs, mp.sign, lambda x: 0),
}


def _real(f: Callable[..., Any], *args: Any) -> Any:
    """Evaluate at numbers; NaN where there is no real value."""
    try:
        y = f(*args)
    except (ZeroDivisionError, ValueError, OverflowError, mpmath.libmp.NoConvergence):
        return mp.nan
    if isinstance(y, mpmath.mpc):
        return y.real if y.imag == 0 else mp.nan
    return y


def _times(a: Any, b: Any) -> Any:
    """Multiply where the int 0 is a zero whatever it meets: the derivative of what does not depend."""
    return 0 if (type(a) is int and a == 0) or (type(b) is int and b == 0) else a * b


class Undefined(Exception):
    """A reference says, by the name ``undefined``, that the function has no value here although it may have a limit."""


class Jet:
    """A number with its first and second derivatives in each argument."""

    def __init__(self, value: Any, slope: list[Any], bend: dict[tuple[int, int], Any]) -> None:
        self.value, self.slope, self.bend = value, slope, bend

    @classmethod
    def argument(cls, value: Any, i: int, n: int) -> Jet:
        pairs = itertools.product(range(n), repeat=2)
        return cls(value, [int(i == j) for j in range(n)], dict.fromkeys(pairs, 0))

    def lifted(self, x: Any) -> Jet:
        return x if isinstance(x, Jet) else Jet(mp.mpf(x), [0] * len(self.slope), dict.fromkeys(self.bend, 0))

    def through(self, f: Any, f1: Any, f2: Any) -> Jet:
        """Apply a function of one argument."""
        y, d, c = (_real(g, self.value) for g in (f, f1, f2))
        slope = [_times(d, s) for s in self.slope]
        bend = {
            (i, j): _times(d, b) + _times(c, _times(self.slope[i], self.slope[j])) for (i, j), b in self.bend.items()
        }
        return Jet(y, slope, bend)

    def __add__(self, other: Any) -> Jet:
        other = self.lifted(other)
        slope = [a + b for a, b in zip(self.slope, other.slope, strict=True)]
        return Jet(self.value + other.value, slope, {k: b + other.bend[k] for k, b in self.bend.items()})

    def __mul__(self, other: Any) -> Jet:
        other = self.lifted(other)
        slope = [_times(a, other.value) + _times(self.value, b) for a, b in zip(self.slope, other.slope, strict=True)]
        bend = {
            (i, j): _times(b, other.value)
            + _times(self.value, other.bend[i, j])
            + _times(self.slope[i], other.slope[j])
            + _times(self.slope[j], other.slope[i])
            for (i, j), b in self.bend.items()
        }
        return Jet(self.value * other.value, slope, bend)

    def __pow__(self, other: Any) -> Jet:
        if isinstance(other, int):
            powers = [lambda x, k=k: math.perm(other, k) * x ** (other - k) if k <= other else 0 for k in range(3)]
            return self.through(*powers)
        return _power(self, other)

    def __neg__(self) -> Jet:
        return Jet(-self.value, [-s for s in self.slope], {k: -b for k, b in self.bend.items()})

    def __sub__(self, other: Any) -> Jet:
        return self + (-self.lifted(other))

    def __rsub__(self, other: Any) -> Jet:
        return self.lifted(other) - self

    def __truediv__(self, other: Any) -> Jet:
        return self * self.lifted(other).through(lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3)

    def __rtruediv__(self, other: Any) -> Jet:
        return self.lifted(other) / self

    def __lt__(self, other: Any) -> bool:
        return self.value < self.lifted(other).value

    def __gt__(self, other: Any) -> bool:
        return self.value > self.lifted(other).value

    def __bool__(self) -> bool:
        return bool(self.value != 0)

    def __abs__(self) -> Jet:
        return self.through(*FUNCTIONS["abs"])

    __radd__, __rmul__ = __add__, __mul__


def _raised(x: Any, p: Any) -> Any:
    """Return x**p by the exponential: exponents may be huge."""
    if x > 0:
        return mp.exp(p * mp.log(x))
    if x == 0:
        return mp.mpf(1) if p == 0 else 1 / x if p < 0 else mp.mpf(0)
    if p != mp.floor(p):
        return mp.nan
    return mp.exp(p * mp.log(-x)) * (1 if mp.floor(p / 2) * 2 == p else -1)


def _power(a: Jet, b: Jet) -> Jet:
    """Raise to a power; entry by entry, since each may exist where others do not."""
    x, p = a.value, b.value
    log = lambda: mp.log(x) if x >= 0 else mp.nan
    slope = [_real(lambda: p * _raised(x, p - 1)), _real(lambda: _raised(x, p) * log())]
    bend = {
        (0, 0): _real(lambda: p * (p - 1) * _raised(x, p - 2)),
        (0, 1): _real(lambda: _raised(x, p - 1) * (1 + p * log())),
        (1, 1): _real(lambda: _raised(x, p) * log() ** 2),
    }
    return Jet(_real(lambda: _raised(x, p)), slope, {**bend, (1, 0): bend[0, 1]})


def _atan2(a: Jet, b: Jet) -> Jet:
    x, y = a.value, b.value
    r = x * x + y * y
    slope = [_real(lambda: y / r), _real(lambda: -x / r)]
    cross = _real(lambda: (x * x - y * y) / r**2)
    bend = {(0, 0): _real(lambda: -2 * x * y / r**2), (1, 1): _real(lambda: 2 * x * y / r**2)}
    return Jet(mp.atan2(x, y), slope, {**bend, (0, 1): cross, (1, 0): cross})


def _psi(n: int, x: Jet) -> Jet:
    return x.through(*(lambda t, k=k: psi(n + k, t) for k in range(3)))


class _Names(dict):
    """The names a reference is written in."""

    def __missing__(self, name: str) -> Any:
        if name == "undefined":
            raise Undefined
        if name in FUNCTIONS:
            return lambda x: x.through(*FUNCTIONS[name]) if isinstance(x, Jet) else FUNCTIONS[name][0](mp.mpf(x))
        if name == "pi":
            return +mp.pi
        if not hasattr(mp, name):
            raise NameError(f"tests/reference.py: neither FUNCTIONS nor mpmath has a function {name!r}")
        f = getattr(mp, name)
        return lambda x: x.through(f, lambda t: mp.diff(f, t), lambda t: mp.diff(f, t, 2))


def _expression(row: Elementwise) -> tuple[list[str], Any]:
    if not row.reference:
        raise LookupError(
            f'the row {row.name} has no reference: add reference="x: ..." to it, the function in names of mpmath, '
            "from which the accuracy walk takes its true values"
        )
    names, _, expression = row.reference.partition(":")
    return [name.strip() for name in names.split(",")], _compiled(expression.strip())


@cache
def _compiled(expression: str) -> Any:
    return compile(expression, "<reference>", "eval")


Truth = dict[Any, Any]
"""From () for the value, (i,) and (i, j) for partials, to a number, or None where there is none."""


def _evaluate(row: Elementwise, point: tuple[Any, ...], params: dict[str, Any]) -> Truth:
    names, code = _expression(row)
    n = len(point)
    arguments = {name: Jet.argument(mp.mpf(x), i, n) for i, (name, x) in enumerate(zip(names, point, strict=False))}
    names_of = _Names(arguments | params | {"psi": _psi, "atan2": _atan2})
    names_of |= {"min": min, "max": max, "abs": abs}
    jet = eval(code, {"__builtins__": {}}, names_of)
    jet = arguments[names[0]].lifted(jet)
    return {(): jet.value} | {(i,): s for i, s in enumerate(jet.slope)} | jet.bend


def _settled(a: Any, b: Any) -> bool:
    if type(a) is int and type(b) is int:
        return True
    if mp.isnan(a) and mp.isnan(b):
        return True
    if not (mp.isfinite(a) and mp.isfinite(b)) or a == 0 or b == 0:
        return False
    return abs(a - b) <= _AGREE * abs(b)


def exact(row: Elementwise, point: tuple[Any, ...], params: dict[str, Any]) -> Truth:
    """Evaluate where the expression is a number; NaN where it is none."""
    before: Truth | None = None
    for digits in _DIGITS:
        with mp.workdps(digits):
            found = _evaluate(row, point, params)
            if before is not None and all(_settled(before[k], found[k]) for k in found):
                return found
            before = found
    assert before is not None
    return before


def truth(row: Elementwise, point: tuple[float, ...], params: dict[str, Any], special: bool = True) -> Truth:
    """Return true numbers at a point of floats, limits at special ones where need be, None where there is neither."""
    found: Truth = {}
    if all(map(math.isfinite, point)):
        try:
            found = {k: v for k, v in exact(row, point, params).items() if not mp.isnan(v)}
        except Undefined:
            return dict.fromkeys(_keys(len(point)))
        if () not in found and not special:
            return dict.fromkeys(_keys(len(point)))
    missing = [k for k in _keys(len(point)) if k not in found]
    if missing:
        limits = _limits(row, point, params) if special else dict.fromkeys(missing)
        found |= {k: limits[k] for k in missing}
    if found[()] is None:
        return dict.fromkeys(found)
    return found


def _keys(n: int) -> list[Any]:
    return [(), *((i,) for i in range(n)), *itertools.product(range(n), repeat=2)]


def _limits(row: Elementwise, point: tuple[float, ...], params: dict[str, Any]) -> Truth:
    """Take limits along several paths; None where they differ or where there are none."""
    seen: dict[Any, list[Any]] = {k: [] for k in _keys(len(point))}
    for path in _paths(row, point):
        with mp.workdps(450 if len(point) == 1 else 600):
            way = [_evaluate(row, [x(mp.mpf(10) ** -k) for x in path], params) for k in _STEPS[len(point)]]
        for k in seen:
            if not any(mp.isnan(there[k]) for there in way):
                limits = [_limit(a[k], b[k]) for a, b in itertools.pairwise(way)]
                seen[k].append(limits[-1] if all(_same(limits[-1], x) for x in limits) else mp.nan)
    return {k: found[0] if found and all(_same(found[0], x) for x in found) else None for k, found in seen.items()}


def _paths(row: Elementwise, point: tuple[float, ...]) -> list[tuple[Callable[[Any], Any], ...]]:
    """Return ways to a point as functions of a small h: infinities and zeros at several speeds, ends from each side."""
    alone = len(point) == 1

    def ways(x: float, entry: Any) -> list[Callable[[Any], Any]]:
        if entry is NONDIFF or (math.isfinite(x) and x != 0 and not alone):
            return [lambda h: mp.mpf(x)]
        speeds = [1] if alone else [1, 3, mp.mpf(1) / 3]
        if math.isinf(x):
            return [lambda h, p=p: (1 if x > 0 else -1) / h**p for p in speeds]
        sides = [1, -1] if x else [int(math.copysign(1, x))]
        return [lambda h, s=s, p=p: mp.mpf(x) + s * h**p for s in sides for p in speeds]

    return list(itertools.product(*map(ways, point, row.d1)))


def _limit(near: Any, nearer: Any) -> Any:
    """Guess the limit from two numbers on the way to it."""
    if abs(near - nearer) <= mp.mpf(10) ** -10 * abs(nearer):
        return nearer
    if abs(nearer) < abs(near) / 2:
        return mp.mpf(0)
    if abs(nearer) > 2 * abs(near):
        return mp.sign(nearer) * mp.inf
    return mp.nan


def _same(a: Any, b: Any) -> bool:
    if mp.isnan(a) or mp.isnan(b):
        return False
    if mp.isinf(a) or mp.isinf(b):
        return bool(a == b)
    return bool(abs(a - b) <= mp.mpf(10) ** -10 * abs(b))
