"""One public dialect: what has one meaning has one name, in the signature of everything that is public.

The tests know rules, not names. What departs from a rule stands in a table, with its reason.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import hessian as hs
import hessian.operators
from hessian.arguments import as_generator, as_seed
from hessian.cli import build_parser
from hessian.optimize import Status

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

RETIRED = {
    "f": {"fun", "func", "fn", "g"},
    "x": {"x0"},
    "rng": {"seed", "random_state", "random_seed", "generator"},
    "max_hvp": {"budget", "products", "max_products", "n_products"},
    "gtol, rtol": {"tol", "atol", "tolerance", "eps"},
    "maxiter": {"max_iter", "max_iterations", "n_iter"},
    "level": {"confidence", "alpha"},
    "standard_error": {"standard_errors", "standard_deviations", "error", "std"},
    "success": {"converged", "passed", "ok"},
}
"""What a meaning is called, and what it might be called elsewhere."""

SCIPYS = "SciPy's signature"
EXCEPTIONS = {
    "minimize": ({"fun", "x0", "args", "tol"}, SCIPYS),
    "least_squares": ({"fun", "x0", "args", "tol"}, SCIPYS),
    "root": ({"fun", "x0", "args"}, SCIPYS),
    "fixed_point": ({"fun", "x0", "args"}, SCIPYS),
    "argmin": ({"fun", "x0", "args"}, SCIPYS),
    "derivatives": ({"fun", "x0", "args"}, SCIPYS),
    "OptimizeResult": ({"fun", "args"}, "goes on with the arguments of the solver, which are SciPy's"),
    "eigsh": ({"tol"}, SCIPYS),
    "matrix_function": ({"func"}, "of eigenvalues, as that of scipy.linalg.funm; f is of parameters"),
    "quadratic_form": ({"func"}, "of eigenvalues, as that of scipy.linalg.funm; f is of parameters"),
    "directional": ({"args"}, "its further positions are the directions"),
}
"""By the end of a path: names that it may use, and why."""


@cache
def rooms() -> dict[str, ModuleType]:
    """Every public room by its path."""
    found = {"": hs, "operators": hessian.operators}
    found |= {name: getattr(hs, name) for name in hs.__all__ if isinstance(getattr(hs, name), ModuleType)}
    return {name: room for name, room in found.items() if hasattr(room, "__all__")}


@cache
def objects() -> dict[str, Any]:
    """Every public function and class by its path, each once."""
    found: dict[str, Any] = {}
    for room, module in rooms().items():
        for name in module.__all__:
            try:
                item = getattr(module, name)
            except ImportError:  # estimators, without scikit-learn
                continue
            if callable(item) and item not in found.values():
                found[f"{room}.{name}".strip(".")] = item
    return found


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods that this package defines for a class."""
    for name in dir(kind):
        owner = next((base for base in kind.__mro__ if name in vars(base)), object)
        item = inspect.getattr_static(kind, name)
        if not name.startswith("_") and owner.__module__.startswith("hessian"):
            yield name, item.__func__ if isinstance(item, classmethod | staticmethod) else item


@cache
def signatures() -> dict[str, dict[str, inspect.Parameter]]:
    """Parameters of every public function, class and method, without ``self``."""
    found = {}
    for path, item in objects().items():
        if not is_row(item):
            found[path] = parameters(item)
        for name, method in members(item) if inspect.isclass(item) else ():
            if inspect.isfunction(method):
                found[f"{path}.{name}"] = parameters(method)
    return found


def parameters(item: Any) -> dict[str, inspect.Parameter]:
    try:
        return {name: p for name, p in inspect.signature(item).parameters.items() if name != "self"}
    except ValueError:  # made in C
        return {}


def is_row(item: Any) -> bool:
    """Whether a class is a record of values, which functions return and users only read."""
    calls = inspect.isclass(item) and any("__call__" in vars(base) for base in item.__mro__)
    return dataclasses.is_dataclass(item) and not calls and not is_learner(item)


def is_learner(item: Any) -> bool:
    return inspect.isclass(item) and any(base.__module__.startswith("sklearn.") for base in item.__mro__)


def results() -> dict[str, type]:
    return {path: item for path, item in objects().items() if is_row(item)}


def allowed(path: str) -> set[str]:
    """Names that one path may use for reasons of its own."""
    owner = objects().get(path, objects().get(path.rpartition(".")[0]))
    learns = {"random_state", "tol", "max_iter", "alpha"} if is_learner(owner) else set()  # scikit-learn's words
    return learns.union(*(names for end, (names, _) in EXCEPTIONS.items() if f".{path}.".find(f".{end}.") >= 0))


