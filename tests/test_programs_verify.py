"""The verifier of programs sees what a pass may spoil, and so do the tests of the passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hessian as hs
from hessian.programs import verify as verifier
from hessian.programs.backends.numpy import BACKEND
from hessian.programs.compilation import CompilationError
from hessian.programs.ir import CONSTANT, DIRECTION, POINT, Builder, Guard, Node, Section
from hessian.programs.passes import place as layouts
from hessian.programs.passes.place import Layout, Place
from hessian.programs.pipeline import PASSES
from hessian.programs.simplify import rewrite
from hessian.programs.verify import InvalidProgram, check_nodes, verify_layout
from hessian.rules import elementwise as ew
from hessian.rules import factors
from hessian.rules.cholesky import cholesky_op
from hessian.rules.shaping import permute_op, reshape_op
from hessian.rules.spec import OPERATIONS

F8, SIN, COS = np.dtype(float), OPERATIONS["sin"], OPERATIONS["cos"]
X = np.array([0.3, -0.7, 1.1, 0.2])


def _input(*shape: int, level: int = POINT) -> Node:
    return Node(None, (), {}, shape, F8, level)


def _node(operation: Any, args: list[Node], shape: tuple[int, ...] = (3,), dtype: Any = F8, **more: Any) -> Node:
    level = more.pop("level", max(arg.level for arg in args))
    return Node(operation, tuple(args), {}, shape, dtype, level, **more)


def _section(inputs: list[Node], nodes: list[Node], outputs: list[Node] | None = None, guards: Any = None) -> Section:
    return Section("run", inputs, nodes, nodes[-1:] if outputs is None else outputs, guards or ())


def test_programs_that_are_right_pass() -> None:
    x, v = _input(3), _input(3, level=DIRECTION)
    y = _node(SIN, [x])
    check_nodes([_section([x], [y]), _section([v], [_node(ew.multiply, [y, v])])], "test")


@pytest.mark.parametrize(
    ("spoilt", "what"),
    [
        (lambda x, v: _node(SIN, [x], (4,)), r"gives float64\[3\]"),
        (lambda x, v: _node(SIN, [x], dtype=np.dtype("f4")), r"gives float64\[3\]"),
        (lambda x, v: _node(ew.add, [x, Node(None, (), {}, (2,), F8, CONSTANT, np.ones(2))]), "raises ValueError"),
        (lambda x, v: _node(ew.multiply, [x, v], level=POINT), "its arguments make it 2"),
        (lambda x, v: _node(SIN, [_input(3)]), "not there yet"),
        (lambda x, v: _node(SIN, [_node(COS, [x])], bitwise=True), "not there yet"),
    ],
)
def test_nodes_that_are_not_what_they_say(spoilt: Callable[[Node, Node], Node], what: str) -> None:
    x, v = _input(3), _input(3, level=DIRECTION)
    with pytest.raises(InvalidProgram, match=what):
        check_nodes([_section([x, v], [spoilt(x, v)])], "test")


def test_what_is_exact_follows_from_what_is_exact() -> None:
    x = _input(3)
    y = _node(COS, [x])
    with pytest.raises(InvalidProgram, match="is exact and reads"):
        check_nodes([_section([x], [y, _node(SIN, [y], bitwise=True)])], "test")
    guards = [Guard(y, np.zeros(3), True)]
    with pytest.raises(InvalidProgram, match="steers Python"):
        check_nodes([_section([x], [y], guards=guards)], "test")


def test_nodes_and_guards_never_change() -> None:
    x = _input(3)
    for thing, name in ((x, "bitwise"), (Guard(x, np.zeros(3), True), "node"), (_section([x], []), "nodes")):
        with pytest.raises(AttributeError):
            setattr(thing, name, True)


def test_what_is_computed_as_it_is_written_is_found_by_all() -> None:
    builder = Builder(rewrite)
    x = builder.input((3,), F8, POINT)
    first = builder.apply(SIN, [x], {}, (3,), F8)
    builder.bitwise = True
    marked = builder.apply(SIN, [x], {}, (3,), F8)
    builder.bitwise = False
    assert (first.bitwise, marked.bitwise) == (False, True)
    assert builder.apply(SIN, [x], {}, (3,), F8) is marked


def test_what_is_returned_is_computed() -> None:
    x = _input(3)
    with pytest.raises(InvalidProgram, match="never computed"):
        check_nodes([_section([x], [_node(SIN, [x])], [_node(COS, [x])])], "test")


def test_matrices_that_cannot_be_inverted_are_no_example() -> None:
    x = _input(2, 2)
    check_nodes([_section([x], [_node(cholesky_op, [x], (2, 2))])], "test")


# Memory. Each way to spoil the layout is met by some function.


def _chain(x: Any) -> Any:
    y = np.sin(x) * np.exp(x)
    return np.sum(np.tanh(y * x) * y + np.cos(y))


def _overlapping(x: Any) -> Any:
    return np.sum(np.sin(x[:3]) * np.cos(x[1:])) + np.sum(np.tanh(x[:2]) ** 3)


def _viewed(x: Any) -> Any:
    y = np.outer(np.sin(x), np.cos(x))
    return np.sum(np.tanh(y.T * x) @ np.exp(np.tanh(x)) + np.sum(np.exp(y), axis=0))


def _called(x: Any) -> Any:
    A = np.exp(-np.outer(x, x)) + 4 * np.eye(4)
    y = np.linalg.solve(A, np.tanh(x))
    return np.sum(np.cos(np.sin(np.tanh(x) * np.exp(x))) * y)


def _forget(kind: Callable[[Node, Layout], bool]) -> Callable[[Any], None]:
    """Let the layout forget why some values are needed for longer than the last node that reads them."""

    def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
        whole = Layout._last_reads

        def last_reads(self: Layout, section: Section) -> dict[int, int]:
            last = whole(self, section)
            direct = {arg.serial: i for i, node in enumerate(section.nodes) for arg in node.args}
            for node in section.nodes:
                if kind(node, self):
                    last[node.serial] = direct.get(node.serial, -1)
            return last

        monkeypatch.setattr(Layout, "_last_reads", last_reads)

    return spoil


def _crosses_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Layout, "crosses", lambda self, node: False)


def _taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Layout, "_take", lambda self, size: (0, size))


def _all_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "roles", lambda node: ["assign"] * len(node.args))


def _lent_always(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(self: Layout, number: int, section: Section) -> None:
        self.places.update({node.serial: Place("argument") for node in section.inputs})

    monkeypatch.setattr(Layout, "_place_inputs", place)


@pytest.mark.parametrize(
    ("spoil", "f"),
    [
        pytest.param(_forget(lambda node, layout: True), _viewed, id="views"),
        pytest.param(_forget(lambda node, layout: layout.places[node.serial].kind == "T"), _called, id="calls"),
        pytest.param(_crosses_nowhere, _chain, id="sections"),
        pytest.param(_taken_twice, _chain, id="places"),
        pytest.param(_all_assigned, _overlapping, id="pieces"),
        pytest.param(_lent_always, _chain, id="arguments"),
    ],
)
def test_layouts_that_share_what_is_needed(spoil: Any, f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hs.HessianOperator(hs.record(f), X)
    spoil(monkeypatch)
    monkeypatch.setenv("HESSIAN_DEBUG", "1")
    with pytest.raises(CompilationError, match="InvalidProgram: layout"):
        hs.HessianOperator(hs.record(f), X)


def test_two_values_in_one_place() -> None:
    x = _input(3)
    y, z = _node(SIN, [x]), _node(COS, [x])
    layout = Layout([_section([x], [y, z, _node(ew.add, [y, z])])], BACKEND.writes)
    verify_layout(layout)
    layout.places[z.serial].offset = layout.places[y.serial].offset
    with pytest.raises(InvalidProgram, match="is read after something else was written"):
        verify_layout(layout)


def test_a_view_that_would_be_a_copy() -> None:
    x = _input(2, 3)
    y = _node(SIN, [x], (2, 3))
    turned = Node(permute_op, (y,), {"axes": (1, 0)}, (3, 2), F8, POINT)
    flat = Node(reshape_op, (turned,), {"shape": (6,), "ndim": 2}, (6,), F8, POINT)
    layout = Layout([_section([x], [y, turned, flat, _node(SIN, [flat], (6,))])], BACKEND.writes)
    verify_layout(layout)
    layout.places[turned.serial] = Place("view", of=y)
    layout.places[flat.serial] = Place("view", of=turned)
    with pytest.raises(InvalidProgram, match="is no view of"):
        verify_layout(layout)


def test_programs_are_verified_while_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(verifier, "check_nodes", lambda sections, after, known: seen.append(after))
    monkeypatch.setenv("HESSIAN_DEBUG", "0")
    hs.record(_chain)(X)
    assert not seen
    monkeypatch.setenv("HESSIAN_DEBUG", "1")
    hs.HessianOperator(hs.record(_chain), X).to_dense()
    passes = [each.__name__ for goal in ("program", "run", "directions") for each in PASSES[goal]]
    assert seen == ["trace", *passes]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_examples_of_pivots_are_rows(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """LAPACK exchanges whatever rows it is told, beyond the end of the matrix as well."""
    pivots: list[np.ndarray] = []
    original = factors.get_lapack_funcs

    def watched(names: Any, arrays: Any) -> Any:
        (function,) = original(names, arrays)

        def call(factor: Any, *args: Any, **keywords: Any) -> Any:
            if args:
                pivots.append(args[0])
                assert np.all((args[0] >= 0) & (args[0] < len(factor)))
            return function(factor, *args, **keywords)

        return (call,)

    monkeypatch.setattr(factors, "get_lapack_funcs", watched)
    monkeypatch.setenv("HESSIAN_DEBUG", "1")
    b, eye = np.arange(1.0, n + 1), np.eye(n)
    f = lambda x: b @ np.linalg.solve(np.outer(x, x) + eye, b)
    x = np.linspace(0.5, 1.0, n)
    np.testing.assert_allclose(hs.hessian(hs.record(f))(x), hs.hessian(f)(x), rtol=1e-12)
    assert bool(pivots) == (n > 1)
