"""Refusals that only odd calls, broken files or broken installations meet: each is seen once."""

from __future__ import annotations

import importlib
import io
import json
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg.lapack
import scipy.optimize
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

import hessian as hs
from hessian import errors

X = np.array([1.0, 2.0, 3.0])
M = np.arange(6.0).reshape(2, 3) + 1.0
A = np.diag([2.0, 3.0, 4.0])


def held(x: Any, kept: list[Any]) -> Any:
    """Return what the first call has made."""
    kept.append(x * 2.0)
    return kept[0]


def twice_held(x: Any) -> Any:
    kept: list[Any] = []
    step = hs.checkpoint(lambda x: held(x, kept))
    return np.sum(step(x)) + np.sum(step(x))


#: In functions of a traced value.
IN_FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Any, type[Exception], str]] = {
    "block of tuples": (lambda x: np.sum(np.block([x, (x, x)])), X, errors.DtypeError, "tuple"),
    "too many pieces": (lambda x: np.sum(np.piecewise(x, [x > 0], [1, 2, 3])), X, errors.OptionError, "one more"),
    "too many choices": (lambda x: np.sum(np.select([x > 0], [x, x])), X, errors.OptionError, "a choice for each"),
    "label of two lengths": (lambda x: np.einsum("i,i->", x, x[:2]), X, errors.ShapeMismatchError, "lengths 3 and 2"),
    "diagonal of no square": (lambda x: np.sum(np.einsum("ii->i", x)), M[:1], errors.ShapeMismatchError, "one operand"),
    "sparse on the right": (
        lambda x: np.sum(x @ scipy.sparse.csr_array(np.eye(4))),
        X,
        errors.ShapeMismatchError,
        "do not match",
    ),
    "sparse on the left": (
        lambda x: np.sum(scipy.sparse.csr_array(np.eye(4)) @ x),
        X,
        errors.ShapeMismatchError,
        "do not match",
    ),
    "no initial of a product": (lambda x: np.prod(x, initial=None), X, errors.OptionError, r"[Pp]ass a number"),
    "no initial of a sum": (lambda x: np.sum(x, initial=None), X, errors.OptionError, r"[Pp]ass a number"),
    "masked maximum": (lambda x: np.max(x, where=np.array([True, False, True])), X, errors.OptionError, "initial="),
    "cast to text": (lambda x: np.sum(x) * len(x.astype(str)), X, errors.DtypeError, "only real numbers"),
    "truth of an array": (lambda x: np.sum(x) if x else 0.0, X, ValueError, "ambiguous"),
    "pickled": (lambda x: np.sum(x) * len(pickle.dumps(x)), X, errors.LeavesTapeError, "pickling"),
    "reduced": (lambda x: np.sum(x) * len(x.__reduce__()), X, errors.LeavesTapeError, "pickling"),
    "value of an earlier run": (twice_held, X, errors.StaleVariableError, "earlier run"),
}


@pytest.mark.parametrize("name", IN_FUNCTIONS)
def test_what_is_refused_in_functions(name: str) -> None:
    f, x, kind, saying = IN_FUNCTIONS[name]
    with pytest.raises(kind, match=saying):
        hs.grad(f)(x)


def _influence(rows: Any) -> Any:
    return hs.statistics.influence(A, rows, np.ones(3))


def _of_leave_out() -> Any:
    from hessian.curvature.leave_out import Sketch, leave_out

    one = np.ones((1, 1))
    return leave_out(Sketch(one, one, one, one, one, None), one, one, one)


def _of_root() -> Any:
    from hessian.statistics.information import Information

    return Information.of_root(np.full((2, 2), np.nan), ["a", "b"], where="here", what="Jacobian")


def _entry() -> Any:
    from hessian.statistics.delta import _entry

    return _entry([np.ones(2), 3.0], 3)


def _reshaped() -> Any:
    from hessian.programs.backends.emit import reshaped

    return reshaped(M.T, (6,))


def _named() -> Any:
    from hessian.rules.spec import operation_named

    return operation_named("nothing of the kind")


def _identity() -> Any:
    from hessian.programs.runtime.arguments import Identity

    return pickle.dumps(Identity(object()))


CALLS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no block": (lambda: hs.curvature.block_spectra(A, {}), errors.OptionError, "no block"),
    "method of diagonal": (lambda: hs.curvature.diagonal(A, method="x"), errors.OptionError, "xdiag"),
    "method of inverse_product": (
        lambda: hs.curvature.inverse_product(A, X, method="x"),
        errors.OptionError,
        "method is 'x'",
    ),
    "shape of b": (lambda: hs.curvature.inverse_product(A, np.ones(2)), errors.ShapeMismatchError, "3 rows"),
    "b with NaN": (lambda: hs.curvature.inverse_product(A, np.nan * X), errors.NonFiniteError, r"b\[0\] is nan"),
    "xtrace of order two": (
        lambda: hs.curvature.trace(aslinearoperator(np.eye(2)), 6, method="xtrace"),
        errors.OptionError,
        'method="exact"',
    ),
    "gradients with NaN": (lambda: _influence(np.full((2, 3), np.nan)), errors.NonFiniteError, "NaN"),
    "gradients that overflow": (
        lambda: _influence(aslinearoperator(np.full((2, 3), 1.79e308))),
        errors.NonFiniteError,
        "NaN or inf",
    ),
    "gradients of another order": (
        lambda: _influence(np.ones((2, 4))),
        errors.ShapeMismatchError,
        "one row of length 3",
    ),
    "an operator of another order": (
        lambda: _influence(aslinearoperator(np.ones((2, 4)))),
        errors.ShapeMismatchError,
        "rows of length 3",
    ),
    "sketch of lower rank": (_of_leave_out, ValueError, "full rank"),
    "root with NaN": (_of_root, errors.NonFiniteError, "Jacobian at x"),
    "no such entry": (_entry, IndexError, "0"),
    "no view": (_reshaped, RuntimeError, "has no view"),
    "no such operation": (_named, errors.OptionError, "version of hessian"),
    "identity": (_identity, TypeError, "pickled"),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_refused_in_calls(name: str) -> None:
    call, kind, saying = CALLS[name]
    with np.errstate(all="ignore"), pytest.raises(kind, match=saying):
        call()


