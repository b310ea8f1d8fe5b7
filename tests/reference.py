"""What value and partials of a row truly are: its ``reference``, evaluated with first and second derivatives in mpmath.

A reference is written in the functions of :data:`FUNCTIONS` and arithmetic. Numbers are computed with more and more digits
until two precisions agree; where the expression has no number (an end of the domain, an infinity, a removable
singularity) the limit is taken, if there is one.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
from mpmath import mp

from hessian.rules.spec import MISSING, NONDIFF, Elementwise

_DIGITS = (40, 60, 400, 1500)
"""Precisions to go through; a cancellation of 1e300 against 1e-300 twice over takes the last."""
_FEW_DIGITS = (24, 32)
"""For functions that take long, where nothing cancels that much."""
_STEPS = {1: (12, 28, 64, 150), 2: (30, 70, 160), 3: (30, 70, 160)}
"""Decimal exponents of small numbers on the way to a limit, by the number of arguments."""
_AGREE = mpmath.mpf(10) ** -20


def _signed_power(x: Any, p: Any) -> Any:
    return mp.sign(x) * abs(x) ** p


def _remembered(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its last values kept, by arguments and precision: ways to a limit share coordinates."""
    values = functools.lru_cache(512)(lambda _, *args: f(*args))
    return lambda *args: values(mp.prec, *args)


@_remembered
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


@_remembered
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


class Known:
    """A function whose derivatives in its last argument, the only one that varies, are known: ``f(*xs, k)`` is the k-th."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f

    def __call__(self, *xs: Any) -> Any:
        return self.f(*xs, 0)


def _slope(f: Callable[..., Any], xs: list[Any], along: tuple[int, ...]) -> Any:
    """Differentiate numerically in the arguments ``along``, with steps relative to them and thrice the digits."""
    digits = mp.dps
    with mp.workdps((2 + len(along)) * digits + 10):
        steps = [abs(x) * mp.mpf(10) ** -digits or mp.mpf(10) ** -digits for x in xs]
        at = lambda shifts: f(*[x + k * h for x, k, h in zip(xs, shifts, steps, strict=True)])
        unit = lambda i, k: [k if j == i else 0 for j in range(len(xs))]
        i, j = along[0], along[-1]
        if len(along) == 1:
            return (at(unit(i, 1)) - at(unit(i, -1))) / (2 * steps[i])
        if i == j:
            middle = at(unit(i, 0))
            return ((at(unit(i, 1)) - middle) - (middle - at(unit(i, -1)))) / steps[i] ** 2
        corner = lambda a, b: at([a if k == i else b if k == j else 0 for k in range(len(xs))])
        total = (corner(1, 1) - corner(1, -1)) - (corner(-1, 1) - corner(-1, -1))
        return total / (4 * steps[i] * steps[j])


def applied(f: Callable[..., Any], *given: Any) -> Jet:
    """Apply a function of several arguments, of which those that vary are jets."""
    some = next(x for x in given if isinstance(x, Jet))
    jets = [some.lifted(x) for x in given]
    xs = [jet.value for jet in jets]
    varying = [k for k, jet in enumerate(jets) if any(type(s) is not int or s for s in jet.slope)]
    if isinstance(f, Known):
        *others, last = jets
        assert varying == [len(others)] or not varying
        return last.through(*(lambda t, k=k: f.f(*xs[:-1], t, k) for k in range(3)))
    first = {k: _real(lambda k=k: _slope(f, xs, (k,))) for k in varying}
    second = {
        (k, m): _real(lambda k=k, m=m: _slope(f, xs, (k, m))) for k, m in itertools.product(varying, repeat=2) if k <= m
    }
    n = len(some.slope)
    slope: list[Any] = [0] * n
    bend: dict[Any, Any] = dict.fromkeys(some.bend, 0)
    for k in varying:
        slope = [a + _times(first[k], b) for a, b in zip(slope, jets[k].slope, strict=True)]
        bend = {ij: a + _times(first[k], jets[k].bend[ij]) for ij, a in bend.items()}
    for k, m in itertools.product(varying, repeat=2):
        c = second[min(k, m), max(k, m)]
        bend = {ij: a + _times(c, _times(jets[k].slope[ij[0]], jets[m].slope[ij[1]])) for ij, a in bend.items()}
    return Jet(_real(f, *xs), slope, bend)


def _student(v: Any, t: Any) -> Any:
    tail = mp.betainc(v / 2, mp.mpf(1) / 2, 0, v / (v + t * t), regularized=True) / 2
    return tail if t < 0 else 1 - tail


def _gammainc(a: Any, x: Any) -> Any:
    """Return P(a, x) with the digits of what it is short of 1."""
    with mp.workdps(mp.dps + int(max(x - a, 0) / 2)):
        return mp.gammainc(a, 0, x, regularized=True)


def _gammaincc(a: Any, x: Any) -> Any:
    with mp.workdps(mp.dps + int(max(a * mp.log10((a + 1) / x), 0))):
        return mp.gammainc(a, x, regularized=True)


def _beta_tail(a: Any, b: Any, x: Any) -> Any:
    return mp.betainc(a, b, x, 1, regularized=True)


def _erfcx(x: Any) -> Any:
    return mp.exp(x * x) * mp.erfc(x)


def _owens_t(h: Any, a: Any) -> Any:
    """Return Owen's series for |a| < 1."""
    with mp.workdps(mp.dps + 10):
        half = h * h / 2
        term = short = mp.exp(-half)
        total, power, j = mp.mpf(0), a, 0
        while abs(power) > mp.mpf(10) ** (-mp.dps):
            total += (-1) ** j * power / (2 * j + 1) * (1 - short)
            j += 1
            term = term * half / j
            short, power = short + term, power * a * a
        return (mp.atan(a) - total) / (2 * mp.pi)


