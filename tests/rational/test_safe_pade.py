import numpy as np
import pytest

from rsae.rational import safe_pade, targets
from rsae.rational.conversion import best_in_family, convert, recentered
from rsae.rational.fraction import Fraction
from rsae.rational.minimax import minimax
from rsae.rational.safe_pade import SafePade

FORM = SafePade(np.array([0.1, 0.5, -0.3, 0.7]), np.array([0.2, -0.4, 0.9]), 0.1)
JUMP = targets.jumprelu(0.1, 0.02)
T = np.linspace(-1, 1, 4001)


@pytest.mark.parametrize(
    ("target", "degree"),
    [(targets.relu(), (3, 2)), (targets.relu(), (9, 8)), (JUMP, (9, 8)), (JUMP, (6, 5)), (targets.sign(0.02), (9, 8))],
)
def test_conversion_is_exact_on_the_design_interval(target, degree):
    fit = minimax(target, *degree)
    np.testing.assert_allclose(safe_pade.from_fit(fit).inside(T), fit(T), atol=1e-12)
    form, exact, cost = convert(target, fit)
    assert exact
    assert cost < 1e-12
    assert (1 + np.polynomial.polynomial.polyval(T - form.center, form.den) >= 1 - 1e-12).all()


def test_the_constant_of_a_is_q_of_0_over_its_minimum_less_1():
    form = safe_pade.from_fit(Fraction(np.array([1.0]), np.array([2.0, -2.0, 1.0]), 0.0))  # 1 + (t - 1)², least at 1
    np.testing.assert_allclose(form.den, [2 / 1 - 1, -2, 1])


def test_without_a_constant_the_relu_is_exact_and_the_jump_is_not():
    relu = convert(targets.relu(), minimax(targets.relu(), 5, 4), constant=False)
    assert relu.exact
    assert relu.form.den[0] == 0
    assert relu.cost < 1e-12
    fit = minimax(JUMP, 9, 8)
    jump = convert(JUMP, fit, constant=False)
    assert not jump.exact
    assert jump.form.den[0] == 0
    assert jump.cost > 1e-4  # another function, not a worse copy: its squared error is below the minimax fit's
    asked = JUMP.asked(T)
    assert np.mean((jump.form.inside(T) - JUMP.value(T))[asked] ** 2) < fit.grid_mse_excluding_gap
    with pytest.raises(ValueError, match="needs a constant"):
        safe_pade.without_constant(fit)


def test_a_pole_inside_the_gap_falls_back_to_least_squares():
    target = targets.jumprelu(0.2, 0.1)
    fit = minimax(target, 2, 2)._replace(den=np.array([1.0, 0.0, -400.0]))  # poles at 0.2 ± 0.05
    with pytest.raises(ValueError, match="pole"):
        safe_pade.from_fit(fit)
    form, exact, _ = convert(target, fit)
    assert not exact
    assert np.isfinite(form.inside(T)).all()


@pytest.mark.parametrize(("degree", "mse"), [((3, 2), 1.337e-4), ((5, 4), 3.479e-6), ((7, 6), 1.732e-7)])
def test_least_squares_of_an_independent_prototype(degree, mse):
    relu = targets.relu()
    form = best_in_family(safe_pade.from_fit(minimax(relu, *degree)), T, relu.value(T), constant=False)
    assert np.mean((form.inside(T) - relu.value(T)) ** 2) == pytest.approx(mse, rel=1e-3)


def test_a_pole_is_refused():
    fit = Fraction(np.array([1.0]), np.array([1.0, 2.0]), 0.0)  # 1 / (1 + 2t)
    with pytest.raises(ValueError, match="pole"):
        safe_pade.from_fit(fit)


def test_recentering_keeps_the_function():
    fit = minimax(JUMP, 5, 4)
    np.testing.assert_allclose(recentered(fit, 0.0)(T), fit(T), atol=1e-10)


FAR = np.r_[-(10.0 ** np.arange(31))[::-1], 0.0, 10.0 ** np.arange(31)]


