"""Zolotarev's best rational approximation of sign(x) on [-1, -gap] ∪ [gap, 1], in closed form.

Akhiezer, *Elements of the Theory of Elliptic Functions*, §50; the zeros and poles are squares of
Jacobi elliptic functions of modulus sqrt(1 - gap²).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ellipj, ellipkm1


class ZolotarevSign(NamedTuple):
    """Odd function of degree ``n`` in product form, and its largest error on the two intervals."""

    zeros: np.ndarray  # x² at the zeros, negated (all positive)
    poles: np.ndarray  # x² at the poles, negated
    scale: float
    error: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.scale * _shape(self.zeros, self.poles, x)


def _shape(zeros: np.ndarray, poles: np.ndarray, x: np.ndarray) -> np.ndarray:
    value = np.asarray(x, float).copy()
    square = value * value
    for i in range(max(len(zeros), len(poles))):  # alternate, so that no partial product overflows
        if i < len(zeros):
            value = value * (square + zeros[i])
        if i < len(poles):
            value = value / (square + poles[i])
    return value


def zolotarev_sign(n: int, gap: float) -> ZolotarevSign:
    """Best approximation of degree ``n`` to sign(x) for gap <= |x| <= 1.

    Raises:
        ValueError: ``n`` < 1 or ``gap`` not inside (0, 1).
    """
    if n < 1 or not 0 < gap < 1:
        raise ValueError(f"need n >= 1 and 0 < gap < 1, got n={n}, gap={gap}")
    quarter = ellipkm1(gap * gap)
    sn, cn, _, _ = ellipj(np.arange(1, n) * quarter / n, 1 - gap * gap)
    c = (gap * sn / cn) ** 2
    zeros, poles = c[1::2], c[0::2]
    values = _shape(zeros, poles, np.geomspace(gap, 1, 40001))
    low, high = values.min(), values.max()
    return ZolotarevSign(zeros, poles, 2 / (high + low), (high - low) / (high + low))


def extrema(z: ZolotarevSign, gap: float) -> np.ndarray:
    """Where |sign - z| is largest on [gap, 1], both ends included, ascending."""
    grid = np.geomspace(gap, 1, 40001)
    slope = np.sign(np.diff(z(grid)))
    turns = np.flatnonzero(slope[1:] * slope[:-1] < 0) + 1
    return grid[np.r_[0, turns, len(grid) - 1]]
