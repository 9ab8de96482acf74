"""A few gradient steps on the support: polynomials of the Gram matrix, where the resolvent is rational."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rsae.runtime.matmul import affine
from rsae.runtime.precision import exact
from rsae.sae.refine.base import Refinement


class Steps(Refinement):
    """z ← z + alpha_t · 1_S D (x - Dᵀz), n times, then rectified.

    ``log_alpha`` [n] is trained; with ``exact`` each step has the length that is best for its token
    (line search: alpha = ‖g‖² / ‖Dᵀg‖² along the gradient g), and nothing is trained.
    """

    method = "steps"

    def __init__(self, log_alpha: Float[Tensor, " n"], exact: bool = False) -> None:
        super().__init__()
        self.exact = exact
        self.log_alpha = nn.Parameter(log_alpha.detach().float().clone(), requires_grad=not exact)

    def forward(
        self, x: Float[Tensor, "n_tok d_in"], z0: Float[Tensor, "n_tok d_sae"], W_dec: Float[Tensor, "d_sae d_in"]
    ) -> Float[Tensor, "n_tok d_sae"]:
        z, support = z0, z0 != 0
        with exact(x.device.type):
            for alpha in self.log_alpha.exp():
                gradient = torch.where(support, affine(x - affine(z, W_dec), W_dec.T), 0.0)
                if self.exact:
                    moved = affine(gradient, W_dec).square().sum(1, keepdim=True)
                    # no gradient, nothing to move: any length will do
                    alpha = gradient.square().sum(1, keepdim=True) / moved.clamp_min(torch.finfo(x.dtype).tiny)
                z = z + alpha * gradient
        return z.relu()

    def tensors(self) -> dict[str, Tensor]:
        return {"log_alpha": self.log_alpha}

    def stretched(self, norm: Tensor) -> "Steps":
        if not torch.allclose(norm, norm.mean()):
            raise NotImplementedError(
                "one step length serves all features: decoder norms that differ cannot be folded into `steps`"
            )
        return Steps(self.log_alpha + 2 * norm.mean().log(), self.exact)

    def settings(self) -> dict[str, Any]:
        return {"n": len(self.log_alpha), "exact": self.exact}

    def slow_parameters(self) -> list[nn.Parameter]:
        return [] if self.exact else [self.log_alpha]
