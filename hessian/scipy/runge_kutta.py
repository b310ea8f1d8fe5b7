"""Runge-Kutta steps on traced values: SciPy's tableaux, and its control of the size of steps on numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import RK23, RK45
from scipy.optimize import OptimizeResult

from hessian.arguments import choose
from hessian.errors import OptionError, message
from hessian.rules.constants import held

_METHODS = {"RK45": RK45, "RK23": RK23}
_SAFETY, _SMALLEST, _LARGEST = 0.9, 0.2, 10.0


def _norm(x: Any) -> Any:
    return np.sqrt(np.mean(np.square(x)))


def _first_step(
    f: Callable[..., Any], t: float, end: float, most: float, y: Any, slope: Any, order: int, rtol: Any, atol: Any
) -> Any:
    """Return a first step (Hairer, Norsett & Wanner, section II.4), as SciPy takes it."""
    span = abs(end - t)
    scale = atol + np.abs(y) * rtol
    d0, d1 = _norm(y / scale), _norm(slope / scale)
    h0 = np.minimum(1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1, span)
    direction = np.sign(end - t)
    d2 = _norm((held(f(t + h0 * direction, y + h0 * direction * slope)) - slope) / scale) / h0
    h1 = (
        np.maximum(1e-6, h0 * 1e-3) if d1 <= 1e-15 and d2 <= 1e-15 else (0.01 / np.maximum(d1, d2)) ** (1 / (order + 1))
    )
    return np.minimum(np.minimum(np.minimum(100 * h0, h1), span), most)


class _Stepper:
    """One method: stages, error estimate and interpolation."""

    def __init__(self, f: Callable[..., Any], tableau: Any) -> None:
        self.f, self.tableau = f, tableau

    def stages(self, t: Any, y: Any, slope: Any, h: Any) -> tuple[Any, list[Any]]:
        """Return y after a step, and the slopes of all stages, the last one at its end."""
        tableau, stages = self.tableau, [slope]
        for weights, c in zip(tableau.A[1:], tableau.C[1:], strict=True):
            stages.append(self.f(t + c * h, y + h * _weighted(weights, stages)))
        end = y + h * _weighted(tableau.B, stages)
        stages.append(self.f(t + h, end))
        return end, stages

    def between(self, y: Any, stages: list[Any], h: Any, share: Any) -> Any:
        """Interpolate at a share of the step."""
        powers = np.cumprod(np.repeat(np.atleast_1d(share)[None], self.tableau.P.shape[1], axis=0), axis=0)
        weights = self.tableau.P @ powers
        return y[:, None] + h * sum(k[:, None] * w for k, w in zip(stages, weights, strict=True))


def _weighted(weights: Any, stages: list[Any]) -> Any:
    terms = [w * k for w, k in zip(weights, stages, strict=False) if w]
    return sum(terms[1:], terms[0])


def solved(f: Callable[..., Any], t_span: Any, y0: Any, method: Any, t_eval: Any, options: dict[str, Any]) -> Any:
    """Integrate from one end of the span to the other; see :func:`hessian.scipy.integrate.solve_ivp`."""
    tableau = choose("solve_ivp", "method", method, _METHODS)
    rtol, atol = options.pop("rtol", 1e-3), options.pop("atol", 1e-6)
    most, first = options.pop("max_step", np.inf), options.pop("first_step", None)
    if options:
        what = f"{', '.join(options)} is not supported with traced values"
        raise OptionError(message("solve_ivp", what, fix="Pass rtol, atol, first_step and max_step alone"))
    t, end = map(float, t_span)
    direction = 1.0 if end >= t else -1.0
    stepper, y, slope = _Stepper(f, tableau), y0, f(t, y0)
    h = (
        held(_first_step(f, t, end, most, held(y), held(slope), tableau.error_estimator_order, rtol, atol))
        if first is None
        else first
    )
    times, states, asked, evaluations = [t], [y], [], 2
    wanted = None if t_eval is None else np.asarray(t_eval, float)
    while direction * (end - t) > 0:
        t, y, slope, h, taken = _accepted(stepper, t, y, slope, h, end, direction, most, rtol, atol)
        evaluations += taken["evaluations"]
        times.append(t)
        states.append(y)
        if wanted is not None:
            asked += _asked(stepper, wanted, times, direction, states[-2], taken)
    if wanted is not None:
        starts = [states[0][:, None]] if len(wanted) and wanted[0] == times[0] else []
        ys: Any = np.concatenate(starts + asked, axis=1)
        ts: Any = wanted
    else:
        ys, ts = np.stack(states, axis=1), np.stack(times)
    return OptimizeResult(
        t=ts,
        y=ys,
        sol=None,
        t_events=None,
        y_events=None,
        nfev=evaluations,
        njev=0,
        nlu=0,
        status=0,
        message="The solver successfully reached the end of the integration interval.",
        success=True,
    )


def _accepted(
    stepper: _Stepper,
    t: Any,
    y: Any,
    slope: Any,
    h: Any,
    end: float,
    direction: float,
    most: float,
    rtol: Any,
    atol: Any,
) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
    """Take one step: shorter and shorter ones until the error is small enough."""
    exponent = -1 / (stepper.tableau.error_estimator_order + 1)
    rejected, evaluations = False, 0
    h = np.minimum(h, most)
    while True:
        if not h > 1e-14 * max(abs(end), 1e-300):
            what = "a step became smaller than numbers are apart"
            raise OptionError(
                message(
                    "solve_ivp", what, "the solution is stiff, or ends before", "End sooner, or allow larger errors"
                )
            )
        new = t + h * direction
        if direction * (new - end) > 0:
            new = end
        step = new - t
        result, stages = stepper.stages(t, y, slope, step)
        evaluations += len(stages) - 1
        scale = atol + np.maximum(np.abs(held(y)), np.abs(held(result))) * rtol
        error = _norm(held(_weighted(stepper.tableau.E, stages)) * step / scale)
        size = held(np.abs(step))
        if error < 1:
            factor = _LARGEST if error == 0 else np.minimum(_LARGEST, _SAFETY * error**exponent)
            factor = np.minimum(1.0, factor) if rejected else factor
            taken = {"stages": stages, "step": step, "evaluations": evaluations}
            return new, result, stages[-1], held(size * factor), taken
        h = held(size * np.maximum(_SMALLEST, _SAFETY * error**exponent))
        rejected = True


def _asked(
    stepper: _Stepper, wanted: np.ndarray, times: list[Any], direction: float, start: Any, taken: dict[str, Any]
) -> list[Any]:
    """Return the states at those of the wanted times that the last step has passed."""
    inside = [bool(direction * (w - times[-2]) > 0 and direction * (w - times[-1]) <= 0) for w in wanted]
    chosen = wanted[inside]
    if not len(chosen):
        return []
    return [stepper.between(start, taken["stages"], taken["step"], (chosen - times[-2]) / taken["step"])]
