"""Ufuncs of several results as rows of one result each, and quotients with removable singularities that rows share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hessian.rules.dispatch import expose
from hessian.rules.samples import A, Accuracy, Case, case
from hessian.rules.spec import Elementwise, register


def parts(
    ufunc: np.ufunc,
    slopes: Mapping[str, Sequence[Any]],
    *,
    references: Sequence[str] = (),
    accuracy: Sequence[Accuracy | None] = (),
    cases: Sequence[Case] = (),
    domain: tuple[float, float] = (-2.0, 2.0),
    real_only: bool = True,
) -> list[Elementwise]:
    """Declare a ufunc of several results: a row of first partials for each, by the name of the row."""
    rows: list[Elementwise] = []
    for i, (name, d1) in enumerate(slopes.items()):
        row = Elementwise(
            name,
            lambda *xs, i=i: ufunc(*xs)[i],
            d1=d1,
            d2=None,
            reference=references[i] if references else "",
            domain=[domain] * len(d1),
            accuracy=accuracy[i] if accuracy else None,
            real_only=real_only,
        )
        rows.append(register(row))
    expose(
        ufunc,
        lambda *xs: tuple(row(*xs) for row in rows),
        cases=list(cases) or [case(A(3, 2)), case(A())],
        domain=domain,
        real_only=real_only,
    )
    return rows


def divided_log1p(t: Any) -> Any:
    """Return log(1 + t) / t with its derivatives at 0: 2 artanh(s) / t with s = t / (2 + t)."""
    near = np.abs(t) < 0.3
    u = np.where(near, t, 0.0)
    s = np.square(u / (2 + u))
    series: Any = 0.0
    for k in range(13, 0, -1):
        series = (series + 1 / (2 * k + 1)) * s
    far = np.where(near, 1.0, t)
    return np.where(near, 2 * (1 + series) / (2 + u), np.log1p(far) / far)
