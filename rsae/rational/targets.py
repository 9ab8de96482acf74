"""The functions that a gate imitates on [-1, 1]: ReLU, JumpReLU and sign."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Target(NamedTuple):
    """A function on a union of closed intervals inside [-1, 1], with the point it breaks at.

    ``center`` is the origin of the polynomials: monomials around the break keep fp32 exact where
    monomials in t would cancel. ``gap`` is the open set left out, empty for continuous targets.
    """

    name: str
    value: Callable[[np.ndarray], np.ndarray]
    intervals: tuple[tuple[float, float], ...]
    center: float
    theta: float | None = None
    delta: float | None = None


def relu() -> Target:
    """max(t, 0) on [-1, 1]."""
    return Target("relu", lambda t: np.maximum(t, 0.0), ((-1.0, 1.0),), 0.0)


def jumprelu(theta: float, delta: float) -> Target:
    """t · 1[t > theta] on [-1, 1] without (theta - delta, theta + delta).

    Raises:
        ValueError: the gap is empty, swallows an end of [-1, 1], or theta is not positive.
    """
    if not theta > 0:
        raise ValueError(f"theta must be positive (thresholds are matched by homogeneity), got {theta}")
    if not (delta > 0 and theta + delta < 1 and theta - delta > -1):
        raise ValueError(f"the gap ({theta - delta:g}, {theta + delta:g}) must lie inside (-1, 1)")
    return Target(
        "jumprelu",
        lambda t: np.where(t > theta, t, 0.0),
        ((-1.0, theta - delta), (theta + delta, 1.0)),
        theta,
        theta,
        delta,
    )


def sign(delta: float) -> Target:
    """sign(t) on [-1, -delta] ∪ [delta, 1].

    Raises:
        ValueError: delta is not inside (0, 1).
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie inside (0, 1), got {delta}")
    return Target("sign", np.sign, ((-1.0, -delta), (delta, 1.0)), 0.0, 0.0, delta)


def make(name: str, theta: float | None = None, delta: float | None = None) -> Target:
    """The target called ``name``, with the parameters that it needs and no others.

    Raises:
        ValueError: unknown name, or a parameter missing or superfluous.
    """
    needs = {"relu": (), "jumprelu": ("theta", "delta"), "sign": ("delta",)}
    if name not in needs:
        raise ValueError(f"unknown target {name!r}; known are {', '.join(needs)}")
    given = {k: v for k, v in (("theta", theta), ("delta", delta)) if v is not None}
    if set(given) != set(needs[name]):
        raise ValueError(f"target {name} takes {needs[name] or 'no parameters'}, got {given}")
    return {"relu": relu, "jumprelu": jumprelu, "sign": sign}[name](**given)
