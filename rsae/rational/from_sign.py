"""Gates rebuilt from one Zolotarev sign: h (sign + 1)/2, as the paper's theory builds them.

Every fixed gate is h times a step, so an approximation Z of the sign with error E outside a gap gives
r(t) = t (Z(u/R) + 1)/2, u = t - center, R the reach of the longer side. On the intervals of a jump
|r - gate| = |t| |Z - sign|/2 <= E/2; the ReLU is also asked for values inside the sign's gap, where the
error is at most gap/2, for Z lies between 0 and the sign there.
"""

import math

import numpy as np
from numpy.polynomial import polynomial
from scipy.optimize import brentq

from rsae.rational.fraction import Fraction
from rsae.rational.targets import Target
from rsae.rational.zolotarev import ZolotarevSign, zolotarev_sign


def rebuilt_type(target: Target, n: int) -> tuple[int, int]:
    """Degrees of the gate that Z_n gives: of t (Z_n + 1)/2, or of Z_n itself for the sign."""
    even = 2 * (n // 2)
    return (2 * ((n + 1) // 2) - 1, even) if target.name == "sign" else (n + 1, even)


def sign_of(target: Target, n: int) -> tuple[ZolotarevSign, float, float]:
    """Z_n for the target, the reach R of its argument u/R, and the bound on the gate's error that it implies.

    Raises:
        ValueError: the target is not h times a step, nor the sign itself.
    """
    if target.name not in ("relu", "jumprelu", "topk", "sign"):
        raise ValueError(f"a {target.name} target is not rebuilt from a sign: it is not known to be h times a step")
    reach = 1 + abs(target.center)
    gap = target.delta / reach if target.delta else _balanced_gap(n)
    z = zolotarev_sign(n, gap)
    bound = z.error if target.name == "sign" else max(z.error, 0.0 if target.delta else gap) / 2
    return z, reach, bound


def rebuilt(target: Target, n: int) -> Fraction:
    """The gate from the sign's best approximation of degree ``n``; errors as :func:`sign_of`."""
    z, reach, _ = sign_of(target, n)
    # in u: x = u / R, so x² + a = (u² + a R²) / R²
    lift = z.scale * reach ** (2.0 * (len(z.poles) - len(z.zeros)) - 1)
    num = lift * np.r_[0.0, _even_product(z.zeros * reach**2)]
    den = _even_product(z.poles * reach**2)
    if target.name != "sign":
        num = polynomial.polymul([target.center, 1.0], polynomial.polyadd(num, den)) / 2
    return Fraction(num / den[0], den / den[0], target.center)


def _even_product(shifts: np.ndarray) -> np.ndarray:
    """Coefficients of ∏(u² + shift), ascending."""
    c = np.ones(1)
    for shift in shifts:
        c = polynomial.polymul(c, [shift, 0.0, 1.0])
    return c


def _balanced_gap(n: int) -> float:
    """The gap that equals the sign's error, so that the ReLU errs as much inside as outside."""

    def excess(log_gap: float) -> float:
        return zolotarev_sign(n, math.exp(log_gap)).error - math.exp(log_gap)

    return math.exp(float(brentq(excess, math.log(1e-14), -1e-3)))  # type: ignore[arg-type]
