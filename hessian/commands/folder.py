"""The folder of a run: made before the work, filled after it, resumed from."""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from hessian.commands.output import as_json
from hessian.errors import OptionError, message
from hessian.nn import TrainingResult
from hessian.optimize import write_history
from hessian.optimize.checkpoint import write_whole
from hessian.plotting import plot_convergence

CHECKPOINT = "checkpoint.npz"
SETTINGS = "settings.json"
SUMMARY = "summary.json"
_LIMITS = (
    "out",
    "run",
    "resume",
    "overwrite",
    "quiet",
    "gtol",
    "maxiter",
    "max_hvp",
    "max_seconds",
    "no_plot",
    "no_spectrum",
    "threads",
    "json",
    "command",
)
_OF_THE_CALL = ("run", "out", "json", "command")


def prepare_folder(out: Path | None, name: str, *, overwrite: bool, resume: bool) -> Path:
    """Create the run folder before the work starts, so that a bad path costs nothing."""
    folder = out if out is not None else Path("runs") / time.strftime(f"{name}-%Y%m%d-%H%M%S")
    try:
        if resume:
            if not (folder / SETTINGS).exists():
                what = f"--resume: there is no run in {folder}"
                raise OptionError(message("train", what, fix="Pass --out with the folder of the run to go on with"))
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            if not overwrite:
                what, why = f"--out {folder} is not empty", "A run never replaces another unasked"
                raise OptionError(message("train", what, why, "Pass another folder, --overwrite, or --resume"))
            (folder / CHECKPOINT).unlink(missing_ok=True)
    except OSError as error:
        what = f"--out {folder} cannot be created: {error}"
        raise OptionError(message("train", what, fix="Pass a folder you may write to")) from error
    return folder


def keep_settings(folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Write the settings that a resumed run must share, or compare with those of the run to go on with."""
    own = {key: value for key, value in settings.items() if key not in _LIMITS}
    path = folder / SETTINGS
    if not resume:
        try:
            write_whole(path, (json.dumps(own, indent=2) + "\n").encode())
        except OSError as error:
            what = f"--out {folder} cannot be written to: {error}"
            raise OptionError(message("train", what, fix="Pass a folder you may write to")) from error
        return
    kept = _read_settings(path)
    plain = json.loads(json.dumps(own))
    differing = [key for key in plain if kept.get(key) != plain[key]]
    if differing:
        pairs = ", ".join(f"--{key.replace('_', '-')} was {kept.get(key)!r} and is {plain[key]!r}" for key in differing)
        what = f"the run in {folder} had other settings: {pairs}"
        raise OptionError(
            message("train", what, "It would end somewhere else", "Repeat its options; limits may change")
        )


def _read_settings(path: Path) -> dict[str, Any]:
    """Return the settings of the run to go on with."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(kept, dict):
            raise ValueError(f"it holds a {type(kept).__name__}")
    except (OSError, ValueError) as error:
        what = f"--resume: {path} cannot be read: {error}"
        why = "Nothing else says which run the checkpoint belongs to"
        raise OptionError(message("train", what, why, "Restore the file, or start anew with --overwrite")) from error
    return kept


def forget_settings(folder: Path) -> None:
    """Undo ``keep_settings`` where nothing came of the run, so that the corrected command finds the folder as it was."""
    if (folder / CHECKPOINT).exists():
        return
    with contextlib.suppress(OSError):
        (folder / SETTINGS).unlink(missing_ok=True)
        folder.rmdir()


def save_run(folder: Path, fit: TrainingResult, summary: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Write parameters, history, summary and, unless left out, the picture."""
    arrays: dict[str, Any] = named_arrays(fit.params)
    np.savez(folder / "parameters.npz", **arrays)
    write_history(fit.result.history, folder / "history.csv")
    save_summary(folder, summary, settings)
    if not settings["no_plot"]:
        against: Any = "n_hvp" if fit.result.n_hvp else "iteration"
        left, _ = plot_convergence(fit.result.history, against=against, gtol=settings["gtol"])
        left.figure.savefig(folder / "convergence.png", dpi=120)


def save_summary(folder: Path, summary: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Write what was asked for, by which versions, and what came of it."""
    write_whole(folder / SUMMARY, (as_json(whole_summary(summary, settings)) + "\n").encode())


def whole_summary(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked for, by which versions, and what came of it."""
    kept = {name: setting for name, setting in settings.items() if name not in _OF_THE_CALL}
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    return {"settings": kept, "versions": versions, "results": dict(summary)}


def named_arrays(params: Any) -> dict[str, np.ndarray]:
    """Name the arrays of a multilayer perceptron's parameters W0, b0, W1, b1, ..."""
    return {f"{name}{k}": array for k, layer in enumerate(params) for name, array in layer.items()}
