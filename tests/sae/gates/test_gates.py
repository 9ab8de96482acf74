"""One contract for all gates, and what is particular to each."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsae.rational import targets
from rsae.rational.minimax import minimax
from rsae.rational.safe_pade import SafePade, from_fit
from rsae.sae.gates import kernels
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.kernels import cpp
from rsae.sae.gates.kernels.tiled import Shape
from rsae.sae.gates.mixture import Mixture
from rsae.sae.gates.polynomial import Polynomial
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.rescaled import Rescaled
from rsae.sae.gates.restore import restore
from rsae.sae.gates.supported import Supported, identity_curve
from rsae.sae.gates.topk import TopK

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
        "mixture": Supported(
            TopK(3),
            Mixture(
                [Polynomial(torch.tensor([0.1, 1.1])), Rational(FORM, torch.ones(1), torch.ones(1))],
                torch.randn(D_SAE, 2),
            ),
        ),
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


def test_each_feature_mixes_the_curves_for_itself():
    double, one = Polynomial(torch.tensor([0.0, 2.0])), Polynomial(torch.tensor([1.0]))
    logits = torch.tensor([[1.0, 0.0], [3.0, 1.0]]).log()
    gate = Mixture([double, one], logits)
    assert gate(torch.tensor([[5.0, 5.0]])).tolist() == [[10.0, pytest.approx(0.75 * 10 + 0.25 * 1)]]
    with pytest.raises(ValueError, match="1 curves, logits for 2"):
        Mixture([double], logits)
    with pytest.raises(ValueError, match="0 curves"):
        Mixture([], torch.zeros(2, 0))


def test_a_mixture_of_curves_that_stretch_stretches():
    h, norm, logits = torch.linspace(-2, 3, 40).view(10, 4), torch.tensor([0.5, 1.0, 2.0, 3.0]), torch.randn(4, 2)
    gate = Mixture([ReLU(), Rational(FORM, torch.ones(4), torch.ones(4))], logits)
    stretched = gate.stretched(norm)
    assert stretched is not None
    torch.testing.assert_close(stretched(norm * h), norm * gate(h))
    assert Mixture([ReLU(), Polynomial(torch.ones(3))], logits).stretched(norm) is None


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


@pytest.mark.parametrize("path", ["tiled", "compiled"])
@pytest.mark.parametrize("name", [name for name in gates() if name.startswith("rational")])
def test_rational_value_and_every_gradient_agree_with_autograd_in_float64(monkeypatch, name, path):
    monkeypatch.setenv("RSAE_GATE", {"tiled": "tiled", "compiled": ""}[path])
    assert kernels.backend() == path
    gate, twin = gates()[name], gates()[name].double()
    twin.num0, twin.den0 = twin.num0.double(), twin.den0.double()
    h = 2 * torch.randn(64, D_SAE, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(64, D_SAE, generator=torch.Generator().manual_seed(2))
    price = torch.rand(64, generator=torch.Generator().manual_seed(3))
    h1, h2 = h.clone().requires_grad_(), h.double().requires_grad_()
    (z, l1), exact = gate.codes_and_l1(h1), reference(twin, h2)
    torch.testing.assert_close(z.double(), exact, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(l1.double(), exact.abs().sum(1), rtol=1e-5, atol=1e-6)
    ((z * weight).sum() + price @ l1).backward()
    ((exact * weight.double()).sum() + price.double() @ exact.abs().sum(1)).backward()
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


FITS = [(targets.relu(), (3, 2)), (targets.relu(), (9, 8)), (targets.sign(0.02), (9, 8))] + [
    (targets.jumprelu(theta, delta), (9, 8)) for theta in (0.05, 0.1, 0.3) for delta in (0.003, 0.02, 0.05)
]


def around(center, n=5000):
    """Arguments on [-1, 1] that fp32 holds exactly, crowded around ``center``."""
    steps = np.geomspace(1e-7, 2, n)
    t = np.clip(np.r_[np.linspace(-1, 1, n), center - steps, center + steps], -1, 1)
    return torch.from_numpy(t.astype(np.float32))


def unit(form, **options):
    return Rational(form, torch.ones(1), torch.ones(1), **options)


@pytest.mark.parametrize(("target", "degree"), FITS)
def test_fp32_is_within_2e_6_of_float64_gap_included(target, degree):
    form, t = from_fit(minimax(target, *degree)), around(target.center)
    with torch.no_grad():
        z = unit(form)(t[:, None])[:, 0]
    assert np.abs(z.double().numpy() - form.inside(t.double().numpy())).max() < 2e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_whatever_the_dtype_the_arithmetic_is_fp32(dtype):
    form = from_fit(minimax(targets.jumprelu(0.1, 0.02), 9, 8))
    h = around(0.1)[:, None].to(dtype).requires_grad_()
    single = h.detach().float().requires_grad_()
    z, wanted = unit(form)(h), unit(form)(single)
    assert z.dtype == dtype
    assert torch.equal(z, wanted.to(dtype))
    z.sum().backward()
    wanted.sum().backward()
    assert h.grad is not None
    assert single.grad is not None
    assert torch.equal(h.grad, single.grad.to(dtype))


def test_a_gate_of_another_dtype_is_computed_in_fp32_too():
    gate, h = gates()["rational per feature"], torch.randn(7, D_SAE, generator=torch.Generator().manual_seed(0))
    single = gate(h)
    torch.testing.assert_close(gate.double()(h), single, rtol=1e-5, atol=1e-6)


def test_a_compiler_that_fails_is_named_with_the_remedy(monkeypatch, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no headers >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(ValueError, match=r"broken cannot compile the gate; set RSAE_GATE=tiled[\s\S]*no headers"):
        cpp.forward(torch.ones(1, 1), Shape(torch.ones(2), torch.ones(3), torch.ones(1), torch.ones(1), 0.0, False))


def test_the_gates_derivative_is_that_of_finite_differences_in_float64():
    form = from_fit(minimax(targets.jumprelu(0.1, 0.02), 9, 8))
    t = torch.linspace(-0.99, 0.99, 401)[:, None].requires_grad_()
    unit(form)(t).sum().backward()
    assert t.grad is not None
    at, step = t.detach().double().numpy(), 1e-6
    slope = (form.inside(at + step) - form.inside(at - step)) / (2 * step)
    np.testing.assert_allclose(t.grad.double().numpy(), slope, rtol=2e-5, atol=2e-5)


def test_with_clamp_and_tail_the_gate_is_finite_and_right_up_to_1e30():
    form = from_fit(minimax(targets.jumprelu(0.1, 0.02), 9, 8))
    far = 10.0 ** torch.arange(0, 31, dtype=torch.float32)
    h = torch.cat([-far, far])[:, None].requires_grad_()
    z = unit(form, tail=True)(h)
    np.testing.assert_allclose(z.detach().double().numpy(), form(h.detach().double().numpy()), rtol=1e-6, atol=2e-6)
    z.sum().backward()
    assert h.grad is not None
    assert torch.isfinite(h.grad).all()
    assert (h.grad[-30:] == 1).all()  # beyond 1 the identity
    assert (h.grad[1:31] == 0).all()  # beyond -1 a constant


def test_as_the_paper_has_it_the_gate_follows_the_formula_beyond_the_interval():
    # no clamp: right as long as fp32 holds u⁹ times its coefficient
    form = from_fit(minimax(targets.jumprelu(0.1, 0.02), 9, 8))
    h = torch.tensor([-1000.0, -30.0, -1.5, 1.5, 30.0, 1000.0])[:, None]
    z = unit(form)(h).detach().double().numpy()
    np.testing.assert_allclose(z, form.inside(h.double().numpy()), rtol=1e-5)


@pytest.mark.parametrize("path", ["tiled", "compiled"])
@pytest.mark.parametrize("size", [2.5e4, 1e5])
def test_far_beyond_the_interval_gradients_are_those_of_the_formula(monkeypatch, path, size):
    """Where u to the ninth is no number of fp32 any more, what it is multiplied by is small."""
    if path == "compiled" and cpp.compiler() is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("RSAE_GATE", "tiled" if path == "tiled" else "")
    form = SafePade(1e-4 ** np.arange(10.0), 1e-4 ** np.arange(9.0), 0.0)
    h, g = torch.tensor([[size, -size, 1.0, 3.0]]), torch.tensor([[1.0, -0.5, 0.0, 2.0]])
    gate = Rational(form, torch.ones(1), torch.ones(1))
    num, den = (torch.tensor(c, dtype=torch.float64, requires_grad=True) for c in (form.num, form.den))
    u = h.double()
    powers = u.unsqueeze(-1) ** torch.arange(10)
    ((powers @ num) / (1 + (powers[..., :9] @ den).abs()) * g).sum().backward()
    (gate(h) * g).sum().backward()
    for found, scale, wanted in ((gate.d_num, gate.s_num, num.grad), (gate.d_den, gate.s_den, den.grad)):
        assert wanted is not None and found.grad is not None
        torch.testing.assert_close(found.grad.double(), wanted * scale.double(), rtol=1e-4, atol=0)


def test_the_share_beyond_the_interval_is_recorded():
    gate = Rational(FORM, torch.tensor([2.0]), torch.tensor([1.0]))
    assert gate.outside(torch.tensor([[-3.0, -1.0, 1.9, 2.1]])) == pytest.approx(0.5)
