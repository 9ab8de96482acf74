"""max(h, 0)."""

from jaxtyping import Float
from torch import Tensor

from rsae.sae.codes import Places
from rsae.sae.codes.kernels import above
from rsae.sae.gates.base import Gate


class ReLU(Gate):
    """The standard SAE's gate."""

    architecture = "standard"
    exact_zeros = True

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        return h.relu()

    def places(self, h: Float[Tensor, "n_tok d_sae"]) -> Places:
        return above(h, h.new_zeros(h.shape[1]))

    def at(self, h_at: Float[Tensor, " n"], places: Places, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        return h_at.relu()

    def stretched(self, norm: Float[Tensor, " d_sae"]) -> "ReLU":
        return self  # max(s h, 0) = s max(h, 0)
