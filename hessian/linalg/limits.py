"""Orders up to which something is done densely, and numbers that are kept at most: all such limits, with their reasons.

A limit is read as ``limits.NAME`` where it is applied, so that it has one value everywhere.
"""

from __future__ import annotations

STEP_ORDER = 32
"""Variables up to which ``minimize`` takes a dense Hessian at every point by default. Measured on Rosenbrock chains and logistic
regressions of 1e3 to 2e4 rows: up to here it takes 0.1 to 1.6 times the time of truncated Newton, most where the
Hessian is ill-conditioned and ten times less work; at 64 variables and 2e4 rows it takes 3 times as long."""
LEAST_SQUARES_ORDER = 128
"""Variables up to which ``least_squares`` decomposes the Jacobian by default, which keeps twice the digits of products."""
SLSQP_ORDER = 100
"""Variables up to which constraints mean SLSQP by default: its dense subproblem costs n^3 per iteration."""
CHECK_ORDER = 64
"""Variables up to which a second-order check forms the matrix, and is certain. Norms of a Jacobian's columns are exact up to here,
because it is there for that check anyway."""
LATE_CHECK_ORDER = 512
"""Up to which it does so where the run has spent ten times as many products."""
KINK_ORDER = 32
"""Variables up to which slopes at a kink are looked at along each of them."""
JACOBI_ORDER = 256
"""Variables up to which a diagonal preconditioner is taken exactly, by n products in one batch."""
SOLVE_ORDER = 600
"""Order up to which a system is solved by a factorisation: it costs less than the products of an iteration."""
SPECTRUM_ORDER = 500
"""Order up to which all eigenvalues of a matrix take less time than many iterations, and a basis of the whole space is kept: then
iterations end after n products, where a crowd of eigenvalues at an end takes restarts many times that."""
MATRIX_ORDER = 2000
"""Order up to which a matrix that was given is diagonalised or factored where the eigenvalues inside are wanted: it takes seconds."""
VALUES_ORDER = 5000
"""The same where eigenvalues and a few eigenvectors are enough, for a density, counts of signs and a summary: 11 s on one core at
5000, and 0.6 GB beside the matrix. What takes no more is exact."""
SPARSE_ORDER = 256
"""Variables from which on an operator looks for a sparse pattern before it takes a product for each of them."""
SPARSE_SHARE = 8
"""Products that such a pattern must save, as a factor: looking for it costs some of them."""
FACTOR_COLORS = 128
"""Products that give a sparse Hessian up to which a run goes on with its factors by itself: a step by conjugate gradients takes
tens of them."""
DENSE_SHARE = 2
"""Share of numbers that are entries, as a divisor, from which on a matrix that is asked for sparse is called dense."""
COLORED_DENSE_ORDER = 64
"""Variables up to which a pattern that is more than half full is colored all the same: beyond, each has a color of its own."""
ALL_ORDERS_ENTRIES = 2 * 10**4
"""Entries of a pattern up to which it is colored in every order, for the fewest colors: each takes about a microsecond an entry."""
CUT_NUMBERS = 2**26
"""Numbers in the directions that values cut out of a pattern take, two of n numbers for each of their elements (0.5 GiB in float64)."""
WEAK_ROWS = 64
"""Rows of a sparse matrix that spoil its factor and are strengthened, to be put right as one of low rank."""
FACTOR_ORDER = 32
"""Order up to which a sparse matrix is factored densely."""
FACTOR_SHARE = 4
"""Share of numbers that are entries, as a divisor, from which on a sparse matrix of any order is factored densely."""
SANDWICH_ORDER = 1000
"""Order from which on the diagonal of a sandwich costs less by some twenty factors than by a solve for each parameter."""
BORDER_ROWS = 32
"""Dense rows that a banded matrix has at most beside its band: each takes a solution with the band."""
MATRIX_BYTES = 2**33
"""Memory of the largest dense matrix that is made without asking: more than most machines have to spare."""
REPORT_ORDER = 5000
"""Parameters up to which a finished training reports what takes a product per parameter: beyond, that would outlast the training,
and the matrix passes 200 MB."""
RITZ_ORDER = 32
"""Order of a tridiagonal matrix up to which all its eigenvalues are had as fast as one."""

BASIS_NUMBERS = 2**27
"""Numbers kept for a Krylov basis (1 GiB in float64)."""
RESIDUAL_NUMBERS = 2**26
"""Numbers kept of residuals that a slow decrease is analysed from (0.5 GiB in float64)."""
BLOCK_NUMBERS = 2**22
"""Numbers in a block of directions that are multiplied at once (32 MiB in float64)."""
CACHED_NUMBERS = 2**19
"""Numbers in a block of cotangents of all layers that is carried back at once (4 MiB in float64): eight times as many took 1.3 times as
long, a network of three layers on 1800 rows."""
SWEEP_NUMBERS = 2**14
"""Numbers in the largest array of a block of tangents that is swept plainly. 128 KiB of doubles stay below the size from which the C
allocator maps fresh pages for every array, which costs more than the arithmetic: twice as long a block took 1.5 to 4 times the
time on networks of 354 and 2410 parameters."""


def basis_rows(n: int, least: int) -> int:
    """Vectors of length n that a basis may hold, though never fewer than ``least``."""
    return max(least, BASIS_NUMBERS // max(n, 1))


def block_columns(n: int, numbers: int = BLOCK_NUMBERS) -> int:
    """Vectors of length n in a block, at least one."""
    return max(1, numbers // max(n, 1))
