"""Derivative rules, one declaration per operation. NumPy and SciPy only: this package knows no tape."""

from hessian.rules import (  # noqa: F401
    applying,
    assembling,
    bessel,
    choices,
    convolution,
    counting,
    einsum,
    elementwise,
    factored,
    factorisations,
    incomplete,
    indexing,
    integrals,
    linalg,
    nondifferentiable,
    order,
    orthogonal,
    polynomials,
    powers,
    probabilities,
    products,
    ranges,
    reductions,
    series,
    shaping,
    skipping,
    sparse_solve,
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
