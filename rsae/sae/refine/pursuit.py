"""What the literature does without an encoder: the peer of a gate that chooses by solving."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rsae.runtime.matmul import affine
from rsae.runtime.precision import exact
from rsae.sae.refine.base import Refinement
from rsae.sae.refine.resolvent import BLOCK

RIDGE = 1e-6  # of unit rows: tells dependent ones apart


class Pursuit(Refinement):
    """Orthogonal matching pursuit (Pati, Rezaiifar and Krishnaprasad, 1993): k times, the row that fits the rest best.

    Each of ``k`` rounds adds the decoder row with the largest correlation with what is left of x, and solves for all
    codes chosen so far. Rows are compared at unit norm, and only where z0 is not zero; values of z0 play no part. With
    ``rectify`` rows must correlate positively, and codes that end below zero read 0. A round costs as much as an
    encoder.

    Raises:
        ValueError: ``k`` is not a whole number from 1 on.
    """

    method = "pursuit"

    def __init__(self, k: int, rectify: bool = True) -> None:
        super().__init__()
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"a pursuit takes a whole number of rounds, got {k!r}")
        self.k, self.rectify = k, rectify

    def forward(
        self, x: Float[Tensor, "n_tok d_in"], z0: Float[Tensor, "n_tok d_sae"], W_dec: Float[Tensor, "d_sae d_in"]
    ) -> Float[Tensor, "n_tok d_sae"]:
        norm = W_dec.norm(dim=1).clamp_min(torch.finfo(x.dtype).tiny)
        rows = max(1, BLOCK[x.device.type] // (self.k * (x.shape[1] + self.k)))
        unit = W_dec / norm[:, None]
        with exact(x.device.type):
            parts = [self._pursued(*both, unit) for both in zip(x.split(rows), z0.split(rows), strict=True)]
        z = torch.cat(parts) / norm
        return z.relu() if self.rectify else z

    def _pursued(self, x: Tensor, z0: Tensor, unit: Tensor) -> Tensor:
        allowed, rest = z0 != 0, x
        index, inside = (torch.empty(len(x), 0, dtype=t, device=x.device) for t in (torch.long, torch.bool))
        values = x.new_empty(len(x), 0)
        for _ in range(min(self.k, unit.shape[0])):
            correlation = affine(rest, unit.T)
            correlation = torch.where(allowed, correlation if self.rectify else correlation.abs(), 0.0)
            best, at = correlation.max(1, keepdim=True)
            allowed = allowed.scatter(1, at, False)
            # where nothing correlates, an empty row is added, whose code is 0
            index, inside = torch.cat([index, at], 1), torch.cat([inside, best > 0], 1)
            D = torch.nn.functional.embedding(index, unit) * inside.unsqueeze(-1)
            A = D @ D.mT + RIDGE * torch.eye(index.shape[1], device=x.device, dtype=x.dtype)
            right = D @ x.unsqueeze(-1)
            values = torch.cholesky_solve(right, torch.linalg.cholesky(A)).squeeze(-1)
            rest = x - (values.unsqueeze(1) @ D).squeeze(1)
        return torch.zeros_like(z0).scatter_add(1, index, values)

    def settings(self) -> dict[str, Any]:
        return {"k": self.k, "rectify": self.rectify}

    def stretched(self, norm: Tensor) -> "Pursuit":
        return self  # rows are compared at unit norm, and codes follow their rows
