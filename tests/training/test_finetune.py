import pytest
import torch

from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.training import objectives
from rsae.training.finetune import Settings, finetune

SETTINGS = Settings(steps=60, batch=64, lr=1e-2, slow_lr=1e-3, decay_share=0.2, l1_coefficient=0.05)


@pytest.mark.parametrize("gate", [ReLU(), JumpReLU(torch.full((32,), 0.3)), TopK(4)])
def test_finetuning_lowers_the_objective_and_repeats_to_the_bit(make_sae, gate):
    data = torch.randn(640, 8, generator=torch.Generator().manual_seed(5))

    def objective(sae):
        with torch.no_grad():
            return float(objectives.loss(sae, data, "paper", SETTINGS.l1_coefficient)[0])

    import copy

    first, second = make_sae(copy.deepcopy(gate)), make_sae(copy.deepcopy(gate))
    before = objective(first)
    finetune(first, data, SETTINGS, seed=0)
    finetune(second, data, SETTINGS, seed=0)
    assert objective(first) < 0.8 * before
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_only_what_the_arm_trains_moves(make_sae):
    data = torch.randn(640, 8, generator=torch.Generator().manual_seed(5))
    sae = make_sae(ReLU())
    before = {name: p.detach().clone() for name, p in sae.named_parameters()}
    finetune(sae, data, SETTINGS, seed=0, trains=("W_dec", "b_dec"))
    moved = {name for name, p in sae.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"W_dec", "b_dec"}
    with pytest.raises(ValueError, match="nothing would be trained"):
        finetune(sae, data, SETTINGS, seed=0, trains=("nothing",))


def test_too_few_rows_and_a_diverging_loss_are_refused(make_sae):
    with pytest.raises(ValueError, match="fewer than one batch"):
        finetune(make_sae(ReLU()), torch.randn(10, 8), SETTINGS, seed=0)
    with pytest.raises(ValueError, match="lower `lr`"):
        finetune(make_sae(ReLU()), torch.full((64, 8), 1e30), SETTINGS, seed=0)
