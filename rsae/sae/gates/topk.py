"""The k largest pre-activations of a token, rectified; all others 0."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rsae.sae.codes import Places
from rsae.sae.codes.kernels import largest
from rsae.sae.gates.base import Gate


class TopK(Gate):
    """Exactly k features compete per token; rectified ones that are negative read 0."""

    architecture = "topk"
    exact_zeros = True

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        values, indices = torch.topk(h, self.k, dim=-1, sorted=False)
        return values.new_zeros(h.shape).scatter_(-1, indices, values.relu())

    def places(self, h: Float[Tensor, "n_tok d_sae"]) -> Places:
        return largest(h, self.k)

    def at(self, h_at: Float[Tensor, " n"], places: Places, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        return h_at.relu()

    def settings(self) -> dict[str, Any]:
        return {"k": self.k, "rescale_acts_by_decoder_norm": False}
