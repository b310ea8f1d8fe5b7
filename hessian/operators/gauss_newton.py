"""The generalised Gauss-Newton matrix as a linear operator."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from hessian.core.second_order import LinearizedGradient
from hessian.core.sweeps import Linearization
from hessian.core.trace import Primal, Recording, record
from hessian.core.trees import join_vector
from hessian.operators.base import SymmetricOperator, read_only
from hessian.transforms.seeds import block_length


class GaussNewtonOperator(SymmetricOperator):
    r"""The generalised Gauss-Newton matrix :math:`G = J^T H_L J` of ``loss(model(x))``.

    J is the Jacobian of the model, :math:`H_L` the Hessian of the loss in the model's output. G is positive semidefinite
    when the loss is convex in the output.

    Parameters
    ----------
    model : callable
        ``model(x, *args)`` returns the output z, an array or a container of arrays.
    loss : callable
        ``loss(z)`` returns one real number.
    x : array of any shape, or container of float arrays
    *args
        Further arguments of the model, not differentiated.

    Attributes
    ----------
    value : float
        loss(model(x)).
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

    def __init__(self, model: Callable[..., Any], loss: Callable[[Any], Any], x: Any, *args: Any) -> None:
        self._model: Recording = record(model, (x, *args), where="GaussNewtonOperator")
        where = "GaussNewtonOperator (loss)"
        output = Primal(self._model.values, where, "model(x)", self._model.output_structure)
        self._loss = Recording(output, loss, where=where)
        self.value = self._loss.scalar()
        super().__init__(self._model.primal)

    def __repr__(self) -> str:
        return f"<GaussNewtonOperator of order {self.shape[0]}, dtype {self.dtype}, loss = {float(self.value):.6g}>"

    @cached_property
    def _jacobian(self) -> Linearization:
        return self._model.linearize()

    @cached_property
    def _curvature(self) -> LinearizedGradient:
        return LinearizedGradient(self._loss)

    @cached_property
    def gradient(self) -> np.ndarray:
        """The gradient of ``loss(model(x))``, raveled, shape (n,)."""
        bars = self._jacobian.pull(self._curvature.gradient)
        return read_only(join_vector(self._model.gradient_leaves(bars)))

    def _products(self, dots: list[Any], batch: tuple[int, ...]) -> list[Any]:
        model = self._model
        z_dots = [
            np.zeros(batch + z.shape, z.dtype) if dot is None else dot
            for dot, z in zip(self._jacobian.push(dots, len(batch)), model.values, strict=True)
        ]
        z_bars = self._curvature.products(z_dots, batch)
        return model.gradient_leaves(self._jacobian.pull(z_bars, len(batch)), batch)

    def _block_length(self) -> int:
        return block_length(self._model.tape, self.shape[0])
