"""What training minimises: a network, data, a loss and a penalty, over all rows or over batches of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import LeavesTapeError, StaleRecordingError
from hessian.nn.losses import Loss, l2_penalty
from hessian.operators.gauss_newton import GaussNewtonOperator
from hessian.optimize.objective import Counters, recorded
from hessian.tape.origins import Origin
from hessian.tape.trees import ravel
from hessian.transforms.first_order import value_and_grad
from hessian.transforms.locate import origin_in


@dataclass(frozen=True, eq=False)
class TrainingObjective:
    """``loss(model(params, X), y) + (l2/2) ||params||²`` as a function of ``params`` alone.

    Attributes
    ----------
    model : callable
        ``model(params, X)``, such as what ``mlp`` makes.
    X, y : array
        Inputs, one example per row, and targets.
    loss : callable
        ``(outputs, targets) -> scalar``.
    l2 : float
        Weight of the penalty over every parameter, biases included.
    """

    model: Any
    X: np.ndarray
    y: np.ndarray
    loss: Loss
    l2: float = 0.0

    def __call__(self, params: Any) -> Any:
        """Evaluate the objective; ``params`` may be traced."""
        data = self.loss(self.model(params, self.X), self.y)
        return data + l2_penalty(params, self.l2) if self.l2 else data


class BatchObjective:
    """The objective of any batch of rows as a function of a vector, recorded once for each size of a batch.

    Rows are arguments of what is recorded: a batch of a size seen before is a replay. A loss that turns its targets into
    plain arrays, which a recording cannot follow, is run anew on each batch.

    Attributes
    ----------
    start : ndarray, (n,)
        The starting parameters as a vector.
    counters : Counters
        Evaluations so far, on batches of whatever size.
    """

    def __init__(self, model: Any, loss: Loss, l2: float, params: Any, *, record: bool = True) -> None:
        l2_penalty(params, l2)  # refuses one that is out of range
        self.start, self._unravel = ravel(params)
        self.counters = Counters()
        self._model, self._loss, self._l2 = model, loss, l2
        # One object: a recording of network and loss is found by the identity of its halves.
        self._outputs = recorded(self._network, record)
        self._data = recorded(self._value, record)
        self._gradient = value_and_grad(self._data)
        self._replays = self._record = record

    def structured(self, vector: np.ndarray) -> Any:
        """Give a vector the structure of the parameters, in memory of its own."""
        return self._unravel(vector.copy())

    def value(self, x: np.ndarray, X: np.ndarray, y: np.ndarray) -> float:
        """Return the objective of a batch; NaN and infinity are answers."""
        self.counters.n_value += 1
        return self.loss(x, X, y) + self._penalty(x)

    def loss(self, x: np.ndarray, X: np.ndarray, y: np.ndarray) -> float:
        """Return the loss of some rows without the penalty; not counted."""
        with np.errstate(all="ignore"):
            return float(self._attempt(lambda: self._data(x, X, y), lambda: self._value(x, X, y)))

    def value_and_gradient(self, x: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the objective of a batch and its gradient."""
        self.counters.n_value += 1
        self.counters.n_grad += 1
        with np.errstate(all="ignore"):
            data, gradient = self._attempt(
                lambda: self._gradient(x, X, y), lambda: value_and_grad(lambda p: self._value(p, X, y))(x)
            )
            if self._l2:
                gradient = gradient + x.dtype.type(self._l2) * x
            return float(data) + self._penalty(x), gradient

    def origin_of_nonfinite(self, x: np.ndarray, X: np.ndarray, y: np.ndarray) -> Origin | None:
        """Return where the objective of a batch or its gradient stops being finite."""
        return origin_in(self._value, (x, X, y), order=1)

    def gauss_newton(self, x: np.ndarray, X: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Return ``v -> (G + l2 I) v`` with the Gauss-Newton matrix G of a batch; the penalty's own matrix is exact."""
        with np.errstate(all="ignore"):
            operator = self._attempt(
                lambda: self._recorded_gauss_newton(x, X, y),
                lambda: GaussNewtonOperator(self._network, self._loss, x, X, loss_args=(y,), record=self._record),
            )
        l2 = x.dtype.type(self._l2)

        def product(v: np.ndarray) -> np.ndarray:
            self.counters.n_hvp += 1
            with np.errstate(all="ignore"):
                result = operator @ v
                return result + l2 * v if self._l2 else result

        return product

    def _recorded_gauss_newton(self, x: np.ndarray, X: np.ndarray, y: np.ndarray) -> GaussNewtonOperator:
        """Return the operator from a recording, unless the loss copies whole numbers (np.asarray), taken for constants there."""
        try:
            return GaussNewtonOperator(self._outputs, self._loss, x, X, loss_args=(y,))
        except StaleRecordingError as error:
            # A loss that really changes is noticed by the recording of the objective.
            raise LeavesTapeError(str(error)) from error  # unseen: what a loss copies is a guard, which misses first

    def _penalty(self, x: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            return 0.5 * self._l2 * float(x @ x) if self._l2 else 0.0

    def _value(self, x: Any, X: Any, y: Any) -> Any:
        """The loss of a batch, without the penalty."""
        return self._loss(self._network(x, X), y)

    def _network(self, x: Any, X: Any) -> Any:
        return self._model(self._unravel(x), X)

    def _attempt(self, recorded: Callable[[], Any], plain: Callable[[], Any]) -> Any:
        """Replay, unless the loss cannot be recorded with its targets as arguments."""
        if self._replays:
            try:
                return recorded()
            except LeavesTapeError:
                self._replays = False
        return plain()
