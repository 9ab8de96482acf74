"""Which features count as active: the rule that L0, alive and every hard code share."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from rsae.sae.model import SAE


@torch.no_grad()
def mean_l0(sae: SAE, chunks: Iterable[Tensor]) -> float:
    """Features in the support per token."""
    counted, n_tok = 0, 0
    for x in chunks:
        counted += int((sae.hard(sae.encode(x)) != 0).sum())
        n_tok += len(x)
    return counted / n_tok


def is_open(sae: SAE) -> bool:
    """Whether a number has to decide which features count: eps of a gate without exact zeros, a refinement's cut."""
    return not sae.gate.exact_zeros or (sae.refine is not None and sae.refine.cut is not None)


@torch.no_grad()
def settle(sae: SAE, chunks: Iterable[Tensor], l0: float) -> float:
    """Set that number, as small as ``l0`` features per token allow, and return it; 0 where nothing is open."""
    if not sae.gate.exact_zeros:
        sae.eps = smallest_cut(lambda x: sae.strength(sae.encode(x)), chunks, l0)
        return sae.eps
    if sae.refine is not None and sae.refine.cut is not None:
        sae.refine.cut = smallest_cut(lambda x: sae.strength(sae.proposed(x)), chunks, l0)
        return sae.refine.cut
    return 0.0


@torch.no_grad()
def smallest_cut(strength: Callable[[Tensor], Tensor], chunks: Iterable[Tensor], l0: float) -> float:
    """Smallest number that at most ``l0`` strengths per token exceed.

    Exact: it is the (l0 · n_tok + 1)-th largest strength over all tokens.
    """
    chunks = list(chunks)
    allowed = int(l0 * sum(len(x) for x in chunks))
    largest = torch.empty(0, device=chunks[0].device)
    for x in chunks:
        found = strength(x).flatten()
        if len(largest) > allowed:  # only what beats the current cut can still matter
            found = found[found > largest.min()]
        largest = torch.cat([largest, found])
        if len(largest) > allowed + 1:
            largest = torch.topk(largest, allowed + 1, sorted=False).values
    return float(largest.min()) if len(largest) > allowed else 0.0
