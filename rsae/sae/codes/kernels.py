"""What has two implementations, behind one face, whichever implementation runs: they agree but for rounding.

They may differ in which of two equal pre-activations at TopK's edge is active.
"""

import functools
import os
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from rsae.sae.codes import Places, cpp, plain
from rsae.sae.gates.kernels.cpp import compiler


def dots(
    places: Places, by_token: Float[Tensor, "n_tok d"], by_feature: Float[Tensor, "d_sae d"]
) -> Float[Tensor, " n"]:
    """At each place the product of its token's row and its feature's row."""
    return _for(by_feature).dots(places, by_token, by_feature)


def above(h: Float[Tensor, "n_tok d_sae"], floor: Float[Tensor, " d_sae"]) -> Places:
    """Where h is above its feature's floor, or not a number."""
    return _for(h).above(h, floor)


def largest(h: Float[Tensor, "n_tok d_sae"], k: int) -> Places:
    """The places of a token's k largest h, of those above 0 or not a number.

    Under autocast many h are equal, and it is torch's choice among them that the dense gate makes.
    """
    return (plain if torch.is_autocast_enabled(h.device.type) else _for(h)).largest(h, k)


def _for(x: Tensor) -> ModuleType:
    fits = x.device.type == "cpu" and x.dtype == torch.float32 and os.environ.get("RSAE_GATE") != "tiled"
    return cpp if fits and _compiles() else plain


@functools.cache
def _compiles() -> bool:
    return compiler() is not None
