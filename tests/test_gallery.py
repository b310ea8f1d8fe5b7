"""The programs of docs/gallery: each runs and trains, and at its start autograd or JAX agree with value, gradient and product."""

from __future__ import annotations

import importlib.util
import inspect
import re
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from differential.check import double_precision
from functions import direction

import hessian as hs

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "gallery"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
TOLERANCE = 1e-9


class Program(NamedTuple):
    """What a test needs to know of a program: a short run, what it must reach, and who can differentiate it as well."""

    settings: dict[str, Any]  # of `main`, for a short run
    reaches: float | None = None  # value of the objective at the end of it, if it has one
    sizes: tuple[str, ...] = ()  # those of the settings that `problem` takes
    peers: tuple[str, ...] = ("autograd", "jax")
    end: Callable[[Any], Any] = lambda result: result.x  # where the run ended, from what `main` returns


PROGRAMS = {
    "bayesian_network": Program({"steps": 2000}, reaches=65.0, end=lambda params: params),
    "convolution_net": Program({"max_hvp": 40, "n": 300, "filters": 4}, reaches=0.75, sizes=("n", "filters")),
    "fluid": Program({"max_hvp": 100, "N": 16, "steps": 8}, reaches=0.06, sizes=("N", "steps")),
    "gaussian_mixture": Program({"em_steps": (3,)}, reaches=3.18845),
    "gaussian_process": Program(
        {"n": 60}, reaches=23.0, sizes=("n",), peers=("jax",)
    ),  # autograd has no rule of cho_factor
    # With fewer observations some transitions never occur, and their probabilities have no estimate inside of (0, 1).
    "hidden_markov": Program({"T": 200}, reaches=225.0, sizes=("T",)),
    "hyperparameters": Program({"n": 60}, reaches=0.05847, sizes=("n",), peers=()),  # no peer has argmin; see below
    "logistic_regression": Program({"steps": 50}, reaches=154.53),
    "lstm": Program({"max_hvp": 150, "n": 200, "length": 10}, reaches=0.01, sizes=("n", "length")),
    "ode_net": Program({"maxiter": 8, "n": 30}, reaches=0.5, sizes=("n",)),
    "rnn": Program({"max_hvp": 100, "length": 200}, reaches=1.0, sizes=("length",)),
    "rosenbrock": Program({"sizes": (2, 20)}, reaches=1e-12),
    "spirals": Program({"max_hvp": 300}, reaches=0.05),
    "tanh_derivatives": Program({"order": 4, "places": 50}, peers=()),
    "variational_inference": Program(
        {"n": 100}, reaches=0.03, sizes=("n",), end=lambda fits: fits["banana", "mixture"].x
    ),
}


def load(name: str) -> types.ModuleType:
    """Return a program as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def problem(name: str, module: types.ModuleType) -> tuple[Callable[[Any], Any], Any]:
    """Return objective and start of a short run."""
    program = PROGRAMS[name]
    objective, start = module.problem(**{size: program.settings[size] for size in program.sizes})
    return objective, start


@pytest.mark.parametrize("name", NAMES)
def test_every_program_says_what_it_shows(name: str) -> None:
    """Each imports, says what to expect, can be run without arguments, and writes ordinary NumPy."""
    module = load(name)
    assert module.__doc__ is not None
    assert "Expected output:" in module.__doc__
    assert all(
        parameter.default is not parameter.empty for parameter in inspect.signature(module.main).parameters.values()
    )
    assert module.np is np
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 160
    assert all(inspect.getdoc(value) for value in vars(module).values() if inspect.isfunction(value))


def test_the_page_lists_every_program() -> None:
    """The table of the gallery's page has a row for each program, in order, and no other."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[`(\w+)`\]\(\1\.py\) \|", page, re.MULTILINE) == NAMES == sorted(PROGRAMS)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_every_program_trains_and_draws(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A short run lowers the objective to a stated number, says so, and its picture can be drawn."""
    module, program = load(name), PROGRAMS[name]
    result = module.main(**program.settings)
    assert len(capsys.readouterr().out.splitlines()) >= 3
    if program.reaches is not None:
        objective, start = problem(name, module)
        assert objective(program.end(result)) <= program.reaches < objective(start)
    if hasattr(module, "picture"):
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        pyplot = pytest.importorskip("matplotlib.pyplot")
        sizes = inspect.signature(module.picture).parameters.keys() & program.settings.keys()
        axes = module.picture(result, **{size: program.settings[size] for size in sizes})
        assert np.ravel(axes)[0].has_data()
        pyplot.close("all")


def patches(peer: Any) -> Any:
    """Return a function like ``sliding_window_view``, made of the indexing of a peer that has none."""

    def sliding_window_view(x: Any, window_shape: Any, axis: Any) -> Any:
        for size, at in zip(window_shape, axis, strict=True):
            places = np.arange(x.shape[at] - size + 1)[:, None] + np.arange(size)
            x = peer.moveaxis(x[(slice(None),) * at + (places,)], at + 1, -1)
        return x

    return types.SimpleNamespace(stride_tricks=types.SimpleNamespace(sliding_window_view=sliding_window_view))


