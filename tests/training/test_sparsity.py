"""A teacher at another sparsity has that sparsity, and is otherwise itself."""

import pytest
import torch

from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.support import mean_l0
from rsae.training.start.refined import pruned
from rsae.training.start.sparsity import at_l0

DATA = list(torch.randn(500, 8, generator=torch.Generator().manual_seed(1)).split(200))
GATES = [ReLU(), JumpReLU(torch.linspace(0.2, 0.6, 32)), TopK(4)]


@pytest.mark.parametrize("gate", GATES, ids=lambda g: g.architecture)
@pytest.mark.parametrize("l0", [2.0, 9.0])
def test_the_l0_that_is_asked_for(make_sae, gate, l0):
    teacher = make_sae(gate)
    found = at_l0(teacher, l0, DATA)
    if isinstance(gate, TopK):
        assert found.gate.k == l0
    else:
        assert mean_l0(found, DATA) == pytest.approx(l0, abs=2 / 500)
    assert type(found.gate) is type(gate)
    assert torch.equal(found.W_dec, teacher.W_dec)
    if isinstance(gate, JumpReLU):
        ratio = found.gate.threshold / teacher.gate.threshold
        torch.testing.assert_close(ratio, ratio[0].expand_as(ratio))
        assert found.gate.bandwidth == gate.bandwidth
    if isinstance(gate, ReLU):
        shift = teacher.b_enc - found.b_enc
        torch.testing.assert_close(shift, shift[0].expand_as(shift))
        assert torch.equal(teacher.b_enc, make_sae(gate).b_enc)  # the teacher is left alone


def test_its_own_l0_changes_next_to_nothing(make_sae):
    teacher = make_sae(ReLU())
    found = at_l0(teacher, mean_l0(teacher, DATA), DATA)
    torch.testing.assert_close(found.b_enc, teacher.b_enc, atol=1e-2, rtol=0)


def test_what_cannot_be_met_is_refused(make_sae):
    with pytest.raises(ValueError, match="whole number of features"):
        at_l0(make_sae(TopK(4)), 2.5, DATA)
    with pytest.raises(ValueError, match="exceeds the 32 features"):
        at_l0(make_sae(ReLU()), 40.0, DATA)
    from rsae.sae.gates.rescaled import Rescaled

    with pytest.raises(ValueError, match="no number that sets its sparsity"):
        at_l0(make_sae(Rescaled.identity(ReLU(), 32)), 4.0, DATA)


def test_where_most_features_are_active_all_are_proposed(make_sae):
    sae = make_sae(TopK(24))  # of 32: 1.5 times as many are more than there are
    sae.b_enc.data += 9.0
    found, facts = pruned(sae, DATA, [0.1], 1.5)
    assert facts["l0_proposed"] == 32
    assert mean_l0(found, DATA) <= 24
