"""The objective as solvers see it: a flat vector in, a point out, every evaluation counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hessian.arguments import first_nonfinite
from hessian.errors import (
    ConvergenceError,
    DerivativeCheckError,
    DtypeError,
    NonFiniteError,
    ShapeMismatchError,
    message,
)
from hessian.linalg import limits
from hessian.linalg.factor import Factor
from hessian.linalg.sums import SymmetricSum
from hessian.linalg.vectors import norm
from hessian.operators.hessian_operator import HessianOperator
from hessian.optimize.factors import Factors
from hessian.optimize.scipy_conventions import one_number
from hessian.programs import RecordedFunction
from hessian.tape.kinks import Slopes
from hessian.tape.numbers import check_numbers
from hessian.tape.origins import Origin
from hessian.tape.trees import flatten, map_leaves, ravel, scipy_point
from hessian.transforms.locate import not_finite, origin_in


@dataclass(slots=True)
class Counters:
    """Evaluations so far, each kind on its own: their costs differ too much to be added."""

    n_value: int = 0
    n_grad: int = 0
    n_hvp: int = 0
    n_hess: int = 0
    n_factor: int = 0


KINK_DIRECTIONS = 4
"""Random directions besides."""
COUNTER_NAMES = tuple(field.name for field in fields(Counters))
FAILURES = (np.linalg.LinAlgError, ArithmeticError, ConvergenceError, NonFiniteError)
"""What a function may raise where it has no value: a Cholesky decomposition that fails, a division by zero, an inner equation
(:func:`hessian.root`) without a solution."""


class Point:
    """A function to minimise at one point: the value is there, derivatives come when asked for and are counted.

    A subclass fills in ``_derive``, ``product`` and ``dense``, in variables measured in ``units``.
    """

    __slots__ = ("_gradient", "_gradient_norm", "counters", "value", "x")

    def __init__(self, x: np.ndarray, value: float, counters: Counters) -> None:
        self.x = x
        self.value = value
        self.counters = counters
        self._gradient: np.ndarray | None = None
        self._gradient_norm: float | None = None
        counters.n_value += 1

    def _derive(self) -> np.ndarray:
        """Compute the gradient."""
        raise NotImplementedError

    def product(self, v: np.ndarray) -> np.ndarray:
        """Product with the Hessian."""
        raise NotImplementedError

    def dense(self) -> np.ndarray:
        """Hessian as a matrix."""
        raise NotImplementedError

    def diagonal(self) -> np.ndarray:
        """Diagonal of the Hessian, exactly."""
        return np.diag(self.dense())

    def row_norms(self, most: int) -> np.ndarray | None:
        """Norms of the rows of the Hessian, where at most so many products give them; else None."""
        return None

    @property
    def is_factored(self) -> bool:
        """Whether curvature is that of sparse factors."""
        return False

    def sparse(self) -> SymmetricSum:
        """Hessian as a sparse matrix, in double precision, or as one plus low rank."""
        raise NotImplementedError

    def factored(self, shift: float = 0.0) -> Factor:
        """Hessian plus a multiple of the identity, factored."""
        raise NotImplementedError

    def factored_near(self) -> tuple[SymmetricSum, Factor] | None:
        """Hessian of an earlier point that was positive definite, and its factor."""
        return None

    def factored_other(self, matrix: SymmetricSum, shift: float) -> Factor:
        """Hessian of another point plus a multiple of the identity, factored."""
        raise NotImplementedError

    def dense_once(self, max_hvp: int, is_late: Callable[[], bool]) -> np.ndarray | None:
        """Hessian as a matrix in a run that takes none; None where the time was up before."""
        return self.dense()

    def kinked_slopes(self, seed: int) -> Slopes | None:
        """Return what is known of a kink here; None where there is none, or nobody looks."""
        return None

    @property
    def gradient(self) -> np.ndarray:
        """Gradient as a vector; derived the first time."""
        if self._gradient is None:
            with quiet():
                self._gradient = self._derive()
            self.counters.n_grad += 1
        return self._gradient

    @property
    def gradient_norm(self) -> float:
        """2-norm of the gradient; NaN or infinite when an entry is."""
        if self._gradient_norm is None:
            self._gradient_norm = norm(self.gradient)
        return self._gradient_norm

    @property
    def units(self) -> Any:
        """Units of the variables in which ``product``, ``diagonal`` and ``dense`` are: their own."""
        return 1.0

    @property
    def reach(self) -> float:
        """Length in those units beside which others are long or short: that of x, at least 1."""
        return max(norm(self.x), 1.0)

    def adopt(self, value: float, gradient: np.ndarray) -> None:
        """Take over a value and a gradient computed before, to the last bit."""
        self.value, self._gradient, self._gradient_norm = value, gradient, None


class ObjectivePoint(Point):
    """The objective at one point, with its Hessian as an operator."""

    __slots__ = ("_factors", "_operator", "_sparse")

    def __init__(
        self, operator: HessianOperator, x: np.ndarray, counters: Counters, factors: Factors | None = None
    ) -> None:
        super().__init__(x, float(operator.value), counters)
        self._operator = operator
        self._factors = factors
        self._sparse: SymmetricSum | None = None

    def _derive(self) -> np.ndarray:
        """One reverse sweep."""
        return np.asarray(self._operator.gradient)

    def kinked_slopes(self, seed: int) -> Slopes | None:
        """Return what is known of a kink here from slopes along the axes, if they are few, and random directions."""
        rng, n = np.random.default_rng(seed), self.x.size
        directions = rng.standard_normal((KINK_DIRECTIONS, n))
        if n <= limits.KINK_ORDER:
            directions = np.concatenate([np.eye(n), directions])
        with quiet():
            return self._operator.kinked_slopes(directions.astype(self.x.dtype))

    def product(self, v: np.ndarray) -> np.ndarray:
        """Hessian-vector product; one tangent sweep."""
        self.counters.n_hvp += 1
        product = self._operator.compiled_product(v)
        if product is not None:
            return product
        with quiet():
            return np.asarray(self._operator @ v)

    def diagonal(self) -> np.ndarray:
        """Diagonal of the Hessian, exactly; n products."""
        self.counters.n_hvp += self.x.size
        with quiet():
            return np.asarray(self._operator.diagonal())

    def row_norms(self, most: int) -> np.ndarray | None:
        """Norms of the rows of the Hessian, where its pattern takes at most so many products."""
        with quiet():
            matrix = self._operator.sparse_by_few(most)
            if matrix is None:
                return None
            self.counters.n_hvp += self._operator.diagonal_products(most)
            largest = float(np.max(np.abs(matrix.data), initial=0.0))
            # Relative to the largest, so that squares fit.
            squares = (matrix.data / (largest or 1.0)) ** 2
            return largest * np.sqrt(np.bincount(matrix.indices, squares, self.x.size))

    def dense(self) -> np.ndarray:
        """Hessian as a matrix."""
        self.counters.n_hess += 1
        with quiet():
            return np.asarray(self._operator.to_dense())

    @property
    def is_factored(self) -> bool:
        """Whether curvature is that of sparse factors: not where parts turn out not to be the function, unless they are asked for."""
        if self._factors is None or not self._factors.is_on:
            return False
        try:
            self.sparse()
        except DerivativeCheckError:
            if self._factors.is_asked:
                raise
            self._factors.is_on = False
        return self._factors.is_on

    def looks_sparse(self, factors: Factors) -> bool:
        """Tell whether the Hessian here is worth factoring."""
        with quiet():
            return factors.is_sparse(self._operator)

    def sparse(self) -> SymmetricSum:
        """Hessian as a sparse matrix, in double precision, or as one plus low rank; a product per color, once."""
        assert self._factors is not None
        if self._sparse is None:
            self.counters.n_hess += 1
            with quiet():
                self._sparse = self._factors.matrix(self._operator)
        return self._sparse

    def factored(self, shift: float = 0.0) -> Factor:
        """Hessian plus a multiple of the identity, factored; what failed is a status."""
        assert self._factors is not None
        self.counters.n_factor += 1
        return self._factors.factor(self.sparse(), shift)

    def factored_near(self) -> tuple[SymmetricSum, Factor] | None:
        """Hessian of an earlier point that was positive definite, and its factor."""
        return None if self._factors is None else self._factors.last

    def factored_other(self, matrix: SymmetricSum, shift: float) -> Factor:
        """Hessian of another point plus a multiple of the identity, factored."""
        assert self._factors is not None
        self.counters.n_factor += 1
        return self._factors.factor_alone(matrix, shift)

    def dense_once(self, max_hvp: int, is_late: Callable[[], bool]) -> np.ndarray | None:
        """By single products where those are compiled, and batches are not."""
        if not self._operator.is_compiled or self.x.size > max_hvp:
            return self.dense()
        columns = np.empty((self.x.size, self.x.size), self.x.dtype)
        for column, unit in zip(columns, np.eye(self.x.size, dtype=self.x.dtype), strict=True):
            if is_late():
                return None
            column[:] = self.product(unit)
        return columns


class NoPoint(Point):
    """Where the objective has no value because it raised: NaN, and so is everything else."""

    __slots__ = ()

    def __init__(self, x: np.ndarray, counters: Counters) -> None:
        super().__init__(x, math.nan, counters)
        self._gradient = np.full_like(x, math.nan)


class VectorObjective:
    """``fun(x, *args)`` with the structure of x0 taken off: solvers see vectors, ``fun`` sees what the caller wrote.

    Only the points a solver holds stay in memory: a :class:`Point` owns its recording, and nothing here remembers the
    previous one.
    """

    where = "minimize"
    #: Lets fun return its one number in an array.
    _adapt = staticmethod(one_number)

    def __init__(self, fun: Callable[..., Any], x0: Any, args: tuple[Any, ...], *, record: bool = True) -> None:
        if not record:
            fun = getattr(fun, "plain_function", fun)
        fun = self._adapt(fun, self.where)
        self.source = fun, args
        # Points of one run are many: fun is recorded once.
        self._fun, self._args = bound(fun, args, record)
        tree = map_leaves(
            lambda leaf: _floating(leaf, self.where), scipy_point(x0) if isinstance(x0, list | tuple) else x0
        )
        if not any(np.size(leaf) for leaf in flatten(tree)[0]):
            why = "There is nothing to vary"
            raise ShapeMismatchError(message(self.where, "x0 has no elements", why, "Pass at least one number"))
        self._start, self._unravel = ravel(tree)
        self.counters = Counters()
        #: What runs on sparse factors keep.
        self.factors = Factors()

    def announce(self, tell: Callable[[], None]) -> None:
        """Have somebody told before a program is made, which may take a while."""
        if self._fun is not self.source[0]:  # the caller's own recordings are the caller's business
            self._fun.announce = tell

    @property
    def size(self) -> int:
        """Number of variables."""
        return self._start.size

    @property
    def first(self) -> np.ndarray:
        """The start."""
        return self._start

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision the objective is evaluated in."""
        return self._start.dtype

    def structured(self, vector: np.ndarray) -> Any:
        """Give a vector the structure of x0, in memory of its own."""
        return self._unravel(np.array(vector))

    def start(self) -> Point:
        """Evaluate at x0, where everything has to be finite."""
        if not np.all(np.isfinite(self._start)):
            why = "No step leads away from there"
            what = f"x0 contains NaN or infinity: {self._first_nonfinite()}"
            raise NonFiniteError(message(self.where, what, why, "Pass a finite x0"))
        point = self._at(self._start)
        why = "The start decides the first model, so it has to lie in the domain"
        if not math.isfinite(point.value):
            fix = "Choose an x0 at which fun is finite"
            raise not_finite(self.where, f"fun(x0) is {point.value}", why, fix, self.origin_of_nonfinite())
        bad = np.flatnonzero(~np.isfinite(point.gradient))
        if bad.size:
            what = f"the gradient at x0 is not finite in {bad.size} of {self.size} entries, first in entry {bad[0]}"
            fix = "Move x0 off the singular place, e.g. by a small random shift"
            raise not_finite(self.where, what, why, fix, self.origin_of_nonfinite())
        return point

    def _first_nonfinite(self) -> str:
        tree = self.structured(self._start)
        leaves, structure = flatten(tree)
        return next(
            first_nonfinite(path, np.asarray(leaf))
            for path, leaf in zip(structure.paths("x0"), leaves, strict=True)
            if not np.isfinite(leaf).all()
        )

    def origin_of_nonfinite(self, vector: np.ndarray | None = None) -> Origin | None:
        """Return where the objective or its gradient stops being finite, at x0 or another point."""
        fun, args = self.source
        return origin_in(fun, (self.structured(self._start if vector is None else vector), *args), order=1)

    def trial(self, vector: np.ndarray) -> Point:
        """Evaluate where a model led; a value that is not finite is allowed there, and so is none at all."""
        try:
            with quiet():
                return self._at(vector)
        except FAILURES:
            return NoPoint(vector, self.counters)

    def known(self, vector: np.ndarray) -> Point:
        """Evaluate at a point of an earlier process."""
        return self.trial(vector)

    def hessian_at(self, vector: np.ndarray) -> HessianOperator:
        """Record the objective at a vector."""
        return HessianOperator(self._fun, self._unravel(vector), *self._args)

    def _at(self, vector: np.ndarray) -> Point:
        return ObjectivePoint(self.hessian_at(vector), vector, self.counters, self.factors)


