"""Zolotarev's best rational approximation of sign(x) on [-1, -gap] ∪ [gap, 1], in closed form.

Akhiezer, *Elements of the Theory of Elliptic Functions*, §50; zeros, poles and extrema are Jacobi
elliptic functions of the complementary modulus gap, at multiples of K/n.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ellipj, ellipkm1


class ZolotarevSign(NamedTuple):
    """Odd function of degree ``n`` in product form, x ∏(x² + zeros) / ∏(x² + poles)."""

    zeros: np.ndarray  # x² at the zeros, negated (all positive)
    poles: np.ndarray  # x² at the poles, negated
    scale: float
    error: float  # largest on the two intervals
    extrema: np.ndarray  # the n + 1 points of [gap, 1] where it is reached, ascending

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
    u = np.arange(n + 1) / n
    # beyond K/2 use sc(u) sc(K-u) = 1/gap and dn(u) dn(K-u) = gap: the modulus rounds to 1 for small gaps
    far = u > 0.5
    sn, cn, dn, _ = ellipj(np.where(far, 1 - u, u) * quarter, 1 - gap * gap)
    extrema = np.where(far, gap / dn, dn)[::-1]
    extrema[[0, -1]] = gap, 1.0
    sn, cn, far = sn[1:-1], cn[1:-1], far[1:-1]
    c = np.where(far, cn / sn, gap * sn / cn) ** 2
    zeros, poles = c[1::2], c[0::2]
    values = _shape(zeros, poles, extrema)
    low, high = values.min(), values.max()
    return ZolotarevSign(zeros, poles, float(2 / (high + low)), float((high - low) / (high + low)), extrema)
