"""The generalised Gauss-Newton matrix as a linear operator."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from hessian.operators.differentiated import DifferentiatedOperator
from hessian.operators.vectors import read_only
from hessian.programs import RecordedFunction
from hessian.programs.runtime.arguments import Identity
from hessian.programs.runtime.point import ProgramAtPoint
from hessian.programs.tasks import Composition, Task
from hessian.tape.second_order import HessianMap
from hessian.tape.sweeps import Linearization
from hessian.tape.trace import Primal, Trace, trace
from hessian.tape.trees import join_vector
from hessian.transforms.seeds import block_length


class GaussNewtonOperator(DifferentiatedOperator):
    r"""The generalised Gauss-Newton matrix :math:`G = J^T H_L J` of ``loss(model(x, *args), *loss_args)``.

    J is the Jacobian of the model, :math:`H_L` the Hessian of the loss in the model's output. G is positive semidefinite
    when the loss is convex in the output.

    Parameters
    ----------
    model : callable
        ``model(x, *args)`` returns the output z, an array or a container of arrays.
    loss : callable
        ``loss(z, *loss_args)`` returns one real number.
    x : array of any shape, or container of float arrays
    *args
        Further arguments of the model, not differentiated.
    loss_args : tuple
        Further arguments of the loss, such as targets, not differentiated. Of a recorded model or loss they are arguments of the
        program, too: other targets of the same shape are a replay.
    record : bool
        ``False`` makes no program: every product is a plain sweep.

    Attributes
    ----------
    value : float
        loss(model(x, *args), *loss_args).
    gradient : ndarray, shape (n,)

    Raises
    ------
    NotScalarError
        The loss returns something else than one real number.
    DtypeError
        x holds integers or complex numbers.

    Notes
    -----
    Cost: model and loss recorded once each; a product is a forward sweep and a reverse sweep of the model and a tangent
    sweep of the loss.

    References
    ----------
    N. N. Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent", Neural Computation 14
    (2002).

    Examples
    --------
    >>> import numpy as np, hessian as hs
    >>> X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> G = hs.GaussNewtonOperator(lambda w: X @ w, lambda z: 0.5 * z @ z, np.zeros(2))
    >>> np.allclose(G.to_dense(), X.T @ X)
    True
    """

    def __init__(
        self,
        model: Callable[..., Any],
        loss: Callable[..., Any],
        x: Any,
        *args: Any,
        loss_args: tuple[Any, ...] = (),
        record: bool = True,
    ) -> None:
        if not isinstance(loss_args, tuple):
            loss_args = (loss_args,)
        self._plain_loss = loss.function if isinstance(loss, RecordedFunction) else loss
        found = _replayed(model, loss, (x, *args), loss_args) if record else None
        if found is not None:
            self._linearized = found
            self.value = found.values[0]
            super().__init__(Primal(x, "GaussNewtonOperator"), found)
            return
        self._model = trace(model, (x, *args), where="GaussNewtonOperator")
        self._model.loss_args = loss_args
        self.value = self._loss.scalar()
        super().__init__(self._model.primal, f=model, record=record)
        self._captures = self._model.tape.nested or self._loss.tape.nested

    def __repr__(self) -> str:
        return f"<GaussNewtonOperator of order {self.shape[0]}, dtype {self.dtype}, loss = {float(self.value):.6g}>"

    @cached_property
    def _model(self) -> Trace:
        # Set by the constructor unless there is a program, whose results may have to be computed without it.
        return self._linearized.plain()

    @cached_property
    def _loss(self) -> Trace:
        where = "GaussNewtonOperator (loss)"
        output = Primal(self._model.values, where, "model(x)", self._model.output_structure)
        return Trace(output, lambda z: self._plain_loss(z, *self._model.loss_args), where=where)

    @cached_property
    def _jacobian(self) -> Linearization:
        return self._model.linearization()

    @cached_property
    def _curvature(self) -> HessianMap:
        return HessianMap(self._loss)

    @cached_property
    def gradient(self) -> np.ndarray:
        """The gradient of ``loss(model(x))``, raveled, shape (n,)."""
        if self._program is not None and "_model" not in self.__dict__:
            gradient = self._linearized.attempt(lambda: self._linearized.result("gradient")[0])
            if gradient is not None:
                return read_only(gradient)
        bars = self._jacobian.pullback(self._curvature.gradient)
        return read_only(join_vector(self._model.gradient_leaves(bars)))

    def _products(self, dots: list[Any], batch: tuple[int, ...]) -> list[Any]:
        model = self._model
        z_dots = [
            np.zeros(batch + z.shape, z.dtype) if dot is None else dot
            for dot, z in zip(self._jacobian.pushforward(dots, len(batch)), model.values, strict=True)
        ]
        z_bars = self._curvature.products(z_dots, batch)
        return model.gradient_leaves(self._jacobian.pullback(z_bars, len(batch)), batch)

    def _length(self) -> int:
        return len(self._model.tape) + len(self._loss.tape)

    def _block_length(self) -> int:
        return block_length(self._model.tape, self.shape[0])


def _replayed(model: Any, loss: Any, args: tuple[Any, ...], loss_args: tuple[Any, ...]) -> ProgramAtPoint | None:
    """Run the program of a recorded model or loss at a point; ``None`` if there is none."""
    compiled = next((f for f in (model, loss) if isinstance(f, RecordedFunction)), None)
    if compiled is None:
        return None
    model, loss = (f.function if isinstance(f, RecordedFunction) else f for f in (model, loss))
    n = len(loss_args)
    composed = compiled.derived(
        ("gauss_newton", n, Identity(model), Identity(loss)), lambda _: Composition(model, loss, n)
    )
    found = composed.linearize(Task("gauss_newton"), (*args, *loss_args), {}, "GaussNewtonOperator")
    return None if found is None else found[1]
