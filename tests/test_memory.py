"""Results lie in memory as NumPy's do, whatever was written before: it decides what is a view and what a copy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hessian as hs
from hessian.rules.samples import Sample
from hessian.tape.array_methods import primal_array
from hessian.transforms.rule_trials import every_trial

# Read-only views, which may lie elsewhere; np.pad asks for more than the order of axes.
_READ_ONLY = {"numpy.diag", "numpy.diagonal", "numpy.linalg.diagonal", "numpy.lib.stride_tricks.sliding_window_view"}


def place_in_memory(x: np.ndarray, order: str) -> np.ndarray:
    if order == "P":  # neither C nor Fortran
        return x.swapaxes(0, 1).copy().swapaxes(0, 1)
    return x.copy(order=order)


def steps(x: Any) -> tuple[int, ...]:
    """Strides in elements, of the axes along which there is a next one."""
    a = primal_array(x)
    return tuple(s // a.itemsize for s, n in zip(a.strides, a.shape, strict=True) if n > 1) if a.size else ()


def listed(result: Any) -> list[Any]:
    return [y for part in result for y in listed(part)] if isinstance(result, list | tuple) else [result]


@pytest.mark.parametrize("reverse", [False, True], ids=["", "reversed"])
@pytest.mark.parametrize(
    "trial", [t for t in every_trial() if t.differentiable and t.name.startswith("numpy")], ids=str
)
def test_results_lie_in_memory_as_in_numpy(trial, reverse):
    _, arrays = trial.arguments()
    template = trial.case.args
    orders = ["C" if a.ndim < 2 else "CF" if a.ndim < 3 else "CFP" for a in arrays]
    for order in itertools.islice(itertools.product(*orders), 6):
        given = [place_in_memory(a, o) for a, o in zip(arrays, order, strict=True)]

        def call(xs: list[Any]) -> list[Any]:
            supply = iter(x[::-1] if reverse and np.ndim(x) else x for x in xs)

            def place(x: Any) -> Any:
                if isinstance(x, list) and any(isinstance(item, Sample) for item in x):
                    return [place(item) for item in x]
                return next(supply) if isinstance(x, Sample) else x

            return listed(trial.target(*[place(x) for x in template], **trial.case.kwargs))

        seen: list[Any] = []

        def f(xs: list[Any]) -> Any:
            seen[:] = [steps(y) for y in call(xs)]  # noqa: B023
            return sum(np.sum(x) for x in xs)

        try:
            plain = call(given)
        except np.linalg.LinAlgError:  # a matrix turned around is not positive definite any more
            return
        hs.grad(f)(given)
        if any(np.iscomplexobj(y) for y in plain):
            return  # real eigenvalues, which NumPy gives as complex numbers from 2.5 on
        if not (trial.name in _READ_ONLY or "'ii->i'" in str(trial) or (reverse and trial.name == "numpy.pad")):
            assert seen == [steps(y) for y in plain], order


INDICES: dict[str, Any] = {
    "columns": lambda a: a[:, [0, 2]],
    "rows": lambda a: a[[1, 0]],
    "grid": lambda a: a[np.ix_([0, 1], [2, 0])],
    "mask": lambda a: a[:, np.array([True, False, True])],
    "take": lambda a: np.take(a, [2, 0], axis=1),
    "new axis": lambda a: a[:, None][:, :, [0, 1]],
}
FLATTENED: dict[str, Any] = {
    "ravel": lambda b: b.ravel(),
    "reshape": lambda b: b.reshape(-1),
    "ravel of the transpose": lambda b: b.T.ravel(),
    "ravel K": lambda b: b.ravel(order="K"),
    "copy K": lambda b: b.copy(order="K").reshape(-1),
}
LAYOUTS = {"C": lambda x: x * 1.0, "F": lambda x: x.T.copy().T, "view": lambda x: np.stack([x, x], -1)[..., 0]}
layouts = pytest.mark.parametrize(
    "layout",
    [pytest.param(f, id=name, marks=[] if name == "F" else pytest.mark.long) for name, f in LAYOUTS.items()],
)


@layouts
@pytest.mark.parametrize("flat", FLATTENED.values(), ids=FLATTENED)
@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_writes_to_what_was_flattened_reach_what_they_reach_in_numpy(index, flat, layout):
    x = np.arange(6.0).reshape(2, 3) + 1.0

    def f(x):
        b = index(layout(x))
        r = flat(b)
        r[0] += 10.0
        r *= 2.0
        return np.sum(np.sin(b)) + np.sum(r**2)

    agrees(f, x)


def agrees(f: Any, x: np.ndarray) -> None:
    """Compare with the plain function: value, gradient by differences, and the same through all the ways to f."""
    value, gradient = hs.value_and_grad(f)(x)
    assert_allclose(value, f(x.copy(order="K")), rtol=1e-13)
    wanted = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(order="K"), x.copy(order="K")
        up[i] += 1e-5
        down[i] -= 1e-5
        wanted[i] = (f(up) - f(down)) / 2e-5
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6)
    product = hs.hvp(f, x, np.ones_like(x))
    for way in (hs.record, hs.checkpoint, lambda f: hs.record(hs.checkpoint(f))):
        assert_allclose(hs.grad(way(f))(x), gradient, rtol=1e-13)
        assert_allclose(hs.hvp(way(f), x, np.ones_like(x)), product, rtol=1e-13)
    assert_allclose(hs.grad(lambda z: np.sum(hs.grad(f)(z)))(x), product, rtol=1e-12)


WRITES: dict[str, Any] = {
    "product": lambda a: a.__imul__(2.0),
    "sum with the transpose": lambda a: a.__iadd__(a.T.copy()),
    "matrix product": lambda a: a.__imatmul__(np.ones((3, 3))),
    "row": lambda a: a.__setitem__(0, 1.5),
    "rows, one by one": lambda a: [a.__setitem__(i, 1.5 * i) for i in range(3)],
    "columns": lambda a: a.__setitem__((slice(None), [0, 2]), a[:, [2, 0]]),
    "sorted": lambda a: a.sort(),
}
VIEWS: dict[str, Any] = {
    "itself": lambda a: a,
    "transpose": lambda a: a.T,
    "reversed": lambda a: a[::-1],
    "column": lambda a: a[:, 1:],
    "stepped": lambda a: a[::2],
    "rotated": np.rot90,
    "flipped": np.fliplr,
    "rolled": lambda a: np.rollaxis(a, 1),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@layouts
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_what_is_a_view_stays_so_after_writes_in_place(view, layout, write):
    x = np.arange(9.0).reshape(3, 3) * 0.3 + 0.4

    def f(x):
        a = layout(x)
        v = view(a)
        write(a)
        v += 0.5
        write(v) if v.shape == (3, 3) else None
        r = v.ravel()
        r *= 3.0
        t = a.reshape(-1)
        t[1] = 0.25
        return np.sum(np.sin(a)) + np.sum(v**2) + np.sum(r * np.arange(r.size)) + t[0]

    agrees(f, x)


def test_a_checkpointed_function_returns_arrays_as_they_lie_in_memory():
    step = hs.checkpoint(lambda x: (np.sin(x).T * 2.0).T.copy(order="K"))

    def f(x, step):
        y = step(x.T)
        r = y.ravel()
        r *= 3.0
        return np.sum(y**2)

    x = np.arange(6.0).reshape(2, 3)
    plain = lambda x: (np.sin(x).T * 2.0).T.copy(order="K")
    assert_array_equal(hs.grad(f)(x, step), hs.grad(f)(x, plain))


@pytest.mark.parametrize("wrap", [lambda f: f, hs.checkpoint], ids=["plain", "checkpointed"])
def test_the_same_program_is_not_replayed_for_another_order_in_memory(wrap):
    @wrap
    def f(x):
        y = np.sin(x)
        r = y.ravel()
        r *= 3.0
        return np.sum(y**2)

    x = np.arange(6.0).reshape(2, 3)
    g = hs.record(f)
    for order in "CFCF":
        given = x.copy(order=order)
        assert_allclose(g(given), f(given), rtol=1e-14)
        assert_allclose(hs.grad(g)(given), hs.grad(f)(given), rtol=1e-14)


def test_recorded_functions_take_arguments_that_lie_in_pieces_as_plain_sweeps_do():
    def f(x):
        r = x.ravel()
        r *= 2.0
        x[...] = np.sin(x)
        return np.sum(r**2)

    for x in (np.array([0.3, 0.5, 0.9])[::-1], np.arange(1.0, 7.0)[::2], np.arange(12.0).reshape(3, 4)[:, 1:3]):
        kept = x.copy()
        assert_array_equal(hs.hvp(hs.record(f), x, np.ones_like(x)), hs.hvp(f, x, np.ones_like(x)))
        assert_array_equal(x, kept)


def test_what_shows_a_number_many_times_is_read_only():
    def assigned(x):
        y = np.broadcast_to(x[0, 0], (2,))
        y[0] = 3.0
        return np.sum(y)

    def added(x):
        y = np.broadcast_to(np.sum(x), (2, 1))
        y += 3.0
        return np.sum(y)

    for f in (assigned, added, hs.record(assigned)):
        with pytest.raises(hs.errors.ReadOnlyError, match="read-only"):
            hs.grad(f)(np.ones((2, 3)))


@pytest.mark.parametrize("diagonal", [np.diagonal, np.diag, np.linalg.diagonal])
def test_a_diagonal_is_read_only(diagonal):
    def f(x):
        y = x * 1.0
        window = diagonal(y)
        window += 1.0
        return np.sum(y)

    with pytest.raises(ValueError, match="read-only"):
        f(np.ones((2, 2)))
    with pytest.raises(hs.errors.ReadOnlyError, match="read-only"):
        hs.grad(f)(np.ones((2, 2)))


@pytest.mark.parametrize("axes", [(1, 2, 0), (2, 0, 1)])
def test_writes_through_axes_turned_in_a_circle(axes):
    x, weights = np.sin(np.arange(8.0)).reshape(2, 2, 2), np.arange(1.0, 9.0).reshape(2, 2, 2)

    def f(x):
        y = x * 1.0
        window = np.transpose(y, axes)
        window *= weights
        return np.sum(np.sin(y) * weights)

    turned = np.transpose(weights, np.argsort(axes))
    assert_allclose(hs.value_and_grad(f)(x)[0], f(x), rtol=1e-14)
    assert_allclose(hs.grad(f)(x), weights * turned * np.cos(turned * x), rtol=1e-13)
