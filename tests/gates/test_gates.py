"""One contract for all gates, and what is particular to each."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsae.gates.jumprelu import JumpReLU
from rsae.gates.polynomial import Polynomial
from rsae.gates.rational import Rational
from rsae.gates.relu import ReLU
from rsae.gates.rescaled import Rescaled
from rsae.gates.restore import restore
from rsae.gates.supported import Supported, identity_curve
from rsae.gates.topk import TopK
from rsae.rational.safe_pade import SafePade

FORM = SafePade(np.array([0.02, 0.5, 1.6, 1.2]), np.array([0.1, -0.3, 2.4]), 0.1)
D_SAE = 16


def gates():
    return {
        "relu": ReLU(),
        "jumprelu": JumpReLU(torch.linspace(0.1, 1, D_SAE)),
        "topk": TopK(3),
        "rational": Rational(FORM, torch.tensor([2.0]), torch.tensor([1.5])),
        "rational per feature": Rational(FORM, torch.linspace(1, 3, D_SAE), torch.linspace(0.5, 2, D_SAE)),
        "rescaled": Rescaled(ReLU(), torch.linspace(-1, 1, D_SAE)),
        "polynomial": Polynomial(torch.tensor([0.5, 1.0, -0.2])),
        "supported": Supported(TopK(3), Polynomial(torch.tensor([0.1, 1.1]))),
        "rational with tail": Rational(FORM, torch.linspace(1, 3, D_SAE), torch.linspace(0.5, 2, D_SAE), tail=True),
    }


@pytest.mark.parametrize("name", gates())
def test_contract(name):
    gate, h = gates()[name], torch.randn(7, D_SAE, generator=torch.Generator().manual_seed(0))
    z = gate(h)
    assert z.shape == h.shape
    assert z.dtype == h.dtype
    assert gate(h[:0]).shape == (0, D_SAE)
    torch.testing.assert_close(gate(h[3:5]), z[3:5])  # rows do not see each other
    if gate.exact_zeros:
        assert (z == 0).any()
    for key, tensor in gate.tensors().items():
        assert torch.isfinite(tensor).all(), key
    torch.testing.assert_close(restore(gate.described(), gate.tensors())(h), z)


def test_another_curve_on_the_same_support():
    h = torch.tensor([[3.0, -1.0, 2.0, 1.0]])
    gate = Supported(TopK(2), Polynomial(torch.tensor([1.0, 2.0])))
    assert gate(h).tolist() == [[7.0, 0.0, 5.0, 0.0]]
    # a curve that turns negative reads 0, it never adds a feature
    assert Supported(TopK(2), Polynomial(torch.tensor([2.5, -1.0])))(h).tolist() == [[0.0, 0.0, 0.5, 0.0]]
    with pytest.raises(ValueError, match="exact zeros"):
        Supported(Polynomial(torch.ones(2)), ReLU())


@pytest.mark.parametrize("curve", ["affine", "cubic", "rational"])
def test_curves_start_as_the_identity_and_can_move(curve):
    gate, h = identity_curve(curve), torch.linspace(-1, 3, 50)[:, None]
    torch.testing.assert_close(gate(h), h)
    (gate(h) ** 2).sum().backward()
    for p in gate.slow_parameters():
        assert p.grad is not None
        assert (p.grad != 0).all()


def test_a_scale_of_its_own():
    h = torch.tensor([[3.0, -1.0]])
    assert Rescaled(ReLU(), torch.tensor([2.0, 5.0]).log())(h).tolist() == [[pytest.approx(6.0), 0.0]]


def test_topk_keeps_the_k_largest():
    h = torch.tensor([[3.0, -1.0, 2.0, 1.0]])
    assert TopK(2)(h).tolist() == [[3.0, 0.0, 2.0, 0.0]]
    assert TopK(4)(h).tolist() == [[3.0, 0.0, 2.0, 1.0]]  # a negative one among the k reads 0


def test_jumprelu_forward_and_its_straight_through_gradient():
    gate = JumpReLU(torch.tensor([1.0, 1.0, 1.0]), bandwidth=0.5)
    h = torch.tensor([[1.1, 0.9, 2.0]], requires_grad=True)
    z = gate(h)
    assert z.tolist() == [pytest.approx([1.1, 0.0, 2.0])]
    z.sum().backward()
    assert h.grad is not None
    assert h.grad.tolist() == [[1.0, 0.0, 1.0]]
    # -theta / bandwidth where |h - theta| < bandwidth / 2, on either side of the jump, else 0
    assert gate.threshold.grad is not None
    assert gate.threshold.grad.tolist() == [-2.0, -2.0, 0.0]


def reference(gate: Rational, h: torch.Tensor) -> torch.Tensor:
    """The same formula by plain autograd in float64."""
    t = h * torch.exp(-gate.log_c_in.double())
    u = (t.clamp(-1, 1) if gate.tail else t) - gate.center
    p = sum(c * u**i for i, c in enumerate(gate.num.double()))
    a = sum(c * u**i for i, c in enumerate(gate.den.double()))
    return torch.exp(gate.log_c_out.double()) * (p / (1 + abs(a)) + (torch.relu(t - 1) if gate.tail else 0))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", [name for name in gates() if name.startswith("rational")])
def test_rational_value_and_every_gradient_agree_with_autograd_in_float64(name, compiled):
    gate, twin = gates()[name], gates()[name].double()
    twin.num0, twin.den0 = twin.num0.double(), twin.den0.double()
    gate.compiled = compiled
    h = 2 * torch.randn(64, D_SAE, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(64, D_SAE, generator=torch.Generator().manual_seed(2))
    h1, h2 = h.clone().requires_grad_(), h.double().requires_grad_()
    z, exact = gate(h1), reference(twin, h2)
    torch.testing.assert_close(z.double(), exact, rtol=1e-5, atol=1e-6)
    (z * weight).sum().backward()
    (exact * weight.double()).sum().backward()
    assert h1.grad is not None
    torch.testing.assert_close(h1.grad.double(), h2.grad, rtol=1e-4, atol=1e-5)
    for (key, ours), (_, theirs) in zip(gate.named_parameters(), twin.named_parameters(), strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-4, msg=key)


@given(scale=st.floats(0.1, 10), theta=st.floats(0.05, 2))
@settings(max_examples=30, deadline=None)
def test_one_jump_serves_every_threshold(scale, theta):
    # JumpReLU_theta(h) = s J(h / s) with s = theta / tau, J the jump at tau
    tau, h = 0.1, scale * torch.linspace(-3, 3, 101)[:, None]
    s = theta / tau
    inner = JumpReLU(torch.tensor([tau]))(h / s)
    outer = JumpReLU(torch.tensor([theta]))(h)
    far = (h - theta).abs() > 1e-5 * scale
    torch.testing.assert_close((s * inner)[far], outer[far], rtol=1e-5, atol=1e-5)


def test_rational_refuses_scales_that_are_not_positive():
    with pytest.raises(ValueError, match="positive"):
        Rational(FORM, torch.tensor([0.0]), torch.tensor([1.0]))
