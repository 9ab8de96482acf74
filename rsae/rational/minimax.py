"""Best uniform rational approximation by Remez exchange, started from Zolotarev's extrema.

The level equation on p+q+2 reference points is a generalised eigenproblem of size q+1 (the
numerator is projected out by QR); the exchange takes local extrema of the error on the continuum.
Naive starts fail at degree (9,8); the extrema of Zolotarev's sign function are close enough that
a handful of exchanges suffice.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, eig
from scipy.optimize import minimize_scalar

from rsae.rational.targets import Target
from rsae.rational.zolotarev import extrema, zolotarev_sign

GRID = 4001  # the paper's grid on [-1, 1]
MAX_ITERATIONS = 40
LEVELLED = 1e-5  # relative spread of |error| over the reference at which an exchange has converged


class Fit(NamedTuple):
    """A rational function num/den in ascending powers of u = t - center, and how good it is."""

    num: np.ndarray
    den: np.ndarray
    center: float
    max_error: float
    deviation: float  # 1 - (smallest / largest |error| over the alternation points)
    n_alternations: int
    n_iter: int
    converged: bool
    reason: str

    def __call__(self, t: np.ndarray) -> np.ndarray:
        u = np.asarray(t, float) - self.center
        return _polyval(self.num, u) / _polyval(self.den, u)


def _polyval(c: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.polynomial.polynomial.polyval(u, c)


def _level(target: Target, points: np.ndarray, p: int, q: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Coefficients (num, den) of a pole-free r with equal alternating error at ``points``."""
    radius = 1 + abs(target.center)  # keeps powers of u inside [-1, 1]
    u = (points - target.center) / radius
    vandermonde = np.vander(u, max(p, q) + 1, increasing=True)
    vp, vq = vandermonde[:, : p + 1], vandermonde[:, : q + 1]
    f = target.value(points)
    signs = (-1.0) ** np.arange(len(points))
    complement = np.linalg.qr(vp, mode="complete")[0][:, p + 1 :]
    left = complement.T @ (f[:, None] * vq)
    right = complement.T @ (signs[:, None] * vq)
    scale = 1 / np.maximum(np.linalg.norm(np.hstack([left, right]), axis=1), 1e-300)
    try:
        levels, vectors = eig(left * scale[:, None], right * scale[:, None])  # type: ignore[misc]
    except LinAlgError:
        return None
    grid = np.concatenate([np.linspace(a, b, 2001) for a, b in target.intervals])
    best = None
    for level, vector in zip(levels, vectors.T, strict=True):
        if not np.isfinite(level) or abs(level.imag) > 1e-8 * max(abs(level.real), 1e-12):
            continue
        vector = vector.real / np.abs(vector.real).max()
        d = _polyval(vector, (grid - target.center) / radius)
        if d.min() * d.max() <= 0:  # a pole between the points
            continue
        if best is None or abs(level.real) < abs(best[0]):
            best = (level.real, vector * np.sign(d[0]))
    if best is None:
        return None
    level, den = best
    values = (f - level * signs) * (vq @ den)
    num = np.linalg.lstsq(vp, values, rcond=None)[0]
    powers = radius ** np.arange(max(p, q) + 1)
    den, num = den / powers[: q + 1], num / powers[: p + 1]
    return num / den[0], den / den[0]


def _error_extrema(target: Target, r: "Fit", points: np.ndarray) -> np.ndarray:
    """Alternating local extrema of the error on the continuum, refined around a fine grid."""

    def error(t: np.ndarray) -> np.ndarray:
        return r(t) - target.value(np.asarray(t, float))

    found: list[float] = []
    for low, high in target.intervals:
        inner = points[(points > low) & (points < high)]
        # the extrema crowd towards the break, so the grid is laid between the reference points
        knots = np.unique(np.r_[low, inner, high])
        if low < target.center < high:
            knots = np.unique(np.r_[knots, target.center])
        grid = np.unique(np.concatenate([np.linspace(a, b, 40) for a, b in pairwise(knots)]))
        e = error(grid)
        slope = np.sign(np.diff(e))
        turns = np.flatnonzero(slope[1:] * slope[:-1] <= 0) + 1
        found += [low, high]
        if low < target.center < high:
            found.append(target.center)  # a kink is an extremum that no derivative sees
        for i in turns:
            a, b = grid[i - 1], grid[i + 1]
            side = np.sign(e[i])
            if a < target.center < b:
                found.append(float(grid[i]))
                continue
            best = minimize_scalar(
                lambda t, side=side: -side * float(error(np.array([t]))[0]),
                bounds=(a, b),
                method="bounded",
                options={"xatol": 1e-13 * max(1.0, abs(b)) + 1e-9 * (b - a)},
            )
            found.append(float(best.x))
    candidates = np.unique(found)
    return _alternating(candidates, error(candidates))


def _alternating(points: np.ndarray, e: np.ndarray) -> np.ndarray:
    """The largest of each run of equal sign: a set on which the error alternates."""
    kept: list[int] = []
    for i in range(len(points)):
        if e[i] == 0:
            continue
        if kept and np.sign(e[kept[-1]]) == np.sign(e[i]):
            if abs(e[i]) > abs(e[kept[-1]]):
                kept[-1] = i
        else:
            kept.append(i)
    return points[kept]


