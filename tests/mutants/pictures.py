"""Mutants of what pictures draw, leave out and say, and of the summaries beside them."""

from __future__ import annotations

from mutants.mutant import Mutant

_PICTURES = "tests/test_pictures_hostile.py tests/test_plotting.py"
_DENSITIES = "tests/test_density_pictures.py tests/test_pictures_hostile.py"
_ZEROS = "tests/test_curvature_zeros.py"

PICTURES = [
    Mutant("plotting/canvas.py", "(0.0 < largest < _LEAST and not log)", "False", _PICTURES),
    Mutant("plotting/canvas.py", "largest > _MOST or", "", _PICTURES),
    Mutant("plotting/canvas.py", "if finite and not np.isfinite(row).all():", "if False:", _PICTURES),
    Mutant(
        "plotting/canvas.py",
        "(line for line in text.splitlines() if line not in lines)",
        "text.splitlines()",
        _DENSITIES,
    ),
    Mutant("plotting/canvas.py", "several if ax.get_title() else text", "text", _PICTURES),
    Mutant("plotting/canvas.py", 'if row.dtype.kind not in "biuf":', "if False:", _PICTURES),
    Mutant("plotting/spectrum.py", "alive = np.abs(values) > cut", "alive = np.abs(values) >= 0.0", _PICTURES),
    Mutant("plotting/spectrum.py", "else scale, values[alive])", "else scale, values)", _PICTURES),
    Mutant(
        "plotting/spectrum.py",
        "np.where(np.isfinite(errors), errors, np.inf)",
        "np.where(np.isfinite(errors), errors, 0.0)",
        _PICTURES,
    ),
    Mutant("plotting/spectrum.py", "np.asarray(ranks)[order], f", "np.arange(1, len(order) + 1), f", _PICTURES),
    Mutant("plotting/spectrum.py", "np.log(rank) - np.log(n + 1.0 - rank)", "np.log(rank)", _PICTURES),
    Mutant("plotting/spectrum.py", "alive &= ~within", "pass", _PICTURES),
    Mutant(
        "plotting/density.py",
        "if marks.min() < ax.get_xlim()[0] or marks.max() > ax.get_xlim()[1]:",
        "if False:",
        _DENSITIES,
    ),
    Mutant("plotting/density.py", "None if is_first else ax.get_xlim())", "None)", _DENSITIES),
    Mutant("plotting/density.py", "alive = np.abs(marks) > zero_below", "alive = np.abs(marks) >= 0.0", _DENSITIES),
    Mutant("plotting/density.py", "bottom if is_first else min(bottom, ends[0])", "0.5 * bottom", _DENSITIES),
    Mutant("plotting/convergence.py", "above > _ROUNDING * abs(lowest)", "above > 0.0", _PICTURES),
    Mutant(
        "plotting/convergence.py", '"n_hvp" if getattr(history[-1], "n_hvp", 0) else "iteration"', '"n_hvp"', _PICTURES
    ),
    Mutant("plotting/convergence.py", "absent[key].append(name)", "pass", _PICTURES),
    Mutant("plotting/convergence.py", '"o" if len(history) <= _DOTS else ""', '""', _PICTURES),
    Mutant("plotting/alignment.py", "[min(error, max(1.0 - total, 0.0))]", "[error / 2.0]", _PICTURES),
    Mutant("plotting/sharpness.py", "reach = 2.0 *", "reach =", _PICTURES),
    Mutant("plotting/sharpness.py", "bottom if is_first else min(bottom, ax.get_ylim()[0])", "bottom", _PICTURES),
    Mutant(
        "plotting/slices.py",
        "ax.set_ylim(min(low, before[0]), max(high, before[1]))",
        "ax.set_ylim(low, high)",
        _PICTURES,
    ),
    Mutant("plotting/slices.py", "return max(3, min(15, 1 +", "return min(3, min(15, 1 +", _PICTURES),
    Mutant("plotting/layers.py", "if not bounded.all():", "if False:", _PICTURES),
    Mutant("plotting/estimates.py", "if not bounded.all():", "if False:", _PICTURES),
    Mutant("plotting/paths.py", "int(np.sum(finite & ~inside))", "0", _PICTURES),
    Mutant("plotting/sparsity.py", "if step > 1:", "if False:", _PICTURES),
    Mutant(
        "curvature/density_view.py", "alive = np.abs(nodes) > of.zero_below", "alive = np.abs(nodes) >= 0.0", _DENSITIES
    ),
    Mutant(
        "curvature/density_view.py",
        "sources = (at, 2.0 * ends[0] - at, 2.0 * ends[1] - at)",
        "sources = (at,)",
        _DENSITIES,
    ),
    Mutant("curvature/density_view.py", "max(_SHARE * span, _LEAST)", "_LEAST", _DENSITIES),
    Mutant("curvature/density.py", "low = max(low, min(lower_bound, float(seen.min())))", "", _DENSITIES),
    Mutant("curvature/eigenpairs.py", "np.arange(k - below, 0, -1)", "np.arange(1, k - below + 1)", _PICTURES),
    Mutant(
        "curvature/products.py",
        "return max(self.rounding(size), self.floor)",
        "return self.rounding(size)",
        _ZEROS,
    ),
    Mutant("curvature/inertia.py", "in_doubt = int(np.sum((sizes > cut) & (sizes <= reach)))", "in_doubt = 0", _ZEROS),
    Mutant("curvature/inertia.py", "if products.floor > STATIONARY * scale > 0.0:", "if False:", _ZEROS),
    Mutant("curvature/products.py", "count(max_hvp) <= max_hvp", "True", _ZEROS),
    Mutant("curvature/products.py", "self.n if count is None else count(0)", "self.n", _ZEROS),
    Mutant("curvature/summary.py", "vectors, left + rounding,", "vectors, left,", _ZEROS),
    Mutant("curvature/summary.py", "found = [note for note in [self.inertia.doubt()] if note]", "found = []", _ZEROS),
    Mutant("linalg/dense.py", "for j in range(len(tau) - 1, -1, -1):", "for j in range(len(tau)):", _ZEROS),
]
"""Faults put into the package by hand, each of which some test must see."""
