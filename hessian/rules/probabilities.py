"""Distribution functions of scipy.special as incomplete gamma and beta functions, and inverses by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special as sc

from hessian.rules.dispatch import DISPATCH, elementwise
from hessian.rules.incomplete import AT_ENDS, DOUBLE, beta_density_op, beta_shapes, gamma_density_op, gamma_shape, like
from hessian.rules.samples import A, Accuracy, Case, case
from hessian.rules.spec import MISSING, NONDIFF, Elementwise

_SHAPE, _UNIT = (0.6, 4.0), (0.1, 0.9)


def _gamma_like(
    ufunc: Any, sign: float, shape: Callable[..., Any], x: Callable[..., Any], slopes: Sequence[Any], **row: Any
) -> Elementwise:
    """Declare sign * P(shape, x), both of the ufunc's arguments; ``slopes`` has per argument (d shape, d x) or a state."""

    def partial(entry: Any) -> Any:
        if not callable(entry):
            return entry

        def of(y: Any, *xs: Any) -> Any:
            xs = tuple([v + DOUBLE for v in xs])
            along_shape, along_x = entry(*xs)
            a, t = shape(*xs), x(*xs)
            total = along_x * gamma_density_op(a, t)
            if along_shape is not None:
                total = total + along_shape * gamma_shape(a, t)
            return like(y, sign * total)

        return of

    return elementwise(ufunc, d1=[partial(entry) for entry in slopes], d2=None, real_only=True, kinks=AT_ENDS, **row)


def _beta_like(ufunc: Any, sign: float, shapes: Callable[..., Any], slopes: Sequence[Any], **row: Any) -> Elementwise:
    """Declare sign * I_x(a, b) for (a, b, x), or (a, b, x, 1 - x), = ``shapes`` of the ufunc's arguments.

    ``slopes`` has (d a, d b, d x) per argument, or a state.
    """

    def partial(entry: Any) -> Any:
        if not callable(entry):
            return entry

        def of(y: Any, *xs: Any) -> Any:
            xs = tuple([v + DOUBLE for v in xs])
            a, b, x, *rest = shapes(*xs)
            along_a, along_b, along_x = entry(*xs)
            total = 0.0 if along_x is None else along_x * beta_density_op(a, b, x)
            if along_a is not None or along_b is not None:
                by_a, by_b = beta_shapes(a, b, x, *rest)
                for along, by in ((along_a, by_a), (along_b, by_b)):
                    total = total if along is None else total + along * by
            return like(y, sign * total)

        return of

    return elementwise(ufunc, d1=[partial(entry) for entry in slopes], d2=None, real_only=True, kinks=AT_ENDS, **row)


def _gammas(*domains: Any) -> dict[str, Any]:
    return {"domain": list(domains), "cases": [Case(tuple(A(4) for _ in domains))]}


# The reference of a distribution function says what it is made of; its accuracy is theirs.
_P = "scipy.special.gammainc"
_I = "scipy.special.betainc"
for _ufunc, _sign, _name in ((sc.chdtr, 1.0, "gammainc"), (sc.chdtrc, -1.0, "gammaincc")):
    _gamma_like(
        _ufunc,
        _sign,
        lambda v, x: 0.5 * v,
        lambda v, x: 0.5 * x,
        [lambda v, x: (0.5, 0.0), lambda v, x: (None, 0.5)],
        reference=f"v, x: {_name}(v / 2, x / 2)",
        accuracy=Accuracy(1e-11, _P, grid=((0.1, 100.0), (1e-2, 200.0)), partials=1e-9),
        **_gammas(_SHAPE, _SHAPE),
    )
for _ufunc, _sign, _name in ((sc.gdtr, 1.0, "gammainc"), (sc.gdtrc, -1.0, "gammaincc")):
    _gamma_like(
        _ufunc,
        _sign,
        lambda a, b, x: b,
        lambda a, b, x: a * x,
        [lambda a, b, x: (None, x), lambda a, b, x: (1.0, 0.0), lambda a, b, x: (None, a)],
        reference=f"a, b, x: {_name}(b, a * x)",
        accuracy=Accuracy(1e-11, _P, grid=((0.1, 10.0), (0.1, 50.0), (1e-2, 20.0)), partials=1e-9),
        **_gammas(_SHAPE, _SHAPE, _SHAPE),
    )
