"""Mutants of recorded programs and of operators."""

from __future__ import annotations

from mutants.mutant import Mutant

_PROGRAMS = "tests/test_programs.py tests/test_programs_regressions.py tests/test_programs_random.py"
_OPERATORS = "tests/test_operators.py tests/test_curvature_operators.py"

PROGRAMS = [
    Mutant(
        "programs/simplify.py",
        "return builder.apply(ew.subtract, x.args[::-1], {}, shape, dtype)",
        "return builder.apply(ew.subtract, x.args, {}, shape, dtype)",
        _PROGRAMS,
    ),
    Mutant(
        "programs/simplify.py",
        "joined = tuple(inner[i] for i in axes)",
        "joined = tuple(axes[i] for i in inner)",
        _PROGRAMS,
    ),
    Mutant(
        "programs/simplify.py",
        'if x.operation is embed_op and x.params["index"] == index:',
        "if x.operation is embed_op:",
        _PROGRAMS,
    ),
    Mutant(
        "programs/simplify.py",
        "            if number == -1:\n                return _negate(builder, x)",
        "            if number == -1:\n                return x",
        _PROGRAMS,
    ),
    Mutant(
        "programs/simplify.py", "    product = numerator * number\n", "    product = numerator / number\n", _PROGRAMS
    ),
    Mutant(
        "programs/simplify.py",
        "    if _is_negated(y):\n        return builder.apply(ew.add,",
        "    if _is_negated(y):\n        return builder.apply(ew.subtract,",
        _PROGRAMS,
    ),
    Mutant(
        "programs/ir.py",
        'key: Any = ("array", shape, value.strides, dtype, value.tobytes())',
        'key: Any = ("array", shape, dtype, value.sum())',
        _PROGRAMS,
    ),
    Mutant(
        "programs/ir.py",
        'key = ("number", type(value), repr(value))',
        'key = ("number", type(value), value)',
        _PROGRAMS,
    ),
    Mutant("programs/ir.py", 'return ("object", id(value))', 'return ("object", 0)', _PROGRAMS),
    Mutant(
        "programs/runtime/recorded.py",
        "return bool(run.finite)",
        "return True",
        "tests/test_programs.py tests/test_soundness.py",
    ),
    Mutant(
        "programs/runtime/recorded.py",
        "        if compiled.writes:\n",
        "        if False:\n",
        "tests/test_programs.py tests/test_checkpoint.py",
    ),
    Mutant(
        "programs/runtime/recorded.py", "count & (count - 1) == 0", "count & (count - 1) != 0", "tests/test_programs.py"
    ),
    Mutant(
        "programs/runtime/recorded.py",
        "specializations.by_order = specializations.by_order or compiled.by_order",
        "specializations.by_order = False",
        "tests/test_memory.py tests/test_programs.py",
    ),
    Mutant(
        "programs/runtime/recorded.py",
        "not self.records or arguments.traced or is_tracing()",
        "not self.records or arguments.traced",
        "tests/test_programs.py tests/test_nesting.py",
    ),
    Mutant(
        "programs/runtime/arguments.py",
        "keys.append((array.shape, native))",
        "keys.append((array.shape,))",
        "tests/test_programs.py tests/test_dtypes.py",
    ),
    Mutant(
        "programs/runtime/arguments.py",
        "return type(leaf), repr(leaf) if isinstance(leaf, float) else leaf",
        "return leaf",
        "tests/test_programs.py tests/test_programs_regressions.py",
    ),
    Mutant(
        "programs/runtime/arguments.py",
        "return isinstance(other, Identity) and other.thing is self.thing",
        "return isinstance(other, Identity)",
        "tests/test_programs.py",
    ),
    Mutant(
        "programs/runtime/verification.py",
        "if relative > _ROUNDING[",
        "if relative > 1e3 * _ROUNDING[",
        "tests/test_programs.py tests/test_programs_regressions.py",
    ),
    Mutant(
        "programs/runtime/cache.py",
        "self._limit or self.replays >= self._factor * self.recordings",
        "self._limit",
        "tests/test_programs.py",
    ),
    Mutant("tape/maps.py", "z_bars = self._loss.products(z_dots, batch)", "z_bars = z_dots", _OPERATORS),
    Mutant("programs/runtime/point.py", " or v.shape != shape", "", _OPERATORS),
    Mutant("programs/runtime/point.py", " or v.dtype != dtype", "", _OPERATORS),
    Mutant(
        "programs/runtime/point.py", "return result if is_finite(result) else None\n\n", "return result\n\n", _OPERATORS
    ),
    Mutant("operators/symmetric.py", "self.operator @ V + shift * V", "self.operator @ V - shift * V", _OPERATORS),
    Mutant(
        "operators/symmetric.py", "            total = total + term @ V\n", "            total = term @ V\n", _OPERATORS
    ),
    Mutant(
        "operators/symmetric.py",
        "            if gap > 4.0 *",
        "            if False and gap > 4.0 *",
        _OPERATORS,
    ),
    Mutant("linalg/systems.py", "shift=-damping", "shift=damping", _OPERATORS),
    Mutant(
        "linalg/systems.py",
        "steps)[0].astype(b.dtype)\n        residual = b - product(x) - damping * x",
        "steps)[0].astype(b.dtype)\n        residual = b - product(x)",
        _OPERATORS,
    ),
    Mutant("operators/vectors.py", "        vector.flags.writeable = False\n", "        pass\n", _OPERATORS),
    Mutant(
        "linalg/dense.py", 'np.argsort(np.abs(values), kind="stable")', 'np.argsort(values, kind="stable")', _OPERATORS
    ),
]
