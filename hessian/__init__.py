"""Write plain NumPy, get exact Hessian-vector products, Hessians and curvature, and Newton methods that use them."""

from typing import TYPE_CHECKING, Any

from hessian import operators, scipy
from hessian.errors import HessianError
from hessian.operators import (
    ChunkedOperator,
    EmpiricalFisherOperator,
    FisherOperator,
    GaussNewtonOperator,
    HessianOperator,
    JacobianOperator,
    KFACOperator,
    RestrictedOperator,
    hessian_diagonal,
    laplacian,
)
from hessian.programs import RecordedFunction, record
from hessian.rooms import room
from hessian.scipy import special
from hessian.tape.checkpoint import checkpoint
from hessian.tape.custom import custom_rule
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
    locate_nonfinite,
    taylor,
    third_derivative,
    value_and_grad,
    vjp,
)

if TYPE_CHECKING:
    from hessian import curvature, nn, optimize, plotting, sparse, statistics
    from hessian.optimize import argmin, fixed_point, root
    from hessian.transforms.rule_check import check_rule

__version__ = "0.2.0"
__all__ = [
    "ChunkedOperator",
    "DerivativeReport",
    "EmpiricalFisherOperator",
    "FisherOperator",
    "GaussNewtonOperator",
    "HessianError",
    "HessianOperator",
    "JacobianOperator",
    "KFACOperator",
    "RecordedFunction",
    "RestrictedOperator",
    "__version__",
    "argmin",
    "check_derivatives",
    "check_rule",
    "checkpoint",
    "curvature",
    "custom_rule",
    "directional",
    "fixed_point",
    "grad",
    "grad_and_hvp",
    "hessian",
    "hessian_diagonal",
    "hvp",
    "jacobian",
    "jvp",
    "laplacian",
    "locate_nonfinite",
    "nn",
    "operators",
    "optimize",
    "plotting",
    "record",
    "root",
    "scipy",
    "sparse",
    "special",
    "statistics",
    "taylor",
    "third_derivative",
    "value_and_grad",
    "vjp",
]


def __getattr__(name: str) -> Any:
    # SciPy's optimisers take longer to import than this whole package: loaded when first asked for, as is what few ask for.
    if name in ("argmin", "fixed_point", "root"):
        return getattr(room("optimize"), name)
    return getattr(room("transforms.rule_check"), name) if name == "check_rule" else room(name)


def __dir__() -> list[str]:
    return sorted(__all__)
