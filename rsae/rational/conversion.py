"""A fit as a gate: the safe-Padé form, exact where it can be and least squares where it cannot."""

from typing import NamedTuple

import numpy as np
from numpy.polynomial import Polynomial

from rsae.rational.fraction import Fraction
from rsae.rational.least_squares import Problem
from rsae.rational.minimax import Fit
from rsae.rational.safe_pade import SafePade, from_fit, without_constant
from rsae.rational.targets import GRID, Target

RIGIDITY = 1e-14  # far below any error squared that a fit of degree 12 leaves


class Converted(NamedTuple):
    """A safe-Padé form, and what the conversion cost."""

    form: SafePade
    exact: bool  # the same function on [-1, 1]; else the least-squares fit nearest to it
    cost: float  # largest |form - fit| over the grid points that the fit was asked for


def convert(target: Target, fit: Fit, *, constant: bool = True, center: float | None = None) -> Converted:
    """The safe-Padé form of ``fit`` in powers of t - ``center``, A with or without a constant term.

    Where the fit is not representable (a pole inside the gap; without a constant, a denominator that
    is not smallest at the center), the least-squares fit to the target on its grid points, from the
    representable form nearest by construction: the same numerator, the same A less what cannot be.
    """
    r = recentered(fit, fit.center if center is None else center)
    t = np.linspace(-1, 1, GRID)
    t = t[target.asked(t)]
    try:
        form = from_fit(r) if constant else without_constant(r)
        exact = True
    except ValueError:
        den = r.den - np.eye(1, len(r.den))[0]
        form = best_in_family(SafePade(r.num, den, r.center), t, target.value(t), constant=constant)
        exact = False
    return Converted(form, exact, float(np.abs(form.inside(t) - fit(t)).max()))


def best_in_family(start: SafePade, t: np.ndarray, wanted: np.ndarray, *, constant: bool = True) -> SafePade:
    """The safe-Padé form of least mean squared error at the points, near ``start`` (the problem is not convex)."""
    weights = np.full(len(t), 1 / len(t))
    return Problem(start, t, wanted, weights, constant=constant, scales=False, rigidity=RIGIDITY).solve().form


def recentered(r: Fit | Fraction, center: float) -> Fraction:
    """The same function in powers of t - ``center``, den(0) = 1; loses digits, as numerics do, far from its own."""
    shift = Polynomial([center - r.center, 1.0])
    num, den = (Polynomial(c)(shift).coef for c in (r.num, r.den))
    num, den = (np.r_[c, np.zeros(n - len(c))] for c, n in ((num, len(r.num)), (den, len(r.den))))
    return Fraction(num / den[0], den / den[0], center)
