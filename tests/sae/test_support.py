import numpy as np
import torch

from rsae.rational.safe_pade import SafePade
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.rational import Rational
from rsae.sae.support import mean_l0, settle


def test_eps_is_the_smallest_that_meets_the_teachers_l0(make_sae):
    form = SafePade(np.array([0.02, 0.5, 1.6, 1.2]), np.array([0.1, 0.0, 2.4]), 0.0)
    sae = make_sae(Rational(form, torch.tensor([3.0]), torch.tensor([3.0])))
    with torch.no_grad():
        sae.W_dec *= torch.linspace(0.2, 3, sae.d_sae)[:, None]  # strength is |z| times the row's norm
    chunks = list(torch.randn(300, sae.d_in, generator=torch.Generator().manual_seed(1)).split(128))
    settle(sae, chunks, l0=5.25)
    assert mean_l0(sae, chunks) == 5.25  # 1575 of 300 tokens: attained exactly, for no two are alike
    # brute force over all strengths
    strengths = torch.cat([sae.strength(sae.encode(x)).flatten() for x in chunks]).sort(descending=True).values
    assert sae.eps == float(strengths[1575])
    below = np.nextafter(np.float32(sae.eps), np.float32(0))
    sae.eps = float(below)
    assert mean_l0(sae, chunks) > 5.25


def test_hard_codes_are_the_raw_ones_or_zero(make_sae):
    form = SafePade(np.array([0.02, 0.5, 1.6, 1.2]), np.array([0.1, 0.0, 2.4]), 0.0)
    sae = make_sae(Rational(form, torch.tensor([3.0]), torch.tensor([3.0])), eps=0.5)
    z = sae.encode(torch.randn(50, sae.d_in))
    hard = sae.hard(z)
    on = z.abs() * sae.W_dec.norm(dim=1) > 0.5
    assert 0 < on.sum() < on.numel()
    torch.testing.assert_close(hard, z * on)


def test_a_gate_with_exact_zeros_needs_no_eps(make_sae):
    sae = make_sae(JumpReLU(torch.full((32,), 0.5)))
    z = sae.encode(torch.randn(50, sae.d_in))
    assert sae.hard(z) is z


def test_a_cut_keeps_as_many_features_as_the_teacher_has(make_sae):
    from rsae.sae.gates.topk import TopK
    from rsae.sae.refine.resolvent import Resolvent

    sae = make_sae(TopK(12)).with_refinement(Resolvent(torch.full((32,), -3.0), cut=0.0))
    chunks = list(torch.randn(300, sae.d_in, generator=torch.Generator().manual_seed(1)).split(128))
    settle(sae, chunks, l0=5.25)
    assert sae.eps == 0
    assert sae.refine is not None and sae.refine.cut is not None and sae.refine.cut > 0
    proposed = sum(int((sae.strength(sae.proposed(x)) > sae.refine.cut).sum()) for x in chunks)
    assert proposed == 1575
    assert 5 < mean_l0(sae, chunks) <= 5.25  # a kept feature may still end at 0
