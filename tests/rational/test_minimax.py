"""Expected values: pencil, the known constants of |x|, Zolotarev's closed form, baryrat, linear programs."""

from math import sqrt

import baryrat
import numpy as np
import pytest
from scipy.optimize import linprog

from rsae.rational import targets
from rsae.rational.attempts import Attempts
from rsae.rational.exchange import exchange, on_continuum
from rsae.rational.fraction import Fraction, levelled
from rsae.rational.minimax import minimax
from rsae.rational.zolotarev import zolotarev_sign


@pytest.mark.parametrize(
    ("degree", "relu_error"),
    # half the best uniform errors of |x| on [-1, 1] by type (n, n), n = 2, 4, 6, 8: Varga, Ruttan & Carpenter 1991
    [((3, 2), 2.18445063e-2), ((5, 4), 4.25074235e-3), ((7, 6), 1.14105300e-3), ((9, 8), 3.68281809e-4)],
)
def test_relu_error_is_half_the_known_constant_of_abs(degree, relu_error):
    fit = minimax(targets.relu(), *degree)
    assert fit.converged
    assert fit.max_error == pytest.approx(relu_error, rel=1e-6)


@pytest.mark.parametrize(("degree", "m"), [((3, 2), 1), ((5, 4), 2), ((7, 6), 3)])
def test_relu_agrees_with_an_independent_library(degree, m):
    # |t| = sqrt(s) with s = t², so the best (2m, 2m) approximation of |t| is the best (m, m) of sqrt
    r, info = baryrat.brasil(np.sqrt, (0, 1), m, tol=1e-9, info=True)
    fit = minimax(targets.relu(), *degree)
    assert fit.max_error == pytest.approx(info.error / 2, rel=1e-6)
    t = np.linspace(-1, 1, 101)
    np.testing.assert_allclose(fit(t), (t + r(t**2)) / 2, atol=1e-7)


def test_the_lowest_types_of_relu_by_pencil():
    line = minimax(targets.relu(), 1, 0)  # t/2 + 1/4
    np.testing.assert_allclose(line.num, [0.25, 0.5], atol=1e-14)
    assert (line.max_error, line.n_alternations) == (pytest.approx(0.25), 3)
    # r(-1) = -e, r(0) = e, r(1) = 1 + e and r - t touching -e between give 4e² + 8e = 1
    assert minimax(targets.relu(), 1, 1).max_error == pytest.approx((sqrt(5) - 2) / 2, rel=1e-9)


def test_relu_of_type_5_3_is_that_of_type_4_2():
    # ReLU(t) = t + ReLU(-t), so the best r is (t + s)/2 with s even: (5, 3) has the defect 1
    low, high = minimax(targets.relu(), 4, 2), minimax(targets.relu(), 5, 3)
    assert high.max_error == low.max_error
    assert (low.defect, high.defect) == (0, 1)
    assert low.n_alternations == high.n_alternations == 5 + 3 + 2 - 1
    t = np.linspace(-1, 1, 101)
    np.testing.assert_allclose(high(t) - high(-t), t, atol=1e-14)


@pytest.mark.parametrize(
    ("theta", "delta", "error"),
    [(0.05, 0.02, 1.6339e-4), (0.1, 0.02, 2.1097e-4), (0.1, 0.05, 4.9264e-5), (0.3, 0.05, 6.8330e-5)],
)
def test_jumprelu_errors_of_an_independent_prototype_alternate_on_the_continuum(theta, delta, error):
    target = targets.jumprelu(theta, delta)
    fit = minimax(target, 9, 8)
    assert fit.converged
    assert fit.max_error == pytest.approx(error, rel=1e-4)
    # Chebyshev: p + q + 2 alternations of equal height prove optimality, here on points of our choice
    t = np.concatenate([np.linspace(a, b, 200001) for a, b in target.intervals])
    e = fit(t) - target.value(t)
    assert np.abs(e).max() <= fit.max_error * (1 + 1e-9)
    signs = np.sign(e[np.abs(e) > fit.max_error * (1 - 1e-3)])
    assert 1 + np.count_nonzero(np.diff(signs)) >= 9 + 8 + 2


GRID = [
    (theta, delta, degree)
    for theta in (0.02, 0.05, 0.1, 0.2, 0.5)
    for delta in (0.001, 0.005, 0.01, 0.05, 0.1)
    for degree in ((3, 2), (5, 4), (7, 6), (9, 8))
]


