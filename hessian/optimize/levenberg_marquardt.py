"""Levenberg-Marquardt as a trust region in scaled variables, and what it shares with Gauss-Newton-CG."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.linalg

from hessian.errors import NonFiniteError, message
from hessian.linalg.dense import eigh
from hessian.linalg.vectors import norm, row_norms
from hessian.optimize.bounds import TrustRadius
from hessian.optimize.krylov import Step
from hessian.optimize.local_model import LocalModel
from hessian.optimize.method import Method
from hessian.optimize.objective import Point, quiet
from hessian.optimize.optimality import Curvature
from hessian.optimize.options import Options
from hessian.optimize.ratio_test import Assessment
from hessian.optimize.residuals import ResidualPoint
from hessian.optimize.spectral import Lift, SpectralModel

FIRST_RADIUS = 1.0
"""The first step is at most so many times as long as x is in scaled variables. On NIST's and Moré, Garbow and Hillstrom's
problems, 846 evaluations; 922 with 0.3, 915 with 3; without a bound MGH09 goes astray from its first start."""
SLOW = 0.2
"""A cost that falls by less than this share per accepted step may be one that Gauss-Newton cannot lower fast."""
POOR = 0.25
"""Error of the predicted reduction, relative to it, from which on the curvature of residuals is not neglected any more. On
the same problems 758 Jacobians and 336 exact Hessians; Gauss-Newton throughout takes 1257 Jacobians, and two runs do not
converge."""
SPREAD = 1e3
"""Ratio of the largest to the smallest column from which on a decomposition keeps the relative accuracy of each."""


class Scaling:
    """Diagonal D of the norm ``|D s|`` in which steps are measured.

    By default Moré's: the norms of the Jacobian's columns, never decreasing, and 1 for columns that have been zero so far.
    Steps then do not change with the units of the variables.
    """

    def __init__(self, fixed: np.ndarray | None) -> None:
        self._fixed = fixed
        self._norms: np.ndarray | None = None

    def at(self, point: ResidualPoint) -> np.ndarray:
        """Return D at a point that has been accepted, having learnt its columns."""
        if self._fixed is not None:
            return self._fixed
        norms = point.column_norms
        self._norms = norms if self._norms is None else np.maximum(self._norms, norms)
        return np.where(self._norms > 0.0, self._norms, 1.0)

    def state(self) -> np.ndarray | None:
        """What a resumed run has to know."""
        return self._norms

    def restore(self, state: np.ndarray | None) -> None:
        """Take over a state."""
        self._norms = state


class ScaledSpectralModel(SpectralModel):
    """A spectral model whose eigenbasis is orthonormal in scaled variables, where its steps are measured."""

    def __init__(
        self, values: np.ndarray, gradient: np.ndarray, lift: Lift, eps: float, *, exact: bool = False
    ) -> None:
        super().__init__(values, gradient, lift, eps)
        self._inner = "newton" if exact else "gauss-newton"

    def _finish(self, y: np.ndarray, mu: float, status: str) -> Step:
        """Leave the eigenbasis, and keep the length of the step in scaled variables."""
        is_inner = status == "newton"
        step = super()._finish(y, mu, self._inner if is_inner else status)
        return dataclasses.replace(step, norm=norm(y), on_boundary=not is_inner)


class RatedRadius(TrustRadius):
    """A trust radius that remembers how well the last accepted step was predicted.

    Near a solution the ratio of actual to predicted reduction of a Gauss-Newton step is 1 + k where the step leaves k times
    the error there was (negative where it overshoots): the model predicts as badly as it converges.
    """

    is_poor = False

    def update(self, step: Step, assessment: Assessment, rejections: int) -> None:
        """Change the radius, and note whether the model was poor."""
        super().update(step, assessment, rejections)
        if assessment.accepted:
            self.is_poor = rejections > 0 or abs(assessment.ratio - 1.0) > POOR


class ScaledMethod(Method):
    """What methods for least squares share: scaling, first radius, escape from saddles, and when to leave Gauss-Newton.

    Models are Gauss-Newton as long as the cost falls by a fifth per step or the reductions are predicted to within a
    quarter. Where neither holds (large residuals, whose curvature Gauss-Newton neglects and which it may approach at any
    linear rate, or not at all), they have the exact Hessian, until a step lowers the cost by a fifth again.

    References
    ----------
    R. Fletcher and C. Xu, Hybrid methods for nonlinear least squares, IMA J. Numer. Anal. 7 (1987) 371-389, for the fifth.
    J. E. Dennis, D. M. Gay and R. E. Welsch, ACM TOMS 7 (1981) 348-368, for choosing models by their predictions.
    """

    bound: RatedRadius

    def __init__(self, options: Options, fixed: np.ndarray | None) -> None:
        super().__init__(options, RatedRadius(options.initial_radius, options.max_radius))
        self.scaling = Scaling(fixed)
        self._is_exact = False
        self._value = math.inf

    def model(self, point: Point) -> LocalModel:
        """Model at a point."""
        assert isinstance(point, ResidualPoint)
        scale = self.scaling.at(point)
        if not self._value - point.value < SLOW * self._value:
            self._is_exact = False
        elif self.bound.is_poor:
            self._is_exact = True
        self._value = point.value
        model = self.exact_model(point, scale) if self._is_exact else self.scaled_model(point, scale)
        self._start(model.end_norm, point, scale)
        return model

    def scaled_model(self, point: ResidualPoint, scale: np.ndarray) -> LocalModel:
        """Gauss-Newton model at a point in scaled variables."""
        raise NotImplementedError

    def exact_model(self, point: ResidualPoint, scale: np.ndarray) -> LocalModel:
        """Model with the exact Hessian at a point in scaled variables."""
        raise NotImplementedError

    def escape(self, point: Point, curvature: Curvature) -> ScaledSpectralModel:
        """Build the model along a direction of negative curvature, found in variables scaled by the point's columns."""
        assert isinstance(point, ResidualPoint)
        assert curvature.direction is not None
        scale = self.scaling.at(point)
        direction = curvature.direction.astype(np.float64) / point.scale
        length = norm(scale * direction)
        direction /= -length if float(point.gradient @ direction) > 0.0 else length
        self._start(math.inf, point, scale)
        return ScaledSpectralModel(
            np.array([curvature.smallest / length**2]),
            np.array([float(point.gradient @ direction)]),
            lambda y: np.asarray(y[0] * direction).astype(point.x.dtype),
            float(np.finfo(point.x.dtype).eps),
        )

    def longest(self, point: Point, scale: np.ndarray) -> float:
        """Longest step where nothing has been learnt yet: as long as x is, infinite at the origin."""
        return FIRST_RADIUS * norm(scale * point.x) or math.inf

    def _start(self, length: float, point: Point, scale: np.ndarray) -> None:
        """Choose the first radius: the length of the model's own step, or that of x where it is shorter."""
        if self.bound.value == math.inf:
            length = min(length, self.longest(point, scale))
            self.bound.value = min(length if math.isfinite(length) else 0.1 * norm(scale), self.options.max_radius)

    def state(self) -> dict[str, Any]:
        """Add the scaling, and what decides between the models."""
        own = {"is_exact": self._is_exact, "value": self._value, "is_poor": self.bound.is_poor}
        return {**super().state(), "scaling": self.scaling.state(), **own}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        super().restore(state)
        self.scaling.restore(state["scaling"])
        self._is_exact, self._value, self.bound.is_poor = state["is_exact"], state["value"], state["is_poor"]


