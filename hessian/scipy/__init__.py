"""SciPy under SciPy's names: twins, which take traced values, of what does not dispatch, and SciPy's own objects for the rest."""

from hessian.scipy.mirror import mirrored

__getattr__, __dir__ = mirrored(__name__)
