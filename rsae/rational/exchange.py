"""Remez's second algorithm: level the error on a reference, move the reference to the error's peaks."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rsae.rational.fraction import Fraction, levelled
from rsae.rational.peaks import refined
from rsae.rational.targets import Target

MAX_STEPS, PATIENCE = 30, 8  # of an exchange; of these, how many in a row may bring nothing
SETTLED = 1e-10  # 1 - min/max of the peaks at which nothing is left to gain
LEVELLED = 1e-5  # ... at which an exchange that gains no more has converged
ROUNDING = 1e-14  # error, relative to the target, at which it is reproduced exactly
PER_PIECE = 24  # points between knots, on which peaks are looked for

Search = Callable[[Callable[[np.ndarray], np.ndarray], np.ndarray], np.ndarray]


class Exchanged(NamedTuple):
    """A pole-free r and the alternating peaks of its error."""

    r: Fraction
    peaks: np.ndarray  # where the error alternates, ascending
    e: np.ndarray  # r - target there
    max_error: float
    deviation: float  # 1 - (smallest / largest |error| over the p+q+2 highest alternating peaks)
    exact: bool  # nothing but rounding is left

    @property
    def converged(self) -> bool:
        """Levelled as far as Chebyshev's theorem is checked."""
        return self.exact or self.deviation < LEVELLED

    def n_level(self) -> int:
        """How many alternations are level with the largest error."""
        return len(_alternating(self.e[np.abs(self.e) >= (1 - LEVELLED) * self.max_error]))


def on_continuum(target: Target) -> Search:
    """Local extrema of the error on the target's intervals, each refined until it stands still."""

    def search(error: Callable[[np.ndarray], np.ndarray], reference: np.ndarray) -> np.ndarray:
        found = []
        for low, high in target.intervals:
            # extrema crowd towards the break, and so does the reference: lay the grid between its points
            inner = reference[(reference > low) & (reference < high)]
            breaks = [b for b in target.breaks if low < b < high]  # a kink is an extremum that no slope shows
            knots = np.unique(np.r_[low, inner, breaks, high])
            grid = np.unique(np.linspace(knots[:-1], knots[1:], PER_PIECE))
            e = error(grid)
            turns = _turns(e)
            side = np.sign(e[turns])[:, None]
            found.append(refined(lambda t, side=side: side * error(t), grid[turns - 1], grid[turns + 1]))
            found.append(np.r_[low, breaks, high])
        return np.unique(np.concatenate(found))

    return search


def on_grid(points: np.ndarray) -> Search:
    """Local extrema of the error over the given points only."""

    def search(error: Callable[[np.ndarray], np.ndarray], reference: np.ndarray) -> np.ndarray:
        return points[np.r_[0, _turns(error(points)), len(points) - 1]]

    return search


def _turns(e: np.ndarray) -> np.ndarray:
    """Indices, ends excluded, at which the values stop rising or falling."""
    return 1 + np.flatnonzero((e[1:-1] - e[:-2]) * (e[2:] - e[1:-1]) <= 0)


def _alternating(e: np.ndarray) -> list[int]:
    """The largest of each run of equal sign: indices on which the error alternates."""
    kept: list[int] = []
    for i in np.flatnonzero(e).tolist():
        if kept and (e[kept[-1]] > 0) == (e[i] > 0):
            if abs(e[i]) > abs(e[kept[-1]]):
                kept[-1] = i
        else:
            kept.append(i)
    return kept


def highest(e: np.ndarray, n: int) -> list[int]:
    """Indices of ``n`` of the alternating errors: the weakest go, ends alone and others in pairs."""
    keep = list(range(len(e)))
    while len(keep) > n:
        first, last = abs(e[keep[0]]), abs(e[keep[-1]])
        pair = [max(abs(e[a]), abs(e[b])) for a, b in pairwise(keep)]
        j = int(np.argmin(pair))
        if len(keep) == n + 1 or min(first, last) < pair[j]:
            keep.pop(0 if first < last else -1)
        else:
            del keep[j : j + 2]
    return keep


def spread(e: np.ndarray, n: int) -> float:
    """1 - (smallest / largest) over the ``n`` highest alternating errors; 1 where there are not as many."""
    return float(1 - np.abs(e[highest(e, n)]).min() / np.abs(e).max()) if len(e) >= n else 1.0


def assess(target: Target, r: Fraction, p: int, q: int, search: Search, reference: np.ndarray) -> Exchanged | None:
    """The error of ``r`` at its peaks, judged against p+q+2 alternations; None where r has a pole or overflows."""
    if any(low <= pole <= high for pole in r.poles() for low, high in target.intervals):
        return None

    def error(t: np.ndarray) -> np.ndarray:
        return r(t) - target.value(t)

    with np.errstate(divide="ignore", invalid="ignore"):  # a double pole, which rounding hides from the roots
        candidates = search(error, reference)
        e = error(candidates)
    if not np.isfinite(e).all():
        return None
    max_error = float(np.abs(e).max())
    kept = _alternating(e)
    peaks, e = candidates[kept], e[kept]
    exact = max_error <= ROUNDING * float(np.abs(target.value(candidates)).max())
    return Exchanged(r, peaks, e, max_error, 0.0 if exact else spread(e, p + q + 2), exact)


def exchange(
    target: Target, p: int, q: int, reference: np.ndarray, search: Search, omega: float = 1.0
) -> tuple[Exchanged | None, int]:
    """Exchange from ``reference`` (p+q+2 ascending points): the most level r met, and the steps taken.

    ``omega`` is the share of the way to the new peaks that the first steps go; a step that leads to
    a pole is halved. Ends when the error is level, or when it has not improved for a while.
    """
    best, points, came_from, idle = None, reference, None, 0
    for step in range(1, MAX_STEPS + 1):
        r = levelled(points, target.value(points), p, q, target.center)
        now = assess(target, r, p, q, search, points) if r else None
        if now is None:
            if came_from is None or idle == PATIENCE:
                return best, step
            points, idle = (points + came_from) / 2, idle + 1
            continue
        if best is None or now.deviation < best.deviation:
            best, idle = now, 0
        else:
            idle += 1
        if (
            now.exact
            or now.deviation < SETTLED
            or len(now.peaks) < p + q + 2
            or idle == (2 if best.converged else PATIENCE)
        ):
            return best, step
        share = omega if step <= 6 else 1.0
        came_from, points = points, points + share * (now.peaks[highest(now.e, p + q + 2)] - points)
    return best, MAX_STEPS
