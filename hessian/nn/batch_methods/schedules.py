"""Learning rates as functions of the number of steps taken: ``rate = schedule(step)``, with ``step`` counted from 0."""

from __future__ import annotations

import math
from collections.abc import Callable

from hessian.arguments import FACTOR, POSITIVE, Wanted, check, choose, is_real, real_number, whole_number

Schedule = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """Return the schedule ``rate``.

    Examples
    --------
    >>> constant(0.1)(1000)
    0.1
    """
    base = real_number("constant", "rate", rate, POSITIVE)
    return lambda step: base


def step_decay(rate: float, every: int, factor: float = 0.1) -> Schedule:
    """Return the staircase ``rate · factor^⌊step / every⌋``.

    Parameters
    ----------
    rate : float
        Where it starts.
    every : int
        Steps between two drops, at least 1.
    factor : float
        In (0, 1].

    Raises
    ------
    OptionError
        An argument is out of range.

    Examples
    --------
    >>> [step_decay(1.0, every=10, factor=0.5)(step) for step in (0, 9, 10, 25)]
    [1.0, 1.0, 0.5, 0.25]
    """
    base, length, ratio = _decay("step_decay", rate, every, factor)
    return lambda step: base * ratio ** (step // length)


def exponential(rate: float, every: int, factor: float = 0.1) -> Schedule:
    """Return the smooth decay ``rate · factor^(step / every)``.

    Parameters, errors as those of ``step_decay``, whose corners this curve goes through.

    Examples
    --------
    >>> exponential(1.0, every=10, factor=0.25)(5)
    0.5
    """
    base, length, ratio = _decay("exponential", rate, every, factor)
    return lambda step: base * ratio ** (step / length)


def _decay(where: str, rate: float, every: int, factor: float) -> tuple[float, int, float]:
    """Return the numbers of a decay, checked."""
    ratio = real_number("schedule", "factor", factor, FACTOR, "the rate would grow")
    return real_number(where, "rate", rate, POSITIVE), whole_number(where, "every", every), ratio


def cosine(rate: float, total: int, floor: float = 0.0) -> Schedule:
    """Return half a cosine wave: ``floor + (rate - floor) (1 + cos(π step / total)) / 2``, and ``floor`` after ``total`` steps.

    Parameters
    ----------
    rate : float
        Where it starts.
    total : int
        Steps of the descent, at least 1.
    floor : float
        Where it ends, in [0, rate].

    Raises
    ------
    OptionError
        An argument is out of range.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR (2017), eq. 5 without
    restarts.

    Examples
    --------
    >>> [round(cosine(1.0, total=100)(step), 12) for step in (0, 50, 100, 200)]
    [1.0, 0.5, 0.0, 0.0]
    """
    base, length = real_number("cosine", "rate", rate, POSITIVE), whole_number("cosine", "total", total)
    within = Wanted(f"a number from 0 to the rate {base:g}", lambda v: is_real(v) and 0 <= v <= base)
    check("cosine", "floor", floor, within)
    return lambda step: floor + 0.5 * (base - floor) * (1.0 + math.cos(math.pi * min(step / length, 1.0)))


def warmup(steps: int, then: float | Schedule) -> Schedule:
    """Return a rise in equal steps, ``(step + 1) / steps`` of the rate that follows, before another schedule begins.

    Parameters
    ----------
    steps : int
        Length of the rise, at least 1; the step after it is step 0 of what follows.
    then : float or callable
        A constant rate, or a schedule.

    Raises
    ------
    OptionError
        An argument is out of range.

    References
    ----------
    P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", arXiv:1706.02677 (2017), section 2.2.

    Examples
    --------
    >>> [warmup(4, 1.0)(step) for step in (0, 1, 3, 4, 50)]
    [0.25, 0.5, 1.0, 1.0, 1.0]
    """
    length, after = whole_number("warmup", "steps", steps), then if callable(then) else constant(then)
    return lambda step: after(step - length) if step >= length else after(0) * (step + 1) / length


SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "constant": lambda rate, total: constant(rate),
    "step": lambda rate, total: step_decay(rate, every=max(1, -(-total // 3))),
    "exponential": lambda rate, total: exponential(rate, every=max(1, -(-total // 2))),
    "cosine": lambda rate, total: cosine(rate, total=max(1, total)),
    "warmup": lambda rate, total: warmup(max(1, total // 10), rate),
}
"""Schedules of a whole training of so many steps: a drop to a tenth after each third, a smooth decay to a hundredth, half a
cosine to zero, a rise over the first tenth."""


def get_schedule(schedule: str | Schedule, rate: float, total: int) -> Schedule:
    """Return the schedule of a name, for a training of ``total`` steps, or the function ``step -> rate`` given.

    Examples
    --------
    >>> get_schedule("step", 1.0, total=300)(100)
    0.1
    """
    if callable(schedule):
        return schedule
    return choose("hessian.nn", "schedule", schedule, SCHEDULES)(rate, total)
