"""Mutants of sweeps, steps, views and checkpoints."""

from __future__ import annotations

from mutants.mutant import Mutant

_CORE = "tests/test_core.py tests/test_textbook.py"

ENGINE = [
    # Steps of elementwise operations.
    Mutant(
        "tape/steps.py",
        "                total = added(total, scaled(d, t))",
        "                total = scaled(d, t)",
        _CORE,
    ),
    Mutant("tape/steps.py", "term = coefficient * opened[j]", "term = coefficient * opened[i]", _CORE),
    Mutant("tape/steps.py", "if entry is not None:\n", "if entry is not None and i == j:\n", _CORE),
    Mutant(
        "tape/steps.py",
        "        if d == -1:\n            return -t",
        "        if d == -1:\n            return t",
        _CORE,
    ),
    Mutant(
        "tape/steps.py",
        "            if suspicious(coefficient):",
        "            if False:",
        "tests/test_structural_zeros.py tests/test_plain_numpy.py",
    ),
    Mutant(
        "tape/steps.py",
        "return any(type(d) is not int and suspicious(d) for d in self.partials)",
        "return False",
        "tests/test_soundness.py",
    ),
    Mutant(
        "tape/steps.py",
        "along: Pieces = [scaled(self.partials[j], one),",
        "along: Pieces = [None,",
        "tests/test_core.py",
    ),
    Mutant(
        "tape/steps.py",
        "[longest - loops[p] for p in self.positions]",
        "[0 for p in self.positions]",
        "tests/test_rules.py",
    ),
    Mutant(
        "tape/steps.py",
        "pieces[i] = added_in_place(pieces[i], term) if fresh[i] else pieces[i] + term",
        "pieces[i] = added_in_place(pieces[i], term)",
        "tests/test_programs_random.py tests/test_core.py tests/test_nesting.py tests/test_rules.py",
    ),
    # Steps of other operations.
    Mutant("tape/array_steps.py", "return g if len(self.positions) == 2 else None", "return None", _CORE),
    Mutant(
        "tape/array_steps.py",
        "        for i in (0, 1):\n            if opened",
        "        for i in (0,):\n            if opened",
        _CORE,
    ),
    Mutant(
        "tape/array_steps.py",
        "if p == 0 else (self.operands[0], t)",
        "if p == 0 else (t, self.operands[0])",
        _CORE,
    ),
    # Sweeps.
    Mutant(
        "tape/sweeps.py",
        "                elif g_dot is not None:\n                    sums.add_pullback(",
        "                elif g_dot is None:\n                    sums.add_pullback(",
        _CORE,
    ),
    Mutant("tape/sweeps.py", "piece if known is None else known + piece", "piece", _CORE),
    Mutant(
        "tape/sweeps.py",
        "buffer if known is None else np.asarray(buffer + known)",
        "buffer",
        "tests/test_core.py tests/test_in_place.py",
    ),
    Mutant(
        "tape/maps.py",
        "self._linearized[0].pullback_tangent(dots, len(batch))",
        "self._linearized[0].pushforward(dots, len(batch))",
        _CORE,
    ),
    # What is written in place.
    Mutant(
        "tape/variable.py",
        "        owner._adopt(value)\n        owner._version += 1",
        "        owner._adopt(value)",
        "tests/test_in_place.py",
    ),
    Mutant(
        "tape/variable.py",
        "value.frozen() if isinstance(value, Variable) else value\n        self._version += 1",
        "value.frozen() if isinstance(value, Variable) else value",
        "tests/test_writes.py tests/test_in_place.py",
    ),
    Mutant(
        "tape/variable.py",
        "        if self._view is not None and primal_array(new).strides == primal_array(self).strides:",
        "        if self._view is not None:",
        "tests/test_memory.py",
    ),
    Mutant(
        "tape/variable.py",
        "value.frozen() if isinstance(value, Variable) else value\n        self._version",
        "value\n        self._version",
        "tests/test_writes.py tests/test_in_place.py",
    ),
    Mutant("tape/variable.py", "lying_as(self._value, new._value)", "new._value", "tests/test_memory.py"),
    Mutant(
        "tape/views.py", 'np.argsort(params["axes"])', 'params["axes"]', "tests/test_in_place.py tests/test_memory.py"
    ),
    Mutant(
        "tape/views.py",
        "if positions is not None and not positions.read_only:",
        "if positions is not None:",
        "tests/test_memory.py",
    ),
    Mutant(
        "tape/memory.py",
        "return operation is broadcast_op",
        "return False",
        "tests/test_memory.py",
    ),
    Mutant("tape/memory.py", "value._tape.by_order = True", "value._tape.by_order = False", "tests/test_memory.py"),
    Mutant("tape/writes.py", "        start = i + 1\n", "        start = i\n", "tests/test_writes.py"),
    Mutant("tape/writes.py", "whole = all(part == _ALL for part in rest)", "whole = True", "tests/test_writes.py"),
    # Checkpoints.
    Mutant("tape/checkpoint_call.py", "if moved and any(", "if False and any(", "tests/test_checkpoint.py"),
    Mutant(
        "tape/checkpoint_call.py",
        "        self._check_captured(tape, vector)\n        self._by_order",
        "        self._by_order",
        "tests/test_checkpoint.py",
    ),
    Mutant(
        "tape/checkpoint_call.py", "self._by_order = tape.by_order", "self._by_order = False", "tests/test_memory.py"
    ),
    Mutant(
        "tape/checkpoint_call.py",
        "        elif not course.is_like(self._course):",
        "        elif False:",
        "tests/test_checkpoint.py",
    ),
    Mutant("tape/checkpoint.py", "    _check_again(result, y)\n", "", "tests/test_checkpoint.py"),
]
