r"""Cholesky factors and their derivatives.

With :math:`A = L L^T` and :math:`\Phi`, the lower triangle with its diagonal halved, tangents and cotangents are

.. math:: \dot L = L \, \Phi(L^{-1} \dot A L^{-T}), \qquad
          \bar A = \Phi(L^{-T} S L^{-1}),\; S \text{ symmetric with the lower triangle of } L^T \bar L

(Murray, 2016, arXiv:1602.07527), where :math:`A` is read in its lower triangle alone, and :math:`\bar A` is lower for that. Along
:math:`\dot L = L P` the lower triangle of :math:`\dot L^T \bar L` is that of :math:`P^T S`, so that the pullback turns by
:math:`-\Phi(L^{-T} S' L^{-1})` with the lower triangle of :math:`S P` in :math:`S'`. Each :math:`\Phi` is one reduction of
LAPACK's, ``sygst``: n³ operations, where two triangular systems take twice as many.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hessian.rules import lapack
from hessian.rules.broadcast import transposed as _t
from hessian.rules.samples import A, Sample, case
from hessian.rules.spec import General, general
from hessian.rules.triangular import PLAIN, TURNED, each, lower_op, product_op, triangular_op

LEFT = {"lower": True, "trans": False, "right": False}
"""A product with a lower triangle."""
LEFT_TURNED = {"lower": True, "trans": True, "right": False}
"""A product with the transpose of a lower triangle."""
RIGHT = {"lower": True, "trans": False, "right": True}
"""A product with a lower triangle on the right."""


def mirrored(m: Any) -> Any:
    """Return the symmetric matrix whose lower triangle is that of ``m``."""
    return np.where(np.tril(np.ones(m.shape[-2:], bool)), m, _t(m))


def _both(m: Any) -> Any:
    return m + _t(m)


# Φ(L⁻¹ S L⁻ᵀ) and, transposed, Φ(L⁻ᵀ S L⁻¹): each the other's adjoint.


def _congruence(t: Any, s: Any, *, trans: bool) -> Any:
    if not t.size:
        return np.zeros(np.broadcast_shapes(t.shape, s.shape), np.result_type(t, s))
    return each(lambda t, s: lapack.congruent(t, s, trans=trans), "(n,n),(n,n)->(n,n)")(t, s)


def _congruence_pushforward(y: Any, xs: Any, dots: Any, *, trans: bool) -> Any:
    (t, s), (t_dot, s_dot) = xs, dots
    change = s_dot
    if t_dot is not None:
        p = triangular_op(t, lower_op(t_dot), **PLAIN)
        if not trans:
            moved = _both(p @ _both(y))
            moved = lower_op(moved) - 0.5 * moved * np.eye(t.shape[-1], dtype=moved.dtype)
            return -moved if s_dot is None else congruence_op(t, s_dot, trans=trans) - moved
        moved = _both(mirrored(s) @ p)
        change = -moved if s_dot is None else s_dot - moved
    return congruence_op(t, change, trans=trans)


def _congruence_pullback(y: Any, xs: Any, g: Any, wanted: Any, *, trans: bool) -> list[Any]:
    t, s = xs
    s_bar = congruence_op(t, g, trans=not trans)
    if not wanted[0]:
        return [None, s_bar]
    inner = mirrored(s) @ _both(s_bar) if trans else mirrored(g) @ _both(y)
    return [-lower_op(triangular_op(t, inner, **TURNED)), s_bar]


def _factor(*shape: int) -> Sample:
    """Sample a lower triangle of a matrix near 2 I."""
    return A(*shape, make=lambda rng: np.tril(2 * np.eye(shape[-1]) + rng.uniform(-0.4, 0.4, shape)))


congruence_op: General = general(
    "congruence",
    _congruence,
    pushforward=_congruence_pushforward,
    pullback=_congruence_pullback,
    core=(2, 2, 2),
    cases=[
        case(_factor(3, 3), A(3, 3), trans=False),
        case(_factor(3, 3), A(3, 3), trans=True),
        case(_factor(2, 3, 3), A(3, 3), trans=True),
    ],
    real_only=True,
)
"""What is left of a symmetric matrix between inverses of a lower triangle, as a lower triangle with the diagonal halved."""


# The pullback, which knows that the other half of what turns it is nothing.


def _back(y: Any, g: Any) -> Any:
    return _congruence(y, _product(y, g), trans=True)


def _product(y: Any, g: Any) -> Any:
    return product_op.function(y, g, **LEFT_TURNED)


def _back_pushforward(l_dot: Any, xs: Any, dots: Any) -> Any:
    (y, g), (y_dot, g_dot) = xs, dots
    if y_dot is None:
        return cholesky_back_op(y, g_dot)
    p = triangular_op(y, lower_op(y_dot), **PLAIN)
    turned = product_op(p, mirrored(product_op(y, g, **LEFT_TURNED)), **RIGHT)
    change = -turned if g_dot is None else product_op(y, g_dot, **LEFT_TURNED) - turned
    return congruence_op(y, change, trans=True)


def _back_pullback(l_bar: Any, xs: Any, b: Any, wanted: Any) -> list[Any]:
    y, g = xs
    inner = congruence_op(y, b, trans=False)
    g_bar = product_op(y, inner, **LEFT) if wanted[1] else None
    if not wanted[0]:
        return [None, g_bar]
    moved = product_op(inner, mirrored(product_op(y, g, **LEFT_TURNED)), **RIGHT)
    return [-lower_op(triangular_op(y, moved, **TURNED)), g_bar]


cholesky_back_op: General = general(
    "cholesky_back",
    _back,
    pushforward=_back_pushforward,
    pullback=_back_pullback,
    core=(2, 2, 2),
    cases=[case(_factor(3, 3), A(3, 3)), case(_factor(3, 3), A(2, 3, 3))],
    real_only=True,
)
"""The cotangent of a matrix from that of its Cholesky factor."""


# The factor.


def _cholesky(a: Any, *, by: str = "numpy") -> Any:
    if by == "numpy" or a.ndim > 2 or not a.size:
        return np.linalg.cholesky(a)
    return lapack.cholesky(a, upper=by == "scipy, upper")


cholesky_op: General = general(
    "cholesky",
    _cholesky,
    pushforward=lambda y, xs, dots, **how: product_op(y, congruence_op(y, dots[0], trans=False), **LEFT),
    pullback=lambda y, xs, g, wanted, **how: [cholesky_back_op(y, g)],
    core=(2, 2),
)
"""The factor of a matrix of which the lower triangle is read, by NumPy's or by SciPy's LAPACK."""
