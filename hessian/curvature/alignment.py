"""How much of the gradient lies in the directions of largest curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.arguments import Rng
from hessian.curvature.eigenvalues import eigenvalues
from hessian.errors import OptionError, message
from hessian.operators.hessian_operator import HessianOperator
from hessian.text import Shown


@dataclass(frozen=True, eq=False, repr=False)
class Alignment(Shown):
    """Gradient against Hessian at one point.

    Attributes
    ----------
    eigenvalues : ndarray, shape (k,)
        The largest, descending.
    shares : ndarray, shape (k,)
        ``(v_i.g)^2 / |g|^2`` for their unit eigenvectors.
    share : float
        Their sum: the part of the squared gradient in the top-k eigenspace, between 0 and 1.
    share_error : float
        Bound on its error, by the residuals of the eigenpairs over the gap to the next eigenvalue (Davis and Kahan); 1
        where there is no gap, and the top-k eigenspace has no meaning.
    chance : float
        ``k / n``, what the share would be on average for a random gradient.
    rayleigh : float
        ``g.Hg / g.g``, the curvature along the gradient.
    gradient_norm : float
    n_hvp : int
        Products spent.
    """

    eigenvalues: np.ndarray
    shares: np.ndarray
    share: float
    share_error: float
    chance: float
    rayleigh: float
    gradient_norm: float
    n_hvp: int

    @property
    def cumulative(self) -> np.ndarray:
        """Share of the gradient in the top-j eigenspace for j = 1, ..., k."""
        return np.cumsum(self.shares)

    def __repr__(self) -> str:
        return (
            f"<Alignment: {self.share:.4g} of the gradient within {self.share_error:.1g} in the top {len(self.shares)} "
            f"(chance {self.chance:.2g}), curvature along it {self.rayleigh:.6g}, {self.n_hvp} products>"
        )


def gradient_alignment(
    f: Callable[..., Any],
    x: Any,
    *args: Any,
    k: int = 10,
    rtol: float | None = None,
    rng: Rng = 0,
) -> Alignment:
    r"""Measure the share of the gradient in the eigenspace of the k largest eigenvalues.

    .. math:: \sum_{i \le k} (v_i \cdot g)^2 / |g|^2, \qquad H v_i = \lambda_i v_i, \quad \lambda_1 \ge \lambda_2 \ge \dots

    Parameters
    ----------
    f, x, args
        As for :class:`hessian.HessianOperator`.
    k : int
        At most n.
    rtol, rng
        As for :func:`hessian.curvature.eigenvalues`.

    Returns
    -------
    Alignment

    Raises
    ------
    OptionError
        The gradient is zero, or k is not in 1..n.
    ConvergenceError, NonFiniteError
        As for :func:`hessian.curvature.eigenvalues`.

    Notes
    -----
    Cost: one gradient, k + 1 eigenpairs (one more, for the gap) and one product.

    References
    ----------
    G. Gur-Ari, D. A. Roberts and E. Dyer, "Gradient descent happens in a tiny subspace", arXiv:1812.04754 (2018). C. Davis
    and W. M. Kahan, SIAM J. Numer. Anal. 7 (1970) 1-46.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.array([1.0, 2.0, 10.0])
    >>> found = gradient_alignment(lambda x: 0.5 * np.sum(weights * x**2), np.array([4.0, 0.0, 0.3]), k=1)
    >>> round(found.share, 9), round(found.rayleigh, 9)
    (0.36, 4.24)
    """
    H = HessianOperator(f, x, *args)
    gradient = np.asarray(H.gradient, dtype=np.float64)
    length = float(np.linalg.norm(gradient))
    n = H.shape[0]
    if not length > 0.0:
        what = "the gradient is zero" if length == 0.0 else "the gradient is not finite"
        raise OptionError(
            message("gradient_alignment", what, "It has no direction", "Choose a point before the optimum")
        )
    more = k + 1 if isinstance(k, int) and 0 < k < n else k
    pairs = eigenvalues(H, more, "LA", rtol=rtol, rng=rng)
    top = pairs.vectors[:, ::-1][:, :k].astype(np.float64)
    shares = (gradient @ top) ** 2 / length**2
    product = np.asarray(H @ np.asarray(gradient / length, dtype=H.dtype), dtype=np.float64)
    return Alignment(
        eigenvalues=np.asarray(pairs.values[::-1][:k], dtype=np.float64),
        shares=shares,
        share=min(float(shares.sum()), 1.0),
        share_error=_share_error(pairs.values, pairs.residuals, k),
        chance=k / n,
        rayleigh=float(gradient @ product) / length,
        gradient_norm=length,
        n_hvp=pairs.n_hvp + 1,
    )


def _share_error(values: np.ndarray, residuals: np.ndarray, k: int) -> float:
    """Sine of the largest angle between the eigenspace computed and the true one, at most; values ascend."""
    if len(values) == k:
        return float(np.finfo(values.dtype).eps) * math.sqrt(k)
    spread = float(np.linalg.norm(residuals[-k:]))
    gap = float(values[-k] - values[-k - 1]) - float(residuals[-k - 1]) - float(residuals[-k])
    return min(1.0, spread / gap) if gap > 0.0 else 1.0
