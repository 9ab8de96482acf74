"""What the codes of one SAE look like: how dense each feature is, and how l0 depends on the cut."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE

STRENGTHS = np.logspace(-4, 3, 106)  # fifteen per decade, in activation units
DENSITIES = np.linspace(-5, 0, 51)  # log10 of a share of tokens


class Portrait:
    """Counts while the tokens pass by."""

    def __init__(self, sae: SAE) -> None:
        self.sae, self.n_tok = sae, 0
        self.active = torch.zeros(sae.d_sae, dtype=torch.int64)
        self._strengths = torch.zeros(len(STRENGTHS) - 1, dtype=torch.float64)
        self._edges = torch.from_numpy(np.log10(STRENGTHS))

    @torch.no_grad()
    def add(self, raw: Float[Tensor, "n_tok d_sae"], hard: Float[Tensor, "n_tok d_sae"]) -> None:
        """Codes of the same tokens, before and after the cut."""
        self.n_tok += len(raw)
        self.active += (hard != 0).sum(0)
        # weaker than every edge: counted at none; stronger than all: in the last bin
        logs = self.sae.strength(raw).log10().clamp_max(float(self._edges[-1]))
        low, high = float(self._edges[0]), float(self._edges[-1])
        self._strengths += torch.histc(logs, len(self._strengths), low, high).double()

    @property
    def density(self) -> np.ndarray:
        """Share of tokens on which each feature is in the support; [d_sae]."""
        return (self.active.double() / self.n_tok).numpy()

    def summary(self) -> dict[str, Any]:
        """For the report: ``l0_at[i]`` features per token are stronger than ``STRENGTHS[i]``."""
        beyond = self._strengths.flip(0).cumsum(0).flip(0) / self.n_tok
        alive = self.density[self.density > 0]
        counts, _ = np.histogram(np.log10(alive).clip(DENSITIES[0]), DENSITIES)
        return {
            "eps": self.sae.eps,
            "l0": float(self.density.sum()),
            "l0_at": [*beyond.tolist(), 0.0],
            "density": counts.tolist(),
            "dead": int((self.density == 0).sum()),
        }


def elementwise(sae: SAE) -> bool:
    """Whether a code depends on its own pre-activation alone, so that the gate has a curve."""
    return sae.refine is None and not any(isinstance(part, TopK) for part in sae.gate.modules())


@torch.no_grad()
def preactivation(sae: SAE, x: Float[Tensor, "n_tok d_in"], feature: int) -> Float[Tensor, " n_tok"]:
    """h of one feature alone: its column of :meth:`rsae.sae.model.SAE.preactivations`, at the price of one."""
    column = sae.W_enc[:, feature]
    bias = sae.b_enc[feature] - (sae.b_dec @ column if sae.apply_b_dec_to_input else 0.0)
    return sae.normalised(x) @ column + bias


@torch.no_grad()
def curve(sae: SAE, feature: int, h: Float[Tensor, " n_point"]) -> Float[Tensor, " n_point"]:
    """Codes of ``feature`` at pre-activations ``h``, of an SAE whose gate is :func:`elementwise`."""
    return sae.gate(h[:, None].expand(-1, sae.d_sae).contiguous())[:, feature]


def binned(
    h: Float[Tensor, " n_tok"], z: Float[Tensor, " n_tok"], edges: Float[np.ndarray, " n_edge"]
) -> tuple[list[int], list[float | None]]:
    """Tokens per bin of ``h``, and the mean code in it; None where it is empty."""
    counts, _ = np.histogram(h.numpy(), edges)
    sums, _ = np.histogram(h.numpy(), edges, weights=z.numpy().astype(float))
    return counts.tolist(), [s / n if n else None for s, n in zip(sums.tolist(), counts.tolist(), strict=True)]
