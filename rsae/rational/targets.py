"""The functions that a rational gate imitates on [-1, 1]: ReLU, JumpReLU, TopK, sign, or the user's own."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

GRID = 4001  # points on [-1, 1]: the paper's grid


class Target(NamedTuple):
    """A function on a union of closed intervals inside [-1, 1].

    ``center`` is the origin of the polynomials: monomials around the place where the function
    breaks keep fp32 exact where monomials in t would cancel. The gap between two intervals, where
    nothing is asked, is (center - delta, center + delta).
    """

    name: str
    value: Callable[[np.ndarray], np.ndarray]
    intervals: tuple[tuple[float, float], ...]
    center: float = 0.0
    breaks: tuple[float, ...] = ()  # kinks inside the intervals
    theta: float | None = None
    delta: float | None = None

    def asked(self, t: np.ndarray) -> np.ndarray:
        """Which of the points lie in the intervals, to rounding: 0.1 - 0.02 and a grid's 0.08 are one point."""
        return np.any([(t >= a - 1e-12) & (t <= b + 1e-12) for a, b in self.intervals], axis=0)


def relu() -> Target:
    """max(t, 0) on [-1, 1]."""
    return Target("relu", lambda t: np.maximum(t, 0.0), ((-1.0, 1.0),), breaks=(0.0,))


def jumprelu(theta: float, delta: float) -> Target:
    """t · 1[t > theta] on [-1, 1] without (theta - delta, theta + delta).

    Raises:
        ValueError: theta is not positive, or the gap is empty or swallows an end of [-1, 1].
    """
    if not theta > 0:
        raise ValueError(f"theta must be positive (thresholds are matched by homogeneity), got {theta}")
    return topk(theta, delta)._replace(name="jumprelu")


def topk(tau: float, delta: float) -> Target:
    """TopK at a supplied threshold that separates the k kept from the others: t · 1[t > tau].

    Strict TopK, the k-th order statistic itself, is no function of one argument and is not covered.

    Raises:
        ValueError: the gap (tau - delta, tau + delta) is empty or swallows an end of [-1, 1].
    """
    return Target("topk", lambda t: np.where(t > tau, t, 0.0), _around(tau, delta), center=tau, theta=tau, delta=delta)


def sign(delta: float) -> Target:
    """sign(t) on [-1, -delta] ∪ [delta, 1].

    Raises:
        ValueError: delta is not inside (0, 1).
    """
    return Target("sign", np.sign, _around(0.0, delta), theta=0.0, delta=delta)


def custom(
    value: Callable[[np.ndarray], np.ndarray],
    intervals: Sequence[tuple[float, float]] = ((-1.0, 1.0),),
    center: float = 0.0,
    breaks: Sequence[float] = (),
) -> Target:
    """The user's own function of an array of t, on ascending intervals inside [-1, 1].

    ``breaks`` are its kinks; ``center`` is best put on the sharpest of them.

    Raises:
        ValueError: the intervals are not ascending inside [-1, 1], or the function is not finite there.
    """
    ends = np.ravel(intervals)
    if not (len(ends) and (np.diff(ends) > 0).all() and ends[0] >= -1 and ends[-1] <= 1):
        raise ValueError(f"intervals must be ascending, disjoint and inside [-1, 1], got {list(intervals)}")
    t = np.concatenate([np.linspace(a, b, GRID) for a, b in intervals])
    found = np.asarray(value(t), float)
    if found.shape != t.shape:
        raise ValueError(f"a target maps an array to one of the same shape, {t.shape} became {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"the target is not finite at t = {t[~np.isfinite(found)][0]:g}")
    spans = tuple((float(a), float(b)) for a, b in intervals)
    return Target("custom", lambda t: np.asarray(value(t), float), spans, float(center), tuple(breaks))


def _around(theta: float, delta: float) -> tuple[tuple[float, float], ...]:
    if not (delta > 0 and theta - delta > -1 and theta + delta < 1):
        raise ValueError(
            f"the gap around {theta:g} of half width delta = {delta:g} must have a positive width and lie inside"
            " (-1, 1): else it swallows the interval"
        )
    return ((-1.0, theta - delta), (theta + delta, 1.0))


def make(name: str, theta: float | None = None, delta: float | None = None) -> Target:
    """The target called ``name``, with the parameters that it needs and no others.

    Raises:
        ValueError: unknown name, or a parameter missing or superfluous.
    """
    known: dict[str, tuple[Callable[..., Target], tuple[str, ...]]] = {
        "relu": (relu, ()),
        "jumprelu": (jumprelu, ("theta", "delta")),
        "topk": (topk, ("theta", "delta")),
        "sign": (sign, ("delta",)),
    }
    if name not in known:
        raise ValueError(f"unknown target {name!r}; known are {', '.join(known)}")
    build, needs = known[name]
    given = {k: v for k, v in (("theta", theta), ("delta", delta)) if v is not None}
    if set(given) != set(needs):
        raise ValueError(f"target {name} takes {' and '.join(needs) or 'no parameters'}, got {given}")
    return build(*(given[k] for k in needs))


def lowest_type(target: Target, p: int, q: int) -> tuple[int, int]:
    """The type that the best approximation of type (p, q) really has, by the target's symmetry.

    Best approximations are unique, so r inherits the symmetry. ReLU(t) = t + ReLU(-t) gives, for p > q,
    r = (t + s)/2 with s even; sign is odd, so num is odd and den, positive on both sides, even.
    """
    even = 2 * (q // 2)
    if target.name == "relu" and p > q:
        return max(2 * (p // 2), even + 1), even
    if target.name == "sign":
        return p - 1 + p % 2, even
    return p, q
