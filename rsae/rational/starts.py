"""Where an exchange starts: p+q+2 points close to where the best approximation's error will peak.

From evenly spread points the exchange fails at (9, 8); Zolotarev's extrema, logarithmic towards
the break, are a handful of exchanges away.
"""

import math
from collections.abc import Iterator

import numpy as np

from rsae.rational.targets import Target
from rsae.rational.zolotarev import zolotarev_sign


def starts(target: Target, p: int, q: int) -> Iterator[np.ndarray]:
    """References for the target, the most promising first."""
    n = p + q + 2
    if target.delta is not None:
        yield from _jump(target, target.delta, n)
    elif target.breaks:
        yield from _kink(target, n, q)
    yield _spread(target, n)


def _jump(target: Target, delta: float, n: int) -> Iterator[np.ndarray]:
    """Zolotarev's extrema on either side; an odd point more goes first to the end of the longer side."""
    left, right = target.center + 1, 1 - target.center
    longer_first = (n - n // 2, n // 2) if left >= right else (n // 2, n - n // 2)
    for n_left, n_right in dict.fromkeys([longer_first, longer_first[::-1]]):
        yield placed(target, _shares(n_left, delta / left), _shares(n_right, delta / right))


def _shares(n: int, gap: float) -> np.ndarray:
    """Zolotarev's n extrema on [gap, 1] on the logarithmic scale that takes gap to 0 and 1 to 1."""
    return 1 - np.log(zolotarev_sign(n - 1, gap).extrema) / math.log(gap) if n > 1 else np.zeros(1)


def placed(target: Target, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Points at logarithmic shares (0 at the gap, 1 at the end) of either side of the target's gap."""
    assert target.delta is not None
    c, d = target.center, target.delta
    points = np.r_[c - d * ((1 + c) / d) ** left[::-1], c + d * ((1 - c) / d) ** right]
    return np.clip(points, -1, 1)


def shares(target: Target, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of :func:`placed`."""
    assert target.delta is not None
    c, d = target.center, target.delta
    left, right = c - points[points < c][::-1], points[points > c] - c
    return np.log(left / d) / math.log((1 + c) / d), np.log(right / d) / math.log((1 - c) / d)


def _kink(target: Target, n: int, q: int) -> Iterator[np.ndarray]:
    """A kink is a sign whose gap closes as exp(-π sqrt(q)): the extrema for gaps of about that size."""
    c = target.center
    sides = (c - target.intervals[0][0], target.intervals[-1][1] - c)
    decay = math.exp(-math.pi * math.sqrt(max(q, 1)))
    for gap in np.clip(decay * np.array([1.0, 4.0, 0.25, 16.0, 0.0625]), 1e-12, 0.3):
        inner = zolotarev_sign((n + 1) // 2 - 1, float(gap)).extrema
        points = np.r_[c - sides[0] * inner[::-1], c, c + sides[1] * inner]
        yield resized(points, n)


def _spread(target: Target, n: int) -> np.ndarray:
    """Chebyshev's extrema, shared out over the intervals by their lengths."""
    lengths = np.array([b - a for a, b in target.intervals])
    edges = np.round(np.cumsum(np.r_[0, lengths]) / lengths.sum() * n).astype(int)
    parts = []
    for (a, b), k in zip(target.intervals, np.diff(edges), strict=True):
        parts.append((a + b) / 2 - (b - a) / 2 * np.cos(np.pi * np.arange(k) / max(k - 1, 1)))
    return np.concatenate(parts)


def resized(points: np.ndarray, n: int) -> np.ndarray:
    """Exactly ``n`` points with the same distribution as ``points``."""
    if len(points) == n:
        return points
    return np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(points)), points)