def test_at_least_97_of_100_jumps_converge_and_are_proven_best():
    converged = 0
    for theta, delta, (p, q) in GRID:
        target = targets.jumprelu(theta, delta)
        fit = minimax(target, p, q)
        converged += fit.converged
        if fit.converged:
            e = fit(fit.peaks) - target.value(fit.peaks)
            level = e[np.abs(e) >= np.abs(e).max() * (1 - 1e-5)]
            assert 1 + np.count_nonzero(np.diff(np.sign(level))) >= p + q + 2 - fit.defect, (theta, delta, p, q)
            assert fit.deviation < 1e-5
        assert not np.any([(a <= r) & (r <= b) for r in poles(fit) for a, b in target.intervals])
    assert converged >= 97


def poles(fit):
    return Fraction(fit.num, fit.den, fit.center).poles()


def feasible(f, t, p, q, error):
    """Whether some num/den of type (p, q) with den >= 1 on t stays within ``error``, by a linear program."""
    vp, vq = np.vander(t, p + 1, increasing=True), np.vander(t, q + 1, increasing=True)
    rows = [
        np.hstack([vp, -(f + error)[:, None] * vq]),
        np.hstack([-vp, (f - error)[:, None] * vq]),
        np.hstack([np.zeros_like(vp), -vq]),
    ]
    right = np.r_[np.zeros(2 * len(t)), -np.ones(len(t))]
    return linprog(np.zeros(p + q + 2), np.vstack(rows), right, bounds=(None, None)).status == 0


@pytest.mark.parametrize("target", [targets.relu(), targets.jumprelu(0.2, 0.1), targets.topk(-0.1, 0.1)])
@pytest.mark.parametrize("degree", [(2, 1), (3, 2), (2, 2)])
def test_on_a_grid_a_linear_program_finds_nothing_better(target, degree):
    t = np.linspace(-1, 1, 201)
    t = t[target.asked(t)]
    p, q = degree
    fit = minimax(target, p, q, grid=201)
    assert fit.converged
    assert np.abs(fit(t) - target.value(t)).max() == pytest.approx(fit.max_error, rel=1e-9)
    assert feasible(target.value(t), t, p, q, fit.max_error * (1 + 1e-3))
    assert not feasible(target.value(t), t, p, q, fit.max_error * (1 - 1e-3))


def test_the_papers_grid_is_nearly_the_continuum():
    target = targets.jumprelu(0.1, 0.02)
    fine, coarse = minimax(target, 9, 8), minimax(target, 9, 8, grid=4001)
    assert coarse.converged
    assert 0.99 * fine.max_error < coarse.max_error <= fine.max_error


@pytest.mark.parametrize(("degree", "n"), [((3, 2), 3), ((4, 4), 4), ((8, 8), 8), ((9, 8), 9), ((9, 9), 9)])
@pytest.mark.parametrize("delta", [0.001, 0.05])
def test_sign_is_zolotarevs(degree, n, delta):
    fit, z = minimax(targets.sign(delta), *degree), zolotarev_sign(n, delta)
    assert fit.converged
    assert fit.max_error == pytest.approx(z.error, rel=1e-7)
    assert fit.n_alternations == 2 * (n + 1)
    np.testing.assert_allclose(fit(z.extrema), z(z.extrema), atol=1e-7 * z.error)


def test_sign_of_an_even_degree_numerator_has_a_defect():
    # den is positive on both sides, hence even, hence constant: a t, and a = 2/(1 + delta) levels it
    fit = minimax(targets.sign(0.05), 2, 1)
    assert fit.max_error == pytest.approx(0.95 / 1.05)
    assert (fit.defect, fit.n_alternations, fit.converged) == (1, 4, True)


def test_topk_is_a_jump_at_any_supplied_threshold():
    assert minimax(targets.topk(0.1, 0.02), 5, 4).max_error == minimax(targets.jumprelu(0.1, 0.02), 5, 4).max_error
    assert minimax(targets.topk(-0.2, 0.02), 5, 4).converged


def test_a_callable_of_ones_own():
    abs_ = minimax(targets.custom(np.abs, breaks=[0.0]), 2, 0)  # t² + 1/8
    assert abs_.max_error == pytest.approx(1 / 8)
    power = minimax(targets.custom(lambda t: t**5), 4, 0)  # t⁵ - T₅/16
    assert power.max_error == pytest.approx(1 / 16)
    _, info = baryrat.brasil(np.exp, (-1, 1), 2, tol=1e-7, info=True)
    assert minimax(targets.custom(np.exp), 2, 2).max_error == pytest.approx(info.error, rel=1e-6)


def test_a_callable_that_is_rational_is_reproduced():
    fit = minimax(targets.custom(lambda t: (1 + t) / (1 + 25 * t**2)), 6, 5)
    assert fit.converged
    assert fit.max_error < 1e-13
    assert "rounding" in fit.reason