for _ufunc, _sign, _name in ((sc.pdtr, -1.0, "gammaincc"), (sc.pdtrc, 1.0, "gammainc")):
    _gamma_like(
        _ufunc,
        _sign,
        lambda k, m: np.floor(k) + 1,
        lambda k, m: m,
        [NONDIFF, lambda k, m: (None, 1.0)],
        reference=f"k, m: {_name}(k + 1, m)",
        cases=[case(2.0, A(3, domain=_SHAPE)), case(0.0, A(3, domain=_SHAPE))],
        accuracy=Accuracy(1e-11, _P, grid=([0.0, 1.0, 4.0, 20.0], (1e-3, 60.0)), partials=1e-10),
    )


for _ufunc, _sign, _name in ((sc.fdtr, -1.0, "betaincc"), (sc.fdtrc, 1.0, "betainc")):
    _beta_like(
        _ufunc,
        _sign,
        lambda m, n, x: (0.5 * n, 0.5 * m, n / (n + m * x), m * x / (n + m * x)),
        [
            lambda m, n, x: (None, 0.5, -x * n / (n + m * x) ** 2),
            lambda m, n, x: (0.5, None, m * x / (n + m * x) ** 2),
            lambda m, n, x: (None, None, -m * n / (n + m * x) ** 2),
        ],
        reference=f"m, n, x: {_name}(n / 2, m / 2, n / (n + m * x))",
        accuracy=Accuracy(1e-10, _I, grid=((0.5, 40.0), (0.5, 40.0), (1e-2, 20.0)), partials=1e-9),
        **_gammas(_SHAPE, _SHAPE, _SHAPE),
    )


def student_density(v: Any, t: Any) -> Any:
    """Return the density of Student's t distribution."""
    log = -0.5 * (v + 1) * np.log1p(t * t / v) - sc.betaln(0.5 * v, 0.5)
    return np.exp(log) / np.sqrt(v)


def _student_shape(y: Any, v: Any, t: Any) -> Any:
    # Beyond |t| lies I_x(v / 2, 1 / 2) / 2 with x = v / (v + t^2).
    v, t = v + DOUBLE, t + DOUBLE
    u = v + t * t
    by_shape, _ = beta_shapes(0.5 * v, 0.5 + 0.0 * t, v / u, t * t / u)
    sign = np.where(np.less(t, 0), -1.0, 1.0)
    return like(y, -0.25 * sign * by_shape - 0.5 * t * student_density(v, t) / v)


elementwise(
    sc.stdtr,
    d1=[_student_shape, lambda y, v, t: student_density(v, t)],
    d2=None,
    reference="v, t: student(v, t)",
    domain=[_SHAPE, (-2.0, 2.0)],
    cases=[case(A(4), A(4))],
    kinks="second derivatives that go by the degrees of freedom are NaN at t = 0",
    accuracy=Accuracy(1e-10, "scipy.special.stdtr", grid=((0.5, 50.0), (-30.0, 30.0)), partials=1e-9),
    real_only=True,
)
for _ufunc, _sign, _name in ((sc.bdtr, -1.0, "betaincc"), (sc.bdtrc, 1.0, "betainc")):
    _beta_like(
        _ufunc,
        _sign,
        lambda k, n, p: (np.floor(k) + 1, n - np.floor(k), p),
        [NONDIFF, NONDIFF, lambda k, n, p: (None, None, 1.0)],
        reference=f"k, n, p: {_name}(k + 1, n - k, p)",
        cases=[case(2.0, np.int64(7), A(3, domain=_UNIT)), case(0.0, np.int64(3), A(3, domain=_UNIT))],
        accuracy=Accuracy(1e-10, _I, grid=([0.0, 1.0, 4.0], [5, 9], (1e-3, 0.99)), partials=1e-10),
    )
for _ufunc, _sign, _name in ((sc.nbdtr, 1.0, "betainc"), (sc.nbdtrc, -1.0, "betaincc")):
    _beta_like(
        _ufunc,
        _sign,
        lambda k, n, p: (n * 1.0, k + 1.0, p),
        [NONDIFF, NONDIFF, lambda k, n, p: (None, None, 1.0)],
        reference=f"k, n, p: {_name}(n, k + 1, p)",
        cases=[case(2, 7, A(3, domain=_UNIT)), case(0, 3, A(3, domain=_UNIT))],
        accuracy=Accuracy(1e-10, _I, grid=([0, 1, 4], [5, 9], (1e-3, 0.99)), partials=1e-10),
    )


