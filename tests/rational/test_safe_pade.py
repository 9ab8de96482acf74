import numpy as np
import pytest

from rsae.rational import safe_pade, targets
from rsae.rational.fraction import Fraction
from rsae.rational.minimax import minimax
from rsae.rational.safe_pade import SafePade


@pytest.mark.parametrize(
    ("target", "degree"), [(targets.relu(), (3, 2)), (targets.relu(), (9, 8)), (targets.jumprelu(0.1, 0.02), (9, 8))]
)
def test_conversion_is_exact_on_the_design_interval(target, degree):
    fit = minimax(target, *degree)
    t = np.linspace(-1, 1, 4001)
    np.testing.assert_allclose(safe_pade.from_fit(fit)(t), fit(t), atol=1e-12)


def test_a_pole_is_refused():
    fit = Fraction(np.array([1.0]), np.array([1.0, 2.0]), 0.0)  # 1 / (1 + 2t)
    with pytest.raises(ValueError, match="pole"):
        safe_pade.from_fit(fit)


def test_the_denominator_never_vanishes_and_the_right_tail_is_the_identity():
    form = SafePade(np.array([0.0, 1.0]), np.array([-3.0, 2.0, -1.0]), 0.0)
    t = np.r_[-(10.0 ** np.arange(31)), 0.0, 10.0 ** np.arange(31)]
    assert np.isfinite(form(t)).all()
    beyond = t[t >= 1]
    np.testing.assert_allclose(form(beyond) - form(np.ones(1)), beyond - 1, rtol=1e-12)


def test_gradient_and_slope_agree_with_finite_differences():
    form = SafePade(np.array([0.1, 0.5, -0.3, 0.7]), np.array([0.2, -0.4, 0.9]), 0.1)
    t, step = np.linspace(-0.95, 0.95, 41), 1e-6
    np.testing.assert_allclose((form.inside(t + step) - form.inside(t - step)) / (2 * step), form.slope(t), rtol=1e-5)
    flat = np.r_[form.num, form.den]
    for j in range(len(flat)):
        up, down = flat.copy(), flat.copy()
        up[j] += step
        down[j] -= step
        moved = [SafePade(c[:4], c[4:], 0.1).inside(t) for c in (up, down)]
        np.testing.assert_allclose((moved[0] - moved[1]) / (2 * step), form.gradient(t)[:, j], rtol=1e-5, atol=1e-9)
