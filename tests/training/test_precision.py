"""Products in fewer bits: what they may touch, and what they must not."""

import pytest
import torch

from rsae.rational import targets
from rsae.rational.minimax import minimax
from rsae.rational.safe_pade import from_fit
from rsae.runtime.precision import exact, forward, training
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.refine.resolvent import Resolvent
from rsae.training.finetune import Settings, finetune
from rsae.training.start.refined import with_rho

D_SAE = 32
BF16 = 2.0**-8  # spacing of bfloat16 just above 1


def settings(precision, **other):
    base = {"steps": 60, "batch": 64, "lr": 3e-3, "slow_lr": 1e-3, "decay_share": 0.2, "l1_coefficient": 0.05}
    return Settings(**{**base, "precision": precision, **other})


def gates():
    form = from_fit(minimax(targets.relu(), 3, 2))
    return {
        "relu": ReLU(),
        "jumprelu": JumpReLU(torch.linspace(0.2, 0.6, D_SAE)),
        "topk": TopK(4),
        "rational": Rational(form, torch.full((1,), 4.0), torch.full((1,), 4.0)),
    }


def error(sae, x):
    with torch.no_grad():
        return float((x - sae.decode(sae.encode(x))).square().sum(1).mean())


@pytest.fixture
def x():
    return torch.randn(512, 8, generator=torch.Generator().manual_seed(3))


def flag():
    return torch.backends.cuda.matmul.fp32_precision


def test_flags_are_set_for_as_long_as_they_are_wanted():
    before = flag()
    with pytest.raises(KeyError), training("tf32"):
        assert flag() == "tf32"
        with exact("cpu"):
            assert flag() == "ieee"
        assert flag() == "tf32"
        raise KeyError
    assert flag() == before
    with training("bf16"):
        assert flag() == "tf32"  # what no autocast reaches, such as the products of a gradient
    with training("fp32"):
        assert flag() == "ieee"


def test_bf16_rounds_products_and_exact_undoes_it():
    a = torch.tensor([[1 + BF16 / 4]])  # between two numbers of bfloat16
    with forward("bf16", "cpu"):
        assert float(a @ torch.eye(1)) == 1.0
        with exact("cpu"):
            assert float(a @ torch.eye(1)) == 1 + BF16 / 4
    for precision in ("fp32", "tf32"):
        with forward(precision, "cpu"):
            assert float(a @ torch.eye(1)) == 1 + BF16 / 4


@pytest.mark.parametrize("name", gates())
def test_bf16_trains_as_far_as_fp32(make_sae, x, name):
    trained = {}
    for precision in ("fp32", "bf16"):
        trained[precision] = make_sae(gates()[name])
        finetune(trained[precision], x, settings(precision), seed=0)
        assert all(p.dtype == torch.float32 for p in trained[precision].parameters())
    before, reached = error(make_sae(gates()[name]), x), {k: error(s, x) for k, s in trained.items()}
    assert reached["fp32"] < 0.9 * before
    assert reached["bf16"] == pytest.approx(reached["fp32"], rel=0.02)
    assert not torch.equal(trained["bf16"].W_dec, trained["fp32"].W_dec)


def test_a_step_smaller_than_bf16_can_hold_is_not_lost(make_sae, x):
    sae = make_sae(ReLU())
    before = sae.W_dec.detach().clone()
    finetune(sae, x, settings("bf16", steps=20, lr=1e-6, decay_share=0.05), seed=0)
    moved = (sae.W_dec.detach() - before).abs()
    assert 0 < float(moved.max()) < BF16 * float(before.abs().max()) / 10


def test_tf32_changes_no_bit_on_a_cpu(make_sae, x):
    ends = []
    for precision in ("fp32", "tf32"):
        sae = make_sae(TopK(4))
        finetune(sae, x, settings(precision), seed=0)
        ends.append(sae.W_enc.detach())
    assert torch.equal(*ends)


def test_a_large_mean_leaves_no_mark(make_sae):
    """Rounded where it stands, a mean of 100 leaves an error of 100 · 2^-9 that no fp32 evaluation has."""
    x = torch.randn(512, 8, generator=torch.Generator().manual_seed(3)) + 100.0
    sae = make_sae(ReLU())
    sae.b_dec.data.fill_(100.0)
    with torch.no_grad():
        h, x_hat = sae.preactivations(x), sae.decode(sae.encode(x))
        with forward("bf16", "cpu"):
            rounded_h, rounded_x_hat = sae.preactivations(x), sae.decode(sae.encode(x))
    for rounded, wanted in ((rounded_h, h), (rounded_x_hat, x_hat)):
        assert rounded.dtype == torch.float32
        off = rounded - wanted
        assert 0 < float(off.square().mean().sqrt()) < 0.03
        assert float(off.mean(0).abs().max()) < 0.01


@pytest.mark.parametrize("cut", [None, 0.05])
def test_a_refined_sae_trains_under_bf16(make_sae, x, cut):
    trained = {}
    for precision in ("fp32", "bf16"):
        trained[precision] = with_rho(make_sae(TopK(6)), 0.1, cut=cut)
        finetune(trained[precision], x, settings(precision, objective="own"), seed=0)
        assert trained[precision].refine.log_rho.dtype == torch.float32
    before = error(with_rho(make_sae(TopK(6)), 0.1, cut=cut), x)
    assert error(trained["fp32"], x) < 0.9 * before
    assert error(trained["bf16"], x) == pytest.approx(error(trained["fp32"], x), rel=0.02)


def test_a_refinement_solves_in_fp32(make_sae, x):
    """Codes proposed under bf16 are as good a solution of their equations as any: checked against float64."""
    sae = with_rho(make_sae(TopK(4)), 1e-3, rectify=False)
    with torch.no_grad(), forward("bf16", "cpu"):
        z0 = sae.gate(sae.preactivations(x))
        z, proposed = sae.refined(x, z0), sae.proposed(x)
    torch.testing.assert_close(proposed, z.relu())
    assert isinstance(sae.refine, Resolvent)
    W, rho = sae.W_dec.detach().double(), sae.refine.log_rho.detach().double().exp()
    for token in range(20):
        S = z0[token].nonzero()[:, 0]
        right = W[S] @ (x[token] - sae.b_dec.detach()).double() + rho[S] * z0[token, S].double()
        expected = torch.linalg.solve(W[S] @ W[S].T + torch.diag(rho[S]), right)
        torch.testing.assert_close(z[token, S].double(), expected, atol=1e-3, rtol=1e-3)
