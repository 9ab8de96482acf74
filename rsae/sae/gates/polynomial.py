"""A polynomial that all features share."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rsae.sae.codes import Places
from rsae.sae.gates.base import Gate


class Polynomial(Gate):
    """sum_i coefficient_i · h^i, coefficients ascending. Dense: 0 is reached only by accident."""

    architecture = "polynomial"
    exact_zeros = False

    def __init__(self, coefficients: Float[Tensor, " n"]) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(coefficients.detach().float().clone())

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        return self._value(h)

    def at(self, h_at: Float[Tensor, " n"], places: Places, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        return self._value(h_at)

    def _value(self, h: Tensor) -> Tensor:
        value = torch.zeros_like(h)
        for c in self.coefficients.flip(0):
            value = value * h + c
        return value

    def settings(self) -> dict[str, Any]:
        return {"degree": len(self.coefficients) - 1}

    def tensors(self) -> dict[str, Tensor]:
        return {"coefficients": self.coefficients}

    def slow_parameters(self) -> list[nn.Parameter]:
        return [self.coefficients]
