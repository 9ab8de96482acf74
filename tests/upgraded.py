"""One small SAE of every kind that this project can save, with decoder rows of differing norms."""

import numpy as np
import torch

from rsae.rational.safe_pade import SafePade
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.mixture import Mixture
from rsae.sae.gates.polynomial import Polynomial
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.rescaled import Rescaled
from rsae.sae.gates.supported import Supported, identity_curve
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.sae.refine.pursuit import Pursuit
from rsae.sae.refine.resolvent import Resolvent
from rsae.sae.refine.steps import Steps

D_IN, D_SAE = 8, 32
FORM = SafePade(np.array([0.4, 1.1, 0.7, -0.2]), np.array([0.1, -0.8, 1.3]), 0.2)
INPUTS = {
    "plain": {},
    "b_dec not subtracted, as Gemma Scope": {"apply_b_dec_to_input": False},
    "layer norm, as OpenAI": {"normalize_activations": "layer_norm"},
}


def scales(seed: int) -> torch.Tensor:
    return torch.rand(D_SAE, generator=torch.Generator().manual_seed(seed)) + 0.5


def rational(n_scales: int = 1, tail: bool = False) -> Rational:
    return Rational(FORM, 2 * scales(1)[:n_scales], scales(2)[:n_scales], tail)


def mixture() -> Mixture:
    return Mixture([rational(), Polynomial(torch.tensor([0.1, 0.9]))], torch.stack([scales(6), scales(7)], 1))


PARTS = {  # gate, refinement, eps
    "rational": lambda: (rational(), None, 0.3),
    "rational per feature with tail": lambda: (rational(D_SAE, True), None, 0.3),
    "rational, never cut": lambda: (rational(), None, 0.0),
    "polynomial": lambda: (Polynomial(torch.tensor([0.1, 1.0, -0.2])), None, 0.5),
    "rescaled relu": lambda: (Rescaled(ReLU(), scales(3).log()), None, 0.0),
    "rescaled topk": lambda: (Rescaled(TopK(5), scales(3).log()), None, 0.0),
    "supported by jumprelu": lambda: (Supported(JumpReLU(scales(4)), identity_curve("rational")), None, 0.0),
    "supported by topk": lambda: (Supported(TopK(5), Polynomial(torch.tensor([0.1, 0.9]))), None, 0.0),
    "supported by topk, mixture": lambda: (Supported(TopK(5), mixture()), None, 0.0),
    "relu, cut": lambda: (ReLU(), None, 0.4),
    "resolvent on relu": lambda: (ReLU(), Resolvent(scales(5).log()), 0.0),
    "resolvent on jumprelu": lambda: (JumpReLU(scales(4)), Resolvent(scales(5).log()), 0.0),
    "resolvent on topk": lambda: (TopK(5), Resolvent(scales(5).log()), 0.0),
    "least squares on topk": lambda: (TopK(5), Resolvent(torch.full((D_SAE,), -3.0), rectify=False), 0.0),
    "pruned on jumprelu": lambda: (JumpReLU(scales(4)), Resolvent(scales(5).log(), cut=0.5), 0.0),
    "pruned on topk": lambda: (TopK(8), Resolvent(scales(5).log(), cut=0.7), 0.0),
    "pursuit on relu": lambda: (ReLU(), Pursuit(4), 0.0),
    "steps on topk": lambda: (TopK(5), Steps(torch.tensor([-1.0, -2.0])), 0.0),
}


def make(name: str, how: str = "plain", norms: torch.Tensor | None = None) -> SAE:
    """``name`` of :data:`PARTS`, its input read as one of :data:`INPUTS`; rows of W_dec of the given norms."""
    g = torch.Generator().manual_seed(0)
    W_dec = torch.randn(D_SAE, D_IN, generator=g)
    norms = torch.linspace(0.6, 1.5, D_SAE) if norms is None else norms
    W_dec = W_dec / W_dec.norm(dim=1, keepdim=True) * norms[:, None]
    b_enc, b_dec = 0.1 * torch.randn(D_SAE, generator=g), torch.randn(D_IN, generator=g)
    gate, refine, eps = PARTS[name]()
    kwargs: dict = INPUTS[how]
    return SAE(W_dec.T.clone(), b_enc, W_dec, b_dec, gate, refine=refine, eps=eps, **kwargs)


def activations(n: int = 60) -> torch.Tensor:
    return 1.5 * torch.randn(n, D_IN, generator=torch.Generator().manual_seed(9)) + torch.linspace(-1, 1, D_IN)
