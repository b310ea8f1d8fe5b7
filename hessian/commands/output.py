"""What the command line prints, to readers who may have left, and as JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a text, at once; a reader who has left (``| head``) is no reason to lose the work that is still to be done."""
    target = sys.stdout if stream is None else stream
    try:
        print(text, file=target, flush=True)
    except BrokenPipeError:
        discard(target)


def discard(stream: TextIO) -> None:
    """Send all further output of a stream nowhere, what Python flushes at its end included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def as_json(content: Any, indent: int | None = 2) -> str:
    """Write JSON that every reader takes: it has no NaN and no infinity, which become null.

    >>> as_json({"a": float("nan"), "b": (1, 2.5)}, None)
    '{"a": null, "b": [1, 2.5]}'
    """
    return json.dumps(_plain(content), indent=indent, allow_nan=False)


def _plain(item: Any) -> Any:
    """Return what JSON has words for."""
    if isinstance(item, Mapping):
        return {str(key): _plain(one) for key, one in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(one) for one in item]
    if isinstance(item, Path):
        return str(item)
    return None if isinstance(item, float) and not math.isfinite(item) else item
