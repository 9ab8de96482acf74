"""A teacher that reads its tokens normalised."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.sae.support import mean_l0
from rsae.training.start.sparsity import at_l0


@torch.no_grad()
def layer_normalised(sae: SAE, data: Sequence[Tensor]) -> tuple[SAE, dict[str, Any]]:
    """The SAE behind a layer norm of its input, at its own l0 on ``data`` (chunks of activations).

    Where all tokens have one mean and one std, it does what it did, with codes in units of that std; where they differ,
    a louder token is held to thresholds louder by as much.

    Raises:
        ValueError: the SAE normalises its input already, is refined or cut, or its gate has no number that sets its
            sparsity.
    """
    if sae.refine is not None or sae.eps > 0:
        raise ValueError("a refinement and a support rule are measured in activation units; normalise the bare SAE")
    if sae.normalize_activations != "none":
        raise ValueError(f"the SAE normalises its input already ({sae.normalize_activations})")
    n_tok = sum(map(len, data))
    mean = sum(float(x.mean(1).double().sum()) for x in data) / n_tok
    std = sum(float(x.std(1).double().sum()) for x in data) / n_tok
    b_dec = (sae.b_dec - mean) / std
    # where the encoder does not subtract b_dec, the mean that the norm takes away is missing
    b_enc = sae.b_enc / std if sae.apply_b_dec_to_input else (sae.b_enc + mean * sae.W_enc.sum(0)) / std
    gate = copy.deepcopy(sae.gate)
    if isinstance(gate, JumpReLU):
        gate = JumpReLU(gate.threshold / std, gate.bandwidth / std)
    normalised = SAE(
        sae.W_enc,
        b_enc,
        sae.W_dec,
        b_dec,
        gate,
        apply_b_dec_to_input=sae.apply_b_dec_to_input,
        normalize_activations="layer_norm",
    ).to(sae.W_dec.device)
    facts = {"mean": mean, "std": std, "l0_before": mean_l0(normalised, data)}
    return normalised if isinstance(gate, TopK) else at_l0(normalised, mean_l0(sae, data), data), facts
