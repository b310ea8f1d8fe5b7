"""Which method minimises, and on what form of the Hessian: by name, by the number of variables, by its pattern."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable

import numpy as np

from hessian.arguments import unknown
from hessian.errors import OptionError, message
from hessian.linalg import limits
from hessian.optimize.method import Method
from hessian.optimize.newton import Newton
from hessian.optimize.newton_cg import NewtonCG
from hessian.optimize.objective import FAILURES, VectorObjective, quiet
from hessian.optimize.options import Options
from hessian.optimize.precondition import make_preconditioner
from hessian.optimize.scipy_methods import SCIPY_METHODS
from hessian.optimize.sparse_methods import Adaptive, SparseArc, SparseNewton, SparseTrustExact
from hessian.optimize.trust_exact import TrustExact
from hessian.optimize.trust_krylov import Arc, SaddleFree, TrustKrylov
from hessian.optimize.trust_ncg import TrustNCG

_PLAIN: dict[str, Callable[[Options], Method]] = {
    method.name: method for method in (TrustKrylov, TrustExact, Newton, NewtonCG, Arc, SaddleFree)
}
METHODS = ("trust-ncg", *_PLAIN)

_RADIUS = ("trust-ncg", "trust-krylov", "trust-exact", "saddle-free")
_OPTIONS_OF = {
    "initial_radius": _RADIUS,
    "max_radius": _RADIUS,
    "initial_regularization": ("arc",),
    "preconditioner": ("trust-ncg",),
    "max_cg": ("trust-ncg", "trust-krylov", "newton-cg", "arc", "saddle-free"),
}

_SPARSE: dict[str, Callable[[Options], Method]] = {
    method.name: method for method in (SparseTrustExact, SparseNewton, SparseArc)
}
STRUCTURES = ("auto", "dense", "sparse", "operator")
_TAKES = {
    "dense": (TrustExact.name, Newton.name),
    "sparse": tuple(_SPARSE),
    "operator": tuple(name for name in METHODS if name not in (TrustExact.name, Newton.name)),
}


def choose(name: str | None, structure: str, objective: VectorObjective, options: Options) -> Method:
    """Return the method of a run.

    Raises
    ------
    OptionError
        The method or the structure is unknown, or one does not take the other, or an option.
    TooDenseError
        The Hessian is asked for sparse, and is not.
    """
    if structure not in STRUCTURES:
        raise unknown("minimize", "structure", structure, STRUCTURES)
    known = None if name is None else str(name).lower().replace("_", "-")
    if known is not None and known not in METHODS:
        raise unknown("minimize", "method", name, METHODS + SCIPY_METHODS)
    if structure != "auto" and known is not None and known not in _TAKES[structure]:
        what, takers = f"method {name!r} does not take structure {structure!r}", _TAKES[structure]
        raise OptionError(
            message("minimize", what, fix=f"Leave one of them out, or use {' or '.join(map(repr, takers))}")
        )
    if structure == "sparse":
        return _sparse(known or SparseTrustExact.name, objective, options)
    if known is None:
        return _by_itself(structure, objective, options)
    if structure == "auto" and known in _TAKES["dense"] and _is_sparse(objective):
        return _on_factors(known, objective, options)
    _refuse_ignored(known, options)
    if known == TrustNCG.name:
        return _truncated(objective, options)
    return _PLAIN[known](options)


def _by_itself(structure: str, objective: VectorObjective, options: Options) -> Method:
    """Choose where no method is asked for."""
    if structure == "dense" or (structure == "auto" and objective.size <= limits.STEP_ORDER):
        _refuse_ignored(TrustExact.name, options)
        return TrustExact(options)
    _refuse_ignored(TrustNCG.name, options)
    # What is said of products or of their preconditioner asks for products.
    is_free = options.preconditioner is None and options.max_hvp == sys.maxsize and options.max_cg is None
    if structure == "auto" and is_free and objective.size >= limits.SPARSE_ORDER:
        return Adaptive(options, objective.factors)
    if options.preconditioner is None:
        options = dataclasses.replace(options, preconditioner="lbfgs")
    return _truncated(objective, options)


def _truncated(objective: VectorObjective, options: Options) -> TrustNCG:
    """Return truncated Newton with its preconditioner; a factor needs a sparse Hessian."""
    if isinstance(options.preconditioner, str) and options.preconditioner == "factor":
        with quiet():
            objective.factors.refuse_dense(objective.hessian_at(objective.first), "minimize")
        objective.factors.is_on = objective.factors.is_asked = True
    return TrustNCG(options, make_preconditioner(options.preconditioner, objective.structured, options.rng))


def _sparse(name: str, objective: VectorObjective, options: Options) -> Method:
    """Return a method on factors of a Hessian that is asked for sparse."""
    with quiet():
        objective.factors.refuse_dense(objective.hessian_at(objective.first), "minimize")
    return _on_factors(name, objective, options)


def _on_factors(name: str, objective: VectorObjective, options: Options) -> Method:
    _refuse_ignored(name, options)
    if options.max_cg is not None:
        what = "structure 'sparse' takes no max_cg"
        raise OptionError(message("minimize", what, "Its steps are by factorisations", "Leave it out"))
    objective.factors.is_on = objective.factors.is_asked = True
    method = _SPARSE[name](options)
    method.note = f"(Steps are by {objective.factors.text()}.)"
    return method


def _is_sparse(objective: VectorObjective) -> bool:
    """Tell whether the Hessian at the start is worth factoring as a sparse matrix."""
    if objective.size < limits.SPARSE_ORDER or not np.isfinite(objective.first).all():
        return False
    try:
        with quiet():
            return objective.factors.is_sparse(objective.hessian_at(objective.first))
    except FAILURES:
        return False


def _refuse_ignored(method: str, options: Options) -> None:
    """Refuse options that a method would not look at."""
    for name, takers in _OPTIONS_OF.items():
        setting = getattr(options, name)
        if method not in takers and setting is not None and setting is not math.inf:
            what = f"method {method!r} takes no {name}"
            raise OptionError(message("minimize", what, fix=f"Leave it out, or use {' or '.join(map(repr, takers))}"))