# Inverses: if F(..., y, ...) = p then dy = (dp - sum of F_i dx_i) / F_y.
def _inverse(ufunc: Any, forward: Any, place: int, given: int, sign: float = 1.0, **row: Any) -> None:
    """Declare the inverse of ``forward`` in its argument ``place``; the value of it stands at ``given`` among the inverse's arguments."""
    of = elementwise_of(forward)

    def arguments(y: Any, xs: Sequence[Any]) -> list[Any]:
        rest = [x for i, x in enumerate(xs) if i != given]
        return [*rest[:place], y, *rest[place:]]

    def slope(i: int) -> Any:
        others = [j for j in range(len(of.d1)) if j != place]
        entry = of.d1[place if i == given else others[i if i < given else i - 1]]
        if not callable(entry):
            return entry

        def partial(y: Any, *xs: Any) -> Any:
            inner = arguments(y, xs)
            p = forward(*inner)
            along = of.d1[place](p, *inner)
            if i == given:
                return 1 / along
            return -of.d1[others[i if i < given else i - 1]](p, *inner) / along

        return partial

    count = len(of.d1)
    elementwise(ufunc, d1=[slope(i) for i in range(count)], d2=None, real_only=True, kinks=AT_ENDS, **row)


def elementwise_of(ufunc: Any) -> Elementwise:
    """Return the row of a ufunc."""
    row = DISPATCH[ufunc].row
    assert isinstance(row, Elementwise)
    return row


def _cases(*domains: Any) -> dict[str, Any]:
    args = tuple(A(3, domain=d) if isinstance(d, tuple) else d for d in domains)
    return {"cases": [Case(args)], "domain": [d if isinstance(d, tuple) else (d, d) for d in domains]}


_inverse(sc.gammaincinv, sc.gammainc, 1, 1, **_cases(_SHAPE, _UNIT))
_inverse(sc.gammainccinv, sc.gammaincc, 1, 1, **_cases(_SHAPE, _UNIT))
_inverse(sc.betaincinv, sc.betainc, 2, 2, **_cases(_SHAPE, _SHAPE, _UNIT))
_inverse(sc.betainccinv, sc.betaincc, 2, 2, **_cases(_SHAPE, _SHAPE, _UNIT))
_inverse(sc.chdtri, sc.chdtrc, 1, 1, **_cases(_SHAPE, _UNIT))
_inverse(sc.chdtriv, sc.chdtr, 0, 0, **_cases(_UNIT, _SHAPE))
_inverse(sc.fdtri, sc.fdtr, 2, 2, **_cases((2.0, 6.0), (2.0, 6.0), _UNIT))
_inverse(sc.gdtrix, sc.gdtr, 2, 2, **_cases(_SHAPE, _SHAPE, _UNIT))
_inverse(sc.gdtria, sc.gdtr, 0, 0, **_cases(_UNIT, _SHAPE, _SHAPE))
_inverse(sc.gdtrib, sc.gdtr, 1, 1, **_cases(_SHAPE, _UNIT, _SHAPE))
_inverse(sc.stdtrit, sc.stdtr, 1, 1, **_cases((2.0, 6.0), _UNIT))
_inverse(sc.pdtri, sc.pdtr, 1, 1, **_cases(2, _UNIT))
_inverse(sc.bdtri, sc.bdtr, 2, 2, **_cases(2.0, np.int64(7), _UNIT))
_inverse(sc.nbdtri, sc.nbdtr, 2, 2, **_cases(2, 7, _UNIT))
_inverse(sc.stdtridf, sc.stdtr, 0, 0, **_cases((0.77, 0.82), (0.95, 1.05)))
_inverse(sc.fdtridfd, sc.fdtr, 1, 1, **_cases(3.0, (0.56, 0.74), (1.9, 2.1)))
_inverse(sc.btdtria, sc.betainc, 0, 0, **_cases(_UNIT, _SHAPE, _UNIT))
_inverse(sc.btdtrib, sc.betainc, 1, 1, **_cases(_SHAPE, _UNIT, _UNIT))


def _counted(ufunc: Any, forward: Any, given: int, inner: Sequence[dict[int, float]], **row: Any) -> None:
    """Declare the inverse of a distribution function in a count, or in a number of trials, that need not be whole.

    ``inner`` has the arguments of ``forward`` as sums of a constant, y (key -1) and the other arguments of the inverse by their
    places; key -2 is the constant.
    """
    of = elementwise_of(forward)

    def slope(i: int) -> Any:
        def partial(y: Any, *xs: Any) -> Any:
            known = {-2: 1.0, -1: y, **dict(enumerate(xs))}
            at = [sum(c * known[j] for j, c in terms.items()) for terms in inner]
            p, lowest = forward(*at), np.less_equal(y, 0)
            along = sum(terms[-1] * of.d1[j](p, *at) for j, terms in enumerate(inner) if -1 in terms)
            above = [terms[i] * of.d1[j](p, *at) for j, terms in enumerate(inner) if i in terms]
            # Counts are 0 for all probabilities below that of none.
            return np.where(lowest, 0.0, (1.0 if i == given else -sum(above)) / along)

        return partial

    count = ufunc.nin
    elementwise(ufunc, d1=[slope(i) for i in range(count)], d2=None, real_only=True, kinks=AT_ENDS, **row)


