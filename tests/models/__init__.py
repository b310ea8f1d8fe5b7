"""Models as statisticians write them in plain NumPy, each with a reference in mpmath's numbers and, where there is one, in statsmodels."""
