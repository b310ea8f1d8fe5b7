"""Training: an objective made of a network, data, a loss and a penalty, handed to a method."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hessian.arguments import Rng, as_seed, did_you_mean, only_known, unknown, whole_number
from hessian.errors import OptionError, message
from hessian.linalg import limits
from hessian.nn.batch_methods.batches import split_rows
from hessian.nn.batch_methods.first_order import RULES, FirstOrder
from hessian.nn.batch_methods.hessian_free import HessianFree
from hessian.nn.batch_methods.loop import BatchLoop, BatchMethod, Rows
from hessian.nn.batch_methods.settings import BatchOptions, FirstOrderOptions, HessianFreeOptions, parse_settings
from hessian.nn.data import check_rows
from hessian.nn.early_stopping import Validation
from hessian.nn.losses import Loss, get_loss
from hessian.nn.model import Parameters
from hessian.nn.objective import BatchObjective, TrainingObjective
from hessian.optimize import OptimizeResult, Status, minimize
from hessian.optimize.observer import Progress
from hessian.optimize.scipy_conventions import Callback
from hessian.optimize.settings import Method
from hessian.optimize.trust_ncg import TrustNCG
from hessian.tape.trees import flatten, ravel
from hessian.text import Shown, named_values

BatchMethodName = Literal["hessian-free", "gradient-descent", "momentum", "adagrad", "rmsprop", "adam"]
BATCH_METHODS = (HessianFree.name, *RULES)
"""Methods that work on batches of rows; all others see all rows at once."""


@dataclass(frozen=True, eq=False, repr=False)
class TrainingResult(Shown):
    """A trained network.

    Attributes
    ----------
    params : list of dict
        Parameters at the end; with ``patience``, those with the smallest loss on the validation rows.
    result : scipy.optimize.OptimizeResult
        The solver's own: status, message, counters and history.
    metrics : dict of str to float
        On the training rows: ``objective``, ``loss`` (without the penalty), ``gradient_norm``, and the metric of the loss:
        ``accuracy`` of classes, ``r2`` of values. On the validation rows, if there are some: ``validation_loss`` and the metric.
    model : Network
    objective : TrainingObjective
        The function that was minimised, ready for ``hessian.HessianOperator``; its rows are the training rows.
    validation : list of (int, float)
        Iteration and loss (without the penalty) on the validation rows, the start first; empty if there are none.
    """

    params: Parameters
    result: OptimizeResult
    metrics: dict[str, float]
    model: Any
    objective: TrainingObjective
    validation: list[tuple[int, float]] = field(default_factory=list)

    @property
    def status(self) -> Status:
        """Why the solver stopped: that of ``result``."""
        status: Status = self.result.status
        return status

    @property
    def success(self) -> bool:
        """Whether the solver reached what was asked for: that of ``result``."""
        return bool(self.result.success)

    def __repr__(self) -> str:
        head = f"TrainingResult: {self.status.name} after {self.result.nit} iterations"
        return f"{head}\n{named_values([(name, f'{number:.6g}') for name, number in self.metrics.items()], '  ')}"

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the network's outputs (for a classifier: logits) on the rows of ``X``."""
        dtype = flatten(self.params)[0][0].dtype
        return np.asarray(self.model(self.params, np.asarray(X, dtype=dtype)))


