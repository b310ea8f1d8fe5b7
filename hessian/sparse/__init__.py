"""Sparse Hessians and Jacobians: patterns from the operations of a function, colors, and values by few products."""

from hessian.sparse.functions import hessian, jacobian
from hessian.sparse.pattern import SparsityPattern

__all__ = ["SparsityPattern", "hessian", "jacobian"]


def __dir__() -> list[str]:
    return sorted(__all__)
