"""scipy.sparse: its matrices let traced vectors in by themselves; twins in :mod:`hessian.scipy.sparse.linalg`."""

from hessian.scipy.mirror import mirrored

__getattr__, __dir__ = mirrored(__name__)
