"""Cox's partial likelihood, with ties by Breslow and Efron."""

from __future__ import annotations

import mpmath as mp
import numpy as np

from models.model import dot, model

rng = np.random.default_rng(14)
N = 45
X = np.column_stack([rng.normal(size=N), rng.integers(0, 2, N)]).astype(float)
# Whole weeks, so that many are tied.
TIME = np.ceil(6 * rng.exponential(np.exp(-X @ [0.6, -0.8]))).clip(1, 9)
SEEN = rng.uniform(size=N) < 0.75
COX = {"start": (0.0, 0.0), "at": (0.9, 0.4)}


def _cox(p, efron):
    total = 0
    risk = [mp.exp(dot(x, p)) for x in X.tolist()]
    for t in sorted(set(TIME[SEEN].tolist())):
        dead = np.flatnonzero(SEEN & (t == TIME))
        at_risk, tied = sum(risk[i] for i in np.flatnonzero(t <= TIME)), sum(risk[i] for i in dead)
        for k, i in enumerate(dead):
            total -= dot(X[i].tolist(), p) - mp.log(at_risk - (efron * tied * k / len(dead)))
    return total


@model("Cox, Breslow, by a matrix", exact=lambda p: _cox(p, 0), **COX)
def cox_breslow(b):
    eta = X @ b
    at_risk = TIME[None, :] >= TIME[:, None]
    return -np.sum((eta - np.log(at_risk @ np.exp(eta)))[SEEN])


@model("Cox, Breslow, by cumulative sums", exact=lambda p: _cox(p, 0), **COX)
def cox_cumulative(b):
    order = np.argsort(-TIME, kind="stable")
    time, eta = TIME[order], (X @ b)[order]
    log_risk = np.logaddexp.accumulate(eta)
    last = np.searchsorted(-time, -time, side="right") - 1
    return -np.sum((eta - log_risk[last])[SEEN[order]])


@model("Cox, Efron, by a loop", exact=lambda p: _cox(p, 1), **COX)
def cox_efron(b):
    eta = X @ b
    theta = np.exp(eta)
    total = 0.0
    for t in np.unique(TIME[SEEN]):
        dead = SEEN & (t == TIME)
        d = dead.sum()
        at_risk, tied = theta[t <= TIME].sum(), theta[dead].sum()
        total += eta[dead].sum() - np.sum(np.log(at_risk - np.arange(d) / d * tied))
    return -total
