"""Mutants of the rules of operations."""

from __future__ import annotations

from mutants.mutant import Mutant

_RULES = "tests/test_rules.py"
_CUSTOM = "tests/test_custom_rules.py"


def _row(name: str) -> str:
    return f"{_RULES} -k {name}"


RULES = [
    Mutant("rules/elementwise.py", "lambda y, a, b: -y / b]", "lambda y, a, b: y / b]", _row("divide")),
    Mutant("rules/elementwise.py", "2 * (y / b) / b}", "(y / b) / b}", _row("divide")),
    Mutant("rules/elementwise.py", "d2={(0, 1): 1},", "d2={},", _row("multiply")),
    Mutant("rules/elementwise.py", "lambda y, x: -0.25 / (y * x)", "lambda y, x: 0.25 / (y * x)", _row("sqrt")),
    Mutant("rules/elementwise.py", "lambda y, a, b: -cosine(a, y)", "lambda y, a, b: cosine(a, y)", _row("hypot")),
    Mutant("rules/elementwise.py", "p * (1 + b * np.log(", "p * (b * np.log(", _row("power")),
    Mutant("rules/elementwise.py", "-1 / ((1 + x) * (1 + x))", "-1 / (1 + x)", _row("log1p")),
    Mutant(
        "rules/elementwise.py", "lambda y, a, b: -spread(y, a, b)", "lambda y, a, b: spread(y, a, b)", _row("logaddexp")
    ),
    Mutant(
        "rules/elementwise.py",
        "product(a, a) + product(b, b)",
        "product(a, a)",
        "tests/test_smooth_powers.py",
    ),
    Mutant(
        "rules/elementwise.py",
        "np.zeros_like(a) if b == 0 else",
        "np.zeros_like(a) if False else",
        "tests/test_core.py",
    ),
    Mutant("rules/elementwise.py", "annihilates=(0, 1),", "", "tests/test_structural_zeros.py"),
    Mutant("rules/elementwise.py", "annihilates=(0,),", "", "tests/test_structural_zeros.py"),
    Mutant(
        "rules/reductions.py",
        "attained / np.sum(attained,",
        "attained / np.max(attained,",
        "tests/test_rules.py tests/test_soundness.py",
    ),
    Mutant(
        "rules/reductions.py",
        "np.flip(cumsum_op(np.flip(g, axis), axis=axis), axis)",
        "cumsum_op(g, axis=axis)",
        _row("cumsum"),
    ),
    Mutant(
        "rules/reductions.py",
        "np.asarray(np.maximum(count - ddof, 0), squares.dtype)",
        "np.asarray(count, squares.dtype)",
        _row("var"),
    ),
    Mutant("rules/reductions.py", "        shift *= 2\n", "        shift += 2\n", _row("cumprod")),
    Mutant(
        "rules/reductions.py",
        "max_(a, axis, out, keepdims) - min_(a,",
        "max_(a, axis, out, keepdims) + min_(a,",
        _row("ptp"),
    ),
    Mutant(
        "rules/reductions.py",
        "        paired = x[..., :half] * x[..., half : 2 * half]",
        "        paired = x[..., :half] * x[..., :half]",
        _row("prod"),
    ),
    Mutant(
        "rules/reductions.py",
        "    if np.any(np.equal(total, 0)):",
        "    if False:",
        "tests/test_errors_user.py tests/test_plain_numpy.py tests/test_calls.py",
    ),
    Mutant(
        "rules/indexing.py",
        "[1:].max(initial=0)) <= 1",
        "[1:].max(initial=0)) <= 2",
        "tests/test_rules.py tests/test_core.py",
    ),
    Mutant(
        "rules/scatter.py",
        "        np.add.at(out, flat, g.ravel())",
        "        out[flat] = g.ravel()",
        _RULES,
    ),
    Mutant(
        "rules/scatter.py",
        "np.arange(0, out.size, size)",
        "np.arange(0, out.size, size + 1)[: out.size // size]",
        "tests/test_scatter.py",
    ),
    Mutant("rules/indexing.py", "    if positions.holes is None:\n", "    if True:\n", _RULES),
    Mutant(
        "rules/indexing.py",
        "read_only=not moved.flags.writeable",
        "read_only=False",
        "tests/test_in_place.py tests/test_memory.py",
    ),
    Mutant(
        "rules/indexing.py",
        "(into.ndim - ndim) + index] += g",
        "(into.ndim - ndim) + index] = g",
        "tests/test_core.py tests/test_programs_random.py tests/test_in_place.py",
    ),
    Mutant("rules/broadcast.py", "    if lead:\n", "    if False:\n", _RULES),
    Mutant(
        "rules/broadcast.py",
        "    if not -ndim <= index < ndim:",
        "    if False:",
        "tests/test_messages.py tests/test_calls.py",
    ),
    Mutant("rules/broadcast.py", "    if len(set(axes)) != len(axes):", "    if False:", "tests/test_messages.py"),
    Mutant("rules/determinant.py", "- two * _t(inner)", "+ two * _t(inner)", "tests/test_determinant.py"),
    Mutant(
        "rules/determinant.py",
        "(tx * ty - txy) * w - ty * wx",
        "(tx * ty - txy) * w + ty * wx",
        "tests/test_determinant.py tests/test_rules.py",
    ),
    Mutant(
        "rules/determinant.py",
        "dots, *, name, line: -(y @ dots[0] @ y)",
        "dots, *, name, line: y @ dots[0] @ y",
        "tests/test_determinant.py tests/test_rules.py",
    ),
    Mutant(
        "rules/determinant.py",
        "np.isfinite(a).all() and not np.all(",
        "False and not np.all(",
        "tests/test_determinant.py tests/test_eigen.py tests/test_rules.py",
    ),
    Mutant("rules/determinant.py", "(left == 0) & ~np.eye(n, dtype=bool)", "(left == 0)", "tests/test_determinant.py"),
    Mutant(
        "rules/eigen.py",
        "w[..., None, :] - w[..., :, None])",
        "w[..., :, None] - w[..., None, :])",
        "tests/test_eigen.py tests/test_rules.py",
    ),
    Mutant("rules/eigen.py", "(differ > allowed)", "(differ > np.inf)", "tests/test_eigen.py"),
    Mutant(
        "rules/eigen.py",
        "np.any(inner != 0, axis=-2)[..., None, :]",
        "np.any(inner > np.inf, axis=-2)[..., None, :]",
        "tests/test_eigen.py",
    ),
    Mutant(
        "rules/softmax.py",
        "y * (dots[0] - np.sum(y * dots[0]",
        "y * (dots[0] - np.sum(dots[0]",
        "tests/test_softmax.py tests/test_rules.py",
    ),
    Mutant(
        "rules/softmax.py",
        "        powers = np.exp(x - _largest(x, axes))\n",
        "        powers = np.exp(x)\n",
        "tests/test_softmax.py",
    ),
    Mutant(
        "rules/spec.py",
        "a = a.swapaxes(-1, -2) if left_turned else a",
        "a = a",
        "tests/test_rules.py tests/test_core.py",
    ),
    Mutant(
        "rules/products.py",
        "sparse_matmul_op(g, matrix=matrix.T,",
        "sparse_matmul_op(g, matrix=matrix,",
        "tests/test_core.py tests/test_rules.py tests/test_textbook.py tests/test_plain_numpy.py",
    ),
    Mutant(
        "rules/products.py",
        "matrix=a.tocsr(copy=True)",
        "matrix=a.tocsr()",
        "tests/test_soundness.py tests/test_errors_user.py tests/test_plain_numpy.py",
    ),
    Mutant(
        "rules/spec.py",
        "if self.d2 is None or self.d2.get(",
        "if self.d2 and self.d2.get(",
        "tests/test_rules.py -k patterns",
    ),
    Mutant("rules/patterns.py", "np.tril_indices(n)", "np.triu_indices(n)", "tests/test_rules.py -k patterns"),
    Mutant("rules/patterns.py", "origins - start, -1)", "origins, -1)", "tests/test_rules.py -k patterns"),
    Mutant(
        "rules/choices.py", "(np.maximum if larger else np.minimum)(*dots)", "np.maximum(*dots)", "tests/test_kinks.py"
    ),
    Mutant("rules/choices.py", "np.minimum(above, dots[2])", "above", "tests/test_kinks.py"),
    Mutant("tape/custom.py", "y = np.array(function(", "y = np.asarray(function(", _CUSTOM),
    Mutant("tape/custom.py", 'return f"custom.{name or ', 'return f"{name or ', _CUSTOM),
    Mutant("tape/custom.py", "        with creating():\n", "        if True:\n", _CUSTOM),
    Mutant("tape/custom.py", "if batch and not batched:", "if batch and batched:", _CUSTOM),
    Mutant("transforms/rule_reach.py", "LARGEST = 1e-4, 1e4", "LARGEST = 1e-4, 2.0", _CUSTOM),
    Mutant("transforms/rule_reach.py", "rng.choice([-1.0, 1.0], PLACES)", "np.ones(PLACES)", _CUSTOM),
    Mutant("transforms/rule_reach.py", "low + (high - low) * small", "rng.uniform(low, high, PLACES)", _CUSTOM),
    Mutant("transforms/rule_reach.py", "> varies.size // 8", "> varies.size", _CUSTOM),
    Mutant("transforms/rule_reach.py", "FACTORS = (0.01, 30.0,", "FACTORS = (0.01, 1.0,", _CUSTOM),
    Mutant("rules/integrals.py", "(2 * k + 2) * c", "(2 * k + 1) * c", "tests/test_scipy_stats.py -k voigt"),
    Mutant(
        "rules/templates.py",
        "for skipped in is_whole",
        "for _ in is_whole for skipped in [False]",
        "tests/test_templates.py",
    ),
    Mutant(
        "scipy/distributions.py", "for _ in range(3):", "for _ in range(1):", "tests/test_scipy_stats.py -k quantiles"
    ),
    Mutant("tape/origins.py", "operands[1:]", "operands", "tests/test_locate.py"),
    Mutant("programs/passes/batch.py", "or result != free or", "or", _CUSTOM),
    Mutant(
        "transforms/rule_claims.py",
        "wrong = not abs(values[0] - limit[0]) <= limit[1]",
        "wrong = abs(values[0] - limit[0]) > limit[1]",
        _CUSTOM,
    ),
    Mutant(
        "rules/special_functions.py",
        "tail = 2 * inverse * u",
        "tail = -2 * inverse * u",
        "tests/test_accuracy.py -k third",
    ),
]
