"""Best uniform rational approximation: what was found, how good it is, and what proves it.

A fit is called converged when its error alternates p+q+2-d times at equal height, d the defect:
by Chebyshev's theorem nothing better of its type exists. [Meinardus, *Approximation of Functions*,
1967, sec. 9; on several intervals for denominators that are positive on all of them]
"""

from typing import NamedTuple

import numpy as np

from rsae.rational.attempts import Attempts
from rsae.rational.exchange import Exchanged, exchange, highest, on_grid, spread
from rsae.rational.fraction import Fraction
from rsae.rational.targets import GRID, Target, lowest_type

MAX_DEGREE = 12


class Fit(NamedTuple):
    """A rational function num/den in ascending powers of u = t - center, and how good it is."""

    num: np.ndarray  # p + 1
    den: np.ndarray  # q + 1, starting with 1
    center: float
    max_error: float
    grid_mse: float  # mean squared error over the 4001-point grid, gap included
    grid_mse_excluding_gap: float  # over those points of it that lie in the target's intervals
    deviation: float  # 1 - (smallest / largest |error| over the alternations that prove it best)
    n_alternations: int  # of the error at peaks that are level to 1e-5
    defect: int  # how many fewer alternations than p + q + 2 are proof
    n_iter: int  # steps of exchange, over all attempts
    converged: bool
    reason: str  # which attempt found it, and why it is or is not called converged
    peaks: np.ndarray  # where the error alternates, ascending in t

    def __call__(self, t: np.ndarray) -> np.ndarray:
        return Fraction(self.num, self.den, self.center)(t)


def minimax(target: Target, p: int, q: int, grid: int | None = None) -> Fit:
    """Best approximation of type (p, q) in the uniform norm; honest when it was not found.

    Converges, or falls back along :meth:`rsae.rational.attempts.Attempts.chain`; ``reason`` says which.
    The error is taken on the continuum or, with ``grid``, over the points of the intervals that belong to
    a uniform grid of that many points on [-1, 1]; the exchange there starts from the continuum's peaks.

    Raises:
        ValueError: degrees out of range, too coarse a grid, or no pole-free candidate at all.
    """
    if not (1 <= p <= MAX_DEGREE and 0 <= q <= MAX_DEGREE):
        raise ValueError(f"degrees must satisfy 1 <= p <= {MAX_DEGREE} and 0 <= q <= {MAX_DEGREE}, got ({p}, {q})")
    attempts = Attempts(target)
    low_p, low_q = lowest_type(target, p, q)
    found, how = attempts.chain(low_p, low_q)
    n_iter = attempts.n_iter
    if grid is not None:
        t = np.linspace(-1, 1, grid)
        again, steps = _on_grid(target, found, low_p, low_q, t[target.asked(t)])
        n_iter += steps
        found = again or found
        how += f", then exchange on {grid} points" if again else f", but no exchange on {grid} points is free of poles"
    defect = min(p + 1 - len(found.r.num), q + 1 - len(found.r.den))
    needed, level = p + q + 2 - defect, found.n_level()
    if found.exact:
        why = "reproduces the target to rounding"
    else:
        why = f"its error alternates {level} times at one height; {needed} prove it the best"
    t = np.linspace(-1, 1, GRID)
    squared = (found.r(t) - target.value(t)) ** 2
    return Fit(
        _padded(found.r.num, p),
        _padded(found.r.den, q),
        target.center,
        found.max_error,
        float(squared.mean()),
        float(squared[target.asked(t)].mean()),
        0.0 if found.exact else spread(found.e, needed),
        level,
        defect,
        n_iter,
        found.exact or level >= needed,
        f"{how}; {why}",
        found.peaks,
    )


def _padded(c: np.ndarray, degree: int) -> np.ndarray:
    return np.r_[c, np.zeros(degree + 1 - len(c))]


def _on_grid(target: Target, found: Exchanged, p: int, q: int, t: np.ndarray) -> tuple[Exchanged | None, int]:
    """Exchange over the points t only, from those nearest to the continuum's peaks, and the steps taken."""
    n = p + q + 2
    if len(t) < n:
        raise ValueError(f"the grid leaves {len(t)} points to fit type ({p}, {q}) at; it takes {n} or more")
    peaks = found.peaks[highest(found.e, n)] if len(found.e) > n else found.peaks
    reference = np.unique(np.abs(t[:, None] - peaks).argmin(0))
    missing = np.setdiff1d(np.arange(len(t)), reference)[: n - len(reference)]
    return exchange(target, p, q, t[np.sort(np.r_[reference, missing])], on_grid(t))
