"""Data sets of the command line: scikit-learn's small ones and comma-separated files, split and scaled."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from hessian.arguments import did_you_mean
from hessian.errors import NonFiniteError, OptionError, message, missing_dependency

NAMES = ("digits", "breast_cancer", "diabetes", "wine")
MOST_CLASSES = 20
"""Whole numbers of at most so many kinds, each at least five times on average, are taken for class labels."""
FEWEST_ROWS = 4
_CONSTANT = 1e-12
"""A column of inputs that varies by no more than this share of its size is rounding, and would be blown up to weigh as much as
any other."""


@dataclass(frozen=True)
class Dataset:
    """Rows to learn from: class numbers with their names, or values, as targets."""

    name: str
    X: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    is_scaled: bool = False

    @property
    def is_classification(self) -> bool:
        """Whether the targets are class numbers."""
        return bool(self.classes)


@dataclass(frozen=True)
class Split:
    """Training and test rows of a data set, inputs (and values to predict) on the scale of the training rows."""

    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    n_constant: int = 0

    @property
    def is_classification(self) -> bool:
        """Whether the targets are class numbers."""
        return bool(self.classes)

    @property
    def n_out(self) -> int:
        """Outputs a network for it needs."""
        return len(self.classes) if self.classes else 1


def load_dataset(source: str, target: str | None = None, task: str = "auto") -> Dataset:
    """Load a data set by its name or from a file.

    Parameters
    ----------
    source : str
        One of ``digits``, ``breast_cancer``, ``diabetes``, ``wine``, or a file of comma-separated values, one row per
        line; a first line without a number names the columns.
    target : str, optional
        Column of the file to predict, by name or number from 1; the last one where left out.
    task : {"auto", "classification", "regression"}
        What the column holds. ``auto`` takes text, and whole numbers of few kinds, for classes.

    Raises
    ------
    OptionError
        An unknown name, a file that cannot be read or understood, or targets that do not fit the task.
    NonFiniteError
        A number in the file is NaN or infinite.
    """
    if source in NAMES:
        if target is not None or task != "auto":
            what = f"{source} has its own target"
            raise OptionError(message("train", what, fix="Leave --target and --task out"))
        return _load_known(source)
    if not Path(source).is_file():
        what = f"there is no data set or file {source!r}"
        near = did_you_mean(source, NAMES)
        fix = near or f"Pass one of {', '.join(NAMES)}, or the name of a CSV file"
        raise OptionError(message("train", what, fix=fix))
    return _load_file(Path(source), target, task)


def _load_known(name: str) -> Dataset:
    """Load a data set that scikit-learn brings along; the pixels of digits are scaled to [0, 1]."""
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise missing_dependency("train", "scikit-learn", "train") from error
    found = getattr(datasets, f"load_{name}")()
    X, y = np.asarray(found.data, dtype=float), np.asarray(found.target)
    if name == "digits":
        return Dataset(name, X / 16.0, y, tuple(map(str, range(10))), is_scaled=True)
    classes = () if name == "diabetes" else tuple(map(str, found.target_names))
    return Dataset(name, X, y, classes)


def _load_file(path: Path, target: str | None, task: str) -> Dataset:
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            lines = [(number, row) for number, row in enumerate(csv.reader(stream), 1) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OptionError(
            message("train", f"{path} cannot be read: {error}", fix="Pass a CSV file in UTF-8")
        ) from error
    names: list[str] = []
    if lines and not any(_is_number(cell) for cell in lines[0][1]):
        names = [cell.strip() for cell in lines.pop(0)[1]]
    if len(lines) < FEWEST_ROWS:
        what = f"{path} has {len(lines)} rows of data"
        raise OptionError(message("train", what, fix=f"Pass at least {FEWEST_ROWS}"))
    width = len(names) or len(lines[0][1])
    for number, row in lines:
        if len(row) != width:
            what = f"line {number} of {path} has {len(row)} cells, expected {width}"
            raise OptionError(message("train", what, "every row has a cell for every column", "Mend the file"))
    if width < 2:
        what = f"{path} has one column"
        raise OptionError(message("train", what, "there is nothing to predict from", "Separate cells by commas"))
    chosen = _column(target, names, width, path)
    X = np.array(
        [[_number(row[k], number, k, names, path) for k in range(width) if k != chosen] for number, row in lines]
    )
    y, classes = _targets([row[chosen].strip() for _, row in lines], task, path)
    return Dataset(path.stem, X, y, classes)


def _column(target: str | None, names: Sequence[str], width: int, path: Path) -> int:
    """Return the place of the target column."""
    if target is None:
        return width - 1
    if target in names:
        return names.index(target)
    if target.isdecimal() and 1 <= int(target) <= width:
        return int(target) - 1
    known = ", ".join(names) if names else f"1 to {width}"
    fix = did_you_mean(target, names) or f"Pass --target with one of: {known}"
    raise OptionError(message("train", f"{path} has no column {target!r}", fix=fix))


def _is_number(cell: str) -> bool:
    """Whether a cell holds a number; Python's 1_0 for 10 is none, and a typing error in a table."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _number(cell: str, line: int, column: int, names: Sequence[str], path: Path) -> float:
    where = f"line {line}, column {names[column] if names else column + 1} of {path}"
    if not _is_number(cell):
        what, why = f"{where} holds {cell.strip()!r}, not a number", "inputs are numbers"
        if line == 1 and not names:
            why += ", and a first line names the columns only if no cell of it is one"
        fix = "Encode text as numbers and fill in or leave out what is missing"
        raise OptionError(message("train", what, why, fix))
    number = float(cell)
    if not math.isfinite(number):
        raise NonFiniteError(message("train", f"{where} holds {cell.strip()}", fix="Fill in or leave out such rows"))
    return number


