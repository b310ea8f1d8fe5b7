"""Derivatives of plain functions."""

from hessian.transforms.checks import DerivativeReport, check_derivatives
from hessian.transforms.first_order import grad, jacobian, jvp, value_and_grad, vjp
from hessian.transforms.higher_order import directional, taylor
from hessian.transforms.locate import locate_nonfinite
from hessian.transforms.second_order import grad_and_hvp, hessian, hvp
from hessian.transforms.third_order import third_derivative

__all__ = [
    "DerivativeReport",
    "check_derivatives",
    "directional",
    "grad",
    "grad_and_hvp",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "locate_nonfinite",
    "taylor",
    "third_derivative",
    "value_and_grad",
    "vjp",
]


def __dir__() -> list[str]:
    return sorted(__all__)
