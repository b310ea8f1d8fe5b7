r"""Hessian-free optimisation: truncated Newton steps on the Gauss-Newton matrix of a batch.

At the parameters x with gradient g, the step minimises the damped model

.. math:: q(\delta) = g^T \delta + \tfrac12 \delta^T (G + \lambda I) \delta

by conjugate gradients, where G is the Gauss-Newton matrix of a batch of rows. The gradient comes from all rows, or from
a larger batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.linalg.cg import ConjugateGradients, Product, run
from hessian.linalg.vectors import norm
from hessian.nn.batch_methods.batches import Batches
from hessian.nn.batch_methods.loop import Iteration, Rows, check_start
from hessian.nn.batch_methods.settings import HessianFreeOptions
from hessian.nn.objective import BatchObjective
from hessian.optimize import Status
from hessian.optimize.loop import Ending

_ARMIJO, _SHORTEN, _MAX_SHORTENINGS = 1e-2, 0.8, 60
"""Of the line search at the end: share of the predicted decrease, factor of a shortening, and how many, to 1.5e-6."""
_SPACING = 1.3
"""Iterates of conjugate gradients are kept at numbers that grow by this factor: Martens (2010), section 4.6."""
_ADAPT = 1.5
"""Factor of the damping: Martens (2010), section 4.1."""
_SHARE, _LEAST_BATCH = 4, 256
"""Rows of the Gauss-Newton matrix by default: a quarter, at least so many. Measured at equal work on four problems of 1797
to 3000 rows (two deep autoencoders, a classifier, a regression, two seeds each): with a third, the objective is up to 60 %
higher after an eighth of the work, and ends between 4 % lower and 8 % higher."""


@dataclass(frozen=True, slots=True)
class Iterate:
    """A point on the way of conjugate gradients, and the model there."""

    step: np.ndarray
    model: float


@dataclass(frozen=True, slots=True)
class Path:
    """Iterates kept, the last one among them, and why conjugate gradients stopped."""

    iterates: list[Iterate]
    n_hvp: int
    status: str


def conjugate_gradients(
    product: Product,
    b: np.ndarray,
    start: np.ndarray,
    *,
    tol: float = 5e-4,
    maxiter: int = 250,
    deadline: float = math.inf,
) -> Path:
    r"""Minimise :math:`q(\delta) = \frac12 \delta^T A \delta - b^T \delta` until progress is slow, keeping iterates.

    Parameters
    ----------
    tol : float
        Stop at iteration i when q < 0 and the last ``k = max(10, i/10)`` iterations made it smaller by less than ``k tol``
        of its size.
    deadline : float
        Time of ``time.perf_counter`` after which to stop.

    Returns
    -------
    Path
        Status ``"progress"``, ``"maxiter"``, ``"deadline"``, ``"solved"`` (nothing left of the residual) or ``"curvature"``
        (a direction without positive curvature: rounding, or a matrix that is not what it should be).

    Notes
    -----
    What counts is the decrease of the model, not the residual, which is measured in the wrong norm and may grow while
    the model falls.

    References
    ----------
    J. Martens, "Deep learning via Hessian-free optimization", ICML (2010), sections 4.4 and 4.6.

    Examples
    --------
    >>> A, b = np.diag([1.0, 4.0]), np.array([1.0, 2.0])
    >>> path = conjugate_gradients(lambda v: A @ v, b, np.zeros(2))
    >>> path.iterates[-1].step.round(12).tolist(), path.status
    ([1.0, 0.5], 'solved')
    """
    n_start = int(bool(start.any()))
    cg = ConjugateGradients(product(start) - b if n_start else -b, start)
    values: list[float] = []
    kept: list[Iterate] = []
    next_kept = 1.0

    def measure() -> None:
        values.append(0.5 * float(cg.iterate @ (cg.residual - b)))

    def at_iterate(cg: ConjugateGradients) -> str | None:
        nonlocal next_kept
        measure()
        if cg.products >= next_kept:
            kept.append(Iterate(cg.iterate, values[-1]))
            next_kept = max(next_kept * _SPACING, cg.products + 1)
        if _is_slow(values, tol):
            return "progress"
        return "deadline" if time.perf_counter() >= deadline else None

    measure()
    floor = float(np.finfo(b.dtype).eps) ** 2 * float(b @ b)
    status = run(
        cg, product, maxiter, lambda cg: None if 0.0 < cg.curvature < math.inf else "curvature", at_iterate, floor
    )
    if not kept or kept[-1].step is not cg.iterate:
        kept.append(Iterate(cg.iterate, values[-1]))
    return Path(kept, n_start + cg.products, "maxiter" if status == "limit" else status)


def _is_slow(values: list[float], tol: float) -> bool:
    """Whether the model's last decreases are small beside the decrease so far."""
    i = len(values) - 1
    k = max(10, i // 10)
    return i > k and values[-1] < 0.0 and values[-1 - k] - values[-1] < -k * tol * values[-1]


class HessianFree:
    r"""Hessian-free optimisation after Martens (2010).

    Parameters
    ----------
    objective : BatchObjective
    rows : pair of arrays
        Training rows.
    batch_size : int, optional
        Rows of the Gauss-Newton matrix; by default a quarter of all, at least 256.
    options : HessianFreeOptions
        gtol : float
            Stop when the gradient's 2-norm over all rows is at most this; default 1e-6. Not looked at where the gradient
            comes from a batch.
        damping : float
            :math:`\lambda` at the start; default 1.
        max_cg : int
            Most products per iteration; default 100.
        cg_tol : float
            Relative progress per iteration at which conjugate gradients stop; default 5e-4.
        decay : float
            Conjugate gradients start at this multiple of the step before; default 0.95.
        gradient_batch_size : int, optional
            Rows of gradient and value; all of them where left out.
    seed : numpy.random.SeedSequence

    Notes
    -----
    One iteration:

    1. Conjugate gradients on q from the decayed step before, until progress is slow.
    2. Of the iterates kept, the last is taken, and one before it for as long as that lowers the objective: the end of the
       path fits the batch of the curvature more than the objective.
    3. Levenberg-Marquardt rule: with the ratio :math:`\rho` of the objective's change to the model's, :math:`\lambda` is
       multiplied by 3/2 if :math:`\rho < 1/4` and by 2/3 if :math:`\rho > 3/4`.
    4. Backtracking line search along the step. If nothing on it lowers the objective, NaN and infinity included, the step
       is rejected, :math:`\lambda` grows fourfold and the next path starts at zero. Where the predicted change is below the
       rounding of the objective, a step counts that makes the gradient over all rows shorter.

    The model in :math:`\rho` is the damped one, as conjugate gradients see it. There is no preconditioner: at equal work on two
    deep autoencoders, a classifier and a regression, an estimate of the diagonal of G ended between 3 % lower and 19 % higher
    than none. The paper allows 250 products per iteration; 100 gave an objective up to 60 % lower on the way, and at the end one
    between 1 % lower and 17 % higher.

    Cost per iteration: one value and gradient, the products (``cg_iterations`` of the record), and an evaluation for each
    iterate and each length tried.

    References
    ----------
    J. Martens, "Deep learning via Hessian-free optimization", ICML (2010).
    J. Martens and I. Sutskever, "Training deep and recurrent networks with Hessian-free optimization", in Neural
    Networks: Tricks of the Trade (2012).
    """

    name = "hessian-free"

    def __init__(
        self,
        objective: BatchObjective,
        rows: Rows,
        batch_size: int | None,
        options: HessianFreeOptions,
        seed: np.random.SeedSequence,
    ) -> None:
        n = len(rows[0])
        curvature, gradient = (np.random.default_rng(part) for part in seed.spawn(2))
        self.x: np.ndarray = objective.start
        self.ending: Ending | None = None
        self._objective, self._rows, self._options = objective, rows, options
        self._curvature = Batches(n, batch_size or max(_LEAST_BATCH, n // _SHARE), curvature, drop_last=True)
        self._gradient = Batches(n, options.gradient_batch_size or n, gradient, drop_last=True)
        self._damping, self._before = options.damping, np.zeros_like(self.x)
        self._known: tuple[float, np.ndarray] | None = None

    def start(self) -> Iteration:
        """Evaluate the start.

        Raises
        ------
        NonFiniteError
            The objective or its gradient is not finite there.
        """
        value, gradient = self._objective.value_and_gradient(self.x, *self._rows)
        length = norm(gradient)
        check_start(value, self.x.dtype, lambda: self._objective.origin_of_nonfinite(self.x, *self._rows), length)
        if self._gradient.is_whole:
            self._known = value, gradient
            self._check_gradient(length)
        return Iteration(value, length, self._damping, cg_status="start")

    def advance(self, deadline: float) -> Iteration | None:
        """Take one step, or reject it."""
        rows = self._gradient.rows(*self._rows)
        value, gradient = self._known or self._objective.value_and_gradient(self.x, *rows)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            met = "A batch of rows has an objective that is not finite."
            origin = self._objective.origin_of_nonfinite(self.x, *rows)
            self.ending = Status.DIVERGED, met if origin is None else f"{met} {origin}"
            return None
        path = self._path(gradient, deadline)
        chosen, reached = self._backtrack(path, rows)
        damping, ratio = self._damping, (reached - value) / chosen.model if chosen.model else math.nan
        self._adapt(ratio)
        share, reached = self._search(chosen.step, value, reached, float(gradient @ chosen.step), rows)
        if not share and self._is_rounding(chosen.model, value) and self._shortens_gradient(path, gradient):
            chosen, share, reached = path.iterates[-1], 1.0, value
        step = self.x.dtype.type(share) * chosen.step
        accepted = share > 0.0
        if accepted:
            self.x, self._before = self.x + step, chosen.step
        else:
            self._reject(value, chosen.model)
        length = self._length_after(accepted, gradient)
        return Iteration(
            reached if accepted else value,
            length,
            damping,
            norm(step),
            ratio,
            path.n_hvp,
            path.status,
            accepted,
        )

    def _path(self, gradient: np.ndarray, deadline: float) -> Path:
        """Minimise the damped model of a batch."""
        options, damping = self._options, self.x.dtype.type(self._damping)
        curvature = self._objective.gauss_newton(self.x, *self._curvature.rows(*self._rows))
        return conjugate_gradients(
            lambda v: curvature(v) + damping * v,
            -gradient,
            self.x.dtype.type(options.decay) * self._before,
            tol=options.cg_tol,
            maxiter=options.max_cg,
            deadline=deadline,
        )

    def _backtrack(self, path: Path, rows: Rows) -> tuple[Iterate, float]:
        """Walk back along the path for as long as the objective falls, or is not finite."""
        *earlier, chosen = path.iterates
        reached = self._objective.value(self.x + chosen.step, *rows)
        for iterate in reversed(earlier):
            value = self._objective.value(self.x + iterate.step, *rows)
            if math.isfinite(reached) and not value < reached:
                break
            chosen, reached = iterate, value
        return chosen, reached

    def _adapt(self, ratio: float) -> None:
        """Change the damping by how well the model predicted."""
        if not ratio >= 0.25:
            self._damping *= _ADAPT
        elif ratio > 0.75:
            # Damping far below rounding has no effect, and would take as long to come back.
            self._damping = max(self._damping / _ADAPT, float(np.finfo(self.x.dtype).eps) ** 2)

    def _search(self, step: np.ndarray, value: float, reached: float, slope: float, rows: Rows) -> tuple[float, float]:
        """Return the share of a step that lowers the objective enough, 0 if there is none, and the objective there."""
        share = 1.0
        for _ in range(_MAX_SHORTENINGS):
            if reached <= value + _ARMIJO * share * min(slope, 0.0) and reached < value:
                return share, reached
            share *= _SHORTEN if math.isfinite(reached) else _SHORTEN**4
            reached = self._objective.value(self.x + self.x.dtype.type(share) * step, *rows)
        return 0.0, value

    def _reject(self, value: float, model: float) -> None:
        """Stay, with more damping; give up where no damping helps."""
        self._damping *= 4.0
        self._before = np.zeros_like(self.x)
        rounding = 4.0 * float(np.finfo(self.x.dtype).eps) * abs(value)
        if abs(model) <= rounding:
            self.ending = (
                Status.PRECISION,
                f"The model predicts {abs(model):.1e}, rounding of the objective is {rounding:.1e}.",
            )
        elif self._damping > 1.0 / float(np.finfo(self.x.dtype).eps) ** 2:
            self.ending = Status.STALLED, f"The damping has grown to {self._damping:.1e}."

    def _is_rounding(self, model: float, value: float) -> bool:
        """Whether a predicted change cannot be seen in the objective."""
        return abs(model) <= 4.0 * float(np.finfo(self.x.dtype).eps) * abs(value)

    def _shortens_gradient(self, path: Path, gradient: np.ndarray) -> bool:
        """Whether the whole step makes the gradient shorter: what to go by where values are rounding."""
        if not self._gradient.is_whole:
            return False
        _, after = self._objective.value_and_gradient(self.x + path.iterates[-1].step, *self._rows)
        return norm(after) < norm(gradient)

    def _length_after(self, accepted: bool, gradient: np.ndarray) -> float:
        """Return the norm of the gradient at the point kept; of a batch's, the one the step was made from."""
        if not self._gradient.is_whole:
            return norm(gradient)
        if accepted:
            self._known = self._objective.value_and_gradient(self.x, *self._rows)
            gradient = self._known[1]
        length = norm(gradient)
        self._check_gradient(length)
        return length

    def _check_gradient(self, length: float) -> None:
        """End where the gradient of all rows is small."""
        if length <= self._options.gtol:
            self.ending = Status.CONVERGED_UNCHECKED, ""

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs besides x."""
        return {
            "damping": self._damping,
            "before": self._before,
            "known": None if self._known is None else list(self._known),
            "curvature": self._curvature.state(),
            "gradient": self._gradient.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self._damping, self._before = state["damping"], state["before"]
        self._known = None if state["known"] is None else (state["known"][0], state["known"][1])
        self._curvature.restore(state["curvature"])
        self._gradient.restore(state["gradient"])
        if self._known is not None:
            self._check_gradient(norm(self._known[1]))
