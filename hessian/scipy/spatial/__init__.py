"""scipy.spatial: twins in :mod:`hessian.scipy.spatial.distance`."""

from hessian.scipy.mirror import mirrored

__getattr__, __dir__ = mirrored(__name__)
