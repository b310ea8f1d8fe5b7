"""Pictures: axes, labels, what is drawn, and that nothing but a picture needs matplotlib."""

from __future__ import annotations

import builtins
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hessian.errors import MissingDependencyError, OptionError
from hessian.plotting import plot_convergence

HISTORY = [
    SimpleNamespace(iteration=0, n_hvp=0, seconds=0.0, value=3.0, gradient_norm=1.0, accepted=True),
    SimpleNamespace(iteration=1, n_hvp=2, seconds=0.1, value=3.0, gradient_norm=1.0, accepted=False),
    SimpleNamespace(iteration=2, n_hvp=5, seconds=0.2, value=1.0, gradient_norm=1e-3, accepted=True),
]


@pytest.fixture
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


@pytest.mark.usefixtures("_matplotlib")
@pytest.mark.parametrize(
    ("against", "label", "x"),
    [
        ("n_hvp", "Hessian-vector products", [0, 5]),
        ("iteration", "iteration", [0, 2]),
        ("seconds", "seconds", [0, 0.2]),
    ],
)
def test_both_panels_are_labelled_and_logarithmic(against: str, label: str, x: list[float]) -> None:
    figure = plot_convergence(HISTORY, against=against, gtol=1e-2)
    left, right = figure.axes
    assert left.get_xlabel() == right.get_xlabel() == label
    assert left.get_ylabel() == "objective - 1"
    assert right.get_ylabel() == "gradient norm"
    assert left.get_yscale() == right.get_yscale() == "log"
    np.testing.assert_array_equal(right.lines[0].get_xdata(), x)
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [1.0, 1e-3])
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [2.0, np.nan])
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["accepted", "rejected", "gtol = 0.01"]


@pytest.mark.usefixtures("_matplotlib")
def test_a_picture_is_saved_in_the_format_of_its_suffix(tmp_path: Path) -> None:
    plot_convergence(HISTORY, path=tmp_path / "picture.png")
    plot_convergence(HISTORY[:1], path=tmp_path / "picture.svg")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "picture.svg").read_bytes()


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(OptionError, match=r"against is 'time'\. Pass one of: n_hvp, iteration, seconds"):
        plot_convergence(HISTORY, against="time")
    with pytest.raises(OptionError, match="the history is empty"):
        plot_convergence([])


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r'pip install "hessian\[plot\]"'):
        plot_convergence(HISTORY)