def _trim(points: np.ndarray, e: np.ndarray, n: int) -> np.ndarray:
    """Drop the weakest alternations until ``n`` remain, never breaking the alternation."""
    keep = list(range(len(points)))
    while len(keep) > n:
        if len(keep) == n + 1:
            weakest = keep[0] if abs(e[keep[0]]) < abs(e[keep[-1]]) else keep[-1]
            keep.remove(weakest)
            continue
        pair = [max(abs(e[a]), abs(e[b])) for a, b in pairwise(keep)]
        j = int(np.argmin(pair))
        ends = (abs(e[keep[0]]), abs(e[keep[-1]]))
        if min(ends) < pair[j]:
            keep.pop(0 if ends[0] < ends[1] else -1)
        else:
            del keep[j : j + 2]
    return points[keep]


def _starts(target: Target, p: int, q: int) -> Iterator[np.ndarray]:
    """Reference sets of p+q+2 points, the most promising first."""
    n = p + q + 2
    if target.name == "jumprelu":
        yield _jump_start(target, q, n)
    if len(target.intervals) == 1:
        # a kink: let the sign's gap shrink until its extrema resolve the kink well enough
        decay = 4 * math.exp(-math.pi * math.sqrt(max(q, 1)))
        for gap in np.clip(decay * np.geomspace(0.02, 30, 24)[np.argsort(abs(np.linspace(-1, 1, 24)))], 1e-9, 0.5):
            side = extrema(zolotarev_sign(q + 1, float(gap)), float(gap))
            yield _resized(np.unique(np.r_[-side, 0.0, side]), n)
    else:
        low, high = target.intervals[0][1], target.intervals[1][0]
        gap = (high - low) / 2 / (1 + abs(target.center))
        side = (1 + abs(target.center)) * extrema(zolotarev_sign(max(p, q), gap), gap)
        yield _resized(np.clip(np.unique(np.r_[target.center - side, target.center + side]), -1, 1), n)


def _jump_start(target: Target, q: int, n: int) -> np.ndarray:
    assert target.theta is not None and target.delta is not None
    radius = 1 + target.theta
    gap = target.delta / radius
    side = extrema(zolotarev_sign(q, gap), gap)
    left = target.theta - radius * side
    # the right interval is shorter: the same points on its own logarithmic scale
    share = np.log(side / gap) / np.log(1 / gap)
    right = target.theta + target.delta * ((1 - target.theta) / target.delta) ** share
    left = np.sort(left)
    left[0], left[-1], right[0], right[-1] = -1, target.theta - target.delta, target.theta + target.delta, 1
    return _resized(np.sort(np.r_[left, (left[0] + left[1]) / 2, right]), n)


def _resized(points: np.ndarray, n: int) -> np.ndarray:
    """Exactly ``n`` points with the same distribution as ``points``."""
    points = np.unique(points)
    if len(points) == n:
        return points
    return np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(points)), points)


def _exchange(target: Target, points: np.ndarray, p: int, q: int, omega: float) -> Fit | None:
    n, best = p + q + 2, None
    for iteration in range(1, MAX_ITERATIONS + 1):
        levelled = _level(target, points, p, q)
        if levelled is None:
            return best
        fit = Fit(*levelled, target.center, math.inf, 1.0, 0, iteration, False, "exchange did not settle")
        turning = _error_extrema(target, fit, points)
        e = fit(turning) - target.value(turning)
        fit = fit._replace(max_error=float(np.abs(e).max()))
        if len(turning) < n:
            return best
        reference = _trim(turning, e, n)
        size = np.abs(fit(reference) - target.value(reference))
        fit = fit._replace(deviation=float(1 - size.min() / fit.max_error), n_alternations=n)
        if best is None or fit.max_error < best.max_error:
            best = fit
        if fit.deviation < LEVELLED:
            return fit._replace(converged=True, reason=f"equioscillates at {n} points")
        # half steps tame the early exchanges, where extrema move past each other
        step = omega if iteration <= 6 else 1.0
        points = points + step * (reference - points)
    return best


def minimax(target: Target, p: int, q: int) -> Fit:
    """Best approximation of type (p, q) in the uniform norm; honest when it was not found.

    Tries the starting references with full exchange, then with relaxed exchange (omega = 0.5).
    Without convergence the best pole-free candidate comes back with ``converged=False``.

    Raises:
        ValueError: degrees out of range, or no pole-free candidate at all.
    """
    if not (1 <= p <= 12 and 0 <= q <= 12):
        raise ValueError(f"degrees must satisfy 1 <= p <= 12 and 0 <= q <= 12, got ({p}, {q})")
    best = None
    for omega in (1.0, 0.5):
        for start in _starts(target, p, q):
            fit = _exchange(target, start, p, q, omega)
            if fit is None:
                continue
            if best is None or fit.max_error < best.max_error:
                best = fit
            if fit.converged:
                return fit
    if best is None:
        raise ValueError(f"no pole-free ({p}, {q}) candidate for {target.name}; try another degree")
    return best
