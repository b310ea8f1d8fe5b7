"""Random programs in plain NumPy, whose derivatives are compared with JAX's and with differences of the plain function."""