def _voigt(x: Any, s: Any, g: Any) -> Any:
    z = mp.mpc(x, g) / (s * mp.sqrt(2))
    return (mp.exp(-z * z) * mp.erfc(mp.mpc(0, -1) * z)).real / (s * mp.sqrt(2 * mp.pi))


def _wright_omega(x: Any) -> Any:
    if x < 2000:
        return mp.lambertw(mp.exp(x)).real
    y = x - mp.log(x)
    for _ in range(60):
        y = y - (y + mp.log(y) - x) / (1 + 1 / y)
    return y


def _erfcinv(x: Any) -> Any:
    """Return the inverse by Newton's method on the logarithm."""
    if x > 1:
        return -_erfcinv(2 - x)
    y = mp.sqrt(abs(mp.log(x))) if x < 0.1 else (1 - x)
    for _ in range(200):
        step = mp.erfc(y) * (mp.log(mp.erfc(y)) - mp.log(x)) * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        y = y + step
        if abs(step) <= abs(y) * mp.mpf(10) ** (-mp.dps + 3) or y == 0:
            return y
    return mp.nan


def _besselk(v: Any, z: Any, k: int) -> Any:
    """Return the integral of (-cosh t)^k exp(-z cosh t) cosh(v t) by the rule of trapezoids, whose error is below all digits."""
    step = min(mp.mpf(3) / (2 * mp.dps + 10), 2 / mp.sqrt(abs(z) * (mp.dps + 10)))
    total, i = (-1) ** k * mp.exp(-z) / 2, 1
    while True:
        t = i * step
        rise = mp.cosh(t)
        term = (-rise) ** k * mp.exp(-z * rise) * mp.cosh(v * t)
        total, i = total + term, i + 1
        if abs(term) < abs(total) * mp.mpf(10) ** (-mp.dps - 5) and mp.re(z) * rise > v * t + k * t:
            return total * step


def _kelvin(name: str, more: int) -> Known:
    """Return a part of J_0(x e^(3 pi i / 4)) or K_0(x e^(pi i / 4)), or its derivative."""

    def f(x: Any, k: int) -> Any:
        turn = mp.expjpi(mp.mpf(3 if name[0] == "b" else 1) / 4)
        order = k + more
        of = mp.besselj(0, x * turn, derivative=order) if name[0] == "b" else _besselk(0, x * turn, order)
        return (turn**order * of).real if name[-1] == "r" else (turn**order * of).imag

    return Known(f)


