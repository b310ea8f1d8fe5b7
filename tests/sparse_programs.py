"""Random functions of vectors with data among their arguments: masks, weights, positions, matrices, that change from call to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hessian as hs

Data = dict[str, Any]
Step = Callable[[Any, Data, int], Any]
N = 8
#: Values of more elements are dropped.
LARGEST = 60


def _written(x: Any, d: Data, k: int) -> Any:
    y = x * 1.0
    if k % 3 == 0:
        at = np.unique(d["at"] % len(y))
        y[at] += np.sin(x[: len(at)])
    elif k % 3 == 1:
        np.add.at(y, d["at"] % len(y), d["weights"] * x[d["at"] % len(y)] ** 2)
    else:
        y[1:] *= y[:-1]
    return y


def _scanned(x: Any, d: Data, k: int) -> Any:
    h, out = 0.0, []
    for t in range(len(x)):
        h = [lambda h, v: 0.5 * h + v, lambda h, v: np.tanh(h) * v + v, lambda h, v: v if k % 2 else h * v + 1.0][
            k % 3
        ](h, x[t])
        out.append(h)
    return np.stack(out)


def _in_rows(x: Any, d: Data, k: int) -> Any:
    if len(x) < 2:
        return x * x
    rows = x[: len(x) // 2 * 2].reshape((2, -1), order="CF"[k % 2]).copy()
    for i, row in enumerate(rows):
        row *= 0.5 + i
        row[:1] = rows[i - 1, -1] * row[0]
    return rows.T.ravel() if k % 3 else rows.sum(axis=k // 3 % 2)


def _branched(x: Any, d: Data, k: int) -> Any:
    if k % 3 == 0:
        return x**3 if x[0] > 0 else x[::-1] * x
    if k % 3 == 1:
        return np.sum(x) * x if np.any(x > 0.8) else x
    return np.sin(x) if d["flag"] else np.cumsum(x) ** 2


STEPS: list[Step] = [
    lambda x, d, k: [np.sin(x), x * x, np.exp(0.3 * x), 1 / (2 + x * x), x**4, np.sqrt(1 + x * x)][k % 6],
    lambda x, d, k: [x[::-1] * x, x[1:] * x[:-1], np.hypot(x, 2 + x[::-1]), np.arctan2(x, 2 + x[::-1] ** 2)][k % 4],
    lambda x, d, k: x[d["at"] % len(x)] * x[d["at"][::-1] % len(x)],
    lambda x, d, k: np.where(np.resize(d["mask"], len(x)), x, x[::-1] ** 2),
    lambda x, d, k: x * np.resize(d["weights"], len(x)),
    lambda x, d, k: np.resize(d["matrix"], (3, len(x))) @ x,
    lambda x, d, k: x ** d["power"],
    lambda x, d, k: x[: d["power"]],
    lambda x, d, k: [np.sort(x), x[np.argsort(x)[:3]] * x[np.argmax(x)], np.take_along_axis(x, np.argsort(x), 0)][
        k % 3
    ],
    lambda x, d, k: [np.cumsum(x), np.cumprod(1 + 0.2 * x), np.logaddexp.accumulate(x), np.maximum.accumulate(x)][
        k % 4
    ],
    lambda x, d, k: [np.where(x > 0.2, x**3, x), np.clip(x, -0.5, 0.6) * x, np.abs(x) * x, np.maximum(x, x[::-1])][
        k % 4
    ],
    lambda x, d, k: [np.convolve(x, [1.0, -2.0, 1.0], "same")[: len(x)], np.pad(x, (1, 2)), np.roll(x, 1) * x][k % 3],
    lambda x, d, k: np.abs(np.fft.rfft(x)) ** 2 if k % 2 else np.outer(x[:3], x[-3:]).ravel(),
    lambda x, d, k: np.linalg.solve(np.diag(3 + x * x) + np.eye(len(x), k=1), x),
    lambda x, d, k: hs.checkpoint(lambda t, u: np.cumsum(t) * u)(x, x[::-1]),
    lambda x, d, k: np.append(x, [np.prod(x), np.var(x), np.linalg.norm(x + 3), np.dot(x, x)][k % 4]),
    _written,
    _scanned,
    _in_rows,
    _branched,
]


def function(seed: int) -> Callable[[Any, Data], Any]:
    """Return a scalar function of a vector and data."""

    def f(x: Any, d: Data) -> Any:
        rng, values = np.random.default_rng([5, seed]), [x]
        for _ in range(int(rng.integers(2, 7))):
            step, on, k = (int(i) for i in rng.integers([len(STEPS), len(values), 24]))
            made = STEPS[step](values[on], d, k)
            if 0 < made.size <= LARGEST:
                values.append(made)
        last = [values[-1], values[-2]]
        signs = [np.random.default_rng([seed, v.size]).standard_normal(v.shape) for v in last]
        return np.sum(signs[0] * np.sin(last[0])) + np.sum(signs[1] * last[1] * last[1])

    return f


def data(seed: int, which: int) -> Data:
    """Return what changes from call to call."""
    rng = np.random.default_rng([6, seed, which])
    return {
        "at": rng.permutation(20)[:4],
        "mask": rng.random(5) > 0.5,
        "weights": rng.standard_normal(4) * (rng.random(4) > 0.4),
        "matrix": rng.standard_normal((3, 3)) * (rng.random((3, 3)) > 0.6),
        "power": int(rng.integers(1, 4)),
        "flag": bool(rng.random() > 0.5),
    }


def points(seed: int) -> list[np.ndarray]:
    """Return points, one where derivatives vanish."""
    drawn = [0.8 * np.random.default_rng([7, seed, k]).standard_normal(N) for k in range(3)]
    return [*drawn, np.zeros(N), drawn[0]]
