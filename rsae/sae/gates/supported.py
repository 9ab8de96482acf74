"""The support of one gate, the magnitudes of another."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rsae.rational.safe_pade import SafePade
from rsae.sae.codes import Places
from rsae.sae.gates.base import Gate
from rsae.sae.gates.polynomial import Polynomial
from rsae.sae.gates.rational import Rational

ALMOST = 1e-3  # a denominator 1 + |A| with A = 0 could not move: the gradient of |A| is 0 there


class Supported(Gate):
    """z = relu(base(h) + 1[base(h) ≠ 0] · (curve(h) - h)): where the base is the identity, curve(h).

    Written as base plus difference so that what trains the base's own support, such as JumpReLU's
    straight-through estimate, still reaches it.
    """

    architecture = "supported"
    exact_zeros = True

    def __init__(self, base: Gate, curve: Gate) -> None:
        super().__init__()
        if not base.exact_zeros:
            raise ValueError(f"a support needs exact zeros; the gate {base.architecture!r} has none")
        self.base, self.curve = base, curve

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        z = self.base(h)
        return (z + torch.where(z != 0, self.curve(h) - h, 0.0)).relu()

    def places(self, h: Float[Tensor, "n_tok d_sae"]) -> Places:
        return self.base.places(h)

    def at(self, h_at: Float[Tensor, " n"], places: Places, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        z = self.base.at(h_at, places, h)
        return (z + torch.where(z != 0, self.curve.at(h_at, places, h) - h_at, 0.0)).relu()

    def stretched(self, norm: Float[Tensor, " d_sae"]) -> "Supported | None":
        base, curve = self.base.stretched(norm), self.curve.stretched(norm)
        return None if base is None or curve is None else Supported(base, curve)

    def tensors(self) -> dict[str, Tensor]:
        parts = {"base": self.base, "curve": self.curve}
        return {f"{name}.{k}": v for name, part in parts.items() for k, v in part.tensors().items()}

    def settings(self) -> dict[str, Any]:
        return {"base": self.base.described(), "curve": self.curve.described()}

    def slow_parameters(self) -> list[nn.Parameter]:
        return self.base.slow_parameters() + self.curve.slow_parameters()


def identity_curve(name: str) -> Gate:
    """``affine``, ``cubic`` or ``rational`` (3, 2), equal to the identity to begin with."""
    match name:
        case "affine":
            return Polynomial(torch.tensor([0.0, 1.0]))
        case "cubic":
            return Polynomial(torch.tensor([0.0, 1.0, 0.0, 0.0]))
        case "rational":
            num, den = np.array([0.0, 1 + ALMOST, 0.0, 0.0]), np.array([ALMOST, 0.0, 0.0])
            one = torch.ones(1)
            return Rational(SafePade(num, den, 0.0), one, one)
    raise ValueError(f"unknown curve {name!r}")
