"""Steps of random programs that make, change and use containers of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from random_operations import fixed

from differential.machines import KINDS


def made(m: Any, x: Any, y: Any, k: int) -> Any:
    """Return a container of two to four numbers: of x, of y, and plain ones."""
    items: list[Any] = [m.make(lambda xp, x: xp.ravel(x)[0] ** 2 if x.size else xp.sum(x), x), 1.5]
    items += [m.make(lambda xp, y: xp.tanh(xp.sum(y)), y), m.make(lambda xp, x: xp.sum(x) * 0.3, x)][: k // 7 % 3]
    items = items[::-1] if k % 2 else items
    return m.sequence(list(KINDS)[k % len(KINDS)], items)


def put(m: Any, s: Any, x: Any, k: int) -> None:
    """Change an entry of a list."""
    if m.decide(lambda s: isinstance(s, list), s):
        m.put(s, k % len(s), m.make(lambda xp, x: xp.sin(xp.sum(x)), x))


def _assigned(xp: Any, s: Any, z: Any) -> Any:
    if xp is not np:
        return s * z
    y = np.zeros_like(z)
    y[:] = s
    return y * z


def _in_place(xp: Any, s: Any, z: Any) -> Any:
    if xp is not np:
        return (z + s) * s
    y = z * 1.0
    y += s
    y *= s
    return y


def _at(xp: Any, s: Any, z: Any) -> Any:
    if xp is not np:
        return xp.zeros_like(z).at[-1].set(xp.sum(s)) + z
    y = np.zeros_like(z)
    np.add.at(y, [-1] * len(s), s)
    return y + z


#: ``f(xp, s, z)`` of a container s and an array z of as many numbers; in JAX the container is an array.
USES: list[Any] = [
    lambda xp, s, z: z + s,
    lambda xp, s, z: z * s - s / (2.0 + z * z) if xp is not np else z * s - np.divide(s, 2.0 + z * z),
    lambda xp, s, z: xp.add(s, z),
    lambda xp, s, z: xp.hypot(s, 1.5 + z * z),
    lambda xp, s, z: xp.where(z > 0.1, s, z),
    lambda xp, s, z: xp.where(xp.greater(z, s), z, s),
    lambda xp, s, z: xp.maximum(s, z),
    lambda xp, s, z: xp.dot(s, z),
    lambda xp, s, z: z @ s,
    lambda xp, s, z: xp.outer(s, z),
    lambda xp, s, z: xp.append(z, s),
    lambda xp, s, z: xp.concatenate([s, z[1:]]),
    lambda xp, s, z: xp.stack([z, s], axis=1),
    lambda xp, s, z: xp.vstack((s, z)),
    lambda xp, s, z: xp.hstack([z, s]) ** 2,
    lambda xp, s, z: xp.column_stack([s, z]),
    lambda xp, s, z: xp.einsum("i,j->ij", s, z),
    lambda xp, s, z: xp.linalg.solve(xp.diag(2.0 + z * z), s),
    lambda xp, s, z: xp.trapezoid(z, s),
    lambda xp, s, z: xp.average(z, weights=2.0 + xp.tanh(z * s)),
    lambda xp, s, z: xp.select([z > 0.1], [s], z),
    lambda xp, s, z: xp.full_like(z, s) if xp is np else s + 0.0 * z,
    lambda xp, s, z: xp.logaddexp(s, z),
    _assigned,
    _in_place,
    _at,
    lambda xp, s, z: sum(a * b for a, b in zip(s, z, strict=True)),
    lambda xp, s, z: sum(s) * z,
    lambda xp, s, z: s[0] * s[-1] + z,
    lambda xp, s, z: max(s) * z if xp is np else xp.max(s) * z,
    lambda xp, s, z: xp.sum(xp.multiply([2.0 * item for item in s] if xp is np else 2.0 * s, z)),
    lambda xp, s, z: xp.clip(z, -1.0, xp.add(s, z)),
    lambda xp, s, z: xp.cross(xp.add(s, z), z) if len(z) == 3 else xp.subtract(s, z),
    lambda xp, s, z: xp.broadcast_to(xp.multiply(s, z), (2, len(z))),
]


def used(m: Any, s: Any, x: Any, k: int) -> Any:
    """Use a container beside an array."""
    n = len(s)
    z = m.make(lambda xp, x: x + 0.0 if x.shape == (n,) else xp.sin(xp.sum(x)) + fixed((n,), k), x)
    return m.make(lambda xp, s, z: USES[k % len(USES)](xp, s, z), s, z)