def flatten(tree: Any) -> np.ndarray:
    """Return the numbers of a container of arrays; those of a dict by sorted names, as JAX returns them."""
    if isinstance(tree, dict):
        tree = [tree[name] for name in sorted(tree)]
    return np.concatenate([flatten(part) for part in tree]) if isinstance(tree, list | tuple) else np.ravel(tree)


class WithPatches:
    """NumPy as a peer has it, with the one view of `numpy.lib` that programs use."""

    def __init__(self, numpy: Any) -> None:
        self._numpy = numpy
        self.lib = patches(numpy)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numpy, name)


def modules(peer: str) -> tuple[Any, Any]:
    """Return the peer's names for NumPy and SciPy, with the modules of SciPy that programs use."""
    numpy, scipy = {"autograd": ("autograd.numpy", "autograd.scipy"), "jax": ("jax.numpy", "jax.scipy")}[peer]
    for part in ("special", "stats", "linalg"):
        pytest.importorskip(f"{scipy}.{part}")
    return WithPatches(pytest.importorskip(numpy)), pytest.importorskip(scipy)


def derivatives(peer: str, objective: Callable[[Any], Any], start: Any, v: Any) -> tuple[float, Any, Any]:
    """Return value, gradient and product with the Hessian, by a peer."""
    if peer == "autograd":
        autograd = pytest.importorskip("autograd")
        return objective(start), autograd.grad(objective)(start), autograd.make_hvp(objective)(start)[0](v)
    jax = pytest.importorskip("jax")
    with double_precision(DeprecationWarning):
        gradient, product = jax.jvp(jax.grad(objective), (start,), (v,))
        return float(objective(start)), gradient, product


def assert_agree(ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    """Compare containers of numbers, each relative to the norm of all its numbers."""
    for one, other in zip(ours, theirs, strict=True):
        a, b = flatten(one), flatten(other)
        assert np.linalg.norm(a - b) <= TOLERANCE * np.linalg.norm(b)


@pytest.mark.long
@pytest.mark.parametrize(("name", "peer"), [(name, peer) for name in PROGRAMS for peer in PROGRAMS[name].peers])
def test_peers_agree(name: str, peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same program with the peer's NumPy has the same value, gradient and Hessian-vector product at its start."""
    numpy, scipy = modules(peer)
    module = load(name)
    objective, start = problem(name, module)
    v = direction(start)
    value = objective(start)
    gradient, product = hs.grad_and_hvp(objective, start, v)
    for replaced, by in (("np", numpy), ("scipy", scipy)):
        if hasattr(module, replaced):
            monkeypatch.setattr(module, replaced, by)
    expected = derivatives(peer, objective, start, v)
    assert_agree((value, gradient, product), expected)


@pytest.mark.long
def test_a_fit_inside_agrees_with_newton_steps_of_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of JAX's Newton steps from the minimum have the derivatives of the minimum up to the second."""
    jax, (numpy, _) = pytest.importorskip("jax"), modules("jax")
    module = load("hyperparameters")
    objective, start = problem("hyperparameters", module)
    Phi, y = module.make_data(60, seed=1)
    minimum = hs.argmin(module.training_loss, np.zeros(Phi.shape[1]), (start, Phi, y))
    v = direction(start)
    ours = objective(start), *hs.grad_and_hvp(objective, start, v)

    def argmin(fun: Callable[..., Any], x0: Any, args: tuple[Any, ...]) -> Any:
        z = minimum
        for _ in range(2):
            z = z - numpy.linalg.solve(jax.hessian(fun)(z, *args), jax.grad(fun)(z, *args))
        return z

    monkeypatch.setattr(module, "np", numpy)
    monkeypatch.setattr(module, "hs", types.SimpleNamespace(argmin=argmin))
    assert_agree(ours, derivatives("jax", objective, start, v))


@pytest.mark.long
def test_both_ways_to_derivatives_of_tanh_agree() -> None:
    """Nested gradients and Taylor arithmetic have the same six derivatives, the third of them in closed form."""
    module = load("tanh_derivatives")
    x = np.linspace(-4, 4, 101)
    y, derivatives_of_tanh = np.tanh(x), module.by_taylor(6, x)
    for order in range(1, 7):
        values = module.nested(order)(x)
        assert_agree((values,), (derivatives_of_tanh[order],))
    assert_agree((derivatives_of_tanh[3],), ((6 * y**2 - 2) * (1 - y**2),))


@pytest.mark.long
def test_the_steps_of_the_equation_are_those_of_scipy() -> None:
    """The network's path by Runge-Kutta steps and by ``solve_ivp`` have the same value and gradient."""
    module = load("ode_net")
    times, observed = module.make_data(12, until=1.0)
    start = module.initialize(6, seed=0)
    f = lambda params: np.sum((module.path(params, observed[0], times, substeps=8) - observed) ** 2)
    g = lambda params: np.sum((module.follow(params, observed[0], times) - observed) ** 2)
    for a, b in zip(hs.value_and_grad(f)(start), hs.value_and_grad(g)(start), strict=True):
        np.testing.assert_allclose(flatten(a), flatten(b), rtol=1e-3, atol=1e-4)
