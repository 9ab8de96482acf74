"""A teacher at another sparsity: where one setting of a sweep starts."""

from collections.abc import Callable, Iterable
from copy import deepcopy

import torch
from torch import Tensor

from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE


@torch.no_grad()
def at_l0(sae: SAE, l0: float, data: Iterable[Tensor]) -> SAE:
    """A copy with ``l0`` active features per token of ``data`` (chunks of activations), sparser or denser.

    By the one number that rules the gate's sparsity: TopK gets another k, JumpReLU's thresholds are
    multiplied by one factor, ReLU's biases lowered by one constant. A start for a fine-tune, not a good SAE.

    Raises:
        ValueError: a gate of another kind, a k that is not whole, or more features than there are.
    """
    if l0 > sae.d_sae:
        raise ValueError(f"l0 {l0:g} exceeds the {sae.d_sae} features of the SAE; lower it")
    if isinstance(sae.gate, TopK):
        if l0 != int(l0):
            raise ValueError(f"TopK has a whole number of features per token, `l0` is {l0:g}; round it")
        return sae.with_gate(TopK(int(l0)))
    if isinstance(sae.gate, JumpReLU):
        theta = sae.gate.threshold.clamp_min(torch.finfo(torch.float32).tiny)
        factor = _cut(lambda x: sae.preactivations(x) / theta, l0, data)
        return sae.with_gate(JumpReLU(theta * factor, sae.gate.bandwidth))
    if isinstance(sae.gate, ReLU):
        other = sae.with_gate(deepcopy(sae.gate))
        other.b_enc -= _cut(sae.preactivations, l0, data)
        return other
    raise ValueError(f"a gate {sae.gate.architecture!r} has no number that sets its sparsity; leave `l0` out")


def _cut(score: Callable[[Tensor], Tensor], l0: float, data: Iterable[Tensor]) -> float:
    """The value that ``l0`` scores per token exceed: the (l0 · n_tok + 1)-th largest of all."""
    chunks = list(data)
    allowed, kept = int(l0 * sum(map(len, chunks))), torch.empty(0, device=chunks[0].device)
    for x in chunks:
        kept = torch.cat([kept, score(x).flatten()])
        kept = torch.topk(kept, min(allowed + 1, len(kept)), sorted=False).values
    return float(kept.min())
