"""The fewest affine pieces that stay within eps of a function: optimal free knots among fine points.

A one-layer encoder of N active ReLU coordinates is a continuous piecewise affine function with N kinks;
JumpReLU and TopK coordinates may jump at their thresholds as well. For small eps either needs about
eps^(-1/2)/4 · ∫ sqrt|f''| pieces: a chord of length l errs by l² |f''|/16 once it is centred.
"""

import numpy as np

HEIGHTS = np.linspace(-1, 1, 65)  # where in its tunnel a piece may start, in units of eps


def _reach(t: np.ndarray, low: np.ndarray, high: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For lines from (t_0, start): the last index within low <= line <= high, and a slope that gets there."""
    n, length = len(t), 16
    while True:
        part = slice(1, min(length, n))
        run = t[part] - t[0]
        least = np.maximum.accumulate((low[part] - starts[:, None]) / run, axis=1)
        most = np.minimum.accumulate((high[part] - starts[:, None]) / run, axis=1)
        last = (least <= most).sum(1)
        if length >= n or last.max() < len(run):
            break
        length *= 2
    row = np.arange(len(starts))
    at = np.maximum(last - 1, 0)
    return last, (least[row, at] + most[row, at]) / 2


def fewest_jumping(t: np.ndarray, f: np.ndarray, eps: float) -> int:
    """Pieces of a piecewise affine function with jumps within ``eps`` of f on the ascending points t.

    Greedy is optimal, for a piece that ends later never hurts the next one. Its height at the start is
    searched by zooming in, for the reach is a quasi-concave function of it.

    Raises:
        ValueError: the points are too coarse, fewer than ten for a piece.
    """
    low, high = f - eps, f + eps
    at, pieces = 0, 0
    while at < len(t) - 1:
        farthest, lowest, highest = 0, -1.0, 1.0
        for _ in range(2):
            heights = lowest + (HEIGHTS + 1) / 2 * (highest - lowest)
            reached, _ = _reach(t[at:], low[at:], high[at:], f[at] + heights * eps)
            k = int(np.argmax(reached))
            farthest = max(farthest, int(reached[k]))
            lowest, highest = heights[max(k - 1, 0)], heights[min(k + 1, len(heights) - 1)]
        at, pieces = at + farthest, pieces + 1
    return _resolved(pieces, len(t))


def fewest_continuous(t: np.ndarray, f: np.ndarray, eps: float) -> int:
    """Pieces of a continuous piecewise affine function within ``eps`` of f, each as long as it can be.

    An upper bound of the optimum, of which :func:`fewest_jumping` is a lower bound; the best of several
    heights at the left end.

    Raises:
        ValueError: the points are too coarse, fewer than ten for a piece.
    """
    low, high = f - eps, f + eps
    return _resolved(min(_continuous(t, low, high, f[0] + height * eps) for height in HEIGHTS[::16]), len(t))


def _continuous(t: np.ndarray, low: np.ndarray, high: np.ndarray, value: float) -> int:
    at, pieces = 0, 0
    while at < len(t) - 1:
        (n,), (slope,) = _reach(t[at:], low[at:], high[at:], np.array([value]))
        at, value, pieces = at + n, value + slope * (t[at + n] - t[at]), pieces + 1
    return pieces


def _resolved(pieces: int, points: int) -> int:
    """Knots lie on points, so a count means something only if a piece spans many."""
    if 10 * pieces > points:
        raise ValueError(f"{points} points are too coarse for {pieces} pieces: a piece should span ten or more")
    return pieces
