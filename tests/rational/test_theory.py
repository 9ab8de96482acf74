"""Pieces against pencil and the asymptotic constant; rates against laws that are known exactly."""

import numpy as np
import pytest

from rsae.rational.affine_pieces import fewest_continuous, fewest_jumping
from rsae.rational.rates import growth, power
from rsae.rational.zolotarev import zolotarev_sign

T = np.linspace(-1, 1, 20001)


@pytest.mark.parametrize("eps", [1e-1, 1e-2, 1e-3])
def test_pieces_of_a_parabola_by_pencil(eps):
    # a centred chord of length l errs by l²/8 from x²
    wanted = int(np.ceil(2 / np.sqrt(8 * eps)))
    assert fewest_jumping(T, T**2, eps) == wanted
    assert fewest_continuous(T, T**2, eps) == wanted  # x² needs no jumps: chords meet at x² - eps


def test_pieces_that_are_affine_are_found():
    f = np.where(T < 0.25, 2 * T, 3.0)
    assert fewest_jumping(T, np.abs(T), 1e-6) == 2
    assert fewest_jumping(T, f, 0.1) <= 3  # the jump itself lies between two points, which a piece may join
    assert fewest_continuous(T, np.abs(T - 0.25), 1e-6) == 2


def test_pieces_of_the_papers_bump_follow_the_asymptotic_count():
    eta = 0.1
    f = eta**2 / (T**2 + eta**2)
    curvature = eta**2 * (6 * T**2 - 2 * eta**2) / (T**2 + eta**2) ** 3
    constant = np.trapezoid(np.sqrt(np.abs(curvature)), T) / 4
    for eps in (1e-2, 1e-3, 1e-4):
        low, high = fewest_jumping(T, f, eps), fewest_continuous(T, f, eps)
        assert low <= high <= low + 4  # two inflections: where pieces with and without jumps can differ
        assert low == pytest.approx(constant / np.sqrt(eps), abs=3, rel=0.02)


def test_points_that_are_too_coarse_are_refused():
    for fewest in (fewest_continuous, fewest_jumping):
        with pytest.raises(ValueError, match="too coarse"):
            fewest(T[::1000], np.sin(40 * T[::1000]), 1e-3)


def test_a_power_law_is_recovered_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(0)
    x = np.geomspace(1e-5, 1e-1, 30)
    exact = power(x, 3 * x**-0.5)
    assert exact.value == pytest.approx(-0.5)
    held = 0
    for _ in range(200):
        noisy = power(x, 3 * x**-0.5 * np.exp(0.1 * rng.normal(size=30)))
        held += noisy.low <= -0.5 <= noisy.high
    assert 180 <= held <= 199  # 95% of 200, give or take 3.2 standard deviations
    with pytest.raises(ValueError, match="positive"):
        power(x, -x)


def test_zolotarevs_rate_is_recovered_from_his_errors():
    rows = [(n, d, zolotarev_sign(n, d).error) for d in (1e-2, 1e-3, 1e-4) for n in range(4, 40, 4)]
    n, delta, eps = np.array([r for r in rows if 1e-9 < r[2] < 1e-2]).T
    rate = growth(n, eps, delta)
    assert rate.b is not None
    assert (rate.a.value, rate.b.value) == (pytest.approx(1, abs=0.01), pytest.approx(1, abs=0.01))
    assert rate.speed.value == pytest.approx(np.pi**2 / 2, rel=0.02)


def test_a_root_exponential_is_recovered():
    n = np.arange(2, 41, 2.0)
    rate = growth(n, 4 * np.exp(-np.pi * np.sqrt(n)))
    assert rate.a.value == pytest.approx(2, rel=1e-4)
    assert rate.speed.value == pytest.approx(np.pi, rel=1e-4)
