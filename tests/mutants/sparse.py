"""Mutants of patterns, colorings and what is read off products."""

from __future__ import annotations

from mutants.mutant import Mutant

_PATTERN = "tests/test_sparse_pattern.py"
_COLORING = "tests/test_sparse_coloring.py"
_MATRICES = "tests/test_sparse_matrices.py"
_ENTRIES = "tests/test_sparse_entries.py"
_LOW_RANK = "tests/test_sparse_low_rank.py"
_SELECTED = "tests/test_selected_inverse.py"
_STATISTICS = "tests/test_sparse_statistics.py"
_OPERATORS = "tests/test_sparse_operators.py"

SPARSE = [
    Mutant("linalg/selected.py", "behind = found[0]", "behind = found[-1]", _SELECTED),
    Mutant("linalg/selected.py", "corner = corner + beside @ across.T", "pass", _SELECTED),
    Mutant(
        "linalg/sum_factor.py",
        "found[at] = self.inverse_columns(at)[at, np.arange(len(at))]",
        "found[at] = 0.0",
        _SELECTED,
    ),
    Mutant(
        "statistics/spread.py", "found[self._free] = (rows.T / self._scale).T", "found[self._free] = rows", _STATISTICS
    ),
    Mutant("statistics/sparse_information.py", "if value < WEAK and error <= _KNOWN * value", "", _STATISTICS),
    Mutant("sparse/glance.py", "share = np.count_nonzero(other) / np.size(other)", "share = 1.0", _OPERATORS),
    Mutant("sparse/detect.py", "beside = csr_array(outer.matrix @ jacobian)", "beside = jacobian", _OPERATORS),
    Mutant("sparse/links.py", "goals >= 0 if mask is None else (goals >= 0) & mask[goals]", "goals >= 0", _PATTERN),
    Mutant("sparse/links.py", "return [(0, 1)] if len(active) > 1 else []", "return []", _PATTERN),
    Mutant("sparse/links.py", "self.is_volatile |= read and not self.constant[p]", "pass", _PATTERN),
    Mutant("sparse/sets.py", "np.maximum(a.rows, b.rows)), axis=1)", "np.minimum(a.rows, b.rows)), axis=1)", _PATTERN),
    Mutant("sparse/sets.py", "keep = (groups >= 0) & (sets.rows >= 0)", "keep = groups > 0", _PATTERN),
    Mutant("sparse/meetings.py", "both = (a.rows >= 0) & (b.rows >= 0)", "both = a.rows >= 0", _PATTERN),
    Mutant(
        "sparse/meetings.py", "whole = csr_array(half + half.T.tocsr() + diagonal)", "whole = half + diagonal", _PATTERN
    ),
    Mutant("sparse/walk.py", "known | reached", "known & reached", _PATTERN),
    Mutant("sparse/coloring.py", "banned |= seen[w] if twice >> color[w] & 1 else hubs[w]", "pass", _COLORING),
    Mutant("sparse/coloring.py", "hubs[first[w * n + c]] |= 1 << theirs", "pass", _COLORING),
    Mutant("sparse/coloring.py", "needed[b] = True", "pass", _COLORING),
    Mutant("sparse/columns.py", "seen[r] |= bit", "seen[r] = bit", _COLORING),
    Mutant("sparse/acyclic.py", "parent[root(tree)] = root(known)", "pass", _COLORING),
    Mutant("sparse/acyclic.py", "absolute.data[absolute.indices != rows_of(absolute)] = -1.0", "pass", _COLORING),
    Mutant(
        "sparse/decompress.py", "return np.where(rows > matrix.indices, at[other], at)", "return at[other]", _PATTERN
    ),
    Mutant("sparse/decompress.py", "self._rows.copy()", "self._rows", _MATRICES),
    Mutant(
        "sparse/functions.py", "(None if is_volatile else structure, structure)", "(structure, structure)", _PATTERN
    ),
    Mutant(
        "sparse/terms.py", "found = self._starts[rows[which]] + within", "found = self._starts[rows[which]]", _ENTRIES
    ),
    Mutant(
        "sparse/terms.py", "return beside if np.array_equal(beside[at], other) else None", "return beside", _ENTRIES
    ),
    Mutant("sparse/terms.py", "if np.array_equal(there[wanted], beside[wanted]):", "if True:", _ENTRIES),
    Mutant("sparse/entries.py", "self._mirrors <= np.arange", "self._mirrors >= np.arange", _ENTRIES),
    Mutant("sparse/entries.py", "inside = term.rows <= term.cols", "inside = term.rows < term.cols", _ENTRIES),
    Mutant("sparse/placement.py", "None if held[0] else constant", "constant", _ENTRIES),
    Mutant("sparse/functions.py", "if _reproduces(matrix, seen, compiled.coarse):", "if True:", _ENTRIES),
    Mutant(
        "programs/runtime/recorded.py",
        "if due and run.finite:",
        "if self._is_due(specialization) and run.finite:",
        _ENTRIES,
    ),
    Mutant("sparse/split.py", "jacobian[k] += nested[k, :k] @ jacobian[:k]", "pass", _LOW_RANK),
    Mutant("sparse/split.py", "if not is_finite or parts.uses & (parts.uses - 1) == 0:", "if False:", _LOW_RANK),
    Mutant("sparse/split.py", "checkpoints.met and bool(traced.tape.guards)", "False", _LOW_RANK),
    Mutant("sparse/links.py", "and all(self.constant[q] for q in met)", "", _PATTERN),
    Mutant("sparse/split.py", "parts, not is_volatile", "parts, True", _LOW_RANK),
    Mutant("sparse/replay.py", "if s >= 0 else around[x._slot] if _is_outer(x) else x", "if s >= 0 else x", _LOW_RANK),
    Mutant("sparse/low_rank.py", "(self._by_parts, self._as_a_whole)", "(self._by_parts,)", _LOW_RANK),
    Mutant("sparse/low_rank.py", "y is not None and _largest(y)[-1] < 0.01 / _EPS", "y is not None", _LOW_RANK),
    Mutant("sparse/low_rank.py", "keep = np.abs(values) > ", "keep = np.abs(values) >= 0.0 * ", _LOW_RANK),
]