def test_a_norm_whose_square_is_estimated_as_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    from hessian.curvature import functions

    monkeypatch.setattr(functions, "leave_out", lambda *_: (np.array([-1.0]), 1.0, 2.0))
    with pytest.raises(errors.OptionError, match="not positive"):
        hs.curvature.frobenius_norm(aslinearoperator(np.diag(np.arange(1.0, 61.0))), 20, rng=0)


def test_fewer_directions_than_eigenvalues_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from hessian.linalg.lanczos import BlockLanczos

    ritz = BlockLanczos.ritz
    monkeypatch.setattr(BlockLanczos, "ritz", lambda self: tuple(part[..., :1] for part in ritz(self)))
    with pytest.raises(errors.OptionError, match="span 1 directions"):
        hs.curvature.eigenvalues(aslinearoperator(np.diag(np.arange(1.0, 101.0))), 2, max_hvp=30, rng=0)


def test_a_view_of_a_kind_that_cannot_be_written_to() -> None:
    from hessian.rules.spec import Linear

    shown = Linear("shown", lambda x: x[...], transpose=lambda g, own: g, view=True)

    def f(x: Any) -> Any:
        window = shown(x * 1.0)
        window += 1.0
        return np.sum(window)

    with pytest.raises(errors.MissingRuleError, match="'shown' is assigned to"):
        hs.grad(f)(X)


def test_a_program_that_does_not_know_its_function() -> None:
    operator = hs.HessianOperator(hs.record(lambda x: np.sum(x**3)), X)
    operator._at._ran.recover = None
    with pytest.raises(RuntimeError, match="no function to trace"):
        operator._at._ran.plain()


def test_a_function_that_uses_a_value_of_another_recording_makes_no_program() -> None:
    from hessian.programs.capture import Argument, Entangled, Results, trace

    def f(x: Any) -> Any:
        inner = lambda t: Results([t * x], 0)
        with pytest.raises(Entangled):
            trace(inner, [Argument(np.ones(3), 0)])
        return np.sum(x)

    assert hs.grad(f)(X).tolist() == [1.0, 1.0, 1.0]


def test_checkpoints_of_another_layout(tmp_path: Path) -> None:
    from hessian.optimize.checkpoint import load_state

    with pytest.raises(FileNotFoundError):
        load_state(tmp_path / "nothing")
    stream = io.BytesIO()
    np.savez(stream, json=np.frombuffer(json.dumps({"layout": -1}).encode(), np.uint8))
    (tmp_path / "old").write_bytes(stream.getvalue())
    with pytest.raises(errors.CheckpointError, match="another version"):
        load_state(tmp_path / "old")


def test_lapack_that_finds_no_singular_values(monkeypatch: pytest.MonkeyPatch) -> None:
    from hessian.optimize.levenberg_marquardt import decompose

    monkeypatch.setattr(scipy.linalg.lapack, "dgejsv", lambda *_, **__: (None, None, None, None, None, 3))
    with pytest.raises(np.linalg.LinAlgError, match="dgejsv returned 3"):
        decompose(np.diag([1.0, 1e-30]), 1e-16)


def _warning(*_: Any, **__: Any) -> Any:
    warnings.warn("of another kind", scipy.optimize.OptimizeWarning, stacklevel=1)


def _type_error(*_: Any, **__: Any) -> Any:
    raise TypeError("of another kind")


@pytest.mark.parametrize(("fake", "kind"), [(_warning, scipy.optimize.OptimizeWarning), (_type_error, TypeError)])
def test_what_scipy_raises_is_passed_on(fake: Any, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scipy.optimize, "minimize", fake)
    with pytest.raises(kind, match="of another kind"):
        hs.optimize.minimize(lambda x: np.sum(x**2), X, method="L-BFGS-B")


def test_scikit_learn_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from hessian.commands import datasets

    data = datasets.load_dataset("wine")
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match="scikit-learn"):
        datasets.load_dataset("wine")
    with pytest.raises(ImportError, match="scikit-learn"):
        datasets.split_dataset(data, 0.25, 0)
    monkeypatch.delitem(sys.modules, "hessian.nn.sklearn.base", raising=False)
    with pytest.raises(ImportError, match="scikit-learn"):
        importlib.import_module("hessian.nn.sklearn.base")


def test_folders_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hessian.commands import folder

    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(errors.OptionError, match="cannot be created"):
        folder.prepare_folder(blocked / "run", "digits", overwrite=False, resume=False)

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(folder, "write_whole", full)
    with pytest.raises(errors.OptionError, match="cannot be written to"):
        folder.keep_settings(tmp_path, {"seed": 0}, resume=False)
