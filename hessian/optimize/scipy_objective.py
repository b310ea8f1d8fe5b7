"""The objective and its variables as SciPy's minimisers see them: double precision, raveled, no sweep too many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds

from hessian.errors import NotScalarError, message
from hessian.linalg.vectors import norm
from hessian.optimize.objective import VectorObjective, bound
from hessian.optimize.scipy_conventions import one_number
from hessian.programs import RecordedFunction
from hessian.tape.trees import flatten, ravel, scipy_point
from hessian.transforms.first_order import value_and_grad


class Space:
    """x0 in double precision, and the way back from vectors to its structure and its dtypes."""

    def __init__(self, x0: Any) -> None:
        leaves, self.structure = flatten(scipy_point(x0) if isinstance(x0, list | tuple) else x0)
        self._dtypes = [np.float32 if _is_single(leaf) else np.float64 for leaf in leaves]
        doubled = [np.asarray(leaf, np.float64) if _is_single(leaf) else leaf for leaf in leaves]
        # Dtypes that cannot be differentiated and empty containers are refused here.
        self._converted = VectorObjective(_nothing, self.structure.build(doubled), ())
        self.size = self._converted.size
        self._start = ravel(self.structure.build(doubled))[0].astype(np.float64)

    @property
    def tree(self) -> Any:
        """x0 in double precision."""
        return self._converted.structured(self._start)

    @property
    def start(self) -> np.ndarray:
        """x0 as a vector."""
        return self._start.copy()

    def structured(self, vector: np.ndarray) -> Any:
        """Give a vector the structure of x0, in double precision."""
        return self._converted.structured(vector)

    def clipped(self, bounds: Bounds | None) -> Any:
        """x0 moved into the bounds; entries that are not finite stay, for the objective to refuse."""
        if bounds is None:
            return self.tree
        inside = np.clip(self._start, bounds.lb, bounds.ub)
        return self._converted.structured(np.where(np.isfinite(self._start), inside, self._start))

    def restored(self, vector: np.ndarray) -> Any:
        """Give a vector the structure and the dtypes of x0."""
        tree = self._converted.structured(vector)
        leaves = self.structure.leaves_of(tree, "minimize", "x")
        return self.structure.build([leaf.astype(dtype) for leaf, dtype in zip(leaves, self._dtypes, strict=True)])


def _is_single(leaf: Any) -> bool:
    """Tell float32, of either byte order, from the rest."""
    dtype = np.asarray(leaf).dtype
    return dtype.kind == "f" and dtype.itemsize == 4


def _nothing(x: Any) -> float:
    """Stand for the objective where only the structure of x0 matters."""
    return 0.0


@dataclass(slots=True)
class FlatPoint:
    """A point without second derivatives; an empty gradient where the method takes none either."""

    x: np.ndarray
    value: float
    gradient: np.ndarray

    @property
    def gradient_norm(self) -> float:
        """2-norm of the gradient, NaN without one."""
        return norm(self.gradient) if self.gradient.size else math.nan


class _FirstOrderObjective(VectorObjective):
    """An objective for methods that take gradients: value and gradient come together, from one program."""

    def __init__(self, fun: RecordedFunction, x0: Any, args: tuple[Any, ...]) -> None:
        super().__init__(fun, x0, args)
        self._structure = flatten(scipy_point(x0) if isinstance(x0, list | tuple) else x0)[1]
        self._both = value_and_grad(fun)
        self._rest = args

    def _at(self, vector: np.ndarray) -> Any:
        value, gradient = self._both(self.structured(vector), *self._rest)
        self.counters.n_value += 1
        self.counters.n_grad += 1
        leaves = self._structure.leaves_of(gradient, "minimize", "the gradient")
        return FlatPoint(vector, float(value), np.concatenate([np.ravel(leaf) for leaf in leaves]))


class _PlainObjective(VectorObjective):
    """An objective for methods without derivatives: ``fun`` is called as it is."""

    def __init__(self, fun: Callable[..., Any], x0: Any, args: tuple[Any, ...]) -> None:
        super().__init__(fun, x0, args)
        self._call = lambda x: fun(x, *args)

    def _at(self, vector: np.ndarray) -> Any:
        value = np.asarray(self._call(self.structured(vector)))
        self.counters.n_value += 1
        if value.size != 1 or value.dtype.kind not in "fiub":
            what = f"the function returned an array of shape {value.shape} and dtype {value.dtype}"
            raise NotScalarError(message("minimize", what, "a minimum needs one real number", "Return a scalar"))
        return FlatPoint(vector, float(value.item()), np.empty(0))


def flat_objective(fun: Callable[..., Any], x0: Any, args: tuple[Any, ...], order: int) -> VectorObjective:
    """Wrap the function for a method that takes derivatives up to an order."""
    if order == 0:
        return _PlainObjective(fun, x0, args)
    recorded, rest = bound(one_number(fun, VectorObjective.where), args)
    return _FirstOrderObjective(recorded, x0, rest) if order == 1 else VectorObjective(recorded, x0, rest)
