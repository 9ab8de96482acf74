"""Too little memory for a batch: it comes in parts, with the same result, and the report says so."""

import pytest
import torch

from rsae.runtime.checkpoint import Checkpoint
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.refine.resolvent import Resolvent
from rsae.training import finetune as module
from rsae.training import objectives
from rsae.training.finetune import Settings, finetune

SETTINGS = Settings(steps=20, batch=63, lr=1e-3, slow_lr=1e-3, decay_share=0.2, l1_coefficient=0.05)
DATA = torch.randn(300, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def limited(monkeypatch):
    """A machine that holds so many tokens at a time."""
    whole = objectives.loss

    def limit(n):
        def loss(sae, x, *rest):
            if len(x) > n:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return whole(sae, x, *rest)

        monkeypatch.setattr(module.objectives, "loss", loss)

    return limit


def saes(make_sae):
    return {
        ("relu", "paper"): make_sae(ReLU()),
        ("jumprelu", "own"): make_sae(JumpReLU(torch.full((32,), 0.3))),
        ("topk", "weighed"): make_sae(TopK(4)),
        ("resolvent", "own"): make_sae(TopK(4)).with_refinement(Resolvent(torch.zeros(32))),
    }


@pytest.mark.parametrize("key", [("relu", "paper"), ("jumprelu", "own"), ("topk", "weighed"), ("resolvent", "own")])
def test_halved_batches_end_as_whole_ones_do(make_sae, limited, capsys, key):
    settings = SETTINGS._replace(objective=key[1])
    whole, halved = saes(make_sae)[key], saes(make_sae)[key]
    wanted = finetune(whole, DATA, settings, seed=0)
    limited(20)  # of 63: parts of 32 do not fit either
    found = finetune(halved, DATA, settings, seed=0)
    assert (wanted.parts, found.parts) == (1, 4)  # what a training report says
    assert capsys.readouterr().out.count("each batch now comes in") == 2
    assert found.loss_last == pytest.approx(wanted.loss_last, rel=1e-5)
    assert found.loss_first == pytest.approx(wanted.loss_first, rel=1e-5)
    assert found.max_code == pytest.approx(wanted.max_code, rel=1e-4)
    for (name, a), b in zip(whole.named_parameters(), halved.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5, msg=name)


def test_the_number_of_parts_is_remembered_by_a_checkpoint(make_sae, limited, tmp_path):
    limited(32)
    checkpoint = Checkpoint(tmp_path / "s.pt", "a", seconds=0.0)
    finetune(make_sae(ReLU()), DATA, SETTINGS, seed=0, checkpoint=checkpoint)
    state = checkpoint.load()
    assert state is not None
    assert state["parts"] == 2


def test_a_machine_too_small_for_one_token_says_so(make_sae, limited):
    limited(0)
    with pytest.raises(ValueError, match="not enough memory for the fine-tune of one token; take a larger machine"):
        finetune(make_sae(ReLU()), DATA, SETTINGS, seed=0)