def bound(
    fun: Callable[..., Any], args: tuple[Any, ...], record: bool = True
) -> tuple[RecordedFunction, tuple[Any, ...]]:
    """Return a function as solvers call it, compiled once that pays, and the arguments that it takes besides x.

    Those of a function that is recorded already are its inputs.
    """
    if isinstance(fun, RecordedFunction):
        return fun, args
    call = lambda x: fun(x, *args)
    call.__qualname__ = getattr(fun, "__qualname__", "fun")  # for messages
    return recorded(call, record), ()


def recorded(fun: Callable[..., Any], record: bool = True) -> RecordedFunction:
    """Return a function as solvers call it: compiled once that pays, or not at all."""
    return RecordedFunction(fun, records=record, eager=False)


def quiet() -> np.errstate:
    """Silence NumPy's floating-point warnings, leaving alone what the user set to raise, call or log.

    Leaving the domain is expected of trials and acted upon, so a warning would be a false alarm. The start is not
    silenced.
    """
    quiet: Any = {kind: "ignore" for kind, action in np.geterr().items() if action == "warn"}
    return np.errstate(**quiet)


def _floating(leaf: Any, where: str) -> Any:
    """Convert integers to float64, as SciPy does; keep floats, and numbers as numbers; refuse the rest."""
    array: Any = np.asarray(leaf)
    if isinstance(leaf, np.ndarray) or array.dtype.kind in "OUS":
        check_numbers(leaf, where, "x0")
    if not isinstance(leaf, np.ndarray):
        array = np.float64(leaf) if array.dtype.hasobject else array[()]
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.kind == "f" and array.dtype.itemsize in (4, 8):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    fix = "Pass np.asarray(x0, dtype=float)"
    if array.dtype.kind == "c":
        fix = "Pass real and imaginary parts as two arrays"
    why = "Derivatives are taken in float32 and float64"
    raise DtypeError(message(where, f"x0 has dtype {array.dtype}", why, fix))
