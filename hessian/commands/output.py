"""What the command line prints, to readers who may have left."""

from __future__ import annotations

import os
import sys
from typing import TextIO


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
