"""Mutants of recorded programs and of operators."""

from __future__ import annotations

from mutants.mutant import Mutant

_PROGRAMS = "tests/test_programs.py tests/test_programs_regressions.py tests/test_programs_random.py"
_SIMPLIFY = "tests/test_programs_simplify.py"
_OPERATORS = "tests/test_operators.py tests/test_curvature_operators.py"

PROGRAMS = [
    Mutant("programs/simplify.py", "x - -y, x + y)", "x - -y, x - y)", _SIMPLIFY),
    Mutant("programs/simplify.py", "-(x - y), y - x)", "-(x - y), x - y)", _SIMPLIFY),
    Mutant(
        "programs/simplify.py",
        '"axes": tuple(inner[i] for i in m.params["axes"])',
        '"axes": tuple(m.params["axes"][i] for i in inner)',
        _SIMPLIFY,
    ),
    Mutant(
        "programs/simplify.py",
        'lambda m: m["embedded"].params["index"] == m.params["index"]',
        "lambda m: True",
        _SIMPLIFY,
    ),
    Mutant("programs/simplify.py", "x * _MINUS_ONE, -x,", "x * _MINUS_ONE, x,", _SIMPLIFY),
    Mutant(
        "programs/simplify.py",
        'm.builder.constant(m["c"].scalar() * m["k"].scalar())',
        'm.builder.constant(m["c"].scalar() / m["k"].scalar())',
        _SIMPLIFY,
    ),
    Mutant("programs/simplify.py", "if not (_is_real(p) or _is_real(q)):", "if False:", _SIMPLIFY),
    Mutant("programs/simplify.py", 'if m.nodes["x"].level != DIRECTION:', "if False:", _SIMPLIFY),
    Mutant(
        "programs/simplify.py",
        "return math.prod(_joint_shape((p, q))) <= max(p.size, q.size)",
        "return True",
        _SIMPLIFY,
    ),
    Mutant("programs/simplify.py", "return bool(np.finfo(m.dtype).tiny <= abs(", "return bool(0.0 <= abs(", _SIMPLIFY),
    Mutant("programs/simplify.py", " <= np.finfo(m.dtype).max)", " <= math.inf)", _SIMPLIFY),
    Mutant(
        "programs/simplify.py",
        'if not (_keeps("quotient")(m) and _is_real(m["c"])):',
        'if not _keeps("quotient")(m):',
        _SIMPLIFY,
    ),
    Mutant(
        "programs/simplify.py",
        'if not (_keeps("quotient")(m) and _is_real(m["c"])):',
        'if not _is_real(m["c"]):',
        _SIMPLIFY,
    ),
    Mutant("programs/simplify.py", "if known is None or not _is_real(known):", "if known is None:", _SIMPLIFY),
    Mutant("programs/simplify.py", ' and known is not m.nodes["ab"]', "", _SIMPLIFY),
    Mutant("programs/simplify.py", 'lambda m: _is_real(m["c"])', "lambda m: True", _SIMPLIFY),
    Mutant(
        "programs/simplify.py",
        'm["x"].shape == m.shape and set(steps) <= {None, 1}',
        'm["x"].shape == m.shape',
        _SIMPLIFY,
    ),
    Mutant(
        "programs/simplify.py",
        'm["x"].shape == m.shape and set(steps) <= {None, 1}',
        "set(steps) <= {None, 1}",
        _SIMPLIFY,
    ),
    Mutant(
        "programs/simplify.py",
        "lambda m: m[name].shape == m.shape and m[name].dtype == m.dtype",
        "lambda m: m[name].shape == m.shape",
        _SIMPLIFY,
    ),
    Mutant("programs/simplify.py", "algebra = False  # integers", "pass  # integers", _SIMPLIFY),
    Mutant("programs/simplify.py", '(algebra or (operation in _ARITHMETIC and dtype.kind == "f"))', "True", _SIMPLIFY),
    Mutant("programs/simplify.py", "(algebra or rule.bitwise) and not", "True and not", _SIMPLIFY),
    Mutant(
        "programs/simplify.py",
        "return source if np.broadcast_shapes(source.shape, *others) == shape else arg",
        "return source",
        _SIMPLIFY,
    ),
    Mutant(
        "programs/simplify.py",
        "return bare if changed and _joint_shape(bare) == shape else None",
        "return bare if changed else None",
        _SIMPLIFY,
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
    Mutant("tape/maps.py", "z_bars = self.loss.products(z_dots, batch)", "z_bars = z_dots", _OPERATORS),
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
    Mutant("linalg/systems.py", "shift=-damping", "shift=damping", "tests/test_linalg.py"),
    Mutant(
        "linalg/systems.py",
        "steps)[0].astype(b.dtype)\n        residual = b - product(x) - damping * x",
        "steps)[0].astype(b.dtype)\n        residual = b - product(x)",
        "tests/test_linalg.py",
    ),
    Mutant("operators/vectors.py", "        vector.flags.writeable = False\n", "        pass\n", _OPERATORS),
    Mutant(
        "linalg/dense.py", 'np.argsort(np.abs(values), kind="stable")', 'np.argsort(values, kind="stable")', _OPERATORS
    ),
]