@pytest.mark.parametrize("q", [1, 2, 3, 8])
def test_never_a_pole_at_any_real_argument(q):
    rng = np.random.default_rng(q)
    for _ in range(20):
        form = SafePade(rng.normal(size=q + 2), 100 * rng.normal(size=q + 1), 0.1)
        t = np.r_[np.linspace(-3, 3, 1001), FAR]
        u = t - 0.1
        assert np.isfinite(form.inside(t)).all()
        bound = np.polynomial.polynomial.polyval(np.abs(u), np.abs(form.num))  # the denominator is never below 1
        assert (np.abs(form.inside(t)) <= bound * (1 + 1e-9)).all()


def test_far_outside_the_papers_form_grows_as_its_leading_terms_and_ours_as_the_gates():
    form = safe_pade.from_fit(minimax(targets.relu(), 9, 8))
    t = 10.0 ** np.arange(6, 31)
    # num leads with c t⁹, den with |b| t⁸, and c/b = 1/2 for the ReLU: t/2 on both sides
    np.testing.assert_allclose(form.inside(t), t / 2, rtol=1e-5)
    np.testing.assert_allclose(form.inside(-t), -t / 2, rtol=1e-5)
    np.testing.assert_allclose(form(t), t, rtol=1e-5)  # clamp and tail: the identity on the right
    np.testing.assert_allclose(form(-t), form.inside(np.array([-1.0]))[0], rtol=0, atol=1e-12)  # a constant on the left


def test_beyond_1_the_tail_is_the_identity_and_the_clamp_holds_the_ends():
    beyond = FAR[FAR >= 1]
    np.testing.assert_allclose(FORM(beyond) - FORM(np.ones(1)), beyond - 1, rtol=1e-12)
    np.testing.assert_array_equal(FORM(FAR[FAR < -1]), FORM.inside(np.array([-1.0]))[0])


def test_gradient_and_slope_agree_with_finite_differences():
    t, step = np.linspace(-0.95, 0.95, 41), 1e-6
    np.testing.assert_allclose((FORM.inside(t + step) - FORM.inside(t - step)) / (2 * step), FORM.slope(t), rtol=1e-5)
    flat = np.r_[FORM.num, FORM.den]
    for j in range(len(flat)):
        up, down = flat.copy(), flat.copy()
        up[j] += step
        down[j] -= step
        moved = [SafePade(c[:4], c[4:], 0.1).inside(t) for c in (up, down)]
        np.testing.assert_allclose((moved[0] - moved[1]) / (2 * step), FORM.gradient(t)[:, j], rtol=1e-5, atol=1e-9)


def test_lipschitz_constants_by_pencil():
    # 1 / (1 + |4t|²) has its steepest slope where 48 t² = 1: 3 sqrt(3) / 8 · 4
    bell = SafePade(np.array([1.0, 0.0]), np.array([0.0, 0.0, 16.0]), 0.0)
    assert bell.lipschitz() == pytest.approx(3 * 3**0.5 / 8 * 4, rel=1e-9)
    line = SafePade(np.array([0.0, 3.0]), np.array([0.0]), 0.0)
    assert line.lipschitz() == pytest.approx(3)


@pytest.mark.parametrize("delta", [0.001, 0.02])
def test_lipschitz_bounds_every_difference_and_a_narrow_gap_is_steep(delta):
    form = safe_pade.from_fit(minimax(targets.jumprelu(0.1, delta), 9, 8))
    t = np.sort(np.r_[T, 0.1 + np.linspace(-3 * delta, 3 * delta, 20001)])
    steepest = np.abs(np.diff(form.inside(t)) / np.maximum(np.diff(t), 1e-12)).max()
    assert steepest <= form.lipschitz() * (1 + 1e-6)
    assert steepest > 0.99 * form.lipschitz()
    assert form.lipschitz() > 0.1 / (2 * delta) * 0.9  # from 0 to about theta across the gap
