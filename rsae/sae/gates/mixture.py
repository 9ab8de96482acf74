"""A codebook of curves, each feature with a soft choice among them."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rsae.sae.codes import Places
from rsae.sae.gates.base import Gate


class Mixture(Gate):
    """sum_m softmax(logits_j)_m · curve_m(h_j); ``logits`` [d_sae, n_curves]."""

    architecture = "mixture"
    exact_zeros = False

    def __init__(self, curves: Sequence[Gate], logits: Float[Tensor, "d_sae n_curves"]) -> None:
        super().__init__()
        if not curves or logits.shape[1:] != (len(curves),):
            raise ValueError(f"{len(curves)} curves, logits for {logits.shape[-1]}")
        self.curves = nn.ModuleList(curves)
        self.logits = nn.Parameter(logits.detach().float().clone())

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        share = self.logits.softmax(1)
        mixed = torch.zeros_like(h)
        for m, curve in enumerate(self.curves):
            mixed = mixed + share[:, m] * curve(h)
        return mixed

    def at(self, h_at: Float[Tensor, " n"], places: Places, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        share = self.logits.softmax(1).index_select(0, places.feature)
        curves = [curve.at(h_at, places, h) for curve in self._gates()]
        return (share * torch.stack(curves, 1)).sum(1)

    def stretched(self, norm: Float[Tensor, " d_sae"]) -> "Mixture | None":
        curves = [stretched for curve in self._gates() if (stretched := curve.stretched(norm)) is not None]
        return Mixture(curves, self.logits) if len(curves) == len(self.curves) else None

    def tensors(self) -> dict[str, Tensor]:
        own = {f"curve_{m}.{k}": v for m, curve in enumerate(self._gates()) for k, v in curve.tensors().items()}
        return {"logits": self.logits, **own}

    def settings(self) -> dict[str, Any]:
        described = {f"curve_{m}": curve.described() for m, curve in enumerate(self._gates())}
        return {"n_curves": len(self.curves), **described}

    def slow_parameters(self) -> list[nn.Parameter]:
        return [self.logits] + [p for curve in self._gates() for p in curve.slow_parameters()]

    def _gates(self) -> list[Gate]:
        return [curve for curve in self.curves if isinstance(curve, Gate)]
