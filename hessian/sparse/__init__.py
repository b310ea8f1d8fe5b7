"""Sparse Hessians and Jacobians: patterns from the operations of a function, colors, and values by few products."""

from hessian.sparse.functions import hessian, jacobian
from hessian.sparse.low_rank import SparsePlusLowRank
from hessian.sparse.pattern import SparsityPattern
from hessian.sparse.split import split_hessian

__all__ = ["SparsePlusLowRank", "SparsityPattern", "hessian", "jacobian", "split_hessian"]


def __dir__() -> list[str]:
    return sorted(__all__)
