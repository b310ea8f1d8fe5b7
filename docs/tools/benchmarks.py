"""Pages of the benchmarks, from the numbers in ``benchmarks/results``: tables in which losses are bold, and pictures."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any, NamedTuple

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
OWN = ("hessian", "hs.hvp", "hs.record")
TASKS = {
    "repeated": "HVP, repeated at one point",
    "newpoint": "HVP at a new point",
    "gradient": "value and gradient",
    "dense": "dense Hessian",
    "first": "function to first HVP",
}
WORDS = ("of", "")
"""Heads of columns that hold words."""
ONCE = ("function to first HVP", "pattern, compilation and the first Hessian")


class Ratio(NamedTuple):
    """One time of ours over one of a peer's, in seconds; with each library alone in its process, if that was measured."""

    task: str
    case: str
    own: float
    other: float
    peer: str = "JAX"
    alone: float | None = None

    @property
    def value(self) -> float:
        return self.own / self.other


class Page(NamedTuple):
    """A page: title, opening, ratios (for table, picture and summary), and further text."""

    title: str
    opening: str
    ratios: list[Ratio]
    more: str = ""
    peers: str = "JAX"
    holds: str = ""


def load(name: str) -> Any:
    """The numbers of a file, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def machine(content: dict[str, Any]) -> str:
    """Where and with what it was measured."""
    m, versions = content["machine"], content.get("versions", {})
    if isinstance(m, str):
        m = ast.literal_eval(m[: m.index("}") + 1])
    text = (
        f"{m['cpu']}, {m['cores']} cores, {m['threads']} threads, load {m['load']} when it began, Python {m['python']}"
    )
    return "; ".join([text, ", ".join(f"{name} {version}" for name, version in versions.items())]).rstrip("; ") + "."


def seconds(value: float) -> str:
    """A time in a unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size or unit == "us":
            return f"{value / size:.3g} {unit}"
    return ""


