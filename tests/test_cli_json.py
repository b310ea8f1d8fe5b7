"""What programs read of the command line: JSON alone on standard output, one status everywhere, filters, help with all defaults."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hessian import cli
from hessian.commands import curvature, training
from hessian.commands.decision import decided, sign_of
from hessian.commands.operations import matching
from hessian.commands.output import as_json
from hessian.commands.parser import EXIT_USAGE
from hessian.errors import OptionError
from hessian.optimize.status import Status

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

TRAIN = ["train", "wine", "--hidden", "3", "--no-plot"]


def refuse(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    """Standard output, which is one JSON document."""
    return json.loads(capsys.readouterr().out, parse_constant=refuse)


def kept(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text(), parse_constant=refuse)["results"]


# JSON.


@pytest.mark.parametrize("quiet", [[], ["--quiet"], ["--no-spectrum"]])
def test_training_prints_one_document(quiet: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*TRAIN, "--json", *quiet, "--out", str(tmp_path)]) == 0
    found = document(capsys)
    assert found["folder"] == str(tmp_path)
    assert found["results"] == kept(tmp_path)
    assert found["settings"]["hidden"] == [3]
    assert not {"json", "command", "run", "out"} & set(found["settings"])
    assert ("trace" in found["results"]) == (quiet != ["--no-spectrum"])


def test_a_diverged_run_is_valid_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = ["--method", "gradient-descent", "--set", "learning_rate=1e300", "--maxiter", "3", "--no-spectrum"]
    with np.errstate(all="ignore"):
        assert cli.main([*TRAIN, *lost, "--json", "--out", str(tmp_path)]) == 1
    found = document(capsys)
    assert found["results"]["status"] == "DIVERGED"
    assert found["results"] == kept(tmp_path)


def test_what_could_not_be_saved_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_space(*args: object, **keywords: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_run", no_space)
    assert cli.main([*TRAIN, "--json", "--out", str(tmp_path / "a")]) == 3
    assert document(capsys)["results"]["status"] == "CONVERGED"
    assert cli.main([*TRAIN, "--quiet", "--out", str(tmp_path / "b"), "--overwrite"]) == 3
    monkeypatch.undo()
    assert cli.main([*TRAIN, "--quiet", "--out", str(tmp_path / "c")]) == 0
    monkeypatch.setattr(curvature, "save_curvature", no_space)
    capsys.readouterr()
    assert cli.main(["curvature", str(tmp_path / "c"), "--no-plot", "--json"]) == 3
    assert document(capsys)["is_exact"]


def test_curvature_and_comparison_print_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*TRAIN, "--quiet", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert cli.main(["curvature", str(tmp_path / "run"), "--json"]) == 0
    found = document(capsys)
    assert found == json.loads((tmp_path / "run" / "curvature.json").read_text()) | {"folder": str(tmp_path / "run")}
    results = kept(tmp_path / "run")
    assert (found["status"], found["notes"]) == (results["status"], [])
    np.testing.assert_allclose(found["largest_eigenvalues"][:5], results["largest_eigenvalues"], rtol=1e-8)
    np.testing.assert_allclose(found["smallest_eigenvalue"][0], results["smallest_eigenvalue"], rtol=1e-8)
    options = ["--hidden", "2", "--methods", "arc,adam", "--maxiter", "40", "--no-plot", "--json"]
    assert cli.main(["compare", "wine", *options, "--out", str(tmp_path / "both")]) == 0
    found = document(capsys)
    assert [row["method"] for row in found["methods"]] == ["arc", "adam"]
    assert found["folder"] == str(tmp_path / "both")


def test_errors_leave_standard_output_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["train", "wne"], ["curvature", str(tmp_path)], ["compare", "wne"], ["operations", "expp"]):
        assert cli.main([*command, "--json"]) == EXIT_USAGE
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"hessian {command[0]}: error: ")
        assert captured.err.count("\n") == 1


def test_json_has_no_words_for_what_is_not_finite() -> None:
    assert json.loads(as_json({"a": [np.inf, (1.5, None)], 3: Path("x")})) == {"a": [None, [1.5, None]], "3": "x"}


# One status.


def test_the_measurement_at_the_end_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Too many parameters for the solver to look at all of them, few enough for the report.
    options = ["train", "wine", "--hidden", "60", "--l2", "0.05", "--quiet"]
    assert cli.main([*options, "--out", str(tmp_path), "--no-spectrum", "--no-plot"]) == 0
    assert kept(tmp_path)["status"] == "CONVERGED_UNDECIDED"
    assert "a few Lanczos steps cannot rule it out" in capsys.readouterr().out
    assert cli.main(["curvature", str(tmp_path), "--no-plot"]) == 0
    assert "status of the run   CONVERGED\n" in capsys.readouterr().out
    assert (kept(tmp_path)["status"], kept(tmp_path)["success"]) == ("CONVERGED", True)
    assert cli.main([*options, "--out", str(tmp_path), "--overwrite", "--no-plot"]) == 0
    output = capsys.readouterr().out
    assert "Lanczos" not in output
    assert "converged: The gradient is at most gtol and the Hessian is positive definite" in output
    assert "(positive definite)" in output
    results = kept(tmp_path)
    assert (results["status"], results["success"]) == ("CONVERGED", True)
    assert "measured at the end" in results["message"]


def test_negative_curvature_at_the_end_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(fit: Any) -> dict[str, Any]:
        return {"n_parameters": 54, "largest_eigenvalues": [1.0], "smallest_eigenvalue": -0.1, "trace": 1.0}

    monkeypatch.setattr(training, "measure_curvature", measured)
    assert cli.main([*TRAIN, "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "STOPPED EARLY: The gradient is at most gtol, but the smallest eigenvalue" in captured.out
    assert "(NOT positive definite)" in captured.out
    assert "hessian train: the solver stopped early: The gradient is at most gtol, but" in captured.err
    assert (kept(tmp_path)["status"], kept(tmp_path)["success"]) == ("NEGATIVE_CURVATURE", False)
    monkeypatch.setattr(training, "measure_curvature", lambda fit: measured(fit) | {"smallest_eigenvalue": -1e-9})
    assert cli.main([*TRAIN, "--out", str(tmp_path), "--overwrite"]) == 0
    assert "(positive semidefinite: zero, to rounding or beside the gradient)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "smallest", "after"),
    [
        ("CONVERGED_UNDECIDED", 1.0, "CONVERGED"),
        ("CONVERGED_UNDECIDED", 1e-9, "CONVERGED_SEMIDEFINITE"),
        ("CONVERGED_UNDECIDED", -1e-9, "CONVERGED_SEMIDEFINITE"),
        ("CONVERGED_UNDECIDED", -1.0, "NEGATIVE_CURVATURE"),
        ("CONVERGED_UNCHECKED", 1.0, "CONVERGED"),
        ("CONVERGED_SEMIDEFINITE", 1.0, "CONVERGED_SEMIDEFINITE"),
        ("CONVERGED", 1.0, "CONVERGED"),
        ("CONVERGED", -1.0, "NEGATIVE_CURVATURE"),
        ("MAX_ITERATIONS", -1.0, "MAX_ITERATIONS"),
        ("EARLY_STOPPED", 1.0, "EARLY_STOPPED"),
    ],
)
def test_what_the_smallest_eigenvalue_decides(before: str, smallest: float, after: str) -> None:
    results = {
        "status": before, "message": "m", "success": Status[before].success, "gradient_norm": 1e-8, "n_parameters": 9,
    }  # fmt: skip
    found = decided(results, smallest, 2.0, 1.0, np.float64)
    assert found["status"] == after
    assert found["success"] == Status[after].success
    assert (found["message"] == "m") == (before == after)
    shown = sign_of(results | found | {"smallest_eigenvalue": smallest, "zero_within": 4e-8})
    assert shown.startswith({"NEGATIVE_CURVATURE": "NOT", "CONVERGED": "positive definite"}.get(after, ""))


def test_spectra_that_few_steps_do_not_reach_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Without a penalty the loss goes to zero, and the Hessian with it down to rounding.
    assert cli.main([*TRAIN, "--l2", "0", "--quiet", "--no-spectrum", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert cli.main(["curvature", str(tmp_path), "--json"]) == 0
    found = document(capsys)
    assert found["is_exact"]
    if found["signs"]["negative"][0]:
        assert "no eigenvalue is below what the gradient leaves of zeros" in found["notes"][-1]
    (tmp_path / "summary.json").write_text("[]")
    assert cli.main(["curvature", str(tmp_path), "--no-plot", "--json"]) == 0
    assert document(capsys)["status"] is None


def test_large_networks_have_the_eigenvalues_that_a_budget_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*TRAIN, "--quiet", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert cli.main(["curvature", str(tmp_path), "--no-plot", "--max-hvp", "20", "--json"]) == 0
    found = document(capsys)
    assert not found["is_exact"]
    assert len(found["largest_eigenvalues"]) == curvature.MOST_OUTLIERS


# Operations.


def test_operations_are_found_by_name_module_and_state(capsys: pytest.CaptureFixture[str]) -> None:
    names = lambda *asked: [row["name"] for row in matching(*asked)]
    assert "numpy.logaddexp" in names("LOGADD", None, None)
    assert names("np.arctan2", None, None) == ["numpy.arctan2"]
    assert names("log?", "numpy", None) == ["numpy.log2"]
    assert names("numpy.linalg.s*v*", None, None) == ["numpy.linalg.solve", "numpy.linalg.svd", "numpy.linalg.svdvals"]
    assert all(name.startswith("numpy.linalg") for name in names(None, "linalg", None) if "scipy" not in name)
    assert all(row["state"] == "twin" for row in matching(None, "scipy.stats", "twin"))
    assert all(row["remarks"] for row in matching(None, "numpy", "not supported"))
    assert cli.main(["operations", "arctan2"]) == 0
    assert capsys.readouterr().out.startswith("numpy.arctan2  differentiable  elementwise; ")
    assert cli.main(["operations", "--json", "--state", "no-derivative", "--module", "numpy"]) == 0
    assert {row["state"] for row in document(capsys)} == {"no derivative"}
    assert cli.main(["operations", "--json"]) == 0
    assert len(document(capsys)) > 800


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (["arctan3"], "no operation has 'arctan3' in its name. Did you mean 'arctan'?"),
        (["zzz"], "no operation has 'zzz' in its name. `hessian operations` lists all; states are differentiable"),
        (["--module", "numpy.linagl"], "there is no module 'numpy.linagl'. Did you mean 'numpy.linalg'?"),
        (["svd", "--module", "numpy.fft", "--state", "twin"], "no operation in numpy.fft that is twin has 'svd'"),
        (["--module", "numpy.fft", "--state", "twin"], "no operation in numpy.fft that is twin is there."),
        (["exp", "--markdown"], "--markdown is the whole page. Leave the other options out."),
    ],
)
def test_what_no_operation_matches(asked: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["operations", *asked]) == EXIT_USAGE
    assert text in capsys.readouterr().err
    with pytest.raises(OptionError):
        matching("zzz", None, None)


# Help, errors.


def test_help_shows_every_default_in_a_group() -> None:
    for parser in cli.build_parser().commands.values():
        assert "Exit codes: 0 " in parser.epilog
        for group in parser._action_groups[2:]:
            for action in group._group_actions:
                is_switch = isinstance(action, argparse._StoreTrueAction)
                assert is_switch or "(default: " in str(action.help), action
        # What has no group is the help and what has to be given.
        assert [action.dest for action in parser._optionals._group_actions] == ["help"]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["trian"], "hessian: error: there is no command 'trian'. Did you mean 'train'? `hessian --help` lists"),
        (["zzz"], "hessian: error: there is no command 'zzz'. There are train, compare, curvature, operations."),
        (["--versoin"], "hessian: error: there is no option --versoin. Did you mean '--version'?"),
        (["train"], "required: DATA. For example: hessian train digits."),
        (["curvature"], "required: RUN_FOLDER. For example: hessian curvature runs/"),
        (["curvature", "a", "--max-hvp", "3"], "3 is out of range: pass a finite number >= 12."),
    ],
)
def test_wrong_commands_are_answered_by_one_line(
    argv: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == EXIT_USAGE
    captured = capsys.readouterr()
    assert text in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_an_interrupt_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "load_dataset", interrupted)
    assert cli.main(TRAIN) == cli.EXIT_INTERRUPTED
    assert capsys.readouterr().err == "hessian train: interrupted\n"


def test_the_console_script_is_the_command() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"hessian": "hessian.cli:main"}
