"""What the solvers take, as type checkers and editors see it: names of methods, arguments by keyword, options, results."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from hessian.arguments import Rng
from hessian.optimize.history import IterationRecord, SaddleRecord
from hessian.optimize.status import Status
from hessian.signatures import Point, Structure, Value

Method = Literal[
    "trust-ncg", "trust-krylov", "trust-exact", "newton", "newton-cg", "arc", "saddle-free",
    "L-BFGS-B", "trust-constr", "SLSQP", "BFGS", "CG", "TNC", "COBYLA", "COBYQA", "Nelder-Mead", "Powell", "dogleg",
]  # fmt: skip
"""Of :func:`hessian.optimize.minimize`: the library's own, and SciPy's."""
Numbers = float | Sequence[float] | Sequence[Sequence[float]]
"""What solvers make an array of."""
Whole = np.integer[Any] | np.bool_
"""Numbers that solvers convert to float64."""


class LoopOptions(TypedDict, total=False):
    """Options of every solver."""

    maxiter: int
    max_seconds: float
    max_hvp: int
    max_cg: int | None
    gtol: float
    record: bool
    progress: bool
    disp: bool
    checkpoint: str | os.PathLike[str] | None
    checkpoint_every: float
    resume: bool
    rng: Rng
    initial_radius: float | None
    max_radius: float
    eta: float | None
    check_curvature: bool


class MinimizeOptions(LoopOptions, total=False):
    """Options of :func:`hessian.optimize.minimize`, of which ``help`` says what they mean."""

    initial_trust_radius: float | None
    max_trust_radius: float
    initial_regularization: float | None
    preconditioner: Any


class SolverArguments(TypedDict, total=False):
    """Arguments by keyword of both solvers."""

    tol: float | None
    callback: Callable[..., Any] | None
    structure: Structure
    fixed: Any


class MinimizeArguments(SolverArguments, total=False):
    """Arguments by keyword of :func:`hessian.optimize.minimize`."""

    bounds: Any
    constraints: Any
    options: MinimizeOptions | Mapping[str, Any] | None


class LeastSquaresArguments(SolverArguments, total=False):
    """Arguments by keyword of :func:`hessian.optimize.least_squares`."""

    method: Literal["lm", "gauss-newton-cg"] | None
    x_scale: Any
    loss: Literal["linear", "soft_l1", "huber", "cauchy", "arctan"]
    f_scale: float
    options: LoopOptions | Mapping[str, Any] | None


class Entries(Generic[Point, Value]):
    """What :class:`hessian.optimize.OptimizeResult` holds at a point, beside what SciPy's methods add."""

    if TYPE_CHECKING:
        x: Point
        fun: Value
        jac: Any
        gradient_norm: float
        success: bool
        status: Status
        message: str
        smallest_eigenvalue: float
        smallest_eigenvalue_residual: float
        saddles: list[SaddleRecord]
        hess: NDArray[np.float64]
        nit: int
        nfev: int
        njev: int
        nhev: int
        n_value: int
        n_grad: int
        n_hvp: int
        n_hess: int
        n_factor: int
        history: list[IterationRecord]
        method: str
        fixed: dict[str, Any]
        structure: str
