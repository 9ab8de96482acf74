"""What the gate costs, counted: no clock, no noise."""

import pytest
import torch

from benchmarks import naive
from benchmarks.counts import count
from benchmarks.gate import rational

SHAPE = 128, 512  # larger than a tile of either implementation


@pytest.fixture
def h():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_the_counter_knows_relu(h):
    found = count(torch.relu, h)  # forward: h to z; backward: g and z to dh
    assert found == (1, 5, 2, 2)


def test_the_counter_sees_every_step_of_the_naive_gate(h):
    """Of (3, 2): t, then 3 and 2 products and sums, |A|, 1 + |A|, P / Q, C_out · r: each writes, forward alone."""
    gate = rational((3, 2), 1)
    found = count(lambda h: naive.gate(h, gate.num, gate.den, torch.ones(1), torch.ones(1)), h)
    assert found.allocations > 1 + 2 * (3 + 2) + 4
    assert found.passes > 2 * found.allocations
    assert found.saved > 5


@pytest.mark.parametrize("n_scales", [1, SHAPE[1]])
@pytest.mark.parametrize("degree", [(3, 2), (5, 4), (9, 8)])
def test_the_compiled_gate_keeps_one_tensor_and_passes_five_times_at_every_degree(monkeypatch, h, degree, n_scales):
    monkeypatch.setenv("RSAE_GATE", "")
    # forward: h to z; backward: g and h to dh
    assert count(rational(degree, n_scales), h) == (1, 5, 2, 2)


@pytest.mark.parametrize("degree", [(3, 2), (9, 8)])
def test_the_tiled_gate_keeps_one_tensor_and_makes_two(monkeypatch, h, degree):
    monkeypatch.setenv("RSAE_GATE", "tiled")
    found = count(rational(degree, 1), h)
    assert (found.saved, found.allocations) == (1, 2)
