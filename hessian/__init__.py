"""Write plain NumPy, get exact Hessian-vector products, Hessians and curvature, and Newton methods that use them."""

from hessian import nn, optimize, special
from hessian.errors import HessianError
from hessian.operators import GaussNewtonOperator, HessianOperator, JacobianOperator
from hessian.transforms import (
    DerivativeReport,
    check_derivatives,
    directional,
    grad,
    grad_and_hvp,
    hessian,
    hvp,
    jacobian,
    jvp,
    taylor,
    value_and_grad,
    vjp,
)

__version__ = "0.1.0"
__all__ = [
    "DerivativeReport",
    "GaussNewtonOperator",
    "HessianError",
    "HessianOperator",
    "JacobianOperator",
    "__version__",
    "check_derivatives",
    "directional",
    "grad",
    "grad_and_hvp",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "nn",
    "optimize",
    "special",
    "taylor",
    "value_and_grad",
    "vjp",
]
