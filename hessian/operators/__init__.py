"""Curvature and Jacobians as SciPy linear operators."""

from hessian.operators.chunked import ChunkedOperator
from hessian.operators.diagonal import hessian_diagonal, laplacian
from hessian.operators.empirical_fisher import EmpiricalFisherOperator
from hessian.operators.fisher import FisherOperator
from hessian.operators.gauss_newton import GaussNewtonOperator
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.inverse import InverseOperator
from hessian.operators.jacobian_operator import JacobianOperator
from hessian.operators.kfac import KFACOperator
from hessian.operators.restricted import RestrictedOperator, named_blocks
from hessian.operators.symmetric import (
    DampedOperator,
    MatrixOperator,
    ScaledOperator,
    SumOperator,
)

__all__ = [
    "ChunkedOperator",
    "DampedOperator",
    "EmpiricalFisherOperator",
    "FisherOperator",
    "GaussNewtonOperator",
    "HessianOperator",
    "InverseOperator",
    "JacobianOperator",
    "KFACOperator",
    "MatrixOperator",
    "RestrictedOperator",
    "ScaledOperator",
    "SumOperator",
    "hessian_diagonal",
    "laplacian",
    "named_blocks",
]


def __dir__() -> list[str]:
    return sorted(__all__)
