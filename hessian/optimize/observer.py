"""A progress bar for runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from hessian.errors import missing_dependency
from hessian.optimize.history import IterationRecord


class Progress:
    """Progress bar on the standard error stream, or nothing.

    Parameters
    ----------
    is_shown : bool
    where : str
        Who shows it.
    total : int, optional
        Iterations it counts towards.

    Raises
    ------
    MissingDependencyError
        A bar is wanted and tqdm is not installed.
    """

    def __init__(self, is_shown: bool, where: str, total: int | None = None) -> None:
        self._bar: Any = None
        if is_shown:
            try:
                from tqdm import tqdm
            except ImportError as error:
                raise missing_dependency(where, "tqdm", "train") from error
            self._bar = tqdm(desc=where, unit=" it", total=total, file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def compiling(self) -> None:
        """Say that a program is being made."""
        if self._bar is not None:
            self._bar.set_postfix_str("compiling")

    def update(self, record: IterationRecord, more: Mapping[str, str]) -> None:
        """Advance by one iteration, and show numbers and more of it."""
        if self._bar is not None:
            shown = {"f": f"{record.value:.8g}", "|g|": f"{record.gradient_norm:.2e}", "hvp": record.n_hvp, **more}
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
