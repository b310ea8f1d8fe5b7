"""Curvature and Jacobians as SciPy linear operators."""

from hessian.operators.gauss_newton import GaussNewtonOperator
from hessian.operators.hessian_operator import HessianOperator
from hessian.operators.jacobian_operator import JacobianOperator

__all__ = ["GaussNewtonOperator", "HessianOperator", "JacobianOperator"]