class LevenbergMarquardt(ScaledMethod):
    """Minimises the Gauss-Newton model ``|W^(1/2) (J s) + W^(-1/2) rho' r|^2 / 2`` within ``|D s| <= radius``, exactly.

    With ``W^(1/2) J D^-1 = U S V^T`` the model's eigenvalues are ``S^2``, its gradient ``S (U^T W^(-1/2) rho' r)``: the
    matrix ``J^T W J``, in which half of the digits would be lost, is never formed. Singular values that are zero to
    rounding are taken for zero, and their directions left alone: of the solutions of a singular problem the shortest
    step finds the nearest, in scaled variables.

    References
    ----------
    J. J. Moré, The Levenberg-Marquardt algorithm: implementation and theory, Lecture Notes in Mathematics 630 (1978)
    105-116.
    """

    name = "lm"
    is_dense = True

    def scaled_model(self, point: ResidualPoint, scale: np.ndarray) -> ScaledSpectralModel:
        """Decompose the scaled Jacobian at a point."""
        weights = point.weights
        roots = np.sqrt(weights.model)
        point.counters.n_factor += 1
        with quiet():
            matrix = roots[:, None] * (point.jacobian / scale)
        left, singular, right = decompose(matrix, float(np.finfo(point.x.dtype).eps))
        pulls = weights.slopes * point.residuals
        # Weights of zero come with slopes of zero: a residual so far out that its pull underflows.
        is_near = ~weights.is_far & (roots > 0.0)
        near = np.divide(pulls, roots, out=np.zeros_like(roots), where=is_near)
        # Over their vanishing roots the pulls of residuals far out would magnify the rounding of U: V^T takes them.
        far = right @ (point.jacobian.T @ np.where(weights.is_far, pulls, 0.0) / scale)
        gradient = singular * (left.T @ near) + np.where(singular > 0.0, far, 0.0)
        lift: Lift = lambda y: np.asarray((right.T @ y) / scale).astype(point.x.dtype)
        # What is zero has been decided, and is exactly zero.
        return ScaledSpectralModel(singular**2, gradient, lift, 0.0)

    def exact_model(self, point: ResidualPoint, scale: np.ndarray) -> ScaledSpectralModel:
        """Decompose the exact Hessian at a point; where it is not finite, the scaled Jacobian."""
        factors = point.scale / scale
        matrix = point.dense() * factors * factors[:, None]
        if not np.all(np.isfinite(matrix)):
            return self.scaled_model(point, scale)
        point.counters.n_factor += 1
        values, vectors = eigh(matrix)
        lift: Lift = lambda y: np.asarray((vectors @ y) / scale).astype(point.x.dtype)
        gradient = vectors.T @ (point.gradient.astype(np.float64) / scale)
        return ScaledSpectralModel(values, gradient, lift, float(np.finfo(point.x.dtype).eps), exact=True)