@pytest.mark.parametrize("meaning", RETIRED)
def test_one_name_for_one_meaning(meaning: str) -> None:
    """In parameters, and in what results are asked for."""
    others = RETIRED[meaning]
    found = {path: set(names) & others - allowed(path) for path, names in signatures().items()}
    for path, kind in results().items():
        fields = {field.name for field in dataclasses.fields(kind)} | {name for name, _ in members(kind)}
        found[f"{path}, fields"] = fields & others - allowed(path)
    assert not {path: names for path, names in found.items() if names}, f"called {meaning} everywhere else"


def test_exceptions_are_needed() -> None:
    for end, (names, _) in EXCEPTIONS.items():
        used = {name for path, p in signatures().items() if f".{path}.".find(f".{end}.") >= 0 for name in p}
        assert names <= used, f"{end} does not use {names - used}"


def functions_first() -> dict[str, dict[str, inspect.Parameter]]:
    """Whatever takes a function of parameters first."""
    names = {"f", "model", "losses"}
    return {path: p for path, p in signatures().items() if next(iter(p), "") in names}


def is_curried(p: dict[str, inspect.Parameter]) -> bool:
    """Whether a function alone is taken, which comes back changed."""
    _, *rest = p.values()
    return all(q.default is not q.empty for q in rest)


def test_what_evaluates_a_function_takes_its_further_arguments() -> None:
    keeps_all = {"nn.TrainingObjective", "nn.Objective", "nn.train", "optimize.OptimizeResult"}
    for path, p in functions_first().items():
        if path in keeps_all or (is_curried(p) and "args" not in p):
            continue
        kinds = {q.name: q.kind for q in p.values()}
        by_keyword = "args" in allowed(path) and p["args"].default == ()
        assert kinds.get("args") is inspect.Parameter.VAR_POSITIONAL or by_keyword, path


def test_transforms_say_in_what_they_differentiate() -> None:
    for path, item in objects().items():
        if not inspect.isfunction(item) or not item.__module__.startswith("hessian.transforms"):
            continue
        p = signatures()[path]
        if next(iter(p)) != "f":
            continue
        assert p["argnums"].default == 0, path
        if is_curried({name: q for name, q in p.items() if name != "has_aux"}) and "args" not in p:
            assert [name for name in p if name != "max_bytes"] == ["f", "argnums", "has_aux"], path
            assert p["has_aux"].kind is inspect.Parameter.KEYWORD_ONLY, path
        else:
            assert list(p)[:2] == ["f", "x"], path
            assert p["argnums"].kind is inspect.Parameter.KEYWORD_ONLY, path


