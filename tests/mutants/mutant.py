"""One fault: what is changed where, and who should see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """A change of one place of the package.

    Parameters
    ----------
    file : str
        In ``hessian/``.
    old, new : str
        What stands there exactly once, and what is put in its place.
    tests : str
        Arguments of pytest, apart by spaces; an expression of ``-k`` has none.
    """

    file: str
    old: str
    new: str
    tests: str

    def __str__(self) -> str:
        shown = [" ".join(text.split()) for text in (self.old, self.new)]
        return f"{self.file}: {shown[0]!r} -> {shown[1]!r}"

    def fault(self, text: str) -> str | None:
        """Say why the change cannot be made in a text; ``None`` if it can."""
        count = text.count(self.old)
        if self.old == self.new:
            return "changes nothing"
        return None if count == 1 else f"stands there {count} times"

    def apply(self, root: Path) -> None:
        """Make the change in a copy of the project."""
        path = root / "hessian" / self.file
        text = path.read_text(encoding="utf-8")
        why = self.fault(text)
        if why is not None:
            raise ValueError(f"{self}: {why}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
