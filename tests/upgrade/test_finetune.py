import pytest
import torch

from rsae.gates.jumprelu import JumpReLU
from rsae.gates.relu import ReLU
from rsae.gates.topk import TopK
from rsae.upgrade.finetune import Settings, finetune, upgrade_loss

SETTINGS = Settings(steps=60, batch=64, lr=1e-2, slow_lr=1e-3, decay_share=0.2, l1_coefficient=0.05)


def test_loss_by_hand():
    x, x_hat = torch.tensor([[0.0, 1.0], [2.0, 2.0]]), torch.tensor([[0.0, 3.0], [1.0, 1.0]])
    z = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 4.0]])
    assert float(upgrade_loss(x, x_hat, z, 0.5)) == pytest.approx((4 + 0.5 * 3 + 2 + 0.5 * 4) / 2)


@pytest.mark.parametrize("gate", [ReLU(), JumpReLU(torch.full((32,), 0.3)), TopK(4)])
def test_finetuning_lowers_the_objective_and_repeats_to_the_bit(make_sae, gate):
    data = torch.randn(640, 8, generator=torch.Generator().manual_seed(5))

    def objective(sae):
        with torch.no_grad():
            z = sae.encode(data)
            return float(upgrade_loss(data, sae.decode(z), z, SETTINGS.l1_coefficient))

    import copy

    first, second = make_sae(copy.deepcopy(gate)), make_sae(copy.deepcopy(gate))
    before = objective(first)
    finetune(first, data, SETTINGS, seed=0)
    finetune(second, data, SETTINGS, seed=0)
    assert objective(first) < 0.8 * before
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_too_few_rows_and_a_diverging_loss_are_refused(make_sae):
    with pytest.raises(ValueError, match="fewer than one batch"):
        finetune(make_sae(ReLU()), torch.randn(10, 8), SETTINGS, seed=0)
    with pytest.raises(ValueError, match="lower `lr`"):
        finetune(make_sae(ReLU()), torch.full((64, 8), 1e30), SETTINGS, seed=0)
