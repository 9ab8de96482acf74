"""Codes as what is active: token by token the features, and for each its value.

Codes with exact zeros have tens of nonzeros among thousands. What a step does with them, but for the encoder's own
product, can be done over those alone; :mod:`rsae.sae.codes.products` does. The dense form stays the definition.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Places:
    """Which features of which tokens: features ascend within a token, tokens follow each other (CSR).

    A place may hold a code of 0: near JumpReLU's thresholds a gradient flows where nothing is active.
    """

    offsets: Int[Tensor, " n_tok_1"]  # token i's places are offsets[i] to offsets[i + 1]
    feature: Int[Tensor, " n"]
    d_sae: int

    @classmethod
    def of(cls, support: Bool[Tensor, "n_tok d_sae"]) -> "Places":
        """Those where ``support`` holds."""
        token, feature = support.nonzero().unbind(1)  # token by token
        return cls.counted(token.bincount(minlength=len(support)), feature, support.shape[1])

    @classmethod
    def counted(cls, sizes: Int[Tensor, " n_tok"], feature: Int[Tensor, " n"], d_sae: int) -> "Places":
        """From how many places each token has."""
        return cls(torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]), feature, d_sae)

    @property
    def n_tok(self) -> int:
        """Tokens, those without a place among them."""
        return len(self.offsets) - 1

    @property
    def share(self) -> float:
        """Of all pairs of token and feature."""
        return len(self.feature) / max(1, self.n_tok * self.d_sae)

    @cached_property
    def sizes(self) -> Int[Tensor, " n_tok"]:
        """Places of each token."""
        return self.offsets.diff()

    @cached_property
    def token(self) -> Int[Tensor, " n"]:
        """The token of each place."""
        return torch.repeat_interleave(self.sizes, output_size=len(self.feature))

    @cached_property
    def by_feature(self) -> tuple[Int[Tensor, " d_sae_1"], Int[Tensor, " n"]]:
        """The same places feature by feature: offsets [d_sae + 1] into an order of the places (CSC)."""
        sizes = self.feature.bincount(minlength=self.d_sae)
        return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]), self.feature.argsort(stable=True)

    def read(self, dense: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        """What stands there."""
        return dense.reshape(-1).index_select(0, self.token * self.d_sae + self.feature)


class Codes(NamedTuple):
    """Codes z: ``values`` at ``places``, 0 elsewhere."""

    places: Places
    values: Float[Tensor, " n"]

    @classmethod
    def of(cls, z: Float[Tensor, "n_tok d_sae"]) -> "Codes":
        """The nonzeros of dense codes."""
        places = Places.of(z.detach() != 0)
        return cls(places, places.read(z))

    def nonzero(self) -> "Codes":
        """Without the places whose code is 0."""
        kept = self.values.detach() != 0
        if bool(kept.all()):
            return self
        sizes = self.places.token[kept].bincount(minlength=self.places.n_tok)
        return Codes(Places.counted(sizes, self.places.feature[kept], self.places.d_sae), self.values[kept])

    def dense(self) -> Float[Tensor, "n_tok d_sae"]:
        """Inverse of :meth:`of`."""
        token, feature, d_sae = self.places.token, self.places.feature, self.places.d_sae
        flat = self.values.new_zeros(self.places.n_tok * d_sae)
        return flat.index_copy(0, token * d_sae + feature, self.values).view(-1, d_sae)
