"""The sparse form of a step is the dense one, gradient by gradient."""

import copy

import numpy as np
import pytest
import torch

from rsae.rational.safe_pade import SafePade
from rsae.runtime.precision import forward
from rsae.sae.codes import cpp
from rsae.sae.gates.base import Gate
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.mixture import Mixture
from rsae.sae.gates.polynomial import Polynomial
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.rescaled import Rescaled
from rsae.sae.gates.supported import Supported
from rsae.sae.gates.topk import TopK
from rsae.sae.refine.pursuit import Pursuit
from rsae.sae.refine.resolvent import Resolvent
from rsae.sae.refine.steps import Steps
from rsae.training.objectives import loss

N_TOK, D_IN, D_SAE = 61, 11, 37
CLOSE = 1e-6  # of a gradient's norm
OBJECTIVES = ["paper", "weighed", "own", "error"]


class Unaware(Gate):
    """A gate with exact zeros that says nothing about active codes: sqrt above 1, scaled per feature."""

    architecture, exact_zeros = "unaware", True

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.linspace(0.5, 2, D_SAE))

    def forward(self, h):
        return self.scale * torch.where(h > 1, h.clamp_min(1).sqrt(), 0.0)


def rational(n_scales):
    form = SafePade(np.array([0.02, 0.5, 1.0, 0.3]), np.array([0.1, 0.2, 0.8]), 0.0)
    return Rational(form, torch.linspace(4, 6, n_scales), torch.linspace(5, 7, n_scales))


def jumprelu():
    return JumpReLU(torch.linspace(-0.1, 1.5, D_SAE), bandwidth=0.4)


def codebook():
    # curves far from each other: the gradient of a choice between like ones is what is left of a difference
    curves = [Polynomial(torch.tensor([0.1, 2.0])), Rescaled(ReLU(), torch.full((D_SAE,), -2.0))]
    curves.append(Polynomial(torch.tensor([1.0, -0.5, 0.4])))
    return Mixture(curves, torch.linspace(-1, 1, 3 * D_SAE).view(-1, 3))


GATES = {
    "relu": ReLU,
    "jumprelu": jumprelu,
    "topk": lambda: TopK(5),
    "topk of all": lambda: TopK(D_SAE),
    "affine": lambda: Supported(TopK(5), Polynomial(torch.tensor([0.1, 1.2]))),
    "falling": lambda: Supported(ReLU(), Polynomial(torch.tensor([0.5, -0.4]))),  # codes below 0, cut by the support
    "rational": lambda: Supported(jumprelu(), rational(1)),
    "rational per feature": lambda: Supported(ReLU(), rational(D_SAE)),
    "codebook": lambda: Supported(TopK(5), codebook()),
    "rescaled": lambda: Rescaled(jumprelu(), torch.linspace(-1, 1, D_SAE)),
    "unaware": Unaware,
}
REFINEMENTS = {
    "resolvent": lambda: Resolvent(torch.linspace(-1, 1, D_SAE)),
    "unrectified": lambda: Resolvent(torch.linspace(-1, 1, D_SAE), rectify=False),
    "pruned": lambda: Resolvent(torch.linspace(-1, 1, D_SAE), cut=0.4),
    "steps": lambda: Steps(torch.tensor([-2.0, -3.0])),
    "pursuit": lambda: Pursuit(3),
}


@pytest.fixture
def x():
    found = torch.randn(N_TOK, D_IN, generator=torch.Generator().manual_seed(1))
    found[7] = found[3]  # the same features twice in a batch
    return found


@pytest.fixture(params=["compiled", "plain"])
def by(request, monkeypatch):
    """Whichever kernels."""
    if request.param == "compiled" and cpp.cpp.compiler() is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("RSAE_GATE", "tiled" if request.param == "plain" else "")


def gradients(sae, x, objective, form, trains=("",)):
    """Loss, codes and every gradient, of a copy."""
    sae = copy.deepcopy(sae).to(x.dtype)
    for name, p in sae.named_parameters():
        p.requires_grad_(name.startswith(trains))
    x = x.clone().requires_grad_()
    value, z = loss(sae, x, objective, 0.3, form)
    value.backward()
    found = {name: p.grad for name, p in sae.named_parameters()} | {"x": x.grad}
    return {"loss": value.detach()} | found, z


def assert_close(found, wanted, tolerance):
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        if gradient is None or not gradient.any():  # a frozen one; or one that nothing reaches, and dense says 0
            assert found[name] is None or not found[name].any(), name
            continue
        off = (found[name].double() - gradient.double()).norm() / gradient.double().norm()
        assert float(off) <= tolerance, (name, float(off))


