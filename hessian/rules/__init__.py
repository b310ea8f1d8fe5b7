"""Derivative rules, one declaration per operation. NumPy and SciPy only: this package knows no tape."""

from hessian.rules import (  # noqa: F401
    applying,
    assembling,
    bessel,
    carlson,
    choices,
    complex_elementwise,
    complex_linalg,
    complex_special,
    convolution,
    counting,
    einsum,
    elementwise,
    factored,
    factorisations,
    fourier,
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
    spectra,
    trigonometry,
    turning,
)
from hessian.rules.dispatch import DISPATCH
from hessian.rules.spec import (
    MISSING,
    NONDIFF,
    OPERATIONS,
    ZERO,
    Bilinear,
    Elementwise,
    General,
    Linear,
    Nondifferentiable,
)

__all__ = [
    "DISPATCH",
    "MISSING",
    "NONDIFF",
    "OPERATIONS",
    "ZERO",
    "Bilinear",
    "Elementwise",
    "General",
    "Linear",
    "Nondifferentiable",
]


def __dir__() -> list[str]:
    return sorted(__all__)
