"""Derivative rules, one declaration per operation. NumPy and SciPy only: this package knows no tape."""

from hessian.rules import (  # noqa: F401
    applying,
    assembling,
    choices,
    counting,
    einsum,
    elementwise,
    factorisations,
    indexing,
    linalg,
    nondifferentiable,
    order,
    polynomials,
    products,
    ranges,
    reductions,
    series,
    shaping,
    skipping,
    special,
    special_functions,
    trigonometry,
    turning,
)
from hessian.rules.dispatch import DISPATCH
from hessian.rules.spec import NONDIFF, OPERATIONS, ZERO, Bilinear, Elementwise, General, Linear, Nondifferentiable

__all__ = [
    "DISPATCH",
    "NONDIFF",
    "OPERATIONS",
    "ZERO",
    "Bilinear",
    "Elementwise",
    "General",
    "Linear",
    "Nondifferentiable",
]
