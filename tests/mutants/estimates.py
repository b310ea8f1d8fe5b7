"""Mutants of what solvers say of their endings and of the error bars of curvature."""

from __future__ import annotations

from mutants.mutant import Mutant

_ENDINGS = "tests/test_optimize_endings.py tests/test_optimize_minima.py tests/test_optimize_directions.py tests/test_optimize_parts.py"
_ERRORS = (
    "tests/test_curvature_coincidence.py tests/test_curvature_hostile_estimates.py tests/test_curvature_estimates.py"
)

ESTIMATES = [
    Mutant("optimize/certificate.py", "return probe, False", "return None, False", _ENDINGS),
    Mutant(
        "optimize/certificate.py",
        "        if is_open:\n            return self._doubt(curvature)",
        "        if False:\n            return self._doubt(curvature)",
        "tests/test_optimize_collection.py",
    ),
    Mutant("optimize/certificate.py", "> FAR * point.reach:", "> math.inf:", _ENDINGS),
    Mutant(
        "optimize/certificate.py",
        "        if self._futile >= FUTILE:",
        "        if False:",
        "tests/test_optimize_collection.py",
    ),
    Mutant(
        "optimize/certificate.py",
        "Definiteness.ZERO if abs(curvature.smallest) <= error else curvature.definiteness",
        "curvature.definiteness",
        _ENDINGS,
    ),
    Mutant(
        "optimize/certificate.py",
        "return Verdict(curvature, lower=probe) if self._moves <= MOVES",
        "return Verdict(curvature, lower=probe) if self._moves <= 0",
        _ENDINGS,
    ),
    Mutant(
        "optimize/optimality.py", "    if smallest < -threshold:\n", "    if smallest < -1e6 * threshold:\n", _ENDINGS
    ),
    Mutant("optimize/optimality.py", "    if not is_certain:\n        return Definiteness.UNDECIDED\n", "", _ENDINGS),
    Mutant(
        "optimize/optimality.py",
        "return -vector if float(scaled_gradient(point) @ vector) > 0.0",
        "return -vector if float(scaled_gradient(point) @ vector) < 0.0",
        _ENDINGS,
    ),
    Mutant(
        "optimize/optimality.py",
        "Definiteness.POSITIVE if smallest > threshold else Definiteness.ZERO",
        "Definiteness.POSITIVE",
        _ENDINGS,
    ),
    Mutant("optimize/ratio_test.py", "by_gradient = -0.5 * float(", "by_gradient = 0.5 * float(", _ENDINGS),
    Mutant(
        "optimize/ratio_test.py",
        "        if not math.isfinite(trial.value):\n            return Assessment(math.nan, False, True)\n",
        "",
        "tests/test_optimize_hostile.py tests/test_optimize_parts.py",
    ),
    Mutant(
        "optimize/status.py",
        "    CONVERGED_FAR = (\n        18,\n        False,",
        "    CONVERGED_FAR = (\n        18,\n        True,",
        _ENDINGS,
    ),
    Mutant("curvature/estimate.py", "return _factor(degrees_of_freedom) * deviation", "return deviation", _ERRORS),
    Mutant("curvature/estimate.py", "0.5 - 0.5 * level)", "1.0 - level)", "tests/test_dialect.py"),
    Mutant("curvature/condition.py", "1.0 - self.miss_probability >= level", "True", "tests/test_dialect.py"),
    Mutant("arguments.py", "int(rng) if isinstance(rng, numbers.Integral) else ", "", "tests/test_dialect.py"),
    Mutant("curvature/blocks.py", "rng=seed) for which in", "rng=None) for which in", "tests/test_dialect.py"),
    Mutant("curvature/products.py", "if gap > self._witness.slack * scale:", "if False:", "tests/test_symmetry.py"),
    Mutant("curvature/trace.py", "2.0 * spread / m, m - 1.0", "spread / m / m, m - 1.0", _ERRORS),
    Mutant(
        "curvature/trace.py",
        "    return m * (0.5 * m * (m - 1) + _AGREEING)",
        "    return 100.0 * m * (0.5 * m * (m - 1) + _AGREEING)",
        _ERRORS,
    ),
    Mutant("curvature/trace.py", "max(1.0 - 2.0 / ((order + 2) * m), 0.5)", "4.0", _ERRORS),
    Mutant(
        "curvature/trace.py",
        "    v = v * (math.sqrt(order) / np.linalg.norm(v, axis=0))",
        "    v = v * (math.sqrt(n) / np.linalg.norm(v, axis=0))",
        _ERRORS,
    ),
    Mutant(
        "curvature/diagonal.py",
        "variance + np.maximum(shared, 0.0) / (k * (k - 1))",
        "0.01 * variance",
        "tests/test_curvature_estimates.py tests/test_curvature_hostile_estimates.py",
    ),
    Mutant(
        "curvature/diagonal.py",
        "value = np.sum(Q * Z, axis=1) + shares * slope",
        "value = shares * slope",
        "tests/test_curvature_estimates.py tests/test_curvature_hostile_estimates.py",
    ),
    Mutant("curvature/leave_out.py", "/ k + max(shared, 0.0), dof", "/ k / k, dof", _ERRORS),
    Mutant("curvature/leave_out.py", "(n - k + 1) * rest / lengths", "(n - k) * rest / lengths", _ERRORS),
    Mutant(
        "curvature/lanczos.py",
        "bounds = residuals[picked] + products",
        "bounds = 0.0 * residuals[picked] + products",
        "tests/test_curvature_eigenvalues.py",
    ),
    Mutant(
        "curvature/lanczos.py",
        "if ends or (done and (not confirm or miss <= MISS)):",
        "if ends or done:",
        "tests/test_curvature_eigenvalues.py tests/test_curvature_hostile.py tests/test_curvature_doubts.py",
    ),
    Mutant("linalg/lanczos.py", "if np.all(row_norms(w) >= _ENOUGH * before):", "if True:", "tests/test_linalg.py"),
    Mutant("linalg/lanczos.py", "coefficients[:, first - width : first] = self._R", "pass", "tests/test_linalg.py"),
    Mutant("curvature/lanczos.py", "+ _rounding(products, matrix)", "", "tests/test_curvature_eigenvalues.py"),
    Mutant(
        "curvature/misses.py",
        "stir * miss)) / (2 * steps - 1)) ** 2",
        "stir * miss)) / (2 * steps + 9)) ** 2",
        "tests/test_curvature_doubts.py tests/test_curvature_hostile.py tests/test_curvature_operators.py",
    ),
    Mutant("curvature/nystrom.py", "seen / (1.0 - part)", "seen", "tests/test_nystrom.py"),
    Mutant("linalg/nystrom.py", "np.maximum(sizes**2 - shift, 0.0)", "sizes**2 + 1e-3", "tests/test_nystrom.py"),
    Mutant(
        "curvature/nystrom.py",
        "_look_down(products, start.astype",
        "(products, start.astype",
        "tests/test_nystrom.py",
    ),
    Mutant(
        "curvature/xnystrace.py", "mean(estimates)) - n * shift", "mean(estimates)) + 1e-8", "tests/test_xnystrace.py"
    ),
    Mutant("curvature/xnystrace.py", "_scarcity(W, B) * math", "math", "tests/test_xnystrace.py"),
    Mutant("curvature/xnystrace.py", "+ (n - k + 2) * (own", "+ (n - k) * (own", "tests/test_xnystrace.py"),
    Mutant(
        "curvature/krylov_errors.py",
        "error = beta * (abs(float(np.sum(terms)))",
        "error = 0.1 * beta * (abs(float(np.sum(terms)))",
        "tests/test_matrix_function.py",
    ),
    Mutant(
        "curvature/krylov_errors.py",
        "far = apart if is_proved else math.inf",
        "far = apart",
        "tests/test_matrix_function.py",
    ),
    Mutant(
        "curvature/matrix_function.py",
        "bound = error if found.is_proved else math.inf",
        "bound = error",
        "tests/test_matrix_function.py",
    ),
    Mutant("linalg/monotone.py", "moved * np.exp(end + moved)", "moved", "tests/test_matrix_function.py"),
    Mutant(
        "curvature/interior.py",
        "self._products.n), block + missing",
        "self._products.n), block",
        "tests/test_interior_eigenvalues.py",
    ),
    Mutant("curvature/interior.py", "if doubt <= room:", "if True:", "tests/test_interior_eigenvalues.py"),
    Mutant("curvature/interior.py", "return 1, 1.0", "return 0, 0.0", "tests/test_interior_eigenvalues.py"),
    Mutant(
        "linalg/counting.py", "found = FAR * largest", "found = 0.1 * largest", "tests/test_interior_eigenvalues.py"
    ),
    Mutant(
        "curvature/interior.py",
        "left[picked[: self._k]] / mu[picked[: self._k]] ** 2",
        "0.0 * mu[:1]",
        "tests/test_interior_eigenvalues.py",
    ),
    Mutant("curvature/pencil.py", "(left + rounding)[order]", "rounding[order]", "tests/test_pencils.py"),
    Mutant("curvature/pencil.py", "np.abs(values) * metric.sizes(V)", "0.0", "tests/test_pencils.py"),
    Mutant("linalg/superlu.py", "moved[self._lu.perm_c] = w", "moved[:] = w", "tests/test_pencils.py"),
]
