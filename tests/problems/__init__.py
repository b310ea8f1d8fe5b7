"""Test problems for the solvers: plain NumPy functions with the starts and minima of the literature."""
