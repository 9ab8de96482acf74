import copy

import numpy as np
import pytest
import torch

from rsae.rational import safe_pade, targets
from rsae.rational.least_squares import Problem
from rsae.rational.minimax import minimax
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.training.start.calibrate import BINS, NUDGE, RANGE, Histogram, calibrate, histogram, imitated, topk_threshold

JUMP = safe_pade.from_fit(minimax(targets.jumprelu(0.1, 0.02), 9, 8))
RELU = safe_pade.from_fit(minimax(targets.relu(), 3, 2))


def data(d_in, n=3000):
    return list(torch.randn(n, d_in, generator=torch.Generator().manual_seed(3)).split(1000))


def upgraded(sae, form, tau, per_feature):
    gate = imitated(sae, data(sae.d_in), tau, per_feature)
    moved = calibrate(form, histogram(sae, data(sae.d_in), gate))
    sae.gate = Rational(moved.form, gate.scale * moved.c_in, gate.scale * moved.c_out)
    return moved


def test_topk_threshold_keeps_k_on_average(make_sae):
    sae = make_sae(TopK(3))
    tau = topk_threshold(sae, data(sae.d_in))
    kept = sum(int((sae.preactivations(x) > tau).sum()) for x in data(sae.d_in))
    assert kept == 3 * 3000


def test_topk_threshold_needs_k_positive_preactivations(make_sae):
    sae = make_sae(TopK(30))
    with torch.no_grad():
        sae.b_enc -= 1
    with pytest.raises(ValueError, match="TopK keeps 30"):
        topk_threshold(sae, data(sae.d_in))


def test_relu_calibration_removes_most_of_the_minimax_fits_leak(make_sae):
    sae = make_sae(ReLU())
    with torch.no_grad():
        sae.b_enc -= 1.5  # mostly inactive, as a trained SAE is
    codes = [sae.encode(x) for x in data(sae.d_in)]
    moved = upgraded(sae, RELU, 0.0, per_feature=False)
    assert moved.error_after < 0.5 * moved.error_before
    # the stated error is that of the codes themselves, relative to the common scale
    gap = torch.cat([sae.encode(x) - z for x, z in zip(data(sae.d_in), codes, strict=True)])
    scale = max(float(sae.preactivations(x).abs().max()) for x in data(sae.d_in))
    rms = float(gap.square().mean().sqrt()) / scale
    assert moved.error_after == pytest.approx(rms, rel=0.05)


def test_topk_calibration_follows_its_threshold(make_sae):
    sae = make_sae(TopK(3))
    tau = topk_threshold(sae, data(sae.d_in))
    h = torch.cat([sae.preactivations(x) for x in data(sae.d_in)])
    moved = upgraded(sae, JUMP, 0.1, per_feature=False)
    assert moved.error_after < moved.error_before
    assert moved.error_after < 0.02  # of 1 = ten thresholds; the step itself is 0.1 high
    z = torch.cat([sae.encode(x) for x in data(sae.d_in)])
    wanted = torch.where(h > tau, h, 0.0)  # TopK at the supplied threshold, not each token's own k-th value
    square = float((z - wanted).detach().square().mean()) / (tau / 0.1) ** 2
    # the bin that holds the threshold knows its mean only: codes 0 and 0.1 vary around it by at most 0.05
    mixed = float(((h / (tau / 0.1) - 0.1).abs() < 2 * RANGE / BINS).float().mean())
    assert 0.95 * moved.error_after**2 <= square <= 1.05 * moved.error_after**2 + mixed * 0.05**2


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk"])
def test_the_jacobian_on_a_real_histogram_is_the_residuals_derivative(make_sae, kind):
    gate = {"relu": ReLU(), "jumprelu": JumpReLU(torch.linspace(0.3, 2, 32)), "topk": TopK(3)}[kind]
    form, tau = (RELU, 0.0) if kind == "relu" else (JUMP, 0.1)
    sae = make_sae(gate)
    hist = histogram(sae, data(sae.d_in), imitated(sae, data(sae.d_in), tau, per_feature=True))
    problem = Problem(form, hist.centers, hist.wanted, hist.weights, constant=True, scales=True, rigidity=NUDGE)
    y = 1e-3 * np.random.default_rng(0).normal(size=len(problem.free))
    step = 1e-7
    columns = [(problem.residual(y + step * e) - problem.residual(y - step * e)) / (2 * step) for e in np.eye(len(y))]
    jacobian = problem.jacobian(y)
    np.testing.assert_allclose(jacobian, np.stack(columns, 1), rtol=1e-3, atol=1e-5 * np.abs(jacobian).max())


def test_one_shared_rational_serves_every_jumprelu_threshold(make_sae):
    thresholds = torch.linspace(0.3, 2, 32)
    sae = make_sae(JumpReLU(thresholds))
    codes = torch.cat([sae.encode(x) for x in data(sae.d_in)])
    h = torch.cat([sae.preactivations(x) for x in data(sae.d_in)])
    gate = imitated(sae, data(sae.d_in), 0.1, per_feature=True)

    sae.gate = Rational(JUMP, gate.scale, gate.scale)
    before = torch.cat([sae.encode(x) for x in data(sae.d_in)]) - codes
    # in h the fit's gap is theta ± 20%, its error 2.1097e-4 · theta / 0.1; 1e-5 is fp32
    asked = ((h / thresholds - 1).abs() > 0.2) & ((h / gate.scale).abs() <= 1)
    assert (before.abs() / thresholds)[asked].max() < 2.1097e-3 + 1e-5

    moved = calibrate(JUMP, histogram(sae_with(sae, JumpReLU(thresholds)), data(sae.d_in), gate))
    sae.gate = Rational(moved.form, gate.scale * moved.c_in, gate.scale * moved.c_out)
    after = torch.cat([sae.encode(x) for x in data(sae.d_in)]) - codes
    assert after.square().sum() < 0.8 * before.square().sum()


def sae_with(sae, gate):
    twin = copy.copy(sae)
    twin._modules = dict(sae._modules) | {"gate": gate}
    return twin


def test_no_active_mass_is_refused(make_sae):
    sae = make_sae(ReLU())
    with torch.no_grad():
        sae.b_enc -= 100
    with pytest.raises(ValueError, match="no active mass"):
        histogram(sae, data(sae.d_in), imitated(sae, data(sae.d_in), 0.0, per_feature=False))


def test_thresholds_that_are_all_zero_are_refused(make_sae):
    with pytest.raises(ValueError, match="kind: relu"):
        imitated(make_sae(JumpReLU(torch.zeros(32))), [], 0.1, per_feature=True)


def test_least_squares_never_ends_above_its_start():
    rng = np.random.default_rng(0)
    centers = np.linspace(-1, 1.5, 500)
    for _ in range(5):
        weights = rng.random(500)
        hist = Histogram(centers, weights / weights.sum(), np.where(centers > 0.1, centers, 0.0))
        moved = calibrate(JUMP, hist)
        assert moved.error_after <= moved.error_before
