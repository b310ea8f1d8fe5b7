"""Compare the derivatives of a program with JAX's and with differences of the plain function."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import hessian as hs
from differential.programs import Program
from hessian.errors import HessianError

#: Relative to the largest number of what is compared.
EXACT, VALUE = 1e-10, 1e-12
#: Numbers beyond this are left out: their rounding is no longer small beside the tolerances.
LARGEST = 1e4


@dataclass(frozen=True)
class Outcome:
    """What became of a program: a word, and a sentence where there is something to say."""

    kind: str  # agrees, raises (as NumPy does), refused, kink, large, WRONG or CRASH
    said: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether the library is at fault."""
        return self.kind in ("WRONG", "CRASH")


class Wrong(AssertionError):
    """Two derivatives disagree."""


def differences(f: Callable[[np.ndarray], Any], x: np.ndarray, v: np.ndarray) -> tuple[Any, float]:
    """Return the derivative of f along v by central differences, extrapolated, with an estimate of its error (Ridders, 1982)."""
    best, error, rows = np.nan, np.inf, []
    for i in range(7):
        h = 0.01 / 2.0**i
        row = [(f(x + h * v) - f(x - h * v)) / (2.0 * h)]
        for j, last in enumerate(rows[-1] if rows else []):
            row.append(row[j] + (row[j] - last) / (4.0 ** (j + 1) - 1.0))
            doubt = max(np.max(np.abs(row[-1] - row[-2]), initial=0.0), np.max(np.abs(row[-1] - last), initial=0.0))
            if doubt < error:
                best, error = row[-1], float(doubt)
        rows.append(row)
    return best, error


def _close(actual: Any, expected: Any, what: str, tolerance: float = EXACT) -> None:
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    if actual.shape != expected.shape:
        raise Wrong(f"{what}: shape {actual.shape}, expected {expected.shape}")
    gap = np.max(np.abs(actual - expected), initial=0.0)
    if not gap <= tolerance * max(1.0, np.max(np.abs(expected), initial=0.0)):
        raise Wrong(f"{what}: off by {gap:.2g}; {actual.ravel()[:6]} where {expected.ravel()[:6]}")


def _matrix(program: Program, blocks: Any) -> np.ndarray:
    """Lay nested blocks of a Hessian out as one matrix."""
    shapes = program.parameters.shapes
    sizes = [int(np.prod(shape)) for shape in shapes]
    rows = [program.parameters.leaves(row) for row in program.parameters.leaves(blocks)]
    return np.block(
        [[np.reshape(b, (m, n)) for b, n in zip(row, sizes, strict=True)] for row, m in zip(rows, sizes, strict=True)]
    )


class Derivatives:
    """What the library says of a function at a point, everything as vectors and matrices."""

    def __init__(self, program: Program, f: Callable[[Any], Any], x: np.ndarray, v: np.ndarray) -> None:
        given = program.pack(x)
        self.value, gradient = hs.value_and_grad(f)(given)
        self.gradient = program.unpack(gradient)
        self.product = program.unpack(hs.hvp(f, given, program.pack(v)))
        self.hessian = _matrix(program, hs.hessian(f)(given))
        if not np.array_equal(program.unpack(given), x):
            raise Wrong("the arguments were written to")

    def compare(self, other: Derivatives, what: str) -> None:
        """Require the same numbers."""
        _close(self.value, other.value, f"{what}, value", VALUE)
        _close(self.gradient, other.gradient, f"{what}, gradient")
        _close(self.product, other.product, f"{what}, product")
        _close(self.hessian, other.hessian, f"{what}, Hessian")


