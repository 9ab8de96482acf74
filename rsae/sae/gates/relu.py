"""max(h, 0)."""

from jaxtyping import Float
from torch import Tensor

from rsae.sae.gates.base import Gate


class ReLU(Gate):
    """The standard SAE's gate."""

    architecture = "standard"
    exact_zeros = True

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        return h.relu()

    def stretched(self, norm: Float[Tensor, " d_sae"]) -> "ReLU":
        return self  # max(s h, 0) = s max(h, 0)
