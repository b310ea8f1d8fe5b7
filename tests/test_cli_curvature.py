"""`hessian curvature RUN_FOLDER`: numbers that agree with the dense Hessian, pictures, clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hessian as hs
from hessian import cli
from hessian.commands.curvature import load_run

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a small data set."""
    folder = tmp_path_factory.mktemp("run")
    options = ["train", "wine", "--hidden", "4", "--l2", "0.01", "--quiet", "--no-plot", "--out", str(folder)]
    assert cli.main(options) == 0
    return folder


def test_the_curvature_of_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["curvature", str(run), "--max-hvp", "40"]) == 0
    output = capsys.readouterr().out
    assert "layer 1" in output
    found = json.loads((run / "curvature.json").read_text())
    objective, params = load_run(run)
    values = np.linalg.eigvalsh(hs.HessianOperator(objective, params).to_dense())
    summary = json.loads((run / "summary.json").read_text())["results"]
    assert_allclose(found["largest_eigenvalues"], values[::-1][:12], rtol=1e-6)
    assert_allclose(found["largest_eigenvalues"][:5], summary["largest_eigenvalues"], rtol=1e-6)
    estimate, error = found["trace"]
    assert abs(estimate - values.sum()) <= 5.0 * error + 1e-9
    for name in ("density", "layers", "slice1", "slice2", "spectrum"):
        assert (run / f"{name}.png").stat().st_size > 5000
    assert "trace" in (run / "curvature.txt").read_text()


def test_all_numbers_are_exact_by_default_and_agree(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["curvature", str(run), "--no-plot"]) == 0
    assert "note:" not in capsys.readouterr().out
    found = json.loads((run / "curvature.json").read_text())
    objective, params = load_run(run)
    values = np.linalg.eigvalsh(hs.HessianOperator(objective, params).to_dense())
    assert found["is_exact"]
    assert_allclose(found["trace"][0], values.sum(), rtol=1e-10)
    assert_allclose(sum(layer["trace"] for layer in found["layers"].values()), values.sum(), rtol=1e-10)
    assert found["signs"]["negative"] == [int(np.sum(values < -1e-10))] * 2


def test_the_same_seed_gives_the_same_numbers(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for _ in range(2):
        assert cli.main(["curvature", str(run), "--no-plot", "--seed", "3"]) == 0
        outputs.append((run / "curvature.json").read_text())
    assert outputs[0] == outputs[1]


def test_folders_without_a_run(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["curvature", str(tmp_path)]) == 2
    assert "holds no finished run. Pass the folder" in capsys.readouterr().err
    (tmp_path / "settings.json").write_text((run / "settings.json").read_text())
    (tmp_path / "parameters.npz").write_bytes(b"nothing")
    assert cli.main(["curvature", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    np.savez(tmp_path / "parameters.npz", W0=np.ones((2, 4)), b0=np.ones(4), W1=np.ones((4, 3)), b1=np.ones(3))
    assert cli.main(["curvature", str(tmp_path)]) == 2
    assert "The data have changed since" in capsys.readouterr().err
