"""Rates with intervals: power laws, and how a size grows with the accuracy asked for."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import linregress
from scipy.stats import t as student


class Estimate(NamedTuple):
    """A number and its 95% interval, as if the residuals of the fit were independent."""

    value: float
    low: float
    high: float

    def text(self) -> str:
        """As tables show it."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def power(x: np.ndarray, y: np.ndarray) -> Estimate:
    """The exponent a of y = c x^a, by least squares on logarithms.

    Raises:
        ValueError: fewer than three points, or one that is not positive.
    """
    if len(x) < 3 or min(x.min(), y.min()) <= 0:
        raise ValueError("an exponent with an interval takes three or more points, all positive")
    found: Any = linregress(np.log(x), np.log(y))
    return _estimate(float(found.slope), float(found.stderr), len(x) - 2)


class Growth(NamedTuple):
    """n ∝ log(1/eps)^a log(4/delta)^b for small eps: log(1/eps) = A + speed (n / log(4/delta)^b)^(1/a)."""

    a: Estimate
    b: Estimate | None
    speed: Estimate


def growth(n: np.ndarray, eps: np.ndarray, delta: np.ndarray | None = None) -> Growth:
    """How the size n grows with the accuracy, from measured errors.

    The constant A lets eps be off by a factor, as every O() does; without it small sizes bend the exponents.
    The 4 is that of Zolotarev's asymptotics, E ≈ 4 exp(-n π²/(2 log(4/delta))).
    """
    reach = np.ones(len(n)) if delta is None else np.log(4 / delta)

    def model(at: np.ndarray, *c: float) -> np.ndarray:
        a, b = c[2], (c[3] if delta is not None else 0.0)
        return c[0] + c[1] * (at[0] / at[1] ** b) ** (1 / a)

    start: Sequence[float] = [0.0, 4.0, 1.0, 1.0] if delta is not None else [0.0, 3.0, 2.0]
    c, covariance = curve_fit(model, np.stack([n, reach]), -np.log(eps), p0=start, maxfev=20000)
    found = [
        _estimate(float(v), float(e), len(n) - len(c)) for v, e in zip(c, np.sqrt(np.diag(covariance)), strict=True)
    ]
    return Growth(found[2], found[3] if delta is not None else None, found[1])


def _estimate(value: float, error: float, freedom: int) -> Estimate:
    half = float(student.ppf(0.975, freedom)) * error
    return Estimate(value, value - half, value + half)