def _bessely(v: Any, z: Any) -> Any:
    """Return Y, of whole orders by its series (Abramowitz & Stegun 9.1.11)."""
    if v != mp.floor(v):
        return mp.bessely(v, z)
    n = int(v)
    with mp.workdps(mp.dps + 30):
        half = z / 2
        total = 2 * mp.log(half) * mp.besselj(n, z)
        total -= sum(mp.factorial(n - k - 1) / mp.factorial(k) * half ** (2 * k - n) for k in range(n))
        term, k = half**n / mp.factorial(n), 0
        harmonic = mp.harmonic(n) - 2 * mp.euler
        while abs(term) > mp.mpf(10) ** (-mp.dps - 10) * abs(total) or k < half:
            total -= harmonic * term
            k += 1
            harmonic += mp.mpf(1) / k + mp.mpf(1) / (n + k)
            term *= -half * half / (k * (n + k))
        return total / mp.pi


def _elliprg(x: Any, y: Any, z: Any) -> Any:
    """Return R_G by DLMF 19.21.10, sooner than mpmath does."""
    x, y, z = sorted((x, y, z))
    with mp.workdps(mp.dps + 10):
        return (z * mp.elliprf(x, y, z) - (x - z) * (y - z) * mp.elliprd(x, y, z) / 3 + mp.sqrt(x * y / z)) / 2


# Functions of scipy.special that mpmath has under another name, or that are made of its functions.
OTHERS: dict[str, Callable[..., Any]] = {
    "gammainc": _gammainc,
    "gammaincc": _gammaincc,
    "betainc": lambda a, b, x: mp.betainc(a, b, 0, x, regularized=True),
    "betaincc": _beta_tail,
    "student": _student,
    "erfcx": _erfcx,
    "erfcinv": _erfcinv,
    "dawsn": lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x),
    "owens_t": _owens_t,
    "voigt": _voigt,
    "wright_omega": _wright_omega,
    "ellipeinc": mp.ellipe,
    "huber": lambda d, r: r * r / 2 if abs(r) <= d else d * (abs(r) - d / 2),
    **{f"{name}{'p' * more}": _kelvin(name, more) for name in ("ber", "bei", "ker", "kei") for more in (0, 1)},
    "besselk": Known(_besselk),
    "besselj": Known(lambda v, z, k: mp.besselj(v, z, derivative=k)),
    "besseli": Known(lambda v, z, k: mp.besseli(v, z, derivative=k)),
    "airyai": Known(lambda x, k: mp.airyai(x, derivative=k)),
    "airyaip": Known(lambda x, k: mp.airyai(x, derivative=k + 1)),
    "airybi": Known(lambda x, k: mp.airybi(x, derivative=k)),
    "airybip": Known(lambda x, k: mp.airybi(x, derivative=k + 1)),
    "bessely": _bessely,
    "elliprg": _elliprg,
}


class _Names(dict):
    """The names a reference is written in."""

    def __missing__(self, name: str) -> Any:
        if name == "undefined":
            raise Undefined
        if name in FUNCTIONS:
            return lambda x: x.through(*FUNCTIONS[name]) if isinstance(x, Jet) else FUNCTIONS[name][0](mp.mpf(x))
        if name == "pi":
            return +mp.pi
        f = OTHERS.get(name) or getattr(mp, name, None)
        if f is None:
            raise NameError(f"tests/reference.py: neither FUNCTIONS nor mpmath has a function {name!r}")
        return lambda *xs: applied(f, *xs) if any(isinstance(x, Jet) for x in xs) else f(*xs)


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
    for name, entry in zip(names, row.d1, strict=False):
        if entry in (NONDIFF, MISSING):
            arguments[name].slope = [0] * n
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
    for digits in _FEW_DIGITS if row.accuracy is not None and row.accuracy.grid else _DIGITS:
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
