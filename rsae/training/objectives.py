"""What a fine-tune minimises: the paper's objective, its repaired form, each teacher's own."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from rsae.config.types import Objective
from rsae.sae import active
from rsae.sae.codes import Codes
from rsae.sae.gates.base import Gate
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE

Form = Literal["dense", "sparse"]  # of codes: all of them, or the active ones alone


def squared_error(x: Float[Tensor, "n_tok d_in"], x_hat: Float[Tensor, "n_tok d_in"]) -> Float[Tensor, ""]:
    """Mean over tokens of ‖x - x̂‖², summed over d_in: squared activation units per token."""
    return (x - x_hat).square().sum(-1).mean()


def loss(
    sae: SAE, x: Float[Tensor, "n_tok d_in"], objective: Objective, coefficient: float, form: Form = "dense"
) -> tuple[Float[Tensor, ""], Float[Tensor, "*codes"]]:
    """Loss of a batch, and the gate's codes, through which no gradient flows: [n_tok, d_sae], or the active ones.

    ``paper``: mean of ‖x - x̂‖² + λ‖z‖₁  [RSAE, Step 2]. It can be gamed by growing decoder rows.
    ``weighed``: the same with λ Σ_j |z_j| ‖W_dec,j‖, which cannot.
    ``own``: the error plus what the gate's kind is trained with: nothing for TopK, λ · L0 for
    JumpReLU (arXiv 2407.14435, eq. 9), the weighed l1 otherwise.

    ``error``: the error of the output and nothing else, for arms whose encoder's weights do not move.

    With any other a refinement adds the error of the refined output. Its codes send no gradient into the gate's,
    so that sparsity shapes the support alone; TopK's support has a fixed size and needs no shield.

    The ``sparse`` form is the same number with the same gradients but for the order of sums (:mod:`rsae.sae.active`).
    """
    if form == "sparse":
        return _over_active(sae, x, objective, coefficient)
    h = sae.preactivations(x)
    if objective == "error":
        z = sae.gate(h)
        return squared_error(x, sae.decode(z if sae.refine is None else sae.refined(x, z), x)), z.detach()
    z, price = _codes_and_price(sae, h, objective)
    total = squared_error(x, sae.decode(z, x)) + coefficient * price
    if sae.refine is not None:
        start = z if isinstance(_support_gate(sae.gate), TopK) else z.detach()
        total = total + squared_error(x, sae.decode(sae.refined(x, start), x))
    return total, z.detach()


def _over_active(sae: SAE, x: Tensor, objective: Objective, coefficient: float) -> tuple[Tensor, Tensor]:
    found, n_tok = active.encode(sae, x), len(x)
    codes, gate = Codes(found.places, found.z), _support_gate(sae.gate)
    if objective == "error":
        ends = codes if sae.refine is None else active.refined(sae, x, codes)
        return squared_error(x, active.decode(sae, ends, x)[0]), found.z.detach()
    weighed = objective == "weighed" or (objective == "own" and not isinstance(gate, TopK | JumpReLU))
    x_hat, strength = active.decode(sae, codes, x, weighed)
    total = squared_error(x, x_hat)
    if weighed:
        total = total + coefficient * strength.mean()
    elif objective == "own" and isinstance(gate, JumpReLU):
        total = total + coefficient * gate.count_at(found.h, found.places).sum() / n_tok
    elif objective == "paper":
        total = total + coefficient * found.z.abs().sum() / n_tok
    if sae.refine is not None:
        start = found.z if isinstance(gate, TopK) else found.z.detach()
        ends = active.refined(sae, x, Codes(found.places, start))
        total = total + squared_error(x, active.decode(sae, ends, x)[0])
    return total, found.z.detach()


def _codes_and_price(sae: SAE, h: Tensor, objective: Objective) -> tuple[Tensor, Tensor | float]:
    if objective == "paper":
        z, l1 = sae.gate.codes_and_l1(h)
        return z, l1.mean()
    z, gate = sae.gate(h), _support_gate(sae.gate)
    if objective == "own" and isinstance(gate, TopK):
        return z, 0.0
    if objective == "own" and isinstance(gate, JumpReLU):
        return z, gate.count(h).sum(-1).mean()
    return z, sae.strength(z).sum(-1).mean()


def _support_gate(gate: Gate) -> Gate:
    """The gate that decides what is active, behind whatever changes magnitudes alone."""
    base = getattr(gate, "base", None)
    return gate if base is None else _support_gate(base)
