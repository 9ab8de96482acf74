"""What every gate can do."""

from abc import abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from rsae.sae.codes import Places


class Gate(nn.Module):
    """Element- or row-wise map from pre-activations to codes.

    ``exact_zeros`` says that an inactive feature reads exactly 0, so that counting non-zeros is a
    support; a smooth gate needs a threshold instead (see :mod:`rsae.sae.support`).
    """

    architecture: ClassVar[str]  # as sae_lens names it, where it has one
    exact_zeros: bool

    @abstractmethod
    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        """Codes z of the same shape."""

    def codes_and_l1(
        self, h: Float[Tensor, "n_tok d_sae"]
    ) -> tuple[Float[Tensor, "n_tok d_sae"], Float[Tensor, " n_tok"]]:
        """Codes, and sum_j |z_j| of each token; a gate that meets both in one pass says so."""
        z = self(h)
        return z, z.abs().sum(-1)

    def places(self, h: Float[Tensor, "n_tok d_sae"]) -> Places:
        """Wherever a code is not 0, or a gradient flows though it is; of a gate with exact zeros, without gradient."""
        return Places.of(self(h) != 0)

    def at(self, h_at: Float[Tensor, " n"], places: Places, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        """Codes at ``places``, from the pre-activations there; ``h`` are all of them, through which no gradient flows.

        With :meth:`places` what a step costs follows the active codes. A gate that does not say how pays for
        dense codes, but not for dense products.
        """
        at = places.token * places.d_sae + places.feature
        return places.read(self(h.detach().reshape(-1).index_copy(0, at, h_at).view_as(h)))

    def tensors(self) -> dict[str, Tensor]:
        """What is saved beside the linear weights."""
        return {}

    def settings(self) -> dict[str, Any]:
        """What is saved in ``cfg.json``."""
        return {}

    def stretched(self, norm: Float[Tensor, " d_sae"]) -> "Gate | None":
        """The gate g' of the same kind with g'(norm · h) = norm · g(h) feature by feature; None if there is none.

        It is what the gate becomes when the norms of decoder rows are folded into the encoder.
        """
        return None

    def described(self) -> dict[str, Any]:
        """Architecture and settings: with :meth:`tensors`, all that it takes to restore the gate."""
        return {"architecture": self.architecture, **self.settings()}

    def slow_parameters(self) -> list[nn.Parameter]:
        """Shape parameters of the gate that train at a rate of their own."""
        return []
