"""The closed form against its defining properties, and the gates rebuilt from it."""

import numpy as np
import pytest

from rsae.rational import targets
from rsae.rational.from_sign import rebuilt, rebuilt_type, sign_of
from rsae.rational.zolotarev import zolotarev_sign


@pytest.mark.parametrize(("n", "gap", "error"), [(8, 0.1, 8.93454e-5), (9, 0.01, 2.41396e-3)])
def test_error_of_an_independent_prototype(n, gap, error):
    assert zolotarev_sign(n, gap).error == pytest.approx(error, rel=1e-5)


def test_degrees_1_and_2_by_pencil():
    gap = 0.3
    assert zolotarev_sign(1, gap).error == pytest.approx((1 - gap) / (1 + gap))  # a x
    # x/(x² + gap) peaks at sqrt(gap) and is equal at both ends: 1/(2 sqrt(gap)) against 1/(1 + gap)
    high, low = 1 / (2 * gap**0.5), 1 / (1 + gap)
    assert zolotarev_sign(2, gap).error == pytest.approx((high - low) / (high + low))


@pytest.mark.parametrize(("n", "gap"), [(7, 0.05), (4, 0.3), (12, 1e-3), (9, 1e-10)])
def test_equioscillates_and_is_odd(n, gap):
    z = zolotarev_sign(n, gap)
    x = np.geomspace(gap, 1, 100001)
    np.testing.assert_allclose(z(-x), -z(x), rtol=1e-12)
    assert np.abs(z(x) - 1).max() == pytest.approx(z.error, rel=1e-6)
    e = z(z.extrema) - 1
    np.testing.assert_allclose(e * (-1.0) ** np.arange(n + 1), e[0], rtol=1e-6)


def test_composed_with_itself():
    # Z_3 of the interval that Z_3 maps onto gives Z_9 (Nakatsukasa & Freund 2016, Thm. 3)
    inner = zolotarev_sign(3, 0.01)
    x = np.geomspace(0.01, 1, 2001)
    values = inner(x) / (1 + inner.error)  # onto [gap', 1]
    outer = zolotarev_sign(3, float(values.min()))
    np.testing.assert_allclose(outer(values), zolotarev_sign(9, 0.01)(x), rtol=1e-8)


@pytest.mark.parametrize(("n", "gap"), [(0, 0.1), (3, 0.0), (3, 1.0)])
def test_bad_arguments_are_refused(n, gap):
    with pytest.raises(ValueError, match="need n >= 1"):
        zolotarev_sign(n, gap)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 11])
@pytest.mark.parametrize(
    "target", [targets.relu(), targets.jumprelu(0.1, 0.02), targets.topk(-0.3, 0.01), targets.sign(0.05)]
)
def test_a_gate_rebuilt_from_the_sign_keeps_the_bound_and_the_type(target, n):
    r, (_, _, bound) = rebuilt(target, n), sign_of(target, n)
    t = np.concatenate([np.linspace(a, b, 20001) for a, b in target.intervals])
    error = np.abs(r(t) - target.value(t)).max()
    assert error <= bound * (1 + 1e-7)
    assert error > 0.3 * bound  # and the bound is no idle one
    assert (len(r.num) - 1, len(r.den) - 1) == rebuilt_type(target, n)


def test_only_gates_are_rebuilt():
    with pytest.raises(ValueError, match="custom"):
        rebuilt(targets.custom(np.exp), 3)
