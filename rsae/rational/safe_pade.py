"""Rational functions without real poles: P(u) / (1 + |A(u)|), the paper's safe-Padé form.

The paper's A has terms of degree 1 and more; whether it has a constant is not stated. With one, every fit
without a pole on [-1, 1] is representable exactly there; without, only if its denominator is nowhere
below its value at u = 0. Outside [-1, 1] there are two rules: the paper's, which is the formula itself
(:meth:`SafePade.inside`; r grows as |u|^(p-q)), and ours, which clamps and adds the linear tail.
"""

from typing import NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polyder, polyval

from rsae.rational.fraction import Fraction
from rsae.rational.minimax import Fit
from rsae.rational.peaks import refined


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
        """Evaluate at t without clamp and tail; by powers of 1/u where |u| > 1, so that none overflows."""
        u = np.asarray(t, float) - self.center
        p, q = len(self.num) - 1, len(self.den) - 1
        near = np.where(np.abs(u) <= 1, u, 0.0)
        far = 1 / np.where(np.abs(u) <= 1, 1.0, u)
        outer = polyval(far, self.num[::-1]) / (np.abs(far) ** q + np.abs(polyval(far, self.den[::-1])))
        inner = polyval(near, self.num) / (1 + np.abs(polyval(near, self.den)))
        return np.where(np.abs(u) <= 1, inner, outer * far ** float(q - p) * np.sign(far) ** q)

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

    def lipschitz(self) -> float:
        """sup |dr/dt| on [-1, 1], whatever gap lies there; with clamp and tail, beyond it too if above 1.

        The slope jumps where A changes sign; the supremum is that of both sides.
        """
        # steepest at the break, so look on a scale that is logarithmic around it
        steps = np.geomspace(1e-9, 2, 6000)
        t = np.unique(np.clip(np.r_[-1, self.center - steps, self.center, self.center + steps, 1], -1, 1))
        steep = np.abs(self.slope(t))
        k = np.clip(int(np.argmax(steep)), 1, len(t) - 2)
        top = refined(lambda x: np.abs(self.slope(x)), t[[k - 1]], t[[k + 1]])
        return float(max(steep.max(), np.abs(self.slope(top)).max()))


def from_fit(fit: Fit | Fraction) -> SafePade:
    """Exact conversion on [-1, 1]: divide by the denominator's minimum, so that it reads 1 + A, A >= 0.

    Raises:
        ValueError: the denominator changes sign on [-1, 1], so the fit has a pole there.
    """
    smallest = _smallest_denominator(fit)
    den = fit.den / smallest
    den[0] -= 1
    return SafePade(fit.num / smallest, den, fit.center)


def without_constant(fit: Fit | Fraction) -> SafePade:
    """Exact conversion on [-1, 1] with A(0) = 0, where the denominator is smallest at u = 0.

    Raises:
        ValueError: the denominator falls below its value at u = 0, or changes sign.
    """
    lowest = _smallest_denominator(fit) / fit.den[0]
    if lowest < 1 - 1e-13:
        raise ValueError(f"the denominator falls to {lowest:.3g} of its value at the center: A needs a constant")
    return SafePade(fit.num / fit.den[0], np.r_[0.0, fit.den[1:] / fit.den[0]], fit.center)


def _smallest_denominator(fit: Fit | Fraction) -> float:
    """The value of smallest size that the denominator takes on [-1, 1]."""
    stationary = np.polynomial.Polynomial(fit.den).deriv().roots()
    inside = stationary.real[np.abs(stationary.imag) < 1e-9] + fit.center
    u = np.r_[-1.0, 1.0, np.clip(fit.center, -1, 1), inside[np.abs(inside) <= 1]] - fit.center
    values = polyval(u, fit.den)
    if values.min() * values.max() <= 0:
        raise ValueError("the fit's denominator changes sign on [-1, 1]; it has a pole there")
    return float(values[np.argmin(np.abs(values))])
