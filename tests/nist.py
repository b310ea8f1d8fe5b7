"""NIST's reference data sets for nonlinear regression (StRD): data, starts and certified values read from their files.

The files in ``data/nist`` are those of https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml, unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data" / "nist"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[Ee][-+]?\d+)?"

Model = Callable[[Any, np.ndarray], Any]
MODELS: dict[str, Model] = {
    "Chwirut2": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "Eckerle4": lambda b, x: b[0] / b[1] * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": lambda b, x: (
        b[0] * np.exp(-b[1] * x)
        + b[2] * np.exp(-((x - b[3]) ** 2) / b[4] ** 2)
        + b[5] * np.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    ),
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1.0 + b[3] * x + b[4] * x**2),
    "Lanczos2": lambda b, x: b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x),
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "Misra1a": lambda b, x: b[0] * (1.0 - np.exp(-b[1] * x)),
    "Rat43": lambda b, x: b[0] / (1.0 + np.exp(b[1] - b[2] * x)) ** (1.0 / b[3]),
    "Thurber": lambda b, x: (
        (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1.0 + b[4] * x + b[5] * x**2 + b[6] * x**3)
    ),
}


@dataclass(frozen=True)
class Regression:
    """A data set and its model, two starts (the first is the harder one), and certified values to eleven digits."""

    name: str
    model: Model
    x: np.ndarray
    y: np.ndarray
    starts: tuple[np.ndarray, np.ndarray]
    parameters: np.ndarray
    standard_deviations: np.ndarray
    sum_of_squares: float
    residual_std: float

    def residuals(self, b: Any) -> Any:
        """Model minus data."""
        return self.model(b, self.x) - self.y


def read(name: str) -> Regression:
    """Read one of the files."""
    text = (FOLDER / f"{name}.dat").read_text(encoding="ascii")
    rows = re.findall(rf"^\s*b\d+\s*=\s*({NUMBER})\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})\s*$", text, re.MULTILINE)
    table = np.array(rows, dtype=float)
    first, last = map(int, re.search(r"Data\s+\(lines\s+(\d+)\s+to\s+(\d+)\)", text).groups())
    data = np.array([line.split() for line in text.splitlines()[first - 1 : last]], dtype=float)
    found = Regression(
        name,
        MODELS[name],
        data[:, 1],
        data[:, 0],
        (table[:, 0], table[:, 1]),
        table[:, 2],
        table[:, 3],
        _certified(text, "Residual Sum of Squares"),
        _certified(text, "Residual Standard Deviation"),
    )
    assert len(found.y) == int(_certified(text, "Number of Observations"))
    # The degrees of freedom are not read: Rat43's header says 9, while its deviations are those of 15 - 4 = 11.
    return found


def _certified(text: str, name: str) -> float:
    """A certified number by its name."""
    return float(re.search(rf"{name}:\s*({NUMBER})", text).group(1))


NAMES = tuple(sorted(MODELS))
