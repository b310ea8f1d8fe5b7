"""The generalised Gauss-Newton matrix as a linear operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hessian.operators.differentiated import DifferentiatedOperator
from hessian.programs.runtime.arguments import Identity
from hessian.programs.runtime.functions import programs_of
from hessian.programs.tasks import Composition, Task
from hessian.tape.origins import Origin
from hessian.transforms.locate import origin_in
from hessian.transforms.point import FunctionAtPoint


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
    x, args, record
        As for :class:`hessian.HessianOperator`.
    loss_args : tuple
        Further arguments of the loss, such as targets, not differentiated. Of a recorded model or loss they are arguments of the
        program, too: other targets of the same shape are a replay.

    Attributes
    ----------
    value : float
        ``loss(model(x, *args), *loss_args)``.
    gradient : ndarray, shape (n,)

    Raises
    ------
    NotScalarError
        The loss returns something else than one real number.
    DtypeError
        x holds integers.

    Notes
    -----
    Cost: model and loss recorded once each; a product is a forward sweep and a reverse sweep of the model and a tangent
    sweep of the loss. :meth:`to_sparse` finds the pattern of :math:`J^T H_L J` from those of J and :math:`H_L`, and takes as few products
    as it needs; :meth:`to_dense` and :meth:`diagonal` do so by themselves where these are few.

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
    >>> hs.GaussNewtonOperator(np.diff, lambda z: 0.5 * z @ z, np.zeros(4)).to_sparse().toarray().tolist()
    [[1.0, -1.0, 0.0, 0.0], [-1.0, 2.0, -1.0, 0.0], [0.0, -1.0, 2.0, -1.0], [0.0, 0.0, -1.0, 1.0]]
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
        parts = programs_of(model), programs_of(loss)
        composition = Composition(parts[0].function, parts[1].function, len(loss_args))
        key = ("gauss_newton", len(loss_args), Identity(composition.model), Identity(composition.loss))
        # Programs are those of the model, or of the loss where only that is recorded.
        owner = max(parts, key=lambda part: part.keeps_programs)
        composed = owner.derived(key, lambda _: composition)
        where = "GaussNewtonOperator"
        at = FunctionAtPoint(
            composed, Task("gauss_newton"), (x, *args, *loss_args), where=where, record=record, lasts=True
        )
        super().__init__(at)
        self._model = composition.model, (x, *args)

    def origin_of_nonfinite(self) -> Origin | None:
        """Return where the loss, the model or a derivative of theirs stops being finite."""
        model, args = self._model
        return super().origin_of_nonfinite() or origin_in(model, args, order=1)

    def __repr__(self) -> str:
        return f"<GaussNewtonOperator of order {self.shape[0]}, dtype {self.dtype}, loss = {float(self.value):.6g}>"
