"""Linear algebra that solvers, operators and estimators share, on matrices and on products."""
