"""The state of a run in one file: written whole or not at all, read back to the last bit."""

from __future__ import annotations

import io
import json
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hessian.errors import CheckpointError, CheckpointWarning, message

State = Mapping[str, Any]
"""Numbers, strings, arrays, and lists and dicts of those."""

_LAYOUT = 2
_DEFAULT_EVERY = 10.0


def save_state(path: str | os.PathLike[str], state: State) -> None:
    """Write a state to a file, replacing the one before in a single step.

    A reader sees the old state or the new one, never a part: the new one goes to a file beside it first, which takes its place
    once it is on the disk. Keys are strings; arrays keep dtype and bits, floats every digit, NaN and infinity included.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_state(pathlib.Path(folder) / "run.npz", {"x": np.arange(3.0), "radius": np.inf, "seen": [1, 2]})
    ...     load_state(pathlib.Path(folder) / "run.npz")
    {'x': array([0., 1., 2.]), 'radius': inf, 'seen': [1, 2]}
    """
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps({"layout": _LAYOUT, "state": _without_arrays(dict(state), arrays)})
    buffer = io.BytesIO()
    stored: dict[str, Any] = {"json": np.frombuffer(text.encode(), np.uint8), **arrays}
    np.savez(buffer, **stored)
    write_whole(Path(path), buffer.getbuffer())


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all: beside it first, and in its place once it is on the disk.

    Raises
    ------
    OSError
        As the file system says.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what :func:`save_state` wrote.

    Raises
    ------
    CheckpointError
        The file is none of :func:`save_state`'s, or of another layout.
    FileNotFoundError
        There is no file.
    """
    what = f"{os.fspath(path)} is not a checkpoint"
    fix = "Pass the file a run was told to write, or start without resume"
    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as stored:
            header = json.loads(bytes(stored["json"]).decode())
            arrays = {name: stored[name] for name in stored.files if name != "json"}
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise CheckpointError(message("resume", what, "It is damaged, or another program's", fix)) from error
    if not isinstance(header, dict) or header.get("layout") != _LAYOUT:
        raise CheckpointError(message("resume", what, "Its layout is of another version", fix))
    restored: dict[str, Any] = _with_arrays(header["state"], arrays)
    return restored


def _without_arrays(item: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Move arrays out of a nested state, leaving their names."""
    if isinstance(item, np.ndarray):
        name = f"array{len(arrays)}"
        arrays[name] = item
        return {"__array__": name}
    if isinstance(item, np.generic):
        return item.item()
    if isinstance(item, Mapping):
        return {str(key): _without_arrays(part, arrays) for key, part in item.items()}
    if isinstance(item, (list, tuple)):
        return [_without_arrays(part, arrays) for part in item]
    return item


def _with_arrays(item: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Put arrays back where their names are."""
    if isinstance(item, dict):
        if set(item) == {"__array__"}:
            return arrays[item["__array__"]]
        return {key: _with_arrays(part, arrays) for key, part in item.items()}
    if isinstance(item, list):
        return [_with_arrays(part, arrays) for part in item]
    return item


class Checkpoint:
    """Keeps the state of a run in a file, every so many seconds.

    A file that cannot be written (a full disk, a folder without permission) is no reason to lose the run: it goes on, and
    a :class:`~hessian.errors.CheckpointWarning` says once what happened.

    Parameters
    ----------
    path : path-like or None
        File; ``None`` keeps nothing.
    every : float
        Seconds between two writings; 0 writes at every opportunity.
    """

    def __init__(self, path: str | os.PathLike[str] | None, every: float | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._every = _DEFAULT_EVERY if every is None else every
        self._last = time.monotonic()
        self._warned = False

    def load(self, fingerprint: State) -> dict[str, Any] | None:
        """Return the state kept, if there is one, of a run that had the same fingerprint.

        Raises
        ------
        CheckpointError
            The file belongs to another problem, method or set of options; the message names what differs.
        """
        if self.path is None or not self.path.exists():
            return None
        state = load_state(self.path)
        kept = state.get("fingerprint", {})
        here = _plain(dict(fingerprint))
        differing = [key for key in {**here, **kept} if kept.get(key) != here.get(key)]
        if differing:
            pairs = ", ".join(f"{key} {kept.get(key)!r} there, {here.get(key)!r} here" for key in differing)
            what = f"{self.path} belongs to another run: {pairs}"
            fix = "Resume with the arguments it was started with, or delete the file"
            raise CheckpointError(message("resume", what, fix=fix))
        return state

    def offer(self, state: Callable[[], State], fingerprint: State, *, now: bool = False) -> None:
        """Write the state if its time has come, or now."""
        if self.path is None or not (now or time.monotonic() - self._last >= self._every):
            return
        try:
            save_state(self.path, {**state(), "fingerprint": dict(fingerprint)})
        except OSError as error:
            if not self._warned:
                self._warned = True
                what = f"the checkpoint {self.path} could not be written ({error}); the run goes on without"
                warnings.warn(message("checkpoint", what), CheckpointWarning, stacklevel=2)
        self._last = time.monotonic()


def _plain(item: Any) -> Any:
    """Return an item as it comes back from a file."""
    return json.loads(json.dumps(_without_arrays(item, {})))
