"""Roots of plain equations to the last digits, and the factors of their Jacobians."""

from __future__ import annotations

import warnings
from typing import Protocol

import numpy as np
import scipy.linalg
import scipy.optimize

from hessian.errors import ConvergenceError, NonFiniteError, UndefinedDerivativeError, message
from hessian.tape.origins import Origin
from hessian.transforms.locate import not_finite

_MOST_STEPS = 50
_FIX = "Add equations or a penalty that single one solution out"


class System(Protocol):
    """n equations for n unknowns."""

    where: str

    def residual(self, x: np.ndarray) -> np.ndarray: ...
    def jacobian(self, x: np.ndarray) -> np.ndarray: ...
    def product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray: ...
    def origin(self, x: np.ndarray, order: int) -> Origin | None: ...


def factors_at(system: System, x: np.ndarray) -> np.ndarray:
    """Return the factors of the Jacobian at x.

    Raises
    ------
    NonFiniteError, UndefinedDerivativeError
        It holds NaN or inf, or is singular.
    """
    matrix = system.jacobian(x)
    if not np.isfinite(matrix).all():
        what = "the derivative of the equation at the solution holds NaN or inf"
        why = "The implicit function theorem divides by it"
        raise not_finite(system.where, what, why, "", system.origin(x, 1))
    return factorized(matrix, system.where)


def factorized(matrix: np.ndarray, where: str) -> np.ndarray:
    """Return the LU factors of a matrix with rows and columns scaled, transposed, and below them pivots and scales: shape (n + 3, n)."""
    n, unit = len(matrix), float(np.finfo(matrix.dtype).eps)
    equilibrate, condition = scipy.linalg.get_lapack_funcs(("geequ", "gecon"), (matrix,))
    rows, columns, *_, info = equilibrate(matrix)
    if info == 0:
        scaled = rows[:, None] * matrix * columns
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)
            lu, pivots = scipy.linalg.lu_factor(scaled, check_finite=False)
        size = np.abs(scaled).sum(axis=0).max()
        left, info = condition(lu, size)
    if info != 0 or not left > max(n, 10) * unit:
        what = "the derivative of the equation in x is singular at the solution"
        why = "The solution is not unique near there, or not smooth, and has no derivative"
        raise UndefinedDerivativeError(message(where, what, why, _FIX))
    return np.concatenate([lu.T, pivots[None], rows[None], columns[None]]).astype(matrix.dtype)


def solve_factored(factors: np.ndarray, b: np.ndarray, transposed: bool = False) -> np.ndarray:
    """Solve A z = b, or with Aᵀ, along the last axis of b."""
    lu, (pivots, rows, columns) = factors[:-3].T, factors[-3:]  # in Fortran's order, as LAPACK wants them
    before, after = (columns, rows) if transposed else (rows, columns)
    flat = (b * before).reshape(-1, b.shape[-1])
    found = scipy.linalg.lu_solve((lu, pivots.astype(int)), flat.T, trans=int(transposed), check_finite=False)
    return np.ascontiguousarray((found.T * after).reshape(b.shape))


def find_root(system: System, x0: np.ndarray, *, near: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Solve by MINPACK with exact Jacobians and by Newton steps to the last digits; return the root and the factors there.

    A start that is ``near`` is taken to Newton's method first.

    Raises
    ------
    NonFiniteError
        The equation is not finite at the start.
    ConvergenceError
        No root was found.
    UndefinedDerivativeError
        The Jacobian is singular there.
    """
    first = system.residual(x0)
    if not np.isfinite(first).all():
        bad = np.flatnonzero(~np.isfinite(first))
        what, fix = f"the equation is not finite at x0, first in number {bad[0]}", "Choose an x0 at which it is finite"
        raise not_finite(system.where, what, "", fix, system.origin(x0, 0))
    reasons: list[Exception] = []
    # ``None`` is Newton's method from the start, which does not care for the units of the equations.
    for method in (None, "hybr", "lm") if near else ("hybr", "lm", None):
        x, ending = (x0, "") if method is None else _by_minpack(system, x0, method)
        try:
            return polished(system, x, x0, ending)
        except (ConvergenceError, NonFiniteError, UndefinedDerivativeError) as error:
            reasons.append(error)
    raise reasons[0]


def _by_minpack(system: System, x0: np.ndarray, method: str) -> tuple[np.ndarray, str]:
    """Return where MINPACK ends, which computes in double precision, and what it says of it."""
    found = scipy.optimize.root(
        lambda x: system.residual(x.astype(x0.dtype)).astype(float),
        x0.astype(float),
        jac=lambda x: system.jacobian(x.astype(x0.dtype)).astype(float),
        method=method,
    )
    return found.x.astype(x0.dtype), f"SciPy's {method}: {' '.join(found.message.split())}"


def polished(system: System, x: np.ndarray, x0: np.ndarray, ending: str) -> tuple[np.ndarray, np.ndarray]:
    """Take Newton steps from the end of a solver until rounding decides; return the root and the factors of the Jacobian there.

    Lengths are measured in the units that the scales of the factors give the unknowns.
    """
    unit, previous, size = float(np.finfo(x.dtype).eps), np.inf, np.inf
    for count in range(_MOST_STEPS):
        value = system.residual(x)
        if not np.isfinite(value).all():
            break
        try:
            factors = factors_at(system, x)
        except UndefinedDerivativeError:
            if _norm(value) > unit**0.5 * _norm(system.residual(x0)):
                break  # a stationary point of the residual
            raise
        step, units = solve_factored(factors, value), factors[-1]
        size, length, reach = (_norm(v / units) for v in (step, x, x - x0))
        if count == 0 and reach > 0 and size > 0.1 * max(length, reach):
            break  # a solver that has found something ends nearer
        if size <= 4 * unit * length or size > 0.45 * previous or size == 0:
            near = unit ** (1 / 3) * max(length, 1e-3 * reach)
            if size <= near:
                _check_smooth(system, x, factors, near)
                return x, factors
            break
        x, previous = x - step, size
    left, first = _norm(system.residual(x)), _norm(system.residual(x0))
    # To a simple root the steps shrink faster and faster, to one at infinity they do not shrink.
    if left <= unit**0.5 * first and size < 0.95 * previous:
        what = f"the equation is left with {left:.2e}, but Newton's method converges slowly"
        why = "Its derivative in x is singular at the solution, which has no derivative"
        raise UndefinedDerivativeError(message(system.where, what, why, _FIX))
    what = f"no solution was found; the equation is left with {left:.2e}, at x0 with {first:.2e}"
    raise ConvergenceError(message(system.where, what, ending, "Start nearer to a solution"))


def _check_smooth(system: System, x: np.ndarray, factors: np.ndarray, distance: float) -> None:
    """Refuse a root whose Jacobian is another one a little beside it: of a double root it is rounding."""
    if distance == 0:
        return
    units = factors[-1]
    # A direction that has nothing to do with the equation.
    u = np.cos(np.arange(1.0, x.size + 1)).astype(x.dtype)
    v = u / np.asarray(_norm(u), x.dtype) * units
    beside = system.product(x + np.asarray(distance, x.dtype) * v, v)
    if not _norm((solve_factored(factors, beside) - v) / units) <= 0.5:
        what = "the derivative of the equation in x has no correct digit at the solution: it is another one right beside it"
        why = "The solution is a double one, or nearly, and has no derivative"
        raise UndefinedDerivativeError(message(system.where, what, why, _FIX))


def _norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(x.astype(float)))
