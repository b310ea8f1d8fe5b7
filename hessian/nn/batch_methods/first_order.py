r"""First-order methods: one gradient of a batch per step, an elementwise rule that turns it into a step.

With the gradient g of a batch at the parameters x, the learning rate :math:`\eta`, and all operations elementwise:

==================== ==================================================================================================
gradient-descent     :math:`x \leftarrow x - \eta g`
momentum             :math:`v \leftarrow \mu v + g;\; x \leftarrow x - \eta v`
adagrad              :math:`s \leftarrow s + g^2;\; x \leftarrow x - \eta g / (\sqrt{s} + \epsilon)`
rmsprop              :math:`s \leftarrow \gamma s + (1 - \gamma) g^2;\; x \leftarrow x - \eta g / (\sqrt{s} + \epsilon)`
adam                 :math:`m \leftarrow \beta_1 m + (1 - \beta_1) g;\; s \leftarrow \beta_2 s + (1 - \beta_2) g^2;\;
                     x \leftarrow x - \eta \hat m / (\sqrt{\hat s} + \epsilon)` with :math:`\hat m = m / (1 - \beta_1^t)`,
                     :math:`\hat s = s / (1 - \beta_2^t)` at step t
==================== ==================================================================================================

References
----------
B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Comput. Math. Math. Phys. 4 (1964);
J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and
stochastic optimization", JMLR 12 (2011); T. Tieleman and G. Hinton, "Lecture 6.5: RMSprop", Coursera (2012); D. P. Kingma
and J. Ba, "Adam: a method for stochastic optimization", ICLR (2015), algorithm 1; I. Loshchilov and F. Hutter, "SGDR:
stochastic gradient descent with warm restarts", ICLR (2017), eq. 5 without restarts, for the cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hessian.errors import OptionError, message
from hessian.linalg.vectors import norm
from hessian.nn.batch_methods.batches import Batches
from hessian.nn.batch_methods.loop import Iteration, Rows, check_start
from hessian.nn.batch_methods.settings import FirstOrderOptions
from hessian.nn.objective import BatchObjective
from hessian.optimize import Status
from hessian.optimize.loop import Ending

DEFAULT_BATCH = 32
"""Rows of a batch where nothing is said."""
Memory = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a gradient becomes a step: from it, the memory, the number of the step and options; what is remembered, zero at first; and the
    learning rate where nothing is said, that of the papers or a usual one."""

    step: Callable[[np.ndarray, Memory, int, FirstOrderOptions], np.ndarray]
    memory: tuple[str, ...]
    rate: float


def _gradient_descent(g: np.ndarray, memory: Memory, t: int, options: FirstOrderOptions) -> np.ndarray:
    return g


def _momentum(g: np.ndarray, memory: Memory, t: int, options: FirstOrderOptions) -> np.ndarray:
    """A decaying sum of gradients."""
    memory["velocity"] = options.momentum * memory["velocity"] + g
    return memory["velocity"]


def _adagrad(g: np.ndarray, memory: Memory, t: int, options: FirstOrderOptions) -> np.ndarray:
    """The gradient over the root of the sum of squares."""
    memory["squares"] = memory["squares"] + g * g
    return g / (np.sqrt(memory["squares"]) + options.epsilon)


def _rmsprop(g: np.ndarray, memory: Memory, t: int, options: FirstOrderOptions) -> np.ndarray:
    """The gradient over the root of the running mean of squares."""
    memory["squares"] = options.decay * memory["squares"] + (1 - options.decay) * (g * g)
    return g / (np.sqrt(memory["squares"]) + options.epsilon)


def _adam(g: np.ndarray, memory: Memory, t: int, options: FirstOrderOptions) -> np.ndarray:
    """The running mean of gradients over the root of that of squares, both corrected for their start at zero."""
    memory["mean"] = options.beta1 * memory["mean"] + (1 - options.beta1) * g
    memory["squares"] = options.beta2 * memory["squares"] + (1 - options.beta2) * (g * g)
    mean = memory["mean"] / (1 - options.beta1**t)
    return mean / (np.sqrt(memory["squares"] / (1 - options.beta2**t)) + options.epsilon)


RULES: dict[str, Rule] = {
    "gradient-descent": Rule(_gradient_descent, (), 0.1),
    "momentum": Rule(_momentum, ("velocity",), 0.01),
    "adagrad": Rule(_adagrad, ("squares",), 0.01),
    "rmsprop": Rule(_rmsprop, ("squares",), 1e-3),
    "adam": Rule(_adam, ("mean", "squares"), 1e-3),
}


