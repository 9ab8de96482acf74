"""A resolvent whose rho is shared within clusters of features."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rsae.sae.model import SAE
from rsae.sae.refine.resolvent import Resolvent
from rsae.upgrade.refined import best_rho


@torch.no_grad()
def best_rhos(sae: SAE, data: Sequence[Tensor], rhos: Sequence[float], clusters: int) -> tuple[SAE, dict[str, Any]]:
    """The rho of each cluster with the least error on ``data``, clusters taken in turn, once.

    Features are clustered by how often they fire, rarest first, equally many in each. All start from the
    best shared rho, so the outcome has at most its error on ``data``.
    """
    shared, facts = best_rho(sae, data, rhos)
    fired = torch.stack([(sae.gate(sae.preactivations(x)) != 0).sum(0) for x in data]).sum(0)
    of = fired.argsort(stable=True).argsort() * clusters // sae.d_sae  # rank to cluster
    squared = sae.W_dec.square().sum(1)
    chosen = [float(facts["rho"])] * clusters

    def made(values: Sequence[float]) -> SAE:
        return sae.with_refinement(Resolvent((torch.tensor(values)[of] * squared).log()))

    def error(candidate: SAE) -> float:
        return sum(float((x - candidate.decode(candidate.encode(x), x)).double().square().sum()) for x in data)

    least = error(shared)
    for cluster in range(clusters):
        for rho in rhos:
            values = [*chosen[:cluster], rho, *chosen[cluster + 1 :]]
            if values != chosen and (found := error(made(values))) < least:
                least, chosen = found, values
    n_tok = sum(map(len, data))
    return made(chosen), {"rhos": chosen, "mse_sum": least / n_tok, "shared": facts}
