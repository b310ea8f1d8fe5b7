"""Another name of :mod:`hessian.scipy.special`."""

import sys

from hessian.scipy import special

sys.modules[__name__] = special