def nested(program: Program, f: Callable[[Any], Any], x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the gradient of the slope along v, a gradient of a gradient."""
    leaves, dots = program.parameters.leaves, program.parameters.leaves(program.pack(v))

    def slope(p: Any) -> Any:
        return sum(np.sum(dot * g) for dot, g in zip(dots, leaves(hs.grad(f)(p)), strict=True))

    return program.unpack(hs.grad(slope)(program.pack(x)))


def jax_derivatives(program: Program, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return JAX's gradient and Hessian, in double precision."""
    import jax

    from differential.jaxprs import evaluate

    f = program.with_jax(x)

    def twice(flat: Any) -> tuple[Any, Any]:
        g = jax.grad(f)(flat)
        return g, g

    with double_precision():
        matrix, gradient = evaluate(jax.make_jaxpr(jax.jacfwd(twice, has_aux=True))(x), x)
        return gradient, matrix


@contextlib.contextmanager
def double_precision(ignored: type[Warning] = Warning) -> Iterator[None]:
    """Switch JAX to float64 for a while; its own warnings are not this library's errors."""
    import jax

    if hasattr(jax, "enable_x64"):
        context = jax.enable_x64(True)
    else:
        from jax.experimental import enable_x64

        context = enable_x64()
    with warnings.catch_warnings(), context:
        warnings.simplefilter("ignore", ignored)
        yield


def _as_numpy_raises(program: Program, x: np.ndarray, error: Exception) -> Outcome:
    """Require an error of the kind that NumPy raised."""
    wanted = [kind for kind in type(error).__mro__ if kind.__module__ == "builtins" and kind not in (Exception, object)]
    wanted = [kind for kind in wanted if kind is not BaseException]
    for f in (program.function(True), hs.record(program.function(True))):
        try:
            hs.grad(f)(program.pack(x))
        except (HessianError, *wanted) as found:
            if not isinstance(found, tuple(wanted)) and not _is_refusal(found):
                return Outcome("WRONG", f"{type(found).__name__} where NumPy raises {type(error).__name__}: {found}")
        except Exception as found:
            return Outcome("CRASH", f"{type(found).__name__} where NumPy raises {type(error).__name__}: {found}")
        else:
            return Outcome("WRONG", f"a number where NumPy raises {type(error).__name__}: {error}")
    return Outcome("raises")


def _is_refusal(error: Exception) -> bool:
    """Whether an error says that there is no rule, or no way to see what is done."""
    return isinstance(error, hs.errors.MissingRuleError | hs.errors.LeavesTapeError)


def _by_differences(program: Program, found: Derivatives, x: np.ndarray, v: np.ndarray) -> bool:
    """Compare with differences of the plain function and of gradients; return whether the function is smooth enough for them."""
    plain, f = program.function(False), program.function(True)
    smooth = True
    for i, e in enumerate(np.eye(len(x))):
        slope, error = differences(lambda z: float(plain(program.pack(z))), x, e)
        allowed = 20.0 * error + 1e-8 * max(1.0, np.max(np.abs(found.gradient)))
        if error > 1e-5 * max(1.0, abs(slope)):
            smooth = False
        elif abs(slope - found.gradient[i]) > allowed:
            raise Wrong(f"differences, gradient[{i}]: {found.gradient[i]} where {slope} ± {error:.1g}")
    bend, error = differences(lambda z: program.unpack(hs.grad(f)(program.pack(z))), x, v)
    allowed = 20.0 * error + 1e-8 * max(1.0, np.max(np.abs(found.hessian), initial=0.0))
    if error > 1e-5 * max(1.0, np.max(np.abs(bend), initial=0.0)):
        return False
    if smooth and np.max(np.abs(bend - found.product), initial=0.0) > allowed:
        raise Wrong(f"differences, product: {found.product} where {bend} ± {error:.1g}")
    return smooth


def _compare(program: Program, with_jax: bool) -> Outcome:
    x = program.draw(0)
    v = np.cos(np.arange(len(x)) + 1.0)
    f, plain = program.function(True), program.function(False)
    try:
        value = float(plain(program.pack(x)))
    except Exception as error:
        return _as_numpy_raises(program, x, error)
    try:
        found = Derivatives(program, f, x, v)
    except HessianError as error:
        return Outcome("refused", f"{type(error).__name__}: {str(error).splitlines()[0]}")
    numbers = np.concatenate([[value], found.gradient, found.hessian.ravel()])
    if not np.max(np.abs(numbers)) < LARGEST:
        return Outcome("large")
    _close(found.value, value, "value", VALUE)
    _close(found.product, found.hessian @ v, "product and Hessian")
    _close(found.hessian, found.hessian.T, "symmetry")
    _close(nested(program, f, x, v), found.product, "gradient of a gradient")
    series = hs.taylor(f, program.pack(x), program.pack(v), order=3)
    _close(series[:3], [value, found.gradient @ v, 0.5 * v @ found.product], "Taylor series")
    recorded = hs.record(f)
    for which in (0, 1, 0):
        at = program.draw(which)
        try:
            expected = found if which == 0 else Derivatives(program, f, at, v)
        except HessianError:
            continue  # another branch, refused there
        if np.max(np.abs(expected.hessian), initial=0.0) < LARGEST:
            Derivatives(program, recorded, at, v).compare(expected, f"recorded at point {which}")
    smooth = _by_differences(program, found, x, v)
    if with_jax:
        try:
            gradient, matrix = jax_derivatives(program, x)
            if not (np.isfinite(gradient).all() and np.isfinite(matrix).all()) and np.isfinite(found.hessian).all():
                # 0 times infinity in a branch that is not taken: differences have judged.
                return Outcome("agrees" if smooth else "kink", "JAX has no number")
            _close(found.gradient, gradient, "JAX, gradient")
            _close(found.hessian, matrix, "JAX, Hessian")
        except Wrong:
            if smooth:
                raise
            return Outcome("kink", "JAX takes another side")
    return Outcome("agrees" if smooth else "kink")


def check(program: Program, with_jax: bool = True) -> Outcome:
    """Run a program every way there is and say how it went."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _compare(program, with_jax)
        except Wrong as error:
            return Outcome("WRONG", str(error))
        except TypeError as error:
            # NumPy's own words where two containers of traced numbers meet without an array: it makes arrays of objects of them.
            kind = "refused" if "which has no callable" in str(error) else "CRASH"
            return Outcome(kind, f"TypeError: {error}")
        except Exception as error:
            return Outcome("CRASH", f"{type(error).__name__}: {error}")


def shrink(program: Program, with_jax: bool = True) -> Program:
    """Leave out steps while the library stays at fault in the same way."""
    kind = check(program, with_jax).kind
    while True:
        for smaller in program.smaller():
            if check(smaller, with_jax).kind == kind:
                program = smaller
                break
        else:
            return program
