"""A rational function in powers of u = t - center, and the one with a prescribed levelled error."""

from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial
from scipy.linalg import eigh


class Fraction(NamedTuple):
    """num(u) / den(u), both ascending in u = t - center."""

    num: np.ndarray
    den: np.ndarray
    center: float

    def __call__(self, t: np.ndarray) -> np.ndarray:
        u = np.asarray(t, float) - self.center
        return polynomial.polyval(u, self.num) / polynomial.polyval(u, self.den)

    def poles(self) -> np.ndarray:
        """Real zeros of the denominator, in t, ascending."""
        roots = polynomial.polyroots(np.trim_zeros(self.den, "b"))
        return np.sort(roots.real[np.abs(roots.imag) <= 1e-12 * np.abs(roots)]) + self.center


def levelled(points: np.ndarray, values: np.ndarray, p: int, q: int, center: float) -> Fraction | None:
    """The r of type (p, q) with values - r = λ(-1)^l at p+q+2 ``points``, den > 0 on them; None if none.

    With w_l = 1/∏(x_l - x_j), sums over w_l annihilate polynomials of degree p + q, so that
    num = (f - λ(-1)^l) den on the points gives Σ |w_l| ((-1)^l f_l - λ) den_l h_l = 0 for every h of
    degree q: a symmetric eigenproblem of size q+1, at most one of whose eigenvectors is a den without
    a sign change. The basis ∏(x - t_k)/(x - t_j), t between the points, keeps it well conditioned however
    the points cluster. [Filip, Nakatsukasa, Trefethen & Beckermann, SIAM J. Sci. Comput. 40 (2018), sec. 4]
    """
    n = p + q + 2
    u = points - center
    support = np.round(np.linspace(0, n - 2, q + 1)).astype(int)
    to_support = u[:, None] - (u[support] + u[support + 1])[None, :] / 2
    apart = u[:, None] - u[None, :]
    np.fill_diagonal(apart, 1)
    log_root_w = -np.log(np.abs(apart)).sum(1) / 2
    log_scale = log_root_w + np.log(np.abs(to_support)).sum(1)
    basis, _ = np.linalg.qr(np.exp(log_scale - log_scale.max())[:, None] / to_support)
    alternating = (-1.0) ** np.arange(n)
    levels, vectors = eigh(basis.T @ ((alternating * values)[:, None] * basis))
    weighted = (basis @ vectors) * np.sign(to_support).prod(1)[:, None]  # sqrt|w| den, up to a factor
    flat = np.abs(levels) <= 1e-14 * np.abs(values).max()
    if flat.sum() > 1:  # the target is a rational of lower type, any multiple of its den will do: the nearest to 1
        levels = np.append(levels, 0.0)
        near_one = weighted[:, flat] @ (weighted[:, flat].T @ np.exp(log_root_w - log_root_w.max()))
        weighted = np.column_stack([weighted, near_one])
    one_sign = np.flatnonzero(np.abs(np.sign(weighted).sum(0)) == n)
    if not len(one_sign):
        return None
    k = one_sign[np.argmin(np.abs(levels[one_sign]))]
    den = np.abs(weighted[:, k]) * np.exp(log_root_w.min() - log_root_w)
    num = (values - levels[k] * alternating) * den
    a, b = _interpolant(u, num, p), _interpolant(u, den, q)
    if not (np.isfinite(a).all() and np.isfinite(b).all() and b[0] != 0):
        return None
    return Fraction(a / b[0], b / b[0], center)


def _interpolant(u: np.ndarray, values: np.ndarray, degree: int) -> np.ndarray:
    """Coefficients of the polynomial through degree+1 evenly chosen of the points, by Lagrange's sum.

    The sum has little cancellation, for the chosen points surround u = 0 as all of them do.
    """
    chosen = np.round(np.linspace(0, len(u) - 1, degree + 1)).astype(int) if degree else [int(np.argmin(np.abs(u)))]
    z, v = u[chosen], values[chosen]
    total = np.zeros(degree + 1)
    for k in range(degree + 1):
        others = np.delete(z, k)
        total += v[k] / np.prod(z[k] - others) * polynomial.polyfromroots(others)
    return total