class FirstOrder:
    """A first-order method; an iteration is an epoch.

    Parameters
    ----------
    name : str
        A key of ``RULES``.
    objective : BatchObjective
    rows : pair of arrays
        Training rows. Each takes part once per epoch; the last batch of an epoch may be smaller, and weighs as much as any.
    batch_size : int, optional
        Default 32.
    options : FirstOrderOptions
        learning_rate : float or callable
            :math:`\\eta`, or a function ``step -> rate``; default 0.1, 0.01, 0.01, 0.001, 0.001 in the order of the table.
        schedule : {"constant", "cosine"}
            What becomes of a rate that is a number: it stays, or falls to zero over ``maxiter`` epochs as half a cosine wave.
        momentum, decay, beta1, beta2, epsilon
            :math:`\\mu` = 0.9, :math:`\\gamma` = 0.9, 0.9, 0.999, 1e-8 in the formulas; a method takes those in its own.
    seed : numpy.random.SeedSequence

    Notes
    -----
    The value of a record is that of all training rows after the epoch (one more forward pass), its ``gradient_norm`` the
    root mean square over the epoch's batches. A value or gradient that is not finite ends the training:
    every later step would be NaN.
    """

    def __init__(
        self,
        name: str,
        objective: BatchObjective,
        rows: Rows,
        batch_size: int | None,
        options: FirstOrderOptions,
        seed: np.random.SeedSequence,
    ) -> None:
        self.name = name
        self.x: np.ndarray = objective.start
        self.ending: Ending | None = None
        self._objective, self._rows, self._options = objective, rows, options
        self._batches = Batches(len(rows[0]), batch_size or DEFAULT_BATCH, np.random.default_rng(seed))
        self._memory: Memory = {part: np.zeros_like(self.x) for part in RULES[name].memory}
        self._rule, self._rate = (
            RULES[name].step,
            _learning_rate(name, options, options.maxiter * self._batches.per_epoch),
        )
        self._steps, self._squares, self._before = 0, 0.0, self.x

    def start(self) -> Iteration:
        """Evaluate the start.

        Raises
        ------
        NonFiniteError
            The objective is not finite there.
        """
        value = self._objective.value(self.x, *self._rows)
        check_start(value, self.x.dtype, lambda: self._objective.origin_of_nonfinite(self.x, *self._rows))
        return Iteration(value, cg_status="start")

    def advance(self, deadline: float) -> Iteration | None:
        """Take the step of one batch."""
        rows = self._batches.rows(*self._rows)
        value, gradient = self._objective.value_and_gradient(self.x, *rows)
        length = norm(gradient)
        if not (math.isfinite(value) and math.isfinite(length)):
            met = f"Step {self._steps} met the value {value:g} and a gradient of norm {length:g}."
            origin = self._objective.origin_of_nonfinite(self.x, *rows)
            self.ending = Status.DIVERGED, met if origin is None else f"{met} {origin}"
            return None
        self._squares += length * length
        self._move(gradient)
        return self._epoch() if self._batches.at_start else None

    def _move(self, gradient: np.ndarray) -> None:
        rate = float(self._rate(self._steps))
        if not 0.0 <= rate < math.inf:
            what = f"the learning rate of step {self._steps} is {rate}"
            raise OptionError(message("train", what, fix="Let the function return finite numbers >= 0"))
        self._steps += 1
        with np.errstate(all="ignore"):
            self.x = self.x - rate * self._rule(gradient, self._memory, self._steps, self._options)

    def _epoch(self) -> Iteration:
        """Describe the epoch that has ended."""
        value = self._objective.value(self.x, *self._rows)
        if not math.isfinite(value):
            met = f"The objective is {value} after {self._steps} steps."
            origin = self._objective.origin_of_nonfinite(self.x, *self._rows)
            self.ending = Status.DIVERGED, met if origin is None else f"{met} {origin}"
        length = math.sqrt(self._squares / self._batches.per_epoch)
        moved = norm(self.x - self._before)
        self._squares, self._before = 0.0, self.x
        return Iteration(value, length, step_norm=moved, cg_status=self.name)

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs besides x."""
        return {
            "memory": dict(self._memory),
            "steps": self._steps,
            "squares": self._squares,
            "before": self._before,
            "batches": self._batches.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self._memory, self._steps = dict(state["memory"]), state["steps"]
        self._squares, self._before = state["squares"], state["before"]
        self._batches.restore(state["batches"])


def _learning_rate(name: str, options: FirstOrderOptions, total: int) -> Callable[[int], float]:
    """Return the function of the step that the options describe."""
    rate = RULES[name].rate if options.learning_rate is None else options.learning_rate
    is_constant = options.schedule == "constant"
    if not callable(rate):
        start = float(rate)
        return lambda step: start if is_constant else start * (1.0 + math.cos(math.pi * min(step / total, 1.0))) / 2
    if not is_constant:
        what = "learning_rate is a function and there is a schedule besides"
        raise OptionError(message("train", what, "both say what the rate is", "Pass one of them"))
    return rate
