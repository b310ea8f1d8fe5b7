"""Random programs in plain NumPy names against JAX, against differences, plainly, recorded and as gradients of gradients.

``.ci/full differential`` runs ten thousand of them; a seed that fails there is run by ``check(Program.of(seed))``.
"""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from differential.check import Outcome, check, differences
from differential.programs import Program
from numpy.testing import assert_allclose

HAS_JAX = find_spec("jax") is not None
#: Programs of the long tests, in parts that workers may share.
LONG, PARTS = 1000, 10


def settle(seeds: range, with_jax: bool) -> Counter[str]:
    """Run programs; fail with all that are wrong, else return how many went which way."""
    found: dict[int, Outcome] = {seed: check(Program.of(seed), with_jax) for seed in seeds}
    faults = [f"{Program.of(seed)}\n    {o.kind}: {o.said}" for seed, o in found.items() if o.is_fault]
    assert not faults, "\n".join(faults)
    return Counter(o.kind for o in found.values())


@pytest.mark.parametrize("seed", range(8))
def test_a_few_programs_against_differences(seed: int) -> None:
    settle(range(seed, seed + 1), with_jax=False)


def test_a_few_programs_against_jax() -> None:
    pytest.importorskip("jax")
    settle(range(24, 28), with_jax=True)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_a_thousand_programs(part: int) -> None:
    each = LONG // PARTS
    went = settle(range(part * each, (part + 1) * each), HAS_JAX)
    assert went["agrees"] >= 0.75 * each  # the others raise as NumPy does, are refused, too large or at a kink
    assert went["refused"] <= 0.05 * each
    assert went["kink"] <= 0.05 * each


@pytest.mark.long
@pytest.mark.parametrize("seed", [3, 11, 16, 36, 72])
def test_what_evaluates_jax_derivatives_agrees_with_jax(seed: int) -> None:
    jax = pytest.importorskip("jax")
    from differential.check import double_precision
    from differential.jaxprs import evaluate

    program = Program.of(seed)
    x = program.draw(0)
    with double_precision():
        slope = jax.grad(program.with_jax(x))
        assert_allclose(evaluate(jax.make_jaxpr(slope)(x), x)[0], slope(x), rtol=1e-12, atol=1e-12)


def test_the_reference_is_numpy_itself() -> None:
    """What the model of memory gives in JAX is the value of the plain function."""
    jax = pytest.importorskip("jax")
    from differential.check import double_precision
    from differential.jaxprs import evaluate

    for seed in range(40, 46):
        program = Program.of(seed)
        x = program.draw(0)
        with np.errstate(all="ignore"):
            try:
                value = program.function(False)(program.pack(x))
            except (ValueError, TypeError, IndexError):
                continue
        with double_precision():
            assert_allclose(evaluate(jax.make_jaxpr(program.with_jax(x))(x), x)[0], value, rtol=1e-12)


@pytest.mark.parametrize("f", [np.sin, np.exp, lambda x: np.abs(x - 0.3) ** 3])
def test_differences_bound_their_error(f: Any) -> None:
    from hessian import grad

    x = np.array([0.7])
    found, error = differences(lambda z: float(np.sum(f(z))), x, np.ones(1))
    assert abs(found - grad(lambda z: np.sum(f(z)))(x)[0]) <= 10 * error + 1e-12
    assert error < 1e-9


def test_differences_see_a_kink() -> None:
    assert differences(lambda z: float(np.abs(z[0])), np.zeros(1) + 1e-4, np.ones(1))[1] > 1e-3


def test_programs_are_drawn_by_their_seed() -> None:
    assert repr(Program.of(5)) == repr(Program.of(5)) != repr(Program.of(6))
