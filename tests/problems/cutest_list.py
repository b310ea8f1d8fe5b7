"""Some 80 unconstrained problems of CUTEst: sizes, starts, and the values recomputed at those sizes."""

from __future__ import annotations

from functools import partial

import numpy as np

from problems import cutest_chains as chains
from problems import cutest_dense as dense
from problems import cutest_waves as waves
from problems import mgh, toint
from problems.mgh_list import boundary_start, counted
from problems.problem import Problem

#: Known values at n = 96, the default.
CURLY = (-9630.3638631678, -9628.4664967199)
NONCVX = (222.41360829967,)


def first(n: int, rest: float, *heads: float) -> np.ndarray:
    """A start that is the same but for its first entries."""
    start = np.full(n, rest)
    start[: len(heads)] = heads
    return start


def alternating(n: int, odd: float, even: float) -> np.ndarray:
    """A start of two numbers in turn."""
    return np.where(np.arange(n) % 2, even, odd).astype(float)


def root_start(p: int, is_b: bool) -> tuple[np.ndarray, np.ndarray]:
    """The wanted root of MSQRTALS or MSQRTBLS, and the start."""
    sines = dense.sine_matrix(p)
    root = sines.copy()
    if is_b:
        root[2, 0] = 0.0
    return root, (root - 0.8 * sines).ravel()


def dixmaans(n: int) -> list[Problem]:
    """The sixteen of the family."""
    weights = [(1.0, 0.0, 0.125, 0.125), (1.0, *[0.0625] * 3), (1.0, *[0.125] * 3), (1.0, *[0.26] * 3)]
    powers = [(0, 0, 0, 0), (1, 0, 0, 1), (2, 0, 0, 2), (2, 1, 1, 2)]
    names = iter("ABCDEFGHIJKLMNOP")
    return [
        Problem(f"DIXMAAN{next(names)}", partial(chains.dixmaan, weights=w, powers=p), np.full(n, 2.0), (1.0,))
        for p in powers
        for w in weights
    ]


def eigen_start(p: int) -> np.ndarray:
    """Eigenvalues one, eigenvectors of the identity."""
    return np.concatenate([np.ones(p), np.eye(p).ravel()])


