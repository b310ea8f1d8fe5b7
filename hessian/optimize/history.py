"""What happened on the way: one record per iteration, the saddles left, and both as a table or a file."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial

from hessian.text import heading, line


@dataclass(frozen=True, slots=True)
class SaddleRecord:
    """A point with a small gradient and negative curvature that the run left.

    Attributes
    ----------
    iteration : int
        When it was left.
    value : float
        The objective there.
    eigenvalue : float
        The eigenvalue of the Hessian, below zero, whose eigenvector leads down.
    """

    iteration: int
    value: float
    eigenvalue: float


@dataclass(frozen=True, slots=True)
class IterationRecord:
    """One row of ``res.history``; row 0 describes the start.

    Attributes
    ----------
    iteration : int
    value, gradient_norm : float
        At the point kept at the end of the iteration.
    radius : float
        Of the trust region the step was computed in; ``nan`` for methods that have none.
    regularization : float
        Weight of the penalty on the length of the step (cubic weight or damping); ``nan`` for methods that have none.
    step_norm : float
        Length of the step, measured as the radius is (with a preconditioner M in the norm ``sqrt(s.M s)``).
    ratio : float
        The actual over the predicted reduction, ``nan`` where there is none.
    cg_iterations : int
        Products spent on this step: 0 when a rejected step was shortened along the path already computed.
    cg_status : str
        Why conjugate gradients ended.
    accepted : bool
        Whether the step was taken.
    n_value, n_grad, n_hvp, n_hess, n_factor : int
        Evaluations and products so far.
    seconds : float
        So far.
    """

    iteration: int
    value: float
    gradient_norm: float
    radius: float
    regularization: float
    step_norm: float
    ratio: float
    cg_iterations: int
    cg_status: str
    accepted: bool
    n_value: int
    n_grad: int
    n_hvp: int
    n_hess: int
    n_factor: int
    seconds: float


_COLUMNS = (
    ("iter", "iteration", "5d"),
    ("value", "value", "17.9e"),
    ("|grad|", "gradient_norm", "10.3e"),
    ("radius", "radius", "9.2e"),
    ("weight", "regularization", "9.2e"),
    ("|step|", "step_norm", "9.2e"),
    ("ratio", "ratio", "8.3f"),
    ("cg", "cg_iterations", "5d"),
    ("step", "cg_status", "<18s"),
    ("ok", "accepted", "3s"),
    ("n_value", "n_value", "7d"),
    ("n_grad", "n_grad", "6d"),
    ("n_hvp", "n_hvp", "6d"),
    ("n_hess", "n_hess", "6d"),
    ("n_factor", "n_factor", "8d"),
    ("seconds", "seconds", "8.2f"),
)

_OPTIONAL = ("radius", "regularization")
"""Columns that most methods leave empty: shown where there is something in them."""


def format_history(history: Sequence[IterationRecord]) -> str:
    """Lay out a history as a text table, one line per iteration.

    Parameters
    ----------
    history : sequence of IterationRecord
        ``res.history``.

    Returns
    -------
    str
        The table, headings first, without a trailing newline.

    Examples
    --------
    >>> import numpy as np
    >>> from hessian.optimize import format_history, minimize
    >>> res = minimize(lambda x: np.sum((x - 1.0) ** 2), np.zeros(2))
    >>> print(format_history(res.history).splitlines()[1][:23])
        0   2.000000000e+00
    """
    columns = [column for column in _COLUMNS if column[1] not in _OPTIONAL or _is_used(history, column[1])]
    return "\n".join([heading(columns), *(line(columns, partial(getattr, record)) for record in history)])


def _is_used(history: Sequence[IterationRecord], name: str) -> bool:
    return any(not math.isnan(getattr(record, name)) for record in history)


def write_history(history: Sequence[IterationRecord], path: str | os.PathLike[str]) -> None:
    """Write a history as comma-separated values, one column per field of :class:`IterationRecord`.

    Parameters
    ----------
    history : sequence of IterationRecord
        ``res.history``.
    path : path-like
        File to write; floats keep every digit.

    Returns
    -------
    None

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> from hessian.optimize import minimize
    >>> file = pathlib.Path(tempfile.mkdtemp(), "history.csv")
    >>> write_history(minimize(lambda x: np.sum(x**2), [1.0]).history, file)
    >>> file.read_text().startswith("iteration,value,gradient_norm,radius")
    True
    """
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(field.name for field in fields(IterationRecord))
        writer.writerows(astuple(record) for record in history)
