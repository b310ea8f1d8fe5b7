"""The curvature that a Laplace approximation takes: which structure, and how it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from hessian.arguments import unknown, whole_number
from hessian.curvature.eigenvalues import eigenvalues
from hessian.curvature.nystrom import NystromApproximation
from hessian.errors import ConvergenceError, OptionError, ShapeMismatchError, message
from hessian.linalg.vectors import norm
from hessian.operators.differentiated import DifferentiatedOperator
from hessian.operators.kfac import KFACOperator, gauss_newton_diagonal
from hessian.operators.kronecker import AffineLayer
from hessian.statistics.information import describe_combination
from hessian.statistics.selection import Selection
from hessian.statistics.sparse_information import STRUCTURES, sparse_matrix
from hessian.statistics.structured import (
    Curvature,
    DenseCurvature,
    DiagonalCurvature,
    KroneckerCurvature,
    LowRankCurvature,
    SparseCurvature,
)
from hessian.transforms.locate import not_finite

PAIRS = 50
"""Eigenpairs of a low-rank approximation by default."""
_ROUNDING = 2.0
"""Units of rounding of the largest eigenvalue below which another one may be none."""
_LOOKS = 30
"""Products in which a saddle is looked for."""
_SLACK = 1e3
"""Units of rounding of the largest curvature by which the smallest may seem to be negative."""
_NAMES = (*STRUCTURES, "diagonal", "kronecker", "low-rank")


def curvature_of(
    operator: DifferentiatedOperator,
    network: tuple[Any, ...] | None,
    chosen: Selection,
    names: Sequence[str],
    scale: float,
    structure: Any,
    rank: int | None,
) -> Curvature:
    """Return the curvature of a negative log-likelihood, ``scale`` times that of an operator, in the structure that is asked for.

    ``network`` holds model, loss, parameters and inputs, where there is a model.
    """
    where = "laplace"
    if rank is not None and not (isinstance(structure, str) and structure == "low-rank"):
        what = f"rank is {rank} with structure={structure!r}"
        raise OptionError(message(where, what, fix='Pass structure="low-rank", or leave rank out'))
    if isinstance(structure, KFACOperator):
        return _kronecker(structure, chosen, scale)
    if isinstance(structure, NystromApproximation):
        _same_order(structure, len(names))
        return LowRankCurvature(scale * structure.values, structure.vectors, scale * structure.error_bound)
    if not isinstance(structure, str) or structure not in _NAMES:
        raise unknown(where, "structure", structure, _NAMES)
    if structure == "diagonal":
        diagonal = scale * _diagonal(operator, network, chosen).astype(np.float64)
        if not np.all(np.isfinite(diagonal)):
            what, origin = "the diagonal of the curvature at x holds NaN or infinity", operator.origin_of_nonfinite()
            raise not_finite(where, what, "", "Move x into the domain", origin)
        return DiagonalCurvature(diagonal, names)
    if structure == "kronecker":
        if network is None:
            what, why = 'structure="kronecker" without model', "The factors are moments of what goes into its layers"
            raise OptionError(message(where, what, why, "Pass model= and the loss of its outputs for f"))
        model, loss, x, args = network
        return _kronecker(KFACOperator(model, loss, x, *args), chosen, scale)
    if structure == "low-rank":
        n = len(names)
        k = min(PAIRS, n) if rank is None else whole_number(where, "rank", rank)
        if k > n:
            raise OptionError(message(where, f"rank is {k} for {n} parameters", fix=f"Pass 1 <= rank <= {n}"))
        pairs = eigenvalues(operator, k, "LA")
        values = scale * pairs.values.astype(np.float64)
        # Below, it may be rounding: in single precision that of a large curvature is more than a weak prior.
        floor = _ROUNDING * float(np.finfo(pairs.values.dtype).eps) * float(np.abs(values).max())
        return LowRankCurvature(values, pairs.vectors, max(float(values[0]), 0.0), floor)
    sparse = sparse_matrix(operator, structure, where)
    if sparse is not None:
        return SparseCurvature(sparse.times(scale), operator.dtype, names, operator)
    matrix = operator.to_dense()
    return DenseCurvature(scale * matrix.astype(np.float64), matrix.dtype, names, operator)


def check_convex(operator: DifferentiatedOperator, scale: float, precision: np.ndarray, names: Sequence[str]) -> None:
    """Refuse a saddle of the posterior that a few steps of Lanczos see: a structure that leaves curvature out does not.

    Ritz values are above the smallest eigenvalue: one below zero proves it, none below zero proves nothing.

    Raises
    ------
    ConvergenceError
    """
    n, root = len(precision), np.sqrt(precision)
    product = lambda v: scale * np.asarray(operator @ (v.ravel() / root).astype(operator.dtype), np.float64) / root
    relative = LinearOperator((n, n), matvec=product, dtype=np.float64)
    found = eigenvalues(relative, min(2, n), "BE", max_hvp=max(2, min(n, _LOOKS)), confirm=False)
    slack = _SLACK * float(np.finfo(operator.dtype).eps) * float(np.abs(found.values).max())
    if found.values[0] < -(1.0 + slack):
        vector = found.vectors[:, 0] / root
        along = describe_combination(vector / norm(vector), names)
        what = f"the posterior precision at x is not positive definite: negative curvature along {along}"
        why = "x is a saddle, or f is no negative log-likelihood (a log-likelihood has the other sign)"
        raise ConvergenceError(message("laplace", what, why, "Minimise again from x, or check the sign of f"))


def _same_order(structure: Any, n: int) -> None:
    if structure.shape[0] != n:
        what = f"structure is an operator of order {structure.shape[0]}, there are {n} parameters"
        raise ShapeMismatchError(message("laplace", what, fix="Make it at the same parameters"))


def _kronecker(operator: KFACOperator, chosen: Selection, scale: float) -> KroneckerCurvature:
    """Return the blocks of the layers that are selected."""
    _same_order(operator, chosen.order)
    blocks = []
    for block in operator.blocks:
        inside = np.isin(block.places, chosen.places)
        if inside.all():
            places = np.searchsorted(chosen.places, block.places)
            blocks.append(replace(block, places=places, eigenvalues=scale * block.eigenvalues.astype(np.float64)))
        elif inside.any():
            what = f"only names some of the arrays of the layer {block.name}"
            why = "Kronecker factors belong to the weights and biases of a layer together"
            raise OptionError(message("laplace", what, why, "Name the layer, or take another structure"))
    return KroneckerCurvature(blocks)


def _diagonal(operator: DifferentiatedOperator, network: tuple[Any, ...] | None, chosen: Selection) -> np.ndarray:
    """Return the diagonal, of a network of affine layers by a sweep per output."""
    if network is not None:
        model, loss, x, args = network
        if hasattr(model, "layers") or isinstance(model, AffineLayer):
            try:
                return gauss_newton_diagonal(model, loss, x, *args)[chosen.places]
            except OptionError:
                # Other layers, examples that meet, a loss that is not convex: products know the same diagonal.
                pass
    return operator.diagonal()
