"""Training: an objective made of a network, data, a loss and a penalty, handed to a Newton method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hessian.errors import DtypeError, NonFiniteError, OptionError, ShapeMismatchError, message
from hessian.nn.layers import MLP, Parameters
from hessian.nn.losses import Loss, accuracy, check_labels, get_loss, l2_penalty, softmax_cross_entropy
from hessian.optimize import OptimizeResult, minimize


@dataclass(frozen=True, eq=False)
class Objective:
    """``loss(model(params, X), y) + (l2/2) ||params||²`` as a function of `params` alone.

    Attributes
    ----------
    model : MLP
    X, y : array
        Inputs, one example per row, and targets.
    loss : callable
        ``(outputs, targets) -> scalar``.
    l2 : float
        Weight of the penalty over every parameter, biases included.
    """

    model: MLP
    X: np.ndarray
    y: np.ndarray
    loss: Loss
    l2: float = 0.0

    def __call__(self, params: Any) -> Any:
        """Evaluate the objective; `params` may be traced."""
        data = self.loss(self.model(params, self.X), self.y)
        return data + l2_penalty(params, self.l2) if self.l2 else data


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained network.

    Attributes
    ----------
    params : list of dict
        Parameters at the end.
    result : scipy.optimize.OptimizeResult
        The solver's own: status, message, counters and history.
    metrics : dict of str to float
        On the training rows: ``objective``, ``loss`` (without the penalty), ``gradient_norm`` and, for a classifier,
        ``accuracy``.
    model : MLP
    objective : Objective
        The function that was minimised, ready for `hessian.HessianOperator`.
    """

    params: Parameters
    result: OptimizeResult
    metrics: dict[str, float]
    model: MLP
    objective: Objective

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the network's outputs (for a classifier: logits) on the rows of `X`."""
        return np.asarray(self.model(self.params, np.asarray(X, dtype=self.params[0]["W"].dtype)))


def train(
    model: MLP,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    loss: str | Loss = "softmax_cross_entropy",
    l2: float = 0.0,
    method: str | None = None,
    params: Parameters | None = None,
    seed: int | np.random.Generator = 0,
    dtype: npt.DTypeLike = np.float64,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Minimise ``loss(model(params, X), y) + (l2/2) ||params||²`` over all rows at once by a Newton method.

    Parameters
    ----------
    model : MLP
        From `mlp`.
    X : array, (n, model.sizes[0])
        Inputs, one example per row. Cast to `dtype`.
    y : array, (n,) or (n, model.sizes[-1])
        Targets of the loss: class numbers, probabilities or values.
    loss : {"softmax_cross_entropy", "squared_error"} or callable
        A mean over rows, or any function ``(outputs, targets) -> scalar`` written in NumPy.
    l2 : float
        Penalty of every parameter, in the objective; see `l2_penalty`.
    method : {"truncated-newton", "newton"}, optional
        As for `hessian.optimize.minimize`, which chooses by the number of parameters where it is left out.
    params : list of dict, optional
        Where to start; drawn by ``model.init(seed, dtype)`` where left out.
    seed : int or numpy.random.Generator
        Of the starting parameters.
    dtype : dtype
        Of the parameters and `X`; float32 halves the memory and limits the gradient norm that can be reached.
    callback : callable, optional
        ``callback(intermediate_result)`` after each iteration; raising StopIteration ends the training.
    options : mapping, optional
        Of the solver, such as ``{"gtol": 1e-6, "maxiter": 200, "progress": True}``.

    Returns
    -------
    TrainingResult
        Also when the solver stops early: read ``result.success`` and ``result.message``.

    Raises
    ------
    ShapeMismatchError
        If `X` is not a matrix of the network's input width, or `y` has another number of rows.
    OptionError
        If there are no rows, a label is out of range, or an option is out of range.
    NonFiniteError
        If `X` or `y` holds NaN or infinity.

    Cost
    ----
    One evaluation, one gradient and some Hessian-vector products per iteration, each a small multiple of a forward pass
    over all rows.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.nn import mlp, train
    >>> X = np.linspace(0.0, 1.0, 8)[:, None]
    >>> fit = train(mlp((1, 1)), X, 2.0 * X + 1.0, loss="squared_error")
    >>> fit.result.success, float(np.round(fit.params[0]["W"][0, 0], 8)), float(np.round(fit.params[0]["b"][0], 8))
    (True, 2.0, 1.0)
    """
    inputs, targets = _check_data(model, X, y, np.dtype(dtype))
    chosen = get_loss(loss)
    if chosen is softmax_cross_entropy and targets.ndim == 1:
        check_labels("train", targets, model.sizes[-1])
    objective = Objective(model, inputs, targets, chosen, l2)
    start = model.init(seed, dtype) if params is None else params
    result = minimize(objective, start, method=method, callback=callback, options=options)
    return TrainingResult(result.x, result, _metrics(objective, result), model, objective)


def _check_data(model: MLP, X: npt.ArrayLike, y: npt.ArrayLike, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return the data as arrays that fit the network; floating targets take the network's dtype."""
    if dtype.kind != "f":
        raise DtypeError(message("train", f"dtype is {dtype}", "parameters must be real", "Pass float64 or float32"))
    inputs, targets = np.asarray(X), np.asarray(y)
    if inputs.ndim != 2 or inputs.shape[1] != model.sizes[0]:
        raise ShapeMismatchError(
            message(
                "train",
                f"X has shape {inputs.shape}, the network takes (n, {model.sizes[0]})",
                fix="Give one example per row, or change the first of the network's sizes",
            )
        )
    if targets.ndim == 0 or len(targets) != len(inputs):
        raise ShapeMismatchError(
            message(
                "train", f"y has shape {targets.shape}, X has {len(inputs)} rows", fix="Give one target per row of X"
            )
        )
    if not len(inputs):
        raise OptionError(message("train", "X has no rows", "the mean over no examples is undefined", "Pass some"))
    for name, array in (("X", inputs), ("y", targets)):
        bad = np.argwhere(~np.isfinite(array))
        if bad.size:
            place = tuple(int(i) for i in bad[0])
            raise NonFiniteError(
                message(
                    "train", f"{name}[{', '.join(map(str, place))}] is {array[place]}", fix="Remove or impute such rows"
                )
            )
    return inputs.astype(dtype), targets.astype(dtype) if targets.dtype.kind == "f" else targets


def _metrics(objective: Objective, result: OptimizeResult) -> dict[str, float]:
    """Measure the end point on the training rows."""
    outputs = objective.model(result.x, objective.X)
    metrics = {
        "objective": float(result.fun),
        "loss": float(objective.loss(outputs, objective.y)),
        "gradient_norm": float(result.gradient_norm),
    }
    if objective.loss is softmax_cross_entropy:
        metrics["accuracy"] = accuracy(outputs, objective.y)
    return metrics
