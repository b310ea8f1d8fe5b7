"""Checkpoints of runs: a run that was killed and resumed ends where the one that was not ends, to the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from optimize_problems import double_well, rosenbrock

import hessian.optimize.checkpoint as checkpoint_module
from hessian.errors import CheckpointError, CheckpointWarning, OptionError
from hessian.optimize import OptimizeResult, Status, minimize
from hessian.optimize.checkpoint import Checkpoint, load_state, save_state
from hessian.optimize.choice import METHODS

CHAIN = np.tile([-1.2, 1.0], 20)


class Killed(BaseException):
    """Ends a run from its callback, as SystemExit would: the loop has no chance to tidy up."""


def rows(res: OptimizeResult) -> list[str]:
    """History without its times."""
    return [repr([getattr(record, name) for name in record.__slots__ if name != "seconds"]) for record in res.history]


def killed_at(iteration: int) -> Any:
    """Callback that ends the process, as far as the run can tell."""

    def callback(intermediate_result: OptimizeResult) -> None:
        if intermediate_result.nit == iteration:
            raise Killed

    return callback


CASES = [(method, None) for method in METHODS] + [("trust-ncg", "jacobi"), ("trust-ncg", "lbfgs")]


@pytest.mark.parametrize(("method", "preconditioner"), CASES)
def test_a_resumed_run_ends_the_same(method: str, preconditioner: str | None, tmp_path: Path) -> None:
    extra = {"preconditioner": preconditioner}
    whole = minimize(rosenbrock, CHAIN, method=method, options=extra)
    for k, iteration in enumerate([1, 2, 7, whole.nit // 2, whole.nit - 1]):
        path = tmp_path / f"{k}.npz"
        options = {**extra, "checkpoint": path, "checkpoint_every": 0.0}
        with pytest.raises(Killed):
            minimize(rosenbrock, CHAIN, method=method, callback=killed_at(iteration), options=options)
        res = minimize(rosenbrock, CHAIN, method=method, options={**options, "resume": True})
        assert_array_equal(res.x, whole.x)
        assert (res.fun, res.status, res.n_value, res.n_hvp) == (whole.fun, whole.status, whole.n_value, whole.n_hvp)
        assert rows(res) == rows(whole)


def test_a_run_killed_again_and_again(tmp_path: Path) -> None:
    whole = minimize(rosenbrock, CHAIN, method="trust-ncg")
    options = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 0.0, "resume": True}
    for iteration in range(3, whole.nit, 3):
        with pytest.raises(Killed):
            minimize(rosenbrock, CHAIN, method="trust-ncg", callback=killed_at(iteration), options=options)
    res = minimize(rosenbrock, CHAIN, method="trust-ncg", options=options)
    assert rows(res) == rows(whole)
    # A run that is over is over at once, however often it is resumed.
    calls = 0

    def counted(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return rosenbrock(x)

    again = minimize(counted, CHAIN, method="trust-ncg", options=options)
    assert_array_equal(again.x, whole.x)
    # The start, where it was, and a look beyond the Newton step.
    assert calls <= 3


def test_a_run_at_its_limit_goes_on_with_a_higher_one(tmp_path: Path) -> None:
    options = {"checkpoint": tmp_path / "run.npz", "maxiter": 10}
    res = minimize(rosenbrock, CHAIN, options=options)
    assert (res.status, res.nit) == (Status.MAX_ITERATIONS, 10)
    res = minimize(rosenbrock, CHAIN, options={**options, "maxiter": 500, "resume": True})
    assert rows(res) == rows(minimize(rosenbrock, CHAIN))


def test_saddles_left_before_the_kill_are_remembered(tmp_path: Path) -> None:
    options = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 0.0}
    whole = minimize(double_well, np.zeros(2))
    assert [saddle.iteration for saddle in whole.saddles] == [0]
    with pytest.raises(Killed):
        minimize(double_well, np.zeros(2), callback=killed_at(3), options=options)
    res = minimize(double_well, np.zeros(2), options={**options, "resume": True})
    assert res.saddles == whole.saddles
    assert_array_equal(res.x, whole.x)


def test_containers_and_float32_are_resumed(tmp_path: Path) -> None:
    start = {"a": np.zeros(3, np.float32), "b": [np.ones((2, 2), np.float32)]}

    def fun(p: Any) -> Any:
        return np.sum((p["a"] - 1.0) ** 4) + np.sum((p["b"][0] @ p["b"][0] - np.eye(2, dtype=np.float32)) ** 2)

    whole = minimize(fun, start)
    options = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 0.0}
    with pytest.raises(Killed):
        minimize(fun, start, callback=killed_at(3), options=options)
    res = minimize(fun, start, options={**options, "resume": True})
    assert_array_equal(res.x["a"], whole.x["a"])
    assert res.x["a"].dtype == np.float32


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    minimize(rosenbrock, CHAIN, method="trust-ncg", options={"checkpoint": path})
    resume = {"checkpoint": path, "resume": True}
    with pytest.raises(CheckpointError, match="method 'trust-ncg' there, 'arc' here"):
        minimize(rosenbrock, CHAIN, method="arc", options=resume)
    with pytest.raises(CheckpointError, match="variables 40 there, 2 here"):
        minimize(rosenbrock, CHAIN[:2], method="trust-ncg", options=resume)
    with pytest.raises(CheckpointError, match="x0 "):
        minimize(rosenbrock, 1.1 * CHAIN, method="trust-ncg", options=resume)
    for content in (b"", b"nothing of ours", path.read_bytes()[:-200]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is not a checkpoint"):
            minimize(rosenbrock, CHAIN, method="trust-ncg", options=resume)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        minimize(rosenbrock, CHAIN, method="trust-ncg", options=resume)
    with pytest.raises(OptionError, match="resume is given without a checkpoint"):
        minimize(rosenbrock, CHAIN, options={"resume": True})


def test_without_a_file_resuming_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    res = minimize(rosenbrock, CHAIN, options={"checkpoint": path, "resume": True})
    assert res.success
    assert path.exists()


def test_a_file_that_cannot_be_written_is_a_warning_and_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "run.npz"
    with pytest.warns(CheckpointWarning, match="could not be written .* the run goes on without") as caught:
        res = minimize(rosenbrock, CHAIN, options={"checkpoint": path, "checkpoint_every": 0.0})
    assert len(caught) == 1
    assert res.success


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.npz"
    keeper = Checkpoint(path, 0.0)
    keeper.offer(lambda: {"x": np.arange(3.0)}, {"n": 3})

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_module.os, "fsync", no_space)
    with pytest.warns(CheckpointWarning, match="No space left"):
        keeper.offer(lambda: {"x": np.arange(4.0)}, {"n": 3})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keeper.offer(lambda: {"x": np.arange(5.0)}, {"n": 3})
    monkeypatch.undo()
    state = keeper.load({"n": 3})
    assert state is not None
    assert_array_equal(state["x"], np.arange(3.0))
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_states_come_back_to_the_bit(tmp_path: Path) -> None:
    state = {
        "x": np.array([0.1, np.nan, np.inf, -0.0]),
        "y": np.arange(3, dtype=np.float32),
        "nested": {"list": [1, 2.5, None, True, "text", {"deep": np.zeros((0, 2))}]},
        "float": 0.1 + 0.2,
        "big": 2**80,
        "nan": float("nan"),
    }
    save_state(tmp_path / "s.npz", state)
    back = load_state(tmp_path / "s.npz")
    assert back["x"].tobytes() == state["x"].tobytes()
    assert back["y"].dtype == np.float32
    assert back["nested"]["list"][:5] == [1, 2.5, None, True, "text"]
    assert back["nested"]["list"][5]["deep"].shape == (0, 2)
    assert (back["float"], back["big"]) == (0.1 + 0.2, 2**80)
    assert np.isnan(back["nan"])


SCRIPT = """
    import sys
    import numpy as np
    from hessian.nn import mlp, train

    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 8))
    y = rng.integers(0, 4, 400)
    folder = sys.argv[1]
    fit = train(mlp((8, 12, 4)), X, y, l2=1e-3, options={
        "checkpoint": folder + "/run.npz", "checkpoint_every": 0.0, "resume": True, "maxiter": 150, "gtol": 1e-10,
    })
    rows = [repr([getattr(r, name) for name in r.__slots__ if name != "seconds"]) for r in fit.result.history]
    np.savez(folder + "/end.npz", W=fit.params[0]["W"], rows=np.array(rows))
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}

    def start(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(script), str(folder)], env=environment)

    whole = tmp_path / "whole"
    whole.mkdir()
    began = time.monotonic()
    assert start(whole).wait() == 0
    duration = time.monotonic() - began
    rng = np.random.default_rng(1)
    kills = 0
    for _ in range(40):
        folder = tmp_path / f"killed{kills}"
        folder.mkdir(exist_ok=True)
        process = start(folder)
        time.sleep(duration * rng.uniform(0.1, 0.95))
        if process.poll() is not None:
            continue
        process.kill()
        process.wait()
        assert start(folder).wait() == 0
        with np.load(whole / "end.npz") as expected, np.load(folder / "end.npz") as found:
            assert_array_equal(found["W"], expected["W"])
            assert_array_equal(found["rows"], expected["rows"])
        kills += 1
        if kills == 20:
            break
    assert kills == 20
