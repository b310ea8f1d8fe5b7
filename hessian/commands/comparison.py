"""``hessian compare``: several methods on one problem, from the same start, side by side."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hessian.commands.datasets import load_dataset, split_dataset
from hessian.commands.extras import require_extras
from hessian.commands.folder import prepare_folder
from hessian.commands.output import as_json, say
from hessian.commands.training import (
    EXIT_CONVERGED,
    EXIT_NOT_SAVED,
    EXIT_STOPPED_EARLY,
    check_options,
    describe,
    fit_network,
    method_options,
    network,
    summarise,
)
from hessian.nn import TrainingResult
from hessian.optimize import IterationRecord
from hessian.plotting import plot_comparison
from hessian.text import Column, heading, line

_COLUMNS: tuple[Column, ...] = (
    ("method", "method", "<16s"), ("objective", "objective", "14.8f"), ("|grad|", "gradient_norm", "9.2e"), ("iter", "nit", "6d"),
    ("n_value", "n_value", "8d"), ("n_grad", "n_grad", "8d"), ("n_hvp", "n_hvp", "8d"), ("n_hess", "n_hess", "6d"),
    ("seconds", "seconds", "8.2f"), ("status", "status", "<s"),
)  # fmt: skip


def run_comparison(args: argparse.Namespace) -> int:
    """Train by every method, report and save; return the exit code."""
    check_options(args, args.methods)
    require_extras("compare", plot=not args.no_plot)
    data = load_dataset(args.data, args.target, args.task)
    split = split_dataset(data, args.test_size, args.split_seed)
    folder = prepare_folder(args.out, f"compare-{data.name}", overwrite=args.overwrite, resume=False)
    from threadpoolctl import threadpool_limits

    model = network(args, split)
    tell: Callable[[str], None] = (lambda line: None) if args.json else say
    tell(describe(args, data, split, model) + "\n")
    fits: dict[str, TrainingResult] = {}
    rows: list[dict[str, Any]] = []
    columns = _columns(split.is_classification)
    tell(heading(columns))
    with threadpool_limits(args.threads, user_api="blas"):
        for method in args.methods:
            fit = fit_network(args, split, model, method, method_options(args, method), None)
            fits[method] = fit
            rows.append(summarise(fit, split, fit.result.history[-1].seconds))
            tell(line(columns, rows[-1].__getitem__))
    try:
        save_comparison(folder, rows, {name: fit.result.history for name, fit in fits.items()}, not args.no_plot)
        saved = True
    except OSError as error:
        saved = False
        say(f"hessian compare: error: the comparison could not be saved in {folder}: {error}", sys.stderr)
    if args.json:
        say(as_json({"data": data.name, "methods": rows, "folder": folder}))
    if not saved:
        return EXIT_NOT_SAVED
    tell(f"\nfolder {folder}")
    if any(row["success"] for row in rows):
        return EXIT_CONVERGED
    say("hessian compare: every method stopped early; comparison.csv says why", sys.stderr)
    return EXIT_STOPPED_EARLY


def _columns(is_classification: bool) -> list[Column]:
    """Columns of the table, the score first."""
    score = ("accuracy", "test_accuracy") if is_classification else ("R squared", "test_r2")
    return [(*score, "9.4f"), *_COLUMNS]


def save_comparison(
    folder: Path, rows: list[dict[str, Any]], histories: Mapping[str, list[IterationRecord]], draw: bool
) -> None:
    """Write the table, every history and the picture."""
    with open(folder / "comparison.csv", "w", newline="", encoding="utf-8") as stream:
        keys = list(dict.fromkeys(key for row in rows for key in row if key != "message"))
        writer = csv.DictWriter(stream, keys, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    with open(folder / "histories.csv", "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["method", *IterationRecord.__slots__])
        for name, history in histories.items():
            table.writerows([name, *asdict(record).values()] for record in history)
    if draw:
        plot_comparison(histories)[0].figure.savefig(folder / "comparison.png", dpi=120)
