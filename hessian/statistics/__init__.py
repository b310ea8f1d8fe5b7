"""What an optimum says: covariances and standard errors, Laplace approximations, derived quantities, influence of examples."""

from hessian.statistics.class_prediction import ClassPrediction
from hessian.statistics.covariance import covariance, least_squares_covariance
from hessian.statistics.covariance_result import Covariance
from hessian.statistics.delta import DerivedQuantity, delta_method
from hessian.statistics.hypotheses import HypothesisTest, likelihood_ratio_test, wald_test
from hessian.statistics.influence import ExampleScores, influence, leverage
from hessian.statistics.information import WeakDirection
from hessian.statistics.intervals import ConfidenceIntervals
from hessian.statistics.laplace import laplace
from hessian.statistics.laplace_result import Laplace
from hessian.statistics.prediction import Prediction
from hessian.statistics.profile import Profile, profile
from hessian.statistics.summary import Summary
from hessian.statistics.tangent import constrained_covariance

__all__ = [
    "ClassPrediction",
    "ConfidenceIntervals",
    "Covariance",
    "DerivedQuantity",
    "ExampleScores",
    "HypothesisTest",
    "Laplace",
    "Prediction",
    "Profile",
    "Summary",
    "WeakDirection",
    "constrained_covariance",
    "covariance",
    "delta_method",
    "influence",
    "laplace",
    "least_squares_covariance",
    "leverage",
    "likelihood_ratio_test",
    "profile",
    "wald_test",
]


def __dir__() -> list[str]:
    return sorted(__all__)
