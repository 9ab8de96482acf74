"""Least squares within the safe-Padé family: over a design interval's grid or a histogram of pre-activations."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from rsae.rational.safe_pade import SafePade


class Refit(NamedTuple):
    """C_out · r(v / C_in) after the fit, and weighted rms errors."""

    form: SafePade
    c_in: float
    c_out: float
    error_before: float
    error_after: float


class Problem:
    """Residuals of C_out · r(v / C_in) against ``wanted``, and their analytic Jacobian.

    The unknowns are relative: coefficients move in units of their effect on r (raw ones span many
    decades), scales as logarithms. A term of relative size ``rigidity`` holds what the data leave free.
    """

    def __init__(
        self,
        form: SafePade,
        v: np.ndarray,
        wanted: np.ndarray,
        weights: np.ndarray,
        *,
        constant: bool,
        scales: bool,
        rigidity: float,
    ) -> None:
        self.form, self.v, self.wanted, self.root = form, v, wanted, np.sqrt(weights)
        self.start = np.concatenate([form.num, form.den])
        self.step = 1 / form.effects()
        free = np.ones(len(self.start) + 2, bool)
        free[len(form.num)] = constant
        free[-2:] = scales
        self.free = np.flatnonzero(free)
        self.rigidity = np.sqrt(rigidity * np.sum(self.root**2 * wanted**2))

    def unpack(self, y: np.ndarray) -> tuple[SafePade, float, float]:
        """Form, C_in and C_out at the unknowns y."""
        full = np.zeros(len(self.start) + 2)
        full[self.free] = y
        c = self.start + self.step * full[:-2]
        n = len(self.form.num)
        return SafePade(c[:n], c[n:], self.form.center), float(np.exp(full[-2])), float(np.exp(full[-1]))

    def residual(self, y: np.ndarray) -> np.ndarray:
        """Weighted errors, then the rigidity of each unknown."""
        form, c_in, c_out = self.unpack(y)
        return np.concatenate([self.root * (c_out * form.inside(self.v / c_in) - self.wanted), self.rigidity * y])

    def jacobian(self, y: np.ndarray) -> np.ndarray:
        """Of :meth:`residual`, one column per unknown."""
        form, c_in, c_out = self.unpack(y)
        t = self.v / c_in
        scales = np.stack([-c_out * form.slope(t) * t, c_out * form.inside(t)], 1)
        main = np.hstack([c_out * form.gradient(t) * self.step, scales])[:, self.free]
        return np.vstack([self.root[:, None] * main, self.rigidity * np.eye(len(self.free))])

    def solve(self) -> Refit:
        """Levenberg-Marquardt from the form as it is."""
        origin = np.zeros(len(self.free))
        result = least_squares(self.residual, origin, self.jacobian, method="lm", max_nfev=400)  # type: ignore[arg-type]
        return Refit(*self.unpack(result.x), self._rms(origin), self._rms(result.x))

    def _rms(self, y: np.ndarray) -> float:
        return float(np.linalg.norm(self.residual(y)[: len(self.v)]))
