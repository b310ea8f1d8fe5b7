"""The linear maps of a traced function at its point, by plain sweeps: Hessian, Gauss-Newton matrix, Jacobian and its transpose.

Each class has ``primal`` and ``values``, the leaves of x and of what the function returns, the ``tapes`` it sweeps over, and ``maps``
by name. Nothing is linearised before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hessian.tape.sweeps import Linearization
from hessian.tape.trace import Primal, Trace, detached
from hessian.tape.trees import join_vector, split_vector


@dataclass(frozen=True)
class LinearMap:
    """A linear map from leaves to leaves, and so between raveled vectors.

    Attributes
    ----------
    apply : callable
        ``apply(leaves, batch)``, with batch axes in front of each leaf.
    shapes : sequence of tuple
        Of the leaves that it takes.
    dtypes : sequence of dtype or None
        Their precision; ``None`` for that of the vector they are cut from.
    dtype : dtype
        Of the vectors that it takes.
    """

    apply: Callable[[list[Any], tuple[int, ...]], list[Any]]
    shapes: Sequence[tuple[int, ...]]
    dtypes: Sequence[Any] | None
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Length of the vectors that it takes."""
        return sum(int(np.prod(shape, dtype=int)) for shape in self.shapes)

    def __call__(self, vectors: Any, batch: int = 0) -> Any:
        """Apply to a vector, or to those along the last axis after ``batch`` others."""
        leaves = split_vector(vectors, self.shapes, batch)
        if self.dtypes is not None:
            pairs = zip(leaves, self.dtypes, strict=True)
            leaves = [leaf if leaf.dtype == dtype or dtype.kind != "f" else leaf.astype(dtype) for leaf, dtype in pairs]
        return join_vector(self.apply(leaves, vectors.shape[:batch]), batch)


class HessianMap:
    """A traced scalar function with its gradient, and the linear map from directions to Hessian-vector products."""

    def __init__(self, traced: Trace) -> None:
        self.traced, self.primal, self.tapes = traced, traced.primal, (traced.tape,)
        self.values = [traced.scalar()]

    @property
    def maps(self) -> dict[str, LinearMap]:
        """The product; made anew, because one that stays would keep this object alive."""
        return _on_point(self.primal, self.products)

    @cached_property
    def _linearized(self) -> tuple[Linearization, list[Any]]:
        linearization = self.traced.linearization()
        bars = linearization.linearize_pullback([np.ones((), self.values[0].dtype)])
        return linearization, self.traced.gradient_leaves(bars)

    @property
    def gradient(self) -> list[Any]:
        """Leaves of the gradient."""
        return self._linearized[1]

    def products(self, dots: list[Any], batch: tuple[int, ...] = ()) -> list[Any]:
        """Multiply leaves of directions with the Hessian: one tangent sweep."""
        return self.traced.gradient_leaves(self._linearized[0].pullback_tangent(dots, len(batch)), batch)


class GaussNewtonMap:
    """A traced model with a loss of its result: gradient, and products with ``J^T H J``."""

    def __init__(self, model: Trace, loss: Callable[[Any], Any], where: str) -> None:
        self.traced, self.primal = model, model.primal
        where = f"{where} (loss)"
        self.loss = HessianMap(
            Trace(Primal(model.values, where, "model(x)", model.output_structure), loss, where=where)
        )
        self.values, self.tapes = self.loss.values, (model.tape, *self.loss.tapes)

    @property
    def maps(self) -> dict[str, LinearMap]:
        """The product."""
        return _on_point(self.primal, self.products)

    @cached_property
    def _jacobian(self) -> Linearization:
        return self.traced.linearization()

    @cached_property
    def gradient(self) -> list[Any]:
        """Leaves of the gradient."""
        return self.traced.gradient_leaves(self._jacobian.pullback(self.loss.gradient))

    def products(self, dots: list[Any], batch: tuple[int, ...] = ()) -> list[Any]:
        """Multiply leaves of directions: forward through the model, with the Hessian of the loss, and back."""
        pushed = zip(self._jacobian.pushforward(dots, len(batch)), self.traced.values, strict=True)
        z_dots = [np.zeros(batch + z.shape, z.dtype) if dot is None else dot for dot, z in pushed]
        z_bars = self.loss.products(z_dots, batch)
        return self.traced.gradient_leaves(self._jacobian.pullback(z_bars, len(batch)), batch)


class JacobianMap:
    """A traced function with its Jacobian and the transpose of that."""

    def __init__(self, traced: Trace) -> None:
        self.traced, self.primal, self.tapes = traced, traced.primal, (traced.tape,)
        self.values = list(traced.values)
        # Directions come in the precision of point and values together.
        self._dtype = np.result_type(self.primal.dtype, *(value.dtype for value in self.values))

    @property
    def maps(self) -> dict[str, LinearMap]:
        """The pushforward and the pullback."""
        shapes, dtypes = (
            zip(*((value.shape, value.dtype) for value in self.values), strict=True) if self.values else ((), ())
        )
        return {
            "pushforward": LinearMap(self.pushforward, self.primal.shapes, None, self._dtype),
            "pullback": LinearMap(self.pullback, shapes, dtypes, self._dtype),
        }

    @cached_property
    def _linearization(self) -> Linearization:
        return self.traced.linearization()

    def pushforward(self, dots: list[Any], batch: tuple[int, ...] = ()) -> list[Any]:
        """Carry leaves of tangents forward."""
        pushed = zip(self._linearization.pushforward(dots, len(batch)), self.values, strict=True)
        return [detached(np.zeros(batch + y.shape, self._dtype) if dot is None else dot) for dot, y in pushed]

    def pullback(self, bars: list[Any], batch: tuple[int, ...] = ()) -> list[Any]:
        """Carry leaves of cotangents back."""
        return self.traced.gradient_leaves(self._linearization.pullback(bars, len(batch)), batch)


LocalMaps = HessianMap | GaussNewtonMap | JacobianMap


def _on_point(primal: Primal, products: Any) -> dict[str, LinearMap]:
    """Return a map of the space of x to itself."""
    return {"product": LinearMap(products, primal.shapes, [leaf.dtype for leaf in primal.leaves], primal.dtype)}