@only_known
def train(
    model: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    loss: Literal["softmax_cross_entropy", "squared_error"] | Loss = "softmax_cross_entropy",
    l2: float = 0.0,
    method: Method | BatchMethodName | None = None,
    params: Parameters | None = None,
    rng: Rng = 0,
    dtype: npt.DTypeLike = np.float64,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    validation: float | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    patience: int | None = None,
    batch_size: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> TrainingResult:
    """Minimise ``loss(model(params, X), y) + (l2/2) ||params||²`` by a Newton method or on batches of rows.

    Parameters
    ----------
    model : Network, such as ``mlp`` or ``sequential`` makes, or any object with ``init(rng, dtype)`` and ``model(params, X)``
        Its ``n_in`` or ``sizes[0]``, where it has one, is the width ``X`` must have.
    X : array, (n, n_in)
        Inputs, one example per row. Cast to ``dtype``.
    y : array, (n,) or (n, n_out)
        Targets of the loss: class numbers, probabilities or values.
    loss : str or callable
        A name of ``hessian.nn.LOSSES``, or any function ``(outputs, targets) -> scalar`` written in NumPy, a mean over rows.
    l2 : float
        Penalty of every parameter, in the objective; see ``l2_penalty``.
    method : str, optional
        Of all rows at once: those of ``hessian.optimize.minimize``, which chooses one where it is left out. On batches:
        ``"hessian-free"``, ``"gradient-descent"``, ``"momentum"``, ``"adagrad"``, ``"rmsprop"``, ``"adam"``.
    params : list of dict, optional
        Where to start; drawn by ``model.init(rng, dtype)`` where left out.
    rng : int, numpy.random.Generator or None
        Of the starting parameters, the rows held out for validation, and the batches.
    dtype : dtype
        Of the parameters and ``X``; float32 halves the memory and limits the gradient norm that can be reached.
    callback : callable, optional
        ``callback(intermediate_result)`` after each iteration; raising StopIteration ends the training. An iteration is a
        step of a Newton method, Hessian-free included, or an epoch of a first-order method.
    options : mapping, optional
        Of the method: for all rows at once see ``hessian.optimize.minimize``; ``"trust-ncg"`` is preconditioned by
        ``"lbfgs"`` unless another preconditioner, or None, is given. Methods on batches have ``maxiter`` (default
        100), ``max_seconds``, ``checkpoint_every`` (seconds, default 5), ``progress``, ``record`` (False
        makes no compiled programs), and those listed in
        ``hessian.nn.batch_methods.hessian_free.HessianFree`` and ``hessian.nn.batch_methods.first_order.FirstOrder``.
    validation : (X, y) or float, optional
        Rows on which the loss is measured after each iteration, or the share of the rows to hold out for that.
    patience : int, optional
        Stop after so many iterations without a smaller loss on the validation rows. However the training ends, the
        parameters returned are those with the smallest.
    batch_size : int, optional
        Of methods on batches: rows of each gradient, default 32, or of the Gauss-Newton matrix, default a quarter of
        all, at least 256.
    checkpoint : path-like, optional
        File that keeps the state of the run. A file that cannot be written is a ``CheckpointWarning``, and the run goes on.
    resume : bool
        Continue from ``checkpoint`` if there is such a file. The end is the same to the last bit as without the interruption,
        whenever the process was killed.

    Returns
    -------
    TrainingResult
        Also when the solver stops early: read ``result.success`` and ``result.message``.

    Raises
    ------
    ShapeMismatchError
        ``X`` is not a matrix of the network's input width, or ``y`` has another number of rows.
    OptionError
        There are no rows, a label is out of range, or an option is out of range or does not belong to the method.
    NonFiniteError
        ``X`` or ``y`` holds NaN or infinity, or the objective is not finite at the start.
    CheckpointError
        The file to resume from belongs to another training: other rows, options, network or loss.

    Notes
    -----
    KeyboardInterrupt ends a training with ``Status.INTERRUPTED`` and the best parameters so far, those with the smallest loss on
    the validation rows if there are some; a checkpoint of the last step that was whole is written then. On batches the objective
    is recorded once per batch size, with the rows as arguments.

    Where patience returns other parameters than those the method ended at, the status is ``EARLY_STOPPED`` if the method had
    reached its aim, whatever it knows of the curvature being about the last ones; the message says both.

    Cost: one evaluation, one gradient and some Hessian-vector products per iteration, each a small multiple of a forward pass
    over all rows, or over a batch.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.nn import mlp, train
    >>> X = np.linspace(0.0, 1.0, 8)[:, None]
    >>> fit = train(mlp((1, 1)), X, 2.0 * X + 1.0, loss="squared_error")
    >>> fit.result.success, float(np.round(fit.params[0]["W"][0, 0], 8)), float(np.round(fit.params[0]["b"][0], 8))
    (True, 2.0, 1.0)
    >>> fit = train(mlp((1, 1)), X, 2.0 * X + 1.0, loss="squared_error", method="adam", batch_size=4,
    ...             options={"learning_rate": 0.1, "schedule": "cosine", "maxiter": 200})
    >>> fit.metrics["loss"] < 1e-6
    True
    """
    chosen, kind = get_loss(loss), np.dtype(dtype)
    rows = check_rows(model, X, y, kind, chosen)
    start = model.init(rng, kind) if params is None else params
    held_seed, batch_seed = np.random.SeedSequence(as_seed(rng, "train")).spawn(2)
    rows, held = _hold_out(model, rows, validation, chosen, held_seed)
    _check_patience(patience, held)
    objective = TrainingObjective(model, *rows, chosen, l2)
    name = None if method is None else str(method).lower().replace("_", "-")
    if (resume or checkpoint is not None) and (options is None or isinstance(options, Mapping)):
        options = {**(options or {}), "checkpoint": checkpoint, "resume": resume}
    watch = None if held is None else Validation(objective, start, held, patience, callback)
    if name in BATCH_METHODS:
        result = _train_on_batches(
            name, objective, start, watch or Callback(callback, "train"), options, batch_size, batch_seed
        )
    else:
        _refuse_batches(method, batch_size)
        if name == TrustNCG.name or (name is None and ravel(start)[0].size > limits.STEP_ORDER):
            # On networks pairs of earlier iterations save a quarter to a third of the products (digits, five starts).
            options = {"preconditioner": "lbfgs", **(options or {})}
        given: dict[str, Any] = {"method": method, "callback": watch or callback, "options": options}
        result = minimize(objective, start, **given)
    if watch is not None:
        result = watch.finished(result)
    seen = [] if watch is None else watch.seen
    return TrainingResult(result.x, result, _metrics(objective, result, held), model, objective, seen)


def _train_on_batches(
    name: str,
    objective: TrainingObjective,
    start: Parameters,
    callback: Callback,
    options: Mapping[str, Any] | None,
    batch_size: int | None,
    seed: np.random.SeedSequence,
) -> OptimizeResult:
    if batch_size is not None:
        whole_number("train", "batch_size", batch_size)
    kind = HessianFreeOptions if name == HessianFree.name else FirstOrderOptions
    settings: BatchOptions = parse_settings(kind, name, options)
    batches = BatchObjective(objective.model, objective.loss, objective.l2, start, record=bool(settings.record))
    rows = objective.X, objective.y
    method: BatchMethod
    if isinstance(settings, HessianFreeOptions):
        method = HessianFree(batches, rows, batch_size, settings, seed)
    else:
        assert isinstance(settings, FirstOrderOptions)
        method = FirstOrder(name, batches, rows, batch_size, settings, seed)
    identity = {"batch_size": batch_size, "l2": float(objective.l2), "seed": str(seed.entropy)}
    with Progress(bool(settings.progress), name, settings.maxiter) as progress:
        return BatchLoop(method, batches, rows, settings, callback, progress, identity).run()


def _hold_out(
    model: Any, rows: Rows, validation: Any, loss: Loss, seed: np.random.SeedSequence
) -> tuple[Rows, Rows | None]:
    if validation is None:
        return rows, None
    if isinstance(validation, tuple) and len(validation) == 2:
        return rows, check_rows(model, *validation, rows[0].dtype, loss, names=("validation X", "validation y"))
    if isinstance(validation, bool) or not isinstance(validation, Real):
        what = f"validation is {type(validation).__name__}"
        raise OptionError(message("train", what, fix="Pass a pair (X, y), or the share of the rows to hold out"))
    return split_rows(*rows, float(validation), np.random.default_rng(seed))


def _check_patience(patience: Any, held: Rows | None) -> None:
    """Refuse a patience that has nothing to wait for."""
    if patience is None:
        return
    whole_number("train", "patience", patience, why="it counts iterations")
    if held is None:
        why = "the loss on the training rows says nothing about when to stop"
        raise OptionError(message("train", "patience without validation rows", why, "Pass validation=0.2 or (X, y)"))


def _refuse_batches(method: str | None, batch_size: int | None) -> None:
    """Say which methods take batches where one does not, and which name was meant."""
    if batch_size is not None:
        what = f"batch_size is {batch_size!r} and the method is {method!r}, which takes all rows at once"
        raise OptionError(message("train", what, fix=f"Leave it out, or pass method={' or '.join(BATCH_METHODS)}"))
    if did_you_mean(method, BATCH_METHODS):
        raise unknown("train", "method on batches", method, BATCH_METHODS)


def _metrics(objective: TrainingObjective, result: OptimizeResult, held: Rows | None) -> dict[str, float]:
    """Measure the end point on the training rows, and on the validation rows."""
    found = {"objective": float(result.fun)}
    found |= _measured(objective, result.x, (objective.X, objective.y)) | {"gradient_norm": float(result.gradient_norm)}
    measured = {} if held is None else _measured(objective, result.x, held)
    return found | {f"validation_{name}": number for name, number in measured.items()}


def _measured(objective: TrainingObjective, params: Any, rows: Rows) -> dict[str, float]:
    """Loss on some rows, without the penalty, and the metric that goes with it."""
    metric = getattr(objective.loss, "metric", None)
    with np.errstate(all="ignore"):
        outputs = objective.model(params, rows[0])
        found = {"loss": float(objective.loss(outputs, rows[1]))}
        return found if metric is None else found | {metric.__name__: float(metric(outputs, rows[1]))}
