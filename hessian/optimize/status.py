"""Why a solver stopped, in words that say what to try."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """Why a solver stopped: ``advice`` says what that means and what to try, ``success`` whether gtol was reached.

    The first four are the honest grades of a small gradient. Only ``CONVERGED`` says "strict local minimum"; the others
    say exactly how much of the second-order condition is known.
    """

    success: bool
    advice: str

    def __new__(cls, value: int, success: bool, advice: str) -> Status:
        """Attach the text and the verdict to the integer SciPy's users compare."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.success = success
        member.advice = advice
        return member

    CONVERGED = (
        0,
        True,
        "The gradient is at most gtol and the Hessian is positive definite: a strict local minimum.",
    )
    CONVERGED_SEMIDEFINITE = (
        1,
        True,
        "The gradient is at most gtol and the smallest eigenvalue of the Hessian is zero, to rounding or beside so small a "
        "gradient: no negative curvature leads down, but second derivatives alone cannot tell a minimum from a flat direction. If the "
        "objective has redundant parameters, fix some of them or add a small quadratic penalty.",
    )
    CONVERGED_UNDECIDED = (
        2,
        True,
        "The gradient is at most gtol and no negative curvature was found, but a few Lanczos steps cannot rule it out. "
        'To decide, look at HessianOperator(fun, res.x, *args).eigsh(1, which="SA"), or use method="newton" if there '
        "are few variables.",
    )
    CONVERGED_UNCHECKED = (
        3,
        True,
        "The gradient is at most gtol; the curvature was not looked at (check_curvature=False): this may be a saddle.",
    )
    MAX_ITERATIONS = (
        4,
        False,
        "The iteration limit was reached. If the history still decreases, raise maxiter or start again from res.x; "
        "if it crawls, rescale the variables so that a unit step means about the same in each.",
    )
    MAX_HVP = (
        5,
        False,
        "The budget of Hessian-vector products was spent. Raise max_hvp or start again from res.x; "
        "many CG iterations per step mean an ill-conditioned Hessian: rescale the variables or regularise.",
    )
    PRECISION = (
        6,
        False,
        "Floating point is the limit: the decrease still predicted is below the rounding error of the objective, and "
        "the gradient does not shrink further either. res.x is about as good as this precision gives; ask for a larger "
        "gtol, subtract large constants from the objective, or use float64.",
    )
    STALLED = (
        7,
        False,
        "Steps down to rounding length bring nothing although the gradient is not small: the objective is not smooth "
        "there (a kink, a jump, the edge of its domain), or a derivative is wrong. "
        "Run hessian.check_derivatives(fun, res.x, *args).",
    )
    UNBOUNDED = (
        8,
        False,
        "The objective seems unbounded below: it keeps falling, or is -inf at a trial point. Check its sign, or add a term that bounds it.",
    )
    NEGATIVE_CURVATURE = (
        9,
        False,
        "The gradient is at most gtol, but the Hessian has a negative eigenvalue and no step along its vector lowers "
        "the objective: no minimum, but so flat that rounding hides the descent, or not smooth. Use float64, or "
        "rescale the flat variables.",
    )
    CALLBACK = (10, False, "The callback asked to stop, by returning True or raising StopIteration.")
    LEFT_DOMAIN = (
        11,
        False,
        "Every step, however short, leads to where the objective is not finite: res.x lies at the edge of its domain. "
        "Substitute variables so that the edge is at infinity (x = exp(u) for x > 0), or use a method with bounds.",
    )
    MAX_SECONDS = (
        12,
        False,
        "The time was up. Raise max_seconds or start again from res.x.",
    )
    INTERRUPTED = (
        13,
        False,
        "The run was interrupted; res.x is the best point it had. Start again from there, or resume from a checkpoint.",
    )
    EARLY_STOPPED = (
        14,
        True,
        "The validation loss has not improved for the patience given: the parameters are those at which it was smallest.",
    )
    DIVERGED = (
        15,
        False,
        "The objective became NaN or infinite and the method has no way back. Lower the learning rate, clip the gradient, "
        "or use a method that rejects such steps.",
    )
    EXTERNAL_SUCCESS = (
        16,
        True,
        "SciPy's method reports success, by its own criteria. The message says what is known of the curvature.",
    )
    EXTERNAL_FAILURE = (17, False, "SciPy's method stopped early, for the reason it gives.")
    CONVERGED_FAR = (
        18,
        False,
        "The gradient is at most gtol and the Hessian is positive definite, but so flat that the minimum may be far from "
        "here, or at infinity: a Newton step could still be longer than a hundredth of x. Ask for a smaller gtol, or rescale "
        "the objective; if the run then goes on for ever, there is no minimum.",
    )
    EXTERNAL_SADDLE = (
        19,
        False,
        "SciPy's method reports success, but the Hessian has negative curvature along a direction that bounds and constraints "
        "leave free, res.escape: a saddle or a maximum, no minimum. Start again from res.x + t * res.escape with a small t.",
    )
    CONVERGED_AT_KINK = (
        20,
        True,
        "The objective has a kink at res.x (a modulus of zero, a maximum of equal numbers) and no derivative there. No slope away "
        "from it that was looked at leads down, and the gradient, by the convention of such operations, is at most gtol. The Hessian "
        "says nothing of such a point, and standard errors do not apply.",
    )
