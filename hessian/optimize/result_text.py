"""Results of solvers in words: for a terminal, and as a table of HTML."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from hessian.optimize.history import IterationRecord, SaddleRecord
from hessian.text import html_table


def result_text(result: Mapping[str, Any]) -> str:
    """Lay out a result: the verdict first, then the numbers; the history by its length only."""
    rows = [(key, _show(result[key])) for key in _order(result)]
    width = 2 + max(len(key) for key, _ in rows)
    lines = [f"{type(result).__name__}: {_status_name(result)}"]
    for key, text in rows:
        lines.append(textwrap.fill(text, 110, initial_indent=f"{key:>{width}}: ", subsequent_indent=" " * (width + 2)))
    return "\n".join(lines)


def result_html(result: Mapping[str, Any]) -> str:
    """Lay out a result as a table, for notebooks."""
    title = _status_name(result) if "status" in result else type(result).__name__
    return html_table([(str(key), _show(result[key])) for key in _order(result)], title)


def _status_name(result: Mapping[str, Any]) -> str:
    """Name of the status; whatever it is where it is none of ours."""
    return str(getattr(result["status"], "name", result["status"]))


_FIRST = (
    "message", "success", "method", "fun", "gradient_norm", "smallest_eigenvalue", "smallest_eigenvalue_residual", "x", "jac", "nit",
)  # fmt: skip


def _order(result: Mapping[str, Any]) -> list[str]:
    """Keys in reading order: the verdict, the point, the counters, whatever else there is."""
    first = [key for key in _FIRST if key in result]
    return first + [key for key in result if key not in first and key != "status"]


def _show(item: Any) -> str:
    """One-line text of a field: arrays are abridged, lists of records counted."""
    if isinstance(item, list) and item and isinstance(item[0], (IterationRecord, SaddleRecord)):
        return f"{len(item)} records"
    if isinstance(item, np.ndarray):
        text = np.array2string(item, threshold=8, edgeitems=3, precision=6, separator=", ").replace("\n", "")
        return text if item.size <= 8 else f"{' '.join(text.split())} shape {item.shape}"
    if isinstance(item, dict):
        return "{" + ", ".join(f"{key!r}: {_show(part)}" for key, part in item.items()) + "}"
    if isinstance(item, (list, tuple)):
        opening, closing = "[]" if isinstance(item, list) else "()"
        return opening + ", ".join(_show(part) for part in item) + closing
    if isinstance(item, float):
        return "nan" if math.isnan(item) else f"{item:.12g}"
    return str(item)
