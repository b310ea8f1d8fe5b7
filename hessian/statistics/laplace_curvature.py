"""The curvature that a Laplace approximation takes: which structure, and how it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hessian.arguments import unknown, whole_number
from hessian.curvature.eigenvalues import eigenvalues
from hessian.curvature.nystrom import NystromApproximation
from hessian.errors import OptionError, ShapeMismatchError, message
from hessian.operators.differentiated import DifferentiatedOperator
from hessian.operators.kfac import KFACOperator, gauss_newton_diagonal
from hessian.operators.kronecker import AffineLayer
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
        return LowRankCurvature(values, pairs.vectors, max(float(values[0]), 0.0))
    sparse = sparse_matrix(operator, structure, where)
    if sparse is not None:
        return SparseCurvature(sparse.times(scale), operator.dtype, names, operator)
    matrix = operator.to_dense()
    return DenseCurvature(scale * matrix.astype(np.float64), matrix.dtype, names, operator)


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
