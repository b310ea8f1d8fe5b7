"""Starts and minima of the 35 problems; digits beyond the sixth recomputed (see ``tests/test_optimize_collection.py``)."""

from __future__ import annotations

import numpy as np

from problems import mgh
from problems.problem import Problem


def counted(n: int) -> np.ndarray:
    """1, 2, .., n."""
    return np.arange(1.0, n + 1.0)


def boundary_start(n: int) -> np.ndarray:
    """t (t - 1) at the inner points of a grid."""
    t = counted(n) / (n + 1)
    return t * (t - 1.0)


MGH = [
    Problem("rosenbrock", mgh.rosenbrock, np.array([-1.2, 1.0]), (0.0,)),
    Problem("freudenstein-roth", mgh.freudenstein_roth, np.array([0.5, -2.0]), (0.0, 48.98425367924)),
    Problem("powell-badly-scaled", mgh.powell_badly_scaled, np.array([0.0, 1.0]), (0.0,)),
    Problem("brown-badly-scaled", mgh.brown_badly_scaled, np.array([1.0, 1.0]), (0.0,)),
    Problem("beale", mgh.beale, np.array([1.0, 1.0]), (0.0,)),
    Problem("jennrich-sampson", mgh.jennrich_sampson, np.array([0.3, 0.4]), (124.3621823556,)),
    Problem("helical-valley", mgh.helical_valley, np.array([-1.0, 0.0, 0.0]), (0.0,)),
    Problem("bard", mgh.bard, np.array([1.0, 1.0, 1.0]), (8.214877306579e-3,), infima=(17.4286,)),
    Problem("gaussian", mgh.gaussian, np.array([0.4, 1.0, 0.0]), (1.1279327696189e-8,)),
    Problem("meyer", mgh.meyer, np.array([0.02, 4000.0, 250.0]), (87.9458551707,)),
    Problem("gulf", mgh.gulf, np.array([5.0, 2.5, 0.15]), (0.0,)),
    Problem("box-3d", mgh.box3d, np.array([0.0, 10.0, 20.0]), (0.0,)),
    Problem("powell-singular", mgh.powell_singular, np.array([3.0, -1.0, 0.0, 1.0]), (0.0,)),
    Problem("wood", mgh.wood, np.array([-3.0, -1.0, -3.0, -1.0]), (0.0,)),
    Problem("kowalik-osborne", mgh.kowalik_osborne, np.array([0.25, 0.39, 0.415, 0.39]), (3.075056038492e-4,)),
    Problem("brown-dennis", mgh.brown_dennis, np.array([25.0, 5.0, -5.0, -1.0]), (85822.20162636,)),
    Problem("osborne-1", mgh.osborne1, np.array([0.5, 1.5, -1.0, 0.01, 0.02]), (5.464894697e-5,)),
    Problem("biggs-exp6", mgh.biggs_exp6, np.array([1.0, 2.0, 1.0, 1.0, 1.0, 1.0]), (0.0, 5.655649925e-3)),
    Problem(
        "osborne-2",
        mgh.osborne2,
        np.array([1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5]),
        (4.013773629354775e-2,),
    ),
    Problem("watson-6", mgh.watson, np.zeros(6), (2.287670053552e-3,)),
    Problem("watson-9", mgh.watson, np.zeros(9), (1.3997601381e-6,)),
    Problem("watson-12", mgh.watson, np.zeros(12), (4.7223811e-10,), flatness=1e-6),
    Problem("rosenbrock-10", mgh.rosenbrock, np.tile([-1.2, 1.0], 5), (0.0,)),
    Problem("powell-singular-20", mgh.powell_singular, np.tile([3.0, -1.0, 0.0, 1.0], 5), (0.0,)),
    Problem("penalty1-4", mgh.penalty1, counted(4), (2.249977500900e-5,), flatness=1e-6),
    Problem("penalty1-10", mgh.penalty1, counted(10), (7.08765146709e-5,), flatness=1e-6),
    Problem("penalty2-4", mgh.penalty2, np.full(4, 0.5), (9.376293007355e-6,), flatness=1e-6),
    Problem("penalty2-10", mgh.penalty2, np.full(10, 0.5), (2.9366053745675e-4,), flatness=1e-6),
    Problem("variably-dimensioned", mgh.variably_dimensioned, 1.0 - counted(10) / 10.0, (0.0,)),
    Problem("trigonometric", mgh.trigonometric, np.full(10, 0.1), (0.0, 2.79505612188e-5)),
    Problem("brown-almost-linear", mgh.brown_almost_linear, np.full(10, 0.5), (0.0, 1.0)),
    Problem("discrete-boundary-value", mgh.discrete_boundary_value, boundary_start(10), (0.0,)),
    Problem("discrete-integral-equation", mgh.discrete_integral_equation, boundary_start(10), (0.0,)),
    Problem("broyden-tridiagonal", mgh.broyden_tridiagonal, np.full(10, -1.0), (0.0,)),
    Problem("broyden-banded", mgh.broyden_banded, np.full(10, -1.0), (0.0,)),
    Problem("linear-full-rank", mgh.linear_full_rank, np.ones(10), (10.0,)),
    Problem("linear-rank1", mgh.linear_rank1, np.ones(10), (190.0 / 41.0,)),
    Problem("linear-rank1-zeros", mgh.linear_rank1_zeros, np.ones(10), (227.0 / 37.0,)),
    Problem("chebyquad-7", mgh.chebyquad, counted(7) / 8.0, (0.0,)),
    Problem("chebyquad-8", mgh.chebyquad, counted(8) / 9.0, (3.516873725677928e-3,)),
    Problem("chebyquad-10", mgh.chebyquad, counted(10) / 11.0, (4.772713696375e-3, 6.503954800882e-3)),
]