def assert_same(sae, x, objective):
    """By active codes, in fp32 and in float64, against the dense form in float64; a rational gate is fp32 in all."""
    wanted, z = gradients(sae, x.double(), objective, "dense")
    found, values = gradients(sae, x, objective, "sparse")
    assert_close(found, wanted, CLOSE)
    assert int((values != 0).sum()) == int((z != 0).sum())
    assert_close(gradients(sae, x.double(), objective, "sparse")[0], wanted, CLOSE)


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("gate", GATES)
def test_every_gradient_of_every_gate(make_sae, x, gate, objective):
    assert_same(make_sae(GATES[gate](), D_IN, D_SAE), x, objective)


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("shift", [-100.0, 100.0])
@pytest.mark.parametrize("gate", ["relu", "jumprelu", "topk", "rational per feature"])
def test_supports_of_none_and_of_all(make_sae, x, gate, shift):
    sae = make_sae(GATES[gate](), D_IN, D_SAE)
    sae.b_enc.data += shift
    _, values = gradients(sae, x, "own", "sparse")
    assert len(values) == (0 if shift < 0 else N_TOK * (5 if gate == "topk" else D_SAE))
    assert_same(sae, x, "own")
    assert_same(sae, x[:1], "weighed")


@pytest.mark.parametrize("gate", ["relu", "jumprelu", "topk", "codebook"])
@pytest.mark.parametrize("n_tok", [1, 2, N_TOK])
@pytest.mark.parametrize(
    "setting", [{"apply_b_dec_to_input": False}, {"normalize_activations": "layer_norm"}, {}], ids=str
)
def test_whatever_the_input_is_made_of(make_sae, x, gate, setting, n_tok):
    assert_same(make_sae(GATES[gate](), D_IN, D_SAE, **setting), x[:n_tok], "own")


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("objective", ["own", "error"])
@pytest.mark.parametrize("gate", ["topk", "relu", "jumprelu"])
@pytest.mark.parametrize("refinement", REFINEMENTS)
def test_refinements(make_sae, x, gate, refinement, objective):
    sae = make_sae(GATES[gate](), D_IN, D_SAE).with_refinement(REFINEMENTS[refinement]())
    wanted, _ = gradients(sae, x.double(), objective, "dense")
    # as far as fp32 solves: the dense form in fp32 is as far away
    reached = gradients(sae, x, objective, "dense")[0]
    off = max(
        float((reached[k].double() - v).norm() / v.norm()) for k, v in wanted.items() if v is not None and v.any()
    )
    assert_close(gradients(sae, x, objective, "sparse")[0], wanted, max(CLOSE, 2 * off))
    assert_close(gradients(sae, x.double(), objective, "sparse")[0], wanted, 1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("trains", [("W_dec", "b_dec"), ("W_enc",), ("gate.",), ("b_",)], ids=" ".join)
def test_what_is_frozen_gets_no_gradient(make_sae, x, trains, objective):
    sae = make_sae(jumprelu(), D_IN, D_SAE)
    if trains == ("gate.",) and objective in ("weighed", "error"):
        sae = make_sae(Rescaled(jumprelu(), torch.zeros(D_SAE)), D_IN, D_SAE)
    wanted, found = (gradients(sae, x, objective, form, trains)[0] for form in ("dense", "sparse"))
    assert {k for k, v in found.items() if v is not None} == {k for k, v in wanted.items() if v is not None}
    assert ("W_enc" in trains) == (found["W_enc"] is not None)
    assert_close(found, wanted, 2 * CLOSE)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("gate", ["relu", "jumprelu", "topk", "codebook"])
def test_under_autocast_it_rounds_what_the_dense_form_rounds(make_sae, x, gate, objective):
    sae = make_sae(GATES[gate](), D_IN, D_SAE)
    exact = gradients(sae, x, objective, "dense")[0]
    with forward("bf16", "cpu"):
        (wanted, z), (found, values) = (gradients(sae, x, objective, form) for form in ("dense", "sparse"))
    assert torch.equal(values[values != 0], z[z != 0])
    # a sum in another order is now and then rounded to a neighbour in bfloat16
    assert_close(found, wanted, 2.0**-9)
    assert float((wanted["W_dec"] - exact["W_dec"]).norm() / exact["W_dec"].norm()) > 2.0**-9  # something was rounded


def test_the_gradient_of_the_encoder_lies_in_columns(make_sae, x):
    found, _ = gradients(make_sae(ReLU(), D_IN, D_SAE), x, "own", "sparse")
    assert found["W_enc"].stride() == (1, D_IN)