def test_random_numbers_are_the_same_for_the_same_integer() -> None:
    seen = 0
    for path, p in signatures().items():
        if "rng" in p:
            assert (p["rng"].default, p["rng"].annotation) == (0, "Rng"), path
            seen += 1
    assert seen > 15
    first, again = (as_generator(3, "a test").standard_normal(4) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    generator = np.random.default_rng(3)
    assert as_generator(generator, "a test") is generator
    assert as_generator(None, "a test").integers(2**62) != as_generator(None, "a test").integers(2**62)
    assert as_seed(7, "a test") == 7
    assert as_seed(np.random.default_rng(3), "a test") == as_seed(np.random.default_rng(3), "a test")
    assert as_seed(None, "a test") != as_seed(None, "a test")


def test_the_same_numbers_whatever_makes_them() -> None:
    """Where a run draws more than once: one seed stands for a generator."""
    f = lambda x: np.sum((x - 1.0) ** 4)
    for rng in (0, np.random.default_rng(0), None):
        assert hs.optimize.minimize(f, np.zeros(40), options={"rng": rng, "maxiter": 3}).nit <= 3
    X, y = np.linspace(-1.0, 1.0, 12)[:, None], np.arange(12) % 2
    trained = [hs.nn.train(hs.nn.mlp((1, 2)), X, y, rng=np.random.default_rng(5), options={"maxiter": 2}) for _ in "ab"]
    np.testing.assert_array_equal(*(fit.params[0]["W"] for fit in trained))
    assert trained[0].success in (True, False)
    assert isinstance(trained[0].status, Status)
    assert "loss" in repr(trained[0])


def test_blocks_draw_the_same_numbers() -> None:
    """Whatever the integer: of two equal blocks, and of two runs."""
    H = aslinearoperator(np.diag(np.tile(np.linspace(1.0, 2.0, 60), 2)))
    halves = {"first": slice(0, 60), "second": slice(60, 120)}
    for rng in (lambda: 3, lambda: np.random.default_rng(3)):
        parts = [
            part for _ in range(2) for part in hs.curvature.block_spectra(H, halves, max_hvp=12, rng=rng()).values()
        ]
        assert len({(float(p.highest.values[-1]), float(p.lowest.values[0]), p.trace.value) for p in parts}) == 1


def test_the_products_allowed_come_second() -> None:
    seen = 0
    for path, p in signatures().items():
        if "max_hvp" not in p:
            continue
        seen += 1
        names = [name for name, q in p.items() if q.kind in POSITIONAL]
        if names == ["H"] or (names[:1] == ["H"] and "max_hvp" in names):
            assert names[1:2] == ["max_hvp"], f"{path} takes max_hvp second"
    assert seen > 10


def test_results_show_themselves() -> None:
    rows = {"optimize.IterationRecord", "optimize.SaddleRecord"}  # of a history, which format_history prints
    kinds = {path: kind for path, kind in results().items() if path not in rows}
    assert len(kinds) > 15
    for path, kind in (*kinds.items(), ("optimize.OptimizeResult", hs.optimize.OptimizeResult)):
        assert hasattr(kind, "_repr_html_"), f"{path} has no table for notebooks"
        assert kind.__repr__.__qualname__ != "__create_fn__.<locals>.__repr__", f"{path} has no text of its own"
        assert kind.__repr__ is not object.__repr__, path


OF_SEVERAL = {
    "FisherOperator": "the operator is the value; its diagonal has the errors",
    "curvature.Inertia": "one error of three counts, which `ranges` uses",
    "curvature.SharpnessTrace": "a column of a table, of an error to one side",
    "statistics.ClassPrediction": "probabilities: the errors are those of their samples, of numbers between 0 and 1",
    "statistics.Prediction": "a distribution: the errors are those of its mean, beside its variance",
}


def test_what_has_a_standard_error_has_a_value_and_an_interval() -> None:
    seen = set()
    for path, kind in objects().items():
        names = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
        if not inspect.isclass(kind) or "standard_error" not in names | set(dir(kind)):
            continue
        seen.add(path)
        if path not in OF_SEVERAL:
            assert "value" in names, path
            assert list(parameters(kind.interval)) == ["level"], path
    assert set(OF_SEVERAL) < seen
    assert len(seen) > len(OF_SEVERAL) + 5


def test_intervals_of_every_kind() -> None:
    x = np.array([1.0, 2.0])
    nll = lambda p: 0.5 * np.sum((p["a"] - x) ** 2)
    fit = hs.optimize.minimize(nll, {"a": np.zeros(2)})
    covariance = fit.covariance()
    posterior = hs.statistics.laplace(nll, {"a": x / 2.0}, prior_precision=1.0)
    for found in (covariance, posterior, hs.statistics.delta_method(lambda p: {"b": p["a"] ** 2}, covariance)):
        low, high = found.interval(0.9)
        assert low.keys() == high.keys() == found.value.keys()
        for key in low:
            np.testing.assert_allclose(high[key] - low[key], 2.0 * 1.6448536269514722 * found.standard_error[key])
            np.testing.assert_allclose(0.5 * (high[key] + low[key]), found.value[key])
        assert "<table>" in found._repr_html_()
    H = np.diag([1.0, 2.0, 8.0])
    solved = hs.curvature.inverse_product(H, np.ones(3))
    low, high = solved.interval()
    assert np.all((low <= 1.0 / np.diag(H)) & (1.0 / np.diag(H) <= high))
    kappa = hs.curvature.condition_number(H)
    assert kappa.interval() == (kappa.low, kappa.high)
    unsure = dataclasses.replace(kappa, miss_probability=0.2)
    assert unsure.interval(0.9) == (kappa.low, np.inf)
    with pytest.raises(hs.errors.OptionError, match="level is 2"):
        kappa.interval(2)


def test_operators_make_the_matrices_they_are() -> None:
    for path, kind in objects().items():
        if inspect.isclass(kind) and issubclass(kind, LinearOperator):
            assert callable(getattr(kind, "to_dense", None)), path


def test_pictures_go_where_they_are_told() -> None:
    pictures = [
        path for path, item in objects().items() if path.startswith("plotting.plot_") and inspect.isfunction(item)
    ]
    assert len(pictures) > 8
    for path in pictures:
        p = signatures()[path]
        assert p["ax"].default is None, path
        assert p["ax"].kind is inspect.Parameter.KEYWORD_ONLY, path
        assert not {"path", "figure", "fig", "show"} & set(p), path
        assert "Figure" not in str(inspect.signature(objects()[path]).return_annotation), path


def flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from (option.lstrip("-").replace("-", "_") for option in action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from flags(inner)


def test_the_command_line_speaks_it_too() -> None:
    """A shell has no generators: there an integer is called the seed that it is."""
    others = set().union(*RETIRED.values()) - {"seed"}
    assert not set(flags(build_parser())) & others