def decompose(matrix: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Decompose a matrix in double precision into ``U``, ``s`` and ``V^T``; what is zero to rounding in s is zero.

    ``eps`` is the relative rounding of the columns.

    Raises
    ------
    NonFiniteError
        The square of a column's norm is not finite.

    Notes
    -----
    Columns of sizes that differ little leave singular values of ``max(m, n) eps`` times the largest. Columns of very
    different sizes d (variables with sizes of their own, or scales of a Jacobian that has shrunk since) are known each to
    its own rounding: the singular value that belongs to v is then zero to rounding at ``max(m, n) eps |d v|``, and Jacobi's
    method finds it to its own relative accuracy, where the usual one would see no small column beside a large one.

    References
    ----------
    Z. Drmač and K. Veselić, New fast and accurate Jacobi SVD algorithm, SIAM J. Matrix Anal. Appl. 29 (2008) 1322-1362.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize.levenberg_marquardt import decompose
    >>> decompose(np.diag([1.0, 1e-30]), 1e-16)[1].tolist()
    [1.0, 1e-30]
    >>> decompose(np.ones((2, 2)), 1e-16)[1].round(9).tolist()
    [2.0, 0.0]
    """
    m, n = matrix.shape
    sizes = row_norms(matrix.T)
    with quiet():
        bad = np.flatnonzero(~np.isfinite(sizes**2))
    if bad.size:
        what = f"{bad.size} of {n} columns of the scaled Jacobian have no finite square, first column {bad[0]}"
        why = "The model is made of squares"
        raise NonFiniteError(message("least_squares", what, why, "Pass x_scale='jac', or rescale the variables"))
    if float(np.max(sizes)) <= SPREAD * float(np.min(sizes[sizes > 0.0], initial=math.inf)):
        left, singular, right = scipy.linalg.svd(matrix, full_matrices=False, check_finite=False)
        is_zero = singular <= max(m, n) * eps * singular[0]
        return left, np.where(is_zero, 0.0, singular), right
    # The routine wants matrices as high as wide, and is told (2) where their rows differ in size.
    tall, kind = (matrix, 0) if m >= n else (matrix.T, 2)
    shares, left, right, work, _, info = scipy.linalg.lapack.dgejsv(tall, joba=kind, jobr=0, jobp=0)
    if info:
        raise np.linalg.LinAlgError(f"Jacobi's method found no singular values (dgejsv returned {info})")
    left, right = (left, right) if m >= n else (right, left)
    singular = shares * (work[0] / work[1])
    is_zero = singular <= max(m, n) * eps * np.array([norm(sizes * column) for column in right.T])
    return left, np.where(is_zero, 0.0, singular), right.T
