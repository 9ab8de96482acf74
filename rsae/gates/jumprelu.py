"""h · 1[h > theta], one threshold per feature; its gradient is DeepMind's straight-through estimate."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rsae.gates.base import Gate


class _Jump(torch.autograd.Function):
    """Rajamanoharan et al. 2024 (arXiv 2407.14435), eq. 11: a rectangle kernel of width ``bandwidth``."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(h, threshold)
        ctx.bandwidth = bandwidth
        return torch.where(h > threshold, h, 0.0)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, Tensor, None]:
        h, threshold = ctx.saved_tensors
        (g,) = grad
        low, high = threshold - ctx.bandwidth / 2, threshold + ctx.bandwidth / 2
        near = torch.where((h > low) & (h < high), g, 0.0).sum(0)
        return torch.where(h > threshold, g, 0.0), -(threshold / ctx.bandwidth) * near, None


class JumpReLU(Gate):
    """Per-feature thresholds, in units of h; the codes jump from 0 to theta."""

    architecture = "jumprelu"
    exact_zeros = True

    def __init__(self, threshold: Float[Tensor, " d_sae"], bandwidth: float = 0.05) -> None:
        super().__init__()
        self.threshold = nn.Parameter(threshold.detach().clone())
        self.bandwidth = bandwidth

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        # a threshold below zero lets no negative code through, as in sae_lens
        return _Jump.apply(h, self.threshold.clamp_min(0), self.bandwidth)  # type: ignore[return-value]

    def tensors(self) -> dict[str, Tensor]:
        return {"threshold": self.threshold}

    def settings(self) -> dict[str, Any]:
        return {"jumprelu_bandwidth": self.bandwidth}
