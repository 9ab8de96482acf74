"""What every refinement can do."""

from abc import abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from rsae.sae.codes import Codes


class Refinement(nn.Module):
    """Codes z0 to better codes z, zero wherever z0 is zero.

    An element-wise gate sees one pre-activation at a time. Features that are active together
    overlap, so their best magnitudes depend on each other: a refinement reads the activation and
    the active decoder rows. It never adds a feature, so L0 can only fall.
    """

    method: ClassVar[str]
    cut: float | None = None  # strength above which a feature is kept; None keeps all

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "n_tok d_in"], z0: Float[Tensor, "n_tok d_sae"], W_dec: Float[Tensor, "d_sae d_in"]
    ) -> Float[Tensor, "n_tok d_sae"]:
        """Codes z; ``x`` is centred, b_dec subtracted."""

    def over_active(self, x: Float[Tensor, "n_tok d_in"], codes: Codes, W_dec: Float[Tensor, "d_sae d_in"]) -> Codes:
        """Codes z from those of z0 that are active; by way of dense ones, where a refinement has no other."""
        return codes._replace(values=codes.places.read(self(x, codes.dense(), W_dec)))

    def proposed(
        self, x: Float[Tensor, "n_tok d_in"], z0: Float[Tensor, "n_tok d_sae"], W_dec: Float[Tensor, "d_sae d_in"]
    ) -> Float[Tensor, "n_tok d_sae"]:
        """Codes of which those stronger than ``cut`` are kept, where there is one."""
        raise NotImplementedError(f"the refinement {self.method!r} keeps every feature")

    def tensors(self) -> dict[str, Tensor]:
        """What is saved beside the other weights."""
        return {}

    def settings(self) -> dict[str, Any]:
        """What is saved in ``cfg.json``."""
        return {}

    def described(self) -> dict[str, Any]:
        """Name and settings: with :meth:`tensors`, all that it takes to restore the refinement."""
        return {"name": self.method, **self.settings()}

    def stretched(self, norm: Tensor) -> "Refinement":
        """The refinement that does the same for decoder rows W_dec / norm; ``norm`` is [d_sae] or [].

        Holds for codes norm · z (rows' norms folded into the encoder), and for the codes as they are
        where ``norm`` is a scalar by which activations are divided too.

        Raises:
            NotImplementedError: no refinement of this kind does the same.
        """
        raise NotImplementedError(f"decoder norms cannot be folded into the refinement {self.method!r}")

    def slow_parameters(self) -> list[nn.Parameter]:
        """Parameters that train at the rate of a gate's shape parameters."""
        return []
