"""Which features count as active: the rule that L0, alive and every hard code share."""

from collections.abc import Iterable

import torch
from torch import Tensor

from rsae.sae import SAE


@torch.no_grad()
def mean_l0(sae: SAE, chunks: Iterable[Tensor]) -> float:
    """Features in the support per token."""
    counted, n_tok = 0, 0
    for x in chunks:
        counted += int((sae.hard(sae.encode(x)) != 0).sum())
        n_tok += len(x)
    return counted / n_tok


@torch.no_grad()
def smallest_eps(sae: SAE, chunks: Iterable[Tensor], l0: float) -> float:
    """Smallest eps at which ``|z_j| · ‖W_dec,j‖ > eps`` holds for at most ``l0`` features per token.

    Exact: the cut is the (l0 · n_tok + 1)-th largest strength over all tokens.
    """
    chunks = list(chunks)
    allowed = int(l0 * sum(len(x) for x in chunks))
    largest = torch.empty(0, device=sae.W_dec.device)
    for x in chunks:
        strength = sae.strength(sae.encode(x)).flatten()
        if len(largest) > allowed:  # only what beats the current cut can still matter
            strength = strength[strength > largest.min()]
        largest = torch.cat([largest, strength])
        if len(largest) > allowed + 1:
            largest = torch.topk(largest, allowed + 1, sorted=False).values
    return float(largest.min()) if len(largest) > allowed else 0.0
