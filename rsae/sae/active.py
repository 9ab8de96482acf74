"""An SAE's forward pass over active codes: what :class:`rsae.sae.model.SAE` does, when gates have exact zeros.

The encoder's product is dense, for which features are active is known after it; all else, gradients included, is
done where codes are. Values are those of the dense form, gradients but for the order of sums.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rsae.sae.codes import Codes, Places
from rsae.sae.codes.products import Read, Write
from rsae.sae.model import SAE


class Encoded(NamedTuple):
    """Pre-activations and codes at the places of a batch."""

    places: Places
    h: Float[Tensor, " n"]
    z: Float[Tensor, " n"]


def encode(sae: SAE, x: Float[Tensor, "n_tok d_in"]) -> Encoded:
    """The gate's codes, before any refinement."""
    with torch.no_grad():
        h = sae.preactivations(x)
        places = sae.gate.places(h)
    read = centred(sae, x) if sae.apply_b_dec_to_input else sae.normalised(x)
    h_at = Read.apply(read, sae.W_enc, sae.b_enc, h, places, torch.is_autocast_enabled(x.device.type))
    return Encoded(places, h_at, sae.gate.at(h_at, places, h))  # type: ignore[arg-type]


def decode(
    sae: SAE, codes: Codes, x: Float[Tensor, "n_tok d_in"], weighed: bool = False
) -> tuple[Float[Tensor, "n_tok d_in"], Float[Tensor, " n_tok"]]:
    """x_hat, and Σ_j |z_j| ‖W_dec,j‖ of each token where it is asked for."""
    rounded = torch.is_autocast_enabled(x.device.type)
    written, strength = Write.apply(codes.values, sae.W_dec, codes.places, weighed, rounded)  # type: ignore[misc]
    return sae.restored(written + sae.b_dec, x), strength


def refined(sae: SAE, x: Float[Tensor, "n_tok d_in"], codes: Codes) -> Codes:
    """The refinement's codes, from the gate's."""
    assert sae.refine is not None
    return sae.refine.over_active(centred(sae, x), codes, sae.W_dec)


def centred(sae: SAE, x: Float[Tensor, "n_tok d_in"]) -> Float[Tensor, "n_tok d_in"]:
    """What decoder rows add up to."""
    return sae.normalised(x) - sae.b_dec
