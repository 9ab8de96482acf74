"""One positive scale per feature behind another gate."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rsae.sae.codes import Places
from rsae.sae.gates.base import Gate


class Rescaled(Gate):
    """z_j = exp(log_scale_j) · base(h)_j."""

    architecture = "rescaled"

    def __init__(self, base: Gate, log_scale: Float[Tensor, " d_sae"]) -> None:
        super().__init__()
        self.base, self.exact_zeros = base, base.exact_zeros
        self.log_scale = nn.Parameter(log_scale.detach().float().clone())

    @classmethod
    def identity(cls, base: Gate, d_sae: int) -> "Rescaled":
        """Scales of 1."""
        return cls(base, torch.zeros(d_sae))

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        return self.base(h) * self.log_scale.exp()

    def places(self, h: Float[Tensor, "n_tok d_sae"]) -> Places:
        return self.base.places(h)

    def at(self, h_at: Float[Tensor, " n"], places: Places, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        return self.base.at(h_at, places, h) * self.log_scale.exp().index_select(0, places.feature)

    def stretched(self, norm: Float[Tensor, " d_sae"]) -> "Rescaled | None":
        base = self.base.stretched(norm)
        return None if base is None else Rescaled(base, self.log_scale)

    def tensors(self) -> dict[str, Tensor]:
        return {"log_scale": self.log_scale} | {f"base.{k}": v for k, v in self.base.tensors().items()}

    def settings(self) -> dict[str, Any]:
        return {"base": self.base.described()}
