import pytest
import torch

from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.supported import Supported, identity_curve
from rsae.sae.gates.topk import TopK
from rsae.sae.model import LAYER_NORM_EPS
from rsae.sae.support import mean_l0
from rsae.training.start.layer_norm import layer_normalised
from rsae.training.start.refined import with_rho

D_SAE = 32


def activations(mean, std, n_tok=500, d_in=8):
    """Tokens that all have this mean and this std."""
    x = torch.randn(n_tok, d_in, generator=torch.Generator().manual_seed(0))
    x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    return x * std + mean


@pytest.mark.parametrize(
    "gate", [ReLU(), JumpReLU(torch.linspace(0.2, 0.6, D_SAE)), TopK(4)], ids=lambda g: g.architecture
)
@pytest.mark.parametrize("subtracts", [True, False])
def test_where_all_tokens_are_equally_loud_nothing_changes(make_sae, gate, subtracts):
    teacher = make_sae(gate)
    teacher.apply_b_dec_to_input = subtracts
    x = activations(mean=0.7, std=3.0)
    sae, facts = layer_normalised(teacher, [x[:200], x[200:]])
    assert facts["mean"] == pytest.approx(0.7, abs=1e-5)
    assert facts["std"] == pytest.approx(3.0, rel=1e-5)
    with torch.no_grad():
        expected = teacher.encode(x)
        got = sae.encode(x) * (facts["std"] + LAYER_NORM_EPS)
        same = (got != 0) == (expected != 0)
        assert same.float().mean() > 0.999  # a code in the last bit of its threshold may fall on either side
        # ReLU's biases move by the gap between two codes at zero
        torch.testing.assert_close(got[same], expected[same], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(sae.decode(sae.encode(x), x), teacher.decode(expected, x), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("gate", [ReLU(), JumpReLU(torch.linspace(0.2, 0.6, D_SAE))], ids=lambda g: g.architecture)
def test_l0_is_the_teachers_where_tokens_differ(make_sae, gate):
    teacher = make_sae(gate)
    x = torch.cat([activations(0.0, 0.5), activations(0.0, 3.0)])
    sae, _ = layer_normalised(teacher, [x])
    assert mean_l0(sae, [x]) == pytest.approx(mean_l0(teacher, [x]), abs=2 / len(x))


def test_what_cannot_be_normalised_is_refused(make_sae):
    x = activations(0.0, 1.0)
    once, _ = layer_normalised(make_sae(ReLU()), [x])
    with pytest.raises(ValueError, match="normalises its input already"):
        layer_normalised(once, [x])
    with pytest.raises(ValueError, match="normalise the bare SAE"):
        layer_normalised(with_rho(make_sae(ReLU()), 0.1), [x])
    with pytest.raises(ValueError, match="no number that sets its sparsity"):
        layer_normalised(make_sae(Supported(ReLU(), identity_curve("affine"))), [x])
