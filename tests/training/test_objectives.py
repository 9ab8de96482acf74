"""Every objective by hand, and which way its gradient goes."""

import pytest
import torch

from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.rescaled import Rescaled
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.sae.refine.resolvent import Resolvent
from rsae.training.objectives import loss

# h = x, decoder rows (2, 0) and (0, 1): codes (3, 1) and (0, 2), outputs (6, 1) and (0, 2)
X = torch.tensor([[3.0, 1.0], [-1.0, 2.0]])
ERROR = ((3 - 6) ** 2 + 1) / 2  # per token
DECODER = torch.diag(torch.tensor([2.0, 1.0]))


def gradient(one, name):
    return torch.autograd.grad(loss(one, X, "own", 0.5)[0], getattr(one, name))[0]


def sae(gate):
    return SAE(torch.eye(2), torch.zeros(2), DECODER, torch.zeros(2), gate)


@pytest.mark.parametrize(
    ("gate", "objective", "price"),
    [
        (ReLU(), "paper", (3 + 1 + 2) / 2),
        (ReLU(), "weighed", (3 * 2 + 1 + 2) / 2),
        (ReLU(), "own", (3 * 2 + 1 + 2) / 2),
        (JumpReLU(torch.zeros(2)), "own", 3 / 2),  # active features per token
        (JumpReLU(torch.zeros(2)), "paper", (3 + 1 + 2) / 2),
        (TopK(2), "own", 0.0),
        (TopK(2), "paper", (3 + 1 + 2) / 2),
        (Rescaled.identity(JumpReLU(torch.zeros(2)), 2), "own", 3 / 2),
        (ReLU(), "error", 0.0),
        (JumpReLU(torch.zeros(2)), "error", 0.0),
    ],
)
def test_by_hand(gate, objective, price):
    value, z = loss(sae(gate), X, objective, 0.5)
    assert float(value) == pytest.approx(ERROR + 0.5 * price)
    assert z.tolist() == [[3.0, 1.0], [0.0, 2.0]]


def test_l0_raises_the_thresholds_of_features_that_barely_fire():
    gate = JumpReLU(torch.tensor([0.98, 0.5]), bandwidth=0.1)
    assert gate.count(torch.tensor([[1.0, 3.0]])).tolist() == [[1.0, 1.0]]
    gate.count(torch.tensor([[1.0, 3.0], [0.95, 0.0]])).sum().backward()
    # two tokens lie within half a bandwidth of the first threshold: -1/bandwidth each
    assert gate.threshold.grad is not None
    assert gate.threshold.grad.tolist() == [pytest.approx(-20.0), 0.0]


def test_a_refinement_adds_its_error_and_leaves_the_encoder_to_the_gates_own_loss():
    """rho = 1: (DD^T + 1)^-1 (D x + z0) = ((2*3 + 3) / 5, (1 + 1) / 2) and (0, (2 + 2) / 2)."""
    refined = sae(ReLU()).with_refinement(Resolvent(torch.zeros(2)))
    value, z0 = loss(refined, X, "own", 0.5)
    assert z0.tolist() == [[3.0, 1.0], [0.0, 2.0]]
    error = ((3 - 2 * 1.8) ** 2 + 0 + 1 + 0) / 2
    assert float(value) == pytest.approx((3 - 6) ** 2 / 2 + 1 / 2 + 0.5 * 4.5 + error)
    plain, gated = sae(ReLU()), refined
    assert torch.equal(gradient(plain, "W_enc"), gradient(gated, "W_enc"))
    assert not torch.equal(gradient(plain, "W_dec"), gradient(gated, "W_dec"))


def test_topk_lets_the_refined_error_reach_the_encoder():
    refined = sae(TopK(2)).with_refinement(Resolvent(torch.zeros(2)))
    assert not torch.equal(gradient(sae(TopK(2)), "W_enc"), gradient(refined, "W_enc"))