def mark(ratio: float) -> str:
    """A ratio; a loss is bold."""
    text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
    text = f"{ratio:.1g}" if ratio < 0.01 else text
    return f"**{text}**" if ratio > 1 else text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [head, ["---" if place == 0 or title in WORDS else "--:" for place, title in enumerate(head)], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n\n"


def picture(name: str, words: str) -> str:
    """A picture that opens in full size."""
    return f"```{{image}} {name}.png\n:alt: {words}\n:target: ../_images/{name}.png\n```\n\n"


def ratio_table(ratios: Sequence[Ratio], peer: str) -> str:
    """A row for each ratio, a table for each task."""
    with_alone = any(ratio.alone is not None for ratio in ratios)
    text = ""
    for task in dict.fromkeys(ratio.task for ratio in ratios):
        head = ["", "ours", peer, "ours / peer", *(["alone"] if with_alone else [])]
        rows = []
        for r in (ratio for ratio in ratios if ratio.task == task):
            case = r.case if r.peer == peer else f"{r.case}, {r.peer}"
            alone = [mark(r.alone) if r.alone is not None else ""] if with_alone else []
            rows.append([case, seconds(r.own), seconds(r.other), mark(r.value), *alone])
        text += f"### {task}\n\n{table(head, rows)}"
    return text


def replayed(content: dict[str, Any], alone: dict[str, Any] | None = None) -> list[Ratio]:
    """Ratios of the benchmarks that replay recorded functions: each of ours against each of JAX's ways.

    ``alone`` has the ratios of what was measured with each library alone in its process, by case and task.
    """
    times = _medians(content)
    lonely = alone["ratios"] if alone else {}
    found = []
    for task, title in TASKS.items():
        for (case, at, label), own in times.items():
            if at != task or label not in OWN:
                continue
            for (other_case, other_task, other), theirs in times.items():
                if (other_case, other_task) != (case, task) or other in (*OWN, "floor"):
                    continue
                ways = f", {label}" if label != "hessian" else ""
                peer = "JAX" if other == "jax" else other.replace("jax", "JAX")
                apart = lonely.get(case, {}).get(task) if (label, other) == ("hessian", "jax") else None
                found.append(Ratio(title, case + ways, own, theirs, peer, apart))
    return found


def _medians(content: dict[str, Any]) -> dict[tuple[str, str, str], float]:
    """Median seconds by case and dtype, task and label."""
    found = {}
    for result in content["results"]:
        case = result["case"] + (", float32" if result["dtype"] == "float32" else "")
        for m in result["measurements"]:
            if m["samples"]:
                found[case, m["task"], m["label"]] = median(m["samples"])
    return found


def summary(ratios: Sequence[Ratio]) -> list[str]:
    """Geometric mean, how many are losses, and the worst."""
    values = [ratio.value for ratio in ratios]
    worst = max(ratios, key=lambda ratio: ratio.value)
    losses = sum(value > 1 for value in values)
    return [mark(geometric_mean(values)), f"{losses} of {len(values)}", mark(worst.value), worst.case]


def steady(ratios: Sequence[Ratio]) -> list[Ratio]:
    """The ratios of what is paid again and again, without those of what is paid once."""
    return [ratio for ratio in ratios if ratio.task not in ONCE]


def render(name: str, page: Page) -> str:
    """Text of a page."""
    text = f"# {page.title}\n\n{page.opening}\n\n"
    if page.ratios:
        rows = []
        for task in dict.fromkeys(ratio.task for ratio in page.ratios):
            own = [ratio for ratio in page.ratios if ratio.task == task]
            rows.append([task, *summary(own)])
            apart = [ratio._replace(own=ratio.alone, other=1.0) for ratio in own if ratio.alone is not None]
            if apart:
                rows.append([f"the same, each library alone in its process ({len(apart)} cases)", *summary(apart)])
        head = ["ours over the peer's", "geometric mean", "slower in", "worst", "of"]
        text += f"{table(head, rows)}{picture(name, 'Ratios, a point each')}"
    tables = ratio_table(page.ratios, page.peers) if page.ratios else ""
    return text + page.more + (f"## Every number\n\n{tables}" if tables else "")


def draw(page: Page, path: Path) -> None:
    """Draw the ratios of a page: a point each on a logarithmic axis, a row for each case, a panel for each task."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(ratio.task for ratio in page.ratios))
    cases = {
        task: [ratio for ratio in page.ratios if ratio.task == task and "hs.hvp" not in ratio.case] for task in tasks
    }
    common = [value for ratio in steady(page.ratios) for value in (ratio.value, ratio.alone) if value is not None]
    heights = [len(cases[task]) for task in tasks]
    figure = Figure(figsize=(7.2, 0.9 + 0.24 * sum(heights) + 0.55 * len(tasks)), layout="constrained")
    axes = figure.subplots(len(tasks), 1, height_ratios=[height + 1 for height in heights], squeeze=False)[:, 0]
    for ax, task in zip(axes, tasks, strict=True):
        shown = cases[task][::-1]
        for place, ratio in enumerate(shown):
            color = "#0072b2" if ratio.value <= 1 else "#d55e00"
            ax.plot([1, ratio.value], [place, place], color=color, linewidth=1.5, alpha=0.5)
            ax.plot(ratio.value, place, "o", color=color, markersize=5)
            if ratio.alone is not None:
                ax.plot(
                    ratio.alone,
                    place,
                    "o",
                    fillstyle="none",
                    color="#0072b2" if ratio.alone <= 1 else "#d55e00",
                    markersize=7,
                )
        labels = [ratio.case if ratio.peer == page.peers else f"{ratio.case} / {ratio.peer}" for ratio in shown]
        labels = [label.replace(", hs.record", "") for label in labels]
        ax.set_yticks(range(len(shown)), labels=labels, fontsize=8)
        ax.set_ylim(-0.7, len(shown) - 0.3)
        ax.axvline(1, color="0.3", linewidth=1)
        ax.set_title(task, fontsize=9, loc="left")
        ax.grid(axis="x", alpha=0.3)
        _scale(ax, [ratio.value for ratio in shown] if task in ONCE else common)
    rings = (
        "; rings: each library alone in its process" if any(ratio.alone is not None for ratio in page.ratios) else ""
    )
    axes[-1].set_xlabel(f"our time / time of {page.peers} (left of 1: we are faster){rings}", fontsize=9)
    figure.savefig(path, dpi=110)


def _scale(ax: Any, values: Sequence[float]) -> None:
    """A logarithmic axis around 1, with few numbers."""
    low, high = min(0.7, *values) / 1.25, max(1.4, *values) * 1.25
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    steps = (1, 2, 5) if high / low < 50 else (1,)
    ticks = [digit * 10.0**power for power in range(-4, 4) for digit in steps if low <= digit * 10.0**power <= high]
    ax.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks], fontsize=8)
    ax.minorticks_off()