def _targets(cells: list[str], task: str, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return targets as class numbers with names, or as values."""
    are_numbers = all(map(_is_number, cells))
    values = np.array([float(cell) for cell in cells]) if are_numbers else np.empty(0)
    if are_numbers and not np.all(np.isfinite(values)):
        raise NonFiniteError(message("train", f"{path} has targets that are not finite", fix="Leave out such rows"))
    # Exact numbers, so that 1 and 1.0 are one class, under the name that comes first, and large ones stay apart.
    keys: list[Any] = [Decimal(cell) for cell in cells] if are_numbers else list(cells)
    names: dict[Any, str] = {}
    for key, cell in zip(keys, cells, strict=True):
        names.setdefault(key, cell)
    kinds = sorted(names)
    if task == "auto":
        are_few = len(kinds) <= min(MOST_CLASSES, len(cells) // 5)
        is_whole = are_numbers and bool(np.all(values == np.round(values)))
        task = "classification" if not are_numbers or (is_whole and are_few) else "regression"
    if task == "regression":
        if not are_numbers:
            wrong = next(cell for cell in cells if not _is_number(cell))
            raise OptionError(
                message("train", f"{path} has the target {wrong!r}, not a number", fix="Pass --task classification")
            )
        return values, ()
    if len(kinds) < 2:
        what = f"{path} has one class only, {names[kinds[0]]!r}"
        raise OptionError(message("train", what, "there is nothing to tell apart", "Pass --target, or more rows"))
    numbers = {kind: number for number, kind in enumerate(kinds)}
    return np.array([numbers[key] for key in keys]), tuple(names[kind] for kind in kinds)


def split_dataset(data: Dataset, test_size: float, seed: int) -> Split:
    """Split into training and test rows, stratified by class, and scale by mean and deviation of the training rows.

    A column that is constant in the training rows is centred and divided by its size. Values to predict are scaled too, so
    that losses and penalties mean about the same on every data set.

    Raises
    ------
    OptionError
        A class with one row, or a share that leaves a part without rows or without some class.
    NonFiniteError
        A column of the test rows is beyond floating point on the scale of the training rows.
    """
    try:
        from sklearn import model_selection
    except ModuleNotFoundError as error:
        raise missing_dependency("train", "scikit-learn", "train") from error
    if data.is_classification:
        _check_counts(data)
    stratify = data.y if data.is_classification else None
    try:
        X_train, X_test, y_train, y_test = model_selection.train_test_split(
            data.X, data.y, test_size=test_size, stratify=stratify, random_state=seed
        )
    except ValueError as error:
        what = f"--test-size {test_size} leaves a part without some class, or without rows: {error}"
        fix = "Pass more rows, or another share" if test_size == 0.25 else "Pass a share nearer to 0.25"
        raise OptionError(message("train", what, fix=fix)) from error
    n_constant = 0
    if not data.is_scaled:
        X_train, X_test, n_constant = _scaled(X_train, X_test, "input", _CONSTANT)
    if not data.is_classification:
        y_train, y_test, _ = _scaled(y_train[:, None], y_test[:, None], "target", 0.0)
    return Split(X_train, X_test, y_train, y_test, data.classes, n_constant)


def _check_counts(data: Dataset) -> None:
    """Refuse a class that cannot be in both parts."""
    counts = np.bincount(data.y, minlength=len(data.classes))
    if counts.min() < 2:
        what = f"{data.name} has one row of the class {data.classes[int(np.argmin(counts))]!r}"
        why = "training and test rows need one each"
        raise OptionError(message("train", what, why, "Add rows of it or leave it out, or pass --task regression"))


def _scaled(
    train: np.ndarray, test: np.ndarray, kind: str, constant_below: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Centre columns and divide them by their deviation in the training rows; the last answer is how many have none.

    Squares of numbers beyond 1e154 overflow and those of numbers below 1e-162 vanish, so that each column is first divided
    by the power of two above its largest entry, which changes no digit.
    """
    with np.errstate(over="ignore", under="ignore"):
        exponents = np.frexp(np.max(np.abs(train), axis=0))[1]
        train, test = np.ldexp(train, -exponents), np.ldexp(test, -exponents)
        deviation, mean = train.std(axis=0), train.mean(axis=0)
        constant = (deviation <= constant_below * np.max(np.abs(train), axis=0)) | (np.ptp(train, axis=0) == 0.0)
        deviation[constant] = 1.0
        train, test = (train - mean) / deviation, (test - mean) / deviation
    if not np.isfinite(test).all():
        place = int(np.argwhere(~np.isfinite(test))[0][1]) + 1
        what = f"{kind} {place} of the test rows is infinite on the scale of the training rows"
        raise NonFiniteError(message("train", what, fix="Mend or leave out such rows, or pass another --split-seed"))
    return train, test, int(constant.sum())