_counted(sc.pdtrik, sc.gammaincc, 0, [{-2: 1.0, -1: 1.0}, {1: 1.0}], **_cases((0.3, 0.7), (2.0, 4.0)))
_counted(
    sc.bdtrik,
    sc.betaincc,
    0,
    [{-2: 1.0, -1: 1.0}, {1: 1.0, -1: -1.0}, {2: 1.0}],
    **_cases((0.4, 0.7), (6.0, 9.0), (0.3, 0.6)),
)
_counted(
    sc.bdtrin,
    sc.betaincc,
    1,
    [{-2: 1.0, 0: 1.0}, {-1: 1.0, 0: -1.0}, {2: 1.0}],
    **_cases((2.0, 4.0), (0.3, 0.6), (0.3, 0.6)),
)
_counted(
    sc.nbdtrik,
    sc.betainc,
    0,
    [{1: 1.0}, {-2: 1.0, -1: 1.0}, {2: 1.0}],
    **_cases((0.3, 0.7), (2.0, 4.0), (0.3, 0.6)),
)
_counted(
    sc.nbdtrin,
    sc.betainc,
    1,
    [{-1: 1.0}, {-2: 1.0, 0: 1.0}, {2: 1.0}],
    **_cases((2.0, 4.0), (0.3, 0.7), (0.3, 0.6)),
)


def _quantile_slope(q: Any, p: Any) -> Any:
    return elementwise_of(sc.ndtri).d1[0](q, p)


elementwise(
    sc.nrdtrimn,
    d1=[
        lambda y, p, std, x: -std * _quantile_slope(sc.ndtri(p), p),
        lambda y, p, std, x: -sc.ndtri(p),
        1,
    ],
    d2=None,
    real_only=True,
    **_cases(_UNIT, _SHAPE, _SHAPE),
)
elementwise(
    sc.nrdtrisd,
    d1=[
        lambda y, mn, p, x: -1 / sc.ndtri(p),
        lambda y, mn, p, x: (mn - x) / np.square(sc.ndtri(p)) * _quantile_slope(sc.ndtri(p), p),
        lambda y, mn, p, x: 1 / sc.ndtri(p),
    ],
    d2=None,
    real_only=True,
    **_cases((0.0, 1.0), (0.7, 0.9), (2.0, 4.0)),
)


# The noncentral chi-squared distribution, whose density is a Bessel function's.
def _noncentral_density(x: Any, df: Any, nc: Any) -> Any:
    """Return the density at x > 0: by 0F1 where the product of x and nc is small, by a scaled Bessel function else."""
    half, z = 0.5 * df, x * nc
    near = z < 4.0
    log = sc.xlogy(half - 1, 0.5 * x) - 0.5 * (x + nc) - sc.gammaln(half)
    small = np.exp(log) * sc.hyp0f1(half, np.where(near, 0.25 * z, 0.0))
    far, away = np.where(near, 2.0, x), np.where(near, 2.0, nc)
    gap = np.sqrt(far) - np.sqrt(away)
    large = np.exp(-0.5 * gap * gap) * (far / away) ** (0.5 * half - 0.5) * sc.ive(half - 1, np.sqrt(far * away))
    return 0.5 * np.where(near, small, large)


elementwise(
    sc.chndtr,
    d1=[
        lambda y, x, df, nc: _noncentral_density(x, df, nc),
        MISSING,
        lambda y, x, df, nc: -_noncentral_density(x, df + 2, nc),
    ],
    d2=None,
    real_only=True,
    kinks=AT_ENDS,
    cases=[case(A(3, domain=d), df, A(3, domain=d)) for d in ((0.5, 1.5), (3.0, 6.0)) for df in (3.0, 1.5)],
    domain=[(0.5, 4.0), (1.5, 3.0), (0.5, 4.0)],
)
_inverse(sc.chndtrix, sc.chndtr, 0, 0, **_cases((0.2, 0.4), 1.5, (0.3, 1.0)))
_inverse(sc.chndtrinc, sc.chndtr, 2, 2, **_cases((2.0, 2.5), 3.0, (0.2, 0.4)))
