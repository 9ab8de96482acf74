"""Expected values: the known constants of |x|, Zolotarev's closed form, and baryrat."""

import baryrat
import numpy as np
import pytest

from rsae.rational import targets
from rsae.rational.minimax import minimax
from rsae.rational.zolotarev import zolotarev_sign


@pytest.mark.parametrize(
    ("degree", "abs_error"),
    # best uniform errors of |x| on [-1, 1] by type (n, n), n = 2, 4, 6, 8: Varga, Ruttan & Carpenter 1993
    [((3, 2), 0.0436890), ((5, 4), 0.0085015), ((7, 6), 0.0022821), ((9, 8), 0.00073656)],
)
def test_relu_error_is_half_the_known_constant_of_abs(degree, abs_error):
    fit = minimax(targets.relu(), *degree)
    assert fit.converged
    assert fit.max_error == pytest.approx(abs_error / 2, rel=1e-4)


def test_relu_agrees_with_an_independent_library():
    # |t| = sqrt(s) with s = t², so the best (2, 2) approximation of |t| is the best (1, 1) of sqrt
    r, info = baryrat.brasil(np.sqrt, (0, 1), 1, tol=1e-10, info=True)
    fit = minimax(targets.relu(), 3, 2)
    assert fit.max_error == pytest.approx(info.error / 2, rel=1e-5)
    t = np.linspace(-1, 1, 101)
    np.testing.assert_allclose(fit(t), (t + r(t**2)) / 2, atol=1e-5)


@pytest.mark.parametrize(("theta", "delta"), [(0.05, 0.02), (0.1, 0.02), (0.1, 0.05), (0.3, 0.05)])
def test_jumprelu_error_alternates_on_the_continuum(theta, delta):
    target = targets.jumprelu(theta, delta)
    fit = minimax(target, 9, 8)
    assert fit.converged
    # de la Vallée Poussin / Chebyshev: p + q + 2 alternations of equal height prove optimality
    t = np.concatenate([np.linspace(a, b, 200001) for a, b in target.intervals])
    error = fit(t) - target.value(t)
    assert np.abs(error).max() == pytest.approx(fit.max_error, rel=1e-4)
    peaks = np.abs(error) > fit.max_error * (1 - 1e-3)
    signs = np.sign(error[peaks])
    assert 1 + np.count_nonzero(np.diff(signs)) >= 9 + 8 + 2


@pytest.mark.parametrize(("n", "gap", "error"), [(8, 0.1, 8.93454e-5), (9, 0.01, 2.41396e-3)])
def test_zolotarev_error(n, gap, error):
    assert zolotarev_sign(n, gap).error == pytest.approx(error, rel=1e-4)


def test_zolotarev_equioscillates_and_is_odd():
    z = zolotarev_sign(7, 0.05)
    x = np.geomspace(0.05, 1, 100001)
    np.testing.assert_allclose(z(-x), -z(x), rtol=1e-12)
    assert np.abs(z(x) - 1).max() == pytest.approx(z.error, rel=1e-6)
    at_peak = np.abs(z(x) - 1) > z.error * (1 - 1e-4)
    assert 1 + np.count_nonzero(np.diff(np.sign((z(x) - 1)[at_peak]))) == 7 + 1


def test_zolotarev_composed_with_itself():
    # Z_3 of the interval that Z_3 maps onto gives Z_9 (Nakatsukasa & Freund 2016, Thm. 3)
    inner = zolotarev_sign(3, 0.01)
    x = np.geomspace(0.01, 1, 2001)
    values = inner(x) / (1 + inner.error)  # onto [gap', 1]
    outer = zolotarev_sign(3, float(values.min()))
    np.testing.assert_allclose(outer(values), zolotarev_sign(9, 0.01)(x), rtol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("jumprelu", 0.1, 0.95), "gap"),
        (("jumprelu", -0.1, 0.02), "positive"),
        (("jumprelu", 0.1, None), "takes"),
        (("sign", None, 1.5), "delta"),
        (("softplus", None, None), "unknown target"),
    ],
)
def test_bad_targets_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        targets.make(*arguments)


def test_degrees_out_of_range_are_refused():
    with pytest.raises(ValueError, match="degrees"):
        minimax(targets.relu(), 13, 2)