def chain_problems(n: int) -> list[Problem]:
    """Problems of few neighbours each, at about n variables (a multiple of 12)."""
    return [
        Problem("ARWHEAD", chains.arwhead, np.ones(n), (0.0,)),
        Problem("BDQRTIC", chains.bdqrtic, np.ones(n), (362.74675288083,)),
        Problem("BROYDN7D", chains.broydn7d, np.full(n, -1.0), (), has_many_minima=True),
        Problem("BRYBND", mgh.broyden_banded, np.full(n, -1.0), (0.0,)),
        Problem("SBRYBND", chains.sbrybnd, np.exp(-6.0 * np.arange(12) / 11.0), (0.0, 2.6800296008632)),
        Problem("CHAINWOO", chains.chainwoo, first(n, -2.0, -3.0, -1.0, -3.0, -1.0), (1.0,), has_many_minima=True),
        Problem("CHNROSNB", chains.chnrosnb, np.full(n, -1.0), (0.0,)),
        Problem("CRAGGLVY", chains.cragglvy, first(n, 2.0, 1.0), (30.91811929674, 33.955997125)),
        Problem("CUBE", chains.cube, alternating(2, -1.2, 1.0), (0.0,)),
        Problem("DIXON3DQ", chains.dixon3dq, np.full(n, -1.0), (0.0,)),
        Problem("DQDRTIC", chains.dqdrtic, np.full(n, 3.0), (0.0,)),
        Problem("DQRTIC", chains.dqrtic, np.full(n, 2.0), (0.0,), flatness=1e-07),
        Problem("EDENSCH", chains.edensch, np.zeros(n), (579.28459202076,)),
        Problem("ENGVAL1", chains.engval1, np.full(n, 2.0), (104.64766244246,)),
        Problem("ERRINROS", chains.errinros, np.full(n, -1.0), (74.613385108079,)),
        Problem("EXTROSNB", chains.extrosnb, np.full(n, -1.0), (0.0,), flatness=1e-06, is_hard=True),
        Problem("FLETCBV2", chains.fletcbv2, counted(n) / (n + 1.0), (-0.51457691975969,)),
        Problem("FLETCHCR", chains.fletchcr, np.zeros(n), (0.0,)),
        Problem("FREUROTH", chains.freuroth, first(n, 0.0, 0.5, -2.0), (11477.887869717,)),
        Problem("GENROSE", chains.genrose, counted(n) / (n + 1.0), (1.0,)),
        Problem("LIARWHD", chains.liarwhd, np.full(n, 4.0), (0.0,)),
        Problem("MOREBV", chains.morebv, boundary_start(n), (0.0,)),
        Problem("NONDIA", chains.nondia, np.full(n, -1.0), (0.0,)),
        Problem("NONDQUAR", chains.nondquar, alternating(n, 1.0, -1.0), (0.0,), flatness=1e-06),
        Problem("POWELLSG", mgh.powell_singular, np.tile([3.0, -1.0, 0.0, 1.0], n // 4), (0.0,)),
        Problem("SINQUAD", chains.sinquad, np.full(n, 0.1), (0.0,), flatness=1e-06),
        Problem("SROSENBR", mgh.rosenbrock, alternating(n, -1.2, 1.0), (0.0,)),
        Problem("TOINTGSS", chains.tointgss, np.full(n, 3.0), tuple(10.0 + 10.0 * k / (n - 2) for k in range(9))),
        Problem("TQUARTIC", chains.tquartic, np.full(n, 0.1), (0.0,)),
        Problem("TRIDIA", chains.tridia, np.ones(n), (0.0,)),
        Problem("WOODS", mgh.wood, np.tile([-3.0, -1.0], n // 2), (0.0,)),
        *dixmaans(n),
    ]


def wave_problems(n: int) -> list[Problem]:
    """Problems with waves and many minima, and small ones."""
    small = [
        Problem("CLIFF", waves.cliff, np.array([0.0, -1.0]), (0.19978661367769956,)),
        Problem("DENSCHNA", waves.denschna, np.ones(2), (0.0,)),
        Problem("DENSCHNB", waves.denschnb, np.ones(2), (0.0,)),
        Problem("DENSCHNC", waves.denschnc, np.array([2.0, 3.0]), (0.0, 0.18336165467812)),
        Problem("DENSCHND", waves.denschnd, np.full(3, 10.0), (0.0,)),
        Problem("DENSCHNE", waves.denschne, np.array([2.0, 3.0, -8.0]), (0.0,), infima=(1.0,)),
        Problem("DENSCHNF", waves.denschnf, np.array([2.0, 0.0]), (0.0,)),
        Problem("ENGVAL2", waves.engval2, np.array([1.0, 2.0, 0.0]), (0.0,)),
        Problem("HIMMELBG", waves.himmelbg, np.full(2, 0.5), (0.0,)),
        Problem("HIMMELBH", waves.himmelbh, np.array([0.0, 2.0]), (-1.0,)),
        Problem("HUMPS", waves.humps, np.array([-506.0, -506.2]), (0.0,), has_many_minima=True, is_hard=True),
        Problem("OSCIPATH", waves.oscipath, first(5, 1.0, -1.0), (0.0,), is_hard=True),
        Problem("SISSER", waves.sisser, np.array([1.0, 0.1]), (0.0,)),
        Problem("SNAIL", waves.snail, np.full(2, 10.0), (0.0,)),
    ]
    return [
        *small,
        Problem("COSINE", waves.cosine, np.ones(n), (1.0 - n,)),
        *[
            Problem(f"CURLY{b}", partial(waves.curly, band=b), 1e-4 * counted(n) / (n + 1), CURLY, has_many_minima=True)
            for b in (10, 20, 30)
        ],
        Problem("EG2", waves.eg2, np.zeros(n), (-94.947403121697,), has_many_minima=True),
        Problem("GENHUMPS", waves.genhumps, first(5, -506.2, -506.0), (0.0,), has_many_minima=True, is_hard=True),
        Problem("INDEF", waves.indef, counted(n) / (n + 1.0), is_unbounded=True),
        Problem("INDEFM", waves.indefm, counted(n) / (n + 1.0), (), has_many_minima=True),
        Problem("NCB20", waves.ncb20, np.where(np.arange(n) < n - 10, 0.0, 1.0), (), has_many_minima=True),
        Problem("NCB20B", waves.ncb20b, np.zeros(n), (188.99775735494, 188.99775864398), has_many_minima=True),
        Problem(
            "NONCVXU2",
            partial(waves.noncvx, first=3, second=7, shifts=(2, 3)),
            counted(n),
            NONCVX,
            has_many_minima=True,
        ),
        Problem(
            "NONCVXUN",
            partial(waves.noncvx, first=2, second=3, shifts=(1, 1)),
            counted(n),
            NONCVX,
            has_many_minima=True,
        ),
        Problem("SCHMVETT", waves.schmvett, np.full(n, 0.5), (-3.0 * (n - 2),)),
        Problem("SENSORS", waves.sensors, counted(20) / 20.0, (), has_many_minima=True),
        Problem("SPARSINE", waves.sparsine, np.full(n // 2, 0.5), (0.0,), has_many_minima=True),
        Problem("SPARSQUR", waves.sparsqur, np.full(n, 0.5), (0.0,)),
    ]


def dense_problems(n: int) -> list[Problem]:
    """Problems that couple all variables."""
    root_a, start_a = root_start(7, False)
    root_b, start_b = root_start(7, True)
    spread = 2.0 * np.eye(4) - np.eye(4, k=1) - np.eye(4, k=-1)
    return [
        Problem("BROWNAL", mgh.brown_almost_linear, np.full(20, 0.5), (0.0, 1.0)),
        Problem(
            "DECONVU",
            dense.deconvu,
            np.concatenate([np.zeros(40), dense.SIGNAL]),
            (0.0,),
            has_many_minima=True,
            is_hard=True,
        ),
        Problem("EIGENALS", partial(dense.eigena, matrix=np.diag([1.0, 2.0, 3.0, 4.0])), eigen_start(4), (0.0,)),
        Problem("EIGENBLS", partial(dense.eigena, matrix=spread), eigen_start(4), (0.0, 0.309376963509)),
        Problem("FMINSRF2", partial(dense.minimal_surface, is_mean=False), dense.surface_start(8), (1.0,)),
        Problem("FMINSURF", partial(dense.minimal_surface, is_mean=True), dense.surface_start(8), (1.0,)),
        Problem("HILBERTA", partial(dense.hilbert, shift=0.0), np.full(10, 1.0), (0.0,)),
        Problem("HILBERTB", partial(dense.hilbert, shift=5.0), np.full(10, -3.0), (0.0,)),
        Problem("MANCINO", dense.mancino, dense.mancino_start(30), (0.0,)),
        Problem("MSQRTALS", partial(dense.msqrt, root=root_a), start_a, (0.0,)),
        Problem("MSQRTBLS", partial(dense.msqrt, root=root_b), start_b, (0.0,)),
        Problem("PALMER1C", dense.palmer, np.ones(8), (9.759799126e-2,), flatness=1e-07),
        Problem("PALMER1D", dense.palmer, np.ones(7), (0.652682594374,)),
        Problem("PENALTY3", dense.penalty3, counted(50) / 51.0, (1.0,)),
        Problem("POWER", dense.power, np.ones(n), (0.0,)),
        Problem("SPMSRTLS", dense.spmsrtls, 0.2 * np.sin(counted(100)), (0.0,), has_many_minima=True),
        Problem("TESTQUAD", dense.testquad, np.ones(n), (0.0,)),
        Problem("TOINTGOR", toint.tointgor, np.zeros(50), (1373.9054606636,)),
        Problem("TOINTPSP", toint.tointpsp, np.zeros(50), (225.56040942189,)),
        Problem("TOINTQOR", toint.tointqor, np.zeros(50), (1175.4722221462,)),
        Problem("VARDIM", mgh.variably_dimensioned, 1.0 - counted(n) / n, (0.0,)),
        Problem("VAREIGVL", dense.vareigvl, first(20, 1.0), (0.0,)),
        Problem("YFITU", dense.yfitu, np.array([0.6, -0.6, 20.0]), (6.6697205e-13,), flatness=0.001),
        Problem("ZANGWIL2", dense.zangwil2, np.array([3.0, 8.0]), (-18.2,)),
    ]


def collection(n: int = 96) -> list[Problem]:
    """Build all of them at about n variables; values that depend on n are stated for 96."""
    return [*chain_problems(n), *wave_problems(n), *dense_problems(n)]


CUTEST = collection()
