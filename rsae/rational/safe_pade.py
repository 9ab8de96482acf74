"""Rational functions without real poles: P(u) / (1 + |A(u)|), the paper's safe-Padé form.

The index range of A is not stated in the paper. A fit whose denominator dips below Q(0) is only
representable with a constant term, so A(u) = b_0 + b_1 u + ... here.
"""

from typing import NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polyder, polyval

from rsae.rational.minimax import Fit


class SafePade(NamedTuple):
    """num and den, ascending in u = t - center; the value is P(u) / (1 + |A(u)|), A from ``den``."""

    num: np.ndarray  # p + 1 coefficients
    den: np.ndarray  # q + 1 coefficients b_0 .. b_q
    center: float

    def __call__(self, t: np.ndarray) -> np.ndarray:
        """Evaluate at t, with t outside [-1, 1] clamped and continued linearly on the right.

        The tail ``max(t - 1, 0)`` is ours, not the paper's: all three gates are the identity there.
        """
        t = np.asarray(t, float)
        return self.inside(np.clip(t, -1, 1)) + np.maximum(t - 1, 0)

    def inside(self, t: np.ndarray) -> np.ndarray:
        """Evaluate at t without clamp and tail."""
        u = np.asarray(t, float) - self.center
        return polyval(u, self.num) / (1 + np.abs(polyval(u, self.den)))

    def slope(self, t: np.ndarray) -> np.ndarray:
        """dr/dt without clamp and tail."""
        u = np.asarray(t, float) - self.center
        a = polyval(u, self.den)
        inner = polyval(u, polyder(self.num)) - self.inside(t) * np.sign(a) * polyval(u, polyder(self.den))
        return inner / (1 + np.abs(a))

    def gradient(self, t: np.ndarray) -> np.ndarray:
        """dr/d(num, den) without clamp and tail: one column per coefficient, numerator first."""
        u = np.asarray(t, float) - self.center
        a = polyval(u, self.den)
        inverse = 1 / (1 + np.abs(a))
        pull = -self.inside(t) * np.sign(a) * inverse
        columns = [inverse * u**i for i in range(len(self.num))]
        columns += [pull * u**j for j in range(len(self.den))]
        return np.stack(columns, axis=-1)

    def effects(self) -> np.ndarray:
        """rms over a uniform grid on [-1, 1] of each column of :meth:`gradient`; never zero."""
        grid = np.linspace(-1, 1, 4001)
        # where A vanishes identically its sign is 0, and |A| would hide that b can move
        moving = self.den if self.den.any() else np.r_[1e-300, self.den[1:]]
        return np.sqrt(np.mean(self._replace(den=moving).gradient(grid) ** 2, axis=0))


def from_fit(fit: Fit) -> SafePade:
    """Exact conversion on [-1, 1]: divide by the denominator's minimum, so that it reads 1 + A, A >= 0.

    Raises:
        ValueError: the denominator changes sign on [-1, 1], so the fit has a pole there.
    """
    stationary = np.polynomial.Polynomial(fit.den).deriv().roots()
    inside = stationary.real[np.abs(stationary.imag) < 1e-9] + fit.center
    u = np.r_[-1.0, 1.0, inside[np.abs(inside) <= 1]] - fit.center
    values = polyval(u, fit.den)
    smallest = values[np.argmin(np.abs(values))]
    if values.min() * values.max() <= 0:
        raise ValueError("the fit's denominator changes sign on [-1, 1]; it has a pole there")
    den = fit.den / smallest
    den[0] -= 1
    return SafePade(fit.num / smallest, den, fit.center)
