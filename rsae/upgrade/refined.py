"""Teachers with a refinement behind their gate."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rsae.refine.resolvent import Resolvent
from rsae.refine.steps import Steps
from rsae.sae import SAE


def with_rho(sae: SAE, rho: float, rectify: bool = True) -> SAE:
    """A copy with a resolvent whose rho is ``rho`` times the squared norm of each decoder row."""
    return sae.with_refinement(Resolvent((rho * sae.W_dec.detach().square().sum(1)).log(), rectify))


@torch.no_grad()
def best_rho(sae: SAE, data: Sequence[Tensor], rhos: Sequence[float]) -> tuple[SAE, dict[str, Any]]:
    """The shared rho with the least error on ``data``, and every one that was tried."""
    tried = {}
    for rho in rhos:
        refined = with_rho(sae, rho)
        error = sum(float((x - refined.decode(refined.encode(x), x)).double().square().sum()) for x in data)
        tried[rho] = error / sum(map(len, data))
    best = min(tried, key=tried.__getitem__)
    facts = {"rho": best, "mse_sum_by_rho": {f"{rho:.3g}": mse for rho, mse in tried.items()}}
    return with_rho(sae, best), facts


def with_steps(sae: SAE, n: int, exact: bool) -> SAE:
    """A copy with ``n`` steps; each starts as long as one feature alone would want, divided by n + 1."""
    step = 1 / float(sae.W_dec.detach().square().sum(1).mean()) / (n + 1)
    return sae.with_refinement(Steps(torch.full((n,), step).log(), exact))
