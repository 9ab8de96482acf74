"""Teachers with a refinement behind their gate."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.sae.refine.pursuit import Pursuit
from rsae.sae.refine.resolvent import Resolvent
from rsae.sae.refine.steps import Steps
from rsae.sae.support import mean_l0, settle
from rsae.training.start.sparsity import at_l0


def with_rho(sae: SAE, rho: float, rectify: bool = True, cut: float | None = None) -> SAE:
    """A copy with a resolvent whose rho is ``rho`` times the squared norm of each decoder row."""
    return sae.with_refinement(Resolvent((rho * sae.W_dec.detach().square().sum(1)).log(), rectify, cut))


@torch.no_grad()
def best_rho(sae: SAE, data: Sequence[Tensor], rhos: Sequence[float]) -> tuple[SAE, dict[str, Any]]:
    """The shared rho with the least error on ``data``, and every one that was tried."""
    return _best({rho: with_rho(sae, rho) for rho in rhos}, data)


@torch.no_grad()
def pruned(sae: SAE, data: Sequence[Tensor], rhos: Sequence[float], factor: float) -> tuple[SAE, dict[str, Any]]:
    """A gate that proposes ``factor`` times as many features per token, of which a resolvent keeps the teacher's l0.

    All are proposed where that is more than there are. The shared rho is the one with the least error on ``data``,
    each with its own cut.
    """
    l0 = mean_l0(sae, data)
    proposed = min(factor * l0, float(sae.d_sae))
    wide = at_l0(sae, float(round(proposed)) if isinstance(sae.gate, TopK) else proposed, data)
    candidates = {rho: with_rho(wide, rho, cut=0.0) for rho in rhos}
    for candidate in candidates.values():
        settle(candidate, data, l0)
    best, facts = _best(candidates, data)
    return best, facts | {"l0_proposed": mean_l0(wide, data)}


def _best(candidates: Mapping[float, SAE], data: Sequence[Tensor]) -> tuple[SAE, dict[str, Any]]:
    """The one with the least error on ``data``, and the errors of all."""
    tried = {
        rho: sum(float((x - sae.decode(sae.encode(x), x)).double().square().sum()) for x in data) / sum(map(len, data))
        for rho, sae in candidates.items()
    }
    best = min(tried, key=tried.__getitem__)
    return candidates[best], {"rho": best, "mse_sum_by_rho": {f"{rho:.3g}": mse for rho, mse in tried.items()}}


@torch.no_grad()
def with_pursuit(sae: SAE, data: Sequence[Tensor]) -> tuple[SAE, dict[str, Any]]:
    """The SAE's dictionary behind orthogonal matching pursuit, with no more features per token than on ``data``.

    Its encoder is gone: every feature is proposed, with weights that say nothing.

    Raises:
        ValueError: it has less than one feature per token, so there is nothing to pursue.
    """
    l0 = mean_l0(sae, data)
    if l0 < 1:
        raise ValueError(f"a pursuit needs at least one feature per token, the teacher has {l0:.3g}")
    coder = sae.with_gate(ReLU())
    coder.W_enc.zero_()
    coder.b_enc.fill_(1.0)
    return coder.with_refinement(Pursuit(int(l0))), {"k": int(l0), "l0_teacher": l0}


def with_steps(sae: SAE, n: int, exact: bool) -> SAE:
    """A copy with ``n`` steps; each starts as long as one feature alone would want, divided by n + 1."""
    step = 1 / float(sae.W_dec.detach().square().sum(1).mean()) / (n + 1)
    return sae.with_refinement(Steps(torch.full((n,), step).log(), exact))