def test_a_wave_that_no_low_degree_follows_is_best_left_alone():
    # cos 40t alternates 25 times around 0, so 0 is the best of every type with p + q + 2 <= 25
    fit = minimax(targets.custom(lambda t: np.cos(40 * t)), 4, 4)
    assert fit.converged
    assert fit.max_error == pytest.approx(1)


@pytest.mark.parametrize("target", [targets.relu(), targets.sign(0.05), targets.jumprelu(0.1, 0.02)])
def test_every_type_comes_back_with_a_verdict_and_no_worse_than_a_lower_one(target):
    errors = {}
    for p in (1, 4, 9, 12):
        for q in (0, 3, 8, 12):
            fit = minimax(target, p, q)
            errors[p, q] = fit.max_error
            assert len(fit.num) == p + 1
            assert len(fit.den) == q + 1
            assert fit.converged == (fit.n_alternations >= p + q + 2 - fit.defect)
            if fit.converged:
                assert fit.max_error <= min(e for (a, b), e in errors.items() if a <= p and b <= q) * (1 + 1e-5)


def test_a_fallback_is_named():
    fit = minimax(targets.jumprelu(0.2, 0.001), 3, 2)
    assert fit.converged
    assert "homotopy in delta" in fit.reason
    assert "homotopy in degree" in minimax(targets.relu(), 2, 5).reason


def test_without_convergence_the_best_candidate_says_so():
    # one alternation short of a proof; why no exchange finds it is not known
    fit = minimax(targets.jumprelu(0.1, 0.02), 9, 1)
    assert not fit.converged
    assert "11 times" in fit.reason
    assert "12 prove it" in fit.reason


def test_the_last_resort_is_the_product_form_within_its_bound():
    target = targets.jumprelu(0.1, 0.02)
    found, how = Attempts(target).best_candidate(9, 8)
    assert "product form" in how
    assert found.max_error <= zolotarev_sign(8, 0.02 / 1.1).error / 2 * (1 + 1e-9)


def test_a_step_that_meets_a_pole_is_halved_and_a_hopeless_reference_given_up():
    target = targets.jumprelu(0.1, 0.02)
    even = np.concatenate([np.linspace(-1, 0.08, 10), np.linspace(0.12, 1, 9)])
    found, steps = exchange(target, 9, 8, even, on_continuum(target))
    assert found is None or not found.converged
    assert steps < 30


def test_levelled_error_alternates_on_its_points_by_construction():
    target = targets.jumprelu(0.5, 0.001)
    points = minimax(target, 9, 8).peaks
    moved = points + 1e-3 * (points - 0.5)  # off the peaks, and level there nevertheless
    moved[[0, -1]] = -1, 1
    r = levelled(moved, target.value(moved), 9, 8, 0.5)
    assert r is not None
    e = target.value(moved) - r(moved)
    np.testing.assert_allclose(e * (-1.0) ** np.arange(19), e[0], rtol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("jumprelu", 0.1, 0.95), "swallows"),
        (("jumprelu", 0.1, 0.0), "positive width"),
        (("jumprelu", 0.1, float("nan")), "delta = nan"),
        (("jumprelu", -0.1, 0.02), "theta must be positive"),
        (("jumprelu", float("nan"), 0.02), "theta must be positive"),
        (("jumprelu", 0.1, None), "takes theta and delta"),
        (("sign", None, 1.5), "delta"),
        (("relu", 0.1, None), "no parameters"),
        (("softplus", None, None), "unknown target"),
    ],
)
def test_bad_targets_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        targets.make(*arguments)


@pytest.mark.parametrize(
    ("value", "intervals", "says"),
    [
        (np.log, ((-1.0, 1.0),), "not finite at t = -1"),
        (np.exp, ((-1.0, 0.5), (0.2, 1.0)), "ascending"),
        (np.exp, ((-3.0, 1.0),), "inside"),
        (np.sum, ((-1.0, 1.0),), "same shape"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_callables_are_refused(value, intervals, says):
    with pytest.raises(ValueError, match=says):
        targets.custom(value, intervals)


@pytest.mark.parametrize("degree", [(13, 2), (0, 2), (2, -1), (2, 13)])
def test_degrees_out_of_range_are_refused(degree):
    with pytest.raises(ValueError, match="degrees"):
        minimax(targets.relu(), *degree)


def test_a_grid_of_too_few_points_is_refused():
    with pytest.raises(ValueError, match="leaves 9 points"):
        minimax(targets.relu(), 9, 8, grid=9)
