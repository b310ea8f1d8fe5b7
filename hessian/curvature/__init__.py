"""Curvature you can look at: eigenvalues, densities, traces and more of symmetric operators, with their errors."""

from hessian.curvature.alignment import Alignment, gradient_alignment
from hessian.curvature.blocks import BlockSpectrum, block_spectra
from hessian.curvature.condition import ConditionNumber, condition_number
from hessian.curvature.density import SpectralDensity, spectral_density
from hessian.curvature.diagonal import diagonal
from hessian.curvature.directions import (
    Direction,
    NegativeCurvature,
    eigen_directions,
    negative_curvature,
    random_directions,
)
from hessian.curvature.eigenpairs import Eigenpairs
from hessian.curvature.eigenvalues import eigenvalues
from hessian.curvature.estimate import Estimate
from hessian.curvature.functions import frobenius_norm, logdet
from hessian.curvature.inertia import Inertia, inertia
from hessian.curvature.inverse import InverseProduct, inverse_product
from hessian.curvature.matrix_function import MatrixFunction, matrix_function, quadratic_form
from hessian.curvature.nystrom import NystromApproximation, nystrom
from hessian.curvature.per_example import PerExample, per_example
from hessian.curvature.sharpness import SharpnessMeter, SharpnessTrace, edge_of_stability, sharpness_along
from hessian.curvature.slices import LineSlice, PlaneSlice, line_slice, plane_slice
from hessian.curvature.summary import CurvatureSummary, summary
from hessian.curvature.trace import trace
from hessian.operators.kfac import gauss_newton_diagonal

__all__ = [
    "Alignment",
    "BlockSpectrum",
    "ConditionNumber",
    "CurvatureSummary",
    "Direction",
    "Eigenpairs",
    "Estimate",
    "Inertia",
    "InverseProduct",
    "LineSlice",
    "MatrixFunction",
    "NegativeCurvature",
    "NystromApproximation",
    "PerExample",
    "PlaneSlice",
    "SharpnessMeter",
    "SharpnessTrace",
    "SpectralDensity",
    "block_spectra",
    "condition_number",
    "diagonal",
    "edge_of_stability",
    "eigen_directions",
    "eigenvalues",
    "frobenius_norm",
    "gauss_newton_diagonal",
    "gradient_alignment",
    "inertia",
    "inverse_product",
    "line_slice",
    "logdet",
    "matrix_function",
    "negative_curvature",
    "nystrom",
    "per_example",
    "plane_slice",
    "quadratic_form",
    "random_directions",
    "sharpness_along",
    "spectral_density",
    "summary",
    "trace",
]


def __dir__() -> list[str]:
    return sorted(__all__)
