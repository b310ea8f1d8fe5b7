"""Functions of scipy.special that cannot dispatch on traced values, as twins that can."""

from hessian.rules.special import log_softmax, logsumexp, polygamma, softmax

__all__ = ["log_softmax", "logsumexp", "polygamma", "softmax"]
